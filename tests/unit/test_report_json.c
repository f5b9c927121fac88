#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/report_sample.h"

static json_t *report_of(struct sample *s)
{
    json_t *o = NULL;
    struct err_info err = ERR_INFO_INIT;

    const enum err rc = report_json(&o, s->result, s->report, s->faces, s->n, &s->about, &err);
    if (rc) fail_msg("%s", err.message);
    return o;
}

static void make(struct sample *s, struct sample_options o)
{
    if (!sample_make(s, &o)) fail_msg("no sample");
}

static double at(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v)) fail_msg("%s is no number", key);
    return json_number_value(v);
}

static const char *text_at(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static void test_clusters_and_faces_agree(void **state)
{
    (void)state;
    struct sample s;
    make(&s, (struct sample_options){
                 .people = 4, .each = 6, .strangers = 3, .algorithm = CLUSTER_AVERAGE});
    json_t *o = report_of(&s), *faces = json_object_get(o, "faces"), *c, *m;
    size_t i, j, placed = 0;

    assert_int_equal(json_array_size(faces), s.n);
    json_array_foreach(json_object_get(o, "clusters"), i, c)
    {
        const json_t *members = json_object_get(c, "members");
        assert_int_equal((int)at(c, "cluster"), i);
        assert_int_equal((int)at(c, "size"), json_array_size(members));
        assert_int_equal((int)at(c, "medoid"), json_integer_value(json_array_get(members, 0)));
        assert_true(at(c, "cohesion") > 0.75 && at(c, "cohesion") <= 1);
        assert_true(at(c, "least") > 0.5);
        json_array_foreach(members, j, m)
        {
            const json_t *f = json_array_get(faces, (size_t)json_integer_value(m));
            assert_int_equal((int)at(f, "cluster"), i);
            assert_string_equal(text_at(f, "truth"), text_at(c, "label"));
            placed++;
        }
    }
    assert_int_equal(i, 4);
    assert_int_equal(placed, 24);
    json_array_foreach(json_object_get(o, "outliers"), i, c)
    {
        const json_t *f = json_array_get(faces, (size_t)at(c, "face"));
        assert_true(json_is_null(json_object_get(f, "cluster")));
        assert_true(json_is_null(json_object_get(f, "silhouette")));
        assert_true(at(c, "similarity") < 0.75);
        const json_t *near = json_array_get(faces, (size_t)at(c, "nearest_face"));
        assert_int_equal((int)at(near, "cluster"), (int)at(c, "nearest"));
    }
    assert_int_equal(i, 3);
    assert_int_equal(json_array_size(json_object_get(o, "dendrogram")), s.n - 1);
    assert_true(at(json_object_get(o, "truth"), "bcubed_f") == 1);
    json_decref(o);
    sample_release(&s);
}

static void test_summary(void **state)
{
    (void)state;
    struct sample s;
    make(&s, (struct sample_options){
                 .people = 3, .each = 5, .strangers = 2, .algorithm = CLUSTER_AVERAGE});
    s.about.skipped = json_pack("[{s:s, s:s, s:s}]", "file", "a.txt", "code", "unsupported_image",
                                "message", "not a picture");
    s.about.photos = 20;
    json_t *o = report_of(&s), *summary = report_summary(o);
    char *text = json_dumps(summary, REPORT_JSON_DUMP);
    char want[400];

    assert_non_null(text);
    snprintf(want, sizeof want,
             "{\"id\":null,\"title\":\"sample\",\"algorithm\":\"average\",\"cut\":0.75,"
             "\"photos\":20,\"faces\":17,\"skipped\":1,\"clusters\":3,\"outliers\":2,"
             "\"silhouette\":%.12g,\"bcubed_f\":1.0,\"ari\":1.0}",
             at(json_object_get(o, "summary"), "silhouette"));
    assert_string_equal(text, want);
    free(text);
    json_decref(summary);
    json_decref(o);
    json_decref(s.about.skipped);
    sample_release(&s);
}

static void test_what_is_not_known_is_null(void **state)
{
    (void)state;
    struct sample s;
    make(&s, (struct sample_options){.strangers = 1, .algorithm = CLUSTER_WHISPERS});
    s.faces[0] = (struct report_face){.photo = -1, .quality = (double)NAN};
    json_t *o = report_of(&s);
    char *text = json_dumps(json_object_get(o, "faces"), REPORT_JSON_DUMP);

    assert_string_equal(
        text, "[{\"example\":null,\"file\":null,\"photo\":null,\"box\":null,\"quality\":null,"
              "\"identity\":null,\"name\":null,\"truth\":null,\"cluster\":null,"
              "\"silhouette\":null,\"probability\":null,\"pca\":[0.0,0.0],\"layout\":null}]");
    free(text);
    assert_true(json_is_null(json_object_get(o, "truth")));
    assert_true(json_is_null(json_object_get(o, "dendrogram")));
    assert_true(json_is_null(json_object_get(o, "cut_fmr")));
    assert_null(json_object_get(o, "created"));
    assert_true(json_is_null(
        json_object_get(json_array_get(json_object_get(o, "outliers"), 0), "nearest_face")));
    json_decref(o);
    sample_release(&s);
}

static void test_names_that_are_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"plain.jpg", "plain.jpg"},
        {"", ""},
        {"caf\xe9.jpg", "caf\xef\xbf\xbd.jpg"},
        {"\xd7\x90\xe2\x82\xac\xf0\x9f\x98\x80", "\xd7\x90\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* half of a surrogate pair */
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* a longer form of '/' */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"end\xe2\x82", "end\xef\xbf\xbd\xef\xbf\xbd"},
    };
    struct sample s;
    make(&s, (struct sample_options){.strangers = 1, .algorithm = CLUSTER_AVERAGE});

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s.faces[0].file = cases[i].name;
        json_t *o = report_of(&s);
        const json_t *f = json_array_get(json_object_get(o, "faces"), 0);
        assert_string_equal(text_at(f, "file"), cases[i].want);
        json_decref(o);
    }
    sample_release(&s);
}

/* A label is what more than half of those that are known have. */
static void test_labels(void **state)
{
    (void)state;
    static const struct {
        const char *names[5], *truth[5], *want;
    } cases[] = {
        {{NULL}, {NULL}, NULL},
        {{NULL}, {"amy", "penny", "amy"}, "amy"},
        {{NULL}, {"amy", "penny"}, NULL},
        {{"Amy", "Amy"}, {"x", "y", "z", "w"}, NULL},
        {{"Amy", "Amy", "Amy"}, {"x", "y", "z", "x", "x"}, "Amy"},
        {{NULL}, {"a", "b", "c", "b", "b"}, "b"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample s;
        make(&s, (struct sample_options){.people = 1, .each = 5, .algorithm = CLUSTER_AVERAGE});
        for (size_t k = 0; k < s.n; k++) {
            s.faces[k].name = cases[i].names[k];
            s.faces[k].truth = cases[i].truth[k];
        }
        json_t *o = report_of(&s);
        const char *label = text_at(json_array_get(json_object_get(o, "clusters"), 0), "label");
        if (cases[i].want && (!label || strcmp(label, cases[i].want)))
            fail_msg("case %zu: %s", i, label);
        if (!cases[i].want && label) fail_msg("case %zu: %s, not none", i, label);
        json_decref(o);
        sample_release(&s);
    }
}

static void test_same_bytes_and_thumbnails(void **state)
{
    (void)state;
    struct sample s;
    make(&s, (struct sample_options){
                 .people = 3, .each = 4, .algorithm = CLUSTER_HDBSCAN, .thumbnails = true});
    s.about.created_ms = 1700000000123;
    json_t *a = report_of(&s), *b = report_of(&s);
    char *one = json_dumps(a, REPORT_JSON_DUMP), *two = json_dumps(b, REPORT_JSON_DUMP);
    const json_t *f = json_array_get(json_object_get(a, "faces"), 0);

    assert_string_equal(one, two);
    assert_string_equal(text_at(a, "created"), "2023-11-14T22:13:20.123Z");
    assert_memory_equal(text_at(f, "thumbnail"), "/9j/", 4); /* what a JPEG begins with */
    assert_true(json_is_number(json_object_get(f, "probability")));

    /* what was written comes back as it was */
    json_t *back = json_loads(one, 0, NULL);
    char *again = json_dumps(back, REPORT_JSON_DUMP);
    assert_string_equal(one, again);

    report_drop_thumbnails(a);
    free(one);
    one = json_dumps(a, REPORT_JSON_DUMP);
    assert_null(strstr(one, "thumbnail"));
    json_decref(a);
    json_decref(b);
    json_decref(back);
    free(one);
    free(two);
    free(again);
    sample_release(&s);
}

static int allocations_left; /* of jansson */

static void *scarce(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

/* Whichever allocation of jansson fails, it is told and nothing is lost (asan looks). */
static void test_no_memory(void **state)
{
    (void)state;
    struct sample s;
    make(&s, (struct sample_options){.people = 1,
                                     .each = 2,
                                     .strangers = 1,
                                     .algorithm = CLUSTER_AVERAGE,
                                     .thumbnails = true});
    json_t *o = NULL;
    int n = 0;

    s.about.created_ms = 1;
    for (enum err rc = ERR_NOMEM; rc; n++) {
        struct err_info err = ERR_INFO_INIT;
        json_set_alloc_funcs(scarce, free);
        allocations_left = n;
        rc = report_json(&o, s.result, s.report, s.faces, s.n, &s.about, &err);
        json_set_alloc_funcs(malloc, free);
        if (rc) assert_int_equal(rc, ERR_NOMEM);
        if (rc) assert_null(o);
    }
    assert_true(n > 200);
    json_decref(o);
    sample_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clusters_and_faces_agree),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_what_is_not_known_is_null),
        cmocka_unit_test(test_names_that_are_not_utf8),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_same_bytes_and_thumbnails),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
