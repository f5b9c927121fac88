/* What the files of engine/image share. Each decoder takes a whole file whose signature was
 * recognised by decode.c, and gives the pixels as stored plus the EXIF orientation beside them;
 * decode.c turns the picture. */
#ifndef VISAVIS_ENGINE_IMAGE_IMAGE_INTERNAL_H
#define VISAVIS_ENGINE_IMAGE_IMAGE_INTERNAL_H

#include "engine/image/image.h"

/* Fills *out (the caller's on ERR_OK) and *orientation (1..8). Errors: as image_decode. */
NODISCARD enum err image__decode_jpeg(struct image *out, int *orientation, const uint8_t *data,
                                      size_t len, struct err_info *err);
NODISCARD enum err image__decode_png(struct image *out, int *orientation, const uint8_t *data,
                                     size_t len, struct err_info *err);
NODISCARD enum err image__decode_webp(struct image *out, int *orientation, const uint8_t *data,
                                      size_t len, struct err_info *err);

/* As image_new, but the pixels are not set. format ("JPEG", ...) begins the message. The one place
 * where the size of a picture is checked; unsigned because headers hold up to 2^32 - 1. */
NODISCARD enum err image__alloc(struct image *out, const char *format, uint32_t w, uint32_t h,
                                struct err_info *err);
/* The check alone: ERR_OK, ERR_TOO_LARGE, or ERR_BAD_IMAGE for an empty picture. */
NODISCARD enum err image__check_size(const char *format, uint32_t w, uint32_t h,
                                     struct err_info *err);

/* One 8-bit sample with alpha a (0 clear .. 255 opaque) over white, rounded. */
static inline uint8_t image__over_white(unsigned v, unsigned a)
{
    return (uint8_t)((v * a + 255 * (255 - a) + 127) / 255);
}

#endif
