// kern.h - the inner loops of our own blocked kernels, one table per instruction set.
//
// Every function here is serial, works on one run of memory and knows nothing of tensors: splitting a tensor into runs
// and giving them to threads is done by the blk_*.c files, which are compiled for any machine. "px" counts pixels of 16
// channels (64 bytes) as in nChw16c. Outputs may be the same memory as inputs of the same length, never
// shifted.
#ifndef LT_KERN_H
#define LT_KERN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LTI_LANES = 16 };

struct lti_wino_kern;
typedef struct lti_kern {
    const char *isa;
    const struct lti_wino_kern *wino;
    // ---- 16 channels at a time; mean, sum, coefficients: 16 floats
    void (*sum)(const float *x, int64_t px, float *sum);
    void (*moments)(const float *x, int64_t px, float *mean, float *m2); // m2 = sum of squared distances from the mean
    // In these, stream: what is written goes around the caches, and starts at a whole cache line.
    // y = a * (x - mean) + b [max 0]
    void (*affine)(const float *x, float *y, int64_t px, const float *mean, const float *a, const float *b, bool relu,
                   bool stream);
    // y = a * (x - mean) + b + r [max 0]
    void (*affine_add)(const float *x, const float *r, float *y, int64_t px, const float *mean, const float *a,
                       const float *b, bool relu, bool stream);
    // s1 = sum dy', s2 = sum dy' * (x - mean), where dy' = dy masked by y > 0; y may be NULL = no mask
    void (*bn_sums)(const float *x, const float *dy, const float *y, int64_t px, const float *mean, float *s1,
                    float *s2);
    // dx = a * dy' + b * (x - mean) + d
    void (*bn_dx)(const float *x, const float *dy, const float *y, float *dx, int64_t px, const float *mean,
                  const float *a, const float *b, const float *d, bool stream);
    // The same two where y = ga * (x - mean) + gb is recomputed from x. Bit for bit the y of affine.
    void (*bn_relu_sums)(const float *x, const float *dy, int64_t px, const float *mean, const float *ga,
                         const float *gb, float *s1, float *s2);
    void (*bn_relu_dx)(const float *x, const float *dy, float *dx, int64_t px, const float *mean, const float *ga,
                       const float *gb, const float *a, const float *b, const float *d, bool stream);
    void (*fill)(float *y, int64_t px, const float *value);
    // ---- one (H, W, 16) plane
    void (*avg_pool)(const float *x, float *y, int64_t h, int64_t w, int64_t kernel, int64_t stride);
    void (*avg_pool_dx)(const float *dy, float *dx, int64_t h, int64_t w, int64_t kernel, int64_t stride);
    // index: position h * W + w of the first largest element of each window
    void (*max_pool)(const float *x, float *y, int32_t *index, int64_t h, int64_t w, int64_t kernel, int64_t stride);
    void (*max_pool_dx)(const float *dy, const int32_t *index, float *dx, int64_t px_in, int64_t px_out);
    // ---- n floats, any layout
    void (*relu)(const float *x, float *y, int64_t n);
    void (*relu_dx)(const float *dy, const float *y, float *dx, int64_t n, float alpha); // alpha * dy * (y > 0)
    void (*add)(const float *a, const float *b, float *y, int64_t n, float alpha, bool relu);
    // alpha * (a + b) * (y > 0)
    void (*add_relu_dx)(const float *a, const float *b, const float *y, float *dx, int64_t n, float alpha);
    // n pixels of 16 channels, `step` pixels apart on one side: pick copies them together, put_sum adds them to those
    // of dx where y > 0; where it is not, dx becomes 0.
    void (*gather)(const float *x, int64_t step, float *to, int64_t n);
    void (*scatter_add)(const float *from, const float *y, float *dx, int64_t step, int64_t n);
    void (*scale)(const float *x, float *y, int64_t n, float mul, float sub); // (x - sub) * mul
    // ---- layout of one (16 channels, px) tile set; n_ch <= 16 channels are real, the others zero; stride: floats from
    // one plain channel to the next
    void (*to_plain)(const float *blk, float *plain, int64_t stride, int64_t px, int n_ch);
    void (*to_blocked)(const float *plain, int64_t stride, float *blk, int64_t px, int n_ch);
} lti_kern;

extern const lti_kern lti_kern_generic;
#if defined(__x86_64__) && defined(__GNUC__)
#define LTI_KERN_X86 1
extern const lti_kern lti_kern_avx2, lti_kern_avx512;
#endif
const lti_kern *lti_kern_best(void); // the best one this processor can run
#endif
