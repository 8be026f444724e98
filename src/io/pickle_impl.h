// pickle_impl.h - a reader of the part of Python's pickle format that holds tensors, and nothing else.
//
// The reader is a stack machine over a bounded list of opcodes (protocols 2 to 5). It calls nothing: the few globals it
// knows build dictionaries, tensors and storages, or stand for values that are of no interest (a random state, the
// arguments of a training script) and stay opaque. Any other opcode or global is refused by name. Values live in an
// arena whose size is bounded; they borrow their text from the bytes that were parsed.
#ifndef LTI_PICKLE_IMPL_H
#define LTI_PICKLE_IMPL_H
#include "io/tensorfile_impl.h"

typedef enum lti_pickle_kind {
    LTI_PICKLE_NONE,
    LTI_PICKLE_BOOL,
    LTI_PICKLE_INT,
    LTI_PICKLE_FLOAT,
    LTI_PICKLE_TEXT, // also bytes
    LTI_PICKLE_LIST, // lists, sets and tuples
    LTI_PICKLE_DICT, // keys and values in turn
    LTI_PICKLE_GLOBAL,
    LTI_PICKLE_STORAGE,
    LTI_PICKLE_TENSOR,
    LTI_PICKLE_OPAQUE, // a value that is known to be of no interest
} lti_pickle_kind;

typedef struct lti_pickle_global lti_pickle_global;

typedef struct lti_pickle_storage { // a flat array of elements, held elsewhere in the file
    const char *key;                // borrowed; key_bytes long, not terminated
    size_t key_bytes;
    const lti_raw_type *type;
    int64_t n_elements;
} lti_pickle_storage;

typedef struct lti_pickle_tensor {
    const lti_pickle_storage *storage;
    int n_dims;
    int64_t offset, dim[LT_FILE_MAX_DIMS], stride[LT_FILE_MAX_DIMS]; // in elements
} lti_pickle_tensor;

typedef struct lti_pickle_value {
    lti_pickle_kind kind;
    union {
        int64_t i;
        double f;
        struct {
            const char *s; // not terminated
            size_t n;
        } text;
        struct {
            struct lti_pickle_value **item;
            size_t n, room;
        } list;
        const lti_pickle_global *global;
        lti_pickle_storage storage;
        lti_pickle_tensor *tensor;
    } as;
} lti_pickle_value;

typedef struct lti_pickle {
    lti_arena arena; // of the values; the caller clears it
    size_t budget;   // bytes that the values may still take
    const char *label;
} lti_pickle;

// Parses one pickle from bytes[0..n). *used: the length of the pickle; bytes may go on after it. LT_E_FORMAT names the
// opcode or global that is not allowed and the byte at which it stands.
lt_status lti_pickle_parse(lti_pickle *p, const unsigned char *bytes, size_t n, size_t *used, lti_pickle_value **value);
// Is v text that equals s?
bool lti_pickle_is_text(const lti_pickle_value *v, const char *s);
// The value of a text key of a dictionary (the last one when it occurs twice), NULL when absent.
const lti_pickle_value *lti_pickle_find(const lti_pickle_value *dict, const char *key);
#endif
