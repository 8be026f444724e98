// golden.h - reading the golden vectors of tests/golden: the generator of inputs, and comparisons.
#ifndef LT_GOLDEN_H
#define LT_GOLDEN_H
#include "lt_test.h"

#include "lethe/model.h"
#include <math.h>
#include <stdlib.h>

// Number i of the sequence `name`: in [0,1), a multiple of 2^-24. The same as `hashed` of make_golden.py.
static inline double golden_u(const char *name, int64_t i)
{
    uint64_t z = 0xCBF29CE484222325u;
    for (const char *p = name; *p; p++)
        z = (z ^ (unsigned char)*p) * 0x100000001B3u;
    z += ((uint64_t)i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) / 16777216.0;
}

// Number i spread over [low, high), rounded to float.
static inline float golden_value(const char *name, int64_t i, double low, double high)
{
    return (float)(low + (high - low) * golden_u(name, i));
}

static inline lt_tensor_file *golden_open(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, LT_TEST_SOURCE_DIR "/tests/golden/%s.safetensors", name);
    lt_tensor_file *file = NULL;
    assert_ok(lt_tensor_file_open(path, &file));
    return file;
}

// Plain arrays of float or double behind one accessor.
typedef struct golden_array {
    const void *data;
    bool is_double;
    int64_t n;
} golden_array;

static inline double golden_at(golden_array a, int64_t i)
{
    return a.is_double ? ((const double *)a.data)[i] : (double)((const float *)a.data)[i];
}

static inline golden_array golden_tensor(const lt_tensor *t)
{
    golden_array a = {t->data, t->dtype == LT_F64, 1};
    for (int i = 0; i < t->n_dims; i++)
        a.n *= t->dim[i];
    return a;
}

// || got - want || must be at most tolerance * (|| want || + scale): relative for the tensor, not for its elements.
// scale is for tensors that ought to be zero (a bias in front of a batch norm has no gradient): a part of their kin.
static inline void golden_compare(const char *what, golden_array got, golden_array want, double tolerance, double scale)
{
    double error = 0, length = 0;
    assert_int_equal(got.n, want.n);
    for (int64_t i = 0; i < want.n; i++) {
        const double w = golden_at(want, i), d = golden_at(got, i) - w;
        error += d * d;
        length += w * w;
    }
    if (sqrt(error) <= tolerance * (sqrt(length) + scale))
        return;
    print_error("%s: relative error %.3g, expected at most %.3g\n", what, sqrt(error) / (sqrt(length) + scale),
                tolerance);
    fail();
}

// The same against a summary: length and projections on random signs.
static inline void golden_compare_summary(const char *what, golden_array got, golden_array want, double tolerance,
                                          double scale)
{
    double length = 0;
    for (int64_t i = 0; i < got.n; i++)
        length += golden_at(got, i) * golden_at(got, i);
    double found[5] = {sqrt(length)};
    assert_int_equal(want.n, 5);
    for (int p = 0; p < 4; p++) {
        char name[16];
        snprintf(name, sizeof name, "sign%d", p);
        for (int64_t i = 0; i < got.n; i++)
            found[p + 1] += golden_u(name, i) < 0.5 ? -golden_at(got, i) : golden_at(got, i);
    }
    for (int i = 0; i < 5; i++) {
        const double error = fabs(found[i] - golden_at(want, i)) / (golden_at(want, 0) + scale);
        if (error <= tolerance)
            continue;
        print_error("%s: %s %d differs by %.3g of the tensor's length, expected at most %.3g\n", what,
                    i ? "projection" : "length", i, error, tolerance);
        fail();
    }
}
#endif
