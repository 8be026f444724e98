// Ops against PyTorch: values and gradients of every differentiable builder, as a vector-Jacobian product with a given
// cotangent, in double on the reference backend (tests/golden/make_golden.py).
#include "model/golden.h"

enum { MAX_IN = 3 };

typedef struct op_case {
    const char *name;
    lt_val (*build)(lt_graph *g, const lt_val *in);
    lt_shape in[MAX_IN]; // n_dims 0 = no more
    bool train;
} op_case;

static lt_val conv(lt_graph *g, const lt_val *in, lt_val bias, int32_t stride, int32_t pad, lt_pad_mode mode)
{
    return lt_conv2d(g, in[0], in[1], bias, (lt_conv_attr){stride, pad, 1, mode, 1});
}
static lt_val conv_3x3(lt_graph *g, const lt_val *in)
{
    return conv(g, in, LT_NONE, 1, 1, LT_PAD_ZERO);
}
static lt_val conv_3x3_s2_bias(lt_graph *g, const lt_val *in)
{
    return conv(g, in, in[2], 2, 1, LT_PAD_ZERO);
}
static lt_val conv_1x1_s2(lt_graph *g, const lt_val *in)
{
    return conv(g, in, LT_NONE, 2, 0, LT_PAD_ZERO);
}
static lt_val conv_circular(lt_graph *g, const lt_val *in)
{
    return conv(g, in, LT_NONE, 1, 1, LT_PAD_CIRCULAR);
}
static lt_val conv_reflect(lt_graph *g, const lt_val *in)
{
    return conv(g, in, LT_NONE, 1, 1, LT_PAD_REFLECT);
}
static lt_val bn(lt_graph *g, const lt_val *in)
{
    lt_val mean = lt_state(g, "d", LT_SHAPE(6)), var = lt_state(g, "e", LT_SHAPE(6));
    return lt_batch_norm(g, in[0], (lt_bn_args){in[1], in[2], mean, var, 1e-5f, 0.1f});
}
static lt_val avg_pool(lt_graph *g, const lt_val *in)
{
    return lt_avg_pool2d(g, in[0], 3, 2);
}
static lt_val max_pool(lt_graph *g, const lt_val *in)
{
    return lt_max_pool2d(g, in[0], 2, 2);
}
static lt_val global_avg_pool(lt_graph *g, const lt_val *in)
{
    return lt_global_avg_pool(g, in[0]);
}
static lt_val linear(lt_graph *g, const lt_val *in)
{
    return lt_linear(g, in[0], in[1], in[2]);
}
static lt_val triple(lt_graph *g, const lt_val *in)
{
    return lt_scale(g, in[0], 3);
}
static lt_val labels(lt_graph *g)
{
    return lt_input(g, "y", LT_I32, LT_SHAPE(4));
}
static lt_val softmax(lt_graph *g, const lt_val *in)
{
    return lt_softmax(g, triple(g, in));
}
static lt_val cross_entropy(lt_graph *g, const lt_val *in)
{
    return lt_cross_entropy(g, triple(g, in), labels(g), 0);
}
static lt_val cross_entropy_smooth(lt_graph *g, const lt_val *in)
{
    return lt_cross_entropy(g, triple(g, in), labels(g), 0.125f);
}
static lt_val cross_entropy_soft(lt_graph *g, const lt_val *in)
{
    lt_val target = lt_input(g, "target", LT_F32, LT_SHAPE(4, 7));
    return lt_cross_entropy_soft(g, triple(g, in), softmax(g, &target));
}
static lt_val kl_div(lt_graph *g, const lt_val *in)
{
    lt_val target = lt_input(g, "target", LT_F32, LT_SHAPE(4, 7));
    return lt_kl_div(g, triple(g, in), triple(g, &target), 4);
}
static lt_val margin(lt_graph *g, const lt_val *in)
{
    return lt_margin_loss(g, in[0], labels(g));
}

// clang-format off
#define IMAGE {4, {2, 5, 9, 8}}
#define POOLED {4, {2, 3, 9, 8}}
#define ROWS {2, {4, 7}}
static op_case cases[] = {
    {"conv_3x3",             conv_3x3,             {IMAGE, {4, {6, 5, 3, 3}}}, false},
    {"conv_3x3_s2_bias",     conv_3x3_s2_bias,     {IMAGE, {4, {6, 5, 3, 3}}, {1, {6}}}, false},
    {"conv_1x1_s2",          conv_1x1_s2,          {IMAGE, {4, {6, 5, 1, 1}}}, false},
    {"conv_circular",        conv_circular,        {IMAGE, {4, {6, 5, 3, 3}}}, false},
    {"conv_reflect",         conv_reflect,         {IMAGE, {4, {6, 5, 3, 3}}}, false},
    {"bn_train",             bn,                   {{4, {3, 6, 4, 5}}, {1, {6}}, {1, {6}}}, true},
    {"bn_eval",              bn,                   {{4, {3, 6, 4, 5}}, {1, {6}}, {1, {6}}}, false},
    {"avg_pool",             avg_pool,             {POOLED}, false},
    {"max_pool",             max_pool,             {POOLED}, false},
    {"global_avg_pool",      global_avg_pool,      {POOLED}, false},
    {"linear",               linear,               {{2, {4, 5}}, {2, {7, 5}}, {1, {7}}}, false},
    {"softmax",              softmax,              {ROWS}, false},
    {"cross_entropy",        cross_entropy,        {ROWS}, false},
    {"cross_entropy_smooth", cross_entropy_smooth, {ROWS}, false},
    {"cross_entropy_soft",   cross_entropy_soft,   {ROWS}, false},
    {"kl_div",               kl_div,               {ROWS}, false},
    {"margin",               margin,               {ROWS}, false},
};
// clang-format on
enum { N_CASES = sizeof cases / sizeof cases[0] };

static int64_t count(const lt_graph *g, lt_val v)
{
    lt_value_info info;
    int64_t n = 1;
    assert_ok(lt_graph_value(g, v, &info));
    for (int i = 0; i < info.shape.n_dims; i++)
        n *= info.shape.dim[i];
    return n;
}

static void put_input(lt_plan *plan, const lt_graph *g, const char *name)
{
    lt_val v = lt_graph_find(g, name);
    void *data = v == LT_NONE ? NULL : lt_plan_buffer(plan, v);
    for (int64_t i = 0; data && i < count(g, v); i++) {
        if (strcmp(name, "y") == 0)
            ((int32_t *)data)[i] = (int32_t)(golden_u(name, i) * 7);
        else
            ((double *)data)[i] = (double)golden_value(name, i, -1, 1);
    }
}

static void compare(lt_tensor_file *file, const char *op, const char *leaf, const double *got, int64_t n)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", op, leaf);
    const lt_tensor *want = lt_tensor_file_find(file, key);
    if (!want)
        fail_msg("no golden tensor %s", key);
    golden_compare(key, (golden_array){got, true, n}, golden_tensor(want), 1e-12, 0);
}

static void test_op(void **state)
{
    const op_case *c = *state;
    static const char *const names[MAX_IN] = {"a", "b", "c"};
    lt_tensor_file *file = golden_open("ops");
    lt_backend *backend = NULL;
    lt_graph *g = NULL;
    lt_plan *plan = NULL;
    lt_val in[MAX_IN];
    int n_in = 0;
    assert_ok(lt_backend_create("ref", 1, &backend));
    assert_ok(lt_graph_create(&g));
    for (; n_in < MAX_IN && c->in[n_in].n_dims; n_in++)
        in[n_in] = lt_param(g, names[n_in], c->in[n_in]);
    lt_val y = c->build(g, in);
    assert_ok(lt_graph_status(g));
    lt_value_info info;
    assert_ok(lt_graph_value(g, y, &info));
    lt_val seed = lt_input(g, "seed", LT_F32, info.shape);
    lt_plan_spec spec = {.outs = &y,
                         .n_outs = 1,
                         .grad_of = y,
                         .seed = seed,
                         .wrt = in,
                         .n_wrt = n_in,
                         .batch = 1,
                         .train = c->train,
                         .dtype = LT_F64};
    assert_ok(lt_plan_create(g, &spec, backend, &plan));

    double *params = calloc((size_t)lt_graph_n_params(g), sizeof *params), statistics[12];
    for (int i = 0; i < n_in; i++) {
        assert_ok(lt_graph_value(g, in[i], &info));
        for (int64_t j = 0; j < count(g, in[i]); j++)
            params[info.slab_offset + j] = (double)golden_value(names[i], j, -1, 1);
    }
    for (int64_t i = 0; i < 12; i++)
        statistics[i] = (double)golden_value(i < 6 ? "d" : "e", i % 6, 0.5, 1.5);
    assert_ok(lt_plan_bind(plan, params, statistics, NULL));
    put_input(plan, g, "seed");
    put_input(plan, g, "y");
    put_input(plan, g, "target");
    assert_ok(lt_plan_run(plan));

    compare(file, c->name, "y", lt_plan_buffer(plan, y), count(g, y));
    for (int i = 0; i < n_in; i++) {
        const char leaf[] = {'d', names[i][0], 0};
        compare(file, c->name, leaf, lt_plan_grad(plan, i), count(g, in[i]));
    }
    free(params);
    lt_plan_destroy(plan);
    lt_graph_destroy(g);
    lt_backend_destroy(backend);
    lt_tensor_file_close(file);
}

int main(void)
{
    static struct CMUnitTest tests[N_CASES];
    for (size_t i = 0; i < N_CASES; i++)
        tests[i] = (struct CMUnitTest){cases[i].name, test_op, NULL, NULL, &cases[i]};
    return _cmocka_run_group_tests("golden ops", tests, N_CASES, NULL, NULL);
}
