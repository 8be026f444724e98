// cmd_attack.c - `lethe attack`: adversarial examples, robust accuracy and transfer of models.
#include "attack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODELS = 16 };

struct opts {
    const char *run, *data, *attack, *save, *surrogate, *radii, *picture, *report;
    int32_t split, combine;
    int64_t limit;
    double model_noise;
    bool transfer_matrix, certify, strict, allow_invalid;
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
    LT_STR(struct opts, run, NULL, "run or model file (also the first argument); several: an ensemble"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_ENUM(struct opts, split, LT_TEST, splits, "which images"),
    LT_I64(struct opts, limit, 200, 0, 1000000000, "images", "the first ones of the split; 0: all"),
    LT_ENUM(struct opts, combine, LT_COMBINE_SOFTMAX, heads, "how several models answer together"),
    LT_F64(struct opts, model_noise, 0, 0, 10, "pixels", "deviation of noise before the model: a randomised defence"),
    LT_OPT_END,
};
static const lt_option what[] = {
    LT_STR(struct opts, attack, "pgd", "attack, or several with commas; `lethe attack --help` lists them"),
    LT_STR(struct opts, surrogate, NULL,
           "craft on this run or file instead (several: an ensemble), and evaluate the model on the results"),
    LT_STR(struct opts, radii, NULL, "also the robust accuracy at these radii, ascending: 0,1/255,2/255,4/255"),
    LT_BOOL(struct opts, certify, 0,
            "check every example against the Lipschitz bound of the network: none may lie nearer"),
    LT_BOOL(struct opts, transfer_matrix, 0, "craft on every model, evaluate on every one: transfer rates"),
    LT_OPT_END,
};
static const lt_option outputs[] = {
    LT_STR(struct opts, save, NULL, "write images, examples, predictions and distances to this .npz"),
    LT_STR(struct opts, picture, NULL, "draw the first examples into this .png: image, example, difference"),
    LT_STR(struct opts, report, NULL, "write a page with the table and the curve of --radii to this .html"),
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

// ---- options of single attacks: one block of all config structs

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
            LT_TRY(cli_bind(call, (*a)->name, (*a)->opts, (char *)call->extra_cfg + cfg_offset(*a), 0));
    return LT_OK;
}

static const void *cfg_of(const lt_attack *attack, void *ctx)
{
    const cli_call *call = ctx;
    return attack->cfg_size ? (const char *)call->extra_cfg + cfg_offset(attack) : NULL;
}

static void more_help(const cli_call *call, FILE *out)
{
    (void)call;
    fputs("\nAttacks, and their options:\n", out);
    for (const lt_attack *const *a = lt_attacks(); *a; a++)
        if ((*a)->ops)
            fprintf(out, "  %-16s %s\n", (*a)->name, (*a)->title);
    for (const lt_attack *const *a = lt_attacks(); *a; a++)
        for (const lt_option *o = (*a)->opts; (*a)->ops && o->name; o++)
            fprintf(out, "  --%s.%s: %s\n", (*a)->name, o->name, o->help);
}

// ---- models

typedef struct models {
    int n;
    lt_trained_model src[MAX_MODELS];
    const lt_model *model[MAX_MODELS];
} models;

static lt_status add_model(models *m, const char *path, const struct opts *o, const lt_dataset *ds)
{
    if (m->n == MAX_MODELS)
        return LT_FAIL(LT_E_USAGE, "attack: expected at most %d models, found more", MAX_MODELS);
    LT_TRY(lt_trained_model_open(path, &o->fallback, ds, &m->src[m->n++]));
    m->model[m->n - 1] = m->src[m->n - 1].model;
    return LT_OK;
}

static void close_models(models *m)
{
    for (int i = 0; i < m->n; i++)
        lt_trained_model_close(&m->src[i]);
}

struct job {
    models victims, surrogates;
    const lt_dataset *ds;
    lt_view view;
    lt_env env;
};

static lt_status open_job(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    cli_list names = {0};
    lt_status status = LT_OK;
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &job->ds));
    LT_TRY(add_model(&job->victims, o->run, o, job->ds));
    for (int i = 1; i < call->n_positional; i++)
        LT_TRY(add_model(&job->victims, call->positional[i], o, job->ds));
    LT_TRY(cli_source_data(call, &job->victims.src[0], o->data, &job->ds));
    cli_list_option(&names, call, "surrogate");
    for (int i = 0; i < names.n && status == LT_OK; i++)
        status = add_model(&job->surrogates, names.item[i], o, job->ds);
    cli_list_clear(&names);
    LT_TRY(status);
    job->view = lt_view_split(job->ds, (lt_split)o->split);
    if (o->limit > 0 && o->limit < job->view.n)
        job->view.n = o->limit;
    return cli_env(call, &job->env);
}

static lt_attack_target target_of(const struct opts *o, const models *m)
{
    return (lt_attack_target){.model = m->model, .n_models = m->n, .combine = o->combine, .noise_std = o->model_noise};
}

// ---- results

static json_t *interval_json(const double interval[2])
{
    json_t *j = json_array();
    json_array_append_new(j, json_real(interval[0]));
    json_array_append_new(j, json_real(interval[1]));
    return j;
}

static json_t *flags_json(const lt_robust_result *r)
{
    json_t *j = json_array();
    for (int bit = 0; bit < LT_N_FLAGS; bit++)
        if (r->flags >> bit & 1)
            json_array_append_new(j, json_string(lt_robust_flag_name(bit)));
    return j;
}

static json_t *parts_json(const lt_robust_result *r)
{
    json_t *all = json_array();
    for (int p = 0; p < r->n_parts; p++) {
        const lt_attack_part *part = &r->part[p];
        json_t *j = json_object();
        cli_put(j, "attack", json_string(part->name));
        cli_put_real(j, "robust_acc", part->robust_acc);
        cli_put(j, "robust_interval", interval_json(part->interval));
        cli_put(j, "n_broken", json_integer(part->n_broken));
        cli_put(j, "queries_f", json_integer(part->n_forward));
        cli_put(j, "queries_b", json_integer(part->n_backward));
        cli_put_real(j, "wall_s", part->wall_s);
        json_array_append_new(all, j);
    }
    return all;
}

static void put_summary(json_t *j, const lt_robust_result *r)
{
    cli_put(j, "n", json_integer(r->n));
    cli_put_real(j, "clean_acc", r->clean_acc);
    cli_put_real(j, "robust_acc", r->robust_acc);
    cli_put(j, "robust_interval", interval_json(r->robust_interval));
    cli_put_real(j, "success_rate", r->success_rate);
    cli_put_real(j, "mean_l2", r->mean_l2);
    cli_put_real(j, "median_l2", r->median_l2);
    if (!isnan(r->quantized_robust_acc))
        cli_put_real(j, "quantized_robust_acc", r->quantized_robust_acc);
    cli_put(j, "n_invalid", json_integer(r->n_invalid));
    cli_put(j, "n_zero_gradient", json_integer(r->n_zero_gradient));
    cli_put(j, "queries_f", json_integer(r->n_forward));
    cli_put(j, "queries_b", json_integer(r->n_backward));
    cli_put(j, "flags", flags_json(r));
    cli_put_real(j, "images_per_s", r->images_per_s);
    cli_put_real(j, "wall_s", r->wall_s);
    cli_put(j, "attacks", parts_json(r));
}

static json_t *names_json(const models *m)
{
    json_t *j = json_array();
    for (int i = 0; i < m->n; i++)
        json_array_append_new(j, json_string(m->src[i].name));
    return j;
}

static json_t *describe(cli_call *call, const struct job *job)
{
    const struct opts *o = call->opts;
    json_t *j = json_object();
    char digest[65];
    cli_put_text(j, "run", o->run);
    cli_put(j, "models", names_json(&job->victims));
    cli_put(j, "model", json_string(job->victims.model[0]->spec));
    lt_model_digest(job->victims.model[0], digest);
    cli_put(j, "model_digest", json_string(digest));
    cli_put_text(j, "data", job->ds->spec);
    cli_put(j, "data_digest", json_string(job->ds->digest));
    cli_put(j, "split", json_string(o->split == LT_TRAIN ? "train" : "test"));
    cli_put_text(j, "attack", o->attack);
    cli_put(j, "norm", json_string(o->spec.norm == LT_NORM_L2 ? "l2" : "linf"));
    cli_put_text(j, "eps", o->spec.eps);
    cli_put(j, "seed", json_integer((json_int_t)o->spec.seed));
    return j;
}

// ---- accuracy against the radius

enum { MAX_RADII = 64 };
typedef struct curve {
    int n;
    double radius[MAX_RADII], robust_acc[MAX_RADII];
} curve;

static lt_status make_curve(cli_call *call, struct job *job, curve *c)
{
    const struct opts *o = call->opts;
    const lt_attack_target target = target_of(o, &job->victims);
    cli_list list = {0};
    lt_status status = LT_OK;
    cli_list_add(&list, o->radii);
    if (list.n > MAX_RADII)
        status = LT_FAIL(LT_E_USAGE, "--radii: expected at most %d, found %d", MAX_RADII, list.n);
    for (int i = 0; i < list.n && status == LT_OK; i++)
        status = lt_attack_parse_eps(list.item[i], &c->radius[c->n++]);
    cli_list_clear(&list);
    if (status != LT_OK || c->n == 0)
        return status;
    const lt_robust_curve_job ask = {.target = &target,
                                     .view = &job->view,
                                     .attacks = o->attack,
                                     .spec = &o->spec,
                                     .cfg = cfg_of,
                                     .cfg_ctx = call,
                                     .radius = c->radius,
                                     .n = c->n};
    return lt_robust_curve(&ask, &job->env, c->robust_acc);
}

static void put_curve(json_t *r, const curve *c)
{
    json_t *j = json_object(), *radius = json_array(), *acc = json_array();
    for (int i = 0; i < c->n; i++) {
        json_array_append_new(radius, json_real(c->radius[i]));
        json_array_append_new(acc, json_real(c->robust_acc[i]));
    }
    cli_put(j, "radius", radius);
    cli_put(j, "robust_acc", acc);
    if (c->n > 0)
        cli_put(r, "curve", j);
    else
        json_decref(j);
}

static lt_status write_report(const cli_call *call, const lt_robust_result *r, const curve *c)
{
    const struct opts *o = call->opts;
    const lt_report_attack attack = {.model = o->run,
                                     .attack = o->attack,
                                     .result = r,
                                     .radius = c->radius,
                                     .robust_acc = c->robust_acc,
                                     .n_radii = c->n};
    const lt_report_spec page = {
        .title = "Robustness", .subtitle = cli_text(call->result, "data"), .robust = &attack, .n_robust = 1};
    return lt_report_html(&page, o->report);
}

static lt_status evaluate_models(cli_call *call, struct job *job, lt_robust_result **r)
{
    const struct opts *o = call->opts;
    const lt_attack_target target = target_of(o, &job->victims), source = target_of(o, &job->surrogates);
    const lt_transfer_job transfer = {.source = &source,
                                      .target = &target,
                                      .n_sources = 1,
                                      .n_targets = 1,
                                      .view = &job->view,
                                      .attack = o->attack,
                                      .spec = &o->spec,
                                      .cfg = cfg_of,
                                      .cfg_ctx = call};
    cli_progress_stage(call->session->progress, "attacking %s with %s", o->run, o->attack);
    if (job->surrogates.n > 0)
        return lt_transfer_evaluate(&transfer, &job->env, r);
    return lt_robust_evaluate(&target, &job->view, o->attack, &o->spec, cfg_of, call, &job->env, r);
}

// The radius within which the Lipschitz bound allows no other class, for every image, and examples that contradict it.
static lt_status check_certificates(cli_call *call, struct job *job, const lt_robust_result *r)
{
    const struct opts *o = call->opts;
    lt_spectra spectra;
    lt_spectra_cfg cfg = {.seed = 1};
    if (!o->certify)
        return LT_OK;
    if (job->victims.n > 1)
        return LT_FAIL(LT_E_USAGE, "--certify: expected one model, found %d", job->victims.n);
    lt_options_defaults(lt_spectra_options, &cfg);
    LT_TRY(lt_spectra_measure(job->victims.model[0], &cfg, &job->env, &spectra));
    double *radius = cli_alloc((size_t)r->n, sizeof *radius), sum = 0;
    const int64_t n_inside = lt_robust_certify(r, spectra.lipschitz_bound, radius);
    for (int64_t i = 0; i < r->n; i++)
        sum += radius[i];
    cli_put_real(call->result, "lipschitz_bound", spectra.lipschitz_bound);
    cli_put(call->result, "lipschitz_bound_by", json_string(spectra.bound_by));
    cli_put_real(call->result, "mean_certified_l2", sum / (double)r->n);
    cli_put(call->result, "n_certificates_broken", json_integer(n_inside));
    free(radius);
    lt_spectra_clear(&spectra);
    return LT_OK;
}

static bool is_given(const char *text)
{
    return text && *text;
}

static lt_status write_outputs(cli_call *call, const lt_robust_result *r, const curve *c)
{
    const struct opts *o = call->opts;
    if (is_given(o->save)) {
        LT_TRY(lt_robust_save(r, o->save));
        cli_put_text(call->result, "save", o->save);
    }
    if (is_given(o->picture))
        LT_TRY(lt_robust_picture(r, o->picture));
    return is_given(o->report) ? write_report(call, r, c) : LT_OK;
}

static lt_status attack_models(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_robust_result *r = NULL;
    curve c = {0};
    LT_TRY(evaluate_models(call, job, &r));
    lt_status status = is_given(o->radii) ? make_curve(call, job, &c) : LT_OK;
    if (status == LT_OK) {
        call->result = describe(call, job);
        put_summary(call->result, r);
        put_curve(call->result, &c);
        if (job->surrogates.n > 0)
            cli_put(call->result, "surrogates", names_json(&job->surrogates));
        status = check_certificates(call, job, r);
        if (status == LT_OK)
            status = write_outputs(call, r, &c);
    }
    lt_robust_result_destroy(r);
    return status;
}

// ---- the transfer matrix

// cell (rows, columns) of doubles or counts as an array of rows.
static json_t *matrix_json(const lt_transfer_matrix *m, const double *real, const int64_t *count)
{
    json_t *rows = json_array();
    for (int s = 0; s < m->n_sources; s++) {
        json_t *row = json_array();
        for (int t = 0; t < m->n_targets; t++) {
            const int at = s * m->n_targets + t;
            json_array_append_new(row, !real                ? json_integer(count[at])
                                       : isfinite(real[at]) ? json_real(real[at])
                                                            : json_null());
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

static void put_matrix(json_t *j, const lt_transfer_matrix *m)
{
    json_t *clean = json_array();
    for (int t = 0; t < m->n_targets; t++)
        json_array_append_new(clean, json_real(m->clean_acc[t]));
    cli_put(j, "n", json_integer(m->n));
    cli_put(j, "clean_acc", clean);
    cli_put(j, "transfer", matrix_json(m, m->rate, NULL));
    cli_put(j, "transfer_numerator", matrix_json(m, NULL, m->numerator));
    cli_put(j, "transfer_eligible", matrix_json(m, NULL, m->eligible));
    cli_put(j, "both_right", matrix_json(m, NULL, m->both_right));
    cli_put(j, "robust", matrix_json(m, NULL, m->robust));
}

static lt_status fill_matrix(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_attack_target each[MAX_MODELS];
    lt_transfer_matrix m;
    for (int i = 0; i < job->victims.n; i++)
        each[i] = (lt_attack_target){.model = &job->victims.model[i], .n_models = 1, .noise_std = o->model_noise};
    const lt_transfer_job transfer = {.source = each,
                                      .target = each,
                                      .n_sources = job->victims.n,
                                      .n_targets = job->victims.n,
                                      .view = &job->view,
                                      .attack = o->attack,
                                      .spec = &o->spec,
                                      .cfg = cfg_of,
                                      .cfg_ctx = call};
    LT_TRY(lt_transfer_run(&transfer, &job->env, &m));
    call->result = describe(call, job);
    put_matrix(call->result, &m);
    lt_transfer_matrix_clear(&m);
    return LT_OK;
}

static lt_status run(cli_call *call)
{
    struct job job = {0};
    lt_status status = LT_OK;
    LT_TRY_GOTO(cli_positional(call, "run", 1, MAX_MODELS), done);
    LT_TRY_GOTO(open_job(call, &job), done);
    cli_catch_signals(call->session);
    LT_TRY_GOTO(
        ((const struct opts *)call->opts)->transfer_matrix ? fill_matrix(call, &job) : attack_models(call, &job), done);
done:
    cli_progress_clear(call->session->progress);
    close_models(&job.victims);
    close_models(&job.surrogates);
    return status;
}

static lt_status check(const cli_call *call)
{
    const struct opts *o = call->opts;
    const double n_invalid = cli_real(call->result, "n_invalid");
    if (n_invalid > 0 && !o->allow_invalid) {
        LT_FAIL(LT_E_DIVERGED, "attack: expected finite logits, found others for %.0f of %.0f images", n_invalid,
                cli_real(call->result, "n"));
        return lt_error_hint("--allow-invalid counts them as neither robust nor broken");
    }
    if (cli_real(call->result, "n_certificates_broken") > 0)
        return LT_FAIL(LT_E_INTEGRITY, "attack: %.0f examples lie nearer than the Lipschitz bound %.4g allows",
                       cli_real(call->result, "n_certificates_broken"), cli_real(call->result, "lipschitz_bound"));
    for (int bit = 0; bit < LT_N_FLAGS; bit++) {
        if (!cli_attack_has_flag(call->result, bit))
            continue;
        if (1 << bit == LT_FLAG_MISMATCH)
            return LT_FAIL(LT_E_INTEGRITY, "attack: %s: %s", lt_robust_flag_name(bit), lt_robust_flag_meaning(bit));
        if (o->strict)
            return LT_FAIL(LT_E_CHECK, "attack: %s: %s", lt_robust_flag_name(bit), lt_robust_flag_meaning(bit));
    }
    return LT_OK;
}

const cli_verb cli_verb_attack = {
    .name = "attack",
    .usage = "RUN|FILE [RUN ...] [--attack NAME[,NAME...]] [--norm linf|l2] [--eps 8/255] [options]",
    .about =
        "Makes adversarial examples and measures the accuracy that is left. Attacks with a radius stop at the first\n"
        "example within it; attacks of minimum norm look for the nearest one. Several models form an ensemble.\n"
        "Results do not depend on the batch size, the order or the choice of images; with --deterministic not one bit\n"
        "depends on the number of threads either. Flags say when an evaluation should not be trusted.",
    .examples = "  lethe attack runs/base --attack pgd --eps 8/255 --limit 200\n"
                "  lethe attack runs/base --attack autoattack --eps 8/255 --limit 200 --json\n"
                "  lethe attack runs/base --surrogate runs/other --attack mi-fgsm --eps 8/255\n"
                "  lethe attack runs/a runs/b runs/c --transfer-matrix --attack pgd --eps 4/255\n"
                "  lethe attack model.safetensors --data cifar10 --attack fgsm --norm l2 --eps 0.5 --save adv.npz\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .more_help = more_help,
    .run = run,
    .check = check,
    .print = cli_attack_print,
};
