#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/ulid.h"

#include <string.h>

static void known_values(void **state)
{
    struct ulid u;
    uint8_t zero[ULID_RANDOM_BYTES] = {0}, ones[ULID_RANDOM_BYTES], mixed[ULID_RANDOM_BYTES];
    (void)state;
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < ULID_RANDOM_BYTES; i++) mixed[i] = (uint8_t)(i + 1);
    ulid_from(&u, 0, zero);
    assert_string_equal(u.s, "00000000000000000000000000");
    ulid_from(&u, (1ULL << 48) - 1, ones);
    assert_string_equal(
        u.s, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"); /* the largest, as the specification gives it */
    ulid_from(&u, 1469918176385, zero);
    assert_memory_equal(u.s, "01ARYZ6S41", 10); /* the specification's example time */
    ulid_from(&u, 0, mixed);
    assert_string_equal(u.s + 10, "041061050R3GG28A");
}

static void made_ones_are_valid_and_differ(void **state)
{
    struct ulid a, b;
    (void)state;
    ulid_make(&a);
    ulid_make(&b);
    assert_true(ulid_valid(a.s));
    assert_string_not_equal(a.s, b.s);
}

static void validity(void **state)
{
    static const struct {
        const char *s;
        bool want;
    } rows[] = {{"01ARZ3NDEKTSV4RRFFQ69G5FAV", true},
                {"01ARZ3NDEKTSV4RRFFQ69G5FA", false},
                {"01ARZ3NDEKTSV4RRFFQ69G5FAVX", false},
                {"81ARZ3NDEKTSV4RRFFQ69G5FAV", false},
                {"01ARZ3NDEKTSV4RRFFQ69G5FAU", false},
                {"01arz3ndektsv4rrffq69g5fav", false},
                {"", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (ulid_valid(rows[i].s) != rows[i].want) fail_msg("%s", rows[i].s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(made_ones_are_valid_and_differ),
        cmocka_unit_test(validity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
