/* The order of colour planes decided by a picture (engine_check_order), with the mini VGG-Face: the
 * right order gives ajb.jpg's class 8 the probability of golden.json, the wrong one a higher one,
 * so that "the surer one is right" would be wrong here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/engine.h"
#include "engine/model/import/import.h"
#include "engine/model/model.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

#define MINI  "../shared/goldens/vggface-mini/"
#define PHOTO "../shared/goldens/vggface/"

static const struct order_check AJB = {.class = 8, .probability = 0.520223279};

static enum err check(struct order_result *r, const char *file, const char *preset,
                      const char *picture, const struct order_check *c, struct err_info *err)
{
    const struct import_options o = {.accept_license = true, .name = "vgg", .preset = preset};
    char path[256], name[64];
    snprintf(path, sizeof path, MINI "%s", file);
    if (import_file(name, path, folder, &o, err)) fail_msg("%s", err->message);
    snprintf(path, sizeof path, PHOTO "%s", picture);
    AUTO_BUF struct buf b = test_read(path);
    return engine_check_order(r, folder, "vgg", picture, b.data, b.len, c, err);
}

static void decides(void **state)
{
    static const struct {
        const char *file, *preset;
        bool bgr;
    } CASES[] = {
        {"keras-sefiks.h5", NULL, false},        {"keras-sefiks.h5", "rgb", false},
        {"keras-sefiks.h5", "bgr", false}, /* imported the wrong way round */
        {"keras-rcmalli.h5", NULL, true},        {"keras-rcmalli.h5", "rgb", true},
        {"vggface-mini.onnx", "bgr+fc8", false}, {"caffe-v2.caffemodel", NULL, true},
    };
    (void)state;
    if (!test_have_shared()) skip();
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct order_result r;
        struct model *m = NULL;
        if (check(&r, CASES[i].file, CASES[i].preset, "ajb.jpg", &AJB, &err) ||
            model_open(&m, folder, "vgg", &err))
            fail_msg("%s: %s", CASES[i].file, err.message);
        const double right = CASES[i].bgr ? r.bgr : r.rgb, wrong = CASES[i].bgr ? r.rgb : r.bgr;
        if (!r.decided || r.bgr_is_right != CASES[i].bgr || m->input.bgr != CASES[i].bgr)
            fail_msg("%s: %g as rgb, %g as bgr: %s", CASES[i].file, r.rgb, r.bgr, m->note);
        assert_true(fabs(right - AJB.probability) < 2e-3); /* the JPEG decoder's part */
        assert_true(wrong > right + 0.05);
        assert_true(m->input.mean[0] == (CASES[i].bgr ? 93.5940f : 129.1863f));
        assert_non_null(strstr(m->note, CASES[i].bgr ? "planes are bgr" : "planes are rgb"));
        assert_null(strstr(m->note, "assumed"));
        model_close(m);
        assert_int_equal(model_verify(folder, "vgg", &err), ERR_OK);
    }
}

static void stays_assumed(void **state)
{
    static const struct {
        const char *picture, *preset;
        struct order_check c;
    } CASES[] = {
        {"rm.jpg", NULL, {.class = 8, .probability = 0.520223279}},   /* another picture */
        {"ajb.jpg", NULL, {.class = 26, .probability = 0.520223279}}, /* another class */
        {"ajb.jpg", NULL, {.class = 8, .probability = 0.9}},
        {"ajb.jpg", NULL, {.class = 8, .probability = 0.566}},             /* between both */
        {"ajb.jpg", "deepface-base", {.class = 8, .probability = 0.0337}}, /* both are near */
    };
    (void)state;
    if (!test_have_shared()) skip();
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct order_result r;
        struct model *m = NULL;
        if (check(&r, "keras-sefiks.h5", CASES[i].preset, CASES[i].picture, &CASES[i].c, &err) ||
            model_open(&m, folder, "vgg", &err))
            fail_msg("%zu: %s", i, err.message);
        if (r.decided || m->input.bgr || !strstr(m->note, "rgb is assumed") ||
            !strstr(m->note, "does not decide"))
            fail_msg("%zu: %g as rgb, %g as bgr: %s", i, r.rgb, r.bgr, m->note);
        model_close(m);
    }
}

static void cannot_be_checked(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct order_check known;
    struct order_result r;
    (void)state;
    if (!test_have_shared()) skip();
    assert_int_equal(check(&r, "keras-rcmalli-notop.h5", NULL, "ajb.jpg", &AJB, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "no classifier"));
    const struct order_check beyond = {.class = 41, .probability = 0.5};
    assert_int_equal(check(&r, "keras-sefiks.h5", NULL, "ajb.jpg", &beyond, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "class 41"));
    assert_int_equal(check(&r, "keras-sefiks.h5", NULL, "names.txt", &AJB, &err),
                     ERR_UNSUPPORTED_IMAGE);

    AUTO_BUF struct buf ajb = test_read(PHOTO "ajb.jpg"), rm = test_read(PHOTO "rm.jpg");
    assert_true(engine_order_known(&known, rm.data, rm.len));
    assert_int_equal(known.class, 2122);
    assert_string_equal(known.preset, "demo-swapped-mean");
    assert_true(engine_order_known(&known, ajb.data, ajb.len));
    assert_int_equal(known.class, 0);
    assert_int_equal(check(&r, "keras-sefiks.h5", NULL, "ajb.jpg", &known, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "2622 classes"));
    assert_false(engine_order_known(&known, ajb.data, ajb.len - 1));
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {WITH_FOLDER(decides), WITH_FOLDER(stays_assumed),
                                       WITH_FOLDER(cannot_be_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
