#include "engine/image/image.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/image/image_internal.h"

enum err image__check_size(const char *format, uint32_t w, uint32_t h, struct err_info *err)
{
    if (!w || !h) return err_set(err, ERR_BAD_IMAGE, "%s is %ux%u pixels", format, w, h);
    if (w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE)
        return err_set(err, ERR_TOO_LARGE, "%s is %ux%u pixels, the limit is %d a side", format, w,
                       h, IMAGE_MAX_SIDE);
    if ((uint64_t)w * h > IMAGE_MAX_PIXELS)
        return err_set(err, ERR_TOO_LARGE,
                       "%s is %ux%u pixels = %.1f megapixels, the limit is %d megapixels", format,
                       w, h, w * 1e-6 * h, IMAGE_MAX_PIXELS / 1000000);
    return ERR_OK;
}

enum err image__alloc(struct image *out, const char *format, uint32_t w, uint32_t h,
                      struct err_info *err)
{
    enum err rc = image__check_size(format, w, h, err);
    if (rc) return rc;
    uint8_t *rgb = malloc((size_t)w * h * 3);
    if (!rgb) return err_set(err, ERR_NOMEM, "no memory for a picture of %ux%u pixels", w, h);
    *out = (struct image){(int)w, (int)h, rgb};
    return ERR_OK;
}

enum err image_new(struct image *out, int w, int h, struct err_info *err)
{
    if (w < 1 || h < 1)
        return err_set(err, ERR_INVALID, "a picture of %dx%d pixels cannot be made", w, h);
    enum err rc = image__alloc(out, "picture", (uint32_t)w, (uint32_t)h, err);
    if (!rc) memset(out->rgb, 0, (size_t)w * (size_t)h * 3);
    return rc;
}

void image_release(struct image *im)
{
    if (!im) return;
    free(im->rgb);
    *im = (struct image)IMAGE_INIT;
}
