// plan.c - what a request needs, and what of it is in the store.
#include "store_impl.h"
#include <string.h>

const char *lt_ref_state_text(lt_ref_state state)
{
    static const char *const text[] = {
        [LT_REF_MISSING] = "missing", [LT_REF_UNFINISHED] = "unfinished", [LT_REF_READY] = "ready"};
    return text[state];
}

static bool says(const json_t *record, const char *key, const char *value)
{
    const char *found = json_string_value(json_object_get(record, key));
    return found && strcmp(found, value) == 0;
}

// What the record and the request both say must agree: an address that differs in no option can still belong to another
// recipe when a default has changed since.
static lt_status check_record(const lt_ref_plan *plan, const lt_ref *ref, const json_t *recipe, const lti_entry *e)
{
    json_t *record;
    const char *key, *wrong = NULL;
    const json_t *value;
    LT_TRY(lti_entry_read(e, &record));
    const json_t *seed = json_object_get(record, "seed"), *found = json_object_get(record, "recipe");
    json_object_foreach((json_t *)recipe, key, value)
    {
        const char *have = json_string_value(json_object_get(found, key));
        if (have && strcmp(have, json_string_value(value)) != 0)
            wrong = key;
    }
    wrong = !says(record, "address", ref->address)                      ? "address"
            : !says(record, "model", plan->request.model)               ? "model"
            : !says(record, "data_digest", plan->request.ds->digest)    ? "data_digest"
            : !says(record, "mask_digest", ref->mask_digest)            ? "mask_digest"
            : (uint64_t)json_integer_value(seed) != ref->seed || !found ? "seed"
                                                                        : wrong;
    json_decref(record);
    if (!wrong)
        return LT_OK;
    LT_FAIL(LT_E_INTEGRITY, "%s: %s does not match the address of this entry", e->record, wrong);
    return lt_error_hint("remove the directory; the model is then trained again");
}

static lt_status look_up(lt_ref_plan *plan, const json_t *recipe, lt_ref *ref)
{
    lti_entry e;
    LT_TRY(lti_entry_name(plan->dir, ref->address, &e));
    ref->state = lti_entry_state(&e);
    lt_status status = ref->state == LT_REF_READY ? check_record(plan, ref, recipe, &e) : LT_OK;
    lti_entry_clear(&e);
    return status;
}

static void describe(lt_ref_plan *plan, int r, const char *recipe_digest)
{
    const uint8_t *mask = plan->member + (int64_t)r * plan->n;
    lt_ref *ref = &plan->ref[r];
    lti_hash h;
    lti_hash_init(&h);
    lti_hash_add(&h, mask, (size_t)plan->n);
    lti_hash_hex(&h, ref->mask_digest);
    for (int64_t j = 0; j < plan->n; j++)
        ref->n_samples += mask[j];
    ref->seed = plan->request.seed + (uint64_t)r;
    lti_reference_path(&plan->request, recipe_digest, ref);
}

static void count_states(lt_ref_plan *plan)
{
    int n[3] = {0};
    plan->images = 0;
    for (int r = 0; r < plan->request.count; r++) {
        const lt_ref *ref = &plan->ref[r];
        n[ref->state]++;
        if (ref->state != LT_REF_READY)
            plan->images += ref->n_samples * plan->request.train.epochs;
    }
    plan->n_missing = n[LT_REF_MISSING];
    plan->n_unfinished = n[LT_REF_UNFINISHED];
    plan->n_ready = n[LT_REF_READY];
}

lt_status lti_ref_refresh(lt_ref_plan *plan)
{
    json_t *recipe;
    char digest[65];
    LT_TRY(lti_ref_recipe(&plan->request, &recipe, digest));
    lt_status status = LT_OK;
    for (int r = 0; r < plan->request.count && status == LT_OK; r++)
        status = look_up(plan, recipe, &plan->ref[r]);
    json_decref(recipe);
    count_states(plan);
    return status;
}

// The architecture as models spell it themselves, so that "resnet18" and "resnet18:width=64" are one.
static lt_status canonical_model(lt_ref_plan *plan, const lt_ref_request *request)
{
    const lt_dataset *ds = request->ds;
    lt_model *model;
    LT_TRY(lt_model_create(request->model, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &model));
    plan->request.model = lti_strdup(model->spec);
    lt_model_destroy(model);
    return plan->request.model ? LT_OK : LTI_NOMEM("plan of reference models");
}

static lt_status fill(lt_ref_plan *plan, const char *dir, const lt_ref_request *request)
{
    size_t size;
    json_t *recipe;
    char recipe_digest[65];
    plan->request = *request;
    plan->request.model = NULL;
    plan->n = request->ds->split[LT_TRAIN].n + request->ds->split[LT_TEST].n;
    if (request->count < 2)
        return lt_inclusion_mask(request->count, 0, 0, NULL); // says what is wrong
    if (lti_mul_size((size_t)request->count, (size_t)plan->n, &size))
        return LT_FAIL(LT_E_USAGE, "%d reference models of %lld samples: too many", request->count, (long long)plan->n);
    plan->dir = lti_strdup(dir);
    plan->member = lti_malloc(size);
    plan->ref = lti_calloc((size_t)request->count, sizeof *plan->ref);
    if (!plan->dir || !plan->member || !plan->ref)
        return LTI_NOMEM("plan of reference models");
    LT_TRY(canonical_model(plan, request));
    LT_TRY(lt_inclusion_mask(request->count, plan->n, request->inclusion_seed, plan->member));
    LT_TRY(lti_ref_recipe(request, &recipe, recipe_digest));
    json_decref(recipe);
    for (int r = 0; r < request->count; r++) {
        describe(plan, r, recipe_digest);
        if (plan->ref[r].n_samples == 0)
            return LT_FAIL(LT_E_USAGE, "%lld samples are too few for %d reference models: number %d would have none",
                           (long long)plan->n, request->count, r);
    }
    return lti_ref_refresh(plan);
}

lt_status lt_ref_plan_create(const char *dir, const lt_ref_request *request, lt_ref_plan **plan)
{
    *plan = NULL;
    lt_ref_plan *p = lti_calloc(1, sizeof *p);
    if (!p)
        return LTI_NOMEM("plan of reference models");
    lt_status status = fill(p, dir, request);
    if (status != LT_OK)
        lt_ref_plan_destroy(p);
    else
        *plan = p;
    return status;
}

void lt_ref_plan_destroy(lt_ref_plan *plan)
{
    if (!plan)
        return;
    lti_free(plan->dir);
    lti_free((char *)(uintptr_t)plan->request.model);
    lti_free(plan->member);
    lti_free(plan->ref);
    lti_free(plan);
}
