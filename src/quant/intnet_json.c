// intnet_json.c - sizes and kernel of an integer network as JSON.
#include "base/json_write.h"
#include "lethe/intnet.h"

char *lt_int_info_json(const lt_int_info *i)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "kernel", i->kernel);
    lti_json_int(&w, "layers", i->n_layers);
    lti_json_int(&w, "steps", i->n_steps);
    lti_json_int(&w, "macs", i->macs);
    lti_json_int(&w, "weight_bytes", i->weight_bytes);
    lti_json_int(&w, "table_bytes", i->table_bytes);
    lti_json_int(&w, "activation_bytes", i->activation_bytes);
    lti_json_int(&w, "state_bytes", i->state_bytes);
    lti_json_int(&w, "float_bytes", i->float_bytes);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}
