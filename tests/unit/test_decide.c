/* Cuts for a gallery: the rate of one comparison, and what happens beyond what the data support. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/api/decide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMPOSTORS = 100000, GENUINE = 1000 };

/* Strangers' similarities spread evenly over [0, 0.8), one person's over [0.7, 1). */
static struct calibration *even_calibration(void)
{
    float *impostor = calloc(IMPOSTORS, sizeof *impostor),
          *genuine = calloc(GENUINE, sizeof *genuine);
    struct calibration_origin origin = {"test", "recipe", "model", "test", 10, 100};
    struct calibration *cal = NULL;
    struct roc *roc = NULL;
    char *json = NULL;

    assert_non_null(impostor);
    assert_non_null(genuine);
    for (int i = 0; i < IMPOSTORS; i++) impostor[i] = 0.8f * (float)i / IMPOSTORS;
    for (int i = 0; i < GENUINE; i++) genuine[i] = 0.7f + 0.3f * (float)i / GENUINE;
    assert_int_equal(roc_new(&roc, genuine, GENUINE, impostor, IMPOSTORS, NULL), ERR_OK);
    assert_int_equal(roc_calibration_json(&json, roc, &origin, NULL), ERR_OK);
    assert_int_equal(calibration_parse(&cal, json, NULL), ERR_OK);
    roc_free(roc);
    free(json);
    free(impostor);
    free(genuine);
    return cal;
}

static void cuts_follow_the_gallery(void **state)
{
    static const struct {
        double fpir;
        size_t comparisons;
        bool bounded;
        double fmr; /* wanted */
        bool guaranteed;
    } cases[] = {
        {0.01, 1, true, 0.01, true},          {0.01, 0, true, 0.01, true},
        {0.01, 10, true, 1.0045288e-3, true}, /* 1 - 0.99^(1/10) */
        {0.5, 100, true, 6.907505e-3, true},  {0.01, 10, false, 1.0045288e-3, false},
        {0.01, 1000, true, 1e-4, false}, /* 1.005e-5: 10 of 100,000 pairs are the least */
    };
    struct calibration *cal = even_calibration();
    double before = 0;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct decide_cuts c;
        if (decide_cuts(&c, cal, cases[i].fpir, cases[i].comparisons, cases[i].bounded, NULL))
            fail_msg("case %zu: no cuts", i);
        if (fabs(c.fmr / cases[i].fmr - 1) > 1e-6 || c.guaranteed != cases[i].guaranteed)
            fail_msg("case %zu: fmr %.9g, guaranteed %d", i, c.fmr, c.guaranteed);
        /* strangers are even: the share at or above a cut is (0.8 - cut) / 0.8 */
        assert_true(fabs((0.8 - c.match) / 0.8 - c.fmr) < 0.02 * c.fmr + 2e-5);
        assert_true(fabs((0.8 - c.possible) / 0.8 - fmin(10 * c.fmr, 0.5)) < 0.2 * c.fmr + 2e-5);
        assert_string_equal(c.source, "test");
    }
    for (size_t n = 1; n < 1000; n *= 3) { /* a larger gallery asks for more */
        struct decide_cuts c;
        assert_int_equal(decide_cuts(&c, cal, 0.05, n, true, NULL), ERR_OK);
        assert_true(c.match >= before && c.possible <= c.match);
        before = c.match;
    }
    calibration_free(cal);
}

static void too_few_pairs_for_any_rate(void **state)
{
    static const char json[] =
        "{\"format\":1,\"source\":\"few\",\"recipe\":\"r\",\"model\":\"m\",\"command\":\"c\","
        "\"people\":3,\"images\":6,\"impostor_pairs\":9,\"genuine_pairs\":3,"
        "\"impostor\":{\"similarity\":[0.1,0.5],\"fmr\":[0.5,0.12]},"
        "\"genuine\":{\"similarity\":[0.4,0.9],\"fnmr\":[0,0.5]},\"probability\":{\"a\":1.5,\"b\":"
        "0.5}}";
    struct err_info err = ERR_INFO_INIT;
    struct calibration *cal = NULL;
    struct decide_cuts c;
    (void)state;
    assert_int_equal(calibration_parse(&cal, json, &err), ERR_OK);
    assert_int_equal(decide_cuts(&c, cal, 0.01, 5, true, &err), ERR_FMR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "9 pairs"));
    calibration_free(cal);
}

static void decisions(void **state)
{
    const struct decide_cuts c = {.match = 0.8, .possible = 0.7};
    (void)state;
    assert_int_equal(decide(&c, 0.8), DECISION_MATCH);
    assert_int_equal(decide(&c, 0.79999), DECISION_POSSIBLE);
    assert_int_equal(decide(&c, 0.7), DECISION_POSSIBLE);
    assert_int_equal(decide(&c, 0.69999), DECISION_UNKNOWN);
    assert_string_equal(decision_name(DECISION_MATCH), "match");
    assert_string_equal(decision_name(DECISION_POSSIBLE), "possible");
    assert_string_equal(decision_name(DECISION_UNKNOWN), "unknown");
}

static void another_recipe(void **state)
{
    struct calibration *cal = even_calibration();
    const struct decide_model own = {"m", "f32", "recipe", "mtcnn"},
                              other = {"m", "f32", "another", "mtcnn"};
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    assert_int_equal(decide_calibrated(cal, &own, NULL), ERR_OK);
    assert_int_equal(decide_calibrated(cal, &other, &err), ERR_FMR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "another"));
    assert_int_equal(decide_calibrated(NULL, &own, &err), ERR_FMR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "m has no calibration"));
    struct calibration *none = NULL;
    assert_int_equal(decide_calibration(&none, NULL, &own, NULL), ERR_FMR_UNSUPPORTED);
    assert_int_equal(decide_calibration(&none, "{", &own, &err), ERR_MODEL);
    calibration_free(cal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_follow_the_gallery),
        cmocka_unit_test(too_few_pairs_for_any_rate),
        cmocka_unit_test(decisions),
        cmocka_unit_test(another_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
