// lint_study.c - what makes a study say less than it seems to, and what its audits say.
#include "cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// Of a lint check; warnings are all that is said of a study as a whole.
static const char *severity_of(const char *id)
{
    for (const lt_lint_check *const *check = lt_lint_checks(); *check; check++)
        if (!strcmp((*check)->id, id))
            return lt_severity_text((*check)->severity);
    return lt_severity_text(LT_LINT_WARNING);
}

void cli_lint(json_t *lint, const char *id, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    json_t *item = json_object();
    cli_put(item, "id", json_string(id));
    cli_put(item, "severity", json_string(severity_of(id)));
    cli_put_text(item, "text", text);
    json_array_append_new(lint, item);
}

static void lint_seeds(json_t *lint, const lt_study *y)
{
    if (y->bases.n == 1)
        cli_lint(lint, "single-seed", "one original model: nothing says how much the figures depend on it");
    if (y->n_forget == 1)
        cli_lint(lint, "single-forget-set", "one forget set: nothing says how much the figures depend on it");
    if (y->bases.n * y->n_forget == 1)
        cli_lint(lint, "no-interval", "one original model and one forget set: there are no intervals of the means");
    if (y->oracles.seeds.n == 1)
        cli_lint(lint, "single-oracle", "one oracle per forget set: there is no null band and no verdict");
    if (y->oracles.shared && y->bases.n > 1)
        cli_lint(lint, "shared-oracles",
                 "original models are compared with the same oracles: their gaps are not independent");
}

static void lint_tuning(json_t *lint, const lt_study *y)
{
    int least = -1, most = 0;
    for (int m = 0; m < y->n_methods; m++) {
        const int n = y->method[m].n_points;
        least = least < 0 || n < least ? n : least;
        most = n > most ? n : most;
    }
    if (most > 0 && y->tuning.uses_oracle)
        cli_lint(lint, "tuning-used-oracle",
                 "tuning used the oracle: settings were chosen by %s, with retrained models that nobody has who needs "
                 "unlearning",
                 y->tuning.objective);
    if (least != most)
        cli_lint(lint, "unequal-tuning", "methods were tuned with different numbers of settings, %d to %d", least,
                 most);
}

static void count_lint(const json_t *audit, json_t *count, json_t *text)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(audit, "lint"), i, item)
    {
        const char *id = cli_text(item, "id");
        cli_put(count, id, json_integer(json_integer_value(json_object_get(count, id)) + 1));
        if (!json_object_get(text, id))
            cli_put_text(text, id, cli_text(item, "text"));
    }
}

void cli_lint_study(json_t *lint, const lt_study *study, const json_t *audits)
{
    json_t *count = json_object(), *text = json_object();
    size_t i, k;
    const char *id;
    const json_t *audit, *one, *n;
    lint_seeds(lint, study);
    lint_tuning(lint, study);
    json_array_foreach((json_t *)audits, i, audit) json_array_foreach(json_object_get(audit, "also"), k, one)
        count_lint(one, count, text);
    json_object_foreach(count, id, n)
        cli_lint(lint, id, "%lld audited runs: %s", (long long)json_integer_value(n), cli_text(text, id));
    json_decref(count);
    json_decref(text);
}
