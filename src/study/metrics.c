// metrics.c - the metrics of a study: columns of its tables and where the results of audits have them.
#include "study/runner_impl.h"
#include <stdarg.h>
#include <string.h>

lt_status lti_result_begin(lt_study_result *x)
{
    *x = (lt_study_result){0};
    x->own = lti_calloc(1, sizeof(lti_study_own));
    return x->own ? LT_OK : LTI_NOMEM("result of a study");
}

lt_status lti_result_check(const lt_study_result *x)
{
    return ((const lti_study_own *)x->own)->failed ? LTI_NOMEM("result of a study") : LT_OK;
}

const char *lti_result_copy(lt_study_result *x, const char *text)
{
    lti_study_own *own = x->own;
    if (!text)
        return NULL;
    const char *copy = lti_arena_strdup(&own->arena, text);
    own->failed = own->failed || !copy;
    return copy ? copy : "";
}

const char *lti_result_text(lt_study_result *x, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    return lti_result_copy(x, text);
}

void *lti_result_list(lt_study_result *x, size_t n, size_t size)
{
    size_t bytes;
    lti_study_own *own = x->own;
    void *p = lti_mul_size(n ? n : 1, size ? size : 1, &bytes) ? NULL : lti_arena_alloc(&own->arena, bytes);
    own->failed = own->failed || !p;
    return p;
}

void lt_study_result_clear(lt_study_result *result)
{
    lti_study_own *own = result->own;
    lt_lint_clear(&result->lint); // its ids are in the arena
    if (own)
        lti_arena_clear(&own->arena);
    lti_free(own);
    *result = (lt_study_result){0};
}

// ---- the list

typedef struct fixed_metric {
    const char *column, *title, *path;
    bool judged;
} fixed_metric;

// Rates at few false positives are too coarse for a verdict.
static const fixed_metric fixed[] = {
    {"ua", "forget accuracy", "ua", true},
    {"ra", "retain accuracy", "ra", true},
    {"ta", "test accuracy", "ta", true},
    {"mis", "MIS", "svc_mia.confidence", true},
    {"phi_ft_auc", "phi FT AUC", "auc.phi.ft", true},
    {"phi_fr_auc", "phi FR AUC", "auc.phi.fr", true},
    {"phi_rt_auc", "phi RT AUC", "auc.phi.rt", true},
    {"phi_ft_tpr_at_1_fpr", "phi TPR at 1 % FPR", "auc.phi_tpr_at_1_fpr", false},
    {"phi_ft_tpr_at_0_1_fpr", "phi TPR at 0.1 % FPR", "auc.phi_tpr_at_0_1_fpr", false},
};
// Of studies whose requests are whole classes.
static const fixed_metric of_classes[] = {
    {"acc_f", "test accuracy, forgotten classes", "acc_f", false},
    {"acc_r", "test accuracy, classes that stay", "acc_r", false},
    {"class_mia", "class-MIA", "mia_nn.score", false},
    {"class_mia_gap", "class-MIA gap", "mia_nn.gap", false},
    {"class_tv", "total variation to retrained outputs", "tv", false},
    {"class_tv_mean", "total variation of mean outputs", "tv_mean", false},
    {"class_svc_mia", "class SVC-MIA", "svc_mia", false},
};
static const fixed_metric of_attack[] = {
    {"ft_auc", "FT AUC", NULL, true},
    {"fr_auc", "FR AUC", NULL, true},
    {"rt_auc", "RT AUC", NULL, true},
    {"ft_tpr_at_1_fpr", "TPR at 1 % FPR", NULL, false},
    {"ft_tpr_at_0_1_fpr", "TPR at 0.1 % FPR", NULL, false},
};
enum {
    N_FIXED = sizeof fixed / sizeof *fixed,
    N_OF_ATTACK = sizeof of_attack / sizeof *of_attack,
    N_OF_CLASSES = sizeof of_classes / sizeof *of_classes
};

static bool is_possible(const lt_mia *attack)
{
    return !(attack->needs & LT_MIA_NEED_UNLEARNED); // a study has no such models
}

static void add_attack(lt_study_result *x, const lt_mia *attack)
{
    for (int i = 0; i < N_OF_ATTACK; i++)
        x->metric[x->n_metrics++] =
            (lt_study_metric){.column = lti_result_text(x, "%s_%s", attack->name, of_attack[i].column),
                              .title = lti_result_text(x, "%s %s", attack->title, of_attack[i].title),
                              .path = lti_result_text(x, "%s.%s", attack->name, of_attack[i].column),
                              .attack = attack,
                              .judged = of_attack[i].judged};
}

static void add_gap(lt_study_result *x, const char *name, const char *title, const char *path, const lt_mia *attack)
{
    x->metric[x->n_metrics++] = (lt_study_metric){.column = lti_result_text(x, "avg_gap_%s", name),
                                                  .title = lti_result_text(x, "average gap (%s)", title),
                                                  .path = lti_result_copy(x, path),
                                                  .attack = attack,
                                                  .gap = true,
                                                  .ranked = true};
}

static void add_class_metrics(lt_study_result *x)
{
    for (int i = 0; i < N_OF_CLASSES; i++)
        x->metric[x->n_metrics++] = (lt_study_metric){.column = of_classes[i].column,
                                                      .title = of_classes[i].title,
                                                      .path = of_classes[i].path,
                                                      .of_classes = true,
                                                      .ranked = !strcmp(of_classes[i].path, "mia_nn.gap")};
}

lt_status lti_study_metrics(lt_study_result *x, bool has_classes)
{
    const lt_mia *const *attack = lt_mia_list();
    size_t n = N_FIXED + N_OF_CLASSES + 2;
    for (int i = 0; attack[i]; i++)
        n += N_OF_ATTACK + 1;
    x->metric = lti_result_list(x, n, sizeof *x->metric);
    LT_TRY(lti_result_check(x));
    for (int i = 0; i < N_FIXED; i++)
        x->metric[x->n_metrics++] = (lt_study_metric){
            .column = fixed[i].column, .title = fixed[i].title, .path = fixed[i].path, .judged = fixed[i].judged};
    for (int i = 0; attack[i]; i++)
        if (is_possible(attack[i]))
            add_attack(x, attack[i]);
    add_gap(x, "mis", "MIS", "svc_mia.confidence", NULL);
    add_gap(x, "auc", "phi", "auc.phi.ft", NULL);
    for (int i = 0; attack[i]; i++)
        if (is_possible(attack[i]))
            add_gap(x, attack[i]->name, attack[i]->title, lti_result_text(x, "%s.ft_auc", attack[i]->name), attack[i]);
    if (has_classes)
        add_class_metrics(x);
    return lti_result_check(x);
}

int lti_study_metric_index(const lt_study_result *x, const char *column)
{
    for (int i = 0; i < x->n_metrics; i++)
        if (!strcmp(x->metric[i].column, column))
            return i;
    return -1;
}
