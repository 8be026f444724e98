// yaml_tree.h - a YAML document as a tree whose nodes know their lines: for option files and for studies.
#ifndef LT_YAML_TREE_H
#define LT_YAML_TREE_H
#include "base/base.h"

enum { LTI_YAML_MAX_BYTES = 1 << 20 };

typedef enum lti_yaml_kind { LTI_YAML_SCALAR, LTI_YAML_LIST, LTI_YAML_MAP } lti_yaml_kind;
typedef struct lti_yaml {
    lti_yaml_kind kind;
    int line, n;                   // 1-based; children
    bool given;                    // a scalar that is not empty, ~ or null
    const char *key, *text;        // items of a list have the key of the list; NULL at the top
    struct lti_yaml *first, *next; // children; the next child of the parent
} lti_yaml;

// The tree lives in the arena. Aliases, repeated keys, several documents, large files and deep nesting are refused. An
// empty document is an empty map. Every error begins with "label:line: ".
lt_status lti_yaml_parse(const char *text, size_t n, const char *label, lti_arena *arena, lti_yaml **root);
const lti_yaml *lti_yaml_get(const lti_yaml *map, const char *key); // NULL when absent, or when map is NULL

// ---- what a node must be, with label, line and key in the error
lt_status lti_yaml_expect(const char *label, const lti_yaml *node, lti_yaml_kind kind);
lt_status lti_yaml_text(const char *label, const lti_yaml *node, const char **text); // a scalar that is given
// The value of an option: a scalar, or a list of scalars that becomes "a,b".
lt_status lti_yaml_value(const char *label, lti_arena *arena, const lti_yaml *node, const char **text);
#endif
