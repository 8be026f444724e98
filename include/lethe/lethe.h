// lethe.h - everything: include this, or the single headers.
#ifndef LT_LETHE_H
#define LT_LETHE_H
#include "lethe/attack.h"
#include "lethe/audit.h"
#include "lethe/common.h"
#include "lethe/data.h"
#include "lethe/event.h"
#include "lethe/graph.h"
#include "lethe/model.h"
#include "lethe/option.h"
#include "lethe/plan.h"
#include "lethe/population.h"
#include "lethe/report.h"
#include "lethe/rng.h"
#include "lethe/run.h"
#include "lethe/status.h"
#include "lethe/store.h"
#include "lethe/study.h"
#include "lethe/tensorfile.h"
#include "lethe/train.h"
#include "lethe/unlearn.h"
#endif
