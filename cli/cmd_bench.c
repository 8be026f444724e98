// cmd_bench.c - `lethe bench`: images a second of the three workloads, against the multiply-add peak of this machine.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

enum { WORK_ALL = LT_N_WORKLOADS };
static const lt_opt_value workloads[] = {
    {"all", WORK_ALL, "the three below"},
    {"train", LT_WORK_TRAIN, "training step"},
    {"input-grad", LT_WORK_INPUT_GRAD, "gradient of the loss to the image"},
    {"infer", LT_WORK_INFER, "forward pass"},
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

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_env env;
    lt_throughput result;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    lt_throughput_spec spec = {.model = o->model,
                               .shape.n_classes = o->classes,
                               .batch = o->batch,
                               .workloads = o->workload == WORK_ALL ? ~0u : 1u << o->workload,
                               .n_steps = o->repeat,
                               .n_warmup = o->warmup,
                               .peak = !strcmp(call->compute.device, "cpu"), // of the processor
                               .env = &env};
    LT_TRY(lt_parse_image_shape(o->input, &spec.shape));
    LT_TRY(cli_env(call, &env));
    const lt_status status = lt_throughput_measure(&spec, &result);
    cli_progress_clear(call->session->progress);
    LT_TRY(status);
    return cli_json_take(lt_throughput_json(&result), &call->result);
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
    for (int w = 0; w < LT_N_WORKLOADS; w++) {
        const json_t *one = json_object_get(all, lt_workload_name((lt_workload)w));
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
        cli_table_row(&t, workloads[w + 1].help, cell[0], cell[1], cell[2], cell[3], cell[4], cell[5]);
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
             "the machine in the same call. Rates are medians; best and worst show the spread.",
    .examples = "  lethe bench\n"
                "  lethe bench --model resnet18:width=16 --batch 64 --workload train --json\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
