/* Protocol buffers' wire format: one field after the other, and each way a message can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/wire.h"

#define P(text) (const uint8_t *)text, sizeof text - 1

static void one_field(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const uint8_t *bytes;
        size_t len;
        uint32_t number;
        enum wire_type type;
        uint64_t value;
        size_t bytes_len;
        const char *says;
    } CASES[] = {
        {"nothing", P(""), 0, WIRE_VARINT, 0, 0, NULL},
        {"varint", P("\10\226\1"), 1, WIRE_VARINT, 150, 0, NULL},
        {"varint, padded", P("\10\200\200\0"), 1, WIRE_VARINT, 0, 0, NULL},
        {"varint of 10 bytes", P("\10\377\377\377\377\377\377\377\377\377\1"), 1, WIRE_VARINT,
         UINT64_MAX, 0, NULL},
        {"64 bits", P("\11\1\2\0\0\0\0\0\200"), 1, WIRE_64, 0x8000000000000201u, 8, NULL},
        {"bytes", P("\22\3abc"), 2, WIRE_BYTES, 0, 3, NULL},
        {"no bytes", P("\22\0"), 2, WIRE_BYTES, 0, 0, NULL},
        {"32 bits", P("\35\1\2\0\200"), 3, WIRE_32, 0x80000201u, 4, NULL},
        {"greatest number", P("\372\377\377\377\17\0"), (1u << 29) - 1, WIRE_BYTES, 0, 0, NULL},
        {"11 bytes", P("\10\200\200\200\200\200\200\200\200\200\200\1"), 0, WIRE_VARINT, 0, 0,
         "malformed varint"},
        {"tag cut", P("\200"), 0, WIRE_VARINT, 0, 0, "inside a varint"},
        {"varint cut", P("\10\200"), 0, WIRE_VARINT, 0, 0, "inside a varint"},
        {"no varint", P("\10"), 0, WIRE_VARINT, 0, 0, "field 1 has no value"},
        {"64 bits cut", P("\11\1\2\0\0\0\0\0"), 0, WIRE_VARINT, 0, 0, "field 1 has 8 bytes, 7"},
        {"32 bits cut", P("\35\1\2\0"), 0, WIRE_VARINT, 0, 0, "field 3 has 4 bytes, 3 are"},
        {"no length", P("\22"), 0, WIRE_VARINT, 0, 0, "field 2 has no length"},
        {"bytes cut", P("\22\4abc"), 0, WIRE_VARINT, 0, 0,
         "field 2 has 4 bytes, its message has 3"},
        {"length 2^64-1", P("\22\377\377\377\377\377\377\377\377\377\1"), 0, WIRE_VARINT, 0, 0,
         "runs past the end"},
        {"field 0", P("\0\1"), 0, WIRE_VARINT, 0, 0, "number is 0"},
        {"field 2^29", P("\200\200\200\200\20\0"), 0, WIRE_VARINT, 0, 0, "number is 536870912"},
        {"group", P("\13\14"), 0, WIRE_VARINT, 0, 0, "wire type 3"},
        {"end of a group", P("\14"), 0, WIRE_VARINT, 0, 0, "wire type 4"},
        {"type 6", P("\16\0"), 0, WIRE_VARINT, 0, 0, "field 1 has wire type 6"},
        {"type 7", P("\17\0"), 0, WIRE_VARINT, 0, 0, "field 1 has wire type 7"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        uint8_t *exact = malloc(CASES[i].len + 1); /* asan sees a byte too far */
        uint8_t *at = exact + 1;
        memcpy(at, CASES[i].bytes, CASES[i].len);
        struct wire w = wire_of(at, CASES[i].len, &err);
        struct wire_field f, more;
        bool ok, got = wire_next(&w, &f);
        if (CASES[i].says)
            ok = !got && w.rc == ERR_MODEL && strstr(err.message, CASES[i].says) &&
                 !wire_next(&w, &more);
        else
            ok = got == (CASES[i].number != 0) && !w.rc && f.number == CASES[i].number &&
                 f.type == CASES[i].type && f.value == CASES[i].value &&
                 f.len == CASES[i].bytes_len && !wire_next(&w, &more) && !w.rc;
        if (!ok)
            fail_msg("%s: field %u, type %d, %llu, \"%s\"", CASES[i].name, f.number, (int)f.type,
                     (unsigned long long)f.value, err.message);
        free(exact);
    }
}

static void types_and_text(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct wire w = wire_of(P("\22\5ab\n\377c\10\1"), &err), inner;
    struct wire_field f;
    char text[5];
    uint64_t v;
    assert_true(wire_next(&w, &f));
    assert_false(wire_is(&w, &f, 1, WIRE_VARINT)); /* another field: no error */
    assert_true(wire_is(&w, &f, 2, WIRE_BYTES));
    wire_text(text, sizeof text, &f);
    assert_string_equal(text, "ab??");
    inner = wire_message(&f, &err);
    assert_true(wire_varint(&inner, &v) && v == 'a');
    assert_true(wire_next(&w, &f));
    assert_false(wire_is(&w, &f, 1, WIRE_BYTES));
    assert_int_equal(w.rc, ERR_MODEL);
    assert_non_null(strstr(err.message, "wire type 0, expected 2"));
    assert_false(wire_next(&w, &f));
}

static void floats(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const uint8_t *bytes;
        size_t len, element;
        const char *want; /* NULL: nothing */
        size_t want_len;
        bool borrowed;
        const char *says;
    } CASES[] = {
        {"none", P("\22\4abcd"), 4, NULL, 0, false, NULL},
        {"packed", P("\22\1x\12\10abcdefgh\22\1y"), 4, "abcdefgh", 8, true, NULL},
        {"one alone", P("\15abcd"), 4, "abcd", 4, true, NULL},
        {"each alone", P("\15abcd\22\1x\15efgh"), 4, "abcdefgh", 8, false, NULL},
        {"both", P("\12\10abcdefgh\15ijkl\12\4mnop"), 4, "abcdefghijklmnop", 16, false, NULL},
        {"packed, empty", P("\12\0"), 4, NULL, 0, false, NULL},
        {"doubles", P("\12\10abcdefgh"), 8, "abcdefgh", 8, true, NULL},
        {"doubles alone", P("\11abcdefgh\11ijklmnop"), 8, "abcdefghijklmnop", 16, false, NULL},
        {"7 bytes", P("\12\7abcdefg"), 4, NULL, 0, false, "a length of 7 is no multiple"},
        {"a varint", P("\10\1"), 4, NULL, 0, false, "wire type 0, expected 2"},
        {"a double for a float", P("\11abcdefgh"), 4, NULL, 0, false, "wire type 1, expected 2"},
        {"cut", P("\15abcd\15efg"), 4, NULL, 0, false, "cut short"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(64);
        struct wire_field message = {
            .type = WIRE_BYTES, .data = CASES[i].bytes, .len = CASES[i].len};
        const uint8_t *data;
        size_t len;
        enum err rc = wire_floats(&data, &len, &message, 1, CASES[i].element, &a, &err);
        bool inside = !rc && data >= message.data && data < message.data + message.len;
        bool ok = CASES[i].says ? rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : !rc && len == CASES[i].want_len &&
                                      (!len || memcmp(data, CASES[i].want, len) == 0) &&
                                      (!len || inside == CASES[i].borrowed);
        if (!ok) fail_msg("%s: \"%s\"", CASES[i].name, err.message);
        arena_release(&a);
    }
}

static void floats_over_the_cap(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct arena a = ARENA_INIT(7);
    struct wire_field message = {
        .type = WIRE_BYTES, .data = (const uint8_t *)"\15abcd\15efgh", .len = 10};
    const uint8_t *data;
    size_t len;
    assert_int_equal(wire_floats(&data, &len, &message, 1, 4, &a, &err), ERR_NOMEM);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_field),
        cmocka_unit_test(types_and_text),
        cmocka_unit_test(floats),
        cmocka_unit_test(floats_over_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
