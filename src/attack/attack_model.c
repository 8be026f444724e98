// attack_model.c - logits and input gradients of what is attacked: a model, or an ensemble under one head, with noise
// in front of it where the defence is randomised. [ATT 9-10]
//
// Forward and backward are two halves of one plan: the loss is chosen between them, on the host, in double. Rows that
// need no gradient get dz = 0. In fixed order every plan has the same number of rows, padded with the last one, so a
// row's bits do not depend on how many others wait; else plans of halving sizes follow a shrinking queue.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

enum { FIXED_ROWS = 32, MAX_BUCKETS = 17 };

typedef struct member {
    const lt_model *model;
    lt_graph *graph; // the model's, with a seed for the gradient of its logits
    lt_val seed;
    lt_plan *plan[LTI_N_MODEL_PLANS][MAX_BUCKETS];
    float *z, *dz; // (rows,K) of the last forward run; for its backward run
} member;

struct lti_attack_model {
    const lt_env *env;
    member *member;
    int n_members;
    int32_t combine;
    double noise_std;
    int k;
    int64_t n; // pixels
    int n_buckets;
    int64_t size[MAX_BUCKETS]; // descending
    int bucket;                // of the last forward run
    double *log_softmax;       // (members,K) of one row
    double floor;              // of log mean softmax: -INFINITY, or where the released head is clamped (--parity)
};

static void add_sizes(lti_attack_model *o, int64_t batch)
{
    if (o->env->plan_flags & LT_PLAN_FIXED_ORDER) {
        o->size[o->n_buckets++] = FIXED_ROWS;
        return;
    }
    for (int64_t size = batch; size > 0 && o->n_buckets < MAX_BUCKETS; size /= 2)
        o->size[o->n_buckets++] = size;
}

static lt_status open_member(const lti_attack_model *o, const lt_model *model, member *m)
{
    const size_t rows = (size_t)o->size[0];
    m->model = model;
    LT_TRY(lt_graph_dup(model->graph, &m->graph));
    m->seed = lt_input(m->graph, "attack.dz", LT_F32, LT_SHAPE(LT_BATCH, model->shape.n_classes));
    LT_TRY(lt_graph_status(m->graph));
    m->z = lti_calloc(rows * (size_t)o->k, sizeof *m->z);
    m->dz = lti_calloc(rows * (size_t)o->k, sizeof *m->dz);
    return m->z && m->dz ? LT_OK : LTI_NOMEM("attack");
}

static lt_status check_target(const lt_attack_target *t)
{
    if (t->n_models < 1)
        return LT_FAIL(LT_E_USAGE, "attack: expected at least one model, found none");
    const lt_model_shape a = t->model[0]->shape;
    for (int i = 1; i < t->n_models; i++) {
        const lt_model_shape b = t->model[i]->shape;
        if (a.c != b.c || a.h != b.h || a.w != b.w || a.n_classes != b.n_classes)
            return LT_FAIL(LT_E_SHAPE,
                           "attack: model %d of the ensemble takes %dx%dx%d images of %d classes, the first %dx%dx%d "
                           "of %d",
                           i + 1, b.c, b.h, b.w, b.n_classes, a.c, a.h, a.w, a.n_classes);
    }
    return LT_OK;
}

lt_status lti_attack_model_create(const lt_attack_target *target, const lt_env *env, int64_t batch,
                                  lti_attack_model **out)
{
    LT_TRY(check_target(target));
    lti_attack_model *o = lti_calloc(1, sizeof *o);
    if (!o)
        return LTI_NOMEM("attack");
    const lt_model_shape *s = &target->model[0]->shape;
    lt_status status = LT_OK;
    *o = (lti_attack_model){.env = env, .combine = target->combine, .noise_std = target->noise_std, .k = s->n_classes};
    o->n = (int64_t)s->c * s->h * s->w;
    o->floor = -INFINITY;
    add_sizes(o, batch);
    o->member = lti_calloc((size_t)target->n_models, sizeof *o->member);
    o->log_softmax = lti_calloc((size_t)target->n_models * (size_t)o->k, sizeof *o->log_softmax);
    if (!o->member || !o->log_softmax)
        LT_TRY_GOTO(LTI_NOMEM("attack"), fail);
    for (int i = 0; i < target->n_models; i++) {
        o->n_members++;
        LT_TRY_GOTO(open_member(o, target->model[i], &o->member[i]), fail);
    }
    *out = o;
    return LT_OK;
fail:
    lti_attack_model_destroy(o);
    return status;
}

void lti_attack_model_destroy(lti_attack_model *o)
{
    if (!o)
        return;
    for (int i = 0; i < o->n_members; i++) {
        member *m = &o->member[i];
        for (int kind = 0; kind < LTI_N_MODEL_PLANS; kind++)
            for (int b = 0; b < o->n_buckets; b++)
                lt_plan_destroy(m->plan[kind][b]);
        lt_graph_destroy(m->graph);
        lti_free(m->z);
        lti_free(m->dz);
    }
    lti_free(o->member);
    lti_free(o->log_softmax);
    lti_free(o);
}

void lti_attack_model_clamp(lti_attack_model *o)
{
    o->floor = log(1e-40);
}

int lti_attack_model_n_classes(const lti_attack_model *o)
{
    return o->k;
}

// The smallest bucket that holds n rows, or the next smaller one when that would be padded by more than a quarter.
static int pick_bucket(const lti_attack_model *o, int64_t n)
{
    int b = 0;
    while (b + 1 < o->n_buckets && o->size[b + 1] >= n)
        b++;
    return b + 1 < o->n_buckets && 4 * n < 3 * o->size[b] ? b + 1 : b;
}

int64_t lti_attack_model_rows(const lti_attack_model *o, int64_t n)
{
    const int64_t size = o->size[pick_bucket(o, n)];
    return n < size ? n : size;
}

static lt_status get_plan(lti_attack_model *o, member *m, int kind, int bucket, lt_plan **plan)
{
    *plan = m->plan[kind][bucket];
    if (*plan)
        return LT_OK;
    unsigned flags = o->env->plan_flags & ~(unsigned)LT_PLAN_BF16; // examples must hold in single precision
    if (kind == LTI_MODEL_GRADIENTS)
        flags |= LT_PLAN_NO_REUSE; // a second gradient finds the activations as the first one did
    lt_plan_spec spec = {.outs = &m->model->logits,
                         .n_outs = 1,
                         .grad_of = LT_NONE,
                         .seed = LT_NONE,
                         .batch = o->size[bucket],
                         .dtype = LT_F32,
                         .flags = flags};
    if (kind != LTI_MODEL_FORWARD) {
        spec.grad_of = m->model->logits;
        spec.seed = m->seed;
        spec.wrt = &m->model->x;
        spec.n_wrt = 1;
    }
    lt_plan *made = NULL;
    LT_TRY(lt_plan_create(m->graph, &spec, o->env->backend, &made));
    const lt_status status = lt_plan_bind(made, m->model->params, m->model->state, NULL);
    if (status != LT_OK) {
        lt_plan_destroy(made);
        return lt_error_frame(status, __FILE__, __LINE__, __func__);
    }
    m->plan[kind][bucket] = *plan = made;
    return LT_OK;
}

static void put_image(const lti_attack_model *o, const lti_query *q, float *x)
{
    memcpy(x, q->x, (size_t)o->n * sizeof *x);
    if (o->noise_std <= 0)
        return;
    lt_rng rng = lt_rng_at(q->seed, LT_STREAM_ATTACK, q->draw, q->index);
    for (int64_t j = 0; j < o->n; j++)
        x[j] = (float)((double)x[j] + o->noise_std * lt_rng_normal(&rng));
}

static lt_status run_member(lti_attack_model *o, member *m, int kind, const lti_query *q, int64_t n)
{
    lt_plan *plan = NULL;
    LT_TRY(get_plan(o, m, kind, o->bucket, &plan));
    float *x = lt_plan_buffer(plan, m->model->x);
    for (int64_t r = 0; r < o->size[o->bucket]; r++)
        put_image(o, &q[r < n ? r : n - 1], x + r * o->n);
    if (kind != LTI_MODEL_FORWARD && lt_plan_buffer(plan, m->seed))
        memset(lt_plan_buffer(plan, m->seed), 0, (size_t)(o->size[o->bucket] * o->k) * sizeof(float));
    LT_TRY(kind == LTI_MODEL_FORWARD ? lt_plan_run(plan) : lt_plan_run_forward(plan));
    memcpy(m->z, lt_plan_buffer(plan, m->model->logits), (size_t)(n * o->k) * sizeof *m->z);
    return LT_OK;
}

// ---- heads: z_i (K) of the members of row r -> z (K), class

static double log_sum_exp(const float *z, int k)
{
    const double most = (double)z[lti_arg_max(z, k)];
    double sum = 0;
    for (int j = 0; j < k; j++)
        sum += exp((double)z[j] - most);
    return most + log(sum);
}

static void fill_log_softmax(lti_attack_model *o, int64_t r)
{
    for (int i = 0; i < o->n_members; i++) {
        const float *z = o->member[i].z + r * o->k;
        const double norm = log_sum_exp(z, o->k);
        for (int j = 0; j < o->k; j++)
            o->log_softmax[i * o->k + j] = (double)z[j] - norm;
    }
}

// log of sum_i p_ik, without a clamp: no probability is too small for its logarithm.
static double log_mean(const lti_attack_model *o, int j)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < o->n_members; i++)
        most = fmax(most, o->log_softmax[i * o->k + j]);
    for (int i = 0; i < o->n_members; i++)
        sum += exp(o->log_softmax[i * o->k + j] - most);
    return most + log(sum / o->n_members);
}

static int32_t majority(const lti_attack_model *o, int64_t r)
{
    int32_t best = 0, most = -1;
    for (int32_t c = 0; c < o->k; c++) {
        int32_t votes = 0;
        for (int i = 0; i < o->n_members; i++)
            votes += lti_arg_max(o->member[i].z + r * o->k, o->k) == c;
        if (votes > most) {
            most = votes;
            best = c;
        }
    }
    return best;
}

static void combine_row(lti_attack_model *o, int64_t r, float *z, int32_t *pred)
{
    if (o->combine == LT_COMBINE_LOGITS) {
        for (int j = 0; j < o->k; j++) {
            double sum = 0;
            for (int i = 0; i < o->n_members; i++)
                sum += (double)o->member[i].z[r * o->k + j];
            z[j] = (float)(sum / o->n_members);
        }
    } else {
        fill_log_softmax(o, r);
        for (int j = 0; j < o->k; j++) {
            const double mean = log_mean(o, j);
            z[j] = (float)(mean < o->floor ? o->floor : mean); // what is not a number stays so
        }
    }
    *pred = o->combine == LT_COMBINE_VOTE ? majority(o, r) : lti_arg_max(z, o->k);
}

lt_status lti_attack_model_forward(lti_attack_model *o, int kind, const lti_query *q, int64_t n, float *z,
                                   int32_t *pred)
{
    o->bucket = pick_bucket(o, n);
    if (n > o->size[o->bucket])
        LT_BUG("attack: %lld rows for plans of %lld", (long long)n, (long long)o->size[o->bucket]);
    for (int i = 0; i < o->n_members; i++)
        LT_TRY(run_member(o, &o->member[i], kind, q, n));
    for (int64_t r = 0; r < n; r++) {
        if (o->n_members > 1) {
            combine_row(o, r, z + r * o->k, &pred[r]);
        } else {
            memcpy(z + r * o->k, o->member[0].z + r * o->k, (size_t)o->k * sizeof *z);
            pred[r] = lti_arg_max(z + r * o->k, o->k);
        }
    }
    return LT_OK;
}

// dz (K) of the head -> dz of each member, with one common scale: only their direction together matters.
// [ATT 10] dL_k / dz_ij = r_ik (1[j=k] - p_ij), r_ik = p_ik / sum_m p_mk.
static void split_row(lti_attack_model *o, int64_t r, const float *dz)
{
    if (o->n_members == 1 || o->combine == LT_COMBINE_LOGITS) {
        for (int i = 0; i < o->n_members; i++)
            for (int j = 0; j < o->k; j++)
                o->member[i].dz[r * o->k + j] = dz[j] / (float)o->n_members;
        return;
    }
    fill_log_softmax(o, r);
    for (int i = 0; i < o->n_members; i++) {
        double sum = 0; // over k of dL_k r_ik
        float *out = o->member[i].dz + r * o->k;
        for (int j = 0; j < o->k; j++) {
            const double mean = log_mean(o, j),
                         log_share = o->log_softmax[i * o->k + j] - mean - log((double)o->n_members);
            const double share = mean < o->floor ? 0 : exp(log_share);
            out[j] = (float)((double)dz[j] * share);
            sum += (double)dz[j] * share;
        }
        for (int j = 0; j < o->k; j++)
            out[j] = (float)((double)out[j] - sum * exp(o->log_softmax[i * o->k + j]));
    }
}

lt_status lti_attack_model_backward(lti_attack_model *o, int kind, const float *dz, int64_t n, float *dx)
{
    const int64_t rows = o->size[o->bucket];
    for (int64_t r = 0; r < n; r++)
        split_row(o, r, dz + r * o->k);
    for (int i = 0; i < o->n_members; i++) {
        member *m = &o->member[i];
        lt_plan *plan = m->plan[kind][o->bucket];
        float *seed = lt_plan_buffer(plan, m->seed);
        memcpy(seed, m->dz, (size_t)(n * o->k) * sizeof *seed);
        memset(seed + n * o->k, 0, (size_t)((rows - n) * o->k) * sizeof *seed);
        LT_TRY(lt_plan_run_backward(plan));
        const float *g = lt_plan_grad(plan, 0);
        if (i == 0)
            memcpy(dx, g, (size_t)(n * o->n) * sizeof *dx);
        for (int64_t j = 0; i > 0 && j < n * o->n; j++)
            dx[j] += g[j];
    }
    return LT_OK;
}
