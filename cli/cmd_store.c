// cmd_store.c - `lethe store`: reference models for membership attacks, trained once and found again.
//
// The library does the work (store.h); here are the names: where the store is, whose samples are meant, what is said.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *data, *model, *store, *out, *samples_from, *cache;
    int32_t count;
    uint64_t inclusion_seed;
    bool measure, incomplete, corrupt, all, dry_run;
    double older_than;
    lt_train_cfg train;
    lt_clip_cfg clip;
};
static const lt_option own[] = {
    LT_STR(struct opts, data, NULL, "data set, KIND[:PATH][,key=value...]; models train on halves of both splits"),
    LT_STR(struct opts, model, "resnet18", "architecture, NAME[:key=value,...]"),
    LT_I32(struct opts, count, 128, 2, 65536, "models",
           "reference models, an even number; model r has the seed --seed + r"),
    LT_U64(struct opts, inclusion_seed, 0, "seed of the inclusion mask: which model is trained on which sample"),
    LT_STR(struct opts, store, NULL,
           "directory of the store; default: $LETHE_HOME/store or ~/.local/share/lethe/store"),
    LT_BOOL(struct opts, measure, 1, "plan: time a few steps for the estimate; --no-measure: only count"),
    LT_STR(struct opts, out, NULL,
           "signals: .npz to write: logits (M,N,K), member (M,N), ids and labels (N); train --executor slurm: "
           "OUT.slurm.sh, default store"),
    LT_STR(struct opts, samples_from, NULL,
           "signals: take samples and their order from this .npz (of `lethe eval --signals`); default: the training "
           "split, then the test split"),
    LT_BOOL(struct opts, incomplete, 0, "prune: models whose training has not finished"),
    LT_BOOL(struct opts, corrupt, 0, "prune: models whose weights do not have the recorded digest; reads every model"),
    LT_F64(struct opts, older_than, 0, 0, 1e6, "days", "prune: what has not changed for so long; 0 = no"),
    LT_BOOL(struct opts, all, 0, "prune: everything"),
    LT_STR(struct opts, cache, NULL, "clear-cache: directory that `unlearn --cache` named; default: that of the user"),
    LT_BOOL(struct opts, dry_run, 0, "prune, clear-cache: only say what would be removed"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input", own, 0, LT_OPTGROUP_FLAGS},
    {"train", "Recipe of the reference models", lt_train_options, offsetof(struct opts, train), LT_OPTGROUP_FLAGS},
    {"clip", "Spectral clipping", lt_clip_norm_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {"clip", "Clipping", lt_clip_rule_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static lt_status store_dir(const struct opts *o, char out[4096])
{
    if (!o->store || !*o->store)
        return lt_store_dir(out);
    if (snprintf(out, 4096, "%s", o->store) >= 4096)
        return LT_FAIL(LT_E_USAGE, "--store: the path is longer than 4095 bytes");
    return LT_OK;
}

static lt_ref_env ref_env(const cli_call *call)
{
    cli_session *s = call->session;
    return (lt_ref_env){.n_workers = cli_threads(call),
                        .backend = cli_backend_name(call),
                        .events = s->events,
                        .stop = &s->stop,
                        .join = call->workers.join};
}

static lt_status make_plan(cli_call *call, lt_ref_plan **plan)
{
    const struct opts *o = call->opts;
    char dir[4096];
    const lt_dataset *ds;
    *plan = NULL;
    if (!o->data || !*o->data) {
        const lt_status status = LT_FAIL(LT_E_USAGE, "store %s: --data is missing", call->positional[0]);
        lt_error_hint("for example --data cifar10:PATH, or --data synthetic");
        return status;
    }
    LT_TRY(store_dir(o, dir));
    LT_TRY(cli_dataset(call, o->data, &ds));
    cli_catch_signals(call->session);
    const lt_ref_request request = {.ds = ds,
                                    .model = o->model,
                                    .train = o->train,
                                    .clip = o->clip,
                                    .count = o->count,
                                    .seed = call->seed.seed,
                                    .inclusion_seed = o->inclusion_seed};
    return lt_ref_plan_create(dir, &request, plan);
}

// ---- plan

static lt_status run_plan(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_ref_plan *plan;
    lt_ref_cost cost = {0};
    LT_TRY(make_plan(call, &plan));
    const lt_ref_env env = ref_env(call);
    cli_progress_stage(call->session->progress, "timing a few steps");
    lt_status status = o->measure ? lt_ref_measure(plan, &env, &cost) : LT_OK;
    cli_progress_clear(call->session->progress);
    if (status == LT_OK)
        status = cli_json_take(lt_ref_plan_json(plan, o->measure ? &cost : NULL), &call->result);
    lt_ref_plan_destroy(plan);
    return status;
}

static void print_time(double s, FILE *out)
{
    if (s >= 172800)
        fprintf(out, "about %.1f days", s / 86400);
    else if (s >= 7200)
        fprintf(out, "about %.1f hours", s / 3600);
    else if (s >= 120)
        fprintf(out, "about %.0f minutes", s / 60);
    else
        fprintf(out, "about %.0f seconds", s);
}

static void print_head(const json_t *r, FILE *out)
{
    fprintf(out, "%.0f reference models %s on %s in %s\n", cli_real(r, "count"), cli_text(r, "model"),
            cli_text(r, "data"), cli_text(r, "store"));
    fprintf(out, "%.0f ready, %.0f unfinished, %.0f missing\n", cli_real(r, "n_ready"), cli_real(r, "n_unfinished"),
            cli_real(r, "n_missing"));
}

static void print_plan(const json_t *r, FILE *out)
{
    print_head(r, out);
    if (cli_real(r, "train_images") <= 0)
        return;
    fprintf(out, "to train: %.0f images through all epochs", cli_real(r, "train_images"));
    if (json_is_number(json_object_get(r, "images_per_s"))) {
        fputs(", ", out);
        print_time(cli_real(r, "seconds"), out);
        fprintf(out, " at the measured %.0f images/s of %.0f concurrent models", cli_real(r, "images_per_s"),
                cli_real(r, "n_workers"));
    }
    fputc('\n', out);
}

// ---- train

static lt_status run_train(cli_call *call)
{
    static const char *const words[] = {"store", "train", NULL};
    const struct opts *o = call->opts;
    lt_ref_plan *plan;
    bool written;
    LT_TRY(make_plan(call, &plan)); // also for a script: what is wrong is said now
    lt_status status = cli_workers_begin(call, words, o->out && *o->out ? o->out : "store", &written);
    if (status != LT_OK || written) {
        lt_ref_plan_destroy(plan);
        return status;
    }
    const lt_ref_env env = ref_env(call);
    cli_progress_stage(call->session->progress, "training %d reference models", plan->request.count - plan->n_ready);
    status = lt_ref_train(plan, &env);
    cli_progress_clear(call->session->progress);
    if (status == LT_E_INTERRUPTED)
        lt_error_hint("the same command continues");
    if (status == LT_OK)
        status = cli_json_take(lt_ref_training_json(plan), &call->result);
    lt_ref_plan_destroy(plan);
    return status;
}

static void print_train(const json_t *r, FILE *out)
{
    print_head(r, out);
    fprintf(out, "%.0f trained now in %.1f s\n", cli_real(r, "n_trained"), cli_real(r, "wall_s"));
}

// ---- signals

static lt_status run_signals(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_ref_plan *plan;
    int64_t n;
    if (!o->out || !*o->out)
        return LT_FAIL(LT_E_USAGE, "store signals: --out is missing");
    LT_TRY(make_plan(call, &plan));
    const lt_ref_env env = ref_env(call);
    cli_progress_stage(call->session->progress, "evaluating %d reference models", plan->request.count);
    lt_status status = lt_reference_outputs(plan, &env, o->samples_from, o->out, &n);
    cli_progress_clear(call->session->progress);
    if (status == LT_OK)
        status = cli_json_take(lt_ref_outputs_json(plan, o->out, n), &call->result);
    lt_ref_plan_destroy(plan);
    return status;
}

static void print_signals(const json_t *r, FILE *out)
{
    fprintf(out, "%s: logits of %.0f samples under %.0f reference models\n", cli_text(r, "out"),
            cli_real(r, "n_samples"), cli_real(r, "count"));
}

// ---- list, prune

static lt_status list_entries(cli_call *call, const lt_store_filter *filter)
{
    char dir[4096], *json;
    LT_TRY(store_dir(call->opts, dir));
    LT_TRY(lt_store_json(dir, filter, &json));
    return cli_json_take(json, &call->result);
}

static lt_status run_list(cli_call *call)
{
    return list_entries(call, NULL);
}

static lt_status run_prune(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_store_filter filter = {.incomplete = o->incomplete,
                                    .corrupt = o->corrupt,
                                    .all = o->all,
                                    .older_than_days = o->older_than,
                                    .dry_run = o->dry_run};
    if (!(o->incomplete || o->corrupt || o->all || o->older_than > 0)) {
        LT_FAIL(LT_E_USAGE, "store prune: expected --incomplete, --corrupt, --older-than DAYS or --all");
        return lt_error_hint("--dry-run shows what would go");
    }
    return list_entries(call, &filter);
}

static void print_entries(const json_t *list, FILE *out)
{
    cli_table t = {.n_columns = 6, .left = {true, true, true}};
    size_t i;
    const json_t *e;
    cli_table_row(&t, "address", "state", "model", "seed", "samples", "MiB");
    json_array_foreach((json_t *)list, i, e)
    {
        const bool known = json_object_get(e, "seed") != NULL;
        char *seed = known ? cli_format("%.0f", cli_real(e, "seed")) : cli_format("-");
        char *n = known ? cli_format("%.0f", cli_real(e, "n_samples")) : cli_format("-");
        char *mib = cli_format("%.1f", cli_real(e, "bytes") / 1048576),
             *address = cli_format("%.16s", cli_text(e, "address"));
        cli_table_row(&t, address, cli_text(e, "state"), cli_text(e, "model"), seed, n, mib);
        free(seed);
        free(n);
        free(mib);
        free(address);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_list(const json_t *r, FILE *out)
{
    if (cli_real(r, "n") > 0)
        print_entries(json_object_get(r, "entries"), out);
    fprintf(out, "%.0f models, %.1f MiB in %s\n", cli_real(r, "n"), cli_real(r, "bytes") / 1048576,
            cli_text(r, "store"));
}

static void print_prune(const json_t *r, FILE *out)
{
    if (cli_real(r, "n") > 0)
        print_entries(json_object_get(r, "removed"), out);
    fprintf(out, "%.0f models, %.1f MiB %s %s\n", cli_real(r, "n"), cli_real(r, "bytes") / 1048576,
            json_is_true(json_object_get(r, "dry_run")) ? "would be removed from" : "removed from",
            cli_text(r, "store"));
}

// ---- clear-cache

// Of the cache (--cache, or that of the user) and of the runs that are named.
static lt_status run_clear_cache(cli_call *call)
{
    const struct opts *o = call->opts;
    char dir[LT_DIR_MAX], *json;
    if (o->cache && *o->cache)
        snprintf(dir, sizeof dir, "%s", o->cache);
    else
        LT_TRY(lt_cache_dir(dir));
    LT_TRY(lt_adv_clear_json(dir, call->positional + 1, call->n_positional - 1, o->dry_run, &json));
    return cli_json_take(json, &call->result);
}

static void print_clear_cache(const json_t *r, FILE *out)
{
    fprintf(out, "%.0f adversarial sets, %.1f MiB %s %s and the runs named\n", cli_real(r, "n"),
            cli_real(r, "bytes") / 1048576,
            json_is_true(json_object_get(r, "dry_run")) ? "would be removed from" : "removed from",
            cli_text(r, "cache"));
}

// ---- the verb

static const cli_action actions[] = {
    {"plan", run_plan, print_plan},
    {"train", run_train, print_train},
    {"signals", run_signals, print_signals},
    {"list", run_list, print_list},
    {"prune", run_prune, print_prune},
    {"clear-cache", run_clear_cache, print_clear_cache},
    {NULL, NULL, NULL},
};

static lt_status run(cli_call *call)
{
    if (call->n_positional > 1 && strcmp(call->positional[0], "clear-cache") != 0)
        return LT_FAIL(LT_E_USAGE, "store %s: expected options only, found '%s'", call->positional[0],
                       call->positional[1]);
    return cli_action_run(call, actions, "store plan --data synthetic --count 8");
}

static void print(const cli_call *call, FILE *out)
{
    cli_action_print(call, actions, out);
}

const cli_verb cli_verb_store = {
    .name = "store",
    .usage = "plan | train | signals --out REFS.npz | list | prune | clear-cache [RUN...]   [--data DATA --model MODEL "
             "--count M ...]",
    .about =
        "Reference models of membership inference attacks. M models are trained on halves of the training and the "
        "test\n"
        "split together, so that every sample is in the training data of exactly M/2 of them. The "
        "address\n"
        "of a model is made of architecture, recipe, data, samples and seed: none is trained twice.\n"
        "plan     which models the store holds, which are missing, and the training time from a few timed steps\n"
        "train    trains what is missing, one model per compute thread; interrupted, the same command continues\n"
        "signals  logits of a target's samples under all M models, for `lethe audit --references`\n"
        "list     the models of the store\n"
        "prune    removes models\n"
        "clear-cache [RUN...]  removes adversarial sets, which show forgotten images: those that `unlearn --cache` "
        "and earlier\n"
        "versions left, and those that the named runs keep (unlearn --save-adv)\n"
        "A number of models other than the one asked for is an error (exit code 4), never silently fewer. The "
        "recipe of\n"
        "the paper is in the second example; its references have the seeds 0 to 127. References of a clipped model "
        "take\n"
        "its --clip-norm: they must be trained as it was.",
    .examples = "  lethe store plan --data cifar10 --model resnet18:width=16 --epochs 30 --count 16\n"
                "  lethe store train --data cifar10 --count 128 --seed 0 --epochs 161 --schedule step --lr 0.1 "
                "--lr-step-every 40 "
                "--batch 128\n"
                "  lethe store signals --data cifar10 --model resnet18:width=16 --epochs 30 --count 16 --out refs.npz\n"
                "  lethe store prune --incomplete --dry-run\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_WORKERS,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
