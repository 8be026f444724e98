// source.c - trained models with the data sets and the backend that the session keeps.
#include "cli.h"
#include <stdlib.h>

lt_status cli_source_open(const char *run_or_file, const cli_foreign *foreign, cli_source *src)
{
    const lt_model_fallback model = {.model = foreign ? foreign->model : NULL};
    return lt_trained_model_open(run_or_file, foreign && foreign->file ? foreign->file : &model,
                                 foreign ? foreign->ds : NULL, src);
}

static lt_status open_data(cli_call *call, const cli_source *src, const char *given, lt_data_use use,
                           const lt_dataset **ds)
{
    const char *spec;
    LT_TRY(lt_trained_model_data_spec(src, given, &spec));
    LT_TRY(cli_dataset(call, spec, ds));
    return lt_trained_model_check_data(src, call->session->data, use, call->session->events);
}

lt_status cli_source_data(cli_call *call, const cli_source *src, const char *given, const lt_dataset **ds)
{
    return open_data(call, src, given, LT_DATA_TRAINING, ds);
}

lt_status cli_source_other_data(cli_call *call, const cli_source *src, const char *given, const lt_dataset **ds)
{
    return open_data(call, src, given, given && *given ? LT_DATA_ANY : LT_DATA_TRAINING, ds);
}

char *cli_find_parent(const cli_source *child)
{
    char *found = lt_trained_model_parent(child), *path = cli_format("%s", found ? found : "");
    free(found);
    return path;
}

lt_status cli_signals(cli_call *call, const cli_source *src, const lt_dataset *ds, const cli_sets *sets, lt_signals **s)
{
    lt_env env;
    LT_TRY(cli_env(call, &env));
    return lt_trained_model_signals(src, ds, sets, &env, s);
}
