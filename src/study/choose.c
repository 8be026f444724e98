// choose.c - what a search is judged by, and the choice.
//
// gap-mis, gap-auc, gap-ATTACK: the average gap [AMUN 7.6] to the oracles of the tuning forget set. It uses models
// that are not available where unlearning is needed, so a table made with it says so.
// no-oracle: |FT AUC of phi - 1/2| + loss of test accuracy + loss of retain accuracy against the original model. An
// attack that cannot tell forgotten from test samples is what unlearning is for, and the original model is available;
// accuracies above the original's do not count. Ours: no paper is followed.
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

static double loss_of(const json_t *base, const json_t *figures, const char *key)
{
    const double loss = lti_json_real_at(base, key) - lti_json_real_at(figures, key);
    return loss < 0 ? 0 : loss; // NaN stays
}

double lti_study_objective(const char *objective, const json_t *base, const json_t *figures)
{
    char path[LT_METRIC_PATH];
    if (!strcmp(objective, "no-oracle"))
        return fabs(lti_json_real_at(figures, "auc.phi.ft") - 0.5) + loss_of(base, figures, "ta") +
               loss_of(base, figures, "ra");
    if (!strcmp(objective, "gap-mis"))
        return lti_json_real_at(figures, "avg_gap");
    if (!strcmp(objective, "gap-auc"))
        return lti_json_real_at(figures, "avg_gap_auc");
    lti_format(path, sizeof path, "%s.avg_gap", objective + strlen("gap-")); // gap-ATTACK
    return lti_json_real_at(figures, path);
}

// Passes of search, mask and update together; NAN for a run that was not finished.
static double count_passes(const json_t *result, const char *direction)
{
    static const char *const stage[] = {"search", "mask", "update"};
    char path[LT_METRIC_PATH];
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        lti_format(path, sizeof path, "passes.%s.%s", stage[i], direction);
        sum += lti_json_real_at(result, path);
    }
    return sum;
}

static void fill_trial(lt_study_runner *r, const lti_study_job *j, const json_t *figures, lt_study_trial *t)
{
    const lt_study_method *m = &r->study->method[j->method];
    json_t *result = lti_study_load_result(r, j->id);
    *t = (lt_study_trial){
        .method = m->name,
        .access = lt_access_text(j->access),
        .options = lti_study_options_text(&r->arena, lti_study_point(r, j->method, j->access, j->point), NULL),
        .run = j->id,
        .error = j->state == LT_STUDY_DONE ? "" : j->error,
        .point = j->point,
        .is_random = j->point >= m->n_grid,
        .value = (double)NAN,
        .ua = lti_json_real_at(figures, "ua"),
        .ra = lti_json_real_at(figures, "ra"),
        .ta = lti_json_real_at(figures, "ta"),
        .mis = lti_json_real_at(figures, "svc_mia.confidence"),
        .phi_ft_auc = lti_json_real_at(figures, "auc.phi.ft"),
        .gap_mis = lti_json_real_at(figures, "avg_gap"),
        .gap_auc = lti_json_real_at(figures, "avg_gap_auc"),
        .n_forward = count_passes(result, "forward"),
        .n_backward = count_passes(result, "backward"),
        .update_s = lti_json_real_at(result, "time.update_s"),
        .state = j->state};
    r->failed = r->failed || !t->options;
    json_decref(result);
}

// Room for the trials of one search, in the order of the study, whatever ended first; earlier ones of it are replaced.
static lt_study_trial *place_trials(lt_study_runner *r, const lti_study_job *choice)
{
    const lt_study *y = r->study;
    const lt_study_method *own = &y->method[choice->method];
    int at = 0;
    for (int m = 0; m < y->n_methods; m++)
        for (int a = 0; a < LT_N_ACCESS; a++) {
            const bool before = m < choice->method || (m == choice->method && a < choice->access);
            for (int i = at; before && i < r->n_trials; i++)
                at += !strcmp(r->trial[i].method, y->method[m].name) && !strcmp(r->trial[i].access, lt_access_text(a));
        }
    const bool known = at < r->n_trials && !strcmp(r->trial[at].method, own->name) &&
                       !strcmp(r->trial[at].access, lt_access_text(choice->access));
    if (!known) {
        memmove(&r->trial[at + own->n_points], &r->trial[at], (size_t)(r->n_trials - at) * sizeof *r->trial);
        r->n_trials += own->n_points;
    }
    return &r->trial[at];
}

// The audit lists the settings that gave a model in their order. The first of equal settings is taken.
static lt_status choose_point(lt_study_runner *r, const lti_study_job *choice, const json_t *audit)
{
    const json_t *also = json_object_get(audit, "also");
    lt_study_trial *trial = place_trials(r, choice), *best = NULL;
    size_t at = 0;
    int *chosen = &r->chosen[choice->method * LT_N_ACCESS + choice->access];
    *chosen = -1;
    for (int i = 0; i < choice->n_needs; i++) {
        const lti_study_job *j = &r->job[choice->need[i].job];
        if (j->kind != LT_STUDY_TRIAL)
            continue;
        const json_t *figures = j->state == LT_STUDY_DONE ? json_array_get(also, at++) : NULL;
        fill_trial(r, j, figures, trial);
        if (figures)
            trial->value = lti_study_objective(r->study->tuning.objective, audit, figures);
        if (trial->value < (best ? best->value : INFINITY)) {
            best = trial;
            *chosen = j->point;
        }
        trial++;
    }
    if (r->failed)
        return LTI_NOMEM(choice->id);
    if (at != json_array_size(also))
        return LT_FAIL(LT_E_INTEGRITY, "%s.json: expected metrics of %zu runs, found %zu", choice->id, at,
                       json_array_size(also));
    if (!best)
        return LT_FAIL(LT_E_CHECK, "%s: no setting has a finite objective %s", choice->id, r->study->tuning.objective);
    best->is_chosen = true;
    return LT_OK;
}

lt_status lti_study_choose(lt_study_runner *r, const lti_study_job *choice)
{
    char path[LTI_STUDY_PATH];
    json_t *audit = NULL;
    LT_TRY(lti_json_load(lti_study_path(r, NULL, choice->id, ".json", path), &audit));
    const lt_status status = choose_point(r, choice, audit);
    json_decref(audit);
    return status;
}
