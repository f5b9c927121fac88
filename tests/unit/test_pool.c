/* The helpers' pool: every chunk runs once, whatever the number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/pool.h"

#include <stdatomic.h>
#include <string.h>

enum { CHUNKS = 1000 };

static void mark(void *arg, int chunk, int thread)
{
    _Atomic int *seen = arg;
    seen[chunk]++;
    seen[CHUNKS + thread]++;
}

static void test_pool(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct pool *pool = NULL;
        assert_int_equal(pool_new(&pool, threads, NULL), ERR_OK);
        assert_int_equal(pool_threads(pool), threads);
        for (int r = 0; r < 200; r++) {
            static _Atomic int seen[CHUNKS + 4];
            int chunks = r * 7 % CHUNKS, by_threads = 0;
            for (int i = 0; i < CHUNKS + 4; i++) seen[i] = 0;
            pool_run(pool, mark, (void *)seen, chunks);
            for (int i = 0; i < CHUNKS; i++)
                if (seen[i] != (i < chunks))
                    fail_msg("chunk %d of %d ran %d times", i, chunks, seen[i]);
            for (int i = 0; i < threads; i++) by_threads += seen[CHUNKS + i];
            assert_int_equal(by_threads, chunks);
        }
        pool_free(pool);
    }
    struct pool *none = NULL;
    assert_int_equal(pool_new(&none, 0, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pool)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
