// conformance.h - the numbers of an op case and of a whole network on some backend, and how far they are from others.
// Needs cmocka.
#ifndef LT_CONFORMANCE_H
#define LT_CONFORMANCE_H
#include "graph/nets.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

typedef struct numbers {
    double *v;
    int64_t n;
} numbers;

static inline void append(numbers *to, lt_dtype dtype, const void *data, int64_t n)
{
    to->v = realloc(to->v, (size_t)(to->n + n) * sizeof *to->v);
    op_fetch(dtype, data, to->v + to->n, n);
    to->n += n;
}

// Largest difference relative to the largest expected number.
static inline double distance(const numbers *a, const numbers *expected)
{
    double worst = 0, scale = 1e-3;
    assert_int_equal(a->n, expected->n);
    for (int64_t i = 0; i < a->n; i++) {
        double d = fabs(a->v[i] - expected->v[i]);
        worst = d > worst || isnan(d) ? d : worst;
        scale = fmax(scale, fabs(expected->v[i]));
    }
    return worst / scale;
}

static inline numbers case_numbers(const op_case *c, int out, lt_backend *backend, lt_dtype dtype, bool train)
{
    lt_plan_spec spec = {.outs = c->out,
                         .n_outs = c->n_out,
                         .grad_of = LT_NONE,
                         .batch = 1,
                         .train = train,
                         .dtype = dtype,
                         .flags = LT_PLAN_NO_TUNE};
    op_run r;
    numbers res = {0};
    if (op_run_open(c->g, &spec, backend, &r) != LT_OK)
        fail_msg("%s: %s", c->text, lt_error_get()->message);
    op_case_load(c, &r);
    if (lt_plan_run(r.plan) != LT_OK)
        fail_msg("%s: %s", c->text, lt_error_get()->message);
    if (out < c->n_out) {
        const lti_value *v = &c->g->value[c->out[out]];
        append(&res, lti_is_real(v->dtype) ? dtype : v->dtype, lt_plan_buffer(r.plan, c->out[out]),
               lti_shape_count(&v->shape));
    } else {
        append(&res, dtype, r.state, lt_graph_n_state(c->g));
    }
    op_run_close(&r);
    return res;
}

enum { N_PARTS = 6 };

// Parts of the result: loss, logits, dx, d block, running statistics, parameter gradients.
static inline void net_numbers(const small_net *n, lt_backend *backend, lt_dtype dtype, bool train, unsigned flags,
                               numbers *part)
{
    const lt_val outs[] = {n->loss, n->logits}, wrt[] = {n->x, n->block};
    lt_plan_spec spec = {.outs = outs,
                         .n_outs = 2,
                         .grad_of = n->loss,
                         .seed = LT_NONE,
                         .wrt = wrt,
                         .n_wrt = 2,
                         .wrt_params = train,
                         .batch = 5,
                         .train = train,
                         .dtype = dtype,
                         .flags = flags,
                         .keep_bytes = 1}; // or nothing so small would be rematerialized
    op_run r;
    if (op_run_open(n->g, &spec, backend, &r) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
    net_fill(n, &r, 5);
    for (int i = 0; i < 2; i++)
        assert_int_equal(lt_plan_run(r.plan), LT_OK);
    append(&part[0], dtype, lt_plan_buffer(r.plan, n->loss), 1);
    append(&part[1], dtype, lt_plan_buffer(r.plan, n->logits), 25);
    append(&part[2], dtype, lt_plan_grad(r.plan, 0), 5 * 3 * 64);
    append(&part[3], dtype, lt_plan_grad(r.plan, 1), 5 * 8 * 16);
    append(&part[4], dtype, r.state, lt_graph_n_state(n->g));
    if (train)
        append(&part[5], dtype, r.grads, lt_graph_n_params(n->g));
    op_run_close(&r);
}
#endif
