// cmd_attack.c - `lethe attack`: adversarial examples, robust accuracy and transfer of models.
#include "attack.h"

struct opts {
    const char *run, *data, *attack, *preset, *save, *surrogate, *radii, *picture, *report;
    int32_t split, combine;
    int64_t limit;
    double model_noise;
    bool transfer_matrix, certify, force, with_images, strict, allow_invalid;
    lt_model_fallback fallback;
    lt_attack_spec spec;
};
static const lt_opt_value splits[] = {
    {"test", LT_TEST, "test split"}, {"train", LT_TRAIN, "training split"}, {NULL, 0, NULL}};
static const lt_opt_value heads[] = {{"softmax", LT_COMBINE_SOFTMAX, "mean of the probabilities"},
                                     {"logits", LT_COMBINE_LOGITS, "mean of the logits"},
                                     {"vote", LT_COMBINE_VOTE, "majority of the predictions"},
                                     {NULL, 0, NULL}};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "run, model file or ensemble (also the first argument); several: an ensemble"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_ENUM(struct opts, split, LT_TEST, splits, "which images"),
    LT_I64(struct opts, limit, 200, 0, 1000000000, "images", "the first ones of the split; 0: all"),
    LT_ENUM(struct opts, combine, LT_COMBINE_SOFTMAX, heads, "how several models answer together"),
    LT_F64(struct opts, model_noise, 0, 0, 10, "pixels", "deviation of noise before the model: a randomised defence"),
    LT_OPT_END,
};
static const lt_option what[] = {
    LT_STR(struct opts, attack, "pgd", "attack, or several with commas; `lethe attack --help` lists them"),
    LT_STR(struct opts, preset, NULL,
           "published settings of the attack: madry, lotos or fastclip; options that are given as well win"),
    LT_STR(struct opts, surrogate, NULL,
           "craft on this run or file instead (several: an ensemble), and evaluate the model on the results"),
    LT_STR(struct opts, radii, NULL, "also the robust accuracy at these radii, ascending: 0,1/255,2/255,4/255"),
    LT_BOOL(struct opts, certify, 0,
            "check every example against the Lipschitz bound of the network: none may be nearer"),
    LT_BOOL(struct opts, transfer_matrix, 0, "craft on every model, evaluate on every one: transfer rates"),
    LT_OPT_END,
};
static const lt_option outputs[] = {
    LT_STR(struct opts, save, NULL, "write images, examples, predictions and distances to this .npz"),
    LT_STR(struct opts, picture, NULL, "draw the first examples into this .png: image, example, difference"),
    LT_STR(struct opts, report, NULL, "write a page with the table and the curve of --radii to this .html"),
    LT_BOOL(struct opts, with_images, 0, "--picture may show samples that the model was made to forget"),
    LT_BOOL(struct opts, force, 0, "overwrite files of another kind"),
    LT_BOOL(struct opts, strict, 0, "exit with 6 when a flag says that the evaluation is unreliable"),
    LT_BOOL(struct opts, allow_invalid, 0, "do not fail when a logit is not finite"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input", own, 0, LT_OPTGROUP_FLAGS},
    {"", "Model files", lt_model_fallback_options, offsetof(struct opts, fallback), LT_OPTGROUP_FLAGS},
    {"", "Attack", what, 0, LT_OPTGROUP_FLAGS},
    {"", "Budget", lt_attack_spec_options, offsetof(struct opts, spec), LT_OPTGROUP_FLAGS},
    {"", "Output", outputs, 0, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST},
    {NULL, NULL, NULL, 0, 0},
};

// ---- options of single attacks: one block of all config structs, behind what is said once the result is printed

static size_t cfg_offset(const lt_attack *attack)
{
    enum { ALIGN = 16 };
    size_t at = 0;
    for (const lt_attack *const *a = lt_attacks(); *a && *a != attack; a++)
        at += (*a)->ops ? ((*a)->cfg_size + ALIGN - 1) / ALIGN * ALIGN : 0;
    return at;
}

static lt_status prepare(cli_call *call)
{
    call->extra_cfg = cli_alloc(cfg_offset(NULL) + 1, 1);
    for (const lt_attack *const *a = lt_attacks(); *a; a++)
        if ((*a)->ops && (*a)->opts[0].name)
            LT_TRY(cli_add_options(call, (*a)->name, (*a)->opts, (char *)call->extra_cfg + cfg_offset(*a), 0));
    return LT_OK;
}

static const void *cfg_of(const lt_attack *attack, void *ctx)
{
    const cli_call *call = ctx;
    return attack->cfg_size ? (const char *)call->extra_cfg + cfg_offset(attack) : NULL;
}

static lt_status resolve(cli_call *call)
{
    const struct opts *o = call->opts;
    return o->preset && *o->preset ? lt_attack_preset_apply(o->preset, o->attack, call->set) : LT_OK;
}

static void more_help(const cli_call *call, FILE *out)
{
    fputs("\nPresets:\n", out);
    for (int i = 0; lt_attack_preset_name(i); i++)
        fprintf(out, "  %-16s %s\n", lt_attack_preset_name(i), lt_attack_preset_title(i));
    fputs("\nAttacks, and their options:\n", out);
    for (const lt_attack *const *a = lt_attacks(); *a; a++)
        if ((*a)->ops)
            fprintf(out, "  %-16s %s\n", (*a)->name, (*a)->title);
    for (const lt_attack *const *a = lt_attacks(); *a; a++)
        if ((*a)->ops)
            cli_print_entry_options(out, (*a)->name, (*a)->opts, (char *)call->extra_cfg + cfg_offset(*a));
}

// ---- the call

struct job {
    lt_model_list models, surrogates;
    const lt_dataset *ds;
    lt_env env;
};

static lt_status open_data(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    const char *spec;
    if (job->models.n_single > 0 && job->models.model[0] == job->models.single[0].model)
        return cli_model_data(call, &job->models.single[0], o->data, &job->ds);
    LT_TRY(lt_model_list_data_spec(&job->models, o->data, &spec));
    return cli_dataset(call, spec, &job->ds);
}

static lt_status open_job(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    cli_list names = {0};
    lt_status status = LT_OK;
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &job->ds));
    LT_TRY(lt_model_list_add(&job->models, o->run, &o->fallback, job->ds));
    for (int i = 1; i < call->n_positional; i++)
        LT_TRY(lt_model_list_add(&job->models, call->positional[i], &o->fallback, job->ds));
    LT_TRY(open_data(call, job));
    cli_list_option(&names, call, "surrogate");
    for (int i = 0; i < names.n && status == LT_OK; i++)
        status = lt_model_list_add(&job->surrogates, names.item[i], &o->fallback, job->ds);
    cli_list_clear(&names);
    LT_TRY(status);
    return cli_env(call, &job->env);
}

static bool is_given(const char *text)
{
    return text && *text;
}

static lt_status write_pages(const struct opts *o, const lt_dataset *ds, const lt_attack_record *r)
{
    const lt_report_attack attack = {.model = o->run,
                                     .attack = o->attack,
                                     .result = r->result,
                                     .radius = r->radius,
                                     .robust_acc = r->robust_acc,
                                     .n_radii = r->n_radii};
    const lt_report_spec page = {.title = "Robustness", .subtitle = ds->spec, .robust = &attack, .n_robust = 1};
    if (r->result && is_given(o->picture))
        LT_TRY(lt_robust_picture(r->result, o->with_images ? NULL : r->forgotten, o->picture));
    return r->result && is_given(o->report) ? lt_report_html(&page, o->report) : LT_OK;
}

static lt_status attack_models(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_attack_record record;
    const lt_attack_order order = {.models = &job->models,
                                   .surrogates = &job->surrogates,
                                   .ds = job->ds,
                                   .split = o->split,
                                   .limit = o->limit,
                                   .combine = o->combine,
                                   .model_noise = o->model_noise,
                                   .attack = o->attack,
                                   .spec = o->spec,
                                   .cfg = cfg_of,
                                   .cfg_ctx = call,
                                   .radii = o->radii,
                                   .certify = o->certify,
                                   .transfer_matrix = o->transfer_matrix,
                                   .save = o->save,
                                   .env = &job->env};
    cli_progress_stage(call->session->progress, "attacking %s with %s", o->run, o->attack);
    lt_status status = lt_attack_models(&order, &record);
    if (status == LT_OK)
        status = cli_set_result(call, record.json, "attack");
    // The numbers are printed all the same.
    if (status == LT_OK && (write_pages(o, job->ds, &record) != LT_OK ||
                            lt_attack_record_check(&record, o->strict, o->allow_invalid) != LT_OK))
        call->late = *lt_error_get();
    lt_attack_record_clear(&record);
    return status;
}

static lt_status check_outputs(const struct opts *o)
{
    if (o->transfer_matrix && ((o->picture && *o->picture) || (o->report && *o->report)))
        return LT_FAIL(LT_E_USAGE, "--transfer-matrix: it has rates alone, nothing for --%s",
                       o->picture && *o->picture ? "picture" : "report");
    LT_TRY(lt_output_check("save", o->save, LT_OUTPUT_NPZ, o->force));
    LT_TRY(lt_output_check("picture", o->picture, LT_OUTPUT_PNG, o->force));
    return lt_output_check("report", o->report, LT_OUTPUT_PAGE, o->force);
}

static lt_status run(cli_call *call)
{
    struct job job = {0};
    lt_status status = LT_OK;
    LT_TRY_GOTO(cli_positional(call, "run", 1, LT_MODEL_LIST_MAX), done);
    LT_TRY_GOTO(check_outputs(call->opts), done);
    LT_TRY_GOTO(open_job(call, &job), done);
    cli_catch_signals(call->session);
    LT_TRY_GOTO(attack_models(call, &job), done);
done:
    cli_progress_clear(call->session->progress);
    lt_model_list_clear(&job.models);
    lt_model_list_clear(&job.surrogates);
    return status;
}

const cli_verb cli_verb_attack = {
    .name = "attack",
    .usage = "RUN|FILE [RUN ...] [--attack NAME[,NAME...]] [--norm linf|l2] [--eps 8/255] [options]",
    .about =
        "Makes adversarial examples and measures the accuracy that is left. Attacks with a radius stop at the first\n"
        "example within it; attacks of minimum norm look for the nearest one, and their result is its distance. "
        "Several models form an ensemble.\n"
        "Results do not depend on the batch size, the order or the choice of images; with --deterministic not one bit\n"
        "depends on the number of threads either. Flags say when an evaluation should not be trusted.",
    .examples = "  lethe attack runs/base --attack pgd --eps 8/255 --limit 200\n"
                "  lethe attack runs/base --attack pgd --preset madry --limit 200\n"
                "  lethe attack runs/base --attack autoattack --eps 8/255 --limit 200 --json\n"
                "  lethe attack runs/base --surrogate runs/other --attack mi-fgsm --eps 8/255\n"
                "  lethe attack runs/a runs/b runs/c --transfer-matrix --attack pgd --eps 4/255\n"
                "  lethe attack model.safetensors --data cifar10 --attack fgsm --norm l2 --eps 0.5 --save adv.npz\n",
    .uses = CLI_COMPUTE | CLI_OWN_SEED,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .more_help = more_help,
    .resolve = resolve,
    .run = run,
    .print = cli_attack_print,
};
