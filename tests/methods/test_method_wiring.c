// test_method_wiring.c - what a method must do whatever its formula: read the samples it is to forget, and change the
// model it is given rather than replace it. And of selective dampening: which importance is divided by which.
#include "unlearn_test.h"
#include "unlearn/importance.h"
#include <math.h>

// Methods that never look at the samples to forget: what they do is in the retained ones alone.
static bool reads_retain_only(const lt_unlearn_method *m)
{
    static const char *const name[] = {"retrain", "ft", "l1-sparse", "classifier-only", "fisher", "ct"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (!strcmp(m->name, name[i]))
            return true;
    return false;
}

// Two forget sets of one size and the rows that are in neither of them.
typedef struct two_sets {
    lt_index_set forget[2], retain;
} two_sets;

static void sets_init(const lt_unlearn_method *m, two_sets *s)
{
    const bool classes = m->needs & LT_WHOLE_CLASSES;
    const int n = classes ? TOY_PER_CLASS : TOY_FORGET;
    lt_index_set both = {.n = 2 * n, .row = lti_calloc((size_t)(2 * n), sizeof(int64_t))};
    for (int k = 0; k < 2; k++) {
        s->forget[k] = (lt_index_set){.n = n, .row = lti_calloc((size_t)n, sizeof(int64_t))};
        for (int i = 0; i < n; i++)
            s->forget[k].row[i] = classes ? TOY_K * i + k : 2 * i + k;
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            both.row[2 * i + k] = s->forget[k].row[i];
    int64_t rest = 0;
    uint8_t in[TOY_TRAIN] = {0};
    for (int i = 0; i < 2 * n; i++)
        in[both.row[i]] = 1;
    s->retain = (lt_index_set){.row = lti_calloc(TOY_TRAIN, sizeof(int64_t))};
    for (int64_t i = 0; i < TOY_TRAIN; i++)
        if (!in[i])
            s->retain.row[rest++] = i;
    s->retain.n = rest;
    lt_index_set_clear(&both);
}

static void sets_clear(two_sets *s)
{
    lt_index_set_clear(&s->forget[0]);
    lt_index_set_clear(&s->forget[1]);
    lt_index_set_clear(&s->retain);
}

static lt_model *forget_rows(const lt_unlearn_method *m, const lt_index_set *forget, const lt_index_set *retain)
{
    lt_optset *set;
    lt_unlearn_result r;
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    in.forget = forget;
    in.retain = retain;
    void *cfg = config_open(m, strcmp(m->name, "ssd") ? "" : "alpha=0.5", &set);
    assert_ok(lt_unlearn_run(m, &in, cfg, &r));
    lt_unlearn_result_clear(&r);
    lt_optset_destroy(set);
    lti_free(cfg);
    return model;
}

static void methods_read_the_samples_to_forget(void **state)
{
    (void)state;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        two_sets s;
        sets_init(*m, &s);
        lt_model *a = forget_rows(*m, &s.forget[0], &s.retain), *b = forget_rows(*m, &s.forget[1], &s.retain);
        if (same_params(a, b) != reads_retain_only(*m))
            fail_msg("%s: two forget sets give %s parameters", (*m)->name,
                     same_params(a, b) ? "the same" : "different");
        lt_model_destroy(a);
        lt_model_destroy(b);
        sets_clear(&s);
    }
}

// Share of the parameters that moved by less than half of their size: 1 for a model that is left as it is, about a
// fifth where it was replaced by noise of the same spread. One bias of a closed form may move as far as it likes.
static double share_kept(const lt_model *before, const lt_model *after)
{
    int64_t n = 0;
    for (int64_t i = 0; i < before->n_params; i++)
        n += fabsf(after->params[i] - before->params[i]) <= 0.5f * fabsf(before->params[i]);
    return (double)n / (double)before->n_params;
}

// ct moves every weight within its kernel; the oblique projector of mupht-dagger also moves them along directions in
// which the inputs of a layer hardly vary, where the outputs stay.
static bool moves_every_weight(const lt_unlearn_method *m)
{
    return !strcmp(m->name, "ct") || !strcmp(m->name, "mupht-dagger");
}

static void methods_change_the_model_they_are_given(void **state)
{
    (void)state;
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
        two_sets s;
        if ((*m)->needs & LT_FROM_SCRATCH || moves_every_weight(*m))
            continue;
        sets_init(*m, &s);
        lt_model *after = forget_rows(*m, &s.forget[0], &s.retain);
        const double kept = share_kept(world.model, after);
        if (!(kept > 0.5))
            fail_msg("%s: only %.0f %% of the parameters are near what they were", (*m)->name, 100 * kept);
        lt_model_destroy(after);
        sets_clear(&s);
    }
}

// [SSD]: where the importance to the forget set is more than alpha times that to all data, the parameter is multiplied
// with lambda times importance to all over importance to forget.
static void ssd_divides_importance_to_all_by_that_to_forget(void **state)
{
    (void)state;
    enum { BATCH = 16 };
    const double alpha = 0.5, lambda = 0.25;
    const size_t n = (size_t)world.model->n_params;
    lt_unlearn_result r;
    lti_param_grad g = {0};
    lt_model *model = toy_trained(&world), *after = unlearn("ssd", "alpha=0.5,lambda=0.25,batch=16", true, 3, &r);
    float *all = lti_calloc(n, sizeof *all), *forget = lti_calloc(n, sizeof *forget);
    lt_index_set rows = {.n = TOY_TRAIN, .row = lti_calloc(TOY_TRAIN, sizeof(int64_t))};
    memcpy(rows.row, world.retain.row, (size_t)world.retain.n * sizeof *rows.row);
    memcpy(rows.row + world.retain.n, world.forget.row, (size_t)world.forget.n * sizeof *rows.row);
    const lt_view all_view = lt_view_rows(world.ds, LT_TRAIN, &rows),
                  forget_view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    assert_ok(lti_param_grad_init(&g, model, &world.env));
    assert_ok(lti_importance(&g, &all_view, BATCH, 3, all));
    assert_ok(lti_importance(&g, &forget_view, BATCH, 3, forget));
    int n_dampened = 0;
    for (size_t i = 0; i < n; i++) {
        const double f = (double)forget[i], d = (double)all[i], theta = (double)model->params[i];
        const bool dampened = f > alpha * d && lambda * d / f < 1;
        const double expected = dampened ? theta * lambda * d / f : theta;
        n_dampened += dampened;
        if (fabs(expected - (double)after->params[i]) > 1e-5 * (1e-3 + fabs(theta)))
            fail_msg("parameter %zu: expected %g, found %g", i, expected, (double)after->params[i]);
    }
    assert_true(n_dampened > 0 && n_dampened < (int)n);
    lti_param_grad_clear(&g);
    lti_free(all);
    lti_free(forget);
    lt_index_set_clear(&rows);
    lt_unlearn_result_clear(&r);
    lt_model_destroy(model);
    lt_model_destroy(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_read_the_samples_to_forget),
        cmocka_unit_test(methods_change_the_model_they_are_given),
        cmocka_unit_test(ssd_divides_importance_to_all_by_that_to_forget),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
