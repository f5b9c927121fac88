/* The writer: the only thread of this process that changes the database.
 *
 * Group commit: an fsync costs milliseconds, a job some tens of microseconds, so all jobs that
 * wait share one transaction: BEGIN IMMEDIATE, each job between SAVEPOINT and RELEASE, COMMIT, and
 * only then is any of them told. Items live on the stacks of the threads that wait for them.
 *
 * The log (-wal) goes back into the database file by this thread too (PASSIVE: it waits for
 * nobody): when there is nothing else to do, or when the log has become long. */
#include "server/store/store_internal.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <stdlib.h>

enum {
    IDLE_CHECKPOINT_PAGES = 256, /* 1 MB: worth it when nobody waits */
    BUSY_CHECKPOINT_PAGES = 4096,
    SCRUB_WAIT_MS = 200, /* for readers; writers wait meanwhile */
};
static const double LINGER_MAX_S = 0.002;
static const double IDLE_S = 0.05; /* nobody has come for so long */

struct item {
    store_job *job; /* NULL: scrub */
    void *arg;
    enum err rc;
    struct err_info err;
    bool done;
    pthread_cond_t told;
    struct item *next;
};

struct store__writer {
    struct store__conn *conn;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows, to quit */
    pthread_cond_t work;
    struct item *first, **last;
    int waiting;
    bool quit;
    /* the thread's own */
    int expected;       /* threads that write now: jobs to wait for a little */
    double commit_s;    /* how long the last COMMIT took */
    int log_pages;      /* length of the log after the last commit */
    int checkpoint_had; /* and when it was last brought back */
};

static const char BEGIN[] = "BEGIN IMMEDIATE", COMMIT[] = "COMMIT", ROLLBACK[] = "ROLLBACK",
                  SAVEPOINT[] = "SAVEPOINT job", RELEASE[] = "RELEASE job",
                  ROLLBACK_JOB[] = "ROLLBACK TO job";

static enum err plain(struct store__writer *w, const char *sql, struct err_info *err)
{
    struct store_tx tx = {.conn = w->conn};
    return store__run(NULL, &tx, sql, NULL, err);
}

static bool in_transaction(const struct store__writer *w)
{
    return !sqlite3_get_autocommit(w->conn->db);
}

static void roll_back(struct store__writer *w)
{
    if (in_transaction(w)) (void)!plain(w, ROLLBACK, NULL);
}

/* After some failures (no memory, disk full, I/O) SQLite ends the whole transaction by itself:
 * false, and nothing of this item or of those before it has happened. */
static bool run_job(struct store__writer *w, struct item *it)
{
    struct store_tx tx = {.conn = w->conn, .now_ms = store__now_ms()};

    if ((it->rc = plain(w, SAVEPOINT, &it->err))) return in_transaction(w);
    it->rc = it->job(&tx, it->arg, &it->err);
    if (!it->rc) it->rc = store__undo_complete(&tx, &it->err);
    if (!in_transaction(w)) {
        if (!it->rc) it->rc = err_set(&it->err, ERR_IO, "the database ended the transaction");
        return false;
    }
    if (it->rc && plain(w, ROLLBACK_JOB, NULL)) return false;
    enum err rc = plain(w, RELEASE, it->rc ? NULL : &it->err);
    if (!it->rc) it->rc = rc;
    return !rc;
}

static void fail_all(struct item *first, const struct item *end, enum err rc, struct err_info why)
{
    for (struct item *it = first; it != end; it = it->next) {
        it->rc = rc;
        it->err = why;
    }
}

/* One transaction. Returns the items that are still to be run. */
static struct item *run_batch(struct store__writer *w, struct item *first)
{
    struct err_info why = ERR_INFO_INIT;
    enum err rc;

    roll_back(w); /* what a ROLLBACK that failed itself has left open */
    if ((rc = plain(w, BEGIN, &why))) {
        roll_back(w);
        fail_all(first, NULL, rc, why);
        return NULL;
    }
    for (struct item *it = first; it; it = it->next)
        if (!run_job(w, it)) {
            roll_back(w);
            fail_all(first, it, it->rc, it->err);
            return it->next;
        }
    double start = clock_seconds();
    if ((rc = plain(w, COMMIT, &why))) {
        roll_back(w);
        fail_all(first, NULL, rc, why);
        return NULL;
    }
    w->commit_s = clock_seconds() - start;
    return NULL;
}

static int log_grew(void *self, sqlite3 *db, const char *name, int pages)
{
    struct store__writer *w = self;
    (void)db, (void)name;
    w->log_pages = pages;
    if (pages < w->checkpoint_had) w->checkpoint_had = 0; /* it began anew */
    return SQLITE_OK;
}

/* A failure loses nothing, the log is still there: it is tried again when the log has grown. */
static void checkpoint(struct store__writer *w)
{
    sqlite3_wal_checkpoint_v2(w->conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    w->checkpoint_had = w->log_pages;
}

static void scrub(struct store__writer *w, struct item *list)
{
    sqlite3 *db = w->conn->db;
    struct err_info why = ERR_INFO_INIT;
    enum err rc = ERR_OK;

    sqlite3_busy_timeout(db, SCRUB_WAIT_MS);
    switch (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) & 0xff) {
    case SQLITE_OK:
        w->log_pages = w->checkpoint_had = 0;
        break;
    case SQLITE_BUSY:
        rc = err_set(&why, ERR_BUSY,
                     "the write-ahead log is being read, so that what was erased is still in it; "
                     "try again");
        break;
    default:
        rc = store__fail(db, "empty the write-ahead log", &why);
    }
    sqlite3_busy_timeout(db, STORE_BUSY_TIMEOUT_MS);
    fail_all(list, NULL, rc, why);
}

/* Takes the jobs out of *list in their order; what stays wants a scrub. */
static struct item *jobs_of(struct item **list)
{
    struct item *jobs = NULL, **end = &jobs;
    while (*list) {
        struct item *it = *list;
        if (!it->job) {
            list = &it->next;
            continue;
        }
        *list = it->next;
        it->next = NULL;
        *end = it;
        end = &it->next;
    }
    return jobs;
}

/* Waits for a signal of `work`, with the lock; false: none came in time. */
static bool wait_for_work(struct store__writer *w, double seconds)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)(seconds * 1e9);
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return pthread_cond_timedwait(&w->work, &w->lock, &end) != ETIMEDOUT;
}

/* Called with the lock, as are the next two. Threads that were just told are likely to be back at
 * once: without a short wait the first of them would get a commit of its own, and the others wait
 * for it. */
static void linger(struct store__writer *w)
{
    double wait_s = w->commit_s / 4 < LINGER_MAX_S ? w->commit_s / 4 : LINGER_MAX_S;
    while (w->waiting < w->expected && !w->quit)
        if (!wait_for_work(w, wait_s)) return;
}

static void checkpoint_unlocked(struct store__writer *w)
{
    pthread_mutex_unlock(&w->lock);
    checkpoint(w);
    pthread_mutex_lock(&w->lock);
}

/* false: the writer is to end. */
static bool wait_for_items(struct store__writer *w)
{
    if (w->log_pages - w->checkpoint_had >= BUSY_CHECKPOINT_PAGES) checkpoint_unlocked(w);
    while (!w->first && !w->quit) {
        if (w->log_pages - w->checkpoint_had < IDLE_CHECKPOINT_PAGES)
            pthread_cond_wait(&w->work, &w->lock);
        else if (!wait_for_work(w, IDLE_S))
            checkpoint_unlocked(w);
    }
    if (w->first) linger(w);
    return w->first;
}

static void tell(struct item *list)
{
    while (list) {
        struct item *next = list->next; /* a told item is its owner's again once the lock is free */
        list->done = true;
        pthread_cond_signal(&list->told);
        list = next;
    }
}

static void *writer_main(void *arg)
{
    struct store__writer *w = arg;

    pthread_mutex_lock(&w->lock);
    while (wait_for_items(w)) {
        struct item *scrubs = w->first;
        w->first = NULL;
        w->last = &w->first;
        w->expected = w->waiting;
        w->waiting = 0;
        pthread_mutex_unlock(&w->lock);
        struct item *const jobs = jobs_of(&scrubs);
        for (struct item *rest = jobs; rest;) rest = run_batch(w, rest);
        pthread_mutex_lock(&w->lock);
        w->expected += w->waiting;
        tell(jobs);
        if (!scrubs) continue;
        pthread_mutex_unlock(&w->lock);
        scrub(w, scrubs);
        pthread_mutex_lock(&w->lock);
        tell(scrubs);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum err store__writer_run(struct store__writer *w, store_job *job, void *arg, struct err_info *err)
{
    struct item it = {.job = job, .arg = arg, .err = ERR_INFO_INIT};

    pthread_cond_init(&it.told, NULL);
    pthread_mutex_lock(&w->lock);
    *w->last = &it;
    w->last = &it.next;
    w->waiting++;
    /* a writer that lingers need not wake for each */
    if (w->waiting == 1 || w->waiting >= w->expected) pthread_cond_signal(&w->work);
    while (!it.done) pthread_cond_wait(&it.told, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&it.told);
    if (it.rc && err) *err = it.err;
    return it.rc;
}

enum err store__writer_start(struct store__writer **out, struct store__conn *conn,
                             struct err_info *err)
{
    pthread_condattr_t monotonic;
    struct store__writer *w = calloc(1, sizeof *w);

    if (!w) {
        store__conn_close(conn);
        return err_set(err, ERR_NOMEM, "no memory for the store's writer");
    }
    w->conn = conn;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sqlite3_wal_hook(conn->db, log_grew, w);
    if (pthread_create(&w->thread, NULL, writer_main, w)) {
        w->thread = 0;
        store__writer_stop(w);
        return err_set(err, ERR_NOMEM, "the system gives no thread for the store's writer");
    }
    pthread_setname_np(w->thread, "visavis-writer");
    *out = w;
    return ERR_OK;
}

void store__writer_stop(struct store__writer *w)
{
    if (!w) return;
    if (w->thread) {
        pthread_mutex_lock(&w->lock);
        w->quit = true;
        pthread_cond_signal(&w->work);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    store__conn_close(w->conn);
    free(w);
}
