// tree.h - a YAML document as a tree whose nodes know their lines.
#ifndef LT_STUDY_TREE_H
#define LT_STUDY_TREE_H
#include "base/base.h"

typedef enum lti_node_kind { LTI_NODE_SCALAR, LTI_NODE_LIST, LTI_NODE_MAP } lti_node_kind;
typedef struct lti_node {
    lti_node_kind kind;
    int line, n; // 1-based; children
    bool given;  // a scalar that is not empty, ~ or null
    const char *key, *text;
    struct lti_node *first, *next; // children; the next child of the parent
} lti_node;

// The tree lives in the arena. Aliases, repeated keys, several documents and deep nesting are refused. An empty
// document is an empty map.
lt_status lti_tree_parse(const char *text, size_t n, const char *label, lti_arena *arena, lti_node **root);
const char *lti_node_kind_text(const lti_node *node);
bool lti_same_key(const char *a, const char *b);                    // dash and underscore are the same
const lti_node *lti_node_get(const lti_node *map, const char *key); // NULL when absent
#endif
