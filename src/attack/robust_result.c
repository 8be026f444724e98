// robust_result.c - the result of an evaluation in memory, its summary and its file.
#include "attack/robust_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const flag_text[LT_N_FLAGS][2] = {
    {"F1-randomised", "the model answers the same image differently: use --eot"},
    {"F2-softmax", "the outputs are probabilities: attack the logits"},
    {"F3-zero-gradient", "gradients vanish: trust the attacks without gradients"},
    {"F4-square-better", "random search beat the gradient attacks: the evaluation is unreliable"},
    {"F5-classes", "fewer than four classes or than targets: replacement losses or fewer targets were used"},
    {"F6-batch-dependent", "an image is answered differently alone and in a batch"},
    {"F7-stateful", "the model answered differently before and after an attack"},
    {"F8-mismatch", "a stored example was answered differently or left the ball when it was checked"},
    {"F9-not-converged", "many examples were found in the last steps: use more steps or restarts"},
};

const char *lt_robust_flag_name(int bit)
{
    return bit >= 0 && bit < LT_N_FLAGS ? flag_text[bit][0] : "";
}

const char *lt_robust_flag_meaning(int bit, int32_t eot)
{
    if (bit == 0 && eot > 1)
        return "the model answers the same image differently: the numbers depend on the draws that --eot averages";
    return bit >= 0 && bit < LT_N_FLAGS ? flag_text[bit][1] : "";
}

lt_status lti_robust_result_create(int64_t n, const lt_model_shape *shape, lt_robust_result **out)
{
    size_t plane, dim, total;
    if (lti_mul_size((size_t)shape->h, (size_t)shape->w, &plane) || lti_mul_size(plane, (size_t)shape->c, &dim) ||
        lti_mul_size(dim, (size_t)n, &total))
        return LTI_NOMEM("attack result");
    lt_robust_result *r = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("attack result");
    *r = (lt_robust_result){.n = n, .c = shape->c, .h = shape->h, .w = shape->w, .n_classes = shape->n_classes};
    const size_t rows = (size_t)n;
    r->id = lti_calloc(rows, sizeof *r->id);
    r->label = lti_calloc(rows, sizeof *r->label);
    r->clean_pred = lti_calloc(rows, sizeof *r->clean_pred);
    r->adv_pred = lti_calloc(rows, sizeof *r->adv_pred);
    r->goal = lti_calloc(rows, sizeof *r->goal);
    r->x = lti_calloc(total, sizeof *r->x);
    r->x_adv = lti_calloc(total, sizeof *r->x_adv);
    r->clean_margin = lti_calloc(rows, sizeof *r->clean_margin);
    r->distance = lti_calloc(rows, sizeof *r->distance);
    r->raw_distance = lti_calloc(rows, sizeof *r->raw_distance);
    r->l2 = lti_calloc(rows, sizeof *r->l2);
    r->status = lti_calloc(rows, sizeof *r->status);
    r->broken_by = lti_calloc(rows, sizeof *r->broken_by);
    r->queries_f = lti_calloc(rows, sizeof *r->queries_f);
    r->queries_b = lti_calloc(rows, sizeof *r->queries_b);
    if (!r->id || !r->label || !r->clean_pred || !r->adv_pred || !r->goal || !r->x || !r->x_adv || !r->clean_margin ||
        !r->distance || !r->raw_distance || !r->l2 || !r->status || !r->broken_by || !r->queries_f || !r->queries_b) {
        lt_robust_result_destroy(r);
        return LTI_NOMEM("attack result");
    }
    *out = r;
    return LT_OK;
}

void lt_robust_result_destroy(lt_robust_result *r)
{
    if (!r)
        return;
    void *all[] = {r->clean_margin, r->id, r->label,  r->clean_pred, r->adv_pred,  r->x,         r->x_adv, r->distance,
                   r->raw_distance, r->l2, r->status, r->broken_by,  r->queries_f, r->queries_b, r->goal};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        lti_free(all[i]);
    lti_free(r);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Mean and median of the lengths of broken samples; sorted: n doubles of work.
static void summarise_lengths(const lt_robust_result *r, const double *length, double *sorted, double out[2])
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++)
        if (r->status[i] == LT_ROBUST_BROKEN)
            sum += sorted[n++] = length[i];
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    out[0] = n > 0 ? sum / (double)n : (double)NAN;
    out[1] = n > 0 ? (sorted[(n - 1) / 2] + sorted[n / 2]) / 2 : (double)NAN;
}

static lt_status summarise_distances(lt_robust_result *r)
{
    double l2[2], distance[2], *work = lti_calloc((size_t)r->n, sizeof *work);
    if (!work)
        return LTI_NOMEM("attack result");
    summarise_lengths(r, r->l2, work, l2);
    summarise_lengths(r, r->distance, work, distance);
    r->mean_l2 = l2[0];
    r->median_l2 = l2[1];
    r->mean_distance = distance[0];
    r->median_distance = distance[1];
    lti_free(work);
    return LT_OK;
}

lt_status lti_robust_summarise(lt_robust_result *r)
{
    int64_t n[5] = {0}, right = 0;
    r->n_forward = r->n_backward = 0;
    for (int64_t i = 0; i < r->n; i++) {
        n[r->status[i]]++;
        right += r->clean_pred[i] == r->label[i] && !isnan(r->clean_margin[i]);
        r->n_forward += r->queries_f[i];
        r->n_backward += r->queries_b[i];
    }
    const int64_t robust = n[LT_ROBUST_ROBUST] + n[LT_ROBUST_NOT_FOUND], broken = n[LT_ROBUST_BROKEN];
    const double all = (double)r->n, valid = (double)(r->n - n[LT_ROBUST_INVALID]);
    r->n_invalid = n[LT_ROBUST_INVALID];
    r->clean_acc = (double)right / all; // also where an attack met a logit that is not finite
    r->robust_acc = valid > 0 ? (double)robust / valid : (double)NAN;
    r->success_rate = robust + broken > 0 ? (double)broken / (double)(robust + broken) : (double)NAN;
    lt_wilson(robust, r->n - n[LT_ROBUST_INVALID], r->robust_interval);
    r->images_per_s = r->wall_s > 0 ? all / r->wall_s : 0;
    return summarise_distances(r);
}

int64_t lt_robust_certify(const lt_robust_result *r, double lipschitz, double *radius)
{
    int64_t n_inside = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const double room = r->clean_margin[i] / (sqrt(2.0) * lipschitz);
        radius[i] = room > 0 ? room : 0; // also where the margin is not a number
        n_inside += r->status[i] == LT_ROBUST_BROKEN && r->l2[i] < radius[i];
    }
    return n_inside;
}

double lt_robust_success_at(const lt_robust_result *r, double radius)
{
    int64_t n = 0, right = 0;
    for (int64_t i = 0; i < r->n; i++) {
        right +=
            r->status[i] == LT_ROBUST_BROKEN || r->status[i] == LT_ROBUST_ROBUST || r->status[i] == LT_ROBUST_NOT_FOUND;
        n += r->status[i] == LT_ROBUST_BROKEN && r->distance[i] <= radius;
    }
    return right > 0 ? (double)n / (double)right : (double)NAN;
}

// ---- file

typedef struct columns { // what the file holds in other types than the result
    int64_t *y, *y_adv, *clean;
    double *eps;
} columns;

static void fill_columns(const lt_robust_result *r, columns *c)
{
    for (int64_t i = 0; i < r->n; i++) {
        c->y[i] = r->label[i];
        c->y_adv[i] = r->adv_pred[i];
        c->clean[i] = r->clean_pred[i];
        c->eps[i] = isnan(r->eps) ? r->distance[i] : r->eps;
    }
}

lt_status lt_robust_save(const lt_robust_result *r, const char *path)
{
    const size_t n = (size_t)r->n, image = n * (size_t)r->c * (size_t)r->h * (size_t)r->w * sizeof *r->x;
    int64_t *ints = lti_calloc(3 * n, sizeof *ints);
    columns c = {ints, ints ? ints + n : NULL, ints ? ints + 2 * n : NULL, lti_calloc(n, sizeof *c.eps)};
    lt_status status = LT_OK;
    if (!ints || !c.eps)
        LT_TRY_GOTO(LTI_NOMEM("attack result"), done);
    fill_columns(r, &c);
    const lt_tensor t[] = {
        {"x", LT_F32, 4, {r->n, r->c, r->h, r->w}, r->x, image},
        {"x_adv", LT_F32, 4, {r->n, r->c, r->h, r->w}, r->x_adv, image},
        {"y", LT_I64, 1, {r->n}, c.y, n * sizeof *c.y},
        {"y_adv", LT_I64, 1, {r->n}, c.y_adv, n * sizeof *c.y_adv},
        {"clean_pred", LT_I64, 1, {r->n}, c.clean, n * sizeof *c.clean},
        {"ids", LT_I64, 1, {r->n}, r->id, n * sizeof *r->id},
        {"eps", LT_F64, 1, {r->n}, c.eps, n * sizeof *c.eps},
        {"delta", LT_F64, 1, {r->n}, r->distance, n * sizeof *r->distance},
        {"delta_l2", LT_F64, 1, {r->n}, r->l2, n * sizeof *r->l2},
        {"status", LT_U8, 1, {r->n}, r->status, n * sizeof *r->status},
        {"queries_f", LT_I64, 1, {r->n}, r->queries_f, n * sizeof *r->queries_f},
        {"queries_b", LT_I64, 1, {r->n}, r->queries_b, n * sizeof *r->queries_b},
    };
    status = lt_npz_write(path, t, (int)(sizeof t / sizeof *t));
done:
    lti_free(ints);
    lti_free(c.eps);
    return status;
}
