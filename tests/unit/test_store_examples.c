#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

static int64_t c, other, amy, ben, stranger; /* stranger: of the other collection */

static struct store_tx fresh(void)
{
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "c");
    other = add_collection(&tx, "other");
    amy = add_identity(&tx, c, "Amy");
    ben = add_identity(&tx, c, "Ben");
    stranger = add_identity(&tx, other, "Stranger");
    return tx;
}

static struct store_example full(void)
{
    struct store_example e = {.collection = c,
                              .identity = amy,
                              .embedding = test_embedding,
                              .dim = TEST_DIM,
                              .precision = "bf16",
                              .has_face = true,
                              .box = {1.5f, 2, 3, 4},
                              .quality = 0.75,
                              .has_source = true};
    for (int i = 0; i < 10; i++) e.points[i / 2][i % 2] = (float)i;
    for (int i = 0; i < STORE_SHA256_BYTES; i++) e.source[i] = (uint8_t)(i * 7);
    return e;
}

struct seen {
    const struct store_example *want;
    const char *id;
    int n;
    int64_t rows[8];
};

static enum err look(void *self, const struct store_example *e, struct err_info *err)
{
    struct seen *s = self;
    (void)err;
    if (s->n < 8) s->rows[s->n] = e->row;
    s->n++;
    if (!s->want) return ERR_OK;
    assert_int_equal(e->collection, s->want->collection);
    assert_int_equal(e->identity, s->want->identity);
    assert_int_equal(e->identity_id != NULL, s->want->identity != 0);
    assert_string_equal(e->id, s->id);
    assert_int_equal(e->dim, s->want->dim);
    assert_memory_equal(e->embedding, s->want->embedding, sizeof(float) * (size_t)e->dim);
    assert_int_equal((uintptr_t)e->embedding % sizeof(float), 0);
    assert_string_equal(e->precision, s->want->precision);
    assert_int_equal(e->has_face, s->want->has_face);
    assert_memory_equal(e->box, s->want->box, sizeof e->box);
    assert_memory_equal(e->points, s->want->points, sizeof e->points);
    assert_true(e->quality == s->want->quality);
    assert_int_equal(e->has_source, s->want->has_source);
    assert_memory_equal(e->source, s->want->source, sizeof e->source);
    assert_int_equal(e->has_thumbnail, s->want->has_thumbnail);
    assert_int_equal(e->has_photo, s->want->has_photo);
    assert_true(e->created_ms > 0);
    return ERR_OK;
}

static void everything_comes_back(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    static const uint8_t jpeg[3] = {0xff, 0, 0xd8};
    const struct store_bytes none = {0}, picture = {jpeg, 3}, empty = {"", 0};
    for (int thumbnail = 0; thumbnail < 2; thumbnail++)
        for (int photo = 0; photo < 2; photo++)
            for (int plain = 0; plain < 2; plain++) {
                struct store_example e = full(), bare = {.collection = c,
                                                         .embedding = test_embedding,
                                                         .dim = TEST_DIM,
                                                         .precision = "sent"};
                struct ulid id;
                int64_t row = 0;
                if (plain) e = bare;
                must(store_example_add(&row, &id, &tx, &e, thumbnail ? picture : none,
                                       photo ? picture : none, &err),
                     &err);
                e.has_thumbnail = thumbnail;
                e.has_photo = photo;
                struct seen s = {.want = &e, .id = id.s};
                must(store_example_get(&tx, c, id.s, look, &s, &err), &err);
                must(store_example_get_rows(&tx, &row, 1, look, &s, &err), &err);
                assert_int_equal(s.n, 2);
                struct buf b = BUF_INIT(100);
                assert_int_equal(store_example_picture(&b, &tx, row, STORE_THUMBNAIL, &err),
                                 thumbnail ? ERR_OK : ERR_NOT_FOUND);
                assert_int_equal(store_example_picture(&b, &tx, row, STORE_PHOTO, &err),
                                 photo ? ERR_OK : ERR_NOT_FOUND);
                assert_int_equal(b.len, (thumbnail + photo) * 3);
                if (b.len) assert_memory_equal(b.data, jpeg, 3);
                buf_release(&b);
                struct buf small = BUF_INIT(2);
                if (photo)
                    assert_int_equal(store_example_picture(&small, &tx, row, STORE_PHOTO, &err),
                                     ERR_TOO_LARGE);
                buf_release(&small);
            }
    struct store_example e = full();
    struct ulid id;
    int64_t row;
    must(store_example_add(&row, &id, &tx, &e, empty, none, &err), &err);
    commit_tx(&tx);
}

static void lists(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    const struct store_bytes none = {0};
    const int64_t e1 = add_example(&tx, c, amy), e2 = add_example(&tx, c, 0),
                  e3 = add_example(&tx, c, ben), e4 = add_example(&tx, c, amy),
                  o1 = add_example(&tx, other, 0);
    struct store_example e = full();
    int64_t e5 = 0;
    struct ulid id;
    must(store_example_add(&e5, &id, &tx, &e, none, none, &err), &err);
    const struct {
        const char *name;
        int64_t collection, identity, after;
        int limit, n;
        int64_t rows[5];
    } cases[] = {
        {"any", c, STORE_ANY, 0, 9, 5, {e1, e2, e3, e4, e5}},
        {"any, first", c, STORE_ANY, 0, 2, 2, {e1, e2}},
        {"any, after", c, STORE_ANY, e3, 9, 2, {e4, e5}},
        {"nobody's", c, STORE_UNASSIGNED, 0, 9, 1, {e2}},
        {"nobody's, after", c, STORE_UNASSIGNED, e2, 9, 0, {0}},
        {"nobody's elsewhere", other, STORE_UNASSIGNED, 0, 9, 1, {o1}},
        {"Amy's", c, amy, 0, 9, 3, {e1, e4, e5}},
        {"Amy's, page", c, amy, e1, 1, 1, {e4}},
        {"not in that collection", other, amy, 0, 9, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s = {0};
        must(store_example_list(&tx, cases[i].collection, cases[i].identity, cases[i].after,
                                cases[i].limit, look, &s, &err),
             &err);
        if (s.n != cases[i].n) fail_msg("%s: %d", cases[i].name, s.n);
        assert_memory_equal(s.rows, cases[i].rows, sizeof(int64_t) * (size_t)s.n);
    }
    struct seen s = {0}, none_seen = {0};
    must(store_example_by_source(&tx, c, e.source, look, &s, &err), &err);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.rows[0], e5);
    must(store_example_by_source(&tx, other, e.source, look, &none_seen, &err), &err);
    e.source[0] ^= 1;
    must(store_example_by_source(&tx, c, e.source, look, &none_seen, &err), &err);
    assert_int_equal(none_seen.n, 0);
    const int64_t rows[] = {e4, 999, e1};
    s.n = 0;
    must(store_example_get_rows(&tx, rows, 3, look, &s, &err), &err);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.rows[0], e4);
    assert_int_equal(s.rows[1], e1);
    commit_tx(&tx);
}

static void refusals(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    const struct store_bytes none = {0};
    static const float long_one[TEST_DIM + 1];
    const struct {
        const char *name;
        int64_t collection, identity;
        int dim;
        enum err want;
        const char *says;
    } cases[] = {
        {"no identity", c, 999, TEST_DIM, ERR_NOT_FOUND, "identity"},
        {"another's", c, stranger, TEST_DIM, ERR_NOT_FOUND, "another collection"},
        {"no collection", 999, 0, TEST_DIM, ERR_NOT_FOUND, "collection"},
        {"too long", c, amy, TEST_DIM + 1, ERR_BAD_EMBEDDING, "5 numbers"},
        {"too short", c, amy, TEST_DIM - 1, ERR_BAD_EMBEDDING, "3 numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_example e = full();
        struct ulid id;
        int64_t row = -1;
        e.collection = cases[i].collection;
        e.identity = cases[i].identity;
        e.embedding = long_one;
        e.dim = cases[i].dim;
        must(store__run(NULL, &tx, "SAVEPOINT s", NULL, &err), &err);
        enum err rc = store_example_add(&row, &id, &tx, &e, none, none, &err);
        if (rc != cases[i].want || !strstr(err.message, cases[i].says))
            fail_msg("%s: %s: %s", cases[i].name, err_name(rc), err.message);
        assert_int_equal(row, -1);
        must(store__run(NULL, &tx, "ROLLBACK TO s", NULL, &err), &err);
    }
    struct seen s = {0};
    struct buf b = BUF_INIT(10);
    const int64_t e1 = add_example(&tx, c, amy);
    assert_int_equal(store_example_get(&tx, c, "x", look, &s, &err), ERR_NOT_FOUND);
    assert_int_equal(store_example_picture(&b, &tx, 999, STORE_PHOTO, &err), ERR_NOT_FOUND);
    assert_int_equal(store_example_move(&tx, 999, amy, &err), ERR_NOT_FOUND);
    assert_int_equal(store_example_move(&tx, e1, 999, &err), ERR_NOT_FOUND);
    assert_int_equal(store_example_move(&tx, e1, stranger, &err), ERR_NOT_FOUND);
    assert_int_equal(store_example_set_embedding(&tx, 999, test_embedding, TEST_DIM, "f32", &err),
                     ERR_NOT_FOUND);
    commit_tx(&tx);
}

static void moving(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    const int64_t e = add_example(&tx, c, amy);
    const int64_t seq = one(&tx, "SELECT seq FROM collections WHERE name = 'c'");
    must(store_example_move(&tx, e, ben, &err), &err);
    assert_int_equal(one(&tx, "SELECT identity FROM examples"), ben);
    must(store_example_move(&tx, e, ben, &err), &err); /* is there: nothing happens */
    assert_int_equal(one(&tx, "SELECT seq FROM collections WHERE name = 'c'"), seq + 1);
    assert_int_equal(one(&tx, "SELECT version FROM identities WHERE name = 'Ben'"), 2);
    assert_int_equal(one(&tx, "SELECT version FROM identities WHERE name = 'Amy'"), 3);
    must(store_example_move(&tx, e, 0, &err), &err);
    assert_int_equal(one(&tx, "SELECT identity IS NULL FROM examples"), 1);
    commit_tx(&tx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(everything_comes_back),
        T(lists),
        T(refusals),
        T(moving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
