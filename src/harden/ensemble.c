// ensemble.c - several models as one: a joint graph, one slab, log of the mean softmax on top.
#include "ensemble_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static lt_status check_member(const lt_model *first, const lt_model *m, int i)
{
    const lt_model_shape *a = &first->shape, *b = &m->shape;
    if (a->c != b->c || a->h != b->h || a->w != b->w || a->n_classes != b->n_classes)
        return LT_FAIL(LT_E_SHAPE, "ensemble: member %d takes %dx%dx%d images of %d classes, the first %dx%dx%d of %d",
                       i, b->c, b->h, b->w, b->n_classes, a->c, a->h, a->w, a->n_classes);
    return LT_OK;
}

// log((p_1 + ... + p_M) / M) of the members' softmax, without a clamp.
static lt_val add_head(lt_graph *g, const lt_val *logits, int n)
{
    lt_val sum = lt_log_softmax(g, logits[0]);
    for (int j = 1; j < n; j++)
        sum = LTI_EMIT(g, log_add_exp, NULL, sum, lt_log_softmax(g, logits[j]));
    if (lt_graph_status(g) != LT_OK)
        return LT_NONE;
    return lt_add(g, sum, lti_const(g, g->value[sum].shape, g->value[sum].dtype, -log(n)));
}

static lt_status build_joint(lt_ensemble *e)
{
    lt_model *j = lti_calloc(1, sizeof *j);
    if (!j)
        return LTI_NOMEM("ensemble");
    e->joint = j;
    j->shape = e->member[0]->shape;
    j->spec = lti_asprintf("ensemble of %d: %s, ...", e->n, e->member[0]->spec);
    LT_TRY(lt_graph_create(&j->graph));
    j->x = lt_input(j->graph, "x", LT_F32, LT_SHAPE(LT_BATCH, j->shape.c, j->shape.h, j->shape.w));
    for (int i = 0; i < e->n; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "member-%d.", i);
        const lt_model *m = e->member[i];
        e->param_at[i] = lt_graph_n_params(j->graph);
        e->state_at[i] = lt_graph_n_state(j->graph);
        const lt_graph_join join = {.input = m->x, .output = m->logits, .to = j->x, .prefix = prefix};
        e->logits[i] = lt_graph_append(j->graph, m->graph, &join);
    }
    j->logits = add_head(j->graph, e->logits, e->n);
    LT_TRY(lt_graph_status(j->graph));
    j->n_params = lt_graph_n_params(j->graph);
    j->n_state = lt_graph_n_state(j->graph);
    if (!j->spec)
        return LTI_NOMEM("ensemble");
    LT_TRY(lti_model_alloc(j));
    for (int i = 0; i < e->n; i++) {
        const lt_model *m = e->member[i];
        memcpy(j->params + e->param_at[i], m->params, (size_t)m->n_params * sizeof *j->params);
        if (m->n_state > 0)
            memcpy(j->state + e->state_at[i], m->state, (size_t)m->n_state * sizeof *j->state);
    }
    j->bn_batches = e->member[0]->bn_batches;
    return LT_OK;
}

void lt_ensemble_pull(lt_ensemble *e)
{
    for (int i = 0; i < e->n; i++) {
        lt_model *m = e->member[i];
        memcpy(m->params, e->joint->params + e->param_at[i], (size_t)m->n_params * sizeof *m->params);
        if (m->n_state > 0)
            memcpy(m->state, e->joint->state + e->state_at[i], (size_t)m->n_state * sizeof *m->state);
        m->bn_batches = e->joint->bn_batches;
    }
}

void lt_ensemble_destroy(lt_ensemble *e)
{
    if (!e)
        return;
    for (int i = 0; i < e->n; i++)
        lt_model_destroy(e->member[i]);
    lt_model_destroy(e->joint);
    lti_free(e);
}

static lt_status begin(int n, lt_ensemble **ensemble)
{
    if (n < 2 || n > LT_ENSEMBLE_MAX)
        return LT_FAIL(LT_E_USAGE, "ensemble: expected 2 to %d members, found %d", LT_ENSEMBLE_MAX, n);
    *ensemble = lti_calloc(1, sizeof **ensemble);
    return *ensemble ? LT_OK : LTI_NOMEM("ensemble");
}

static lt_status finish(lt_ensemble *e, lt_status status, lt_ensemble **ensemble)
{
    for (int i = 1; i < e->n && status == LT_OK; i++)
        status = check_member(e->member[0], e->member[i], i);
    if (status == LT_OK)
        status = build_joint(e);
    if (status == LT_OK) {
        *ensemble = e;
        return LT_OK;
    }
    lt_ensemble_destroy(e);
    return lt_error_frame(status, __FILE__, __LINE__, __func__);
}

lt_status lt_ensemble_create(const char *const *specs, int n, lt_model_shape shape, uint64_t seed,
                             lt_ensemble **ensemble)
{
    lt_ensemble *e;
    lt_status status = LT_OK;
    LT_TRY(begin(n, &e));
    for (int i = 0; i < n && status == LT_OK; i++) {
        status = lt_model_create(specs[i], shape, &e->member[i]);
        e->n += status == LT_OK;
        if (status == LT_OK)
            lt_model_init(e->member[i], seed + (uint64_t)i);
    }
    return finish(e, status, ensemble);
}

lt_status lt_ensemble_join(const lt_model *const *member, int n, lt_ensemble **ensemble)
{
    lt_ensemble *e;
    lt_status status = LT_OK;
    LT_TRY(begin(n, &e));
    for (int i = 0; i < n && status == LT_OK; i++) {
        status = lt_model_dup(member[i], &e->member[i]);
        e->n += status == LT_OK;
    }
    return finish(e, status, ensemble);
}

lt_status lt_ensemble_save(const lt_ensemble *e, const char *dir)
{
    for (int i = 0; i < e->n; i++) {
        char *path = lti_asprintf("%s/member-%d.safetensors", dir, i);
        lt_status status = path ? lt_model_save(e->member[i], path) : LTI_NOMEM("ensemble");
        lti_free(path);
        LT_TRY(status);
    }
    return LT_OK;
}

lt_status lt_ensemble_open(const char *dir, lt_ensemble **ensemble)
{
    lt_ensemble *e = lti_calloc(1, sizeof *e);
    lt_status status = e ? LT_OK : LTI_NOMEM("ensemble");
    for (int i = 0; i < LT_ENSEMBLE_MAX && status == LT_OK; i++) {
        char *path = lti_asprintf("%s/member-%d.safetensors", dir, i);
        const bool is_there = path && access(path, R_OK) == 0;
        if (is_there)
            status = lt_model_open(path, NULL, NULL, &e->member[i]);
        e->n += is_there && status == LT_OK;
        lti_free(path);
        if (!is_there)
            break;
    }
    if (status == LT_OK && e->n < 2)
        status =
            LT_FAIL(LT_E_INPUT, "%s: expected the members member-0.safetensors, member-1.safetensors, ..., found %d",
                    dir, e->n);
    return e ? finish(e, status, ensemble) : status;
}
