// tune.c - remembers which implementation won for which convolution, from one process to the next.
//
// Implementations differ in the last bits, so a choice by stopwatch must be made once per machine, or equal seeds would
// give unequal weights. The choices of one (processor, library version, thread count) live in one text file, a line
// each with its own checksum; bad lines are skipped and their convolutions are timed again. A lock file makes processes
// that start together agree. Where nothing can be stored, timing is off and a fixed rule decides.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { FILE_MAX = 8 << 20, N_FIELDS = 7, KEY_MAX = 128 };
// The number changes whenever our own candidates do: what lost against fewer candidates must be timed again.
// The number is in the file name too: builds of another format have their own file and leave this one alone.
static const char head_line[] = "lethe-tune 4\n";

typedef struct entry {
    struct entry *next;
    char key[KEY_MAX];
    lti_choice choice;
} entry;

struct lti_tune {
    char *path, *lock_path; // NULL: nothing is kept
    bool persistent;
    int lock_fd; // while an exchange is under way
    entry *entries;
    pthread_mutex_t mutex;
};

// $LETHE_CACHE, $XDG_CACHE_HOME/lethe, ~/.cache/lethe. NULL with *status LT_OK: no directory; an empty LETHE_CACHE asks
// for that.
static char *cache_dir(lt_status *status)
{
    const char *own = getenv("LETHE_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = NULL;
    *status = LT_OK;
    if (own && !*own)
        return NULL;
    if (own)
        dir = lti_strdup(own);
    else if (xdg && *xdg == '/')
        dir = lti_asprintf("%s/lethe", xdg);
    else if (home && *home)
        dir = lti_asprintf("%s/.cache/lethe", home);
    else
        return NULL;
    if (!dir)
        *status = LTI_NOMEM("cache directory name");
    return dir;
}

static uint32_t checksum(const char *text, size_t n)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

static entry *find(const lti_tune *t, const char *key)
{
    for (entry *e = t->entries; e; e = e->next)
        if (strcmp(e->key, key) == 0)
            return e;
    return NULL;
}

static lt_status remember(lti_tune *t, const char *key, const lti_choice *choice)
{
    entry *e = lti_calloc(1, sizeof *e);
    if (!e)
        return LTI_NOMEM("tuning entry");
    snprintf(e->key, sizeof e->key, "%s", key);
    e->choice = *choice;
    e->next = t->entries;
    t->entries = e;
    return LT_OK;
}

// One line, cut into fields in place: key|algorithm|free|index|us|impl|log|checksum. False when anything is odd.
static bool parse_line(char *line, char **key, lti_choice *c)
{
    char *field[N_FIELDS + 1], *end;
    char *last = strrchr(line, '|');
    if (!last || strlen(last + 1) != 8)
        return false;
    const unsigned long sum = strtoul(last + 1, &end, 16);
    if (*end || sum != checksum(line, (size_t)(last - line)))
        return false;
    *last = 0;
    int n = 0;
    for (char *p = line; p && n <= N_FIELDS;) {
        field[n++] = p;
        p = strchr(p, '|');
        if (p)
            *p++ = 0;
    }
    if (n != N_FIELDS || strlen(field[0]) >= KEY_MAX || !*field[0] || strlen(field[5]) >= sizeof c->impl ||
        strlen(field[6]) >= sizeof c->log)
        return false;
    if (field[1][0] < '0' || field[1][0] >= '0' + LTI_N_ALGORITHMS || field[1][1])
        return false;
    *c = (lti_choice){.algorithm = (lti_algorithm)(field[1][0] - '0'), .free_layout = field[2][0] == '1'};
    c->index = (int)strtol(field[3], &end, 10);
    if (*end || c->index < 0)
        return false;
    c->us = (double)strtol(field[4], &end, 10);
    if (*end)
        return false;
    snprintf(c->impl, sizeof c->impl, "%s", field[5]);
    snprintf(c->log, sizeof c->log, "%s", field[6]);
    *key = field[0];
    return true;
}

// Adds what the file has and we do not know. A missing or unreadable file is an empty one.
static lt_status load(lti_tune *t)
{
    char *text = NULL, *key;
    size_t n = 0;
    lti_choice c;
    lt_status status = LT_OK;
    const lt_error saved = *lt_error_get();
    if (lt_read_file(t->path, FILE_MAX, &text, &n) != LT_OK) {
        lt_error_restore(&saved);
        return LT_OK;
    }
    if (n >= sizeof head_line - 1 && memcmp(text, head_line, sizeof head_line - 1) == 0) {
        char *line = text + sizeof head_line - 1, *nl;
        for (; status == LT_OK && (nl = strchr(line, '\n')); line = nl + 1) {
            *nl = 0;
            if (parse_line(line, &key, &c) && !find(t, key))
                status = remember(t, key, &c);
        }
    }
    free(text);
    return status;
}

static lt_status store(const lti_tune *t)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "%s", head_line);
    for (const entry *e = t->entries; e; e = e->next) {
        const size_t start = b.n;
        const lti_choice *c = &e->choice;
        lti_buf_printf(&b, "%s|%d|%d|%d|%ld|%s|%s", e->key, (int)c->algorithm, c->free_layout, c->index, (long)c->us,
                       c->impl, c->log);
        if (!b.failed)
            lti_buf_printf(&b, "|%08x\n", (unsigned)checksum(b.data + start, b.n - start));
    }
    lt_status status = b.failed ? LTI_NOMEM("tuning file") : lt_write_file_atomic(t->path, b.data, b.n);
    lti_buf_clear(&b);
    return status;
}

// LT_OK also without a usable directory: then path stays NULL or persistent false.
static lt_status find_place(lti_tune *t, const char *id)
{
    lt_status status;
    char *dir = cache_dir(&status);
    if (!dir)
        return status;
    t->path = lti_asprintf("%s/tune4-%s.txt", dir, id);
    t->lock_path = lti_asprintf("%s/tune4-%s.lock", dir, id);
    if (!t->path || !t->lock_path) {
        status = LTI_NOMEM("tuning file name");
    } else {
        const lt_error saved = *lt_error_get();
        if (lt_make_dirs(dir) == LT_OK) {
            const int fd = open(t->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
            t->persistent = fd >= 0;
            if (fd >= 0)
                close(fd);
        }
        lt_error_restore(&saved);
        status = load(t);
    }
    lti_free(dir);
    return status;
}

lt_status lti_tune_open(const char *id, lti_tune **tune)
{
    lti_tune *t = lti_calloc(1, sizeof *t);
    if (!t)
        return LTI_NOMEM("tuning table");
    t->lock_fd = -1;
    pthread_mutex_init(&t->mutex, NULL);
    lt_status status = find_place(t, id);
    if (status != LT_OK) {
        lti_tune_close(t);
        return status;
    }
    *tune = t;
    return LT_OK;
}

void lti_tune_close(lti_tune *t)
{
    if (!t)
        return;
    for (entry *e = t->entries, *next; e; e = next) {
        next = e->next;
        lti_free(e);
    }
    pthread_mutex_destroy(&t->mutex);
    lti_free(t->path);
    lti_free(t->lock_path);
    lti_free(t);
}

bool lti_tune_persistent(const lti_tune *t)
{
    return t->persistent;
}

lt_status lti_tune_begin(lti_tune *t, const char *key)
{
    pthread_mutex_lock(&t->mutex);
    if (!t->persistent || find(t, key))
        return LT_OK;
    int locked = -1;
    t->lock_fd = open(t->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->lock_fd >= 0)
        do
            locked = flock(t->lock_fd, LOCK_EX);
        while (locked != 0 && errno == EINTR);
    if (locked != 0) {
        t->persistent = false; // the directory went away or cannot lock: the fixed rule from now on
        return LT_OK;
    }
    lt_status status = load(t);
    if (status != LT_OK)
        lti_tune_end(t);
    return status;
}

bool lti_tune_get(const lti_tune *t, const char *key, lti_choice *choice)
{
    const entry *e = find(t, key);
    if (e)
        *choice = e->choice;
    return e != NULL;
}

lt_status lti_tune_put(lti_tune *t, const char *key, const lti_choice *choice, bool *stored)
{
    const lt_error saved = *lt_error_get();
    entry *known = find(t, key);
    if (known)
        known->choice = *choice;
    else
        LT_TRY(remember(t, key, choice));
    *stored = store(t) == LT_OK;
    if (!*stored) { // full disk, say: what cannot be stored must not be used
        lt_error_restore(&saved);
        known = find(t, key);
        known->key[0] = 0;
        t->persistent = false;
    }
    return LT_OK;
}

void lti_tune_end(lti_tune *t)
{
    if (t->lock_fd >= 0)
        close(t->lock_fd); // releases the lock
    t->lock_fd = -1;
    pthread_mutex_unlock(&t->mutex);
}
