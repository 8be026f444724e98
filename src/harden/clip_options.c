// clip_options.c - option tables of clipping, and the list of its rules.
#include "clip_impl.h"
#include <string.h>

static const lti_clip_rule *const rules[] = {
#define LT_X(symbol, name) &lti_clip_##symbol,
#include "harden/clip_rules.list"
#undef LT_X
};
enum {
#define LT_X(symbol, name) RULE_##symbol,
#include "harden/clip_rules.list"
#undef LT_X
    N_RULES
};
const lt_opt_value lti_clip_rule_values[] = {
#define LT_X(symbol, name) {name, RULE_##symbol, NULL},
#include "harden/clip_rules.list"
#undef LT_X
    {NULL, 0, NULL},
};
static const lt_opt_value modes[] = {
    {"ceil", LT_CLIP_CEIL, "values above the target come down to it"},
    {"exact", LT_CLIP_EXACT, "the largest value is also raised to the target"},
    {NULL, 0, NULL},
};

const lti_clip_rule *lti_clip_rule_of(int32_t rule)
{
    return rules[rule >= 0 && rule < N_RULES ? rule : 0];
}

lt_status lt_clip_rule_find(const char *name, int32_t *rule)
{
    const char *names[N_RULES + 1] = {0};
    for (int i = 0; i < N_RULES; i++) {
        names[i] = lti_clip_rule_values[i].name;
        if (strcmp(name, names[i]) == 0) {
            *rule = i;
            return LT_OK;
        }
    }
    LT_FAIL(LT_E_USAGE, "unknown rule of clipping '%s'", name);
    return lti_name_hint(name, names);
}

const lt_option lt_clip_norm_options[] = {
    LT_F32(struct lt_clip_cfg, clip_norm, 0, 0, 1e6, "",
           "clip the spectral norm of every convolution and linear layer to this while training (FastClip); 0 = none"),
    LT_I32(struct lt_clip_cfg, clip_every, 0, 0, 1000000, "updates",
           "between two clipping events; 0 = 50 with batch norm, 100 without; the end of an epoch has one as well"),
    LT_BOOL(struct lt_clip_cfg, clip_final, 1, "bring every layer below its target after the last update"),
    LT_OPT_END,
};
const lt_option lt_clip_rule_options[] = {
    LT_F32(struct lt_clip_cfg, clip_linear, 0, 0, 1e6, "", "target of linear layers; 0 = that of convolutions"),
    LT_F32(struct lt_clip_cfg, clip_bn, 0, 0, 1e6, "", "target of batch norm in evaluation form; 0 = not clipped"),
    LT_F32(struct lt_clip_cfg, clip_compose, 0, 0, 1e6, "",
           "target of a convolution together with its batch norm; 0 = not clipped"),
    LT_ENUM(struct lt_clip_cfg, clip_rule, RULE_line_search, lti_clip_rule_values,
            "how a weight is changed: FastClip (line-search, released) or a method it is compared with"),
    LT_ENUM(struct lt_clip_cfg, clip_mode, LT_CLIP_CEIL, modes, "what happens below the target"),
    LT_I32(struct lt_clip_cfg, clip_vectors, 1, 1, LTI_TRACKER_MAX, "", "singular directions of one event"),
    LT_I32(struct lt_clip_cfg, clip_inner, 0, 0, 100, "",
           "steps of the weight in one event; 0 = 5 with batch norm, 1 without"),
    LT_I32(struct lt_clip_cfg, clip_iterations, 10, 1, 1000, "",
           "steps of PowerQR before an event, and after it from a new start"),
    LT_F32(struct lt_clip_cfg, clip_step, 0.35, 0, 10, "", "step of the rule released"),
    LT_OPT_END,
};
