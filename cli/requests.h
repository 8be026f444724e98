// requests.h - what `lethe unlearn --requests` prints.
#ifndef LETHE_CLI_REQUESTS_H
#define LETHE_CLI_REQUESTS_H
#include "cli.h"
void cli_requests_print(const json_t *result, FILE *out);
#endif
