// both.h - functions that a C compiler and nvcc both compile, so that host and device run the same lines.
//
// What stands behind LTI_BOTH is written in the part of C that is also C++: no designated initialisers, no compound
// literals, explicit conversions.
#ifndef LTI_BOTH_H
#define LTI_BOTH_H
#ifdef __CUDACC__
#define LTI_BOTH static __host__ __device__ __forceinline__
#else
#define LTI_BOTH static inline
#endif
#endif
