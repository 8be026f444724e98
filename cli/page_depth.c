// page_depth.c - the "depth" object of an audit and the "requests" of a stream, as the report library takes them. Both
// come from files that may lack anything: what is not a number is NaN, and is left out of the page.
#include "board.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

// A list of numbers, or one number as a list of one. n = 0 when it is neither.
static const double *numbers(cli_pool *pool, const json_t *v, int *n)
{
    *n = json_is_number(v) ? 1 : (int)json_array_size(v);
    double *out = cli_pool_alloc(pool, (size_t)*n, sizeof *out);
    for (int i = 0; i < *n; i++)
        out[i] = json_is_number(v) ? json_number_value(v) : number(json_array_get(v, (size_t)i));
    return out;
}

static lt_report_by_model three_of(cli_pool *pool, const json_t *v)
{
    lt_report_by_model t = {number(json_object_get(v, "original")), number(json_object_get(v, "unlearned")), NULL, 0};
    t.retrained = numbers(pool, json_object_get(v, "retrained"), &t.n_retrained);
    return t;
}

static void fill_stages(cli_pool *pool, const json_t *depth, lt_report_representation *out)
{
    const json_t *probe = json_object_get(depth, "probe"), *cka = json_object_get(depth, "cka");
    out->n_probes = (int)json_array_size(probe);
    out->n_cka = (int)json_array_size(cka);
    lt_report_probe *p = cli_pool_alloc(pool, (size_t)out->n_probes, sizeof *p);
    lt_report_cka *c = cli_pool_alloc(pool, (size_t)out->n_cka, sizeof *c);
    for (int i = 0; i < out->n_probes; i++) {
        const json_t *item = json_array_get(probe, (size_t)i);
        p[i].stage = cli_text(item, "stage");
        p[i].membership_auc = three_of(pool, json_object_get(item, "membership_auc"));
        p[i].class_acc = three_of(pool, json_object_get(item, "class_acc"));
    }
    for (int i = 0; i < out->n_cka; i++) {
        const json_t *item = json_array_get(cka, (size_t)i);
        c[i].stage = cli_text(item, "stage");
        c[i].to_original = number(json_object_get(item, "to_original"));
        c[i].retrained_pair = number(json_object_get(item, "retrained_pair"));
        c[i].to_retrained = numbers(pool, json_object_get(item, "to_retrained"), &c[i].n_retrained);
    }
    out->probe = p;
    out->cka = c;
}

// A curve of n_steps values; shorter lists end in NaN. NULL when there is none.
static const double *curve(cli_pool *pool, const json_t *v, int n_steps)
{
    if (!json_is_array(v))
        return NULL;
    double *out = cli_pool_alloc(pool, (size_t)n_steps, sizeof *out);
    for (int i = 0; i < n_steps; i++)
        out[i] = number(json_array_get(v, (size_t)i));
    return out;
}

static lt_report_relearn relearn_of(cli_pool *pool, const json_t *v, int n_steps)
{
    const json_t *list = json_object_get(v, "retrained");
    lt_report_relearn r = {.original = curve(pool, json_object_get(v, "original"), n_steps),
                           .unlearned = curve(pool, json_object_get(v, "unlearned"), n_steps)};
    bool nested = json_is_array(json_array_get(list, 0));
    int n = json_array_size(list) == 0 ? 0 : nested ? (int)json_array_size(list) : 1;
    const double **retrained = cli_pool_alloc(pool, (size_t)n, sizeof *retrained);
    for (int i = 0; i < n; i++) {
        const double *one = curve(pool, nested ? json_array_get(list, (size_t)i) : list, n_steps);
        if (one)
            retrained[r.n_retrained++] = one;
    }
    r.retrained = retrained;
    return r;
}

void cli_page_depth(cli_pool *pool, const cli_board *board, lt_report_spec *spec)
{
    int n = (int)json_array_size(board->depth);
    lt_report_representation *out = cli_pool_alloc(pool, (size_t)n, sizeof *out);
    for (int i = 0; i < n; i++) {
        const json_t *item = json_array_get(board->depth, (size_t)i), *depth = json_object_get(item, "depth");
        const json_t *relearn = json_object_get(depth, "relearn");
        out[i].row = (int)json_integer_value(json_object_get(item, "row"));
        fill_stages(pool, depth, &out[i]);
        out[i].step = numbers(pool, json_object_get(relearn, "steps"), &out[i].n_steps);
        out[i].forget_acc = relearn_of(pool, json_object_get(relearn, "forget_acc"), out[i].n_steps);
        out[i].test_acc = relearn_of(pool, json_object_get(relearn, "test_acc"), out[i].n_steps);
    }
    spec->depth = out;
    spec->n_depth = n;
}

// ---- requests

static double first_number(const json_t *item, const char *const *path)
{
    for (; *path; path++)
        if (isfinite(cli_real(item, *path)))
            return cli_real(item, *path);
    return NAN;
}

static void fill_stream(cli_pool *pool, const cli_stream *stream, lt_report_stream *out)
{
    static const char *const now[] = {"fr_minus_ft_auc", "current.fr_minus_ft_auc", NULL},
                             *const all[] = {"cumulative.fr_minus_ft_auc", "cumulative_fr_minus_ft_auc", NULL};
    const json_t *list = json_object_get(stream->result, "requests");
    int n = (int)json_array_size(list);
    double *current = cli_pool_alloc(pool, (size_t)n, sizeof *current),
           *cumulative = cli_pool_alloc(pool, (size_t)n, sizeof *cumulative);
    for (int i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        current[i] = first_number(item, now);
        if (isnan(current[i]))
            current[i] = cli_real(item, "fr_auc") - cli_real(item, "ft_auc");
        cumulative[i] = first_number(item, all);
    }
    const char *method = cli_text(stream->result, "method"), *slash = strrchr(stream->name, '/');
    *out = (lt_report_stream){.name = *method ? method
                                      : slash ? slash + 1
                                              : stream->name,
                              .run_dir = stream->name,
                              .n = n,
                              .current = current,
                              .cumulative = cumulative};
}

void cli_page_streams(cli_pool *pool, const cli_board *board, lt_report_spec *spec)
{
    lt_report_stream *out = cli_pool_alloc(pool, (size_t)board->n_streams, sizeof *out);
    for (int i = 0; i < board->n_streams; i++)
        fill_stream(pool, &board->stream[i], &out[i]);
    spec->streams = out;
    spec->n_streams = board->n_streams;
}
