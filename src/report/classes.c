// classes.c - accuracy per class of forgotten and test samples, and its gap to the oracles, as a table of numbers on
// colour: orange above retraining, blue below. The numbers carry what the colours do.
#include "report/section.h"
#include <math.h>

void lti_class_accuracies(const lt_signals *s, int group, double *acc, int64_t *n)
{
    for (int c = 0; c < s->k; c++) {
        acc[c] = 0;
        n[c] = 0;
    }
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == group) {
            int64_t label = s->label[i];
            n[label]++;
            acc[label] += lt_signals_predicted(s, i) == label;
        }
    for (int c = 0; c < s->k; c++)
        acc[c] = n[c] > 0 ? acc[c] / (double)n[c] : (double)NAN;
}

typedef struct matrix {
    int k;
    double *acc;    // (n_rows, k); NaN = not known
    double *oracle; // (k) mean over the oracles
    int64_t *n;     // (k) samples, of the first row that has signals
} matrix;

static void mean_of_oracles(const lti_doc *d, const matrix *m)
{
    for (int c = 0; c < m->k; c++) {
        int n = 0;
        m->oracle[c] = 0;
        for (int i = 0; i < d->spec->n_rows; i++)
            if (d->spec->rows[i].role == LT_ROW_ORACLE && isfinite(m->acc[i * m->k + c])) {
                m->oracle[c] += m->acc[i * m->k + c];
                n++;
            }
        m->oracle[c] = n ? m->oracle[c] / n : (double)NAN;
    }
}

static void matrix_clear(matrix *m)
{
    lti_free(m->acc);
    lti_free(m->oracle);
    lti_free(m->n);
}

static lt_status matrix_fill(const lti_doc *d, int group, int k, matrix *m)
{
    *m = (matrix){.k = k};
    m->acc = lti_calloc((size_t)d->spec->n_rows * (size_t)k + 1, sizeof *m->acc);
    m->oracle = lti_calloc((size_t)k, sizeof *m->oracle);
    m->n = lti_calloc((size_t)k, sizeof *m->n);
    if (!m->acc || !m->oracle || !m->n) {
        matrix_clear(m);
        return LTI_NOMEM("accuracies per class");
    }
    for (int i = 0; i < d->spec->n_rows; i++) {
        const lt_signals *s = d->spec->rows[i].signals;
        for (int c = 0; c < k; c++)
            m->acc[i * k + c] = NAN;
        if (s && s->k == k)
            lti_class_accuracies(s, group, m->acc + i * k, m->n);
    }
    mean_of_oracles(d, m);
    return LT_OK;
}

// Full colour from 30 points on.
static void heat(lti_doc *d, int row, double acc, double gap)
{
    double strength = fmin(fabs(gap) / 0.3, 1) * 0.45;
    lti_buf *b = &d->b;
    if (!isfinite(acc)) {
        lti_buf_printf(b, "<td>&ndash;</td>");
        return;
    }
    if (isfinite(gap) && strength > 0.01)
        lti_buf_printf(b, "<td class=\"heat\" style=\"background:rgba(%s,%.2f)\">",
                       gap > 0 ? "230,120,20" : "30,120,200", strength);
    else
        lti_buf_printf(b, "<td>");
    lti_link_open(d, row);
    lti_buf_printf(b, "%.1f</a>", 100 * acc);
    if (isfinite(gap)) // no sign before a zero
        lti_buf_printf(b, fabs(gap) < 0.0005 ? "<small>0.0</small>" : "<small>%+.1f</small>", 100 * gap);
    lti_buf_printf(b, "</td>");
}

static void table(lti_doc *d, const char *caption, const matrix *m)
{
    const lt_report_spec *s = d->spec;
    lti_buf *b = &d->b;
    lti_table_open(d, m->k);
    lti_buf_printf(b, "<caption>%s</caption>\n<thead><tr><th scope=\"col\">Class</th><th scope=\"col\">Samples</th>",
                   caption);
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].signals) {
            lti_buf_printf(b, "<th scope=\"col\">");
            lti_link_open(d, i);
            lti_row_name(d, &s->rows[i]);
            lti_buf_printf(b, "</a></th>");
        }
    lti_buf_printf(b, "</tr></thead>\n<tbody>\n");
    for (int c = 0; c < m->k; c++) {
        if (m->n[c] == 0)
            continue;
        lti_buf_printf(b, "<tr><th scope=\"row\">");
        if (s->class_names)
            lti_html_text(b, s->class_names[c]);
        else
            lti_buf_printf(b, "%d", c);
        lti_buf_printf(b, "</th><td>%lld</td>", (long long)m->n[c]);
        for (int i = 0; i < s->n_rows; i++)
            if (s->rows[i].signals)
                heat(d, i, m->acc[i * m->k + c],
                     s->rows[i].role == LT_ROW_ORACLE ? (double)NAN : m->acc[i * m->k + c] - m->oracle[c]);
        lti_buf_printf(b, "</tr>\n");
    }
    lti_buf_printf(b, "</tbody></table></div>\n");
}

static lt_status put_classes(lti_doc *d)
{
    int k = 0;
    matrix m;
    for (int i = 0; i < d->spec->n_rows && k == 0; i++)
        k = d->spec->rows[i].signals ? d->spec->rows[i].signals->k : 0;
    if (k == 0)
        return LT_OK;
    lti_section(d, "Per-class accuracy");
    lti_small(d, "Accuracy in %, below it the gap to the mean of the oracles in points: orange above retraining, blue "
                 "below, full colour from 30 points on. Few samples move a class far.");
    LT_TRY(matrix_fill(d, LT_GROUP_FORGET, k, &m));
    table(d, "Forgotten samples", &m);
    matrix_clear(&m);
    LT_TRY(matrix_fill(d, LT_GROUP_TEST, k, &m));
    table(d, "Test samples", &m);
    matrix_clear(&m);
    return LT_OK;
}

static void write_classes(lti_lines *w)
{
    static const struct {
        const char *name;
        int group;
    } of[2] = {{"class_forget_acc", LT_GROUP_FORGET}, {"class_test_acc", LT_GROUP_TEST}};
    const lt_report_spec *s = w->d->spec;
    for (int i = 0; i < s->n_rows; i++) {
        const lt_signals *signals = s->rows[i].signals;
        if (!signals)
            continue;
        double *acc = lti_calloc((size_t)signals->k, sizeof *acc);
        int64_t *n = lti_calloc((size_t)signals->k, sizeof *n);
        for (int g = 0; acc && n && g < 2; g++) {
            lti_class_accuracies(signals, of[g].group, acc, n);
            for (int c = 0; c < signals->k; c++) {
                char number[24];
                lti_format(number, sizeof number, "%d", c);
                if (n[c] > 0)
                    lti_lines_row(w, of[g].name, i, s->class_names ? s->class_names[c] : number, acc[c]);
            }
        }
        bool failed = !acc || !n;
        lti_free(acc);
        lti_free(n);
        w->b->failed = w->b->failed || failed;
    }
}

const lti_report_section lti_section_classes = {
    .name = "classes",
    .put = put_classes,
    .lines = write_classes,
};
