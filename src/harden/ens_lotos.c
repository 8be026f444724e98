// ens_lotos.c - LOTOS on top of the sum of cross-entropies; the term itself is a penalty of the job, lotos.c.
#include "ensemble_impl.h"

const lti_ensemble_method lti_ensemble_lotos = {
    .name = "lotos", .title = "layer-wise orthogonalisation between members", .lotos = true};
