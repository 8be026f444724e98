// yaml_tree.c - YAML into a tree (libyaml events). Everything a hostile file could blow up is bounded or refused.
#include "base/yaml_tree.h"
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

const lti_yaml *lti_yaml_get(const lti_yaml *map, const char *key)
{
    for (const lti_yaml *c = map ? map->first : NULL; c; c = c->next)
        if (lti_same_key(c->key, key))
            return c;
    return NULL;
}

// ---- reading

static const char *event_text(yaml_event_type_t type)
{
    return type == YAML_MAPPING_START_EVENT    ? "a map"
           : type == YAML_SEQUENCE_START_EVENT ? "a list"
           : type == YAML_ALIAS_EVENT          ? "an alias"
                                               : "something else";
}

// Bytes 0 inside would cut it off silently.
static lt_status scalar_text(reader *r, const char **text)
{
    const char *value = (const char *)r->event.data.scalar.value;
    if (strlen(value) != r->event.data.scalar.length)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected text, found a zero byte", r->label, line_of(r));
    *text = lti_arena_strdup(r->arena, value);
    return *text ? LT_OK : LTI_NOMEM(r->label);
}

static lt_status new_node(reader *r, lti_yaml **node)
{
    if (++r->n_nodes > MAX_NODES)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected at most %d values, found more", r->label, line_of(r), MAX_NODES);
    *node = lti_arena_alloc(r->arena, sizeof **node);
    if (!*node)
        return LTI_NOMEM(r->label);
    (*node)->line = line_of(r);
    return LT_OK;
}

static lt_status read_node(reader *r, int depth, const char *key, lti_yaml **node);

// The key of the current event; the event after it is the value.
static lt_status read_key(reader *r, const lti_yaml *map, const char **key)
{
    if (r->event.type != YAML_SCALAR_EVENT)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected a key, found %s", r->label, line_of(r), event_text(r->event.type));
    LT_TRY(scalar_text(r, key));
    if (lti_yaml_get(map, *key))
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected each key once, found a second one", r->label, line_of(r), *key);
    return next(r);
}

static lt_status read_children(reader *r, int depth, lti_yaml *parent)
{
    const yaml_event_type_t end = parent->kind == LTI_YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    lti_yaml **last = &parent->first;
    for (;;) {
        const char *key = parent->key;
        LT_TRY(next(r));
        if (r->event.type == end)
            return LT_OK;
        if (parent->kind == LTI_YAML_MAP)
            LT_TRY(read_key(r, parent, &key));
        LT_TRY(read_node(r, depth + 1, key, last));
        last = &(*last)->next;
        parent->n++;
    }
}

// *node stays NULL when it fails, so that a tree never holds half a child.
static lt_status read_node(reader *r, int depth, const char *key, lti_yaml **node)
{
    lti_yaml *made;
    if (depth > MAX_DEPTH)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected at most %d levels, found more", r->label, line_of(r), MAX_DEPTH);
    LT_TRY(new_node(r, &made));
    made->key = key;
    switch (r->event.type) {
    case YAML_SCALAR_EVENT: {
        const bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        LT_TRY(scalar_text(r, &made->text));
        // "key:" with nothing after it is more likely an unfinished line than an empty string.
        made->given = !plain || (*made->text && strcmp(made->text, "~") != 0 && strcmp(made->text, "null") != 0);
        break;
    }
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        made->kind = r->event.type == YAML_MAPPING_START_EVENT ? LTI_YAML_MAP : LTI_YAML_LIST;
        LT_TRY(read_children(r, depth, made));
        break;
    default:
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected a value, found %s", r->label, line_of(r),
                       event_text(r->event.type));
    }
    *node = made;
    return LT_OK;
}

static lt_status read_stream(reader *r, lti_yaml **root)
{
    LT_TRY(next(r)); // stream start
    LT_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        LT_TRY(new_node(r, root));
        (*root)->kind = LTI_YAML_MAP;
        return LT_OK;
    }
    LT_TRY(next(r)); // after document start
    LT_TRY(read_node(r, 0, NULL, root));
    if ((*root)->kind == LTI_YAML_SCALAR && !*(*root)->text)
        (*root)->kind = LTI_YAML_MAP;
    LT_TRY(next(r)); // document end
    LT_TRY(next(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected one document, found a second", r->label, line_of(r));
    return LT_OK;
}

lt_status lti_yaml_parse(const char *text, size_t n, const char *label, lti_arena *arena, lti_yaml **root)
{
    reader r = {.label = label, .arena = arena};
    *root = NULL;
    if (n > LTI_YAML_MAX_BYTES)
        return LT_FAIL(LT_E_FORMAT, "%s: expected at most %d bytes, found %zu", label, LTI_YAML_MAX_BYTES, n);
    if (!yaml_parser_initialize(&r.parser))
        return LTI_NOMEM(label);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    lt_status status = read_stream(&r, root);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}

// ---- checks

lt_status lti_yaml_expect(const char *label, const lti_yaml *node, lti_yaml_kind kind)
{
    static const char *const text[] = {
        [LTI_YAML_SCALAR] = "a single value", [LTI_YAML_LIST] = "a list", [LTI_YAML_MAP] = "a map"};
    if (node->kind == kind)
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT, "%s:%d: %s%sexpected %s, found %s", label, node->line, node->key ? node->key : "",
                   node->key ? ": " : "", text[kind], text[node->kind]);
}

lt_status lti_yaml_text(const char *label, const lti_yaml *node, const char **text)
{
    LT_TRY(lti_yaml_expect(label, node, LTI_YAML_SCALAR));
    if (!node->given)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s%sexpected a value, found none", label, node->line,
                       node->key ? node->key : "", node->key ? ": " : "");
    *text = node->text;
    return LT_OK;
}

lt_status lti_yaml_value(const char *label, lti_arena *arena, const lti_yaml *node, const char **text)
{
    if (node->kind != LTI_YAML_LIST)
        return lti_yaml_text(label, node, text);
    lti_buf list = {0};
    lt_status status = LT_OK;
    for (const lti_yaml *c = node->first; c; c = c->next) {
        const char *item;
        LT_TRY_GOTO(lti_yaml_text(label, c, &item), done);
        lti_buf_printf(&list, "%s%s", c == node->first ? "" : ",", item);
    }
    lti_buf_add(&list, "", 0);
    *text = list.data ? lti_arena_strdup(arena, list.data) : NULL;
    status = *text ? LT_OK : LTI_NOMEM(label);
done:
    lti_buf_clear(&list);
    return status;
}
