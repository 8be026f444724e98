// confirm.c - randomised models: what fresh evaluations say of the images that an attack found.
//
// An attack that evaluates every iterate several times picks the one whose draws favoured it. So an image counts as
// broken only if the majority of as many fresh evaluations says so; and the mean over single ones is reported.
#include "attack/robust_impl.h"
#include <math.h>
#include <string.h>

enum { FRESH_OF_PARTS = 16, FRESH_OF_MEAN = 1024 }; // numbers of draws that nothing else has

// Room for the logits and classes of all images.
static lt_status alloc_outputs(const lti_robust *e, float **z, int32_t **pred)
{
    const lt_robust_result *r = e->result;
    *z = lti_calloc((size_t)r->n, (size_t)r->n_classes * sizeof **z);
    *pred = lti_calloc((size_t)r->n, sizeof **pred);
    return *z && *pred ? LT_OK : LTI_NOMEM("attack");
}

lt_status lti_robust_keep_confirmed(lti_robust *e)
{
    const lt_robust_result *r = e->result;
    const size_t n = (size_t)r->n, dim = (size_t)r->c * (size_t)r->h * (size_t)r->w;
    if (e->spec.eot <= 1 || e->spec.parity || e->mode != LTI_MODE_MIN_NORM)
        return LT_OK;
    if (!e->confirmed)
        e->confirmed = lti_calloc(n, sizeof *e->confirmed);
    if (!e->confirmed_x)
        e->confirmed_x = lti_calloc(n, dim * sizeof *e->confirmed_x);
    if (!e->confirmed || !e->confirmed_x)
        return LTI_NOMEM("attack");
    memcpy(e->confirmed, e->sample, n * sizeof *e->sample);
    memcpy(e->confirmed_x, r->x_adv, n * dim * sizeof *e->confirmed_x);
    return LT_OK;
}

// Back to the example of an earlier part, which is farther away and confirmed.
static void restore_confirmed(lti_robust *e, int64_t i)
{
    const lt_robust_result *r = e->result;
    const size_t dim = (size_t)r->c * (size_t)r->h * (size_t)r->w;
    lti_sample *s = &e->sample[i];
    const lti_sample *was = &e->confirmed[i];
    memcpy(s->x_adv, e->confirmed_x + (size_t)i * dim, dim * sizeof *s->x_adv);
    s->found = was->found;
    s->distance = was->distance;
    s->adv_pred = was->adv_pred;
    s->found_step = was->found_step;
    s->run_steps = was->run_steps;
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
        const lti_sample *was = e->confirmed ? &e->confirmed[e->todo[t]] : NULL;
        s->n_forward += e->spec.eot;
        if (was && was->found && was->distance <= s->distance) // confirmed before
            continue;
        if (!s->found || s->invalid || lti_robust_is_fooled(e->result, e->todo[t], pred[e->todo[t]]))
            continue;
        s->found = false;
        s->distance = INFINITY;
        e->result->n_unconfirmed++;
        if (was)
            restore_confirmed(e, e->todo[t]);
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
            n_right += r->status[i] != LT_ROBUST_INVALID && r->clean_pred[i] == r->label[i] &&
                       !lti_robust_is_fooled(r, i, pred[i]);
        }
    }
    e->spec.eot = draws;
    if (status == LT_OK)
        r->mean_robust_acc = n_valid > 0 ? (double)n_right / (double)n_valid : (double)NAN;
    lti_free(z);
    lti_free(pred);
    return status;
}
