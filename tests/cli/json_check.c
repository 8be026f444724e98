// json_check.c - standard input must be exactly one JSON object and nothing else; arguments are keys ("a.b") it must
// have. "-g KEY" prints the value of a key instead. Exit code 0 or 1.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *find(const json_t *at, const char *path)
{
    char key[128];
    while (at && path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
        path = path[n] ? path + n + 1 : NULL;
    }
    return at;
}

static char *read_all(size_t *n)
{
    size_t cap = 1 << 16;
    char *text = malloc(cap);
    *n = 0;
    for (size_t got; text && (got = fread(text + *n, 1, cap - *n, stdin)) > 0;) {
        *n += got;
        if (*n == cap) {
            char *more = realloc(text, cap *= 2);
            if (!more)
                free(text);
            text = more;
        }
    }
    return text;
}

static int print_value(const json_t *value, const char *key)
{
    if (!value) {
        fprintf(stderr, "json_check: no key %s\n", key);
        return 1;
    }
    if (json_is_string(value)) {
        puts(json_string_value(value));
    } else {
        json_dumpf(value, stdout, JSON_ENCODE_ANY);
        putchar('\n');
    }
    return 0;
}

int main(int argc, char **argv)
{
    size_t n;
    json_error_t error;
    char *text = read_all(&n);
    json_t *all = text ? json_loadb(text, n, JSON_REJECT_DUPLICATES, &error) : NULL;
    int rc = 0;
    if (!json_is_object(all)) {
        fprintf(stderr, "json_check: not one JSON object: %s\n%.*s\n", text ? error.text : "out of memory",
                (int)(n < 2000 ? n : 2000), text ? text : "");
        rc = 1;
    } else if (argc == 3 && !strcmp(argv[1], "-g")) {
        rc = print_value(find(all, argv[2]), argv[2]);
    } else {
        for (int i = 1; i < argc; i++)
            if (!find(all, argv[i])) {
                fprintf(stderr, "json_check: no key %s\n", argv[i]);
                rc = 1;
            }
    }
    json_decref(all);
    free(text);
    return rc;
}
