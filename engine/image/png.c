/* PNG through libspng. The library sees only the chunks that make pixels (IHDR PLTE tRNS IDAT
 * IEND): everything else is passed over before it gets there, so a compressed text or colour
 * profile that unfolds to gigabytes is never unfolded, and a damaged one does not spoil a good
 * picture. Of an APNG the default picture is taken. */
#include "engine/image/image_internal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <spng.h>

#include "engine/base/mem.h"

enum {
    PNG_SIGNATURE_BYTES = 8,
    PNG_CHUNK_FRAME_BYTES = 12, /* length, type, CRC around the data */
    PNG_ANCILLARY = 0x20,       /* in the first letter of the type: lower case */
};

/* The file as libspng reads it. */
struct filter {
    const uint8_t *data;
    size_t len, pos; /* pos: of the next byte to hand out or the next chunk to look at */
    size_t left;     /* bytes of the current part still to hand out */
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Moves to the next chunk that makes pixels; false at the end of the data. */
static bool filter_next(struct filter *f)
{
    while (f->len - f->pos >= PNG_CHUNK_FRAME_BYTES) {
        const uint8_t *c = f->data + f->pos;
        size_t whole = (size_t)be32(c) + PNG_CHUNK_FRAME_BYTES, room = f->len - f->pos;
        if (!(c[4] & PNG_ANCILLARY) || !memcmp(c + 4, "tRNS", 4)) {
            f->left = whole < room ? whole : room;
            return true;
        }
        if (whole > room) break;
        f->pos += whole;
    }
    return false;
}

static int filter_read(spng_ctx *ctx, void *user, void *dest, size_t length)
{
    (void)ctx;
    struct filter *f = user;
    uint8_t *d = dest;
    while (length) {
        if (!f->left && !filter_next(f)) return SPNG_IO_EOF;
        size_t n = length < f->left ? length : f->left;
        memcpy(d, f->data + f->pos, n);
        d += n;
        length -= n;
        f->pos += n;
        f->left -= n;
    }
    return 0;
}

/* eXIf may stand before or after the pixels (PNG 3rd edition, 11.3.4.6). */
static int find_orientation(const uint8_t *data, size_t len)
{
    size_t pos = PNG_SIGNATURE_BYTES;
    while (len - pos >= PNG_CHUNK_FRAME_BYTES) {
        size_t n = be32(data + pos);
        if (n > len - pos - PNG_CHUNK_FRAME_BYTES) break;
        if (!memcmp(data + pos + 4, "eXIf", 4)) return exif_orientation(data + pos + 8, n);
        pos += n + PNG_CHUNK_FRAME_BYTES;
    }
    return 1;
}

static enum err fail(int code, size_t len, struct err_info *err)
{
    /* zlib allocates late, and libspng calls any failure of it a damaged stream; malloc's errno
     * tells them apart. */
    if (code == SPNG_EIDAT_STREAM && errno == ENOMEM) code = SPNG_EMEM;
    switch (code) {
    case SPNG_EMEM:
    case SPNG_EZLIB_INIT: /* for want of memory only */
        return err_set(err, ERR_NOMEM, "no memory to decode the PNG");
    case SPNG_IO_EOF:
    case SPNG_EOF:
    case SPNG_EIDAT_TOO_SHORT:
        return err_set(err, ERR_BAD_IMAGE, "PNG is cut short: %zu bytes do not hold the picture",
                       len);
    default:
        return err_set(err, ERR_BAD_IMAGE, "PNG is damaged: %s", spng_strerror(code));
    }
}

/* Adam7: first column and step of each pass. */
static const uint8_t pass_x0[7] = {0, 4, 0, 2, 0, 1, 0};
static const uint8_t pass_step[7] = {8, 8, 4, 4, 2, 2, 1};

/* Row by row, so that alpha needs one row of RGBA and not a second picture. */
static int read_rows(spng_ctx *ctx, const struct image *im, uint8_t *rgba, bool interlaced)
{
    int code = spng_decode_image(ctx, NULL, 0, rgba ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8,
                                 SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE);
    while (!code) {
        struct spng_row_info info;
        if ((code = spng_get_row_info(ctx, &info))) return code == SPNG_EOI ? 0 : code;
        if (info.row_num >= (uint32_t)im->h || info.pass < 0 || info.pass > 6)
            return SPNG_EINTERNAL;
        uint8_t *row = im->rgb + (size_t)info.row_num * (size_t)im->w * 3;
        code = spng_decode_row(ctx, rgba ? rgba : row, (size_t)im->w * (rgba ? 4 : 3));
        if (code && code != SPNG_EOI) return code;
        if (!rgba) continue;
        int step = interlaced ? pass_step[info.pass] : 1;
        for (int x = interlaced ? pass_x0[info.pass] : 0; x < im->w; x += step)
            for (int c = 0; c < 3; c++)
                row[3 * x + c] = image__over_white(rgba[4 * x + c], rgba[4 * x + 3]);
    }
    return code == SPNG_EOI ? 0 : code;
}

enum err image__decode_png(struct image *out, int *orientation, const uint8_t *data, size_t len,
                           struct err_info *err)
{
    struct filter f = {data, len, 0, PNG_SIGNATURE_BYTES};
    struct image im = IMAGE_INIT;
    struct spng_ihdr ihdr;
    struct spng_trns trns;
    uint8_t *rgba = NULL;
    enum err rc = ERR_OK;
    errno = 0;
    spng_ctx *ctx = spng_ctx_new(0);
    if (!ctx) return fail(SPNG_EMEM, len, err);

    int code = spng_set_png_stream(ctx, filter_read, &f);
    if (!code) code = spng_get_ihdr(ctx, &ihdr);
    if (!code && (rc = image__alloc(&im, "PNG", ihdr.width, ihdr.height, err))) goto done;
    if (!code) {
        code = spng_get_trns(ctx, &trns); /* reads up to the first IDAT */
        bool alpha = !code || (ihdr.color_type & 4);
        if (code == SPNG_ECHUNKAVAIL) code = 0;
        if (!code && alpha && !(rgba = malloc((size_t)ihdr.width * 4))) code = SPNG_EMEM;
    }
    if (!code) code = read_rows(ctx, &im, rgba, ihdr.interlace_method != SPNG_INTERLACE_NONE);
    if (code)
        rc = fail(code, len, err);
    else
        *orientation = find_orientation(data, len);
done:
    spng_ctx_free(ctx);
    free(rgba);
    if (rc)
        image_release(&im);
    else
        *out = im;
    return rc;
}
