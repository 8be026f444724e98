// guard.c - names the tensor that shows a divergence.
//
// A loss that is not finite has passed through every gradient, so parameters and running statistics are checked
// first: when one of them already holds a NaN or an infinity it is the older trace. When all is finite (a spike), the
// largest gradient is the best lead.
#include "train_impl.h"

#include <math.h>

static bool scan(const lt_model *model, lt_role role, const float *slab, const char *kind, lti_nonfinite_report *blame)
{
    for (lt_val v = 0; v < lt_graph_n_values(model->graph); v++) {
        lt_value_info info;
        if (lt_graph_value(model->graph, v, &info) != LT_OK || info.role != role)
            continue;
        int64_t n = 1;
        for (int d = 0; d < info.shape.n_dims; d++)
            n *= info.shape.dim[d];
        for (int64_t i = 0; i < n; i++) {
            const double x = (double)slab[info.slab_offset + i];
            const bool finite = isfinite(x);
            if (!finite || !blame->tensor || fabs(x) > fabs(blame->value))
                *blame = (lti_nonfinite_report){.tensor = info.name, .kind = kind, .value = x, .finite = finite};
            if (!finite)
                return true;
        }
    }
    return false;
}

void lti_find_nonfinite(const lt_model *model, const float *grads, lti_nonfinite_report *blame)
{
    *blame = (lti_nonfinite_report){0};
    if (scan(model, LT_ROLE_PARAM, model->params, "parameter", blame) ||
        scan(model, LT_ROLE_STATE, model->state, "running statistic", blame))
        return;
    *blame = (lti_nonfinite_report){0};
    scan(model, LT_ROLE_PARAM, grads, "gradient", blame);
}
