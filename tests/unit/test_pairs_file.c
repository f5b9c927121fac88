#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/eval.h"

static void test_view1(void **state)
{
    (void)state;
    static const char text[] = "2\n"
                               "Abdullah_Gul\t13\t14\n"
                               "Zico\t1\t2\r\n"
                               "Al_Gore\t1\tZico\t2\n"
                               "Abdullah_Gul\t13\tAl_Gore\t10001\n";
    struct eval_set set = {0};
    struct eval_pairs p = {0};
    struct err_info err = ERR_INFO_INIT;

    if (eval_pairs_parse(&p, &set, text, &err)) fail_msg("%s", err.message);
    assert_int_equal(p.folds, 1);
    assert_int_equal(p.n, 4);
    assert_int_equal(set.people.n, 3);
    assert_int_equal(set.names.n, 6); /* each picture once */
    assert_string_equal(set.names.name[p.pairs[0].a], "Abdullah_Gul_0013");
    assert_string_equal(set.names.name[p.pairs[3].b], "Al_Gore_10001");
    assert_string_equal(set.people.name[set.images[p.pairs[3].b].person], "Al_Gore");
    assert_true(p.pairs[0].same && p.pairs[1].same && !p.pairs[2].same && !p.pairs[3].same);
    assert_int_equal(p.pairs[0].a, p.pairs[3].a);
    assert_int_equal(p.pairs[1].b, p.pairs[2].b);
    eval_pairs_release(&p);
    eval_set_release(&set);
}

static void test_view2(void **state)
{
    (void)state;
    static const char text[] = "2 1\nA 1 2\nA 1 B 1\n\nC 1 2\nC 1 B 1";
    struct eval_set set = {0};
    struct eval_pairs p = {0};

    assert_int_equal(eval_pairs_parse(&p, &set, text, NULL), ERR_OK);
    assert_int_equal(p.folds, 2);
    assert_int_equal(p.n, 4);
    assert_int_equal(p.pairs[1].fold, 0);
    assert_int_equal(p.pairs[2].fold, 1);
    eval_pairs_release(&p);
    eval_set_release(&set);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } cases[] = {
        {"empty", "", "ends after 0"},
        {"head is words", "a b c\n", "line 1"},
        {"head is zero", "0\n", "line 1"},
        {"head is negative", "-3\n", "line 1"},
        {"head is huge", "1000 99999999\n", "line 1"},
        {"too few", "2\nA 1 2\nA 1 B 1\n", "ends after 2 of 4"},
        {"too many", "1\nA 1 2\nA 1 B 1\nA 1 C 1\n", "line 4"},
        {"two words", "1\nA 1\nA 1 B 1\n", "line 2"},
        {"five words", "1\nA 1 2 3 4\nA 1 B 1\n", "line 2"},
        {"no number", "1\nA 1 x\nA 1 B 1\n", "line 2"},
        {"negative", "1\nA 1 -2\nA 1 B 1\n", "line 2"},
        {"one picture", "1\nA 2 2\nA 1 B 1\n", "line 2"},
        {"strangers of one name", "1\nA 1 2\nA 1 A 2\n", "line 3"},
        {"wrong balance", "1\nA 1 2\nA 1 3\n", "fold 1"},
        {"out of the folder", "1\n../A 1 2\nA 1 B 1\n", "line 2"},
        {"absolute", "1\n/etc 1 2\nA 1 B 1\n", "line 2"},
        {"dots", "1\n.. 1 2\nA 1 B 1\n", "line 2"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct eval_set set = {0};
        struct eval_pairs p = {0};
        struct err_info err = ERR_INFO_INIT;
        if (eval_pairs_parse(&p, &set, cases[i].text, &err) != ERR_INVALID)
            fail_msg("%s: taken", cases[i].name);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].name, err.message);
        assert_null(p.pairs);
        eval_set_release(&set);
    }
}

static void test_names(void **state)
{
    (void)state;
    struct eval_names s = {0};
    char name[32];
    uint32_t k;

    assert_false(eval_names_find(&s, "x", &k));
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%u", i);
        assert_true(eval_names_add(&s, name, &k));
        assert_int_equal(k, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%u", i);
        assert_true(eval_names_find(&s, name, &k));
        assert_int_equal(k, i);
    }
    assert_true(eval_names_add(&s, "n17", &k));
    assert_int_equal(k, 17);
    assert_int_equal(s.n, 5000);
    assert_false(eval_names_find(&s, "n5000", &k));
    eval_names_release(&s);
}

/* A set of pictures in the plane, at angles. */
static void place(struct eval_set *set, const char *person, int number, double degrees)
{
    char name[64];
    uint32_t i;

    snprintf(name, sizeof name, "%s_%04d", person, number);
    assert_int_equal(eval_set_add(set, person, name, &i, NULL), ERR_OK);
    set->dim = 2;
    set->x = realloc(set->x, set->names.n * 2 * sizeof *set->x);
    set->x[2 * i] = (float)cos(degrees / 57.29577951308232);
    set->x[2 * i + 1] = (float)sin(degrees / 57.29577951308232);
    set->images[i].found = true;
}

static void test_exclude(void **state)
{
    (void)state;
    struct eval_set set = {0};
    struct eval_exclude x = {0};
    static const char text[] = "# comment\n\nA B # one person\nC 2\nD\nNobody A\nA 9\r\n";

    place(&set, "A", 1, 0);
    place(&set, "B", 1, 0);
    place(&set, "C", 1, 0);
    place(&set, "C", 2, 0);
    place(&set, "D", 1, 0);
    place(&set, "D", 2, 0);
    assert_int_equal(eval_exclude_parse(&x, &set, text, NULL), ERR_OK);
    assert_int_equal(x.group[0], x.group[1]);
    assert_int_not_equal(x.group[2], x.group[1]);
    assert_int_equal(x.names, 1);
    assert_int_equal(x.pictures, 3);
    assert_true(x.left_out[3] && x.left_out[4] && x.left_out[5]);
    assert_false(x.left_out[0] || x.left_out[2]);
    eval_exclude_release(&x);
    assert_int_equal(eval_exclude_parse(&x, &set, "A B C D\n", NULL), ERR_INVALID);
    eval_set_release(&set);
}

/* Two folds worked out by hand. Angles between: fold 1 same 10 and 40, strangers 60 and 90; fold 2
 * same 20 and 65, strangers 50 and 80. Best threshold of fold 2 alone: 65 > 50, so 3 of 4 right
 * at 20..50 (widest: between 20 and 50) - 35 in the middle of the cosines (0.94, 0.643) = 0.791
 * (37.7 degrees): fold 1 has 10 right, 40 wrong, both strangers right: 3 of
 * 4. Best of fold 1: between 40 and 60, cosine (0.766 + 0.5) / 2 = 0.633 (50.7 degrees): fold 2 has
 * 20 right, 65 wrong, 50 wrong, 80 right: 2 of 4. */
static void test_folds_by_hand(void **state)
{
    (void)state;
    static const char text[] = "2\t2\nA\t1\t2\nB\t1\t2\nA\t1\tB\t3\nA\t1\tC\t1\n"
                               "D\t1\t2\nE\t1\t2\nD\t1\tE\t3\nD\t1\tF\t1\n";
    static const struct {
        const char *person;
        int number;
        double angle;
    } pictures[] = {{"A", 1, 0},  {"A", 2, 10}, {"B", 1, 200}, {"B", 2, 240},
                    {"B", 3, 60}, {"C", 1, 90}, {"D", 1, 100}, {"D", 2, 120},
                    {"E", 1, 0},  {"E", 2, 65}, {"E", 3, 150}, {"F", 1, 180}};
    struct eval_set set = {0};
    struct eval_pairs p = {0};
    struct eval_scores s = {0};
    struct eval_accuracy a;

    for (size_t i = 0; i < ARRAY_LEN(pictures); i++)
        place(&set, pictures[i].person, pictures[i].number, pictures[i].angle);
    assert_int_equal(eval_pairs_parse(&p, &set, text, NULL), ERR_OK);
    assert_int_equal(set.names.n, ARRAY_LEN(pictures));
    assert_int_equal(eval_score(&s, &set, &p, NULL), ERR_OK);
    assert_int_equal(s.n_lost, 0);
    assert_int_equal(eval_accuracy(&a, &p, &s, NULL, NULL), ERR_OK);
    assert_string_equal(a.from, "folds");
    if (fabs(a.accuracy - 0.625) > 1e-9) fail_msg("accuracy %g", a.accuracy);
    if (fabs(a.sd - 0.25 / sqrt(2)) > 1e-9) fail_msg("sd %g", a.sd); /* of .75 and .5, n - 1 */
    if (fabs(a.threshold - (0.7912 + 0.6330) / 2) > 1e-3)
        fail_msg("threshold %g", (double)a.threshold);
    eval_scores_release(&s);

    /* one picture without a face: its pair (right before) is lost, and wrong */
    set.images[0].found = false; /* in three pairs of fold 1, all right before */
    assert_int_equal(eval_score(&s, &set, &p, NULL), ERR_OK);
    assert_int_equal(s.n_lost, 3);
    p.folds = 1;
    assert_int_equal(eval_accuracy(&a, &p, &s, &s, NULL), ERR_OK);
    assert_string_equal(a.from, "tune");
    assert_true(a.accuracy <= 5.0 / 8);
    eval_scores_release(&s);
    eval_pairs_release(&p);
    eval_set_release(&set);
}

static void test_tar_json(void **state)
{
    (void)state;
    float g[100], im[1000];
    struct roc *r = NULL;

    for (int i = 0; i < 100; i++) g[i] = 0.5f + 0.004f * (float)i;
    for (int i = 0; i < 1000; i++) im[i] = 0.0005f * (float)i;
    assert_int_equal(roc_new(&r, g, 100, im, 1000, NULL), ERR_OK);
    json_t *o = eval_tar_json(r, 4);
    assert_int_equal(json_object_size(o), 4);
    assert_true(json_is_true(json_object_get(json_object_get(o, "0.01"), "supported")));
    assert_true(json_is_false(json_object_get(json_object_get(o, "0.001"), "supported")));
    assert_true(json_number_value(json_object_get(json_object_get(o, "0.1"), "tar")) == 1);
    assert_non_null(json_object_get(o, "0.0001"));
    json_decref(o);

    struct buf svg = BUF_INIT(1 << 20);
    assert_int_equal(eval_svg_roc(&svg, r, 1e-3, NULL), ERR_OK);
    assert_int_equal(eval_svg_histogram(&svg, r, 0.5f, NULL), ERR_OK);
    assert_null(strstr((char *)svg.data, "nan"));
    assert_null(strstr((char *)svg.data, "inf"));
    buf_release(&svg);
    roc_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view1),    cmocka_unit_test(test_view2),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_exclude),  cmocka_unit_test(test_folds_by_hand),
        cmocka_unit_test(test_tar_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
