// runner.c - a study with its data and directory: checked, and ready to be run or summed up.
#include "study/parse.h"
#include "study/runner_impl.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// ---- texts and lists that live as long as the runner

const char *lti_study_text(lt_study_runner *r, const char *fmt, ...)
{
    char text[LTI_STUDY_PATH], *copy;
    va_list args;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    copy = lti_arena_strdup(&r->arena, text);
    r->failed = r->failed || !copy;
    return copy ? copy : "";
}

void *lti_study_list(lt_study_runner *r, size_t n, size_t size)
{
    size_t bytes;
    void *p = lti_mul_size(n ? n : 1, size ? size : 1, &bytes) ? NULL : lti_arena_alloc(&r->arena, bytes);
    r->failed = r->failed || !p;
    return p;
}

char *lti_study_path(const lt_study_runner *r, const char *folder, const char *id, const char *suffix,
                     char out[LTI_STUDY_PATH])
{
    lti_format(out, LTI_STUDY_PATH, "%s/%s%s%s%s", r->out, folder ? folder : "", folder ? "/" : "", id, suffix);
    return out;
}

const char *lti_study_label(const lt_study *study)
{
    return ((const lti_study_reader *)study->own)->label;
}

const char *lti_study_options_text(lti_arena *arena, const lt_study_options *a, const lt_study_options *b)
{
    lti_buf buf = {0};
    lti_buf_puts(&buf, "");
    for (int k = 0; k < 2; k++)
        for (int i = 0; (k ? b : a) && i < (k ? b : a)->n; i++) {
            const lt_study_option *o = &(k ? b : a)->option[i];
            lti_buf_printf(&buf, "%s%s=%s", buf.n ? " " : "", o->key, o->value);
        }
    char *text = lti_buf_take(&buf);
    const char *kept = text ? lti_arena_strdup(arena, text) : NULL;
    free(text);
    return kept;
}

// ---- what parsing cannot check

static lt_status add_place(const lt_study_runner *r, int line, const char *key, lt_status status)
{
    if (status == LT_OK)
        return LT_OK;
    const lt_error error = *lt_error_get();
    (void)LT_FAIL(status, "%s:%d: %s: %s", lti_study_label(r->study), line, key, error.message);
    return error.hint[0] ? lt_error_hint("%s", error.hint) : status;
}

static lt_status check_model(const lt_study_runner *r)
{
    lt_model *model = NULL;
    const lt_dataset *ds = r->ds;
    const lt_status status =
        lt_model_create(r->study->model, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &model);
    lt_model_destroy(model);
    return add_place(r, r->study->model_line, "model", status);
}

static lt_status check_forget_set(const lt_study_runner *r, lti_study_forget_set *f, char digest[65])
{
    lt_index_set set = {0};
    LT_TRY(add_place(r, f->forget->line, "forget", lt_forget_parse(r->ds, f->forget->spec, f->forget->seed, &set)));
    f->n = set.n;
    f->n_retain = r->ds->split[LT_TRAIN].n - set.n;
    lt_index_set_digest(r->ds, LT_TRAIN, &set, digest);
    lt_index_set_clear(&set);
    if (f->n_retain < 1)
        return LT_FAIL(LT_E_USAGE, "%s:%d: forget: %s leaves no sample to retain", lti_study_label(r->study),
                       f->forget->line, f->forget->spec);
    return LT_OK;
}

// Forget sets as indices: they must exist, leave something, and tuning must have one of its own.
static lt_status check_forget_sets(const lt_study_runner *r)
{
    char digest[65], tuning_digest[65] = "";
    for (int i = r->n_forget - 1; i >= 0; i--) { // tuning is the last
        lti_study_forget_set *f = &r->forget[i];
        LT_TRY(check_forget_set(r, f, digest));
        if (f->tuning)
            memcpy(tuning_digest, digest, sizeof digest);
        else if (!strcmp(digest, tuning_digest))
            return LT_FAIL(LT_E_USAGE, "%s:%d: forget: %s is the set that is tuned on", lti_study_label(r->study),
                           f->forget->line, f->forget->spec);
    }
    return LT_OK;
}

// Lists of runs are separated by commas; every path below the directory must fit its buffer.
static lt_status check_paths(const lt_study_runner *r)
{
    enum { ROOM = 64 }; // folders, suffixes, names of files
    size_t longest = 0;
    for (int i = 0; i < r->n_jobs; i++)
        longest = strlen(r->job[i].id) > longest ? strlen(r->job[i].id) : longest;
    if (strchr(r->out, ','))
        return LT_FAIL(LT_E_USAGE, "--out %s: expected a path without commas: lists of runs are separated by them",
                       r->out);
    if (strlen(r->out) + longest + ROOM > LTI_STUDY_PATH)
        return LT_FAIL(LT_E_USAGE, "--out: expected a path of at most %d bytes, found %zu",
                       (int)(LTI_STUDY_PATH - ROOM - longest), strlen(r->out));
    return LT_OK;
}

// ---- the handle

static lt_status prepare(lt_study_runner *r, const char *out)
{
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    r->out = lti_arena_alloc(&r->arena, n + 1);
    if (!r->out)
        return LTI_NOMEM("study");
    memcpy(r->out, out, n);
    LT_TRY(check_model(r));
    LT_TRY(lti_study_resolve_areas(r));
    LT_TRY(lti_study_make_jobs(r));
    LT_TRY(check_paths(r));
    LT_TRY(check_forget_sets(r));
    lti_study_estimate(r);
    return LT_OK;
}

lt_status lt_study_runner_create(const lt_study_order *order, lt_study_runner **runner)
{
    *runner = NULL;
    lt_study_runner *r = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("study");
    r->order = *order;
    r->study = order->study;
    r->ds = order->ds;
    r->n_workers = order->executor ? lt_executor_capacity(order->executor) : 1;
    const lt_status status = prepare(r, order->out);
    if (status == LT_OK)
        *runner = r;
    else
        lt_study_runner_destroy(r);
    return status;
}

void lt_study_runner_destroy(lt_study_runner *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_jobs; i++) {
        lti_study_identity_clear(&r->job[i].identity);
        lti_study_release(&r->job[i]);
    }
    lti_arena_clear(&r->arena);
    lti_free(r);
}
