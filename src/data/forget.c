// forget.c - forget sets by name (random, class, file) and as files.
//
// Index lists are about the official order of a training split, so they hold official ids; sets hold rows. Lists
// published with the AMUN experiments have one column with the header `unlearn_idx`; what lt_forget_write writes has
// the same.
#include "data_impl.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST_BYTES = 1 << 30 };

// code: LT_E_USAGE when the command line said it, LT_E_FORMAT when a file did
static lt_status set_from_marks(const lt_dataset *ds, const uint8_t *mark, int64_t n, lt_status code, const char *name,
                                lt_index_set *set)
{
    int64_t n_train = ds->split[LT_TRAIN].n;
    if (n == 0)
        return LT_FAIL(code, "forget set %s: empty", name);
    if (n == n_train)
        return LT_FAIL(code, "forget set %s: all %lld training samples, nothing would be retained", name, (long long)n);
    set->row = lti_malloc((size_t)n * sizeof *set->row);
    if (!set->row)
        return LTI_NOMEM("forget set");
    for (int64_t i = 0; i < n_train; i++)
        if (mark[i])
            set->row[set->n++] = i;
    return LT_OK;
}

// "10%" or "5000" of n
lt_status lti_forget_amount(const char *text, int64_t n, int64_t *amount)
{
    size_t len = strlen(text);
    if (len > 1 && text[len - 1] == '%' && len < 32) {
        char number[32];
        double percent;
        memcpy(number, text, len - 1);
        number[len - 1] = '\0';
        LT_TRY(lti_parse_f64(number, "forget set: percentage", 0, 100, &percent));
        *amount = (int64_t)floor(percent / 100 * (double)n + 0.5);
        return LT_OK;
    }
    return lti_parse_i64(text, "forget set: number of samples", 1, n, amount);
}

// Class-blind, without replacement: the head of one permutation, so a larger set contains a smaller one of the same
// seed.
static lt_status mark_random(const lt_dataset *ds, const char *text, uint64_t seed, uint8_t *mark, int64_t *n)
{
    int64_t n_train = ds->split[LT_TRAIN].n;
    LT_TRY(lti_forget_amount(text, n_train, n));
    int64_t *perm = lti_malloc((size_t)n_train * sizeof *perm);
    if (!perm)
        return LTI_NOMEM("forget set");
    lt_rng_permutation(seed, LT_STREAM_FORGET, 0, n_train, perm);
    for (int64_t i = 0; i < *n; i++)
        mark[perm[i]] = 1;
    lti_free(perm);
    return LT_OK;
}

static int find_class(const lt_dataset *ds, const char *word)
{
    for (int k = 0; k < ds->n_classes; k++)
        if (strcmp(ds->class_names[k], word) == 0)
            return k;
    char *end;
    errno = 0;
    long k = strtol(word, &end, 10);
    return end != word && *end == '\0' && errno == 0 && k >= 0 && k < ds->n_classes ? (int)k : -1;
}

// "3,7" or "cat,horse"
static lt_status mark_classes(const lt_dataset *ds, const char *text, uint8_t *mark, int64_t *n)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    char *copy = lti_strdup(text);
    if (!copy)
        return LTI_NOMEM("forget set");
    lt_status status = LT_OK;
    for (char *word = copy, *next; word; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        int k = find_class(ds, word);
        if (k < 0) {
            status = LT_FAIL(LT_E_USAGE, "forget set class:%s: no class '%s', expected 0..%d or a class name", text,
                             word, ds->n_classes - 1);
            break;
        }
        int64_t before = *n;
        for (int64_t i = 0; i < d->n; i++) {
            if (d->y[i] != k)
                continue;
            if (mark[i]) {
                status = LT_FAIL(LT_E_USAGE, "forget set class:%s: class '%s' appears twice", text, word);
                break;
            }
            mark[i] = 1;
            ++*n;
        }
        if (status == LT_OK && *n == before)
            status = LT_FAIL(LT_E_USAGE, "forget set class:%s: class '%s' has no training samples", text, word);
        if (status != LT_OK)
            break;
    }
    lti_free(copy);
    return status;
}

// ---- lists of ids

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

// The column-th field of a comma-separated line.
static bool field(const line *l, int column, const char **at, size_t *n)
{
    const char *p = l->at, *end = l->at + l->n;
    for (int c = 0;; c++) {
        const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
        if (c == column) {
            *at = p;
            *n = (size_t)(stop - p);
            trim(at, n);
            return true;
        }
        if (!comma)
            return false;
        p = comma + 1;
    }
}

static bool looks_like_number(const line *l)
{
    char c = l->at[0];
    return (c >= '0' && c <= '9') || c == '-' || c == '+';
}

// A header names the column; the names that mean "index in the training set":
static int find_column(const line *header)
{
    static const char *const names[] = {"unlearn_idx", "forget_idx", "index", "idx", "id"};
    const char *at;
    size_t n;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        for (int c = 0; field(header, c, &at, &n); c++)
            if (n == strlen(names[k]) && memcmp(at, names[k], n) == 0)
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

static lt_status parse_id(const lt_dataset *ds, const char *at, size_t n, const char *label, int64_t number,
                          int64_t *row)
{
    char buf[48], digits[24];
    size_t sign = n > 0 && (at[0] == '-' || at[0] == '+'), k = sign;
    while (k < n && at[k] >= '0' && at[k] <= '9')
        k++;
    if (k < n || k == sign)
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

// line_of[row]: the line that named it, 0 = none yet.
static lt_status mark_list(const lt_dataset *ds, lines *l, const char *label, int64_t *line_of, int64_t *n_marked)
{
    line row_line;
    int column = 0;
    bool first = true, has_header = false;
    while (next_line(l, &row_line)) {
        if (first && !looks_like_number(&row_line)) {
            char buf[48];
            column = find_column(&row_line);
            if (column < 0) {
                lt_status status =
                    LT_FAIL(LT_E_FORMAT, "%s:%lld: '%s' is neither an index nor a header with an index column", label,
                            (long long)row_line.number, shown(row_line.at, row_line.n, buf));
                lt_error_hint(
                    "expected one index per line, or a CSV header naming a column unlearn_idx, forget_idx, index, "
                    "idx or id");
                return status;
            }
            has_header = true;
            first = false;
            continue;
        }
        first = false;
        const char *at = row_line.at;
        size_t n = row_line.n;
        if (has_header && !field(&row_line, column, &at, &n))
            return LT_FAIL(LT_E_FORMAT, "%s:%lld: no column %d, where the header has the indices", label,
                           (long long)row_line.number, column + 1);
        int64_t row = -1;
        LT_TRY(parse_id(ds, at, n, label, row_line.number, &row));
        if (line_of[row])
            return LT_FAIL(LT_E_FORMAT, "%s:%lld: index %lld appears twice, first in line %lld", label,
                           (long long)row_line.number, (long long)ds->split[LT_TRAIN].id[row], (long long)line_of[row]);
        line_of[row] = row_line.number;
        ++*n_marked;
    }
    return LT_OK;
}

// line_of (n_train), zeroed: the line that named each row of the set.
static lt_status parse_ids(const lt_dataset *ds, const char *text, size_t n, const char *label, int64_t *line_of,
                           lt_index_set *set)
{
    *set = (lt_index_set){0};
    size_t bom = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    lines l = {text + bom, text + n, 0};
    int64_t n_train = ds->split[LT_TRAIN].n, n_marked = 0;
    uint8_t *mark = lti_calloc((size_t)n_train + 1, 1);
    lt_status status = mark ? LT_OK : LTI_NOMEM("forget set");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(mark_list(ds, &l, label, line_of, &n_marked), out);
    for (int64_t i = 0; i < n_train; i++)
        mark[i] = line_of[i] != 0;
    LT_TRY_GOTO(set_from_marks(ds, mark, n_marked, LT_E_FORMAT, label, set), out);
out:
    lti_free(mark);
    return status;
}

lt_status lti_forget_ids_parse(const lt_dataset *ds, const char *text, size_t n, const char *label,
                               lt_index_set *forget)
{
    int64_t *line_of = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, sizeof *line_of);
    *forget = (lt_index_set){0};
    if (!line_of)
        return LTI_NOMEM("forget set");
    lt_status status = parse_ids(ds, text, n, label, line_of, forget);
    lti_free(line_of);
    return status;
}

typedef struct listed {
    int64_t line, row;
} listed;

static int by_line(const void *a, const void *b)
{
    int64_t x = ((const listed *)a)->line, y = ((const listed *)b)->line;
    return (x > y) - (x < y);
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
    int64_t *line_of = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, sizeof *line_of);
    lt_status status = line_of ? parse_ids(ds, text, n, path, line_of, &set) : LTI_NOMEM("forget list");
    if (status == LT_OK)
        status = in_file_order(&set, line_of, list);
    lt_index_set_clear(&set);
    lti_free(line_of);
    lti_free(text);
    return status;
}

static lt_status parse_file(const lt_dataset *ds, const char *path, lt_index_set *forget)
{
    char *text;
    size_t n;
    if (!*path)
        return LT_FAIL(LT_E_USAGE, "forget set file: expected file:IDS.csv, found no file name");
    LT_TRY(lt_read_file(path, MAX_LIST_BYTES, &text, &n));
    lt_status status = lti_forget_ids_parse(ds, text, n, path, forget);
    lti_free(text);
    return status;
}

lt_status lt_forget_parse(const lt_dataset *ds, const char *spec, uint64_t seed, lt_index_set *forget)
{
    *forget = (lt_index_set){0};
    if (strncmp(spec, "file:", 5) == 0)
        return parse_file(ds, spec + 5, forget);
    bool random = strncmp(spec, "random:", 7) == 0;
    if (!random && strncmp(spec, "class:", 6) != 0) {
        lt_status status = LT_FAIL(LT_E_USAGE, "'%s' is not a forget set", spec);
        lt_error_hint("expected random:10%%, random:5000, class:3,7 or file:IDS.csv");
        return status;
    }
    int64_t n = 0;
    uint8_t *mark = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, 1);
    if (!mark)
        return LTI_NOMEM("forget set");
    lt_status status = random ? mark_random(ds, spec + 7, seed, mark, &n) : mark_classes(ds, spec + 6, mark, &n);
    if (status == LT_OK)
        status = set_from_marks(ds, mark, n, LT_E_USAGE, spec, forget);
    lti_free(mark);
    return status;
}

lt_status lt_forget_write(const lt_dataset *ds, const lt_index_set *forget, const char *path)
{
    lti_buf buf = {0};
    lti_buf_printf(&buf, "unlearn_idx\n");
    for (int64_t i = 0; i < forget->n; i++)
        lti_buf_printf(&buf, "%lld\n", (long long)ds->split[LT_TRAIN].id[forget->row[i]]);
    lt_status status = buf.failed ? LTI_NOMEM("forget list") : lt_write_file_atomic(path, buf.data, buf.n);
    lti_buf_clear(&buf);
    return status;
}
