// test_class_audit.c - audits of forgotten classes from outputs alone: figures against plain loops, class-mia on made
// outputs whose neighbour is known, and what may not change a bit.
#include "lt_test.h"
#include "base/base.h"
#include "lethe/class_audit.h"
#include "lethe/metric.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { K = 5, PER = 24, FORGOTTEN = 1, NEIGHBOUR = 3, N_ORACLES = 3, N = PER * K * 2 };

// Outputs: the true class stands out; images of the forgotten class look like the neighbour with probability `like`.
static lt_signals *make(uint64_t seed, double like, double own)
{
    lt_signals *s = lti_calloc(1, sizeof *s);
    *s = (lt_signals){.n = N, .k = K};
    s->logits = lti_calloc(N * K, sizeof *s->logits);
    s->label = lti_calloc(N, sizeof *s->label);
    s->id = lti_calloc(N, sizeof *s->id);
    s->group = lti_calloc(N, sizeof *s->group);
    for (int i = 0; i < N; i++) {
        lt_rng rng = lt_rng_at(seed, LT_STREAM_TEST, 3, (uint64_t)i);
        const int y = i % K;
        s->label[i] = y;
        s->id[i] = i;
        s->group[i] = (int8_t)(i >= N / 2 ? LT_GROUP_TEST : y == FORGOTTEN ? LT_GROUP_FORGET : LT_GROUP_RETAIN);
        int top = y;
        if (y == FORGOTTEN)
            top = (double)lt_rng_uniform(&rng) < like ? NEIGHBOUR : (int)lt_rng_below(&rng, 3) * 2;
        for (int k = 0; k < K; k++)
            s->logits[i * K + k] = (float)lt_rng_normal(&rng) + (k == top ? 4.0f : 0.0f);
        s->logits[i * K + FORGOTTEN] = y == FORGOTTEN ? (float)own : -9.0f;
    }
    return s;
}

static lt_class_audit_cfg defaults(void)
{
    lt_class_audit_cfg cfg;
    lt_options_defaults(lt_class_audit_options, &cfg);
    return cfg;
}

typedef struct world {
    lt_signals *model, *oracle[N_ORACLES];
} world;

static void world_open(world *w, double like, double own)
{
    w->model = make(1, like, own);
    for (int i = 0; i < N_ORACLES; i++)
        w->oracle[i] = make(10 + (uint64_t)i, 0.8, -8);
}

static void world_close(world *w)
{
    lt_signals_destroy(w->model);
    for (int i = 0; i < N_ORACLES; i++)
        lt_signals_destroy(w->oracle[i]);
}

static lt_class_audits *audit(const world *w, const lt_class_audit_cfg *cfg)
{
    lt_class_audits *a;
    assert_ok(lt_class_audit_run(w->model, (const lt_signals *const *)w->oracle, N_ORACLES, cfg, 5, &a));
    return a;
}

// ---- classes without test samples

// Its figures are missing; those of the other class, and the means, do without it.
static void a_class_without_test_samples_is_left_out(void **state)
{
    (void)state;
    enum { OTHER = 2 };
    const lt_class_audit_cfg cfg = defaults();
    world w;
    world_open(&w, 0.7, -8);
    lt_signals *all[1 + N_ORACLES] = {w.model, w.oracle[0], w.oracle[1], w.oracle[2]};
    for (int m = 0; m < 1 + N_ORACLES; m++)
        for (int i = 0; i < N; i++)
            if (all[m]->label[i] == OTHER && i < N / 2)
                all[m]->group[i] = LT_GROUP_FORGET;
            else if (all[m]->label[i] == OTHER) // of another class instead
                all[m]->label[i] = NEIGHBOUR;
    lt_class_audits *a = audit(&w, &cfg);
    const lt_class_audit *of = &a->audit[0];
    assert_int_equal(of->n_classes, 2);
    assert_true(of->of[1].forgotten == OTHER && of->of[1].neighbour == -1);
    assert_true(isnan(of->of[1].score) && isnan(of->of[1].tv) && isnan(of->of[1].predicted[0]));
    assert_true(isfinite(of->score) && of->score == of->of[0].score && of->tv == of->of[0].tv);
    assert_true(isfinite(of->svc_mia) && isfinite(of->acc.acc_f));
    lt_class_audit_destroy(a);
    world_close(&w);
}

// ---- figures

static void softmax(const float *z, double *p)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += p[k] = exp((double)z[k]);
    for (int k = 0; k < K; k++)
        p[k] /= sum;
}

static void figures_are_plain_loops(void **state)
{
    (void)state;
    world w;
    world_open(&w, 0.8, 4.5);
    const lt_class_audit_cfg cfg = defaults();
    lt_class_audits *a = audit(&w, &cfg);
    double right[2] = {0}, n[2] = {0}, tv = 0, row[K] = {0}, mean[2][K] = {{0}};
    for (int i = N / 2; i < N; i++) {
        const int forgotten = w.model->label[i] == FORGOTTEN;
        double p[K], q[K];
        right[forgotten] += lt_signals_predicted(w.model, i) == w.model->label[i];
        n[forgotten]++;
        if (!forgotten)
            continue;
        softmax(w.model->logits + i * K, p);
        row[lt_signals_predicted(w.model, i)] += 1.0 / PER;
        for (int o = 0; o < N_ORACLES; o++) {
            softmax(w.oracle[o]->logits + i * K, q);
            for (int k = 0; k < K; k++) {
                tv += 0.5 * fabs(p[k] - q[k]) / (PER * N_ORACLES);
                mean[1][k] += q[k] / (PER * N_ORACLES);
            }
        }
        for (int k = 0; k < K; k++)
            mean[0][k] += p[k] / PER;
    }
    double of_means = 0;
    for (int k = 0; k < K; k++)
        of_means += 0.5 * fabs(mean[0][k] - mean[1][k]);
    const lt_class_audit *m = &a->audit[0];
    assert_true(a->k == K && a->n_retrained == N_ORACLES && m->n_classes == 1 && m->of[0].forgotten == FORGOTTEN);
    assert_true(fabs(m->acc.acc_f - right[1] / n[1]) < 1e-12 && fabs(m->acc.acc_r - right[0] / n[0]) < 1e-12);
    assert_true(fabs(m->composite - m->acc.acc_r * (1 - m->acc.acc_f)) < 1e-12);
    assert_true(m->acc.acc_f > 0 && m->acc.acc_r_train > 0.9);
    assert_true(fabs(m->tv - tv) < 1e-6 && fabs(m->tv_mean - of_means) < 1e-6);
    for (int k = 0; k < K; k++) {
        assert_true(fabs(m->of[0].predicted[k] - row[k]) < 1e-12);
        assert_true(fabs(m->of[0].output[k] - mean[0][k]) < 1e-6);
    }
    lt_class_audit_destroy(a);
    lt_class_acc acc;
    assert_ok(lt_signals_class_acc(w.model, &acc));
    assert_memory_equal(&acc, &((lt_class_acc){right[1] / n[1], right[0] / n[0], acc.acc_f_train, acc.acc_r_train}),
                        2 * sizeof(double));
    world_close(&w);
}

static void svc_mia_sees_the_class(void **state)
{
    (void)state;
    const lt_class_audit_cfg cfg = defaults();
    for (int knows = 0; knows < 2; knows++) {
        world w;
        world_open(&w, 0.8, knows ? 9 : -8); // still sure of the class, or not any more
        lt_class_audits *a = audit(&w, &cfg);
        assert_true(knows ? a->audit[0].svc_mia < 0.1 : a->audit[0].svc_mia > 0.95);
        assert_true(a->audit[1].svc_mia > 0.95);
        lt_class_audit_destroy(a);
        world_close(&w);
    }
}

// ---- class-mia

static void the_neighbour_is_found(void **state)
{
    (void)state;
    static const int32_t form[] = {LT_CLASS_MIA_OWN, LT_CLASS_MIA_TRANSFER, LT_CLASS_MIA_ARGMAX};
    for (int f = 0; f < 3; f++)
        for (int features = 0; features < (f == 2 ? 1 : 2); features++)
            for (int kernel = 0; kernel < 2; kernel++) {
                lt_class_audit_cfg cfg = defaults();
                cfg.class_mia_form = form[f];
                cfg.class_mia_features = features;
                cfg.class_mia_kernel = kernel;
                double gap[2];
                for (int scattered = 0; scattered < 2; scattered++) {
                    world w;
                    world_open(&w, scattered ? 0.1 : 0.8, -8);
                    lt_class_audits *a = audit(&w, &cfg);
                    const lt_class_result *of = &a->audit[0].of[0];
                    assert_int_equal(of->neighbour, NEIGHBOUR);
                    assert_true(fabs(of->gap - fabs(of->score - of->reference)) < 1e-12 && of->reference_sd > 0);
                    assert_true(isnan(of->accept[FORGOTTEN]) && of->accept_retrained[NEIGHBOUR] == of->reference);
                    if (scattered)
                        assert_true(of->score < of->reference); // [class-mia 2]
                    gap[scattered] = a->audit[0].gap;
                    lt_class_audit_destroy(a);
                    world_close(&w);
                }
                assert_true(gap[0] < 0.25 && gap[1] > 0.4);
            }
}

static void a_masked_logit_changes_no_bit(void **state)
{
    (void)state;
    world w;
    world_open(&w, 0.5, 4.5);
    for (int form = 0; form < 3; form++) {
        lt_class_audit_cfg cfg = defaults();
        cfg.class_mia_form = form;
        lt_class_audits *a = audit(&w, &cfg);
        lt_signals *masked = make(1, 0.5, 4.5), *before = w.model;
        for (int i = 0; i < N; i++)
            masked->logits[i * K + FORGOTTEN] -= 1e4f;
        w.model = masked;
        lt_class_audits *b = audit(&w, &cfg);
        w.model = before;
        assert_memory_equal(a->audit[0].of[0].accept, b->audit[0].of[0].accept, K * sizeof(double));
        assert_true(a->audit[0].score == b->audit[0].score && a->audit[0].gap == b->audit[0].gap);
        assert_true(b->audit[0].acc.acc_f == 0 && b->audit[0].svc_mia == 1 && a->audit[0].acc.acc_f > 0.2);
        assert_true(b->audit[0].acc.acc_r >= a->audit[0].acc.acc_r);
        double retrained = 0;
        for (int o = 1; o <= N_ORACLES; o++)
            retrained += a->audit[o].acc.acc_f / N_ORACLES;
        assert_true(fabs(a->audit[0].acc_f_limit - retrained - LT_CLASS_GATE) < 1e-12);
        assert_true(!a->audit[0].passes_gate && b->audit[0].passes_gate);
        lt_class_audit_destroy(a);
        lt_class_audit_destroy(b);
        lt_signals_destroy(masked);
    }
    world_close(&w);
}

static void retrained_models_are_like_one_another(void **state)
{
    (void)state;
    world w;
    world_open(&w, 0.8, -8);
    const lt_class_audit_cfg cfg = defaults();
    lt_class_audits *a = audit(&w, &cfg);
    for (int o = 1; o <= N_ORACLES; o++) {
        assert_true(a->audit[o].gap < 0.25 && a->audit[o].of[0].neighbour == NEIGHBOUR);
        assert_true(fabs(a->audit[o].of[0].two_sample - 0.5) < 0.3);
    }
    lt_class_audit_destroy(a);
    assert_ok(lt_class_audit_run(w.model, NULL, 0, &cfg, 5, &a));
    assert_true(isnan(a->audit[0].gap) && a->audit[0].of[0].neighbour == -1 && isfinite(a->audit[0].acc.acc_r));
    assert_true(isnan(a->audit[0].tv) && isfinite(a->audit[0].of[0].accept[NEIGHBOUR]));
    lt_class_audit_destroy(a);
    world_close(&w);
}

static void assert_same_audits(const lt_class_audits *a, const lt_class_audits *b)
{
    assert_int_equal(a->n_retrained, b->n_retrained);
    for (int m = 0; m <= a->n_retrained; m++) {
        const lt_class_audit *x = &a->audit[m], *y = &b->audit[m];
        const size_t bytes = (size_t)a->k * sizeof(double);
        assert_memory_equal(&x->acc, &y->acc, sizeof x->acc);
        assert_true(x->gap == y->gap && x->tv == y->tv && x->tv_mean == y->tv_mean && x->svc_mia == y->svc_mia);
        assert_true(x->acc_f_limit == y->acc_f_limit && x->passes_gate == y->passes_gate);
        assert_int_equal(x->n_classes, y->n_classes);
        for (int f = 0; f < x->n_classes; f++) {
            const lt_class_result *p = &x->of[f], *q = &y->of[f];
            assert_int_equal(p->neighbour, q->neighbour);
            assert_true(p->score == q->score && p->reference == q->reference && p->two_sample == q->two_sample);
            assert_memory_equal(p->accept, q->accept, bytes); // NANs too
            assert_memory_equal(p->accept_retrained, q->accept_retrained, bytes);
            assert_memory_equal(p->predicted, q->predicted, bytes);
            assert_memory_equal(p->output, q->output, bytes);
        }
    }
}

static void shared_retrained_models_change_no_bit(void **state)
{
    (void)state;
    for (int form = LT_CLASS_MIA_OWN; form <= LT_CLASS_MIA_ARGMAX; form++) {
        world w, other;
        lt_class_audit_cfg cfg = defaults();
        lt_class_reference *r;
        lt_class_audits *a, *b;
        world_open(&w, 0.8, -8);
        world_open(&other, 0.3, 2);
        cfg.class_mia_form = form;
        assert_ok(lt_class_reference_create(w.model, (const lt_signals *const *)w.oracle, N_ORACLES, &cfg, 5, &r));
        for (int i = 0; i < 2; i++) {
            assert_ok(lt_class_reference_audit(r, i ? other.model : w.model, &a));
            assert_ok(lt_class_audit_run(i ? other.model : w.model, (const lt_signals *const *)w.oracle, N_ORACLES,
                                         &cfg, 5, &b));
            assert_same_audits(a, b);
            lt_class_audit_destroy(a);
            lt_class_audit_destroy(b);
        }
        other.model->id[3]++;
        assert_fails(LT_E_FORMAT, "expected the samples", lt_class_reference_audit(r, other.model, &a));
        assert_null(a);
        lt_class_reference_destroy(r);
        world_close(&w);
        world_close(&other);
    }
}

// ---- refusals

static void what_cannot_be_audited_is_named(void **state)
{
    (void)state;
    world w;
    world_open(&w, 0.8, -8);
    const lt_class_audit_cfg cfg = defaults();
    lt_class_audits *a;
    const lt_signals *const *oracle = (const lt_signals *const *)w.oracle;
    w.oracle[1]->label[7] = 0;
    assert_fails(LT_E_FORMAT, "retrained model 2", lt_class_audit_run(w.model, oracle, 2, &cfg, 5, &a));
    assert_null(a);
    for (int i = N / 2; i < N; i++)
        if (w.model->label[i] == FORGOTTEN)
            w.model->label[i] = 0;
    assert_fails(LT_E_FORMAT, "test samples of forgotten class 1", lt_class_audit_run(w.model, oracle, 0, &cfg, 5, &a));
    for (int i = 0; i < N; i++)
        if (w.model->group[i] == LT_GROUP_FORGET && i % 2)
            w.model->group[i] = LT_GROUP_RETAIN; // half of the class stays
    assert_int_equal(lt_signals_class_roles(w.model, NULL), 0);
    assert_fails(LT_E_FORMAT, "found none", lt_class_audit_run(w.model, oracle, 0, &cfg, 5, &a));
    world_close(&w);
}

// A kept class with one test sample has no discriminator; the audit does without it.
static void a_rare_kept_class_fails_no_audit(void **state)
{
    (void)state;
    world w;
    int seen = 0;
    world_open(&w, 0.8, -8);
    for (int i = N / 2; i < N; i++) {
        if (w.model->label[i] != 0 || !seen++)
            continue;
        w.model->label[i] = 2;
        for (int o = 0; o < N_ORACLES; o++)
            w.oracle[o]->label[i] = 2;
    }
    lt_class_audit_cfg cfg = defaults();
    cfg.class_mia_data = LT_GROUP_TEST;
    lt_class_audits *a = audit(&w, &cfg);
    assert_true(isnan(a->audit[0].of[0].accept[0]) && isfinite(a->audit[0].of[0].accept[2]));
    assert_true(isfinite(a->audit[0].of[0].score) && a->audit[0].of[0].neighbour != 0);
    lt_class_audit_destroy(a);
    world_close(&w);
}

// ---- subclasses

enum { SUB_KEPT = 10, SUB_GONE = 11, SUB_OTHER = 90, N_GONE = PER / 2 }; // N_GONE: of the test samples

static bool is_gone(int i) // class 1 has two subclasses, every second sample of it is of the forgotten one
{
    return i % K == FORGOTTEN && i / K % 2;
}

// Samples of the forgotten subclass: like the neighbour with probability `like`, else like their label.
static lt_signals *make_sub(uint64_t seed, double like)
{
    lt_signals *s = make(seed, 0, -9);
    s->subclass = lti_calloc(N, sizeof *s->subclass);
    for (int i = 0; i < N; i++) {
        lt_rng rng = lt_rng_at(seed, LT_STREAM_TEST, 4, (uint64_t)i);
        const int y = i % K;
        s->subclass[i] = y != FORGOTTEN ? SUB_OTHER + y : is_gone(i) ? SUB_GONE : SUB_KEPT;
        s->group[i] = (int8_t)(i >= N / 2 ? LT_GROUP_TEST : is_gone(i) ? LT_GROUP_FORGET : LT_GROUP_RETAIN);
        const int top = is_gone(i) && (double)lt_rng_uniform(&rng) < like ? NEIGHBOUR : y;
        for (int k = 0; k < K; k++)
            s->logits[i * K + k] = (float)lt_rng_normal(&rng) + (k == top ? 5.0f : 0.0f);
    }
    return s;
}

static void a_subclass_is_a_class_of_its_own(void **state)
{
    (void)state;
    const lt_class_audit_cfg cfg = defaults();
    double score[2], gap[2];
    for (int knows = 0; knows < 2; knows++) { // the model still answers with the label, or as the oracles do
        world w = {.model = make_sub(1, knows ? 0 : 0.8)};
        for (int i = 0; i < N_ORACLES; i++)
            w.oracle[i] = make_sub(10 + (uint64_t)i, 0.8);
        assert_int_equal(lt_signals_class_roles(w.model, NULL), 0);
        assert_int_equal(lt_signals_forgotten_subclasses(w.model), 1);
        lt_class_audits *a = audit(&w, &cfg);
        const lt_class_audit *m = &a->audit[0];
        assert_true(m->n_classes == 1 && m->of[0].forgotten == FORGOTTEN && m->of[0].subclass == SUB_GONE);
        double right[2][2] = {{0}}, n[2][2] = {{0}}, row[K] = {0}, tv = 0, p[K], q[K];
        for (int i = 0; i < N; i++) {
            const int test = w.model->group[i] == LT_GROUP_TEST, gone = is_gone(i);
            right[test][gone] += lt_signals_predicted(w.model, i) == w.model->label[i];
            n[test][gone]++;
            if (!test || !gone)
                continue;
            row[lt_signals_predicted(w.model, i)]++;
            softmax(w.model->logits + i * K, p);
            for (int o = 0; o < N_ORACLES; o++) {
                softmax(w.oracle[o]->logits + i * K, q);
                for (int k = 0; k < K; k++)
                    tv += 0.5 * fabs(p[k] - q[k]) / N_ORACLES;
            }
        }
        assert_true(n[1][1] == N_GONE && n[1][0] == PER * K - N_GONE);
        assert_true(fabs(m->acc.acc_f - right[1][1] / n[1][1]) < 1e-12);
        assert_true(fabs(m->acc.acc_r - right[1][0] / n[1][0]) < 1e-12);
        assert_true(fabs(m->acc.acc_f_train - right[0][1] / n[0][1]) < 1e-12);
        assert_true(fabs(m->acc.acc_r_train - right[0][0] / n[0][0]) < 1e-12);
        assert_true(fabs(m->tv - tv / n[1][1]) < 1e-6);
        for (int k = 0; k < K; k++) {
            assert_true(fabs(m->of[0].predicted[k] - row[k] / n[1][1]) < 1e-12);
            assert_true(isfinite(m->of[0].accept[k])); // every label has a discriminator, its own among them
        }
        assert_int_equal(m->of[0].neighbour, NEIGHBOUR);
        score[knows] = m->score;
        gap[knows] = m->gap;
        int64_t n_test;
        double acc;
        assert_ok(lt_sample_group_acc(w.model, LT_SAMPLES_TEST_FORGET, &acc, &n_test));
        assert_true(n_test == N_GONE && fabs(acc - m->acc.acc_f) < 1e-12);
        lt_class_audit_destroy(a);
        world_close(&w);
    }
    assert_true(gap[0] < 0.2 && gap[1] > 0.5 && score[0] > score[1]);
}

// No subclass request: part of a subclass, a whole class, outputs without subclasses.
static void what_is_no_subclass_request(void **state)
{
    (void)state;
    lt_signals *s = make_sub(1, 0.8);
    lt_class_acc acc;
    for (int i = 0; i < N / 2; i++)
        if (i % K == FORGOTTEN)
            s->group[i] = LT_GROUP_FORGET;
    assert_int_equal(lt_signals_class_roles(s, NULL), 1); // both subclasses: the class
    assert_int_equal(lt_signals_forgotten_subclasses(s), 0);
    lt_signals_destroy(s);
    s = make_sub(1, 0.8);
    s->group[0] = LT_GROUP_FORGET; // and one sample of another subclass
    assert_int_equal(lt_signals_forgotten_subclasses(s), 0);
    assert_ok(lt_signals_class_acc(s, &acc));
    assert_true(isnan(acc.acc_f));
    lt_signals_destroy(s);
    s = make_sub(1, 0.8);
    lti_free(s->subclass);
    s->subclass = NULL;
    assert_int_equal(lt_signals_forgotten_subclasses(s), 0);
    lt_signals_destroy(s);
}

static void subclasses_are_in_files(void **state)
{
    (void)state;
    char path[256];
    lt_signals *s = make_sub(1, 0.8), *again;
    snprintf(path, sizeof path, "%s/lethe-subclass-%ld.npz", lt_test_root(), (long)getpid());
    assert_ok(lt_signals_save(s, path));
    assert_ok(lt_signals_open(path, &again));
    assert_memory_equal(s->subclass, again->subclass, N * sizeof *s->subclass);
    lt_signals_destroy(again);
    s->subclass[7] = -1;
    assert_ok(lt_signals_save(s, path));
    assert_fails(LT_E_FORMAT, "array 'subclass', row 7", lt_signals_open(path, &again));
    lti_free(s->subclass);
    s->subclass = NULL;
    assert_ok(lt_signals_save(s, path));
    assert_ok(lt_signals_open(path, &again));
    assert_null(again->subclass);
    lt_signals_destroy(again);
    lt_signals_destroy(s);
    remove(path);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    world w;
    world_open(&w, 0.8, -8);
    const lt_class_audit_cfg cfg = defaults();
    lt_status status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK; n += 1 + n / 8) {
        lt_class_audits *a;
        lti_alloc_fail_at(n);
        status = lt_class_audit_run(w.model, (const lt_signals *const *)w.oracle, 2, &cfg, 5, &a);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || (status == LT_E_NOMEM && !a));
        lt_class_audit_destroy(a);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_without_test_samples_is_left_out),
        cmocka_unit_test(a_rare_kept_class_fails_no_audit),
        cmocka_unit_test(figures_are_plain_loops),
        cmocka_unit_test(svc_mia_sees_the_class),
        cmocka_unit_test(the_neighbour_is_found),
        cmocka_unit_test(a_masked_logit_changes_no_bit),
        cmocka_unit_test(retrained_models_are_like_one_another),
        cmocka_unit_test(shared_retrained_models_change_no_bit),
        cmocka_unit_test(what_cannot_be_audited_is_named),
        cmocka_unit_test(a_subclass_is_a_class_of_its_own),
        cmocka_unit_test(what_is_no_subclass_request),
        cmocka_unit_test(subclasses_are_in_files),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
