// event_stream.c - recordings: the registry of formats, detection, order of time.
#include "event_impl.h"
#include <stdlib.h>
#include <string.h>

static const lt_event_format formats[] = {
#define LT_EVENT_READER(id, name_, title_, signature_) {name_, title_},
#include "event_readers.list"
#undef LT_EVENT_READER
};
static const struct {
    lti_event_fn *parse;
    const char *signature;
} readers[] = {
#define LT_EVENT_READER(id, name_, title_, signature_) {lti_events_##id, signature_},
#include "event_readers.list"
#undef LT_EVENT_READER
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

const lt_event_format *lt_event_formats(int *n)
{
    *n = N_FORMATS;
    return formats;
}

uint32_t lti_be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint32_t lti_le32(const uint8_t *b)
{
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

lt_status lti_events_reserve(lt_event_stream *s, int64_t n, int64_t *cap)
{
    if (n <= *cap - s->n)
        return LT_OK;
    int64_t want = *cap ? 2 * *cap : 1024;
    while (want - s->n < n)
        want *= 2;
    size_t bytes;
    if (lti_mul_size((size_t)want, sizeof *s->event, &bytes))
        return LTI_NOMEM("events");
    lt_dvs_event *more = lti_realloc(s->event, bytes);
    if (!more)
        return LTI_NOMEM("events");
    s->event = more;
    *cap = want;
    return LT_OK;
}

void lt_event_stream_clear(lt_event_stream *s)
{
    if (!s)
        return;
    lti_free(s->event);
    *s = (lt_event_stream){0};
}

static lt_status find_format(const char *name, const uint8_t *bytes, size_t n, int *format)
{
    const char *names[N_FORMATS + 2] = {"auto"};
    const bool automatic = !strcmp(name, "auto");
    for (int i = 0; i < N_FORMATS; i++) {
        const char *sign = readers[i].signature;
        names[i + 1] = formats[i].name;
        if (automatic ? sign && n >= strlen(sign) && !memcmp(bytes, sign, strlen(sign)) : !strcmp(name, names[i + 1])) {
            *format = i;
            return LT_OK;
        }
    }
    *format = N_FORMATS - 1;
    if (automatic)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "no format of event files is called '%s'", name);
    return lti_name_hint(name, names);
}

static bool is_sorted(const lt_event_stream *s)
{
    for (int64_t i = 1; i < s->n; i++)
        if (s->event[i].t_us < s->event[i - 1].t_us)
            return false;
    return true;
}

// Merge sort: equal times keep the order of the file.
static lt_status sort_by_time(lt_event_stream *s)
{
    if (is_sorted(s))
        return LT_OK;
    lt_dvs_event *from = s->event, *to = lti_malloc((size_t)s->n * sizeof *to);
    if (!to)
        return LTI_NOMEM("events");
    for (int64_t width = 1; width < s->n; width *= 2) {
        for (int64_t lo = 0; lo < s->n; lo += 2 * width) {
            const int64_t mid = lo + width < s->n ? lo + width : s->n, hi = mid + width < s->n ? mid + width : s->n;
            int64_t a = lo, b = mid;
            for (int64_t i = lo; i < hi; i++)
                to[i] = b >= hi || (a < mid && from[a].t_us <= from[b].t_us) ? from[a++] : from[b++];
        }
        lt_dvs_event *swap = from;
        from = to;
        to = swap;
    }
    s->event = from;
    lti_free(to);
    return LT_OK;
}

lt_status lt_event_stream_parse(const void *bytes, size_t n, const char *label, const char *format,
                                lt_event_stream *stream)
{
    int which = 0;
    *stream = (lt_event_stream){0};
    LT_TRY(find_format(format, bytes, n, &which));
    lt_status status = readers[which].parse(&(lti_event_source){bytes, n, label}, stream);
    if (status == LT_OK)
        status = sort_by_time(stream);
    if (status != LT_OK)
        lt_event_stream_clear(stream);
    return status;
}

lt_status lt_event_stream_open(const char *path, const char *format, lt_event_stream *stream)
{
    char *bytes;
    size_t n;
    *stream = (lt_event_stream){0};
    LT_TRY(lt_read_file(path, LTI_MAX_EVENT_BYTES, &bytes, &n));
    lt_status status = lt_event_stream_parse(bytes, n, path, format, stream);
    lti_free(bytes);
    return status;
}
