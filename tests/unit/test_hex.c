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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
