// test_layout.c - a backend made for the test: blocked layouts, prepared weights, scratch, kernels it does not have.
//
// It wraps the reference kernels: images are wanted and made in blocks, unpacked into scratch, computed plainly and
// packed again. Which ops it takes is a bit mask, so that plans mix both layouts in many ways; results must not change.
#include "graph/nets.h"
#include "graph/plan_impl.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

typedef struct wrapped {
    lt_kernel inner;
    lt_arg arg[LT_KERNEL_MAX_ARGS];
    int n_in, n_args, weight; // weight: argument prepared, -1 = none
    size_t offset[LT_KERNEL_MAX_ARGS];
} wrapped;

static struct {
    uint32_t take;   // bit hash(op) set: this op is bound here
    int n_prepared;  // calls of prepare
    int n_bad_tails; // blocked inputs whose channel tail was not zero
} mock;

static bool blocked(const wrapped *w, int i)
{
    return w->arg[i].shape.n_dims == 4 && i != w->weight && w->arg[i].role != LT_ROLE_PARAM;
}

static void check_tail(const lt_shape *s, const float *data)
{
    int64_t blocks = (s->dim[1] + 15) / 16, plane = s->dim[2] * s->dim[3];
    for (int64_t i = 0; i < s->dim[0] * blocks * plane * 16; i++)
        if (i / (plane * 16) % blocks * 16 + i % 16 >= s->dim[1])
            mock.n_bad_tails += data[i] != 0;
}

static lt_status wrapped_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const wrapped *w = k->data;
    void *plain[LT_KERNEL_MAX_ARGS];
    char *room = scratch;
    for (int i = 0; i < w->n_args; i++) {
        plain[i] = i == w->weight ? k->prepared : blocked(w, i) ? room + w->offset[i] : arg[i];
        if (i < w->n_in && blocked(w, i)) {
            check_tail(&w->arg[i].shape, arg[i]);
            lti_reorder(&w->arg[i].shape, 4, LT_LAYOUT_BLOCKED16, arg[i], LT_LAYOUT_PLAIN, plain[i]);
        }
    }
    LT_TRY(w->inner.run(&w->inner, plain, room + w->offset[w->n_args - 1] + (1 << 16)));
    for (int i = w->n_in; i < w->n_args; i++)
        if (blocked(w, i))
            lti_reorder(&w->arg[i].shape, 4, LT_LAYOUT_PLAIN, plain[i], LT_LAYOUT_BLOCKED16, arg[i]);
    return LT_OK;
}

static lt_status wrapped_prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    const wrapped *w = k->data;
    mock.n_prepared++;
    memcpy(prepared, arg[w->weight], k->prepared_bytes);
    return LT_OK;
}

static void wrapped_destroy(lt_kernel *k)
{
    wrapped *w = k->data;
    w->inner.destroy(&w->inner);
    lti_free(w);
}

static unsigned op_bit(const lt_op *op)
{
    unsigned h = 5381;
    for (const char *p = op->name; *p; p++)
        h = h * 33 + (unsigned char)*p;
    return h % 32;
}

static lt_status mock_bind(lt_backend *b, const lt_bind_in *in, lt_kernel *k)
{
    (void)b;
    if (!(mock.take >> op_bit(in->op) & 1) || (in->flags & LT_PLAN_NO_LAYOUT))
        return LT_E_UNSUPPORTED;
    wrapped *w = lti_calloc(1, sizeof *w);
    if (!w)
        return LTI_NOMEM("mock kernel");
    lt_status status = lti_ref_bind(in, &w->inner);
    if (status != LT_OK) {
        lti_free(w);
        return status;
    }
    w->n_in = in->n_in;
    w->n_args = in->n_in + in->n_out;
    memcpy(w->arg, in->arg, (size_t)w->n_args * sizeof *w->arg);
    w->weight = in->op == &lt_op_conv2d || in->op == &lt_op_conv2d_dx ? 1 : -1;
    *k = (lt_kernel){.run = wrapped_run, .destroy = wrapped_destroy, .data = w, .impl = "mock"};
    for (int i = 0; i < w->n_args; i++) {
        w->offset[i] = k->scratch_bytes;
        k->layout[i] = blocked(w, i) ? LT_LAYOUT_BLOCKED16 : LT_LAYOUT_PLAIN;
        k->scratch_bytes += (lti_layout_bytes(&w->arg[i].shape, LT_F32, LT_LAYOUT_PLAIN) + 63) / 64 * 64;
    }
    k->scratch_bytes += (1 << 16) + w->inner.scratch_bytes;
    if (w->weight >= 0) {
        k->prepare = wrapped_prepare;
        k->prepared_bytes = lti_layout_bytes(&w->arg[w->weight].shape, LT_F32, LT_LAYOUT_PLAIN);
        k->prepare_reads = 1u << w->weight;
    }
    return LT_OK;
}

static const lt_backend_ops mock_ops = {.name = "mock", .title = "test", .bind = mock_bind};
static lt_backend backend = {.ops = &mock_ops, .fallback = lti_ref_bind, .n_threads = 1};

static void append(float **all, int64_t *n, const void *data, int64_t count)
{
    *all = realloc(*all, (size_t)(*n + count) * sizeof **all);
    memcpy(*all + *n, data, (size_t)count * sizeof **all);
    *n += count;
}

static float *run_net(const small_net *n, bool train, unsigned flags, int64_t *count, lt_plan_stats *stats)
{
    const lt_val outs[] = {n->loss, n->block, n->stem}, wrt[] = {n->x, n->block};
    lt_plan_spec spec = {.outs = outs,
                         .n_outs = 3,
                         .grad_of = n->loss,
                         .seed = LT_NONE,
                         .wrt = wrt,
                         .n_wrt = 2,
                         .wrt_params = train,
                         .batch = 3,
                         .train = train,
                         .dtype = LT_F32,
                         .flags = flags};
    op_run r;
    if (op_run_open(n->g, &spec, &backend, &r) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
    net_fill(n, &r, 3);
    float *all = NULL;
    *count = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
        append(&all, count, lt_plan_buffer(r.plan, n->block), 3 * 8 * 16);
        append(&all, count, lt_plan_buffer(r.plan, n->stem), 3 * 6 * 64);
        append(&all, count, lt_plan_grad(r.plan, 0), 3 * 3 * 64);
        append(&all, count, lt_plan_grad(r.plan, 1), 3 * 8 * 16);
        append(&all, count, r.state, lt_graph_n_state(n->g));
        if (train)
            append(&all, count, r.grads, lt_graph_n_params(n->g));
    }
    *stats = lt_plan_get_stats(r.plan);
    op_run_close(&r);
    return all;
}

static void mixed_layouts_keep_the_numbers(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    for (int train = 0; train < 2; train++) {
        int64_t n_plain, n_mixed;
        lt_plan_stats stats;
        mock.take = 0;
        float *plain = run_net(&n, train, 0, &n_plain, &stats);
        assert_int_equal(stats.n_reorders, 0);
        assert_int_equal(stats.n_ref_fallbacks, stats.n_kernels);
        for (uint32_t i = 0; i < 24; i++) {
            lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, 0, i);
            mock.take = i == 0 ? UINT32_MAX : lt_rng_u32(&rng) | lt_rng_u32(&rng);
            mock.n_bad_tails = 0;
            float *mixed = run_net(&n, train, i % 2 ? LT_PLAN_NO_REUSE : 0, &n_mixed, &stats);
            assert_int_equal(n_mixed, n_plain);
            for (int64_t j = 0; j < n_plain; j++) // the same kernels on the same numbers: equal to the bit
                if (mixed[j] != plain[j])
                    fail_msg("train %d, mask %u: element %lld is %g, expected %g", train, i, (long long)j,
                             (double)mixed[j], (double)plain[j]);
            assert_int_equal(mock.n_bad_tails, 0);
            if (i == 0)
                assert_int_equal(stats.n_ref_fallbacks, 0);
            free(mixed);
        }
        free(plain);
    }
    lt_graph_destroy(n.g);
}

// The input of two convolutions is reordered once; an output that is blocked is copied out once.
static void reorders_are_shared(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 3, 4, 4)), w = lt_param(g, "w", LT_SHAPE(3, 3, 1, 1));
    lt_val v = lt_param(g, "v", LT_SHAPE(3, 3, 3, 3));
    lt_val a = lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 1});
    lt_val b = lt_conv2d(g, x, v, LT_NONE, (lt_conv_attr){.stride = 1, .pad = 1});
    lt_val y = lt_add(g, a, b);
    mock.take = UINT32_MAX;
    lt_plan_spec spec = {.outs = &y, .n_outs = 1, .grad_of = LT_NONE, .batch = 2, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, &backend, &r), LT_OK);
    lt_plan_stats stats = lt_plan_get_stats(r.plan);
    assert_int_equal(stats.n_kernels, 3);
    assert_int_equal(stats.n_reorders, 2);
    char *dump = lt_plan_dump(r.plan);
    assert_non_null(strstr(dump, "[reorder] x(2,3,4,4) ->"));
    assert_non_null(strstr(dump, ":blk16"));
    free(dump);
    op_run_close(&r);
    spec.flags = LT_PLAN_NO_LAYOUT;
    assert_int_equal(op_run_open(g, &spec, &backend, &r), LT_OK);
    dump = lt_plan_dump(r.plan);
    assert_non_null(strstr(dump, "REF-FALLBACK"));
    assert_non_null(strstr(dump, "passes off: layout"));
    free(dump);
    op_run_close(&r);
    lt_graph_destroy(g);
}

// Weights are prepared when they may have changed: first run, marked, rebound, and in training always.
static void weights_are_prepared_when_they_change(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    mock.take = 1u << op_bit(&lt_op_conv2d);
    lt_plan_spec spec = {.outs = &n.loss, .n_outs = 1, .grad_of = LT_NONE, .batch = 2, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(n.g, &spec, &backend, &r), LT_OK);
    net_fill(&n, &r, 2);
    mock.n_prepared = 0;
    static const int expected[] = {6, 6, 12, 18};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
        assert_int_equal(mock.n_prepared, expected[i]);
        if (i == 1)
            lt_plan_params_changed(r.plan);
        if (i == 2)
            assert_int_equal(lt_plan_bind(r.plan, r.params, r.state, NULL), LT_OK);
    }
    op_run_close(&r);
    spec.train = true;
    assert_int_equal(op_run_open(n.g, &spec, &backend, &r), LT_OK);
    net_fill(&n, &r, 2);
    mock.n_prepared = 0;
    for (int i = 1; i < 4; i++) {
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
        assert_int_equal(mock.n_prepared, 6 * i);
    }
    op_run_close(&r);
    lt_graph_destroy(n.g);
}

// A convolution with a filter that is computed from the input: prepared before every run.
static void computed_weights_are_prepared_every_time(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(1, 1, 2, 2)), w = lt_input(g, "w", LT_F32, LT_SHAPE(1, 1, 1, 1));
    lt_val y = lt_conv2d(g, x, lt_scale(g, w, 2), LT_NONE, (lt_conv_attr){.stride = 1});
    mock.take = 1u << op_bit(&lt_op_conv2d);
    lt_plan_spec spec = {.outs = &y, .n_outs = 1, .grad_of = LT_NONE, .batch = 1, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, &backend, &r), LT_OK);
    op_set(&r, x, (double[]){1, 2, 3, 4});
    for (int i = 1; i < 4; i++) {
        op_set(&r, w, (double[]){i});
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
        assert_true(((float *)lt_plan_buffer(r.plan, y))[3] == (float)(8 * i));
    }
    op_run_close(&r);
    lt_graph_destroy(g);
}

// In training, parameters change with every step and nobody says so: even a kernel whose only other input is a literal
// prepares them again.
static void training_prepares_every_time(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lti_const(g, LT_SHAPE(1, 1, 2, 2), LT_F32, 2), w = lt_param(g, "w", LT_SHAPE(1, 1, 1, 1));
    lt_val y = lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 1});
    mock.take = 1u << op_bit(&lt_op_conv2d);
    lt_plan_spec spec = {.outs = &y, .n_outs = 1, .grad_of = LT_NONE, .batch = 1, .train = true, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, &backend, &r), LT_OK);
    for (int i = 1; i < 4; i++) {
        *(float *)r.params = (float)i;
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
        assert_true(((float *)lt_plan_buffer(r.plan, y))[3] == (float)(2 * i));
    }
    op_run_close(&r);
    lt_graph_destroy(g);
}

// plain -> blocked -> plain for whole and partial blocks, both element sizes.
static void reorders_round_trip(void **state)
{
    (void)state;
    static const lt_shape shapes[] = {{4, {2, 16, 3, 3}}, {4, {1, 3, 2, 5}}, {4, {3, 33, 1, 2}}};
    for (size_t i = 0; i < 3; i++)
        for (size_t elem = 4; elem <= 8; elem += 4) {
            lt_dtype dtype = elem == 4 ? LT_F32 : LT_F64;
            size_t n = lti_layout_bytes(&shapes[i], dtype, LT_LAYOUT_PLAIN);
            size_t n_blocked = lti_layout_bytes(&shapes[i], dtype, LT_LAYOUT_BLOCKED16);
            unsigned char *a = malloc(n), *b = malloc(n_blocked), *c = malloc(n);
            for (size_t j = 0; j < n; j++)
                a[j] = (unsigned char)(j * 7 + j / 251);
            memset(b, 0xee, n_blocked);
            lti_reorder(&shapes[i], elem, LT_LAYOUT_PLAIN, a, LT_LAYOUT_BLOCKED16, b);
            lti_reorder(&shapes[i], elem, LT_LAYOUT_BLOCKED16, b, LT_LAYOUT_PLAIN, c);
            assert_memory_equal(a, c, n);
            const int64_t *d = shapes[i].dim;
            for (int64_t at = 0; at < (int64_t)(n_blocked / elem); at++) { // element by element: (n, c/16, h, w, c%16)
                int64_t ch = at / (16 * d[2] * d[3]) % ((d[1] + 15) / 16) * 16 + at % 16, hw = at / 16 % (d[2] * d[3]);
                int64_t img = at / (16 * d[2] * d[3] * ((d[1] + 15) / 16));
                static const unsigned char zero[8];
                const unsigned char *want =
                    ch < d[1] ? a + (size_t)((img * d[1] + ch) * d[2] * d[3] + hw) * elem : zero;
                assert_memory_equal(b + (size_t)at * elem, want, elem);
            }
            free(a);
            free(b);
            free(c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixed_layouts_keep_the_numbers),
        cmocka_unit_test(reorders_are_shared),
        cmocka_unit_test(weights_are_prepared_when_they_change),
        cmocka_unit_test(computed_weights_are_prepared_every_time),
        cmocka_unit_test(training_prepares_every_time),
        cmocka_unit_test(reorders_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
