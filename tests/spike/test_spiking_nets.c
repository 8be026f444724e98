// test_spiking_nets.c - spiking architectures: one step equals a network without time, checkpointed gradients are those
// of plain backpropagation to the bit and take less memory, gradients reach every layer, losses, specs.
#include "lt_test.h"
#include "backend_fixture.h"
#include "lethe/data.h"
#include "lethe/train.h"
#include <math.h>
#include <stdlib.h>

static lt_backend *backend;

BACKEND_FIXTURE(backend, "auto")

typedef struct pass { // loss and gradients of one training step from the start of a model
    lt_model *model;
    float *grads, *state, loss;
    int64_t slab_bytes;
} pass;

static pass run_pass(const char *spec, lt_model_shape shape, int64_t batch, unsigned flags)
{
    pass p = {0};
    lt_plan *plan;
    assert_ok(lt_model_create(spec, shape, &p.model));
    lt_model_init(p.model, 3);
    lt_graph *g = p.model->graph;
    const lt_val labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH)),
                 weight = lt_input(g, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    const lt_val loss = lt_weighted_sum(g, lt_cross_entropy(g, p.model->logits, labels, 0), weight);
    p.grads = calloc((size_t)p.model->n_params + 1, sizeof *p.grads);
    assert_ok(lt_plan_create(g,
                             &(lt_plan_spec){.outs = &loss,
                                             .n_outs = 1,
                                             .grad_of = loss,
                                             .seed = LT_NONE,
                                             .wrt_params = true,
                                             .batch = batch,
                                             .train = true,
                                             .dtype = LT_F32,
                                             .flags = flags | LT_PLAN_NO_TUNE},
                             backend, &plan));
    assert_ok(lt_plan_bind(plan, p.model->params, p.model->state, p.grads));
    float *x = lt_plan_buffer(plan, p.model->x);
    const int64_t n = batch * shape.c * shape.h * shape.w;
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i * 7919 % 13 == 0) * (shape.c > 3 ? 3.0f / 255 : 0.8f);
    for (int64_t i = 0; i < batch; i++) {
        ((int32_t *)lt_plan_buffer(plan, labels))[i] = (int32_t)(i % shape.n_classes);
        ((float *)lt_plan_buffer(plan, weight))[i] = 1.0f / (float)batch;
    }
    assert_ok(lt_plan_run(plan));
    p.loss = *(float *)lt_plan_buffer(plan, loss);
    p.slab_bytes = lt_plan_get_stats(plan).slab_bytes;
    lt_plan_destroy(plan);
    return p;
}

static void clear_pass(pass *p)
{
    lt_model_destroy(p->model);
    free(p->grads);
}

static void test_checkpointing(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        lt_model_shape shape;
    } net[] = {{"spiking-vgg:steps=6,width=4,depth=8", {12, 32, 32, 5}},
               {"spiking-vgg:steps=4,width=4,depth=4,norm=batch,learn-decay=1,dropout=0.3", {8, 16, 16, 5}},
               {"spiking-resnet18:steps=4,width=4", {3, 16, 16, 5}},
               {"spiking-resnet18:steps=3,width=4,norm=tebn,coding=rate", {3, 16, 16, 5}},
               {"resnet18:width=4", {3, 32, 32, 5}}};
    for (size_t i = 0; i < sizeof net / sizeof *net; i++) {
        pass plain = run_pass(net[i].spec, net[i].shape, 4, LT_PLAN_NO_RECOMPUTE);
        pass again = run_pass(net[i].spec, net[i].shape, 4, LT_PLAN_CHECKPOINT);
        double norm = 0;
        assert_true(isfinite(plain.loss) && plain.loss == again.loss);
        for (int64_t k = 0; k < plain.model->n_params; k++) {
            if (plain.grads[k] != again.grads[k])
                fail_msg("%s: gradient %lld: %g and %g", net[i].spec, (long long)k, (double)plain.grads[k],
                         (double)again.grads[k]);
            norm += fabs((double)plain.grads[k]);
        }
        for (int64_t k = 0; k < plain.model->n_state; k++)
            assert_true(plain.model->state[k] == again.model->state[k]);
        assert_true(norm > 0);
        print_message("%s: %.2f and %.2f MiB\n", net[i].spec, (double)plain.slab_bytes / 1048576,
                      (double)again.slab_bytes / 1048576);
        assert_true(again.slab_bytes < plain.slab_bytes);
        clear_pass(&plain);
        clear_pass(&again);
    }
}

// Every layer gets a gradient in the first step; output counts lie within the steps.
static void test_gradient_reaches_all(void **state)
{
    (void)state;
    const char *const spec[] = {"spiking-vgg:steps=8,width=8,depth=6", "spiking-resnet18:steps=4,width=8"};
    const lt_model_shape shape[] = {{16, 32, 32, 4}, {8, 16, 16, 4}};
    for (int i = 0; i < 2; i++) {
        pass p = run_pass(spec[i], shape[i], 4, 0);
        lt_value_info info;
        for (lt_val v = 0; v < lt_graph_n_values(p.model->graph); v++) {
            assert_ok(lt_graph_value(p.model->graph, v, &info));
            if (info.role != LT_ROLE_PARAM || info.shape.n_dims < 2)
                continue;
            double norm = 0;
            int64_t n = 1;
            for (int d = 0; d < info.shape.n_dims; d++)
                n *= info.shape.dim[d];
            for (int64_t k = 0; k < n; k++)
                norm += fabs((double)p.grads[info.slab_offset + k]);
            if (!(norm > 0))
                fail_msg("%s: no gradient in %s", spec[i], info.name);
        }
        clear_pass(&p);
    }
}

// Statistics of batch norm after one training step on clips whose frames are `frame_of` of a base clip.
static void norm_statistics(int steps, const int *frame_of, float *mean, float *var)
{
    enum { SIDE = 6, N = 3 };
    char spec[96];
    lt_model *m;
    lt_plan *plan;
    snprintf(spec, sizeof spec, "spiking-vgg:steps=%d,width=4,depth=1,norm=batch,dropout=0", steps);
    assert_ok(lt_model_create(spec, (lt_model_shape){2 * steps, SIDE, SIDE, 3}, &m));
    lt_model_init(m, 3);
    const lt_plan_spec plan_spec = {.outs = &m->logits,
                                    .n_outs = 1,
                                    .grad_of = LT_NONE,
                                    .seed = LT_NONE,
                                    .batch = N,
                                    .train = true,
                                    .dtype = LT_F32,
                                    .flags = LT_PLAN_NO_TUNE};
    assert_ok(lt_plan_create(m->graph, &plan_spec, backend, &plan));
    assert_ok(lt_plan_bind(plan, m->params, m->state, NULL));
    float *x = lt_plan_buffer(plan, m->x);
    for (int n = 0; n < N; n++)
        for (int t = 0; t < steps; t++)
            for (int i = 0; i < 2 * SIDE * SIDE; i++)
                x[(n * steps + t) * 2 * SIDE * SIDE + i] =
                    (float)((n * 4 + frame_of[t]) * 7919 * (i + 1) % 11 < 3) * 2.0f / 255;
    assert_ok(lt_plan_run(plan));
    lt_value_info info;
    const char *const name[] = {"features.0.norm.running_mean", "features.0.norm.running_var"};
    for (int k = 0; k < 2; k++) {
        assert_ok(lt_graph_value(m->graph, lt_graph_find(m->graph, name[k]), &info));
        memcpy(k ? var : mean, m->state + info.slab_offset, 4 * sizeof(float));
    }
    lt_plan_destroy(plan);
    lt_model_destroy(m);
}

// Batch norm over samples and steps together: the same frame at every step is one step of a network without time, and
// the order of the frames does not matter.
static void test_norm_over_time(void **state)
{
    (void)state;
    float mean[4][4], var[4][4];
    norm_statistics(1, (const int[]){0}, mean[0], var[0]);
    norm_statistics(4, (const int[]){0, 0, 0, 0}, mean[1], var[1]);
    norm_statistics(4, (const int[]){0, 1, 2, 3}, mean[2], var[2]);
    norm_statistics(4, (const int[]){2, 0, 3, 1}, mean[3], var[3]);
    for (int c = 0; c < 4; c++) {
        assert_true(fabsf(mean[0][c] - mean[1][c]) < 1e-5f * (1 + fabsf(mean[0][c])));
        assert_true(fabsf(var[0][c] - var[1][c]) < 1e-2f * var[0][c]); // n / (n - 1) of another n
        assert_true(fabsf(mean[2][c] - mean[3][c]) < 1e-5f * (1 + fabsf(mean[2][c])));
        assert_true(fabsf(var[2][c] - var[3][c]) < 1e-5f * var[2][c]);
        assert_true(fabsf(mean[0][c] - mean[2][c]) > 1e-6f);
    }
}

static void test_specs(void **state)
{
    (void)state;
    lt_model *m = NULL;
    lt_val output;
    assert_ok(lt_model_create("spiking-vgg:steps=5,width=4,depth=2,neuron=zero-immediate,beta=0.9",
                              (lt_model_shape){10, 8, 8, 3}, &m));
    assert_non_null(strstr(m->spec, "neuron=zero-immediate"));
    assert_non_null(strstr(m->spec, "beta=0.9"));
    assert_int_equal(lt_model_steps(m, &output), 5);
    lt_val stage[4];
    assert_int_equal(lt_model_stages(m, stage, 4), 1);
    lt_model_destroy(m);
    assert_fails(LT_E_SHAPE, "cut into 4 steps",
                 lt_model_create("spiking-vgg:steps=4", (lt_model_shape){10, 8, 8, 3}, &m));
    assert_fails(LT_E_USAGE, "known names",
                 lt_model_create("spiking-vgg:neuron=lif", (lt_model_shape){10, 8, 8, 3}, &m));
    assert_ok(lt_model_create("simple-conv", (lt_model_shape){3, 32, 32, 3}, &m));
    assert_int_equal(lt_model_steps(m, NULL), 0);
    lt_model_destroy(m);
}

typedef struct losses {
    double first, last;
} losses;

static void note_loss(const lt_job *job, const lt_step *step, void *ctx)
{
    losses *l = ctx;
    (void)job;
    if (step->step == 1)
        l->first = step->loss;
    l->last = step->loss;
}

static void train_losses(const char *spec, const char *data, int32_t loss)
{
    lt_dataset *ds;
    lt_model *m;
    losses l = {0};
    lt_train_result result;
    assert_ok(lt_dataset_open(data, NULL, &ds));
    assert_ok(lt_model_create(spec, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &m));
    lt_model_init(m, 1);
    lt_job job = {.model = m, .n_phases = 1, .seed = 1, .on_step = note_loss, .step_ctx = &l};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 8;
    job.cfg.batch = 20;
    job.cfg.lr = 0.005f;
    job.cfg.optimizer = LT_ADAMW;
    job.cfg.loss = loss;
    job.phase[0].view[0] = lt_view_split(ds, LT_TRAIN);
    job.phase[0].n_views = 1;
    job.phase[0].shuffle = true;
    const lt_env env = {.backend = backend};
    assert_ok(lt_train_run(&job, &env, NULL, false, &result));
    assert_true(isfinite(l.last) && l.last < l.first);
    // The output neurons are not dead: they fire, and not at every step.
    lt_eval_result r;
    float z[60 * 10], most = 0, least = INFINITY;
    const lt_view view = lt_view_split(ds, LT_TRAIN);
    assert_true(view.n * ds->n_classes <= 600);
    assert_ok(lt_evaluate(m, &view, &env, 20, z, NULL, &r));
    for (int64_t i = 0; i < view.n * ds->n_classes; i++) {
        most = z[i] > most ? z[i] : most;
        least = z[i] < least ? z[i] : least;
    }
    assert_true(most > 0 && least < (float)lt_model_steps(m, NULL) && most > least);
    lt_model_destroy(m);
    lt_dataset_close(ds);
}

static void test_losses(void **state)
{
    (void)state;
    const char *const spec = "spiking-vgg:steps=4,width=4,depth=2,dropout=0",
                      *const data = "moving-glyphs,steps=4,train=60,test=1,side=16";
    train_losses(spec, data, LT_TRAIN_LOSS_CE);
    train_losses(spec, data, LT_TRAIN_LOSS_COUNT);
    train_losses(spec, data, LT_TRAIN_LOSS_TEMPORAL);
    train_losses("spiking-resnet18:steps=2,width=4", "synthetic,train=40,test=1", LT_TRAIN_LOSS_TEMPORAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpointing),  cmocka_unit_test(test_gradient_reaches_all),
        cmocka_unit_test(test_norm_over_time), cmocka_unit_test(test_specs),
        cmocka_unit_test(test_losses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
