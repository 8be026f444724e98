// data.h - data sets decoded once into bytes, views (index sets) over them, and the prefetching loader.
//
// Threads: data sets are immutable once opened and may be read by any number of threads; a view, an index set and a
// loader belong to one thread at a time.
#ifndef LT_DATA_H
#define LT_DATA_H
#include "lethe/event.h"
LT_BEGIN

typedef enum lt_split { LT_TRAIN = 0, LT_TEST = 1 } lt_split;

typedef struct lt_split_data {
    int64_t n;
    const uint8_t *x;        // (n, C, H, W)
    const int32_t *y;        // (n), 0..n_classes-1
    const int64_t *id;       // (n) index in the official order of the whole set (subsets keep the original index)
    const int32_t *other;    // (n) class in the other hierarchy, 0..n_other-1; NULL where there is none
    const char *const *name; // (n) file of each sample, relative to the path of the set; NULL for kinds without files
} lt_split_data;

// Owned by its creator, immutable after opening, so shared freely between threads.
typedef struct lt_dataset {
    int c, h, w, n_classes;
    int steps; // event recordings: frames of a sample, channel 2 t + p counts polarity p in frame t; 0 = images
    bool flip; // event recordings: augmentation may mirror them
    lt_split_data split[2];
    const char *const *class_names; // n_classes
    // Sets with two hierarchies of classes (CIFAR-100): the one that is not class_names.
    const char *const *other_names; // n_other; NULL = there is none
    int n_other;
    bool other_is_finer; // its classes are subclasses of class_names', else they are superclasses
    const char *spec;    // as given
    const char *kind;    // "cifar10", "synthetic", ...
    char digest[65];     // BLAKE2b-256 hex over dims, labels, ids and pixels of both splits
    void *owner;         // the reader's memory
} lt_dataset;

// spec: KIND[:PATH][,key=value...]. Without PATH the kind's usual folder is looked up under $LETHE_DATA. Keys of every
// kind, applied in this order:
//   classes=a+b+c     keep these classes (names or numbers) and renumber them in the order given
//   holdout=N         the test split becomes N samples cut out of the training files, class-balanced; when there are
//   only
//                     test files, out of those. Emits the warning "data.holdout".
//   train-limit=N, test-limit=N   at most N samples, class-balanced, ids and order kept
//   subset-seed=S     which samples holdout and limits take (0)
//   allow-partial=1   a split may be missing (n = 0), files of fixed length may be shorter
// Keys of folder and tar: size=N brings every image to N x N; scratch=DIR decodes into a file of DIR without a name,
// which is mapped, instead of memory (also of safetensors, for the samples that a subset copies out). A set of kind
// safetensors is mapped: images are read when they are needed, and its file must not change while it is open. Fails
// with LT_E_FORMAT (file, offset, expected, found), LT_E_INPUT, LT_E_USAGE (unknown kind or key, with the nearest
// name). Emits the information "data.open".
LT_API lt_status lt_dataset_open(const char *spec, lt_events *events, lt_dataset **ds);
LT_API void lt_dataset_close(lt_dataset *ds); // NULL is fine
typedef struct lt_dataset_kind {
    const char *name, *title;
    const char *keys; // "train-limit,test-limit,seed"
} lt_dataset_kind;
LT_API const lt_dataset_kind *lt_dataset_kinds(int *n); // the registry, for help, doctor, docs

// In-memory set for tests and callers with their own arrays: copies everything.
LT_API lt_status lt_dataset_from_arrays(int c, int h, int w, int n_classes, int64_t n_train, const uint8_t *train_x,
                                        const int32_t *train_y, int64_t n_test, const uint8_t *test_x,
                                        const int32_t *test_y, lt_dataset **ds);

// Writes the set as the binary files of CIFAR-10 (cifar10:DIR, with allow-partial=1 unless it has the official size).
LT_API lt_status lt_dataset_export_cifar(const lt_dataset *ds, const char *dir);

// ---- index sets: rows of a split (0..split.n-1), not official ids
typedef struct lt_index_set {
    int64_t n;
    int64_t *row; // ascending for sets, as drawn for lists
} lt_index_set;
LT_API void lt_index_set_clear(lt_index_set *set);
// spec: random:10% | random:5000 | class:3,7 | superclass:NAME,... | subclass:NAME,... | name:cat/0017.png (or a
// pattern such as name:cat/00*.png) | digest:HEX | file:LIST[,column=NAME].
//
// superclass: all samples of a class of the coarser hierarchy, of a set that is read by its finer one; subclass: of a
// class of the finer one, of a set that is read by its coarser one. LT_E_USAGE for sets without that hierarchy.
//
// A list names samples of the training split, one a line: by official index, by file name (its path within the set,
// with or without the folders that lead to the set, or as much of its end as is unique; the files of a shard lie in
// SHARD.tar/), by a pattern with * ? [], or by content ("digest:" and at least 16 hexadecimal digits of
// lt_sample_digest; all 32 digits, or a column called digest, need no "digest:"). In a CSV the column is `column=`,
// else the first of unlearn_idx, forget_idx, index, idx, id, file, file_name, filename, path, image, name, digest that
// its header has. Lines that match nothing, or several samples without being a pattern, and indices that are out of
// range or appear twice fail with LT_E_FORMAT, which lists them all, the last ones by their line numbers; so do empty
// lists. `random` is drawn class-blind, without replacement, with LT_STREAM_FORGET.
//
// Official indices of kinds with files count class after class, in the bytewise order of the classes' names, and within
// a class in the bytewise order of the paths ("10.png" before "2.png"); those of shards in the order of the shards'
// names and of their entries.
LT_API lt_status lt_forget_parse(const lt_dataset *ds, const char *spec, uint64_t seed, lt_index_set *forget);
// The samples of a list of official indices (forget.csv of a run) that are still in the training split; *n_absent: how
// many are not.
LT_API lt_status lt_forget_present(const lt_dataset *ds, const char *path, lt_index_set *set, int64_t *n_absent);
LT_API lt_status lt_index_set_complement(int64_t n, const lt_index_set *set, lt_index_set *rest);
// Row of an official id in a split, or -1.
LT_API int64_t lt_dataset_row_of_id(const lt_dataset *ds, lt_split split, int64_t id);
typedef struct lt_duplicates { // forgotten images that another group holds too, pixel for pixel
    int64_t in_retain, in_test;
} lt_duplicates;
// forget, retain: rows of the training split. LT_E_NOMEM.
LT_API lt_status lt_dataset_duplicates(const lt_dataset *ds, const lt_index_set *forget, const lt_index_set *retain,
                                       lt_duplicates *out);
typedef struct lt_near_duplicate { // rows of the training split
    int64_t row, of_row;           // a kept image, and the forgotten one that it is most like
    float similarity;              // correlation of both on a 16x16 grid, brightness and contrast taken out; at most 1
    bool mirrored;                 // they are alike when one is mirrored
} lt_near_duplicate;
typedef struct lt_near_duplicates {
    int64_t n;
    lt_near_duplicate *item; // ascending by row; owned
} lt_near_duplicates;
#define LT_NEAR_DUPLICATE_LEAST 0.97 // a photograph that was saved again, or moved by a pixel, is above
LT_API void lt_near_duplicates_clear(lt_near_duplicates *found);
// Kept images of similarity `least` or more with a forgotten one: forgetting an image is worth little while its copy
// stays. kept: rows that stay. Uses all threads of OpenMP. LT_E_NOMEM.
LT_API lt_status lt_dataset_near_duplicates(const lt_dataset *ds, const lt_index_set *forget, const lt_index_set *kept,
                                            double least, lt_near_duplicates *found);
// Test images that the training split holds too. LT_E_NOMEM.
LT_API lt_status lt_dataset_shared_images(const lt_dataset *ds, int64_t *n_shared);
LT_API lt_status lt_index_set_range(int64_t n, lt_index_set *all);
LT_API void lt_index_set_digest(const lt_dataset *ds, lt_split split, const lt_index_set *set,
                                char out[65]); // over official ids
LT_API lt_status lt_forget_write(const lt_dataset *ds, const lt_index_set *forget,
                                 const char *path); // forget.csv, official ids

// ---- samples by content
// The first 16 bytes of BLAKE2b-256 over the shape and the pixels of a sample, hex: the same image has the same digest
// wherever it lies.
enum { LT_SAMPLE_DIGEST_HEX = 33 };
LT_API void lt_sample_digest(const lt_dataset *ds, lt_split split, int64_t row, char out[LT_SAMPLE_DIGEST_HEX]);

// What a training set was, without its pixels: written next to a model, so that later requests mean the same images
// whatever has been added, deleted or renamed since.
typedef struct lt_sample_list lt_sample_list;
LT_API lt_status lt_sample_list_write(const lt_dataset *ds, const char *path); // of the training split
LT_API lt_status lt_sample_list_open(const char *path, lt_sample_list **list);
LT_API void lt_sample_list_close(lt_sample_list *list); // NULL is fine
LT_API int64_t lt_sample_list_count(const lt_sample_list *list);
// lt_sample_digest of the sample with this official id; false when the list does not have it.
LT_API bool lt_sample_list_digest(const lt_sample_list *list, int64_t id, char out[LT_SAMPLE_DIGEST_HEX]);

typedef struct lt_identity { // of a data set, held against a sample list
    int64_t n_found, n_new;  // samples of the list that are there; samples of the set that the list does not have
    int64_t n_missing;
    int64_t *missing; // (n_missing) official ids of the list, ascending; freed by lt_identity_clear
    bool changed;     // the set was not the list already
} lt_identity;
LT_API void lt_identity_clear(lt_identity *identity);
// Makes the training split what the list says, as far as its images are there: samples get the ids of the list, classes
// its numbers, samples that it does not have are dropped. Only before `ds` is used by anyone else. LT_E_FORMAT when the
// images have another shape or a class is unknown.
LT_API lt_status lt_dataset_identify(lt_dataset *ds, const lt_sample_list *list, lt_identity *identity);

// ---- a stream of requests, each forgotten after the ones before it [AMUN 8.1]
typedef struct lt_request {
    char *spec;          // as given: "file:ids1.csv", "random:200", "class:3"; or the part of a list that was cut
    lt_index_set forget; // ascending rows of the training split
} lt_request;
typedef struct lt_requests { // disjoint
    int n;
    lt_request *request;
} lt_requests;
typedef struct lt_request_ask {
    uint64_t seed;            // request k (from 1) draws with seed + k - 1, unless its line says seed=S
    const lt_index_set *gone; // rows that were forgotten before the first request, or NULL
} lt_request_ask;
// spec: a text file with one forget set a line (as lt_forget_parse takes them; blank lines and what follows # are
// skipped; "random:200 seed=7" has a seed of its own; relative files of file: lines are relative to the text file), or
// split:KxN:IDS.csv: the first K*N indices of one list, cut in its order into K requests of N. Random requests are
// drawn from the samples that no file, class or earlier random request names. Fails with LT_E_USAGE or LT_E_FORMAT
// naming the line, and the first index that is given twice or is gone already. At least one sample must stay.
LT_API lt_status lt_requests_open(const lt_dataset *ds, const char *spec, const lt_request_ask *ask, lt_requests *out);
LT_API void lt_requests_clear(lt_requests *requests);

// ---- views: what a phase of training (or an evaluation) reads. Plain struct; pointers are borrowed.
typedef enum lt_relabel {
    LT_RELABEL_NONE,
    LT_RELABEL_RANDOM_OTHER,
    LT_RELABEL_RANDOM_ANY
} lt_relabel; // redrawn every epoch
typedef struct lt_view {
    const lt_dataset *ds;
    lt_split split;
    const int64_t *row; // n rows of the split; NULL = 0..n-1
    int64_t n;
    const int32_t *labels; // (n) override, or NULL
    const float *images;   // (n,C,H,W) in [0,1] override, or NULL = bytes/255
    bool augment;          // random crop (pad 4, zeros) and horizontal flip
    bool resized_crop;     // augmented by a random resized crop in the place of the padded one (torchvision's)
    lt_relabel relabel;
    const uint8_t *not_drawn; // (classes) 1 = a random label is never this one; NULL = each may be drawn
    float weight;             // of each sample's loss; 1 for ordinary views, negative to ascend
    int32_t tag;              // copied to lt_batch.tag: which view a row came from
} lt_view;
LT_API lt_view lt_view_split(const lt_dataset *ds, lt_split split);                          // whole split, weight 1
LT_API lt_view lt_view_rows(const lt_dataset *ds, lt_split split, const lt_index_set *rows); // borrows rows

typedef struct lt_batch {
    int64_t n;
    int64_t n_all;      // samples of the batch over all ranks: n when there is one
    float *x;           // (n, C, H, W) in [0,1]
    int32_t *y;         // (n)
    float *weight;      // (n) view weights, not divided by n
    int64_t *id;        // (n) official ids
    int32_t *tag;       // (n)
    int32_t *view;      // (n) number of the view in the loader's list
    int64_t *at;        // (n) place in that view
    int64_t *row;       // (n) rows of the split of the sample's view
    uint8_t *augmented; // (n) 1 = cropped and flipped
} lt_batch;

// Batches of the concatenation of the views. Shuffled by (seed, LT_STREAM_SHUFFLE, epoch, phase) or in order; the last
// partial batch is kept. Augmentation and random labels are functions of (seed, epoch, view tag, id): the result does
// not depend on n_threads.
typedef struct lt_loader_spec {
    const lt_view *views;
    int n_views;
    int64_t batch;
    bool shuffle;
    uint64_t seed;
    uint32_t phase;    // separates several loaders of one job
    int n_threads;     // prefetching workers; 0 = make batches in the caller
    int32_t pad;       // crop padding in pixels (4)
    bool no_images;    // x is NULL: the caller makes the images from view, at, row, id, tag and augmented
    int rank, n_ranks; // only share `rank` of each batch, of n_ranks nearly equal ones; n_ranks 0 = all of it
} lt_loader_spec;
// Samples of a batch of n that rank `rank` of n_ranks has: rows n rank / n_ranks up to n (rank + 1) / n_ranks.
LT_API int64_t lt_batch_share(int64_t n, int rank, int n_ranks);
typedef struct lt_loader lt_loader;
LT_API lt_status lt_loader_create(const lt_loader_spec *spec, lt_loader **loader);
LT_API void lt_loader_destroy(lt_loader *loader);
LT_API int64_t lt_loader_n_batches(const lt_loader *loader);
LT_API lt_status lt_loader_start(lt_loader *loader, uint32_t epoch, int64_t first_batch); // (re)start anywhere
// The next batch, borrowed until the next call; n_all = 0 at the end of the epoch (n may be 0 for a share). No
// allocation after start's first call.
LT_API lt_status lt_loader_next(lt_loader *loader, const lt_batch **batch);

LT_END_DECLS
#endif
