/* Pictures as files: PNG (libspng) for chips and masks, JPEG (libjpeg-turbo) for thumbnails. */
#include "engine/image/image.h"

#include <assert.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>
#include <spng.h>

enum err image_encode_png(struct buf *out, const uint8_t *pixels, int w, int h, int channels,
                          struct err_info *err)
{
    assert(w > 0 && h > 0 && (channels == 1 || channels == 3 || channels == 4));
    struct spng_ihdr ihdr = {.width = (uint32_t)w, .height = (uint32_t)h, .bit_depth = 8};
    ihdr.color_type = channels == 1   ? SPNG_COLOR_TYPE_GRAYSCALE
                      : channels == 3 ? SPNG_COLOR_TYPE_TRUECOLOR
                                      : SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;
    size_t bytes = 0;
    void *png = NULL;
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    int code = ctx ? spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1) : SPNG_EMEM;
    if (!code) code = spng_set_ihdr(ctx, &ihdr);
    if (!code)
        code = spng_encode_image(ctx, pixels, (size_t)w * (size_t)h * (size_t)channels,
                                 SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!code) png = spng_get_png_buffer(ctx, &bytes, &code);
    spng_ctx_free(ctx);

    enum err rc;
    if (code || !png)
        rc = err_set(err, code == SPNG_EMEM || code == SPNG_EZLIB_INIT ? ERR_NOMEM : ERR_INTERNAL,
                     "cannot write PNG: %s", spng_strerror(code));
    else
        rc = buf_add(out, png, bytes, err);
    free(png);
    return rc;
}

struct writer {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jmp_buf leave;
    unsigned char *file;
    unsigned long bytes;
};

static void on_error(j_common_ptr c)
{
    struct writer *w = c->client_data;
    longjmp(w->leave, 1);
}

static void no_output(j_common_ptr c)
{
    (void)c;
}

/* false where libjpeg gave up. Apart, so that w is no local of the function that setjmp returns to
 * (C11 7.13.2.1). */
static bool write_guarded(struct writer *w, const struct image *im, int quality)
{
    struct jpeg_compress_struct *c = &w->c;
    if (setjmp(w->leave)) return false;
    jpeg_create_compress(c);
    jpeg_mem_dest(c, &w->file, &w->bytes);
    c->image_width = (JDIMENSION)im->w;
    c->image_height = (JDIMENSION)im->h;
    c->input_components = 3;
    c->in_color_space = JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = im->rgb + c->next_scanline * (size_t)im->w * 3;
        (void)jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
    return true;
}

enum err image_encode_jpeg(struct buf *out, const struct image *im, int quality,
                           struct err_info *err)
{
    assert(quality >= 1 && quality <= 100);
    struct writer w;
    enum err rc;
    memset(&w, 0, sizeof w);
    w.c.err = jpeg_std_error(&w.errors);
    w.c.client_data = &w;
    w.errors.error_exit = on_error;
    w.errors.output_message = no_output;

    if (write_guarded(&w, im, quality)) {
        rc = buf_add(out, w.file, w.bytes, err);
    } else {
        char text[JMSG_LENGTH_MAX];
        w.errors.format_message((j_common_ptr)&w.c, text);
        rc = err_set(err, w.errors.msg_code == JERR_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INTERNAL,
                     "cannot write JPEG: %s", text);
    }
    jpeg_destroy_compress(&w.c);
    free(w.file);
    return rc;
}
