#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/face/crops.h"

#include <math.h>
#include <stdio.h>

/* Where chip pixel (i, j) of a side x side chip lies in the picture (facts/default-models.md
 * section 4, step 4). */
static void source_of(double out[2], const struct chip_place *p, int side, double i, double j)
{
    double k = (p->rect[2] - p->rect[0]) / (side - 1), half = (side - 1) / 2.0;
    double x = (i - half) * k, y = (j - half) * k;
    out[0] = (p->rect[0] + p->rect[2]) / 2 + cos(p->angle) * x - sin(p->angle) * y;
    out[1] = (p->rect[1] + p->rect[3]) / 2 + sin(p->angle) * x + cos(p->angle) * y;
}

static void assert_near(const char *what, const double a[2], const double b[2])
{
    if (fabs(a[0] - b[0]) > 1e-9 || fabs(a[1] - b[1]) > 1e-9)
        fail_msg("%s: (%g, %g), expected (%g, %g)", what, a[0], a[1], b[0], b[1]);
}

/* What a crop promises, seen from the chip: a point of the face moves by (dx, dy), away from the
 * centre by the zoom, and clockwise by the angle. */
static void a_crop_moves_the_face_as_it_says(void **state)
{
    static const struct crop rows[] = {{.zoom = 1},
                                       {.zoom = 1.25f},
                                       {.zoom = 1, .dx = 5, .dy = -3},
                                       {.zoom = 1, .degrees = 90},
                                       {.zoom = 0.5f, .degrees = -90}};
    const struct chip_place place = {{10.5, 20.25, 210.5, 220.25}, 0.3};
    const int side = 150;
    const double at[2] = {100, 40}, half = (side - 1) / 2.0; /* a point in the plain chip */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct crop *c = &rows[i];
        struct chip_place moved;
        double want[2], got[2], turn = c->degrees * (M_PI / 180);
        double x = (at[0] - half) * c->zoom, y = (at[1] - half) * c->zoom;
        double cx = half + cos(turn) * x - sin(turn) * y + c->dx,
               cy = half + sin(turn) * x + cos(turn) * y + c->dy;
        char name[32];
        snprintf(name, sizeof name, "crop %zu", i);
        crop_place(&moved, &place, c, side);
        source_of(want, &place, side, at[0], at[1]);
        source_of(got, &moved, side, cx, cy);
        assert_near(name, got, want);
    }
}

static void sets_are_known_by_name(void **state)
{
    static const struct {
        const char *name;
        int n, mirrored;
        bool refined;
    } rows[] = {{"none", 1, 0, false},  {"mirror", 2, 1, false}, {"both-mirror", 4, 2, true},
                {"mixed2", 2, 1, true}, {"mixed4", 4, 2, true},  {"crops16", 16, 8, true}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct crop_set *s = crops_by_name(rows[i].name);
        if (!s) fail_msg("%s is not known", rows[i].name);
        int mirrored = 0;
        for (int k = 0; k < s->n; k++) mirrored += s->crops[k].mirror;
        if (s->n != rows[i].n || mirrored != rows[i].mirrored || s->refined != rows[i].refined)
            fail_msg("%s: %d crops, %d mirrored, refined %d", rows[i].name, s->n, mirrored,
                     s->refined);
        assert_true(s->n <= CROPS_MAX);
        assert_true(!s->crops[0].mirror && s->crops[0].source == CROP_FROM_PREDICTOR &&
                    s->crops[0].zoom == 1); /* the chip that quality and include=chip show */
    }
    assert_null(crops_by_name(""));
    assert_null(crops_by_name("Mirror"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crop_moves_the_face_as_it_says),
        cmocka_unit_test(sets_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
