// audit_risk.c - which forgotten and retained samples an attacker would call members, and whose risk rose.
//
// The risk of a sample is the share of test samples that score lower: 0.99 means it is called a member at a false
// positive rate of 1 %. Scores of two models have no common scale; their risks have.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 10 };
#define HIGH_RISK 0.99

typedef struct sample {
    int64_t id, label;
    int8_t group;
    double score, risk, before; // before: NAN = not known
} sample;

static double by_risk(const sample *s)
{
    return s->risk;
}
static double by_rise(const sample *s)
{
    return s->risk - s->before;
}

typedef double (*key_of)(const sample *s);
// The largest first, equal ones in the order of the file.
static int compare(const sample *x, const sample *y, key_of key)
{
    double a = key(x), b = key(y);
    if (a != b)
        return (a < b) - (a > b);
    return (x > y) - (x < y);
}
static int compare_risk(const void *a, const void *b)
{
    return compare(*(const sample *const *)a, *(const sample *const *)b, by_risk);
}
static int compare_rise(const void *a, const void *b)
{
    return compare(*(const sample *const *)a, *(const sample *const *)b, by_rise);
}

static json_t *sample_json(const sample *s)
{
    json_t *j = json_object();
    cli_put(j, "id", json_integer(s->id));
    cli_put(j, "label", json_integer(s->label));
    cli_put_real(j, "score", s->score);
    cli_put_real(j, "risk", s->risk);
    if (isfinite(s->before))
        cli_put_real(j, "before", s->before);
    return j;
}

static json_t *top_json(const sample **list, int64_t n)
{
    json_t *top = json_array();
    for (int64_t i = 0; i < n && i < TOP; i++)
        json_array_append_new(top, sample_json(list[i]));
    return top;
}

// list: the n samples of one group, sorted here.
static json_t *side_json(const sample **list, int64_t n, bool has_before)
{
    json_t *j = json_object();
    int64_t n_high = 0, n_rose = 0;
    qsort(list, (size_t)n, sizeof *list, compare_risk);
    for (int64_t i = 0; i < n; i++) {
        n_high += list[i]->risk >= HIGH_RISK;
        n_rose += list[i]->risk > list[i]->before;
    }
    cli_put(j, "n", json_integer(n));
    cli_put(j, "n_above_0_99", json_integer(n_high));
    cli_put_real(j, "median", n ? list[n / 2]->risk : (double)NAN);
    cli_put(j, "top", top_json(list, n));
    if (!has_before)
        return j;
    qsort(list, (size_t)n, sizeof *list, compare_rise);
    cli_put(j, "n_rose", json_integer(n_rose));
    cli_put(j, "top_rose", top_json(list, n_rose));
    return j;
}

// ---- file

static void print_csv(const sample **list, int64_t n, bool has_before, FILE *out)
{
    fprintf(out, "id,group,label,score,risk%s\n", has_before ? ",risk_before,rise" : "");
    for (int64_t i = 0; i < n; i++) {
        const sample *s = list[i];
        fprintf(out, "%lld,%s,%lld,%.17g,%.9g", (long long)s->id, s->group == LT_GROUP_FORGET ? "forget" : "retain",
                (long long)s->label, s->score, s->risk);
        if (has_before)
            fprintf(out, ",%.9g,%.9g", s->before, s->risk - s->before);
        fputc('\n', out);
    }
}

static lt_status save_csv(const char *path, const sample **list, int64_t n, bool has_before)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return LT_FAIL(LT_E_NOMEM, "out of memory: %s", path);
    qsort(list, (size_t)n, sizeof *list, compare_risk);
    print_csv(list, n, has_before, out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return LT_FAIL(LT_E_NOMEM, "out of memory: %s", path);
    }
    lt_status status = lt_write_file_atomic(path, text, size);
    free(text);
    return status;
}

// ---- both

static lt_status risks_before(const cli_attacks *attacks, const lt_signals *before, double *risk)
{
    const lt_mia_in in = {before, attacks->refs, attacks->seed, attacks->n_threads};
    double *score = cli_alloc((size_t)before->n, sizeof *score);
    lt_status status = lt_mia_run(attacks->mia[0], &in, attacks->cfg[0], score);
    if (status == LT_OK)
        status = lt_mia_risk(before, score, risk);
    free(score);
    return status;
}

// Forgotten and retained samples that have a score; returns their number, and where the forgotten ones end.
static int64_t gather(const lt_signals *s, const double *score, const double *risk, const double *before, sample *out,
                      int64_t *n_forget)
{
    static const int8_t order[2] = {LT_GROUP_FORGET, LT_GROUP_RETAIN};
    int64_t n = 0;
    for (int g = 0; g < 2; g++) {
        for (int64_t i = 0; i < s->n; i++)
            if (s->group[i] == order[g] && !isnan(risk[i]))
                out[n++] = (sample){s->id[i], s->label[i], s->group[i], score[i], risk[i], before[i]};
        if (g == 0)
            *n_forget = n;
    }
    return n;
}

lt_status cli_risk(const cli_attacks *attacks, const cli_audited *target, const lt_signals *before, const char *csv,
                   json_t **out)
{
    *out = NULL;
    if (attacks->n == 0)
        return LT_OK;
    const lt_signals *s = target->signals;
    size_t n_all = (size_t)s->n;
    double *risk = cli_alloc(n_all, sizeof *risk), *was = cli_alloc(n_all, sizeof *was);
    sample *all = cli_alloc(n_all, sizeof *all);
    const sample **list = cli_alloc(n_all, sizeof *list);
    lt_status status = lt_mia_risk(s, target->score[0], risk);
    for (size_t i = 0; i < n_all; i++)
        was[i] = NAN;
    if (status == LT_OK && before)
        status = risks_before(attacks, before, was);
    if (status == LT_OK) {
        int64_t n_forget = 0, n = gather(s, target->score[0], risk, was, all, &n_forget);
        for (int64_t i = 0; i < n; i++)
            list[i] = &all[i];
        *out = json_object();
        cli_put(*out, "attack", json_string(attacks->mia[0]->name));
        cli_put(*out, "forget", side_json(list, n_forget, before));
        cli_put(*out, "retain", side_json(list + n_forget, n - n_forget, before));
        if (csv && *csv)
            status = save_csv(csv, list, n, before);
    }
    free(risk);
    free(was);
    free(all);
    free(list);
    return status;
}
