/* Opening and closing, and reading: a pool of connections, one for each thread that reads now. */
#include "server/store/store_internal.h"

#include "server/store/migrate.h"
#include "server/store/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_MAX = 32,              /* read connections kept for later */
    CHECK_MAX_BYTES = 16 << 20, /* a database up to here is checked at each start: 30 ms at most */
};

int64_t store__now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t store_now_ms(const struct store_tx *tx)
{
    return tx->now_ms;
}

void store__sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return; /* not readable: nothing more can be done about it */
    fsync(fd);
    close(fd);
}

enum err store__make_dir(const char *dir, struct err_info *err)
{
    char path[STORE_PATH_BYTES], parent[STORE_PATH_BYTES];
    struct stat st;

    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path || !*path)
        return err_set(err, ERR_INVALID, "the data folder's name is empty or too long");
    strcpy(parent, *path == '/' ? "/" : ".");
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/') continue;
        char end = *p;
        *p = 0;
        if (!mkdir(path, 0700))
            store__sync_dir(parent);
        else if (errno != EEXIST)
            return err_set(err, ERR_IO, "cannot make the data folder %s: %s", path,
                           strerror(errno));
        strcpy(parent, path);
        *p = end;
        if (!end) break;
    }
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "the data folder %s is not a folder", path);
    return ERR_OK;
}

/* Readable by its owner alone; SQLite gives the -wal and -shm beside it the same mode. mknod and
 * not open: closing a file drops every lock that this process holds on it, also another store's. */
static enum err make_file(const char *path, struct err_info *err)
{
    if (!mknod(path, S_IFREG | 0600, 0) || errno == EEXIST) return ERR_OK;
    return err_set(err, err_of_write(errno), "cannot make %s: %s", path, strerror(errno));
}

/* What quick_check says, which calls a page for which there was no memory damaged too. */
static enum err damage(const char *says, struct err_info *err)
{
    const char *code = strstr(says, "error code=");
    if (code && (atoi(code + strlen("error code=")) & 0xff) == SQLITE_NOMEM)
        return err_set(err, ERR_NOMEM, "no memory to check the database");
    return err_set(err, ERR_IO,
                   "the database is damaged (%.120s): stop visavis, keep a copy of the data "
                   "folder, and put a backup in its place",
                   says);
}

/* Damage that opening does not meet would be met by a request; to read everything of a large
 * database takes too long here. */
static enum err check(struct store__conn *c, const char *path, struct err_info *err)
{
    struct store_tx tx = {.conn = c};
    struct stat file;
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc;

    if (stat(path, &file) || file.st_size > CHECK_MAX_BYTES) return ERR_OK;
    if ((rc = store__query(&st, &tx, "PRAGMA quick_check(1)", NULL, err))) return rc;
    if (!(rc = store__step(&row, st, err)) && row) {
        const char *says = store__text(st, 0);
        rc = store__columns_read(st, err);
        if (!rc && strcmp(says, "ok") != 0) rc = damage(says, err);
    }
    store__end(st);
    return rc;
}

static enum err open_all(struct store *s, struct err_info *err)
{
    struct store__conn *c = NULL;
    enum err rc;

    if ((rc = make_file(s->path, err)) || (rc = store__conn_open(&c, s->path, true, err)))
        return rc;
    if ((rc = store__migrate(c->db, store_migrations, err)) || (rc = check(c, s->path, err))) {
        store__conn_close(c);
        return rc;
    }
    if ((rc = store__writer_start(&s->writer, c, err))) return rc;
    return store__conn_open(&s->watch, s->path, false, err);
}

enum err store_open(struct store **out, const char *dir, struct err_info *err)
{
    enum err rc = store__make_dir(dir, err);
    if (rc) return rc;
    struct store *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, ERR_NOMEM, "no memory for the store");
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    if ((size_t)snprintf(s->path, sizeof s->path, "%s/visavis.db", dir) >= sizeof s->path)
        rc = err_set(err, ERR_INVALID, "the data folder's name is too long");
    else if ((rc = open_all(s, err)))
        err_prefix(err, "%s", s->path);
    if (rc) {
        store_close(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

void store_close(struct store *s)
{
    if (!s) return;
    while (s->idle) {
        struct store__conn *c = s->idle;
        s->idle = c->next;
        store__conn_close(c);
    }
    store__conn_close(s->watch);
    store__writer_stop(s->writer); /* the last connection: SQLite empties the log and removes it */
    pthread_mutex_destroy(&s->watch_lock);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static enum err take(struct store__conn **out, struct store *s, struct err_info *err)
{
    pthread_mutex_lock(&s->lock);
    struct store__conn *c = s->idle;
    if (c) {
        s->idle = c->next;
        s->n_idle--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!c) return store__conn_open(out, s->path, false, err);
    *out = c;
    return ERR_OK;
}

static void give_back(struct store *s, struct store__conn *c)
{
    pthread_mutex_lock(&s->lock);
    bool keep = s->n_idle < IDLE_MAX && sqlite3_get_autocommit(c->db);
    if (keep) {
        c->next = s->idle;
        s->idle = c;
        s->n_idle++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!keep) store__conn_close(c);
}

enum err store_read(struct store *s, store_job *job, void *arg, struct err_info *err)
{
    struct store__conn *c = NULL;
    enum err rc = take(&c, s, err);

    if (rc) return rc;
    struct store_tx tx = {.conn = c, .now_ms = store__now_ms()};
    if (!(rc = store__run(NULL, &tx, "BEGIN", NULL, err))) {
        rc = job(&tx, arg, err);
        (void)!store__run(NULL, &tx, "ROLLBACK", NULL, NULL); /* there is nothing to keep */
    }
    give_back(s, c);
    return rc;
}

enum err store_write(struct store *s, store_job *job, void *arg, struct err_info *err)
{
    return store__writer_run(s->writer, job, arg, err);
}

enum err store_scrub(struct store *s, struct err_info *err)
{
    return store__writer_run(s->writer, NULL, NULL, err);
}

enum err store_version(uint64_t *out, struct store *s, struct err_info *err)
{
    int64_t version;
    pthread_mutex_lock(&s->watch_lock);
    struct store_tx tx = {.conn = s->watch};
    enum err rc = store__ints(&version, 1, NULL, &tx, "PRAGMA data_version", NULL, err);
    pthread_mutex_unlock(&s->watch_lock);
    if (!rc) *out = (uint64_t)version;
    return rc;
}
