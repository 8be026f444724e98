// groups.c - named groups of samples.
#include "audit/audit_impl.h"
#include "lethe/class_audit.h"
#include "lethe/metric.h"
#include <math.h>
#include <string.h>

static const lt_sample_group table[LT_N_SAMPLE_GROUPS] = {
#define LT_X(id, name, title, stored, classes) {name, title, stored, classes},
#include "lethe/groups.list"
#undef LT_X
};

const lt_sample_group *lt_sample_group_get(lt_group_id id)
{
    return &table[id];
}

lt_status lt_sample_group_find(const char *name, lt_group_id *id)
{
    const char *names[LT_N_SAMPLE_GROUPS + 1] = {NULL};
    for (int i = 0; i < LT_N_SAMPLE_GROUPS; i++) {
        names[i] = table[i].name;
        if (lti_same_key(name, table[i].name)) {
            *id = (lt_group_id)i;
            return LT_OK;
        }
    }
    (void)LT_FAIL(LT_E_USAGE, "unknown group of samples '%s'", name);
    return lti_name_hint(name, names);
}

static void mark_forgotten_classes(const lt_signals *s, bool *forgotten)
{
    for (int c = 0; c < s->k; c++)
        forgotten[c] = false;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_FORGET)
            forgotten[s->label[i]] = true;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_RETAIN)
            forgotten[s->label[i]] = false;
}

int lt_forgotten_classes(const lt_signals *s, bool *forgotten)
{
    bool *own = forgotten ? NULL : lti_calloc((size_t)s->k, sizeof *own), *f = forgotten ? forgotten : own;
    int n = 0;
    if (!f)
        return 0;
    mark_forgotten_classes(s, f);
    for (int c = 0; c < s->k; c++)
        n += f[c];
    lti_free(own);
    return n;
}

int64_t lt_sample_group_rows(const lt_signals *s, lt_group_id id, uint8_t *in)
{
    const lt_sample_group *g = &table[id];
    int64_t n = 0;
    lti_class_units u;
    if (lti_class_units_make(s, &u) != LT_OK)
        return -1;
    for (int64_t i = 0; i < s->n; i++) {
        const bool is_forgotten = u.role[u.unit[i]] == LT_CLASS_FORGOTTEN;
        bool is_in = s->group[i] == (int8_t)g->stored;
        if (g->classes != LT_CLASSES_ALL)
            is_in = is_in && is_forgotten == (g->classes == LT_CLASSES_FORGOTTEN);
        if (in)
            in[i] = is_in;
        n += is_in;
    }
    lti_class_units_clear(&u);
    return n;
}

lt_status lt_sample_group_acc(const lt_signals *s, lt_group_id id, double *acc, int64_t *n)
{
    uint8_t *in = lti_calloc((size_t)s->n, 1);
    int64_t n_in = in ? lt_sample_group_rows(s, id, in) : -1, n_correct = 0;
    if (n_in < 0) {
        lti_free(in);
        return LTI_NOMEM("groups of samples");
    }
    for (int64_t i = 0; i < s->n; i++)
        n_correct += in[i] && lt_signals_predicted(s, i) == s->label[i];
    *acc = n_in > 0 ? (double)n_correct / (double)n_in : (double)NAN;
    if (n)
        *n = n_in;
    lti_free(in);
    return LT_OK;
}
