/* What search indexes follow: every embedding once, then the changes since. */
#include "server/store/examples.h"

#include "server/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

enum err store__changed(struct store_tx *tx, int64_t collection, enum store_change op,
                        int64_t example, struct err_info *err)
{
    int64_t seq;
    enum err rc = store__ints(&seq, 1, NULL, tx,
                              "UPDATE collections SET seq = seq + 1 WHERE row = ?1 RETURNING seq",
                              ARGS(INT(collection)), err);
    if (rc) return rc;
    return store__run(NULL, tx,
                      "INSERT INTO changes (collection, seq, op, example) VALUES (?1, ?2, ?3, ?4)",
                      ARGS(INT(collection), INT(seq), INT(op), INT(example)), err);
}

enum err store__changes_forget(struct store_tx *tx, int64_t collection, struct err_info *err)
{
    enum err rc = store__run(NULL, tx, "DELETE FROM changes WHERE collection = ?1",
                             ARGS(INT(collection)), err);
    /* a number without a row: whoever is at an earlier one misses it */
    return rc ? rc
              : store__run(NULL, tx, "UPDATE collections SET seq = seq + 1 WHERE row = ?1",
                           ARGS(INT(collection)), err);
}

enum err store__changes_trim(bool *more, struct store_tx *tx, int most, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, tx,
                               "SELECT row, seq - ?1, (SELECT min(seq) FROM changes"
                               " WHERE collection = c.row) AS oldest FROM collections c"
                               " WHERE oldest <= seq - ?1",
                               ARGS(INT(CHANGES_KEPT)), err);
    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        int64_t collection = sqlite3_column_int64(st, 0), last = sqlite3_column_int64(st, 1),
                first = sqlite3_column_int64(st, 2);
        if (last - first >= most) {
            last = first + most - 1;
            *more = true;
        }
        rc = store__run(NULL, tx, "DELETE FROM changes WHERE collection = ?1 AND seq <= ?2",
                        ARGS(INT(collection), INT(last)), err);
    }
    store__end(st);
    return rc;
}

/* The embedding in the column, copied to where floats may lie. */
static enum err read_embedding(float *out, sqlite3_stmt *st, int column, int dim, int64_t example,
                               struct err_info *err)
{
    const void *data = sqlite3_column_blob(st, column);
    size_t bytes = (size_t)sqlite3_column_bytes(st, column);
    enum err rc = store__columns_read(st, err);

    if (rc) return rc;
    if (bytes != (size_t)dim * sizeof(float))
        return err_set(err, ERR_IO,
                       "the embedding of example row %lld has %zu bytes, its collection's %zu",
                       (long long)example, bytes, (size_t)dim * sizeof(float));
    memcpy(out, data, bytes);
    return ERR_OK;
}

static enum err scratch(float **out, int dim, struct err_info *err)
{
    float *f = malloc((size_t)dim * sizeof *f);
    if (!f) return err_set(err, ERR_NOMEM, "no memory for an embedding of %d floats", dim);
    *out = f;
    return ERR_OK;
}

enum err store_vectors(struct store_tx *tx, int64_t collection, int dim, store_vector_each *each,
                       void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    float *embedding = NULL;
    bool row = false;
    enum err rc = scratch(&embedding, dim, err);

    if (!rc)
        rc = store__query(&st, tx,
                          "SELECT row, identity, embedding FROM examples WHERE collection = ?1"
                          " ORDER BY row",
                          ARGS(INT(collection)), err);
    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        int64_t example = sqlite3_column_int64(st, 0), identity = sqlite3_column_int64(st, 1);
        rc = read_embedding(embedding, st, 2, dim, example, err);
        if (!rc) rc = each(self, example, identity, embedding, err);
    }
    store__end(st);
    free(embedding);
    return rc;
}

/* Is there a row for each number after seq? */
static enum err check_kept(struct store_tx *tx, int64_t collection, int64_t seq,
                           struct err_info *err)
{
    int64_t n[2] = {0, 0};
    bool found = false;
    enum err rc = store__ints(n, 2, &found, tx,
                              "SELECT seq, (SELECT count(*) FROM changes WHERE collection = ?1"
                              " AND seq > ?2) FROM collections WHERE row = ?1",
                              ARGS(INT(collection), INT(seq)), err);
    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the collection is gone");
    if (n[0] - seq != n[1])
        return err_set(err, ERR_CONFLICT, "the changes from %lld to %lld are not all kept any more",
                       (long long)seq + 1, (long long)n[0]);
    return ERR_OK;
}

enum err store_changes(struct store_tx *tx, int64_t collection, int64_t seq, int dim,
                       store_change_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    float *embedding = NULL;
    bool row = false;
    enum err rc = check_kept(tx, collection, seq, err);

    if (!rc) rc = scratch(&embedding, dim, err);
    if (!rc)
        rc = store__query(&st, tx,
                          "SELECT c.seq, c.op, c.example, e.identity, e.embedding FROM changes c"
                          " LEFT JOIN examples e ON e.row = c.example"
                          " WHERE c.collection = ?1 AND c.seq > ?2 ORDER BY c.seq",
                          ARGS(INT(collection), INT(seq)), err);
    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        int64_t example = sqlite3_column_int64(st, 2);
        bool there = sqlite3_column_type(st, 4) != SQLITE_NULL;
        if (there) rc = read_embedding(embedding, st, 4, dim, example, err);
        if (!rc)
            rc = each(self, sqlite3_column_int64(st, 0),
                      (enum store_change)sqlite3_column_int(st, 1), example,
                      sqlite3_column_int64(st, 3), there ? embedding : NULL, err);
    }
    store__end(st);
    free(embedding);
    return rc;
}
