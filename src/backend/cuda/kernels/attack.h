// attack.h - the search for adversarial examples between two gradients: which rows are where, row statistics, a step.
#ifndef LTC_ATTACK_H
#define LTC_ATTACK_H
#include "backend/cuda/kernels/tensor.h"
#include "base/arg_max.h"
#include "base/l2_ball.h"

// to (n,D): row i of it is row index[i] of from. Index: element of to. t: from, index (n) i32, to. d: D.
LTI_HOST_DEVICE void ltc_rows(const ltc_args *a, uint32_t i)
{
    const uint32_t d = (uint32_t)a->d[0], r = i / d;
    ltc_floats(a->t[2])[i] = ltc_floats(a->t[0])[(size_t)ltc_ints(a->t[1])[r] * d + i % d];
}

// part (n,8): parts of |a - b|^2 of each row. Index: element of part. t: a (rows,D), b (rows,D) or NULL, part f64,
// moves (n), which give the row, or NULL for rows in order. d: D.
LTI_HOST_DEVICE void ltc_ball_parts(const ltc_args *a, uint32_t i)
{
    const uint32_t r = i / LTI_L2_BALL_PARTS, k = i % LTI_L2_BALL_PARTS;
    const lti_row_step *move = (const lti_row_step *)a->t[3].p;
    const size_t at = (size_t)(move ? (uint32_t)move[r].row : r) * (size_t)a->d[0];
    const float *b = a->t[1].p ? ltc_floats(a->t[1]) + at : NULL;
    ((double *)a->t[2].p)[i] = lti_l2_ball_partial_sum(ltc_floats(a->t[0]) + at, b, a->d[0], (int64_t)k);
}

// Index: row. t: part (n,8) f64 of the gradient, z (n,K), seen (n). d: K.
LTI_HOST_DEVICE void ltc_row_look(const ltc_args *a, uint32_t i)
{
    const int32_t n_k = a->d[0];
    const float *z = ltc_floats(a->t[1]) + (size_t)i * (size_t)n_k;
    lti_row_stats *seen = (lti_row_stats *)a->t[2].p + i;
    const double length = lti_l2_ball_norm((const double *)a->t[0].p + (size_t)i * LTI_L2_BALL_PARTS);
    bool finite = length - length == 0.0;
    for (int32_t k = 0; k < n_k; k++)
        finite = finite && z[k] - z[k] == 0.0f;
    seen->norm = length;
    seen->pred = lti_arg_max(z, n_k);
    seen->finite = finite;
}

// Index: element of the moved rows (n,D). t: images (rows,D), gradients (rows,D), moves (n). d: D.
LTI_HOST_DEVICE void ltc_climb(const ltc_args *a, uint32_t i)
{
    const size_t d = (size_t)a->d[0], j = i % d;
    const lti_row_step *move = (const lti_row_step *)a->t[2].p + i / d;
    float *image = ltc_floats(a->t[0]) + (size_t)move->row * d + j;
    *image = lti_l2_ball_step(*image, move->scale, ltc_floats(a->t[1])[(size_t)move->grad_row * d + j]);
}

// Index: move. t: part (n,8) f64 of the distance, moves (n).
LTI_HOST_DEVICE void ltc_climb_shrink(const ltc_args *a, uint32_t i)
{
    lti_row_step *move = (lti_row_step *)a->t[1].p + i;
    move->shrink = lti_l2_ball_projection_scale(
        lti_l2_ball_norm((const double *)a->t[0].p + (size_t)i * LTI_L2_BALL_PARTS), (double)move->eps);
}

// Index: element of the moved rows (n,D). t: clean images (rows,D), images (rows,D), moves (n). d: D.
LTI_HOST_DEVICE void ltc_climb_back(const ltc_args *a, uint32_t i)
{
    const size_t d = (size_t)a->d[0], j = i % d;
    const lti_row_step *move = (const lti_row_step *)a->t[2].p + i / d;
    const size_t at = (size_t)move->row * d + j;
    ltc_floats(a->t[1])[at] =
        lti_l2_ball_clip_and_project(ltc_floats(a->t[0])[at], ltc_floats(a->t[1])[at], move->shrink);
}
#endif
