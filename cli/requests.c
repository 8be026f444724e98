// requests.c - `lethe unlearn --requests`: forget sets served one after another, each in a child run of its own.
// [AMUN 8.1]
//
// Request k is the verb itself, called for the model that request k-1 left: what it forgot before then stays out of the
// retained data (cli_sets_of_run), and a request that is done is not done again. The directory of the stream is a run
// too: it holds the last model, and its forget set is that of all requests together, so that audit and report take it
// as any other.
#include "requests.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const cli_verb cli_verb_unlearn;

struct stream {
    const cli_request_ask *ask;
    cli_source base, last; // before the first request; after the last one that is done
    const lt_dataset *ds;
    lt_requests requests;
    lt_index_set before, all, so_far; // rows forgotten before; of all requests; of those that are done
    uint8_t *gone;                    // (n_train) forgotten by now
    cli_run run;
    cli_list oracles; // none, one, or one per request
    lt_references *references;
    cli_outputs_of outputs;         // of the last model
    json_t *rows, *matrix, *search; // search: digests of adversarial sets whose search is counted
    double seconds[4], images, eval_s;
    double epochs;
    char base_digest[65], forget_digest[65], forgotten_digest[65], audit_digest[512], last_digest[65];
};

// ---- inputs, all of them before the first request

static int64_t n_train(const struct stream *s)
{
    return s->ds->split[LT_TRAIN].n;
}

static lt_index_set marked(const uint8_t *mark, int64_t n)
{
    lt_index_set set = {.row = cli_alloc((size_t)n, sizeof *set.row)};
    for (int64_t i = 0; i < n; i++)
        if (mark[i])
            set.row[set.n++] = i;
    return set;
}

static lt_status open_requests(struct stream *s)
{
    const lt_request_ask ask = {.seed = s->ask->forget_seed, .gone = &s->before};
    LT_TRY(lt_requests_open(s->ds, s->ask->requests, &ask, &s->requests));
    uint8_t *mark = cli_alloc((size_t)n_train(s), 1);
    for (int k = 0; k < s->requests.n; k++)
        for (int64_t i = 0; i < s->requests.request[k].forget.n; i++)
            mark[s->requests.request[k].forget.row[i]] = 1;
    s->all = marked(mark, n_train(s));
    free(mark);
    s->so_far.row = cli_alloc((size_t)s->all.n, sizeof *s->so_far.row);
    s->gone = cli_alloc((size_t)n_train(s), 1);
    for (int64_t i = 0; i < s->before.n; i++)
        s->gone[s->before.row[i]] = 1;
    lt_index_set_digest(s->ds, LT_TRAIN, &s->all, s->forget_digest);
    return LT_OK;
}

// A stream among the oracles stands for its requests.
static void expand_oracle(const char *name, cli_list *out)
{
    char *path = cli_format("%s/result.json", name);
    json_t *result = NULL;
    double n = access(path, R_OK) == 0 && cli_json_load(path, &result) == LT_OK ? cli_real(result, "n_requests") : 0;
    lt_error_clear(); // opening it as a run says what is wrong
    for (int k = 1; isfinite(n) && k <= (int)n; k++) {
        char *one = cli_format("%s/request-%d", name, k);
        cli_list_push(out, one, strlen(one));
        free(one);
    }
    if (!(n >= 1))
        cli_list_push(out, name, strlen(name));
    json_decref(result);
    free(path);
}

static void add_audit_digest(struct stream *s, const char *digest)
{
    size_t n = strlen(s->audit_digest);
    snprintf(s->audit_digest + n, sizeof s->audit_digest - n, "%s%.12s", n ? "+" : "", digest);
}

static lt_status open_oracles(cli_call *call, struct stream *s)
{
    cli_list given = {0};
    lt_status status = LT_OK;
    cli_list_option(&given, call, "oracle");
    for (int i = 0; i < given.n; i++)
        expand_oracle(given.item[i], &s->oracles);
    cli_list_clear(&given);
    if (s->oracles.n > 1 && s->oracles.n != s->requests.n)
        return LT_FAIL(LT_E_USAGE, "--oracle: expected one run, or one for each of %d requests, found %d",
                       s->requests.n, s->oracles.n);
    for (int i = 0; status == LT_OK && i < s->oracles.n; i++) {
        cli_source oracle;
        char digest[65];
        status = cli_source_open(s->oracles.item[i], NULL, &oracle);
        if (status == LT_OK) {
            lt_model_digest(oracle.model, digest);
            add_audit_digest(s, digest);
        }
        cli_source_close(&oracle);
    }
    return status;
}

static lt_status open_references(struct stream *s)
{
    const char *npz = s->ask->references;
    const int64_t n = n_train(s) + s->ds->split[LT_TEST].n;
    char digest[65];
    if (!npz || !*npz)
        return LT_OK;
    LT_TRY(lt_references_open(npz, NULL, &s->references));
    if (s->references->n != n || s->references->k != s->ds->n_classes) {
        LT_FAIL(LT_E_FORMAT,
                "%s: array 'logits': expected %lld samples of %d classes (training split, then test split), "
                "found %lld of %d",
                npz, (long long)n, s->ds->n_classes, (long long)s->references->n, s->references->k);
        return lt_error_hint("`lethe store signals` without --like writes them in this order");
    }
    LT_TRY(lt_file_digest(npz, digest));
    add_audit_digest(s, digest);
    return LT_OK;
}

// Value of an option of the method, NAN when it has none.
static double method_option(cli_call *call, const lt_unlearn_method *m, const char *name)
{
    char *key = cli_format("unlearn.%s.%s", m->name, name);
    const char *value;
    double x = NAN;
    if (lt_optset_has(call->set, key) && lt_optset_get(call->set, key, &value, NULL) == LT_OK)
        x = strtod(value, NULL);
    free(key);
    return x;
}

static lt_status check_decay(cli_call *call, const struct stream *s)
{
    const cli_request_ask *ask = s->ask;
    const double lr = method_option(call, ask->method, "lr"), area = method_option(call, ask->method, "lr-area");
    if (!(ask->lr_decay < 1) || lr > 0 || area > 0)
        return LT_OK;
    if (isnan(lr))
        return LT_FAIL(LT_E_USAGE, "--request-lr-decay: method %s has no lr", ask->method->name);
    return LT_FAIL(LT_E_USAGE, "--request-lr-decay: expected --lr or --lr-area of method %s, found neither",
                   ask->method->name);
}

static lt_status open_inputs(cli_call *call, struct stream *s)
{
    LT_TRY(check_decay(call, s));
    LT_TRY(cli_source_open(s->ask->run, NULL, &s->base));
    LT_TRY(cli_source_data(call, &s->base, s->ask->data, &s->ds));
    LT_TRY(cli_forgotten_by(&s->base, s->ds, &s->before));
    LT_TRY(open_requests(s));
    lt_model_digest(s->base.model, s->base_digest);
    snprintf(s->last_digest, sizeof s->last_digest, "%s", s->base_digest);
    LT_TRY(open_oracles(call, s));
    return open_references(s);
}

// ---- files of the stream: forget.csv, forgotten.csv, requests/K.csv

static lt_status write_sets(struct stream *s)
{
    char *dir = cli_format("%s/requests", s->run.to.dir), *path = cli_format("%s/forget.csv", s->run.to.dir);
    lt_status status = lt_make_dirs(dir);
    if (status == LT_OK)
        status = lt_forget_write(s->ds, &s->all, path);
    free(path);
    for (int k = 0; status == LT_OK && k < s->requests.n; k++) {
        path = cli_format("%s/%d.csv", dir, k + 1);
        status = lt_forget_write(s->ds, &s->requests.request[k].forget, path);
        free(path);
    }
    free(dir);
    LT_TRY(status);
    path = cli_format("%s/forgotten.csv", s->run.to.dir);
    unlink(path); // of an earlier try with other options
    if (s->before.n > 0) {
        uint8_t *mark = cli_alloc((size_t)n_train(s), 1);
        for (int64_t i = 0; i < s->before.n + s->all.n; i++)
            mark[i < s->before.n ? s->before.row[i] : s->all.row[i - s->before.n]] = 1;
        lt_index_set both = marked(mark, n_train(s));
        lt_index_set_digest(s->ds, LT_TRAIN, &both, s->forgotten_digest);
        status = lt_forget_write(s->ds, &both, path);
        free(both.row);
        free(mark);
    }
    free(path);
    return status;
}

// ---- one request

static void add_arg(cli_list *args, char *text) // takes it
{
    cli_list_push(args, text, strlen(text));
    free(text);
}

// What the user chose of the method's own options.
static lt_status add_method_options(cli_call *call, const struct stream *s, int k, cli_list *args)
{
    const lt_unlearn_method *m = s->ask->method;
    for (const lt_option *row = m->opts; m->cfg_size && row->name; row++) {
        char *key = cli_format("unlearn.%s.%s", m->name, row->name);
        const char *value, *origin;
        lt_status status = lt_optset_get(call->set, key, &value, &origin);
        bool is_rate = s->ask->lr_decay < 1 && (!strcmp(row->name, "lr") || !strcmp(row->name, "lr_area"));
        if (status == LT_OK && is_rate && strtod(value, NULL) > 0)
            add_arg(args, cli_format("--%s=%.9g", key, strtod(value, NULL) * pow(s->ask->lr_decay, k)));
        else if (status == LT_OK && strcmp(origin, "default") != 0)
            add_arg(args, cli_format("--%s=%s", key, value));
        free(key);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status request_args(cli_call *call, const struct stream *s, int k, cli_list *args)
{
    const cli_request_ask *ask = s->ask;
    add_arg(args, k ? cli_format("%s/request-%d", s->run.to.dir, k) : cli_format("%s", ask->run));
    add_arg(args, cli_format("--method=%s", ask->method->name));
    LT_TRY(add_method_options(call, s, k, args));
    add_arg(args, cli_format("--requests=")); // whatever the environment says
    add_arg(args, cli_format("--oracle="));
    add_arg(args, cli_format("--references="));
    add_arg(args, cli_format("--request-lr-decay=1"));
    add_arg(args, cli_format("--forget=file:%s/requests/%d.csv", s->run.to.dir, k + 1));
    add_arg(args, cli_format("--stream-first=%s", ask->run));
    add_arg(args, cli_format("--stream-forget=file:%s/forget.csv", s->run.to.dir));
    add_arg(args, cli_format(ask->retain ? "--retain" : "--no-retain"));
    add_arg(args, cli_format(ask->save_adv ? "--save-adv" : "--no-save-adv"));
    add_arg(args, cli_format("--out=%s/request-%d", s->run.to.dir, k + 1));
    add_arg(args, cli_format("--seed=%llu", (unsigned long long)call->seed.seed + (unsigned long long)k));
    add_arg(args, cli_format("--backend=%s", call->where.backend));
    add_arg(args, cli_format("--device=%s", call->where.device));
    if (ask->data && *ask->data)
        add_arg(args, cli_format("--data=%s", ask->data));
    if (ask->cache && *ask->cache)
        add_arg(args, cli_format("--cache=%s", ask->cache));
    if (call->place.force)
        add_arg(args, cli_format("--force"));
    return LT_OK;
}

static lt_status serve(cli_call *call, struct stream *s, int k, json_t **result)
{
    cli_list args = {0};
    const lt_request *request = &s->requests.request[k];
    lt_status status = request_args(call, s, k, &args);
    cli_say(call->session, "[%d/%d] forgetting %lld samples: %s", k + 1, s->requests.n, (long long)request->forget.n,
            request->spec);
    cli_progress_stage(call->session->progress, "[%d/%d] %s", k + 1, s->requests.n, s->ask->method->name);
    if (status == LT_OK)
        status = cli_invoke(call, &cli_verb_unlearn, (const char *const *)args.item, result);
    cli_list_clear(&args);
    LT_TRY(status);
    char *dir = cli_format("%s/request-%d", s->run.to.dir, k + 1);
    cli_source_close(&s->last);
    status = cli_source_open(dir, NULL, &s->last);
    free(dir);
    return status;
}

// ---- its figures

static double distance(const lt_model *a, const lt_model *b)
{
    double sum = 0;
    if (a->n_params != b->n_params || strcmp(a->spec, b->spec) != 0)
        return (double)NAN;
    for (int64_t i = 0; i < a->n_params; i++) {
        double d = (double)a->params[i] - (double)b->params[i];
        sum += d * d;
    }
    return sqrt(sum);
}

static void put_difference(json_t *to, const json_t *own, const json_t *other, const char *path, const char *key)
{
    cli_put_real(to, key, cli_real(own, path) - cli_real(other, path));
}

// How far the model is from one that was trained without what is forgotten: model minus oracle.
static json_t *drift_json(const struct stream *s, const cli_source *oracle, const json_t *own, const json_t *other)
{
    json_t *j = json_object(), *d = json_object();
    lt_index_set forgotten = {0};
    bool same = cli_forgotten_by(oracle, s->ds, &forgotten) == LT_OK && forgotten.n == s->so_far.n + s->before.n;
    for (int64_t i = 0; same && i < forgotten.n; i++)
        same = s->gone[forgotten.row[i]] != 0;
    lt_error_clear();
    lt_index_set_clear(&forgotten);
    cli_put_text(j, "run", oracle->name);
    cli_put(j, "same_forgotten", json_boolean(same)); // or trained without more, or fewer, samples
    cli_put_real(j, "distance_l2", distance(s->last.model, oracle->model));
    put_difference(d, own, other, "forget_acc", "forget_acc");
    put_difference(d, own, other, "retain_acc", "retain_acc");
    put_difference(d, own, other, "test_acc", "test_acc");
    put_difference(d, own, other, "phi.ft_auc", "phi_ft_auc");
    put_difference(d, own, other, "phi.fr_auc", "phi_fr_auc");
    put_difference(d, own, other, "rmia.ft_auc", "rmia_ft_auc");
    put_difference(d, own, other, "rmia.fr_auc", "rmia_fr_auc");
    cli_put(j, "difference", d);
    cli_put(j, "figures", json_incref((json_t *)other));
    return j;
}

static lt_status drift(cli_call *call, struct stream *s, int k, const json_t *own, json_t **out)
{
    cli_source oracle = {0};
    cli_outputs_of outputs = {0};
    json_t *other = NULL;
    lt_status status = LT_OK;
    *out = NULL;
    if (!s->oracles.n)
        return LT_OK;
    LT_TRY_GOTO(cli_source_open(s->oracles.item[s->oracles.n > 1 ? k : 0], NULL, &oracle), done);
    LT_TRY_GOTO(cli_outputs_make(call, &oracle, s->ds, &outputs), done);
    LT_TRY_GOTO(cli_outputs_attack(call, &outputs, s->references), done);
    LT_TRY_GOTO(cli_outputs_figures(&outputs, &s->requests.request[k].forget, s->gone, &other), done);
    *out = drift_json(s, &oracle, own, other);
done:
    json_decref(other);
    cli_outputs_clear(&outputs);
    cli_source_close(&oracle);
    return status;
}

// Every request so far, on the model of now: one row of the matrix.
static lt_status ask_again(struct stream *s, int k)
{
    json_t *row = json_array();
    json_array_append_new(s->matrix, row);
    for (int j = 0; j <= k; j++) {
        json_t *one = NULL;
        lt_status status = cli_outputs_figures(&s->outputs, &s->requests.request[j].forget, s->gone, &one);
        if (one)
            cli_put(one, "request", json_integer(j + 1));
        json_array_append_new(row, one);
        LT_TRY(status);
    }
    return LT_OK;
}

static bool search_is_new(const struct stream *s, const json_t *result)
{
    const char *digest = cli_text(result, "adversarial_set.digest");
    if (!*digest) // it was not cached, so it was made
        return true;
    if (json_object_get(s->search, digest))
        return false;
    json_object_set_new(s->search, digest, json_true());
    return true;
}

static void add_costs(struct stream *s, const json_t *result)
{
    double search = cli_real(result, "time.search_s");
    s->seconds[0] += search_is_new(s, result) ? search : 0;
    s->seconds[1] += cli_real(result, "time.mask_s");
    s->seconds[2] += cli_real(result, "time.update_s");
    s->seconds[3] += cli_real(result, "time.eval_s");
    s->images += cli_real(result, "passes.update.backward");
    s->epochs += cli_real(result, "epochs");
}

static void put_row(struct stream *s, int k, const json_t *result, json_t *own, json_t *together, json_t *oracle)
{
    static const char *const copied[] = {"run", "method", "seed", "delta_norm_l2", "time", "model_digest", NULL};
    const lt_request *request = &s->requests.request[k];
    json_t *row = json_deep_copy(own);
    cli_put(row, "request", json_integer(k + 1));
    cli_put_text(row, "forget", request->spec);
    cli_put(row, "n_forget", json_integer(request->forget.n));
    json_object_del(row, "n");
    for (int i = 0; copied[i]; i++)
        cli_put(row, copied[i], json_incref(json_object_get(result, copied[i])));
    cli_put_real(row, "drift_from_first_l2", distance(s->last.model, s->base.model));
    cli_put_real(row, "fr_minus_ft_auc", cli_real(own, "phi.fr_minus_ft_auc"));
    cli_put_real(together, "fr_minus_ft_auc", cli_real(together, "phi.fr_minus_ft_auc"));
    cli_put(row, "cumulative", together);
    cli_put(row, "oracle", oracle);
    json_array_append_new(s->rows, row);
}

static lt_status judge(cli_call *call, struct stream *s, int k, const json_t *result)
{
    json_t *own = NULL, *together = NULL, *oracle = NULL;
    const lt_index_set *forget = &s->requests.request[k].forget;
    double start_s = cli_now_s();
    lt_status status = LT_OK;
    for (int64_t i = 0; i < forget->n; i++)
        s->gone[forget->row[i]] = 1;
    s->so_far.n = 0;
    for (int64_t i = 0; i < s->all.n; i++)
        if (s->gone[s->all.row[i]])
            s->so_far.row[s->so_far.n++] = s->all.row[i];
    cli_outputs_clear(&s->outputs);
    LT_TRY_GOTO(cli_outputs_make(call, &s->last, s->ds, &s->outputs), done);
    LT_TRY_GOTO(cli_outputs_attack(call, &s->outputs, s->references), done);
    LT_TRY_GOTO(cli_outputs_figures(&s->outputs, forget, s->gone, &own), done);
    LT_TRY_GOTO(cli_outputs_figures(&s->outputs, &s->so_far, s->gone, &together), done);
    LT_TRY_GOTO(drift(call, s, k, own, &oracle), done);
    LT_TRY_GOTO(ask_again(s, k), done);
    put_row(s, k, result, own, together, oracle);
    together = oracle = NULL;
done:
    json_decref(own);
    json_decref(together);
    json_decref(oracle);
    s->eval_s += cli_now_s() - start_s;
    return status;
}

// ---- the result

static double test_loss(const cli_outputs_of *o)
{
    const int64_t at = o->n_train;
    double sum = 0, *loss = cli_alloc((size_t)o->n_test, sizeof *loss);
    int8_t *group = cli_alloc((size_t)o->n_test, 1);
    lt_signals s = {.n = o->n_test, .k = o->k, .logits = o->logits + at * o->k, .label = o->label + at, .group = group};
    lt_signals_feature(&s, LT_FEAT_LOSS, -1, loss);
    for (int64_t i = 0; i < o->n_test; i++)
        sum += loss[i];
    free(group);
    free(loss);
    return o->n_test ? sum / (double)o->n_test : (double)NAN;
}

static void put_accuracies(const struct stream *s, json_t *r)
{
    const json_t *all = json_object_get(json_array_get(s->rows, json_array_size(s->rows) - 1), "cumulative");
    double forget = cli_real(all, "forget_acc"), retain = cli_real(all, "retain_acc");
    double n_forget = (double)s->all.n, n_retain = (double)(n_train(s) - s->all.n - s->before.n);
    cli_put_real(r, "train_acc", (forget * n_forget + retain * n_retain) / (n_forget + n_retain));
    cli_put_real(r, "forget_acc", forget);
    cli_put_real(r, "retain_acc", retain);
    cli_put_real(r, "test_acc", cli_real(all, "test_acc"));
    cli_put_real(r, "test_loss", test_loss(&s->outputs));
}

static json_t *result_json(cli_call *call, const struct stream *s, double start_s)
{
    static const char *const part[4] = {"search_s", "mask_s", "update_s", "eval_s"};
    const lt_unlearn_method *m = s->ask->method;
    char digest[65];
    json_t *r = json_object(), *time = json_object();
    cli_put(r, "method", json_string(m->name));
    cli_put(r, "title", json_string(m->title));
    cli_put(r, "use_retain", json_boolean(s->ask->retain && !(m->needs & LT_FORGET_ONLY)));
    cli_put_text(r, "parent", s->base.name);
    cli_put(r, "model", json_string(s->last.model->spec));
    cli_put_text(r, "data", s->ds->spec);
    cli_put_text(r, "forget", s->ask->requests);
    cli_put(r, "n_requests", json_integer(s->requests.n));
    cli_put(r, "n_forget", json_integer(s->all.n));
    cli_put(r, "n_retain", json_integer(n_train(s) - s->all.n - s->before.n));
    cli_put(r, "n_forgotten_before", json_integer(s->before.n));
    put_accuracies(s, r);
    cli_put_real(r, "delta_norm_l2", distance(s->last.model, s->base.model));
    cli_put(r, "epochs", json_integer((json_int_t)s->epochs));
    cli_put_real(r, "images_per_s", s->seconds[2] > 0 ? s->images / s->seconds[2] : (double)NAN);
    cli_put_real(r, "wall_s", cli_now_s() - start_s);
    for (int i = 0; i < 4; i++)
        cli_put_real(time, part[i], s->seconds[i] + (i == 3 ? s->eval_s : 0));
    cli_put(r, "time", time);
    cli_put(r, "requests", json_incref(s->rows));
    cli_put(r, "reaudit", json_incref(s->matrix));
    cli_put(r, "n_references", json_integer(s->references ? s->references->m : 0));
    cli_put_real(r, "request_lr_decay", s->ask->lr_decay);
    cli_put(r, "seed", json_integer((json_int_t)call->seed.seed));
    cli_put(r, "parent_digest", json_string(s->base_digest));
    cli_put(r, "data_digest", json_string(s->ds->digest));
    cli_put(r, "forget_digest", json_string(s->forget_digest));
    cli_put(r, "audit_digest", json_string(s->audit_digest));
    lt_model_digest(s->last.model, digest);
    cli_put(r, "model_digest", json_string(digest));
    return r;
}

static lt_status save_artefacts(const struct stream *s)
{
    char path[4096];
    lt_model *m = s->last.model;
    LT_TRY(lt_model_set_meta(m, "lethe.parent_digest", s->base_digest));
    LT_TRY(lt_model_set_meta(m, "lethe.forget_digest", s->forget_digest));
    if (*s->forgotten_digest)
        LT_TRY(lt_model_set_meta(m, "lethe.forgotten_digest", s->forgotten_digest));
    LT_TRY(lt_model_save(m, s->run.to.model));
    LT_TRY(lt_run_path(s->run.to.run, "signals.npz", path, sizeof path));
    return cli_outputs_save(&s->outputs, &s->all, s->gone, path);
}

static lt_status run_stream(cli_call *call, struct stream *s)
{
    LT_TRY(open_inputs(call, s));
    const char *const facts[] = {"parent_digest",  s->base_digest, "data_digest",   s->ds->digest, "forget_digest",
                                 s->forget_digest, "audit_digest", s->audit_digest, NULL};
    cli_catch_signals(call->session);
    LT_TRY(cli_run_open(call, s->ask->method->name, facts, &s->run));
    if (s->run.to.finished)
        return cli_run_finish(&s->run, NULL);
    double start_s = cli_now_s();
    LT_TRY(write_sets(s));
    for (int k = 0; k < s->requests.n; k++) {
        json_t *result = NULL;
        lt_status status = serve(call, s, k, &result);
        if (status == LT_OK) {
            add_costs(s, result);
            status = judge(call, s, k, result);
        }
        json_decref(result);
        LT_TRY(status);
    }
    LT_TRY(save_artefacts(s));
    return cli_run_finish(&s->run, result_json(call, s, start_s));
}

lt_status cli_requests_run(cli_call *call, const cli_request_ask *ask)
{
    struct stream *s = cli_alloc(1, sizeof *s);
    s->ask = ask;
    s->rows = json_array();
    s->matrix = json_array();
    s->search = json_object();
    lt_status status = run_stream(call, s);
    cli_progress_clear(call->session->progress);
    cli_run_close(&s->run, status);
    lt_references_destroy(s->references);
    cli_outputs_clear(&s->outputs);
    cli_list_clear(&s->oracles);
    lt_requests_clear(&s->requests);
    lt_index_set_clear(&s->before);
    free(s->all.row);
    free(s->so_far.row);
    free(s->gone);
    json_decref(s->rows);
    json_decref(s->matrix);
    json_decref(s->search);
    cli_source_close(&s->last);
    cli_source_close(&s->base);
    free(s);
    return status;
}
