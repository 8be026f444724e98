// stream_impl.h - what the files of a stream of requests share: outputs of one model on every sample, and the metrics
// of one forget set that follow from them.
#ifndef LTI_RUN_STREAM_IMPL_H
#define LTI_RUN_STREAM_IMPL_H
#include "base/json_write.h"
#include "run/run_impl.h"

typedef struct lti_outputs { // logits of a model on the training split, then on the test split
    int64_t n_train, n_test;
    int k;
    float *logits;       // (n_train + n_test, k)
    int64_t *label, *id; // the same rows
    double *rmia;        // (n_train + n_test) scores, or NULL
} lti_outputs;
// RUN/signals.npz where it has the sample, else computed.
lt_status lti_outputs_make(const lt_trained_model *m, const lt_dataset *ds, const lt_env *env, lti_outputs *out);
void lti_outputs_clear(lti_outputs *out);
// RMIA with its default options. references: of the training split, then the test split; NULL = none.
lt_status lti_outputs_attack(lti_outputs *out, const lt_references *references, uint64_t seed, int n_threads);

typedef struct lti_request_metrics { // forget set against the retained rows and the test samples
    int64_t n;
    double forget_acc, retain_acc, test_acc;
    lt_auc_triple phi, rmia;
    bool has_rmia;
} lti_request_metrics;
// mask (n_train): forgotten by now.
lt_status lti_outputs_metrics(const lti_outputs *o, const lt_index_set *forget, const uint8_t *mask,
                              lti_request_metrics *out);
void lti_write_request_metrics(lti_json *j, const lti_request_metrics *m); // members of an object that is open
// The same groups as a signals file.
lt_status lti_outputs_save(const lti_outputs *o, const lt_index_set *forget, const uint8_t *mask, const char *npz);
lt_status lti_outputs_test_loss(const lti_outputs *o, double *loss);

// ---- stream.c, stream_json.c
typedef struct lti_request_row { // what is known of one request when it is done
    lt_unlearn_record record;
    lti_request_metrics own, cumulative; // of its samples; of those of all requests so far
    double drift_l2;                     // from the first model
    char *oracle;                        // name, or NULL
    bool same_forgotten;                 // the oracle was trained without exactly these samples
    double oracle_l2;
    lti_request_metrics of_oracle;
} lti_request_row;

typedef struct lti_stream {
    const lt_unlearn_order *order;
    const lt_stream_audit *audit;
    lt_trained_model last; // after the last request that is done
    lt_requests requests;
    lt_index_set before, all, so_far; // rows forgotten before; of all requests; of those that are done
    lt_unlearn_stream shared;         // what the requests have in common
    uint8_t *mask;                    // (n_train) forgotten by now
    lt_unlearn_order copy;
    void *cfg; // of one request
    lt_optset *made;
    lt_result_dir to;
    int n_oracles;
    char **oracle; // none, one, or one per request
    lt_references *references;
    lti_outputs outputs;         // of the last model
    lti_request_row *row;        // (requests.n)
    lti_request_metrics *matrix; // (requests.n, requests.n) model of request k on request j <= k
    double eval_s;
    lt_train_cfg *train;             // of requests that train from scratch; NULL = as the base recorded
    char search[LT_RESULT_PATH_MAX]; // of an adversarial search that requests share
    char base_digest[65], forget_digest[65], forgotten_digest[65], audit_digest[512];
} lti_stream;
int64_t lti_stream_n_train(const lti_stream *s);
double lti_parameter_distance(const lt_model *a, const lt_model *b); // NAN for different architectures
lt_status lti_stream_json(const lti_stream *s, double start_s, char **json);
#endif
