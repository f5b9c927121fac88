#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/clusters/clusters.h"
#include "tests/unit/cluster_faces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct clusters_about about = {.id = "id", .title = "title", .created_ms = 1000};
static const struct clusters_work work = {0};

static struct clusters_done run(const struct clusters_faces *f, const struct clusters_options *o)
{
    struct clusters_done d = {0};
    struct err_info err = ERR_INFO_INIT;
    if (clusters_run(&d, f, o, &about, &work, &err)) fail_msg("%s", err.message);
    return d;
}

static const char *parameter(const struct clusters_done *d, const char *name)
{
    const json_t *list = json_object_get(d->report, "parameters");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        if (!strcmp(json_string_value(json_object_get(p, "name")), name))
            return json_string_value(json_object_get(p, "why"));
    }
    return NULL;
}

static int count(const struct clusters_done *d)
{
    return (int)json_array_size(json_object_get(d->report, "clusters"));
}

static void the_cut_comes_from_the_calibration(void **state)
{
    char *calibration = make_calibration(RECIPE), *foreign = make_calibration("another");
    struct clusters_options o = CLUSTERS_OPTIONS_INIT;
    (void)state;

    struct clusters_faces f = make_faces(0, false, calibration);
    struct clusters_done d = run(&f, &o);
    assert_int_equal(count(&d), PEOPLE);
    const double cut = json_number_value(json_object_get(d.report, "cut"));
    assert_true(cut > 0.4 && cut < 0.51);
    assert_true(json_number_value(json_object_get(d.report, "cut_fmr")) >= 5e-4);
    assert_string_equal(json_string_value(json_object_get(d.report, "calibration")), "test");
    assert_null(parameter(&d, "calibration"));
    clusters_done_release(&d);
    /* named by its rate */
    o.run.algorithm = CLUSTER_AVERAGE;
    o.fmr = 0.01;
    d = run(&f, &o);
    assert_true(fabs(json_number_value(json_object_get(d.report, "cut")) - 0.49) < 0.002);
    assert_non_null(strstr(parameter(&d, "fmr"), "as asked"));
    clusters_done_release(&d);
    /* an algorithm that needs one gets the default */
    o.run.algorithm = CLUSTER_DBSCAN;
    o.fmr = 0;
    d = run(&f, &o);
    assert_non_null(strstr(parameter(&d, "fmr"), "default"));
    assert_int_equal(count(&d), PEOPLE);
    clusters_done_release(&d);
    clusters_faces_release(&f);

    /* none, or one of another recipe: the number of clusters is searched, and it says so */
    o = (struct clusters_options)CLUSTERS_OPTIONS_INIT;
    for (int i = 0; i < 2; i++) {
        f = make_faces(0, false, i ? foreign : NULL);
        d = run(&f, &o);
        assert_int_equal(count(&d), PEOPLE);
        assert_true(json_is_null(json_object_get(d.report, "calibration")));
        assert_true(json_array_size(json_object_get(d.report, "tried")) > 3);
        assert_non_null(
            strstr(parameter(&d, "calibration"), i ? "another recipe" : "no calibration"));
        clusters_done_release(&d);
        struct clusters_options whispers = o;
        struct err_info err = ERR_INFO_INIT;
        whispers.run.algorithm = CLUSTER_WHISPERS;
        assert_int_equal(clusters_run(&d, &f, &whispers, &about, &work, &err), ERR_FMR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "give a cut"));
        clusters_faces_release(&f);
    }
    free(calibration);
    free(foreign);
}

static void constraints(void **state)
{
    char *calibration = make_calibration(RECIPE);
    struct clusters_options o = CLUSTERS_OPTIONS_INIT;
    (void)state;

    struct clusters_faces f = make_faces(0, true, calibration);
    for (size_t i = 0; i < N; i++)
        f.photo[i] = (uint32_t)(i / (2 * PEOPLE)); /* each twice on one */
    struct clusters_done d = run(&f, &o);
    assert_true(count(&d) >= 2 * PEOPLE);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i; k++)
            if (f.photo[i] == f.photo[k] && d.labels[i] >= 0)
                assert_int_not_equal(d.labels[i], d.labels[k]);
    clusters_done_release(&d);
    o.cannot_link = false;
    d = run(&f, &o);
    assert_int_equal(count(&d), PEOPLE);
    clusters_done_release(&d);
    f.identity[0] = f.identity[1] = 0; /* two people, confirmed to be one */
    d = run(&f, &o);
    assert_int_equal(d.labels[0], d.labels[1]);
    clusters_done_release(&d);
    o.must_link = false;
    d = run(&f, &o);
    assert_int_not_equal(d.labels[0], d.labels[1]);
    clusters_done_release(&d);
    clusters_faces_release(&f);
    free(calibration);
}

static void memory_is_bounded(void **state)
{
    struct clusters_options o = CLUSTERS_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct clusters_done d;
    (void)state;

    struct clusters_faces f = make_faces(0, false, NULL);
    o.memory_max = 1000;
    assert_int_equal(clusters_run(&d, &f, &o, &about, &work, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.message, "30 faces of 16 numbers"));
    o.memory_max = 0;
    assert_true(clusters_memory(1000, 128, &o) > 1000 * 128 * sizeof(float));
    assert_true(clusters_memory(2000, 128, &o) > clusters_memory(1000, 128, &o));
    assert_true(clusters_memory(100000, 128, &o) < (size_t)2 << 30);
    assert_int_equal(clusters_check_memory((size_t)1 << 40, 8192, &o, &err), ERR_OK); /* no bound */
    clusters_faces_release(&f);
}

/* What an act makes of the labels that were there already is the report that was there already. */
static void again_is_the_same(void **state)
{
    char *calibration = make_calibration(RECIPE);
    static const enum cluster_algorithm tried[] = {CLUSTER_AUTO, CLUSTER_KMEANS, CLUSTER_HDBSCAN,
                                                   CLUSTER_COMPLETE, CLUSTER_WHISPERS};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(tried); i++) {
        struct clusters_options o = CLUSTERS_OPTIONS_INIT;
        struct err_info err = ERR_INFO_INIT;
        struct clusters_done again;
        o.run.algorithm = tried[i];
        struct clusters_faces f = make_faces(0, true, calibration);
        struct clusters_done d = run(&f, &o);
        char *text = json_dumps(d.basis, JSON_COMPACT | JSON_REAL_PRECISION(12));
        json_t *basis = json_loads(text, 0, NULL); /* through the store */
        if (clusters_again(&again, &f, basis, d.labels, d.layout, f.n, "id", 0, &work, &err))
            fail_msg("%s", err.message);
        char *was = json_dumps(d.report, REPORT_JSON_DUMP);
        char *is = json_dumps(again.report, REPORT_JSON_DUMP);
        assert_string_equal(was, is);
        assert_null(again.basis);
        free(was);
        free(is);
        free(text);
        json_decref(basis);
        clusters_done_release(&again);
        clusters_done_release(&d);
        clusters_faces_release(&f);
    }
    free(calibration);
}

static void new_faces_join(void **state)
{
    char *calibration = make_calibration(RECIPE);
    struct clusters_options o = CLUSTERS_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct clusters_done again;
    int32_t labels[N + 2], *anew = NULL;
    float similarity[2];
    (void)state;

    struct clusters_faces f = make_faces(0, true, calibration);
    struct clusters_done d = run(&f, &o);
    struct clusters_faces more = make_faces(2, true, calibration);
    for (int k = 0; k < DIM; k++) more.x[(N + 1) * DIM + k] *= -1; /* like nobody */
    memcpy(labels, d.labels, N * sizeof *labels);
    assert_int_equal(clusters_join(labels, similarity, &more, N, d.basis, &err), ERR_OK);
    assert_int_equal(labels[N], labels[0]);
    assert_int_equal(labels[N + 1], CLUSTER_OUTLIER);
    assert_true(similarity[0] > 0.9f && similarity[1] < 0.5f);
    assert_int_equal(clusters_labels(&anew, &more, &o, &work, &err), ERR_OK);
    assert_int_equal(anew[N], anew[0]);
    assert_int_equal(anew[N + 1], CLUSTER_OUTLIER);
    free(anew);
    if (clusters_again(&again, &more, d.basis, labels, d.layout, N, "id", 0, &work, &err))
        fail_msg("%s", err.message);
    assert_int_equal(json_array_size(json_object_get(again.report, "faces")), N + 2);
    assert_memory_equal(again.layout, d.layout, N * 2 * sizeof(float));
    /* the dendrogram counts its merges after the faces */
    const json_t *was = json_array_get(json_object_get(d.report, "dendrogram"), N - PEOPLE - 1);
    const json_t *is = json_array_get(json_object_get(again.report, "dendrogram"), N - PEOPLE - 1);
    assert_int_equal(json_integer_value(json_array_get(is, 1)),
                     json_integer_value(json_array_get(was, 1)) + 2);
    clusters_done_release(&again);
    clusters_done_release(&d);
    o.run.algorithm = CLUSTER_KMEANS;
    o.run.k = 3;
    d = run(&f, &o);
    assert_int_equal(clusters_join(labels, similarity, &more, N, d.basis, &err), ERR_CONFLICT);
    clusters_done_release(&d);
    clusters_faces_release(&f);
    clusters_faces_release(&more);
    free(calibration);
}

static bool stop(void *self, const char *phase, size_t done, size_t total)
{
    (void)phase, (void)done, (void)total;
    return ++*(int *)self < 3;
}

static void can_be_stopped(void **state)
{
    struct clusters_options o = CLUSTERS_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct clusters_done d;
    int calls = 0;
    const struct clusters_work stopped = {NULL, {&calls, stop}};
    (void)state;

    struct clusters_faces f = make_faces(0, false, NULL);
    assert_int_equal(clusters_run(&d, &f, &o, &about, &stopped, &err), ERR_CANCELLED);
    assert_int_equal(calls, 3);
    clusters_faces_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_cut_comes_from_the_calibration),
                                       cmocka_unit_test(constraints),
                                       cmocka_unit_test(memory_is_bounded),
                                       cmocka_unit_test(again_is_the_same),
                                       cmocka_unit_test(new_faces_join),
                                       cmocka_unit_test(can_be_stopped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
