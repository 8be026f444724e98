// test_unlearn_methods.c - masks and penalties compose with every method; what each method asks of the trainer;
// interruption.
#include "unlearn_test.h"
#include "unlearn/importance.h"
#include "model/model_impl.h"

// ---- masks

static bool has_option(const lt_unlearn_method *m, const char *name)
{
    for (const lt_option *row = m->opts; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return true;
    return false;
}

// A random mask of the toy model, as a file.
static void write_mask(const char *path, uint8_t *mask)
{
    lt_tensor t[64];
    int n = 0;
    for (int64_t i = 0; i < world.model->n_params; i++) {
        lt_rng rng = lt_rng_at(2, LT_STREAM_TEST, 5, (uint64_t)i);
        mask[i] = lt_rng_below(&rng, 3) == 0;
    }
    for (lt_val v = 0; v < lt_graph_n_values(world.model->graph); v++) {
        lt_value_info info;
        if (!lti_model_tensor(world.model, v, &info) || info.role != LT_ROLE_PARAM)
            continue;
        assert_in_range(n, 0, 63);
        t[n] = (lt_tensor){.name = info.name, .dtype = LT_U8, .n_dims = info.shape.n_dims};
        memcpy(t[n].dim, info.shape.dim, sizeof info.shape.dim);
        t[n].data = mask + info.slab_offset;
        t[n++].n_bytes = (size_t)lti_model_shape_count(&info.shape);
    }
    assert_ok(lt_npz_write(path, t, n));
}

static lt_model *unlearn_with(const lt_unlearn_method *m, const char *values, lt_unlearn_result *r)
{
    lt_optset *set;
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input_for(m, model);
    void *cfg = config_open(m, values, &set);
    assert_ok(lt_unlearn_run(m, &in, cfg, r));
    lt_optset_destroy(set);
    lti_free(cfg);
    return model;
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

// Values of run hold the method's strength where its default is too little for the toy.
static const char *strength(const lt_unlearn_method *m)
{
    return strcmp(m->name, "ssd") == 0 ? ",alpha=0.5" : "";
}

static void masked_coordinates_keep_their_bits(void **state)
{
    (void)state;
    const int64_t n = world.model->n_params;
    uint8_t *mask = lti_calloc((size_t)n, 1);
    char *dir = toy_temp_dir(), values[256];
    char *path = lti_asprintf("%s/mask.npz", dir);
    write_mask(path, mask);
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        if (!has_option(*m, "mask")) {
            assert_true((*m)->needs & (LT_FROM_SCRATCH | LT_CLOSED_FORM)); // a new initialisation keeps nothing
            continue;
        }
        lt_unlearn_result r;
        int64_t changed = 0;
        snprintf(values, sizeof values, "mask=file,mask_file=%s%s", path, strength(*m));
        lt_model *model = unlearn_with(*m, values, &r);
        for (int64_t i = 0; i < n; i++) {
            const bool same = same_bits(model->params[i], world.model->params[i]);
            assert_true(mask[i] || same);
            changed += !same;
        }
        assert_true(changed > 0 && changed <= r.n_trainable && r.n_trainable < n / 2);
        lt_unlearn_result_clear(&r);
        lt_model_destroy(model);

        snprintf(values, sizeof values, "mask=salun,mask_ratio=0.3%s", strength(*m));
        model = unlearn_with(*m, values, &r);
        changed = 0;
        for (int64_t i = 0; i < n; i++)
            changed += !same_bits(model->params[i], world.model->params[i]);
        assert_int_equal(r.n_trainable, (int64_t)floor(0.3 * (double)n)); // [AMUN 12.1]
        assert_true(changed > 0 && changed <= r.n_trainable);
        assert_true(r.mask_s > 0 && r.mask.n_backward == ((*m)->needs & LT_WHOLE_CLASSES ? TOY_PER_CLASS : TOY_FORGET));
        lt_unlearn_result_clear(&r);
        lt_model_destroy(model);
    }
    lti_free(path);
    lti_free(mask);
    toy_remove_dir(dir);
}

static void only_the_classifier_moves(void **state)
{
    (void)state;
    static const char *const values[] = {"", "reinit=true"};
    for (int v = 0; v < 2; v++) {
        lt_unlearn_result r;
        lt_model *model = unlearn("classifier-only", values[v], true, 3, &r);
        for (int l = 0; l < r.n_layers; l++)
            assert_int_equal(r.layer[l].delta_l2 > 0, strncmp(r.layer[l].name, "linear.", 7) == 0);
        assert_memory_equal(model->state, world.model->state, (size_t)model->n_state * sizeof(float));
        lt_unlearn_result_clear(&r);
        lt_model_destroy(model);
    }
    lt_unlearn_result r; // by option, batch norm still follows the data: running statistics are never masked [AMUN 6]
    lt_model *model = unlearn("ft", "mask=classifier", true, 3, &r);
    assert_true(memcmp(model->state, world.model->state, (size_t)model->n_state * sizeof(float)) != 0);
    assert_int_equal(r.layer[0].delta_l2 > 0, 0);
    lt_unlearn_result_clear(&r);
    lt_model_destroy(model);
}

static void bad_masks_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *values, *message;
        lt_status status;
    } bad[] = {{"mask=file", "mask_file", LT_E_USAGE},
               {"mask_file=x.npz", "mask is not 'file'", LT_E_USAGE},
               {"mask=file,mask_file=/nowhere/x.npz", "/nowhere/x.npz", LT_E_INPUT},
               {"mask=salun,mask_ratio=1e-9", "0 of", LT_E_CHECK}};
    for (int i = 0; i < 4; i++) {
        lt_optset *set;
        lt_unlearn_result r;
        lt_model *model = toy_trained(&world);
        lt_unlearn_in in = input(model);
        void *cfg = config_open(find("ft"), bad[i].values, &set);
        assert_fails(bad[i].status, bad[i].message, lt_unlearn_run(find("ft"), &in, cfg, &r));
        lt_optset_destroy(set);
        lti_free(cfg);
        lt_model_destroy(model);
    }
    char *dir = toy_temp_dir(), *path = lti_asprintf("%s/mask.npz", dir), values[256];
    const uint8_t one = 1;
    const lt_tensor t = {
        .name = "conv1.weight", .dtype = LT_U8, .n_dims = 1, .dim = {1}, .data = (void *)(uintptr_t)&one, .n_bytes = 1};
    assert_ok(lt_npz_write(path, &t, 1));
    snprintf(values, sizeof values, "mask=file,mask_file=%s", path);
    lt_optset *set;
    lt_unlearn_result r;
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    void *cfg = config_open(find("ft"), values, &set);
    assert_fails(LT_E_FORMAT, "conv1.weight", lt_unlearn_run(find("ft"), &in, cfg, &r));
    lt_optset_destroy(set);
    lti_free(cfg);
    lt_model_destroy(model);
    lti_free(path);
    toy_remove_dir(dir);
}

// ---- what each recipe asks for

static void check_phase(const lt_phase *p, const lt_index_set *rows, float weight, float distill, int teacher)
{
    assert_int_equal(p->n_views, 1);
    assert_int_equal(p->view[0].n, rows->n);
    assert_memory_equal(p->view[0].row, rows->row, (size_t)rows->n * sizeof *rows->row);
    assert_true(p->view[0].weight == weight && p->distill[0].weight == distill && p->distill[0].teacher == teacher);
}

static void penalties_and_masks_are_options(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "l1-sparse", "epochs=10,preset=published", true);
    check_phase(&p.job.phase[0], &world.retain, 1, 0, 0);
    assert_true(p.job.l1 == 5e-4f && p.job.l1_schedule == LT_L1_LINEAR && p.job.cfg.schedule == LT_SCHED_CONST);
    assert_true(fabs(lt_train_l1(&p.job, 0) - 5e-4) < 1e-9 && fabs(lt_train_l1(&p.job, 9) - 5e-5) < 1e-9);
    p.job.l1_off_last_epochs = 5;
    assert_true(fabs(lt_train_l1(&p.job, 4) - 1e-4) < 1e-9 && lt_train_l1(&p.job, 5) == 0);
    plan_close(&p);
    plan_open(&p, "l1-sparse", "epochs=10,l1_schedule=cumulative", true);
    static const double rise[] = {1, 2, 3.6, 5.76, 8.064, 9.6768, 9.6768, 7.74144}; // [AMUN 11.8]
    for (int e = 0; e < 8; e++)
        assert_true(fabs(lt_train_l1(&p.job, e) - 5e-4 * rise[e]) < 1e-8);
    plan_close(&p);
    plan_open(&p, "amun", "l1=5e-4,mask=salun,adv_only=no", true); // amun_l1 and AMUN+SalUn
    assert_true(p.job.l1 == 5e-4f && p.job.l1_schedule == LT_L1_CONST && p.job.mask == p.ctx.mask && p.job.mask);
    assert_int_equal(p.job.phase[0].n_views, 3);
    plan_close(&p);
    plan_open(&p, "salun", "preset=published", true);
    assert_true(p.job.mask && p.job.n_phases == 2 && p.job.cfg.lr == 0.013f);
    assert_int_equal(p.job.phase[0].view[0].relabel, LT_RELABEL_RANDOM_ANY);
    plan_close(&p);
    plan_open(&p, "salun", "order=joint,true_label=false", true); // as in the AMUN tables
    assert_true(p.job.n_phases == 1 && p.job.phase[0].view[0].relabel == LT_RELABEL_RANDOM_OTHER);
    plan_close(&p);
    plan_open(&p, "ft", "optimizer=adamw,freeze_bn=true", true);
    assert_true(p.job.cfg.optimizer == LT_ADAMW && p.job.bn_eval && !p.job.mask && p.job.l1 == 0);
    plan_close(&p);
}

static void descents_and_ascents_are_as_published(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "neggrad-plus", "forget_batch=8,preset=published", true);
    assert_int_equal(p.job.n_phases, 2);
    check_phase(&p.job.phase[0], &world.retain, 0.95f, 0, 0);
    check_phase(&p.job.phase[1], &world.forget, -(1.0f - 0.95f), 0, 0);
    assert_true(p.job.phase[1].companion && !p.job.phase[0].companion && p.job.phase[1].batch == 8);
    assert_true(p.job.cfg.weight_decay == 0 && p.job.cfg.lr == 0.01f);
    plan_close(&p);

    plan_open(&p, "scrub", "epochs=4,preset=published", true);
    assert_true(p.job.teacher[0] && p.job.teacher[0] != p.model && same_params(p.job.teacher[0], p.model));
    assert_true(p.job.temperature == 4 && p.job.n_phases == 2 && p.job.cfg.lr == 5e-4f);
    for (int32_t e = 0; e < 4; e++) { // two epochs with a max pass, then min passes alone
        assert_ok(p.job.on_epoch(&p.job, e, p.job.ctx));
        assert_int_equal(p.job.n_phases, e < 2 ? 2 : 1);
        if (e < 2)
            check_phase(&p.job.phase[0], &world.forget, 0, -1, 0);
        assert_int_equal(p.job.phase[0].batch, e < 2 ? 32 : 0);
        check_phase(&p.job.phase[p.job.n_phases - 1], &world.retain, 0.99f, 0.001f, 0);
    }
    plan_close(&p);

    plan_open(&p, "bad-teacher", "retain_share=0.25", true);
    const lt_phase *phase = &p.job.phase[0];
    assert_true(p.job.n_phases == 1 && phase->n_views == 2 && phase->view[0].n == TOY_FORGET);
    assert_int_equal(phase->view[1].n, world.retain.n / 4);
    assert_true(phase->view[0].weight == 0 && phase->view[1].weight == 0); // no labels
    assert_true(phase->distill[0].weight == 1 && phase->distill[0].teacher == 1);
    assert_true(phase->distill[1].weight == 1 && phase->distill[1].teacher == 0);
    assert_true(same_params(p.job.teacher[0], p.model) && !same_params(p.job.teacher[1], p.model));
    assert_true(p.job.cfg.optimizer == LT_ADAMW && p.job.temperature == 1);
    for (int64_t i = 0; i < phase->view[1].n; i++) { // a sample of the retain set, each row once
        int found = 0;
        for (int64_t j = 0; j < world.retain.n; j++)
            found += phase->view[1].row[i] == world.retain.row[j];
        for (int64_t j = 0; j < i; j++)
            found += 2 * (phase->view[1].row[i] == phase->view[1].row[j]);
        assert_int_equal(found, 1);
    }
    plan_close(&p);
    plan_open(&p, "bad-teacher", "", false);
    assert_true(p.job.phase[0].n_views == 1 && p.job.phase[0].distill[0].teacher == 1);
    plan_close(&p);
}

static void boundaries_are_as_published(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "boundary-shrink", "", true);
    assert_true(p.job.n_phases == 1 && p.job.on_batch && !p.job.on_phase &&
                find("boundary-shrink")->needs & LT_FORGET_ONLY);
    check_phase(&p.job.phase[0], &world.forget, 1, 0, 0);
    plan_close(&p);
    plan_open(&p, "boundary-shrink-amun", "", true);
    assert_true(p.job.n_phases == 2 && p.job.on_batch && p.job.on_phase && !p.job.phase[0].shuffle);
    check_phase(&p.job.phase[0], &world.retain, 1, 0, 0);
    check_phase(&p.job.phase[1], &world.forget, 1, 0, 0);
    plan_close(&p);
    plan_open(&p, "boundary-shrink-amun", "", false);
    assert_int_equal(p.job.n_phases, 1);
    check_phase(&p.job.phase[0], &world.forget, 1, 0, 0);
    plan_close(&p);
    plan_open(&p, "boundary-expand", "mask=classifier", true);
    assert_true(p.job.model != p.model && p.job.model->shape.n_classes == TOY_K + 1);
    int64_t free_ones = 0;
    for (int64_t i = 0; i < p.job.model->n_params; i++)
        free_ones += p.job.mask[i];
    // The new row (weights and bias), and the old rows of the last layer: K + 1 rows in all.
    const int64_t row = p.job.model->n_params - p.model->n_params;
    assert_int_equal(free_ones, (TOY_K + 1) * row);
    int32_t labels[2] = {0, 1};
    const lt_batch batch = {.n = 2};
    assert_ok(p.job.on_batch(&p.job, 0, &batch, labels, p.job.ctx));
    assert_true(labels[0] == TOY_K && labels[1] == TOY_K);
    plan_close(&p);
}

// ---- behaviour

static void widening_and_cutting_is_nothing(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "boundary-expand", "", true);
    lt_unlearn_in in = input(p.model);
    memset(p.model->params, 0, (size_t)p.model->n_params * sizeof(float));
    assert_ok(find("boundary-expand")->finish(&in, p.cfg, &p.ctx, &p.job));
    assert_true(same_params(p.model, world.model));
    plan_close(&p);
}

static double forget_acc(const lt_model *model)
{
    lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_eval_result r;
    assert_ok(lt_evaluate(model, &view, &world.env, 16, NULL, NULL, &r));
    return r.acc;
}

static double forget_loss(const lt_model *model)
{
    lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_eval_result r;
    assert_ok(lt_evaluate(model, &view, &world.env, 16, NULL, NULL, &r));
    return r.loss;
}

static void every_method_can_forget(void **state)
{
    (void)state;
    static const struct {
        const char *name, *values;
    } run[] = {{"salun", ""},
               {"neggrad-plus", "alpha=0.5,lr=0.05"},
               {"scrub", "lr=0.01,forget_batch=8"},
               {"bad-teacher", "lr=0.005"},
               {"ssd", "alpha=1"},
               {"fisher", "alpha=1e-3"},
               {"influence", "alpha=20"},
               {"boundary-shrink", "lr=0.02"},
               {"boundary-shrink-amun", "lr=0.02"},
               {"boundary-expand", "lr=0.05"}};
    const double before = forget_loss(world.model);
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
        lt_unlearn_result r;
        lt_model *m = unlearn(run[i].name, run[i].values, true, 3, &r);
        if (!(forget_loss(m) > before))
            fail_msg("%s: the loss on the forget set is %g, it was %g", run[i].name, forget_loss(m), before);
        lt_unlearn_result_clear(&r);
        lt_model_destroy(m);
    }
}

// SCRUB+R ends with one of the epochs of SCRUB: the one whose forget error is nearest to the held-out error of the
// last.
static void rewinding_chooses_the_nearest_epoch(void **state)
{
    (void)state;
    enum { E = 4 };
    lt_model *after[E];
    lt_unlearn_result r;
    char values[96];
    double error[E], target = 0, per_class[TOY_K];
    for (int e = 0; e < E; e++) { // constant learning rate: shorter runs are beginnings of the longer one
        snprintf(values, sizeof values, "epochs=%d,max_epochs=3,lr=0.03,forget_batch=8", e + 1);
        after[e] = unlearn("scrub", values, true, 3, &r);
        error[e] = 1 - forget_acc(after[e]);
        lt_unlearn_result_clear(&r);
    }
    const lt_view test = lt_view_split(world.ds, LT_TEST);
    lt_eval_result eval;
    assert_ok(lt_evaluate(after[E - 1], &test, &world.env, 16, NULL, per_class, &eval));
    for (int i = 0; i < TOY_FORGET; i++)
        target += (1 - per_class[world.ds->split[LT_TRAIN].y[world.forget.row[i]]]) / TOY_FORGET;
    int want = 0;
    for (int e = 1; e < E; e++)
        if (fabs(error[e] - target) < fabs(error[want] - target))
            want = e;
    snprintf(values, sizeof values, "epochs=%d,max_epochs=3,lr=0.03,forget_batch=8,rewind=true", E);
    lt_model *m = unlearn("scrub", values, true, 3, &r);
    assert_true(same_params(m, after[want]));
    assert_int_equal(m->bn_batches, after[want]->bn_batches);
    assert_false(same_params(m, after[(want + 1) % E]));
    lt_unlearn_result_clear(&r);
    lt_model_destroy(m);
    for (int e = 0; e < E; e++)
        lt_model_destroy(after[e]);
}

// ---- interruption: at the first event of a kind, and resumed

typedef struct trap {
    const char *event;
    int after; // so many of them
} trap;

static void spring(void *self, const lt_event *event)
{
    trap *t = self;
    if (t->event && strcmp(event->name, t->event) == 0 && t->after-- == 0)
        world.stop = 1;
}

static void interrupted_runs_end_with_the_same_bits(void **state)
{
    (void)state;
    static const struct {
        const char *name, *values, *event;
    } run[] = {{"scrub", "rewind=true,lr=0.03,forget_batch=8", "train.epoch"},
               {"boundary-shrink-amun", "lr=0.02", "train.epoch"},
               {"boundary-shrink", "lr=0.02", "train.epoch"},
               {"boundary-expand", "lr=0.05", "train.epoch"},
               {"bad-teacher", "epochs=3", "train.epoch"},
               {"neggrad-plus", "forget_batch=5", "train.epoch"},
               {"salun", "l1=1e-3,l1_schedule=linear", "train.epoch"},
               {"trw", "remain_frac=0.5,rounds=3", "train.epoch"},
               {"delete", "lr=0.01", "train.epoch"},
               {"classifier-only", "reinit=true", "train.epoch"},
               {"fisher", "", "unlearn.progress"},
               {"influence", "batch=16", "unlearn.progress"},
               {"ssd", "batch=16", "unlearn.progress"}};
    trap t = {0};
    assert_ok(lt_events_add(world.events, (lt_sink){spring, &t}));
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
        const lt_unlearn_method *m = find(run[i].name);
        lt_unlearn_result r, whole_r;
        t.event = NULL;
        lt_model *whole = unlearn(run[i].name, run[i].values, true, 3, &whole_r);
        char *dir = toy_temp_dir();
        lt_model *model = toy_trained(&world);
        lt_unlearn_in in = input_for(m, model);
        in.run_dir = dir;
        void *cfg = config(m, run[i].values);
        t = (trap){run[i].event, 0};
        assert_fails(LT_E_INTERRUPTED, "", lt_unlearn_run(m, &in, cfg, &r));
        world.stop = 0;
        t.event = NULL;
        if (m->run)
            assert_true(same_params(model, world.model)); // all or nothing
        lt_model_destroy(model);
        in.model = model = toy_trained(&world);
        in.resume = true;
        assert_ok(lt_unlearn_run(m, &in, cfg, &r));
        if (!same_params(model, whole))
            fail_msg("%s: resumed, it ends elsewhere", run[i].name);
        assert_int_equal(r.update.n_forward, whole_r.update.n_forward);
        assert_int_equal(r.update.n_backward, whole_r.update.n_backward);
        lt_unlearn_result_clear(&r);
        lt_unlearn_result_clear(&whole_r);
        lti_free(cfg);
        lt_model_destroy(model);
        lt_model_destroy(whole);
        toy_remove_dir(dir);
    }
    lt_events_remove(world.events, &t);
}

// A boundary label is of the copy frozen after the retain pass: a run that is stopped inside the forget pass must find
// it again.
static void stop_in_forget_pass(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    const int64_t *at = ctx;
    if (step->step == *at)
        world.stop = 1;
}

static void the_frozen_copy_is_found_again(void **state)
{
    (void)state;
    char digest[2][65];
    for (int stopped = 0; stopped < 2; stopped++) {
        planned p;
        char *dir = toy_temp_dir(), *path = lti_asprintf("%s/state.safetensors", dir);
        int64_t at = 7; // 6 batches of the retain set, then 2 of the forget set
        plan_open(&p, "boundary-shrink-amun", "lr=0.05", true);
        if (stopped) {
            p.job.on_step = stop_in_forget_pass;
            p.job.step_ctx = &at;
            assert_fails(LT_E_INTERRUPTED, "step 7", lt_train_run(&p.job, &world.env, path, false, NULL));
            world.stop = 0;
            plan_close(&p);
            plan_open(&p, "boundary-shrink-amun", "lr=0.05", true);
        }
        assert_ok(lt_train_run(&p.job, &world.env, path, stopped, NULL));
        lt_model_digest(p.model, digest[stopped]);
        plan_close(&p);
        lti_free(path);
        toy_remove_dir(dir);
    }
    assert_string_equal(digest[0], digest[1]);
}

static void passes_are_counted(void **state)
{
    (void)state;
    lt_unlearn_result r;
    const int64_t n_f = TOY_FORGET, n_r = TOY_TRAIN - TOY_FORGET, steps = n_r / 16;
    static const char *const name[] = {"ft", "neggrad-plus", "scrub", "ssd", "fisher", "influence", "boundary-shrink"};
    const int64_t backward[] = {3 * n_r,     3 * (n_r + steps * 12), 2 * n_f + 3 * n_r, TOY_TRAIN + n_f,
                                TOY_K * n_r, TOY_TRAIN + n_r,        3 * 2 * n_f};
    const int64_t forward[] = {
        3 * n_r,    3 * (n_r + steps * 12), 2 * (2 * n_f + 3 * n_r), TOY_TRAIN + n_f, TOY_K * n_r, TOY_TRAIN + n_r,
        3 * 3 * n_f};
    for (int i = 0; i < 7; i++) {
        lt_model *m = unlearn(name[i], i == 1 ? "forget_batch=12" : "", true, 3, &r);
        assert_int_equal(r.update.n_backward, backward[i]);
        assert_int_equal(r.update.n_forward, forward[i]);
        assert_int_equal(r.search.n_forward + r.mask.n_forward, 0);
        lt_unlearn_result_clear(&r);
        lt_model_destroy(m);
    }
}

// ---- what each term of a loss is a mean over

// The forget term of ReGUn is the mean over forgotten images alone: it does not see how many are retained. [REGUN]
static void regun_weighs_each_set_by_itself(void **state)
{
    (void)state;
    const lt_unlearn_method *m = find("regun");
    lt_model *model[2];
    for (int i = 0; i < 2; i++) {
        lt_unlearn_result r;
        lt_index_set retain = world.retain;
        model[i] = toy_trained(&world);
        lt_unlearn_in in = input(model[i]);
        retain.n = i ? retain.n / 2 : retain.n;
        in.retain = &retain;
        void *cfg = config(m, "epochs=1,batch=120,lr=0.01,momentum=0,weight_decay=0,schedule=const,retain_weight=0");
        assert_ok(lt_unlearn_run(m, &in, cfg, &r));
        lt_unlearn_result_clear(&r);
        lti_free(cfg);
    }
    const size_t bytes = (size_t)model[0]->n_params * sizeof *model[0]->params;
    assert_memory_not_equal(model[0]->params, world.model->params, bytes);
    assert_memory_equal(model[0]->params, model[1]->params, bytes);
    lt_model_destroy(model[0]);
    lt_model_destroy(model[1]);
}

static lt_status count_samples(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    (void)g;
    *(int64_t *)ctx += batch->n;
    return LT_OK;
}

static void gradients_read_as_many_samples_as_asked(void **state)
{
    (void)state;
    const lt_view view = lt_view_split(world.ds, LT_TRAIN);
    for (int64_t n = 10; n <= 40; n += 15) {
        lti_param_grad g;
        int64_t seen = 0;
        assert_ok(lti_param_grad_init(&g, world.model, &world.env));
        assert_ok(lti_param_grad_pass(
            &g, &(lti_grad_pass){
                    .view = &view, .batch = 16, .n_max = n, .what = "test", .each = count_samples, .ctx = &seen}));
        assert_int_equal(seen, n);
        assert_int_equal(g.passes.n_backward, n);
        lti_param_grad_clear(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_coordinates_keep_their_bits),
        cmocka_unit_test(only_the_classifier_moves),
        cmocka_unit_test(bad_masks_are_named),
        cmocka_unit_test(penalties_and_masks_are_options),
        cmocka_unit_test(descents_and_ascents_are_as_published),
        cmocka_unit_test(boundaries_are_as_published),
        cmocka_unit_test(widening_and_cutting_is_nothing),
        cmocka_unit_test(every_method_can_forget),
        cmocka_unit_test(rewinding_chooses_the_nearest_epoch),
        cmocka_unit_test(interrupted_runs_end_with_the_same_bits),
        cmocka_unit_test(the_frozen_copy_is_found_again),
        cmocka_unit_test(passes_are_counted),
        cmocka_unit_test(regun_weighs_each_set_by_itself),
        cmocka_unit_test(gradients_read_as_many_samples_as_asked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
