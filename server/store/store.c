#include "server/store/store_internal.h"

#include "server/store/migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { BUSY_TIMEOUT_MS = 5000, PATH_BYTES = 4096 };

static const char *const statements[ST_COUNT] = {
    [ST_KEY_ADD] = "INSERT INTO keys (id, name, hash, created_ms) VALUES (?1, ?2, ?3, ?4)",
    [ST_KEY_LIST] = "SELECT id, name, hash, created_ms, revoked_ms FROM keys ORDER BY id",
    [ST_KEY_GET] = "SELECT id, name, hash, created_ms, revoked_ms FROM keys WHERE id = ?1",
    [ST_KEY_REVOKE] = "UPDATE keys SET revoked_ms = coalesce(revoked_ms, ?2) WHERE id = ?1",
    [ST_DATA_VERSION] = "PRAGMA data_version",
};

int64_t store__now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum err store__fail(struct store *s, const char *what, struct err_info *err)
{
    int code = sqlite3_errcode(s->db) & 0xff;
    enum err rc = code == SQLITE_FULL                            ? ERR_STORAGE_FULL
                  : code == SQLITE_BUSY || code == SQLITE_LOCKED ? ERR_BUSY
                  : code == SQLITE_NOMEM                         ? ERR_NOMEM
                                                                 : ERR_IO;
    return err_set(err, rc, "the database: cannot %s: %s", what, sqlite3_errmsg(s->db));
}

/* mkdir -p, mode 0700 for what is new. */
static enum err make_dir(const char *dir, struct err_info *err)
{
    char path[PATH_BYTES];
    struct stat st;

    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path || !*path)
        return err_set(err, ERR_INVALID, "the data folder's name is empty or too long");
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/') continue;
        char end = *p;
        *p = 0;
        if (mkdir(path, 0700) && errno != EEXIST)
            return err_set(err, ERR_IO, "cannot make the data folder %s: %s", path,
                           strerror(errno));
        *p = end;
        if (!end) break;
    }
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "the data folder %s is not a folder", path);
    return ERR_OK;
}

static enum err prepare(struct store *s, struct err_info *err)
{
    for (int i = 0; i < ST_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i],
                               NULL))
            return store__fail(s, "prepare a statement", err);
    return ERR_OK;
}

enum err store_open(struct store **out, const char *dir, struct err_info *err)
{
    char path[PATH_BYTES];
    enum err rc = make_dir(dir, err);
    if (rc) return rc;
    if ((size_t)snprintf(path, sizeof path, "%s/visavis.db", dir) >= sizeof path)
        return err_set(err, ERR_INVALID, "the data folder's name is too long");
    struct store *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, ERR_NOMEM, "no memory for the store");
    pthread_mutex_init(&s->lock, NULL);
    /* Hashes only, but nobody else's business: the database and its -wal are made readable by their
     * owner alone. */
    mode_t before = umask(0077);
    int failed = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    if (failed || sqlite3_exec(s->db,
                               "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                               "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
                               NULL, NULL, NULL)) {
        rc = store__fail(s, "open it", err);
        err_prefix(err, "%s", path);
    }
    umask(before);
    if (rc || (rc = store__migrate(s, store_migrations, err)) || (rc = prepare(s, err))) {
        store_close(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

void store_close(struct store *s)
{
    if (!s) return;
    for (int i = 0; i < ST_COUNT; i++) sqlite3_finalize(s->st[i]);
    sqlite3_close(s->db);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

enum err store_version(uint64_t *out, struct store *s, struct err_info *err)
{
    enum err rc = ERR_OK;
    pthread_mutex_lock(&s->lock);
    /* data_version counts other connections' commits, total_changes ours. */
    if (sqlite3_step(s->st[ST_DATA_VERSION]) == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(s->st[ST_DATA_VERSION], 0) << 32 |
               (uint32_t)sqlite3_total_changes(s->db);
    else
        rc = store__fail(s, "read its version", err);
    sqlite3_reset(s->st[ST_DATA_VERSION]);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
