// test_cuda_sides.c - which side of a slab is the newer one when others than the trainer's own plans use it: attacks
// inside adversarial training, evaluators and readers called from hooks, hooks that are shown another model, a model
// that is put back, an optimizer that moves to the host. All are held against the same job on the CPU.
#include "cuda/cuda_test.h"
#include "graph/backend.h"
#include "train/train_test.h"
#include <math.h>

enum { MOST = 32 };

static int setup(void **state)
{
    (void)state;
    emu_use(NULL);
    return 0;
}

static void open_job(const char *backend, const char *model, fixture *f)
{
    t_open(f, backend, 1);
    lt_model_destroy(f->model);
    assert_ok(lt_model_create(model, (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES}, &f->model));
    lt_model_init(f->model, 5);
    f->job.model = f->model;
    f->job.cfg.lr = 1e-3f; // few samples and batch norm: larger steps would part any two machines
    f->job.cfg.schedule = LT_SCHED_CONST;
}

static void run_job(fixture *f)
{
    if (lt_train_run(&f->job, &f->env, NULL, false, NULL) != LT_OK)
        fail_msg("%s: %s", lt_backend_name(f->backend), lt_error_get()->message);
}

static void expect_near(const char *what, int n, const double *a, const double *b, double tolerance)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance * (1 + fabs(b[i]))))
            fail_msg("%s, number %d: %.9g on the device, %.9g on the CPU", what, i, a[i], b[i]);
}

static double largest_gap(const float *a, const float *b, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void expect_same_model(const lt_model *a, const lt_model *b, double tolerance)
{
    const double p = largest_gap(a->params, b->params, a->n_params), s = largest_gap(a->state, b->state, a->n_state);
    if (!(p <= tolerance && s <= tolerance))
        fail_msg("parameters differ by %g, running statistics by %g", p, s);
}

// ---- adversarial training

typedef struct trace {
    double value[MOST];
    int n;
} trace;

static void keep_loss(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    trace *t = ctx;
    assert_true(t->n < MOST);
    t->value[t->n++] = step->loss;
}

static void train_adversarially(const char *backend, const char *form, int32_t norm, fixture *f, trace *t)
{
    *t = (trace){0};
    open_job(backend, "simple-conv:width=4", f);
    assert_ok(lt_adversarial_find(form, &f->job.cfg.adversarial));
    f->job.cfg.adv_norm = norm;
    f->job.cfg.adv_eps = norm == LT_ADV_L2 ? 0.4f : 0.031f;
    f->job.cfg.adv_steps = 3;
    f->job.cfg.lr = 0.02f; // so far that an attack of an old model would show
    f->job.phase[0].view[0].augment = true;
    f->job.on_step = keep_loss;
    f->job.step_ctx = t;
    f->job.step_only = true;
    run_job(f);
}

static void adversarial_training_follows_the_cpu(void **state)
{
    (void)state;
    static const struct {
        const char *form;
        int32_t norm;
        double tolerance; // of trades: it starts where its gradient is rounding noise, so any two backends part
    } cases[] = {{"pgd", LT_ADV_L2, 1e-5},
                 {"pgd", LT_ADV_LINF, 1e-5},
                 {"trades", LT_ADV_L2, 5e-2},
                 {"trades", LT_ADV_LINF, 5e-2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        fixture a, b;
        trace ta, tb;
        train_adversarially("cuda", cases[c].form, cases[c].norm, &a, &ta);
        train_adversarially("ref", cases[c].form, cases[c].norm, &b, &tb);
        assert_int_equal(ta.n, 9);
        assert_int_equal(tb.n, 9);
        assert_true(fabs(ta.value[0] - ta.value[6]) > 1e-2);
        expect_near(cases[c].form, 1, ta.value, tb.value, 1e-4);
        expect_near(cases[c].form, 9, ta.value, tb.value, cases[c].tolerance);
        t_close(&a);
        t_close(&b);
    }
}

// ---- hooks that look at the model

typedef struct looker {
    lt_evaluator *evaluator; // or NULL
    const lt_dataset *ds;
    trace eval, slab; // loss on the test split; sum of squares of the parameters as the host has them
} looker;

static double squares(const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sum;
}

static void look(const lt_job *job, const lt_step *step, void *ctx)
{
    looker *l = ctx;
    (void)step;
    assert_true(l->slab.n < MOST);
    l->slab.value[l->slab.n++] =
        squares(job->model->params, job->model->n_params) + squares(job->model->state, job->model->n_state);
    if (!l->evaluator)
        return;
    lt_eval_result r;
    const lt_view test = lt_view_split(l->ds, LT_TEST);
    assert_ok(lt_evaluator_run(l->evaluator, &test, NULL, NULL, &r));
    l->eval.value[l->eval.n++] = r.loss;
}

static void train_looking(const char *backend, bool alone, bool evaluate, bool bn_eval, fixture *f, looker *l)
{
    open_job(backend, "resnet18:width=4", f);
    *l = (looker){.ds = f->ds};
    if (evaluate)
        assert_ok(lt_evaluator_create(f->model, &f->env, 8, &l->evaluator));
    f->job.bn_eval = bn_eval;
    f->job.on_step = look;
    f->job.step_ctx = l;
    f->job.step_only = alone;
    f->job.eval_view = NULL;
    f->job.cfg.epochs = 2;
    run_job(f);
    lt_evaluator_destroy(l->evaluator);
}

static void evaluators_in_hooks_see_the_model(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool alone = i & 1, bn_eval = i & 2;
        fixture a, b;
        looker la, lb;
        train_looking("cuda", alone, true, bn_eval, &a, &la);
        train_looking("ref", alone, true, bn_eval, &b, &lb);
        assert_int_equal(la.eval.n, 6);
        expect_near("loss seen by an evaluator", 6, la.eval.value, lb.eval.value, 1e-4);
        for (int s = 1; s < 6; s++)
            assert_true(la.eval.value[s] != la.eval.value[s - 1]);
        expect_same_model(a.model, b.model, 1e-4);
        t_close(&a);
        t_close(&b);
    }
}

// What a hook reads in the slabs themselves is the model of that step, unless it said that it does not look.
static void readers_in_hooks_see_the_model(void **state)
{
    (void)state;
    fixture a, b, c;
    looker la, lb, lc;
    train_looking("cuda", false, false, false, &a, &la);
    train_looking("ref", false, false, false, &b, &lb);
    train_looking("cuda", true, false, false, &c, &lc);
    assert_int_equal(la.slab.n, 6);
    expect_near("parameters read by a hook", 6, la.slab.value, lb.slab.value, 1e-5);
    for (int s = 1; s < 6; s++)
        assert_true(la.slab.value[s] != la.slab.value[s - 1]);
    assert_memory_equal(a.model->params, c.model->params, (size_t)a.model->n_params * sizeof(float));
    if (emu_is_used()) // nothing was brought over for a hook that does not look
        assert_true(lc.slab.value[0] == lc.slab.value[1]);
    t_close(&a);
    t_close(&b);
    t_close(&c);
}

// ---- the model at the start of an epoch

typedef struct starter {
    lt_evaluator *evaluator;
    const lt_dataset *ds;
    trace seen;
    lt_interrupt_flag stop;
    int64_t stop_at;
} starter;

static lt_status evaluate_start(lt_job *job, int32_t epoch, void *ctx)
{
    (void)job, (void)epoch;
    starter *s = ctx;
    lt_eval_result r;
    const lt_view test = lt_view_split(s->ds, LT_TEST);
    LT_TRY(lt_evaluator_run(s->evaluator, &test, NULL, NULL, &r));
    s->seen.value[s->seen.n++] = r.loss;
    return LT_OK;
}

static void stop_there(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    starter *s = ctx;
    s->stop = step->step == s->stop_at;
}

static void open_starter(const char *backend, fixture *f, starter *s)
{
    open_job(backend, "resnet18:width=4", f);
    s->ds = f->ds;
    s->seen.n = 0;
    assert_ok(lt_evaluator_create(f->model, &f->env, 8, &s->evaluator));
    f->job.on_epoch = evaluate_start;
    f->job.ctx = s;
    f->job.on_step = stop_there;
    f->job.step_ctx = s;
    f->env.stop = &s->stop;
}

static void close_starter(fixture *f, starter *s)
{
    lt_evaluator_destroy(s->evaluator);
    t_close(f);
}

// on_epoch of a resumed job is shown the model of the epoch's start, and evaluates that; then training goes on from
// the model it had reached.
static void on_epoch_is_shown_the_start(void **state)
{
    (void)state;
    char dir[] = "/tmp/lethe-cuda-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *file = lti_asprintf("%s/state.safetensors", dir);
    fixture whole, part;
    starter w = {.stop_at = -1}, p = {.stop_at = 5}; // inside the second of three epochs
    open_starter("cuda", &whole, &w);
    run_job(&whole);
    open_starter("cuda", &part, &p);
    assert_int_equal(lt_train_run(&part.job, &part.env, file, false, NULL), LT_E_INTERRUPTED);
    p.stop = 0;
    p.stop_at = -1;
    const double before = p.seen.value[1];
    assert_ok(lt_train_run(&part.job, &part.env, file, true, NULL));
    assert_int_equal(w.seen.n, 3);
    assert_int_equal(p.seen.n, 4); // the second epoch is begun twice
    assert_true(p.seen.value[1] == before && p.seen.value[2] == before && before == w.seen.value[1]);
    assert_true(p.seen.value[3] == w.seen.value[2] && w.seen.value[2] != w.seen.value[1]);
    assert_memory_equal(part.model->params, whole.model->params, (size_t)part.model->n_params * sizeof(float));
    assert_memory_equal(part.model->state, whole.model->state, (size_t)part.model->n_state * sizeof(float));
    close_starter(&whole, &w);
    close_starter(&part, &p);
    remove(file);
    rmdir(dir);
    lti_free(file);
}

// ---- a model that is put back

static lt_status raise_rate(lt_job *job, int32_t epoch, void *ctx)
{
    (void)ctx;
    job->cfg.lr = epoch == 1 ? 1e30f : 1e-3f;
    return LT_OK;
}

static void diverge(const char *backend, fixture *f, double *loss)
{
    lt_evaluator *evaluator;
    lt_eval_result r;
    open_job(backend, "resnet18:width=4", f);
    const lt_view test = lt_view_split(f->ds, LT_TEST);
    assert_ok(lt_evaluator_create(f->model, &f->env, 8, &evaluator)); // holds the device's copy for longer
    assert_ok(lt_evaluator_run(evaluator, &test, NULL, NULL, &r));
    f->job.on_epoch = raise_rate;
    assert_int_equal(lt_train_run(&f->job, &f->env, NULL, false, NULL), LT_E_DIVERGED);
    assert_ok(lt_evaluator_run(evaluator, &test, NULL, NULL, &r));
    *loss = r.loss;
    lt_evaluator_destroy(evaluator);
}

static void a_diverged_model_is_back_on_both_sides(void **state)
{
    (void)state;
    fixture a, b;
    double la, lb;
    diverge("cuda", &a, &la);
    diverge("ref", &b, &lb);
    expect_near("loss after divergence", 1, &la, &lb, 1e-4);
    expect_same_model(a.model, b.model, 1e-4);
    t_close(&a);
    t_close(&b);
}

// ---- an optimizer that moves to the host

static lt_status add_companion(lt_job *job, int32_t epoch, void *ctx)
{
    const lt_dataset *ds = ctx;
    if (epoch < 1)
        return LT_OK;
    job->n_phases = 2;
    job->phase[1] = (lt_phase){.view = {lt_view_split(ds, LT_TEST)}, .n_views = 1, .shuffle = true, .companion = true};
    job->phase[1].view[0].weight = -0.05f;
    job->phase[1].view[0].tag = 1;
    return LT_OK;
}

static void train_with_side(const char *backend, bool evaluate, fixture *f, looker *l)
{
    open_job(backend, "resnet18:width=4", f);
    *l = (looker){.ds = f->ds};
    if (evaluate)
        assert_ok(lt_evaluator_create(f->model, &f->env, 8, &l->evaluator));
    f->job.on_epoch = add_companion;
    f->job.ctx = f->ds;
    f->job.on_step = look;
    f->job.step_ctx = l;
    f->job.cfg.epochs = 3;
    run_job(f);
    lt_evaluator_destroy(l->evaluator);
}

static void the_optimizer_may_move_to_the_host(void **state)
{
    (void)state;
    for (int evaluate = 0; evaluate < 2; evaluate++) {
        fixture a, b;
        looker la, lb;
        train_with_side("cuda", evaluate, &a, &la);
        train_with_side("ref", evaluate, &b, &lb);
        assert_int_equal(la.eval.n, evaluate ? 9 : 0);
        expect_near("loss seen by an evaluator", la.eval.n, la.eval.value, lb.eval.value, 1e-4);
        expect_near("parameters read by a hook", 9, la.slab.value, lb.slab.value, 1e-5);
        expect_same_model(a.model, b.model, 1e-3);
        t_close(&a);
        t_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adversarial_training_follows_the_cpu),   cmocka_unit_test(evaluators_in_hooks_see_the_model),
        cmocka_unit_test(readers_in_hooks_see_the_model),         cmocka_unit_test(on_epoch_is_shown_the_start),
        cmocka_unit_test(a_diverged_model_is_back_on_both_sides), cmocka_unit_test(the_optimizer_may_move_to_the_host),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
