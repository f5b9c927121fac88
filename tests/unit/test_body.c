/* JSON bodies: every limit, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/api/body.h"

#include <stdlib.h>
#include <string.h>

static const char *const fields[] = {"t", "b", "i", "d", "o", NULL};

static enum err parse(json_t **out, const char *text, struct err_info *err)
{
    struct request rq = {.body_kind = BODY_JSON};
    rq.body = (const uint8_t *)text;
    rq.body_len = strlen(text);
    return body_parse(out, &rq, fields, err);
}

static void whole_bodies(void **state)
{
    static const struct {
        const char *text;
        enum err want;
        const char *says;
    } cases[] = {
        {"{}", ERR_OK, ""},
        {"{\"t\":1,\"o\":{}}", ERR_OK, ""},
        {"", ERR_BAD_JSON, "not JSON"},
        {"{\"t\":1", ERR_BAD_JSON, "not JSON"},
        {"{\"t\":1,\"t\":2}", ERR_BAD_JSON, "duplicate"},
        {"{\"t\":\"\xff\"}", ERR_BAD_JSON, "decode byte 0xff"},
        {"{\"t\":\"\\u0000\"}", ERR_BAD_JSON, "not JSON"},
        {"[]", ERR_INVALID, "not an object"},
        {"{\"x\":1}", ERR_INVALID, "\"x\"; this route takes t, b, i, d and o"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err_info err = ERR_INFO_INIT;
        json_t *body = NULL;
        enum err rc = parse(&body, cases[i].text, &err);
        if (rc != cases[i].want || !strstr(err.message, cases[i].says))
            fail_msg("%s: %s (%s)", cases[i].text, err_name(rc), err.message);
        json_decref(body);
    }
}

static void texts(void **state)
{
    static const struct {
        const char *text;
        const char *want; /* NULL: refused */
        const char *says;
    } cases[] = {
        {"{\"t\":\"Am\xc3\xa9lie\"}", "Am\xc3\xa9lie", ""},
        {"{\"t\":\"'; DROP TABLE x; -- ../../etc\"}", "'; DROP TABLE x; -- ../../etc", ""},
        {"{\"t\":\"\xe4\xba\xba\xe4\xba\xba\xe4\xba\xba\xe4\xba\xba\"}",
         "\xe4\xba\xba\xe4\xba\xba\xe4\xba\xba\xe4\xba\xba", ""},
        {"{}", "untouched", ""},
        {"{\"t\":null}", "untouched", ""},
        {"{\"t\":5}", NULL, "t is not a string"},
        {"{\"t\":\"\"}", NULL, "t is empty"},
        {"{\"t\":\"a\\nb\"}", NULL, "control character at byte 1"},
        {"{\"t\":\"a\\u007f\"}", NULL, "control character"},
        {"{\"t\":\"\\u0085\"}", NULL, "control character"},
        {"{\"t\":\"1234567890123456789012345678901\"}", NULL, "31 characters, the limit is 30"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err_info err = ERR_INFO_INIT;
        const char *got = "untouched";
        json_t *body = NULL;
        assert_int_equal(parse(&body, cases[i].text, &err), ERR_OK);
        enum err rc = body_text(&got, body, "t", 30, &err);
        if (rc != (cases[i].want ? ERR_OK : ERR_INVALID) ||
            (cases[i].want && strcmp(got, cases[i].want) != 0) ||
            !strstr(err.message, cases[i].says))
            fail_msg("%s: %s %s", cases[i].text, got, err.message);
        json_decref(body);
    }
}

static void numbers_and_objects(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    json_t *body = NULL;
    bool b = false;
    int i = 0;
    double d = 0;
    char *o = NULL;
    (void)state;
    assert_int_equal(parse(&body, "{\"b\":true,\"i\":7,\"d\":0.5,\"o\":{\"a\":[1, 2]}}", &err),
                     ERR_OK);
    assert_int_equal(body_bool(&b, body, "b", &err), ERR_OK);
    assert_int_equal(body_int(&i, body, "i", 1, 7, &err), ERR_OK);
    assert_int_equal(body_double(&d, body, "d", 0, 1, &err), ERR_OK);
    assert_int_equal(body_object_text(&o, body, "o", 11, &err), ERR_OK);
    assert_true(b && i == 7 && d == 0.5);
    assert_string_equal(o, "{\"a\":[1,2]}");
    free(o);
    o = NULL;
    assert_int_equal(body_object_text(&o, body, "o", 10, &err), ERR_TOO_LARGE);
    assert_null(o);
    assert_int_equal(body_int(&i, body, "i", 1, 6, &err), ERR_INVALID);
    assert_int_equal(body_int(&i, body, "d", 0, 6, &err), ERR_INVALID);
    assert_int_equal(body_double(&d, body, "d", 0.6, 1, &err), ERR_INVALID);
    assert_int_equal(body_bool(&b, body, "i", &err), ERR_INVALID);
    assert_int_equal(body_object_text(&o, body, "i", 10, &err), ERR_INVALID);
    assert_true(b && i == 7 && d == 0.5 && !o);
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_bodies),
        cmocka_unit_test(texts),
        cmocka_unit_test(numbers_and_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
