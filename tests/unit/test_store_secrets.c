#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/store/secrets.h"
#include "tests/unit/store_dir.h"

static void made_with_the_database(void **state)
{
    uint8_t a[STORE_SECRET_BYTES], b[STORE_SECRET_BYTES], zeros[STORE_SECRET_BYTES] = {0};
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    assert_int_equal(store_secret(a, &tx, "cursor", NULL), ERR_OK);
    assert_memory_not_equal(a, zeros, sizeof a);
    assert_int_equal(store_secret(b, &tx, "cursor", NULL), ERR_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(store_secret(b, &tx, "nobody", NULL), ERR_NOT_FOUND);
    roll_back_tx(&tx);
    remove_store_dir(NULL);
    make_store_dir(NULL);
    store_close(open_store()); /* another database has another */
    tx = begin_tx();
    assert_int_equal(store_secret(b, &tx, "cursor", NULL), ERR_OK);
    assert_memory_not_equal(a, b, sizeof a);
    roll_back_tx(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_with_the_database, make_store_dir, remove_store_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
