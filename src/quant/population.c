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

static const char *const row_name[] = {"bitmap", "bitmap-bn",       "nearest", "nearest-bn",
                                       "tuned",  "tuned-elsewhere", "grouped"};

_Static_assert(sizeof row_name / sizeof *row_name == LT_POP_N_ROWS, "a name for every row");

const char *lt_population_row_name(lt_population_row row)
{
    return row_name[row];
}

typedef struct crowd {
    const lt_chip_population *p;
    double *acc;   // (LT_POP_N_ROWS, n)
    bool *done;    // (n) measured but for its group
    char head[96]; // first line of the table: what it belongs to
    pthread_mutex_t lock;
} crowd;

static double *cell(const crowd *c, int row, int chip)
{
    return &c->acc[row * c->p->n + chip];
}

// ---- the table

static void hash_text(lti_hash *h, const char *text)
{
    lti_hash_add(h, text, strlen(text) + 1);
}

static void hash_options(lti_hash *h, const lt_option *rows, const void *cfg)
{
    for (; rows->name; rows++) {
        char number[LT_OPTION_TEXT_MAX];
        const char *text = lt_option_text(rows, cfg, number);
        hash_text(h, rows->name);
        hash_text(h, text ? text : "");
    }
}

// A row of the table is worth something only where all that it depends on is the same.
static void describe(crowd *c)
{
    const lt_chip_population *p = c->p;
    char digest[65], facts[96];
    lti_hash h;
    lti_hash_init(&h);
    lt_model_digest(p->model, digest);
    hash_text(&h, digest);
    hash_text(&h, p->ds->digest);
    hash_options(&h, lt_quant_chip_options, &p->device);
    hash_options(&h, lt_train_options, p->train);
    if (p->tune)
        hash_options(&h, lt_quant_options, p->tune);
    if (p->n_groups > 0)
        hash_options(&h, lt_quant_options, p->group_tune);
    snprintf(facts, sizeof facts, "%d %d %d %d %d %llu", p->n_groups > 0 ? p->n : 0, p->bn_batches, p->n_images,
             p->tune != NULL, p->n_groups, (unsigned long long)p->seed);
    hash_text(&h, facts);
    lti_hash_hex(&h, digest);
    snprintf(c->head, sizeof c->head, "# %s\n", digest);
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

// A table of something else is rewritten.
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
    lt_view test = lt_view_split(c->p->ds, LT_TEST);
    lt_eval_result r;
    if (c->p->n_images > 0 && c->p->n_images < test.n)
        test.n = c->p->n_images;
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

// Options of a training on chips: the tensors, bits and grids are those of the codes.
static lt_quant_cfg tuning_of(const lt_chip_population *p, const lt_quant_cfg *options)
{
    lt_quant_cfg cfg = *options;
    cfg.bits = p->quant->cfg.bits;
    cfg.granularity = p->quant->cfg.granularity;
    cfg.ends = p->quant->cfg.ends;
    cfg.shortcuts = p->quant->cfg.shortcuts;
    cfg.device = p->device;
    return cfg;
}

static lt_status tune(const crowd *c, int chip, const lt_env *env, lt_model *m)
{
    const lt_chip_population *p = c->p;
    lt_quant_cfg cfg = tuning_of(p, p->tune);
    lt_quant *q = NULL;
    lt_quant_result r;
    cfg.device.chip += chip;
    const lt_quant_chip ideal = {0};
    LT_TRY(lt_quant_program(p->quant, &ideal, NULL, m->params)); // from the nominal levels
    if (m->n_state > 0)
        memcpy(m->state, p->model->state, (size_t)m->n_state * sizeof *m->state);
    const lt_quant_in in = {.model = m, .ds = p->ds, .env = env, .seed = p->seed, .train = p->train};
    LT_TRY(lt_quant_train(&cfg, &in, &q, &r));
    *cell(c, LT_POP_TUNED, chip) = r.acc;
    lt_quant_chip next = cfg.device; // what was trained for one chip, on another
    next.chip++;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lt_quant_program(q, &next, NULL, m->params), done);
    if (p->bn_batches > 0)
        LT_TRY_GOTO(lt_bn_reestimate(m, p->ds, env, p->train, p->bn_batches, p->seed), done);
    LT_TRY_GOTO(measure(c, m, env, cell(c, LT_POP_TUNED_ELSEWHERE, chip)), done);
done:
    lt_quant_destroy(q);
    return status;
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

// ---- chips that several processes share: one file a chip (or a group), which is locked while somebody measures, and
// then a table of its rows. The table replaces the file that is locked, so what is there is read by its name and not
// from the lock.

static lt_status lock_member(const crowd *c, const char *kind, int number, char **path, int *lock)
{
    enum { SHOWN = 16, FILE_MODE = 0644 };
    lti_hash h;
    char digest[2 * LTI_HASH_BYTES + 1];
    lti_hash_init(&h);
    lti_hash_add(&h, c->head, strlen(c->head));
    lti_hash_hex(&h, digest);
    *lock = -1;
    *path = lti_asprintf("%s/%.*s-%s%06d.csv", c->p->shared, SHOWN, digest, kind, number);
    if (!*path)
        return LTI_NOMEM("chip");
    LT_TRY(lt_make_dirs(c->p->shared));
    *lock = open(*path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (*lock < 0)
        return lti_errno_fail("write", *path);
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return LT_OK;
    return LT_FAIL(LT_E_BUSY, "%s: another process measures this one", *path);
}

static lt_status write_members(const crowd *c, const int32_t *chips, int n, const char *path)
{
    lti_buf b = {0};
    lti_buf_puts(&b, c->head);
    for (int j = 0; j < n; j++)
        put_row(&b, c, chips[j] - c->p->device.chip);
    char *text = lti_buf_take(&b);
    const lt_status status = text ? lt_write_file_atomic(path, text, strlen(text)) : LTI_NOMEM("chip");
    lti_free(text);
    return status;
}

// What one worker measures at a time: a chip, or a group of chips that share a training.
typedef struct unit {
    const char *kind; // in the name of its file
    int number;
    const int32_t *chips;
    int n;
    bool (*is_measured)(const crowd *c, const int32_t *chips, int n);
    lt_status (*measure)(crowd *c, const int32_t *chips, int n, const lt_env *env);
} unit;

static lt_status measure_locked(crowd *c, const unit *u, const char *path, const lt_env *env)
{
    pthread_mutex_lock(&c->lock); // the table that other threads write
    read_table(c, path);
    const bool is_measured = u->is_measured(c, u->chips, u->n);
    pthread_mutex_unlock(&c->lock);
    if (is_measured)
        return LT_OK;
    LT_TRY(u->measure(c, u->chips, u->n, env));
    return write_members(c, u->chips, u->n, path);
}

static lt_status measure_shared(crowd *c, const unit *u, const lt_env *env)
{
    char *path = NULL;
    int lock = -1;
    lt_status status = lock_member(c, u->kind, u->number, &path, &lock);
    if (status == LT_OK)
        status = measure_locked(c, u, path, env);
    if (lock >= 0)
        close(lock);
    lti_free(path);
    return status;
}

static lt_status work_on_unit(crowd *c, const unit *u, const lt_env *env)
{
    if (u->is_measured(c, u->chips, u->n))
        return LT_OK;
    LT_TRY(c->p->shared ? measure_shared(c, u, env) : u->measure(c, u->chips, u->n, env));
    pthread_mutex_lock(&c->lock);
    const lt_status status = write_table(c);
    pthread_mutex_unlock(&c->lock);
    return status;
}

// ---- chip by chip

static bool is_chip_measured(const crowd *c, const int32_t *chips, int n)
{
    (void)n;
    return c->done[chips[0] - c->p->device.chip];
}

static lt_status measure_one(crowd *c, const int32_t *chips, int n, const lt_env *env)
{
    (void)n;
    const int chip = chips[0] - c->p->device.chip;
    LT_TRY(measure_chip(c, chip, env));
    pthread_mutex_lock(&c->lock);
    c->done[chip] = true;
    pthread_mutex_unlock(&c->lock);
    return LT_OK;
}

static lt_status work_on_chip(void *ctx, int chip, const lt_env *env)
{
    crowd *c = ctx;
    const int32_t number = c->p->device.chip + chip;
    return work_on_unit(c, &(unit){"", number, &number, 1, is_chip_measured, measure_one}, env);
}

// ---- groups of chips

static lt_status measure_member(crowd *c, const lt_quant *q, const lt_model *trained, int chip, const lt_env *env)
{
    const lt_chip_population *p = c->p;
    lt_model *m = NULL;
    lt_quant_chip d = p->device;
    double acc;
    lt_status status = LT_OK;
    d.chip += chip;
    d.mapping = LT_MAP_NEAREST;
    LT_TRY(lt_model_dup(trained, &m));
    LT_TRY_GOTO(lt_quant_program(q, &d, NULL, m->params), done);
    if (p->bn_batches > 0)
        LT_TRY_GOTO(lt_bn_reestimate(m, p->ds, env, p->train, p->bn_batches, p->seed), done);
    LT_TRY_GOTO(measure(c, m, env, &acc), done);
    pthread_mutex_lock(&c->lock); // the chip is in the table that other threads write
    *cell(c, LT_POP_GROUPED, chip) = acc;
    pthread_mutex_unlock(&c->lock);
done:
    lt_model_destroy(m);
    return status;
}

static lt_status train_group(crowd *c, const int32_t *chips, int n, const lt_env *env, lt_model *m)
{
    const lt_chip_population *p = c->p;
    lt_quant_cfg cfg = tuning_of(p, p->group_tune);
    lt_quant *q = NULL;
    lt_quant_result r;
    const lt_quant_chip ideal = {0};
    cfg.device.mapping = LT_MAP_NEAREST;
    LT_TRY(lt_quant_program(p->quant, &ideal, NULL, m->params)); // from the nominal levels
    const lt_quant_in in = {
        .model = m, .ds = p->ds, .env = env, .seed = p->seed, .train = p->train, .group = chips, .n_group = n};
    LT_TRY(lt_quant_train(&cfg, &in, &q, &r));
    lt_status status = LT_OK;
    for (int j = 0; j < n && status == LT_OK; j++)
        status = measure_member(c, q, m, chips[j] - p->device.chip, env);
    lt_quant_destroy(q);
    return status;
}

static int members_of(const crowd *c, int group, int32_t chips[LT_QUANT_MAX_GROUP])
{
    int n = 0;
    for (int j = 0; j < c->p->n; j++)
        if (c->p->group[j] == group)
            chips[n++] = c->p->device.chip + j;
    return n;
}

static bool is_group_measured(const crowd *c, const int32_t *chips, int n)
{
    for (int j = 0; j < n; j++)
        if (isnan(*cell(c, LT_POP_GROUPED, chips[j] - c->p->device.chip)))
            return false;
    return true;
}

static lt_status measure_group(crowd *c, const int32_t *chips, int n, const lt_env *env)
{
    lt_model *m = NULL;
    LT_TRY(lt_model_dup(c->p->model, &m));
    const lt_status status = train_group(c, chips, n, env, m);
    lt_model_destroy(m);
    return status;
}

static lt_status work_on_group(void *ctx, int group, const lt_env *env)
{
    crowd *c = ctx;
    int32_t chips[LT_QUANT_MAX_GROUP];
    const int n = members_of(c, group, chips);
    return work_on_unit(c, &(unit){"group-", group, chips, n, is_group_measured, measure_group}, env);
}

// Works on members: every chip, or every group.
static lt_status run_members(crowd *c, int n, lt_status (*work_on)(void *, int, const lt_env *), const char *noun,
                             bool trains)
{
    const lt_chip_population *p = c->p;
    lt_member_outcome *outcome = lti_calloc((size_t)n, sizeof *outcome);
    if (!outcome)
        return LTI_NOMEM("population of chips");
    const lt_population spec = {.n = n,
                                .n_workers = p->n_workers,
                                .backend = p->backend,
                                .plan_flags = p->plan_flags,
                                .work = work_on,
                                .ctx = c,
                                .noun = noun,
                                .join = p->shared != NULL,
                                .progress = trains ? "train.progress" : "eval.progress",
                                .events = p->events,
                                .stop = p->stop};
    const lt_status status = lt_population_run(&spec, outcome);
    lti_free(outcome);
    return status;
}

static lt_status run_groups(crowd *c)
{
    const lt_chip_population *p = c->p;
    double *cost = lti_calloc((size_t)p->n_groups, sizeof *cost);
    if (!cost)
        return LTI_NOMEM("groups of chips");
    lt_status status = lt_chip_groups(p->quant, &p->device, p->n, p->n_groups, p->group, cost);
    lti_free(cost);
    if (status == LT_OK)
        status = run_members(c, p->n_groups, work_on_group, "group", true);
    return status;
}

lt_status lt_chip_population_run(const lt_chip_population *p, double *acc)
{
    if (p->n < 1 || p->n > 100000)
        return LT_FAIL(LT_E_USAGE, "population: expected 1 to 100000 chips, found %d", p->n);
    if (p->ds->split[LT_TEST].n == 0)
        return LT_FAIL(LT_E_USAGE, "population: %s has no test images", p->ds->spec);
    if (p->n_groups < 0 || (p->n_groups > 0 && (p->n_groups > p->n || !p->group || !p->group_tune)))
        return LT_FAIL(LT_E_USAGE, "population: expected at most as many groups as chips (%d), found %d", p->n,
                       p->n_groups);
    if (p->n_groups > 0 && (!(p->device.fault_rate > 0) || p->device.variability > 0))
        return LT_FAIL(LT_E_USAGE, "groups: expected chips with stuck cells and no spread of cells");
    crowd c = {.p = p, .acc = acc};
    lt_status status = LT_OK;
    c.done = lti_calloc((size_t)p->n, sizeof *c.done);
    for (int i = 0; i < LT_POP_N_ROWS * p->n; i++)
        acc[i] = (double)NAN;
    pthread_mutex_init(&c.lock, NULL);
    describe(&c);
    if (!c.done) {
        status = LTI_NOMEM("population of chips");
        goto done;
    }
    read_table(&c, p->table);
    LT_TRY_GOTO(run_members(&c, p->n, work_on_chip, "chip", p->tune != NULL), done);
    if (p->n_groups > 0)
        LT_TRY_GOTO(run_groups(&c), done);
done:
    pthread_mutex_destroy(&c.lock);
    lti_free(c.done);
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
