// amun.c - adversarial machine unlearning: fine-tune on the nearest adversarial examples of the forget set. [AMUN 3]
//
// For each (x, y) of D_F the search gives x_adv, very close, with F(x_adv) = y_adv != y. These pairs already agree with
// the model, so training on them hardly moves its accuracy; but (x, y) and (x_adv, y_adv) together force the boundary
// between them to move locally, and the confidence at x drops to that of unseen data.
//     with retain data: min CE over D_R(y) + D_F(y) + D_A(y_adv)     adv_only: D_R + D_A
//     forget data only: min CE over D_F(y) + D_A(y_adv)              adv_only: D_A
// One shuffle over the union each epoch. D_A is never augmented: a crop or flip loses most adversarial labels
// [AMUN 11.19], unless augment_adv asks for it (amun_rand of the authors' code). Samples whose search failed have no
// counterpart and are left out of D_A.
//
// Of a stream of requests [AMUN 8.1] D_A is one search for all of them on the first model, of which each request takes
// its rows; with `adaptive` (AMUN-A) each request searches on the model it starts from.
//
// `counterpart` replaces D_A by the substitutes of the ablation [AMUN 8.3]; random directions and labels are redrawn
// each epoch. `search` and `adv_model` replace the attack, and the model that is attacked [AMUN 8.4]. AMUN+SalUn is
// this method with mask=salun, amun_l1 with l1=5e-4.
#include "attack/attack_rows.h"
#include "unlearn/recipe.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum {
    COUNTERPART_ADV,
    COUNTERPART_ORIG,
    COUNTERPART_ADV_RS,
    COUNTERPART_ADV_RL,
    COUNTERPART_ORIG_RL,
    COUNTERPART_ORIG_ADVL
};
static const lt_opt_value counterparts[] = {
    {"adv", COUNTERPART_ADV, "x_adv with y_adv: the method"},
    {"orig", COUNTERPART_ORIG, "x with y"},
    {"adv-rs", COUNTERPART_ADV_RS, "x moved as far in a random direction, with y_adv"},
    {"adv-rl", COUNTERPART_ADV_RL, "x_adv with a random label other than y and y_adv"},
    {"orig-rl", COUNTERPART_ORIG_RL, "x with a random label other than y and y_adv"},
    {"orig-advl", COUNTERPART_ORIG_ADVL, "x with y_adv"},
    {NULL, 0, NULL},
};

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t adv_only; // lt_auto
    bool augment_adv, adaptive;
    int32_t counterpart;
    const char *search, *adv_model;
    lt_adv_search_cfg attack;
    lt_fgsm_line_search_cfg fgsm;
};

#define LARGE_SHARE 0.2 // of the training data
#define ATTACK(field) attack.field
#define FGSM(field) fgsm.field
static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_SWITCH(
        struct cfg, adv_only,
        "leave the forget set itself out; auto: when the base run was trained without augmentation, or more than a "
        "fifth of the data is forgotten"),
    LT_ENUM(struct cfg, counterpart, COUNTERPART_ADV, counterparts, "what replaces the adversarial set (ablation)"),
    LT_BOOL(struct cfg, augment_adv, 0, "crop and flip adversarial images too (authors' amun_rand)"),
    LT_BOOL(struct cfg, adaptive, 0, "requests: a search on the current model for each (AMUN-A), not one on the first"),
    {.name = "attack", // its options are attack.NAME: the field of this name is theirs
     .type = LT_OPT_STR,
     .offset = LT_OPT_TYPED(struct cfg, search, const char *),
     .unit = "",
     .help = "attack that makes the adversarial set; default: amun-search"},
    LT_STR(struct cfg, adv_model, NULL, "run or model file that is attacked instead of this model (transfer)"),
    LTI_ADV_SEARCH_ROWS(struct cfg, ATTACK),
    LTI_FGSM_LINE_SEARCH_ROWS(struct cfg, FGSM),
    LT_OPT_END,
};

// ---- the counterpart set: borrowed from the search where it serves as it is; a copy when failed samples leave gaps or
// when substitutes stand in for it

typedef struct counterpart_set {
    const lt_adv_set *adv;
    const lt_dataset *ds;
    int32_t kind;
    uint64_t seed;
    int64_t n, d;
    int64_t *row;   // (n) of the training split
    int64_t *at;    // (n) index in adv
    float *image;   // (n,C,H,W), NULL when borrowed
    int32_t *label; // (n), NULL when borrowed
    float *v;       // (C,H,W) a direction
} counterpart_set;

static void counterpart_free(void *own)
{
    counterpart_set *p = own;
    if (p) {
        lti_free(p->row);
        lti_free(p->at);
        lti_free(p->image);
        lti_free(p->label);
        lti_free(p->v);
        lti_free(p);
    }
}

static lt_status counterpart_create(const lt_unlearn_in *in, const lt_adv_set *adv, int32_t kind, counterpart_set **out)
{
    counterpart_set *p = lti_calloc(1, sizeof *p);
    if (!p)
        return LTI_NOMEM("adversarial counterparts");
    *p = (counterpart_set){.adv = adv, .ds = in->ds, .kind = kind, .seed = in->seed};
    p->d = (int64_t)adv->c * adv->h * adv->w;
    p->row = lti_calloc((size_t)adv->n, sizeof *p->row);
    p->at = lti_calloc((size_t)adv->n, sizeof *p->at);
    bool copy = kind != COUNTERPART_ADV || lt_adv_set_count(adv, LT_ADV_FAILED) > 0;
    if (copy) {
        p->image = lti_calloc((size_t)adv->n, (size_t)p->d * sizeof *p->image);
        p->label = lti_calloc((size_t)adv->n, sizeof *p->label);
        p->v = lti_calloc((size_t)p->d, sizeof *p->v);
    }
    if (!p->row || !p->at || (copy && (!p->image || !p->label || !p->v))) {
        counterpart_free(p);
        return LTI_NOMEM("adversarial counterparts");
    }
    for (int64_t i = 0; i < adv->n; i++) {
        if (adv->status[i] == LT_ADV_FAILED)
            continue;
        p->row[p->n] = in->forget->row[i];
        p->at[p->n++] = i;
    }
    *out = p;
    return LT_OK;
}

static void clean_image(const counterpart_set *p, int64_t i, float *out)
{
    const uint8_t *x = p->ds->split[LT_TRAIN].x + p->row[i] * p->d;
    for (int64_t j = 0; j < p->d; j++)
        out[j] = (float)x[j] / 255.0f;
}

// x + delta v/|v|, v ~ N(0,I), in the pixel box. [AMUN 8.3 Adv-RS]
static void random_counterpart(const counterpart_set *p, int64_t i, int32_t epoch, float *out)
{
    lt_rng rng = lt_rng_at(p->seed, LT_STREAM_ATTACK, (uint32_t)epoch, (uint64_t)p->adv->id[p->at[i]]);
    double sum = 0.0;
    for (int64_t j = 0; j < p->d; j++) {
        p->v[j] = (float)lt_rng_normal(&rng);
        sum += (double)p->v[j] * (double)p->v[j];
    }
    float scale = sum > 0.0 ? (float)((double)p->adv->delta_norm[p->at[i]] / sqrt(sum)) : 0.0f;
    clean_image(p, i, out);
    for (int64_t j = 0; j < p->d; j++) {
        float v = out[j] + scale * p->v[j];
        out[j] = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
    }
}

// Uniform over the classes other than y and y_adv.
static int32_t random_label(const counterpart_set *p, int64_t i, int32_t epoch)
{
    int64_t a = p->at[i];
    int32_t y = p->adv->label[a], y_adv = p->adv->adv_pred[a];
    int32_t low = y < y_adv ? y : y_adv, high = y < y_adv ? y_adv : y;
    lt_rng rng = lt_rng_at(p->seed, LT_STREAM_LABEL, (uint32_t)epoch, (uint64_t)p->adv->id[a]);
    int32_t draw = (int32_t)lt_rng_below(&rng, (uint64_t)p->ds->n_classes - 2);
    draw += draw >= low;
    return draw + (draw >= high);
}

static void fill_counterparts(counterpart_set *p, int32_t epoch)
{
    for (int64_t i = 0; i < p->n; i++) {
        int64_t a = p->at[i];
        float *image = p->image + i * p->d;
        if (p->kind == COUNTERPART_ADV_RS)
            random_counterpart(p, i, epoch, image);
        else if (p->kind == COUNTERPART_ADV || p->kind == COUNTERPART_ADV_RL)
            memcpy(image, p->adv->x_adv + a * p->d, (size_t)p->d * sizeof *image);
        else
            clean_image(p, i, image);
        if (p->kind == COUNTERPART_ORIG)
            p->label[i] = p->adv->label[a];
        else if (p->kind == COUNTERPART_ADV_RL || p->kind == COUNTERPART_ORIG_RL)
            p->label[i] = random_label(p, i, epoch);
        else
            p->label[i] = p->adv->adv_pred[a];
    }
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    (void)job;
    fill_counterparts(ctx, epoch);
    return LT_OK;
}

// ---- the recipe

// With the options of this method where the attack has rows here, with its own defaults else.
static lt_status run_attack(const lt_unlearn_in *in, const struct cfg *c, const lt_model *model,
                            const lt_index_set *rows, lt_adv_set **adv)
{
    const lt_view forget = lt_view_rows(in->ds, LT_TRAIN, rows);
    const lt_attack *a;
    LT_TRY(lt_attack_find(c->search && *c->search ? c->search : "amun-search", &a));
    const void *own = a->opts == lt_adv_search_options         ? (const void *)&c->attack
                      : a->opts == lt_fgsm_line_search_options ? (const void *)&c->fgsm
                                                               : NULL;
    if (own)
        return lt_attack_run(a, model, &forget, own, in->env, in->cache_dir, adv);
    void *cfg = lti_calloc(1, a->cfg_size + 1);
    if (!cfg)
        return LTI_NOMEM("options of an attack");
    lt_options_defaults(a->opts, cfg);
    lt_status status = lt_attack_run(a, model, &forget, cfg, in->env, in->cache_dir, adv);
    lti_free(cfg);
    return status;
}

// The model in a file or in the directory of a run.
static lt_status open_model(const char *path, lt_model **model)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return lt_model_open(path, NULL, NULL, model);
    char *file = lti_asprintf("%s/model.safetensors", path);
    if (!file)
        return LTI_NOMEM("path");
    lt_status status = lt_model_open(file, NULL, NULL, model);
    lti_free(file);
    return status;
}

// The rows of this request out of the set of the whole stream.
static lt_status select_rows(const lt_unlearn_in *in, lt_adv_set **adv)
{
    lt_adv_set *all = *adv;
    int64_t *id = lti_calloc((size_t)in->forget->n, sizeof *id);
    for (int64_t i = 0; id && i < in->forget->n; i++)
        id[i] = in->ds->split[LT_TRAIN].id[in->forget->row[i]];
    lt_status status = id ? lt_adv_set_select(all, id, in->forget->n, adv) : LTI_NOMEM("adversarial set");
    lt_adv_set_destroy(all);
    lti_free(id);
    if (status != LT_OK)
        *adv = NULL;
    return status;
}

static lt_status make_adversarial_set(const lt_unlearn_in *in, const struct cfg *c, lt_adv_set **adv)
{
    const bool once = in->stream && !c->adaptive;
    const lt_index_set *rows = once ? in->stream->all : in->forget;
    const lt_model *model = once ? in->stream->first : in->model;
    lt_model *other = NULL;
    if (c->adv_model && *c->adv_model) {
        LT_TRY(open_model(c->adv_model, &other));
        model = other;
    }
    lt_status status = run_attack(in, c, model, rows, adv);
    lt_model_destroy(other);
    LT_TRY(status);
    return once ? select_rows(in, adv) : LT_OK;
}

static bool draws_labels(const struct cfg *c)
{
    return c->counterpart == COUNTERPART_ADV_RL || c->counterpart == COUNTERPART_ORIG_RL;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    if (draws_labels(c) && in->ds->n_classes < 3)
        return LT_FAIL(LT_E_USAGE, "amun: expected at least 3 classes for a label other than y and y_adv, found %d",
                       in->ds->n_classes);
    LT_TRY(make_adversarial_set(in, c, &ctx->adv));
    counterpart_set *p = NULL;
    LT_TRY(counterpart_create(in, ctx->adv, c->counterpart, &p));
    ctx->own = p;
    ctx->own_free = counterpart_free;
    if (p->n == 0)
        return LT_FAIL(LT_E_FAIL, "amun: the search found no adversarial example for any of %lld forget samples",
                       (long long)ctx->adv->n);
    if (p->image)
        fill_counterparts(p, 0);
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    lt_phase *phase = lti_add_phase(job, true);
    if (in->use_retain)
        lti_add_view(job, phase, lti_retain_view(in, c->augment));
    if (c->adv_only != LT_YES)
        lti_add_view(job, phase, lti_forget_view(in, c->augment));
    lt_view counterpart = lt_view_rows(in->ds, LT_TRAIN, &(lt_index_set){.n = p->n, .row = p->row});
    counterpart.augment = c->augment_adv;
    counterpart.images = p->image ? p->image : p->adv->x_adv;
    counterpart.labels = p->label ? p->label : p->adv->adv_pred;
    lti_add_view(job, phase, counterpart);
    if (draws_labels(c) || c->counterpart == COUNTERPART_ADV_RS) {
        job->on_epoch = on_epoch;
        job->ctx = p;
    }
    return LT_OK;
}

// Without augmentation (x, y) and (x_adv, y_adv) are both fitted exactly, and nothing is forgotten. [AMUN 3.1]
static void choose_form(const lt_unlearn_in *in, void *cfg, lt_unlearn_form *form)
{
    struct cfg *c = cfg;
    const double share = (double)in->forget->n / (double)in->ds->split[LT_TRAIN].n;
    if (c->adv_only == LT_AUTO && c->preset == LTI_PRESET_PUBLISHED) {
        c->adv_only = LT_NO;
    } else if (c->adv_only == LT_AUTO) {
        const bool memorises = in->train_cfg && !in->train_cfg->augment, is_large = share > LARGE_SHARE;
        c->adv_only = memorises || is_large ? LT_YES : LT_NO;
        form->reason = memorises  ? "base was trained without augmentation"
                       : is_large ? "more than a fifth of the data is forgotten"
                                  : "base was trained with augmentation";
    }
    form->is_second = c->adv_only == LT_YES;
    form->trains_pairs = !form->is_second && c->counterpart == COUNTERPART_ADV;
    form->name = form->is_second ? "adversarial only" : "plain form";
}

static const lt_unlearn_default defaults[] = {
    // Short weights turn further at one rate: experiments/amun-clipped.
    {.when = LT_WITH_RETAIN | LT_CLIPPED, .area = 0.5, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.when = LT_WITH_RETAIN, .area = 5, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.when = LT_WITHOUT_RETAIN | LT_FIRST_FORM, .area = 0.4, .epochs = 10, .lr_step_every = 1},
    {.when = LT_WITHOUT_RETAIN | LT_SECOND_FORM, .area = 0.2, .epochs = 10, .lr_step_every = LT_STEP_HALF},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 10, .batch = 128, .lr_step_every = 1},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_amun = {
    .name = "amun",
    .title = "AMUN, adversarial machine unlearning",
    .label = "AMUN",
    .cite = "amun",
    .doc = "Fine-tunes on the forget set together with its nearest adversarial examples under the labels the model "
           "already gives them, "
           "with the retain set when it may be used. The boundary moves locally and the confidence on the forget set "
           "drops to that "
           "of unseen data.",
    .needs = LT_NEED_ATTACK | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
    .choose_form = choose_form,
    .pairs_advice = "--adv-only yes",
};
