// audit_options.c - options of the membership attacks: one block of all config structs, bound as --ATTACK.OPTION.
#include "audit.h"
#include <stdlib.h>
#include <string.h>

static size_t cfg_offset(const lt_mia *mia)
{
    enum { ALIGN = 16 };
    size_t at = 0;
    for (const lt_mia *const *m = lt_mia_list(); *m && *m != mia; m++)
        at += ((*m)->cfg_size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

lt_status cli_attacks_bind(cli_call *call)
{
    call->extra_cfg = cli_alloc(cfg_offset(NULL) + 1, 1);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        if ((*m)->opts[0].name)
            LT_TRY(cli_add_options(call, (*m)->name, (*m)->opts, (char *)call->extra_cfg + cfg_offset(*m), 0));
    return LT_OK;
}

void cli_attacks_help(const cli_call *call, FILE *out)
{
    fputs("\nMembership attacks (--attacks), and their options:\n", out);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        fprintf(out, "  %-16s %s%s\n", (*m)->name, (*m)->title,
                (*m)->needs & LT_MIA_NEED_REFERENCES ? "; needs --references" : "");
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        cli_print_entry_options(out, (*m)->name, (*m)->opts, (char *)call->extra_cfg + cfg_offset(*m));
}

// Verbs that do not bind the rows get the defaults.
lt_mia_set_spec cli_attacks_spec(const cli_call *call, const char *which, const char *references, void **cfg)
{
    for (int i = 0; lt_mia_list()[i] && call->extra_cfg; i++)
        cfg[i] = (char *)call->extra_cfg + cfg_offset(lt_mia_list()[i]);
    return (lt_mia_set_spec){.which = which,
                             .references = references,
                             .cfg = call->extra_cfg ? cfg : NULL,
                             .seed = call->seed.seed,
                             .n_threads = cli_threads(call)};
}
