// tensorboard.c - TFRecord framing around the few fields of TensorFlow's Event message that hold scalars.
//
// A record is its length (8 bytes, little endian), a checksum of the length, the message, and a checksum of the
// message: CRC-32C, rotated and offset so that a checksum of checksums is not degenerate. The message is protobuf:
// wall_time (field 1, double), step (2, varint), file_version (3, text) in the first record, summary (5), which has one
// value (1) with tag (1, text) and simple_value (2, float) per scalar.
#include "io/tensorboard.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char prefix[] = "events.out.tfevents.";

struct lti_tensorboard {
    char *path;
    int fd;
    pthread_mutex_t mutex; // events come from whichever thread emits
    lt_error failure;
};

// ---- bytes

static uint32_t crc32c(const char *bytes, size_t n)
{
    enum { BITS = 8 };
    const uint32_t polynomial = 0x82f63b78u; // Castagnoli, reflected
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < BITS; bit++)
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    return ~crc;
}

static uint32_t masked_crc(const char *bytes, size_t n)
{
    const uint32_t crc = crc32c(bytes, n), offset = 0xa282ead8u;
    return (crc >> 15 | crc << 17) + offset;
}

static void put_little(lti_buf *b, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        lti_buf_add(b, &(char){(char)(value >> 8 * i & 0xff)}, 1);
}

static void put_varint(lti_buf *b, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        lti_buf_add(b, &(char){(char)((value & 0x7f) | 0x80)}, 1);
    lti_buf_add(b, &(char){(char)value}, 1);
}

enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };
static void put_key(lti_buf *b, unsigned field, unsigned wire)
{
    put_varint(b, field << 3 | wire);
}

static void put_bytes(lti_buf *b, unsigned field, const char *bytes, size_t n)
{
    put_key(b, field, WIRE_BYTES);
    put_varint(b, n);
    lti_buf_add(b, bytes, n);
}

static void put_double(lti_buf *b, unsigned field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(b, field, WIRE_64);
    put_little(b, bits, 8);
}

static void put_float(lti_buf *b, unsigned field, double value)
{
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    put_key(b, field, WIRE_32);
    put_little(b, bits, 4);
}

// ---- records

static lt_status write_all(const lti_tensorboard *t, const char *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t step = write(t->fd, bytes + done, n - done);
        if (step < 0 && errno == EINTR)
            continue;
        if (step < 0)
            return lti_errno_fail("write", t->path);
        done += (size_t)step;
    }
    return LT_OK;
}

static lt_status write_record(const lti_tensorboard *t, const lti_buf *message)
{
    lti_buf record = {0};
    put_little(&record, message->n, 8);
    put_little(&record, record.failed ? 0 : masked_crc(record.data, record.n), 4);
    lti_buf_add(&record, message->data, message->n);
    put_little(&record, masked_crc(message->data, message->n), 4);
    lt_status status = record.failed ? LTI_NOMEM("event file") : write_all(t, record.data, record.n);
    lti_buf_clear(&record);
    return status;
}

static double wall_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static lt_status write_version(const lti_tensorboard *t)
{
    static const char version[] = "brain.Event:2";
    lti_buf message = {0};
    put_double(&message, 1, wall_time());
    put_bytes(&message, 3, version, sizeof version - 1);
    lt_status status = message.failed ? LTI_NOMEM("event file") : write_record(t, &message);
    lti_buf_clear(&message);
    return status;
}

static void put_scalar(lti_buf *summary, const char *event, const lt_field *field)
{
    lti_buf value = {0}, tag = {0};
    lti_buf_printf(&tag, "%s/%s", event, field->key);
    put_bytes(&value, 1, tag.data ? tag.data : "", tag.n);
    put_float(&value, 2, field->value);
    summary->failed = summary->failed || value.failed || tag.failed;
    if (!summary->failed)
        put_bytes(summary, 1, value.data, value.n);
    lti_buf_clear(&value);
    lti_buf_clear(&tag);
}

static lt_status write_scalars(const lti_tensorboard *t, const lt_event *e)
{
    lti_buf message = {0}, summary = {0};
    const int64_t step = e->step >= 0 ? e->step : e->epoch;
    for (int i = 0; i < e->n_fields; i++)
        if (isfinite(e->fields[i].value)) // a gap in the curve, not a value
            put_scalar(&summary, e->name ? e->name : "", &e->fields[i]);
    put_double(&message, 1, wall_time());
    if (step > 0) {
        put_key(&message, 2, WIRE_VARINT);
        put_varint(&message, (uint64_t)step);
    }
    if (summary.n)
        put_bytes(&message, 5, summary.data, summary.n);
    lt_status status = message.failed || summary.failed ? LTI_NOMEM("event file")
                       : summary.n                      ? write_record(t, &message)
                                                        : LT_OK;
    lti_buf_clear(&summary);
    lti_buf_clear(&message);
    return status;
}

static void emit(void *self, const lt_event *e)
{
    lti_tensorboard *t = self;
    if (e->kind != LT_EV_METRIC)
        return;
    pthread_mutex_lock(&t->mutex);
    if (t->failure.status == LT_OK && write_scalars(t, e) != LT_OK)
        t->failure = *lt_error_get();
    pthread_mutex_unlock(&t->mutex);
}

// ---- the file

bool lti_is_tensorboard_name(const char *file_name)
{
    return strncmp(file_name, prefix, sizeof prefix - 1) == 0;
}

static lt_status remove_files(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return lti_errno_fail("read directory", dir);
    for (struct dirent *e; (e = readdir(d));)
        if (lti_is_tensorboard_name(e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return LT_OK;
}

lt_status lti_tensorboard_open(const char *dir, bool remove_earlier, lti_tensorboard **out)
{
    enum { HOST_MAX = 65 };
    char host[HOST_MAX] = "localhost";
    *out = NULL;
    if (remove_earlier)
        LT_TRY(remove_files(dir));
    gethostname(host, sizeof host - 1);
    for (char *p = host; *p; p++)
        *p = *p == '/' ? '_' : *p;
    lti_tensorboard *t = lti_calloc(1, sizeof *t);
    if (!t)
        return LTI_NOMEM("event file");
    pthread_mutex_init(&t->mutex, NULL);
    t->path = lti_asprintf("%s/%s%010lld.%s.%ld.0", dir, prefix, (long long)time(NULL), host, (long)getpid());
    t->fd = t->path ? open(t->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    lt_status status = !t->path ? LTI_NOMEM("event file") : t->fd < 0 ? lti_errno_fail("write", t->path) : LT_OK;
    if (status == LT_OK)
        status = write_version(t);
    if (status == LT_OK)
        *out = t;
    else
        (void)lti_tensorboard_close(t);
    return status;
}

lt_sink lti_tensorboard_sink(lti_tensorboard *t)
{
    return (lt_sink){.emit = emit, .self = t};
}

lt_status lti_tensorboard_close(lti_tensorboard *t)
{
    if (!t)
        return LT_OK;
    const lt_error failure = t->failure;
    if (t->fd >= 0)
        close(t->fd);
    pthread_mutex_destroy(&t->mutex);
    lti_free(t->path);
    lti_free(t);
    if (failure.status != LT_OK)
        lt_error_restore(&failure);
    return failure.status;
}
