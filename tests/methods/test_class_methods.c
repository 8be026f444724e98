// test_class_methods.c - the arithmetic of class methods against NumPy (golden/make_class_methods_golden.py), and what
// each of them does to the class of the toy.
#include "unlearn_test.h"
#include "golden_arrays.h"
#include "unlearn/damp.h"
#include "unlearn/gradient_rules.h"
#include "unlearn/layers.h"
#include "unlearn/scar.h"
#include "unlearn/subspace.h"
#include "lethe/representation.h"

static lt_tensor_file *golden;

static const void *array(const char *name, int64_t n)
{
    return golden_array(golden, name, n);
}

// ---- closed forms

enum { DIM = 6, N_F = 40, N_R = 50, CLASSES = 5 };

static void take_moments(const char *name, int64_t n, double *c)
{
    memset(c, 0, DIM * DIM * sizeof *c);
    lti_add_second_moment(array(name, n * DIM), n, DIM, 1.0 / (double)n, c);
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j < i; j++)
            c[j * DIM + i] = c[i * DIM + j];
}

static void dagger_projectors_are_numpys(void **state)
{
    (void)state;
    static const char *const name[] = {"transcribed", "oblique"};
    for (int oblique = 0; oblique < 2; oblique++) {
        double forget[DIM * DIM], retain[DIM * DIM], pt[DIM * DIM];
        lti_moments_pair m = {.d = DIM, .forget = forget, .retain = retain};
        take_moments("forget_x", N_F, forget);
        take_moments("retain_x", N_R, retain);
        const lti_mupht_dagger cfg = {.energy = 0.9, .ridge = 1e-6, .ratio = 0.5, .oblique = oblique};
        assert_ok(lti_mupht_dagger_projector(&m, &cfg, pt));
        assert_all_close(pt, array(name[oblique], DIM * DIM), DIM * DIM, 1e-5);
    }
}

static void damp_takes_what_the_other_means_do_not_span(void **state)
{
    (void)state;
    const uint8_t forget[CLASSES] = {0, 1, 0, 0, 0};
    const double *mean = array("mean", CLASSES * DIM);
    double q[CLASSES * DIM] = {0}, p[DIM * DIM];
    int32_t n;
    assert_ok(lti_damp_directions(mean, CLASSES, DIM, forget, forget, q, &n));
    assert_int_equal(n, 1);
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j < DIM; j++)
            p[i * DIM + j] = q[i] * q[j];
    assert_all_close(p, array("damp", DIM * DIM), DIM * DIM, 1e-9);
    double spanned[CLASSES * DIM]; // a mean in the span of the others: nothing to take out
    memcpy(spanned, mean, sizeof spanned);
    for (int j = 0; j < DIM; j++)
        spanned[DIM + j] = 0.25 * mean[j] - 2 * mean[2 * DIM + j] + mean[4 * DIM + j];
    assert_ok(lti_damp_directions(spanned, CLASSES, DIM, forget, forget, q, &n));
    assert_int_equal(n, 0);
}

static void damp_probe_is_fishers(void **state)
{
    (void)state;
    double accuracy;
    assert_ok(lti_damp_probe(array("feature", 30 * 4), 30, 4, array("kind", 30), &accuracy));
    assert_all_close(&accuracy, array("probe", 1), 1, 1e-12);
    const uint8_t none[30] = {0};
    assert_ok(lti_damp_probe(array("feature", 30 * 4), 30, 4, none, &accuracy));
    assert_true(isnan(accuracy) && lti_damp_strength(accuracy, 3, 4) == 0);
    assert_true(lti_damp_strength(1, 3, 4) == 1 && lti_damp_strength(0.75, 1, 4) == 0.25 &&
                lti_damp_strength(0.4, 3, 4) == 0);
}

// ---- gradients

static void scar_distance_is_numpys(void **state)
{
    (void)state;
    double inverse[25], scratch[10], slope[5];
    memcpy(inverse, array("covariance", 25), sizeof inverse);
    assert_ok(lti_scar_inverse(inverse, 5, 3, 3));
    assert_all_close(inverse, array("inverse", 25), 25, 1e-9);
    const double distance = lti_scar_distance(array("scar_h", 5), array("centre", 5), inverse, 5, 0.5, scratch, slope);
    assert_all_close(&distance, array("distance", 1), 1, 1e-9);
    assert_all_close(slope, array("slope", 5), 5, 1e-6);
}

static void hamu_steps_are_numpys(void **state)
{
    (void)state;
    const float *r = array("g_r", 14), *f = array("g_f", 14);
    const double *expected = array("step", 14);
    const lti_hamu_branch branch[2] = {LTI_HAMU_DIRECT, LTI_HAMU_RECTIFIED};
    for (int i = 0; i < 2; i++) {
        float step[7];
        double wide[7];
        assert_int_equal(lti_hamu_step(r + 7 * i, f + 7 * i, 7, 0.1, 0.01, step), branch[i]);
        for (int j = 0; j < 7; j++)
            wide[j] = (double)step[j];
        assert_all_close(wide, expected + 7 * i, 7, 1e-6);
    }
    float step[7];
    assert_int_equal(lti_hamu_step(r + 7, f + 7, 7, 0.1, 100, step), LTI_HAMU_ASCENT); // too much to ask
}

// --stop: what is in reach is where the step would begin to raise the retained loss; gradients that oppose each other
// leave the whole length. [HAMU 3]
static void hamu_reaches_what_costs_nothing(void **state)
{
    (void)state;
    static const float r[2] = {3, 4}, with[2] = {4, 3}, against[2] = {-4, -3}; // lengths 5, cosine 0.96
    float step[2];
    assert_true(fabs(lti_hamu_reach(r, with, 2, 0.1) - 0.1 * 25 * 0.28) < 1e-9);
    assert_true(fabs(lti_hamu_reach(r, against, 2, 0.1) - 0.1 * 25) < 1e-9);
    for (int side = -1; side <= 1; side += 2) {
        assert_int_equal(lti_hamu_step(r, with, 2, 0.1, 0.1 * 25 * 0.28 + 0.01 * side, step), LTI_HAMU_RECTIFIED);
        const double rise = (double)(r[0] * step[0] + r[1] * step[1]); // of the retained loss
        assert_true(side < 0 ? rise < 0 : rise > 0);
    }
}

static void sfr_on_weighs_what_is_still_remembered(void **state)
{
    (void)state;
    double w[6];
    lti_sfron_weights(array("ce", 6), 6, 0.5, w);
    assert_all_close(w, array("weights", 6), 6, 1e-9);
    const float forget[4] = {2, 1, 0.5f, 0}, retain[4] = {1, 1, 1, 0};
    uint8_t mask[4];
    lti_sfron_mask(forget, retain, 4, 1, mask);
    assert_true(mask[0] && mask[1] && !mask[2] && mask[3]);
}

// ---- on the toy

static double class_accuracy(const lt_model *model, const lt_index_set *rows)
{
    lt_eval_result r;
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, rows);
    assert_ok(lt_evaluate(model, &view, &world.env, 64, NULL, NULL, &r));
    return r.acc;
}

static void methods_forget_a_class_and_keep_the_others(void **state)
{
    (void)state;
    static const struct {
        const char *name, *values;
        double most_forgotten, least_kept;
    } c[] = {
        {"scar", "epochs=30,lr=0.005", 0.35, 0.6},
        {"sfr-on", "lr-area=3", 0.35, 0.6},
        {"lotus", "lr=0.005,epochs=10,retain-share=1,alpha=64", 0.6, 0.5},
        {"spotter", "base=trw,lr-area=3,epochs=10", 0.35, 0.6},
        {"uam", "lr-area=3,epochs=5,rho=0.5", 1, 0.8},
        {"l2ul", "lr-area=0.1,epochs=10", 0.6, 0.3},
        {"damp", "", 1, 0.5},
        {"mupht", "", 0.6, 0.5},
        {"mupht-dagger", "", 1, 0.5},
        {"hamu", "lr-area=3,epochs=10", 1, 0.8},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        const lt_unlearn_method *m = find(c[i].name);
        lt_unlearn_result r;
        lt_model *model = toy_trained(&world);
        lt_unlearn_in in = input(model);
        in.forget = &world.class_forget;
        in.retain = &world.class_retain;
        lt_optset *set;
        void *cfg = config_open(m, c[i].values, &set);
        assert_ok(lt_unlearn_run(m, &in, cfg, &r));
        const double forgotten = class_accuracy(model, &world.class_forget);
        const double kept = class_accuracy(model, &world.class_retain);
        print_message("%-8s forgotten class %.2f, others %.2f\n", m->name, forgotten, kept);
        if (forgotten > c[i].most_forgotten || kept < c[i].least_kept)
            fail_msg("%s: accuracy %.2f on the forgotten class, %.2f on the others", m->name, forgotten, kept);
        lt_unlearn_result_clear(&r);
        lt_optset_destroy(set);
        lti_free(cfg);
        lt_model_destroy(model);
    }
}

static void check_labels(const lt_unlearn_in *in, const char *name, const char *values, lt_relabel relabel,
                         const uint8_t *not_drawn)
{
    lt_optset *set;
    lti_setting setting;
    lt_unlearn_plan_ctx ctx = {0};
    lt_job job = {.model = in->model, .seed = 1};
    void *cfg = config_open(find(name), values, &set);
    assert_ok(lti_fill_defaults(find(name), in, cfg, &setting));
    assert_ok(find(name)->plan(in, cfg, &ctx, &job));
    const lt_view *v = &job.phase[0].view[0];
    assert_int_equal(v->relabel, relabel);
    if (not_drawn)
        assert_memory_equal(v->not_drawn, not_drawn, (size_t)world.ds->n_classes);
    else
        assert_null(v->not_drawn);
    if (ctx.own)
        ctx.own_free(ctx.own);
    lti_free(ctx.mask);
    lt_optset_destroy(set);
    lti_free(cfg);
}

// Of several forgotten classes none is learned as another one, unless that is asked for. [RL 2]
static void labels_of_forgotten_classes_are_not_drawn(void **state)
{
    (void)state;
    enum { MAX_CLASSES = 16 };
    static const uint8_t two[MAX_CLASSES] = {1, 1}, none[MAX_CLASSES];
    const lt_split_data *d = &world.ds->split[LT_TRAIN];
    lt_index_set forget = {.row = lti_calloc((size_t)d->n, sizeof(int64_t))},
                 retain = {.row = lti_calloc((size_t)d->n, sizeof(int64_t))};
    assert_true(forget.row && retain.row && world.ds->n_classes <= MAX_CLASSES);
    for (int64_t i = 0; i < d->n; i++) {
        lt_index_set *set = d->y[i] < 2 ? &forget : &retain;
        set->row[set->n++] = i;
    }
    lt_unlearn_in in = input(world.model), samples = in;
    in.forget = &forget;
    in.retain = &retain;
    check_labels(&in, "rl", "label-set=auto", LT_RELABEL_RANDOM_OTHER, two);
    check_labels(&in, "rl", "label-set=other", LT_RELABEL_RANDOM_OTHER, NULL);
    check_labels(&in, "rl", "label-set=all", LT_RELABEL_RANDOM_ANY, NULL);
    check_labels(&samples, "rl", "label-set=auto", LT_RELABEL_RANDOM_OTHER, none);
    check_labels(&in, "salun", "label-set=auto", LT_RELABEL_RANDOM_ANY, NULL); // as the authors' code
    check_labels(&in, "salun", "label-set=remaining", LT_RELABEL_RANDOM_OTHER, two);
    check_labels(&in, "salun", "true-label=no", LT_RELABEL_RANDOM_OTHER, two);
    lti_free(forget.row);
    lti_free(retain.row);
}

// The change that one step over all images makes, (n_params).
static float *one_step(const char *name, const char *values)
{
    char all[192];
    lt_unlearn_result r;
    snprintf(all, sizeof all, "epochs=1,batch=4096,lr=0.01,schedule=const,momentum=0,weight-decay=0,freeze-bn=yes,%s",
             values);
    lt_model *model = unlearn(name, all, true, 3, &r);
    assert_int_equal(r.train.steps, 1);
    for (int64_t i = 0; i < model->n_params; i++)
        model->params[i] -= world.model->params[i];
    float *change = lti_malloc((size_t)model->n_params * sizeof *change);
    assert_non_null(change);
    memcpy(change, model->params, (size_t)model->n_params * sizeof *change);
    lt_unlearn_result_clear(&r);
    lt_model_destroy(model);
    return change;
}

// <a - b, c - d> / |c - d|^2: 1 where the differences are equal. b, d NULL = 0.
static double share_of(const float *a, const float *b, const float *c, const float *d)
{
    double along = 0, square = 0;
    for (int64_t i = 0; i < world.model->n_params; i++) {
        const double x = (double)a[i] - (b ? (double)b[i] : 0), y = (double)c[i] - (d ? (double)d[i] : 0);
        along += x * y;
        square += y * y;
    }
    return along / square;
}

// Its terms are means over the forgotten images, whatever else is in the batch. [SPOTTER 1]
static void spotter_does_not_dilute_its_terms(void **state)
{
    (void)state;
    const double share =
        (double)world.class_forget.n / (double)(world.class_forget.n + world.class_retain.n); // forgotten ones of trw
    float *alone = one_step("delete", "l1=0"), *inside = one_step("spotter", "balance=1,disperse=0");
    float *spread = one_step("spotter", "balance=1,disperse=1");
    float *with_retain = one_step("spotter", "base=trw,balance=1,disperse=0");
    float *spread_too = one_step("spotter", "base=trw,balance=1,disperse=1");
    float *trw = one_step("trw", "l1=0");
    assert_true(fabs(share_of(inside, NULL, alone, NULL) - 1) < 1e-3);
    assert_true(fabs(share_of(with_retain, NULL, trw, NULL) - 1) < 1e-3);
    assert_true(fabs(share_of(spread_too, with_retain, spread, inside) / share - 1) < 1e-2);
    float *const all[] = {alone, inside, spread, with_retain, spread_too, trw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        lti_free(all[i]);
}

// MUpHT changes the weights of the last `layers` layers and nothing else.
static void mupht_changes_the_last_layers(void **state)
{
    (void)state;
    enum { MAX_LAYERS = 16 };
    lti_layer layer[MAX_LAYERS];
    lt_model *before = toy_trained(&world);
    const int n = lti_model_layers(before, layer, MAX_LAYERS);
    assert_true(n > 2 && n <= MAX_LAYERS);
    for (int last = 0; last <= 2; last++) {
        lt_unlearn_result r;
        char values[32];
        lti_format(values, sizeof values, "layers=%d", last);
        lt_model *after = unlearn("mupht", values, true, 3, &r);
        for (int l = 0; l < n; l++) {
            const size_t bytes = (size_t)(layer[l].n_out * layer[l].n_in) * sizeof(float);
            const bool same = !memcmp(before->params + layer[l].offset, after->params + layer[l].offset, bytes);
            assert_int_equal(same, last > 0 && l < n - last);
        }
        lt_unlearn_result_clear(&r);
        lt_model_destroy(after);
    }
    lt_model_destroy(before);
}

// UAM at rho 0 is fine-tuning on the retained images, but for the statistics of batch norm, which see one more batch.
static void uam_without_ascent_is_fine_tuning(void **state)
{
    (void)state;
    lt_unlearn_result a, b;
    lt_model *uam = unlearn("uam", "rho=0,lr=0.01,schedule=const", true, 3, &a);
    lt_model *ft = unlearn("ft", "lr=0.01,schedule=const", true, 3, &b);
    assert_memory_equal(uam->params, ft->params, (size_t)ft->n_params * sizeof *ft->params);
    lt_unlearn_result_clear(&a);
    lt_unlearn_result_clear(&b);
    lt_model_destroy(uam);
    lt_model_destroy(ft);
}

static void lotus_ends_when_the_reference_is_reached(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *model = unlearn("lotus", "reference=held-out,stop-below=1,epochs=5,lr=0.001", true, 3, &r);
    assert_int_equal(r.train.epochs, 1); // every difference is at most 1: it ends before the second epoch
    lt_unlearn_result_clear(&r);
    lt_model_destroy(model);
}

// The control that cheats: a few small steps of relearning leave the mask in place; with new rows the class is back.
static void relearning_with_new_rows_exposes_the_mask(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *model = unlearn("logit-mask", "", true, 3, &r);
    lt_representation_cfg cfg;
    lt_options_defaults(lt_representation_options, &cfg);
    cfg.relearn_steps = 10;
    cfg.relearn_batch = 16;
    cfg.relearn_lr = 0.0005f;
    const lt_view test = lt_view_split(world.ds, LT_TEST);
    double last[2];
    for (int reinit = 0; reinit < 2; reinit++) {
        lt_relearn curve;
        cfg.relearn_reinit = reinit;
        assert_ok(lt_relearn_run(model, world.ds, &world.class_forget, &test, &cfg, 3, &world.env, &curve));
        last[reinit] = curve.forget_acc[curve.n - 1];
        lt_relearn_clear(&curve);
    }
    assert_true(last[0] == 0 && last[1] >= 0.9 * class_accuracy(world.model, &world.class_forget));
    lt_unlearn_result_clear(&r);
    lt_model_destroy(model);
}

static int open_all(void **state)
{
    assert_ok(lt_tensor_file_open(LT_TEST_SOURCE_DIR "/tests/methods/golden/class_methods_golden.npz", &golden));
    return set_up(state);
}

static int close_all(void **state)
{
    lt_tensor_file_close(golden);
    return tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dagger_projectors_are_numpys),
        cmocka_unit_test(damp_takes_what_the_other_means_do_not_span),
        cmocka_unit_test(damp_probe_is_fishers),
        cmocka_unit_test(scar_distance_is_numpys),
        cmocka_unit_test(hamu_steps_are_numpys),
        cmocka_unit_test(hamu_reaches_what_costs_nothing),
        cmocka_unit_test(sfr_on_weighs_what_is_still_remembered),
        cmocka_unit_test(methods_forget_a_class_and_keep_the_others),
        cmocka_unit_test(labels_of_forgotten_classes_are_not_drawn),
        cmocka_unit_test(spotter_does_not_dilute_its_terms),
        cmocka_unit_test(mupht_changes_the_last_layers),
        cmocka_unit_test(uam_without_ascent_is_fine_tuning),
        cmocka_unit_test(lotus_ends_when_the_reference_is_reached),
        cmocka_unit_test(relearning_with_new_rows_exposes_the_mask),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
