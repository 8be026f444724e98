// reduce.h - sums. Rows are cut into parts whose number depends on the shape alone, and parts are summed in order, so a
// result never depends on how a GPU schedules its threads.
#ifndef LTC_REDUCE_H
#define LTC_REDUCE_H
#include "backend/cuda/kernels/tensor.h"

// partial (P,C): sums over the rows of each part of x (M,C). Index: element of partial. t: x, partial. d: M, C, rows of
// a part.
LTI_HOST_DEVICE void ltc_sum_parts(const ltc_args *a, uint32_t i)
{
    const uint32_t n_m = (uint32_t)a->d[0], n_c = (uint32_t)a->d[1], rows = (uint32_t)a->d[2];
    const uint32_t c = i % n_c, first = i / n_c * rows, end = first + rows < n_m ? first + rows : n_m;
    float sum = 0;
    for (uint32_t m = first; m < end; m++)
        sum += ltc_get(a->t[0], m * n_c + c);
    ltc_set(a->t[1], i, sum);
}

// y (C) = sum of partial (P,C). Index: c. t: partial, y. d: P, C.
LTI_HOST_DEVICE void ltc_sum_finish(const ltc_args *a, uint32_t i)
{
    const uint32_t n_p = (uint32_t)a->d[0], n_c = (uint32_t)a->d[1];
    double sum = 0;
    for (uint32_t p = 0; p < n_p; p++)
        sum += (double)ltc_get(a->t[0], p * n_c + i);
    ltc_set(a->t[1], i, (float)sum);
}

// partial (P): part p of <a, b> is every P-th product. Index: p. t: a, b, partial. d: elements, P.
LTI_HOST_DEVICE void ltc_dot_parts(const ltc_args *a, uint32_t i)
{
    const uint32_t n = (uint32_t)a->d[0], step = (uint32_t)a->d[1];
    double sum = 0;
    for (uint32_t j = i; j < n; j += step)
        sum += (double)ltc_get(a->t[0], j) * (double)ltc_get(a->t[1], j);
    ltc_set(a->t[2], i, (float)sum);
}

// s (1) = sum of partial (P). Index: 0. t: partial, s. d: P.
LTI_HOST_DEVICE void ltc_dot_finish(const ltc_args *a, uint32_t i)
{
    double sum = 0;
    for (uint32_t p = 0; p < (uint32_t)a->d[0]; p++)
        sum += (double)ltc_get(a->t[0], p);
    ltc_set(a->t[1], i, (float)sum);
}
#endif
