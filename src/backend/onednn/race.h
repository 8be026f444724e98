// race.h - which of several candidates is the fastest, from times taken in turns on a machine that may be noisy.
//
// Candidate 0 is the one of the fixed rule: it wins unless another one is clearly faster and the times tell so.
#ifndef LT_RACE_H
#define LT_RACE_H
#include <stdbool.h>

enum { LTI_RACE_CANDIDATES = 10, LTI_RACE_ROUNDS = 40 };

typedef struct lti_race {
    int n_candidates;
    double t[LTI_RACE_CANDIDATES][LTI_RACE_ROUNDS]; // seconds; entry r of two candidates was taken in the same round
    double best[LTI_RACE_CANDIDATES];               // least of them, 1e30 = none
    int n[LTI_RACE_CANDIDATES];
} lti_race;

void lti_race_start(lti_race *r, int n_candidates);
void lti_race_note(lti_race *r, int i, double seconds);
bool lti_race_hopeless(const lti_race *r, int i); // so far behind that it need not run again
int lti_race_winner(const lti_race *r);           // by the least times
// Do the times tell that the winner is one? If so there is no need to go on; if not the rule should stand.
bool lti_race_told(const lti_race *r);
#endif
