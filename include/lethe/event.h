// event.h - what a running job says. The library never prints: it emits events to sinks.
//
// The same event feeds the progress line, metrics.jsonl, the ledger, the report and tests. Sinks are called on the
// thread that emits, in the order they were added; they must not keep pointers from the event.
// Any thread may emit, add and remove: calls on one emitter are serialised. Destroy it when no thread uses it any more.
#ifndef LT_EVENT_H
#define LT_EVENT_H
#include "lethe/status.h"
LT_BEGIN

typedef enum lt_event_kind {
    LT_EV_INFO,
    LT_EV_NOTE, // information that a terminal shows unasked: one line before long work
    LT_EV_WARNING,
    LT_EV_PROGRESS,
    LT_EV_METRIC,
    LT_EV_BEGIN,
    LT_EV_END
} lt_event_kind;

typedef struct lt_field {
    const char *key;
    double value;
} lt_field;

typedef struct lt_event {
    lt_event_kind kind;
    const char *name;       // stable: "train.epoch", "attack.round", "data.open", ...
    const char *text;       // INFO, WARNING: one line; else NULL
    int64_t done, total;    // PROGRESS: units of `unit`; total 0 = unknown
    const char *unit;       // "images", "samples", ...
    int64_t epoch, step;    // -1 when they do not apply
    double wall_s;          // since the emitter was created (filled by lt_emit)
    const lt_field *fields; // METRIC, PROGRESS: n_fields named numbers
    int n_fields;
} lt_event;

typedef struct lt_sink {
    void (*emit)(void *self, const lt_event *event);
    void *self;
} lt_sink;

typedef struct lt_events lt_events; // a list of sinks; NULL is a valid emitter that drops everything

LT_API lt_status lt_events_create(lt_events **events); // no sinks yet; LT_E_NOMEM
LT_API void lt_events_destroy(lt_events *events);
LT_API lt_status lt_events_add(lt_events *events, lt_sink sink);
LT_API void lt_events_remove(lt_events *events, void *self); // every sink with this self
LT_API void lt_emit(lt_events *events, const lt_event *event);
LT_API void lt_info(lt_events *events, const char *name, const char *fmt, ...) LT_PRINTF(3, 4);
LT_API void lt_note(lt_events *events, const char *name, const char *fmt, ...) LT_PRINTF(3, 4);
LT_API void lt_warn(lt_events *events, const char *name, const char *fmt, ...) LT_PRINTF(3, 4);

// Cooperative interruption: a signal handler, or any thread, calls lt_interrupt; long loops ask lt_interrupted and
// return LT_E_INTERRUPTED after checkpointing. NULL = never.
typedef volatile int lt_interrupt_flag; // sig_atomic_t-sized
static inline void lt_interrupt(lt_interrupt_flag *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}
static inline bool lt_interrupted(const lt_interrupt_flag *flag)
{
    return flag && __atomic_load_n(flag, __ATOMIC_RELAXED);
}

LT_END_DECLS
#endif
