#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/face_json.h"

static float embedding[2] = {0.6f, -0.8f};
static float landmarks[68][2];
static float polygon[3][2] = {{1, 2}, {3, 4}, {5, 6.5f}};

static struct face plain_face(void)
{
    return (struct face){.box = {10.00049f, 20, 30.25f, -1},
                         .points = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}},
                         .score = 0.999f,
                         .pass = "rotated90",
                         .quality = 0.5f,
                         .n_quality = 2,
                         .quality_name = {"sharpness", "pose_yaw"},
                         .quality_value = {0.25f, 1},
                         .n_reasons = 1,
                         .reason_code = {"sharpness"},
                         .reason = {"the face is blurred"},
                         .yaw = 12.34f};
}

static char *dump(json_t *o)
{
    assert_non_null(o);
    char *text = json_dumps(o, FACE_JSON_DUMP);
    json_decref(o);
    assert_non_null(text);
    return text;
}

static void test_plain_face(void **state)
{
    (void)state;
    const struct face f = plain_face();
    char *text = dump(face_json(&f, 100, 200));

    assert_string_equal(
        text,
        "{\"box\":[10.0,20.0,30.25,-1.0],\"box_normalized\":[0.100005,0.1,0.3025,-0.005],"
        "\"points\":[[1.0,2.0],[3.0,4.0],[5.0,6.0],[7.0,8.0],[9.0,10.0]],\"score\":0.999,"
        "\"pass\":\"rotated90\",\"quality\":{\"unified\":0.5,\"sharpness\":0.25,\"pose_yaw\":1.0,"
        "\"reasons\":[{\"code\":\"sharpness\",\"message\":\"the face is blurred\"}]},"
        "\"pose\":{\"yaw\":12.3,\"pitch\":0.0,\"roll\":0.0}}");
    free(text);
}

static void test_full_face(void **state)
{
    (void)state;
    struct face f = plain_face();
    uint8_t png[4] = {'M', 'a', 'n', 0};

    f.dim = 2;
    f.embedding = embedding;
    f.n_landmarks = 68;
    f.landmarks = landmarks;
    f.n_polygon = 3;
    f.polygon = polygon;
    f.mask_source = "landmarks68";
    f.mask_box[2] = 7;
    f.mask_png = (struct buf){png, 3, 4, 4};
    f.chip_png = (struct buf){png, 2, 4, 4};
    json_t *o = face_json(&f, 100, 200), *mask = json_object_get(o, "mask");

    assert_non_null(o);
    /* a float survives: 9 digits */
    char *text = json_dumps(json_object_get(o, "embedding"), FACE_JSON_DUMP);
    assert_string_equal(text, "[0.600000024,-0.800000012]");
    assert_true(strtof(text + 1, NULL) == embedding[0]);
    free(text);
    assert_int_equal(json_array_size(json_object_get(o, "landmarks68")), 68);
    assert_string_equal(json_string_value(json_object_get(mask, "source")), "landmarks68");
    assert_int_equal(json_array_size(json_object_get(mask, "polygon")), 3);
    assert_string_equal(json_string_value(json_object_get(mask, "png")), "TWFu");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(mask, "box"), 2)), 7);
    assert_string_equal(json_string_value(json_object_get(o, "chip")), "TWE=");
    json_decref(o);
}

/* JSON has no NaN: an answer must still be one. */
static void test_not_finite(void **state)
{
    (void)state;
    struct face f = plain_face();
    float bad[2] = {NAN, INFINITY};

    f.score = NAN;
    f.box[0] = INFINITY;
    f.dim = 2;
    f.embedding = bad;
    char *text = dump(face_json(&f, 0, 0));
    json_t *again = json_loads(text, 0, NULL);
    assert_non_null(again);
    json_decref(again);
    free(text);
}

static void test_analysis_and_error(void **state)
{
    (void)state;
    struct face f = plain_face();
    const struct analysis a = {.width = 100,
                               .height = 200,
                               .n = 1,
                               .faces = &f,
                               .took = {1.234, 2, 3, 4, 10.5}},
                          none = {.width = 5, .height = 6};
    const struct err_info err = {ERR_NO_FACE, "no face was found"}, odd = {ERR_IO, "\xff\xfe"};
    json_t *o = analysis_json(&a);

    assert_int_equal(json_array_size(json_object_get(o, "faces")), 1);
    char *text = json_dumps(json_object_get(o, "took_ms"), FACE_JSON_DUMP);
    assert_string_equal(
        text, "{\"decode\":1.23,\"detect\":2.0,\"align\":3.0,\"embed\":4.0,\"total\":10.5}");
    free(text);
    json_decref(o);
    text = dump(analysis_json(&none));
    assert_memory_equal(text, "{\"width\":5,\"height\":6,\"faces\":[],", 33);
    free(text);
    text = dump(error_json(&err));
    assert_string_equal(text, "{\"code\":\"no_face\",\"message\":\"no face was found\"}");
    free(text);
    o = error_json(&odd);
    assert_string_equal(json_string_value(json_object_get(o, "code")), "io_error");
    json_decref(o);
}

static void test_model(void **state)
{
    (void)state;
    const struct model_info net = {
        .name = "net",
        .role = "embedder",
        .dim = 128,
        .loaded = true,
        .average = "mirror",
        .calibration = "{\"source\":\"s\",\"impostor_pairs\":1000,\"impostor\":{}}"};
    const struct model_info plain = {.name = "mtcnn-p", .role = "detector", .license = "MIT"};
    json_t *o = model_json(&net), *c = json_object_get(o, "calibration");

    assert_int_equal(json_integer_value(json_object_get(o, "dimension")), 128);
    assert_true(fabs(json_number_value(json_object_get(c, "min_fmr")) - 0.01) < 1e-12);
    assert_null(json_object_get(c, "impostor"));
    json_decref(o);
    o = model_json(&plain);
    assert_null(json_object_get(o, "dimension"));
    assert_string_equal(json_string_value(json_object_get(o, "license")), "MIT");
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_face), cmocka_unit_test(test_full_face),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_analysis_and_error),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
