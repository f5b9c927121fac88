/* The tiled products of engine/cluster: every instruction set against sums in double, odd sizes;
 * the same bits whichever row is left or right, and whatever tile it falls in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/cluster/dots.h"
#include "engine/cluster/neighbours.h"
#include "tests/unit/cluster_rows.h"

static void test_kernels(void **state)
{
    (void)state;
    static const int runs[] = {1, 2, 7, 31, 64, 129, DOTS_RUN};
    static float s[DOTS_ROWS * DOTS_COLS], panel[DOTS_RUN * DOTS_WIDTH], a[40 * DOTS_RUN];
    const struct cluster__kernels *k;
    uint64_t random = 1;

    for (size_t i = 0; i < sizeof panel / sizeof *panel; i++)
        panel[i] = (float)rows_normal(&random);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) a[i] = (float)rows_normal(&random);
    for (int at = 0; (k = cluster__kernels_at(at)); at++) {
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            const int rows = 1 + (int)r * 6, run = runs[r];
            k->dots(s, a, DOTS_RUN, rows, panel, run, false);
            k->dots(s, a, DOTS_RUN, rows, panel, run, true); /* twice that */
            for (int i = 0; i < rows; i++) {
                for (int c = 0; c < DOTS_WIDTH; c++) {
                    double want = 0, size = 0;
                    for (int j = 0; j < run; j++) {
                        const double p =
                            (double)a[i * DOTS_RUN + j] * (double)panel[j * DOTS_WIDTH + c];
                        want += 2 * p;
                        size += fabs(2 * p);
                    }
                    /* a chain of run roundings, each of at most 2^-24 of what it adds up to */
                    if (fabs((double)s[i * DOTS_COLS + c] - want) > size * run * 0x1p-24)
                        fail_msg("%s run %d row %d column %d: %g, not %g", k->name, run, i, c,
                                 (double)s[i * DOTS_COLS + c], want);
                }
            }
        }
    }
}

static void test_at_least(void **state)
{
    (void)state;
    enum { N = 200 };
    const struct cluster__kernels *k;
    float s[N];
    uint64_t random = 2;

    for (int i = 0; i < N; i++) s[i] = i % 37 == 5 ? NAN : (float)rows_normal(&random);
    for (int at = 0; (k = cluster__kernels_at(at)); at++) {
        for (int n = 0; n <= N; n += 13) {
            for (int from = 0; from <= n; from++) {
                for (float least = -1; least < 4; least += 1.5f) {
                    int want = from;
                    while (want < n && !(s[want] >= least)) want++;
                    const int got = k->at_least(s, from, n, least);
                    if (got != want)
                        fail_msg("%s from %d to %d: %d, not %d", k->name, from, n, got, want);
                }
            }
        }
    }
}

enum { ROWS = 700, D = 21 };

struct seen {
    float *s; /* [ROWS][ROWS] */
};

static void see(void *self, const struct cluster__tile *t)
{
    struct seen *q = self;
    for (int r = 0; r < t->rows; r++)
        memcpy(q->s + (t->first + (size_t)r) * ROWS + t->col, t->s + (size_t)r * DOTS_COLS,
               (size_t)t->cols * sizeof(float));
}

static void test_products_are_symmetric(void **state)
{
    (void)state;
    float *x = rows_new(ROWS, D, 9, 0.5, NULL, 3);
    struct seen seen = {calloc((size_t)ROWS * ROWS, sizeof(float))};
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    struct pool *pool;
    struct err_info err;

    assert_non_null(seen.s);
    assert_int_equal(pool_new(&pool, 3, &err), ERR_OK);
    const struct cores cores = pool_cores(pool);
    const struct cluster__job job = {&cores, NULL};
    assert_int_equal(cluster__panels_fill(&p, x, ROWS, D, true, &err), ERR_OK);
    const struct cluster__sweep w = {&p, &p, NULL, ROWS, see, NULL, &seen};
    assert_int_equal(cluster__sweep(&w, &job, "test", &err), ERR_OK);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j <= i; j++) {
            double want = 0;
            for (size_t k = 0; k < D; k++) want += (double)x[i * D + k] * (double)x[j * D + k];
            assert_memory_equal(seen.s + i * ROWS + j, seen.s + j * ROWS + i, sizeof(float));
            if (fabs((double)seen.s[i * ROWS + j] - want) > 1e-6)
                fail_msg("rows %zu and %zu: %g, not %g", i, j, (double)seen.s[i * ROWS + j], want);
        }
    }
    cluster__panels_release(&p);
    pool_free(pool);
    free(seen.s);
    free(x);
}

/* The graph and the nearest, against all pairs. */
static void test_neighbours(void **state)
{
    (void)state;
    enum { K = 6 };
    const float cut = 0.6f;
    float *x = rows_new(ROWS, D, 40, 0.8, NULL, 4);
    const struct cluster__job job = {NULL, NULL};
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    struct cluster__graph *g;
    static struct cluster__edge near[ROWS * K];
    struct seen seen = {calloc((size_t)ROWS * ROWS, sizeof(float))};
    struct err_info err;
    size_t edges = 0;

    assert_non_null(seen.s);
    assert_int_equal(cluster__panels_fill(&p, x, ROWS, D, true, &err), ERR_OK);
    const struct cluster__sweep w = {&p, &p, NULL, ROWS, see, NULL, &seen};
    assert_int_equal(cluster__sweep(&w, &job, "test", &err), ERR_OK);
    assert_int_equal(cluster__graph_new(&g, &p, cut, 0, &job, &err), ERR_OK);
    assert_int_equal(cluster__nearest(near, &p, K, &job, &err), ERR_OK);
    for (size_t i = 0; i < ROWS; i++) {
        const float *s = seen.s + i * ROWS;
        uint32_t degree = 0;
        size_t better = 0;
        for (size_t j = 0; j < ROWS; j++) {
            if (j == i) continue;
            better += s[j] > near[i * K + K - 1].similarity;
            if (s[j] < cut) continue;
            assert_int_equal(g->list[i][degree].row, j);
            assert_true(g->list[i][degree].similarity == s[j]);
            degree++;
        }
        assert_int_equal(degree, g->degree[i]);
        assert_true(better < K);
        for (int k = 0; k < K; k++) {
            assert_true(near[i * K + (size_t)k].similarity == s[near[i * K + (size_t)k].row]);
            assert_true(k == 0 || near[i * K + (size_t)k].similarity <=
                                      near[i * K + (size_t)k - 1].similarity);
        }
        edges += degree;
    }
    assert_int_equal(edges, g->edges);
    assert_true(edges > ROWS);
    cluster__graph_free(g);
    cluster__panels_release(&p);
    free(seen.s);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_at_least),
        cmocka_unit_test(test_products_are_symmetric),
        cmocka_unit_test(test_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
