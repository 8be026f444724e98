// check.c - what a job finds when its turn comes: its needs, and whether it is finished already.
#include "study/runner_impl.h"
#include <string.h>

bool lti_study_judges(const lti_study_job *j)
{
    return j->kind == LT_STUDY_CHOICE || j->kind == LT_STUDY_AUDIT;
}

void lti_study_settle(lt_study_runner *r, lti_study_job *j, lt_study_state state, const char *error)
{
    j->state = state;
    if (error)
        j->error = lti_study_text(r, "%s", error);
}

static bool is_fresh(const lt_study_runner *r, const lti_study_job *j, const lti_study_record *record)
{
    return record->same && !strcmp(record->state, lt_study_state_text(LT_STUDY_DONE)) &&
           (j->kind == LT_STUDY_REFERENCES || lti_study_is_made(r, j));
}

// The models are only wanted for their outputs; whether they are all in the store is the store's business.
static lt_status check_outputs(lt_study_runner *r, bool *fresh)
{
    *fresh = true;
    for (int i = 0; i < r->n_jobs && *fresh; i++) {
        lti_study_record record;
        lti_study_job *j = &r->job[i];
        if (j->kind != LT_STUDY_OUTPUTS)
            continue;
        LT_TRY(lti_study_identify(r, j, &j->identity));
        lti_study_load_record(r, j, &record);
        *fresh = is_fresh(r, j, &record);
    }
    return LT_OK;
}

static int count_done(const lt_study_runner *r, const lti_study_job *j, lt_study_kind kind)
{
    int n = 0;
    for (int i = 0; i < j->n_needs; i++)
        n += r->job[j->need[i].job].kind == kind && r->job[j->need[i].job].state == LT_STUDY_DONE;
    return n;
}

// True: all it waits for has ended. It may have become blocked then. *stale: something it was made from is new.
static bool check_needs(lt_study_runner *r, lti_study_job *j, bool *stale)
{
    bool all = true;
    *stale = false;
    for (int i = 0; i < j->n_needs; i++) {
        const lti_study_job *other = &r->job[j->need[i].job];
        const bool counts = !j->need[i].soft || lti_study_judges(j);
        all = all && lti_study_has_ended(other);
        *stale = *stale || (counts && other->changed && other->kind != LT_STUDY_REFERENCES);
        if (!j->need[i].soft && lti_study_has_ended(other) && other->state != LT_STUDY_DONE) {
            lti_study_settle(r, j, LT_STUDY_BLOCKED, NULL);
            j->error = lti_study_text(r, "needs %s, which %s", other->id,
                                      other->state == LT_STUDY_STOPPED ? "was stopped" : "failed");
            return true;
        }
    }
    if (!all)
        return false;
    if (j->kind == LT_STUDY_CHOICE && count_done(r, j, LT_STUDY_TRIAL) == 0)
        lti_study_settle(r, j, LT_STUDY_BLOCKED, "no setting of this search gave a model");
    else if ((j->kind == LT_STUDY_AUDIT || (j->kind == LT_STUDY_CHOICE && r->study->tuning.uses_oracle)) &&
             count_done(r, j, LT_STUDY_ORACLE) == 0)
        lti_study_settle(r, j, LT_STUDY_BLOCKED, "needs an oracle, and all of them failed");
    return true;
}

lt_status lti_study_finish(lt_study_runner *r, lti_study_job *j, bool existing)
{
    j->state = LT_STUDY_DONE;
    j->existing = existing;
    j->changed = j->changed || !existing;
    if (j->kind != LT_STUDY_CHOICE)
        return LT_OK;
    const lt_status status = lti_study_choose(r, j);
    if (status == LT_E_NOMEM)
        return status;
    if (status != LT_OK) { // an answer without a choice: the job's failure
        lti_study_settle(r, j, LT_STUDY_FAILED, lt_error_get()->message);
        lt_error_clear();
    }
    return LT_OK;
}

lt_status lti_study_check_job(lt_study_runner *r, lti_study_job *j, bool *ready)
{
    bool stale, outputs = true;
    lti_study_record record;
    *ready = false;
    if (j->state != LT_STUDY_WAITING || !check_needs(r, j, &stale) || j->state != LT_STUDY_WAITING)
        return LT_OK;
    LT_TRY(lti_study_identify(r, j, &j->identity));
    lti_study_load_record(r, j, &record);
    if (record.same)
        j->seconds = record.seconds;
    if (j->kind == LT_STUDY_REFERENCES)
        LT_TRY(check_outputs(r, &outputs));
    if (!stale && outputs && is_fresh(r, j, &record)) {
        LT_TRY(lti_study_finish(r, j, true));
    } else if (!stale && record.same && !strcmp(record.state, lt_study_state_text(LT_STUDY_UNFIT))) {
        lti_study_settle(r, j, LT_STUDY_UNFIT, record.error);
        j->existing = true;
    }
    if (r->order.join && j->locked && record.same && !strcmp(record.state, lt_study_state_text(LT_STUDY_FAILED)))
        lti_study_settle(r, j, LT_STUDY_FAILED, record.error); // just now, in the hands of another runner
    j->force = record.found && (!record.same || record.moved);
    *ready = j->state == LT_STUDY_WAITING;
    return LT_OK;
}
