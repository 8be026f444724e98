// progress.c - how far a study is: the jobs that have ended, and of those that run the share that their runs tell.
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

bool lti_study_makes_run(const lti_study_job *j)
{
    return j->kind == LT_STUDY_BASE || j->kind == LT_STUDY_ORACLE || j->kind == LT_STUDY_TRIAL ||
           j->kind == LT_STUDY_RUN;
}

// What a run says in progress.json of its training. A search or an evaluation has a count of its own, which starts at 0
// again: of those nothing is known. What cannot be read is passed over.
static double read_share(const lt_study_runner *r, const lti_study_job *j)
{
    char dir[LTI_STUDY_PATH];
    json_t *said = NULL;
    double share = 0;
    lti_study_path(r, NULL, j->id, "", dir);
    if (lti_json_load_optional(dir, "progress.json", &said) != LT_OK)
        lt_error_clear();
    if (!strcmp(lti_json_text_at(said, "event"), "train.progress"))
        share = lti_json_real_at(said, "done") / lti_json_real_at(said, "total");
    json_decref(said);
    return share >= 0 && share <= 1 ? share : 0;
}

static double share_of(const lt_study_runner *r, lti_study_job *j)
{
    if (lti_study_has_ended(j))
        return 1;
    if (j->state != LT_STUDY_RUNNING || !lti_study_makes_run(j))
        return 0;
    j->share = fmax(j->share, read_share(r, j)); // a second training of the same job does not lead back
    return j->share;
}

void lti_study_report_progress(lt_study_runner *r, bool force, double *last_s)
{
    enum { N_FIELDS = 3 };
    const double often_s = 0.2, now = lti_now_s();
    double done = 0, total = 0;
    int n_ended = 0, n_running = 0;
    if (!force && now - *last_s < often_s)
        return;
    *last_s = now;
    for (int i = 0; i < r->n_jobs; i++) {
        lti_study_job *j = &r->job[i];
        n_ended += lti_study_has_ended(j);
        n_running += j->state == LT_STUDY_RUNNING;
        total += j->passes;
        done += share_of(r, j) * j->passes;
    }
    const lt_field fields[N_FIELDS] = {{"parts", n_ended}, {"of", r->n_jobs}, {"running", n_running}};
    lt_emit(r->order.events, &(lt_event){.kind = LT_EV_PROGRESS,
                                         .name = "sweep.parts",
                                         .done = (int64_t)done,
                                         .total = (int64_t)total,
                                         .unit = "samples",
                                         .epoch = -1,
                                         .step = -1,
                                         .fields = fields,
                                         .n_fields = N_FIELDS});
}
