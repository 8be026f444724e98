// test_lint_metrics.c - checks of what a run did, on metrics of recorded runs, with and without retrained models.
#include "lt_test.h"
#include "audit/lint/lint_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN (-1.0)

typedef struct row { // in per cent, as recorded; UNKNOWN = not recorded
    const char *name;
    double ua, ra, ta, share, auc, pair; // share: the phi share itself
    const char *with, *without;          // checks that speak with and without retrained models
} row;

typedef struct study {
    double ua, ra, ta;   // of the original model
    double retrained_ua; // mean of the retrained models
    const row *row;
    int n;
} study;

// The demo: 4,000 synthetic images, 400 forgotten, no augmentation; seed 1.
static const row demo_rows[] = {
    {"published FT", 100, UNKNOWN, 77.5, 0.10, 69.4, UNKNOWN, "inert", "inert"},
    {"published GA", 100, UNKNOWN, 77.0, 0.10, 69.2, UNKNOWN, "inert", "inert"},
    {"published AMUN", 100, UNKNOWN, 76.3, 0.35, 65.2, UNKNOWN, "inert", "inert"},
    {"published AMUN, forget data only", 100, UNKNOWN, 75.3, 0.26, 67.1, UNKNOWN, "inert", "inert"},
    {"published RL", 91.2, UNKNOWN, 70.6, 0.72, 57.7, UNKNOWN, "utility", "utility"},
    {"AMUN plain, area 5", 99.8, 100, 77.0, 0.69, 58.3, 100, "inert pair-memorised", "pair-memorised"},
    {"AMUN plain, area 12", 100, 100, 76.2, 0.88, 53.8, 100, "inert pair-memorised", "pair-memorised"},
    {"adversarial only, area 2", 98.0, 100, 76.0, 0.77, 57.1, UNKNOWN, "inert", ""},
    {"adversarial only, area 3.5", 93.8, 100, 75.7, 0.98, 52.4, UNKNOWN, "", ""},
    {"adversarial only, area 5", 84.0, 100, 74.6, 1.28, 46.8, UNKNOWN, "", ""},
    {"adversarial only, area 6.9", 74.8, 100, 76.0, 1.61, 41.8, UNKNOWN, "", ""},
    {"adversarial only, area 14", 55.0, 100, 74.5, 2.10, 33.4, UNKNOWN, "", "overdone"},
    {"adversarial only, augmented", 82.5, 97.6, 80.9, UNKNOWN, 39.3, UNKNOWN, "", ""},
    {"AMUN plain, augmented", 88.5, 97.6, 80.5, UNKNOWN, 42.1, UNKNOWN, "", ""},
    {"forget data only, area 0.08", 97.2, 99.2, 71.7, 0.45, 61.4, UNKNOWN, "utility", "inert utility"},
    {"forget data only, area 0.38", 74.5, 94.6, 67.8, 0.95, 50.8, UNKNOWN, "utility", "utility"},
    {"FT, area 31", 83.8, 99.9, 79.1, 1.01, 51.5, UNKNOWN, "", ""},
    {"GA, area 0.35", 91.0, 96.4, 73.0, 0.16, 63.1, UNKNOWN, "", "inert"},
    {"GA, area 0.70", 11.2, 9.5, 9.8, UNKNOWN, 53.0, UNKNOWN, "broken", "broken"},
    {"RL, area 0.70", 83.8, 99.5, 70.4, UNKNOWN, 49.9, UNKNOWN, "utility", "utility"},
    {"RL, area 3.5", 53.5, 100, 70.9, UNKNOWN, 25.1, UNKNOWN, "utility", "overdone utility"},
    {"retrained", 75.8, 100, 75.8, 1.16, 47.5, UNKNOWN, "", ""},
};

// Three classes of CIFAR-10, 2,000 images, 200 forgotten, no augmentation; one seed. [AMUN 12.3]
static const row small_rows[] = {
    {"AMUN", 94.5, 98.8, 87.8, UNKNOWN, 51.3, UNKNOWN, "", NULL},
    {"FT", 96.5, 98.9, 87.9, UNKNOWN, 55.9, UNKNOWN, "", NULL},
    {"RL", 91.5, 97.7, 87.5, UNKNOWN, 44.5, UNKNOWN, "", NULL},
    {"AMUN, forget data only", 95.5, 94.5, 81.1, UNKNOWN, 53.5, UNKNOWN, "utility", NULL},
    {"RL, forget data only, lr 0.01", 29.5, 32.9, 25.9, UNKNOWN, 52.9, UNKNOWN, "broken", NULL},
    {"RL, forget data only, lr 0.001", 97.5, 98.1, 86.0, UNKNOWN, 56.9, UNKNOWN, "inert", NULL},
    {"Boundary Shrink, forget data only, lr 0.01", 27.5, 31.0, 25.2, UNKNOWN, 52.7, UNKNOWN, "broken", NULL},
    {"GA, forget data only, lr 0.001", 99.0, 98.7, 87.4, UNKNOWN, 55.6, UNKNOWN, "inert", NULL},
};

// CIFAR-10, ResNet-18, forget data only, 10 %, as published. [AMUN 10]
static const row published_rows[] = {
    {"RL", 100, 100, 94.45, UNKNOWN, UNKNOWN, UNKNOWN, "inert", NULL},
    {"GA", 4.77, 5.07, 5.09, UNKNOWN, UNKNOWN, UNKNOWN, "broken", NULL},
    {"Boundary Shrink", 100, 100, 94.48, UNKNOWN, UNKNOWN, UNKNOWN, "inert", NULL},
    {"SalUn", 100, 100, 94.47, UNKNOWN, UNKNOWN, UNKNOWN, "inert", NULL},
    {"AMUN", 94.28, 97.47, 91.67, UNKNOWN, UNKNOWN, UNKNOWN, "", NULL},
    {"AMUN+SalUn", 94.19, 97.71, 91.79, UNKNOWN, UNKNOWN, UNKNOWN, "", NULL},
};

// The demo of seed 1 by its earlier recipe, and learning-rate areas on that base model:
// experiments/demo-grid/results/runs-cosine.csv
static const row grid_rows[] = {
    {"amun-no-retain", 85.25, 96.3611, 70.8, 0.745031, 55.7077, UNKNOWN, "utility", "utility"},
    {"amun", 87.25, 100, 78.2, 1.35282, 45.118, UNKNOWN, "", ""},
    {"ft", 87, 100, 80.9, 0.900519, 52.8543, UNKNOWN, "", ""},
    {"ga", 100, 100, 79.9, 0.131427, 68.5067, UNKNOWN, "inert", "inert"},
    {"rl", 88.25, 99.5278, 75.3, 1.18071, 48.0992, UNKNOWN, "", ""},
    {"df-adv-0.04", 100, 99.9722, 77, 0.380721, 64.9758, UNKNOWN, "inert", "inert"},
    {"df-adv-0.08", 96.75, 99.3611, 74.6, 0.480417, 61.7335, UNKNOWN, "utility", "inert utility"},
    {"df-adv-0.4", 68.5, 89.4722, 66.8, 1.05702, 49.3745, UNKNOWN, "broken", "broken"},
    {"df-plain-0.4", 92.75, 97.8056, 73.5, 0.634552, 57.9117, 95, "utility", "utility"},
    {"df-plain-1.2", 76, 74.6944, 67.3, UNKNOWN, 55.7148, 48.25, "broken", "broken"},
    {"ga-0.18", 100, 100, 80.1, 0.138967, 68.2528, UNKNOWN, "inert", "inert"},
    {"ga-0.35", 99.75, 100, 80.2, 0.145608, 67.7518, UNKNOWN, "inert", "inert"},
    {"ga-0.7", 98, 99.7222, 78.6, 0.073896, 66.2943, UNKNOWN, "inert", "inert"},
    {"plain-5", 100, 100, 79.7, 0.807902, 57.1705, 100, "inert pair-memorised", "pair-memorised"},
};

// The demo of seed 2 by its earlier recipe: experiments/demo-grid/results/runs-cosine.csv
static const row second_rows[] = {
    {"amun-no-retain", 84, 97.5278, 64.6, 0.741433, 56.423, UNKNOWN, "utility", "utility"},
    {"amun", 82.75, 100, 72.6, 1.32357, 45.8263, UNKNOWN, "", ""},
    {"ft", 84, 99.9722, 77.7, 0.794431, 52.8047, UNKNOWN, "", ""},
    {"ga", 100, 100, 73.1, 0.099858, 69.6035, UNKNOWN, "inert", "inert"},
    {"rl", 84.25, 99.4167, 69.2, 1.1663, 48.0735, UNKNOWN, "", ""},
};

#define ROWS(rows) rows, (int)(sizeof(rows) / sizeof *(rows))
static const study studies[] = {
    {100, 100, 77.2, 75.8, ROWS(demo_rows)},          {100, 100, 79.8, 77.25, ROWS(grid_rows)},
    {100, 100, 73.5, 76.5, ROWS(second_rows)},        {98.0, 98.8, 87.7, 87.0, ROWS(small_rows)},
    {100, 100, UNKNOWN, 94.49, ROWS(published_rows)},
};

static double fraction(double percent)
{
    return percent < 0 ? (double)NAN : percent / 100;
}

static void list_checks(const lti_run_metrics *m, char out[64])
{
    const struct {
        const char *name;
        bool is;
    } check[] = {{"inert", lti_is_inert(m)},
                 {"overdone", lti_is_overdone(m)},
                 {"broken", lti_is_broken(m)},
                 {"utility", lti_costs_utility(m)},
                 {"pair-memorised", lti_memorises_pairs(m)}};
    out[0] = '\0';
    for (size_t i = 0; i < sizeof check / sizeof *check; i++)
        if (check[i].is) {
            strcat(out, *out ? " " : "");
            strcat(out, check[i].name);
        }
}

static int compare_row(const study *y, const row *r, bool has_retrained)
{
    char found[64];
    const char *const expected = has_retrained ? r->with : r->without;
    const lti_run_metrics m = {.before = {fraction(y->ua), fraction(y->ra), fraction(y->ta)},
                               .after = {fraction(r->ua), fraction(r->ra), fraction(r->ta)},
                               .retrained_forget_acc = has_retrained ? fraction(y->retrained_ua) : (double)NAN,
                               .phi = {r->share < 0 ? (double)NAN : r->share, fraction(r->auc)},
                               .pair_acc = fraction(r->pair)};
    list_checks(&m, found);
    if (!expected || !strcmp(found, expected))
        return 0;
    print_error("%s, %s retrained models: expected '%s', found '%s'\n", r->name, has_retrained ? "with" : "without",
                expected, found);
    return 1;
}

static void recorded_runs_raise_what_they_should(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t s = 0; s < sizeof studies / sizeof *studies; s++)
        for (int i = 0; i < studies[s].n; i++)
            for (int with = 0; with < 2; with++)
                n_wrong += compare_row(&studies[s], &studies[s].row[i], with);
    assert_int_equal(n_wrong, 0);
}

static void classes_are_judged_by_their_own_accuracies(void **state)
{
    (void)state;
    char found[64];
    lti_run_metrics m = {.of_classes = true,
                         .before = {0.93, 1, 0.80},
                         .after = {0.93 * 0.9, 1, 0.80},
                         .retrained_forget_acc = 0,
                         .phi = {(double)NAN, (double)NAN},
                         .pair_acc = (double)NAN};
    list_checks(&m, found);
    assert_string_equal(found, "inert");
    m.after = (lti_run_state){0.5, 1, 0.74};
    list_checks(&m, found);
    assert_string_equal(found, "utility");
    m.after = (lti_run_state){0, 0.89, 0.80};
    list_checks(&m, found);
    assert_string_equal(found, "broken");
    m.retrained_forget_acc = (double)NAN; // the same without retrained models
    m.after = (lti_run_state){0, 1, 0.80};
    list_checks(&m, found);
    assert_string_equal(found, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_runs_raise_what_they_should),
        cmocka_unit_test(classes_are_judged_by_their_own_accuracies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
