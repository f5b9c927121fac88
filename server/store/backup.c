#include "server/store/backup.h"

#include "server/store/migrate.h"
#include "server/store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum err os_fail(struct err_info *err, const char *what, const char *path)
{
    const enum err code = errno == EEXIST   ? ERR_CONFLICT
                          : errno == ENOENT ? ERR_NOT_FOUND
                                            : err_of_write(errno);
    return err_set(err, code, "cannot %s %s: %s", what, path, strerror(errno));
}

/* A database in WAL mode says so in bytes 18 and 19 of its header (sqlite.org/fileformat2.html);
 * with 1 there a copy can be opened for reading alone, where no -shm can be made. */
static bool leave_wal(int fd)
{
    static const char legacy[2] = {1, 1};
    return pwrite(fd, legacy, sizeof legacy, 18) == sizeof legacy && fsync(fd) == 0;
}

/* The database of source into the empty file path, which is fd. nameless: it loses its name as soon
 * as it is open, so that nothing is left if this process ends. */
static enum err copy(sqlite3 *source, const char *path, int fd, bool nameless, struct err_info *err)
{
    sqlite3 *to = NULL;
    struct store__methods methods; /* what was erased is not to come back in a page's gap */
    enum err rc = ERR_OK;

    if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
        sqlite3_exec(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL) ||
        !store__zero_gaps(&methods, to))
        rc = store__fail(to, "open the copy", err);
    if (nameless) unlink(path);
    if (!rc) {
        sqlite3_backup *b = sqlite3_backup_init(to, "main", source, "main");
        if (b) sqlite3_backup_step(b, -1);
        if (!b || sqlite3_backup_finish(b)) rc = store__fail(to, "copy it", err);
    }
    sqlite3_close(to);
    if (!rc && !leave_wal(fd)) rc = os_fail(err, "write", path);
    return rc;
}

struct to_path {
    const char *path;
    int fd;
    bool nameless;
};

static enum err copy_job(struct store_tx *tx, void *self, struct err_info *err)
{
    const struct to_path *to = self;
    return copy(tx->conn->db, to->path, to->fd, to->nameless, err);
}

enum err store_backup(struct store *s, const char *path, struct err_info *err)
{
    struct to_path to = {.path = path,
                         .fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};

    if (to.fd < 0) return os_fail(err, "make", path);
    enum err rc = store_read(s, copy_job, &to, err);
    close(to.fd);
    if (rc) unlink(path);
    return rc;
}

enum err store_backup_fd(int *fd, struct store *s, struct err_info *err)
{
    char path[STORE_PATH_BYTES + 16];

    snprintf(path, sizeof path, "%.*s/backup.XXXXXX", (int)(strrchr(s->path, '/') - s->path),
             s->path);
    struct to_path to = {.path = path, .fd = mkostemp(path, O_CLOEXEC), .nameless = true};
    if (to.fd < 0) return os_fail(err, "make", path);
    enum err rc = store_read(s, copy_job, &to, err);
    if (rc) {
        unlink(path); /* where the reading could not even begin */
        close(to.fd);
        return rc;
    }
    *fd = to.fd;
    return ERR_OK;
}

/* Is it whole, and a database of ours? */
static enum err check_source(sqlite3 *db, const char *path, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    int version = 0, newest = 0;
    enum err rc = ERR_OK;

    for (const struct migration *m = store_migrations; m->version; m++) newest = m->version;
    if (sqlite3_prepare_v2(db, "SELECT * FROM pragma_user_version, pragma_integrity_check(1)", -1,
                           &st, NULL) ||
        sqlite3_step(st) != SQLITE_ROW)
        rc = err_set(err, ERR_INVALID, "%s is no backup, or is damaged: %s", path,
                     sqlite3_errmsg(db));
    else if (strcmp(store__text(st, 1), "ok") != 0)
        rc = err_set(err, ERR_INVALID, "%s is damaged: %.200s", path, store__text(st, 1));
    else if ((version = sqlite3_column_int(st, 0)) < 1)
        rc = err_set(err, ERR_INVALID, "%s is a database, but none of visavis", path);
    else if (version > newest)
        rc = err_set(err, ERR_CONFLICT,
                     "%s has schema %d, this visavis knows up to %d: it was made by a newer one",
                     path, version, newest);
    sqlite3_finalize(st);
    return rc;
}

static enum err check_empty(const char *dir, struct err_info *err)
{
    DIR *d = opendir(dir);
    enum err rc = ERR_OK;

    if (!d) return os_fail(err, "read", dir);
    for (struct dirent *e; !rc && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = err_set(err, ERR_CONFLICT,
                         "%s has %.100s in it: a backup is put only into an empty folder", dir,
                         e->d_name);
    closedir(d);
    return rc;
}

/* Under another name first: a folder with a visavis.db has a whole one. */
static enum err put(sqlite3 *source, const char *dir, struct err_info *err)
{
    char path[STORE_PATH_BYTES], part[STORE_PATH_BYTES];

    if ((size_t)snprintf(path, sizeof path, "%s/visavis.db", dir) >= sizeof path ||
        (size_t)snprintf(part, sizeof part, "%s/visavis.db.part", dir) >= sizeof part)
        return err_set(err, ERR_INVALID, "the data folder's name is too long");
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return os_fail(err, "make", part);
    enum err rc = copy(source, part, fd, false, err);
    close(fd);
    if (!rc && rename(part, path)) rc = os_fail(err, "name", path);
    if (rc) unlink(part);
    if (!rc) store__sync_dir(dir);
    return rc;
}

enum err store_restore(const char *dir, const char *path, struct err_info *err)
{
    sqlite3 *source = NULL;
    enum err rc;

    if (access(path, R_OK)) return os_fail(err, "read", path);
    if (sqlite3_open_v2(path, &source, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL))
        rc = store__fail(source, "open the backup", err);
    else if (!(rc = check_source(source, path, err)) && !(rc = store__make_dir(dir, err)) &&
             !(rc = check_empty(dir, err)))
        rc = put(source, dir, err);
    sqlite3_close(source);
    return rc;
}
