#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "engine/base/mem.h"
#include "engine/image/image.h"
#include "engine/train.h"
#include "engine/train/set.h"
#include "tests/support.h"

#define GLYPHS SHARED "/data/glyphs/"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/visavis-train-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char paths[16][128];
    static int next;
    char *p = paths[next++ % 16];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static const char *put(const char *name, const void *data, size_t len)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return path;
}

static size_t pack_gzip(uint8_t *out, size_t room, const uint8_t *in, size_t len)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t n = room - z.avail_out;
    deflateEnd(&z);
    return n;
}

/* Each type's elements come out as numbers, whatever this machine's byte order. */
static void every_type(void **state)
{
    static const struct {
        uint8_t bytes[32];
        size_t len;
        enum train_idx_type type;
        double want[2];
    } rows[] = {
        {{0, 0, 8, 1, 0, 0, 0, 2, 3, 255}, 10, TRAIN_U8, {3, 255}},
        {{0, 0, 9, 1, 0, 0, 0, 2, 3, 255}, 10, TRAIN_I8, {3, -1}},
        {{0, 0, 11, 1, 0, 0, 0, 2, 1, 2, 255, 254}, 12, TRAIN_I16, {258, -2}},
        {{0, 0, 12, 1, 0, 0, 0, 2, 0, 1, 0, 0, 255, 255, 255, 253}, 16, TRAIN_I32, {65536, -3}},
        {{0, 0, 13, 1, 0, 0, 0, 2, 0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0}, 16, TRAIN_F32, {1.5, -2}},
        {{0, 0, 14, 1, 0, 0, 0, 2, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0}, 24, TRAIN_F64, {1.5, -2}},
    };
    uint8_t packed[128];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int gzip = 0; gzip < 2; gzip++) {
            struct err_info err = ERR_INFO_INIT;
            struct train_idx x;
            size_t len = rows[i].len;
            memcpy(packed, rows[i].bytes, len);
            if (gzip) len = pack_gzip(packed, sizeof packed, rows[i].bytes, len);
            assert_int_equal(train_idx_parse(&x, packed, len, &err), ERR_OK);
            assert_int_equal(x.type, rows[i].type);
            assert_int_equal(x.count, 2);
            for (int k = 0; k < 2; k++) {
                const double v = x.type == TRAIN_U8    ? ((uint8_t *)x.data)[k]
                                 : x.type == TRAIN_I8  ? ((int8_t *)x.data)[k]
                                 : x.type == TRAIN_I16 ? ((int16_t *)x.data)[k]
                                 : x.type == TRAIN_I32 ? ((int32_t *)x.data)[k]
                                 : x.type == TRAIN_F32 ? (double)((float *)x.data)[k]
                                                       : ((double *)x.data)[k];
                assert_true(v == rows[i].want[k]);
            }
            train_idx_release(&x);
        }
    }
}

static void refused_by_offset(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[24];
        size_t len;
        const char *says;
    } rows[] = {
        {"empty", {0}, 0, "byte 0"},
        {"magic", {1, 0, 8, 1, 0, 0, 0, 0}, 8, "byte 0: magic number 0x01000801"},
        {"type", {0, 0, 10, 1, 0, 0, 0, 0}, 8, "0x00000a01"},
        {"no dimension", {0, 0, 8, 0}, 4, "0x00000800"},
        {"dimensions cut", {0, 0, 8, 2, 0, 0, 0, 1}, 8, "byte 8"},
        {"data cut", {0, 0, 8, 1, 0, 0, 0, 3, 1, 2}, 10, "byte 8: the header's dimensions make 3"},
        {"data too long", {0, 0, 8, 1, 0, 0, 0, 1, 1, 2}, 10, "make 1 bytes of data, there are 2"},
        {"huge",
         {0, 0, 14, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
         16,
         "byte 4"},
    };
    struct err_info err = ERR_INFO_INIT;
    struct train_idx x;
    uint8_t packed[128], good[40] = {0, 0, 8, 1, 0, 0, 0, 32, 5, 9, 2, 6};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_not_equal(train_idx_parse(&x, rows[i].bytes, rows[i].len, &err), ERR_OK);
        if (!strstr(err.message, rows[i].says)) fail_msg("%s: %s", rows[i].name, err.message);
    }
    const size_t n = pack_gzip(packed, sizeof packed, good, sizeof good);
    for (size_t cut = 2; cut < n; cut++) {
        assert_int_equal(train_idx_parse(&x, packed, cut, &err), ERR_INVALID);
        assert_non_null(strstr(err.message, "byte"));
    }
    packed[n / 2] ^= 0x55;
    assert_int_equal(train_idx_parse(&x, packed, n, &err), ERR_INVALID);
    assert_int_equal(train_idx_read(&x, path_of("none"), &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "none"));
}

/* n glyphs of a bar, 18 pixels high and 4 wide; labels count up from first. */
static void put_bars(const char *images, const char *labels, int n, int first)
{
    uint8_t *file = calloc(1, 16 + (size_t)n * TRAIN_PIXELS), label[8 + 64] = {0, 0, 8, 1};
    assert_non_null(file);
    memcpy(file, (uint8_t[16]){0, 0, 8, 3, 0, 0, 0, (uint8_t)n, 0, 0, 0, 28, 0, 0, 0, 28}, 16);
    label[7] = (uint8_t)n;
    for (int i = 0; i < n; i++) {
        label[8 + i] = (uint8_t)(first + i);
        for (int y = 5; y < 23; y++)
            memset(file + 16 + i * TRAIN_PIXELS + y * TRAIN_SIDE + 12, 255, 4);
    }
    put(images, file, 16 + (size_t)n * TRAIN_PIXELS);
    put(labels, label, 8 + (size_t)n);
    free(file);
}

static void orientation_by_name_and_by_data(void **state)
{
    static const struct {
        const char *images;
        enum train_orientation o;
        bool turned, warns;
    } rows[] = {
        {"set-images", TRAIN_BY_NAME, false, false},
        {"set-images", TRAIN_TRANSPOSED, true, true},
        {"emnist-letters-images", TRAIN_BY_NAME, true, true},
        {"emnist-letters-images", TRAIN_UPRIGHT, false, false},
    };
    (void)state;
    put_bars("emnist-letters-images", "letters-labels", 26, 1);
    put_bars("set-images", "labels", 10, 0);
    put_bars("set-images", "labels", 26, 0);
    put("mapping", "0 48 0\n1 65 97\n2 66 98\r\n\n3 51 3\n", 33);
    struct train_set s;
    char warning[TRAIN_WARNING_BYTES];
    struct err_info err = ERR_INFO_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const bool letters = strstr(rows[i].images, "letters") != NULL;
        put_bars("set-images", "labels", 10, 0);
        struct train_source source = {path_of(rows[i].images),
                                      path_of(letters ? "letters-labels" : "labels"), NULL,
                                      rows[i].o};
        assert_int_equal(train_set_read(&s, warning, &source, &err), ERR_OK);
        assert_int_equal(s.pixels[5 * TRAIN_SIDE + 12] == 255, !rows[i].turned);
        assert_int_equal(s.pixels[12 * TRAIN_SIDE + 5] == 255, rows[i].turned);
        if (letters) assert_int_equal(warning[0] != 0, rows[i].warns);
        assert_int_equal(s.codes[letters][0], letters ? 'A' : '0');
        assert_int_equal(s.codes[letters][1], letters ? 'a' : 0);
        train_set_release(&s);
    }
    put_bars("set-images", "labels", 3, 1);
    struct train_source source = {path_of("set-images"), path_of("labels"), path_of("mapping"),
                                  TRAIN_BY_NAME};
    assert_int_equal(train_set_read(&s, warning, &source, &err), ERR_OK);
    assert_int_equal(s.codes[1][0], 'A');
    assert_int_equal(s.codes[1][1], 'a');
    assert_int_equal(s.codes[3][0], '3');
    assert_int_equal(s.codes[3][1], 0);
    train_set_release(&s);
    put_bars("set-images", "labels", 4, 1);
    assert_int_equal(train_set_read(&s, warning, &source, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "label 3 (byte 11) is 4"));
    put_bars("others", "labels", 3, 1);
    assert_int_equal(train_set_read(&s, warning, &source, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "4 pictures"));
}

static void sets_together(void **state)
{
    struct train_set digits, letters, all = TRAIN_SET_INIT;
    char warning[TRAIN_WARNING_BYTES];
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    put_bars("set-images", "labels", 10, 0);
    put_bars("emnist-letters-images", "letters-labels", 26, 1);
    struct train_source d = {path_of("set-images"), path_of("labels"), NULL, TRAIN_BY_NAME};
    assert_int_equal(train_set_read(&digits, warning, &d, &err), ERR_OK);
    struct train_source l = {path_of("emnist-letters-images"), path_of("letters-labels"), NULL,
                             TRAIN_BY_NAME};
    assert_int_equal(train_set_read(&letters, warning, &l, &err), ERR_OK);
    assert_int_equal(train_set_append(&all, &digits, 0, &err), ERR_OK);
    assert_int_equal(train_set_append(&all, &letters, 5, &err), ERR_INVALID);
    train_set_release(&all);
    assert_int_equal(train_set_append(&all, &digits, 0, &err), ERR_OK);
    assert_int_equal(train_set_append(&all, &letters, 9, &err), ERR_OK); /* 1..26 -> 10..35 */
    assert_int_equal(all.n, 36);
    assert_int_equal(all.n_classes, 36);
    assert_int_equal(all.labels[35], 35);
    assert_int_equal(all.codes[35][0], 'Z');
    assert_int_equal(train_set_append(&all, &digits, TRAIN_SAME_CODES, &err), ERR_OK);
    assert_int_equal(all.n, 46);
    assert_int_equal(all.n_classes, 36);
    assert_int_equal(all.labels[45], 9);
    assert_int_equal(train_set_append(&all, &digits, 250, &err), ERR_INVALID);
    train_set_release(&all);
    train_set_release(&digits);
    train_set_release(&letters);
}

static void folders_of_pictures(void **state)
{
    AUTO_BUF struct buf png = BUF_INIT(1 << 20);
    uint8_t pixels[56 * 56] = {0};
    struct train_set s;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    memset(pixels, 200, 56 * 28); /* the upper half */
    assert_int_equal(image_encode_png(&png, pixels, 56, 56, 1, &err), ERR_OK);
    assert_int_equal(mkdir(path_of("set"), 0700), 0);
    assert_int_equal(mkdir(path_of("set/U+0041"), 0700), 0);
    assert_int_equal(mkdir(path_of("set/\xc3\xa9"), 0700), 0);
    put("set/U+0041/1.png", png.data, png.len);
    put("set/U+0041/2.png", png.data, png.len);
    put("set/\xc3\xa9/emnist_1.png", png.data, png.len);
    assert_int_equal(train_set_folder(&s, path_of("set"), TRAIN_BY_NAME, &err), ERR_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.n_classes, 2);
    assert_int_equal(s.codes[0][0], 'A');
    assert_int_equal(s.codes[1][0], 0xe9);
    assert_int_equal(s.labels[2], 1);
    assert_int_equal(s.pixels[27], 200);
    assert_int_equal(s.pixels[27 * TRAIN_SIDE], 0);
    assert_int_equal(s.pixels[2 * TRAIN_PIXELS + 27], 0); /* emnist: transposed */
    assert_int_equal(s.pixels[2 * TRAIN_PIXELS + 27 * TRAIN_SIDE], 200);
    train_set_release(&s);
    put("set/U+0041/3.png", "no picture", 10);
    assert_int_equal(train_set_folder(&s, path_of("set"), TRAIN_BY_NAME, &err),
                     ERR_UNSUPPORTED_IMAGE);
    assert_non_null(strstr(err.message, "3.png"));
    assert_int_equal(mkdir(path_of("set/word"), 0700), 0);
    assert_int_equal(unlink(path_of("set/U+0041/3.png")), 0);
    assert_int_equal(train_set_folder(&s, path_of("set"), TRAIN_BY_NAME, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "word"));
    assert_int_equal(train_set_folder(&s, path_of("none"), TRAIN_BY_NAME, &err), ERR_NOT_FOUND);
}

/* The real files: upright, and known to be. */
static void shared_sets(void **state)
{
    static const struct {
        const char *name;
        bool mapping;
        size_t n;
        int classes;
    } rows[] = {{"mnist-train", false, 60000, 10},
                {"sd19-vowels", true, 10000, 10},
                {"chars74k-hnd62", true, 3410, 62}};
    (void)state;
    if (!test_have_shared()) skip();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char images[200], labels[200], mapping[200], warning[TRAIN_WARNING_BYTES];
        struct train_set s;
        struct err_info err = ERR_INFO_INIT;
        snprintf(images, sizeof images, GLYPHS "%s-images-idx3-ubyte.gz", rows[i].name);
        snprintf(labels, sizeof labels, GLYPHS "%s-labels-idx1-ubyte.gz", rows[i].name);
        snprintf(mapping, sizeof mapping, GLYPHS "%s-mapping.txt", rows[i].name);
        struct train_source source = {images, labels, rows[i].mapping ? mapping : NULL,
                                      TRAIN_BY_NAME};
        if (train_set_read(&s, warning, &source, &err)) fail_msg("%s", err.message);
        assert_int_equal(s.n, rows[i].n);
        assert_int_equal(s.n_classes, rows[i].classes);
        assert_string_equal(warning, "");
        train_set_release(&s);
        source.orientation = TRAIN_TRANSPOSED;
        assert_int_equal(train_set_read(&s, warning, &source, &err), ERR_OK);
        assert_non_null(strstr(warning, "--orientation"));
        train_set_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test_setup_teardown(refused_by_offset, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(orientation_by_name_and_by_data, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(sets_together, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(folders_of_pictures, make_folder, drop_folder),
        cmocka_unit_test(shared_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
