// registry.c - the attacks of attacks.list, by name.
#include "attack/attack_impl.h"
#include <string.h>

static const lt_attack *const table[] = {
#define LT_X(name) &lti_attack_##name,
#include "attack/attacks.list"
#undef LT_X
    NULL,
};

const lt_attack *const *lt_attacks(void)
{
    return table;
}

// Names that an attack had before, as recorded runs and study files have them.
static const char *const renamed[][2] = {{"fgsm-march", "fgsm-line-search"}};

lt_status lt_attack_find(const char *name, const lt_attack **attack)
{
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strcmp(renamed[i][0], name) == 0)
            name = renamed[i][1];
    const char *names[sizeof table / sizeof *table] = {NULL};
    for (int i = 0; table[i]; i++) {
        names[i] = table[i]->name;
        if (strcmp(table[i]->name, name) == 0) {
            *attack = table[i];
            return LT_OK;
        }
    }
    (void)LT_FAIL(LT_E_USAGE, "unknown attack '%s'", name);
    return lti_name_hint(name, names);
}
