// test_unlearn.c - the conformance suite of the unlearning registry, and what each recipe asks of the trainer.
#include "unlearn_test.h"

// ---- conformance: every row of the registry

static void descriptors_are_complete(void **state)
{
    (void)state;
    char *bib;
    size_t n;
    assert_ok(lt_read_file(LT_TEST_SOURCE_DIR "/docs/refs.bib", 1 << 20, &bib, &n));
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        assert_true((*m)->name[0] && (*m)->title[0] && strlen((*m)->doc) > 40 && (*m)->opts);
        assert_true(!(*m)->plan != !(*m)->run && (!(*m)->finish || (*m)->plan)); // one way to do it
        assert_ptr_equal(find((*m)->name), *m);
        char *key = lti_asprintf("{%s,\n", (*m)->cite);
        assert_contains(bib, key);
        lti_free(key);
    }
    for (const lt_attack *const *a = lt_attacks(); *a; a++) {
        char *key = lti_asprintf("{%s,\n", (*a)->cite);
        assert_contains(bib, key);
        lti_free(key);
    }
    free(bib);
}

static void every_method_honours_its_seed(void **state)
{
    (void)state;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        for (int retain = 0; retain < 2; retain++) {
            if (!retain && (*m)->needs & LT_NEED_RETAIN)
                continue;
            lt_unlearn_result r1, r2, r3;
            lt_model *a = unlearn((*m)->name, "", retain, 3, &r1), *b = unlearn((*m)->name, "", retain, 3, &r2);
            lt_model *c = unlearn((*m)->name, "", retain, 4, &r3);
            const bool closed = (*m)->needs & LT_CLOSED_FORM;
            assert_true(same_params(a, b));
            assert_int_equal(same_params(a, c), closed);
            double sum = 0, layers = 0;
            for (int64_t i = 0; i < a->n_params; i++) {
                double d = (double)a->params[i] - (double)world.model->params[i];
                assert_true(isfinite(a->params[i]));
                sum += d * d;
            }
            assert_true(fabs(sqrt(sum) - r1.delta_norm_l2) < 1e-9 * (1 + r1.delta_norm_l2) && sum > 0);
            for (int l = 0; l < r1.n_layers; l++)
                layers += r1.layer[l].delta_l2 * r1.layer[l].delta_l2;
            assert_true(fabs(layers - sum) < 1e-9 * (1 + sum) && r1.n_layers > 3);
            assert_true(r1.update_s > 0 && (r1.train.steps > 0) == !(*m)->run && r1.train.steps == r2.train.steps);
            assert_true(r1.update.n_forward >= r1.update.n_backward && (r1.update.n_backward > 0 || closed));
            assert_true(r1.n_trainable > 0 && r1.n_trainable <= a->n_params);
            assert_true(((*m)->needs & LT_NEED_ATTACK) ? r1.adv && r1.search_s > 0 : !r1.adv && r1.search_s == 0);
            lt_unlearn_result_clear(&r1);
            lt_unlearn_result_clear(&r2);
            lt_unlearn_result_clear(&r3);
            lt_model_destroy(a);
            lt_model_destroy(b);
            lt_model_destroy(c);
        }
    }
}

static void every_numeric_option_has_a_range(void **state)
{
    (void)state;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        void *cfg = lti_calloc(1, (*m)->cfg_size + 1);
        lt_optset *set;
        assert_ok(lt_optset_create(&set));
        assert_ok(lt_optset_add(set, "", (*m)->opts, cfg, LT_OPTGROUP_FLAGS));
        for (const lt_option *row = (*m)->opts; row->name; row++) {
            char low[64], high[64];
            const char *value;
            assert_true(row->help && row->help[0]);
            assert_ok(lt_optset_get(set, row->name, &value, NULL));
            assert_ok(lt_optset_set(set, row->name, value, "test")); // the default is in its range
            if (row->type == LT_OPT_STR)
                continue;
            if (row->type == LT_OPT_BOOL || row->type == LT_OPT_ENUM) {
                assert_fails(LT_E_USAGE, row->name, lt_optset_set(set, row->name, "nonsense", "test"));
                continue;
            }
            snprintf(low, sizeof low, "%.17g", row->min - (1 + fabs(row->min)));
            snprintf(high, sizeof high, "%.17g", row->max * 2 + 1);
            assert_fails(LT_E_USAGE, row->name, lt_optset_set(set, row->name, low, "test"));
            assert_fails(LT_E_USAGE, row->name, lt_optset_set(set, row->name, high, "test"));
        }
        lt_optset_destroy(set);
        lti_free(cfg);
    }
}

static void every_method_survives_a_failing_allocation(void **state)
{
    (void)state;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        void *cfg = config(*m, "");
        lt_train_cfg recipe = world.recipe;
        recipe.epochs = 1;
        lt_status status = LT_E_NOMEM;
        int64_t n = 1;
        for (; status != LT_OK; n = toy_next_failure(n)) {
            lt_model *model = toy_trained(&world);
            lt_unlearn_in in = input_for(*m, model);
            lt_unlearn_result r;
            in.train_cfg = &recipe;
            lti_alloc_fail_at(n);
            status = lt_unlearn_run(*m, &in, cfg, &r);
            lti_alloc_fail_at(0);
            assert_true(status == LT_OK || status == LT_E_NOMEM);
            lt_unlearn_result_clear(&r);
            lt_model_destroy(model);
        }
        assert_true(n > ((*m)->needs & LT_CLOSED_FORM ? 5 : 50));
        lti_free(cfg);
    }
}

static void missing_data_is_named(void **state)
{
    (void)state;
    lt_model *model = toy_trained(&world);
    lt_unlearn_result r;
    const char *const needy[] = {"ft", "retrain"};
    for (int i = 0; i < 2; i++) {
        void *cfg = config(find(needy[i]), "");
        lt_unlearn_in in = input(model);
        in.use_retain = false;
        assert_fails(LT_E_USAGE, "learns from the retain set", lt_unlearn_run(find(needy[i]), &in, cfg, &r));
        in.use_retain = true;
        in.retain = NULL;
        assert_fails(LT_E_USAGE, "retain set", lt_unlearn_run(find(needy[i]), &in, cfg, &r));
        lti_free(cfg);
    }
    void *cfg = config(find("ga"), "");
    lt_unlearn_in in = input(model);
    in.forget = &(lt_index_set){0};
    assert_fails(LT_E_USAGE, "at least one sample to forget", lt_unlearn_run(find("ga"), &in, cfg, &r));
    int64_t both[] = {world.retain.row[4]}, outside[] = {TOY_TRAIN};
    in.forget = &(lt_index_set){.n = 1, .row = both};
    assert_fails(LT_E_FORMAT, "in both", lt_unlearn_run(find("ga"), &in, cfg, &r));
    in.forget = &(lt_index_set){.n = 1, .row = outside};
    assert_fails(LT_E_FORMAT, "found 120", lt_unlearn_run(find("ga"), &in, cfg, &r));
    lti_free(cfg);
    in = input(model);
    in.train_cfg = NULL;
    assert_fails(LT_E_USAGE, "training recipe", lt_unlearn_run(find("retrain"), &in, NULL, &r));
    assert_true(same_params(model, world.model)); // nothing was touched
    const lt_unlearn_method *m;
    assert_fails(LT_E_USAGE, "'amnu'", lt_unlearn_find("amnu", &m));
    assert_contains(lt_error_get()->hint, "amun");
    assert_fails(LT_E_USAGE, "'zzzzzzzz'", lt_unlearn_find("zzzzzzzz", &m));
    assert_contains(lt_error_get()->hint, "retrain, ft, ga, ga-amun, rl, amun");
    lt_model_destroy(model);
}

static void an_unchanged_model_is_an_error(void **state)
{
    (void)state;
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    lt_unlearn_result r;
    void *cfg = config(find("ga"), "lr=1e-12,weight_decay=0");
    assert_fails(LT_E_CHECK, "did not change", lt_unlearn_run(find("ga"), &in, cfg, &r));
    lti_free(cfg);
    lt_model_destroy(model);
}

// ---- what each recipe asks for

static void check_phase(const lt_phase *phase, bool shuffle, int n_views)
{
    assert_int_equal(phase->shuffle, shuffle);
    assert_int_equal(phase->n_views, n_views);
}

static void check_view(const lt_view *v, const lt_index_set *rows, float weight, lt_relabel relabel)
{
    assert_int_equal(v->n, rows->n);
    assert_memory_equal(v->row, rows->row, (size_t)rows->n * sizeof *rows->row);
    assert_true(v->weight == weight && v->relabel == relabel && v->split == LT_TRAIN);
}

static void recipes_are_as_published(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "ft", "augment=true,lr=0.02,lr_step_every=5", true);
    assert_int_equal(p.job.n_phases, 1);
    check_phase(&p.job.phase[0], true, 1);
    check_view(&p.job.phase[0].view[0], &world.retain, 1, LT_RELABEL_NONE);
    assert_true(p.job.phase[0].view[0].augment && p.job.cfg.augment);
    assert_true(p.job.cfg.lr == 0.02f && p.job.cfg.lr_step_every == 5 && p.job.cfg.schedule == LT_SCHED_STEP);
    assert_true(p.job.cfg.momentum == 0.9f && p.job.cfg.weight_decay == 5e-4f && !p.job.cfg.nesterov);
    plan_close(&p);

    plan_open(&p, "ga", "preset=published", true); // never reads retain data
    assert_int_equal(p.job.n_phases, 1);
    check_view(&p.job.phase[0].view[0], &world.forget, -1, LT_RELABEL_NONE);
    assert_int_equal(p.job.cfg.schedule, LT_SCHED_CONST);
    plan_close(&p);

    plan_open(&p, "ga-amun", "", true);
    assert_int_equal(p.job.n_phases, 2);
    check_phase(&p.job.phase[0], false, 1);
    check_view(&p.job.phase[0].view[0], &world.retain, 1, LT_RELABEL_NONE);
    check_view(&p.job.phase[1].view[0], &world.forget, -1, LT_RELABEL_NONE);
    plan_close(&p);
    plan_open(&p, "ga-amun", "", false);
    assert_int_equal(p.job.n_phases, 1);
    check_view(&p.job.phase[0].view[0], &world.forget, -1, LT_RELABEL_NONE);
    plan_close(&p);

    plan_open(&p, "rl", "", true);
    assert_int_equal(p.job.n_phases, 1);
    check_phase(&p.job.phase[0], true, 2);
    check_view(&p.job.phase[0].view[0], &world.forget, 1, LT_RELABEL_RANDOM_OTHER);
    check_view(&p.job.phase[0].view[1], &world.retain, 1, LT_RELABEL_NONE);
    assert_int_not_equal(p.job.phase[0].view[0].tag, p.job.phase[0].view[1].tag);
    plan_close(&p);
    plan_open(&p, "rl", "order=upstream,true_label=true", true);
    assert_int_equal(p.job.n_phases, 2);
    check_view(&p.job.phase[0].view[0], &world.forget, 1, LT_RELABEL_RANDOM_ANY);
    check_view(&p.job.phase[1].view[0], &world.retain, 1, LT_RELABEL_NONE);
    plan_close(&p);
    plan_open(&p, "rl", "", false);
    assert_int_equal(p.job.phase[0].n_views, 1);
    plan_close(&p);
}

static void amun_trains_on_the_right_set(void **state)
{
    (void)state;
    static const struct {
        const char *values;
        bool retain;
        int n_views;
    } setting[] = {{"augment=true,adv_only=no", true, 3},
                   {"augment=true,adv_only=true", true, 2},
                   {"augment=true,adv_only=no", false, 2},
                   {"augment=true,adv_only=true", false, 1}};
    for (int s = 0; s < 4; s++) {
        planned p;
        plan_open(&p, "amun", setting[s].values, setting[s].retain);
        const lt_phase *phase = &p.job.phase[0];
        assert_int_equal(p.job.n_phases, 1);
        check_phase(phase, true, setting[s].n_views);
        int v = 0;
        if (setting[s].retain) {
            check_view(&phase->view[v], &world.retain, 1, LT_RELABEL_NONE);
            assert_true(phase->view[v++].augment);
        }
        if (strstr(setting[s].values, "adv_only=no")) {
            check_view(&phase->view[v], &world.forget, 1, LT_RELABEL_NONE);
            assert_true(phase->view[v++].augment);
        }
        const lt_view *adv = &phase->view[v];
        check_view(adv, &world.forget, 1, LT_RELABEL_NONE);
        assert_false(adv->augment); // never
        assert_memory_equal(adv->images, p.ctx.adv->x_adv, TOY_FORGET * TOY_DIM * sizeof(float));
        assert_memory_equal(adv->labels, p.ctx.adv->adv_pred, TOY_FORGET * sizeof(int32_t));
        plan_close(&p);
    }
}

static void failed_samples_have_no_partner(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "amun", "adv_only=no,attack.eps0=0.4,attack.max_doublings=0", true);
    const lt_view *adv = &p.job.phase[0].view[2];
    const lt_adv_set *set = p.ctx.adv;
    int64_t n_failed = lt_adv_set_count(set, LT_ADV_FAILED), at = 0;
    assert_true(n_failed > 0 && n_failed < TOY_FORGET);
    assert_int_equal(adv->n, TOY_FORGET - n_failed);
    for (int64_t i = 0; i < TOY_FORGET; i++) {
        if (set->status[i] == LT_ADV_FAILED)
            continue;
        assert_int_equal(adv->row[at], world.forget.row[i]);
        assert_int_equal(adv->labels[at], set->adv_pred[i]);
        assert_memory_equal(adv->images + at * TOY_DIM, set->x_adv + i * TOY_DIM, TOY_DIM * sizeof(float));
        at++;
    }
    plan_close(&p);
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    lt_unlearn_result r;
    int64_t right[1]; // one sample that the model reads correctly, and no room to move
    lt_eval_result e;
    for (int i = 0; i < TOY_FORGET; i++) {
        right[0] = world.forget.row[i];
        lt_view one = lt_view_rows(world.ds, LT_TRAIN, &(lt_index_set){.n = 1, .row = right});
        assert_ok(lt_evaluate(model, &one, &world.env, 1, NULL, NULL, &e));
        if (e.acc == 1)
            break;
    }
    in.forget = &(lt_index_set){.n = 1, .row = right};
    void *cfg = config(find("amun"), "attack.eps0=1e-6,attack.max_doublings=0");
    assert_fails(LT_E_FAIL, "no adversarial example", lt_unlearn_run(find("amun"), &in, cfg, &r));
    lti_free(cfg);
    lt_model_destroy(model);
}

static double image_distance(const lt_view *v, int64_t i, const float *other)
{
    double sum = 0;
    for (int j = 0; j < TOY_DIM; j++) {
        double d = (double)v->images[i * TOY_DIM + j] - (double)other[j];
        sum += d * d;
    }
    return sqrt(sum);
}

// [AMUN 8.3]
static void partners_are_the_ablation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool moved, adv_image, adv_label, true_label, redrawn;
    } kind[] = {{"orig", false, false, false, true, false},      {"adv-rs", true, false, true, false, true},
                {"adv-rl", true, true, false, false, true},      {"orig-rl", false, false, false, false, true},
                {"orig-advl", false, false, true, false, false}, {"adv", true, true, true, false, false}};
    for (int k = 0; k < 6; k++) {
        planned p;
        char values[64];
        snprintf(values, sizeof values, "counterpart=%s,adv_only=true", kind[k].name);
        plan_open(&p, "amun", values, false);
        const lt_view *v = &p.job.phase[0].view[0];
        const lt_adv_set *set = p.ctx.adv;
        assert_int_equal(v->n, TOY_FORGET);
        for (int64_t i = 0; i < v->n; i++) {
            float x[TOY_DIM];
            for (int j = 0; j < TOY_DIM; j++)
                x[j] = (float)world.ds->split[LT_TRAIN].x[world.forget.row[i] * TOY_DIM + j] / 255.0f;
            double dist = image_distance(v, i, x), delta = (double)set->delta_norm[i];
            assert_true(kind[k].moved ? dist <= delta + 1e-5 && dist > 0.5 * delta - 1e-9
                                      : dist == 0); // the box shortens
            if (kind[k].adv_image)
                assert_true(image_distance(v, i, set->x_adv + i * TOY_DIM) == 0);
            int32_t y = set->label[i], y_adv = set->adv_pred[i], got = v->labels[i];
            assert_true(kind[k].adv_label ? got == y_adv : kind[k].true_label ? got == y : got != y && got != y_adv);
            assert_true(got >= 0 && got < TOY_K);
        }
        assert_int_equal(p.job.on_epoch != NULL, kind[k].redrawn);
        if (kind[k].redrawn) {
            float *images = lti_malloc(TOY_FORGET * TOY_DIM * sizeof(float));
            int32_t labels[TOY_FORGET];
            memcpy(images, v->images, TOY_FORGET * TOY_DIM * sizeof(float));
            memcpy(labels, v->labels, sizeof labels);
            assert_ok(p.job.on_epoch(&p.job, 1, p.job.ctx));
            assert_true(memcmp(images, v->images, TOY_FORGET * TOY_DIM * sizeof(float)) != 0 ||
                        memcmp(labels, v->labels, sizeof labels) != 0);
            assert_ok(p.job.on_epoch(&p.job, 0, p.job.ctx)); // a function of the epoch
            assert_memory_equal(images, v->images, TOY_FORGET * TOY_DIM * sizeof(float));
            assert_memory_equal(labels, v->labels, sizeof labels);
            lti_free(images);
        }
        plan_close(&p);
    }
}

// ---- behaviour

static double forget_loss(const lt_model *model)
{
    lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_eval_result r;
    assert_ok(lt_evaluate(model, &view, &world.env, 16, NULL, NULL, &r));
    return r.loss;
}

static double test_acc(const lt_model *model)
{
    lt_view view = lt_view_split(world.ds, LT_TEST);
    lt_eval_result r;
    assert_ok(lt_evaluate(model, &view, &world.env, 16, NULL, NULL, &r));
    return r.acc;
}

static void forgetting_beats_doing_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *values;
        bool retain;
    } run[] = {{"amun", "", true},
               {"amun", "", false},
               {"rl", "", true},
               {"ga", "lr=0.02,lr_step_every=0", true},
               {"ga-amun", "lr=0.01", true}};
    double before = forget_loss(world.model), acc = test_acc(world.model);
    for (int i = 0; i < 5; i++) {
        lt_unlearn_result r;
        lt_model *m = unlearn(run[i].name, run[i].values, run[i].retain, 3, &r);
        assert_true(forget_loss(m) > before);
        if (strcmp(run[i].name, "amun") == 0)
            assert_true(test_acc(m) > acc - 0.1);
        lt_unlearn_result_clear(&r);
        lt_model_destroy(m);
    }
}

static void retrain_forgets_where_it_came_from(void **state)
{
    (void)state;
    lt_model *raw = toy_model(), *trained = toy_trained(&world);
    lt_unlearn_result r;
    lt_unlearn_in in = input(raw);
    assert_ok(lt_unlearn_run(find("retrain"), &in, NULL, &r));
    lt_unlearn_result_clear(&r);
    in.model = trained;
    assert_ok(lt_unlearn_run(find("retrain"), &in, NULL, &r));
    assert_true(same_params(raw, trained));
    assert_int_equal(raw->bn_batches, trained->bn_batches);
    assert_int_equal(r.train.images, (int64_t)world.recipe.epochs * world.retain.n);
    lt_unlearn_result_clear(&r);
    lt_model_destroy(raw);
    lt_model_destroy(trained);
}

static void stop_after_an_epoch(void *self, const lt_event *event)
{
    int *armed = self;
    if (*armed && strcmp(event->name, "train.epoch") == 0)
        world.stop = 1;
}

static void an_interrupted_run_ends_with_the_same_bits(void **state)
{
    (void)state;
    static const char *const names[] = {"amun", "rl", "retrain"};
    int armed = 1;
    assert_ok(lt_events_add(world.events, (lt_sink){stop_after_an_epoch, &armed}));
    for (int i = 0; i < 3; i++) {
        lt_unlearn_result r;
        armed = 0;
        lt_model *whole = unlearn(names[i], strcmp(names[i], "amun") ? "" : "counterpart=adv-rs", true, 3, &r);
        lt_unlearn_result_clear(&r);
        char *dir = toy_temp_dir();
        lt_model *model = toy_trained(&world);
        lt_unlearn_in in = input(model);
        in.run_dir = in.cache_dir = dir;
        void *cfg = config(find(names[i]), strcmp(names[i], "amun") ? "" : "counterpart=adv-rs");
        armed = 1;
        assert_fails(LT_E_INTERRUPTED, "", lt_unlearn_run(find(names[i]), &in, cfg, &r));
        world.stop = armed = 0;
        assert_false(same_params(model, whole));
        lt_model_destroy(model);
        in.model = model = toy_trained(&world);
        in.resume = true;
        assert_ok(lt_unlearn_run(find(names[i]), &in, cfg, &r));
        assert_true(same_params(model, whole));
        lt_unlearn_result_clear(&r);
        lti_free(cfg);
        lt_model_destroy(model);
        lt_model_destroy(whole);
        toy_remove_dir(dir);
    }
    lt_events_remove(world.events, &armed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_complete),
        cmocka_unit_test(every_method_honours_its_seed),
        cmocka_unit_test(every_numeric_option_has_a_range),
        cmocka_unit_test(every_method_survives_a_failing_allocation),
        cmocka_unit_test(missing_data_is_named),
        cmocka_unit_test(an_unchanged_model_is_an_error),
        cmocka_unit_test(recipes_are_as_published),
        cmocka_unit_test(amun_trains_on_the_right_set),
        cmocka_unit_test(failed_samples_have_no_partner),
        cmocka_unit_test(partners_are_the_ablation),
        cmocka_unit_test(forgetting_beats_doing_nothing),
        cmocka_unit_test(retrain_forgets_where_it_came_from),
        cmocka_unit_test(an_interrupted_run_ends_with_the_same_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
