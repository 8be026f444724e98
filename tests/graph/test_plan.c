// test_plan.c - compiled plans: passes that may not change results, memory, bindings, failures.
#include "graph/ref_nets.h"

// Everything a run of the small network produces: loss, logits, block, dx, d block, parameter gradients, state.
typedef struct result {
    double *v;
    int64_t n;
} result;

static void append(result *res, const void *data, lt_dtype dtype, int64_t n)
{
    res->v = realloc(res->v, (size_t)(res->n + n) * sizeof *res->v);
    op_fetch(dtype, data, res->v + res->n, n);
    res->n += n;
}

static result net_result(const small_net *n, bool train, bool params, unsigned flags, int64_t batch, lt_dtype dtype)
{
    const lt_val outs[] = {n->loss, n->logits, n->block}, wrt[] = {n->x, n->block, n->w0};
    lt_plan_spec spec = {.outs = outs,
                         .n_outs = 3,
                         .grad_of = n->loss,
                         .seed = LT_NONE,
                         .wrt = wrt,
                         .n_wrt = params ? 3 : 2,
                         .wrt_params = params,
                         .batch = batch,
                         .train = train,
                         .dtype = dtype,
                         .flags = flags,
                         .keep_bytes = 1}; // or nothing so small would be rematerialized
    op_run r;
    open_net(n, &spec, &r);
    result res = {0};
    for (int times = 0; times < 2; times++) { // the second run starts from what the first left in memory
        run(&r);
        append(&res, lt_plan_buffer(r.plan, n->loss), dtype, 1);
        append(&res, lt_plan_buffer(r.plan, n->logits), dtype, batch * 5);
        append(&res, lt_plan_buffer(r.plan, n->block), dtype, batch * 8 * 16);
        append(&res, lt_plan_grad(r.plan, 0), dtype, batch * 3 * 64);
        append(&res, lt_plan_grad(r.plan, 1), dtype, batch * 8 * 16);
        append(&res, r.state, dtype, lt_graph_n_state(n->g));
        if (params) {
            append(&res, lt_plan_grad(r.plan, 2), dtype, 6 * 3 * 9);
            append(&res, r.grads, dtype, lt_graph_n_params(n->g));
        }
    }
    op_run_close(&r);
    return res;
}

static void assert_close(const result *a, const result *b, double tolerance, unsigned flags)
{
    assert_int_equal(a->n, b->n);
    for (int64_t i = 0; i < a->n; i++)
        if (!(fabs(a->v[i] - b->v[i]) <= tolerance * (1 + fabs(b->v[i]))))
            fail_msg("flags %u: element %lld is %.17g, expected %.17g", flags, (long long)i, a->v[i], b->v[i]);
}

enum {
    ALL_OFF = LT_PLAN_NO_FUSE | LT_PLAN_NO_FOLD | LT_PLAN_NO_REUSE | LT_PLAN_NO_TUNE | LT_PLAN_NO_LAYOUT |
              LT_PLAN_NO_RECOMPUTE
};

static void passes_keep_the_numbers(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    for (int mode = 0; mode < 4; mode++) {
        bool train = mode & 1, params = mode & 2;
        result plain = net_result(&n, train, params, ALL_OFF, 3, LT_F64);
        for (unsigned off = 0; off < 8; off++) {
            result res = net_result(&n, train, params, off, 3, LT_F64);
            assert_close(&res, &plain, 1e-12, off);
            free(res.v);
        }
        result fused = net_result(&n, train, params, LT_PLAN_NO_REUSE, 3, LT_F32);
        result reused = net_result(&n, train, params, 0, 3, LT_F32); // memory planning: not one bit may change
        result kept = net_result(&n, train, params, LT_PLAN_NO_RECOMPUTE, 3, LT_F32);
        assert_close(&reused, &fused, 0, 0);
        assert_close(&reused, &kept, 0, LT_PLAN_NO_RECOMPUTE);
        free(kept.v);
        assert_close(&reused, &plain, 1e-3, 0);
        free(fused.v);
        free(reused.v);
        free(plain.v);
    }
    lt_graph_destroy(n.g);
}

// d loss / d parameters in training mode along a random direction, through every layer at once.
static void parameter_gradient_matches_differences(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    for (int train = 0; train < 2; train++) {
        lt_plan_spec spec = {.outs = &n.loss,
                             .n_outs = 1,
                             .grad_of = n.loss,
                             .seed = LT_NONE,
                             .wrt_params = true,
                             .batch = 3,
                             .train = train,
                             .dtype = LT_F64};
        op_run r;
        open_net(&n, &spec, &r);
        run(&r);
        int64_t n_params = lt_graph_n_params(n.g);
        lt_shape shape = LT_SHAPE(n_params);
        double *way = op_make_data("n", &shape, NULL, NULL, 5), *keep = malloc((size_t)n_params * sizeof *keep);
        double slope = 0, f[4];
        for (int64_t i = 0; i < n_params; i++)
            slope += way[i] * ((double *)r.grads)[i];
        memcpy(keep, r.params, (size_t)n_params * sizeof *keep);
        for (int k = 0; k < 4; k++) {
            static const double step[4] = {-2e-6, -1e-6, 1e-6, 2e-6};
            net_fill(&n, &r, 3); // training moved the running statistics
            for (int64_t i = 0; i < n_params; i++)
                ((double *)r.params)[i] = keep[i] + step[k] * way[i];
            run(&r);
            op_get(&r, n.loss, &f[k]);
        }
        double d = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 12e-6;
        if (!(fabs(d - slope) < 1e-6 * fabs(slope)))
            fail_msg("train %d: slope %g, by differences %g", train, slope, d);
        free(way);
        free(keep);
        op_run_close(&r);
    }
    lt_graph_destroy(n.g);
}

static void unreached_parameters_get_zeros(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val a = lt_param(g, "a", LT_SHAPE(2)), b = lt_param(g, "b", LT_SHAPE(3)), c = lt_param(g, "c", LT_SHAPE(2));
    lt_val d = lt_param(g, "d", LT_SHAPE(1));
    lt_val u = lt_input(g, "u", LT_F32, LT_SHAPE(2)), sum = lt_add(g, a, c);
    lt_val y = lt_dot(g, sum, u), unused = lt_dot(g, b, b);
    (void)unused;
    lt_plan_spec spec = {
        .grad_of = y, .seed = LT_NONE, .wrt = &c, .n_wrt = 1, .wrt_params = true, .batch = 1, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    op_set(&r, u, (double[]){3, 4});
    for (int times = 0; times < 2; times++) {
        memset(r.grads, 0xff, 8 * sizeof(float)); // what the caller left there must not survive
        run(&r);
        // a and c share one gradient value; each gets its own copy of it
        const float expected[] = {3, 4, 0, 0, 0, 3, 4, 0};
        assert_memory_equal(r.grads, expected, sizeof expected);
        assert_memory_equal(lt_plan_grad(r.plan, 0), expected, 2 * sizeof(float));
    }
    op_run_close(&r);
    lt_graph_destroy(g);
    assert_int_equal(lt_graph_create(&g), LT_OK); // a gradient that is a view of another one
    a = lt_param(g, "a", LT_SHAPE(2, 1, 2)), b = lt_param(g, "b", LT_SHAPE(2, 2)), d = lt_param(g, "d", LT_SHAPE(1));
    u = lt_input(g, "u", LT_F32, LT_SHAPE(2, 2));
    y = lt_dot(g, lt_add(g, lt_flatten(g, a), b), u);
    spec = (lt_plan_spec){.grad_of = y, .seed = LT_NONE, .wrt_params = true, .batch = 1, .dtype = LT_F32};
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    op_set(&r, u, (double[]){3, 4, 5, 6});
    run(&r);
    assert_memory_equal(r.grads, ((float[]){3, 4, 5, 6, 3, 4, 5, 6, 0}), 9 * sizeof(float));
    op_run_close(&r);
    // the gradient of a parameter with respect to itself is a constant
    spec = (lt_plan_spec){.grad_of = d, .seed = LT_NONE, .wrt_params = true, .batch = 1, .dtype = LT_F64};
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    for (int times = 0; times < 2; times++) {
        memset(r.grads, 0xff, 9 * sizeof(double));
        run(&r);
        for (int i = 0; i < 9; i++)
            assert_true(((double *)r.grads)[i] == (i == 8));
    }
    op_run_close(&r);
    lt_graph_destroy(g);
}

// Outputs that are inputs, parameters, views, and one value under several names.
static void any_value_can_be_read(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 2, 1, 2)), p = lt_param(g, "p", LT_SHAPE(2, 4));
    lt_val s = lt_state(g, "s", LT_SHAPE(2)), h = lt_scale(g, x, 2), flat = lt_flatten(g, h), flat_x = lt_flatten(g, x);
    lt_val y = lt_linear(g, flat, p, LT_NONE), spare = lt_input(g, "spare", LT_F32, LT_SHAPE(5));
    const lt_val outs[] = {x, p, flat, flat_x, y, h, s, flat};
    lt_plan_spec spec = {.outs = outs, .n_outs = 8, .grad_of = LT_NONE, .batch = 2, .dtype = LT_F32};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    const float xs[] = {1, 2, 3, 4, 5, 6, 7, 8}, ps[] = {1, 0, 0, 0, 0, 0, 0, 1}, ss[] = {9, 8};
    memcpy(lt_plan_buffer(r.plan, x), xs, sizeof xs);
    memcpy(r.params, ps, sizeof ps);
    memcpy(r.state, ss, sizeof ss);
    assert_non_null(lt_plan_buffer(r.plan, spare)); // every input can be written, used or not
    run(&r);
    const float twice[] = {2, 4, 6, 8, 10, 12, 14, 16}, ys[] = {2, 8, 10, 16};
    assert_memory_equal(lt_plan_buffer(r.plan, x), xs, sizeof xs);
    assert_memory_equal(lt_plan_buffer(r.plan, p), ps, sizeof ps);
    assert_memory_equal(lt_plan_buffer(r.plan, s), ss, sizeof ss);
    assert_memory_equal(lt_plan_buffer(r.plan, flat_x), xs, sizeof xs);
    assert_memory_equal(lt_plan_buffer(r.plan, flat), twice, sizeof twice);
    assert_memory_equal(lt_plan_buffer(r.plan, h), twice, sizeof twice);
    assert_memory_equal(lt_plan_buffer(r.plan, y), ys, sizeof ys);
    assert_null(lt_plan_buffer(r.plan, LT_NONE));
    assert_null(lt_plan_buffer(r.plan, 1000));
    op_run_close(&r);
    spec.n_outs = 1;
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    assert_null(lt_plan_buffer(r.plan, y)); // not asked for
    op_run_close(&r);
    lt_graph_destroy(g);
}

static double loss_of(const small_net *n, op_run *r)
{
    double loss;
    run(r);
    op_get(r, n->loss, &loss);
    return loss;
}

// Folded filters are recomputed when the plan is notified, and only then.
static void folding_follows_parameters(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_plan_spec spec = {.outs = &n.loss, .n_outs = 1, .grad_of = LT_NONE, .batch = 2, .dtype = LT_F64};
    op_run r, plain;
    open_net(&n, &spec, &r);
    spec.flags = LT_PLAN_NO_FOLD;
    open_net(&n, &spec, &plain);
    double before = loss_of(&n, &r);
    assert_true(fabs(before - loss_of(&n, &plain)) < 1e-12);
    const lti_value *gamma = &n.g->value[lt_graph_find(n.g, "bn1.gamma")];
    ((double *)r.params)[gamma->slab_offset] *= 3;
    ((double *)plain.params)[gamma->slab_offset] *= 3;
    assert_true(loss_of(&n, &r) == before);
    lt_plan_params_changed(r.plan);
    lt_plan_params_changed(plain.plan);
    double after = loss_of(&n, &r);
    assert_true(after != before && fabs(after - loss_of(&n, &plain)) < 1e-12);
    // another set of slabs is a change, too
    double *other = malloc((size_t)lt_graph_n_params(n.g) * sizeof *other);
    memcpy(other, r.params, (size_t)lt_graph_n_params(n.g) * sizeof *other);
    other[gamma->slab_offset] /= 3;
    assert_int_equal(lt_plan_bind(r.plan, other, r.state, NULL), LT_OK);
    assert_true(fabs(loss_of(&n, &r) - before) < 1e-12);
    char *dump = lt_plan_dump(r.plan);
    assert_non_null(strstr(dump, "bn_fold"));
    assert_non_null(strstr(dump, "+relu"));
    assert_null(strstr(dump, "bn_eval"));
    free(dump);
    free(other);
    op_run_close(&r);
    op_run_close(&plain);
    lt_graph_destroy(n.g);
}

static int count_lines(const char *dump, const char *word)
{
    int n = 0;
    for (const char *at = dump; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

// What is computed, and what is not.
static void only_what_is_needed_runs(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_plan_spec spec = {.grad_of = n.loss,
                         .seed = LT_NONE,
                         .wrt_params = true,
                         .batch = 4,
                         .train = true,
                         .dtype = LT_F32,
                         .keep_bytes = 1};
    op_run r;
    open_net(&n, &spec, &r);
    char *dump = lt_plan_dump(r.plan);
    assert_non_null(dump);
    assert_int_equal(count_lines(dump, " conv2d_dw "), 6);
    assert_int_equal(count_lines(dump, " conv2d_dx "), 5); // none for the image
    assert_int_equal(count_lines(dump, " bn_train_dx "), 6);
    assert_int_equal(count_lines(dump, " relu_dx "), 1); // after the last sum; the others are in batch norms
    assert_int_equal(count_lines(dump, " add_relu_dx "), 1);
    assert_int_equal(count_lines(dump, " add "), 3); // a halved sum, again for the gradient, and the stem's gradients
    assert_int_equal(count_lines(dump, " relu "), 0);
    assert_int_equal(count_lines(dump, " scale "), 0);
    assert_int_equal(count_lines(dump, " weighted_sum "), 0); // its value is not asked for
    assert_int_equal(count_lines(dump, "[copy]"), 0);         // gradients are written into the caller's slab
    lt_plan_stats stats = lt_plan_get_stats(r.plan);
    assert_int_equal(stats.n_reorders + stats.n_ref_fallbacks, 0);
    const double per_image = 2.0 * (6 * 64 * 27 + 8 * 16 * 54 + 8 * 16 * 72 * 3 + 8 * 16 * 6 + 5 * 32);
    assert_true(stats.flop == 4 * (3 * per_image - 2.0 * 6 * 64 * 27));
    free(dump);
    op_run_close(&r);
    // A part of the network: later layers do not run, so their statistics stay.
    spec = (lt_plan_spec){.outs = &n.stem, .n_outs = 1, .grad_of = LT_NONE, .batch = 4, .train = true, .dtype = LT_F32};
    open_net(&n, &spec, &r);
    int64_t n_state = lt_graph_n_state(n.g);
    float *before = malloc((size_t)n_state * sizeof *before);
    memcpy(before, r.state, (size_t)n_state * sizeof *before);
    run(&r);
    for (int64_t i = 0; i < n_state; i++)
        assert_true((((float *)r.state)[i] != before[i]) == (i < 12)); // mean and variance of bn0
    free(before);
    op_run_close(&r);
    lt_graph_destroy(n.g);
}

static void memory_is_shared(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_plan_spec spec = {.outs = &n.loss,
                         .n_outs = 1,
                         .grad_of = n.loss,
                         .seed = LT_NONE,
                         .wrt_params = true,
                         .batch = 16,
                         .train = true,
                         .dtype = LT_F32};
    op_run r;
    open_net(&n, &spec, &r);
    lt_plan_stats with = lt_plan_get_stats(r.plan);
    for (int32_t v = 0; v < n.g->n_values; v++) {
        void *p = lt_plan_buffer(r.plan, v);
        assert_true((uintptr_t)p % 64 == 0);
    }
    op_run_close(&r);
    spec.flags = LT_PLAN_NO_REUSE;
    open_net(&n, &spec, &r);
    lt_plan_stats without = lt_plan_get_stats(r.plan);
    op_run_close(&r);
    assert_true(with.flop == without.flop && with.n_kernels == without.n_kernels);
    assert_true(10 * with.slab_bytes < 6 * without.slab_bytes);
    lt_graph_destroy(n.g);
}

static void runs_allocate_nothing(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    for (int train = 0; train < 2; train++) {
        lt_plan_spec spec = {.outs = &n.loss,
                             .n_outs = 1,
                             .grad_of = n.loss,
                             .seed = LT_NONE,
                             .wrt = &n.x,
                             .n_wrt = 1,
                             .wrt_params = train,
                             .batch = 2,
                             .train = train,
                             .dtype = LT_F32};
        op_run r;
        open_net(&n, &spec, &r);
        int64_t before = lti_alloc_count();
        for (int i = 0; i < 3; i++) {
            run(&r);
            lt_plan_params_changed(r.plan);
            assert_int_equal(lt_plan_bind(r.plan, r.params, r.state, r.grads), LT_OK);
        }
        assert_int_equal(lti_alloc_count(), before);
        op_run_close(&r);
    }
    lt_graph_destroy(n.g);
}

// Every allocation of building a graph and compiling a plan may fail: a clear status, nothing lost.
static void failing_allocations_are_survived(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_plan *plan = NULL;
    lt_plan_spec spec = {.outs = &n.loss,
                         .n_outs = 1,
                         .grad_of = n.loss,
                         .seed = LT_NONE,
                         .wrt = &n.x,
                         .n_wrt = 1,
                         .batch = 2,
                         .dtype = LT_F32};
    int failures = 0;
    for (int mode = 0; mode < 2; mode++) {
        spec.train = spec.wrt_params = mode;
        for (int64_t i = 1;; i++) {
            lti_alloc_fail_at(i);
            lt_status status = lt_plan_create(n.g, &spec, ref, &plan);
            lti_alloc_fail_at(0);
            if (status == LT_OK)
                break;
            assert_int_equal(status, LT_E_NOMEM);
            assert_null(plan);
            failures++;
        }
        lt_plan_destroy(plan);
    }
    assert_true(failures > 50);
    lt_graph_destroy(n.g);
    for (int64_t i = 1;; i++) {
        lti_alloc_fail_at(i);
        small_net_build(&n);
        lti_alloc_fail_at(0);
        lt_status status = n.g ? lt_graph_status(n.g) : LT_E_NOMEM;
        lt_graph_destroy(n.g);
        if (status == LT_OK)
            break;
        assert_int_equal(status, LT_E_NOMEM);
    }
}

static void small_batches(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    result three = net_result(&n, false, false, 0, 3, LT_F64), one = net_result(&n, false, false, 0, 1, LT_F64);
    for (int i = 0; i < 5; i++) // evaluation: a sample does not see the others; the data of the first one are the same
        assert_true(fabs(one.v[1 + i] - three.v[1 + i]) < 1e-12);
    free(one.v);
    free(three.v);
    lt_val y = net_bn(n.g, "late", n.logits, 5); // (N,C): one value per channel in a batch of one
    lt_plan_spec spec = {.outs = &y, .n_outs = 1, .grad_of = LT_NONE, .batch = 1, .train = true, .dtype = LT_F32};
    lt_plan *plan;
    assert_int_equal(lt_plan_create(n.g, &spec, ref, &plan), LT_E_SHAPE);
    assert_non_null(strstr(lt_error_get()->message, "one value per channel"));
    assert_non_null(strstr(lt_error_get()->hint, "late.gamma"));
    spec.train = false;
    assert_int_equal(lt_plan_create(n.g, &spec, ref, &plan), LT_OK);
    lt_plan_destroy(plan);
    lt_graph_destroy(n.g);
}

static void bad_specs_are_refused(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    const lt_val bad = 12345;
    const struct {
        lt_plan_spec spec;
        lt_status status;
    } cases[] = {
        {{.outs = &n.loss, .n_outs = 1, .grad_of = LT_NONE, .batch = 0}, LT_E_USAGE},
        {{.outs = &bad, .n_outs = 1, .grad_of = LT_NONE, .batch = 1}, LT_E_USAGE},
        {{.grad_of = bad, .seed = LT_NONE, .batch = 1}, LT_E_USAGE},
        {{.grad_of = n.loss, .seed = bad, .batch = 1}, LT_E_USAGE},
        {{.grad_of = n.loss, .seed = LT_NONE, .wrt = &bad, .n_wrt = 1, .batch = 1}, LT_E_USAGE},
        {{.grad_of = n.loss, .seed = LT_NONE, .wrt = &n.labels, .n_wrt = 1, .batch = 1}, LT_E_USAGE},
        {{.grad_of = LT_NONE, .wrt_params = true, .batch = 1}, LT_E_USAGE},
        {{.outs = &n.loss, .n_outs = 1, .grad_of = LT_NONE, .batch = 1, .dtype = LT_I32}, LT_E_UNSUPPORTED},
        {{.grad_of = n.losses, .seed = LT_NONE, .wrt = &n.x, .n_wrt = 1, .batch = 2}, LT_E_SHAPE},
        {{.grad_of = n.losses, .seed = n.x, .wrt = &n.x, .n_wrt = 1, .batch = 2}, LT_E_SHAPE},
        {{.outs = &n.loss, .n_outs = 1, .grad_of = LT_NONE, .batch = INT64_MAX / 8}, LT_E_SHAPE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lt_plan *plan;
        lt_status status = lt_plan_create(n.g, &cases[i].spec, ref, &plan);
        if (status != cases[i].status || plan)
            fail_msg("case %zu: status %s", i, lt_status_text(status));
    }
    lt_graph_destroy(n.g);
}

static void running_needs_slabs_and_valid_labels(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_plan_spec spec = {.outs = &n.loss,
                         .n_outs = 1,
                         .grad_of = n.loss,
                         .seed = LT_NONE,
                         .wrt_params = true,
                         .batch = 2,
                         .train = true,
                         .dtype = LT_F32};
    lt_plan *plan;
    assert_int_equal(lt_plan_create(n.g, &spec, ref, &plan), LT_OK);
    assert_int_equal(lt_plan_run(plan), LT_E_USAGE);
    float slab[1];
    assert_int_equal(lt_plan_bind(plan, NULL, slab, slab), LT_E_USAGE);
    assert_int_equal(lt_plan_bind(plan, slab, NULL, slab), LT_E_USAGE);
    assert_int_equal(lt_plan_bind(plan, slab, slab, NULL), LT_E_USAGE);
    assert_non_null(strstr(lt_error_get()->message, "gradient slab"));
    lt_plan_destroy(plan);
    op_run r;
    open_net(&n, &spec, &r);
    ((int32_t *)lt_plan_buffer(r.plan, n.labels))[1] = 5;
    assert_int_equal(lt_plan_run(r.plan), LT_E_FORMAT);
    assert_non_null(strstr(lt_error_get()->message, "label 5 in row 1"));
    op_run_close(&r);
    lt_graph_destroy(n.g);
}

static void backends_by_name(void **state)
{
    (void)state;
    lt_backend *b;
    assert_int_equal(lt_backend_create("no-such", 1, &b), LT_E_USAGE);
    assert_null(b);
    assert_non_null(strstr(lt_error_get()->message, "auto"));
    assert_int_equal(lt_backend_create("auto", 0, &b), LT_OK);
    assert_true(lt_backend_n_threads(b) >= 1);
    assert_string_equal(lt_backend_name(b), lt_backend_names()[0]);
    assert_true(strlen(lt_backend_version(b)) > 0);
    lt_backend_destroy(b);
    lt_backend_destroy(NULL);
    lt_plan_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_keep_the_numbers),
        cmocka_unit_test(parameter_gradient_matches_differences),
        cmocka_unit_test(unreached_parameters_get_zeros),
        cmocka_unit_test(any_value_can_be_read),
        cmocka_unit_test(folding_follows_parameters),
        cmocka_unit_test(only_what_is_needed_runs),
        cmocka_unit_test(memory_is_shared),
        cmocka_unit_test(runs_allocate_nothing),
        cmocka_unit_test(failing_allocations_are_survived),
        cmocka_unit_test(small_batches),
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(running_needs_slabs_and_valid_labels),
        cmocka_unit_test(backends_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
