// pickle.c - the restricted unpickler: opcodes, the list of globals, and what each of them may do.
#include "io/pickle_impl.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { STACK_MAX = 1 << 20, MEMO_MAX = 1 << 22, GLOBAL_NAME_MAX = 200 };

// ---- globals

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
    // What training scripts save beside the weights.
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

// ---- the machine

typedef struct machine {
    lti_pickle *p;
    const unsigned char *bytes;
    size_t n, at, opcode_at;
    lti_pickle_value **stack; // NULL entries are marks
    size_t n_stack, stack_room;
    lti_pickle_value **memo;
    size_t n_memo;
    bool done;
} machine;

static lt_status fail_at(const machine *m, const char *want, const char *found)
{
    return LT_FAIL(LT_E_FORMAT, "%s: pickle byte %zu: expected %s, found %s", m->p->label, m->opcode_at, want, found);
}

static void *take_memory(machine *m, size_t n)
{
    if (n > m->p->budget) {
        LT_FAIL(LT_E_FORMAT,
                "%s: pickle byte %zu: expected a description no larger than the file, found one that needs "
                "more memory",
                m->p->label, m->opcode_at);
        return NULL;
    }
    m->p->budget -= n;
    void *memory = lti_arena_alloc(&m->p->arena, n);
    if (!memory)
        LTI_NOMEM(m->p->label);
    return memory;
}

static lt_status memory_status(void)
{
    return lt_error_get()->status;
}

static lt_status need_bytes(const machine *m, size_t n)
{
    return n <= m->n - m->at ? LT_OK : fail_at(m, "more bytes", "the end of the data");
}

static lt_status read_uint(machine *m, size_t n_bytes, uint64_t *value)
{
    LT_TRY(need_bytes(m, n_bytes));
    *value = 0;
    memcpy(value, m->bytes + m->at, n_bytes);
    m->at += n_bytes;
    return LT_OK;
}

static lt_status push_value(machine *m, lti_pickle_value *v)
{
    if (m->n_stack == m->stack_room) {
        const size_t room = m->stack_room ? 2 * m->stack_room : 64;
        if (room > STACK_MAX)
            return fail_at(m, "fewer nested values", "more than the stack holds");
        lti_pickle_value **grown = take_memory(m, room * sizeof(lti_pickle_value *));
        if (!grown)
            return memory_status();
        if (m->n_stack)
            memcpy(grown, m->stack, m->n_stack * sizeof *grown);
        m->stack = grown;
        m->stack_room = room;
    }
    m->stack[m->n_stack++] = v;
    return LT_OK;
}

static lt_status push_new(machine *m, lti_pickle_value value)
{
    lti_pickle_value *v = take_memory(m, sizeof *v);
    if (!v)
        return memory_status();
    *v = value;
    return push_value(m, v);
}

static lt_status pop_value(machine *m, lti_pickle_value **v)
{
    if (!m->n_stack || !m->stack[m->n_stack - 1])
        return fail_at(m, "a value on the stack", "none");
    *v = m->stack[--m->n_stack];
    return LT_OK;
}

static lt_status top_value(machine *m, lti_pickle_kind kind, const char *want, lti_pickle_value **v)
{
    if (!m->n_stack || !m->stack[m->n_stack - 1])
        return fail_at(m, want, "no value");
    *v = m->stack[m->n_stack - 1];
    if ((*v)->kind != kind && (*v)->kind != LTI_PICKLE_OPAQUE)
        return fail_at(m, want, "another value");
    return LT_OK;
}

// The values above the last mark; the mark and they leave the stack, item stays valid until the next push.
static lt_status pop_to_mark(machine *m, lti_pickle_value ***item, size_t *n)
{
    size_t mark = m->n_stack;
    while (mark && m->stack[mark - 1])
        mark--;
    if (!mark)
        return fail_at(m, "a mark on the stack", "none");
    *item = m->stack + mark;
    *n = m->n_stack - mark;
    m->n_stack = mark - 1;
    return LT_OK;
}

static lt_status append_items(machine *m, lti_pickle_value *list, lti_pickle_value *const *item, size_t n)
{
    if (list->kind == LTI_PICKLE_OPAQUE)
        return LT_OK;
    if (list->as.list.n + n > list->as.list.room) {
        size_t room = 2 * list->as.list.room + 4;
        room = room < list->as.list.n + n ? list->as.list.n + n : room;
        lti_pickle_value **grown = take_memory(m, room * sizeof(lti_pickle_value *));
        if (!grown)
            return memory_status();
        if (list->as.list.n)
            memcpy(grown, list->as.list.item, list->as.list.n * sizeof *grown);
        list->as.list.item = grown;
        list->as.list.room = room;
    }
    if (n)
        memcpy(list->as.list.item + list->as.list.n, item, n * sizeof *item);
    list->as.list.n += n;
    return LT_OK;
}

static lt_status push_list(machine *m, lti_pickle_kind kind, lti_pickle_value *const *item, size_t n)
{
    lti_pickle_value *list = take_memory(m, sizeof *list);
    if (!list)
        return memory_status();
    list->kind = kind;
    LT_TRY(append_items(m, list, item, n));
    return push_value(m, list);
}

// ---- globals and calls

static lt_status refuse_global(const machine *m, const char *module, size_t module_bytes, const char *name,
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

static lt_status push_global(machine *m, const char *module, size_t module_bytes, const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        const lti_pickle_global *g = &globals[i];
        if (strlen(g->module) == module_bytes && strlen(g->name) == name_bytes &&
            !memcmp(g->module, module, module_bytes) && !memcmp(g->name, name, name_bytes))
            return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_GLOBAL, .as.global = g});
    }
    return refuse_global(m, module, module_bytes, name, name_bytes);
}

static lt_status read_line(machine *m, const char **text, size_t *n)
{
    const unsigned char *end = memchr(m->bytes + m->at, '\n', m->n - m->at);
    if (!end)
        return fail_at(m, "a line", "the end of the data");
    *text = (const char *)m->bytes + m->at;
    *n = (size_t)(end - (m->bytes + m->at));
    m->at += *n + 1;
    return LT_OK;
}

static lt_status run_global(machine *m)
{
    const char *module, *name;
    size_t module_bytes, name_bytes;
    LT_TRY(read_line(m, &module, &module_bytes));
    LT_TRY(read_line(m, &name, &name_bytes));
    return push_global(m, module, module_bytes, name, name_bytes);
}

static lt_status run_stack_global(machine *m)
{
    lti_pickle_value *name, *module;
    LT_TRY(pop_value(m, &name));
    LT_TRY(pop_value(m, &module));
    if (name->kind != LTI_PICKLE_TEXT || module->kind != LTI_PICKLE_TEXT)
        return fail_at(m, "the names of a module and a global", "other values");
    return push_global(m, module->as.text.s, module->as.text.n, name->as.text.s, name->as.text.n);
}

static const lti_pickle_value *argument(const lti_pickle_value *args, size_t i, lti_pickle_kind kind)
{
    return i < args->as.list.n && args->as.list.item[i]->kind == kind ? args->as.list.item[i] : NULL;
}

static lt_status read_ints(const machine *m, const lti_pickle_value *list, int64_t out[LT_FILE_MAX_DIMS], int *n)
{
    if (!list || list->as.list.n > LT_FILE_MAX_DIMS)
        return fail_at(m, "a tensor of at most 8 dimensions", "another shape");
    *n = (int)list->as.list.n;
    for (int i = 0; i < *n; i++) {
        const lti_pickle_value *v = list->as.list.item[i];
        if (v->kind != LTI_PICKLE_INT || v->as.i < 0)
            return fail_at(m, "sizes and strides of 0 or more", "another value");
        out[i] = v->as.i;
    }
    return LT_OK;
}

// The last element that the tensor reads must lie within its storage.
static lt_status check_extent(const machine *m, const lti_pickle_tensor *t)
{
    int64_t last = t->offset, reach;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->dim[i] == 0)
            return LT_OK;
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &reach) || __builtin_add_overflow(last, reach, &last))
            return fail_at(m, "a tensor within its storage", "an overflow");
    }
    return last < t->storage->n_elements ? LT_OK
                                         : fail_at(m, "a tensor within its storage", "one that reaches over it");
}

static lt_status push_tensor(machine *m, const lti_pickle_value *args)
{
    const lti_pickle_value *storage = argument(args, 0, LTI_PICKLE_STORAGE),
                           *offset = argument(args, 1, LTI_PICKLE_INT);
    int n_strides;
    lti_pickle_tensor *t = take_memory(m, sizeof *t);
    if (!t)
        return memory_status();
    if (!storage || !offset || offset->as.i < 0)
        return fail_at(m, "a storage and an offset", "other arguments of a tensor");
    t->storage = &storage->as.storage;
    t->offset = offset->as.i;
    LT_TRY(read_ints(m, argument(args, 2, LTI_PICKLE_LIST), t->dim, &t->n_dims));
    LT_TRY(read_ints(m, argument(args, 3, LTI_PICKLE_LIST), t->stride, &n_strides));
    if (n_strides != t->n_dims)
        return fail_at(m, "as many strides as dimensions", "another number");
    LT_TRY(check_extent(m, t));
    return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_TENSOR, .as.tensor = t});
}

// OrderedDict() or OrderedDict([[key, value], ...])
static lt_status push_dict(machine *m, const lti_pickle_value *args)
{
    LT_TRY(push_list(m, LTI_PICKLE_DICT, NULL, 0));
    lti_pickle_value *dict = m->stack[m->n_stack - 1];
    const lti_pickle_value *pairs = argument(args, 0, LTI_PICKLE_LIST);
    if (args->as.list.n && !pairs)
        return fail_at(m, "a list of pairs", "another argument of a dictionary");
    for (size_t i = 0; pairs && i < pairs->as.list.n; i++) {
        const lti_pickle_value *pair = pairs->as.list.item[i];
        if (pair->kind != LTI_PICKLE_LIST || pair->as.list.n != 2)
            return fail_at(m, "a list of pairs", "another argument of a dictionary");
        LT_TRY(append_items(m, dict, pair->as.list.item, 2));
    }
    return LT_OK;
}

static lt_status run_call(machine *m)
{
    lti_pickle_value *args, *callee;
    LT_TRY(pop_value(m, &args));
    LT_TRY(pop_value(m, &callee));
    if (callee->kind == LTI_PICKLE_OPAQUE)
        return push_value(m, callee);
    if (callee->kind != LTI_PICKLE_GLOBAL || args->kind != LTI_PICKLE_LIST)
        return fail_at(m, "a known global and its arguments", "other values");
    switch (callee->as.global->role) {
    case ROLE_DICT:
        return push_dict(m, args);
    case ROLE_TENSOR:
        return push_tensor(m, args);
    case ROLE_PARAMETER:
        if (!argument(args, 0, LTI_PICKLE_TENSOR))
            return fail_at(m, "a tensor", "another argument of a parameter");
        return push_value(m, args->as.list.item[0]);
    case ROLE_FIRST:
        return args->as.list.n ? push_value(m, args->as.list.item[0]) : fail_at(m, "an argument", "none");
    case ROLE_OPAQUE:
        return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_OPAQUE});
    case ROLE_STORAGE:
        break;
    }
    return fail_at(m, "a global that builds a value", "the name of an element type");
}

// State of an object: kept of nothing. A dictionary's is its _metadata.
static lt_status run_build(machine *m)
{
    lti_pickle_value *state, *object;
    LT_TRY(pop_value(m, &state));
    LT_TRY(top_value(m, LTI_PICKLE_DICT, "a dictionary or an opaque value to give its state", &object));
    return LT_OK;
}

// ('storage', type, key, location, number of elements[, view])
static lt_status run_persistent_id(machine *m)
{
    lti_pickle_value *id;
    LT_TRY(pop_value(m, &id));
    if (id->kind != LTI_PICKLE_LIST || id->as.list.n < 5 || !lti_pickle_is_text(id->as.list.item[0], "storage"))
        return fail_at(m, "a storage", "another persistent id");
    const lti_pickle_value *type = argument(id, 1, LTI_PICKLE_GLOBAL), *key = argument(id, 2, LTI_PICKLE_TEXT),
                           *count = argument(id, 4, LTI_PICKLE_INT);
    if (!type || type->as.global->role != ROLE_STORAGE || !key || !count || count->as.i < 0)
        return fail_at(m, "the type, key and length of a storage", "other values");
    if (id->as.list.n > 5 && id->as.list.item[5]->kind != LTI_PICKLE_NONE)
        return fail_at(m, "a whole storage", "a view of a storage, which PyTorch has not written since version 0.4");
    lti_pickle_storage storage = {.key = key->as.text.s,
                                  .key_bytes = key->as.text.n,
                                  .type = lti_raw_by_safetensors(type->as.global->element),
                                  .n_elements = count->as.i};
    return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_STORAGE, .as.storage = storage});
}

// ---- the memo

static lt_status put_memo(machine *m, uint64_t index)
{
    lti_pickle_value *v;
    if (!m->n_stack || !(v = m->stack[m->n_stack - 1]))
        return fail_at(m, "a value to remember", "none");
    if (index >= MEMO_MAX)
        return fail_at(m, "fewer remembered values", "more than are allowed");
    if (index >= m->n_memo) {
        size_t room = m->n_memo ? 2 * m->n_memo : 64;
        room = room <= index ? (size_t)index + 1 : room;
        lti_pickle_value **grown = take_memory(m, room * sizeof(lti_pickle_value *));
        if (!grown)
            return memory_status();
        if (m->n_memo)
            memcpy(grown, m->memo, m->n_memo * sizeof *grown);
        m->memo = grown;
        m->n_memo = room;
    }
    m->memo[index] = v;
    return LT_OK;
}

static lt_status memoize(machine *m, size_t *next)
{
    return put_memo(m, (*next)++);
}

static lt_status get_memo(machine *m, uint64_t index)
{
    if (index >= m->n_memo || !m->memo[index])
        return fail_at(m, "a remembered value", "none");
    return push_value(m, m->memo[index]);
}

// ---- literals

static lt_status push_int(machine *m, int64_t i)
{
    return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_INT, .as.i = i});
}

static lt_status push_text(machine *m, size_t length_bytes)
{
    uint64_t n;
    LT_TRY(read_uint(m, length_bytes, &n));
    LT_TRY(need_bytes(m, n > SIZE_MAX ? SIZE_MAX : (size_t)n));
    lti_pickle_value text = {.kind = LTI_PICKLE_TEXT};
    text.as.text.s = (const char *)m->bytes + m->at;
    text.as.text.n = (size_t)n;
    m->at += (size_t)n;
    return push_new(m, text);
}

// A little-endian two's complement number; one that needs more than 64 bits is opaque (PyTorch's magic number).
static lt_status push_long(machine *m, size_t length_bytes)
{
    uint64_t n, value;
    LT_TRY(read_uint(m, length_bytes, &n));
    LT_TRY(need_bytes(m, (size_t)n));
    if (n > sizeof value) {
        m->at += (size_t)n;
        return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_OPAQUE});
    }
    LT_TRY(read_uint(m, (size_t)n, &value));
    if (n && n < sizeof value && value >> (8 * n - 1))
        value |= ~(uint64_t)0 << 8 * n;
    return push_int(m, (int64_t)value);
}

static lt_status push_float(machine *m)
{
    LT_TRY(need_bytes(m, 8));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | m->bytes[m->at++]; // big endian
    lti_pickle_value v = {.kind = LTI_PICKLE_FLOAT};
    memcpy(&v.as.f, &bits, sizeof bits);
    return push_new(m, v);
}

static lt_status push_tuple(machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m->n_stack < n || !m->stack[m->n_stack - 1 - i])
            return fail_at(m, "values for a tuple", "none");
    lti_pickle_value *item[3] = {NULL};
    memcpy(item, m->stack + m->n_stack - n, n * sizeof *item);
    m->n_stack -= n;
    return push_list(m, LTI_PICKLE_LIST, item, n);
}

static lt_status collect_items(machine *m, lti_pickle_kind kind, const char *want)
{
    lti_pickle_value **item, *list;
    size_t n;
    LT_TRY(pop_to_mark(m, &item, &n));
    LT_TRY(top_value(m, kind, want, &list));
    if (kind == LTI_PICKLE_DICT && n % 2)
        return fail_at(m, "keys and values in pairs", "a key without a value");
    return append_items(m, list, item, n);
}

static lt_status add_item(machine *m, lti_pickle_kind kind, size_t n, const char *want)
{
    lti_pickle_value *item[2] = {NULL}, *list;
    for (size_t i = n; i-- > 0;)
        LT_TRY(pop_value(m, &item[i]));
    LT_TRY(top_value(m, kind, want, &list));
    return append_items(m, list, item, n);
}

static lt_status push_marked(machine *m, lti_pickle_kind kind)
{
    lti_pickle_value **item;
    size_t n;
    LT_TRY(pop_to_mark(m, &item, &n));
    lti_pickle_value *list = take_memory(m, sizeof *list);
    if (!list)
        return memory_status();
    list->kind = kind;
    if (kind == LTI_PICKLE_DICT && n % 2)
        return fail_at(m, "keys and values in pairs", "a key without a value");
    LT_TRY(append_items(m, list, item, n)); // before the push, which may overwrite the items
    return push_value(m, list);
}

static lt_status refuse_opcode(const machine *m, unsigned char opcode)
{
    LT_FAIL(LT_E_FORMAT, "%s: pickle byte %zu: the opcode 0x%02x%s%.1s%s is not allowed", m->p->label, m->opcode_at,
            opcode, isprint(opcode) ? " ('" : "", isprint(opcode) ? (const char[]){(char)opcode, 0} : "",
            isprint(opcode) ? "')" : "");
    return lt_error_hint("only tensors are read; save the state_dict of the model with torch.save, whose default "
                         "protocol is 2");
}

static lt_status run_indexed(machine *m, size_t n_bytes, lt_status (*run)(machine *, uint64_t))
{
    uint64_t index;
    LT_TRY(read_uint(m, n_bytes, &index));
    return run(m, index);
}

static lt_status run_opcode(machine *m, unsigned char opcode, size_t *next_memo)
{
    lti_pickle_value *v;
    uint64_t u;
    switch (opcode) {
    case 0x80: // PROTO
        LT_TRY(read_uint(m, 1, &u));
        return u >= 2 && u <= 5 ? LT_OK : fail_at(m, "pickle protocol 2 to 5", "another");
    case 0x95: // FRAME
        return read_uint(m, 8, &u);
    case '.': // STOP
        m->done = true;
        return LT_OK;
    case '(': // MARK
        return push_value(m, NULL);
    case '0': // POP
        if (!m->n_stack)
            return fail_at(m, "a value on the stack", "none");
        m->n_stack--;
        return LT_OK;
    case '1': { // POP_MARK
        lti_pickle_value **item;
        size_t n;
        return pop_to_mark(m, &item, &n);
    }
    case '2': // DUP
        LT_TRY(pop_value(m, &v));
        LT_TRY(push_value(m, v));
        return push_value(m, v);
    case 'N':
        return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_NONE});
    case 0x88: // NEWTRUE
    case 0x89: // NEWFALSE
        return push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_BOOL, .as.i = opcode == 0x88});
    case 'J': // BININT
        LT_TRY(read_uint(m, 4, &u));
        return push_int(m, (int32_t)(uint32_t)u);
    case 'K': // BININT1
    case 'M': // BININT2
        LT_TRY(read_uint(m, opcode == 'K' ? 1 : 2, &u));
        return push_int(m, (int64_t)u);
    case 0x8a: // LONG1
        return push_long(m, 1);
    case 0x8b: // LONG4
        return push_long(m, 4);
    case 'G': // BINFLOAT
        return push_float(m);
    case 'X': // BINUNICODE
    case 'T': // BINSTRING
    case 'B': // BINBYTES
        return push_text(m, 4);
    case 0x8c: // SHORT_BINUNICODE
    case 'U':  // SHORT_BINSTRING
    case 'C':  // SHORT_BINBYTES
        return push_text(m, 1);
    case 0x8d: // BINUNICODE8
    case 0x8e: // BINBYTES8
        return push_text(m, 8);
    case '}': // EMPTY_DICT
        return push_list(m, LTI_PICKLE_DICT, NULL, 0);
    case ']':  // EMPTY_LIST
    case ')':  // EMPTY_TUPLE
    case 0x8f: // EMPTY_SET
        return push_list(m, LTI_PICKLE_LIST, NULL, 0);
    case 't': // TUPLE
    case 'l': // LIST
        return push_marked(m, LTI_PICKLE_LIST);
    case 'd': // DICT
        return push_marked(m, LTI_PICKLE_DICT);
    case 0x85: // TUPLE1
    case 0x86:
    case 0x87: // TUPLE3
        return push_tuple(m, (size_t)opcode - 0x84);
    case 'a': // APPEND
        return add_item(m, LTI_PICKLE_LIST, 1, "a list");
    case 's': // SETITEM
        return add_item(m, LTI_PICKLE_DICT, 2, "a dictionary");
    case 'e':  // APPENDS
    case 0x90: // ADDITEMS
        return collect_items(m, LTI_PICKLE_LIST, "a list");
    case 'u': // SETITEMS
        return collect_items(m, LTI_PICKLE_DICT, "a dictionary");
    case 'q': // BINPUT
        return run_indexed(m, 1, put_memo);
    case 'r': // LONG_BINPUT
        return run_indexed(m, 4, put_memo);
    case 'h': // BINGET
        return run_indexed(m, 1, get_memo);
    case 'j': // LONG_BINGET
        return run_indexed(m, 4, get_memo);
    case 0x94: // MEMOIZE
        return memoize(m, next_memo);
    case 'c': // GLOBAL
        return run_global(m);
    case 0x93: // STACK_GLOBAL
        return run_stack_global(m);
    case 'R':  // REDUCE
    case 0x81: // NEWOBJ
        return run_call(m);
    case 'b': // BUILD
        return run_build(m);
    case 'Q': // BINPERSID
        return run_persistent_id(m);
    default:
        return refuse_opcode(m, opcode);
    }
}

lt_status lti_pickle_parse(lti_pickle *p, const unsigned char *bytes, size_t n, size_t *used, lti_pickle_value **value)
{
    machine m = {.p = p, .bytes = bytes, .n = n};
    size_t next_memo = 0;
    while (!m.done) {
        m.opcode_at = m.at;
        if (m.at == m.n)
            return fail_at(&m, "the end of a pickle", "the end of the data");
        LT_TRY(run_opcode(&m, bytes[m.at++], &next_memo));
    }
    LT_TRY(pop_value(&m, value));
    *used = m.at;
    return LT_OK;
}

bool lti_pickle_is_text(const lti_pickle_value *v, const char *s)
{
    return v->kind == LTI_PICKLE_TEXT && v->as.text.n == strlen(s) && !memcmp(v->as.text.s, s, v->as.text.n);
}

const lti_pickle_value *lti_pickle_find(const lti_pickle_value *dict, const char *key)
{
    for (size_t i = dict->kind == LTI_PICKLE_DICT ? dict->as.list.n : 0; i >= 2; i -= 2)
        if (lti_pickle_is_text(dict->as.list.item[i - 2], key))
            return dict->as.list.item[i - 1];
    return NULL;
}
