#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/base/mem.h"

#include <string.h>

static void cap_is_never_passed(void **state)
{
    struct buf b = BUF_INIT(10);
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    assert_int_equal(buf_puts(&b, "12345678", &err), ERR_OK);
    assert_int_equal(buf_puts(&b, "abc", &err), ERR_TOO_LARGE);
    assert_string_equal((char *)b.data, "12345678");
    assert_int_equal(buf_puts(&b, "ab", &err), ERR_OK);
    assert_int_equal(b.len, 10);
    assert_int_equal(buf_printf(&b, &err, "%d", 7), ERR_TOO_LARGE);
    assert_int_equal(buf_add(&b, "", 0, &err), ERR_OK);
    buf_release(&b);
    assert_null(b.data);
}

static void base64_of_rfc4648(void **state)
{
    static const struct {
        const char *plain, *coded;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf coded = BUF_INIT(100), plain = BUF_INIT(100);
        assert_int_equal(buf_add_base64(&coded, rows[i].plain, strlen(rows[i].plain), NULL),
                         ERR_OK);
        assert_int_equal(coded.len, strlen(rows[i].coded));
        assert_memory_equal(coded.data ? (char *)coded.data : "", rows[i].coded, coded.len);
        assert_int_equal(buf_add_unbase64(&plain, rows[i].coded, strlen(rows[i].coded), NULL),
                         ERR_OK);
        assert_int_equal(plain.len, strlen(rows[i].plain));
        assert_memory_equal(plain.data, rows[i].plain, plain.len);
        buf_release(&coded);
        buf_release(&plain);
    }
}

static void base64_forms(void **state)
{
    static const struct {
        const char *name, *coded, *plain; /* plain NULL: refused */
    } rows[] = {{"no padding", "Zm9vYg", "foob"},
                {"white space", "Zm9v\r\n Yg==\n", "foob"},
                {"data URL", "data:image/png;base64,Zm9v", "foo"},
                {"URL-safe", "-_8=", "\xfb\xff"},
                {"data URL without base64", "data:text/plain,Zm9v", NULL},
                {"one digit too many", "Zm9vZ", NULL},
                {"text after padding", "Zg==Zg==", NULL},
                {"short padding", "Zg=", NULL},
                {"padding first", "=Zg=", NULL},
                {"foreign character", "Zm9v*g==", NULL},
                {"not base64 at all", "{\"a\":1}", NULL}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf plain = BUF_INIT(100);
        struct err_info err = ERR_INFO_INIT;
        enum err rc = buf_add_unbase64(&plain, rows[i].coded, strlen(rows[i].coded), &err);
        if (rc != (rows[i].plain ? ERR_OK : ERR_BAD_BASE64))
            fail_msg("%s: %s", rows[i].name, err.message);
        if (rows[i].plain) {
            assert_int_equal(plain.len, strlen(rows[i].plain));
            assert_memory_equal(plain.data, rows[i].plain, plain.len);
        }
        buf_release(&plain);
    }
}

static void errors_have_names_and_prefixes(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) assert_non_null(err_name((enum err)i));
    assert_string_equal(err_name((enum err)999), "internal_error");
    assert_int_equal(err_set(&err, ERR_TOO_LARGE, "%d over %d", 7, 5), ERR_TOO_LARGE);
    assert_int_equal(err_prefix(&err, "image%d", 2), ERR_TOO_LARGE);
    assert_string_equal(err.message, "image2: 7 over 5");
    char big[1000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    err_set(&err, ERR_INVALID, "%s", big);
    err_prefix(&err, "%s", big); /* both are cut, nothing is overrun */
    assert_true(strlen(err.message) < sizeof err.message);
    assert_int_equal(err_set(NULL, ERR_IO, "nobody listens"), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cap_is_never_passed),
        cmocka_unit_test(base64_of_rfc4648),
        cmocka_unit_test(base64_forms),
        cmocka_unit_test(errors_have_names_and_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
