// engine_impl.h - what the files of the engine share.
#ifndef LTI_ENGINE_IMPL_H
#define LTI_ENGINE_IMPL_H
#include "attack/attack_batch.h"

enum {
    LTI_SLOT_FLOATS = 5 + LTI_SLOT_WORK, // x, clean image, lo, hi, best, work; of n pixels each
    LTI_RESIDENT_FLOATS = 2,             // x, clean image
};
#define NOISE_SEED 0x6e6f697365u

typedef struct engine {
    const lti_engine_job *job;
    lti_attack_model *model;
    int64_t n_slots, n_active, n_taken, n_todo, n; // n: pixels
    int64_t n_forward;
    int kind;       // of plans
    bool resident;  // images stay where the plan reads them
    lti_slot *slot; // (n_slots) the first n_active are in use
    float *pixels;  // (n_slots, LTI_SLOT_FLOATS or LTI_RESIDENT_FLOATS, n)
    char *state;    // (n_slots, state_bytes)
    lti_next *next; // (n_slots)
    // of the rows that run together, (n_slots,...)
    lti_query *query;
    float *z, *dz, *dx, *draw_z, *draw_dx;
    int32_t *pred, *votes;
    lti_attack_batch batch; // resident
    bool *done;             // (n_slots) resident
    double emit_s, start_s, save_s;
} engine;

// ---- engine_resident.c: the rows of job->grad
lt_status lti_resident_init(engine *e);
void lti_resident_clear(engine *e);
lt_status lti_resident_step(engine *e, int64_t *rows); // the first slots, as many as fill a plan
lt_status lti_resident_retire(engine *e, int64_t n);   // of the first n slots, before they are closed up
lt_status lti_resident_write_back(engine *e);
#endif
