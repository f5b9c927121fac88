/* safetensors: what is written reads back; each rule of the format broken once is refused with its
 * reason; a file cut at any byte is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/model/st_internal.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

static const float VALUES[6] = {1.5f, -2, 0, 3e30f, -0.0f, 1};
static const int16_t SHORTS[3] = {1, -2, 32767};
static const struct st_tensor TENSORS[] = {
    {"m", ST_F32, 2, {2, 3}, 6, VALUES},
    {"scalar", ST_F32, 0, {0}, 1, VALUES},
    {"a.weight", ST_I16, 1, {3}, 3, SHORTS},
};
static const struct st_pair META[] = {
    {"one", "1"}, {"text", "{\"a\":[\"\\u00e9\"]}\n"}, {"absent", NULL}};

static void write_read(void **state)
{
    (void)state;
    struct safetensors *st;
    struct err_info err = ERR_INFO_INIT;
    char path[256];
    file_in(path, "a.safetensors");
    for (int round = 0; round < 2; round++) /* the second time it is replaced */
        assert_int_equal(st_write(path, META, ARRAY_LEN(META), TENSORS, ARRAY_LEN(TENSORS), &err),
                         ERR_OK);
    assert_int_equal(files_in_folder(), 1); /* no temporary file is left */
    struct buf file = test_read(path);
    uint64_t header;
    memcpy(&header, file.data, sizeof header);
    assert_int_equal((8 + header) % 64, 0);
    buf_release(&file);

    assert_int_equal(st_open(&st, path, &err), ERR_OK);
    assert_int_equal(st_count(st), ARRAY_LEN(TENSORS));
    for (size_t i = 0; i < ARRAY_LEN(TENSORS); i++) {
        const struct st_tensor *want = &TENSORS[i], *t = st_at(st, i);
        assert_string_equal(t->name, want->name);
        assert_ptr_equal(st_find(st, want->name), t);
        assert_int_equal(t->dtype, want->dtype);
        assert_int_equal(t->ndim, want->ndim);
        assert_int_equal(t->count, want->count);
        assert_memory_equal(t->dims, want->dims, sizeof t->dims);
        assert_memory_equal(t->data, want->data, want->count * st_dtype_bytes(want->dtype));
        assert_int_equal((uintptr_t)t->data % st_dtype_bytes(t->dtype), 0);
    }
    assert_string_equal(st_meta(st, "text"), META[1].value);
    assert_null(st_meta(st, "absent"));
    assert_null(st_find(st, "no"));
    assert_null(st_at(st, 3));
    st_close(st);
}

#define T1 "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
static const struct {
    const char *name, *header;
    size_t data;
    const char *says; /* NULL: accepted */
} HEADERS[] = {
    {"good", "{" T1 "}", 8, NULL},
    {"spaces behind", "{" T1 "}   \n ", 8, NULL},
    {"nothing in it", "{}", 0, NULL},
    {"empty tensor", "{\"a\":{\"dtype\":\"I8\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, NULL},
    {"metadata", "{\"__metadata__\":{\"k\":\"v\"}," T1 "}", 8, NULL},
    {"no JSON", "{" T1, 8, "not JSON"},
    {"text behind", "{" T1 "} x", 8, "not JSON"},
    {"a list", "[]", 0, "does not begin with {"},
    {"space before", " {}", 0, "does not begin with {"},
    {"twice the same name", "{" T1 "," T1 "}", 8, "not JSON"},
    {"metadata is a number", "{\"__metadata__\":1}", 0, "__metadata__"},
    {"metadata holds a number", "{\"__metadata__\":{\"k\":1}}", 0, "__metadata__ k"},
    {"tensor is a list", "{\"a\":[]}", 0, "tensor a"},
    {"no dtype", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a"},
    {"another key", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8,
     "nothing else"},
    {"unknown dtype", "{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "unknown dtype F31"},
    {"shape is a number", "{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8,
     "shape"},
    {"negative size", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
     "shape[0]"},
    {"size with a point", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8,
     "shape[0]"},
    {"nine dimensions",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
     "at most 8"},
    {"shape overflows",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8,
     "overflow"},
    {"bytes overflow",
     "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}", 8,
     "do not fill"},
    {"one offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "tensor a"},
    {"offsets turned", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
     "data_offsets"},
    {"negative offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8,
     "data_offsets"},
    {"past the end", "{" T1 "}", 7, "ends at byte 8 of the data, the file has 7"},
    {"too few bytes", "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
     "3 values of F32 do not fill its 8"},
    {"gap at the start", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
     "after a gap"},
    {"gap at the end", "{" T1 "}", 9, "1 bytes after the last tensor"},
    {"overlap", "{" T1 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
     "inside another"},
};

static void headers(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(HEADERS); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct safetensors *st = NULL;
        uint64_t n = strlen(HEADERS[i].header);
        size_t len = 8 + n + HEADERS[i].data;
        uint8_t *file = calloc(1, len);
        memcpy(file, &n, 8);
        memcpy(file + 8, HEADERS[i].header, n);
        enum err rc = st__open_bytes(&st, file, len, &err);
        bool ok = HEADERS[i].says ? rc == ERR_MODEL && strstr(err.message, HEADERS[i].says)
                                  : rc == ERR_OK;
        if (!ok) print_error("%s: %s, \"%s\"\n", HEADERS[i].name, err_name(rc), err.message);
        failed += !ok;
        st_close(st);
        free(file);
    }
    assert_int_equal(failed, 0);
}

static void cut_short(void **state)
{
    (void)state;
    char path[256];
    file_in(path, "a.safetensors");
    assert_int_equal(st_write(path, META, ARRAY_LEN(META), TENSORS, ARRAY_LEN(TENSORS), NULL),
                     ERR_OK);
    struct buf file = test_read(path);
    for (size_t n = 0; n < file.len; n++) {
        struct err_info err = ERR_INFO_INIT;
        struct safetensors *st = NULL;
        uint8_t *part = malloc(n ? n : 1); /* exact, for the sanitizer */
        memcpy(part, file.data, n);
        if (st__open_bytes(&st, part, n, &err) != ERR_MODEL)
            fail_msg("%zu of %zu bytes are taken", n, file.len);
        free(part);
    }
    buf_release(&file);
}

static void odd_files(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct safetensors *st = NULL;
    char path[256], here[256];
    const uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    assert_int_equal(st_open(&st, file_in(path, "none"), &err), ERR_NOT_FOUND);
    assert_int_equal(st_open(&st, file_in(here, ""), &err), ERR_IO);
    assert_int_equal(st__open_bytes(&st, huge, sizeof huge, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "the limit is"));
    file_in(path, "no/such/folder.safetensors");
    assert_int_equal(st_write(path, META, 1, TENSORS, 1, &err), ERR_IO);
    file_in(path, "b.safetensors"); /* a tensor whose count is not its shape's is our own mistake,
                                       said before writing */
    const struct st_tensor wrong = {"w", ST_F32, 1, {3}, 2, VALUES};
    assert_int_equal(st_write(path, META, 1, &wrong, 1, &err), ERR_INTERNAL);
    const struct st_tensor twice[] = {TENSORS[0], TENSORS[0]};
    assert_int_equal(st_write(path, META, 1, twice, 2, &err), ERR_INTERNAL);
    static const uint8_t three[] = {1, 2, 3};
    const struct st_tensor crooked[] = {{"three", ST_U8, 1, {3}, 3, three}, TENSORS[0]};
    assert_int_equal(st_write(path, META, 1, crooked, 2, &err), ERR_INTERNAL);
    assert_non_null(strstr(err.message, "byte 3 is no place for F32"));
    assert_int_equal(files_in_folder(), 0);
}

static struct st_writer *writer_with_values(const char *path, const struct st_pair *meta, size_t n)
{
    struct err_info err = ERR_INFO_INIT;
    struct st_writer *w;
    if (st_writer_open(&w, path, meta, n, TENSORS, ARRAY_LEN(TENSORS), &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < ARRAY_LEN(TENSORS); i++) {
        const size_t bytes = TENSORS[i].count * st_dtype_bytes(TENSORS[i].dtype);
        uint8_t *to = st_writer_data(w, i);
        for (size_t k = 0; k < bytes; k++) assert_int_equal(to[k], 0);
        memcpy(to, TENSORS[i].data, bytes);
        st_writer_settle(w, i);
    }
    return w;
}

/* Filled in place, with metadata that is known only at the end: the same file as in one call. */
static void written_in_place(void **state)
{
    (void)state;
    const struct st_pair zeros[] = {{"digest", "0000"}, META[1]},
                         last[] = {{"digest", "1234"}, META[1]};
    struct err_info err = ERR_INFO_INIT;
    char path[256], whole[256];
    assert_int_equal(st_write(file_in(whole, "a.safetensors"), last, 2, TENSORS, 3, &err), ERR_OK);
    struct st_writer *w = writer_with_values(file_in(path, "b.safetensors"), zeros, 2);
    assert_int_equal(st_writer_commit(w, last, 2, &err), ERR_OK);
    struct buf a = test_read(whole), b = test_read(path);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(files_in_folder(), 2);

    /* what ends badly leaves the old file, and no other */
    st_writer_abort(NULL);
    st_writer_abort(writer_with_values(path, zeros, 2));
    char *text = malloc(1000);
    assert_non_null(text);
    memset(text, 'x', 999);
    text[999] = 0;
    const struct st_pair longer[] = {{"digest", text}, META[1]}, latin = {"digest", "\xe9"};
    w = writer_with_values(path, zeros, 2);
    assert_int_equal(st_writer_commit(w, longer, 2, &err), ERR_INTERNAL);
    assert_non_null(strstr(err.message, "the header has grown"));
    w = writer_with_values(path, zeros, 2);
    assert_int_equal(st_writer_commit(w, &latin, 1, &err), ERR_INVALID);
    assert_int_equal(st_writer_commit(writer_with_values(NULL, zeros, 2), last, 2, &err), ERR_OK);
    assert_int_equal(files_in_folder(), 2);
    struct buf after = test_read(path);
    assert_int_equal(after.len, b.len);
    assert_memory_equal(after.data, b.data, b.len);
    buf_release(&after);
    buf_release(&a);
    buf_release(&b);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(write_read, folder_new, folder_delete),
        cmocka_unit_test(headers),
        cmocka_unit_test_setup_teardown(cut_short, folder_new, folder_delete),
        cmocka_unit_test_setup_teardown(odd_files, folder_new, folder_delete),
        cmocka_unit_test_setup_teardown(written_in_place, folder_new, folder_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
