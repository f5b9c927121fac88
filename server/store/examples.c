#include "server/store/examples.h"

#include "server/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

#define SELECT_EXAMPLE                                                                             \
    "SELECT e.row, e.collection, e.identity, e.id, i.id, e.embedding, e.precision, e.box,"         \
    " e.points, e.quality, e.source, e.created_ms, typeof(p.thumbnail) = 'blob',"                  \
    " typeof(p.photo) = 'blob' FROM examples e LEFT JOIN identities i ON i.row = e.identity"       \
    " LEFT JOIN example_pictures p ON p.example = e.row "

/* false: NULL, or of another size. */
static bool read_bytes(void *out, size_t size, sqlite3_stmt *st, int column)
{
    const void *data = sqlite3_column_blob(st, column);
    if (!data || (size_t)sqlite3_column_bytes(st, column) != size) return false;
    memcpy(out, data, size);
    return true;
}

static enum err hand_over(sqlite3_stmt *st, store_example_each *each, void *self,
                          struct err_info *err)
{
    size_t bytes = (size_t)sqlite3_column_bytes(st, 5);
    /* copied to where floats may lie: SQLite's blobs are not aligned */
    float *embedding = malloc(bytes + 1);
    if (!embedding) return err_set(err, ERR_NOMEM, "no memory for an embedding");
    struct store_example e = {
        .row = sqlite3_column_int64(st, 0),
        .collection = sqlite3_column_int64(st, 1),
        .identity = sqlite3_column_int64(st, 2),
        .id = store__text(st, 3),
        .identity_id = store__text(st, 4),
        .embedding = embedding,
        .dim = (int)(bytes / sizeof(float)),
        .precision = store__text(st, 6),
        .quality = sqlite3_column_double(st, 9),
        .created_ms = sqlite3_column_int64(st, 11),
        .has_thumbnail = sqlite3_column_int(st, 12),
        .has_photo = sqlite3_column_int(st, 13),
    };
    read_bytes(embedding, bytes, st, 5);
    e.has_face =
        read_bytes(e.box, sizeof e.box, st, 7) && read_bytes(e.points, sizeof e.points, st, 8);
    e.has_source = read_bytes(e.source, sizeof e.source, st, 10);
    enum err rc = store__columns_read(st, err);
    if (!rc) rc = each(self, &e, err);
    free(embedding);
    return rc;
}

/* *n, where not NULL: how many there were. */
static enum err hand_all(size_t *n, sqlite3_stmt *st, store_example_each *each, void *self,
                         struct err_info *err)
{
    size_t count = 0;
    bool row = true;
    enum err rc = ERR_OK;
    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        rc = hand_over(st, each, self, err);
        count++;
    }
    store__end(st);
    if (n) *n = count;
    return rc;
}

static enum err add_pictures(struct store_tx *tx, int64_t row, struct store_bytes thumbnail,
                             struct store_bytes photo, struct err_info *err)
{
    if (!thumbnail.data && !photo.data) return ERR_OK;
    return store__run(
        NULL, tx, "INSERT INTO example_pictures (example, thumbnail, photo) VALUES (?1, ?2, ?3)",
        ARGS(INT(row), BLOB(thumbnail.data, thumbnail.len), BLOB(photo.data, photo.len)), err);
}

enum err store_example_add(int64_t *row, struct ulid *id, struct store_tx *tx,
                           const struct store_example *e, struct store_bytes thumbnail,
                           struct store_bytes photo, struct err_info *err)
{
    struct ulid made;
    int64_t made_row, dim = 0;
    bool found = false;
    enum err rc = store__ints(&dim, 1, &found, tx, "SELECT dim FROM collections WHERE row = ?1",
                              ARGS(INT(e->collection)), err);

    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the collection is gone");
    if (e->dim != dim)
        return err_set(err, ERR_BAD_EMBEDDING,
                       "the embedding has %d numbers, the collection's have %d", e->dim, (int)dim);
    if (e->identity && (rc = store__identity_touch(tx, e->collection, e->identity, err))) return rc;
    ulid_make(&made);
    rc = store__ints(
        &made_row, 1, NULL, tx,
        "INSERT INTO examples (id, collection, identity, embedding, precision, box, points, "
        "quality, source, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING "
        "row",
        ARGS(TEXT(made.s), INT(e->collection), ROW(e->identity),
             BLOB(e->embedding, (size_t)e->dim * sizeof(float)), TEXT(e->precision),
             BLOB(e->has_face ? e->box : NULL, sizeof e->box),
             BLOB(e->has_face ? e->points : NULL, sizeof e->points),
             {.type = e->has_face ? ARG_REAL : ARG_NULL, .d = e->quality},
             BLOB(e->has_source ? e->source : NULL, sizeof e->source), INT(tx->now_ms)),
        err);
    if (rc || (rc = store__changed(tx, e->collection, STORE_ADDED, made_row, err)) ||
        (rc = add_pictures(tx, made_row, thumbnail, photo, err)))
        return rc;
    *row = made_row;
    *id = made;
    return ERR_OK;
}

enum err store_example_get(struct store_tx *tx, int64_t collection, const char *id,
                           store_example_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    enum err rc = store__query(&st, tx, SELECT_EXAMPLE "WHERE e.id = ?2 AND e.collection = ?1",
                               ARGS(INT(collection), TEXT(id)), err);

    if (!rc) rc = hand_all(&n, st, each, self, err);
    if (!rc && !n)
        rc = err_set(err, ERR_NOT_FOUND, "there is no example %.60s in the collection", id);
    return rc;
}

enum err store_example_get_rows(struct store_tx *tx, const int64_t *rows, size_t n,
                                store_example_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    enum err rc = ERR_OK;

    for (size_t i = 0; i < n && !rc; i++) {
        rc = store__query(&st, tx, SELECT_EXAMPLE "WHERE e.row = ?1", ARGS(INT(rows[i])), err);
        if (!rc) rc = hand_all(NULL, st, each, self, err);
    }
    return rc;
}

enum err store_example_list(struct store_tx *tx, int64_t collection, int64_t identity,
                            int64_t after, int limit, store_example_each *each, void *self,
                            struct err_info *err)
{
#define PAGE "AND e.collection = ?1 AND e.row > ?2 ORDER BY e.row LIMIT ?3"
    static const char any[] = SELECT_EXAMPLE "WHERE TRUE " PAGE;
    static const char nobody[] = SELECT_EXAMPLE "WHERE e.identity IS NULL " PAGE;
    static const char of[] = SELECT_EXAMPLE "WHERE e.identity = ?4 " PAGE;
#undef PAGE
    sqlite3_stmt *st = NULL;
    enum err rc;

    if (identity == STORE_ANY || identity == STORE_UNASSIGNED)
        rc = store__query(&st, tx, identity == STORE_ANY ? any : nobody,
                          ARGS(INT(collection), INT(after), INT(limit)), err);
    else
        rc = store__query(&st, tx, of, ARGS(INT(collection), INT(after), INT(limit), INT(identity)),
                          err);
    return rc ? rc : hand_all(NULL, st, each, self, err);
}

enum err store_example_by_source(struct store_tx *tx, int64_t collection,
                                 const uint8_t source[STORE_SHA256_BYTES], store_example_each *each,
                                 void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    enum err rc = store__query(
        &st, tx, SELECT_EXAMPLE "WHERE e.collection = ?1 AND e.source = ?2 ORDER BY e.row",
        ARGS(INT(collection), BLOB(source, STORE_SHA256_BYTES)), err);
    return rc ? rc : hand_all(NULL, st, each, self, err);
}

enum err store_example_picture(struct buf *out, struct store_tx *tx, int64_t row,
                               enum store_picture which, struct err_info *err)
{
    static const char thumbnail[] = "SELECT thumbnail FROM example_pictures WHERE example = ?1";
    static const char photo[] = "SELECT photo FROM example_pictures WHERE example = ?1";
    sqlite3_stmt *st = NULL;
    bool found = false;
    enum err rc =
        store__query(&st, tx, which == STORE_PHOTO ? photo : thumbnail, ARGS(INT(row)), err);

    if (!rc && !(rc = store__step(&found, st, err))) {
        const void *data = found ? sqlite3_column_blob(st, 0) : NULL;
        size_t len = found ? (size_t)sqlite3_column_bytes(st, 0) : 0;
        rc = store__columns_read(st, err);
        if (!rc)
            rc = data ? buf_add(out, data, len, err)
                      : err_set(err, ERR_NOT_FOUND, "no %s of the example is kept",
                                which == STORE_PHOTO ? "photograph" : "thumbnail");
    }
    store__end(st);
    return rc;
}

/* The collection and the identity that it is with. */
static enum err place(int64_t out[2], struct store_tx *tx, int64_t row, struct err_info *err)
{
    bool found = false;
    enum err rc =
        store__ints(out, 2, &found, tx, "SELECT collection, identity FROM examples WHERE row = ?1",
                    ARGS(INT(row)), err);
    if (!rc && !found) rc = err_set(err, ERR_NOT_FOUND, "the example is gone");
    return rc;
}

enum err store_example_move(struct store_tx *tx, int64_t row, int64_t identity,
                            struct err_info *err)
{
    int64_t at[2] = {0, 0};
    enum err rc = place(at, tx, row, err);

    if (rc || at[1] == identity) return rc;
    if (identity && (rc = store__identity_touch(tx, at[0], identity, err))) return rc;
    if (at[1] && (rc = store__identity_touch(tx, at[0], at[1], err))) return rc;
    rc = store__run(NULL, tx, "UPDATE examples SET identity = ?2 WHERE row = ?1",
                    ARGS(INT(row), ROW(identity)), err);
    if (!rc) rc = store__changed(tx, at[0], STORE_MOVED, row, err);
    return rc ? rc : store__undo_step(tx, at[0], UNDO_MOVED, row, at[1], identity, err);
}

enum err store_example_set_embedding(struct store_tx *tx, int64_t row, const float *embedding,
                                     int dim, const char *precision, struct err_info *err)
{
    int64_t at[2] = {0, 0};
    enum err rc = place(at, tx, row, err);

    if (rc) return rc;
    rc = store__run(NULL, tx, "UPDATE examples SET embedding = ?2, precision = ?3 WHERE row = ?1",
                    ARGS(INT(row), BLOB(embedding, (size_t)dim * sizeof(float)), TEXT(precision)),
                    err);
    /* as one that was added: an index puts it in the place of what it has */
    if (!rc) rc = store__changed(tx, at[0], STORE_ADDED, row, err);
    return rc || !at[1] ? rc : store__identity_touch(tx, at[0], at[1], err);
}
