// quantize.h - what the actions of `lethe quantize` share.
#ifndef LETHE_CLI_QUANTIZE_H
#define LETHE_CLI_QUANTIZE_H
#include "cli.h"

typedef struct cli_quantize_opts {
    const char *action, *run, *data, *model;
    int32_t step; // lt_ptq_step
    double percentile, yield_at;
    int32_t chips;
    bool fine_tune;
    lt_quant_cfg quant;
    lt_train_cfg train;
} cli_quantize_opts;
typedef struct cli_quantize_job {
    cli_source src;
    const lt_dataset *ds;
    cli_run run;
    lt_env env;
    lt_quant *quant;
    lt_model *float_model; // as opened
    char parent_digest[65];
} cli_quantize_job;
lt_status cli_quantize_open(cli_call *call, cli_quantize_job *job);
void cli_quantize_close(cli_quantize_job *job, lt_status status);
lt_status cli_quantize_open_codes(cli_quantize_job *job, char path[4096]); // of the run that was opened
lt_status cli_quantize_population(cli_call *call);                         // quantize_population.c
void cli_print_chips(const json_t *r, FILE *out);
void cli_quantize_put_chip(json_t *r, const cli_call *call);
#endif
