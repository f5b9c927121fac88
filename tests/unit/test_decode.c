#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "tests/support.h"
#include "tests/unit/picture.h"

#include <errno.h>
#include <jansson.h>
#include <nettle/sha2.h>
#include <stdio.h>

/* Where the image tests can fail an allocation: malloc and friends of this program and its
 * libraries pass here. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL_MALLOC 0
static long allocations, fail_at;
#else
#define CAN_FAIL_MALLOC 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static long allocations, fail_at; /* fail_at 0: never */

/* Visible, so that the libraries' calls come here too (the build hides symbols). */
#define SEEN            __attribute__((visibility("default")))

static bool fails(void)
{
    if (++allocations != fail_at) return false;
    errno = ENOMEM;
    return true;
}

SEEN void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

SEEN void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

SEEN void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}
#endif

static void foreign_formats_are_named(void **state)
{
#define CASE(name, bytes, rc, text)                                                                \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, rc, text                                                   \
    }
    static const struct {
        const char *name, *bytes;
        size_t len;
        enum err rc;
        const char *text;
    } rows[] = {
        CASE("empty", "", ERR_BAD_IMAGE, "empty (0 bytes)"),
        CASE("GIF", "GIF89a\1\0\1\0", ERR_UNSUPPORTED_IMAGE, "a GIF; send JPEG, PNG or WebP"),
        CASE("BMP", "BM\x36\0\0\0", ERR_UNSUPPORTED_IMAGE, "a BMP;"),
        CASE("TIFF", "II*\0\x08\0\0\0", ERR_UNSUPPORTED_IMAGE, "a TIFF;"),
        CASE("TIFF, big-endian", "MM\0*\0\0\0\x08", ERR_UNSUPPORTED_IMAGE, "a TIFF;"),
        CASE("HEIC",
             "\0\0\0\x18"
             "ftypheic\0\0\0\0mif1",
             ERR_UNSUPPORTED_IMAGE, "a HEIC;"),
        CASE("AVIF",
             "\0\0\0\x1c"
             "ftypavif\0\0\0\0",
             ERR_UNSUPPORTED_IMAGE, "an AVIF;"),
        CASE("MP4",
             "\0\0\0\x1c"
             "ftypisom\0\0\0\0",
             ERR_UNSUPPORTED_IMAGE, "a video (MP4"),
        CASE("PDF", "%PDF-1.4\n%", ERR_UNSUPPORTED_IMAGE, "a PDF;"),
        CASE("JPEG XL", "\0\0\0\x0cJXL \r\n\x87\n", ERR_UNSUPPORTED_IMAGE, "a JPEG XL;"),
        CASE("SVG", "<svg xmlns='http://www.w3.org/2000/svg'/>", ERR_UNSUPPORTED_IMAGE, "an SVG;"),
        CASE("data URL", "data:image/png;base64,iVBORw0KGgo=", ERR_UNSUPPORTED_IMAGE,
             "a data: URL"),
        CASE("text", "Grüße,\nno picture\n", ERR_UNSUPPORTED_IMAGE, "this is text"),
        CASE("AVI", "RIFF\0\0\0\0AVI LIST", ERR_UNSUPPORTED_IMAGE, "a video (AVI);"),
        CASE("unknown", "\1\2\3\4\5\6\7", ERR_UNSUPPORTED_IMAGE, "(7 bytes of unknown format)"),
        CASE("JPEG, 2 bytes", "\xff\xd8", ERR_BAD_IMAGE, "cut short after 2 bytes"),
        CASE("JPEG, 3 bytes", "\xff\xd8\xff", ERR_BAD_IMAGE, "JPEG is cut short"),
        CASE("PNG, 7 bytes", "\x89PNG\r\n\x1a", ERR_BAD_IMAGE, "cut short after 7 bytes"),
        CASE("PNG, 8 bytes", "\x89PNG\r\n\x1a\n", ERR_BAD_IMAGE, "PNG is cut short"),
        CASE("PNG as text", "\x89PNG\n\x1a\n\0\0\0\x0dIHDR", ERR_BAD_IMAGE, "signature is damaged"),
        CASE("WebP, 10 bytes", "RIFF\x10\0\0\0WE", ERR_BAD_IMAGE, "cut short after 10 bytes"),
        CASE("WebP, 12 bytes", "RIFF\x10\0\0\0WEBP", ERR_BAD_IMAGE, "WebP is cut short"),
    };
#undef CASE
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        picture_refused(rows[i].name, (const uint8_t *)rows[i].bytes, rows[i].len, rows[i].rc,
                        rows[i].text);
}

static void bad_files(void **state)
{
    static const struct {
        const char *name, *text;
        enum err rc;
    } rows[] = {
        {"corrupted.png", "PNG is damaged", ERR_BAD_IMAGE},
        {"empty.png", "this is text", ERR_UNSUPPORTED_IMAGE}, /* "test\n" */
        {"truncated.jpg", "JPEG is cut short", ERR_BAD_IMAGE},
    };
    (void)state;
    if (!test_have_shared()) skip();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[200];
        snprintf(path, sizeof path, FACES "/bad/%s", rows[i].name);
        struct buf file = test_read(path);
        assert_true(file.len > 0);
        picture_refused(rows[i].name, file.data, file.len, rows[i].rc, rows[i].text);
        buf_release(&file);
    }
}

/* The pixels are the reference's, bit for bit: 24 JPEGs as Pillow decodes them, and the same
 * through their PNG copies. */
static void golden_pixels(void **state)
{
    (void)state;
    json_t *root = json_load_file(GOLDENS "/golden.json", 0, NULL), *row;
    size_t i;
    if (!root) {
        printf("SKIPPED: no %s/golden.json here\n", GOLDENS);
        skip();
    }
    assert_int_equal(json_array_size(json_object_get(root, "pictures")), 24);
    json_array_foreach(json_object_get(root, "pictures"), i, row)
    {
        const char *jpeg, *want, *png = NULL;
        assert_int_equal(
            json_unpack(row, "{s:s, s:s, s?s}", "path", &jpeg, "rgb_sha256", &want, "png", &png),
            0);
        for (int k = 0; k < (png ? 2 : 1); k++) {
            char path[400], hex[2 * SHA256_DIGEST_SIZE + 1];
            snprintf(path, sizeof path, "%s/%s", k ? GOLDENS : FACES, k ? png : jpeg);
            struct buf file = test_read(path);
            struct image im = IMAGE_INIT;
            struct err_info err = ERR_INFO_INIT;
            struct sha256_ctx sha;
            uint8_t digest[SHA256_DIGEST_SIZE];
            if (image_decode(&im, file.data, file.len, &err)) fail_msg("%s: %s", path, err.message);
            sha256_init(&sha);
            sha256_update(&sha, (size_t)im.w * (size_t)im.h * 3, im.rgb);
            sha256_digest(&sha, sizeof digest, digest);
            for (size_t b = 0; b < sizeof digest; b++) sprintf(hex + 2 * b, "%02x", digest[b]);
            if (strcmp(hex, want) != 0) fail_msg("%s: pixels differ from the reference", path);
            image_release(&im);
            buf_release(&file);
        }
    }
    json_decref(root);
}

static void encoders(void **state)
{
    static const int channels[] = {1, 3};
    struct image im = picture_pattern(33, 21), smooth = picture_smooth(70, 50);
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(channels); i++) {
        struct buf file = BUF_INIT(1 << 20);
        struct image want = picture_pattern(33, 21);
        uint8_t pixels[33 * 21 * 3];
        for (int p = 0; p < 33 * 21; p++)
            for (int c = 0; c < 3; c++) {
                uint8_t v = im.rgb[3 * p + (channels[i] == 1 ? 0 : c)];
                want.rgb[3 * p + c] = v;
                if (c < channels[i]) pixels[p * channels[i] + c] = v;
            }
        assert_int_equal(image_encode_png(&file, pixels, 33, 21, channels[i], &err), ERR_OK);
        picture_is(channels[i] == 1 ? "grey" : "RGB", file.data, file.len, &want, 0);
        image_release(&want);
        buf_release(&file);
    }
    struct buf file = BUF_INIT(1 << 20), small = BUF_INIT(100);
    assert_int_equal(buf_puts(&file, "before", &err), ERR_OK);
    assert_int_equal(image_encode_jpeg(&file, &smooth, 90, &err), ERR_OK);
    assert_memory_equal(file.data, "before", 6);
    picture_is("JPEG", file.data + 6, file.len - 6, &smooth, 10);
    assert_int_equal(image_encode_jpeg(&small, &smooth, 90, &err), ERR_TOO_LARGE);
    assert_int_equal(image_encode_png(&small, im.rgb, 33, 21, 3, &err), ERR_TOO_LARGE);
    assert_int_equal(small.len, 0);
    buf_release(&file);
    buf_release(&small);
    image_release(&im);
    image_release(&smooth);
}

/* Every allocation of every decoder and encoder fails once: out_of_memory, or success where the
 * library tries again with less, never anything else; then, with none failing, success. */
static void out_of_memory(void **state)
{
    /* No WebP with VP8L in it (lossless, or lossy with alpha): libwebp 1.2.4 itself crashes in
     * WebPDecode there when a malloc fails. */
    static const char *const files[] = {
        "jpeg/baseline_exif6.jpg", "jpeg/progressive.jpg", "jpeg/cmyk_adobe.jpg", "png/rgb8.png",
        "png/adam7_rgba.png",      "png/palette_trns.png", "webp/lossy.webp",
    };
    (void)state;
    if (!CAN_FAIL_MALLOC) {
        printf("SKIPPED: the sanitizer has malloc\n");
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(files) + 2; i++) {
        bool decoding = i < ARRAY_LEN(files);
        const char *name = decoding ? files[i] : i == ARRAY_LEN(files) ? "to PNG" : "to JPEG";
        struct image smooth = picture_smooth(20, 20);
        struct buf file = BUF_INIT(1 << 20);
        if (decoding) {
            char path[200];
            snprintf(path, sizeof path, "tests/fuzz/corpus/%s", name);
            file = test_read(path);
            assert_true(file.len > 0);
        }
        enum err rc;
        long n = 0, refused = 0;
        do {
            n++;
            struct image im = IMAGE_INIT;
            struct buf out = BUF_INIT(1 << 20);
            struct err_info err = ERR_INFO_INIT;
            allocations = 0;
            fail_at = n;
            rc = decoding                ? image_decode(&im, file.data, file.len, &err)
                 : i == ARRAY_LEN(files) ? image_encode_png(&out, smooth.rgb, 20, 20, 3, &err)
                                         : image_encode_jpeg(&out, &smooth, 80, &err);
            fail_at = 0;
            if (rc != ERR_OK && rc != ERR_NOMEM)
                fail_msg("%s, allocation %ld: %s \"%s\"", name, n, err_name(rc), err.message);
            if (rc) assert_null(im.rgb);
            if (rc) refused++;
            image_release(&im);
            buf_release(&out);
        } while (allocations >= n);
        if (rc) fail_msg("%s: %s with nothing failing", name, err_name(rc));
        if (n < 4 || refused < 2)
            fail_msg("%s: %ld allocations seen, %ld refused", name, n - 1, refused);
        buf_release(&file);
        image_release(&smooth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_formats_are_named),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(golden_pixels),
        cmocka_unit_test(encoders),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
