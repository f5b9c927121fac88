#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/clusters/archive.h"
#include "tests/unit/zip_bytes.h"

static struct archive *open_of(const struct buf *b)
{
    struct err_info err = ERR_INFO_INIT;
    struct archive *a = NULL;
    if (archive_open(&a, b->data, b->len, &err)) fail_msg("%s", err.message);
    return a;
}

static void reads_what_is_in_it(void **state)
{
    static const struct zip_entry entries[] = {{.name = "a/", .data = ""},
                                               {.name = "a/b.png", .data = "hello"},
                                               {.name = "c", .data = ""}};
    struct buf zip, out = BUF_INIT(1000);
    struct err_info err = ERR_INFO_INIT;
    struct archive_entry e;
    (void)state;

    zip_make(&zip, entries, ARRAY_LEN(entries));
    assert_true(archive_is_zip(zip.data, zip.len));
    struct archive *a = open_of(&zip);
    assert_int_equal(archive_entries(a), 3);
    archive_entry(&e, a, 0);
    assert_true(e.folder);
    archive_entry(&e, a, 1);
    assert_false(e.folder);
    assert_int_equal(e.refused.code, ERR_OK);
    assert_string_equal(e.name, "a/b.png");
    assert_int_equal(archive_read(&out, a, 1, &err), ERR_OK);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "hello", 5);
    out.len = 0;
    assert_int_equal(archive_read(&out, a, 2, &err), ERR_OK);
    assert_int_equal(out.len, 0);
    archive_free(a);
    buf_release(&out);
    buf_release(&zip);
}

static const struct {
    const char *what;
    struct zip_entry entry;
    enum err refused, read; /* of archive_entry; else of archive_read */
    const char *says;
} rows[] = {
    {"up", {.name = "../a.png", .data = "x"}, ERR_INVALID, ERR_INVALID, "outside"},
    {"up within", {.name = "a/../../b", .data = "x"}, ERR_INVALID, ERR_INVALID, "outside"},
    {"up at the end", {.name = "a/..", .data = "x"}, ERR_INVALID, ERR_INVALID, "outside"},
    {"from the root", {.name = "/etc/passwd", .data = "x"}, ERR_INVALID, ERR_INVALID, "outside"},
    {"a drive", {.name = "C:x.png", .data = "x"}, ERR_INVALID, ERR_INVALID, "outside"},
    {"backslashes", {.name = "..\\a.png", .data = "x"}, ERR_INVALID, ERR_INVALID, "outside"},
    {"dots that are a name", {.name = "a/..b/...", .data = "x"}, ERR_OK, ERR_OK, ""},
    {"encrypted",
     {.name = "a", .data = "x", .flags = 1},
     ERR_UNSUPPORTED_IMAGE,
     ERR_UNSUPPORTED_IMAGE,
     "encrypted"},
    {"a bomb",
     {.name = "a", .data = "x", .size = 15 << 20},
     ERR_TOO_LARGE,
     ERR_TOO_LARGE,
     "100 times"},
    {"large",
     {.name = "a", .data = "x", .size = (20 << 20) + 1},
     ERR_TOO_LARGE,
     ERR_TOO_LARGE,
     "limit is 20971520"},
    {"more than it has", {.name = "a", .data = "xyz", .size = 9}, ERR_OK, ERR_BAD_IMAGE, ""},
    {"less than it has", {.name = "a", .data = "xyz", .size = 2}, ERR_OK, ERR_BAD_IMAGE, ""},
    {"no such method",
     {.name = "a", .data = "xyz", .method = 77},
     ERR_OK,
     ERR_BAD_IMAGE,
     "unpacked"},
    {"an archive", {.name = "a", .data = "PK\3\4rest"}, ERR_OK, ERR_UNSUPPORTED_IMAGE, "archive"},
};

static void refuses_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf zip, out = BUF_INIT(ARCHIVE_ENTRY_MAX_BYTES + 1);
        struct err_info err = ERR_INFO_INIT;
        struct archive_entry e;
        zip_make(&zip, &rows[i].entry, 1);
        struct archive *a = open_of(&zip);
        archive_entry(&e, a, 0);
        const enum err read = archive_read(&out, a, 0, &err);
        if (e.refused.code != rows[i].refused || read != rows[i].read)
            fail_msg("%s: %s, read: %s (%s)", rows[i].what, err_name(e.refused.code),
                     err_name(read), err.message);
        if (read && !strstr(err.message, rows[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].what, err.message, rows[i].says);
        archive_free(a);
        buf_release(&zip);
        buf_release(&out);
    }
}

static void refuse(const char *what, const void *data, size_t len, enum err want, const char *says)
{
    struct err_info err = ERR_INFO_INIT;
    struct archive *a = NULL;
    if (archive_open(&a, data, len, &err) != want || !strstr(err.message, says))
        fail_msg("%s: %s \"%s\"", what, err_name(err.code), err.message);
    assert_null(a);
}

static void refuses_archives(void **state)
{
    static const struct zip_entry one = {.name = "a", .data = "x"};
    struct zip_entry many[60];
    struct buf zip;
    (void)state;

    refuse("nothing", "", 0, ERR_INVALID, "no zip");
    refuse("a text", "hello, world: this is not an archive", 36, ERR_INVALID, "no zip");
    zip_make(&zip, &one, 0);
    refuse("none in it", zip.data, zip.len, ERR_INVALID, "0 entries");
    buf_release(&zip);
    zip_make(&zip, &one, 1);
    for (size_t n = 1; n < zip.len; n++) refuse("cut short", zip.data, n, ERR_INVALID, "");
    zip.data[zip.len - 12] = 0x21, zip.data[zip.len - 11] = 0x4e; /* 20,001 entries */
    refuse("many entries", zip.data, zip.len, ERR_TOO_LARGE, "20001 entries");
    zip.data[zip.len - 12] = 0xff, zip.data[zip.len - 11] = 0xff; /* as Zip64 says */
    refuse("Zip64", zip.data, zip.len, ERR_TOO_LARGE, "65535 entries");
    buf_release(&zip);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct zip_entry){.name = "a", .data = "x", .size = UINT32_MAX - 1};
    zip_make(&zip, many, ARRAY_LEN(many));
    refuse("much together", zip.data, zip.len, ERR_TOO_LARGE, "limit is 2048 MB");
    buf_release(&zip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_what_is_in_it),
                                       cmocka_unit_test(refuses_entries),
                                       cmocka_unit_test(refuses_archives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
