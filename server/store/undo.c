/* One record in undo for each change that can be taken back, its steps in undo_steps, identities
 * that it removed in retired. */
#include "server/store/undo.h"

#include "server/store/store_internal.h"

#include <stdio.h>
#include <string.h>

static const int64_t DAY_MS = 24LL * 3600 * 1000;

enum err store_undo_begin(struct ulid *id, struct store_tx *tx, int64_t collection,
                          const char *what, struct err_info *err)
{
    struct ulid made;
    enum err rc;

    ulid_make(&made);
    rc = store__ints(&tx->undo, 1, NULL, tx,
                     "INSERT INTO undo (id, collection, what, created_ms, expires_ms) "
                     "VALUES (?1, ?2, ?3, ?4, ?5) RETURNING row",
                     ARGS(TEXT(made.s), INT(collection), TEXT(what), INT(tx->now_ms),
                          INT(tx->now_ms + STORE_UNDO_DAYS * DAY_MS)),
                     err);
    if (rc) return rc;
    tx->undo_collection = collection;
    tx->undo_steps = 0;
    tx->undo_other = false;
    *id = made;
    return ERR_OK;
}

enum err store__undo_step(struct store_tx *tx, int64_t collection, enum store__undo_op op,
                          int64_t example, int64_t from, int64_t identity, struct err_info *err)
{
    if (!tx->undo || collection != tx->undo_collection) return ERR_OK;
    return store__run(
        NULL, tx,
        "INSERT INTO undo_steps (undo, n, op, example, from_identity, identity) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        ARGS(INT(tx->undo), INT(++tx->undo_steps), INT(op), ROW(example), ROW(from), ROW(identity)),
        err);
}

enum err store__undo_complete(struct store_tx *tx, struct err_info *err)
{
    if (!tx->undo) return ERR_OK;
    if (!tx->undo_steps && !tx->undo_other) /* nothing to take back */
        return store__run(NULL, tx, "DELETE FROM undo WHERE row = ?1", ARGS(INT(tx->undo)), err);
    /* An identity that was made may only be removed again as long as nobody else changed it. */
    return store__run(NULL, tx,
                      "UPDATE undo_steps SET version ="
                      " (SELECT version FROM identities WHERE row = identity)"
                      " WHERE undo = ?1 AND op = ?2",
                      ARGS(INT(tx->undo), INT(UNDO_MADE)), err);
}

enum err store_identity_retire(struct store_tx *tx, int64_t row, struct err_info *err)
{
    int64_t i[2] = {0, 0}; /* collection, examples */
    bool found = false;
    enum err rc = store__ints(i, 2, &found, tx,
                              "SELECT collection, (SELECT count(*) FROM examples"
                              " WHERE identity = i.row) FROM identities i WHERE row = ?1",
                              ARGS(INT(row)), err);

    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the identity is gone");
    if (i[1])
        return err_set(err, ERR_CONFLICT, "the identity still has examples (%lld)",
                       (long long)i[1]);
    if (tx->undo && tx->undo_collection == i[0]) {
        rc = store__run(NULL, tx,
                        "INSERT INTO retired (row, undo, id, name, external_id, metadata, tags,"
                        " version, created_ms) SELECT row, ?2, id, name, external_id, metadata,"
                        " (SELECT json_group_array(tag) FROM identity_tags"
                        "  WHERE identity = i.row), version, created_ms"
                        " FROM identities i WHERE row = ?1",
                        ARGS(INT(row), INT(tx->undo)), err);
        if (!rc) rc = store__undo_step(tx, i[0], UNDO_RETIRED, 0, 0, row, err);
        if (rc) return rc;
    }
    return store__run(NULL, tx, "DELETE FROM identities WHERE row = ?1", ARGS(INT(row)), err);
}

struct step {
    int64_t op, example, from, identity, version;
};

static enum err move_back(struct store_tx *tx, const struct step *s, struct err_info *err)
{
    int64_t now = 0;
    bool found = false;
    enum err rc = store__ints(&now, 1, &found, tx, "SELECT identity FROM examples WHERE row = ?1",
                              ARGS(INT(s->example)), err);
    if (rc) return rc;
    if (!found || now != s->identity)
        return err_set(err, ERR_CONFLICT, "an example of the change has since been %s",
                       found ? "moved" : "erased");
    rc = store_example_move(tx, s->example, s->from, err);
    if (rc == ERR_NOT_FOUND)
        rc = err_set(err, ERR_CONFLICT, "the identity that an example came from is gone");
    return rc;
}

/* The version before anything of the change was taken back. */
static enum err check_made(struct store_tx *tx, int64_t undo, struct err_info *err)
{
    int64_t n[2];
    enum err rc = store__ints(n, 2, NULL, tx,
                              "SELECT count(*) - count(i.row), count(*) FROM undo_steps s"
                              " LEFT JOIN identities i ON i.row = s.identity"
                              " WHERE s.undo = ?1 AND s.op = ?2 AND"
                              " s.version IS NOT i.version",
                              ARGS(INT(undo), INT(UNDO_MADE)), err);
    if (!rc && n[1])
        rc = err_set(err, ERR_CONFLICT, "an identity that the change made has since been %s",
                     n[0] ? "removed" : "changed");
    return rc;
}

static enum err restore(struct store_tx *tx, int64_t collection, int64_t row, struct err_info *err)
{
    int64_t taken = 0;
    enum err rc = store__ints(&taken, 1, NULL, tx,
                              "SELECT count(*) FROM identities i JOIN retired r"
                              " ON r.row = ?1 AND i.external_id = r.external_id"
                              " WHERE i.collection = ?2",
                              ARGS(INT(row), INT(collection)), err);
    if (rc) return rc;
    if (taken)
        return err_set(err, ERR_CONFLICT,
                       "the external id of an identity that the change removed is now taken");
    rc = store__run(NULL, tx,
                    "INSERT INTO identities (row, id, collection, name, external_id, metadata,"
                    " version, created_ms, updated_ms) SELECT row, id, ?2, name, external_id,"
                    " metadata, version + 1, created_ms, ?3 FROM retired WHERE row = ?1",
                    ARGS(INT(row), INT(collection), INT(tx->now_ms)), err);
    if (rc) return rc;
    return store__run(NULL, tx,
                      "INSERT INTO identity_tags (identity, tag) SELECT ?1, value"
                      " FROM retired, json_each(tags) WHERE row = ?1",
                      ARGS(INT(row)), err);
}

static enum err take_back(struct store_undone *out, struct store_tx *tx, int64_t collection,
                          const struct step *s, struct err_info *err)
{
    switch (s->op) {
    case UNDO_MOVED:
        out->examples++;
        return move_back(tx, s, err);
    case UNDO_MADE:
        out->identities++;
        return store_identity_retire(tx, s->identity, err);
    default:
        out->identities++;
        return restore(tx, collection, s->identity, err);
    }
}

static enum err take_back_all(struct store_undone *out, struct store_tx *tx, int64_t collection,
                              int64_t undo, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, tx,
                               "SELECT op, example, from_identity, identity, version"
                               " FROM undo_steps WHERE undo = ?1 ORDER BY n DESC",
                               ARGS(INT(undo)), err);

    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        const struct step s = {
            .op = sqlite3_column_int64(st, 0),
            .example = sqlite3_column_int64(st, 1),
            .from = sqlite3_column_int64(st, 2),
            .identity = sqlite3_column_int64(st, 3),
            .version = sqlite3_column_int64(st, 4),
        };
        rc = take_back(out, tx, collection, &s, err);
    }
    store__end(st);
    return rc;
}

enum err store_undo_last(struct store_undone *out, struct store_tx *tx, int64_t collection,
                         struct err_info *err)
{
    struct store_undone done = {0};
    sqlite3_stmt *st = NULL;
    int64_t undo = 0;
    bool found = false;
    enum err rc = store__query(&st, tx,
                               "SELECT row, id, what FROM undo WHERE collection = ?1"
                               " AND expires_ms > ?2 ORDER BY row DESC LIMIT 1",
                               ARGS(INT(collection), INT(tx->now_ms)), err);

    if (!rc && !(rc = store__step(&found, st, err)) && found) {
        undo = sqlite3_column_int64(st, 0);
        store__copy_text(done.id.s, sizeof done.id.s, st, 1);
        store__copy_text(done.what, sizeof done.what, st, 2);
        rc = store__columns_read(st, err);
    }
    store__end(st);
    if (rc) return rc;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "the collection has no change that can be taken back");
    if ((rc = check_made(tx, undo, err)) ||
        (rc = take_back_all(&done, tx, collection, undo, err)) ||
        (rc = store__report_undo(tx, undo, err)) ||
        (rc = store__run(NULL, tx, "DELETE FROM undo WHERE row = ?1", ARGS(INT(undo)), err)))
        return rc;
    *out = done;
    return ERR_OK;
}
