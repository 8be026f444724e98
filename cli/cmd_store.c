// cmd_store.c - `lethe store`: reference models for membership attacks, trained once and found again.
//
// The library does the work (store.h); here are the names: where the store is, whose samples are meant, what is said.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *data, *model, *store, *out, *samples_from;
    int32_t count;
    uint64_t inclusion_seed;
    bool measure, incomplete, corrupt, all, dry_run;
    double older_than;
    lt_train_cfg train;
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
    LT_STR(struct opts, out, NULL, "signals: .npz to write: logits (M,N,K) and member (M,N)"),
    LT_STR(struct opts, samples_from, NULL,
           "signals: take samples and their order from this .npz (of `lethe eval --signals`); default: the training "
           "split, then the test split"),
    LT_BOOL(struct opts, incomplete, 0, "prune: models whose training has not finished"),
    LT_BOOL(struct opts, corrupt, 0, "prune: models whose weights do not have the recorded digest; reads every model"),
    LT_F64(struct opts, older_than, 0, 0, 1e6, "days", "prune: what has not changed for so long; 0 = no"),
    LT_BOOL(struct opts, all, 0, "prune: everything"),
    LT_BOOL(struct opts, dry_run, 0, "prune: only say what would be removed"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input", own, 0, LT_OPTGROUP_FLAGS},
    {"train", "Recipe of the reference models", lt_train_options, offsetof(struct opts, train), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static lt_status store_dir(const struct opts *o, char out[4096])
{
    if (!o->store || !*o->store)
        return cli_store_dir(out);
    if (snprintf(out, 4096, "%s", o->store) >= 4096)
        return LT_FAIL(LT_E_USAGE, "--store: the path is longer than 4095 bytes");
    return LT_OK;
}

static lt_ref_env ref_env(const cli_call *call)
{
    cli_session *s = call->session;
    return (lt_ref_env){
        .n_workers = cli_threads(call), .backend = cli_backend_name(call), .events = s->events, .stop = &s->stop};
}

static lt_status make_plan(cli_call *call, lt_ref_plan **plan)
{
    const struct opts *o = call->opts;
    char dir[4096];
    const lt_dataset *ds;
    *plan = NULL;
    if (!o->data || !*o->data) {
        LT_FAIL(LT_E_USAGE, "store %s: --data is missing", call->positional[0]);
        return lt_error_hint("for example --data cifar10:PATH, or --data synthetic");
    }
    LT_TRY(store_dir(o, dir));
    LT_TRY(cli_dataset(call, o->data, &ds));
    cli_catch_signals(call->session);
    const lt_ref_request request = {.ds = ds,
                                    .model = o->model,
                                    .train = o->train,
                                    .count = o->count,
                                    .seed = call->seed.seed,
                                    .inclusion_seed = o->inclusion_seed};
    return lt_ref_plan_create(dir, &request, plan);
}

static json_t *models_json(const lt_ref_plan *plan)
{
    json_t *list = json_array();
    for (int r = 0; r < plan->request.count; r++) {
        const lt_ref *ref = &plan->ref[r];
        char name[LT_MEMBER_NAME_MAX];
        json_t *j = json_object();
        cli_put(j, "name", json_string(lt_member_name(r, name)));
        cli_put(j, "address", json_string(ref->address));
        cli_put(j, "seed", json_integer((json_int_t)ref->seed));
        cli_put(j, "n_samples", json_integer(ref->n_samples));
        cli_put(j, "state", json_string(lt_ref_state_text(ref->state)));
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *plan_json(const lt_ref_plan *plan)
{
    json_t *r = json_object();
    cli_put(r, "store", json_string(plan->dir));
    cli_put(r, "model", json_string(plan->request.model));
    cli_put(r, "data", json_string(plan->request.ds->spec));
    cli_put(r, "data_digest", json_string(plan->request.ds->digest));
    cli_put(r, "count", json_integer(plan->request.count));
    cli_put(r, "n", json_integer(plan->n));
    cli_put(r, "n_ready", json_integer(plan->n_ready));
    cli_put(r, "n_unfinished", json_integer(plan->n_unfinished));
    cli_put(r, "n_missing", json_integer(plan->n_missing));
    return r;
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
    if (status == LT_OK) {
        json_t *r = plan_json(plan);
        const bool known = o->measure || plan->images == 0;
        cli_put(r, "train_images", json_integer(plan->images));
        cli_put(r, "n_workers", json_integer(cost.n_workers));
        cli_put(r, "images_per_s", cost.images_per_s > 0 ? json_real(cost.images_per_s) : json_null());
        cli_put(r, "seconds", known ? json_real(cost.seconds) : json_null());
        cli_put(r, "models", models_json(plan));
        call->result = r;
    }
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
        fprintf(out, " at the measured %.0f images/s of %.0f models side by side", cli_real(r, "images_per_s"),
                cli_real(r, "n_workers"));
    }
    fputc('\n', out);
}

// ---- train

static lt_status run_train(cli_call *call)
{
    lt_ref_plan *plan;
    LT_TRY(make_plan(call, &plan));
    const lt_ref_env env = ref_env(call);
    const int before = plan->n_ready;
    const double start_s = cli_now_s();
    cli_progress_stage(call->session->progress, "training %d reference models", plan->request.count - before);
    lt_status status = lt_ref_train(plan, &env);
    cli_progress_clear(call->session->progress);
    if (status == LT_E_INTERRUPTED)
        lt_error_hint("the same command continues");
    if (status == LT_OK) {
        json_t *r = plan_json(plan);
        cli_put(r, "n_trained", json_integer(plan->n_ready - before));
        cli_put_real(r, "wall_s", cli_now_s() - start_s);
        cli_put(r, "models", models_json(plan));
        call->result = r;
    }
    lt_ref_plan_destroy(plan);
    return status;
}

static void print_train(const json_t *r, FILE *out)
{
    print_head(r, out);
    fprintf(out, "%.0f trained now in %.1f s\n", cli_real(r, "n_trained"), cli_real(r, "wall_s"));
}

// ---- signals

static int64_t row_of_id(const lt_split_data *d, int64_t id)
{
    int64_t lo = 0, hi = d->n; // ids ascend
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (d->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->n && d->id[lo] == id ? lo : -1;
}

// Numbers in D + D_T of the samples of a signals file, in its order.
static lt_status samples_like(const lt_dataset *ds, const char *path, const lt_signals *s, int64_t *sample)
{
    if (s->k != ds->n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: expected logits of %d classes, found %d", path, ds->n_classes, s->k);
    for (int64_t i = 0; i < s->n; i++) {
        const bool test = s->group[i] == LT_GROUP_TEST;
        const lt_split_data *d = &ds->split[test ? LT_TEST : LT_TRAIN];
        const int64_t row = row_of_id(d, s->id[i]);
        if (row < 0)
            return LT_FAIL(LT_E_FORMAT, "%s: row %lld: id %lld is not in the %s split of %s", path, (long long)i,
                           (long long)s->id[i], test ? "test" : "training", ds->spec);
        if (d->y[row] != s->label[i])
            return LT_FAIL(LT_E_FORMAT, "%s: row %lld: id %lld has label %d in %s, found %lld", path, (long long)i,
                           (long long)s->id[i], (int)d->y[row], ds->spec, (long long)s->label[i]);
        sample[i] = row + (test ? ds->split[LT_TRAIN].n : 0);
    }
    return LT_OK;
}

static lt_status choose_samples(cli_call *call, const lt_ref_plan *plan, int64_t **sample, int64_t *n)
{
    const struct opts *o = call->opts;
    lt_signals *s;
    *sample = NULL;
    *n = plan->n;
    if (!o->samples_from || !*o->samples_from)
        return LT_OK;
    LT_TRY(lt_signals_open(o->samples_from, &s));
    *n = s->n;
    *sample = cli_alloc((size_t)s->n, sizeof **sample);
    lt_status status = samples_like(plan->request.ds, o->samples_from, s, *sample);
    lt_signals_destroy(s);
    return status;
}

static lt_status write_signals(cli_call *call, const lt_ref_plan *plan, const int64_t *sample, int64_t n)
{
    const struct opts *o = call->opts;
    const int64_t count = plan->request.count, k = plan->request.ds->n_classes;
    const lt_ref_env env = ref_env(call);
    float *logits = cli_alloc((size_t)(count * n * k), sizeof *logits);
    uint8_t *member = cli_alloc((size_t)(count * n), 1);
    cli_progress_stage(call->session->progress, "evaluating %d reference models", plan->request.count);
    lt_status status = lt_ref_signals(plan, &env, sample, n, logits, member);
    cli_progress_clear(call->session->progress);
    const lt_tensor tensors[] = {
        {"logits", LT_F32, 3, {count, n, k}, logits, (size_t)(count * n * k) * sizeof *logits},
        {"member", LT_U8, 2, {count, n}, member, (size_t)(count * n)},
    };
    if (status == LT_OK)
        status = lt_npz_write(o->out, tensors, 2);
    free(logits);
    free(member);
    return status;
}

static lt_status run_signals(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_ref_plan *plan;
    int64_t *sample = NULL, n;
    if (!o->out || !*o->out)
        return LT_FAIL(LT_E_USAGE, "store signals: --out is missing");
    LT_TRY(make_plan(call, &plan));
    lt_status status = choose_samples(call, plan, &sample, &n);
    if (status == LT_OK)
        status = write_signals(call, plan, sample, n);
    if (status == LT_OK) {
        json_t *r = plan_json(plan);
        cli_put(r, "out", json_string(o->out));
        cli_put(r, "n_samples", json_integer(n));
        call->result = r;
    }
    free(sample);
    lt_ref_plan_destroy(plan);
    return status;
}

static void print_signals(const json_t *r, FILE *out)
{
    fprintf(out, "%s: logits of %.0f samples under %.0f reference models\n", cli_text(r, "out"),
            cli_real(r, "n_samples"), cli_real(r, "count"));
}

// ---- list, prune

static lt_status entries_result(cli_call *call, const char *dir, char *text, const char *key)
{
    json_t *list = json_loads(text, 0, NULL);
    double bytes = 0;
    size_t i;
    const json_t *e;
    json_array_foreach(list, i, e) bytes += cli_real(e, "bytes");
    json_t *r = json_object();
    cli_put(r, "store", json_string(dir));
    cli_put(r, "n", json_integer((json_int_t)json_array_size(list)));
    cli_put(r, "bytes", json_integer((json_int_t)bytes));
    cli_put(r, key, list);
    call->result = r;
    free(text);
    return LT_OK;
}

static lt_status run_list(cli_call *call)
{
    char dir[4096], *text;
    LT_TRY(store_dir(call->opts, dir));
    LT_TRY(lt_store_list(dir, &text));
    return entries_result(call, dir, text, "entries");
}

static lt_status run_prune(cli_call *call)
{
    const struct opts *o = call->opts;
    char dir[4096], *text;
    const lt_store_filter filter = {.incomplete = o->incomplete,
                                    .corrupt = o->corrupt,
                                    .all = o->all,
                                    .older_than_days = o->older_than,
                                    .dry_run = o->dry_run};
    if (!(o->incomplete || o->corrupt || o->all || o->older_than > 0)) {
        LT_FAIL(LT_E_USAGE, "store prune: expected --incomplete, --corrupt, --older-than DAYS or --all");
        return lt_error_hint("--dry-run shows what would go");
    }
    LT_TRY(store_dir(o, dir));
    LT_TRY(lt_store_prune(dir, &filter, &text));
    LT_TRY(entries_result(call, dir, text, "removed"));
    cli_put(call->result, "dry_run", json_boolean(o->dry_run));
    return LT_OK;
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

// ---- the verb

static const cli_action actions[] = {
    {"plan", run_plan, print_plan}, {"train", run_train, print_train}, {"signals", run_signals, print_signals},
    {"list", run_list, print_list}, {"prune", run_prune, print_prune}, {NULL, NULL, NULL},
};

static lt_status run(cli_call *call)
{
    if (call->n_positional > 1)
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
    .usage = "plan | train | signals --out REFS.npz | list | prune   [--data DATA --model MODEL --count M ...]",
    .about = "Reference models of membership inference attacks. M models are trained on halves of the training and the "
             "test\n"
             "split together, so that every sample is in the training data of exactly M/2 of them. A model is found "
             "again by\n"
             "architecture, recipe, data, samples and seed: what is in the store is never trained twice.\n"
             "plan     what is there, what is missing, and what training it will cost, from a few timed steps\n"
             "train    trains what is missing, one model per compute thread; interrupted, the same command continues\n"
             "signals  logits of a target's samples under all M models, for `lethe audit --references`\n"
             "list     the models of the store\n"
             "prune    removes models\n"
             "A number of models other than the one asked for is an error (exit code 4), never silently fewer. The "
             "recipe of\n"
             "the paper is in the second example; its references have the seeds 0 to 127.",
    .examples = "  lethe store plan --data cifar10 --model resnet18:width=16 --epochs 30 --count 16\n"
                "  lethe store train --data cifar10 --count 128 --seed 0 --epochs 161 --schedule step --lr 0.1 "
                "--lr-step-every 40 "
                "--batch 128\n"
                "  lethe store signals --data cifar10 --model resnet18:width=16 --epochs 30 --count 16 --out refs.npz\n"
                "  lethe store prune --incomplete --dry-run\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
