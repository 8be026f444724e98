// cmd_train.c - `lethe train`: a run directory with a trained model that says what it was trained on and how.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    lt_train_what what;
    lt_train_cfg train;
    lt_clip_cfg clip;
    bool tensorboard;
};
static const lt_option tracking[] = {
    LT_BOOL(struct opts, tensorboard, 0,
            "event files for TensorBoard in the run directory, besides metrics.csv and .jsonl"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input", lt_train_what_options, offsetof(struct opts, what), LT_OPTGROUP_FLAGS},
    {"train", "Training", lt_train_options, offsetof(struct opts, train), LT_OPTGROUP_FLAGS},
    {"clip", "Spectral clipping", lt_clip_norm_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {"clip", "Clipping", lt_clip_rule_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {"", "Tracking", tracking, 0, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST},
    {NULL, NULL, NULL, 0, 0},
};

static lt_status train_one(cli_call *call, const lt_train_order *order)
{
    lt_train_record record;
    cli_progress_stage(call->session->progress, "training %s",
                       order->what.model  ? order->what.model
                       : order->what.init ? order->what.init
                                          : "resnet18");
    lt_status status = lt_train_dir(order, &record);
    if (status == LT_OK && record.json)
        status = cli_set_result(call, record.json, record.dir);
    else if (status != LT_OK)
        cli_hint_resume(call, status, "", record.dir);
    lt_train_record_clear(&record);
    return status;
}

static lt_status train_population(cli_call *call, const lt_train_order *order, int n)
{
    lt_population_record record;
    const lt_threads threads = {.threads = cli_threads(call)};
    cli_progress_stage(call->session->progress, "training %d models", n);
    lt_status status = lt_population_dir(order, n, &threads, &record);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, record.dir);
    else
        cli_hint_resume(call, status, "", record.dir);
    if (status == LT_OK)
        call->late = record.failure;
    lt_population_record_clear(&record);
    return status;
}

static lt_status open_ranks(cli_call *call)
{
    const struct opts *o = call->opts;
    if (o->what.ranks == 1)
        return LT_OK;
    if (o->what.population > 0)
        return LT_FAIL(LT_E_USAGE, "train: --ranks and --population exclude each other");
    LT_TRY(lt_comm_open("mpi", &call->session->comm));
    const lt_comm *comm = call->session->comm;
    if (comm->rank > 0)
        cli_progress_config(call->session->progress, true, false);
    if (comm->size == o->what.ranks)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "train: --ranks %d, but %d process%s been started", o->what.ranks, comm->size,
            comm->size == 1 ? " has" : "es have");
    return lt_error_hint("mpirun -n %d lethe train --ranks %d ...", o->what.ranks, o->what.ranks);
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_env env = {.events = call->session->events, .stop = &call->session->stop};
    const lt_dataset *ds;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    LT_TRY(open_ranks(call));
    if (!o->what.data || !*o->what.data) {
        LT_FAIL(LT_E_USAGE, "train: --data is missing");
        return lt_error_hint("for example --data cifar10:PATH, or --data synthetic");
    }
    LT_TRY(cli_dataset(call, o->what.data, &ds));
    cli_catch_signals(call->session);
    if (o->what.population == 0) // members have backends of their own
        LT_TRY(cli_env(call, &env));
    env.comm = call->session->comm;
    const lt_train_order order = {.what = o->what,
                                  .cfg = o->train,
                                  .clip = o->clip,
                                  .seed = call->seed.seed,
                                  .compute = call->compute,
                                  .ds = ds,
                                  .env = &env,
                                  .out = call->run_dir.out,
                                  .force = call->run_dir.force,
                                  .tensorboard = o->tensorboard,
                                  .set = call->set};
    return o->what.population > 0 ? train_population(call, &order, o->what.population) : train_one(call, &order);
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    char train_acc[24], test_acc[24], loss[24] = "-"; // no test split
    if (json_object_get(r, "population")) {
        cli_print_population(r, out);
        return;
    }
    if (isfinite(cli_real(r, "test_loss")))
        snprintf(loss, sizeof loss, "%.4f", cli_real(r, "test_loss"));
    fprintf(out, "%s on %s: train accuracy %s %%, test accuracy %s %%, test loss %s\n", cli_text(r, "model"),
            cli_text(r, "data"), cli_percent(cli_real(r, "train_acc"), train_acc),
            cli_percent(cli_real(r, "test_acc"), test_acc), loss);
    fprintf(out, "%.0f epochs in %.1f s, %.0f images/s; model digest %.16s\n", cli_real(r, "epochs"),
            cli_real(r, "wall_s"), cli_real(r, "images_per_s"), cli_text(r, "model_digest"));
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force recomputes it)" : "");
}

const cli_verb cli_verb_train = {
    .name = "train",
    .usage = "--data DATA [--model MODEL] [options]",
    .about =
        "Trains a model and leaves a run directory: resolved options, log, metrics.jsonl, model.safetensors, "
        "result.json.\n"
        "Interrupted (Ctrl-C), it writes a checkpoint and exits with code 75; --resume continues to bit-identical\n"
        "weights. A finished run with the same options is not computed again unless --force is given.\n"
        "--adversarial trades (or pgd) trains against an attack on every batch; what is retrained from such a run is\n"
        "trained the same way.\n"
        "--clip-norm C keeps the spectral norm of every convolution and linear layer at or below C (FastClip).\n"
        "--population K trains K models that differ in their seed, one per compute thread: every member is an "
        "ordinary\n"
        "run OUT/000, OUT/001, ... with the bits it has alone with --threads 1; population.json lists them. A "
        "member\n"
        "that fails is named and loses nothing; the same command goes on with what is missing.",
    .examples =
        "  lethe train --data synthetic --model resnet18:width=16 --epochs 10 --out runs/base\n"
        "  lethe train --data cifar10:/data/cifar-10-batches-bin,train-limit=10000 --schedule step --epochs 200\n"
        "  lethe train --resume runs/base\n"
        "  lethe train --data cifar10 --adversarial trades --adv-norm linf --adv-eps 0.031 --out runs/robust\n"
        "  lethe train --data cifar10 --model resnet18:width=16 --population 8 --out runs/eight\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME | CLI_RECORD,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
