/* The report, the scores and what belongs to them: against plain sums over pairs. */
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

enum { N = 90, D = 10, GROUPS = 5 };

static double dot(const float *x, size_t i, size_t j, int d)
{
    double sum = 0;
    for (int k = 0; k < d; k++)
        sum += (double)x[i * (size_t)d + (size_t)k] * (double)x[j * (size_t)d + (size_t)k];
    return sum;
}

/* Mean similarity of row i to the members of c other than itself. */
static double to_cluster(const float *x, const int32_t *labels, size_t i, int c)
{
    double sum = 0, count = 0;
    for (size_t j = 0; j < N; j++) {
        if (j == i || labels[j] != c) continue;
        sum += dot(x, i, j, D);
        count++;
    }
    return sum / count;
}

static double between(const float *x, const int32_t *labels, int a, int b)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < N; j++) {
            if (i == j || labels[i] != a || labels[j] != b) continue;
            sum += dot(x, i, j, D);
            count++;
        }
    }
    return count > 0 ? sum / count : 1;
}

static struct cluster_report *report(const float *x, size_t n, int d, const int32_t *labels,
                                     const struct cluster_report_options *o)
{
    struct cluster_report *r = NULL;
    struct err_info err = ERR_INFO_INIT;
    if (cluster_report_new(&r, x, n, d, labels, o, &err)) fail_msg("%s", err.message);
    return r;
}

static void assert_near(double got, double want, double within, const char *what, size_t at)
{
    if (!(fabs(got - want) <= within)) fail_msg("%s %zu: %.9g, not %.9g", what, at, got, want);
}

/* Loose groups, some rows outliers, one cluster of a single row. */
static float *loose(int32_t labels[N], uint32_t truth[N])
{
    float *x = rows_new(N, D, GROUPS, 0.9, truth, 21);
    for (int i = 0; i < N; i++) labels[i] = i % 11 == 3 ? CLUSTER_OUTLIER : (int32_t)truth[i];
    labels[7] = GROUPS;
    return x;
}

static void test_clusters(void **state)
{
    (void)state;
    int32_t labels[N];
    uint32_t truth[N];
    float *x = loose(labels, truth);
    struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;
    struct cluster_report *r = report(x, N, D, labels, &o);

    assert_int_equal(r->n_clusters, GROUPS + 1);
    for (int c = 0; c <= GROUPS; c++) {
        const struct cluster_summary *s = r->clusters + c;
        double nearest = -2, mean = 0;
        for (int b = 0; b <= GROUPS; b++) {
            if (b != c) nearest = fmax(nearest, between(x, labels, c, b));
        }
        assert_near(s->separation, 1 - nearest, 1e-6, "separation", (size_t)c);
        assert_near(between(x, labels, c, s->nearest), nearest, 1e-6, "nearest", (size_t)c);
        assert_near(s->cohesion, between(x, labels, c, c), 1e-6, "cohesion", (size_t)c);
        assert_int_equal(r->first[c + 1] - r->first[c], s->size);
        assert_int_equal(r->members[r->first[c]], s->medoid);
        for (size_t m = r->first[c]; m < r->first[c + 1]; m++) {
            const uint32_t row = r->members[m];
            assert_int_equal(labels[row], c);
            mean += (double)r->silhouette[row] / (double)s->size;
            if (s->size > 1)
                assert_true(to_cluster(x, labels, row, c) <=
                            to_cluster(x, labels, s->medoid, c) + 1e-9);
        }
        assert_near(s->silhouette, mean, 1e-6, "silhouette of cluster", (size_t)c);
    }
    for (size_t k = 0; k < r->n_outliers; k++) {
        const struct cluster_outlier *out = r->outliers + k;
        double best = -2;
        assert_true(labels[out->row] < 0);
        for (int c = 0; c <= GROUPS; c++) best = fmax(best, to_cluster(x, labels, out->row, c));
        assert_near(out->similarity, best, 1e-6, "outlier", k);
        assert_near(to_cluster(x, labels, out->row, out->nearest), best, 1e-6, "outlier's", k);
        assert_int_equal(labels[out->face], out->nearest);
        assert_near(out->face_similarity, dot(x, out->row, out->face, D), 1e-6, "face", k);
    }
    assert_int_equal(r->n_outliers, 8);
    assert_false(r->has_truth);
    cluster_report_free(r);
    free(x);
}

static void test_silhouettes(void **state)
{
    (void)state;
    int32_t labels[N];
    uint32_t truth[N];
    float *x = loose(labels, truth);
    double got[N];
    struct err_info err;

    assert_int_equal(cluster_silhouettes(got, x, N, D, labels, GROUPS + 1, NULL, &err), ERR_OK);
    for (size_t i = 0; i < N; i++) {
        double b = 9, want = 0;
        for (int c = 0; c <= GROUPS; c++) {
            if (c != labels[i]) b = fmin(b, 1 - to_cluster(x, labels, i, c));
        }
        if (labels[i] >= 0 && labels[i] < GROUPS) {
            const double a = 1 - to_cluster(x, labels, i, labels[i]);
            want = (b - a) / fmax(a, b);
        }
        assert_near(got[i], want, 1e-6, "silhouette", i);
    }
    for (int i = 0; i < N; i++) labels[i] = 0;
    assert_int_equal(cluster_silhouettes(got, x, N, D, labels, 1, NULL, &err), ERR_OK);
    assert_true(isnan(got[0]));
    labels[0] = 1;
    assert_int_equal(cluster_silhouettes(got, x, N, D, labels, 1, NULL, &err), ERR_INVALID);
    free(x);
}

static void test_pairs_of_clusters(void **state)
{
    (void)state;
    int32_t labels[N];
    uint32_t truth[N], apart[N];
    float *x = rows_new(N, D, 3, 0.4, truth, 22);
    struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;

    for (int i = 0; i < N; i++) {
        labels[i] = (int32_t)truth[i] + (i < N / 2 ? 0 : 3); /* everyone is in two clusters */
        apart[i] = CLUSTER_NO_GROUP;
    }
    apart[0] = apart[N - 3] = 1; /* of the first person */
    o.cut = 0.95f;
    o.possible = 0.6f;
    o.apart = apart;
    struct cluster_report *r = report(x, N, D, labels, &o);
    assert_int_equal(r->n_pairs, 3);
    assert_int_equal(r->pairs_found, 3);
    for (int k = 0; k < 3; k++) {
        const struct cluster_pair *p = r->pairs + k;
        double greatest = -2;
        assert_int_equal(p->b, p->a + 3);
        assert_int_equal(p->apart, p->a == 0);
        assert_near(p->similarity, between(x, labels, p->a, p->b), 1e-6, "pair", (size_t)k);
        assert_near(p->greatest, dot(x, p->face_a, p->face_b, D), 1e-6, "faces of pair", (size_t)k);
        for (size_t i = 0; i < N; i++) {
            for (size_t j = 0; j < N; j++) {
                if (labels[i] == p->a && labels[j] == p->b)
                    greatest = fmax(greatest, dot(x, i, j, D));
            }
        }
        assert_near(p->greatest, greatest, 1e-6, "greatest", (size_t)k);
    }
    cluster_report_free(r);
    o.pairs_max = 1;
    r = report(x, N, D, labels, &o);
    assert_int_equal(r->n_pairs, 1);
    assert_int_equal(r->pairs_found, 3);
    cluster_report_free(r);
    free(x);
}

/* Two groups in the plane at 0 and 60 degrees, and one row between that is near to both. */
static void test_bridges(void **state)
{
    (void)state;
    static const double degrees[] = {-2, -1, 0, 1, 30, 59, 60, 61};
    enum { ROWS = 8 };
    float x[2 * ROWS];
    int32_t labels[ROWS] = {0};
    struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;

    for (int i = 0; i < ROWS; i++) {
        x[2 * i] = (float)cos(degrees[i] * 3.14159265358979 / 180);
        x[2 * i + 1] = (float)sin(degrees[i] * 3.14159265358979 / 180);
    }
    o.cut = (float)cos(33 * 3.14159265358979 / 180); /* 30 degrees is near enough, 58 not */
    struct cluster_report *r = report(x, ROWS, 2, labels, &o);
    assert_int_equal(r->n_bridges, 1);
    assert_int_equal(r->bridges[0].row, 4);
    assert_int_equal(r->bridges[0].sizes[0], 4);
    assert_int_equal(r->bridges[0].sizes[1], 3);
    double want = 0;
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 5; j < 8; j++) want += dot(x, i, j, 2) / 12;
    }
    assert_near(r->bridges[0].similarity, want, 1e-6, "bridge", 0);
    cluster_report_free(r);
    o.cut = 0;
    r = report(x, ROWS, 2, labels, &o);
    assert_int_equal(r->n_bridges, 0);
    cluster_report_free(r);
}

/* Graphs drawn at random: a member is a bridge exactly when the rest, without it, is in parts of
 * two or more. */
static void test_bridges_against_taking_each_away(void **state)
{
    (void)state;
    enum { ROWS = 40 };

    for (uint64_t seed = 0; seed < 60; seed++) {
        int32_t labels[ROWS] = {0};
        size_t found = 0, want = 0;
        float *x = rows_new(ROWS, 3, 12, 0.35, NULL, seed);
        struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;
        o.cut = 0.93f;
        o.layout = CLUSTER_LAYOUT_NONE;
        struct cluster_report *r = report(x, ROWS, 3, labels, &o);
        for (size_t gone = 0; gone < ROWS; gone++) {
            int part[ROWS];
            size_t sizes[ROWS] = {0}, whole = 0, parts = 0;
            for (int with = 1; with >= 0; with--) { /* first with it: only its own part counts */
                for (int i = 0; i < ROWS; i++) part[i] = i;
                for (int again = 1; again;) {
                    again = 0;
                    for (size_t i = 0; i < ROWS; i++) {
                        for (size_t j = 0; j < ROWS; j++) {
                            if (!with && (i == gone || j == gone)) continue;
                            if (dot(x, i, j, 3) < (double)o.cut || part[i] <= part[j]) continue;
                            part[i] = part[j];
                            again = 1;
                        }
                    }
                }
                if (with) {
                    for (size_t i = 0; i < ROWS; i++) sizes[i] = part[i] == part[gone];
                    continue;
                }
                for (size_t root = 0; root < ROWS; root++) {
                    whole = 0;
                    for (size_t i = 0; i < ROWS; i++)
                        whole += i != gone && sizes[i] && part[i] == (int)root;
                    parts += whole >= 2;
                }
            }
            bool is = false;
            for (size_t b = 0; b < r->n_bridges; b++) is |= r->bridges[b].row == gone;
            if (is != (parts >= 2)) fail_msg("seed %d row %zu: %zu parts", (int)seed, gone, parts);
            found += is;
            want += parts >= 2;
        }
        assert_int_equal(found, want);
        assert_int_equal(r->bridges_found, want);
        cluster_report_free(r);
        free(x);
    }
}

/* Neighbours stay neighbours: each row's nearest in the picture is of its group. */
static void test_layout(void **state)
{
    (void)state;
    enum { MANY = 1200 };
    uint32_t truth[MANY];
    int32_t labels[MANY];

    for (int big = 0; big < 2; big++) { /* exact, and with the tree */
        const size_t n = big ? MANY : 200;
        float *x = rows_new(n, 16, 8, 0.3, truth, 23);
        struct cluster_report *r[2];
        for (size_t i = 0; i < n; i++) labels[i] = 0;
        for (int t = 0; t < 2; t++) {
            struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;
            struct err_info err;
            struct pool *pool;
            assert_int_equal(pool_new(&pool, 1 + 2 * t, &err), ERR_OK);
            const struct cores cores = pool_cores(pool);
            o.cores = &cores;
            r[t] = report(x, n, 16, labels, &o);
            pool_free(pool);
        }
        assert_memory_equal(r[0]->layout, r[1]->layout, 2 * n * sizeof(float));
        assert_memory_equal(r[0]->pca, r[1]->pca, 2 * n * sizeof(float));
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            double best = INFINITY;
            size_t at = 0;
            for (size_t j = 0; j < n; j++) {
                const double dx = (double)r[0]->layout[2 * i] - (double)r[0]->layout[2 * j];
                const double dy = (double)r[0]->layout[2 * i + 1] - (double)r[0]->layout[2 * j + 1];
                if (j == i || dx * dx + dy * dy >= best) continue;
                best = dx * dx + dy * dy;
                at = j;
            }
            kept += truth[i] == truth[at];
        }
        if (kept < n * 99 / 100) fail_msg("%zu of %zu rows", kept, n);
        cluster_report_free(r[0]);
        cluster_report_free(r[1]);
        free(x);
    }
}

static void test_pca(void **state)
{
    (void)state;
    /* On the line (1, 2, 2) / 3 at -1, 0, 2: one axis, all the variance. */
    const float x[9] = {-1, -2, -2, 0, 0, 0, 2, 4, 4};
    float out[6], wide[3 * 3];
    double explained[2];
    struct err_info err;

    assert_int_equal(cluster_pca(out, explained, x, 3, 3, 2, NULL, &err), ERR_OK);
    assert_near((double)out[0], -4, 1e-6, "row", 0);
    assert_near((double)out[2], -1, 1e-6, "row", 1);
    assert_near((double)out[4], 5, 1e-6, "row", 2);
    assert_near((double)out[5], 0, 1e-6, "second axis", 2);
    assert_near(explained[0], 1, 1e-12, "explained", 0);
    assert_near(explained[1], 0, 1e-12, "explained", 1);
    assert_int_equal(cluster_pca(wide, NULL, x, 1, 9, 3, NULL, &err), ERR_OK);
    assert_true(wide[0] == 0);
    assert_int_equal(cluster_pca(wide, NULL, x, 3, 3, 4, NULL, &err), ERR_INVALID);
}

static void test_scores(void **state)
{
    (void)state;
    /* People aaabb, clusters {a a b} {b} and one a alone as an outlier. */
    const uint32_t truth[6] = {0, 0, 0, 1, 1, CLUSTER_NO_GROUP};
    const int32_t labels[6] = {0, 0, CLUSTER_OUTLIER, 0, 1, 1};
    struct cluster_truth t;
    struct err_info err;

    assert_int_equal(cluster_truth_scores(&t, labels, truth, 6, &err), ERR_OK);
    assert_int_equal(t.rows, 5);
    assert_int_equal(t.people, 2);
    const double p = (2.0 / 3 + 2.0 / 3 + 1 + 1.0 / 3 + 1) / 5;
    const double r = (2.0 / 3 + 2.0 / 3 + 1.0 / 3 + 0.5 + 0.5) / 5;
    assert_near(t.bcubed_precision, p, 1e-12, "precision", 0);
    assert_near(t.bcubed_recall, r, 1e-12, "recall", 0);
    assert_near(t.bcubed_f, 2 * p * r / (p + r), 1e-12, "F", 0);
    assert_near(t.purity, 4.0 / 5, 1e-12, "purity", 0);
    /* Pairs together in both 1, in clusters 3, in people 4, of 10. */
    assert_near(t.ari, (1 - 1.2) / (3.5 - 1.2), 1e-12, "ARI", 0);
    assert_int_equal(cluster_truth_scores(&t, (const int32_t *)truth, truth, 5, &err), ERR_OK);
    assert_near(t.bcubed_f, 1, 1e-12, "F", 1);
    assert_near(t.ari, 1, 1e-12, "ARI", 1);
    assert_near(t.nmi, 1, 1e-12, "NMI", 1);
    assert_int_equal(cluster_truth_scores(&t, labels + 5, truth + 5, 1, &err), ERR_OK);
    assert_true(t.rows == 0 && isnan(t.bcubed_f));
}

static void test_new_faces_join(void **state)
{
    (void)state;
    enum { OLD = 60 };
    uint32_t truth[N], apart[N];
    int32_t labels[OLD], out[N - OLD];
    float similarity[N - OLD];
    float *x = rows_new(N, D, GROUPS, 0.3, truth, 24);
    struct err_info err = ERR_INFO_INIT;

    for (int i = 0; i < OLD; i++)
        labels[i] = (int32_t)truth[i] < GROUPS - 1 ? (int32_t)truth[i] : -1;
    assert_int_equal(
        cluster_assign(out, similarity, x + OLD * D, N - OLD, x, OLD, D, labels, 0.7f, NULL, &err),
        ERR_OK);
    for (int i = 0; i < N - OLD; i++) {
        const uint32_t who = truth[OLD + i];
        assert_int_equal(out[i], who < GROUPS - 1 ? (int)who : CLUSTER_OUTLIER);
        assert_true((similarity[i] >= 0.7f) == (out[i] >= 0));
    }
    /* A photograph with an old face and two new ones of one person: only the old one stays there.
     */
    for (int i = 0; i < N; i++) apart[i] = CLUSTER_NO_GROUP;
    apart[0] = apart[OLD] = apart[OLD + GROUPS] = 5;
    assert_int_equal(
        cluster_assign(out, NULL, x + OLD * D, N - OLD, x, OLD, D, labels, 0.7f, apart, &err),
        ERR_OK);
    assert_int_equal(out[0], CLUSTER_OUTLIER);
    assert_int_equal(out[GROUPS], CLUSTER_OUTLIER);
    assert_int_equal(out[2 * GROUPS], 0);
    labels[0] = 17;
    assert_int_equal(cluster_assign(out, NULL, x, 1, x, OLD, D, labels, 0.7f, NULL, &err),
                     ERR_INVALID);
    free(x);
}

static void test_moved(void **state)
{
    (void)state;
    const int32_t before[] = {0, 0, 0, 1, 1, 2, -1, -1}, renamed[] = {5, 5, 5, 0, 0, 1, -1, -1};
    const int32_t after[] = {0, 0, 1, 1, 1, -1, -1, 0};
    size_t moved;
    struct err_info err;

    assert_int_equal(cluster_moved(&moved, before, renamed, 8, &err), ERR_OK);
    assert_int_equal(moved, 0);
    assert_int_equal(cluster_moved(&moved, before, after, 8, &err), ERR_OK);
    assert_int_equal(moved, 3); /* rows 2, 5 and 7 */
}

static void test_refusals(void **state)
{
    (void)state;
    const float x[6] = {1, 0, 0, 1, 1, 1};
    const int32_t gap[3] = {0, 2, 2}, good[3] = {0, -1, -1};
    struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;
    struct cluster_report *r = NULL;
    struct err_info err = ERR_INFO_INIT;

    assert_int_equal(cluster_report_new(&r, x, 3, 2, gap, &o, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "cluster 1 of 3 has no members"));
    o.memory_max = 1000;
    assert_int_equal(cluster_report_new(&r, x, 3, 2, good, &o, &err), ERR_TOO_LARGE);
    o.memory_max = cluster_report_memory(3, 2, 1, &o);
    r = report(x, 3, 2, good, &o);
    assert_true(isnan(r->silhouette_mean) && isnan(r->clusters[0].silhouette));
    assert_null(r->layout);
    cluster_report_free(r);
    const int32_t none[3] = {-1, -1, -1};
    r = report(x, 3, 2, none, &o);
    assert_int_equal(r->n_outliers, 3);
    assert_int_equal(r->outliers[0].nearest, -1);
    cluster_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_silhouettes),
        cmocka_unit_test(test_pairs_of_clusters),
        cmocka_unit_test(test_bridges),
        cmocka_unit_test(test_bridges_against_taking_each_away),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_pca),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_new_faces_join),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
