// arch.c - the registry of architectures, and model specs: "resnet18:width=64,proj-half=1" to a config and back.
//
// The keys of an architecture are rows of an option table, so ranges, defaults and the canonical text come from one
// place. Two keys belong to every architecture: mean and std, values joined by '+', one per channel or one for all;
// they put a normalisation in front of the network, so that images stay in [0,1] for everyone outside the model.
#include "model/model_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lti_arch *const impls[] = {
#define LT_X(symbol, name, title, keys) &lti_arch_##symbol,
#include "model/models.list"
#undef LT_X
};
static const lt_arch archs[] = {
#define LT_X(symbol, name, title, keys) {name, title, keys},
#include "model/models.list"
#undef LT_X
};
enum { N_ARCHS = sizeof archs / sizeof archs[0], MAX_KEYS = 24 };
_Static_assert(N_ARCHS == sizeof impls / sizeof impls[0], "both tables come from models.list");

const lt_arch *lt_model_archs(int *n)
{
    *n = N_ARCHS;
    return archs;
}

const lti_arch *lti_arch_at(int i)
{
    return impls[i];
}

static lt_status find_arch(const char *name, lti_model_spec *spec)
{
    const char *names[N_ARCHS + 1] = {0};
    for (int i = 0; i < N_ARCHS; i++) {
        names[i] = archs[i].name;
        if (strcmp(name, archs[i].name) == 0) {
            spec->arch = impls[i];
            spec->name = archs[i].name;
            return LT_OK;
        }
    }
    LT_FAIL(LT_E_USAGE, "model '%s': no such architecture", name);
    return lti_name_hint(name, names);
}

// "proj_half" of a C field is "proj-half" for users.
static const char *dashed(const char *name, char buf[LTI_NAME_MAX])
{
    size_t i = 0;
    for (; name[i] && i < LTI_NAME_MAX - 1; i++)
        buf[i] = name[i] == '_' ? '-' : name[i];
    buf[i] = 0;
    return buf;
}

static lt_status unknown_key(const lti_model_spec *spec, const char *key)
{
    char buf[MAX_KEYS][LTI_NAME_MAX];
    const char *names[MAX_KEYS + 5] = {"mean", "std", "act-bits", "act-rule"};
    int n = 4;
    for (const lt_option *o = spec->arch->opts; o->name && n < MAX_KEYS; o++, n++)
        names[n] = dashed(o->name, buf[n - 4]);
    LT_FAIL(LT_E_USAGE, "model '%s': unknown key '%s'", spec->name, key);
    const char *near = lt_nearest(key, names);
    if (near)
        return lt_error_hint("did you mean '%s'?", near);
    for (int i = 0; i < N_ARCHS; i++)
        if (impls[i] == spec->arch)
            return lt_error_hint("keys with their defaults: %s,mean=,std=", archs[i].keys);
    return LT_E_USAGE;
}

static lt_status set_enum(const lt_option *o, const char *value, const char *what, void *field)
{
    enum { MAX_VALUES = 16 };
    const char *names[MAX_VALUES + 1] = {NULL};
    for (int i = 0; o->values[i].name && i < MAX_VALUES; i++) {
        names[i] = o->values[i].name;
        if (strcmp(value, names[i]) == 0) {
            *(int32_t *)field = o->values[i].value;
            return LT_OK;
        }
    }
    LT_FAIL(LT_E_USAGE, "%s: expected one of the known names, found '%s'", what, value);
    return lti_name_hint(value, names);
}

static lt_status set_key(lti_model_spec *spec, const char *key, const char *value)
{
    for (const lt_option *o = spec->arch->opts; o->name; o++) {
        char buf[LTI_NAME_MAX], what[2 * LTI_NAME_MAX];
        if (strcmp(dashed(o->name, buf), key) != 0 && strcmp(o->name, key) != 0)
            continue;
        snprintf(what, sizeof what, "model '%s': %s", spec->name, buf);
        if (o->type == LT_OPT_ENUM)
            return set_enum(o, value, what, spec->cfg + o->offset);
        if (o->type == LT_OPT_F32) {
            double f = 0;
            LT_TRY(lti_parse_f64(value, what, o->min, o->max, &f));
            *(float *)(void *)(spec->cfg + o->offset) = (float)f;
            return LT_OK;
        }
        int64_t v = 0;
        LT_TRY(lti_parse_i64(value, what, (int64_t)o->min, (int64_t)o->max, &v));
        if (o->type == LT_OPT_BOOL)
            *(bool *)(spec->cfg + o->offset) = v != 0;
        else
            *(int32_t *)(void *)(spec->cfg + o->offset) = (int32_t)v;
        return LT_OK;
    }
    return unknown_key(spec, key);
}

// out: `channels` floats from "a+b+c" or from one value for all of them.
static lt_status parse_floats(const char *text, const char *what, int channels, double min, float *out)
{
    char buf[LTI_NAME_MAX];
    int n = 0;
    for (const char *p = text; p; n++) {
        const char *plus = strchr(p, '+');
        size_t len = plus ? (size_t)(plus - p) : strlen(p);
        if (n == channels || len >= sizeof buf)
            return LT_FAIL(LT_E_USAGE, "%s: expected %d number%s joined by '+', found '%s'", what, channels,
                           channels == 1 ? "" : "s", text);
        memcpy(buf, p, len);
        buf[len] = 0;
        double v = 0;
        LT_TRY(lti_parse_f64(buf, what, min, 1e6, &v));
        out[n] = (float)v;
        p = plus ? plus + 1 : NULL;
    }
    if (n == 1)
        for (; n < channels; n++)
            out[n] = out[0];
    if (n != channels)
        return LT_FAIL(LT_E_USAGE, "%s: expected %d numbers joined by '+', found %d in '%s'", what, channels, n, text);
    return LT_OK;
}

static lt_status set_normalize(lti_model_spec *spec, int channels, const char *mean, const char *std)
{
    spec->normalize = mean || std;
    spec->n_channels = channels;
    for (int c = 0; c < channels; c++) {
        spec->mean[c] = 0;
        spec->std[c] = 1;
    }
    if (mean)
        LT_TRY(parse_floats(mean, "model: mean", channels, -1e6, spec->mean));
    if (std)
        LT_TRY(parse_floats(std, "model: std", channels, 1e-6, spec->std));
    return LT_OK;
}

// act-bits=N, act-rule=lsq|pact: levels of the activations of every block, for all architectures.
static lt_status set_activations(lti_model_spec *spec, const char *bits, const char *rule)
{
    int64_t n = 0;
    if (bits)
        LT_TRY(lti_parse_i64(bits, "model: act-bits", 0, 8, &n));
    spec->act_bits = (int)n;
    if (!rule || strcmp(rule, "lsq") == 0)
        return LT_OK;
    if (strcmp(rule, "pact") != 0)
        return LT_FAIL(LT_E_USAGE, "model: act-rule: expected lsq or pact, found '%s'", rule);
    spec->act_rule = LT_ACT_RULE_PACT;
    return LT_OK;
}

static lt_status parse_keys(const lti_spec *s, int channels, lti_model_spec *spec)
{
    LT_TRY(find_arch(s->name, spec));
    if (s->path)
        return LT_FAIL(LT_E_USAGE, "model '%s': expected key=value, found '%s'", s->name, s->path);
    lt_options_defaults(spec->arch->opts, spec->cfg);
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->key[i], "mean") != 0 && strcmp(s->key[i], "std") != 0 && strcmp(s->key[i], "act-bits") != 0 &&
            strcmp(s->key[i], "act-rule") != 0)
            LT_TRY(set_key(spec, s->key[i], s->value[i]));
    LT_TRY(set_activations(spec, lti_spec_get(s, "act-bits"), lti_spec_get(s, "act-rule")));
    return set_normalize(spec, channels, lti_spec_get(s, "mean"), lti_spec_get(s, "std"));
}

lt_status lti_model_spec_parse(const char *text, int channels, lti_model_spec *spec)
{
    *spec = (lti_model_spec){0};
    lti_spec s;
    LT_TRY(lti_spec_parse(text, &s));
    lt_status status = parse_keys(&s, channels, spec);
    lti_spec_clear(&s);
    return status;
}

static void add_floats(lti_buf *b, const float *v, int n)
{
    char number[LTI_NUMBER_MAX];
    for (int i = 0; i < n; i++)
        lti_buf_printf(b, "%s%s", i ? "+" : "", lti_number_text((double)v[i], true, number));
}

char *lti_floats_text(const float *v, int n)
{
    lti_buf b = {0};
    add_floats(&b, v, n);
    return lti_buf_take(&b);
}

char *lti_model_spec_text(const lti_model_spec *spec)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "%s", spec->name);
    char separator = ':';
    for (const lt_option *o = spec->arch->opts; o->name; o++) {
        char name[LTI_NAME_MAX];
        const void *field = spec->cfg + o->offset;
        char number[LT_OPTION_TEXT_MAX];
        if (o->type == LT_OPT_BOOL) // as numbers: the text of options would be true and false
            snprintf(number, sizeof number, "%d", (int)*(const bool *)field);
        const char *text = o->type == LT_OPT_BOOL ? number : lt_option_text(o, spec->cfg, number);
        lti_buf_printf(&b, "%c%s=%s", separator, dashed(o->name, name), text);
        separator = ',';
    }
    if (spec->act_bits > 0) {
        lti_buf_printf(&b, "%cact-bits=%d%s", separator, spec->act_bits,
                       spec->act_rule == LT_ACT_RULE_PACT ? ",act-rule=pact" : "");
        separator = ',';
    }
    if (spec->normalize) {
        lti_buf_printf(&b, "%cmean=", separator);
        add_floats(&b, spec->mean, spec->n_channels);
        lti_buf_printf(&b, ",std=");
        add_floats(&b, spec->std, spec->n_channels);
    }
    return lti_buf_take(&b);
}

// "0.49,0.48,0.45" of --normalize becomes "0.49+0.48+0.45" of a spec.
static void add_plus_list(lti_buf *b, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lti_buf_printf(b, "%c", text[i] == ',' ? '+' : text[i]);
}

static int count_list(const char *text, size_t n)
{
    int count = 1;
    for (size_t i = 0; i < n; i++)
        count += text[i] == ',';
    return count;
}

// MEAN:STD, one number or one per channel each.
static lt_status check_counts(const char *normalize, const char *colon, int channels)
{
    const int n_mean = count_list(normalize, (size_t)(colon - normalize)), n_std = count_list(colon, strlen(colon));
    if ((n_mean == 1 || n_mean == channels) && (n_std == 1 || n_std == channels))
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--normalize '%s': expected one mean and one deviation, or %d of each, found %d and %d",
                   normalize, channels, n_mean, n_std);
}

// Pixels are in [0,1] where they meet the network; the numbers of another range would be taken in silence.
static lt_status check_range(const char *normalize, const lti_model_spec *spec)
{
    for (int i = 0; i < spec->n_channels; i++)
        if (spec->mean[i] < 0 || spec->mean[i] > 1 || spec->std[i] > 1) {
            LT_FAIL(LT_E_USAGE, "--normalize '%s': expected mean and deviation of pixels in [0,1], found %g and %g",
                    normalize, (double)spec->mean[i], (double)spec->std[i]);
            return lt_error_hint("numbers of pixels in 0..255 are to be divided by 255");
        }
    return LT_OK;
}

lt_status lt_model_spec_normalize(const char *spec, const char *normalize, int channels, char **out)
{
    lti_model_spec parsed;
    *out = NULL;
    LT_TRY(lti_model_spec_parse(spec, channels, &parsed));
    if (strcmp(normalize, "none") != 0) {
        const char *colon = strchr(normalize, ':');
        lti_buf b = {0};
        if (!colon || parsed.normalize)
            return LT_FAIL(LT_E_USAGE, "--normalize '%s': expected %s", normalize,
                           parsed.normalize ? "nothing, because the model spec has mean and std already"
                                            : "MEAN:STD such as 0.4914,0.4822,0.4465:0.2023,0.1994,0.2010, or none");
        LT_TRY(check_counts(normalize, colon, channels));
        lti_buf_printf(&b, "%s%cmean=", spec, strchr(spec, ':') ? ',' : ':');
        add_plus_list(&b, normalize, (size_t)(colon - normalize));
        lti_buf_puts(&b, ",std=");
        add_plus_list(&b, colon + 1, strlen(colon + 1));
        char *text = lti_buf_take(&b);
        lt_status status = text ? lti_model_spec_parse(text, channels, &parsed) : LTI_NOMEM("model spec");
        free(text);
        LT_TRY(status);
        LT_TRY(check_range(normalize, &parsed));
    }
    *out = lti_model_spec_text(&parsed);
    return *out ? LT_OK : LTI_NOMEM("model spec");
}
