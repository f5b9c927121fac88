#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "server/store/keys.h"
#include "server/store/migrate.h"
#include "tests/unit/store_dir.h"

static void in_order_and_whole(void **state)
{
    static const struct migration wrong[] = {{1, "0001_a.sql", "CREATE TABLE a (x) STRICT;"},
                                             {0, 0, 0}};
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    int newest = 0;
    while (store_migrations[newest].version) {
        assert_int_equal(store_migrations[newest].version, newest + 1);
        newest++;
    }
    store_close(open_store());
    struct store_tx tx = begin_tx();
    assert_int_equal(one(&tx, "PRAGMA user_version"), newest);
    roll_back_tx(&tx);
    tx = begin_tx();
    sqlite3 *db = tx.conn->db;
    must(store__run(NULL, &tx, "ROLLBACK", NULL, &err), &err);
    /* again: nothing to do */
    must(store__migrate(db, store_migrations, &err), &err);
    /* one that does not apply leaves everything as it was: STRICT wants types */
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 0", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(store__migrate(db, wrong, &err), ERR_IO);
    assert_non_null(strstr(err.message, "0001_a.sql"));
    assert_true(sqlite3_get_autocommit(db));
    /* a database of the future */
    char pragma[60];
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", newest + 1);
    assert_int_equal(sqlite3_exec(db, pragma, NULL, NULL, NULL), SQLITE_OK);
    store__conn_close(tx.conn);
    struct store *again = NULL;
    assert_int_equal(store_open(&again, store_dir, &err), ERR_CONFLICT);
    assert_null(again);
    assert_non_null(strstr(err.message, "newer one; start that one"));
}

/* All that sqlite_schema says, one line an object. */
static char *schema(void)
{
    struct err_info err = ERR_INFO_INIT;
    struct buf b = BUF_INIT(1 << 20);
    struct store_tx tx = begin_tx();
    sqlite3_stmt *st = NULL;
    bool row = false;
    must(store__query(&st, &tx,
                      "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '')"
                      " FROM sqlite_schema ORDER BY type, name",
                      NULL, &err),
         &err);
    for (;;) {
        must(store__step(&row, st, &err), &err);
        if (!row) break;
        must(buf_printf(&b, &err, "%s\n", store__text(st, 0)), &err);
    }
    store__end(st);
    roll_back_tx(&tx);
    return (char *)buf_take(&b);
}

/* tests/fixtures has a small database of every released version. */
static void old_databases_become_new_ones(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    int tried = 0;
    store_close(open_store());
    char *fresh = schema();
    remove_store_dir(NULL);
    for (int v = 1; store_migrations[v - 1].version; v++) {
        struct buf b = BUF_INIT(1 << 20);
        char from[100], to[100];
        snprintf(from, sizeof from, "tests/fixtures/visavis-%04d.db", v);
        if (access(from, R_OK) != 0) continue; /* not released */
        must(buf_read_file(&b, from, &err), &err);
        make_store_dir(NULL);
        snprintf(to, sizeof to, "%s/visavis.db", store_dir);
        FILE *f = fopen(to, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
        assert_int_equal(fclose(f), 0);
        buf_release(&b);

        store_close(open_store());
        struct store_tx tx = begin_tx();
        struct store_key *keys = NULL;
        size_t n = 0;
        must(store_key_list(&keys, &n, &tx, &err), &err);
        assert_int_equal(n, 2);
        assert_string_equal(keys[0].name, "door");
        assert_string_equal(keys[1].name, "ünï '\"--");
        assert_int_equal(keys[0].revoked_ms, 0);
        assert_true(keys[1].revoked_ms > keys[1].created_ms);
        assert_int_equal(keys[0].right, KEY_ADMIN); /* before keys could be limited */
        assert_string_equal(keys[0].collection, "");
        assert_true(key_valid(&keys[0], tx.now_ms));
        free(keys);
        roll_back_tx(&tx);
        char *migrated = schema();
        assert_string_equal(migrated, fresh);
        free(migrated);
        remove_store_dir(NULL);
        tried++;
    }
    assert_true(tried >= 1);
    free(fresh);
    make_store_dir(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {T(in_order_and_whole), T(old_databases_become_new_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
