// intnet_simulate.c - what an integer network should compute, from the float weights of the model file and dequantized
// activations in double: every accumulator must come out as an integer, and the same one.
#include "quant/intnet_impl.h"

#include <math.h>
#include <string.h>

typedef struct simulation {
    const lt_int_net *net;
    double *value[LTI_INT_MAX_TENSORS]; // real values, (h,w,c)
} simulation;

// Weight (k, r, s, c) as a real number.
static double weight_of(const lti_int_term *t, int64_t k, int64_t r, int64_t s, int64_t c, double scale)
{
    const lti_int_weights *w = t->weights;
    const bool whole = w->coding == LTI_INT_MIDRISE || w->coding == LTI_INT_MIDTREAD;
    if (whole)
        return (double)w->values[((k * w->c + c) * w->r + r) * w->s + s];
    return scale * w->w[((k * w->r + r) * w->s + s) * w->c + c];
}

// Real sum of a term at one place.
static double real_sum(const simulation *m, const lti_int_term *t, int64_t y, int64_t x, int64_t k, double weight_scale)
{
    const lti_int_tensor *s = &m->net->tensor[t->source];
    const double *v = m->value[t->source];
    if (!t->weights)
        return v[(y * s->w + x) * s->c + k];
    double sum = 0;
    for (int64_t r = 0; r < t->weights->r; r++)
        for (int64_t q = 0; q < t->weights->s; q++) {
            const int64_t sy = y * t->stride - t->pad + r, sx = x * t->stride - t->pad + q;
            if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                continue;
            for (int64_t c = 0; c < t->weights->c; c++)
                sum += weight_of(t, k, r, q, c, weight_scale) * v[(sy * s->w + sx) * s->c + c];
        }
    return sum;
}

// Scale of a weight term: from the first weight that is not 0, of the model file.
static double weight_scale(const lti_int_term *t, int64_t k)
{
    const lti_int_weights *w = t->weights;
    if (!w || (w->coding != LTI_INT_MIDRISE && w->coding != LTI_INT_MIDTREAD))
        return 1;
    for (int64_t r = 0; r < w->r; r++)
        for (int64_t s = 0; s < w->s; s++)
            for (int64_t c = 0; c < w->c; c++) {
                const int i = w->w[((k * w->r + r) * w->s + s) * w->c + c];
                if (i != 0)
                    return (double)w->values[((k * w->c + c) * w->r + r) * w->s + s] / i;
            }
    return 1;
}

// The accumulator of a term: the real sum over its scales, which must be an integer.
static lt_status accumulator(const simulation *m, const lti_int_layer *l, int t, int64_t at, int64_t k, double *acc)
{
    const lti_int_term *term = &l->term[t];
    const double ws = weight_scale(term, k), scale = m->net->tensor[term->source].scale * ws;
    const double real = real_sum(m, term, at / l->w, at % l->w, k, ws) / scale;
    *acc = nearbyint(real);
    if (fabs(real - *acc) > 0.05)
        return LT_FAIL(LT_E_INTEGRITY, "%s: term %d, channel %lld: the accumulator is %.6f, no integer", l->name, t,
                       (long long)k, real);
    return LT_OK;
}

static lt_status simulate_affine(simulation *m, const lti_int_layer *l, int64_t *logits)
{
    for (int64_t at = 0; at < l->h * l->w; at++)
        for (int64_t k = 0; k < l->k; k++) {
            long double sum = (long double)l->add[k];
            for (int t = 0; t < l->n_terms; t++) {
                double acc = 0;
                LT_TRY(accumulator(m, l, t, at, k, &acc));
                sum += (long double)l->term[t].mul[k] * (long double)acc;
            }
            if (l->kind == LTI_INT_LOGITS) {
                logits[k] = (int64_t)sum;
                continue;
            }
            const long double code = floorl(ldexpl(sum, -l->shift)), top = (1 << l->bits) - 1;
            const long double held = code < 0 ? 0 : code > top ? top : code;
            m->value[l->target][at * l->k + k] = (double)held * m->net->tensor[l->target].scale;
        }
    return LT_OK;
}

static void simulate_pool(simulation *m, const lti_int_layer *l)
{
    const lti_int_tensor *s = &m->net->tensor[l->source];
    const double *x = m->value[l->source];
    for (int64_t y = 0; y < l->h; y++)
        for (int64_t c = 0; c < l->w; c++)
            for (int64_t k = 0; k < l->k; k++) {
                double sum = 0, most = 0;
                for (int r = 0; r < l->kernel; r++)
                    for (int q = 0; q < l->kernel; q++) {
                        const int64_t sy = y * l->stride - l->pad + r, sx = c * l->stride - l->pad + q;
                        if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                            continue;
                        const double v = x[(sy * s->w + sx) * s->c + k];
                        sum += v;
                        most = fmax(most, v);
                    }
                m->value[l->target][(y * l->w + c) * l->k + k] =
                    l->kind == LTI_INT_MAX_POOL ? most : sum / s->scale * m->net->tensor[l->target].scale;
            }
}

static lt_status simulate_image(simulation *m, const uint8_t *image, int64_t *logits)
{
    const lt_int_net *net = m->net;
    const lt_model_shape *s = &net->shape;
    const int64_t plane = (int64_t)s->h * s->w;
    for (int64_t p = 0; p < plane; p++)
        for (int c = 0; c < s->c; c++) {
            const uint8_t v = image[c * plane + p];
            m->value[0][p * s->c + c] = (net->has_lut ? net->lut[c * 256 + v] : v) * net->tensor[0].scale;
        }
    for (int i = 0; i < net->n_layers; i++) {
        const lti_int_layer *l = &net->layer[i];
        if (l->kind == LTI_INT_AFFINE || l->kind == LTI_INT_LOGITS)
            LT_TRY(simulate_affine(m, l, logits));
        else
            simulate_pool(m, l);
    }
    return LT_OK;
}

lt_status lt_int_net_simulate(const lt_int_net *net, const uint8_t *images, int64_t n, int64_t *logits)
{
    simulation m = {.net = net};
    lt_status status = LT_OK;
    const int64_t per = (int64_t)net->shape.c * net->shape.h * net->shape.w;
    for (int i = 0; i < net->n_tensors && status == LT_OK; i++) {
        const lti_int_tensor *t = &net->tensor[i];
        m.value[i] = lti_calloc((size_t)(t->h * t->w * t->c), sizeof(double));
        status = m.value[i] ? LT_OK : LTI_NOMEM("simulated activations");
    }
    for (int64_t i = 0; i < n && status == LT_OK; i++)
        status = simulate_image(&m, images + i * per, logits + i * net->shape.n_classes);
    for (int i = 0; i < net->n_tensors; i++)
        lti_free(m.value[i]);
    return status;
}
