// tensorboard.h - event files that TensorBoard reads, besides metrics.jsonl and metrics.csv of a run.
#ifndef LTI_IO_TENSORBOARD_H
#define LTI_IO_TENSORBOARD_H
#include "base/base.h"

// An open file DIR/events.out.tfevents.TIME.HOST.PID; every run and every resumption has one of its own, as TensorBoard
// expects. remove_earlier: those of an earlier try in the same directory are removed. LT_E_IO, LT_E_NOSPACE.
typedef struct lti_tensorboard lti_tensorboard;
lt_status lti_tensorboard_open(const char *dir, bool remove_earlier, lti_tensorboard **out);
// A scalar "event/field" at the event's step, else its epoch, for every METRIC. The first write error is kept.
lt_sink lti_tensorboard_sink(lti_tensorboard *t);
lt_status lti_tensorboard_close(lti_tensorboard *t); // what failed since; NULL is fine
bool lti_is_tensorboard_name(const char *file_name);
#endif
