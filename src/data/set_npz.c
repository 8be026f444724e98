// set_npz.c - data sets in one NumPy .npz file (arrays.c).
#include "data_impl.h"

lt_status lti_npz_set_parse(const void *bytes, size_t n, const char *label, const lti_open_args *args, lti_raw *raw)
{
    lt_tensor_file *file;
    LT_TRY(lt_npz_parse(bytes, n, label, &file));
    lt_status status = lti_arrays_take(file, label, args, raw);
    lt_tensor_file_close(file);
    return status;
}

lt_status lti_open_npz(const lti_open_args *args, lti_raw *raw)
{
    lt_tensor_file *file;
    LT_TRY(lt_tensor_file_open(args->path, &file));
    lt_status status = lti_arrays_take(file, args->path, args, raw);
    lt_tensor_file_close(file);
    return status;
}
