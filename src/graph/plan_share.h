// plan_share.h - several plans in one piece of memory.
#ifndef LT_PLAN_SHARE_H
#define LT_PLAN_SHARE_H
#include "lethe/plan.h"

// As lt_plan_create, with activations and scratch in the memory of `donor` where they fit; the memory lives as long as
// one of its plans. Such plans must never run at the same time, and each run overwrites the buffers of the others,
// inputs included: write inputs before, read outputs after every run. donor NULL, or on a device: memory of its own.
lt_status lti_plan_create_sharing(const lt_graph *g, const lt_plan_spec *spec, lt_backend *backend,
                                  const lt_plan *donor, lt_plan **plan);
bool lti_plan_shares(const lt_plan *plan); // its memory has been that of another plan
#endif
