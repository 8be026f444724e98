// view.c - single images of a view, for attacks that visit samples in an order of their own.
#include "attack/attack_impl.h"
#include <string.h>

void lti_view_image(const lt_view *v, int64_t i, float *out)
{
    int64_t d = (int64_t)v->ds->c * v->ds->h * v->ds->w;
    if (v->images) {
        memcpy(out, v->images + i * d, (size_t)d * sizeof *out);
        return;
    }
    const uint8_t *x = v->ds->split[v->split].x + lti_view_row(v, i) * d;
    for (int64_t j = 0; j < d; j++)
        out[j] = (float)x[j] / 255.0f;
}
