#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/image/image.h"

enum { SIDE = 24 };

/* A picture that is white but for its left half, which is grey. */
static struct buf picture(int w, int h)
{
    struct image im = IMAGE_INIT;
    struct buf out = BUF_INIT(1 << 20);

    assert_int_equal(image_new(&im, w, h, NULL), ERR_OK);
    for (int i = 0; i < w * h; i++) memset(im.rgb + 3 * i, i % w < w / 2 ? 128 : 255, 3);
    assert_int_equal(image_encode_jpeg(&out, &im, 95, NULL), ERR_OK);
    image_release(&im);
    return out;
}

/* Wherever the box lies, every pixel is one of the picture's: none is black. */
static void test_nothing_from_beside_the_picture(void **state)
{
    (void)state;
    static const struct {
        int w, h;
        float box[4];
    } cases[] = {
        {60, 40, {20, 10, 20, 20}},   {60, 40, {-5, -5, 20, 20}}, {60, 40, {50, 30, 20, 20}},
        {60, 40, {-10, -30, 90, 99}}, {200, 20, {90, 0, 30, 20}}, {20, 200, {0, 190, 18, 22}},
        {2, 2, {0, 0, 2, 2}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf in = picture(cases[i].w, cases[i].h), jpeg = BUF_INIT(1 << 20);
        uint8_t *rgb = NULL;
        int w, h;

        assert_int_equal(engine_thumbnail(NULL, in.data, in.len, cases[i].box, SIDE, &jpeg, NULL),
                         ERR_OK);
        assert_int_equal(engine_pixels(&rgb, &w, &h, jpeg.data, jpeg.len, NULL), ERR_OK);
        assert_int_equal(w, SIDE);
        assert_int_equal(h, SIDE);
        for (int k = 0; k < 3 * w * h; k++) {
            if (rgb[k] < 100) fail_msg("case %zu: pixel %d is %d", i, k / 3, rgb[k]);
        }
        free(rgb);
        buf_release(&in);
        buf_release(&jpeg);
    }
}

static void test_pixels_of_what_is_no_picture(void **state)
{
    (void)state;
    uint8_t *rgb = NULL;
    struct err_info err = ERR_INFO_INIT;
    int w, h;

    assert_int_equal(engine_pixels(&rgb, &w, &h, (const uint8_t *)"text", 4, &err),
                     ERR_UNSUPPORTED_IMAGE);
    assert_int_equal(engine_pixels(&rgb, &w, &h, (const uint8_t *)"", 0, &err), ERR_BAD_IMAGE);
    assert_null(rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_from_beside_the_picture),
        cmocka_unit_test(test_pixels_of_what_is_no_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
