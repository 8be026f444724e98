// fuzz_study_result.c - arbitrary bytes as the summary of a study: what is accepted can be written again and drawn.
#include "lethe/report.h"
#include "study/runner_impl.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lt_study_result x, y;
    if (lti_study_result_parse((const char *)bytes, n, "fuzz", &x) != LT_OK) {
        if (x.own || strncmp(lt_error_get()->message, "fuzz:", 5) != 0)
            abort();
        return 0;
    }
    char *json = lt_study_result_json(&x);
    if (!json || lti_study_result_parse(json, strlen(json), "again", &y) != LT_OK || y.n_summaries != x.n_summaries)
        abort();
    lt_report *report;
    if (lt_report_from_runs(&(lt_report_source){.study = &y}, &report) != LT_OK)
        abort();
    char *csv = lt_report_all_csv(lt_report_get(report));
    if (!csv)
        abort();
    free(csv);
    lt_report_destroy(report);
    free(json);
    lt_study_result_clear(&x);
    lt_study_result_clear(&y);
    return 0;
}
