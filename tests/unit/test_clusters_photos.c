#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/clusters/clusters.h"
#include "tests/unit/zip_bytes.h"

/* Each archive's entries, and whom they are then of. */
static const struct {
    const char *name;
    struct {
        const char *name, *truth;
    } entry[5];
} rows[] = {
    {"folders of people", {{"amy/1.png", "amy"}, {"raj/1.png", "raj"}, {"x.png", NULL}}},
    {"all in one folder",
     {{"cast/amy/1.png", "amy"}, {"cast/raj/1.png", "raj"}, {"cast/x.png", NULL}}},
    {"one folder", {{"photos/1.png", NULL}, {"photos/2.png", NULL}}},
    {"folders in folders", {{"a/b/1.png", "a/b"}, {"c/d/1.png", "c/d"}}},
    {"beginnings that are no folders", {{"amy1/a.png", "amy1"}, {"amy2/a.png", "amy2"}}},
    {"one picture", {{"1.png", NULL}}},
    {"one that is refused does not count", {{"amy/1.png", "amy"}, {"raj/1.png", "raj"}}},
};

static void truth_of_archives(void **state)
{
    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct zip_entry entries[6] = {{.name = NULL}};
        struct err_info err = ERR_INFO_INIT;
        struct clusters_photos p;
        struct buf zip;
        size_t n = 0, bad = 0;
        if (r == ARRAY_LEN(rows) - 1)
            entries[bad++] = (struct zip_entry){.name = "../up.png", .data = "x"};
        for (; rows[r].entry[n].name; n++)
            entries[bad + n] = (struct zip_entry){.name = rows[r].entry[n].name, .data = "x"};
        zip_make(&zip, entries, bad + n);
        assert_int_equal(clusters_photos_init(&p, &err), ERR_OK);
        if (clusters_photos_add_zip(&p, "z", zip.data, zip.len, &err)) fail_msg("%s", err.message);
        assert_int_equal(p.n, n);
        assert_int_equal(json_array_size(p.skipped), bad);
        for (size_t i = 0; i < n; i++) {
            const char *want = rows[r].entry[i].truth, *got = p.photo[i].truth;
            if (!want != !got || (want && strcmp(want, got) != 0))
                fail_msg("%s: %s is of %s", rows[r].name, p.photo[i].file, got ? got : "nobody");
        }
        clusters_photos_release(&p);
        buf_release(&zip);
    }
}

static void names(void **state)
{
    static const struct {
        const char *given, *want;
    } cases[] = {{"a b.png", "a b.png"},       {"", "image[1]"},
                 {NULL, "image[2]"},           {"ü.png", "ü.png"},
                 {"a\xff\xc3.png", "a??.png"}, {"a\nb", "a?b"}};
    struct err_info err = ERR_INFO_INIT;
    struct clusters_photos p;
    struct buf out = BUF_INIT(100);
    (void)state;

    assert_int_equal(clusters_photos_init(&p, &err), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(clusters_photos_add(&p, cases[i].given, "data", 4, &err), ERR_OK);
        assert_string_equal(p.photo[i].file, cases[i].want);
    }
    assert_int_equal(clusters_photo_read(&out, &p.photo[0], &err), ERR_OK);
    assert_int_equal(out.len, 4);
    assert_int_equal(clusters_photos_add(&p, "z", "PK\3\4", 4, &err), ERR_OK);
    assert_int_equal(clusters_photo_read(&out, &p.photo[p.n - 1], &err), ERR_UNSUPPORTED_IMAGE);
    assert_int_equal(clusters_photos_add_file(&p, "f", "/nonexistent/f", NULL, &err), ERR_OK);
    assert_int_equal(clusters_photo_read(&out, &p.photo[p.n - 1], &err), ERR_NOT_FOUND);
    assert_int_equal(clusters_photos_add_zip(&p, "no.zip", "text", 4, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "no.zip"));
    clusters_photos_release(&p);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(truth_of_archives),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
