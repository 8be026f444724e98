// text.c - JSON objects and tables of text.
//
// Helpers that cannot report failure abort when memory is out: a command that cannot hold a table has nothing to
// rescue.
#include "cli.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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
    char *full = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(17)), *json = lt_json_shorten(full);
    char *text = cli_format("%s\n", json ? json : "null");
    free(full);
    free(json);
    return text;
}

bool cli_json_has(const json_t *array, const json_t *item)
{
    size_t i;
    const json_t *other;
    json_array_foreach((json_t *)array, i, other) if (json_equal((json_t *)other, (json_t *)item)) return true;
    return false;
}

// For want of memory jansson gives any reason or none.
static lt_status not_parsed(const char *label, const json_error_t *error)
{
    if (!error->text[0] || errno == ENOMEM)
        return LT_FAIL(LT_E_NOMEM, "out of memory: %s", label);
    return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", label, error->line, error->text);
}

// text: malloc'ed by the library, NULL when it was out of memory; freed here.
lt_status cli_json_take(char *text, json_t **out)
{
    if (!text)
        return LT_FAIL(LT_E_NOMEM, "out of memory: result");
    const lt_status status = cli_json_parse(text, "result", out);
    free(text);
    return status;
}

lt_status cli_json_load(const char *path, json_t **out)
{
    enum { MAX_BYTES = 1 << 26 };
    char *bytes;
    size_t n;
    json_error_t error;
    LT_TRY(lt_read_file(path, MAX_BYTES, &bytes, &n));
    errno = 0;
    *out = json_loadb(bytes, n, 0, &error);
    free(bytes);
    return *out ? LT_OK : not_parsed(path, &error);
}

lt_status cli_json_parse(const char *text, const char *label, json_t **out)
{
    json_error_t error;
    errno = 0;
    *out = json_loads(text, 0, &error);
    return *out ? LT_OK : not_parsed(label, &error);
}

lt_status cli_set_result(cli_call *call, const char *json, const char *label)
{
    call->json = cli_format("%s", json);
    return cli_json_parse(json, label, &call->result);
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
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        const bool latin = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        if (latin)
            p[1] = '?';
        if (latin || *p < ' ' || *p == 127)
            *p = '?';
    }
}

void cli_table_cells(cli_table *t, const char *const *cells)
{
    size_t n = (size_t)t->n_rows * (size_t)t->n_columns;
    char **cell = cli_alloc(n + (size_t)t->n_columns, sizeof *cell);
    if (n)
        memcpy(cell, t->cell, n * sizeof *cell);
    free(t->cell);
    t->cell = cell;
    for (int i = 0; i < t->n_columns; i++) {
        t->cell[n + (size_t)i] = cli_format("%s", cells[i]);
        cli_keep_printable(t->cell[n + (size_t)i]); // names of classes and tensors come from files
    }
    t->n_rows++;
}

void cli_table_row(cli_table *t, ...)
{
    const char *cells[CLI_TABLE_MAX_COLUMNS];
    va_list args;
    va_start(args, t);
    for (int i = 0; i < t->n_columns; i++)
        cells[i] = va_arg(args, const char *);
    va_end(args);
    cli_table_cells(t, cells);
}

// Columns on the screen: UTF-8 continuation bytes take none.
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text >> 6) != 2;
    return n;
}

// Columns of the screen that `out` is; 80 where it is none, so that what is piped looks the same everywhere.
static int screen_columns(FILE *out)
{
    enum { USUAL = 80 };
    struct winsize size;
    const int fd = fileno(out);
    if (fd >= 0 && isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return USUAL;
}

static int total_width(const int *width, int n)
{
    int sum = 0, shown = 0;
    for (int c = 0; c < n; c++) {
        sum += width[c];
        shown += width[c] > 0;
    }
    return sum + 2 * (shown > 0 ? shown - 1 : 0);
}

// Width of every column; 0 = it is left out because the table would be wider than the screen.
static void choose_columns(const cli_table *t, int columns, int *width)
{
    for (int r = 0; r < t->n_rows; r++)
        for (int c = 0; c < t->n_columns; c++) {
            int w = width_of(t->cell[r * t->n_columns + c]);
            width[c] = w > width[c] ? w : width[c];
        }
    while (total_width(width, t->n_columns) > columns) {
        int last = -1;
        for (int c = 0; c < t->n_columns; c++)
            if (width[c] > 0 && t->drop[c] > 0 && (last < 0 || t->drop[c] >= t->drop[last]))
                last = c;
        if (last < 0)
            return;
        width[last] = 0;
    }
}

static void print_cells(const cli_table *t, int row, const int *width, FILE *out)
{
    int last = 0;
    bool first = true;
    for (int c = 0; c < t->n_columns; c++)
        last = width[c] > 0 ? c : last;
    for (int c = 0; c < t->n_columns; c++) {
        const char *text = t->cell[row * t->n_columns + c];
        const int pad = width[c] - width_of(text);
        if (width[c] == 0)
            continue;
        if (t->left[c])
            fprintf(out, "%s%s%*s", first ? "" : "  ", text, c == last ? 0 : pad, "");
        else
            fprintf(out, "%s%*s%s", first ? "" : "  ", pad, "", text);
        first = false;
    }
}

void cli_table_print(const cli_table *t, FILE *out)
{
    int width[CLI_TABLE_MAX_COLUMNS] = {0};
    choose_columns(t, screen_columns(out), width);
    for (int r = 0; r < t->n_rows; r++) {
        bool bold = r == 0 && cli_color(out);
        fputs(bold ? "\033[1m" : "", out);
        print_cells(t, r, width, out);
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
