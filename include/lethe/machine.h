// machine.h - facts about the machine: processor, cores that this process may use, memory, and the peak of its own.
//
// Read with every call from the operating system; where it does not say, numbers are 0 and texts "unknown" or
// empty. All functions may be called from any thread.
#ifndef LT_MACHINE_H
#define LT_MACHINE_H
#include "lethe/common.h"
LT_BEGIN

typedef struct lt_machine {
    char cpu[128]; // model name of the processor
    char isa[128]; // instruction sets that kernels here make use of, separated by blanks
    int n_cores;   // online
    int n_usable;  // that this process may use: CPU affinity and the quota of its control group; at least 1
    int64_t memory_bytes, available_bytes;
} lt_machine;

LT_API void lt_machine_read(lt_machine *machine); // what the system does not say is 0 or ""
LT_API int lt_usable_cores(void);                 // n_usable alone

// The largest resident memory of this process since it began, or since the last reset where the system allows one.
LT_API int64_t lt_peak_rss_bytes(void);
LT_API void lt_peak_rss_reset(void);

LT_END_DECLS
#endif
