// robust_flags.c - reasons to distrust an evaluation. [ATT table 2; F1-F5 after Croce and Hein 2020]
//
// A flag never changes a number.
#include "attack/robust_impl.h"
#include <math.h>
#include <string.h>

enum { PROBES = 8, REPEATS = 4 };

static double l2_difference(const float *a, const float *b, int k) // of the normalised vectors
{
    const double na = lti_distance(LT_NORM_L2, a, NULL, k), nb = lti_distance(LT_NORM_L2, b, NULL, k);
    double sum = 0;
    for (int j = 0; j < k; j++) {
        const double d = (na > 0 ? (double)a[j] / na : 0) - (nb > 0 ? (double)b[j] / nb : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static bool is_softmax(const float *z, int64_t n, int k)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < k; j++) {
            const double v = (double)z[i * k + j];
            if (!(v >= -1e-5 && v <= 1 + 1e-5))
                return false;
            sum += v;
        }
        if (fabs(sum - 1) > 1e-5)
            return false;
    }
    return true;
}

// F1, F6: the same images again, and alone. F7: after the attacks (fresh > 9).
static lt_status probe_outputs(lti_robust *e, uint32_t fresh, double tolerance, unsigned flag, bool alone)
{
    lt_robust_result *r = e->result;
    const int k = r->n_classes;
    const int64_t n = r->n < PROBES ? r->n : PROBES, dim = (int64_t)r->c * r->h * r->w;
    float *z = lti_calloc((size_t)n, (size_t)k * sizeof *z);
    int32_t pred[PROBES];
    if (!z)
        return LTI_NOMEM("attack");
    lt_status status = LT_OK;
    for (int64_t i = 0; alone && status == LT_OK && i < n; i++)
        status = lti_robust_logits(e, r->x + i * dim, 1, fresh, z + i * k, pred + i);
    if (!alone)
        status = lti_robust_logits(e, r->x, n, fresh, z, pred);
    for (int64_t i = 0; status == LT_OK && i < n; i++)
        if (!e->sample[i].invalid && l2_difference(z + i * k, e->clean_z + i * k, k) > tolerance)
            r->flags |= flag;
    lti_free(z);
    return status;
}

static bool uses_dlr_or_targets(const lti_robust *e)
{
    for (int p = 0; p < e->n_parts; p++) {
        const unsigned flags = e->part[p].attack->ops->flags;
        if ((flags & LTI_ATTACK_PER_TARGET) &&
            (e->part[p].targets > e->result->n_classes - 1 || e->result->n_classes < 4))
            return true;
        const bool ratio_to_target = (flags & LTI_ATTACK_DLR) && (flags & LTI_ATTACK_MIN_NORM); // of apgd-min
        if ((flags & LTI_ATTACK_DLR || e->spec.loss == LT_LOSS_DLR) && e->result->n_classes < (ratio_to_target ? 4 : 3))
            return true;
    }
    return false;
}

lt_status lti_flags_before(lti_robust *e)
{
    lt_robust_result *r = e->result;
    for (uint32_t i = 0; i < REPEATS && !(r->flags & LT_FLAG_RANDOMISED); i++)
        LT_TRY(probe_outputs(e, 10 + i, 1e-4, LT_FLAG_RANDOMISED, false));
    if (!(r->flags & LT_FLAG_RANDOMISED))
        LT_TRY(probe_outputs(e, 1, 1e-4, LT_FLAG_BATCH_DEPENDENT, true));
    if (is_softmax(e->clean_z, r->n, r->n_classes))
        r->flags |= LT_FLAG_SOFTMAX;
    if (uses_dlr_or_targets(e))
        r->flags |= LT_FLAG_CLASSES;
    return LT_OK;
}

static void flag_gradients(lti_robust *e)
{
    lt_robust_result *r = e->result;
    int64_t n_zero = 0, n_gradients = 0, at_start = 0;
    for (int64_t i = 0; i < r->n; i++) {
        n_zero += e->sample[i].n_zero;
        n_gradients += e->sample[i].n_gradients;
        at_start += e->sample[i].zero_at_start;
    }
    r->n_zero_gradient = n_zero;
    if (at_start > 0 || (double)n_zero > 0.01 * (double)n_gradients)
        r->flags |= LT_FLAG_ZERO_GRADIENT;
}

// Examples of an attack in steps that fall into the last tenth of them.
static void flag_late(lti_robust *e)
{
    enum { FEW_STEPS = 10 };
    int64_t broken = 0, late = 0;
    for (int64_t i = 0; i < e->result->n; i++) {
        const lti_sample *s = &e->sample[i];
        if (e->result->status[i] != LT_ROBUST_BROKEN || s->run_steps < FEW_STEPS)
            continue;
        broken++;
        late += (double)s->found_step > 0.9 * (double)s->run_steps;
    }
    if (e->mode == LTI_MODE_BUDGET && (double)late > 0.05 * (double)broken)
        e->result->flags |= LT_FLAG_NOT_CONVERGED;
}

static void flag_square(lti_robust *e)
{
    bool gradients = false;
    for (int p = 0; p < e->n_parts; p++) {
        const bool forward_only = e->part[p].attack->ops->flags & LTI_ATTACK_FORWARD_ONLY;
        if (forward_only && gradients && (double)e->result->part[p].n_broken > 0.002 * (double)e->result->n)
            e->result->flags |= LT_FLAG_SQUARE_BETTER;
        gradients = gradients || !forward_only;
    }
}

lt_status lti_flags_after(lti_robust *e)
{
    flag_gradients(e);
    flag_late(e);
    flag_square(e);
    return e->result->flags & LT_FLAG_RANDOMISED ? LT_OK : probe_outputs(e, 1, 1e-4, LT_FLAG_STATEFUL, false);
}
