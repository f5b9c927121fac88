#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/http/spool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 12));
}

static void add(struct spool *s, size_t len, size_t *left)
{
    uint8_t *p = malloc(len + 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++) p[i] = byte_at(s->len + i);
    assert_int_equal(spool_add(s, p, len, left, "/tmp", NULL), ERR_OK);
    free(p);
}

static void check(struct spool *s, size_t want)
{
    const uint8_t *data = NULL;
    size_t len;
    assert_int_equal(spool_seal(s, &data, &len, NULL), ERR_OK);
    assert_int_equal(len, want);
    assert_non_null(data);
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_at(i)) fail_msg("byte %zu of %zu differs", i, len);
}

static void small_stays_in_memory(void **state)
{
    struct spool s = SPOOL_INIT;
    size_t left = 1000;
    (void)state;
    check(&s, 0);
    add(&s, 400, &left);
    add(&s, 600, &left);
    assert_int_equal(left, 0);
    assert_int_equal(s.fd, -1);
    check(&s, 1000);
    spool_release(&s);
}

static void big_moves_to_a_file_and_gives_memory_back(void **state)
{
    struct spool a = SPOOL_INIT, b = SPOOL_INIT;
    size_t left = 1000;
    (void)state;
    add(&a, 900, &left);
    add(&b, 50, &left);
    add(&a, 51, &left);
    assert_true(a.fd >= 0);
    assert_int_equal(left, 950);
    add(&a, 70000, &left);
    add(&b, 950, &left);
    assert_int_equal(b.fd, -1);
    check(&a, 70951);
    check(&a, 70951); /* again */
    check(&b, 1000);
    spool_release(&a);
    spool_release(&b);
    spool_release(NULL);
}

static void nowhere_to_write(void **state)
{
    struct spool s = SPOOL_INIT;
    struct err_info err = ERR_INFO_INIT;
    size_t left = 0;
    (void)state;
    assert_int_equal(spool_add(&s, "x", 1, &left, "/nonexistent/folder", &err), ERR_IO);
    assert_non_null(strstr(err.message, "temporary file"));
    spool_release(&s);
    assert_int_equal(spool_add(&s, "xy", 2, &left, "/dev/full", &err), ERR_IO);
    spool_release(&s);
}

static void no_room(void **state)
{
    struct spool s = SPOOL_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct rlimit before, small;
    static char block[100000];
    size_t left = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err rc = spool_add(&s, block, sizeof block, &left, "/tmp", &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERR_STORAGE_FULL);
    spool_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_stays_in_memory),
        cmocka_unit_test(big_moves_to_a_file_and_gives_memory_back),
        cmocka_unit_test(nowhere_to_write),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
