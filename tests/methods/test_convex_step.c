// test_convex_step.c - the inequality behind the AMUN theorem holds for the trainer's step where its assumptions do.
// [AMUN 9, 12.1]
//
// With all features frozen the last layer is logistic regression: Rhat(w) = sum over samples of CE is convex and
// beta-smooth with beta = 1/2 sum |(features, 1)|^2 (the Hessian of CE in the logits is at most 1/2 I). One step of
// length 1/beta down its gradient must obey, for every v,
//     |w' - v|^2 <= |w - v|^2 + (2 / beta) (Rhat(v) - Rhat(w')).
#include "unlearn_test.h"
#include "graph/graph_impl.h"
#include "model/model_impl.h"

// Sum over the training set of |features|^2 + 1.
static double squared_features(const lt_model *model)
{
    const lt_graph *g = model->graph;
    const lt_val features = g->node[g->value[model->logits].node].in[0];
    const int64_t width = g->value[features].shape.dim[1];
    const lt_plan_spec spec = {.outs = &features,
                               .n_outs = 1,
                               .grad_of = LT_NONE,
                               .seed = LT_NONE,
                               .batch = TOY_TRAIN,
                               .dtype = LT_F32,
                               .flags = LT_PLAN_NO_TUNE};
    lt_plan *plan;
    assert_ok(lt_plan_create(g, &spec, world.backend, &plan));
    assert_ok(lt_plan_bind(plan, model->params, model->state, NULL));
    float *x = lt_plan_buffer(plan, model->x);
    for (int i = 0; i < TOY_TRAIN * TOY_DIM; i++)
        x[i] = (float)world.ds->split[LT_TRAIN].x[i] / 255.0f;
    assert_ok(lt_plan_run(plan));
    const float *f = lt_plan_buffer(plan, features); // (N,width)
    double sum = TOY_TRAIN;
    for (int64_t i = 0; i < TOY_TRAIN * width; i++)
        sum += (double)f[i] * (double)f[i];
    lt_plan_destroy(plan);
    return sum;
}

static double risk(const lt_model *model)
{
    const lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_eval_result r;
    assert_ok(lt_evaluate(model, &view, &world.env, TOY_TRAIN, NULL, NULL, &r));
    return r.loss * TOY_TRAIN;
}

static double squared_distance(const lt_model *a, const lt_model *b)
{
    double sum = 0;
    for (int64_t i = 0; i < a->n_params; i++)
        sum += pow((double)a->params[i] - (double)b->params[i], 2);
    return sum;
}

static lt_model *one_step(const lt_model *from, double length, const uint8_t *mask)
{
    lt_model *to;
    assert_ok(lt_model_dup(from, &to));
    lt_job job = {.model = to, .seed = 1, .n_phases = 1, .bn_eval = true, .mask = mask};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 1;
    job.cfg.batch = TOY_TRAIN;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.momentum = job.cfg.weight_decay = 0;
    job.cfg.augment = false;
    job.cfg.lr = (float)(length * TOY_TRAIN); // the trainer minimises the mean
    job.phase[0] = (lt_phase){.view = {lt_view_split(world.ds, LT_TRAIN)}, .n_views = 1};
    assert_ok(lt_train_run(&job, &world.env, NULL, false, NULL));
    return to;
}

static void one_step_obeys_the_inequality(void **state)
{
    (void)state;
    lt_unlearn_plan_ctx ctx = {0};
    lt_model *start = toy_trained(&world);
    lt_unlearn_in in = input(start);
    assert_ok(lti_mask_make(&in, (lti_mask_cfg){LTI_MASK_CLASSIFIER, 0.5, NULL}, 16, &ctx));
    for (int64_t i = 0; i < start->n_params; i++) // away from the minimum
        if (ctx.mask[i])
            start->params[i] *= -0.5f;
    const double beta = squared_features(start) / 2;
    lt_model *next = one_step(start, 1 / beta, ctx.mask), *v;
    assert_ok(lt_model_dup(start, &v));
    const double after = risk(next);
    assert_true(after < risk(start));
    for (int t = 0; t < 200; t++) {
        const float scale = powf(10, -3 + 4 * (float)(t % 20) / 20);
        for (int64_t i = 0; i < v->n_params; i++) {
            lt_rng rng = lt_rng_at(8, LT_STREAM_TEST, (uint32_t)t, (uint64_t)i);
            const float *base = t % 3 == 0 ? world.model->params : t % 3 == 1 ? start->params : next->params;
            if (ctx.mask[i])
                v->params[i] = base[i] + scale * (float)lt_rng_normal(&rng);
        }
        const double left = squared_distance(next, v);
        const double right = squared_distance(start, v) + 2 / beta * (risk(v) - after);
        assert_true(left <= right + 1e-6 * (1 + left));
    }
    // The bound has content: a step thirty times too long breaks it at some v, here the point it should have reached.
    lt_model *far = one_step(start, 30 / beta, ctx.mask);
    assert_true(squared_distance(far, next) > squared_distance(start, next) + 2 * 30 / beta * (after - risk(far)));
    lti_free(ctx.mask);
    lt_model_destroy(start);
    lt_model_destroy(next);
    lt_model_destroy(far);
    lt_model_destroy(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_step_obeys_the_inequality)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
