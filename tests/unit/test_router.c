#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/http/http.h"

#include <string.h>

static const struct route routes[] = {
    {"GET", "/", 0, 0, NULL},
    {"GET", "/v1/things", 0, 0, NULL},
    {"POST", "/v1/things", 0, 0, NULL},
    {"GET", "/v1/things/{thing}", 0, 0, NULL},
    {"DELETE", "/v1/things/{thing}/parts/{part}", 0, 0, NULL},
};

static const struct {
    const char *method, *path;
    enum err want;
    int route;            /* index */
    const char *param[2]; /* values, in order */
    const char *allow;
} rows[] = {
    {"GET", "/", ERR_OK, 0, {0}, NULL},
    {"HEAD", "/", ERR_OK, 0, {0}, NULL},
    {"GET", "/v1/things", ERR_OK, 1, {0}, NULL},
    {"POST", "/v1/things", ERR_OK, 2, {0}, NULL},
    {"GET", "/v1/things/x", ERR_OK, 3, {"x"}, NULL},
    {"GET", "/v1/things/a b%", ERR_OK, 3, {"a b%"}, NULL},
    {"DELETE", "/v1/things/x/parts/7", ERR_OK, 4, {"x", "7"}, NULL},
    {"DELETE", "/", ERR_METHOD, 0, {0}, "GET, HEAD"},
    {"PUT", "/v1/things", ERR_METHOD, 0, {0}, "GET, HEAD, POST"},
    {"GET", "/v1/things/x/parts/7", ERR_METHOD, 0, {0}, "DELETE"},
    {"get", "/", ERR_METHOD, 0, {0}, "GET, HEAD"},
    {"GET", "/v1", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "/v1/", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "/v1/things/", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "//v1/things", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "/v1/thing", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "/v1/thingss", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "/V1/things", ERR_NOT_FOUND, 0, {0}, NULL},
    {"DELETE", "/v1/things/x/parts/", ERR_NOT_FOUND, 0, {0}, NULL},
    {"DELETE", "/v1/things//parts/7", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "", ERR_NOT_FOUND, 0, {0}, NULL},
    {"GET", "v1/things", ERR_NOT_FOUND, 0, {0}, NULL},
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct request rq = {.method = rows[i].method, .path = rows[i].path};
        struct err_info err = ERR_INFO_INIT;
        const struct route *route = NULL;
        const char *allow = NULL;
        rq.arena = ARENA_INIT(4096);
        enum err rc = http_route(&route, &allow, &rq, routes, ARRAY_LEN(routes), &err);
        if (rc != rows[i].want)
            fail_msg("%s %s: %s, wanted %s", rq.method, rq.path, err_name(rc),
                     err_name(rows[i].want));
        if (!rc && route != &routes[rows[i].route])
            fail_msg("%s %s: another route", rq.method, rq.path);
        int n = 0;
        while (n < 2 && rows[i].param[n]) n++;
        if (rq.n_params != n) fail_msg("%s %s: %d parameters", rq.method, rq.path, rq.n_params);
        for (int k = 0; k < n; k++) assert_string_equal(rq.param[k].value, rows[i].param[k]);
        if (rows[i].allow) assert_string_equal(allow, rows[i].allow);
        arena_release(&rq.arena);
    }
}

static void parameters_by_name(void **state)
{
    struct request rq = {.method = "DELETE", .path = "/v1/things/x/parts/7"};
    const struct route *route;
    const char *allow;
    (void)state;
    rq.arena = ARENA_INIT(4096);
    assert_int_equal(http_route(&route, &allow, &rq, routes, ARRAY_LEN(routes), NULL), ERR_OK);
    assert_string_equal(request_param(&rq, "thing"), "x");
    assert_string_equal(request_param(&rq, "part"), "7");
    assert_null(request_param(&rq, "other"));
    arena_release(&rq.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table),
                                       cmocka_unit_test(parameters_by_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
