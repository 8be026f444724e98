// audit_runs.c - audits of named models: opened, measured on the samples of the first one, judged against the oracles.
#include "lethe/audits.h"
#include "run/audit_original.h"
#include "run/run_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct model_job { // one audited model
    const char *name;
    lt_trained_model source; // nothing is open in an audit of outputs
    lt_audited target;
    lt_signals *before;
    char *original_name, *parent_name, *adv_dir;
    lt_audit_subject original, parent;
    lt_audit_subject *retrained; // (n_retrained) the oracles of its own original model
    int n_retrained;
    lt_audit_in in;
    lt_audit_report *report;
    lti_original measured; // its original, where no model before it has the same
} model_job;

struct lti_audit_job {
    const lt_audit_order *o;
    lt_dataset *ds, *own_ds; // own_ds: ds, when it was opened here
    lt_sample_sets sets;
    char forget_digest[65];
    lt_mia_set attacks;
    lt_audit_subject *oracle; // (n_oracles)
    lt_audited *audited;      // (n_oracles)
    lt_audit_shared shared;
    lt_duplicates duplicates; // of the sets, counted for the first model
    bool has_duplicates;
    char *oracle_parent; // of the first oracle that names one, or NULL
    model_job *model;    // (n_runs)
    int n_reports;
};
typedef struct lti_audit_job audit_job;

static bool is_set(const char *text)
{
    return text && *text;
}

static lt_events *events_of(const audit_job *job)
{
    return job->o->env ? job->o->env->events : NULL;
}

// ---- models

static lt_status open_subject(const lt_audit_subject *s, lt_model **model)
{
    const audit_job *job = s->self;
    lt_trained_model m;
    const lt_status status = lti_related_open(s->name, job->o->fallback, job->model[0].source.model,
                                              lti_is_dir(s->name) ? NULL : job->ds, &m);
    *model = status == LT_OK ? m.model : NULL;
    if (status == LT_OK)
        m.model = NULL; // the caller's
    lt_trained_model_close(&m);
    return status;
}

// Opened again when an audit kind asks for the model.
static lt_audit_subject make_subject(const audit_job *job, const lt_trained_model *m, const char *name)
{
    lt_audit_subject s = {.name = name, .open = open_subject, .self = job};
    if (m && m->model)
        lt_model_identify(m->model, &s.identity);
    return s;
}

// Attacks are chosen for the samples of the first model. Its original's outputs are read first: some need them.
static lt_status open_attacks(audit_job *job, model_job *m, const lt_signals *s)
{
    const char *npz = job->o->original_signals;
    lt_mia_set_spec spec = *job->o->attacks;
    if (is_set(npz)) {
        LT_TRY(lt_signals_open(npz, &m->before));
        LT_TRY(lt_signals_match(s, npz, m->before));
    }
    spec.original = m->before;
    LT_TRY(lt_mia_set_open(&spec, s, &job->attacks));
    return lt_mia_set_measure_self(&job->attacks, s);
}

// Signals that have become the audited model's.
static lt_status measure_target(audit_job *job, model_job *m, lt_signals *s)
{
    const lt_status status = job->attacks.mia ? LT_OK : open_attacks(job, m, s);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    return lt_audited_measure(&job->attacks, job->o->audit, s, &m->target);
}

// An oracle with other samples has accuracies to compare, but no references that fit it.
static lt_status measure_oracle(audit_job *job, int i, lt_signals *s)
{
    const bool same = lt_signals_same_samples(job->model[0].target.signals, s);
    LT_TRY(lt_audited_measure(same ? &job->attacks : NULL, job->o->audit, s, &job->audited[i]));
    job->oracle[i].audited = &job->audited[i];
    return LT_OK;
}

// Models of different data sets are not held against each other. Those that do not say are judged by the linter.
static lt_status check_data(const audit_job *job, const lt_trained_model *m)
{
    const lt_trained_model *first = &job->model[0].source;
    const char *a = lt_trained_model_meta(first, "lethe.data_digest"),
               *b = lt_trained_model_meta(m, "lethe.data_digest");
    if (!a || !b || !strcmp(a, b))
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s and %s were trained on different data sets (%.12s... and %.12s...)", first->name, m->name,
            a, b);
    return lt_error_hint("audit the runs of each data set with their own oracles");
}

static lt_status note_parent(const lt_trained_model *m, char **parent)
{
    *parent = lt_trained_model_parent(m);
    if (!*parent)
        return LTI_NOMEM("parent");
    if (**parent)
        return LT_OK;
    lti_free(*parent);
    *parent = NULL;
    return LT_OK;
}

static lt_status open_oracle_run(audit_job *job, int i)
{
    const char *name = job->o->oracle[i];
    lt_trained_model m;
    lt_signals *s;
    lti_run_stage(events_of(job), "auditing oracle %s", name);
    const bool is_run = lt_run_is_done(name); // which says everything itself
    lt_status status = lt_trained_model_open(name, is_run ? NULL : job->o->fallback, is_run ? NULL : job->ds, &m);
    if (status == LT_OK)
        status = check_data(job, &m);
    if (status == LT_OK) {
        job->oracle[i] = make_subject(job, &m, name);
        status = lt_trained_model_signals(&m, job->ds, &job->sets, job->o->env, &s);
    }
    if (status == LT_OK)
        status = measure_oracle(job, i, s);
    if (status == LT_OK && !job->oracle_parent)
        status = note_parent(&m, &job->oracle_parent);
    lt_trained_model_close(&m);
    return status;
}

// ---- originals and their oracles

// Weights of the original model that the model was made from; "" = not known. An original is its own: oracles know it.
static const char *origin_of(const audit_job *job, const lt_model_identity *identity)
{
    if (*identity->method && *identity->parent_digest)
        return identity->parent_digest;
    for (int i = 0; i < job->o->n_oracles; i++)
        if (*identity->digest && !strcmp(job->oracle[i].identity.parent_digest, identity->digest))
            return identity->digest;
    return "";
}

static bool is_oracle_of(const lt_audit_subject *oracle, const char *origin)
{
    return !*origin || !*oracle->identity.parent_digest || !strcmp(oracle->identity.parent_digest, origin);
}

// Every model is held against the oracles of its own original. Where there is none it gets all of them, and the linter
// an error to report.
static lt_status choose_oracles(const audit_job *job, model_job *m)
{
    const int n = job->o->n_oracles;
    const char *origin = origin_of(job, &m->in.unlearned.identity);
    m->retrained = lti_calloc((size_t)n + 1, sizeof *m->retrained);
    if (!m->retrained)
        return LTI_NOMEM("oracles");
    for (int i = 0; i < n; i++)
        if (is_oracle_of(&job->oracle[i], origin))
            m->retrained[m->n_retrained++] = job->oracle[i];
    if (m->n_retrained > 0 && m->n_retrained < n)
        lt_warn(events_of(job), "audit.oracles",
                "%s: held against %d of %d oracles; the others were retrained for another original model", m->name,
                m->n_retrained, n);
    for (int i = 0; i < n && m->n_retrained == 0; i++)
        m->retrained[i] = job->oracle[i];
    m->n_retrained = m->n_retrained ? m->n_retrained : n;
    m->in.retrained = m->retrained;
    m->in.n_retrained = m->n_retrained;
    return LT_OK;
}

// An earlier model of the same audit that is the original, or has the same one. NULL = none.
static const lt_audit_report *find_measured(const audit_job *job, const model_job *m, const char *name)
{
    for (const model_job *other = job->model; other < m; other++) {
        if (lt_same_path(other->name, name))
            return other->report;
        if (other->measured.report && lt_same_path(other->measured.name, name))
            return other->measured.report;
    }
    return NULL;
}

static const char *name_of_original(const audit_job *job, const model_job *m)
{
    if (is_set(job->o->original_signals))
        return job->o->original_signals;
    if (m->original_name && *m->original_name)
        return m->original_name;
    return job->oracle_parent;
}

// A parent that is gone leaves verdicts as they are, and the linter says so; one that was named must exist.
static lt_status measure_original(audit_job *job, model_job *m, const char *name)
{
    const lt_audit_order *o = job->o;
    const bool given = is_set(o->original) || is_set(o->original_signals);
    const lti_original_spec spec = {.name = name,
                                    .expected_digest = given ? "" : origin_of(job, &m->in.unlearned.identity),
                                    .of_signals = is_set(o->original_signals),
                                    .ds = job->ds,
                                    .sets = &job->sets,
                                    .env = o->env,
                                    .fallback = o->fallback,
                                    .of = &m->in,
                                    .audit = o->audit};
    lti_run_stage(events_of(job), "auditing the original %s", name);
    const lt_status status = lti_original_measure(&spec, &m->measured);
    if (status == LT_OK || given)
        return status;
    lt_warn(events_of(job), "audit.original", "original model left out: %s", lt_error_get()->message);
    lt_error_clear();
    lti_original_clear(&m->measured);
    return LT_OK;
}

// With a single oracle there is no verdict to hold against anything.
static lt_status judge_original(audit_job *job, model_job *m)
{
    const char *name = name_of_original(job, m), *origin = origin_of(job, &m->in.unlearned.identity);
    const bool is_original = *origin && !strcmp(origin, m->in.unlearned.identity.digest);
    const lt_audit_report *original = NULL;
    if (m->n_retrained < 2)
        return LT_OK;
    if (is_original)
        original = m->report;
    else if (is_set(name) && !(original = find_measured(job, m, name))) {
        LT_TRY(measure_original(job, m, name));
        original = m->measured.report;
    }
    if (original)
        lt_audit_judge_original(m->report, original);
    return LT_OK;
}

// The original model: the named one, or the one that the run started from.
static lt_status find_original(const audit_job *job, model_job *m)
{
    const char *given = job->o->original;
    m->parent_name = lt_trained_model_parent(&m->source);
    if (!m->parent_name)
        return LTI_NOMEM("parent");
    m->original_name = lti_strdup(is_set(given) ? given : m->parent_name);
    if (!m->original_name)
        return LTI_NOMEM("parent");
    if (*m->parent_name)
        m->parent = make_subject(job, NULL, m->parent_name);
    if (*m->original_name)
        m->original = make_subject(job, NULL, m->original_name);
    if (!job->o->representation || is_set(given) || !*m->original_name)
        return LT_OK;
    const lt_status status = lti_check_parent(&m->source, m->original_name);
    if (status != LT_OK)
        lt_error_hint("the original model is named with --original RUN");
    return status;
}

static lt_status find_adversarial_set(model_job *m)
{
    if (!m->source.dir)
        return LT_OK;
    char *file = lti_asprintf("%s/adv/adv.safetensors", m->source.dir);
    if (!file)
        return LTI_NOMEM("path");
    if (lti_is_file(file) && !(m->adv_dir = lti_asprintf("%s/adv", m->source.dir))) {
        lti_free(file);
        return LTI_NOMEM("path");
    }
    lti_free(file);
    return LT_OK;
}

static void describe(audit_job *job, model_job *m)
{
    const lt_audit_order *o = job->o;
    m->in = (lt_audit_in){.unlearned = {.name = m->name, .audited = &m->target},
                          .retrained = job->oracle,
                          .n_retrained = o->n_oracles,
                          .attacks = &job->attacks,
                          .verdict = o->verdict,
                          .seed = o->audit->seed,
                          .shared = &job->shared};
    if (!m->source.model)
        return;
    m->in.unlearned.model = m->source.model;
    lt_model_identify(m->source.model, &m->in.unlearned.identity);
    m->in.original = m->original.name ? &m->original : NULL;
    m->in.parent = m->parent.name ? &m->parent : NULL;
    m->in.env = o->env;
    m->in.ds = job->ds;
    m->in.forget = &job->sets.forget;
    m->in.retain = &job->sets.retain;
    m->in.adv_dir = m->adv_dir;
}

// What can be refused before the work starts.
static lt_status prepare_run(audit_job *job, model_job *m)
{
    LT_TRY(find_original(job, m));
    LT_TRY(find_adversarial_set(m));
    describe(job, m);
    if (job->o->representation)
        LT_TRY(lt_audit_kind_check(LT_AUDIT_representation, &m->in, job->o->representation));
    return LT_OK;
}

static lt_status measure_run(audit_job *job, model_job *m)
{
    lt_signals *s;
    lti_run_stage(events_of(job), "auditing %s", m->name);
    LT_TRY(lt_trained_model_signals(&m->source, job->ds, &job->sets, job->o->env, &s));
    if (m != job->model && !lt_signals_same_samples(job->model[0].target.signals, s)) {
        lt_signals_destroy(s);
        return LT_FAIL(LT_E_FORMAT, "%s: expected outputs on the samples of %s, found others", m->name,
                       job->model[0].name);
    }
    return measure_target(job, m, s);
}

static lt_status open_first_run(audit_job *job)
{
    const lt_audit_order *o = job->o;
    model_job *m = &job->model[0];
    if (is_set(o->data))
        LT_TRY(lti_run_data(NULL, o->data, o->ds, events_of(job), &job->ds, &job->own_ds));
    LT_TRY(lt_trained_model_open(m->name, o->fallback, job->ds, &m->source));
    if (job->ds)
        LT_TRY(lt_trained_model_check_data(&m->source, job->ds, LT_DATA_TRAINING, events_of(job)));
    else
        LT_TRY(lti_run_data(&m->source, NULL, o->ds, events_of(job), &job->ds, &job->own_ds));
    LT_TRY(lt_trained_model_sets(&m->source, job->ds, &o->forget, &job->sets));
    lt_index_set_digest(job->ds, LT_TRAIN, &job->sets.forget, job->forget_digest);
    LT_TRY(prepare_run(job, m));
    LT_TRY(measure_run(job, m));
    for (int i = 0; i < o->n_oracles; i++)
        LT_TRY(open_oracle_run(job, i));
    return LT_OK;
}

// ---- outputs

static lt_status open_signals(const char *npz, lt_signals **s)
{
    LT_TRY(lt_signals_open(npz, s));
    const lt_status status = lt_signals_need_groups(*s, npz);
    if (status != LT_OK)
        lt_signals_destroy(*s);
    return status;
}

static lt_status open_oracle_signals(audit_job *job, int i)
{
    const char *npz = job->o->oracle[i];
    lt_signals *s;
    LT_TRY(open_signals(npz, &s));
    const lt_status status = lt_signals_match(job->model[0].target.signals, npz, s);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    job->oracle[i] = (lt_audit_subject){.name = npz};
    return measure_oracle(job, i, s);
}

static lt_status open_target_signals(audit_job *job)
{
    model_job *m = &job->model[0];
    lt_signals *s;
    lti_run_stage(events_of(job), "auditing %s", m->name);
    LT_TRY(open_signals(m->name, &s));
    LT_TRY(measure_target(job, m, s));
    for (int i = 0; i < job->o->n_oracles; i++)
        LT_TRY(open_oracle_signals(job, i));
    return LT_OK;
}

// ---- the audit of one model

static lt_status run_kinds(const lt_audit_order *o, model_job *m)
{
    LT_TRY(lt_audit_report_create(&m->in, &m->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_membership, NULL, m->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_classes, o->classes, m->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_iam, NULL, m->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_klom, NULL, m->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_class_ulira, o->classes, m->report));
    if (o->amun_bound)
        LT_TRY(lt_audit_kind_run(LT_AUDIT_amun_bound, NULL, m->report));
    if (is_set(o->amun_bound_out))
        LT_TRY(lt_amun_bound_save(m->report, o->amun_bound_out));
    if (o->representation)
        LT_TRY(lt_audit_kind_run(LT_AUDIT_representation, o->representation, m->report));
    if (o->representation)
        LT_TRY(lt_audit_kind_run(LT_AUDIT_prototype, NULL, m->report));
    return lt_audit_judge(m->report);
}

static lt_status run_lint(audit_job *job, model_job *m)
{
    lt_lint_effect effect;
    lt_lint_in extra = {.role = LT_LINT_OF_UNLEARNED,
                        .expects_retrained = true,
                        .before_name = job->o->original_signals,
                        .before = m->before,
                        .last_train_acc = NAN};
    if (m->source.model) {
        if (!job->has_duplicates)
            LT_TRY(lt_dataset_duplicates(job->ds, &job->sets.forget, &job->sets.retain, &job->duplicates));
        job->has_duplicates = true;
        extra.forget_digest = job->forget_digest;
        extra.last_train_acc = lti_last_train_acc(&m->source);
        extra.duplicates = &job->duplicates;
        lt_trained_model_effect(&m->source, &effect);
        extra.effect = &effect;
    }
    return lt_audit_report_lint(m->report, &extra);
}

static lt_status write_files(const audit_job *job, model_job *m)
{
    const lt_audit_order *o = job->o;
    LT_TRY(lt_risk_measure(&job->attacks, &m->target, m->before, &m->report->risk));
    if (is_set(o->risk) && m->report->risk)
        LT_TRY(lt_risk_save(m->report->risk, o->risk));
    if (is_set(o->scores))
        LT_TRY(lt_scores_save(&job->attacks, &m->target, o->scores));
    return LT_OK;
}

// The outputs of an original that an earlier model of the audit has, too.
static void share_original(const audit_job *job, model_job *m)
{
    const lt_audit_report *known = m->in.original ? find_measured(job, m, m->original.name) : NULL;
    if (known)
        m->original.audited = known->in->unlearned.audited;
}

static lt_status finish_model(audit_job *job, model_job *m)
{
    describe(job, m);
    LT_TRY(choose_oracles(job, m));
    share_original(job, m);
    LT_TRY(run_kinds(job->o, m));
    LT_TRY(judge_original(job, m));
    LT_TRY(write_files(job, m));
    LT_TRY(run_lint(job, m));
    job->n_reports++;
    return LT_OK;
}

static lt_status audit_further(audit_job *job, model_job *m)
{
    lti_run_stage(events_of(job), "auditing %s", m->name);
    const bool is_run = lti_is_dir(m->name);
    LT_TRY(lt_trained_model_open(m->name, is_run ? NULL : job->o->fallback, is_run ? NULL : job->ds, &m->source));
    LT_TRY(check_data(job, &m->source));
    LT_TRY(prepare_run(job, m));
    LT_TRY(measure_run(job, m));
    return finish_model(job, m);
}

// ---- orders and results

static lt_status check_order(const lt_audit_order *o)
{
    const char *of_one = is_set(o->scores)             ? "scores"
                         : is_set(o->original_signals) ? "original-signals"
                         : is_set(o->risk)             ? "risk"
                         : is_set(o->amun_bound_out)   ? "amun-bound-out"
                                                       : NULL;
    if (o->n_runs < 1)
        return LT_FAIL(LT_E_USAGE, "audit: expected at least one run");
    if (o->of_signals && o->n_runs > 1)
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit %s", o->run[1]);
    if (o->of_signals && is_set(o->amun_bound_out))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit --amun-bound-out");
    if (o->of_signals && o->representation)
        return LT_FAIL(LT_E_USAGE, "--representations: expected runs, found --signals, which have outputs only");
    if (!o->amun_bound && is_set(o->amun_bound_out))
        return LT_FAIL(LT_E_USAGE, "--amun-bound-out and --no-amun-bound contradict each other");
    if (o->n_runs > 1 && of_one)
        return LT_FAIL(LT_E_USAGE, "--%s is of one run, found %d: omit it, or audit the runs one by one", of_one,
                       o->n_runs);
    if (o->of_signals && is_set(o->original))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: name those of the original with --original-signals");
    return LT_OK;
}

static lt_status create_job(const lt_audit_order *o, lt_audit_result *result)
{
    audit_job *job = result->job = lti_calloc(1, sizeof *job);
    if (!job)
        return LTI_NOMEM("audit");
    job->o = o;
    job->oracle = lti_calloc((size_t)o->n_oracles + 1, sizeof *job->oracle);
    job->audited = lti_calloc((size_t)o->n_oracles + 1, sizeof *job->audited);
    job->model = lti_calloc((size_t)o->n_runs, sizeof *job->model);
    result->report = lti_calloc((size_t)o->n_runs, sizeof *result->report);
    if (!job->oracle || !job->audited || !job->model || !result->report)
        return LTI_NOMEM("audit");
    for (int i = 0; i < o->n_runs; i++)
        job->model[i].name = o->run[i];
    return LT_OK;
}

lt_status lt_audit_runs(const lt_audit_order *order, lt_audit_result *result)
{
    *result = (lt_audit_result){0};
    LT_TRY(check_order(order));
    LT_TRY(create_job(order, result));
    audit_job *job = result->job;
    LT_TRY(order->of_signals ? open_target_signals(job) : open_first_run(job));
    LT_TRY(finish_model(job, &job->model[0]));
    for (int i = 1; i < order->n_runs; i++)
        LT_TRY(audit_further(job, &job->model[i]));
    result->n = job->n_reports;
    for (int i = 0; i < result->n; i++)
        result->report[i] = job->model[i].report;
    return LT_OK;
}

static void clear_model(model_job *m)
{
    lt_audit_report_destroy(m->report);
    lt_audited_clear(&m->target);
    lt_signals_destroy(m->before);
    lti_free(m->original_name);
    lti_free(m->parent_name);
    lti_free(m->adv_dir);
    lti_free(m->retrained);
    lti_original_clear(&m->measured);
    lt_trained_model_close(&m->source);
}

void lt_audit_result_clear(lt_audit_result *result)
{
    audit_job *job = result->job;
    for (int i = 0; job && job->model && i < job->o->n_runs; i++)
        clear_model(&job->model[i]);
    for (int i = 0; job && job->audited && i < job->o->n_oracles; i++)
        lt_audited_clear(&job->audited[i]);
    if (job) {
        lt_audit_shared_clear(&job->shared);
        lt_mia_set_clear(&job->attacks);
        lt_sample_sets_clear(&job->sets);
        lt_dataset_close(job->own_ds);
        lti_free(job->oracle_parent);
        lti_free(job->audited);
        lti_free(job->oracle);
        lti_free(job->model);
    }
    lti_free(job);
    lti_free(result->report);
    *result = (lt_audit_result){0};
}

char *lt_audit_result_json(const lt_audit_result *result)
{
    return lt_audit_reports_json(result->report, result->n);
}

lt_status lti_check_lint(const char *name, const lt_lint *lint)
{
    for (int i = 0; i < lint->n; i++) {
        if (lint->item[i].severity != LT_LINT_ERROR)
            continue;
        LT_FAIL(LT_E_CHECK, "%s: the linter found an error (%s): %s", name, lint->item[i].id, lint->item[i].text);
        return lt_error_hint("the metrics do not say what they seem to; --allow-lint accepts them");
    }
    return LT_OK;
}

lt_status lt_audit_result_check(const lt_audit_result *result, double max_gap, bool allow_lint)
{
    for (int i = 0; i < result->n && max_gap > 0; i++) {
        const double gap = result->report[i]->summary.gap_mis;
        if (!(gap <= max_gap)) // one that is not known is no pass
            return LT_FAIL(LT_E_CHECK, "%s: average gap %.4f is larger than --max-gap %.4f",
                           result->report[i]->in->unlearned.name, gap, max_gap);
    }
    for (int i = 0; i < result->n && !allow_lint; i++)
        LT_TRY(lti_check_lint(result->report[i]->in->unlearned.name, &result->report[i]->lint));
    return LT_OK;
}
