// test_cuda_ops.c - every op and whole networks of the CUDA backend on the emulated card, against the reference kernels
// in double: layouts, programs, transfers, recordings and kernel bodies; not what only a GPU can show.
#include "lt_test.h"
#include "cuda/cuda_test.h"
#include "graph/conformance.h"

static lt_backend *ref;

static lt_backend *open_card(const char *spec)
{
    lt_backend *b = NULL;
    if (lt_backend_create(spec, 1, &b) != LT_OK)
        fail_msg("%s: %s", spec, lt_error_get()->message);
    return b;
}

static int setup(void **state)
{
    (void)state;
    emu_use(NULL);
    return lt_backend_create("ref", 1, &ref) == LT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lt_backend_destroy(ref);
    return 0;
}

// Differences are relative to the largest number. A real card rounds products to tf32 (10 bits) where asked to; bf16
// keeps 8 bits: one part in 256 for what is rounded once.
static const struct kind {
    const char *spec;
    double op, net;
} kinds[] = {{"cuda", 2e-5, 1e-4},
             {"cuda:0,conv=own", 2e-5, 1e-4},
             {"cuda:precision=tf32,tune=1", 2e-3, 3e-2},
             {"cuda:precision=bf16", 1.2e-2, 0.2},
             {"cuda:0,precision=bf16,conv=own", 1.2e-2, 0.2}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

// A mask of a ReLU may fall the other way for numbers that are rounded: such cases are not compared in bf16.
static bool rounding_decides(const char *text)
{
    return strstr(text, "bn_train_dx") && strstr(text, "relu=1");
}

// In bf16 single numbers behind a ReLU may differ by all they are, so networks are compared as a whole: the norm of the
// difference over the norm.
static double whole_distance(const numbers *a, const numbers *expected)
{
    double sum = 0, scale = 0;
    for (int64_t i = 0; i < a->n; i++) {
        sum += (a->v[i] - expected->v[i]) * (a->v[i] - expected->v[i]);
        scale += expected->v[i] * expected->v[i];
    }
    return sum > 0 ? sqrt(sum / scale) : 0;
}

typedef struct worst {
    double d;
    const char *what;
} worst;

static void note(worst *w, double d, const char *what)
{
    if (d >= w->d)
        *w = (worst){d, what};
}

// Operations that only run on the host so far: a plan that needs one is refused in one clear line.
static bool is_host_only(const char *text)
{
    static const char *const ops[] = {
        "bn_train_dx2",   "act_quant",     "act_quant_dx",  "log_softmax",  "log_softmax_dx", "log_add_exp",
        "log_add_exp_da", "abs",           "abs_dx",        "row_cos",      "row_cos_da",     "adp",
        "adp_dz",         "concat",        "channel_slice", "repeat_steps", "sum_steps",      "step_scale",
        "step_scale_dp",  "rate_code",     "lif",           "lif_dx",       "layer_norm",     "layer_norm_dx",
        "dropout",        "dropout_train", "dropout_dx",    "count_mse",    "count_mse_dz"};
    const size_t n = strcspn(text, " ");
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strlen(ops[i]) == n && !strncmp(text, ops[i], n))
            return true;
    const char *groups = strstr(text, "groups=");
    return groups && groups[7] != '1';
}

static void assert_refused(const op_case *c, lt_backend *card)
{
    const lt_plan_spec spec = {.outs = c->out, .n_outs = c->n_out, .grad_of = LT_NONE, .batch = 1, .dtype = LT_F32};
    lt_plan *plan = NULL;
    assert_fails(LT_E_UNSUPPORTED, "no kernel", lt_plan_create(c->g, &spec, card, &plan));
    assert_null(plan);
}

static void check_case(const struct kind *kind, lt_backend *card, const char *text, worst *w)
{
    op_case c;
    op_case_build(text, &c);
    if (is_host_only(text)) {
        assert_refused(&c, card);
        op_case_clear(&c);
        return;
    }
    for (int out = 0; out <= c.n_out; out++) {
        const bool train = out % 2;
        numbers a = case_numbers(&c, out, card, LT_F32, train), b = case_numbers(&c, out, ref, LT_F64, train);
        const double d = distance(&a, &b);
        note(w, d, text);
        if (!(d < kind->op) && !(strstr(kind->spec, "bf16") && rounding_decides(text)))
            fail_msg("%s: %s: output %d is off by %g", kind->spec, text, out, d);
        free(a.v);
        free(b.v);
    }
    op_case_clear(&c);
}

static void every_op_agrees(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        lt_backend *card = open_card(kinds[k].spec);
        worst w = {0};
        for (int i = 0; i < N_OP_CASES; i++)
            check_case(&kinds[k], card, op_cases[i], &w);
        printf("parity ops, %s: worst %.3g (allowed %.3g) in %s\n", kinds[k].spec, w.d, kinds[k].op, w.what);
        lt_backend_destroy(card);
    }
}

static void networks_agree(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    static const unsigned flags[] = {0, LT_PLAN_NO_FUSE, LT_PLAN_NO_FOLD | LT_PLAN_NO_REUSE, LT_PLAN_NO_RECOMPUTE};
    for (int k = 0; k < N_KINDS; k++) {
        lt_backend *card = open_card(kinds[k].spec);
        for (int i = 0; i < 8; i++) {
            numbers a[N_PARTS] = {{0}}, b[N_PARTS] = {{0}};
            net_numbers(&n, card, LT_F32, i % 2, flags[i / 2], a);
            net_numbers(&n, ref, LT_F64, i % 2, 0, b);
            for (int p = 0; p < N_PARTS; p++) {
                const bool rounded = strstr(kinds[k].spec, "bf16") != NULL;
                const double d = rounded ? whole_distance(&a[p], &b[p]) : distance(&a[p], &b[p]);
                if (!(d < kinds[k].net))
                    fail_msg("%s: train %d, flags %u, part %d: off by %g", kinds[k].spec, i % 2, flags[i / 2], p, d);
                free(a[p].v);
                free(b[p].v);
            }
        }
        lt_backend_destroy(card);
    }
    lt_graph_destroy(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_agrees),
        cmocka_unit_test(networks_agree),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
