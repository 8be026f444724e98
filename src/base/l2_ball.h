// l2_ball.h - one step of an attack: along a gradient, back into an L2 ball around the image, then into the pixel box.
// The same arithmetic in the same order of sums on the CPU and in kernels on a device, so that where gradients agree to
// the last bit, images do too.
#ifndef LTI_L2_BALL_H
#define LTI_L2_BALL_H
#include "base/host_device.h"
#include <math.h>
#include <stdint.h>

// A length is summed in this many parts in double, part k over the elements k, k+8, ...: accurate, the same on every
// machine, quick without any licence for a compiler to reorder sums, and work for as many threads of a device.
enum { LTI_L2_BALL_PARTS = 8 };

typedef struct lti_row_stats { // of one row, after a run of its plan
    double norm;               // of its gradient
    int32_t pred, finite;      // largest logit, the first of equals; 0 when a logit or the gradient is not finite
} lti_row_stats;

typedef struct lti_row_step { // one step of one row
    int32_t row, grad_row;    // of the image; of its gradient
    float scale, eps;         // image += scale * gradient, then at most eps away from the clean one
    float shrink;             // made by the device
} lti_row_step;

// Part k of |a - b|^2, b NULL = 0.
LTI_HOST_DEVICE double lti_l2_ball_partial_sum(const float *a, const float *b, int64_t d, int64_t k)
{
    double sum = 0;
    for (int64_t j = k; j < d; j += LTI_L2_BALL_PARTS) {
        const double v = (double)a[j] - (b ? (double)b[j] : 0.0);
        sum += v * v;
    }
    return sum;
}

LTI_HOST_DEVICE double lti_l2_ball_norm(const double *part)
{
    double sum = 0;
    for (int i = 0; i < LTI_L2_BALL_PARTS; i++)
        sum += part[i];
    return sqrt(sum);
}

// |a - b|, b NULL = 0: all parts in one pass.
LTI_HOST_DEVICE double lti_l2_ball_distance(const float *a, const float *b, int64_t d)
{
    double part[LTI_L2_BALL_PARTS] = {0};
    for (int64_t j = 0; j < d; j++) {
        const double v = (double)a[j] - (b ? (double)b[j] : 0.0);
        part[j % LTI_L2_BALL_PARTS] += v * v;
    }
    return lti_l2_ball_norm(part);
}

LTI_HOST_DEVICE float lti_l2_ball_step(float image, float scale, float g)
{
    return image + scale * g;
}

LTI_HOST_DEVICE float lti_l2_ball_projection_scale(double dist, double eps)
{
    return dist > eps ? (float)(eps / dist) : 1.0f;
}

// The box after the ball, so both hold: the clean pixel x is in the box.
LTI_HOST_DEVICE float lti_l2_ball_clip_and_project(float x, float image, float shrink)
{
    const float v = x + shrink * (image - x);
    return v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
}

// A whole step of one row of d values: x the clean image, g the gradient.
static inline void lti_l2_ball_move(const float *x, const float *g, const lti_row_step *move, int64_t d, float *image)
{
    for (int64_t j = 0; j < d; j++)
        image[j] = lti_l2_ball_step(image[j], move->scale, g[j]);
    const float shrink = lti_l2_ball_projection_scale(lti_l2_ball_distance(image, x, d), (double)move->eps);
    for (int64_t j = 0; j < d; j++)
        image[j] = lti_l2_ball_clip_and_project(x[j], image[j], shrink);
}
#endif
