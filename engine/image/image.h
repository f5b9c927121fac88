/* Pictures: encoded bytes -> upright RGB8, and the few operations on pixels that the pipeline
 * needs. Pure functions, any thread. Formats: JPEG (libjpeg-turbo), PNG (libspng), WebP (libwebp);
 * EXIF orientation is applied here, so that nothing above this module ever sees a sideways picture
 * that its camera marked as such.
 *
 * Limits are checked on the header, before memory is taken. Coordinates: x right, y down, (0,0) is
 * the top left pixel. */
#ifndef VISAVIS_ENGINE_IMAGE_IMAGE_H
#define VISAVIS_ENGINE_IMAGE_IMAGE_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    IMAGE_MAX_SIDE = 16384,              /* pixels */
    IMAGE_MAX_PIXELS = 64 * 1000 * 1000, /* 64 megapixels = 192 MB as RGB8 */
};

struct image {
    int w, h;     /* pixels, 1..IMAGE_MAX_SIDE */
    uint8_t *rgb; /* [h][w][3], row-major, no padding; owned */
};
#define IMAGE_INIT                                                                                 \
    {                                                                                              \
        0, 0, NULL                                                                                 \
    }

/* Decodes by content (never by name). On ERR_OK *out is the caller's (image_release). Alpha is
 * composed onto white; grey and palette become RGB; 16-bit samples keep their upper 8 bits; CMYK
 * and YCCK JPEG (Adobe's inverted too) become RGB; of an animated WebP the first frame is taken.
 * JPEG pixels are those of libjpeg-turbo's defaults (slow integer IDCT, smooth upsampling):
 * descriptors depend on it (facts/default-models.md section 4). A progressive JPEG takes three
 * times the memory of its pixels while it is decoded, a lossless WebP or one with alpha twice and a
 * third. ERR_UNSUPPORTED_IMAGE: not JPEG/PNG/WebP, or a variant refused by name (12-bit, lossless,
 * hierarchical, arithmetic-coded JPEG); ERR_BAD_IMAGE: empty, damaged, or cut short (a cut JPEG is
 * refused, not filled with grey; only its end marker may be missing); ERR_TOO_LARGE: over
 * IMAGE_MAX_SIDE or IMAGE_MAX_PIXELS, or a progressive JPEG of far too many scans; ERR_NOMEM. */
NODISCARD enum err image_decode(struct image *out, const uint8_t *data, size_t len,
                                struct err_info *err);
void image_release(struct image *im);

/* out: a new w x h picture, black (0). ERR_INVALID (below 1), ERR_TOO_LARGE, ERR_NOMEM. */
NODISCARD enum err image_new(struct image *out, int w, int h, struct err_info *err);

/* EXIF orientation 1..8 of a block that begins "Exif\0\0" or directly with a TIFF header; 1 where
 * there is none or it is damaged. */
int exif_orientation(const uint8_t *data, size_t len);

/* Turns im in place into what EXIF orientation 1..8 asks for (8 transforms of the square).
 * ERR_NOMEM leaves it as it was. */
NODISCARD enum err image_orient(struct image *im, int orientation, struct err_info *err);

/* out: in turned by quarter * 90 degrees clockwise (quarter 0..3). */
NODISCARD enum err image_rotate(struct image *out, const struct image *in, int quarter,
                                struct err_info *err);

/* out: in on a black canvas of w x h with its corner at (x, y); may be negative (then it is cut).
 */
NODISCARD enum err image_pad(struct image *out, const struct image *in, int x, int y, int w, int h,
                             struct err_info *err);

/* out: in resized to w x h, rounded to 8 bits. Shrinking averages the source area of each pixel
 * (box filter with fractional edges), enlarging is bilinear with pixel centres aligned
 * (half-pixel). */
NODISCARD enum err image_resize(struct image *out, const struct image *in, int w, int h,
                                struct err_info *err);

/* torch's adaptive average pooling of a part of a picture (facts/default-models.md section 2, "Area
 * resample"; also enlarges). out: float planes [3][oh][ow] in R,G,B order, not rounded, each value
 * (v + bias) * scale. The part is columns x..x+w-1, rows y..y+h-1 of in and must lie inside it
 * (assert). scratch-free, cannot fail. */
void image_area_resample(float *out, int ow, int oh, const struct image *in, int x, int y, int w,
                         int h, float bias, float scale);

/* Appends an encoded file to out. channels 1 (grey), 3 (RGB) or 4 (RGBA), pixels [h][w][channels].
 * JPEG takes 3 only, quality 1..100. */
NODISCARD enum err image_encode_png(struct buf *out, const uint8_t *pixels, int w, int h,
                                    int channels, struct err_info *err);
NODISCARD enum err image_encode_jpeg(struct buf *out, const struct image *im, int quality,
                                     struct err_info *err);

#define AUTO_IMAGE __attribute__((cleanup(image_release)))

#endif
