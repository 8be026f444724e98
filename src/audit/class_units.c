// class_units.c - which classes and subclasses were forgotten as a whole.
//
// A request for a subclass leaves its label in place: the retrained model still knows the label, from its other
// subclasses. Audits treat the forgotten subclass as a class of its own, whose outputs are those of all labels.
#include "audit/audit_impl.h"
#include "lethe/class_audit.h"
#include <stdlib.h>

typedef struct subclass { // one of the finer classes that occur
    int64_t id;
    int32_t label;
    bool is_forgotten, is_retained;
} subclass;

static int compare_subclass(const void *a, const void *b)
{
    const int64_t x = ((const subclass *)a)->id, y = ((const subclass *)b)->id;
    return (x > y) - (x < y);
}

// Those that occur, ascending; returns their number. list: (n) room for all samples.
static int64_t list_subclasses(const lt_signals *s, subclass *list)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        list[i] = (subclass){s->subclass[i], (int32_t)s->label[i], s->group[i] == LT_GROUP_FORGET,
                             s->group[i] == LT_GROUP_RETAIN};
    qsort(list, (size_t)s->n, sizeof *list, compare_subclass);
    for (int64_t i = 0; i < s->n; i++) {
        if (n == 0 || list[n - 1].id != list[i].id) {
            list[n++] = list[i];
            continue;
        }
        list[n - 1].is_forgotten |= list[i].is_forgotten;
        list[n - 1].is_retained |= list[i].is_retained;
    }
    return n;
}

static lt_status allocate(const lt_signals *s, int64_t n_units, lti_class_units *u)
{
    u->unit = lti_calloc((size_t)s->n + 1, sizeof *u->unit);
    u->role = lti_calloc((size_t)n_units, sizeof *u->role);
    u->label = lti_calloc((size_t)n_units, sizeof *u->label);
    u->subclass = lti_calloc((size_t)n_units, sizeof *u->subclass);
    return u->unit && u->role && u->label && u->subclass ? LT_OK : LTI_NOMEM("classes");
}

// Keeps in list those that are units of their own: forgotten, not retained, of a label that is retained. A request that
// also has parts of subclasses is none of subclasses: random samples may well be all of a small one.
static int64_t keep_forgotten(const uint8_t *role, subclass *list, int64_t n)
{
    int64_t n_kept = 0;
    for (int64_t i = 0; i < n; i++) {
        if (list[i].is_forgotten && list[i].is_retained)
            return 0;
        if (list[i].is_forgotten && role[list[i].label] == LT_CLASS_KEPT)
            list[n_kept++] = list[i];
    }
    return n_kept;
}

static void fill(const lt_signals *s, const subclass *list, int64_t n_list, lti_class_units *u)
{
    u->n = s->k + (int)n_list;
    u->n_forgotten = lt_signals_class_roles(s, u->role) + (int)n_list;
    for (int i = 0; i < u->n; i++) {
        const bool is_label = i < s->k;
        u->label[i] = is_label ? i : list[i - s->k].label;
        u->subclass[i] = is_label ? -1 : list[i - s->k].id;
        u->role[i] = is_label ? u->role[i] : LT_CLASS_FORGOTTEN;
    }
    for (int64_t i = 0; i < s->n; i++) {
        u->unit[i] = (int32_t)s->label[i];
        if (n_list == 0)
            continue;
        const subclass wanted = {.id = s->subclass[i]};
        const subclass *found = bsearch(&wanted, list, (size_t)n_list, sizeof *list, compare_subclass);
        if (found)
            u->unit[i] = s->k + (int32_t)(found - list);
    }
}

lt_status lti_class_units_make(const lt_signals *s, lti_class_units *u)
{
    subclass *list = NULL;
    uint8_t *role = NULL;
    int64_t n = 0;
    *u = (lti_class_units){0};
    lt_status status = LT_OK;
    if (s->subclass) {
        list = lti_calloc((size_t)s->n + 1, sizeof *list);
        role = lti_calloc((size_t)s->k, sizeof *role);
        status = list && role ? LT_OK : LTI_NOMEM("subclasses");
        if (status == LT_OK) {
            lt_signals_class_roles(s, role);
            n = keep_forgotten(role, list, list_subclasses(s, list));
        }
    }
    if (status == LT_OK)
        status = allocate(s, s->k + n, u);
    if (status == LT_OK)
        fill(s, list, n, u);
    else
        lti_class_units_clear(u);
    lti_free(list);
    lti_free(role);
    return status;
}

void lti_class_units_clear(lti_class_units *u)
{
    lti_free(u->unit);
    lti_free(u->role);
    lti_free(u->label);
    lti_free(u->subclass);
    *u = (lti_class_units){0};
}

int lt_signals_forgotten_subclasses(const lt_signals *s)
{
    lti_class_units u;
    if (lti_class_units_make(s, &u) != LT_OK)
        return -1;
    const int n = u.n - s->k;
    lti_class_units_clear(&u);
    return n;
}
