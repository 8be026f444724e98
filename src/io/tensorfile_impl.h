// tensorfile_impl.h - shared by the readers and writers of tensor files.
#ifndef LT_TENSORFILE_IMPL_H
#define LT_TENSORFILE_IMPL_H
#include "base/base.h"
#include "lethe/tensorfile.h"

struct lt_tensor_file {
    lti_arena arena; // names and metadata
    lt_tensor *tensor;
    lt_meta *meta;
    int n_tensors, n_meta;
    char *bytes;         // the file itself when tensors point into it; else NULL
    size_t map_bytes;    // length of `bytes` when that is a mapping; 0 = it is memory
    bool *owned;         // per tensor: is data its own allocation?
    const char **stored; // per tensor: name of the element type in the file
};

// An element type as files know it, and how it arrives in memory.
typedef enum lti_widen { LTI_AS_IS, LTI_HALF, LTI_BFLOAT, LTI_I16, LTI_U16, LTI_U32, LTI_U64, LTI_BOOL } lti_widen;
typedef struct lti_raw_type {
    const char *safetensors, *npy; // npy NULL: has no such type
    size_t size;                   // in the file
    lt_dtype dtype;                // in memory
    size_t memory_size;
    lti_widen widen;
} lti_raw_type;

const lti_raw_type *lti_raw_by_safetensors(const char *name); // NULL when unknown
const lti_raw_type *lti_raw_by_npy(const char *name);         // "f4" without the byte-order mark
const lti_raw_type *lti_raw_of(lt_dtype dtype);               // the type a writer uses
// n elements from file bytes (any alignment) to memory. Fails when a value does not fit the memory type.
lt_status lti_raw_convert(const lti_raw_type *type, const unsigned char *from, size_t n, void *to, const char *label,
                          const char *name);

lt_status lti_tensor_file_new(size_t n_tensors, size_t n_meta, lt_tensor_file **file);
// Appends a tensor with fresh zeroed memory for its elements (named, shaped, data set). n_elements is the product of
// dim.
lt_status lti_tensor_file_add(lt_tensor_file *file, const char *name, const lti_raw_type *type, int n_dims,
                              const int64_t *dim, size_t n_elements, lt_tensor **tensor);
// Product of dims, checked; true = overflow or a negative dimension.
bool lti_dims_product(int n_dims, const int64_t *dim, size_t *n);
// Shape, size and name of tensors about to be written.
lt_status lti_tensors_check(const char *path, const lt_tensor *tensors, int n);

// As lt_safetensors_parse. adopt: bytes is malloc'ed and becomes the file's on success, tensors may point into it.
lt_status lti_safetensors_parse(char *bytes, size_t n, bool adopt, const char *label, lt_tensor_file **file);
lt_status lti_npz_open(const char *path, lt_tensor_file **file); // also a PyTorch zip archive

// PyTorch checkpoints (torchfile.c). Is this the start of a plain stream, as PyTorch wrote them before 1.6?
enum { LTI_TORCH_HEAD = 14 };
bool lti_torch_stream(const void *head, size_t n);
struct zip;
// Is `zip` a checkpoint? prefix: NAME of its member NAME/data.pkl.
bool lti_torch_zip_prefix(struct zip *zip, char *prefix, size_t size);
lt_status lti_torch_zip_read(struct zip *zip, const char *prefix, size_t file_bytes, const char *label,
                             lt_tensor_file **file);

// A zip archive of stored members. Sizes from zip64_from on use the 64-bit records (0xffffffff; smaller in tests).
typedef struct lti_zip_part {
    const char *name;
    const void *head, *body; // the member is head followed by body
    size_t head_bytes, body_bytes;
} lti_zip_part;
lt_status lti_zip_write(const char *path, const lti_zip_part *part, size_t n, uint64_t zip64_from);
#endif
