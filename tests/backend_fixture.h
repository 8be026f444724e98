// backend_fixture.h - one backend for all tests of a program, opened and closed by cmocka.
#ifndef LT_TEST_BACKEND_FIXTURE_H
#define LT_TEST_BACKEND_FIXTURE_H
#include "lethe/plan.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

// setup and teardown of a group of tests that use `backend`, an lvalue, as a backend of this spec with one thread.
#define BACKEND_FIXTURE(backend, spec)                                                                                 \
    static int setup(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        return lt_backend_create(spec, 1, &(backend)) == LT_OK ? 0 : -1;                                               \
    }                                                                                                                  \
                                                                                                                       \
    static int teardown(void **state)                                                                                  \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        lt_backend_destroy(backend);                                                                                   \
        return 0;                                                                                                      \
    }
#endif
