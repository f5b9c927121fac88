#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

#include "engine/base/buf.h"

static int64_t c;

static struct store_tx fresh(void)
{
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "c");
    return tx;
}

static void next(struct store_tx *tx)
{
    commit_tx(tx);
    *tx = begin_tx();
}

static int64_t add_with_pictures(struct store_tx *tx, int64_t identity, const char *thumbnail,
                                 const char *photo)
{
    const struct store_example e = {.collection = c,
                                    .identity = identity,
                                    .embedding = test_embedding,
                                    .dim = TEST_DIM,
                                    .precision = "f32"};
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    int64_t row = 0;
    must(store_example_add(&row, &id, tx, &e,
                           (struct store_bytes){thumbnail, thumbnail ? strlen(thumbnail) : 0},
                           (struct store_bytes){photo, photo ? strlen(photo) : 0}, &err),
         &err);
    return row;
}

static void assert_receipt(const char *name, const struct store_receipt *r,
                           struct store_receipt want)
{
    if (memcmp(r, &want, sizeof want) != 0)
        fail_msg("%s: collections %d identities %d examples %d thumbnails %d photos %d undo %d",
                 name, (int)r->collections, (int)r->identities, (int)r->examples,
                 (int)r->thumbnails, (int)r->photos, (int)r->undo_records);
}

static void receipts(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct store_receipt r = {0};
    struct ulid id;
    const int64_t amy = add_identity(&tx, c, "Amy"), ben = add_identity(&tx, c, "Ben");
    const int64_t a1 = add_with_pictures(&tx, amy, "t", "p"),
                  a2 = add_with_pictures(&tx, amy, "t", NULL);
    add_with_pictures(&tx, ben, NULL, "p");
    add_with_pictures(&tx, 0, "t", NULL);
    next(&tx);
    must(store_undo_begin(&id, &tx, c, "move", &err), &err);
    must(store_example_move(&tx, a1, ben, &err), &err);
    next(&tx);
    must(store_undo_begin(&id, &tx, c, "move", &err), &err);
    must(store_example_move(&tx, a1, amy, &err), &err);
    next(&tx);
    const int64_t seq = one(&tx, "SELECT seq FROM collections");
    must(store_erase_example(&r, &tx, a2, &err), &err);
    assert_receipt("example", &r, (struct store_receipt){.examples = 1, .thumbnails = 1});
    assert_int_equal(one(&tx, "SELECT seq FROM collections"), seq + 1);
    must(store_erase_identity(&r, &tx, amy, &err), &err); /* adds to it */
    assert_receipt(
        "and identity", &r,
        (struct store_receipt){
            .identities = 1, .examples = 2, .thumbnails = 2, .photos = 1, .undo_records = 2});
    assert_int_equal(one(&tx, "SELECT seq FROM collections"), seq + 2);
    assert_int_equal(one(&tx, "SELECT count(*) FROM changes WHERE op = 3"), 2);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo_steps"), 0);
    next(&tx);
    memset(&r, 0, sizeof r);
    must(store_erase_collection(&r, &tx, c, &err), &err);
    assert_receipt(
        "collection", &r,
        (struct store_receipt){
            .collections = 1, .identities = 1, .examples = 2, .thumbnails = 1, .photos = 1});
    static const char *const tables[] = {"SELECT count(*) FROM collections",
                                         "SELECT count(*) FROM identities",
                                         "SELECT count(*) FROM identity_tags",
                                         "SELECT count(*) FROM examples",
                                         "SELECT count(*) FROM example_pictures",
                                         "SELECT count(*) FROM changes",
                                         "SELECT count(*) FROM undo"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (one(&tx, tables[i])) fail_msg("%s: %d", tables[i], (int)one(&tx, tables[i]));
    const struct store_receipt before = r;
    assert_int_equal(store_erase_example(&r, &tx, a1, &err), ERR_NOT_FOUND);
    assert_int_equal(store_erase_identity(&r, &tx, amy, &err), ERR_NOT_FOUND);
    assert_int_equal(store_erase_collection(&r, &tx, c, &err), ERR_NOT_FOUND);
    assert_receipt("nothing", &r, before);
    commit_tx(&tx);
}

/* Each record names the identity in another way; erasing it takes them all, and leaves another's.
 */
static void undo_records_go(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct store_receipt r = {0};
    struct ulid id;
    const int64_t amy = add_identity(&tx, c, "Amy"), ben = add_identity(&tx, c, "Ben");
    const int64_t a = add_example(&tx, c, amy), b = add_example(&tx, c, ben),
                  loose = add_example(&tx, c, 0);
    next(&tx);
    must(store_undo_begin(&id, &tx, c, "from", &err), &err);
    must(store_example_move(&tx, a, ben, &err), &err);
    next(&tx);
    must(store_undo_begin(&id, &tx, c, "to", &err), &err);
    must(store_example_move(&tx, loose, amy, &err), &err);
    must(store_example_move(&tx, loose, 0, &err), &err);
    next(&tx);
    must(store_undo_begin(&id, &tx, c, "merge into", &err), &err);
    const int64_t gone = add_identity(&tx, c, "Gone");
    must(store_identity_retire(&tx, gone, &err), &err);
    must(store_example_move(&tx, loose, amy, &err), &err);
    next(&tx);
    must(store_undo_begin(&id, &tx, c, "another's", &err), &err);
    must(store_example_move(&tx, b, 0, &err), &err);
    next(&tx);
    must(store_erase_identity(&r, &tx, amy, &err), &err);
    assert_int_equal(r.undo_records, 3);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo"), 1);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo WHERE what = 'another''s'"), 1);
    assert_int_equal(one(&tx, "SELECT count(*) FROM retired"), 0);
    commit_tx(&tx);
}

static void retention(void **state)
{
    (void)state;
    enum { DAY_MS = 24 * 3600 * 1000 };
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct store_collection short_lived = test_collection("short");
    struct store_receipt r = {0};
    struct ulid id;
    int64_t other = 0;
    bool more = false;
    short_lived.ttl_days = 2;
    must(store_collection_add(&other, &id, &tx, &short_lived, &err), &err);
    add_example(&tx, c, 0); /* for ever */
    const int64_t dora = add_identity(&tx, other, "Dora");
    for (int i = 0; i < 5; i++) add_example(&tx, other, i == 1 ? dora : 0);
    const int64_t made = tx.now_ms;
    tx.now_ms = made + DAY_MS;
    add_example(&tx, other, 0); /* younger */
    must(store_undo_begin(&id, &tx, c, "old", &err), &err);
    must(store_example_move(&tx, 1, add_identity(&tx, c, "Amy"), &err), &err);
    next(&tx);

    tx.now_ms = made + 2 * DAY_MS;
    must(store_erase_expired(&r, &more, &tx, 10, &err), &err);
    assert_receipt("not yet", &r, (struct store_receipt){0});
    assert_false(more);
    tx.now_ms++;
    must(store_erase_expired(&r, &more, &tx, 3, &err), &err);
    assert_receipt("some", &r, (struct store_receipt){.examples = 3});
    assert_true(more);
    must(store_erase_expired(&r, &more, &tx, 3, &err), &err);
    assert_receipt("all", &r, (struct store_receipt){.examples = 5});
    assert_false(more);
    assert_int_equal(one(&tx, "SELECT count(*) FROM examples"), 2);
    assert_int_equal(one(&tx, "SELECT count(*) FROM identities"), 2);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo"), 1);
    tx.now_ms = made + DAY_MS + (int64_t)STORE_UNDO_DAYS * DAY_MS;
    must(store_erase_expired(&r, &more, &tx, 3, &err), &err);
    assert_int_equal(one(&tx, "SELECT count(*) FROM undo"), 0);
    commit_tx(&tx);
}

/* --- nothing of it in the files --- */

enum { PEOPLE = 400, DIM_BYTES = TEST_DIM * 4 };

/* Something recognisable of person n: for names, external ids, tags, metadata and pictures. */
static void mark(char out[24], char kind, int n)
{
    snprintf(out, 24, "<%c-%05d-%c-mark>", kind, n * 7919 % 100000, kind);
}

static void mark_embedding(float out[TEST_DIM], int n)
{
    for (int i = 0; i < TEST_DIM; i++) out[i] = (float)(n * 131 + i * 17 + 1) / 65536.0f;
}

/* Names, tags and metadata of different lengths, so that rows are moved between pages. */
static void longer(char *out, size_t size, const char *m, int pad)
{
    int n = snprintf(out, size, "%s", m);
    while (pad-- > 0 && n < (int)size - 1) out[n++] = '.';
    out[n] = 0;
}

struct person {
    int64_t identity, examples[2];
};

static void enrol(struct person *p, struct store_tx *tx, int n, int pad)
{
    char name[24], external[24], tag[24], meta[24], long_meta[1200], thumbnail[24], photo[6000];
    const char *tags[1] = {tag};
    float embedding[TEST_DIM];
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    mark(name, 'n', n);
    mark(external, 'x', n);
    mark(tag, 't', n);
    mark(meta, 'm', n);
    mark(thumbnail, 'j', n);
    longer(long_meta, sizeof long_meta, meta, pad);
    const struct store_identity i = {.collection = c,
                                     .name = name,
                                     .external_id = external,
                                     .metadata = long_meta,
                                     .tags = tags,
                                     .n_tags = 1};
    must(store_identity_add(&p->identity, &id, tx, &i, &err), &err);
    mark_embedding(embedding, n);
    for (int k = 0; k < 2; k++) {
        char photo_mark[24];
        const struct store_example e = {.collection = c,
                                        .identity = p->identity,
                                        .embedding = embedding,
                                        .dim = TEST_DIM,
                                        .precision = "f32"};
        mark(photo_mark, 'p', n);
        for (size_t at = 0; at + 24 < sizeof photo; at += 24) memcpy(photo + at, photo_mark, 24);
        must(store_example_add(&p->examples[k], &id, tx, &e,
                               (struct store_bytes){thumbnail, strlen(thumbnail)},
                               (struct store_bytes){photo, (size_t)(pad * 5)}, &err),
             &err);
    }
}

static void rename_person(struct store_tx *tx, const struct person *p, int n, int pad)
{
    char name[24], long_name[190], tag[24];
    const char *tags[1] = {tag};
    struct err_info err = ERR_INFO_INIT;
    mark(name, 'n', n);
    mark(tag, 't', n);
    longer(long_name, sizeof long_name, name, pad);
    const struct store_identity i = {.row = p->identity,
                                     .collection = c,
                                     .name = long_name,
                                     .metadata = "{}",
                                     .tags = tags,
                                     .n_tags = pad % 2};
    must(store_identity_set(tx, &i, 0, &err), &err);
}

static struct buf read_file(const char *suffix)
{
    struct buf b = BUF_INIT(256u << 20);
    struct err_info err = ERR_INFO_INIT;
    char path[100];
    snprintf(path, sizeof path, "%s/visavis.db%s", store_dir, suffix);
    enum err rc = buf_read_file(&b, path, &err);
    if (rc && rc != ERR_NOT_FOUND) fail_msg("%s", err.message);
    return b;
}

static bool found(const struct buf *b, const void *what, size_t n)
{
    return b->len && memmem(b->data, b->len, what, n);
}

/* How many of the person's marks are in the file; their kinds in which[]. */
static int traces(const struct buf *b, int n, char which[8])
{
    static const char kinds[] = "nxtmjp";
    float embedding[TEST_DIM];
    char m[24], *end = which;
    for (const char *k = kinds; *k; k++) {
        mark(m, *k, n);
        if (found(b, m, strlen(m))) *end++ = *k;
    }
    mark_embedding(embedding, n);
    if (found(b, embedding, DIM_BYTES)) *end++ = 'e';
    *end = 0;
    return (int)(end - which);
}

static void nothing_is_left_in_the_files(void **state)
{
    (void)state;
    static struct person people[PEOPLE];
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct ulid id;
    char which[8];
    unsigned seed = 1;
    for (int n = 0; n < PEOPLE; n++) enrol(&people[n], &tx, n, (int)(rand_r(&seed) % 1000u));
    next(&tx);
    for (int k = 0; k < 2 * PEOPLE; k++) {
        const int n = (int)(rand_r(&seed) % PEOPLE);
        rename_person(&tx, &people[n], n, (int)(rand_r(&seed) % 150u));
        if (k % 50 == 0) next(&tx);
    }
    /* every tenth is merged into the next, then every odd one is erased */
    for (int n = 0; n < PEOPLE; n += 10) {
        next(&tx);
        must(store_undo_begin(&id, &tx, c, "merge", &err), &err);
        for (int k = 0; k < 2; k++)
            must(store_example_move(&tx, people[n].examples[k], people[n + 1].identity, &err),
                 &err);
        must(store_identity_retire(&tx, people[n].identity, &err), &err);
    }
    commit_tx(&tx);
    struct store *s = open_store();
    must(store_scrub(s, &err), &err);
    struct buf before = read_file("");
    assert_true(traces(&before, 1, which) >= 3); /* all but what the renaming took away */
    buf_release(&before);
    tx = begin_tx();
    struct store_receipt r = {0};
    for (int n = 1; n < PEOPLE; n += 2) {
        must(store_erase_identity(&r, &tx, people[n].identity, &err), &err);
        if (n % 51 == 0) next(&tx);
    }
    assert_int_equal(r.identities, PEOPLE / 2);
    assert_int_equal(r.examples, PEOPLE + PEOPLE / 10 * 2);
    assert_int_equal(r.undo_records, PEOPLE / 10);
    commit_tx(&tx);
    struct buf wal = read_file("-wal");
    assert_true(wal.len > 0);
    buf_release(&wal);
    must(store_scrub(s, &err), &err);
    struct buf db = read_file(""), log = read_file("-wal");
    assert_int_equal(log.len, 0);
    int left = 0;
    for (int n = 0; n < PEOPLE; n++) {
        const bool gone = n % 2 || n % 10 == 0; /* the merged ones went with the undo record */
        const int t = traces(&db, n, which);
        if (!gone && t < 3) fail_msg("person %d should be there: %s", n, which);
        if (gone && t) {
            printf("person %d: %s\n", n, which);
            left += t;
        }
    }
    buf_release(&db);
    buf_release(&log);
    store_close(s);
    assert_int_equal(left, 0);
}

struct reader {
    struct store *s;
    enum err rc;
};

static enum err scrub_while_reading(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct reader *r = arg;
    int64_t n;
    enum err rc = store__ints(&n, 1, NULL, tx, "SELECT count(*) FROM collections", NULL, err);
    r->rc = store_scrub(r->s, err);
    return rc;
}

static enum err touch(struct store_tx *tx, void *arg, struct err_info *err)
{
    (void)arg;
    return store__run(NULL, tx, "UPDATE collections SET updated_ms = updated_ms + 1", NULL, err);
}

static enum err write_and_scrub_while_reading(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct reader *r = arg;
    int64_t n;
    enum err rc = store__ints(&n, 1, NULL, tx, "SELECT count(*) FROM collections", NULL, err);
    if (!rc) rc = store_write(r->s, touch, NULL, err);
    return rc ? rc : scrub_while_reading(tx, arg, err);
}

static void a_reader_is_in_the_way(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    commit_tx(&tx);
    struct store *s = open_store();
    struct reader r = {s, ERR_OK};
    must(store_read(s, write_and_scrub_while_reading, &r, &err), &err);
    assert_int_equal(r.rc, ERR_BUSY);
    must(store_scrub(s, &err), &err); /* it has ended */
    store_close(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(receipts),
        T(undo_records_go),
        T(retention),
        T(nothing_is_left_in_the_files),
        T(a_reader_is_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
