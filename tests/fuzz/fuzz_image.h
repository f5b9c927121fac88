/* What the fuzz targets of the picture decoders share: the promises of image_decode, checked on any
 * input. */
#ifndef VISAVIS_TESTS_FUZZ_IMAGE_H
#define VISAVIS_TESTS_FUZZ_IMAGE_H

#include "engine/image/image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline void fuzz_require(bool ok)
{
    if (!ok) abort();
}

/* Only inputs that begin with signature: each target keeps to its own format. */
static inline int fuzz_image(const char *signature, size_t signature_len, const uint8_t *data,
                             size_t len)
{
    if (len < signature_len || memcmp(data, signature, signature_len) != 0) return 0;
    struct image im = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    if (image_decode(&im, data, len, &err)) {
        fuzz_require(!im.rgb && err.code != ERR_OK && err.code != ERR_INTERNAL && err.message[0]);
        return 0;
    }
    fuzz_require(im.rgb && im.w >= 1 && im.h >= 1 && im.w <= IMAGE_MAX_SIDE &&
                 im.h <= IMAGE_MAX_SIDE && (int64_t)im.w * im.h <= IMAGE_MAX_PIXELS);
    /* Every pixel is written: a branch on each lets valgrind and memory sanitizers see one that is
     * not. */
    size_t black = 0, n = (size_t)im.w * (size_t)im.h * 3;
    for (size_t i = 0; i < n; i++)
        if (!im.rgb[i]) black++;
    fuzz_require(black <= n);
    image_release(&im);
    return 0;
}

#endif
