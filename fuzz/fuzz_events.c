// fuzz_events.c - arbitrary bytes as a recording of each format: the first byte chooses; frames of what was read.
#include "lethe/event_stream.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    int n_formats;
    const lt_event_format *format = lt_event_formats(&n_formats);
    lt_event_stream s;
    if (n < 1)
        return 0;
    const char *name = bytes[0] % (n_formats + 1) == n_formats ? "auto" : format[bytes[0] % (n_formats + 1)].name;
    if (lt_event_stream_parse(bytes + 1, n - 1, "fuzz", name, &s) != LT_OK)
        return 0;
    for (int64_t i = 1; i < s.n; i++)
        if (s.event[i].t_us < s.event[i - 1].t_us)
            abort();
    for (int rule = LT_FRAMES_TIME; rule <= LT_FRAMES_WINDOW; rule++) {
        static uint16_t frames[3 * 2 * 64 * 64];
        const lt_frame_spec spec = {.steps = 3, .rule = (lt_frame_rule)rule, .window_us = 100, .w = 64, .h = 64};
        int64_t lost;
        if (lt_event_frames(&s, &spec, frames, &lost) == LT_OK && (lost < 0 || lost > s.n))
            abort();
    }
    lt_event_stream_clear(&s);
    return 0;
}
