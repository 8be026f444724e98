// lint.c - the registry of checks, the list they write, and what several of them count.
#include "audit/lint/lint_impl.h"
#include "io/json_read.h"
#include "lethe/unlearn.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>

static const lt_lint_check *const table[] = {
#define LT_X(name) &lti_lint_##name,
#include "audit/lint/checks.list"
#undef LT_X
    NULL,
};

const lt_lint_check *const *lt_lint_checks(void)
{
    return table;
}

const char *lt_severity_text(lt_severity severity)
{
    return severity == LT_LINT_ERROR ? "error" : severity == LT_LINT_WARNING ? "warning" : "note";
}

// ---- the list

static lt_status add_item(lt_lint *lint, const char *id, lt_severity severity, char *text)
{
    lt_lint_item *longer = text ? lti_realloc(lint->item, (size_t)(lint->n + 1) * sizeof *longer) : NULL;
    if (!longer) {
        lti_free(text);
        return LTI_NOMEM("lint");
    }
    lint->item = longer;
    lint->item[lint->n++] = (lt_lint_item){id, severity, text};
    return LT_OK;
}

static lt_status add_formatted(lt_lint *lint, const char *id, lt_severity severity, const char *fmt, va_list args)
{
    char text[512];
    lti_vformat(text, sizeof text, fmt, args);
    return add_item(lint, id, severity, lti_strdup(text));
}

lt_status lt_lint_add(lt_lint *lint, const char *id, lt_severity severity, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const lt_status status = add_formatted(lint, id, severity, fmt, args);
    va_end(args);
    return status;
}

lt_status lt_lint_copy(lt_lint *lint, const lt_lint_item *item)
{
    return add_item(lint, item->id, item->severity, lti_strdup(item->text));
}

bool lt_lint_has(const lt_lint *lint, const lt_lint_item *item)
{
    for (int i = 0; i < lint->n; i++)
        if (lint->item[i].severity == item->severity && !strcmp(lint->item[i].id, item->id) &&
            !strcmp(lint->item[i].text, item->text))
            return true;
    return false;
}

lt_severity lt_lint_worst(const lt_lint *lint)
{
    lt_severity worst = LT_LINT_NOTE;
    for (int i = 0; i < lint->n; i++)
        worst = lint->item[i].severity > worst ? lint->item[i].severity : worst;
    return worst;
}

void lt_lint_clear(lt_lint *lint)
{
    for (int i = 0; i < lint->n; i++)
        lti_free(lint->item[i].text);
    lti_free(lint->item);
    *lint = (lt_lint){0};
}

// ---- checks

lt_status lt_lint_say(lt_lint_out *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const lt_status status = add_formatted(out->lint, out->check->id, out->check->severity, fmt, args);
    va_end(args);
    return status;
}

lt_status lt_lint_run(const lt_lint_in *in, lt_lint *lint)
{
    for (const lt_lint_check *const *check = table; *check; check++) {
        lt_lint_out out = {*check, lint};
        if ((*check)->roles & (unsigned)in->role)
            LT_TRY((*check)->run(in, &out));
    }
    return LT_OK;
}

// ---- identity of a model

static const char *meta_of(const lt_model *m, const char *key)
{
    for (int i = 0; i < m->n_meta; i++)
        if (!strcmp(m->meta[i].key, key))
            return m->meta[i].value;
    return "";
}

static const lt_unlearn_method *find_method(const char *name)
{
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++)
        if (!strcmp((*m)->name, name))
            return *m;
    return NULL;
}

const lt_unlearn_method *lti_lint_method(const lt_lint_in *in)
{
    return find_method(in->model.identity.method);
}

// 0 = the recipe does not say it.
static int64_t batch_of(const char *recipe)
{
    json_error_t error;
    json_t *root = lti_json_parse(recipe, strlen(recipe), 0, &error);
    const char *text = lti_json_text_at(root, "batch");
    const int64_t batch = *text ? strtoll(text, NULL, 10) : 0;
    json_decref(root);
    return batch;
}

void lt_model_identify(const lt_model *model, lt_model_identity *out)
{
    *out = (lt_model_identity){.known = true, .has_batch_norm = model->n_state > 0};
    lt_model_digest(model, out->digest);
    lti_format(out->spec, sizeof out->spec, "%s", model->spec);
    lti_format(out->method, sizeof out->method, "%s", meta_of(model, "lethe.method"));
    lti_format(out->parent_digest, sizeof out->parent_digest, "%s", meta_of(model, "lethe.parent_digest"));
    lti_format(out->forget_digest, sizeof out->forget_digest, "%s", meta_of(model, "lethe.forget_digest"));
    lti_format(out->data_digest, sizeof out->data_digest, "%s", meta_of(model, "lethe.data_digest"));
    out->batch = batch_of(meta_of(model, "lethe.recipe"));
    const lt_unlearn_method *method = find_method(out->method);
    out->retrained = method && (method->needs & LT_FROM_SCRATCH);
}

// ---- one sample on both sides of an attack

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Ids of the group, sorted; returns their number.
static int64_t sorted_ids(const lt_signals *s, int group, int64_t *id)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == group)
            id[n++] = s->id[i];
    qsort(id, (size_t)n, sizeof *id, compare_ids);
    return n;
}

int64_t lti_count_common_ids(const lt_signals *s, int group, int other)
{
    int64_t *a = lti_calloc((size_t)s->n, sizeof *a), *b = lti_calloc((size_t)s->n, sizeof *b), n = -1;
    if (a && b) {
        const int64_t n_a = sorted_ids(s, group, a), n_b = sorted_ids(s, other, b);
        n = 0;
        for (int64_t i = 0, j = 0; i < n_a; i++) {
            while (j < n_b && b[j] < a[i])
                j++;
            n += group == other ? i > 0 && a[i] == a[i - 1] : j < n_b && b[j] == a[i];
        }
    }
    lti_free(a);
    lti_free(b);
    return n;
}

typedef struct output {
    const float *z;
    size_t bytes;
    int8_t group;
} output;

static int compare_outputs(const void *a, const void *b)
{
    const output *x = a, *y = b;
    return memcmp(x->z, y->z, x->bytes);
}

void lti_count_equal_outputs(const lt_signals *s, int64_t found[3])
{
    output *all = lti_calloc((size_t)s->n, sizeof *all);
    int64_t n_distinct = 0;
    found[0] = found[1] = found[2] = 0;
    if (!all) {
        found[0] = -1;
        return;
    }
    for (int64_t i = 0; i < s->n; i++)
        all[i] = (output){s->logits + i * s->k, (size_t)s->k * sizeof(float), s->group[i]};
    qsort(all, (size_t)s->n, sizeof *all, compare_outputs);
    for (int64_t i = 0, end; i < s->n; i = end, n_distinct++) {
        int64_t count[3] = {0};
        for (end = i; end < s->n && compare_outputs(&all[i], &all[end]) == 0; end++)
            count[all[end].group]++;
        for (int g = 0; g < 3; g++)
            found[g] += g != LT_GROUP_FORGET && count[g] ? count[LT_GROUP_FORGET] : 0;
    }
    lti_free(all);
    if (2 * n_distinct < s->n)
        found[0] = found[1] = found[2] = 0;
}

// ---- what a run did

bool lti_forgets_classes(const lt_signals *s)
{
    bool some = false;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] != LT_GROUP_FORGET)
            continue;
        some = true;
        for (int64_t j = 0; j < s->n; j++)
            if (s->group[j] == LT_GROUP_RETAIN && s->label[j] == s->label[i])
                return false;
    }
    return some;
}

double lti_mean_retrained_acc(const lt_lint_in *in, int group)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < in->n_retrained; i++)
        if (in->retrained[i].signals) {
            sum += lt_signals_acc(in->retrained[i].signals, group);
            n++;
        }
    return n ? sum / n : (double)NAN;
}
