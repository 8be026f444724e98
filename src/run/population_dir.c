// population_dir.c - many ordinary runs at once, below one directory.
//
// A member is an order of its own: that of the population with its seed, its directory and one thread. So its run
// directory is the one that `lethe train --seed S --threads 1` would have made, and every other verb takes it. The
// parent directory is a run too: its options are what --resume needs, and it is finished when all members are.
#include "base/json_write.h"
#include "run/run_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct population_run {
    const lt_train_order *order;
    lt_train_order copy;
    lt_optset *made;
    lt_result_dir to;
    int n, n_workers;
    lt_train_record *record; // (n) of the members that finished, each written by the thread that works on it
    bool *has_record;        // (n)
    lt_member_outcome *outcome;
    double wall_s;
    char init_digest[65]; // of the weights that members start from, "" for random ones
} population_run;

void lt_population_record_clear(lt_population_record *record)
{
    free(record->json);
    *record = (lt_population_record){0};
}

static lt_status train_member(void *ctx, int i, const lt_env *env)
{
    population_run *p = ctx;
    char name[LT_MEMBER_NAME_MAX];
    lt_train_order order = *p->order;
    char *dir = lti_asprintf("%s/%s", p->to.dir, lt_member_name(i, name));
    if (!dir)
        return LTI_NOMEM("path");
    order.what.population = 0;
    order.seed = p->order->seed + (uint64_t)i;
    order.env = env;
    order.out = dir;
    order.set = NULL;
    lt_status status = lt_train_dir(&order, &p->record[i]);
    p->has_record[i] = status == LT_OK;
    lti_free(dir);
    return status;
}

// ---- the record

static void write_member(const population_run *p, int i, lti_json *j)
{
    const lt_member_outcome *o = &p->outcome[i];
    const lt_train_record *r = &p->record[i];
    char name[LT_MEMBER_NAME_MAX];
    char *dir = lti_asprintf("%s/%s", p->to.dir, lt_member_name(i, name));
    lti_json_begin(j, NULL, '{');
    lti_json_text(j, "name", name);
    lti_json_text(j, "run", dir);
    lti_json_int(j, "seed", (int64_t)(p->order->seed + (uint64_t)i));
    lti_json_text(j, "state", lt_member_state_text(o->state));
    if (o->state == LT_MEMBER_FAILED)
        lti_json_text(j, "error", o->error.message);
    if (p->has_record[i]) {
        lti_json_real(j, "train_acc", r->train_acc);
        lti_json_real(j, "test_acc", r->test_acc);
        lti_json_real(j, "test_loss", r->test_loss);
        lti_json_int(j, "epochs", r->epochs);
        lti_json_real(j, "wall_s", r->wall_s);
        lti_json_text(j, "model_digest", r->model_digest);
        if (r->is_cached)
            lti_json_bool(j, "cached", true);
    }
    lti_json_end(j, '}');
    lti_free(dir);
}

typedef double field_fn(const lt_train_record *r);
static double train_acc_of(const lt_train_record *r)
{
    return r->train_acc;
}
static double test_acc_of(const lt_train_record *r)
{
    return r->test_acc;
}
static double test_loss_of(const lt_train_record *r)
{
    return r->test_loss;
}
static double epochs_of(const lt_train_record *r)
{
    return (double)r->epochs;
}

static double mean_of(const population_run *p, field_fn *field, double *deviation)
{
    double sum = 0, square = 0;
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        if (!p->has_record[i])
            continue;
        const double x = field(&p->record[i]);
        sum += x;
        square += x * x;
        n++;
    }
    const double mean = n ? sum / n : (double)NAN;
    if (deviation)
        *deviation = n > 1 ? sqrt(fmax(0, (square - n * mean * mean) / (n - 1))) : (double)NAN;
    return mean;
}

// Images per second of all threads together, over the members that were trained now.
static double throughput_of(const population_run *p)
{
    double images = 0;
    for (int i = 0; i < p->n; i++)
        if (p->has_record[i] && !p->record[i].is_cached)
            images += (double)p->record[i].epochs * (double)p->record[i].n_train;
    return images > 0 && p->wall_s > 0 ? images / p->wall_s : (double)NAN;
}

static int count_members(const population_run *p, lt_member_state state)
{
    int n = 0;
    for (int i = 0; i < p->n; i++)
        n += p->outcome[i].state == state;
    return n;
}

static char *write_population(const population_run *p)
{
    lti_json j = {0};
    double deviation;
    const double test_acc = mean_of(p, test_acc_of, &deviation);
    lti_json_begin(&j, NULL, '{');
    lti_json_int(&j, "population", p->n);
    lti_json_int(&j, "n_finished", count_members(p, LT_MEMBER_DONE));
    lti_json_int(&j, "n_failed", count_members(p, LT_MEMBER_FAILED));
    lti_json_int(&j, "n_workers", p->n_workers < p->n ? p->n_workers : p->n);
    lti_json_text(&j, "data", p->order->ds->spec);
    lti_json_text(&j, "data_digest", p->order->ds->digest);
    if (*p->init_digest)
        lti_json_text(&j, "init_digest", p->init_digest);
    lti_json_real(&j, "train_acc", mean_of(p, train_acc_of, NULL));
    lti_json_real(&j, "test_acc", test_acc);
    lti_json_real(&j, "test_acc_deviation", deviation);
    lti_json_real(&j, "test_loss", mean_of(p, test_loss_of, NULL));
    lti_json_real(&j, "epochs", mean_of(p, epochs_of, NULL));
    lti_json_real(&j, "images_per_s", throughput_of(p));
    lti_json_real(&j, "wall_s", p->wall_s);
    lti_json_text(&j, "run", p->to.dir);
    lti_json_begin(&j, "members", '[');
    for (int i = 0; i < p->n; i++)
        write_member(p, i, &j);
    lti_json_end(&j, ']');
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

// ---- the whole

// Other weights to start from make another population.
static lt_status read_init(population_run *p)
{
    lt_trained_model m;
    const char *init = p->order->what.init;
    if (!init || !*init)
        return LT_OK;
    lt_status status = lti_open_init(p->order, &m);
    if (status == LT_OK)
        lt_model_digest(m.model, p->init_digest);
    lt_trained_model_close(&m);
    return status;
}

static lt_status make_options(population_run *p)
{
    p->copy = *p->order;
    p->copy.what.population = p->n;
    LT_TRY(lt_optset_create(&p->made));
    return lt_train_order_bind(&p->copy, p->made, true);
}

static lt_status train_all(population_run *p)
{
    const lt_train_order *o = p->order;
    const lt_population all = {.n = p->n,
                               .n_workers = p->n_workers,
                               .backend = lt_compute_backend_name(&o->compute),
                               .plan_flags = lt_compute_plan_flags(&o->compute),
                               .work = train_member,
                               .ctx = p,
                               .events = o->env->events,
                               .stop = o->env->stop};
    p->record = lti_calloc((size_t)p->n, sizeof *p->record);
    p->has_record = lti_calloc((size_t)p->n, sizeof *p->has_record);
    p->outcome = lti_calloc((size_t)p->n, sizeof *p->outcome);
    if (!p->record || !p->has_record || !p->outcome)
        return LTI_NOMEM("population");
    const double start_s = lti_now_s();
    lt_status status = lt_population_run(&all, p->outcome);
    p->wall_s = lti_now_s() - start_s;
    return status;
}

// Members that failed: the rest is a result, and the caller makes an error of it after reporting it.
static lt_status write_results(population_run *p, lt_status status, lt_population_record *record)
{
    const lt_error error = *lt_error_get();
    if (!p->outcome || !p->has_record || !p->record)
        return status;
    const bool ended = count_members(p, LT_MEMBER_DONE) + count_members(p, LT_MEMBER_FAILED) == p->n;
    record->json = write_population(p);
    lt_status written =
        record->json ? lt_run_write_text(p->to.run, "population.json", record->json) : LTI_NOMEM("population");
    if (written == LT_OK && status == LT_OK)
        return lt_result_dir_finish(&p->to, record->json);
    if (written == LT_OK && ended) {
        record->failure = error;
        return LT_OK;
    }
    if (status != LT_OK)
        lt_error_restore(&error);
    return status != LT_OK ? status : written;
}

static lt_status run_population(population_run *p, lt_population_record *record)
{
    const lt_train_order *o = p->order;
    json_t *j = NULL;
    if (!o->set)
        LT_TRY(make_options(p));
    LT_TRY(read_init(p));
    const char *const facts[] = {"data_digest", o->ds->digest, *p->init_digest ? "init_digest" : NULL, p->init_digest,
                                 NULL};
    const lt_result_dir_spec spec = {.verb = "train",
                                     .label = "population",
                                     .out = o->out,
                                     .force = o->force,
                                     .options = o->set ? o->set : p->made,
                                     .facts = facts,
                                     .events = o->env->events,
                                     .backend = o->env->backend};
    LT_TRY(lt_result_dir_open(&spec, &p->to));
    lti_format(record->dir, sizeof record->dir, "%s", p->to.dir);
    if (!p->to.finished)
        return write_results(p, train_all(p), record);
    record->is_cached = true;
    LT_TRY(lti_stored_result(&p->to, &record->json, &j));
    json_decref(j);
    return LT_OK;
}

lt_status lt_population_dir(const lt_train_order *order, int n, const lt_threads *threads, lt_population_record *record)
{
    *record = (lt_population_record){0};
    population_run *p = lti_calloc(1, sizeof *p);
    if (!p)
        return LTI_NOMEM("population");
    p->order = order;
    p->n = n;
    p->n_workers = threads->threads;
    lt_status status = run_population(p, record);
    lt_result_dir_close(&p->to);
    for (int i = 0; p->record && i < n; i++)
        lt_train_record_clear(&p->record[i]);
    lti_free(p->record);
    lti_free(p->has_record);
    lti_free(p->outcome);
    lt_optset_destroy(p->made);
    lti_free(p);
    if (status != LT_OK) {
        free(record->json);
        record->json = NULL;
    }
    return status;
}
