// event_aedat4.c - AEDAT 4.0 (DV): FlatBuffers in packets that may be compressed with LZ4 or Zstandard.
//
// After the line "#!AER-DAT4.0" comes a size-prefixed table IOHE: compression, position of the table of data, and an
// XML text about the streams. Then packets until that position: stream number and size (32 bits each), the compressed
// bytes. A packet of events is a size-prefixed table EVTS with one vector of {time i64, x i16, y i16, on u8}, 16 bytes.
// Every offset is checked before it is followed. libarchive unpacks both compressions.
#include "event_impl.h"
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 14, EVENT = 16, COMPRESSION_NONE = 0, COMPRESSION_LAST = 4, MAX_PACKET = 1 << 28 };

typedef struct view { // bytes of one FlatBuffer
    const uint8_t *b;
    size_t n;
    const char *label;
} view;

static lt_status broken(const view *v, size_t at, const char *what)
{
    return LT_FAIL(LT_E_FORMAT, "%s: byte %zu of a table: expected %s within its %zu bytes", v->label, at, what, v->n);
}

static bool holds(const view *v, size_t at, size_t n)
{
    return at <= v->n && n <= v->n - at;
}

// Position of field number `field` of the root table; 0 when the table does not have it.
static lt_status find_field(const view *v, int field, size_t n_bytes, size_t *at)
{
    *at = 0;
    if (!holds(v, 0, 8))
        return broken(v, 0, "a root and an identifier");
    const size_t table = lti_le32(v->b);
    if (!holds(v, table, 4))
        return broken(v, 0, "the root table");
    const int64_t vtable = (int64_t)table - (int32_t)lti_le32(v->b + table);
    if (vtable < 0 || !holds(v, (size_t)vtable, 4))
        return broken(v, table, "a vtable");
    const uint8_t *vt = v->b + vtable;
    const size_t vt_bytes = (size_t)(vt[0] | vt[1] << 8), slot = 4 + 2 * (size_t)field;
    if (!holds(v, (size_t)vtable, vt_bytes))
        return broken(v, (size_t)vtable, "a vtable");
    if (slot + 2 > vt_bytes)
        return LT_OK;
    const size_t offset = (size_t)(vt[slot] | vt[slot + 1] << 8);
    if (offset && !holds(v, table + offset, n_bytes))
        return broken(v, table + offset, "a field");
    *at = offset ? table + offset : 0;
    return LT_OK;
}

// A vector or string: *at is its first element.
static lt_status find_vector(const view *v, int field, size_t element, size_t *at, size_t *n)
{
    *n = 0;
    LT_TRY(find_field(v, field, 4, at));
    if (!*at)
        return LT_OK;
    const size_t where = *at + lti_le32(v->b + *at);
    if (!holds(v, where, 4))
        return broken(v, *at, "a vector");
    *n = lti_le32(v->b + where);
    *at = where + 4;
    return *n <= (v->n - *at) / element ? LT_OK : broken(v, where, "the elements of a vector");
}

static int64_t le_i64(const uint8_t *b)
{
    return (int64_t)((uint64_t)lti_le32(b + 4) << 32 | lti_le32(b));
}

static lt_status read_events(const view *v, lt_event_stream *out, int64_t *cap)
{
    size_t at, n;
    if (v->n < 8 || memcmp(v->b + 4, "EVTS", 4) != 0)
        return LT_OK; // frames, inertial samples, triggers
    LT_TRY(find_vector(v, 0, EVENT, &at, &n));
    LT_TRY(lti_events_reserve(out, (int64_t)n, cap));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *e = v->b + at + i * EVENT;
        const int x = (int16_t)(e[8] | e[9] << 8), y = (int16_t)(e[10] | e[11] << 8);
        if (x < 0 || y < 0)
            return LT_FAIL(LT_E_FORMAT, "%s: event %lld at (%d,%d), expected coordinates from 0 on", v->label,
                           (long long)out->n, x, y);
        out->event[out->n++] =
            (lt_dvs_event){.t_us = le_i64(e), .x = (uint16_t)x, .y = (uint16_t)y, .p = (uint8_t)(e[12] != 0)};
    }
    return LT_OK;
}

static lt_status unpack(const view *packed, uint8_t **bytes, size_t *n)
{
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    size_t cap = 0;
    lt_status status = a ? LT_OK : LTI_NOMEM("a packet");
    *bytes = NULL;
    *n = 0;
    if (a && (archive_read_support_filter_lz4(a) != ARCHIVE_OK || archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
              archive_read_support_format_raw(a) != ARCHIVE_OK ||
              archive_read_open_memory(a, packed->b, packed->n) != ARCHIVE_OK ||
              archive_read_next_header(a, &entry) != ARCHIVE_OK))
        status = LT_FAIL(LT_E_FORMAT, "%s: a packet cannot be unpacked: %s", packed->label, archive_error_string(a));
    for (la_ssize_t got = 1; status == LT_OK && got > 0;) {
        if (*n == cap) {
            cap = cap ? 2 * cap : 65536;
            uint8_t *more = cap > MAX_PACKET ? NULL : lti_realloc(*bytes, cap);
            if (!more) {
                status = LT_FAIL(LT_E_FORMAT, "%s: a packet of more than %d bytes", packed->label, MAX_PACKET);
                break;
            }
            *bytes = more;
        }
        got = archive_read_data(a, *bytes + *n, cap - *n);
        if (got < 0)
            status =
                LT_FAIL(LT_E_FORMAT, "%s: a packet cannot be unpacked: %s", packed->label, archive_error_string(a));
        else
            *n += (size_t)got;
    }
    if (a)
        archive_read_free(a);
    if (status != LT_OK) {
        lti_free(*bytes);
        *bytes = NULL;
    }
    return status;
}

// The table of a packet stands behind its length.
static lt_status read_packet(const view *packet, bool packed, lt_event_stream *out, int64_t *cap)
{
    uint8_t *bytes = NULL;
    size_t n = packet->n;
    if (packed)
        LT_TRY(unpack(packet, &bytes, &n));
    const uint8_t *b = packed ? bytes : packet->b;
    lt_status status = LT_OK;
    if (n < 4 || lti_le32(b) > n - 4)
        status = LT_FAIL(LT_E_FORMAT, "%s: a packet of %zu bytes announces more", packet->label, n);
    else
        status = read_events(&(view){b + 4, lti_le32(b), packet->label}, out, cap);
    lti_free(bytes);
    return status;
}

// <attr key="sizeX" type="int">346</attr> of the first stream that has it.
static int find_size(const view *xml, const char *key)
{
    const size_t n_key = strlen(key);
    for (size_t i = 0; i + n_key < xml->n; i++) {
        if (memcmp(xml->b + i, key, n_key) != 0)
            continue;
        const uint8_t *end = memchr(xml->b + i, '>', xml->n - i);
        int value = 0;
        for (const uint8_t *c = end ? end + 1 : NULL;
             c && c < xml->b + xml->n && *c >= '0' && *c <= '9' && value < 100000; c++)
            value = 10 * value + (*c - '0');
        return value <= LTI_EVENT_SIDE_MAX ? value : 0;
    }
    return 0;
}

typedef struct header {
    int32_t compression;
    int64_t end;  // of the packets
    size_t first; // packet
} header;

static lt_status read_header(const lti_event_source *src, header *h, lt_event_stream *out)
{
    if (src->n < LINE + 4 || memcmp(src->bytes, "#!AER-DAT4.", 11) != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: expected #!AER-DAT4.0 and a header, found something else", src->label);
    const view v = {src->bytes + LINE + 4, lti_le32(src->bytes + LINE), src->label};
    if (v.n > src->n - LINE - 4)
        return LT_FAIL(LT_E_FORMAT, "%s: the header announces %zu bytes, %zu are left", src->label, v.n,
                       src->n - LINE - 4);
    size_t at, n;
    LT_TRY(find_field(&v, 0, 4, &at));
    if (memcmp(v.b + 4, "IOHE", 4) != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: byte %d: expected the identifier IOHE, found another", src->label, LINE + 8);
    h->compression = at ? (int32_t)lti_le32(v.b + at) : COMPRESSION_NONE;
    LT_TRY(find_field(&v, 1, 8, &at));
    h->end = at ? le_i64(v.b + at) : -1;
    h->first = LINE + 4 + v.n;
    LT_TRY(find_vector(&v, 2, 1, &at, &n));
    const view xml = {v.b + at, n, src->label};
    out->w = at ? find_size(&xml, "\"sizeX\"") : 0;
    out->h = at ? find_size(&xml, "\"sizeY\"") : 0;
    if (h->compression < COMPRESSION_NONE || h->compression > COMPRESSION_LAST)
        return LT_FAIL(LT_E_FORMAT, "%s: compression %d, expected 0 to %d", src->label, (int)h->compression,
                       COMPRESSION_LAST);
    if (h->end < 0 || (uint64_t)h->end > src->n) // the recording was not finished
        h->end = (int64_t)src->n;
    return LT_OK;
}

lt_status lti_events_aedat4(const lti_event_source *src, lt_event_stream *out)
{
    header h = {0};
    int64_t cap = 0;
    LT_TRY(read_header(src, &h, out));
    for (size_t at = h.first, end = (size_t)h.end; at < end;) {
        if (end - at < 8)
            return LT_FAIL(LT_E_FORMAT, "%s: byte %zu: %zu bytes are left, expected a packet", src->label, at,
                           end - at);
        const size_t n = lti_le32(src->bytes + at + 4);
        if (n > end - at - 8)
            return LT_FAIL(LT_E_FORMAT, "%s: byte %zu: a packet of %zu bytes, %zu are left", src->label, at, n,
                           end - at - 8);
        LT_TRY(read_packet(&(view){src->bytes + at + 8, n, src->label}, h.compression != COMPRESSION_NONE, out, &cap));
        at += 8 + n;
    }
    return LT_OK;
}
