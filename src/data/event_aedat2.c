// event_aedat2.c - AEDAT 2.0 (jAER): a text header, then 32-bit addresses and times, big-endian.
//
// Addresses of a DVS128 use the lower 16 bits: external event, y, x, polarity; its origin is lower left. Those of a
// DAVIS use all 32 and have bit 31 clear for polarity events; which one a file has says its header (`#
// HardwareInterface` or `# chip` naming a DAVIS), else the first event with a bit above 15. CIFAR10-DVS has axes of its
// own.
#include "event_impl.h"
#include <string.h>

enum { RECORD = 8, DVS128 = 128 };

// Header lines begin with '#' and end in a newline. *davis: a line names that chip.
static lt_status skip_header(const lti_event_source *src, size_t *at, bool *davis)
{
    *at = 0;
    *davis = false;
    while (*at < src->n && src->bytes[*at] == '#') {
        const uint8_t *line = src->bytes + *at, *end = memchr(line, '\n', src->n - *at);
        if (!end)
            return LT_FAIL(LT_E_FORMAT, "%s: byte %zu: expected the end of a header line, found the end of the file",
                           src->label, *at);
        for (const uint8_t *b = line; b + 5 <= end; b++)
            *davis = *davis || !memcmp(b, "DAVIS", 5) || !memcmp(b, "Davis", 5);
        *at = (size_t)(end - src->bytes) + 1;
    }
    return LT_OK;
}

static void put_davis(uint32_t a, int64_t t, lt_event_stream *out)
{
    if (a >> 31 || a & 1u << 10) {
        out->n_dropped++; // frames, inertial samples, external events
        return;
    }
    out->event[out->n++] = (lt_dvs_event){
        .t_us = t, .x = (uint16_t)(a >> 12 & 0x3ff), .y = (uint16_t)(a >> 22 & 0x1ff), .p = (uint8_t)(a >> 11 & 1)};
}

static void put_dvs128(uint32_t a, int64_t t, bool cifar, lt_event_stream *out)
{
    const uint16_t x = (uint16_t)(a >> 1 & 0x7f), y = (uint16_t)(a >> 8 & 0x7f);
    const uint8_t p = (uint8_t)(a & 1);
    if (a & 0x8000) {
        out->n_dropped++; // external event
        return;
    }
    lt_dvs_event e = {.t_us = t, .x = x, .y = (uint16_t)(DVS128 - 1 - y), .p = p};
    if (cifar)
        e = (lt_dvs_event){
            .t_us = t, .x = (uint16_t)(DVS128 - 1 - y), .y = (uint16_t)(DVS128 - 1 - x), .p = (uint8_t)!p};
    out->event[out->n++] = e;
}

static lt_status parse(const lti_event_source *src, bool cifar, lt_event_stream *out)
{
    size_t at;
    bool davis;
    int64_t cap = 0, wraps = 0;
    uint32_t before = 0;
    LT_TRY(skip_header(src, &at, &davis));
    if ((src->n - at) % RECORD != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: %zu bytes behind the header, expected a multiple of %d", src->label,
                       src->n - at, RECORD);
    LT_TRY(lti_events_reserve(out, (int64_t)((src->n - at) / RECORD), &cap));
    for (; at < src->n; at += RECORD) {
        const uint32_t a = lti_be32(src->bytes + at), t = lti_be32(src->bytes + at + 4);
        wraps += t < before && before - t > 1u << 31; // 71 minutes
        before = t;
        davis = davis || (!cifar && a >> 16);
        if (davis && !cifar)
            put_davis(a, (wraps << 32) + t, out);
        else
            put_dvs128(a, (wraps << 32) + t, cifar, out);
    }
    if (!davis || cifar)
        out->w = out->h = DVS128;
    return LT_OK;
}

lt_status lti_events_aedat2(const lti_event_source *src, lt_event_stream *out)
{
    return parse(src, false, out);
}

lt_status lti_events_aedat2_cifar(const lti_event_source *src, lt_event_stream *out)
{
    return parse(src, true, out);
}
