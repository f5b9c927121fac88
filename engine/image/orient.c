/* Moves of whole pixels: turning, mirroring, padding. */
#include "engine/image/image.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "engine/image/image_internal.h"

/* Tile side, pixels: turning by 90 degrees reads one axis along columns; 32 rows of 96 bytes stay
 * in the L1 cache. */
enum { TURN_TILE = 32 };

/* The 8 transforms of the square, as where the pixel at out (x, y) is read from. */
static const struct {
    int8_t swap;           /* x and y change places, before the two below */
    int8_t flip_x, flip_y; /* of the source axes */
} turns[9] = {
    [1] = {0, 0, 0}, [2] = {0, 1, 0}, [3] = {0, 1, 1}, [4] = {0, 0, 1},
    [5] = {1, 0, 0}, [6] = {1, 0, 1}, [7] = {1, 1, 1}, [8] = {1, 1, 0},
};

static enum err turn(struct image *out, const struct image *in, int orientation,
                     struct err_info *err)
{
    bool swap = turns[orientation].swap;
    int ow = swap ? in->h : in->w, oh = swap ? in->w : in->h;
    struct image im;
    enum err rc = image__alloc(&im, "picture", (uint32_t)ow, (uint32_t)oh, err);
    if (rc) return rc;

    /* Source address = base + x * step_x + y * step_y of the output's x, y. */
    ptrdiff_t px = turns[orientation].flip_x ? -3 : 3;
    ptrdiff_t row = turns[orientation].flip_y ? -3 * (ptrdiff_t)in->w : 3 * (ptrdiff_t)in->w;
    const uint8_t *base = in->rgb;
    if (px < 0) base += 3 * (ptrdiff_t)(in->w - 1);
    if (row < 0) base += 3 * (ptrdiff_t)in->w * (in->h - 1);
    ptrdiff_t step_x = swap ? row : px, step_y = swap ? px : row;

    for (int ty = 0; ty < oh; ty += TURN_TILE)
        for (int tx = 0; tx < ow; tx += TURN_TILE) {
            int y1 = ty + TURN_TILE < oh ? ty + TURN_TILE : oh;
            int x1 = tx + TURN_TILE < ow ? tx + TURN_TILE : ow;
            for (int y = ty; y < y1; y++) {
                const uint8_t *s = base + tx * step_x + y * step_y;
                uint8_t *d = im.rgb + ((size_t)y * (size_t)ow + (size_t)tx) * 3;
                for (int x = tx; x < x1; x++, d += 3, s += step_x) memcpy(d, s, 3);
            }
        }
    *out = im;
    return ERR_OK;
}

enum err image_orient(struct image *im, int orientation, struct err_info *err)
{
    assert(orientation >= 1 && orientation <= 8);
    if (orientation == 1) return ERR_OK;
    struct image turned;
    enum err rc = turn(&turned, im, orientation, err);
    if (rc) return rc;
    image_release(im);
    *im = turned;
    return ERR_OK;
}

enum err image_rotate(struct image *out, const struct image *in, int quarter, struct err_info *err)
{
    static const int orientation[4] = {1, 6, 3, 8};
    assert(quarter >= 0 && quarter <= 3);
    return turn(out, in, orientation[quarter], err);
}

enum err image_pad(struct image *out, const struct image *in, int x, int y, int w, int h,
                   struct err_info *err)
{
    struct image im;
    enum err rc = image_new(&im, w, h, err);
    if (rc) return rc;
    /* The part of the canvas that in covers; 64 bits because x and y may be any int. */
    int64_t x0 = x > 0 ? x : 0, x1 = (int64_t)x + in->w < w ? (int64_t)x + in->w : w;
    int64_t y0 = y > 0 ? y : 0, y1 = (int64_t)y + in->h < h ? (int64_t)y + in->h : h;
    if (x0 < x1)
        for (int64_t r = y0; r < y1; r++)
            memcpy(im.rgb + (r * w + x0) * 3, in->rgb + ((r - y) * in->w + (x0 - x)) * 3,
                   (size_t)(x1 - x0) * 3);
    *out = im;
    return ERR_OK;
}
