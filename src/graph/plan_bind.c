// plan_bind.c - nodes become kernels: the backend is asked first, the reference kernel takes what it leaves.
//
// Layouts flow forward: a value lies as its maker left it; a kernel that wants another layout gets a reorder, made once
// per value and layout however many kernels read it. What the caller reads is plain and never shares memory, so it is
// copied out right after it was made unless its maker could write to its destination directly; parameter gradients
// likewise go straight into the caller's slab where possible.
#include "graph/plan_impl.h"
#include <stdio.h>
#include <string.h>

static lt_status grow_arrays(lt_plan *plan)
{
    if (plan->n_tensors == plan->cap_tensors) {
        int32_t cap = plan->cap_tensors ? 2 * plan->cap_tensors : 64;
        void *bigger = lti_realloc(plan->tensor, (size_t)cap * sizeof *plan->tensor);
        if (!bigger)
            return LTI_NOMEM("plan");
        plan->tensor = bigger;
        plan->cap_tensors = cap;
    }
    if (plan->n_steps == plan->cap_steps) {
        int32_t cap = plan->cap_steps ? 2 * plan->cap_steps : 64;
        void *bigger = lti_realloc(plan->step, (size_t)cap * sizeof *plan->step);
        if (!bigger)
            return LTI_NOMEM("plan");
        plan->step = bigger;
        plan->cap_steps = cap;
    }
    return LT_OK;
}

static lt_status new_tensor(lt_plan *plan, lt_val v, lt_layout layout, lti_place place, int32_t *tensor)
{
    LT_TRY(grow_arrays(plan));
    const lti_value *value = &plan->g->value[v];
    *tensor = plan->n_tensors++;
    plan->tensor[*tensor] = (lti_tensor){.value = v,
                                         .layout = layout,
                                         .place = place,
                                         .bytes = lti_layout_bytes(&value->shape, value->dtype, layout),
                                         .storage = *tensor};
    return LT_OK;
}

// ---- copies and reorders are steps with a kernel of the plan's own
typedef struct copy_call {
    const lt_backend *backend;
    lt_shape shape;
    size_t elem;
    lt_layout from, to;
} copy_call;

static lt_status copy_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    (void)scratch;
    const copy_call *c = k->data;
    const lt_device_ops *device = c->backend->ops->device;
    if (device && c->from == c->to)
        return device->copy((lt_backend *)c->backend, arg[1], arg[0],
                            lti_layout_bytes(&c->shape, c->elem == 8 ? LT_F64 : LT_F32, c->from));
    if (c->backend->ops->reorder && c->from != c->to && c->elem == 4)
        c->backend->ops->reorder((lt_backend *)c->backend, &c->shape, c->from, arg[0], c->to, arg[1]);
    else
        lti_reorder(&c->shape, c->elem, c->from, arg[0], c->to, arg[1]);
    return LT_OK;
}

static void copy_destroy(lt_kernel *k)
{
    lti_free(k->data);
}

static lt_status add_copy(lt_plan *plan, int32_t from, int32_t to)
{
    LT_TRY(grow_arrays(plan));
    copy_call *c = lti_calloc(1, sizeof *c);
    if (!c)
        return LTI_NOMEM("plan");
    const lti_tensor *a = &plan->tensor[from], *b = &plan->tensor[to];
    const lti_value *value = &plan->g->value[a->value];
    *c = (copy_call){plan->backend, value->shape, lti_dtype_size(value->dtype), a->layout, b->layout};
    lti_step *s = &plan->step[plan->n_steps++];
    // The caller may do what it likes with its gradient slab between runs: write it in each.
    bool prologue = plan->constant[a->value] && b->place != LTI_GRAD;
    *s = (lti_step){.node = -1, .n_in = 1, .n_args = 2, .arg = {from, to}, .prologue = prologue};
    s->kernel = (lt_kernel){.run = copy_run, .destroy = copy_destroy, .data = c, .layout = {a->layout, b->layout}};
    snprintf(s->kernel.impl, sizeof s->kernel.impl, a->layout == b->layout ? "copy" : "reorder");
    plan->stats.n_reorders += a->layout != b->layout;
    return LT_OK;
}

static lti_place leaf_place(lt_role role)
{
    return role == LT_ROLE_PARAM ? LTI_PARAM : role == LT_ROLE_STATE ? LTI_STATE : LTI_PERSISTENT;
}

// The plain tensor of a leaf. Offsets of parameters and state are the caller's.
static lt_status leaf_tensor(lt_plan *plan, lt_val v, int32_t *tensor)
{
    const lti_value *value = &plan->g->value[v];
    if (value->role == LT_ROLE_TEMP)
        LT_BUG("value %d is read before it is made", (int)v);
    LT_TRY(new_tensor(plan, v, LT_LAYOUT_PLAIN, leaf_place(value->role), tensor));
    if (value->slab_offset >= 0)
        plan->tensor[*tensor].offset = (size_t)value->slab_offset * lti_dtype_size(value->dtype);
    plan->of_value[v][LT_LAYOUT_PLAIN] = *tensor;
    return LT_OK;
}

// The first tensor of a value: the one its maker wrote. -1 = none yet.
static int32_t made_tensor(const int32_t have[LT_N_LAYOUTS])
{
    int32_t first = -1;
    for (int layout = 0; layout < LT_N_LAYOUTS; layout++)
        if (have[layout] >= 0 && (first < 0 || have[layout] < first))
            first = have[layout];
    return first;
}

// The tensor of value v in a layout, made by a reorder step now if there is none yet.
static lt_status need_tensor(lt_plan *plan, lt_val v, lt_layout layout, int32_t *tensor)
{
    int32_t *have = plan->of_value[v];
    if (made_tensor(have) < 0)
        LT_TRY(leaf_tensor(plan, v, tensor));
    if (have[layout] < 0) {
        if (plan->g->value[v].shape.n_dims != 4)
            LT_BUG("a kernel asks for value %d, which is not an image, in an image layout", (int)v);
        const int32_t other = made_tensor(have);
        LT_TRY(new_tensor(plan, v, layout, plan->constant[v] ? LTI_PERSISTENT : LTI_ACT, &have[layout]));
        LT_TRY(add_copy(plan, other, have[layout]));
    }
    *tensor = have[layout];
    return LT_OK;
}

// ---- what the caller reads
static lt_status finish_param_grads(lt_plan *plan, lt_val v, int32_t from)
{
    for (int32_t i = 0; i < plan->n_param_grads; i++) {
        if (plan->grad_value[plan->n_wrt + i] != v)
            continue;
        const lti_value *p = &plan->g->value[plan->param[i]];
        size_t offset = (size_t)p->slab_offset * lti_dtype_size(plan->real);
        const lti_tensor *t = &plan->tensor[from];
        if (t->place == LTI_GRAD && t->offset == offset && t->storage == from)
            continue; // written to its destination by its maker
        int32_t to = -1;
        LT_TRY(new_tensor(plan, v, LT_LAYOUT_PLAIN, LTI_GRAD, &to));
        plan->tensor[to].offset = offset;
        LT_TRY(add_copy(plan, from, to));
    }
    return LT_OK;
}

// Value v was just made (or is a leaf): bring it to where the caller expects it.
static lt_status finish(lt_plan *plan, lt_val v)
{
    int32_t *have = plan->of_value[v], from = have[LT_LAYOUT_PLAIN] >= 0 ? have[LT_LAYOUT_PLAIN] : made_tensor(have);
    if (plan->keep[v] && (plan->tensor[from].place != LTI_PERSISTENT || plan->tensor[from].layout != LT_LAYOUT_PLAIN)) {
        int32_t to = -1;
        LT_TRY(new_tensor(plan, v, LT_LAYOUT_PLAIN, LTI_PERSISTENT, &to));
        LT_TRY(add_copy(plan, from, to));
        plan->of_value[v][LT_LAYOUT_PLAIN] = to;
    }
    return finish_param_grads(plan, v, from);
}

// Where a kernel may write a plain result.
static void choose_place(lt_plan *plan, int32_t tensor)
{
    lti_tensor *t = &plan->tensor[tensor];
    if (plan->constant[t->value]) {
        t->place = LTI_PERSISTENT;
        return;
    }
    if (t->layout != LT_LAYOUT_PLAIN)
        return;
    if (plan->keep[t->value]) {
        t->place = LTI_PERSISTENT;
        return;
    }
    for (int32_t i = 0; i < plan->n_param_grads; i++)
        if (plan->grad_value[plan->n_wrt + i] == t->value) {
            t->place = LTI_GRAD;
            t->offset = (size_t)plan->g->value[plan->param[i]].slab_offset * lti_dtype_size(plan->real);
            return;
        }
}

// ---- nodes
static lt_arg describe(const lt_plan *plan, lt_val v)
{
    const lti_value *value = &plan->g->value[v];
    const int32_t *have = plan->of_value[v];
    lt_arg arg = {value->shape, value->dtype, value->role, LT_LAYOUT_PLAIN};
    const int32_t made = made_tensor(have);
    if (made >= 0)
        arg.layout = plan->tensor[made].layout;
    if (value->role == LT_ROLE_TEMP && plan->constant[v])
        arg.role = LT_ROLE_CONST;
    return arg;
}

static lt_status bind_kernel(lt_plan *plan, int32_t node, const lt_arg *arg, lti_step *s)
{
    const lt_node *n = &plan->g->node[node];
    lt_backend *b = plan->backend;
    lt_bind_in in = {.op = n->op,
                     .attr = &n->attr,
                     .n_in = n->n_in,
                     .n_out = n->n_out,
                     .arg = arg,
                     .real = plan->real,
                     .train = plan->train,
                     .flags = plan->flags};
    if (b->ops->device)
        lt_error_clear();
    lt_status status = plan->real == LT_F32 ? b->ops->bind(b, &in, &s->kernel) : LT_E_UNSUPPORTED;
    if (b->ops->device && status == LT_E_UNSUPPORTED) // the reference kernels cannot reach its memory
        return lt_error_get()->status == LT_E_UNSUPPORTED
                   ? status
                   : LT_FAIL(LT_E_UNSUPPORTED, "%s: backend %s has no kernel for it in %s", n->op->name, b->ops->name,
                             plan->real == LT_F32 ? "single precision" : "double precision");
    if (status == LT_E_UNSUPPORTED) {
        lt_error_clear();
        s->kernel = (lt_kernel){0};
        status = b->fallback(&in, &s->kernel);
        s->fallback = strcmp(b->ops->name, "ref") != 0;
    }
    return status;
}

static lt_status add_view(lt_plan *plan, const lt_node *n)
{
    int32_t base, view;
    LT_TRY(need_tensor(plan, n->in[0], LT_LAYOUT_PLAIN, &base));
    LT_TRY(new_tensor(plan, n->out[0], LT_LAYOUT_PLAIN, plan->tensor[base].place, &view));
    plan->tensor[view].storage = base;
    plan->of_value[n->out[0]][LT_LAYOUT_PLAIN] = view;
    if (plan->keep[n->out[0]]) { // its memory may belong to someone else: the caller gets a copy
        int32_t to;
        LT_TRY(new_tensor(plan, n->out[0], LT_LAYOUT_PLAIN, LTI_PERSISTENT, &to));
        LT_TRY(add_copy(plan, view, to));
        plan->of_value[n->out[0]][LT_LAYOUT_PLAIN] = to;
    }
    return finish_param_grads(plan, n->out[0], view);
}

// Inputs in the layouts the kernel asked for, outputs in those it makes.
static lt_status connect(lt_plan *plan, const lt_node *n, lti_step *s)
{
    const unsigned reads = s->kernel.prepare_reads;
    int changing = 0;
    for (int i = 0; i < n->n_in; i++) {
        LT_TRY(need_tensor(plan, n->in[i], s->kernel.layout[i], &s->arg[i]));
        changing += !plan->constant[n->in[i]] && (!reads || reads >> i & 1);
    }
    s->n_in = n->n_in;
    s->n_args = n->n_in + n->n_out;
    s->prologue = plan->constant[n->out[0]];
    s->prepare_always = changing > (reads ? 0 : 1);
    for (int i = 0; i < n->n_out; i++) {
        lt_layout layout = s->kernel.layout[n->n_in + i];
        int32_t *t = &plan->of_value[n->out[i]][layout];
        LT_TRY(new_tensor(plan, n->out[i], layout, LTI_ACT, t));
        choose_place(plan, *t);
        s->arg[n->n_in + i] = *t;
    }
    return LT_OK;
}

static lt_status add_node(lt_plan *plan, int32_t node)
{
    const lt_node *n = &plan->g->node[node];
    if (n->op->flags & LT_OP_VIEW)
        return add_view(plan, n);
    lt_arg arg[LT_KERNEL_MAX_ARGS];
    lt_shape in[LT_NODE_MAX_IN], out[LT_NODE_MAX_OUT];
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        arg[i] = describe(plan, i < n->n_in ? n->in[i] : n->out[i - n->n_in]);
        *(i < n->n_in ? &in[i] : &out[i - n->n_in]) = arg[i].shape;
    }
    lti_step s = {.node = node};
    LT_TRY(bind_kernel(plan, node, arg, &s));
    lt_status status = connect(plan, n, &s);
    if (status == LT_OK)
        status = grow_arrays(plan);
    if (status != LT_OK) {
        if (s.kernel.destroy)
            s.kernel.destroy(&s.kernel);
        return status;
    }
    plan->step[plan->n_steps++] = s;
    plan->stats.n_kernels++;
    plan->stats.n_ref_fallbacks += s.fallback;
    if (n->op->flop && !s.prologue)
        plan->stats.flop += n->op->flop(&n->attr, n->n_in, in, out);
    for (int i = 0; i < n->n_out; i++)
        LT_TRY(finish(plan, n->out[i]));
    return LT_OK;
}

// Values known before a run. In a training plan parameters change with every run, so there are none but literals.
static void mark_constants(lt_plan *plan)
{
    const lt_graph *g = plan->g;
    for (int32_t v = 0; v < g->n_values; v++)
        plan->constant[v] = g->value[v].role == LT_ROLE_CONST ||
                            (!plan->train && (g->value[v].role == LT_ROLE_PARAM || g->value[v].role == LT_ROLE_STATE));
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const lt_node *n = &g->node[i];
        bool all = !(n->op->flags & LT_OP_SIDE_EFFECT);
        for (int j = 0; j < n->n_in; j++)
            all = all && plan->constant[n->in[j]];
        for (int j = 0; j < n->n_out; j++)
            plan->constant[n->out[j]] = all;
    }
}

// Leaves the caller reads or writes, gradients that are leaves, gradients that are zero.
static lt_status finish_leaves(lt_plan *plan)
{
    const lt_graph *g = plan->g;
    for (lt_val v = 0; v < g->n_values; v++) {
        bool grad = false;
        for (int32_t i = 0; i < plan->n_param_grads; i++)
            grad = grad || plan->grad_value[plan->n_wrt + i] == v;
        if (g->value[v].role != LT_ROLE_TEMP && (plan->keep[v] || grad)) {
            int32_t t;
            LT_TRY(need_tensor(plan, v, LT_LAYOUT_PLAIN, &t));
            LT_TRY(finish(plan, v));
        }
    }
    return LT_OK;
}

static lt_status list_gradients(lt_plan *plan, const lt_val *wrt)
{
    for (int i = 0; i < plan->n_wrt; i++) {
        lt_val v = plan->grad_value[i];
        if (v != LT_NONE)
            plan->grad[i] = plan->of_value[v][LT_LAYOUT_PLAIN];
        else // never written: memory starts as zeros
            LT_TRY(new_tensor(plan, wrt[i], LT_LAYOUT_PLAIN, LTI_PERSISTENT, &plan->grad[i]));
    }
    return LT_OK;
}

lt_status lti_plan_bind_kernels(lt_plan *plan, const lt_val *wrt)
{
    const lt_graph *g = plan->g;
    plan->of_value = lti_malloc((size_t)g->n_values * sizeof *plan->of_value);
    plan->constant = lti_calloc((size_t)g->n_values, sizeof *plan->constant);
    if (!plan->of_value || !plan->constant)
        return LTI_NOMEM("plan");
    for (int32_t v = 0; v < g->n_values; v++)
        for (int layout = 0; layout < LT_N_LAYOUTS; layout++)
            plan->of_value[v][layout] = -1;
    mark_constants(plan);
    for (int32_t v = 0; v < plan->n_user_values; v++)
        if (g->value[v].role == LT_ROLE_INPUT)
            LT_TRY(leaf_tensor(plan, v, &plan->shown[v]));
    for (int32_t i = 0; i < g->n_nodes; i++) {
        lt_status status = add_node(plan, i);
        if (status == LT_E_UNSUPPORTED) {
            char text[128];
            lti_node_text(g, i, text, sizeof text);
            lt_error_hint("while binding %s", text);
        }
        LT_TRY(status);
    }
    LT_TRY(finish_leaves(plan));
    return list_gradients(plan, wrt);
}
