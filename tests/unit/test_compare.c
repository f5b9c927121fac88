#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/compare.h"
#include "server/api/face_json.h"

static const char calibration_text[] =
    "{\"format\":1,\"source\":\"hand\",\"recipe\":\"r1\",\"model\":\"m\",\"command\":\"c\","
    "\"people\":9,"
    "\"images\":20,\"impostor_pairs\":100000,\"genuine_pairs\":50,"
    "\"impostor\":{\"similarity\":[-0.2,0.2,0.4,0.6,0.8],\"fmr\":[1,0.1,0.01,0.001,0.00001]},"
    "\"genuine\":{\"similarity\":[0.3,0.9],\"fnmr\":[0,1]},\"probability\":{\"a\":20,\"b\":-8}}";

static const struct decide_model model = {"net", "f32", "r1", "mtcnn"};

/* Faces in the plane: the cosine of two is that of the angle between them. */
struct scene {
    struct analysis a;
    struct face faces[4];
    float v[4][2];
};

static void scene_init(struct scene *s, int n, const double *degrees)
{
    memset(s, 0, sizeof *s);
    s->a = (struct analysis){
        .width = 100, .height = 100, .n = n, .faces = s->faces, .took = {1, 2, 3, 4, 10}};
    for (int i = 0; i < n; i++) {
        s->v[i][0] = (float)cos(degrees[i] / 57.29577951308232);
        s->v[i][1] = (float)sin(degrees[i] / 57.29577951308232);
        s->faces[i].pass = "default";
        s->faces[i].dim = 2;
        s->faces[i].embedding = s->v[i];
    }
}

static struct calibration *cal;
static int open_calibration(void **state)
{
    (void)state;
    return calibration_parse(&cal, calibration_text, NULL);
}
static int close_calibration(void **state)
{
    (void)state;
    calibration_free(cal);
    return 0;
}

static double value(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v)) fail_msg("%s is missing", key);
    return json_number_value(v);
}

static void test_decision(void **state)
{
    (void)state;
    /* cos 53.13 = 0.6: the cut for 1e-3 */
    static const struct {
        const char *name;
        double angle, fmr, cut, rate;
        bool match;
    } cases[] = {{"same", 0, 0, 0.6, 1e-5, true},
                 {"just inside", 53.0, 0, 0.6, 0.000959, true},
                 {"just outside", 53.2, 0, 0.6, 0.0010113, false},
                 {"laxer rate", 60, 0.01, 0.4, 0.0031623, true},
                 {"stricter rate", 50, 1e-4, 0.7, 0.00037335, false},
                 {"opposite", 180, 0, 0.6, 1, false}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scene a, b;
        json_t *o = NULL;
        const struct compare_options options = {FACE_MAIN, cases[i].fmr};
        scene_init(&a, 1, (double[]){10});
        scene_init(&b, 2, (double[]){10 + cases[i].angle, 10});
        assert_int_equal(compare_faces(&o, &model, cal, &a.a, &b.a, &options, NULL), ERR_OK);
        const double s = cos(cases[i].angle / 57.29577951308232);
        if (json_is_true(json_object_get(o, "verified")) != cases[i].match)
            fail_msg("%s: decision", cases[i].name);
        assert_string_equal(json_string_value(json_object_get(o, "decision")),
                            cases[i].match ? "match" : "no_match");
        if (fabs(value(o, "similarity") - s) > 1e-6 || fabs(value(o, "distance") - 1 + s) > 1e-6)
            fail_msg("%s: similarity %g, not %g", cases[i].name, value(o, "similarity"), s);
        const json_t *t = json_object_get(o, "threshold");
        if (fabs(value(t, "value") - cases[i].cut) > 1e-6)
            fail_msg("%s: cut %g", cases[i].name, value(t, "value"));
        if (fabs(value(t, "fmr") - (cases[i].fmr > 0 ? cases[i].fmr : 1e-3)) > 1e-12)
            fail_msg("%s", cases[i].name);
        if (fabs(value(o, "fmr") / cases[i].rate - 1) > 0.001)
            fail_msg("%s: fmr %g, not %g", cases[i].name, value(o, "fmr"), cases[i].rate);
        if ((value(o, "fmr") <= value(t, "fmr")) != cases[i].match)
            fail_msg("%s: contradicts itself", cases[i].name);
        assert_string_equal(json_string_value(json_object_get(t, "source")), "hand");
        assert_string_equal(json_string_value(json_object_get(o, "model")), "net");
        assert_int_equal(json_array_size(json_object_get(o, "faces")), 2);
        assert_null(json_object_get(json_array_get(json_object_get(o, "faces"), 0), "embedding"));
        assert_true(value(json_object_get(o, "took_ms"), "total") == 20);
        assert_null(json_object_get(o, "pairs"));
        json_decref(o);
    }
}

static void test_all_faces(void **state)
{
    (void)state;
    struct scene a, b;
    json_t *o = NULL;
    const struct compare_options options = {FACE_ALL, 0};

    /* a1-b0 20 degrees apart, a0-b0 30, a0-b1 50: greedy gives a1-b0 and then a0-b1; a2 is left
     * over */
    scene_init(&a, 3, (double[]){0, 50, 200});
    scene_init(&b, 2, (double[]){30, -50});
    assert_int_equal(compare_faces(&o, &model, cal, &a.a, &b.a, &options, NULL), ERR_OK);
    char *text = json_dumps(json_object_get(o, "matches"), FACE_JSON_DUMP);
    assert_string_equal(text, "[[1,0],[0,1]]");
    free(text);
    text = json_dumps(json_object_get(o, "unmatched"), FACE_JSON_DUMP);
    assert_string_equal(text, "[[2],[]]");
    free(text);
    text = json_dumps(json_object_get(o, "pair"), FACE_JSON_DUMP);
    assert_string_equal(text, "[1,0]");
    free(text);
    assert_int_equal(json_array_size(json_object_get(o, "pairs")), 6);
    json_t *last = json_array_get(json_object_get(o, "pairs"), 5);
    assert_string_equal(json_string_value(json_object_get(last, "decision")), "no_match");
    assert_int_equal(json_array_size(json_array_get(json_object_get(o, "faces"), 0)), 3);
    assert_int_equal(json_array_size(json_array_get(json_object_get(o, "faces"), 1)), 2);
    assert_true(json_is_true(json_object_get(o, "verified")));
    json_decref(o);
}

static void test_refused(void **state)
{
    (void)state;
    struct scene one, none;
    struct compare_options options = {FACE_ALL, 0};
    struct decide_model other = {"net", "f32", "r2", "yunet"};
    struct err_info err = ERR_INFO_INIT;
    json_t *o = NULL;

    scene_init(&one, 1, (double[]){0});
    scene_init(&none, 0, NULL);
    assert_int_equal(compare_faces(&o, &model, cal, &none.a, &one.a, &options, &err), ERR_NO_FACE);
    assert_non_null(strstr(err.message, "image1"));
    assert_int_equal(compare_faces(&o, &model, cal, &one.a, &none.a, &options, &err), ERR_NO_FACE);
    assert_non_null(strstr(err.message, "image2"));
    assert_int_equal(compare_faces(&o, &model, NULL, &one.a, &one.a, &options, &err),
                     ERR_FMR_UNSUPPORTED);
    assert_int_equal(compare_faces(&o, &other, cal, &one.a, &one.a, &options, &err),
                     ERR_FMR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "r2"));
    assert_non_null(strstr(err.message, "detector yunet"));
    options.fmr = 1e-5;
    assert_int_equal(compare_faces(&o, &model, cal, &one.a, &one.a, &options, &err),
                     ERR_FMR_UNSUPPORTED);
    options.fmr = 2;
    assert_int_equal(compare_faces(&o, &model, cal, &one.a, &one.a, &options, &err), ERR_INVALID);
    options.fmr = 0;
    one.faces[0].embedding = NULL;
    assert_int_equal(compare_faces(&o, &model, cal, &one.a, &one.a, &options, &err), ERR_INTERNAL);
    assert_null(o);
}

/* A calibration from 500 pairs cannot state 1e-3: without a wish the strictest rate that it
 * supports is taken. */
static void test_default_rate_of_a_small_calibration(void **state)
{
    (void)state;
    struct scene a;
    struct calibration *small = NULL;
    json_t *o = NULL;
    const struct compare_options options = {FACE_MAIN, 0};

    assert_int_equal(
        calibration_parse(
            &small,
            "{\"format\":1,\"source\":\"s\",\"recipe\":\"r1\",\"model\":\"m\",\"command\":\"c\","
            "\"people\":9,\"images\":20,\"impostor_pairs\":500,\"genuine_pairs\":50,"
            "\"impostor\":{\"similarity\":[-0.2,0.2,0.4],\"fmr\":[1,0.02,0.002]},"
            "\"genuine\":{\"similarity\":[0.3,0.9],\"fnmr\":[0,1]},"
            "\"probability\":{\"a\":20,\"b\":-8}}",
            NULL),
        ERR_OK);
    scene_init(&a, 1, (double[]){0});
    assert_int_equal(compare_faces(&o, &model, small, &a.a, &a.a, &options, NULL), ERR_OK);
    assert_true(value(json_object_get(o, "threshold"), "fmr") == 0.02);
    json_decref(o);
    calibration_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decision),
        cmocka_unit_test(test_all_faces),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_default_rate_of_a_small_calibration),
    };
    return cmocka_run_group_tests(tests, open_calibration, close_calibration);
}
