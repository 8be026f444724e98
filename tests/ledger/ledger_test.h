// ledger_test.h - a small ledger in a directory of its own: a trained run, a deletion, an audit, a signature.
#ifndef LEDGER_TEST_H
#define LEDGER_TEST_H
#include "lt_test.h"
#include "base/base.h"
#include "lethe/ledger.h"
#include <stdlib.h>
#include <sys/stat.h>

typedef struct ledger_place {
    char root[64], file[96], base[96], child[96], key[96], sample_key[96];
} ledger_place;

static inline char *place_path(const char *dir, const char *name)
{
    char *path = lti_asprintf("%s/%s", dir, name);
    assert_non_null(path);
    return path;
}

static inline void write_text(const char *dir, const char *name, const char *text)
{
    char *path = place_path(dir, name);
    assert_ok(lt_write_file_atomic(path, text, strlen(text)));
    lti_free(path);
}

// A finished run whose result is `result`; before_end may add files.
static inline void make_run(const char *dir, const char *verb, const char *result, const char *forget)
{
    lt_run *run;
    bool finished;
    lt_optset *set;
    lt_threads threads;
    assert_ok(lt_optset_create(&set));
    assert_ok(lt_optset_add(set, "", lt_threads_options, &threads, LT_OPTGROUP_FLAGS));
    const lt_run_spec spec = {.dir = dir, .verb = verb, .options = set};
    assert_ok(lt_run_open(&spec, &run, &finished));
    if (forget)
        assert_ok(lt_run_write_text(run, "forget.csv", forget));
    assert_ok(lt_run_finish(run, result));
    lt_run_close(run);
    lt_optset_destroy(set);
}

static const char test_audit[] =
    "{\"ua\": 0.25, \"run\": \"%s\", \"n_forget\": 2, \"n_retain\": 6, \"n_test\": 4, \"loss\": {\"ft_auc\": 0.6}, "
    "\"interval\": {\"loss\": {\"ft_auc\": [0.4, 0.8]}}, \"verdict\": {\"overall\": \"too few seeds\"}, "
    "\"oracles\": [], \"lint\": [{\"id\": \"few\", \"severity\": \"warning\", \"text\": \"<few> & \\u00fcbel\"}]}";

static inline void make_samples(const char *dir)
{
    enum { N = 8, PIXELS = 12 };
    uint8_t x[N * PIXELS], test_x[PIXELS] = {0};
    int32_t y[N] = {0}, test_y[1] = {0};
    lt_dataset *ds;
    for (int i = 0; i < N * PIXELS; i++)
        x[i] = (uint8_t)(7 * i + i / PIXELS);
    assert_ok(lt_dataset_from_arrays(3, 2, 2, 2, N, x, y, 1, test_x, test_y, &ds));
    char *path = place_path(dir, "samples.safetensors");
    assert_ok(lt_sample_list_write(ds, path));
    lti_free(path);
    lt_dataset_close(ds);
}

// A directory without a ledger.
static inline int place_make(void **state)
{
    ledger_place *p = calloc(1, sizeof *p);
    snprintf(p->root, sizeof p->root, "%s/lethe-ledger.XXXXXX", lt_test_root());
    assert_non_null(mkdtemp(p->root));
    snprintf(p->file, sizeof p->file, "%s/lethe.db", p->root);
    snprintf(p->base, sizeof p->base, "%s/runs/base", p->root);
    snprintf(p->child, sizeof p->child, "%s/runs/child", p->root);
    snprintf(p->key, sizeof p->key, "%s/keys/signing.key", p->root);
    snprintf(p->sample_key, sizeof p->sample_key, "%s/keys/sample.key", p->root);
    unsetenv("LETHE_HOME");
    *state = p;
    return 0;
}

static inline int place_remove(void **state)
{
    ledger_place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", p->root);
    const int code = system(command);
    free(p);
    return code;
}

static inline void fill_ledger(const ledger_place *p, lt_ledger *ledger)
{
    char result[512], *audit = lti_asprintf(test_audit, p->child);
    const lt_ledger_source source = {.request = "2031-17", .sample_key = p->sample_key};
    lt_ledger_entry entry;
    make_run(p->base, "train", "{\"model\": \"tiny\", \"model_digest\": \"aa11\", \"test_acc\": 0.5}", NULL);
    make_samples(p->base);
    snprintf(result, sizeof result,
             "{\"method\": \"ga\", \"title\": \"Gradient ascent\", \"parent\": \"%s\", \"parent_digest\": \"aa11\", "
             "\"model_digest\": \"bb22\", \"n_forget\": 2, \"forget\": \"file:request.txt\", \"forget_acc\": 1e-7}",
             p->base);
    make_run(p->child, "unlearn", result, "unlearn_idx\n1\n5\n");
    assert_ok(lt_ledger_record_run(ledger, p->base, &source, &entry));
    assert_int_equal(entry.id, 2);
    assert_ok(lt_ledger_record_run(ledger, p->child, &source, &entry));
    assert_int_equal(entry.id, 3);
    assert_ok(lt_ledger_record_audit(ledger, audit, NULL, &source, &entry));
    assert_int_equal(entry.id, 4);
    lti_free(audit);
}

static inline void sign_ledger(const ledger_place *p, lt_ledger *ledger)
{
    lt_ledger_signature signature;
    char fingerprint[LT_FINGERPRINT_HEX];
    assert_ok(lt_ledger_keygen(p->key, fingerprint));
    assert_ok(lt_ledger_sign(ledger, p->key, &signature));
    assert_string_equal(signature.fingerprint, fingerprint);
}

// Records 1 to 5: the beginning, train, unlearn, audit, signature.
static inline void make_ledger(const ledger_place *p)
{
    lt_ledger *ledger;
    assert_ok(lt_ledger_open(p->file, LT_LEDGER_APPEND, &ledger));
    fill_ledger(p, ledger);
    sign_ledger(p, ledger);
    lt_ledger_close(ledger);
}

static inline lt_status verify_at(const char *file, const lt_ledger_verify_spec *spec)
{
    lt_ledger *ledger;
    char *json = NULL;
    lt_status status = lt_ledger_open(file, LT_LEDGER_READ, &ledger);
    if (status == LT_OK)
        status = lt_ledger_verify(ledger, spec, &json);
    lt_ledger_close(ledger);
    free(json);
    return status;
}
#endif
