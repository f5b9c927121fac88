#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/cursor.h"

#include <string.h>

static const struct app app = {.cursor_key = {1, 2, 3}};

static struct request list_of(const char *path, const char *name, const char *value)
{
    struct request rq = {.path = path, .n_query = name ? 1 : 0};
    rq.query[0] = (struct pair){name, value};
    return rq;
}

static void give(struct request *rq, const char *cursor)
{
    rq->query[rq->n_query++] = (struct pair){"cursor", cursor};
}

static void comes_back(void **state)
{
    static const int64_t positions[] = {1, 255, 256, 1 << 20, INT64_C(1) << 40, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(positions); i++) {
        struct request rq = list_of("/v1/collections/c/identities", "name", "a");
        struct cursor c;
        int64_t after = -1;
        cursor_make(&c, &app, &rq, positions[i]);
        assert_int_equal(strlen(c.s), CURSOR_CHARS);
        give(&rq, c.s);
        assert_int_equal(cursor_read(&after, &app, &rq, NULL), ERR_OK);
        assert_int_equal(after, positions[i]);
    }
}

static void not_given(void **state)
{
    struct request rq = list_of("/v1/audit", "limit", "10");
    int64_t after = -1;
    (void)state;
    assert_int_equal(cursor_read(&after, &app, &rq, NULL), ERR_OK);
    assert_int_equal(after, 0);
}

static void limit_and_order_do_not_matter(void **state)
{
    struct request rq = {
        .path = "/v1/x", .query = {{"tag", "t"}, {"name", "n"}, {"limit", "5"}}, .n_query = 3};
    struct request again = {.path = "/v1/x", .query = {{"name", "n"}, {"tag", "t"}}, .n_query = 2};
    struct cursor c;
    int64_t after;
    (void)state;
    cursor_make(&c, &app, &rq, 77);
    give(&again, c.s);
    assert_int_equal(cursor_read(&after, &app, &again, NULL), ERR_OK);
    assert_int_equal(after, 77);
}

static void of_another_query(void **state)
{
    static const struct {
        const char *name, *path, *key, *value;
    } rows[] = {
        {"another path", "/v1/y", "name", "a"},     {"another value", "/v1/x", "name", "b"},
        {"another parameter", "/v1/x", "tag", "a"}, {"no parameter", "/v1/x", NULL, NULL},
        {"split elsewhere", "/v1/x", "namea", ""},
    };
    struct request rq = list_of("/v1/x", "name", "a");
    struct cursor c;
    struct err_info err;
    int64_t after;
    (void)state;
    cursor_make(&c, &app, &rq, 5);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct request other = list_of(rows[i].path, rows[i].key, rows[i].value);
        give(&other, c.s);
        if (cursor_read(&after, &app, &other, &err) != ERR_INVALID) fail_msg("%s", rows[i].name);
    }
    const struct app elsewhere = {.cursor_key = {9}};
    give(&rq, c.s);
    assert_int_equal(cursor_read(&after, &elsewhere, &rq, &err), ERR_INVALID);
}

/* Each character, changed to each other one, is noticed. */
static void tampered(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \x80";
    struct request rq = list_of("/v1/x", "name", "a");
    struct cursor c;
    struct err_info err;
    int64_t after;
    (void)state;
    cursor_make(&c, &app, &rq, 5);
    for (int i = 0; i < CURSOR_CHARS; i++)
        for (const char *p = alphabet; *p; p++) {
            struct cursor wrong = c;
            struct request asked = rq;
            if (wrong.s[i] == *p) continue;
            wrong.s[i] = *p;
            give(&asked, wrong.s);
            if (cursor_read(&after, &app, &asked, &err) != ERR_INVALID || after != 0)
                fail_msg("%s for %s", wrong.s, c.s);
        }
    static const char *const others[] = {"", "5", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                         "' OR 1=1 --"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct request asked = rq;
        give(&asked, others[i]);
        if (cursor_read(&after, &app, &asked, &err) != ERR_INVALID) fail_msg("%s", others[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),       cmocka_unit_test(not_given),
        cmocka_unit_test(of_another_query), cmocka_unit_test(limit_and_order_do_not_matter),
        cmocka_unit_test(tampered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
