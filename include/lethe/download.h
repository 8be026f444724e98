// download.h - official data sets fetched from their publishers, size and SHA-256 checked before a file gets its name.
#ifndef LT_DOWNLOAD_H
#define LT_DOWNLOAD_H
#include "lethe/event.h"
LT_BEGIN

typedef struct lt_download_spec {
    const char *name; // "cifar10", "cifar100", "mnist", "fashion-mnist"
    const char *dir;  // the set's usual folder is made in it: DIR/cifar-10-batches-bin
    const char *url;  // another folder with the same files (https:, http: or file:); NULL or "" = the publisher's
    lt_events *events;
    lt_interrupt_flag *stop; // or NULL
} lt_download_spec;

typedef struct lt_download {
    char dir[4096]; // where the files are
    bool cached;    // every file was complete before
} lt_download;

// Fetches what is missing or differs. Files that do not match are removed, and folders that this call made are removed
// again when it fails. LT_E_USAGE (unknown name, with the nearest one), LT_E_INTEGRITY (size or digest), LT_E_IO
// (network, write), LT_E_NOSPACE, LT_E_INTERRUPTED. Emits the progress event "data.get" and the information
// "data.download". One thread of a process at a time.
LT_API lt_status lt_download_dataset(const lt_download_spec *spec, lt_download *result);
LT_API char *lt_download_json(const char *name, const lt_download *result); // {"name","dir","cached"}, malloc'ed
LT_API bool lt_can_download(const char *kind);
LT_API const char *lt_downloadable(void); // "cifar10, cifar100, mnist, fashion-mnist and svhn", for messages

LT_END_DECLS
#endif
