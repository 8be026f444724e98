// output_file.h - files that a user names for results: what is not a file of that kind is not overwritten.
#ifndef LT_OUTPUT_FILE_H
#define LT_OUTPUT_FILE_H
#include "lethe/common.h"
#include "lethe/status.h"
LT_BEGIN

typedef enum lt_output_kind { // by its first bytes
    LT_OUTPUT_PAGE,           // a report of lethe
    LT_OUTPUT_CSV,
    LT_OUTPUT_MARKDOWN,
    LT_OUTPUT_NPZ,
    LT_OUTPUT_C, // exports of an integer network
    LT_OUTPUT_ONNX,
    LT_OUTPUT_PACKED,
    LT_OUTPUT_PNG,
    LT_OUTPUT_NEW // no file may exist, whatever it is
} lt_output_kind;
// Asked before long work whose result goes to `path`. LT_E_USAGE, naming --option, when it is a regular file with
// content of another kind, unless `force`; LT_E_FAIL when its directory is missing or cannot be written. NULL and ""
// are fine, as are devices and pipes. Any thread.
LT_API lt_status lt_output_check(const char *option, const char *path, lt_output_kind kind, bool force);

LT_END_DECLS
#endif
