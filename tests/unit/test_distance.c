#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/match.h"

/* Against a sum in double, every length around the width of the vector loop, aligned and not. */
static void test_similarity_is_the_cosine(void **state)
{
    (void)state;
    float a[140], b[140];
    uint32_t seed = 1;

    for (int d = 1; d <= 130; d++) {
        for (int shift = 0; shift < 3; shift++) {
            double want = 0;
            for (int i = 0; i < d; i++) {
                seed = seed * 1664525u + 1013904223u;
                a[shift + i] = (float)(seed >> 8) / (1 << 24) - 0.5f;
                seed = seed * 1664525u + 1013904223u;
                b[shift + i] = (float)(seed >> 8) / (1 << 24) - 0.5f;
            }
            assert_true(match_normalize(a + shift, d));
            assert_true(match_normalize(b + shift, d));
            for (int i = 0; i < d; i++) want += (double)a[shift + i] * (double)b[shift + i];
            const double got = match_similarity(a + shift, b + shift, d);
            if (fabs(got - want) > 1e-6)
                fail_msg("d %d shift %d: %.9g, not %.9g", d, shift, got, want);
            if (got != (double)match_similarity(b + shift, a + shift, d))
                fail_msg("d %d: not symmetric", d);
        }
    }
}

static void test_similarity_stays_in_range(void **state)
{
    (void)state;
    float v[3] = {0.577350318f, 0.577350318f, 0.577350318f}, w[3];

    for (int i = 0; i < 3; i++) w[i] = -v[i]; /* 3 x 0.577350318^2 is 1.0000001 */
    assert_true(match_similarity(v, v, 3) == 1.0f);
    assert_true(match_similarity(v, w, 3) == -1.0f);
}

/* The order of additions is part of the contract: rows that the sum of another order would tell
 * apart. */
static void test_similarity_does_not_depend_on_alignment(void **state)
{
    (void)state;
    _Alignas(64) float a[300], b[300];

    for (int i = 0; i < 128; i++) {
        a[i] = sinf((float)i * 1.7f) * 0.1f;
        b[i] = cosf((float)i * 0.3f) * 0.1f;
    }
    const float want = match_similarity(a, b, 128);
    for (int shift = 1; shift < 20; shift++) {
        float ca[160], cb[160];
        memcpy(ca + shift, a, 128 * sizeof *a);
        memcpy(cb + shift, b, 128 * sizeof *b);
        if (match_similarity(ca + shift, cb + shift, 128) != want)
            fail_msg("shift %d differs", shift);
    }
}

static void test_normalize(void **state)
{
    (void)state;
    float v[2] = {3, 4}, zero[2] = {0, 0}, nan[2] = {NAN, 1}, huge[2] = {3e38f, 3e38f};

    assert_true(match_normalize(v, 2));
    assert_true(fabsf(v[0] - 0.6f) < 1e-7f && fabsf(v[1] - 0.8f) < 1e-7f);
    assert_false(match_normalize(zero, 2));
    assert_true(zero[0] == 0 && zero[1] == 0);
    assert_false(match_normalize(nan, 2));
    assert_true(nan[1] == 1);
    assert_true(match_normalize(huge, 2)); /* the sum of squares does not overflow */
    assert_true(fabsf(huge[0] - 0.70710678f) < 1e-6f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_similarity_is_the_cosine),
        cmocka_unit_test(test_similarity_stays_in_range),
        cmocka_unit_test(test_similarity_does_not_depend_on_alignment),
        cmocka_unit_test(test_normalize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
