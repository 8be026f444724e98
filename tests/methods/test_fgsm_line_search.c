// test_fgsm_line_search.c - the weak attack keeps the promises of every attack, moves as described, and serves AMUN,
// as do sets of another model.
#include "unlearn_test.h"

static lt_fgsm_line_search_cfg defaults(void)
{
    lt_fgsm_line_search_cfg cfg;
    lt_options_defaults(lt_fgsm_line_search_options, &cfg);
    cfg.batch = 16;
    return cfg;
}

static lt_adv_set *march(const lt_model *model, lt_fgsm_line_search_cfg cfg)
{
    const lt_attack *a;
    const lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_adv_set *set;
    assert_ok(lt_attack_find("fgsm-line-search", &a));
    assert_ok(lt_attack_run(a, model, &view, &cfg, &world.env, NULL, &set));
    return set;
}

static float pixel(int64_t i, int j)
{
    return (float)world.ds->split[LT_TRAIN].x[i * TOY_DIM + j] / 255.0f;
}

static void predict(const float *images, int32_t pred[TOY_TRAIN])
{
    static float z[TOY_TRAIN][TOY_K];
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_eval_result r;
    view.images = images;
    assert_ok(lt_evaluate(world.model, &view, &world.env, 16, z[0], NULL, &r));
    for (int i = 0; i < TOY_TRAIN; i++) {
        pred[i] = 0;
        for (int k = 1; k < TOY_K; k++)
            if (z[i][k] > z[i][pred[i]])
                pred[i] = k;
    }
}

// Every sample's point is misread; one step less along the same sign is not.
static void marches_to_the_first_change(void **state)
{
    (void)state;
    lt_fgsm_line_search_cfg cfg = defaults();
    lt_adv_set *set = march(world.model, cfg);
    int32_t pred[TOY_TRAIN];
    float *back = lti_malloc((size_t)TOY_TRAIN * TOY_DIM * sizeof *back);
    int first_tries = 0;
    predict(set->x_adv, pred);
    for (int64_t i = 0; i < TOY_TRAIN; i++) {
        const float *x = set->x_adv + i * TOY_DIM;
        const int k = set->iters[i];
        double sum = 0;
        assert_int_equal(set->id[i], i);
        assert_int_equal(set->label[i], world.ds->split[LT_TRAIN].y[i]);
        for (int j = 0; j < TOY_DIM; j++) {
            const float d = x[j] - pixel(i, j);
            assert_true(x[j] >= 0 && x[j] <= 1);
            sum += (double)d * (double)d;
            back[i * TOY_DIM + j] = pixel(i, j);
            if (set->status[i] != LT_ADV_OK || set->rounds[i] != 1)
                continue;
            // k steps of one sign, or the edge of the box, or no gradient
            const bool edge = x[j] == 0 || x[j] == 1;
            assert_true(d == 0 || edge || fabsf(fabsf(d) - (float)k * cfg.step) < 1e-6f);
            const float s = (float)((d > 0) - (d < 0)), v = pixel(i, j) + (float)(k - 1) * cfg.step * s;
            back[i * TOY_DIM + j] = v < 0 ? 0 : v > 1 ? 1 : v;
        }
        assert_true(fabs(sqrt(sum) - (double)set->delta_norm[i]) < 1e-5);
        assert_true(set->delta_norm[i] <= set->eps_final[i] * 1.00001f || set->status[i] != LT_ADV_OK);
        assert_int_equal(set->adv_pred[i], pred[i]);
        assert_true((pred[i] == set->label[i]) == (set->status[i] == LT_ADV_FAILED));
        if (set->status[i] == LT_ADV_CLEAN_WRONG)
            assert_true(set->delta_norm[i] == 0 && set->iters[i] == 0);
        first_tries += set->status[i] == LT_ADV_OK && set->rounds[i] == 1;
    }
    assert_true(first_tries > TOY_TRAIN / 2);
    predict(back, pred);
    for (int64_t i = 0; i < TOY_TRAIN; i++)
        if (set->status[i] == LT_ADV_OK && set->rounds[i] == 1)
            assert_int_equal(pred[i], set->label[i]);
    lti_free(back);
    lt_adv_set_destroy(set);
}

static void the_direction_is_the_gradients_sign(void **state)
{
    (void)state;
    lt_adv_set *set = march(world.model, defaults());
    static float z[2][TOY_TRAIN][TOY_K];
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_eval_result r;
    // A small step along the direction found raises the loss of nearly every sample.
    float *near = lti_malloc((size_t)TOY_TRAIN * TOY_DIM * sizeof *near);
    for (int i = 0; i < TOY_TRAIN; i++)
        for (int j = 0; j < TOY_DIM; j++) {
            const float d = set->x_adv[i * TOY_DIM + j] - pixel(i, j);
            near[i * TOY_DIM + j] = pixel(i, j) + 1e-3f * (float)((d > 0) - (d < 0));
        }
    assert_ok(lt_evaluate(world.model, &view, &world.env, 16, z[0][0], NULL, &r));
    const double before = r.loss;
    view.images = near;
    assert_ok(lt_evaluate(world.model, &view, &world.env, 16, z[1][0], NULL, &r));
    assert_true(r.loss > before * 1.005);
    lti_free(near);
    lt_adv_set_destroy(set);
}

static void is_the_weaker_one(void **state)
{
    (void)state;
    lt_adv_search_cfg near_cfg;
    const lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_adv_set *far = march(world.model, defaults()), *near;
    lt_options_defaults(lt_adv_search_options, &near_cfg);
    near_cfg.eps0 = 0.1f;
    near_cfg.batch = 16;
    assert_ok(lt_adv_search(world.model, &view, &near_cfg, &world.env, NULL, &near));
    double sum[2] = {0, 0};
    for (int i = 0; i < TOY_TRAIN; i++) {
        if (far->status[i] != LT_ADV_OK || near->status[i] != LT_ADV_OK)
            continue;
        sum[0] += (double)near->delta_norm[i];
        sum[1] += (double)far->delta_norm[i];
    }
    assert_true(sum[0] > 0 && sum[1] > 1.05 * sum[0]);
    lt_adv_set_destroy(far);
    lt_adv_set_destroy(near);
}

// Few steps: marches start again from disturbed images, which the seed decides.
static void restarts_follow_the_seed(void **state)
{
    (void)state;
    lt_fgsm_line_search_cfg cfg = defaults();
    cfg.steps = 3;
    cfg.noise = 0.1f;
    cfg.restarts = 10;
    lt_adv_set *a = march(world.model, cfg);
    cfg.batch = 7;
    lt_adv_set *b = march(world.model, cfg);
    cfg.seed = 1;
    lt_adv_set *c = march(world.model, cfg);
    int restarted = 0, differ = 0;
    for (int i = 0; i < TOY_TRAIN; i++) {
        const size_t at = (size_t)i * TOY_DIM, bytes = TOY_DIM * sizeof(float);
        assert_memory_equal(a->x_adv + at, b->x_adv + at, bytes); // whatever the batches
        restarted += a->status[i] == LT_ADV_OK && a->rounds[i] > 1;
        if (a->status[i] == LT_ADV_OK && a->rounds[i] == 1)
            assert_memory_equal(a->x_adv + at, c->x_adv + at, bytes);
        else
            differ += memcmp(a->x_adv + at, c->x_adv + at, bytes) != 0;
    }
    assert_true(restarted > 0 && differ > 0);
    lt_adv_set_destroy(a);
    lt_adv_set_destroy(b);
    lt_adv_set_destroy(c);
}

static void failures_are_marked(void **state)
{
    (void)state;
    lt_fgsm_line_search_cfg cfg = defaults();
    cfg.step = 1e-6f;
    cfg.steps = 1;
    cfg.restarts = 0;
    lt_adv_set *set = march(world.model, cfg);
    assert_true(lt_adv_set_count(set, LT_ADV_FAILED) > TOY_TRAIN / 2);
    assert_int_equal(lt_adv_set_count(set, LT_ADV_FAILED) + lt_adv_set_count(set, LT_ADV_CLEAN_WRONG) +
                         lt_adv_set_count(set, LT_ADV_OK),
                     TOY_TRAIN);
    lt_adv_set_destroy(set);
    const lt_attack *a;
    const lt_view view = lt_view_split(world.ds, LT_TRAIN);
    assert_ok(lt_attack_find("fgsm-line-search", &a));
    world.stop = 1;
    assert_fails(LT_E_INTERRUPTED, "interrupted", lt_attack_run(a, world.model, &view, &cfg, &world.env, NULL, &set));
    world.stop = 0;
    assert_fails(LT_E_USAGE, "unknown attack", lt_attack_find("qqqqqqqqqqqq", &a));
    assert_contains(lt_error_get()->hint, "amun-search, fgsm-line-search");
    const lt_attack *old; // the name in recorded runs
    assert_ok(lt_attack_find("fgsm-march", &old));
    assert_ptr_equal(old, a);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const lt_attack *a;
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_fgsm_line_search_cfg cfg = defaults();
    lt_status status = LT_E_NOMEM;
    assert_ok(lt_attack_find("fgsm-line-search", &a));
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lt_adv_set *set = NULL;
        lti_alloc_fail_at(n);
        status = lt_attack_run(a, world.model, &view, &cfg, &world.env, NULL, &set);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
        lt_adv_set_destroy(set);
    }
}

// ---- in AMUN

static void amun_with(const char *values, lt_status want, const char *message, lt_unlearn_result *r)
{
    lt_optset *set;
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    void *cfg = config_open(find("amun"), values, &set);
    if (want == LT_OK)
        assert_ok(lt_unlearn_run(find("amun"), &in, cfg, r));
    else
        assert_fails(want, message, lt_unlearn_run(find("amun"), &in, cfg, r));
    lt_optset_destroy(set);
    lti_free(cfg);
    lt_model_destroy(model);
}

static void serves_amun(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_fgsm_line_search_cfg cfg = defaults();
    lt_adv_set *own = march(world.model, cfg);
    amun_with("search=fgsm-line-search,fgsm.batch=16", LT_OK, "", &r);
    assert_int_equal(r.adv->n, TOY_FORGET);
    for (int i = 0; i < TOY_FORGET; i++) // the same set, row by row
        if (own->rounds[world.forget.row[i]] <= 1)
            assert_memory_equal(r.adv->x_adv + i * TOY_DIM, own->x_adv + world.forget.row[i] * TOY_DIM,
                                TOY_DIM * sizeof(float));
    assert_true(r.search.n_forward == r.adv->n_forward && r.search.n_backward > 0);
    lt_unlearn_result_clear(&r);
    lt_adv_set_destroy(own);
    amun_with("search=fgsm-mrch", LT_E_USAGE, "unknown attack 'fgsm-mrch'", &r);
}

// [AMUN 8.4] transfer: the set is the other model's, in a file or a run's directory.
static void sets_of_other_models_serve_amun(void **state)
{
    (void)state;
    lt_unlearn_result r[2];
    char *dir = toy_temp_dir(), values[256], *path = lti_asprintf("%s/model.safetensors", dir);
    lt_model *other = toy_trained(&world);
    for (int64_t i = 0; i < other->n_params; i++) {
        lt_rng rng = lt_rng_at(4, LT_STREAM_TEST, 6, (uint64_t)i);
        other->params[i] *= 1 + 0.1f * (float)lt_rng_normal(&rng);
    }
    assert_ok(lt_model_save(other, path));
    lt_adv_search_cfg cfg;
    lt_options_defaults(lt_adv_search_options, &cfg);
    cfg.eps0 = 0.1f;
    cfg.batch = 16;
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_adv_set *theirs, *ours;
    assert_ok(lt_adv_search(other, &view, &cfg, &world.env, NULL, &theirs));
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, NULL, &ours));
    for (int i = 0; i < 2; i++) {
        snprintf(values, sizeof values, "adv_model=%s", i == 0 ? path : dir);
        amun_with(values, LT_OK, "", &r[i]);
        const size_t bytes = (size_t)TOY_FORGET * TOY_DIM * sizeof(float);
        assert_memory_equal(r[i].adv->x_adv, theirs->x_adv, bytes);
        assert_memory_equal(r[i].adv->adv_pred, theirs->adv_pred, TOY_FORGET * sizeof(int32_t));
        assert_true(memcmp(r[i].adv->x_adv, ours->x_adv, bytes) != 0);
        lt_unlearn_result_clear(&r[i]);
    }
    amun_with("adv_model=/nowhere/model.safetensors", LT_E_INPUT, "/nowhere/model.safetensors", &r[0]);
    lt_adv_set_destroy(theirs);
    lt_adv_set_destroy(ours);
    lt_model_destroy(other);
    lti_free(path);
    toy_remove_dir(dir);
}

static void adversarial_images_move_only_when_asked(void **state)
{
    (void)state;
    for (int augment = 0; augment < 2; augment++) {
        lt_model *model = toy_trained(&world);
        lt_unlearn_in in = input(model);
        lt_unlearn_plan_ctx ctx = {0};
        lt_job job = {.model = model};
        void *cfg = config(find("amun"), augment ? "augment=true,augment_adv=true" : "augment=true");
        assert_ok(find("amun")->plan(&in, cfg, &ctx, &job));
        assert_int_equal(job.phase[0].view[2].augment, augment);
        ctx.own_free(ctx.own);
        lt_adv_set_destroy(ctx.adv);
        lti_free(cfg);
        lt_model_destroy(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marches_to_the_first_change),
        cmocka_unit_test(the_direction_is_the_gradients_sign),
        cmocka_unit_test(is_the_weaker_one),
        cmocka_unit_test(restarts_follow_the_seed),
        cmocka_unit_test(failures_are_marked),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(serves_amun),
        cmocka_unit_test(sets_of_other_models_serve_amun),
        cmocka_unit_test(adversarial_images_move_only_when_asked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
