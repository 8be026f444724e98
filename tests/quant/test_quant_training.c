// test_quant_training.c - whole trainings on a tiny problem: what must hold whatever the accuracy.
#include "train/train_test.h"

#include "quant/quant_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rig {
    fixture f;
    lt_quant_cfg cfg;
    lt_train_cfg train;
    lt_quant_in in;
    lt_quant *quant;
    lt_quant_result result;
} rig;

static void open_rig(rig *r, const char *method, int bits)
{
    *r = (rig){.quant = NULL};
    t_open(&r->f, "ref", 1);
    lt_options_defaults(lt_quant_options, &r->cfg);
    lt_options_defaults(lt_quant_chip_options, &r->cfg.device);
    lt_options_defaults(lt_train_options, &r->train);
    r->cfg.bits = bits;
    r->cfg.method = method;
    r->cfg.bn_batches = 2;
    r->train.epochs = 3;
    r->train.batch = 8;
    r->train.lr = 0.05f;
    r->in = (lt_quant_in){.model = r->f.model, .ds = r->f.ds, .env = &r->f.env, .seed = 1, .train = &r->train};
}

static void train(rig *r)
{
    assert_ok(lt_quant_train(&r->cfg, &r->in, &r->quant, &r->result));
}

static void close_rig(rig *r)
{
    lt_quant_destroy(r->quant);
    t_close(&r->f);
}

static int distinct(const float *w, int64_t n)
{
    float seen[256];
    int k = 0;
    for (int64_t i = 0; i < n; i++) {
        int j = 0;
        while (j < k && seen[j] != w[i])
            j++;
        if (j == k && k < 256)
            seen[k++] = w[i];
    }
    return k;
}

// Every method ends with weights on at most 2^bits levels, which are those of its codes, and with finite numbers.
static void every_method_ends_on_levels(void **state)
{
    (void)state;
    for (const lt_quant_method_info *const *m = lt_quant_methods(); *m; m++) {
        rig r;
        open_rig(&r, (*m)->name, 3);
        r.cfg.device.fault_rate = strcmp((*m)->name, "rand-bet") == 0 || strstr((*m)->name, "ste-") ? 0.1f : 0;
        train(&r);
        for (int j = 0; j < r.quant->n_tensors; j++) {
            const lti_qtensor *t = &r.quant->tensor[j];
            const lti_grid *g = &r.quant->grid[t->grid];
            assert_in_range(distinct(r.f.model->params + t->from, t->n), 1, 8);
            for (int64_t i = 0; i < t->n; i++)
                assert_true(r.f.model->params[t->from + i] == g->level[r.quant->code[t->first + i]]);
        }
        assert_in_range(r.result.levels_hit, 1, 8);
        assert_true(isfinite(r.result.acc) && isfinite(r.result.loss) && isfinite(r.result.residual));
        close_rig(&r);
    }
}

static int64_t first_weight(const rig *r)
{
    return r->quant->tensor[0].from;
}

// A pulled weight ends at its level; a weight that is not quantized is free.
static void penalty_converges(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "msqe", 4);
    r.train.epochs = 12;
    r.cfg.snap_every = 0;
    train(&r);
    assert_true(r.result.residual < 1e-2);
    assert_true(r.quant->info[0].tau_steps > 0);
    close_rig(&r);
    open_rig(&r, "osc-reg", 4);
    r.train.epochs = 12;
    train(&r);
    assert_true(r.result.residual > 2e-2); // pushed away: 0.083 is a uniform spread
    close_rig(&r);
}

// With grad_scale the weight of the penalty is that of the root of q/N, which holds at the end. [QAT 1.3, 1.5]
static void root_scale_has_its_own_lambda(void **state)
{
    (void)state;
    double lambda[2], tau[2], least = INFINITY;
    for (int root = 0; root < 2; root++) {
        rig r;
        open_rig(&r, "msqe", 4);
        r.cfg.grad_scale = root == 1;
        train(&r);
        lambda[root] = r.quant->lambda_end[1];
        tau[root] = 0;
        for (int j = 0; j < r.quant->n_tensors; j++) {
            least = fmin(least, 15 / (double)r.quant->tensor[j].per);
            tau[root] = fmax(tau[root], r.quant->info[j].tau_steps);
        }
        assert_true(fabs(tau[root] / ((double)r.cfg.tau1 * r.quant->n_steps) - 1) < 1e-6);
        close_rig(&r);
    }
    assert_true(fabs(lambda[1] / (lambda[0] * sqrt(least)) - 1) < 1e-6);
}

// First and last layer in 8 bits are neither faulty nor counted as such.
static void faultable_share_leaves_8bit_ends_out(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "ste", 2);
    r.cfg.ends = LT_ENDS_8BIT;
    train(&r);
    double faulty = 0, all = 32.0 * (double)(r.quant->n_all_weights - r.quant->n_weights);
    int n_ends = 0;
    for (int j = 0; j < r.quant->n_tensors; j++) {
        const lti_qtensor *t = &r.quant->tensor[j];
        n_ends += t->bits == 8;
        all += (double)t->n * t->bits;
        faulty += t->bits == 8 ? 0 : (double)t->n * t->bits;
    }
    assert_int_equal(n_ends, 2);
    assert_true(fabs(r.result.faultable_share - faulty / all) < 1e-12);
    close_rig(&r);
}

// Encodings without the levels of a grid are refused. [QAT 3.1]
static void words_without_the_levels_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        lt_encoding encoding;
        bool varies, is_refused;
    } row[] = {{"lsq", LT_ENC_SIGN_MAGNITUDE, false, true}, {"lsq", LT_ENC_DIFFERENTIAL, true, true},
               {"lsq", LT_ENC_TWOS, true, false},           {"msqe-levels", LT_ENC_TWOS, true, true},
               {"msqe-levels", LT_ENC_OFFSET, true, false}, {"seq", LT_ENC_SIGN_MAGNITUDE, true, false}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        rig r;
        open_rig(&r, row[i].method, 3);
        r.train.epochs = 1;
        r.cfg.device.encoding = (int32_t)row[i].encoding;
        r.cfg.device.fault_rate = 0.05f;
        r.cfg.device.variability = row[i].varies ? 0.1f : 0;
        assert_int_equal(lt_quant_train(&r.cfg, &r.in, &r.quant, &r.result), row[i].is_refused ? LT_E_USAGE : LT_OK);
        close_rig(&r);
    }
}

// The latent weight moves, the code does not: the quantized weight is not what is updated.
static void latent_weights_are_updated(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "ste", 2);
    lt_quant *q = NULL;
    assert_ok(lti_quant_create(&r.cfg, r.f.model, &q));
    float *before = malloc((size_t)r.f.model->n_params * sizeof *before), *now;
    memcpy(before, r.f.model->params, (size_t)r.f.model->n_params * sizeof *before);
    lt_transform f = lti_quant_transform(q);
    r.f.job.transform = &f;
    r.f.job.cfg.lr = 1e-6f;
    r.f.job.cfg.weight_decay = 0;
    assert_ok(lt_train_run(&r.f.job, &r.f.env, NULL, false, NULL));
    now = r.f.model->params;
    int64_t moved = 0, changed = 0;
    const lti_qtensor *t = &q->tensor[0];
    for (int64_t i = 0; i < t->n; i++) {
        moved += now[t->from + i] != before[t->from + i];
        changed +=
            lti_grid_nearest(&q->grid[0], now[t->from + i]) != lti_grid_nearest(&q->grid[0], before[t->from + i]);
    }
    assert_true(moved > t->n / 4 && changed <= t->n / 100);
    lt_quant_destroy(q);
    free(before);
    close_rig(&r);
}

// Steps of weights and activations have no weight decay: with a rate of 0 everything keeps its bits, and with decay
// alone (no gradient reaches a step that nothing uses) so do they.
static void steps_do_not_decay(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "lsq", 4);
    r.train.lr = 0;
    r.train.weight_decay = 0.1f;
    train(&r);
    for (int k = 0; k < r.quant->n_grids; k++)
        assert_true(r.quant->grid[k].step == r.quant->grid[k].step0);
    close_rig(&r);
    open_rig(&r, "ste", 4); // a group without decay keeps its bits where the gradient is 0
    r.cfg.act_bits = 4;
    lt_model *rounded = NULL;
    assert_ok(lt_quant_activations(&r.cfg, &r.in, &rounded));
    const lt_param_group g = lti_act_group(rounded);
    assert_true(g.n >= 1 && g.decay_scale == 0 && g.from + g.n == rounded->n_params);
    for (int64_t i = 0; i < g.n; i++)
        assert_true(rounded->params[g.from + i] > 0);
    assert_memory_equal(rounded->params, r.f.model->params, (size_t)r.f.model->n_params * sizeof(float));
    lt_model_destroy(rounded);
    close_rig(&r);
}

// Scaling one output channel by 100 changes its step only.
static void channels_have_their_own_steps(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "msqe", 4);
    r.cfg.granularity = LT_STEP_CHANNEL;
    lt_quant *a = NULL, *b = NULL;
    assert_ok(lti_quant_create(&r.cfg, r.f.model, &a));
    const lti_qtensor *t = &a->tensor[0];
    assert_int_equal(t->n_grids, t->shape.dim[0]);
    for (int64_t i = t->per; i < 2 * t->per; i++)
        r.f.model->params[t->from + i] *= 100;
    assert_ok(lti_quant_create(&r.cfg, r.f.model, &b));
    for (int k = 0; k < t->n_grids; k++) {
        const double ratio = (double)(b->grid[t->grid + k].step / a->grid[t->grid + k].step);
        assert_true(k == 1 ? fabs(ratio - 100) < 1e-3 : ratio == 1);
    }
    lt_quant_destroy(a);
    lt_quant_destroy(b);
    close_rig(&r);
}

// Evaluation is free of the batch: two batch sizes give the same logits, with rounded activations too.
static void evaluation_does_not_see_the_batch(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "msqe-step", 3);
    r.cfg.act_bits = 3;
    lt_model *rounded = NULL;
    assert_ok(lt_quant_activations(&r.cfg, &r.in, &rounded));
    r.in.model = rounded;
    train(&r);
    float one[T_TEST * T_CLASSES], all[T_TEST * T_CLASSES];
    const lt_view test = lt_view_split(r.f.ds, LT_TEST);
    lt_eval_result e;
    assert_ok(lt_evaluate(rounded, &test, &r.f.env, 1, one, NULL, &e));
    assert_ok(lt_evaluate(rounded, &test, &r.f.env, 16, all, NULL, &e));
    for (int i = 0; i < T_TEST * T_CLASSES; i++)
        assert_true(fabsf(one[i] - all[i]) < 1e-5f * (1 + fabsf(all[i])));
    lt_quant_destroy(r.quant);
    r.quant = NULL;
    lt_model_destroy(rounded);
    close_rig(&r);
}

// The step of activations: its gradient does not depend on how often a batch is repeated, and is LSQ's by hand.
static void activation_steps(void **state)
{
    (void)state;
    enum { C = 3, S = 4, N = 4 };
    for (int rule = 0; rule < 2; rule++)
        for (int copies = 1; copies <= 2; copies++) {
            lt_graph *g;
            lt_backend *backend;
            lt_plan *plan;
            float params[1] = {rule ? 1.5f : 0.25f}, grads[1];
            assert_ok(lt_graph_create(&g));
            assert_ok(lt_backend_create("onednn", 1, &backend));
            const lt_val x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, C, S, S)),
                         step = lt_param(g, "step", LT_SHAPE(1));
            const lt_val seed = lt_input(g, "seed", LT_F32, LT_SHAPE(LT_BATCH, C, S, S));
            const lt_val y = lt_act_quant(g, x, step, 2, rule ? LT_ACT_RULE_PACT : LT_ACT_RULE_LSQ);
            const lt_plan_spec spec = {.outs = &y,
                                       .n_outs = 1,
                                       .grad_of = y,
                                       .seed = seed,
                                       .wrt = &x,
                                       .n_wrt = 1,
                                       .wrt_params = true,
                                       .batch = N * copies,
                                       .dtype = LT_F32};
            assert_ok(lt_plan_create(g, &spec, backend, &plan));
            assert_ok(lt_plan_bind(plan, params, NULL, grads));
            float *in = lt_plan_buffer(plan, x), *dy = lt_plan_buffer(plan, seed);
            const int n = N * C * S * S;
            double want = 0;
            for (int i = 0; i < n * copies; i++) {
                lt_rng rng = lt_rng_at(3, LT_STREAM_TEST, 0, (uint64_t)(i % n));
                in[i] = (float)fmax(0, lt_rng_normal(&rng));
                dy[i] = (float)lt_rng_normal(&rng) / (float)copies; // the mean over the batch
            }
            assert_ok(lt_plan_run(plan));
            const float *out = lt_plan_buffer(plan, y), *dx = lt_plan_grad(plan, 0);
            const double s = rule ? 1.5 / 3 : 0.25;
            for (int i = 0; i < n * copies; i++) {
                const double v = (double)in[i] / s, up = (double)dy[i];
                assert_true(fabs((double)out[i] - s * fmin(3, floor(v + 0.5))) < 1e-6); // never below 0, never above 3
                const bool above = rule ? v >= 3 : v > 3, passes = !above && (!rule || v > 0);
                assert_true(dx[i] == (passes ? dy[i] : 0));
                want += up * (rule ? (above ? 1.0 : 0.0) : above ? 3 : floor(v + 0.5) - v);
            }
            want /= rule ? 1 : sqrt(3.0 * C * S * S);
            assert_true(fabs((double)grads[0] - want) < 1e-4 * (1 + fabs(want)));
            lt_plan_destroy(plan);
            lt_backend_destroy(backend);
            lt_graph_destroy(g);
        }
}

// Batch norm statistics are the mean of those of the batches.
static void batch_norm_statistics(void **state)
{
    (void)state;
    rig r;
    open_rig(&r, "msqe", 4);
    lt_model *m = r.f.model, *once;
    lt_train_cfg whole = r.train;
    whole.batch = T_TRAIN;
    assert_ok(lt_model_dup(m, &once));
    assert_ok(lt_bn_reestimate(once, r.f.ds, &r.f.env, &whole, 1, 3)); // one batch of everything
    assert_true(once->state[0] != m->state[0]);
    for (int64_t i = 0; i < once->n_state; i++)
        assert_true(isfinite(once->state[i]));
    lt_model *twice;
    assert_ok(lt_model_dup(once, &twice));
    assert_ok(lt_bn_reestimate(twice, r.f.ds, &r.f.env, &whole, 1, 3)); // the start does not matter
    assert_memory_equal(once->state, twice->state, (size_t)once->n_state * sizeof(float));
    assert_memory_equal(once->params, m->params, (size_t)m->n_params * sizeof(float));
    lt_model_destroy(once);
    lt_model_destroy(twice);
    close_rig(&r);
}

// A model for one chip on another: other weights, the same codes; a stored file programs the same.
static void chips_differ_and_files_agree(void **state)
{
    (void)state;
    rig r;
    char path[256];
    open_rig(&r, "msqe", 4);
    r.cfg.device.fault_rate = 0.2f;
    r.cfg.device.chip = 3;
    train(&r);
    snprintf(path, sizeof path, "%s/chips_codes.safetensors", LT_TEST_BINARY_DIR);
    assert_ok(lt_quant_save(r.quant, path));
    lt_quant *again = NULL;
    lt_tensor_file *f = NULL;
    assert_ok(lt_tensor_file_open(path, &f)); // what a fault or a spread means nothing without
    assert_string_equal(lt_tensor_file_meta(f, "encoding"), "offset");
    assert_string_equal(lt_tensor_file_meta(f, "variability_model"), "conductance-gauss");
    lt_tensor_file_close(f);
    assert_ok(lt_quant_open(path, r.f.model, &again));
    assert_memory_equal(again->code, r.quant->code, (size_t)r.quant->n_weights);
    const size_t bytes = (size_t)r.f.model->n_params * sizeof(float);
    float *own = malloc(bytes), *other = malloc(bytes), *file = malloc(bytes);
    lt_quant_chip chip = r.cfg.device;
    assert_ok(lt_quant_program(r.quant, &chip, NULL, own));
    assert_memory_equal(own, r.f.model->params, bytes); // applying the map to its own codes changes nothing
    chip.chip = 4;
    assert_ok(lt_quant_program(r.quant, &chip, NULL, other));
    assert_ok(lt_quant_program(again, &chip, NULL, file));
    assert_true(memcmp(own, other, bytes) != 0);
    assert_memory_equal(other, file, bytes);
    assert_true(first_weight(&r) >= 0);
    free(own);
    free(other);
    free(file);
    lt_quant_destroy(again);
    remove(path);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_ends_on_levels),
        cmocka_unit_test(penalty_converges),
        cmocka_unit_test(words_without_the_levels_are_refused),
        cmocka_unit_test(root_scale_has_its_own_lambda),
        cmocka_unit_test(faultable_share_leaves_8bit_ends_out),
        cmocka_unit_test(latent_weights_are_updated),
        cmocka_unit_test(steps_do_not_decay),
        cmocka_unit_test(channels_have_their_own_steps),
        cmocka_unit_test(evaluation_does_not_see_the_batch),
        cmocka_unit_test(activation_steps),
        cmocka_unit_test(batch_norm_statistics),
        cmocka_unit_test(chips_differ_and_files_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
