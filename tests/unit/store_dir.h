/* For tests of the store: a data folder of their own, a collection in it, and transactions on the
 * test's own thread and connection, where cmocka's assertions work (they do not in a job, which the
 * writer's thread runs). Header only. */
#ifndef VISAVIS_TESTS_UNIT_STORE_DIR_H
#define VISAVIS_TESTS_UNIT_STORE_DIR_H

#include "server/store/store_internal.h"
#include "server/store/undo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the test that runs now. */
static char store_dir[64];

static inline int make_store_dir(void **state)
{
    (void)state;
    strcpy(store_dir, "/tmp/visavis-store-XXXXXX");
    return mkdtemp(store_dir) ? 0 : -1;
}

static inline int remove_store_dir(void **state)
{
    static const char *const files[] = {"", "-wal", "-shm"};
    char path[100];
    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/visavis.db%s", store_dir, files[i]);
        unlink(path);
    }
    return rmdir(store_dir);
}

static inline struct store *open_store(void)
{
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    if (store_open(&s, store_dir, &err)) fail_msg("%s", err.message);
    return s;
}

static inline void must(enum err rc, const struct err_info *err)
{
    if (rc) fail_msg("%s: %s", err_name(rc), err->message);
}

/* One transaction at a time, kept by commit_tx, or taken back by roll_back_tx. */
static inline struct store_tx begin_tx(void)
{
    struct err_info err = ERR_INFO_INIT;
    char path[100];
    struct store_tx tx = {.now_ms = store__now_ms()};
    snprintf(path, sizeof path, "%s/visavis.db", store_dir);
    must(store__conn_open(&tx.conn, path, true, &err), &err);
    must(store__run(NULL, &tx, "BEGIN IMMEDIATE", NULL, &err), &err);
    return tx;
}

static inline void commit_tx(struct store_tx *tx)
{
    struct err_info err = ERR_INFO_INIT;
    must(store__undo_complete(tx, &err), &err);
    must(store__run(NULL, tx, "COMMIT", NULL, &err), &err);
    store__conn_close(tx->conn);
}

static inline void roll_back_tx(struct store_tx *tx)
{
    struct err_info err = ERR_INFO_INIT;
    must(store__run(NULL, tx, "ROLLBACK", NULL, &err), &err);
    store__conn_close(tx->conn);
}

enum { TEST_DIM = 4 };

static inline struct store_collection test_collection(const char *name)
{
    return (struct store_collection){
        .name = name,
        .model = "dlib-resnet",
        .recipe = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .dim = TEST_DIM,
        .rule = "max",
        .rule_top = 1,
        .metadata = "{}",
    };
}

static inline int64_t add_collection(struct store_tx *tx, const char *name)
{
    const struct store_collection c = test_collection(name);
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    int64_t row = 0;
    must(store_collection_add(&row, &id, tx, &c, &err), &err);
    return row;
}

static inline int64_t add_identity(struct store_tx *tx, int64_t collection, const char *name)
{
    const struct store_identity i = {.collection = collection, .name = name, .metadata = "{}"};
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    int64_t row = 0;
    must(store_identity_add(&row, &id, tx, &i, &err), &err);
    return row;
}

static const float test_embedding[TEST_DIM] = {0.5f, -0.5f, 0.5f, 0.5f};

/* identity 0: nobody's */
static inline int64_t add_example(struct store_tx *tx, int64_t collection, int64_t identity)
{
    const struct store_example e = {.collection = collection,
                                    .identity = identity,
                                    .embedding = test_embedding,
                                    .dim = TEST_DIM,
                                    .precision = "sent"};
    const struct store_bytes none = {0};
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    int64_t row = 0;
    must(store_example_add(&row, &id, tx, &e, none, none, &err), &err);
    return row;
}

/* The first column of the one row of a statement; its text is a literal. */
static inline int64_t one(struct store_tx *tx, const char *sql)
{
    struct err_info err = ERR_INFO_INIT;
    int64_t n = 0;
    must(store__ints(&n, 1, NULL, tx, sql, NULL, &err), &err);
    return n;
}

#endif
