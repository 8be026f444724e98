// unlearn_dir.c - unlearning as a whole run: samples, model, outputs before and after, result.
#include "run/unlearn_impl.h"
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
           "keep adversarial sets, which show forgotten images, in this directory and find them again; default: none"),
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

bool lti_unlearning_uses_retain(const lt_unlearn_order *o)
{
    return o->what.use_retain_data && !(o->method->needs & LT_FORGET_ONLY);
}

lt_status lti_check_method_files(const lt_unlearn_order *order)
{
    return order->method->check_files ? order->method->check_files(order->cfg, order->force) : LT_OK;
}

static const lt_optset *options_of(const lti_unlearning *u)
{
    return u->order->set ? u->order->set : u->made;
}

static lt_status make_options(lti_unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    u->copy = *o;
    if (!u->copy.what.run)
        u->copy.what.run = o->base->name;
    u->cfg = lti_calloc(1, o->method->cfg_size + 1);
    if (!u->cfg)
        return LTI_NOMEM("options");
    if (o->method->cfg_size)
        memcpy(u->cfg, o->cfg, o->method->cfg_size);
    LT_TRY(lt_optset_create(&u->made));
    return lt_unlearn_order_bind(&u->copy, u->cfg, u->made, true);
}

// ---- how the original was trained

static lt_train_cfg *bound_recipe(const lti_unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const bool is_bound = o->train && (!o->set || lt_optset_has(o->set, "train.epochs"));
    return is_bound && (o->method->needs & LT_FROM_SCRATCH) ? o->train : NULL;
}

// What the user has not said is what the base or the file of the user says; it is recorded with the options.
static lt_status overlay_recipe(lti_unlearning *u, const lt_recipe_stage *last)
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
static lt_status read_history(lti_unlearning *u)
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
static lt_status open_history(lti_unlearning *u)
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

static void digest_history(const lti_unlearning *u, char digest[65])
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

static lt_status open_inputs(lti_unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    const lt_forget_request request = {.spec = o->what.forget, .seed = o->what.forget_seed, .is_new = true};
    LT_TRY(lt_trained_model_sets(o->base, o->ds, &request, &u->sets));
    LT_TRY(lti_forgotten_absent(o->base, o->ds, &u->absent, &u->n_absent));
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

static lt_unlearn_in describe_job(lti_unlearning *u)
{
    const lt_unlearn_order *o = u->order;
    return (lt_unlearn_in){.model = u->model,
                           .ds = o->ds,
                           .forget = &u->sets.forget,
                           .retain = &u->sets.retain,
                           .use_retain = lti_unlearning_uses_retain(o),
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
                           .is_clipped = lt_clip_is_on(&u->clip.cfg),
                           .earlier = u->earlier.stage,
                           .n_earlier = u->earlier.n,
                           .stream = o->stream,
                           .until = o->what.until == LTI_UNTIL_HELD_OUT ? &u->until.hook : NULL};
}

static lt_status write_sets(lti_unlearning *u)
{
    const lt_dataset *ds = u->order->ds;
    char path[LT_RESULT_PATH_MAX];
    LT_TRY(lt_run_path(u->to.run, "forget.csv", path, sizeof path));
    LT_TRY(lt_forget_write(ds, &u->sets.forget, path));
    LT_TRY(lt_run_path(u->to.run, "forgotten.csv", path, sizeof path));
    unlink(path); // of an earlier try with other options
    if (u->sets.n_before + u->n_absent == 0)
        return LT_OK;
    lt_index_set all = {0};
    lt_status status = lt_index_set_complement(ds->split[LT_TRAIN].n, &u->sets.retain, &all);
    if (status == LT_OK) {
        lt_index_set_digest(ds, LT_TRAIN, &all, u->forgotten_digest);
        status = lti_forgotten_write(ds, &all, u->absent, u->n_absent, path);
    }
    lt_index_set_clear(&all);
    return status;
}

static lt_status save_artefacts(lti_unlearning *u)
{
    char path[LT_RESULT_PATH_MAX];
    const lt_provenance p = {.ds = u->order->ds,
                             .recipe = u->order->method->needs & LT_FROM_SCRATCH ? &u->recipe : NULL,
                             .method = u->order->method->name,
                             .parent_digest = u->parent_digest,
                             .forgotten_digest = u->forgotten_digest,
                             .forget_digest = u->forget_digest};
    LT_TRY(lti_remember_samples(u->order->base, u->order->ds, &u->to, u->model));
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

// ---- the run

static lt_status open_result(lti_unlearning *u)
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
                                     .input = o->base->dir,
                                     .force = o->force,
                                     .options = options_of(u),
                                     .facts = facts,
                                     .events = o->env->events,
                                     .backend = o->env->backend,
                                     .tensorboard = o->tensorboard};
    return lt_result_dir_open(&spec, &u->to);
}

static lt_status run_unlearning(lti_unlearning *u, lt_unlearn_record *record)
{
    const lt_unlearn_order *o = u->order;
    if (!o->set)
        LT_TRY(make_options(u));
    LT_TRY(open_inputs(u));
    lt_unlearn_in in = describe_job(u); // what can be refused is refused before there is a directory
    LT_TRY(lt_unlearn_check(o->method, &in));
    LT_TRY(lti_check_method_files(o));
    LT_TRY(open_result(u));
    lti_format(record->dir, sizeof record->dir, "%s", u->to.dir);
    if (u->to.finished)
        return lti_unlearning_read_stored(u, record);
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
    LT_TRY(lti_unlearning_evaluate(u, record));
    lti_unlearning_fill(u, start_s, record);
    LT_TRY(save_artefacts(u));
    if (*u->search)
        LT_TRY(lt_adv_cache_clear(u->search, false, NULL, NULL));
    record->json = lti_unlearning_json(u, record);
    return lt_result_dir_finish(&u->to, record->json);
}

lt_status lt_unlearn_dir(const lt_unlearn_order *order, lt_unlearn_record *record)
{
    *record = (lt_unlearn_record){0};
    lti_unlearning *u = lti_calloc(1, sizeof *u);
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
    lti_free(u->absent);
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
