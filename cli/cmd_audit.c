// cmd_audit.c - `lethe audit`: how much a model still knows about what it was to forget, against retrained oracles.
//
// Works on run directories, on model files, and on arrays alone (--signals), so that any tool's models can be audited.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *run, *oracle, *signals, *oracle_signals, *forget, *data, *model;
    uint64_t forget_seed;
    double max_gap;
    lt_audit_cfg audit;
};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "run or model file to audit (also the first argument)"),
    LT_STR(struct opts, oracle, NULL, "retrained runs, separated by commas or the option repeated"),
    LT_STR(struct opts, signals, NULL, "audit this .npz of outputs (logits, labels, ids, group) instead of a run"),
    LT_STR(struct opts, oracle_signals, NULL, "outputs of retrained models, for --signals; separated by commas"),
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
    {NULL, NULL, NULL, 0, 0},
};

struct job {
    cli_source target, oracle;
    cli_list oracles;
    const lt_dataset *ds;
    cli_sets sets;
    lt_audit audit, *of_oracle;
    json_t *lint;
    char forget_digest[65];
};

static lt_status audit_signals(const lt_signals *s, const struct opts *o, lt_audit *out)
{
    return lt_audit_run_cfg(s, &o->audit, out);
}

static lt_status audit_source(cli_call *call, const struct job *job, const cli_source *src, lt_audit *out)
{
    lt_signals *s = NULL;
    LT_TRY(cli_signals(call, src, job->ds, &job->sets, &s));
    lt_status status = audit_signals(s, call->opts, out);
    lt_signals_destroy(s);
    return status;
}

static lt_status audit_file(const char *npz, const struct opts *o, lt_signals **keep, lt_audit *out)
{
    LT_TRY(lt_signals_open(npz, keep));
    return audit_signals(*keep, o, out);
}

// ---- from runs

static lt_status audit_oracle(cli_call *call, struct job *job, int i)
{
    cli_progress_stage(call->session->progress, "auditing oracle %s", job->oracles.item[i]);
    LT_TRY(cli_source_open(job->oracles.item[i], NULL, &job->oracle));
    cli_lint_oracle(job->lint, &job->target, &job->oracle, job->forget_digest);
    LT_TRY(audit_source(call, job, &job->oracle, &job->of_oracle[i]));
    cli_source_close(&job->oracle);
    return LT_OK;
}

static lt_status audit_run(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    cli_foreign foreign = {.model = o->model};
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &foreign.ds));
    LT_TRY(cli_source_open(o->run, &foreign, &job->target));
    LT_TRY(cli_source_data(call, &job->target, o->data, &job->ds));
    LT_TRY(
        cli_sets_of_run(&job->target, job->ds, &(cli_forget){.spec = o->forget, .seed = o->forget_seed}, &job->sets));
    lt_index_set_digest(job->ds, LT_TRAIN, &job->sets.forget, job->forget_digest);
    cli_progress_stage(call->session->progress, "auditing %s", o->run);
    LT_TRY(audit_source(call, job, &job->target, &job->audit));
    for (int i = 0; i < job->oracles.n; i++)
        LT_TRY(audit_oracle(call, job, i));
    cli_lint_target(job->lint, &job->target);
    cli_lint_twins(job->lint, job->ds, &job->sets);
    return LT_OK;
}

// ---- from arrays

static bool same_samples(const lt_signals *a, const lt_signals *b)
{
    return a->n == b->n && a->k == b->k && !memcmp(a->label, b->label, (size_t)a->n * sizeof *a->label) &&
           !memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id) && !memcmp(a->group, b->group, (size_t)a->n);
}

static lt_status audit_arrays(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_signals *target = NULL, *oracle = NULL;
    lt_status status = audit_file(o->signals, o, &target, &job->audit);
    for (int i = 0; i < job->oracles.n && status == LT_OK; i++) {
        status = audit_file(job->oracles.item[i], o, &oracle, &job->of_oracle[i]);
        if (status == LT_OK && !same_samples(target, oracle))
            cli_lint(job->lint, "oracle-other-samples",
                     "%s holds other samples, labels or groups than %s, or in another order", job->oracles.item[i],
                     o->signals);
        if (status == LT_OK && target->n == oracle->n && target->k == oracle->k &&
            !memcmp(target->logits, oracle->logits, (size_t)target->n * (size_t)target->k * sizeof *target->logits))
            cli_lint(job->lint, "oracle-is-target", "%s holds the outputs of the audited model", job->oracles.item[i]);
        lt_signals_destroy(oracle);
        oracle = NULL;
    }
    lt_signals_destroy(target);
    return status;
}

// ---- result

static json_t *oracle_json(const struct job *job)
{
    json_t *list = json_array();
    for (int i = 0; i < job->oracles.n; i++) {
        json_t *one = cli_audit_json(&job->of_oracle[i]);
        cli_put(one, "run", json_string(job->oracles.item[i]));
        json_array_append_new(list, one);
    }
    return list;
}

static lt_status fill_result(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    int n = job->oracles.n;
    double gap = n ? lt_avg_gap(&job->audit, job->of_oracle, n, LT_GAP_MIS) : (double)NAN;
    json_t *r = cli_audit_json(&job->audit);
    cli_lint_counts(job->lint, &job->audit, n);
    cli_put(r, "run", json_string(o->signals ? o->signals : o->run));
    cli_put(r, "n_forget", json_integer(job->audit.n[LT_GROUP_FORGET]));
    cli_put(r, "n_retain", json_integer(job->audit.n[LT_GROUP_RETAIN]));
    cli_put(r, "n_test", json_integer(job->audit.n[LT_GROUP_TEST]));
    cli_put_real(r, "avg_gap", gap);
    cli_put_real(r, "avg_gap_auc", n ? lt_avg_gap(&job->audit, job->of_oracle, n, LT_GAP_PHI_AUC) : (double)NAN);
    cli_put(r, "oracles", oracle_json(job));
    cli_put(r, "lint", json_incref(job->lint));
    call->result = r;
    return LT_OK;
}

static lt_status check_gap(const cli_call *call)
{
    const struct opts *o = call->opts;
    double gap = cli_real(call->result, "avg_gap");
    if (o->max_gap <= 0 || gap <= o->max_gap)
        return LT_OK;
    if (!isfinite(gap))
        return LT_FAIL(LT_E_USAGE, "--max-gap: there is no gap to check without an --oracle");
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
    for (int i = 1; i < call->n_positional; i++) // --oracle A B C
        cli_list_push(&job->oracles, call->positional[i], strlen(call->positional[i]));
    job->of_oracle = cli_alloc((size_t)job->oracles.n, sizeof *job->of_oracle);
    return LT_OK;
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    struct job job = {.lint = json_array()};
    lt_status status = LT_OK;
    o->audit.seed = call->seed.seed;
    LT_TRY_GOTO(cli_positional(call, "run", o->signals && *o->signals ? 0 : 1, 1 << 20), done);
    LT_TRY_GOTO(collect(call, &job), done);
    LT_TRY_GOTO(o->signals && *o->signals ? audit_arrays(call, &job) : audit_run(call, &job), done);
    LT_TRY_GOTO(fill_result(call, &job), done);
done:
    cli_progress_clear(call->session->progress);
    json_decref(job.lint);
    free(job.of_oracle);
    cli_list_clear(&job.oracles);
    cli_sets_clear(&job.sets);
    cli_source_close(&job.target);
    cli_source_close(&job.oracle);
    return status;
}

static void print_row(cli_table *t, const char *name, double a, double b)
{
    char text[3][24];
    cli_table_row(t, name, cli_percent(a, text[0]), cli_percent(b, text[1]),
                  isfinite(a - b) ? cli_percent(fabs(a - b), text[2]) : "-");
}

static double oracle_mean(const json_t *r, const char *path)
{
    double sum = 0;
    size_t i;
    json_t *one, *list = json_object_get(r, "oracles");
    json_array_foreach(list, i, one) sum += cli_real(one, path);
    return json_array_size(list) ? sum / (double)json_array_size(list) : (double)NAN;
}

static void print(const cli_call *call, FILE *out)
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
    const json_t *r = call->result;
    cli_table t = {.n_columns = 4, .left = {true}};
    cli_table_row(&t, "figure", "model", "oracles", "difference");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_row(&t, rows[i][0], cli_real(r, rows[i][1]), oracle_mean(r, rows[i][1]));
    cli_table_print(&t, out);
    cli_table_clear(&t);
    if (isfinite(cli_real(r, "avg_gap")))
        fprintf(out, "average gap: %.2f points with MIS, %.2f with phi AUC\n", 100 * cli_real(r, "avg_gap"),
                100 * cli_real(r, "avg_gap_auc"));
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(r, "lint"), i, item) fprintf(out, "note: %s\n", cli_text(item, "text"));
}

const cli_verb cli_verb_audit = {
    .name = "audit",
    .usage = "RUN [--oracle RUN ...] | --signals FILE.npz [--oracle-signals FILE.npz ...]",
    .about = "Measures accuracies and membership inference attacks on forgotten, retained and test samples, and the "
             "average\n"
             "gap to models retrained without the forgotten samples. Says what makes the figures less certain than "
             "they look.",
    .examples = "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2\n"
                "  lethe audit --signals target.npz --oracle-signals retrained.npz --json\n",
    .uses = CLI_COMPUTE | CLI_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .check = check_gap,
    .print = print,
};
