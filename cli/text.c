// text.c - JSON objects and tables of text.
//
// Helpers that cannot report failure abort when memory is out: a command that cannot hold a table has nothing to
// rescue.
#include "cli.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *cli_alloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) {
        fputs("lethe: out of memory\n", stderr);
        _Exit(lt_status_exit_code(LT_E_NOMEM));
    }
    return p;
}

char *cli_format(const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *text = cli_alloc((size_t)(n > 0 ? n : 0) + 1, 1);
    vsnprintf(text, (size_t)(n > 0 ? n : 0) + 1, fmt, again);
    va_end(args);
    va_end(again);
    return text;
}

// Names of files are bytes, JSON is UTF-8: what is no character of it becomes U+FFFD. Freed by the caller.
static char *as_utf8(const char *bytes)
{
    static const char replacement[] = "\xef\xbf\xbd";
    enum { LONGEST = 4 };
    char *text = cli_alloc(3 * strlen(bytes) + 1, 1), *to = text;
    while (*bytes) {
        size_t n = 0;
        for (size_t k = 1; k <= LONGEST && n == 0 && memchr(bytes, '\0', k) == NULL; k++) {
            json_t *one = json_stringn(bytes, k); // NULL when the k bytes are no whole characters
            n = one ? k : 0;
            json_decref(one);
        }
        memcpy(to, n ? bytes : replacement, n ? n : 3);
        to += n ? n : 3;
        bytes += n ? n : 1;
    }
    return text;
}

void cli_put(json_t *object, const char *key, json_t *value)
{
    char *name = as_utf8(key); // of a class, say
    json_object_set_new(object, name, value ? value : json_null());
    free(name);
}

void cli_put_text(json_t *object, const char *key, const char *text)
{
    char *utf8 = text ? as_utf8(text) : NULL;
    cli_put(object, key, utf8 ? json_string(utf8) : NULL);
    free(utf8);
}

void cli_put_real(json_t *object, const char *key, double value)
{
    cli_put(object, key, isfinite(value) ? json_real(value) : json_null());
}

static const json_t *walk(const json_t *object, const char *path)
{
    char key[64];
    while (object && path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        object = json_object_get(object, key);
        path = path[n] ? path + n + 1 : NULL;
    }
    return object;
}

double cli_real(const json_t *object, const char *path)
{
    const json_t *v = walk(object, path);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *cli_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(walk(object, path));
    return text ? text : "";
}

char *cli_json_text(const json_t *object)
{
    char *json = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    char *text = cli_format("%s\n", json ? json : "null");
    free(json);
    return text;
}

lt_status cli_json_load(const char *path, json_t **out)
{
    enum { MAX_BYTES = 1 << 26 };
    char *bytes;
    size_t n;
    json_error_t error;
    LT_TRY(lt_read_file(path, MAX_BYTES, &bytes, &n));
    *out = json_loadb(bytes, n, 0, &error);
    free(bytes);
    if (!*out)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", path, error.line, error.text);
    return LT_OK;
}

lt_status cli_json_parse(const char *text, const char *label, json_t **out)
{
    json_error_t error;
    *out = json_loads(text, 0, &error);
    if (!*out)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", label, error.line, error.text);
    return LT_OK;
}

const char *cli_percent(double fraction, char buf[24])
{
    if (isfinite(fraction))
        snprintf(buf, 24, "%.1f", 100 * fraction);
    else
        snprintf(buf, 24, "-");
    return buf;
}

// Also the control characters of Latin-1, which are two bytes in UTF-8.
void cli_keep_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 127 || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
            *p = '?';
        else if (p > (unsigned char *)text && p[-1] == '?' && *p >= 0x80 && *p < 0xa0)
            *p = '?'; // the second byte of one
}

void cli_table_row(cli_table *t, ...)
{
    size_t n = (size_t)t->n_rows * (size_t)t->n_columns;
    char **cell = cli_alloc(n + (size_t)t->n_columns, sizeof *cell);
    if (n)
        memcpy(cell, t->cell, n * sizeof *cell);
    free(t->cell);
    t->cell = cell;
    va_list args;
    va_start(args, t);
    for (int i = 0; i < t->n_columns; i++) {
        t->cell[n + (size_t)i] = cli_format("%s", va_arg(args, const char *));
        cli_keep_printable(t->cell[n + (size_t)i]); // names of classes and tensors come from files
    }
    va_end(args);
    t->n_rows++;
}

// Columns on the screen: UTF-8 continuation bytes take none.
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text >> 6) != 2;
    return n;
}

void cli_table_print(const cli_table *t, FILE *out)
{
    int width[CLI_TABLE_MAX_COLUMNS] = {0};
    for (int r = 0; r < t->n_rows; r++)
        for (int c = 0; c < t->n_columns; c++) {
            int w = width_of(t->cell[r * t->n_columns + c]);
            width[c] = w > width[c] ? w : width[c];
        }
    for (int r = 0; r < t->n_rows; r++) {
        bool bold = r == 0 && cli_color(out);
        fputs(bold ? "\033[1m" : "", out);
        for (int c = 0; c < t->n_columns; c++) {
            const char *text = t->cell[r * t->n_columns + c];
            int pad = width[c] - width_of(text);
            bool last = c + 1 == t->n_columns;
            if (t->left[c])
                fprintf(out, "%s%s%*s", c ? "  " : "", text, last ? 0 : pad, "");
            else
                fprintf(out, "%s%*s%s", c ? "  " : "", pad, "", text);
        }
        fputs(bold ? "\033[0m\n" : "\n", out);
    }
}

void cli_table_clear(cli_table *t)
{
    for (int i = 0; i < t->n_rows * t->n_columns; i++)
        free(t->cell[i]);
    free(t->cell);
    t->cell = NULL;
    t->n_rows = 0;
}
