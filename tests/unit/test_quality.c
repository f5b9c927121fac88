#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/face/face.h"

enum { BYTES = CHIP_SIDE * CHIP_SIDE * 3 };

static const struct detection good = {
    {60, 40, 140, 150}, {{78, 80}, {122, 80}, {100, 104.05f}, {82, 124}, {118, 124}}, 0.999f};

/* Contents at several scales, brightness about 128: something that has sharpness and range. */
static void draw_chip(uint8_t *chip)
{
    for (int y = 0; y < CHIP_SIDE; y++)
        for (int x = 0; x < CHIP_SIDE; x++)
            for (int c = 0; c < 3; c++)
                *chip++ = (uint8_t)(128 + 50 * sin(x * 0.09) * cos(y * 0.07) + 26 * sin(x * 0.55) +
                                    24 * cos(y * 0.5));
}

static void blur(uint8_t *chip)
{
    static uint8_t from[BYTES];
    memcpy(from, chip, BYTES);
    for (int y = 1; y < CHIP_SIDE - 1; y++)
        for (int x = 1; x < CHIP_SIDE - 1; x++)
            for (int c = 0; c < 3; c++) {
                int sum = 0;
                for (int k = 0; k < 9; k++)
                    sum += from[3 * ((y + k / 3 - 1) * CHIP_SIDE + x + k % 3 - 1) + c];
                chip[3 * (y * CHIP_SIDE + x) + c] = (uint8_t)(sum / 9);
            }
}

static void scale(uint8_t *chip, double factor, double add)
{
    for (int i = 0; i < BYTES; i++) {
        double v = chip[i] * factor + add;
        chip[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static void measure(struct quality *q, const struct detection *d, const uint8_t *chip)
{
    struct image im = {200, 200, NULL}; /* only its size is read */
    quality_measure(q, &im, d, chip);
}

static void test_good_face(void **state)
{
    (void)state;
    uint8_t chip[BYTES];
    struct quality q;
    draw_chip(chip);
    measure(&q, &good, chip);
    for (int i = 0; i < QUALITY_COUNT; i++)
        if (!(q.component[i] > 0.7f && q.component[i] <= 1))
            fail_msg("%s is %.3f", quality_name((enum quality_id)i), (double)q.component[i]);
    assert_true(q.unified > 0.7f && q.unified <= 1);
    assert_int_equal(q.n_reasons, 0);
    assert_true(fabsf(q.yaw) < 2 && fabsf(q.pitch) < 4 && fabsf(q.roll) < 1);
}

/* Each step of a worsening must lower its component, and never raise the unified score. */
static void check_falls(const char *name, enum quality_id id, const struct quality *q, int n)
{
    for (int i = 1; i < n; i++) {
        if (!(q[i].component[id] < q[i - 1].component[id]))
            fail_msg("%s step %d: %s goes from %.4f to %.4f", name, i, quality_name(id),
                     (double)q[i - 1].component[id], (double)q[i].component[id]);
        if (!(q[i].unified <= q[i - 1].unified + 1e-6f))
            fail_msg("%s step %d: unified rises", name, i);
    }
    struct quality last = q[n - 1];
    if (!(last.n_reasons > 0 && last.reasons[0] == id))
        fail_msg("%s: the last step gives no reason, or another first (%s %.3f)", name,
                 quality_name(id), (double)last.component[id]);
    assert_true(strlen(quality_reason(id)) > 5);
}

static void test_blur(void **state)
{
    (void)state;
    uint8_t chip[BYTES];
    struct quality q[5];
    draw_chip(chip);
    for (int i = 0; i < 5; i++) {
        measure(&q[i], &good, chip);
        for (int k = 0; k < 6; k++) blur(chip);
    }
    check_falls("blur", Q_SHARPNESS, q, 5);
}

static void test_light(void **state)
{
    (void)state;
    uint8_t chip[BYTES];
    struct quality dark[4], bright[4], flat[4];
    static const double dimmer[] = {0.5, 0.3, 0.2, 0.1}, lift[] = {60, 80, 95, 112};
    static const double contrast[] = {0.5, 0.25, 0.1, 0.02};
    for (int i = 0; i < 4; i++) {
        draw_chip(chip);
        scale(chip, dimmer[i], 0);
        measure(&dark[i], &good, chip);
        draw_chip(chip);
        scale(chip, 1, lift[i]);
        measure(&bright[i], &good, chip);
        draw_chip(chip);
        scale(chip, contrast[i], 128 * (1 - contrast[i]));
        measure(&flat[i], &good, chip);
    }
    check_falls("darker", Q_UNDER_EXPOSURE, dark, 4);
    check_falls("brighter", Q_OVER_EXPOSURE, bright, 4);
    for (int i = 1; i < 4; i++)
        assert_true(flat[i].component[Q_DYNAMIC_RANGE] < flat[i - 1].component[Q_DYNAMIC_RANGE]);
}

static void resize(struct detection *d, float factor)
{
    for (int i = 0; i < 4; i++) d->box[i] *= factor;
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < 2; i++) d->points[k][i] *= factor;
}

static void test_geometry(void **state)
{
    (void)state;
    uint8_t chip[BYTES];
    struct quality size[4], yaw[4], pitch[4], roll[4], cut[4];
    draw_chip(chip);
    for (int i = 0; i < 4; i++) {
        struct detection d = good;
        static const float factor[] = {1, 0.7f, 0.5f, 0.3f}, angle[] = {0, 0.4f, 0.8f, 1.2f};
        resize(&d, factor[i]);
        measure(&size[i], &d, chip);
        d = good;
        d.points[2][0] += 8.5f * (float)i;
        measure(&yaw[i], &d, chip);
        d = good;
        d.points[2][1] -= 9.0f * (float)i;
        measure(&pitch[i], &d, chip);
        d = good;
        for (int k = 0; k < 5; k++) {
            float x = good.points[k][0] - 100, y = good.points[k][1] - 100;
            d.points[k][0] = 100 + x * cosf(angle[i]) - y * sinf(angle[i]);
            d.points[k][1] = 100 + x * sinf(angle[i]) + y * cosf(angle[i]);
        }
        measure(&roll[i], &d, chip);
        d = good;
        for (int k = 0; k < 4; k += 2) d.box[k] -= 62 + 12.0f * (float)i;
        measure(&cut[i], &d, chip);
    }
    check_falls("smaller", Q_INTER_EYE_DISTANCE, size, 4);
    check_falls("nose to the side", Q_POSE_YAW, yaw, 4);
    check_falls("nose up", Q_POSE_PITCH, pitch, 4);
    check_falls("leaning", Q_POSE_ROLL, roll, 4);
    check_falls("over the border", Q_CROP_OF_FACE, cut, 4);
    assert_true(yaw[1].yaw > 5);
    assert_true(pitch[1].pitch > 5);
    assert_true(fabsf(roll[1].roll - 0.4f * 57.29578f) < 0.5f);
    assert_true(fabsf(roll[1].yaw) < 2);
}

static void test_hopeless_input(void **state)
{
    (void)state;
    static uint8_t chip[BYTES];
    struct detection d = {{5, 5, 5, 5}, {{0}}, 0};
    struct quality q;
    measure(&q, &d, chip);
    for (int i = 0; i < QUALITY_COUNT; i++)
        if (!(q.component[i] >= 0 && q.component[i] <= 1))
            fail_msg("%s is not in [0,1]", quality_name((enum quality_id)i));
    assert_true(q.unified >= 0 && q.unified < 0.1f);
    assert_true(q.n_reasons > 3 && q.n_reasons <= QUALITY_COUNT);
    for (int i = 1; i < q.n_reasons; i++)
        assert_true(q.component[q.reasons[i - 1]] <= q.component[q.reasons[i]]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_face),      cmocka_unit_test(test_blur),
        cmocka_unit_test(test_light),          cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_hopeless_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
