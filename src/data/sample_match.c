// sample_match.c - samples of the training split by file name, pattern or content.
//
// Three sorted indices, each made when it is first needed: full names, last parts of names, digests.
#include "data_impl.h"
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DIGEST_LEAST = 16 }; // hexadecimal digits that name a sample

typedef struct index_entry {
    const char *key;
    int64_t row;
} index_entry;

struct lti_matcher {
    const lt_dataset *ds;
    index_entry *full, *last, *digest;
    char (*digest_text)[LT_SAMPLE_DIGEST_HEX];
    int64_t *row; // (n) of the last answer
};

void lt_sample_digest(const lt_dataset *ds, lt_split split, int64_t row, char out[LT_SAMPLE_DIGEST_HEX])
{
    const size_t bytes = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    const uint32_t shape[3] = {(uint32_t)ds->c, (uint32_t)ds->h, (uint32_t)ds->w};
    unsigned char le[sizeof shape];
    char hex[65];
    lti_hash hash;
    for (size_t i = 0; i < sizeof le; i++)
        le[i] = (unsigned char)(shape[i / 4] >> 8 * (i % 4));
    lti_hash_init(&hash);
    lti_hash_add(&hash, le, sizeof le);
    lti_hash_add(&hash, ds->split[split].x + (size_t)row * bytes, bytes);
    lti_hash_hex(&hash, hex);
    memcpy(out, hex, LT_SAMPLE_DIGEST_HEX - 1);
    out[LT_SAMPLE_DIGEST_HEX - 1] = '\0';
}

lt_status lti_matcher_create(const lt_dataset *ds, lti_matcher **matcher)
{
    *matcher = lti_calloc(1, sizeof **matcher);
    if (!*matcher)
        return LTI_NOMEM("sample names");
    (*matcher)->ds = ds;
    (*matcher)->row = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, sizeof *(*matcher)->row);
    if ((*matcher)->row)
        return LT_OK;
    lti_matcher_destroy(*matcher);
    *matcher = NULL;
    return LTI_NOMEM("sample names");
}

void lti_matcher_destroy(lti_matcher *m)
{
    if (!m)
        return;
    lti_free(m->full);
    lti_free(m->last);
    lti_free(m->digest);
    lti_free(m->digest_text);
    lti_free(m->row);
    lti_free(m);
}

bool lti_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

static int compare_entries(const void *a, const void *b)
{
    const index_entry *p = a, *q = b;
    const int order = strcmp(p->key, q->key);
    return order ? order : (p->row > q->row) - (p->row < q->row);
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static lt_status index_names(lti_matcher *m)
{
    const lt_split_data *d = &m->ds->split[LT_TRAIN];
    if (m->full)
        return LT_OK;
    m->full = lti_calloc((size_t)d->n + 1, sizeof *m->full);
    m->last = lti_calloc((size_t)d->n + 1, sizeof *m->last);
    if (!m->full || !m->last)
        return LTI_NOMEM("sample names");
    for (int64_t i = 0; i < d->n; i++) {
        m->full[i] = (index_entry){d->name[i], i};
        m->last[i] = (index_entry){last_part(d->name[i]), i};
    }
    qsort(m->full, (size_t)d->n, sizeof *m->full, compare_entries);
    qsort(m->last, (size_t)d->n, sizeof *m->last, compare_entries);
    return LT_OK;
}

static lt_status index_digests(lti_matcher *m)
{
    const int64_t n = m->ds->split[LT_TRAIN].n;
    if (m->digest)
        return LT_OK;
    m->digest = lti_calloc((size_t)n + 1, sizeof *m->digest);
    m->digest_text = lti_calloc((size_t)n + 1, sizeof *m->digest_text);
    if (!m->digest || !m->digest_text)
        return LTI_NOMEM("sample digests");
    for (int64_t i = 0; i < n; i++) {
        lt_sample_digest(m->ds, LT_TRAIN, i, m->digest_text[i]);
        m->digest[i] = (index_entry){m->digest_text[i], i};
    }
    qsort(m->digest, (size_t)n, sizeof *m->digest, compare_entries);
    return LT_OK;
}

// All entries whose key equals the first `n_key` characters of `key`.
static int64_t find_entries(const index_entry *entry, int64_t n, const char *key, size_t n_key, bool prefix,
                            int64_t *row)
{
    int64_t lo = 0, hi = n, found = 0;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (strncmp(entry[mid].key, key, n_key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < n && !strncmp(entry[lo].key, key, n_key); lo++)
        if (prefix || !entry[lo].key[n_key])
            row[found++] = entry[lo].row;
    return found;
}

// "set/train/cat/1.png" as people write paths: folders that lead to the set come first. They are those of the set when
// they are the same folder, whatever they are called; it exists although the file may be gone.
static bool leads_to_set(const lt_dataset *ds, const char *text, size_t n_lead)
{
    const char *root = strchr(ds->spec, ':');
    struct stat a, b;
    char lead[4096], path[4096];
    if (!root || n_lead == 0 || n_lead >= sizeof lead)
        return false;
    lti_format(path, sizeof path, "%.*s", (int)strcspn(root + 1, ","), root + 1);
    lti_format(lead, sizeof lead, "%.*s", (int)n_lead, text);
    return stat(lead, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Of the samples whose last part is that of `text`: those whose name ends with it ("cat/1.png" of "a.tar/cat/1.png"),
// or is the end of it.
static int64_t find_longer(const lti_matcher *m, const char *text, int64_t *row)
{
    const lt_split_data *d = &m->ds->split[LT_TRAIN];
    const char *last = last_part(text);
    const size_t n_text = strlen(text);
    const int64_t n = find_entries(m->last, d->n, last, strlen(last), false, row);
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *name = d->name[row[i]];
        const size_t n_name = strlen(name);
        const bool ends = n_name > n_text && name[n_name - n_text - 1] == '/' && !strcmp(name + n_name - n_text, text);
        if (ends || (n_text > n_name + 1 && text[n_text - n_name - 1] == '/' && !strcmp(text + n_text - n_name, name) &&
                     leads_to_set(m->ds, text, n_text - n_name - 1)))
            row[found++] = row[i];
    }
    return found;
}

static const char train_folder[] = "train/"; // "train/cat/1.png" is also known as "cat/1.png"

// A pattern without a slash is held against the last part of each name.
static bool fits_pattern(const char *pattern, const char *name)
{
    const size_t n = sizeof train_folder - 1;
    if (!strchr(pattern, '/'))
        return !fnmatch(pattern, last_part(name), 0);
    return !fnmatch(pattern, name, 0) || (!strncmp(name, train_folder, n) && !fnmatch(pattern, name + n, 0));
}

static int64_t find_pattern(const lti_matcher *m, const char *pattern, int64_t *row)
{
    const lt_split_data *d = &m->ds->split[LT_TRAIN];
    int64_t found = 0;
    for (int64_t i = 0; i < d->n; i++)
        if (fits_pattern(pattern, d->name[i]))
            row[found++] = i;
    return found;
}

static lt_status find_digest(lti_matcher *m, const char *hex, int64_t *n)
{
    char lower[LT_SAMPLE_DIGEST_HEX];
    const size_t length = strlen(hex);
    if (length < DIGEST_LEAST || length >= sizeof lower || strspn(hex, "0123456789abcdefABCDEF") != length)
        return LT_FAIL(LT_E_FORMAT, "digest '%.40s': expected %d to %d hexadecimal digits", hex, (int)DIGEST_LEAST,
                       LT_SAMPLE_DIGEST_HEX - 1);
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)tolower((unsigned char)hex[i]);
    LT_TRY(index_digests(m));
    *n = find_entries(m->digest, m->ds->split[LT_TRAIN].n, lower, length, true, m->row);
    return LT_OK;
}

lt_status lti_matcher_find(lti_matcher *m, const char *text, const int64_t **row, int64_t *n)
{
    const lt_split_data *d = &m->ds->split[LT_TRAIN];
    *row = m->row;
    *n = 0;
    if (!strncmp(text, "digest:", 7))
        return find_digest(m, text + 7, n);
    if (!d->name) {
        LT_FAIL(LT_E_USAGE, "'%.80s': samples of %s have no file names", text, m->ds->kind);
        return lt_error_hint("name them by index or by digest: lethe data list");
    }
    LT_TRY(index_names(m));
    if (!strncmp(text, "./", 2))
        text += 2;
    if (lti_is_pattern(text)) {
        *n = find_entries(m->full, d->n, text, strlen(text), false, m->row); // a name may contain a bracket
        if (!*n)
            *n = find_pattern(m, text, m->row);
        return LT_OK;
    }
    *n = find_entries(m->full, d->n, text, strlen(text), false, m->row);
    if (!*n && !strchr(text, '/'))
        *n = find_entries(m->last, d->n, text, strlen(text), false, m->row);
    if (!*n && strchr(text, '/') && strlen(text) < 4000) {
        char whole[4096];
        memcpy(whole, train_folder, sizeof train_folder - 1);
        memcpy(whole + sizeof train_folder - 1, text, strlen(text) + 1);
        *n = find_entries(m->full, d->n, whole, strlen(whole), false, m->row);
    }
    if (!*n && strchr(text, '/'))
        *n = find_longer(m, text, m->row);
    return LT_OK;
}
