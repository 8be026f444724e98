// ops.c - the op table by name, and the checks its shape rules share.
#include "graph/graph_impl.h"
#include <string.h>

const lt_op *lt_op_find(const char *name)
{
    static const lt_op *const table[] = {
#define LT_X(op) &lt_op_##op,
#include "graph/ops.list"
#undef LT_X
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

lt_status lti_want_dims(const char *op, const char *what, const lt_shape *s, int n_dims)
{
    char text[LTI_SHAPE_TEXT];
    if (s->n_dims != n_dims)
        return LT_FAIL(LT_E_SHAPE, "%s: %s has shape %s, expected %d dimensions", op, what, lti_shape_text(s, text),
                       n_dims);
    return LT_OK;
}

lt_status lti_want_shape(const char *op, const char *what, const lt_shape *s, const lt_shape *expected)
{
    char found[LTI_SHAPE_TEXT], wanted[LTI_SHAPE_TEXT];
    if (!lti_shape_equal(s, expected))
        return LT_FAIL(LT_E_SHAPE, "%s: %s has shape %s, expected %s", op, what, lti_shape_text(s, found),
                       lti_shape_text(expected, wanted));
    return LT_OK;
}

lt_status lti_want_channels(const char *op, const char *what, const lt_shape *s, int64_t c)
{
    lt_shape expected = LT_SHAPE(c);
    return lti_want_shape(op, what, s, &expected);
}

lt_status lti_want_i32(const char *op, const char *what, lt_dtype dtype)
{
    if (dtype != LT_I32)
        return LT_FAIL(LT_E_SHAPE, "%s: %s must be integers (LT_I32)", op, what);
    return LT_OK;
}

lt_status lti_no_second(const lt_graph *g, int32_t node, int in)
{
    char text[128];
    lti_node_text(g, node, text, sizeof text);
    return LT_FAIL(LT_E_UNSUPPORTED, "%s: no derivative with respect to input %d", text, in);
}
