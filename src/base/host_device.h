// host_device.h - functions that a C compiler and nvcc both compile, so that host and device run the same lines.
//
// What stands behind LTI_HOST_DEVICE is written in the part of C that is also C++: no designated initialisers, no
// compound literals, explicit conversions.
#ifndef LTI_HOST_DEVICE_H
#define LTI_HOST_DEVICE_H
#ifdef __CUDACC__
#define LTI_HOST_DEVICE static __host__ __device__ __forceinline__
#else
#define LTI_HOST_DEVICE static inline
#endif
#endif
