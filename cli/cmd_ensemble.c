// cmd_ensemble.c - `lethe ensemble`: trains several models together, and measures transfer between them.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *data, *members, *init, *attack, *eps, *surrogates, *report;
    int32_t norm, steps, restarts;
    double step_size;
    int64_t limit;
    bool white_box;
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
    LT_ENUM(struct opts, norm, LT_NORM_LINF, norms, "eval: norm of the perturbation, in pixels of [0,1]"),
    LT_STR(struct opts, eps, "8/255", "eval: radius"),
    LT_I32(struct opts, steps, 0, 0, 1000000, "", "eval: steps of the attack; 0 = its own number"),
    LT_F64(struct opts, step_size, 0, 0, 1e6, "", "eval: step of the attack; 0 = its own"),
    LT_I32(struct opts, restarts, 1, 1, 4000, "", "eval: runs of attacks with random starts"),
    LT_STR(struct opts, surrogates, NULL, "eval: runs, files or ensembles that black-box attacks start from"),
    LT_I64(struct opts, limit, 0, 0, 1000000000, "images", "eval: the first ones of the test split; 0 = all"),
    LT_BOOL(struct opts, white_box, 1, "eval: attack the ensemble itself as well"),
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
    {NULL, NULL, NULL, 0, 0},
};

// ---- members: commas separate architectures and their keys; what is no "key=value" begins a new one

static void split_members(const char *text, cli_list *out)
{
    const char *start = text;
    for (const char *p = text; *start; p++) {
        if (*p && *p != ',')
            continue;
        const char *next = *p ? p + 1 : p, *end = next + strcspn(next, ",:="); // a key has '=' first, a name has not
        if (*next && *end == '=')
            continue;
        cli_list_push(out, start, (size_t)(p - start));
        start = next;
    }
}

struct job {
    const lt_dataset *ds;
    lt_ensemble *ensemble;
    cli_list members;
    cli_run run;
    lt_env env;
};

static lt_status make_ensemble(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    const lt_model_shape shape = {job->ds->c, job->ds->h, job->ds->w, job->ds->n_classes};
    if (o->init && *o->init)
        return lt_ensemble_open(o->init, &job->ensemble);
    if (!o->members || !*o->members) {
        LT_FAIL(LT_E_USAGE, "ensemble train: --members is missing");
        return lt_error_hint("for example --members resnet18:width=8,resnet18:width=8");
    }
    split_members(o->members, &job->members);
    return lt_ensemble_create((const char *const *)job->members.item, job->members.n, shape, call->seed.seed,
                              &job->ensemble);
}

static lt_status train(cli_call *call, struct job *job, lt_ensemble_result *result)
{
    const struct opts *o = call->opts;
    lt_view test = lt_view_split(job->ds, LT_TEST);
    lt_ensemble_job in = {.job = {.cfg = o->train, .n_phases = 1, .seed = call->seed.seed},
                          .cfg = o->ensemble,
                          .clip = &o->clip,
                          .path = job->run.to.state,
                          .resume = !call->place.force};
    in.job.phase[0] = (lt_phase){.view = {lt_view_split(job->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    in.job.phase[0].view[0].augment = true;
    in.job.eval_view = test.n > 0 && o->train.eval_every > 0 ? &test : NULL;
    cli_progress_stage(call->session->progress, "training %s", job->ensemble->joint->spec);
    return lt_ensemble_train(job->ensemble, &in, &job->env, result);
}

static lt_status describe_members(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    char digest[65];
    lt_optset_digest(call->set, digest);
    const lt_provenance p = {.ds = job->ds, .is_trained = true, .recipe = &o->train, .config_digest = digest};
    for (int i = 0; i < job->ensemble->n; i++)
        LT_TRY(lt_model_set_provenance(job->ensemble->member[i], &p));
    return LT_OK;
}

static json_t *members_json(const struct job *job, const lt_view *test, double *acc)
{
    json_t *list = json_array();
    for (int i = 0; i < job->ensemble->n; i++) {
        const lt_model *m = job->ensemble->member[i];
        char digest[65], path[64];
        lt_eval_result r = {0};
        json_t *j = json_object();
        if (test->n > 0 && lt_evaluate(m, test, &job->env, CLI_EVAL_BATCH, NULL, NULL, &r) == LT_OK)
            *acc += r.acc / job->ensemble->n;
        lt_model_digest(m, digest);
        snprintf(path, sizeof path, "member-%d.safetensors", i);
        cli_put(j, "model", json_string(m->spec));
        cli_put(j, "file", json_string(path));
        cli_put_real(j, "test_acc", test->n > 0 ? r.acc : (double)NAN);
        cli_put(j, "model_digest", json_string(digest));
        json_array_append_new(list, j);
    }
    return list;
}

static lt_status finish(struct job *job, cli_call *call, const lt_ensemble_result *t, double start_s)
{
    lt_view test = lt_view_split(job->ds, LT_TEST);
    lt_eval_result joint = {0};
    double mean = 0;
    LT_TRY(lt_ensemble_save(job->ensemble, job->run.to.dir));
    if (test.n > 0)
        LT_TRY(lt_evaluate(job->ensemble->joint, &test, &job->env, CLI_EVAL_BATCH, NULL, NULL, &joint));
    json_t *r = json_object();
    cli_put(r, "members", members_json(job, &test, &mean));
    cli_put_text(r, "data", job->ds->spec);
    cli_put(r, "data_digest", json_string(job->ds->digest));
    cli_put_real(r, "acc", test.n > 0 ? joint.acc : (double)NAN);
    cli_put_real(r, "member_acc", test.n > 0 ? mean : (double)NAN);
    cli_put_real(r, "train_acc", t->train.train_acc);
    cli_put(r, "epochs", json_integer(t->train.epochs));
    cli_put(r, "steps", json_integer(t->train.steps));
    cli_put_real(r, "images_per_s", t->train.images_per_s);
    cli_put(r, "clip_events", json_integer(t->n_clips));
    cli_put_real(r, "hooks_s", t->hooks_s);
    cli_put_real(r, "lotos_loss", t->lotos_loss);
    cli_put_real(r, "lotos_length", t->lotos_length);
    cli_put_real(r, "wall_s", cli_now_s() - start_s);
    cli_put(r, "seed", json_integer((json_int_t)call->seed.seed));
    return cli_run_finish(&job->run, r);
}

static lt_status run_training(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    if (!o->data || !*o->data)
        return LT_FAIL(LT_E_USAGE, "ensemble train: --data is missing");
    LT_TRY(cli_dataset(call, o->data, &job->ds));
    LT_TRY(make_ensemble(call, job));
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &job->env));
    const char *const facts[] = {"data_digest", job->ds->digest, NULL};
    LT_TRY(cli_run_open(call, "ensemble", facts, &job->run));
    if (job->run.to.finished)
        return cli_run_finish(&job->run, NULL);
    const double start_s = cli_now_s();
    lt_ensemble_result result;
    LT_TRY(describe_members(call, job));
    LT_TRY(train(call, job, &result));
    return finish(job, call, &result, start_s);
}

static lt_status run_train(cli_call *call)
{
    struct job job = {0};
    lt_status status = run_training(call, &job);
    cli_run_close(&job.run, status);
    cli_list_clear(&job.members);
    lt_ensemble_destroy(job.ensemble);
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

enum { MAX_SURROGATES = 32 };
typedef struct sources {
    lt_ensemble *ensemble[MAX_SURROGATES];
    lt_trained_model single[MAX_SURROGATES];
    const lt_model *model[MAX_SURROGATES];
    int n_ensembles, n_single, n;
} sources;

static lt_status add_source(sources *s, const char *path)
{
    char *first = cli_format("%s/member-0.safetensors", path);
    FILE *f = fopen(first, "rb");
    free(first);
    if (f) {
        fclose(f);
        lt_ensemble **e = &s->ensemble[s->n_ensembles];
        LT_TRY(lt_ensemble_open(path, e));
        s->n_ensembles++;
        for (int i = 0; i < (*e)->n && s->n < MAX_SURROGATES; i++)
            s->model[s->n++] = (*e)->member[i];
        return LT_OK;
    }
    lt_trained_model *m = &s->single[s->n_single++];
    LT_TRY(lt_trained_model_open(path, NULL, NULL, m));
    s->model[s->n++] = m->model;
    return LT_OK;
}

static lt_status open_sources(cli_call *call, sources *s)
{
    cli_list names = {0};
    lt_status status = LT_OK;
    cli_list_option(&names, call, "surrogates");
    for (int i = 0; i < names.n && status == LT_OK; i++)
        status = s->n < MAX_SURROGATES
                     ? add_source(s, names.item[i])
                     : LT_FAIL(LT_E_USAGE, "ensemble eval: expected at most %d surrogates, found more", MAX_SURROGATES);
    cli_list_clear(&names);
    return status;
}

static json_t *matrix_json(const double *v, int n)
{
    json_t *rows = json_array();
    for (int i = 0; i < n; i++) {
        json_t *row = json_array();
        for (int j = 0; j < n; j++)
            json_array_append_new(row, isfinite(v[i * n + j]) ? json_real(v[i * n + j]) : json_null());
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *counts_json(const int64_t *v, int n)
{
    json_t *rows = json_array();
    for (int i = 0; i < n; i++) {
        json_t *row = json_array();
        for (int j = 0; j < n; j++)
            json_array_append_new(row, json_integer(v[i * n + j]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static void put_eval(json_t *r, const lt_ensemble_eval *e)
{
    json_t *acc = json_array(), *black = json_array(), *interval = json_array();
    for (int i = 0; i < e->n; i++)
        json_array_append_new(acc, json_real(e->member_acc[i]));
    for (int i = 0; i < e->n_surrogates; i++)
        json_array_append_new(black, isfinite(e->black_box[i]) ? json_real(e->black_box[i]) : json_null());
    for (int i = 0; i < 2; i++)
        json_array_append_new(interval,
                              isfinite(e->robust_interval[i]) ? json_real(e->robust_interval[i]) : json_null());
    cli_put_real(r, "acc", e->acc);
    cli_put(r, "member_acc", acc);
    cli_put(r, "transfer", matrix_json(e->transfer, e->n));
    cli_put(r, "transfer_numerator", counts_json(e->numerator, e->n));
    cli_put(r, "transfer_eligible", counts_json(e->eligible, e->n));
    cli_put_real(r, "mean_transfer", e->mean_transfer);
    cli_put_real(r, "mean_member_robust", e->mean_robust);
    cli_put(r, "black_box", black);
    cli_put_real(r, "black_box_robust", e->black_box_robust);
    cli_put_real(r, "robust_acc", e->robust_acc);
    cli_put(r, "robust_interval", interval);
}

static lt_status evaluate(cli_call *call, const lt_ensemble *e, const sources *s, json_t *r)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    lt_env env;
    const char *spec = o->data;
    for (int i = 0; i < e->member[0]->n_meta && !(spec && *spec); i++)
        if (!strcmp(e->member[0]->meta[i].key, "lethe.data"))
            spec = e->member[0]->meta[i].value;
    if (!spec || !*spec)
        return LT_FAIL(LT_E_USAGE, "ensemble eval: --data is missing and the members do not name theirs");
    LT_TRY(cli_dataset(call, spec, &ds));
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &env));
    lt_view view = lt_view_split(ds, LT_TEST);
    view.n = o->limit > 0 && o->limit < view.n ? o->limit : view.n;
    lt_ensemble_eval_cfg cfg = {
        .attack = o->attack, .surrogate = s->model, .n_surrogates = s->n, .white_box = o->white_box};
    lt_attack_spec_init(&cfg.spec);
    cfg.spec.norm = o->norm;
    cfg.spec.eps = o->eps;
    cfg.spec.steps = o->steps;
    cfg.spec.step_size = o->step_size;
    cfg.spec.restarts = o->restarts;
    cfg.spec.seed = call->seed.seed;
    lt_ensemble_eval result;
    cli_progress_stage(call->session->progress, "attacking %d members", e->n);
    LT_TRY(lt_ensemble_evaluate(e, &view, &cfg, &env, &result));
    cli_put(r, "n", json_integer(view.n));
    cli_put_text(r, "attack", o->attack);
    cli_put_text(r, "eps", o->eps);
    put_eval(r, &result);
    const lt_report_ensemble one = {call->positional[1], &result};
    const lt_report_spec page = {
        .title = "Transfer of adversarial examples", .subtitle = spec, .ensembles = &one, .n_ensembles = 1};
    const lt_status status = o->report && *o->report ? lt_report_html(&page, o->report) : LT_OK;
    lt_ensemble_eval_clear(&result);
    return status;
}

static lt_status run_eval(cli_call *call)
{
    lt_ensemble *e = NULL;
    sources s = {0};
    if (call->n_positional != 2)
        return LT_FAIL(LT_E_USAGE, "ensemble eval: expected the directory of one ensemble");
    lt_status status = lt_ensemble_open(call->positional[1], &e);
    if (status == LT_OK)
        status = open_sources(call, &s);
    if (status == LT_OK) {
        call->result = json_object();
        status = evaluate(call, e, &s, call->result);
    }
    lt_ensemble_destroy(e);
    for (int i = 0; i < s.n_ensembles; i++)
        lt_ensemble_destroy(s.ensemble[i]);
    for (int i = 0; i < s.n_single; i++)
        lt_trained_model_close(&s.single[i]);
    if (status != LT_OK) {
        json_decref(call->result);
        call->result = NULL;
    }
    return status;
}

static void print_eval(const json_t *r, FILE *out)
{
    const json_t *row, *cell;
    size_t i, j;
    char a[24], b[24];
    fprintf(out, "%s at eps %s on %.0f images; rates from the row's member to the column's\n", cli_text(r, "attack"),
            cli_text(r, "eps"), cli_real(r, "n"));
    json_array_foreach(json_object_get(r, "transfer"), i, row)
    {
        json_array_foreach(row, j, cell) fprintf(out, "%s%7.3f", j ? " " : "", json_number_value(cell));
        fputc('\n', out);
    }
    fprintf(out, "ensemble: accuracy %s %%, robust accuracy %s %%; mean transfer %.3f, black-box robustness %.3f\n",
            cli_percent(cli_real(r, "acc"), a), cli_percent(cli_real(r, "robust_acc"), b), cli_real(r, "mean_transfer"),
            cli_real(r, "black_box_robust"));
}

static const cli_action actions[] = {
    {"train", run_train, print_train}, {"eval", run_eval, print_eval}, {NULL, NULL, NULL}};

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
    .run = run,
    .print = print,
};
