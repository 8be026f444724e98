// eigen.h - eigenvalues and eigenvectors of symmetric matrices, in double and without other libraries.
#ifndef LT_EIGEN_H
#define LT_EIGEN_H
#include "lethe/status.h"
#include <stdint.h>

// a (n,n) symmetric, row-major: on return its rows are orthonormal eigenvectors, w (n) their eigenvalues, largest
// first. Signs of eigenvectors are arbitrary. LT_E_NOMEM; LT_E_FAIL when a value is not finite or the iteration does
// not settle. Costs about 9 n^3 operations.
lt_status lti_eigen_symmetric(double *a, int64_t n, double *w);
#endif
