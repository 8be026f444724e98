// plan_dump.c - a plan as text: one line per step.
#include "graph/plan_impl.h"

static const char *dtype_name(lt_dtype dtype)
{
    return dtype == LT_F64 ? "f64" : dtype == LT_F32 ? "f32" : "i32";
}

static void add_tensor(lti_buf *out, const lt_plan *plan, int32_t t)
{
    char shape[LTI_SHAPE_TEXT];
    const lti_tensor *tensor = &plan->tensor[t];
    const lti_value *value = &plan->g->value[tensor->value];
    if (*value->name)
        lti_buf_printf(out, " %s", value->name);
    else
        lti_buf_printf(out, " %%%d", (int)tensor->value);
    static const char *const layout[LT_N_LAYOUTS] = {"", ":blk16", ":nhwc", ":nhwc-bf16"};
    lti_buf_printf(out, "%s%s", lti_shape_text(&value->shape, shape), layout[tensor->layout]);
}

static void add_step(lti_buf *out, const lt_plan *plan, int32_t i)
{
    const lti_step *s = &plan->step[i];
    const lt_kernel *k = &s->kernel;
    const lt_node *n = s->node < 0 ? NULL : &plan->g->node[s->node];
    lti_buf_printf(out, "%4d %c %-16s [%s]", (int)i, s->prologue ? 'P' : n ? ' ' : '*', n ? n->op->name : "-", k->impl);
    if (s->fallback)
        lti_buf_printf(out, " REF-FALLBACK");
    if (n && n->attr.relu)
        lti_buf_printf(out, " +relu");
    for (int j = 0; j < s->n_args; j++) {
        if (j == s->n_in)
            lti_buf_printf(out, " ->");
        add_tensor(out, plan, s->arg[j]);
    }
    if (n && n->rematerialized)
        lti_buf_printf(out, " again");
    if (n && n->fwd >= 0)
        lti_buf_printf(out, " grad of %s", plan->g->node[n->fwd].op->name);
    if (k->tuned_us > 0)
        lti_buf_printf(out, " %.0f us", k->tuned_us);
    if (k->tuned[0])
        lti_buf_printf(out, " {%s}", k->tuned);
    lti_buf_printf(out, "\n");
}

char *lt_plan_dump(const lt_plan *plan)
{
    lti_buf out = {0};
    const lt_plan_stats *st = &plan->stats;
    lti_buf_printf(&out, "plan: backend %s (%s), %d threads, batch %lld, %s, %s%s\n", plan->backend->ops->name,
                   plan->backend->version, plan->backend->n_threads, (long long)plan->batch,
                   plan->train ? "train" : "eval", dtype_name(plan->real),
                   plan->flags & LT_PLAN_FIXED_ORDER ? ", fixed order" : "");
    lti_buf_printf(&out, "passes off:%s%s%s%s%s%s%s\n", plan->flags & LT_PLAN_NO_FUSE ? " fuse" : "",
                   plan->flags & LT_PLAN_NO_FOLD ? " fold" : "", plan->flags & LT_PLAN_NO_REUSE ? " reuse" : "",
                   plan->flags & LT_PLAN_NO_TUNE ? " tune" : "", plan->flags & LT_PLAN_NO_LAYOUT ? " layout" : "",
                   plan->flags & LT_PLAN_NO_RECOMPUTE ? " recompute" : "",
                   plan->flags & (LT_PLAN_BF16 - 1) ? "" : " none");
    lti_buf_printf(&out, "P: runs when parameters change; *: moves data; again: rematerialized for the gradient\n");
    for (int32_t i = 0; i < plan->n_steps; i++)
        add_step(&out, plan, i);
    lti_buf_printf(&out, "%d kernels, %d reorders, %d reference fallbacks, %.3f GFLOP\n", st->n_kernels, st->n_reorders,
                   st->n_ref_fallbacks, st->flop * 1e-9);
    lti_buf_printf(&out, "memory: %.2f MiB shared, %.2f MiB kept, %.2f MiB scratch\n",
                   (double)plan->slab_bytes[LTI_ACT] / 1048576, (double)plan->slab_bytes[LTI_PERSISTENT] / 1048576,
                   (double)plan->scratch_bytes / 1048576);
    return lti_buf_take(&out);
}
