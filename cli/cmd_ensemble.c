// cmd_ensemble.c - `lethe ensemble`: trains several models together, and measures transfer between them.
#include "cli.h"
#include <math.h>

struct opts {
    lt_model_fallback file; // of surrogates
    const char *data, *members, *init, *attack, *preset, *eps, *target, *surrogates, *report;
    int32_t norm, steps, restarts;
    double step_size, step_ratio;
    int64_t limit;
    bool white_box, parity, legacy_normalized;
    lt_ensemble_cfg ensemble;
    lt_train_cfg train;
    lt_clip_cfg clip;
};
static const lt_opt_value norms[] = {
    {"linf", LT_NORM_LINF, "largest change of a pixel"}, {"l2", LT_NORM_L2, "Euclidean"}, {NULL, 0, NULL}};
static const lt_option own[] = {
    LT_STR(struct opts, data, NULL, "data set, KIND[:PATH][,key=value...]; eval: default, that of the training"),
    LT_STR(struct opts, members, NULL, "train: architectures with commas, NAME[:key=value,...],..."),
    LT_STR(struct opts, init, NULL, "train: ensemble to start from, as DVERGE does; default: random initialisation"),
    LT_OPT_END,
};
static const lt_option evaluation[] = {
    LT_STR(struct opts, attack, "pgd", "eval: attack with a radius; `lethe attack --help` lists them"),
    LT_STR(struct opts, preset, NULL,
           "eval: published settings of the attack: madry, lotos or fastclip; options that are given as well win"),
    LT_ENUM(struct opts, norm, LT_NORM_LINF, norms, "eval: norm of the perturbation, in pixels of [0,1]"),
    LT_STR(struct opts, eps, "8/255", "eval: radius"),
    LT_I32(struct opts, steps, 0, 0, 1000000, "", "eval: steps of the attack; 0 = its own number"),
    LT_F64(struct opts, step_size, 0, 0, 1e6, "", "eval: step of the attack; 0 = from the next option"),
    LT_F64(struct opts, step_ratio, 0, 0, 1e6, "", "eval: the same, as a share of the radius; 0 = its own"),
    LT_I32(struct opts, restarts, 1, 1, 4000, "", "eval: runs of attacks with random starts"),
    LT_STR(struct opts, target, "",
           "eval: class to aim at: next, random, least-likely or a number; default: any other"),
    LT_STR(struct opts, surrogates, NULL, "eval: runs, files or ensembles that black-box attacks start from"),
    LT_I64(struct opts, limit, 0, 0, 1000000000, "images", "eval: the first ones of the test split; 0 = all"),
    LT_BOOL(struct opts, white_box, 1, "eval: attack the ensemble itself as well"),
    LT_BOOL(struct opts, parity, 0, "eval: the behaviour of public code, the clamped head of the ensemble included"),
    LT_BOOL(struct opts, legacy_normalized, 0,
            "eval: fgsm, bim, pgd, mi-fgsm in units of normalised images, as in published figures of LOTOS"),
    LT_STR(struct opts, report, NULL, "eval: also a page with the transfer matrix"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input", own, 0, LT_OPTGROUP_FLAGS},
    {"ensemble", "Method", lt_ensemble_options, offsetof(struct opts, ensemble), LT_OPTGROUP_FLAGS},
    {"train", "Training", lt_train_options, offsetof(struct opts, train), LT_OPTGROUP_FLAGS},
    {"clip", "Spectral clipping", lt_clip_norm_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {"clip", "Clipping", lt_clip_rule_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {"", "Evaluation", evaluation, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, file),
    {NULL, NULL, NULL, 0, 0},
};

static lt_status run_train(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    lt_env env;
    lt_ensemble_record record;
    if (call->n_positional > 1)
        return LT_FAIL(LT_E_USAGE, "ensemble train: expected options alone, found '%s'", call->positional[1]);
    if (!o->data || !*o->data)
        return LT_FAIL(LT_E_USAGE, "ensemble train: --data is missing");
    LT_TRY(cli_dataset(call, o->data, &ds));
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &env));
    const lt_ensemble_order order = {.ds = ds,
                                     .members = o->members,
                                     .init = o->init,
                                     .cfg = o->ensemble,
                                     .train = o->train,
                                     .clip = o->clip,
                                     .seed = call->seed.seed,
                                     .set = call->set,
                                     .out = call->run_dir.out,
                                     .force = call->run_dir.force,
                                     .env = &env};
    cli_progress_stage(call->session->progress, "training an ensemble");
    lt_status status = lt_ensemble_dir(&order, &record);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, record.dir);
    else
        cli_hint_resume(call, status, "train", record.dir);
    lt_ensemble_record_clear(&record);
    return status;
}

static void print_train(const json_t *r, FILE *out)
{
    const json_t *one;
    size_t i;
    char a[24];
    json_array_foreach(json_object_get(r, "members"), i, one)
        fprintf(out, "%s: test accuracy %s %%\n", cli_text(one, "model"), cli_percent(cli_real(one, "test_acc"), a));
    fprintf(out, "ensemble: test accuracy %s %%; %.0f epochs in %.1f s\n%s\n", cli_percent(cli_real(r, "acc"), a),
            cli_real(r, "epochs"), cli_real(r, "wall_s"), cli_text(r, "run"));
}

// ---- eval

// Surrogates that are files of other tools take the images of the ensemble.
static lt_status open_surrogates(cli_call *call, const lt_model_list *e, lt_model_list *list)
{
    const struct opts *o = call->opts;
    lt_model_fallback file = o->file;
    const lt_model_shape *shape = &e->model[0]->shape;
    char input[64];
    cli_list names = {0};
    lt_status status = LT_OK;
    snprintf(input, sizeof input, "%dx%dx%d", shape->c, shape->h, shape->w);
    if (!file.input || !*file.input)
        file.input = input;
    cli_list_option(&names, call, "surrogates");
    for (int i = 0; i < names.n && status == LT_OK; i++)
        status = lt_model_list_add(list, names.item[i], lt_run_is_done(names.item[i]) ? NULL : &file, NULL);
    cli_list_clear(&names);
    return status;
}

static lt_attack_spec attack_of(const cli_call *call)
{
    const struct opts *o = call->opts;
    lt_attack_spec spec;
    lt_attack_spec_init(&spec);
    spec.norm = o->norm;
    spec.eps = o->eps;
    spec.steps = o->steps;
    spec.step_size = o->step_size;
    spec.step_ratio = o->step_ratio;
    spec.restarts = o->restarts;
    spec.target = o->target;
    spec.parity = o->parity;
    spec.legacy_normalized = o->legacy_normalized;
    spec.seed = call->seed.seed;
    return spec;
}

static lt_status evaluate(cli_call *call, const lt_model_list *e, const lt_model_list *surrogates)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    const char *spec;
    lt_env env;
    lt_ensemble_eval_record record;
    LT_TRY(lt_output_check("report", o->report, LT_OUTPUT_PAGE, call->run_dir.force));
    LT_TRY(lt_model_list_data_spec(e, o->data, &spec));
    LT_TRY(cli_dataset(call, spec, &ds));
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &env));
    const lt_ensemble_eval_order order = {.ensemble = e->ensemble[0],
                                          .surrogates = surrogates,
                                          .ds = ds,
                                          .limit = o->limit,
                                          .attack = o->attack,
                                          .spec = attack_of(call),
                                          .white_box = o->white_box,
                                          .env = &env};
    cli_progress_stage(call->session->progress, "attacking %d members", e->n);
    lt_status status = lt_ensemble_eval_run(&order, &record);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, "ensemble");
    const lt_report_ensemble one = {call->positional[1], &record.eval};
    const lt_report_spec page = {
        .title = "Transfer of adversarial examples", .subtitle = spec, .ensembles = &one, .n_ensembles = 1};
    if (status == LT_OK && o->report && *o->report)
        status = lt_report_html(&page, o->report);
    lt_ensemble_eval_record_clear(&record);
    return status;
}

static lt_status run_eval(cli_call *call)
{
    lt_model_list e = {0}, surrogates = {0};
    if (call->n_positional != 2)
        return LT_FAIL(LT_E_USAGE, "ensemble eval: expected the directory of one ensemble");
    lt_status status = lt_model_list_add(&e, call->positional[1], NULL, NULL);
    if (status == LT_OK && e.n_ensembles == 0)
        status =
            LT_FAIL(LT_E_INPUT, "%s: expected the directory of an ensemble, found a single model", call->positional[1]);
    if (status == LT_OK)
        status = open_surrogates(call, &e, &surrogates);
    if (status == LT_OK)
        status = evaluate(call, &e, &surrogates);
    lt_model_list_clear(&e);
    lt_model_list_clear(&surrogates);
    return status;
}

// "-": no sample was eligible, or nothing of the kind was measured.
static const char *rate_text(double v, char buf[24])
{
    snprintf(buf, 24, isfinite(v) ? "%.3f" : "-", v);
    return buf;
}

static void print_eval(const json_t *r, FILE *out)
{
    const json_t *row, *cell;
    size_t i, j;
    char a[24], b[24], c[24], d[24];
    fprintf(out, "%s at eps %s on %.0f images; rates from the row's member to the column's\n", cli_text(r, "attack"),
            cli_text(r, "eps"), cli_real(r, "n"));
    json_array_foreach(json_object_get(r, "transfer"), i, row)
    {
        json_array_foreach(row, j, cell)
            fprintf(out, "%s%7s", j ? " " : "", rate_text(json_is_number(cell) ? json_number_value(cell) : NAN, a));
        fputc('\n', out);
    }
    fprintf(out, "ensemble: accuracy %s %%, robust accuracy %s %%; mean transfer %s, black-box robustness %s\n",
            cli_percent(cli_real(r, "acc"), a), cli_percent(cli_real(r, "robust_acc"), b),
            rate_text(cli_real(r, "mean_transfer"), c), rate_text(cli_real(r, "black_box_robust"), d));
}

static const cli_action actions[] = {
    {"train", run_train, print_train}, {"eval", run_eval, print_eval}, {NULL, NULL, NULL}};

static lt_status resolve(cli_call *call)
{
    const struct opts *o = call->opts;
    return o->preset && *o->preset ? lt_attack_preset_apply(o->preset, o->attack, call->set) : LT_OK;
}

static lt_status run(cli_call *call)
{
    return cli_action_run(call, actions, "ensemble train --members resnet18:width=8,resnet18:width=8 --data cifar10");
}

static void print(const cli_call *call, FILE *out)
{
    cli_action_print(call, actions, out);
}

const cli_verb cli_verb_ensemble = {
    .name = "ensemble",
    .usage = "train --members MODEL,MODEL[,...] --data DATA [--method METHOD] [--clip-norm C] | eval DIR [--surrogates "
             "RUN,...]",
    .about =
        "Trains several models together so that adversarial examples of one do not fool the others, and measures it.\n"
        "Methods: plain, lotos (layer-wise orthogonalisation), trs, adp, gal, dverge; --lotos adds LOTOS to another "
        "one,\n"
        "--clip-norm clips the members' layers. eval attacks every member and the ensemble: transfer rates, robust "
        "accuracy,\n"
        "and with --surrogates black-box robustness. Members are model files that every verb opens.",
    .examples = "  lethe ensemble train --members resnet18:width=8,resnet18:width=8 --data cifar10 --method lotos "
                "--clip-norm 1 "
                "--out e\n"
                "  lethe ensemble eval e --attack pgd --eps 4/255 --steps 20 --surrogates plain\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME | CLI_RECORD,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .resolve = resolve,
    .run = run,
    .print = print,
};
