// autotune.c - see autotune.h.
#include "backend/onednn/autotune.h"

enum {
    CONFIRM = 3, // times the least time must be seen, within near_best
    PAIRS = 8,   // rounds in which two candidates met that tell which is faster, if seven of eight agree
};
static const double elimination_ratio = 1.5, win_ratio = 0.96, near_best = 0.05;

void lti_autotune_start(lti_autotune *r, int n_candidates)
{
    r->n_candidates = n_candidates;
    for (int i = 0; i < n_candidates; i++) {
        r->best[i] = 1e30;
        r->n[i] = 0;
    }
}

void lti_autotune_record(lti_autotune *r, int i, double seconds)
{
    r->t[i][r->n[i]++] = seconds;
    r->best[i] = seconds < r->best[i] ? seconds : r->best[i];
}

bool lti_autotune_eliminated(const lti_autotune *r, int i)
{
    for (int j = 0; j < r->n_candidates; j++)
        if (r->n[i] > 1 && r->best[i] > elimination_ratio * r->best[j])
            return true;
    return false;
}

int lti_autotune_winner(const lti_autotune *r)
{
    int win = 0;
    for (int i = 1; i < r->n_candidates; i++)
        if (r->best[i] < (win == 0 ? win_ratio : 1.0) * r->best[win])
            win = i;
    return win;
}

// Was the least time measured often enough to be that of the candidate and not the effect of other processes?
static bool confirmed(const lti_autotune *r, int i)
{
    int near = 0;
    for (int k = 0; k < r->n[i]; k++)
        near += r->t[i][k] <= r->best[i] * (1 + near_best);
    return near >= CONFIRM;
}

// Was candidate i faster than the one of the rule nearly whenever both ran within a moment? Holds on a machine whose
// speed changes all the time, where the least times are seen once.
static bool beats_rule(const lti_autotune *r, int i)
{
    const int pairs = r->n[i] < r->n[0] ? r->n[i] : r->n[0];
    int won = 0;
    for (int k = 0; k < pairs; k++)
        won += r->t[i][k] < win_ratio * r->t[0][k];
    return (pairs >= PAIRS && 8 * won >= 7 * pairs) ||
           (pairs > 1 && won == pairs && r->best[0] > elimination_ratio * r->best[i]);
}

int lti_autotune_choice(const lti_autotune *r, bool *sure)
{
    const int win = lti_autotune_winner(r);
    *sure = win == 0 || lti_autotune_decided(r);
    return *sure ? win : 0;
}

bool lti_autotune_decided(const lti_autotune *r)
{
    const int win = lti_autotune_winner(r);
    return (confirmed(r, 0) && confirmed(r, win)) || (win > 0 && beats_rule(r, win));
}
