// attack_rows.h - option rows of attacks, for tables that nest an attack's options in their own (`attack.eps0`).
#ifndef LT_ATTACK_ROWS_H
#define LT_ATTACK_ROWS_H
#include "lethe/attack.h"

// F(name) is the path of a field in T. The extra macros let F expand before the row takes the field's name.
#define LTI_ROW_F32(...) LT_F32(__VA_ARGS__)
#define LTI_ROW_I32(...) LT_I32(__VA_ARGS__)
#define LTI_ROW_I64(...) LT_I64(__VA_ARGS__)
#define LTI_ROW_BOOL(...) LT_BOOL(__VA_ARGS__)
#define LTI_ROW_U64(...) LT_U64(__VA_ARGS__)
// clang-format off
#define LTI_ADV_SEARCH_ROWS(T, F) \
    LTI_ROW_F32(T, F(eps0), 0.04, 1e-6, 1e6, "L2, pixels in [0,1]", "first radius"), \
    LTI_ROW_I32(T, F(steps), 50, 1, 100000, "", "gradient steps per radius"), \
    LTI_ROW_F32(T, F(step_ratio), 0.1, 1e-6, 10, "", "step length as a share of the radius"), \
    LTI_ROW_I32(T, F(max_doublings), 11, 0, 60, "", "doublings of the radius before a sample counts as failed"), \
    LTI_ROW_BOOL(T, F(restart_from_clean), 0, "start each radius from the clean image (paper) instead of the last iterate (authors' code)"), \
    LTI_ROW_I64(T, F(batch), 128, 1, 4096, "images", "largest batch of the search")
#define LTI_FGSM_LINE_SEARCH_ROWS(T, F) \
    LTI_ROW_F32(T, F(step), 0.03, 1e-6, 1, "pixels in [0,1]", "length of a step in each pixel"), \
    LTI_ROW_I32(T, F(steps), 10, 1, 100000, "", "steps along one sign before a restart"), \
    LTI_ROW_F32(T, F(noise), 0.02, 0, 1, "pixels in [0,1]", "largest perturbation of the image at a restart"), \
    LTI_ROW_I32(T, F(restarts), 20, 0, 100000, "", "restarts before a sample counts as failed"), \
    LTI_ROW_U64(T, F(seed), 0, "seed of the perturbations"), \
    LTI_ROW_I64(T, F(batch), 128, 1, 4096, "images", "largest batch")
// clang-format on
#endif
