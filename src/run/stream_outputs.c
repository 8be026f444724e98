// stream_outputs.c - one model asked about many forget sets.
//
// A stream of K requests is judged on K(K+1)/2 pairs of model and forget set. All of them are subsets of the outputs of
// K models on all samples, so every model is evaluated once, and RMIA scores it once, against the whole population.
#include "run/stream_impl.h"
#include <math.h>
#include <string.h>

// ---- outputs on every sample

// Where the row of a signals file is in the training split followed by the test split; -1 = nowhere, or under another
// label.
static int64_t find_row(const lt_dataset *ds, const lt_signals *s, int64_t i)
{
    const bool test = s->group[i] == LT_GROUP_TEST;
    const int64_t row = lt_dataset_row_of_id(ds, test ? LT_TEST : LT_TRAIN, s->id[i]);
    if (row < 0 || ds->split[test ? LT_TEST : LT_TRAIN].y[row] != s->label[i])
        return -1;
    return row + (test ? ds->split[LT_TRAIN].n : 0);
}

static lt_status read_signals(const lt_trained_model *m, const lt_dataset *ds, lti_outputs *out, uint8_t *known)
{
    lt_signals *s = NULL;
    if (!m->dir || strcmp(lt_trained_model_text(m, "data_digest"), ds->digest) != 0)
        return LT_OK;
    char *path = lti_asprintf("%s/signals.npz", m->dir);
    if (!path)
        return LTI_NOMEM("path");
    lt_status status = lti_is_file(path) ? lt_signals_open(path, &s) : LT_OK;
    for (int64_t i = 0; s && s->k == out->k && i < s->n; i++) {
        const int64_t at = find_row(ds, s, i);
        if (at < 0)
            continue;
        memcpy(out->logits + at * out->k, s->logits + i * out->k, (size_t)out->k * sizeof *out->logits);
        known[at] = 1;
    }
    lt_signals_destroy(s);
    lti_free(path);
    return status;
}

// Evaluates the rows of a split that are not known. known, logits: of that split.
static lt_status evaluate_rest(const lt_trained_model *m, const lt_dataset *ds, lt_split split, const lt_env *env,
                               const uint8_t *known, float *logits)
{
    const int64_t n = ds->split[split].n, k = ds->n_classes;
    lt_index_set rest = {.row = lti_calloc((size_t)n + 1, sizeof *rest.row)};
    float *made = NULL;
    lt_eval_result r;
    lt_status status = rest.row ? LT_OK : LTI_NOMEM("outputs");
    for (int64_t i = 0; status == LT_OK && i < n; i++)
        if (!known[i])
            rest.row[rest.n++] = i;
    if (status == LT_OK && rest.n > 0) {
        const lt_view view = lt_view_rows(ds, split, &rest);
        made = lti_calloc((size_t)(rest.n * k), sizeof *made);
        status = made ? lt_evaluate(m->model, &view, env, LTI_EVAL_BATCH, made, NULL, &r) : LTI_NOMEM("outputs");
    }
    for (int64_t i = 0; status == LT_OK && i < rest.n; i++)
        memcpy(logits + rest.row[i] * k, made + i * k, (size_t)k * sizeof *logits);
    lti_free(made);
    lti_free(rest.row);
    return status;
}

lt_status lti_outputs_make(const lt_trained_model *m, const lt_dataset *ds, const lt_env *env, lti_outputs *out)
{
    const int64_t n_train = ds->split[LT_TRAIN].n, n_test = ds->split[LT_TEST].n, n = n_train + n_test;
    *out = (lti_outputs){.n_train = n_train, .n_test = n_test, .k = ds->n_classes};
    if (m->model->shape.n_classes != ds->n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: expected a model of %d classes as in the data, found %d", m->name,
                       ds->n_classes, m->model->shape.n_classes);
    out->logits = lti_calloc((size_t)(n * out->k), sizeof *out->logits);
    out->label = lti_calloc((size_t)n, sizeof *out->label);
    out->id = lti_calloc((size_t)n, sizeof *out->id);
    uint8_t *known = lti_calloc((size_t)n, 1);
    if (!out->logits || !out->label || !out->id || !known) {
        lti_free(known);
        return LTI_NOMEM("outputs");
    }
    for (int64_t i = 0; i < n; i++) {
        const lt_split_data *d = &ds->split[i < n_train ? LT_TRAIN : LT_TEST];
        out->label[i] = d->y[i < n_train ? i : i - n_train];
        out->id[i] = d->id[i < n_train ? i : i - n_train];
    }
    lt_status status = read_signals(m, ds, out, known);
    if (status == LT_OK)
        status = evaluate_rest(m, ds, LT_TRAIN, env, known, out->logits);
    if (status == LT_OK)
        status = evaluate_rest(m, ds, LT_TEST, env, known + n_train, out->logits + n_train * out->k);
    lti_free(known);
    return status;
}

void lti_outputs_clear(lti_outputs *out)
{
    lti_free(out->logits);
    lti_free(out->label);
    lti_free(out->id);
    lti_free(out->rmia);
    *out = (lti_outputs){0};
}

lt_status lti_outputs_attack(lti_outputs *out, const lt_references *references, uint64_t seed, int n_threads)
{
    const int64_t n = out->n_train + out->n_test;
    const lt_mia *mia;
    if (!references)
        return LT_OK;
    LT_TRY(lt_mia_find("rmia", &mia));
    void *cfg = lti_calloc(1, mia->cfg_size + 1);
    lt_signals all = {.n = n, .k = out->k, .logits = out->logits, .label = out->label, .id = out->id};
    all.group = lti_calloc((size_t)n, sizeof *all.group); // the score does not depend on it: the population is everyone
    out->rmia = lti_calloc((size_t)n, sizeof *out->rmia);
    lt_status status = cfg && all.group && out->rmia ? LT_OK : LTI_NOMEM("scores");
    if (status == LT_OK) {
        lt_options_defaults(mia->opts, cfg);
        for (int64_t i = 0; i < n; i++)
            all.group[i] = i < out->n_train ? LT_GROUP_RETAIN : LT_GROUP_TEST;
        const lt_mia_in in = {&all, references, seed, n_threads, NULL};
        status = lt_mia_run(mia, &in, cfg, out->rmia);
    }
    lti_free(all.group);
    lti_free(cfg);
    return status;
}

// ---- one forget set

typedef struct subset { // signals of the rows that count, and their scores
    lt_signals s;
    double *score;
} subset;

static void add_row(const lti_outputs *o, int64_t at, lt_group group, subset *c)
{
    lt_signals *s = &c->s;
    memcpy(s->logits + s->n * s->k, o->logits + at * s->k, (size_t)s->k * sizeof *s->logits);
    s->label[s->n] = o->label[at];
    s->id[s->n] = o->id[at];
    s->group[s->n] = (int8_t)group;
    c->score[s->n] = o->rmia ? o->rmia[at] : 0;
    s->n++;
}

static void clear_subset(subset *c)
{
    lti_free(c->s.logits);
    lti_free(c->s.label);
    lti_free(c->s.id);
    lti_free(c->s.group);
    lti_free(c->score);
}

static lt_status make_subset(const lti_outputs *o, const lt_index_set *forget, const uint8_t *mask, subset *c)
{
    const size_t n = (size_t)(o->n_train + o->n_test + forget->n);
    *c = (subset){.s = {.k = o->k}};
    c->s.logits = lti_calloc(n * (size_t)o->k, sizeof *c->s.logits);
    c->s.label = lti_calloc(n, sizeof *c->s.label);
    c->s.id = lti_calloc(n, sizeof *c->s.id);
    c->s.group = lti_calloc(n, sizeof *c->s.group);
    c->score = lti_calloc(n, sizeof *c->score);
    if (!c->s.logits || !c->s.label || !c->s.id || !c->s.group || !c->score) {
        clear_subset(c);
        return LTI_NOMEM("outputs");
    }
    for (int64_t i = 0; i < o->n_train; i++)
        if (!mask[i])
            add_row(o, i, LT_GROUP_RETAIN, c);
    for (int64_t i = 0; i < forget->n; i++)
        add_row(o, forget->row[i], LT_GROUP_FORGET, c);
    for (int64_t i = 0; i < o->n_test; i++)
        add_row(o, o->n_train + i, LT_GROUP_TEST, c);
    return LT_OK;
}

lt_status lti_outputs_metrics(const lti_outputs *o, const lt_index_set *forget, const uint8_t *mask,
                              lti_request_metrics *out)
{
    lt_mia_metrics rmia;
    const lt_mia *mia;
    subset c;
    LT_TRY(make_subset(o, forget, mask, &c));
    *out = (lti_request_metrics){.n = forget->n, .has_rmia = o->rmia != NULL};
    lt_status status = lt_audit_auc(&c.s, LT_FEAT_PHI, &out->phi);
    if (status == LT_OK && o->rmia)
        status = lt_mia_find("rmia", &mia);
    if (status == LT_OK && o->rmia) {
        status = lt_mia_measure(&c.s, mia, c.score, &rmia);
        out->rmia = rmia.auc;
    }
    out->forget_acc = lt_signals_acc(&c.s, LT_GROUP_FORGET);
    out->retain_acc = lt_signals_acc(&c.s, LT_GROUP_RETAIN);
    out->test_acc = lt_signals_acc(&c.s, LT_GROUP_TEST);
    clear_subset(&c);
    return status;
}

static void write_triple(lti_json *j, const char *key, const lt_auc_triple *t)
{
    lti_json_begin(j, key, '{');
    lti_json_real(j, "ft_auc", t->ft);
    lti_json_real(j, "fr_auc", t->fr);
    lti_json_real(j, "rt_auc", t->rt);
    lti_json_real(j, "fr_minus_ft_auc", t->fr - t->ft);
    lti_json_end(j, '}');
}

void lti_write_request_metrics(lti_json *j, const lti_request_metrics *m)
{
    lti_json_real(j, "forget_acc", m->forget_acc);
    lti_json_real(j, "retain_acc", m->retain_acc);
    lti_json_real(j, "test_acc", m->test_acc);
    write_triple(j, "phi", &m->phi);
    if (m->has_rmia)
        write_triple(j, "rmia", &m->rmia);
    else
        lti_json_null(j, "rmia");
}

lt_status lti_outputs_save(const lti_outputs *o, const lt_index_set *forget, const uint8_t *mask, const char *npz)
{
    subset c;
    LT_TRY(make_subset(o, forget, mask, &c));
    lt_status status = lt_signals_save(&c.s, npz);
    clear_subset(&c);
    return status;
}

lt_status lti_outputs_test_loss(const lti_outputs *o, double *loss)
{
    const int64_t at = o->n_train;
    double sum = 0, *each = lti_calloc((size_t)o->n_test + 1, sizeof *each);
    int8_t *group = lti_calloc((size_t)o->n_test + 1, 1);
    lt_status status = each && group ? LT_OK : LTI_NOMEM("outputs");
    if (status == LT_OK) {
        const lt_signals s = {
            .n = o->n_test, .k = o->k, .logits = o->logits + at * o->k, .label = o->label + at, .group = group};
        lt_signals_feature(&s, LT_FEAT_LOSS, -1, each);
        for (int64_t i = 0; i < o->n_test; i++)
            sum += each[i];
    }
    *loss = status == LT_OK && o->n_test ? sum / (double)o->n_test : (double)NAN;
    lti_free(group);
    lti_free(each);
    return status;
}
