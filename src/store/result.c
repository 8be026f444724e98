// result.c - what plans and the store say of themselves, as JSON.
#include "store_impl.h"
#include "base/json_write.h"
#include <math.h>
#include <stdlib.h>

static void write_plan(const lt_ref_plan *plan, lti_json *w)
{
    lti_json_text(w, "store", plan->dir);
    lti_json_text(w, "model", plan->request.model);
    lti_json_text(w, "data", plan->request.ds->spec);
    lti_json_text(w, "data_digest", plan->request.ds->digest);
    lti_json_int(w, "count", plan->request.count);
    lti_json_int(w, "n", plan->n);
    lti_json_int(w, "n_ready", plan->n_ready);
    lti_json_int(w, "n_unfinished", plan->n_unfinished);
    lti_json_int(w, "n_missing", plan->n_missing);
}

static void write_models(const lt_ref_plan *plan, lti_json *w)
{
    lti_json_begin(w, "models", '[');
    for (int r = 0; r < plan->request.count; r++) {
        const lt_ref *ref = &plan->ref[r];
        char name[LT_MEMBER_NAME_MAX];
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "name", lt_member_name(r, name));
        lti_json_text(w, "address", ref->address);
        lti_json_int(w, "seed", (int64_t)ref->seed);
        lti_json_int(w, "n_samples", ref->n_samples);
        lti_json_text(w, "state", lt_ref_state_text(ref->state));
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

char *lt_ref_plan_json(const lt_ref_plan *plan, const lt_ref_cost *cost)
{
    lti_json w = {0};
    const bool is_known = cost || plan->images == 0;
    lti_json_begin(&w, NULL, '{');
    write_plan(plan, &w);
    lti_json_int(&w, "train_images", plan->images);
    lti_json_int(&w, "n_workers", cost ? cost->n_workers : 0);
    lti_json_real(&w, "images_per_s", cost && cost->images_per_s > 0 ? cost->images_per_s : (double)NAN);
    lti_json_real(&w, "seconds", !is_known ? (double)NAN : cost ? cost->seconds : 0);
    write_models(plan, &w);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

char *lt_ref_training_json(const lt_ref_plan *plan)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    write_plan(plan, &w);
    lti_json_int(&w, "n_trained", plan->n_trained);
    lti_json_real(&w, "wall_s", plan->train_s);
    write_models(plan, &w);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

char *lt_ref_outputs_json(const lt_ref_plan *plan, const char *npz, int64_t n_samples)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    write_plan(plan, &w);
    lti_json_text(&w, "out", npz);
    lti_json_int(&w, "n_samples", n_samples);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

lt_status lt_store_json(const char *dir, const lt_store_filter *filter, char **json)
{
    char *list;
    size_t i;
    json_t *one;
    int64_t bytes = 0;
    lti_json w = {0};
    LT_TRY(filter ? lt_store_prune(dir, filter, &list) : lt_store_list(dir, &list));
    json_t *entries = json_loads(list, 0, NULL);
    json_array_foreach(entries, i, one) bytes += json_integer_value(json_object_get(one, "bytes"));
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "store", dir);
    lti_json_int(&w, "n", (int64_t)json_array_size(entries));
    lti_json_int(&w, "bytes", bytes);
    lti_json_raw(&w, filter ? "removed" : "entries", list);
    if (filter)
        lti_json_bool(&w, "dry_run", filter->dry_run);
    lti_json_end(&w, '}');
    json_decref(entries);
    free(list);
    *json = lti_json_take(&w);
    return *json ? LT_OK : LTI_NOMEM("list of the store");
}
