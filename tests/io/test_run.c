// Run directories and the ledger: what is written, what is refused, and what is left after a kill at any time.
#include "lt_test.h"
#include "base/base.h"
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct cfg {
    float lr;
    int32_t epochs;
} cfg;
static const lt_option rows[] = {
    LT_F32(cfg, lr, 0.1, 0, 10, "", "learning rate"),
    LT_I32(cfg, epochs, 3, 1, 100, "", "epochs"),
    LT_OPT_END,
};
typedef struct how {
    bool quiet;
} how;
static const lt_option how_rows[] = {LT_BOOL(how, quiet, false, "say less"), LT_OPT_END};

typedef struct fixture {
    char root[40], dir[60];
    lt_optset *set;
    cfg c;
    how h;
} fixture;

static int make(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    unsetenv("LETHE_HOME");
    snprintf(f->root, sizeof f->root, "%s/lethe-run-XXXXXX", lt_test_root());
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->dir, sizeof f->dir, "%s/runs/one", f->root);
    return lt_optset_create(&f->set) || lt_optset_add(f->set, "", rows, &f->c, 0) ||
           lt_optset_add(f->set, "how", how_rows, &f->h, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST);
}

static int clean(void **state)
{
    fixture *f = *state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", f->root);
    const int rc = system(command);
    lt_optset_destroy(f->set);
    unsetenv("LETHE_HOME");
    free(f);
    return rc;
}

static lt_run_spec spec_of(fixture *f)
{
    static const char *const extra[] = {"git_revision", "abc", "data_digest", "123", NULL};
    return (lt_run_spec){.dir = f->dir, .verb = "train", .options = f->set, .key_values = extra, .n_threads = 3};
}

static char *content(const char *dir, const char *file)
{
    char path[300], *bytes;
    size_t n;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return lt_read_file(path, 1 << 28, &bytes, &n) == LT_OK ? bytes : NULL;
}

static json_t *json_of(const char *dir, const char *file)
{
    char *text = content(dir, file);
    assert_non_null(text);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static bool has(const char *dir, const char *file)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return access(path, F_OK) == 0;
}

static void metric(lt_run *run, int64_t step, double loss)
{
    const lt_field fields[] = {{"loss", loss}, {"acc", 0.5}};
    const lt_sink sink = lt_run_sink(run);
    sink.emit(sink.self, &(lt_event){.kind = LT_EV_METRIC,
                                     .name = "train.epoch",
                                     .epoch = -1,
                                     .step = step,
                                     .wall_s = 1.5,
                                     .fields = fields,
                                     .n_fields = 2});
}

// Every line is a JSON object; returns how many.
static int count_metrics(const char *dir)
{
    char *text = content(dir, "metrics.jsonl");
    int n = 0;
    assert_non_null(text);
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end); // no half line
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_true(json_is_object(json));
        assert_non_null(json_object_get(json, "event"));
        json_decref(json);
        n++;
    }
    free(text);
    return n;
}

static void whole_life(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    char path[300];
    lt_run_spec spec = spec_of(f);
    assert_ok(lt_optset_set(f->set, "lr", "0.25", "flag"));
    assert_ok(lt_optset_set(f->set, "quiet", "1", "flag"));
    assert_ok(lt_run_open(&spec, &run, &finished));
    assert_false(finished);
    assert_string_equal(lt_run_dir(run), f->dir);
    assert_false(lt_run_is_done(f->dir));
    metric(run, 3, 0.1);
    metric(run, -1, (double)NAN);
    const lt_sink sink = lt_run_sink(run);
    sink.emit(sink.self, &(lt_event){.kind = LT_EV_WARNING, .name = "data.open", .text = "two\nlines"});
    sink.emit(sink.self, &(lt_event){.kind = LT_EV_PROGRESS, .name = "x"});
    assert_ok(lt_run_path(run, "model.safetensors", path, sizeof path));
    assert_true(strstr(path, "/runs/one/model.safetensors") != NULL);
    assert_fails(LT_E_USAGE, "found a longer one", lt_run_path(run, "model.safetensors", path, 20));
    assert_ok(lt_run_write_text(run, "forget.csv", "1\n2\n"));
    assert_ok(lt_run_finish(run, "{\"train_acc\": 0.5}\n"));
    lt_run_close(run);
    assert_true(lt_run_is_done(f->dir));

    json_t *env = json_of(f->dir, "env.json");
    char digest[65];
    lt_optset_digest(f->set, digest);
    assert_string_equal(json_string_value(json_object_get(env, "config_digest")), digest);
    static const char *const keys[] = {"verb",      "cpu",     "isa",    "compiler", "lethe", "os",
                                       "libsodium", "jansson", "sqlite", "started",  "zlib",  "git_revision"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_true(json_is_string(json_object_get(env, keys[i])));
    assert_int_equal(json_integer_value(json_object_get(env, "threads")), 3);
    assert_true(json_integer_value(json_object_get(env, "cores_usable")) >= 1);
    assert_true(json_integer_value(json_object_get(env, "memory_mib")) >= 1);
    json_decref(env);
    json_t *resolved = json_of(f->dir, "resolved.json");
    assert_true(json_real_value(json_object_get(json_object_get(resolved, "lr"), "value")) == 0.25);
    json_decref(resolved);
    json_t *result = json_of(f->dir, "result.json");
    assert_true(json_real_value(json_object_get(result, "train_acc")) == 0.5);
    json_decref(result);
    json_t *done = json_of(f->dir, "DONE");
    assert_string_equal(json_string_value(json_object_get(done, "verb")), "train");
    json_decref(done);
    char *text = content(f->dir, "config.yaml");
    assert_string_equal(text, "lr: \"0.25\"\n");
    free(text);
    text = content(f->dir, "log.txt");
    assert_contains(text, " warning data.open: two lines\n");
    assert_null(strstr(text, "ledger"));
    free(text);
    text = content(f->dir, "metrics.jsonl");
    assert_contains(text, "{\"event\": \"train.epoch\", \"epoch\": null, \"step\": 3, \"wall_s\": 1.500, \"time\": ");
    assert_contains(text, ", \"loss\": 0.1, \"acc\": 0.5}\n");
    assert_contains(text, "\"loss\": null");
    free(text);
    assert_int_equal(count_metrics(f->dir), 2);
}

static void finished_runs_are_kept(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    lt_run_spec spec = spec_of(f);
    assert_ok(lt_run_open(&spec, &run, &finished));
    metric(run, 1, 1);
    assert_ok(lt_run_write_text(run, "model.safetensors", "weights"));
    assert_ok(lt_run_finish(run, "{}"));
    lt_run_close(run);
    char *before = content(f->dir, "env.json");
    assert_ok(lt_optset_set(f->set, "quiet", "1", "flag")); // not part of the configuration
    assert_ok(lt_run_open(&spec, &run, &finished));
    assert_true(finished);
    assert_null(run);
    char *after = content(f->dir, "env.json");
    assert_string_equal(before, after);
    assert_int_equal(count_metrics(f->dir), 1);
    free(before);
    free(after);
    // Another verb or another value is another run.
    spec.verb = "eval";
    assert_fails(LT_E_USAGE, "with this configuration, found one with another", lt_run_open(&spec, &run, &finished));
    spec.verb = "train";
    assert_ok(lt_optset_set(f->set, "epochs", "4", "flag"));
    assert_fails(LT_E_USAGE, "with this configuration, found one with another", lt_run_open(&spec, &run, &finished));
    assert_contains(lt_error_get()->hint, "--force");
    assert_null(run);
    assert_true(lt_run_is_done(f->dir));
    assert_true(has(f->dir, "model.safetensors"));
    spec.force = true;
    assert_ok(lt_run_open(&spec, &run, &finished));
    assert_false(finished);
    assert_false(lt_run_is_done(f->dir));
    assert_false(has(f->dir, "model.safetensors")); // nothing a resume could mistake for its own
    assert_int_equal(count_metrics(f->dir), 0);
    lt_run_close(run);
}

static void resume_appends(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    lt_run_spec spec = spec_of(f);
    spec.resume = true;
    assert_fails(LT_E_USAGE, "expected a run to resume, found none", lt_run_open(&spec, &run, &finished));
    spec.resume = false;
    assert_ok(lt_run_open(&spec, &run, &finished));
    metric(run, 1, 1);
    metric(run, 2, 1);
    lt_run_close(run);
    // A line that was cut by a crash, and a temporary file nobody finished.
    char command[300], *text;
    snprintf(command, sizeof command,
             "cd '%s' && printf '{\"event\": \"trai' >>metrics.jsonl && echo x >.model.tmp-1-2", f->dir);
    assert_int_equal(system(command), 0);
    spec.resume = true;
    assert_ok(lt_run_open(&spec, &run, &finished));
    metric(run, 3, 1);
    lt_run_close(run);
    assert_int_equal(count_metrics(f->dir), 3);
    assert_false(has(f->dir, ".model.tmp-1-2"));
    text = content(f->dir, "log.txt");
    assert_contains(text, "run: resumed");
    free(text);
    // The configuration comes back from config.yaml alone.
    char yaml[300], first[65], second[65];
    snprintf(yaml, sizeof yaml, "%s/config.yaml", f->dir);
    lt_optset_digest(f->set, first);
    assert_ok(lt_optset_load_yaml(f->set, yaml));
    lt_optset_digest(f->set, second);
    assert_string_equal(first, second);
    assert_ok(lt_optset_set(f->set, "epochs", "9", "flag"));
    assert_fails(LT_E_USAGE, "found one with another", lt_run_open(&spec, &run, &finished));
    // Without resume an unfinished run restarts.
    assert_ok(lt_optset_set(f->set, "epochs", "3", "flag"));
    spec.resume = false;
    assert_ok(lt_run_open(&spec, &run, &finished));
    lt_run_close(run);
    assert_int_equal(count_metrics(f->dir), 0);
}

static void long_cut_lines(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    char command[400];
    lt_run_spec spec = spec_of(f);
    assert_ok(lt_run_open(&spec, &run, &finished));
    metric(run, 1, 1);
    lt_run_close(run);
    snprintf(command, sizeof command, "head -c 10000 /dev/zero | tr '\\0' x >>'%s/metrics.jsonl'", f->dir);
    assert_int_equal(system(command), 0);
    spec.resume = true;
    assert_ok(lt_run_open(&spec, &run, &finished));
    lt_run_close(run);
    assert_int_equal(count_metrics(f->dir), 1);
    snprintf(command, sizeof command, "printf 'no line at all' >'%s/metrics.jsonl'", f->dir);
    assert_int_equal(system(command), 0);
    assert_ok(lt_run_open(&spec, &run, &finished));
    lt_run_close(run);
    assert_int_equal(count_metrics(f->dir), 0);
}

static void foreign_directories(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    char command[300];
    lt_run_spec spec = spec_of(f);
    snprintf(command, sizeof command, "mkdir -p '%s' && echo x >'%s/model.safetensors'", f->dir, f->dir);
    assert_int_equal(system(command), 0);
    assert_fails(LT_E_USAGE, "expected an empty directory or a run, found other files",
                 lt_run_open(&spec, &run, &finished));
    assert_true(has(f->dir, "model.safetensors"));
    assert_false(has(f->dir, "env.json"));
    spec.force = true;
    assert_ok(lt_run_open(&spec, &run, &finished));
    lt_run_close(run);
    // What a kill before env.json leaves is not foreign.
    spec.force = false;
    snprintf(command, sizeof command, "cd '%s' && rm -f * && echo >config.yaml && echo '{}' >resolved.json", f->dir);
    assert_int_equal(system(command), 0);
    assert_ok(lt_run_open(&spec, &run, &finished));
    lt_run_close(run);
    // Damaged env.json: not a run we know.
    snprintf(command, sizeof command, "echo '{' >'%s/env.json'", f->dir);
    assert_int_equal(system(command), 0);
    assert_fails(LT_E_USAGE, "found other files", lt_run_open(&spec, &run, &finished));
}

static void refusals(void **state)
{
    fixture *f = *state;
    lt_run *run, *second;
    bool finished;
    char file[100];
    lt_run_spec spec = spec_of(f);
    assert_ok(lt_run_open(&spec, &run, &finished));
    assert_fails(LT_E_BUSY, "in use by another process", lt_run_open(&spec, &second, &finished));
    lt_run_close(run);
    spec.dir = "";
    assert_fails(LT_E_USAGE, "--out: expected a directory", lt_run_open(&spec, &run, &finished));
    snprintf(file, sizeof file, "%s/file", f->root);
    assert_ok(lt_write_file_atomic(file, "x", 1));
    spec.dir = file;
    assert_fails(LT_E_IO, "Not a directory", lt_run_open(&spec, &run, &finished));
    strcat(file, "/below");
    assert_fails(LT_E_IO, "Not a directory", lt_run_open(&spec, &run, &finished));
    lt_run_close(NULL);
    assert_false(lt_run_is_done("/none"));
}

// The disk fills while metrics are written: the sink cannot say so, finishing does, and no DONE appears.
static void full_disk(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    struct rlimit old, small;
    lt_run_spec spec = spec_of(f);
    assert_ok(lt_run_open(&spec, &run, &finished));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 2000;
    setrlimit(RLIMIT_FSIZE, &small);
    for (int i = 0; i < 100; i++)
        metric(run, i, 0.123456789);
    const lt_status status = lt_run_finish(run, "{}");
    setrlimit(RLIMIT_FSIZE, &old);
    assert_fails(LT_E_NOSPACE, "metrics.jsonl", status);
    lt_run_close(run);
    assert_false(lt_run_is_done(f->dir));
    const int n = count_metrics(f->dir); // whole lines only
    assert_true(n > 5 && n < 100);
    spec.resume = true;
    assert_ok(lt_run_open(&spec, &run, &finished));
    metric(run, 100, 1);
    assert_ok(lt_run_finish(run, "{}"));
    lt_run_close(run);
    assert_int_equal(count_metrics(f->dir), n + 1);
}

// Killed at growing delays, from the first instruction on: the directory can always be used again.
static void killed_any_time(void **state)
{
    fixture *f = *state;
    lt_run *run;
    bool finished;
    lt_run_spec spec = spec_of(f);
    for (int i = 0; i < 60; i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            spec.resume = has(f->dir, "env.json") && i % 3;
            if (lt_run_open(&spec, &run, &finished) == LT_OK && !finished)
                for (int64_t step = 0;; step++)
                    metric(run, step, 0.5);
            _exit(1);
        }
        usleep((useconds_t)(i * 400));
        kill(child, SIGKILL);
        int ended;
        waitpid(child, &ended, 0);
        assert_true(WIFSIGNALED(ended)); // it never stopped by itself, that is, never failed
    }
    spec.resume = has(f->dir, "env.json");
    assert_ok(lt_run_open(&spec, &run, &finished));
    metric(run, 1, 1);
    assert_ok(lt_run_finish(run, "{}"));
    lt_run_close(run);
    assert_true(count_metrics(f->dir) >= 1);
    assert_true(lt_run_is_done(f->dir));
}

static lt_status one_run(const lt_run_spec *spec)
{
    lt_run *run;
    bool finished;
    LT_TRY(lt_run_open(spec, &run, &finished));
    metric(run, 1, 1);
    lt_status status = lt_run_finish(run, "{}");
    lt_run_close(run);
    return status;
}

// A failed allocation fails the run; a finished run is finished.
static void failing_allocations(void **state)
{
    fixture *f = *state;
    lt_run_spec spec = spec_of(f);
    int n_failed = 0;
    for (int n = 1; n < 150; n++) {
        spec.force = true;
        lti_alloc_fail_at(n);
        const lt_status status = one_run(&spec);
        lti_alloc_fail_at(0);
        n_failed += status != LT_OK;
        if (status != LT_OK)
            assert_int_equal(status, LT_E_NOMEM);
        else
            assert_true(lt_run_is_done(f->dir));
    }
    assert_true(n_failed > 20);
    assert_ok(one_run(&spec));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clean)
static void numbers_are_shortened(void **state)
{
    (void)state;
    static const char *const rest = "\"0.10000000000000001\\\"\": [-1.0, 3, 1e5, 2.5e-300, 0.30000000000000004],"
                                    " \"x\": \"0.50000000000000000\"}";
    char full[256], expected[256];
    snprintf(full, sizeof full, "{\"lr\": 0.10000000000000001, %s", rest);
    snprintf(expected, sizeof expected, "{\"lr\": 0.1, %s", rest);
    char *text = lt_json_shorten(full);
    assert_string_equal(text, expected);
    free(text);
    assert_null(lt_json_shorten(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_shortened),
        TEST(whole_life),
        TEST(finished_runs_are_kept),
        TEST(resume_appends),
        TEST(long_cut_lines),
        TEST(refusals),
        TEST(foreign_directories),
        TEST(full_disk),
        TEST(killed_any_time),
        TEST(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
