// event_bin.c - 40 bits an event, the form of N-MNIST and N-Caltech101 (Orchard et al., 2015).
//
// No header. Bytes: x, y, polarity (1 bit) and time (23 bits, microseconds), most significant first. y = 240 marks an
// overflow of the time: 2^13 us are added to all later events and the marker is no event (tonic's rule; the authors'
// reader asks for x = 305 too, which eight bits cannot hold).
#include "event_impl.h"

enum { RECORD = 5, MARKER_Y = 240, MARKER_US = 1 << 13 };

lt_status lti_events_bin(const lti_event_source *src, lt_event_stream *out)
{
    int64_t cap = 0, later = 0;
    if (src->n % RECORD != 0) {
        LT_FAIL(LT_E_FORMAT, "%s: %zu bytes, expected a multiple of %d (40 bits an event)", src->label, src->n, RECORD);
        return lt_error_hint("the file may be cut off, or be of another format");
    }
    LT_TRY(lti_events_reserve(out, (int64_t)(src->n / RECORD), &cap));
    for (const uint8_t *b = src->bytes, *end = b + src->n; b < end; b += RECORD) {
        if (b[1] == MARKER_Y) {
            later += MARKER_US;
            out->n_markers++;
            continue;
        }
        const int64_t t = (int64_t)(b[2] & 0x7f) << 16 | (int64_t)b[3] << 8 | b[4];
        out->event[out->n++] = (lt_dvs_event){.t_us = t + later, .x = b[0], .y = b[1], .p = b[2] >> 7};
    }
    return LT_OK;
}
