// section_class_audit.c - where the images of forgotten classes go, and how far that is from retraining: computed from
// the outputs of the rows, with the oracles of the page as the retrained models. docs/methods/class-audit.md
#include "report/section.h"
#include "lethe/class_audit.h"
#include <math.h>
#include <string.h>

// Enough for the page; `lethe audit` learns from more.
enum { SAMPLES_OF_A_CLASS = 300, SVC_SAMPLES = 2000 };

typedef struct page_audit {
    lt_class_audits **of;   // (n_rows) NULL = the row has no outputs of forgotten classes
    lt_class_audits *first; // of some row: which classes were forgotten
} page_audit;

static void clear_audits(page_audit *a, int n)
{
    for (int i = 0; a->of && i < n; i++)
        lt_class_audit_destroy(a->of[i]);
    lti_free(a->of);
    *a = (page_audit){0};
}

static int list_oracles(const lt_report_spec *s, const lt_signals *like, int but, const lt_signals **oracle)
{
    int n = 0;
    for (int i = 0; i < s->n_rows; i++)
        if (i != but && s->rows[i].role == LT_ROW_ORACLE && s->rows[i].signals &&
            lt_signals_same_samples(like, s->rows[i].signals))
            oracle[n++] = s->rows[i].signals;
    return n;
}

static bool can_be_audited(const lt_signals *s)
{
    return s && lt_sample_group_rows(s, LT_SAMPLES_TEST_FORGET, NULL) > 0;
}

// A model against all oracles: `shared` keeps what those of the page's samples are, for the next one.
static lt_status audit_model(const lt_report_spec *s, const lt_signals *of, const lt_signals *const *oracle, int m,
                             const lt_class_audit_cfg *cfg, lt_class_reference **shared, lt_class_audits **out)
{
    if (!*shared)
        LT_TRY(lt_class_reference_create(of, oracle, m, cfg, s->seed, shared));
    return lt_class_reference_audit(*shared, of, out);
}

static lt_status audit_rows(const lt_report_spec *s, page_audit *a)
{
    lt_class_audit_cfg cfg;
    lt_class_reference *shared = NULL;
    const lt_signals *first = NULL, **oracle = lti_calloc((size_t)s->n_rows + 1, sizeof *oracle);
    *a = (page_audit){.of = lti_calloc((size_t)s->n_rows + 1, sizeof(lt_class_audits *))};
    lt_status status = oracle && a->of ? LT_OK : LTI_NOMEM("class audit");
    lt_options_defaults(lt_class_audit_options, &cfg);
    cfg.class_mia_limit = SAMPLES_OF_A_CLASS;
    cfg.class_svc_limit = SVC_SAMPLES;
    for (int i = 0; status == LT_OK && i < s->n_rows; i++) {
        const lt_signals *of = s->rows[i].signals;
        if (!can_be_audited(of))
            continue;
        const int m = list_oracles(s, of, i, oracle);
        first = first ? first : of;
        if (s->rows[i].role == LT_ROW_ORACLE || !lt_signals_same_samples(first, of)) // it has oracles of its own
            status = lt_class_audit_run(of, oracle, m, &cfg, s->seed, &a->of[i]);
        else
            status = audit_model(s, of, oracle, m, &cfg, &shared, &a->of[i]);
        a->first = a->first ? a->first : a->of[i];
    }
    lt_class_reference_destroy(shared);
    lti_free(oracle);
    if (status != LT_OK)
        clear_audits(a, s->n_rows);
    return status;
}

// ---- metrics

static void head(lti_doc *d, const char *caption, const char *const *column)
{
    lti_buf_printf(&d->b,
                   "<div class=\"scroll\" tabindex=\"0\"><table><caption>%s</caption>\n<thead><tr><th "
                   "scope=\"col\">Model</th>",
                   caption);
    for (; *column; column++)
        lti_buf_printf(&d->b, "<th scope=\"col\">%s</th>", *column);
    lti_buf_printf(&d->b, "</tr></thead>\n<tbody>\n");
}

static void put_metrics(lti_doc *d, const page_audit *a)
{
    static const char *const column[] = {"Forgotten classes, %",
                                         "Other classes, %",
                                         "SVC-MIA, %",
                                         "class-MIA, %",
                                         "retrained, %",
                                         "gap, points",
                                         "Total variation, %",
                                         "of mean outputs, %",
                                         "Two-sample accuracy, %",
                                         "May be ranked",
                                         "Seconds",
                                         "Passes, % of retraining",
                                         NULL};
    head(d, "Metrics of the forgotten classes", column);
    for (int i = 0; i < d->spec->n_rows; i++) {
        if (!a->of[i])
            continue;
        const lt_class_audit *c = &a->of[i]->audit[0];
        double two = 0;
        for (int f = 0; f < c->n_classes; f++)
            two += c->of[f].two_sample / c->n_classes;
        const double v[] = {c->acc.acc_f, c->acc.acc_r, c->svc_mia, c->score, c->reference,
                            c->gap,       c->tv,        c->tv_mean, two};
        lti_row_head(d, i);
        for (size_t k = 0; k < sizeof v / sizeof *v; k++)
            lti_cell(d, i, 100 * v[k], 1);
        lti_buf_printf(&d->b, "<td>%s</td>", !isfinite(c->acc_f_limit) ? "&ndash;" : c->passes_gate ? "yes" : "no");
        const lt_report_cost *cost = d->spec->rows[i].cost;
        const lti_deletion total = cost ? lti_deletion_cost(d->spec, cost) : (lti_deletion){NAN, NAN, NAN};
        lti_cell(d, i, total.seconds, 1);
        lti_cell(d, i, 100 * total.of_passes, 1);
        lti_buf_printf(&d->b, "</tr>\n");
    }
    lti_buf_printf(&d->b, "</tbody></table></div>\n");
}

// ---- tables by class

static void class_name(lti_doc *d, int k)
{
    if (d->spec->class_names)
        lti_html_text(&d->b, d->spec->class_names[k]);
    else
        lti_buf_printf(&d->b, "%d", k);
}

// A share on colour: the more, the darker.
static void share_cell(lti_doc *d, double share, bool strong)
{
    lti_buf *b = &d->b;
    if (!isfinite(share)) {
        lti_buf_printf(b, "<td>&ndash;</td>");
        return;
    }
    lti_buf_printf(b, "<td class=\"heat\" style=\"background:rgba(30,120,200,%.2f)\">%s%.1f%s</td>", 0.5 * share,
                   strong ? "<b>" : "", 100 * share, strong ? "</b>" : "");
}

typedef const double *(*values_of)(const lt_class_result *r);
static const double *predicted(const lt_class_result *r)
{
    return r->predicted;
}
static const double *accept(const lt_class_result *r)
{
    return r->accept;
}

static void put_shares(lti_doc *d, const page_audit *a, int f, const char *what, values_of get)
{
    const int k = a->first->k;
    const lt_class_result *first = &a->first->audit[0].of[f];
    lti_buf_printf(&d->b, "<div class=\"scroll\" tabindex=\"0\"><table><caption>%s: ", what);
    if (first->subclass >= 0)
        lti_buf_printf(&d->b, "subclass %lld of ", (long long)first->subclass);
    class_name(d, first->forgotten);
    lti_buf_printf(&d->b, "</caption>\n<thead><tr><th scope=\"col\">Model</th>");
    for (int c = 0; c < k; c++) {
        lti_buf_printf(&d->b, "<th scope=\"col\">");
        class_name(d, c);
        lti_buf_printf(&d->b, "</th>");
    }
    lti_buf_printf(&d->b, "</tr></thead>\n<tbody>\n");
    for (int i = 0; i < d->spec->n_rows; i++) {
        if (!a->of[i] || a->of[i]->k != k || a->of[i]->audit[0].n_classes <= f)
            continue;
        const lt_class_result *r = &a->of[i]->audit[0].of[f];
        lti_row_head(d, i);
        for (int c = 0; c < k; c++)
            share_cell(d, get(r)[c], c == r->neighbour);
        lti_buf_printf(&d->b, "</tr>\n");
    }
    lti_buf_printf(&d->b, "</tbody></table></div>\n");
}

static lt_status put_class_audit(lti_doc *d)
{
    page_audit a;
    LT_TRY(audit_rows(d->spec, &a));
    if (a.first) {
        lti_section(d, "Forgotten classes");
        lti_small(d, "Class unlearning removes the influence of the given images; it does not make a model ignorant of "
                     "what they show. A model is near retraining when its row looks like those of the oracles, each of "
                     "which is measured against the others; higher is not better. class-MIA: share of the forgotten "
                     "class's test images that the discriminator of the nearest class (bold) accepts. A model that "
                     "still answers with the forgotten class, or hides its logit only, can have a small gap: only a "
                     "model whose accuracy on the forgotten classes is at most a point above retraining may be "
                     "ranked by it, and the audit of representations comes first.");
        put_metrics(d, &a);
        for (int f = 0; f < a.first->audit[0].n_classes; f++) {
            put_shares(d, &a, f, "Where test images of the forgotten class go, %", predicted);
            put_shares(d, &a, f, "Accepted by the discriminators of the classes that stay, %", accept);
        }
    }
    clear_audits(&a, d->spec->n_rows);
    return LT_OK;
}

const lti_report_section lti_section_class_audit = {
    .name = "class-audit",
    .put = put_class_audit,
};
