// run_test.h - a directory of its own for tests of whole runs, and what their JSON says.
#ifndef LT_RUN_TEST_H
#define LT_RUN_TEST_H
#include "lt_test.h"
#include "lethe/lethe.h"
#include <jansson.h>
#include <stdlib.h>

static lt_env env;
static lt_dataset *ds;
static char dir[200];

// Valid until the fourth call after it.
static inline char *path_in(const char *name)
{
    static char path[4][256];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
    return path[at];
}

static inline json_t *parse(const char *text)
{
    json_error_t error;
    json_t *j = json_loads(text, 0, &error);
    if (!j)
        fail_msg("%s", error.text);
    return j;
}

static inline double real_at(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}
#endif
