// area_far.c - a learning-rate area far from the default of the method.
#include "audit/lint/lint_impl.h"
#include <math.h>

#define FACTOR 10.0

static lt_status check_area_far(const lt_lint_in *in, lt_lint_out *out)
{
    if (!in->effect || !(in->effect->lr_area_default > 0) || !isfinite(in->effect->lr_area))
        return LT_OK;
    const double ratio = in->effect->lr_area / in->effect->lr_area_default;
    if (ratio >= 1 / FACTOR && ratio <= FACTOR)
        return LT_OK;
    return lt_lint_say(out,
                       "the learning-rate area is %.3g, %s of the method's default of %.3g: the figures are not "
                       "those of the method with the area it was tuned to",
                       in->effect->lr_area, ratio < 1 ? "less than a tenth" : "more than ten times that",
                       in->effect->lr_area_default);
}

const lt_lint_check lti_lint_area_far = {
    .id = "area-far",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "The learning-rate area is more than ten times away from the default of the method.",
    .run = check_area_far,
};
