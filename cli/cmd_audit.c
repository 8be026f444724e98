// cmd_audit.c - `lethe audit`: how much a model still knows about what it was to forget, against retrained oracles.
//
// Works on run directories, on model files, and on arrays alone (--signals), so that any tool's models can be audited.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *run, *also, *oracle, *signals, *oracle_signals, *forget, *data, *model;
    const char *references, *attacks, *scores, *before, *risk, *diagnostics, *original;
    bool diagnose;
    uint64_t forget_seed;
    double max_gap;
    bool depth;
    lt_audit_cfg audit;
    lt_representation_cfg how_deep;
    lt_verdict_cfg verdict;
};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "run or model file to audit (also the first argument)"),
    LT_STR(struct opts, also, NULL,
           "further runs that forgot the same samples, audited against the same oracles, which are measured once"),
    LT_STR(struct opts, oracle, NULL, "retrained runs, separated by commas or the option repeated"),
    LT_STR(struct opts, signals, NULL, "audit this .npz of outputs (logits, labels, ids, group) instead of a run"),
    LT_STR(struct opts, oracle_signals, NULL, "outputs of retrained models, for --signals; separated by commas"),
    LT_STR(struct opts, references, NULL, "outputs of reference models on the same samples: .npz of logits, member"),
    LT_STR(struct opts, attacks, NULL, "membership attacks, separated by commas; default: all the references allow"),
    LT_STR(struct opts, scores, NULL, "write the scores of every attack to this .npz, larger = more likely a member"),
    LT_STR(struct opts, before, NULL, "outputs before unlearning (.npz): whose risk rose"),
    LT_STR(struct opts, risk, NULL, "write the risk of every forgotten and retained sample to this .csv"),
    LT_STR(struct opts, diagnostics, NULL, "write what AMUN's theorem is about, per sample, to this .npz"),
    LT_BOOL(struct opts, diagnose, 1, "diagnostics of AMUN's theorem, of runs that keep an adversarial set"),
    LT_BOOL(struct opts, depth, 0, "also probe every stage of the network, compare stages (CKA), and learn again"),
    LT_STR(struct opts, original, NULL, "with --depth: run or file before unlearning; default: the run's parent"),
    LT_STR(struct opts, forget, NULL, "forget set, when the run has none or another one is meant"),
    LT_U64(struct opts, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_STR(struct opts, model, NULL, "architecture of a model file without lethe metadata"),
    LT_F64(struct opts, max_gap, 0, 0, 1, "", "exit with code 6 when the average gap (MIS) is larger; 0 = no check"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "What to audit", own, 0, LT_OPTGROUP_FLAGS},
    {"audit", "How to audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {"audit", "How to look inside (--depth)", lt_representation_options, offsetof(struct opts, how_deep),
     LT_OPTGROUP_FLAGS},
    {"audit", "How to judge", lt_verdict_options, offsetof(struct opts, verdict), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

struct job {
    const char *name;                 // of the audited model
    cli_source source, oracle_source; // of runs
    cli_list oracles, also;
    const lt_dataset *ds;
    cli_sets sets;
    cli_attacks attacks;
    cli_audited target, *oracle;
    lt_signals *before;
    json_t *lint, *diagnostics;
    char forget_digest[65];
};

// Signals that have become the audited model's: references and attacks are chosen for these samples.
static lt_status audit_target(cli_call *call, struct job *job, lt_signals *s)
{
    const struct opts *o = call->opts;
    lt_status status = cli_attacks_open(call, o->attacks, o->references, s, &job->attacks);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    LT_TRY(cli_audited_measure(&job->attacks, &o->audit, s, &job->target));
    cli_lint_signals(job->lint, job->target.signals);
    if (job->attacks.refs)
        cli_lint_references(job->lint, job->attacks.refs, job->target.signals);
    return LT_OK;
}

// An oracle with other samples has accuracies to compare, but no references that fit it.
static lt_status audit_oracle(cli_call *call, struct job *job, int i, lt_signals *s)
{
    const struct opts *o = call->opts;
    bool same = cli_same_samples(job->target.signals, s);
    if (!same)
        cli_lint(job->lint, "oracle-other-samples",
                 "%s holds other samples, labels or groups than the audited model, or in another order",
                 job->oracles.item[i]);
    return cli_audited_measure(same ? &job->attacks : NULL, &o->audit, s, &job->oracle[i]);
}

// ---- from runs

static lt_status oracle_from_run(cli_call *call, struct job *job, int i)
{
    lt_signals *s;
    cli_progress_stage(call->session->progress, "auditing oracle %s", job->oracles.item[i]);
    LT_TRY(cli_source_open(job->oracles.item[i], NULL, &job->oracle_source));
    cli_lint_oracle(job->lint, &job->source, &job->oracle_source, job->forget_digest);
    LT_TRY(cli_signals(call, &job->oracle_source, job->ds, &job->sets, &s));
    LT_TRY(audit_oracle(call, job, i, s));
    cli_source_close(&job->oracle_source);
    return LT_OK;
}

static cli_depth describe_depth(const struct opts *o, const struct job *job)
{
    return (cli_depth){.source = &job->source,
                       .original = o->original,
                       .oracles = &job->oracles,
                       .ds = job->ds,
                       .sets = &job->sets,
                       .cfg = &o->how_deep,
                       .verdict = &o->verdict,
                       .seed = o->audit.seed};
}

static lt_status diagnose(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    if (!o->diagnose)
        return LT_OK;
    return cli_theorem(call,
                       &(cli_theorem_ask){.source = &job->source,
                                          .ds = job->ds,
                                          .oracle = job->oracles.item,
                                          .n_oracles = job->oracles.n,
                                          .npz = o->diagnostics,
                                          .lint = job->lint},
                       &job->diagnostics);
}

static lt_status audit_run(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    cli_foreign foreign = {.model = o->model};
    lt_signals *s;
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &foreign.ds));
    LT_TRY(cli_source_open(o->run, &foreign, &job->source));
    LT_TRY(cli_source_data(call, &job->source, o->data, &job->ds));
    LT_TRY(
        cli_sets_of_run(&job->source, job->ds, &(cli_forget){.spec = o->forget, .seed = o->forget_seed}, &job->sets));
    lt_index_set_digest(job->ds, LT_TRAIN, &job->sets.forget, job->forget_digest);
    if (o->depth) {
        const cli_depth in = describe_depth(o, job);
        LT_TRY(cli_depth_check(&in));
    }
    cli_progress_stage(call->session->progress, "auditing %s", o->run);
    LT_TRY(cli_signals(call, &job->source, job->ds, &job->sets, &s));
    LT_TRY(audit_target(call, job, s));
    for (int i = 0; i < job->oracles.n; i++)
        LT_TRY(oracle_from_run(call, job, i));
    cli_lint_target(job->lint, &job->source);
    cli_lint_stale(job->lint, &job->source, &job->target.audit);
    cli_lint_twins(job->lint, job->ds, &job->sets);
    return diagnose(call, job);
}

// ---- from arrays

static lt_status open_arrays(const char *npz, lt_signals **s)
{
    LT_TRY(lt_signals_open(npz, s));
    lt_status status = lt_signals_need_groups(*s, npz);
    if (status != LT_OK)
        lt_signals_destroy(*s);
    return status;
}

static lt_status audit_arrays(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_signals *s;
    cli_progress_stage(call->session->progress, "auditing %s", o->signals);
    LT_TRY(open_arrays(o->signals, &s));
    LT_TRY(audit_target(call, job, s));
    for (int i = 0; i < job->oracles.n; i++) {
        LT_TRY(open_arrays(job->oracles.item[i], &s));
        LT_TRY(audit_oracle(call, job, i, s));
        if (cli_same_outputs(job->target.signals, s))
            cli_lint(job->lint, "oracle-is-target", "%s holds the outputs of the audited model", job->oracles.item[i]);
    }
    return LT_OK;
}

// ---- result

static json_t *oracle_json(const struct job *job)
{
    json_t *list = json_array();
    for (int i = 0; i < job->oracles.n; i++) {
        json_t *one = json_copy(job->oracle[i].json);
        cli_put_text(one, "run", job->oracles.item[i]);
        json_array_append_new(list, one);
    }
    return list;
}

static void put_gaps(const struct job *job, json_t *r)
{
    int n = job->oracles.n;
    lt_audit *of = cli_alloc((size_t)n, sizeof *of);
    for (int i = 0; i < n; i++)
        of[i] = job->oracle[i].audit;
    cli_put_real(r, "avg_gap", n ? lt_avg_gap(&job->target.audit, of, n, LT_GAP_MIS) : (double)NAN);
    cli_put_real(r, "avg_gap_auc", n ? lt_avg_gap(&job->target.audit, of, n, LT_GAP_PHI_AUC) : (double)NAN);
    free(of);
}

static void put_counts(const struct job *job, json_t *r)
{
    const lt_audit *a = &job->target.audit;
    int n_classes;
    cli_put(r, "n_forget", json_integer(a->n[LT_GROUP_FORGET]));
    cli_put(r, "n_retain", json_integer(a->n[LT_GROUP_RETAIN]));
    cli_put(r, "n_test", json_integer(a->n[LT_GROUP_TEST]));
    double other = cli_other_classes_acc(job->target.signals, &n_classes);
    cli_put(r, "n_forgotten_classes", json_integer(n_classes));
    cli_put_real(r, "ta_other_classes", other);
}

static lt_status open_before(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    if (!o->before || !*o->before)
        return LT_OK;
    LT_TRY(lt_signals_open(o->before, &job->before));
    if (!cli_same_samples(job->target.signals, job->before))
        return LT_FAIL(
            LT_E_FORMAT,
            "%s: expected the samples, labels and groups of the audited model in the same order (%lld rows), "
            "found others (%lld rows)",
            o->before, (long long)job->target.signals->n, (long long)job->before->n);
    if (cli_same_outputs(job->target.signals, job->before))
        cli_lint(job->lint, "no-change", "%s holds the outputs of the audited model: nothing was unlearned", o->before);
    return LT_OK;
}

static lt_status put_depth(cli_call *call, struct job *job, json_t *r)
{
    const struct opts *o = call->opts;
    json_t *depth;
    if (!o->depth)
        return LT_OK;
    const cli_depth in = describe_depth(o, job);
    LT_TRY(cli_depth_json(call, &in, &depth));
    cli_put(r, "depth", depth);
    return LT_OK;
}

static lt_status fill_result(cli_call *call, struct job *job, json_t **out)
{
    const struct opts *o = call->opts;
    json_t *risk, *r = *out = json_deep_copy(job->target.json);
    LT_TRY(open_before(call, job));
    cli_put_text(r, "run", job->name);
    put_counts(job, r);
    put_gaps(job, r);
    LT_TRY(cli_verdict_put(&job->attacks, &job->target, job->oracle, job->oracles.n, &o->verdict, o->audit.seed, r));
    cli_put(r, "oracles", oracle_json(job));
    cli_put(r, "references", cli_references_json(&job->attacks, job->target.signals));
    LT_TRY(cli_risk(&job->attacks, &job->target, job->before, o->risk, &risk));
    cli_put(r, "risk", risk);
    LT_TRY(put_depth(call, job, r));
    if (o->scores && *o->scores)
        LT_TRY(cli_scores_save(&job->attacks, &job->target, o->scores));
    cli_put(r, "diagnostics", json_incref(job->diagnostics));
    cli_lint_counts(job->lint, &job->target.audit, job->oracles.n);
    cli_lint_oracles(job->lint, job->oracle, job->oracles.item, job->oracles.n);
    cli_lint_scores(job->lint, &job->attacks, &job->target, r);
    cli_put(r, "lint", json_incref(job->lint));
    return LT_OK;
}

// ---- further runs on the same samples: the first one's oracles and attacks serve all of them

static lt_status audit_next(cli_call *call, const struct job *first, struct job *job)
{
    lt_signals *s;
    cli_progress_stage(call->session->progress, "auditing %s", job->name);
    LT_TRY(cli_source_open(job->name, NULL, &job->source));
    LT_TRY(cli_signals(call, &job->source, job->ds, &job->sets, &s));
    if (!cli_same_samples(first->target.signals, s)) {
        lt_signals_destroy(s);
        return LT_FAIL(LT_E_FORMAT, "--also %s: expected outputs on the samples of %s, found others", job->name,
                       first->name);
    }
    LT_TRY(cli_audited_measure(&job->attacks, &((const struct opts *)call->opts)->audit, s, &job->target));
    cli_lint_signals(job->lint, job->target.signals);
    if (job->attacks.refs)
        cli_lint_references(job->lint, job->attacks.refs, job->target.signals);
    for (int i = 0; i < job->oracles.n; i++) {
        LT_TRY(cli_source_open(job->oracles.item[i], NULL, &job->oracle_source));
        cli_lint_oracle(job->lint, &job->source, &job->oracle_source, job->forget_digest);
        cli_source_close(&job->oracle_source);
    }
    cli_lint_target(job->lint, &job->source);
    cli_lint_stale(job->lint, &job->source, &job->target.audit);
    cli_lint_twins(job->lint, job->ds, &job->sets);
    if (((const struct opts *)call->opts)->depth) {
        const cli_depth in = describe_depth(call->opts, job);
        LT_TRY(cli_depth_check(&in));
    }
    return diagnose(call, job);
}

static lt_status audit_also(cli_call *call, const struct job *first, json_t *list)
{
    lt_status status = LT_OK;
    for (int i = 0; i < first->also.n && status == LT_OK; i++) {
        struct job job = *first; // borrows data, sets, oracles, attacks
        json_t *r = NULL;
        job.name = first->also.item[i];
        job.source = job.oracle_source = (cli_source){0};
        job.target = (cli_audited){0};
        job.lint = json_array();
        job.diagnostics = NULL;
        status = audit_next(call, first, &job);
        if (status == LT_OK)
            status = fill_result(call, &job, &r);
        if (status == LT_OK)
            json_array_append(list, r);
        json_decref(r);
        json_decref(job.lint);
        json_decref(job.diagnostics);
        cli_audited_clear(&job.target);
        cli_source_close(&job.source);
        cli_source_close(&job.oracle_source);
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

static lt_status collect(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    bool arrays = o->signals && *o->signals;
    cli_list_option(&job->oracles, call, arrays ? "oracle-signals" : "oracle");
    if (!arrays && o->oracle_signals)
        return LT_FAIL(LT_E_USAGE, "--oracle-signals goes with --signals; for runs use --oracle");
    if (arrays && (o->oracle || (o->run && *o->run)))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: leave the run and --oracle out");
    if (arrays && o->diagnostics && *o->diagnostics)
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: leave --diagnostics out");
    if (!o->diagnose && o->diagnostics && *o->diagnostics)
        return LT_FAIL(LT_E_USAGE, "--diagnostics and --no-diagnose contradict each other");
    cli_list_option(&job->also, call, "also");
    if (arrays && job->also.n)
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: leave --also out");
    if (job->also.n && (o->scores || o->before || o->risk || o->diagnostics || o->original))
        return LT_FAIL(LT_E_USAGE, "--also: --%s is of one run: leave it out",
                       o->scores        ? "scores"
                       : o->before      ? "before"
                       : o->risk        ? "risk"
                       : o->diagnostics ? "diagnostics"
                                        : "original");
    if (arrays && (o->forget || o->data || o->model))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: leave %s out",
                       o->forget ? "--forget"
                       : o->data ? "--data"
                                 : "--model");
    if (arrays && o->depth)
        return LT_FAIL(LT_E_USAGE, "--depth looks inside the networks: it needs runs, not --signals");
    if (o->original && *o->original && !o->depth)
        return LT_FAIL(LT_E_USAGE, "--original goes with --depth");
    for (int i = 1; i < call->n_positional; i++) // --oracle A B C
        cli_list_push(&job->oracles, call->positional[i], strlen(call->positional[i]));
    if (o->max_gap > 0 && job->oracles.n == 0)
        return LT_FAIL(LT_E_USAGE, "--max-gap: there is no gap to check without an --oracle");
    job->oracle = cli_alloc((size_t)job->oracles.n, sizeof *job->oracle);
    return LT_OK;
}

static void job_clear(struct job *job)
{
    for (int i = 0; job->oracle && i < job->oracles.n; i++)
        cli_audited_clear(&job->oracle[i]);
    free(job->oracle);
    cli_audited_clear(&job->target);
    cli_attacks_clear(&job->attacks);
    lt_signals_destroy(job->before);
    json_decref(job->lint);
    json_decref(job->diagnostics);
    cli_list_clear(&job->oracles);
    cli_list_clear(&job->also);
    cli_sets_clear(&job->sets);
    cli_source_close(&job->source);
    cli_source_close(&job->oracle_source);
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    struct job job = {.lint = json_array()};
    lt_status status = LT_OK;
    json_t *also = json_array();
    o->audit.seed = call->seed.seed;
    LT_TRY_GOTO(cli_positional(call, "run", o->signals && *o->signals ? 0 : 1, 1 << 20), done);
    LT_TRY_GOTO(collect(call, &job), done);
    LT_TRY_GOTO(o->signals && *o->signals ? audit_arrays(call, &job) : audit_run(call, &job), done);
    job.name = o->signals && *o->signals ? o->signals : o->run;
    LT_TRY_GOTO(fill_result(call, &job, &call->result), done);
    LT_TRY_GOTO(audit_also(call, &job, also), done);
    if (job.also.n)
        cli_put(call->result, "also", json_incref(also));
done:
    json_decref(also);
    cli_progress_clear(call->session->progress);
    job_clear(&job);
    return status;
}

static double oracle_mean(const json_t *r, const char *path)
{
    double sum = 0;
    size_t i;
    json_t *one, *list = json_object_get(r, "oracles");
    json_array_foreach(list, i, one) sum += cli_real(one, path);
    return json_array_size(list) ? sum / (double)json_array_size(list) : (double)NAN;
}

static void print_row(cli_table *t, const json_t *r, const char *name, const char *path)
{
    char text[3][24], key[80];
    double value = cli_real(r, path), mean = oracle_mean(r, path);
    snprintf(key, sizeof key, "verdict.%s", path);
    cli_table_row(t, name, cli_percent(value, text[0]), cli_percent(mean, text[1]),
                  isfinite(value - mean) ? cli_percent(fabs(value - mean), text[2]) : "-",
                  json_array_size(json_object_get(r, "oracles")) ? cli_text(r, key) : "");
}

static void print_attacks(cli_table *t, const json_t *r)
{
    static const char *const row[3][2] = {
        {"ft_auc", "forget / test"}, {"fr_auc", "retain / forget"}, {"rt_auc", "retain / test"}};
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        for (int i = 0; i < 3 && json_is_object(json_object_get(r, (*m)->name)); i++) {
            char *name = cli_format("%s AUC %s %%", (*m)->title, row[i][1]);
            char *path = cli_format("%s.%s", (*m)->name, row[i][0]);
            print_row(t, r, name, path);
            free(name);
            free(path);
        }
}

static void print_one(const json_t *r, FILE *out)
{
    static const char *const rows[][2] = {
        {"forget accuracy %", "ua"},
        {"retain accuracy %", "ra"},
        {"test accuracy %", "ta"},
        {"SVC-MIA confidence (MIS) %", "svc_mia.confidence"},
        {"SVC-MIA correctness %", "svc_mia.correctness"},
        {"SVC-MIA entropy %", "svc_mia.entropy"},
        {"SVC-MIA modified entropy %", "svc_mia.m_entropy"},
        {"SVC-MIA probabilities %", "svc_mia.prob"},
        {"phi AUC forget / test %", "auc.phi.ft"},
        {"phi AUC retain / forget %", "auc.phi.fr"},
        {"phi AUC retain / test %", "auc.phi.rt"},
    };
    cli_table t = {.n_columns = 5, .left = {true, false, false, false, true}};
    cli_table_row(&t, "figure", LT_KIND_UNLEARNED, LT_KIND_RETRAINED, "difference",
                  json_array_size(json_object_get(r, "oracles")) ? "verdict" : "");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_row(&t, r, rows[i][0], rows[i][1]);
    print_attacks(&t, r);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    if (isfinite(cli_real(r, "avg_gap")))
        fprintf(out, "average gap: %.2f points with MIS, %.2f with phi AUC; all figures together: %s\n",
                100 * cli_real(r, "avg_gap"), 100 * cli_real(r, "avg_gap_auc"), cli_text(r, "verdict.overall"));
    cli_theorem_print(json_object_get(r, "diagnostics"), out);
    if (json_object_get(r, "depth"))
        cli_depth_print(json_object_get(r, "depth"), out);
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(r, "lint"), i, item) fprintf(out, "note: %s\n", cli_text(item, "text"));
}

static void print(const cli_call *call, FILE *out)
{
    size_t i;
    const json_t *one, *also = json_object_get(call->result, "also");
    if (also)
        fprintf(out, "%s\n", cli_text(call->result, "run"));
    print_one(call->result, out);
    json_array_foreach((json_t *)also, i, one)
    {
        fprintf(out, "\n%s\n", cli_text(one, "run"));
        print_one(one, out);
    }
}

const cli_verb cli_verb_audit = {
    .name = "audit",
    .usage = "RUN [--oracle RUN ...] | --signals FILE.npz [--oracle-signals FILE.npz ...] [--references FILE.npz]",
    .about = "Measures accuracies and membership inference attacks on forgotten, retained and test samples, and the "
             "average\n"
             "gap to models retrained without the forgotten samples. With two oracles or more it says for every figure "
             "whether\n"
             "the model can be told from a retrained one. Says what makes the figures less certain than they look.\n"
             "\n"
             "--depth looks inside the network, the one before unlearning and the oracles: linear probes on every "
             "stage (are\n"
             "forgotten samples told from test samples? are their classes?), likeness of stages (linear CKA), and how "
             "fast each\n"
             "learns the forgotten samples again. The runs themselves are not changed.\n"
             "\n"
             "--references: outputs of M reference models on the same N samples in the same order: logits (M,N,K), "
             "member (M,N)\n"
             "with 1 = trained on the sample, 0 = not, 2 = trained on it, then unlearned by the audited method.",
    .examples = "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2\n"
                "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2 --depth\n"
                "  lethe audit --signals target.npz --oracle-signals retrained.npz --json\n"
                "  lethe audit --signals target.npz --references refs.npz --scores scores.npz --rmia.gamma 1\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = cli_attacks_bind,
    .more_help = cli_attacks_help,
    .run = run,
    .check = check_gap,
    .print = print,
};
