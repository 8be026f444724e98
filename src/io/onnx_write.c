// onnx_write.c - ONNX models as protocol buffers. [QAT 7.4]
//
// A field is a key (number << 3 | wire type) and its value: wire type 0 is a varint, 2 counted bytes, 5 four bytes.
#include "io/onnx.h"
#include <string.h>

static void put_varint(lti_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7) {
        const char byte = (char)((v & 127) | 128);
        lti_buf_add(b, &byte, 1);
    }
    const char byte = (char)v;
    lti_buf_add(b, &byte, 1);
}

static void put_int(lti_buf *b, int field, int64_t v)
{
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)v);
}

static void put_float(lti_buf *b, int field, float v)
{
    char bytes[sizeof v];
    put_varint(b, (uint64_t)field << 3 | 5);
    memcpy(bytes, &v, sizeof v);
    lti_buf_add(b, bytes, sizeof bytes);
}

static void put_bytes(lti_buf *b, int field, const void *data, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    lti_buf_add(b, data, n);
}

static void put_text(lti_buf *b, int field, const char *text)
{
    put_bytes(b, field, text, strlen(text));
}

static void put_message(lti_buf *b, int field, lti_buf *message)
{
    if (message->failed)
        b->failed = true;
    put_bytes(b, field, message->data ? message->data : "", message->n);
    lti_buf_clear(message);
}

void lti_onnx_put_tensor(lti_onnx *m, const char *name, int type, const int64_t *dim, int n_dims, const void *data,
                         size_t bytes)
{
    lti_buf t = {0};
    for (int i = 0; i < n_dims; i++)
        put_int(&t, 1, dim[i]);
    put_int(&t, 2, type);
    put_text(&t, 8, name);
    put_bytes(&t, 9, data, bytes);
    put_message(&m->graph, 5, &t);
}

static void put_attribute(lti_buf *node, const lti_onnx_attr *attr)
{
    lti_buf a = {0};
    put_text(&a, 1, attr->name);
    switch (attr->type) {
    case 1:
        put_float(&a, 2, attr->real);
        break;
    case 2:
        put_int(&a, 3, attr->ints[0]);
        break;
    case 3:
        put_text(&a, 4, attr->text);
        break;
    default:
        for (int i = 0; i < attr->n; i++)
            put_int(&a, 8, attr->ints[i]);
    }
    put_int(&a, 20, attr->type);
    put_message(node, 5, &a);
}

void lti_onnx_put_node(lti_onnx *m, const char *op, const char *const *in, const char *out, const lti_onnx_attr *attr)
{
    lti_buf n = {0};
    for (; *in; in++)
        put_text(&n, 1, *in);
    put_text(&n, 2, out);
    put_text(&n, 3, out);
    put_text(&n, 4, op);
    for (; attr && attr->name; attr++)
        put_attribute(&n, attr);
    put_message(&m->graph, 1, &n);
}

static void put_value_info(lti_onnx *m, int field, const char *name, const int64_t *dim, int n_dims)
{
    lti_buf info = {0}, type = {0}, tensor = {0}, shape = {0};
    put_int(&tensor, 1, LTI_ONNX_FLOAT);
    for (int i = 0; i < n_dims; i++) {
        lti_buf d = {0};
        if (dim[i] < 0)
            put_text(&d, 2, "N");
        else
            put_int(&d, 1, dim[i]);
        put_message(&shape, 1, &d);
    }
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&info, 1, name);
    put_message(&info, 2, &type);
    put_message(&m->graph, field, &info);
}

void lti_onnx_put_input(lti_onnx *m, const char *name, const int64_t *dim, int n_dims)
{
    put_value_info(m, 11, name, dim, n_dims);
}

void lti_onnx_put_output(lti_onnx *m, const char *name, const int64_t *dim, int n_dims)
{
    put_value_info(m, 12, name, dim, n_dims);
}

// The version of the format that came with an opset.
static int ir_version(int opset)
{
    return opset >= 19 ? 9 : 7;
}

lt_status lti_onnx_save(lti_onnx *m, int opset, const lt_meta *meta, int n_meta, const char *path)
{
    lti_buf model = {0}, version = {0};
    put_text(&m->graph, 2, "lethe");
    put_int(&model, 1, ir_version(opset));
    put_text(&model, 2, "lethe");
    put_message(&model, 7, &m->graph);
    put_text(&version, 1, "");
    put_int(&version, 2, opset);
    put_message(&model, 8, &version);
    for (int i = 0; i < n_meta; i++) {
        lti_buf entry = {0};
        put_text(&entry, 1, meta[i].key);
        put_text(&entry, 2, meta[i].value);
        put_message(&model, 14, &entry);
    }
    const lt_status status = model.failed ? LTI_NOMEM("ONNX model") : lt_write_file_atomic(path, model.data, model.n);
    lti_buf_clear(&model);
    return status;
}

void lti_onnx_clear(lti_onnx *m)
{
    lti_buf_clear(&m->graph);
}
