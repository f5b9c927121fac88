#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "tests/support.h"
#include "tests/unit/picture.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* The same source once more as a CPU without AVX2 runs it. */
void base_area_resample(float *out, int ow, int oh, const struct image *in, int x, int y, int w,
                        int h, float bias, float scale);
enum err base_resize(struct image *out, const struct image *in, int w, int h, struct err_info *err);
#define image_area_resample       base_area_resample
#define image_resize              base_resize
#define __builtin_cpu_supports(x) 0
#include "engine/image/resize.c"
#undef image_area_resample
#undef image_resize
#undef __builtin_cpu_supports

/* The definition, in double: facts/default-models.md section 2. */
static double area_value(const struct image *im, int x0, int y0, int w, int h, int ow, int oh,
                         int ox, int oy, int c)
{
    int64_t xs = (int64_t)ox * w / ow, xe = ((int64_t)(ox + 1) * w + ow - 1) / ow;
    int64_t ys = (int64_t)oy * h / oh, ye = ((int64_t)(oy + 1) * h + oh - 1) / oh;
    double sum = 0;
    for (int64_t y = ys; y < ye; y++)
        for (int64_t x = xs; x < xe; x++) sum += im->rgb[((y0 + y) * im->w + x0 + x) * 3 + c];
    return sum / (double)((xe - xs) * (ye - ys));
}

static void area_against_its_definition(void **state)
{
    static const struct {
        int w, h;         /* picture */
        int x, y, pw, ph; /* part */
        int ow, oh;
    } rows[] = {
        {97, 61, 0, 0, 97, 61, 59, 37},     {97, 61, 0, 0, 97, 61, 12, 12},
        {97, 61, 0, 0, 97, 61, 97, 61},     {97, 61, 96, 60, 1, 1, 24, 24},
        {97, 61, 3, 5, 10, 7, 24, 24},      {97, 61, 13, 2, 31, 45, 48, 48},
        {97, 61, 90, 50, 7, 11, 5, 3},      {97, 61, 0, 0, 97, 61, 1, 1},
        {97, 61, 0, 0, 97, 61, 33, 62},     {97, 61, 0, 0, 97, 61, 200, 5},
        {300, 40, 0, 0, 300, 40, 75, 10},   {300, 40, 1, 1, 299, 39, 100, 13},
        {300, 40, 0, 0, 300, 40, 99, 1},    {40, 600, 0, 0, 40, 600, 10, 2},
        {40, 600, 0, 0, 40, 600, 7, 1},     {5000, 3, 0, 0, 5000, 3, 3000, 2},
        {5000, 3, 0, 0, 5000, 3, 2, 3},     {5000, 3, 0, 0, 5000, 3, 5100, 3},
        {600, 600, 0, 0, 600, 600, 38, 37}, {64, 64, 0, 0, 64, 64, 8, 8},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int ow = rows[i].ow, oh = rows[i].oh;
        struct image im = picture_pattern(rows[i].w, rows[i].h);
        /* White pictures are the largest sums: those must not wrap. */
        for (int white = 0; white < 2; white++) {
            if (white) memset(im.rgb, 255, (size_t)im.w * (size_t)im.h * 3);
            float *out = malloc(sizeof *out * (size_t)(ow * oh * 3 + 1));
            assert_non_null(out);
            out[ow * oh * 3] = 12345;
            image_area_resample(out, ow, oh, &im, rows[i].x, rows[i].y, rows[i].pw, rows[i].ph,
                                -127.5f, 0.0078125f);
            for (int c = 0; c < 3; c++)
                for (int y = 0; y < oh; y++)
                    for (int x = 0; x < ow; x++) {
                        double want = (area_value(&im, rows[i].x, rows[i].y, rows[i].pw, rows[i].ph,
                                                  ow, oh, x, y, c) -
                                       127.5) /
                                      128;
                        double got = out[(c * oh + y) * ow + x];
                        if (!(fabs(got - want) < 1e-6)) /* 4 roundings of values up to 2 */
                            fail_msg("case %zu%s: %d,%d channel %d is %.9f, expected %.9f", i,
                                     white ? ", white" : "", x, y, c, got, want);
                    }
            assert_true(out[ow * oh * 3] == 12345);
            float *base = malloc(sizeof *base * (size_t)(ow * oh * 3));
            assert_non_null(base);
            base_area_resample(base, ow, oh, &im, rows[i].x, rows[i].y, rows[i].pw, rows[i].ph,
                               -127.5f, 0.0078125f);
            if (memcmp(base, out, sizeof *base * (size_t)(ow * oh * 3)) != 0)
                fail_msg("case %zu: other bits without AVX2", i);
            free(base);
            free(out);
        }
        image_release(&im);
    }
}

/* torch's own values. */
static void area_goldens(void **state)
{
    (void)state;
    json_t *root = json_load_file(GOLDENS "/golden.json", 0, NULL);
    if (!root) {
        printf("SKIPPED: no %s/golden.json here\n", GOLDENS);
        skip();
    }
    json_t *list = json_object_get(root, "area_resample"), *row;
    size_t i;
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, row)
    {
        int w, h, ow, oh;
        double sum_want, l2_want, sum = 0, l2 = 0;
        json_t *first;
        assert_int_equal(json_unpack(row, "{s:[ii], s:[ii], s:F, s:F, s:o}", "from_wh", &w, &h,
                                     "to_wh", &ow, &oh, "sum", &sum_want, "l2", &l2_want, "first",
                                     &first),
                         0);
        struct image im = picture_pattern(w, h);
        int n = ow * oh;
        float *out = malloc(sizeof *out * (size_t)(n * 3));
        assert_non_null(out);
        image_area_resample(out, ow, oh, &im, 0, 0, w, h, 0, 1);
        for (int k = 0; k < 3 * n; k++) sum += out[k], l2 += (double)out[k] * out[k];
        for (size_t k = 0; k < json_array_size(first); k++) { /* interleaved there */
            double want = json_number_value(json_array_get(first, k));
            double got = out[(int)(k % 3) * n + (int)(k / 3)];
            if (fabs(got - want) > 1e-3)
                fail_msg("%dx%d to %dx%d: value %zu is %.5f, expected %.5f", w, h, ow, oh, k, got,
                         want);
        }
        if (fabs(sum - sum_want) > 1e-6 * sum_want || fabs(sqrt(l2) - l2_want) > 1e-6 * l2_want)
            fail_msg("%dx%d to %dx%d: sum %.3f, expected %.3f; l2 %.5f, expected %.5f", w, h, ow,
                     oh, sum, sum_want, sqrt(l2), l2_want);
        free(out);
        image_release(&im);
    }
    json_decref(root);
}

/* One axis of image_resize as its header says, in double: shrinking = overlap of [i n/m, (i+1) n/m)
 * with each pixel, enlarging = linear between centres. */
static double weight(int i, int n, int m, int s)
{
    double r = (double)n / m;
    if (n >= m) {
        double lo = fmax(i * r, s), hi = fmin((i + 1) * r, s + 1);
        return hi > lo ? (hi - lo) / r : 0;
    }
    double c = (i + 0.5) * r - 0.5;
    c = fmin(fmax(c, 0), n - 1);
    return fmax(0, 1 - fabs(c - s));
}

static void resize_against_its_definition(void **state)
{
    static const int rows[][4] = {
        {9, 7, 9, 7},   {9, 7, 5, 3},   {9, 7, 20, 15}, {9, 7, 4, 15},
        {9, 7, 18, 2},  {1, 1, 5, 4},   {50, 40, 1, 1}, {64, 64, 32, 16},
        {31, 2, 30, 3}, {3, 700, 2, 2}, {700, 3, 2, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int w = rows[i][0], h = rows[i][1], ow = rows[i][2], oh = rows[i][3];
        struct image in = picture_pattern(w, h), out = IMAGE_INIT;
        assert_int_equal(image_resize(&out, &in, ow, oh, NULL), ERR_OK);
        assert_int_equal(out.w, ow);
        assert_int_equal(out.h, oh);
        for (int y = 0; y < oh; y++)
            for (int x = 0; x < ow; x++)
                for (int c = 0; c < 3; c++) {
                    double want = 0;
                    for (int sy = 0; sy < h; sy++) {
                        double wy = weight(y, h, oh, sy);
                        if (wy <= 0) continue;
                        for (int sx = 0; sx < w; sx++)
                            want += wy * weight(x, w, ow, sx) * in.rgb[(sy * w + sx) * 3 + c];
                    }
                    int got = out.rgb[(y * ow + x) * 3 + c];
                    /* Rounded; a value within 1e-3 of a half may go either way. */
                    if (fabs(got - want) > 0.501)
                        fail_msg("%dx%d to %dx%d: %d,%d channel %d is %d, expected %.3f", w, h, ow,
                                 oh, x, y, c, got, want);
                }
        if (w == ow && h == oh) assert_int_equal(picture_distance(&in, &out), 0);
        image_release(&in);
        image_release(&out);
    }
}

static void resize_keeps_white(void **state)
{
    static const int sizes[] = {1, 2, 3, 7, 100, 299, 301, 777};
    struct image in = picture_pattern(300, 300), out = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    memset(in.rgb, 255, 300 * 300 * 3);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(image_resize(&out, &in, sizes[i], sizes[i] + 1, &err), ERR_OK);
        for (int k = 0; k < out.w * out.h * 3; k++)
            if (out.rgb[k] != 255) fail_msg("to %d: value %d is %d", sizes[i], k, out.rgb[k]);
        image_release(&out);
    }
    assert_int_equal(image_resize(&out, &in, IMAGE_MAX_SIDE + 1, 1, &err), ERR_TOO_LARGE);
    assert_int_equal(image_resize(&out, &in, 0, 1, &err), ERR_INVALID);
    assert_null(out.rgb);
    image_release(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(area_against_its_definition),
        cmocka_unit_test(area_goldens),
        cmocka_unit_test(resize_against_its_definition),
        cmocka_unit_test(resize_keeps_white),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
