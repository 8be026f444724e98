// ensemble_dir.c - ensembles as whole runs: members trained together into a run directory, and transfer between them.
#include "base/json_write.h"
#include "run/run_impl.h"
#include "lethe/robustness.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct training { // everything that must be given back
    const lt_ensemble_order *order;
    char *members[LT_ENSEMBLE_MAX];
    int n_members;
    lt_ensemble *ensemble;
    lt_result_dir to;
    double start_s, wall_s;
} training;

// ---- members: commas separate architectures and their keys; what is no "key=value" begins a new one

static lt_status add_member(training *t, const char *start, size_t n)
{
    if (t->n_members == LT_ENSEMBLE_MAX)
        return LT_FAIL(LT_E_USAGE, "--members: expected at most %d architectures, found more", LT_ENSEMBLE_MAX);
    char *spec = lti_asprintf("%.*s", (int)n, start);
    t->members[t->n_members++] = spec;
    return spec ? LT_OK : LTI_NOMEM("members");
}

static lt_status split_members(training *t, const char *text)
{
    const char *start = text;
    for (const char *p = text; *start; p++) {
        if (*p && *p != ',')
            continue;
        const char *next = *p ? p + 1 : p, *end = next + strcspn(next, ",:="); // a key has '=' first, a name has not
        if (*next && *end == '=')
            continue;
        LT_TRY(add_member(t, start, (size_t)(p - start)));
        start = next;
    }
    return LT_OK;
}

static lt_status check_data(const lt_model *m, const lt_dataset *ds, const char *name)
{
    const lt_model_shape *s = &m->shape;
    if (s->c == ds->c && s->h == ds->h && s->w == ds->w && s->n_classes == ds->n_classes)
        return LT_OK;
    return LT_FAIL(LT_E_SHAPE, "%s takes %dx%dx%d images of %d classes, %s has %dx%dx%d of %d", name, s->c, s->h, s->w,
                   s->n_classes, ds->spec, ds->c, ds->h, ds->w, ds->n_classes);
}

static lt_status make_ensemble(training *t)
{
    const lt_ensemble_order *o = t->order;
    const lt_model_shape shape = {o->ds->c, o->ds->h, o->ds->w, o->ds->n_classes};
    const bool names_members = o->members && *o->members;
    if (o->init && *o->init) {
        if (names_members) {
            LT_FAIL(LT_E_USAGE, "ensemble train: --init %s and --members exclude each other", o->init);
            return lt_error_hint("the members are those of the ensemble to start from");
        }
        LT_TRY(lt_ensemble_open(o->init, &t->ensemble));
        return check_data(t->ensemble->member[0], o->ds, o->init);
    }
    if (!names_members) {
        LT_FAIL(LT_E_USAGE, "ensemble train: --members is missing");
        return lt_error_hint("for example --members resnet18:width=8,resnet18:width=8");
    }
    LT_TRY(split_members(t, o->members));
    return lt_ensemble_create((const char *const *)t->members, t->n_members, shape, o->seed, &t->ensemble);
}

static lt_status describe_members(training *t)
{
    const lt_ensemble_order *o = t->order;
    char digest[65] = "";
    if (o->set)
        lt_optset_digest(o->set, digest);
    const lt_provenance p = {.ds = o->ds, .is_trained = true, .recipe = &o->train, .config_digest = digest};
    for (int i = 0; i < t->ensemble->n; i++)
        LT_TRY(lt_model_set_provenance(t->ensemble->member[i], &p));
    return LT_OK;
}

static lt_status train_members(training *t, lt_ensemble_record *r)
{
    const lt_ensemble_order *o = t->order;
    lt_view test = lt_view_split(o->ds, LT_TEST);
    lt_ensemble_job in = {.job = {.cfg = o->train, .n_phases = 1, .seed = o->seed},
                          .cfg = o->cfg,
                          .clip = &o->clip,
                          .path = t->to.state,
                          .resume = !o->force};
    in.job.phase[0] = (lt_phase){.view = {lt_view_split(o->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    in.job.phase[0].view[0].augment = true;
    in.job.eval_view = test.n > 0 && o->train.eval_every > 0 ? &test : NULL;
    return lt_ensemble_train(t->ensemble, &in, o->env, &r->result);
}

static lt_status evaluate_members(training *t, lt_ensemble_record *r)
{
    const lt_view test = lt_view_split(t->order->ds, LT_TEST);
    lt_eval_result e = {.acc = NAN};
    r->n = t->ensemble->n;
    if (test.n > 0)
        LT_TRY(lt_evaluate(t->ensemble->joint, &test, t->order->env, LTI_EVAL_BATCH, NULL, NULL, &e));
    r->acc = e.acc;
    for (int i = 0; i < r->n; i++) {
        if (test.n > 0)
            LT_TRY(lt_evaluate(t->ensemble->member[i], &test, t->order->env, LTI_EVAL_BATCH, NULL, NULL, &e));
        r->member_acc[i] = e.acc;
    }
    return LT_OK;
}

static void write_members(lti_json *j, const training *t, const lt_ensemble_record *r)
{
    lti_json_begin(j, "members", '[');
    for (int i = 0; i < r->n; i++) {
        char digest[65], path[64];
        lt_model_digest(t->ensemble->member[i], digest);
        lti_format(path, sizeof path, "member-%d.safetensors", i);
        lti_json_begin(j, NULL, '{');
        lti_json_text(j, "model", t->ensemble->member[i]->spec);
        lti_json_text(j, "file", path);
        lti_json_real(j, "test_acc", r->member_acc[i]);
        lti_json_text(j, "model_digest", digest);
        lti_json_end(j, '}');
    }
    lti_json_end(j, ']');
}

static char *write_training(const training *t, const lt_ensemble_record *r)
{
    const lt_ensemble_order *o = t->order;
    const lt_ensemble_result *result = &r->result;
    double mean = 0;
    lti_json j = {0};
    for (int i = 0; i < r->n; i++)
        mean += r->member_acc[i] / r->n;
    lti_json_begin(&j, NULL, '{');
    write_members(&j, t, r);
    lti_json_text(&j, "data", o->ds->spec);
    lti_json_text(&j, "data_digest", o->ds->digest);
    lti_json_real(&j, "acc", r->acc);
    lti_json_real(&j, "member_acc", mean);
    lti_json_real(&j, "train_acc", result->train.train_acc);
    lti_json_int(&j, "epochs", result->train.epochs);
    lti_json_int(&j, "steps", result->train.steps);
    lti_json_real(&j, "images_per_s", result->train.images_per_s);
    lti_json_int(&j, "clip_events", result->n_clips);
    lti_json_real(&j, "hooks_s", result->hooks_s);
    lti_json_real(&j, "lotos_loss", result->lotos_loss);
    lti_json_real(&j, "lotos_length", result->lotos_length);
    lti_json_real(&j, "wall_s", t->wall_s);
    lti_json_int(&j, "seed", (int64_t)o->seed);
    lti_json_text(&j, "run", t->to.dir);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

static lt_status read_stored(const training *t, lt_ensemble_record *r)
{
    json_t *parsed = NULL;
    LT_TRY(lti_stored_result(&t->to, &r->json, &parsed));
    json_decref(parsed);
    r->is_cached = true;
    return LT_OK;
}

static lt_status run_training(training *t, lt_ensemble_record *r)
{
    const lt_ensemble_order *o = t->order;
    LT_TRY(make_ensemble(t));
    const char *const facts[] = {"data_digest", o->ds->digest, NULL};
    const lt_result_dir_spec spec = {.verb = "ensemble",
                                     .label = "ensemble",
                                     .out = o->out,
                                     .force = o->force,
                                     .options = o->set,
                                     .facts = facts,
                                     .events = o->env->events,
                                     .backend = o->env->backend};
    LT_TRY(lt_result_dir_open(&spec, &t->to));
    lti_format(r->dir, sizeof r->dir, "%s", t->to.dir);
    if (t->to.finished)
        return read_stored(t, r);
    t->start_s = lti_now_s();
    LT_TRY(describe_members(t));
    LT_TRY(train_members(t, r));
    LT_TRY(lt_ensemble_save(t->ensemble, t->to.dir));
    LT_TRY(evaluate_members(t, r));
    t->wall_s = lti_now_s() - t->start_s;
    r->json = write_training(t, r);
    return r->json ? lt_result_dir_finish(&t->to, r->json) : LTI_NOMEM("result");
}

lt_status lt_ensemble_dir(const lt_ensemble_order *order, lt_ensemble_record *record)
{
    training t = {.order = order};
    *record = (lt_ensemble_record){0};
    const lt_status status = run_training(&t, record);
    lt_result_dir_close(&t.to);
    lt_ensemble_destroy(t.ensemble);
    for (int i = 0; i < t.n_members; i++)
        lti_free(t.members[i]);
    return status;
}

void lt_ensemble_record_clear(lt_ensemble_record *record)
{
    free(record->json);
    *record = (lt_ensemble_record){0};
}

// ---- evaluation

static void write_reals(lti_json *j, const char *key, const double *v, int n)
{
    lti_json_begin(j, key, '[');
    for (int i = 0; i < n; i++)
        lti_json_real(j, NULL, v[i]);
    lti_json_end(j, ']');
}

static char *write_eval(const lt_ensemble_eval_order *o, int64_t n, const lt_ensemble_eval *e)
{
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_int(&j, "n", n);
    lti_json_text(&j, "attack", o->attack);
    lti_json_text(&j, "eps", o->spec.eps);
    if (o->spec.target && *o->spec.target)
        lti_json_text(&j, "target", o->spec.target);
    if (o->spec.legacy_normalized)
        lti_json_bool(&j, "legacy_normalized", true);
    lti_json_real(&j, "acc", e->acc);
    write_reals(&j, "member_acc", e->member_acc, e->n);
    lti_run_write_matrix(&j, "transfer", e->transfer, NULL, e->n, e->n);
    lti_run_write_matrix(&j, "transfer_numerator", NULL, e->numerator, e->n, e->n);
    lti_run_write_matrix(&j, "transfer_eligible", NULL, e->eligible, e->n, e->n);
    lti_json_real(&j, "mean_transfer", e->mean_transfer);
    lti_json_real(&j, "mean_member_robust", e->mean_robust);
    write_reals(&j, "black_box", e->black_box, e->n_surrogates);
    lti_json_real(&j, "black_box_robust", e->black_box_robust);
    lti_json_real(&j, "robust_acc", e->robust_acc);
    write_reals(&j, "robust_interval", e->robust_interval, 2);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

lt_status lt_ensemble_eval_run(const lt_ensemble_eval_order *o, lt_ensemble_eval_record *r)
{
    lt_view view = lt_view_split(o->ds, LT_TEST);
    const lt_ensemble_eval_cfg cfg = {.attack = o->attack,
                                      .spec = o->spec,
                                      .surrogate = o->surrogates ? o->surrogates->model : NULL,
                                      .n_surrogates = o->surrogates ? o->surrogates->n : 0,
                                      .white_box = o->white_box};
    *r = (lt_ensemble_eval_record){0};
    LT_TRY(check_data(o->ensemble->member[0], o->ds, "ensemble eval: the ensemble"));
    for (int i = 0; i < cfg.n_surrogates; i++)
        LT_TRY(check_data(cfg.surrogate[i], o->ds, o->surrogates->name[i]));
    view.n = o->limit > 0 && o->limit < view.n ? o->limit : view.n;
    LT_TRY(lt_ensemble_evaluate(o->ensemble, &view, &cfg, o->env, &r->eval));
    r->json = write_eval(o, view.n, &r->eval);
    return r->json ? LT_OK : LTI_NOMEM("result");
}

void lt_ensemble_eval_record_clear(lt_ensemble_eval_record *r)
{
    lt_ensemble_eval_clear(&r->eval);
    free(r->json);
    *r = (lt_ensemble_eval_record){0};
}
