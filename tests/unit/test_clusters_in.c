#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/clusters_in.h"

#include <math.h>
#include <string.h>

static enum err parse(struct clusters_in *in, json_t *asked, struct err_info *err)
{
    *err = (struct err_info)ERR_INFO_INIT;
    return clusters_in_parse(in, asked, err);
}

static void defaults(void **state)
{
    struct clusters_in in;
    struct err_info err;
    json_auto_t *asked = json_object();
    (void)state;

    assert_int_equal(parse(&in, asked, &err), ERR_OK);
    assert_int_equal(in.options.run.algorithm, CLUSTER_AUTO);
    assert_true(isnan(in.options.run.cut));
    assert_true(in.options.cannot_link && in.options.must_link);
    assert_int_equal(in.options.face, FACE_ALL);
    assert_int_equal(in.options.layout, CLUSTER_LAYOUT_TSNE);
    assert_false(in.job || in.unassigned || in.options.search_k);
    assert_null(in.collection);
    assert_ptr_equal(in.options.asked, asked);
}

static void takes_all(void **state)
{
    struct clusters_in in;
    struct err_info err;
    json_auto_t *a = json_pack(
        "{s:s, s:i, s:i, s:s, s:s, s:i, s:i, s:b, s:s, s:s, s:b, s:s, s:s}", "algorithm", "kmeans",
        "k_min", 3, "k_max", 9, "k_by", "gap", "metric", "euclidean", "restarts", 4, "seed", 7,
        "cannot_link", 0, "layout", "none", "title", "x", "job", 1, "face", "main", "model", "vgg");
    json_auto_t *c = json_pack("{s:s, s:f, s:i, s:i, s:b, s:b}", "collection", "c", "eps", 0.25,
                               "min_size", 4, "min_points", 3, "must_link", 0, "unassigned", 1);
    (void)state;

    assert_int_equal(parse(&in, a, &err), ERR_OK);
    const struct cluster_options *run = &in.options.run;
    assert_int_equal(run->algorithm, CLUSTER_KMEANS);
    assert_int_equal(run->k_min, 3);
    assert_int_equal(run->k_max, 9);
    assert_int_equal(run->k_by, CLUSTER_BY_GAP);
    assert_int_equal(run->metric, CLUSTER_EUCLIDEAN);
    assert_int_equal(run->restarts, 4);
    assert_int_equal(run->seed, 7);
    assert_true(in.options.search_k && in.job && !in.options.cannot_link);
    assert_int_equal(in.options.layout, CLUSTER_LAYOUT_NONE);
    assert_int_equal(in.options.face, FACE_MAIN);
    assert_string_equal(in.options.model, "vgg");
    assert_int_equal(parse(&in, c, &err), ERR_OK);
    assert_string_equal(in.collection, "c");
    assert_float_equal(in.options.run.cut, 0.75, 1e-6);
    assert_int_equal(in.options.run.min_size, 4);
    assert_int_equal(in.options.run.min_points, 3);
    assert_true(in.unassigned && !in.options.must_link);
    json_object_set_new(c, "algorithm", json_string("hdbscan"));
    assert_int_equal(parse(&in, c, &err), ERR_OK);
    assert_int_equal(in.options.run.min_cluster_size, 4);
}

static const struct {
    const char *json, *says;
} wrong[] = {
    {"{'k':0}", "k must be"},
    {"{'k':-1}", "k must be"},
    {"{'k':2.5}", "k must be"},
    {"{'k':'2'}", "k must be"},
    {"{'k':2,'cut':0.9}", "give k or cut"},
    {"{'eps':0.1,'fmr':0.01}", "give eps or fmr"},
    {"{'k':2,'k_max':4}", "k is given"},
    {"{'fmr':0.01,'k_max':4}", "fmr is given"},
    {"{'k_min':9,'k_max':4}", "k_min is 9"},
    {"{'cut':1.01}", "cut must be"},
    {"{'eps':-0.1}", "eps must be"},
    {"{'fmr':0}", "fmr must be"},
    {"{'fmr':1}", "fmr must be"},
    {"{'algorithm':'kmeanz'}", "kmeanz"},
    {"{'algorithm':7}", "algorithm is not a string"},
    {"{'metric':'manhattan'}", "cosine"},
    {"{'layout':'umap'}", "tsne"},
    {"{'face':'nose'}", "main"},
    {"{'algorithm':'hdbscan','min_size':1}", "min_size must be"},
    {"{'restarts':101}", "restarts must be"},
    {"{'seed':-1}", "seed must be"},
    {"{'cannot_link':1}", "cannot_link is not"},
    {"{'tag':'x'}", "tag is not for photographs"},
    {"{'must_link':true}", "must_link is not for photographs"},
    {"{'collection':'c','face':'main'}", "face is not for the examples"},
    {"{'collection':'c','tag':'x','unassigned':true}", "tag and unassigned"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct clusters_in in;
        struct err_info err;
        char text[200];
        snprintf(text, sizeof text, "%s", wrong[i].json);
        for (char *p = text; *p; p++) *p = *p == '\'' ? '"' : *p;
        json_auto_t *asked = json_loads(text, 0, NULL);
        assert_non_null(asked);
        if (parse(&in, asked, &err) != ERR_INVALID || !strstr(err.message, wrong[i].says))
            fail_msg("%s: %s \"%s\"", text, err_name(err.code), err.message);
    }
}

static void texts_become_values(void **state)
{
    static const struct {
        const char *name, *text, *says; /* says NULL: it is taken */
    } rows[] = {
        {"k", "12", NULL},
        {"k", "12", "twice"},
        {"cut", "0.5", NULL},
        {"job", "true", NULL},
        {"title", "12", NULL},
        {"k_min", "1.5", "whole number"},
        {"k_max", "", "whole"},
        {"fmr", "nan", "number"},
        {"eps", "0.1x", "number"},
        {"unassigned", "1", "true or false"},
        {"colour", "red", "no option"},
    };
    json_auto_t *asked = json_object();
    json_auto_t *want =
        json_pack("{s:i, s:f, s:b, s:s}", "k", 12, "cut", 0.5, "job", 1, "title", "12");
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_info err = ERR_INFO_INIT;
        const enum err rc = clusters_in_set(asked, rows[i].name, rows[i].text, &err);
        if (rc != (rows[i].says ? ERR_INVALID : ERR_OK) ||
            !strstr(err.message, rows[i].says ? rows[i].says : ""))
            fail_msg("%s=%s: %s \"%s\"", rows[i].name, rows[i].text, err_name(rc), err.message);
    }
    assert_true(json_equal(asked, want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(takes_all),
                                       cmocka_unit_test(refuses),
                                       cmocka_unit_test(texts_become_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
