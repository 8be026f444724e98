// hyperplane.c - projection onto a hyperplane inside [0,1]^n, in L-inf and L2. [ATT 17; Croce and Hein 2020b,
// section 3.1]
//
// With c = <w,t> - b > 0 (else w is negated) and slacks s_i (how far t_i may move against w_i), the multiplier solves
//     sum |w_i| min(lambda, s_i) = c   (L-inf),   sum |w_i| min(lambda |w_i|, s_i) = c   (L2).
// The left side is concave and piecewise linear: Newton's steps from the left rise and end after finitely many, without
// a sort.
#include "attack/hyperplane.h"
#include <math.h>

static double slack_of(double sign, float t, float w)
{
    const double v = sign * (double)w;
    return v > 0 ? (double)t : v < 0 ? 1 - (double)t : 0;
}

// sum over coordinates that have used their slack, and the slope of the others.
static void sums_at(const lti_hyperplane *h, const float *t, const float *w, int64_t n, double *used, double *slope)
{
    *used = *slope = 0;
    for (int64_t i = 0; i < n; i++) {
        const double size = fabs((double)w[i]), s = slack_of(h->sign, t[i], w[i]),
                     rate = h->norm == LT_NORM_L2 ? size : 1;
        if (h->lambda * rate >= s)
            *used += size * s;
        else
            *slope += size * rate;
    }
}

static double length_of(const lti_hyperplane *h, const float *t, const float *w, int64_t n)
{
    double most = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(lti_hyperplane_step(h, t[i], w[i]));
        most = fmax(most, d);
        square += d * d;
    }
    return h->norm == LT_NORM_L2 ? sqrt(square) : most;
}

lti_hyperplane lti_hyperplane_solve(lt_norm norm, const float *t, const float *w, double b, int64_t n)
{
    enum { MAX_ROUNDS = 200 };
    lti_hyperplane h = {.norm = norm, .sign = 1};
    double c = -b, reach = 0, used = 0, slope = 0;
    for (int64_t i = 0; i < n; i++)
        c += (double)w[i] * (double)t[i];
    if (c < 0) {
        h.sign = -1;
        c = -c;
    }
    for (int64_t i = 0; i < n; i++)
        reach += fabs((double)w[i]) * slack_of(h.sign, t[i], w[i]);
    if (c <= 0)
        return h;
    if (reach <= c) {
        h.lambda = INFINITY;
        h.length = length_of(&h, t, w, n);
        return h;
    }
    for (int round = 0; round < MAX_ROUNDS; round++) {
        sums_at(&h, t, w, n, &used, &slope);
        const double next = slope > 0 ? (c - used) / slope : h.lambda;
        if (!(next > h.lambda))
            break;
        h.lambda = next;
    }
    h.length = length_of(&h, t, w, n);
    return h;
}

double lti_hyperplane_step(const lti_hyperplane *h, float t, float w)
{
    const double v = h->sign * (double)w, s = slack_of(h->sign, t, w);
    if (v == 0 || h->lambda <= 0)
        return 0;
    const double step = isinf(h->lambda) ? s : fmin(h->norm == LT_NORM_L2 ? h->lambda * fabs(v) : h->lambda, s);
    return v > 0 ? -step : step;
}
