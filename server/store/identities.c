#include "server/store/identities.h"

#include "server/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_BYTES = STORE_TAG_MAX * 4 + 1 };

#define SELECT_IDENTITY                                                                            \
    "SELECT i.row, i.collection, i.id, i.name, i.external_id, i.metadata,"                         \
    " (SELECT count(*) FROM examples e WHERE e.identity = i.row), i.version, i.created_ms,"        \
    " i.updated_ms FROM identities i "

/* The tags of the identity i and then the each-function. */
static enum err hand_over(sqlite3_stmt *st, struct store_tx *tx, store_identity_each *each,
                          void *self, struct err_info *err)
{
    char text[STORE_TAGS_MAX][TAG_BYTES];
    const char *tags[STORE_TAGS_MAX];
    sqlite3_stmt *get = NULL;
    bool row = false;
    struct store_identity i = {
        .row = sqlite3_column_int64(st, 0),
        .collection = sqlite3_column_int64(st, 1),
        .id = store__text(st, 2),
        .name = store__text(st, 3),
        .external_id = store__text(st, 4),
        .metadata = store__text(st, 5),
        .tags = tags,
        .examples = sqlite3_column_int64(st, 6),
        .version = sqlite3_column_int64(st, 7),
        .created_ms = sqlite3_column_int64(st, 8),
        .updated_ms = sqlite3_column_int64(st, 9),
    };
    enum err rc = store__columns_read(st, err);

    if (!rc)
        rc =
            store__query(&get, tx, "SELECT tag FROM identity_tags WHERE identity = ?1 ORDER BY tag",
                         ARGS(INT(i.row)), err);
    while (!rc && i.n_tags < STORE_TAGS_MAX && !(rc = store__step(&row, get, err)) && row) {
        store__copy_text(text[i.n_tags], TAG_BYTES, get, 0);
        tags[i.n_tags] = text[i.n_tags];
        i.n_tags++;
        rc = store__columns_read(get, err);
    }
    store__end(get);
    return rc ? rc : each(self, &i, err);
}

static enum err hand_all(sqlite3_stmt *st, struct store_tx *tx, store_identity_each *each,
                         void *self, struct err_info *err)
{
    bool row = true;
    enum err rc = ERR_OK;
    while (!rc && !(rc = store__step(&row, st, err)) && row)
        rc = hand_over(st, tx, each, self, err);
    store__end(st);
    return rc;
}

/* Lengths, and whose the external id is. */
static enum err check(struct store_tx *tx, const struct store_identity *i, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__check_length("identity's name", i->name, 1, STORE_NAME_MAX, err);

    if (rc || (rc = store__check_metadata(i->metadata, err))) return rc;
    if (i->n_tags > STORE_TAGS_MAX)
        return err_set(err, ERR_INVALID, "the identity has %d tags, the limit is %d", i->n_tags,
                       STORE_TAGS_MAX);
    for (int t = 0; t < i->n_tags; t++)
        if ((rc = store__check_length("tag", i->tags[t], 1, STORE_TAG_MAX, err))) return rc;
    if (!i->external_id) return ERR_OK;
    if ((rc = store__check_length("external id", i->external_id, 1, STORE_NAME_MAX, err)))
        return rc;
    rc = store__query(&st, tx,
                      "SELECT id FROM identities WHERE collection = ?1 AND external_id = ?2"
                      " AND row <> ?3",
                      ARGS(INT(i->collection), TEXT(i->external_id), INT(i->row)), err);
    if (!rc && !(rc = store__step(&row, st, err)) && row)
        rc = err_set(err, ERR_CONFLICT, "the external id \"%.200s\" is taken by the identity %s",
                     i->external_id, store__text(st, 0));
    store__end(st);
    return rc;
}

static enum err add_tags(struct store_tx *tx, int64_t row, const struct store_identity *i,
                         struct err_info *err)
{
    enum err rc = ERR_OK;
    for (int t = 0; t < i->n_tags && !rc; t++)
        rc = store__run(NULL, tx,
                        "INSERT OR IGNORE INTO identity_tags (identity, tag) VALUES (?1, ?2)",
                        ARGS(INT(row), TEXT(i->tags[t])), err);
    return rc;
}

enum err store_identity_add(int64_t *row, struct ulid *id, struct store_tx *tx,
                            const struct store_identity *i, struct err_info *err)
{
    struct store_identity new = *i;
    struct ulid made;
    int64_t there, made_row;
    bool found = false;
    enum err rc;

    new.row = 0;
    ulid_make(&made);
    if ((rc = check(tx, &new, err))) return rc;
    if ((rc = store__ints(&there, 1, &found, tx, "SELECT 1 FROM collections WHERE row = ?1",
                          ARGS(INT(i->collection)), err)))
        return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the collection is gone");
    rc = store__ints(&made_row, 1, NULL, tx,
                     "INSERT INTO identities (id, collection, name, external_id, metadata, "
                     "created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) RETURNING row",
                     ARGS(TEXT(made.s), INT(i->collection), TEXT(i->name), TEXT(i->external_id),
                          TEXT(i->metadata), INT(tx->now_ms)),
                     err);
    if (rc || (rc = add_tags(tx, made_row, i, err)) ||
        (rc = store__undo_step(tx, i->collection, UNDO_MADE, 0, 0, made_row, err)))
        return rc;
    *row = made_row;
    *id = made;
    return ERR_OK;
}

enum err store_identity_get(struct store_tx *tx, int64_t collection, const char *id,
                            store_identity_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, tx, SELECT_IDENTITY "WHERE i.id = ?2 AND i.collection = ?1",
                               ARGS(INT(collection), TEXT(id)), err);

    if (!rc && !(rc = store__step(&row, st, err)))
        rc = row ? hand_over(st, tx, each, self, err)
                 : err_set(err, ERR_NOT_FOUND, "there is no identity %.60s in the collection", id);
    store__end(st);
    return rc;
}

static enum err take_row(void *self, const struct store_identity *i, struct err_info *err)
{
    int64_t *row = self;
    (void)err;
    *row = i->row;
    return ERR_OK;
}

enum err store_identity_row(int64_t *row, struct store_tx *tx, int64_t collection, const char *id,
                            struct err_info *err)
{
    return store_identity_get(tx, collection, id, take_row, row, err);
}

enum err store_identity_get_rows(struct store_tx *tx, const int64_t *rows, size_t n,
                                 store_identity_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    enum err rc = ERR_OK;

    for (size_t i = 0; i < n && !rc; i++) {
        rc = store__query(&st, tx, SELECT_IDENTITY "WHERE i.row = ?1", ARGS(INT(rows[i])), err);
        if (!rc) rc = hand_all(st, tx, each, self, err);
    }
    return rc;
}

/* instr and not LIKE: the part is taken as it is; lower changes ASCII letters alone. */
#define NAMED "(?3 IS NULL OR instr(lower(i.name), lower(?3)) > 0) "

enum err store_identity_list(struct store_tx *tx, const struct store_identity_query *q,
                             store_identity_each *each, void *self, struct err_info *err)
{
    static const char all[] = SELECT_IDENTITY "WHERE i.collection = ?1 AND i.row > ?2 AND " NAMED
                                              "ORDER BY i.row LIMIT ?4";
    static const char tagged[] =
        SELECT_IDENTITY "JOIN identity_tags t ON t.identity = i.row "
                        "WHERE t.tag = ?5 AND t.identity > ?2 AND i.collection = ?1 AND " NAMED
                        "ORDER BY t.identity LIMIT ?4";
    static const char external[] = SELECT_IDENTITY
        "WHERE i.collection = ?1 AND i.external_id = ?6 AND i.row > ?2 AND " NAMED
        "AND (?5 IS NULL OR EXISTS (SELECT 1 FROM identity_tags t WHERE t.identity = i.row"
        " AND t.tag = ?5)) LIMIT ?4";
    const char *const sql = q->external_id ? external : q->tag ? tagged : all;
    struct store__arg args[] = {INT(q->collection), INT(q->after), TEXT(q->name),
                                INT(q->limit),      TEXT(q->tag),  TEXT(q->external_id),
                                {.type = ARG_END}};
    sqlite3_stmt *st = NULL;
    enum err rc;

    if (!q->external_id) args[q->tag ? 5 : 4].type = ARG_END;
    rc = store__query(&st, tx, sql, args, err);
    return rc ? rc : hand_all(st, tx, each, self, err);
}

struct rows {
    int64_t *row;
    size_t n, room;
};

static enum err collect(struct rows *r, sqlite3_stmt *st, struct err_info *err)
{
    bool row = true;
    enum err rc;
    while (!(rc = store__step(&row, st, err)) && row) {
        if (r->n == r->room) {
            size_t room = r->room ? r->room * 2 : 256;
            int64_t *more = reallocarray(r->row, room, sizeof *more);
            if (!more) return err_set(err, ERR_NOMEM, "no memory for %zu identities", room);
            r->row = more;
            r->room = room;
        }
        r->row[r->n++] = sqlite3_column_int64(st, 0);
    }
    return rc;
}

static int by_row(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum err store_identity_tagged(int64_t **rows, size_t *n, struct store_tx *tx, int64_t collection,
                               const char *const *tags, int n_tags, struct err_info *err)
{
    struct rows r = {0};
    enum err rc = ERR_OK;

    for (int t = 0; t < n_tags && !rc; t++) {
        sqlite3_stmt *st = NULL;
        rc = store__query(&st, tx,
                          "SELECT t.identity FROM identity_tags t JOIN identities i"
                          " ON i.row = t.identity WHERE t.tag = ?2 AND i.collection = ?1",
                          ARGS(INT(collection), TEXT(tags[t])), err);
        if (!rc) rc = collect(&r, st, err);
        store__end(st);
    }
    if (rc) {
        free(r.row);
        return rc;
    }
    if (r.n) qsort(r.row, r.n, sizeof *r.row, by_row);
    size_t kept = 0;
    for (size_t i = 0; i < r.n; i++)
        if (!kept || r.row[i] != r.row[kept - 1]) r.row[kept++] = r.row[i];
    *rows = r.row;
    *n = kept;
    return ERR_OK;
}

enum err store_identity_set(struct store_tx *tx, const struct store_identity *i, int64_t version,
                            struct err_info *err)
{
    int64_t now;
    bool found = false;
    enum err rc = store__ints(&now, 1, &found, tx,
                              "SELECT version FROM identities WHERE row = ?1 AND collection = ?2",
                              ARGS(INT(i->row), INT(i->collection)), err);

    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the identity is gone");
    if (version && version != now)
        return err_set(err, ERR_PRECONDITION,
                       "the identity has been changed: it is at version %lld, not %lld",
                       (long long)now, (long long)version);
    if ((rc = check(tx, i, err))) return rc;
    rc = store__run(
        NULL, tx,
        "UPDATE identities SET name = ?2, external_id = ?3, metadata = ?4,"
        " version = version + 1, updated_ms = ?5 WHERE row = ?1",
        ARGS(INT(i->row), TEXT(i->name), TEXT(i->external_id), TEXT(i->metadata), INT(tx->now_ms)),
        err);
    if (!rc)
        rc = store__run(NULL, tx, "DELETE FROM identity_tags WHERE identity = ?1",
                        ARGS(INT(i->row)), err);
    return rc ? rc : add_tags(tx, i->row, i, err);
}

enum err store__identity_touch(struct store_tx *tx, int64_t collection, int64_t identity,
                               struct err_info *err)
{
    int64_t n = 0;
    enum err rc = store__run(&n, tx,
                             "UPDATE identities SET version = version + 1, updated_ms = ?3"
                             " WHERE row = ?1 AND collection = ?2",
                             ARGS(INT(identity), INT(collection), INT(tx->now_ms)), err);
    if (!rc && !n)
        rc = err_set(err, ERR_NOT_FOUND, "the identity is gone, or of another collection");
    return rc;
}
