// ref_backend.h - the backend "ref" for all tests of a program, opened and closed by cmocka.
#ifndef LT_TEST_REF_BACKEND_H
#define LT_TEST_REF_BACKEND_H
#include "lethe/plan.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static lt_backend *ref;

static int setup(void **state)
{
    (void)state;
    return lt_backend_create("ref", 1, &ref) == LT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lt_backend_destroy(ref);
    return 0;
}
#endif
