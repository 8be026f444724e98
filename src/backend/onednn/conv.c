// conv.c - convolution and its two gradients on oneDNN.
//
// Weights arrive as plain OIHW from the parameter slab and are brought into the implementation's format in `prepare`:
// once for many runs where they are constant, before each run in training. A weight gradient is brought back to OIHW at
// the end of `run`. Where an implementation wants activations in a layout that the plan does not know (AVX2 has
// 8-channel blocks, the gradient of a 3-channel image comes in a padded block) the conversion is part of the kernel.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/threads.h"
#include "base/base.h"
#include <stdio.h>

// One tensor of the primitive: `outer` in the layout the plan knows, `inner` in the implementation's. One and the same
// when they agree; else `reorder` converts, in the direction of the data flow.
typedef struct port {
    dnnl_memory_t outer, inner;
    dnnl_primitive_t reorder;
    void *outer_at, *inner_at; // current data pointers: setting one costs a call, so it is done when it changes
    size_t offset, bytes;      // of the inner buffer in scratch
} port;

enum { PORT_X, PORT_W, PORT_Y, N_PORTS };

typedef struct conv {
    lti_conv_shape shape;
    int n_threads;
    int from[2], to;      // ports of inputs 0 and 1 and of output 0, in the plan's argument order
    dnnl_stream_t stream; // one each: a stream may not be used by two plans at a time
    dnnl_primitive_t primitive;
    port port[N_PORTS], bias, pad; // pad: oneDNN's scratchpad
    dnnl_exec_arg_t arg[5];
    int n_args;
} conv;

static void port_clear(port *p)
{
    if (p->reorder)
        dnnl_primitive_destroy(p->reorder);
    if (p->inner && p->inner != p->outer)
        dnnl_memory_destroy(p->inner);
    if (p->outer)
        dnnl_memory_destroy(p->outer);
}

static void destroy(lt_kernel *k)
{
    conv *c = k->data;
    if (!c)
        return;
    for (int i = 0; i < N_PORTS; i++)
        port_clear(&c->port[i]);
    port_clear(&c->bias);
    port_clear(&c->pad);
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    lti_free(c);
    k->data = NULL;
}

static lt_status point(dnnl_memory_t memory, void **at, void *to)
{
    if (*at == to)
        return LT_OK;
    LT_TRY_DNNL(dnnl_memory_set_data_handle(memory, to));
    *at = to;
    return LT_OK;
}

static lt_status convert(const conv *c, const port *p, bool inwards)
{
    const dnnl_exec_arg_t arg[2] = {{DNNL_ARG_FROM, inwards ? p->outer : p->inner},
                                    {DNNL_ARG_TO, inwards ? p->inner : p->outer}};
    return lti_dnnl_check(dnnl_primitive_execute(p->reorder, c->stream, 2, arg), "reorder");
}

static bool prepares(const conv *c)
{
    return c->shape.pass != LTI_CONV_DW && c->port[PORT_W].reorder;
}

static lt_status execute(conv *c, void *const *arg, char *scratch, const void *prepared)
{
    const int out = c->shape.pass == LTI_CONV_FWD && c->shape.bias ? 3 : 2;
    for (int i = 0; i < 2; i++) {
        port *p = &c->port[c->from[i]];
        LT_TRY(point(p->outer, &p->outer_at, arg[i]));
        if (!p->reorder)
            continue;
        const bool weights = c->from[i] == PORT_W;
        union {
            const void *in;
            void *out;
        } made = {prepared};
        LT_TRY(point(p->inner, &p->inner_at, weights ? made.out : scratch + p->offset));
        if (!weights)
            LT_TRY(convert(c, p, true));
    }
    port *p = &c->port[c->to];
    LT_TRY(point(p->outer, &p->outer_at, arg[out]));
    if (p->reorder)
        LT_TRY(point(p->inner, &p->inner_at, scratch + p->offset));
    if (c->bias.outer)
        LT_TRY(point(c->bias.outer, &c->bias.outer_at, arg[2]));
    if (c->pad.outer)
        LT_TRY(point(c->pad.outer, &c->pad.outer_at, scratch + c->pad.offset));
    LT_TRY_DNNL(dnnl_primitive_execute(c->primitive, c->stream, c->n_args, c->arg));
    if (p->reorder)
        LT_TRY(convert(c, p, false));
    return lti_dnnl_check(dnnl_stream_wait(c->stream), "dnnl_stream_wait");
}

static lt_status run_conv(const lt_kernel *k, void *const *arg, void *scratch)
{
    conv *c = k->data;
    const int before = lti_threads_enter(c->n_threads);
    const lt_status status = execute(c, arg, scratch, k->prepared);
    lti_threads_leave(before, c->n_threads);
    return status;
}

static lt_status prepare_weights(conv *c, void *weights, void *prepared)
{
    port *w = &c->port[PORT_W];
    LT_TRY(point(w->outer, &w->outer_at, weights));
    LT_TRY(point(w->inner, &w->inner_at, prepared));
    LT_TRY(convert(c, w, true));
    return lti_dnnl_check(dnnl_stream_wait(c->stream), "dnnl_stream_wait");
}

static lt_status prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    conv *c = k->data;
    const int before = lti_threads_enter(c->n_threads);
    const lt_status status = prepare_weights(c, arg[1], prepared);
    lti_threads_leave(before, c->n_threads);
    return status;
}

// ---- making one
typedef struct mds {
    lti_md x, w, b, y;
    lti_md hint_x, hint_w, hint_y;
} mds;

static void mds_clear(mds *m)
{
    lti_md_destroy(m->x);
    lti_md_destroy(m->w);
    lti_md_destroy(m->b);
    lti_md_destroy(m->y);
    lti_md_destroy(m->hint_x);
    lti_md_destroy(m->hint_w);
    lti_md_destroy(m->hint_y);
}

// free_x, free_w: leave the layout of activations, of weights, to the implementation. half: what is read is bf16.
static lt_status mds_make(const lti_conv_shape *s, bool free_x, bool free_w, bool bf16, mds *m)
{
    const dnnl_data_type_t in = bf16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_dims_t x = {s->n, s->c, s->h, s->w}, w = {s->k, s->c, s->r, s->s}, y = {s->n, s->k, s->oh, s->ow};
    const dnnl_dims_t b = {s->k};
    const dnnl_format_tag_t any = dnnl_format_tag_any;
    const dnnl_format_tag_t x_tag = s->x_layout == LT_LAYOUT_BLOCKED16 ? dnnl_nChw16c : dnnl_nchw;
    const dnnl_format_tag_t y_tag = s->y_layout == LT_LAYOUT_BLOCKED16 ? dnnl_nChw16c : dnnl_nchw;
    LT_TRY(lti_md_create(4, x, s->pass == LTI_CONV_DX ? dnnl_f32 : in, free_x ? any : x_tag, &m->x));
    LT_TRY(lti_md_create(4, w, s->pass == LTI_CONV_DW ? dnnl_f32 : in, free_w ? any : dnnl_oihw, &m->w));
    LT_TRY(lti_md_create(4, y, s->pass == LTI_CONV_FWD ? dnnl_f32 : in, free_x ? any : y_tag, &m->y));
    if (s->bias)
        LT_TRY(lti_md_create(1, b, dnnl_f32, dnnl_a, &m->b));
    LT_TRY(lti_md_create(4, x, in, free_x ? any : x_tag, &m->hint_x));
    LT_TRY(lti_md_create(4, w, in, free_w ? any : dnnl_oihw, &m->hint_w));
    LT_TRY(lti_md_create(4, y, in, free_x ? any : y_tag, &m->hint_y));
    return LT_OK;
}

lt_status lti_conv_pd(const lti_dn *dn, const lti_conv_shape *s, const lti_choice *choice, dnnl_primitive_desc_t *pd)
{
    mds m = {0};
    *pd = NULL;
    lt_status status = mds_make(s, choice->free_layout, true, choice->algorithm == LTI_DIRECT_BF16, &m);
    if (status == LT_OK) {
        const lti_conv_spec spec = {
            .pass = s->pass,
            .winograd = choice->algorithm == LTI_DNNL_WINOGRAD,
            .inference = s->constant && s->pass == LTI_CONV_FWD,
            .relu = s->relu,
            .x = m.x,
            .w = m.w,
            .b = m.b,
            .y = m.y,
            .hint_x = m.hint_x,
            .hint_w = m.hint_w,
            .hint_y = m.hint_y,
            .stride = s->stride,
            .pad = s->pad,
            .dilation = s->dilation,
        };
        const int before = lti_threads_enter(dn->n_threads); // oneDNN divides the work here
        status = lti_dnnl_conv_pd(dn->engine, &spec, choice->index, pd);
        lti_threads_leave(before, dn->n_threads);
    }
    mds_clear(&m);
    return status;
}

static lt_status port_make(const lti_dn *dn, lti_md outer, lti_md inner, bool inwards, port *p)
{
    LT_TRY_DNNL(dnnl_memory_create(&p->outer, outer, dn->engine, DNNL_MEMORY_NONE));
    if (dnnl_memory_desc_equal(outer, inner)) {
        p->inner = p->outer;
        return LT_OK;
    }
    LT_TRY_DNNL(dnnl_memory_create(&p->inner, inner, dn->engine, DNNL_MEMORY_NONE));
    p->bytes = dnnl_memory_desc_get_size(inner);
    dnnl_primitive_desc_t pd = NULL;
    LT_TRY(lti_dnnl_reorder_pd(dn->engine, inwards ? outer : inner, inwards ? inner : outer, &pd));
    const dnnl_status_t s = dnnl_primitive_create(&p->reorder, pd);
    dnnl_primitive_desc_destroy(pd);
    return lti_dnnl_check(s, "reorder");
}

static const struct {
    dnnl_query_t query;
    int arg;
} role[3][N_PORTS] = {
    [LTI_CONV_FWD] = {{dnnl_query_src_md, DNNL_ARG_SRC},
                      {dnnl_query_weights_md, DNNL_ARG_WEIGHTS},
                      {dnnl_query_dst_md, DNNL_ARG_DST}},
    [LTI_CONV_DX] = {{dnnl_query_diff_src_md, DNNL_ARG_DIFF_SRC},
                     {dnnl_query_weights_md, DNNL_ARG_WEIGHTS},
                     {dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST}},
    [LTI_CONV_DW] = {{dnnl_query_src_md, DNNL_ARG_SRC},
                     {dnnl_query_diff_weights_md, DNNL_ARG_DIFF_WEIGHTS},
                     {dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST}},
};

static size_t reserve_scratch(size_t *total, size_t bytes)
{
    const size_t at = *total;
    *total += (bytes + 63) & ~(size_t)63;
    return at;
}

static lt_status make_ports(const lti_dn *dn, const_dnnl_primitive_desc_t pd, const mds *outer, conv *c, lt_kernel *k)
{
    const lti_md outer_md[N_PORTS] = {outer->x, outer->w, outer->y};
    size_t scratch = 0;
    for (int i = 0; i < N_PORTS; i++) {
        port *p = &c->port[i];
        LT_TRY(port_make(dn, outer_md[i], dnnl_primitive_desc_query_md(pd, role[c->shape.pass][i].query, 0), i != c->to,
                         p));
        c->arg[c->n_args++] = (dnnl_exec_arg_t){role[c->shape.pass][i].arg, p->inner};
        if (p->reorder && (i != PORT_W || c->to == PORT_W))
            p->offset = reserve_scratch(&scratch, p->bytes);
    }
    if (outer->b) {
        LT_TRY_DNNL(dnnl_memory_create(&c->bias.outer, outer->b, dn->engine, DNNL_MEMORY_NONE));
        c->arg[c->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, c->bias.outer};
    }
    const lti_md pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const size_t pad_bytes = pad ? dnnl_memory_desc_get_size(pad) : 0;
    if (pad_bytes > 0) {
        LT_TRY_DNNL(dnnl_memory_create(&c->pad.outer, pad, dn->engine, DNNL_MEMORY_NONE));
        c->pad.offset = reserve_scratch(&scratch, pad_bytes);
        c->arg[c->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, c->pad.outer};
    }
    k->scratch_bytes = scratch;
    return LT_OK;
}

static lt_status fill_kernel(const lti_dn *dn, const_dnnl_primitive_desc_t pd, conv *c, lt_kernel *k)
{
    mds outer = {0};
    LT_TRY_DNNL(dnnl_stream_create(&c->stream, dn->engine, dnnl_stream_default_flags));
    LT_TRY_DNNL(dnnl_primitive_create(&c->primitive, pd));
    lt_status status = mds_make(&c->shape, false, false, false, &outer);
    if (status == LT_OK)
        status = make_ports(dn, pd, &outer, c, k);
    mds_clear(&outer);
    return status;
}

lt_status lti_conv_make(const lti_dn *dn, const lti_conv_shape *s, const lti_choice *choice, lt_kernel *k)
{
    static const int from[3][2] = {{PORT_X, PORT_W}, {PORT_Y, PORT_W}, {PORT_X, PORT_Y}};
    static const int to[3] = {PORT_Y, PORT_X, PORT_W};
    dnnl_primitive_desc_t pd = NULL;
    if (choice->algorithm == LTI_OWN_WINOGRAD || choice->algorithm == LTI_OWN_WINOGRAD_BF16)
        return lti_wino_make(dn, s, choice->algorithm == LTI_OWN_WINOGRAD_BF16, k);
    if (choice->algorithm == LTI_OWN_STEM)
        return lti_stem_make(dn, s, k);
    if (choice->algorithm == LTI_OWN_POINTWISE)
        return lti_conv_1x1_make(dn, s, k);
    LT_TRY(lti_conv_pd(dn, s, choice, &pd));
    if (!pd)
        return LT_FAIL(LT_E_UNSUPPORTED, "oneDNN no longer offers implementation %d (%s) of a convolution",
                       choice->index, choice->impl);
    conv *c = lti_calloc(1, sizeof *c);
    lt_status status = c ? LT_OK : LTI_NOMEM("convolution");
    if (c) {
        c->shape = *s;
        c->n_threads = dn->n_threads;
        c->from[0] = from[s->pass][0];
        c->from[1] = from[s->pass][1];
        c->to = to[s->pass];
        k->data = c;
        k->destroy = destroy;
        k->run = run_conv;
        const int before = lti_threads_enter(dn->n_threads);
        status = fill_kernel(dn, pd, c, k);
        lti_threads_leave(before, dn->n_threads);
        if (status == LT_OK && prepares(c)) {
            k->prepare = prepare;
            k->prepared_bytes = c->port[PORT_W].bytes;
        }
    }
    dnnl_primitive_desc_destroy(pd);
    if (status != LT_OK)
        destroy(k);
    return status;
}

enum { MAX_PLAIN_CHANNELS = 3 }; // oneDNN's first-layer code reads an image of up to 3 channels as it is

static bool is_own(const lti_choice *choice)
{
    return choice->algorithm >= LTI_OWN_WINOGRAD;
}

// Our Winograd kernel applies the epilogue itself; after another kernel it is a separate pass.
static bool finishes(const lti_choice *choice)
{
    return choice->algorithm == LTI_OWN_WINOGRAD || choice->algorithm == LTI_OWN_WINOGRAD_BF16;
}

// Where our kernel can add in place, no other one is close: they write all pixels.
static lt_status make_point(const lti_dn *dn, const lti_conv_shape *s, lti_choice *choice, lt_kernel *k)
{
    *choice = (lti_choice){.algorithm = LTI_OWN_POINTWISE};
    snprintf(choice->impl, sizeof choice->impl, "1x1 in place %s", dn->kern->isa);
    return lti_conv_make(dn, s, choice, k);
}

static lt_status make_fast(const lti_dn *dn, const lti_conv_shape *s, bool tune, lti_choice *choice, lt_kernel *k)
{
    const lti_conv_shape plain = lti_conv_without_epilogue(s);
    const lt_status status = lti_conv_select(dn, &plain, tune, choice);
    return status == LT_OK ? lti_conv_make(dn, finishes(choice) ? s : &plain, choice, k) : status;
}

// Bits that do not depend on the number of threads: the fixed rule, applied as for one thread. Our own kernels are like
// that by themselves.
static lt_status make_fixed(const lti_dn *dn, const lti_conv_shape *s, lti_choice *choice, lt_kernel *k)
{
    const lti_conv_shape plain = lti_conv_without_epilogue(s);
    lti_dn one = *dn;
    one.n_threads = 1;
    const lt_status status = lti_conv_select(&one, &plain, false, choice);
    if (status != LT_OK)
        return status;
    if (is_own(choice))
        return lti_conv_make(dn, finishes(choice) ? s : &plain, choice, k);
    return lti_batch_split_make(&one, dn->n_threads, &plain, k, choice);
}

static lti_conv_pass pass_of(const lt_bind_in *in)
{
    return in->op == &lt_op_conv2d ? LTI_CONV_FWD : in->op == &lt_op_conv2d_dx ? LTI_CONV_DX : LTI_CONV_DW;
}

static int x_arg(const lt_bind_in *in)
{
    return pass_of(in) == LTI_CONV_DX ? in->n_in : 0;
}

static int y_arg(const lt_bind_in *in)
{
    return pass_of(in) == LTI_CONV_FWD ? in->n_in : pass_of(in) == LTI_CONV_DX ? 0 : 1;
}

lti_conv_shape lti_conv_shape_of(const lt_bind_in *in)
{
    const lti_conv_pass pass = pass_of(in);
    const int w_at = pass == LTI_CONV_DW ? in->n_in : 1;
    const int64_t *x = in->arg[x_arg(in)].shape.dim, *w = in->arg[w_at].shape.dim, *y = in->arg[y_arg(in)].shape.dim;
    const bool plain = (in->flags & LT_PLAN_NO_LAYOUT) != 0;
    return (lti_conv_shape){
        .pass = pass,
        .n = x[0],
        .c = x[1],
        .h = x[2],
        .w = x[3],
        .k = w[0],
        .r = w[2],
        .s = w[3],
        .oh = y[2],
        .ow = y[3],
        .stride = in->attr->stride,
        .pad = in->attr->pad,
        .dilation = in->attr->dilation,
        .bias = pass == LTI_CONV_FWD && in->n_in >= 3,
        .relu = pass == LTI_CONV_FWD && in->attr->relu,
        .residual = pass != LTI_CONV_DW && in->n_in == 4,
        .mask = pass == LTI_CONV_DX && in->n_in >= 3,
        .masked = pass == LTI_CONV_DX && in->n_in == 4 && in->attr->masked,
        .constant = pass != LTI_CONV_DW && !in->train,
        .bf16 = (in->flags & LT_PLAN_BF16) != 0,
        .direct = (in->flags & LT_PLAN_NO_WINOGRAD) != 0,
        .own = (in->flags & LT_PLAN_OWN_WINOGRAD) != 0,
        .x_layout = plain || x[1] <= MAX_PLAIN_CHANNELS ? LT_LAYOUT_PLAIN : LT_LAYOUT_BLOCKED16,
        .y_layout = plain ? LT_LAYOUT_PLAIN : LT_LAYOUT_BLOCKED16,
    };
}

lt_status lti_bind_conv(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const lti_conv_shape s = lti_conv_shape_of(in);
    lti_choice choice;
    if (in->attr->groups > 1)
        return LT_E_UNSUPPORTED;
    const bool fixed = (in->flags & LT_PLAN_FIXED_ORDER) != 0, adds = lti_conv_1x1_applies_epilogue(dn, &s);
    const lt_status status = adds    ? make_point(dn, &s, &choice, k)
                             : fixed ? make_fixed(dn, &s, &choice, k)
                                     : make_fast(dn, &s, !(in->flags & LT_PLAN_NO_TUNE), &choice, k);
    if (status != LT_OK)
        return status;
    k->layout[x_arg(in)] = s.x_layout;
    k->layout[y_arg(in)] = s.y_layout;
    k->prepare_reads = 1u << 1; // the filter
    const lt_layout made = k->layout[in->n_in];
    for (int i = s.bias ? 3 : 2; i < in->n_in; i++) // mask and residual
        k->layout[i] = made;
    if ((s.residual || s.mask) && !adds && !finishes(&choice)) {
        const size_t bytes = lti_layout_bytes(&in->arg[in->n_in].shape, LT_F32, made);
        const lt_status finished = lti_conv_epilogue_make(dn, &s, bytes / sizeof(float), k);
        if (finished != LT_OK) {
            k->destroy(k);
            return finished;
        }
    }
    k->tuned_us = choice.us;
    snprintf(k->impl, sizeof k->impl, "%s %s%s%s", is_own(&choice) ? "blk16" : "onednn", choice.impl,
             choice.free_layout ? " +layout" : "", fixed && !is_own(&choice) ? " in parts" : "");
    snprintf(k->tuned, sizeof k->tuned, "%s", choice.log);
    return LT_OK;
}
