// peak.h - the float32 multiply-add rate that this machine reaches, as a ceiling to compare kernels with.
#ifndef LT_PEAK_H
#define LT_PEAK_H
#include "lethe/status.h"
LT_BEGIN

// Best of three runs of independent chains of fused multiply-adds in registers, the widest vectors the processor has,
// on n_threads threads, `seconds` in all. *gflops: 10^9 operations a second, two for each multiply-add. LT_E_USAGE,
// LT_E_NOMEM, LT_E_FAIL (no thread could be started). Takes all cores: not while other work runs.
LT_API lt_status lt_measure_fma_peak(int n_threads, double seconds, double *gflops);

LT_END_DECLS
#endif
