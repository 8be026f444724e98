// dataset_info.h - what a data set holds, and data sets and pictures written to files: what `lethe data` prints.
//
// Texts are JSON, malloc'ed; NULL = out of memory.
//
// Threads: calls may run concurrently, on the same data set too, when they write different files.
#ifndef LT_DATASET_INFO_H
#define LT_DATASET_INFO_H
#include "lethe/data.h"
LT_BEGIN

typedef struct lt_split_info {
    int64_t n;
    int64_t *per_class; // (n_classes)
    double *mean, *std; // (channels) of pixels in [0,1]; NAN in an empty split
} lt_split_info;
typedef struct lt_dataset_info { // owned; borrows ds
    const lt_dataset *ds;
    lt_split_info split[2]; // lt_split
    int64_t n_shared;       // test images that are also in the training split, pixel for pixel; -1 = not counted
} lt_dataset_info;
LT_API lt_status lt_dataset_info_measure(const lt_dataset *ds, lt_dataset_info *info); // n_shared stays -1
// Counts shared images, too; LT_E_INTEGRITY when the digest is not `digest` (NULL or "" = any).
LT_API lt_status lt_dataset_verify(const lt_dataset *ds, const char *digest, lt_dataset_info *info);
LT_API void lt_dataset_info_clear(lt_dataset_info *info);
LT_API char *lt_dataset_info_json(const lt_dataset_info *info);

LT_API char *lt_dataset_kinds_json(void);                   // {"kinds": every kind, its keys, whether it is downloaded}
LT_API char *lt_dataset_samples_json(const lt_dataset *ds); // {"data", "samples": what a forget list may name}
// {"data", "duplicates": copies among the training images of what is to be forgotten}. forget: as lt_forget_parse.
LT_API lt_status lt_dataset_duplicates_json(const lt_dataset *ds, const char *forget, double least, char **json);

typedef enum lt_dataset_format {
    LT_DATASET_NPZ,
    LT_DATASET_PNG,
    LT_DATASET_CIFAR,
    LT_DATASET_SAFETENSORS,
    LT_DATASET_TAR
} lt_dataset_format;
// npz: one file of train_x, train_y, train_id, test_x, test_y, test_id. png: train/CLASS/ID.png and test/CLASS/ID.png.
// cifar: as lt_dataset_export_cifar. safetensors: the arrays of npz, class_name and, of sets with files, train_name and
// test_name (uint8, a zero byte behind each name); LT_E_UNSUPPORTED for event recordings. tar:
// lt_dataset_pack with LT_SHARD_SIZE.
LT_API lt_status lt_dataset_export(const lt_dataset *ds, lt_dataset_format format, const char *path);
// By what path ends in: .npz, .safetensors, .tar; without such an end, and for folders, png. LT_E_USAGE for other ends.
LT_API lt_status lt_dataset_format_of(const char *path, lt_dataset_format *format);
enum { LT_SHARD_SIZE = 10000 };
// WebDataset shards of ID.png, ID.cls and __classes__, which tar:PATH reads back with the same images, classes and, but
// for subsets, ids. path: FILE.tar, which holds both splits, or a new or empty folder, which gets train-*.tar and
// test-*.tar of at most shard_size images. Atomic: there is the whole set, or nothing. stop may be NULL.
// LT_E_UNSUPPORTED for event recordings, LT_E_SHAPE, LT_E_INTERRUPTED.
LT_API lt_status lt_dataset_pack(const lt_dataset *ds, const char *path, int64_t shard_size,
                                 const lt_interrupt_flag *stop);
LT_API char *lt_dataset_export_json(const lt_dataset *ds, const char *path); // {"data","out","n_train","n_test"}
// One picture (C,H,W), C = 1 or 3, as a PNG file. LT_E_SHAPE.
LT_API lt_status lt_png_write(const char *path, int c, int h, int w, const uint8_t *x);

LT_END_DECLS
#endif
