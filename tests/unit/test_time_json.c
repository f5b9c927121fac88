#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/time_json.h"

#include <string.h>

static const int64_t NOW_MS = 1000;

static void parses(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"1970-01-02T00:00:01Z", 86401000},
        {"1970-01-02", 86400000},
        {"2024-02-29", INT64_C(1709164800000)},
        {"2026-12-31T23:59:59Z", INT64_C(1798761599000)},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
        {"60s", NOW_MS + 60000},
        {"5m", NOW_MS + 300000},
        {"12h", NOW_MS + 43200000},
        {"90d", NOW_MS + INT64_C(7776000000)},
        {"0s", NOW_MS},
        {"2023-02-29", -1},
        {"2026-13-01", -1},
        {"2026-06-31", -1},
        {"2026-12-31T23:59:59", -1},
        {"2026-12-31T23:59:59Zx", -1},
        {"2026-12-31 23:59:59Z", -1},
        {"1969-12-31", -1},
        {"", -1},
        {"90", -1},
        {"90w", -1},
        {"90dd", -1},
        {"-1d", -1},
        {"99999999999999999999d", -1},
        {"9999999999d", -1},
        {"tomorrow", -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_info err = ERR_INFO_INIT;
        int64_t got = -1;
        enum err rc = time_parse(&got, "expires", rows[i].text, NOW_MS, &err);
        if (rc != (rows[i].want < 0 ? ERR_INVALID : ERR_OK) || (!rc && got != rows[i].want))
            fail_msg("\"%s\": %lld, %s", rows[i].text, (long long)got, err.message);
        if (rc && !strstr(err.message, "expires is")) fail_msg("%s", err.message);
    }
}

static void shows(void **state)
{
    static const struct {
        int64_t ms;
        const char *want;
    } rows[] = {
        {1, "1970-01-01T00:00:00.001Z"},
        {INT64_C(1798761599123), "2026-12-31T23:59:59.123Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *j = time_json(rows[i].ms);
        assert_string_equal(json_string_value(j), rows[i].want);
        json_decref(j);
    }
    assert_true(json_is_null(time_json(0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parses), cmocka_unit_test(shows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
