// mat.h - arrays of numbers in MATLAB files of level 5 (mat.c).
#ifndef LT_DATA_MAT_H
#define LT_DATA_MAT_H
#include "base/base.h"
#include <zlib.h>

enum { LTI_MAT_DIMS = 4 };
typedef struct lti_mat { // borrows bytes and label
    const uint8_t *bytes;
    size_t n;
    const char *label;
    bool big_endian;
} lti_mat;
typedef struct lti_mat_array { // a variable whose numbers are still to be read; does not move while it is open
    const lti_mat *mat;
    char name[64];
    int n_dims;
    int64_t dim[LTI_MAT_DIMS], n; // the first dimensions; numbers in all
    bool is_numeric, is_u8;       // real numbers; of class uint8
    const uint8_t *at;            // next byte of the file, when it is not compressed
    size_t left;                  // bytes of the variable
    bool compressed;
    z_stream z;
} lti_mat_array;
typedef lt_status lti_mat_room_fn(void *ctx,
                                  uint8_t **to); // room for the array's numbers, asked for when they are there
typedef lt_status lti_mat_number_fn(void *ctx, int64_t i, double value);
lt_status lti_mat_open(const uint8_t *bytes, size_t n, const char *label, lti_mat *mat);
lt_status lti_mat_find(const lti_mat *mat, const char *name, lti_mat_array *a); // lti_mat_array_clear
// Once, and one of them. Column-major order.
lt_status lti_mat_read_u8(lti_mat_array *a, lti_mat_room_fn *room, void *ctx);
lt_status lti_mat_read_numbers(lti_mat_array *a, lti_mat_number_fn *fn, void *ctx);
void lti_mat_array_clear(lti_mat_array *a);
#endif
