// confirm.c - randomised models: what fresh evaluations say of the images that an attack found.
//
// An attack that evaluates every iterate several times picks the one whose draws favoured it. So an image counts as
// broken only if the majority of as many fresh evaluations says so; and the mean over single ones is reported.
#include "attack/robust_impl.h"
#include <math.h>

enum { FRESH_OF_PARTS = 16, FRESH_OF_MEAN = 1024 }; // numbers of draws that nothing else has

static bool is_fooled(const lti_robust *e, int64_t i, int32_t pred)
{
    const lti_sample *s = &e->sample[i];
    return s->goal >= 0 ? pred == s->goal : pred != s->label;
}

// Room for the logits and classes of all images.
static lt_status alloc_outputs(const lti_robust *e, float **z, int32_t **pred)
{
    const lt_robust_result *r = e->result;
    *z = lti_calloc((size_t)r->n, (size_t)r->n_classes * sizeof **z);
    *pred = lti_calloc((size_t)r->n, sizeof **pred);
    return *z && *pred ? LT_OK : LTI_NOMEM("attack");
}

lt_status lti_robust_confirm(lti_robust *e, int part)
{
    float *z = NULL;
    int32_t *pred = NULL;
    if (e->spec.eot <= 1 || e->spec.parity)
        return LT_OK;
    lt_status status = alloc_outputs(e, &z, &pred);
    if (status == LT_OK)
        status = lti_robust_logits(e, e->result->x_adv, e->result->n, (uint32_t)(FRESH_OF_PARTS + part), z, pred);
    for (int64_t t = 0; status == LT_OK && t < e->n_todo; t++) {
        lti_sample *s = &e->sample[e->todo[t]];
        s->n_forward += e->spec.eot;
        if (!s->found || s->invalid || is_fooled(e, e->todo[t], pred[e->todo[t]]))
            continue;
        s->found = false;
        s->distance = INFINITY;
        e->result->n_unconfirmed++;
    }
    lti_free(z);
    lti_free(pred);
    return status;
}

lt_status lti_robust_mean(lti_robust *e)
{
    lt_robust_result *r = e->result;
    const int32_t draws = e->spec.eot;
    float *z = NULL;
    int32_t *pred = NULL;
    int64_t n_right = 0, n_valid = 0;
    if (draws <= 1)
        return LT_OK;
    lt_status status = alloc_outputs(e, &z, &pred);
    e->spec.eot = 1;
    for (int32_t d = 0; status == LT_OK && d < draws; d++) {
        status = lti_robust_logits(e, r->x_adv, r->n, (uint32_t)(FRESH_OF_MEAN + d), z, pred);
        for (int64_t i = 0; status == LT_OK && i < r->n; i++) {
            n_valid += r->status[i] != LT_ROBUST_INVALID;
            n_right +=
                r->status[i] != LT_ROBUST_INVALID && r->clean_pred[i] == r->label[i] && !is_fooled(e, i, pred[i]);
        }
    }
    e->spec.eot = draws;
    if (status == LT_OK)
        r->mean_robust_acc = n_valid > 0 ? (double)n_right / (double)n_valid : (double)NAN;
    lti_free(z);
    lti_free(pred);
    return status;
}
