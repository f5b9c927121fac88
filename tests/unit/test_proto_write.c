/* Protocol buffers written: bytes against the encoding's own examples, and read back with the
 * importers' reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/wire.h"
#include "engine/model/proto_write.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

/* The message as it comes out of a file; the caller's. */
static struct buf saved(const struct proto *p)
{
    struct err_info err = ERR_INFO_INIT;
    char path[256];
    FILE *f = fopen(file_in(path, "message"), "wb");
    assert_non_null(f);
    if (proto_save(p, fileno(f), path, &err)) fail_msg("%s", err.message);
    fclose(f);
    struct buf b = test_read(path);
    assert_int_equal(b.len, proto_len(p));
    return b;
}

static void fields(void **state)
{
    (void)state;
    static const uint8_t WANT[] = {
        0x08, 0x96, 0x01, /* 1: 150, the encoding guide's example */
        0x12, 0x07, 't',  'e',  's',  't',  'i',  'n',  'g',              /* 2: its other one */
        0x98, 0x06, 0x00,                                                 /* 99: 0 */
        0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, /* 4: -1 */
        0x2d, 0x00, 0x00, 0x80, 0x3f,                                     /* 5: 1.0f */
        0x32, 0x00,                                                       /* 6: no bytes */
    };
    struct err_info err = ERR_INFO_INIT;
    struct proto p = proto_new(&err);
    proto_int(&p, 1, 150);
    proto_text(&p, 2, "testing");
    proto_int(&p, 99, 0);
    proto_int(&p, 4, -1);
    proto_float(&p, 5, 1);
    proto_bytes(&p, 6, NULL, 0);
    struct buf b = saved(&p);
    assert_int_equal(b.len, sizeof WANT);
    assert_memory_equal(b.data, WANT, sizeof WANT);
    buf_release(&b);
    proto_release(&p);
}

/* A message of two borrowed blocks in a message in another, small fields before, between and
 * behind. */
static void borrowed(void **state)
{
    (void)state;
    static const uint8_t BLOCK[300] = {1, 2, 3};
    struct err_info err = ERR_INFO_INIT;
    struct proto inner = proto_new(&err), middle = proto_new(&err), p = proto_new(&err),
                 more = proto_new(&err);
    proto_borrow(&inner, 1, BLOCK, sizeof BLOCK);
    proto_int(&inner, 2, 5);
    proto_borrow(&inner, 3, BLOCK, 7);
    proto_int(&middle, 8, 8);
    proto_message(&middle, 9, &inner);
    proto_int(&more, 7, 7);
    proto_borrow(&more, 10, BLOCK, 1);
    proto_append(&middle, &more);
    proto_int(&p, 1, 1);
    proto_message(&p, 2, &middle);
    proto_text(&p, 3, "end");
    struct buf b = saved(&p);

    struct wire w = wire_of(b.data, b.len, &err);
    struct wire_field f, g, h;
    assert_true(wire_next(&w, &f) && f.number == 1 && f.value == 1);
    assert_true(wire_next(&w, &f) && f.number == 2);
    struct wire m = wire_message(&f, &err);
    assert_true(wire_next(&m, &g) && g.number == 8 && g.value == 8);
    assert_true(wire_next(&m, &g) && g.number == 9);
    struct wire i = wire_message(&g, &err);
    assert_true(wire_next(&i, &h) && h.number == 1 && h.len == sizeof BLOCK);
    assert_memory_equal(h.data, BLOCK, sizeof BLOCK);
    assert_true(wire_next(&i, &h) && h.number == 2 && h.value == 5);
    assert_true(wire_next(&i, &h) && h.number == 3 && h.len == 7);
    assert_false(wire_next(&i, &h));
    assert_true(wire_next(&m, &g) && g.number == 7 && g.value == 7);
    assert_true(wire_next(&m, &g) && g.number == 10 && g.len == 1);
    assert_false(wire_next(&m, &g));
    assert_true(wire_next(&w, &f) && f.number == 3 && f.len == 3);
    assert_false(wire_next(&w, &f));
    assert_int_equal(w.rc | m.rc | i.rc, ERR_OK);
    buf_release(&b);
    proto_release(&p);
}

/* The first error stays, also that of a message inside. */
static void too_large(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct proto p = proto_new(&err), inner = proto_new(&err);
    inner.small.max = 8;
    proto_text(&inner, 1, "0123456789");
    proto_int(&inner, 2, 1);
    assert_int_equal(inner.rc, ERR_TOO_LARGE);
    proto_message(&p, 1, &inner);
    proto_int(&p, 2, 1);
    assert_int_equal(p.rc, ERR_TOO_LARGE);
    assert_int_equal(proto_save(&p, -1, "x", &err), ERR_TOO_LARGE);
    proto_release(&p);
}

static void cannot_write(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct proto p = proto_new(&err);
    proto_int(&p, 1, 1);
    assert_int_equal(proto_save(&p, -1, "somewhere", &err), ERR_IO);
    assert_non_null(strstr(err.message, "somewhere"));
    FILE *full = fopen("/dev/full", "wb");
    if (full) {
        assert_int_equal(proto_save(&p, fileno(full), "x", &err), ERR_STORAGE_FULL);
        fclose(full);
    }
    proto_release(&p);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(fields),
        WITH_FOLDER(borrowed),
        cmocka_unit_test(too_large),
        cmocka_unit_test(cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
