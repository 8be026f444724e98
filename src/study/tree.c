// tree.c - YAML into a tree (libyaml events). Everything a hostile file could blow up is bounded or refused.
#include "study/tree.h"
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 8, MAX_NODES = 20000 };

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    const char *label;
    lti_arena *arena;
    int n_nodes;
} reader;

static int line_of(const reader *r)
{
    return (int)r->event.start_mark.line + 1;
}

static lt_status next(reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return LT_OK;
    memset(&r->event, 0, sizeof r->event);
    if (r->parser.error == YAML_MEMORY_ERROR)
        return LTI_NOMEM(r->label);
    return LT_FAIL(LT_E_FORMAT, "%s:%d: expected YAML, but %s", r->label, (int)r->parser.problem_mark.line + 1,
                   r->parser.problem ? r->parser.problem : "it cannot be read");
}

const char *lti_node_kind_text(const lti_node *node)
{
    return node->kind == LTI_NODE_MAP ? "a map" : node->kind == LTI_NODE_LIST ? "a list" : "a single value";
}

bool lti_same_key(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
            return false;
    return *a == *b;
}

const lti_node *lti_node_get(const lti_node *map, const char *key)
{
    for (const lti_node *c = map ? map->first : NULL; c; c = c->next)
        if (lti_same_key(c->key, key))
            return c;
    return NULL;
}

static lt_status scalar_text(reader *r, const char **text)
{
    const char *value = (const char *)r->event.data.scalar.value;
    if (strlen(value) != r->event.data.scalar.length)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected text, found a zero byte", r->label, line_of(r));
    *text = lti_arena_strdup(r->arena, value);
    return *text ? LT_OK : LTI_NOMEM(r->label);
}

static lt_status new_node(reader *r, lti_node **node)
{
    if (++r->n_nodes > MAX_NODES)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected at most %d values, found more", r->label, line_of(r), MAX_NODES);
    *node = lti_arena_alloc(r->arena, sizeof **node);
    if (!*node)
        return LTI_NOMEM(r->label);
    (*node)->line = line_of(r);
    return LT_OK;
}

static lt_status read_node(reader *r, int depth, lti_node **node);

// The key of the current event; the event after it is the value.
static lt_status read_key(reader *r, const lti_node *map, const char **key)
{
    if (r->event.type != YAML_SCALAR_EVENT)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected a key, found a list or a map", r->label, line_of(r));
    LT_TRY(scalar_text(r, key));
    if (lti_node_get(map, *key))
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected each key once, found it again", r->label, line_of(r), *key);
    return next(r);
}

static lt_status read_children(reader *r, int depth, lti_node *parent)
{
    const yaml_event_type_t end = parent->kind == LTI_NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    lti_node **last = &parent->first;
    for (;;) {
        const char *key = NULL;
        LT_TRY(next(r));
        if (r->event.type == end)
            return LT_OK;
        if (parent->kind == LTI_NODE_MAP)
            LT_TRY(read_key(r, parent, &key));
        lti_node *child;
        LT_TRY(read_node(r, depth + 1, &child));
        child->key = key;
        *last = child;
        last = &child->next;
        parent->n++;
    }
}

static lt_status read_node(reader *r, int depth, lti_node **node)
{
    if (depth > MAX_DEPTH)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected at most %d levels, found more", r->label, line_of(r), MAX_DEPTH);
    LT_TRY(new_node(r, node));
    switch (r->event.type) {
    case YAML_SCALAR_EVENT: {
        const char *text;
        LT_TRY(scalar_text(r, &text));
        const bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        (*node)->text = text;
        (*node)->given = !plain || (*text && strcmp(text, "~") != 0 && strcmp(text, "null") != 0);
        return LT_OK;
    }
    case YAML_MAPPING_START_EVENT:
        (*node)->kind = LTI_NODE_MAP;
        return read_children(r, depth, *node);
    case YAML_SEQUENCE_START_EVENT:
        (*node)->kind = LTI_NODE_LIST;
        return read_children(r, depth, *node);
    case YAML_ALIAS_EVENT:
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected a value, found an alias", r->label, line_of(r));
    default:
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected a value", r->label, line_of(r));
    }
}

static lt_status read_stream(reader *r, lti_node **root)
{
    LT_TRY(next(r)); // stream start
    LT_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        LT_TRY(new_node(r, root));
        (*root)->kind = LTI_NODE_MAP;
        return LT_OK;
    }
    LT_TRY(next(r)); // after document start
    LT_TRY(read_node(r, 0, root));
    LT_TRY(next(r)); // document end
    LT_TRY(next(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected one document, found a second", r->label, line_of(r));
    return LT_OK;
}

lt_status lti_tree_parse(const char *text, size_t n, const char *label, lti_arena *arena, lti_node **root)
{
    reader r = {.label = label, .arena = arena};
    *root = NULL;
    if (!yaml_parser_initialize(&r.parser))
        return LTI_NOMEM(label);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    lt_status status = read_stream(&r, root);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}
