// data_impl.h - private parts of the data module: what a reader gets and gives, and the helpers readers share.
//
// A reader (set_*.c, one line in sets.list) turns files into an lti_raw: bytes (n,C,H,W), labels and official ids, in
// the official order. It applies no subsets: dataset.c does that for every kind in the same way.
#ifndef LT_DATA_IMPL_H
#define LT_DATA_IMPL_H
#include "base/base.h"
#include "lethe/data.h"
#include "lethe/rng.h"
#include "lethe/tensorfile.h"

enum {
    LTI_MAX_CLASSES = 100000,
    LTI_MAX_SIDE = 16384, // pixels; of images as they come
    LTI_MAX_IMAGE_PIXELS = 1 << 25,
    LTI_MAX_IMAGE_BYTES = 1 << 26 // of one encoded image
};
#define LTI_MAX_SAMPLES ((int64_t)1 << 32)

struct lti_open_args;

// ---- pixels.c
typedef struct lti_pixels { // zero-initialised
    uint8_t *x;
    size_t bytes;
    bool is_mapped; // into a file without a name
    int fd;         // of that file
} lti_pixels;
// Keeps what is there. dir: the file is made in this directory; NULL = memory; the same in every call, except that what
// is in memory stays there. LT_E_NOMEM, errors of writing.
lt_status lti_pixels_resize(lti_pixels *p, const char *dir, size_t bytes);
void lti_pixels_clear(lti_pixels *p);
lt_status lti_scratch_dir(const struct lti_open_args *args, const char **dir); // of the key scratch=; NULL = none

// ---- what a reader makes
typedef struct lti_raw_split {
    int64_t n, cap;
    uint8_t *x; // (cap, C, H, W): pixels.x, or in the reader's file
    lti_pixels pixels;
    int32_t *y;        // (cap)
    int64_t *id;       // (cap), ascending: the place in the official order
    int32_t *other;    // (cap) class in the set's other hierarchy; NULL = there is none
    const char **name; // (n) once all samples are there, texts in the arena; NULL for kinds without files
} lti_raw_split;

typedef struct lti_raw { // zero-initialised; set c, h, w before the first append
    int c, h, w, n_classes;
    int steps; // frames of a sample of events: c = 2 * steps; 0 = images
    bool flip; // events: augmentation may mirror
    lti_raw_split split[2];
    const char *const *class_name; // (n_classes), in `arena` or static; NULL = "0", "1", ...
    // A second labelling, coarser or finer; set before the first append. n_other 0 = none
    const char *const *other_name; // (n_other), static
    int n_other;
    bool other_is_finer;
    const char *scratch;    // directory of the file that images are decoded into, in `arena`; NULL = into memory
    lt_tensor_file *file;   // that images lie in as they are; NULL = none. Its splits have no `pixels`
    const char *missing[2]; // what was looked for in vain, for the error line; NULL = found
    lti_arena arena;
} lti_raw;
size_t lti_raw_sample_bytes(const lti_raw *raw);
lt_status lti_raw_use_scratch(lti_raw *raw, const struct lti_open_args *args); // what the key scratch= says
lt_status lti_raw_reserve(lti_raw *raw, lt_split s, int64_t cap);
// Room for one more sample, labelled and numbered; *x is where its C*H*W bytes go.
lt_status lti_raw_append(lti_raw *raw, lt_split s, int32_t y, uint8_t **x);
// n samples whose images lie in raw->file, one after another; labels and `other` are still to be filled.
lt_status lti_raw_borrow(lti_raw *raw, lt_split s, int64_t n, uint8_t *x);
// Drops the rows whose keep is 0: in place, or by copying the others out of raw->file. LT_E_NOMEM, errors of writing.
lt_status lti_raw_keep(lti_raw *raw, lt_split s, const uint8_t *keep);
void lti_raw_split_clear(lti_raw_split *d);
void lti_raw_clear(lti_raw *raw);

// ---- what a reader gets
typedef struct lti_skipped { // entries of folders that are neither files nor folders of the data set
    int64_t n;
    char first[256]; // path of the first one
} lti_skipped;
typedef struct lti_open_args {
    const char *kind;
    const char *path;     // given, or found under $LETHE_DATA; NULL for kinds without files
    const lti_spec *spec; // its keys are known to be those of the kind
    bool allow_partial;   // splits may be missing, files of fixed length may be shorter
    bool skip_test;       // a test split will be cut from the training files: do not read the other one
    lt_events *events;
    const char *root;     // resolved path of the folder that symbolic links must not lead out of; NULL = any
    lti_skipped *skipped; // may be NULL
} lti_open_args;
typedef lt_status lti_open_fn(const lti_open_args *args, lti_raw *raw);
#define LT_SET(id, name, title, keys, folders) lti_open_fn lti_open_##id;
#include "sets.list"
#undef LT_SET

// Integer key of a spec, or `def` when it is absent.
lt_status lti_key_i64(const lti_spec *spec, const char *key, int64_t min, int64_t max, int64_t def, int64_t *out);

// ---- classes=, holdout=, train-limit=, test-limit= (subset.c)
lt_status lti_subset_apply(const lti_open_args *args, lti_raw *raw);

// ---- the opened set: lt_dataset.owner points at one
typedef struct lti_dataset {
    lt_dataset pub;
    lti_raw raw;
    int64_t n_read[2]; // samples before subsets: official ids are smaller unless holdout= moved them
} lti_dataset;
lt_status lti_dataset_make(const char *kind, const char *spec, lti_raw *raw,
                           lt_dataset **ds);                                     // takes over raw's memory
int64_t lti_dataset_row_of_id(const lt_dataset *ds, lt_split split, int64_t id); // -1 when absent
void lti_dataset_refresh(lti_dataset *ds); // after a change of `raw`: splits, classes, digest

// ---- samples by name and content (sample_match.c)
typedef struct lti_matcher lti_matcher; // of the training split; makes its indices when they are first needed
lt_status lti_matcher_create(const lt_dataset *ds, lti_matcher **matcher);
void lti_matcher_destroy(lti_matcher *matcher);
bool lti_is_pattern(const char *text);
// Rows that `text` names, in the matcher's memory until the next call. n 0: none.
lt_status lti_matcher_find(lti_matcher *matcher, const char *text, const int64_t **row, int64_t *n);

// ---- files
typedef struct lti_paths { // names or paths, sorted bytewise
    int64_t n, cap;
    char **name;
    lti_arena arena;
} lti_paths;
lt_status lti_paths_add(lti_paths *p, const char *name);
void lti_paths_sort(lti_paths *p);
void lti_paths_clear(lti_paths *p);
// The files and folders in dir, without dot files. Pipes, sockets, devices, dangling links and links that lead out of
// the data set are left out and counted in args->skipped: opening a pipe would wait for a writer for ever.
lt_status lti_list_dir(const lti_open_args *args, const char *dir, lti_paths *names);
bool lti_is_set_dir(const lti_open_args *args, const char *path); // a folder that such a list would name
char *lti_join(lti_arena *a, const char *dir, const char *name);
lt_status lti_map_file(const char *path, const uint8_t **bytes, size_t *n); // read-only; NULL when it is empty
void lti_unmap_file(const uint8_t *bytes, size_t n);
lt_status lti_read_gz(const char *path, size_t max_bytes, uint8_t **bytes, size_t *n); // plain files too; lti_free

// ---- images
typedef struct lti_image {
    int c, h, w; // c is 1 or 3
    uint8_t *px; // (c, h, w)
} lti_image;
void lti_image_clear(lti_image *image);
bool lti_image_name(const char *name); // ends in .jpg, .jpeg or .png, any case
lt_status lti_image_decode(const uint8_t *bytes, size_t n, const char *label,
                           lti_image *image); // JPEG or PNG, by content
lt_status lti_jpeg_decode(const uint8_t *bytes, size_t n, const char *label, lti_image *image);
lt_status lti_png_decode(const uint8_t *bytes, size_t n, const char *label, lti_image *image);
lt_status lti_image_alloc(int c, int h, int w, const char *label, lti_image *image); // checks the bounds
// Shorter side to `side` (area-weighted triangle filter), then the central side x side square.
lt_status lti_image_fit(lti_image *image, int side, const char *label);

// A growing heap of decoded images, for kinds whose samples are encoded images in files or archives.
typedef struct lti_image_list_item {
    const char *path; // sort key, in the arena
    int32_t y;
} lti_image_list_item;
typedef struct lti_image_list {
    const lti_open_args *args;
    int h, w;            // of every image, from the first one
    int side;            // size=, 0 = as they come
    const char *scratch; // scratch=
    bool colour;         // any image with three channels
    bool numbered;       // labels are numbers from .cls files, not class folders
    bool in_parts;       // one archive holds both splits, when it names its classes
    bool archived;       // paths are "ARCHIVE: ENTRY"
    struct {
        int64_t n, cap;
        lti_pixels pixels; // (cap, 3, h, w): grey replicated
        lti_image_list_item *item;
    } split[2];
    int n_classes, cap_classes;
    const char **class_name; // class folders in order of first sight; numbered: what a shard says, or none
    lti_arena arena;
} lti_image_list;
lt_status lti_image_list_init(lti_image_list *list, const lti_open_args *args);
void lti_image_list_clear(lti_image_list *list);
lt_status lti_image_list_class(lti_image_list *list, const char *name, int32_t *y); // finds or adds
lt_status lti_image_list_add(lti_image_list *list, lt_split s, int32_t y, const char *path, const uint8_t *bytes,
                             size_t n);
// Sorts class folders by path and classes by name, drops the replicas when every image is grey, moves everything to
// raw.
lt_status lti_image_list_finish(lti_image_list *list, lti_raw *raw);
lt_status lti_read_folder(const lti_open_args *args, const char *dir, lti_raw *raw);
// Every folder in dir is a class of the split; files that are not images are counted.
lt_status lti_read_class_folders(const lti_open_args *args, const char *dir, lt_split split, lti_image_list *list,
                                 int64_t *n_skipped);
lt_status lti_read_tar_folder(const lti_open_args *args, const char *file,
                              lti_raw *raw); // class folders inside one archive

// ---- archives
typedef struct lti_tar lti_tar;
lt_status lti_tar_open(const char *path, lti_tar **tar);
lt_status lti_tar_parse(const void *bytes, size_t n, const char *label, lti_tar **tar); // borrows bytes
// The next regular file: *name borrowed until the next call, NULL at the end.
lt_status lti_tar_next(lti_tar *tar, const char **name, int64_t *size);
lt_status lti_tar_read(lti_tar *tar, size_t max_bytes, uint8_t **bytes, size_t *n); // of the current file; lti_free
void lti_tar_close(lti_tar *tar);

// ---- parsers over bytes, for readers and fuzzing. `label` names the file in errors.
typedef struct lti_cifar_layout {
    const char *kind;
    int n_labels, label_at; // label bytes in front of the pixels, and which one is the class
    int limit[2];           // classes each of them can name
} lti_cifar_layout;
extern const lti_cifar_layout lti_cifar10_layout, lti_cifar100_layout, lti_cifar100_coarse_layout;
lt_status lti_cifar_parse(const uint8_t *bytes, size_t n, const lti_cifar_layout *layout, const char *label, lt_split s,
                          lti_raw *raw);
typedef struct lti_idx_source {
    const uint8_t *bytes;
    size_t n;
    const char *label;
} lti_idx_source;
lt_status lti_idx_parse(const lti_idx_source *images, const lti_idx_source *labels, lt_split s, lti_raw *raw);
lt_status lti_svhn_parse(const uint8_t *bytes, size_t n, const char *label, lt_split s, lti_raw *raw); // appends
lt_status lti_arrays_take(const lt_tensor_file *file, const char *label, const lti_open_args *args, lti_raw *raw);
lt_status lti_npz_set_parse(const void *bytes, size_t n, const char *label, const lti_open_args *args, lti_raw *raw);
#define LTI_CLASSES_ENTRY "__classes__" // of a shard: names of classes, one a line
bool lti_is_shard_name(const char *name);
lt_status lti_shard_parse(lti_tar *tar, const char *label, lt_split s, lti_image_list *list);
// Class folders in an archive. list NULL: only looks whether there is a part called test, which then goes before val.
lt_status lti_tar_folder_parse(lti_tar *tar, const lti_open_args *args, bool *has_test, lti_image_list *list);
// Tiny ImageNet's list of validation images: fn is called with the file name and the class of every line. Changes text.
typedef lt_status lti_annotation_fn(void *ctx, const char *file, const char *class_name);
lt_status lti_val_annotations_parse(char *text, const char *label, lti_annotation_fn *fn, void *ctx);
lt_status lti_forget_ids_parse(const lt_dataset *ds, const char *text, size_t n, const char *label,
                               lt_index_set *forget);
lt_status lti_forget_file_parse(const lt_dataset *ds, const char *path_and_column, lt_index_set *forget);
// A set of the n rows whose mark is 1. code: LT_E_USAGE when the command line said it, LT_E_FORMAT when a file did.
lt_status lti_forget_from_marks(const lt_dataset *ds, const uint8_t *mark, int64_t n, lt_status code, const char *name,
                                lt_index_set *set);
lt_status lti_forget_list_read(const lt_dataset *ds, const char *path, lt_index_set *list); // rows in the file's order
lt_status lti_forget_amount(const char *text, int64_t n, int64_t *amount);                  // "10%" or "5000" of n
// The bytes of a requests file; relative file: lines are looked for in dir.
lt_status lti_requests_parse(const lt_dataset *ds, const char *text, size_t n, const char *label, const char *dir,
                             const lt_request_ask *ask, lt_requests *out);

// ---- the procedural set
enum { LTI_SYNTH_SIDE = 32, LTI_SYNTH_CLASSES = 10 };
int32_t lti_synth_label(uint64_t seed, lt_split s, int64_t i);
void lti_synth_draw(uint64_t seed, lt_split s, int64_t i, double noise, uint8_t *x); // x (3,32,32)

// EventDrop (Gu et al., 2021) on the frames x (2 T, H, W) of one sample, counts / 255: nothing, a share of all events,
// those of a piece of time or of an area.
void lti_event_drop(const lt_dataset *ds, lt_rng rng, float *x);

// ---- batches
typedef struct lti_batch_source { // the concatenation of the views
    const lt_view *view;
    const int64_t *start; // (n_views + 1) first position of each view
    int n_views, c, h, w, pad;
    bool no_images;
    uint64_t seed;
    uint32_t epoch;
} lti_batch_source;
lt_status lti_view_check(const lt_view *view, int number);
// Fills batch rows 0..n-1 from positions order[0..n-1], or first..first+n-1 when order is NULL.
void lti_batch_fill(const lti_batch_source *src, const int64_t *order, int64_t first, int64_t n, lt_batch *batch);
// ---- resized_crop.c
typedef struct lti_window { // a part of an image that is scaled to all of it
    int y, x, h, w, flip;
} lti_window;
lti_window lti_draw_window(uint64_t seed, uint32_t epoch, int32_t tag, int64_t id, int h, int w);
// out (c,h,w) from exactly one of u8 and f32 (c,h,w).
void lti_resized_crop(const uint8_t *u8, const float *f32, int c, int h, int w, lti_window win, float *out);

#endif
