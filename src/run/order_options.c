// order_options.c - the option set of an order: one list of groups, whether the values come from the order or from
// text.
#include "run/run_impl.h"
#include <string.h>

typedef struct seed {
    uint64_t seed;
} seed;
static const lt_option seed_options[] = {
    LT_U64(seed, seed, 1, "seed of every random choice of this run"),
    LT_OPT_END,
};

static lt_status add_group(lt_optset *set, const char *prefix, const lt_option *table, void *cfg, bool is_filled)
{
    return is_filled ? lt_optset_add_filled(set, prefix, table, cfg, LT_OPTGROUP_FLAGS, "call")
                     : lt_optset_add(set, prefix, table, cfg, LT_OPTGROUP_FLAGS);
}

lt_status lt_train_order_bind(lt_train_order *order, lt_optset *set, bool is_filled)
{
    LT_TRY(add_group(set, "", lt_train_what_options, &order->what, is_filled));
    LT_TRY(add_group(set, "train", lt_train_options, &order->cfg, is_filled));
    LT_TRY(add_group(set, "clip", lt_clip_norm_options, &order->clip, is_filled));
    LT_TRY(add_group(set, "clip", lt_clip_rule_options, &order->clip, is_filled));
    LT_TRY(add_group(set, "", seed_options, &order->seed, is_filled));
    return add_group(set, "", lt_compute_options, &order->compute, is_filled);
}

lt_status lt_unlearn_order_bind(lt_unlearn_order *order, void *cfg, lt_optset *set, bool is_filled)
{
    enum { PREFIX_MAX = 64 };
    char prefix[PREFIX_MAX];
    order->cfg = cfg;
    lti_format(prefix, sizeof prefix, "unlearn.%s", order->method->name);
    LT_TRY(add_group(set, "", lt_unlearn_what_options, &order->what, is_filled));
    LT_TRY(add_group(set, prefix, order->method->opts, cfg, is_filled));
    if (order->train && (order->method->needs & LT_FROM_SCRATCH))
        LT_TRY(add_group(set, "train", lt_train_options, order->train, is_filled));
    LT_TRY(add_group(set, "", seed_options, &order->seed, is_filled));
    return add_group(set, "", lt_compute_options, &order->compute, is_filled);
}
