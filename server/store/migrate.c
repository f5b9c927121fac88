#include "server/store/migrate.h"

#include "server/store/store_internal.h"

#include <stdio.h>

static enum err user_version(int *out, sqlite3 *db, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    enum err rc = ERR_OK;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL) ||
        sqlite3_step(st) != SQLITE_ROW)
        rc = store__fail(db, "read its schema's version", err);
    else
        *out = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return rc;
}

static enum err apply(sqlite3 *db, const struct migration *m, struct err_info *err)
{
    char pragma[40];
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", m->version);
    if (sqlite3_exec(db, m->sql, NULL, NULL, NULL) || sqlite3_exec(db, pragma, NULL, NULL, NULL) ||
        sqlite3_exec(db, "COMMIT", NULL, NULL, NULL))
        return store__fail(db, m->name, err);
    return ERR_OK;
}

enum err store__migrate(sqlite3 *db, const struct migration *table, struct err_info *err)
{
    int newest = 0, version = 0;
    enum err rc = ERR_OK;

    for (const struct migration *m = table; m->version; m++) newest = m->version;
    for (;;) {
        /* The version is read under the write lock: another process may be migrating too. */
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL))
            return store__fail(db, "lock it", err);
        rc = user_version(&version, db, err);
        if (!rc && version > newest)
            rc =
                err_set(err, ERR_CONFLICT,
                        "the database has schema %d, this visavis knows up to %d: it was used by a "
                        "newer one; start that one, or put a backup of before in its place",
                        version, newest);
        if (!rc && version < newest)
            rc = apply(db, &table[version], err);
        else if (!rc) {
            sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
            return ERR_OK;
        }
        if (rc) {
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
            return rc;
        }
    }
}
