// codes.c - codes.safetensors: what is stored on a chip, with everything that is needed to read it.
//
// For a quantized tensor NAME of K output channels: NAME (U8, its shape) codes as they are read on the chip;
// NAME.levels (grids, 2^bits) the level of every code; NAME.step (grids); NAME.gain (grids, bits + 1) bit multipliers
// and reference. One grid per tensor or per output channel. All numbers of the maps travel in the metadata, so a file
// says which chip it is for.
#include "quant/quant_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_META = 24, VALUE_MAX = 40 };
static const char *const encoding_name[] = {"offset", "twos", "sign-magnitude", "gray", "differential"};
static const char *const model_name[] = {"conductance-gauss", "conductance-truncated", "lognormal", "resistance-gauss"};
static const char *const grid_name[] = {"midrise", "midtread", "multipliers"};

typedef struct meta_list {
    lt_meta meta[N_META];
    char value[N_META][VALUE_MAX];
    int n;
} meta_list;

static void put(meta_list *l, const char *key, const char *value)
{
    snprintf(l->value[l->n], VALUE_MAX, "%s", value);
    l->meta[l->n] = (lt_meta){key, l->value[l->n]};
    l->n++;
}

static void put_number(meta_list *l, const char *key, float value)
{
    char text[LTI_NUMBER_MAX];
    put(l, key, lti_number_text((double)value, true, text));
}

static void put_count(meta_list *l, const char *key, uint64_t value)
{
    char text[VALUE_MAX];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put(l, key, text);
}

static void fill_meta(const lt_quant *q, meta_list *l)
{
    const lt_quant_cfg *c = &q->cfg;
    const lt_quant_chip *d = &c->device;
    put(l, "lethe.codes", "1");
    put(l, "method", q->label ? q->label : q->method);
    put(l, "quantizer", q->method);
    put_count(l, "bits", (uint64_t)c->bits);
    put(l, "grid", grid_name[q->grid[0].kind]);
    put(l, "granularity", c->granularity == LT_STEP_CHANNEL ? "channel" : "tensor");
    put_count(l, "ends", (uint64_t)c->ends);
    put_count(l, "shortcuts", c->shortcuts);
    put(l, "encoding", encoding_name[d->encoding]);
    put(l, "mapping", d->mapping == LT_MAP_BITMAP ? "bitmap" : "nearest");
    put_number(l, "fault_rate", d->fault_rate);
    put_number(l, "stuck_at_1", d->stuck_at_1);
    put_count(l, "fault_seed", d->fault_seed);
    put_count(l, "reference_column", d->reference_column);
    put_number(l, "variability", d->variability);
    put(l, "variability_model", model_name[d->variability_model]);
    put_count(l, "variability_seed", d->variability_seed);
    put_count(l, "chip", (uint64_t)d->chip);
    // The first grid, for readers that have one grid only.
    put_number(l, "step", q->grid[0].step);
    put_count(l, "levels", (uint64_t)q->grid[0].n_levels);
}

typedef struct tensor_list {
    lti_arena arena;
    lt_tensor *t;
    int n;
} tensor_list;

static lt_status add_tensors(const lt_quant *q, int j, tensor_list *l)
{
    static const char *const suffix[] = {"", ".levels", ".step", ".gain"};
    const lti_qtensor *t = &q->tensor[j];
    const int L = 1 << t->bits, n_gain = t->bits + 1;
    float *levels = lti_arena_alloc(&l->arena, (size_t)(t->n_grids * L) * sizeof *levels);
    float *step = lti_arena_alloc(&l->arena, (size_t)t->n_grids * sizeof *step);
    float *gain = lti_arena_alloc(&l->arena, (size_t)(t->n_grids * n_gain) * sizeof *gain);
    if (!levels || !step || !gain)
        return LTI_NOMEM("levels of a tensor");
    for (int k = 0; k < t->n_grids; k++) {
        const lti_grid *g = &q->grid[t->grid + k];
        memcpy(levels + k * L, g->level, (size_t)L * sizeof *levels);
        memcpy(gain + k * n_gain, g->gain, (size_t)n_gain * sizeof *gain);
        step[k] = g->step;
    }
    const int64_t width[] = {0, L, 0, n_gain};
    void *data[] = {q->code + t->first, levels, step, gain};
    for (int i = 0; i < 4; i++) {
        char name[160];
        snprintf(name, sizeof name, "%.120s%s", t->name, suffix[i]);
        lt_tensor *out = &l->t[l->n++];
        *out = (lt_tensor){.name = lti_arena_strdup(&l->arena, name), .dtype = i ? LT_F32 : LT_U8, .data = data[i]};
        if (!out->name)
            return LTI_NOMEM("names of tensors");
        out->n_dims = i == 0 ? t->shape.n_dims : width[i] ? 2 : 1;
        if (i == 0)
            memcpy(out->dim, t->shape.dim, (size_t)t->shape.n_dims * sizeof out->dim[0]);
        else
            out->dim[0] = t->n_grids, out->dim[1] = width[i];
        out->n_bytes = i ? (size_t)t->n_grids * (size_t)(width[i] ? width[i] : 1) * sizeof(float) : (size_t)t->n;
    }
    return LT_OK;
}

lt_status lt_quant_save(const lt_quant *q, const char *path)
{
    tensor_list l = {0};
    meta_list meta = {0};
    lt_status status = LT_OK;
    l.t = lti_calloc((size_t)q->n_tensors * 4, sizeof *l.t);
    if (!l.t)
        return LTI_NOMEM("list of tensors");
    for (int j = 0; j < q->n_tensors && status == LT_OK; j++)
        status = add_tensors(q, j, &l);
    fill_meta(q, &meta);
    if (status == LT_OK)
        status = lt_safetensors_write(path, l.t, l.n, meta.meta, meta.n);
    lti_free(l.t);
    lti_arena_clear(&l.arena);
    return status;
}

// ---- reading

static lt_status number(const lt_tensor_file *f, const char *path, const char *key, double max, double *out)
{
    const char *text = lt_tensor_file_meta(f, key);
    char *end = NULL;
    *out = text ? strtod(text, &end) : -1;
    if (!text || !*text || *end || !(*out >= 0 && *out <= max))
        return LT_FAIL(LT_E_FORMAT, "%s: metadata %s: expected a number of 0 to %g, found '%.40s'", path, key, max,
                       text ? text : "");
    return LT_OK;
}

static lt_status name_index(const lt_tensor_file *f, const char *path, const char *key, const char *const *names, int n,
                            int32_t *out)
{
    const char *text = lt_tensor_file_meta(f, key);
    for (int i = 0; text && i < n; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return LT_OK;
        }
    return LT_FAIL(LT_E_FORMAT, "%s: metadata %s: expected %s or another known name, found '%.40s'", path, key,
                   names[0], text ? text : "");
}

#define READ_NUMBER(key, max, field, type)                                                                             \
    do {                                                                                                               \
        double number_read = 0;                                                                                        \
        LT_TRY(number(f, path, key, max, &number_read));                                                               \
        (field) = (type)number_read;                                                                                   \
    } while (0)

// By name; files of earlier versions have its number.
static lt_status read_model(const lt_tensor_file *f, const char *path, int32_t *model)
{
    const char *text = lt_tensor_file_meta(f, "variability_model");
    if (text && *text >= '0' && *text <= '9')
        READ_NUMBER("variability_model", 3, *model, int32_t);
    else
        LT_TRY(name_index(f, path, "variability_model", model_name, 4, model));
    return LT_OK;
}

static lt_status read_cfg(const lt_tensor_file *f, const char *path, lt_quant_cfg *c, int32_t *grid)
{
    static const char *const granularity[] = {"tensor", "channel"}, *const mapping[] = {"nearest", "bitmap"};
    lt_options_defaults(lt_quant_options, c);
    lt_options_defaults(lt_quant_chip_options, &c->device);
    c->method = lt_tensor_file_meta(f, "quantizer");
    if (!c->method)
        return LT_FAIL(LT_E_FORMAT, "%s: metadata quantizer: expected a method, found none", path);
    READ_NUMBER("bits", LT_QUANT_MAX_BITS, c->bits, int32_t);
    READ_NUMBER("ends", 2, c->ends, int32_t);
    READ_NUMBER("shortcuts", 1, c->shortcuts, bool);
    READ_NUMBER("fault_rate", 1, c->device.fault_rate, float);
    READ_NUMBER("stuck_at_1", 1, c->device.stuck_at_1, float);
    READ_NUMBER("fault_seed", 1.8e19, c->device.fault_seed, uint64_t);
    READ_NUMBER("reference_column", 1, c->device.reference_column, bool);
    READ_NUMBER("variability", 4, c->device.variability, float);
    LT_TRY(read_model(f, path, &c->device.variability_model));
    READ_NUMBER("variability_seed", 1.8e19, c->device.variability_seed, uint64_t);
    READ_NUMBER("chip", 1e9, c->device.chip, int32_t);
    LT_TRY(name_index(f, path, "granularity", granularity, 2, &c->granularity));
    LT_TRY(name_index(f, path, "mapping", mapping, 2, &c->device.mapping));
    LT_TRY(name_index(f, path, "encoding", encoding_name, 5, &c->device.encoding));
    return name_index(f, path, "grid", grid_name, 3, grid);
}

static lt_status find(const lt_tensor_file *f, const char *path, const lti_qtensor *t, const char *suffix,
                      lt_dtype dtype, size_t bytes, const lt_tensor **out)
{
    char name[160];
    snprintf(name, sizeof name, "%.120s%s", t->name, suffix);
    *out = lt_tensor_file_find(f, name);
    if (!*out || (*out)->dtype != dtype || (*out)->n_bytes != bytes)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected %zu bytes, found %s", path, name, bytes,
                       *out ? "another type or size" : "none");
    return LT_OK;
}

static lt_status read_tensor(const lt_tensor_file *f, const char *path, lt_quant *q, const lti_qtensor *t,
                             lti_grid_kind kind)
{
    const lt_tensor *codes, *step, *gain;
    const size_t n_gain = (size_t)t->bits + 1, n_grids = (size_t)t->n_grids;
    LT_TRY(find(f, path, t, "", LT_U8, (size_t)t->n, &codes));
    LT_TRY(find(f, path, t, ".step", LT_F32, n_grids * sizeof(float), &step));
    LT_TRY(find(f, path, t, ".gain", LT_F32, n_grids * n_gain * sizeof(float), &gain));
    memcpy(q->code + t->first, codes->data, (size_t)t->n);
    for (int64_t i = 0; i < t->n; i++)
        if (q->code[t->first + i] >> t->bits)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected codes below %d, found %d", path, t->name, 1 << t->bits,
                           (int)q->code[t->first + i]);
    for (int k = 0; k < t->n_grids; k++) {
        float s, g[LT_QUANT_MAX_BITS + 1];
        memcpy(&s, (const char *)step->data + (size_t)k * sizeof s, sizeof s);
        memcpy(g, (const char *)gain->data + (size_t)k * n_gain * sizeof *g, n_gain * sizeof *g);
        if (!(s > 0 && s < 1e30f))
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected a step above 0, found %g", path, t->name, (double)s);
        lti_grid_init(&q->grid[t->grid + k], kind, t->bits, s);
        if (kind == LTI_GRID_MULTIPLIERS)
            lti_grid_set_gains(&q->grid[t->grid + k], g);
    }
    return LT_OK;
}

static lt_status read_all(const lt_tensor_file *f, const char *path, lt_model *model, lt_quant **quant)
{
    lt_quant_cfg cfg;
    int32_t kind = 0;
    lt_quant *q = NULL;
    LT_TRY(read_cfg(f, path, &cfg, &kind));
    LT_TRY(lti_quant_create(&cfg, model, &q));
    const char *label = lt_tensor_file_meta(f, "method");
    q->label = label && strcmp(label, "ptq") == 0 ? "ptq" : NULL;
    lt_status status = LT_OK;
    for (int j = 0; j < q->n_tensors && status == LT_OK; j++)
        status = read_tensor(f, path, q, &q->tensor[j], (lti_grid_kind)kind);
    if (status == LT_OK)
        *quant = q;
    else
        lt_quant_destroy(q);
    return status;
}

lt_status lt_quant_open(const char *path, lt_model *model, lt_quant **quant)
{
    *quant = NULL;
    lt_tensor_file *f = NULL;
    LT_TRY(lt_tensor_file_open(path, &f));
    const lt_status status = read_all(f, path, model, quant);
    lt_tensor_file_close(f);
    return status;
}

const lt_quant_chip *lt_quant_device(const lt_quant *quant)
{
    return &quant->cfg.device;
}
