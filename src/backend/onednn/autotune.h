// autotune.h - which of several candidates is the fastest, from interleaved timings on a machine that may be noisy.
//
// Candidate 0 is the one of the fixed rule: it wins unless another one is clearly faster and the times tell so.
#ifndef LT_AUTOTUNE_H
#define LT_AUTOTUNE_H
#include <stdbool.h>

enum { LTI_AUTOTUNE_CANDIDATES = 14, LTI_AUTOTUNE_ROUNDS = 40 };

typedef struct lti_autotune {
    int n_candidates;
    double t[LTI_AUTOTUNE_CANDIDATES]
            [LTI_AUTOTUNE_ROUNDS];        // seconds; entry r of two candidates was taken in the same round
    double best[LTI_AUTOTUNE_CANDIDATES]; // least of them, 1e30 = none
    int n[LTI_AUTOTUNE_CANDIDATES];
} lti_autotune;

void lti_autotune_start(lti_autotune *r, int n_candidates);
void lti_autotune_record(lti_autotune *r, int i, double seconds);
bool lti_autotune_eliminated(const lti_autotune *r, int i); // so far behind that it need not run again
int lti_autotune_winner(const lti_autotune *r);             // by the least times
int lti_autotune_choice(const lti_autotune *r, bool *sure); // the winner when the times tell, else candidate 0
// Are the times conclusive? If so, measuring can end; if not, the choice of the fixed rule applies.
bool lti_autotune_decided(const lti_autotune *r);
#endif
