// forget_list.c - forget sets as files: one sample a line, or a column of a CSV.
//
// Lists published with the AMUN experiments have one column with the header `unlearn_idx`; what lt_forget_write writes
// has the same. People who hold a folder of images have file names, patterns or digests instead.
#include "data_impl.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST_BYTES = 1 << 30 };

typedef struct line {
    const char *at;
    size_t n; // without the line end and surrounding blanks
    int64_t number;
} line;

typedef struct lines {
    const char *at, *end;
    int64_t number;
} lines;

static void trim(const char **at, size_t *n)
{
    while (*n > 0 && (**at == ' ' || **at == '\t')) {
        ++*at;
        --*n;
    }
    while (*n > 0 && ((*at)[*n - 1] == ' ' || (*at)[*n - 1] == '\t' || (*at)[*n - 1] == '\r'))
        --*n;
}

// The next line that holds anything.
static bool next_line(lines *l, line *out)
{
    while (l->at < l->end) {
        const char *stop = memchr(l->at, '\n', (size_t)(l->end - l->at));
        if (!stop)
            stop = l->end;
        *out = (line){l->at, (size_t)(stop - l->at), ++l->number};
        l->at = stop < l->end ? stop + 1 : stop;
        trim(&out->at, &out->n);
        if (out->n > 0)
            return true;
    }
    return false;
}

// The column-th field of a comma-separated line; one in quotes may contain commas.
static bool find_field(const line *l, int column, const char **at, size_t *n)
{
    const char *p = l->at, *end = l->at + l->n;
    for (int c = 0;; c++) {
        const char *stop = p;
        const bool quoted = p < end && *p == '"';
        if (quoted) {
            stop = memchr(p + 1, '"', (size_t)(end - p - 1));
            stop = stop ? stop + 1 : end;
        }
        while (stop < end && *stop != ',')
            stop++;
        if (c == column) {
            *at = p;
            *n = (size_t)(stop - p);
            trim(at, n);
            if (*n >= 2 && **at == '"' && (*at)[*n - 1] == '"') {
                ++*at;
                *n -= 2;
            }
            return true;
        }
        if (stop == end)
            return false;
        p = stop + 1;
    }
}

static bool looks_like_number(const line *l)
{
    char c = l->at[0];
    return (c >= '0' && c <= '9') || c == '-' || c == '+';
}

// The column called `wanted`, or without it the first of the names that mean a sample; -1 when there is none.
static int find_column(const line *header, const char *wanted)
{
    static const char *const names[] = {"unlearn_idx", "forget_idx", "index", "idx",  "id",     "file", "file_name",
                                        "filename",    "path",       "image", "name", "digest", NULL};
    const char *const one[] = {wanted, NULL};
    const char *at;
    size_t n;
    for (const char *const *name = wanted ? one : names; *name; name++)
        for (int c = 0; find_field(header, c, &at, &n); c++)
            if (n == strlen(*name) && memcmp(at, *name, n) == 0)
                return c;
    return -1;
}

// Text from a file, made safe for one line of an error message.
static const char *shown(const char *at, size_t n, char buf[48])
{
    size_t len = n < 40 ? n : 40;
    for (size_t i = 0; i < len; i++)
        buf[i] = at[i] >= ' ' && at[i] < 127 ? at[i] : '?';
    memcpy(buf + len, n > 40 ? "..." : "", n > 40 ? 4 : 1);
    return buf;
}

// What `lethe data list` prints, without the word before it. Digits alone are an index.
static bool is_hex_digest(const char *at, size_t n)
{
    size_t digits = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)at[i]))
            return false;
        digits += isdigit((unsigned char)at[i]) != 0;
    }
    return n == LT_SAMPLE_DIGEST_HEX - 1 && digits < n;
}

static bool is_integer(const char *at, size_t n)
{
    size_t k = n > 0 && (at[0] == '-' || at[0] == '+');
    const size_t sign = k;
    while (k < n && at[k] >= '0' && at[k] <= '9')
        k++;
    return k == n && k > sign;
}

static lt_status parse_id(const lt_dataset *ds, const char *at, size_t n, const char *label, int64_t number,
                          int64_t *row)
{
    char buf[48], digits[24];
    if (!is_integer(at, n))
        return LT_FAIL(LT_E_FORMAT, "%s:%lld: '%s' is not an index", label, (long long)number, shown(at, n, buf));
    int64_t id = -1;
    if (n < sizeof digits) {
        memcpy(digits, at, n);
        digits[n] = '\0';
        errno = 0;
        id = strtoll(digits, NULL, 10);
        if (errno == ERANGE)
            id = -1;
    }
    int64_t n_train = ds->split[LT_TRAIN].n, n_read = ((const lti_dataset *)ds->owner)->n_read[LT_TRAIN];
    *row = lti_dataset_row_of_id(ds, LT_TRAIN, id);
    if (*row >= 0)
        return LT_OK;
    if (n_train == n_read)
        return LT_FAIL(LT_E_FORMAT, "%s:%lld: index %s is out of range, expected 0..%lld", label, (long long)number,
                       shown(at, n, buf), (long long)n_train - 1);
    lt_status status =
        LT_FAIL(LT_E_FORMAT, "%s:%lld: index %s is not in the training split, which holds %lld of %lld samples", label,
                (long long)number, shown(at, n, buf), (long long)n_train, (long long)n_read);
    lt_error_hint("the split was cut by the keys of '%s'; indices count in the order of the whole set", ds->spec);
    return status;
}

// ---- the list

enum { PROBLEMS_ROOM = 560, LINES_ROOM = 200, NAME_ROOM = 4096 };

typedef struct list_reader {
    const lt_dataset *ds;
    const char *label, *column; // column: asked for, or NULL
    int64_t *line_of;           // (n_train) the line that named each row, 0 = none yet
    int64_t n_marked;
    bool is_digest; // the column has digests, with or without "digest:"
    lti_matcher *matcher;
    char problems[PROBLEMS_ROOM], lines[LINES_ROOM]; // as far as there is room with their text, then the lines alone
    int64_t run_from, run_to;                        // lines that follow one another and are not in `lines` yet
    int64_t n_problems;
    lt_error first;   // of an index: said alone where it is the only one
    bool skip_absent; // indices that are not in the split are counted, not refused
    int64_t n_absent;
} list_reader;

// Lines that follow one another are one entry: "7, 9-12".
static void end_run(list_reader *r)
{
    const size_t used = strlen(r->lines);
    if (r->run_from && used + 32 < sizeof r->lines)
        lti_format(r->lines + used, sizeof r->lines - used, r->run_to > r->run_from ? "%s%lld-%lld" : "%s%lld",
                   used ? ", " : "", (long long)r->run_from, (long long)r->run_to);
    else if (r->run_from && used + 4 < sizeof r->lines)
        lti_format(r->lines + used, sizeof r->lines - used, "...");
    r->run_from = 0;
}

static void add_problem(list_reader *r, int64_t number, const char *what)
{
    const size_t used = strlen(r->problems);
    char text[PROBLEMS_ROOM];
    lti_format(text, sizeof text, "%sline %lld: %s", used ? "; " : "", (long long)number, what);
    r->n_problems++;
    if (!*r->lines && !r->run_from && used + strlen(text) < sizeof r->problems) {
        memcpy(r->problems + used, text, strlen(text) + 1);
        return;
    }
    if (r->run_from && number != r->run_to + 1)
        end_run(r);
    r->run_from = r->run_from ? r->run_from : number;
    r->run_to = number;
}

static void add_name_problem(list_reader *r, int64_t number, const char *text, const char *what, const char *example)
{
    char buf[48], problem[PROBLEMS_ROOM];
    lti_format(problem, sizeof problem, "'%s' %s%.200s", shown(text, strlen(text), buf), what, example);
    add_problem(r, number, problem);
}

// A line that is wrong by itself: the error says "LABEL:LINE: ...".
static lt_status add_failure(list_reader *r, int64_t number, lt_status status)
{
    char prefix[64];
    const lt_error *e = lt_error_get();
    if (status != LT_E_FORMAT)
        return status;
    lti_format(prefix, sizeof prefix, ":%lld: ", (long long)number);
    const char *what = strncmp(e->message, r->label, strlen(r->label)) != 0 ? NULL : strstr(e->message, prefix);
    if (!r->n_problems)
        r->first = *e;
    if (!r->n_problems && !what)
        lti_format(r->first.message, sizeof r->first.message, "%.200s%s%.700s", r->label, prefix, e->message);
    add_problem(r, number, what ? what + strlen(prefix) : e->message);
    lt_error_clear();
    return LT_OK;
}

static bool names_digest(const char *at, size_t n)
{
    return n > 7 && !memcmp(at, "digest:", 7);
}

static lt_status mark_index(list_reader *r, const char *at, size_t n, int64_t number)
{
    int64_t row = -1;
    lt_status status = parse_id(r->ds, at, n, r->label, number, &row);
    if (status != LT_OK && r->skip_absent && is_integer(at, n) && at[0] != '-') {
        lt_error_clear();
        r->n_absent++;
        return LT_OK;
    }
    LT_TRY(status);
    if (r->line_of[row])
        return LT_FAIL(LT_E_FORMAT, "%s:%lld: index %lld appears twice, first in line %lld", r->label,
                       (long long)number, (long long)r->ds->split[LT_TRAIN].id[row], (long long)r->line_of[row]);
    r->line_of[row] = number;
    r->n_marked++;
    return LT_OK;
}

// What fits nothing, or several samples without being a pattern, is collected: the user mends all lines at once.
static lt_status mark_name(list_reader *r, const char *at, size_t n, int64_t number)
{
    static const char word[] = "digest:";
    char text[NAME_ROOM];
    const int64_t *row;
    int64_t n_rows;
    if (n + sizeof word >= sizeof text || memchr(at, 0, n))
        return LT_FAIL(LT_E_FORMAT, "%s:%lld: expected a file name, found other bytes", r->label, (long long)number);
    const bool bare = !names_digest(at, n) && (r->is_digest || is_hex_digest(at, n));
    lti_format(text, sizeof text, "%s%.*s", bare ? word : "", (int)n, at);
    if (!r->matcher)
        LT_TRY(lti_matcher_create(r->ds, &r->matcher));
    LT_TRY(lti_matcher_find(r->matcher, text, &row, &n_rows));
    const bool many = lti_is_pattern(text) || strncmp(text, "digest:", 7) == 0;
    if (n_rows == 0)
        add_name_problem(r, number, text, "is no training sample", "");
    else if (n_rows > 1 && !many)
        add_name_problem(r, number, text, "is the name of several samples, for example ",
                         r->ds->split[LT_TRAIN].name[row[0]]);
    else if (n_rows == 1 && r->line_of[row[0]] && !many)
        add_name_problem(r, number, text, "was named before", "");
    for (int64_t i = 0; i < n_rows; i++)
        if (!r->line_of[row[i]]) {
            r->line_of[row[i]] = number;
            r->n_marked++;
        }
    return LT_OK;
}

static lt_status refuse_header(const list_reader *r, const line *l)
{
    char buf[48];
    LT_FAIL(LT_E_FORMAT, "%s:%lld: '%s' is neither an index nor a header with %s", r->label, (long long)l->number,
            shown(l->at, l->n, buf), r->column ? "the column that was requested" : "an index column");
    return lt_error_hint("expected one sample per line, or a CSV header naming a column unlearn_idx, index, id, file, "
                         "path, name or digest; another column is chosen with file:LIST.csv,column=NAME");
}

// *column: of a header, which is then skipped; -1 when the list has none.
static lt_status read_header(list_reader *r, const line *first, int *column)
{
    const bool number = looks_like_number(first);
    const char *at;
    size_t n;
    *column = number && !r->column ? -1 : find_column(first, r->column);
    if (*column >= 0 && find_field(first, *column, &at, &n))
        r->is_digest = n == 6 && !memcmp(at, "digest", n);
    if (*column >= 0 || (number && !r->column))
        return LT_OK;
    const bool names = r->ds->split[LT_TRAIN].name && !memchr(first->at, ',', first->n);
    if (r->column || !(names || names_digest(first->at, first->n) || is_hex_digest(first->at, first->n)))
        return refuse_header(r, first);
    return LT_OK;
}

static lt_status mark_line(list_reader *r, const line *one, int column)
{
    const char *at = one->at;
    size_t n = one->n;
    if (column >= 0 && !find_field(one, column, &at, &n))
        return LT_FAIL(LT_E_FORMAT, "%s:%lld: no column %d, where the header has the indices", r->label,
                       (long long)one->number, column + 1);
    const bool digest = r->is_digest || names_digest(at, n) || is_hex_digest(at, n);
    const bool named = digest || (r->ds->split[LT_TRAIN].name && !is_integer(at, n));
    return named ? mark_name(r, at, n, one->number) : mark_index(r, at, n, one->number);
}

static lt_status mark_lines(list_reader *r, lines *l)
{
    line one;
    int column = -1;
    for (bool first = true; next_line(l, &one); first = false) {
        if (first) {
            LT_TRY(read_header(r, &one, &column));
            if (column >= 0)
                continue;
        }
        const lt_status status = mark_line(r, &one, column);
        if (status != LT_OK)
            LT_TRY(add_failure(r, one.number, status));
    }
    return LT_OK;
}

static lt_status report_problems(list_reader *r)
{
    if (!r->n_problems)
        return LT_OK;
    end_run(r);
    if (r->n_problems == 1 && r->first.status != LT_OK) {
        lt_error_restore(&r->first);
        return r->first.status;
    }
    LT_FAIL(LT_E_FORMAT, "%.200s: %lld of its lines do not name one sample each: %s%s%s", r->label,
            (long long)r->n_problems, r->problems, *r->lines ? "; and lines " : "", r->lines);
    return lt_error_hint("lethe data list prints the index, class, file and digest of every sample");
}

// line_of (n_train), zeroed: the line that named each row of the set.
static lt_status parse_list(list_reader *r, const char *text, size_t n, lt_index_set *set)
{
    *set = (lt_index_set){0};
    const size_t bom = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    lines l = {text + bom, text + n, 0};
    const int64_t n_train = r->ds->split[LT_TRAIN].n;
    uint8_t *mark = lti_calloc((size_t)n_train + 1, 1);
    lt_status status = mark ? LT_OK : LTI_NOMEM("forget set");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(mark_lines(r, &l), out);
    LT_TRY_GOTO(report_problems(r), out);
    for (int64_t i = 0; i < n_train; i++)
        mark[i] = r->line_of[i] != 0;
    if (r->skip_absent && r->n_marked == 0) // all of them are gone: an empty set
        goto out;
    LT_TRY_GOTO(lti_forget_from_marks(r->ds, mark, r->n_marked, LT_E_FORMAT, r->label, set), out);
out:
    lti_matcher_destroy(r->matcher);
    lti_free(mark);
    return status;
}

static lt_status parse_text(const lt_dataset *ds, const char *text, size_t n, const char *label, const char *column,
                            lt_index_set *forget)
{
    list_reader r = {.ds = ds, .label = label, .column = column};
    *forget = (lt_index_set){0};
    r.line_of = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, sizeof *r.line_of);
    if (!r.line_of)
        return LTI_NOMEM("forget set");
    lt_status status = parse_list(&r, text, n, forget);
    lti_free(r.line_of);
    return status;
}

lt_status lt_forget_present(const lt_dataset *ds, const char *path, lt_index_set *set, int64_t *n_absent)
{
    char *text = NULL;
    size_t n;
    list_reader r = {.ds = ds, .label = path, .skip_absent = true};
    *set = (lt_index_set){0};
    LT_TRY(lt_read_file(path, MAX_LIST_BYTES, &text, &n));
    r.line_of = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, sizeof *r.line_of);
    lt_status status = r.line_of ? parse_list(&r, text, n, set) : LTI_NOMEM("forget set");
    *n_absent = r.n_absent;
    lti_free(r.line_of);
    lti_free(text);
    return status;
}

lt_status lti_forget_ids_parse(const lt_dataset *ds, const char *text, size_t n, const char *label,
                               lt_index_set *forget)
{
    return parse_text(ds, text, n, label, NULL, forget);
}

// arg: PATH or PATH,column=NAME
lt_status lti_forget_file_parse(const lt_dataset *ds, const char *arg, lt_index_set *forget)
{
    static const char key[] = ",column=";
    char *path = lti_strdup(arg), *text = NULL;
    size_t n;
    *forget = (lt_index_set){0};
    if (!path)
        return LTI_NOMEM("forget set");
    char *column = strstr(path, key);
    if (column) {
        *column = '\0';
        column += sizeof key - 1;
    }
    lt_status status;
    if (!*path || (column && !*column))
        status = LT_FAIL(LT_E_USAGE, "forget set file: expected file:LIST.csv[,column=NAME], found no %s name",
                         *path ? "column" : "file");
    else
        status = lt_read_file(path, MAX_LIST_BYTES, &text, &n);
    if (status == LT_OK)
        status = parse_text(ds, text, n, path, column, forget);
    lti_free(text);
    lti_free(path);
    return status;
}

typedef struct listed {
    int64_t line, row;
} listed;

static int by_line(const void *a, const void *b)
{
    int64_t x = ((const listed *)a)->line, y = ((const listed *)b)->line;
    int64_t r = ((const listed *)a)->row, s = ((const listed *)b)->row; // a pattern names several in one line
    return x != y ? (x > y) - (x < y) : (r > s) - (r < s);
}

static lt_status in_file_order(const lt_index_set *set, const int64_t *line_of, lt_index_set *list)
{
    listed *all = lti_calloc((size_t)set->n, sizeof *all);
    list->row = lti_calloc((size_t)set->n, sizeof *list->row);
    if (!all || !list->row) {
        lti_free(all);
        lt_index_set_clear(list);
        return LTI_NOMEM("forget list");
    }
    list->n = set->n;
    for (int64_t i = 0; i < set->n; i++)
        all[i] = (listed){line_of[set->row[i]], set->row[i]};
    qsort(all, (size_t)set->n, sizeof *all, by_line);
    for (int64_t i = 0; i < set->n; i++)
        list->row[i] = all[i].row;
    lti_free(all);
    return LT_OK;
}

lt_status lti_forget_list_read(const lt_dataset *ds, const char *path, lt_index_set *list)
{
    char *text = NULL;
    size_t n;
    lt_index_set set = {0};
    *list = (lt_index_set){0};
    LT_TRY(lt_read_file(path, MAX_LIST_BYTES, &text, &n));
    list_reader r = {.ds = ds, .label = path};
    r.line_of = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, sizeof *r.line_of);
    lt_status status = r.line_of ? parse_list(&r, text, n, &set) : LTI_NOMEM("forget list");
    if (status == LT_OK)
        status = in_file_order(&set, r.line_of, list);
    lt_index_set_clear(&set);
    lti_free(r.line_of);
    lti_free(text);
    return status;
}
