/* The words that change how an embedder's input is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/model/model.h"

#include <stdio.h>
#include <string.h>

static void words(void **state)
{
    static const struct {
        const char *preset;
        bool bgr_before;
        bool bgr;
        float mean[3], scale; /* of the planes in their order */
        enum model_crop crop;
        float padding;
        const char *output;
    } rows[] = {
        {"caffe", true, true, {93.5940f, 104.7624f, 129.1863f}, 1, CROP_NONE, 0, ""},
        {"matconvnet", false, false, {129.1863f, 104.7624f, 93.5940f}, 1, CROP_NONE, 0, ""},
        {"demo-swapped-mean", true, true, {129.1863f, 104.7624f, 93.5940f}, 1, CROP_NONE, 0, ""},
        {"deepface-base+letterbox", true, true, {0, 0, 0}, 1.0f / 255, CROP_LETTERBOX, 0, ""},
        {"caffe+bgr", false, true, {93.5940f, 104.7624f, 129.1863f}, 1, CROP_NONE, 0, ""},
        {"bgr+caffe", false, true, {93.5940f, 104.7624f, 129.1863f}, 1, CROP_NONE, 0, ""},
        {"caffe+rgb", true, false, {129.1863f, 104.7624f, 93.5940f}, 1, CROP_NONE, 0, ""},
        {"box-margin+fc8", false, false, {1, 2, 3}, 4, CROP_BOX, 0.15f, "fc8"},
        {"aligned+fc7-linear", false, false, {1, 2, 3}, 4, CROP_BOX_ALIGNED, 0, "fc7_linear"},
        {"pool5+fc7", false, false, {1, 2, 3}, 4, CROP_NONE, 0, "embedding"},
        {"centered+five-points",
         false,
         false,
         {127.5f, 127.5f, 127.5f},
         1 / 127.5f,
         CROP_SIMILARITY,
         0,
         ""},
        {"centered-128", true, true, {127.5f, 127.5f, 127.5f}, 1 / 128.0f, CROP_NONE, 0, ""},
        {"", false, false, {1, 2, 3}, 4, CROP_NONE, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct model_input in = {.bgr = rows[i].bgr_before, .mean = {1, 2, 3}, .scale = {4, 4, 4}};
        struct err_info err = ERR_INFO_INIT;
        if (model_preset(&in, rows[i].preset, &err)) fail_msg("%s", err.message);
        bool same = in.bgr == rows[i].bgr && in.crop == rows[i].crop &&
                    in.padding == rows[i].padding && !strcmp(in.output, rows[i].output);
        for (int c = 0; c < 3; c++)
            same &= in.mean[c] == rows[i].mean[c] && in.scale[c] == rows[i].scale;
        if (!same) fail_msg("'%s' gives another input", rows[i].preset);
    }
}

/* ArcFace's points, in a chip of its size and in one twice as large. */
static void points(void **state)
{
    (void)state;
    for (int twice = 1; twice <= 2; twice++) {
        struct model_input in = {.w = 112 * twice, .h = 112 * twice, .padding = 0.25f};
        struct err_info err = ERR_INFO_INIT;
        assert_int_equal(model_preset(&in, "five-points", &err), ERR_OK);
        assert_true(in.points[0][0] == 38.2946f * (float)twice);
        assert_true(in.points[4][1] == 92.2041f * (float)twice);
        assert_true(in.padding == 0);
    }
}

static void unknown_words(void **state)
{
    static const char *const rows[] = {"cafe",       "caffe+",    "+caffe",
                                       "caffe++box", "caffe,box", "Box"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct model_input in = {.mean = {1, 2, 3}, .crop = CROP_SIMILARITY}, before = in;
        struct err_info err = ERR_INFO_INIT;
        enum err rc = model_preset(&in, rows[i], &err);
        if (rc != ERR_INVALID) fail_msg("'%s' is taken", rows[i]);
        assert_memory_equal(&in, &before, sizeof in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(points),
                                       cmocka_unit_test(unknown_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
