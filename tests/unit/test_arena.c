#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/arena.h"

#include <string.h>

static void blocks_are_aligned_zeroed_and_apart(void **state)
{
    struct arena a = ARENA_INIT(1 << 20);
    unsigned char *p[200];
    (void)state;
    for (size_t i = 0; i < 200; i++) {
        p[i] = arena_alloc(&a, i * 7 + 1);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < i * 7 + 1; k++) assert_int_equal(p[i][k], 0);
        memset(p[i], (int)i, i * 7 + 1);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i * 7 + 1; k++) assert_int_equal(p[i][k], i & 0xff);
    arena_release(&a);
    assert_int_equal(a.used, 0);
}

static void the_limit_holds(void **state)
{
    struct arena a = ARENA_INIT(10000);
    (void)state;
    assert_null(arena_alloc(&a, 10001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 3));
    int n = 0;
    while (arena_alloc(&a, 100)) n++;
    assert_in_range(n, 80, 100);
    arena_release(&a);
    assert_non_null(arena_alloc(&a, 5000));
    arena_release(&a);
}

static void strings(void **state)
{
    struct arena a = ARENA_INIT(100);
    (void)state;
    assert_string_equal(arena_copy(&a, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(&a, NULL, 0), "");
    assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    assert_null(arena_printf(&a, "%200d", 7));
    arena_release(&a);
    arena_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_zeroed_and_apart),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
