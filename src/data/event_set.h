// event_set.h - what the sets of event recordings share.
#ifndef LTI_EVENT_SET_H
#define LTI_EVENT_SET_H
#include "data_impl.h"
#include "lethe/event_stream.h"

typedef struct lti_event_kind {
    const char *format; // of lt_event_stream_open
    int w, h;           // canvas
    int size;           // side of the frames, 0 = the canvas as it is
    bool flip;          // augmentation may mirror
} lti_event_kind;

typedef struct lti_event_set { // while it is read
    const lti_open_args *args;
    const lti_event_kind *kind;
    lti_raw *raw;
    lt_frame_spec frames;
    bool crop;
    uint16_t *counts; // of one recording
    float *plane;     // of its canvas and of the set's size
    size_t n_counts;
    int64_t n_events, n_lost, n_clipped, n_markers;
    int64_t n_pixels[256]; // by the count that a pixel of a frame holds
} lti_event_set;
// Reads the keys and sets c, h, w, steps and flip of raw.
lt_status lti_event_set_init(lti_event_set *e, const lti_open_args *args, const lti_event_kind *kind, lti_raw *raw);
void lti_event_set_clear(lti_event_set *e);
lt_status lti_event_set_add(lti_event_set *e, lt_split s, int32_t y, const char *name, lt_event_stream *stream);
void lti_event_set_report(const lti_event_set *e);

// Recordings in class folders, each in its split (event_split.c).
typedef struct lti_event_item {
    const char *path, *name; // name: CLASS/FILE
    int32_t y;
    lt_split split;
} lti_event_item;
typedef struct lti_event_list {
    int64_t n, cap;
    lti_event_item *item; // by class, then by name
    char digest[65];      // of the split: BLAKE2b over the lines "train NAME" and "test NAME"
} lti_event_list;
// Sets the classes of raw: the folders, sorted bytewise.
lt_status lti_event_list_open(const lti_open_args *args, lti_raw *raw, lti_event_list *list);
void lti_event_list_clear(lti_event_list *list);
// A split file: "# digest HEX" and lines "train NAME" or "test NAME". Every listed recording must exist and every
// one that is there must be listed; the digest must be that of the lines.
lt_status lti_event_split_parse(const char *text, size_t n, const char *label, lti_event_list *list);
#endif
