// metrics.c - the list of metrics: paths, titles, values.
#include "audit/audit_impl.h"
#include "lethe/metric.h"
#include <string.h>

static const lt_metric table[LT_N_METRICS] = {
#define LT_X(id, source, key, title, column, head, unit, direction, groups, flags, offset, decimals, priority)         \
    {source, key, title, column, head, unit, direction, groups, flags, offset, decimals, priority},
#include "lethe/metrics.list"
#undef LT_X
};

const lt_metric *lt_metric_get(lt_metric_id id)
{
    return &table[id];
}

const char *lt_metric_path(lt_metric_id id, const lt_mia *attack, char out[LT_METRIC_PATH])
{
    lti_format(out, LT_METRIC_PATH, "%s%s%s", attack ? attack->name : "", attack ? "." : "", table[id].key);
    return out;
}

static bool is_at(const char *path, int id, const lt_mia *attack)
{
    char own[LT_METRIC_PATH];
    return !strcmp(path, lt_metric_path((lt_metric_id)id, attack, own));
}

lt_status lt_metric_find(const char *path, lt_metric_id *id, const lt_mia **attack)
{
    for (int i = 0; i < LT_N_METRICS; i++) {
        const bool of_attack = table[i].source == LT_METRIC_OF_ATTACK;
        for (const lt_mia *const *m = lt_mia_list(); *m; m++)
            if (is_at(path, i, of_attack ? *m : NULL)) {
                *id = (lt_metric_id)i;
                *attack = of_attack ? *m : NULL;
                return LT_OK;
            }
    }
    return LT_FAIL(LT_E_USAGE, "unknown metric '%s'", path);
}

const char *lt_metric_title(lt_metric_id id, const lt_mia *attack, char out[LT_METRIC_TITLE])
{
    lti_format(out, LT_METRIC_TITLE, "%s%s%s", attack ? attack->title : "", attack ? " " : "", table[id].title);
    return out;
}

bool lt_metric_of_forgotten(lt_metric_id id)
{
    return table[id].groups & (1u << LT_SAMPLES_FORGET | 1u << LT_SAMPLES_TEST_FORGET);
}

double lt_metric_resolution(lt_metric_id id, const int64_t n[LT_N_SAMPLE_GROUPS])
{
    int64_t least = 0;
    for (int g = 0; g < LT_N_SAMPLE_GROUPS; g++)
        if ((table[id].groups & 1u << g) && (least == 0 || n[g] < least))
            least = n[g];
    return least > 0 ? 1.0 / (double)least : 0.0;
}

double lt_metric_field(lt_metric_id id, const void *source)
{
    const char *at = (const char *)source + table[id].offset;
    double value;
    int64_t count;
    if (table[id].unit == LT_UNIT_COUNT) {
        memcpy(&count, at, sizeof count);
        return (double)count;
    }
    memcpy(&value, at, sizeof value);
    return value;
}
