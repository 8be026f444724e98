// section.h - a section of the page: one file, one line of sections.list. It may gather data from runs and earlier
// audits, draws it, and lists its numbers for the CSV and Markdown forms.
#ifndef LT_REPORT_SECTION_H
#define LT_REPORT_SECTION_H
#include "io/json_read.h"
#include "report/report_impl.h"

struct json_t; // of jansson

// ---- numbers of the page, one a line
typedef struct lti_line {
    const char *section;
    const lt_report_row *row;           // NULL = of no one model
    const char *name, *quantity, *text; // name: of what is no row
    double value;                       // NaN = there is text alone
    lt_interval interval;
} lti_line;
typedef void (*lti_line_fn)(lti_buf *b, const lti_line *line, void *state);
typedef struct lti_lines {
    const lti_doc *d;
    lti_buf *b;
    lti_line_fn put;
    void *state;
} lti_lines;
extern const lt_interval lti_no_interval;
void lti_lines_add(lti_lines *w, const lti_line *line);
void lti_lines_row(lti_lines *w, const char *section, int row, const char *quantity, double value);

// ---- what a section can be made from
typedef struct lti_gather {
    const lt_report_source *source;
    lt_report_spec *spec; // under construction: rows and metrics are complete
    lti_arena *arena;     // of all that the spec points to
    int self;             // index of the section: spec->own[self] is its own data
    // JSON of every row of the comparison, NULL where there is none: result.json, resolved.json and env.json of the
    // run, and the result of an earlier audit (--audit-json, RUN/audit.json).
    struct json_t **result, **resolved, **env, **audit;
    const char **audit_path;   // (rows) of audits that were named; NULL = RUN/audit.json
    struct json_t **quantized; // (source->n_quantized) results of `lethe quantize`
    struct json_t **stream;    // (source->n_streams) results of directories of requests
} lti_gather;
void *lti_gather_alloc(lti_gather *g, size_t n, size_t size); // zeroed; NULL = out of memory (recorded)
char *lti_gather_text(lti_gather *g, const char *fmt, ...) LT_PRINTF(2, 3);

typedef struct lti_report_section {
    const char *name;
    lt_status (*gather)(lti_gather *g); // fills the spec, or spec->own[g->self]; may be NULL
    lt_status (*put)(lti_doc *d);       // writes nothing when its data is absent
    void (*lines)(lti_lines *w);        // may be NULL
} lti_report_section;
#define LT_X(name) extern const lti_report_section lti_section_##name;
#include "report/sections.list"
#undef LT_X
extern const lti_report_section *const lti_sections[];
extern const int lti_n_sections;
#endif
