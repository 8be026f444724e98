// loss_head.c - what attacks climb: value and gradient with respect to the logits, in double. [ATT 4-8]
//
// The cross-entropy is climbed in margin form, s = log sum_{j!=y} exp z_j - z_y: log(1 + exp s) is the cross-entropy,
// so its gradient has the direction of that of s, which never underflows. Gradients are scaled to max |dz| = 1 per
// sample.
#include "attack/engine.h"
#include <math.h>

// Largest logit but that of class `but` (-1 = none); the smallest index of equals.
static int32_t largest_but(const float *z, int32_t k, int32_t but)
{
    int32_t best = -1;
    for (int32_t j = 0; j < k; j++)
        if (j != but && (best < 0 || z[j] > z[best]))
            best = j;
    return best;
}

// The n largest, by value descending, then index ascending.
static void top_classes(const float *z, int32_t k, int n, int32_t *top)
{
    int have = 0;
    for (int32_t j = 0; j < k; j++) {
        int at = have;
        while (at > 0 && z[j] > z[top[at - 1]])
            at--;
        if (at >= n)
            continue;
        for (int m = have < n ? have : n - 1; m > at; m--)
            top[m] = top[m - 1];
        top[at] = j;
        have += have < n;
    }
}

static void clear_gradient(float *dz, int32_t k)
{
    for (int32_t j = 0; dz && j < k; j++)
        dz[j] = 0;
}

// log sum_{j != c} exp z_j - z_c, times sign: +1 away from c = y, -1 towards c = t.
static double loss_ce(const lti_loss_in *in, int32_t c, double sign, float *dz)
{
    const double most = (double)in->z[largest_but(in->z, in->k, c)];
    double sum = 0;
    for (int32_t j = 0; j < in->k; j++)
        sum += j == c ? 0 : exp((double)in->z[j] - most);
    for (int32_t j = 0; dz && j < in->k; j++)
        dz[j] = (float)(sign * (j == c ? -1 : exp((double)in->z[j] - most) / sum));
    return sign * (most + log(sum) - (double)in->z[c]);
}

static double loss_margin(const lti_loss_in *in, int32_t to, float *dz)
{
    clear_gradient(dz, in->k);
    if (dz && to != in->label) {
        dz[to] = 1;
        dz[in->label] = -1;
    }
    return (double)in->z[to] - (double)in->z[in->label];
}

// u = z_y - z_to over D: f = -u / D, df = (e_to - e_y) / D + u / D^2 dD. dD: weight[i] of class top[i].
static double loss_ratio(const lti_loss_in *in, int32_t to, double d, const double *weight, const int32_t *top,
                         float *dz)
{
    const double u = (double)in->z[in->label] - (double)in->z[to];
    if (dz) {
        double g[2 + LTI_MAX_TOP] = {1 / d, -1 / d}, most = 0;
        int32_t at[2 + LTI_MAX_TOP] = {to, in->label};
        for (int i = 0; i < LTI_MAX_TOP; i++) {
            at[2 + i] = top[i];
            g[2 + i] = u / d / d * weight[i];
        }
        for (int i = 0; i < 2 + LTI_MAX_TOP; i++) { // classes may be the same: sums first
            double sum = 0;
            for (int m = 0; m < 2 + LTI_MAX_TOP; m++)
                sum += at[m] == at[i] ? g[m] : 0;
            most = fmax(most, fabs(sum));
        }
        clear_gradient(dz, in->k);
        for (int i = 0; i < 2 + LTI_MAX_TOP; i++) {
            double sum = 0;
            for (int m = 0; m < 2 + LTI_MAX_TOP; m++)
                sum += at[m] == at[i] ? g[m] : 0;
            dz[at[i]] = (float)(most > 0 ? sum / most : 0);
        }
    }
    return -u / d;
}

static double loss_dlr(const lti_loss_in *in, float *dz)
{
    const int32_t m = largest_but(in->z, in->k, in->label);
    int32_t top[LTI_MAX_TOP] = {0};
    if (in->k < 3)
        return loss_margin(in, m, dz);
    top_classes(in->z, in->k, 3, top);
    top[3] = top[0];
    if (top[2] == in->label) // the ratio is the constant 1
        return loss_margin(in, m, dz);
    const double d = (double)in->z[top[0]] - (double)in->z[top[2]] + 1e-12;
    return loss_ratio(in, m, d, (const double[LTI_MAX_TOP]){1, 0, -1, 0}, top, dz);
}

static double loss_dlr_target(const lti_loss_in *in, float *dz)
{
    int32_t top[LTI_MAX_TOP];
    if (in->k < 4) // the ratio would be constant
        return loss_margin(in, in->target, dz);
    top_classes(in->z, in->k, 4, top);
    const double d = (double)in->z[top[0]] - 0.5 * ((double)in->z[top[2]] + (double)in->z[top[3]]) + 1e-12;
    return loss_ratio(in, in->target, d, (const double[LTI_MAX_TOP]){1, 0, -0.5, -0.5}, top, dz);
}

// As automatic differentiation makes it in single precision: zero once softmax rounds to a one-hot vector.
static double loss_ce_softmax(const lti_loss_in *in, float *dz)
{
    const float most = in->z[largest_but(in->z, in->k, -1)];
    float sum = 0;
    for (int32_t j = 0; j < in->k; j++)
        sum += expf(in->z[j] - most);
    for (int32_t j = 0; dz && j < in->k; j++)
        dz[j] = expf(in->z[j] - most) / sum - (j == in->label ? 1.0f : 0.0f);
    return (double)(logf(sum) - (in->z[in->label] - most));
}

double lti_loss(int32_t loss, const lti_loss_in *in, float *dz)
{
    switch (loss) {
    case LTI_LOSS_MARGIN:
        return loss_margin(in, largest_but(in->z, in->k, in->label), dz);
    case LTI_LOSS_DLR:
        return loss_dlr(in, dz);
    case LTI_LOSS_CE_TARGET:
        return loss_ce(in, in->target, -1, dz);
    case LTI_LOSS_MARGIN_TARGET:
        return loss_margin(in, in->target, dz);
    case LTI_LOSS_DLR_TARGET:
        return loss_dlr_target(in, dz);
    case LTI_LOSS_CE_SOFTMAX:
        return loss_ce_softmax(in, dz);
    default:
        return loss_ce(in, in->label, 1, dz);
    }
}

double lti_slot_loss(lti_slot *s, int32_t loss)
{
    s->loss = loss;
    if (!s->z) // the plan has the loss in it
        return 0;
    return lti_loss(loss, &(lti_loss_in){s->z, s->n_classes, s->label, s->target}, s->dz);
}

int32_t lti_slot_own_loss(const lti_slot *s, int32_t own)
{
    if (s->spec->parity && own == LTI_LOSS_CE && s->target < 0)
        return LTI_LOSS_CE_SOFTMAX;
    return s->target >= 0 ? own - LTI_LOSS_CE + LTI_LOSS_CE_TARGET : own;
}

int32_t lti_slot_pick_loss(const lti_slot *s, int32_t own)
{
    return lti_slot_own_loss(s, s->spec->loss == LT_LOSS_AUTO ? own : s->spec->loss);
}
