#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/store/keys.h"
#include "tests/unit/store_dir.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct store_key add_key(struct store_tx *tx, char secret[KEY_SECRET_MAX_BYTES],
                                const struct store_key_wish *wish)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_key k;
    must(store_key_add(&k, secret, tx, wish, &err), &err);
    return k;
}

static const struct store_key_wish plain = {.name = "", .collection = "", .right = KEY_ADMIN};

static void a_key_lives_and_dies(void **state)
{
    const struct store_key_wish door = {.name = "door", .collection = "", .right = KEY_READ};
    struct store_key revoked, *list = NULL;
    char secret[KEY_SECRET_MAX_BYTES], other[KEY_SECRET_MAX_BYTES];
    size_t n = 1;
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    assert_int_equal(store_key_list(&list, &n, &tx, NULL), ERR_OK);
    assert_int_equal(n, 0);
    assert_null(list);
    struct store_key made = add_key(&tx, secret, &door);
    assert_int_equal(strlen(secret), strlen("visavis_") + 64);
    add_key(&tx, other, &plain);
    assert_string_not_equal(secret, other);
    assert_int_equal(store_key_list(&list, &n, &tx, NULL), ERR_OK);
    assert_int_equal(n, 2);
    size_t at = key_find(list, n, secret);
    assert_true(at < n && key_find(list, n, other) == 1 - at);
    assert_string_equal(list[at].name, "door");
    assert_string_equal(list[at].id.s, made.id.s);
    assert_int_equal(list[at].right, KEY_READ);
    assert_int_equal(key_find(list, n, "visavis_"), n);
    assert_int_equal(key_find(list, n, ""), n);
    assert_int_equal(key_find(list, 0, secret), 0);
    secret[20] ^= 1;
    assert_int_equal(key_find(list, n, secret), n);
    assert_true(key_valid(&list[at], tx.now_ms));
    free(list);
    assert_int_equal(store_key_revoke(&revoked, &tx, made.id.s, NULL), ERR_OK);
    assert_true(revoked.revoked_ms >= revoked.created_ms);
    assert_false(key_valid(&revoked, tx.now_ms));
    int64_t first = revoked.revoked_ms;
    commit_tx(&tx);

    tx = begin_tx(); /* it is on disk; revoked once and for all */
    tx.now_ms += 1000;
    assert_int_equal(store_key_revoke(&revoked, &tx, made.id.s, NULL), ERR_OK);
    assert_int_equal(revoked.revoked_ms, first);
    roll_back_tx(&tx);
}

static void of_a_collection(void **state)
{
    const struct store_key_wish wish = {
        .name = "", .collection = "cast", .right = KEY_WRITE, .rate = 60, .expires_ms = INT64_MAX};
    char secret[KEY_SECRET_MAX_BYTES];
    struct store_key *list;
    size_t n;
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    int64_t c = add_collection(&tx, "cast");
    struct store_key k = add_key(&tx, secret, &wish);
    assert_true(ulid_valid(k.collection));
    assert_string_equal(k.collection_name, "cast");
    assert_int_equal(k.rate, 60);
    assert_int_equal(k.right, KEY_WRITE);
    assert_true(key_valid(&k, tx.now_ms));
    assert_int_equal(store__run(NULL, &tx, "UPDATE collections SET name = 'crew'", NULL, NULL), 0);
    assert_int_equal(store_key_list(&list, &n, &tx, NULL), ERR_OK);
    assert_string_equal(list[0].collection_name, "crew");
    free(list);
    struct store_receipt r = {0};
    assert_int_equal(store_erase_collection(&r, &tx, c, NULL), ERR_OK);
    assert_int_equal(store_key_list(&list, &n, &tx, NULL), ERR_OK);
    assert_false(key_valid(&list[0], tx.now_ms)); /* the collection is gone */
    free(list);
    roll_back_tx(&tx);
}

static void expires(void **state)
{
    struct store_key k = {.expires_ms = 1000};
    (void)state;
    assert_true(key_valid(&k, 999));
    assert_false(key_valid(&k, 1000));
    k.expires_ms = 0;
    assert_true(key_valid(&k, INT64_MAX));
}

static void rights(void **state)
{
    static const char *const names[] = {"read", "write", "admin"};
    enum key_right right;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(key_right_parse(&right, names[i]));
        assert_string_equal(key_right_name(right), names[i]);
        assert_int_equal(right, i + 1);
    }
    assert_false(key_right_parse(&right, "Read"));
    assert_false(key_right_parse(&right, ""));
}

static void refusals(void **state)
{
    struct store_key k;
    struct err_info err = ERR_INFO_INIT;
    char secret[KEY_SECRET_MAX_BYTES], name[KEY_NAME_MAX_BYTES + 2];
    (void)state;
    struct store *s = open_store();
    store_close(s);
    memset(name, 'x', sizeof name);
    name[KEY_NAME_MAX_BYTES + 1] = 0;
    struct store_tx tx = begin_tx();
    struct store_key_wish wish = plain;
    wish.name = name;
    assert_int_equal(store_key_add(&k, secret, &tx, &wish, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "101"));
    name[KEY_NAME_MAX_BYTES] = 0;
    assert_int_equal(store_key_add(&k, secret, &tx, &wish, &err), ERR_OK);
    wish = plain;
    wish.rate = KEY_RATE_MAX + 1;
    assert_int_equal(store_key_add(&k, secret, &tx, &wish, &err), ERR_INVALID);
    wish = plain;
    wish.expires_ms = tx.now_ms;
    assert_int_equal(store_key_add(&k, secret, &tx, &wish, &err), ERR_INVALID);
    wish = plain;
    wish.collection = "nobody";
    assert_int_equal(store_key_add(&k, secret, &tx, &wish, &err), ERR_NOT_FOUND);
    assert_int_equal(store_key_revoke(&k, &tx, "no such id", &err), ERR_NOT_FOUND);
    assert_int_equal(store_key_revoke(&k, &tx, "'; DROP TABLE keys; --", &err), ERR_NOT_FOUND);
    roll_back_tx(&tx);
    assert_int_equal(store_open(&s, "/proc/visavis", &err), ERR_IO);
    assert_int_equal(store_open(&s, "", &err), ERR_INVALID);
    assert_int_equal(store_open(&s, "/dev/null/x", &err), ERR_IO);
    store_close(NULL);
}

static void hash_is_sha256(void **state)
{
    static const uint8_t want[4] = {0xba, 0x78, 0x16, 0xbf}; /* FIPS 180-2: "abc" */
    uint8_t hash[KEY_HASH_BYTES];
    (void)state;
    key_hash(hash, "abc");
    assert_memory_equal(hash, want, 4);
}

static enum err add_job(struct store_tx *tx, void *self, struct err_info *err)
{
    const struct store_key_wish wish = {.name = "crowd", .collection = "", .right = KEY_READ};
    char secret[KEY_SECRET_MAX_BYTES];
    return store_key_add(self, secret, tx, &wish, err);
}

static enum err count_job(struct store_tx *tx, void *self, struct err_info *err)
{
    struct store_key *list = NULL;
    enum err rc = store_key_list(&list, self, tx, err);
    free(list);
    return rc;
}

static void others_changes_are_seen(void **state)
{
    struct store *a = open_store(), *b = open_store();
    struct store_key k;
    uint64_t before, after, again;
    (void)state;
    assert_int_equal(store_version(&before, a, NULL), ERR_OK);
    assert_int_equal(store_write(b, add_job, &k, NULL), ERR_OK);
    assert_int_equal(store_version(&after, a, NULL), ERR_OK);
    assert_true(after != before);
    assert_int_equal(store_version(&again, a, NULL), ERR_OK);
    assert_int_equal(again, after);
    assert_int_equal(store_write(a, add_job, &k, NULL), ERR_OK);
    assert_int_equal(store_version(&again, a, NULL), ERR_OK);
    assert_true(again != after);
    store_close(a);
    store_close(b);
}

static void private_files(void **state)
{
    char path[100];
    struct stat st;
    (void)state;
    store_close(open_store());
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
}

static void *open_and_add(void *arg)
{
    struct store *s = NULL;
    struct store_key k;
    enum err rc = store_open(&s, arg, NULL);
    for (int i = 0; !rc && i < 5; i++) rc = store_write(s, add_job, &k, NULL);
    store_close(s);
    return rc ? arg : NULL; /* not NULL: failed */
}

/* Also a fresh database that six stores open at once. */
static void many_at_once(void **state)
{
    pthread_t t[6];
    void *failed;
    size_t n = 0;
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&t[i], NULL, open_and_add, store_dir), 0);
    for (int i = 0; i < 6; i++) {
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
    struct store *s = open_store();
    assert_int_equal(store_read(s, count_job, &n, NULL), ERR_OK);
    assert_int_equal(n, 30);
    store_close(s);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(a_key_lives_and_dies),
        IN_A_FOLDER(of_a_collection),

        IN_A_FOLDER(refusals),
        IN_A_FOLDER(others_changes_are_seen),
        IN_A_FOLDER(many_at_once),
        IN_A_FOLDER(private_files),
        cmocka_unit_test(expires),
        cmocka_unit_test(rights),
        cmocka_unit_test(hash_is_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
