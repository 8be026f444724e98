// normalized_units.c - radius and steps in units of the normalised image, as the scripts of FastClip and LOTOS count
// them. [ATT 33]
//
// Their images are normalised before the attack, and the attack clamps to [0,1] what is normalised, last. Seen from the
// pixels: every channel has a radius and a step of its own, std_c times that of the options, and is clamped to
// [mean_c, mean_c + std_c]. A clamp to the ball and then to that box is one clamp between the clamped ends of the ball.
#include "graph/graph_impl.h"
#include "attack/engine.h"
#include <math.h>

static const lt_node *find_normalize(const lt_model *m)
{
    const lt_graph *g = m->graph;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->node[i].op == &lt_op_normalize && g->node[i].in[0] == m->x)
            return &g->node[i];
    return NULL;
}

static bool same_units(const lt_model *a, const lt_model *b)
{
    const lt_node *p = find_normalize(a), *q = find_normalize(b);
    for (int c = 0; p && q && c < a->shape.c; c++)
        if (p->attr.mean[c] != q->attr.mean[c] || p->attr.istd[c] != q->attr.istd[c])
            return false;
    return !p == !q;
}

lt_status lti_units_create(const lt_attack_target *target, lti_units *u)
{
    const lt_model *m = target->model[0];
    const lt_node *normalize = find_normalize(m);
    const int64_t plane = (int64_t)m->shape.h * m->shape.w, n = plane * m->shape.c;
    if (!normalize) {
        LT_FAIL(LT_E_USAGE, "--legacy-normalized: expected a model with a normalisation, %s has none", m->spec);
        return lt_error_hint("--no-legacy-normalized: the same numbers in pixels");
    }
    for (int i = 1; i < target->n_models; i++)
        if (!same_units(m, target->model[i]))
            return LT_FAIL(LT_E_USAGE, "--legacy-normalized: expected one normalisation, model %d has another", i + 1);
    u->low = lti_calloc(2 * (size_t)n, sizeof *u->low);
    if (!u->low)
        return LTI_NOMEM("attack");
    u->width = u->low + n;
    for (int64_t j = 0; j < n; j++) {
        u->low[j] = normalize->attr.mean[j / plane];
        u->width[j] = 1 / normalize->attr.istd[j / plane];
    }
    return LT_OK;
}

void lti_units_clear(lti_units *u)
{
    lti_free(u->low);
    *u = (lti_units){0};
}

static float clamp_unit(const lti_units *u, int64_t j, double v)
{
    const double low = fmax(0, (double)u->low[j]), high = fmin(1, (double)u->low[j] + (double)u->width[j]);
    return (float)(v < low ? low : v > high ? high : v);
}

void lti_units_box(const lti_units *u, const float *x0, double eps, int64_t n, float *lo, float *hi)
{
    for (int64_t j = 0; j < n; j++) {
        lo[j] = clamp_unit(u, j, (double)x0[j] - eps * (double)u->width[j]);
        hi[j] = clamp_unit(u, j, (double)x0[j] + eps * (double)u->width[j]);
    }
}
