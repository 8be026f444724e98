// not_proven.c - what a record does not show, in plain sentences that follow from its facts.
//
// A receipt is read by people who did not make it. What it leaves open is said in the record itself, so that it is
// covered by the same digest and signature as the figures.
#include "ledger/ledger_impl.h"
#include "lethe/metric.h"
#include <math.h>
#include <string.h>

static bool say(json_t *out, const char *fmt, ...) LT_PRINTF(2, 3);
static bool say(json_t *out, const char *fmt, ...)
{
    enum { SENTENCE_MAX = 1024 };
    char text[SENTENCE_MAX];
    va_list args;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    json_t *object = json_object(); // lti_put_text mends what is not UTF-8
    const bool ok = lti_put_text(object, "text", text) && json_array_append(out, json_object_get(object, "text")) == 0;
    json_decref(object);
    return ok;
}

static int64_t integer_at(const json_t *body, const char *path)
{
    return json_integer_value(lti_json_at(body, path));
}

lt_status lti_not_proven_run(const json_t *body, json_t *out)
{
    const char *method = lti_json_text_at(body, "method.name");
    bool ok = true;
    if (!json_object_get(body, "forget"))
        return LT_OK;
    if (json_is_true(lti_json_at(body, "method.retrains")))
        ok = say(out, "Training again without the samples removes their influence on the weights, but not on choices "
                      "that were made with them before, such as the architecture and the training options.");
    else
        ok = say(out,
                 "The method (%s) changes the trained weights; it does not retrain without the samples. This "
                 "record sets no bound on what the weights still hold of them: only an audit measures that.",
                 method);
    ok = ok && say(out, "Copies outside of the model are not covered: the images in storage, in backups and in other "
                        "data sets, and models that were derived from the one before.");
    ok = ok && say(out, "Images that resemble the removed ones may be among the retained images; this run did not "
                        "search for them.");
    if (json_is_null(lti_json_at(body, "forget.samples")))
        ok = ok && say(out, "The removed samples are named by a digest of their numbers only: there are no keyed "
                            "digests of their content.");
    if (json_is_null(lti_json_at(body, "parent.record")))
        ok = ok && say(out, "The model before is not in this ledger: that it was trained on these samples rests on "
                            "the word of who ran this.");
    return ok ? LT_OK : LTI_NOMEM("record");
}

// The figures of an audit that a reader is most likely to take for more than they are.
static bool say_attacks(const json_t *body, json_t *out)
{
    const json_t *references = lti_json_at(body, "result.references");
    bool ok = true;
    if (!references || json_is_null(references))
        ok = say(out, "No attack with reference models (such as RMIA or LiRA) was run; those are the strongest known.");
    for (const lt_mia *const *a = lt_mia_list(); *a; a++) { // strongest first
        char path[LT_METRIC_PATH + 32], key[LT_METRIC_PATH];
        lti_format(path, sizeof path, "result.interval.%s", lt_metric_path(LT_METRIC_ATTACK_FT_AUC, *a, key));
        const json_t *interval = lti_json_at(body, path);
        const double low = json_number_value(json_array_get(interval, 0)),
                     high = json_number_value(json_array_get(interval, 1));
        if (json_array_size(interval) != 2)
            continue;
        // An attacker may also use an attack backwards.
        const double worst = fmax(high, 1 - low);
        return ok && say(out,
                         "With %lld removed samples the audit does not exclude that the attack '%s' tells them from "
                         "unseen ones with an AUC of %.2f (0.5 is guessing; the end of its 95 %% interval).",
                         (long long)integer_at(body, "result.n_forget"), (*a)->title, worst);
    }
    return ok;
}

// Of a verdict that is not "indistinguishable".
static const char *explain_verdict(const char *verdict)
{
    if (!strcmp(verdict, lt_verdict_text(LT_VERDICT_DIFFERENT)))
        return "on at least one metric the model differs from retrained ones";
    if (!strcmp(verdict, lt_verdict_text(LT_VERDICT_CANNOT_TELL)))
        return "the model before the deletion, which has forgotten nothing, passes for a retrained one on these "
               "samples, too";
    return "the audit cannot say whether the model differs from retrained ones";
}

lt_status lti_not_proven_audit(const json_t *body, json_t *out)
{
    const size_t n_oracles = json_array_size(json_object_get(body, "oracles"));
    const char *verdict = lti_json_text_at(body, "result.verdict.overall");
    const json_t *item;
    size_t i;
    bool ok = true;
    if (n_oracles == 0)
        ok = say(out, "The model was not compared with one trained again without the samples, so nothing says which "
                      "values of these metrics are good.");
    else if (n_oracles == 1)
        ok = say(out, "The model was compared with a single retrained model. Retrained models differ among "
                      "themselves, so this supports no verdict.");
    if (n_oracles > 1 && strcmp(verdict, lt_verdict_text(LT_VERDICT_SAME)) != 0)
        ok = say(out, "The verdict is '%s': %s.", verdict, explain_verdict(verdict));
    ok = ok && say_attacks(body, out);
    json_array_foreach(lti_json_at(body, "result.lint"), i, item)
    {
        if (strcmp(lti_json_text_at(item, "severity"), lt_severity_text(LT_LINT_NOTE)) != 0)
            ok = ok && say(out, "The linter reports (%s, %s): %s.", lti_json_text_at(item, "severity"),
                           lti_json_text_at(item, "id"), lti_json_text_at(item, "text"));
    }
    ok = ok && say(out, "Attacks give lower bounds: one that was not run may find what these did not.");
    return ok ? LT_OK : LTI_NOMEM("record");
}
