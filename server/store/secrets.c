#include "server/store/secrets.h"

#include "server/store/store_internal.h"

#include <string.h>

enum err store_secret(uint8_t out[STORE_SECRET_BYTES], struct store_tx *tx, const char *name,
                      struct err_info *err)
{
    sqlite3_stmt *st;
    bool row;
    enum err rc =
        store__query(&st, tx, "SELECT value FROM secrets WHERE name = ?1", ARGS(TEXT(name)), err);

    if (rc) return rc;
    rc = store__step(&row, st, err);
    if (!rc && (!row || sqlite3_column_bytes(st, 0) != STORE_SECRET_BYTES))
        rc = err_set(err, ERR_NOT_FOUND, "the database has no secret \"%s\"", name);
    if (!rc) memcpy(out, sqlite3_column_blob(st, 0), STORE_SECRET_BYTES);
    store__end(st);
    return rc;
}
