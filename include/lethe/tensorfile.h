// tensorfile.h - named tensors in files: safetensors, NumPy .npz, PyTorch checkpoints and ONNX models (all read and
// written; ONNX is written by lt_model_export_onnx).
//
// Readers trust nothing: headers are bounded, offsets checked for range and overlap, shapes for overflow. PyTorch's
// pickles go through a restricted reader that executes nothing. Writers are atomic (temporary file, fsync, rename).
//
// Threads: an open file may be read by any number of threads; a writer belongs to one. Concurrent writers of one path
// leave the complete file of one of them.
#ifndef LT_TENSORFILE_H
#define LT_TENSORFILE_H
#include "lethe/graph.h"
LT_BEGIN

enum { LT_FILE_MAX_DIMS = 8 };
typedef struct lt_tensor { // a view; memory belongs to the caller that made it
    const char *name;
    lt_dtype dtype;
    int n_dims;
    int64_t dim[LT_FILE_MAX_DIMS];
    void *data; // row-major, native endian
    size_t n_bytes;
} lt_tensor;
typedef struct lt_meta {
    const char *key, *value;
} lt_meta;

typedef struct lt_tensor_file lt_tensor_file; // owns its tensors
// Detects safetensors, npz, PyTorch's two forms and ONNX by content. F64 tensors are kept as stored, F16 and BF16
// widened to F32. Of a PyTorch checkpoint the tensors of one state_dict are returned: of the root, or of its entry
// "state_dict", "net", "model" or the like, whose name is the metadata "torch.state_dict"; plain values next to it
// ("epoch") become metadata "torch.epoch". Of an ONNX model its initializers are returned, but for scalars and 64-bit
// integers, which are constants of nodes, with metadata_props as metadata; numbers in other files are refused
// (LT_E_UNSUPPORTED).
LT_API lt_status lt_tensor_file_open(const char *path, lt_tensor_file **file);
// A safetensors file that is mapped instead of read: tensors that need no conversion lie in the file, which may be
// larger than memory and must not change while it is open. They may be read only.
LT_API lt_status lt_safetensors_map(const char *path, lt_tensor_file **file);
LT_API lt_status lt_safetensors_parse(const void *bytes, size_t n, const char *label,
                                      lt_tensor_file **file); // for fuzzing
// An npz archive or a PyTorch zip archive.
LT_API lt_status lt_npz_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file);
LT_API lt_status lt_torch_stream_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file);
LT_API lt_status lt_onnx_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file);
LT_API void lt_tensor_file_close(lt_tensor_file *file);
LT_API int lt_tensor_file_count(const lt_tensor_file *file);
LT_API const lt_tensor *lt_tensor_file_at(const lt_tensor_file *file, int i);
// The element type that tensor i has in the file, by its safetensors name: "F16" and "BF16" arrive as LT_F32. Static.
LT_API const char *lt_tensor_file_stored_type(const lt_tensor_file *file, int i);
LT_API const lt_tensor *lt_tensor_file_find(const lt_tensor_file *file, const char *name); // NULL when absent
LT_API const char *lt_tensor_file_meta(const lt_tensor_file *file, const char *key);       // NULL when absent
LT_API int lt_tensor_file_n_meta(const lt_tensor_file *file);
LT_API lt_meta lt_tensor_file_meta_at(const lt_tensor_file *file, int i);

LT_API lt_status lt_safetensors_write(const char *path, const lt_tensor *tensors, int n, const lt_meta *meta,
                                      int n_meta);                                // atomically
LT_API lt_status lt_npz_write(const char *path, const lt_tensor *tensors, int n); // stored, not compressed
// A state_dict that torch.load(path, weights_only=True) reads: an ordered dictionary of the tensors in their order, in
// the zip form.
LT_API lt_status lt_torch_write(const char *path, const lt_tensor *tensors, int n);
// BLAKE2b-256 of a whole file, hex.
LT_API lt_status lt_file_digest(const char *path, char out[65]);

LT_END_DECLS
#endif
