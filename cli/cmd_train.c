// cmd_train.c - `lethe train`: a run directory with a trained model that says what it was trained on and how.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *data, *model, *init;
    int32_t population;
    lt_train_cfg train;
    lt_clip_cfg clip;
};
static const lt_option own[] = {
    LT_STR(struct opts, data, NULL, "data set, KIND[:PATH][,key=value...]; `lethe data list` shows the kinds"),
    LT_STR(struct opts, model, "resnet18", "architecture, NAME[:key=value,...]"),
    LT_STR(struct opts, init, NULL, "run or model file to start from (fine-tuning); default: a random initialisation"),
    LT_I32(
        struct opts, population, 0, 0, 100000, "models",
        "train so many models with the seeds --seed, --seed + 1, ... at once, one per compute thread; 0 = one model"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "What to train", own, 0, LT_OPTGROUP_FLAGS},
    {"train", "How to train", lt_train_options, offsetof(struct opts, train), LT_OPTGROUP_FLAGS},
    {"clip", "Spectral clipping", lt_clip_norm_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {"clip", "How to clip", lt_clip_rule_options, offsetof(struct opts, clip), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

struct job { // one training run; everything that must be given back
    const lt_dataset *ds;
    lt_model *model;
    cli_source init;
    cli_run run;
    lt_env env;
    int64_t n_clips;
    double clip_s;
};

static lt_status make_model(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_model_shape shape = {job->ds->c, job->ds->h, job->ds->w, job->ds->n_classes};
    if (o->init && *o->init) {
        LT_TRY(cli_source_open(o->init, &(cli_foreign){.model = NULL, .ds = job->ds}, &job->init));
        const lt_model_shape *s = &job->init.model->shape;
        if (s->c != shape.c || s->h != shape.h || s->w != shape.w || s->n_classes != shape.n_classes)
            return LT_FAIL(LT_E_SHAPE, "%s takes %dx%dx%d images of %d classes, %s has %dx%dx%d of %d", o->init, s->c,
                           s->h, s->w, s->n_classes, o->data, shape.c, shape.h, shape.w, shape.n_classes);
        LT_TRY(lt_model_dup(job->init.model, &job->model));
        return LT_OK;
    }
    LT_TRY(lt_model_create(o->model, shape, &job->model));
    lt_model_init(job->model, call->seed.seed);
    return LT_OK;
}

static lt_status describe_model(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    char digest[65], parent[65] = "";
    lt_optset_digest(call->set, digest);
    if (job->init.model)
        lt_model_digest(job->init.model, parent);
    const lt_provenance p = {
        .ds = job->ds, .is_trained = true, .recipe = &o->train, .config_digest = digest, .parent_digest = parent};
    return lt_model_set_provenance(job->model, &p);
}

static lt_status train(cli_call *call, struct job *job, lt_train_result *result)
{
    const struct opts *o = call->opts;
    lt_view test = lt_view_split(job->ds, LT_TEST);
    lt_job j = {.model = job->model, .cfg = o->train, .n_phases = 1, .seed = call->seed.seed};
    j.phase[0].view[0] = lt_view_split(job->ds, LT_TRAIN);
    j.phase[0].view[0].augment = true;
    j.phase[0].n_views = 1;
    j.phase[0].shuffle = true;
    j.eval_view = job->ds->split[LT_TEST].n > 0 && o->train.eval_every > 0 ? &test : NULL;
    if (!call->nested) // a calling verb has named the stage
        cli_progress_stage(call->session->progress, "training %s", job->model->spec);
    if (!(o->clip.clip_norm > 0 || o->clip.clip_bn > 0 || o->clip.clip_compose > 0))
        return lt_train_run(&j, &job->env, job->run.to.state, !call->place.force, result);
    lt_clipper *clipper;
    LT_TRY(lt_clipper_create(job->model, &o->clip, call->seed.seed, &job->env, &clipper));
    lt_status status = lt_clipper_attach(clipper, &j);
    if (status == LT_OK)
        status = lt_train_run(&j, &job->env, job->run.to.state, !call->place.force, result);
    lt_clipper_counts(clipper, &job->n_clips, &job->clip_s);
    lt_clipper_destroy(clipper);
    return status;
}

// One evaluator for both splits: its plans are compiled once.
static lt_status evaluate_both(const struct job *job, const lt_view *view, const lt_view *test,
                               lt_eval_result *train_eval, lt_eval_result *test_eval)
{
    lt_evaluator *evaluator;
    LT_TRY(lt_evaluator_create(job->model, &job->env, CLI_EVAL_BATCH, &evaluator));
    lt_status status = lt_evaluator_run(evaluator, view, NULL, NULL, train_eval);
    if (status == LT_OK && test->n > 0)
        status = lt_evaluator_run(evaluator, test, NULL, NULL, test_eval);
    lt_evaluator_destroy(evaluator);
    return status;
}

static lt_status finish(cli_call *call, struct job *job, const lt_train_result *t, double start_s)
{
    lt_eval_result train_eval = {0}, test_eval = {0};
    lt_view view = lt_view_split(job->ds, LT_TRAIN), test = lt_view_split(job->ds, LT_TEST);
    char digest[65];
    LT_TRY(evaluate_both(job, &view, &test, &train_eval, &test_eval));
    LT_TRY(lt_model_save(job->model, job->run.to.model));
    LT_TRY(lt_result_dir_add_samples(&job->run.to, job->ds));
    lt_model_digest(job->model, digest);
    json_t *r = json_object();
    cli_put(r, "model", json_string(job->model->spec));
    cli_put(r, "parameters", json_integer(job->model->n_params));
    cli_put_text(r, "data", job->ds->spec);
    cli_put(r, "data_digest", json_string(job->ds->digest));
    cli_put(r, "n_train", json_integer(view.n));
    cli_put(r, "n_test", json_integer(test.n));
    cli_put_real(r, "train_acc", train_eval.acc);
    cli_put_real(r, "train_loss", train_eval.loss);
    cli_put_real(r, "test_acc", test.n > 0 ? test_eval.acc : (double)NAN);
    cli_put_real(r, "test_loss", test.n > 0 ? test_eval.loss : (double)NAN);
    cli_put(r, "epochs", json_integer(t->epochs));
    cli_put(r, "steps", json_integer(t->steps));
    cli_put_real(r, "images_per_s", t->images_per_s);
    if (job->n_clips > 0) {
        cli_put(r, "clip_events", json_integer(job->n_clips));
        cli_put_real(r, "clip_s", job->clip_s);
    }
    cli_put_real(r, "wall_s", cli_now_s() - start_s);
    cli_put(r, "seed", json_integer((json_int_t)call->seed.seed));
    cli_put(r, "model_digest", json_string(digest));
    if (job->init.model) {
        lt_model_digest(job->init.model, digest);
        cli_put(r, "init_digest", json_string(digest)); // by which a finished run is recognised
    }
    return cli_run_finish(&job->run, r);
}

static lt_status run_job(cli_call *call, const lt_env *env, struct job *job)
{
    const struct opts *o = call->opts;
    LT_TRY(cli_dataset(call, o->data, &job->ds));
    LT_TRY(make_model(call, job));
    char init_digest[65] = "";
    if (job->init.model)
        lt_model_digest(job->init.model, init_digest);
    const char *const facts[] = {"data_digest", job->ds->digest, job->init.model ? "init_digest" : NULL, init_digest,
                                 NULL};
    if (env) {
        job->env = *env;
    } else {
        cli_catch_signals(call->session);
        LT_TRY(cli_env(call, &job->env)); // what can be refused is refused before there is a directory
    }
    LT_TRY(cli_run_open(call, "train", facts, &job->run));
    if (job->run.to.finished)
        return cli_run_finish(&job->run, NULL);
    double start_s = cli_now_s();
    lt_train_result t;
    LT_TRY(describe_model(call, job));
    LT_TRY(train(call, job, &t));
    return finish(call, job, &t, start_s);
}

lt_status cli_train_one(cli_call *call, const lt_env *env)
{
    struct job job = {0};
    lt_status status = run_job(call, env, &job);
    cli_run_close(&job.run, status);
    cli_source_close(&job.init);
    lt_model_destroy(job.model);
    return status;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    if (!o->data || !*o->data) {
        LT_FAIL(LT_E_USAGE, "train: --data is missing");
        return lt_error_hint("for example --data cifar10:PATH, or --data synthetic");
    }
    return o->population > 0 ? cli_train_population(call, o->population) : cli_train_one(call, NULL);
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    char train_acc[24], test_acc[24], loss[24] = "-"; // no test split
    if (json_object_get(r, "population")) {
        cli_print_population(r, out);
        return;
    }
    if (isfinite(cli_real(r, "test_loss")))
        snprintf(loss, sizeof loss, "%.4f", cli_real(r, "test_loss"));
    fprintf(out, "%s on %s: train accuracy %s %%, test accuracy %s %%, test loss %s\n", cli_text(r, "model"),
            cli_text(r, "data"), cli_percent(cli_real(r, "train_acc"), train_acc),
            cli_percent(cli_real(r, "test_acc"), test_acc), loss);
    fprintf(out, "%.0f epochs in %.1f s, %.0f images/s; model digest %.16s\n", cli_real(r, "epochs"),
            cli_real(r, "wall_s"), cli_real(r, "images_per_s"), cli_text(r, "model_digest"));
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force makes it again)" : "");
}

const cli_verb cli_verb_train = {
    .name = "train",
    .usage = "--data DATA [--model MODEL] [options]",
    .about =
        "Trains a model and leaves a run directory: resolved options, log, metrics.jsonl, model.safetensors, "
        "result.json.\n"
        "Interrupted (Ctrl-C), it writes a checkpoint and exits with code 75; --resume continues to bit-identical\n"
        "weights. A finished run with the same options is not computed again unless --force is given.\n"
        "--adversarial trades (or pgd) trains against an attack on every batch; what is retrained from such a run is\n"
        "trained the same way.\n"
        "--clip-norm C keeps the spectral norm of every convolution and linear layer at or below C (FastClip).\n"
        "--population K trains K models that differ in their seed, one per compute thread: every member is an "
        "ordinary\n"
        "run OUT/000, OUT/001, ... with the bits it has alone with --threads 1; population.json tells them all. A "
        "member\n"
        "that fails is named and loses nothing; the same command goes on with what is missing.",
    .examples =
        "  lethe train --data synthetic --model resnet18:width=16 --epochs 10 --out runs/base\n"
        "  lethe train --data cifar10:/data/cifar-10-batches-bin,train-limit=10000 --schedule step --epochs 200\n"
        "  lethe train --resume runs/base\n"
        "  lethe train --data cifar10 --adversarial trades --adv-norm linf --adv-eps 0.031 --out runs/robust\n"
        "  lethe train --data cifar10 --model resnet18:width=16 --population 8 --out runs/eight\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE | CLI_RESUME,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .check = cli_check_population,
    .print = print,
};
