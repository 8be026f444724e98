// comparison.c - rows of a comparison: adding, ordering and naming them.
//
// Runs that differ in nothing but their seed form a group; options in which runs of one method differ become part of
// their setting.
#include "lethe/comparison.h"
#include "audit/audit_impl.h"
#include "lethe/unlearn.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

const char *lt_row_role_text(lt_row_role role)
{
    return role == LT_ROW_ORIGINAL ? "original" : role == LT_ROW_ORACLE ? "oracle" : "method";
}

// ---- rows

lt_status lt_comparison_add(lt_comparison *c, lt_comparison_row **row)
{
    lt_comparison_row *longer = lti_realloc(c->row, (size_t)(c->n + 1) * sizeof *longer);
    if (!longer)
        return LTI_NOMEM("comparison");
    c->row = longer;
    *row = &c->row[c->n++];
    **row = (lt_comparison_row){.uses_retain = -1,
                                .seconds = NAN,
                                .last_train_acc = NAN,
                                .effect = {.forget_acc = NAN,
                                           .retain_acc = NAN,
                                           .test_acc = NAN,
                                           .lr_area = NAN,
                                           .lr_area_default = NAN,
                                           .acc_f = NAN,
                                           .acc_r = NAN,
                                           .pair_acc = NAN},
                                .summary = {NAN, NAN, NAN}};
    return LT_OK;
}

static void clear_row(lt_comparison_row *r)
{
    lt_audit_report_destroy(r->report);
    lt_audited_clear(&r->audited);
    for (int i = 0; i < r->n_options; i++) {
        lti_free(r->option[i].key);
        lti_free(r->option[i].value);
    }
    lti_free(r->option);
    lti_free(r->run);
    lti_free(r->method);
    lti_free(r->seed);
    lti_free(r->name);
    lti_free(r->setting);
    lti_free(r->group);
}

void lt_comparison_drop_last(lt_comparison *c)
{
    if (c->n > 0)
        clear_row(&c->row[--c->n]);
}

// Of a run that was made from an original model.
static bool has_origin(const lt_comparison_row *r)
{
    return *r->identity.parent_digest && *r->identity.method;
}

static lt_status check_pair(const lt_comparison_row *a, const lt_comparison_row *b)
{
    const lt_model_identity *x = &a->identity, *y = &b->identity;
    if (strcmp(x->parent_digest, y->parent_digest) != 0) {
        LT_FAIL(LT_E_USAGE, "%s and %s were made from different original models (%.12s... and %.12s...)", a->run,
                b->run, x->parent_digest, y->parent_digest);
        return lt_error_hint("make one report for each original");
    }
    if (*x->data_digest && *y->data_digest && strcmp(x->data_digest, y->data_digest) != 0) {
        LT_FAIL(LT_E_USAGE, "%s and %s were trained on different data sets (%.12s... and %.12s...)", a->run, b->run,
                x->data_digest, y->data_digest);
        return lt_error_hint("make one report for each data set");
    }
    return LT_OK;
}

lt_status lt_comparison_check_originals(const lt_comparison *c)
{
    const lt_comparison_row *first = NULL;
    for (int i = 0; i < c->n; i++) {
        const lt_comparison_row *row = &c->row[i];
        if (has_origin(row) && first)
            LT_TRY(check_pair(first, row));
        if (has_origin(row) && !first)
            first = row;
    }
    for (int i = 0; i < c->n && first; i++) {
        const lt_comparison_row *row = &c->row[i];
        if (*row->method || !strcmp(row->identity.digest, first->identity.parent_digest))
            continue;
        LT_FAIL(LT_E_USAGE, "%s is not the original model that %s was made from (%.12s..., not %.12s...)", row->run,
                first->run, first->identity.parent_digest, row->identity.digest);
        return lt_error_hint("omit it: the original is found by itself");
    }
    return LT_OK;
}

lt_status lt_comparison_add_option(lt_comparison_row *row, const char *key, const char *value)
{
    lt_comparison_option *longer = lti_realloc(row->option, (size_t)(row->n_options + 1) * sizeof *longer);
    if (!longer)
        return LTI_NOMEM("comparison");
    row->option = longer;
    lt_comparison_option *o = &row->option[row->n_options];
    *o = (lt_comparison_option){lti_strdup(key), lti_strdup(value)};
    if (!o->key || !o->value) {
        lti_free(o->key);
        lti_free(o->value);
        return LTI_NOMEM("comparison");
    }
    row->n_options++;
    return LT_OK;
}

void lt_comparison_clear(lt_comparison *c)
{
    while (c->n > 0)
        lt_comparison_drop_last(c);
    lti_free(c->row);
    lti_free(c->oracle);
    lt_mia_set_clear(&c->attacks);
    lt_lint_clear(&c->lint);
    *c = (lt_comparison){0};
}

// ---- roles

static const lt_unlearn_method *find_method(const char *name)
{
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++)
        if (!strcmp((*m)->name, name))
            return *m;
    return NULL;
}

static lt_row_role role_of(const lt_comparison_row *r)
{
    const lt_unlearn_method *method = find_method(r->method ? r->method : "");
    if (!r->method || !*r->method)
        return LT_ROW_ORIGINAL;
    return method && (method->needs & LT_FROM_SCRATCH) ? LT_ROW_ORACLE : LT_ROW_METHOD;
}

static int rank_of(const lt_comparison_row *r)
{
    return r->role == LT_ROW_ORIGINAL ? 0 : r->role == LT_ROW_ORACLE ? 1 : 2;
}

void lt_comparison_sort(lt_comparison *c)
{
    for (int i = 0; i < c->n; i++)
        c->row[i].role = role_of(&c->row[i]);
    for (int i = 1; i < c->n; i++)
        for (int k = i; k > 0 && rank_of(&c->row[k]) < rank_of(&c->row[k - 1]); k--) {
            const lt_comparison_row t = c->row[k];
            c->row[k] = c->row[k - 1];
            c->row[k - 1] = t;
        }
}

// ---- names

// Methods that are not of this build keep their name, in capitals.
static char *name_of(const lt_comparison_row *r)
{
    const lt_unlearn_method *method = find_method(r->method ? r->method : "");
    if (r->role == LT_ROW_ORIGINAL)
        return lti_strdup("Original");
    if (method && method->label)
        return lti_strdup(method->label);
    char *name = lti_strdup(r->method);
    for (char *p = name; p && *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return name;
}

static const char *option_value(const lt_comparison_row *r, const char *key)
{
    for (int i = 0; i < r->n_options; i++)
        if (!strcmp(r->option[i].key, key))
            return r->option[i].value;
    return NULL;
}

static bool same_method(const lt_comparison_row *a, const lt_comparison_row *b)
{
    return a->role == b->role && !strcmp(a->method, b->method) && a->uses_retain == b->uses_retain;
}

// Only options that both have: runs of an earlier version lack some, and those of others are not known here.
static bool has_other_value(const lt_comparison_row *a, const lt_comparison_row *b, const char *key)
{
    const char *x = option_value(a, key), *y = option_value(b, key);
    return x && y && strcmp(x, y) != 0;
}

static bool differs(const lt_comparison *c, const lt_comparison_row *r, const char *key)
{
    for (int i = 0; i < c->n; i++)
        if (same_method(r, &c->row[i]) && has_other_value(r, &c->row[i], key))
            return true;
    return false;
}

// "key=value; ..." of the options in which the rows of this method differ. No commas: the comparison as CSV is read by
// scripts that split at them.
static void add_differing_options(const lt_comparison *c, const lt_comparison_row *r, lti_buf *b)
{
    for (int i = 0; i < r->n_options; i++) {
        const char *key = r->option[i].key, *dot = strncmp(key, "unlearn.", 8) ? NULL : strchr(key + 8, '.');
        if (differs(c, r, key))
            lti_buf_printf(b, "; %s=%s", dot ? dot + 1 : key, r->option[i].value);
    }
}

static char *setting_of(const lt_comparison *c, const lt_comparison_row *r)
{
    lti_buf b = {0};
    lti_buf_puts(&b, r->role == LT_ROW_ORIGINAL ? "before unlearning"
                     : r->role == LT_ROW_ORACLE ? "from scratch: the oracle"
                     : r->uses_retain == 1      ? "with retained data"
                                                : "forget data only");
    add_differing_options(c, r, &b);
    return lti_buf_take(&b);
}

lt_status lt_comparison_label(lt_comparison *c)
{
    for (int i = 0; i < c->n; i++) {
        lt_comparison_row *r = &c->row[i];
        r->name = name_of(r);
        r->setting = setting_of(c, r);
        r->group = r->name && r->setting ? lti_asprintf("%s|%s", r->name, r->setting) : NULL;
        if (!r->group)
            return LTI_NOMEM("comparison");
    }
    return LT_OK;
}
