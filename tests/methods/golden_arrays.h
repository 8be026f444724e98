// golden_arrays.h - arrays of a golden file, and doubles that must be near those in it.
#ifndef LT_GOLDEN_ARRAYS_H
#define LT_GOLDEN_ARRAYS_H
#include "lt_test.h"
#include "lethe/tensorfile.h"
#include <math.h>

static inline const void *golden_array(const lt_tensor_file *file, const char *name, int64_t n)
{
    const lt_tensor *t = lt_tensor_file_find(file, name);
    assert_non_null(t);
    int64_t count = 1;
    for (int d = 0; d < t->n_dims; d++)
        count *= t->dim[d];
    assert_int_equal(count, n);
    return t->data;
}

static inline void assert_all_close(const double *a, const double *b, int64_t n, double eps)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= eps * (1 + fabs(b[i]))))
            fail_msg("element %d: %.17g, expected %.17g", (int)i, a[i], b[i]);
}
#endif
