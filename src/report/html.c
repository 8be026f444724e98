// html.c - the frame of a page: escaping, style, numbers.
//
// The style is inline and small: system fonts, two colour schemes by media query, tables and figures that reflow at
// phone width. Series colours are CSS variables, so that the same SVG reads on light and dark ground; the palette keeps
// its order of lightness for readers who do not see all hues.
#include "report/report_impl.h"
#include <math.h>
#include <string.h>

// Length of the UTF-8 sequence at s (at most `left` bytes), 0 when it is not valid.
static size_t utf8_length(const unsigned char *s, size_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (n <= 1)
        return n;
    if (n > left)
        return 0;
    uint32_t code = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        code = code << 6 | (s[i] & 63u);
    }
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

void lti_html_text(lti_buf *b, const char *text)
{
    const unsigned char *s = (const unsigned char *)(text ? text : "");
    size_t left = strlen((const char *)s);
    while (left > 0) {
        size_t n = utf8_length(s, left);
        bool control = n == 1 && (*s < 0x20 || *s == 0x7f) && *s != '\n' && *s != '\t';
        if (n == 0 || control)
            lti_buf_printf(b, "\xef\xbf\xbd"); // U+FFFD
        else if (*s == '&')
            lti_buf_printf(b, "&amp;");
        else if (*s == '<')
            lti_buf_printf(b, "&lt;");
        else if (*s == '>')
            lti_buf_printf(b, "&gt;");
        else if (*s == '"')
            lti_buf_printf(b, "&quot;");
        else if (*s == '\'')
            lti_buf_printf(b, "&#39;");
        else
            lti_buf_add(b, (const char *)s, n);
        n = n ? n : 1;
        s += n;
        left -= n;
    }
}

void lti_html_number(lti_buf *b, double value, int decimals)
{
    if (isfinite(value))
        lti_buf_printf(b, "%.*f", decimals, value);
    else
        lti_buf_printf(b, "&ndash;");
}

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1c2127;--soft:#5b6672;--line:#d9dee4;--panel:#f6f8fa;--mark:#e6f2ec;"
    "--c0:#0b62a8;--c1:#c2410c;--c2:#3f7d3a;--c3:#7c3fa0;--c4:#8a6d00;--c5:#0e7c86;--c6:#a3175c;--c7:#555f6b}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e4e8ec;--soft:#9aa6b2;--line:#333b44;--panel:#1b2127;"
    "--mark:#1d3529;--c0:#6bb2f0;--c1:#f58a4b;--c2:#86c97d;--c3:#c79ae6;--c4:#dcb94a;--c5:#5cc9d2;--c6:#f08bbb;--c7:#"
    "aab4be}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Helvetica Neue\",sans-serif}\n"
    "main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 4rem}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 .25rem}\n"
    "h2{font-size:1.15rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}\n"
    "p{max-width:46rem;margin:.5rem 0}\n"
    ".lead{color:var(--soft);font-size:1.05rem;margin:0 0 .75rem}.small{color:var(--soft);font-size:.875rem}\n"
    ".scroll{overflow-x:auto;margin:.75rem 0}\n"
    "table{border-collapse:collapse;min-width:100%;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.45rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}\n"
    "thead "
    "th{font-size:.8125rem;font-weight:600;color:var(--soft);vertical-align:bottom;white-space:normal;min-width:4.5rem}"
    "\n"
    "th:first-child{text-align:left;position:sticky;left:0;background:var(--bg)}\n"
    "tbody th{font-weight:600}tbody th small{display:block;color:var(--soft);font-weight:400}\n"
    "tr.ref td,tr.ref th:first-child{background:var(--panel)}td.best{background:var(--mark);font-weight:700}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem;margin:.75rem 0}\n"
    "figure{margin:0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem .75rem "
    ".5rem}\n"
    "figcaption{font-weight:600;font-size:.9375rem}figcaption span{font-weight:400;color:var(--soft)}\n"
    "svg{display:block;width:100%;height:auto;margin-top:.25rem}\n"
    "svg text{font-size:11px;fill:var(--soft);font-family:inherit}svg .axis{stroke:var(--soft);stroke-width:1}\n"
    "svg .rule{stroke:var(--line);stroke-width:1}svg path{fill:none;stroke-width:1.5;stroke-linejoin:round}\n"
    "svg .dash{stroke-dasharray:4 3}svg .fill{stroke:none;fill-opacity:.16}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.875rem;margin:.35rem "
    "0;padding:0;list-style:none}\n"
    ".legend i{display:inline-block;width:1.4em;height:0;border-top:3px solid;margin-right:.4em;vertical-align:.25em}\n"
    ".legend i.dash{border-top-style:dashed}\n"
    ".strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(5.25rem,1fr));gap:1rem .75rem;margin:.75rem 0}\n"
    ".strip div{font-size:.8125rem;line-height:1.3;color:var(--soft)}\n"
    ".strip "
    "img{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:.25rem;margin-bottom:.25rem}\n"
    "dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.25rem 1rem;margin:.75rem "
    "0;font-size:.9375rem}\n"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\n"
    "footer{margin-top:3rem;color:var(--soft);font-size:.8125rem}\n"
    "@media(max-width:40rem){th,td{padding:.4rem .45rem}thead th{min-width:3.75rem}}\n"
    "@media print{figure,tr{break-inside:avoid}}\n";

void lti_html_head(lti_buf *b, const char *title)
{
    lti_buf_printf(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                      "<meta name=\"generator\" content=\"lethe " LT_VERSION "\">\n<title>");
    lti_html_text(b, title);
    lti_buf_printf(b, "</title>\n<style>\n");
    lti_buf_add(b, style, sizeof style - 1);
    lti_buf_printf(b, "</style>\n</head>\n<body>\n<main>\n");
}

void lti_html_tail(lti_buf *b)
{
    lti_buf_printf(b, "<footer>Made by lethe " LT_VERSION
                      ". This file is complete: no scripts, nothing loaded from elsewhere.</footer>\n"
                      "</main>\n</body>\n</html>\n");
}
