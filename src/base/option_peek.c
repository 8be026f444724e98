// option_peek.c - the value of one option before the set that has it can be bound: options of a method depend on which.
#include "base/yaml_tree.h"
#include "lethe/option.h"
#include <stdlib.h>
#include <string.h>

// KEY=VALUE with this key, dashes and underscores alike: the value.
static const char *value_of(const char *assignment, const char *name)
{
    char key[64];
    const size_t n = strcspn(assignment, "=");
    if (!assignment[n] || n >= sizeof key)
        return NULL;
    memcpy(key, assignment, n);
    key[n] = '\0';
    return lti_same_key(key, name) ? assignment + n + 1 : NULL;
}

// --name VALUE, --name=VALUE, --set name=VALUE, --set=name=VALUE; the last one wins.
static const char *find_in_args(int argc, char *const *argv, const char *name)
{
    const char *found = NULL;
    for (int i = 0; i < argc && argv[i] && strcmp(argv[i], "--") != 0; i++) {
        const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL, *value = NULL;
        if (strncmp(arg, "--", 2) != 0)
            continue;
        if (!strncmp(arg, "--set=", 6))
            value = value_of(arg + 6, name);
        else if (!strcmp(arg, "--set") && next)
            value = value_of(next, name);
        else if (lti_same_key(arg + 2, name))
            value = next && strncmp(next, "--", 2) != 0 ? next : NULL;
        else
            value = value_of(arg + 2, name);
        found = value ? value : found;
    }
    return found;
}

static const char *find_in_env(const char *name)
{
    char variable[80];
    int n = lti_format(variable, sizeof variable, "LETHE_%s", name);
    for (char *p = variable; n > 0 && *p; p++)
        *p = *p == '-' || *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static char *find_in_file(const char *path, const char *name)
{
    lti_arena arena = {0};
    lti_yaml *root;
    const char *text;
    char *bytes, *found = NULL;
    size_t n;
    if (!path || !*path || lt_read_file(path, LTI_YAML_MAX_BYTES, &bytes, &n) != LT_OK) {
        lt_error_clear(); // parsing reports it
        return NULL;
    }
    if (lti_yaml_parse(bytes, n, path, &arena, &root) == LT_OK) {
        const lti_yaml *node = root->kind == LTI_YAML_MAP ? lti_yaml_get(root, name) : NULL;
        if (node && node->kind == LTI_YAML_SCALAR && lti_yaml_text(path, node, &text) == LT_OK)
            found = lti_strdup(text);
    }
    lt_error_clear();
    lti_arena_clear(&arena);
    lti_free(bytes);
    return found;
}

char *lt_option_peek(int argc, char *const *argv, const char *name, lt_option_source source)
{
    const char *text = source == LT_PEEK_ARGS  ? find_in_args(argc, argv, name)
                       : source == LT_PEEK_ENV ? find_in_env(name)
                                               : NULL;
    if (source != LT_PEEK_FILES)
        return text ? lti_strdup(text) : NULL;
    char *found = find_in_file(find_in_args(argc, argv, "config"), name);
    return found ? found : find_in_file(getenv("LETHE_CONFIG"), name);
}
