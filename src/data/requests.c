// requests.c - streams of forget requests: a text file with one forget set a line, or one list cut in order. [AMUN 8.1]
//
// Everything is resolved before the first request is served, so that a mistake in the last line costs no training.
// Files and classes are taken first and random draws from what they leave: a stream may mix them in any order and still
// be disjoint.
#include "data_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24, MAX_REQUESTS = 100000 };

typedef struct entry { // one line
    int64_t number;
    uint64_t seed;
    bool own_seed;
} entry;

typedef struct stream {
    const lt_dataset *ds;
    const lt_request_ask *ask;
    const char *label, *dir;
    int32_t *owner; // (n_train) request that names the row, from 1; -1 = gone before; 0 = none
    lt_requests *out;
    entry *entry; // (out->n)
    int cap;
} stream;

void lt_requests_clear(lt_requests *requests)
{
    for (int i = 0; i < requests->n; i++) {
        lti_free(requests->request[i].spec);
        lt_index_set_clear(&requests->request[i].forget);
    }
    lti_free(requests->request);
    *requests = (lt_requests){0};
}

static lt_status stream_init(stream *s)
{
    const lt_index_set *gone = s->ask->gone;
    *s->out = (lt_requests){0};
    s->owner = lti_calloc((size_t)s->ds->split[LT_TRAIN].n + 1, sizeof *s->owner);
    if (!s->owner)
        return LTI_NOMEM("requests");
    for (int64_t i = 0; gone && i < gone->n; i++)
        s->owner[gone->row[i]] = -1;
    return LT_OK;
}

static void stream_clear(stream *s, lt_status status)
{
    lti_free(s->owner);
    lti_free(s->entry);
    if (status != LT_OK)
        lt_requests_clear(s->out);
}

// spec is taken, also when it fails.
static lt_status push(stream *s, char *spec, entry e)
{
    lt_requests *all = s->out;
    if (spec && all->n == MAX_REQUESTS) {
        lti_free(spec);
        return LT_FAIL(LT_E_FORMAT, "%s: expected at most %d requests, found more", s->label, (int)MAX_REQUESTS);
    }
    if (spec && all->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 16;
        lt_request *more = lti_realloc(all->request, (size_t)cap * sizeof *more);
        all->request = more ? more : all->request;
        entry *entries = lti_realloc(s->entry, (size_t)cap * sizeof *entries);
        s->entry = entries ? entries : s->entry;
        s->cap = more && entries ? cap : s->cap;
    }
    if (!spec || all->n == s->cap) {
        lti_free(spec);
        return LTI_NOMEM("requests");
    }
    s->entry[all->n] = e;
    all->request[all->n++] = (lt_request){.spec = spec};
    return LT_OK;
}

// ---- whose sample is it

static lt_status claim(stream *s, int k, const lt_index_set *rows)
{
    for (int64_t i = 0; i < rows->n; i++) {
        int32_t owner = s->owner[rows->row[i]];
        long long id = (long long)s->ds->split[LT_TRAIN].id[rows->row[i]];
        if (owner > 0)
            return LT_FAIL(LT_E_FORMAT, "%s: index %lld is in request %d (%s) and in request %d (%s)", s->label, id,
                           (int)owner, s->out->request[owner - 1].spec, k + 1, s->out->request[k].spec);
        if (owner < 0)
            return LT_FAIL(LT_E_USAGE, "%s: request %d (%s): index %lld has been forgotten already", s->label, k + 1,
                           s->out->request[k].spec, id);
        s->owner[rows->row[i]] = k + 1;
    }
    return LT_OK;
}

// Rows of request k, ascending.
static lt_status collect(const stream *s, int k, int64_t n)
{
    lt_index_set *to = &s->out->request[k].forget;
    to->row = lti_calloc((size_t)n, sizeof *to->row);
    if (!to->row)
        return LTI_NOMEM("requests");
    for (int64_t row = 0; row < s->ds->split[LT_TRAIN].n; row++)
        if (s->owner[row] == k + 1)
            to->row[to->n++] = row;
    return LT_OK;
}

static lt_status check_rest(const stream *s)
{
    for (int64_t row = 0; row < s->ds->split[LT_TRAIN].n; row++)
        if (!s->owner[row])
            return LT_OK;
    return LT_FAIL(LT_E_USAGE, "%s: the requests name every training sample, nothing would be retained", s->label);
}

// ---- a text file

static bool is_random(const char *spec)
{
    return strncmp(spec, "random:", 7) == 0;
}

static bool is_named(const char *spec)
{
    static const char *const kinds[] = {"class:", "superclass:", "subclass:", "name:", "digest:", "file:"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(spec, kinds[i], strlen(kinds[i])))
            return true;
    return false;
}

static lt_status at_line(const stream *s, int k, lt_status status)
{
    lt_error e = *lt_error_get(); // the message, with the line in front
    if (status == LT_OK)
        return LT_OK;
    (void)LT_FAIL(status, "%s:%lld: %.900s", s->label, (long long)s->entry[k].number, e.message);
    return e.hint[0] ? lt_error_hint("%s", e.hint) : status;
}

static lt_status take_named(stream *s, int k)
{
    const char *spec = s->out->request[k].spec;
    lt_index_set set = {0};
    char *joined = NULL;
    if (strncmp(spec, "file:", 5) == 0 && spec[5] != '/' && spec[5] && *s->dir) {
        joined = lti_asprintf("file:%s/%s", s->dir, spec + 5);
        if (!joined)
            return LTI_NOMEM("requests");
    }
    lt_status status = at_line(s, k, lt_forget_parse(s->ds, joined ? joined : spec, 0, &set));
    if (status == LT_OK)
        status = claim(s, k, &set);
    if (status == LT_OK)
        s->out->request[k].forget = set;
    else
        lt_index_set_clear(&set);
    lti_free(joined);
    return status;
}

// The head of a permutation of all samples, those that are taken passed over.
static lt_status take_random(stream *s, int k)
{
    const char *spec = s->out->request[k].spec;
    const int64_t n_train = s->ds->split[LT_TRAIN].n;
    const uint64_t seed = s->entry[k].own_seed ? s->entry[k].seed : s->ask->seed + (uint64_t)k;
    int64_t n, got = 0;
    LT_TRY(at_line(s, k, lti_forget_amount(spec + 7, n_train, &n)));
    if (n == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%lld: %s: empty", s->label, (long long)s->entry[k].number, spec);
    int64_t *perm = lti_malloc((size_t)n_train * sizeof *perm);
    if (!perm)
        return LTI_NOMEM("requests");
    lt_rng_permutation(seed, LT_STREAM_FORGET, 0, n_train, perm);
    for (int64_t i = 0; i < n_train && got < n; i++)
        if (!s->owner[perm[i]]) {
            s->owner[perm[i]] = k + 1;
            got++;
        }
    lti_free(perm);
    if (got < n)
        return LT_FAIL(LT_E_USAGE, "%s:%lld: %s: expected %lld samples that nothing else names, found %lld", s->label,
                       (long long)s->entry[k].number, spec, (long long)n, (long long)got);
    return collect(s, k, n);
}

static const char *shown(const char *text, char buf[48])
{
    size_t n = 0;
    for (; text[n] && n < 40; n++)
        buf[n] = text[n] >= ' ' && text[n] < 127 ? text[n] : '?';
    memcpy(buf + n, text[n] ? "..." : "", text[n] ? 4 : 1);
    return buf;
}

// "SPEC" or "SPEC seed=S"; line is changed.
static lt_status add_line(stream *s, char *line, int64_t number)
{
    static const char blanks[] = " \t\r\v\f";
    char buf[48];
    entry e = {.number = number};
    line[strcspn(line, "#")] = '\0';
    line += strspn(line, blanks);
    size_t n = strcspn(line, blanks);
    char *rest = line + n + strspn(line + n, blanks);
    if (!n)
        return LT_OK;
    line[n] = '\0';
    for (char *end = rest + strlen(rest); end > rest && strchr(blanks, end[-1]); end--)
        end[-1] = '\0';
    if (*rest && (strncmp(rest, "seed=", 5) != 0 || !is_random(line)))
        return LT_FAIL(LT_E_FORMAT, "%s:%lld: expected one forget set, or random:N seed=S, found '%s' after it",
                       s->label, (long long)number, shown(rest, buf));
    if (*rest) {
        e.own_seed = true;
        lt_status status = lti_parse_u64(rest + 5, "seed", INT64_MAX, &e.seed);
        if (status != LT_OK)
            return LT_FAIL(LT_E_FORMAT, "%s:%lld: seed: expected a whole number of 0 to 2^63-1, found '%s'", s->label,
                           (long long)number, shown(rest + 5, buf));
    }
    if (!is_random(line) && !is_named(line)) {
        (void)LT_FAIL(LT_E_FORMAT, "%s:%lld: '%s' is not a forget set", s->label, (long long)number, shown(line, buf));
        return lt_error_hint("one line is one request: random:200, class:3, name:cat/1.png or file:IDS.csv; for a list "
                             "of indices to be cut in order give split:KxN:IDS.csv");
    }
    return push(s, lti_strdup(line), e);
}

static lt_status add_lines(stream *s, const char *text, size_t n)
{
    char *copy = lti_malloc(n + 1);
    if (!copy)
        return LTI_NOMEM("requests");
    memcpy(copy, text, n);
    copy[n] = '\0';
    size_t bom = n >= 3 && memcmp(copy, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    lt_status status = LT_OK;
    if (strlen(copy) < n)
        status = LT_FAIL(LT_E_FORMAT, "%s: expected text, found a zero byte", s->label);
    int64_t number = 0;
    for (char *line = copy + bom, *next; status == LT_OK && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        status = add_line(s, line, ++number);
    }
    lti_free(copy);
    return status;
}

lt_status lti_requests_parse(const lt_dataset *ds, const char *text, size_t n, const char *label, const char *dir,
                             const lt_request_ask *ask, lt_requests *out)
{
    stream s = {.ds = ds, .ask = ask, .label = label, .dir = dir, .out = out};
    lt_status status = LT_OK;
    LT_TRY_GOTO(stream_init(&s), end);
    LT_TRY_GOTO(add_lines(&s, text, n), end);
    if (out->n == 0 || !s.entry)
        LT_TRY_GOTO(LT_FAIL(LT_E_FORMAT, "%s: expected at least one request, found none", label), end);
    for (int random = 0; random < 2; random++)
        for (int k = 0; k < out->n; k++)
            if (is_random(out->request[k].spec) == (random == 1))
                LT_TRY_GOTO(random ? take_random(&s, k) : take_named(&s, k), end);
    LT_TRY_GOTO(check_rest(&s), end);
end:
    stream_clear(&s, status);
    return status;
}

static lt_status open_lines(const lt_dataset *ds, const char *path, const lt_request_ask *ask, lt_requests *out)
{
    char *text;
    size_t n;
    LT_TRY(lt_read_file(path, MAX_BYTES, &text, &n));
    const char *slash = strrchr(path, '/');
    char *dir = lti_asprintf("%.*s", slash ? (int)(slash - path) + (slash == path) : 0, path);
    lt_status status = dir ? lti_requests_parse(ds, text, n, path, dir, ask, out) : LTI_NOMEM("requests");
    lti_free(dir);
    lti_free(text);
    return status;
}

// ---- one list, split

typedef struct list_split {
    int64_t k, n;
    const char *path;
} list_split;

// What follows "split:" or its old name "cut:"; NULL when `spec` is the name of a file.
static const char *after_split_name(const char *spec)
{
    static const char *const name[] = {"split:", "cut:"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (!strncmp(spec, name[i], strlen(name[i])))
            return spec + strlen(name[i]);
    return NULL;
}

static lt_status parse_split(const char *spec, list_split *c)
{
    char *end;
    errno = 0;
    const char *at = after_split_name(spec);
    c->k = strtoll(at, &end, 10);
    bool fine = errno == 0 && end != at && *end == 'x' && c->k >= 1 && c->k <= MAX_REQUESTS;
    if (fine) {
        at = end + 1;
        c->n = strtoll(at, &end, 10);
        fine = errno == 0 && end != at && *end == ':' && end[1] && c->n >= 1 && c->n <= INT64_MAX / MAX_REQUESTS;
    }
    if (!fine) {
        (void)LT_FAIL(LT_E_USAGE, "requests: expected split:KxN:IDS.csv, found '%s'", spec);
        return lt_error_hint("split:5x1000:ids.csv makes 5 requests of 1000 indices in the order of the list");
    }
    c->path = end + 1;
    return LT_OK;
}

static lt_status take_piece(stream *s, const list_split *c, const lt_index_set *list, int k)
{
    const lt_index_set piece = {.n = c->n, .row = list->row + k * c->n};
    const long long before = (long long)k * c->n;
    char *spec = lti_asprintf("%s, indices %lld to %lld", c->path, before + 1, before + c->n);
    LT_TRY(push(s, spec, (entry){0}));
    LT_TRY(claim(s, k, &piece));
    return collect(s, k, c->n);
}

static lt_status open_split(const lt_dataset *ds, const char *spec, const lt_request_ask *ask, lt_requests *out)
{
    list_split c = {0};
    lt_index_set list = {0};
    stream s = {.ds = ds, .ask = ask, .dir = "", .out = out};
    LT_TRY(parse_split(spec, &c));
    s.label = c.path;
    lt_status status = LT_OK;
    LT_TRY_GOTO(stream_init(&s), end);
    LT_TRY_GOTO(lti_forget_list_read(ds, c.path, &list), end);
    if (list.n < c.k * c.n)
        LT_TRY_GOTO(LT_FAIL(LT_E_FORMAT, "%s: expected at least %lld indices for %lld requests of %lld, found %lld",
                            c.path, (long long)(c.k * c.n), (long long)c.k, (long long)c.n, (long long)list.n),
                    end);
    for (int k = 0; k < (int)c.k; k++)
        LT_TRY_GOTO(take_piece(&s, &c, &list, k), end);
    LT_TRY_GOTO(check_rest(&s), end);
end:
    lt_index_set_clear(&list);
    stream_clear(&s, status);
    return status;
}

lt_status lt_requests_open(const lt_dataset *ds, const char *spec, const lt_request_ask *ask, lt_requests *out)
{
    *out = (lt_requests){0};
    return after_split_name(spec) ? open_split(ds, spec, ask, out) : open_lines(ds, spec, ask, out);
}
