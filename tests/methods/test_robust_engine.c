// test_robust_engine.c - the engine of attacks: exact balls, losses, independence of batches, counts, errors.
#include "robust_test.h"

static rt_world lin; // 48 images, interior pixels

static int open_world(void **state)
{
    (void)state;
    rt_open_linear(&lin, RT_K, 48, 0.2, false);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    rt_close(&lin);
    return 0;
}

static void test_parse_eps(void **state)
{
    (void)state;
    double e;
    assert_ok(lt_attack_parse_eps("8/255", &e));
    assert_true(e == 8.0 / 255.0);
    assert_ok(lt_attack_parse_eps("0.031", &e));
    assert_true(e == 0.031);
    assert_ok(lt_attack_parse_eps("0", &e));
    assert_true(e == 0);
    const char *bad[] = {"",    "/",       "8/",    "/255",     "8/0",     "-1", "nan",
                         "inf", "8/255/2", "1e999", "1/1e-320", "8 /255x", NULL};
    for (int i = 0; bad[i]; i++)
        assert_int_equal(lt_attack_parse_eps(bad[i], &e), LT_E_USAGE);
    assert_int_equal(lt_attack_parse_eps(NULL, &e), LT_E_USAGE);
}

// Containment is exact, whatever the image and the radius; the box is as large as floats allow.
static void test_balls(void **state)
{
    (void)state;
    enum { N = 12, ROUNDS = 20000 };
    lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, 1, 0);
    float x[N], lo[N], hi[N], v[N];
    for (int round = 0; round < ROUNDS; round++) {
        const double e = exp(-12 * (double)lt_rng_uniform(&rng));
        for (int j = 0; j < N; j++) {
            x[j] = round % 3 == 0 ? (float)(lt_rng_below(&rng, 256)) / 255.0f : lt_rng_uniform(&rng);
            v[j] = x[j] + (float)(e * 2 * lt_rng_normal(&rng));
        }
        lti_box(x, e, N, lo, hi);
        for (int j = 0; j < N; j++) {
            assert_true((double)x[j] - (double)lo[j] <= e && (double)hi[j] - (double)x[j] <= e);
            assert_true(lo[j] >= 0 && hi[j] <= 1);
            if (lo[j] > 0)
                assert_true((double)x[j] - (double)nextafterf(nextafterf(lo[j], 0), 0) > e);
        }
        const double before = lti_distance(LT_NORM_L2, v, x, N);
        lti_project_l2(x, e, N, v);
        const double after = lti_distance(LT_NORM_L2, v, x, N);
        assert_true(after <= e && after <= before + 1e-12);
        for (int j = 0; j < N; j++)
            assert_true(v[j] >= 0 && v[j] <= 1);
    }
}

// dz is a multiple of the gradient of f: central differences in double of float logits that are exact.
static void check_loss(int32_t loss, int k, int label, int target, lt_rng *rng)
{
    float z[RT_K], dz[RT_K];
    double num[RT_K], dot = 0, a = 0, b = 0;
    for (int j = 0; j < k; j++)
        z[j] = (float)(int)(4096 * (3 * lt_rng_normal(rng))) / 4096.0f;
    lti_loss_in in = {z, k, label, target};
    lti_loss(loss, &in, dz);
    for (int j = 0; j < k; j++) {
        const float keep = z[j], h = 1.0f / 4096.0f;
        z[j] = keep + h;
        const double up = lti_loss(loss, &in, NULL);
        z[j] = keep - h;
        const double down = lti_loss(loss, &in, NULL);
        z[j] = keep;
        num[j] = (up - down) / (2 * (double)h);
        dot += num[j] * (double)dz[j];
        a += num[j] * num[j];
        b += (double)dz[j] * (double)dz[j];
    }
    if (a < 1e-8) // targeted ratio on a plateau
        return;
    assert_true(b > 0);
    assert_true(dot / sqrt(a * b) > 1 - 2e-5);
    float most = 0;
    for (int j = 0; j < k; j++)
        most = fmaxf(most, fabsf(dz[j]));
    assert_true(fabs((double)most - 1) < 1e-6);
}

static void test_losses(void **state)
{
    (void)state;
    lt_rng rng = lt_rng_at(2, LT_STREAM_TEST, 1, 0);
    const int ks[] = {2, 3, 4, 10};
    for (int32_t loss = LTI_LOSS_CE; loss <= LTI_LOSS_DLR_TARGET; loss++)
        for (int i = 0; i < 4; i++)
            for (int round = 0; round < 40; round++) {
                const int label = (int)lt_rng_below(&rng, (uint64_t)ks[i]);
                const int target = (label + 1 + (int)lt_rng_below(&rng, (uint64_t)ks[i] - 1)) % ks[i];
                check_loss(loss, ks[i], label, target, &rng);
            }
}

// Ties belong to the first class; the ratio with the label in third place is the constant 1 and becomes the margin.
static void test_loss_corners(void **state)
{
    (void)state;
    float z[4] = {1, 3, 2, -1}, dz[4];
    lti_loss_in in = {z, 4, 0, -1}; // label third
    assert_true(lti_loss(LTI_LOSS_DLR, &in, dz) == 2.0);
    assert_true(dz[1] == 1 && dz[0] == -1 && dz[2] == 0 && dz[3] == 0);
    float tie[3] = {2, 2, 1};
    assert_int_equal(lti_arg_max(tie, 3), 0);
    // Two classes: the ratio is undefined and the margin takes its place. Three: the targeted one.
    float two[2] = {1, 0.5f};
    in = (lti_loss_in){two, 2, 0, 1};
    assert_true(lti_loss(LTI_LOSS_DLR, &in, dz) == -0.5);
    float three[3] = {1, 0.5f, 0};
    in = (lti_loss_in){three, 3, 0, 2};
    assert_true(lti_loss(LTI_LOSS_DLR_TARGET, &in, dz) == -1.0);
}

// The cross-entropy in margin form has a gradient at any scale of the logits; the softmax of single precision has none.
static void test_ce_never_saturates(void **state)
{
    (void)state;
    for (double scale = 1; scale <= 1e6; scale *= 10) {
        float z[4] = {(float)(3 * scale), (float)(1 * scale), (float)(0.5 * scale), (float)(-2 * scale)}, dz[4];
        lti_loss(LTI_LOSS_CE, &(lti_loss_in){z, 4, 0, -1}, dz);
        assert_true(dz[0] == -1 && dz[1] > 0.5f);
        lti_loss(LTI_LOSS_CE_SOFTMAX, &(lti_loss_in){z, 4, 0, -1}, dz);
        if (scale >= 100)
            assert_true(dz[1] == 0);
    }
}

static void assert_same(const lt_robust_result *a, const lt_robust_result *b, int64_t from)
{
    const size_t dim = (size_t)a->c * (size_t)a->h * (size_t)a->w;
    for (int64_t i = 0; i < b->n; i++) {
        assert_memory_equal(a->x_adv + (size_t)(from + i) * dim, b->x_adv + (size_t)i * dim, dim * sizeof *a->x_adv);
        assert_int_equal(a->status[from + i], b->status[i]);
        assert_int_equal(a->queries_f[from + i], b->queries_f[i]);
        assert_int_equal(a->queries_b[from + i], b->queries_b[i]);
    }
}

// Every attack of the registry: any batch, any subset, the same bits.
static void test_batches(void **state)
{
    (void)state;
    static const int64_t batches[] = {1, 7, 128};
    for (const lt_attack *const *a = lt_attacks(); *a; a++) {
        if (!(*a)->ops || (*a)->ops->parts)
            continue;
        lt_attack_spec spec = rt_spec((*a)->ops->flags & LTI_ATTACK_NO_LINF ? LT_NORM_L2 : LT_NORM_LINF, "0.02");
        if ((*a)->ops->flags & LTI_ATTACK_NO_LINF)
            spec.eps = "0.1";
        spec.restarts = 2;
        spec.steps = (*a)->ops->steps > 12 ? 12 : 0;
        lin.env.plan_flags = LT_PLAN_FIXED_ORDER;
        lt_robust_result *all = rt_attack(&lin, (*a)->name, &spec);
        for (size_t b = 0; b < 3; b++) {
            spec.batch = batches[b];
            lt_robust_result *r = rt_attack(&lin, (*a)->name, &spec);
            assert_same(all, r, 0);
            lt_robust_result_destroy(r);
        }
        const lt_view whole = lin.view;
        int64_t rows[9];
        for (int i = 0; i < 9; i++)
            rows[i] = 20 + i;
        lin.view.row = rows;
        lin.view.n = 9;
        lin.view.images = lin.x + 20 * RT_N;
        lin.view.labels = lin.y + 20;
        lt_robust_result *part = rt_attack(&lin, (*a)->name, &spec);
        assert_same(all, part, 20);
        lin.view = whole;
        lin.env.plan_flags = LT_PLAN_NO_TUNE;
        lt_robust_result_destroy(part);
        lt_robust_result_destroy(all);
    }
}

// Radius 0 gives the image back, bit for bit; a larger radius never makes a model more robust.
static void test_eps(void **state)
{
    (void)state;
    static const char *const radii[] = {"0", "0.01", "0.02", "0.04", "0.5"};
    static const char *const names[] = {"fgsm", "bim", "pgd", "mi-fgsm"};
    for (size_t a = 0; a < sizeof names / sizeof *names; a++)
        for (int32_t norm = LT_NORM_LINF; norm <= LT_NORM_L2; norm++) {
            double last = 1.1;
            for (size_t i = 0; i < sizeof radii / sizeof *radii; i++) {
                lt_attack_spec spec = rt_spec(norm, radii[i]);
                spec.steps = 0;
                lt_robust_result *r = rt_attack(&lin, names[a], &spec);
                assert_true(r->robust_acc <= last);
                assert_true(r->clean_acc == 1);
                assert_int_equal(r->flags & LT_FLAG_MISMATCH, 0);
                if (i == 0) {
                    assert_true(r->robust_acc == 1);
                    assert_memory_equal(r->x_adv, lin.x, (size_t)(r->n * RT_N) * sizeof *r->x_adv);
                }
                for (int64_t j = 0; j < r->n; j++)
                    assert_true(r->distance[j] <= r->eps);
                last = r->robust_acc;
                lt_robust_result_destroy(r);
            }
            assert_true(last == 0 || norm == LT_NORM_L2);
        }
}

// N+1 forward and N backward passes of a sample that stays robust, and the one of the clean pass.
static void test_counts(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0");
    spec.steps = 7;
    spec.restarts = 3;
    lt_robust_result *r = rt_attack(&lin, "pgd", &spec);
    for (int64_t i = 0; i < r->n; i++) {
        assert_int_equal(r->queries_f[i], 1 + 3 * 8);
        assert_int_equal(r->queries_b[i], 3 * 7);
    }
    assert_int_equal(r->n_forward, r->n * 25);
    assert_int_equal(r->part[0].n_backward, r->n * 21);
    lt_robust_result_destroy(r);
}

// PGD is never weaker than FGSM on these; restarts never help the model; the best loss is no smaller than the last.
static void test_order(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.02");
    lt_robust_result *fgsm = rt_attack(&lin, "fgsm", &spec), *pgd = rt_attack(&lin, "pgd", &spec);
    assert_true(pgd->robust_acc <= fgsm->robust_acc);
    assert_true(fgsm->robust_acc > 0 && fgsm->robust_acc < 1);
    double last = 1;
    for (int32_t restarts = 1; restarts <= 5; restarts += 2) {
        spec.steps = 2;
        spec.restarts = restarts;
        lt_robust_result *r = rt_attack(&lin, "pgd", &spec);
        assert_true(r->robust_acc <= last);
        last = r->robust_acc;
        lt_robust_result_destroy(r);
    }
    lt_robust_result_destroy(fgsm);
    lt_robust_result_destroy(pgd);
}

// Transfer mode pays for all steps and keeps the last iterate, though it was fooled long before.
static void test_transfer_mode(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.2");
    spec.steps = 10;
    lt_robust_result *early = rt_attack(&lin, "bim", &spec);
    spec.transfer = true;
    lt_robust_result *last = rt_attack(&lin, "bim", &spec);
    assert_true(early->robust_acc == 0 && last->robust_acc == 0);
    for (int64_t i = 0; i < last->n; i++) {
        assert_int_equal(last->queries_f[i], 1 + 11);
        assert_true(early->queries_f[i] < 12);
        assert_true(last->distance[i] > early->distance[i]);
    }
    lt_robust_result_destroy(early);
    lt_robust_result_destroy(last);
}

static void test_targeted(void **state)
{
    (void)state;
    static const char *const targets[] = {"next", "random", "least-likely", "3"};
    for (size_t t = 0; t < 4; t++) {
        lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.3");
        spec.target = targets[t];
        lt_robust_result *r = rt_attack(&lin, "pgd", &spec);
        assert_true(r->success_rate > 0.9);
        for (int64_t i = 0; i < r->n; i++) {
            if (r->status[i] != LT_ROBUST_BROKEN)
                continue;
            if (t == 0)
                assert_int_equal(r->adv_pred[i], (r->label[i] + 1) % RT_K);
            if (t == 3)
                assert_int_equal(r->adv_pred[i], r->label[i] == 3 ? 4 : 3);
            assert_int_not_equal(r->adv_pred[i], r->label[i]);
        }
        lt_robust_result_destroy(r);
    }
}

// A wrong label: never attacked, not robust, distance 0.
static void test_clean_wrong(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0");
    lin.y[5] = (lin.y[5] + 1) % RT_K;
    lt_robust_result *r = rt_attack(&lin, "pgd", &spec);
    lin.y[5] = (lin.y[5] + RT_K - 1) % RT_K;
    assert_int_equal(r->status[5], LT_ROBUST_CLEAN_WRONG);
    assert_int_equal(r->queries_f[5], 1);
    assert_true(r->distance[5] == 0 && r->robust_acc == 47.0 / 48.0 && r->clean_acc == 47.0 / 48.0);
    lt_robust_result_destroy(r);
}

static void test_errors(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "8/255");
    assert_int_equal(rt_try(&lin, "pgdd", &spec), LT_E_USAGE);
    assert_non_null(strstr(lt_error_get()->hint, "pgd"));
    assert_int_equal(rt_try(&lin, "", &spec), LT_E_USAGE);
    assert_int_equal(rt_try(&lin, "fgsm-line-search", &spec), LT_E_USAGE);
    spec.target = "17";
    assert_int_equal(rt_try(&lin, "pgd", &spec), LT_E_USAGE);
    spec.target = NULL;
    const float keep = lin.x[3 * RT_N + 7];
    lin.x[3 * RT_N + 7] = 1.5f;
    assert_int_equal(rt_try(&lin, "pgd", &spec), LT_E_FORMAT);
    assert_non_null(strstr(lt_error_get()->message, "sample id 3: expected pixels in 0..1, found 1.5"));
    lin.x[3 * RT_N + 7] = NAN;
    assert_int_equal(rt_try(&lin, "pgd", &spec), LT_E_FORMAT);
    lin.x[3 * RT_N + 7] = keep;
}

// A logit that is not finite: the sample leaves and counts neither as robust nor as broken.
static void test_invalid(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "8/255");
    const float keep = lin.model.params[RT_K * RT_N];
    lin.model.params[RT_K * RT_N] = NAN; // the bias of class 0
    lt_robust_result *r = rt_attack(&lin, "pgd", &spec);
    lin.model.params[RT_K * RT_N] = keep;
    assert_int_equal(r->n_invalid, r->n);
    for (int64_t i = 0; i < r->n; i++)
        assert_int_equal(r->status[i], LT_ROBUST_INVALID);
    assert_true(isnan(r->robust_acc));
    lt_robust_result_destroy(r);
}

static void test_wilson(void **state)
{
    (void)state;
    double w[2];
    lt_wilson(8, 10, w); // by hand: p 0.8, n 10
    assert_true(fabs(w[0] - 0.4902) < 1e-4 && fabs(w[1] - 0.9433) < 1e-4);
    lt_wilson(0, 10, w);
    assert_true(w[0] == 0 && fabs(w[1] - 0.2775) < 1e-4);
    lt_wilson(0, 0, w);
    assert_true(w[0] == 0 && w[1] == 1);
}

static void test_save(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.02");
    lt_robust_result *r = rt_attack(&lin, "fgsm", &spec);
    char path[] = "/tmp/lethe-robust-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_ok(lt_robust_save(r, path));
    lt_tensor_file *f = NULL;
    assert_ok(lt_tensor_file_open(path, &f));
    static const char *const names[] = {"x",   "x_adv", "y",        "y_adv",  "clean_pred", "ids",
                                        "eps", "delta", "delta_l2", "status", "queries_f",  "queries_b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(lt_tensor_file_find(f, names[i]));
    assert_memory_equal(lt_tensor_file_find(f, "x_adv")->data, r->x_adv, (size_t)(r->n * RT_N) * sizeof(float));
    lt_tensor_file_close(f);
    close(fd);
    unlink(path);
    lt_robust_result_destroy(r);
}

// Rounded to bytes: still in the ball, evaluated on its own.
static void test_quantize(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "8/255");
    spec.quantize = 8;
    lt_robust_result *r = rt_attack(&lin, "bim", &spec);
    assert_true(r->quantized_robust_acc >= 0 && r->quantized_robust_acc <= 1);
    assert_true(r->quantized_robust_acc >= r->robust_acc);
    lt_robust_result_destroy(r);
    spec.quantize = 0;
    r = rt_attack(&lin, "bim", &spec);
    assert_true(isnan(r->quantized_robust_acc));
    lt_robust_result_destroy(r);
}

// Logits of 1e5: the softmax of single precision has no gradient left, and the parity form then stands still.
static void test_parity_saturates(void **state)
{
    (void)state;
    rt_world t;
    rt_open_linear(&t, RT_K, 12, 0.3, false);
    for (int64_t j = 0; j < t.model.n_params; j++)
        t.model.params[j] *= 1e5f;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.1");
    lt_robust_result *ours = rt_attack(&t, "bim", &spec);
    spec.parity = true;
    lt_robust_result *parity = rt_attack(&t, "bim", &spec);
    assert_true(ours->robust_acc == 0 && ours->n_zero_gradient == 0);
    assert_true(parity->robust_acc == 1 && parity->flags & LT_FLAG_ZERO_GRADIENT);
    lt_robust_result_destroy(ours);
    lt_robust_result_destroy(parity);
    rt_close(&t);
}

// The first loss that public auto-PGD compares with is 0: another step count at the first checkpoint, other examples.
static void test_parity_of_apgd(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.004");
    spec.loss = LT_LOSS_AUTO;
    lt_robust_result *ours = rt_attack(&lin, "apgd-dlr", &spec);
    spec.parity = true;
    lt_robust_result *parity = rt_attack(&lin, "apgd-dlr", &spec);
    int n_same = 0;
    for (int64_t i = 0; i < ours->n; i++)
        n_same += ours->queries_b[i] == parity->queries_b[i];
    assert_true(fabs(ours->robust_acc - parity->robust_acc) <= 2.0 / 48);
    assert_true(n_same > 0);
    lt_robust_result_destroy(ours);
    lt_robust_result_destroy(parity);
}

// Every attack can make the adversarial set of an unlearning method, with labels of the evaluation path.
static void test_adversarial_sets(void **state)
{
    (void)state;
    lt_view view = lin.view;
    view.n = 12;
    for (const lt_attack *const *a = lt_attacks(); *a; a++) {
        if (!(*a)->ops || (*a)->ops->parts || (*a)->ops->steps > 200)
            continue;
        void *cfg = calloc(1, (*a)->cfg_size + 1);
        lt_options_defaults((*a)->opts, cfg);
        lt_adv_set *set = NULL;
        assert_ok(lt_attack_run(*a, &lin.model, &view, cfg, &lin.env, NULL, &set));
        assert_int_equal(set->n, 12);
        for (int64_t i = 0; i < set->n; i++)
            assert_int_equal(set->adv_pred[i] != set->label[i], set->status[i] != LT_ADV_FAILED);
        assert_true(lt_adv_set_count(set, LT_ADV_OK) > 0);
        lt_adv_set_destroy(set);
        free(cfg);
    }
}

// Restart r draws the same start however many there are, so more of them never leave an example farther away.
static void test_fab_more_restarts(void **state)
{
    (void)state;
    for (int norm = 0; norm < 2; norm++) {
        lt_attack_spec spec = rt_spec(norm ? LT_NORM_L2 : LT_NORM_LINF, "0.5");
        spec.min_norm = true;
        spec.steps = 6;
        lt_robust_result *one = rt_attack(&lin, "fab", &spec);
        spec.restarts = 3;
        lt_robust_result *three = rt_attack(&lin, "fab", &spec);
        for (int64_t i = 0; i < one->n; i++) {
            assert_true(three->raw_distance[i] <= one->raw_distance[i]);
            assert_true(one->queries_b[i] == 0 || three->queries_b[i] > 2 * one->queries_b[i]);
        }
        lt_robust_result_destroy(one);
        lt_robust_result_destroy(three);
    }
}

// The search of AMUN in the engine finds what the one that makes sets finds.
static void test_amun_search(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_L2, "0");
    lt_adv_search_cfg cfg;
    lt_adv_set *set = NULL;
    lt_options_defaults(lt_adv_search_options, &cfg);
    cfg.batch = 16;
    assert_ok(lt_adv_search(&lin.model, &lin.view, &cfg, &lin.env, NULL, &set));
    lt_robust_result *r = rt_attack(&lin, "amun-search", &spec);
    int n_other = 0;
    for (int64_t i = 0; i < r->n; i++) {
        assert_int_equal(r->status[i], LT_ROBUST_BROKEN);
        assert_int_equal(set->status[i], LT_ADV_OK);
        n_other += fabs(r->raw_distance[i] - (double)set->delta_norm[i]) > 1e-4 * (double)set->delta_norm[i] ||
                   r->adv_pred[i] != set->adv_pred[i];
        assert_true(r->distance[i] <= r->raw_distance[i]);
    }
    assert_true(n_other <= 1);
    lt_adv_set_destroy(set);
    lt_robust_result_destroy(r);
}

static void test_interruption(void **state)
{
    (void)state;
    volatile int stop = 1;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "8/255");
    lin.env.stop = &stop;
    assert_int_equal(rt_try(&lin, "pgd", &spec), LT_E_INTERRUPTED);
    lin.env.stop = NULL;
}

// Whatever allocation fails: an error, no crash, nothing left behind.
static void test_out_of_memory(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_LINF, "0.01");
    spec.steps = 2;
    spec.quantize = 8;
    int64_t n = 0;
    lt_status status = LT_E_NOMEM;
    while (status == LT_E_NOMEM && n < 5000) {
        lti_alloc_fail_at(++n);
        status = rt_try(&lin, "apgd-ce,fab-t,square", &spec);
        lti_alloc_fail_at(0);
    }
    assert_ok(status);
    assert_true(n > 40);
    status = LT_E_NOMEM;
    for (n = 0; status == LT_E_NOMEM && n < 5000;) {
        lti_alloc_fail_at(++n);
        status = rt_try(&lin, "deepfool", &spec);
        lti_alloc_fail_at(0);
    }
    assert_ok(status);
}

// The certificate of a linear model: its Lipschitz constant is the largest singular value, at most the Frobenius norm.
static void test_certificate(void **state)
{
    (void)state;
    lt_attack_spec spec = rt_spec(LT_NORM_L2, "1");
    lt_robust_result *r = rt_attack(&lin, "min-norm", &spec);
    double square = 0, *radius = calloc((size_t)r->n, sizeof *radius);
    for (int j = 0; j < RT_K * RT_N; j++)
        square += lin.w[j] * lin.w[j];
    assert_int_equal(lt_robust_certify(r, sqrt(square), radius), 0);
    for (int64_t i = 0; i < r->n; i++)
        assert_true(radius[i] > 0 && radius[i] <= r->l2[i] && r->clean_margin[i] > 0.2);
    assert_true(lt_robust_certify(r, 0.01, radius) > 0); // a bound that is wrong
    lt_robust_result_destroy(r);
    free(radius);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_eps),
        cmocka_unit_test(test_balls),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_loss_corners),
        cmocka_unit_test(test_ce_never_saturates),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_eps),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_transfer_mode),
        cmocka_unit_test(test_targeted),
        cmocka_unit_test(test_clean_wrong),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_parity_saturates),
        cmocka_unit_test(test_parity_of_apgd),
        cmocka_unit_test(test_adversarial_sets),
        cmocka_unit_test(test_fab_more_restarts),
        cmocka_unit_test(test_amun_search),
        cmocka_unit_test(test_interruption),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_certificate),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
