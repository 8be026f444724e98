// blk.c - what all our own blocked kernels have in common: their dimensions and how a tensor is cut into work items.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"
#include <stdio.h>

enum {
    PART_PX = 512,      // pixels a partial reduction covers: 32 KiB, so that its second pass is served by L1/L2
    GROUP_BYTES = 8192, // memory read in one go, where planes are small
    MIN_CHANNELS = 5,   // fewer channels would waste most of a block: plain layout
};

bool lti_blk_fits(const lt_bind_in *in, int i)
{
    const lt_arg *a = &in->arg[i];
    if (in->flags & LT_PLAN_NO_LAYOUT || a->shape.n_dims != 4)
        return false;
    return a->layout == LT_LAYOUT_BLOCKED16 || a->shape.dim[1] >= MIN_CHANNELS;
}

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

lt_status lti_blk_create(const lti_dn *dn, const lt_bind_in *in, const lt_shape *shape, lt_kernel *k)
{
    lti_blk *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("kernel");
    d->kern = dn->kern;
    d->n_threads = dn->n_threads;
    d->n_in = in->n_in;
    d->attr = *in->attr;
    if (shape->n_dims == 4) {
        d->n = shape->dim[0];
        d->c = shape->dim[1];
        d->h = shape->dim[2];
        d->w = shape->dim[3];
    }
    d->cb = (d->c + LTI_LANES - 1) / LTI_LANES;
    d->px = d->h * d->w;
    d->parts = d->px > PART_PX ? (d->px + PART_PX - 1) / PART_PX : 1;
    d->part_px = (d->px + d->parts - 1) / d->parts;
    d->units = d->n * d->parts;
    d->group = d->px > 0 ? GROUP_BYTES / (d->px * LTI_LANES * (int64_t)sizeof(float)) : 1;
    if (d->group * d->n_threads > d->cb)
        d->group = d->cb / d->n_threads;
    if (d->group < 1)
        d->group = 1;
    k->data = d;
    k->destroy = destroy;
    return LT_OK;
}

void lti_blk_impl(lt_kernel *k, const lti_blk *d, const char *what)
{
    bool blocked = false;
    for (int i = 0; i < LT_KERNEL_MAX_ARGS; i++)
        blocked = blocked || k->layout[i] == LT_LAYOUT_BLOCKED16;
    snprintf(k->impl, sizeof k->impl, "%s %s %s", blocked ? "blk16" : "own", what, d->kern->isa);
}
