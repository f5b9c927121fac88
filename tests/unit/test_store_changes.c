#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

static int64_t c, amy, ben;

static struct store_tx fresh(void)
{
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "c");
    amy = add_identity(&tx, c, "Amy");
    ben = add_identity(&tx, c, "Ben");
    return tx;
}

enum { EXAMPLES_MAX = 64 };

/* What a search index keeps: who each example is. 0: nobody; -1: no such example. */
struct follower {
    int64_t seq;
    int64_t identity[EXAMPLES_MAX];
    float first[EXAMPLES_MAX]; /* number of its embedding */
    char ops[200];
};

static enum err take_vector(void *self, int64_t example, int64_t identity, const float *embedding,
                            struct err_info *err)
{
    struct follower *f = self;
    (void)err;
    assert_int_equal((uintptr_t)embedding % sizeof(float), 0);
    f->identity[example] = identity;
    f->first[example] = embedding[0];
    return ERR_OK;
}

static enum err take_change(void *self, int64_t seq, enum store_change op, int64_t example,
                            int64_t identity, const float *embedding, struct err_info *err)
{
    struct follower *f = self;
    (void)err;
    assert_int_equal(seq, f->seq + 1);
    f->seq = seq;
    f->identity[example] = embedding ? identity : -1;
    f->first[example] = embedding ? embedding[0] : 0;
    strcat(f->ops, op == STORE_ADDED ? "a" : op == STORE_MOVED ? "m" : "r");
    return ERR_OK;
}

static void read_all(struct follower *f, struct store_tx *tx)
{
    struct err_info err = ERR_INFO_INIT;
    memset(f, 0, sizeof *f);
    for (int i = 0; i < EXAMPLES_MAX; i++) f->identity[i] = -1;
    f->seq = one(tx, "SELECT seq FROM collections WHERE name = 'c'");
    must(store_vectors(tx, c, TEST_DIM, take_vector, f, &err), &err);
}

static void assert_same(const struct follower *a, const struct follower *b)
{
    assert_int_equal(a->seq, b->seq);
    assert_memory_equal(a->identity, b->identity, sizeof a->identity);
    assert_memory_equal(a->first, b->first, sizeof a->first);
}

static void a_follower_has_what_is_there(void **state)
{
    (void)state;
    static const float other[TEST_DIM] = {1, 0, 0, 0};
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r = {0};
    struct store_tx tx = fresh();
    struct follower f, whole;
    read_all(&f, &tx);
    const int64_t e1 = add_example(&tx, c, amy), e2 = add_example(&tx, c, 0),
                  e3 = add_example(&tx, c, ben);
    must(store_changes(&tx, c, f.seq, TEST_DIM, take_change, &f, &err), &err);
    assert_string_equal(f.ops, "aaa");
    read_all(&whole, &tx);
    assert_same(&f, &whole);

    must(store_example_move(&tx, e2, ben, &err), &err);
    must(store_example_set_embedding(&tx, e1, other, TEST_DIM, "bf16", &err), &err);
    must(store_erase_example(&r, &tx, e3, &err), &err);
    const int64_t e4 = add_example(&tx, c, ben);
    must(store_erase_identity(&r, &tx, ben, &err), &err); /* e2 and e4 */
    must(store_changes(&tx, c, f.seq, TEST_DIM, take_change, &f, &err), &err);
    assert_string_equal(f.ops, "aaamararr");
    assert_int_equal(f.identity[e1], amy);
    assert_true(f.first[e1] == 1);
    assert_int_equal(f.identity[e2], -1);
    assert_int_equal(f.identity[e4], -1);
    read_all(&whole, &tx);
    assert_int_equal(f.seq, whole.seq);
    assert_memory_equal(f.identity, whole.identity, sizeof f.identity);
    /* nothing new */
    must(store_changes(&tx, c, f.seq, TEST_DIM, take_change, &f, &err), &err);
    assert_string_equal(f.ops, "aaamararr");
    commit_tx(&tx);
}

static void where_following_ends(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct store_collection now = test_collection("c");
    struct follower f;
    add_example(&tx, c, amy);
    read_all(&f, &tx);
    assert_int_equal(store_changes(&tx, 999, 0, TEST_DIM, take_change, &f, &err), ERR_NOT_FOUND);
    /* further than the collection: a backup was put back */
    assert_int_equal(store_changes(&tx, c, f.seq + 1, TEST_DIM, take_change, &f, &err),
                     ERR_CONFLICT);
    /* of another length than the index was told */
    assert_int_equal(store_changes(&tx, c, 0, TEST_DIM + 1, take_change, &f, &err), ERR_IO);
    assert_int_equal(store_vectors(&tx, c, TEST_DIM + 1, take_vector, &f, &err), ERR_IO);
    /* another recipe: no index may go on */
    now.row = c;
    now.recipe = "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    must(store_collection_set(&tx, &now, &err), &err);
    assert_int_equal(store_changes(&tx, c, f.seq, TEST_DIM, take_change, &f, &err), ERR_CONFLICT);
    assert_int_equal(store_changes(&tx, c, 0, TEST_DIM, take_change, &f, &err), ERR_CONFLICT);
    read_all(&f, &tx);
    add_example(&tx, c, amy);
    must(store_changes(&tx, c, f.seq, TEST_DIM, take_change, &f, &err), &err);
    commit_tx(&tx);
}

static void old_changes_are_trimmed(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r = {0};
    struct store_tx tx = fresh();
    struct follower f = {0};
    bool more = false;
    add_example(&tx, c, amy);
    /* as many changes as are kept, and 10 more */
    must(store__run(NULL, &tx,
                    "WITH RECURSIVE n (x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM n"
                    " WHERE x < ?2 + 10) INSERT INTO changes SELECT ?1, x, 2, 1 FROM n",
                    ARGS(INT(c), INT(CHANGES_KEPT)), &err),
         &err);
    must(store__run(NULL, &tx, "UPDATE collections SET seq = ?2 + 10 WHERE row = ?1",
                    ARGS(INT(c), INT(CHANGES_KEPT)), &err),
         &err);
    must(store_erase_expired(&r, &more, &tx, 7, &err), &err);
    assert_true(more);
    assert_int_equal(one(&tx, "SELECT min(seq) FROM changes"), 8);
    must(store_erase_expired(&r, &more, &tx, 7, &err), &err);
    assert_false(more);
    assert_int_equal(one(&tx, "SELECT count(*) FROM changes"), CHANGES_KEPT);
    assert_int_equal(store_changes(&tx, c, 9, TEST_DIM, take_change, &f, &err), ERR_CONFLICT);
    f.seq = CHANGES_KEPT;
    must(store_changes(&tx, c, f.seq, TEST_DIM, take_change, &f, &err), &err);
    assert_string_equal(f.ops, "mmmmmmmmmm");
    commit_tx(&tx);
}

static enum err stop(void *self, int64_t example, int64_t identity, const float *embedding,
                     struct err_info *err)
{
    (void)example, (void)identity, (void)embedding;
    ++*(int *)self;
    return err_set(err, ERR_TIMEOUT, "enough");
}

static void each_may_stop(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    int n = 0;
    add_example(&tx, c, amy);
    add_example(&tx, c, amy);
    assert_int_equal(store_vectors(&tx, c, TEST_DIM, stop, &n, &err), ERR_TIMEOUT);
    assert_int_equal(n, 1);
    commit_tx(&tx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_follower_has_what_is_there),
        T(where_following_ends),
        T(old_changes_are_trimmed),
        T(each_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
