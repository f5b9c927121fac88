#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/store/audit.h"
#include "tests/unit/store_dir.h"

#include <nettle/sha2.h>

static void add(struct store_tx *tx, const char *who, const char *action)
{
    const struct store_audit a = {
        .who = who, .action = action, .collection = "", .target = "T", .request = "R"};
    struct err_info err = ERR_INFO_INIT;
    must(store_audit_add(tx, &a, &err), &err);
}

static struct store_tx with_entries(int n)
{
    store_close(open_store());
    struct store_tx tx = begin_tx();
    for (int i = 0; i < n; i++) add(&tx, AUDIT_LOCAL, i % 2 ? "key.revoke" : "key.create");
    return tx;
}

static enum err collect(void *self, const struct store_audit *a, struct err_info *err)
{
    char *text = self;
    (void)err;
    sprintf(text + strlen(text), "%lld ", (long long)a->seq);
    return ERR_OK;
}

static void in_both_orders(void **state)
{
    static const struct {
        int64_t from;
        bool newest;
        int limit;
        const char *want;
    } rows[] = {
        {0, true, 3, "7 6 5 "},  {5, true, 3, "4 3 2 "}, {2, true, 3, "1 "}, {1, true, 3, ""},
        {0, false, 3, "1 2 3 "}, {5, false, 9, "6 7 "},  {7, false, 9, ""},
    };
    (void)state;
    struct store_tx tx = with_entries(7);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[100] = "";
        assert_int_equal(
            store_audit_list(&tx, rows[i].from, rows[i].newest, rows[i].limit, collect, text, NULL),
            ERR_OK);
        assert_string_equal(text, rows[i].want);
    }
    roll_back_tx(&tx);
}

/* The text that the header promises, hashed apart. */
static enum err first_hash(void *self, const struct store_audit *a, struct err_info *err)
{
    uint8_t zeros[AUDIT_HASH_BYTES] = {0}, want[AUDIT_HASH_BYTES];
    char text[200];
    struct sha256_ctx c;
    (void)self, (void)err;
    int n =
        snprintf(text, sizeof text, "1\n%lld\nlocal\nkey.create\n\nT\nR\n", (long long)a->at_ms);
    sha256_init(&c);
    sha256_update(&c, sizeof zeros, zeros);
    sha256_update(&c, (size_t)n, (const uint8_t *)text);
    sha256_digest(&c, sizeof want, want);
    assert_memory_equal(a->hash, want, sizeof want);
    return ERR_OK;
}

static void the_hash_is_what_is_said(void **state)
{
    (void)state;
    struct store_tx tx = with_entries(1);
    assert_int_equal(store_audit_list(&tx, 0, false, 1, first_hash, NULL, NULL), ERR_OK);
    roll_back_tx(&tx);
}

static void an_untouched_log_is_whole(void **state)
{
    struct store_audit_chain chain;
    (void)state;
    struct store_tx tx = with_entries(0);
    assert_int_equal(store_audit_verify(&chain, &tx, NULL), ERR_OK);
    assert_int_equal(chain.broken_at, 0);
    assert_int_equal(chain.entries, 0);
    for (int i = 0; i < 20; i++) add(&tx, "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C", "identity.create");
    assert_int_equal(store_audit_verify(&chain, &tx, NULL), ERR_OK);
    assert_int_equal(chain.broken_at, 0);
    assert_int_equal(chain.entries, 20);
    assert_string_equal(chain.why, "");
    roll_back_tx(&tx);
}

static void what_was_touched_is_found(void **state)
{
    static const struct {
        const char *name, *sql;
        int64_t broken_at;
    } rows[] = {
        {"who", "UPDATE audit SET who = 'x' WHERE seq = 4", 4},
        {"action", "UPDATE audit SET action = 'key.creatf' WHERE seq = 1", 1},
        {"target", "UPDATE audit SET target = '' WHERE seq = 7", 7},
        {"collection", "UPDATE audit SET collection = 'T' WHERE seq = 5", 5},
        {"request", "UPDATE audit SET request = '' WHERE seq = 5", 5},
        {"time", "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2", 2},
        {"hash", "UPDATE audit SET hash = zeroblob(32) WHERE seq = 3", 3},
        {"moved text", "UPDATE audit SET target = 'TR', request = '' WHERE seq = 3", 3},
        {"removed", "DELETE FROM audit WHERE seq = 4", 5},
        {"first removed", "DELETE FROM audit WHERE seq = 1", 2},
        {"last removed", "DELETE FROM audit WHERE seq = 7", 7},
        {"all removed", "DELETE FROM audit", 1},
        {"renumbered", "UPDATE audit SET seq = seq + 1 WHERE seq = 7", 8},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_audit_chain chain;
        struct store_tx tx = with_entries(7);
        assert_int_equal(store__run(NULL, &tx, rows[i].sql, NULL, NULL), ERR_OK);
        assert_int_equal(store_audit_verify(&chain, &tx, NULL), ERR_OK);
        if (chain.broken_at != rows[i].broken_at || !*chain.why)
            fail_msg("%s: at %lld, %s", rows[i].name, (long long)chain.broken_at, chain.why);
        roll_back_tx(&tx);
    }
}

static void control_characters_are_refused(void **state)
{
    const struct store_audit a = {
        .who = "local", .action = "x\ny", .collection = "", .target = "", .request = ""};
    struct err_info err;
    (void)state;
    struct store_tx tx = with_entries(0);
    assert_int_equal(store_audit_add(&tx, &a, &err), ERR_INTERNAL);
    roll_back_tx(&tx);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(in_both_orders),
        IN_A_FOLDER(the_hash_is_what_is_said),
        IN_A_FOLDER(an_untouched_log_is_whole),
        IN_A_FOLDER(what_was_touched_is_found),
        IN_A_FOLDER(control_characters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
