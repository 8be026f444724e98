// streams.c - what a stream of requests does to membership inference. Writes nothing without requests.
#include "report/section.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

enum { LABELS = 78 };

static void widen(lti_axis *x, double v)
{
    if (isfinite(v)) {
        x->lo = fmin(x->lo, v);
        x->hi = fmax(x->hi, v);
    }
}

static lt_status put_streams(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    int n_max = 0;
    lti_axis y = {.label = "AUC retain/forget \xe2\x88\x92 forget/test, points", .want = 5};
    lti_plot p;
    for (int i = 0; i < s->n_streams; i++) {
        n_max = s->streams[i].n > n_max ? s->streams[i].n : n_max;
        for (int k = 0; k < s->streams[i].n; k++) {
            widen(&y, 100 * s->streams[i].current[k]);
            widen(&y, 100 * s->streams[i].cumulative[k]);
        }
    }
    if (n_max == 0)
        return LT_OK;
    lti_section(d, "Sequential requests");
    lti_small(d, "The AUC of retained against forgotten samples minus that of forgotten against test samples, after "
                 "each request: higher is better. Solid: the samples of that request; dashed: all so far.");
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    lti_plot_open(
        d,
        &(lti_frame){.title = "Stream of requests",
                     .desc = "Difference of the two AUCs in points by request.",
                     .height = 260,
                     .right = LABELS,
                     .x = {.label = "request", .lo = 1, .hi = n_max, .tight = true, .want = n_max < 8 ? n_max : 8},
                     .y = y},
        &p);
    for (int i = 0; i < s->n_streams; i++) {
        const lt_report_stream *t = &s->streams[i];
        double *v = lti_calloc((size_t)t->n * 3 + 1, sizeof *v);
        if (!v) {
            d->b.failed = true;
            break;
        }
        for (int k = 0; k < t->n; k++) {
            v[k] = k + 1;
            v[t->n + k] = 100 * t->current[k];
            v[2 * t->n + k] = 100 * t->cumulative[k];
        }
        lti_style style = {.color = i % LTI_N_COLORS};
        lti_plot_line(&p, t->n, v, v + t->n, style);
        for (int k = 0; k < t->n; k++)
            lti_plot_mark(&p, v[k], v[t->n + k], LTI_DOT, style);
        lti_plot_label(&p, v[2 * t->n - 1], style, t->name);
        style.dash = 4;
        lti_plot_line(&p, t->n, v, v + 2 * t->n, style);
        lti_free(v);
    }
    lti_plot_close(&p);
    lti_buf_printf(&d->b, "</div>\n");
    return LT_OK;
}

static void write_streams(lti_lines *w)
{
    char name[48];
    for (int i = 0; i < w->d->spec->n_streams; i++) {
        const lt_report_stream *t = &w->d->spec->streams[i];
        for (int k = 0; k < t->n; k++) {
            lti_format(name, sizeof name, "%d", k + 1);
            lti_lines_add(
                w, &(lti_line){"request_fr_minus_ft_auc", NULL, t->name, name, NULL, t->current[k], lti_no_interval});
            lti_lines_add(w, &(lti_line){"request_cumulative_fr_minus_ft_auc", NULL, t->name, name, NULL,
                                         t->cumulative[k], lti_no_interval});
        }
    }
}

// ---- from the result of `lethe unlearn --requests`

static double first_number(const json_t *item, const char *const *path)
{
    for (; *path; path++)
        if (isfinite(lti_json_real_at(item, *path)))
            return lti_json_real_at(item, *path);
    return NAN;
}

static void take_stream(lti_gather *g, const json_t *result, const char *dir, lt_report_stream *out)
{
    static const char *const now[] = {"fr_minus_ft_auc", "current.fr_minus_ft_auc", NULL},
                             *const all[] = {"cumulative.fr_minus_ft_auc", "cumulative_fr_minus_ft_auc", NULL};
    const json_t *list = json_object_get(result, "requests");
    const char *method = lti_json_text_at(result, "method"), *slash = strrchr(dir, '/');
    const int n = (int)json_array_size(list);
    double *current = lti_gather_alloc(g, (size_t)n, sizeof *current),
           *cumulative = lti_gather_alloc(g, (size_t)n, sizeof *cumulative);
    *out = (lt_report_stream){.name = *method ? method
                                      : slash ? slash + 1
                                              : dir,
                              .run_dir = dir,
                              .n = current && cumulative ? n : 0,
                              .current = current,
                              .cumulative = cumulative};
    for (int i = 0; i < out->n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        current[i] = first_number(item, now);
        if (isnan(current[i]))
            current[i] = lti_json_real_at(item, "fr_auc") - lti_json_real_at(item, "ft_auc");
        cumulative[i] = first_number(item, all);
    }
}

static lt_status gather_streams(lti_gather *g)
{
    const int n = g->source->n_streams;
    lt_report_stream *out = lti_gather_alloc(g, (size_t)n, sizeof *out);
    if (!out)
        return LTI_NOMEM("report");
    for (int i = 0; i < n; i++)
        take_stream(g, g->stream[i], g->source->streams[i], &out[i]);
    g->spec->streams = out;
    g->spec->n_streams = n;
    return LT_OK;
}

const lti_report_section lti_section_streams = {
    .name = "streams",
    .gather = gather_streams,
    .put = put_streams,
    .lines = write_streams,
};
