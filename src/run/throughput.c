// throughput.c - timed steps of training, of the input gradient, and of inference.
#include "lethe/throughput.h"
#include "base/json_write.h"
#include "lethe/machine.h"
#include "lethe/peak.h"
#include "run/run_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct timer { // of one workload
    int n, n_warmup, n_seen;
    double *step_s; // (n)
    double last_s, flop;
} timer;

const char *lt_workload_name(lt_workload w)
{
    static const char *const name[LT_N_WORKLOADS] = {
        [LT_WORK_TRAIN] = "train", [LT_WORK_INPUT_GRAD] = "input-grad", [LT_WORK_INFER] = "infer"};
    return name[w];
}

// ---- training step

static void on_step(const lt_job *job, const lt_step *step, void *self)
{
    timer *t = self;
    const double now_s = lti_now_s();
    (void)job;
    (void)step;
    if (++t->n_seen > t->n_warmup && t->n_seen <= t->n_warmup + t->n)
        t->step_s[t->n_seen - t->n_warmup - 1] = now_s - t->last_s;
    t->last_s = now_s;
}

// Random bytes: the arithmetic does not depend on the values, and no file is read.
static lt_status make_data(const lt_model *m, int64_t n, lt_dataset **ds)
{
    const size_t image = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    uint8_t *x = lti_calloc((size_t)n, image);
    int32_t *y = lti_calloc((size_t)n, sizeof *y);
    lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, 0, 0);
    for (size_t i = 0; x && i < (size_t)n * image; i++)
        x[i] = (uint8_t)lt_rng_u32(&rng);
    for (int64_t i = 0; y && i < n; i++)
        y[i] = (int32_t)lt_rng_below(&rng, (uint64_t)m->shape.n_classes);
    const lt_status status =
        x && y ? lt_dataset_from_arrays(m->shape.c, m->shape.h, m->shape.w, m->shape.n_classes, n, x, y, 1, x, y, ds)
               : LTI_NOMEM("random images");
    lti_free(x);
    lti_free(y);
    return status;
}

static lt_status train_steps(const lt_throughput_spec *s, lt_model *m, const lt_dataset *ds, int epoch_batches,
                             timer *t)
{
    lt_job job = {.model = m, .n_phases = 1, .seed = 1, .on_step = on_step, .step_ctx = t, .step_only = true};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.batch = s->batch;
    job.cfg.epochs = (s->n_warmup + s->n_steps + epoch_batches - 1) / epoch_batches;
    job.cfg.lr = 0.01f;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.eval_every = 0;
    job.phase[0] = (lt_phase){.n_views = 1, .shuffle = true};
    job.phase[0].view[0] = lt_view_split(ds, LT_TRAIN);
    job.phase[0].view[0].augment = true;
    return lt_train_run(&job, s->env, NULL, false, NULL);
}

static lt_status time_training(const lt_throughput_spec *s, lt_model *m, timer *t)
{
    enum { EPOCH_BATCHES = 4 };
    lt_dataset *ds = NULL;
    lt_plan *plan; // never run: only its operation count is wanted
    LT_TRY(make_data(m, s->batch * EPOCH_BATCHES, &ds));
    const lt_status status = train_steps(s, m, ds, EPOCH_BATCHES, t);
    lt_dataset_close(ds);
    LT_TRY(status);
    LT_TRY(lt_model_plan(m, LT_PLAN_OF_TRAINING, 1, LT_PLAN_NO_TUNE, s->env->backend, &plan));
    t->flop = lt_plan_get_stats(plan).flop * (double)s->batch;
    lt_plan_destroy(plan);
    return LT_OK;
}

// ---- plans

static void fill_inputs(lt_plan *plan, const lt_model *m, int64_t batch)
{
    const int64_t image = (int64_t)m->shape.c * m->shape.h * m->shape.w;
    float *x = lt_plan_buffer(plan, m->x);
    lt_rng rng = lt_rng_at(2, LT_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < batch * image; i++)
        x[i] = lt_rng_uniform(&rng);
}

// The loss inputs come after the model's values: see lt_model_plan.
static void fill_loss_inputs(lt_plan *plan, const lt_model *m, int64_t batch)
{
    const lt_val labels = (lt_val)lt_graph_n_values(m->graph), weight = labels + 1;
    int32_t *y = lt_plan_buffer(plan, labels);
    float *w = lt_plan_buffer(plan, weight);
    for (int64_t i = 0; i < batch; i++) {
        y[i] = (int32_t)(i % m->shape.n_classes);
        w[i] = 1.0f;
    }
}

static lt_status time_plan(const lt_throughput_spec *s, lt_model *m, lt_model_plan_kind kind, timer *t)
{
    lt_plan *plan = NULL;
    lt_status status = LT_OK;
    LT_TRY(lt_model_plan(m, kind, s->batch, s->env->plan_flags, s->env->backend, &plan));
    LT_TRY_GOTO(lt_plan_bind(plan, m->params, m->state, NULL), done);
    fill_inputs(plan, m, s->batch);
    if (kind == LT_PLAN_OF_INPUT_GRAD)
        fill_loss_inputs(plan, m, s->batch);
    t->flop = lt_plan_get_stats(plan).flop;
    t->last_s = lti_now_s();
    for (int i = 0; i < s->n_warmup + s->n_steps; i++) {
        LT_TRY_GOTO(lt_plan_run(plan), done);
        on_step(NULL, NULL, t);
    }
done:
    lt_plan_destroy(plan);
    return status;
}

// ---- result

static int compare_reals(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fill_timing(const lt_throughput_spec *s, const timer *t, double peak_gflops, lt_timing *out)
{
    qsort(t->step_s, (size_t)t->n, sizeof *t->step_s, compare_reals);
    out->is_timed = true;
    out->best_s = t->step_s[0];
    out->worst_s = t->step_s[t->n - 1];
    out->median_s = t->n % 2 ? t->step_s[t->n / 2] : 0.5 * (t->step_s[t->n / 2 - 1] + t->step_s[t->n / 2]);
    out->images_per_s = (double)s->batch / out->median_s;
    out->images_per_s_best = (double)s->batch / out->best_s;
    out->gflop_per_step = t->flop / 1e9;
    out->gflops = t->flop / out->median_s / 1e9;
    out->share_of_peak = peak_gflops > 0 ? out->gflops / peak_gflops : 0;
}

static lt_status time_workload(const lt_throughput_spec *s, lt_model *m, lt_workload w, lt_throughput *out)
{
    timer t = {.n = s->n_steps, .n_warmup = s->n_warmup};
    char text[64];
    lti_format(text, sizeof text, "timing %s", lt_workload_name(w));
    lt_emit(s->env->events,
            &(lt_event){.kind = LT_EV_BEGIN, .name = "bench.stage", .text = text, .epoch = -1, .step = -1});
    t.step_s = lti_calloc((size_t)s->n_steps, sizeof *t.step_s);
    if (!t.step_s)
        return LTI_NOMEM("timing");
    lt_peak_rss_reset();
    const lt_status status =
        w == LT_WORK_TRAIN ? time_training(s, m, &t)
                           : time_plan(s, m, w == LT_WORK_INFER ? LT_PLAN_OF_INFERENCE : LT_PLAN_OF_INPUT_GRAD, &t);
    if (status == LT_OK) {
        fill_timing(s, &t, out->peak_gflops, &out->timing[w]);
        out->timing[w].peak_rss_mib = (double)lt_peak_rss_bytes() / 0x1p20;
        out->peak_rss_mib = fmax(out->peak_rss_mib, out->timing[w].peak_rss_mib);
    }
    lti_free(t.step_s);
    return status;
}

static lt_status time_all(const lt_throughput_spec *s, lt_model *m, lt_throughput *out)
{
    lti_format(out->model, sizeof out->model, "%s", m->spec);
    lti_format(out->backend, sizeof out->backend, "%s", lt_backend_version(s->env->backend));
    out->n_threads = lt_backend_n_threads(s->env->backend);
    if (s->peak)
        LT_TRY(lt_measure_fma_peak(out->n_threads, 0.6, &out->peak_gflops));
    for (int w = 0; w < LT_N_WORKLOADS; w++)
        if (s->workloads & 1u << w)
            LT_TRY(time_workload(s, m, (lt_workload)w, out));
    return LT_OK;
}

lt_status lt_throughput_measure(const lt_throughput_spec *spec, lt_throughput *out)
{
    lt_model *m;
    *out = (lt_throughput){.batch = spec->batch};
    LT_TRY(lt_model_create(spec->model, spec->shape, &m));
    lt_model_init(m, 1);
    const lt_status status = time_all(spec, m, out);
    lt_model_destroy(m);
    return status;
}

static void write_timing(const lt_timing *t, const char *key, lti_json *w)
{
    lti_json_begin(w, key, '{');
    lti_json_real(w, "images_per_s", t->images_per_s);
    lti_json_real(w, "images_per_s_best", t->images_per_s_best);
    lti_json_real(w, "gflops", t->gflops);
    if (t->share_of_peak > 0)
        lti_json_real(w, "share_of_peak", t->share_of_peak);
    lti_json_real(w, "gflop_per_step", t->gflop_per_step);
    lti_json_begin(w, "ms_per_step", '{');
    lti_json_real(w, "best", 1e3 * t->best_s);
    lti_json_real(w, "median", 1e3 * t->median_s);
    lti_json_real(w, "worst", 1e3 * t->worst_s);
    lti_json_end(w, '}');
    lti_json_real(w, "peak_rss_mib", t->peak_rss_mib);
    lti_json_end(w, '}');
}

char *lt_throughput_json(const lt_throughput *t)
{
    lti_json w = {0};
    const lt_timing *first = NULL;
    for (int i = 0; i < LT_N_WORKLOADS && !first; i++)
        first = t->timing[i].is_timed ? &t->timing[i] : NULL;
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "model", t->model);
    lti_json_int(&w, "batch", t->batch);
    lti_json_int(&w, "threads", t->n_threads);
    lti_json_text(&w, "backend", t->backend);
    lti_json_real(&w, "images_per_s", first ? first->images_per_s : (double)NAN);
    lti_json_real(&w, "gflops", first ? first->gflops : (double)NAN);
    if (t->peak_gflops > 0)
        lti_json_real(&w, "peak_gflops", t->peak_gflops);
    lti_json_real(&w, "peak_rss_mib", t->peak_rss_mib);
    lti_json_begin(&w, "workloads", '{');
    for (int i = 0; i < LT_N_WORKLOADS; i++)
        if (t->timing[i].is_timed)
            write_timing(&t->timing[i], lt_workload_name((lt_workload)i), &w);
    lti_json_end(&w, '}');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}
