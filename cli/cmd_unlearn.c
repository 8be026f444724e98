// cmd_unlearn.c - `lethe unlearn`: a child run whose model has forgotten some training samples of its parent.
//
// The options of the method are bound after a look at the arguments for --method, so that its rows are flags, config
// keys and help like all others (`lethe unlearn --method amun --help`).
#include "requests.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct opts {
    const char *run, *method, *forget, *requests, *data, *cache, *stream_first, *stream_forget, *oracle, *references;
    uint64_t forget_seed;
    double request_lr_decay;
    bool retain, save_adv;
};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "trained run, or model file (also the first argument)"),
    LT_STR(struct opts, method, NULL, "how to unlearn; `lethe unlearn --help` lists the methods"),
    LT_STR(struct opts, forget, "random:10%", "random:10%, random:5000, class:3,7 or file:IDS.csv"),
    LT_U64(struct opts, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_STR(struct opts, requests, NULL,
           "several forget sets one after another: a file of one a line, or cut:KxN:IDS.csv"),
    LT_F64(struct opts, request_lr_decay, 1, 1e-6, 1, "", "factor of the method's lr from one request to the next"),
    LT_BOOL(struct opts, retain, 1, "the method may use the retained data; --no-retain: forget data only"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_STR(struct opts, cache, NULL, "directory for adversarial sets; default: under $LETHE_HOME or the user's cache"),
    LT_BOOL(struct opts, save_adv, 1, "keep the adversarial set of the method in the run directory"),
    LT_STR(struct opts, stream_first, NULL, "of one request of several: run or model before the first of them"),
    LT_STR(struct opts, stream_forget, NULL, "of one request of several: the samples of all of them"),
    LT_OPT_END,
};
// Say how requests are judged, not what is computed: a finished stream is judged anew without being made again.
static const lt_option judging[] = {
    LT_STR(struct opts, oracle, NULL, "--requests: retrained runs to compare with: one, one per request, or a stream"),
    LT_STR(struct opts, references, NULL, "--requests: outputs of reference models on all samples (.npz), for RMIA"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "What to forget, and how", own, 0, LT_OPTGROUP_FLAGS},
    {"", "How requests are judged", judging, 0, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST},
    {NULL, NULL, NULL, 0, 0},
};

// ---- the method's own options

// "method:" at the start of a line of the --config file. A spelling this misses is caught after parsing.
static char *method_of_config(const char *path)
{
    enum { MAX_BYTES = 1 << 20 };
    char *text, *found = NULL;
    size_t n;
    if (!path || lt_read_file(path, MAX_BYTES, &text, &n) != LT_OK) {
        lt_error_clear(); // parsing reports it
        return NULL;
    }
    for (char *line = text; line && *line && !found; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, "method:", 7)) {
            char *value = line + 7 + strspn(line + 7, " \t\"'");
            found = cli_format("%.*s", (int)strcspn(value, " \t\"'\r\n#"), value);
        }
    free(text);
    return found;
}

static char *method_of_run(const char *dir)
{
    char *path = dir ? cli_format("%s/resolved.json", dir) : NULL, *found = NULL;
    json_t *resolved = NULL;
    if (path && cli_json_load(path, &resolved) == LT_OK && *cli_text(resolved, "method.value"))
        found = cli_format("%s", cli_text(resolved, "method.value"));
    lt_error_clear(); // --resume itself is checked later
    json_decref(resolved);
    free(path);
    return found;
}

static char *guess_method(const cli_call *call)
{
    const char *flag = cli_find_arg(call->argc, call->argv, "method"), *env = getenv("LETHE_METHOD");
    char *found = NULL;
    if (flag)
        return cli_format("%s", flag);
    found = method_of_run(cli_find_arg(call->argc, call->argv, "resume"));
    if (!found && env && *env)
        found = cli_format("%s", env);
    if (!found)
        found = method_of_config(cli_find_arg(call->argc, call->argv, "config"));
    return found ? found : method_of_config(getenv("LETHE_CONFIG"));
}

static lt_status prepare(cli_call *call)
{
    char *name = guess_method(call);
    const lt_unlearn_method *m = NULL;
    lt_status status = name ? lt_unlearn_find(name, &m) : LT_OK;
    free(name);
    LT_TRY(status);
    if (!m)
        return LT_OK;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "unlearn.%s", m->name);
    call->extra = m;
    call->extra_cfg = cli_alloc(m->cfg_size, 1);
    return cli_bind(call, prefix, m->opts, call->extra_cfg, LT_OPTGROUP_FLAGS);
}

static void more_help(const cli_call *call, FILE *out)
{
    const lt_unlearn_method *chosen = call->extra;
    if (chosen) {
        fprintf(out, "\n%s\n", chosen->title);
        cli_print_wrapped(chosen->doc, out);
        char *defaults = lt_unlearn_defaults_text(chosen);
        if (defaults && *defaults)
            fprintf(out, "\n%s\n", defaults);
        free(defaults);
        if (chosen->opts[0].name)
            cli_print_options(out, NULL, "", chosen->opts, call->extra_cfg);
        return;
    }
    fputs("\nMethods (`lethe unlearn --method NAME --help` shows the options of one):\n", out);
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++)
        fprintf(out, "  %-16s %s\n", (*m)->name, (*m)->title);
}

// ---- the run

struct job {
    const lt_unlearn_method *method;
    cli_source src, first; // first: of a stream, see lt_unlearn_stream
    const lt_dataset *ds;
    cli_sets sets;
    lt_index_set all; // of a stream
    lt_unlearn_stream stream;
    cli_run run;
    lt_env env;
    lt_train_cfg recipe;
    lt_unlearn_result result;
    bool use_retain;
    lt_signals *signals;
    int n_forgotten_classes; // as a whole
    lt_class_acc class_acc;
    char parent_digest[65], forget_digest[65], forgotten_digest[65], first_digest[65], cache[4096];
};

static lt_status check_method(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    job->method = call->extra;
    if (job->method && o->method && !strcmp(job->method->name, o->method))
        return LT_OK;
    if (!o->method || !*o->method) {
        LT_FAIL(LT_E_USAGE, "unlearn: --method is missing");
        return lt_error_hint("for example --method amun; `lethe unlearn --help` lists the methods");
    }
    LT_FAIL(LT_E_USAGE, "unlearn: method '%s' was found too late to read its options", o->method);
    return lt_error_hint("give it as --method %s", o->method);
}

// A directory that was asked for must serve; a home that cannot be written is no reason to compute nothing.
static lt_status choose_cache(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    if (o->cache && *o->cache) {
        if (snprintf(job->cache, sizeof job->cache, "%s", o->cache) >= (int)sizeof job->cache)
            return LT_FAIL(LT_E_USAGE, "--cache: the path is longer than %zu bytes", sizeof job->cache - 1);
        return lt_make_dirs(job->cache);
    }
    if (!(job->method->needs & LT_NEED_ATTACK))
        return LT_OK;
    if (cli_cache_dir(job->cache) != LT_OK || lt_make_dirs(job->cache) != LT_OK) {
        lt_warn(call->session->events, "attack.cache", "the adversarial set will not be cached: %s",
                lt_error_get()->message);
        lt_error_clear();
        job->cache[0] = '\0';
    }
    return LT_OK;
}

static lt_status open_stream(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    bool has_first = o->stream_first && *o->stream_first, has_all = o->stream_forget && *o->stream_forget;
    if (has_first != has_all)
        return LT_FAIL(LT_E_USAGE, "unlearn: --stream-first and --stream-forget go together");
    if (!has_first)
        return LT_OK;
    LT_TRY(cli_source_open(o->stream_first, NULL, &job->first));
    LT_TRY(lt_forget_parse(job->ds, o->stream_forget, o->forget_seed, &job->all));
    job->stream = (lt_unlearn_stream){job->first.model, &job->all};
    lt_model_digest(job->first.model, job->first_digest);
    return LT_OK;
}

static lt_status open_inputs(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    LT_TRY(cli_source_open(o->run, NULL, &job->src));
    LT_TRY(cli_source_data(call, &job->src, o->data, &job->ds));
    LT_TRY(cli_sets_of_run(&job->src, job->ds, &(cli_forget){.spec = o->forget, .seed = o->forget_seed, .is_new = true},
                           &job->sets));
    LT_TRY(cli_source_recipe(&job->src, &job->recipe));
    LT_TRY(open_stream(call, job));
    lt_model_digest(job->src.model, job->parent_digest);
    lt_index_set_digest(job->ds, LT_TRAIN, &job->sets.forget, job->forget_digest);
    return choose_cache(call, job);
}

static lt_status write_sets(struct job *job)
{
    char path[4096];
    LT_TRY(lt_run_path(job->run.to.run, "forget.csv", path, sizeof path));
    LT_TRY(lt_forget_write(job->ds, &job->sets.forget, path));
    LT_TRY(lt_run_path(job->run.to.run, "forgotten.csv", path, sizeof path));
    unlink(path); // of an earlier try with other options
    if (job->sets.n_before == 0)
        return LT_OK;
    lt_index_set all = {0};
    lt_status status = lt_index_set_complement(job->ds->split[LT_TRAIN].n, &job->sets.retain, &all);
    if (status == LT_OK) {
        lt_index_set_digest(job->ds, LT_TRAIN, &all, job->forgotten_digest);
        status = lt_forget_write(job->ds, &all, path);
    }
    lt_index_set_clear(&all);
    return status;
}

static lt_unlearn_in describe_job(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    job->use_retain = o->retain && !(job->method->needs & LT_FORGET_ONLY);
    return (lt_unlearn_in){.model = job->src.model,
                           .ds = job->ds,
                           .forget = &job->sets.forget,
                           .retain = &job->sets.retain,
                           .use_retain = job->use_retain,
                           .seed = call->seed.seed,
                           .env = &job->env,
                           .cache_dir = *job->cache ? job->cache : NULL,
                           .run_dir = job->run.to.dir,
                           .resume = !call->place.force,
                           .train_cfg = &job->recipe,
                           .stream = job->stream.first ? &job->stream : NULL};
}

static lt_status unlearn(cli_call *call, struct job *job)
{
    lt_unlearn_in in = describe_job(call, job);
    if (!call->nested) // a calling verb has named the stage
        cli_progress_stage(call->session->progress, "unlearning with %s", job->method->name);
    return lt_unlearn_run(job->method, &in, call->extra_cfg, &job->result);
}

static lt_status describe_model(struct job *job)
{
    const lt_provenance p = {.ds = job->ds,
                             .method = job->method->name,
                             .parent_digest = job->parent_digest,
                             .forgotten_digest = job->forgotten_digest,
                             .forget_digest = job->forget_digest};
    return lt_model_set_provenance(job->src.model, &p);
}

static lt_status save_artefacts(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    char path[4096];
    LT_TRY(describe_model(job));
    LT_TRY(lt_model_save(job->src.model, job->run.to.model));
    LT_TRY(lt_run_path(job->run.to.run, "signals.npz", path, sizeof path));
    LT_TRY(lt_signals_save(job->signals, path));
    if (job->result.adv && o->save_adv) {
        LT_TRY(lt_run_path(job->run.to.run, "adv", path, sizeof path));
        LT_TRY(lt_adv_set_save(job->result.adv, path));
    }
    return LT_OK;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static json_t *adv_json(const lt_adv_set *adv)
{
    json_t *j = json_object();
    float *norm = cli_alloc((size_t)adv->n, sizeof *norm);
    memcpy(norm, adv->delta_norm, (size_t)adv->n * sizeof *norm);
    qsort(norm, (size_t)adv->n, sizeof *norm, by_value);
    cli_put(j, "n", json_integer(adv->n));
    cli_put(j, "n_clean_wrong", json_integer(lt_adv_set_count(adv, LT_ADV_CLEAN_WRONG)));
    cli_put(j, "n_failed", json_integer(lt_adv_set_count(adv, LT_ADV_FAILED)));
    cli_put(j, "digest", json_string(adv->digest)); // of the search; "" when it was not cached
    cli_put_real(j, "median_l2", adv->n ? (double)norm[adv->n / 2] : (double)NAN);
    free(norm);
    return j;
}

static double mean_loss(const lt_signals *s, int group)
{
    int64_t n = lt_signals_feature(s, LT_FEAT_LOSS, group, NULL);
    double sum = 0, *loss = cli_alloc((size_t)n, sizeof *loss);
    lt_signals_feature(s, LT_FEAT_LOSS, group, loss);
    for (int64_t i = 0; i < n; i++)
        sum += loss[i];
    free(loss);
    return n ? sum / (double)n : (double)NAN;
}

static void put_accuracies(json_t *r, const struct job *job)
{
    int64_t n[2] = {job->sets.retain.n, job->sets.forget.n};
    double retain = lt_signals_acc(job->signals, LT_GROUP_RETAIN),
           forget = lt_signals_acc(job->signals, LT_GROUP_FORGET);
    double all = (n[0] ? retain * (double)n[0] : 0) + (n[1] ? forget * (double)n[1] : 0);
    cli_put_real(r, "train_acc", all / (double)(n[0] + n[1]));
    cli_put_real(r, "forget_acc", forget);
    cli_put_real(r, "retain_acc", retain);
    cli_put_real(r, "test_acc", lt_signals_acc(job->signals, LT_GROUP_TEST));
    cli_put_real(r, "test_loss", mean_loss(job->signals, LT_GROUP_TEST));
}

// Of classes that were forgotten as a whole; nothing otherwise.
static void put_class_accuracies(json_t *r, const struct job *job)
{
    if (job->n_forgotten_classes == 0)
        return;
    cli_put_real(r, "acc_f", job->class_acc.acc_f);
    cli_put_real(r, "acc_r", job->class_acc.acc_r);
    cli_put_real(r, "acc_f_train", job->class_acc.acc_f_train);
    cli_put_real(r, "acc_r_train", job->class_acc.acc_r_train);
}

// The change of every parameter tensor; relative: to what it was.
static json_t *layers_json(const lt_unlearn_result *result)
{
    json_t *layers = json_array();
    for (int i = 0; i < result->n_layers; i++) {
        const lt_layer_delta *l = &result->layer[i];
        json_t *j = json_object();
        cli_put(j, "name", json_string(l->name));
        cli_put_real(j, "delta_norm_l2", l->delta_l2);
        cli_put_real(j, "relative", l->norm_l2 > 0 ? l->delta_l2 / l->norm_l2 : (double)NAN);
        json_array_append_new(layers, j);
    }
    return layers;
}

static void put_passes(json_t *all, const char *name, lt_passes passes)
{
    json_t *j = json_object();
    cli_put(j, "forward", json_integer(passes.n_forward));
    cli_put(j, "backward", json_integer(passes.n_backward));
    cli_put(all, name, j);
}

// What the method costs on any machine: samples through forward and backward passes.
static json_t *passes_json(const lt_unlearn_result *result)
{
    json_t *all = json_object();
    put_passes(all, "search", result->search);
    put_passes(all, "mask", result->mask);
    put_passes(all, "update", result->update);
    return all;
}

static void put_setup(json_t *r, const struct job *job)
{
    const lt_unlearn_setup *s = &job->result.setup;
    if (!(job->method->needs & LT_FINE_TUNES))
        return;
    cli_put_real(r, "lr", s->lr);
    cli_put(r, "lr_step_every", s->lr_step_every > 0 ? json_integer(s->lr_step_every) : json_null());
    cli_put_real(r, "lr_area", s->lr_area);
    cli_put_real(r, "lr_area_default", s->lr_area_default);
    cli_put_real(r, "lr_area_wanted", s->lr_area_wanted);
    cli_put(r, "batch", json_integer(s->batch));
    cli_put_text(r, "form", s->form.name);
    cli_put(r, "published", json_boolean(s->is_published));
}

static json_t *result_json(cli_call *call, const struct job *job, double start_s, double eval_s)
{
    const struct opts *o = call->opts;
    char digest[65];
    json_t *r = json_object(), *time = json_object();
    cli_put(r, "method", json_string(job->method->name));
    cli_put(r, "title", json_string(job->method->title));
    cli_put(r, "use_retain", json_boolean(job->use_retain));
    cli_put_text(r, "parent", job->src.name);
    cli_put(r, "model", json_string(job->src.model->spec));
    cli_put_text(r, "data", job->ds->spec);
    cli_put_text(r, "forget", o->forget);
    cli_put(r, "n_forget", json_integer(job->sets.forget.n));
    cli_put(r, "n_retain", json_integer(job->sets.retain.n));
    cli_put(r, "n_forgotten_before", json_integer(job->sets.n_before));
    put_accuracies(r, job);
    put_class_accuracies(r, job);
    cli_put_real(r, "delta_norm_l2", job->result.delta_norm_l2);
    cli_put(r, "delta_layers", layers_json(&job->result));
    cli_put(r, "n_trainable", json_integer(job->result.n_trainable));
    cli_put(r, "passes", passes_json(&job->result));
    cli_put(r, "epochs", json_integer(job->result.train.epochs));
    cli_put(r, "steps", json_integer(job->result.train.steps));
    put_setup(r, job);
    cli_put_real(r, "images_per_s", job->result.train.images_per_s);
    cli_put_real(r, "wall_s", cli_now_s() - start_s);
    cli_put_real(time, "search_s", job->result.search_s);
    cli_put_real(time, "mask_s", job->result.mask_s);
    cli_put_real(time, "update_s", job->result.update_s);
    cli_put_real(time, "eval_s", eval_s);
    cli_put(r, "time", time);
    if (job->result.adv)
        cli_put(r, "adversarial_set", adv_json(job->result.adv));
    cli_put(r, "seed", json_integer((json_int_t)call->seed.seed));
    cli_put(r, "parent_digest", json_string(job->parent_digest));
    cli_put(r, "data_digest", json_string(job->ds->digest));
    cli_put(r, "forget_digest", json_string(job->forget_digest));
    if (*job->first_digest)
        cli_put(r, "stream_digest", json_string(job->first_digest));
    lt_model_digest(job->src.model, digest);
    cli_put(r, "model_digest", json_string(digest));
    return r;
}

static lt_status run_job(cli_call *call, struct job *job)
{
    LT_TRY(check_method(call, job));
    LT_TRY(open_inputs(call, job));
    char label[64];
    const char *const facts[] = {"parent_digest",
                                 job->parent_digest,
                                 "data_digest",
                                 job->ds->digest,
                                 "forget_digest",
                                 job->forget_digest,
                                 *job->first_digest ? "stream_digest" : NULL,
                                 job->first_digest,
                                 NULL};
    snprintf(label, sizeof label, "%s", job->method->name);
    lt_unlearn_in in = describe_job(call, job); // what can be refused is refused before there is a directory
    LT_TRY(lt_unlearn_check(job->method, &in));
    LT_TRY(cli_env(call, &job->env));
    cli_catch_signals(call->session);
    LT_TRY(cli_run_open(call, label, facts, &job->run));
    if (job->run.to.finished)
        return cli_run_finish(&job->run, NULL);
    double start_s = cli_now_s();
    LT_TRY(write_sets(job));
    LT_TRY(unlearn(call, job));
    double eval_start_s = cli_now_s();
    LT_TRY(lt_signals_compute(job->src.model, job->ds, &job->sets.forget, &job->sets.retain, &job->env, &job->signals));
    job->n_forgotten_classes = lt_signals_class_roles(job->signals, NULL);
    LT_TRY(lt_signals_class_acc(job->signals, &job->class_acc));
    double eval_s = cli_now_s() - eval_start_s;
    LT_TRY(save_artefacts(call, job));
    return cli_run_finish(&job->run, result_json(call, job, start_s, eval_s));
}

// ---- several requests

static lt_status run_requests(cli_call *call)
{
    const struct opts *o = call->opts;
    const char *value, *origin;
    struct job named = {0};
    LT_TRY(check_method(call, &named));
    LT_TRY(lt_optset_get(call->set, "forget", &value, &origin));
    if (strcmp(origin, "default") != 0)
        return LT_FAIL(LT_E_USAGE, "unlearn: --requests says what to forget: leave --forget out");
    if ((o->stream_first && *o->stream_first) || (o->stream_forget && *o->stream_forget))
        return LT_FAIL(LT_E_USAGE,
                       "unlearn: --stream-first and --stream-forget are for one request, not for --requests");
    return cli_requests_run(call, &(cli_request_ask){.method = named.method,
                                                     .run = o->run,
                                                     .requests = o->requests,
                                                     .data = o->data,
                                                     .cache = o->cache,
                                                     .oracle = o->oracle,
                                                     .references = o->references,
                                                     .forget_seed = o->forget_seed,
                                                     .lr_decay = o->request_lr_decay,
                                                     .retain = o->retain,
                                                     .save_adv = o->save_adv});
}

static lt_status check_single(const struct opts *o)
{
    const char *stray = o->oracle && *o->oracle           ? "--oracle"
                        : o->references && *o->references ? "--references"
                        : o->request_lr_decay < 1         ? "--request-lr-decay"
                                                          : NULL;
    if (!stray)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "unlearn: %s goes with --requests", stray);
    return lt_error_hint("`lethe audit RUN` compares a single request with oracles and reference models");
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    LT_TRY(cli_positional(call, "run", 1, 1));
    if (o->requests && !*o->requests && !call->nested) // not the default forget set: nobody asked for that one
        return LT_FAIL(LT_E_USAGE, "--requests: expected a file of requests or cut:KxN:IDS.csv, found nothing");
    if (o->requests && *o->requests)
        return run_requests(call);
    LT_TRY(check_single(o));
    struct job *job = cli_alloc(1, sizeof *job);
    lt_status status = run_job(call, job);
    cli_run_close(&job->run, status);
    lt_unlearn_result_clear(&job->result);
    lt_signals_destroy(job->signals);
    cli_sets_clear(&job->sets);
    lt_index_set_clear(&job->all);
    cli_source_close(&job->first);
    cli_source_close(&job->src);
    free(job);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    char forget[24], retain[24], test[24];
    if (json_object_get(r, "n_requests")) {
        cli_requests_print(r, out);
        return;
    }
    fprintf(out, "%s forgot %.0f samples: forget accuracy %s %%, retain accuracy %s %%, test accuracy %s %%\n",
            cli_text(r, "title"), cli_real(r, "n_forget"), cli_percent(cli_real(r, "forget_acc"), forget),
            cli_percent(cli_real(r, "retain_acc"), retain), cli_percent(cli_real(r, "test_acc"), test));
    if (json_object_get(r, "acc_f"))
        fprintf(out, "test accuracy of the forgotten classes %s %%, of the others %s %%\n",
                cli_percent(cli_real(r, "acc_f"), forget), cli_percent(cli_real(r, "acc_r"), retain));
    fprintf(out, "parameter change %.4g (L2); search %.1f s, update %.1f s, evaluation %.1f s\n",
            cli_real(r, "delta_norm_l2"), cli_real(r, "time.search_s"), cli_real(r, "time.update_s"),
            cli_real(r, "time.eval_s"));
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force makes it again)" : "");
}

const cli_verb cli_verb_unlearn = {
    .name = "unlearn",
    .usage = "RUN --method METHOD [--forget WHAT | --requests FILE] [options]",
    .about =
        "Makes the model of a trained run forget samples or classes, and leaves a child run: model.safetensors, "
        "forget.csv,\n"
        "signals.npz (outputs on retained, forgotten and test samples), result.json. `retrain` makes the oracle "
        "to audit\n"
        "against. A child run can be unlearned again; what it forgot before then stays out of the retained data.\n"
        "\n"
        "--requests serves several forget sets one after another, each in a run of its own (OUT/request-1, ...) "
        "that starts\n"
        "from the one before with a fresh optimizer, and asks every model about every request so far. FILE holds "
        "one\n"
        "request a line: random:200 (perhaps with seed=7), class:3 or file:IDS.csv (beside FILE). cut:5x1000:IDS.csv "
        "cuts\n"
        "one list in its order.",
    .examples = "  lethe unlearn runs/base --method amun --forget random:10% --out runs/amun\n"
                "  lethe unlearn runs/base --method retrain --forget random:10% --out runs/retrain\n"
                "  lethe unlearn runs/base --method amun --no-retain --lr 0.005\n"
                "  lethe unlearn runs/base --method amun --adaptive --requests cut:5x1000:ids.csv --out runs/stream\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .more_help = more_help,
    .run = run,
    .print = print,
};
