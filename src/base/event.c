// event.c - the list of sinks behind an emitter.
//
// Emitting is serialised by a recursive mutex: loader threads may warn while the trainer reports, and a sink may emit.
#include "lethe/event.h"
#include "base/base.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

struct lt_events {
    pthread_mutex_t lock;
    lt_sink *sink;
    int n_sinks;
    double start_s;
};

lt_status lt_events_create(lt_events **events)
{
    *events = NULL;
    lt_events *e = lti_calloc(1, sizeof *e);
    if (!e)
        return LTI_NOMEM("event list");
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&e->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    e->start_s = lti_now_s();
    *events = e;
    return LT_OK;
}

void lt_events_destroy(lt_events *events)
{
    if (!events)
        return;
    pthread_mutex_destroy(&events->lock);
    lti_free(events->sink);
    lti_free(events);
}

lt_status lt_events_add(lt_events *events, lt_sink sink)
{
    if (!events)
        return LT_OK;
    pthread_mutex_lock(&events->lock);
    lt_sink *grown = lti_realloc(events->sink, ((size_t)events->n_sinks + 1) * sizeof *grown);
    if (grown) {
        grown[events->n_sinks++] = sink;
        events->sink = grown;
    }
    pthread_mutex_unlock(&events->lock);
    return grown ? LT_OK : LTI_NOMEM("event sink");
}

void lt_events_remove(lt_events *events, void *self)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    int n = 0;
    for (int i = 0; i < events->n_sinks; i++)
        if (events->sink[i].self != self)
            events->sink[n++] = events->sink[i];
    events->n_sinks = n;
    pthread_mutex_unlock(&events->lock);
}

void lt_emit(lt_events *events, const lt_event *event)
{
    if (!events)
        return;
    lt_event e = *event;
    pthread_mutex_lock(&events->lock);
    e.wall_s = lti_now_s() - events->start_s;
    for (int i = 0; i < events->n_sinks; i++)
        events->sink[i].emit(events->sink[i].self, &e);
    pthread_mutex_unlock(&events->lock);
}

static void emit_text(lt_events *events, lt_event_kind kind, const char *name, const char *fmt, va_list args)
{
    char text[LT_ERROR_MESSAGE_MAX];
    lti_vformat(text, sizeof text, fmt, args);
    lt_emit(events, &(lt_event){.kind = kind, .name = name, .text = text, .epoch = -1, .step = -1});
}

void lt_info(lt_events *events, const char *name, const char *fmt, ...)
{
    if (!events)
        return;
    va_list args;
    va_start(args, fmt);
    emit_text(events, LT_EV_INFO, name, fmt, args);
    va_end(args);
}

void lt_note(lt_events *events, const char *name, const char *fmt, ...)
{
    if (!events)
        return;
    va_list args;
    va_start(args, fmt);
    emit_text(events, LT_EV_NOTE, name, fmt, args);
    va_end(args);
}

void lt_warn(lt_events *events, const char *name, const char *fmt, ...)
{
    if (!events)
        return;
    va_list args;
    va_start(args, fmt);
    emit_text(events, LT_EV_WARNING, name, fmt, args);
    va_end(args);
}
