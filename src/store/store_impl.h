// store_impl.h - what the files of the store share: requests as text, entries on disk.
#ifndef LT_STORE_IMPL_H
#define LT_STORE_IMPL_H
#include "base/base.h"
#include "lethe/store.h"
#include <jansson.h>

// ---- recipe.c
// {"lr": "0.1", ...}: every option that can change the weights; those of clipping only where something is clipped. The
// digest covers those that differ from their default, so that a new option leaves old addresses alone; entry.json has
// all, so that a changed default is found out.
lt_status lti_ref_recipe(const lt_ref_request *request, json_t **recipe, char digest[65]);
// Address from everything else that the request says; r is the row of the inclusion mask.
void lti_reference_path(const lt_ref_request *request, const char *recipe_digest, lt_ref *ref);

// ---- entry.c: one directory of the store
typedef struct lti_entry {
    char *dir, *model, *record, *state; // paths
} lti_entry;
lt_status lti_entry_name(const char *store, const char *address, lti_entry *e);
void lti_entry_clear(lti_entry *e);
lt_ref_state lti_entry_state(const lti_entry *e);
lt_status lti_entry_read(const lti_entry *e, json_t **record);
lt_status lti_entry_write(const lti_entry *e, const json_t *record);
// Exclusive use until the process ends or the descriptor is closed. LT_E_USAGE when somebody else has it.
lt_status lti_entry_lock(const lti_entry *e, int *fd);
// The model of a finished entry; LT_E_INTEGRITY when it is not the one that the record describes.
lt_status lti_entry_open_model(const lti_entry *e, lt_model **model);

// ---- plan.c
lt_status lti_ref_refresh(lt_ref_plan *plan); // looks every entry up again
#endif
