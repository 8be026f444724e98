// test_passes.c - the passes on a graph of tangles: whatever value is read or differentiated, folded and fused plans
// give the numbers of unfused ones.
#include "graph/nets.h"
#include "backend_fixture.h"

static lt_backend *ref;
BACKEND_FIXTURE(ref, "ref")

// Everything the passes look for, next to everything that must stop them.
static small_net tangle(void)
{
    small_net n = {0};
    assert_int_equal(lt_graph_create(&n.g), LT_OK);
    lt_graph *g = n.g;
    const lt_conv_attr s1p1 = {.stride = 1, .pad = 1}, s1p0 = {.stride = 1};
    n.labels = LT_NONE;
    n.weight = LT_NONE;
    n.x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 2, 4, 4));
    lt_val w = lt_param(g, "a.weight", LT_SHAPE(3, 2, 3, 3)), bias = lt_param(g, "a.bias", LT_SHAPE(3));
    lt_val a = lt_relu(g, net_bn(g, "a", lt_conv2d(g, n.x, w, bias, s1p1), 3)); // folds, with a bias
    lt_val b = net_conv(g, "b", a, 3, 3, 1, s1p0);
    lt_val b_bn = net_bn(g, "b", b, 3); // b is read twice: no folding
    lt_val b_relu = lt_relu(g, b_bn), b_scaled = lt_scale(g, b, 0.3f);
    lt_val c = lt_add(g, b_relu, b_scaled);                        // add without relu
    lt_val d = lt_relu(g, lt_scale(g, lt_add(g, c, b_bn), -0.5f)); // b_bn is read twice; alpha below zero
    lt_val e = net_conv(g, "e", d, 3, 3, 3, s1p1);
    lt_val gamma = lt_scale(g, lt_param(g, "late.gamma", LT_SHAPE(3)), 2); // made after the convolution
    lt_bn_args bn = {gamma,
                     lt_param(g, "e.beta", LT_SHAPE(3)),
                     lt_state(g, "e.mean", LT_SHAPE(3)),
                     lt_state(g, "e.var", LT_SHAPE(3)),
                     1e-5f,
                     0.1f};
    lt_val f = lt_relu(g, lt_batch_norm(g, e, bn));
    lt_val h = lt_relu(g, net_conv(g, "h", f, 3, 4, 1, s1p0)); // convolution with relu, no batch norm
    lt_val sum = lt_add(g, h, h);
    lt_val scaled = lt_scale(g, sum, 0.9f), rectified = lt_relu(g, sum); // the sum is read twice, by a relu last
    lt_val i = lt_add(g, rectified, scaled);
    lt_val j = lt_scale(g, lt_add(g, i, h), 0.7f), k = lt_relu(g, j);
    k = lt_add(g, k, j);
    n.loss = lt_dot(g, k, k);
    assert_int_equal(lt_graph_status(g), LT_OK);
    return n;
}

enum { BATCH = 2, OFF = LT_PLAN_NO_FUSE | LT_PLAN_NO_FOLD | LT_PLAN_NO_REUSE | LT_PLAN_NO_RECOMPUTE };

static int64_t count(const small_net *n, lt_val v)
{
    lt_shape s = n->g->value[v].shape;
    s.dim[0] = s.dim[0] == LT_BATCH ? BATCH : s.dim[0];
    return lti_shape_count(&s);
}

static int count_lines(const lt_plan *plan, const char *word)
{
    int n = 0;
    char *dump = lt_plan_dump(plan);
    assert_non_null(dump);
    for (const char *at = dump; (at = strstr(at, word)); at += strlen(word))
        n++;
    free(dump);
    return n;
}

// One run in one of eight modes (1 train, 2 parameter gradients, 4 value not read): value v, the gradient of the loss
// with respect to it, parameter gradients, state, loss.
typedef struct outcome {
    double *v;
    int64_t n;
} outcome;

static outcome compute(const small_net *n, lt_val v, int mode, unsigned flags, int *n_kernels)
{
    bool train = mode & 1, params = mode & 2, read = !(mode & 4);
    lt_plan_spec spec = {.outs = (lt_val[]){n->loss, v},
                         .n_outs = read ? 2 : 1,
                         .grad_of = n->loss,
                         .seed = LT_NONE,
                         .wrt = &v,
                         .n_wrt = 1,
                         .wrt_params = params,
                         .batch = BATCH,
                         .train = train,
                         .dtype = LT_F64,
                         .flags = flags};
    op_run r;
    if (op_run_open(n->g, &spec, ref, &r) != LT_OK)
        fail_msg("%s: %s", lt_error_get()->message, lt_error_get()->hint);
    net_fill(n, &r, BATCH);
    assert_int_equal(lt_plan_run(r.plan), LT_OK);
    int64_t n_v = count(n, v), n_params = params ? lt_graph_n_params(n->g) : 0, n_state = lt_graph_n_state(n->g);
    outcome o = {malloc((size_t)(2 * n_v + n_params + n_state + 1) * sizeof(double)), 2 * n_v + n_params + n_state + 1};
    memset(o.v, 0, (size_t)n_v * sizeof(double));
    if (read)
        memcpy(o.v, lt_plan_buffer(r.plan, v), (size_t)n_v * sizeof(double));
    memcpy(o.v + n_v, lt_plan_grad(r.plan, 0), (size_t)n_v * sizeof(double));
    memcpy(o.v + 2 * n_v, r.grads, (size_t)n_params * sizeof(double));
    memcpy(o.v + 2 * n_v + n_params, r.state, (size_t)n_state * sizeof(double));
    op_get(&r, n->loss, &o.v[o.n - 1]);
    *n_kernels = lt_plan_get_stats(r.plan).n_kernels - count_lines(r.plan, " again") + 1; // without copies and legend
    op_run_close(&r);
    return o;
}

static void any_value_may_be_read_and_differentiated(void **state)
{
    (void)state;
    small_net n = tangle();
    for (lt_val v = 0; v < n.g->n_values; v++) {
        for (int mode = 0; n.g->value[v].role != LT_ROLE_STATE && mode < 8; mode++) {
            int fewer, all;
            outcome plain = compute(&n, v, mode, OFF, &all), o = compute(&n, v, mode, 0, &fewer);
            double size = 0;
            for (int64_t i = 0; i < o.n; i++) {
                size += fabs(plain.v[i]);
                if (!(fabs(o.v[i] - plain.v[i]) <= 1e-11 * (1 + fabs(plain.v[i]))))
                    fail_msg("value %d, mode %d, element %lld: %.17g, expected %.17g", (int)v, mode, (long long)i,
                             o.v[i], plain.v[i]);
            }
            assert_true(size > 0 && fewer < all);
            free(plain.v);
            free(o.v);
        }
    }
    lt_graph_destroy(n.g);
}

// What folds when only the loss is asked for: a (with bias), the relu of h; not b (two readers), not e (gamma too
// late).
static void folding_takes_what_it_may(void **state)
{
    (void)state;
    small_net n = tangle();
    lt_plan_spec spec = {.outs = &n.loss,
                         .n_outs = 1,
                         .grad_of = n.loss,
                         .seed = LT_NONE,
                         .wrt = &n.x,
                         .n_wrt = 1,
                         .batch = BATCH,
                         .dtype = LT_F32};
    lt_plan *plan;
    assert_int_equal(lt_plan_create(n.g, &spec, ref, &plan), LT_OK);
    assert_int_equal(count_lines(plan, " P bn_fold "), 1);
    assert_int_equal(count_lines(plan, " bn_eval "), 2);
    assert_int_equal(count_lines(plan, " + relu"), 0);
    assert_int_equal(count_lines(plan, "conv2d           [ref] +relu"), 2);
    assert_int_equal(count_lines(plan, " conv2d_dw "), 0);
    lt_plan_destroy(plan);
    // gradients of parameters: nothing may be folded away
    spec.wrt_params = true;
    assert_int_equal(lt_plan_create(n.g, &spec, ref, &plan), LT_OK);
    assert_int_equal(count_lines(plan, "bn_fold"), 0);
    assert_int_equal(count_lines(plan, " bn_eval "), 3);
    lt_plan_destroy(plan);
    lt_graph_destroy(n.g);
}

// Training updates running statistics even when no gradient needs what batch norm computes.
static void side_effects_stay(void **state)
{
    (void)state;
    lt_graph *g;
    assert_int_equal(lt_graph_create(&g), LT_OK);
    lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 1)), u = lt_input(g, "u", LT_F32, LT_SHAPE(LT_BATCH, 1));
    lt_val s = lt_dot(g, net_bn(g, "bn", x, 1), u), y = lt_add(g, s, s);
    lt_plan_spec spec = {
        .grad_of = y, .seed = LT_NONE, .wrt = &s, .n_wrt = 1, .batch = 3, .train = true, .dtype = LT_F64};
    op_run r;
    assert_int_equal(op_run_open(g, &spec, ref, &r), LT_OK);
    memcpy(lt_plan_buffer(r.plan, x), ((double[]){1, 2, 6}), 3 * sizeof(double));
    ((double *)r.state)[0] = 10; // mean
    ((double *)r.state)[1] = 20; // variance
    assert_int_equal(lt_plan_run(r.plan), LT_OK);
    assert_true(*(double *)lt_plan_grad(r.plan, 0) == 2);
    assert_true(fabs(((double *)r.state)[0] - (0.9 * 10 + 0.1 * 3)) < 1e-6);
    assert_true(fabs(((double *)r.state)[1] - (0.9 * 20 + 0.1 * 7)) < 1e-6); // unbiased: (4 + 1 + 9) / 2
    op_run_close(&r);
    lt_graph_destroy(g);
}

// A row of residual blocks of one width, conv-bn-relu-conv-bn each.
static small_net residual_row(int n_blocks)
{
    const lt_conv_attr s1p1 = {.stride = 1, .pad = 1};
    small_net n = {.labels = LT_NONE, .weight = LT_NONE};
    assert_int_equal(lt_graph_create(&n.g), LT_OK);
    n.x = lt_input(n.g, "x", LT_F32, LT_SHAPE(LT_BATCH, 2, 8, 8));
    lt_val h = lt_relu(n.g, net_bn(n.g, "stem_bn", net_conv(n.g, "stem", n.x, 2, 20, 3, s1p1), 20));
    for (int i = 0; i < n_blocks; i++) {
        char name[4][16];
        for (int j = 0; j < 4; j++)
            snprintf(name[j], sizeof name[j], "b%d.%d", i, j);
        lt_val a = lt_relu(n.g, net_bn(n.g, name[1], net_conv(n.g, name[0], h, 20, 20, 3, s1p1), 20));
        a = net_bn(n.g, name[3], net_conv(n.g, name[2], a, 20, 20, 3, s1p1), 20);
        h = lt_relu(n.g, lt_add(n.g, a, h));
    }
    n.loss = lt_dot(n.g, h, h);
    assert_int_equal(lt_graph_status(n.g), LT_OK);
    return n;
}

// Values made again from several maps: the sums of residual blocks.
static int count_sums_again(const lt_plan *plan)
{
    int n = 0;
    char *dump = lt_plan_dump(plan);
    assert_non_null(dump);
    for (char *line = strtok(dump, "\n"); line; line = strtok(NULL, "\n")) {
        char *end = strstr(line, "->");
        if (!end || !strstr(end, " again"))
            continue;
        *end = 0;
        const char *map = strstr(line, "(3,20,8,8)");
        n += map && strstr(map + 1, "(3,20,8,8)");
    }
    free(dump);
    return n;
}

// One training run in float: gradients, state and the loss; memory of activations with scratch.
static float *train_bits(const small_net *n, lt_backend *b, unsigned flags, size_t keep_bytes, int64_t *count,
                         int64_t *bytes, int *again, int *sums_again)
{
    const lt_plan_spec spec = {.outs = &n->loss,
                               .n_outs = 1,
                               .grad_of = n->loss,
                               .seed = LT_NONE,
                               .wrt_params = true,
                               .batch = 3,
                               .train = true,
                               .dtype = LT_F32,
                               .flags = flags | LT_PLAN_NO_TUNE,
                               .keep_bytes = keep_bytes};
    op_run r;
    assert_int_equal(op_run_open(n->g, &spec, b, &r), LT_OK);
    net_fill(n, &r, 3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
    const size_t n_params = (size_t)lt_graph_n_params(n->g), n_state = (size_t)lt_graph_n_state(n->g);
    float *v = malloc((n_params + n_state + 1) * sizeof *v);
    assert_non_null(v);
    memcpy(v, r.grads, n_params * sizeof *v);
    memcpy(v + n_params, r.state, n_state * sizeof *v);
    v[n_params + n_state] = *(float *)lt_plan_buffer(r.plan, n->loss);
    *count = (int64_t)(n_params + n_state + 1);
    *bytes = lt_plan_get_stats(r.plan).slab_bytes;
    *again = count_lines(r.plan, " again");
    *sums_again = count_sums_again(r.plan);
    op_run_close(&r);
    return v;
}

// What is made again has the bits of what would have been kept, whatever the backend; memory shrinks; long rows of
// blocks keep every third sum, so that the work stays linear.
static void made_again_bit_for_bit(void **state)
{
    (void)state;
    for (const char *const *name = lt_backend_names(); *name; name++) {
        lt_backend *b;
        assert_int_equal(lt_backend_create(*name, 2, &b), LT_OK);
        for (int blocks = 0; blocks < 8; blocks++) {
            small_net n = residual_row(blocks);
            int64_t count_a, count_b, kept_bytes, bytes;
            int again, none, sums;
            float *kept = train_bits(&n, b, LT_PLAN_NO_RECOMPUTE, 0, &count_a, &kept_bytes, &none, &sums);
            float *made = train_bits(&n, b, 0, 1, &count_b, &bytes, &again, &sums);
            assert_true(count_a == count_b && memcmp(kept, made, (size_t)count_a * sizeof *kept) == 0);
            assert_int_equal(none, 1); // the legend
            assert_true(again - 1 >= 1 + blocks && again - 1 <= 1 + 3 * blocks);
            assert_true(blocks < 3 || bytes < kept_bytes);
            free(kept);
            free(made);
            lt_graph_destroy(n.g);
        }
        lt_backend_destroy(b);
    }
}

// Two residual blocks of many channels, the second one strided with a projection: where batch norm is folded away,
// every sum, ReLU and mask after a 3x3 convolution becomes part of it.
static small_net wide_blocks(void)
{
    small_net n = {0};
    assert_int_equal(lt_graph_create(&n.g), LT_OK);
    const lt_conv_attr s1 = {.stride = 1, .pad = 1}, s2 = {.stride = 2, .pad = 1}, point = {.stride = 2};
    n.x = lt_input(n.g, "x", LT_F32, LT_SHAPE(LT_BATCH, 3, 9, 8));
    lt_val h = lt_relu(n.g, net_bn(n.g, "bn", net_conv(n.g, "w", n.x, 3, 36, 3, s1), 36));
    lt_val a = lt_relu(n.g, net_bn(n.g, "a1", net_conv(n.g, "w1", h, 36, 36, 3, s1), 36));
    h = lt_relu(n.g, lt_add(n.g, net_bn(n.g, "a2", net_conv(n.g, "w2", a, 36, 36, 3, s1), 36), h));
    a = lt_relu(n.g, net_bn(n.g, "b1", net_conv(n.g, "v1", h, 36, 40, 3, s2), 40));
    a = net_bn(n.g, "b2", net_conv(n.g, "v2", a, 40, 40, 3, s1), 40);
    h = lt_relu(n.g, lt_add(n.g, a, net_bn(n.g, "p", net_conv(n.g, "q", h, 36, 40, 1, point), 40)));
    n.logits = h;
    n.loss = lt_dot(n.g, h, h);
    assert_int_equal(lt_graph_status(n.g), LT_OK);
    return n;
}

// The gradient of the image and the last activation; n_loose: sums, ReLUs and masks that are kernels of their own.
static float *finished_bits(const small_net *n, lt_backend *b, unsigned flags, int64_t *count, int *n_loose)
{
    const lt_val outs[] = {n->logits};
    const lt_plan_spec spec = {.outs = outs,
                               .n_outs = 1,
                               .grad_of = n->loss,
                               .seed = LT_NONE,
                               .wrt = &n->x,
                               .n_wrt = 1,
                               .batch = 3,
                               .dtype = LT_F32,
                               .flags = flags | LT_PLAN_NO_TUNE};
    op_run r;
    assert_int_equal(op_run_open(n->g, &spec, b, &r), LT_OK);
    net_fill(n, &r, 3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
    const int64_t n_x = 3 * 3 * 9 * 8, n_h = 3 * 40 * 5 * 4;
    float *v = malloc((size_t)(n_x + n_h) * sizeof *v);
    assert_non_null(v);
    memcpy(v, lt_plan_grad(r.plan, 0), (size_t)n_x * sizeof *v);
    memcpy(v + n_x, lt_plan_buffer(r.plan, n->logits), (size_t)n_h * sizeof *v);
    *count = n_x + n_h;
    *n_loose = 0;
    for (int i = 0; i < 3; i++) // names of ops, padded, not of implementations
        *n_loose += count_lines(r.plan, (const char *const[]){" add  ", " relu_dx  ", " add_relu_dx  "}[i]);
    op_run_close(&r);
    return v;
}

// The gradient of the last ReLU goes through the convolution and is what that is added to: it must not be overwritten
// while its neighbours are still read. The same forward, with the first activation.
static small_net bare_block(void)
{
    small_net n = {.labels = LT_NONE, .weight = LT_NONE};
    const lt_conv_attr s1 = {.stride = 1, .pad = 1};
    assert_int_equal(lt_graph_create(&n.g), LT_OK);
    n.x = lt_input(n.g, "x", LT_F32, LT_SHAPE(LT_BATCH, 3, 9, 8));
    lt_val h = lt_relu(n.g, net_conv(n.g, "w", n.x, 3, 40, 3, s1));
    h = lt_relu(n.g, lt_add(n.g, net_conv(n.g, "v", h, 40, 40, 3, s1), h));
    const lt_val bias = lt_param(n.g, "u.bias", LT_SHAPE(40));
    h = lt_relu(n.g, lt_add(n.g, lt_conv2d(n.g, h, lt_param(n.g, "u", LT_SHAPE(40, 40, 3, 3)), bias, s1), h));
    n.logits = lt_max_pool2d(n.g, h, 2, 2); // 4x4: less than the last activation, which then dies
    n.loss = lt_dot(n.g, n.logits, n.logits);
    assert_int_equal(lt_graph_status(n.g), LT_OK);
    return n;
}

static void nothing_is_overwritten_while_read(void **state)
{
    enum { N = 8, N_X = N * 3 * 9 * 8, N_Y = N * 40 * 4 * 4 }; // images enough for several blocks of tiles
    static const unsigned flags[] = {0, LT_PLAN_NO_REUSE};
    (void)state;
    for (const char *const *name = lt_backend_names(); *name; name++)
        for (int gradient = 0; gradient < 2; gradient++) {
            static float got[2][N_X + N_Y];
            lt_backend *b;
            assert_int_equal(lt_backend_create(*name, 2, &b), LT_OK);
            small_net n = bare_block();
            for (int i = 0; i < 2; i++) {
                const lt_plan_spec spec = {.outs = &n.logits,
                                           .n_outs = 1,
                                           .grad_of = gradient ? n.loss : LT_NONE,
                                           .seed = LT_NONE,
                                           .wrt = &n.x,
                                           .n_wrt = gradient,
                                           .batch = N,
                                           .dtype = LT_F32,
                                           .flags = flags[i] | LT_PLAN_NO_TUNE};
                op_run r;
                assert_int_equal(op_run_open(n.g, &spec, b, &r), LT_OK);
                net_fill(&n, &r, N);
                assert_int_equal(lt_plan_run(r.plan), LT_OK);
                memcpy(got[i], lt_plan_buffer(r.plan, n.logits), N_Y * sizeof(float));
                if (gradient)
                    memcpy(got[i] + N_Y, lt_plan_grad(r.plan, 0), N_X * sizeof(float));
                op_run_close(&r);
            }
            assert_memory_equal(got[0], got[1], sizeof got[0]);
            lt_graph_destroy(n.g);
            lt_backend_destroy(b);
        }
}

static void convolutions_finish_their_outputs(void **state)
{
    (void)state;
    for (const char *const *name = lt_backend_names(); *name; name++)
        for (unsigned flags = 0; flags <= LT_PLAN_NO_WINOGRAD; flags += LT_PLAN_NO_WINOGRAD) {
            lt_backend *b;
            assert_int_equal(lt_backend_create(*name, 2, &b), LT_OK);
            small_net n = wide_blocks();
            int64_t count_a, count_b;
            int together, apart;
            float *a = finished_bits(&n, b, flags, &count_a, &together);
            float *c = finished_bits(&n, b, flags | LT_PLAN_NO_FUSE, &count_b, &apart);
            assert_int_equal(together, 1);      // dot's two gradients and the mask of the last ReLU
            assert_int_equal(apart, 2 + 3 + 5); // sums forward and of gradients, masks of five ReLUs
            assert_true(count_a == count_b && memcmp(a, c, (size_t)count_a * sizeof *a) == 0);
            free(a);
            free(c);
            lt_graph_destroy(n.g);
            lt_backend_destroy(b);
        }
}

// A budget for what is kept: nothing is made again where all fits, everything where nothing does, and some where the
// budget lies between; the bits are the same.
static void kept_within_a_budget(void **state)
{
    (void)state;
    lt_backend *b;
    assert_int_equal(lt_backend_create("ref", 1, &b), LT_OK);
    small_net n = residual_row(4);
    int64_t count, least, most, bytes;
    int all, none, some = 0, again, all_sums, sums;
    float *bits = train_bits(&n, b, 0, 1, &count, &least, &all, &all_sums);
    free(train_bits(&n, b, LT_PLAN_NO_RECOMPUTE, 0, &count, &most, &none, &sums));
    for (size_t budget = 1024; budget <= 1u << 22; budget += budget / 9) {
        float *with = train_bits(&n, b, 0, budget, &count, &bytes, &again, &sums);
        assert_memory_equal(with, bits, (size_t)count * sizeof *bits);
        assert_true(again <= all && again >= none && bytes >= least && bytes <= most);
        assert_true(bytes == least || (size_t)bytes < 3 * budget); // scratch, gradients and copies come on top
        if (again < all && some == 0)
            assert_true(sums < all_sums); // the first value that is kept is one of these
        some += again < all && again > none;
        free(with);
    }
    assert_true(some > 3);
    assert_int_equal(again, none);
    assert_true(bytes == most);
    free(train_bits(&n, b, 0, 0, &count, &bytes, &again, &sums)); // the default is far above what this takes
    assert_int_equal(again, none);
    free(bits);
    lt_graph_destroy(n.g);
    lt_backend_destroy(b);
}

// A sum goes into the batch norm before it unless somebody else reads what lies between them, or the statistics.
static void sums_fuse_only_where_nobody_looks(void **state)
{
    (void)state;
    small_net n = residual_row(2);
    for (lt_val v = -1; v < n.g->n_values; v++) {
        if (v >= 0 && n.g->value[v].role != LT_ROLE_TEMP)
            continue;
        const lt_plan_spec spec = {.outs = (lt_val[]){n.loss, v},
                                   .n_outs = v < 0 ? 1 : 2,
                                   .grad_of = n.loss,
                                   .seed = LT_NONE,
                                   .wrt_params = true,
                                   .batch = 2,
                                   .train = true,
                                   .dtype = LT_F32};
        const int32_t maker = v < 0 ? -1 : n.g->value[v].node;
        const bool between = maker >= 0 && n.g->node[maker].op == &lt_op_bn && maker + 1 < n.g->n_nodes &&
                             n.g->node[maker + 1].op == &lt_op_add;
        lt_plan *plan;
        assert_int_equal(lt_plan_create(n.g, &spec, ref, &plan), LT_OK);
        const bool sum = maker >= 0 && n.g->node[maker].op == &lt_op_add; // then the relu after it stays apart
        const bool stem = maker == 1; // its relu then stands alone and takes the sum of gradients
        assert_int_equal(count_lines(plan, " add "), between + !stem);
        assert_int_equal(count_lines(plan, " relu "),
                         sum + (maker >= 0 && n.g->node[maker].op == &lt_op_bn && !between));
        lt_plan_destroy(plan);
    }
    lt_graph_destroy(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_value_may_be_read_and_differentiated),
        cmocka_unit_test(folding_takes_what_it_may),
        cmocka_unit_test(side_effects_stay),
        cmocka_unit_test(made_again_bit_for_bit),
        cmocka_unit_test(nothing_is_overwritten_while_read),
        cmocka_unit_test(convolutions_finish_their_outputs),
        cmocka_unit_test(kept_within_a_budget),
        cmocka_unit_test(sums_fuse_only_where_nobody_looks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
