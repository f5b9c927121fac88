#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/api/keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t NOW_MS = 1000000;

/* Keys "0", "1", ... with secrets of the same text. */
static struct store_key *keys_of(size_t n)
{
    struct store_key *keys = calloc(n, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        snprintf(keys[i].id.s, sizeof keys[i].id.s, "%026zu", i);
        snprintf(keys[i].name, sizeof keys[i].name, "%zu", i);
        key_hash(keys[i].hash, keys[i].name);
        keys[i].right = KEY_READ;
    }
    return keys;
}

static struct keyring with(struct store_key *keys, size_t n)
{
    struct keyring k;
    keyring_init(&k);
    assert_int_equal(keyring_set(&k, keys, n, NULL), ERR_OK);
    return k;
}

static enum err use(struct keyring *k, const char *secret, double steady_s, double *wait_s)
{
    struct store_key out;
    const struct keyring_time t = {NOW_MS, steady_s};
    return keyring_use(&out, wait_s, k, secret, t, NULL);
}

static void each_by_its_secret(void **state)
{
    struct keyring k = with(keys_of(20), 20);
    struct store_key out;
    double wait_s;
    char secret[12];
    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(secret, sizeof secret, "%d", i);
        const struct keyring_time t = {NOW_MS, 1};
        assert_int_equal(keyring_use(&out, &wait_s, &k, secret, t, NULL), ERR_OK);
        assert_string_equal(out.name, secret);
    }
    assert_int_equal(use(&k, "20", 1, &wait_s), ERR_UNAUTHORIZED);
    assert_int_equal(use(&k, "", 1, &wait_s), ERR_UNAUTHORIZED);
    keyring_release(&k);
    k = with(NULL, 0);
    assert_int_equal(use(&k, "0", 1, &wait_s), ERR_UNAUTHORIZED);
    keyring_release(&k);
}

static void only_valid_ones(void **state)
{
    struct store_key *keys = keys_of(5);
    double wait_s;
    (void)state;
    keys[0].revoked_ms = 1;
    keys[1].expires_ms = NOW_MS;
    keys[2].expires_ms = NOW_MS + 1;
    strcpy(keys[3].collection, keys[4].id.s); /* without its name: it is gone */
    struct keyring k = with(keys, 5);
    assert_int_equal(use(&k, "0", 1, &wait_s), ERR_UNAUTHORIZED);
    assert_int_equal(use(&k, "1", 1, &wait_s), ERR_UNAUTHORIZED);
    assert_int_equal(use(&k, "2", 1, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "3", 1, &wait_s), ERR_UNAUTHORIZED);
    assert_int_equal(use(&k, "4", 1, &wait_s), ERR_OK);
    assert_int_equal(keyring_valid(&k, NOW_MS), 2);
    assert_int_equal(keyring_valid(&k, NOW_MS - 1), 3);
    keyring_release(&k);
}

static void buckets(void **state)
{
    struct store_key *keys = keys_of(2);
    double wait_s, t = 5000;
    (void)state;
    keys[0].rate = 30; /* one in 2 s */
    struct keyring k = with(keys, 2);
    for (int i = 0; i < 30; i++) assert_int_equal(use(&k, "0", t, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "0", t, &wait_s), ERR_RATE);
    assert_true(wait_s > 1.99 && wait_s < 2.01);
    for (int i = 0; i < 1000; i++) assert_int_equal(use(&k, "1", t, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "0", t + 1.5, &wait_s), ERR_RATE); /* asking costs nothing */
    assert_true(wait_s > 0.49 && wait_s < 0.51);
    assert_int_equal(use(&k, "0", t + 2.01, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "0", t + 2.02, &wait_s), ERR_RATE);
    int n = 0; /* an hour's rest fills it, and no more */
    while (!use(&k, "0", t + 3600, &wait_s)) n++;
    assert_int_equal(n, 30);
    keyring_release(&k);
}

/* A new list must not give anyone new tokens. */
static void buckets_stay(void **state)
{
    struct store_key *keys = keys_of(3);
    double wait_s;
    (void)state;
    for (int i = 0; i < 3; i++) keys[i].rate = 2;
    struct keyring k = with(keys, 3);
    assert_int_equal(use(&k, "1", 1, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "1", 1, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "1", 1, &wait_s), ERR_RATE);
    keys = keys_of(4); /* the first is gone, a new one is there */
    for (int i = 0; i < 4; i++) keys[i].rate = 2;
    memmove(keys, keys + 1, 3 * sizeof *keys);
    assert_int_equal(keyring_set(&k, keys, 3, NULL), ERR_OK);
    assert_int_equal(use(&k, "1", 1, &wait_s), ERR_RATE);
    assert_int_equal(use(&k, "2", 1, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "3", 1, &wait_s), ERR_OK);
    assert_int_equal(use(&k, "0", 1, &wait_s), ERR_UNAUTHORIZED);
    keyring_release(&k);
}

static void *ask(void *self)
{
    intptr_t served = 0;
    double wait_s;
    for (int i = 0; i < 500; i++) served += use(self, "1", 7, &wait_s) == ERR_OK;
    return (void *)served;
}

/* Four threads share one bucket of 1,000 while the list is replaced. */
static void many_threads(void **state)
{
    struct store_key *keys = keys_of(3);
    pthread_t t[4];
    void *served;
    intptr_t all = 0;
    (void)state;
    for (int i = 0; i < 3; i++) keys[i].rate = 1000;
    struct keyring k = with(keys, 3);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, ask, &k), 0);
    for (int r = 0; r < 50; r++) {
        keys = keys_of(3);
        for (int i = 0; i < 3; i++) keys[i].rate = 1000;
        assert_int_equal(keyring_set(&k, keys, 3, NULL), ERR_OK);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &served);
        all += (intptr_t)served;
    }
    assert_int_equal(all, 1000);
    keyring_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_by_its_secret),
        cmocka_unit_test(only_valid_ones),
        cmocka_unit_test(buckets),
        cmocka_unit_test(buckets_stay),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
