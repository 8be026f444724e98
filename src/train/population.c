// population.c - worker threads that take members one after another, and the progress of all of them as one.
//
// Nothing in the library is shared between workers but what is immutable (data, registries) or has a lock of its own
// (allocator, primitive cache, file of kernel choices): OpenMP's team size is a property of the calling thread, and a
// backend for one thread never forms a team. Kernel choices are stored per thread count, and the first worker that
// needs one keeps the others waiting while it measures, so a population chooses as a lone run does.
#include "lethe/population.h"
#include "lethe/machine.h"
#include "train_impl.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double emit_every_s = 0.2;
enum { ASK_AGAIN_NS = 100000000 }; // how long to wait before a member of another process is asked for again

typedef struct gauge { // what is known of one member's progress
    int64_t done, total;
    double loss, acc;
    bool in_work;
    bool is_elsewhere; // another process had it when it was requested
} gauge;

typedef struct pool {
    const lt_population *spec;
    lt_member_outcome *outcome; // (n)
    gauge *gauge;               // (n)
    pthread_mutex_t lock;       // all below, gauge, and the caller's sinks
    int next, next_elsewhere;
    double emit_s;
} pool;

typedef struct worker {
    pool *pool;
    lt_backend *backend;
    pthread_t thread;
} worker;

typedef struct listener { // the sink of one member
    pool *pool;
    int member;
} listener;

const char *lt_member_state_text(lt_member_state state)
{
    static const char *const text[] = {[LT_MEMBER_WAITING] = "waiting",
                                       [LT_MEMBER_DONE] = "done",
                                       [LT_MEMBER_FAILED] = "failed",
                                       [LT_MEMBER_INTERRUPTED] = "interrupted"};
    return text[state];
}

const char *lt_member_name(int member, char out[LT_MEMBER_NAME_MAX])
{
    lti_format(out, LT_MEMBER_NAME_MAX, "%03d", member);
    return out;
}

static const char *noun(const pool *p)
{
    return p->spec->noun ? p->spec->noun : "member";
}

// ---- progress; the lock is held

static void emit_progress(pool *p, bool now)
{
    int64_t done = 0, total = 0, usual = 0;
    int n_work = 0, n_finished = 0;
    double loss = 0, acc = 0;
    const double t = lti_now_s();
    if (!p->spec->events || (!now && t - p->emit_s < emit_every_s))
        return;
    p->emit_s = t;
    for (int i = 0; i < p->spec->n; i++)
        usual = p->gauge[i].total > usual ? p->gauge[i].total : usual;
    for (int i = 0; i < p->spec->n; i++) {
        const gauge *g = &p->gauge[i];
        const bool ended = p->outcome[i].state != LT_MEMBER_WAITING;
        const int64_t size = g->total > 0 ? g->total : usual;
        done += ended ? size : g->done;
        total += size;
        n_work += g->in_work && g->total > 0;
        loss += g->in_work ? g->loss : 0;
        acc += g->in_work ? g->acc : 0;
        n_finished += p->outcome[i].state == LT_MEMBER_DONE;
    }
    const lt_field fields[] = {{"finished", n_finished}, {"loss", loss / n_work}, {"acc", acc / n_work}};
    if (total > 0)
        lt_emit(p->spec->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                             .name = "population.progress",
                                             .done = done,
                                             .total = total,
                                             .unit = "images",
                                             .epoch = -1,
                                             .step = -1,
                                             .fields = fields,
                                             .n_fields = n_work > 0 ? 3 : 1});
}

static double field(const lt_event *e, const char *key)
{
    for (int i = 0; i < e->n_fields; i++)
        if (strcmp(e->fields[i].key, key) == 0)
            return e->fields[i].value;
    return 0;
}

static void on_event(void *self, const lt_event *e)
{
    const listener *l = self;
    pool *p = l->pool;
    const char *counted = p->spec->progress ? p->spec->progress : "train.progress";
    char name[LT_MEMBER_NAME_MAX];
    pthread_mutex_lock(&p->lock);
    if (e->kind == LT_EV_PROGRESS && strcmp(e->name, counted) == 0) {
        gauge *g = &p->gauge[l->member];
        *g = (gauge){
            .done = e->done, .total = e->total, .loss = field(e, "loss"), .acc = field(e, "acc"), .in_work = true};
        emit_progress(p, false);
    } else if (e->kind == LT_EV_WARNING) {
        lt_warn(p->spec->events, e->name, "%s %s: %s", noun(p), lt_member_name(l->member, name),
                e->text ? e->text : "");
    }
    pthread_mutex_unlock(&p->lock);
}

// ---- one member after another

static lt_status work_on(worker *w, int member)
{
    pool *p = w->pool;
    listener l = {.pool = p, .member = member};
    lt_events *events = NULL;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lt_events_create(&events), done);
    LT_TRY_GOTO(lt_events_add(events, (lt_sink){.emit = on_event, .self = &l}), done);
    const lt_env env = {
        .backend = w->backend, .plan_flags = p->spec->plan_flags, .events = events, .stop = p->spec->stop};
    LT_TRY_GOTO(p->spec->work(p->spec->ctx, member, &env), done);
done:
    lt_events_destroy(events);
    return status;
}

// The lock is held.
static void finish_member(pool *p, int member, lt_status status, double wall_s)
{
    lt_member_outcome *o = &p->outcome[member];
    char name[LT_MEMBER_NAME_MAX];
    lt_member_name(member, name);
    o->wall_s = wall_s;
    p->gauge[member].in_work = false;
    o->state = status == LT_OK ? LT_MEMBER_DONE : status == LT_E_INTERRUPTED ? LT_MEMBER_INTERRUPTED : LT_MEMBER_FAILED;
    if (status != LT_OK)
        o->error = *lt_error_get();
    if (o->state == LT_MEMBER_FAILED)
        lt_warn(p->spec->events, "population.member", "%s %s failed: %s", noun(p), name, o->error.message);
    else
        lt_info(p->spec->events, "population.member", "%s %s: %s after %.1f s", noun(p), name,
                lt_member_state_text(o->state), wall_s);
    if (o->state != LT_MEMBER_INTERRUPTED)
        emit_progress(p, true);
}

// The next member that was not begun, else in turn one that another process had. -1: there is none. The lock is
// held.
static int take_member(pool *p)
{
    const int n = p->spec->n;
    int member = -1;
    if (p->next < n)
        member = p->next++;
    for (int i = 0; i < n && member < 0; i++) {
        const int at = (p->next_elsewhere + i) % n;
        if (p->gauge[at].is_elsewhere && !p->gauge[at].in_work)
            member = at;
    }
    if (member >= 0 && p->gauge[member].is_elsewhere)
        p->next_elsewhere = member + 1;
    if (member >= 0)
        p->gauge[member].in_work = true;
    return member;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    pool *p = w->pool;
    pthread_mutex_lock(&p->lock);
    for (int member; !lt_interrupted(p->spec->stop) && (member = take_member(p)) >= 0;) {
        gauge *g = &p->gauge[member];
        const bool again = g->is_elsewhere;
        pthread_mutex_unlock(&p->lock);
        if (again)
            nanosleep(&(struct timespec){.tv_nsec = ASK_AGAIN_NS}, NULL);
        const double start_s = lti_now_s();
        lt_error_clear();
        const lt_status status = work_on(w, member);
        pthread_mutex_lock(&p->lock);
        g->is_elsewhere = p->spec->join && status == LT_E_BUSY;
        if (g->is_elsewhere)
            g->in_work = false;
        else
            finish_member(p, member, status, lti_now_s() - start_s);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

// ---- the whole

static int worker_count(const lt_population *spec)
{
    const int n = spec->n_workers > 0 ? spec->n_workers : lt_usable_cores();
    return n < spec->n ? n : spec->n;
}

// Threads with all signals blocked: an interrupt belongs to the caller. Fewer threads than asked for change nothing but
// the time.
static lt_status run_workers(pool *p, worker *w, int n)
{
    sigset_t all, before;
    int started = 0, failed = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < n && !failed) {
        failed = pthread_create(&w[started].thread, NULL, worker_main, &w[started]);
        started += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started > 0 && failed)
        lt_warn(p->spec->events, "population.threads", "only %d of %d threads could be started: %s", started, n,
                strerror(failed));
    for (int i = 0; i < started; i++)
        pthread_join(w[i].thread, NULL);
    return started > 0 ? LT_OK : LT_FAIL(LT_E_FAIL, "cannot start a thread for a population: %s", strerror(failed));
}

static lt_status aggregate_status(const pool *p)
{
    const int n = p->spec->n;
    int count[LT_MEMBER_INTERRUPTED + 1] = {0}, first = -1;
    for (int i = 0; i < n; i++) {
        count[p->outcome[i].state]++;
        if (first < 0 && p->outcome[i].state == LT_MEMBER_FAILED)
            first = i;
    }
    if (count[LT_MEMBER_WAITING] > 0 || count[LT_MEMBER_INTERRUPTED] > 0)
        return LT_FAIL(LT_E_INTERRUPTED, "interrupted: of %d %ss %d are finished, %d stopped, %d failed, %d not begun",
                       n, noun(p), count[LT_MEMBER_DONE], count[LT_MEMBER_INTERRUPTED], count[LT_MEMBER_FAILED],
                       count[LT_MEMBER_WAITING]);
    if (first < 0)
        return LT_OK;
    char name[LT_MEMBER_NAME_MAX];
    const lt_error *e = &p->outcome[first].error;
    LT_FAIL(e->status, "%d of %d %ss failed, the first is %s: %s", count[LT_MEMBER_FAILED], n, noun(p),
            lt_member_name(first, name), e->message);
    return e->hint[0] ? lt_error_hint("%s", e->hint) : e->status;
}

lt_status lt_population_run(const lt_population *spec, lt_member_outcome *outcome)
{
    if (spec->n < 1 || !spec->work)
        return LT_FAIL(LT_E_USAGE, "population: expected at least one member and its work, found %d", spec->n);
    if (spec->n_workers < 0)
        return LT_FAIL(LT_E_USAGE, "population: expected 0 or more workers, found %d", spec->n_workers);
    memset(outcome, 0, (size_t)spec->n * sizeof *outcome);
    const int n = worker_count(spec);
    pool p = {.spec = spec, .outcome = outcome, .emit_s = lti_now_s()};
    lt_status status = LT_OK;
    pthread_mutex_init(&p.lock, NULL);
    p.gauge = lti_calloc((size_t)spec->n, sizeof *p.gauge);
    worker *w = lti_calloc((size_t)n, sizeof *w);
    if (!p.gauge || !w) {
        status = LTI_NOMEM("population");
        goto done;
    }
    for (int i = 0; i < n; i++)
        w[i].pool = &p;
    LT_TRY_GOTO(lt_backend_create(spec->backend ? spec->backend : "auto", 1, &w[0].backend), done);
    for (int i = 1; i < n; i++)
        LT_TRY_GOTO(lti_backend_create_sibling(w[0].backend, 1, &w[i].backend), done);
    LT_TRY_GOTO(run_workers(&p, w, n), done);
    LT_TRY_GOTO(aggregate_status(&p), done);
done:
    for (int i = 0; w && i < n; i++)
        lt_backend_destroy(w[i].backend);
    lti_free(w);
    lti_free(p.gauge);
    pthread_mutex_destroy(&p.lock);
    return status;
}
