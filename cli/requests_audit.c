// requests_audit.c - figures of `lethe unlearn --requests`: one model asked about many forget sets.
//
// A stream of K requests is judged on K(K+1)/2 pairs of model and forget set. All of them are cuts of the outputs of K
// models on all samples, so every model is evaluated once, and RMIA scores it once, against the whole population.
#include "requests.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- outputs on every sample

// Where the row of a signals file is in D + D_T; -1 = nowhere, or under another label.
static int64_t place_of(const lt_dataset *ds, const lt_signals *s, int64_t i)
{
    bool test = s->group[i] == LT_GROUP_TEST;
    int64_t row = lt_dataset_row_of_id(ds, test ? LT_TEST : LT_TRAIN, s->id[i]);
    if (row < 0 || ds->split[test ? LT_TEST : LT_TRAIN].y[row] != s->label[i])
        return -1;
    return row + (test ? ds->split[LT_TRAIN].n : 0);
}

static lt_status take_signals(const cli_source *src, const lt_dataset *ds, cli_outputs_of *out, uint8_t *known)
{
    struct stat st;
    lt_signals *s = NULL;
    if (!src->dir || strcmp(cli_text(src->result, "data_digest"), ds->digest) != 0)
        return LT_OK;
    char *path = cli_format("%s/signals.npz", src->dir);
    lt_status status = stat(path, &st) == 0 ? lt_signals_open(path, &s) : LT_OK;
    for (int64_t i = 0; s && s->k == out->k && i < s->n; i++) {
        int64_t at = place_of(ds, s, i);
        if (at < 0)
            continue;
        memcpy(out->logits + at * out->k, s->logits + i * out->k, (size_t)out->k * sizeof *out->logits);
        known[at] = 1;
    }
    lt_signals_destroy(s);
    free(path);
    return status;
}

// Evaluates the rows of a split that are not known. known, logits, label: of that split.
static lt_status evaluate_rest(const cli_source *src, const lt_dataset *ds, lt_split split, const lt_env *env,
                               const uint8_t *known, float *logits)
{
    const int64_t n = ds->split[split].n, k = ds->n_classes;
    lt_index_set rest = {.row = cli_alloc((size_t)n, sizeof *rest.row)};
    float *made = NULL;
    lt_eval_result r;
    lt_status status = LT_OK;
    for (int64_t i = 0; i < n; i++)
        if (!known[i])
            rest.row[rest.n++] = i;
    if (rest.n > 0) {
        lt_view view = lt_view_rows(ds, split, &rest);
        made = cli_alloc((size_t)(rest.n * k), sizeof *made);
        status = lt_evaluate(src->model, &view, env, CLI_EVAL_BATCH, made, NULL, &r);
    }
    for (int64_t i = 0; status == LT_OK && i < rest.n; i++)
        memcpy(logits + rest.row[i] * k, made + i * k, (size_t)k * sizeof *logits);
    free(made);
    free(rest.row);
    return status;
}

lt_status cli_outputs_make(cli_call *call, const cli_source *src, const lt_dataset *ds, cli_outputs_of *out)
{
    const int64_t n_train = ds->split[LT_TRAIN].n, n_test = ds->split[LT_TEST].n, n = n_train + n_test;
    lt_env env;
    *out = (cli_outputs_of){.n_train = n_train, .n_test = n_test, .k = ds->n_classes};
    if (src->model->shape.n_classes != ds->n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: expected a model of %d classes as in the data, found %d", src->name,
                       ds->n_classes, src->model->shape.n_classes);
    LT_TRY(cli_env(call, &env));
    out->logits = cli_alloc((size_t)(n * out->k), sizeof *out->logits);
    out->label = cli_alloc((size_t)n, sizeof *out->label);
    out->id = cli_alloc((size_t)n, sizeof *out->id);
    for (int64_t i = 0; i < n; i++) {
        const lt_split_data *d = &ds->split[i < n_train ? LT_TRAIN : LT_TEST];
        out->label[i] = d->y[i < n_train ? i : i - n_train];
        out->id[i] = d->id[i < n_train ? i : i - n_train];
    }
    uint8_t *known = cli_alloc((size_t)n, 1);
    lt_status status = take_signals(src, ds, out, known);
    if (status == LT_OK)
        status = evaluate_rest(src, ds, LT_TRAIN, &env, known, out->logits);
    if (status == LT_OK)
        status = evaluate_rest(src, ds, LT_TEST, &env, known + n_train, out->logits + n_train * out->k);
    free(known);
    return status;
}

void cli_outputs_clear(cli_outputs_of *out)
{
    free(out->logits);
    free(out->label);
    free(out->id);
    free(out->rmia);
    *out = (cli_outputs_of){0};
}

// ---- RMIA with its default options

lt_status cli_outputs_attack(cli_call *call, cli_outputs_of *out, const lt_references *references)
{
    const int64_t n = out->n_train + out->n_test;
    const lt_mia *mia;
    if (!references)
        return LT_OK;
    LT_TRY(lt_mia_find("rmia", &mia));
    void *cfg = cli_alloc(mia->cfg_size, 1);
    lt_options_defaults(mia->opts, cfg);
    lt_signals all = {.n = n, .k = out->k, .logits = out->logits, .label = out->label, .id = out->id};
    all.group = cli_alloc((size_t)n, sizeof *all.group); // the score does not depend on it: the population is everyone
    for (int64_t i = 0; i < n; i++)
        all.group[i] = i < out->n_train ? LT_GROUP_RETAIN : LT_GROUP_TEST;
    out->rmia = cli_alloc((size_t)n, sizeof *out->rmia);
    const lt_mia_in in = {&all, references, call->seed.seed, cli_threads(call)};
    lt_status status = lt_mia_run(mia, &in, cfg, out->rmia);
    free(all.group);
    free(cfg);
    return status;
}

// ---- one forget set

typedef struct cut { // signals of the rows that count, and their scores
    lt_signals s;
    double *score;
} cut;

static void add_row(const cli_outputs_of *o, int64_t at, lt_group group, cut *c)
{
    lt_signals *s = &c->s;
    memcpy(s->logits + s->n * s->k, o->logits + at * s->k, (size_t)s->k * sizeof *s->logits);
    s->label[s->n] = o->label[at];
    s->id[s->n] = o->id[at];
    s->group[s->n] = (int8_t)group;
    c->score[s->n] = o->rmia ? o->rmia[at] : 0;
    s->n++;
}

static cut make_cut(const cli_outputs_of *o, const lt_index_set *forget, const uint8_t *gone)
{
    const size_t n = (size_t)(o->n_train + o->n_test + forget->n);
    cut c = {.s = {.k = o->k}};
    c.s.logits = cli_alloc(n * (size_t)o->k, sizeof *c.s.logits);
    c.s.label = cli_alloc(n, sizeof *c.s.label);
    c.s.id = cli_alloc(n, sizeof *c.s.id);
    c.s.group = cli_alloc(n, sizeof *c.s.group);
    c.score = cli_alloc(n, sizeof *c.score);
    for (int64_t i = 0; i < o->n_train; i++)
        if (!gone[i])
            add_row(o, i, LT_GROUP_RETAIN, &c);
    for (int64_t i = 0; i < forget->n; i++)
        add_row(o, forget->row[i], LT_GROUP_FORGET, &c);
    for (int64_t i = 0; i < o->n_test; i++)
        add_row(o, o->n_train + i, LT_GROUP_TEST, &c);
    return c;
}

static void clear_cut(cut *c)
{
    free(c->s.logits);
    free(c->s.label);
    free(c->s.id);
    free(c->s.group);
    free(c->score);
}

static json_t *triple_json(const lt_auc_triple *t)
{
    json_t *j = json_object();
    cli_put_real(j, "ft_auc", t->ft);
    cli_put_real(j, "fr_auc", t->fr);
    cli_put_real(j, "rt_auc", t->rt);
    cli_put_real(j, "fr_minus_ft_auc", t->fr - t->ft);
    return j;
}

lt_status cli_outputs_figures(const cli_outputs_of *o, const lt_index_set *forget, const uint8_t *gone, json_t **out)
{
    lt_auc_triple phi;
    lt_mia_metrics rmia;
    const lt_mia *mia;
    cut c = make_cut(o, forget, gone);
    json_t *j = *out = json_object();
    lt_status status = lt_audit_auc(&c.s, LT_FEAT_PHI, &phi);
    if (status == LT_OK && o->rmia)
        status = lt_mia_find("rmia", &mia);
    if (status == LT_OK && o->rmia)
        status = lt_mia_measure(&c.s, mia, c.score, &rmia);
    if (status == LT_OK) {
        cli_put(j, "n", json_integer(forget->n));
        cli_put_real(j, "forget_acc", lt_signals_acc(&c.s, LT_GROUP_FORGET));
        cli_put_real(j, "retain_acc", lt_signals_acc(&c.s, LT_GROUP_RETAIN));
        cli_put_real(j, "test_acc", lt_signals_acc(&c.s, LT_GROUP_TEST));
        cli_put(j, "phi", triple_json(&phi));
        cli_put(j, "rmia", o->rmia ? triple_json(&rmia.auc) : json_null());
    }
    clear_cut(&c);
    return status;
}

lt_status cli_outputs_save(const cli_outputs_of *o, const lt_index_set *forget, const uint8_t *gone, const char *npz)
{
    cut c = make_cut(o, forget, gone);
    lt_status status = lt_signals_save(&c.s, npz);
    clear_cut(&c);
    return status;
}
