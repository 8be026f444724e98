// slot.c - what every attack does with what it sees: success, and what is kept.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

bool lti_slot_success(const lti_slot *s)
{
    return s->goal >= 0 ? s->pred == s->goal : s->pred != s->label;
}

static void keep_point(lti_slot *s, double distance, double loss)
{
    memcpy(s->best, s->x, (size_t)s->n * sizeof *s->best);
    s->best_distance = distance;
    s->best_loss = loss;
    s->best_pred = s->pred;
    s->found_step = s->step;
    s->kept = true;
    s->run_steps = s->steps;
}

bool lti_slot_record(lti_slot *s, double loss)
{
    const bool success = lti_slot_success(s);
    switch (s->mode) {
    case LTI_MODE_BUDGET:
        if (success) {
            s->found = true;
            keep_point(s, lti_distance(s->norm, s->x, s->x0, s->n), loss);
        }
        return success;
    case LTI_MODE_BEST_LOSS:
        // A success beats every failure, whatever its loss.
        if (success > s->found || (success == s->found && loss > s->best_loss)) {
            s->found = success;
            keep_point(s, lti_distance(s->norm, s->x, s->x0, s->n), loss);
        }
        return false;
    case LTI_MODE_TRANSFER:
        s->found = success;
        keep_point(s, 0, loss); // the last one stays; its distance is measured at the end
        return false;
    case LTI_MODE_FIRST:
        s->found = success;
        return success;
    case LTI_MODE_MIN_NORM:
        if (success) {
            const double distance = lti_distance(s->norm, s->x, s->x0, s->n);
            if (distance < s->best_distance) {
                s->found = true;
                keep_point(s, distance, loss);
            }
        }
        return false;
    }
    return false;
}

const float *lti_slot_gradient(lti_slot *s, int i)
{
    s->n_gradients++;
    if (s->dx_max > 0)
        return s->dx;
    s->n_zero++;
    s->zero_at_start = s->zero_at_start || s->step == 0;
    if (s->spec->parity)
        return s->dx;
    lti_random_direction(s, s->work[i]);
    return s->work[i];
}

// The rank-th class by clean logit, the label left out.
int32_t lti_slot_ranked_class(const lti_slot *s, int32_t rank)
{
    int32_t place = 0;
    for (int32_t c = 0; c < s->n_classes; c++) {
        if (c == s->label)
            continue;
        place = 0;
        for (int32_t j = 0; j < s->n_classes; j++)
            place += j != s->label && (s->clean_z[j] > s->clean_z[c] || (s->clean_z[j] == s->clean_z[c] && j < c));
        if (place == rank)
            return c;
    }
    return -1;
}
