// train_dir.c - training as a whole run: model, provenance, evaluation, result.
#include "base/json_write.h"
#include "model/model_impl.h"
#include "run/run_impl.h"
#include "train/train_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const lt_option lt_train_what_options[] = {
    LT_STR(lt_train_what, data, NULL, "data set, KIND[:PATH][,key=value...]; `lethe data list` shows the kinds"),
    LT_STR(lt_train_what, model, NULL,
           "architecture, NAME[:key=value,...]; default: that of --init, or resnet18 without it"),
    LT_STR(
        lt_train_what, normalize, NULL,
        "MEAN:STD of a normalisation in front of the model, values per channel separated by commas, or none; default: "
        "as --model or --init says"),
    LT_STR(lt_train_what, init, NULL,
           "run or model file to start from (fine-tuning); default: a random initialisation"),
    LT_I32(
        lt_train_what, population, 0, 0, 100000, "models",
        "train so many models with the seeds --seed, --seed + 1, ... at once, one per compute thread; 0 = one model"),
    LT_I32(
        lt_train_what, ranks, 1, 1, 65536, "processes",
        "data-parallel training by so many processes, which mpirun or srun starts; each takes a share of every batch"),
    LT_OPT_END,
};

void lt_train_order_defaults(lt_train_order *order)
{
    *order = (lt_train_order){.seed = 1};
    lt_options_defaults(lt_train_what_options, &order->what);
    lt_options_defaults(lt_train_options, &order->cfg);
    lt_options_defaults(lt_clip_norm_options, &order->clip);
    lt_options_defaults(lt_clip_rule_options, &order->clip);
    lt_options_defaults(lt_compute_options, &order->compute);
}

void lt_train_record_clear(lt_train_record *record)
{
    free(record->json);
    *record = (lt_train_record){0};
}

typedef struct training { // everything that must be given back
    const lt_train_order *order;
    lt_train_order copy; // of the order's options, which `made` is bound to
    lt_optset *made;
    lt_model *model;
    lt_trained_model init;
    lt_result_dir to;
} training;

static const lt_optset *options_of(const training *t)
{
    return t->order->set ? t->order->set : t->made;
}

static lt_status make_options(training *t)
{
    t->copy = *t->order;
    LT_TRY(lt_optset_create(&t->made));
    return lt_train_order_bind(&t->copy, t->made, true);
}

static bool is_given(const char *text)
{
    return text && *text;
}

static lt_status make_new_model(training *t, lt_model_shape shape)
{
    const lt_train_what *w = &t->order->what;
    const char *model = is_given(w->model) ? w->model : "resnet18";
    char *spec = NULL;
    if (is_given(w->normalize))
        LT_TRY(lt_model_spec_normalize(model, w->normalize, shape.c, &spec));
    lt_status status = lti_model_build(spec ? spec : model, shape, &t->model);
    free(spec);
    LT_TRY(status);
    LT_TRY(lti_training_memory_check(t->model, t->order->cfg.optimizer, true));
    LT_TRY(lti_model_alloc(t->model));
    lt_model_init(t->model, t->order->seed);
    return LT_OK;
}

lt_status lti_open_init(const lt_train_order *o, lt_trained_model *init)
{
    lt_model_fallback fallback = {.model = o->what.model, .normalize = o->what.normalize};
    if (is_given(fallback.model) && !is_given(fallback.normalize) && !lti_is_dir(o->what.init))
        fallback.normalize = "none"; // the model that is trained is the one that --model names
    return lt_trained_model_open(o->what.init, &fallback, o->ds, init);
}

static lt_status make_model(training *t)
{
    const lt_train_order *o = t->order;
    const lt_model_shape shape = {o->ds->c, o->ds->h, o->ds->w, o->ds->n_classes};
    if (!is_given(o->what.init))
        return make_new_model(t, shape);
    LT_TRY(lti_open_init(o, &t->init));
    const lt_model_shape *s = &t->init.model->shape;
    if (s->c != shape.c || s->h != shape.h || s->w != shape.w || s->n_classes != shape.n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s takes %dx%dx%d images of %d classes, %s has %dx%dx%d of %d", o->what.init, s->c,
                       s->h, s->w, s->n_classes, o->ds->spec, shape.c, shape.h, shape.w, shape.n_classes);
    return lt_model_dup(t->init.model, &t->model);
}

// Fine-tuning continues a history: retraining the result repeats all of it.
static lt_status describe_history(training *t)
{
    lt_recipe history;
    if (!t->init.model)
        return LT_OK;
    LT_TRY(lt_trained_model_history(&t->init, &history));
    lt_recipe_stage *last = &history.stage[history.n - 1];
    lt_status status = lti_recipe_note_forgotten(&t->init, last);
    if (status == LT_OK && last->n_forgotten && !strcmp(last->data_digest, t->order->ds->digest))
        lt_warn(t->order->env->events, "train.forgotten",
                "%s has forgotten %lld samples of %s: this training shows them to it again", t->order->what.init,
                (long long)last->n_forgotten, t->order->ds->spec);
    if (status == LT_OK)
        status = lti_recipe_set_earlier(t->model, history.stage, history.n);
    lt_recipe_clear(&history);
    return status;
}

static lt_status describe_model(training *t)
{
    char digest[65], parent[65] = "";
    lt_optset_digest(options_of(t), digest);
    if (t->init.model)
        lt_model_digest(t->init.model, parent);
    LT_TRY(describe_history(t));
    const lt_provenance p = {.ds = t->order->ds,
                             .is_trained = true,
                             .recipe = &t->order->cfg,
                             .clip = &t->order->clip,
                             .config_digest = digest,
                             .parent_digest = parent};
    return lt_model_set_provenance(t->model, &p);
}

static lt_status train_model(training *t, lt_train_result *result, lt_train_record *r)
{
    const lt_train_order *o = t->order;
    lt_view test = lt_view_split(o->ds, LT_TEST);
    lt_job job = {.model = t->model, .cfg = o->cfg, .n_phases = 1, .seed = o->seed};
    job.phase[0].view[0] = lt_view_split(o->ds, LT_TRAIN);
    job.phase[0].view[0].augment = true;
    job.phase[0].n_views = 1;
    job.phase[0].shuffle = true;
    job.eval_view = o->ds->split[LT_TEST].n > 0 && o->cfg.eval_every > 0 ? &test : NULL;
    if (!lt_clip_is_on(&o->clip))
        return lt_train_run(&job, o->env, t->to.state, !o->force, result);
    lt_clipper *clipper;
    LT_TRY(lt_clipper_create(t->model, &o->clip, o->seed, o->env, &clipper));
    lt_status status = lt_clipper_attach(clipper, &job);
    if (status == LT_OK)
        status = lt_train_run(&job, o->env, t->to.state, !o->force, result);
    lt_clipper_counts(clipper, &r->n_clips, &r->clip_s);
    lt_clipper_destroy(clipper);
    return status;
}

// One evaluator for both splits: its plans are compiled once.
static lt_status evaluate_splits(const training *t, lt_train_record *r)
{
    lt_eval_result train = {0}, test = {.acc = NAN, .loss = NAN};
    const lt_view view = lt_view_split(t->order->ds, LT_TRAIN), held_out = lt_view_split(t->order->ds, LT_TEST);
    lt_evaluator *evaluator;
    LT_TRY(lt_evaluator_create(t->model, t->order->env, LTI_EVAL_BATCH, &evaluator));
    lt_status status = lt_evaluator_run(evaluator, &view, NULL, NULL, &train);
    if (status == LT_OK && held_out.n > 0)
        status = lt_evaluator_run(evaluator, &held_out, NULL, NULL, &test);
    lt_evaluator_destroy(evaluator);
    r->train_acc = train.acc;
    r->train_loss = train.loss;
    r->test_acc = test.acc;
    r->test_loss = test.loss;
    return status;
}

static char *write_record(const training *t, const lt_train_record *r)
{
    lti_json j = {0};
    char digest[65];
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "model", t->model->spec);
    lti_json_int(&j, "parameters", r->n_params);
    lti_json_text(&j, "data", t->order->ds->spec);
    lti_json_text(&j, "data_digest", t->order->ds->digest);
    lti_json_int(&j, "n_train", r->n_train);
    lti_json_int(&j, "n_test", r->n_test);
    lti_json_real(&j, "train_acc", r->train_acc);
    lti_json_real(&j, "train_loss", r->train_loss);
    lti_json_real(&j, "test_acc", r->test_acc);
    lti_json_real(&j, "test_loss", r->test_loss);
    lti_json_int(&j, "epochs", r->epochs);
    lti_json_int(&j, "steps", r->steps);
    lti_json_real(&j, "images_per_s", r->images_per_s);
    if (r->n_clips > 0) {
        lti_json_int(&j, "clip_events", r->n_clips);
        lti_json_real(&j, "clip_s", r->clip_s);
    }
    lti_json_real(&j, "wall_s", r->wall_s);
    lti_json_int(&j, "seed", (int64_t)t->order->seed);
    lti_json_text(&j, "model_digest", r->model_digest);
    if (t->init.model) { // by which a finished run is recognised
        lt_model_digest(t->init.model, digest);
        lti_json_text(&j, "init_digest", digest);
    }
    lti_json_text(&j, "run", t->to.dir);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

static lt_status finish_run(training *t, const lt_train_result *result, double start_s, lt_train_record *r)
{
    const lt_dataset *ds = t->order->ds;
    LT_TRY(evaluate_splits(t, r));
    LT_TRY(lt_model_save(t->model, t->to.model));
    LT_TRY(lt_result_dir_add_samples(&t->to, ds));
    r->n_train = ds->split[LT_TRAIN].n;
    r->n_test = ds->split[LT_TEST].n;
    r->n_params = t->model->n_params;
    r->epochs = result->epochs;
    r->steps = result->steps;
    r->images_per_s = result->images_per_s;
    r->wall_s = lti_now_s() - start_s;
    lt_model_digest(t->model, r->model_digest);
    r->json = write_record(t, r);
    return lt_result_dir_finish(&t->to, r->json);
}

static lt_status read_stored(const training *t, lt_train_record *r)
{
    json_t *j;
    LT_TRY(lti_stored_result(&t->to, &r->json, &j));
    r->is_cached = true;
    r->train_acc = lti_json_real_at(j, "train_acc");
    r->train_loss = lti_json_real_at(j, "train_loss");
    r->test_acc = lti_json_real_at(j, "test_acc");
    r->test_loss = lti_json_real_at(j, "test_loss");
    r->images_per_s = lti_json_real_at(j, "images_per_s");
    r->wall_s = lti_json_real_at(j, "wall_s");
    r->n_train = lti_json_int_at(j, "n_train");
    r->n_test = lti_json_int_at(j, "n_test");
    r->n_params = lti_json_int_at(j, "parameters");
    r->epochs = lti_json_int_at(j, "epochs");
    r->steps = lti_json_int_at(j, "steps");
    lti_format(r->model_digest, sizeof r->model_digest, "%s", lti_json_text_at(j, "model_digest"));
    json_decref(j);
    return LT_OK;
}

// ---- data-parallel training: rank 0 has the run, the others train with it

typedef struct opened_run { // what rank 0 tells the others
    char state[LT_RESULT_PATH_MAX];
    bool finished;
} opened_run;

static bool is_follower(const lt_train_order *o)
{
    return o->env->comm && o->env->comm->rank > 0;
}

static lt_status lead(training *t)
{
    opened_run run = {.finished = t->to.finished};
    lti_format(run.state, sizeof run.state, "%s", t->to.state);
    return lt_comm_broadcast(t->order->env->comm, &run, sizeof run);
}

static lt_status follow(training *t, lt_train_record *record)
{
    opened_run run;
    lt_train_result result;
    LT_TRY(lt_comm_broadcast(t->order->env->comm, &run, sizeof run));
    record->is_cached = run.finished;
    lti_format(t->to.state, sizeof t->to.state, "%s", run.state);
    return run.finished ? LT_OK : train_model(t, &result, record);
}

static lt_status run_training(training *t, lt_train_record *record)
{
    const lt_train_order *o = t->order;
    lt_train_result result;
    char init_digest[65] = "";
    if (!o->set)
        LT_TRY(make_options(t));
    LT_TRY(make_model(t));
    if (t->init.model)
        lt_model_digest(t->init.model, init_digest);
    const char *const facts[] = {"data_digest", o->ds->digest, t->init.model ? "init_digest" : NULL, init_digest, NULL};
    const lt_result_dir_spec spec = {.verb = "train",
                                     .label = "train",
                                     .out = o->out,
                                     .input = t->init.dir,
                                     .force = o->force,
                                     .options = options_of(t),
                                     .facts = facts,
                                     .events = o->env->events,
                                     .backend = o->env->backend,
                                     .tensorboard = o->tensorboard};
    if (is_follower(o))
        return follow(t, record);
    LT_TRY(lt_result_dir_open(&spec, &t->to));
    LT_TRY(lead(t));
    lti_format(record->dir, sizeof record->dir, "%s", t->to.dir);
    if (t->to.finished)
        return read_stored(t, record);
    const double start_s = lti_now_s();
    LT_TRY(describe_model(t));
    LT_TRY(train_model(t, &result, record));
    return finish_run(t, &result, start_s, record);
}

lt_status lt_train_dir(const lt_train_order *order, lt_train_record *record)
{
    *record = (lt_train_record){0};
    training *t = lti_calloc(1, sizeof *t);
    if (!t)
        return LTI_NOMEM("training run");
    t->order = order;
    lt_status status = run_training(t, record);
    lt_result_dir_close(&t->to);
    lt_trained_model_close(&t->init);
    lt_model_destroy(t->model);
    lt_optset_destroy(t->made);
    lti_free(t);
    if (status != LT_OK) {
        free(record->json);
        record->json = NULL;
    }
    return status;
}
