// class_mia.c - discriminators of kept classes, asked about images of a forgotten class. [class-mia]
//
// Everything is learnt from outputs of the model under test on data it was not trained on, so that the attack needs
// queries only. Features leave the forgotten classes' logits out (unless asked for), so a model whose forgotten logits
// are masked has bit-identical metrics to the original model.
#include "audit/class_impl.h"
#include <math.h>
#include <string.h>

int64_t lti_class_rows(const lti_class_world *w, int group, int32_t unit, int64_t *row)
{
    const lt_signals *s = w->model[0]; // all models have its samples
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] != group || w->units.unit[i] != unit)
            continue;
        if (row)
            row[n] = i;
        n++;
    }
    return n;
}

// ---- features

static int n_features(const lti_class_world *w)
{
    return w->cfg->class_mia_features == LT_CLASS_MIA_ALL_LOGITS ? w->k : w->n_kept;
}

static void row_features(const lti_class_world *w, const lt_signals *s, int64_t row, double *x)
{
    const float *z = s->logits + row * s->k;
    if (w->cfg->class_mia_features == LT_CLASS_MIA_ALL_LOGITS) {
        for (int k = 0; k < w->k; k++)
            x[k] = (double)z[k];
        return;
    }
    double most = -INFINITY, sum = 0;
    for (int j = 0; j < w->n_kept; j++) {
        x[j] = (double)z[w->kept[j]];
        most = fmax(most, x[j]);
    }
    if (w->cfg->class_mia_features == LT_CLASS_MIA_LOGITS)
        return;
    for (int j = 0; j < w->n_kept; j++)
        sum += x[j] = exp(x[j] - most);
    for (int j = 0; j < w->n_kept; j++)
        x[j] /= sum;
}

static double *features_of(const lti_class_world *w, const lt_signals *s, const int64_t *row, int64_t n)
{
    const int d = n_features(w);
    double *x = lti_calloc((size_t)(n > 0 ? n : 1) * (size_t)d, sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        row_features(w, s, row[i], x + i * d);
    if (!x)
        LTI_NOMEM("features of a discriminator");
    return x;
}

// ---- one discriminator

// Moves m elements drawn at random, in the order of the draw, to the front of row (n).
static lt_status draw_front(uint64_t seed, uint32_t step, int64_t *row, int64_t n)
{
    int64_t *perm = lti_calloc((size_t)n, sizeof *perm), *copy = lti_calloc((size_t)n, sizeof *copy);
    const lt_status status = perm && copy ? LT_OK : LTI_NOMEM("draw of samples");
    if (status == LT_OK) {
        memcpy(copy, row, (size_t)n * sizeof *row);
        lt_rng_permutation(seed, LT_STREAM_AUDIT, step, n, perm);
        for (int64_t i = 0; i < n; i++)
            row[i] = copy[perm[i]];
    }
    lti_free(perm);
    lti_free(copy);
    return status;
}

typedef struct lesson { // rows that a discriminator learns from: n of its class, n of the other kept classes
    int64_t n;
    int64_t *member, *other;
} lesson;

static void lesson_clear(lesson *l)
{
    lti_free(l->member);
    lti_free(l->other);
}

static lt_status draw_lesson(const lti_class_world *w, const lt_signals *s, int32_t i, lesson *l)
{
    const int group = w->cfg->class_mia_data;
    int64_t n = lti_class_rows(w, group, i, NULL), n_other = 0;
    *l = (lesson){.member = lti_calloc((size_t)s->n, sizeof(int64_t)),
                  .other = lti_calloc((size_t)s->n, sizeof(int64_t))};
    if (!l->member || !l->other)
        return LTI_NOMEM("samples of a discriminator");
    lti_class_rows(w, group, i, l->member);
    for (int64_t r = 0; r < s->n; r++)
        if (s->group[r] == group && w->units.unit[r] != i && w->units.role[w->units.unit[r]] == LT_CLASS_KEPT)
            l->other[n_other++] = r;
    if (n < 2 || n_other < 2)
        return LT_FAIL(LT_E_FORMAT,
                       "class-mia: expected at least 2 samples of class %d and of others, found %lld, %lld", (int)i,
                       (long long)n, (long long)n_other);
    LT_TRY(draw_front(w->seed, LTI_DRAW_CLASS_MEMBER + (uint32_t)i, l->member, n));
    LT_TRY(draw_front(w->seed, LTI_DRAW_CLASS_OTHER + (uint32_t)i, l->other, n_other));
    l->n = n < w->cfg->class_mia_limit ? n : w->cfg->class_mia_limit;
    l->n = l->n < n_other ? l->n : n_other;
    return LT_OK;
}

static double scale_gamma(const double *a, const double *b, int64_t n, int d) // 1 / (d Var) over all numbers
{
    double mean = 0, m2 = 0;
    for (int64_t i = 0; i < n; i++)
        mean += (a[i] + b[i]) / (2 * (double)n);
    for (int64_t i = 0; i < n; i++)
        m2 += (a[i] - mean) * (a[i] - mean) + (b[i] - mean) * (b[i] - mean);
    const double variance = m2 / (2 * (double)n);
    return variance > 0 ? 1 / (d * variance) : 1;
}

static lti_svc_cfg svc_cfg(const lti_class_world *w, const double *a, const double *b, int64_t n, int d)
{
    return w->cfg->class_mia_kernel ? (lti_svc_cfg){.linear = true, .c = 1}
                                    : (lti_svc_cfg){.c = 3, .gamma = scale_gamma(a, b, n * d, d)};
}

// share[j]: of the rows of targets j that the discriminator of class i accepts.
typedef struct target {
    const lt_signals *s;
    const int64_t *row;
    int64_t n;
    double share;
} target;

static lt_status discriminate(const lti_class_world *w, const lt_signals *s, int32_t i, target *t, int n_targets)
{
    lesson l;
    const int d = n_features(w);
    double *member = NULL, *other = NULL, *x = NULL, *decision = NULL;
    lt_status status = draw_lesson(w, s, i, &l);
    if (status == LT_OK && (!(member = features_of(w, s, l.member, l.n)) || !(other = features_of(w, s, l.other, l.n))))
        status = LT_E_NOMEM;
    for (int j = 0; status == LT_OK && j < n_targets; j++) {
        x = features_of(w, t[j].s, t[j].row, t[j].n);
        decision = lti_calloc((size_t)t[j].n, sizeof *decision);
        if (!x || !decision)
            status = LTI_NOMEM("decisions");
        const lti_svc_problem p = {.negative = other,
                                   .n_negative = l.n,
                                   .positive = member,
                                   .n_positive = l.n,
                                   .d = d,
                                   .cfg = svc_cfg(w, member, other, l.n, d)};
        if (status == LT_OK)
            status = lti_svc_decide(&p, x, t[j].n, decision);
        t[j].share = 0;
        for (int64_t r = 0; status == LT_OK && r < t[j].n; r++)
            t[j].share += (decision[r] <= 0) / (double)t[j].n;
        lti_free(x);
        lti_free(decision);
    }
    lti_free(member);
    lti_free(other);
    lesson_clear(&l);
    return status;
}

// ---- tables

static void accept_by_argmax(const lti_class_world *w, const lt_signals *s, const target *t, double *accept)
{
    for (int j = 0; j < w->n_kept && t->n > 0; j++)
        accept[w->kept[j]] = 0;
    for (int64_t r = 0; r < t->n; r++) {
        const float *z = s->logits + t->row[r] * s->k;
        int32_t best = w->kept[0];
        for (int j = 1; j < w->n_kept; j++)
            if (z[w->kept[j]] > z[best])
                best = w->kept[j];
        accept[best] += 1 / (double)t->n;
    }
}

// A rare class, or the only one that is kept, has no discriminator; the other figures of the audit do without it.
static bool can_learn(const lti_class_world *w, int32_t i)
{
    const int group = w->cfg->class_mia_data;
    int64_t n_other = 0;
    for (int j = 0; j < w->n_kept; j++)
        n_other += w->kept[j] != i ? lti_class_rows(w, group, w->kept[j], NULL) : 0;
    return lti_class_rows(w, group, i, NULL) >= 2 && n_other >= 2;
}

static lt_status accept_of_model(const lti_class_world *w, const lt_signals *s, target *t, double *accept)
{
    for (int f = 0; f < w->n_forgotten; f++)
        for (int k = 0; k < w->k; k++)
            accept[f * w->k + k] = (double)NAN;
    for (int f = 0; f < w->n_forgotten && w->cfg->class_mia_form == LT_CLASS_MIA_ARGMAX; f++)
        accept_by_argmax(w, s, &t[f], accept + f * w->k);
    for (int j = 0; j < w->n_kept && w->cfg->class_mia_form != LT_CLASS_MIA_ARGMAX; j++) {
        if (!can_learn(w, w->kept[j]))
            continue;
        LT_TRY(discriminate(w, s, w->kept[j], t, w->n_forgotten));
        for (int f = 0; f < w->n_forgotten; f++)
            accept[f * w->k + w->kept[j]] = t[f].share;
    }
    return LT_OK;
}

lt_status lti_class_accept(const lti_class_world *w, const lt_signals *s, double *accept)
{
    target *t = lti_calloc((size_t)w->n_forgotten, sizeof *t);
    int64_t *row = lti_calloc((size_t)s->n * (size_t)w->n_forgotten, sizeof *row);
    lt_status status = t && row ? LT_OK : LTI_NOMEM("test samples of forgotten classes");
    for (int f = 0; status == LT_OK && f < w->n_forgotten; f++) {
        t[f] = (target){.s = s, .row = row + f * s->n};
        t[f].n = lti_class_rows(w, LT_GROUP_TEST, w->forgotten[f], row + f * s->n);
    }
    if (status == LT_OK)
        status = accept_of_model(w, s, t, accept);
    lti_free(row);
    lti_free(t);
    return status;
}

lt_status lti_class_transfer(const lti_class_world *w, const lt_signals *learnt, const lt_signals *applied, int32_t i,
                             int32_t f, double *share)
{
    int64_t *row = lti_calloc((size_t)applied->n, sizeof *row);
    if (!row)
        return LTI_NOMEM("test samples of forgotten classes");
    target t = {.s = applied, .row = row, .n = lti_class_rows(w, LT_GROUP_TEST, f, row)};
    const lt_status status = discriminate(w, learnt, i, &t, 1);
    *share = t.share;
    lti_free(row);
    return status;
}

// Every second row, from `first` on.
static int64_t every_second(const int64_t *row, int64_t n, int64_t first, int64_t *out)
{
    int64_t m = 0;
    for (int64_t i = first; i < n; i += 2)
        out[m++] = row[i];
    return m;
}

lt_status lti_class_two_sample(const lti_class_world *w, const lt_signals *a, const lt_signals *b, int32_t f,
                               double *accuracy)
{
    int64_t *row = lti_calloc(3 * (size_t)a->n, sizeof *row);
    double *xa = NULL, *xb = NULL, *ta = NULL, *tb = NULL, *decision = lti_calloc((size_t)a->n, sizeof *decision);
    lt_status status = row && decision ? LT_OK : LTI_NOMEM("two-sample test");
    *accuracy = (double)NAN;
    if (status == LT_OK) {
        const int d = n_features(w);
        int64_t *learn = row + a->n, *ask = learn + a->n, n = lti_class_rows(w, LT_GROUP_TEST, f, row);
        const int64_t n_learn = every_second(row, n, 0, learn), n_ask = every_second(row, n, 1, ask);
        xa = features_of(w, a, learn, n_learn), xb = features_of(w, b, learn, n_learn);
        ta = features_of(w, a, ask, n_ask), tb = features_of(w, b, ask, n_ask);
        if (!xa || !xb || !ta || !tb)
            status = LT_E_NOMEM;
        const lti_svc_problem p = {.negative = xb,
                                   .n_negative = n_learn,
                                   .positive = xa,
                                   .n_positive = n_learn,
                                   .d = d,
                                   .cfg = status == LT_OK && n_learn > 0 ? svc_cfg(w, xa, xb, n_learn, d)
                                                                         : (lti_svc_cfg){.c = 1, .gamma = 1}};
        double right = 0;
        for (int side = 0; status == LT_OK && n_ask > 0 && side < 2; side++) {
            status = lti_svc_decide(&p, side ? tb : ta, n_ask, decision);
            for (int64_t i = 0; i < n_ask; i++)
                right += side ? decision[i] > 0 : decision[i] <= 0;
        }
        if (status == LT_OK && n_ask > 0)
            *accuracy = right / (2 * (double)n_ask);
    }
    lti_free(row);
    lti_free(xa);
    lti_free(xb);
    lti_free(ta);
    lti_free(tb);
    lti_free(decision);
    return status;
}
