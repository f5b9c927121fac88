#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/app.h"

#include <string.h>

static const char SECRET[] =
    "visavis_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const struct route closed = {"GET", "/v1/models", 0, 0, NULL},
                          open = {"GET", "/", ROUTE_OPEN, 0, NULL};

static const struct {
    const char *name;
    bool loopback, require_key;
    const struct route *route;
    const char *host, *origin, *authorization, *api_key;
    bool forwarded;
    enum err want;
} rows[] = {
    {"local", true, false, &closed, "localhost:8080", NULL, NULL, NULL, false, ERR_OK},
    {"local, no Host", true, false, &closed, NULL, NULL, NULL, NULL, false, ERR_OK},
    {"local page", true, false, &closed, "[::1]:8080", "http://127.0.0.1:3000", NULL, NULL, false,
     ERR_OK},
    {"rebound name", true, false, &closed, "evil.example", NULL, NULL, NULL, false, ERR_FORBIDDEN},
    {"foreign page", true, false, &closed, "localhost", "https://evil.example", NULL, NULL, false,
     ERR_FORBIDDEN},
    {"page without origin", true, false, &closed, "localhost", "null", NULL, NULL, false,
     ERR_FORBIDDEN},
    {"empty Host", true, false, &closed, "", NULL, NULL, NULL, false, ERR_FORBIDDEN},
    {"Host with a user", true, false, &closed, "localhost@evil.example", NULL, NULL, NULL, false,
     ERR_FORBIDDEN},
    {"Host 127.", true, false, &closed, "127.evil.example", NULL, NULL, NULL, false, ERR_FORBIDDEN},
    {"open bracket", true, false, &closed, "[::1", NULL, NULL, NULL, false, ERR_FORBIDDEN},
    {"behind a proxy", true, false, &closed, "localhost", NULL, NULL, NULL, true, ERR_UNAUTHORIZED},
    {"behind a proxy with a key", true, false, &closed, "evil.example", NULL, NULL, SECRET, true,
     ERR_OK},
    {"local, key wanted", true, true, &closed, "localhost", NULL, NULL, NULL, false,
     ERR_UNAUTHORIZED},
    {"local, wrong key", true, false, &closed, "localhost", NULL, NULL, "x", false,
     ERR_UNAUTHORIZED},
    {"beyond, no key", false, false, &closed, "localhost", NULL, NULL, NULL, false,
     ERR_UNAUTHORIZED},
    {"beyond, key", false, false, &closed, "a.example", NULL, NULL, SECRET, false, ERR_OK},
    {"beyond, revoked key", false, false, &closed, "a.example", NULL, NULL, "visavis_revoked",
     false, ERR_UNAUTHORIZED},
    {"beyond, empty key", false, false, &closed, "a.example", NULL, NULL, "", false,
     ERR_UNAUTHORIZED},
    {"bearer", false, false, &closed, "a.example", NULL, "Bearer %", NULL, false, ERR_OK},
    {"bearer, two spaces", false, false, &closed, "a.example", NULL, "bearer  %", NULL, false,
     ERR_OK},
    {"bearer, more behind", false, false, &closed, "a.example", NULL, "Bearer % x", NULL, false,
     ERR_UNAUTHORIZED},
    {"basic", false, false, &closed, "a.example", NULL, "Basic %", NULL, false, ERR_UNAUTHORIZED},
    {"open route", false, false, &open, "a.example", "https://b.example", NULL, NULL, true, ERR_OK},
};

static void table(void **state)
{
    struct store_key keys[2] = {{.name = "good"}, {.name = "revoked", .revoked_ms = 1}};
    struct app app = {.keys = keys, .n_keys = 2};
    (void)state;
    pthread_rwlock_init(&app.keys_lock, NULL);
    key_hash(keys[0].hash, SECRET);
    key_hash(keys[1].hash, "visavis_revoked");
    assert_int_equal(app_valid_keys(&app), 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char authorization[200] = "";
        const char *a = rows[i].authorization, *percent = a ? strchr(a, '%') : NULL;
        if (a)
            snprintf(authorization, sizeof authorization, "%.*s%s%s", (int)(percent - a), a, SECRET,
                     percent + 1);
        struct request rq = {.host = rows[i].host,
                             .origin = rows[i].origin,
                             .authorization = a ? authorization : NULL,
                             .api_key = rows[i].api_key,
                             .forwarded = rows[i].forwarded};
        struct err_info err = ERR_INFO_INIT;
        app.loopback = rows[i].loopback;
        app.require_key = rows[i].require_key;
        enum err rc = app_authorize(&app, &rq, rows[i].route, &err);
        if (rc != rows[i].want) fail_msg("%s: %s (%s)", rows[i].name, err_name(rc), err.message);
        if (strstr(err.message, "visavis_0")) fail_msg("%s: the message has the key", rows[i].name);
    }
    pthread_rwlock_destroy(&app.keys_lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
