// theorem.c - the terms of the AMUN theorem: losses of three models on clean and adversarial samples, their distances
// in parameter space, and how the adversarial samples transfer. [AMUN 9]
#include "lethe/theorem.h"
#include "audit/audit_impl.h"
#include <math.h>
#include <string.h>

enum { BATCH = 128 };

const char *lt_theorem_term_name(lt_theorem_term term)
{
    static const char *const name[LT_N_TERMS] = {"original_adv", "unlearned_adv", "retrained_clean", "retrained_adv",
                                                 "original_clean"};
    return (int)term >= 0 && term < LT_N_TERMS ? name[term] : "unknown";
}

// ---- one model on one set of images

typedef struct asked {
    const lt_theorem_in *in;
    const lt_env *env;
    float *logits; // (n,K)
    int k;
} asked;

static int32_t true_label(const lt_theorem_in *in, int64_t i)
{
    const lt_view *v = &in->clean;
    return v->labels ? v->labels[i] : v->ds->split[v->split].y[v->row ? v->row[i] : i];
}

static lt_status ask(asked *a, const lt_model *model, bool adv)
{
    lt_view view = a->in->clean;
    lt_eval_result r;
    view.augment = false;
    if (adv)
        view.images = a->in->x_adv;
    return lt_evaluate(model, &view, a->env, BATCH, a->logits, NULL, &r);
}

// Losses of what was asked last: towards y_adv, or towards y.
static void losses(const asked *a, bool towards_adv, double *out)
{
    for (int64_t i = 0; i < a->in->clean.n; i++)
        out[i] =
            lti_feature(a->logits + i * a->k, a->k, towards_adv ? a->in->y_adv[i] : true_label(a->in, i), LT_FEAT_LOSS);
}

static lt_transfer transfer(const asked *a)
{
    const int64_t n = a->in->clean.n;
    int64_t as_adv = 0, wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *z = a->logits + i * a->k;
        as_adv += lti_feature(z, a->k, a->in->y_adv[i], LT_FEAT_CORRECT) > 0;
        wrong += !(lti_feature(z, a->k, true_label(a->in, i), LT_FEAT_CORRECT) > 0);
    }
    return (lt_transfer){(double)as_adv / (double)n, (double)wrong / (double)n};
}

// ---- all of them

static lt_status ask_original(asked *a, lt_theorem *t)
{
    LT_TRY(ask(a, a->in->original, false));
    losses(a, false, t->loss[LT_TERM_ORIGINAL_CLEAN]);
    LT_TRY(ask(a, a->in->original, true));
    losses(a, false, t->loss[LT_TERM_ORIGINAL_ADV]);
    t->original = transfer(a);
    return LT_OK;
}

static lt_status ask_unlearned(asked *a, lt_theorem *t)
{
    LT_TRY(ask(a, a->in->unlearned, true));
    losses(a, true, t->loss[LT_TERM_UNLEARNED_ADV]);
    t->unlearned = transfer(a);
    return LT_OK;
}

static lt_status ask_retrained(asked *a, lt_theorem *t)
{
    LT_TRY(ask(a, a->in->retrained, false));
    losses(a, false, t->loss[LT_TERM_RETRAINED_CLEAN]);
    LT_TRY(ask(a, a->in->retrained, true));
    losses(a, true, t->loss[LT_TERM_RETRAINED_ADV]);
    t->retrained = transfer(a);
    return LT_OK;
}

static void combine(const lt_theorem_in *in, lt_theorem *t)
{
    double *const *l = t->loss;
    t->local_max = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const double delta = (double)in->delta[i];
        t->c[i] = l[LT_TERM_ORIGINAL_ADV][i] + l[LT_TERM_UNLEARNED_ADV][i] - l[LT_TERM_RETRAINED_CLEAN][i] -
                  l[LT_TERM_RETRAINED_ADV][i];
        t->local[i] = delta > 0 ? fabs(l[LT_TERM_ORIGINAL_ADV][i] - l[LT_TERM_ORIGINAL_CLEAN][i]) / delta : (double)NAN;
        t->local_max = fmax(t->local_max, t->local[i]); // fmax passes NAN over
    }
}

static double distance(const lt_model *a, const lt_model *b)
{
    double sum = 0;
    for (int64_t i = 0; a && b && i < a->n_params; i++) {
        const double d = (double)a->params[i] - (double)b->params[i];
        sum += d * d;
    }
    return a && b ? sqrt(sum) : (double)NAN;
}

static lt_status check(const lt_theorem_in *in)
{
    const lt_model *other[2] = {in->unlearned, in->retrained};
    for (int i = 0; i < 2; i++)
        if (other[i] &&
            (strcmp(other[i]->spec, in->original->spec) != 0 || other[i]->n_params != in->original->n_params))
            return LT_FAIL(LT_E_SHAPE, "theorem: expected models of one architecture, found %s and %s",
                           in->original->spec, other[i]->spec);
    if (in->clean.n < 1)
        return LT_FAIL(LT_E_USAGE, "theorem: expected at least one sample with an adversarial example, found none");
    const int k = in->original->shape.n_classes;
    for (int64_t i = 0; i < in->clean.n; i++)
        if (in->y_adv[i] < 0 || in->y_adv[i] >= k || true_label(in, i) < 0 || true_label(in, i) >= k)
            return LT_FAIL(LT_E_SHAPE, "theorem: sample %lld: expected labels 0..%d, found %d and adversarial %d",
                           (long long)i, k - 1, (int)true_label(in, i), (int)in->y_adv[i]);
    return LT_OK;
}

static lt_status reserve(const lt_theorem_in *in, asked *a, lt_theorem *t)
{
    const size_t n = (size_t)in->clean.n;
    t->n = in->clean.n;
    bool fine = true;
    for (int i = 0; i < LT_N_TERMS; i++)
        fine = (t->loss[i] = lti_calloc(n, sizeof(double))) && fine;
    t->c = lti_calloc(n, sizeof *t->c);
    t->local = lti_calloc(n, sizeof *t->local);
    a->logits = lti_calloc(n * (size_t)a->k, sizeof *a->logits);
    if (!fine || !t->c || !t->local || !a->logits)
        return LTI_NOMEM("theorem");
    for (size_t i = 0; i < n; i++)
        t->loss[LT_TERM_RETRAINED_CLEAN][i] = t->loss[LT_TERM_RETRAINED_ADV][i] = (double)NAN;
    return LT_OK;
}

lt_status lt_theorem_measure(const lt_theorem_in *in, const lt_env *env, lt_theorem *out)
{
    asked a = {.in = in, .env = env, .k = in->original->shape.n_classes};
    lt_status status = LT_OK;
    *out = (lt_theorem){.retrained = {(double)NAN, (double)NAN}};
    LT_TRY(check(in));
    LT_TRY_GOTO(reserve(in, &a, out), done);
    LT_TRY_GOTO(ask_original(&a, out), done);
    LT_TRY_GOTO(ask_unlearned(&a, out), done);
    if (in->retrained)
        LT_TRY_GOTO(ask_retrained(&a, out), done);
    combine(in, out);
    out->original_retrained = distance(in->original, in->retrained);
    out->unlearned_retrained = distance(in->unlearned, in->retrained);
    out->unlearned_original = distance(in->unlearned, in->original);
done:
    lti_free(a.logits);
    if (status != LT_OK)
        lt_theorem_clear(out);
    return status;
}

void lt_theorem_clear(lt_theorem *t)
{
    for (int i = 0; i < LT_N_TERMS; i++)
        lti_free(t->loss[i]);
    lti_free(t->c);
    lti_free(t->local);
    *t = (lt_theorem){0};
}
