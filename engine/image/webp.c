/* WebP through libwebp; the container (animation, EXIF) through libwebpdemux. */
#include "engine/image/image_internal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "engine/base/mem.h"

static uint32_t le24(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static enum err fail(VP8StatusCode code, size_t len, struct err_info *err)
{
    /* libwebp calls many a failed malloc damage; its errno tells them apart. */
    if (errno == ENOMEM) code = VP8_STATUS_OUT_OF_MEMORY;
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return err_set(err, ERR_NOMEM, "no memory to decode the WebP");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return err_set(err, ERR_BAD_IMAGE, "WebP is cut short: %zu bytes do not hold the picture",
                       len);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return err_set(err, ERR_UNSUPPORTED_IMAGE, "WebP uses a feature that libwebp cannot read");
    default:
        return err_set(err, ERR_BAD_IMAGE, "WebP is damaged");
    }
}

/* Decodes one picture of w x h (a file, or the fragment of a frame) into out at row stride bytes;
 * alpha over white. */
static VP8StatusCode decode_part(uint8_t *out, size_t stride, const uint8_t *data, size_t len,
                                 int w, int h, bool alpha)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return VP8_STATUS_INVALID_PARAM;
    uint8_t AUTO_FREE *rgba = NULL;
    size_t step = alpha ? (size_t)w * 4 : stride;
    if (alpha && !(rgba = malloc(step * (size_t)h))) return VP8_STATUS_OUT_OF_MEMORY;
    config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = alpha ? rgba : out;
    config.output.u.RGBA.stride = (int)step;
    /* libwebp asks for whole rows but the last, which may end with its pixels. */
    config.output.u.RGBA.size = step * (size_t)(h - 1) + (size_t)w * (alpha ? 4 : 3);
    VP8StatusCode code = WebPDecode(data, len, &config);
    WebPFreeDecBuffer(&config.output);
    if (code || !alpha) return code;
    for (int y = 0; y < h; y++) {
        const uint8_t *s = rgba + (size_t)y * step;
        uint8_t *d = out + (size_t)y * stride;
        for (int x = 0; x < w; x++, s += 4, d += 3)
            for (int c = 0; c < 3; c++) d[c] = image__over_white(s[c], s[3]);
    }
    return code;
}

/* The first frame at its place on a white canvas. */
static enum err decode_first_frame(const struct image *im, const WebPDemuxer *demux, size_t len,
                                   struct err_info *err)
{
    WebPIterator it;
    enum err rc = ERR_OK;
    if (!WebPDemuxGetFrame(demux, 1, &it)) return fail(VP8_STATUS_BITSTREAM_ERROR, len, err);
    if (it.x_offset < 0 || it.y_offset < 0 || it.width < 1 || it.height < 1 ||
        it.width > im->w - it.x_offset || it.height > im->h - it.y_offset) {
        rc = err_set(err, ERR_BAD_IMAGE, "WebP is damaged: its first frame leaves the canvas");
    } else {
        memset(im->rgb, 255, (size_t)im->w * (size_t)im->h * 3);
        size_t stride = (size_t)im->w * 3;
        VP8StatusCode code =
            decode_part(im->rgb + (size_t)it.y_offset * stride + (size_t)it.x_offset * 3, stride,
                        it.fragment.bytes, it.fragment.size, it.width, it.height, it.has_alpha);
        if (code) rc = fail(code, len, err);
    }
    WebPDemuxReleaseIterator(&it);
    return rc;
}

static int find_orientation(const WebPDemuxer *demux)
{
    WebPChunkIterator it;
    int orientation = 1;
    if (WebPDemuxGetChunk(demux, "EXIF", 1, &it)) {
        orientation = exif_orientation(it.chunk.bytes, it.chunk.size);
        WebPDemuxReleaseChunkIterator(&it);
    }
    return orientation;
}

enum err image__decode_webp(struct image *out, int *orientation, const uint8_t *data, size_t len,
                            struct err_info *err)
{
    WebPBitstreamFeatures features;
    struct image im = IMAGE_INIT;
    enum err rc;

    /* An extended file states its canvas (24 bits a side) before anything else; libwebp calls one
     * that does not fit damaged. */
    if (len >= 30 && !memcmp(data + 12, "VP8X", 4) &&
        (rc = image__check_size("WebP", le24(data + 24) + 1, le24(data + 27) + 1, err)))
        return rc;
    errno = 0;
    VP8StatusCode code = WebPGetFeatures(data, len, &features);
    if (code) return fail(code, len, err);
    if ((rc = image__alloc(&im, "WebP", (uint32_t)features.width, (uint32_t)features.height, err)))
        return rc;

    WebPData file = {data, len};
    WebPDemuxer *demux = WebPDemux(&file); /* NULL where the container is damaged */
    if (!demux && errno == ENOMEM) {
        rc = fail(VP8_STATUS_OUT_OF_MEMORY, len, err);
    } else if (!features.has_animation) {
        code = decode_part(im.rgb, (size_t)im.w * 3, data, len, im.w, im.h, features.has_alpha);
        if (code) rc = fail(code, len, err);
    } else if (!demux) {
        rc = fail(VP8_STATUS_NOT_ENOUGH_DATA, len, err);
    } else {
        rc = decode_first_frame(&im, demux, len, err);
    }
    if (!rc && demux) *orientation = find_orientation(demux);
    WebPDemuxDelete(demux);
    if (rc)
        image_release(&im);
    else
        *out = im;
    return rc;
}
