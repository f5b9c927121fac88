#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/store/store.h"
#include "tests/unit/store_dir.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_key_lives_and_dies(void **state)
{
    struct store *s = open_store();
    struct store_key made, revoked, *list = NULL;
    char secret[KEY_SECRET_MAX_BYTES], other[KEY_SECRET_MAX_BYTES];
    size_t n = 1;
    (void)state;
    assert_int_equal(store_key_list(&list, &n, s, NULL), ERR_OK);
    assert_int_equal(n, 0);
    assert_null(list);
    assert_int_equal(store_key_create(&made, secret, s, "door", NULL), ERR_OK);
    assert_int_equal(strlen(secret), strlen("visavis_") + 64);
    assert_int_equal(store_key_create(&made, other, s, "", NULL), ERR_OK);
    assert_string_not_equal(secret, other);
    assert_int_equal(store_key_list(&list, &n, s, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_true(key_matches(list, n, secret));
    assert_true(key_matches(list, n, other));
    assert_false(key_matches(list, n, "visavis_"));
    assert_false(key_matches(list, n, ""));
    assert_false(key_matches(list, 0, secret));
    secret[20] ^= 1;
    assert_false(key_matches(list, n, secret));
    secret[20] ^= 1;
    size_t door = !strcmp(list[0].name, "door") ? 0 : 1;
    assert_string_equal(list[door].name, "door");
    assert_int_equal(store_key_revoke(&revoked, s, list[door].id.s, NULL), ERR_OK);
    assert_true(revoked.revoked_ms >= revoked.created_ms);
    int64_t first = revoked.revoked_ms;
    free(list);
    store_close(s);

    s = open_store(); /* it is on disk */
    assert_int_equal(store_key_list(&list, &n, s, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_false(key_matches(list, n, secret));
    assert_true(key_matches(list, n, other));
    assert_int_equal(store_key_revoke(&revoked, s, revoked.id.s, NULL), ERR_OK);
    assert_int_equal(revoked.revoked_ms, first);
    free(list);
    store_close(s);
}

static void refusals(void **state)
{
    struct store *s = open_store();
    struct store_key k;
    struct err_info err = ERR_INFO_INIT;
    char secret[KEY_SECRET_MAX_BYTES], name[KEY_NAME_MAX_BYTES + 2];
    (void)state;
    memset(name, 'x', sizeof name);
    name[KEY_NAME_MAX_BYTES + 1] = 0;
    assert_int_equal(store_key_create(&k, secret, s, name, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "101"));
    name[KEY_NAME_MAX_BYTES] = 0;
    assert_int_equal(store_key_create(&k, secret, s, name, &err), ERR_OK);
    assert_int_equal(store_key_revoke(&k, s, "no such id", &err), ERR_NOT_FOUND);
    assert_int_equal(store_key_revoke(&k, s, "'; DROP TABLE keys; --", &err), ERR_NOT_FOUND);
    store_close(s);
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

static void others_changes_are_seen(void **state)
{
    struct store *a = open_store(), *b = open_store();
    struct store_key k;
    char secret[KEY_SECRET_MAX_BYTES];
    uint64_t before, after, again;
    (void)state;
    assert_int_equal(store_version(&before, a, NULL), ERR_OK);
    assert_int_equal(store_key_create(&k, secret, b, "", NULL), ERR_OK);
    assert_int_equal(store_version(&after, a, NULL), ERR_OK);
    assert_true(after != before);
    assert_int_equal(store_version(&again, a, NULL), ERR_OK);
    assert_int_equal(again, after);
    assert_int_equal(store_key_create(&k, secret, a, "", NULL), ERR_OK);
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
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
}

static void *open_and_add(void *arg)
{
    struct store *s = NULL;
    struct store_key k;
    char secret[KEY_SECRET_MAX_BYTES];
    enum err rc = store_open(&s, arg, NULL);
    for (int i = 0; !rc && i < 5; i++) rc = store_key_create(&k, secret, s, "crowd", NULL);
    store_close(s);
    return rc ? arg : NULL; /* not NULL: failed */
}

/* Also a fresh database that six processes open at once. */
static void many_at_once(void **state)
{
    pthread_t t[6];
    void *failed;
    struct store_key *list;
    size_t n;
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&t[i], NULL, open_and_add, store_dir), 0);
    for (int i = 0; i < 6; i++) {
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
    struct store *s = open_store();
    assert_int_equal(store_key_list(&list, &n, s, NULL), ERR_OK);
    assert_int_equal(n, 30);
    free(list);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_lives_and_dies, make_store_dir, remove_store_dir),
        cmocka_unit_test_setup_teardown(refusals, make_store_dir, remove_store_dir),
        cmocka_unit_test(hash_is_sha256),
        cmocka_unit_test_setup_teardown(others_changes_are_seen, make_store_dir, remove_store_dir),
        cmocka_unit_test_setup_teardown(many_at_once, make_store_dir, remove_store_dir),
    };
    const struct CMUnitTest files[] = {cmocka_unit_test(private_files)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (make_store_dir(NULL)) return 1;
    store_close(open_store());
    failed += cmocka_run_group_tests(files, NULL, remove_store_dir);
    return failed;
}
