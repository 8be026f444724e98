// download.c - downloads official data sets with libcurl and checks size and SHA-256 before a file gets its name.
//
// The digests are those of the publishers' files as the large dataset libraries pin them. Only https, http and file
// addresses are followed; a file that does not match is removed and never becomes part of a data directory.
#include "lethe/download.h"
#include "base/base.h"
#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const char *name;
    int64_t n_bytes;
    const char *sha256;
};
enum { MAX_FILES = 4 };
static const struct set {
    const char *name, *folder, *url; // folder under the data directory
    struct file file[MAX_FILES];     // ends with name NULL when shorter
} sets[] = {
    {"cifar10",
     "cifar-10-batches-bin",
     "https://www.cs.toronto.edu/~kriz/",
     {{"cifar-10-binary.tar.gz", 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}}},
    {"cifar100",
     "cifar-100-binary",
     "https://www.cs.toronto.edu/~kriz/",
     {{"cifar-100-binary.tar.gz", 168513733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}}},
    {"mnist",
     "mnist",
     "https://storage.googleapis.com/cvdf-datasets/mnist/",
     {{"train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
      {"train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
      {"t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
      {"t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}}},
    {"fashion-mnist",
     "fashion-mnist",
     "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
     {{"train-images-idx3-ubyte.gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
      {"train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
      {"t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
      {"t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}}},
    {"svhn",
     "svhn",
     "http://ufldl.stanford.edu/housenumbers/",
     {{"train_32x32.mat", 182040794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"},
      {"test_32x32.mat", 64275384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"}}},
};
enum { N_SETS = sizeof sets / sizeof *sets };

static const struct set *find_set(const char *name)
{
    for (int i = 0; i < N_SETS; i++)
        if (!strcmp(sets[i].name, name))
            return &sets[i];
    return NULL;
}

bool lt_can_download(const char *kind)
{
    return find_set(kind) != NULL;
}

const char *lt_downloadable(void)
{
    return "cifar10, cifar100, mnist, fashion-mnist and svhn";
}

// ---- SHA-256 of a file

static lt_status sha256_of(const char *path, char out[65])
{
    enum { CHUNK = 1 << 16 };
    crypto_hash_sha256_state state;
    unsigned char digest[crypto_hash_sha256_BYTES], *chunk = lti_malloc(CHUNK);
    if (!chunk)
        return LTI_NOMEM(path);
    FILE *f = fopen(path, "rbe");
    size_t n;
    if (!f) {
        lti_free(chunk);
        return lti_errno_fail("read", path);
    }
    crypto_hash_sha256_init(&state);
    while ((n = fread(chunk, 1, CHUNK, f)) > 0)
        crypto_hash_sha256_update(&state, chunk, n);
    bool failed = ferror(f) != 0;
    fclose(f);
    lti_free(chunk);
    if (failed)
        return LT_FAIL(LT_E_INPUT, "%s: read error", path);
    crypto_hash_sha256_final(&state, digest);
    sodium_bin2hex(out, 65, digest, sizeof digest);
    return LT_OK;
}

static lt_status check_file(const struct file *file, const char *path)
{
    struct stat st;
    char found[65];
    if (stat(path, &st) != 0)
        return lti_errno_fail("read", path);
    if (st.st_size != file->n_bytes)
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected %lld bytes, found %lld", file->name, (long long)file->n_bytes,
                       (long long)st.st_size);
    LT_TRY(sha256_of(path, found));
    if (strcmp(found, file->sha256) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected SHA-256 %s, found %s", file->name, file->sha256, found);
    return LT_OK;
}

// ---- transfer

struct transfer {
    const lt_download_spec *spec;
    FILE *out;
    const struct file *file;
    bool write_failed;
    int write_errno;
};

static size_t on_bytes(char *bytes, size_t size, size_t n, void *self)
{
    struct transfer *t = self;
    size_t written = fwrite(bytes, size, n, t->out);
    if (written != n) {
        t->write_failed = true;
        t->write_errno = errno;
    }
    return written * size;
}

static int on_progress(void *self, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    struct transfer *t = self;
    (void)up_total;
    (void)up_now;
    lt_event event = {.kind = LT_EV_PROGRESS,
                      .name = "data.get",
                      .done = now / 1024,
                      .total = total / 1024,
                      .unit = "KiB",
                      .epoch = -1,
                      .step = -1};
    lt_emit(t->spec->events, &event);
    return lt_interrupted(t->spec->stop); // not 0: libcurl stops
}

static lt_status configure(CURL *curl, struct transfer *t, const char *url, char *message)
{
    bool ok = curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http,file") == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https,http") == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 8L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 100L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->file->n_bytes) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_USERAGENT, "lethe/" LT_VERSION) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_WRITEDATA, t) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t) == CURLE_OK;
    return ok ? LT_OK : LT_FAIL(LT_E_FAIL, "libcurl refuses an option");
}

static lt_status explain(const struct transfer *t, CURLcode code, const char *url, const char *message)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return LT_FAIL(LT_E_INTERRUPTED, "%s: download interrupted", url);
    if (t->write_failed)
        return LT_FAIL(t->write_errno == ENOSPC ? LT_E_NOSPACE : LT_E_IO, "%s: cannot write: %s", t->file->name,
                       strerror(t->write_errno));
    if (code == CURLE_FILESIZE_EXCEEDED)
        return LT_FAIL(LT_E_INTEGRITY, "%s: larger than the official %lld bytes", url, (long long)t->file->n_bytes);
    LT_FAIL(LT_E_IO, "%s: %s", url, *message ? message : curl_easy_strerror(code));
    return lt_error_hint("is this machine online? --url takes another folder that holds %s, also file:///...",
                         t->file->name);
}

static lt_status transfer(const lt_download_spec *spec, const struct file *file, const char *url, const char *path)
{
    char message[CURL_ERROR_SIZE] = "";
    struct transfer t = {.spec = spec, .out = fopen(path, "wbe"), .file = file};
    if (!t.out)
        return lti_errno_fail("write", path);
    CURL *curl = curl_easy_init();
    lt_status status = curl ? configure(curl, &t, url, message) : LT_FAIL(LT_E_NOMEM, "out of memory: libcurl");
    if (status == LT_OK) {
        CURLcode code = curl_easy_perform(curl);
        if (fflush(t.out) != 0 && code == CURLE_OK) {
            t.write_failed = true;
            t.write_errno = errno;
            code = CURLE_WRITE_ERROR;
        }
        status = code == CURLE_OK ? LT_OK : explain(&t, code, url, message);
    }
    curl_easy_cleanup(curl);
    fclose(t.out);
    return status;
}

static lt_status fetch_file(const lt_download_spec *spec, const struct file *file, const char *base, const char *dir,
                            bool *cached)
{
    char *path = lti_asprintf("%s/%s", dir, file->name), *part = lti_asprintf("%s/%s.part", dir, file->name);
    char *url = lti_asprintf("%s%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/", file->name);
    lt_status status = path && part && url ? check_file(file, path) : LTI_NOMEM("file names");
    if (status == LT_OK || status == LT_E_NOMEM)
        goto done;
    lt_error_clear(); // missing, or another file: get it
    *cached = false;
    lt_info(spec->events, "data.download", "downloading %s", url);
    status = transfer(spec, file, url, part);
    if (status == LT_OK)
        status = check_file(file, part);
    if (status == LT_OK && rename(part, path) != 0)
        status = lti_errno_fail("write", path);
    if (status != LT_OK)
        unlink(part);
done:
    lti_free(path);
    lti_free(part);
    lti_free(url);
    return status;
}

// How many bytes of `path` name folders that exist already.
static size_t existing_prefix(const char *path)
{
    struct stat st;
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    while (stat(copy, &st) != 0) {
        char *slash = strrchr(copy, '/');
        if (!slash)
            return 0;
        *slash = '\0';
    }
    return strlen(copy);
}

// The folders below the first `keep` bytes of path, where they are empty.
static void remove_empty(const char *path, size_t keep)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    while (strlen(copy) > keep && rmdir(copy) == 0) {
        char *slash = strrchr(copy, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

lt_status lt_download_dataset(const lt_download_spec *spec, lt_download *result)
{
    const char *names[N_SETS + 1] = {NULL};
    for (int i = 0; i < N_SETS; i++)
        names[i] = sets[i].name;
    *result = (lt_download){.cached = true};
    const struct set *set = find_set(spec->name);
    if (!set) {
        const lt_status status = LT_FAIL(LT_E_USAGE, "data get: '%s' has no official download here", spec->name);
        const char *near = lt_nearest(spec->name, names);
        if (near)
            lt_error_hint("did you mean %s?", near);
        lt_error_hint("%s can be downloaded", lt_downloadable());
        return status;
    }
    const int n = snprintf(result->dir, sizeof result->dir, "%s/%s", spec->dir, set->folder);
    if (n < 0 || (size_t)n >= sizeof result->dir)
        return LT_FAIL(LT_E_USAGE, "data get: the path of the folder is longer than %zu bytes", sizeof result->dir - 1);
    const size_t existed = existing_prefix(result->dir);
    lt_status status = lt_make_dirs(result->dir);
    if (status == LT_OK && (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0))
        status = LT_FAIL(LT_E_FAIL, "libsodium or libcurl does not start");
    for (int i = 0; i < MAX_FILES && set->file[i].name && status == LT_OK; i++)
        status = fetch_file(spec, &set->file[i], spec->url && *spec->url ? spec->url : set->url, result->dir,
                            &result->cached);
    if (status != LT_OK)
        remove_empty(result->dir, existed);
    curl_global_cleanup();
    return status;
}
