/* MatConvNet's files on those of the corpus, whole, cut short and changed: what is read must never
 * be worse than refused. What they must give is tests/golden/test_vggface_files.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/import.h"
#include "tests/support.h"

#define RAW    "tests/fuzz/corpus/matconvnet/raw"
#define PACKED "tests/fuzz/corpus/matconvnet/packed"
#define OCTAVE "tests/fuzz/corpus/matconvnet/octave"

enum { HEADER_BYTES = 128 };

static enum err import(const uint8_t *data, size_t len, struct err_info *err)
{
    struct import_job job = {
        .data = data, .len = len, .file = "x.mat", .options = {.accept_license = true}};
    return import_matconvnet(&job, err);
}

static void whole_files(void **state)
{
    (void)state;
    static const char *const FILES[] = {RAW, PACKED, OCTAVE};
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf f = test_read(FILES[i]);
        if (import(f.data, f.len, &err)) fail_msg("%s: %s", FILES[i], err.message);
        buf_release(&f);
    }
}

/* The first place of some bytes in the raw file gets others. */
static void changed(void **state)
{
    (void)state;
#define CHANGE(from, to) from, to, sizeof from - 1
    static const struct {
        const char *from, *to;
        size_t n;
        const char *says;
    } CASES[] = {
        {CHANGE("net\0", "nit\0"), "no variable net or layers"},
        {CHANGE("layers\0", "layerz\0"), "net: it has no field layers"},
        /* conv1_1 has no weights then: conv1_2 stands in its place */
        {CHANGE("weights\0", "weightz\0"), "conv1_1: conv1_2.weights{1}: expected [2,3,3,3]"},
        {CHANGE("weights\0", "filters\0"),
         "layers{1}, conv1_1: a real single array is expected, found a cell array"},
        {CHANGE("size\0\0\0\0pad", "filters\0pad"),
         "layers{1}, conv1_1: its weights are given twice"},
        {CHANGE("\3\0\0\0\3\0\0\0\3\0\0\0\2\0\0\0", "\3\0\0\0\3\0\0\0\2\0\0\0\3\0\0\0"),
         "conv1_1: conv1_1.weights{1}: expected [3,3,3,3], found [3,2,3,3]"},
        /* the cell array of the layers is a struct, or has too many */
        {CHANGE("\1\0\0\0\0\0\0\0\5\0\0\0\10\0\0\0\1\0\0\0\47",
                "\2\0\0\0\0\0\0\0\5\0\0\0\10\0\0\0\1\0\0\0\47"),
         "layers: a cell array of at most 1024 is expected, found a struct of 39"},
        {CHANGE("\1\0\0\0\47\0\0\0", "\1\0\0\0\47\0\1\0"), "found a cell array of 65575"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf f = test_read(RAW);
        uint8_t *at = memmem(f.data, f.len, CASES[i].from, CASES[i].n);
        if (!at) fail_msg("case %zu: there is no such place", i);
        memcpy(at, CASES[i].to, CASES[i].n);
        if (import(f.data, f.len, &err) != ERR_MODEL || !strstr(err.message, CASES[i].says))
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, err.message, CASES[i].says);
        buf_release(&f);
    }
}

static void cut(void **state)
{
    (void)state;
    static const char *const FILES[] = {RAW, PACKED};
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct buf f = test_read(FILES[i]);
        for (size_t n = 0; n < f.len; n += n < 300 ? 1 : 97) {
            struct err_info err = ERR_INFO_INIT;
            uint8_t *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, f.data, n);
            if (import(exact, n, &err) != ERR_MODEL)
                fail_msg("%s: %zu of %zu bytes are taken", FILES[i], n, f.len);
            free(exact);
        }
        buf_release(&f);
    }
}

static void flipped(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        bool sum; /* it has one: every change is found */
    } CASES[] = {{RAW, false}, {PACKED, true}};
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf f = test_read(CASES[i].file);
        for (size_t at = HEADER_BYTES; at < f.len; at += 11) {
            f.data[at] ^= 0x55;
            enum err rc = import(f.data, f.len, &err);
            if (rc != ERR_MODEL && (rc || CASES[i].sum))
                fail_msg("%s: byte %zu changed: %s", CASES[i].file, at, err_name(rc));
            f.data[at] ^= 0x55;
        }
        buf_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files),
        cmocka_unit_test(changed),
        cmocka_unit_test(cut),
        cmocka_unit_test(flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
