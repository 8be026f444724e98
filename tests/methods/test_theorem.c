// Norms of layers against dense matrices and closed forms, the bound along the graph, and the terms of the theorem
// against losses computed one by one. [AMUN 9]
#include "unlearn_test.h"
#include "lethe/theorem.h"
#include "model/model_impl.h"

// ---- dense references, in double

// Largest singular value of a (rows,cols) by power iteration on A'A until it stands still.
static double dense_norm(const double *a, int rows, int cols)
{
    double *x = lti_calloc((size_t)cols, sizeof *x), *y = lti_calloc((size_t)rows, sizeof *y), sigma = 0;
    for (int j = 0; j < cols; j++)
        x[j] = 1 + 0.37 * sin(3.1 * j);
    for (int t = 0; t < 20000; t++) {
        double length = 0, before = sigma;
        for (int j = 0; j < cols; j++)
            length += x[j] * x[j];
        for (int j = 0; j < cols; j++)
            x[j] /= sqrt(length);
        sigma = 0;
        for (int i = 0; i < rows; i++) {
            y[i] = 0;
            for (int j = 0; j < cols; j++)
                y[i] += a[i * cols + j] * x[j];
            sigma += y[i] * y[i];
        }
        sigma = sqrt(sigma);
        for (int j = 0; j < cols; j++) {
            x[j] = 0;
            for (int i = 0; i < rows; i++)
                x[j] += a[i * cols + j] * y[i];
        }
        if (t > 200 && fabs(sigma - before) <= 1e-15 * sigma)
            break;
    }
    lti_free(x);
    lti_free(y);
    return sigma;
}

enum { C = 2, K = 3, R = 3, H = 6, W = 5 };

// The matrix of the convolution, from its definition: y[k,p,q] = sum x[c, p stride + r - pad, q stride + s - pad] w.
static double *conv_matrix(const float *w, int stride, int pad, int *rows)
{
    const int out_h = (H + 2 * pad - R) / stride + 1, out_w = (W + 2 * pad - R) / stride + 1;
    *rows = K * out_h * out_w;
    double *a = lti_calloc((size_t)*rows * C * H * W, sizeof *a);
    for (int k = 0; k < K; k++)
        for (int p = 0; p < out_h; p++)
            for (int q = 0; q < out_w; q++)
                for (int c = 0; c < C; c++)
                    for (int r = 0; r < R; r++)
                        for (int s = 0; s < R; s++) {
                            const int h = p * stride + r - pad, v = q * stride + s - pad;
                            if (h >= 0 && h < H && v >= 0 && v < W)
                                a[((k * out_h + p) * out_w + q) * C * H * W + (c * H + h) * W + v] =
                                    (double)w[((k * C + c) * R + r) * R + s];
                        }
    return a;
}

static void norms_of_convolutions(void **state)
{
    (void)state;
    static const int form[][2] = {{1, 1}, {2, 1}, {1, 0}, {2, 0}}; // stride, pad
    float w[K * C * R * R];
    for (int i = 0; i < K * C * R * R; i++) {
        lt_rng rng = lt_rng_at(5, LT_STREAM_TEST, 0, (uint64_t)i);
        w[i] = (float)lt_rng_normal(&rng);
    }
    for (size_t f = 0; f < sizeof form / sizeof *form; f++) {
        const lt_conv_attr attr = {.stride = form[f][0], .pad = form[f][1], .groups = 1};
        lt_layer_norm norm;
        int rows;
        double *a = conv_matrix(w, form[f][0], form[f][1], &rows);
        const double want = dense_norm(a, rows, C * H * W);
        assert_ok(lt_conv_norm(w, LT_SHAPE(K, C, R, R), attr, H, W, &(lt_lipschitz_cfg){.tolerance = 1e-7, .seed = f},
                               &world.env, &norm));
        if (fabs(norm.sigma - want) > 1e-4 * want)
            fail_msg("stride %d, pad %d: expected %.8g, found %.8g", form[f][0], form[f][1], want, norm.sigma);
        assert_true(norm.iterations >= 10 && norm.residual >= 0 && norm.residual < 0.2);
        // Few iterations stay below; that is what tolerance means.
        assert_ok(lt_conv_norm(w, LT_SHAPE(K, C, R, R), attr, H, W, &(lt_lipschitz_cfg){.max_iterations = 1},
                               &world.env, &norm));
        assert_int_equal(norm.iterations, 1);
        assert_true(norm.sigma < 0.999 * want);
        lti_free(a);
    }
}

static void norms_in_closed_form(void **state)
{
    (void)state;
    float w[9] = {0};
    lt_layer_norm norm;
    const lt_lipschitz_cfg cfg = {.tolerance = 1e-8};
    const lt_conv_attr same = {.stride = 1, .pad = 1, .groups = 1};
    w[4] = -2.5f; // a multiple of the identity
    assert_ok(lt_conv_norm(w, LT_SHAPE(1, 1, 3, 3), same, 7, 9, &cfg, &world.env, &norm));
    assert_true(fabs(norm.sigma - 2.5) < 1e-5);
    // A sum of three neighbours in a row, zero padded: eigenvalues 1 + 2 cos(pi j / (n + 1)).
    memset(w, 0, sizeof w);
    w[3] = w[4] = w[5] = 1;
    assert_ok(lt_conv_norm(w, LT_SHAPE(1, 1, 3, 3), same, 4, 8, &cfg, &world.env, &norm));
    assert_true(fabs(norm.sigma - (1 + 2 * cos(acos(-1.0) / 9))) < 1e-4);
    memset(w, 0, sizeof w);
    assert_ok(lt_conv_norm(w, LT_SHAPE(1, 1, 3, 3), same, 4, 8, &cfg, &world.env, &norm));
    assert_true(norm.sigma == 0.0);
    w[0] = NAN;
    assert_fails(LT_E_DIVERGED, "finite weights",
                 lt_conv_norm(w, LT_SHAPE(1, 1, 3, 3), same, 4, 8, &cfg, &world.env, &norm));
    world.stop = 1;
    assert_fails(LT_E_INTERRUPTED, "norm of a layer",
                 lt_conv_norm(w, LT_SHAPE(1, 1, 3, 3), same, 4, 8, &cfg, &world.env, &norm));
    world.stop = 0;
}

// ---- along the graph

static double sigma_of(const lt_lipschitz *l, const char *name)
{
    for (int i = 0; i < l->n_layers; i++)
        if (strcmp(l->layer[i].name, name) == 0)
            return l->layer[i].sigma;
    fail_msg("no layer %s", name);
    return 0;
}

static double residual_block(const lt_lipschitz *l, const char *block, bool projected, bool half)
{
    char name[4][64];
    static const char *const leaf[] = {"conv1", "conv2", "shortcut.0"};
    for (int i = 0; i < 3; i++)
        snprintf(name[i], sizeof name[i], "%s.%s", block, leaf[i]);
    const double branch = sigma_of(l, name[0]) * sigma_of(l, name[1]);
    return (branch + (projected ? sigma_of(l, name[2]) : 1)) * (half ? 0.5 : 1);
}

static void residual_networks_compose(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        lt_model *m;
        lt_lipschitz l;
        assert_ok(lt_model_create(half ? "resnet18:width=2,proj-half=1,mean=0.4,std=0.25" : "resnet18:width=2",
                                  (lt_model_shape){3, 16, 16, 5}, &m));
        lt_model_init(m, 4);
        for (int64_t i = 0; i < m->n_state; i++) // running statistics that scale
            m->state[i] = 0.25f + 0.05f * (float)(i % 7);
        assert_ok(lt_lipschitz_bound(m, &(lt_lipschitz_cfg){.seed = 1}, &world.env, &l));
        assert_int_equal(l.n_layers, 21);
        double want = sigma_of(&l, "conv1") * (half ? 4 : 1);
        for (int stage = 1; stage <= 4; stage++)
            for (int block = 0; block < 2; block++) {
                char name[32];
                snprintf(name, sizeof name, "layer%d.%d", stage, block);
                want *= residual_block(&l, name, stage > 1 && block == 0, half && stage > 1 && block == 0);
            }
        want *= sigma_of(&l, "linear") / 2; // the last map is 2x2 and pooled whole
        assert_true(fabs(l.bound - want) <= 1e-9 * want);
        assert_string_equal(l.layer[0].kind, "conv+bn");
        lt_lipschitz_clear(&l);
        lt_lipschitz_clear(&l);
        lt_model_destroy(m);
    }
}

// The convolution with its batch norm is one operator: scaling gamma of every channel scales it.
static void batch_norm_is_folded(void **state)
{
    (void)state;
    lt_lipschitz a, b;
    lt_model *m = toy_trained(&world);
    assert_ok(lt_lipschitz_bound(m, &(lt_lipschitz_cfg){0}, &world.env, &a));
    lt_value_info info;
    assert_true(lti_model_tensor(m, lt_graph_find(m->graph, "bn2.weight"), &info));
    for (int64_t i = 0; i < info.shape.dim[0]; i++)
        m->params[info.slab_offset + i] *= -3;
    assert_ok(lt_lipschitz_bound(m, &(lt_lipschitz_cfg){0}, &world.env, &b));
    assert_int_equal(a.n_layers, 4);
    assert_true(fabs(sigma_of(&b, "conv2") - 3 * sigma_of(&a, "conv2")) < 1e-3 * sigma_of(&b, "conv2"));
    assert_true(fabs(b.bound - 3 * a.bound) < 1e-3 * b.bound);
    lt_lipschitz_clear(&a);
    lt_lipschitz_clear(&b);
    lt_model_destroy(m);
}

// No pair of images may move the logits further than the bound says.
static void no_pair_breaks_the_bound(void **state)
{
    (void)state;
    enum { PAIRS = 60 };
    lt_lipschitz l;
    float logits[2][PAIRS * TOY_K];
    float *x = lti_calloc((size_t)TOY_TRAIN * TOY_DIM, sizeof *x);
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_eval_result r;
    view.n = PAIRS;
    assert_ok(lt_lipschitz_bound(world.model, &(lt_lipschitz_cfg){.tolerance = 1e-6}, &world.env, &l));
    assert_ok(lt_evaluate(world.model, &view, &world.env, 16, logits[0], NULL, &r));
    double largest = 0;
    for (int i = 0; i < PAIRS * TOY_DIM; i++) {
        lt_rng rng = lt_rng_at(2, LT_STREAM_TEST, 3, (uint64_t)i);
        const float clean = (float)world.ds->split[LT_TRAIN].x[i] / 255.0f;
        x[i] = fminf(1, fmaxf(0, clean + 0.02f * (float)lt_rng_normal(&rng)));
    }
    view.images = x;
    assert_ok(lt_evaluate(world.model, &view, &world.env, 16, logits[1], NULL, &r));
    for (int i = 0; i < PAIRS; i++) {
        double moved = 0, far = 0;
        for (int j = 0; j < TOY_DIM; j++)
            far += pow((double)x[i * TOY_DIM + j] - (double)world.ds->split[LT_TRAIN].x[i * TOY_DIM + j] / 255.0, 2);
        for (int j = 0; j < TOY_K; j++)
            moved += pow((double)logits[0][i * TOY_K + j] - (double)logits[1][i * TOY_K + j], 2);
        largest = fmax(largest, sqrt(moved / far));
    }
    assert_true(largest > 0 && largest <= l.bound);
    lti_free(x);
    lt_lipschitz_clear(&l);
}

// ---- the terms

static double loss_of(const lt_model *m, int64_t row, const float *image, int32_t label, int32_t *predicted)
{
    float z[TOY_K];
    lt_view view = {.ds = world.ds, .split = LT_TRAIN, .row = &row, .n = 1, .images = image, .weight = 1};
    lt_eval_result r;
    assert_ok(lt_evaluate(m, &view, &world.env, 1, z, NULL, &r));
    double sum = 0;
    *predicted = 0;
    for (int k = 0; k < TOY_K; k++) {
        sum += exp((double)z[k]);
        *predicted = z[k] > z[*predicted] ? k : *predicted;
    }
    return log(sum) - (double)z[label];
}

static lt_model *moved(const lt_model *from, float by, uint64_t seed)
{
    lt_model *m;
    assert_ok(lt_model_dup(from, &m));
    for (int64_t i = 0; i < m->n_params; i++) {
        lt_rng rng = lt_rng_at(seed, LT_STREAM_TEST, 5, (uint64_t)i);
        m->params[i] += by * (float)lt_rng_normal(&rng);
    }
    return m;
}

static double apart(const lt_model *a, const lt_model *b)
{
    double sum = 0;
    for (int64_t i = 0; i < a->n_params; i++)
        sum += pow((double)a->params[i] - (double)b->params[i], 2);
    return sqrt(sum);
}

static void terms_are_those_of_the_definition(void **state)
{
    (void)state;
    lt_model *o = toy_trained(&world), *p = moved(o, 0.05f, 1), *u = moved(o, 0.2f, 2);
    lt_adv_search_cfg cfg;
    lt_adv_set *adv;
    lt_theorem t, without;
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_options_defaults(lt_adv_search_options, &cfg);
    assert_ok(lt_adv_search(o, &view, &cfg, &world.env, NULL, &adv));
    const lt_theorem_in in = {view, adv->x_adv, adv->adv_pred, adv->delta_norm, o, p, u};
    assert_ok(lt_theorem_measure(&in, &world.env, &t));
    assert_int_equal(t.n, TOY_FORGET);
    int as_adv[3] = {0}, wrong[3] = {0};
    double local = 0;
    for (int64_t i = 0; i < t.n; i++) {
        const lt_model *m[3] = {o, p, u};
        const int64_t row = world.forget.row[i];
        const int32_t y = world.ds->split[LT_TRAIN].y[row], y_adv = adv->adv_pred[i];
        const float *x_adv = adv->x_adv + i * TOY_DIM;
        int32_t got;
        double want[LT_N_TERMS] = {loss_of(o, row, x_adv, y, &got), loss_of(p, row, x_adv, y_adv, &got),
                                   loss_of(u, row, NULL, y, &got), loss_of(u, row, x_adv, y_adv, &got),
                                   loss_of(o, row, NULL, y, &got)};
        for (int k = 0; k < LT_N_TERMS; k++)
            assert_true(fabs(t.loss[k][i] - want[k]) < 1e-5 * (1 + want[k]));
        assert_true(fabs(t.c[i] - (want[0] + want[1] - want[2] - want[3])) < 1e-4);
        if (adv->delta_norm[i] > 0)
            local = fmax(local, fabs(want[0] - want[4]) / (double)adv->delta_norm[i]);
        else
            assert_true(isnan(t.local[i]));
        for (int k = 0; k < 3; k++) {
            loss_of(m[k], row, x_adv, y, &got);
            as_adv[k] += got == y_adv;
            wrong[k] += got != y;
        }
    }
    assert_true(local > 0 && fabs(t.local_max - local) < 1e-3 * local);
    const lt_transfer *transfer[3] = {&t.original, &t.unlearned, &t.retrained};
    for (int k = 0; k < 3; k++) {
        assert_true(fabs(transfer[k]->as_adv - as_adv[k] / (double)TOY_FORGET) < 1e-12);
        assert_true(fabs(transfer[k]->wrong - wrong[k] / (double)TOY_FORGET) < 1e-12);
    }
    assert_true(fabs(t.original.as_adv - 1) < 1e-12); // found on this model
    assert_true(fabs(t.original_retrained - apart(o, u)) < 1e-9 && fabs(t.unlearned_retrained - apart(p, u)) < 1e-9 &&
                fabs(t.unlearned_original - apart(p, o)) < 1e-9);
    lt_theorem_in alone = in;
    alone.retrained = NULL;
    assert_ok(lt_theorem_measure(&alone, &world.env, &without));
    assert_true(isnan(without.c[0]) && isnan(without.original_retrained) && isnan(without.retrained.as_adv));
    assert_memory_equal(without.loss[0], t.loss[0], (size_t)t.n * sizeof(double));
    lt_theorem_clear(&t);
    lt_theorem_clear(&without);
    lt_adv_set_destroy(adv);
    lt_model_destroy(o);
    lt_model_destroy(p);
    lt_model_destroy(u);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    lt_model *other;
    lt_theorem t;
    float delta[TOY_FORGET] = {0}, *x = lti_calloc((size_t)TOY_FORGET * TOY_DIM, sizeof *x);
    int32_t y_adv[TOY_FORGET] = {0};
    assert_ok(lt_model_create("simple-conv:width=2", (lt_model_shape){TOY_C, TOY_H, TOY_H, TOY_K}, &other));
    lt_theorem_in in = {lt_view_rows(world.ds, LT_TRAIN, &world.forget), x, y_adv, delta, world.model, other, NULL};
    assert_fails(LT_E_SHAPE, "one architecture", lt_theorem_measure(&in, &world.env, &t));
    in.unlearned = world.model;
    y_adv[3] = TOY_K;
    assert_fails(LT_E_SHAPE, "sample 3", lt_theorem_measure(&in, &world.env, &t));
    y_adv[3] = 0;
    in.clean.n = 0;
    assert_fails(LT_E_USAGE, "at least one sample", lt_theorem_measure(&in, &world.env, &t));
    lti_free(x);
    lt_model_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_of_convolutions),        cmocka_unit_test(norms_in_closed_form),
        cmocka_unit_test(residual_networks_compose),    cmocka_unit_test(batch_norm_is_folded),
        cmocka_unit_test(no_pair_breaks_the_bound),     cmocka_unit_test(terms_are_those_of_the_definition),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
