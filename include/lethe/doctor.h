// doctor.h - what this machine and this build can do: what `lethe doctor` prints.
//
// Opens every backend and device once and starts `mpirun --version`, `sbatch --version` and python3, so it takes about
// a second. One thread of a process at a time.
#ifndef LT_DOCTOR_H
#define LT_DOCTOR_H
#include "lethe/dirs.h"
#include "lethe/machine.h"
LT_BEGIN

typedef struct lt_doctor_backend {
    const char *name;
    bool works;
    const char *version; // or, when it does not work, why
} lt_doctor_backend;
typedef struct lt_doctor_library { // that this build uses
    const char *name, *version;
} lt_doctor_library;
typedef struct lt_doctor_part { // optional
    const char *name;
    bool present;
    const char *note; // what it is for, or how it is had
} lt_doctor_part;
enum { LT_DOCTOR_MAX_BACKENDS = 16, LT_DOCTOR_MAX_LIBRARIES = 24, LT_DOCTOR_MAX_PARTS = 8 };
typedef struct lt_doctor { // texts are owned by `own`
    lt_machine machine;
    int n_backends, n_libraries, n_parts, n_data;
    lt_doctor_backend backend[LT_DOCTOR_MAX_BACKENDS]; // compute backends, then devices
    lt_doctor_library library[LT_DOCTOR_MAX_LIBRARIES];
    lt_doctor_part part[LT_DOCTOR_MAX_PARTS];
    char data_dir[LT_DIR_MAX], cache_dir[LT_DIR_MAX];
    bool has_data_dir, is_cache_writable; // the cache directory is made to find out
    const char **data;                    // (n_data) names in data_dir
    void *own;
} lt_doctor;
// LT_E_NOMEM; LT_E_USAGE for paths that are too long. Clear it in either case.
LT_API lt_status lt_doctor_examine(lt_doctor *d);
LT_API void lt_doctor_clear(lt_doctor *d);
// {"lethe","machine","backends","libraries","optional","data","cache"}; malloc'ed, NULL = out of memory.
LT_API char *lt_doctor_json(const lt_doctor *d);

LT_END_DECLS
#endif
