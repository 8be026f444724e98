// event_stream.h - recordings of event cameras: files, frames, and a simulated sensor.
//
// An event says that the brightness of a pixel changed: place, polarity and time. Files hold thousands of them a
// sample; networks read frames, counts of events by polarity in successive pieces of a recording. Functions are
// thread-safe on different objects.
#ifndef LT_EVENT_STREAM_H
#define LT_EVENT_STREAM_H
#include "lethe/event.h"
LT_BEGIN

typedef struct lt_dvs_event {
    int64_t t_us;
    uint16_t x, y; // origin upper left, y downwards
    uint8_t p;     // 1 = on (brighter), 0 = off
} lt_dvs_event;

typedef struct lt_event_stream {
    int64_t n;
    lt_dvs_event *event; // (n), sorted by time (stably); owned
    int w, h;            // of the sensor; 0 = the file does not say
    int64_t n_dropped;   // records of the file that are no polarity events, or are marked as invalid
    int64_t n_markers;   // overflow markers of the 40-bit format
} lt_event_stream;

// Formats: "aedat2" (DVS128), "aedat2-cifar10-dvs" (the same with the axes of that set), "aedat3", "aedat4", "bin" (40
// bits an event: N-MNIST, N-Caltech101); "auto" goes by the file's first bytes, and takes "bin" when there is no
// signature. Fails with LT_E_IO, or LT_E_FORMAT naming file, offset, what was expected and found.
LT_API lt_status lt_event_stream_open(const char *path, const char *format, lt_event_stream *stream);
// The same of bytes in memory; `label` names them in errors.
LT_API lt_status lt_event_stream_parse(const void *bytes, size_t n, const char *label, const char *format,
                                       lt_event_stream *stream);
LT_API void lt_event_stream_clear(lt_event_stream *stream);
typedef struct lt_event_format {
    const char *name, *title;
} lt_event_format;
LT_API const lt_event_format *lt_event_formats(int *n);

typedef enum lt_frame_rule { // how a recording of N events from t0 to t1 becomes T frames
    LT_FRAMES_TIME,     // D = floor((t1 - t0) / T); frame j: [t0 + j D, t0 + (j+1) D); what is later is dropped (tonic)
    LT_FRAMES_TIME_ALL, // the last frame reaches to the end (SpikingJelly); an empty frame is an error
    LT_FRAMES_COUNT,    // floor(N / T) events a frame; the rest is dropped (tonic)
    LT_FRAMES_COUNT_ALL, // the last frame takes the rest (SpikingJelly)
    LT_FRAMES_WINDOW,    // floor((t1 - t0 - w) / w) + 1 full windows of w microseconds (tonic); frames beyond T are
                         // dropped, missing ones empty
} lt_frame_rule;
typedef struct lt_frame_spec {
    int32_t steps; // T
    lt_frame_rule rule;
    int64_t window_us; // of LT_FRAMES_WINDOW
    int w, h;          // canvas: events outside of it fail
} lt_frame_spec;
// frames: (T, 2, h, w) counts, caller-owned, overwritten; [.][0] off, [.][1] on. *n_lost: events in no frame, may be
// NULL. LT_E_FORMAT when a recording has no events, or has one outside of the canvas.
LT_API lt_status lt_event_frames(const lt_event_stream *stream, const lt_frame_spec *spec, uint16_t *frames,
                                 int64_t *n_lost);

// The sum over frames of counts, bilinearly resized with half-pixel centres and without antialiasing: (h,w) -> (H,W).
LT_API void lt_resize_plane(const float *in, int h, int w, float *out, int H, int W);

// ---- a simulated sensor in front of a moving glyph: a pixel emits an event whenever its log brightness has changed by
// the contrast threshold since its last one (Gallego et al., 2022, equation 1)
typedef struct lt_glyph_spec {
    uint64_t seed;
    int64_t index; // of the sample: everything else follows from both
    int32_t label; // 0..9
    int side;      // pixels
    int64_t duration_us;
    double threshold, noise_hz; // contrast; background events a pixel and second
} lt_glyph_spec;
LT_API lt_status lt_glyph_events(const lt_glyph_spec *spec, lt_event_stream *stream);

LT_END_DECLS
#endif
