// unlearn_result.c - the result of an unlearning run: its record, written as JSON and read back.
#include "run/unlearn_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void write_costs(lti_json *j, const lti_unlearning *u, const lt_unlearn_record *r)
{
    const lt_unlearn_result *result = &u->result;
    lti_json_begin(j, "passes", '{'); // what the method costs on any machine
    write_passes(j, "search", result->search);
    write_passes(j, "mask", result->mask);
    write_passes(j, "update", result->update);
    lti_json_end(j, '}');
    lti_json_int(j, "epochs", r->epochs);
    lti_json_int(j, "steps", r->steps);
    if (u->order->method->needs & LT_FINE_TUNES) {
        write_setup(j, &r->setup);
    } else { // by closed form, or from scratch
        lti_json_null(j, "lr_area");
        lti_json_null(j, "lr_area_default");
    }
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
static void write_recipe(lti_json *j, const lti_unlearning *u)
{
    char *last = lt_recipe_json(&u->recipe);
    lti_recipe_write(j, "earlier_trainings", u->history.stage, u->earlier.n);
    if (last)
        lti_json_raw(j, "recipe", last);
    free(last);
}

char *lti_unlearning_json(const lti_unlearning *u, const lt_unlearn_record *r)
{
    const lt_unlearn_order *o = u->order;
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "method", o->method->name);
    lti_json_text(&j, "title", o->method->title);
    lti_json_bool(&j, "use_retain", lti_unlearning_uses_retain(o));
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

// ---- the record

void lti_unlearning_fill(const lti_unlearning *u, double start_s, lt_unlearn_record *r)
{
    const lt_unlearn_result *result = &u->result;
    r->n_forget = u->sets.forget.n;
    r->n_retain = u->sets.retain.n;
    r->n_forgotten_before = u->sets.n_before + u->n_absent;
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

lt_status lti_unlearning_read_stored(const lti_unlearning *u, lt_unlearn_record *r)
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
