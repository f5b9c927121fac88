/* The reader of MATLAB 5 on variables made here, raw and compressed, and on each with one thing
 * wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <zlib.h>

#include "engine/base/mem.h"
#include "engine/model/import/mat5.h"

enum { HEADER = 128, ARENA = 1 << 17 };

/* --- a file that grows --- */

struct file {
    uint8_t bytes[65536];
    size_t len;
};

static void put(struct file *f, const void *data, size_t n)
{
    assert_true(f->len + n <= sizeof f->bytes);
    if (n) memcpy(f->bytes + f->len, data, n);
    f->len += n;
}

static void put32(struct file *f, uint32_t v)
{
    put(f, (const uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)},
        4);
}

static void start(struct file *f)
{
    *f = (struct file){.len = HEADER};
    memcpy(f->bytes, "MATLAB 5.0 MAT-file", 19);
    memcpy(f->bytes + HEADER - 4, "\0\1IM", 4);
}

static void element(struct file *f, uint32_t type, const void *data, size_t n)
{
    put32(f, type);
    put32(f, (uint32_t)n);
    put(f, data, n);
    put(f, (const uint8_t[8]){0}, (8 - n % 8) % 8);
}

/* At most 4 bytes, in the tag. */
static void small(struct file *f, uint32_t type, const void *data, size_t n)
{
    uint8_t all[4] = {0};
    memcpy(all, data, n);
    put32(f, type | (uint32_t)n << 16);
    put(f, all, sizeof all);
}

/* The tag of an array and what it begins with; end() sets its length. */
static size_t begin(struct file *f, uint32_t class, uint32_t rows, uint32_t columns,
                    const char *name)
{
    const uint32_t flags[2] = {class, 0}, dims[2] = {rows, columns};
    put32(f, 14);
    put32(f, 0);
    const size_t at = f->len;
    element(f, 6, flags, sizeof flags);
    element(f, 5, dims, sizeof dims);
    element(f, 1, name, strlen(name));
    return at;
}

static void end(struct file *f, size_t at)
{
    const uint32_t n = (uint32_t)(f->len - at);
    memcpy(f->bytes + at - 4, &n, sizeof n);
}

static void single(struct file *f, const float *v, size_t n)
{
    const size_t at = begin(f, MAT5_SINGLE, (uint32_t)n, 1, "");
    if (n == 1)
        small(f, 7, v, sizeof *v);
    else
        element(f, 7, v, n * sizeof *v);
    end(f, at);
}

/* What lies behind the header, as one compressed variable. */
static void pack(struct file *out, const struct file *raw)
{
    uLongf n = sizeof out->bytes - HEADER - 8;
    start(out);
    assert_int_equal(compress(out->bytes + HEADER + 8, &n, raw->bytes + HEADER, raw->len - HEADER),
                     Z_OK);
    put32(out, 15);
    put32(out, (uint32_t)n);
    out->len += n;
}

static const float VALUES[3] = {1.5f, -2, 3e30f};

/* s = struct("text", "fc6", "pair", {{[1.5 -2 3e30], 1.5}}, "none", []) */
static void sample(struct file *f)
{
    static const char FIELDS[3][6] = {"text", "pair", "none"};
    const uint32_t each = 6;
    start(f);
    const size_t s = begin(f, MAT5_STRUCT, 1, 1, "s");
    small(f, 5, &each, sizeof each);
    element(f, 1, FIELDS, sizeof FIELDS);
    const size_t text = begin(f, MAT5_CHAR, 1, 3, "");
    element(f, 4, "f\0c\0\x36\0", 6);
    end(f, text);
    const size_t pair = begin(f, MAT5_CELL, 1, 2, "");
    single(f, VALUES, 3);
    single(f, VALUES, 1);
    end(f, pair);
    put32(f, 14);
    put32(f, 0);
    end(f, s);
}

/* Reads the sample as it must be read; what goes wrong sticks to r. */
static void read_sample(struct mat5_reader *r, struct arena *a, const struct file *f,
                        struct err_info *err)
{
    struct mat5_array s, child, one;
    struct mat5_fields fields;
    char text[8] = "";
    const uint8_t *data[2] = {NULL};
    size_t len[2];

    mat5_begin(r, f->bytes, f->len, a, err);
    if (!mat5_variable(&s, r)) return;
    mat5_fields(&fields, r, &s);
    for (size_t i = 0; i < fields.n; i++) {
        mat5_child(&child, r, &s);
        if (strcmp(mat5_field(&fields, i), "text") == 0) mat5_text(text, sizeof text, r, &child);
        for (size_t k = 0; k < 2 && !strcmp(mat5_field(&fields, i), "pair"); k++) {
            mat5_child(&one, r, &child);
            data[k] = mat5_single(&len[k], r, &one);
            mat5_end(r, &one);
        }
        mat5_end(r, &child);
    }
    mat5_end_variable(r, &s);
    if (r->rc) return;
    assert_true(s.class == MAT5_STRUCT && s.count == 1 && s.ndim == 2 && fields.n == 3);
    assert_string_equal(s.name, "s");
    assert_string_equal(text, "fc6");
    assert_true(len[0] == sizeof VALUES && len[1] == sizeof(float));
    assert_memory_equal(data[0], VALUES, sizeof VALUES);
    assert_memory_equal(data[1], VALUES, sizeof(float));
    assert_false(mat5_variable(&s, r));
}

static void raw_and_packed(void **state)
{
    (void)state;
    static struct file raw, packed;
    struct err_info err = ERR_INFO_INIT;
    struct arena a = ARENA_INIT(ARENA);
    struct mat5_reader r;

    sample(&raw);
    read_sample(&r, &a, &raw, &err);
    assert_int_equal(r.rc, ERR_OK);
    assert_true(a.used < 64); /* only the value that lies in its tag is copied */
    pack(&packed, &raw);
    read_sample(&r, &a, &packed, &err);
    assert_int_equal(r.rc, ERR_OK);
    arena_release(&a);
}

static void every_cut(void **state)
{
    (void)state;
    static struct file f[2], cut;
    struct mat5_reader r;
    sample(&f[0]);
    pack(&f[1], &f[0]);
    for (int k = 0; k < 2; k++) {
        for (size_t n = 0; n < f[k].len; n++) {
            struct err_info err = ERR_INFO_INIT;
            struct arena a = ARENA_INIT(ARENA);
            cut = f[k];
            cut.len = n;
            read_sample(&r, &a, &cut, &err);
            if (n != HEADER && (r.rc != ERR_MODEL || !strstr(err.message, "cut short")))
                fail_msg("%zu bytes: \"%s\"", n, err.message); /* a header alone: no variables */
            if (k && n > HEADER + 8) { /* the same with a length that fits */
                const uint32_t len = (uint32_t)(n - HEADER - 8);
                memcpy(cut.bytes + HEADER + 4, &len, sizeof len);
                read_sample(&r, &a, &cut, &err);
                if (r.rc != ERR_MODEL || !strstr(err.message, "cut short"))
                    fail_msg("%zu bytes inside: \"%s\"", n, err.message);
            }
            arena_release(&a);
        }
    }
}

/* A sum of what was inflated closes the stream: no byte of it can be another. */
static void every_flip(void **state)
{
    (void)state;
    static struct file raw, packed;
    sample(&raw);
    pack(&packed, &raw);
    for (size_t at = HEADER; at < packed.len; at++) {
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(ARENA);
        struct mat5_reader r;
        packed.bytes[at] ^= 0x55;
        read_sample(&r, &a, &packed, &err);
        if (r.rc != ERR_MODEL) fail_msg("byte %zu changed: %s", at, err_name(r.rc));
        packed.bytes[at] ^= 0x55;
        arena_release(&a);
    }
}

static void headers(void **state)
{
    (void)state;
    static const struct {
        const char *end;
        const char *says;
    } CASES[] = {
        {"\0\1IM", NULL},
        {"\1\0MI", "big-endian"},
        {"\0\3IM", "version is 0x0300"},
        {"\0\2IM", "version is 0x0200"}, /* 7.3 */
        {"    ", "not a MATLAB 5 file"},
    };
    static struct file f;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(ARENA);
        struct mat5_reader r;
        sample(&f);
        memcpy(f.bytes + HEADER - 4, CASES[i].end, 4);
        read_sample(&r, &a, &f, &err);
        bool ok = CASES[i].says ? r.rc == ERR_MODEL && strstr(err.message, CASES[i].says) : !r.rc;
        if (!ok) fail_msg("case %zu: \"%s\"", i, err.message);
        arena_release(&a);
    }
}

/* 32 bits of the sample are changed. */
static void damaged(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* behind the file's header */
        uint32_t value;
        const char *says;
    } CASES[] = {
        {0, 13, "type 13 where a variable is expected"},
        {4, 1 << 20, "cut short: a variable of 1048576 bytes"},
        {8, 7, "array flags: an element of type 6 is expected, found 7"},
        {8, 6 | 4 << 16, "array flags of 4 bytes"},
        {8, 6 | 5 << 16, "a short element of 5 bytes"},
        {12, 16, "array flags: 16 bytes, the limit is 8"},
        {12, 1 << 30, "runs past its parent"},
        {28, 36, "dimensions: 36 bytes, the limit is 32"},
        {28, 7, "dimensions in 7 bytes"},
        {24, 5 | 4 << 16, "dimensions in 4 bytes"},
        {32, UINT32_MAX, "a negative dimension, -1"},
        {44, 64, "an array's name: 64 bytes, the limit is 63"},
        {60, 0, "field names of 0 bytes each"},
        {60, 7, "field names of 7 bytes each in 18 bytes"},
        {68, 9000, "runs past its parent"},
        {96, 15, "an array is expected, found an element of type 15"},
        {100, 56 + 1024, "runs past its parent"},
        {144, 9, "text of type 9"},
    };
    static struct file f;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(ARENA);
        struct mat5_reader r;
        sample(&f);
        for (int k = 0; k < 4; k++)
            f.bytes[HEADER + CASES[i].at + (size_t)k] = (uint8_t)(CASES[i].value >> (8 * k));
        read_sample(&r, &a, &f, &err);
        if (r.rc != ERR_MODEL || !strstr(err.message, CASES[i].says))
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, err.message, CASES[i].says);
        arena_release(&a);
    }
}

/* What is not wanted is not kept, and what is is bounded. */
static void bombs(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    static uint8_t big[2 * MIB];
    static struct file f, inner;
    uLongf n = sizeof f.bytes - HEADER - 8;

    start(&inner);
    const size_t at = begin(&inner, MAT5_SINGLE, MIB / 4, 1, "s");
    put32(&inner, 7);
    put32(&inner, MIB);
    const uint32_t len = (uint32_t)(inner.len - at) + MIB;
    memcpy(inner.bytes + at - 4, &len, sizeof len);
    memcpy(big, inner.bytes + HEADER, inner.len - HEADER);
    start(&f);
    assert_int_equal(compress(f.bytes + HEADER + 8, &n, big, inner.len - HEADER + MIB), Z_OK);
    put32(&f, 15);
    put32(&f, (uint32_t)n);
    f.len += n;
    for (int keep = 0; keep < 2; keep++) {
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(ARENA);
        struct mat5_array v;
        struct mat5_reader r;
        size_t found = 0;
        mat5_begin(&r, f.bytes, f.len, &a, &err);
        assert_true(mat5_variable(&v, &r));
        if (keep) (void)mat5_single(&found, &r, &v);
        mat5_end_variable(&r, &v);
        assert_int_equal(r.rc, keep ? ERR_MODEL : ERR_OK);
        assert_true(!keep || strstr(err.message, "1048576 bytes inflated: more than"));
        arena_release(&a);
    }
}

static void other_classes(void **state)
{
    (void)state;
    static const struct {
        uint32_t class, type;
        const char *says;
    } CASES[] = {
        {7, 7, NULL},
        {7 | 0x800, 7, "found complex single"},
        {6, 9, "found double"},
        {8, 1, "found int8"},
        {1, 14, "found a cell array"},
        {99, 7, "found an unknown class"},
        {7, 2, "found elements of type 2"}, /* whole numbers, made smaller */
    };
    static struct file f;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(ARENA);
        struct mat5_reader r;
        struct mat5_array v;
        size_t len;
        start(&f);
        const size_t at = begin(&f, CASES[i].class, 2, 1, "s");
        element(&f, CASES[i].type, VALUES, 8);
        end(&f, at);
        mat5_begin(&r, f.bytes, f.len, &a, &err);
        assert_true(mat5_variable(&v, &r));
        const uint8_t *p = mat5_single(&len, &r, &v);
        bool ok = CASES[i].says ? !p && r.rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : p && len == 8;
        if (!ok) fail_msg("case %zu: \"%s\"", i, err.message);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_and_packed), cmocka_unit_test(every_cut), cmocka_unit_test(every_flip),
        cmocka_unit_test(headers),        cmocka_unit_test(damaged),   cmocka_unit_test(bombs),
        cmocka_unit_test(other_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
