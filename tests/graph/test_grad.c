// test_grad.c - the gradient pass: sums of uses, seeds, values in the middle, second derivatives, refusals.
#include "graph/ref_nets.h"

// s = <x, x> + <x, c> + sum of 3x: x is used four times, twice by one node.
static void uses_add_up(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(3)), c = lt_input(g, "c", LT_F32, LT_SHAPE(3));
    lt_val s = lt_add(g, lt_dot(g, x, x), lt_dot(g, lt_add(g, lt_add(g, x, x), x), c));
    lt_plan_spec spec = {.outs = &s,
                         .n_outs = 1,
                         .grad_of = s,
                         .seed = LT_NONE,
                         .wrt = (lt_val[]){x, c, x},
                         .n_wrt = 3,
                         .batch = 1,
                         .dtype = LT_F64};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    op_set(&r, x, (double[]){1, 2, 3});
    op_set(&r, c, (double[]){10, 20, 30});
    run(&r);
    double value;
    op_get(&r, s, &value);
    assert_true(value == 14 + 3 * 140);
    const double *dx = lt_plan_grad(r.plan, 0), *dc = lt_plan_grad(r.plan, 1), *again = lt_plan_grad(r.plan, 2);
    for (int i = 0; i < 3; i++) {
        assert_true(dx[i] == 2 * (i + 1) + 30 * (i + 1) && dx[i] == again[i]);
        assert_true(dc[i] == 3 * (i + 1));
    }
    assert_null(lt_plan_grad(r.plan, 3));
    op_run_close(&r);
    lt_graph_destroy(g);
}

// The gradient of a value with respect to itself is the seed; what it does not depend on gets zeros.
static void trivial_gradients(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(2)), other = lt_input(g, "other", LT_F32, LT_SHAPE(4));
    lt_val u = lt_input(g, "u", LT_F32, LT_SHAPE(2)), y = lt_scale(g, x, 2);
    lt_plan_spec spec = {
        .grad_of = y, .seed = u, .wrt = (lt_val[]){y, x, other, u}, .n_wrt = 4, .batch = 1, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    op_set(&r, u, (double[]){5, 7});
    run(&r);
    const float *dy = lt_plan_grad(r.plan, 0), *dx = lt_plan_grad(r.plan, 1), *d_other = lt_plan_grad(r.plan, 2);
    assert_true(dy[0] == 5 && dy[1] == 7 && dx[0] == 10 && dx[1] == 14);
    for (int i = 0; i < 4; i++)
        assert_true(d_other[i] == 0);
    assert_true(((float *)lt_plan_grad(r.plan, 3))[1] == 0);
    assert_int_equal(lt_plan_get_stats(r.plan).n_kernels, 1); // y itself is not computed
    op_run_close(&r);
    lt_graph_destroy(g);
}

// J' u of a part of a network, and <J v, u> = <v, J' u> through finite differences of the forward part.
static void seeds_give_vector_jacobian_products(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_val u = lt_input(n.g, "u", LT_F32, LT_SHAPE(LT_BATCH, 8, 4, 4));
    assert_int_equal(lt_graph_status(n.g), LT_OK);
    lt_plan_spec spec = {.outs = &n.block,
                         .n_outs = 1,
                         .grad_of = n.block,
                         .seed = u,
                         .wrt = &n.stem,
                         .n_wrt = 1,
                         .batch = 2,
                         .dtype = LT_F64};
    op_run vjp;
    assert_int_equal(op_run_open(n.g, &spec, ref, &vjp), LT_OK);
    net_fill(&n, &vjp, 2);
    run(&vjp);
    // The same product as the gradient of <block, u>: its scalar seed takes another way through the graph.
    lt_val dot = lt_dot(n.g, n.block, u);
    spec = (lt_plan_spec){.grad_of = dot, .seed = LT_NONE, .wrt = &n.stem, .n_wrt = 1, .batch = 2, .dtype = LT_F64};
    op_run scalar;
    assert_int_equal(op_run_open(n.g, &spec, ref, &scalar), LT_OK);
    net_fill(&n, &scalar, 2);
    run(&scalar);
    const double *a = lt_plan_grad(vjp.plan, 0), *b = lt_plan_grad(scalar.plan, 0);
    double size = 0;
    for (int i = 0; i < 2 * 6 * 8 * 8; i++) {
        assert_true(fabs(a[i] - b[i]) < 1e-12);
        size += fabs(a[i]);
    }
    assert_true(size > 1);
    op_run_close(&vjp);
    op_run_close(&scalar);
    lt_graph_destroy(n.g);
}

// A small convolutional classifier of its own: every op in it can be differentiated twice.
typedef struct twice {
    lt_graph *g;
    lt_val x, labels, w1, w2, fc, v, s; // s = <d loss / d x, v>
} twice;

static void build_twice(twice *t)
{
    *t = (twice){0};
    assert_int_equal(lt_graph_create(&t->g), LT_OK);
    lt_graph *g = t->g;
    t->x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 2, 6, 6));
    t->labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    t->v = lt_input(g, "v", LT_F32, LT_SHAPE(LT_BATCH, 2, 6, 6));
    lt_val weight = lt_input(g, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    t->w1 = lt_param(g, "w1", LT_SHAPE(4, 2, 3, 3));
    t->w2 = lt_param(g, "w2", LT_SHAPE(4, 4, 3, 3));
    t->fc = lt_param(g, "fc", LT_SHAPE(3, 4));
    lt_val h =
        lt_relu(g, lt_conv2d(g, t->x, t->w1, lt_param(g, "b1", LT_SHAPE(4)), (lt_conv_attr){.stride = 1, .pad = 1}));
    h = lt_max_pool2d(g, h, 2, 2);
    h = lt_add(g, h, lt_conv2d(g, h, t->w2, LT_NONE, (lt_conv_attr){1, 1, 1, LT_PAD_CIRCULAR, 1}));
    lt_val z = lt_linear(g, lt_global_avg_pool(g, h), t->fc, LT_NONE);
    lt_val loss = lt_weighted_sum(g, lt_cross_entropy(g, z, t->labels, 0.1f), weight), dx;
    if (lt_gradients(g, loss, LT_NONE, &t->x, 1, &dx) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
    t->s = lt_dot(g, dx, t->v);
}

static void fill_twice(const twice *t, op_run *r)
{
    for (lt_val v = 0; v < t->g->n_values; v++) {
        lti_value *value = &t->g->value[v];
        if (value->role != LT_ROLE_INPUT && value->role != LT_ROLE_PARAM)
            continue;
        lti_value saved = *value;
        if (value->shape.dim[0] == LT_BATCH)
            value->shape.dim[0] = 2;
        double *data = op_make_data(v == t->labels ? "i3" : "n", &value->shape, NULL, NULL, (uint64_t)v + 50);
        for (int64_t i = 0; value->role == LT_ROLE_PARAM && i < lti_shape_count(&value->shape); i++)
            data[i] *= 0.3; // keeps softmax away from saturation, where second derivatives vanish
        op_set(r, v, data);
        *value = saved;
        free(data);
    }
}

// d <d loss / dx, v> / d (w1, w2, fc, x) against differences of the first derivative.
static void second_derivatives_match_differences(void **state)
{
    (void)state;
    twice t;
    build_twice(&t);
    const lt_val wrt[] = {t.w1, t.w2, t.fc, t.x};
    lt_plan_spec spec = {.outs = &t.s,
                         .n_outs = 1,
                         .grad_of = t.s,
                         .seed = LT_NONE,
                         .wrt = wrt,
                         .n_wrt = 4,
                         .batch = 2,
                         .dtype = LT_F64};
    op_run r;
    if (op_run_open(t.g, &spec, ref, &r) != LT_OK)
        fail_msg("%s: %s", lt_error_get()->message, lt_error_get()->hint);
    fill_twice(&t, &r);
    run(&r);
    const int64_t count[] = {72, 144, 12, 144};
    double *grad[4];
    for (int i = 0; i < 4; i++) {
        grad[i] = malloc((size_t)count[i] * sizeof(double));
        memcpy(grad[i], lt_plan_grad(r.plan, i), (size_t)count[i] * sizeof(double));
    }
    for (int i = 0; i < 4; i++) {
        double worst = 0, scale = 0;
        double *at = i < 3 ? (double *)r.params + t.g->value[wrt[i]].slab_offset : lt_plan_buffer(r.plan, t.x);
        for (int64_t j = 0; j < count[i]; j++) {
            double f[4], keep = at[j];
            for (int k = 0; k < 4; k++) {
                static const double step[4] = {-2e-4, -1e-4, 1e-4, 2e-4};
                at[j] = keep + step[k];
                lt_plan_params_changed(r.plan);
                run(&r);
                op_get(&r, t.s, &f[k]);
            }
            at[j] = keep;
            double d = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 12e-4;
            worst = fmax(worst, fabs(d - grad[i][j]));
            scale = fmax(scale, fabs(d));
        }
        if (!(worst < 1e-6 * scale) || scale < 1e-3)
            fail_msg("second derivative, input %d: off by %g of %g", i, worst, scale);
        free(grad[i]);
    }
    op_run_close(&r);
    lt_graph_destroy(t.g);
}

static void missing_derivatives_name_the_node(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_val dx;
    assert_int_equal(lt_gradients(n.g, n.loss, LT_NONE, &n.x, 1, &dx), LT_E_UNSUPPORTED);
    assert_non_null(strstr(lt_error_get()->message, "bn of bn5.gamma"));
    assert_int_equal(lt_graph_status(n.g), LT_E_UNSUPPORTED); // the graph is spoilt, and says why
    assert_int_equal(lt_relu(n.g, n.x), LT_NONE);
    lt_graph_destroy(n.g);

    op_case c; // second derivative of batch norm that has its ReLU inside
    op_case_build("bn_train_dx in=4x3x3x5,4x3x3x5,3:pP,3,3:p,3:P eps=1e-5 relu=1", &c);
    assert_int_equal(lti_grad(c.g, c.out[0], c.seed[0], c.in, 1, &dx), LT_E_UNSUPPORTED);
    assert_non_null(strstr(lt_error_get()->message, "bn_train_dx of in2"));
    op_case_clear(&c);

    op_case_build("softmax_dx in=3x7,3x7:q", &c);
    assert_int_equal(lti_grad(c.g, c.out[0], c.seed[0], &c.in[1], 1, &dx), LT_E_UNSUPPORTED);
    op_case_clear(&c);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_val dx;
    assert_int_equal(lti_grad(n.g, n.losses, LT_NONE, &n.x, 1, &dx), LT_E_SHAPE); // not a scalar, no seed
    assert_int_equal(lti_grad(n.g, n.losses, n.x, &n.x, 1, &dx), LT_E_SHAPE);     // seed of another shape
    assert_int_equal(lti_grad(n.g, 9999, LT_NONE, &n.x, 1, &dx), LT_E_USAGE);
    assert_int_equal(lti_grad(n.g, n.loss, 9999, &n.x, 1, &dx), LT_E_USAGE);
    assert_int_equal(lti_grad(n.g, n.loss, LT_NONE, &n.labels, 1, &dx), LT_E_USAGE); // integers
    lt_graph_destroy(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses_add_up),
        cmocka_unit_test(trivial_gradients),
        cmocka_unit_test(seeds_give_vector_jacobian_products),
        cmocka_unit_test(second_derivatives_match_differences),
        cmocka_unit_test(missing_derivatives_name_the_node),
        cmocka_unit_test(bad_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
