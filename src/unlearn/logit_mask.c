// logit_mask.c - the control that unlearns nothing: the forgotten classes can no longer win. docs/methods/logit-mask.md
//
//     b_f -= offset for every forgotten class f                                                        [logit-mask 1]
#include "unlearn/class_targets.h"
#include "model/model_impl.h"

struct cfg {
    double offset;
};

static const lt_option opts[] = {
    LT_F64(struct cfg, offset, 1e4, 1e-6, 1e30, "", "what is taken from the bias of every forgotten class"),
    LT_OPT_END,
};

static lt_status run(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    lti_class_set set;
    lt_val param[2];
    lt_value_info info;
    (void)ctx;
    LT_TRY(lti_class_set_make(in, "logit-mask", &set));
    lt_status status = LT_OK;
    if (lti_last_layer(in->model, param) < 2 || !lti_model_tensor(in->model, param[1], &info) ||
        lti_model_shape_count(&info.shape) != set.k)
        status =
            LT_FAIL(LT_E_UNSUPPORTED, "logit-mask: %s: expected a last layer with one bias per class", in->model->spec);
    for (int32_t i = 0; status == LT_OK && i < set.k; i++)
        if (set.forget[i])
            in->model->params[info.slab_offset + i] -= (float)c->offset;
    lti_class_set_clear(&set);
    return status;
}

const lt_unlearn_method lti_unlearn_logit_mask = {
    .name = "logit-mask",
    .title = "Logit mask (control)",
    .label = "Logit mask",
    .cite = "delete",
    .doc = "A control that unlearns nothing: the bias of every forgotten class falls so far that the class is never "
           "answered. It passes every audit of outputs; an audit that tells it from retraining looks deeper. Its "
           "outputs are exactly the targets of rwft.",
    .needs = LT_FORGET_ONLY | LT_WHOLE_CLASSES | LT_CLOSED_FORM,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run,
};
