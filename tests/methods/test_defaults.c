// Defaults that do something: the learning rate from the learning-rate area, the form rule of AMUN, published values.
#include "unlearn/gradient_rules.h"
#include "unlearn_test.h"

static double steps_by_hand(const lt_job *job)
{
    double n = 0;
    for (int p = 0; p < job->n_phases; p++) {
        int64_t images = 0;
        for (int v = 0; v < job->phase[p].n_views; v++)
            images += job->phase[p].view[v].n;
        const int64_t batch = job->phase[p].batch ? job->phase[p].batch : job->cfg.batch;
        if (!job->phase[p].companion)
            n += ceil((double)images / (double)batch);
    }
    return n;
}

// n S from its definition, not from the trainer's schedule, over the steps that each epoch has.
static double factors_by_hand(const lt_unlearn_method *method, const lt_job *job)
{
    const lt_train_cfg *c = &job->cfg;
    lt_job at = *job;
    double sum = 0;
    for (int32_t e = 0; e < c->epochs; e++) {
        if (method->set_phases)
            method->set_phases(&at, e);
        const double n = steps_by_hand(&at);
        double s = 0;
        if (c->schedule == LT_SCHED_STEP)
            s += pow((double)c->lr_step_gamma, floor((double)e / c->lr_step_every));
        for (double k = 0; k < n && c->schedule == LT_SCHED_COSINE; k++) {
            const double t = e + k / n, warm = c->warmup_epochs; // a rise in a straight line before the cosine
            s += (t < warm ? (t + 1 / n) / warm
                           : 0.5 * (1 + cos(3.14159265358979323846 * (t - warm) / (c->epochs - warm)))) /
                 n;
        }
        s += c->schedule == LT_SCHED_CONST;
        sum += n * s;
    }
    return sum;
}

static void check_area(const char *name, const char *values, bool use_retain, double area)
{
    planned p;
    plan_open(&p, name, values, use_retain);
    // an area is that of momentum 0.9 [AREA 2]; a method with its own momentum spends as much of it by other rates
    const double momentum = p.job.cfg.momentum == 0.9F ? 0.9 : (double)p.job.cfg.momentum;
    const double spent = p.setting.setup.lr * factors_by_hand(find(name), &p.job) * 0.1 / (1 - momentum);
    if (!(fabs(spent / area - 1) < 1e-12))
        print_error("%s %s: spends %.17g, expected %.17g\n", name, values, spent, area);
    assert_true(fabs(spent / area - 1) < 1e-12);
    assert_true(p.job.cfg.lr == (float)p.setting.setup.lr);
    assert_true(fabs(p.setting.setup.lr_area / area - 1) < 1e-12);
    assert_int_equal(p.setting.setup.steps_per_epoch, (int64_t)steps_by_hand(&p.job));
    plan_close(&p);
}

// [AREA 1] for every method with an area, batch, number of epochs and schedule.
static void the_area_is_spent_exactly(void **state)
{
    (void)state;
    world.recipe.lr = 1000; // no cap here
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        static const int batch[] = {1, 64, TOY_TRAIN + 1}, epochs[] = {1, 2, 7, 10}, every[] = {-1, 0, 1, 3};
        if (!(*m)->defaults || !((*m)->defaults[0].area > 0) || ((*m)->needs & LT_NEED_ATTACK))
            continue; // of the attack below: a search per setting takes long
        for (int i = 0; i < 3 * 4 * 4; i++) {
            char values[128];
            snprintf(values, sizeof values, "mask=none,lr_area=0.37,batch=%d,epochs=%d,lr_step_every=%d", batch[i % 3],
                     epochs[i / 3 % 4], every[i / 12]);
            check_area((*m)->name, values, true, 0.37);
            if (!((*m)->needs & LT_NEED_RETAIN))
                check_area((*m)->name, values, false, 0.37);
        }
    }
    check_area("amun", "lr_area=0.37,adv_only=no,batch=7", true, 0.37);
    check_area("amun", "lr_area=0.37,adv_only=yes", false, 0.37);
    world.recipe.lr = 0.05f;
}

static double lr_of(const char *name, const char *values)
{
    planned p;
    plan_open(&p, name, values, true);
    const double lr = p.setting.setup.lr;
    plan_close(&p);
    return lr;
}

static void twice_the_batch_is_twice_the_rate(void **state)
{
    (void)state;
    world.recipe.lr = 1000;
    const double one = lr_of("ft", "lr_area=0.2,batch=12"), two = lr_of("ft", "lr_area=0.2,batch=24"); // 8, 4 steps
    assert_true(fabs(two / one - 2) < 1e-12);
    const int64_t n = world.retain.n;
    world.retain.n = n / 2; // half of the data: half of the steps
    const double half = lr_of("ft", "lr_area=0.2,batch=12");
    world.retain.n = n;
    assert_true(fabs(half / one - 2) < 1e-12);
    assert_true(fabs(lr_of("ft", "lr_area=0.2,batch=12,momentum=0.8") / one - 2) < 1e-6); // A (1 - m) / 0.1
    world.recipe.lr = 0.05f;
}

static void a_given_rate_wins_and_tells_its_area(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "ft", "lr=0.03,batch=12,lr_step_every=1,epochs=10", true); // S = 1.1111111111, n = 8
    assert_true(p.job.cfg.lr == 0.03f && fabs(p.setting.setup.lr_area - 0.03 * 8 * 1.1111111111) < 1e-6);
    assert_true(p.setting.setup.lr_area_default == 30);
    plan_close(&p);
    lt_optset *set;
    lti_setting setting;
    lt_unlearn_in in = input(world.model);
    void *cfg = config_open(find("ft"), "lr=0.03,lr_area=1", &set);
    assert_fails(LT_E_USAGE, "found both", lti_fill_defaults(find("ft"), &in, cfg, &setting));
    lt_optset_destroy(set);
    lti_free(cfg);
    cfg = config_open(find("ft"), "optimizer=adamw,lr_area=1", &set);
    assert_fails(LT_E_USAGE, "sgd", lti_fill_defaults(find("ft"), &in, cfg, &setting));
    lt_optset_destroy(set);
    lti_free(cfg);
}

static void clipped_originals_have_areas_of_their_own(void **state)
{
    (void)state;
    lt_unlearn_in in = input(world.model);
    lt_optset *set;
    double plain, clipped;
    void *cfg = config_open(find("amun"), "", &set);
    assert_ok(lt_unlearn_default_area(find("amun"), &in, cfg, &plain));
    in.is_clipped = true;
    assert_ok(lt_unlearn_default_area(find("amun"), &in, cfg, &clipped));
    assert_true(plain == 5 && clipped == 0.5);
    in.use_retain = false; // not measured: as for other originals
    assert_ok(lt_unlearn_default_area(find("amun"), &in, cfg, &clipped));
    in.is_clipped = false;
    assert_ok(lt_unlearn_default_area(find("amun"), &in, cfg, &plain));
    assert_true(plain == clipped);
    lt_optset_destroy(set);
    lti_free(cfg);
}

// The largest rate of the base run is the cap: more epochs where that helps, else less is spent, and said.
static void the_cap_raises_epochs_or_is_told(void **state)
{
    (void)state;
    planned p;
    world.recipe.lr = 0.1f;
    plan_open(&p, "ft", "epochs=0,batch=12", true); // A 30 by n = 8: 10 epochs at the cap give 4.4, 30 give 13.2
    assert_int_equal(p.job.cfg.epochs, 30);
    assert_int_equal(p.job.cfg.lr_step_every, 15);
    assert_true(p.job.cfg.lr == 0.1f && p.setting.setup.lr_area_wanted == 30 && p.setting.setup.raised_epochs);
    assert_true(fabs(p.setting.setup.lr_area - (double)0.1f * 8 * 16.5) < 1e-6);
    plan_close(&p);
    plan_open(&p, "ft", "epochs=0,batch=12,lr_area=5", true); // 8 n S: 12 epochs are the first even number that fits
    assert_int_equal(p.job.cfg.epochs, 12);
    assert_true(fabs(p.setting.setup.lr_area - 5) < 1e-12 && p.setting.setup.lr < 0.1);
    plan_close(&p);
    plan_open(&p, "ft", "epochs=0,batch=12,lr_area=4.3", true); // fits
    assert_int_equal(p.job.cfg.epochs, 10);
    plan_close(&p);
    plan_open(&p, "ft", "epochs=4,batch=12,lr_area=5", true); // epochs that were asked for stay
    assert_true(p.job.cfg.epochs == 4 && p.setting.setup.lr_area_wanted == 5 && p.setting.setup.lr_area < 2);
    plan_close(&p);
    plan_open(&p, "rl", "epochs=0,batch=12,augment=yes", true); // s = 1: more epochs do not help
    assert_int_equal(p.job.cfg.epochs, 10);
    assert_true(p.job.cfg.lr == 0.1f && p.setting.setup.lr_area_wanted == 5 && !p.setting.setup.raised_epochs);
    plan_close(&p);
    world.recipe.lr = 0.05f;
}

// What a method derives from the number of epochs follows when the largest rate raises it.
static void raised_epochs_reach_the_method(void **state)
{
    (void)state;
    planned p;
    lt_unlearn_result r;
    plan_open(&p, "scrub", "epochs=0,rewind=yes,lr_area=500", true);
    assert_int_equal(p.job.cfg.epochs, 8);
    assert_ok(find("scrub")->begin(&p.in, p.cfg, &p.ctx, &p.job));
    assert_true(p.job.memory_bytes >= 8 * (size_t)p.model->n_params * sizeof(float));
    plan_close(&p);
    lt_model_destroy(unlearn("scrub", "epochs=0,rewind=yes,lr_area=500", true, 3, &r)); // one slot for each
    assert_int_equal(r.train.epochs, 8);
    lt_unlearn_result_clear(&r);
    plan_open(&p, "msg", "epochs=0,lr_area=500", true);
    assert_int_equal(p.job.cfg.epochs, 14);
    assert_int_equal(p.job.cfg.warmup_epochs, 7);
    plan_close(&p);
    plan_open(&p, "unsir", "epochs=0,lr_area=500", true); // its step lies after the first epoch, not in the middle
    assert_true(p.job.cfg.epochs == 2 && p.job.cfg.lr_step_every == 1);
    plan_close(&p);
}

// A rate of Adam says nothing about one of SGD.
static void the_cap_is_of_the_same_optimizer(void **state)
{
    (void)state;
    planned p;
    world.recipe.optimizer = LT_ADAMW;
    world.recipe.lr = 0.001f;
    plan_open(&p, "ft", "", true);
    assert_true(p.setting.lr_cap == 0.1f);
    plan_close(&p);
    plan_open(&p, "unsir", "", true);
    assert_true(p.setting.lr_cap == 0.001f);
    plan_close(&p);
    world.recipe.optimizer = LT_SGD;
    world.recipe.lr = 0.05f;
}

// What the sources say, method by method.
static void published_values_are_those_of_the_sources(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float lr;
        int32_t epochs;
        int64_t batch;
        int32_t every;
        int n_phases;
    } c[] = {
        {"amun", 0.01f, 10, 128, 1, 1},
        {"ft", 0.01f, 10, 256, 0, 1},
        {"l1-sparse", 0.01f, 10, 256, 0, 1},
        {"ga", 1e-4f, 5, 256, 0, 1},
        {"rl", 0.013f, 10, 256, 0, 2},
        {"salun", 0.013f, 10, 256, 0, 2},
        {"boundary-shrink", 1e-5f, 10, 64, 0, 1},
        {"boundary-expand", 1e-5f, 10, 64, 0, 1},
        {"neggrad-plus", 0.01f, 10, 128, 0, 2},
        {"scrub", 5e-4f, 3, 128, 0, 2},
        {"bad-teacher", 1e-4f, 1, 256, 0, 1},
        {"delete", 1e-4f, 20, 128, 0, 1},
        {"msg", 1e-3f, 5, 64, LT_STEP_COSINE, 1},
        {"ct", 1e-3f, 3, 64, LT_STEP_COSINE, 1},
        {"hamu", 1e-4f, 25, 5000, 0, 2},
        {"scar", 5e-4f, 30, 1024, 0, -1},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        planned p;
        plan_open(&p, c[i].name, "preset=published,epochs=0,batch=0", true);
        const lt_unlearn_setup *s = &p.setting.setup;
        if (p.job.cfg.lr != c[i].lr || s->epochs != c[i].epochs || s->batch != c[i].batch ||
            s->lr_step_every != c[i].every || (c[i].n_phases >= 0 && p.job.n_phases != c[i].n_phases))
            fail_msg("%s: published lr %g, %d epochs, batch %lld, step %d, %d phases", c[i].name, (double)p.job.cfg.lr,
                     s->epochs, (long long)s->batch, s->lr_step_every, p.job.n_phases);
        plan_close(&p);
    }
    static const char *const without[] = {"ga-amun", "boundary-shrink-amun", "trw", "munba", "lotus", "regun"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) { // no rate was published, and none is made up
        lt_optset *set;
        lti_setting setting;
        const lt_unlearn_in in = input_for(find(without[i]), world.model);
        void *cfg = config_open(find(without[i]), "preset=published", &set);
        assert_fails(LT_E_USAGE, "publish no learning rate", lti_fill_defaults(find(without[i]), &in, cfg, &setting));
        lt_optset_destroy(set);
        lti_free(cfg);
    }
}

static void munba_obeys_the_rate_and_schedule(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "munba", "lr=0.003,schedule=const", true);
    assert_true(p.job.cfg.lr == 0.003f && p.job.cfg.schedule == LT_SCHED_CONST);
    plan_close(&p);
    plan_open(&p, "munba", "displacement=1000", true);
    assert_true(p.job.cfg.lr == 0.05f && p.job.cfg.schedule == LT_SCHED_COSINE); // at most that of the base run
    plan_close(&p);
}

// MUNBa's step solves the bargain: G'G a = 1/a, is sqrt(2) long and descends on both losses. [MUNBa 1]
static void munba_strikes_the_bargain(void **state)
{
    (void)state;
    lt_rng rng = lt_rng_at(7, LT_STREAM_UNLEARN, 0, 0);
    for (int t = 0; t < 100; t++) {
        enum { N = 9 };
        double r[N], f[N], g1 = 0, g2 = 0, g3 = 0, a_r, a_f, step2 = 0, on_r = 0, on_f = 0;
        for (int i = 0; i < N; i++) {
            r[i] = lt_rng_normal(&rng), f[i] = 10 * lt_rng_normal(&rng);
            g1 += r[i] * r[i], g2 += r[i] * f[i], g3 += f[i] * f[i];
        }
        lti_munba_bargain(g1, g2, g3, &a_r, &a_f);
        const double root = sqrt(g1 * g3), c = g2 / root;
        const double coded = sqrt((g1 * g3 - g2 * root) / (g1 * g1 * g3 - g1 * g2 * g2)); // eps 0
        assert_true(fabs(a_r / coded - 1) < 1e-9 && fabs(a_f / ((1 - g1 * coded * coded) / (g2 * coded)) - 1) < 1e-9);
        assert_true(fabs(a_r * sqrt(g1 * (1 + c)) - 1) < 1e-9);
        for (int i = 0; i < N; i++) {
            const double step = a_r * r[i] + a_f * f[i];
            step2 += step * step, on_r -= step * r[i], on_f -= step * f[i];
        }
        assert_true(fabs(sqrt(step2) - sqrt(2)) < 1e-9 && on_r <= 0 && on_f <= 0);
    }
}

// The figures of the rule at sizes that are known. [AREA 2]
static void known_sizes_give_known_rates(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        double area;
        int32_t every;
        double lr;
    } row[] = {{430, 5, 5, 0.0021}, {430, 5, 1, 0.0105}, {104, 5, 5, 0.0087}, {63, 5, 5, 0.0144},
               {7, 0.2, 5, 0.0052}, {57, 30, 5, 0.096},  {63, 0.7, 1, 0.010}, {7, 0.08, 1, 0.0103}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        lt_job job = {.n_phases = 1};
        lt_options_defaults(lt_train_options, &job.cfg);
        job.cfg.epochs = 10;
        job.cfg.batch = 1;
        job.cfg.schedule = LT_SCHED_STEP;
        job.cfg.lr_step_every = row[i].every;
        job.phase[0] = (lt_phase){.view = {{.n = row[i].n}}, .n_views = 1};
        lti_setting s = {.area = row[i].area, .lr_cap = 0.1f, .steps_at_half = true};
        assert_ok(lti_set_lr(find("ft"), &s, &job));
        assert_true(fabs(s.setup.lr / row[i].lr - 1) < 0.01);
    }
    lt_job job = {.n_phases = 1}; // fine-tuning on the demo at batch 128: 20 epochs, lr 0.094
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 10;
    job.cfg.batch = 128;
    job.cfg.schedule = LT_SCHED_STEP;
    job.cfg.lr_step_every = 5;
    job.phase[0] = (lt_phase){.view = {{.n = 3600}}, .n_views = 1};
    lti_setting s = {.area = 30, .lr_cap = 0.1f, .may_raise_epochs = true, .steps_at_half = true};
    assert_ok(lti_set_lr(find("ft"), &s, &job));
    assert_int_equal(job.cfg.epochs, 20);
    assert_true(fabs(s.setup.lr - 0.094) < 0.0005);
}

static void an_area_of_zero_changes_no_bit(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *m = unlearn("ft", "lr_area=0", true, 3, &r);
    assert_memory_equal(m->params, world.model->params, (size_t)m->n_params * sizeof *m->params);
    assert_true(r.setup.lr == 0 && r.setup.lr_area == 0 && r.train.steps > 0);
    lt_unlearn_result_clear(&r);
    lt_model_destroy(m);
}

typedef struct asked {
    int32_t enough_after, n_asked, last;
} asked;

static lt_status ask(void *ctx, const lt_model *model, int32_t n_epochs, bool *enough)
{
    asked *a = ctx;
    assert_non_null(model);
    assert_int_equal(n_epochs, a->last + 1); // once after each epoch
    a->last = n_epochs;
    a->n_asked++;
    *enough = n_epochs == a->enough_after;
    return LT_OK;
}

static int32_t epochs_until(asked *a)
{
    lt_optset *set;
    lt_unlearn_result r;
    lt_model *model;
    const lt_unlearn_until until = {ask, a};
    assert_ok(lt_model_dup(world.model, &model));
    lt_unlearn_in in = input(model);
    in.until = &until;
    void *cfg = config_open(find("ft"), "lr=0.01,epochs=4", &set);
    assert_ok(lt_unlearn_run(find("ft"), &in, cfg, &r));
    const int32_t epochs = r.train.epochs;
    lt_unlearn_result_clear(&r);
    lt_optset_destroy(set);
    lti_free(cfg);
    lt_model_destroy(model);
    return epochs;
}

// The epoch after which it is enough is the last one; the epochs of the method are the most.
static void a_run_ends_when_it_is_enough(void **state)
{
    (void)state;
    asked at_two = {.enough_after = 2}, never = {0};
    assert_int_equal(epochs_until(&at_two), 2);
    assert_int_equal(at_two.n_asked, 2);
    assert_int_equal(epochs_until(&never), 4);
    assert_int_equal(never.n_asked, 3); // after the last one nothing depends on the answer
}

static void check_form(const char *values, bool augmented, int64_t n_forget, bool is_adv_only, const char *reason)
{
    lti_setting s;
    lt_optset *set;
    lt_index_set forget = {.n = n_forget, .row = world.forget.row};
    lt_train_cfg base = world.recipe;
    base.augment = augmented;
    lt_unlearn_in in = input(world.model);
    in.forget = &forget;
    in.train_cfg = &base;
    void *cfg = config_open(find("amun"), values, &set);
    assert_ok(lti_fill_defaults(find("amun"), &in, cfg, &s));
    assert_int_equal(s.setup.form.is_second, is_adv_only);
    if (reason)
        assert_string_equal(s.setup.form.reason, reason);
    else
        assert_null(s.setup.form.reason);
    lt_optset_destroy(set);
    lti_free(cfg);
}

static void amun_chooses_its_form(void **state)
{
    (void)state;
    static int64_t rows[36];
    int64_t *const own = world.forget.row;
    for (int i = 0; i < 36; i++)
        rows[i] = i;
    world.forget.row = rows;
    check_form("", true, 12, false, "base was trained with augmentation");
    check_form("", true, 36, true, "more than a fifth of the data is forgotten");
    check_form("", false, 12, true, "base was trained without augmentation");
    check_form("", false, 36, true, "base was trained without augmentation");
    check_form("adv_only=no", false, 36, false, NULL);
    check_form("adv_only=yes", true, 12, true, NULL);
    check_form("preset=published", false, 36, false, NULL);
    world.forget.row = own;
}

static void published_values_and_open_options(void **state)
{
    (void)state;
    planned p;
    plan_open(&p, "amun", "preset=published,epochs=0,batch=0", true);
    assert_true(p.job.cfg.lr == 0.01f && p.job.cfg.epochs == 10 && p.job.cfg.batch == 128);
    assert_true(p.job.cfg.lr_step_every == 1 && p.setting.setup.is_published);
    assert_true(fabs(p.setting.setup.lr_area - 0.01 * 2 * 1.1111111111) < 1e-6); // 96 + 24 + 24 images: 2 steps
    plan_close(&p);
    plan_open(&p, "ft", "epochs=0,batch=0,schedule=cosine,lr_area=0.1", true);
    assert_int_equal(p.job.cfg.batch, 32); // of the base run
    assert_int_equal(p.job.cfg.schedule, LT_SCHED_COSINE);
    assert_true(fabs(lti_lr_area(find("ft"), &p.job) - 0.1) < 1e-6);
    plan_close(&p);
    char line[512];
    const lt_unlearn_setup s = {.lr = 0.0144,
                                .epochs = 10,
                                .lr_step_every = 5,
                                .lr_step_gamma = 0.1f,
                                .batch = 64,
                                .steps_per_epoch = 63,
                                .lr_area = 5,
                                .lr_area_default = 5,
                                .has_batchnorm = true,
                                .form = {true, false, "adversarial only", "base was trained without augmentation"}};
    lt_unlearn_setup_text("amun", &s, line, sizeof line);
    assert_string_equal(line,
                        "amun: adversarial only (base was trained without augmentation), lr 0.0144 x0.1 after every "
                        "5 epochs, 10 epochs of 63 steps at batch 64, learning-rate area 5 (default 5)");
}

// Every method that fine-tunes states what it runs with, in both access settings that it knows.
static void every_method_states_its_defaults(void **state)
{
    (void)state;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        if (!((*m)->needs & LT_FINE_TUNES))
            continue;
        for (int access = 0; access < 2; access++) {
            lti_setting s;
            lt_optset *set;
            lt_unlearn_in in = input_for(*m, world.model);
            in.use_retain = access == 1;
            if (!in.use_retain && ((*m)->needs & LT_NEED_RETAIN))
                continue;
            void *cfg = config_open(*m, "epochs=0,batch=0", &set);
            assert_ok(lti_fill_defaults(*m, &in, cfg, &s));
            const lti_recipe *r = cfg;
            assert_true(r->epochs > 0 && r->batch > 0 && (r->lr > 0 || s.area > 0));
            assert_int_equal(lt_unlearn_default_epochs(*m, in.use_retain), r->epochs);
            lt_optset_destroy(set);
            lti_free(cfg);
        }
        char *text = lt_unlearn_defaults_text(*m);
        assert_non_null(strstr(text, "Default ("));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_area_is_spent_exactly),
        cmocka_unit_test(twice_the_batch_is_twice_the_rate),
        cmocka_unit_test(a_given_rate_wins_and_tells_its_area),
        cmocka_unit_test(clipped_originals_have_areas_of_their_own),
        cmocka_unit_test(the_cap_raises_epochs_or_is_told),
        cmocka_unit_test(raised_epochs_reach_the_method),
        cmocka_unit_test(the_cap_is_of_the_same_optimizer),
        cmocka_unit_test(published_values_are_those_of_the_sources),
        cmocka_unit_test(munba_obeys_the_rate_and_schedule),
        cmocka_unit_test(munba_strikes_the_bargain),
        cmocka_unit_test(known_sizes_give_known_rates),
        cmocka_unit_test(an_area_of_zero_changes_no_bit),
        cmocka_unit_test(a_run_ends_when_it_is_enough),
        cmocka_unit_test(amun_chooses_its_form),
        cmocka_unit_test(published_values_and_open_options),
        cmocka_unit_test(every_method_states_its_defaults),
    };
    return cmocka_run_group_tests_name("defaults", tests, set_up, tear_down);
}
