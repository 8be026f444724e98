// unlearn_test.h - what tests of the unlearning registry share: one trained toy model, configs from text, runs.
#ifndef LT_UNLEARN_TEST_H
#define LT_UNLEARN_TEST_H
#include "method_test.h"
#include "lethe/run.h"
#include "unlearn/recipe.h"

static inline lt_unlearn_in input(lt_model *model)
{
    return (lt_unlearn_in){.model = model,
                           .ds = world.ds,
                           .forget = &world.forget,
                           .retain = &world.retain,
                           .use_retain = true,
                           .seed = 3,
                           .env = &world.env,
                           .train_cfg = &world.recipe};
}

// The same with what the method can forget: samples of all classes, or one class.
static inline lt_unlearn_in input_for(const lt_unlearn_method *m, lt_model *model)
{
    lt_unlearn_in in = input(model);
    if (m->needs & LT_WHOLE_CLASSES) {
        in.forget = &world.class_forget;
        in.retain = &world.class_retain;
    }
    return in;
}

// The method's defaults with the given values ("key=value,..."), fitted to the toy: small batches, few epochs.
// The set owns the text values of the config.
static inline void *config_open(const lt_unlearn_method *m, const char *values, lt_optset **out)
{
    void *cfg = lti_calloc(1, m->cfg_size ? m->cfg_size : 1);
    assert_non_null(cfg);
    lt_optset *set;
    assert_ok(lt_optset_create(&set));
    assert_ok(lt_optset_add(set, "", m->opts, cfg, LT_OPTGROUP_FLAGS));
    if (lt_optset_has(set, "epochs")) {
        assert_ok(lt_optset_set(set, "epochs", "3", "test"));
        assert_ok(lt_optset_set(set, "batch", "16", "test"));
        assert_ok(lt_optset_set(set, "augment", "false", "test"));
    }
    if (lt_optset_has(set, "attack.eps0")) {
        assert_ok(lt_optset_set(set, "attack.eps0", "0.1", "test"));
        assert_ok(lt_optset_set(set, "attack.batch", "16", "test"));
    }
    if (lt_optset_has(set, "adversarial-images")) {
        assert_ok(lt_optset_set(set, "adversarial-images", "1", "test"));
        assert_ok(lt_optset_set(set, "steps", "3", "test"));
    }
    char *copy = lti_strdup(values), *rest = copy;
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(item, '=');
        *value++ = '\0';
        assert_ok(lt_optset_set(set, item, value, "test"));
    }
    lti_free(copy);
    *out = set;
    return cfg;
}

static inline void *config(const lt_unlearn_method *m, const char *values)
{
    lt_optset *set;
    void *cfg = config_open(m, values, &set);
    lt_optset_destroy(set); // without text values cfg stays valid
    return cfg;
}

static inline const lt_unlearn_method *find(const char *name)
{
    const lt_unlearn_method *m;
    assert_ok(lt_unlearn_find(name, &m));
    return m;
}

// Runs a method on a fresh copy of the trained model and returns that copy.
static inline lt_model *unlearn(const char *name, const char *values, bool use_retain, uint64_t seed,
                                lt_unlearn_result *result)
{
    const lt_unlearn_method *m = find(name);
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input_for(m, model);
    in.use_retain = use_retain;
    in.seed = seed;
    void *cfg = config(m, values);
    assert_ok(lt_unlearn_run(m, &in, cfg, result));
    lti_free(cfg);
    return model;
}

static inline bool same_params(const lt_model *a, const lt_model *b)
{
    return memcmp(a->params, b->params, (size_t)a->n_params * sizeof *a->params) == 0 &&
           memcmp(a->state, b->state, (size_t)a->n_state * sizeof *a->state) == 0;
}
// What a recipe asks for, without running it. plan_close frees what plan_open made.
typedef struct planned {
    lt_model *model;
    void *cfg;
    lt_unlearn_in in;
    lt_unlearn_plan_ctx ctx;
    lt_job job;
    lti_setting setting;
} planned;

static inline void plan_open(planned *p, const char *name, const char *values, bool use_retain)
{
    *p = (planned){.model = toy_trained(&world), .cfg = config(find(name), values)};
    p->in = input_for(find(name), p->model);
    p->in.use_retain = use_retain;
    p->job = (lt_job){.model = p->model, .seed = p->in.seed};
    const bool fine_tunes = (find(name)->needs & LT_FINE_TUNES) != 0;
    if (fine_tunes)
        assert_ok(lti_fill_defaults(find(name), &p->in, p->cfg, &p->setting));
    assert_ok(find(name)->plan(&p->in, p->cfg, &p->ctx, &p->job));
    if (fine_tunes)
        assert_ok(lti_set_lr(find(name), &p->setting, &p->job));
}

static inline void plan_close(planned *p)
{
    if (p->ctx.own)
        p->ctx.own_free(p->ctx.own);
    lti_free(p->ctx.mask);
    lt_adv_set_destroy(p->ctx.adv);
    lti_free(p->cfg);
    lt_model_destroy(p->model);
}

#endif
