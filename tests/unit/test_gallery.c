#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/gallery/gallery_internal.h"
#include "tests/unit/index_model.h"
#include "tests/unit/store_dir.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- memory that ends: the Makefile links this test with --wrap --- */

static _Thread_local long memory_left = -1; /* calls until one fails; -1: none does */

static bool fails(void)
{
    return memory_left >= 0 && memory_left-- == 0;
}

#define REFUSE(type, name, params, args)                                                           \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return fails() ? NULL : __real_##name args;                                                \
    }
REFUSE(void *, malloc, (size_t n), (n))
REFUSE(void *, calloc, (size_t n, size_t size), (n, size))
REFUSE(void *, realloc, (void *p, size_t n), (p, n))
REFUSE(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
REFUSE(void *, aligned_alloc, (size_t align, size_t n), (align, n))
REFUSE(char *, strdup, (const char *s), (s))

/* --- the store's vectors, read plainly --- */

enum { ROWS_MAX = 4096 };
struct plain {
    struct match_row row[ROWS_MAX];
    float vector[ROWS_MAX][TEST_DIM];
    size_t n;
};

static enum err take_plain(void *self, int64_t example, int64_t identity, const float *embedding,
                           struct err_info *err)
{
    struct plain *p = self;
    (void)err;
    if (p->n == ROWS_MAX) return ERR_TOO_LARGE;
    p->row[p->n] = (struct match_row){example, identity, 0};
    memcpy(p->vector[p->n++], embedding, sizeof *p->vector);
    return ERR_OK;
}

/* How many rows of the gallery's index are not the store's. */
static size_t differences(struct gallery *g, const char *collection)
{
    static struct plain p;
    struct err_info err = ERR_INFO_INIT;
    struct gallery_collection *c;
    struct match_row *rows;
    float *vectors;
    size_t n, wrong = 0;

    must(gallery_hold(&c, g, collection, &err), &err);
    struct store_tx tx = begin_tx();
    p.n = 0;
    must(store_vectors(&tx, c->is.row, c->is.dim, take_plain, &p, &err), &err);
    roll_back_tx(&tx);
    must(match_index_rows(c->index->rows, &rows, &vectors, &n, &err), &err);
    for (size_t i = 0; i < n && i < p.n; i++)
        wrong += rows[i].example != p.row[i].example || rows[i].identity != p.row[i].identity ||
                 memcmp(vectors + i * TEST_DIM, p.vector[i], sizeof p.vector[i]) != 0;
    wrong += n > p.n ? n - p.n : p.n - n;
    free(rows);
    free(vectors);
    gallery_release(c);
    return wrong;
}

static void follow(struct gallery *g)
{
    struct err_info err = ERR_INFO_INIT;
    must(gallery_follow(g, &err), &err);
}

static struct gallery *open_gallery(struct store *s)
{
    struct gallery *g = NULL;
    struct err_info err = ERR_INFO_INIT;
    must(gallery_open(&g, s, &err), &err);
    return g;
}

static int64_t add_vector(struct store_tx *tx, int64_t collection, int64_t identity, uint64_t *seed)
{
    float v[TEST_DIM];
    struct store_example e = {.collection = collection,
                              .identity = identity,
                              .embedding = v,
                              .dim = TEST_DIM,
                              .precision = "sent"};
    const struct store_bytes none = {0};
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    int64_t row = 0;
    model_vector(v, TEST_DIM, MODEL_RANDOM, 0, seed);
    must(store_example_add(&row, &id, tx, &e, none, none, &err), &err);
    return row;
}

/* --- one random change after another --- */

enum { PEOPLE = 6 };
struct world {
    uint64_t seed;
    int64_t c;
    int64_t person[PEOPLE];
};

static uint64_t below(struct world *w, uint64_t n)
{
    return model_random(&w->seed) % n;
}

/* 0: there is none. */
static int64_t some_example(struct world *w, struct store_tx *tx)
{
    struct err_info err = ERR_INFO_INIT;
    int64_t row = 0;
    must(store__ints(&row, 1, NULL, tx,
                     "SELECT coalesce((SELECT row FROM examples WHERE collection = ?1 ORDER BY"
                     " row * ?2 % 1009 LIMIT 1), 0)",
                     ARGS(INT(w->c), INT((int64_t)below(w, 1008) + 1)), &err),
         &err);
    return row;
}

static void merge(struct world *w, struct store_tx *tx, size_t from, size_t into)
{
    static struct plain p;
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    must(store_undo_begin(&id, tx, w->c, "merge", &err), &err);
    p.n = 0;
    must(store_vectors(tx, w->c, TEST_DIM, take_plain, &p, &err), &err);
    for (size_t i = 0; i < p.n; i++)
        if (p.row[i].identity == w->person[from])
            must(store_example_move(tx, p.row[i].example, w->person[into], &err), &err);
}

static void set_rule(struct store_tx *tx, int64_t row, const char *rule)
{
    struct store_collection now = test_collection("c");
    struct err_info err = ERR_INFO_INIT;
    now.row = row;
    now.rule = rule;
    must(store_collection_set(tx, &now, &err), &err);
}

static void change(struct world *w, struct store_tx *tx)
{
    static const char *const rules[] = {"max", "mean_top", "centroid"};
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r = {0};
    struct store_undone undone;
    struct ulid id;
    float v[TEST_DIM];
    const int64_t e = some_example(w, tx), who = w->person[below(w, PEOPLE)];
    const size_t k = below(w, PEOPLE);
    enum err rc;

    switch (e ? below(w, 12) : 0) {
    case 0:
    case 1:
    case 2:
        for (uint64_t n = 1 + below(w, 4); n; n--) add_vector(tx, w->c, who, &w->seed);
        return;
    case 3:
        add_vector(tx, w->c, 0, &w->seed);
        return;
    case 4:
    case 5:
        must(store_undo_begin(&id, tx, w->c, "move", &err), &err);
        must(store_example_move(tx, e, below(w, 4) ? who : 0, &err), &err);
        return;
    case 6:
        merge(w, tx, k, (k + 1) % PEOPLE);
        return;
    case 7:
        rc = store_undo_last(&undone, tx, w->c, &err);
        if (rc != ERR_NOT_FOUND && rc != ERR_CONFLICT) must(rc, &err);
        return;
    case 8:
        must(store_erase_example(&r, tx, e, &err), &err);
        return;
    case 9:
        must(store_erase_identity(&r, tx, w->person[k], &err), &err);
        w->person[k] = add_identity(tx, w->c, "again");
        return;
    case 10:
        model_vector(v, TEST_DIM, MODEL_RANDOM, 0, &w->seed);
        must(store_example_set_embedding(tx, e, v, TEST_DIM, "bf16", &err), &err);
        return;
    default:
        set_rule(tx, w->c, rules[below(w, 3)]);
    }
}

static struct world new_world(void)
{
    struct world w = {.seed = 20261125};
    struct store_tx tx = begin_tx();
    w.c = add_collection(&tx, "c");
    for (int i = 0; i < PEOPLE; i++) w.person[i] = add_identity(&tx, w.c, "somebody");
    commit_tx(&tx);
    return w;
}

/* Every step is another process to the gallery: it has a connection of its own. */
static void follows_every_change(void **state)
{
    enum { STEPS = 400 };
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct gallery *g = open_gallery(s);
    for (int step = 0; step < STEPS; step++) {
        struct store_tx tx = begin_tx();
        for (uint64_t n = 1 + below(&w, 3); n; n--) {
            tx.undo = 0; /* one record each */
            change(&w, &tx);
            must(store__undo_complete(&tx, &err), &err);
        }
        tx.undo = 0;
        if (!below(&w, 10)) /* further behind than what is kept */
            must(store__run(NULL, &tx, "DELETE FROM changes", NULL, &err), &err);
        commit_tx(&tx);
        follow(g);
        const size_t wrong = differences(g, "c");
        if (wrong) fail_msg("seed 20261125, step %d: %zu rows differ", step, wrong);
    }
    struct gallery_info info;
    gallery_info(g, &info);
    assert_int_equal(info.collections, 1);
    struct store_tx tx = begin_tx();
    assert_int_equal(info.examples, one(&tx, "SELECT count(*) FROM examples"));
    assert_true(info.examples > 20 && info.bytes > info.examples * TEST_DIM * sizeof(float));
    roll_back_tx(&tx);
    gallery_close(g);
    store_close(s);
}

static int64_t seq_in(struct gallery *g)
{
    struct err_info err = ERR_INFO_INIT;
    struct gallery_collection *c;
    must(gallery_hold(&c, g, "c", &err), &err);
    const int64_t seq = c->index->seq;
    gallery_release(c);
    return seq;
}

/* More changes at once than the follower holds, and its index stays the same one. */
static void far_behind(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct gallery_collection *before, *after;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct gallery *g = open_gallery(s);
    must(gallery_hold(&before, g, "c", &err), &err);
    struct store_tx tx = begin_tx();
    for (int i = 0; i < 2500; i++) add_vector(&tx, w.c, w.person[i % PEOPLE], &w.seed);
    commit_tx(&tx);
    follow(g);
    assert_int_equal(differences(g, "c"), 0);
    assert_int_equal(seq_in(g), 2500);
    must(gallery_hold(&after, g, "c", &err), &err);
    assert_ptr_equal(before, after); /* settings and index are the same */
    gallery_release(before);
    gallery_release(after);
    gallery_close(g);
    store_close(s);
}

/* A reader keeps the settings that he took; the next one gets the new ones. */
static void held_while_it_changes(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r = {0};
    struct gallery_collection *held, *now;
    struct match_index_info info;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct gallery *g = open_gallery(s);
    struct store_tx tx = begin_tx();
    add_vector(&tx, w.c, w.person[0], &w.seed);
    commit_tx(&tx);
    follow(g);
    must(gallery_hold(&held, g, "c", &err), &err);
    const struct match_index *index = held->index->rows;

    tx = begin_tx();
    struct store_collection changed = test_collection("another name");
    changed.row = w.c;
    changed.min_quality = 0.5;
    must(store_collection_set(&tx, &changed, &err), &err);
    commit_tx(&tx);
    follow(g);
    assert_string_equal(held->is.name, "c");
    assert_int_equal(gallery_hold(&now, g, "c", &err), ERR_NOT_FOUND);
    must(gallery_hold(&now, g, held->is.id, &err), &err);
    assert_string_equal(now->is.name, "another name");
    assert_true(now->is.min_quality == 0.5 && held->is.min_quality == 0);
    assert_ptr_equal(now->index->rows, index); /* not read again for that */
    gallery_release(now);

    tx = begin_tx(); /* a centroid needs more rows */
    changed.rule = "centroid";
    must(store_collection_set(&tx, &changed, &err), &err);
    commit_tx(&tx);
    follow(g);
    must(gallery_hold(&now, g, "another name", &err), &err);
    assert_int_equal(now->rule, MATCH_CENTROID);
    assert_int_equal(held->rule, MATCH_MAX);
    assert_ptr_not_equal(now->index->rows, index);
    gallery_release(now);

    tx = begin_tx();
    must(store_erase_collection(&r, &tx, w.c, &err), &err);
    commit_tx(&tx);
    follow(g);
    assert_int_equal(gallery_hold(&now, g, "another name", &err), ERR_NOT_FOUND);
    match_index_info(held->index->rows, &info); /* is there until the last one lets go */
    assert_int_equal(info.examples, 1);
    gallery_release(held);
    gallery_close(g);
    store_close(s);
}

/* Re-embedded: other vectors of another length, and no index may go on. */
static void another_recipe(void **state)
{
    static const float v[3] = {0.6f, 0.8f, 0};
    struct err_info err = ERR_INFO_INIT;
    struct gallery_collection *c;
    struct match_row *rows;
    float *vectors;
    size_t n;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct gallery *g = open_gallery(s);
    struct store_tx tx = begin_tx();
    const int64_t e = add_vector(&tx, w.c, w.person[0], &w.seed);
    commit_tx(&tx);
    follow(g);
    tx = begin_tx();
    struct store_collection now = test_collection("c");
    now.row = w.c;
    now.dim = 3;
    now.recipe = "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    must(store_collection_set(&tx, &now, &err), &err);
    must(store_example_set_embedding(&tx, e, v, 3, "f32", &err), &err);
    commit_tx(&tx);
    follow(g);
    must(gallery_hold(&c, g, "c", &err), &err);
    must(match_index_rows(c->index->rows, &rows, &vectors, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(c->is.dim, 3);
    assert_memory_equal(vectors, v, sizeof v);
    free(rows);
    free(vectors);
    gallery_release(c);
    gallery_close(g);
    store_close(s);
}

/* Ids come before names, rows before both. */
static void many_collections(void **state)
{
    enum { MANY = 60 };
    struct err_info err = ERR_INFO_INIT;
    struct gallery_collection *c;
    int64_t row[MANY];
    uint64_t seed = 1;
    char name[20];
    (void)state;
    struct store *s = open_store();
    struct gallery *g = open_gallery(s);
    struct store_tx tx = begin_tx();
    for (int i = 0; i < MANY; i++) { /* by name in another order than by row */
        snprintf(name, sizeof name, "n%d", i * 7 % MANY);
        row[i] = add_collection(&tx, name);
        add_vector(&tx, row[i], 0, &seed);
    }
    commit_tx(&tx);
    follow(g);
    tx = begin_tx();
    for (int i = 0; i < MANY; i += 3) add_vector(&tx, row[i], 0, &seed);
    commit_tx(&tx);
    follow(g);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%d", i * 7 % MANY);
        must(gallery_hold(&c, g, name, &err), &err);
        assert_int_equal(c->is.row, row[i]);
        assert_int_equal(c->index->seq, i % 3 ? 1 : 2);
        gallery_release(c);
        assert_int_equal(differences(g, name), 0);
    }
    gallery_close(g);
    store_close(s);
}

/* --- readers beside a writer --- */

struct crowd {
    struct store *store;
    struct gallery *g;
    int64_t c, person;
    atomic_bool stop;
    atomic_int wrong;
};

static enum err add_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct crowd *k = arg;
    const struct store_example e = {.collection = k->c,
                                    .identity = k->person,
                                    .embedding = test_embedding,
                                    .dim = TEST_DIM,
                                    .precision = "sent"};
    const struct store_bytes none = {0};
    struct ulid id;
    int64_t row;
    return store_example_add(&row, &id, tx, &e, none, none, err);
}

/* What a writer has been told is on the disk, he finds. */
static void *write_and_look(void *arg)
{
    struct crowd *k = arg;
    for (int i = 0; i < 60; i++) {
        struct match_index_info before, after;
        struct gallery_collection *c;
        if (gallery_hold(&c, k->g, "c", NULL)) return (void)k->wrong++, NULL;
        match_index_info(c->index->rows, &before);
        gallery_release(c);
        if (store_write(k->store, add_job, k, NULL) || gallery_follow(k->g, NULL) ||
            gallery_hold(&c, k->g, "c", NULL))
            return (void)k->wrong++, NULL;
        match_index_info(c->index->rows, &after);
        gallery_release(c);
        k->wrong += after.examples <= before.examples;
    }
    return NULL;
}

static void *look(void *arg)
{
    struct crowd *k = arg;
    const struct match_query q = {
        .vectors = test_embedding, .n = 1, .top = 1, .rule = MATCH_MAX, .m = 1};
    while (!k->stop) {
        struct gallery_collection *c;
        struct match_candidate best;
        int count;
        if (gallery_hold(&c, k->g, "c", NULL)) return (void)k->wrong++, NULL;
        if (match_index_search(c->index->rows, &q, &best, &count, NULL, NULL, NULL) ||
            (count && (best.identity != k->person || best.similarity < 0.999)))
            k->wrong++;
        gallery_release(c);
    }
    return NULL;
}

/* Changes settings, so that collections come and go under the readers. */
static void *rename_it(void *arg)
{
    static const char *const rules[] = {"max", "centroid"};
    struct crowd *k = arg;
    for (int i = 0; i < 40; i++) {
        struct store_tx tx = begin_tx();
        set_rule(&tx, k->c, rules[i % 2]);
        commit_tx(&tx);
        if (gallery_follow(k->g, NULL)) k->wrong++;
    }
    return NULL;
}

static void readers_beside_writers(void **state)
{
    enum { WRITERS = 3, READERS = 4 };
    pthread_t writer[WRITERS], reader[READERS], other;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct crowd k = {.store = s, .g = open_gallery(s), .c = w.c, .person = w.person[0]};
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&reader[i], NULL, look, &k), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writer[i], NULL, write_and_look, &k), 0);
    assert_int_equal(pthread_create(&other, NULL, rename_it, &k), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(writer[i], NULL);
    pthread_join(other, NULL);
    k.stop = true;
    for (int i = 0; i < READERS; i++) pthread_join(reader[i], NULL);
    assert_int_equal(k.wrong, 0);
    assert_int_equal(differences(k.g, "c"), 0);
    gallery_close(k.g);
    store_close(s);
}

/* --- what goes wrong --- */

/* A vector that cannot be: nothing is lost of what was there, and it goes on once it is gone. */
static void goes_on_after_an_error(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct gallery *none = NULL;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct gallery *g = open_gallery(s);
    struct store_tx tx = begin_tx();
    add_vector(&tx, w.c, w.person[0], &w.seed);
    const int64_t bad = add_vector(&tx, w.c, w.person[0], &w.seed);
    must(store__run(NULL, &tx, "UPDATE examples SET embedding = zeroblob(16) WHERE row = ?1",
                    ARGS(INT(bad)), &err),
         &err);
    commit_tx(&tx);
    assert_int_equal(gallery_follow(g, &err), ERR_INVALID);
    assert_int_equal(gallery_follow(g, &err), ERR_INVALID); /* is tried again */
    assert_int_equal(gallery_open(&none, s, &err), ERR_INVALID);
    assert_null(none);
    tx = begin_tx();
    must(store__run(NULL, &tx,
                    "UPDATE examples SET embedding = (SELECT embedding FROM examples"
                    " WHERE row <> ?1) WHERE row = ?1",
                    ARGS(INT(bad)), &err),
         &err);
    commit_tx(&tx);
    follow(g);
    assert_int_equal(differences(g, "c"), 0);
    gallery_close(g);
    store_close(s);
}

/* Whichever allocation fails: ERR_NOMEM, nothing leaks (asan), and the next call succeeds. */
static void memory_ends(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct gallery *g = NULL;
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct store_tx tx = begin_tx();
    for (int i = 0; i < 20; i++) add_collection(&tx, (char[]){(char)('d' + i), 0});
    add_vector(&tx, w.c, w.person[0], &w.seed);
    commit_tx(&tx);
    enum err rc = ERR_NOMEM;
    for (long n = 0; rc; n++) {
        memory_left = n;
        rc = gallery_open(&g, s, &err);
        memory_left = -1;
        if (rc && rc != ERR_NOMEM) fail_msg("allocation %ld: %s", n, err.message);
    }
    for (int round = 0; round < 2; round++) {
        long n = 0;
        do {
            tx = begin_tx(); /* so that there is something to follow */
            add_vector(&tx, w.c, w.person[0], &w.seed);
            if (round) set_rule(&tx, w.c, n % 2 ? "max" : "centroid");
            commit_tx(&tx);
            memory_left = n++;
            rc = gallery_follow(g, &err);
            memory_left = -1;
            if (rc && rc != ERR_NOMEM) fail_msg("allocation %ld: %s", n, err.message);
        } while (rc);
        assert_true(n > 3);
        assert_int_equal(differences(g, "c"), 0);
    }
    gallery_close(g);
    store_close(s);
}

static enum err note(void *self, const char *collection, const char *says, struct err_info *err)
{
    (void)err;
    snprintf(self, 200, "%s %s", collection, says);
    return ERR_OK;
}

static void check_finds_what_differs(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct gallery_checked checked;
    struct gallery_collection *c;
    char said[200] = "";
    (void)state;
    struct store *s = open_store();
    struct world w = new_world();
    struct gallery *g = open_gallery(s);
    struct store_tx tx = begin_tx();
    const int64_t first = add_vector(&tx, w.c, w.person[0], &w.seed),
                  second = add_vector(&tx, w.c, w.person[1], &w.seed);
    commit_tx(&tx);
    must(gallery_check(&checked, g, note, said, &err), &err); /* follows first */
    assert_int_equal(checked.collections, 1);
    assert_int_equal(checked.examples, 2);
    assert_int_equal(checked.findings, 0);
    must(gallery_hold(&c, g, "c", &err), &err);
    const struct {
        struct match_change change;
        const char *says;
    } rows[] = {
        {{MATCH_MOVE, second, w.person[2], NULL}, "1 of 2 examples"},
        {{MATCH_PUT, first, w.person[0], test_embedding}, "2 of 2 examples"},
        {{MATCH_REMOVE, second, 0, NULL}, "has 1 examples, the collection 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        must(match_index_apply(c->index->rows, &rows[i].change, 1, &err), &err);
        must(gallery_check(&checked, g, note, said, &err), &err);
        assert_int_equal(checked.findings, 1);
        if (strncmp(said, c->is.id, 26) != 0 || !strstr(said, rows[i].says)) fail_msg("%s", said);
    }
    gallery_release(c);
    gallery_close(g);
    store_close(s);
}

static void rules_by_name(void **state)
{
    enum match_rule r = MATCH_MAX;
    (void)state;
    assert_true(gallery_rule_parse(&r, "centroid"));
    assert_int_equal(r, MATCH_CENTROID);
    assert_true(gallery_rule_parse(&r, "mean_top"));
    assert_int_equal(r, MATCH_MEAN_TOP);
    assert_false(gallery_rule_parse(&r, "Max"));
    assert_false(gallery_rule_parse(&r, ""));
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(follows_every_change),
        IN_DIR(far_behind),
        IN_DIR(held_while_it_changes),
        IN_DIR(another_recipe),
        IN_DIR(many_collections),
        IN_DIR(readers_beside_writers),
        IN_DIR(goes_on_after_an_error),
        IN_DIR(check_finds_what_differs),
        IN_DIR(memory_ends),
        cmocka_unit_test(rules_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
