// amun_bound.c - the terms of AMUN's bound, measured for runs that keep an adversarial set. [AMUN 9]
//
// The base is the model that the audited one started from; the retrained models are the oracles of the audit.
#include "audit/amun_bound/amun_bound_impl.h"
#include "lethe/attack.h"
#include <stdlib.h>
#include <string.h>

static lt_status reserve_samples(lti_bound_samples *s, int64_t n, size_t image)
{
    const size_t count = (size_t)n + 1;
    s->row = lti_calloc(count, sizeof *s->row);
    s->id = lti_calloc(count, sizeof *s->id);
    s->x_adv = lti_calloc(count * image, sizeof *s->x_adv);
    s->delta = lti_calloc(count, sizeof *s->delta);
    s->eps = lti_calloc(count, sizeof *s->eps);
    s->y = lti_calloc(count, sizeof *s->y);
    s->y_adv = lti_calloc(count, sizeof *s->y_adv);
    const bool complete = s->row && s->id && s->x_adv && s->delta && s->eps && s->y && s->y_adv;
    return complete ? LT_OK : LTI_NOMEM("samples of the adversarial set");
}

// Samples of the set without those whose search failed.
static lt_status copy_samples(const lt_adv_set *adv, const char *dir, const lt_dataset *ds, lti_bound_samples *s)
{
    const size_t image = (size_t)adv->c * (size_t)adv->h * (size_t)adv->w;
    if (adv->c != ds->c || adv->h != ds->h || adv->w != ds->w)
        return LT_FAIL(LT_E_SHAPE, "%s: expected images of %dx%dx%d as in the data, found %dx%dx%d", dir, ds->c, ds->h,
                       ds->w, adv->c, adv->h, adv->w);
    s->n_failed = lt_adv_set_count(adv, LT_ADV_FAILED);
    s->n_clean_wrong = lt_adv_set_count(adv, LT_ADV_CLEAN_WRONG);
    LT_TRY(reserve_samples(s, adv->n, image));
    for (int64_t i = 0; i < adv->n; i++) {
        const int64_t row = lt_dataset_row_of_id(ds, LT_TRAIN, adv->id[i]);
        if (row < 0 || ds->split[LT_TRAIN].y[row] != adv->label[i])
            return LT_FAIL(LT_E_FORMAT, "%s: sample %lld has id %lld and label %d, which are not in the data set", dir,
                           (long long)i, (long long)adv->id[i], (int)adv->label[i]);
        if (adv->status[i] == LT_ADV_FAILED)
            continue;
        s->row[s->n] = row;
        s->id[s->n] = adv->id[i];
        s->delta[s->n] = adv->delta_norm[i];
        s->eps[s->n] = adv->eps_final[i];
        s->y[s->n] = adv->label[i];
        s->y_adv[s->n] = adv->adv_pred[i];
        memcpy(s->x_adv + (size_t)s->n * image, adv->x_adv + (size_t)i * image, image * sizeof(float));
        s->n++;
    }
    return LT_OK;
}

static lt_status open_samples(const lt_audit_in *in, lti_bound_samples *s)
{
    lt_adv_set *adv = NULL;
    LT_TRY(lt_adv_set_open(in->adv_dir, &adv));
    const lt_status status = copy_samples(adv, in->adv_dir, in->ds, s);
    lt_adv_set_destroy(adv);
    return status;
}

// *base = NULL and no error when there is none to compare with: the lint says why.
static lt_status open_base(const lt_audit_in *in, lt_audit_report *report, const lt_model **base, lt_model **owned)
{
    char digest[65];
    *base = NULL;
    *owned = NULL;
    const lt_status status = in->parent ? lti_subject_model(in->parent, base, owned)
                                        : LT_FAIL(LT_E_IO, "%s does not say which", in->unlearned.name);
    if (status != LT_OK) {
        LT_TRY(lt_lint_add(&report->lint, "no-base", LT_LINT_WARNING,
                           "no diagnostics of AMUN's bound: the run this one started from was not found: %s",
                           lt_error_get()->message));
        lt_error_clear();
        *base = NULL;
        return LT_OK;
    }
    lt_model_digest(*base, digest);
    if (!strcmp(digest, in->unlearned.identity.parent_digest))
        return LT_OK;
    *base = NULL;
    return lt_lint_add(&report->lint, "no-base", LT_LINT_WARNING,
                       "no diagnostics of AMUN's bound: %s does not have the weights that %s started from",
                       in->parent->name, in->unlearned.name);
}

static lt_status measure_oracle(const lt_audit_in *in, lt_theorem_in *of, const lt_audit_subject *oracle,
                                lt_theorem *out)
{
    const lt_model *model = NULL;
    lt_model *owned = NULL;
    if (oracle)
        LT_TRY(lti_subject_model(oracle, &model, &owned));
    of->retrained = model;
    const lt_status status = lt_theorem_measure(of, in->env, out);
    lt_model_destroy(owned);
    return status;
}

static lt_status measure_terms(const lt_audit_in *in, const lt_model *base, const lt_model *unlearned, lti_bound *b)
{
    const lt_index_set rows = {.n = b->s.n, .row = b->s.row};
    lt_theorem_in of = {.clean = lt_view_rows(in->ds, LT_TRAIN, &rows),
                        .x_adv = b->s.x_adv,
                        .y_adv = b->s.y_adv,
                        .delta = b->s.delta,
                        .original = base,
                        .unlearned = unlearned};
    b->theorem = lti_calloc((size_t)in->n_retrained + 1, sizeof *b->theorem);
    if (!b->theorem)
        return LTI_NOMEM("AMUN's bound");
    for (int i = 0; i < in->n_retrained; i++)
        LT_TRY(measure_oracle(in, &of, &in->retrained[i], &b->theorem[i]));
    if (in->n_retrained == 0)
        LT_TRY(measure_oracle(in, &of, NULL, &b->theorem[0]));
    return lt_lipschitz_bound(base, &b->cfg, in->env, &b->lipschitz);
}

static lt_status name_models(const lt_audit_in *in, lti_bound *b)
{
    b->base = lti_strdup(in->parent->name);
    b->oracle = lti_calloc((size_t)in->n_retrained + 1, sizeof *b->oracle);
    for (int i = 0; b->oracle && i < in->n_retrained; i++, b->n_oracles++)
        if (!(b->oracle[i] = lti_strdup(in->retrained[i].name)))
            return LTI_NOMEM("AMUN's bound");
    return b->base && b->oracle ? LT_OK : LTI_NOMEM("AMUN's bound");
}

static lt_status measure_bound(const lt_audit_in *in, const lt_model *base, lti_bound *b)
{
    const lt_model *unlearned;
    lt_model *owned;
    LT_TRY(lti_subject_model(&in->unlearned, &unlearned, &owned));
    lti_audit_stage(in, "AMUN's bound");
    lt_status status = name_models(in, b);
    if (status == LT_OK)
        status = measure_terms(in, base, unlearned, b);
    lt_model_destroy(owned);
    return status;
}

static lt_status run_amun_bound(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    enum { TOLERANCE_INVERSE = 10000 };
    const lt_model *base = NULL;
    lt_model *owned = NULL;
    (void)cfg;
    if (!in->adv_dir || !in->ds)
        return LT_OK;
    lti_bound *b = lti_calloc(1, sizeof *b);
    if (!b)
        return LTI_NOMEM("AMUN's bound");
    b->cfg = (lt_lipschitz_cfg){.tolerance = 1.0 / TOLERANCE_INVERSE, .seed = in->seed};
    lt_status status = open_samples(in, &b->s);
    if (status == LT_OK && b->s.n > 0)
        status = open_base(in, report, &base, &owned);
    if (status == LT_OK && base)
        status = measure_bound(in, base, b);
    lt_model_destroy(owned);
    if (status == LT_OK && base)
        *data = b;
    else
        lti_bound_destroy(b);
    return status;
}

static const lt_option opts[] = {LT_OPT_END};
const lt_audit_kind lti_audit_amun_bound = {
    .name = "amun-bound",
    .key = "diagnostics",
    .title = "diagnostics of AMUN's bound",
    .cite = "amun",
    .doc = "The terms of the bound on the distance to retraining, for runs that keep their adversarial set. The bound "
           "assumes a convex loss, so this is a diagnostic, not a certificate.",
    .opts = opts,
    .run = run_amun_bound,
    .write = lti_bound_write,
    .clear = lti_bound_destroy,
};
