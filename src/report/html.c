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

void lti_html_title(lti_buf *b, const char *text)
{
    const bool small = *text >= 'a' && *text <= 'z' && strncmp(text, "phi", 3) != 0;
    if (small)
        lti_buf_printf(b, "%c", *text - 'a' + 'A');
    lti_html_text(b, small ? text + 1 : text);
}

void lti_html_short(lti_buf *b, const char *text, int max_chars)
{
    size_t n = text ? strlen(text) : 0, end = 0, cut = 0;
    int chars = 0;
    for (; end < n; end++) {
        if (((unsigned char)text[end] >> 6) == 2) // inside a character
            continue;
        if (chars == max_chars - 1)
            cut = end;
        if (++chars > max_chars)
            break;
    }
    if (chars <= max_chars) {
        lti_html_text(b, text);
        return;
    }
    char *head = lti_malloc(cut + 1);
    if (!head) {
        b->failed = true;
        return;
    }
    memcpy(head, text, cut);
    head[cut] = '\0';
    lti_html_text(b, head);
    lti_buf_printf(b, "\xe2\x80\xa6");
    lti_free(head);
}

void lti_html_number(lti_buf *b, double value, int decimals)
{
    if (isfinite(value))
        lti_buf_printf(b, "%.*f", decimals, value);
    else
        lti_buf_printf(b, "&ndash;");
}

static const char *const style[] = {
    // a rule or a few a line: compilers need not take longer strings
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1c2127;--soft:#5b6672;--line:#d9dee4;--panel:#f6f8fa;--mark:#e"
    "6f2ec;--bad:#b42318;--c0:#0072b2;--c1:#c8500a;--c2:#00795a;--c3:#a8407a;--c4:#8a6a00;--c5:#3b8fc4;--c6:#6b4a"
    "2b}\n",
    "@media screen and (prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e4e8ec;--soft:#9aa6b2;--line:#333b44;"
    "--panel:#1b2127;--mark:#1d3529;--bad:#ff8f80;--c0:#5fb0ea;--c1:#f58a4b;--c2:#3fc79a;--c3:#e08fc0;--c4:#e0bd4"
    "5;--c5:#9fd6f7;--c6:#c9a37c}}\n",
    "*{box-sizing:border-box}\n",
    "html{scroll-behavior:smooth}\n",
    "body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto"
    ",\"Helvetica Neue\",sans-serif}\n",
    "main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 4rem}\n",
    "h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 .25rem;overflow-wrap:anywhere}\n",
    "h2{font-size:1.15rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}\n",
    "h3{font-size:1rem;margin:1.25rem 0 .25rem;overflow-wrap:anywhere}h3 small{font-weight:400;color:var(--soft)}"
    "\n",
    "p{max-width:46rem;margin:.5rem 0}\n",
    "a{color:inherit;text-decoration:none}a:hover,a:focus-visible,nav a,p a,li a{text-decoration:underline;text-u"
    "nderline-offset:.15em}a:focus-visible{outline:2px solid var(--c0);outline-offset:2px}\n",
    "nav ul{display:flex;flex-wrap:wrap;gap:.15rem 1rem;margin:.75rem 0;padding:0;list-style:none;font-size:.875r"
    "em;color:var(--soft)}\n",
    ".lead{color:var(--soft);font-size:1.05rem;margin:0 0 .75rem;overflow-wrap:anywhere}.small{color:var(--soft);"
    "font-size:.875rem}\n",
    ".scroll{overflow-x:auto;margin:.75rem 0}.tall{max-height:80vh;overflow-y:auto}\n",
    "table{border-collapse:collapse;min-width:100%;font-variant-numeric:tabular-nums}\n",
    "caption{text-align:left;font-weight:600;font-size:.9375rem;padding:.25rem 0}\n",
    "th,td{padding:.4rem .65rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}\n",
    "thead th{font-size:.8125rem;font-weight:600;color:var(--soft);vertical-align:bottom;white-space:normal;min-w"
    "idth:4.5rem}\n",
    ".tall thead th{position:sticky;top:0;background:var(--bg);z-index:1}\n",
    "th:first-child{text-align:left;position:sticky;left:0;background:var(--bg);z-index:1;max-width:22rem;overflo"
    "w-wrap:anywhere;white-space:normal}\n",
    ".tall thead th:first-child{z-index:2}\n",
    "tbody th{font-weight:600;min-width:11.5rem}th small,td small{display:block;color:var(--soft);font-weight:400;fo"
    "nt-size:.8125rem}\n",
    "tr.ref td,tr.ref th:first-child{background:var(--panel)}td.best{background:var(--mark);font-weight:700}\n",
    "td.ne small:last-child{color:var(--bad);font-weight:600}\n",
    "td.heat{print-color-adjust:exact;-webkit-print-color-adjust:exact}\n",
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem;margin:.75re"
    "m 0}\n",
    "figure{margin:0;min-width:0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding"
    ":.75rem .75rem .5rem}\n",
    "figcaption{font-weight:600;font-size:.9375rem;overflow-wrap:anywhere}figcaption span{font-weight:400;color:v"
    "ar(--soft)}\n",
    "figure svg{display:block;width:100%;height:auto;margin-top:.25rem}\n",
    "svg text{font-size:11px;fill:var(--soft);font-family:inherit}svg text.row{fill:var(--fg)}svg text.end{font-w"
    "eight:600}\n",
    "svg .axis{stroke:var(--soft);stroke-width:1}svg .rule{stroke:var(--line);stroke-width:1}\n",
    "svg path{fill:none;stroke-width:1.5;stroke-linejoin:round}svg path.thick{stroke-width:2.4}svg path.lead{stro"
    "ke:var(--soft);stroke-width:.7}\n",
    "svg .ring{fill:none;stroke-width:1.6}svg .fill{stroke:none;fill-opacity:.13}svg .null{fill:var(--fg);fill-op"
    "acity:.1}\n",
    ".l1{stroke-dasharray:7 3}.l2{stroke-dasharray:2 2.5}.l3{stroke-dasharray:8 2.5 2 2.5}.l4{stroke-dasharray:4 "
    "3}.l5{stroke-dasharray:12 3 2 3 2 3}\n",
    ".legend{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.875rem;margin:.35rem 0;padding:0;list-style"
    ":none}\n",
    ".legend li{overflow-wrap:anywhere}.legend svg{width:30px;height:10px;margin-right:.45em}.legend b{display:in"
    "line-block;width:30px;height:12px;margin-right:.45em;vertical-align:-1px;background:var(--fg);opacity:.12}\n",
    ".strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(4.9rem,1fr));gap:1rem .75rem;margin:.75re"
    "m 0}\n",
    ".strip div{font-size:.8125rem;line-height:1.3;color:var(--soft)}\n",
    ".strip img{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:.25rem;margin-bottom"
    ":.25rem}\n",
    ".lint{padding:0;list-style:none;margin:.75rem 0}.lint li{padding:.3rem 0 .3rem 5.5rem;border-bottom:1px soli"
    "d var(--line);position:relative;overflow-wrap:anywhere}\n",
    ".lint b{position:absolute;left:0;font-weight:600}.lint .error b{color:var(--bad)}.lint .note b{color:var(--s"
    "oft);font-weight:400}\n",
    "dl{display:grid;grid-template-columns:minmax(6.5rem,max-content) minmax(0,1fr);gap:.2rem 1rem;margin:.5rem 0"
    ";font-size:.9375rem}\n",
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\n",
    "section:target h3{background:var(--mark)}\n",
    "footer{margin-top:3rem;color:var(--soft);font-size:.8125rem}\n",
    "@media(max-width:40rem){.wide{display:none}td.text{white-space:normal}th,td{padding:.4rem .45rem}thead "
    "th{min-width:3.75rem}th:first-child{max-width:9rem}"
    "tbody th{min-width:6.5rem}}\n",
    "@media(max-width:30rem){main{padding:1rem .75rem 3rem}th,td{padding:.4rem .25rem}thead th{min-width:2.5rem;font"
    "-size:.75rem}tbody th{min-width:5.75rem;font-size:.875rem}td.text{font-size:.75rem}}\n",
    "@media print{main{max-width:none;padding:0}nav{display:none}figure,tr,dl,.strip div{break-inside:avoid}h2,h3"
    "{break-after:avoid}.scroll,.tall{overflow:visible;max-height:none}table{font-size:.75rem;min-width:0}th,td{p"
    "adding:.2rem .35rem}thead th{min-width:0}th:first-child,.tall thead th{position:static}tbody th{min-width:0}"
    "}\n",
};

void lti_html_head(lti_buf *b, const char *title)
{
    lti_buf_printf(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                      "<meta name=\"generator\" content=\"lethe " LT_VERSION "\">\n<title>");
    lti_html_text(b, title);
    lti_buf_printf(b, "</title>\n<style>\n");
    for (size_t i = 0; i < sizeof style / sizeof *style; i++)
        lti_buf_puts(b, style[i]);
    lti_buf_printf(b, "</style>\n</head>\n<body>\n<main>\n");
}

void lti_html_tail(lti_buf *b)
{
    lti_buf_printf(b, "<footer>Made by lethe " LT_VERSION
                      ". This file is complete: no scripts, nothing loaded from elsewhere.</footer>\n"
                      "</main>\n</body>\n</html>\n");
}
