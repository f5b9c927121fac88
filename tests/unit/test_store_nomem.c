/* Every allocation of the store and of SQLite below it, refused once: each call says that there is
 * no memory, or does without it; what it refused has not happened, and the store works on. Linked
 * with --wrap, as tests/golden/test_nomem.c; SQLite is given an allocator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/refuse.h"
#include "tests/unit/store_dir.h"

static sqlite3_mem_methods system_memory;

static void *sqlite_malloc(int n)
{
    return refused() ? NULL : system_memory.xMalloc(n);
}

static void *sqlite_realloc(void *p, int n)
{
    return refused() ? NULL : system_memory.xRealloc(p, n);
}

static int64_t c;

/* One of everything, in a job. */
static enum err enrol(struct store_tx *tx, void *arg, struct err_info *err)
{
    static const char *const tags[] = {"a", "b"};
    const struct store_identity i = {
        .collection = c, .name = arg, .metadata = "{}", .tags = tags, .n_tags = 2};
    const struct store_bytes picture = {"jpeg", 4};
    struct store_example e = {.collection = c,
                              .embedding = test_embedding,
                              .dim = TEST_DIM,
                              .precision = "f32",
                              .has_face = true};
    struct ulid id;
    int64_t row, other;
    enum err rc = store_undo_begin(&id, tx, c, "x", err);
    if (rc || (rc = store_identity_add(&e.identity, &id, tx, &i, err)) ||
        (rc = store_identity_add(&other, &id, tx, &i, err)) ||
        (rc = store_example_add(&row, &id, tx, &e, picture, picture, err)) ||
        (rc = store_example_move(tx, row, other, err)))
        return rc;
    return store_identity_retire(tx, e.identity, err);
}

static enum err see_identity(void *self, const struct store_identity *i, struct err_info *err)
{
    (void)err;
    *(int *)self += i->name && i->id && i->metadata && i->n_tags == 2;
    return ERR_OK;
}

static enum err see_example(void *self, const struct store_example *e, struct err_info *err)
{
    (void)err;
    *(int *)self += e->id && e->precision && e->embedding && e->has_photo;
    return ERR_OK;
}

static enum err look(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct store_identity_query q = {.collection = c, .limit = 1000};
    enum err rc = store_identity_list(tx, &q, see_identity, arg, err);
    return rc ? rc : store_example_list(tx, c, STORE_ANY, 0, 1000, see_example, arg, err);
}

/* Opens, writes, reads and closes. *wrote: the write was acknowledged; *seen: what reading found.
 */
static enum err a_life(bool *wrote, int *seen, struct err_info *err)
{
    struct store *s = NULL;
    char name[] = "x";
    enum err rc = store_open(&s, store_dir, err);
    *wrote = false;
    *seen = 0;
    if (rc) {
        assert_null(s);
        return rc;
    }
    rc = store_write(s, enrol, name, err);
    *wrote = !rc;
    enum err read = store_read(s, look, seen, rc ? NULL : err);
    store_close(s);
    return rc ? rc : read;
}

static void each_allocation_refused_once(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    bool wrote;
    int seen, people = 0, said = 0;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "c");
    commit_tx(&tx);
    atomic_store(&made, 0);
    must(a_life(&wrote, &seen, &err), &err);
    const long n = atomic_load(&made);
    const long step = n / 400 + 1;
    people++;
    for (long i = 0; i < n; i += step) {
        atomic_store(&left, i);
        enum err rc = a_life(&wrote, &seen, &err);
        atomic_store(&left, -1);
        if (rc && rc != ERR_NOMEM)
            fail_msg("allocation %ld of %ld: %s: %s", i, n, err_name(rc), err.message);
        said += rc == ERR_NOMEM;
        people += wrote;
        if (!rc && seen != 2 * people) fail_msg("allocation %ld: %d of %d", i, seen, 2 * people);
        tx = begin_tx();
        if (one(&tx, "SELECT count(*) FROM identities") != people)
            fail_msg("allocation %ld of %ld: %d people", i, n,
                     (int)one(&tx, "SELECT count(*) FROM identities"));
        assert_int_equal(one(&tx, "SELECT count(*) FROM examples"), people);
        assert_int_equal(one(&tx, "SELECT count(*) FROM undo"), people);
        roll_back_tx(&tx);
    }
    printf("%ld allocations, one of %ld refused: %d times no memory\n", n, step, said);
    assert_true(said > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        each_allocation_refused_once, make_store_dir, remove_store_dir)};
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_memory)) return 1;
    sqlite3_mem_methods memory = system_memory;
    memory.xMalloc = sqlite_malloc;
    memory.xRealloc = sqlite_realloc;
    /* no cache of small blocks, which would hide allocations */
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
