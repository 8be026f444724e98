// population.c - `lethe train --population`: many ordinary runs at once, below one directory.
//
// A member is an invocation of its own with its own session (emitter, backend), made from the same arguments and then
// given its seed, its directory and one thread. So its run directory is the one that `lethe train --seed S --threads 1`
// would have made, and every other verb takes it. The parent directory is a run too: its options are what --resume
// needs, and it is finished when all members are.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct crowd {
    cli_call *call;
    const lt_dataset *ds;
    cli_run run;
    int n;
    json_t **result; // (n) of the members that finished, each written by the thread that works on it
    lt_member_outcome *outcome;
    double wall_s;
    char init_digest[65]; // of the weights that members start from, "" for random ones
};

static lt_status set_number(cli_call *member, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return lt_optset_set(member->set, key, text, "flag");
}

// What a member has of its own. Values of flags, because nothing may override them.
static lt_status individual(const struct crowd *c, int i, cli_call *member)
{
    char name[LT_MEMBER_NAME_MAX];
    char *dir = cli_format("%s/%s", c->run.to.dir, lt_member_name(i, name));
    lt_status status = lt_optset_set(member->set, "out", dir, "flag");
    free(dir);
    LT_TRY(status);
    LT_TRY(set_number(member, "population", 0));
    LT_TRY(set_number(member, "seed", c->call->seed.seed + (uint64_t)i));
    LT_TRY(set_number(member, "threads", 1));
    return set_number(member, "loader-threads", 0);
}

static lt_status train_member(void *ctx, int i, const lt_env *env)
{
    struct crowd *c = ctx;
    const cli_session *parent = c->call->session;
    cli_session session = {.events = env->events, .progress = parent->progress, .data = parent->data};
    session.data_spec = parent->data_spec; // the set is open already and stays the parent's
    cli_call member;
    lt_status status = cli_call_begin(&session, c->call->verb, c->call->argc, c->call->argv, &member);
    member.nested = true;
    if (status == LT_OK)
        status = cli_call_parse(&member);
    if (status == LT_OK)
        status = individual(c, i, &member);
    if (status == LT_OK)
        status = cli_train_one(&member, env);
    if (status == LT_OK)
        c->result[i] = json_incref(member.result);
    cli_call_end(&member);
    return status;
}

// ---- the record

static json_t *member_json(const struct crowd *c, int i)
{
    static const char *const keys[] = {"train_acc", "test_acc",     "test_loss", "epochs",
                                       "wall_s",    "model_digest", "cached",    NULL};
    const lt_member_outcome *o = &c->outcome[i];
    char name[LT_MEMBER_NAME_MAX];
    json_t *j = json_object();
    cli_put(j, "name", json_string(lt_member_name(i, name)));
    json_object_set_new(j, "run", json_sprintf("%s/%s", c->run.to.dir, name));
    cli_put(j, "seed", json_integer((json_int_t)(c->call->seed.seed + (uint64_t)i)));
    cli_put(j, "state", json_string(lt_member_state_text(o->state)));
    if (o->state == LT_MEMBER_FAILED)
        cli_put(j, "error", json_string(o->error.message));
    for (int k = 0; c->result[i] && keys[k]; k++)
        if (json_object_get(c->result[i], keys[k]))
            cli_put(j, keys[k], json_incref(json_object_get(c->result[i], keys[k])));
    return j;
}

static double mean(const struct crowd *c, const char *key, double *deviation)
{
    double sum = 0, square = 0;
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        if (!c->result[i])
            continue;
        const double x = cli_real(c->result[i], key);
        sum += x;
        square += x * x;
        n++;
    }
    const double m = n ? sum / n : (double)NAN;
    if (deviation)
        *deviation = n > 1 ? sqrt(fmax(0, (square - n * m * m) / (n - 1))) : (double)NAN;
    return m;
}

// Images per second of all threads together, over the members that were trained now.
static double throughput(const struct crowd *c)
{
    double images = 0;
    for (int i = 0; i < c->n; i++)
        if (c->result[i] && !json_object_get(c->result[i], "cached"))
            images += cli_real(c->result[i], "epochs") * cli_real(c->result[i], "n_train");
    return images > 0 && c->wall_s > 0 ? images / c->wall_s : (double)NAN;
}

static json_t *record(const struct crowd *c)
{
    json_t *r = json_object(), *members = json_array();
    double deviation;
    int n_done = 0, n_failed = 0;
    for (int i = 0; i < c->n; i++) {
        n_done += c->outcome[i].state == LT_MEMBER_DONE;
        n_failed += c->outcome[i].state == LT_MEMBER_FAILED;
        json_array_append_new(members, member_json(c, i));
    }
    cli_put(r, "population", json_integer(c->n));
    cli_put(r, "n_finished", json_integer(n_done));
    cli_put(r, "n_failed", json_integer(n_failed));
    cli_put(r, "n_workers", json_integer(cli_threads(c->call) < c->n ? cli_threads(c->call) : c->n));
    cli_put(r, "data", json_string(c->ds->spec));
    cli_put(r, "data_digest", json_string(c->ds->digest));
    if (*c->init_digest)
        cli_put(r, "init_digest", json_string(c->init_digest));
    cli_put_real(r, "train_acc", mean(c, "train_acc", NULL));
    cli_put_real(r, "test_acc", mean(c, "test_acc", &deviation));
    cli_put_real(r, "test_acc_deviation", deviation);
    cli_put_real(r, "test_loss", mean(c, "test_loss", NULL));
    cli_put_real(r, "epochs", mean(c, "epochs", NULL));
    cli_put_real(r, "images_per_s", throughput(c));
    cli_put_real(r, "wall_s", c->wall_s);
    cli_put(r, "run", json_string(c->run.to.dir));
    cli_put(r, "members", members);
    return r;
}

static lt_status write_record(const struct crowd *c, const json_t *r)
{
    char *text = cli_json_text(r);
    lt_status status = lt_run_write_text(c->run.to.run, "population.json", text);
    free(text);
    return status;
}

// ---- the whole

// Other weights to start from make another population.
static lt_status read_init(struct crowd *c)
{
    const char *init = "";
    LT_TRY(lt_optset_get(c->call->set, "init", &init, NULL));
    if (!*init)
        return LT_OK;
    cli_source src;
    lt_status status = cli_source_open(init, &(cli_foreign){.model = NULL, .ds = c->ds}, &src);
    if (status == LT_OK)
        lt_model_digest(src.model, c->init_digest);
    cli_source_close(&src);
    return status;
}

static lt_status train_all(struct crowd *c)
{
    cli_call *call = c->call;
    const lt_population p = {.n = c->n,
                             .n_workers = cli_threads(call),
                             .backend = cli_backend_name(call),
                             .plan_flags = cli_plan_flags(&call->where),
                             .work = train_member,
                             .ctx = c,
                             .events = call->session->events,
                             .stop = &call->session->stop};
    c->result = cli_alloc((size_t)c->n, sizeof *c->result);
    c->outcome = cli_alloc((size_t)c->n, sizeof *c->outcome);
    cli_catch_signals(call->session);
    cli_progress_stage(call->session->progress, "training %d models", c->n);
    const double start_s = cli_now_s();
    lt_status status = lt_population_run(&p, c->outcome);
    c->wall_s = cli_now_s() - start_s;
    return status;
}

// Members that failed: the rest is a result, and cli_check_population makes an error of it after it was printed.
static lt_status conclude(struct crowd *c, lt_status status)
{
    const lt_error error = *lt_error_get();
    bool ended = c->outcome != NULL; // every member came to an end, good or bad
    for (int i = 0; ended && i < c->n; i++)
        ended = c->outcome[i].state == LT_MEMBER_DONE || c->outcome[i].state == LT_MEMBER_FAILED;
    json_t *r = record(c);
    lt_status written = write_record(c, r);
    if (written == LT_OK && status == LT_OK) {
        written = cli_run_finish(&c->run, r);
        if (written == LT_OK)
            return LT_OK;
    }
    if (written == LT_OK && ended) {
        lt_error *keep = cli_alloc(1, sizeof *keep);
        *keep = error;
        c->call->extra_cfg = keep;
        c->call->result = r;
        return LT_OK;
    }
    json_decref(r);
    if (status != LT_OK)
        lt_error_restore(&error);
    return status != LT_OK ? status : written;
}

static lt_status run_crowd(struct crowd *c)
{
    cli_call *call = c->call;
    const char *data;
    LT_TRY(lt_optset_get(call->set, "data", &data, NULL));
    LT_TRY(cli_dataset(call, data, &c->ds));
    LT_TRY(read_init(c));
    const char *const facts[] = {"data_digest", c->ds->digest, *c->init_digest ? "init_digest" : NULL, c->init_digest,
                                 NULL};
    LT_TRY(cli_run_open(call, "population", facts, &c->run));
    if (c->run.to.finished)
        return cli_run_finish(&c->run, NULL);
    return conclude(c, train_all(c));
}

lt_status cli_train_population(cli_call *call, int n)
{
    struct crowd c = {.call = call, .n = n};
    lt_status status = run_crowd(&c);
    cli_run_close(&c.run, status);
    for (int i = 0; c.result && i < n; i++)
        json_decref(c.result[i]);
    free(c.result);
    free(c.outcome);
    return status;
}

lt_status cli_check_population(const cli_call *call)
{
    const lt_error *e = call->extra_cfg;
    if (!e)
        return LT_OK;
    lt_error_restore(e);
    return e->status;
}

void cli_print_population(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 6, .left = {true, true, false, false, false, true}};
    size_t i;
    const json_t *m;
    cli_table_row(&t, "run", "state", "seed", "train %", "test %", "model digest");
    json_array_foreach(json_object_get(r, "members"), i, m)
    {
        char train_acc[24], test_acc[24];
        char *seed = cli_format("%.0f", cli_real(m, "seed")),
             *digest = cli_format("%.16s", cli_text(m, "model_digest"));
        cli_table_row(&t, cli_text(m, "run"), cli_text(m, "state"), seed,
                      cli_percent(cli_real(m, "train_acc"), train_acc), cli_percent(cli_real(m, "test_acc"), test_acc),
                      digest);
        free(seed);
        free(digest);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    char test_acc[24];
    fprintf(out, "%.0f of %.0f models on %s: mean test accuracy %s %%; %.1f s, %.0f images/s with %.0f threads\n",
            cli_real(r, "n_finished"), cli_real(r, "population"), cli_text(r, "data"),
            cli_percent(cli_real(r, "test_acc"), test_acc), cli_real(r, "wall_s"), cli_real(r, "images_per_s"),
            cli_real(r, "n_workers"));
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force makes it again)" : "");
}
