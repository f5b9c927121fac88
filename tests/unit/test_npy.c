#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/cli/npy.h"

#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/visavis-npy-XXXXXX";

static void put(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void there_and_back(void **state)
{
    const float rows[6] = {1, -2, 3.5f, 4, 5, 1e-30f};
    char file[NPY_HEADER_BYTES + sizeof rows];
    struct npy f;
    (void)state;
    npy_header(file, 2, 3);
    memcpy(file + NPY_HEADER_BYTES, rows, sizeof rows);
    put(file, sizeof file);
    assert_int_equal(npy_open(&f, path, NULL), ERR_OK);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.dim, 3);
    assert_memory_equal(f.rows, rows, sizeof rows);
    npy_close(&f);
    npy_header(file, 0, 128);
    put(file, NPY_HEADER_BYTES);
    assert_int_equal(npy_open(&f, path, NULL), ERR_OK);
    assert_int_equal(f.n, 0);
    assert_int_equal(f.dim, 128);
    assert_null(f.rows);
    npy_close(&f);
}

/* As NumPy 1.24 writes np.zeros((1, 2), '<f4'): its header ends at a multiple of 64. */
static void of_numpy(void **state)
{
    static const char header[] = "\x93NUMPY\x01\x00v\x00"
                                 "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    char file[128 + 8];
    struct npy f;
    (void)state;
    memset(file, ' ', 128);
    memset(file + 128, 0, 8);
    memcpy(file, header, sizeof header - 1);
    file[127] = '\n';
    put(file, sizeof file);
    assert_int_equal(npy_open(&f, path, NULL), ERR_OK);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.dim, 2);
    npy_close(&f);
}

static void bad_files(void **state)
{
    static const struct {
        const char *name, *header; /* the dictionary */
        size_t floats;
    } rows[] = {
        {"float64", "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }", 2},
        {"Fortran", "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", 2},
        {"one dimension", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 2},
        {"three", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 1), }", 2},
        {"too few", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 3},
        {"too many", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 5},
        {"overflow",
         "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 0},
        {"no width", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }", 0},
        {"nothing", "", 2},
    };
    char file[NPY_HEADER_BYTES + 100];
    struct npy f;
    struct err_info err;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        memset(file, 0, sizeof file);
        npy_header(file, 1, 2);
        memset(file + 10, ' ', NPY_HEADER_BYTES - 11);
        memcpy(file + 10, rows[i].header, strlen(rows[i].header));
        put(file, NPY_HEADER_BYTES + 4 * rows[i].floats);
        if (npy_open(&f, path, &err) != ERR_INVALID) fail_msg("%s", rows[i].name);
    }
    for (size_t n = 0; n < NPY_HEADER_BYTES + 8; n++) { /* cut anywhere */
        npy_header(file, 1, 2);
        put(file, n);
        if (npy_open(&f, path, &err) != ERR_INVALID) fail_msg("%zu bytes", n);
    }
    file[0] = 'x';
    put(file, NPY_HEADER_BYTES + 8);
    assert_int_equal(npy_open(&f, path, &err), ERR_INVALID);
    assert_int_equal(npy_open(&f, "/tmp", &err), ERR_INVALID);
    assert_int_equal(npy_open(&f, "/tmp/visavis-there-is-none", &err), ERR_NOT_FOUND);
}

static int make(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd < 0;
}

static int clean(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(of_numpy),
        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
