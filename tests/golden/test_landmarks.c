/* Both regression-tree predictors against dlib's points (golden.json: rect -> p5, p68;
 * shape_trace). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/golden.h"

/* The predictor, or a skip; the 68-point model is optional. */
static struct ert *open_predictor(struct model **m, const char *name, int points)
{
    struct err_info err = ERR_INFO_INIT;
    struct ert *e = NULL;
    *m = golden_model(name);
    if (ert_open(&e, *m, &err)) fail_msg("%s: %s", name, err.message);
    assert_int_equal(ert_points(e), points);
    return e;
}

static void rect_of(int rect[4], const json_t *face)
{
    for (size_t k = 0; k < 4; k++)
        rect[k] = (int)json_integer_value(json_array_get(json_object_get(face, "rect"), k));
}

static void check_points(const char *model, const char *key, int points)
{
    json_t *g = golden_load(), *picture, *face;
    struct model *m;
    struct ert *e = open_predictor(&m, model, points);
    int faces = 0, wrong = 0, pictures = 0;
    size_t i, k;

    json_array_foreach(json_object_get(g, "pictures"), i, picture)
    {
        struct image im = IMAGE_INIT;
        const char *path = json_string_value(json_object_get(picture, "path"));
        if (!golden_picture(&im, picture)) continue;
        pictures++;
        json_array_foreach(json_object_get(picture, "faces"), k, face)
        {
            int rect[4], got[68][2], want[68][2];
            rect_of(rect, face);
            int_points(want, json_object_get(face, key));
            ert_predict(e, &im, rect, got);
            faces++;
            if (memcmp(got, want, sizeof got[0] * (size_t)points)) {
                printf("%s face %zu: other points than dlib's\n", path, k);
                wrong++;
            }
        }
        image_release(&im);
    }
    ert_close(e);
    model_close(m);
    json_decref(g);
    printf("%s: %d faces of %d pictures, %d differ\n", model, faces, pictures, wrong);
    assert_int_equal(wrong, 0);
    assert_true(faces > 0);
}

static void test_5_points(void **state)
{
    (void)state;
    check_points("dlib-5point", "p5", 5);
}

static void test_68_points(void **state)
{
    (void)state;
    check_points("dlib-68point", "p68", 68);
}

/* Box and points -> the predictors' rectangle: exact. */
static void test_rect(void **state)
{
    (void)state;
    json_t *g = golden_load(), *picture, *face;
    int wrong = 0, faces = 0;
    size_t i, k;

    json_array_foreach(json_object_get(g, "pictures"), i, picture)
    {
        json_array_foreach(json_object_get(picture, "faces"), k, face)
        {
            struct detection d;
            int got[4], want[4];
            golden_detection(&d, face);
            ert_rect(got, &d);
            rect_of(want, face);
            faces++;
            if (memcmp(got, want, sizeof got)) {
                printf("%s face %zu: %d %d %d %d, golden %d %d %d %d\n",
                       json_string_value(json_object_get(picture, "path")), k, got[0], got[1],
                       got[2], got[3], want[0], want[1], want[2], want[3]);
                wrong++;
            }
        }
    }
    json_decref(g);
    assert_int_equal(faces, 84);
    assert_int_equal(wrong, 0);
}

static void check_trace(const char *model, const char *file, int points)
{
    static const struct {
        const char *key;
        int cascades;
    } stages[] = {{"initial", 0}, {"after_1", 1}, {"after_2", 2}, {"after_15", 15}};
    json_t *g = golden_load(), *trace, *picture;
    struct model *m;
    struct ert *e = open_predictor(&m, model, points);
    bool ok = true;
    int checked = 0;
    size_t i, k;

    json_array_foreach(json_object_get(g, "shape_trace"), i, trace)
    {
        const char *path = json_string_value(json_object_get(trace, "path"));
        if (strcmp(json_string_value(json_object_get(trace, "model")), file)) continue;
        json_array_foreach(json_object_get(g, "pictures"), k, picture)
        {
            struct image im = IMAGE_INIT;
            int rect[4];
            if (strcmp(json_string_value(json_object_get(picture, "path")), path)) continue;
            assert_true(golden_picture(&im, picture));
            rect_of(rect, trace);
            for (size_t s = 0; s < sizeof stages / sizeof stages[0]; s++) {
                float shape[2 * 68];
                ert_shape(e, &im, rect, stages[s].cascades, shape);
                ok &= stat_agrees(stages[s].key, json_object_get(trace, stages[s].key), shape,
                                  2 * (size_t)points, 1e-6, 1);
                checked++;
            }
            image_release(&im);
        }
    }
    ert_close(e);
    model_close(m);
    json_decref(g);
    assert_int_equal(checked, 4);
    assert_true(ok);
}

static void test_trace_5(void **state)
{
    (void)state;
    check_trace("dlib-5point", "shape_predictor_5_face_landmarks.dat", 5);
}

static void test_trace_68(void **state)
{
    (void)state;
    check_trace("dlib-68point", "shape_predictor_68_face_landmarks.dat", 68);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rect),      cmocka_unit_test(test_5_points),
        cmocka_unit_test(test_68_points), cmocka_unit_test(test_trace_5),
        cmocka_unit_test(test_trace_68),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
