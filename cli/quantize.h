// quantize.h - what the actions of `lethe quantize` share.
#ifndef LETHE_CLI_QUANTIZE_H
#define LETHE_CLI_QUANTIZE_H
#include "cli.h"

typedef struct cli_quantize_opts {
    const char *action, *run, *data;
    lt_model_fallback file;
    int32_t step; // lt_ptq_step
    double percentile, yield_at;
    int32_t chips, chip_images, groups;
    bool fine_tune;
    bool sensitivity, reaudit;
    const char *oracle;
    int32_t format; // lt_export_format
    lt_quant_cfg quant;
    lt_train_cfg train;
} cli_quantize_opts;
void cli_print_quantized(const json_t *r, FILE *out); // quantize_print.c
void cli_print_chips(const json_t *r, FILE *out);
void cli_print_export(const json_t *r, FILE *out);
#endif
