#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/face/face.h"

static double raster_area(const struct face_mask *m, int x, int y, int w, int h)
{
    uint8_t *out = calloc((size_t)w * (size_t)h, 1);
    double sum = 0;
    mask_raster(out, x, y, w, h, m);
    for (int i = 0; i < w * h; i++) sum += out[i] / 255.0;
    free(out);
    return sum;
}

static double polygon_area(const struct face_mask *m)
{
    double sum = 0;
    for (int i = 0; i < m->n; i++) {
        const float *p = m->polygon[i], *q = m->polygon[(i + 1) % m->n];
        sum += (double)p[0] * (double)q[1] - (double)q[0] * (double)p[1];
    }
    return sum / 2;
}

/* Known polygons; fractions of pixels count. */
static void test_area(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct face_mask m;
        int x, y, w, h;
        double area, slack;
    } cases[] = {
        {"whole pixels",
         {4, {{1.5f, 1.5f}, {4.5f, 1.5f}, {4.5f, 3.5f}, {1.5f, 3.5f}}, false},
         0,
         0,
         8,
         8,
         6,
         0.001},
        {"half pixels", {4, {{1, 1}, {4, 1}, {4, 3}, {1, 3}}, false}, 0, 0, 8, 8, 6, 0.05},
        {"triangle", {3, {{2, 2}, {42, 2}, {2, 32}}, false}, 0, 0, 60, 60, 600, 1},
        {"cut by the box",
         {4, {{-10, -10}, {9.5f, -10}, {9.5f, 9.5f}, {-10, 9.5f}}, false},
         0,
         0,
         100,
         100,
         100,
         0.001},
        {"box moved",
         {4, {{1000, 2000}, {1010, 2000}, {1010, 2010}, {1000, 2010}}, false},
         995,
         1995,
         20,
         20,
         100,
         0.2},
        {"wider than a chunk",
         {4, {{-0.5f, -0.5f}, {1999.5f, -0.5f}, {1999.5f, 1.5f}, {-0.5f, 1.5f}}, false},
         0,
         0,
         2000,
         3,
         4000,
         0.01},
        {"outside", {3, {{-20, 2}, {-10, 2}, {-15, 9}}, false}, 0, 0, 9, 9, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double got = raster_area(&cases[i].m, cases[i].x, cases[i].y, cases[i].w, cases[i].h);
        if (fabs(got - cases[i].area) > cases[i].slack)
            fail_msg("%s: area %.4f, expected %.4f", cases[i].name, got, cases[i].area);
    }
}

static void test_edges_are_grey(void **state)
{
    (void)state;
    /* Columns 2..4 whole, half of 1 and of 5. */
    struct face_mask m = {4, {{1, -0.5f}, {5, -0.5f}, {5, 0.5f}, {1, 0.5f}}, false};
    uint8_t out[8];
    mask_raster(out, 0, 0, 8, 1, &m);
    const uint8_t want[8] = {0, 128, 255, 255, 255, 128, 0, 0};
    assert_memory_equal(out, want, sizeof want);
}

static const struct detection upright = {
    {60, 50, 140, 160}, {{78, 95}, {122, 95}, {100, 120}, {82, 140}, {118, 140}}, 1};

static bool inside(const struct face_mask *m, float x, float y)
{
    uint8_t out;
    mask_raster(&out, (int)lrintf(x), (int)lrintf(y), 1, 1, m);
    return out > 127;
}

static void check_outline(const char *name, const struct face_mask *m)
{
    /* Positive in this formula with y downwards: clockwise as seen. */
    if (!(polygon_area(m) > 0)) fail_msg("%s: not clockwise", name);
    if (!(m->n >= 16 && m->n <= MASK_MAX_POINTS)) fail_msg("%s: %d points", name, m->n);
    for (int k = 0; k < 5; k++)
        if (!inside(m, upright.points[k][0], upright.points[k][1]))
            fail_msg("%s: point %d is outside", name, k);
    if (!inside(m, 100, 75)) fail_msg("%s: the forehead is outside", name);
    if (inside(m, 100, 20)) fail_msg("%s: far above the forehead is inside", name);
    if (inside(m, 100, 195)) fail_msg("%s: the neck is inside", name);
    if (!(m->polygon[0][0] < 80)) fail_msg("%s: does not begin at the viewer's left", name);
}

static void test_mean_outline(void **state)
{
    (void)state;
    struct face_mask m;
    mask_from_points(&m, &upright, NULL);
    assert_false(m.from_68);
    check_outline("five points", &m);
    /* Twice as large and elsewhere: four times the area. */
    struct detection big = upright;
    struct face_mask twice;
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < 2; i++) big.points[k][i] = 2 * big.points[k][i] + 7;
    mask_from_points(&twice, &big, NULL);
    assert_true(fabs(polygon_area(&twice) / polygon_area(&m) - 4) < 1e-3);
}

static void test_from_68(void **state)
{
    (void)state;
    int p[68][2];
    struct face_mask m;
    /* A face drawn by hand: jaw on half an ellipse, brows, nose; the rest is not read. */
    memset(p, 0, sizeof p);
    for (int i = 0; i < 17; i++) {
        double t = 3.14159265 * i / 16;
        p[i][0] = (int)(100 - 44 * cos(t));
        p[i][1] = (int)(95 + 70 * sin(t));
    }
    for (int i = 17; i < 27; i++) p[i][0] = 70 + 60 * (i - 17) / 9, p[i][1] = 84;
    p[33][0] = 100;
    p[33][1] = 122;
    mask_from_points(&m, &upright, p);
    assert_true(m.from_68);
    check_outline("68 points", &m);
    double top = 1e9;
    for (int i = 0; i < m.n; i++) top = fmin(top, (double)m.polygon[i][1]);
    assert_true(fabs(top - (84 - 0.9 * (122 - 84))) < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_area),
        cmocka_unit_test(test_edges_are_grey),
        cmocka_unit_test(test_mean_outline),
        cmocka_unit_test(test_from_68),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
