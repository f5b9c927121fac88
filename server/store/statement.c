#include "server/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

struct store__prepared {
    const char *sql;
    sqlite3_stmt *st;
};

void store__statements_drop(struct store__conn *c)
{
    for (size_t i = 0; i < c->n_prepared; i++) sqlite3_finalize(c->prepared[i].st);
    free(c->prepared);
    c->prepared = NULL;
    c->n_prepared = c->room = 0;
}

static enum err prepare(sqlite3_stmt **out, struct store__conn *c, const char *sql,
                        struct err_info *err)
{
    if (c->n_prepared == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        struct store__prepared *more = reallocarray(c->prepared, room, sizeof *more);
        if (!more) return err_set(err, ERR_NOMEM, "no memory for %zu statements", room);
        c->prepared = more;
        c->room = room;
    }
    sqlite3_stmt *st;
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL))
        return store__fail(c->db, "prepare a statement", err);
    c->prepared[c->n_prepared++] = (struct store__prepared){sql, st};
    *out = st;
    return ERR_OK;
}

static int bind(sqlite3_stmt *st, int at, const struct store__arg *a)
{
    switch (a->type) {
    case ARG_INT:
        return sqlite3_bind_int64(st, at, a->i);
    case ARG_REAL:
        return sqlite3_bind_double(st, at, a->d);
    case ARG_TEXT:
        return sqlite3_bind_text(st, at, a->p, -1, SQLITE_STATIC);
    case ARG_BLOB:
        return sqlite3_bind_blob64(st, at, a->p, a->len, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(st, at);
    }
}

enum err store__query(sqlite3_stmt **out, struct store_tx *tx, const char *sql,
                      const struct store__arg *args, struct err_info *err)
{
    struct store__conn *c = tx->conn;
    sqlite3_stmt *st = NULL;
    enum err rc;

    for (size_t i = 0; i < c->n_prepared && !st; i++)
        if (c->prepared[i].sql == sql && !sqlite3_stmt_busy(c->prepared[i].st))
            st = c->prepared[i].st;
    if (!st && (rc = prepare(&st, c, sql, err))) return rc;
    for (int i = 0; args && args[i].type != ARG_END; i++)
        if (bind(st, i + 1, &args[i])) {
            rc = store__fail(c->db, "bind a value", err);
            store__end(st);
            return rc;
        }
    *out = st;
    return ERR_OK;
}

enum err store__step(bool *row, sqlite3_stmt *st, struct err_info *err)
{
    int step = sqlite3_step(st);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return store__fail(sqlite3_db_handle(st), "read or write", err);
    *row = step == SQLITE_ROW;
    return ERR_OK;
}

enum err store__columns_read(sqlite3_stmt *st, struct err_info *err)
{
    sqlite3 *db = sqlite3_db_handle(st);
    if (sqlite3_errcode(db) == SQLITE_NOMEM) return store__fail(db, "read a row", err);
    return ERR_OK;
}

void store__end(sqlite3_stmt *st)
{
    if (!st) return;
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

enum err store__run(int64_t *n, struct store_tx *tx, const char *sql, const struct store__arg *args,
                    struct err_info *err)
{
    sqlite3_stmt *st;
    bool row = true;
    enum err rc = store__query(&st, tx, sql, args, err);

    if (rc) return rc;
    while (!rc && row) rc = store__step(&row, st, err);
    if (!rc && n) *n = sqlite3_changes64(tx->conn->db);
    store__end(st);
    return rc;
}

enum err store__ints(int64_t *out, int n, bool *found, struct store_tx *tx, const char *sql,
                     const struct store__arg *args, struct err_info *err)
{
    sqlite3_stmt *st;
    bool row = false;
    enum err rc = store__query(&st, tx, sql, args, err);

    if (rc) return rc;
    rc = store__step(&row, st, err);
    for (int i = 0; !rc && row && i < n; i++) out[i] = sqlite3_column_int64(st, i);
    if (!rc && !row && !found)
        rc = err_set(err, ERR_INTERNAL, "the database gives no row: %.100s", sql);
    /* INSERT and UPDATE ... RETURNING have done all their work before their first row. */
    store__end(st);
    if (!rc && found) *found = row;
    return rc;
}

void store__copy_text(char *out, size_t size, sqlite3_stmt *st, int column)
{
    const char *text = store__text(st, column);
    size_t n = text ? strnlen(text, size - 1) : 0;
    if (n) memcpy(out, text, n);
    out[n] = 0;
}

enum err store__check_length(const char *what, const char *s, size_t least, size_t most,
                             struct err_info *err)
{
    size_t n = 0;
    for (const char *p = s; *p; p++) n += ((unsigned char)*p & 0xc0) != 0x80;
    if (n < least || n > most)
        return err_set(err, ERR_INVALID, "the %s has %zu characters, the limits are %zu and %zu",
                       what, n, least, most);
    return ERR_OK;
}

enum err store__check_metadata(const char *json, struct err_info *err)
{
    size_t n = strlen(json);
    if (n > STORE_METADATA_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the metadata has %zu bytes, the limit is %d", n,
                       STORE_METADATA_MAX_BYTES);
    return ERR_OK;
}
