#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "tests/support.h"
#include "tests/unit/picture.h"

#include <limits.h>
#include <stdio.h>

/* What EXIF says of stored pixels (x, y) of a w x h file: where each is shown. From the standard's
 * words "row 0 is top, column 0 is left side" (1), top/right (2), bottom/right (3), bottom/left
 * (4), left/top (5), right/top (6), right/bottom (7), left/bottom (8). */
static void shown_at(int *sx, int *sy, int o, int x, int y, int w, int h)
{
    switch (o) {
    case 1:
        *sx = x, *sy = y;
        break;
    case 2:
        *sx = w - 1 - x, *sy = y;
        break;
    case 3:
        *sx = w - 1 - x, *sy = h - 1 - y;
        break;
    case 4:
        *sx = x, *sy = h - 1 - y;
        break;
    case 5:
        *sx = y, *sy = x;
        break;
    case 6:
        *sx = h - 1 - y, *sy = x;
        break;
    case 7:
        *sx = h - 1 - y, *sy = w - 1 - x;
        break;
    default:
        *sx = y, *sy = w - 1 - x;
        break;
    }
}

static void eight_orientations(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {5, 3}, {32, 32}, {33, 65}, {100, 31}};
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (int o = 1; o <= 8; o++) {
            int w = sizes[s][0], h = sizes[s][1];
            struct image im = picture_pattern(w, h);
            assert_int_equal(image_orient(&im, o, NULL), ERR_OK);
            assert_int_equal(im.w, o < 5 ? w : h);
            assert_int_equal(im.h, o < 5 ? h : w);
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++) {
                    int sx, sy;
                    shown_at(&sx, &sy, o, x, y, w, h);
                    for (int c = 0; c < 3; c++)
                        if (im.rgb[(sy * im.w + sx) * 3 + c] != picture_value(x, y, c))
                            fail_msg("orientation %d of %dx%d: pixel %d,%d", o, w, h, x, y);
                }
            image_release(&im);
        }
}

static void quarters_clockwise(void **state)
{
    static const int orientation[4] = {1, 6, 3, 8};
    (void)state;
    for (int q = 0; q < 4; q++) {
        struct image in = picture_pattern(9, 4), out = IMAGE_INIT, want = picture_pattern(9, 4);
        assert_int_equal(image_rotate(&out, &in, q, NULL), ERR_OK);
        assert_int_equal(image_orient(&want, orientation[q], NULL), ERR_OK);
        assert_int_equal(picture_distance(&out, &want), 0);
        /* Clockwise: the top left pixel goes to the top right after one quarter. */
        if (q == 1) assert_memory_equal(out.rgb + 3 * 3, in.rgb, 3);
        image_release(&in);
        image_release(&out);
        image_release(&want);
    }
}

static void pad(void **state)
{
    static const struct {
        const char *name;
        int x, y, w, h;
    } rows[] = {
        {"as it is", 0, 0, 9, 4},
        {"inside", 3, 2, 20, 10},
        {"cut on the left and top", -4, -2, 12, 6},
        {"cut on the right and bottom", 5, 3, 8, 5},
        {"cut on all sides", -2, -1, 3, 2},
        {"beside it", 30, 0, 10, 10},
        {"above it", 0, -4, 9, 4},
        {"left of it", -9, 0, 9, 4},
        {"far away", INT_MAX, INT_MIN, 5, 5},
        {"far away the other way", INT_MIN, INT_MAX, 5, 5},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct image in = picture_pattern(9, 4), out = IMAGE_INIT;
        assert_int_equal(image_pad(&out, &in, rows[i].x, rows[i].y, rows[i].w, rows[i].h, NULL),
                         ERR_OK);
        assert_int_equal(out.w, rows[i].w);
        assert_int_equal(out.h, rows[i].h);
        for (int y = 0; y < out.h; y++)
            for (int x = 0; x < out.w; x++)
                for (int c = 0; c < 3; c++) {
                    int64_t sx = (int64_t)x - rows[i].x, sy = (int64_t)y - rows[i].y;
                    bool in_it = sx >= 0 && sx < 9 && sy >= 0 && sy < 4;
                    int want = in_it ? picture_value((int)sx, (int)sy, c) : 0;
                    if (out.rgb[(y * out.w + x) * 3 + c] != want)
                        fail_msg("%s: pixel %d,%d", rows[i].name, x, y);
                }
        image_release(&in);
        image_release(&out);
    }
}

static void sizes_are_checked(void **state)
{
    struct image im = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    assert_int_equal(image_new(&im, IMAGE_MAX_SIDE + 1, 1, &err), ERR_TOO_LARGE);
    assert_int_equal(image_new(&im, 16000, 4001, &err), ERR_TOO_LARGE);
    assert_int_equal(image_new(&im, 0, 5, &err), ERR_INVALID);
    assert_int_equal(image_new(&im, 5, -1, &err), ERR_INVALID);
    assert_null(im.rgb);
    assert_int_equal(image_new(&im, 16000, 4000, &err), ERR_OK);
    image_release(&im);
    assert_null(im.rgb);
    image_release(&im);
    image_release(NULL);
}

/* Three photographs, each stored in the eight ways: the same picture every time, up to the noise of
 * its own JPEG. */
static void photographs(void **state)
{
    static const char *const names[] = {"couple", "group_bbt", "obama"};
    (void)state;
    if (!test_have_shared()) skip();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct image first = IMAGE_INIT;
        for (int o = 1; o <= 8; o++) {
            char path[200];
            snprintf(path, sizeof path, FACES "/exif/%s_orient%d.jpg", names[i], o);
            struct buf file = test_read(path);
            struct image im = IMAGE_INIT;
            struct err_info err = ERR_INFO_INIT;
            if (image_decode(&im, file.data, file.len, &err)) fail_msg("%s: %s", path, err.message);
            buf_release(&file);
            if (o == 1) {
                first = im;
                continue;
            }
            if (im.w != first.w || im.h != first.h)
                fail_msg("%s is %dx%d, the first is %dx%d", path, im.w, im.h, first.w, first.h);
            double d = picture_mean_distance(&first, &im);
            if (d > 3) fail_msg("%s is %.2f levels from the first on average", path, d);
            image_release(&im);
        }
        image_release(&first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_orientations),
        cmocka_unit_test(quarters_clockwise),
        cmocka_unit_test(pad),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(photographs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
