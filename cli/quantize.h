// quantize.h - what the actions of `lethe quantize` share.
#ifndef LETHE_CLI_QUANTIZE_H
#define LETHE_CLI_QUANTIZE_H
#include "cli.h"

enum { CLI_FORMAT_C, CLI_FORMAT_ONNX, CLI_FORMAT_PACKED };
typedef struct cli_quantize_opts {
    const char *action, *run, *data, *model;
    int32_t step; // lt_ptq_step
    double percentile, yield_at;
    int32_t chips;
    bool fine_tune;
    bool sensitivity, reaudit;
    const char *oracle;
    int32_t format; // of an export
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
// The integer network of a quantized run, with what it is made from. quantize_export.c
typedef struct cli_integer_net {
    lt_quant *quant;
    lt_int_net *net;
} cli_integer_net;
lt_status cli_integer_net_open(const cli_source *src, const lt_dataset *ds, const lt_env *env, cli_integer_net *net);
void cli_integer_net_close(cli_integer_net *net);
json_t *cli_integer_net_json(const cli_integer_net *net);
// Adds "reaudit" to the result of a quantized run whose parent has forgotten samples. quantize_reaudit.c
lt_status cli_quantize_reaudit(cli_call *call, cli_quantize_job *job, json_t *r);
void cli_print_reaudit(const json_t *r, FILE *out);
lt_status cli_quantize_export(cli_call *call);
void cli_print_export(const json_t *r, FILE *out);
lt_status cli_quantize_population(cli_call *call); // quantize_population.c
void cli_print_chips(const json_t *r, FILE *out);
void cli_quantize_put_chip(json_t *r, const cli_call *call);
#endif
