// cmd_audit.c - `lethe audit`: how much a model still knows about what it was to forget, against retrained oracles.
//
// Works on run directories, on model files, and on arrays alone (--signals), so that any tool's models can be audited.
#include "audit.h"
#include <string.h>

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
    // not options: what print and release need
    cli_list runs, oracles;
    lt_audit_order order;
    lt_audit_result result;
    lt_env env;
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
    LT_STR(struct opts, original_signals, NULL, "outputs of the original model (.npz): whose risk rose, and verdicts"),
    LT_STR(struct opts, risk, NULL, "write the risk of every forgotten and retained sample to this .csv"),
    LT_STR(struct opts, amun_bound_out, NULL, "write the terms of AMUN's bound of every sample to this .npz"),
    LT_BOOL(struct opts, amun_bound, 1, "terms of AMUN's bound, for runs that keep an adversarial set"),
    LT_BOOL(struct opts, representations, 0, "representation audit: probes, CKA, relearning"),
    LT_STR(struct opts, original, NULL, "the original run or file; default: the run's parent"),
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

static bool is_set(const char *text)
{
    return text && *text;
}

static lt_status check_names(const cli_call *call)
{
    const struct opts *o = call->opts;
    const bool arrays = is_set(o->signals);
    const char *of_runs = o->forget ? "--forget" : o->data ? "--data" : o->file.model ? "--model" : NULL;
    if (!arrays && o->oracle_signals)
        return LT_FAIL(LT_E_USAGE, "--oracle-signals goes with --signals; for runs use --oracle");
    if (arrays && (o->oracle || is_set(o->run)))
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit the run and --oracle");
    if (arrays && of_runs)
        return LT_FAIL(LT_E_USAGE, "--signals audits arrays alone: omit %s", of_runs);
    if (is_set(o->also))
        cli_say(call->session, "notice: option also is now called RUN, an argument that may be repeated");
    return LT_OK;
}

static void list_runs(const cli_call *call, cli_list *runs)
{
    const struct opts *o = call->opts;
    const char *first = is_set(o->signals) ? o->signals : o->run;
    cli_list_push(runs, first, strlen(first));
    for (int i = 1; i < call->n_positional; i++)
        cli_list_push(runs, call->positional[i], strlen(call->positional[i]));
    cli_list_option(runs, call, "also");
}

static lt_status audit(cli_call *call, const cli_list *runs, const cli_list *oracles, lt_env *env)
{
    struct opts *o = call->opts;
    void *cfg[CLI_MAX_ATTACKS];
    const lt_mia_set_spec attacks = cli_attacks_spec(call, o->attacks, o->references, cfg);
    if (!is_set(o->signals))
        LT_TRY(cli_env(call, env));
    o->order = (lt_audit_order){.run = (const char *const *)runs->item,
                                .n_runs = runs->n,
                                .oracle = (const char *const *)oracles->item,
                                .n_oracles = oracles->n,
                                .of_signals = is_set(o->signals),
                                .data = o->data,
                                .ds = call->session->data,
                                .fallback = &o->file,
                                .forget = {.spec = o->forget, .seed = o->forget_seed},
                                .original = o->original,
                                .original_signals = o->original_signals,
                                .attacks = &attacks,
                                .audit = &o->audit,
                                .verdict = &o->verdict,
                                .classes = &o->classes,
                                .representation = o->representations ? &o->representation : NULL,
                                .amun_bound = o->amun_bound,
                                .scores = o->scores,
                                .risk = o->risk,
                                .amun_bound_out = o->amun_bound_out,
                                .env = is_set(o->signals) ? NULL : env};
    LT_TRY(lt_audit_runs(&o->order, &o->result));
    return cli_json_take(lt_audit_result_json(&o->result), &call->result);
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    o->audit.seed = call->seed.seed;
    LT_TRY(cli_positional(call, "run", is_set(o->signals) ? 0 : 1, 1 << 20));
    LT_TRY(lt_output_check("scores", o->scores, LT_OUTPUT_NPZ, o->force));
    LT_TRY(lt_output_check("risk", o->risk, LT_OUTPUT_CSV, o->force));
    LT_TRY(lt_output_check("amun-bound-out", o->amun_bound_out, LT_OUTPUT_NPZ, o->force));
    LT_TRY(check_names(call));
    list_runs(call, &o->runs);
    cli_list_option(&o->oracles, call, is_set(o->signals) ? "oracle-signals" : "oracle");
    if (o->max_gap > 0 && o->oracles.n == 0)
        return LT_FAIL(LT_E_USAGE, "--max-gap: there is no gap to check without an --oracle");
    const lt_status status = audit(call, &o->runs, &o->oracles, &o->env);
    cli_progress_clear(call->session->progress);
    return status;
}

static lt_status check(const cli_call *call)
{
    const struct opts *o = call->opts;
    return lt_audit_result_check(&o->result, o->max_gap, o->allow_lint);
}

static void print(const cli_call *call, FILE *out)
{
    const struct opts *o = call->opts;
    const json_t *also = json_object_get(call->result, "also");
    for (int i = 0; i < o->result.n; i++) {
        const json_t *one = i > 0 ? json_array_get(also, (size_t)i - 1) : call->result;
        if (o->result.n > 1)
            fprintf(out, "%s%s\n", i > 0 ? "\n" : "", cli_text(one, "run"));
        cli_audit_print(o->result.report[i], one, out);
    }
}

static void release(cli_call *call)
{
    struct opts *o = call->opts;
    lt_audit_result_clear(&o->result);
    cli_list_clear(&o->runs);
    cli_list_clear(&o->oracles);
}

const cli_verb cli_verb_audit = {
    .name = "audit",
    .usage = "RUN... [--oracle RUN,...] | --signals FILE.npz [--oracle-signals FILE.npz,...] [--references FILE.npz]",
    .about =
        "Measures accuracies and membership inference attacks on forgotten, retained and test samples, and the "
        "average\n"
        "gap to models retrained without the forgotten samples. With two oracles or more every metric has a "
        "verdict:\n"
        "distinguishable from retraining, indistinguishable, or too few seeds (with five oracles a single metric "
        "always "
        "has\n"
        "an answer); this study cannot tell, where the original model itself is indistinguishable. Warnings of the "
        "linter say\n"
        "which metrics to distrust.\n"
        "Several runs that forgot the same samples are audited against the same oracles, which are measured "
        "once.\n"
        "\n"
        "--representations compares the stages of the unlearned, original and retrained networks: linear probes on "
        "every\n"
        "stage (membership of forgotten samples, their classes), similarity of stages (linear CKA), and how fast "
        "each\n"
        "relearns the forgotten samples. The runs are not changed.\n"
        "\n"
        "--references: outputs of M reference models on the same N samples: logits (M,N,K), member (M,N) with 1 = "
        "trained\n"
        "on the sample, 0 = not, 2 = trained on it, then unlearned by the audited method. Rows are matched by an "
        "array ids\n"
        "(N); without it they must be in the order of the audited samples.",
    .examples = "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2\n"
                "  lethe audit runs/amun --oracle runs/retrain-1 --oracle runs/retrain-2 --representations\n"
                "  lethe audit --signals target.npz --oracle-signals retrained.npz --json\n"
                "  lethe audit --signals target.npz --references refs.npz --scores scores.npz --rmia.gamma 1\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_RECORD,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = cli_attacks_bind,
    .more_help = cli_attacks_help,
    .run = run,
    .check = check,
    .print = print,
    .release = release,
};
