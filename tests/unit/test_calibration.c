#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"

static void near_to(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s: %.12g, not %.12g", what, got, want);
}

#define HEAD                                                                                       \
    "\"format\":1,\"source\":\"hand\",\"recipe\":\"r1\",\"model\":\"m\",\"command\":\"c\","        \
    "\"people\":9,\"images\":20,"
#define COUNTS "\"impostor_pairs\":100000,\"genuine_pairs\":50,"
#define IMPOSTOR                                                                                   \
    "\"impostor\":{\"similarity\":[-0.2,0.2,0.4,0.6,0.8],\"fmr\":[1,0.1,0.01,0.001,0.00001]},"
#define GENUINE     "\"genuine\":{\"similarity\":[0.3,0.9],\"fnmr\":[0,1]},"
#define PROBABILITY "\"probability\":{\"a\":20,\"b\":-8}"
#define GOOD        "{" HEAD COUNTS IMPOSTOR GENUINE PROBABILITY "}"

static struct calibration *parse(const char *text)
{
    struct calibration *c = NULL;
    struct err_info err = ERR_INFO_INIT;
    if (calibration_parse(&c, text, &err)) fail_msg("%s", err.message);
    return c;
}

static void test_lookups(void **state)
{
    (void)state;
    struct calibration *c = parse(GOOD);
    struct calibration_info info;
    float cut;

    calibration_info(c, &info);
    assert_string_equal(info.source, "hand");
    assert_string_equal(info.recipe, "r1");
    near_to(info.min_fmr, 1e-4, 1e-15, "min_fmr");
    static const struct {
        double fmr, cut;
    } cuts[] = {{0.1, 0.2}, {0.01, 0.4}, {0.001, 0.6}, {0.0316227766, 0.3}, {0.0001, 0.7}};
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        assert_int_equal(calibration_cut(c, cuts[i].fmr, &cut, NULL), ERR_OK);
        near_to(cut, cuts[i].cut, 2e-7, "cut");
        assert_true(calibration_fmr(c, cut) <= cuts[i].fmr * (1 + 1e-8));
        assert_true(calibration_fmr(c, cut - 1e-4f) > cuts[i].fmr);
    }
    near_to(calibration_fmr(c, -0.9f), 1, 0, "below the table");
    near_to(calibration_fmr(c, 0.5f), sqrt(1e-5), 1e-8, "half way in the logarithm");
    near_to(calibration_fmr(c, 0.95f), 1e-5, 1e-12, "above the table: one pair");
    near_to(calibration_probability(c, 0.4f), 0.5, 1e-6, "probability in the middle");
    near_to(calibration_probability(c, 0.5f), 1 / (1 + exp(-2)), 1e-6, "probability");
    calibration_free(c);
}

static void test_never_certain_and_never_falling(void **state)
{
    (void)state;
    struct calibration *c =
        parse("{" HEAD COUNTS IMPOSTOR GENUINE "\"probability\":{\"a\":5000,\"b\":0}}");
    double p0 = 0, r0 = 2;

    for (float s = -1; s <= 1; s += 0.001f) {
        const double p = calibration_probability(c, s), r = calibration_fmr(c, s);
        assert_true(p >= p0 && p > 0 && p < 1);
        assert_true(r <= r0 && r > 0 && r <= 1);
        p0 = p;
        r0 = r;
    }
    calibration_free(c);
}

static void test_refused_rates(void **state)
{
    (void)state;
    struct calibration *c = parse(GOOD);
    struct err_info err = ERR_INFO_INIT;
    float cut = 7;

    assert_int_equal(calibration_cut(c, 0.00009, &cut, &err), ERR_FMR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "0.0001")); /* says what it can support */
    assert_int_equal(calibration_cut(c, 0, &cut, &err), ERR_INVALID);
    assert_int_equal(calibration_cut(c, 1, &cut, &err), ERR_INVALID);
    assert_int_equal(calibration_cut(c, -1, &cut, &err), ERR_INVALID);
    assert_int_equal(calibration_cut(c, NAN, &cut, &err), ERR_INVALID);
    assert_true(cut == 7);
    calibration_free(c);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"empty", ""},
        {"no object", "[1]"},
        {"no counts", "{" HEAD IMPOSTOR GENUINE PROBABILITY "}"},
        {"unknown key", "{" HEAD COUNTS IMPOSTOR GENUINE PROBABILITY ",\"x\":1}"},
        {"twice", "{" HEAD HEAD COUNTS IMPOSTOR GENUINE PROBABILITY "}"},
        {"cut short", "{" HEAD COUNTS IMPOSTOR GENUINE},
        {"other format", "{\"format\":2,\"source\":\"s\",\"recipe\":\"r\",\"model\":\"m\","
                         "\"command\":\"c\",\"people\":1,"
                         "\"images\":1," COUNTS IMPOSTOR GENUINE PROBABILITY "}"},
        {"no recipe", "{\"format\":1,\"source\":\"s\",\"recipe\":\"\",\"model\":\"m\",\"command\":"
                      "\"c\",\"people\":1,"
                      "\"images\":1," COUNTS IMPOSTOR GENUINE PROBABILITY "}"},
        {"no pairs",
         "{" HEAD "\"impostor_pairs\":0,\"genuine_pairs\":5," IMPOSTOR GENUINE PROBABILITY "}"},
        {"other lengths",
         "{" HEAD COUNTS "\"impostor\":{\"similarity\":[0,1],\"fmr\":[1]}," GENUINE PROBABILITY
         "}"},
        {"no row",
         "{" HEAD COUNTS "\"impostor\":{\"similarity\":[],\"fmr\":[]}," GENUINE PROBABILITY "}"},
        {"similarity falls",
         "{" HEAD COUNTS
         "\"impostor\":{\"similarity\":[0.5,0.4],\"fmr\":[1,0.1]}," GENUINE PROBABILITY "}"},
        {"similarity out of range",
         "{" HEAD COUNTS
         "\"impostor\":{\"similarity\":[0.5,1.4],\"fmr\":[1,0.1]}," GENUINE PROBABILITY "}"},
        {"fmr rises",
         "{" HEAD COUNTS
         "\"impostor\":{\"similarity\":[0.4,0.5],\"fmr\":[0.1,0.2]}," GENUINE PROBABILITY "}"},
        {"fmr 0",
         "{" HEAD COUNTS
         "\"impostor\":{\"similarity\":[0.4,0.5],\"fmr\":[0.1,0]}," GENUINE PROBABILITY "}"},
        {"fmr finer than a pair",
         "{" HEAD COUNTS
         "\"impostor\":{\"similarity\":[0.4,0.5],\"fmr\":[0.1,1e-6]}," GENUINE PROBABILITY "}"},
        {"fmr no number",
         "{" HEAD COUNTS
         "\"impostor\":{\"similarity\":[0.4,0.5],\"fmr\":[0.1,\"x\"]}," GENUINE PROBABILITY "}"},
        {"fnmr falls",
         "{" HEAD COUNTS IMPOSTOR
         "\"genuine\":{\"similarity\":[0.4,0.5],\"fnmr\":[0.1,0.05]}," PROBABILITY "}"},
        {"probability falls",
         "{" HEAD COUNTS IMPOSTOR GENUINE "\"probability\":{\"a\":-1,\"b\":0}}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct calibration *c = NULL;
        struct err_info err = ERR_INFO_INIT;
        if (calibration_parse(&c, cases[i].text, &err) != ERR_MODEL)
            fail_msg("%s: taken", cases[i].name);
        if (c || !*err.message) fail_msg("%s: no message", cases[i].name);
    }
}

static uint32_t seed = 5;
static double uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return ((seed >> 8) + 0.5) / (1 << 24);
}
static float gauss(double mean, double sd)
{
    return (float)(mean + sd * sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));
}

/* Measured curve -> JSON -> lookups. For two normal distributions of one width the log of the odds
 * is exactly linear: a = (m1 - m0) / sd^2, b = -a (m1 + m0) / 2. */
static void test_from_a_curve(void **state)
{
    (void)state;
    enum { NG = 20000, NI = 200000 };
    float *g = malloc(sizeof(float) * NG), *im = malloc(sizeof(float) * NI);
    const struct calibration_origin origin = {"test", "recipe", "model", "visavis eval", 10, 20};
    struct roc *r = NULL;
    char *text = NULL, *again = NULL;

    for (int i = 0; i < NG; i++) g[i] = gauss(0.5, 0.1);
    for (int i = 0; i < NI; i++) im[i] = gauss(0.1, 0.1);
    assert_int_equal(roc_new(&r, g, NG, im, NI, NULL), ERR_OK);
    assert_int_equal(roc_calibration_json(&text, r, &origin, NULL), ERR_OK);
    assert_int_equal(roc_calibration_json(&again, r, &origin, NULL), ERR_OK);
    assert_string_equal(text, again);
    struct calibration *c = parse(text);
    for (double rate = 6e-5; rate < 0.9; rate *= 1.37) {
        float cut;
        assert_int_equal(calibration_cut(c, rate, &cut, NULL), ERR_OK);
        const double seen = roc_fmr(r, cut);
        /* between rows the curve is a chord: off by what a sixteenth of a decade (15 %) of pairs
         * scatters */
        const double slack = 3 * sqrt(0.15 * rate / NI) + 1.0 / NI;
        if (seen > rate + slack || seen < rate - slack)
            fail_msg("cut for %g is reached by %g", rate, seen);
    }
    for (int k = 1; k <= 4; k++) { /* the rates that people ask for are rows: never above */
        float cut;
        assert_int_equal(calibration_cut(c, pow(10, -k), &cut, NULL), ERR_OK);
        const double seen = roc_fmr(r, cut);
        if (seen > pow(10, -k) || seen < pow(10, -k) * 0.999 - 2.0 / NI)
            fail_msg("1e-%d: %g", k, seen);
    }
    near_to(calibration_fmr(c, 2), 1.0 / NI, 1e-9, "least rate");
    const double a = 0.4 / 0.01, b = -a * 0.3;
    for (double s = 0.15; s < 0.46; s += 0.05) {
        const double want = 1 / (1 + exp(-(a * s + b)));
        near_to(calibration_probability(c, (float)s), want, 0.02, "probability");
    }
    calibration_free(c);
    free(text);
    free(again);
    roc_free(r);
    free(g);
    free(im);
}

/* Curves that leave nothing to fit must still give a file that is taken back. */
static void test_from_odd_curves(void **state)
{
    (void)state;
    static const float apart_g[] = {0.8f, 0.9f}, apart_i[] = {0.1f, 0.2f, 0.3f};
    static const float one[] = {0.5f}, upside_g[] = {0.1f, 0.2f}, upside_i[] = {0.7f, 0.8f};
    static const float edge_g[] = {1, 1, 1}, edge_i[] = {-1, -1, 1};
    static const struct {
        const char *name;
        const float *g;
        size_t ng;
        const float *i;
        size_t ni;
    } cases[] = {{"apart", apart_g, 2, apart_i, 3},
                 {"one value", one, 1, one, 1},
                 {"upside down", upside_g, 2, upside_i, 2},
                 {"at the ends", edge_g, 3, edge_i, 3}};
    const struct calibration_origin origin = {"test", "recipe", "model", "visavis eval", 1, 2};

    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct roc *r = NULL;
        char *text = NULL;
        struct calibration *c = NULL;
        struct err_info err = ERR_INFO_INIT;
        assert_int_equal(roc_new(&r, cases[k].g, cases[k].ng, cases[k].i, cases[k].ni, NULL),
                         ERR_OK);
        assert_int_equal(roc_calibration_json(&text, r, &origin, NULL), ERR_OK);
        if (calibration_parse(&c, text, &err))
            fail_msg("%s: %s: %s", cases[k].name, err.message, text);
        assert_true(calibration_probability(c, 0.9f) >= calibration_probability(c, 0.1f));
        calibration_free(c);
        free(text);
        roc_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_never_certain_and_never_falling),
        cmocka_unit_test(test_refused_rates),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_from_a_curve),
        cmocka_unit_test(test_from_odd_curves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
