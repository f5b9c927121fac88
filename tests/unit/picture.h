/* What the tests of engine/image share: pictures made of a formula, and how far two are apart.
 * Include after cmocka.h. */
#ifndef VISAVIS_TESTS_UNIT_PICTURE_H
#define VISAVIS_TESTS_UNIT_PICTURE_H

#include "engine/base/buf.h"
#include "engine/image/image.h"

#include <stdlib.h>
#include <string.h>

/* The goldens' pattern: every pixel differs from its neighbours, so that a shift or a swap shows.
 */
static inline uint8_t picture_value(int x, int y, int c)
{
    return (uint8_t)((7 * x + 13 * y + 29 * c + 5 * ((x * y) % 17)) % 256);
}

static inline struct image picture_pattern(int w, int h)
{
    struct image im = IMAGE_INIT;
    assert_int_equal(image_new(&im, w, h, NULL), ERR_OK);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) im.rgb[(y * w + x) * 3 + c] = picture_value(x, y, c);
    return im;
}

/* Slow gradients in all channels: what lossy formats keep within a few levels. */
static inline struct image picture_smooth(int w, int h)
{
    struct image im = IMAGE_INIT;
    assert_int_equal(image_new(&im, w, h, NULL), ERR_OK);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *p = im.rgb + (y * w + x) * 3;
            p[0] = (uint8_t)(40 + 150 * x / w);
            p[1] = (uint8_t)(60 + 130 * y / h);
            p[2] = (uint8_t)(200 - 60 * x / w - 60 * y / h);
        }
    return im;
}

/* The greatest difference of two values; 256 where the sizes differ. */
static inline int picture_distance(const struct image *a, const struct image *b)
{
    if (a->w != b->w || a->h != b->h) return 256;
    int most = 0;
    for (size_t i = 0; i < (size_t)a->w * (size_t)a->h * 3; i++) {
        int d = abs((int)a->rgb[i] - (int)b->rgb[i]);
        if (d > most) most = d;
    }
    return most;
}

/* The mean difference. Sizes must agree. */
static inline double picture_mean_distance(const struct image *a, const struct image *b)
{
    double sum = 0;
    size_t n = (size_t)a->w * (size_t)a->h * 3;
    for (size_t i = 0; i < n; i++) sum += abs((int)a->rgb[i] - (int)b->rgb[i]);
    return sum / (double)n;
}

/* Decodes from a block of exactly len bytes (a sanitizer sees a byte read beyond it). Checks that
 * out is untouched on failure. */
static inline enum err picture_decode(struct image *out, const uint8_t *data, size_t len,
                                      struct err_info *err)
{
    uint8_t *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    if (len) memcpy(exact, data, len);
    struct image before = *out;
    enum err rc = image_decode(out, exact, len, err);
    if (rc) assert_memory_equal(out, &before, sizeof before);
    free(exact);
    return rc;
}

/* The data must be refused with that code, and a message that has text in it. name: of the case. */
static inline void picture_refused(const char *name, const uint8_t *data, size_t len, enum err want,
                                   const char *text)
{
    struct image im = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    enum err rc = picture_decode(&im, data, len, &err);
    if (rc != want || err.code != want || !strstr(err.message, text))
        fail_msg("%s: %s \"%s\", expected %s \"...%s...\"", name, err_name(rc), err.message,
                 err_name(want), text);
}

/* The data must decode to want within `within` levels. */
static inline void picture_is(const char *name, const uint8_t *data, size_t len,
                              const struct image *want, int within)
{
    struct image im = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    if (picture_decode(&im, data, len, &err)) fail_msg("%s: %s", name, err.message);
    int d = picture_distance(&im, want);
    if (d > within)
        fail_msg("%s: %dx%d, expected %dx%d, %d levels apart, expected %d", name, im.w, im.h,
                 want->w, want->h, d, within);
    image_release(&im);
}

#endif
