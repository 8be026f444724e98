// receipt_html.c - a receipt as one page that a privacy officer reads: no script that runs, no other file, printable.
//
// The page is drawn from the values of the receipt alone, which it carries as JSON; it is checked by drawing it again.
#include "ledger/ledger_impl.h"
#include "lethe/metric.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light "
    "dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--page:#fff;--panel:#f6f8fa;--good:#116329;"
    "--bad:#a40e26;--open:#7a4b00}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#3d444d;--page:#0d1117;--panel:#161b22;"
    "--good:#56d364;--bad:#ff7b72;--open:#e3b341}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 "
    "system-ui,sans-serif}\n"
    "main{max-width:52rem;margin:0 auto;padding:2rem 1.25rem}\n"
    "h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 "
    ".5rem;padding-bottom:.25rem;"
    "border-bottom:1px solid var(--line)}\n"
    "p{margin:.5rem 0}.soft{color:var(--soft)}.lead{font-size:1.05rem}\n"
    "dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.3rem 1rem;margin:.5rem "
    "0}dt{color:var(--soft)}"
    "dd{margin:0;overflow-wrap:anywhere}\n"
    "code{font:.85em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}pre{background:var(--panel);border:1px solid "
    "var(--line);border-radius:6px;padding:.6rem .8rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;padding:."
    "3rem "
    ".6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600}"
    "td.v{white-space:nowrap}td.n,th.n{padding-left:.6rem;text-align:right;font-variant-numeric:tabular-nums;white-"
    "space:nowrap}\n"
    ".verdict{background:var(--panel);border:1px solid var(--line);border-left:.35rem solid "
    "var(--open);border-radius:6px;"
    "padding:.7rem 1rem;margin:1rem "
    "0}.verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}"
    "\n.verdict b{display:block;font-size:1.1rem}\n"
    "ul{padding-left:1.2rem;margin:.5rem 0}li{margin:.35rem 0}\n"
    "@media (max-width:32rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}\n"
    "@media print{:root{--ink:#000;--soft:#333;--line:#999;--page:#fff;--panel:#fff;--good:#000;--bad:#000;--open:#000}"
    "body{font-size:10pt}main{padding:0;max-width:none}h2{break-after:avoid}tr,li,.verdict,pre{break-inside:avoid}}\n"
    "</style>\n";

static void put_text(lti_buf *b, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            lti_buf_puts(b, "&lt;");
            break;
        case '>':
            lti_buf_puts(b, "&gt;");
            break;
        case '&':
            lti_buf_puts(b, "&amp;");
            break;
        case '"':
            lti_buf_puts(b, "&quot;");
            break;
        default:
            lti_buf_add(b, s, 1);
        }
}

enum { SHORT = 16, DAY = 10, MINUTE = 16 }; // bytes of a digest that is shown; of a date, of a date and time

static void put_start(lti_buf *b, const char *s, int n_bytes)
{
    enum { MAX_BYTES = 64 };
    char start[MAX_BYTES + 1];
    lti_format(start, sizeof start, "%.*s", n_bytes, s);
    put_text(b, start);
}

static void put_row(lti_buf *b, const char *term, const char *value, const char *tag)
{
    if (!value || !*value)
        return;
    lti_buf_printf(b, "<dt>%s</dt><dd>%s%s%s", term, tag ? "<" : "", tag ? tag : "", tag ? ">" : "");
    put_text(b, value);
    lti_buf_printf(b, "%s%s%s</dd>\n", tag ? "</" : "", tag ? tag : "", tag ? ">" : "");
}

static int64_t integer_at(const json_t *v, const char *path)
{
    return json_integer_value(lti_json_at(v, path));
}

// "2026-12-01T20:50:35Z" -> "2026-12-01 20:50 UTC"
static void put_time(lti_buf *b, const char *term, const char *time)
{
    if (strlen(time) <= MINUTE)
        return;
    lti_buf_printf(b, "<dt>%s</dt><dd>", term);
    put_start(b, time, DAY);
    lti_buf_puts(b, " ");
    put_start(b, time + DAY + 1, MINUTE - DAY - 1);
    lti_buf_puts(b, " UTC</dd>\n");
}

// ---- the deletion

static void put_lead(lti_buf *b, const json_t *about)
{
    const int64_t n = integer_at(about, "forget.n");
    const char *request = lti_json_text_at(about, "request"), *method = lti_json_text_at(about, "method.title");
    if (!json_object_get(about, "forget")) {
        lti_buf_puts(b, "<h1>Record of a run</h1>\n");
        return;
    }
    lti_buf_puts(b, "<h1>Deletion receipt");
    if (*request) {
        lti_buf_puts(b, " for request ");
        put_text(b, request);
    }
    lti_buf_printf(b,
                   "</h1>\n<p class=\"lead\">An image classifier was made to forget %lld training sample%s, with the "
                   "method <b>",
                   (long long)n, n == 1 ? "" : "s");
    put_text(b, *method ? method : lti_json_text_at(about, "method.name"));
    lti_buf_puts(b, "</b>.</p>\n");
}

static void put_deletion(lti_buf *b, const json_t *about)
{
    const json_t *before = lti_json_at(about, "forget.n");
    lti_buf_puts(b, "<h2>What was asked and what was done</h2>\n<dl>\n");
    put_row(b, "Request", lti_json_text_at(about, "request"), NULL);
    put_row(b, "Asked", lti_json_text_at(about, "forget.asked"), "code");
    if (json_is_integer(before))
        lti_buf_printf(b, "<dt>Samples</dt><dd>%lld</dd>\n", (long long)json_integer_value(before));
    if (json_is_object(lti_json_at(about, "forget.samples"))) {
        lti_buf_printf(b, "<dt>Content digests</dt><dd>%lld, keyed (key <code>",
                       (long long)integer_at(about, "forget.samples.n"));
        put_start(b, lti_json_text_at(about, "forget.samples.key"), SHORT);
        lti_buf_puts(b, "</code>)</dd>\n");
    }
    put_row(b, "Method", lti_json_text_at(about, "method.title"), NULL);
    put_row(b, "Data", lti_json_text_at(about, "data.spec"), "code");
    put_row(b, "Architecture", lti_json_text_at(about, "model.architecture"), "code");
    put_row(b, "Model before", lti_json_text_at(about, "parent.digest"), "code");
    put_row(b, "Model after", lti_json_text_at(about, "model.digest"), "code");
    put_time(b, "Done", lti_json_text_at(about, "run.finished"));
    put_time(b, "Recorded", lti_json_text_at(about, "time"));
    lti_buf_puts(b, "</dl>\n");
}

// ---- the audit

static void put_number(lti_buf *b, const lt_metric *m, double value)
{
    enum { PERCENT = 100 };
    if (!isfinite(value))
        lti_buf_puts(b, "-");
    else if (m->unit == LT_UNIT_FRACTION && m->source == LT_METRIC_OF_AUDIT)
        lti_buf_printf(b, "%.1f&nbsp;%%", PERCENT * value);
    else
        lti_buf_printf(b, "%.3f", value);
}

static double real_at(const json_t *v, const char *path)
{
    const json_t *value = lti_json_at(v, path);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void put_metric(lti_buf *b, const json_t *audit, lt_metric_id id, const lt_mia *attack)
{
    const lt_metric *m = lt_metric_get(id);
    char at[LT_METRIC_PATH + 32], path[LT_METRIC_PATH], title[LT_METRIC_TITLE];
    lt_metric_path(id, attack, path);
    lti_format(at, sizeof at, "result.%s", path);
    const double value = real_at(audit, at);
    if (!isfinite(value))
        return;
    lti_buf_puts(b, "<tr><td>");
    put_text(b, lt_metric_title(id, attack, title));
    lti_buf_puts(b, "</td><td class=\"n\">");
    put_number(b, m, value);
    lti_format(at, sizeof at, "result.interval.%s", path);
    const json_t *interval = lti_json_at(audit, at);
    lti_buf_puts(b, "</td><td class=\"n\">");
    if (json_array_size(interval) == 2) {
        put_number(b, m, json_number_value(json_array_get(interval, 0)));
        lti_buf_puts(b, " to ");
        put_number(b, m, json_number_value(json_array_get(interval, 1)));
    } else {
        lti_buf_puts(b, "-");
    }
    lti_format(at, sizeof at, "result.null_band.%s.mean", path);
    lti_buf_puts(b, "</td><td class=\"n\">");
    put_number(b, m, real_at(audit, at));
    lti_format(at, sizeof at, "result.verdict.%s", path);
    lti_buf_puts(b, "</td><td class=\"v\">");
    put_text(b, *lti_json_text_at(audit, at) ? lti_json_text_at(audit, at) : "-");
    lti_buf_puts(b, "</td></tr>\n");
}

static void put_metrics(lti_buf *b, const json_t *audit)
{
    lti_buf_puts(
        b, "<p class=\"soft\">A model that has forgotten the samples has the values of models that never saw them "
           "(retrained). An AUC of 0.5 means that an attacker does no better than guessing.</p>\n");
    lti_buf_puts(b,
                 "<div class=\"wide\"><table><thead><tr><th>Metric</th><th class=\"n\">This model</th><th class=\"n\">"
                 "95&nbsp;% interval</th><th class=\"n\">Retrained (mean)</th><th>Verdict</th></tr></thead><tbody>\n");
    for (int id = 0; id < LT_N_METRICS; id++) {
        const lt_metric *m = lt_metric_get((lt_metric_id)id);
        if (!(m->flags & LT_METRIC_JUDGED))
            continue;
        if (m->source != LT_METRIC_OF_ATTACK) {
            put_metric(b, audit, (lt_metric_id)id, NULL);
            continue;
        }
        for (const lt_mia *const *a = lt_mia_list(); *a; a++)
            put_metric(b, audit, (lt_metric_id)id, *a);
    }
    lti_buf_puts(b, "</tbody></table></div>\n");
}

static void put_verdict(lti_buf *b, const json_t *audit)
{
    const char *verdict = lti_json_text_at(audit, "result.verdict.overall");
    const size_t n = json_array_size(json_object_get(audit, "oracles"));
    const bool good = n > 1 && !strcmp(verdict, lt_verdict_text(LT_VERDICT_SAME)),
               bad = n > 1 && !strcmp(verdict, lt_verdict_text(LT_VERDICT_DIFFERENT)),
               blind = n > 1 && !strcmp(verdict, lt_verdict_text(LT_VERDICT_CANNOT_TELL));
    lti_buf_printf(b, "<div class=\"verdict%s\"><b>%s</b>",
                   good  ? " good"
                   : bad ? " bad"
                         : "",
                   good    ? "Not distinguishable from retrained models"
                   : bad   ? "Distinguishable from retrained models"
                   : blind ? "This study cannot tell: the model before the deletion passes for a retrained one, too"
                   : n > 1 ? "Undecided: too few retrained models"
                           : "No verdict: not compared with enough retrained models");
    lti_buf_printf(b,
                   "Compared with %zu model%s trained again without the removed samples, on %lld removed, %lld "
                   "retained and %lld test samples.</div>\n",
                   n, n == 1 ? "" : "s", (long long)integer_at(audit, "result.n_forget"),
                   (long long)integer_at(audit, "result.n_retain"), (long long)integer_at(audit, "result.n_test"));
}

static int put_audits(lti_buf *b, const json_t *receipt)
{
    const json_t *item;
    size_t i;
    int n = 0;
    lti_buf_puts(b, "<h2>How it was checked</h2>\n");
    json_array_foreach(json_object_get(receipt, "records"), i, item)
    {
        const json_t *audit = json_object_get(item, "body");
        if (strcmp(lti_json_text_at(audit, "kind"), "audit") != 0)
            continue;
        n++;
        lti_buf_printf(b, "<p class=\"soft\">Audit, record %lld, ", (long long)integer_at(item, "id"));
        put_start(b, lti_json_text_at(audit, "time"), DAY);
        lti_buf_puts(b, "</p>\n");
        put_verdict(b, audit);
        put_metrics(b, audit);
    }
    if (n == 0)
        lti_buf_puts(b, "<p>It was not: the ledger has no audit of this model after the deletion.</p>\n");
    return n;
}

// ---- what is left open, signature, checking

static bool was_said(const json_t *receipt, size_t record, size_t sentence)
{
    const json_t *records = json_object_get(receipt, "records");
    const json_t *wanted = json_array_get(lti_json_at(json_array_get(records, record), "body.not_proven"), sentence);
    for (size_t i = 0; i <= record; i++) {
        const json_t *list = lti_json_at(json_array_get(records, i), "body.not_proven");
        for (size_t j = 0; j < json_array_size(list) && (i < record || j < sentence); j++)
            if (json_equal(json_array_get(list, j), wanted))
                return true;
    }
    return false;
}

static void put_not_proven(lti_buf *b, const json_t *receipt, int n_audits)
{
    const json_t *item, *sentence;
    size_t i, j;
    lti_buf_puts(b, "<h2>What this does not prove</h2>\n<ul>\n");
    if (n_audits == 0)
        lti_buf_puts(b, "<li>That anything was forgotten: no audit of this model is recorded.</li>\n");
    if (!json_is_object(json_object_get(receipt, "signature")))
        lti_buf_puts(b, "<li>Who made this receipt, and that it was not replaced: it is not signed.</li>\n");
    json_array_foreach(json_object_get(receipt, "records"), i, item)
    {
        json_array_foreach(lti_json_at(item, "body.not_proven"), j, sentence)
        {
            if (was_said(receipt, i, j))
                continue;
            lti_buf_puts(b, "<li>");
            put_text(b, json_is_string(sentence) ? json_string_value(sentence) : "");
            lti_buf_puts(b, "</li>\n");
        }
    }
    lti_buf_puts(b, "</ul>\n");
}

static void put_signature(lti_buf *b, const json_t *receipt)
{
    const json_t *s = json_object_get(receipt, "signature");
    lti_buf_puts(b, "<h2>Signature, and how to check this receipt</h2>\n");
    if (json_is_object(s)) {
        lti_buf_puts(b, "<dl>\n");
        put_row(b, "Key fingerprint", lti_json_text_at(s, "fingerprint"), "code");
        put_time(b, "Signed", lti_json_text_at(s, "time"));
        lti_buf_printf(b, "<dt>Covers</dt><dd>all records up to number %lld</dd>\n", (long long)integer_at(s, "of"));
        lti_buf_puts(b, "</dl>\n<p>Ask the sender for the public key another way than with this page, and compare its "
                        "fingerprint. Then:</p>\n<pre>lethe ledger verify receipt.html --public-key signing.key.pub"
                        "</pre>\n");
    } else {
        lti_buf_puts(b,
                     "<p>This receipt is not signed. Its records can be compared with the ledger that they come from; "
                     "by itself it shows only that it was not changed by accident:</p>\n<pre>lethe ledger verify "
                     "receipt.html</pre>\n");
    }
    lti_buf_puts(b, "<p class=\"soft\">The command computes every digest again and draws this page again from its "
                    "records; a changed byte is reported with its place. The records are in the source of this page as "
                    "JSON.</p>\n<dl>\n");
    put_row(b, "Ledger", lti_json_text_at(receipt, "ledger"), "code");
    put_row(b, "This receipt", lti_json_text_at(receipt, "document"), "code");
    lti_buf_puts(b, "</dl>\n");
}

// JSON that cannot end the element it stands in: "<" as an escape, which reads back the same.
static void put_embedded(lti_buf *b, const char *json)
{
    lti_buf_puts(b, "<script type=\"application/json\" id=\"receipt\">\n");
    for (; *json; json++)
        if (*json == '<')
            lti_buf_puts(b, "\\u003c");
        else
            lti_buf_add(b, json, 1);
    lti_buf_puts(b, "</script>\n");
}

char *lti_receipt_html(const json_t *receipt, const char *receipt_json)
{
    lti_buf b = {0};
    const json_t *first = json_array_get(json_object_get(receipt, "records"), 0),
                 *about = json_object_get(first, "body");
    lti_buf_puts(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
                     "content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" "
                     "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>Deletion receipt ");
    put_text(&b, lti_json_text_at(about, "request"));
    lti_buf_puts(&b, "</title>\n");
    lti_buf_puts(&b, style);
    lti_buf_puts(&b, "</head>\n<body>\n<main>\n");
    put_lead(&b, about);
    lti_buf_printf(&b, "<p class=\"soft\">Record %lld of the ledger <code>", (long long)integer_at(first, "id"));
    put_start(&b, lti_json_text_at(receipt, "ledger"), SHORT);
    lti_buf_puts(&b, "</code></p>\n");
    put_deletion(&b, about);
    const int n_audits = put_audits(&b, receipt);
    put_not_proven(&b, receipt, n_audits);
    put_signature(&b, receipt);
    lti_buf_puts(&b, "</main>\n");
    put_embedded(&b, receipt_json);
    lti_buf_puts(&b, "</body>\n</html>\n");
    return lti_buf_take(&b);
}
