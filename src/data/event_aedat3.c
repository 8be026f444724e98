// event_aedat3.c - AEDAT 3.0 and 3.1 (cAER): a text header, then packets of events of one type, little-endian.
//
// 3.1 ends its header with a line of its own; 3.0 has none and counts y from below. A packet has 28 bytes of header;
// only polarity events (type 1) are read, the others are skipped by their size.
#include "event_impl.h"
#include <string.h>

enum { PACKET = 28, POLARITY = 1, EVENT = 8, MAX_LINES = 10000 };

static int32_t le_i32(const uint8_t *b)
{
    return (int32_t)lti_le32(b);
}

static lt_status skip_header(const lti_event_source *src, size_t *at, bool *from_below)
{
    static const char end_line[] = "#!END-HEADER";
    *at = 0;
    *from_below = src->n > 12 && src->bytes[11] == '0'; // "#!AER-DAT3.0"
    for (int line = 0; line < MAX_LINES && *at < src->n && src->bytes[*at] == '#'; line++) {
        const uint8_t *text = src->bytes + *at, *end = memchr(text, '\n', src->n - *at);
        if (!end)
            break;
        *at = (size_t)(end - src->bytes) + 1;
        if ((size_t)(end - text) >= sizeof end_line - 1 && !memcmp(text, end_line, sizeof end_line - 1))
            return LT_OK;
    }
    if (*from_below && *at > 0)
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT, "%s: byte %zu: expected the line %s of an AEDAT 3.1 header, found none", src->label,
                   *at, end_line);
}

// Events of one packet behind its header; the top of each time is the packet's.
static void read_packet(const uint8_t *b, int32_t number, int64_t top, lt_event_stream *out)
{
    for (int32_t i = 0; i < number; i++, b += EVENT) {
        const uint32_t data = lti_le32(b);
        if (!(data & 1)) {
            out->n_dropped++;
            continue;
        }
        out->event[out->n++] = (lt_dvs_event){.t_us = top | (int64_t)(lti_le32(b + 4) & 0x7fffffff),
                                              .x = (uint16_t)(data >> 17),
                                              .y = (uint16_t)(data >> 2 & 0x7fff),
                                              .p = (uint8_t)(data >> 1 & 1)};
    }
}

// y from above; the sensor's height is unknown, so the largest y of the recording stands for it.
static void turn_upside_down(lt_event_stream *s)
{
    uint16_t top = 0;
    for (int64_t i = 0; i < s->n; i++)
        top = s->event[i].y > top ? s->event[i].y : top;
    for (int64_t i = 0; i < s->n; i++)
        s->event[i].y = (uint16_t)(top - s->event[i].y);
}

lt_status lti_events_aedat3(const lti_event_source *src, lt_event_stream *out)
{
    size_t at;
    bool from_below;
    int64_t cap = 0;
    LT_TRY(skip_header(src, &at, &from_below));
    while (at < src->n) {
        const uint8_t *h = src->bytes + at;
        if (src->n - at < PACKET)
            return LT_FAIL(LT_E_FORMAT, "%s: byte %zu: %zu bytes are left, expected a packet header of %d", src->label,
                           at, src->n - at, PACKET);
        const int type = h[0] | h[1] << 8;
        const int32_t size = le_i32(h + 4), overflow = le_i32(h + 12), capacity = le_i32(h + 16),
                      number = le_i32(h + 20);
        if (size < 1 || overflow < 0 || number < 0 || capacity < number ||
            (size_t)number > (src->n - at - PACKET) / (size_t)size)
            return LT_FAIL(
                LT_E_FORMAT,
                "%s: byte %zu: a packet of %d events (capacity %d) of %d bytes does not fit into the %zu left",
                src->label, at, (int)number, (int)capacity, (int)size, src->n - at - PACKET);
        if (type == POLARITY && size != EVENT)
            return LT_FAIL(LT_E_FORMAT, "%s: byte %zu: polarity events of %d bytes, expected %d", src->label, at,
                           (int)size, EVENT);
        if (type == POLARITY) {
            LT_TRY(lti_events_reserve(out, number, &cap));
            read_packet(h + PACKET, number, (int64_t)overflow << 31, out);
        } else {
            out->n_dropped += number;
        }
        at += PACKET + (size_t)number * (size_t)size;
    }
    if (from_below)
        turn_upside_down(out);
    return LT_OK;
}
