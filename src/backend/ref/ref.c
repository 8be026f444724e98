// ref.c - the reference backend: plain loops, plain layouts, float and double. The specification the other backends are
// tested against, and what they fall back to.
#include "ref_impl.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>

static const lti_ref_row *find(const lt_op *op)
{
    static const lti_ref_row *const table[] = {lti_ref_conv,        lti_ref_norm,     lti_ref_pool,
                                               lti_ref_elementwise, lti_ref_linear,   lti_ref_loss,
                                               lti_ref_quant,       lti_ref_ensemble, lti_ref_time};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const lti_ref_row *row = table[i]; row->op; row++)
            if (row->op == op)
                return row;
    return NULL;
}

static lt_status run_ref_kernel(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_ref_call *c = k->data;
    return c->run(c, arg, scratch);
}

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

lt_status lti_ref_bind(const lt_bind_in *in, lt_kernel *k)
{
    const lti_ref_row *row = find(in->op);
    if (!row)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: no reference kernel", in->op->name);
    lti_ref_call *c = lti_calloc(1, sizeof *c);
    if (!c)
        return LTI_NOMEM("reference kernel");
    c->attr = *in->attr;
    c->n_in = in->n_in;
    memcpy(c->arg, in->arg, (size_t)(in->n_in + in->n_out) * sizeof *in->arg);
    c->run = in->real == LT_F64 ? row->f64 : row->f32;
    *k = (lt_kernel){
        .run = run_ref_kernel, .destroy = destroy, .data = c, .scratch_bytes = row->scratch ? row->scratch(c) : 0};
    snprintf(k->impl, sizeof k->impl, "ref");
    return LT_OK;
}

static lt_status open_ref(lt_backend *b)
{
    snprintf(b->version, sizeof b->version, "lethe %s, plain C", LT_VERSION);
    return LT_OK;
}

static void close_ref(lt_backend *b)
{
    (void)b;
}

static lt_status bind(lt_backend *b, const lt_bind_in *in, lt_kernel *k)
{
    (void)b;
    return lti_ref_bind(in, k);
}

const lt_backend_ops lti_backend_ref = {
    .name = "ref", .title = "plain C loops, float and double", .open = open_ref, .close = close_ref, .bind = bind};
