// check.c - what a job finds when its turn comes: its needs, and whether it is finished already.
#include "study/runner_impl.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

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

// ---- what a job is made from. A product has a name of its own, and records keep those of what went in: so it is known
// in another run, and by another runner, whether something was recomputed since.

void lti_study_name_product(const lt_study_runner *r, lti_study_job *j)
{
    char digest[65], text[96];
    lti_hash h;
    lti_hash_init(&h);
    lti_hash_add(&h, j->id, strlen(j->id));
    lti_format(text, sizeof text, "%ld %.9f %lld %p", (long)getpid(), lti_now_s(), (long long)time(NULL),
               (const void *)r);
    lti_hash_add(&h, text, strlen(text));
    lti_hash_hex(&h, digest);
    lti_format(j->made, sizeof j->made, "%.16s", digest);
}

// The models of the store have names of their own in it.
static bool goes_in(const lti_study_job *j, const lti_study_need *need, const lti_study_job *other)
{
    return (!need->soft || lti_study_judges(j)) && other->kind != LT_STUDY_REFERENCES;
}

static void digest_needs(const lt_study_runner *r, lti_study_job *j)
{
    lti_hash h;
    lti_hash_init(&h);
    for (int i = 0; i < j->n_needs; i++) {
        const lti_study_job *other = &r->job[j->need[i].job];
        if (!goes_in(j, &j->need[i], other) || other->state != LT_STUDY_DONE)
            continue;
        lti_hash_add(&h, other->id, strlen(other->id) + 1);
        lti_hash_add(&h, other->made, strlen(other->made) + 1);
    }
    lti_hash_hex(&h, j->from);
}

static bool is_stale(const lt_study_runner *r, const lti_study_job *j, const lti_study_record *record)
{
    bool changed = false;
    if (*record->from)
        return strcmp(record->from, j->from) != 0;
    for (int i = 0; i < j->n_needs; i++) { // a record of an older version: what this runner has made
        const lti_study_job *other = &r->job[j->need[i].job];
        changed = changed || (goes_in(j, &j->need[i], other) && other->changed);
    }
    return changed;
}

// True: all it waits for has ended. It may have become blocked then.
static bool check_needs(lt_study_runner *r, lti_study_job *j)
{
    bool all = true;
    for (int i = 0; i < j->n_needs; i++) {
        const lti_study_job *other = &r->job[j->need[i].job];
        all = all && lti_study_has_ended(other);
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
    bool outputs = true;
    lti_study_record record;
    *ready = false;
    if (j->state != LT_STUDY_WAITING || !check_needs(r, j) || j->state != LT_STUDY_WAITING)
        return LT_OK;
    LT_TRY(lti_study_identify(r, j, &j->identity));
    digest_needs(r, j);
    lti_study_load_record(r, j, &record);
    const bool stale = is_stale(r, j, &record);
    if (record.same)
        j->seconds = record.seconds;
    memcpy(j->made, record.made, sizeof j->made);
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
