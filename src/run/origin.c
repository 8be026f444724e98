// origin.c - where a run comes from: its parent, its data, and what its training said last.
#include "run/run_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

lt_status lti_related_open(const char *name, const lt_model_fallback *given, const lt_model *sibling,
                           const lt_dataset *ds, lt_trained_model *m)
{
    lt_model_fallback f = given ? *given : (lt_model_fallback){0};
    lt_model_facts facts;
    char input[64];
    *m = (lt_trained_model){0};
    if (lti_is_dir(name) || !sibling)
        return lt_trained_model_open(name, lti_is_dir(name) ? NULL : given, lti_is_dir(name) ? NULL : ds, m);
    LT_TRY(lt_model_examine(name, &facts));
    if (facts.own)
        return lt_trained_model_open(name, given, ds, m);
    if (!f.model || !*f.model) {
        f.model = sibling->spec; // with its normalisation
        if (!f.normalize || !*f.normalize)
            f.normalize = "none";
    }
    lti_format(input, sizeof input, "%dx%dx%d", sibling->shape.c, sibling->shape.h, sibling->shape.w);
    if (!ds && (!f.input || !*f.input))
        f.input = input;
    return lt_trained_model_open(name, &f, ds, m);
}

// A parent that was moved or replaced since is not what the run was made from.
lt_status lti_check_parent(const lt_trained_model *child, const char *parent)
{
    const char *expected = lti_json_text_at(child->result, "parent_digest");
    char digest[65];
    lt_trained_model m;
    lt_status status = lti_related_open(parent, NULL, child->model, NULL, &m);
    if (status == LT_OK) {
        lt_model_digest(m.model, digest);
        if (*expected && strcmp(digest, expected) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: model digest %.16s..., but %s was made from %.16s...", parent, digest,
                             child->name, expected);
    }
    lt_trained_model_close(&m);
    return status;
}

double lti_last_train_acc(const lt_trained_model *m)
{
    enum { MAX_BYTES = 1 << 28 };
    char *path = m->dir ? lti_asprintf("%s/metrics.jsonl", m->dir) : NULL, *text = NULL;
    double last = NAN;
    size_t n;
    if (path && lt_read_file(path, MAX_BYTES, &text, &n) == LT_OK)
        for (char *line = text; line && *line;) {
            char *end = strchr(line, '\n');
            json_t *row = json_loadb(line, end ? (size_t)(end - line) : strlen(line), 0, NULL);
            if (!strcmp(lti_json_text_at(row, "event"), "train.epoch"))
                last = lti_json_real_at(row, "train_acc");
            json_decref(row);
            line = end ? end + 1 : NULL;
        }
    lt_error_clear();
    lti_free(text);
    lti_free(path);
    return last;
}

lt_status lti_run_data(const lt_trained_model *m, const char *given, lt_dataset *open, lt_events *events,
                       lt_dataset **ds, lt_dataset **owned)
{
    const char *spec = given;
    *ds = *owned = NULL;
    if (!spec || !*spec)
        LT_TRY(lt_trained_model_data_spec(m, NULL, &spec));
    if (open && !strcmp(open->spec, spec)) {
        *ds = open;
    } else {
        LT_TRY(lt_dataset_open(spec, events, owned));
        *ds = *owned;
    }
    return m ? lt_trained_model_check_data(m, *ds, LT_DATA_TRAINING, events) : LT_OK;
}

void lti_run_stage(lt_events *events, const char *fmt, ...)
{
    char text[200];
    va_list args;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    lt_emit(events, &(lt_event){.kind = LT_EV_BEGIN, .name = "audit.stage", .text = text, .epoch = -1, .step = -1});
}
