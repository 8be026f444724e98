// registry.c - the methods of quantizers.list, by name.
#include "quant/quant_impl.h"

#include <string.h>

static const lti_quantizer *const table[] = {
#define LT_X(name) &lti_quantizer_##name,
#include "quant/quantizers.list"
#undef LT_X
    NULL,
};
static const lt_quant_method_info *const infos[] = {
#define LT_X(name) &lti_quantizer_##name.info,
#include "quant/quantizers.list"
#undef LT_X
    NULL,
};

const lt_quant_method_info *const *lt_quant_methods(void)
{
    return infos;
}

lt_status lt_quant_check(const lt_quant_cfg *cfg)
{
    const lti_quantizer *z;
    return lti_quantizer_find(cfg->method, &z);
}

lt_status lti_quantizer_find(const char *name, const lti_quantizer **z)
{
    const char *names[sizeof table / sizeof *table] = {NULL};
    for (int i = 0; table[i]; i++) {
        names[i] = table[i]->info.name;
        if (name && strcmp(names[i], name) == 0) {
            *z = table[i];
            return LT_OK;
        }
    }
    (void)LT_FAIL(LT_E_USAGE, "unknown quantization method '%s'", name ? name : "");
    return lti_name_hint(name ? name : "", names);
}
