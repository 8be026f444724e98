// stream.c - forget sets unlearned one after another, each in a child run of its own. [AMUN 8.1]
//
// Request k is an order like that of the whole stream, with other samples, another seed and the model that request k-1
// left: what it forgot before then stays out of the retained data, and a request that is done is not done again. The
// directory of the stream is a run too: it holds the last model, and its forget set is that of all requests together,
// so that audit and report take it as any other.
#include "run/stream_impl.h"
#include "unlearn/recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lt_stream_record_clear(lt_stream_record *record)
{
    free(record->json);
    *record = (lt_stream_record){0};
}

int64_t lti_stream_n_train(const lti_stream *s)
{
    return s->order->ds->split[LT_TRAIN].n;
}

static lt_status collect_marked(const uint8_t *mask, int64_t n, lt_index_set *set)
{
    *set = (lt_index_set){.row = lti_calloc((size_t)n + 1, sizeof *set->row)};
    if (!set->row)
        return LTI_NOMEM("index set");
    for (int64_t i = 0; i < n; i++)
        if (mask[i])
            set->row[set->n++] = i;
    return LT_OK;
}

static void mark(uint8_t *mask, const lt_index_set *set)
{
    for (int64_t i = 0; i < set->n; i++)
        mask[set->row[i]] = 1;
}

// ---- inputs, all of them before the first request

static lt_status open_requests(lti_stream *s)
{
    const lt_unlearn_order *o = s->order;
    const lt_request_ask ask = {.seed = o->what.forget_seed, .gone = &s->before};
    LT_TRY(lt_requests_open(o->ds, o->what.requests, &ask, &s->requests));
    const size_t n = (size_t)s->requests.n;
    s->mask = lti_calloc((size_t)lti_stream_n_train(s) + 1, 1);
    s->row = lti_calloc(n, sizeof *s->row);
    s->matrix = lti_calloc(n * n, sizeof *s->matrix);
    if (!s->mask || !s->row || !s->matrix)
        return LTI_NOMEM("requests");
    for (int k = 0; k < s->requests.n; k++)
        mark(s->mask, &s->requests.request[k].forget);
    LT_TRY(collect_marked(s->mask, lti_stream_n_train(s), &s->all));
    memset(s->mask, 0, (size_t)lti_stream_n_train(s));
    mark(s->mask, &s->before);
    s->so_far.row = lti_calloc((size_t)s->all.n + 1, sizeof *s->so_far.row);
    if (!s->so_far.row)
        return LTI_NOMEM("requests");
    lt_index_set_digest(o->ds, LT_TRAIN, &s->all, s->forget_digest);
    s->shared = (lt_unlearn_stream){o->base->model, &s->all};
    return LT_OK;
}

static void add_audit_digest(lti_stream *s, const char *digest)
{
    const size_t n = strlen(s->audit_digest);
    lti_format(s->audit_digest + n, sizeof s->audit_digest - n, "%s%.12s", n ? "+" : "", digest);
}

static lt_status add_oracle(lti_stream *s, char *name) // takes it
{
    char **more = name ? lti_realloc(s->oracle, ((size_t)s->n_oracles + 1) * sizeof *more) : NULL;
    if (!more) {
        lti_free(name);
        return LTI_NOMEM("oracles");
    }
    s->oracle = more;
    s->oracle[s->n_oracles++] = name;
    return LT_OK;
}

// A stream among the oracles stands for its requests.
static lt_status expand_oracle(lti_stream *s, const char *name)
{
    char *path = lti_asprintf("%s/result.json", name);
    json_t *result = NULL;
    if (!path)
        return LTI_NOMEM("path");
    const bool is_run = lti_is_file(path) && lti_json_load(path, &result) == LT_OK;
    const int64_t n = is_run ? lti_json_int_at(result, "n_requests") : 0;
    lt_error_clear(); // opening it as a run says what is wrong
    lt_status status = n < 1 ? add_oracle(s, lti_strdup(name)) : LT_OK;
    for (int64_t k = 1; status == LT_OK && k <= n; k++)
        status = add_oracle(s, lti_asprintf("%s/request-%d", name, (int)k));
    json_decref(result);
    lti_free(path);
    return status;
}

static lt_status open_oracles(lti_stream *s)
{
    for (int i = 0; i < s->audit->n_oracles; i++)
        LT_TRY(expand_oracle(s, s->audit->oracle[i]));
    if (s->n_oracles > 1 && s->n_oracles != s->requests.n)
        return LT_FAIL(LT_E_USAGE, "--oracle: expected one run, or one for each of %d requests, found %d",
                       s->requests.n, s->n_oracles);
    for (int i = 0; i < s->n_oracles; i++) {
        lt_trained_model oracle;
        char digest[65];
        lt_status status = lt_trained_model_open(s->oracle[i], NULL, NULL, &oracle);
        if (status == LT_OK) {
            lt_model_digest(oracle.model, digest);
            add_audit_digest(s, digest);
        }
        lt_trained_model_close(&oracle);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status open_references(lti_stream *s)
{
    const char *npz = s->audit->references;
    const lt_dataset *ds = s->order->ds;
    const int64_t n = lti_stream_n_train(s) + ds->split[LT_TEST].n;
    char digest[65];
    if (!npz || !*npz)
        return LT_OK;
    LT_TRY(lt_references_open(npz, NULL, &s->references));
    if (s->references->n != n || s->references->k != ds->n_classes) {
        LT_FAIL(LT_E_FORMAT,
                "%s: array 'logits': expected %lld samples of %d classes (training split, then test split), "
                "found %lld of %d",
                npz, (long long)n, ds->n_classes, (long long)s->references->n, s->references->k);
        return lt_error_hint("`lethe store signals` without --samples-from writes them in this order");
    }
    LT_TRY(lt_file_digest(npz, digest));
    add_audit_digest(s, digest);
    return LT_OK;
}

// A rate that falls from request to request must be given: in the options, not in the defaults.
static lt_status check_decay(const lt_unlearn_order *o)
{
    const lti_recipe *r = o->cfg;
    if (!(o->what.request_lr_decay < 1))
        return LT_OK;
    if (!(o->method->needs & LT_FINE_TUNES))
        return LT_FAIL(LT_E_USAGE, "--request-lr-decay: method %s has no lr", o->method->name);
    if (r->lr > 0 || r->lr_area > 0)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--request-lr-decay: expected --lr or --lr-area of method %s, found neither",
                   o->method->name);
}

static lt_status make_options(lti_stream *s)
{
    s->copy = *s->order;
    if (!s->copy.what.run)
        s->copy.what.run = s->order->base->name;
    LT_TRY(lt_optset_create(&s->made));
    return lt_unlearn_order_bind(&s->copy, s->cfg, s->made, true);
}

static lt_status open_inputs(lti_stream *s)
{
    const lt_unlearn_order *o = s->order;
    LT_TRY(check_decay(o));
    s->cfg = lti_calloc(1, o->method->cfg_size + 1);
    if (!s->cfg)
        return LTI_NOMEM("options");
    if (o->method->cfg_size)
        memcpy(s->cfg, o->cfg, o->method->cfg_size);
    LT_TRY(lt_trained_model_forgotten(o->base, o->ds, &s->before));
    LT_TRY(open_requests(s));
    lt_model_digest(o->base->model, s->base_digest);
    LT_TRY(open_oracles(s));
    LT_TRY(open_references(s));
    return o->set ? LT_OK : make_options(s);
}

// ---- files of the stream: forget.csv, forgotten.csv, requests/K.csv

static lt_status write_list(const lti_stream *s, const lt_index_set *set, char *path) // takes the path
{
    lt_status status = path ? lt_forget_write(s->order->ds, set, path) : LTI_NOMEM("path");
    lti_free(path);
    return status;
}

static lt_status write_sets(lti_stream *s)
{
    char path[LT_RESULT_PATH_MAX];
    LT_TRY(lt_run_path(s->to.run, "requests", path, sizeof path));
    LT_TRY(lt_make_dirs(path));
    LT_TRY(write_list(s, &s->all, lti_asprintf("%s/forget.csv", s->to.dir)));
    for (int k = 0; k < s->requests.n; k++)
        LT_TRY(write_list(s, &s->requests.request[k].forget, lti_asprintf("%s/requests/%d.csv", s->to.dir, k + 1)));
    LT_TRY(lt_run_path(s->to.run, "forgotten.csv", path, sizeof path));
    unlink(path); // of an earlier try with other options
    int64_t *absent, n_absent;
    LT_TRY(lti_forgotten_absent(s->order->base, s->order->ds, &absent, &n_absent));
    if (s->before.n + n_absent == 0) {
        lti_free(absent);
        return LT_OK;
    }
    lt_index_set both = {0};
    uint8_t *all = lti_calloc((size_t)lti_stream_n_train(s) + 1, 1);
    lt_status status = all ? LT_OK : LTI_NOMEM("index set");
    if (status == LT_OK) {
        mark(all, &s->before);
        mark(all, &s->all);
        status = collect_marked(all, lti_stream_n_train(s), &both);
    }
    if (status == LT_OK) {
        lt_index_set_digest(s->order->ds, LT_TRAIN, &both, s->forgotten_digest);
        status = lti_forgotten_write(s->order->ds, &both, absent, n_absent, path);
    }
    lti_free(absent);
    lti_free(both.row);
    lti_free(all);
    return status;
}

// ---- one request

static void decay_lr(const lti_stream *s, int k)
{
    const double factor = pow(s->order->what.request_lr_decay, k);
    if (!(s->order->method->needs & LT_FINE_TUNES) || !(s->order->what.request_lr_decay < 1))
        return;
    const lti_recipe *given = s->order->cfg;
    lti_recipe *r = s->cfg;
    r->lr = given->lr > 0 ? (float)((double)given->lr * factor) : given->lr;
    r->lr_area = given->lr_area > 0 ? given->lr_area * factor : given->lr_area;
}

static lt_status run_request(lti_stream *s, int k)
{
    const lt_unlearn_order *o = s->order;
    const lt_request *request = &s->requests.request[k];
    lt_unlearn_order order = *o; // every option of the stream
    char *from =
        k ? lti_asprintf("%s/request-%d", s->to.dir, k) : lti_strdup(o->what.run ? o->what.run : o->base->name);
    char *forget = lti_asprintf("file:%s/requests/%d.csv", s->to.dir, k + 1);
    char *out = lti_asprintf("%s/request-%d", s->to.dir, k + 1);
    lt_status status = from && forget && out ? LT_OK : LTI_NOMEM("path");
    lt_note(o->env->events, "stream.request", "[%d/%d] forgetting %lld sample%s: %s", k + 1, s->requests.n,
            (long long)request->forget.n, request->forget.n == 1 ? "" : "s", request->spec);
    lt_emit(o->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "job.part",
                                        .done = k,
                                        .total = s->requests.n,
                                        .unit = "requests",
                                        .epoch = -1,
                                        .step = -1});
    decay_lr(s, k);
    order.cfg = s->cfg;
    order.what.run = from;
    order.what.requests = NULL;
    order.what.request_lr_decay = 1;
    order.what.forget = forget;
    order.base = k ? &s->last : o->base;
    order.seed = o->seed + (uint64_t)k;
    order.out = out;
    order.set = NULL;
    order.train = s->train;
    if (!order.cache_dir || !*order.cache_dir) // requests may share one search; it goes when the stream is done
        order.cache_dir = s->search;
    order.stream = &s->shared;
    if (status == LT_OK)
        status = lt_unlearn_dir(&order, &s->row[k].record);
    lt_trained_model next = {0};
    if (status == LT_OK)
        status = lt_trained_model_open(out, NULL, NULL, &next);
    lt_trained_model_close(&s->last);
    s->last = next;
    lti_free(from);
    lti_free(forget);
    lti_free(out);
    return status;
}

// ---- its audit

double lti_parameter_distance(const lt_model *a, const lt_model *b)
{
    double sum = 0;
    if (a->n_params != b->n_params || strcmp(a->spec, b->spec) != 0)
        return (double)NAN;
    for (int64_t i = 0; i < a->n_params; i++) {
        const double d = (double)a->params[i] - (double)b->params[i];
        sum += d * d;
    }
    return sqrt(sum);
}

static bool has_same_forgotten(const lti_stream *s, const lt_trained_model *oracle)
{
    lt_index_set forgotten = {0};
    bool same = lt_trained_model_forgotten(oracle, s->order->ds, &forgotten) == LT_OK &&
                forgotten.n == s->so_far.n + s->before.n;
    for (int64_t i = 0; same && i < forgotten.n; i++)
        same = s->mask[forgotten.row[i]] != 0;
    lt_error_clear();
    lt_index_set_clear(&forgotten);
    return same;
}

// How far the model is from one that was trained without what is forgotten.
static lt_status compare_with_oracle(lti_stream *s, int k)
{
    lti_request_row *row = &s->row[k];
    lt_trained_model oracle = {0};
    lti_outputs outputs = {0};
    lt_status status = LT_OK;
    if (!s->n_oracles)
        return LT_OK;
    LT_TRY_GOTO(lt_trained_model_open(s->oracle[s->n_oracles > 1 ? k : 0], NULL, NULL, &oracle), done);
    LT_TRY_GOTO(lti_outputs_make(&oracle, s->order->ds, s->order->env, &outputs), done);
    LT_TRY_GOTO(lti_outputs_attack(&outputs, s->references, s->order->seed, s->audit->n_threads), done);
    LT_TRY_GOTO(lti_outputs_metrics(&outputs, &s->requests.request[k].forget, s->mask, &row->of_oracle), done);
    row->oracle = lti_strdup(oracle.name);
    row->same_forgotten = has_same_forgotten(s, &oracle); // or trained without more, or fewer, samples
    row->oracle_l2 = lti_parameter_distance(s->last.model, oracle.model);
    status = row->oracle ? LT_OK : LTI_NOMEM("oracle");
done:
    lti_outputs_clear(&outputs);
    lt_trained_model_close(&oracle);
    return status;
}

static lt_status audit_request(lti_stream *s, int k)
{
    lti_request_row *row = &s->row[k];
    const lt_index_set *forget = &s->requests.request[k].forget;
    const double start_s = lti_now_s();
    mark(s->mask, forget);
    s->so_far.n = 0;
    for (int64_t i = 0; i < s->all.n; i++)
        if (s->mask[s->all.row[i]])
            s->so_far.row[s->so_far.n++] = s->all.row[i];
    lti_outputs_clear(&s->outputs);
    LT_TRY(lti_outputs_make(&s->last, s->order->ds, s->order->env, &s->outputs));
    LT_TRY(lti_outputs_attack(&s->outputs, s->references, s->order->seed, s->audit->n_threads));
    LT_TRY(lti_outputs_metrics(&s->outputs, forget, s->mask, &row->own));
    LT_TRY(lti_outputs_metrics(&s->outputs, &s->so_far, s->mask, &row->cumulative));
    row->drift_l2 = lti_parameter_distance(s->last.model, s->order->base->model);
    LT_TRY(compare_with_oracle(s, k));
    for (int j = 0; j <= k; j++) // every request so far, on the model of now
        LT_TRY(lti_outputs_metrics(&s->outputs, &s->requests.request[j].forget, s->mask,
                                   &s->matrix[k * s->requests.n + j]));
    s->eval_s += lti_now_s() - start_s;
    return LT_OK;
}

static lt_status save_artefacts(const lti_stream *s)
{
    char path[LT_RESULT_PATH_MAX];
    lt_model *m = s->last.model;
    const lt_provenance p = {
        .parent_digest = s->base_digest, .forget_digest = s->forget_digest, .forgotten_digest = s->forgotten_digest};
    LT_TRY(lti_remember_samples(s->order->base, s->order->ds, &s->to, m));
    LT_TRY(lt_model_set_provenance(m, &p));
    LT_TRY(lt_model_save(m, s->to.model));
    LT_TRY(lt_run_path(s->to.run, "signals.npz", path, sizeof path));
    return lti_outputs_save(&s->outputs, &s->all, s->mask, path);
}

// ---- the whole

static lt_status open_result(lti_stream *s)
{
    const char *const facts[] = {"parent_digest",      s->base_digest,  "data_digest",
                                 s->order->ds->digest, "forget_digest", s->forget_digest,
                                 "audit_digest",       s->audit_digest, NULL};
    const lt_result_dir_spec spec = {.verb = "unlearn",
                                     .label = s->order->method->name,
                                     .out = s->order->out,
                                     .force = s->order->force,
                                     .options = s->order->set ? s->order->set : s->made,
                                     .facts = facts,
                                     .events = s->order->env->events,
                                     .backend = s->order->env->backend};
    return lt_result_dir_open(&spec, &s->to);
}

// Options of training that the user has set, completed by what the base recorded; without any, requests take the
// record.
static lt_status choose_recipe(lti_stream *s)
{
    const lt_unlearn_order *o = s->order;
    lt_train_cfg recorded;
    bool is_given;
    s->train = NULL;
    if (!o->train || !(o->method->needs & LT_FROM_SCRATCH) || !o->set || !lt_optset_has(o->set, "train.epochs"))
        return LT_OK;
    lt_optset *set = (lt_optset *)(uintptr_t)o->set; // values of a weaker origin
    LT_TRY(lt_trained_model_recipe(o->base, &recorded));
    LT_TRY(lti_recipe_overlay(set, lt_trained_model_has_recipe(o->base) ? &recorded : NULL, &is_given));
    s->train = is_given ? o->train : NULL;
    return LT_OK;
}

static lt_status run_stream(lti_stream *s, lt_stream_record *record)
{
    json_t *j = NULL;
    LT_TRY(open_inputs(s));
    LT_TRY(lti_check_method_files(s->order));
    LT_TRY(open_result(s));
    lti_format(record->dir, sizeof record->dir, "%s", s->to.dir);
    if (s->to.finished) {
        record->is_cached = true;
        LT_TRY(lti_stored_result(&s->to, &record->json, &j));
        json_decref(j);
        return LT_OK;
    }
    const double start_s = lti_now_s();
    LT_TRY(write_sets(s));
    LT_TRY(choose_recipe(s));
    LT_TRY(lt_run_path(s->to.run, "search", s->search, sizeof s->search));
    for (int k = 0; k < s->requests.n; k++) {
        LT_TRY(run_request(s, k));
        LT_TRY(audit_request(s, k));
    }
    LT_TRY(save_artefacts(s));
    LT_TRY(lt_adv_cache_clear(s->search, false, NULL, NULL));
    LT_TRY(lti_stream_json(s, start_s, &record->json));
    return lt_result_dir_finish(&s->to, record->json);
}

lt_status lt_stream_dir(const lt_unlearn_order *order, const lt_stream_audit *audit, lt_stream_record *record)
{
    *record = (lt_stream_record){0};
    lti_stream *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("stream of requests");
    s->order = order;
    s->audit = audit;
    lt_status status = run_stream(s, record);
    lt_result_dir_close(&s->to);
    for (int k = 0; s->row && k < s->requests.n; k++) {
        lt_unlearn_record_clear(&s->row[k].record);
        lti_free(s->row[k].oracle);
    }
    for (int i = 0; i < s->n_oracles; i++)
        lti_free(s->oracle[i]);
    lti_free(s->oracle);
    lti_free(s->row);
    lti_free(s->matrix);
    lt_references_destroy(s->references);
    lti_outputs_clear(&s->outputs);
    lt_requests_clear(&s->requests);
    lt_index_set_clear(&s->before);
    lti_free(s->all.row);
    lti_free(s->so_far.row);
    lti_free(s->mask);
    lti_free(s->cfg);
    lt_optset_destroy(s->made);
    lt_trained_model_close(&s->last);
    lti_free(s);
    if (status != LT_OK) {
        free(record->json);
        record->json = NULL;
    }
    return status;
}
