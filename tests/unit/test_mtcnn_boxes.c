#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "engine/face/mtcnn_boxes.h"

static struct mtcnn_box box(float x1, float y1, float x2, float y2, float score, int order)
{
    return (struct mtcnn_box){{x1, y1, x2, y2}, score, {0}, order, 0};
}

/* orders of the survivors, -1 at the end */
static void check_orders(const char *name, const struct mtcnn_box *b, int n, const int *want)
{
    for (int i = 0; i < n; i++)
        if (b[i].order != want[i])
            fail_msg("%s: place %d is %d, expected %d", name, i, b[i].order, want[i]);
    if (want[n] != -1) fail_msg("%s: %d left, expected more", name, n);
}

static void test_union(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double limit;
        float b[4][5];
        int n, want[5];
    } cases[] = {
        {"best first", 0.5, {{0, 0, 10, 10, .6f}, {0, 0, 10, 9, .9f}}, 2, {1, -1}},
        {"apart", 0.5, {{0, 0, 10, 10, .6f}, {20, 0, 30, 10, .9f}}, 2, {1, 0, -1}},
        /* intersection 50, union 100: exactly the limit stays */
        {"at the limit", 0.5, {{0, 0, 10, 10, .9f}, {0, 0, 10, 5, .8f}}, 2, {0, 1, -1}},
        {"over the limit", 0.49, {{0, 0, 10, 10, .9f}, {0, 0, 10, 5, .8f}}, 2, {0, -1}},
        {"equal scores: earlier", 0.5, {{0, 0, 10, 10, .7f}, {0, 0, 10, 10, .7f}}, 2, {0, -1}},
        /* 1 is dropped by 0; 2 overlaps only 1 and stays */
        {"dropped ones drop nothing",
         0.3,
         {{0, 0, 10, 10, .9f}, {5, 0, 15, 10, .8f}, {10, 0, 20, 10, .7f}},
         3,
         {0, 2, -1}},
        {"without +1", 0.1, {{0, 0, 10, 10, .9f}, {10, 0, 20, 10, .8f}}, 2, {0, 1, -1}},
        {"none", 0.5, {{0}}, 0, {-1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mtcnn_box b[4];
        for (int k = 0; k < cases[i].n; k++) {
            const float *c = cases[i].b[k];
            b[k] = box(c[0], c[1], c[2], c[3], c[4], k);
        }
        int n = mtcnn_suppress_union(b, cases[i].n, cases[i].limit);
        check_orders(cases[i].name, b, n, cases[i].want);
    }
}

static void test_least(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float b[3][5];
        int n, want[4];
    } cases[] = {
        /* a small box inside a large one: its own area counts */
        {"inside", {{0, 0, 100, 100, .9f}, {40, 40, 50, 50, .8f}}, 2, {0, -1}},
        {"apart", {{0, 0, 10, 10, .9f}, {40, 40, 50, 50, .8f}}, 2, {0, 1, -1}},
        {"equal scores: later", {{0, 0, 10, 10, .9f}, {1, 1, 11, 11, .9f}}, 2, {1, -1}},
        /* inter 8 x 11 = 88 of 121 with + 1: 0.727; without it 0.7, not over */
        {"sides plus one", {{0, 0, 10, 10, .9f}, {3, 0, 13, 10, .8f}}, 2, {0, -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mtcnn_box b[3];
        for (int k = 0; k < cases[i].n; k++) {
            const float *c = cases[i].b[k];
            b[k] = box(c[0], c[1], c[2], c[3], c[4], k);
        }
        int n = mtcnn_suppress_least(b, cases[i].n, 0.7f);
        check_orders(cases[i].name, b, n, cases[i].want);
    }
}

static void test_regress_and_square(void **state)
{
    (void)state;
    struct mtcnn_box b = box(10, 20, 30, 60, 1, 0), p = b;
    for (int k = 0; k < 4; k++) b.move[k] = p.move[k] = 0.1f * (float)(k + 1);
    mtcnn_regress(&b, false); /* w 20, h 40 */
    const float want[4] = {12, 28, 36, 76}, want_plus[4] = {12.1f, 28.2f, 36.3f, 76.4f};
    mtcnn_regress(&p, true); /* w 21, h 41 */
    for (int k = 0; k < 4; k++) {
        assert_float_equal(b.at[k], want[k], 1e-4);
        assert_float_equal(p.at[k], want_plus[k], 1e-4);
    }
    float at[4] = {10, 20, 30, 60};
    mtcnn_square(at);
    const float square[4] = {0, 20, 40, 60};
    for (int k = 0; k < 4; k++) assert_float_equal(at[k], square[k], 1e-5);
}

static void test_crop(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float at[4];
        bool inside;
        int want[4]; /* x y w h */
    } cases[] = {
        {"one-based, inclusive", {1, 1, 100, 50}, true, {0, 0, 100, 50}},
        {"truncated", {5.9f, 7.9f, 20.9f, 30.9f}, true, {4, 6, 16, 24}},
        {"negative truncates towards 0", {-0.9f, -3, 10, 10}, true, {0, 0, 10, 10}},
        {"past the border", {90, 40, 120, 80}, true, {89, 39, 11, 11}},
        {"one pixel", {100, 50, 100, 50}, true, {99, 49, 1, 1}},
        {"left of it", {-50, 5, 0.5f, 20}, false, {0}},
        {"right of it", {101, 5, 120, 20}, false, {0}},
        {"thrown far away", {-1e30f, -1e30f, 1e30f, 1e30f}, true, {0, 0, 100, 50}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int got[4] = {0};
        bool in = mtcnn_crop(cases[i].at, 100, 50, &got[0], &got[1], &got[2], &got[3]);
        if (in != cases[i].inside) fail_msg("%s: inside is %d", cases[i].name, in);
        for (int k = 0; k < 4 && in; k++)
            if (got[k] != cases[i].want[k])
                fail_msg("%s: value %d is %d, expected %d", cases[i].name, k, got[k],
                         cases[i].want[k]);
    }
}

/* What survives overlaps nobody that survives, and everybody that was dropped overlaps one that
 * scored at least as much. */
static void test_invariants(void **state)
{
    (void)state;
    enum { N = 300 };
    static struct mtcnn_box in[N], b[N];
    srand(7);
    for (int i = 0; i < N; i++) {
        float x = (float)(rand() % 200), y = (float)(rand() % 200), s = (float)(10 + rand() % 50);
        in[i] = b[i] = box(x, y, x + s, y + s, (float)(rand() % 20) / 20, i);
    }
    int n = mtcnn_suppress_union(b, N, 0.3);
    assert_true(n > 5 && n < N);
    for (int i = 1; i < n; i++) assert_true(b[i - 1].score >= b[i].score);
    for (int i = 0; i < n; i++) {
        struct mtcnn_box again[2];
        for (int k = i + 1; k < n; k++) {
            again[0] = b[i];
            again[1] = b[k];
            assert_int_equal(mtcnn_suppress_union(again, 2, 0.3), 2);
        }
    }
    for (int i = 0; i < N; i++) {
        bool kept = false, explained = false;
        for (int k = 0; k < n; k++) {
            struct mtcnn_box pair[2] = {b[k], in[i]};
            kept |= b[k].order == i;
            explained |= b[k].score >= in[i].score && mtcnn_suppress_union(pair, 2, 0.3) == 1;
        }
        assert_true(kept || explained);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_union),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_regress_and_square),
        cmocka_unit_test(test_crop),
        cmocka_unit_test(test_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
