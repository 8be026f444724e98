// set_safetensors.c - data sets in one safetensors file (arrays.c). The file is mapped: images in NCHW stay where they
// are until they are needed, so that the set may be larger than memory. `lethe data export --format safetensors` writes
// it.
#include "data_impl.h"

lt_status lti_open_safetensors(const lti_open_args *args, lti_raw *raw)
{
    LT_TRY(lt_safetensors_map(args->path, &raw->file)); // closed with raw
    return lti_arrays_take(raw->file, args->path, args, raw);
}
