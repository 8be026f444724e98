// svc.c - the SVC membership attack: one support vector classifier per feature, fitted on shadow samples, asked about
// the forget set. [AMUN 7.2]
//
// The solver is libsvm, the one inside scikit-learn, called with scikit-learn's defaults (stopping tolerance 1e-3,
// shrinking, 200 MB cache) and its class order (0 before 1), so that fractions agree sample by sample with
// SVC(C=3, gamma='auto', kernel='rbf'). Cost grows with the square of n_shadow when classes overlap, which is what a
// good unlearner makes them do; lt_audit_cfg.shadow_cap bounds it.
#include "audit/audit_impl.h"
#include <limits.h>
#include <svm.h>

static void say_nothing(const char *text)
{
    (void)text;
}

// Dense rows as libsvm's index/value lists: d nodes and the end mark (-1) each.
static void fill_nodes(const double *x, int64_t n, int d, struct svm_node *node, struct svm_node **row)
{
    for (int64_t i = 0; i < n; i++) {
        row[i] = node;
        for (int j = 0; j < d; j++)
            *node++ = (struct svm_node){.index = j + 1, .value = x[i * d + j]};
        *node++ = (struct svm_node){.index = -1};
    }
}

typedef struct nodes {
    struct svm_node *node, **row; // training rows and one for prediction
    double *y;
} nodes;

static void nodes_clear(nodes *p)
{
    lti_free(p->node);
    lti_free(p->row);
    lti_free(p->y);
}

static lt_status nodes_init(const lti_svc_problem *problem, nodes *p)
{
    const size_t n = (size_t)problem->n_negative, rows = n + (size_t)problem->n_positive;
    const size_t width = (size_t)problem->d + 1;
    p->node = lti_calloc((rows + 1) * width, sizeof *p->node);
    p->row = lti_calloc(rows + 1, sizeof(struct svm_node *));
    p->y = lti_calloc(rows, sizeof *p->y);
    if (!p->node || !p->row || !p->y)
        return LTI_NOMEM("SVM problem");
    fill_nodes(problem->negative, problem->n_negative, problem->d, p->node, p->row);
    fill_nodes(problem->positive, problem->n_positive, problem->d, p->node + n * width, p->row + n);
    p->row[rows] = p->node + rows * width;
    for (size_t i = n; i < rows; i++)
        p->y[i] = 1.0;
    return LT_OK;
}

lt_status lti_svc_decide(const lti_svc_problem *problem, const double *target, int64_t n_target, double *decision)
{
    const int64_t rows = problem->n_negative + problem->n_positive;
    const int d = problem->d;
    if (rows > INT_MAX)
        return LT_FAIL(LT_E_UNSUPPORTED, "SVM: expected at most %d samples, found %lld", INT_MAX, (long long)rows);
    nodes p = {0};
    struct svm_model *model = NULL;
    struct svm_parameter param = {.svm_type = C_SVC,
                                  .kernel_type = problem->cfg.linear ? LINEAR : RBF,
                                  .gamma = problem->cfg.gamma,
                                  .cache_size = 200.0,
                                  .eps = 1e-3,
                                  .C = problem->cfg.c,
                                  .shrinking = 1};
    lt_status status = LT_OK;
    LT_TRY_GOTO(nodes_init(problem, &p), out);
    struct svm_problem prob = {.l = (int)rows, .y = p.y, .x = p.row};
    const char *wrong = svm_check_parameter(&prob, &param);
    if (wrong)
        LT_BUG("libsvm refuses its parameters: %s", wrong);
    svm_set_print_string_function(say_nothing); // process-wide, always the same function: harmless from several threads
    model = svm_train(&prob, &param);
    if (!model) {
        status = LTI_NOMEM("SVM model");
        goto out;
    }
    for (int64_t i = 0; i < n_target; i++) {
        fill_nodes(target + i * d, 1, d, p.row[rows], &p.row[rows]);
        svm_predict_values(model, p.row[rows], &decision[i]);
    }
out:
    if (model)
        svm_free_and_destroy_model(&model);
    nodes_clear(&p);
    return status;
}

lt_status lti_svc(const double *non_member, const double *member, int64_t n, const double *target, int64_t n_target,
                  int d, double *decision)
{
    if (n > INT_MAX / 2)
        return LT_FAIL(LT_E_UNSUPPORTED, "SVC-MIA: expected at most %d shadow samples per class, found %lld",
                       INT_MAX / 2, (long long)n);
    const lti_svc_problem problem = {.negative = non_member,
                                     .positive = member,
                                     .n_negative = n,
                                     .n_positive = n,
                                     .d = d,
                                     .cfg = {.c = 3, .gamma = 1.0 / d}};
    return lti_svc_decide(&problem, target, n_target, decision);
}

// d values of a row: one feature, or (f = LT_N_FEATURES) the whole probability vector.
static void row_features(const lt_signals *s, int64_t i, lt_feature f, double *out)
{
    const float *z = s->logits + i * s->k;
    if (f == LT_N_FEATURES)
        lti_probabilities(z, s->k, out);
    else
        *out = lti_feature(z, s->k, s->label[i], f);
}

// Fraction of the forget set on the non-member side.
static lt_status non_member_share(const lt_signals *s, const lti_shadow *shadow, lt_feature f, double *share)
{
    int d = f == LT_N_FEATURES ? s->k : 1;
    int64_t n = shadow->n, n_target = lti_group_rows(s, LT_GROUP_FORGET, NULL);
    size_t rows = 2 * (size_t)n + (size_t)n_target;
    double *x = lti_calloc(rows * (size_t)d, sizeof *x), *decision = lti_calloc((size_t)n_target, sizeof *decision);
    int64_t *row = lti_calloc((size_t)n_target, sizeof *row);
    lt_status status = LT_OK;
    if (!x || !decision || !row) {
        status = LTI_NOMEM("SVM features");
        goto out;
    }
    double *member = x + n * d, *target = x + 2 * n * d;
    for (int64_t i = 0; i < n; i++) {
        row_features(s, shadow->non_member[i], f, x + i * d);
        row_features(s, shadow->member[i], f, member + i * d);
    }
    lti_group_rows(s, LT_GROUP_FORGET, row);
    for (int64_t i = 0; i < n_target; i++)
        row_features(s, row[i], f, target + i * d);
    LT_TRY_GOTO(lti_svc(x, member, n, target, n_target, d, decision), out);
    int64_t n_out = 0;
    for (int64_t i = 0; i < n_target; i++)
        n_out += decision[i] > 0.0;
    *share = (double)n_out / (double)n_target;
out:
    lti_free(x);
    lti_free(decision);
    lti_free(row);
    return status;
}

lt_status lt_audit_svc_mia(const lt_signals *s, const lt_audit_cfg *cfg, lt_svc_mia *out)
{
    lti_shadow shadow;
    LT_TRY(lti_shadow_draw(s, cfg, &shadow));
    *out = (lt_svc_mia){.n_shadow = shadow.n};
    lt_status status = non_member_share(s, &shadow, LT_FEAT_CORRECT, &out->correctness);
    if (status == LT_OK)
        status = non_member_share(s, &shadow, LT_FEAT_CONFIDENCE, &out->confidence);
    if (status == LT_OK)
        status = non_member_share(s, &shadow, LT_FEAT_ENTROPY, &out->entropy);
    if (status == LT_OK)
        status = non_member_share(s, &shadow, LT_FEAT_MENTROPY, &out->m_entropy);
    if (status == LT_OK)
        status = non_member_share(s, &shadow, LT_N_FEATURES, &out->prob);
    lti_shadow_clear(&shadow);
    return status;
}
