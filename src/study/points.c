// points.c - the settings a search tries: the grid, then random points. Equal points are tried once.
#include "study/parse.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 8 };

typedef enum draw_kind { DRAW_CHOICE, DRAW_UNIFORM, DRAW_LOG_UNIFORM } draw_kind;
typedef struct dim { // one option of a grid or of a random search
    const char *key;
    const lti_yaml *node;
    draw_kind kind;
    double low, high;
    bool whole; // an integer option
    int n;      // values to choose from
    lt_study_option *value;
} dim;

static bool same_point(const lt_study_options *a, const lt_study_options *b)
{
    bool same = a->n == b->n;
    for (int i = 0; same && i < a->n; i++) {
        int j = 0;
        while (j < b->n && strcmp(a->option[i].key, b->option[j].key) != 0)
            j++;
        same = j < b->n && !strcmp(a->option[i].value, b->option[j].value);
    }
    return same;
}

static lt_status add_point(lti_study_reader *r, const lt_study_options *point, lt_study_method *m)
{
    lt_status status;
    for (int i = 0; i < m->n_points; i++)
        if (same_point(&m->point[i], point))
            return LT_OK;
    lt_study_option *copy = lti_study_alloc(r, (size_t)point->n, sizeof *copy, &status);
    LT_TRY(status);
    memcpy(copy, point->option, (size_t)point->n * sizeof *copy);
    m->point[m->n_points++] = (lt_study_options){point->n, copy};
    return LT_OK;
}

static lt_status check_free(lti_study_reader *r, const lt_study_method *m, const lti_yaml *node)
{
    for (int i = 0; i < m->options.n; i++)
        if (lti_same_key(m->options.option[i].key, node->key))
            return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected an option that 'options' does not fix already",
                           LTI_AT(r, node), node->key);
    return LT_OK;
}

// ---- multiples of the default learning-rate area: "x3". The area itself follows when method, data and access are
// known.

static bool is_area(const char *key)
{
    return lti_same_key(key, "lr-area");
}

static lt_status read_multiple(lti_study_reader *r, lti_study_set *set, const char *key, const char *text,
                               const lti_yaml *node, lt_study_option *out)
{
    double factor;
    LT_TRY(lti_study_value_text(r, set, key, "1", node, out)); // the method has the option
    if (!lti_study_multiple(text, &factor))
        return LT_FAIL(LT_E_USAGE,
                       "%s:%d: %s: expected a number, or a multiple of the default such as x3 or x1/3, found '%s'",
                       LTI_AT(r, node), key, text);
    out->value = lti_arena_strdup(&r->arena, text);
    return out->value ? LT_OK : LTI_NOMEM(r->label);
}

bool lti_study_multiple(const char *text, double *factor)
{
    char *end;
    if (*text != 'x')
        return false;
    *factor = strtod(text + 1, &end);
    if (end == text + 1)
        return false;
    if (*end == '/') {
        const char *from = end + 1;
        *factor /= strtod(from, &end);
        if (end == from)
            return false;
    }
    return !*end && isfinite(*factor) && *factor > 0;
}

// "default": a third, once and three times the default.
static lt_status read_default_areas(lti_study_reader *r, lti_study_set *set, const char *key, const lti_yaml *node,
                                    dim *d)
{
    static const char *const multiple[] = {"x1/3", "x1", "x3"};
    enum { N = sizeof multiple / sizeof *multiple };
    lt_status status;
    const char *text;
    LT_TRY(lti_yaml_text(r->label, node, &text));
    if (strcmp(text, "default") != 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected a list of values or 'default', found '%s'", LTI_AT(r, node),
                       key, text);
    d->value = lti_study_alloc(r, N, sizeof *d->value, &status);
    LT_TRY(status);
    for (int i = 0; i < N; i++)
        LT_TRY(read_multiple(r, set, key, multiple[i], node, &d->value[d->n++]));
    return LT_OK;
}

static lt_status read_value(lti_study_reader *r, lti_study_set *set, const char *key, const lti_yaml *node,
                            lt_study_option *out)
{
    const char *text;
    if (!is_area(key) || node->kind != LTI_YAML_SCALAR)
        return lti_study_value(r, set, key, node, out);
    LT_TRY(lti_yaml_text(r->label, node, &text));
    return *text == 'x' ? read_multiple(r, set, key, text, node, out) : lti_study_value(r, set, key, node, out);
}

static lt_status read_choice(lti_study_reader *r, lti_study_set *set, const char *key, const lti_yaml *list, dim *d)
{
    lt_status status;
    if (is_area(key) && list->kind == LTI_YAML_SCALAR)
        return read_default_areas(r, set, key, list, d);
    LT_TRY(lti_yaml_expect(r->label, list, LTI_YAML_LIST));
    if (list->n == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected at least one value, found none", LTI_AT(r, list), key);
    d->value = lti_study_alloc(r, (size_t)list->n, sizeof *d->value, &status);
    LT_TRY(status);
    for (const lti_yaml *c = list->first; c; c = c->next)
        LT_TRY(read_value(r, set, key, c, &d->value[d->n++]));
    for (int i = 0; i < d->n; i++)
        for (int j = 0; j < i; j++)
            if (!strcmp(d->value[i].value, d->value[j].value))
                return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected different values, found %s twice", LTI_AT(r, list), key,
                               d->value[i].value);
    return LT_OK;
}

static lt_status check_dims(lti_study_reader *r, const lti_yaml *map, int n)
{
    if (n < 1 || n > MAX_DIMS)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected 1 to %d options, found %d", LTI_AT(r, map), map->key, MAX_DIMS,
                       n);
    return LT_OK;
}

// ---- grid

static lt_status read_grid(lti_study_reader *r, lti_study_set *set, const lti_yaml *map, int32_t budget,
                           const lt_study_method *m, dim *dims, int *n_dims, int *n_points)
{
    int64_t total = 1;
    LT_TRY(lti_yaml_expect(r->label, map, LTI_YAML_MAP));
    LT_TRY(check_dims(r, map, map->n));
    *n_dims = 0;
    for (const lti_yaml *c = map->first; c; c = c->next) {
        dim *d = &dims[(*n_dims)++];
        *d = (dim){.key = c->key, .node = c};
        LT_TRY(check_free(r, m, c));
        LT_TRY(read_choice(r, set, c->key, c, d));
        total *= d->n;
        if (total > budget)
            return LT_FAIL(LT_E_USAGE, "%s:%d: grid: expected at most %d points (tuning.budget), found %lld or more",
                           LTI_AT(r, map), budget, (long long)total);
    }
    *n_points = (int)total;
    return LT_OK;
}

static lt_status fill_grid(lti_study_reader *r, const dim *dims, int n_dims, int n_points, lt_study_method *m)
{
    lt_study_option option[MAX_DIMS];
    for (int p = 0; p < n_points; p++) {
        int rest = p;
        for (int i = n_dims - 1; i >= 0; i--) { // the last option runs fastest
            option[i] = dims[i].value[rest % dims[i].n];
            rest /= dims[i].n;
        }
        LT_TRY(add_point(r, &(lt_study_options){n_dims, option}, m));
    }
    return LT_OK;
}

// ---- random

static const lt_option *find_row(const lt_option *table, const char *key)
{
    for (; table->name; table++)
        if (lti_same_key(table->name, key))
            return table;
    return NULL;
}

static lt_status read_range(lti_study_reader *r, lti_study_set *set, const lti_yaml *range, dim *d)
{
    lt_study_option checked;
    LT_TRY(lti_yaml_expect(r->label, range, LTI_YAML_LIST));
    if (range->n != 2)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected [low, high], found %d values", LTI_AT(r, range), range->key,
                       range->n);
    LT_TRY(lti_study_f64(r, range->first, &d->low));
    LT_TRY(lti_study_f64(r, range->first->next, &d->high));
    LT_TRY(lti_study_value(r, set, d->key, range->first, &checked));
    LT_TRY(lti_study_value(r, set, d->key, range->first->next, &checked));
    if (!(d->low < d->high) || (d->kind == DRAW_LOG_UNIFORM && !(d->low > 0)))
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected %slow < high, found [%g, %g]", LTI_AT(r, range), range->key,
                       d->kind == DRAW_LOG_UNIFORM ? "0 < " : "", d->low, d->high);
    return LT_OK;
}

static lt_status read_law(lti_study_reader *r, lti_study_set *set, const lti_yaml *node, const lt_option *row, dim *d)
{
    static const char *const laws[] = {"choice", "uniform", "log-uniform", NULL};
    if (node->kind == LTI_YAML_LIST)
        return read_choice(r, set, d->key, node, d);
    LT_TRY(lti_study_keys(r, node, laws));
    if (node->n != 1)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected one of choice, uniform, log-uniform, found %d", LTI_AT(r, node),
                       d->key, node->n);
    const lti_yaml *law = node->first;
    d->kind = lti_same_key(law->key, "choice")    ? DRAW_CHOICE
              : lti_same_key(law->key, "uniform") ? DRAW_UNIFORM
                                                  : DRAW_LOG_UNIFORM;
    if (d->kind == DRAW_CHOICE)
        return read_choice(r, set, d->key, law, d);
    d->whole = row->type == LT_OPT_I32 || row->type == LT_OPT_I64 || row->type == LT_OPT_U64;
    if (!d->whole && row->type != LT_OPT_F32 && row->type != LT_OPT_F64)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected an option that is a number, to draw it from a range",
                       LTI_AT(r, node), d->key);
    return read_range(r, set, law, d);
}

static lt_status read_random(lti_study_reader *r, lti_study_set *set, const lti_yaml *map, const lt_study_method *m,
                             dim *dims, int *n_dims, int32_t *n_draws)
{
    enum { MAX_DRAWS = 4096 };
    LT_TRY(lti_yaml_expect(r->label, map, LTI_YAML_MAP));
    const lti_yaml *n = lti_yaml_get(map, "n");
    if (!n)
        return LT_FAIL(LT_E_USAGE, "%s:%d: random: expected n, the number of points, found none", LTI_AT(r, map));
    LT_TRY(lti_study_i32(r, n, 1, MAX_DRAWS, n_draws));
    LT_TRY(check_dims(r, map, map->n - 1));
    *n_dims = 0;
    for (const lti_yaml *c = map->first; c; c = c->next) {
        if (c == n)
            continue;
        dim *d = &dims[(*n_dims)++];
        *d = (dim){.key = c->key, .node = c};
        LT_TRY(check_free(r, m, c));
        const lt_option *row = find_row(m->method->opts, c->key);
        if (!row) { // the message of an unknown option
            lt_study_option unused;
            LT_TRY(lti_study_value_text(r, set, c->key, "0", c, &unused));
            return LT_FAIL(LT_E_USAGE, "%s:%d: unknown option '%s'", LTI_AT(r, c), c->key);
        }
        LT_TRY(read_law(r, set, c, row, d));
    }
    return LT_OK;
}

// FNV-1a: draws depend on the names of method and option, not on their order in the file.
static uint32_t digest(const char *method, const char *key)
{
    uint32_t h = 2166136261u;
    for (const char *part[2] = {method, key}, **p = part; p < part + 2; p++)
        for (const char *c = *p;; c++) {
            h = (h ^ (uint32_t)(unsigned char)(*c == '_' ? '-' : *c)) * 16777619u;
            if (!*c)
                break;
        }
    return h;
}

// Four digits, so that settings can be read, copied and compared.
static void number_text(const dim *d, double u, char out[LTI_NUMBER_MAX])
{
    double v = d->kind == DRAW_UNIFORM ? d->low + u * (d->high - d->low) : d->low * pow(d->high / d->low, u);
    if (d->whole) {
        lti_format(out, LTI_NUMBER_MAX, "%.0f", fmin(fmax(round(v), ceil(d->low)), floor(d->high)));
        return;
    }
    double scale = v == 0.0 ? 1.0 : pow(10.0, 3 - floor(log10(fabs(v))));
    v = fmin(fmax(round(v * scale) / scale, d->low), d->high);
    lti_number_text(v, true, out);
}

static lt_status draw_point(lti_study_reader *r, lti_study_set *set, const dim *dims, int n_dims, int number,
                            uint64_t seed, lt_study_method *m)
{
    lt_study_option option[MAX_DIMS];
    for (int i = 0; i < n_dims; i++) {
        const dim *d = &dims[i];
        lt_rng rng = lt_rng_at(seed, LT_STREAM_STUDY, digest(m->name, d->key), (uint64_t)number);
        if (d->kind == DRAW_CHOICE) {
            option[i] = d->value[lt_rng_below(&rng, (uint64_t)d->n)];
            continue;
        }
        char text[LTI_NUMBER_MAX];
        number_text(d, (double)lt_rng_uniform(&rng), text);
        LT_TRY(lti_study_value_text(r, set, d->key, text, d->node, &option[i]));
    }
    return add_point(r, &(lt_study_options){n_dims, option}, m);
}

lt_status lti_study_points(lti_study_reader *r, lti_study_set *set, const lti_yaml *grid, const lti_yaml *random,
                           int32_t budget, uint64_t seed, lt_study_method *m)
{
    dim grid_dims[MAX_DIMS], random_dims[MAX_DIMS];
    int n_grid_dims = 0, n_grid = 0, n_random_dims = 0;
    int32_t n_draws = 0;
    lt_status status;
    if (grid)
        LT_TRY(read_grid(r, set, grid, budget, m, grid_dims, &n_grid_dims, &n_grid));
    if (random)
        LT_TRY(read_random(r, set, random, m, random_dims, &n_random_dims, &n_draws));
    const lti_yaml *at = random ? random : grid;
    if (at && n_grid + n_draws > budget)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected at most %d points (tuning.budget), found %d", LTI_AT(r, at),
                       m->name, budget, n_grid + n_draws);
    m->point = lti_study_alloc(r, (size_t)n_grid + (size_t)n_draws, sizeof *m->point, &status);
    LT_TRY(status);
    LT_TRY(fill_grid(r, grid_dims, n_grid_dims, grid ? n_grid : 0, m));
    m->n_grid = m->n_points;
    for (int i = 0; i < n_draws; i++)
        LT_TRY(draw_point(r, set, random_dims, n_random_dims, i, seed, m));
    return LT_OK;
}
