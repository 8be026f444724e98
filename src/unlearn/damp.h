// damp.h - arithmetic of DAMP, apart so that it can be checked against references.
#ifndef LT_DAMP_H
#define LT_DAMP_H
#include "lethe/status.h"
#include <stdbool.h>
#include <stdint.h>

// mean (K,d): mean input of every class at a layer. q (K,d) becomes an orthonormal basis, one row each, of the parts of
// the forgotten classes' means that the means of the classes that stay do not span [DAMP 1, 2]; its rows are counted in
// *n. gone (K): 1 = left out of both; forget (K): 1 = forgotten. LT_E_NOMEM.
lt_status lti_damp_directions(const double *mean, int32_t k, int64_t d, const uint8_t *forget, const uint8_t *gone,
                              double *q, int32_t *n);
// Balanced accuracy, in [0,1], of a linear probe that tells forgotten samples from the others. x (n,d), is_forgotten
// (n). The probe is Fisher's discriminant with the threshold half-way between the projected means, fitted on every
// second sample of each kind and asked about the rest; NAN with fewer than two of either kind. LT_E_NOMEM.
lt_status lti_damp_probe(const float *x, int64_t n, int64_t d, const uint8_t *is_forgotten, double *accuracy);
double lti_damp_strength(double probe_accuracy, int layer, int n_layers); // [DAMP 4]; layer from 0
#endif
