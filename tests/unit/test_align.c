#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/face/face.h"

enum { SIDE = 150, BYTES = SIDE * SIDE * 3 };
static const float template5[5][2] = {{48, 46}, {102, 46}, {75, 78}, {51, 106}, {99, 106}};

/* Points that are the template scaled by k, turned by angle about the chip's middle and moved to
 * cx, cy give that place. */
static void test_template(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double k, angle, cx, cy;
    } cases[] = {{"as it is", 1, 0, 74.5, 74.5},
                 {"half, moved", 0.5, 0, 300, 200},
                 {"turned", 2, 0.6, 100, 120},
                 {"upside down", 1.3, 3.0, 100, 120}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float p[5][2];
        struct chip_place place;
        struct err_info err;
        double c = cos(cases[i].angle) * cases[i].k, s = sin(cases[i].angle) * cases[i].k;
        for (int k = 0; k < 5; k++) {
            double x = (double)template5[k][0] - 74.5, y = (double)template5[k][1] - 74.5;
            p[k][0] = (float)(c * x - s * y + cases[i].cx);
            p[k][1] = (float)(s * x + c * y + cases[i].cy);
        }
        for (int onto = 0; onto < 2; onto++) {
            assert_int_equal((onto ? chip_place_onto_template
                                   : chip_place_from_template)(&place, p, template5, SIDE, &err),
                             ERR_OK);
            double half = (onto ? (SIDE - 1) * cases[i].k : SIDE * cases[i].k - 1) / 2;
            const double want[4] = {cases[i].cx - half, cases[i].cy - half, cases[i].cx + half,
                                    cases[i].cy + half};
            for (int k = 0; k < 4; k++)
                if (fabs(place.rect[k] - want[k]) > 1e-3)
                    fail_msg("%s: side %d at %.4f, expected %.4f", cases[i].name, k, place.rect[k],
                             want[k]);
            if (fabs(place.angle - cases[i].angle) > 1e-5)
                fail_msg("%s: angle %.6f", cases[i].name, place.angle);
        }
    }
}

/* Sum of squares in the chip between the points, brought there by the place, and the template. */
static double error_in_chip(const struct chip_place *place, const float p[5][2])
{
    double cx = (place->rect[0] + place->rect[2]) / 2, cy = (place->rect[1] + place->rect[3]) / 2;
    double step = (place->rect[2] - place->rect[0]) / (SIDE - 1), sum = 0;
    double c = cos(place->angle) / step, s = sin(place->angle) / step;
    for (int i = 0; i < 5; i++) {
        double x = (double)p[i][0] - cx, y = (double)p[i][1] - cy;
        double u = c * x + s * y + (SIDE - 1) / 2.0 - (double)template5[i][0],
               v = c * y - s * x + (SIDE - 1) / 2.0 - (double)template5[i][1];
        sum += u * u + v * v;
    }
    return sum;
}

/* A turned head: no similarity fits. Onto the template, any other place is worse, dlib's way too.
 */
static void test_onto_is_least(void **state)
{
    (void)state;
    static const float head[5][2] = {{60, 51}, {90, 60}, {94, 90}, {61, 118}, {84, 121}};
    struct chip_place best, other;
    struct err_info err;
    assert_int_equal(chip_place_onto_template(&best, head, template5, SIDE, &err), ERR_OK);
    assert_int_equal(chip_place_from_template(&other, head, template5, SIDE, &err), ERR_OK);
    const double least = error_in_chip(&best, head);
    assert_true(least > 100 && error_in_chip(&other, head) > least * 1.01);
    for (int i = 0; i < 8; i++) {
        const double by = i & 1 ? 0.5 : -0.5;
        other = best;
        for (int k = 0; k < 4; k++)
            if (i / 2 == 0 || (i / 2 == 1 && k % 2 == 0) || (i / 2 == 2 && k % 2 == 1))
                other.rect[k] += i / 2 == 0 && k < 2 ? -by : by;
        if (i / 2 == 3) other.angle += by / 50;
        if (!(error_in_chip(&other, head) > least)) fail_msg("change %d is better", i);
    }
    static const float one[5][2] = {{5, 5}, {5, 5}, {5, 5}, {5, 5}, {5, 5}};
    assert_int_equal(chip_place_onto_template(&other, one, template5, SIDE, &err), ERR_INVALID);
}

static void fill(struct image *im, int w, int h)
{
    struct err_info err;
    assert_int_equal(image_new(im, w, h, &err), ERR_OK);
    uint8_t *p = im->rgb;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) *p++ = (uint8_t)(20 + (x + 2 * y + 40 * c) % 200);
}

/* A square of 150 pixels at scale 1: those pixels, except the last row and column of the picture
 * (no neighbour: black). */
static void test_same_pixels(void **state)
{
    (void)state;
    struct image im = IMAGE_INIT;
    struct err_info err;
    uint8_t chip[BYTES];
    struct chip_place p = {{30, 40, 30 + SIDE - 1, 40 + SIDE - 1}, 0};
    fill(&im, 300, 300);
    assert_int_equal(chip_extract(chip, SIDE, &im, &p, &err), ERR_OK);
    for (int y = 0; y < SIDE; y++)
        assert_memory_equal(chip + y * 3 * SIDE, im.rgb + ((40 + y) * 300 + 30) * 3, 3 * SIDE);
    image_release(&im);
}

static void test_quarter_turn(void **state)
{
    (void)state;
    struct image im = IMAGE_INIT, turned = IMAGE_INIT;
    struct err_info err;
    uint8_t chip[BYTES], other[BYTES];
    const double quarter = 3.14159265358979323846 / 2;
    struct chip_place p = {{75.5, 75.5, 75.5 + SIDE - 1, 75.5 + SIDE - 1}, 0}, q = p;
    int off = 0;
    fill(&im, 300, 300);
    /* The picture turned clockwise shows upright what lies on its left side here: angle -90
     * degrees. */
    q.angle = -quarter;
    assert_int_equal(image_rotate(&turned, &im, 1, &err), ERR_OK);
    for (int k = 0; k < 4; k++)
        q.rect[k] = k & 1 ? 300 - 1 - 75.5 - (k == 1 ? SIDE - 1 : 0) : p.rect[k];
    assert_int_equal(chip_extract(chip, SIDE, &turned, &p, &err), ERR_OK);
    assert_int_equal(chip_extract(other, SIDE, &im, &q, &err), ERR_OK);
    for (int i = 0; i < BYTES; i++) off += abs(chip[i] - other[i]) > 1;
    assert_true(off < BYTES / 200);
    image_release(&im);
    image_release(&turned);
}

static void test_outside_is_black(void **state)
{
    (void)state;
    struct image im = IMAGE_INIT;
    struct err_info err;
    uint8_t chip[BYTES];
    struct chip_place far = {{1000, 1000, 1149, 1149}, 0.3}, part = {{-75, -75, 74, 74}, 0};
    static const uint8_t black[BYTES];
    fill(&im, 100, 100);
    memset(chip, 9, BYTES);
    assert_int_equal(chip_extract(chip, SIDE, &im, &far, &err), ERR_OK);
    assert_memory_equal(chip, black, BYTES);
    assert_int_equal(chip_extract(chip, SIDE, &im, &part, &err), ERR_OK);
    assert_int_equal(chip[0], 0);
    assert_true(chip[3 * (100 * SIDE + 100)] > 0);
    image_release(&im);
}

/* Larger places are halved first: a picture of one colour stays that colour, whatever the scale. */
static void test_scales(void **state)
{
    (void)state;
    for (int side = 20; side < 3000; side = side * 3 / 2) {
        struct image im = IMAGE_INIT;
        struct err_info err;
        uint8_t chip[BYTES];
        struct chip_place p = {{500 - side / 2, 500 - side / 2, 500 + side / 2, 500 + side / 2},
                               0.4};
        assert_int_equal(image_new(&im, 1000, 1000, &err), ERR_OK);
        memset(im.rgb, 77, 1000 * 1000 * 3);
        assert_int_equal(chip_extract(chip, SIDE, &im, &p, &err), ERR_OK);
        if (abs(chip[3 * (75 * SIDE + 75)] - 77) > 1)
            fail_msg("side %d: the middle is %d", side, chip[3 * (75 * SIDE + 75)]);
        image_release(&im);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct image im = IMAGE_INIT;
    struct err_info err;
    uint8_t chip[BYTES];
    struct chip_place place, wrong[] = {{{NAN, 0, 10, 10}, 0},
                                        {{0, 0, 10, 10}, INFINITY},
                                        {{10, 10, 0, 0}, 0},
                                        {{0, 0, 1e9, 1e9}, 0}};
    const int one[5][2] = {{7, 7}, {7, 7}, {7, 7}, {7, 7}, {7, 7}};
    fill(&im, 50, 50);
    assert_int_equal(chip_place_from_points(&place, one, 0.25, SIDE, &err), ERR_INVALID);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (chip_extract(chip, SIDE, &im, &wrong[i], &err) != ERR_INVALID) fail_msg("case %zu", i);
    image_release(&im);
}

static void test_embed_input(void **state)
{
    (void)state;
    const uint8_t chip[2 * 3 * 3] = {0,   10,  20,  1,   11,  21,  2,   12,  22,
                                     100, 110, 120, 101, 111, 121, 102, 112, 122};
    struct model_input in = {.w = 3, .h = 2, .mean = {1, 2, 3}, .scale = {2, 4, 8}};
    float out[18];
    embed_input(out, chip, &in, false);
    const float rgb[18] = {-2,  0,   2,   198, 200, 202, 32,  36,  40,
                           432, 436, 440, 136, 144, 152, 936, 944, 952};
    for (int i = 0; i < 18; i++) assert_float_equal(out[i], rgb[i], 1e-4);
    in.bgr = true;
    embed_input(out, chip, &in, true);
    /* channel 0 is now blue: (22, 21, 20) mirrored */
    const float first[3] = {42, 40, 38};
    for (int i = 0; i < 3; i++) assert_float_equal(out[i], first[i], 1e-4);
    assert_float_equal(out[12], (2 - 3) * 8, 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template),         cmocka_unit_test(test_onto_is_least),
        cmocka_unit_test(test_same_pixels),      cmocka_unit_test(test_quarter_turn),
        cmocka_unit_test(test_outside_is_black), cmocka_unit_test(test_scales),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_embed_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
