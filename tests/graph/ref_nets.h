// ref_nets.h - the small network of nets.h on the backend "ref".
#ifndef LT_TEST_REF_NETS_H
#define LT_TEST_REF_NETS_H
#include "graph/nets.h"
#include "backend_fixture.h"

static lt_backend *ref;
BACKEND_FIXTURE(ref, "ref")

static inline void run(op_run *r)
{
    if (lt_plan_run(r->plan) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
}

static inline void open_net(const small_net *n, const lt_plan_spec *spec, op_run *r)
{
    if (op_run_open(n->g, spec, ref, r) != LT_OK)
        fail_msg("%s: %s", lt_error_get()->message, lt_error_get()->hint);
    net_fill(n, r, spec->batch);
}
#endif
