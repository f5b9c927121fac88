#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "tests/unit/picture.h"

#include <stdbool.h>
#include <stdio.h>
#include <webp/encode.h>

enum { W = 37, H = 29, FILE_MAX = 1 << 20 };

static uint8_t alpha_at(int i)
{
    return (uint8_t)(i * 11);
}

/* The picture over white with alpha_at; rgba, where given: the same before. */
static struct image over_white(const struct image *im, uint8_t *rgba)
{
    struct image out = picture_pattern(im->w, im->h);
    for (int i = 0; i < im->w * im->h; i++)
        for (int c = 0; c < 3; c++) {
            int v = im->rgb[3 * i + c], a = alpha_at(i);
            out.rgb[3 * i + c] = (uint8_t)((v * a + 255 * (255 - a)) / 255.0 + 0.5);
            if (rgba) {
                rgba[4 * i + c] = (uint8_t)v;
                rgba[4 * i + 3] = (uint8_t)a;
            }
        }
    return out;
}

static struct buf take(uint8_t *webp, size_t len)
{
    struct buf out = BUF_INIT(FILE_MAX);
    assert_true(len > 0);
    assert_int_equal(buf_add(&out, webp, len, NULL), ERR_OK);
    WebPFree(webp);
    return out;
}

static struct buf write_lossless(const uint8_t *rgb, const uint8_t *rgba, int w, int h)
{
    uint8_t *p = NULL;
    WebPConfig config;
    WebPPicture pic;
    WebPMemoryWriter writer;
    assert_true(WebPConfigInit(&config) && WebPConfigLosslessPreset(&config, 1));
    config.exact = 1; /* colours under alpha 0 too */
    assert_true(WebPPictureInit(&pic));
    pic.use_argb = 1;
    pic.width = w;
    pic.height = h;
    assert_true(rgba ? WebPPictureImportRGBA(&pic, rgba, w * 4)
                     : WebPPictureImportRGB(&pic, rgb, w * 3));
    WebPMemoryWriterInit(&writer);
    pic.writer = WebPMemoryWrite;
    pic.custom_ptr = &writer;
    assert_true(WebPEncode(&config, &pic));
    WebPPictureFree(&pic);
    p = writer.mem;
    return take(p, writer.size);
}

static void put32(uint8_t *p, size_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static void add_chunk(struct buf *b, const char *type, const void *data, size_t n)
{
    uint8_t word[4];
    put32(word, n);
    assert_int_equal(buf_add(b, type, 4, NULL), ERR_OK);
    assert_int_equal(buf_add(b, word, 4, NULL), ERR_OK);
    assert_int_equal(buf_add(b, data, n, NULL), ERR_OK);
    if (n & 1) assert_int_equal(buf_add(b, "", 1, NULL), ERR_OK);
}

/* An extended file: VP8X with the flags and the canvas, then body. */
static struct buf extended(uint8_t flags, int w, int h, const struct buf *body)
{
    struct buf out = BUF_INIT(FILE_MAX);
    uint8_t x[10] = {flags};
    put32(x + 4, (size_t)(w - 1));
    uint8_t height[4];
    put32(height, (size_t)(h - 1));
    memcpy(x + 7, height, 3);
    assert_int_equal(buf_add(&out, "RIFF\0\0\0\0WEBP", 12, NULL), ERR_OK);
    add_chunk(&out, "VP8X", x, sizeof x);
    assert_int_equal(buf_add(&out, body->data, body->len, NULL), ERR_OK);
    put32(out.data + 4, out.len - 8);
    return out;
}

static void lossy(void **state)
{
    struct image im = picture_smooth(W, H);
    uint8_t rgba[W * H * 4], *p;
    struct image white = over_white(&im, rgba);
    (void)state;
    size_t n = WebPEncodeRGB(im.rgb, W, H, W * 3, 95, &p);
    struct buf file = take(p, n);
    picture_is("lossy", file.data, file.len, &im, 12);
    buf_release(&file);
    n = WebPEncodeRGBA(rgba, W, H, W * 4, 95, &p);
    file = take(p, n);
    picture_is("lossy with alpha", file.data, file.len, &white, 12);
    buf_release(&file);
    image_release(&im);
    image_release(&white);
}

static void lossless(void **state)
{
    struct image im = picture_pattern(W, H);
    uint8_t rgba[W * H * 4];
    struct image white = over_white(&im, rgba);
    (void)state;
    struct buf file = write_lossless(im.rgb, NULL, W, H);
    picture_is("lossless", file.data, file.len, &im, 0);
    buf_release(&file);
    file = write_lossless(NULL, rgba, W, H);
    picture_is("lossless with alpha", file.data, file.len, &white, 0);
    buf_release(&file);
    image_release(&im);
    image_release(&white);
}

static void exif_is_applied(void **state)
{
    static const uint8_t tiff[] = "MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\3\0\0\0\0\0\0";
    struct image im = picture_pattern(W, H), want;
    struct buf simple = write_lossless(im.rgb, NULL, W, H), body = BUF_INIT(FILE_MAX);
    (void)state;
    assert_int_equal(image_rotate(&want, &im, 2, NULL), ERR_OK);
    assert_int_equal(buf_add(&body, simple.data + 12, simple.len - 12, NULL), ERR_OK);
    add_chunk(&body, "EXIF", tiff, sizeof tiff - 1);
    struct buf file = extended(0x08, W, H, &body);
    picture_is("EXIF 3", file.data, file.len, &want, 0);
    buf_release(&file);
    buf_release(&body);
    buf_release(&simple);
    image_release(&im);
    image_release(&want);
}

/* Two frames; the first is smaller than the canvas and stands at (8, 4): the rest is white. */
static void first_frame_of_an_animation(void **state)
{
    enum { CANVAS_W = 60, CANVAS_H = 40, X = 8, Y = 4 };
    struct image im = picture_pattern(W, H);
    uint8_t rgba[W * H * 4];
    struct image white = over_white(&im, rgba), canvas = picture_pattern(CANVAS_W, CANVAS_H);
    (void)state;
    memset(canvas.rgb, 255, CANVAS_W * CANVAS_H * 3);
    for (int y = 0; y < H; y++)
        memcpy(canvas.rgb + ((Y + y) * CANVAS_W + X) * 3, white.rgb + (size_t)(y * W) * 3, W * 3);

    struct buf simple = write_lossless(NULL, rgba, W, H), body = BUF_INIT(FILE_MAX);
    uint8_t frame[FILE_MAX / 64] = {X / 2, 0,     0, Y / 2, 0,   0, W - 1, 0,
                                    0,     H - 1, 0, 0,     100, 0, 0,     0};
    assert_true(simple.len - 12 + 16 < sizeof frame);
    memcpy(frame + 16, simple.data + 12, simple.len - 12);
    add_chunk(&body, "ANIM", "\0\0\0\0\0\0", 6);
    add_chunk(&body, "ANMF", frame, 16 + simple.len - 12);
    frame[0] = frame[3] = 0;
    add_chunk(&body, "ANMF", frame, 16 + simple.len - 12);
    struct buf file = extended(0x12, CANVAS_W, CANVAS_H, &body);
    picture_is("animation", file.data, file.len, &canvas, 0);
    picture_refused("animation cut in its first frame", file.data, 120, ERR_BAD_IMAGE, "cut short");

    /* A frame that leaves the canvas. */
    file.data[12 + 18 + 14 + 8] = 40;
    picture_refused("frame outside", file.data, file.len, ERR_BAD_IMAGE, "WebP is");
    buf_release(&file);
    buf_release(&body);
    buf_release(&simple);
    image_release(&im);
    image_release(&white);
    image_release(&canvas);
}

static void cut_short(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct image im = picture_smooth(W, H);
        uint8_t *p;
        struct buf file;
        if (kind) {
            size_t n = WebPEncodeRGB(im.rgb, W, H, W * 3, 80, &p);
            file = take(p, n);
        } else {
            file = write_lossless(im.rgb, NULL, W, H);
        }
        for (size_t len = 4; len < file.len; len++) {
            struct image got = IMAGE_INIT;
            struct err_info err = ERR_INFO_INIT;
            enum err rc = picture_decode(&got, file.data, len, &err);
            if (rc != ERR_BAD_IMAGE)
                fail_msg("%s cut to %zu of %zu bytes: %s \"%s\"", kind ? "lossy" : "lossless", len,
                         file.len, err_name(rc), err.message);
        }
        buf_release(&file);
        image_release(&im);
    }
}

static void refused_on_the_header(void **state)
{
    struct image im = picture_pattern(W, H);
    struct buf simple = write_lossless(im.rgb, NULL, W, H), body = BUF_INIT(FILE_MAX);
    (void)state;
    assert_int_equal(buf_add(&body, simple.data + 12, simple.len - 12, NULL), ERR_OK);
    for (int animated = 0; animated < 2; animated++) {
        struct buf file = extended(animated ? 2 : 0, 30000, 30000, &body);
        picture_refused("side", file.data, file.len, ERR_TOO_LARGE,
                        "30000x30000 pixels, the limit is 16384");
        buf_release(&file);
        file = extended(animated ? 2 : 0, 16000, 16000, &body);
        picture_refused("area", file.data, file.len, ERR_TOO_LARGE,
                        "256.0 megapixels, the limit is 64 megapixels");
        buf_release(&file);
    }
    /* A lossless picture that states 16383 x 16383 itself: 14 bits each after the signature byte
     * 0x2f. */
    simple.data[21] = simple.data[22] = simple.data[23] = 0xff;
    simple.data[24] |= 0x0f;
    picture_refused("VP8L header", simple.data, simple.len, ERR_TOO_LARGE,
                    "limit is 64 megapixels");
    buf_release(&body);
    buf_release(&simple);
    image_release(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lossy),           cmocka_unit_test(lossless),
        cmocka_unit_test(exif_is_applied), cmocka_unit_test(first_frame_of_an_animation),
        cmocka_unit_test(cut_short),       cmocka_unit_test(refused_on_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
