// test_graph.c - building graphs: shapes, names, sticky errors, copies.
#include "graph/nets.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static lt_graph *new_graph(void)
{
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    return g;
}

static void assert_shape(const lt_graph *g, lt_val v, lt_shape expected)
{
    lt_value_info info;
    if (lt_graph_value(g, v, &info) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
    char a[LTI_SHAPE_TEXT], b[LTI_SHAPE_TEXT];
    assert_string_equal(lti_shape_text(&info.shape, a), lti_shape_text(&expected, b));
}

static void shapes_are_inferred(void **state)
{
    (void)state;
    lt_graph *g = new_graph();
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 3, 9, 8)), w = lt_param(g, "w", LT_SHAPE(5, 3, 3, 3));
    assert_shape(g, lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 2, .pad = 1}), LT_SHAPE(LT_BATCH, 5, 5, 4));
    assert_shape(g, lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){2, 1, 1, LT_PAD_CIRCULAR, 1}),
                 LT_SHAPE(LT_BATCH, 5, 5, 4));
    assert_shape(g, lt_pad2d(g, x, 2, LT_PAD_REFLECT), LT_SHAPE(LT_BATCH, 3, 13, 12));
    assert_shape(g, lt_avg_pool2d(g, x, 2, 2), LT_SHAPE(LT_BATCH, 3, 4, 4));
    assert_shape(g, lt_max_pool2d(g, x, 3, 2), LT_SHAPE(LT_BATCH, 3, 4, 3));
    lt_val flat = lt_flatten(g, x), pooled = lt_global_avg_pool(g, x);
    assert_shape(g, flat, LT_SHAPE(LT_BATCH, 216));
    assert_shape(g, lt_flatten(g, pooled), LT_SHAPE(LT_BATCH, 3));
    lt_val z = lt_linear(g, pooled, lt_param(g, "fc", LT_SHAPE(10, 3)), LT_NONE);
    assert_shape(g, z, LT_SHAPE(LT_BATCH, 10));
    lt_val labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    lt_val weight = lt_input(g, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    assert_shape(g, lt_cross_entropy(g, z, labels, 0), LT_SHAPE(LT_BATCH));
    assert_shape(g, lt_cross_entropy_soft(g, z, lt_softmax(g, z)), LT_SHAPE(LT_BATCH));
    assert_shape(g, lt_kl_div(g, z, z, 2), LT_SHAPE(LT_BATCH));
    assert_shape(g, lt_weighted_sum(g, lt_margin_loss(g, z, labels), weight), LT_SHAPE(1));
    assert_int_equal(lt_graph_status(g), LT_OK);
    lt_graph_destroy(g);
}

static void slabs_have_no_gaps(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    int64_t params = 0, in_state = 0;
    for (lt_val v = 0; v < lt_graph_n_values(n.g); v++) {
        lt_value_info info;
        assert_int_equal(lt_graph_value(n.g, v, &info), LT_OK);
        if (info.role == LT_ROLE_PARAM || info.role == LT_ROLE_STATE) {
            int64_t *at = info.role == LT_ROLE_PARAM ? &params : &in_state;
            assert_int_equal(info.slab_offset, *at);
            *at += lti_shape_count(&info.shape);
            assert_int_equal(lt_graph_find(n.g, info.name), v);
        } else {
            assert_int_equal(info.slab_offset, -1);
        }
    }
    assert_int_equal(params, lt_graph_n_params(n.g));
    assert_int_equal(in_state, lt_graph_n_state(n.g));
    assert_int_equal(lt_graph_find(n.g, "nothing"), LT_NONE);
    assert_int_equal(lt_graph_find(n.g, ""), LT_NONE);
    lt_value_info info;
    assert_int_equal(lt_graph_value(n.g, LT_NONE, &info), LT_E_USAGE);
    lt_graph_destroy(n.g);
}

// Each row builds one thing that cannot be; the message must name what is wrong.
static lt_val wrong(lt_graph *g, int i)
{
    static const float one[3] = {1, 1, 1}, negative[3] = {1, -1, 1};
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 3, 4, 4)), v = lt_param(g, "v", LT_SHAPE(3));
    lt_val w = lt_param(g, "w", LT_SHAPE(5, 3, 3, 3)), z = lt_global_avg_pool(g, x), s = lt_state(g, "s", LT_SHAPE(3));
    lt_val labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH)),
           rows = lt_input(g, "rows", LT_F32, LT_SHAPE(LT_BATCH));
    lt_bn_args bn = {v, v, s, s, 1e-5f, 0.1f};
    switch (i) {
    case 0:
        return lt_conv2d(g, x, v, LT_NONE, (lt_conv_attr){.stride = 1});
    case 1:
        return lt_conv2d(g, z, w, LT_NONE, (lt_conv_attr){.stride = 1});
    case 2:
        return lt_conv2d(g, x, w, v, (lt_conv_attr){.stride = 1});
    case 3:
        return lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 0});
    case 4:
        return lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 1, .groups = 3});
    case 5:
        return lt_conv2d(g, x, lt_param(g, "big", LT_SHAPE(1, 3, 7, 7)), LT_NONE,
                         (lt_conv_attr){.stride = 1, .pad = 1});
    case 6:
        return lt_conv2d(g, x, lt_param(g, "two", LT_SHAPE(1, 2, 3, 3)), LT_NONE, (lt_conv_attr){.stride = 1});
    case 7:
        return lt_pad2d(g, x, 5, LT_PAD_CIRCULAR);
    case 8:
        return lt_pad2d(g, x, 4, LT_PAD_REFLECT);
    case 9:
        bn.gamma = w;
        return lt_batch_norm(g, x, bn);
    case 10:
        bn.running_var = v;
        return lt_batch_norm(g, x, bn);
    case 11:
        bn.eps = 0;
        return lt_batch_norm(g, x, bn);
    case 12:
        return lt_add(g, x, z);
    case 13:
        return lt_relu(g, labels);
    case 14:
        return lt_normalize(g, x, one, negative);
    case 15:
        return lt_normalize(g, z, one, one);
    case 16:
        return lt_avg_pool2d(g, x, 5, 1);
    case 17:
        return lt_max_pool2d(g, x, 2, 0);
    case 18:
        return lt_linear(g, z, lt_param(g, "fc", LT_SHAPE(2, 4)), LT_NONE);
    case 19:
        return lt_cross_entropy(g, z, rows, 0);
    case 20:
        return lt_cross_entropy(g, z, labels, 1);
    case 21:
        return lt_kl_div(g, z, z, 0);
    case 22:
        return lt_cross_entropy_soft(g, z, x);
    case 23:
        return lt_weighted_sum(g, z, rows);
    case 24:
        return lt_dot(g, x, z);
    case 25:
        return lt_param(g, "w", LT_SHAPE(1));
    case 26:
        return lt_param(g, "batched", LT_SHAPE(LT_BATCH));
    case 27:
        return lt_input(g, "bytes", LT_U8, LT_SHAPE(1));
    case 28:
        return lt_input(g, "empty", LT_F32, LT_SHAPE(0));
    case 29:
        return lt_input(g, "inner", LT_F32, LT_SHAPE(2, LT_BATCH));
    case 30:
        return lt_param(g, "huge", LT_SHAPE(INT64_MAX / 8, 1024));
    case 31:
        return lt_relu(g, 1234);
    case 32:
        return lt_relu(g, LT_NONE);
    case 33:
        return lt_margin_loss(g, lt_linear(g, z, lt_param(g, "one", LT_SHAPE(1, 3)), LT_NONE), labels);
    case 34:
        return lt_input(g, "flat", LT_F32, (lt_shape){.n_dims = 5});
    }
    return 0;
}

static void errors_are_sticky(void **state)
{
    (void)state;
    int n = 0;
    for (;; n++) {
        lt_graph *g = new_graph();
        lt_val y = wrong(g, n);
        if (y == 0) {
            lt_graph_destroy(g);
            break;
        }
        lt_status status = lt_graph_status(g);
        if (y != LT_NONE || (status != LT_E_SHAPE && status != LT_E_USAGE && status != LT_E_UNSUPPORTED))
            fail_msg("case %d: value %d, status %s", n, (int)y, lt_status_text(status));
        char first[LT_ERROR_MESSAGE_MAX];
        snprintf(first, sizeof first, "%s", lt_error_get()->message);
        assert_true(strlen(first) > 10);
        // every later builder returns LT_NONE and the first error stays
        assert_int_equal(lt_relu(g, 0), LT_NONE);
        assert_int_equal(lt_input(g, "later", LT_F32, LT_SHAPE(1)), LT_NONE);
        assert_int_equal(lt_flatten(g, 0), LT_NONE);
        lt_error_clear();
        assert_int_equal(lt_graph_status(g), status);
        assert_string_equal(lt_error_get()->message, first);
        lt_graph *copy;
        assert_int_equal(lt_graph_dup(g, &copy), LT_OK);
        assert_int_equal(lt_graph_status(copy), status);
        lt_graph_destroy(copy);
        lt_graph_destroy(g);
    }
    assert_int_equal(n, 35);
}

static void messages_say_what_was_expected(void **state)
{
    (void)state;
    lt_graph *g = new_graph();
    lt_val x = lt_input(g, "image", LT_F32, LT_SHAPE(LT_BATCH, 3, 4, 4)),
           w = lt_param(g, "conv1.weight", LT_SHAPE(5, 2, 3, 3));
    lt_conv2d(g, x, w, LT_NONE, (lt_conv_attr){.stride = 1});
    assert_int_equal(lt_graph_status(g), LT_E_SHAPE);
    assert_string_equal(lt_error_get()->message, "conv2d: x has 3 channels, w expects 2");
    assert_string_equal(lt_error_get()->hint, "inputs: image (N,3,4,4), conv1.weight (5,2,3,3)");
    lt_graph_destroy(g);
    lt_graph_destroy(NULL);
}

// A copy is a graph of its own: growing it leaves the original alone, and it outlives it.
static void copies_are_independent(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_graph *copy;
    int32_t before = lt_graph_n_values(n.g);
    assert_int_equal(lt_graph_dup(n.g, &copy), LT_OK);
    lt_val more = lt_scale(copy, n.logits, 2);
    lt_param(copy, "more", LT_SHAPE(7));
    assert_int_equal(lt_graph_n_values(n.g), before);
    assert_int_equal(lt_graph_n_params(copy), lt_graph_n_params(n.g) + 7);
    lt_graph_destroy(n.g);
    n.g = copy;
    lt_backend *ref;
    assert_int_equal(lt_backend_create("ref", 1, &ref), LT_OK);
    lt_plan_spec spec = {
        .outs = (lt_val[]){n.logits, more}, .n_outs = 2, .grad_of = LT_NONE, .batch = 1, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(copy, &spec, ref, &r), LT_OK);
    net_fill(&n, &r, 1);
    lt_graph_destroy(copy); // plans keep what they need
    r.g = NULL;
    assert_int_equal(lt_plan_run(r.plan), LT_OK);
    const float *a = lt_plan_buffer(r.plan, n.logits), *b = lt_plan_buffer(r.plan, more);
    for (int i = 0; i < 5; i++)
        assert_true(b[i] == 2 * a[i] && a[i] != 0);
    op_run_close(&r);
    lt_backend_destroy(ref);
}

static void names_and_second_computations(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_value_info a;
    assert_int_equal(lt_graph_value(n.g, n.x, &a), LT_OK);
    const lt_val x2 = lt_input(n.g, "x2", LT_F32, a.shape);
    const int64_t n_params = lt_graph_n_params(n.g);
    const lt_val again = lt_graph_clone_subgraph(n.g, n.logits, n.x, x2);
    assert_int_equal(lt_graph_status(n.g), LT_OK);
    assert_true(again != n.logits && again != LT_NONE);
    assert_int_equal(lt_graph_n_params(n.g), n_params);                // parameters are shared
    assert_int_equal(lt_graph_clone_subgraph(n.g, n.x, x2, n.x), n.x); // does not depend on it
    assert_int_equal(lt_name(n.g, again, "second"), again);
    assert_int_equal(lt_graph_find(n.g, "second"), again);
    lt_backend *ref;
    assert_int_equal(lt_backend_create("ref", 1, &ref), LT_OK);
    lt_plan_spec spec = {
        .outs = (lt_val[]){n.logits, again}, .n_outs = 2, .grad_of = LT_NONE, .batch = 2, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(n.g, &spec, ref, &r), LT_OK);
    net_fill(&n, &r, 2);
    const int64_t per = 2 * a.shape.dim[1] * a.shape.dim[2] * a.shape.dim[3];
    float *to = lt_plan_buffer(r.plan, x2), *from = lt_plan_buffer(r.plan, n.x);
    memcpy(to, from, (size_t)per * sizeof *to);
    assert_int_equal(lt_plan_run(r.plan), LT_OK);
    const float *y = lt_plan_buffer(r.plan, n.logits), *z = lt_plan_buffer(r.plan, again);
    for (int i = 0; i < 10; i++)
        assert_true(y[i] == z[i] && y[i] != 0);
    to[0] += 5;
    assert_int_equal(lt_plan_run(r.plan), LT_OK);
    assert_true(y[0] != z[0] && y[5] == z[5]); // only the sample that differs
    op_run_close(&r);
    lt_backend_destroy(ref);
    assert_int_equal(lt_name(n.g, again, "third"), LT_NONE); // has one
    assert_int_equal(lt_graph_status(n.g), LT_E_USAGE);
    lt_graph_destroy(n.g);
    lt_graph *g = new_graph();
    const lt_val two = lt_input(g, "a", LT_F32, LT_SHAPE(LT_BATCH, 2)),
                 three = lt_input(g, "b", LT_F32, LT_SHAPE(LT_BATCH, 3));
    assert_int_equal(lt_graph_clone_subgraph(g, two, two, three), LT_NONE);
    assert_int_equal(lt_graph_status(g), LT_E_SHAPE);
    lt_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_inferred),    cmocka_unit_test(slabs_have_no_gaps),
        cmocka_unit_test(errors_are_sticky),      cmocka_unit_test(messages_say_what_was_expected),
        cmocka_unit_test(copies_are_independent), cmocka_unit_test(names_and_second_computations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
