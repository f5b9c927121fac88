/* Connections to the database, and what SQLite's refusals mean for whoever runs the server. */
#include "server/store/store_internal.h"

#include <stdlib.h>

/* secure_delete: what is deleted is overwritten with zeros, so that an erasure erases (gaps.c). The
 * writer checkpoints by itself (writer.c). journal_size_limit: a log that a long read made grow
 * shrinks again. */
static const char PRAGMAS[] = "PRAGMA foreign_keys = ON;"
                              "PRAGMA trusted_schema = OFF;"
                              "PRAGMA secure_delete = ON;"
                              "PRAGMA synchronous = FULL;"
                              "PRAGMA wal_autocheckpoint = 0;"
                              "PRAGMA journal_size_limit = 67108864;"
                              "PRAGMA max_page_count = 33554431;";

_Static_assert(STORE_PAGES_MAX == 33554431, "max_page_count above is gaps.c's");

/* Why the system refused. A write that fails in a COMMIT leaves no sqlite3_system_errno; the log's
 * file keeps that of its last write. */
static int system_errno(sqlite3 *db)
{
    int os = sqlite3_system_errno(db);
    sqlite3_file *log = NULL;
    if (!os && sqlite3_extended_errcode(db) == SQLITE_IOERR_WRITE &&
        !sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log) && log &&
        log->pMethods)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &os);
    return os;
}

static enum err code_of(sqlite3 *db)
{
    switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_FULL:
        return ERR_STORAGE_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_CONSTRAINT:
        switch (sqlite3_extended_errcode(db)) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
            return ERR_CONFLICT;
        case SQLITE_CONSTRAINT_FOREIGNKEY:
            return ERR_NOT_FOUND;
        default:
            return ERR_INVALID;
        }
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return err_of_write(system_errno(db));
    default:
        return ERR_IO;
    }
}

static const char *advice(sqlite3 *db, enum err code)
{
    if (code == ERR_STORAGE_FULL)
        return "; nothing was changed: make room on the disk and try again";
    if (code == ERR_BUSY)
        return "; another process has held it locked for 5 seconds: end that one (`fuser` on the "
               "file names it) or try again";
    switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "; the file is damaged: stop visavis, keep a copy of the data folder, and put a "
               "backup in its place";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return "; visavis must own the data folder and be allowed to write in it";
    default:
        return "";
    }
}

enum err store__fail(sqlite3 *db, const char *what, struct err_info *err)
{
    if (!db) return err_set(err, ERR_NOMEM, "no memory for a connection to the database");
    enum err code = code_of(db);
    return err_set(err, code, "the database: cannot %s: %s%s", what, sqlite3_errmsg(db),
                   advice(db, code));
}

enum err store__conn_open(struct store__conn **out, const char *path, bool writes,
                          struct err_info *err)
{
    enum err rc = ERR_OK;
    struct store__conn *c = calloc(1, sizeof *c);

    if (!c) return err_set(err, ERR_NOMEM, "no memory for a connection to the database");
    /* Reading too needs SQLITE_OPEN_READWRITE: readers take part in the shared memory of the log.
     */
    if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
        !store__zero_gaps(&c->methods, c->db) || sqlite3_extended_result_codes(c->db, 1) ||
        sqlite3_busy_timeout(c->db, STORE_BUSY_TIMEOUT_MS) ||
        (writes && sqlite3_exec(c->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL)) ||
        sqlite3_exec(c->db, PRAGMAS, NULL, NULL, NULL) ||
        (!writes && sqlite3_exec(c->db, "PRAGMA query_only = ON", NULL, NULL, NULL))) {
        rc = store__fail(c->db, "open it", err);
        store__conn_close(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

void store__conn_close(struct store__conn *c)
{
    if (!c) return;
    store__statements_drop(c);
    sqlite3_close(c->db);
    free(c);
}
