// ens_plain.c - the sum of the members' cross-entropies: alone, and with LOTOS, whose term depends on weights only.
#include "ensemble_impl.h"

const lti_ensemble_method lti_ensemble_plain = {.name = "plain", .title = "every member for itself"};
