// fuzz_image.c - arbitrary bytes as a JPEG or PNG image, then resized when it is one.
#include "data/data_impl.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { SIDE = 16 };
    lti_image image;
    if (lti_image_decode(bytes, n, "fuzz", &image) == LT_OK) {
        if (!image.px || (image.c != 1 && image.c != 3))
            abort();
        if (lti_image_fit(&image, SIDE, "fuzz") == LT_OK && (image.h != SIDE || image.w != SIDE))
            abort();
    } else if (image.px) {
        abort();
    }
    lti_image_clear(&image);
    return 0;
}
