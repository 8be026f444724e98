// optset_yaml.c - values from a YAML file (libyaml events).
//
// Nested maps become dotted keys, a list of scalars becomes "a,b,c". Events rather than the document tree: nothing is
// built that a hostile file could blow up, positions for messages come for free, and aliases are simply refused.
#include "base/optset_impl.h"
#include <string.h>
#include <yaml.h>

enum { YAML_MAX_BYTES = 1 << 20, YAML_MAX_DEPTH = 8 };

typedef struct reader {
    lt_optset *set;
    const char *label;
    yaml_parser_t parser;
    yaml_event_t event;
    char *key[YAML_MAX_DEPTH]; // full dotted key of each open level; owned
    int depth;
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
    const char *problem = r->parser.problem ? r->parser.problem : "it cannot be read";
    return LT_FAIL(LT_E_FORMAT, "%s:%d: expected YAML, but %s", r->label, (int)r->parser.problem_mark.line + 1,
                   problem);
}

static const char *kind_of(yaml_event_type_t type)
{
    switch (type) {
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_MAPPING_START_EVENT:
        return "a map";
    case YAML_SCALAR_EVENT:
        return "a single value";
    case YAML_ALIAS_EVENT:
        return "an alias";
    default:
        return "something else";
    }
}

static lt_status expected(const reader *r, const char *what)
{
    return LT_FAIL(LT_E_FORMAT, "%s:%d: expected %s, found %s", r->label, line_of(r), what, kind_of(r->event.type));
}

// The scalar of the current event; bytes 0 inside would be cut off silently otherwise.
static lt_status scalar(const reader *r, const char *what, const char **text)
{
    *text = "";
    if (r->event.type != YAML_SCALAR_EVENT)
        return expected(r, what);
    *text = (const char *)r->event.data.scalar.value;
    if (strlen(*text) != r->event.data.scalar.length)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected text, found a zero byte", r->label, line_of(r));
    return LT_OK;
}

// "key:" with nothing after it is more likely an unfinished line than a wish for the empty string.
static lt_status check_given(const reader *r, const char *key, const char *text)
{
    const bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (!*text || !strcmp(text, "~") || !strcmp(text, "null")))
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected a value, found none", r->label, line_of(r), key);
    return LT_OK;
}

static lt_status assign(reader *r, const char *key, const char *value, int line)
{
    lti_opt_row *row;
    char *where = lti_asprintf("%s:%d: ", r->label, line);
    char *what = lti_asprintf("%s:%d: %s", r->label, line, key);
    char *origin = lti_asprintf("config %s:%d", r->label, line);
    lt_status status = where && what && origin ? LT_OK : LTI_NOMEM(r->label);
    if (status == LT_OK && lti_optset_is_source(key))
        status = LT_FAIL(LT_E_USAGE, "%s: a file of options takes no others in: write --%s", what, key);
    if (status == LT_OK)
        status = lti_optset_require(r->set, key, 0, where, "", &row);
    if (status == LT_OK && row->seen == r->set->n_yaml)
        status = LT_FAIL(LT_E_USAGE, "%s: expected each option once, found it again", what);
    if (status == LT_OK) {
        row->seen = r->set->n_yaml;
        status = lti_optset_assign(r->set, row, value, origin, what);
    }
    lti_free(where);
    lti_free(what);
    lti_free(origin);
    return status;
}

static lt_status read_list(reader *r, const char *key)
{
    const int line = line_of(r);
    lti_buf list = {0};
    lt_status status;
    for (bool first = true;; first = false) {
        const char *text;
        LT_TRY_GOTO(next(r), done);
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        LT_TRY_GOTO(scalar(r, "a single value inside the list", &text), done);
        LT_TRY_GOTO(check_given(r, key, text), done);
        lti_buf_printf(&list, "%s%s", first ? "" : ",", text);
    }
    lti_buf_add(&list, "", 0);
    status = list.data ? assign(r, key, list.data, line) : LTI_NOMEM(r->label);
done:
    lti_buf_clear(&list);
    return status;
}

static lt_status read_value(reader *r, const char *key)
{
    const char *text;
    if (r->event.type == YAML_SEQUENCE_START_EVENT)
        return read_list(r, key);
    LT_TRY(scalar(r, "a value, a list or a map", &text));
    LT_TRY(check_given(r, key, text));
    return assign(r, key, text, line_of(r));
}

// One "key: value" of the innermost open map; the key is the current event.
static lt_status read_pair(reader *r)
{
    const char *text;
    LT_TRY(scalar(r, "an option name", &text));
    const char *outer = r->depth ? r->key[r->depth - 1] : NULL;
    char *key = outer ? lti_asprintf("%s.%s", outer, text) : lti_strdup(text);
    if (!key)
        return LTI_NOMEM(r->label);
    lt_status status = next(r);
    if (status == LT_OK && r->event.type == YAML_MAPPING_START_EVENT) {
        if (r->depth < YAML_MAX_DEPTH) {
            r->key[r->depth++] = key; // stays until the map ends
            return LT_OK;
        }
        status = LT_FAIL(LT_E_FORMAT, "%s:%d: expected at most %d nested maps, found more", r->label, line_of(r),
                         YAML_MAX_DEPTH);
    } else if (status == LT_OK) {
        status = read_value(r, key);
    }
    lti_free(key);
    return status;
}

static lt_status read_top_map(reader *r)
{
    for (;;) {
        LT_TRY(next(r));
        if (r->event.type != YAML_MAPPING_END_EVENT) {
            LT_TRY(read_pair(r));
        } else if (r->depth) {
            lti_free(r->key[--r->depth]);
        } else {
            return LT_OK;
        }
    }
}

static lt_status read_stream(reader *r)
{
    LT_TRY(next(r)); // stream start
    LT_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) // an empty file sets nothing
        return LT_OK;
    LT_TRY(next(r)); // after document start
    const bool nothing = r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.length == 0;
    if (!nothing) {
        if (r->event.type != YAML_MAPPING_START_EVENT)
            return expected(r, "'option: value' lines");
        LT_TRY(read_top_map(r));
    }
    LT_TRY(next(r)); // document end
    LT_TRY(next(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected one document, found a second", r->label, line_of(r));
    return LT_OK;
}

lt_status lti_optset_load_yaml_text(lt_optset *set, const char *text, size_t n, const char *label)
{
    reader r = {.set = set, .label = label};
    if (!yaml_parser_initialize(&r.parser))
        return LTI_NOMEM(label);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    set->n_yaml++;
    lt_status status = read_stream(&r);
    while (r.depth)
        lti_free(r.key[--r.depth]);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}

lt_status lt_optset_load_yaml(lt_optset *set, const char *path)
{
    char *text;
    size_t n;
    LT_TRY(lt_read_file(path, YAML_MAX_BYTES, &text, &n));
    lt_status status = lti_optset_load_yaml_text(set, text, n, path);
    lti_free(text);
    return status;
}
