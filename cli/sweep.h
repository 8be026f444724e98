// sweep.h - results of `lethe sweep` on the terminal and as a page.
#ifndef LETHE_CLI_SWEEP_H
#define LETHE_CLI_SWEEP_H
#include "cli.h"

void sweep_print_plan(const json_t *r, FILE *out);   // of lt_study_plan_json
void sweep_print_result(const json_t *r, FILE *out); // of lt_study_result_json
#endif
