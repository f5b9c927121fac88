#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/api/write.h"
#include "server/store/audit.h"
#include "tests/unit/store_dir.h"

#include <pthread.h>

static struct app app;

static int open_app(void **state)
{
    if (make_store_dir(state)) return -1;
    memset(&app, 0, sizeof app);
    pthread_mutex_init(&app.reload, NULL);
    keyring_init(&app.keyring);
    app.store = open_store();
    return 0;
}

static int close_app(void **state)
{
    store_close(app.store);
    keyring_release(&app.keyring);
    pthread_mutex_destroy(&app.reload);
    return remove_store_dir(state);
}

/* A change: a collection of this name. */
struct change {
    const char *name;
    enum err fails; /* after the change */
    int runs;
    bool secret, empty; /* the answer has a secret; has no body */
};

static enum err run(struct store_tx *tx, void *self, struct write_answer *a, struct err_info *err)
{
    struct change *c = self;
    const struct store_collection wanted = test_collection(c->name);
    struct ulid id;
    int64_t row;
    enum err rc = store_collection_add(&row, &id, tx, &wanted, err);

    c->runs++;
    if (rc) return rc;
    a->status = c->empty ? 204 : 201;
    if (!c->empty) a->body = json_pack("{s:s, s:s}", "id", id.s, "secret", "hush");
    if (c->secret) a->kept = json_pack("{s:s}", "id", id.s);
    memcpy(a->collection, id.s, sizeof a->collection);
    snprintf(a->etag, sizeof a->etag, "\"%d\"", c->runs);
    return c->fails ? err_set(err, c->fails, "it was not to be") : ERR_OK;
}

/* A request and its answer. */
struct call {
    struct request rq;
    struct reply rp;
    struct err_info err;
    enum err rc;
};

static struct call of(const char *principal, const char *key, const char *body)
{
    struct call c = {.rq = {.method = "POST",
                            .path = "/v1/collections",
                            .idempotency_key = key,
                            .body = (const uint8_t *)body,
                            .body_len = strlen(body),
                            .arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES)},
                     .rp = REPLY_INIT};
    ulid_make(&c.rq.id);
    snprintf(c.rq.principal, sizeof c.rq.principal, "%s", principal);
    return c;
}

static void send(struct call *c, struct change *change)
{
    const struct write w = {"collection.create", run, change};
    c->rc = write_run(&app, &c->rq, &c->rp, &w, &c->err);
}

static void done(struct call *c)
{
    reply_release(&c->rp);
    arena_release(&c->rq.arena);
}

static const char *header(const struct call *c, const char *name)
{
    for (int i = 0; i < c->rp.n_headers; i++)
        if (!strcmp(c->rp.header[i].key, name)) return c->rp.header[i].value;
    return "";
}

static enum err count_job(struct store_tx *tx, void *self, struct err_info *err)
{
    return store__ints(self, 3, NULL, tx,
                       "SELECT (SELECT count(*) FROM collections), (SELECT count(*) FROM audit), "
                       "(SELECT count(*) FROM answers)",
                       NULL, err);
}

static void expect(int64_t collections, int64_t audit, int64_t answers)
{
    int64_t n[3];
    assert_int_equal(store_read(app.store, count_job, n, NULL), ERR_OK);
    assert_int_equal(n[0], collections);
    assert_int_equal(n[1], audit);
    assert_int_equal(n[2], answers);
}

static enum err check_entry(void *self, const struct store_audit *a, struct err_info *err)
{
    const struct call *c = self;
    if (strcmp(a->who, "local") || strcmp(a->action, "collection.create") ||
        strcmp(a->request, c->rq.id.s) || !ulid_valid(a->collection))
        return err_set(err, ERR_INTERNAL, "%s %s %s", a->who, a->action, a->request);
    return ERR_OK;
}

static enum err check_audit(struct store_tx *tx, void *self, struct err_info *err)
{
    return store_audit_list(tx, 0, false, 10, check_entry, self, err);
}

static void a_change_and_its_entry(void **state)
{
    struct change change = {.name = "a"};
    struct call c = of("local", NULL, "{}");
    (void)state;
    send(&c, &change);
    assert_int_equal(c.rc, ERR_OK);
    assert_int_equal(c.rp.status, 201);
    assert_string_equal(header(&c, "ETag"), "\"1\"");
    assert_string_equal(header(&c, "Idempotency-Replayed"), "");
    expect(1, 1, 0);
    assert_int_equal(store_read(app.store, check_audit, &c, &c.err), ERR_OK);
    done(&c);
}

static void the_same_answer_again(void **state)
{
    struct change change = {.name = "a"};
    struct call first = of("local", "key 1", "{}"), again = of("local", "key 1", "{}"),
                asked = of("local", "key 1", "{}");
    bool replayed = false;
    (void)state;
    assert_int_equal(write_replay(&replayed, &app, &first.rq, &first.rp, &first.err), ERR_OK);
    assert_false(replayed);
    send(&first, &change);
    assert_int_equal(first.rc, ERR_OK);
    send(&again, &change);
    assert_int_equal(again.rc, ERR_OK);
    assert_int_equal(write_replay(&replayed, &app, &asked.rq, &asked.rp, &asked.err), ERR_OK);
    assert_true(replayed);
    assert_int_equal(change.runs, 1);
    expect(1, 1, 1);
    struct call *const others[] = {&again, &asked};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(others[i]->rp.status, 201);
        assert_int_equal(others[i]->rp.len, first.rp.len);
        assert_memory_equal(others[i]->rp.owned, first.rp.owned, first.rp.len);
        assert_string_equal(header(others[i], "ETag"), "\"1\"");
        assert_string_equal(header(others[i], "Idempotency-Replayed"), "true");
        done(others[i]);
    }
    done(&first);
}

static void another_request_with_the_key(void **state)
{
    struct change change = {.name = "a"};
    struct call first = of("local", "k", "{}");
    (void)state;
    send(&first, &change);
    assert_int_equal(first.rc, ERR_OK);
    for (int i = 0; i < 6; i++) {
        struct call c = of("local", "k", i == 0 ? "{ }" : "{}");
        bool replayed = true;
        if (i == 1) c.rq.method = "PUT";
        if (i == 2) c.rq.path = "/v1/collection";
        if (i == 3) c.rq.query[c.rq.n_query++] = (struct pair){"a", ""};
        if (i == 4)
            c.rq.part[c.rq.n_parts++] = (struct part){"image", (const uint8_t *)"x", 1, NULL};
        if (i == 5) c.rq.body_len = 0;
        send(&c, &change);
        if (c.rc != ERR_CONFLICT) fail_msg("%d: %s", i, err_name(c.rc));
        assert_int_equal(write_replay(&replayed, &app, &c.rq, &c.rp, &c.err), ERR_CONFLICT);
        assert_false(replayed);
        done(&c);
    }
    /* another principal's is another key */
    struct call other = of("01J9ZK3V5T8Q2W4X6Y7Z8A9B0C", "k", "{ }");
    change.name = "b";
    send(&other, &change);
    assert_int_equal(other.rc, ERR_OK);
    expect(2, 2, 2);
    done(&other);
    done(&first);
}

static void parts_are_told_apart(void **state)
{
    struct change change = {.name = "a"};
    struct call c[2] = {of("local", "k", ""), of("local", "k", "")};
    (void)state;
    c[0].rq.part[0] = (struct part){"a", (const uint8_t *)"bc", 2, NULL};
    c[1].rq.part[0] = (struct part){"ab", (const uint8_t *)"c", 1, NULL};
    for (int i = 0; i < 2; i++) {
        c[i].rq.n_parts = 1;
        send(&c[i], &change);
    }
    assert_int_equal(c[0].rc, ERR_OK);
    assert_int_equal(c[1].rc, ERR_CONFLICT);
    done(&c[0]);
    done(&c[1]);
}

static void an_error_leaves_nothing(void **state)
{
    struct change change = {.name = "a", .fails = ERR_PRECONDITION};
    struct call c = of("local", "k", "{}"), again = of("local", "k", "{}");
    (void)state;
    send(&c, &change);
    assert_int_equal(c.rc, ERR_PRECONDITION);
    expect(0, 0, 0);
    change.fails = ERR_OK; /* the key is not used up */
    send(&again, &change);
    assert_int_equal(again.rc, ERR_OK);
    expect(1, 1, 1);
    done(&c);
    done(&again);
}

static void another_scope(void **state)
{
    struct change change = {.name = "a"};
    struct call c = of("local", NULL, "{}");
    (void)state;
    strcpy(c.rq.scope, "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C");
    send(&c, &change);
    assert_int_equal(c.rc, ERR_FORBIDDEN);
    expect(0, 0, 0);
    done(&c);
}

static enum err find_secret(struct store_tx *tx, void *self, struct err_info *err)
{
    return store__ints(self, 1, NULL, tx,
                       "SELECT count(*) FROM answers WHERE instr(body, CAST('hush' AS BLOB))", NULL,
                       err);
}

static void a_secret_is_not_kept(void **state)
{
    struct change change = {.name = "a", .secret = true};
    struct call first = of("local", "k", "{}"), again = of("local", "k", "{}");
    int64_t n = -1;
    (void)state;
    send(&first, &change);
    send(&again, &change);
    assert_int_equal(first.rc, ERR_OK);
    assert_int_equal(again.rc, ERR_OK);
    assert_non_null(strstr((const char *)first.rp.owned, "hush"));
    assert_null(strstr((const char *)again.rp.owned, "hush"));
    assert_non_null(strstr((const char *)again.rp.owned, "\"id\""));
    assert_int_equal(store_read(app.store, find_secret, &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
    done(&first);
    done(&again);
}

static void an_answer_without_a_body(void **state)
{
    struct change change = {.name = "a", .empty = true};
    struct call first = of("local", "k", "{}"), again = of("local", "k", "{}");
    (void)state;
    send(&first, &change);
    send(&again, &change);
    assert_int_equal(first.rp.status, 204);
    assert_int_equal(again.rp.status, 204);
    assert_int_equal(first.rp.len, 0);
    assert_int_equal(again.rp.len, 0);
    assert_null(again.rp.content_type);
    assert_int_equal(change.runs, 1);
    done(&first);
    done(&again);
}

static void bad_keys(void **state)
{
    char longest[202];
    const char *const keys[] = {"", "a\tb", "a\x7f", "\xc3\xa4", longest};
    struct change change = {.name = "a"};
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[201] = 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct call c = of("local", keys[i], "{}");
        bool replayed = true;
        send(&c, &change);
        if (c.rc != ERR_INVALID) fail_msg("%zu: %s", i, err_name(c.rc));
        assert_int_equal(write_replay(&replayed, &app, &c.rq, &c.rp, &c.err), ERR_INVALID);
        done(&c);
    }
    longest[200] = 0;
    struct call c = of("local", longest, "{}");
    send(&c, &change);
    assert_int_equal(c.rc, ERR_OK);
    done(&c);
}

static enum err forget_job(struct store_tx *tx, void *self, struct err_info *err)
{
    struct store_receipt r = {0};
    (void)self;
    return store_erase_collection(&r, tx, 1, err);
}

static void what_was_erased_does_not_come_back(void **state)
{
    struct change change = {.name = "a"};
    struct call first = of("local", "k", "{}"), again = of("local", "k", "{}");
    (void)state;
    send(&first, &change);
    assert_int_equal(store_write(app.store, forget_job, NULL, NULL), ERR_OK);
    send(&again, &change);
    assert_int_equal(again.rc, ERR_CONFLICT);
    assert_non_null(strstr(again.err.message, "erased"));
    expect(0, 1, 1);
    done(&first);
    done(&again);
}

static void *send_same(void *self)
{
    send(self, &(struct change){.name = "same"});
    return NULL;
}

/* Eight at once: one changes something, and all get its answer. */
static void at_once(void **state)
{
    struct call c[8];
    pthread_t t[8];
    (void)state;
    for (int i = 0; i < 8; i++) c[i] = of("local", "k", "{}");
    for (int i = 0; i < 8; i++) assert_int_equal(pthread_create(&t[i], NULL, send_same, &c[i]), 0);
    for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 8; i++) {
        if (c[i].rc) fail_msg("%s", c[i].err.message);
        assert_int_equal(c[i].rp.len, c[0].rp.len);
        assert_memory_equal(c[i].rp.owned, c[0].rp.owned, c[0].rp.len);
    }
    expect(1, 1, 1);
    for (int i = 0; i < 8; i++) done(&c[i]);
}

#define WITH_AN_APP(test) cmocka_unit_test_setup_teardown(test, open_app, close_app)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AN_APP(a_change_and_its_entry),
        WITH_AN_APP(the_same_answer_again),
        WITH_AN_APP(another_request_with_the_key),
        WITH_AN_APP(parts_are_told_apart),
        WITH_AN_APP(an_error_leaves_nothing),
        WITH_AN_APP(another_scope),
        WITH_AN_APP(a_secret_is_not_kept),
        WITH_AN_APP(an_answer_without_a_body),
        WITH_AN_APP(bad_keys),
        WITH_AN_APP(what_was_erased_does_not_come_back),
        WITH_AN_APP(at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
