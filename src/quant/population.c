// population.c - the same codes on many chips: accuracies of each, statistics over all [QAT 3.4].
//
// Chips are members of an lt_population: each runs on one thread, whatever runs next to it. Every finished chip is a
// row of the table on disk, so an interrupted call continues with the chips that are missing.
#include "quant/quant_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char *const row_name[LT_POP_N_ROWS] = {"bitmap", "bitmap-bn", "nearest", "nearest-bn", "tuned"};

const char *lt_population_row_name(lt_population_row row)
{
    return row_name[row];
}

typedef struct crowd {
    const lt_chip_population *p;
    double *acc;    // (LT_POP_N_ROWS, n)
    bool *done;     // (n)
    char head[256]; // first line of the table: what it belongs to
    pthread_mutex_t lock;
} crowd;

static double *cell(const crowd *c, int row, int chip)
{
    return &c->acc[row * c->p->n + chip];
}

// ---- the table

static void describe(crowd *c)
{
    const lt_quant_chip *d = &c->p->device;
    char digest[65];
    lt_model_digest(c->p->model, digest);
    snprintf(c->head, sizeof c->head, "# %.16s %.9g %.9g %llu %d %.9g %d %llu %d %d %d %llu\n", digest,
             (double)d->fault_rate, (double)d->stuck_at_1, (unsigned long long)d->fault_seed, d->encoding,
             (double)d->variability, d->variability_model, (unsigned long long)d->variability_seed, d->chip,
             c->p->bn_batches, c->p->tune != NULL, (unsigned long long)c->p->seed);
}

static void put_row(lti_buf *b, const crowd *c, int chip)
{
    lti_buf_printf(b, "%d", c->p->device.chip + chip);
    for (int r = 0; r < LT_POP_N_ROWS; r++)
        lti_buf_printf(b, ",%.17g", *cell(c, r, chip)); // a call that continues must give the same numbers
    lti_buf_printf(b, "\n");
}

static lt_status write_table(const crowd *c)
{
    lti_buf b = {0};
    if (!c->p->table)
        return LT_OK;
    lti_buf_printf(&b, "%schip", c->head);
    for (int r = 0; r < LT_POP_N_ROWS; r++)
        lti_buf_printf(&b, ",%s", row_name[r]);
    lti_buf_printf(&b, "\n");
    for (int i = 0; i < c->p->n; i++)
        if (c->done[i])
            put_row(&b, c, i);
    char *text = lti_buf_take(&b);
    if (!text)
        return LTI_NOMEM("table of chips");
    const lt_status status = lt_write_file_atomic(c->p->table, text, strlen(text));
    lti_free(text);
    return status;
}

static void read_row(crowd *c, char *line)
{
    char *end = NULL;
    const long chip = strtol(line, &end, 10) - c->p->device.chip;
    if (end == line || chip < 0 || chip >= c->p->n)
        return;
    for (int r = 0; r < LT_POP_N_ROWS; r++) {
        if (*end != ',')
            return;
        *cell(c, r, (int)chip) = strtod(end + 1, &end);
    }
    c->done[chip] = true;
}

// A table of something else is written anew.
static void read_table(crowd *c, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    if (!path || access(path, F_OK) != 0)
        return;
    if (lt_read_file(path, 1 << 24, &text, &n) != LT_OK) {
        lt_error_clear();
        return;
    }
    if (strncmp(text, c->head, strlen(c->head)) == 0)
        for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
            read_row(c, line);
    free(text);
}

// ---- one chip

static lt_status measure(const crowd *c, lt_model *m, const lt_env *env, double *acc)
{
    const lt_view test = lt_view_split(c->p->ds, LT_TEST);
    lt_eval_result r;
    LT_TRY(lt_evaluate(m, &test, env, 128, NULL, NULL, &r));
    *acc = r.acc;
    return LT_OK;
}

static lt_status measure_mapping(const crowd *c, int chip, lt_fault_mapping mapping, const lt_env *env, lt_model *m)
{
    const lt_chip_population *p = c->p;
    lt_quant_chip d = p->device;
    const int row = mapping == LT_MAP_BITMAP ? LT_POP_BITMAP : LT_POP_NEAREST;
    d.chip += chip;
    d.mapping = (int32_t)mapping;
    LT_TRY(lt_quant_program(p->quant, &d, NULL, m->params));
    if (m->n_state > 0)
        memcpy(m->state, p->model->state, (size_t)m->n_state * sizeof *m->state);
    LT_TRY(measure(c, m, env, cell(c, row, chip)));
    *cell(c, row + 1, chip) = *cell(c, row, chip);
    if (p->bn_batches <= 0)
        return LT_OK;
    LT_TRY(lt_bn_reestimate(m, p->ds, env, p->train, p->bn_batches, p->seed));
    return measure(c, m, env, cell(c, row + 1, chip));
}

static lt_status tune(const crowd *c, int chip, const lt_env *env, lt_model *m)
{
    const lt_chip_population *p = c->p;
    lt_quant_cfg cfg = *p->tune;
    lt_quant *q = NULL;
    lt_quant_result r;
    cfg.device = p->device;
    cfg.device.chip += chip;
    const lt_quant_chip ideal = {0};
    LT_TRY(lt_quant_program(p->quant, &ideal, NULL, m->params)); // from the nominal levels
    if (m->n_state > 0)
        memcpy(m->state, p->model->state, (size_t)m->n_state * sizeof *m->state);
    const lt_quant_in in = {.model = m, .ds = p->ds, .env = env, .seed = p->seed, .train = p->train};
    LT_TRY(lt_quant_train(&cfg, &in, &q, &r));
    lt_quant_destroy(q);
    *cell(c, LT_POP_TUNED, chip) = r.acc;
    return LT_OK;
}

static lt_status measure_chip(const crowd *c, int chip, const lt_env *env)
{
    lt_model *m = NULL;
    LT_TRY(lt_model_dup(c->p->model, &m));
    lt_status status = LT_OK;
    LT_TRY_GOTO(measure_mapping(c, chip, LT_MAP_BITMAP, env, m), done);
    LT_TRY_GOTO(measure_mapping(c, chip, LT_MAP_NEAREST, env, m), done);
    if (c->p->tune)
        LT_TRY_GOTO(tune(c, chip, env, m), done);
done:
    lt_model_destroy(m);
    return status;
}

// ---- chips that several processes share: one file a chip, which is locked while somebody measures, and then a table
// of one row. The table replaces the file that is locked, so what is there is read by its name and not from the lock.

static lt_status lock_chip(const crowd *c, int chip, char **path, int *lock)
{
    enum { SHOWN = 16, FILE_MODE = 0644 };
    lti_hash h;
    char digest[2 * LTI_HASH_BYTES + 1];
    lti_hash_init(&h);
    lti_hash_add(&h, c->head, strlen(c->head));
    lti_hash_hex(&h, digest);
    *lock = -1;
    *path = lti_asprintf("%s/%.*s-%06d.csv", c->p->shared, SHOWN, digest, c->p->device.chip + chip);
    if (!*path)
        return LTI_NOMEM("chip");
    LT_TRY(lt_make_dirs(c->p->shared));
    *lock = open(*path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (*lock < 0)
        return lti_errno_fail("write", *path);
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return LT_OK;
    return LT_FAIL(LT_E_BUSY, "%s: another process measures this chip", *path);
}

static lt_status write_chip(const crowd *c, int chip, const char *path)
{
    lti_buf b = {0};
    lti_buf_puts(&b, c->head);
    put_row(&b, c, chip);
    char *text = lti_buf_take(&b);
    const lt_status status = text ? lt_write_file_atomic(path, text, strlen(text)) : LTI_NOMEM("chip");
    lti_free(text);
    return status;
}

static lt_status measure_shared(crowd *c, int chip, const lt_env *env)
{
    char *path = NULL;
    int lock = -1;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lock_chip(c, chip, &path, &lock), done);
    read_table(c, path);
    if (c->done[chip])
        goto done;
    LT_TRY_GOTO(measure_chip(c, chip, env), done);
    LT_TRY_GOTO(write_chip(c, chip, path), done);
done:
    if (lock >= 0)
        close(lock);
    lti_free(path);
    return status;
}

static lt_status work(void *ctx, int chip, const lt_env *env)
{
    crowd *c = ctx;
    if (c->done[chip])
        return LT_OK;
    LT_TRY(c->p->shared ? measure_shared(c, chip, env) : measure_chip(c, chip, env));
    pthread_mutex_lock(&c->lock);
    c->done[chip] = true;
    const lt_status status = write_table(c);
    pthread_mutex_unlock(&c->lock);
    return status;
}

lt_status lt_chip_population_run(const lt_chip_population *p, double *acc)
{
    if (p->n < 1 || p->n > 100000)
        return LT_FAIL(LT_E_USAGE, "population: expected 1 to 100000 chips, found %d", p->n);
    if (p->ds->split[LT_TEST].n == 0)
        return LT_FAIL(LT_E_USAGE, "population: %s has no test images", p->ds->spec);
    crowd c = {.p = p, .acc = acc};
    lt_status status = LT_OK;
    c.done = lti_calloc((size_t)p->n, sizeof *c.done);
    lt_member_outcome *outcome = lti_calloc((size_t)p->n, sizeof *outcome);
    for (int i = 0; i < LT_POP_N_ROWS * p->n; i++)
        acc[i] = (double)NAN;
    pthread_mutex_init(&c.lock, NULL);
    describe(&c);
    if (!c.done || !outcome) {
        status = LTI_NOMEM("population of chips");
        goto done;
    }
    read_table(&c, p->table);
    const lt_population spec = {.n = p->n,
                                .n_workers = p->n_workers,
                                .backend = p->backend,
                                .plan_flags = p->plan_flags,
                                .work = work,
                                .ctx = &c,
                                .noun = "chip",
                                .join = p->shared != NULL,
                                .progress = p->tune ? "train.progress" : "eval.progress",
                                .events = p->events,
                                .stop = p->stop};
    LT_TRY_GOTO(lt_population_run(&spec, outcome), done);
done:
    pthread_mutex_destroy(&c.lock);
    lti_free(c.done);
    lti_free(outcome);
    return status;
}

// ---- statistics

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const double *sorted, int n, double q)
{
    const double at = q * (n - 1);
    const int low = (int)floor(at), high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

void lt_chip_stats_compute(const double *acc, int n, lt_chip_stats *s)
{
    const double nan = (double)NAN;
    *s = (lt_chip_stats){0, nan, nan, nan, nan, nan, nan, nan};
    double *sorted = lti_malloc((size_t)(n > 0 ? n : 1) * sizeof *sorted), sum = 0, square = 0;
    if (!sorted)
        return;
    for (int i = 0; i < n; i++)
        if (isfinite(acc[i]))
            sorted[s->n++] = acc[i];
    if (s->n > 0) {
        qsort(sorted, (size_t)s->n, sizeof *sorted, by_value);
        for (int i = 0; i < s->n; i++)
            sum += sorted[i];
        s->mean = sum / s->n;
        for (int i = 0; i < s->n; i++)
            square += (sorted[i] - s->mean) * (sorted[i] - s->mean);
        s->sd = s->n > 1 ? sqrt(square / (s->n - 1)) : 0;
        s->worst = sorted[0];
        s->best = sorted[s->n - 1];
        s->q05 = quantile(sorted, s->n, 0.05);
        s->q50 = quantile(sorted, s->n, 0.5);
        s->q95 = quantile(sorted, s->n, 0.95);
    }
    lti_free(sorted);
}

double lt_chip_yield(const double *acc, int n, double at)
{
    int good = 0, all = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(acc[i])) {
            all++;
            good += acc[i] >= at;
        }
    return all > 0 ? (double)good / all : (double)NAN;
}
