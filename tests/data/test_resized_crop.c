// test_resized_crop.c - windows of the random resized crop, and their bilinear scaling.
#include "lt_test.h"

#include "data/data_impl.h"

#include <math.h>
#include <string.h>

enum { H = 24, W = 32 };

static void windows_are_allowed(void **state)
{
    (void)state;
    double area = 0;
    int flips = 0;
    for (int64_t id = 0; id < 4000; id++) {
        const lti_window w = lti_draw_window(1, 2, 0, id, H, W);
        assert_true(w.y >= 0 && w.x >= 0 && w.y + w.h <= H && w.x + w.w <= W);
        const double share = (double)(w.h * w.w) / (H * W), aspect = (double)w.w / w.h;
        assert_true(share > 0.05 && share <= 1 && aspect > 0.65 && aspect < 1.5); // sides are whole pixels
        area += share;
        flips += w.flip;
    }
    assert_true(fabs(area / 4000 - 0.5) < 0.06); // uniform in 0.08 .. 1, large windows that do not fit redrawn
    assert_true(flips > 1850 && flips < 2150);
    const lti_window a = lti_draw_window(1, 2, 0, 7, H, W), b = lti_draw_window(1, 2, 0, 7, H, W),
                     c = lti_draw_window(1, 3, 0, 7, H, W);
    assert_memory_equal(&a, &b, sizeof a); // a function of seed, epoch, tag and sample
    assert_true(memcmp(&a, &c, sizeof a) != 0);
}

static void whole_window_is_the_image(void **state)
{
    (void)state;
    uint8_t x[3 * H * W];
    float out[3 * H * W];
    for (int i = 0; i < 3 * H * W; i++)
        x[i] = (uint8_t)(i * 7);
    lti_resized_crop(x, NULL, 3, H, W, (lti_window){.h = H, .w = W}, out);
    for (int i = 0; i < 3 * H * W; i++)
        assert_true(out[i] == (float)x[i] / 255.0f);
    lti_resized_crop(x, NULL, 3, H, W, (lti_window){.h = H, .w = W, .flip = 1}, out);
    for (int r = 0; r < 3 * H; r++)
        for (int q = 0; q < W; q++)
            assert_true(out[r * W + q] == (float)x[r * W + W - 1 - q] / 255.0f);
}

// A ramp stays a ramp, half as steep in a window of half the size.
static void scaling_is_bilinear(void **state)
{
    (void)state;
    float x[H * W], out[H * W];
    for (int r = 0; r < H; r++)
        for (int q = 0; q < W; q++)
            x[r * W + q] = (float)(r + 2 * q) / 100;
    lti_resized_crop(NULL, x, 1, H, W, (lti_window){.y = 4, .x = 8, .h = H / 2, .w = W / 2}, out);
    for (int r = 2; r < H - 2; r++)
        for (int q = 2; q < W - 2; q++) {
            const double y = 4 + (r + 0.5) / 2 - 0.5, z = 8 + (q + 0.5) / 2 - 0.5;
            assert_true(fabs((double)out[r * W + q] - (y + 2 * z) / 100) < 1e-5);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_allowed),
        cmocka_unit_test(whole_window_is_the_image),
        cmocka_unit_test(scaling_is_bilinear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
