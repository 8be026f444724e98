// clip_baselines.c - the methods that FastClip is compared with, as projections of a weight [FASTCLIP 9-12].
#include "clip_impl.h"
#include <math.h>
#include <string.h>

enum { RESCALE_STEPS = 5, GRAM_STEPS = 6 };

static void scale_weight(lti_clip_target *t, double norm, bool *changed)
{
    int64_t n;
    float *w = lti_layer_weight(t->model, t->track.layer, &n);
    *changed = norm > t->target;
    for (int64_t i = 0; i < n && *changed; i++)
        w[i] = (float)((double)w[i] * t->target / norm);
    if (*changed)
        lti_tracker_changed(&t->track);
}

// Gouk et al.: five steps of power iteration on the real map from a new start, then the whole weight is divided.
static lt_status apply_rescale(lti_clip_target *t, const lti_clip_call *call, bool *changed)
{
    lti_tracker_restart(&t->track, call->seed, call->draw);
    LT_TRY(lti_tracker_step(&t->track, RESCALE_STEPS, 0));
    scale_weight(t, t->track.sigma[0], changed);
    return LT_OK;
}

static lt_status weight_in_double(const lti_clip_target *t, double **d, lt_shape *shape)
{
    int64_t n;
    const float *w = lti_layer_weight(t->model, t->track.layer, &n);
    *shape = t->model->graph->value[t->track.layer->weight].shape;
    if (shape->n_dims == 2)
        *shape = LT_SHAPE(shape->dim[0], shape->dim[1], 1, 1);
    *d = lti_calloc((size_t)n, sizeof **d);
    for (int64_t i = 0; *d && i < n; i++)
        (*d)[i] = (double)w[i];
    return *d ? LT_OK : LTI_NOMEM("clipping");
}

// Miyato et al.: the norm of the kernel reshaped to a matrix, which is not that of the convolution.
static lt_status apply_reshaped(lti_clip_target *t, const lti_clip_call *call, bool *changed)
{
    double *d, norm = 0;
    lt_shape s;
    (void)call;
    LT_TRY(weight_in_double(t, &d, &s));
    lt_status status = lt_kernel_norm(d, s.dim[0], s.dim[1] * s.dim[2] * s.dim[3], &norm);
    lti_free(d);
    if (status == LT_OK)
        scale_weight(t, norm, changed);
    return status;
}

static lt_conv_bound_in bound_in(const lti_clip_target *t, const double *d, lt_shape shape)
{
    const lti_layer *l = t->track.layer;
    const lt_shape *x = &t->model->graph->value[l->from].shape;
    const bool conv = l->kind != LT_LAYER_LINEAR;
    return (lt_conv_bound_in){.weight = d,
                              .shape = shape,
                              .attr = conv ? l->attr : (lt_conv_attr){.stride = 1, .groups = 1},
                              .height = conv ? x->dim[2] : 1,
                              .width = conv ? x->dim[3] : 1,
                              .n_threads = t->n_threads};
}

// Delattre et al.: the whole weight divided by the bound of Gram iteration.
static lt_status apply_gram(lti_clip_target *t, const lti_clip_call *call, bool *changed)
{
    double *d, norm = 0;
    lt_shape s;
    (void)call;
    LT_TRY(weight_in_double(t, &d, &s));
    const lt_conv_bound_in in = bound_in(t, d, s);
    lt_status status = lti_gram_bound(&in, GRAM_STEPS, &norm);
    lti_free(d);
    if (status == LT_OK)
        scale_weight(t, norm, changed);
    return status;
}

// ---- Sedghi et al., with the stacked symbol of Senderovich et al. for strides

typedef struct fourier {
    const lt_conv_bound_in *in;
    int64_t k, c, r, s, n[2], f[2]; // kernel; image size; frequencies of the output
    int64_t dilation;
    double clip;
    double *out;                          // (K,C,R,S)
    double *a;                            // (2, K, columns): the stacked symbol
    double *gram, *value, *vector, *keep; // (2K)^2, 2K, (2K)^2, (2, K, K): eigenvectors, what each keeps
} fourier;

// a[k][j * C + c] = symbol at w + 2 pi j / stride, divided by the stride: M restricted to one output frequency.
static void stack_symbol(fourier *q, int64_t f0, int64_t f1)
{
    const int64_t st = q->in->attr.stride, columns = st * st * q->c, per = q->r * q->s;
    for (int64_t k = 0; k < q->k; k++)
        for (int64_t j = 0; j < columns; j++) {
            const int64_t alias = j / q->c, c = j % q->c;
            const int64_t turn = f0 + alias / st * q->f[0];
            const double w0 = 2 * M_PI * (double)turn / (double)q->n[0];
            const double w1 = 2 * M_PI * (double)(f1 + alias % st * q->f[1]) / (double)q->n[1];
            double re = 0, im = 0;
            for (int64_t t = 0; t < per; t++) {
                const double v = q->in->weight[(k * q->c + c) * per + t];
                const int64_t row = t / q->s * q->dilation, column = t % q->s * q->dilation;
                const double phase = w0 * (double)row + w1 * (double)column;
                re += v * cos(phase);
                im += v * sin(phase);
            }
            q->a[k * columns + j] = re / (double)st;
            q->a[(q->k + k) * columns + j] = im / (double)st;
        }
}

// keep (2,K,K) = U min(1, clip / s) U^H, from the real symmetric form [[Re, -Im], [Im, Re]] of a a^H.
static void clip_factor(fourier *q, int64_t columns)
{
    const int64_t k = q->k, n = 2 * k;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            const double *ri = q->a + i * columns, *ii = ri + k * columns, *rj = q->a + j * columns,
                         *ij = rj + k * columns;
            double re = 0, im = 0;
            for (int64_t c = 0; c < columns; c++) {
                re += ri[c] * rj[c] + ii[c] * ij[c];
                im += ii[c] * rj[c] - ri[c] * ij[c];
            }
            q->gram[i * n + j] = q->gram[(k + i) * n + k + j] = re;
            q->gram[(k + i) * n + j] = im;
            q->gram[i * n + k + j] = -im;
        }
    lti_symmetric_eigen(q->gram, (int)n, q->value, q->vector);
    memset(q->keep, 0, (size_t)(2 * k * k) * sizeof *q->keep);
    for (int64_t e = 0; e < n; e++) {
        const double sigma = sqrt(fmax(q->value[e], 0)), by = sigma > q->clip ? q->clip / sigma : 1;
        const double *u = q->vector + e * n;
        for (int64_t i = 0; i < n; i++) // the first k columns hold real and imaginary part
            for (int64_t j = 0; j < k; j++)
                q->keep[i * k + j] += by * u[i] * u[j];
    }
}

// Adds keep * a at this frequency to the kernel's taps.
static void add_back(fourier *q, int64_t f0, int64_t f1)
{
    const int64_t st = q->in->attr.stride, columns = st * st * q->c, per = q->r * q->s, k = q->k;
    const double scale = (double)st / (double)(q->n[0] * q->n[1]);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < columns; j++) {
            double re = 0, im = 0;
            for (int64_t m = 0; m < k; m++) {
                const double a = q->keep[i * k + m], b = q->keep[(k + i) * k + m], x = q->a[m * columns + j],
                             y = q->a[(k + m) * columns + j];
                re += a * x - b * y;
                im += a * y + b * x;
            }
            const int64_t alias = j / q->c, c = j % q->c;
            const int64_t turn = f0 + alias / st * q->f[0];
            const double w0 = 2 * M_PI * (double)turn / (double)q->n[0];
            const double w1 = 2 * M_PI * (double)(f1 + alias % st * q->f[1]) / (double)q->n[1];
            for (int64_t t = 0; t < per; t++) {
                const int64_t row = t / q->s * q->dilation, column = t % q->s * q->dilation;
                const double phase = w0 * (double)row + w1 * (double)column;
                q->out[(i * q->c + c) * per + t] += scale * (re * cos(phase) + im * sin(phase));
            }
        }
}

static lt_status run_fourier(fourier *q)
{
    const int64_t k = q->k, columns = q->in->attr.stride * q->in->attr.stride * q->c;
    q->out = lti_calloc((size_t)(k * q->c * q->r * q->s), sizeof *q->out);
    q->a = lti_calloc((size_t)(2 * k * columns), sizeof *q->a);
    q->gram = lti_calloc((size_t)(8 * k * k + 2 * k + 2 * k * k), sizeof *q->gram);
    if (!q->out || !q->a || !q->gram)
        return LTI_NOMEM("clipping by frequencies");
    q->vector = q->gram + 4 * k * k;
    q->value = q->vector + 4 * k * k;
    q->keep = q->value + 2 * k;
    for (int64_t f = 0; f < q->f[0] * q->f[1]; f++) {
        stack_symbol(q, f / q->f[1], f % q->f[1]);
        clip_factor(q, columns);
        add_back(q, f / q->f[1], f % q->f[1]);
    }
    return LT_OK;
}

static lt_status apply_fourier(lti_clip_target *t, const lti_clip_call *call, bool *changed)
{
    double *d;
    lt_shape s;
    int64_t n;
    (void)call;
    *changed = false;
    LT_TRY(weight_in_double(t, &d, &s));
    const lt_conv_bound_in in = bound_in(t, d, s);
    const int64_t st = in.attr.stride;
    fourier q = {.in = &in,
                 .k = s.dim[0],
                 .c = s.dim[1],
                 .r = s.dim[2],
                 .s = s.dim[3],
                 .dilation = lti_conv_attr(in.attr).dilation,
                 .n = {in.height, in.width},
                 .f = {in.height / st, in.width / st},
                 .clip = t->target};
    lt_status status = LT_OK;
    if (in.attr.groups != 1 || in.height % st != 0 || in.width % st != 0)
        status = LT_FAIL(LT_E_UNSUPPORTED,
                         "%s: clipping by frequencies takes one group and an image size that the stride divides",
                         t->track.layer->name);
    else if (s.dim[0] > 512)
        status = LT_FAIL(LT_E_UNSUPPORTED, "%s: clipping by frequencies takes at most 512 output channels, found %lld",
                         t->track.layer->name, (long long)s.dim[0]);
    else
        status = run_fourier(&q);
    float *w = lti_layer_weight(t->model, t->track.layer, &n);
    for (int64_t i = 0; i < n && status == LT_OK; i++) {
        const float v = (float)q.out[i];
        *changed |= fabsf(v - w[i]) > 1e-6f;
        w[i] = v;
    }
    lti_tracker_changed(&t->track);
    lti_free(q.out);
    lti_free(q.a);
    lti_free(q.gram);
    lti_free(d);
    return status;
}

const lti_clip_rule lti_clip_rescale = {
    "rescale", "the weight divided by its norm of five power iterations (Gouk et al.)", false, apply_rescale};
const lti_clip_rule lti_clip_reshaped = {
    "reshaped", "the weight divided by the norm of the reshaped kernel (Miyato et al.)", false, apply_reshaped};
const lti_clip_rule lti_clip_gram = {"gram", "the weight divided by the bound of Gram iteration (Delattre et al.)",
                                     false, apply_gram};
const lti_clip_rule lti_clip_fourier = {
    "fourier", "singular values of every frequency cut, kernel truncated (Sedghi, Senderovich et al.)", false,
    apply_fourier};
