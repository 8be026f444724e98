// common.h - what every public header shares: export macro, C++ guard, printf checking.
//
// The rule of all headers, unless they say otherwise: functions on different objects may run concurrently, one thread
// at a time may change an object, and any number may read one that nobody changes. A backend, and what was made with
// it, is used by one thread at a time. Tables and registries are constant.
#ifndef LT_COMMON_H
#define LT_COMMON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define LT_BEGIN extern "C" {
#define LT_END_DECLS }
#else
#define LT_BEGIN
#define LT_END_DECLS
#endif

#define LT_API __attribute__((visibility("default")))
#define LT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LT_MUST_CHECK __attribute__((warn_unused_result))

#define LT_VERSION_MAJOR 0
#define LT_VERSION_MINOR 1
#define LT_VERSION_PATCH 0
#define LT_VERSION "0.1.0"
#endif
