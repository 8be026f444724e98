// fuzz_zip.h - a sound zip archive of stored members around arbitrary bytes, which keeps a fuzzer from spending its
// time on checksums.
#ifndef LT_FUZZ_ZIP_H
#define LT_FUZZ_ZIP_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct fuzz_member {
    const char *name;
    const uint8_t *bytes;
    uint32_t n;
} fuzz_member;

static inline unsigned char *fuzz_put(unsigned char *p, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        *p++ = (unsigned char)(value >> 8 * i);
    return p;
}

// What the local header and the directory say in the same words.
static inline unsigned char *fuzz_put_member(unsigned char *p, const fuzz_member *m)
{
    p = fuzz_put(p, 20, 2);
    p = fuzz_put(p, 0, 2);
    p = fuzz_put(p, 0, 2); // stored
    p = fuzz_put(p, 33 << 16, 4);
    p = fuzz_put(p, (uint32_t)crc32_z(crc32_z(0, NULL, 0), m->bytes, m->n), 4);
    p = fuzz_put(p, m->n, 4);
    p = fuzz_put(p, m->n, 4);
    p = fuzz_put(p, (uint32_t)strlen(m->name), 2);
    return fuzz_put(p, 0, 2);
}

static inline unsigned char *fuzz_put_bytes(unsigned char *p, const void *bytes, size_t n)
{
    if (n)
        memcpy(p, bytes, n);
    return p + n;
}

// malloc'ed; *size: its length. NULL when out of memory. At most 8 members.
static inline unsigned char *fuzz_zip(const fuzz_member *member, int n_members, size_t *size)
{
    enum { MEMBERS_MAX = 8, HEADERS = 200 };
    size_t room = HEADERS;
    uint32_t offset[MEMBERS_MAX];
    for (int i = 0; i < n_members; i++)
        room += member[i].n + 2 * strlen(member[i].name) + HEADERS;
    unsigned char *zip = malloc(room), *p = zip;
    if (!zip || n_members > MEMBERS_MAX) {
        free(zip);
        return NULL;
    }
    for (int i = 0; i < n_members; i++) {
        offset[i] = (uint32_t)(p - zip);
        p = fuzz_put_member(fuzz_put(p, 0x04034b50, 4), &member[i]);
        p = fuzz_put_bytes(p, member[i].name, strlen(member[i].name));
        p = fuzz_put_bytes(p, member[i].bytes, member[i].n);
    }
    const uint32_t directory = (uint32_t)(p - zip);
    for (int i = 0; i < n_members; i++) {
        p = fuzz_put(fuzz_put(p, 0x02014b50, 4), 20, 2);
        p = fuzz_put_member(p, &member[i]);
        p = fuzz_put(p, 0, 2); // comment
        p = fuzz_put(p, 0, 4); // disk, attributes
        p = fuzz_put(p, 0, 4);
        p = fuzz_put(p, offset[i], 4);
        p = fuzz_put_bytes(p, member[i].name, strlen(member[i].name));
    }
    const uint32_t directory_bytes = (uint32_t)(p - zip) - directory;
    p = fuzz_put(fuzz_put(p, 0x06054b50, 4), 0, 4);
    p = fuzz_put(p, (uint32_t)n_members, 2);
    p = fuzz_put(p, (uint32_t)n_members, 2);
    p = fuzz_put(p, directory_bytes, 4);
    p = fuzz_put(p, directory, 4);
    p = fuzz_put(p, 0, 2);
    *size = (size_t)(p - zip);
    return zip;
}
#endif
