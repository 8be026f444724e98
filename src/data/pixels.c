// pixels.c - the bytes of decoded images: in memory, or in a file without a name that is mapped.
//
// A set that is larger than memory is decoded into a file: the system writes pages to it and reads them back as they
// are needed. Blocks are reserved before they are used, so a full disk is an error here and not a signal at some later
// store. The file has no name, so it is gone with the process, however that ends.
#include "data_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

lt_status lti_scratch_dir(const lti_open_args *args, const char **dir)
{
    *dir = lti_spec_get(args->spec, "scratch");
    return *dir && !**dir ? LT_FAIL(LT_E_USAGE, "%s: scratch: expected a directory, found nothing", args->kind) : LT_OK;
}

static lt_status make_file(const char *dir, int *fd)
{
    char *path = lti_asprintf("%s/.pixels.tmp-XXXXXX", dir);
    if (!path)
        return LTI_NOMEM("images");
    lt_status status = LT_OK;
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0)
        status = lti_errno_fail("write", dir);
    else
        unlink(path);
    lti_free(path);
    return status;
}

static lt_status resize_file(lti_pixels *p, const char *dir, size_t bytes)
{
    if (!p->is_mapped) {
        LT_TRY(make_file(dir, &p->fd));
        p->is_mapped = true;
    }
    const int error = bytes > p->bytes ? posix_fallocate(p->fd, 0, (off_t)bytes) : 0;
    errno = error;
    if (error || (bytes < p->bytes && ftruncate(p->fd, (off_t)bytes) != 0))
        return lti_errno_fail("write", dir);
    void *x = p->x ? mremap(p->x, p->bytes, bytes, MREMAP_MAYMOVE)
                   : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
    if (x == MAP_FAILED)
        return LTI_NOMEM("images");
    p->x = x;
    p->bytes = bytes;
    return LT_OK;
}

lt_status lti_pixels_resize(lti_pixels *p, const char *dir, size_t bytes)
{
    if (bytes == p->bytes)
        return LT_OK;
    if (p->is_mapped || (dir && !p->x && bytes > 0))
        return resize_file(p, dir, bytes);
    uint8_t *x = lti_realloc(p->x, bytes);
    if (!x)
        return LTI_NOMEM("images");
    p->x = x;
    p->bytes = bytes;
    return LT_OK;
}

void lti_pixels_clear(lti_pixels *p)
{
    if (p->is_mapped) {
        if (p->x)
            munmap(p->x, p->bytes);
        if (p->fd >= 0)
            close(p->fd);
    } else {
        lti_free(p->x);
    }
    *p = (lti_pixels){0};
}
