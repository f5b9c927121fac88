#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/face/mtcnn_sheets.h"

static const int sizes[][2] = {{250, 250}, {20, 20},     {21, 400},   {97, 61},
                               {640, 480}, {481, 333},   {1280, 853}, {853, 1280},
                               {1280, 20}, {3000, 1999}, {19, 500},   {6000, 5000}};

static void plan(struct mtcnn_sheets *s, int w, int h)
{
    const struct mtcnn_options o = MTCNN_OPTIONS_INIT;
    struct err_info err;
    assert_int_equal(sheets_plan(s, w, h, &o, &err), ERR_OK);
}

/* Every cell of every level lies in exactly one piece; pieces lie inside their sheet, at even
 * offsets, over one another nowhere. */
static void test_cover(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        struct mtcnn_sheets s;
        int w = sizes[k][0], h = sizes[k][1];
        plan(&s, w, h);
        if ((w < h ? w : h) < 20) {
            assert_int_equal(s.n, 0);
            sheets_release(&s);
            continue;
        }
        assert_true(s.n >= 1 && s.n_levels >= 1);
        size_t plane = (size_t)s.w * (size_t)s.h, cells = 0;
        uint8_t *taken = calloc((size_t)s.n * plane, 1);
        for (int i = 0; i < s.n_pieces; i++) {
            const struct mtcnn_piece *p = &s.piece[i];
            int pw = 2 * p->cw + 10, ph = 2 * p->ch + 10;
            if (p->x < 0 || p->y < 0 || p->x + pw > s.w || p->y + ph > s.h || p->x % 2 ||
                p->y % 2 || p->sheet < 0 || p->sheet >= s.n)
                fail_msg("%dx%d: piece %d at %d,%d of sheet %d", w, h, i, p->x, p->y, p->sheet);
            if (i && p->sheet / SHEETS_GROUP < s.piece[i - 1].sheet / SHEETS_GROUP)
                fail_msg("%dx%d: piece %d goes back to an earlier group", w, h, i);
            for (int y = 0; y < ph; y++)
                for (int x = 0; x < pw; x++) {
                    uint8_t *t = taken + (size_t)p->sheet * plane +
                                 (size_t)(p->y + y) * (size_t)s.w + (size_t)(p->x + x);
                    if (*t) fail_msg("%dx%d: piece %d lies over another", w, h, i);
                    *t = 1;
                }
            cells += (size_t)p->cw * (size_t)p->ch;
        }
        size_t want = 0;
        for (int i = 0; i < s.n_levels; i++)
            want += (size_t)s.level[i].map_w * (size_t)s.level[i].map_h;
        if (cells != want) fail_msg("%dx%d: %zu cells, the levels have %zu", w, h, cells, want);
        free(taken);
        sheets_release(&s);
    }
}

/* A photograph of LFW: one sheet of the size that the heights and steps were chosen for. */
static void test_lfw_size(void **state)
{
    (void)state;
    struct mtcnn_sheets s;
    plan(&s, 250, 250);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.w, 336);
    assert_int_equal(s.h, 152);
    assert_int_equal(s.n_levels, 8);
    assert_int_equal(s.level[0].w, 151);
    assert_int_equal(s.level[0].map_w, 71);
    sheets_release(&s);
}

/* Pieces carry their level's pixels; past an odd edge the last pixel is repeated. */
static void test_fill(void **state)
{
    (void)state;
    struct mtcnn_sheets s;
    struct image im = IMAGE_INIT;
    struct err_info err;
    assert_int_equal(image_new(&im, 250, 185, &err), ERR_OK);
    for (size_t i = 0; i < 250 * 185 * 3; i++) im.rgb[i] = (uint8_t)(i * 2654435761u >> 24);
    plan(&s, im.w, im.h);
    size_t plane = (size_t)s.w * (size_t)s.h;
    float *scratch = calloc(s.level_floats, sizeof *scratch);
    float *level = calloc(s.level_floats, sizeof *level);
    float *px = calloc((size_t)s.n * 3 * plane, sizeof *px);
    int drawn = -1;
    sheets_fill(px, &s, 0, &im, scratch, &drawn);
    for (int i = 0; i < s.n_pieces; i++) {
        const struct mtcnn_piece *p = &s.piece[i];
        const struct mtcnn_level *l = &s.level[p->level];
        image_area_resample(level, l->w, l->h, &im, 0, 0, im.w, im.h, -127.5f, 0.0078125f);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < 2 * p->ch + 10; y++)
                for (int x = 0; x < 2 * p->cw + 10; x++) {
                    int lx = 2 * p->cx + x, ly = 2 * p->cy + y;
                    if (lx >= l->w) lx = l->w - 1;
                    if (ly >= l->h) ly = l->h - 1;
                    float want =
                        level[((size_t)c * (size_t)l->h + (size_t)ly) * (size_t)l->w + (size_t)lx];
                    float got = px[((size_t)p->sheet * 3 + (size_t)c) * plane +
                                   (size_t)(p->y + y) * (size_t)s.w + (size_t)(p->x + x)];
                    if (want != got)
                        fail_msg("piece %d, channel %d at %d,%d: %g, expected %g", i, c, x, y,
                                 (double)got, (double)want);
                }
    }
    free(px);
    free(level);
    free(scratch);
    image_release(&im);
    sheets_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_lfw_size),
        cmocka_unit_test(test_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
