// plan_memory.c - where every tensor lives: offsets in one slab for activations, one for what must stay.
//
// A tensor lives from the step that makes it to the last step that reads it. Two tensors may overlap in memory when
// their lives do not overlap in time. Largest first, each takes the lowest offset that is free during its life: the
// greedy order that does well for networks, whose large tensors decide the size. An elementwise result takes over the
// memory of its first input when that is read for the last time.
//
// Where it costs little memory, only tensors of one size overlap, and fully: threads take images in order, so each then
// meets in a place what it wrote itself, not lines that lie in another core's caches. One thread gains nothing.
#include "graph/plan_impl.h"
#include <stdlib.h>
#include <string.h>

enum {
    ALIGN = 64,
    SLAB_ALIGN = 4096,
    SIZE_CLASS_EXTRA_FRACTION = 4,   // places by size may take a fourth more
    SIZE_CLASS_MAX_EXTRA = 48 << 20, // and this much: what is larger does not stay in caches, wherever it lies
};

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int32_t root(const lt_plan *plan, int32_t t)
{
    while (plan->tensor[t].storage != t)
        t = plan->tensor[t].storage;
    return t;
}

static void compute_live_ranges(lt_plan *plan)
{
    for (int32_t t = 0; t < plan->n_tensors; t++)
        plan->tensor[t].first = plan->tensor[t].last = -1;
    for (int32_t i = 0; i < plan->n_steps; i++)
        for (int j = 0; j < plan->step[i].n_args; j++) {
            lti_tensor *t = &plan->tensor[root(plan, plan->step[i].arg[j])];
            if (t->first < 0 && j >= plan->step[i].n_in)
                t->first = i;
            t->last = i;
        }
}

// The output of step i takes over the memory of its input `arg`, if that may be.
static bool alias_output(lt_plan *plan, int32_t i, int arg)
{
    const lti_step *s = &plan->step[i];
    const int32_t from = root(plan, s->arg[arg]), to = s->arg[s->n_in];
    lti_tensor *a = &plan->tensor[from], *b = &plan->tensor[to];
    if (a->place != LTI_ACT || b->place != LTI_ACT || a->last != i || a->bytes != b->bytes || a->layout != b->layout)
        return false;
    b->storage = from;
    a->last = b->last;
    return true;
}

// Does the step read that input through another argument, too? A convolution reads neighbours of what it has written.
static bool read_twice(const lt_plan *plan, const lti_step *s, int arg)
{
    for (int j = 0; j < s->n_in; j++)
        if (j != arg && root(plan, s->arg[j]) == root(plan, s->arg[arg]))
            return true;
    return false;
}

static void alias_in_place(lt_plan *plan)
{
    for (int32_t i = 0; i < plan->n_steps; i++) {
        const lti_step *s = &plan->step[i];
        const bool elementwise = s->node >= 0 && (plan->g->node[s->node].op->flags & LT_OP_INPLACE0);
        bool done = elementwise && alias_output(plan, i, 0);
        for (int j = 0; j < s->n_in && !done; j++)
            done = (s->kernel.in_place >> j & 1) && !read_twice(plan, s, j) && alias_output(plan, i, j);
    }
}

typedef struct block {
    size_t offset, bytes;
    int32_t tensor, first, last;
} block;

static int larger_first(const void *pa, const void *pb)
{
    const block *a = pa, *b = pb;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->tensor < b->tensor ? -1 : 1;
}

// The lowest offset at which block i meets none of the placed blocks alive at the same time.
static size_t first_fit(const block *blocks, const int32_t *by_offset, int32_t n_placed, const block *b)
{
    size_t offset = 0;
    for (int32_t j = 0; j < n_placed; j++) {
        const block *other = &blocks[by_offset[j]];
        if (other->last < b->first || b->last < other->first)
            continue;
        if (other->offset >= offset + b->bytes)
            break; // sorted by offset: nothing later can be in the way
        if (other->offset + other->bytes > offset)
            offset = other->offset + other->bytes;
    }
    return offset;
}

// The lowest place of a block of the same size with which it shares no moment; else one behind all others.
static size_t same_size_fit(const block *blocks, int32_t n_placed, const block *b, size_t end)
{
    size_t best = end;
    for (int32_t j = n_placed - 1; j >= 0 && blocks[j].bytes == b->bytes; j--) {
        bool is_free = blocks[j].offset < best;
        for (int32_t i = n_placed - 1; is_free && i >= 0 && blocks[i].bytes == b->bytes; i--)
            is_free = blocks[i].offset != blocks[j].offset || blocks[i].last < b->first || b->last < blocks[i].first;
        if (is_free)
            best = blocks[j].offset;
    }
    return best;
}

static size_t assign_block_offsets(block *blocks, int32_t n, int32_t *by_offset, bool size_classes)
{
    size_t total = 0;
    for (int32_t i = 0; i < n; i++) {
        blocks[i].offset =
            size_classes ? same_size_fit(blocks, i, &blocks[i], total) : first_fit(blocks, by_offset, i, &blocks[i]);
        if (blocks[i].offset + blocks[i].bytes > total)
            total = blocks[i].offset + blocks[i].bytes;
        int32_t at = i; // insertion keeps by_offset sorted
        for (; at > 0 && blocks[by_offset[at - 1]].offset > blocks[i].offset; at--)
            by_offset[at] = by_offset[at - 1];
        by_offset[at] = i;
    }
    return total;
}

static lt_status assign_offsets(lt_plan *plan)
{
    block *blocks = lti_malloc((size_t)plan->n_tensors * sizeof *blocks);
    int32_t *by_offset = lti_malloc((size_t)plan->n_tensors * sizeof *by_offset), n = 0;
    if (!blocks || !by_offset) {
        lti_free(blocks);
        lti_free(by_offset);
        return LTI_NOMEM("plan memory");
    }
    for (int32_t t = 0; t < plan->n_tensors; t++) {
        const lti_tensor *tensor = &plan->tensor[t];
        if (tensor->place == LTI_ACT && tensor->storage == t && tensor->last >= 0)
            blocks[n++] = (block){0, round_up(tensor->bytes), t, tensor->first, tensor->last};
    }
    qsort(blocks, (size_t)n, sizeof *blocks, larger_first);
    const size_t least = assign_block_offsets(blocks, n, by_offset, false);
    size_t *total = &plan->slab_bytes[LTI_ACT];
    *total = assign_block_offsets(blocks, n, by_offset, true);
    const bool one_core = plan->backend->ops->device || plan->backend->n_threads < 2;
    if (one_core || *total > least + least / SIZE_CLASS_EXTRA_FRACTION || *total > least + SIZE_CLASS_MAX_EXTRA)
        *total = assign_block_offsets(blocks, n, by_offset, false);
    for (int32_t i = 0; i < n; i++)
        plan->tensor[blocks[i].tensor].offset = blocks[i].offset;
    lti_free(blocks);
    lti_free(by_offset);
    return LT_OK;
}

static void assign_without_reuse(lt_plan *plan, lti_place place)
{
    size_t total = plan->slab_bytes[place];
    for (int32_t t = 0; t < plan->n_tensors; t++) {
        lti_tensor *tensor = &plan->tensor[t];
        if (tensor->place != place || tensor->storage != t)
            continue;
        tensor->offset = total;
        total += round_up(tensor->bytes);
    }
    plan->slab_bytes[place] = total;
}

void lti_fill_constants(const lt_plan *plan, char *keep)
{
    for (int32_t t = 0; t < plan->n_tensors; t++) {
        const lti_tensor *tensor = &plan->tensor[t];
        const lti_value *value = &plan->g->value[tensor->value];
        if (value->role != LT_ROLE_CONST || tensor->layout != LT_LAYOUT_PLAIN || value->fill == 0)
            continue;
        char *data = keep + tensor->offset;
        for (int64_t i = 0; i < lti_shape_count(&value->shape); i++)
            if (value->dtype == LT_F64)
                ((double *)(void *)data)[i] = value->fill;
            else
                ((float *)(void *)data)[i] = (float)value->fill;
    }
}

void lti_plan_memory_release(lti_plan_memory *memory)
{
    if (!memory || --memory->n_users > 0)
        return;
    lti_free(memory->act);
    lti_free(memory->scratch);
    lti_free(memory);
}

static lt_status check_memory(const lt_plan *plan)
{
    char what[64];
    lti_format(what, sizeof what, "a %s batch of %lld", plan->train ? "training" : "forward", (long long)plan->batch);
    return lti_memory_check((double)plan->slab_bytes[LTI_ACT] + (double)plan->slab_bytes[LTI_PERSISTENT] +
                                (double)plan->scratch_bytes,
                            what);
}

static lt_status create_memory(lt_plan *plan)
{
    lti_plan_memory *m = lti_calloc(1, sizeof *m);
    if (!m)
        return LTI_NOMEM("plan memory");
    plan->memory = m;
    LT_TRY(check_memory(plan));
    *m = (lti_plan_memory){.n_users = 1, .act_bytes = plan->slab_bytes[LTI_ACT], .scratch_bytes = plan->scratch_bytes};
    m->act = lti_aligned_alloc(SLAB_ALIGN, m->act_bytes);
    m->scratch = lti_aligned_alloc(SLAB_ALIGN, m->scratch_bytes);
    if (!m->act || !m->scratch)
        return LTI_NOMEM("plan memory");
#ifndef NDEBUG
    memset(m->act, 0xff, m->act_bytes); // NaN: a kernel that reads unwritten memory is noticed
    memset(m->scratch, 0xff, m->scratch_bytes);
#endif
    return LT_OK;
}

static lt_status allocate(lt_plan *plan)
{
    lti_plan_memory *other = plan->donor ? plan->donor->memory : NULL;
    if (other && other->act_bytes >= plan->slab_bytes[LTI_ACT] && other->scratch_bytes >= plan->scratch_bytes) {
        plan->memory = other;
        other->n_users++;
        plan->is_guest = true;
    } else {
        LT_TRY(create_memory(plan));
    }
    plan->slab[LTI_ACT] = plan->memory->act;
    plan->scratch = plan->memory->scratch;
    plan->slab[LTI_PERSISTENT] = lti_aligned_alloc(SLAB_ALIGN, plan->slab_bytes[LTI_PERSISTENT]);
    return plan->slab[LTI_PERSISTENT] ? LT_OK : LTI_NOMEM("plan memory");
}

// What is prepared before every run of its kernel needs no memory of its own: such kernels share one piece.
static void assign_prepared(lt_plan *plan)
{
    const size_t shared = plan->slab_bytes[LTI_PERSISTENT];
    size_t most = 0;
    for (int32_t i = 0; i < plan->n_steps; i++) {
        lti_step *s = &plan->step[i];
        const size_t bytes = round_up(s->kernel.prepared_bytes);
        s->prepared_offset = shared;
        if ((plan->train || s->prepare_always) && bytes > most)
            most = bytes;
    }
    plan->slab_bytes[LTI_PERSISTENT] += most;
    for (int32_t i = 0; i < plan->n_steps; i++) {
        lti_step *s = &plan->step[i];
        if (plan->train || s->prepare_always)
            continue;
        s->prepared_offset = plan->slab_bytes[LTI_PERSISTENT];
        plan->slab_bytes[LTI_PERSISTENT] += round_up(s->kernel.prepared_bytes);
    }
}

// Kernels share one piece of scratch, and in it each thread has one place in all of them.
static void assign_scratch(lt_plan *plan)
{
    size_t stride = 0;
    for (int32_t i = 0; i < plan->n_steps; i++)
        if (plan->step[i].kernel.thread_stride > stride)
            stride = plan->step[i].kernel.thread_stride;
    for (int32_t i = 0; i < plan->n_steps; i++) {
        lt_kernel *k = &plan->step[i].kernel;
        k->scratch_bytes += (size_t)k->threads * (stride - k->thread_stride);
        k->thread_stride = stride;
        if (k->scratch_bytes > plan->scratch_bytes)
            plan->scratch_bytes = k->scratch_bytes;
    }
}

lt_status lti_plan_place(lt_plan *plan)
{
    compute_live_ranges(plan);
    if (plan->flags & LT_PLAN_NO_REUSE) {
        assign_without_reuse(plan, LTI_ACT);
    } else {
        alias_in_place(plan);
        LT_TRY(assign_offsets(plan));
    }
    assign_without_reuse(plan, LTI_PERSISTENT);
    assign_prepared(plan);
    assign_scratch(plan);
    for (int32_t t = 0; t < plan->n_tensors; t++) {
        const lti_tensor *base = &plan->tensor[root(plan, t)];
        plan->tensor[t].place = base->place;
        plan->tensor[t].offset = base->offset;
    }
    if (plan->backend->ops->device) {
        LT_TRY(lti_device_plan_create(plan));
    } else {
        LT_TRY(allocate(plan));
        lti_fill_constants(plan, plan->slab[LTI_PERSISTENT]);
    }
    plan->stats.slab_bytes =
        (int64_t)(plan->slab_bytes[LTI_ACT] + plan->slab_bytes[LTI_PERSISTENT] + plan->scratch_bytes);
    return LT_OK;
}
