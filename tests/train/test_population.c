// test_population.c - members of a population have the bits they have alone, one failure loses nothing, interruption
// and resumption work, progress adds up.
#include "train_test.h"

#include <pthread.h>
#include <stdlib.h>

#include "lethe/population.h"

enum { K = 6, EPOCHS = 4, STEPS = EPOCHS * 2 };

// K members: seed 20 + i, trained on the rows of the training split whose number is not i modulo K. Two views, as
// reference models have them.
typedef struct crowd {
    lt_dataset *ds;
    char digest[K][65];
    int64_t row[K][T_TRAIN], n_rows[K];
    float lr[K];
    bool checkpoint;
    volatile int stop;
    int64_t stop_after; // steps of member 0; 0 = never
    int64_t first[K];   // step each member began with
    int n_work, most;   // members in work now, and at most
    pthread_mutex_t lock;
    lt_events *events;
    int n_progress, n_info, n_warning;
    int64_t last_done, last_total;
    char warning[1200];
} crowd;

typedef struct step_ctx {
    crowd *c;
    int member;
} step_ctx;

static void crowd_open(crowd *c)
{
    memset(c, 0, sizeof *c);
    c->ds = t_dataset();
    pthread_mutex_init(&c->lock, NULL);
    for (int m = 0; m < K; m++) {
        c->lr[m] = 0.1f;
        for (int i = 0; i < T_TRAIN; i++)
            if (i % K != m)
                c->row[m][c->n_rows[m]++] = i;
    }
}

static void crowd_close(crowd *c)
{
    lt_events_destroy(c->events);
    lt_dataset_close(c->ds);
    pthread_mutex_destroy(&c->lock);
}

static void state_path(int member, char out[64])
{
    snprintf(out, 64, "population_%d.safetensors", member);
}

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    step_ctx *s = ctx;
    if (!s->c->first[s->member])
        s->c->first[s->member] = step->step;
    if (s->member == 0 && step->step == s->c->stop_after)
        lt_interrupt(&s->c->stop);
}

static lt_status train_member(crowd *c, int member, const lt_env *env)
{
    lt_model *model = NULL;
    char path[64];
    const lt_model_shape shape = {T_C, T_SIDE, T_SIDE, T_CLASSES};
    step_ctx ctx = {c, member};
    LT_TRY(lt_model_create("simple-conv:width=4", shape, &model));
    lt_model_init(model, (uint64_t)member + 20);
    lt_job job = {.model = model, .n_phases = 1, .seed = (uint64_t)member + 20, .on_step = on_step, .step_ctx = &ctx};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = EPOCHS;
    job.cfg.batch = 16;
    job.cfg.lr = c->lr[member];
    const lt_index_set rows = {c->n_rows[member], c->row[member]};
    job.phase[0] = (lt_phase){
        .view = {lt_view_rows(c->ds, LT_TRAIN, &rows), lt_view_split(c->ds, LT_TEST)}, .n_views = 2, .shuffle = true};
    job.phase[0].view[0].augment = job.phase[0].view[1].augment = true;
    job.phase[0].view[1].tag = 1;
    state_path(member, path);
    lt_status status = lt_train_run(&job, env, c->checkpoint ? path : NULL, c->checkpoint, NULL);
    lt_model_digest(model, c->digest[member]);
    lt_model_destroy(model);
    return status;
}

static lt_status work(void *ctx, int member, const lt_env *env)
{
    crowd *c = ctx;
    pthread_mutex_lock(&c->lock);
    c->n_work++;
    c->most = c->n_work > c->most ? c->n_work : c->most;
    pthread_mutex_unlock(&c->lock);
    lt_status status = train_member(c, member, env);
    pthread_mutex_lock(&c->lock);
    c->n_work--;
    pthread_mutex_unlock(&c->lock);
    return status;
}

static lt_population population(crowd *c, const char *backend, int n_workers)
{
    return (lt_population){.n = K,
                           .n_workers = n_workers,
                           .backend = backend,
                           .work = work,
                           .ctx = c,
                           .events = c->events,
                           .stop = &c->stop};
}

// Alone: on this thread, after work with several compute threads, with loader threads.
static void alone(crowd *c, const char *backend)
{
    lt_backend *wide = NULL, *one = NULL;
    assert_ok(lt_backend_create(backend, 3, &wide));
    assert_ok(lt_backend_create(backend, 1, &one));
    assert_ok(train_member(c, 0, &(lt_env){.backend = wide}));
    for (int m = 0; m < K; m++)
        assert_ok(train_member(c, m, &(lt_env){.backend = one, .loader_threads = m % 3}));
    lt_backend_destroy(wide);
    lt_backend_destroy(one);
}

static void same_bits_as_alone(void **state)
{
    (void)state;
    crowd *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    for (const char *const *name = lt_backend_names(); *name; name++) {
        for (int n_workers = 1; n_workers <= 4; n_workers += 3) {
            lt_member_outcome o[K];
            crowd_open(a);
            crowd_open(b);
            const lt_population p = population(a, *name, n_workers);
            if (n_workers == 1) // the first one chooses the kernels
                alone(b, *name);
            assert_ok(lt_population_run(&p, o));
            if (n_workers > 1)
                alone(b, *name);
            assert_true(a->most >= 1 && a->most <= n_workers);
            for (int m = 0; m < K; m++) {
                assert_int_equal(o[m].state, LT_MEMBER_DONE);
                assert_string_equal(a->digest[m], b->digest[m]);
                for (int other = 0; other < m; other++)
                    assert_string_not_equal(a->digest[m], a->digest[other]);
            }
            crowd_close(a);
            crowd_close(b);
        }
    }
    free(a);
    free(b);
}

static void diverging_member(void **state)
{
    (void)state;
    crowd *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    lt_member_outcome o[K];
    crowd_open(a);
    crowd_open(b);
    lt_population p = population(a, "ref", 2);
    assert_ok(lt_population_run(&p, o));
    b->lr[3] = 1e9f;
    p = population(b, "ref", 2);
    assert_fails(LT_E_DIVERGED, "1 of 6 members failed, the first is 003: training diverged", lt_population_run(&p, o));
    for (int m = 0; m < K; m++) {
        assert_int_equal(o[m].state, m == 3 ? LT_MEMBER_FAILED : LT_MEMBER_DONE);
        if (m != 3)
            assert_string_equal(a->digest[m], b->digest[m]);
    }
    assert_int_equal(o[3].error.status, LT_E_DIVERGED);
    b->lr[1] = 1e9f;
    p.noun = "model";
    assert_fails(LT_E_DIVERGED, "2 of 6 models failed, the first is 001", lt_population_run(&p, o));
    crowd_close(a);
    crowd_close(b);
    free(a);
    free(b);
}

// Every step of member 0 is a place to stop: all end with the bits of the undisturbed population.
static void interrupted_and_resumed(void **state)
{
    (void)state;
    crowd *whole = malloc(sizeof *whole), *c = malloc(sizeof *c);
    lt_member_outcome o[K];
    char path[64];
    crowd_open(whole);
    lt_population p = population(whole, "ref", 2);
    assert_ok(lt_population_run(&p, o));
    for (int64_t at = 1; at < STEPS; at += 3) {
        crowd_open(c);
        c->checkpoint = true;
        c->stop_after = at;
        const bool in_turn = at == 1; // with two workers the clock decides how far the others are
        p = population(c, "ref", in_turn ? 1 : 2);
        assert_fails(LT_E_INTERRUPTED, in_turn ? "of 6 members 0 are finished, 1 stopped, 0 failed, 5 not begun" : "",
                     lt_population_run(&p, o));
        assert_int_equal(o[0].state, LT_MEMBER_INTERRUPTED);
        c->stop = 0;
        c->stop_after = 0;
        memset(c->first, 0, sizeof c->first);
        assert_ok(lt_population_run(&p, o));
        assert_int_equal(c->first[0], at + 1);
        if (in_turn)
            assert_int_equal(c->first[K - 1], 1);
        for (int m = 0; m < K; m++)
            assert_string_equal(c->digest[m], whole->digest[m]);
        memset(c->first, 0, sizeof c->first);
        assert_ok(lt_population_run(&p, o)); // finished members do no step
        for (int m = 0; m < K; m++) {
            assert_int_equal(c->first[m], 0);
            state_path(m, path);
            remove(path);
        }
        crowd_close(c);
    }
    crowd_close(whole);
    free(whole);
    free(c);
}

static void listen(void *self, const lt_event *e)
{
    crowd *c = self;
    if (e->kind == LT_EV_PROGRESS) {
        assert_string_equal(e->name, "population.progress");
        assert_true(e->done >= c->last_done && e->done <= e->total);
        c->last_done = e->done;
        c->last_total = e->total;
        c->n_progress++;
    }
    c->n_info += e->kind == LT_EV_INFO && !strcmp(e->name, "population.member");
    if (e->kind == LT_EV_WARNING) {
        c->n_warning++;
        snprintf(c->warning, sizeof c->warning, "%s %s", e->name, e->text);
    }
    assert_int_not_equal(e->kind, LT_EV_METRIC); // those belong to the members
}

static void events_of_all(void **state)
{
    (void)state;
    crowd *c = malloc(sizeof *c);
    lt_member_outcome o[K];
    crowd_open(c);
    assert_ok(lt_events_create(&c->events));
    assert_ok(lt_events_add(c->events, (lt_sink){.emit = listen, .self = c}));
    lt_population p = population(c, "ref", 3);
    assert_ok(lt_population_run(&p, o));
    assert_int_equal(c->n_info, K);
    assert_int_equal(c->n_warning, 0);
    assert_true(c->n_progress >= K);
    int64_t images = 0;
    for (int m = 0; m < K; m++)
        images += (c->n_rows[m] + T_TEST) * EPOCHS;
    assert_int_equal(c->last_done, c->last_total);
    assert_int_equal(c->last_total, images);
    c->lr[4] = 1e9f;
    c->last_done = 0;
    assert_fails(LT_E_DIVERGED, "004", lt_population_run(&p, o));
    assert_int_equal(c->n_warning, 1);
    assert_contains(c->warning, "population.member member 004 failed: training diverged");
    crowd_close(c);
    free(c);
}

static lt_status warns(void *ctx, int member, const lt_env *env)
{
    (void)ctx;
    lt_warn(env->events, "train.backend", "look at %d", member);
    return member == 2 ? LT_FAIL(LT_E_NOSPACE, "disk full") : LT_OK;
}

static void other_failures(void **state)
{
    (void)state;
    crowd *c = malloc(sizeof *c);
    lt_member_outcome o[K];
    char name[LT_MEMBER_NAME_MAX];
    crowd_open(c);
    assert_ok(lt_events_create(&c->events));
    assert_ok(lt_events_add(c->events, (lt_sink){.emit = listen, .self = c}));
    lt_population p = population(c, "ref", 1);
    p.work = warns;
    assert_fails(LT_E_NOSPACE, "the first is 002: disk full", lt_population_run(&p, o));
    assert_int_equal(c->n_warning, K + 1);
    assert_string_equal(c->warning, "train.backend member 005: look at 5");
    lt_interrupt(&c->stop);
    assert_fails(LT_E_INTERRUPTED, "6 not begun", lt_population_run(&p, o));
    c->stop = 0;
    p.backend = "abacus";
    assert_fails(LT_E_USAGE, "abacus", lt_population_run(&p, o));
    p.n = 0;
    assert_fails(LT_E_USAGE, "at least one member", lt_population_run(&p, o));
    assert_string_equal(lt_member_name(7, name), "007");
    assert_string_equal(lt_member_name(1234, name), "1234");
    crowd_close(c);
    free(c);
}

// The n-th allocation fails, wherever that is: every member either has the right bits or says why not.
static void out_of_memory(void **state)
{
    (void)state;
    crowd *whole = malloc(sizeof *whole), *c = malloc(sizeof *c);
    lt_member_outcome o[K];
    crowd_open(whole);
    lt_population p = population(whole, "ref", 2);
    assert_ok(lt_population_run(&p, o));
    for (int64_t n = 1; n < 260; n += n < 8 ? 1 : 23) {
        crowd_open(c);
        p = population(c, "ref", 2);
        lti_alloc_fail_at(n);
        lt_status status = lt_population_run(&p, o);
        lti_alloc_fail_at(0);
        int done = 0;
        for (int m = 0; m < K; m++) {
            if (o[m].state != LT_MEMBER_DONE)
                continue;
            done++;
            assert_string_equal(c->digest[m], whole->digest[m]);
        }
        assert_true(status == LT_E_NOMEM ? done < K : status == LT_OK && done == K);
        crowd_close(c);
    }
    crowd_close(whole);
    free(whole);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_as_alone),      cmocka_unit_test(diverging_member),
        cmocka_unit_test(interrupted_and_resumed), cmocka_unit_test(events_of_all),
        cmocka_unit_test(other_failures),          cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
