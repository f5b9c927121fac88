#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/face/face.h"

enum { W = 40, H = 30 };

static const struct detection sample = {
    {3, 5, 13, 20}, {{5, 9}, {10, 9.5f}, {8, 12}, {6, 16}, {11, 15}}, 0.9f};

/* A marked pixel and a box corner must travel together. */
static void test_follows_the_picture(void **state)
{
    (void)state;
    for (int q = 0; q < 4; q++) {
        struct err_info err;
        struct image im = IMAGE_INIT, turned = IMAGE_INIT;
        struct detection d, home;
        assert_int_equal(image_new(&im, W, H, &err), ERR_OK);
        memset(im.rgb + 3 * (9 * W + 5), 200, 3); /* points[0] */
        assert_int_equal(image_rotate(&turned, &im, q, &err), ERR_OK);
        detection_turn(&d, &sample, W, H, q);
        int x = (int)d.points[0][0], y = (int)d.points[0][1];
        if (x < 0 || y < 0 || x >= turned.w || y >= turned.h ||
            turned.rgb[3 * (y * turned.w + x)] != 200)
            fail_msg("quarter %d: the point is at %d, %d", q, x, y);
        if (!(d.box[0] < d.box[2] && d.box[1] < d.box[3]))
            fail_msg("quarter %d: corners are swapped", q);
        detection_turn(&home, &d, turned.w, turned.h, 4 - q);
        if (memcmp(&home, &sample, sizeof home)) fail_msg("quarter %d: not the same back", q);
        for (int k = 0; k < 5; k++) {
            float back[2];
            point_turn_back(back, d.points[k], W, H, q);
            if (fabsf(back[0] - sample.points[k][0]) > 1e-4f ||
                fabsf(back[1] - sample.points[k][1]) > 1e-4f)
                fail_msg("quarter %d point %d: back at %g, %g", q, k, (double)back[0],
                         (double)back[1]);
        }
        image_release(&im);
        image_release(&turned);
    }
}

static void test_in_place(void **state)
{
    (void)state;
    struct detection a = sample, b;
    detection_turn(&b, &sample, W, H, 1);
    detection_turn(&a, &a, W, H, 1);
    assert_memory_equal(&a, &b, sizeof a);
    assert_float_equal(a.box[0], H - 1 - 20, 0);
    assert_float_equal(a.box[1], 3, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_the_picture),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
