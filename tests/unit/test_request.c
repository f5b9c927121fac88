#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/http/request.h"

#include <string.h>

static void only_known_parameters(void **state)
{
    static const char *const names[] = {"face", "fmr", NULL}, *const none[] = {NULL};
    static const struct {
        const char *name;
        struct pair query[3];
        const char *const *names;
        enum err want;
        const char *says;
    } rows[] = {
        {"nothing", {{0}}, names, ERR_OK, ""},
        {"one", {{"fmr", "1"}}, names, ERR_OK, ""},
        {"both", {{"fmr", "1"}, {"face", ""}}, names, ERR_OK, ""},
        {"unknown",
         {{"fmr", "1"}, {"Face", "x"}},
         names,
         ERR_INVALID,
         "\"Face\"; this route takes face and fmr"},
        {"twice",
         {{"fmr", "1"}, {"face", "x"}, {"fmr", "1"}},
         names,
         ERR_INVALID,
         "\"fmr\" is given twice"},
        {"none taken", {{"x", "1"}}, none, ERR_INVALID, "takes none"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct request rq = {0};
        struct err_info err = ERR_INFO_INIT;
        for (; rq.n_query < 3 && rows[i].query[rq.n_query].key; rq.n_query++)
            rq.query[rq.n_query] = rows[i].query[rq.n_query];
        if (request_query_only(&rq, rows[i].names, &err) != rows[i].want ||
            !strstr(err.message, rows[i].says))
            fail_msg("%s: %s", rows[i].name, err.message);
    }
}

static void looking_up(void **state)
{
    struct request rq = {.query = {{"a", "1"}, {"b", ""}, {"a", "2"}}, .n_query = 3};
    (void)state;
    assert_string_equal(request_query(&rq, "a"), "1");
    assert_string_equal(request_query(&rq, "b"), "");
    assert_null(request_query(&rq, "c"));
}

static void lists(void **state)
{
    static const char *const three[] = {"a", "b", "c", NULL}, *const none[] = {NULL};
    char out[40], little[6];
    (void)state;
    request_list_names(out, sizeof out, three);
    assert_string_equal(out, "a, b and c");
    request_list_names(out, sizeof out, three + 2);
    assert_string_equal(out, "c");
    request_list_names(out, sizeof out, none);
    assert_string_equal(out, "");
    request_list_names(little, sizeof little, three);
    assert_string_equal(little, "a, b ");
}

static void typed_parameters(void **state)
{
    struct request rq = {.query = {{"n", "7"}, {"yes", "true"}, {"no", "false"}, {"odd", "1x"}},
                         .n_query = 4};
    struct err_info err = ERR_INFO_INIT;
    bool b = true;
    int n = 3;
    (void)state;
    assert_int_equal(request_query_int(&n, &rq, "n", 1, 7, &err), ERR_OK);
    assert_int_equal(n, 7);
    assert_int_equal(request_query_int(&n, &rq, "none", 1, 7, &err), ERR_OK);
    assert_int_equal(request_query_int(&n, &rq, "n", 1, 6, &err), ERR_INVALID);
    assert_string_equal(err.message, "n is \"7\", it must be a whole number from 1 to 6");
    assert_int_equal(request_query_int(&n, &rq, "odd", 0, 9, &err), ERR_INVALID);
    assert_int_equal(n, 7);
    assert_int_equal(request_query_bool(&b, &rq, "no", &err), ERR_OK);
    assert_false(b);
    assert_int_equal(request_query_bool(&b, &rq, "yes", &err), ERR_OK);
    assert_true(b);
    assert_int_equal(request_query_bool(&b, &rq, "none", &err), ERR_OK);
    assert_int_equal(request_query_bool(&b, &rq, "odd", &err), ERR_INVALID);
    assert_string_equal(err.message, "odd is \"1x\"; it takes true or false");
    assert_true(b);
}

static void stages_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < STAGE_COUNT; i++) assert_non_null(request_stage_name((enum stage)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_known_parameters),
        cmocka_unit_test(looking_up),
        cmocka_unit_test(lists),
        cmocka_unit_test(typed_parameters),
        cmocka_unit_test(stages_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
