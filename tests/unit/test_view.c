/* Views of foreign tensors: what is described is what is read, whatever the layout; shapes that do
 * not fit their data are refused. The fast ways through view_read are checked against a plain one
 * on random shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/view.h"

#define DIMS(...)                                                                                  \
    (const size_t[])                                                                               \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* 0, 1, 2, .. as the bytes of a file */
static float counting[24];

static int fill_counting(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(counting); i++) counting[i] = (float)i;
    return 0;
}

static struct view matrix(size_t rows, size_t columns)
{
    struct err_info err = ERR_INFO_INIT;
    struct view v;
    if (view_init(&v, "m", VIEW_F32, 2, DIMS(rows, columns), (const uint8_t *)counting,
                  rows * columns * sizeof(float), &err))
        fail_msg("%s", err.message);
    return v;
}

static void reads(const struct view *v, const float *want, size_t n)
{
    float got[ARRAY_LEN(counting)] = {0};
    assert_int_equal(v->count, n);
    view_read(got, v);
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("value %zu: %g, expected %g", i, (double)got[i], (double)want[i]);
}
#define READS(v, ...)                                                                              \
    reads(v, (const float[]){__VA_ARGS__}, ARRAY_LEN(((const float[]){__VA_ARGS__})))

static void made(void **state)
{
    (void)state;
    const struct {
        const char *name;
        enum view_type type;
        int ndim;
        const size_t *dims;
        size_t len, count;
        const char *says; /* NULL: it is made, and has count values */
    } CASES[] = {
        {"matrix", VIEW_F32, 2, DIMS(2, 3), 24, 6, NULL},
        {"doubles", VIEW_F64, 2, DIMS(2, 3), 48, 6, NULL},
        {"scalar", VIEW_F32, 0, NULL, 4, 1, NULL},
        {"empty", VIEW_F32, 2, DIMS(0, 3), 0, 0, NULL},
        {"eight axes", VIEW_F32, 8, DIMS(1, 1, 1, 1, 1, 1, 1, 2), 8, 2, NULL},
        {"nine axes", VIEW_F32, 9, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1), 4, 0,
         "nine axes: 9 dimensions, the limit is 8"},
        {"fewer than none", VIEW_F32, -1, NULL, 4, 0, "-1 dimensions"},
        {"too short", VIEW_F32, 2, DIMS(2, 3), 23, 0,
         "dims do not match the data: 24 bytes are expected, 23 found"},
        {"too long", VIEW_F32, 1, DIMS(1), 8, 0, "4 bytes are expected, 8 found"},
        {"floats for doubles", VIEW_F64, 1, DIMS(2), 8, 0, "16 bytes are expected, 8 found"},
        {"empty with data", VIEW_F32, 1, DIMS(0), 4, 0, "0 bytes are expected, 4 found"},
        {"the count overflows", VIEW_F32, 2, DIMS((size_t)1 << 32, (size_t)1 << 32), 0, 0,
         "its size overflows"},
        {"the bytes overflow", VIEW_F32, 1, DIMS((size_t)1 << 62), 0, 0, "its size overflows"},
        {"na\033me\n", VIEW_F32, 1, DIMS(1), 0, 0, "na?me?: dims do not match"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct view v;
        enum err rc = view_init(&v, CASES[i].name, CASES[i].type, CASES[i].ndim, CASES[i].dims,
                                (const uint8_t *)counting, CASES[i].len, &err);
        bool ok = CASES[i].says ? rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : rc == ERR_OK && v.count == CASES[i].count;
        if (!ok) fail_msg("%s: %s, \"%s\"", CASES[i].name, err_name(rc), err.message);
    }
    char name[2 * VIEW_NAME_BYTES];
    struct view v;
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(view_init(&v, name, VIEW_F32, 0, NULL, (const uint8_t *)counting, 4, NULL),
                     ERR_OK);
    assert_int_equal(strlen(v.name), VIEW_NAME_BYTES - 1);
}

static void of_storage(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int ndim;
        const size_t *dims, *strides;
        size_t offset, n;
        float last;
        const char *says;
    } CASES[] = {
        {"whole", 2, DIMS(2, 3), DIMS(3, 1), 0, 6, 5, NULL},
        {"transposed", 2, DIMS(3, 2), DIMS(1, 3), 0, 6, 5, NULL},
        {"the end of it", 1, DIMS(2), DIMS(1), 4, 6, 5, NULL},
        {"every other", 1, DIMS(3), DIMS(2), 1, 6, 5, NULL},
        {"one value repeated", 1, DIMS(6), DIMS(0), 2, 6, 2, NULL},
        {"scalar", 0, NULL, NULL, 3, 6, 3, NULL},
        {"nothing of nothing", 2, DIMS(0, 9), DIMS(9, 1), 7, 0, 0, NULL},
        {"one past the end", 1, DIMS(3), DIMS(1), 4, 6, 0,
         "the view leaves its storage: element 6 of 6"},
        {"a scalar past the end", 0, NULL, NULL, 6, 6, 0, "element 6 of 6"},
        {"a long stride", 2, DIMS(2, 3), DIMS(4, 1), 0, 6, 0, "element 6 of 6"},
        {"repeated too often", 1, DIMS(7), DIMS(0), 0, 6, 0, "the view leaves its storage"},
        {"a stride that overflows", 2, DIMS(3, 1), DIMS((size_t)-1, 1), 0, 6, 0, "overflows"},
        {"an offset that overflows", 1, DIMS(2), DIMS(1), (size_t)-1, 6, 0, "overflows"},
        {"a count that overflows", 2, DIMS((size_t)1 << 32, (size_t)1 << 32), DIMS(0, 0), 0, 6, 0,
         "its size overflows"},
        {"nine axes", 9, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1), DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1), 0, 6, 0,
         "the limit is 8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        float got[6] = {0};
        struct view v;
        enum err rc = view_of_storage(
            &v, "t", VIEW_F32, CASES[i].ndim, CASES[i].dims, CASES[i].strides, CASES[i].offset,
            CASES[i].n ? (const uint8_t *)counting : NULL, CASES[i].n, &err);
        bool ok = CASES[i].says ? rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : rc == ERR_OK && v.count <= ARRAY_LEN(got);
        if (ok && !rc) view_read(got, &v);
        if (ok && !rc && v.count) ok = got[v.count - 1] == CASES[i].last;
        if (!ok) fail_msg("%s: %s, \"%s\"", CASES[i].name, err_name(rc), err.message);
    }
}

static void layouts(void **state)
{
    (void)state;
    static const int TURN[2] = {1, 0}, HWIO[4] = {3, 2, 0, 1}; /* to O, I, H, W */
    struct view v = matrix(2, 3);
    READS(&v, 0, 1, 2, 3, 4, 5);
    view_permute(&v, TURN);
    READS(&v, 0, 3, 1, 4, 2, 5);
    view_permute(&v, TURN);
    READS(&v, 0, 1, 2, 3, 4, 5);
    view_column_major(&v); /* the same shape, other values */
    READS(&v, 0, 2, 4, 1, 3, 5);

    struct err_info err = ERR_INFO_INIT;
    assert_int_equal(view_init(&v, "k", VIEW_F32, 4, DIMS(1, 2, 3, 2), (const uint8_t *)counting,
                               12 * sizeof(float), &err),
                     ERR_OK);
    view_permute(&v, HWIO);
    assert_memory_equal(v.dims, DIMS(2, 3, 1, 2), 4 * sizeof(size_t));
    READS(&v, 0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11);
}

static void axes(void **state)
{
    (void)state;
    struct view v = matrix(2, 6);
    assert_true(view_split(&v, 1, 3)); /* to 2, 2, 3: the same values */
    assert_int_equal(v.ndim, 3);
    assert_memory_equal(v.dims, DIMS(2, 2, 3), 3 * sizeof(size_t));
    READS(&v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
    view_permute(&v, (const int[]){0, 2, 1}); /* 3, then 2: the flatten of another order */
    READS(&v, 0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11);
    assert_true(view_split(&v, 0, 1));
    assert_true(view_append_axis(&v));
    assert_memory_equal(v.dims, DIMS(2, 1, 3, 2, 1), 5 * sizeof(size_t));
    READS(&v, 0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11);

    struct view before = v = matrix(2, 6);
    assert_false(view_split(&v, 1, 4)); /* what is refused changes nothing */
    assert_false(view_split(&v, 1, 0));
    assert_memory_equal(&v, &before, sizeof v);
    for (int i = 2; i < VIEW_DIMS_MAX; i++) assert_true(view_append_axis(&v));
    assert_false(view_append_axis(&v));
    assert_false(view_split(&v, 0, 1));
    assert_int_equal(v.ndim, VIEW_DIMS_MAX);
    READS(&v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
}

static void expected(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct view v = matrix(2, 3);
    assert_int_equal(view_expect(&v, 2, DIMS(2, 3), &err), ERR_OK);
    assert_int_equal(view_expect(&v, 2, DIMS(3, 2), &err), ERR_MODEL);
    assert_string_equal(err.message, "m: expected [3,2], found [2,3]");
    assert_int_equal(view_expect(&v, 1, DIMS(2), &err), ERR_MODEL);
    assert_string_equal(err.message, "m: expected [2], found [2,3]");
    assert_int_equal(view_expect(&v, 0, NULL, &err), ERR_MODEL);
    assert_string_equal(err.message, "m: expected [], found [2,3]");
    for (int i = 0; i < VIEW_DIMS_MAX; i++) v.dims[i] = SIZE_MAX; /* the longest text */
    v.ndim = VIEW_DIMS_MAX;
    assert_int_equal(view_expect(&v, 1, DIMS(2), &err), ERR_MODEL);
    assert_non_null(strstr(err.message, ",18446744073709551615]"));
}

static void unaligned_doubles(void **state)
{
    (void)state;
    static const double VALUES[4] = {1, -0.1, 1e300, 1e-300};
    static const float WANT[4] = {1, -0.1f, (float)1e300, 0};
    struct err_info err = ERR_INFO_INIT;
    uint8_t bytes[1 + sizeof VALUES];
    float got[4];
    struct view v;
    memcpy(bytes + 1, VALUES, sizeof VALUES);
    assert_int_equal(view_init(&v, "d", VIEW_F64, 1, DIMS(4), bytes + 1, sizeof VALUES, &err),
                     ERR_OK);
    view_read(got, &v);
    assert_memory_equal(got, WANT, sizeof got); /* rounded to nearest; too large is infinite */
}

static unsigned long random_state = 20261126;

static size_t below(size_t n)
{
    random_state = random_state * 6364136223846793005UL + 1442695040888963407UL;
    return (size_t)(random_state >> 33) % n;
}

/* Value number i of v, found from its index alone. */
static float plain(const struct view *v, size_t i)
{
    size_t at = 0;
    float f;
    double d;
    for (int axis = v->ndim - 1; axis >= 0; i /= v->dims[axis--])
        at += i % v->dims[axis] * v->strides[axis];
    if (v->type == VIEW_F64) {
        memcpy(&d, v->data + at * sizeof d, sizeof d);
        return (float)d;
    }
    memcpy(&f, v->data + at * sizeof f, sizeof f);
    return f;
}

/* A random shape, in a random layout, some of it split and with axes of 1, at an odd address. */
static void random_view(struct view *v, uint8_t **data)
{
    static const size_t SIDES[] = {1, 2, 3, 5, 7, 16, 17, 33};
    const enum view_type type = below(2) ? VIEW_F64 : VIEW_F32;
    const size_t bytes = type == VIEW_F64 ? sizeof(double) : sizeof(float);
    struct err_info err = ERR_INFO_INIT;
    const int ndim = (int)below(5);
    size_t dims[5], n = 1;
    for (int i = 0; i < ndim; i++) n *= dims[i] = SIDES[below(ARRAY_LEN(SIDES))];
    *data = malloc(n * bytes + 1);
    assert_non_null(*data);
    for (size_t i = 0; i < n; i++) {
        const float f = (float)below(1 << 20);
        const double d = (double)f;
        memcpy(*data + 1 + i * bytes, type == VIEW_F64 ? (const void *)&d : &f, bytes);
    }
    if (view_init(v, "r", type, ndim, dims, *data + 1, n * bytes, &err))
        fail_msg("%s", err.message);
    if (below(2)) view_column_major(v);
    if (ndim && below(2)) (void)view_split(v, (int)below((size_t)ndim), 1 + below(4));
    if (below(4) == 0) (void)view_append_axis(v);
    int order[VIEW_DIMS_MAX];
    for (int i = 0; i < v->ndim; i++) order[i] = i;
    for (int i = v->ndim - 1; i > 0 && below(3); i--) {
        const size_t k = below((size_t)i + 1);
        const int swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    view_permute(v, order);
}

static void random_shapes(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        const unsigned long seed = random_state;
        struct view v;
        uint8_t *data;
        random_view(&v, &data);
        float *got = malloc(v.count * sizeof *got);
        assert_non_null(got);
        view_read(got, &v);
        for (size_t i = 0; i < v.count; i++)
            if (got[i] != plain(&v, i))
                fail_msg("seed %lu: value %zu of %zu, %d axes", seed, i, v.count, v.ndim);
        free(got);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made),          cmocka_unit_test(of_storage),
        cmocka_unit_test(layouts),       cmocka_unit_test(axes),
        cmocka_unit_test(expected),      cmocka_unit_test(unaligned_doubles),
        cmocka_unit_test(random_shapes),
    };
    return cmocka_run_group_tests(tests, fill_counting, NULL);
}
