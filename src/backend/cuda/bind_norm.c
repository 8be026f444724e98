// bind_norm.c - batch norm. Statistics in two or three steps: parts of the rows, parts joined in groups where they are
// many, the rest in order.
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include <stdio.h>

enum { GROUP = 32 }; // parts joined to one

typedef struct rows {                    // x as (m,c), cut into `parts` parts of `per` rows
    int64_t m, c, n, per, parts, joined; // joined: after the middle step; parts when there is none
} rows;

static rows rows_of(const lt_shape *s)
{
    rows r = {.c = s->dim[1], .n = lti_cuda_count(s, 0)};
    r.m = r.n / r.c;
    const int64_t parts = lti_cuda_parts(r.m, r.c);
    r.per = (r.m + parts - 1) / parts;
    r.parts = (r.m + r.per - 1) / r.per;
    r.joined = r.parts > GROUP ? (r.parts + GROUP - 1) / GROUP : r.parts;
    return r;
}

static void put(lti_cuda_call *c, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    const int64_t d[] = {d0, d1, d2, d3};
    for (int i = 0; i < 4; i++)
        c->args.d[i] = (int32_t)d[i];
}

// Offsets of mean and m2 in scratch.
typedef struct moments {
    size_t mean, m2;
} moments;

static moments new_moments(lti_cuda_bind *b, int64_t n)
{
    const size_t mean = lti_cuda_scratch(b, n, sizeof(float));
    return (moments){mean, lti_cuda_scratch(b, n, sizeof(float))};
}

static void use_moments(lti_cuda_call *c, int first, moments at)
{
    lti_cuda_at(c, first, LTI_FROM_SCRATCH, at.mean, false);
    lti_cuda_at(c, first + 1, LTI_FROM_SCRATCH, at.m2, false);
}

// y = relu?(a x + b [+ r]); vectors: gamma, beta, mean, istd as arguments; r: argument or -1
static void add_affine(lti_cuda_bind *b, const rows *r, const int vectors[4], bool eval, int residual)
{
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_affine, (r->n + 3) / 4);
    lti_cuda_arg(b, c, 0, 0);
    for (int i = 0; i < 4; i++)
        lti_cuda_arg(b, c, 1 + i, vectors[i]);
    if (residual >= 0)
        lti_cuda_arg(b, c, 5, residual);
    lti_cuda_arg(b, c, 6, b->in->n_in);
    put(c, r->n, r->c, b->in->attr->relu, eval);
    c->args.f[0] = b->in->attr->eps;
}

// x, gamma, beta, rm, rv, [r] -> y, mean, istd
lt_status lti_cuda_bn_train(lti_cuda_bind *b)
{
    const rows r = rows_of(&b->in->arg[0].shape);
    const int n_in = b->in->n_in;
    lti_cuda_as_image(b, 0);
    lti_cuda_as_image(b, n_in);
    if (n_in == 6)
        lti_cuda_as_image(b, 5);
    moments at = new_moments(b, r.parts * r.c);
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_bn_parts, r.parts * r.c);
    lti_cuda_arg(b, c, 0, 0);
    use_moments(c, 1, at);
    put(c, r.m, r.c, r.per, 0);
    if (r.joined != r.parts) {
        const moments to = new_moments(b, r.joined * r.c);
        c = lti_cuda_add(b, LTC_K_bn_join, r.joined * r.c);
        use_moments(c, 0, at);
        use_moments(c, 2, to);
        put(c, r.m, r.c, r.per, GROUP);
        c->args.d[4] = (int32_t)r.parts;
        at = to;
    }
    c = lti_cuda_add(b, LTC_K_bn_statistics, r.c);
    use_moments(c, 0, at);
    for (int i = 0; i < 2; i++) {
        lti_cuda_arg(b, c, 2 + i, 3 + i);
        lti_cuda_arg(b, c, 4 + i, n_in + 1 + i);
    }
    put(c, r.m, r.c, r.joined != r.parts ? r.per * GROUP : r.per, r.joined);
    c->args.f[0] = b->in->attr->eps;
    c->args.f[1] = b->in->attr->momentum;
    add_affine(b, &r, (const int[]){1, 2, n_in + 1, n_in + 2}, false, n_in == 6 ? 5 : -1);
    snprintf(b->k->impl, sizeof b->k->impl, "cuda bn_train");
    return LT_OK;
}

// bn_apply: x, gamma, beta, mean, istd, [r] -> y; bn_eval: x, gamma, beta, rm, rv -> y
lt_status lti_cuda_bn_affine(lti_cuda_bind *b)
{
    const rows r = rows_of(&b->in->arg[0].shape);
    const bool eval = b->in->op == &lt_op_bn_eval;
    lti_cuda_as_image(b, 0);
    lti_cuda_as_image(b, b->in->n_in);
    if (b->in->n_in == 6)
        lti_cuda_as_image(b, 5);
    add_affine(b, &r, (const int[]){1, 2, 3, 4}, eval, b->in->n_in == 6 ? 5 : -1);
    snprintf(b->k->impl, sizeof b->k->impl, "cuda %s", b->in->op->name);
    return LT_OK;
}

// What both passes of the gradient read: x, dy, y, gamma, beta, mean, istd.
static void use_inputs(lti_cuda_bind *b, lti_cuda_call *c, bool eval)
{
    lti_cuda_arg(b, c, 0, 0);
    lti_cuda_arg(b, c, 1, 1);
    if (eval && b->in->n_in == 6)
        lti_cuda_arg(b, c, 2, 5);
    lti_cuda_arg(b, c, 3, 2);
    if (!eval && b->in->n_in == 6)
        lti_cuda_arg(b, c, 4, 5);
    lti_cuda_arg(b, c, 5, 3);
    lti_cuda_arg(b, c, 6, 4);
    c->args.d[4] = eval;
    c->args.d[5] = !eval && b->in->n_in == 6;
    c->args.f[0] = b->in->attr->eps;
}

// bn_train_dx: x, dy, gamma, mean, istd, [beta]; bn_eval_dx: x, dy, gamma, rm, rv, [y] -> dx, dgamma, dbeta
lt_status lti_cuda_bn_grad(lti_cuda_bind *b)
{
    const rows r = rows_of(&b->in->arg[0].shape);
    const bool eval = b->in->op == &lt_op_bn_eval_dx;
    const int n_in = b->in->n_in;
    lti_cuda_as_image(b, 0);
    lti_cuda_as_image(b, 1);
    if (eval && n_in == 6)
        lti_cuda_as_image(b, 5);
    lti_cuda_as_image(b, n_in);
    size_t at = lti_cuda_scratch(b, r.parts * 2 * r.c, sizeof(float));
    const size_t means = lti_cuda_scratch(b, 2 * r.c, sizeof(float));
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_bn_grad_parts, r.parts * r.c);
    use_inputs(b, c, eval);
    lti_cuda_at(c, 7, LTI_FROM_SCRATCH, at, false);
    put(c, r.m, r.c, r.per, 0);
    if (r.joined != r.parts) {
        c = lti_cuda_add(b, LTC_K_sum_parts, r.joined * 2 * r.c);
        lti_cuda_at(c, 0, LTI_FROM_SCRATCH, at, false);
        at = lti_cuda_scratch(b, r.joined * 2 * r.c, sizeof(float));
        lti_cuda_at(c, 1, LTI_FROM_SCRATCH, at, false);
        put(c, r.parts, 2 * r.c, GROUP, 0);
    }
    c = lti_cuda_add(b, LTC_K_bn_grad_finish, r.c);
    lti_cuda_at(c, 0, LTI_FROM_SCRATCH, at, false);
    lti_cuda_arg(b, c, 1, n_in + 1);
    lti_cuda_arg(b, c, 2, n_in + 2);
    lti_cuda_at(c, 3, LTI_FROM_SCRATCH, means, false);
    put(c, r.m, r.c, r.joined, eval);
    c = lti_cuda_add(b, LTC_K_bn_grad, (r.n + 3) / 4);
    use_inputs(b, c, eval);
    lti_cuda_at(c, 7, LTI_FROM_SCRATCH, means, false);
    lti_cuda_arg(b, c, 8, n_in);
    put(c, r.n, r.c, 0, 0);
    snprintf(b->k->impl, sizeof b->k->impl, "cuda %s", b->in->op->name);
    return LT_OK;
}

// w, gamma, beta, rm, rv, [bias] -> w', b'
lt_status lti_cuda_bn_fold(lti_cuda_bind *b)
{
    const lt_shape *w = &b->in->arg[0].shape;
    lti_cuda_call *c = lti_cuda_add(b, LTC_K_bn_fold, lti_cuda_count(w, 0));
    for (int i = 0; i < b->in->n_in; i++)
        lti_cuda_arg(b, c, i, i);
    lti_cuda_arg(b, c, 6, b->in->n_in);
    lti_cuda_arg(b, c, 7, b->in->n_in + 1);
    c->args.d[0] = (int32_t)lti_cuda_count(w, 1);
    c->args.f[0] = b->in->attr->eps;
    snprintf(b->k->impl, sizeof b->k->impl, "cuda bn_fold");
    return LT_OK;
}
