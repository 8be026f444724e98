// png_write.h - small pictures as data URIs, for pages.
#ifndef LTI_DATA_PNG_WRITE_H
#define LTI_DATA_PNG_WRITE_H
#include "base/base.h"

lt_status lti_png_encode(lti_buf *out, int c, int h, int w, const uint8_t *x); // the file; out is empty before
lt_status lti_png_data_uri(lti_buf *b, int c, int h, int w, const uint8_t *x); // (C,H,W) bytes, C = 1 or 3
#endif
