#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/unit/picture.h"

#include <stdbool.h>
#include <stdio.h>
#include <jpeglib.h>

enum { FILE_MAX = 1 << 22 };

/* How a test's JPEG is written. */
struct how {
    J_COLOR_SPACE in, stored; /* samples given, samples in the file */
    int quality, sampling;    /* sampling: h = v of the first component; 0 as libjpeg chooses */
    bool progressive, no_adobe;
    int restart_rows;
    const jpeg_scan_info *scans;
    int n_scans;
    const uint8_t *app1;
    unsigned app1_len;
};

/* samples: [h][w][channels of how.in]. */
static struct buf write_jpeg(const uint8_t *samples, int w, int h, const struct how *how)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    struct buf out = BUF_INIT(FILE_MAX);
    unsigned char *file = NULL;
    unsigned long bytes = 0;

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &file, &bytes);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.in_color_space = how->in;
    c.input_components = how->in == JCS_GRAYSCALE ? 1 : how->in == JCS_CMYK ? 4 : 3;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, how->stored);
    jpeg_set_quality(&c, how->quality ? how->quality : 95, TRUE);
    if (how->sampling) c.comp_info[0].h_samp_factor = c.comp_info[0].v_samp_factor = how->sampling;
    if (how->progressive) jpeg_simple_progression(&c);
    if (how->scans) {
        c.scan_info = how->scans;
        c.num_scans = how->n_scans;
    }
    if (how->no_adobe) c.write_Adobe_marker = FALSE;
    c.restart_in_rows = how->restart_rows;
    jpeg_start_compress(&c, TRUE);
    if (how->app1) jpeg_write_marker(&c, JPEG_APP0 + 1, how->app1, how->app1_len);
    while (c.next_scanline < c.image_height) {
        uint8_t *row = (uint8_t *)(uintptr_t)samples +
                       c.next_scanline * (size_t)w * (size_t)c.input_components;
        (void)jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    assert_int_equal(buf_add(&out, file, bytes, NULL), ERR_OK);
    free(file);
    return out;
}

static const struct how plain = {.in = JCS_RGB, .stored = JCS_YCbCr};

/* Offset of the first marker 0xff m. */
static size_t find_marker(const struct buf *b, uint8_t m)
{
    for (size_t i = 0; i + 1 < b->len; i++)
        if (b->data[i] == 0xff && b->data[i + 1] == m) return i;
    fail_msg("no marker %02x", m);
    return 0;
}

static void kinds(void **state)
{
    static const struct {
        const char *name;
        struct how how;
        int within;
    } rows[] = {
        {"4:4:4", {.in = JCS_RGB, .stored = JCS_YCbCr, .sampling = 1}, 6},
        {"4:2:0", {.in = JCS_RGB, .stored = JCS_YCbCr, .sampling = 2}, 8},
        {"stored as RGB", {.in = JCS_RGB, .stored = JCS_RGB}, 6},
        {"progressive", {.in = JCS_RGB, .stored = JCS_YCbCr, .progressive = true}, 8},
        {"restart markers", {.in = JCS_RGB, .stored = JCS_YCbCr, .restart_rows = 1}, 8},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct image want = picture_smooth(67, 45);
        struct buf file = write_jpeg(want.rgb, 67, 45, &rows[i].how);
        picture_is(rows[i].name, file.data, file.len, &want, rows[i].within);
        buf_release(&file);
        image_release(&want);
    }
}

static void grey(void **state)
{
    struct image want = picture_smooth(40, 30);
    uint8_t samples[40 * 30];
    (void)state;
    for (int i = 0; i < 40 * 30; i++) {
        samples[i] = want.rgb[3 * i];
        memset(want.rgb + (size_t)i * 3, samples[i], 3);
    }
    struct how how = {.in = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE};
    struct buf file = write_jpeg(samples, 40, 30, &how);
    picture_is("grey", file.data, file.len, &want, 4);
    buf_release(&file);
    image_release(&want);
}

/* Four flat colours by how they are inked, both directions, with and without Photoshop's marker. */
static void cmyk(void **state)
{
    static const struct {
        const char *name;
        uint8_t ink[4], rgb[3]; /* ink: 0 none .. 255 full */
    } colours[] = {
        {"white", {0, 0, 0, 0}, {255, 255, 255}},
        {"cyan", {255, 0, 0, 0}, {0, 255, 255}},
        {"black", {0, 0, 0, 255}, {0, 0, 0}},
        {"mixed", {51, 102, 204, 51}, {163, 122, 41}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(colours); i++)
        for (int k = 0; k < 4; k++) {
            bool adobe = k & 1, ycck = k & 2;
            if (ycck && !adobe) continue; /* only the marker can say YCCK */
            uint8_t samples[16 * 16 * 4], want_rgb[16 * 16 * 3];
            for (int p = 0; p < 16 * 16; p++) {
                for (int c = 0; c < 4; c++)
                    samples[4 * p + c] =
                        adobe ? (uint8_t)(255 - colours[i].ink[c]) : colours[i].ink[c];
                memcpy(want_rgb + (size_t)p * 3, colours[i].rgb, 3);
            }
            struct how how = {.in = JCS_CMYK,
                              .stored = ycck ? JCS_YCCK : JCS_CMYK,
                              .no_adobe = !adobe,
                              .quality = 100};
            struct buf file = write_jpeg(samples, 16, 16, &how);
            struct image want = {16, 16, want_rgb};
            char name[64];
            snprintf(name, sizeof name, "%s %s%s", colours[i].name, ycck ? "YCCK" : "CMYK",
                     adobe ? " Adobe" : "");
            picture_is(name, file.data, file.len, &want, 3);
            buf_release(&file);
        }
}

/* Every way to cut a file short is refused; only the end marker may be missing, and only where one
 * scan has all. */
static void cut_short(void **state)
{
    (void)state;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct how how = plain;
        how.progressive = progressive;
        how.quality = 50;
        struct image want = picture_pattern(40, 24);
        struct buf file = write_jpeg(want.rgb, 40, 24, &how);
        for (size_t len = 0; len < file.len; len++) {
            struct image im = IMAGE_INIT;
            struct err_info err = ERR_INFO_INIT;
            bool may = !progressive && len + 2 >= file.len;
            enum err rc = picture_decode(&im, file.data, len, &err);
            if (rc != (may ? ERR_OK : len < 3 ? rc : ERR_BAD_IMAGE) || (!may && !rc))
                fail_msg("%s cut to %zu of %zu bytes: %s \"%s\"",
                         progressive ? "progressive" : "baseline", len, file.len, err_name(rc),
                         err.message);
            image_release(&im);
        }
        buf_release(&file);
        image_release(&want);
    }
}

static void harmless_damage_passes(void **state)
{
    struct image want = picture_smooth(64, 48);
    struct buf file = write_jpeg(want.rgb, 64, 48, &plain), odd = BUF_INIT(FILE_MAX);
    (void)state;
    /* Bytes that belong to nothing before a marker, as some cameras write. */
    size_t dqt = find_marker(&file, 0xdb);
    assert_int_equal(buf_add(&odd, file.data, dqt, NULL), ERR_OK);
    assert_int_equal(buf_add(&odd, "\0\0\0", 3, NULL), ERR_OK);
    assert_int_equal(buf_add(&odd, file.data + dqt, file.len - dqt, NULL), ERR_OK);
    picture_is("bytes before a marker", odd.data, odd.len, &want, 8);
    assert_int_equal(buf_add(&odd, "trailing rubbish", 16, NULL), ERR_OK);
    picture_is("bytes after the end", odd.data, odd.len, &want, 8);
    odd.data[dqt + 3] = 0xff; /* 00 00 00 ff ff db: fill bytes */
    picture_is("fill bytes", odd.data, odd.len, &want, 8);
    buf_release(&file);
    buf_release(&odd);
    image_release(&want);
}

static void damage_is_refused(void **state)
{
    struct image want = picture_pattern(64, 48);
    struct how how = plain;
    (void)state;
    how.restart_rows = 1;
    struct buf file = write_jpeg(want.rgb, 64, 48, &how);
    file.data[find_marker(&file, 0xd1) + 1] = 0xd5;
    picture_refused("restart markers out of order", file.data, file.len, ERR_BAD_IMAGE, "damaged");
    buf_release(&file);

    file = write_jpeg(want.rgb, 64, 48, &plain);
    size_t sos = find_marker(&file, 0xda);
    memcpy(file.data + sos + 200, "\xff\xd9", 2);
    picture_refused("end marker in the middle", file.data, file.len, ERR_BAD_IMAGE, "damaged");
    buf_release(&file);

    file = write_jpeg(want.rgb, 64, 48, &plain);
    memset(file.data + find_marker(&file, 0xdb) + 2, 0, 2);
    picture_refused("segment of no length", file.data, file.len, ERR_BAD_IMAGE, "damaged");
    buf_release(&file);

    file = write_jpeg(want.rgb, 64, 48, &plain);
    memset(file.data + find_marker(&file, 0xc0) + 5, 0, 2);
    picture_refused("no height", file.data, file.len, ERR_BAD_IMAGE, "damaged");
    buf_release(&file);
    image_release(&want);
}

/* A scan per component: one left out would give grey colours without a word from libjpeg. */
static void missing_scan_is_refused(void **state)
{
    static const jpeg_scan_info scans[3] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    struct how how = {.in = JCS_RGB, .stored = JCS_YCbCr, .scans = scans, .n_scans = 3};
    struct image want = picture_smooth(64, 48);
    struct buf file = write_jpeg(want.rgb, 64, 48, &how);
    (void)state;
    picture_is("one scan per component", file.data, file.len, &want, 8);
    size_t last = 0;
    for (size_t i = 0; i + 1 < file.len; i++)
        if (file.data[i] == 0xff && file.data[i + 1] == 0xda) last = i;
    file.data[last + 1] = 0xd9;
    picture_refused("last scan missing", file.data, last + 2, ERR_BAD_IMAGE, "cut short");
    buf_release(&file);
    image_release(&want);
}

/* A scan for each coefficient of each component: legal, 192 scans. */
static void scan_bomb_is_refused(void **state)
{
    jpeg_scan_info scans[3 * 63 + 1] = {{3, {0, 1, 2}, 0, 0, 0, 0}};
    int n = 1;
    (void)state;
    for (int c = 0; c < 3; c++)
        for (int k = 1; k < 64; k++, n++) {
            scans[n] = (jpeg_scan_info){1, {c}, k, k, 0, 0};
            if (n + 1 == 64) {
                struct image want = picture_smooth(24, 24);
                uint8_t samples[24 * 24];
                for (int i = 0; i < 24 * 24; i++) {
                    samples[i] = want.rgb[3 * i];
                    memset(want.rgb + (size_t)i * 3, samples[i], 3);
                }
                scans[0] = (jpeg_scan_info){1, {0}, 0, 0, 0, 0};
                struct how how = {
                    .in = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE, .scans = scans, .n_scans = 64};
                struct buf file = write_jpeg(samples, 24, 24, &how);
                picture_is("64 scans", file.data, file.len, &want, 4);
                buf_release(&file);
                image_release(&want);
                scans[0] = (jpeg_scan_info){3, {0, 1, 2}, 0, 0, 0, 0};
            }
        }
    struct how how = {.in = JCS_RGB, .stored = JCS_YCbCr, .scans = scans, .n_scans = n};
    struct image im = picture_smooth(48, 48);
    struct buf file = write_jpeg(im.rgb, 48, 48, &how);
    picture_refused("190 scans", file.data, file.len, ERR_TOO_LARGE, "more than 100 scans");
    buf_release(&file);
    image_release(&im);
}

static void put_size(struct buf *file, size_t sof, unsigned w, unsigned h)
{
    const uint8_t size[4] = {(uint8_t)(h >> 8), (uint8_t)h, (uint8_t)(w >> 8), (uint8_t)w};
    memcpy(file->data + sof + 5, size, 4);
}

static void refused_on_the_header(void **state)
{
    struct image im = picture_smooth(64, 48);
    struct buf file = write_jpeg(im.rgb, 64, 48, &plain);
    size_t sof = find_marker(&file, 0xc0);
    (void)state;

    put_size(&file, sof, 30000, 30000);
    double t = clock_seconds();
    picture_refused("side", file.data, file.len, ERR_TOO_LARGE,
                    "30000x30000 pixels, the limit is 16384");
    assert_true(clock_seconds() - t < 0.1); /* microseconds; decoding it would take many seconds */
    put_size(&file, sof, 65535, 65535);
    picture_refused("above libjpeg's own limit", file.data, file.len, ERR_TOO_LARGE,
                    "65535x65535 pixels, the limit is 16384");
    put_size(&file, sof, 16000, 16000);
    picture_refused("area", file.data, file.len, ERR_TOO_LARGE,
                    "256.0 megapixels, the limit is 64 megapixels");
    put_size(&file, sof, 16000, 4000);
    picture_refused("64 megapixels promised, 3,000 given", file.data, file.len, ERR_BAD_IMAGE,
                    "damaged");
    put_size(&file, sof, 64, 48);

    static const struct {
        const char *name, *text;
        uint8_t precision, sof;
    } rows[] = {
        {"12 bits", "JPEG with 12-bit samples", 12, 0xc1},
        {"lossless", "lossless", 8, 0xc3},
        {"hierarchical", "hierarchical", 8, 0xc5},
        {"arithmetic", "arithmetic-coded", 8, 0xc9},
        {"lossless arithmetic", "lossless", 8, 0xcb},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        file.data[sof + 1] = rows[i].sof;
        file.data[sof + 4] = rows[i].precision;
        picture_refused(rows[i].name, file.data, file.len, ERR_UNSUPPORTED_IMAGE, rows[i].text);
    }
    buf_release(&file);
    image_release(&im);
}

static void exif_is_applied(void **state)
{
    static const uint8_t xmp[] = "http://ns.adobe.com/xap/1.0/";
    uint8_t exif[] = "Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0";
    struct image im = picture_smooth(64, 48), want = IMAGE_INIT;
    (void)state;
    assert_int_equal(image_rotate(&want, &im, 1, NULL), ERR_OK);
    struct how how = {
        .in = JCS_RGB, .stored = JCS_YCbCr, .app1 = exif, .app1_len = sizeof exif - 1};
    struct buf file = write_jpeg(im.rgb, 64, 48, &how);
    picture_is("orientation 6", file.data, file.len, &want, 8);
    buf_release(&file);
    how.app1 = xmp;
    how.app1_len = sizeof xmp;
    file = write_jpeg(im.rgb, 64, 48, &how);
    picture_is("an APP1 that is not EXIF", file.data, file.len, &im, 8);
    buf_release(&file);
    image_release(&im);
    image_release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(grey),
        cmocka_unit_test(cmyk),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(harmless_damage_passes),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(missing_scan_is_refused),
        cmocka_unit_test(scan_bomb_is_refused),
        cmocka_unit_test(refused_on_the_header),
        cmocka_unit_test(exif_is_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
