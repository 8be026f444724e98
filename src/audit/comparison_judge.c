// comparison_judge.c - the audit of every row of a comparison against its oracles, and the comparison as JSON.
#include "audit/kind_impl.h"
#include "lethe/comparison.h"
#include <math.h>

static lt_audit_subject subject_of(const lt_comparison_row *r)
{
    return (lt_audit_subject){.name = r->run, .audited = &r->audited, .identity = r->identity};
}

static lt_status gather_oracles(lt_comparison *c)
{
    c->oracle = lti_calloc((size_t)c->n + 1, sizeof *c->oracle);
    if (!c->oracle)
        return LTI_NOMEM("comparison");
    for (int i = 0; i < c->n; i++)
        if (c->row[i].role == LT_ROW_ORACLE)
            c->oracle[c->n_oracles++] = subject_of(&c->row[i]);
    return LT_OK;
}

// An oracle is not held against itself.
static lt_status judge_row(lt_comparison *c, lt_comparison_row *r, uint64_t seed)
{
    r->in = (lt_audit_in){.unlearned = subject_of(r),
                          .retrained = c->oracle,
                          .n_retrained = r->role == LT_ROW_ORACLE ? 0 : c->n_oracles,
                          .attacks = &c->attacks,
                          .verdict = &c->verdict,
                          .seed = seed};
    LT_TRY(lt_audit_report_create(&r->in, &r->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_membership, NULL, r->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_classes, NULL, r->report));
    LT_TRY(lt_audit_judge(r->report));
    r->summary = r->report->summary;
    r->summary.seconds = r->seconds;
    return LT_OK;
}

static lt_status lint_row(const lt_comparison *c, lt_comparison_row *r)
{
    static const lt_lint_role role[] = {[LT_ROW_METHOD] = LT_LINT_OF_UNLEARNED,
                                        [LT_ROW_ORIGINAL] = LT_LINT_OF_ORIGINAL,
                                        [LT_ROW_ORACLE] = LT_LINT_OF_RETRAINED};
    const lt_lint_in extra = {.role = role[r->role],
                              .expects_retrained = true,
                              .forget_digest = c->forget_digest,
                              .last_train_acc = r->last_train_acc,
                              .effect = &r->effect,
                              .duplicates = &c->duplicates};
    return lt_audit_report_lint(r->report, &extra);
}

// Rows are of one original model (lt_comparison_check_originals).
static void hold_against_original(lt_comparison *c)
{
    const lt_audit_report *original = NULL;
    for (int i = 0; i < c->n && !original; i++)
        original = c->row[i].role == LT_ROW_ORIGINAL ? c->row[i].report : NULL;
    for (int i = 0; i < c->n && original; i++)
        if (c->row[i].role != LT_ROW_ORACLE)
            lt_audit_judge_original(c->row[i].report, original);
}

// What is said of two rows or more is said once, of all.
static lt_status hoist_lint(lt_comparison *c)
{
    for (int i = 0; i < c->n; i++) {
        const lt_lint *lint = &c->row[i].report->lint;
        for (int k = 0; k < lint->n; k++) {
            int n = 0;
            for (int j = 0; j < c->n; j++)
                n += lt_lint_has(&c->row[j].report->lint, &lint->item[k]);
            if (n > 1 && !lt_lint_has(&c->lint, &lint->item[k]))
                LT_TRY(lt_lint_copy(&c->lint, &lint->item[k]));
        }
    }
    return LT_OK;
}

lt_status lt_comparison_judge(lt_comparison *c, const lt_verdict_cfg *cfg, uint64_t seed)
{
    c->verdict = *cfg;
    LT_TRY(gather_oracles(c));
    for (int i = 0; i < c->n; i++)
        LT_TRY(judge_row(c, &c->row[i], seed));
    hold_against_original(c);
    for (int i = 0; i < c->n; i++)
        LT_TRY(lint_row(c, &c->row[i]));
    return hoist_lint(c);
}

// ---- JSON

static void write_seed(const char *seed, lti_json *w)
{
    if (seed)
        lti_json_raw(w, "seed", seed);
    else
        lti_json_null(w, "seed");
}

// Of models that forgot whole classes.
static void write_classes(const lt_audit_report *report, lti_json *w)
{
    const lt_audit_kind *kind = lt_audit_kind_get(LT_AUDIT_classes);
    if (!report->data[LT_AUDIT_classes])
        return;
    lti_json_begin(w, kind->key, '{');
    kind->write(report->data[LT_AUDIT_classes], w);
    lti_json_end(w, '}');
}

static void write_row(const lt_comparison_row *r, lti_json *w)
{
    lti_json_begin(w, NULL, '{');
    lti_audit_write_model(r->report, w);
    lti_audit_write_verdict(r->report, r->in.n_retrained > 0, w);
    lti_lint_write(&r->report->lint, "lint", w);
    write_classes(r->report, w);
    lti_json_text(w, "name", r->name);
    lti_json_text(w, "setting", r->setting);
    lti_json_text(w, "role", lt_row_role_text(r->role));
    lti_json_text(w, "run", r->run);
    write_seed(r->seed, w);
    for (int id = 0; id < LT_N_METRICS; id++)
        if (lt_metric_get((lt_metric_id)id)->source == LT_METRIC_OF_SUMMARY)
            lti_json_real(w, lt_metric_get((lt_metric_id)id)->key, lt_metric_field((lt_metric_id)id, &r->summary));
    lti_json_end(w, '}');
}

char *lt_comparison_json(const lt_comparison *c)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '[');
    for (int i = 0; i < c->n; i++)
        write_row(&c->row[i], &w);
    lti_json_end(&w, ']');
    return lti_json_take(&w);
}
