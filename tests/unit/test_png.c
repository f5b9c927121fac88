#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/support.h"
#include "tests/unit/picture.h"

#include <stdbool.h>
#include <stdio.h>
#include <spng.h>

enum { W = 13, H = 11, FILE_MAX = 1 << 22, HEADER_BYTES = 33 /* signature and IHDR */ };

/* pixels: as the file stores them (16-bit samples big-endian, small ones packed). */
static struct buf write_png(int w, int h, int color_type, int bits, const void *pixels,
                            size_t bytes, struct spng_plte *plte, struct spng_trns *trns)
{
    struct buf out = BUF_INIT(FILE_MAX);
    struct spng_ihdr ihdr = {.width = (uint32_t)w,
                             .height = (uint32_t)h,
                             .bit_depth = (uint8_t)bits,
                             .color_type = (uint8_t)color_type};
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    assert_non_null(ctx);
    assert_int_equal(spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1), 0);
    assert_int_equal(spng_set_ihdr(ctx, &ihdr), 0);
    if (plte) assert_int_equal(spng_set_plte(ctx, plte), 0);
    if (trns) assert_int_equal(spng_set_trns(ctx, trns), 0);
    assert_int_equal(spng_encode_image(ctx, pixels, bytes, SPNG_FMT_RAW, SPNG_ENCODE_FINALIZE), 0);
    size_t len;
    int code;
    void *png = spng_get_png_buffer(ctx, &len, &code);
    assert_non_null(png);
    assert_int_equal(buf_add(&out, png, len, NULL), ERR_OK);
    free(png);
    spng_ctx_free(ctx);
    return out;
}

static uint8_t over_white(int v, int a)
{
    return (uint8_t)((v * a + 255 * (255 - a)) / 255.0 + 0.5);
}

static void grey_of_every_depth(void **state)
{
    static const int depths[] = {1, 2, 4, 8, 16};
    (void)state;
    for (size_t d = 0; d < ARRAY_LEN(depths); d++) {
        int bits = depths[d], row = (W * bits + 7) / 8;
        uint8_t raw[H * W * 2] = {0};
        struct image want = picture_pattern(W, H);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                unsigned v = picture_value(x, y, 0);
                if (bits == 16) {
                    raw[y * row + 2 * x] = (uint8_t)v;
                    raw[y * row + 2 * x + 1] = 0xff; /* the lower half is dropped, not rounded */
                } else {
                    v >>= 8 - bits;
                    raw[y * row + x * bits / 8] |= (uint8_t)(v << (8 - bits - x * bits % 8));
                    v = v * 255 / ((1u << bits) - 1);
                }
                memset(want.rgb + (y * W + x) * 3, (int)v, 3);
            }
        char name[32];
        snprintf(name, sizeof name, "grey, %d bits", bits);
        struct buf file = write_png(W, H, 0, bits, raw, (size_t)(H * row), NULL, NULL);
        picture_is(name, file.data, file.len, &want, 0);
        buf_release(&file);
        image_release(&want);
    }
}

/* Grey, RGB, grey + alpha, RGBA in 8 and 16 bits: alpha over white. */
static void alpha_over_white(void **state)
{
    static const struct {
        const char *name;
        int type, channels;
        bool grey, alpha;
    } rows[] = {{"RGB", 2, 3, false, false},
                {"grey + alpha", 4, 2, true, true},
                {"RGBA", 6, 4, false, true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int bytes = 1; bytes <= 2; bytes++) {
            uint8_t raw[H * W * 8];
            struct image want = picture_pattern(W, H);
            uint8_t *p = raw;
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) {
                    int a = rows[i].alpha ? picture_value(x, y, 5) : 255;
                    uint8_t *w = want.rgb + (y * W + x) * 3;
                    if (rows[i].grey) w[1] = w[2] = w[0];
                    for (int c = 0; c < rows[i].channels; c++) {
                        bool is_alpha = rows[i].alpha && c == rows[i].channels - 1;
                        *p++ = is_alpha ? (uint8_t)a : w[c];
                        if (bytes == 2) *p++ = 0x80;
                    }
                    for (int c = 0; c < 3; c++) w[c] = over_white(w[c], a);
                }
            char name[64];
            snprintf(name, sizeof name, "%s, %d bits", rows[i].name, bytes * 8);
            struct buf file =
                write_png(W, H, rows[i].type, bytes * 8, raw, (size_t)(p - raw), NULL, NULL);
            picture_is(name, file.data, file.len, &want, 0);
            buf_release(&file);
            image_release(&want);
        }
}

static void palette_and_transparency(void **state)
{
    uint8_t raw[H * W];
    struct spng_plte plte = {.n_entries = 16};
    struct spng_trns trns = {.n_type3_entries = 10};
    struct image opaque = picture_pattern(W, H), mixed = picture_pattern(W, H);
    (void)state;
    for (int i = 0; i < 16; i++)
        plte.entries[i] = (struct spng_plte_entry){(uint8_t)(i * 16), (uint8_t)(255 - i * 10),
                                                   (uint8_t)(i * i), 255};
    for (int i = 0; i < 10; i++) trns.type3_alpha[i] = (uint8_t)(i * 28);
    for (int i = 0; i < H * W; i++) {
        raw[i] = (uint8_t)(i * 7 % 16);
        const struct spng_plte_entry *e = &plte.entries[raw[i]];
        const uint8_t rgb[3] = {e->red, e->green, e->blue};
        int a = raw[i] < 10 ? trns.type3_alpha[raw[i]] : 255;
        for (int c = 0; c < 3; c++) {
            opaque.rgb[3 * i + c] = rgb[c];
            mixed.rgb[3 * i + c] = over_white(rgb[c], a);
        }
    }
    struct buf file = write_png(W, H, 3, 8, raw, sizeof raw, &plte, NULL);
    picture_is("palette", file.data, file.len, &opaque, 0);
    buf_release(&file);
    file = write_png(W, H, 3, 8, raw, sizeof raw, &plte, &trns);
    picture_is("palette with tRNS", file.data, file.len, &mixed, 0);
    buf_release(&file);

    /* One grey level that is clear. */
    struct spng_trns clear = {.gray = 5};
    for (int i = 0; i < H * W; i++)
        memset(mixed.rgb + (size_t)i * 3, raw[i] == 5 ? 255 : raw[i], 3);
    file = write_png(W, H, 0, 8, raw, sizeof raw, NULL, &clear);
    picture_is("grey with tRNS", file.data, file.len, &mixed, 0);
    buf_release(&file);
    image_release(&opaque);
    image_release(&mixed);
}

/* A committed file: 11 x 9 RGBA, interlaced; channels 20 x, 20 y, xy, 255 - x. */
static void interlaced(void **state)
{
    struct buf file = test_read("tests/fuzz/corpus/png/adam7_rgba.png");
    struct image want = picture_pattern(11, 9);
    (void)state;
    assert_true(file.len > 0);
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 11; x++) {
            uint8_t *p = want.rgb + (y * 11 + x) * 3;
            p[0] = over_white(20 * x, 255 - x);
            p[1] = over_white(20 * y, 255 - x);
            p[2] = over_white(x * y, 255 - x);
        }
    picture_is("Adam7 with alpha", file.data, file.len, &want, 0);
    buf_release(&file);
    image_release(&want);
}

static struct buf pattern_png(struct image *im)
{
    struct buf file = BUF_INIT(FILE_MAX);
    *im = picture_pattern(60, 40);
    assert_int_equal(image_encode_png(&file, im->rgb, 60, 40, 3, NULL), ERR_OK);
    return file;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A copy of file with a chunk after the header. */
static struct buf with_chunk(const struct buf *file, const char *type, const void *data, size_t n)
{
    struct buf out = BUF_INIT(FILE_MAX);
    uint8_t word[4];
    assert_int_equal(buf_add(&out, file->data, HEADER_BYTES, NULL), ERR_OK);
    put32(word, (uint32_t)n);
    assert_int_equal(buf_add(&out, word, 4, NULL), ERR_OK);
    assert_int_equal(buf_puts(&out, type, NULL), ERR_OK);
    assert_int_equal(buf_add(&out, data, n, NULL), ERR_OK);
    put32(word, crc32_of(out.data + HEADER_BYTES + 4, n + 4));
    assert_int_equal(buf_add(&out, word, 4, NULL), ERR_OK);
    assert_int_equal(buf_add(&out, file->data + HEADER_BYTES, file->len - HEADER_BYTES, NULL),
                     ERR_OK);
    return out;
}

static void exif_is_applied(void **state)
{
    static const uint8_t tiff[] = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x08\0\0\0\0\0\0\0";
    struct image im, want;
    struct buf file = pattern_png(&im), turned = with_chunk(&file, "eXIf", tiff, sizeof tiff - 1);
    (void)state;
    assert_int_equal(image_rotate(&want, &im, 3, NULL), ERR_OK);
    picture_is("eXIf 8", turned.data, turned.len, &want, 0);
    buf_release(&file);
    buf_release(&turned);
    image_release(&im);
    image_release(&want);
}

/* What is beside the pixels can neither spoil a picture nor cost anything: 64 bombs that unfold to
 * 64 MB altogether. */
static void ancillary_chunks_are_passed_over(void **state)
{
    struct image im;
    struct buf file = pattern_png(&im);
    struct buf bomb = test_read("tests/fuzz/corpus/png/text_bombs.png");
    (void)state;
    assert_true(bomb.len > HEADER_BYTES + 12);
    uint32_t n = (uint32_t)bomb.data[HEADER_BYTES + 2] << 8 | bomb.data[HEADER_BYTES + 3];
    for (int i = 0; i < 64; i++) {
        struct buf more = with_chunk(&file, "zTXt", bomb.data + HEADER_BYTES + 8, n);
        buf_release(&file);
        file = more;
    }
    double t = clock_seconds();
    picture_is("64 zTXt bombs", file.data, file.len, &im, 0);
    assert_true(clock_seconds() - t < 0.1); /* unfolding them takes longer */
    struct buf broken = with_chunk(&file, "iCCP", "no profile at all", 17);
    picture_is("broken iCCP", broken.data, broken.len, &im, 0);
    broken.data[HEADER_BYTES + 8] ^= 1; /* now its checksum is wrong too */
    picture_is("broken iCCP and checksum", broken.data, broken.len, &im, 0);
    buf_release(&broken);
    buf_release(&file);
    buf_release(&bomb);
    image_release(&im);
}

static void cut_short(void **state)
{
    struct image im;
    struct buf file = pattern_png(&im);
    (void)state;
    for (size_t len = 1; len + 16 < file.len; len++) { /* 12 bytes IEND, 4 of the last checksum */
        struct image got = IMAGE_INIT;
        struct err_info err = ERR_INFO_INIT;
        enum err rc = picture_decode(&got, file.data, len, &err);
        if (rc != ERR_BAD_IMAGE || !strstr(err.message, "cut short"))
            fail_msg("cut to %zu of %zu bytes: %s \"%s\"", len, file.len, err_name(rc),
                     err.message);
    }
    picture_is("without IEND", file.data, file.len - 12, &im, 0);
    buf_release(&file);
    image_release(&im);
}

static void damage_is_refused(void **state)
{
    struct image im;
    struct buf file = pattern_png(&im);
    (void)state;
    file.data[file.len / 2] ^= 0x55;
    picture_refused("a byte of the pixels", file.data, file.len, ERR_BAD_IMAGE, "PNG is damaged");
    buf_release(&file);
    image_release(&im);

    file = pattern_png(&im);
    file.data[19] ^= 1;
    picture_refused("a byte of the header", file.data, file.len, ERR_BAD_IMAGE, "PNG is damaged");
    buf_release(&file);
    image_release(&im);
}

static void refused_on_the_header(void **state)
{
    static const struct {
        const char *name, *text;
        uint32_t w, h;
        enum err rc;
    } rows[] = {
        {"side", "30000x30000 pixels, the limit is 16384", 30000, 30000, ERR_TOO_LARGE},
        {"one side", "1x2147483647 pixels, the limit is 16384", 1, 0x7fffffff, ERR_TOO_LARGE},
        {"area", "256.0 megapixels, the limit is 64 megapixels", 16000, 16000, ERR_TOO_LARGE},
        {"nothing", "PNG is damaged", 0, 5, ERR_BAD_IMAGE},
        {"64 megapixels promised, few given", "PNG is cut short", 16000, 4000, ERR_BAD_IMAGE},
    };
    struct image im;
    struct buf file = pattern_png(&im);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put32(file.data + 16, rows[i].w);
        put32(file.data + 20, rows[i].h);
        put32(file.data + 29, crc32_of(file.data + 12, 17));
        double t = clock_seconds();
        picture_refused(rows[i].name, file.data, file.len, rows[i].rc, rows[i].text);
        assert_true(clock_seconds() - t < 0.2);
    }
    buf_release(&file);
    image_release(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grey_of_every_depth),
        cmocka_unit_test(alpha_over_white),
        cmocka_unit_test(palette_and_transparency),
        cmocka_unit_test(interlaced),
        cmocka_unit_test(exif_is_applied),
        cmocka_unit_test(ancillary_chunks_are_passed_over),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(refused_on_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
