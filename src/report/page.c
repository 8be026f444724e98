// page.c - the page under construction: rows gathered to methods, headings, links, cells.
//
// Rows of one group are one method under several seeds: charts show a group once, tables show every row. A group keeps
// its colour and dash through the page.
#include "report/report_impl.h"
#include "audit/audit_impl.h"
#include <math.h>
#include <string.h>

static lti_style style_of(lt_row_role role, int n_methods)
{
    if (role == LT_ROW_ORIGINAL)
        return (lti_style){.color = LTI_SOFT, .dash = 1};
    if (role == LT_ROW_ORACLE)
        return (lti_style){.color = LTI_INK, .thick = true};
    return (lti_style){.color = n_methods % LTI_N_COLORS, .dash = (n_methods + 1) % LTI_N_DASHES};
}

static bool same_group(const lt_report_row *a, const lt_report_row *b)
{
    return a->group && b->group && !strcmp(a->group, b->group);
}

// "FT", and "FT 2" for the second group of that name.
static char *name_of(const lti_doc *d, const char *name)
{
    int n = 1;
    for (int g = 0; g + 1 < d->n_groups; g++)
        n += !strcmp(d->spec->rows[d->group[g].row[0]].name, name);
    return n > 1 ? lti_asprintf("%s %d", name, n) : lti_strdup(name);
}

static bool collect_runs(lti_doc *d)
{
    const lt_report_spec *s = d->spec;
    int n_placed = 0, n_methods = 0;
    for (int i = 0; i < s->n_rows; i++) {
        bool seen = false;
        for (int k = 0; k < i && !seen; k++)
            seen = same_group(&s->rows[k], &s->rows[i]);
        if (seen)
            continue;
        lti_group *g = &d->group[d->n_groups++];
        *g = (lti_group){.setting = s->rows[i].setting, .role = s->rows[i].role};
        g->name = name_of(d, s->rows[i].name);
        if (!g->name)
            return false;
        g->style = style_of(g->role, n_methods);
        n_methods += g->role == LT_ROW_METHOD;
        g->row = d->row_index + n_placed;
        for (int k = i; k < s->n_rows; k++)
            if (k == i || same_group(&s->rows[i], &s->rows[k]))
                g->row[g->n++] = k;
        n_placed += g->n;
    }
    return true;
}

lt_status lti_doc_init(lti_doc *d, const lt_report_spec *spec)
{
    *d = (lti_doc){.spec = spec};
    d->group = lti_calloc((size_t)spec->n_rows + 1, sizeof *d->group);
    d->row_index = lti_calloc((size_t)spec->n_rows + 1, sizeof *d->row_index);
    if (d->group && d->row_index && collect_runs(d))
        return LT_OK;
    lti_doc_clear(d);
    return LTI_NOMEM("report");
}

void lti_doc_clear(lti_doc *d)
{
    lti_buf_clear(&d->b);
    lti_buf_clear(&d->answer);
    for (int g = 0; g < d->n_groups; g++)
        lti_free(d->group[g].name);
    lti_free(d->group);
    lti_free(d->row_index);
    d->group = NULL;
    d->row_index = NULL;
}

const char *lti_desc(lti_doc *d, const lti_buf *desc)
{
    d->b.failed = d->b.failed || desc->failed;
    return desc->data ? desc->data : "";
}

void lti_section(lti_doc *d, const char *title)
{
    if (d->n_sections == LTI_MAX_SECTIONS)
        LT_BUG("more than %d sections", (int)LTI_MAX_SECTIONS);
    lti_buf_printf(&d->b, "<h2 id=\"s%d\">%s</h2>\n", d->n_sections, title);
    d->section[d->n_sections++] = title;
}

void lti_small(lti_doc *d, const char *html)
{
    lti_buf_printf(&d->b, "<p class=\"small\">%s</p>\n", html);
}

void lti_link_open(lti_doc *d, int row)
{
    lti_buf_printf(&d->b, "<a href=\"#run-%d\">", row + 1);
}

const char *lti_row_title(const lti_doc *d, int row)
{
    for (int g = 0; g < d->n_groups; g++)
        for (int k = 0; k < d->group[g].n; k++)
            if (d->group[g].row[k] == row)
                return d->group[g].name;
    return d->spec->rows[row].name;
}

void lti_table_open(lti_doc *d, int64_t n_rows)
{
    enum { WHOLE = 24 };
    lti_buf_printf(&d->b, "<div class=\"scroll%s\" tabindex=\"0\"><table>", n_rows > WHOLE ? " tall" : "");
}

void lti_row_name(lti_doc *d, const lt_report_row *r)
{
    bool setting = r->setting && *r->setting, seed = r->seed && *r->seed;
    lti_html_text(&d->b, lti_row_title(d, (int)(r - d->spec->rows)));
    if (!setting && !seed)
        return;
    lti_buf_printf(&d->b, " <small>");
    lti_html_text(&d->b, r->setting);
    if (seed) {
        lti_buf_printf(&d->b, "%sseed ", setting ? ", " : "");
        lti_html_text(&d->b, r->seed);
    }
    lti_buf_printf(&d->b, "</small>");
}

void lti_row_head(lti_doc *d, int row)
{
    const lt_report_row *r = &d->spec->rows[row];
    lti_buf_printf(&d->b, r->role == LT_ROW_METHOD ? "<tr><th scope=\"row\">" : "<tr class=\"ref\"><th scope=\"row\">");
    lti_link_open(d, row);
    lti_row_name(d, r);
    lti_buf_printf(&d->b, "</a></th>");
}

void lti_value(lti_doc *d, int row, double value, int decimals)
{
    if (isfinite(value))
        lti_link_open(d, row);
    lti_html_number(&d->b, value, decimals);
    if (isfinite(value))
        lti_buf_puts(&d->b, "</a>");
}

void lti_cell(lti_doc *d, int row, double value, int decimals)
{
    lti_buf_puts(&d->b, "<td>");
    lti_value(d, row, value, decimals);
    lti_buf_puts(&d->b, "</td>");
}

double lti_row_metric(const lt_report_row *r, lt_metric_id id)
{
    const bool of_summary = lt_metric_get(id)->source == LT_METRIC_OF_SUMMARY;
    return lt_metric_field(id, of_summary ? (const void *)&r->summary : (const void *)&r->audit);
}

bool lti_has_values(const lti_doc *d)
{
    for (int i = 0; i < d->spec->n_rows; i++)
        if (d->spec->rows[i].value && d->spec->n_metrics > 0)
            return true;
    return false;
}

bool lti_in_part(const lti_doc *d, int group, int part)
{
    int before = 0;
    for (int g = 0; g < group; g++)
        before += d->group[g].role == LT_ROW_METHOD;
    return part < 0 || d->group[group].role != LT_ROW_METHOD || before / LTI_METHODS_A_CHART == part;
}

void lti_group_legend(lti_doc *d, int part, bool guessing)
{
    lti_legend_open(d);
    for (int g = 0; g < d->n_groups; g++) {
        const lti_group *of = &d->group[g];
        bool setting = of->setting && *of->setting;
        if (!lti_in_part(d, g, part))
            continue;
        char *text = of->n > 1 ? lti_asprintf("%s%s%s; %d runs", of->name, setting ? ", " : "",
                                              setting ? of->setting : "", of->n)
                               : lti_asprintf("%s%s%s", of->name, setting ? ", " : "", setting ? of->setting : "");
        lti_legend(d, of->style, text);
        d->b.failed = d->b.failed || !text;
        lti_free(text);
    }
    if (guessing)
        lti_legend(d, (lti_style){.color = LTI_SOFT, .dash = 2}, "guessing");
    lti_legend_close(d);
}

// Interval of the mean of n values: Student's with n - 1 degrees of freedom, 95 %.
static lt_interval of_mean(const lti_doc *d, const lti_group *g, int metric, double mean, int n)
{
    double squares = 0;
    for (int i = 0; i < g->n; i++) {
        const lt_report_value *v = d->spec->rows[g->row[i]].value;
        if (v && isfinite(v[metric].value))
            squares += (v[metric].value - mean) * (v[metric].value - mean);
    }
    double half = lti_student_quantile(0.025, n - 1) * sqrt(squares / (n - 1) / n);
    return (lt_interval){mean - half, mean + half};
}

lti_gap lti_group_gap(const lti_doc *d, const lti_group *g, int metric)
{
    double sum = 0, of = d->spec->metrics[metric].mean;
    lti_gap gap = {.mean = NAN, .interval = {NAN, NAN}};
    for (int i = 0; i < g->n; i++) {
        const lt_report_value *v = d->spec->rows[g->row[i]].value;
        if (v && isfinite(v[metric].value)) {
            sum += v[metric].value;
            gap.interval = v[metric].interval;
            gap.n++;
        }
    }
    if (gap.n == 0)
        return gap;
    if (gap.n > 1)
        gap.interval = of_mean(d, g, metric, sum / gap.n, gap.n);
    gap.mean = sum / gap.n - of;
    gap.interval.low -= of;
    gap.interval.high -= of;
    return gap;
}
