// model_logits.c - lets the interoperability test make and run models without the command.
//
//   model_logits init SPEC CxHxW K SEED FILE         a new model, its tensors moved to where signals pass through
//   model_logits run FILE N OUT [SPEC CxHxW]         N random images `x` and evaluation-mode `logits` to OUT
//   model_logits resave FILE OUT [SPEC CxHxW]        open, save again
// SPEC and size are for files that do not say what they hold. Exit code: that of the failure.
#include "lethe/model.h"
#include "lethe/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lt_status parse_size(const char *text, lt_model_shape *s)
{
    if (sscanf(text, "%dx%dx%d", &s->c, &s->h, &s->w) != 3)
        return LT_FAIL(LT_E_USAGE, "expected CxHxW, found '%s'", text);
    return LT_OK;
}

// Weights from PyTorch's start to He's, which keeps signals at their size, and running statistics off their start.
static void stir(lt_model *m)
{
    lt_value_info info;
    lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, 0, 0);
    for (lt_val v = 0; v < lt_graph_n_values(m->graph) && lt_graph_value(m->graph, v, &info) == LT_OK; v++) {
        int64_t n = 1;
        for (int i = 0; i < info.shape.n_dims; i++)
            n *= info.shape.dim[i];
        for (int64_t i = 0; i < n && info.role == LT_ROLE_PARAM && info.shape.n_dims > 1; i++)
            m->params[info.slab_offset + i] *= 2.4494897f;
        for (int64_t i = 0; i < n && info.role == LT_ROLE_STATE; i++)
            m->state[info.slab_offset + i] += 0.4f * (lt_rng_uniform(&rng) - 0.5f);
    }
    m->bn_batches = 3;
}

static lt_status init(char *const *arg)
{
    lt_model_shape shape = {.n_classes = atoi(arg[2])};
    lt_model *m = NULL;
    LT_TRY(parse_size(arg[1], &shape));
    LT_TRY(lt_model_create(arg[0], shape, &m));
    lt_model_init(m, strtoull(arg[3], NULL, 10));
    stir(m);
    lt_status status = lt_model_save(m, arg[4]);
    lt_model_destroy(m);
    return status;
}

static lt_status open_model(const char *path, char *const *spec_and_size, lt_model **m)
{
    lt_model_shape shape = {0};
    if (!spec_and_size)
        return lt_model_open(path, NULL, NULL, m);
    LT_TRY(parse_size(spec_and_size[1], &shape));
    return lt_model_open(path, spec_and_size[0], &shape, m);
}

static lt_status run_plan(const lt_model *m, int64_t n, lt_plan *plan, const char *out)
{
    const lt_model_shape s = m->shape;
    float *x = lt_plan_buffer(plan, m->x);
    lt_rng rng = lt_rng_at(2, LT_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < n * s.c * s.h * s.w; i++)
        x[i] = lt_rng_uniform(&rng);
    LT_TRY(lt_plan_bind(plan, m->params, m->state, NULL));
    LT_TRY(lt_plan_run(plan));
    const lt_tensor tensors[] = {
        {"x", LT_F32, 4, {n, s.c, s.h, s.w}, x, (size_t)(n * s.c * s.h * s.w) * sizeof(float)},
        {"logits",
         LT_F32,
         2,
         {n, s.n_classes},
         lt_plan_buffer(plan, m->logits),
         (size_t)(n * s.n_classes) * sizeof(float)},
    };
    return lt_safetensors_write(out, tensors, 2, NULL, 0);
}

static lt_status run(const char *path, int64_t n, const char *out, char *const *spec_and_size)
{
    lt_model *m = NULL;
    lt_backend *backend = NULL;
    lt_plan *plan = NULL;
    lt_status status;
    LT_TRY_GOTO(open_model(path, spec_and_size, &m), done);
    LT_TRY_GOTO(lt_backend_create("auto", 2, &backend), done);
    const lt_plan_spec spec = {.outs = &m->logits, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = n};
    LT_TRY_GOTO(lt_plan_create(m->graph, &spec, backend, &plan), done);
    LT_TRY_GOTO(run_plan(m, n, plan, out), done);
done:
    lt_plan_destroy(plan);
    lt_backend_destroy(backend);
    lt_model_destroy(m);
    return status;
}

static lt_status resave(const char *path, const char *out, char *const *spec_and_size)
{
    lt_model *m = NULL;
    LT_TRY(open_model(path, spec_and_size, &m));
    lt_status status = lt_model_save(m, out);
    lt_model_destroy(m);
    return status;
}

static lt_status dispatch(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "init") == 0 && argc == 7)
        return init(argv + 2);
    if (strcmp(verb, "run") == 0 && (argc == 5 || argc == 7))
        return run(argv[2], atoll(argv[3]), argv[4], argc == 7 ? argv + 5 : NULL);
    if (strcmp(verb, "resave") == 0 && (argc == 4 || argc == 6))
        return resave(argv[2], argv[3], argc == 6 ? argv + 4 : NULL);
    return LT_FAIL(LT_E_USAGE, "see the head of model_logits.c");
}

int main(int argc, char **argv)
{
    lt_status status = dispatch(argc, argv);
    if (status != LT_OK)
        fprintf(stderr, "model_logits: %s: %s\n", lt_status_text(status), lt_error_get()->message);
    return lt_status_exit_code(status);
}
