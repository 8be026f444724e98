// key_map.h - the tensors of a checkpoint under the names of an architecture, independent of the program that wrote the
// file.
//
// What differs between writers is undone here: a prefix that all tensors share ("module." of DataParallel,
// "_orig_mod." of torch.compile, "model." of trainers that wrap the network), other words for the same layer
// (an architecture's `rules`), a normalisation kept as a layer of the network ("normalize.mean"), and the state of a
// power iteration of a weight ("weight_VT"), which is no part of the function.
#ifndef LTI_KEY_MAP_H
#define LTI_KEY_MAP_H
#include "model/model_impl.h"

typedef struct lti_key {
    const char *name;        // of the architecture
    const lt_tensor *tensor; // borrowed; its own name is the file's
} lti_key;

typedef struct lti_key_map {
    lti_arena arena;
    lti_key *key;
    int n;
    const lt_tensor *mean, *std; // of a normalisation layer in the file; NULL when there is none
    const char *implied;         // key of the spec that the words of the file imply ("proj-half=1"), or NULL
} lti_key_map;
bool lti_is_power_iterate(const char *name); // state of a power iteration: in the file, not in the list

// LT_E_FORMAT when two tensors of the file come to the same name.
lt_status lti_key_map_create(const char *path, const lt_tensor_file *file, const lti_arch *arch, lti_key_map *map);
void lti_key_map_clear(lti_key_map *map);
const lt_tensor *lti_key_map_find(const lti_key_map *map, const char *name); // NULL when absent

// The architecture that the tensors of a file speak for, as a spec without normalisation ("resnet18:width=16");
// false when none does.
bool lti_guess_spec(const char *path, const lt_tensor_file *file, char *spec, size_t size);

// ---- differences.c
// Every tensor of `m`, built but without memory, against those of the file. *bn_batches: the largest counter of the
// file. LT_E_FORMAT for a counter that is none. `d` is filled also when there is nothing in it; clear it.
lt_status lti_compare_tensors(const char *path, const lt_model *m, const lti_key_map *map, int64_t *bn_batches,
                              lt_differences *d);
// LT_OK when there are none; else LT_E_FORMAT with the counts, and as many rows as a message holds.
lt_status lti_differences_status(const char *path, const lt_model *m, const lt_differences *d);
#endif
