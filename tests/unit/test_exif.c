#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/image/image.h"

#include <stdlib.h>
#include <string.h>

#define LE_HEAD "II*\0\x08\0\0\0"
#define BE_HEAD "MM\0*\0\0\0\x08"
#define OTHER   "\x0f\1\2\0\4\0\0\0abc\0" /* little-endian: Make = "abc" */

#define CASE(name, bytes, want)                                                                    \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, want                                                       \
    }

static const struct {
    const char *name, *bytes;
    size_t len;
    int want;
} rows[] = {
    CASE("nothing", "", 1),
    CASE("prefix alone", "Exif\0\0", 1),
    CASE("little-endian", LE_HEAD "\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 6),
    CASE("big-endian", BE_HEAD "\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0", 8),
    CASE("with prefix", "Exif\0\0" LE_HEAD "\1\0\x12\1\3\0\1\0\0\0\3\0\0\0", 3),
    CASE("second entry", LE_HEAD "\2\0" OTHER "\x12\1\3\0\1\0\0\0\5\0\0\0", 5),
    CASE("as LONG", BE_HEAD "\0\1\1\x12\0\4\0\0\0\1\0\0\0\7", 7),
    CASE("as BYTE", BE_HEAD "\0\1\1\x12\0\1\0\0\0\1\2\0\0\0", 2),
    CASE("as ASCII", LE_HEAD "\1\0\x12\1\2\0\1\0\0\0\6\0\0\0", 1),
    CASE("two values", LE_HEAD "\1\0\x12\1\3\0\2\0\0\0\6\0\6\0", 1),
    CASE("0", LE_HEAD "\1\0\x12\1\3\0\1\0\0\0\0\0\0\0", 1),
    CASE("9", LE_HEAD "\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0", 1),
    CASE("0x106", LE_HEAD "\1\0\x12\1\3\0\1\0\0\0\6\1\0\0", 1),
    CASE("not there", LE_HEAD "\1\0" OTHER, 1),
    CASE("count of entries lies", LE_HEAD "\xff\xff\x12\1\3\0\1\0\0\0\6\0\0\0", 6),
    CASE("count of entries lies, tag beyond", LE_HEAD "\xff\xff" OTHER "\x12\1\3\0\1\0\0\0", 1),
    CASE("IFD outside", "II*\0\xff\xff\xff\xff\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 1),
    CASE("IFD at the end", "II*\0\x08\0\0\0\1", 1),
    CASE("IFD inside the header", "II*\0\0\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 1),
    CASE("not TIFF", "XX*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 1),
    CASE("wrong magic", "II+\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 1),
};

static void orientation(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int got = exif_orientation((const uint8_t *)rows[i].bytes, rows[i].len);
        if (got != rows[i].want) fail_msg("%s: %d, expected %d", rows[i].name, got, rows[i].want);
    }
}

/* Cut anywhere: 1 until the value is there, and no byte beyond the block is read (exact blocks for
 * the sanitizer). */
static void cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t len = 0; len < rows[i].len; len++) {
            uint8_t *exact = malloc(len ? len : 1);
            assert_non_null(exact);
            memcpy(exact, rows[i].bytes, len);
            if (exif_orientation(exact, len) != 1)
                fail_msg("%s, cut to %zu bytes", rows[i].name, len);
            free(exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orientation),
        cmocka_unit_test(cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
