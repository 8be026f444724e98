// evaluate.c - robust accuracy: the clean pass, the attacks in turn on what survives, the check of what was found.
//
// Robust accuracy is the share of all samples that are classified correctly and stay so. Every attack starts from the
// original image. What is stored at the end is evaluated again, and its distance measured from the stored floats.
#include "attack/robust_impl.h"
#include <math.h>
#include <string.h>

// ---- which attacks

static bool is_separator(char c)
{
    return c == '\0' || c == ',';
}

static lt_status check_norm(const lt_attack *a, int32_t norm)
{
    const unsigned without = norm == LT_NORM_L2 ? LTI_ATTACK_NO_L2 : LTI_ATTACK_NO_LINF;
    if (a->ops->flags & without)
        return LT_FAIL(LT_E_USAGE, "attack %s: expected norm %s, found %s", a->name, norm == LT_NORM_L2 ? "linf" : "l2",
                       norm == LT_NORM_L2 ? "l2" : "linf");
    return LT_OK;
}

static lt_status add_part(lti_robust *e, const lt_attack *a, const lti_attack_part *as, const void *cfg)
{
    if (e->n_parts == LT_ATTACK_MAX_PARTS)
        return LT_FAIL(LT_E_USAGE, "attack: expected at most %d attacks in a list", LT_ATTACK_MAX_PARTS);
    LT_TRY(check_norm(a, e->spec.norm));
    lti_robust_part *p = &e->part[e->n_parts++];
    *p = (lti_robust_part){.attack = a, .cfg = cfg};
    p->restarts = as && as->restarts ? as->restarts : e->spec.restarts;
    p->targets = as && as->targets ? as->targets : e->spec.targets;
    p->steps = e->spec.steps && !as ? e->spec.steps : as && as->steps ? as->steps : a->ops->steps;
    if (a->ops->flags & LTI_ATTACK_FIXED_STEPS)
        p->steps = a->ops->steps;
    if (!cfg && a->cfg_size) {
        p->own_cfg = lti_calloc(1, a->cfg_size);
        if (!p->own_cfg)
            return LTI_NOMEM("attack options");
        lt_options_defaults(a->opts, p->own_cfg);
        p->cfg = p->own_cfg;
    }
    return LT_OK;
}

static lt_status add_attack(lti_robust *e, const char *name, lt_attack_cfg_fn cfg, void *ctx)
{
    const lt_attack *a = NULL;
    LT_TRY(lt_attack_find(name, &a));
    if (!a->ops)
        return LT_FAIL(LT_E_USAGE, "attack %s: it makes sets for unlearning and has no radius or norm to evaluate with",
                       name);
    if ((a->ops->flags & LTI_ATTACK_FIXED_STEPS) && e->spec.steps > 0 && e->spec.steps != a->ops->steps)
        lt_warn(e->env->events, "attack.steps", "%s has a number of steps of its own: --steps has no effect", a->name);
    if (!a->ops->parts)
        return add_part(e, a, NULL, cfg ? cfg(a, ctx) : NULL);
    if (e->spec.eot == 1 && a->ops->eot > 1)
        e->spec.eot = a->ops->eot;
    if (e->spec.steps > 0)
        lt_warn(e->env->events, "attack.steps",
                "%s consists of attacks with their own numbers of steps: --steps has no effect", a->name);
    for (const lti_attack_part *p = a->ops->parts; p->name; p++) {
        const lt_attack *b = NULL;
        LT_TRY(lt_attack_find(p->name, &b));
        LT_TRY(add_part(e, b, p, cfg ? cfg(b, ctx) : NULL));
    }
    return LT_OK;
}

// All attacks of a list have a radius, or none has; fab and fab-t follow the others.
static lt_status pick_mode(lti_robust *e)
{
    bool min_norm = e->spec.min_norm;
    for (int i = 0; i < e->n_parts; i++)
        min_norm = min_norm || (e->part[i].attack->ops->flags & LTI_ATTACK_MIN_NORM);
    for (int i = 0; i < e->n_parts; i++)
        if (min_norm && !(e->part[i].attack->ops->flags & (LTI_ATTACK_MIN_NORM | LTI_ATTACK_EITHER)))
            return LT_FAIL(LT_E_USAGE, "attack %s: expected an attack of minimum norm, found one with a radius",
                           e->part[i].attack->name);
    if (min_norm && (e->spec.transfer || e->spec.best_loss))
        return LT_FAIL(LT_E_USAGE, "attack: expected an attack with a radius for %s, found %s",
                       e->spec.transfer ? "transfer" : "best-loss", e->part[0].attack->name);
    if (e->spec.transfer && e->spec.best_loss)
        return LT_FAIL(LT_E_USAGE, "attack: --transfer and --best-loss exclude each other");
    e->mode = min_norm            ? LTI_MODE_MIN_NORM
              : e->spec.transfer  ? LTI_MODE_TRANSFER
              : e->spec.best_loss ? LTI_MODE_BEST_LOSS
                                  : LTI_MODE_BUDGET;
    return LT_OK;
}

// Signs of gradients are the same in any units; other attacks would be others.
static lt_status check_units(const lti_robust *e)
{
    for (int i = 0; e->spec.legacy_normalized && i < e->n_parts; i++)
        if (!(e->part[i].attack->ops->flags & LTI_ATTACK_ANY_UNITS) || e->spec.norm != LT_NORM_LINF)
            return LT_FAIL(LT_E_USAGE,
                           "--legacy-normalized: expected fgsm, bim, pgd or mi-fgsm in linf, found %s in %s",
                           e->part[i].attack->name, e->spec.norm == LT_NORM_LINF ? "linf" : "l2");
    return LT_OK;
}

static lt_status list_parts(lti_robust *e, const char *attacks, lt_attack_cfg_fn cfg, void *ctx)
{
    for (const char *p = attacks; p && *p;) {
        char name[64];
        size_t n = 0;
        while (!is_separator(p[n]))
            n++;
        if (n >= sizeof name)
            return LT_FAIL(LT_E_USAGE, "unknown attack '%.60s'", p);
        memcpy(name, p, n);
        name[n] = '\0';
        LT_TRY(add_attack(e, name, cfg, ctx));
        p += n + (p[n] == ',');
    }
    if (e->n_parts == 0)
        return LT_FAIL(LT_E_USAGE, "attack: expected the name of an attack, found none");
    LT_TRY(check_units(e));
    return pick_mode(e);
}

// ---- samples

static lt_status check_pixels(const float *x, int64_t n, int64_t id)
{
    for (int64_t j = 0; j < n; j++)
        if (!(x[j] >= 0.0f && x[j] <= 1.0f)) {
            LT_FAIL(LT_E_FORMAT, "attack: sample id %lld: expected pixels in 0..1, found %g", (long long)id,
                    (double)x[j]);
            return lt_error_hint("mean and deviation belong into the model (mean=..., std=...), not into the images");
        }
    return LT_OK;
}

static lt_status pick_goal(const lti_robust *e, lti_sample *s)
{
    const int32_t k = e->result->n_classes;
    const char *target = e->spec.target;
    int64_t c = -1;
    s->goal = -1;
    if (!target || !*target)
        return LT_OK;
    if (strcmp(target, "next") == 0) {
        c = s->label + 1;
    } else if (strcmp(target, "random") == 0) {
        lt_rng rng = lt_rng_at(e->spec.seed, LT_STREAM_ATTACK, 1u << 31, (uint64_t)s->id);
        c = s->label + 1 + (int64_t)lt_rng_below(&rng, (uint64_t)(k - 1));
    } else if (strcmp(target, "least-likely") == 0) {
        for (int32_t j = 0; j < k; j++)
            if (j != s->label && (c < 0 || s->clean_z[j] < s->clean_z[c]))
                c = j;
    } else {
        LT_TRY(lti_parse_i64(target, "target", 0, k - 1, &c));
        c += c == s->label; // the next one, for samples of the class itself
    }
    s->goal = (int32_t)(c % k);
    return LT_OK;
}

static lt_status read_samples(lti_robust *e)
{
    lt_robust_result *r = e->result;
    const int64_t n = (int64_t)r->c * r->h * r->w;
    for (int64_t i = 0; i < r->n; i++) {
        r->id[i] = e->view->ds->split[e->view->split].id[lti_view_row(e->view, i)];
        r->label[i] = lti_view_label(e->view, i);
        if (r->label[i] < 0 || r->label[i] >= r->n_classes)
            return LT_FAIL(LT_E_FORMAT, "attack: sample id %lld: expected a label in 0..%d, found %d",
                           (long long)r->id[i], r->n_classes - 1, (int)r->label[i]);
        lti_view_image(e->view, i, r->x + i * n);
        LT_TRY(check_pixels(r->x + i * n, n, r->id[i]));
    }
    memcpy(r->x_adv, r->x, (size_t)(r->n * n) * sizeof *r->x);
    return LT_OK;
}

static int32_t most_votes(const int32_t *votes, int32_t k)
{
    int32_t best = 0;
    for (int32_t j = 1; j < k; j++)
        best = votes[j] > votes[best] ? j : best;
    return best;
}

lt_status lti_robust_logits(lti_robust *e, const float *images, int64_t n, uint32_t fresh, float *z, int32_t *pred)
{
    const int64_t dim = (int64_t)e->result->c * e->result->h * e->result->w;
    const int k = e->result->n_classes, draws = e->spec.eot;
    lti_query *q = lti_calloc((size_t)e->spec.batch, sizeof *q);
    float *one = lti_calloc((size_t)e->spec.batch, (size_t)k * sizeof *one);
    int32_t *votes = lti_calloc((size_t)e->spec.batch, (size_t)k * sizeof *votes);
    lt_status status = q && one && votes ? LT_OK : LTI_NOMEM("attack");
    for (int64_t at = 0, rows = 0; status == LT_OK && at < n; at += rows) {
        rows = lti_attack_model_rows(e->model, n - at < e->spec.batch ? n - at : e->spec.batch);
        memset(z + at * k, 0, (size_t)(rows * k) * sizeof *z);
        memset(votes, 0, (size_t)(rows * k) * sizeof *votes);
        for (int d = 0; d < draws && status == LT_OK; d++) {
            for (int64_t r = 0; r < rows; r++)
                q[r] = (lti_query){images + (at + r) * dim, e->spec.seed, (uint64_t)e->result->id[at + r],
                                   fresh << 16 | (uint32_t)d};
            status = lti_attack_model_forward(e->model, LTI_MODEL_FORWARD, q, rows, one, pred + at);
            for (int64_t j = 0; status == LT_OK && j < rows * k; j++)
                z[at * k + j] = draws == 1 ? one[j] : z[at * k + j] + one[j] / (float)draws;
            for (int64_t r = 0; status == LT_OK && r < rows; r++)
                votes[r * k + pred[at + r]]++;
        }
        for (int64_t r = 0; status == LT_OK && r < rows; r++)
            pred[at + r] = most_votes(votes + r * k, k);
    }
    lti_free(q);
    lti_free(one);
    lti_free(votes);
    return status;
}

bool lti_is_finite_row(const float *z, int k)
{
    for (int j = 0; j < k; j++)
        if (!isfinite(z[j]))
            return false;
    return true;
}

// The clean pass: who is right, and so attacked.
static lt_status clean_pass(lti_robust *e)
{
    lt_robust_result *r = e->result;
    const int64_t n = (int64_t)r->c * r->h * r->w;
    LT_TRY(lti_robust_logits(e, r->x, r->n, 1, e->clean_z, r->clean_pred));
    for (int64_t i = 0; i < r->n; i++) {
        lti_sample *s = &e->sample[i];
        *s = (lti_sample){.x0 = r->x + i * n,
                          .clean_z = e->clean_z + i * r->n_classes,
                          .id = r->id[i],
                          .label = r->label[i],
                          .eps = e->eps,
                          .x_adv = r->x_adv + i * n,
                          .distance = INFINITY,
                          .n_forward = e->spec.eot,
                          .adv_pred = r->clean_pred[i]};
        s->invalid = !lti_is_finite_row(s->clean_z, r->n_classes);
        r->clean_margin[i] =
            s->invalid ? (double)NAN
                       : -lti_loss(LTI_LOSS_MARGIN, &(lti_loss_in){s->clean_z, r->n_classes, s->label, -1}, NULL);
        r->broken_by[i] = -1;
        r->raw_distance[i] = INFINITY;
        LT_TRY(pick_goal(e, s));
        r->goal[i] = s->goal;
        if (!s->invalid && r->clean_pred[i] == r->label[i])
            e->todo[e->n_todo++] = i;
    }
    return LT_OK;
}

// ---- the attacks

static lt_status run_ops(lti_robust *e, const lti_robust_part *part, const struct lti_attack_ops *ops)
{
    const int32_t k = e->result->n_classes;
    const bool restarts = ops->flags & (LTI_ATTACK_RANDOM | LTI_ATTACK_OTHER_STARTS);
    const bool aimed = e->spec.target && *e->spec.target;
    const int32_t ranks = !(ops->flags & LTI_ATTACK_PER_TARGET) || aimed ? 1
                          : part->targets < k                            ? part->targets
                                                                         : k - 1;
    const lti_engine_job job = {.ops = ops,
                                .cfg = part->cfg,
                                .spec = &e->spec,
                                .units = e->units.low ? &e->units : NULL,
                                .mode = e->mode,
                                .steps = ops == &lti_polish_ops ? ops->steps : part->steps,
                                .restarts = restarts ? part->restarts : 1,
                                .n_ranks = ranks,
                                .c = e->result->c,
                                .h = e->result->h,
                                .w = e->result->w,
                                .k = k,
                                .env = e->env,
                                .target = e->target,
                                .todo = e->todo,
                                .n_todo = e->n_todo,
                                .n_all = e->result->n,
                                .sample = e->sample};
    return lti_engine_run(e->model, &job);
}

// What the part found, brought closer to the image: the raw distances are kept.
static lt_status polish_part(lti_robust *e, const lti_robust_part *part)
{
    const int64_t n_todo = e->n_todo;
    int64_t *todo = e->todo, n = 0;
    lt_status status = LT_OK;
    int64_t *found = lti_calloc((size_t)n_todo, sizeof *found);
    if (!found)
        return LTI_NOMEM("attack");
    for (int64_t t = 0; t < n_todo; t++) {
        const lti_sample *s = &e->sample[todo[t]];
        if (s->found && !s->invalid)
            found[n++] = todo[t];
        e->result->raw_distance[todo[t]] = fmin(e->result->raw_distance[todo[t]], s->distance);
    }
    e->todo = found;
    e->n_todo = n;
    status = run_ops(e, part, &lti_polish_ops);
    e->todo = todo;
    e->n_todo = n_todo;
    lti_free(found);
    return status;
}

static lt_status run_part(lti_robust *e, int p)
{
    const lti_robust_part *part = &e->part[p];
    LT_TRY(run_ops(e, part, part->attack->ops));
    return e->mode == LTI_MODE_MIN_NORM && e->spec.polish ? polish_part(e, part) : LT_OK;
}

static void count_passes(const lti_robust *e, int64_t *n_forward, int64_t *n_backward)
{
    *n_forward = *n_backward = 0;
    for (int64_t i = 0; i < e->result->n; i++) {
        *n_forward += e->sample[i].n_forward;
        *n_backward += e->sample[i].n_backward;
    }
}

// Who was broken by part p, and who is left for the next ones.
static void book_part(lti_robust *e, int p, lt_attack_part *out)
{
    lt_robust_result *r = e->result;
    const bool min_norm = e->mode == LTI_MODE_MIN_NORM;
    int64_t left = 0, robust = 0;
    for (int64_t t = 0; t < e->n_todo; t++) {
        const int64_t i = e->todo[t];
        const lti_sample *s = &e->sample[i];
        if (s->found && r->broken_by[i] < 0) {
            r->broken_by[i] = (int16_t)p;
            out->n_broken++;
        }
        robust += !s->found && !s->invalid;
        if ((!s->found || min_norm) && !s->invalid)
            e->todo[left++] = i;
    }
    e->n_todo = left;
    int64_t valid = 0;
    for (int64_t i = 0; i < r->n; i++)
        valid += !e->sample[i].invalid;
    out->robust_acc = valid > 0 ? (double)robust / (double)valid : (double)NAN;
    lt_wilson(robust, valid, out->interval);
}

// What is to come at most; early stops make it less.
static void say_estimate(const lti_robust *e)
{
    double passes = 0;
    for (int p = 0; p < e->n_parts; p++) {
        const lti_robust_part *part = &e->part[p];
        const unsigned flags = part->attack->ops->flags;
        const bool restarts = flags & (LTI_ATTACK_RANDOM | LTI_ATTACK_OTHER_STARTS);
        const double runs = (restarts ? part->restarts : 1) *
                            (flags & LTI_ATTACK_PER_TARGET ? fmin(part->targets, e->result->n_classes - 1) : 1.0);
        passes += runs * part->steps * (flags & LTI_ATTACK_FORWARD_ONLY ? 1 : 2) * e->spec.eot;
    }
    lt_info(e->env->events, "attack.estimate", "attacking %lld of %lld images, each with at most %.0f passes",
            (long long)e->n_todo, (long long)e->result->n, passes);
}

static lt_status run_parts(lti_robust *e)
{
    int64_t f0 = 0, b0 = 0, f1 = 0, b1 = 0;
    for (int p = 0; p < e->n_parts; p++) {
        lt_attack_part *out = &e->result->part[p];
        const double start_s = lti_now_s();
        count_passes(e, &f0, &b0);
        LT_TRY(lti_robust_keep_confirmed(e));
        LT_TRY(run_part(e, p));
        LT_TRY(lti_robust_confirm(e, p));
        count_passes(e, &f1, &b1);
        strncpy(out->name, e->part[p].attack->name, sizeof out->name - 1);
        out->n_forward = f1 - f0;
        out->n_backward = b1 - b0;
        out->wall_s = lti_now_s() - start_s;
        book_part(e, p, out);
        e->result->n_parts = p + 1;
        const lt_field fields[] = {
            {"part", p}, {"robust_acc", out->robust_acc}, {"n_broken", (double)out->n_broken}, {"wall_s", out->wall_s}};
        lt_emit(
            e->env->events,
            &(lt_event){
                .kind = LT_EV_METRIC, .name = "attack.part", .epoch = -1, .step = p, .fields = fields, .n_fields = 4});
    }
    return LT_OK;
}

// ---- what was found, checked

static double margin_of(const float *z, int k, int32_t label)
{
    return lti_loss(LTI_LOSS_MARGIN, &(lti_loss_in){z, k, label, -1}, NULL);
}

static bool is_inside(const lt_robust_result *r, int64_t i, double eps, int64_t n)
{
    const float *x = r->x_adv + i * n;
    for (int64_t j = 0; j < n; j++)
        if (!(x[j] >= 0.0f && x[j] <= 1.0f))
            return false;
    return r->distance[i] <= eps;
}

// Kernels of other batch sizes round differently: only a margin beyond that is a mismatch.
static lt_status check_found(lti_robust *e)
{
    lt_robust_result *r = e->result;
    const int64_t n = (int64_t)r->c * r->h * r->w;
    const int k = r->n_classes;
    float *z = lti_calloc((size_t)r->n, (size_t)k * sizeof *z);
    int32_t *pred = lti_calloc((size_t)r->n, sizeof *pred);
    lt_status status = z && pred ? LT_OK : LTI_NOMEM("attack");
    if (status == LT_OK)
        status = lti_robust_logits(e, r->x_adv, r->n, 2, z, pred);
    for (int64_t i = 0; status == LT_OK && i < r->n; i++) {
        if (r->status[i] != LT_ROBUST_BROKEN)
            continue;
        const bool still = lti_robust_is_fooled(r, i, pred[i]);
        const double size = lti_distance(LT_NORM_LINF, z + i * k, NULL, k);
        if ((!still && margin_of(z + i * k, k, r->label[i]) < -1e-4 * fmax(1, size) && e->target->noise_std <= 0) ||
            !is_inside(r, i, e->mode == LTI_MODE_MIN_NORM || e->units.low ? INFINITY : e->eps, n))
            r->flags |= LT_FLAG_MISMATCH;
    }
    lti_free(z);
    lti_free(pred);
    return status;
}

static void fill_result(lti_robust *e)
{
    lt_robust_result *r = e->result;
    const int64_t n = (int64_t)r->c * r->h * r->w;
    for (int64_t i = 0; i < r->n; i++) {
        const lti_sample *s = &e->sample[i];
        const bool right = r->clean_pred[i] == r->label[i];
        r->status[i] = s->invalid                     ? LT_ROBUST_INVALID
                       : !right                       ? LT_ROBUST_CLEAN_WRONG
                       : s->found                     ? LT_ROBUST_BROKEN
                       : e->mode == LTI_MODE_MIN_NORM ? LT_ROBUST_NOT_FOUND
                                                      : LT_ROBUST_ROBUST;
        r->adv_pred[i] = s->adv_pred;
        r->distance[i] = r->status[i] == LT_ROBUST_NOT_FOUND
                             ? (double)INFINITY
                             : lti_distance((lt_norm)e->spec.norm, r->x_adv + i * n, s->x0, n);
        if (e->mode != LTI_MODE_MIN_NORM || !e->spec.polish || r->status[i] != LT_ROBUST_BROKEN)
            r->raw_distance[i] = r->distance[i];
        r->l2[i] = lti_distance(LT_NORM_L2, r->x_adv + i * n, s->x0, n);
        r->queries_f[i] = s->n_forward;
        r->queries_b[i] = s->n_backward;
    }
}

// Results rounded to bytes towards the clean image, within the box of the sample, and evaluated.
static lt_status evaluate_quantized(lti_robust *e)
{
    lt_robust_result *r = e->result;
    const int64_t n = (int64_t)r->c * r->h * r->w;
    const int k = r->n_classes;
    const double levels = (double)((1 << e->spec.quantize) - 1);
    float *x = lti_calloc((size_t)r->n, (size_t)n * sizeof *x), *z = lti_calloc((size_t)r->n, (size_t)k * sizeof *z);
    int32_t *pred = lti_calloc((size_t)r->n, sizeof *pred);
    lt_status status = x && z && pred ? LT_OK : LTI_NOMEM("attack");
    for (int64_t j = 0; status == LT_OK && j < r->n * n; j++) {
        const double up = (double)r->x_adv[j] * levels, v = r->x_adv[j] > r->x[j] ? floor(up) : ceil(up);
        x[j] = r->x_adv[j] == r->x[j] ? r->x[j] : (float)(v / levels); // untouched pixels stay
        if (r->x_adv[j] > r->x[j] ? x[j] < r->x[j] : x[j] > r->x[j])
            x[j] = r->x[j];
    }
    if (status == LT_OK)
        status = lti_robust_logits(e, x, r->n, 3, z, pred);
    int64_t robust = 0, valid = 0;
    for (int64_t i = 0; status == LT_OK && i < r->n; i++) {
        const bool is_valid = r->status[i] != LT_ROBUST_INVALID && lti_is_finite_row(z + i * k, k);
        valid += is_valid;
        robust += is_valid && r->clean_pred[i] == r->label[i] && !lti_robust_is_fooled(r, i, pred[i]);
    }
    if (status == LT_OK)
        r->quantized_robust_acc = valid > 0 ? (double)robust / (double)valid : (double)NAN;
    lti_free(x);
    lti_free(z);
    lti_free(pred);
    return status;
}

// ---- everything

static lt_status check_view(const lti_robust *e)
{
    const lt_model_shape *m = &e->target->model[0]->shape;
    const lt_dataset *ds = e->view->ds;
    if (e->view->n < 1)
        return LT_FAIL(LT_E_USAGE, "attack: expected at least one sample, found none");
    if (m->c != ds->c || m->h != ds->h || m->w != ds->w)
        return LT_FAIL(LT_E_SHAPE, "attack: the model takes %dx%dx%d images, the data has %dx%dx%d", m->c, m->h, m->w,
                       ds->c, ds->h, ds->w);
    if (m->n_classes < 2)
        return LT_FAIL(LT_E_SHAPE, "attack: expected a model of at least 2 classes, found %d", m->n_classes);
    return LT_OK;
}

static lt_status open_all(lti_robust *e, const char *attacks, lt_attack_cfg_fn cfg, void *ctx)
{
    if (e->target->n_models < 1)
        return LT_FAIL(LT_E_USAGE, "attack: expected at least one model, found none");
    LT_TRY(check_view(e));
    LT_TRY(list_parts(e, attacks, cfg, ctx));
    const bool min_norm = e->mode == LTI_MODE_MIN_NORM;
    e->eps = INFINITY;
    if (!min_norm)
        LT_TRY(lt_attack_parse_eps(e->spec.eps, &e->eps));
    LT_TRY(lti_robust_result_create(e->view->n, &e->target->model[0]->shape, &e->result));
    e->result->norm = e->spec.norm;
    e->result->eot = e->spec.eot;
    e->result->eps = min_norm ? (double)NAN : e->eps;
    e->result->quantized_robust_acc = e->result->mean_robust_acc = NAN;
    e->sample = lti_calloc((size_t)e->view->n, sizeof *e->sample);
    e->clean_z = lti_calloc((size_t)e->view->n, (size_t)e->result->n_classes * sizeof *e->clean_z);
    e->todo = lti_calloc((size_t)e->view->n, sizeof *e->todo);
    if (!e->sample || !e->clean_z || !e->todo)
        return LTI_NOMEM("attack");
    if (e->spec.legacy_normalized)
        LT_TRY(lti_units_create(e->target, &e->units));
    LT_TRY(lti_attack_model_create(e->target, e->env, e->spec.batch, &e->model));
    if (e->spec.parity)
        lti_attack_model_clamp(e->model);
    return LT_OK;
}

static lt_status evaluate_all(lti_robust *e)
{
    const double start_s = lti_now_s();
    LT_TRY(read_samples(e));
    LT_TRY(clean_pass(e));
    LT_TRY(lti_flags_before(e));
    say_estimate(e);
    LT_TRY(run_parts(e));
    fill_result(e);
    LT_TRY(lti_flags_after(e));
    LT_TRY(check_found(e));
    LT_TRY(lti_robust_mean(e));
    if (e->spec.quantize)
        LT_TRY(evaluate_quantized(e));
    e->result->wall_s = lti_now_s() - start_s;
    return lti_robust_summarise(e->result);
}

lt_status lt_robust_evaluate(const lt_attack_target *target, const lt_view *view, const char *attacks,
                             const lt_attack_spec *spec, lt_attack_cfg_fn cfg, void *cfg_ctx, const lt_env *env,
                             lt_robust_result **result)
{
    lti_robust e = {.target = target, .view = view, .spec = *spec, .env = env};
    lt_status status = LT_OK;
    LT_TRY_GOTO(open_all(&e, attacks, cfg, cfg_ctx), done);
    LT_TRY_GOTO(evaluate_all(&e), done);
    *result = e.result;
    e.result = NULL;
done:
    for (int p = 0; p < e.n_parts; p++)
        lti_free(e.part[p].own_cfg);
    lti_units_clear(&e.units);
    lti_attack_model_destroy(e.model);
    lt_robust_result_destroy(e.result);
    lti_free(e.confirmed);
    lti_free(e.confirmed_x);
    lti_free(e.sample);
    lti_free(e.clean_z);
    lti_free(e.todo);
    return status;
}
