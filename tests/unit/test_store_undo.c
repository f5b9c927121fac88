#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

/* Amy (2 examples, external id, tags, metadata) and Ben (1) in a collection; what every test starts
 * from. */
static int64_t c, amy, ben, a1, a2, b1;
static struct ulid amy_id;

static struct store_tx with_people(void)
{
    static const char *const tags[] = {"cast \"1\"", "ünï"};
    struct err_info err = ERR_INFO_INIT;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "cast");
    const struct store_identity i = {.collection = c,
                                     .name = "Amy \\ \"Farrah\"\n'Fowler'",
                                     .external_id = "A-1",
                                     .metadata = "{\"a\":[1,\"ü\"]}",
                                     .tags = tags,
                                     .n_tags = 2};
    must(store_identity_add(&amy, &amy_id, &tx, &i, &err), &err);
    ben = add_identity(&tx, c, "Ben");
    a1 = add_example(&tx, c, amy);
    a2 = add_example(&tx, c, amy);
    b1 = add_example(&tx, c, ben);
    return tx;
}

/* The next job: what follows is a transaction of its own. */
static void next(struct store_tx *tx)
{
    commit_tx(tx);
    *tx = begin_tx();
}

static int64_t owner(struct store_tx *tx, int64_t example)
{
    struct err_info err = ERR_INFO_INIT;
    int64_t identity;
    must(store__ints(&identity, 1, NULL, tx, "SELECT identity FROM examples WHERE row = ?1",
                     ARGS(INT(example)), &err),
         &err);
    return identity;
}

static void begin_undo(struct store_tx *tx, const char *what)
{
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    must(store_undo_begin(&id, tx, c, what, &err), &err);
}

static void move(struct store_tx *tx, int64_t example, int64_t identity)
{
    struct err_info err = ERR_INFO_INIT;
    must(store_example_move(tx, example, identity, &err), &err);
}

static void retire(struct store_tx *tx, int64_t identity)
{
    struct err_info err = ERR_INFO_INIT;
    must(store_identity_retire(tx, identity, &err), &err);
}

/* Amy becomes Ben. */
static void merge(struct store_tx *tx)
{
    begin_undo(tx, "merge");
    move(tx, a1, ben);
    move(tx, a2, ben);
    retire(tx, amy);
}

static enum err is_amy(void *self, const struct store_identity *i, struct err_info *err)
{
    (void)err;
    assert_string_equal(i->id, amy_id.s);
    assert_string_equal(i->name, "Amy \\ \"Farrah\"\n'Fowler'");
    assert_string_equal(i->external_id, "A-1");
    assert_string_equal(i->metadata, "{\"a\":[1,\"ü\"]}");
    assert_int_equal(i->n_tags, 2);
    assert_string_equal(i->tags[0], "cast \"1\"");
    assert_string_equal(i->tags[1], "ünï");
    assert_int_equal(i->row, amy);
    *(int64_t *)self = i->version;
    return ERR_OK;
}

static void a_merge_is_taken_back(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = with_people();
    struct store_undone u;
    int64_t before = 0, after = 0;
    next(&tx);
    must(store_identity_get(&tx, c, amy_id.s, is_amy, &before, &err), &err);
    merge(&tx);
    next(&tx);
    assert_int_equal(store_identity_get(&tx, c, amy_id.s, is_amy, &after, &err), ERR_NOT_FOUND);
    assert_int_equal(owner(&tx, a1), ben);
    must(store_undo_last(&u, &tx, c, &err), &err);
    assert_string_equal(u.what, "merge");
    assert_int_equal(u.examples, 2);
    assert_int_equal(u.identities, 1);
    assert_true(ulid_valid(u.id.s));
    must(store_identity_get(&tx, c, amy_id.s, is_amy, &after, &err), &err);
    assert_true(after > before); /* an old ETag fits no more */
    assert_int_equal(owner(&tx, a1), amy);
    assert_int_equal(owner(&tx, a2), amy);
    assert_int_equal(owner(&tx, b1), ben);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo"), 0);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo_steps"), 0);
    assert_int_equal(one(&tx, "SELECT count(*) FROM retired"), 0);
    assert_int_equal(store_undo_last(&u, &tx, c, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
}

static void from_the_last_to_the_first(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = with_people();
    struct store_undone u;
    next(&tx);
    begin_undo(&tx, "move");
    move(&tx, a1, 0);
    move(&tx, a1, ben); /* twice in one change */
    next(&tx);
    begin_undo(&tx, "promote");
    int64_t cleo = add_identity(&tx, c, "Cleo");
    move(&tx, a2, cleo);
    next(&tx);
    begin_undo(&tx, "nothing");
    move(&tx, a2, cleo); /* where it is: no step, and no record */
    next(&tx);
    must(store_undo_last(&u, &tx, c, &err), &err);
    assert_string_equal(u.what, "promote");
    assert_int_equal(owner(&tx, a2), amy);
    next(&tx);
    must(store_undo_last(&u, &tx, c, &err), &err);
    assert_string_equal(u.what, "move");
    assert_int_equal(owner(&tx, a1), amy);
    assert_int_equal(u.examples, 2);
    next(&tx);
    assert_int_equal(one(&tx, "SELECT count(*) FROM identities"), 2);
    assert_int_equal(store_undo_last(&u, &tx, c, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
}

static void only_its_own_collection_and_time(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = with_people();
    struct store_undone u;
    int64_t other = add_collection(&tx, "other"), dora = add_identity(&tx, other, "Dora");
    int64_t d1 = add_example(&tx, other, 0);
    next(&tx);
    begin_undo(&tx, "move");
    move(&tx, d1, dora); /* of another collection: not written down */
    next(&tx);
    assert_int_equal(store_undo_last(&u, &tx, c, &err), ERR_NOT_FOUND);
    begin_undo(&tx, "move");
    move(&tx, a1, ben);
    next(&tx);
    assert_int_equal(store_undo_last(&u, &tx, other, &err), ERR_NOT_FOUND);
    tx.now_ms += (int64_t)STORE_UNDO_DAYS * 24 * 3600 * 1000 + 1;
    assert_int_equal(store_undo_last(&u, &tx, c, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
}

/* What comes between a change and its undo, and what the conflict then says. */
static void between_moved(struct store_tx *tx)
{
    move(tx, a1, 0);
}
static void between_erased(struct store_tx *tx)
{
    struct store_receipt r = {0};
    struct err_info err = ERR_INFO_INIT;
    must(store_erase_example(&r, tx, a1, &err), &err);
    assert_int_equal(r.undo_records, 1);
}
static void between_id_taken(struct store_tx *tx)
{
    const struct store_identity i = {
        .collection = c, .name = "x", .external_id = "A-1", .metadata = "{}"};
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    int64_t row;
    must(store_identity_add(&row, &id, tx, &i, &err), &err);
}
static void between_origin_gone(struct store_tx *tx)
{
    /* by hand: an erasure would have taken the record along */
    struct err_info err = ERR_INFO_INIT;
    must(store__run(NULL, tx, "DELETE FROM retired", NULL, &err), &err);
}

static void conflicts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*between)(struct store_tx *tx);
        enum err want;
        const char *says;
    } cases[] = {
        {"moved", between_moved, ERR_CONFLICT, "moved"},
        {"erased", between_erased, ERR_NOT_FOUND, "no change"},
        {"external id taken", between_id_taken, ERR_CONFLICT, "external id"},
        {"origin gone", between_origin_gone, ERR_CONFLICT, "gone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct store_undone u;
        struct store_tx tx = with_people();
        next(&tx);
        merge(&tx);
        next(&tx);
        cases[i].between(&tx);
        next(&tx);
        enum err rc = store_undo_last(&u, &tx, c, &err);
        if (rc != cases[i].want || !strstr(err.message, cases[i].says))
            fail_msg("%s: %s: %s", cases[i].name, err_name(rc), err.message);
        roll_back_tx(&tx);
        remove_store_dir(NULL);
        make_store_dir(NULL);
    }
}

static void a_made_identity_that_was_changed_stays(void **state)
{
    (void)state;
    static const char *const what[] = {"renamed", "given an example", "removed"};
    for (int i = 0; i < 3; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct store_undone u;
        struct store_tx tx = with_people();
        next(&tx);
        begin_undo(&tx, "promote");
        int64_t cleo = add_identity(&tx, c, "Cleo");
        move(&tx, a1, cleo);
        next(&tx);
        const struct store_identity new = {
            .row = cleo, .collection = c, .name = "Cleopatra", .metadata = "{}"};
        if (i == 0) must(store_identity_set(&tx, &new, 0, &err), &err);
        if (i == 1) add_example(&tx, c, cleo);
        if (i == 2) {
            move(&tx, a1, amy);
            retire(&tx, cleo);
        }
        next(&tx);
        enum err rc = store_undo_last(&u, &tx, c, &err);
        if (rc != ERR_CONFLICT) fail_msg("%s: %s", what[i], err_name(rc));
        assert_non_null(strstr(err.message, i == 2 ? "removed" : "changed"));
        roll_back_tx(&tx);
        remove_store_dir(NULL);
        make_store_dir(NULL);
    }
}

static void retiring(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = with_people();
    assert_int_equal(store_identity_retire(&tx, amy, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.message, "(2)"));
    assert_int_equal(store_identity_retire(&tx, 999, &err), ERR_NOT_FOUND);
    int64_t cleo = add_identity(&tx, c, "Cleo");
    retire(&tx, cleo); /* nothing open: for good */
    assert_int_equal(one(&tx, "SELECT count(*) FROM retired"), 0);
    assert_int_equal(one(&tx, "SELECT count(*) FROM identities"), 2);
    commit_tx(&tx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_merge_is_taken_back),
        T(from_the_last_to_the_first),
        T(only_its_own_collection_and_time),
        T(conflicts),
        T(a_made_identity_that_was_changed_stays),
        T(retiring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
