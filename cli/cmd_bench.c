// cmd_bench.c - `lethe bench`: images a second of the three workloads, against the multiply-add peak of this machine.
//
// The training step is the real one (loader, plan, optimizer): a job of lt_train_run timed by its step callback. The
// input-gradient step is what an attack repeats (eval mode, no weight gradients), inference the forward pass; both run
// their plans directly. Warm-up steps, in which plans are compiled and tuned, do not count. Peak memory is that of each
// workload.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORK_ALL, WORK_TRAIN, WORK_INPUT_GRAD, WORK_INFER };
static const lt_opt_value workloads[] = {
    {"all", WORK_ALL, "the three below"},
    {"train", WORK_TRAIN, "training step"},
    {"input-grad", WORK_INPUT_GRAD, "gradient of the loss to the image"},
    {"infer", WORK_INFER, "forward pass"},
    {NULL, 0, NULL},
};
struct opts {
    const char *model, *input;
    int32_t classes, workload, repeat, warmup;
    int64_t batch;
};
static const lt_option own[] = {
    LT_STR(struct opts, model, "resnet18", "architecture, NAME[:key=value,...]"),
    LT_STR(struct opts, input, "3x32x32", "image shape, channels x height x width"),
    LT_I32(struct opts, classes, 10, 2, 1000000, "", "number of classes"),
    LT_I64(struct opts, batch, 128, 1, 65536, "images", "batch size"),
    LT_ENUM(struct opts, workload, WORK_ALL, workloads, "what to time"),
    LT_I32(struct opts, repeat, 10, 1, 100000, "", "timed steps"),
    LT_I32(struct opts, warmup, 2, 1, 1000, "", "steps before"),
    LT_OPT_END,
};
static const cli_group groups[] = {{"", "Workload", own, 0, LT_OPTGROUP_FLAGS}, {NULL, NULL, NULL, 0, 0}};

struct timing { // of one workload
    int n, n_warmup, n_seen;
    double *step_s; // (repeat)
    double last_s, flop, rss_mib;
};

// ---- training step

static void on_step(const lt_job *job, const lt_step *step, void *self)
{
    struct timing *t = self;
    double now = cli_now_s();
    (void)job;
    (void)step;
    if (++t->n_seen > t->n_warmup && t->n_seen <= t->n_warmup + t->n)
        t->step_s[t->n_seen - t->n_warmup - 1] = now - t->last_s;
    t->last_s = now;
}

// Random bytes: the arithmetic does not depend on the values, and no file is read.
static lt_status random_data(const lt_model *m, int64_t n, lt_dataset **ds)
{
    size_t image = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    uint8_t *x = cli_alloc((size_t)n, image);
    int32_t *y = cli_alloc((size_t)n, sizeof *y);
    lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, 0, 0);
    for (size_t i = 0; i < (size_t)n * image; i++)
        x[i] = (uint8_t)lt_rng_u32(&rng);
    for (int64_t i = 0; i < n; i++)
        y[i] = (int32_t)lt_rng_below(&rng, (uint64_t)m->shape.n_classes);
    lt_status status =
        lt_dataset_from_arrays(m->shape.c, m->shape.h, m->shape.w, m->shape.n_classes, n, x, y, 1, x, y, ds);
    free(x);
    free(y);
    return status;
}

static lt_status time_train(const struct opts *o, lt_model *m, const lt_env *env, struct timing *t)
{
    enum { BATCHES = 4 }; // an epoch
    lt_dataset *ds = NULL;
    LT_TRY(random_data(m, o->batch * BATCHES, &ds));
    lt_job job = {.model = m, .n_phases = 1, .seed = 1, .on_step = on_step, .step_ctx = t, .step_only = true};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.batch = o->batch;
    job.cfg.epochs = (o->warmup + o->repeat + BATCHES - 1) / BATCHES;
    job.cfg.lr = 0.01f;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.eval_every = 0;
    job.phase[0] = (lt_phase){.n_views = 1, .shuffle = true};
    job.phase[0].view[0] = lt_view_split(ds, LT_TRAIN);
    job.phase[0].view[0].augment = true;
    lt_status status = lt_train_run(&job, env, NULL, false, NULL);
    lt_dataset_close(ds);
    LT_TRY(status);
    lt_plan *plan; // never run: only its operation count is wanted
    LT_TRY(cli_plan_create(m, CLI_PLAN_TRAIN, 1, LT_PLAN_NO_TUNE, env->backend, &plan));
    t->flop = lt_plan_get_stats(plan).flop * (double)o->batch;
    lt_plan_destroy(plan);
    return LT_OK;
}

// ---- plans

static void fill_inputs(lt_plan *plan, const lt_model *m, int64_t batch)
{
    int64_t image = (int64_t)m->shape.c * m->shape.h * m->shape.w;
    float *x = lt_plan_buffer(plan, m->x);
    lt_rng rng = lt_rng_at(2, LT_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < batch * image; i++)
        x[i] = lt_rng_uniform(&rng);
}

// The loss inputs come after the model's values: see cli_plan_create.
static void fill_loss_inputs(lt_plan *plan, const lt_model *m, int64_t batch)
{
    lt_val labels = (lt_val)lt_graph_n_values(m->graph), weight = labels + 1;
    int32_t *y = lt_plan_buffer(plan, labels);
    float *w = lt_plan_buffer(plan, weight);
    for (int64_t i = 0; i < batch; i++) {
        y[i] = (int32_t)(i % m->shape.n_classes);
        w[i] = 1.0f;
    }
}

static lt_status time_plan(const struct opts *o, lt_model *m, cli_plan_kind kind, const lt_env *env, struct timing *t)
{
    lt_plan *plan = NULL;
    lt_status status = LT_OK;
    LT_TRY(cli_plan_create(m, kind, o->batch, env->plan_flags, env->backend, &plan));
    LT_TRY_GOTO(lt_plan_bind(plan, m->params, m->state, NULL), done);
    fill_inputs(plan, m, o->batch);
    if (kind == CLI_PLAN_INPUT_GRAD)
        fill_loss_inputs(plan, m, o->batch);
    t->flop = lt_plan_get_stats(plan).flop;
    t->last_s = cli_now_s();
    for (int i = 0; i < o->warmup + o->repeat; i++) {
        LT_TRY_GOTO(lt_plan_run(plan), done);
        on_step(NULL, NULL, t);
    }
done:
    lt_plan_destroy(plan);
    return status;
}

// ---- result

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static json_t *timing_json(const struct opts *o, struct timing *t, double peak)
{
    json_t *j = json_object(), *ms = json_object();
    qsort(t->step_s, (size_t)t->n, sizeof *t->step_s, by_value);
    double best = t->step_s[0],
           median = t->n % 2 ? t->step_s[t->n / 2] : 0.5 * (t->step_s[t->n / 2 - 1] + t->step_s[t->n / 2]);
    double worst = t->step_s[t->n - 1], gflops = t->flop / median / 1e9;
    cli_put_real(j, "images_per_s", (double)o->batch / median);
    cli_put_real(j, "images_per_s_best", (double)o->batch / best);
    cli_put_real(j, "gflops", gflops);
    if (peak > 0)
        cli_put_real(j, "share_of_peak", gflops / peak);
    cli_put_real(j, "gflop_per_step", t->flop / 1e9);
    cli_put_real(ms, "best", 1e3 * best);
    cli_put_real(ms, "median", 1e3 * median);
    cli_put_real(ms, "worst", 1e3 * worst);
    cli_put(j, "ms_per_step", ms);
    cli_put_real(j, "peak_rss_mib", t->rss_mib);
    return j;
}

static lt_status time_one(cli_call *call, int workload, lt_model *m, const lt_env *env, double peak, json_t **out)
{
    const struct opts *o = call->opts;
    struct timing t = {.n = o->repeat, .n_warmup = o->warmup};
    t.step_s = cli_alloc((size_t)o->repeat, sizeof *t.step_s);
    cli_progress_stage(call->session->progress, "timing %s", workloads[workload].name);
    lt_peak_rss_reset();
    lt_status status = workload == WORK_TRAIN
                           ? time_train(o, m, env, &t)
                           : time_plan(o, m, workload == WORK_INFER ? CLI_PLAN_INFER : CLI_PLAN_INPUT_GRAD, env, &t);
    t.rss_mib = (double)lt_peak_rss_bytes() / 0x1p20;
    if (status == LT_OK)
        *out = timing_json(o, &t, peak);
    free(t.step_s);
    return status;
}

static lt_status run_model(cli_call *call, lt_model *m)
{
    const struct opts *o = call->opts;
    lt_env env;
    LT_TRY(cli_env(call, &env));
    int n_threads = lt_backend_n_threads(env.backend);
    const bool cpu = strcmp(call->where.device, "cpu") == 0; // the peak of a card is not measured
    double peak = 0, rss = 0;
    if (cpu)
        LT_TRY(lt_measure_fma_peak(n_threads, 0.6, &peak));
    json_t *all = json_object(), *first = NULL;
    for (int w = WORK_TRAIN; w <= WORK_INFER; w++) {
        json_t *one = NULL;
        if (o->workload != WORK_ALL && o->workload != w)
            continue;
        lt_status status = time_one(call, w, m, &env, peak, &one);
        if (status != LT_OK) {
            json_decref(all);
            return status;
        }
        rss = fmax(rss, cli_real(one, "peak_rss_mib"));
        first = first ? first : one;
        cli_put(all, workloads[w].name, one);
    }
    json_t *r = call->result = json_object();
    cli_put(r, "model", json_string(m->spec));
    cli_put(r, "batch", json_integer(o->batch));
    cli_put(r, "threads", json_integer(n_threads));
    cli_put(r, "backend", json_string(lt_backend_version(env.backend)));
    cli_put_real(r, "images_per_s", cli_real(first, "images_per_s"));
    cli_put_real(r, "gflops", cli_real(first, "gflops"));
    if (peak > 0)
        cli_put_real(r, "peak_gflops", peak);
    cli_put_real(r, "peak_rss_mib", rss);
    cli_put(r, "workloads", all);
    return LT_OK;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_model_shape shape = {.n_classes = o->classes};
    lt_model *m = NULL;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    LT_TRY(cli_parse_input(o->input, &shape));
    LT_TRY(lt_model_create(o->model, shape, &m));
    lt_model_init(m, 1);
    lt_status status = run_model(call, m);
    cli_progress_clear(call->session->progress);
    lt_model_destroy(m);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result, *all = json_object_get(r, "workloads");
    cli_table t = {.n_columns = 7, .left = {true}};
    const bool peak = json_object_get(r, "peak_gflops") != NULL;
    fprintf(out, "%s, batch %.0f, %.0f threads, %s\n", cli_text(r, "model"), cli_real(r, "batch"),
            cli_real(r, "threads"), cli_text(r, "backend"));
    if (peak)
        fprintf(out, "multiply-add peak %.0f GFLOP/s (measured)\n", cli_real(r, "peak_gflops"));
    fputs("\n", out);
    cli_table_row(&t, "workload", "images/s", "best", "GFLOP/s", "of peak %", "ms median (best-worst)", "peak MiB");
    for (int w = WORK_TRAIN; w <= WORK_INFER; w++) {
        const json_t *one = json_object_get(all, workloads[w].name);
        if (!one)
            continue;
        char *cell[6] = {
            cli_format("%.1f", cli_real(one, "images_per_s")),
            cli_format("%.1f", cli_real(one, "images_per_s_best")),
            cli_format("%.0f", cli_real(one, "gflops")),
            peak ? cli_format("%.0f", 100 * cli_real(one, "share_of_peak")) : cli_format("-"),
            cli_format("%.1f (%.1f-%.1f)", cli_real(one, "ms_per_step.median"), cli_real(one, "ms_per_step.best"),
                       cli_real(one, "ms_per_step.worst")),
            cli_format("%.0f", cli_real(one, "peak_rss_mib")),
        };
        cli_table_row(&t, workloads[w].help, cell[0], cell[1], cell[2], cell[3], cell[4], cell[5]);
        for (int i = 0; i < 6; i++)
            free(cell[i]);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    fputs("\nGFLOP/s are nominal (two per multiply-add, padding counted): Winograd and skipped padding can pass 100 % "
          "of the peak.\n",
          out);
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .usage = "[--model MODEL] [--batch N] [--workload NAME]",
    .about = "Times the training step, the input-gradient step and inference on random images, and measures the "
             "multiply-add peak of\n"
             "the machine in the same call. Figures are medians; best and worst show the spread.",
    .examples = "  lethe bench\n"
                "  lethe bench --model resnet18:width=16 --batch 64 --workload train --json\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
