// until.c - unlearning that ends when forgotten samples look no more like members than held-out ones. [AREA 5]
//
// Early stopping on held-out samples uses them: they cannot tell afterwards how far the run came. So the test split
// is halved, at random by a seed that the result keeps: one half stops, the other one is what every audit of the run
// sees.
#include "run/until.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ENOUGH_AUC 0.5

const lt_opt_value lti_until_values[] = {
    {"epochs", LTI_UNTIL_EPOCHS, "all of its epochs"},
    {"held-out", LTI_UNTIL_HELD_OUT,
     "after the first epoch with which forgotten samples look no more like members than a held-out half of the test "
     "samples; at most its epochs"},
    {NULL, 0, NULL},
};

// A random half of the rows, in ascending order, and the others.
static lt_status draw_halves(int64_t n, uint64_t seed, lt_index_set *stop, lt_index_set *audit)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_AUDIT, 1, 0);
    stop->row = lti_calloc((size_t)n + 1, sizeof *stop->row);
    if (!stop->row)
        return LTI_NOMEM("held-out samples");
    for (int64_t row = 0; row < n; row++) // of the rows that are left, as many as are still missing
        if ((int64_t)lt_rng_below(&rng, (uint64_t)(n - row)) < n / 2 - stop->n)
            stop->row[stop->n++] = row;
    return lt_index_set_complement(n, stop, audit);
}

static lt_status ask(void *ctx, const lt_model *model, int32_t n_epochs, bool *enough);

lt_status lti_until_open(lti_until *u, const lt_dataset *ds, const lt_index_set *forget, uint64_t seed,
                         const lt_env *env)
{
    *u = (lti_until){.ds = ds, .forget = forget, .env = env, .seed = seed};
    u->hook = (lt_unlearn_until){ask, u};
    if (ds->split[LT_TEST].n < 2)
        return LT_FAIL(LT_E_USAGE, "--until held-out: expected at least two test samples, found %lld",
                       (long long)ds->split[LT_TEST].n);
    return draw_halves(ds->split[LT_TEST].n, seed, &u->stop, &u->audit);
}

void lti_until_clear(lti_until *u)
{
    lt_index_set_clear(&u->stop);
    lt_index_set_clear(&u->audit);
}

// phi = z_y - log sum over the other classes of exp z, of every sample of the view.
static lt_status measure_phi(const lti_until *u, const lt_model *model, lt_split split, const lt_index_set *rows,
                             double *phi)
{
    const lt_view view = lt_view_rows(u->ds, split, rows);
    const int k = model->shape.n_classes;
    lt_eval_result ignored;
    lt_signals s = {.n = rows->n, .k = k};
    s.logits = lti_calloc((size_t)rows->n * (size_t)k, sizeof *s.logits);
    s.label = lti_calloc((size_t)rows->n, sizeof *s.label);
    lt_status status = s.logits && s.label ? LT_OK : LTI_NOMEM("outputs");
    if (status == LT_OK)
        status = lt_evaluate(model, &view, u->env, LTI_EVAL_BATCH, s.logits, NULL, &ignored);
    for (int64_t i = 0; status == LT_OK && i < rows->n; i++)
        s.label[i] = u->ds->split[split].y[rows->row[i]];
    if (status == LT_OK)
        lt_signals_feature(&s, LT_FEAT_PHI, -1, phi);
    lti_free(s.logits);
    lti_free(s.label);
    return status;
}

static lt_status ask(void *ctx, const lt_model *model, int32_t n_epochs, bool *enough)
{
    lti_until *u = ctx;
    double *forget = lti_calloc((size_t)u->forget->n, sizeof *forget);
    double *held_out = lti_calloc((size_t)u->stop.n, sizeof *held_out);
    lt_status status = forget && held_out ? LT_OK : LTI_NOMEM("outputs");
    if (status == LT_OK)
        status = measure_phi(u, model, LT_TRAIN, u->forget, forget);
    if (status == LT_OK)
        status = measure_phi(u, model, LT_TEST, &u->stop, held_out);
    if (status == LT_OK) {
        const double auc = lt_auc(forget, u->forget->n, held_out, u->stop.n);
        *enough = auc <= ENOUGH_AUC;
        u->n_epochs = n_epochs;
        u->auc[(n_epochs - 1) % LTI_UNTIL_MAX_EPOCHS] = auc;
        lt_info(u->env->events, "unlearn.until", "after epoch %d: AUC of phi %.1f %%, forgotten against held-out",
                (int)n_epochs, 100 * auc);
    }
    lti_free(forget);
    lti_free(held_out);
    return status;
}

bool lti_until_reached(const lti_until *u)
{
    return u->n_epochs > 0 && u->auc[(u->n_epochs - 1) % LTI_UNTIL_MAX_EPOCHS] <= ENOUGH_AUC;
}

lt_status lti_until_finish(lti_until *u, const lt_model *model, int32_t n_epochs)
{
    bool enough;
    if (u->n_epochs < n_epochs)
        LT_TRY(ask(u, model, n_epochs, &enough));
    if (!lti_until_reached(u))
        lt_warn(u->env->events, "unlearn.until",
                "%d epochs were not enough: forgotten samples still look more like members than held-out ones (AUC of "
                "phi %.1f %%)",
                (int)n_epochs, 100 * u->auc[(n_epochs - 1) % LTI_UNTIL_MAX_EPOCHS]);
    return LT_OK;
}

// ---- the halves of a run

static lt_status save_list(const lti_until *u, const lt_index_set *set, const char *dir, const char *name)
{
    lti_buf b = {0};
    char path[LT_RESULT_PATH_MAX];
    lti_buf_puts(&b, "test_id\n");
    for (int64_t i = 0; i < set->n; i++)
        lti_buf_printf(&b, "%lld\n", (long long)u->ds->split[LT_TEST].id[set->row[i]]);
    char *text = lti_buf_take(&b);
    if (!text)
        return LTI_NOMEM(name);
    lti_format(path, sizeof path, "%s/%s", dir, name);
    const lt_status status = lt_write_file_atomic(path, text, strlen(text));
    free(text);
    return status;
}

void lti_until_write(const lti_until *u, lti_json *j)
{
    lti_json_begin(j, "until", '{');
    lti_json_text(j, "kind", "held-out");
    lti_json_int(j, "n_stop", u->stop.n);
    lti_json_int(j, "n_audit", u->audit.n);
    lti_json_bool(j, "reached", lti_until_reached(u));
    lti_json_begin(j, "phi_auc", '[');
    for (int32_t e = 0; e < u->n_epochs && e < LTI_UNTIL_MAX_EPOCHS; e++)
        lti_json_real(j, NULL, u->auc[e]);
    lti_json_end(j, ']');
    lti_json_end(j, '}');
}

lt_status lti_until_save(const lti_until *u, const char *dir)
{
    LT_TRY(save_list(u, &u->stop, dir, "held-out-stop.csv"));
    return save_list(u, &u->audit, dir, "held-out-audit.csv");
}

lt_status lt_trained_model_held_out(const lt_trained_model *m, const lt_dataset *ds, lt_sample_sets *sets)
{
    lt_index_set stop = {0}, audit = {0};
    if (!isfinite(lt_trained_model_real(m, "held_out_seed")) || sets->test.n > 0)
        return LT_OK;
    sets->held_out_seed = (uint64_t)lti_json_int_at(m->result, "held_out_seed");
    const lt_status status = draw_halves(ds->split[LT_TEST].n, sets->held_out_seed, &stop, &audit);
    lt_index_set_clear(&stop);
    lt_index_set_clear(&sets->test);
    sets->test = audit;
    return status;
}

lt_status lti_signals_keep_test(lt_signals *s, const lt_dataset *ds, const lt_index_set *set)
{
    const lt_split_data *test = &ds->split[LT_TEST];
    if (!set || set->n == 0)
        return LT_OK;
    int64_t n = 0, at = 0, row = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] == LT_GROUP_TEST) { // test samples come in the order of their rows
            while (row < test->n && test->id[row] != s->id[i])
                row++;
            while (at < set->n && set->row[at] < row)
                at++;
            if (at == set->n || set->row[at] != row)
                continue;
        }
        memmove(s->logits + n * s->k, s->logits + i * s->k, (size_t)s->k * sizeof *s->logits);
        s->label[n] = s->label[i];
        s->id[n] = s->id[i];
        s->group[n++] = s->group[i];
    }
    s->n = n;
    return LT_OK;
}
