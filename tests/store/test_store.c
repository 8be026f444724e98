// test_store.c - reference models: addresses, training against plain training, resumption, signals against plain
// evaluation, damage found, pruning.
#include "lt_test.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/base.h"
#include "lethe/store.h"
#include "train/train_test.h"

enum { M = 4, N = T_TRAIN + T_TEST, K = T_CLASSES };

typedef struct fix {
    char dir[128];
    lt_dataset *ds;
    lt_ref_request request;
    lt_ref_env env;
    volatile int stop;
} fix;

static void remove_store(const char *dir)
{
    char *json = NULL;
    const lt_store_filter all = {.all = true};
    assert_ok(lt_store_prune(dir, &all, &json));
    free(json);
    rmdir(dir);
}

static void fix_open(fix *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "%s/lethe-store-%ld", lt_test_root(), (long)getpid());
    f->ds = t_dataset();
    f->env = (lt_ref_env){.n_workers = 2, .backend = "ref", .stop = &f->stop};
    f->request =
        (lt_ref_request){.ds = f->ds, .model = "simple-conv:width=4", .count = M, .seed = 30, .inclusion_seed = 2};
    lt_options_defaults(lt_train_options, &f->request.train);
    f->request.train.epochs = 3;
    f->request.train.batch = 8;
    f->request.train.lr = 0.05f;
    remove_store(f->dir);
}

static void fix_close(fix *f)
{
    remove_store(f->dir);
    lt_dataset_close(f->ds);
}

static lt_ref_plan *plan_of(const fix *f)
{
    lt_ref_plan *p = NULL;
    assert_ok(lt_ref_plan_create(f->dir, &f->request, &p));
    return p;
}

static void file_of(const lt_ref_plan *p, int r, const char *file, char out[256])
{
    snprintf(out, 256, "%s/%s/%s", p->dir, p->ref[r].address, file);
}

static lt_model *stored_model(const lt_ref_plan *p, int r)
{
    char path[256];
    lt_model *m = NULL;
    file_of(p, r, "model.safetensors", path);
    assert_ok(lt_model_open(path, NULL, NULL, &m));
    return m;
}

// Model r, trained here from nothing but the inclusion mask.
static void plain_digest(const fix *f, int r, char digest[65])
{
    uint8_t keep[M * N];
    int64_t row[2][N];
    lt_index_set rows[2] = {{0, row[0]}, {0, row[1]}};
    lt_backend *backend = NULL;
    lt_model *model = NULL;
    assert_ok(lt_inclusion_mask(M, N, f->request.inclusion_seed, keep));
    for (int j = 0; j < N; j++) {
        const int s = j < T_TRAIN ? 0 : 1;
        if (keep[r * N + j])
            row[s][rows[s].n++] = j - s * T_TRAIN;
    }
    assert_ok(lt_backend_create(f->env.backend, 1, &backend));
    assert_ok(lt_model_create(f->request.model, (lt_model_shape){T_C, T_SIDE, T_SIDE, K}, &model));
    lt_model_init(model, f->request.seed + (uint64_t)r);
    lt_job job = {.model = model, .cfg = f->request.train, .n_phases = 1, .seed = f->request.seed + (uint64_t)r};
    job.phase[0] = (lt_phase){.view = {lt_view_rows(f->ds, LT_TRAIN, &rows[0]), lt_view_rows(f->ds, LT_TEST, &rows[1])},
                              .n_views = 2,
                              .shuffle = true};
    job.phase[0].view[0].augment = job.phase[0].view[1].augment = true;
    job.phase[0].view[1].tag = 1;
    lt_clipper *clipper = NULL;
    const lt_env env = {.backend = backend};
    if (lt_clip_is_on(&f->request.clip)) {
        assert_ok(lt_clipper_create(model, &f->request.clip, job.seed, &env, &clipper));
        assert_ok(lt_clipper_attach(clipper, &job));
    }
    assert_ok(lt_train_run(&job, &env, NULL, false, NULL));
    lt_clipper_destroy(clipper);
    lt_model_digest(model, digest);
    lt_model_destroy(model);
    lt_backend_destroy(backend);
}

static int64_t changed_at(const lt_ref_plan *p, int r) // nanoseconds
{
    struct stat st;
    char path[256];
    file_of(p, r, "model.safetensors", path);
    assert_int_equal(stat(path, &st), 0);
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static void trained_once(void **state)
{
    (void)state;
    fix f;
    fix_open(&f);
    for (const char *const *name = lt_backend_names(); *name; name++) {
        f.env.backend = *name;
        remove_store(f.dir);
        lt_ref_plan *p = plan_of(&f);
        int64_t images = 0, at[M];
        for (int r = 0; r < M; r++)
            images += p->ref[r].n_samples * 3;
        assert_int_equal(p->n_missing, M);
        assert_int_equal(p->images, images);
        assert_int_equal(images, N * M / 2 * 3);
        assert_ok(lt_ref_train(p, &f.env));
        assert_int_equal(p->n_ready, M);
        assert_int_equal(p->images, 0);
        for (int r = 0; r < M; r++) {
            char digest[65], plain[65];
            lt_model *m = stored_model(p, r);
            lt_model_digest(m, digest);
            lt_model_destroy(m);
            plain_digest(&f, r, plain);
            assert_string_equal(digest, plain);
            at[r] = changed_at(p, r);
        }
        lt_ref_plan_destroy(p);
        p = plan_of(&f);
        assert_int_equal(p->n_ready, M);
        assert_ok(lt_ref_train(p, &f.env));
        char path[256]; // one model goes: only that one is made again
        file_of(p, 2, "entry.json", path);
        assert_int_equal(remove(path), 0);
        lt_ref_plan_destroy(p);
        p = plan_of(&f);
        assert_int_equal(p->n_ready, M - 1);
        assert_ok(lt_ref_train(p, &f.env));
        for (int r = 0; r < M; r++)
            assert_true((changed_at(p, r) != at[r]) == (r == 2));
        lt_ref_plan_destroy(p);
    }
    fix_close(&f);
}

// References of a clipped model are trained as it was: the same weights as training with a clipper by hand, every layer
// at its target, and an address of their own.
static void clipped(void **state)
{
    (void)state;
    enum { C10 = 3 }; // target in tenths
    fix f;
    fix_open(&f);
    lt_ref_plan *plain = plan_of(&f);
    lt_options_defaults(lt_clip_norm_options, &f.request.clip);
    lt_options_defaults(lt_clip_rule_options, &f.request.clip);
    lt_ref_plan *p = plan_of(&f);
    for (int r = 0; r < M; r++) // options of clipping that clip nothing leave addresses alone
        assert_string_equal(p->ref[r].address, plain->ref[r].address);
    lt_ref_plan_destroy(p);
    f.request.clip.clip_norm = C10 / 10.0f;
    p = plan_of(&f);
    assert_ok(lt_ref_train(p, &f.env));
    assert_int_equal(p->n_ready, M);
    for (int r = 0; r < M; r++) {
        char digest[65], by_hand[65], path[256], *entry;
        size_t n;
        lt_clip_report report;
        lt_backend *backend = NULL;
        lt_model *m = stored_model(p, r);
        assert_string_not_equal(p->ref[r].address, plain->ref[r].address);
        lt_model_digest(m, digest);
        plain_digest(&f, r, by_hand);
        assert_string_equal(digest, by_hand);
        int n_recipes = 0;
        for (int i = 0; i < m->n_meta; i++)
            n_recipes += strcmp(m->meta[i].key, "lethe.clip") == 0;
        assert_int_equal(n_recipes, 1);
        assert_ok(lt_backend_create("ref", 1, &backend));
        assert_ok(lt_clip_model(m, &f.request.clip, 1, &(lt_env){.backend = backend}, &report));
        assert_true(report.n_layers > 0);
        for (int i = 0; i < report.n_layers; i++)
            assert_true(report.layer[i].before <= 1.01 * C10 / 10.0);
        lt_clip_report_clear(&report);
        lt_backend_destroy(backend);
        lt_model_destroy(m);
        file_of(p, r, "entry.json", path);
        assert_ok(lt_read_file(path, 1 << 20, &entry, &n));
        assert_contains(entry, "\"clip_norm\": \"0.3\"");
        lti_free(entry);
    }
    lt_ref_plan_destroy(p);
    f.request.clip.clip_norm = 0.4f;
    p = plan_of(&f);
    assert_int_equal(p->n_missing, M); // another target, other models
    lt_ref_plan_destroy(p);
    lt_ref_plan_destroy(plain);
    fix_close(&f);
}

// A request that differs in anything that matters shares no model with the first; what does not matter changes none.
static void compare(const fix *f, const lt_ref_plan *first, bool same)
{
    lt_ref_plan *p = plan_of(f);
    for (int r = 0; r < M; r++)
        for (int s = 0; s < M; s++) {
            const bool equal = strcmp(p->ref[r].address, first->ref[s].address) == 0;
            assert_true(equal == (same && r == s));
        }
    lt_ref_plan_destroy(p);
}

#define DIFFERS(change)                                                                                                \
    do {                                                                                                               \
        const lt_ref_request before = f.request;                                                                       \
        f.request.change;                                                                                              \
        compare(&f, first, false);                                                                                     \
        f.request = before;                                                                                            \
    } while (0)

static void addresses(void **state)
{
    (void)state;
    fix f;
    fix_open(&f);
    lt_ref_plan *first = plan_of(&f);
    compare(&f, first, true);
    DIFFERS(model = "simple-conv:width=5");
    DIFFERS(seed = 31);
    DIFFERS(seed = UINT64_C(30) << 40);
    DIFFERS(inclusion_seed = 3);
    DIFFERS(train.lr = 0.06f);
    DIFFERS(train.epochs = 4);
    DIFFERS(train.batch = 9);
    DIFFERS(train.augment = false);
    DIFFERS(train.schedule = LT_SCHED_STEP);
    DIFFERS(train.nesterov = true);
    DIFFERS(count = 6);
    f.request.train.eval_every = 7;
    f.request.train.checkpoint_every_s = 9;
    compare(&f, first, true);
    f.request.model = "simple-conv:bn=1,width=4"; // another spelling
    compare(&f, first, true);
    uint8_t x[2 * T_C * T_SIDE * T_SIDE] = {1}; // other data
    int32_t y[2] = {0, 3};
    lt_dataset *other = NULL;
    assert_ok(lt_dataset_from_arrays(T_C, T_SIDE, T_SIDE, K, 2, x, y, 2, x, y, &other));
    f.request.ds = other;
    lt_ref_plan *p = NULL;
    f.request.inclusion_seed = 0;
    while (lt_ref_plan_create(f.dir, &f.request, &p) != LT_OK && f.request.inclusion_seed < 1000) {
        assert_non_null(strstr(lt_error_get()->message, "too few")); // a model without samples is refused
        f.request.inclusion_seed++;
    }
    assert_non_null(p);
    assert_string_not_equal(p->ref[0].address, first->ref[0].address);
    lt_ref_plan_destroy(p);
    lt_ref_plan_destroy(first);
    lt_dataset_close(other);
    fix_close(&f);
}

typedef struct stopper {
    fix *f;
    int n;
} stopper;

static void stop_soon(void *self, const lt_event *e)
{
    stopper *s = self;
    if (e->kind == LT_EV_INFO && !strcmp(e->name, "population.member") && ++s->n == 2)
        s->f->stop = 1;
}

static void interrupted(void **state)
{
    (void)state;
    fix f;
    char digest[65], plain[65], path[256];
    fix_open(&f);
    f.env.n_workers = 1;
    stopper s = {.f = &f};
    assert_ok(lt_events_create(&f.env.events));
    assert_ok(lt_events_add(f.env.events, (lt_sink){.emit = stop_soon, .self = &s}));
    lt_ref_plan *p = plan_of(&f);
    assert_fails(LT_E_INTERRUPTED, "of 4 reference models 2 are finished", lt_ref_train(p, &f.env));
    assert_int_equal(p->n_ready, 2);
    assert_int_equal(p->n_missing, 2);
    f.stop = 0;
    lt_events_destroy(f.env.events);
    f.env.events = NULL;
    assert_ok(lt_ref_train(p, &f.env));
    assert_int_equal(p->n_ready, M);
    for (int r = 0; r < M; r++) {
        lt_model *m = stored_model(p, r);
        lt_model_digest(m, digest);
        lt_model_destroy(m);
        plain_digest(&f, r, plain);
        assert_string_equal(digest, plain);
        file_of(p, r, "state.safetensors", path);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    lt_ref_plan_destroy(p);
    fix_close(&f);
}

static void diverging(void **state)
{
    (void)state;
    fix f;
    fix_open(&f);
    f.request.train.lr = 1e9f;
    lt_ref_plan *p = plan_of(&f);
    assert_fails(LT_E_DIVERGED, "4 of 4 reference models failed, the first is 000: training diverged",
                 lt_ref_train(p, &f.env));
    assert_int_equal(p->n_ready, 0);
    lt_ref_plan_destroy(p);
    fix_close(&f);
}

static void cost_is_measured(void **state)
{
    (void)state;
    fix f;
    lt_ref_cost cost;
    fix_open(&f);
    lt_ref_plan *p = plan_of(&f);
    assert_ok(lt_ref_measure(p, &f.env, &cost));
    assert_int_equal(cost.n_workers, 2);
    assert_true(cost.images_per_s > 0 && cost.seconds > 0);
    // Two rounds of two models each.
    const double expected = (double)p->images / cost.images_per_s;
    assert_true(cost.seconds > 0.999 * expected && cost.seconds < 1.001 * expected);
    assert_int_equal(p->n_missing, M); // measuring leaves nothing behind
    assert_int_not_equal(access(f.dir, F_OK), 0);
    assert_ok(lt_ref_train(p, &f.env));
    assert_ok(lt_ref_measure(p, &f.env, &cost));
    assert_true(cost.seconds == 0 && cost.n_workers == 0);
    lt_ref_plan_destroy(p);
    fix_close(&f);
}

static void signals_of_all(void **state)
{
    (void)state;
    fix f;
    float logits[M * N * K], part[M * N * K], plain[N * K];
    uint8_t member[M * N], keep[M * N];
    lt_backend *backend = NULL;
    fix_open(&f);
    lt_ref_plan *p = plan_of(&f);
    assert_fails(LT_E_INTEGRITY, "expected 4 reference models, found 0 (0 unfinished, 4 missing)",
                 lt_ref_signals(p, &f.env, NULL, N, logits, member));
    assert_ok(lt_ref_train(p, &f.env));
    assert_ok(lt_ref_signals(p, &f.env, NULL, N, logits, member));
    assert_ok(lt_inclusion_mask(M, N, f.request.inclusion_seed, keep));
    assert_memory_equal(member, keep, sizeof keep);
    assert_ok(lt_backend_create("ref", 1, &backend));
    const lt_env env = {.backend = backend};
    for (int r = 0; r < M; r++) {
        lt_model *m = stored_model(p, r);
        lt_eval_result result;
        const lt_view train = lt_view_split(f.ds, LT_TRAIN), test = lt_view_split(f.ds, LT_TEST);
        assert_ok(lt_evaluate(m, &train, &env, 128, plain, NULL, &result));
        assert_ok(lt_evaluate(m, &test, &env, 128, plain + T_TRAIN * K, NULL, &result));
        assert_memory_equal(logits + r * N * K, plain, sizeof plain);
        lt_model_destroy(m);
    }
    // Another order, with a sample twice: 20, 3, 30, 3, 0.
    const int64_t sample[] = {20, 3, 30, 3, 0}, bad[] = {0, N};
    assert_ok(lt_ref_signals(p, &f.env, sample, 5, part, member));
    for (int r = 0; r < M; r++)
        for (int i = 0; i < 5; i++) {
            assert_int_equal(member[r * 5 + i], keep[r * N + sample[i]]);
            for (int k = 0; k < K; k++) { // another batch size may have other last bits
                const float a = part[(r * 5 + i) * K + k], b = logits[(r * N + sample[i]) * K + k];
                assert_true(a - b < 1e-5f && b - a < 1e-5f);
            }
        }
    assert_fails(LT_E_USAGE, "expected 0 to 34, found 35", lt_ref_signals(p, &f.env, bad, 2, part, member));
    lt_backend_destroy(backend);
    lt_ref_plan_destroy(p);
    fix_close(&f);
}

static void overwrite(const char *path, const char *from, const char *to)
{
    char *text = NULL;
    size_t n = 0;
    assert_ok(lt_read_file(path, 1 << 24, &text, &n));
    char *at = memmem(text, n, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    assert_ok(lt_write_file_atomic(path, text, n));
    free(text);
}

static void damage_is_found(void **state)
{
    (void)state;
    fix f;
    float logits[M * N * K];
    uint8_t member[M * N];
    char path[256], *json = NULL;
    lt_ref_plan *again = NULL;
    fix_open(&f);
    lt_ref_plan *p = plan_of(&f);
    assert_ok(lt_ref_train(p, &f.env));
    // The weights of another model under this name.
    lt_model *other = stored_model(p, 0);
    file_of(p, 1, "model.safetensors", path);
    assert_ok(lt_model_save(other, path));
    lt_model_destroy(other);
    assert_fails(LT_E_INTEGRITY, "the first is 001: ", lt_ref_signals(p, &f.env, NULL, N, logits, member));
    const lt_store_filter look = {.corrupt = true, .dry_run = true}, act = {.corrupt = true};
    assert_ok(lt_store_prune(f.dir, &look, &json));
    assert_contains(json, p->ref[1].address);
    assert_null(strstr(json, p->ref[0].address));
    free(json);
    assert_ok(lt_store_prune(f.dir, &act, &json));
    assert_contains(json, "damaged");
    free(json);
    assert_ok(lt_ref_train(p, &f.env)); // the plan still holds it for ready
    lt_ref_plan_destroy(p);
    p = plan_of(&f);
    assert_int_equal(p->n_missing, 1);
    assert_ok(lt_ref_train(p, &f.env));
    assert_ok(lt_ref_signals(p, &f.env, NULL, N, logits, member));
    // A record that says something else than its address.
    file_of(p, 3, "entry.json", path);
    overwrite(path, "\"lr\": \"0.05\"", "\"lr\": \"0.07\"");
    assert_fails(LT_E_INTEGRITY, "lr does not match", lt_ref_plan_create(f.dir, &f.request, &again));
    overwrite(path, "\"lr\": \"0.07\"", "\"lr\": \"0.05\"");
    overwrite(path, "\"seed\": 33", "\"seed\": 34");
    assert_fails(LT_E_INTEGRITY, "seed does not match", lt_ref_plan_create(f.dir, &f.request, &again));
    assert_ok(lt_write_file_atomic(path, "{", 1));
    assert_fails(LT_E_INTEGRITY, "entry.json", lt_ref_plan_create(f.dir, &f.request, &again));
    assert_ok(lt_store_list(f.dir, &json));
    assert_contains(json, "\"damaged\"");
    free(json);
    lt_ref_plan_destroy(p);
    fix_close(&f);
}

static void listed_and_pruned(void **state)
{
    (void)state;
    fix f;
    char path[256], *json = NULL;
    fix_open(&f);
    assert_ok(lt_store_list(f.dir, &json)); // a missing store is empty
    assert_string_equal(json, "[]");
    free(json);
    lt_ref_plan *p = plan_of(&f);
    assert_ok(lt_ref_train(p, &f.env));
    file_of(p, 2, "entry.json", path);
    assert_int_equal(remove(path), 0);
    snprintf(path, sizeof path, "%s/notes", f.dir); // not an entry: never touched
    assert_int_equal(mkdir(path, 0777), 0);
    assert_ok(lt_store_list(f.dir, &json));
    for (int r = 0; r < M; r++)
        assert_contains(json, p->ref[r].address);
    free(json);
    const lt_store_filter unfinished = {.incomplete = true}, old = {.older_than_days = 1};
    assert_ok(lt_store_prune(f.dir, &old, &json));
    assert_string_equal(json, "[]");
    free(json);
    assert_ok(lt_store_prune(f.dir, &unfinished, &json));
    assert_contains(json, p->ref[2].address);
    assert_null(strstr(json, p->ref[1].address));
    free(json);
    lt_ref_plan_destroy(p);
    p = plan_of(&f);
    assert_int_equal(p->n_ready, 3);
    assert_int_equal(access(path, F_OK), 0);
    rmdir(path);
    lt_ref_plan_destroy(p);
    fix_close(&f);
}

static void out_of_memory(void **state)
{
    (void)state;
    fix f;
    fix_open(&f);
    int failed = 0;
    for (int64_t n = 1; n < 60; n++) {
        lt_ref_plan *p = NULL;
        lti_alloc_fail_at(n);
        const lt_status status = lt_ref_plan_create(f.dir, &f.request, &p);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK ? p != NULL : status == LT_E_NOMEM && p == NULL);
        failed += status != LT_OK;
        lt_ref_plan_destroy(p);
    }
    assert_true(failed > 10);
    fix_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_once),   cmocka_unit_test(clipped),         cmocka_unit_test(addresses),
        cmocka_unit_test(interrupted),    cmocka_unit_test(diverging),       cmocka_unit_test(cost_is_measured),
        cmocka_unit_test(signals_of_all), cmocka_unit_test(damage_is_found), cmocka_unit_test(listed_and_pruned),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
