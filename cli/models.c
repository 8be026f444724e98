// models.c - the data of trained models, of which the session keeps the last set open.
#include "cli.h"

static lt_status open_data(cli_call *call, const lt_trained_model *m, const char *given, lt_data_use use,
                           const lt_dataset **ds)
{
    const char *spec;
    LT_TRY(lt_trained_model_data_spec(m, given, &spec));
    LT_TRY(cli_dataset(call, spec, ds));
    return lt_trained_model_check_data(m, call->session->data, use, call->session->events);
}

lt_status cli_model_data(cli_call *call, const lt_trained_model *m, const char *given, const lt_dataset **ds)
{
    return open_data(call, m, given, LT_DATA_TRAINING, ds);
}

lt_status cli_model_other_data(cli_call *call, const lt_trained_model *m, const char *given, const lt_dataset **ds)
{
    return open_data(call, m, given, given && *given ? LT_DATA_ANY : LT_DATA_TRAINING, ds);
}
