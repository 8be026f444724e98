// registry.c - the unlearning methods of methods.list, by name.
#include "unlearn/recipe.h"
#include <string.h>

static const lt_unlearn_method *const table[] = {
#define LT_X(name) &lti_unlearn_##name,
#include "unlearn/methods.list"
#undef LT_X
    NULL,
};

const lt_unlearn_method *const *lt_unlearn_methods(void)
{
    return table;
}

lt_status lt_unlearn_find(const char *name, const lt_unlearn_method **method)
{
    const char *names[sizeof table / sizeof *table] = {NULL};
    for (int i = 0; table[i]; i++) {
        names[i] = table[i]->name;
        if (strcmp(table[i]->name, name) == 0) {
            *method = table[i];
            return LT_OK;
        }
    }
    (void)LT_FAIL(LT_E_USAGE, "unknown unlearning method '%s'", name);
    return lti_name_hint(name, names);
}
