// fuzz_tar.c - arbitrary bytes as a tar archive: read as a shard, and as class folders.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const lti_raw *raw)
{
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < raw->split[s].n; i++)
            if (raw->split[s].y[i] < 0 || raw->split[s].y[i] >= raw->n_classes)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lti_spec spec = {0};
    lti_open_args args = {.kind = "tar", .path = "fuzz", .spec = &spec};
    for (int folders = 0; folders < 2; folders++) {
        lti_tar *tar;
        lti_image_list pile;
        lti_raw raw = {0};
        bool has_test = false;
        if (lti_image_list_init(&pile, &args) != LT_OK)
            abort();
        if (lti_tar_parse(bytes, n, "fuzz", &tar) == LT_OK) {
            lt_status status = folders ? lti_tar_folder_parse(tar, &args, &has_test, &pile)
                                       : lti_shard_parse(tar, "fuzz", LT_TRAIN, &pile);
            if (status == LT_OK && lti_image_list_finish(&pile, &raw) == LT_OK)
                check(&raw);
            lti_tar_close(tar);
        }
        lti_raw_clear(&raw);
        lti_image_list_clear(&pile);
    }
    return 0;
}
