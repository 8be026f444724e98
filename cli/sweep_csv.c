// sweep_csv.c - rows of JSON objects as CSV: RFC 4180 quoting, empty for what is absent or null.
#include "sweep.h"
#include <stdlib.h>
#include <string.h>

static void put_field(FILE *f, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++)
        fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', f);
}

static void put_value(FILE *f, const json_t *v)
{
    if (json_is_string(v)) {
        put_field(f, json_string_value(v));
    } else if (json_is_real(v) || json_is_integer(v) || json_is_boolean(v)) {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)); // a point in every locale
        fputs(text ? text : "", f);
        free(text);
    }
}

char *sweep_csv(const json_t *rows, const char *const *column, int n_columns)
{
    char *text = NULL;
    size_t size = 0, i;
    const json_t *row;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        LT_BUG("out of memory: table");
    for (int c = 0; c < n_columns; c++)
        fprintf(f, "%s%s", c ? "," : "", column[c]);
    fputc('\n', f);
    json_array_foreach((json_t *)rows, i, row)
    {
        for (int c = 0; c < n_columns; c++) {
            fputs(c ? "," : "", f);
            put_value(f, json_object_get(row, column[c]));
        }
        fputc('\n', f);
    }
    fclose(f);
    return text;
}
