// pickle_stack.c - the machine of the unpickler: bounded memory, numbers of the byte stream, the stack, lists.
#include "io/pickle_machine.h"
#include <string.h>

enum { STACK_MAX = 1 << 20 };

lt_status lti_pickle_fail(const lti_pickle_machine *m, const char *want, const char *found)
{
    return LT_FAIL(LT_E_FORMAT, "%s: pickle byte %zu: expected %s, found %s", m->p->label, m->opcode_at, want, found);
}

void *lti_pickle_alloc(lti_pickle_machine *m, size_t n)
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

lt_status lti_pickle_no_memory(void)
{
    return lt_error_get()->status;
}

lt_status lti_pickle_need(const lti_pickle_machine *m, size_t n)
{
    return n <= m->n - m->at ? LT_OK : lti_pickle_fail(m, "more bytes", "the end of the data");
}

lt_status lti_pickle_read_uint(lti_pickle_machine *m, size_t n_bytes, uint64_t *value)
{
    LT_TRY(lti_pickle_need(m, n_bytes));
    *value = 0;
    memcpy(value, m->bytes + m->at, n_bytes);
    m->at += n_bytes;
    return LT_OK;
}

lt_status lti_pickle_push(lti_pickle_machine *m, lti_pickle_value *v)
{
    if (m->n_stack == m->stack_room) {
        const size_t room = m->stack_room ? 2 * m->stack_room : 64;
        if (room > STACK_MAX)
            return lti_pickle_fail(m, "fewer nested values", "more than the stack holds");
        lti_pickle_value **grown = lti_pickle_alloc(m, room * sizeof(lti_pickle_value *));
        if (!grown)
            return lti_pickle_no_memory();
        if (m->n_stack)
            memcpy(grown, m->stack, m->n_stack * sizeof *grown);
        m->stack = grown;
        m->stack_room = room;
    }
    m->stack[m->n_stack++] = v;
    return LT_OK;
}

lt_status lti_pickle_push_new(lti_pickle_machine *m, lti_pickle_value value)
{
    lti_pickle_value *v = lti_pickle_alloc(m, sizeof *v);
    if (!v)
        return lti_pickle_no_memory();
    *v = value;
    return lti_pickle_push(m, v);
}

lt_status lti_pickle_pop(lti_pickle_machine *m, lti_pickle_value **v)
{
    if (!m->n_stack || !m->stack[m->n_stack - 1])
        return lti_pickle_fail(m, "a value on the stack", "none");
    *v = m->stack[--m->n_stack];
    return LT_OK;
}

lt_status lti_pickle_top(lti_pickle_machine *m, lti_pickle_kind kind, const char *want, lti_pickle_value **v)
{
    if (!m->n_stack || !m->stack[m->n_stack - 1])
        return lti_pickle_fail(m, want, "no value");
    *v = m->stack[m->n_stack - 1];
    if ((*v)->kind != kind && (*v)->kind != LTI_PICKLE_OPAQUE)
        return lti_pickle_fail(m, want, "another value");
    return LT_OK;
}

lt_status lti_pickle_pop_to_mark(lti_pickle_machine *m, lti_pickle_value ***item, size_t *n)
{
    size_t mark = m->n_stack;
    while (mark && m->stack[mark - 1])
        mark--;
    if (!mark)
        return lti_pickle_fail(m, "a mark on the stack", "none");
    *item = m->stack + mark;
    *n = m->n_stack - mark;
    m->n_stack = mark - 1;
    return LT_OK;
}

lt_status lti_pickle_append(lti_pickle_machine *m, lti_pickle_value *list, lti_pickle_value *const *item, size_t n)
{
    if (list->kind == LTI_PICKLE_OPAQUE)
        return LT_OK;
    if (list->as.list.n + n > list->as.list.room) {
        size_t room = 2 * list->as.list.room + 4;
        room = room < list->as.list.n + n ? list->as.list.n + n : room;
        lti_pickle_value **grown = lti_pickle_alloc(m, room * sizeof(lti_pickle_value *));
        if (!grown)
            return lti_pickle_no_memory();
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

lt_status lti_pickle_push_list(lti_pickle_machine *m, lti_pickle_kind kind, lti_pickle_value *const *item, size_t n)
{
    lti_pickle_value *list = lti_pickle_alloc(m, sizeof *list);
    if (!list)
        return lti_pickle_no_memory();
    list->kind = kind;
    LT_TRY(lti_pickle_append(m, list, item, n));
    return lti_pickle_push(m, list);
}
