/* Keras's files on two of the corpus, whole, cut short and changed: what is read must never be
 * worse than refused. What they must give is tests/golden/test_vggface_files.c. */
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

#define SEFIKS  "tests/fuzz/corpus/keras_h5/sefiks"
#define RCMALLI "tests/fuzz/corpus/keras_h5/rcmalli-dense"

static enum err import(const uint8_t *data, size_t len, struct err_info *err)
{
    struct import_job job = {
        .data = data, .len = len, .file = "x.h5", .options = {.accept_license = true}};
    return import_keras(&job, err);
}

/* Where text is in a file, its closing 0 with it; from the beginning, or from the end. */
static size_t find(const struct buf *f, const char *text, bool last)
{
    const size_t n = strlen(text) + 1;
    size_t found = f->len;
    for (size_t at = 0; at + n <= f->len; at++) {
        if (memcmp(f->data + at, text, n) != 0) continue;
        found = at;
        if (!last) break;
    }
    if (found == f->len) fail_msg("there is no %s", text);
    return found;
}

static void whole_files(void **state)
{
    (void)state;
    static const char *const FILES[] = {SEFIKS, RCMALLI};
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf f = test_read(FILES[i]);
        if (import(f.data, f.len, &err)) fail_msg("%s: %s", FILES[i], err.message);
        buf_release(&f);
    }
}

/* Keras splits a list that is too long: layer_names0, layer_names1. */
static void split_list(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct buf f = test_read(RCMALLI);
    const size_t at = find(&f, "layer_names", false);
    assert_int_equal(f.data[at - 6], 12); /* the name's size, filled up to 16 */
    f.data[at - 6] = 13;
    f.data[at + 11] = '0';
    if (import(f.data, f.len, &err)) fail_msg("%s", err.message);
    f.data[at + 11] = '1'; /* there is no first part */
    assert_int_equal(import(f.data, f.len, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "layer_names"));
    buf_release(&f);
}

/* A name's letter is changed. */
static void other_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool last;
        const char *says;
    } CASES[] = {
        {"conv3_1", true, "layer conv3_1: there is no such group"}, /* in the group's heap */
        {"fc7_W_1:0", true, "fc7_W_1:0: there is no such dataset"},
        {"weight_names", false, "there is no attribute weight_names"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf f = test_read(RCMALLI);
        f.data[find(&f, CASES[i].name, CASES[i].last)] = 'X';
        if (import(f.data, f.len, &err) != ERR_MODEL || !strstr(err.message, CASES[i].says))
            fail_msg("%s: \"%s\"", CASES[i].name, err.message);
        buf_release(&f);
    }
}

static void cut_and_flipped(void **state)
{
    (void)state;
    enum { STEP = 31 };
    struct err_info err = ERR_INFO_INIT;
    struct buf f = test_read(SEFIKS);
    for (size_t n = 0; n < f.len; n += n < 200 ? 1 : 997) {
        uint8_t *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, f.data, n);
        if (import(exact, n, &err) != ERR_MODEL) fail_msg("%zu of %zu bytes are taken", n, f.len);
        free(exact);
    }
    for (size_t at = 0; at < f.len; at += STEP) {
        f.data[at] ^= 0x55;
        enum err rc = import(f.data, f.len, &err);
        if (rc != ERR_OK && rc != ERR_MODEL) fail_msg("byte %zu changed: %s", at, err_name(rc));
        f.data[at] ^= 0x55;
    }
    buf_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files),
        cmocka_unit_test(split_list),
        cmocka_unit_test(other_names),
        cmocka_unit_test(cut_and_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
