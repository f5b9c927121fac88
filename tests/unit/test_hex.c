#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/base/hex.h"

static void digits(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x01, 0x9a, 0xf0, 0xff, 0x7f};
    char out[14];
    memset(out, 'x', sizeof out);
    hex_text(out, bytes, sizeof bytes);
    assert_string_equal(out, "00019af0ff7f");
    assert_int_equal(out[13], 'x');
    hex_text(out, bytes, 0);
    assert_string_equal(out, "");
}

/* FIPS 180-4's example of one block, and nothing at all. */
static void sha256(void **state)
{
    (void)state;
    char out[65];
    hex_sha256(out, (const uint8_t *)"abc", 3);
    assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hex_sha256(out, (const uint8_t *)"", 0);
    assert_string_equal(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(digits), cmocka_unit_test(sha256)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
