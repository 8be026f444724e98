// match_rows.c - outputs of the same samples in another order, brought into the order of the audited model.
//
// Samples are matched by id. Where ids are unique within their group only, as in files of a training and a test split
// that are both numbered from 0, by group and id.
#include "audit/audit_impl.h"
#include <stdlib.h>
#include <string.h>

typedef struct sample {
    int group; // 0 where ids alone tell samples apart
    int64_t id, row;
} sample;

static int compare_samples(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int compare_rows(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    const int by_sample = compare_samples(a, b);
    return by_sample ? by_sample : (x->row > y->row) - (x->row < y->row);
}

static void sort_samples(const lti_row_keys *rows, bool by_group, sample *list)
{
    for (int64_t i = 0; i < rows->n; i++)
        list[i] = (sample){.group = by_group ? rows->group[i] : 0, .id = rows->id[i], .row = i};
    qsort(list, (size_t)rows->n, sizeof *list, compare_rows);
}

// The first of two equal entries of a sorted list, or NULL.
static const sample *find_repeated(const sample *list, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (compare_samples(&list[i - 1], &list[i]) == 0)
            return &list[i - 1];
    return NULL;
}

static lt_status refuse_repeated(const char *label, const char *whose, const sample *twice)
{
    return LT_FAIL(LT_E_FORMAT,
                   "%s: array 'ids': its rows are not in the order of the audited model and cannot be matched: id %lld "
                   "occurs twice%s (rows %lld and %lld)",
                   label, (long long)twice->id, whose, (long long)twice[0].row, (long long)twice[1].row);
}

static lt_status look_up(const char *label, const lt_signals *target, const sample *list, int64_t n, bool by_group,
                         int64_t *from)
{
    for (int64_t i = 0; i < target->n; i++) {
        const sample wanted = {.group = by_group ? target->group[i] : 0, .id = target->id[i]};
        const sample *found = bsearch(&wanted, list, (size_t)n, sizeof *list, compare_samples);
        if (!found && by_group)
            return LT_FAIL(LT_E_FORMAT,
                           "%s: array 'ids': expected the samples of the audited model, found no id %lld in group %d "
                           "(row %lld of the audited model)",
                           label, (long long)wanted.id, wanted.group, (long long)i);
        if (!found)
            return LT_FAIL(LT_E_FORMAT,
                           "%s: array 'ids': expected the samples of the audited model, found no id %lld (row %lld of "
                           "the audited model)",
                           label, (long long)wanted.id, (long long)i);
        from[i] = found->row;
    }
    return LT_OK;
}

// list: room for the rows of either side.
static lt_status match(const lt_signals *target, const lti_row_keys *rows, const char *label, sample *list,
                       int64_t *from)
{
    const lti_row_keys own = {target->n, target->id, target->group};
    const sample *twice;
    sort_samples(&own, false, list);
    twice = find_repeated(list, target->n);
    const bool by_group = twice;
    if (by_group && !rows->group) {
        (void)refuse_repeated(label, " in the audited model", twice);
        return lt_error_hint("with an array 'group' ids are matched within their group");
    }
    if (by_group) {
        sort_samples(&own, true, list);
        if ((twice = find_repeated(list, target->n)))
            return refuse_repeated(label, " in a group of the audited model", twice);
    }
    sort_samples(rows, by_group, list);
    if ((twice = find_repeated(list, rows->n)))
        return refuse_repeated(label, by_group ? " in its group" : "", twice);
    return look_up(label, target, list, rows->n, by_group, from);
}

static bool is_in_order(const lt_signals *target, const lti_row_keys *rows)
{
    return !memcmp(rows->id, target->id, (size_t)target->n * sizeof *target->id);
}

lt_status lti_match_rows(const lt_signals *target, const lti_row_keys *rows, const char *label, int64_t **from)
{
    *from = NULL;
    if (rows->n != target->n)
        return LT_FAIL(LT_E_FORMAT,
                       "%s: expected the samples, labels and groups of the audited model (%lld rows), found others "
                       "(%lld rows)",
                       label, (long long)target->n, (long long)rows->n);
    if (is_in_order(target, rows)) // nor need ids be unique then
        return LT_OK;
    sample *list = lti_calloc((size_t)target->n, sizeof *list);
    int64_t *row = lti_calloc((size_t)target->n, sizeof *row);
    lt_status status = list && row ? match(target, rows, label, list, row) : LTI_NOMEM("rows of outputs");
    lti_free(list);
    if (status != LT_OK)
        lti_free(row);
    else
        *from = row;
    return status;
}

// ---- signals

// scratch: room for the array, which may be NULL.
static void move_rows(void *array, size_t row_bytes, int64_t n, const int64_t *from, char *scratch)
{
    if (!array)
        return;
    memcpy(scratch, array, (size_t)n * row_bytes);
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)array + (size_t)i * row_bytes, scratch + (size_t)from[i] * row_bytes, row_bytes);
}

static lt_status move_signals(lt_signals *s, const int64_t *from)
{
    const size_t logits_row = (size_t)s->k * sizeof *s->logits, id_row = sizeof *s->id;
    char *scratch = lti_malloc((size_t)s->n * (logits_row > id_row ? logits_row : id_row));
    if (!scratch)
        return LTI_NOMEM("rows of outputs");
    move_rows(s->logits, logits_row, s->n, from, scratch);
    move_rows(s->label, sizeof *s->label, s->n, from, scratch);
    move_rows(s->id, id_row, s->n, from, scratch);
    move_rows(s->group, sizeof *s->group, s->n, from, scratch);
    move_rows(s->subclass, sizeof *s->subclass, s->n, from, scratch);
    lti_free(scratch);
    return LT_OK;
}

lt_status lt_signals_match(const lt_signals *target, const char *label, lt_signals *s)
{
    int64_t *from;
    LT_TRY(lti_match_rows(target, &(lti_row_keys){s->n, s->id, s->group}, label, &from));
    const lt_status status = from ? move_signals(s, from) : LT_OK;
    lti_free(from);
    LT_TRY(status);
    for (int64_t i = 0; i < s->n; i++)
        if (s->label[i] != target->label[i] || s->group[i] != target->group[i])
            return LT_FAIL(LT_E_FORMAT,
                           "%s: expected the samples, labels and groups of the audited model, found id %lld with label "
                           "%lld in group %d instead of label %lld in group %d",
                           label, (long long)s->id[i], (long long)s->label[i], s->group[i], (long long)target->label[i],
                           target->group[i]);
    if (s->k != target->k)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected %d classes as in the audited model, found %d", label,
                       target->k, s->k);
    return LT_OK;
}
