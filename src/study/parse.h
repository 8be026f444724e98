// parse.h - what the files of the study parser share: a reader with its arena, checked values, option tables.
#ifndef LT_STUDY_PARSE_H
#define LT_STUDY_PARSE_H
#include "lethe/clip.h"
#include "lethe/study.h"
#include "base/yaml_tree.h"

typedef struct lti_study_reader {
    const char *label;
    char *text; // the file
    size_t n_text;
    lti_arena arena; // everything a study owns
    lt_study study;
} lti_study_reader;

#define LTI_AT(r, node) (r)->label, (node)->line

// ---- values; every error names file, line and key
lt_status lti_study_placed(lti_study_reader *r, const lti_yaml *node, lt_status status); // puts file and line in front
lt_status lti_study_keys(lti_study_reader *r, const lti_yaml *map, const char *const *known); // ends with NULL
lt_status lti_study_u64(lti_study_reader *r, const lti_yaml *node, uint64_t *value);
lt_status lti_study_i32(lti_study_reader *r, const lti_yaml *node, int32_t min, int32_t max, int32_t *value);
lt_status lti_study_f64(lti_study_reader *r, const lti_yaml *node, double *value);
lt_status lti_study_bool(lti_study_reader *r, const lti_yaml *node, bool *value);
lt_status lti_study_seeds(lti_study_reader *r, const lti_yaml *node, lt_study_seeds *seeds); // one or a list, different
void *lti_study_alloc(lti_study_reader *r, size_t n, size_t size, lt_status *status);        // zeroed
// Letters, digits, dot, dash, underscore, plus: what may name a directory.
lt_status lti_study_name(lti_study_reader *r, const lti_yaml *node, const char **name);

// ---- options: of tables bound to one set
typedef struct lti_study_table {
    const char *prefix;
    const lt_option *table;
    size_t cfg_size;
} lti_study_table;
typedef struct lti_study_set { // an option set with memory of its own
    lt_optset *set;
    void *cfg;
} lti_study_set;
lt_status lti_study_set_open(const lti_study_table *tables, int n, lti_study_set *out);
void lti_study_set_close(lti_study_set *s);
typedef struct lti_study_training { // what `train` of a study says: the options of `lethe train` that make the model
    lt_train_cfg train;
    lt_clip_cfg clip;
} lti_study_training;
lt_status lti_study_training_bind(lti_study_training *t, lt_optset *set); // t gets the defaults and what the set parses
// Checks one value and makes it canonical. node: a scalar, or a list of scalars that becomes "a,b".
lt_status lti_study_value(lti_study_reader *r, lti_study_set *set, const char *key, const lti_yaml *node,
                          lt_study_option *out);
// The same for text that was computed; at: names line and key of errors.
lt_status lti_study_value_text(lti_study_reader *r, lti_study_set *set, const char *key, const char *text,
                               const lti_yaml *at, lt_study_option *out);
// A whole map of options; map NULL = none. Maps inside it are prefixes.
lt_status lti_study_options(lti_study_reader *r, lti_study_set *set, const lti_yaml *map, lt_study_options *out);

// ---- points.c
bool lti_study_multiple(const char *text, double *factor); // "x3", "x1/3": of the default learning-rate area
// grid and random may be NULL. budget: most points. seed: of the random ones.
lt_status lti_study_points(lti_study_reader *r, lti_study_set *set, const lti_yaml *grid, const lti_yaml *random,
                           int32_t budget, uint64_t seed, lt_study_method *method);
#endif
