// unlearn_dir.c - unlearning as a whole run: samples, model, outputs before and after, result.
#include "base/arg_max.h"
#include "base/json_write.h"
#include "run/run_impl.h"
#include "run/until.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const lt_option lt_unlearn_what_options[] = {
    LT_STR(lt_unlearn_what, run, NULL, "trained run, or model file (also the first argument)"),
    LT_STR(lt_unlearn_what, method, NULL, "how to unlearn; `lethe unlearn --help` lists the methods"),
    LT_STR(lt_unlearn_what, forget, "random:10%",
           "random:10%, random:5000, class:3,7, superclass:NAME, subclass:NAME or file:IDS.csv"),
    LT_U64(lt_unlearn_what, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_STR(lt_unlearn_what, requests, NULL,
           "several forget sets one after another: a file of one a line, or split:KxN:IDS.csv"),
    LT_F64(lt_unlearn_what, request_lr_decay, 1, 1e-6, 1, "", "factor of the method's lr from one request to the next"),
    LT_BOOL(lt_unlearn_what, use_retain_data, 1,
            "the method may use the retained data; --no-use-retain-data: forget data only"),
    LT_ENUM(lt_unlearn_what, until, LTI_UNTIL_EPOCHS, lti_until_values, "when the method ends"),
    LT_STR(lt_unlearn_what, data, NULL, "data set; default: the one the model was trained on"),
    LT_STR(lt_unlearn_what, recipe, NULL,
           "retrain: YAML file that says how the original was trained; default: what its run recorded"),
    LT_STR(lt_unlearn_what, cache, NULL,
           "keep adversarial sets, which show forgotten images, in this directory and find them there; default: none"),
    LT_BOOL(lt_unlearn_what, save_adv, 0,
            "keep the adversarial set of the method, which shows forgotten images, in the run directory"),
    LT_OPT_END,
};

void lt_unlearn_order_defaults(const lt_unlearn_method *method, void *cfg, lt_unlearn_order *order)
{
    *order = (lt_unlearn_order){.seed = 1, .method = method, .cfg = cfg};
    lt_options_defaults(lt_unlearn_what_options, &order->what);
    lt_options_defaults(lt_compute_options, &order->compute);
    lt_options_defaults(method->opts, cfg);
    order->what.method = method->name;
}

void lt_unlearn_record_clear(lt_unlearn_record *record)
{
    free(record->json);
    *record = (lt_unlearn_record){0};
}

typedef struct unlearning { // everything that must be given back
    const lt_unlearn_order *order;
    lt_unlearn_order copy;
    lti_seed seed;
    void *cfg;
    lt_optset *made;
    lt_model *model;
    lt_train_cfg recipe; // of the last training
    bool has_recipe;
    lt_recipe history; // every training
    lti_earlier earlier;
    lti_clip_recipe clip;
    lt_sample_sets sets;
    lti_until until; // open with --until held-out
    lt_result_dir to;
    lt_unlearn_result result;
    lt_signals *after, *before;      // outputs on the three groups
    char search[LT_RESULT_PATH_MAX]; // of an adversarial search while the run goes on; "" = nowhere
    char parent_digest[65], forget_digest[65], forgotten_digest[65], first_digest[65], history_digest[65];
} unlearning;

static bool uses_retain(const lt_unlearn_order *o)
{
    return o->what.use_retain_data && !(o->method->needs & LT_FORGET_ONLY);
}

static const lt_optset *options_of(const unlearning *u)
{
    return u->order->set ? u->order->set : u->made;
}

static lt_status make_options(unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const unsigned flags = LT_OPTGROUP_FLAGS;
    enum { PREFIX_MAX = 64 };
    char prefix[PREFIX_MAX];
    u->copy = *o;
    if (!u->copy.what.run)
        u->copy.what.run = o->base->name;
    u->seed.seed = o->seed;
    u->cfg = lti_calloc(1, o->method->cfg_size + 1);
    if (!u->cfg)
        return LTI_NOMEM("options");
    if (o->method->cfg_size)
        memcpy(u->cfg, o->cfg, o->method->cfg_size);
    lti_format(prefix, sizeof prefix, "unlearn.%s", o->method->name);
    LT_TRY(lt_optset_create(&u->made));
    LT_TRY(lt_optset_add_filled(u->made, "", lt_unlearn_what_options, &u->copy.what, flags, "call"));
    LT_TRY(lt_optset_add_filled(u->made, prefix, o->method->opts, u->cfg, flags, "call"));
    if (o->train && (o->method->needs & LT_FROM_SCRATCH))
        LT_TRY(lt_optset_add_filled(u->made, "train", lt_train_options, o->train, flags, "call"));
    LT_TRY(lt_optset_add_filled(u->made, "", lti_seed_options, &u->seed, flags, "call"));
    return lt_optset_add_filled(u->made, "", lt_compute_options, &u->copy.compute, flags, "call");
}

// ---- how the original was trained

static lt_train_cfg *bound_recipe(const unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const bool is_bound = o->train && (!o->set || lt_optset_has(o->set, "train.epochs"));
    return is_bound && (o->method->needs & LT_FROM_SCRATCH) ? o->train : NULL;
}

// What the user has not said is what the base or the file of the user says; it is recorded with the options.
static lt_status overlay_recipe(unlearning *u, const lt_recipe_stage *last)
{
    lt_optset *set =
        (lt_optset *)(uintptr_t)u->order->set; // values of a weaker origin, as the contract of `train` says
    lt_train_cfg *bound = bound_recipe(u);
    const char *value, *origin;
    u->has_recipe = last->is_known;
    u->recipe = last->cfg;
    if (!bound)
        return LT_OK;
    if (!set) {
        u->has_recipe = true;
        u->recipe = *bound;
        return LT_OK;
    }
    LT_TRY(lt_optset_get(set, "train.epochs", &value, &origin));
    u->has_recipe |= strcmp(origin, "default") != 0; // for how long says that it is a recipe
    bool is_given;
    LT_TRY(lti_recipe_overlay(set, last->is_known ? &last->cfg : NULL, &is_given));
    u->recipe = *bound;
    return LT_OK;
}

// A file of the user replaces all that the base recorded, unless it is one training and the base had several.
static lt_status read_history(unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const bool is_given = o->what.recipe && *o->what.recipe;
    if (is_given && !(o->method->needs & LT_FROM_SCRATCH)) {
        LT_FAIL(LT_E_USAGE, "%s: --recipe is for methods that train from scratch", o->method->name);
        return lt_error_hint("--method retrain");
    }
    LT_TRY(is_given ? lt_recipe_open(o->what.recipe, &u->history) : lt_trained_model_history(o->base, &u->history));
    const int n = u->history.n;
    if (is_given) {
        lt_recipe recorded;
        LT_TRY(lt_trained_model_history(o->base, &recorded));
        const int n_recorded = recorded.n;
        lt_recipe_clear(&recorded);
        if (n < n_recorded)
            return LT_FAIL(LT_E_USAGE, "%s: it says %d training%s, but %s was trained %d times", o->what.recipe, n,
                           n == 1 ? "" : "s", o->base->name, n_recorded);
    }
    return overlay_recipe(u, &u->history.stage[n - 1]);
}

// Only what trains from scratch needs the data of earlier trainings.
static lt_status open_history(unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const int n = u->history.n;
    if (!(o->method->needs & LT_FROM_SCRATCH))
        return LT_OK;
    for (int i = 0; i < n - 1; i++)
        if (!u->history.stage[i].is_known) {
            LT_FAIL(LT_E_USAGE, "%s: %s was trained %d times: expected the recipe of training %d, found none",
                    o->method->name, o->base->name, n, i + 1);
            return lt_error_hint("say them all with --recipe FILE.yaml: a list `stages`, each with epochs, lr, ...");
        }
    return lti_earlier_open(o->base, o->ds, &u->sets, u->history.stage, n - 1, o->env, &u->earlier);
}

static void digest_history(const unlearning *u, char digest[65])
{
    lti_json j = {0};
    lti_hash h;
    lti_recipe_write(&j, NULL, u->history.stage, u->history.n - 1);
    char *text = lti_json_take(&j);
    lti_hash_init(&h);
    lti_hash_add(&h, text ? text : "", text ? strlen(text) : 0);
    lti_hash_hex(&h, digest);
    free(text);
}

static lt_status open_inputs(unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const lt_forget_request request = {.spec = o->what.forget, .seed = o->what.forget_seed, .is_new = true};
    LT_TRY(lt_trained_model_sets(o->base, o->ds, &request, &u->sets));
    LT_TRY(read_history(u));
    LT_TRY(open_history(u));
    LT_TRY(lt_trained_model_clip(o->base, &u->clip.cfg));
    u->clip.env = o->env;
    LT_TRY(lt_model_dup(o->base->model, &u->model));
    if (o->what.until == LTI_UNTIL_HELD_OUT) {
        const uint64_t seed = u->sets.test.n ? u->sets.held_out_seed : o->seed; // that of the base, where it has one
        LT_TRY(lti_until_open(&u->until, o->ds, &u->sets.forget, seed, o->env));
        u->sets.held_out_seed = seed;
        if (u->sets.test.n == 0)
            LT_TRY(lt_index_set_complement(o->ds->split[LT_TEST].n, &u->until.stop, &u->sets.test));
    }
    lt_model_digest(u->model, u->parent_digest);
    lt_index_set_digest(o->ds, LT_TRAIN, &u->sets.forget, u->forget_digest);
    if (u->earlier.n)
        digest_history(u, u->history_digest);
    if (o->stream)
        lt_model_digest(o->stream->first, u->first_digest);
    return LT_OK;
}

static lt_unlearn_in describe_job(unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    return (lt_unlearn_in){.model = u->model,
                           .ds = o->ds,
                           .forget = &u->sets.forget,
                           .retain = &u->sets.retain,
                           .use_retain = uses_retain(o),
                           .seed = o->seed,
                           .env = o->env,
                           .cache_dir = o->cache_dir && *o->cache_dir ? o->cache_dir
                                        : *u->search                  ? u->search
                                                                      : NULL,
                           .run_dir = u->to.dir,
                           .resume = !o->force,
                           .prepare_training = lti_clip_job,
                           .prepare_ctx = &u->clip,
                           .train_cfg = u->has_recipe ? &u->recipe : NULL,
                           .earlier = u->earlier.stage,
                           .n_earlier = u->earlier.n,
                           .stream = o->stream,
                           .until = o->what.until == LTI_UNTIL_HELD_OUT ? &u->until.hook : NULL};
}

static lt_status write_sets(unlearning *u)
{
    const lt_dataset *ds = u->order->ds;
    char path[LT_RESULT_PATH_MAX];
    LT_TRY(lt_run_path(u->to.run, "forget.csv", path, sizeof path));
    LT_TRY(lt_forget_write(ds, &u->sets.forget, path));
    LT_TRY(lt_run_path(u->to.run, "forgotten.csv", path, sizeof path));
    unlink(path); // of an earlier try with other options
    if (u->sets.n_before == 0)
        return LT_OK;
    lt_index_set all = {0};
    lt_status status = lt_index_set_complement(ds->split[LT_TRAIN].n, &u->sets.retain, &all);
    if (status == LT_OK) {
        lt_index_set_digest(ds, LT_TRAIN, &all, u->forgotten_digest);
        status = lt_forget_write(ds, &all, path);
    }
    lt_index_set_clear(&all);
    return status;
}

// ---- outputs

static lt_status mean_loss(const lt_signals *s, int group, double *mean)
{
    const int64_t n = lt_signals_feature(s, LT_FEAT_LOSS, group, NULL);
    double sum = 0, *loss = lti_calloc((size_t)n + 1, sizeof *loss);
    if (!loss)
        return LTI_NOMEM("outputs");
    lt_signals_feature(s, LT_FEAT_LOSS, group, loss);
    for (int64_t i = 0; i < n; i++)
        sum += loss[i];
    lti_free(loss);
    *mean = n ? sum / (double)n : (double)NAN;
    return LT_OK;
}

static lt_status measure_state(const lt_signals *s, lt_unlearn_state *out)
{
    out->forget_acc = lt_signals_acc(s, LT_GROUP_FORGET);
    out->retain_acc = lt_signals_acc(s, LT_GROUP_RETAIN);
    out->test_acc = lt_signals_acc(s, LT_GROUP_TEST);
    out->n_forgotten_classes = lt_signals_class_roles(s, NULL);
    LT_TRY(lt_signals_class_acc(s, &out->class_acc));
    LT_TRY(mean_loss(s, LT_GROUP_RETAIN, &out->retain_loss));
    LT_TRY(mean_loss(s, LT_GROUP_TEST, &out->test_loss));
    return lt_audit_phi_stats(s, &out->phi);
}

// A model whose loss on retained samples is this many times that of guessing is no model any more.
static lt_status check_divergence(const unlearning *u, const lt_unlearn_state *after)
{
    enum { DIVERGED_LOSS_FACTOR = 100 };
    const double limit = DIVERGED_LOSS_FACTOR * log((double)u->model->shape.n_classes);
    // Test samples of a forgotten class may have any loss.
    const double loss = isnan(after->retain_loss) ? after->test_loss : after->retain_loss;
    if (u->sets.retain.n == 0 || loss <= limit)
        return LT_OK;
    LT_FAIL(LT_E_DIVERGED, "%s: diverged: expected a loss of at most %.0f on retained samples, found %.3g",
            u->order->method->name, limit, loss);
    return lt_error_hint("lower --lr or --lr-area");
}

// Share of the adversarial set that the unlearned model gives its adversarial label.
static lt_status measure_pairs(const unlearning *u, double *acc)
{
    const lt_adv_set *adv = u->result.adv;
    const int k = u->model->shape.n_classes;
    *acc = (double)NAN;
    if (!adv || !u->result.setup.form.trains_pairs || adv->n != u->sets.forget.n)
        return LT_OK;
    lt_eval_result ignored;
    lt_view view = lt_view_rows(u->order->ds, LT_TRAIN, &u->sets.forget);
    view.images = adv->x_adv;
    view.labels = adv->adv_pred;
    float *logits = lti_calloc((size_t)adv->n * (size_t)k, sizeof *logits);
    if (!logits)
        return LTI_NOMEM("outputs");
    const lt_status status = lt_evaluate(u->model, &view, u->order->env, LTI_EVAL_BATCH, logits, NULL, &ignored);
    int64_t n = 0, correct = 0;
    for (int64_t i = 0; status == LT_OK && i < adv->n; i++)
        if (adv->status[i] != LT_ADV_FAILED) {
            n++;
            correct += lti_arg_max(logits + i * k, k) == adv->adv_pred[i];
        }
    lti_free(logits);
    *acc = n ? (double)correct / (double)n : (double)NAN;
    return status;
}

static lt_status evaluate_models(unlearning *u, lt_unlearn_record *r)
{
    const lt_unlearn_order *o = u->order;
    const double start_s = lti_now_s();
    LT_TRY(lt_signals_compute(u->model, o->ds, &u->sets.forget, &u->sets.retain, o->env, &u->after));
    LT_TRY(lti_signals_keep_test(u->after, o->ds, &u->sets.test));
    LT_TRY(measure_state(u->after, &r->after));
    LT_TRY(check_divergence(u, &r->after));
    LT_TRY(lt_signals_compute(o->base->model, o->ds, &u->sets.forget, &u->sets.retain, o->env, &u->before));
    LT_TRY(lti_signals_keep_test(u->before, o->ds, &u->sets.test));
    LT_TRY(measure_state(u->before, &r->before));
    LT_TRY(measure_pairs(u, &r->pair_acc));
    r->eval_s = lti_now_s() - start_s;
    return LT_OK;
}

static lt_status save_artefacts(unlearning *u)
{
    char path[LT_RESULT_PATH_MAX];
    const lt_provenance p = {.ds = u->order->ds,
                             .recipe = u->order->method->needs & LT_FROM_SCRATCH ? &u->recipe : NULL,
                             .method = u->order->method->name,
                             .parent_digest = u->parent_digest,
                             .forgotten_digest = u->forgotten_digest,
                             .forget_digest = u->forget_digest};
    LT_TRY(lt_model_set_provenance(u->model, &p));
    if (u->order->method->needs & LT_FROM_SCRATCH)
        LT_TRY(lti_recipe_set_earlier(u->model, u->history.stage, u->earlier.n));
    LT_TRY(lt_model_save(u->model, u->to.model));
    LT_TRY(lt_run_path(u->to.run, "signals.npz", path, sizeof path));
    LT_TRY(lt_signals_save(u->after, path));
    if (!u->result.adv || !u->order->what.save_adv)
        return LT_OK;
    LT_TRY(lt_run_path(u->to.run, "adv", path, sizeof path));
    return lt_adv_set_save(u->result.adv, path);
}

// ---- the result as JSON

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void write_adv(lti_json *j, const lt_adv_set *adv, double pair_acc)
{
    float *norm = lti_calloc((size_t)adv->n + 1, sizeof *norm);
    lti_json_begin(j, "adversarial_set", '{');
    lti_json_int(j, "n", adv->n);
    lti_json_int(j, "n_clean_wrong", lt_adv_set_count(adv, LT_ADV_CLEAN_WRONG));
    lti_json_int(j, "n_failed", lt_adv_set_count(adv, LT_ADV_FAILED));
    lti_json_text(j, "digest", adv->digest); // of the search; "" when it was not cached
    if (norm && adv->n) {
        memcpy(norm, adv->delta_norm, (size_t)adv->n * sizeof *norm);
        qsort(norm, (size_t)adv->n, sizeof *norm, compare_floats);
    }
    lti_json_real(j, "median_l2", norm && adv->n ? (double)norm[adv->n / 2] : (double)NAN);
    lti_json_real(j, "pair_acc", pair_acc); // null where the images they were made of were not trained on
    lti_json_end(j, '}');
    lti_free(norm);
}

// The change of every parameter tensor; relative: to what it was.
static void write_layers(lti_json *j, const lt_unlearn_result *result)
{
    lti_json_begin(j, "delta_layers", '[');
    for (int i = 0; i < result->n_layers; i++) {
        const lt_layer_delta *l = &result->layer[i];
        lti_json_begin(j, NULL, '{');
        lti_json_text(j, "name", l->name);
        lti_json_real(j, "delta_norm_l2", l->delta_l2);
        lti_json_real(j, "relative", l->norm_l2 > 0 ? l->delta_l2 / l->norm_l2 : (double)NAN);
        lti_json_end(j, '}');
    }
    lti_json_end(j, ']');
}

static void write_passes(lti_json *j, const char *name, lt_passes passes)
{
    lti_json_begin(j, name, '{');
    lti_json_int(j, "forward", passes.n_forward);
    lti_json_int(j, "backward", passes.n_backward);
    lti_json_end(j, '}');
}

static void write_setup(lti_json *j, const lt_unlearn_setup *s)
{
    lti_json_real(j, "lr", s->lr);
    if (s->lr_step_every > 0)
        lti_json_int(j, "lr_step_every", s->lr_step_every);
    else
        lti_json_null(j, "lr_step_every");
    lti_json_real(j, "lr_area", s->lr_area);
    lti_json_real(j, "lr_area_default", s->lr_area_default);
    lti_json_real(j, "lr_area_wanted", s->lr_area_wanted);
    lti_json_int(j, "batch", s->batch);
    lti_json_text(j, "form", s->form.name);
    lti_json_bool(j, "published", s->is_published);
}

static void write_state(lti_json *j, const lt_unlearn_state *s)
{
    lti_json_real(j, "forget_acc", s->forget_acc);
    lti_json_real(j, "retain_acc", s->retain_acc);
    lti_json_real(j, "test_acc", s->test_acc);
    lti_json_real(j, "test_loss", s->test_loss);
    if (s->n_forgotten_classes > 0) {
        lti_json_real(j, "acc_f", s->class_acc.acc_f);
        lti_json_real(j, "acc_r", s->class_acc.acc_r);
        lti_json_real(j, "acc_f_train", s->class_acc.acc_f_train);
        lti_json_real(j, "acc_r_train", s->class_acc.acc_r_train);
    }
    lti_json_real(j, "phi_share", s->phi.share);
    lti_json_real(j, "phi_auc", s->phi.auc);
}

static void write_costs(lti_json *j, const unlearning *u, const lt_unlearn_record *r)
{
    const lt_unlearn_result *result = &u->result;
    lti_json_begin(j, "passes", '{'); // what the method costs on any machine
    write_passes(j, "search", result->search);
    write_passes(j, "mask", result->mask);
    write_passes(j, "update", result->update);
    lti_json_end(j, '}');
    lti_json_int(j, "epochs", r->epochs);
    lti_json_int(j, "steps", r->steps);
    if (u->order->method->needs & LT_FINE_TUNES)
        write_setup(j, &r->setup);
    lti_json_real(j, "images_per_s", result->train.images_per_s);
    lti_json_real(j, "wall_s", r->wall_s);
    lti_json_begin(j, "time", '{');
    lti_json_real(j, "search_s", r->search_s);
    lti_json_real(j, "mask_s", r->mask_s);
    lti_json_real(j, "update_s", r->update_s);
    lti_json_real(j, "eval_s", r->eval_s);
    lti_json_end(j, '}');
}

// The trainings as they were repeated.
static void write_recipe(lti_json *j, const unlearning *u)
{
    char *last = lt_recipe_json(&u->recipe);
    lti_recipe_write(j, "earlier_trainings", u->history.stage, u->earlier.n);
    if (last)
        lti_json_raw(j, "recipe", last);
    free(last);
}

static char *write_record(const unlearning *u, const lt_unlearn_record *r)
{
    const lt_unlearn_order *o = u->order;
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "method", o->method->name);
    lti_json_text(&j, "title", o->method->title);
    lti_json_bool(&j, "use_retain", uses_retain(o));
    lti_json_text(&j, "parent", o->base->name);
    lti_json_text(&j, "model", u->model->spec);
    lti_json_text(&j, "data", o->ds->spec);
    lti_json_text(&j, "forget", o->what.forget);
    lti_json_int(&j, "n_forget", r->n_forget);
    lti_json_int(&j, "n_retain", r->n_retain);
    lti_json_int(&j, "n_forgotten_before", r->n_forgotten_before);
    lti_json_real(&j, "train_acc", r->train_acc);
    write_state(&j, &r->after);
    lti_json_begin(&j, "original", '{');
    write_state(&j, &r->before);
    lti_json_end(&j, '}');
    lti_json_real(&j, "delta_norm_l2", r->delta_norm_l2);
    write_layers(&j, &u->result);
    lti_json_int(&j, "n_trainable", u->result.n_trainable);
    write_costs(&j, u, r);
    if (u->result.adv)
        write_adv(&j, u->result.adv, r->pair_acc);
    if (o->what.until == LTI_UNTIL_HELD_OUT)
        lti_until_write(&u->until, &j);
    if (u->sets.test.n > 0) // also of runs whose ancestor was ended so
        lti_json_int(&j, "held_out_seed", (int64_t)u->sets.held_out_seed);
    lti_json_int(&j, "seed", (int64_t)o->seed);
    lti_json_text(&j, "parent_digest", u->parent_digest);
    lti_json_text(&j, "data_digest", o->ds->digest);
    lti_json_text(&j, "forget_digest", r->forget_digest);
    if (*u->first_digest)
        lti_json_text(&j, "stream_digest", u->first_digest);
    if (*u->history_digest)
        lti_json_text(&j, "history_digest", u->history_digest);
    if (o->method->needs & LT_FROM_SCRATCH)
        write_recipe(&j, u);
    lti_json_text(&j, "model_digest", r->model_digest);
    lti_json_text(&j, "run", u->to.dir);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

// ---- the run

static void fill_record(const unlearning *u, double start_s, lt_unlearn_record *r)
{
    const lt_unlearn_result *result = &u->result;
    r->n_forget = u->sets.forget.n;
    r->n_retain = u->sets.retain.n;
    r->n_forgotten_before = u->sets.n_before;
    r->epochs = result->train.epochs;
    r->steps = result->train.steps;
    r->setup = result->setup;
    r->delta_norm_l2 = result->delta_norm_l2;
    r->search_s = result->search_s;
    r->mask_s = result->mask_s;
    r->update_s = result->update_s;
    r->n_backward = result->update.n_backward;
    if (result->adv)
        lti_format(r->adv_digest, sizeof r->adv_digest, "%s", result->adv->digest);
    const double retained = r->n_retain ? r->after.retain_acc * (double)r->n_retain : 0;
    const double forgotten = r->n_forget ? r->after.forget_acc * (double)r->n_forget : 0;
    r->train_acc = (retained + forgotten) / (double)(r->n_retain + r->n_forget);
    lt_model_digest(u->model, r->model_digest);
    memcpy(r->forget_digest, u->forget_digest, sizeof r->forget_digest);
    r->wall_s = lti_now_s() - start_s;
}

static void read_state(const json_t *j, lt_unlearn_state *s)
{
    s->forget_acc = lti_json_real_at(j, "forget_acc");
    s->retain_acc = lti_json_real_at(j, "retain_acc");
    s->test_acc = lti_json_real_at(j, "test_acc");
    s->test_loss = lti_json_real_at(j, "test_loss");
    s->retain_loss = NAN;
    s->phi.share = lti_json_real_at(j, "phi_share");
    s->phi.auc = lti_json_real_at(j, "phi_auc");
}

static lt_status read_stored(const unlearning *u, lt_unlearn_record *r)
{
    json_t *j;
    LT_TRY(lti_stored_result(&u->to, &r->json, &j));
    r->is_cached = true;
    r->n_forget = lti_json_int_at(j, "n_forget");
    r->n_retain = lti_json_int_at(j, "n_retain");
    r->n_forgotten_before = lti_json_int_at(j, "n_forgotten_before");
    r->epochs = lti_json_int_at(j, "epochs");
    r->steps = lti_json_int_at(j, "steps");
    read_state(j, &r->after);
    read_state(json_object_get(j, "original"), &r->before);
    r->setup.lr = lti_json_real_at(j, "lr");
    r->setup.lr_area = lti_json_real_at(j, "lr_area");
    r->setup.lr_area_default = lti_json_real_at(j, "lr_area_default");
    r->train_acc = lti_json_real_at(j, "train_acc");
    r->delta_norm_l2 = lti_json_real_at(j, "delta_norm_l2");
    r->search_s = lti_json_real_at(j, "time.search_s");
    r->mask_s = lti_json_real_at(j, "time.mask_s");
    r->update_s = lti_json_real_at(j, "time.update_s");
    r->eval_s = lti_json_real_at(j, "time.eval_s");
    r->wall_s = lti_json_real_at(j, "wall_s");
    r->pair_acc = lti_json_real_at(j, "adversarial_set.pair_acc");
    r->n_backward = lti_json_int_at(j, "passes.update.backward");
    lti_format(r->adv_digest, sizeof r->adv_digest, "%s", lti_json_text_at(j, "adversarial_set.digest"));
    lti_format(r->model_digest, sizeof r->model_digest, "%s", lti_json_text_at(j, "model_digest"));
    lti_format(r->forget_digest, sizeof r->forget_digest, "%s", lti_json_text_at(j, "forget_digest"));
    json_decref(j);
    return LT_OK;
}

static lt_status open_result(unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const char *facts[2 * 5 + 1] = {"parent_digest", u->parent_digest, "data_digest",
                                    o->ds->digest,   "forget_digest",  u->forget_digest};
    int n = 6;
    if (o->stream) {
        facts[n++] = "stream_digest";
        facts[n++] = u->first_digest;
    }
    if (u->earlier.n) {
        facts[n++] = "history_digest";
        facts[n++] = u->history_digest;
    }
    const lt_result_dir_spec spec = {.verb = "unlearn",
                                     .label = o->method->name,
                                     .out = o->out,
                                     .force = o->force,
                                     .options = options_of(u),
                                     .facts = facts,
                                     .events = o->env->events,
                                     .tensorboard = o->tensorboard};
    return lt_result_dir_open(&spec, &u->to);
}

static lt_status run_unlearning(unlearning *u, lt_unlearn_record *record)
{
    const lt_unlearn_order *o = u->order;
    if (!o->set)
        LT_TRY(make_options(u));
    LT_TRY(open_inputs(u));
    lt_unlearn_in in = describe_job(u); // what can be refused is refused before there is a directory
    LT_TRY(lt_unlearn_check(o->method, &in));
    LT_TRY(open_result(u));
    lti_format(record->dir, sizeof record->dir, "%s", u->to.dir);
    if (u->to.finished)
        return read_stored(u, record);
    const double start_s = lti_now_s();
    LT_TRY(write_sets(u));
    if (o->method->needs & LT_NEED_ATTACK)
        LT_TRY(lt_run_path(u->to.run, "search", u->search, sizeof u->search));
    in = describe_job(u);
    LT_TRY(lt_unlearn_run(o->method, &in, o->cfg, &u->result));
    if (in.until) {
        LT_TRY(lti_until_finish(&u->until, u->model, u->result.train.epochs));
        LT_TRY(lti_until_save(&u->until, u->to.dir));
    }
    LT_TRY(evaluate_models(u, record));
    fill_record(u, start_s, record);
    LT_TRY(save_artefacts(u));
    if (*u->search)
        LT_TRY(lt_adv_cache_clear(u->search, false, NULL, NULL));
    record->json = write_record(u, record);
    return lt_result_dir_finish(&u->to, record->json);
}

lt_status lt_unlearn_dir(const lt_unlearn_order *order, lt_unlearn_record *record)
{
    *record = (lt_unlearn_record){0};
    unlearning *u = lti_calloc(1, sizeof *u);
    if (!u)
        return LTI_NOMEM("unlearning run");
    u->order = order;
    lt_status status = run_unlearning(u, record);
    lt_result_dir_close(&u->to);
    lt_clipper_destroy(u->clip.clipper);
    lt_unlearn_result_clear(&u->result);
    lt_signals_destroy(u->after);
    lt_signals_destroy(u->before);
    lti_earlier_close(&u->earlier);
    lt_recipe_clear(&u->history);
    lt_sample_sets_clear(&u->sets);
    lti_until_clear(&u->until);
    lt_model_destroy(u->model);
    lt_optset_destroy(u->made);
    lti_free(u->cfg);
    lti_free(u);
    if (status != LT_OK) {
        free(record->json);
        record->json = NULL;
    }
    return status;
}
