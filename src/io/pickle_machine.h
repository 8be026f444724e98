// pickle_machine.h - the stack machine of the unpickler: its values, the operations that its opcodes share.
#ifndef LTI_PICKLE_MACHINE_H
#define LTI_PICKLE_MACHINE_H
#include "io/pickle_impl.h"

typedef struct lti_pickle_machine {
    lti_pickle *p;
    const unsigned char *bytes;
    size_t n, at, opcode_at;
    lti_pickle_value **stack; // NULL entries are marks
    size_t n_stack, stack_room;
    lti_pickle_value **memo;
    size_t n_memo, next_memo; // next_memo: index that MEMOIZE takes
    bool done;
} lti_pickle_machine;

// ---- pickle_stack.c. Memory comes from the budget of the pickle; NULL = refused or none, see lti_pickle_no_memory.
lt_status lti_pickle_fail(const lti_pickle_machine *m, const char *want,
                          const char *found); // LT_E_FORMAT, with the byte
void *lti_pickle_alloc(lti_pickle_machine *m, size_t n);
lt_status lti_pickle_no_memory(void);                             // the status of the last lti_pickle_alloc that failed
lt_status lti_pickle_need(const lti_pickle_machine *m, size_t n); // n bytes are left
lt_status lti_pickle_read_uint(lti_pickle_machine *m, size_t n_bytes, uint64_t *value); // little-endian
lt_status lti_pickle_push(lti_pickle_machine *m, lti_pickle_value *v);                  // NULL = a mark
lt_status lti_pickle_push_new(lti_pickle_machine *m, lti_pickle_value value);
lt_status lti_pickle_pop(lti_pickle_machine *m, lti_pickle_value **v);
// The value on top, which must be of this kind or opaque.
lt_status lti_pickle_top(lti_pickle_machine *m, lti_pickle_kind kind, const char *want, lti_pickle_value **v);
// The values above the last mark; the mark and they leave the stack, item stays valid until the next push.
lt_status lti_pickle_pop_to_mark(lti_pickle_machine *m, lti_pickle_value ***item, size_t *n);
lt_status lti_pickle_append(lti_pickle_machine *m, lti_pickle_value *list, lti_pickle_value *const *item, size_t n);
lt_status lti_pickle_push_list(lti_pickle_machine *m, lti_pickle_kind kind, lti_pickle_value *const *item, size_t n);

// ---- pickle_globals.c: opcodes that name a global, call one, or name a storage
lt_status lti_pickle_run_global(lti_pickle_machine *m);
lt_status lti_pickle_run_stack_global(lti_pickle_machine *m);
lt_status lti_pickle_run_call(lti_pickle_machine *m);
lt_status lti_pickle_run_build(lti_pickle_machine *m);
lt_status lti_pickle_run_persistent_id(lti_pickle_machine *m);
#endif
