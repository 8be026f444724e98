// representation_impl.h - what the files of depth share.
#ifndef LT_REPRESENTATION_IMPL_H
#define LT_REPRESENTATION_IMPL_H
#include "base/base.h"
#include "lethe/representation.h"

double lti_dot(const double *a, const double *b, int64_t n);
#endif
