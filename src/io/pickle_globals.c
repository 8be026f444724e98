// pickle_globals.c - the list of globals that a pickle may name, and what each of them may do.
#include "io/pickle_machine.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { GLOBAL_NAME_MAX = 200 };

typedef enum global_role {
    ROLE_DICT,      // builds a dictionary
    ROLE_TENSOR,    // _rebuild_tensor_v2(storage, offset, size, stride, ...)
    ROLE_PARAMETER, // _rebuild_parameter(tensor, ...): the tensor
    ROLE_STORAGE,   // names an element type
    ROLE_FIRST,     // the value is the first argument
    ROLE_OPAQUE,    // a value of no interest, however it is built
} global_role;

struct lti_pickle_global {
    const char *module, *name;
    global_role role;
    const char *element; // ROLE_STORAGE: its type in safetensors' words
};

static const lti_pickle_global globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, NULL},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, NULL},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR, NULL},
    {"torch._utils", "_rebuild_parameter", ROLE_PARAMETER, NULL},
    {"torch._utils", "_rebuild_parameter_with_state", ROLE_PARAMETER, NULL},
    {"torch", "FloatStorage", ROLE_STORAGE, "F32"},
    {"torch", "DoubleStorage", ROLE_STORAGE, "F64"},
    {"torch", "HalfStorage", ROLE_STORAGE, "F16"},
    {"torch", "BFloat16Storage", ROLE_STORAGE, "BF16"},
    {"torch", "LongStorage", ROLE_STORAGE, "I64"},
    {"torch", "IntStorage", ROLE_STORAGE, "I32"},
    {"torch", "ShortStorage", ROLE_STORAGE, "I16"},
    {"torch", "CharStorage", ROLE_STORAGE, "I8"},
    {"torch", "ByteStorage", ROLE_STORAGE, "U8"},
    {"torch", "BoolStorage", ROLE_STORAGE, "BOOL"},
    {"torch.cuda", "FloatStorage", ROLE_STORAGE, "F32"},
    {"torch.cuda", "DoubleStorage", ROLE_STORAGE, "F64"},
    {"torch.cuda", "HalfStorage", ROLE_STORAGE, "F16"},
    {"torch.cuda", "LongStorage", ROLE_STORAGE, "I64"},
    {"torch", "Size", ROLE_FIRST, NULL},
    // What training scripts save besides the weights.
    {"torch", "device", ROLE_OPAQUE, NULL},
    {"torch", "float32", ROLE_OPAQUE, NULL},
    {"torch", "float16", ROLE_OPAQUE, NULL},
    {"torch", "bfloat16", ROLE_OPAQUE, NULL},
    {"torch", "int64", ROLE_OPAQUE, NULL},
    {"argparse", "Namespace", ROLE_OPAQUE, NULL},
    {"collections", "Counter", ROLE_OPAQUE, NULL},
    {"collections", "defaultdict", ROLE_OPAQUE, NULL},
    {"builtins", "dict", ROLE_OPAQUE, NULL},
    {"__builtin__", "dict", ROLE_OPAQUE, NULL},
    {"builtins", "set", ROLE_OPAQUE, NULL},
    {"__builtin__", "set", ROLE_OPAQUE, NULL},
    {"_codecs", "encode", ROLE_OPAQUE, NULL},
    {"numpy", "dtype", ROLE_OPAQUE, NULL},
    {"numpy", "ndarray", ROLE_OPAQUE, NULL},
    {"numpy.core.multiarray", "scalar", ROLE_OPAQUE, NULL},
    {"numpy.core.multiarray", "_reconstruct", ROLE_OPAQUE, NULL},
    {"numpy._core.multiarray", "scalar", ROLE_OPAQUE, NULL},
    {"numpy._core.multiarray", "_reconstruct", ROLE_OPAQUE, NULL},
    {"numpy.dtypes", "Float64DType", ROLE_OPAQUE, NULL},
    {"numpy.dtypes", "Float32DType", ROLE_OPAQUE, NULL},
    {"numpy.dtypes", "Int64DType", ROLE_OPAQUE, NULL},
};

// ---- names

static lt_status refuse_global(const lti_pickle_machine *m, const char *module, size_t module_bytes, const char *name,
                               size_t name_bytes)
{
    char text[GLOBAL_NAME_MAX];
    snprintf(text, sizeof text, "%.*s.%.*s", (int)(module_bytes < 90 ? module_bytes : 90), module,
             (int)(name_bytes < 90 ? name_bytes : 90), name);
    for (char *c = text; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
    LT_FAIL(LT_E_FORMAT, "%s: pickle byte %zu: the global '%s' is not allowed", m->p->label, m->opcode_at, text);
    return lt_error_hint("only tensors are read, nothing is executed; save the state_dict of the model alone: "
                         "torch.save(model.state_dict(), FILE)");
}

static lt_status push_global(lti_pickle_machine *m, const char *module, size_t module_bytes, const char *name,
                             size_t name_bytes)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        const lti_pickle_global *g = &globals[i];
        if (strlen(g->module) == module_bytes && strlen(g->name) == name_bytes &&
            !memcmp(g->module, module, module_bytes) && !memcmp(g->name, name, name_bytes))
            return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_GLOBAL, .as.global = g});
    }
    return refuse_global(m, module, module_bytes, name, name_bytes);
}

static lt_status read_line(lti_pickle_machine *m, const char **text, size_t *n)
{
    const unsigned char *end = memchr(m->bytes + m->at, '\n', m->n - m->at);
    if (!end)
        return lti_pickle_fail(m, "a line", "the end of the data");
    *text = (const char *)m->bytes + m->at;
    *n = (size_t)(end - (m->bytes + m->at));
    m->at += *n + 1;
    return LT_OK;
}

lt_status lti_pickle_run_global(lti_pickle_machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t module_bytes = 0, name_bytes = 0;
    LT_TRY(read_line(m, &module, &module_bytes));
    LT_TRY(read_line(m, &name, &name_bytes));
    return push_global(m, module, module_bytes, name, name_bytes);
}

lt_status lti_pickle_run_stack_global(lti_pickle_machine *m)
{
    lti_pickle_value *name, *module;
    LT_TRY(lti_pickle_pop(m, &name));
    LT_TRY(lti_pickle_pop(m, &module));
    if (name->kind != LTI_PICKLE_TEXT || module->kind != LTI_PICKLE_TEXT)
        return lti_pickle_fail(m, "the names of a module and a global", "other values");
    return push_global(m, module->as.text.s, module->as.text.n, name->as.text.s, name->as.text.n);
}

// ---- calls

static const lti_pickle_value *argument(const lti_pickle_value *args, size_t i, lti_pickle_kind kind)
{
    return i < args->as.list.n && args->as.list.item[i]->kind == kind ? args->as.list.item[i] : NULL;
}

static lt_status read_ints(const lti_pickle_machine *m, const lti_pickle_value *list, int64_t out[LT_FILE_MAX_DIMS],
                           int *n)
{
    if (!list || list->as.list.n > LT_FILE_MAX_DIMS)
        return lti_pickle_fail(m, "a tensor of at most 8 dimensions", "another shape");
    *n = (int)list->as.list.n;
    for (int i = 0; i < *n; i++) {
        const lti_pickle_value *v = list->as.list.item[i];
        if (v->kind != LTI_PICKLE_INT || v->as.i < 0)
            return lti_pickle_fail(m, "sizes and strides of 0 or more", "another value");
        out[i] = v->as.i;
    }
    return LT_OK;
}

// The last element that the tensor reads must lie within its storage.
static lt_status check_extent(const lti_pickle_machine *m, const lti_pickle_tensor *t)
{
    int64_t last = t->offset, reach;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->dim[i] == 0)
            return LT_OK;
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &reach) || __builtin_add_overflow(last, reach, &last))
            return lti_pickle_fail(m, "a tensor within its storage", "an overflow");
    }
    return last < t->storage->n_elements
               ? LT_OK
               : lti_pickle_fail(m, "a tensor within its storage", "one that reaches over it");
}

static lt_status push_tensor(lti_pickle_machine *m, const lti_pickle_value *args)
{
    const lti_pickle_value *storage = argument(args, 0, LTI_PICKLE_STORAGE),
                           *offset = argument(args, 1, LTI_PICKLE_INT);
    int n_strides = 0;
    lti_pickle_tensor *t = lti_pickle_alloc(m, sizeof *t);
    if (!t)
        return lti_pickle_no_memory();
    if (!storage || !offset || offset->as.i < 0)
        return lti_pickle_fail(m, "a storage and an offset", "other arguments of a tensor");
    t->storage = &storage->as.storage;
    t->offset = offset->as.i;
    LT_TRY(read_ints(m, argument(args, 2, LTI_PICKLE_LIST), t->dim, &t->n_dims));
    LT_TRY(read_ints(m, argument(args, 3, LTI_PICKLE_LIST), t->stride, &n_strides));
    if (n_strides != t->n_dims)
        return lti_pickle_fail(m, "as many strides as dimensions", "another number");
    LT_TRY(check_extent(m, t));
    return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_TENSOR, .as.tensor = t});
}

// OrderedDict() or OrderedDict([[key, value], ...])
static lt_status push_dict(lti_pickle_machine *m, const lti_pickle_value *args)
{
    LT_TRY(lti_pickle_push_list(m, LTI_PICKLE_DICT, NULL, 0));
    lti_pickle_value *dict = m->stack[m->n_stack - 1];
    const lti_pickle_value *pairs = argument(args, 0, LTI_PICKLE_LIST);
    if (args->as.list.n && !pairs)
        return lti_pickle_fail(m, "a list of pairs", "another argument of a dictionary");
    for (size_t i = 0; pairs && i < pairs->as.list.n; i++) {
        const lti_pickle_value *pair = pairs->as.list.item[i];
        if (pair->kind != LTI_PICKLE_LIST || pair->as.list.n != 2)
            return lti_pickle_fail(m, "a list of pairs", "another argument of a dictionary");
        LT_TRY(lti_pickle_append(m, dict, pair->as.list.item, 2));
    }
    return LT_OK;
}

lt_status lti_pickle_run_call(lti_pickle_machine *m)
{
    lti_pickle_value *args, *callee;
    LT_TRY(lti_pickle_pop(m, &args));
    LT_TRY(lti_pickle_pop(m, &callee));
    if (callee->kind == LTI_PICKLE_OPAQUE)
        return lti_pickle_push(m, callee);
    if (callee->kind != LTI_PICKLE_GLOBAL || args->kind != LTI_PICKLE_LIST)
        return lti_pickle_fail(m, "a known global and its arguments", "other values");
    switch (callee->as.global->role) {
    case ROLE_DICT:
        return push_dict(m, args);
    case ROLE_TENSOR:
        return push_tensor(m, args);
    case ROLE_PARAMETER:
        if (!argument(args, 0, LTI_PICKLE_TENSOR))
            return lti_pickle_fail(m, "a tensor", "another argument of a parameter");
        return lti_pickle_push(m, args->as.list.item[0]);
    case ROLE_FIRST:
        return args->as.list.n ? lti_pickle_push(m, args->as.list.item[0]) : lti_pickle_fail(m, "an argument", "none");
    case ROLE_OPAQUE:
        return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_OPAQUE});
    case ROLE_STORAGE:
        break;
    }
    return lti_pickle_fail(m, "a global that builds a value", "the name of an element type");
}

// State of an object: kept of nothing. A dictionary's is its _metadata.
lt_status lti_pickle_run_build(lti_pickle_machine *m)
{
    lti_pickle_value *state, *object;
    LT_TRY(lti_pickle_pop(m, &state));
    LT_TRY(lti_pickle_top(m, LTI_PICKLE_DICT, "a dictionary or an opaque value to give its state", &object));
    return LT_OK;
}

// ('storage', type, key, location, number of elements[, view])
lt_status lti_pickle_run_persistent_id(lti_pickle_machine *m)
{
    lti_pickle_value *id;
    LT_TRY(lti_pickle_pop(m, &id));
    if (id->kind != LTI_PICKLE_LIST || id->as.list.n < 5 || !lti_pickle_is_text(id->as.list.item[0], "storage"))
        return lti_pickle_fail(m, "a storage", "another persistent id");
    const lti_pickle_value *type = argument(id, 1, LTI_PICKLE_GLOBAL), *key = argument(id, 2, LTI_PICKLE_TEXT),
                           *count = argument(id, 4, LTI_PICKLE_INT);
    if (!type || type->as.global->role != ROLE_STORAGE || !key || !count || count->as.i < 0)
        return lti_pickle_fail(m, "the type, key and length of a storage", "other values");
    if (id->as.list.n > 5 && id->as.list.item[5]->kind != LTI_PICKLE_NONE)
        return lti_pickle_fail(m, "a whole storage",
                               "a view of a storage, which PyTorch has not written since version 0.4");
    lti_pickle_storage storage = {.key = key->as.text.s,
                                  .key_bytes = key->as.text.n,
                                  .type = lti_raw_by_safetensors(type->as.global->element),
                                  .n_elements = count->as.i};
    return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_STORAGE, .as.storage = storage});
}
