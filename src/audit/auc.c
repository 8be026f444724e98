// auc.c - area under the ROC curve and points of it, exact under ties. [AMUN 7.5]
//
// Scores of membership attacks tie massively (correctness has two values, rank-based scores few), so the AUC is the
// rank-sum form with mid-ranks: a tied pair counts one half. Sorting one merged list costs O(n log n).
#include "audit/audit_impl.h"
#include <math.h>
#include <stdlib.h>

typedef struct scored {
    double score;
    bool pos;
} scored;

static int descending(const void *a, const void *b)
{
    double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

// Both lists, best score first. NULL when a side is empty, a score is NAN or memory is short.
static scored *merge(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg)
{
    if (n_pos <= 0 || n_neg <= 0)
        return NULL;
    scored *all = lti_calloc((size_t)n_pos + (size_t)n_neg, sizeof *all);
    if (!all)
        return NULL;
    for (int64_t i = 0; i < n_pos + n_neg; i++) {
        all[i] = i < n_pos ? (scored){pos[i], true} : (scored){neg[i - n_pos], false};
        if (isnan(all[i].score)) {
            lti_free(all);
            return NULL;
        }
    }
    qsort(all, (size_t)n_pos + (size_t)n_neg, sizeof *all, descending);
    return all;
}

// Steps over one run of equal scores from i; counts the positives and negatives in it.
static int64_t tie_run(const scored *all, int64_t i, int64_t n, int64_t *n_pos, int64_t *n_neg)
{
    double score = all[i].score;
    *n_pos = *n_neg = 0;
    for (; i < n && !(all[i].score < score); i++) {
        *n_pos += all[i].pos;
        *n_neg += !all[i].pos;
    }
    return i;
}

double lt_auc(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg)
{
    scored *all = merge(pos, n_pos, neg, n_neg);
    if (!all)
        return (double)NAN;
    // Twice the number of won pairs, in integers: exact as long as 2 n_pos n_neg < 2^63.
    int64_t twice_won = 0, neg_below = n_neg;
    for (int64_t i = 0, n = n_pos + n_neg; i < n;) {
        int64_t p, m;
        i = tie_run(all, i, n, &p, &m);
        neg_below -= m;
        twice_won += p * (2 * neg_below + m);
    }
    lti_free(all);
    return (double)twice_won / (2.0 * (double)n_pos * (double)n_neg);
}

double lt_tpr_at_fpr(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg, double fpr)
{
    scored *all = merge(pos, n_pos, neg, n_neg);
    if (!all)
        return (double)NAN;
    int64_t tp = 0, fp = 0, best = 0;
    for (int64_t i = 0, n = n_pos + n_neg; i < n;) {
        int64_t p, m;
        i = tie_run(all, i, n, &p, &m);
        tp += p;
        fp += m;
        if ((double)fp > fpr * (double)n_neg)
            break;
        best = tp;
    }
    lti_free(all);
    return (double)best / (double)n_pos;
}
