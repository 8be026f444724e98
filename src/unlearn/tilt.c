// tilt.c - the output distribution a forgotten image is trained towards. [TRW 1] [TRW 3] [TRW 4]
//
// phat_i = p_i / (1 - p_F) over the classes that stay, q_i ~ phat_i exp(beta s_i): the distribution nearest to phat (in
// KL) among those with its expected similarity. Both are one softmax of z_i + beta s_i over the classes that stay, so
// 1 - p_F, which a fitted model makes tiny, is never divided by.
#include "unlearn/class_targets.h"
#include <math.h>

void lti_tilted_softmax(const double *z, int32_t k, const uint8_t *gone, const double *s, double beta, double *q)
{
    double most = -INFINITY, sum = 0;
    for (int32_t i = 0; i < k; i++) {
        q[i] = gone[i] ? -INFINITY : z[i] + (s ? beta * s[i] : 0);
        most = fmax(most, q[i]);
    }
    for (int32_t i = 0; i < k; i++) {
        q[i] = gone[i] ? 0 : exp(q[i] - most);
        sum += q[i];
    }
    for (int32_t i = 0; i < k; i++)
        q[i] /= sum;
}

double lti_expectation(const double *q, const double *s, int32_t k)
{
    double sum = 0;
    for (int32_t i = 0; i < k; i++)
        sum += q[i] * s[i];
    return sum;
}

// Expectation and variance of s under the tilted distribution; q (K) scratch.
static double moments(const double *z, int32_t k, const uint8_t *gone, const double *s, double beta, double *q,
                      double *variance)
{
    lti_tilted_softmax(z, k, gone, s, beta, q);
    const double mean = lti_expectation(q, s, k);
    *variance = 0;
    for (int32_t i = 0; i < k; i++)
        *variance += q[i] * (s[i] - mean) * (s[i] - mean);
    return mean;
}

// Newton on E_q[s] = c, whose derivative is Var_q[s]; the bracket catches steps that a vanishing variance makes wild.
lt_status lti_tilt_for(const double *z, int32_t k, const uint8_t *gone, const double *s, double c, double *beta)
{
    enum { MAX_STEPS = 200 };
    double least = INFINITY, most = -INFINITY, low = -INFINITY, high = INFINITY, b = 0, variance;
    for (int32_t i = 0; i < k; i++)
        if (!gone[i]) {
            least = fmin(least, s[i]);
            most = fmax(most, s[i]);
        }
    if (!(c > least && c < most))
        return LT_FAIL(LT_E_USAGE, "expected similarity: expected a number between %g and %g, found %g", least, most,
                       c);
    double *q = lti_calloc((size_t)k, sizeof *q);
    if (!q)
        return LTI_NOMEM("distribution");
    for (int step = 0; step < MAX_STEPS; step++) {
        const double mean = moments(z, k, gone, s, b, q, &variance);
        if (fabs(mean - c) <= 1e-15 * (1 + fabs(c)))
            break;
        if (mean < c)
            low = b;
        else
            high = b;
        double next = b - (mean - c) / variance;
        if (!isfinite(next) || next <= low || next >= high) {
            if (isfinite(low) && isfinite(high))
                next = 0.5 * (low + high);
            else
                next = isfinite(low) ? 2 * fmax(low, 0) + 1 : 2 * fmin(high, 0) - 1;
        }
        if (next == b)
            break;
        b = next;
    }
    lti_free(q);
    *beta = b;
    return LT_OK;
}
