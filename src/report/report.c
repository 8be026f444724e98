// report.c - one page that shows what an unlearning run did and how close it came to retraining.
//
// The order follows the reader's questions: which method came closest to the oracle (tables, gaps), what an attacker
// finds (ROC), what the confidences look like before and after [AMUN 7.8], for which classes, what the stages of the
// network still tell (representation audit), what it cost, the warnings of the linter, the adversarial examples
// [AMUN 2], how the models were trained, and with which data, seeds and versions.
#include "report/section.h"

const lti_report_section *const lti_sections[] = {
#define LT_X(name) &lti_section_##name,
#include "report/sections.list"
#undef LT_X
};
const int lti_n_sections = sizeof lti_sections / sizeof *lti_sections;

static void contents(lti_buf *b, const lti_doc *d)
{
    if (d->n_sections < 2)
        return;
    lti_buf_printf(b, "<nav aria-label=\"Contents\"><ul>\n");
    for (int i = 0; i < d->n_sections; i++)
        lti_buf_printf(b, "<li><a href=\"#s%d\">%s</a></li>\n", i, d->section[i]);
    lti_buf_printf(b, "</ul></nav>\n");
}

static void put_head(lti_buf *b, const lti_doc *d)
{
    const lt_report_spec *spec = d->spec;
    lti_html_head(b, spec->title);
    lti_buf_printf(b, "<h1>");
    lti_html_text(b, spec->title);
    lti_buf_printf(b, "</h1>\n<p class=\"lead\">");
    lti_html_text(b, spec->subtitle);
    lti_buf_printf(b, "</p>\n");
    lti_buf_add(b, d->answer.data ? d->answer.data : "", d->answer.n);
    if (spec->note) {
        lti_buf_printf(b, "<p>");
        lti_html_text(b, spec->note);
        lti_buf_printf(b, "</p>\n");
    }
}

lt_status lt_report_html(const lt_report_spec *spec, const char *path)
{
    lti_buf b = {0};
    lti_doc d;
    lt_status status = LT_OK;
    LT_TRY(lti_doc_init(&d, spec));
    for (int i = 0; i < lti_n_sections; i++)
        LT_TRY_GOTO(lti_sections[i]->put(&d), done);
    put_head(&b, &d);
    contents(&b, &d);
    lti_buf_add(&b, d.b.data ? d.b.data : "", d.b.n);
    lti_html_tail(&b);
    if (b.failed || d.b.failed || d.answer.failed)
        status = LTI_NOMEM("report");
    else
        LT_TRY_GOTO(lt_write_file_atomic(path, b.data, b.n), done);
done:
    lti_buf_clear(&b);
    lti_doc_clear(&d);
    return status;
}
