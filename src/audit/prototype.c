// prototype.c - prototype relearning (PRA) and over-unlearning (OU): what the features still know of a forgotten class,
// and what its neighbourhood has lost. docs/methods/prototype.md
//
// PRA puts the mean feature of a few images of the class in the place of the class's row of the last layer; no
// training. A masked logit does not hide from it. Retrained models score well above 0, so only the distance to them is
// read.
#include "audit/kind_impl.h"
#include "lethe/class_audit.h"
#include "train/train_impl.h"
#include "unlearn/layers.h"
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include <math.h>
#include <string.h>

typedef struct cfg {
    int32_t pra_form;
    int64_t pra_images, pra_draws;
    double ou_eps;
    int64_t ou_images;
} cfg_t;
enum { FORM_L2, FORM_COSINE };
static const lt_opt_value forms[] = {
    {"l2", FORM_L2, "w = 2p, b = -|p|^2 instead of the row"},
    {"cosine", FORM_COSINE, "half the row and half the normalised prototype"},
    {NULL, 0, NULL},
};
static const lt_option opts[] = {
    LT_ENUM(cfg_t, pra_form, FORM_L2, forms, "how a prototype replaces a row of the last layer"),
    LT_I64(cfg_t, pra_images, 5, 1, 1000, "images", "images of a forgotten class that a prototype is the mean of"),
    LT_I64(cfg_t, pra_draws, 10, 1, 1000, "draws", "draws of these images, of which the mean is given"),
    LT_F64(cfg_t, ou_eps, 0.03137, 0, 1, "", "largest change of a pixel around images of the class (a choice)"),
    LT_I64(cfg_t, ou_images, 200, 1, 100000, "images", "images of the forgotten classes that are changed, at most"),
    LT_OPT_END,
};

// ---- features before the last layer

typedef struct reader {
    const lt_model *model;
    const lt_env *env;
    lti_layer last;
    lt_val outs[1];
    lti_plans plans;
} reader;

static lt_status find_last(const lt_model *model, lti_layer *last)
{
    enum { MAX_LAYERS = 256 };
    lti_layer *layer = lti_calloc(MAX_LAYERS, sizeof *layer);
    if (!layer)
        return LTI_NOMEM("layers");
    const int n = lti_model_layers(model, layer, MAX_LAYERS);
    const bool linear = n > 0 && n <= MAX_LAYERS && !layer[n - 1].conv && layer[n - 1].n_out == model->shape.n_classes;
    if (linear)
        *last = layer[n - 1];
    lti_free(layer);
    return linear ? LT_OK
                  : LT_FAIL(LT_E_UNSUPPORTED, "prototypes: %s does not end in a linear layer with a row per class",
                            model->spec);
}

// x (n,d) = features of the view's images, in order.
static lt_status read_view(reader *r, const lt_view *view, lt_loader *loader, float *x)
{
    const lt_model_shape *s = &r->model->shape;
    const size_t per = (size_t)s->c * (size_t)s->h * (size_t)s->w, d = (size_t)r->last.n_in;
    LT_TRY(lt_loader_start(loader, 0, 0));
    for (int64_t done = 0; done < view->n;) {
        const lt_batch *b = NULL;
        lt_plan *plan = NULL;
        if (lt_interrupted(r->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "prototypes: interrupted after %lld images", (long long)done);
        LT_TRY(lt_loader_next(loader, &b));
        LT_TRY(lti_plans_get(&r->plans, b->n, &plan));
        memcpy(lt_plan_buffer(plan, r->model->x), b->x, (size_t)b->n * per * sizeof *b->x);
        LT_TRY(lt_plan_run(plan));
        memcpy(x + (size_t)done * d, lt_plan_buffer(plan, r->last.x), (size_t)b->n * d * sizeof *x);
        done += b->n;
    }
    return LT_OK;
}

static lt_status read_features(reader *r, const lt_view *view, float **x)
{
    enum { BATCH = 100 };
    const lt_loader_spec spec = {.views = view, .n_views = 1, .batch = BATCH, .n_threads = r->env->loader_threads};
    lt_loader *loader = NULL;
    size_t count = 0;
    if (lti_mul_size((size_t)view->n + 1, (size_t)r->last.n_in, &count) || !(*x = lti_calloc(count, sizeof **x)))
        return LTI_NOMEM("features");
    LT_TRY(lti_job_view_check(r->model, view, "prototypes"));
    LT_TRY(lt_loader_create(&spec, &loader));
    const lt_status status = read_view(r, view, loader, *x);
    lt_loader_destroy(loader);
    return status;
}

// ---- prototype relearning

typedef struct score {
    double pra_f, pra_r; // mean accuracy on test images of the forgotten class, and of the others
} score;

static int32_t predict(const float *w, const double *row, double row_bias, const float *bias, const float *x, int32_t k,
                       int64_t d, int32_t f)
{
    int32_t best = 0;
    double most = -INFINITY;
    for (int32_t c = 0; c < k; c++) {
        double z = c == f ? row_bias : bias ? (double)bias[c] : 0;
        for (int64_t j = 0; j < d; j++)
            z += (c == f ? row[j] : (double)w[c * d + j]) * (double)x[j];
        if (z > most) {
            most = z;
            best = c;
        }
    }
    return best;
}

// row (d), *bias become the row of class f that the prototype p (d) makes. [PRA 1]
static void make_row(const cfg_t *c, const float *w, const float *bias, int64_t d, int32_t f, const double *p,
                     double *row, double *row_bias)
{
    double norm2 = 0;
    for (int64_t j = 0; j < d; j++)
        norm2 += p[j] * p[j];
    for (int64_t j = 0; j < d; j++)
        row[j] = c->pra_form == FORM_L2 ? 2 * p[j] : 0.5 * (p[j] / sqrt(norm2 + 1e-300) + (double)w[f * d + j]);
    *row_bias = c->pra_form == FORM_L2 ? -norm2 : bias ? 0.5 * (double)bias[f] : 0;
}

typedef struct relearning {
    const lt_audit_in *in;
    const cfg_t *cfg;
    const bool *forgotten; // (K)
    int64_t *row;          // scratch (n)
    double *p, *head;      // (d) scratch
} relearning;

static lt_status relearn_class(reader *r, const relearning *l, const float *test, int32_t f, score *out)
{
    const lt_split_data *train = &l->in->ds->split[LT_TRAIN], *held = &l->in->ds->split[LT_TEST];
    const int64_t d = r->last.n_in, k = r->model->shape.n_classes;
    const float *w = r->model->params + r->last.offset;
    lt_val param[2];
    lt_value_info info;
    const float *bias = lti_last_layer(r->model, param) > 1 && lti_model_tensor(r->model, param[1], &info)
                            ? r->model->params + info.slab_offset
                            : NULL;
    int64_t n = 0;
    for (int64_t i = 0; i < l->in->forget->n; i++)
        if (train->y[l->in->forget->row[i]] == f)
            l->row[n++] = l->in->forget->row[i];
    float *x = NULL;
    const lt_view view = lt_view_rows(l->in->ds, LT_TRAIN, &(lt_index_set){.n = n, .row = l->row});
    lt_status status = read_features(r, &view, &x);
    int64_t *perm = lti_calloc((size_t)n, sizeof *perm);
    if (status == LT_OK && !perm)
        status = LTI_NOMEM("prototypes");
    for (int64_t draw = 0; status == LT_OK && draw < l->cfg->pra_draws; draw++) {
        const int64_t m = l->cfg->pra_images < n ? l->cfg->pra_images : n;
        double right[2] = {0}, count[2] = {0}, row_bias;
        lt_rng_permutation(l->in->seed, LT_STREAM_AUDIT, LTI_DRAW_PROTOTYPE + (uint32_t)draw, n, perm);
        memset(l->p, 0, (size_t)d * sizeof *l->p);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < d; j++)
                l->p[j] += (double)x[perm[i] * d + j] / (double)m;
        make_row(l->cfg, w, bias, d, f, l->p, l->head, &row_bias);
        for (int64_t i = 0; i < held->n; i++) {
            const bool own = held->y[i] == f;
            if (!own && l->forgotten[held->y[i]])
                continue;
            count[own]++;
            right[own] += predict(w, l->head, row_bias, bias, test + i * d, (int32_t)k, d, f) == held->y[i];
        }
        out->pra_f += right[1] / count[1] / (double)l->cfg->pra_draws;
        out->pra_r += right[0] / count[0] / (double)l->cfg->pra_draws;
    }
    lti_free(x);
    lti_free(perm);
    return status;
}

static lt_status relearn_model(const lt_audit_in *in, const cfg_t *c, const lt_model *model, const bool *forgotten,
                               score *out)
{
    reader r = {.model = model, .env = in->env};
    *out = (score){0};
    LT_TRY(find_last(model, &r.last));
    r.outs[0] = r.last.x;
    r.plans = (lti_plans){.graph = model->graph,
                          .backend = in->env->backend,
                          .params = model->params, // a plan without gradients in evaluation mode only reads its slabs
                          .state = model->state,
                          .spec = {.outs = r.outs,
                                   .n_outs = 1,
                                   .grad_of = LT_NONE,
                                   .seed = LT_NONE,
                                   .dtype = LT_F32,
                                   .flags = in->env->plan_flags & ~(unsigned)LT_PLAN_BF16}};
    relearning l = {
        .in = in, .cfg = c, .forgotten = forgotten, .row = lti_calloc((size_t)in->forget->n, sizeof(int64_t))};
    l.p = lti_calloc(2 * (size_t)r.last.n_in, sizeof *l.p);
    l.head = l.p ? l.p + r.last.n_in : NULL;
    float *test = NULL;
    const lt_view view = lt_view_split(in->ds, LT_TEST);
    lt_status status = l.row && l.p ? read_features(&r, &view, &test) : LTI_NOMEM("prototypes");
    int n = 0;
    for (int32_t f = 0; status == LT_OK && f < model->shape.n_classes; f++)
        if (forgotten[f]) {
            status = relearn_class(&r, &l, test, f, out);
            n++;
        }
    out->pra_f /= n > 0 ? n : 1;
    out->pra_r /= n > 0 ? n : 1;
    lti_plans_clear(&r.plans);
    lti_free(test);
    lti_free(l.row);
    lti_free(l.p);
    return status;
}

// ---- over-unlearning

typedef struct points { // changed images of the forgotten classes, and what the original says of them
    lt_view view;
    float *image, *logits; // (n,C,H,W); (n,K)
    int64_t *row;
} points;

static void points_clear(points *p)
{
    lti_free(p->image);
    lti_free(p->logits);
    lti_free(p->row);
}

static lt_status make_points(const lt_audit_in *in, const cfg_t *c, int32_t k, points *p)
{
    const lt_split_data *d = &in->ds->split[LT_TRAIN];
    const size_t per = (size_t)in->ds->c * (size_t)in->ds->h * (size_t)in->ds->w;
    const int64_t n = in->forget->n < c->ou_images ? in->forget->n : c->ou_images;
    *p = (points){.image = lti_calloc((size_t)n * per, sizeof *p->image),
                  .logits = lti_calloc((size_t)(n * k), sizeof *p->logits),
                  .row = lti_calloc((size_t)in->forget->n, sizeof *p->row)};
    if (!p->image || !p->logits || !p->row)
        return LTI_NOMEM("changed images");
    lt_rng_permutation(in->seed, LT_STREAM_AUDIT, LTI_DRAW_PROTOTYPE, in->forget->n, p->row);
    for (int64_t i = 0; i < n; i++) {
        p->row[i] = in->forget->row[p->row[i]];
        lt_rng rng = lt_rng_at(in->seed, LT_STREAM_AUDIT, LTI_DRAW_PROTOTYPE, (uint64_t)d->id[p->row[i]]);
        for (size_t j = 0; j < per; j++) {
            const float x = (float)d->x[(size_t)p->row[i] * per + j] / 255.0f;
            const float moved = x + (float)c->ou_eps * (2 * lt_rng_uniform(&rng) - 1);
            p->image[(size_t)i * per + j] = moved < 0 ? 0 : moved > 1 ? 1 : moved;
        }
    }
    p->view = lt_view_rows(in->ds, LT_TRAIN, &(lt_index_set){.n = n, .row = p->row});
    p->view.images = p->image;
    return LT_OK;
}

// Mean KL(softmax(a) || softmax(b)) over the classes that stay.
static double kept_kl(const float *a, const float *b, int64_t n, int32_t k, const bool *forgotten)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double lse[2], most[2] = {-INFINITY, -INFINITY}, total[2] = {0};
        const float *z[2] = {a + i * k, b + i * k};
        for (int s = 0; s < 2; s++) {
            for (int32_t c = 0; c < k; c++)
                most[s] = forgotten[c] ? most[s] : fmax(most[s], (double)z[s][c]);
            for (int32_t c = 0; c < k; c++)
                total[s] += forgotten[c] ? 0 : exp((double)z[s][c] - most[s]);
            lse[s] = most[s] + log(total[s]);
        }
        for (int32_t c = 0; c < k; c++)
            if (!forgotten[c])
                sum += exp((double)z[0][c] - lse[0]) * ((double)z[0][c] - lse[0] - (double)z[1][c] + lse[1]);
    }
    return sum / (double)n;
}

static lt_status over_unlearning(const lt_audit_in *in, const lt_model *model, const points *p, const bool *forgotten,
                                 double *ou)
{
    const int32_t k = model->shape.n_classes;
    lt_eval_result r;
    float *z = lti_calloc((size_t)(p->view.n * k), sizeof *z);
    if (!z)
        return LTI_NOMEM("outputs");
    const lt_status status = lt_evaluate(model, &p->view, in->env, 100, z, NULL, &r);
    if (status == LT_OK)
        *ou = kept_kl(p->logits, z, p->view.n, k, forgotten);
    lti_free(z);
    return status;
}

// ---- the kind

typedef struct result {
    score unlearned, original, *retrained; // (n)
    double ou, *ou_retrained;              // NAN without the original
    bool has_original;
    int n;
} result;

static void clear_result(void *data)
{
    result *r = data;
    if (!r)
        return;
    lti_free(r->retrained);
    lti_free(r->ou_retrained);
    lti_free(r);
}

static lt_status measure_subject(const lt_audit_in *in, const cfg_t *c, const lt_audit_subject *s,
                                 const bool *forgotten, const points *p, score *pra, double *ou)
{
    const lt_model *model;
    lt_model *owned;
    lti_audit_stage(in, "prototypes of %s", s->name);
    LT_TRY(lti_subject_model(s, &model, &owned));
    lt_status status = relearn_model(in, c, model, forgotten, pra);
    *ou = (double)NAN;
    if (status == LT_OK && p)
        status = over_unlearning(in, model, p, forgotten, ou);
    lt_model_destroy(owned);
    return status;
}

static lt_status measure_original(const lt_audit_in *in, const cfg_t *c, const bool *forgotten, points *p, result *r)
{
    const lt_model *model;
    lt_model *owned;
    lt_eval_result e;
    LT_TRY(lti_subject_model(in->original, &model, &owned));
    lt_status status = relearn_model(in, c, model, forgotten, &r->original);
    if (status == LT_OK)
        status = make_points(in, c, model->shape.n_classes, p);
    if (status == LT_OK)
        status = lt_evaluate(model, &p->view, in->env, 100, p->logits, NULL, &e);
    lt_model_destroy(owned);
    r->has_original = status == LT_OK;
    return status;
}

static lt_status measure_all(const lt_audit_in *in, const cfg_t *c, const bool *forgotten, points *p, result *r)
{
    if (in->original)
        LT_TRY(measure_original(in, c, forgotten, p, r));
    const points *around = r->has_original ? p : NULL;
    LT_TRY(measure_subject(in, c, &in->unlearned, forgotten, around, &r->unlearned, &r->ou));
    for (int i = 0; i < in->n_retrained; i++, r->n++)
        LT_TRY(measure_subject(in, c, &in->retrained[i], forgotten, around, &r->retrained[i], &r->ou_retrained[i]));
    return LT_OK;
}

static lt_status run_prototype(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    (void)report;
    const lt_signals *s = in->unlearned.audited ? in->unlearned.audited->signals : NULL;
    if (!s || lt_forgotten_classes(s, NULL) == 0 || in->ds->split[LT_TEST].n == 0)
        return LT_OK;
    result *r = lti_calloc(1, sizeof *r);
    bool *forgotten = lti_calloc((size_t)s->k, sizeof *forgotten);
    points p = {0};
    lt_status status = r && forgotten ? LT_OK : LTI_NOMEM("prototypes");
    if (status == LT_OK) {
        r->retrained = lti_calloc((size_t)in->n_retrained + 1, sizeof *r->retrained);
        r->ou_retrained = lti_calloc((size_t)in->n_retrained + 1, sizeof *r->ou_retrained);
        status = r->retrained && r->ou_retrained ? LT_OK : LTI_NOMEM("prototypes");
    }
    if (status == LT_OK) {
        lt_forgotten_classes(s, forgotten);
        status = measure_all(in, cfg, forgotten, &p, r);
    }
    points_clear(&p);
    lti_free(forgotten);
    if (status == LT_OK)
        *data = r;
    else
        clear_result(r);
    return status;
}

static void write_score(const char *key, const score *s, double ou, lti_json *w)
{
    lti_json_begin(w, key, '{');
    lti_json_real(w, "pra_f", s->pra_f);
    lti_json_real(w, "pra_r", s->pra_r);
    lti_json_real(w, "ou", ou);
    lti_json_end(w, '}');
}

static void write_result(const void *data, lti_json *w)
{
    const result *r = data;
    double mean = 0;
    write_score("unlearned", &r->unlearned, r->ou, w);
    if (r->has_original)
        write_score("original", &r->original, 0, w);
    lti_json_begin(w, "retrained", '[');
    for (int i = 0; i < r->n; i++) {
        mean += r->retrained[i].pra_f / r->n;
        write_score(NULL, &r->retrained[i], r->ou_retrained[i], w);
    }
    lti_json_end(w, ']');
    lti_json_real(w, "gap", r->n > 0 ? fabs(r->unlearned.pra_f - mean) : (double)NAN);
}

const lt_audit_kind lti_audit_prototype = {
    .name = "prototype",
    .key = "prototype",
    .title = "prototype audit",
    .cite = "spotter",
    .doc =
        "Of models that forgot whole classes: accuracy when the mean feature of a few images replaces the "
        "class's row of the last layer (PRA), and the KL to the original's outputs over the classes that stay around "
        "images of the class (OU). Both are read as the distance to retrained models, which score well above 0.",
    .needs = LT_AUDIT_NEED_MODELS | LT_AUDIT_ON_REQUEST,
    .cfg_size = sizeof(cfg_t),
    .opts = opts,
    .run = run_prototype,
    .write = write_result,
    .clear = clear_result,
};
