// lint.c - what makes a study say less than it seems to, and what its audits say.
#include "study/runner_impl.h"
#include <string.h>

static lt_status check_seeds(const lt_study *y, lt_lint *lint)
{
    const lt_severity w = LT_LINT_WARNING;
    if (y->bases.n == 1)
        LT_TRY(
            lt_lint_add(lint, "single-seed", w, "one original model: how much the metrics depend on it is not known"));
    if (y->n_forget == 1)
        LT_TRY(lt_lint_add(lint, "single-forget-set", w,
                           "one forget set: how much the metrics depend on it is not known"));
    if (y->bases.n * y->n_forget == 1)
        LT_TRY(lt_lint_add(lint, "no-interval", w,
                           "one original model and one forget set: there are no intervals of the means"));
    if (y->oracles.seeds.n == 1)
        LT_TRY(
            lt_lint_add(lint, "single-oracle", w, "one oracle per forget set: there is no null band and no verdict"));
    if (y->oracles.shared && y->bases.n > 1)
        LT_TRY(lt_lint_add(lint, "shared-oracles", w,
                           "original models are compared with the same oracles: their gaps are not independent"));
    return LT_OK;
}

static lt_status check_tuning(const lt_study *y, lt_lint *lint)
{
    int least = -1, most = 0;
    for (int m = 0; m < y->n_methods; m++) {
        const int n = y->method[m].n_points;
        least = least < 0 || n < least ? n : least;
        most = n > most ? n : most;
    }
    if (most > 0 && y->tuning.uses_oracle)
        LT_TRY(
            lt_lint_add(lint, "tuning-used-oracle", LT_LINT_WARNING,
                        "tuning used the oracle: settings were chosen by %s, with retrained models, which nobody who "
                        "needs unlearning has",
                        y->tuning.objective));
    if (least != most)
        LT_TRY(lt_lint_add(lint, "unequal-tuning", LT_LINT_WARNING,
                           "methods were tuned with different numbers of settings, %d to %d", least, most));
    return LT_OK;
}

// The check is that of the registry, asked once; the methods stand in front of what it says.
static lt_status check_areas(const lt_study *y, lt_study_result *x)
{
    lt_lint said = {0};
    lti_buf names = {0};
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].tuned_on_oracle)
            lti_buf_printf(&names, "%s%s (%s)", names.n ? ", " : "", x->summary[i].method, x->summary[i].access);
    if (!names.n)
        return LT_OK;
    const lt_lint_in in = {.role = LT_LINT_OF_UNLEARNED, .area_chosen_by = y->tuning.objective};
    lt_status status = lt_lint_run(&in, &said);
    for (int i = 0; i < said.n && status == LT_OK; i++)
        status = lt_lint_add(&x->lint, said.item[i].id, said.item[i].severity, "%s: %s", names.data ? names.data : "",
                             said.item[i].text);
    lt_lint_clear(&said);
    lti_buf_clear(&names);
    return status;
}

// ---- what audits say of runs, counted by check

typedef struct said {
    const char *id, *text, *run; // text: of the first, `run`
    int n;
} said;
typedef struct said_list {
    lti_arena arena;
    int n, capacity;
    said *item;
} said_list;

// shared: said of the study as a whole ("shared-oracles")
static lt_status count_item(const json_t *item, const char *run, bool shared, said_list *list)
{
    const char *id = lti_json_text_at(item, "id");
    if (shared && !strcmp(id, LT_LINT_OTHER_ORIGINAL))
        return LT_OK;
    for (int i = 0; i < list->n; i++)
        if (!strcmp(list->item[i].id, id)) {
            list->item[i].n++;
            return LT_OK;
        }
    if (list->n == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 16;
        said *more = lti_arena_alloc(&list->arena, (size_t)capacity * sizeof *more);
        if (!more)
            return LTI_NOMEM("warnings");
        if (list->n)
            memcpy(more, list->item, (size_t)list->n * sizeof *more);
        list->item = more;
        list->capacity = capacity;
    }
    list->item[list->n++] = (said){id, lti_json_text_at(item, "text"), run, 1};
    return LT_OK;
}

// Within the study's directory runs/: METHOD/ACCESS/RUN.
static const char *run_of(const json_t *audit)
{
    static const char dir[] = "/runs/";
    const char *run = lti_json_text_at(audit, "run"), *inner = strstr(run, dir);
    return inner ? inner + sizeof dir - 1 : run;
}

static lt_status count_audit(const json_t *audit, bool shared, said_list *list)
{
    const json_t *also = json_object_get(audit, "also");
    for (size_t k = 0; k < json_array_size(also); k++) {
        const json_t *one = json_array_get(also, k), *items = json_object_get(one, "lint");
        for (size_t i = 0; i < json_array_size(items); i++)
            LT_TRY(count_item(json_array_get(items, i), run_of(one), shared, list));
    }
    return LT_OK;
}

// Severities are those of the registry of checks; what audits say besides is a warning.
static lt_severity severity_of(const char *id)
{
    for (const lt_lint_check *const *check = lt_lint_checks(); *check; check++)
        if (!strcmp((*check)->id, id))
            return (*check)->severity;
    return LT_LINT_WARNING;
}

static lt_status add_said(lt_study_result *x, const said *s)
{
    enum { MAX_TEXT = 512 };
    char text[MAX_TEXT];
    lti_format(text, sizeof text, "%d audited run%s (%s%s): %s", s->n, s->n == 1 ? "" : "s",
               s->n == 1 ? "" : "such as ", s->run, s->text);
    return lt_lint_add(&x->lint, lti_result_copy(x, s->id), severity_of(s->id), "%s", text);
}

lt_status lti_study_lint(const lt_study *study, const json_t *audits, lt_study_result *x)
{
    said_list list = {0};
    LT_TRY(check_seeds(study, &x->lint));
    LT_TRY(check_tuning(study, &x->lint));
    LT_TRY(check_areas(study, x));
    lt_status status = LT_OK;
    for (size_t i = 0; i < json_array_size(audits) && status == LT_OK; i++)
        status = count_audit(json_array_get(audits, i), study->oracles.shared, &list);
    for (int i = 0; i < list.n && status == LT_OK; i++)
        status = add_said(x, &list.item[i]);
    lti_arena_clear(&list.arena);
    return status;
}
