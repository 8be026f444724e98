// areas.c - multiples of the default learning-rate area become areas: what the default is depends on method, access,
// augmentation, form and the share of the data that is forgotten, so on more than the text of a study.
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

static bool is_multiple(const lt_study_option *o, double *factor)
{
    return lti_same_key(o->key, "lr-area") && lti_study_multiple(o->value, factor);
}

static bool has_multiples(const lt_study_method *m)
{
    double factor;
    for (int k = 0; k < m->n_points; k++)
        for (int i = 0; i < m->point[k].n; i++)
            if (is_multiple(&m->point[k].option[i], &factor))
                return true;
    return false;
}

// Where settings are chosen, that is where the default is taken.
typedef struct tuning_set {
    lt_index_set forget, retain;
    lti_study_training recipe;
} tuning_set;

static lt_status open_tuning_set(const lt_study_runner *r, tuning_set *t)
{
    const lt_study_forget *f = &r->study->tuning.forget;
    LT_TRY(lti_study_recipe(r->study, &t->recipe));
    LT_TRY(lt_forget_parse(r->ds, f->spec, f->seed, &t->forget));
    return lt_index_set_complement(r->ds->split[LT_TRAIN].n, &t->forget, &t->retain);
}

static void close_tuning_set(tuning_set *t)
{
    lt_index_set_clear(&t->forget);
    lt_index_set_clear(&t->retain);
}

static lt_status set_options(lti_study_set *set, const lt_study_options *options)
{
    double factor;
    for (int i = 0; i < options->n; i++)
        if (!is_multiple(&options->option[i], &factor))
            LT_TRY(lt_optset_set(set->set, options->option[i].key, options->option[i].value, "study"));
    return LT_OK;
}

// Of one setting of a search: another batch or form may have another default.
static lt_status find_area(const lt_study_runner *r, const tuning_set *t, const lt_study_method *m, int access,
                           const lt_study_options *point, double *area)
{
    const lti_study_table table[] = {{"", m->method->opts, m->method->cfg_size}};
    const lt_unlearn_in in = {.ds = r->ds,
                              .forget = &t->forget,
                              .retain = &t->retain,
                              .use_retain = access == LT_ACCESS_RETAIN,
                              .train_cfg = &t->recipe.train,
                              .is_clipped = lt_clip_is_on(&t->recipe.clip)};
    lti_study_set set;
    LT_TRY(lti_study_set_open(table, 1, &set));
    lt_status status = set_options(&set, &m->options);
    if (status == LT_OK)
        status = set_options(&set, point);
    if (status == LT_OK)
        status = lt_unlearn_default_area(m->method, &in, set.cfg, area);
    lti_study_set_close(&set);
    if (status == LT_OK && isnan(*area))
        status = LT_FAIL(LT_E_USAGE, "%s:%d: lr-area: %s states no default area with access %s; give numbers",
                         lti_study_label(r->study), m->line, m->method->name, lt_access_text(access));
    return status;
}

static lt_status resolve_point(lt_study_runner *r, const tuning_set *t, int m, int access, lt_study_options *point)
{
    double factor, area;
    char text[LTI_NUMBER_MAX];
    const lt_study_method *method = &r->study->method[m];
    lt_study_option *option = lti_study_list(r, (size_t)point->n, sizeof *option);
    if (!option)
        return LTI_NOMEM("study");
    memcpy(option, point->option, (size_t)point->n * sizeof *option);
    for (int i = 0; i < point->n; i++) {
        if (!is_multiple(&option[i], &factor))
            continue;
        LT_TRY(find_area(r, t, method, access, point, &area));
        lti_format(text, sizeof text, "%.4g", factor * area);
        option[i].value = lti_study_text(r, "%s", text);
    }
    point->option = option;
    return r->failed ? LTI_NOMEM("study") : LT_OK;
}

static bool are_equal(const lt_study_options *a, const lt_study_options *b)
{
    bool equal = a->n == b->n;
    for (int i = 0; equal && i < a->n; i++)
        equal = !strcmp(a->option[i].key, b->option[i].key) && !strcmp(a->option[i].value, b->option[i].value);
    return equal;
}

static lt_status check_different(const lt_study_runner *r, int m, int access)
{
    const lt_study_method *method = &r->study->method[m];
    for (int k = 0; k < method->n_points; k++)
        for (int i = 0; i < k; i++)
            if (are_equal(lti_study_point(r, m, access, i), lti_study_point(r, m, access, k)))
                return LT_FAIL(LT_E_USAGE,
                               "%s:%d: lr-area: expected different values, but with the default area settings "
                               "%d and %d of %s are the same",
                               lti_study_label(r->study), method->line, i + 1, k + 1, method->name);
    return LT_OK;
}

static lt_status resolve_method(lt_study_runner *r, const tuning_set *t, int m, int access)
{
    const lt_study_method *method = &r->study->method[m];
    lt_study_options *point = lti_study_list(r, (size_t)method->n_points, sizeof *point);
    if (!point)
        return LTI_NOMEM("study");
    memcpy(point, method->point, (size_t)method->n_points * sizeof *point);
    r->point[m * LT_N_ACCESS + access] = point;
    for (int k = 0; k < method->n_points; k++)
        LT_TRY(resolve_point(r, t, m, access, &point[k]));
    return check_different(r, m, access);
}

lt_status lti_study_resolve_areas(lt_study_runner *r)
{
    tuning_set t = {0};
    bool is_open = false;
    lt_status status = LT_OK;
    r->point = lti_study_list(r, (size_t)r->study->n_methods * LT_N_ACCESS, sizeof *r->point);
    if (!r->point)
        return LTI_NOMEM("study");
    for (int m = 0; m < r->study->n_methods && status == LT_OK; m++)
        for (int a = 0; a < LT_N_ACCESS && status == LT_OK; a++) {
            r->point[m * LT_N_ACCESS + a] = r->study->method[m].point;
            if (!r->study->method[m].access[a] || !has_multiples(&r->study->method[m]))
                continue;
            status = is_open ? LT_OK : open_tuning_set(r, &t);
            is_open = true;
            if (status == LT_OK)
                status = resolve_method(r, &t, m, a);
        }
    close_tuning_set(&t);
    return status;
}

const lt_study_options *lti_study_point(const lt_study_runner *r, int method, int access, int point)
{
    return &r->point[method * LT_N_ACCESS + access][point];
}
