#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/api.h"

#include <stdlib.h>
#include <string.h>

static const char SECRET[] =
    "visavis_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const struct route closed = {"GET", "/v1/models", ROUTE_READ, 0, NULL},
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

static const char COLLECTION[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C",
                  OTHER[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0D";

static struct store_key *made(size_t n)
{
    struct store_key *keys = calloc(n, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        snprintf(keys[i].id.s, sizeof keys[i].id.s, "%026zu", i);
        keys[i].right = KEY_ADMIN;
    }
    return keys;
}

static void table(void **state)
{
    struct store_key *keys = made(2);
    struct app app = {0};
    (void)state;
    keyring_init(&app.keyring);
    key_hash(keys[0].hash, SECRET);
    key_hash(keys[1].hash, "visavis_revoked");
    keys[1].revoked_ms = 1;
    assert_int_equal(keyring_set(&app.keyring, keys, 2, NULL), ERR_OK);
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
        struct reply rp = REPLY_INIT;
        struct err_info err = ERR_INFO_INIT;
        app.loopback = rows[i].loopback;
        app.require_key = rows[i].require_key;
        enum err rc = app_authorize(&app, &rq, &rp, rows[i].route, &err);
        if (rc != rows[i].want) fail_msg("%s: %s (%s)", rows[i].name, err_name(rc), err.message);
        if (strstr(err.message, "visavis_0")) fail_msg("%s: the message has the key", rows[i].name);
        bool keyed = !rc && (a || rows[i].api_key) && rows[i].route == &closed;
        if (strcmp(rq.principal, keyed ? keys[0].id.s : "local") != 0)
            fail_msg("%s: principal %s", rows[i].name, rq.principal);
    }
    keyring_release(&app.keyring);
}

enum { READ_ALL, WRITE_ALL, ADMIN_ALL, READ_ONE, ADMIN_ONE, KEYS };

static const struct right_row {
    const char *name;
    unsigned flags; /* of the route */
    const char *path;
    const char *collection; /* {c} */
    enum err want[KEYS];
} right_rows[] = {
    {"stateless",
     ROUTE_READ | ROUTE_STATELESS,
     "/v1/verify",
     NULL,
     {ERR_OK, ERR_OK, ERR_OK, ERR_OK, ERR_OK}},
    {"read of all",
     ROUTE_READ,
     "/v1/collections",
     NULL,
     {ERR_OK, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN}},
    {"write of all",
     ROUTE_WRITE,
     "/v1/collections",
     NULL,
     {ERR_FORBIDDEN, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN}},
    {"admin",
     0,
     "/v1/keys",
     NULL,
     {ERR_FORBIDDEN, ERR_FORBIDDEN, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN}},
    {"its own by id",
     ROUTE_READ,
     "/v1/collections/{c}/identities",
     COLLECTION,
     {ERR_OK, ERR_OK, ERR_OK, ERR_OK, ERR_OK}},
    {"its own by name",
     ROUTE_WRITE,
     "/v1/collections/{c}/identities",
     "cast",
     {ERR_FORBIDDEN, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_OK}},
    {"its own, admin",
     0,
     "/v1/collections/{c}",
     "cast",
     {ERR_FORBIDDEN, ERR_FORBIDDEN, ERR_OK, ERR_FORBIDDEN, ERR_OK}},
    {"another by id",
     ROUTE_READ,
     "/v1/collections/{c}",
     OTHER,
     {ERR_OK, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN}},
    {"another by name",
     ROUTE_READ,
     "/v1/collections/{c}",
     "Cast",
     {ERR_OK, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN}},
    {"another parameter",
     ROUTE_READ,
     "/v1/jobs/{c}",
     COLLECTION,
     {ERR_OK, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN}},
};

static void ring_of_rights(struct app *app)
{
    static const enum key_right of[KEYS] = {KEY_READ, KEY_WRITE, KEY_ADMIN, KEY_READ, KEY_ADMIN};
    struct store_key *keys = made(KEYS);
    char secret[12];
    keyring_init(&app->keyring);
    for (int i = 0; i < KEYS; i++) {
        snprintf(secret, sizeof secret, "%d", i);
        key_hash(keys[i].hash, secret);
        keys[i].right = of[i];
        if (i < READ_ONE) continue;
        strcpy(keys[i].collection, COLLECTION);
        strcpy(keys[i].collection_name, "cast");
    }
    assert_int_equal(keyring_set(&app->keyring, keys, KEYS, NULL), ERR_OK);
}

static void rights_and_scopes(void **state)
{
    struct app app = {0};
    (void)state;
    ring_of_rights(&app);
    for (size_t i = 0; i < ARRAY_LEN(right_rows); i++)
        for (int k = 0; k < KEYS; k++) {
            const struct right_row *r = &right_rows[i];
            const struct route route = {"GET", r->path, r->flags, 0, NULL};
            char secret[12];
            snprintf(secret, sizeof secret, "%d", k);
            struct request rq = {.api_key = secret, .arena = ARENA_INIT(1000)};
            struct reply rp = REPLY_INIT;
            struct err_info err = ERR_INFO_INIT;
            if (r->collection) rq.param[rq.n_params++] = (struct pair){"c", r->collection};
            enum err rc = app_authorize(&app, &rq, &rp, &route, &err);
            if (rc != r->want[k])
                fail_msg("%s, key %d: %s (%s)", r->name, k, err_name(rc), err.message);
            if (rc && !rp.n_details) fail_msg("%s, key %d: no details", r->name, k);
            assert_string_equal(rq.scope, k < READ_ONE ? "" : COLLECTION);
            arena_release(&rq.arena);
        }
    keyring_release(&app.keyring);
}

/* A collection may be called like another's id; that name opens nothing. */
static void a_name_like_an_id(void **state)
{
    const struct route route = {"GET", "/v1/collections/{c}", ROUTE_READ, 0, NULL};
    struct app app = {0};
    struct request rq = {
        .api_key = "4", .param = {{"c", OTHER}}, .n_params = 1, .arena = ARENA_INIT(1000)};
    struct reply rp = REPLY_INIT;
    struct err_info err;
    (void)state;
    ring_of_rights(&app);
    strcpy(app.keyring.keys[ADMIN_ONE].collection_name, OTHER);
    assert_int_equal(app_authorize(&app, &rq, &rp, &route, &err), ERR_FORBIDDEN);
    arena_release(&rq.arena);
    keyring_release(&app.keyring);
}

/* What the handler is given names the collection for good. */
static void a_name_becomes_an_id(void **state)
{
    const struct route route = {"GET", "/v1/collections/{c}", ROUTE_READ, 0, NULL};
    struct app app = {0};
    struct reply rp = REPLY_INIT;
    struct err_info err;
    (void)state;
    ring_of_rights(&app);
    struct request scoped = {.api_key = "3", .param = {{"c", "cast"}}, .n_params = 1},
                   all = {.api_key = "0", .param = {{"c", "cast"}}, .n_params = 1};
    assert_int_equal(app_authorize(&app, &scoped, &rp, &route, &err), ERR_OK);
    assert_string_equal(request_param(&scoped, "c"), COLLECTION);
    assert_int_equal(app_authorize(&app, &all, &rp, &route, &err), ERR_OK);
    assert_string_equal(request_param(&all, "c"), "cast");
    keyring_release(&app.keyring);
}

static void over_its_rate(void **state)
{
    const struct route route = {"GET", "/v1/models", ROUTE_READ | ROUTE_STATELESS, 0, NULL};
    struct app app = {0};
    struct request rq = {.api_key = "0", .arena = ARENA_INIT(1000)};
    struct reply rp = REPLY_INIT;
    struct err_info err;
    (void)state;
    ring_of_rights(&app);
    app.keyring.keys[READ_ALL].rate = 1;
    assert_int_equal(app_authorize(&app, &rq, &rp, &route, &err), ERR_OK);
    assert_int_equal(app_authorize(&app, &rq, &rp, &route, &err), ERR_RATE);
    assert_int_equal(rp.n_headers, 1);
    assert_string_equal(rp.header[0].key, "Retry-After");
    int wait_s = atoi(rp.header[0].value);
    assert_true(wait_s >= 1 && wait_s <= 60);
    arena_release(&rq.arena);
    keyring_release(&app.keyring);
}

/* Each route says who may use it; those without a right are for admins, and must be meant so. */
static void every_route(void **state)
{
    static const char *const admin[] = {"/v1/keys", "/v1/keys/{key}", "/v1/audit",
                                        "/v1/admin/backup"};
    (void)state;
    for (size_t i = 0; i < api_n_routes; i++) {
        const struct route *r = &api_routes[i];
        const unsigned rights = r->flags & (ROUTE_READ | ROUTE_WRITE | ROUTE_OPEN);
        bool meant = false;
        for (size_t k = 0; k < ARRAY_LEN(admin); k++) meant |= !strcmp(admin[k], r->path);
        if (!rights && !meant) fail_msg("%s %s names no right", r->method, r->path);
        if (rights && meant) fail_msg("%s %s is for admins", r->method, r->path);
        if (rights & (rights - 1)) fail_msg("%s %s names two rights", r->method, r->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(rights_and_scopes),
        cmocka_unit_test(over_its_rate),
        cmocka_unit_test(a_name_like_an_id),
        cmocka_unit_test(a_name_becomes_an_id),
        cmocka_unit_test(every_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
