// int_rig.h - a quantized model and its network of integers, for tests.
#ifndef LT_TEST_INT_RIG_H
#define LT_TEST_INT_RIG_H
#include "lt_test.h"
#include "quant/intnet_impl.h"

typedef struct int_rig {
    lt_dataset *ds;
    lt_backend *backend;
    lt_env env;
    lt_model *model;
    lt_quant *quant;
    lt_int_net *net;
} int_rig;

static inline void int_rig_quantize(int_rig *r, const char *method, int bits)
{
    lt_quant_cfg cfg;
    lt_options_defaults(lt_quant_options, &cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg.device);
    cfg.bits = bits;
    cfg.method = method;
    assert_ok(lti_quant_create(&cfg, r->model, &r->quant));
}

// Weights on the grid, batch norm statistics that mean something, the network.
static inline void int_rig_finish(int_rig *r, int batch)
{
    lt_train_cfg recipe;
    lti_q_deploy_all(r->quant, NULL, r->model->params, r->model->params, r->quant->code);
    lt_options_defaults(lt_train_options, &recipe);
    recipe.batch = batch;
    assert_ok(lt_bn_reestimate(r->model, r->ds, &r->env, &recipe, 2, 1));
    assert_ok(lt_int_net_create(r->model, r->quant, r->ds, &r->env, &r->net));
}

static inline void int_rig_close(int_rig *r)
{
    lt_int_net_destroy(r->net);
    lt_quant_destroy(r->quant);
    lt_model_destroy(r->model);
    lt_backend_destroy(r->backend);
    lt_dataset_close(r->ds);
}
#endif
