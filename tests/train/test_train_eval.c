// test_train_eval.c - evaluation figures against the same figures worked out from the logits, with and without a last
// partial batch, and a reused evaluator against a fresh one.
#include "train_test.h"

#include <math.h>

#include "train/train_impl.h"

// Accuracy, loss, calibration and class accuracy from logits (n,K), the slow and plain way.
static void expected(const float *z, const int32_t *y, int64_t n, lt_eval_result *r, double *per_class)
{
    double conf_sum[15] = {0}, acc_sum[15] = {0}, class_n[T_CLASSES] = {0}, class_ok[T_CLASSES] = {0};
    *r = (lt_eval_result){.n = n};
    for (int64_t i = 0; i < n; i++) {
        double p[T_CLASSES], total = 0;
        int best = 0;
        for (int k = 0; k < T_CLASSES; k++)
            total += p[k] = exp((double)z[i * T_CLASSES + k]);
        for (int k = 1; k < T_CLASSES; k++)
            best = p[k] > p[best] ? k : best;
        const double conf = p[best] / total;
        int bin = 0;
        while (bin < 14 && conf > (bin + 1) / 15.0)
            bin++;
        conf_sum[bin] += conf;
        acc_sum[bin] += best == y[i];
        class_n[y[i]]++;
        class_ok[y[i]] += best == y[i];
        r->acc += (best == y[i]) / (double)n;
        r->loss -= log(p[y[i]] / total) / (double)n;
    }
    for (int b = 0; b < 15; b++)
        r->ece += fabs(acc_sum[b] - conf_sum[b]) / (double)n;
    for (int k = 0; k < T_CLASSES; k++)
        per_class[k] = class_n[k] > 0 ? class_ok[k] / class_n[k] : (double)NAN;
}

static void close_to(double a, double b)
{
    if (!(fabs(a - b) < 1e-6) && !(isnan(a) && isnan(b)))
        fail_msg("expected %.9g, found %.9g", b, a);
}

static void train_a_little(fixture *f)
{
    t_open(f, "ref", 1);
    assert_ok(lt_train_run(&f->job, &f->env, NULL, false, NULL));
}

static void figures(void **state)
{
    (void)state;
    fixture f;
    train_a_little(&f);
    float logits[T_TRAIN * T_CLASSES], first[T_TRAIN * T_CLASSES];
    double per_class[T_CLASSES], want_class[T_CLASSES];
    lt_eval_result r, want;
    const lt_view view = lt_view_split(f.ds, LT_TRAIN);
    const int64_t batches[] = {1, 3, 8, 22, 64};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        assert_ok(lt_evaluate(f.model, &view, &f.env, batches[b], logits, per_class, &r));
        expected(logits, f.ds->split[LT_TRAIN].y, T_TRAIN, &want, want_class);
        assert_int_equal(r.n, T_TRAIN);
        close_to(r.acc, want.acc);
        close_to(r.loss, want.loss);
        close_to(r.ece, want.ece);
        for (int k = 0; k < T_CLASSES; k++)
            close_to(per_class[k], want_class[k]);
        if (b == 0)
            memcpy(first, logits, sizeof first);
        for (int i = 0; i < T_TRAIN * T_CLASSES; i++) // whatever the batch size: samples do not see each other
            close_to((double)logits[i], (double)first[i]);
    }
    t_close(&f);
}

static void views(void **state)
{
    (void)state;
    fixture f;
    train_a_little(&f);
    float all[T_TRAIN * T_CLASSES], some[3 * T_CLASSES];
    double per_class[T_CLASSES];
    lt_eval_result r, plain;
    lt_view view = lt_view_split(f.ds, LT_TRAIN);
    assert_ok(lt_evaluate(f.model, &view, &f.env, 8, NULL, NULL, &plain));
    view.augment = true; // ignored: evaluation never augments
    view.relabel = LT_RELABEL_RANDOM_OTHER;
    view.weight = -3;
    assert_ok(lt_evaluate(f.model, &view, &f.env, 8, all, NULL, &r));
    assert_true(r.acc == plain.acc && r.loss == plain.loss && r.ece == plain.ece);
    const int64_t rows[] = {20, 4, 0}; // classes 0, 0, 0
    lt_view part = lt_view_split(f.ds, LT_TRAIN);
    part.row = rows;
    part.n = 3;
    assert_ok(lt_evaluate(f.model, &part, &f.env, 8, some, per_class, &r));
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < T_CLASSES; k++)
            close_to((double)some[i * T_CLASSES + k], (double)all[rows[i] * T_CLASSES + k]);
    assert_true(!isnan(per_class[0]) && isnan(per_class[1]) && isnan(per_class[2]) && isnan(per_class[3]));
    assert_true(r.acc == per_class[0]);
    const int32_t wrong[] = {9, 0, 0};
    part.labels = wrong;
    assert_fails(LT_E_FORMAT, "label", lt_evaluate(f.model, &part, &f.env, 8, NULL, NULL, &r));
    assert_fails(LT_E_USAGE, "batch", lt_evaluate(f.model, &part, &f.env, 0, NULL, NULL, &r));
    part.n = 0;
    assert_fails(LT_E_USAGE, "samples", lt_evaluate(f.model, &part, &f.env, 8, NULL, NULL, &r));
    t_close(&f);
}

// One evaluator over many views and changing weights equals fresh ones, for all backends.
static void reuse(void **state)
{
    (void)state;
    for (const char *const *name = lt_backend_names(); *name; name++) {
        fixture f;
        t_open(&f, *name, 2);
        const lt_view view[2] = {lt_view_split(f.ds, LT_TRAIN), lt_view_split(f.ds, LT_TEST)};
        lt_evaluator *e = NULL;
        assert_ok(lt_evaluator_create(f.model, &f.env, 8, &e));
        f.job.cfg.epochs = 1;
        for (int round = 0; round < 3; round++) {
            for (int v = 0; v < 2; v++) {
                lt_eval_result kept, fresh;
                assert_ok(lt_evaluator_run(e, &view[v], NULL, NULL, &kept));
                assert_ok(lt_evaluate(f.model, &view[v], &f.env, 8, NULL, NULL, &fresh));
                assert_int_equal(kept.n, view[v].n);
                close_to(kept.acc, fresh.acc);
                close_to(kept.loss, fresh.loss);
            }
            f.job.seed = (uint64_t)round;
            assert_ok(lt_train_run(&f.job, &f.env, NULL, false, NULL));
        }
        lt_evaluator_destroy(e);
        t_close(&f);
    }
}

// Evaluation leaves the model as it is, and stops when asked to.
static void harmless(void **state)
{
    (void)state;
    fixture f;
    train_a_little(&f);
    char before[65], after[65];
    lt_eval_result r;
    const lt_view view = lt_view_split(f.ds, LT_TEST);
    lt_model_digest(f.model, before);
    assert_ok(lt_evaluate(f.model, &view, &f.env, 4, NULL, NULL, &r));
    lt_model_digest(f.model, after);
    assert_string_equal(before, after);
    const volatile int stop = 1;
    f.env.stop = &stop;
    assert_fails(LT_E_INTERRUPTED, "evaluation", lt_evaluate(f.model, &view, &f.env, 4, NULL, NULL, &r));
    f.env.stop = NULL;
    lt_status status = LT_E_NOMEM;
    for (int64_t n = 1; status != LT_OK && n < 10000; n++) {
        lti_alloc_fail_at(n);
        status = lt_evaluate(f.model, &view, &f.env, 4, NULL, NULL, &r);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    assert_int_equal(status, LT_OK);
    lt_evaluator_destroy(NULL);
    t_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures),
        cmocka_unit_test(views),
        cmocka_unit_test(reuse),
        cmocka_unit_test(harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
