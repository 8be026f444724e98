// test_optim.c - one update of the optimizers against numbers worked out by hand in PyTorch's formulas, and against the
// same formulas in double over several steps.
#include "train_test.h"

#include <math.h>

#include "train/train_impl.h"

enum { N = 40000 }; // more than two blocks of the update loop

static lt_train_cfg sgd_cfg(float momentum, float wd, bool nesterov)
{
    lt_train_cfg c;
    lt_options_defaults(lt_train_options, &c);
    c.momentum = momentum;
    c.weight_decay = wd;
    c.nesterov = nesterov;
    return c;
}

static lt_train_cfg adamw_cfg(float wd)
{
    lt_train_cfg c = sgd_cfg(0, wd, false);
    c.optimizer = LT_ADAMW;
    return c;
}

// p after each of two steps from p = 1 with gradient 0.5 and rate 0.1.
static void two_steps(const lt_train_cfg *cfg, double first, double second)
{
    float p = 1, g = 0.5f;
    lti_optim o;
    assert_ok(lti_optim_init(&o, cfg->optimizer, 1));
    const lti_update u = {.cfg = cfg, .p = &p, .g = &g, .lr = 0.1, .n_threads = 1};
    assert_true(lti_optim_step(&o, &u));
    assert_float_equal(p, (float)first, 1e-6f);
    assert_true(lti_optim_step(&o, &u));
    assert_float_equal(p, (float)second, 1e-6f);
    lti_optim_clear(&o);
}

static void known_numbers(void **state)
{
    (void)state;
    lt_train_cfg c = sgd_cfg(0.9f, 0.01f, false);
    two_steps(&c, 0.949, 0.852151);
    c = sgd_cfg(0.9f, 0.01f, true);
    two_steps(&c, 0.9031, 0.76507411);
    c = sgd_cfg(0, 0, false);
    two_steps(&c, 0.95, 0.9);
    c = adamw_cfg(0.01f); // a constant gradient moves every step by the rate
    two_steps(&c, 0.899, 0.798101);
}

static float draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, step, (uint64_t)i);
    return (float)lt_rng_normal(&rng);
}

// The penalties of a job with an l1 penalty only, as they are at its first update.
static lti_terms terms_of(const lt_job *job)
{
    lti_terms terms;
    lti_terms_init(&terms, job);
    lti_terms_weigh(&terms, &(lt_update_at){.n_epochs = 1, .n_steps = 1});
    return terms;
}

typedef struct slabs {
    float p[N], g[N];
    uint8_t mask[N];
} slabs;

static double sgn(double x)
{
    return (x > 0) - (x < 0);
}

// One step of the formulas in double.
static void reference(const lt_train_cfg *c, double l1, double lr, int t, int64_t n, double *p, const float *g,
                      double *m, double *v)
{
    const double wd = (double)c->weight_decay, b1 = (double)c->beta1, b2 = (double)c->beta2, mom = (double)c->momentum;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)g[i] + l1 * sgn(p[i]);
        if (c->optimizer == LT_ADAMW) {
            p[i] -= lr * wd * p[i];
            m[i] = b1 * m[i] + (1 - b1) * d;
            v[i] = b2 * v[i] + (1 - b2) * d * d;
            p[i] -= lr * (m[i] / (1 - pow(b1, t))) / (sqrt(v[i] / (1 - pow(b2, t))) + (double)c->adam_eps);
        } else {
            d += wd * p[i];
            m[i] = t == 1 ? d : mom * m[i] + d;
            p[i] -= lr * (c->nesterov ? d + mom * m[i] : m[i]);
        }
    }
}

static void against_double(const lt_train_cfg *cfg, float l1, int n_threads)
{
    slabs *s = lti_calloc(1, sizeof *s);
    double *p = lti_calloc(3 * N, sizeof *p), *m = p + N, *v = m + N;
    const lt_job job = {.l1 = l1};
    const lti_terms terms = terms_of(&job);
    lti_optim o;
    assert_ok(lti_optim_init(&o, cfg->optimizer, N));
    for (int64_t i = 0; i < N; i++)
        p[i] = (double)(s->p[i] = draw(0, i));
    for (int t = 1; t <= 4; t++) {
        for (int64_t i = 0; i < N; i++)
            s->g[i] = draw((uint32_t)t, i);
        const double lr = 0.05 / t;
        const lti_update u = {.cfg = cfg, .p = s->p, .g = s->g, .lr = lr, .terms = &terms, .n_threads = n_threads};
        reference(cfg, (double)l1, lr, t, N, p, s->g, m, v); // first: the update adds the penalty to g
        assert_true(lti_optim_step(&o, &u));
    }
    for (int64_t i = 0; i < N; i++)
        if (fabs((double)s->p[i] - p[i]) > 1e-5 * (1 + fabs(p[i])))
            fail_msg("coordinate %lld: expected %.8g, found %.8g", (long long)i, p[i], (double)s->p[i]);
    lti_optim_clear(&o);
    lti_free(p);
    lti_free(s);
}

static void matches_double(void **state)
{
    (void)state;
    const lt_train_cfg cfg[] = {sgd_cfg(0.9f, 5e-4f, false), sgd_cfg(0.9f, 0.01f, true), sgd_cfg(0, 0, false),
                                adamw_cfg(0.05f)};
    for (size_t i = 0; i < sizeof cfg / sizeof *cfg; i++) {
        against_double(&cfg[i], 0, 1);
        against_double(&cfg[i], 1e-3f, 3); // a subgradient of the penalty: sign(p)
    }
}

static void l1_is_zero_at_zero(void **state)
{
    (void)state;
    const lt_train_cfg c = sgd_cfg(0, 0, false);
    float p[3] = {0, 0.5f, -0.5f}, g[3] = {0};
    const lt_job job = {.l1 = 0.25f};
    const lti_terms terms = terms_of(&job);
    lti_optim o;
    assert_ok(lti_optim_init(&o, LT_SGD, 3));
    assert_true(lti_optim_step(&o, &(lti_update){.cfg = &c, .p = p, .g = g, .lr = 1, .terms = &terms, .n_threads = 1}));
    assert_true(p[0] == 0 && p[1] == 0.25f && p[2] == -0.25f);
    lti_optim_clear(&o);
}

// Masked coordinates keep their bits, with weight decay and l1 on and with momentum from before the mask came.
static void mask_freezes(const lt_train_cfg *cfg)
{
    slabs *s = lti_calloc(1, sizeof *s);
    float *before = lti_calloc(N, sizeof *before);
    lti_optim o;
    assert_ok(lti_optim_init(&o, cfg->optimizer, N));
    for (int64_t i = 0; i < N; i++) {
        s->p[i] = draw(0, i);
        s->g[i] = draw(1, i);
        s->mask[i] = i % 3 != 0;
    }
    s->p[3] = -0.0f;
    s->p[6] = 1e-42f; // denormal
    s->g[9] = NAN;    // a masked gradient counts for nothing
    const lt_job job = {.l1 = 1e-3f};
    const lti_terms terms = terms_of(&job);
    lti_update u = {.cfg = cfg, .p = s->p, .g = s->g, .lr = 0.1, .terms = &terms, .n_threads = 2};
    for (int64_t i = 0; i < N; i++)
        o.m[i] = 1;
    memcpy(before, s->p, N * sizeof *before);
    u.mask = s->mask;
    assert_true(lti_optim_step(&o, &u));
    assert_true(lti_optim_step(&o, &u));
    for (int64_t i = 0; i < N; i++) {
        const bool same = memcmp(&s->p[i], &before[i], sizeof(float)) == 0;
        if (same == (s->mask[i] != 0) || (!s->mask[i] && o.m[i] != 0))
            fail_msg("coordinate %lld, mask %d: %g became %g, momentum %g", (long long)i, s->mask[i], (double)before[i],
                     (double)s->p[i], (double)o.m[i]);
    }
    lti_optim_clear(&o);
    lti_free(before);
    lti_free(s);
}

static void masks(void **state)
{
    (void)state;
    const lt_train_cfg cfg[] = {sgd_cfg(0.9f, 0.01f, false), sgd_cfg(0.9f, 0.01f, true), adamw_cfg(0.05f)};
    for (size_t i = 0; i < sizeof cfg / sizeof *cfg; i++)
        mask_freezes(&cfg[i]);
}

// l1 as a term of the list gives the bits that p' = p - lr (g + l1 sign(p) + wd p) gives when it is written in one
// line.
static void l1_keeps_its_bits(void **state)
{
    (void)state;
    const lt_train_cfg c = sgd_cfg(0.9f, 5e-4f, false);
    slabs *s = lti_calloc(1, sizeof *s);
    float *want = lti_calloc(2 * N, sizeof *want), *m = want + N;
    const lt_job job = {.l1 = 3e-4f};
    const lti_terms terms = terms_of(&job);
    lti_optim o;
    assert_ok(lti_optim_init(&o, LT_SGD, N));
    for (int64_t i = 0; i < N; i++)
        want[i] = s->p[i] = draw(0, i);
    for (uint32_t t = 1; t <= 3; t++) {
        for (int64_t i = 0; i < N; i++) {
            s->g[i] = draw(t, i);
            const float sign = (float)((want[i] > 0) - (want[i] < 0));
            const float d = s->g[i] + job.l1 * sign + c.weight_decay * want[i];
            m[i] = c.momentum * m[i] + d;
            want[i] = want[i] - 0.05f * m[i];
        }
        assert_true(lti_optim_step(
            &o, &(lti_update){.cfg = &c, .p = s->p, .g = s->g, .lr = (double)0.05f, .terms = &terms, .n_threads = 2}));
    }
    assert_memory_equal(s->p, want, N * sizeof *want);
    lti_optim_clear(&o);
    lti_free(want);
    lti_free(s);
}

// Coordinates of a group move with its own rate and decay, those around it as if there were none.
static void groups_have_their_own_rates(void **state)
{
    (void)state;
    const lt_train_cfg c = sgd_cfg(0.9f, 0.01f, false);
    const lt_param_group group[2] = {{.from = 5, .n = 20000, .lr_scale = 0.5f}, {.from = 30000, .n = 1}};
    slabs *s[2];
    for (int k = 0; k < 2; k++) {
        lti_optim o;
        s[k] = lti_calloc(1, sizeof *s[k]);
        assert_ok(lti_optim_init(&o, LT_SGD, N));
        for (int64_t i = 0; i < N; i++) {
            s[k]->p[i] = draw(0, i);
            s[k]->g[i] = draw(1, i);
        }
        assert_true(lti_optim_step(
            &o,
            &(lti_update){
                .cfg = &c, .p = s[k]->p, .g = s[k]->g, .lr = 0.1, .group = group, .n_groups = 2 * k, .n_threads = 2}));
        lti_optim_clear(&o);
    }
    for (int64_t i = 0; i < N; i++) {
        const bool first = i >= 5 && i < 20005;
        const float p = draw(0, i), g = draw(1, i);
        const float want = first ? p - 0.05f * g : i == 30000 ? p : s[0]->p[i];
        assert_true(fabsf(s[1]->p[i] - want) <= 1e-6f);
    }
    lti_free(s[0]);
    lti_free(s[1]);
}

static void threads_share_nothing(void **state)
{
    (void)state;
    const lt_train_cfg c = sgd_cfg(0.9f, 5e-4f, false);
    slabs *s[2];
    for (int k = 0; k < 2; k++) {
        lti_optim o;
        s[k] = lti_calloc(1, sizeof *s[k]);
        assert_ok(lti_optim_init(&o, LT_SGD, N));
        for (int64_t i = 0; i < N; i++) {
            s[k]->p[i] = draw(0, i);
            s[k]->g[i] = draw(1, i);
        }
        for (int t = 0; t < 3; t++)
            assert_true(lti_optim_step(
                &o, &(lti_update){.cfg = &c, .p = s[k]->p, .g = s[k]->g, .lr = 0.1, .n_threads = 1 + 3 * k}));
        lti_optim_clear(&o);
    }
    assert_memory_equal(s[0]->p, s[1]->p, sizeof s[0]->p);
    lti_free(s[0]);
    lti_free(s[1]);
}

static void sees_non_finite(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f}; // the last overflows in the update
    const lt_train_cfg c = sgd_cfg(0.9f, 0, false);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        float p[5] = {0}, g[5] = {1, 1, 1, 1, 1};
        lti_optim o;
        assert_ok(lti_optim_init(&o, LT_SGD, 5));
        g[k] = bad[k];
        assert_false(lti_optim_step(&o, &(lti_update){.cfg = &c, .p = p, .g = g, .lr = 10, .n_threads = 1}));
        lti_optim_clear(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_numbers),         cmocka_unit_test(matches_double),
        cmocka_unit_test(l1_is_zero_at_zero),    cmocka_unit_test(masks),
        cmocka_unit_test(l1_keeps_its_bits),     cmocka_unit_test(groups_have_their_own_rates),
        cmocka_unit_test(threads_share_nothing), cmocka_unit_test(sees_non_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
