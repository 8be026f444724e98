// plan.c - compilation of a graph into a list of kernel calls, and running it.
//
// The order of the passes is fixed: batch and mode first, so that every later pass sees exact shapes; then folding and
// fusing, so that gradients are taken of the fused graph; then gradients; then removal of dead nodes, fusions across
// the two halves, and what is rematerialized instead of kept. Every pass works on the plan's own copy of the graph and
// can be switched off without changing results.
#include "graph/plan_impl.h"
#include "graph/plan_share.h"
#include <string.h>

// ---- compilation
static lt_status check_spec(const lt_graph *g, const lt_plan_spec *s)
{
    LT_TRY(lt_graph_status(g));
    if (s->batch < 1)
        return LT_FAIL(LT_E_USAGE, "plan: batch %lld, expected at least 1", (long long)s->batch);
    if (!lti_is_real(s->dtype))
        return LT_FAIL(LT_E_UNSUPPORTED, "plan: the real type is LT_F32 or LT_F64");
    for (int i = 0; i < s->n_outs; i++)
        if (s->outs[i] < 0 || s->outs[i] >= g->n_values)
            return LT_FAIL(LT_E_USAGE, "plan: output %d is not a value of the graph", i);
    if (s->grad_of == LT_NONE && s->wrt_params)
        return LT_FAIL(LT_E_USAGE, "plan: gradients of parameters need a value to differentiate (grad_of)");
    return LT_OK;
}

// grad_value: n_wrt values to differentiate with respect to, then all parameters; still the values themselves.
static lt_status list_wrt(lt_plan *plan, const lt_plan_spec *s)
{
    const lt_graph *g = plan->g;
    int32_t n_params = 0;
    for (int32_t v = 0; v < g->n_values; v++)
        n_params += g->value[v].role == LT_ROLE_PARAM;
    plan->n_wrt = s->grad_of == LT_NONE ? 0 : s->n_wrt;
    plan->n_param_grads = s->wrt_params ? n_params : 0;
    size_t n = (size_t)plan->n_wrt + (size_t)plan->n_param_grads;
    plan->grad_value = lti_malloc(n * sizeof *plan->grad_value);
    plan->param = lti_malloc((size_t)plan->n_param_grads * sizeof *plan->param);
    if (!plan->grad_value || !plan->param)
        return LTI_NOMEM("plan");
    for (int i = 0; i < plan->n_wrt; i++)
        plan->grad_value[i] = s->wrt[i];
    for (int32_t v = 0, i = 0; s->wrt_params && v < g->n_values; v++)
        if (g->value[v].role == LT_ROLE_PARAM) {
            plan->param[i] = v;
            plan->grad_value[plan->n_wrt + i++] = v;
        }
    return LT_OK;
}

// Everything before the gradient: dead branches out, folding, fusing.
static lt_status optimise(lt_plan *plan, const lt_plan_spec *s, bool *fixed, bool *depends)
{
    lt_graph *g = plan->g;
    for (int i = 0; i < s->n_outs; i++)
        fixed[s->outs[i]] = true;
    if (s->grad_of != LT_NONE)
        fixed[s->grad_of] = true;
    LT_TRY(lti_pass_eliminate_dead(g, fixed, false));
    if (s->grad_of != LT_NONE && s->seed != LT_NONE)
        fixed[s->seed] = true;
    for (int i = 0; i < plan->n_wrt + plan->n_param_grads; i++)
        fixed[plan->grad_value[i]] = depends[plan->grad_value[i]] = true;
    lti_graph_mark_dependents(g, depends);
    if (!(s->flags & LT_PLAN_NO_FOLD) && !s->train)
        LT_TRY(lti_pass_fold(g, fixed, depends));
    if (!(s->flags & LT_PLAN_NO_FUSE))
        LT_TRY(lti_pass_fuse(g, fixed));
    return LT_OK;
}

static lt_status check_wrt(const lt_graph *g, const lt_plan_spec *s)
{
    if (s->grad_of == LT_NONE)
        return LT_OK;
    lt_val asked[] = {s->grad_of, s->seed};
    for (int i = 0; i < 2; i++)
        if (asked[i] >= g->n_values || asked[i] < (i == 0 ? 0 : LT_NONE))
            return LT_FAIL(LT_E_USAGE, "plan: %s is not a value of the graph", i == 0 ? "grad_of" : "seed");
    for (int i = 0; i < s->n_wrt; i++)
        if (s->wrt[i] < 0 || s->wrt[i] >= g->n_values || !lti_is_real(g->value[s->wrt[i]].dtype))
            return LT_FAIL(LT_E_USAGE, "plan: wrt[%d] is not a real value of the graph", i);
    return LT_OK;
}

// 256 MiB keep ResNet-18 of width 64 in half of the memory that PyTorch takes for it. A GPU has more.
static size_t keep_bytes(const lt_plan *plan, const lt_plan_spec *s)
{
    return s->keep_bytes ? s->keep_bytes : (size_t)(plan->backend->ops->device ? 8192 : 256) << 20;
}

static lt_status rewrite(lt_plan *plan, const lt_plan_spec *s)
{
    lt_graph *g = plan->g;
    LT_TRY(lti_pass_concrete(g, s->batch, s->dtype));
    LT_TRY(check_wrt(g, s));
    LT_TRY(list_wrt(plan, s));
    LT_TRY(lti_pass_mode(g, s->train));
    for (int32_t i = 0; i < g->n_nodes; i++)
        LT_TRY(lti_node_check(g, i));
    bool *marks = lti_calloc((size_t)g->n_values * 2, sizeof *marks);
    if (!marks)
        return LTI_NOMEM("plan");
    lt_status status = optimise(plan, s, marks, marks + g->n_values);
    lti_free(marks);
    LT_TRY(status);
    int n_grads = plan->n_wrt + plan->n_param_grads;
    if (s->grad_of != LT_NONE)
        LT_TRY(lti_grad(g, s->grad_of, s->seed, plan->grad_value, n_grads, plan->grad_value));
    plan->keep = lti_calloc((size_t)g->n_values, sizeof *plan->keep);
    if (!plan->keep)
        return LTI_NOMEM("plan");
    for (int i = 0; i < s->n_outs; i++)
        plan->keep[s->outs[i]] = true;
    for (int i = 0; i < n_grads; i++)
        if (plan->grad_value[i] != LT_NONE)
            plan->keep[plan->grad_value[i]] = true;
    LT_TRY(lti_pass_eliminate_dead(g, plan->keep, true));
    if (!(s->flags & LT_PLAN_NO_FUSE))
        LT_TRY(lti_pass_fuse_epilogue(g, !plan->backend->ops->device, plan->keep));
    if ((s->flags & LT_PLAN_CHECKPOINT) && s->train && s->grad_of != LT_NONE)
        return lti_pass_checkpoint(g, plan->keep);
    if (!(s->flags & LT_PLAN_NO_RECOMPUTE) && s->train)
        LT_TRY(lti_pass_rematerialize(g, plan->keep, keep_bytes(plan, s)));
    return LT_OK;
}

// From here on `keep` marks what the caller reads through lt_plan_buffer and lt_plan_grad.
static lt_status mark_read(lt_plan *plan, const lt_plan_spec *s)
{
    lti_free(plan->keep);
    plan->keep = lti_calloc((size_t)plan->g->n_values, sizeof *plan->keep);
    if (!plan->keep)
        return LTI_NOMEM("plan");
    for (int i = 0; i < s->n_outs; i++)
        plan->keep[s->outs[i]] = true;
    for (int i = 0; i < plan->n_wrt; i++)
        if (plan->grad_value[i] != LT_NONE)
            plan->keep[plan->grad_value[i]] = true;
    return LT_OK;
}

// Everything before the first step that depends on the seed makes the outputs.
static lt_status find_backward(lt_plan *plan, lt_val seed)
{
    const lt_graph *g = plan->g;
    plan->backward = plan->n_steps;
    plan->seed = seed;
    if (seed == LT_NONE)
        return LT_OK;
    bool *depends = lti_calloc((size_t)g->n_values, sizeof *depends);
    if (!depends)
        return LTI_NOMEM("plan");
    depends[seed] = true;
    lti_graph_mark_dependents(g, depends);
    for (int32_t i = plan->n_steps - 1; i >= 0; i--)
        for (int j = 0; j < plan->step[i].n_args; j++)
            if (depends[plan->tensor[plan->step[i].arg[j]].value])
                plan->backward = i;
    lti_free(depends);
    return LT_OK;
}

static lt_status compile(lt_plan *plan, const lt_graph *g, const lt_plan_spec *s)
{
    LT_TRY(lt_graph_dup(g, &plan->g));
    LT_TRY(rewrite(plan, s));
    LT_TRY(mark_read(plan, s));
    plan->shown = lti_malloc((size_t)plan->n_user_values * sizeof *plan->shown);
    plan->grad = lti_malloc((size_t)plan->n_wrt * sizeof *plan->grad);
    if (!plan->shown || !plan->grad)
        return LTI_NOMEM("plan");
    for (int32_t v = 0; v < plan->n_user_values; v++)
        plan->shown[v] = -1;
    LT_TRY(lti_plan_bind_kernels(plan, s->wrt));
    for (int i = 0; i < s->n_outs; i++)
        plan->shown[s->outs[i]] = plan->of_value[s->outs[i]][LT_LAYOUT_PLAIN];
    LT_TRY(find_backward(plan, s->grad_of == LT_NONE ? LT_NONE : s->seed));
    return lti_plan_place(plan);
}

lt_status lti_plan_create_sharing(const lt_graph *g, const lt_plan_spec *spec, lt_backend *backend,
                                  const lt_plan *donor, lt_plan **plan)
{
    *plan = NULL;
    LT_TRY(check_spec(g, spec));
    lt_plan *p = lti_calloc(1, sizeof *p);
    if (!p)
        return LTI_NOMEM("plan");
    p->backend = backend;
    p->real = spec->dtype;
    p->batch = spec->batch;
    p->train = spec->train;
    p->flags = spec->flags;
    p->wrt_params = spec->wrt_params;
    p->donor = donor;
    p->n_user_values = g->n_values;
    p->dirty = true;
    if (backend->ops->device) // kernels may be timed while they are chosen
        pthread_mutex_lock(&backend->device_lock);
    lt_status status = compile(p, g, spec);
    if (backend->ops->device)
        pthread_mutex_unlock(&backend->device_lock);
    if (status != LT_OK) {
        lt_plan_destroy(p);
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    p->donor = NULL;
    // Without parameters, state and their gradients there is nothing to bind.
    p->bound = lt_graph_n_params(g) == 0 && lt_graph_n_state(g) == 0;
    if (p->bound)
        lti_plan_resolve(p);
    *plan = p;
    return LT_OK;
}

lt_status lt_plan_create(const lt_graph *g, const lt_plan_spec *spec, lt_backend *backend, lt_plan **plan)
{
    return lti_plan_create_sharing(g, spec, backend, NULL, plan);
}

bool lti_plan_shares(const lt_plan *plan)
{
    return plan->is_guest;
}

void lt_plan_destroy(lt_plan *plan)
{
    if (!plan)
        return;
    for (int32_t i = 0; i < plan->n_steps; i++)
        if (plan->step[i].kernel.destroy)
            plan->step[i].kernel.destroy(&plan->step[i].kernel);
    lt_graph_destroy(plan->g);
    lti_free(plan->tensor);
    lti_free(plan->step);
    lti_free(plan->of_value);
    lti_free(plan->constant);
    lti_free(plan->keep);
    lti_free(plan->grad_value);
    lti_free(plan->param);
    lti_free(plan->shown);
    lti_free(plan->grad);
    if (plan->device_plan) {
        lti_device_plan_destroy(plan);
    } else {
        lti_plan_memory_release(plan->memory);
        lti_free(plan->slab[LTI_PERSISTENT]);
    }
    lti_free(plan);
}

// ---- use
static void *tensor_data(const lt_plan *plan, int32_t t)
{
    const lti_tensor *tensor = &plan->tensor[t];
    char *slab = plan->slab[tensor->place];
    return slab ? slab + tensor->offset : NULL;
}

void lti_plan_resolve(lt_plan *plan)
{
    for (int32_t i = 0; i < plan->n_steps; i++) {
        lti_step *s = &plan->step[i];
        for (int j = 0; j < s->n_args; j++)
            s->ptr[j] = tensor_data(plan, s->arg[j]);
        s->kernel.prepared = s->kernel.prepared_bytes ? plan->slab[LTI_PERSISTENT] + s->prepared_offset : NULL;
    }
}

lt_status lt_plan_bind(lt_plan *plan, void *params, void *state, void *grads)
{
    const lt_graph *g = plan->g;
    const struct {
        const char *name;
        const void *slab;
        bool needed;
    } slabs[] = {{"parameter", params, lt_graph_n_params(g) > 0},
                 {"state", state, lt_graph_n_state(g) > 0},
                 {"gradient", grads, plan->wrt_params && lt_graph_n_params(g) > 0}};
    for (int i = 0; i < 3; i++)
        if (slabs[i].needed && !slabs[i].slab)
            return LT_FAIL(LT_E_USAGE, "plan: the %s slab is NULL, but this plan uses it", slabs[i].name);
    void *const slab[LTI_N_PLACES] = {[LTI_PARAM] = params, [LTI_STATE] = state, [LTI_GRAD] = grads};
    if (plan->device_plan)
        LT_TRY(lti_device_plan_bind(plan, slab));
    for (int place = LTI_PARAM; !plan->device_plan && place <= LTI_GRAD; place++)
        plan->slab[place] = slab[place];
    plan->bound = true;
    plan->dirty = true;
    lti_plan_resolve(plan);
    return LT_OK;
}

void lt_plan_params_changed(lt_plan *plan)
{
    plan->dirty = true;
    if (plan->device_plan)
        lti_device_plan_params_changed(plan);
}

// Where the caller finds a tensor that it may read or write.
static void *shown_data(const lt_plan *plan, int32_t t)
{
    return plan->device_plan ? lti_device_plan_host(plan, t) : tensor_data(plan, t);
}

void *lt_plan_buffer(lt_plan *plan, lt_val v)
{
    return v < 0 || v >= plan->n_user_values || plan->shown[v] < 0 ? NULL : shown_data(plan, plan->shown[v]);
}

void *lt_plan_grad(lt_plan *plan, int i)
{
    return i < 0 || i >= plan->n_wrt ? NULL : shown_data(plan, plan->grad[i]);
}

static lt_status run_step(const lt_plan *plan, const lti_step *s, bool fresh)
{
    const lt_kernel *k = &s->kernel;
    if (k->prepare && (fresh || s->prepare_always))
        LT_TRY(k->prepare(k, s->ptr, k->prepared));
    return k->run(k, s->ptr, plan->scratch);
}

// Parameters that the differentiated value does not depend on.
static void zero_unreached(lt_plan *plan)
{
    for (int32_t i = 0; i < plan->n_param_grads; i++)
        if (plan->grad_value[plan->n_wrt + i] == LT_NONE) {
            const lti_value *p = &plan->g->value[plan->param[i]];
            size_t size = lti_dtype_size(plan->real);
            memset(plan->slab[LTI_GRAD] + (size_t)p->slab_offset * size, 0, (size_t)lti_shape_count(&p->shape) * size);
        }
}

lt_status lti_plan_run_steps(const lt_plan *plan, bool fresh)
{
    for (int32_t i = 0; i < plan->n_steps; i++) {
        const lti_step *s = &plan->step[i];
        if (fresh || !s->prologue)
            LT_TRY(run_step(plan, s, fresh));
    }
    return LT_OK;
}

lt_status lt_plan_run(lt_plan *plan)
{
    if (!plan->bound)
        return LT_FAIL(LT_E_USAGE, "plan: run before lt_plan_bind gave it the parameters");
    if (plan->device_plan)
        return lti_device_plan_run(plan);
    zero_unreached(plan);
    LT_TRY(lti_plan_run_steps(plan, plan->dirty || plan->train));
    plan->dirty = false;
    return LT_OK;
}

// ---- the two halves

static lt_status check_halves(const lt_plan *plan)
{
    if (!plan->bound)
        return LT_FAIL(LT_E_USAGE, "plan: run before lt_plan_bind gave it the parameters");
    if (plan->train)
        return LT_FAIL(LT_E_UNSUPPORTED, "plan: the halves of a training plan cannot run apart");
    return LT_OK;
}

// fresh: parameters changed since the last run; what depends on them only may stand among the later steps, too, and is
// made with the forward half.
lt_status lti_plan_run_half_steps(const lt_plan *plan, bool backward, bool fresh)
{
    for (int32_t i = backward ? plan->backward : 0; i < plan->n_steps; i++) {
        const lti_step *s = &plan->step[i];
        const bool prologue = s->prologue && !backward && fresh;
        if (prologue || (!s->prologue && (backward || i < plan->backward)))
            LT_TRY(run_step(plan, s, fresh));
        else if (!backward && fresh && !s->prologue && s->kernel.prepare && !s->prepare_always)
            LT_TRY(s->kernel.prepare(&s->kernel, s->ptr, s->kernel.prepared));
    }
    return LT_OK;
}

lt_status lt_plan_run_forward(lt_plan *plan)
{
    LT_TRY(check_halves(plan));
    LT_TRY(plan->device_plan ? lti_device_plan_run_half(plan, false)
                             : lti_plan_run_half_steps(plan, false, plan->dirty));
    plan->dirty = false;
    return LT_OK;
}

lt_status lt_plan_run_backward(lt_plan *plan)
{
    LT_TRY(check_halves(plan));
    if (plan->dirty)
        return LT_FAIL(LT_E_USAGE, "plan: expected lt_plan_run_forward before lt_plan_run_backward, found none");
    return plan->device_plan ? lti_device_plan_run_half(plan, true) : lti_plan_run_half_steps(plan, true, false);
}

lt_plan_stats lt_plan_get_stats(const lt_plan *plan)
{
    return plan->stats;
}
