// reorder.c - the sizes of the layouts, and plain loops between the two that lie on the host.
#include "graph/plan_impl.h"
#include <string.h>

enum { BLOCK = 16 };

size_t lti_layout_bytes(const lt_shape *shape, lt_dtype dtype, lt_layout layout)
{
    int64_t n = lti_shape_count(shape);
    if (layout == LT_LAYOUT_BLOCKED16)
        n = n / shape->dim[1] * ((shape->dim[1] + BLOCK - 1) / BLOCK * BLOCK);
    return (size_t)n * (layout == LT_LAYOUT_NHWC_BF16 ? 2 : lti_dtype_size(dtype));
}

// One element of elem bytes; the constant sizes let the compiler make a plain load and store of it.
static void copy_one(char *dst, const char *src, size_t elem)
{
    if (elem == 4)
        memcpy(dst, src, 4);
    else
        memcpy(dst, src, 8);
}

void lti_reorder(const lt_shape *shape, size_t elem, lt_layout from, const void *src, lt_layout to, void *dst)
{
    if (from == to && from <= LT_LAYOUT_BLOCKED16) {
        size_t n = (size_t)lti_shape_count(shape);
        if (from == LT_LAYOUT_BLOCKED16)
            n = n / (size_t)shape->dim[1] * (size_t)((shape->dim[1] + BLOCK - 1) / BLOCK * BLOCK);
        memcpy(dst, src, n * elem);
        return;
    }
    if (from > LT_LAYOUT_BLOCKED16 || to > LT_LAYOUT_BLOCKED16)
        LT_BUG("layout %d to %d on the host", (int)from, (int)to);
    const int64_t n_c = shape->dim[1], blocks = (n_c + BLOCK - 1) / BLOCK, plane = shape->dim[2] * shape->dim[3];
    const bool block = to == LT_LAYOUT_BLOCKED16;
    for (int64_t nb = 0; nb < shape->dim[0] * blocks; nb++) {
        const int64_t n = nb / blocks, c0 = nb % blocks * BLOCK;
        for (int64_t i = 0; i < plane; i++)
            for (int64_t c = 0; c < BLOCK; c++) {
                const size_t at = (size_t)((nb * plane + i) * BLOCK + c) * elem;
                const size_t plain = (size_t)((n * n_c + c0 + c) * plane + i) * elem;
                if (c0 + c >= n_c) {
                    if (block)
                        memset((char *)dst + at, 0, elem);
                } else if (block) {
                    copy_one((char *)dst + at, (const char *)src + plain, elem);
                } else {
                    copy_one((char *)dst + plain, (const char *)src + at, elem);
                }
            }
    }
}
