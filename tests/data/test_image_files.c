// test_image_files.c - JPEG and PNG decoding, damaged and huge files, resizing.
#include "data_test.h"
#include <zlib.h>

static void png_depths_and_colours(void **state)
{
    (void)state;
    enum { H = 5, W = 7 };
    uint8_t px[H * W * 8], *bytes;
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)(i * 37 + 11);
    static const struct {
        int type, depth, channels, c; // channels in the file, c after decoding
        bool interlaced;
    } cases[] = {
        {PNG_COLOR_TYPE_RGB, 8, 3, 3, false},       {PNG_COLOR_TYPE_RGB, 8, 3, 3, true},
        {PNG_COLOR_TYPE_GRAY, 8, 1, 1, false},      {PNG_COLOR_TYPE_RGB_ALPHA, 8, 4, 3, false},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 2, 1, true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int ch = cases[k].channels;
        size_t n = make_png(px, H, W, cases[k].type, 8, cases[k].interlaced, (size_t)(W * ch), &bytes);
        lti_image im;
        assert_ok(lti_image_decode(bytes, n, "x.png", &im));
        assert_int_equal(im.c, cases[k].c);
        assert_int_equal(im.h, H);
        assert_int_equal(im.w, W);
        for (int c = 0; c < im.c; c++)
            for (int i = 0; i < H * W; i++)
                assert_int_equal(im.px[c * H * W + i], px[i * ch + c]);
        lti_image_clear(&im);
        free(bytes);
    }
    // two bits of grey: 0, 85, 170, 255; packed from the left
    static const uint8_t packed[2] = {0x1b, 0xe4};
    lti_image im;
    size_t n = make_png(packed, 2, 4, PNG_COLOR_TYPE_GRAY, 2, false, 1, &bytes);
    assert_ok(lti_image_decode(bytes, n, "grey2", &im));
    static const uint8_t grey[8] = {0, 85, 170, 255, 255, 170, 85, 0};
    assert_int_equal(im.c, 1);
    assert_memory_equal(im.px, grey, 8);
    lti_image_clear(&im);
    free(bytes);
    n = make_png(packed, 2, 4, PNG_COLOR_TYPE_PALETTE, 2, false, 1, &bytes);
    assert_ok(lti_image_decode(bytes, n, "palette", &im));
    static const uint8_t red[8] = {10, 40, 70, 200, 200, 70, 40, 10};
    assert_int_equal(im.c, 3);
    assert_memory_equal(im.px, red, 8);
    lti_image_clear(&im);
    free(bytes);
    static const uint8_t wide[4] = {0x12, 0x34, 0xff, 0xff}; // 16 bits: the nearest of 255 steps
    n = make_png(wide, 1, 2, PNG_COLOR_TYPE_GRAY, 16, false, 4, &bytes);
    assert_ok(lti_image_decode(bytes, n, "grey16", &im));
    assert_int_equal(im.px[0], 0x12);
    assert_int_equal(im.px[1], 255);
    lti_image_clear(&im);
    free(bytes);
}

static void jpeg_colours(void **state)
{
    (void)state;
    enum { H = 20, W = 17 };
    uint8_t px[H * W * 4], *bytes;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int k = 0; k < 4; k++)
                px[(y * W + x) * 4 + k] = (uint8_t)(60 + 5 * k + 4 * x + 3 * y);
    for (int c = 1; c <= 4; c += c == 1 ? 2 : 1) {
        uint8_t part[H * W * 4];
        for (int i = 0; i < H * W; i++)
            for (int k = 0; k < c; k++)
                part[i * c + k] = px[i * 4 + k];
        size_t n = make_jpeg(part, H, W, c, &bytes);
        lti_image im;
        assert_ok(lti_image_decode(bytes, n, "x.jpg", &im));
        assert_int_equal(im.c, c == 1 ? 1 : 3);
        assert_int_equal(im.h, H);
        assert_int_equal(im.w, W);
        for (int k = 0; k < im.c; k++)
            for (int i = 0; i < H * W; i++) {
                int want = part[i * c + k];
                if (c == 4) // written by the Adobe rule: ink 255 is none
                    want = (part[i * 4 + k] * part[i * 4 + 3] + 127) / 255;
                assert_in_range(im.px[k * H * W + i] + 256, want + 256 - 4, want + 256 + 4);
            }
        lti_image_clear(&im);
        free(bytes);
    }
}

// Every truncation, and every single broken byte in the header region, either decodes or fails with a line: never both.
static void damaged_images(void **state)
{
    (void)state;
    uint8_t *png, *jpeg, px[12 * 12 * 3];
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)(i * i);
    size_t n_png = make_png(px, 12, 12, PNG_COLOR_TYPE_RGB, 8, false, 36, &png),
           n_jpeg = make_jpeg(px, 12, 12, 3, &jpeg);
    lti_image im;
    for (size_t n = 0; n < n_png; n++) {
        uint8_t *exact = malloc(n + !n); // so that a sanitizer sees a read past the end
        memcpy(exact, png, n);
        assert_fails(LT_E_FORMAT, "x.png", lti_image_decode(exact, n, "x.png", &im));
        assert_null(im.px);
        free(exact);
    }
    for (size_t n = 0; n + 2 < n_jpeg; n++) { // without the two bytes of the end mark all pixels are there
        uint8_t *exact = malloc(n + !n);
        memcpy(exact, jpeg, n);
        assert_fails(LT_E_FORMAT, "x.jpg", lti_image_decode(exact, n, "x.jpg", &im));
        assert_null(im.px);
        free(exact);
    }
    int n_bad = 0;
    for (size_t at = 8; at < n_png; at++) {
        png[at] ^= 0x40;
        lt_status status = lti_image_decode(png, n_png, "x.png", &im);
        n_bad += status == LT_E_FORMAT;
        assert_true((status == LT_OK) == (im.px != NULL));
        lti_image_clear(&im);
        png[at] ^= 0x40;
    }
    assert_true(n_bad > (int)n_png - 40); // checksums see nearly all
    for (size_t at = 2; at < n_jpeg; at++) {
        jpeg[at] ^= 0x40;
        lt_status status = lti_image_decode(jpeg, n_jpeg, "x.jpg", &im);
        assert_true((status == LT_OK) == (im.px != NULL));
        lti_image_clear(&im);
        jpeg[at] ^= 0x40;
    }
    free(png);
    free(jpeg);
    assert_fails(LT_E_FORMAT, "x: empty file", lti_image_decode((const uint8_t *)"", 0, "x", &im));
    assert_fails(LT_E_FORMAT, "x: neither a JPEG nor a PNG", lti_image_decode((const uint8_t *)"GIF89a", 6, "x", &im));
}

static void huge_images_are_refused(void **state)
{
    (void)state;
    uint8_t *bytes, px[3] = {1, 2, 3};
    size_t n = make_png(px, 1, 1, PNG_COLOR_TYPE_RGB, 8, false, 3, &bytes);
    lti_image im;
    static const uint32_t sizes[][2] = {{0x7fffffff, 1}, {16385, 1}, {16384, 16384}, {0, 5}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (int i = 0; i < 8; i++)
            bytes[16 + i] = (uint8_t)(sizes[k][i / 4] >> (24 - 8 * (i % 4)));
        uLong crc = crc32(0, bytes + 12, 17);
        for (int i = 0; i < 4; i++)
            bytes[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
        assert_fails(LT_E_FORMAT, "x.png", lti_image_decode(bytes, n, "x.png", &im));
        assert_null(im.px);
    }
    free(bytes);
    assert_fails(LT_E_FORMAT, "16384x16384 pixels", lti_image_alloc(3, 16384, 16384, "x", &im));
    assert_fails(LT_E_FORMAT, "16385x1 pixels", lti_image_alloc(3, 1, 16385, "x", &im));
}

static void resizing(void **state)
{
    (void)state;
    lti_image im;
    // 4x4 to 2x2: triangle of width 2, so a constant stays, and a step stays within its ends
    assert_ok(lti_image_alloc(1, 4, 4, "x", &im));
    memset(im.px, 200, 16);
    assert_ok(lti_image_fit(&im, 2, "x"));
    assert_int_equal(im.h, 2);
    for (int i = 0; i < 4; i++)
        assert_int_equal(im.px[i], 200);
    lti_image_clear(&im);
    // an even ramp: reduced by two, pixel i is the ramp at (2 i + 1/2)
    assert_ok(lti_image_alloc(1, 16, 16, "x", &im));
    for (int i = 0; i < 256; i++)
        im.px[i] = (uint8_t)(10 * (i % 16) + i / 16);
    assert_ok(lti_image_fit(&im, 8, "x"));
    for (int r = 1; r < 7; r++) // borders lean inwards
        for (int q = 1; q < 7; q++)
            assert_in_range(im.px[8 * r + q], 10 * (2 * q) + 5 + 2 * r - 1, 10 * (2 * q) + 5 + 2 * r + 2);
    lti_image_clear(&im);
    // enlarging interpolates: 2x2 to 4x4 has the four corners
    assert_ok(lti_image_alloc(1, 2, 2, "x", &im));
    memcpy(im.px, (uint8_t[]){0, 100, 40, 140}, 4);
    assert_ok(lti_image_fit(&im, 4, "x"));
    assert_int_equal(im.px[0], 0);
    assert_int_equal(im.px[3], 100);
    assert_int_equal(im.px[12], 40);
    assert_int_equal(im.px[15], 140);
    assert_int_equal(im.px[1], 25);
    lti_image_clear(&im);
    // not square: the shorter side fits, the longer is cut to its middle
    assert_ok(lti_image_alloc(3, 4, 12, "x", &im));
    for (int i = 0; i < 3 * 48; i++)
        im.px[i] = (uint8_t)(10 * (i % 12) + i / 48);
    assert_ok(lti_image_fit(&im, 4, "x"));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 16; i++)
            assert_int_equal(im.px[16 * c + i], 10 * (4 + i % 4) + c);
    lti_image_clear(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_depths_and_colours),  cmocka_unit_test(jpeg_colours), cmocka_unit_test(damaged_images),
        cmocka_unit_test(huge_images_are_refused), cmocka_unit_test(resizing),
    };
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
