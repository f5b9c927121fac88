#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"

static void near_to(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s: %.9g, not %.9g", what, got, want);
}

static struct roc *curve(const float *g, size_t ng, const float *i, size_t ni)
{
    struct roc *r = NULL;
    assert_int_equal(roc_new(&r, g, ng, i, ni, NULL), ERR_OK);
    return r;
}

/* Values of the published formula: Wilson (1927); k of n as tabulated by Newcombe (1998),
 * Statistics in Medicine 17, table I, method 3 (81/263, 15/148, 0/20, 1/29). */
static void test_wilson(void **state)
{
    (void)state;
    static const struct {
        double k, n, low, high;
    } cases[] = {{81, 263, 0.2553, 0.3662},
                 {15, 148, 0.0624, 0.1605},
                 {0, 20, 0, 0.1611},
                 {1, 29, 0.0061, 0.1718}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double ci[2];
        wilson_interval(cases[i].k, cases[i].n, ci);
        near_to(ci[0], cases[i].low, 5e-5, "low");
        near_to(ci[1], cases[i].high, 5e-5, "high");
        wilson_interval(cases[i].n - cases[i].k, cases[i].n, ci); /* mirrored */
        near_to(ci[0], 1 - cases[i].high, 5e-5, "mirrored low");
        near_to(ci[1], 1 - cases[i].low, 5e-5, "mirrored high");
    }
    double ci[2];
    wilson_interval(0, 0, ci);
    assert_true(ci[0] == 0 && ci[1] == 1);
}

/* By hand. Impostors .1 .2 .3 .4 .6, genuine .35 .5 .7 .8 .9. */
static const float IMPOSTOR[] = {0.3f, 0.1f, 0.6f, 0.2f, 0.4f};
static const float GENUINE[] = {0.9f, 0.35f, 0.5f, 0.8f, 0.7f};

static void test_small_curve(void **state)
{
    (void)state;
    static const struct {
        double rate, fmr, tar;
        float above; /* the threshold is just above this impostor */
    } cases[] = {{0.1, 0, 0.6, 0.6f},
                 {0.2, 0.2, 0.8, 0.4f},
                 {0.39, 0.2, 0.8, 0.4f},
                 {0.4, 0.4, 1.0, 0.3f},
                 {0.999, 0.8, 1.0, 0.1f}};
    struct roc *r = curve(GENUINE, 5, IMPOSTOR, 5);
    double accuracy;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct roc_point p;
        roc_at_fmr(r, cases[i].rate, &p);
        near_to(p.fmr, cases[i].fmr, 1e-9, "fmr");
        near_to(p.tar, cases[i].tar, 1e-9, "tar");
        assert_true(p.threshold > cases[i].above && p.threshold <= nextafterf(cases[i].above, 2));
        assert_false(p.supported);
    }
    /* one step of .2 between FMR .4/FNMR 0 (at .35) and .2/.2 (just above .4 until .5): they meet
     * at .2 */
    near_to(roc_eer(r), 0.2, 1e-9, "eer");
    /* best: 8 of 10 right at (.3,.35] (2 impostors above), at (.4,.5] (1 impostor, 1 genuine wrong)
     * and at (.6,.7] (2 genuine wrong); .3-.35 is 8 of 10: the widest of them is .4-.5 or .6-.7 */
    const float t = roc_best_threshold(r, &accuracy);
    near_to(accuracy, 0.8, 1e-9, "accuracy");
    assert_true((t > 0.4f && t <= 0.5f) || (t > 0.6f && t <= 0.7f));
    near_to(roc_accuracy_at(r, t), accuracy, 1e-12, "accuracy at the best threshold");
    near_to(roc_accuracy_at(r, -1), 0.5, 1e-12, "accuracy of accepting all");
    near_to(roc_fmr(r, 0.4f), 0.4, 1e-12, "a pair at the threshold is accepted");
    near_to(roc_tar(r, 0.8f), 0.4, 1e-12, "a pair at the threshold is accepted");
    roc_free(r);
}

static void test_separable(void **state)
{
    (void)state;
    const float g[] = {0.8f, 0.9f}, i[] = {0.1f, 0.2f, -0.3f};
    struct roc *r = curve(g, 2, i, 3);
    double accuracy;

    near_to(roc_eer(r), 0, 1e-12, "eer");
    near_to(roc_best_threshold(r, &accuracy), 0.5, 1e-6, "the middle of the gap");
    near_to(accuracy, 1, 1e-12, "accuracy");
    roc_free(r);
}

/* Everything above is the same similarity: no threshold can part it. */
static void test_ties(void **state)
{
    (void)state;
    const float g[] = {0.5f, 0.5f, 0.5f}, i[] = {0.5f, 0.5f};
    struct roc *r = curve(g, 3, i, 2);
    struct roc_point p;

    near_to(roc_eer(r), 0.5, 1e-12, "eer");
    roc_at_fmr(r, 0.5, &p);
    near_to(p.fmr, 0, 0, "fmr");
    near_to(p.tar, 0, 0, "tar");
    roc_free(r);
}

static void test_refused(void **state)
{
    (void)state;
    const float g[] = {0.5f}, bad[] = {NAN};
    struct roc *r = NULL;

    assert_int_equal(roc_new(&r, g, 1, g, 0, NULL), ERR_INVALID);
    assert_int_equal(roc_new(&r, g, 0, g, 1, NULL), ERR_INVALID);
    assert_int_equal(roc_new(&r, bad, 1, g, 1, NULL), ERR_INVALID);
    assert_int_equal(roc_new(&r, g, 1, bad, 1, NULL), ERR_INVALID);
    assert_null(r);
}

static uint32_t seed = 7;
static float noise(void)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        seed = seed * 1664525u + 1013904223u;
        sum += (float)(seed >> 8) / (1 << 24) - 0.5f;
    }
    return sum;
}

/* Against counting each threshold the slow way. */
static void test_random_against_counting(void **state)
{
    (void)state;
    enum { NG = 300, NI = 2000 };
    float g[NG], im[NI];

    for (int i = 0; i < NG; i++) g[i] = roundf((0.4f + 0.2f * noise()) * 500) / 500; /* with ties */
    for (int i = 0; i < NI; i++) im[i] = roundf(0.2f * noise() * 500) / 500;
    struct roc *r = curve(g, NG, im, NI);
    for (double rate = 1e-4; rate < 1; rate *= 1.7) {
        struct roc_point p;
        int above = 0, at = 0, accepted = 0;
        roc_at_fmr(r, rate, &p);
        const float before = nextafterf(p.threshold, -2);
        for (int i = 0; i < NI; i++) {
            above += im[i] >= p.threshold;
            at += im[i] >= before;
        }
        for (int i = 0; i < NG; i++) accepted += g[i] >= p.threshold;
        near_to(p.fmr, (double)above / NI, 1e-12, "fmr");
        near_to(p.tar, (double)accepted / NG, 1e-12, "tar");
        assert_true(above <= rate * NI);
        assert_true(at > rate * NI); /* one step lower is too many */
        assert_int_equal(p.supported, rate * NI >= 10);
    }
    double best = 0, accuracy;
    for (int k = 0; k < NI + NG; k++) {
        const double a = roc_accuracy_at(r, k < NI ? im[k] : g[k - NI]);
        if (a > best) best = a;
    }
    const float t = roc_best_threshold(r, &accuracy);
    near_to(accuracy, best, 1e-12, "best accuracy");
    near_to(roc_accuracy_at(r, t), best, 1e-12, "accuracy at the best threshold");
    roc_free(r);
}

/* All pairs of 90 people: counts and the curve against the plain double loop. */
static void test_all_pairs(void **state)
{
    (void)state;
    enum { N = 700, D = 24, TAIL = 1000 };
    float *x = malloc(sizeof(float) * N * D), *g = malloc(sizeof(float) * N * N),
          *im = malloc(sizeof(float) * N * N);
    uint32_t person[N], group[N];
    size_t ng = 0, ni = 0;
    struct match_pairs *p = NULL;
    struct roc *plain, *streamed = NULL;

    for (int i = 0; i < N; i++) {
        person[i] = (uint32_t)(i % 90);
        group[i] = person[i] == 89 ? 3 : person[i]; /* 3 and 89 are one person under two names */
        for (int k = 0; k < D; k++)
            x[i * D + k] = sinf((float)((group[i] + 1) * (uint32_t)(k + 3))) + 0.9f * noise();
        assert_true(match_normalize(x + i * D, D));
    }
    for (int i = 0; i < N; i++) {
        for (int j = i + 1; j < N; j++) {
            const float s = match_similarity(x + i * D, x + j * D, D);
            if (person[i] == person[j])
                g[ng++] = s;
            else if (group[i] != group[j])
                im[ni++] = s;
        }
    }
    plain = curve(g, ng, im, ni);
    assert_int_equal(match_pairs_new(&p, x, N, D, person, group, TAIL, 0, NULL), ERR_OK);
    assert_int_equal(p->n_genuine, ng);
    assert_int_equal(p->n_impostor, ni);
    assert_int_equal(p->n_tail, TAIL);
    uint64_t histogram = 0;
    for (int b = 0; b < MATCH_PAIRS_BINS; b++) histogram += p->histogram[b];
    assert_int_equal(histogram + TAIL, ni);
    for (size_t k = 0; k < p->n_tail; k++) {
        const struct match_pair *t = &p->tail[k];
        near_to(t->similarity, match_similarity(x + t->a * D, x + t->b * D, D), 2e-6, "tail pair");
        assert_true(t->a < t->b && group[t->a] != group[t->b]);
        if (k) assert_true(t->similarity <= p->tail[k - 1].similarity);
    }
    assert_int_equal(roc_new_pairs(&streamed, p, NULL), ERR_OK);
    for (float t = -0.5f; t < 1; t += 0.01f) {
        /* a bin is 3e-5 wide and counted at its upper edge; 1e-6: the product's rounding */
        const double low = roc_fmr(plain, t + 1e-6f), high = roc_fmr(plain, t - 3.2e-5f);
        const double got = roc_fmr(streamed, t);
        if (got < low - 1e-12 || got > high + 1e-12)
            fail_msg("at %g: %g, not in %g..%g", t, got, low, high);
    }
    near_to(roc_eer(streamed), roc_eer(plain), 1e-3, "eer");
    struct roc_point a, b;
    roc_at_fmr(plain, 1e-3, &a);
    roc_at_fmr(streamed, 1e-3, &b);
    near_to(b.threshold, a.threshold, 2e-6, "threshold in the tail");

    struct match_rate rate;
    assert_int_equal(match_pairs_rates(&rate, &a.threshold, 1, x, N, D, person, group, NULL),
                     ERR_OK);
    assert_int_equal(rate.pairs, ni);
    near_to(rate.fmr, a.fmr, 2.0 / (double)ni, "rate at a cut");
    double wilson[2];
    wilson_interval((double)rate.reached, (double)rate.pairs, wilson);
    assert_true(rate.ci[0] < rate.fmr && rate.fmr < rate.ci[1]);
    assert_true(rate.ci[1] - rate.ci[0] >
                0.9 * (wilson[1] - wilson[0])); /* people are clusters: never narrower */
    const float never = 1.5f;
    assert_int_equal(match_pairs_rates(&rate, &never, 1, x, N, D, person, group, NULL), ERR_OK);
    assert_true(rate.reached == 0 && rate.fmr == 0 && rate.ci[1] == 1);
    match_pairs_free(p);
    roc_free(plain);
    roc_free(streamed);
    free(x);
    free(g);
    free(im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wilson),    cmocka_unit_test(test_small_curve),
        cmocka_unit_test(test_separable), cmocka_unit_test(test_ties),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_random_against_counting),
        cmocka_unit_test(test_all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
