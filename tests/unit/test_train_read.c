/* Handwriting split into characters, and named by a model that was trained here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/base/pool.h"
#include "engine/face/face.h"
#include "engine/image/image.h"
#include "engine/model/model.h"
#include "engine/train.h"
#include "engine/train/measure.h"
#include "tests/support.h"

enum { W = 420, H = 260 };

/* A page of paper with uneven light: brighter to the right, as in a photograph. */
struct paper {
    uint8_t grey[W * H];
};

static void blank(struct paper *p, bool dark, double light)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            p->grey[y * W + x] = (uint8_t)(dark ? 20 + light * x / W : 230 - light + light * x / W);
}

static void line(struct paper *p, bool dark, double x0, double y0, double x1, double y1)
{
    for (int i = 0; i <= 300; i++) {
        const double cx = x0 + (x1 - x0) * i / 300, cy = y0 + (y1 - y0) * i / 300;
        for (int y = (int)cy - 3; y <= cy + 3; y++)
            for (int x = (int)cx - 3; x <= cx + 3; x++)
                if (x >= 0 && y >= 0 && x < W && y < H)
                    p->grey[y * W + x] = dark ? 220 : p->grey[y * W + x] / 4;
    }
}

static struct train_glyph *split(const struct paper *p, size_t *n)
{
    AUTO_BUF struct buf png = BUF_INIT(1 << 20);
    struct err_info err = ERR_INFO_INIT;
    struct train_glyph *g = NULL;
    assert_int_equal(image_encode_png(&png, p->grey, W, H, 1, &err), ERR_OK);
    if (train_split(&g, n, png.data, png.len, TRAIN_BY_NAME, "page.png", &err))
        fail_msg("%s", err.message);
    return g;
}

/* Two lines: "l -" and "i T" with a dotted i; dirt between them. */
static void write_page(struct paper *p, bool dark)
{
    line(p, dark, 60, 30, 60, 90);
    line(p, dark, 120, 60, 180, 60);
    line(p, dark, 60, 175, 60, 230);
    line(p, dark, 60, 155, 60, 157); /* the dot */
    line(p, dark, 120, 160, 180, 160);
    line(p, dark, 150, 160, 150, 230);
    p->grey[130 * W + 300] = dark ? 220 : 30;
}

static void splits_a_page(void **state)
{
    static const struct {
        const char *name;
        bool dark;
        double light;
    } rows[] = {{"ink on paper", false, 0}, {"uneven light", false, 150}, {"chalk", true, 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct paper p;
        size_t n;
        blank(&p, rows[i].dark, rows[i].light);
        write_page(&p, rows[i].dark);
        struct train_glyph *g = split(&p, &n);
        if (n != 4) fail_msg("%s: %zu characters", rows[i].name, n);
        assert_int_equal(g[0].line, 0);
        assert_int_equal(g[1].line, 0);
        assert_int_equal(g[2].line, 1);
        assert_int_equal(g[3].line, 1);
        assert_true(g[0].box[0] < g[1].box[0] && g[2].box[0] < g[3].box[0]);
        /* the i has its dot */
        assert_true(g[2].box[1] <= 153 && g[2].box[1] + g[2].box[3] >= 230);
        free(g);
    }
}

/* 20 x 20 with the centre of mass in the middle. */
static void drawn_as_mnist(void **state)
{
    struct paper p;
    size_t n;
    (void)state;
    blank(&p, false, 0);
    line(&p, false, 100, 50, 100, 150);
    line(&p, false, 100, 150, 160, 150);
    struct train_glyph *g = split(&p, &n);
    assert_int_equal(n, 1);
    double sum = 0, mx = 0, my = 0;
    int y0 = TRAIN_SIDE, y1 = -1;
    for (int i = 0; i < TRAIN_PIXELS; i++) {
        const double v = g->pixels[i];
        sum += v;
        mx += v * (i % TRAIN_SIDE);
        my += v * (i / TRAIN_SIDE);
        if (v > 127) {
            if (i / TRAIN_SIDE < y0) y0 = i / TRAIN_SIDE;
            if (i / TRAIN_SIDE > y1) y1 = i / TRAIN_SIDE;
        }
    }
    assert_true(fabs(mx / sum - 13.5) < 0.3 && fabs(my / sum - 13.5) < 0.3);
    assert_true(y1 - y0 + 1 >= 19 && y1 - y0 + 1 <= 21);
    assert_int_equal(g->pixels[0], 0);
    free(g);
}

/* A line that climbs and leans comes out upright. */
static void tilt_and_slant_are_taken_away(void **state)
{
    struct paper p;
    size_t n;
    (void)state;
    blank(&p, false, 0);
    for (int i = 0; i < 5; i++)
        line(&p, false, 60 + 60 * i, 160 - 12 * i, 60 + 60 * i + 25, 110 - 12 * i);
    struct train_glyph *g = split(&p, &n);
    assert_int_equal(n, 5);
    for (size_t k = 0; k < n; k++) {
        double sxy = 0, syy = 0, sum = 0, mx = 0, my = 0;
        for (int i = 0; i < TRAIN_PIXELS; i++) {
            sum += g[k].pixels[i];
            mx += g[k].pixels[i] * (i % TRAIN_SIDE);
            my += g[k].pixels[i] * (i / TRAIN_SIDE);
        }
        for (int i = 0; i < TRAIN_PIXELS; i++) {
            const double dx = i % TRAIN_SIDE - mx / sum, dy = i / TRAIN_SIDE - my / sum;
            sxy += g[k].pixels[i] * dx * dy;
            syy += g[k].pixels[i] * dy * dy;
        }
        assert_true(fabs(sxy / syy) < 0.1); /* it was 0.5 */
        assert_int_equal(g[k].line, 0);
    }
    free(g);
}

static void nothing_and_too_much(void **state)
{
    struct paper p;
    size_t n = 7;
    struct err_info err = ERR_INFO_INIT;
    struct train_glyph *g;
    (void)state;
    blank(&p, false, 0);
    assert_null(split(&p, &n));
    assert_int_equal(n, 0);
    assert_int_equal(
        train_split(&g, &n, (const uint8_t *)"no picture", 10, TRAIN_UPRIGHT, "x", &err),
        ERR_UNSUPPORTED_IMAGE);
    AUTO_BUF struct buf png = BUF_INIT(1 << 24);
    enum { SIDE = 600 }; /* 74 x 74 dots */
    uint8_t *dots = malloc(SIDE * SIDE);
    assert_non_null(dots);
    memset(dots, 255, SIDE * SIDE);
    for (int y = 2; y + 8 < SIDE; y += 8)
        for (int x = 2; x + 8 < SIDE; x += 8)
            for (int i = 0; i < 9; i++) dots[(y + i / 3) * SIDE + x + i % 3] = 0;
    assert_int_equal(image_encode_png(&png, dots, SIDE, SIDE, 1, &err), ERR_OK);
    free(dots);
    assert_int_equal(train_split(&g, &n, png.data, png.len, TRAIN_UPRIGHT, "x", &err),
                     ERR_TOO_LARGE);
    assert_non_null(strstr(err.message, "limit"));
}

/* --- the model that comes with visavis --- */

/* An embedder like any other, but for its one grey channel. */
static void bundled_model_as_an_embedder(void **state)
{
    static uint8_t chip[TRAIN_PIXELS * 3];
    float plane[TRAIN_PIXELS];
    struct model *m;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    if (model_open(&m, "deploy/models", "glyphs", &err)) fail_msg("%s", err.message);
    assert_int_equal(m->role, MODEL_EMBEDDER);
    assert_true(m->input.grey && m->input.dim == 128 && m->input.crop == CROP_NONE);
    assert_true(m->bytes <= 1000 * 1000);
    assert_non_null(m->training);
    assert_non_null(strstr(m->training, "images_sha256"));
    memcpy(chip + 3, (const uint8_t[3]){30, 60, 90}, 3);
    embed_input(plane, chip, &m->input, false);
    assert_true(fabsf(plane[1] - 60.0f / 255) < 1e-6f && plane[0] == 0);
    embed_input(plane, chip, &m->input, true);
    assert_true(fabsf(plane[TRAIN_SIDE - 2] - 60.0f / 255) < 1e-6f && plane[1] == 0);
    model_close(m);
}

static void bundled_model(void **state)
{
    struct train_reader *r;
    struct train_set s;
    char warning[TRAIN_WARNING_BYTES];
    struct err_info err = ERR_INFO_INIT;
    size_t right = 0, n = 2000;
    (void)state;
    if (train_reader_open(&r, "deploy/models", "glyphs", &err)) fail_msg("%s", err.message);
    if (!test_have_shared()) {
        train_reader_close(r);
        skip();
    }
    const struct train_source source = {SHARED "/data/glyphs/mnist-train-images-idx3-ubyte.gz",
                                        SHARED "/data/glyphs/mnist-train-labels-idx1-ubyte.gz",
                                        NULL, TRAIN_BY_NAME};
    assert_int_equal(train_set_read(&s, warning, &source, &err), ERR_OK);
    struct train_reading *reading = calloc(n, sizeof *reading);
    assert_non_null(reading);
    /* the last are those that it was not trained with */
    const uint32_t digits[] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9'};
    if (train_read(reading, r, s.pixels + (s.n - n) * TRAIN_PIXELS, n, digits, 10, NULL, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        right += reading[i].codes[0] == (uint32_t)'0' + s.labels[s.n - n + i];
        assert_true(reading[i].probability > 0 && reading[i].probability <= 1);
        assert_int_equal(reading[i].n_near, TRAIN_NEAR);
        for (int k = 1; k < TRAIN_NEAR; k++)
            assert_true(reading[i].near[k].similarity <= reading[i].near[k - 1].similarity);
    }
    if (right < n * 985 / 1000) fail_msg("%zu of %zu digits are right", right, n);
    const uint32_t none[] = {0x4e00};
    assert_int_equal(train_read(reading, r, s.pixels, 1, none, 1, NULL, &err), ERR_INVALID);
    free(reading);
    train_set_release(&s);
    train_reader_close(r);
    assert_int_equal(train_reader_open(&r, "deploy/models", "none", &err), ERR_NOT_FOUND);
}

static void read_set(struct train_set *s, const char *name, const char *mapping)
{
    char images[256], labels[256], path[256], warning[TRAIN_WARNING_BYTES];
    struct err_info err = ERR_INFO_INIT;
    snprintf(images, sizeof images, SHARED "/data/glyphs/%s-images-idx3-ubyte.gz", name);
    snprintf(labels, sizeof labels, SHARED "/data/glyphs/%s-labels-idx1-ubyte.gz", name);
    snprintf(path, sizeof path, SHARED "/data/glyphs/%s", mapping ? mapping : "");
    const struct train_source source = {images, labels, mapping ? path : NULL, TRAIN_BY_NAME};
    if (train_set_read(s, warning, &source, &err)) fail_msg("%s", err.message);
}

/* Letters and digits of people that it was not trained with: 62 classes, and with upper and lower
 * case as one. */
static void bundled_model_reads_new_writers(void **state)
{
    struct train_reader *r;
    struct train_set s;
    struct err_info err = ERR_INFO_INIT;
    size_t seen[TRAIN_MAX_CLASSES] = {0}, n = 0, right = 0, merged = 0;
    (void)state;
    if (!test_have_shared()) skip();
    if (train_reader_open(&r, "deploy/models", "glyphs", &err)) fail_msg("%s", err.message);
    read_set(&s, "chars74k-hnd62", "chars74k-hnd62-mapping.txt");
    for (size_t i = 0; i < s.n; i++) {
        struct train_reading reading;
        if (seen[s.labels[i]]++ % 5) continue;
        if (train_read(&reading, r, s.pixels + i * TRAIN_PIXELS, 1, NULL, 0, NULL, &err))
            fail_msg("%s", err.message);
        const int is = (int)s.codes[s.labels[i]][0], read = (int)reading.codes[0];
        right += read == is;
        merged += tolower(read) == tolower(is);
        n++;
    }
    assert_int_equal(n, 682);
    if (right < n * 83 / 100 || merged < n * 92 / 100)
        fail_msg("of %zu characters %zu are right, %zu but for their case", n, right, merged);
    train_set_release(&s);
    train_reader_close(r);
}

/* The 5 nearest of the other 50,000 name a digit. */
static void bundled_model_knows_mnist(void **state)
{
    struct train_set s;
    struct model *m;
    struct pool *pool;
    struct err_info err = ERR_INFO_INIT;
    const size_t held = 10000;
    (void)state;
    if (!test_have_shared()) skip();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* minutes */
#endif
    if (model_open(&m, "deploy/models", "glyphs", &err)) fail_msg("%s", err.message);
    assert_int_equal(pool_new(&pool, 2, &err), ERR_OK);
    const struct cores cores = pool_cores(pool);
    read_set(&s, "mnist-train", NULL);
    const size_t d = (size_t)m->input.dim, others = s.n - held;
    float *x = mem_aligned(s.n * d, sizeof *x);
    uint8_t *read = malloc(held);
    assert_true(x && read);
    assert_int_equal(train_embed(x, &m->graph, s.pixels, s.n, &cores, &err), ERR_OK);
    assert_int_equal(
        train_nearest(read, x + others * d, held, x, s.labels, others, (int)d, 5, &cores, &err),
        ERR_OK);
    const double accuracy = train_accuracy(s.labels + others, read, held, &s, NULL);
    if (!(accuracy >= 0.994)) fail_msg("%.4f of the digits are right", accuracy);
    free(x);
    free(read);
    pool_free(pool);
    train_set_release(&s);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_a_page),
        cmocka_unit_test(drawn_as_mnist),
        cmocka_unit_test(tilt_and_slant_are_taken_away),
        cmocka_unit_test(nothing_and_too_much),
        cmocka_unit_test(bundled_model_as_an_embedder),
        cmocka_unit_test(bundled_model),
        cmocka_unit_test(bundled_model_reads_new_writers),
        cmocka_unit_test(bundled_model_knows_mnist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
