// output_file.c - what kind of file lies where one is to be written, by its first bytes.
#include "lethe/output_file.h"
#include "base/base.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 1024, ZIP_NAME = 30 }; // offset of the first member's name in a zip archive

static bool begins(const char *head, size_t n, const char *text)
{
    return n >= strlen(text) && !memcmp(head, text, strlen(text));
}

static bool is_page(const char *head, size_t n)
{
    return memmem(head, n, "<meta name=\"generator\" content=\"lethe ", 37) != NULL;
}

static bool is_csv(const char *head, size_t n)
{
    return begins(head, n, "method,uses,") || begins(head, n, "section,model,") ||
           begins(head, n, "id,group,label,score");
}

static bool is_markdown(const char *head, size_t n)
{
    return begins(head, n, "| method | uses |") || begins(head, n, "# ");
}

// An archive of arrays: its first member is one. A model of PyTorch is a zip archive too, but of other members.
static bool is_npz(const char *head, size_t n)
{
    if (n < ZIP_NAME || memcmp(head, "PK\003\004", 4) != 0)
        return false;
    const size_t length = (size_t)(unsigned char)head[26] | (size_t)(unsigned char)head[27] << 8;
    return length > 4 && ZIP_NAME + length <= n && !memcmp(head + ZIP_NAME + length - 4, ".npy", 4);
}

// Exports of `lethe quantize`.
static bool is_exported_c(const char *head, size_t n)
{
    return memmem(head, n, "exported by lethe", 17) != NULL;
}

static bool is_exported_onnx(const char *head, size_t n) // ir_version, then the producer: fields 1 and 2
{
    return n >= 9 && head[0] == 8 && !memcmp(head + 2, "\022\005lethe", 7);
}

static bool is_packed(const char *head, size_t n)
{
    return memmem(head, n, "\"lethe.packed\"", 14) != NULL;
}

static bool is_png(const char *head, size_t n)
{
    return begins(head, n, "\211PNG\r\n\032\n");
}

static bool is_nothing(const char *head, size_t n)
{
    (void)head;
    (void)n;
    return false;
}

static const struct {
    const char *what;
    bool (*is_kind)(const char *head, size_t n);
} kinds[] = {
    [LT_OUTPUT_PAGE] = {"a report of lethe", is_page},
    [LT_OUTPUT_CSV] = {"a table of lethe (.csv)", is_csv},
    [LT_OUTPUT_MARKDOWN] = {"a report of lethe (.md)", is_markdown},
    [LT_OUTPUT_NPZ] = {"an archive of arrays (.npz)", is_npz},
    [LT_OUTPUT_C] = {"an integer network that lethe exported as C", is_exported_c},
    [LT_OUTPUT_ONNX] = {"a network that lethe exported as ONNX", is_exported_onnx},
    [LT_OUTPUT_PACKED] = {"an integer network that lethe packed", is_packed},
    [LT_OUTPUT_PNG] = {"a picture (.png)", is_png},
    [LT_OUTPUT_NEW] = {"a new file", is_nothing},
};

// A file can be made, or written again by renaming, where its directory may be written.
static lt_status check_directory(const char *option, const char *path)
{
    char *directory = lti_strdup(path);
    if (!directory)
        return LTI_NOMEM("output file");
    char *slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory] = '\0';
    lt_status status = LT_OK;
    if (access(slash ? directory : ".", W_OK) != 0)
        status = LT_FAIL(LT_E_FAIL, "--%s: cannot write %s: %s", option, path, strerror(errno));
    lti_free(directory);
    return status;
}

lt_status lt_output_check(const char *option, const char *path, lt_output_kind kind, bool force)
{
    struct stat st;
    char head[HEAD];
    if (!path || !*path)
        return LT_OK;
    const bool exists = stat(path, &st) == 0;
    if (!exists || S_ISREG(st.st_mode))
        LT_TRY(check_directory(option, path));
    if (!exists || force || !S_ISREG(st.st_mode) || st.st_size == 0)
        return LT_OK; // devices and pipes hold nothing that could be lost
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f)
        fclose(f);
    if (kinds[kind].is_kind(head, n))
        return LT_OK;
    if (kind == LT_OUTPUT_NEW)
        LT_FAIL(LT_E_USAGE, "--%s %s: expected no file, found one", option, path);
    else
        LT_FAIL(LT_E_USAGE, "--%s %s: expected %s or no file, found something else", option, path, kinds[kind].what);
    return lt_error_hint("choose another name, or overwrite it with --force");
}
