// event_impl.h - what readers of event files share.
#ifndef LTI_EVENT_IMPL_H
#define LTI_EVENT_IMPL_H
#include "base/base.h"
#include "lethe/event_stream.h"

typedef struct lti_event_source {
    const uint8_t *bytes;
    size_t n;
    const char *label; // in errors
} lti_event_source;
typedef lt_status lti_event_fn(const lti_event_source *src, lt_event_stream *out);
#define LT_EVENT_READER(id, name, title, signature) lti_event_fn lti_events_##id;
#include "event_readers.list"
#undef LT_EVENT_READER

enum { LTI_EVENT_SIDE_MAX = 32768 };
#define LTI_MAX_EVENT_BYTES ((size_t)1 << 31)
// Room for n more events, at once.
lt_status lti_events_reserve(lt_event_stream *s, int64_t n, int64_t *cap);
uint32_t lti_be32(const uint8_t *b);
uint32_t lti_le32(const uint8_t *b);
#endif
