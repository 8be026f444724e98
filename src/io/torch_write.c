// torch_write.c - state_dicts that torch.load reads with weights_only=True: a pickle of protocol 2 that builds an
// OrderedDict of tensors, and one stored member of the zip archive for each storage.
#include "io/tensorfile_impl.h"
#include <stdio.h>
#include <string.h>

typedef struct storage_type {
    lt_dtype dtype;
    const char *name; // of PyTorch's storage class
} storage_type;
static const storage_type storage_types[] = {
    {LT_F32, "FloatStorage"}, {LT_F64, "DoubleStorage"}, {LT_I32, "IntStorage"},       {LT_I64, "LongStorage"},
    {LT_U8, "ByteStorage"},   {LT_I8, "CharStorage"},    {LT_BF16, "BFloat16Storage"},
};

static const char *storage_class(lt_dtype dtype)
{
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++)
        if (storage_types[i].dtype == dtype)
            return storage_types[i].name;
    LT_BUG("dtype %d", (int)dtype);
}

static void put_byte(lti_buf *b, int byte)
{
    const char c = (char)byte;
    lti_buf_add(b, &c, 1);
}

static void put_uint(lti_buf *b, uint64_t value, int n_bytes) // little endian
{
    for (int i = 0; i < n_bytes; i++)
        put_byte(b, (int)(value >> 8 * i & 255));
}

static void put_text(lti_buf *b, const char *text)
{
    put_byte(b, 'X'); // BINUNICODE
    put_uint(b, strlen(text), 4);
    lti_buf_puts(b, text);
}

static void put_int(lti_buf *b, int64_t value)
{
    if (value >= 0 && value <= INT32_MAX) {
        put_byte(b, 'J'); // BININT
        put_uint(b, (uint64_t)value, 4);
    } else {
        put_byte(b, 0x8a); // LONG1
        put_byte(b, 8);
        put_uint(b, (uint64_t)value, 8);
    }
}

static void put_ints(lti_buf *b, const int64_t *value, int n)
{
    put_byte(b, '('); // MARK
    for (int i = 0; i < n; i++)
        put_int(b, value[i]);
    put_byte(b, 't'); // TUPLE
}

static void put_call_of_ordered_dict(lti_buf *b)
{
    lti_buf_puts(b, "ccollections\nOrderedDict\n)R");
}

// _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())
static void put_tensor(lti_buf *b, const lt_tensor *t, int index)
{
    char key[16];
    int64_t stride[LT_FILE_MAX_DIMS], n = 1;
    for (int d = t->n_dims - 1; d >= 0; d--) {
        stride[d] = n;
        n *= t->dim[d];
    }
    snprintf(key, sizeof key, "%d", index);
    put_text(b, t->name);
    lti_buf_puts(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(b, "storage");
    lti_buf_printf(b, "ctorch\n%s\n", storage_class(t->dtype));
    put_text(b, key);
    put_text(b, "cpu");
    put_int(b, n);
    lti_buf_puts(b, "tQ"); // TUPLE, BINPERSID
    put_int(b, 0);
    put_ints(b, t->dim, t->n_dims);
    put_ints(b, stride, t->n_dims);
    put_byte(b, 0x89); // NEWFALSE: requires_grad
    put_call_of_ordered_dict(b);
    lti_buf_puts(b, "tR");
}

static void put_state_dict(lti_buf *b, const lt_tensor *tensors, int n)
{
    put_byte(b, 0x80); // PROTO
    put_byte(b, 2);
    put_call_of_ordered_dict(b);
    put_byte(b, '(');
    for (int i = 0; i < n; i++)
        put_tensor(b, &tensors[i], i);
    lti_buf_puts(b, "u."); // SETITEMS, STOP
}

lt_status lt_torch_write(const char *path, const lt_tensor *tensors, int n)
{
    enum { KEY_ROOM = 32, N_EXTRA = 3 };
    static const char version[] = "3\n", order[] = "little";
    LT_TRY(lti_tensors_check(path, tensors, n));
    lti_buf pickle = {0};
    lt_status status;
    const size_t n_parts = (size_t)n + N_EXTRA;
    lti_zip_part *part = lti_calloc(n_parts, sizeof *part);
    char(*key)[KEY_ROOM] = lti_calloc((size_t)n + 1, sizeof *key);
    put_state_dict(&pickle, tensors, n);
    if (!part || !key || pickle.failed) {
        status = LTI_NOMEM(path);
        goto done;
    }
    part[0] = (lti_zip_part){.head = "", .name = "archive/data.pkl", .body = pickle.data, .body_bytes = pickle.n};
    part[1] = (lti_zip_part){.head = "", .name = "archive/byteorder", .body = order, .body_bytes = sizeof order - 1};
    for (int i = 0; i < n; i++) {
        snprintf(key[i], KEY_ROOM, "archive/data/%d", i);
        part[2 + i] =
            (lti_zip_part){.head = "", .name = key[i], .body = tensors[i].data, .body_bytes = tensors[i].n_bytes};
    }
    part[n_parts - 1] =
        (lti_zip_part){.head = "", .name = "archive/version", .body = version, .body_bytes = sizeof version - 1};
    status = lti_zip_write(path, part, n_parts, 0xffffffffu);
done:
    lti_buf_clear(&pickle);
    lti_free(part);
    lti_free(key);
    return status;
}
