// text.c - the numbers of the page as Markdown and CSV: the comparison alone, or all of them.
#include "report/section.h"
#include <math.h>
#include <string.h>

static void markdown_text(lti_buf *b, const char *text)
{
    for (const char *s = text ? text : ""; *s; s++) {
        if (strchr("|\\`*_<>[]", *s))
            lti_buf_add(b, "\\", 1);
        lti_buf_add(b, *s == '\n' ? " " : s, 1);
    }
}

static void markdown_number(lti_buf *b, double value, int decimals)
{
    if (isfinite(value))
        lti_buf_printf(b, " %.*f |", decimals, value);
    else
        lti_buf_printf(b, " - |");
}

static bool is_column(int id)
{
    return lt_metric_get((lt_metric_id)id)->flags & LT_METRIC_COLUMN;
}

static double scaled(const lt_report_row *r, lt_metric_id id)
{
    return (lt_metric_get(id)->unit == LT_UNIT_SECONDS ? 1 : 100) * lti_row_metric(r, id);
}

char *lt_report_markdown(const lt_report_spec *spec)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "| method | uses |");
    for (int id = 0; id < LT_N_METRICS; id++)
        if (is_column(id))
            lti_buf_printf(&b, " %s%s |", lt_metric_get((lt_metric_id)id)->head,
                           lt_metric_get((lt_metric_id)id)->unit == LT_UNIT_FRACTION ? " %" : "");
    lti_buf_puts(&b, "\n|---|---|");
    for (int id = 0; id < LT_N_METRICS; id++)
        if (is_column(id))
            lti_buf_puts(&b, "--:|");
    lti_buf_puts(&b, "\n");
    for (int i = 0; i < spec->n_rows; i++) {
        const lt_report_row *r = &spec->rows[i];
        lti_buf_puts(&b, "| ");
        markdown_text(&b, r->name);
        lti_buf_puts(&b, " | ");
        markdown_text(&b, r->setting);
        lti_buf_puts(&b, " |");
        for (int id = 0; id < LT_N_METRICS; id++)
            if (is_column(id))
                markdown_number(&b, scaled(r, (lt_metric_id)id), lt_metric_get((lt_metric_id)id)->decimals);
        lti_buf_puts(&b, "\n");
    }
    return lti_buf_take(&b);
}

static void csv_text(lti_buf *b, const char *text)
{
    lti_buf_add(b, "\"", 1);
    for (const char *s = text ? text : ""; *s; s++) {
        if (*s == '"')
            lti_buf_add(b, "\"", 1);
        lti_buf_add(b, s, 1);
    }
    lti_buf_add(b, "\"", 1);
}

static void csv_number(lti_buf *b, double v)
{
    if (isfinite(v))
        lti_buf_printf(b, ",%.17g", v);
    else
        lti_buf_add(b, ",", 1);
}

char *lt_report_csv(const lt_report_spec *spec)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "method,uses");
    for (int id = 0; id < LT_N_METRICS; id++)
        if (is_column(id))
            lti_buf_printf(&b, ",%s", lt_metric_get((lt_metric_id)id)->column);
    lti_buf_puts(&b, ",run\n");
    for (int i = 0; i < spec->n_rows; i++) {
        const lt_report_row *r = &spec->rows[i];
        csv_text(&b, r->name);
        lti_buf_add(&b, ",", 1);
        csv_text(&b, r->setting);
        for (int id = 0; id < LT_N_METRICS; id++)
            if (is_column(id))
                csv_number(&b, lti_row_metric(r, (lt_metric_id)id));
        lti_buf_add(&b, ",", 1);
        csv_text(&b, r->run_dir);
        lti_buf_add(&b, "\n", 1);
    }
    return lti_buf_take(&b);
}

// ---- everything, as lines of one number each

const lt_interval lti_no_interval = {NAN, NAN};

void lti_lines_add(lti_lines *w, const lti_line *line)
{
    w->put(w->b, line, w->state);
}

void lti_lines_row(lti_lines *w, const char *section, int row, const char *quantity, double value)
{
    lti_lines_add(w, &(lti_line){section, &w->d->spec->rows[row], NULL, quantity, NULL, value, lti_no_interval});
}

static char *write_all(const lt_report_spec *spec, const char *head, lti_line_fn put, void *state)
{
    lti_doc d;
    lti_buf b = {0};
    if (lti_doc_init(&d, spec) != LT_OK)
        return NULL;
    lti_lines w = {&d, &b, put, state};
    lti_buf_puts(&b, head);
    for (int i = 0; i < lti_n_sections; i++)
        if (lti_sections[i]->lines)
            lti_sections[i]->lines(&w);
    lti_doc_clear(&d);
    return lti_buf_take(&b);
}

static void csv_line(lti_buf *b, const lti_line *l, void *state)
{
    (void)state;
    lti_buf_puts(b, l->section);
    const char *const text[5] = {l->row ? l->row->name : l->name, l->row ? l->row->setting : NULL,
                                 l->row ? l->row->seed : NULL, l->row ? l->row->run_dir : NULL, l->quantity};
    for (int i = 0; i < 5; i++) {
        lti_buf_add(b, ",", 1);
        csv_text(b, text[i]);
    }
    csv_number(b, l->value);
    csv_number(b, l->interval.low);
    csv_number(b, l->interval.high);
    lti_buf_add(b, ",", 1);
    csv_text(b, l->text);
    lti_buf_add(b, "\n", 1);
}

char *lt_report_all_csv(const lt_report_spec *spec)
{
    return write_all(spec, "section,model,setting,seed,run,quantity,value,low,high,text\n", csv_line, NULL);
}

static void markdown_value(lti_buf *b, double v)
{
    if (isfinite(v))
        lti_buf_printf(b, " %.6g |", v);
    else
        lti_buf_printf(b, " - |");
}

static void markdown_line(lti_buf *b, const lti_line *l, void *state)
{
    const char **section = state;
    if (!*section || strcmp(*section, l->section) != 0) {
        lti_buf_printf(b,
                       "\n## %s\n\n| model | uses | seed | quantity | value | low | high | text |\n"
                       "|---|---|---|---|--:|--:|--:|---|\n",
                       l->section);
        *section = l->section;
    }
    lti_buf_printf(b, "| ");
    markdown_text(b, l->row ? l->row->name : l->name);
    lti_buf_printf(b, " | ");
    markdown_text(b, l->row ? l->row->setting : NULL);
    lti_buf_printf(b, " | ");
    markdown_text(b, l->row ? l->row->seed : NULL);
    lti_buf_printf(b, " | ");
    markdown_text(b, l->quantity);
    lti_buf_printf(b, " |");
    markdown_value(b, l->value);
    markdown_value(b, l->interval.low);
    markdown_value(b, l->interval.high);
    lti_buf_printf(b, " ");
    markdown_text(b, l->text);
    lti_buf_printf(b, " |\n");
}

char *lt_report_all_markdown(const lt_report_spec *spec)
{
    const char *section = NULL;
    lti_buf head = {0};
    lti_buf_printf(&head, "# ");
    markdown_text(&head, spec->title);
    lti_buf_printf(&head, "\n\nFractions and seconds; intervals of 95 %%.\n");
    char *text = head.failed ? NULL : write_all(spec, head.data, markdown_line, &section);
    lti_buf_clear(&head);
    return text;
}
