// cmd_audit.c - `lethe audit`: how much a model still knows about what it was to forget, against retrained oracles.
//
// Works on run directories, on model files, and on arrays alone (--signals), so that any tool's models can be audited.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct opts {
    const char *run, *also, *oracle, *signals, *oracle_signals, *forget, *data;
    lt_model_fallback file;
    const char *references, *attacks, *scores, *original_signals, *risk, *amun_bound_out, *original;
    bool amun_bound, allow_lint, force;
    uint64_t forget_seed;
    double max_gap;
    bool representations;
    lt_audit_cfg audit;
    lt_representation_cfg representation;
    lt_verdict_cfg verdict;
    lt_class_audit_cfg classes;
};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "run or model file to audit; the same as the first argument"),
    LT_STR(struct opts, also, NULL, NULL), // now further arguments
    LT_STR(struct opts, oracle, NULL, "retrained runs, separated by commas or the option repeated"),
    LT_STR(struct opts, signals, NULL, "audit this .npz of outputs (logits, labels, ids, group) instead of a run"),
    LT_STR(struct opts, oracle_signals, NULL, "outputs of retrained models, for --signals; separated by commas"),
    LT_STR(struct opts, references, NULL, "outputs of reference models on the same samples: .npz of logits, member"),
    LT_STR(struct opts, attacks, NULL, "membership attacks, separated by commas; default: all the references allow"),
    LT_STR(struct opts, scores, NULL, "write the scores of every attack to this .npz, larger = more likely a member"),
    LT_STR(struct opts, original_signals, NULL, "outputs of the original model (.npz), to say whose risk rose"),
    LT_STR(struct opts, risk, NULL, "write the risk of every forgotten and retained sample to this .csv"),
    LT_STR(struct opts, amun_bound_out, NULL, "write the terms of AMUN's bound of every sample to this .npz"),
    LT_BOOL(struct opts, amun_bound, 1, "terms of AMUN's bound, for runs that keep an adversarial set"),
    LT_BOOL(struct opts, representations, 0, "representation audit: probes, CKA, relearning"),
    LT_STR(struct opts, original, NULL, "with --representations: the original run or file; default: the run's parent"),
    LT_STR(struct opts, forget, NULL, "forget set, when the run has none or another one is meant"),
    LT_U64(struct opts, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_BOOL(struct opts, allow_lint, 0, "exit with code 0 although the linter found an error"),
    LT_BOOL(struct opts, force, 0, "overwrite files of another kind"),
    LT_F64(struct opts, max_gap, 0, 0, 1, "", "exit with code 6 when the average gap (MIS) is larger; 0 = no check"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input and output", own, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, file),
    {"audit", "Audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {"audit", "Representation audit (--representations)", lt_representation_options,
     offsetof(struct opts, representation), LT_OPTGROUP_FLAGS},
    {"audit", "Forgotten classes", lt_class_audit_options, offsetof(struct opts, classes), LT_OPTGROUP_FLAGS},
    {"audit", "Verdict", lt_verdict_options, offsetof(struct opts, verdict), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

struct job { // one audited model; oracles, data and attacks are those of the first
    const char *name;
    cli_source source;
    const lt_dataset *ds;
    cli_sets sets;
    cli_list oracles, further;
    lt_audit_subject *oracle;    // (oracles.n)
    lt_audited target, *audited; // audited: (oracles.n)
    lt_mia_set attacks;
    lt_signals *before;
    char forget_digest[65], *original_name, *parent_name, *adv_dir;
    lt_audit_subject original, parent;
    lt_env env;
    lt_audit_in in;
    lt_audit_report *report;
};

static bool is_set(const char *text)
{
    return text && *text;
}

// ---- models

// Signals that have become the audited model's: references and attacks are chosen for these samples.
static lt_status measure_target(cli_call *call, struct job *job, lt_signals *s)
{
    const struct opts *o = call->opts;
    void *cfg[CLI_MAX_ATTACKS];
    const lt_mia_set_spec spec = cli_attacks_spec(call, o->attacks, o->references, cfg);
    const lt_status status = lt_mia_set_open(&spec, s, &job->attacks);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    return lt_audited_measure(&job->attacks, &o->audit, s, &job->target);
}

// An oracle with other samples has accuracies to compare, but no references that fit it.
static lt_status measure_oracle(cli_call *call, struct job *job, int i, lt_signals *s)
{
    const struct opts *o = call->opts;
    const bool same = lt_signals_same_samples(job->target.signals, s);
    LT_TRY(lt_audited_measure(same ? &job->attacks : NULL, &o->audit, s, &job->audited[i]));
    job->oracle[i].audited = &job->audited[i];
    return LT_OK;
}

static lt_status open_oracle_run(cli_call *call, struct job *job, int i)
{
    const struct opts *o = call->opts;
    const cli_foreign foreign = {.file = &o->file, .ds = job->ds};
    cli_source src;
    lt_signals *s;
    cli_progress_stage(call->session->progress, "auditing oracle %s", job->oracles.item[i]);
    const bool is_run = lt_run_is_done(job->oracles.item[i]); // which says everything itself
    lt_status status = cli_source_open(job->oracles.item[i], is_run ? NULL : &foreign, &src);
    if (status == LT_OK) {
        job->oracle[i] = cli_subject(&src, job->oracles.item[i]);
        status = cli_signals(call, &src, job->ds, &job->sets, &s);
    }
    if (status == LT_OK)
        status = measure_oracle(call, job, i, s);
    cli_source_close(&src);
    return status;
}

// The model before unlearning: the named one, or the one that the run started from.
static lt_status find_original(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    const bool given = is_set(o->original);
    job->parent_name = cli_find_parent(&job->source);
    job->original_name = cli_format("%s", given ? o->original : job->parent_name);
    if (*job->parent_name)
        job->parent = cli_subject(NULL, job->parent_name);
    if (*job->original_name)
        job->original = cli_subject(NULL, job->original_name);
    if (!o->representations || given || !*job->original_name)
        return LT_OK;
    const lt_status status = cli_check_parent(&job->source, job->original_name);
    if (status != LT_OK)
        lt_error_hint("the model before unlearning is named with --original RUN");
    return status;
}

static void find_adversarial_set(struct job *job)
{
    if (!job->source.dir)
        return;
    char *file = cli_format("%s/adv/adv.safetensors", job->source.dir);
    if (access(file, F_OK) == 0)
        job->adv_dir = cli_format("%s/adv", job->source.dir);
    free(file);
}

static void describe(const cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    job->in = (lt_audit_in){.unlearned = {.name = job->name, .audited = &job->target},
                            .retrained = job->oracle,
                            .n_retrained = job->oracles.n,
                            .attacks = &job->attacks,
                            .verdict = &o->verdict,
                            .seed = o->audit.seed};
    if (!job->source.model)
        return;
    job->in.unlearned.model = job->source.model;
    lt_model_identify(job->source.model, &job->in.unlearned.identity);
    job->in.original = job->original.name ? &job->original : NULL;
    job->in.parent = job->parent.name ? &job->parent : NULL;
    job->in.env = &job->env;
    job->in.ds = job->ds;
    job->in.forget = &job->sets.forget;
    job->in.retain = &job->sets.retain;
    job->in.adv_dir = job->adv_dir;
}

static lt_status check_kinds(const cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    describe(call, job);
    return o->representations ? lt_audit_kind_check(LT_AUDIT_representation, &job->in, &o->representation) : LT_OK;
}

static lt_status open_run(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    cli_foreign foreign = {.file = &o->file};
    lt_signals *s;
    if (is_set(o->data))
        LT_TRY(cli_dataset(call, o->data, &foreign.ds));
    LT_TRY(cli_source_open(job->name, &foreign, &job->source));
    LT_TRY(cli_source_data(call, &job->source, o->data, &job->ds));
    LT_TRY(
        cli_sets_of_run(&job->source, job->ds, &(cli_forget){.spec = o->forget, .seed = o->forget_seed}, &job->sets));
    lt_index_set_digest(job->ds, LT_TRAIN, &job->sets.forget, job->forget_digest);
    LT_TRY(cli_env(call, &job->env));
    LT_TRY(find_original(call, job));
    find_adversarial_set(job);
    LT_TRY(check_kinds(call, job));
    cli_progress_stage(call->session->progress, "auditing %s", job->name);
    LT_TRY(cli_signals(call, &job->source, job->ds, &job->sets, &s));
    LT_TRY(measure_target(call, job, s));
    for (int i = 0; i < job->oracles.n; i++)
        LT_TRY(open_oracle_run(call, job, i));
    return LT_OK;
}

// ---- arrays

static lt_status open_arrays(const char *npz, lt_signals **s)
{
    LT_TRY(lt_signals_open(npz, s));
    const lt_status status = lt_signals_need_groups(*s, npz);
    if (status != LT_OK)
        lt_signals_destroy(*s);
    return status;
}

static lt_status need_same_samples(const struct job *job, const lt_signals *s, const char *npz)
{
    if (lt_signals_same_samples(job->target.signals, s))
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT,
                   "%s: expected the samples, labels and groups of the audited model in the same order (%lld rows), "
                   "found others (%lld rows)",
                   npz, (long long)job->target.signals->n, (long long)s->n);
}

static lt_status open_oracle_arrays(cli_call *call, struct job *job, int i)
{
    const char *npz = job->oracles.item[i];
    lt_signals *s;
    LT_TRY(open_arrays(npz, &s));
    const lt_status status = need_same_samples(job, s, npz);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    job->oracle[i] = (lt_audit_subject){.name = npz};
    return measure_oracle(call, job, i, s);
}

static lt_status open_target_arrays(cli_call *call, struct job *job)
{
    lt_signals *s;
    cli_progress_stage(call->session->progress, "auditing %s", job->name);
    LT_TRY(open_arrays(job->name, &s));
    LT_TRY(measure_target(call, job, s));
    for (int i = 0; i < job->oracles.n; i++)
        LT_TRY(open_oracle_arrays(call, job, i));
    return LT_OK;
}

static lt_status open_before(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    if (!is_set(o->original_signals))
        return LT_OK;
    LT_TRY(lt_signals_open(o->original_signals, &job->before));
    return need_same_samples(job, job->before, o->original_signals);
}

// ---- the audit

static lt_status run_kinds(const cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    LT_TRY(lt_audit_report_create(&job->in, &job->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_membership, NULL, job->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_classes, &o->classes, job->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_iam, NULL, job->report));
    if (o->amun_bound)
        LT_TRY(lt_audit_kind_run(LT_AUDIT_amun_bound, NULL, job->report));
    if (is_set(o->amun_bound_out))
        LT_TRY(lt_amun_bound_save(job->report, o->amun_bound_out));
    if (o->representations)
        LT_TRY(lt_audit_kind_run(LT_AUDIT_representation, &o->representation, job->report));
    if (o->representations)
        LT_TRY(lt_audit_kind_run(LT_AUDIT_prototype, NULL, job->report));
    return lt_audit_judge(job->report);
}

static lt_status run_lint(const cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_duplicates duplicates = {0};
    lt_lint_effect effect;
    lt_lint_in extra = {.role = LT_LINT_OF_UNLEARNED,
                        .expects_retrained = true,
                        .before_name = o->original_signals,
                        .before = job->before,
                        .last_train_acc = NAN};
    if (job->source.model) {
        LT_TRY(lt_dataset_duplicates(job->ds, &job->sets.forget, &job->sets.retain, &duplicates));
        extra.forget_digest = job->forget_digest;
        extra.last_train_acc = cli_last_train_acc(&job->source);
        extra.duplicates = &duplicates;
        lt_trained_model_effect(&job->source, &effect);
        extra.effect = &effect;
    }
    return lt_audit_report_lint(job->report, &extra);
}

static lt_status write_files(const cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    LT_TRY(lt_risk_measure(&job->attacks, &job->target, job->before, &job->report->risk));
    if (is_set(o->risk) && job->report->risk)
        LT_TRY(lt_risk_save(job->report->risk, o->risk));
    if (is_set(o->scores))
        LT_TRY(lt_scores_save(&job->attacks, &job->target, o->scores));
    return LT_OK;
}

static lt_status finish(cli_call *call, struct job *job, json_t **out)
{
    describe(call, job);
    LT_TRY(open_before(call, job));
    LT_TRY(run_kinds(call, job));
    LT_TRY(write_files(call, job));
    LT_TRY(run_lint(call, job));
    return cli_json_take(lt_audit_report_json(job->report), out);
}

// Frees what is one model's own.
static void clear_model(struct job *job)
{
    lt_audit_report_destroy(job->report);
    lt_audited_clear(&job->target);
    lt_signals_destroy(job->before);
    free(job->original_name);
    free(job->parent_name);
    free(job->adv_dir);
    cli_source_close(&job->source);
}

// ---- further runs on the same samples: the first one's oracles and attacks serve all of them

static lt_status audit_further(cli_call *call, const struct job *first, struct job *job, json_t **out)
{
    const struct opts *o = call->opts;
    lt_signals *s;
    cli_progress_stage(call->session->progress, "auditing %s", job->name);
    LT_TRY(cli_source_open(job->name, NULL, &job->source));
    LT_TRY(find_original(call, job));
    find_adversarial_set(job);
    LT_TRY(cli_signals(call, &job->source, job->ds, &job->sets, &s));
    if (!lt_signals_same_samples(first->target.signals, s)) {
        lt_signals_destroy(s);
        return LT_FAIL(LT_E_FORMAT, "%s: expected outputs on the samples of %s, found others", job->name, first->name);
    }
    LT_TRY(lt_audited_measure(&job->attacks, &o->audit, s, &job->target));
    LT_TRY(check_kinds(call, job));
    return finish(call, job, out);
}

static lt_status audit_also(cli_call *call, const struct job *first, json_t *list)
{
    lt_status status = LT_OK;
    for (int i = 0; i < first->further.n && status == LT_OK; i++) {
        struct job job = {.name = first->further.item[i], // borrows data, sets, oracles, attacks
                          .ds = first->ds,
                          .sets = first->sets,
                          .oracles = first->oracles,
                          .oracle = first->oracle,
                          .attacks = first->attacks,
                          .env = first->env};
        json_t *r = NULL;
        memcpy(job.forget_digest, first->forget_digest, sizeof job.forget_digest);
        status = audit_further(call, first, &job, &r);
        if (status == LT_OK)
            json_array_append(list, r);
        json_decref(r);
        clear_model(&job);
    }
    return status;
}

static lt_status check_gap(const cli_call *call)
{
    const struct opts *o = call->opts;
    double gap = cli_real(call->result, "avg_gap");
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(call->result, "also"), i, one) gap = fmax(gap, cli_real(one, "avg_gap"));
    if (o->max_gap <= 0 || gap <= o->max_gap)
        return LT_OK;
    return LT_FAIL(LT_E_CHECK, "average gap %.4f is larger than --max-gap %.4f", gap, o->max_gap);
}

static lt_status check_lint(const json_t *result)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(result, "lint"), i, item)
    {
        if (strcmp(cli_text(item, "severity"), lt_severity_text(LT_LINT_ERROR)) != 0)
            continue;
        LT_FAIL(LT_E_CHECK, "%s: the linter found an error (%s): %s", cli_text(result, "run"), cli_text(item, "id"),
                cli_text(item, "text"));
        return lt_error_hint("the metrics do not say what they seem to; --allow-lint accepts them");
    }
    return LT_OK;
}

static lt_status check(const cli_call *call)
{
    size_t i;
    const json_t *one;
    LT_TRY(check_gap(call));
    if (((const struct opts *)call->opts)->allow_lint)
        return LT_OK;
    LT_TRY(check_lint(call->result));
    json_array_foreach(json_object_get(call->result, "also"), i, one) LT_TRY(check_lint(one));
    return LT_OK;
}

static lt_status collect(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    bool arrays = o->signals && *o->signals;
    cli_list_option(&job->oracles, call, arrays ? "oracle-signals" : "oracle");
    if (!arrays && o->oracle_signals)
        return LT_FAIL(LT_E_USAGE, "--oracle-signals goes with --signals; for runs use --oracle");
    if (arrays && (o->oracle || (o->run && *o->run)))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit the run and --oracle");
    if (arrays && o->amun_bound_out && *o->amun_bound_out)
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit --amun-bound-out");
    if (!o->amun_bound && o->amun_bound_out && *o->amun_bound_out)
        return LT_FAIL(LT_E_USAGE, "--amun-bound-out and --no-amun-bound contradict each other");
    for (int i = 1; i < call->n_positional; i++)
        cli_list_push(&job->further, call->positional[i], strlen(call->positional[i]));
    cli_list_option(&job->further, call, "also");
    if (is_set(o->also))
        cli_say(call->session, "notice: option also is now called RUN, an argument that may be repeated");
    if (arrays && job->further.n)
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit %s", job->further.item[0]);
    if (job->further.n && (o->scores || o->original_signals || o->risk || o->amun_bound_out || o->original))
        return LT_FAIL(LT_E_USAGE, "--%s is of one run, found %d: omit it, or audit the runs one by one",
                       o->scores             ? "scores"
                       : o->original_signals ? "original-signals"
                       : o->risk             ? "risk"
                       : o->amun_bound_out   ? "amun-bound-out"
                                             : "original",
                       job->further.n + 1);
    if (arrays && (o->forget || o->data || o->file.model))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit %s",
                       o->forget ? "--forget"
                       : o->data ? "--data"
                                 : "--model");
    if (arrays && o->representations)
        return LT_FAIL(LT_E_USAGE, "--representations: expected runs, found --signals, which have outputs only");
    if (o->original && *o->original && !o->representations)
        return LT_FAIL(LT_E_USAGE, "--original is used with --representations only");
    if (o->max_gap > 0 && job->oracles.n == 0)
        return LT_FAIL(LT_E_USAGE, "--max-gap: there is no gap to check without an --oracle");
    job->oracle = cli_alloc((size_t)job->oracles.n, sizeof *job->oracle);
    job->audited = cli_alloc((size_t)job->oracles.n, sizeof *job->audited);
    return LT_OK;
}

static void job_clear(struct job *job)
{
    clear_model(job);
    for (int i = 0; job->audited && i < job->oracles.n; i++)
        lt_audited_clear(&job->audited[i]);
    free(job->audited);
    free(job->oracle);
    lt_mia_set_clear(&job->attacks);
    cli_list_clear(&job->oracles);
    cli_list_clear(&job->further);
    cli_sets_clear(&job->sets);
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    struct job job = {0};
    lt_status status = LT_OK;
    json_t *also = json_array();
    o->audit.seed = call->seed.seed;
    LT_TRY_GOTO(cli_positional(call, "run", is_set(o->signals) ? 0 : 1, 1 << 20), done);
    LT_TRY_GOTO(cli_may_write("scores", o->scores, CLI_FILE_NPZ, o->force), done);
    LT_TRY_GOTO(cli_may_write("risk", o->risk, CLI_FILE_CSV, o->force), done);
    LT_TRY_GOTO(cli_may_write("amun-bound-out", o->amun_bound_out, CLI_FILE_NPZ, o->force), done);
    LT_TRY_GOTO(collect(call, &job), done);
    job.name = is_set(o->signals) ? o->signals : o->run;
    LT_TRY_GOTO(is_set(o->signals) ? open_target_arrays(call, &job) : open_run(call, &job), done);
    LT_TRY_GOTO(finish(call, &job, &call->result), done);
    LT_TRY_GOTO(audit_also(call, &job, also), done);
    if (job.further.n)
        cli_put(call->result, "also", json_incref(also));
done:
    json_decref(also);
    cli_progress_clear(call->session->progress);
    job_clear(&job);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    size_t i;
    const json_t *one, *also = json_object_get(call->result, "also");
    if (also)
        fprintf(out, "%s\n", cli_text(call->result, "run"));
    cli_audit_print(call->result, out);
    json_array_foreach((json_t *)also, i, one)
    {
        fprintf(out, "\n%s\n", cli_text(one, "run"));
        cli_audit_print(one, out);
    }
}

const cli_verb cli_verb_audit = {
    .name = "audit",
    .usage = "RUN... [--oracle RUN,...] | --signals FILE.npz [--oracle-signals FILE.npz,...] [--references FILE.npz]",
    .about = "Measures accuracies and membership inference attacks on forgotten, retained and test samples, and the "
             "average\n"
             "gap to models retrained without the forgotten samples. With two oracles or more every metric has a "
             "verdict:\n"
             "distinguishable from retraining or not. Warnings of the linter say which metrics to distrust.\n"
             "Several runs that forgot the same samples are audited against the same oracles, which are measured "
             "once.\n"
             "\n"
             "--representations compares the unlearned model, the original one and the oracles inside: linear probes "
             "on every\n"
             "stage (membership of forgotten samples, their classes), similarity of stages (linear CKA), and how fast "
             "each\n"
             "relearns the forgotten samples. The runs are not changed.\n"
             "\n"
             "--references: outputs of M reference models on the same N samples in the same order: logits (M,N,K), "
             "member (M,N)\n"
             "with 1 = trained on the sample, 0 = not, 2 = trained on it, then unlearned by the audited method.",
    .examples = "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2\n"
                "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2 --representations\n"
                "  lethe audit --signals target.npz --oracle-signals retrained.npz --json\n"
                "  lethe audit --signals target.npz --references refs.npz --scores scores.npz --rmia.gamma 1\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = cli_attacks_bind,
    .more_help = cli_attacks_help,
    .run = run,
    .check = check,
    .print = print,
};
