// box.c - balls around an image, exactly: no result leaves them by a single rounding. [ATT 1-3]
//
// Distances are differences in double of the float values that are stored. The L-inf ball and the pixel box are one box
// per pixel, made once per sample; the L2 projection rounds and measures again until what is stored lies inside.
#include "attack/engine.h"
#include "base/pgd_step.h"
#include <math.h>

void lti_box(const float *x0, double eps, int64_t n, float *lo, float *hi)
{
    for (int64_t j = 0; j < n; j++) {
        const double x = (double)x0[j];
        lo[j] = (float)fmax(0, x - eps);
        hi[j] = (float)fmin(1, x + eps);
        while (x - (double)lo[j] > eps)
            lo[j] = nextafterf(lo[j], 1);
        while ((double)hi[j] - x > eps)
            hi[j] = nextafterf(hi[j], 0);
    }
}

double lti_distance(lt_norm norm, const float *a, const float *b, int64_t n)
{
    double most = 0, square[4] = {0}; // four chains: sums in double, quick without reordering
    if (norm == LT_NORM_LINF) {
        for (int64_t j = 0; j < n; j++) {
            const double d = fabs((double)a[j] - (b ? (double)b[j] : 0));
            most = d > most ? d : most;
        }
        return most;
    }
    for (int64_t j = 0; j < n; j++) {
        const double d = (double)a[j] - (b ? (double)b[j] : 0);
        square[j & 3] += d * d;
    }
    return sqrt((square[0] + square[1]) + (square[2] + square[3]));
}

static float clamp01(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : (float)v;
}

// The box after the ball: a clamp towards a box that holds x0 only shortens the difference.
void lti_project_l2(const float *x0, double eps, int64_t n, float *v)
{
    enum { ROUNDS = 5 };
    double r = lti_distance(LT_NORM_L2, v, x0, n), margin = 2e-7;
    for (int64_t j = 0; j < n && r <= eps; j++)
        v[j] = clamp01((double)v[j]);
    for (int i = 0; i < ROUNDS && r > eps; i++) {
        const double scale = eps / r * (i == 0 ? 1 : 1 - margin);
        margin *= i == 0 ? 1 : 4;
        for (int64_t j = 0; j < n; j++)
            v[j] = clamp01((double)x0[j] + scale * ((double)v[j] - (double)x0[j]));
        r = lti_distance(LT_NORM_L2, v, x0, n);
    }
    for (int64_t j = 0; j < n && r > eps; j++) // a radius below the spacing of floats
        v[j] = x0[j];
}

void lti_slot_project(lti_slot *s, float *v)
{
    if (s->norm == LT_NORM_L2) {
        lti_project_l2(s->x0, s->eps, s->n, v);
        return;
    }
    for (int64_t j = 0; j < s->n; j++)
        v[j] = v[j] < s->lo[j] ? s->lo[j] : v[j] > s->hi[j] ? s->hi[j] : v[j];
}

void lti_slot_step(lti_slot *s, double a, const float *g)
{
    const double length = s->norm == LT_NORM_L2 ? lti_distance(LT_NORM_L2, g, NULL, s->n) : 0;
    if (s->units)
        for (int64_t j = 0; j < s->n; j++)
            s->x[j] += (float)a * s->units->width[j] * (float)((g[j] > 0) - (g[j] < 0));
    else if (s->norm == LT_NORM_LINF)
        lti_pgd_step_linf((float)a, g, s->n, s->x);
    else if (length > 0)
        lti_pgd_step_l2(a, g, length, s->n, s->x);
    lti_slot_project(s, s->x);
}

void lti_random_direction(lti_slot *s, float *g)
{
    for (int64_t j = 0; j < s->n; j++)
        g[j] = (float)lt_rng_normal(&s->rng);
}

void lti_slot_random_start(lti_slot *s)
{
    float *x = s->x;
    if (s->norm == LT_NORM_LINF) {
        for (int64_t j = 0; j < s->n; j++)
            x[j] = (float)((double)s->x0[j] + s->eps * (s->units ? (double)s->units->width[j] : 1) *
                                                  (2 * (double)lt_rng_uniform(&s->rng) - 1));
    } else {
        const double radius = s->eps * pow((double)lt_rng_uniform(&s->rng), 1 / (double)s->n);
        lti_random_direction(s, x);
        const double length = lti_distance(LT_NORM_L2, x, NULL, s->n), scale = length > 0 ? radius / length : 0;
        for (int64_t j = 0; j < s->n; j++)
            x[j] = (float)((double)s->x0[j] + scale * (double)x[j]);
    }
    lti_slot_project(s, x);
}
