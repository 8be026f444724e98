// test_quant_methods.c - penalties and straight-through rules of every method against finite differences and by hand.
#include "lt_test.h"

#include "quant/quant_impl.h"

#include <math.h>
#include <string.h>

enum { N = 96 };
static float draw(uint32_t step, int64_t i)
{
    lt_rng rng = lt_rng_at(8, LT_STREAM_TEST, step, (uint64_t)i);
    return (float)lt_rng_normal(&rng);
}

typedef struct rig { // one tensor of N weights with a grid and maps of its own
    lti_qtensor t;
    lti_grid g;
    lt_quant q;
    float w[N], own[LT_QUANT_MAX_BITS + 1];
} rig;

static void open_rig(rig *r, const char *method, int bits, float rate, float sigma)
{
    *r = (rig){
        .t = {.name = "w", .n = N, .per = N, .n_grids = 1, .bits = bits, .faulty = true, .id = 1, .lambda_scale = 1}};
    r->q = (lt_quant){
        .tensor = &r->t, .n_tensors = 1, .grid = &r->g, .n_grids = 1, .n_weights = N, .sigma = 1, .own = r->own};
    lt_options_defaults(lt_quant_options, &r->q.cfg);
    lt_options_defaults(lt_quant_chip_options, &r->q.cfg.device);
    r->q.cfg.bits = bits;
    r->q.cfg.device.fault_rate = rate;
    r->q.cfg.device.variability = sigma;
    assert_ok(lti_quantizer_find(method, &r->q.quantizer));
    r->q.n_own = r->q.quantizer->n_own ? r->q.quantizer->n_own(bits) : 0;
    lti_grid_init(&r->g, r->q.quantizer->grid, bits, 0.4f);
    for (int i = 0; i < N; i++)
        r->w[i] = draw(1, i);
    for (int b = 0; b <= bits; b++)
        r->own[b] = r->q.n_own == 1 ? 0.4f : r->g.gain[b] * (1 + 0.1f * draw(2, b));
    lti_q_own_to_grids(&r->q);
    assert_ok(lti_maps_draw(&r->q, &r->q.cfg.device, &r->q.maps));
}

static double value_of(rig *r, float *grad, double *own)
{
    float g[N] = {0};
    double o[LT_QUANT_MAX_BITS + 1] = {0}, bend = 0;
    lti_q_own_to_grids(&r->q);
    const lti_qpiece p = {.q = &r->q,
                          .t = &r->t,
                          .g = &r->g,
                          .n = N,
                          .w = r->w,
                          .grad = grad ? grad : g,
                          .own = own ? own : o,
                          .bend = &bend};
    return r->q.quantizer->penalize(&p, 2.0f); // 2 lambda kappa = 2: the gradient is that of the value itself
}

// Central differences that do not cross a midpoint: both sides keep the value smooth.
static void check_gradients(const char *method, int bits, float rate, float sigma)
{
    rig r;
    open_rig(&r, method, bits, rate, sigma);
    r.g.step0 = 0.4f;
    float grad[N] = {0};
    double own[LT_QUANT_MAX_BITS + 1] = {0};
    value_of(&r, grad, own);
    const float h = 1.0f / 1024;
    int n_checked = 0, n_own_checked = 0;
    for (int i = 0; i < N; i++) {
        const float w = r.w[i];
        float v = 0;
        r.w[i] = w + 2 * h;
        const int above = lti_q_nearest(&r.q, lti_known_maps(&r.q), &r.t, &r.g, i, r.w[i], &v);
        r.w[i] = w - 2 * h;
        const int below = lti_q_nearest(&r.q, lti_known_maps(&r.q), &r.t, &r.g, i, r.w[i], &v);
        r.w[i] = w + h;
        const double up = value_of(&r, NULL, NULL);
        r.w[i] = w - h;
        const double down = value_of(&r, NULL, NULL);
        r.w[i] = w;
        if (above != below)
            continue;
        const double slope = (up - down) / (2 * (double)h);
        n_checked++;
        if (fabs(slope - (double)grad[i]) > 2e-3 * (fabs(slope) + 0.05))
            fail_msg("%s, weight %d: gradient %g, finite difference %g", method, i, (double)grad[i], slope);
    }
    assert_true(n_checked > N / 2);
    for (int j = 0; j < r.q.n_own && !r.q.maps.eps; j++) {
        uint8_t code[3][N];
        double value[3];
        const float at = r.own[j], d = 1.0f / 8192;
        for (int side = 0; side < 3; side++) {
            r.own[j] = at + (float)(side - 1) * d;
            value[side] = value_of(&r, NULL, NULL);
            float v = 0;
            for (int i = 0; i < N; i++)
                code[side][i] = (uint8_t)lti_q_nearest(&r.q, lti_known_maps(&r.q), &r.t, &r.g, i, r.w[i], &v);
        }
        r.own[j] = at;
        const double slope = (value[2] - value[0]) / (2 * (double)d);
        const bool smooth = memcmp(code[0], code[1], N) == 0 && memcmp(code[1], code[2], N) == 0;
        n_own_checked += smooth;
        if (smooth && fabs(slope - own[j]) > 2e-3 * (fabs(slope) + 0.5))
            fail_msg("%s, %d bits, own number %d: gradient %g, finite difference %g", method, bits, j, own[j], slope);
    }
    assert_true(r.q.n_own == 0 || r.q.maps.eps || n_own_checked > 0);
    lti_maps_clear(&r.q.maps);
}

static void penalties_have_their_gradients(void **state)
{
    (void)state;
    static const char *const methods[] = {"msqe",       "msqe-step", "msqe-levels", "msqe-only",
                                          "gauss-well", "qfalt",     "osc-reg"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        check_gradients(methods[i], 2, 0, 0);
        check_gradients(methods[i], 4, 0, 0);
        check_gradients(methods[i], 4, 0.2f, 0);    // reachable levels
        check_gradients(methods[i], 3, 0.1f, 0.3f); // levels of its own for every weight
    }
    check_gradients("msqe-step", 8, 0, 0);
}

// The value of the penalty is sum_i min_c (w_i - a_c)^2.
static void value_by_brute_force(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "msqe-levels", 4, 0, 0);
    double want = 0;
    for (int i = 0; i < N; i++) {
        double best = INFINITY;
        for (int c = 0; c < 16; c++)
            best = fmin(best, pow((double)r.w[i] - (double)r.g.level[c], 2));
        want += best;
    }
    assert_true(fabs(value_of(&r, NULL, NULL) - want) < 1e-5 * want);
}

// Pushed away from the levels, a weight outside of their range would never come back: there the penalty is constant.
static void pushed_weights_stay_in_reach(void **state)
{
    (void)state;
    rig r;
    float grad[N] = {0};
    open_rig(&r, "osc-reg", 2, 0, 0); // levels -0.6, -0.2, 0.2, 0.6
    r.w[0] = 5;
    r.w[1] = -0.81f;
    r.w[2] = 0.79f;
    const double far = value_of(&r, grad, NULL);
    assert_true(grad[0] == 0 && grad[1] == 0 && grad[2] > 0.3f);
    r.w[0] = 50;
    assert_true(value_of(&r, NULL, NULL) == far);
}

// ---- straight-through rules

static void run_piece(rig *r, float *used, float *grad, double *own)
{
    if (r->q.quantizer->prepare) {
        r->q.model = NULL;
        r->t.from = 0;
        r->q.quantizer->prepare(&r->q, r->w);
    }
    lti_qpiece p = {.q = &r->q, .t = &r->t, .g = &r->g, .n = N, .w = r->w, .used = used, .own = own, .grad = grad};
    r->q.quantizer->forward(&p);
    p.value = used;
    r->q.quantizer->backward(&p);
}

static void outside_gets_no_gradient(void **state)
{
    (void)state;
    static const char *const methods[] = {"ste", "lsq", "seq", "ste-masked", "ste-reachable"};
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++) {
        rig r;
        open_rig(&r, methods[k], 3, 0, 0);
        r.w[0] = 2 * r.g.level[7];
        r.w[1] = -2 * r.g.level[7];
        r.w[2] = 0.1f;
        float used[N], grad[N];
        double own[LT_QUANT_MAX_BITS + 1] = {0};
        for (int i = 0; i < N; i++)
            grad[i] = 1;
        run_piece(&r, used, grad, own);
        assert_true(grad[0] == 0 && grad[1] == 0 && grad[2] == 1);
        assert_true(used[0] == r.g.level[7] && used[1] == r.g.level[0]);
    }
}

// Steps of LSQ and SEQ by their formulas, worked out again in double.
static void learned_steps_by_hand(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        rig r;
        open_rig(&r, k ? "seq" : "lsq", 3, 0, 0);
        float used[N], grad[N];
        double own[LT_QUANT_MAX_BITS + 1] = {0}, want = 0;
        for (int i = 0; i < N; i++)
            grad[i] = draw(3, i);
        run_piece(&r, used, grad, own);
        const double s = (double)r.g.step, top = k ? 3.5 : 3, bottom = k ? -3.5 : -4;
        for (int i = 0; i < N; i++) {
            const double v = (double)r.w[i] / s, up = (double)draw(3, i);
            const bool in = k ? fabs((double)r.w[i]) <= 0.99 * 4 * s : v > bottom && v < top;
            const double rounded = k ? floor(v) + 0.5 : nearbyint(v);
            want += up * (in ? (rounded > top ? top : rounded < bottom ? bottom : rounded) - v : v < 0 ? bottom : top);
        }
        want /= sqrt(N * (k ? 3.5 : 3));
        assert_true(fabs(own[0] - want) < 1e-4 * (1 + fabs(want)));
    }
}

static void dorefa_by_hand(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "dorefa", 3, 0, 0);
    lti_grid_init(&r.g, LTI_GRID_MIDRISE, 3, 2.0f / 7);
    float used[N], grad[N];
    double own[LT_QUANT_MAX_BITS + 1] = {0}, most = 0;
    for (int i = 0; i < N; i++) {
        grad[i] = 1;
        most = fmax(most, fabs(tanh((double)r.w[i])));
    }
    run_piece(&r, used, grad, own);
    for (int i = 0; i < N; i++) {
        const double t = tanh((double)r.w[i]), q = nearbyint(7 * (t / (2 * most) + 0.5)) / 7;
        assert_true(fabs((double)used[i] - (2 * q - 1)) < 1e-5);
        assert_true(fabs((double)grad[i] - (1 - t * t) / most) < 1e-5);
    }
}

// Reachable levels in the forward pass; the plain bit map for the masked one.
static void faults_in_the_forward_pass(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        rig r;
        open_rig(&r, k ? "ste-masked" : "ste-reachable", 4, 0.3f, 0);
        r.q.cfg.device.mapping = r.q.maps.chip.mapping = r.q.quantizer->force_mapping - 1;
        float used[N], grad[N] = {0};
        double own[LT_QUANT_MAX_BITS + 1] = {0};
        run_piece(&r, used, grad, own);
        for (int i = 0; i < N; i++) {
            const int read = lt_fault_read(LT_ENC_OFFSET, 4, lti_grid_nearest(&r.g, r.w[i]), r.q.maps.state[i] & 0xff,
                                           r.q.maps.state[i] >> 8);
            float best = INFINITY;
            for (int c = 0; c < 16; c++)
                if (!(c & (r.q.maps.state[i] & 0xff)))
                    best = fminf(best, fabsf(r.w[i] - r.g.level[c]));
            if (k)
                assert_true(used[i] == r.g.level[read]);
            else
                assert_true(fabsf(fabsf(r.w[i] - used[i]) - best) < 1e-6f);
        }
        lti_maps_clear(&r.q.maps);
    }
}

// Random bit errors: pass 0 is clean, pass 1 flips bits at the rate, another draw at every step.
static void bit_errors_are_redrawn(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "rand-bet", 4, 0.1f, 0);
    float clean[N], one[N], two[N], again[N];
    lti_qpiece p = {.q = &r.q, .t = &r.t, .g = &r.g, .n = N, .w = r.w, .used = clean};
    r.q.at.n_steps = 10;
    r.q.quantizer->forward(&p);
    for (int i = 0; i < N; i++)
        assert_true(clean[i] == r.g.level[lti_grid_nearest(&r.g, r.w[i])]);
    r.q.at.pass = 1;
    p.used = one;
    r.q.quantizer->forward(&p);
    p.used = again;
    r.q.quantizer->forward(&p);
    r.q.at.step = 1;
    p.used = two;
    r.q.quantizer->forward(&p);
    assert_memory_equal(one, again, sizeof one);
    int flipped = 0;
    for (int i = 0; i < N; i++) {
        const int a = lti_grid_nearest(&r.g, clean[i]), b = lti_grid_nearest(&r.g, one[i]);
        flipped += __builtin_popcount((unsigned)(a ^ b));
    }
    assert_in_range(flipped, 15, 65); // 384 cells at 10 %
    assert_true(memcmp(one, two, sizeof one) != 0);
    lti_maps_clear(&r.q.maps);
}

// Steps and gains stay above 0 under any updates, and grids stay readable.
static void adversarial_updates(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        rig r;
        open_rig(&r, k ? "msqe-levels" : "msqe-step", 4, 0, 0);
        for (uint32_t u = 0; u < 1000; u++) {
            for (int j = 0; j < r.q.n_own; j++)
                r.own[j] += (u % 3 ? -1.0f : 1.0f) * fabsf(draw(4 + u, j));
            lti_q_own_to_grids(&r.q);
            for (int j = 0; j < r.q.n_own; j++)
                assert_true(r.own[j] >= 1e-6f * r.g.step0 && isfinite(r.own[j]));
            assert_true(isfinite(value_of(&r, NULL, NULL)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(penalties_have_their_gradients),
        cmocka_unit_test(value_by_brute_force),
        cmocka_unit_test(pushed_weights_stay_in_reach),
        cmocka_unit_test(outside_gets_no_gradient),
        cmocka_unit_test(learned_steps_by_hand),
        cmocka_unit_test(dorefa_by_hand),
        cmocka_unit_test(faults_in_the_forward_pass),
        cmocka_unit_test(bit_errors_are_redrawn),
        cmocka_unit_test(adversarial_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
