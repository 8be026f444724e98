// ptq.c - post-training quantization: the step from the weights alone, round to nearest [QAT 6].
#include "quant/quant_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float largest(const float *w, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    return most;
}

static double squared_error(const float *w, int64_t n, int bits, float step)
{
    const float zero = 0.5f * (float)((1 << bits) - 1);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)w[i] - (double)(step * ((float)lti_uniform_code(w[i], step, zero, 1 << bits) - zero));
        sum += d * d;
    }
    return sum;
}

// The step of least squared error: a grid of 80 steps up to that of the largest weight, then a finer one around the
// best.
static float mse_step(const float *w, int64_t n, int bits)
{
    enum { COARSE = 80, FINE = 16 };
    const float top = largest(w, n) / (0.5f * (float)((1 << bits) - 1));
    float best = top;
    double least = squared_error(w, n, bits, top);
    for (int i = 1; i < COARSE; i++) {
        const float s = top * (float)i / COARSE;
        const double e = squared_error(w, n, bits, s);
        if (e < least) {
            least = e;
            best = s;
        }
    }
    const float around = best, width = top / COARSE;
    for (int i = -FINE + 1; i < FINE; i++) {
        const float s = around + width * (float)i / FINE;
        const double e = s > 0 ? squared_error(w, n, bits, s) : INFINITY;
        if (e < least) {
            least = e;
            best = s;
        }
    }
    return best;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static lt_status percentile_step(const float *w, int64_t n, int bits, double percent, float *step)
{
    float *size = lti_malloc((size_t)n * sizeof *size);
    if (!size)
        return LTI_NOMEM("sorted weights");
    for (int64_t i = 0; i < n; i++)
        size[i] = fabsf(w[i]);
    qsort(size, (size_t)n, sizeof *size, by_size);
    const int64_t at = (int64_t)ceil(percent / 100 * (double)n) - 1;
    *step = size[at < 0 ? 0 : at] / (0.5f * (float)((1 << bits) - 1));
    lti_free(size);
    return LT_OK;
}

static lt_status fit(const float *w, const lti_qtensor *t, lt_ptq_step kind, double percent, float *step)
{
    const float zero = 0.5f * (float)((1 << t->bits) - 1);
    switch (kind) {
    case LT_PTQ_MINMAX:
        *step = largest(w, t->per) / zero;
        break;
    case LT_PTQ_MSE:
        *step = mse_step(w, t->per, t->bits);
        break;
    case LT_PTQ_PERCENTILE:
        LT_TRY(percentile_step(w, t->per, t->bits, percent, step));
        break;
    case LT_PTQ_MEAN:
        *step = lti_step_from_mean(w, t->per, t->bits, LTI_GRID_MIDRISE);
        break;
    }
    if (!(*step > 1e-12f))
        *step = 1e-3f; // a tensor of zeros still has levels
    return LT_OK;
}

lt_status lti_ptq_fit(lt_quant *q, lt_ptq_step kind, double percent)
{
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        for (int k = 0; k < t->n_grids; k++) {
            float step = 0;
            LT_TRY(fit(q->model->params + t->from + k * t->per, t, kind, percent, &step));
            lti_grid_init(&q->grid[t->grid + k], LTI_GRID_MIDRISE, t->bits, step);
        }
    }
    return LT_OK;
}

lt_status lt_quant_ptq(const lt_quant_cfg *cfg, lt_ptq_step kind, double percent, const lt_quant_in *in,
                       lt_quant **quant, lt_quant_result *r)
{
    *quant = NULL;
    *r = (lt_quant_result){0};
    if (!(percent > 0 && percent <= 100))
        return LT_FAIL(LT_E_USAGE, "ptq: expected a percentile above 0 and up to 100, found %g", percent);
    lt_quant_cfg own = *cfg;
    own.method = "msqe"; // the grid of the paper
    lt_quant *q = NULL;
    LT_TRY(lti_quant_evaluate(in->float_model ? in->float_model : in->model, in, &r->acc_fp, &r->loss_fp));
    LT_TRY(lti_quant_create(&own, in->model, &q));
    q->label = "ptq";
    lt_status status = lti_ptq_fit(q, kind, percent);
    if (status == LT_OK) {
        lti_quant_epoch_stats(q, in->model->params);
        for (int j = 0; j < q->n_tensors; j++) {
            q->info[j].code_change = 0;
            q->info[j].tau_steps = (double)NAN;
            memcpy(q->info[j].histogram_before, q->info[j].histogram, sizeof q->info[j].histogram);
        }
        status = lti_quant_deploy(q, in, r);
    }
    if (status == LT_OK)
        *quant = q;
    else
        lt_quant_destroy(q);
    return status;
}
