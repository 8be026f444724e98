// set_synthetic.c - the built-in set: pictures drawn by synth_draw.c, for machines without data and for fast tests.
//
// Sample i of a split is a pure function of (seed, split, i, noise): a larger set starts with the smaller one.
#include "data_impl.h"

static const char *const class_names[LTI_SYNTH_CLASSES] = {
    "striped-disc",     "spotted-disc",  "striped-square", "spotted-square", "striped-triangle",
    "spotted-triangle", "striped-cross", "spotted-cross",  "striped-ring",   "spotted-ring",
};

lt_status lti_open_synthetic(const lti_open_args *args, lti_raw *raw)
{
    int64_t n[2], seed;
    double noise = 1;
    LT_TRY(lti_key_i64(args->spec, "train", 1, 10000000, 5000, &n[LT_TRAIN]));
    LT_TRY(lti_key_i64(args->spec, "test", 1, 10000000, 1000, &n[LT_TEST]));
    LT_TRY(lti_key_i64(args->spec, "seed", 0, INT64_MAX, 0, &seed));
    const char *noise_text = lti_spec_get(args->spec, "noise");
    if (noise_text)
        LT_TRY(lti_parse_f64(noise_text, "noise", 0, 3, &noise));
    raw->c = 3;
    raw->h = raw->w = LTI_SYNTH_SIDE;
    raw->n_classes = LTI_SYNTH_CLASSES;
    raw->class_name = class_names;
    for (int s = 0; s < 2; s++) {
        LT_TRY(lti_raw_reserve(raw, (lt_split)s, n[s]));
        for (int64_t i = 0; i < n[s]; i++) {
            uint8_t *x;
            LT_TRY(lti_raw_append(raw, (lt_split)s, lti_synth_label((uint64_t)seed, (lt_split)s, i), &x));
            lti_synth_draw((uint64_t)seed, (lt_split)s, i, noise, x);
        }
    }
    return LT_OK;
}
