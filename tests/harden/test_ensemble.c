// Ensembles: the joint model, the losses against finite differences in double, LOTOS, training, transfer.
#include "harden/ensemble_impl.h"
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lt_env env;
static lt_backend *ref;

static const char *const specs[] = {"simple-conv:width=3", "simple-conv:width=3", "simple-conv:width=3"};
static const lt_model_shape shape = {3, 8, 8, 5};

static lt_ensemble *make(int n, const char *const *spec, uint64_t seed)
{
    lt_ensemble *e;
    assert_ok(lt_ensemble_create(spec, n, shape, seed, &e));
    return e;
}

static lt_ensemble_cfg options(const char *method)
{
    lt_ensemble_cfg cfg;
    lt_options_defaults(lt_ensemble_options, &cfg);
    assert_ok(lt_ensemble_method_find(method, &cfg.method));
    return cfg;
}

// ---- the loss of a method as the trainer builds it, in double

typedef struct loss_run {
    lt_graph *g;
    lt_val labels, weight, loss;
    lt_plan *plan;
    double *params, *state, *grads;
} loss_run;

static loss_run open_loss(lt_ensemble *e, const lt_ensemble_cfg *cfg, int batch)
{
    loss_run r = {0};
    lti_ensemble_loss l = {.e = e, .cfg = cfg, .env = &env, .train = true};
    const lti_ensemble_method *method = lti_ensemble_method_of(cfg->method);
    const lt_model *m = e->joint;
    assert_ok(lt_graph_dup(m->graph, &r.g));
    r.labels = l.labels = lt_input(r.g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    r.weight = lt_input(r.g, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    lt_val sum = LT_NONE;
    for (int i = 0; i < e->n; i++) {
        l.ce[i] = lt_cross_entropy(r.g, e->logits[i], r.labels, 0);
        sum = i ? lt_add(r.g, sum, l.ce[i]) : l.ce[0];
    }
    if (method->build)
        assert_ok(method->build(&l, r.g, &sum));
    if (method->clear && l.state && cfg->trs_parity) // its inputs are found by name
        method->clear(&l);
    r.loss = lt_weighted_sum(r.g, sum, r.weight);
    assert_ok(lt_graph_status(r.g));
    const lt_plan_spec spec = {.outs = &r.loss,
                               .n_outs = 1,
                               .grad_of = r.loss,
                               .seed = LT_NONE,
                               .wrt_params = true,
                               .train = true,
                               .batch = batch,
                               .dtype = LT_F64};
    assert_ok(lt_plan_create(r.g, &spec, ref, &r.plan));
    r.params = calloc((size_t)(2 * m->n_params + m->n_state), sizeof *r.params);
    r.grads = r.params + m->n_params;
    r.state = r.grads + m->n_params;
    for (int64_t i = 0; i < m->n_params; i++)
        r.params[i] = (double)m->params[i];
    for (int64_t i = 0; i < m->n_state; i++)
        r.state[i] = (double)m->state[i];
    assert_ok(lt_plan_bind(r.plan, r.params, r.state, r.grads));
    double *x = lt_plan_buffer(r.plan, m->x), *w = lt_plan_buffer(r.plan, r.weight);
    int32_t *y = lt_plan_buffer(r.plan, r.labels);
    lt_rng rng = lt_rng_at(9, LT_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < (int64_t)batch * 3 * 64; i++)
        x[i] = (double)lt_rng_uniform(&rng);
    for (int i = 0; i < batch; i++) {
        w[i] = 1.0 / batch;
        y[i] = i % 5;
    }
    return r;
}

static double loss_at(loss_run *r, int64_t i, double by)
{
    if (i >= 0)
        r->params[i] += by;
    lt_plan_params_changed(r->plan);
    assert_ok(lt_plan_run(r->plan));
    if (i >= 0)
        r->params[i] -= by;
    return *(const double *)lt_plan_buffer(r->plan, r->loss);
}

static void close_loss(loss_run *r)
{
    lt_plan_destroy(r->plan);
    lt_graph_destroy(r->g);
    free(r->params);
}

// Second derivatives through convolutions, batch norm in training mode, ReLU and max-pooling.
static void check_gradient(const char *method, int n)
{
    lt_ensemble *e = make(n, specs, 3);
    lt_ensemble_cfg cfg = options(method);
    loss_run r = open_loss(e, &cfg, 4);
    const int64_t n_params = e->joint->n_params;
    loss_at(&r, -1, 0);
    double *g = malloc((size_t)n_params * sizeof *g), worst = 0;
    memcpy(g, r.grads, (size_t)n_params * sizeof *g);
    for (int k = 0; k < 40; k++) {
        const int64_t i = (int64_t)k * 7919 % n_params;
        const double h = 1e-6, numeric = (loss_at(&r, i, h) - loss_at(&r, i, -h)) / (2 * h);
        const double off = fabs(numeric - g[i]) / (1e-3 + fabs(numeric) + fabs(g[i]));
        worst = fmax(worst, off);
        if (off > 2e-4)
            fail_msg("%s: parameter %lld: gradient %.9g, difference quotient %.9g", method, (long long)i, g[i],
                     numeric);
    }
    free(g);
    close_loss(&r);
    lt_ensemble_destroy(e);
}

static void test_gradients(void **state)
{
    (void)state;
    check_gradient("plain", 2);
    check_gradient("trs", 2);
    check_gradient("gal", 3);
    check_gradient("adp", 3);
}

// Every term of TRS is in the loss: with one weight at zero the loss differs by that term.
static void test_trs_terms(void **state)
{
    (void)state;
    lt_ensemble *e = make(2, specs, 3);
    double loss[4];
    for (int i = 0; i < 4; i++) {
        lt_ensemble_cfg cfg = options("trs");
        cfg.trs_cos = i & 1 ? 40 : 0;
        cfg.trs_smooth = i & 2 ? 2.5f : 0;
        loss_run r = open_loss(e, &cfg, 4);
        loss[i] = loss_at(&r, -1, 0);
        close_loss(&r);
    }
    lt_ensemble_cfg plain = options("plain");
    loss_run r = open_loss(e, &plain, 4);
    assert_true(fabs(loss_at(&r, -1, 0) - loss[0]) < 1e-9);
    close_loss(&r);
    assert_true(loss[1] - loss[0] > 1e-6 && loss[2] - loss[0] > 1e-9);
    assert_true(fabs(loss[3] - loss[1] - (loss[2] - loss[0])) < 1e-7);
    lt_ensemble_destroy(e);
}

// The loss of the released trainer: in steps of LOTOS cross-entropies and cos, in all others the last cross-entropy and
// smoothness. Only --trs-parity has it.
static double released_loss(lt_ensemble *e, const lt_ensemble_cfg *cfg, double lotos_step)
{
    loss_run r = open_loss(e, cfg, 4);
    double *in_lotos = lt_plan_buffer(r.plan, lt_graph_find(r.g, "trs.lotos-steps")),
           *in_other = lt_plan_buffer(r.plan, lt_graph_find(r.g, "trs.other-steps"));
    for (int i = 0; i < 4; i++) {
        in_lotos[i] = lotos_step;
        in_other[i] = 1 - lotos_step;
    }
    const double loss = loss_at(&r, -1, 0);
    close_loss(&r);
    return loss;
}

static double trs_loss(lt_ensemble *e, float cos, float smooth)
{
    lt_ensemble_cfg cfg = options("trs");
    cfg.trs_cos = cos;
    cfg.trs_smooth = smooth;
    loss_run r = open_loss(e, &cfg, 4);
    const double loss = loss_at(&r, -1, 0);
    close_loss(&r);
    return loss;
}

static void test_trs_parity(void **state)
{
    (void)state;
    lt_ensemble *e = make(3, specs, 3), *twice;
    lt_ensemble_cfg cfg = options("trs");
    cfg.trs_parity = true;
    const double with_cos = trs_loss(e, 40, 0), smooth = trs_loss(e, 0, 2.5f) - trs_loss(e, 0, 0);
    assert_true(fabs(released_loss(e, &cfg, 1) - with_cos) < 1e-9 * with_cos);
    const lt_model *const same[] = {e->member[2], e->member[2]};
    assert_ok(lt_ensemble_join(same, 2, &twice));
    const double last_ce = trs_loss(twice, 0, 0) / 2;
    assert_true(fabs(released_loss(e, &cfg, 0) - last_ce - smooth) < 1e-9 * last_ce);
    assert_true(fabs(last_ce + smooth - with_cos) > 0.1);
    lt_ensemble_destroy(twice);
    lt_ensemble_destroy(e);
}

// The joint logits are the log of the mean softmax of what the members say alone.
static void test_head(void **state)
{
    (void)state;
    static const char *const mixed[] = {"simple-conv:width=3", "simple-conv:width=2,bn=0,mean=0.5,std=0.25"};
    lt_ensemble *e = make(2, mixed, 1);
    float x[3 * 64], out[3][5];
    for (int i = 0; i < 3 * 64; i++)
        x[i] = (float)(i % 7) / 7;
    for (int i = 0; i < 3; i++) {
        const lt_model *m = i < 2 ? e->member[i] : e->joint;
        lt_plan *plan;
        const lt_plan_spec spec = {
            .outs = &m->logits, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 1, .dtype = LT_F32};
        assert_ok(lt_plan_create(m->graph, &spec, env.backend, &plan));
        assert_ok(lt_plan_bind(plan, m->params, m->state, NULL));
        memcpy(lt_plan_buffer(plan, m->x), x, sizeof x);
        assert_ok(lt_plan_run(plan));
        memcpy(out[i], lt_plan_buffer(plan, m->logits), sizeof out[i]);
        lt_plan_destroy(plan);
    }
    double sum[2] = {0};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 5; k++)
            sum[i] += exp((double)out[i][k]);
    for (int k = 0; k < 5; k++) {
        const double p = 0.5 * (exp((double)out[0][k]) / sum[0] + exp((double)out[1][k]) / sum[1]);
        assert_true(fabs(log(p) - (double)out[2][k]) < 1e-5);
    }
    lt_ensemble_destroy(e);
}

// ---- LOTOS

static lti_lotos *follow(lt_ensemble *e, const lt_ensemble_cfg *cfg, float **memory)
{
    lti_lotos *l;
    assert_ok(lti_lotos_create(e, cfg, 1, &env, &l));
    *memory = calloc(lti_lotos_memory_floats(l), sizeof **memory);
    lti_lotos_use_memory(l, *memory, 1);
    assert_ok(lti_lotos_follow(l));
    return l;
}

// Gradient of the term with the vectors held fixed.
static void test_lotos_gradient(void **state)
{
    (void)state;
    lt_ensemble *e = make(3, specs, 2);
    lt_ensemble_cfg cfg = options("lotos");
    float *memory;
    cfg.lotos_mal = 0.3f;
    cfg.lotos_vectors = 2;
    cfg.lotos_weight = 1;
    lti_lotos *l = follow(e, &cfg, &memory);
    float *g = calloc((size_t)e->joint->n_params, sizeof *g);
    double loss, up, down;
    assert_ok(lti_lotos_gradient(l, g, &loss));
    assert_true(loss > 0);
    int moved = 0;
    for (int64_t i = 0; i < e->joint->n_params; i += 37) {
        float *p = &e->joint->params[i];
        const float was = *p;
        *p = was + 1e-2f;
        assert_ok(lti_lotos_gradient(l, NULL, &up));
        *p = was - 1e-2f;
        assert_ok(lti_lotos_gradient(l, NULL, &down));
        *p = was;
        const double numeric = (up - down) / 2e-2;
        if (fabs(numeric - (double)g[i]) > 2e-3 + 0.02 * fabs(numeric))
            fail_msg("parameter %lld: gradient %g, difference quotient %g", (long long)i, (double)g[i], numeric);
        moved += g[i] != 0;
    }
    assert_true(moved > 3);
    lti_lotos_destroy(l);
    free(memory);
    free(g);
    lt_ensemble_destroy(e);
}

// Two equal members: every layer stretches the other's vector by its own norm, S = 2 w ReLU(sigma - mal).
static void test_lotos_equal(void **state)
{
    (void)state;
    lt_model *m;
    assert_ok(lt_model_create(specs[0], shape, &m));
    lt_model_init(m, 4);
    const lt_model *const twice[] = {m, m};
    lt_ensemble *e;
    assert_ok(lt_ensemble_join(twice, 2, &e));
    lt_ensemble_cfg cfg = options("lotos");
    float *memory;
    double loss;
    cfg.lotos_weight = 1;
    cfg.lotos_mal = 0.1f;
    cfg.lotos_stem = true;
    lti_lotos *l = follow(e, &cfg, &memory);
    for (int i = 0; i < 40; i++)
        assert_ok(lti_lotos_follow(l));
    assert_ok(lti_lotos_gradient(l, NULL, &loss));
    lt_spectra s;
    lt_spectra_cfg sc = {.seed = 1};
    lt_options_defaults(lt_spectra_options, &sc);
    sc.upper = false;
    assert_ok(lt_spectra_measure(m, &sc, &env, &s));
    assert_string_equal(s.layer[0].name, "conv1");
    assert_true(fabs(loss - 2 * (s.layer[0].sigma[0] - 0.1)) < 0.02 * loss);
    lt_spectra_clear(&s);
    lti_lotos_destroy(l);
    free(memory);
    lt_ensemble_destroy(e);
    lt_model_destroy(m);
}

// ---- training and transfer

typedef struct members {
    int n;
    const char *const *spec;
} members;

static lt_ensemble *train_members(const lt_dataset *ds, members m, const lt_ensemble_cfg *cfg, double clip, int epochs)
{
    lt_ensemble *e;
    lt_clip_cfg c;
    lt_ensemble_result result;
    lt_ensemble_job in = {.job = {.n_phases = 1, .seed = 2}, .cfg = *cfg, .clip = &c};
    lt_options_defaults(lt_clip_norm_options, &c);
    lt_options_defaults(lt_clip_rule_options, &c);
    lt_options_defaults(lt_train_options, &in.job.cfg);
    c.clip_norm = (float)clip;
    c.clip_every = 3;
    in.job.cfg.epochs = epochs;
    in.job.cfg.batch = 20;
    in.job.cfg.lr = 0.05f;
    in.job.cfg.schedule = LT_SCHED_CONST;
    in.job.phase[0] = (lt_phase){.view = {lt_view_split(ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    assert_ok(lt_ensemble_create(m.spec, m.n, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, 1, &e));
    assert_ok(lt_ensemble_train(e, &in, &env, &result));
    assert_memory_equal(e->member[1]->params, e->joint->params + e->param_at[1],
                        (size_t)e->member[1]->n_params * sizeof(float));
    return e;
}

static lt_ensemble *train(const lt_dataset *ds, const lt_ensemble_cfg *cfg, double clip, int epochs)
{
    static const char *const small[] = {"simple-conv:width=2,bn=0", "simple-conv:width=2,bn=0"};
    return train_members(ds, (members){2, small}, cfg, clip, epochs);
}

static void test_training(void **state)
{
    (void)state;
    lt_dataset *ds;
    assert_ok(lt_dataset_open("synthetic:train=60,test=40", NULL, &ds));
    lt_ensemble_cfg plain = options("plain"), none = options("lotos"), lotos = options("lotos");
    none.lotos_weight = 0;
    lotos.lotos_mal = 0.05f;
    lotos.lotos_weight = 0.5f;
    lt_ensemble *a = train(ds, &plain, 0, 1), *b = train(ds, &none, 0, 1), *c = train(ds, &lotos, 0.5, 2);
    const size_t bytes = (size_t)a->joint->n_params * sizeof(float);
    assert_memory_equal(a->joint->params, b->joint->params, bytes); // a term of weight 0 changes no bit
    assert_true(memcmp(a->joint->params, c->joint->params, bytes) != 0);
    for (int i = 0; i < 4; i++) {
        static const char *const others[] = {"trs", "adp", "gal", "dverge"};
        lt_ensemble_cfg cfg = options(others[i]);
        lt_ensemble *e = train(ds, &cfg, 0, 1);
        assert_true(memcmp(a->joint->params, e->joint->params, bytes) != 0);
        lt_ensemble_destroy(e);
    }
    lt_ensemble_destroy(a);
    lt_ensemble_destroy(b);
    lt_ensemble_destroy(c);
    lt_dataset_close(ds);
}

// Three and five members, of different architectures too, train and are evaluated; TRS and LOTOS together differ from
// either alone.
static void test_more_members(void **state)
{
    (void)state;
    static const char *const spec[] = {"simple-conv:width=2,bn=0", "simple-conv:width=3,bn=0",
                                       "simple-conv:width=2,bn=0", "simple-conv:width=2,bn=0",
                                       "simple-conv:width=2,bn=0"};
    static const struct {
        int n;
        const char *method;
        bool lotos;
    } cases[] = {{3, "plain", false}, {3, "trs", false}, {3, "trs", true}, {3, "lotos", false}, {5, "lotos", false}};
    enum { N_CASES = 5 };
    lt_dataset *ds;
    float *params[N_CASES];
    assert_ok(lt_dataset_open("synthetic:train=40,test=20", NULL, &ds));
    for (int i = 0; i < N_CASES; i++) {
        lt_ensemble_cfg cfg = options(cases[i].method);
        lt_ensemble_eval_cfg ask = {.attack = "fgsm", .white_box = true};
        lt_ensemble_eval out;
        const lt_view view = lt_view_split(ds, LT_TEST);
        cfg.lotos = cases[i].lotos;
        cfg.lotos_mal = 0.05f;
        cfg.lotos_weight = 0.5f;
        cfg.lotos_every = 1;
        lt_ensemble *e = train_members(ds, (members){cases[i].n, spec}, &cfg, 0, 1);
        lt_attack_spec_init(&ask.spec);
        ask.spec.eps = "0.2";
        assert_ok(lt_ensemble_evaluate(e, &view, &ask, &env, &out));
        assert_int_equal(out.n, cases[i].n);
        assert_true(out.acc >= 0 && out.acc <= 1 && out.robust_acc <= out.acc);
        for (int c = 0; c < out.n * out.n; c++)
            assert_true(out.numerator[c] <= out.eligible[c] && out.eligible[c] <= view.n);
        lt_ensemble_eval_clear(&out);
        params[i] = malloc((size_t)e->joint->n_params * sizeof(float));
        memcpy(params[i], e->joint->params, (size_t)e->joint->n_params * sizeof(float));
        for (int j = 0; j < i && cases[j].n == cases[i].n; j++)
            assert_true(memcmp(params[i], params[j], (size_t)e->joint->n_params * sizeof(float)) != 0);
        lt_ensemble_destroy(e);
    }
    for (int i = 0; i < N_CASES; i++)
        free(params[i]);
    lt_dataset_close(ds);
}

// Which steps are those of LOTOS: the first one of an epoch and every lotos_every-th after it.
static void test_trs_parity_steps(void **state)
{
    (void)state;
    static const int64_t lotos_steps[] = {0, 2, 4, 5, 7, 9}; // every second one of five in an epoch
    lt_ensemble *e = make(2, specs, 3);
    lt_ensemble_cfg cfg = options("trs");
    cfg.trs_parity = true;
    lti_ensemble_loss l = {.e = e, .cfg = &cfg, .env = &env, .train = true, .epoch_steps = 5, .lotos_every = 2};
    const lti_ensemble_method *method = lti_ensemble_method_of(cfg.method);
    lt_graph *g;
    lt_val sum = LT_NONE;
    lt_plan *plan;
    assert_ok(lt_graph_dup(e->joint->graph, &g));
    const lt_val labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    for (int i = 0; i < 2; i++) {
        l.ce[i] = lt_cross_entropy(g, e->logits[i], labels, 0);
        sum = i ? lt_add(g, sum, l.ce[i]) : l.ce[0];
    }
    assert_ok(method->build(&l, g, &sum));
    const lt_plan_spec spec = {
        .outs = &sum, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .train = true, .batch = 3, .dtype = LT_F32};
    assert_ok(lt_plan_create(g, &spec, ref, &plan));
    const float *in_lotos = lt_plan_buffer(plan, lt_graph_find(g, "trs.lotos-steps")),
                *in_other = lt_plan_buffer(plan, lt_graph_find(g, "trs.other-steps"));
    const lt_batch batch = {.n = 3};
    for (int64_t step = 0, next = 0; step < 10; step++) {
        const bool expected = next < 6 && lotos_steps[next] == step;
        assert_ok(method->fill(&l, &(lt_objective_batch){.batch = &batch, .step = step}, plan));
        for (int i = 0; i < 3; i++)
            assert_true(in_lotos[i] == (expected ? 1 : 0) && in_other[i] == (expected ? 0 : 1));
        next += expected;
    }
    method->clear(&l);
    lt_plan_destroy(plan);
    lt_graph_destroy(g);
    lt_ensemble_destroy(e);
}

// Aimed at a class, only that answer counts: of the source to be eligible, of the target to be a transfer.
static void test_targeted_transfer(void **state)
{
    (void)state;
    lt_dataset *ds;
    assert_ok(lt_dataset_open("synthetic:train=200,test=30", NULL, &ds));
    lt_ensemble_cfg plain = options("plain");
    lt_ensemble *e = train(ds, &plain, 0, 6);
    const lt_view view = lt_view_split(ds, LT_TEST);
    lt_ensemble_eval_cfg cfg = {.attack = "pgd", .white_box = false};
    lt_ensemble_eval any, aimed;
    lt_attack_spec_init(&cfg.spec);
    cfg.spec.eps = "0.3";
    cfg.spec.steps = 5;
    assert_ok(lt_ensemble_evaluate(e, &view, &cfg, &env, &any));
    cfg.spec.target = "next";
    assert_ok(lt_ensemble_evaluate(e, &view, &cfg, &env, &aimed));
    for (int i = 0; i < 2; i++) {
        const int own = i * 2 + i, other = i * 2 + 1 - i;
        assert_int_equal(aimed.eligible[own], any.eligible[own]); // what the member gets right
        assert_true(aimed.eligible[other] <= aimed.numerator[own] && aimed.numerator[other] <= aimed.eligible[other]);
    }
    assert_true(aimed.numerator[0] + aimed.numerator[3] < any.numerator[0] + any.numerator[3]); // harder
    lt_ensemble_eval_clear(&any);
    lt_ensemble_eval_clear(&aimed);
    lt_ensemble_destroy(e);
    lt_dataset_close(ds);
}

// Equal members: every example that fools one fools the other.
static void test_transfer(void **state)
{
    (void)state;
    lt_dataset *ds;
    assert_ok(lt_dataset_open("synthetic:train=200,test=30", NULL, &ds));
    lt_ensemble_cfg plain = options("plain");
    lt_ensemble *e = train(ds, &plain, 0, 6), *twice;
    const lt_model *const same[] = {e->member[0], e->member[0]};
    assert_ok(lt_ensemble_join(same, 2, &twice));
    const lt_view view = lt_view_split(ds, LT_TEST);
    lt_ensemble_eval_cfg cfg = {.attack = "pgd", .surrogate = same, .n_surrogates = 1, .white_box = true};
    lt_ensemble_eval out;
    lt_attack_spec_init(&cfg.spec);
    cfg.spec.eps = "0.3";
    cfg.spec.steps = 5;
    assert_ok(lt_ensemble_evaluate(twice, &view, &cfg, &env, &out));
    assert_true(out.eligible[0] > 0 && out.acc == out.member_acc[0]);
    assert_true(out.eligible[1] == 0 ? isnan(out.transfer[1]) : out.transfer[1] == 1);
    assert_true(out.numerator[0] == out.eligible[1]); // what its own attack fools is what can transfer
    assert_true(out.robust_acc >= 0 && out.robust_acc <= out.acc);
    lt_ensemble_eval_clear(&out);
    lt_ensemble_destroy(twice);
    lt_ensemble_destroy(e);
    lt_dataset_close(ds);
}

static void test_refusals(void **state)
{
    (void)state;
    lt_ensemble *e;
    int32_t method;
    assert_fails(LT_E_USAGE, "2 to", lt_ensemble_create(specs, 1, shape, 1, &e));
    assert_fails(LT_E_USAGE, "lotus", lt_ensemble_method_find("lotus", &method));
    assert_fails(LT_E_INPUT, "member-0", lt_ensemble_open("/nowhere", &e));
}

static int setup(void **state)
{
    (void)state;
    if (lt_backend_create("ref", 1, &ref) != LT_OK)
        return -1;
    return lt_backend_create("auto", 1, &env.backend) == LT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lt_backend_destroy(ref);
    lt_backend_destroy(env.backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_trs_terms),
        cmocka_unit_test(test_trs_parity),
        cmocka_unit_test(test_trs_parity_steps),
        cmocka_unit_test(test_lotos_gradient),
        cmocka_unit_test(test_lotos_equal),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_more_members),
        cmocka_unit_test(test_targeted_transfer),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
