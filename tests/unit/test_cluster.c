/* cluster_run: each algorithm finds groups that are there, the linkages agree with a plain one that
 * keeps a matrix, constraints hold, threads change nothing, bad input is refused in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/cluster.h"
#include "tests/unit/cluster_rows.h"

static struct cluster_result *run(const float *x, size_t n, int d, const struct cluster_options *o)
{
    struct cluster_result *r = NULL;
    struct err_info err = ERR_INFO_INIT;

    if (cluster_run(&r, x, n, d, o, &err))
        fail_msg("%s: %s", cluster_algorithm_name(o->algorithm), err.message);
    return r;
}

static void assert_refused(const float *x, size_t n, int d, const struct cluster_options *o,
                           enum err code, const char *words)
{
    struct cluster_result *r = NULL;
    struct err_info err = ERR_INFO_INIT;
    const enum err rc = cluster_run(&r, x, n, d, o, &err);

    if (rc != code || !strstr(err.message, words))
        fail_msg("error %s \"%s\", not %s with \"%s\"", err_name(rc), err.message, err_name(code),
                 words);
    assert_null(r);
}

/* The partition is the truth's: rows of a label are one person, and there are as many of both. */
static void assert_truth(const struct cluster_result *r, const uint32_t *truth, int people)
{
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if ((r->labels[i] == r->labels[j]) != (truth[i] == truth[j]))
                fail_msg("%s: rows %zu and %zu", cluster_algorithm_name(r->algorithm), j, i);
        }
    }
    assert_int_equal(r->clusters, people);
    assert_int_equal(r->outliers, 0);
}

static void test_groups_are_found(void **state)
{
    (void)state;
    enum { N = 120, D = 24, GROUPS = 6 };
    uint32_t truth[N];
    float *x = rows_new(N, D, GROUPS, 0.3, truth, 1);

    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        o.algorithm = (enum cluster_algorithm)a;
        if (o.algorithm == CLUSTER_KMEANS)
            o.k = GROUPS;
        else
            o.cut = 0.7f;
        struct cluster_result *r = run(x, N, D, &o);
        assert_truth(r, truth, GROUPS);
        assert_true(r->n_parameters > 0);
        cluster_result_free(r);
    }
    free(x);
}

static void test_k_is_found(void **state)
{
    (void)state;
    enum { N = 90, D = 16, GROUPS = 5 };
    static const struct {
        enum cluster_algorithm algorithm;
        enum cluster_k_by by;
        enum cluster_metric metric;
    } cases[] = {{CLUSTER_AUTO, CLUSTER_BY_SILHOUETTE, CLUSTER_COSINE},
                 {CLUSTER_COMPLETE, CLUSTER_BY_SILHOUETTE, CLUSTER_COSINE},
                 {CLUSTER_KMEANS, CLUSTER_BY_SILHOUETTE, CLUSTER_COSINE},
                 {CLUSTER_KMEANS, CLUSTER_BY_SILHOUETTE, CLUSTER_EUCLIDEAN},
                 {CLUSTER_KMEANS, CLUSTER_BY_GAP, CLUSTER_COSINE},
                 {CLUSTER_KMEANS, CLUSTER_BY_GAP, CLUSTER_EUCLIDEAN}};
    uint32_t truth[N];
    float *x = rows_new(N, D, GROUPS, 0.3, truth, 2);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        o.algorithm = cases[i].algorithm;
        o.k_by = cases[i].by;
        o.metric = cases[i].metric;
        o.k_max = 9;
        struct cluster_result *r = run(x, N, D, &o);
        assert_truth(r, truth, GROUPS);
        assert_int_equal(r->n_tried, 8);
        cluster_result_free(r);
    }
    free(x);
}

/* Average linkage with a matrix, merging the most similar pair each time; apart: never together.
 * labels by first member. */
static void plain_average(int32_t *labels, const float *x, size_t n, int d, double cut,
                          const uint32_t *apart)
{
    double *s = calloc(n * n, sizeof *s);
    double *size = calloc(n, sizeof *size);

    if (!s || !size) abort();
    for (size_t i = 0; i < n; i++) {
        labels[i] = (int32_t)i;
        size[i] = 1;
        for (size_t j = 0; j < n; j++) {
            for (int k = 0; k < d; k++)
                s[i * n + j] +=
                    (double)x[i * (size_t)d + (size_t)k] * (double)x[j * (size_t)d + (size_t)k];
            if (apart && apart[i] == apart[j]) s[i * n + j] = -1e9;
        }
    }
    for (;;) {
        size_t a = 0, b = 0;
        double best = -2;
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; size[i] > 0 && j < i; j++) {
                if (size[j] > 0 && s[i * n + j] > best) {
                    best = s[i * n + j];
                    a = j;
                    b = i;
                }
            }
        }
        if (best < cut) break;
        for (size_t k = 0; k < n; k++) {
            const double mean =
                (size[a] * s[a * n + k] + size[b] * s[b * n + k]) / (size[a] + size[b]);
            s[a * n + k] = s[k * n + a] = mean;
            if (labels[k] == (int32_t)b) labels[k] = (int32_t)a;
        }
        size[a] += size[b];
        size[b] = 0;
    }
    free(s);
    free(size);
}

static void test_average_is_the_plain_one(void **state)
{
    (void)state;
    enum { N = 150, D = 12 };
    float *x = rows_new(N, D, 20, 0.8, NULL, 3);
    uint32_t apart[N];
    int32_t want[N];

    for (int i = 0; i < N; i++) apart[i] = (uint32_t)i / 4; /* four faces a photograph */
    for (int constrained = 0; constrained < 2; constrained++) {
        for (int step = 0; step < 8; step++) {
            struct cluster_options o = CLUSTER_OPTIONS_INIT;
            o.algorithm = CLUSTER_AVERAGE;
            o.cut = 0.85f - 0.15f * (float)step;
            o.full_tree = step % 2;
            if (constrained) o.constraints.apart = apart;
            plain_average(want, x, N, D, (double)o.cut, constrained ? apart : NULL);
            struct cluster_result *r = run(x, N, D, &o);
            for (int i = 0; i < N; i++) {
                for (int j = 0; j < i; j++) {
                    if ((r->labels[i] == r->labels[j]) != (want[i] == want[j]))
                        fail_msg("cut %g, constrained %d: rows %d and %d", (double)o.cut,
                                 constrained, j, i);
                }
            }
            if (constrained) assert_int_equal(r->constraints.apart_pairs, 37 * 6 + 1);
            cluster_result_free(r);
        }
    }
    free(x);
}

/* A tree that can be drawn: children before parents, distances rising, sizes adding up. */
static void assert_tree(const struct cluster_result *r)
{
    for (size_t i = 0; i < r->n_merges; i++) {
        const struct cluster_merge *m = r->merges + i;
        uint32_t size = 0;
        assert_true(m->a < m->b && m->b < r->n + i);
        assert_true(i == 0 || m->distance >= m[-1].distance);
        for (int k = 0; k < 2; k++) {
            const uint32_t child = k ? m->b : m->a;
            size += child < r->n ? 1 : r->merges[child - r->n].size;
        }
        assert_int_equal(m->size, size);
    }
}

static void test_trees(void **state)
{
    (void)state;
    enum { N = 300, D = 8 };
    float *x = rows_new(N, D, 0, 0, NULL, 4);

    memcpy(x + D, x, D * sizeof *x); /* two equal faces */
    for (int a = CLUSTER_AVERAGE; a <= CLUSTER_COMPLETE; a++) {
        for (int full = 0; full < 2; full++) {
            struct cluster_options o = CLUSTER_OPTIONS_INIT;
            o.algorithm = (enum cluster_algorithm)a;
            o.cut = 0.5f;
            o.full_tree = full;
            struct cluster_result *r = run(x, N, D, &o);
            assert_tree(r);
            assert_int_equal(full ? N - 1 : N - r->clusters, r->n_merges);
            assert_true(r->clusters > 5 && r->clusters < N / 2);
            cluster_result_free(r);
        }
    }
    free(x);
}

static void test_constraints_hold(void **state)
{
    (void)state;
    enum { N = 80, D = 8 };
    float *x = rows_new(N, D, 4, 0.4, NULL, 5);
    uint32_t apart[N], together[N];
    const uint32_t cannot[][2] = {{0, 4}, {10, 11}};

    for (uint32_t i = 0; i < N; i++) {
        apart[i] = i < 40 ? i / 2 : CLUSTER_NO_GROUP;
        together[i] = i == 41 || i == 42 || i == 20 || i == 21 ? 7 : CLUSTER_NO_GROUP;
    }
    for (int a = 0; a <= CLUSTER_COMPLETE; a++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        if (a == CLUSTER_KMEANS) continue;
        o.algorithm = (enum cluster_algorithm)a;
        o.cut = -1;
        o.constraints = (struct cluster_constraints){apart, together, cannot, 2};
        struct cluster_result *r = run(x, N, D, &o);
        for (uint32_t i = 0; i + 1 < 40; i += 2) {
            if (i != 20) assert_int_not_equal(r->labels[i], r->labels[i + 1]);
        }
        assert_int_not_equal(r->labels[0], r->labels[4]);
        assert_int_equal(r->labels[41], r->labels[42]); /* of two groups */
        assert_int_equal(r->labels[20], r->labels[21]); /* must wins */
        assert_int_equal(r->labels[20], r->labels[41]);
        assert_int_equal(r->constraints.together, 1);
        assert_int_equal(r->constraints.conflicts, 1);
        assert_int_equal(r->constraints.apart_pairs, 22);
        assert_false(r->constraints.ignored);
        cluster_result_free(r);
    }
    struct cluster_options o = CLUSTER_OPTIONS_INIT;
    o.algorithm = CLUSTER_HDBSCAN;
    o.constraints.apart = apart;
    struct cluster_result *r = run(x, N, D, &o);
    assert_true(r->constraints.ignored);
    cluster_result_free(r);
    free(x);
}

/* Rates of which the number of clusters allows the second. */
static void test_auto_takes_the_rate_that_clusters_allow(void **state)
{
    (void)state;
    enum { N = 100, D = 32, GROUPS = 10 };
    const struct cluster_rate rates[] = {{1e-4, 0.95f}, {1e-2, 0.7f}, {1e-1, -1}};
    uint32_t truth[N];
    float *x = rows_new(N, D, GROUPS, 0.15, truth, 6); /* the first cut puts them together */
    struct cluster_options o = CLUSTER_OPTIONS_INIT;

    /* 100 rows alone allow 0.1 / 99, ten groups 0.1 / 9. */
    o.rates = rates;
    o.n_rates = 3;
    struct cluster_result *r = run(x, N, D, &o);
    assert_true(r->cut_fmr == 1e-2 && r->cut == 0.7f);
    assert_truth(r, truth, GROUPS);
    cluster_result_free(r);
    float *z =
        rows_new(N, D, 0, 0, NULL, 7); /* strangers all: the strictest, and nobody is placed */
    r = run(z, N, D, &o);
    assert_true(r->cut_fmr == 1e-4);
    assert_int_equal(r->outliers, N);
    cluster_result_free(r);
    free(x);
    free(z);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { N = 700, D = 20 };
    float *x = rows_new(N, D, 30, 0.9, NULL, 8);

    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct cluster_result *want = NULL;
        for (int threads = 1; threads <= 4; threads++) {
            struct cluster_options o = CLUSTER_OPTIONS_INIT;
            struct err_info err;
            struct pool *pool;
            assert_int_equal(pool_new(&pool, threads, &err), ERR_OK);
            const struct cores cores = pool_cores(pool);
            o.algorithm = (enum cluster_algorithm)a;
            o.cores = &cores;
            o.full_tree = true;
            if (a == CLUSTER_KMEANS)
                o.k = 25;
            else
                o.cut = 0.6f;
            struct cluster_result *r = run(x, N, D, &o);
            if (!want) {
                want = r;
            } else {
                assert_memory_equal(r->labels, want->labels, N * sizeof *r->labels);
                assert_int_equal(r->n_merges, want->n_merges);
                if (r->merges)
                    assert_memory_equal(r->merges, want->merges, r->n_merges * sizeof *r->merges);
                if (r->centres)
                    assert_memory_equal(r->centres, want->centres, 25 * D * sizeof(float));
                if (r->probability)
                    assert_memory_equal(r->probability, want->probability, N * sizeof(float));
                cluster_result_free(r);
            }
            pool_free(pool);
        }
        cluster_result_free(want);
    }
    free(x);
}

static void test_equal_faces(void **state)
{
    (void)state;
    enum { N = 50, D = 16 };
    float *one = rows_new(1, D, 0, 0, NULL, 9), x[N * D];

    for (int i = 0; i < N; i++) memcpy(x + i * D, one, D * sizeof *one);
    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        o.algorithm = (enum cluster_algorithm)a;
        o.cut = 0.9f;
        if (a == CLUSTER_KMEANS) {
            o.k = 2;
            assert_refused(x, N, D, &o, ERR_INVALID, "only 1 of the 50 rows differ");
            o.k = 1;
        }
        struct cluster_result *r = run(x, N, D, &o);
        /* HDBSCAN never takes the whole for a cluster. */
        assert_int_equal(r->clusters, a == CLUSTER_HDBSCAN ? 0 : 1);
        cluster_result_free(r);
    }
    free(one);
}

static void test_one_face(void **state)
{
    (void)state;
    const float x[3] = {0, 1, 0};

    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        o.algorithm = (enum cluster_algorithm)a;
        o.cut = 0.9f;
        if (a == CLUSTER_KMEANS) o.k = 1;
        if (a == CLUSTER_HDBSCAN) {
            assert_refused(x, 1, 3, &o, ERR_INVALID, "min_points is 5, there are 1 faces");
            continue;
        }
        struct cluster_result *r = run(x, 1, 3, &o);
        assert_int_equal(r->clusters + (int)r->outliers, 1);
        cluster_result_free(r);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    enum { N = 10, D = 4 };
    float *x = rows_new(N, D, 2, 0.2, NULL, 10);
    const struct cluster_options init = CLUSTER_OPTIONS_INIT;
    struct cluster_options o = init;
    const uint32_t cannot[][2] = {{3, 3}};
    const struct cluster_rate falling[] = {{1e-2, 0.5f}, {1e-3, 0.9f}};

    assert_refused(x, 0, D, &o, ERR_INVALID, "0 faces");
    o.algorithm = CLUSTER_KMEANS;
    o.k = 11;
    assert_refused(x, N, D, &o, ERR_INVALID, "k is 11, there are 10 faces");
    o = init;
    o.algorithm = CLUSTER_DBSCAN;
    assert_refused(x, N, D, &o, ERR_INVALID, "dbscan needs a cut");
    o.cut = 1.5f;
    assert_refused(x, N, D, &o, ERR_INVALID, "the cut is 1.5");
    o = init;
    o.cut = 0.5f;
    o.metric = CLUSTER_EUCLIDEAN;
    assert_refused(x, N, D, &o, ERR_INVALID, "only k-means");
    o = init;
    o.cut = 0.5f;
    o.constraints.cannot = cannot;
    o.constraints.n_cannot = 1;
    assert_refused(x, N, D, &o, ERR_INVALID, "(3, 3) of 10 rows");
    o = init;
    o.rates = falling;
    o.n_rates = 2;
    assert_refused(x, N, D, &o, ERR_INVALID, "rates rise");
    o = init;
    o.k_by = CLUSTER_BY_GAP;
    assert_refused(x, N, D, &o, ERR_INVALID, "gap statistic is for k-means");
    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        o = init;
        o.algorithm = (enum cluster_algorithm)a;
        o.cut = 0.5f;
        if (a == CLUSTER_KMEANS) o.k = 2;
        const float kept = x[2 * D];
        x[2 * D] = NAN;
        assert_refused(x, N, D, &o, ERR_INVALID, "row 2 has numbers that are not finite");
        x[2 * D] = kept;
        float zero[D], row[D];
        memset(zero, 0, sizeof zero);
        memcpy(row, x + 3 * D, sizeof row);
        memcpy(x + 3 * D, zero, sizeof zero);
        assert_refused(x, N, D, &o, ERR_INVALID, "row 3 is all zeros");
        memcpy(x + 3 * D, row, sizeof row);
    }
    free(x);
}

static void test_memory_is_estimated(void **state)
{
    (void)state;
    enum { N = 2000, D = 16 };
    float *x = rows_new(N, D, 1, 0.1, NULL, 11);

    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        o.algorithm = (enum cluster_algorithm)a;
        o.cut = 0.5f;
        if (a == CLUSTER_KMEANS) o.k = 2;
        const size_t need = cluster_memory(N, D, &o);
        assert_true(need > N * D * sizeof(float) && need < 4u << 20);
        o.memory_max = need - 1;
        assert_refused(x, N, D, &o, ERR_TOO_LARGE, "2000 faces of 16 numbers would take");
        o.memory_max = need;
        if (a == CLUSTER_COMPLETE || a == CLUSTER_WHISPERS) {
            assert_refused(x, N, D, &o, ERR_TOO_LARGE, "1999000 pairs of 2000 faces");
            continue;
        }
        cluster_result_free(run(x, N, D, &o));
    }
    struct cluster_options o = CLUSTER_OPTIONS_INIT;
    o.algorithm = CLUSTER_COMPLETE;
    assert_true(cluster_memory(100000, 128, &o) > (size_t)100000 * 99999 * 8);
    free(x);
}

static bool stop_at_second(void *self, const char *phase, size_t done, size_t total)
{
    int *calls = self;
    assert_non_null(phase);
    assert_true(done <= total);
    return ++*calls < 2;
}

static void test_cancel(void **state)
{
    (void)state;
    enum { N = 1000, D = 16 };
    float *x = rows_new(N, D, 10, 0.5, NULL, 12);

    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct cluster_options o = CLUSTER_OPTIONS_INIT;
        int calls = 0;
        o.algorithm = (enum cluster_algorithm)a;
        o.cut = 0.5f;
        o.progress = (struct cluster_progress){&calls, stop_at_second};
        if (a == CLUSTER_KMEANS) o.k = 20;
        if (a == CLUSTER_COMPLETE) calls = 1; /* its only sweep is told once */
        assert_refused(x, N, D, &o, ERR_CANCELLED, "cancelled while");
    }
    free(x);
}

static void test_names(void **state)
{
    (void)state;
    enum cluster_algorithm a;

    for (int i = 0; i < CLUSTER_ALGORITHMS; i++) {
        assert_true(cluster_algorithm_parse(&a, cluster_algorithm_name((enum cluster_algorithm)i)));
        assert_int_equal(a, i);
    }
    assert_false(cluster_algorithm_parse(&a, "kmean"));
    assert_null(cluster_algorithm_name(CLUSTER_ALGORITHMS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_found),
        cmocka_unit_test(test_k_is_found),
        cmocka_unit_test(test_average_is_the_plain_one),
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_constraints_hold),
        cmocka_unit_test(test_auto_takes_the_rate_that_clusters_allow),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_equal_faces),
        cmocka_unit_test(test_one_face),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_is_estimated),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
