// study.h - a whole study as one YAML file: what is trained, forgotten, tuned, retrained and audited (docs/sweeps.md).
//
// Parsing looks at nothing but the text: names of methods, attacks and options are checked here, data and models by who
// runs the study. Random points of a search are drawn here, so a study is a pure function of its file.
#ifndef LT_STUDY_H
#define LT_STUDY_H
#include "lethe/audit.h"
#include "lethe/unlearn.h"
LT_BEGIN

typedef struct lt_study_option { // as `--key=value` of the verb it belongs to; key with dashes, value canonical
    const char *key, *value;
} lt_study_option;
typedef struct lt_study_options {
    int n;
    lt_study_option *option;
} lt_study_options;

typedef struct lt_study_seeds {
    int n;
    uint64_t *seed;
} lt_study_seeds;

typedef struct lt_study_forget {
    const char *spec; // as for lt_forget_parse
    uint64_t seed;
    const char *name; // serves as a file name; differs between the forget sets of a study
    int line;
} lt_study_forget;

enum { LT_ACCESS_RETAIN, LT_ACCESS_FORGET_ONLY, LT_N_ACCESS };
LT_API const char *lt_access_text(int access); // "retain", "forget-only"

typedef struct lt_study_method {
    const char *name; // serves as a file name
    const lt_unlearn_method *method;
    bool access[LT_N_ACCESS]; // settings it is run in: those asked for that the method supports
    lt_study_options options; // of every run
    int n_points;             // 0 = nothing to tune
    lt_study_options *point;  // (n_points) grid points in order (last option fastest), then random ones; all different
    int n_grid;               // the first so many points are of the grid
    int line;
} lt_study_method;

typedef struct lt_study_oracles {
    lt_study_seeds seeds;
    bool shared; // one set of oracles per forget set; else one per original model and forget set
} lt_study_oracles;

typedef struct lt_study_references { // count 0 = none
    int32_t count;
    uint64_t seed, keep_seed;
    const char *store;      // NULL = the user's
    lt_study_options train; // recipe, complete
} lt_study_references;

typedef struct lt_study_tuning { // where hyper-parameters are chosen; spec NULL = nothing is tuned
    uint64_t base, seed;         // of the original model; of unlearning
    lt_study_forget forget;
    lt_study_seeds oracles;
    const char *objective; // "no-oracle", "gap-mis", "gap-auc" or "gap-ATTACK"
    bool uses_oracle;
    int32_t budget; // most points of a method
} lt_study_tuning;

typedef struct lt_study {
    const char *name, *data, *model; // name may be NULL
    int data_line, model_line;
    lt_study_options train, audit;
    const char *attacks; // names separated by commas, NULL = all that the references allow
    lt_study_seeds bases, repetitions;
    int n_forget, n_methods;
    lt_study_forget *forget;
    lt_study_method *method;
    lt_study_oracles oracles;
    lt_study_references references;
    lt_study_tuning tuning;
    void *own;
} lt_study;

// LT_E_FORMAT for text that is no YAML or a value of the wrong kind, LT_E_USAGE for unknown keys, methods, attacks and
// options and for values out of range; the message begins with LABEL:LINE. Aliases are refused.
LT_API lt_status lt_study_parse(const char *text, size_t n, const char *label, lt_study **study);
LT_API lt_status lt_study_open(const char *path, lt_study **study); // files up to 1 MiB
LT_API void lt_study_close(lt_study *study);                        // NULL is fine

// Seed of the oracle `seed` of an original model: the seeds of a study are per original model unless shared, so that no
// two oracles are the same network.
LT_API uint64_t lt_study_oracle_seed(uint64_t base, uint64_t seed);

LT_END_DECLS
#endif
