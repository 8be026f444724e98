// robust_test.h - models with known answers for tests of attacks: linear ones, and small networks of two pieces, built
// by hand in the graph; images are floats of the caller.
#ifndef LT_ROBUST_TEST_H
#define LT_ROBUST_TEST_H
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "lethe/robust.h"
#include "attack/engine.h"

enum { RT_C = 3, RT_H = 8, RT_N = RT_C * RT_H * RT_H, RT_K = 10, RT_MAX = 160 };

typedef struct rt_world {
    lt_model model;
    lt_graph *g;
    lt_backend *backend;
    lt_dataset *ds;
    float *x; // (n,C,H,W)
    int32_t *y;
    int64_t n;
    lt_env env;
    lt_view view;
    double *w, *b; // (K,N), (K) of the linear model
} rt_world;

static inline void rt_open_data(rt_world *t, int c, int h, int w, int k, int64_t n)
{
    static uint8_t bytes[RT_MAX * RT_N];
    static int32_t zeros[RT_MAX];
    const int64_t dim = (int64_t)c * h * w;
    assert_true(n <= RT_MAX && dim <= RT_N);
    assert_ok(lt_dataset_from_arrays(c, h, w, k, n, bytes, zeros, n, bytes, zeros, &t->ds));
    t->x = calloc((size_t)(n * dim), sizeof *t->x);
    t->y = calloc((size_t)n, sizeof *t->y);
    t->n = n;
    t->view = lt_view_split(t->ds, LT_TEST);
    t->view.images = t->x;
    t->view.labels = t->y;
    assert_ok(lt_backend_create("ref", 1, &t->backend));
    t->env = (lt_env){.backend = t->backend, .plan_flags = LT_PLAN_NO_TUNE};
}

// z = W x + b. seed: of W; the margins at the images stay above `margin`.
static inline void rt_open_linear(rt_world *t, int k, int64_t n, double margin, bool bounds)
{
    memset(t, 0, sizeof *t);
    rt_open_data(t, RT_C, RT_H, RT_H, k, n);
    assert_ok(lt_graph_create(&t->g));
    lt_val x = lt_input(t->g, "x", LT_F32, LT_SHAPE(LT_BATCH, RT_C, RT_H, RT_H));
    lt_val w = lt_param(t->g, "w", LT_SHAPE(k, RT_N)), b = lt_param(t->g, "b", LT_SHAPE(k));
    lt_val z = lt_linear(t->g, lt_flatten(t->g, x), w, b);
    assert_ok(lt_graph_status(t->g));
    t->model = (lt_model){.spec = "linear", .shape = {RT_C, RT_H, RT_H, k}, .graph = t->g, .x = x, .logits = z};
    t->model.n_params = lt_graph_n_params(t->g);
    t->model.params = calloc((size_t)t->model.n_params, sizeof(float));
    t->w = calloc((size_t)k * RT_N, sizeof *t->w);
    t->b = calloc((size_t)k, sizeof *t->b);
    lt_rng rng = lt_rng_at(5, LT_STREAM_TEST, 77, (uint64_t)k);
    for (int j = 0; j < k * RT_N; j++)
        t->w[j] = (double)(t->model.params[j] = (float)(lt_rng_normal(&rng) * 4 / sqrt(RT_N)));
    for (int64_t i = 0; i < n;) {
        float *image = t->x + i * RT_N;
        double z1 = -INFINITY, z2 = -INFINITY;
        for (int j = 0; j < RT_N; j++) {
            const float u = lt_rng_uniform(&rng);
            image[j] = !bounds ? 0.2f + 0.6f * u : u < 0.3f ? 0 : u < 0.5f ? 1 : (u - 0.5f) * 2;
        }
        for (int c = 0; c < k; c++) {
            double sum = 0;
            for (int j = 0; j < RT_N; j++)
                sum += t->w[c * RT_N + j] * (double)image[j];
            if (sum > z1) {
                z2 = z1;
                z1 = sum;
                t->y[i] = c;
            } else if (sum > z2) {
                z2 = sum;
            }
        }
        i += z1 - z2 > margin;
    }
}

static inline void rt_close(rt_world *t)
{
    lt_graph_destroy(t->g);
    lt_backend_destroy(t->backend);
    lt_dataset_close(t->ds);
    free(t->model.params);
    free(t->x);
    free(t->y);
    free(t->w);
    free(t->b);
}

static inline lt_attack_spec rt_spec(int32_t norm, const char *eps)
{
    lt_attack_spec spec;
    lt_attack_spec_init(&spec);
    spec.norm = norm;
    spec.eps = eps;
    return spec;
}

static inline lt_robust_result *rt_attack(rt_world *t, const char *attacks, const lt_attack_spec *spec)
{
    const lt_model *model = &t->model;
    const lt_attack_target target = {.model = &model, .n_models = 1};
    lt_robust_result *r = NULL;
    assert_ok(lt_robust_evaluate(&target, &t->view, attacks, spec, NULL, NULL, &t->env, &r));
    return r;
}

static inline lt_status rt_try(rt_world *t, const char *attacks, const lt_attack_spec *spec)
{
    const lt_model *model = &t->model;
    const lt_attack_target target = {.model = &model, .n_models = 1};
    lt_robust_result *r = NULL;
    const lt_status status = lt_robust_evaluate(&target, &t->view, attacks, spec, NULL, NULL, &t->env, &r);
    lt_robust_result_destroy(r);
    return status;
}

// A model of the test's own: `build` adds the graph from x to the logits; parameters are filled from the test's stream.
typedef lt_val (*rt_build_fn)(lt_graph *g, lt_val flat);

static inline void rt_open_net(rt_world *t, int k, int64_t n, rt_build_fn build, double scale)
{
    memset(t, 0, sizeof *t);
    rt_open_data(t, RT_C, RT_H, RT_H, k, n);
    assert_ok(lt_graph_create(&t->g));
    const lt_val x = lt_input(t->g, "x", LT_F32, LT_SHAPE(LT_BATCH, RT_C, RT_H, RT_H));
    const lt_val z = build(t->g, lt_flatten(t->g, x));
    assert_ok(lt_graph_status(t->g));
    t->model = (lt_model){.spec = "test", .shape = {RT_C, RT_H, RT_H, k}, .graph = t->g, .x = x, .logits = z};
    t->model.n_params = lt_graph_n_params(t->g);
    t->model.params = calloc((size_t)t->model.n_params, sizeof(float));
    lt_rng rng = lt_rng_at(6, LT_STREAM_TEST, 1, 0);
    for (int64_t j = 0; j < t->model.n_params; j++)
        t->model.params[j] = (float)(scale * lt_rng_normal(&rng));
    for (int64_t j = 0; j < n * RT_N; j++)
        t->x[j] = 0.2f + 0.6f * lt_rng_uniform(&rng);
}

// Labels as the model answers.
static inline void rt_label_by_model(rt_world *t)
{
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0");
    spec.steps = 1;
    lt_robust_result *r = rt_attack(t, "fgsm", &spec);
    memcpy(t->y, r->clean_pred, (size_t)t->n * sizeof *t->y);
    lt_robust_result_destroy(r);
}

// One sample of an attack, driven by hand: the test writes logits z, the class `pred` and the gradient dx.
typedef struct rt_by_hand {
    lti_slot s;
    float pixels[4 + LTI_SLOT_WORK][RT_N], x0[RT_N], z[4], dz[4], dx[RT_N];
    double state[8];
    lt_attack_spec spec;
} rt_by_hand;

// Label 0 of 4 classes, pixels from 0.3 to 0.7.
static inline const struct lti_attack_ops *rt_hold(rt_by_hand *b, const char *attack, lt_norm norm, double eps)
{
    const lt_attack *a = NULL;
    assert_ok(lt_attack_find(attack, &a));
    assert_true(a->ops->state_bytes <= sizeof b->state);
    lt_attack_spec_init(&b->spec);
    b->s = (lti_slot){.n = RT_N, .n_classes = 4, .goal = -1, .target = -1, .c = RT_C, .h = RT_H, .w = RT_H};
    b->s.norm = norm;
    b->s.eps = eps;
    b->s.x0 = b->x0;
    b->s.clean_z = b->s.z = b->z;
    b->s.dz = b->dz;
    b->s.dx = b->dx;
    b->s.spec = &b->spec;
    b->s.form = a->ops->form;
    b->s.steps = 100000;
    b->s.best_distance = b->s.known = (double)INFINITY;
    b->s.best_loss = -(double)INFINITY;
    b->s.state = b->state;
    b->s.lo = b->pixels[0];
    b->s.hi = b->pixels[1];
    b->s.x = b->pixels[2];
    b->s.best = b->pixels[3];
    for (int w = 0; w < LTI_SLOT_WORK; w++)
        b->s.work[w] = b->pixels[4 + w];
    b->s.rng = lt_rng_at(1, LT_STREAM_TEST, 3, 0);
    for (int j = 0; j < RT_N; j++)
        b->x0[j] = 0.3f + 0.4f * (float)j / RT_N;
    memset(b->state, 0, sizeof b->state);
    b->z[0] = 1;
    lti_box(b->x0, eps, RT_N, b->s.lo, b->s.hi);
    return a->ops;
}

// Least ||v - x||_p with <w, v> = b' over v in [0,1]^n, by bisection of the multiplier in double. INFINITY: none.
static inline double rt_plane_distance(lt_norm norm, const float *x, const double *w, double c, int n)
{
    double lo = 0, hi = 1;
    bool widen = true;
    double *move = malloc((size_t)n * sizeof *move), reach = 0, out = 0;
    for (int j = 0; j < n; j++)
        reach += fabs(w[j]) * (w[j] > 0 ? 1 - (double)x[j] : (double)x[j]);
    if (reach < c) {
        free(move);
        return (double)INFINITY;
    }
    for (int round = 0; round < 300; round++) { // <w, move> = c, move towards larger <w, .>
        const double mid = widen ? hi : (lo + hi) / 2;
        double sum = 0;
        for (int j = 0; j < n; j++) {
            const double slack = w[j] > 0 ? 1 - (double)x[j] : w[j] < 0 ? (double)x[j] : 0;
            move[j] = fmin(slack, norm == LT_NORM_L2 ? mid * fabs(w[j]) : mid);
            sum += move[j] * fabs(w[j]);
        }
        if (sum >= c) {
            hi = mid;
            widen = false;
        } else {
            lo = mid;
            hi = widen ? 2 * hi : hi;
        }
    }
    for (int j = 0; j < n; j++)
        out = norm == LT_NORM_L2 ? out + move[j] * move[j] : fmax(out, move[j] * (w[j] != 0));
    free(move);
    return norm == LT_NORM_L2 ? sqrt(out) : out;
}

// The distance of image i to the nearest other class of the linear model.
static inline double rt_linear_distance(const rt_world *t, lt_norm norm, int64_t i)
{
    const int k = t->model.shape.n_classes;
    const float *x = t->x + i * RT_N;
    double *w = malloc(RT_N * sizeof *w), best = INFINITY;
    for (int c = 0; c < k; c++) {
        double gap = 0;
        if (c == t->y[i])
            continue;
        for (int j = 0; j < RT_N; j++) {
            w[j] = t->w[c * RT_N + j] - t->w[t->y[i] * RT_N + j];
            gap -= w[j] * (double)x[j];
        }
        best = fmin(best, rt_plane_distance(norm, x, w, gap, RT_N));
    }
    free(w);
    return best;
}
#endif
