/* JPEG through libjpeg-turbo with its default settings: slow integer IDCT, smooth upsampling
 * (descriptors depend on them). The only file with setjmp: libjpeg leaves through longjmp, so
 * everything that must be freed lives in struct reader. */
#include "engine/image/image_internal.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

enum {
    /* Every scan of a progressive JPEG walks over all coefficients, however few bytes it has.
     * Encoders make 10 or so; a bomb makes thousands. Small pictures may have more, so that odd
     * encoders pass. */
    SCANS_MAX = 100,
    SCANS_LEAST = 20,
    SCAN_MEGAPIXELS_MAX = 20 * 64,
    MARKER_BYTES_MAX = 0xffff,
};

struct reader {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    enum err rc;
    struct err_info *err;
    size_t len;
    bool at_end;   /* libjpeg asked for bytes past the end */
    unsigned seen; /* bit i: component i was in a scan */
    int scans_max; /* 0 until the header is read */
    struct image im;
    uint8_t *row; /* CMYK */
};

static const char *process_name(int sof)
{
    switch (sof) {
    case 0xc3:
    case 0xcb:
        return "lossless";
    case 0xc5:
    case 0xc6:
    case 0xc7:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return "hierarchical";
    default:
        return "unusual";
    }
}

static enum err explain(struct reader *r)
{
    j_common_ptr c = (j_common_ptr)&r->c;
    const struct jpeg_error_mgr *e = &r->errors;
    char text[JMSG_LENGTH_MAX];

    switch (e->msg_code) {
    case JERR_OUT_OF_MEMORY:
        return err_set(r->err, ERR_NOMEM, "no memory to decode the JPEG");
    case JERR_IMAGE_TOO_BIG: /* over libjpeg's own limit, which is above ours */
        return err_set(r->err, ERR_TOO_LARGE, "JPEG is %ux%u pixels, the limit is %d a side",
                       r->c.image_width, r->c.image_height, IMAGE_MAX_SIDE);
    case JERR_BAD_PRECISION:
        return err_set(r->err, ERR_UNSUPPORTED_IMAGE,
                       "this is a JPEG with %d-bit samples; send one with 8", r->c.data_precision);
    case JERR_SOF_UNSUPPORTED:
        return err_set(r->err, ERR_UNSUPPORTED_IMAGE,
                       "this is a JPEG of the %s kind (SOF%d); send a baseline or progressive one",
                       process_name(e->msg_parm.i[0]), e->msg_parm.i[0] - 0xc0);
    case JERR_BAD_J_COLORSPACE:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_NOTIMPL:
        e->format_message(c, text);
        return err_set(r->err, ERR_UNSUPPORTED_IMAGE,
                       "this is a JPEG of a kind that cannot be read: %s", text);
    default:
        break;
    }
    if (r->at_end)
        return err_set(r->err, ERR_BAD_IMAGE,
                       "JPEG is cut short: %zu bytes do not hold the picture", r->len);
    e->format_message(c, text);
    return err_set(r->err, ERR_BAD_IMAGE, "JPEG is damaged: %s", text);
}

static _Noreturn void leave(struct reader *r, enum err rc)
{
    r->rc = rc;
    longjmp(r->leave, 1);
}

static void on_error(j_common_ptr c)
{
    struct reader *r = c->client_data;
    leave(r, explain(r));
}

/* level < 0 is a warning: libjpeg has repaired something. What it repaired by inventing pixels is
 * an error here. */
static void on_message(j_common_ptr c, int level)
{
    struct reader *r = c->client_data;
    if (level >= 0) return;
    switch (r->errors.msg_code) {
    case JWRN_JPEG_EOF: /* alone not wrong: many writers forget the end marker. Missing pixels give
                           JWRN_HIT_MARKER */
        r->at_end = true;
        break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
        leave(r, explain(r));
    default:
        break; /* bytes between markers, odd revisions, ICC: the pixels are whole */
    }
}

static void no_output(j_common_ptr c)
{
    (void)c;
}

/* Called by libjpeg between rows of blocks and between scans. */
static void on_progress(j_common_ptr c)
{
    struct reader *r = c->client_data;
    if (r->c.input_scan_number > r->scans_max)
        leave(r, err_set(r->err, ERR_TOO_LARGE,
                         "JPEG of %ux%u pixels has more than %d scans, the limit for its size",
                         r->c.image_width, r->c.image_height, r->scans_max));
    for (int i = 0; i < r->c.comps_in_scan; i++)
        r->seen |= 1u << r->c.cur_comp_info[i]->component_index;
}

static int orientation_of(const struct jpeg_decompress_struct *c)
{
    for (jpeg_saved_marker_ptr m = c->marker_list; m; m = m->next)
        if (m->data_length >= 6 && !memcmp(m->data, "Exif\0\0", 6))
            return exif_orientation(m->data, m->data_length);
    return 1;
}

/* CMYK samples of Photoshop are inverted (255 = no ink); the Adobe marker tells them. */
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, int w, bool inverted)
{
    unsigned flip = inverted ? 0 : 255;
    for (int x = 0; x < w; x++, rgb += 3, cmyk += 4)
        for (int i = 0; i < 3; i++)
            rgb[i] = (uint8_t)(((cmyk[i] ^ flip) * (cmyk[3] ^ flip) + 127) / 255);
}

static void read_pixels(struct reader *r)
{
    struct jpeg_decompress_struct *c = &r->c;
    bool cmyk = c->out_color_space == JCS_CMYK;
    size_t stride = (size_t)r->im.w * 3;
    while (c->output_scanline < c->output_height) {
        uint8_t *rgb = r->im.rgb + c->output_scanline * stride;
        JSAMPROW rows[4] = {rgb, rgb + stride, rgb + 2 * stride, rgb + 3 * stride};
        JDIMENSION left = c->output_height - c->output_scanline;
        if (cmyk) rows[0] = r->row;
        (void)jpeg_read_scanlines(c, rows, cmyk ? 1 : left < 4 ? left : 4);
        if (cmyk) cmyk_to_rgb(rgb, r->row, r->im.w, c->saw_Adobe_marker);
    }
}

static void read_file(struct reader *r, const uint8_t *data, int *orientation)
{
    struct jpeg_decompress_struct *c = &r->c;
    enum err rc;

    jpeg_create_decompress(c);
    c->progress = &r->progress;
    jpeg_mem_src(c, data, r->len);
    jpeg_save_markers(c, JPEG_APP0 + 1, MARKER_BYTES_MAX);
    (void)jpeg_read_header(c, TRUE);
    if ((rc = image__check_size("JPEG", c->image_width, c->image_height, r->err))) leave(r, rc);
    if (c->arith_code)
        leave(r, err_set(r->err, ERR_UNSUPPORTED_IMAGE,
                         "this is an arithmetic-coded JPEG; send a baseline or progressive one"));
    if (c->jpeg_color_space == JCS_UNKNOWN)
        leave(r, err_set(r->err, ERR_UNSUPPORTED_IMAGE,
                         "this is a JPEG with %d channels; send grey, YCbCr, RGB or CMYK",
                         c->num_components));
    bool cmyk = c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK;
    c->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;

    double scans = SCAN_MEGAPIXELS_MAX * 1e6 / ((double)c->image_width * c->image_height);
    r->scans_max = scans > SCANS_MAX ? SCANS_MAX : scans < SCANS_LEAST ? SCANS_LEAST : (int)scans;

    bool many_scans = jpeg_has_multiple_scans(c);
    if ((rc = image__alloc(&r->im, "JPEG", c->image_width, c->image_height, r->err))) leave(r, rc);
    if (cmyk && !(r->row = malloc((size_t)c->image_width * 4)))
        leave(r, err_set(r->err, ERR_NOMEM, "no memory to decode the JPEG"));
    (void)jpeg_start_decompress(c);
    if (many_scans) { /* the whole file has been read; what a missing scan leaves grey gives no
                         warning */
        if (r->at_end || r->seen != (1u << c->num_components) - 1)
            leave(r, err_set(r->err, ERR_BAD_IMAGE,
                             "JPEG is cut short: scans are missing after %zu bytes", r->len));
    }
    read_pixels(r);
    *orientation = orientation_of(c);
}

/* A function of its own, so that r is no local of the function that setjmp returns to
 * (C11 7.13.2.1). */
static void read_guarded(struct reader *r, const uint8_t *data, int *orientation)
{
    if (!setjmp(r->leave)) read_file(r, data, orientation);
}

enum err image__decode_jpeg(struct image *out, int *orientation, const uint8_t *data, size_t len,
                            struct err_info *err)
{
    struct reader r;
    memset(&r, 0, sizeof r);
    r.len = len;
    r.err = err;
    r.c.err = jpeg_std_error(&r.errors);
    r.c.client_data = &r;
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.errors.output_message = no_output;
    r.progress.progress_monitor = on_progress;
    r.scans_max = SCANS_MAX;

    read_guarded(&r, data, orientation);
    jpeg_destroy_decompress(&r.c);
    free(r.row);
    if (r.rc)
        image_release(&r.im);
    else
        *out = r.im;
    return r.rc;
}
