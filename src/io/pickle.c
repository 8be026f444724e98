// pickle.c - the restricted unpickler: its opcodes.
#include "io/pickle_machine.h"
#include <ctype.h>
#include <string.h>

enum { MEMO_MAX = 1 << 22 };

// ---- the memo

static lt_status put_memo(lti_pickle_machine *m, uint64_t index)
{
    lti_pickle_value *v;
    if (!m->n_stack || !(v = m->stack[m->n_stack - 1]))
        return lti_pickle_fail(m, "a value to remember", "none");
    if (index >= MEMO_MAX)
        return lti_pickle_fail(m, "fewer remembered values", "more than are allowed");
    if (index >= m->n_memo) {
        size_t room = m->n_memo ? 2 * m->n_memo : 64;
        room = room <= index ? (size_t)index + 1 : room;
        lti_pickle_value **grown = lti_pickle_alloc(m, room * sizeof(lti_pickle_value *));
        if (!grown)
            return lti_pickle_no_memory();
        if (m->n_memo)
            memcpy(grown, m->memo, m->n_memo * sizeof *grown);
        m->memo = grown;
        m->n_memo = room;
    }
    m->memo[index] = v;
    return LT_OK;
}

static lt_status memoize(lti_pickle_machine *m, size_t unused)
{
    (void)unused;
    return put_memo(m, m->next_memo++);
}

// ---- literals

static lt_status push_int(lti_pickle_machine *m, int64_t i)
{
    return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_INT, .as.i = i});
}

static lt_status push_text(lti_pickle_machine *m, size_t length_bytes)
{
    uint64_t n;
    LT_TRY(lti_pickle_read_uint(m, length_bytes, &n));
    LT_TRY(lti_pickle_need(m, n > SIZE_MAX ? SIZE_MAX : (size_t)n));
    lti_pickle_value text = {.kind = LTI_PICKLE_TEXT};
    text.as.text.s = (const char *)m->bytes + m->at;
    text.as.text.n = (size_t)n;
    m->at += (size_t)n;
    return lti_pickle_push_new(m, text);
}

// A little-endian two's complement number; one that needs more than 64 bits is opaque (PyTorch's magic number).
static lt_status push_long(lti_pickle_machine *m, size_t length_bytes)
{
    uint64_t n, value;
    LT_TRY(lti_pickle_read_uint(m, length_bytes, &n));
    LT_TRY(lti_pickle_need(m, (size_t)n));
    if (n > sizeof value) {
        m->at += (size_t)n;
        return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_OPAQUE});
    }
    LT_TRY(lti_pickle_read_uint(m, (size_t)n, &value));
    if (n && n < sizeof value && value >> (8 * n - 1))
        value |= ~(uint64_t)0 << 8 * n;
    return push_int(m, (int64_t)value);
}

static lt_status push_float(lti_pickle_machine *m, size_t n_bytes)
{
    LT_TRY(lti_pickle_need(m, n_bytes));
    uint64_t bits = 0;
    for (size_t i = 0; i < n_bytes; i++)
        bits = bits << 8 | m->bytes[m->at++]; // big endian
    lti_pickle_value v = {.kind = LTI_PICKLE_FLOAT};
    memcpy(&v.as.f, &bits, sizeof bits);
    return lti_pickle_push_new(m, v);
}

static lt_status push_tuple(lti_pickle_machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m->n_stack < n || !m->stack[m->n_stack - 1 - i])
            return lti_pickle_fail(m, "values for a tuple", "none");
    lti_pickle_value *item[3] = {NULL};
    memcpy(item, m->stack + m->n_stack - n, n * sizeof *item);
    m->n_stack -= n;
    return lti_pickle_push_list(m, LTI_PICKLE_LIST, item, n);
}

static lt_status top_container(lti_pickle_machine *m, size_t kind, lti_pickle_value **v)
{
    return lti_pickle_top(m, (lti_pickle_kind)kind, kind == LTI_PICKLE_DICT ? "a dictionary" : "a list", v);
}

static lt_status collect_items(lti_pickle_machine *m, size_t kind)
{
    lti_pickle_value **item, *list;
    size_t n;
    LT_TRY(lti_pickle_pop_to_mark(m, &item, &n));
    LT_TRY(top_container(m, kind, &list));
    if (kind == LTI_PICKLE_DICT && n % 2)
        return lti_pickle_fail(m, "keys and values in pairs", "a key without a value");
    return lti_pickle_append(m, list, item, n);
}

static lt_status add_item(lti_pickle_machine *m, size_t kind)
{
    lti_pickle_value *item[2] = {NULL}, *list;
    const size_t n = kind == LTI_PICKLE_DICT ? 2 : 1; // a key and its value
    for (size_t i = n; i-- > 0;)
        LT_TRY(lti_pickle_pop(m, &item[i]));
    LT_TRY(top_container(m, kind, &list));
    return lti_pickle_append(m, list, item, n);
}

static lt_status push_marked(lti_pickle_machine *m, size_t kind)
{
    lti_pickle_value **item;
    size_t n;
    LT_TRY(lti_pickle_pop_to_mark(m, &item, &n));
    lti_pickle_value *list = lti_pickle_alloc(m, sizeof *list);
    if (!list)
        return lti_pickle_no_memory();
    list->kind = (lti_pickle_kind)kind;
    if (kind == LTI_PICKLE_DICT && n % 2)
        return lti_pickle_fail(m, "keys and values in pairs", "a key without a value");
    LT_TRY(lti_pickle_append(m, list, item, n)); // before the push, which may overwrite the items
    return lti_pickle_push(m, list);
}

static lt_status refuse_opcode(const lti_pickle_machine *m, unsigned char opcode)
{
    LT_FAIL(LT_E_FORMAT, "%s: pickle byte %zu: the opcode 0x%02x%s%.1s%s is not allowed", m->p->label, m->opcode_at,
            opcode, isprint(opcode) ? " ('" : "", isprint(opcode) ? (const char[]){(char)opcode, 0} : "",
            isprint(opcode) ? "')" : "");
    return lt_error_hint("only tensors are read; save the state_dict of the model with torch.save, whose default "
                         "protocol is 2");
}

// ---- opcodes: each has a function and its argument, a number of bytes, of items, or a kind

static lt_status put_indexed(lti_pickle_machine *m, size_t n_bytes)
{
    uint64_t index;
    LT_TRY(lti_pickle_read_uint(m, n_bytes, &index));
    return put_memo(m, index);
}

static lt_status get_indexed(lti_pickle_machine *m, size_t n_bytes)
{
    uint64_t index;
    LT_TRY(lti_pickle_read_uint(m, n_bytes, &index));
    if (index >= m->n_memo || !m->memo[index])
        return lti_pickle_fail(m, "a remembered value", "none");
    return lti_pickle_push(m, m->memo[index]);
}

static lt_status check_protocol(lti_pickle_machine *m, size_t n_bytes)
{
    uint64_t version;
    LT_TRY(lti_pickle_read_uint(m, n_bytes, &version));
    return version >= 2 && version <= 5 ? LT_OK : lti_pickle_fail(m, "pickle protocol 2 to 5", "another");
}

static lt_status skip_frame(lti_pickle_machine *m, size_t n_bytes)
{
    uint64_t ignored;
    return lti_pickle_read_uint(m, n_bytes, &ignored);
}

static lt_status stop(lti_pickle_machine *m, size_t unused)
{
    (void)unused;
    m->done = true;
    return LT_OK;
}

static lt_status push_mark(lti_pickle_machine *m, size_t unused)
{
    (void)unused;
    return lti_pickle_push(m, NULL);
}

static lt_status drop_value(lti_pickle_machine *m, size_t unused)
{
    (void)unused;
    if (!m->n_stack)
        return lti_pickle_fail(m, "a value on the stack", "none");
    m->n_stack--;
    return LT_OK;
}

static lt_status drop_marked(lti_pickle_machine *m, size_t unused)
{
    lti_pickle_value **item;
    size_t n;
    (void)unused;
    return lti_pickle_pop_to_mark(m, &item, &n);
}

static lt_status duplicate_value(lti_pickle_machine *m, size_t unused)
{
    lti_pickle_value *v;
    (void)unused;
    LT_TRY(lti_pickle_pop(m, &v));
    LT_TRY(lti_pickle_push(m, v));
    return lti_pickle_push(m, v);
}

static lt_status push_none(lti_pickle_machine *m, size_t unused)
{
    (void)unused;
    return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_NONE});
}

static lt_status push_bool(lti_pickle_machine *m, size_t value)
{
    return lti_pickle_push_new(m, (lti_pickle_value){.kind = LTI_PICKLE_BOOL, .as.i = (int64_t)value});
}

static lt_status push_signed(lti_pickle_machine *m, size_t n_bytes)
{
    uint64_t u;
    LT_TRY(lti_pickle_read_uint(m, n_bytes, &u));
    return push_int(m, (int32_t)(uint32_t)u);
}

static lt_status push_unsigned(lti_pickle_machine *m, size_t n_bytes)
{
    uint64_t u;
    LT_TRY(lti_pickle_read_uint(m, n_bytes, &u));
    return push_int(m, (int64_t)u);
}

static lt_status push_empty(lti_pickle_machine *m, size_t kind)
{
    return lti_pickle_push_list(m, (lti_pickle_kind)kind, NULL, 0);
}

#define LT_X(name)                                                                                                     \
    static lt_status name(lti_pickle_machine *m, size_t unused)                                                        \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        return lti_pickle_##name(m);                                                                                   \
    }
LT_X(run_global)
LT_X(run_stack_global)
LT_X(run_call)
LT_X(run_build)
LT_X(run_persistent_id)
#undef LT_X

static const struct {
    lt_status (*run)(lti_pickle_machine *m, size_t argument); // NULL = not allowed
    size_t argument;
} opcodes[256] = {
    [0x80] = {check_protocol, 1},              // PROTO
    [0x95] = {skip_frame, 8},                  // FRAME
    ['.'] = {stop, 0},                         // STOP
    ['('] = {push_mark, 0},                    // MARK
    ['0'] = {drop_value, 0},                   // POP
    ['1'] = {drop_marked, 0},                  // POP_MARK
    ['2'] = {duplicate_value, 0},              // DUP
    ['N'] = {push_none, 0},                    // NONE
    [0x88] = {push_bool, true},                // NEWTRUE
    [0x89] = {push_bool, false},               // NEWFALSE
    ['J'] = {push_signed, 4},                  // BININT
    ['K'] = {push_unsigned, 1},                // BININT1
    ['M'] = {push_unsigned, 2},                // BININT2
    [0x8a] = {push_long, 1},                   // LONG1
    [0x8b] = {push_long, 4},                   // LONG4
    ['G'] = {push_float, 8},                   // BINFLOAT
    ['X'] = {push_text, 4},                    // BINUNICODE
    ['T'] = {push_text, 4},                    // BINSTRING
    ['B'] = {push_text, 4},                    // BINBYTES
    [0x8c] = {push_text, 1},                   // SHORT_BINUNICODE
    ['U'] = {push_text, 1},                    // SHORT_BINSTRING
    ['C'] = {push_text, 1},                    // SHORT_BINBYTES
    [0x8d] = {push_text, 8},                   // BINUNICODE8
    [0x8e] = {push_text, 8},                   // BINBYTES8
    ['}'] = {push_empty, LTI_PICKLE_DICT},     // EMPTY_DICT
    [']'] = {push_empty, LTI_PICKLE_LIST},     // EMPTY_LIST
    [')'] = {push_empty, LTI_PICKLE_LIST},     // EMPTY_TUPLE
    [0x8f] = {push_empty, LTI_PICKLE_LIST},    // EMPTY_SET
    ['t'] = {push_marked, LTI_PICKLE_LIST},    // TUPLE
    ['l'] = {push_marked, LTI_PICKLE_LIST},    // LIST
    ['d'] = {push_marked, LTI_PICKLE_DICT},    // DICT
    [0x85] = {push_tuple, 1},                  // TUPLE1
    [0x86] = {push_tuple, 2},                  // TUPLE2
    [0x87] = {push_tuple, 3},                  // TUPLE3
    ['a'] = {add_item, LTI_PICKLE_LIST},       // APPEND
    ['s'] = {add_item, LTI_PICKLE_DICT},       // SETITEM
    ['e'] = {collect_items, LTI_PICKLE_LIST},  // APPENDS
    [0x90] = {collect_items, LTI_PICKLE_LIST}, // ADDITEMS
    ['u'] = {collect_items, LTI_PICKLE_DICT},  // SETITEMS
    ['q'] = {put_indexed, 1},                  // BINPUT
    ['r'] = {put_indexed, 4},                  // LONG_BINPUT
    ['h'] = {get_indexed, 1},                  // BINGET
    ['j'] = {get_indexed, 4},                  // LONG_BINGET
    [0x94] = {memoize, 0},                     // MEMOIZE
    ['c'] = {run_global, 0},                   // GLOBAL
    [0x93] = {run_stack_global, 0},            // STACK_GLOBAL
    ['R'] = {run_call, 0},                     // REDUCE
    [0x81] = {run_call, 0},                    // NEWOBJ
    ['b'] = {run_build, 0},                    // BUILD
    ['Q'] = {run_persistent_id, 0},            // BINPERSID
};

lt_status lti_pickle_parse(lti_pickle *p, const unsigned char *bytes, size_t n, size_t *used, lti_pickle_value **value)
{
    lti_pickle_machine m = {.p = p, .bytes = bytes, .n = n};
    while (!m.done) {
        m.opcode_at = m.at;
        if (m.at == m.n)
            return lti_pickle_fail(&m, "the end of a pickle", "the end of the data");
        const unsigned char code = bytes[m.at++];
        LT_TRY(opcodes[code].run ? opcodes[code].run(&m, opcodes[code].argument) : refuse_opcode(&m, code));
    }
    LT_TRY(lti_pickle_pop(&m, value));
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
