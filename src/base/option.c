// option.c - what needs only a table of options: defaults and nearest names.
#include "lethe/option.h"
#include "base/base.h"
#include <string.h>

const lt_opt_value lt_auto_values[] = {
    {"auto", LT_AUTO, NULL},
    {"yes", LT_YES, NULL},
    {"no", LT_NO, NULL},
    {NULL, 0, NULL},
};

void lt_options_defaults(const lt_option *table, void *cfg)
{
    for (const lt_option *o = table; o->name; o++) {
        void *field = (char *)cfg + o->offset;
        switch (o->type) {
        case LT_OPT_BOOL:
            *(bool *)field = o->def != 0;
            break;
        case LT_OPT_ENUM:
        case LT_OPT_I32:
            *(int32_t *)field = (int32_t)o->def;
            break;
        case LT_OPT_I64:
            *(int64_t *)field = (int64_t)o->def;
            break;
        case LT_OPT_U64:
            *(uint64_t *)field = (uint64_t)o->def;
            break;
        case LT_OPT_F32:
            *(float *)field = (float)o->def;
            break;
        case LT_OPT_F64:
            *(double *)field = o->def;
            break;
        case LT_OPT_STR:
            *(const char **)field = o->def_str;
            break;
        }
    }
}

enum { WORD_MAX = 48 };

static char fold(char c)
{
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

// Edits (insert, delete, replace, swap of neighbours) from a to b: the optimal-string-alignment distance, three rows.
static int distance(const char *a, const char *b)
{
    const int na = (int)strlen(a), nb = (int)strlen(b);
    int rows[3][WORD_MAX + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= nb; j++)
        above[j] = j;
    for (int i = 1; i <= na; i++) {
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            const char x = fold(a[i - 1]), y = fold(b[j - 1]);
            row[j] = smaller(above[j - 1] + (x != y), 1 + smaller(above[j], row[j - 1]));
            if (i > 1 && j > 1 && x == fold(b[j - 2]) && fold(a[i - 2]) == y)
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[nb];
}

const char *lt_nearest(const char *word, const char *const *names)
{
    const size_t length = strlen(word);
    const char *best = NULL;
    int best_distance = length < 4 ? 2 : length < 9 ? 3 : (int)(length / 3) + 1; // nothing this far away is close
    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (; *names; names++) {
        if (strlen(*names) > WORD_MAX)
            continue;
        const int d = distance(word, *names);
        if (d < best_distance && d < (int)strlen(*names)) { // replacing every letter is not a resemblance
            best_distance = d;
            best = *names;
        }
    }
    return best;
}

lt_status lti_name_hint(const char *name, const char *const *names)
{
    const char *near = lt_nearest(name, names);
    if (near)
        return lt_error_hint("did you mean '%s'?", near);
    lti_buf known = {0};
    for (int i = 0; names[i]; i++)
        lti_buf_printf(&known, "%s%s", i ? ", " : "", names[i]);
    lt_status status = lt_error_hint("known: %s", known.data ? known.data : "see lethe help");
    lti_buf_clear(&known);
    return status;
}
