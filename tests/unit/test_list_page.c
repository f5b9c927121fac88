/* A page of a list: what it takes, where it ends, and that the next one begins behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/list_page.h"

#include <stdio.h>
#include <string.h>

static const struct app app = {.cursor_key = {1, 2, 3}};

static struct request list(const char *limit, const char *cursor)
{
    struct request rq = {.path = "/v1/x"};
    if (limit) rq.query[rq.n_query++] = (struct pair){"limit", limit};
    if (cursor) rq.query[rq.n_query++] = (struct pair){"cursor", cursor};
    return rq;
}

/* The page of a list 10, 20 .. 70; its items are the positions. */
static json_t *answer(const char *limit, const char *cursor)
{
    const struct request rq = list(limit, cursor);
    struct reply rp = REPLY_INIT;
    struct err_info err = ERR_INFO_INIT;
    AUTO_LIST_PAGE struct list_page p = {0};

    if (list_page_read(&p, &app, &rq, &err)) fail_msg("%s", err.message);
    for (int64_t at = p.after + 10, left = p.limit + 1; at <= 70 && left; at += 10, left--)
        assert_int_equal(list_page_add(&p, at, json_integer(at), &err), ERR_OK);
    assert_int_equal(list_page_reply(&p, &app, &rq, &rp, &err), ERR_OK);
    assert_int_equal(rp.status, 200);
    json_t *out = json_loadb((const char *)rp.owned, rp.len, 0, NULL);
    reply_release(&rp);
    assert_non_null(out);
    return out;
}

static void page_after_page(void **state)
{
    static const struct {
        const char *limit;
        int pages, last; /* how many, and items on the last one */
    } rows[] = {{NULL, 1, 7}, {"1", 7, 1}, {"2", 4, 1}, {"6", 2, 1}, {"7", 1, 7}, {"1000", 1, 7}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char cursor[64] = "";
        json_int_t want = 10;
        for (int page = 1; page <= rows[i].pages; page++) {
            json_t *got = answer(rows[i].limit, *cursor ? cursor : NULL);
            const json_t *items = json_object_get(got, "items"), *one,
                         *next = json_object_get(got, "next_cursor");
            size_t k;
            json_array_foreach(items, k, one)
            {
                assert_int_equal(json_integer_value(one), want);
                want += 10;
            }
            if (page < rows[i].pages)
                snprintf(cursor, sizeof cursor, "%s", json_string_value(next));
            else if (!json_is_null(next) || json_array_size(items) != (size_t)rows[i].last)
                fail_msg("limit %s: the last page", rows[i].limit);
            json_decref(got);
        }
        assert_int_equal(want, 80);
    }
}

static void what_it_refuses(void **state)
{
    static const struct {
        const char *limit, *cursor, *says;
    } rows[] = {
        {"0", NULL, "limit is \"0\", it must be a whole number from 1 to 1000"},
        {"1001", NULL, "limit is \"1001\", it must be a whole number from 1 to 1000"},
        {"many", NULL, "limit is \"many\", it must be a whole number from 1 to 1000"},
        {"", NULL, "limit is \"\", it must be a whole number from 1 to 1000"},
        {NULL, "10", "cursor is \"10\", which is no next_cursor of a page"},
        {"0", "10", "cursor is \"10\", which is no next_cursor of a page"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct request rq = list(rows[i].limit, rows[i].cursor);
        struct err_info err = ERR_INFO_INIT;
        AUTO_LIST_PAGE struct list_page p = {0};
        assert_int_equal(list_page_read(&p, &app, &rq, &err), ERR_INVALID);
        assert_string_equal(err.message, rows[i].says);
    }
}

static void no_item(void **state)
{
    const struct request rq = list("1", NULL);
    struct err_info err = ERR_INFO_INIT;
    AUTO_LIST_PAGE struct list_page p = {0};
    (void)state;
    assert_int_equal(list_page_read(&p, &app, &rq, &err), ERR_OK);
    assert_int_equal(list_page_add(&p, 1, NULL, &err), ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_after_page),
        cmocka_unit_test(what_it_refuses),
        cmocka_unit_test(no_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
