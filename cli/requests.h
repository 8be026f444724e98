// requests.h - what the files of `lethe unlearn --requests` share.
#ifndef LETHE_CLI_REQUESTS_H
#define LETHE_CLI_REQUESTS_H
#include "cli.h"

typedef struct cli_request_ask { // options of the verb
    const lt_unlearn_method *method;
    const char *run, *requests, *data, *cache, *oracle, *references;
    uint64_t forget_seed;
    double lr_decay;
    bool retain, save_adv;
} cli_request_ask;
lt_status cli_requests_run(cli_call *call, const cli_request_ask *ask);
void cli_requests_print(const json_t *result, FILE *out); // requests_print.c

// ---- requests_audit.c: figures of one model on parts of the data
typedef struct cli_outputs_of { // logits of a model on D, then D_T
    int64_t n_train, n_test;
    int k;
    float *logits;       // (n_train + n_test, k)
    int64_t *label, *id; // the same rows
    double *rmia;        // (n_train + n_test) scores, or NULL
} cli_outputs_of;
// RUN/signals.npz where it has the sample, else computed.
lt_status cli_outputs_make(cli_call *call, const cli_source *src, const lt_dataset *ds, cli_outputs_of *out);
void cli_outputs_clear(cli_outputs_of *out);
// references: of D, then D_T; NULL = no RMIA.
lt_status cli_outputs_attack(cli_call *call, cli_outputs_of *out, const lt_references *references);
// {"n", "forget_acc", "retain_acc", "test_acc", "phi": {ft_auc, fr_auc, rt_auc, fr_minus_ft_auc}, "rmia": the same or
// null}; forget against the rows that gone (n_train) does not mark, and the test samples.
lt_status cli_outputs_figures(const cli_outputs_of *o, const lt_index_set *forget, const uint8_t *gone, json_t **out);
// The same groups as a signals file.
lt_status cli_outputs_save(const cli_outputs_of *o, const lt_index_set *forget, const uint8_t *gone, const char *npz);
#endif
