// export_c.c - an integer network as one C file and its header, for machines without an operating system.
//
// The file holds packed codes, tables and a loop over layers that computes place by place: no scratch memory besides
// the activations, no floating point, no allocation, no library but <stdint.h>.
#include "quant/export_c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char code_head[] =
    "/* Integer network exported by lethe. */\n#include \"%s\"\n\n"
    "enum { U8, I16, I32 };                                       /* what a tensor holds */\n"
    "enum { MIDRISE, MIDTREAD, BIT, SIGNED8, ONES, NONE };        /* how a weight is stored */\n"
    "enum { AFFINE, LOGITS, SUM_POOL, MAX_POOL, CURRENT, NEURON, LAYER_NORM, COUNT };\n"
    "typedef struct { uint8_t type; int32_t h, w, c, offset; } tensor;\n"
    "typedef struct { const uint8_t *w; const int32_t *mul; int16_t source; uint8_t coding, bits, r, s, stride, pad; } "
    "term;\n"
    "typedef struct {\n"
    "    const term *terms;\n"
    "    const int64_t *add;\n"
    "    int32_t k, h, w;\n"
    "    int16_t target, source;\n"
    "    uint8_t kind, n_terms, shift, bits, kernel, stride, pad;\n"
    "%s} layer;\n\n";

static const char code_memory[] =
    "static _Alignas(8) uint8_t memory[LETHE_ACTIVATION_BYTES];\n\n"
    "static int32_t integer_at(const tensor *t, int32_t i)\n"
    "{\n"
    "    const uint8_t *p = memory + t->offset;\n"
    "    if (t->type == U8)\n"
    "        return p[i];\n"
    "    if (t->type == I16)\n"
    "        return (int16_t)(uint16_t)((unsigned)p[2 * i] | (unsigned)p[2 * i + 1] << 8);\n"
    "    p += 4 * i;\n"
    "    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);\n"
    "}\n\n"
    "static void put_i32(const tensor *t, int32_t i, int32_t v)\n"
    "{\n"
    "    for (int b = 0; b < 4; b++)\n"
    "        memory[t->offset + 4 * i + b] = (uint8_t)((uint32_t)v >> (8 * b));\n"
    "}\n\n"
    "/* Weight number i: codes are packed in order, element 0 in the low bits; one spare byte ends a table. */\n"
    "static int32_t weight_at(const term *t, int32_t i)\n"
    "{\n"
    "    if (t->coding == ONES)\n"
    "        return 1;\n"
    "    const uint32_t at = (uint32_t)i * t->bits;\n"
    "    const uint32_t pair = (uint32_t)t->w[at >> 3] | (uint32_t)t->w[(at >> 3) + 1] << 8;\n"
    "    const int32_t code = (int32_t)(pair >> (at & 7) & ((1u << t->bits) - 1));\n"
    "    if (t->coding == MIDRISE)\n"
    "        return 2 * code - ((1 << t->bits) - 1);\n"
    "    if (t->coding == MIDTREAD)\n"
    "        return code - (1 << (t->bits - 1));\n"
    "    return t->coding == SIGNED8 ? (int8_t)(uint8_t)code : code;\n"
    "}\n\n"
    "static int32_t accumulate(const term *t, int32_t y, int32_t x, int32_t k)\n"
    "{\n"
    "    const tensor *s = &tensors[t->source];\n"
    "    int32_t acc = 0;\n"
    "    if (t->coding == NONE)\n"
    "        return integer_at(s, (y * s->w + x) * s->c + k);\n"
    "    for (int32_t r = 0; r < t->r; r++)\n"
    "        for (int32_t q = 0; q < t->s; q++) {\n"
    "            const int32_t sy = y * t->stride - t->pad + r, sx = x * t->stride - t->pad + q;\n"
    "            if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)\n"
    "                continue;\n"
    "            for (int32_t c = 0; c < s->c; c++) {\n"
    "                const int32_t v = integer_at(s, (sy * s->w + sx) * s->c + c);\n"
    "                if (v != 0)\n"
    "                    acc += weight_at(t, ((k * t->r + r) * t->s + q) * s->c + c) * v;\n"
    "            }\n"
    "        }\n"
    "    return acc;\n"
    "}\n\n";

static const char code_pool[] =
    "static void run_pool(const layer *l)\n"
    "{\n"
    "    const tensor *s = &tensors[l->source], *d = &tensors[l->target];\n"
    "    for (int32_t y = 0; y < l->h; y++)\n"
    "        for (int32_t x = 0; x < l->w; x++)\n"
    "            for (int32_t k = 0; k < l->k; k++) {\n"
    "                int32_t v = l->kind == MAX_POOL && s->type == I32 ? INT32_MIN : 0;\n"
    "                for (int32_t r = 0; r < l->kernel; r++)\n"
    "                    for (int32_t q = 0; q < l->kernel; q++) {\n"
    "                        const int32_t sy = y * l->stride - l->pad + r, sx = x * l->stride - l->pad + q;\n"
    "                        if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)\n"
    "                            continue;\n"
    "                        const int32_t i = integer_at(s, (sy * s->w + sx) * s->c + k);\n"
    "                        v = l->kind == MAX_POOL ? (i > v ? i : v) : v + i;\n"
    "                    }\n"
    "                if (d->type == U8)\n"
    "                    memory[d->offset + (y * l->w + x) * l->k + k] = (uint8_t)v;\n"
    "                else\n"
    "                    put_i32(d, (y * l->w + x) * l->k + k, v);\n"
    "            }\n"
    "}\n"
    "\n";

static const char code_affine[] =
    "static void run_affine(const layer *l, int64_t *logits)\n"
    "{\n"
    "    const int64_t top = ((int64_t)1 << l->bits) - 1, unit = (int64_t)1 << l->shift;\n"
    "    for (int32_t y = 0; y < l->h; y++)\n"
    "        for (int32_t x = 0; x < l->w; x++)\n"
    "            for (int32_t k = 0; k < l->k; k++) {\n"
    "                int64_t sum = l->add[k];\n"
    "                for (int t = 0; t < l->n_terms; t++)\n"
    "                    sum += (int64_t)l->terms[t].mul[k] * accumulate(&l->terms[t], y, x, k);\n"
    "                if (l->kind == LOGITS) {\n"
    "                    logits[k] = sum;\n"
    "                    continue;\n"
    "                }\n"
    "                const int64_t v = sum < 0 ? 0 : sum / unit; /* below 0 the ReLU has it anyway */\n"
    "                memory[tensors[l->target].offset + (y * l->w + x) * l->k + k] = (uint8_t)(v > top ? top : v);\n"
    "            }\n"
    "}\n\n";

static const char code_run[] = "void lethe_logits(const uint8_t *image, int64_t *logits)\n"
                               "{\n"
                               "    const tensor *in = &tensors[0];\n"
                               "    const int32_t plane = in->h * in->w;\n"
                               "    for (int32_t p = 0; p < plane; p++)\n"
                               "        for (int32_t c = 0; c < in->c; c++)\n"
                               "            LETHE_LOAD(p, c, c)\n"
                               "    for (unsigned i = 0; i < sizeof layers / sizeof layers[0]; i++) {\n"
                               "        if (layers[i].kind == AFFINE || layers[i].kind == LOGITS)\n"
                               "            run_affine(&layers[i], logits);\n"
                               "        else\n"
                               "            run_pool(&layers[i]);\n"
                               "    }\n"
                               "}\n\n";

static const char code_predict[] = "int lethe_predict(const uint8_t *image)\n"
                                   "{\n"
                                   "    int64_t z[LETHE_CLASSES];\n"
                                   "    int best = 0;\n"
                                   "    lethe_logits(image, z);\n"
                                   "    for (int k = 1; k < LETHE_CLASSES; k++)\n"
                                   "        best = z[k] > z[best] ? k : best;\n"
                                   "    return best;\n"
                                   "}\n";

static void put_bytes(lti_buf *b, const char *name, int layer, int term, const uint8_t *v, int64_t n)
{
    lti_buf_printf(b, "static const uint8_t %s%d_%d[%lld] = {", name, layer, term, (long long)n + 1);
    for (int64_t i = 0; i < n; i++)
        lti_buf_printf(b, "%s%u,", i % 32 ? "" : "\n", (unsigned)v[i]);
    lti_buf_printf(b, "\n0};\n");
}

static lt_status put_weights(lti_buf *b, const lti_int_weights *w, int layer, int term)
{
    const int64_t n = w->k * w->r * w->s * w->c;
    const int bits = lti_int_code_bits(w);
    if (bits == 0)
        return LT_OK;
    uint8_t *code = lti_malloc((size_t)n), *packed = lti_malloc((size_t)lti_packed_bytes(n, bits));
    if (code && packed) {
        for (int64_t i = 0; i < n; i++)
            code[i] = (uint8_t)lti_int_code(w, w->w[i]);
        lti_int_pack(code, n, bits, packed);
        put_bytes(b, "w", layer, term, packed, lti_packed_bytes(n, bits));
    }
    const lt_status status = code && packed ? LT_OK : LTI_NOMEM("packed weights");
    lti_free(code);
    lti_free(packed);
    return status;
}

static lt_status put_layer_tables(lti_buf *b, const lt_int_net *net, int i)
{
    const lti_int_layer *l = &net->layer[i];
    if (l->n_terms == 0)
        return LT_OK;
    lti_buf_printf(b, "/* %s */\n", l->name);
    for (int t = 0; t < l->n_terms; t++) {
        if (l->term[t].weights)
            LT_TRY(put_weights(b, l->term[t].weights, i, t));
        lti_buf_printf(b, "static const int32_t m%d_%d[] = {", i, t);
        for (int64_t k = 0; k < l->table_steps * l->k; k++)
            lti_buf_printf(b, "%lld,", (long long)l->term[t].mul[k]);
        lti_buf_printf(b, "};\n");
    }
    lti_buf_printf(b, "static const int64_t a%d[] = {", i);
    for (int64_t k = 0; k < l->table_steps * l->k; k++)
        lti_buf_printf(b, "%lldLL,", (long long)l->add[k]);
    lti_buf_printf(b, "};\nstatic const term t%d[] = {\n", i);
    for (int t = 0; t < l->n_terms; t++) {
        static const char *const coding[] = {"MIDRISE", "MIDTREAD", "BIT", "SIGNED8", "ONES"};
        const lti_int_term *term = &l->term[t];
        const lti_int_weights *w = term->weights;
        if (w && lti_int_code_bits(w) > 0)
            lti_buf_printf(b, "    {w%d_%d, ", i, t);
        else
            lti_buf_printf(b, "    {0, ");
        lti_buf_printf(b, "m%d_%d, %d, %s, %d, %d, %d, %d, %d},\n", i, t, term->source, w ? coding[w->coding] : "NONE",
                       w ? lti_int_code_bits(w) : 0, w ? (int)w->r : 1, w ? (int)w->s : 1, term->stride, term->pad);
    }
    lti_buf_printf(b, "};\n");
    return LT_OK;
}

static void put_layers(lti_buf *b, const lt_int_net *net)
{
    static const char *const kind[] = {"AFFINE",  "LOGITS", "SUM_POOL",   "MAX_POOL",
                                       "CURRENT", "NEURON", "LAYER_NORM", "COUNT"};
    lti_buf_printf(b, "};\nstatic const layer layers[] = {\n");
    for (int i = 0; i < net->n_layers; i++) {
        const lti_int_layer *l = &net->layer[i];
        if (l->n_terms > 0)
            lti_buf_printf(b, "    {t%d, a%d, ", i, i);
        else
            lti_buf_printf(b, "    {0, 0, ");
        lti_buf_printf(b, "%lld, %lld, %lld, %d, %d, %s, %d, %d, %d, %d, %d, %d", (long long)l->k, (long long)l->h,
                       (long long)l->w, l->target, l->source, kind[l->kind], l->n_terms, l->shift, l->bits, l->kernel,
                       l->stride, l->pad);
        if (net->has_time)
            lti_buf_printf(b, ", %d, %d, %d, %d, %d, %lld, %lld", l->once, (int)l->neuron.kind, l->state, l->ordinal,
                           (int)l->neuron.decay, l->table_steps > 1 ? (long long)l->k : 0, (long long)l->eps);
        lti_buf_printf(b, "},\n");
    }
}

static void put_net(lti_buf *b, const lt_int_net *net)
{
    static const char *const type[] = {"U8", "I16", "I32"};
    lti_buf_printf(b, "static const tensor tensors[] = {\n");
    for (int i = 0; i < net->n_tensors; i++) {
        const lti_int_tensor *t = &net->tensor[i];
        lti_buf_printf(b, "    {%s, %lld, %lld, %lld, %lld},\n", type[t->type], (long long)t->h, (long long)t->w,
                       (long long)t->c, (long long)t->offset);
    }
    put_layers(b, net);
    lti_buf_printf(b, "};\n");
    // p: place, c: channel, plane_of: which plane of the image it is
    if (!net->has_lut) {
        lti_buf_printf(b, "#define LETHE_LOAD(p, c, plane_of) memory[in->offset + (p) * in->c + (c)] = "
                          "image[(plane_of) * plane + (p)];\n");
        return;
    }
    lti_buf_printf(b, "static const int16_t table[] = {");
    for (int i = 0; i < net->shape.c * 256; i++)
        lti_buf_printf(b, "%d,", net->lut[i]);
    lti_buf_printf(b, "};\n#define LETHE_LOAD(p, c, plane_of) { const uint16_t v = (uint16_t)table[(plane_of) * 256 + "
                      "image[(plane_of) * plane + (p)]]; const int32_t at = in->offset + 2 * ((p) * in->c + (c)); "
                      "memory[at] = (uint8_t)v; memory[at + 1] = (uint8_t)(v >> 8); }\n");
}

static lt_status write_text(const char *path, lti_buf *b)
{
    char *text = lti_buf_take(b);
    if (!text)
        return LTI_NOMEM("exported source");
    const lt_status status = lt_write_file_atomic(path, text, strlen(text));
    free(text);
    return status;
}

static void put_time(lti_buf *b, const lt_int_net *net, const lt_int_info *info)
{
    lti_buf_printf(b, "#define LETHE_STEPS %d\n#define LETHE_NEURON_LAYERS %d\n#define LETHE_STATE_BYTES %lld\n",
                   info->n_steps, info->n_neuron_layers, (long long)info->state_bytes);
    if (net->frames)
        lti_buf_printf(
            b, "/* An image is a clip: the planes of step t are numbers %d t to %d t + %d; a byte is a count. */\n",
            net->shape.c / net->n_steps, net->shape.c / net->n_steps, net->shape.c / net->n_steps - 1);
    else
        lti_buf_printf(b, "/* The image is the input of every step. */\n");
    lti_buf_printf(b, "/* Spikes of every layer of neurons in the last call. */\n"
                      "extern uint32_t lethe_spikes[LETHE_NEURON_LAYERS];\n");
}

static lt_status write_header(const lt_int_net *net, const char *path)
{
    lti_buf b = {0};
    lt_int_info info;
    lt_int_net_info(net, &info);
    lti_buf_printf(
        &b,
        "/* Integer network exported by lethe: %s\n"
        " * read-only memory %lld bytes (weights %lld, tables %lld), random access memory %lld bytes,\n"
        " * %lld multiply-adds an image. Not reentrant: activations are static. */\n"
        "#ifndef LETHE_MODEL_H\n#define LETHE_MODEL_H\n#include <stdint.h>\n"
        "#define LETHE_CLASSES %d\n#define LETHE_CHANNELS %d\n#define LETHE_HEIGHT %d\n#define LETHE_WIDTH %d\n"
        "#define LETHE_WEIGHT_BYTES %lld\n#define LETHE_TABLE_BYTES %lld\n#define LETHE_ACTIVATION_BYTES %lld\n",
        net->model->spec, (long long)info.weight_bytes + (long long)info.table_bytes, (long long)info.weight_bytes,
        (long long)info.table_bytes, (long long)info.activation_bytes, (long long)info.macs, net->shape.n_classes,
        net->shape.c, net->shape.h, net->shape.w, (long long)info.weight_bytes, (long long)info.table_bytes,
        (long long)net->memory_bytes);
    if (net->has_time)
        put_time(&b, net, &info);
    lti_buf_printf(&b, "/* image: LETHE_CHANNELS planes of LETHE_HEIGHT rows of bytes. Returns the class. */\n"
                       "int lethe_predict(const uint8_t *image);\n"
                       "/* logits: LETHE_CLASSES integers of one scale */\n"
                       "void lethe_logits(const uint8_t *image, int64_t *logits);\n#endif\n");
    return write_text(path, &b);
}

lt_status lt_int_net_export_c(const lt_int_net *net, const char *path)
{
    char header[4096];
    const size_t n = strlen(path);
    if (n < 3 || n >= sizeof header || strcmp(path + n - 2, ".c") != 0)
        return LT_FAIL(LT_E_USAGE, "export: expected a path that ends in .c, found '%s'", path);
    memcpy(header, path, n + 1);
    header[n - 1] = 'h';
    LT_TRY(write_header(net, header));
    const char *name = strrchr(header, '/');
    lti_buf b = {0};
    lti_buf_printf(&b, code_head, name ? name + 1 : header, net->has_time ? lti_export_c_fields : "");
    for (int i = 0; i < net->n_layers; i++) {
        const lt_status status = put_layer_tables(&b, net, i);
        if (status != LT_OK) {
            lti_buf_clear(&b);
            return status;
        }
    }
    put_net(&b, net);
    lti_buf_puts(&b, code_memory);
    lti_buf_puts(&b, code_pool);
    if (net->has_time) {
        lti_export_c_time(&b, net);
    } else {
        lti_buf_puts(&b, code_affine);
        lti_buf_puts(&b, code_run);
    }
    lti_buf_puts(&b, code_predict);
    return write_text(path, &b);
}
