// stream.c - server-sent events: the queue as it changes, and of one run its metrics, progress and state.
//
//     event: queue     the queue, whole
//     event: metric    one line of metrics.jsonl; all of them, from the first
//     event: progress  progress.json, when it has changed
//     event: state     "running", "stopped", "done"
#include "serve_impl.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Streams last: they must leave connections for everything else.
enum { MAX_STREAMS = 100 };
enum { CHUNK_BYTES = 1 << 16, PROGRESS_BYTES = 4096, STATE_BYTES = 16 };
static const double keep_alive_s = 15;

struct lti_stream {
    lti_serve *serve;
    char dir[LTI_FILE_MAX]; // "" = of the queue alone
    char *text;             // events that are not read yet
    size_t n, at;
    long offset; // in metrics.jsonl, behind the last whole line that was sent
    uint64_t queue_version;
    bool has_queue;
    char state[STATE_BYTES], progress[PROGRESS_BYTES];
    double last_s;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

lt_status lti_stream_open(lti_serve *s, const char *dir_or_null, lti_stream **stream)
{
    if (__atomic_add_fetch(&s->n_streams, 1, __ATOMIC_RELAXED) > MAX_STREAMS) {
        __atomic_sub_fetch(&s->n_streams, 1, __ATOMIC_RELAXED);
        return LT_FAIL(LT_E_BUSY, "%d pages follow this server already", (int)MAX_STREAMS);
    }
    lti_stream *made = calloc(1, sizeof *made);
    if (!made) {
        __atomic_sub_fetch(&s->n_streams, 1, __ATOMIC_RELAXED);
        return LT_FAIL(LT_E_NOMEM, "out of memory: stream");
    }
    made->serve = s;
    snprintf(made->dir, sizeof made->dir, "%s", dir_or_null ? dir_or_null : "");
    made->last_s = now_s();
    *stream = made;
    return LT_OK;
}

void lti_stream_close(lti_stream *stream)
{
    if (!stream)
        return;
    __atomic_sub_fetch(&stream->serve->n_streams, 1, __ATOMIC_RELAXED);
    free(stream->text);
    free(stream);
}

// A line end inside would begin a new field; what comes from files is of one line, whatever it holds.
static void put_event(FILE *out, const char *name, const char *data, size_t n)
{
    fprintf(out, "event: %s\ndata: ", name);
    for (size_t i = 0; i < n; i++)
        putc(data[i] == '\n' || data[i] == '\r' ? ' ' : data[i], out);
    fputs("\n\n", out);
}

static void put_queue(lti_stream *stream, FILE *out)
{
    lti_queue *queue = &stream->serve->queue;
    const uint64_t version = lti_queue_version(queue);
    if (stream->has_queue && version == stream->queue_version)
        return;
    json_t *value = lti_queue_json(queue);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(value);
    if (!text)
        return;
    put_event(out, "queue", text, strlen(text));
    free(text);
    stream->has_queue = true;
    stream->queue_version = version;
}

static FILE *open_file(const lti_stream *stream, const char *name)
{
    char path[LTI_FILE_MAX];
    return snprintf(path, sizeof path, "%s/%s", stream->dir, name) < (int)sizeof path ? fopen(path, "re") : NULL;
}

// Whole lines that came since the last look, at most CHUNK_BYTES of them.
static void put_metrics(lti_stream *stream, FILE *out)
{
    FILE *f = open_file(stream, "metrics.jsonl");
    char *bytes = f ? malloc(CHUNK_BYTES) : NULL;
    if (bytes && fseek(f, 0, SEEK_END) == 0 && ftell(f) < stream->offset)
        stream->offset = 0; // the run was restarted
    if (bytes && fseek(f, stream->offset, SEEK_SET) == 0) {
        const size_t n = fread(bytes, 1, CHUNK_BYTES, f);
        size_t from = 0;
        for (size_t i = 0; i < n; i++)
            if (bytes[i] == '\n') {
                if (i > from)
                    put_event(out, "metric", bytes + from, i - from);
                from = i + 1;
            }
        if (from == 0 && n == CHUNK_BYTES)
            from = n; // no line of a run is that long
        stream->offset += (long)from;
    }
    free(bytes);
    if (f)
        fclose(f);
}

static void put_progress(lti_stream *stream, FILE *out)
{
    char bytes[PROGRESS_BYTES] = "";
    FILE *f = open_file(stream, "progress.json");
    const size_t n = f ? fread(bytes, 1, sizeof bytes - 1, f) : 0;
    if (f)
        fclose(f);
    if (n > 0 && strcmp(bytes, stream->progress) != 0) {
        put_event(out, "progress", bytes, n);
        memcpy(stream->progress, bytes, sizeof bytes);
    }
}

static void put_state(lti_stream *stream, FILE *out)
{
    const char *state = lti_run_state_text(stream->dir);
    if (!strcmp(state, stream->state))
        return;
    snprintf(stream->state, sizeof stream->state, "%s", state);
    json_t *text = json_string(state);
    char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    json_decref(text);
    if (quoted)
        put_event(out, "state", quoted, strlen(quoted));
    free(quoted);
}

// The state is read first and sent last: a run that is done has written all of its metrics.
static void look(lti_stream *stream)
{
    size_t n = 0;
    free(stream->text);
    stream->text = NULL;
    stream->n = stream->at = 0;
    FILE *out = open_memstream(&stream->text, &n);
    if (!out)
        return;
    put_queue(stream, out);
    if (stream->dir[0]) {
        put_metrics(stream, out);
        put_progress(stream, out);
        put_state(stream, out);
    }
    const double now = now_s();
    if (ftell(out) == 0 && now - stream->last_s >= keep_alive_s)
        fputs(": still here\n\n", out);
    if (fclose(out) != 0)
        n = 0;
    if (n > 0)
        stream->last_s = now;
    stream->n = n;
}

size_t lti_stream_read(lti_stream *stream, char *out, size_t max)
{
    if (stream->at == stream->n)
        look(stream);
    const size_t left = stream->n - stream->at, n = left < max ? left : max;
    if (n)
        memcpy(out, stream->text + stream->at, n);
    stream->at += n;
    return n;
}

lt_status lti_get_stream(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    const char *place = lti_target_get(t, "dir");
    char dir[LTI_FILE_MAX] = "";
    (void)body;
    if (place) {
        LT_TRY(lti_place_find(s, place, dir));
        if (lt_run_state_of(dir) == LT_RUN_NONE)
            return LT_FAIL(LT_E_INPUT, "'%.80s' is no run", place);
    }
    LT_TRY(lti_stream_open(s, dir, &r->stream));
    r->code = 200;
    r->type = "text/event-stream";
    return LT_OK;
}
