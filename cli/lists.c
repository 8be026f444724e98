// lists.c - options that may be given several times or hold several names: --oracle A --oracle B, --oracle A,B.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

void cli_list_push(cli_list *list, const char *text, size_t n)
{
    char **item = cli_alloc((size_t)list->n + 2, sizeof *item); // ends with NULL
    if (list->n)
        memcpy(item, list->item, (size_t)list->n * sizeof *item);
    free(list->item);
    list->item = item;
    list->item[list->n++] = cli_format("%.*s", (int)n, text);
}

void cli_list_add(cli_list *list, const char *text)
{
    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n > 0)
            cli_list_push(list, p, n);
        p += n + (p[n] == ',');
    }
}

void cli_list_option(cli_list *list, const cli_call *call, const char *name)
{
    size_t n = strlen(name);
    const char *value;
    int before = list->n;
    for (int i = 0; i < call->argc && strcmp(call->argv[i], "--") != 0; i++) {
        const char *arg = call->argv[i];
        if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, n) != 0)
            continue;
        if (arg[2 + n] == '=')
            cli_list_add(list, arg + 3 + n);
        else if (arg[2 + n] == '\0' && i + 1 < call->argc)
            cli_list_add(list, call->argv[++i]);
    }
    if (list->n == before && lt_optset_get(call->set, name, &value, NULL) == LT_OK)
        cli_list_add(list, value); // from a file, the environment or --set
}

void cli_list_clear(cli_list *list)
{
    for (int i = 0; i < list->n; i++)
        free(list->item[i]);
    free(list->item);
    *list = (cli_list){0};
}
