/* Shared inside server/store only: connections, statements, and what makes transactions of them. */
#ifndef VISAVIS_SERVER_STORE_STORE_INTERNAL_H
#define VISAVIS_SERVER_STORE_STORE_INTERNAL_H

#include "server/store/examples.h"

#include <pthread.h>
#include <sqlite3.h>

enum { STORE_PATH_BYTES = 4096, STORE_BUSY_TIMEOUT_MS = 5000 };

/* --- store.c --- */
/* mkdir -p, mode 0700 for what is new. */
NODISCARD enum err store__make_dir(const char *dir, struct err_info *err);
/* The entries of a folder are on the disk. */
void store__sync_dir(const char *path);
/* --- gaps.c --- */
struct store__methods {
    sqlite3_io_methods ours; /* first: SQLite's file points to it */
    const sqlite3_io_methods *base;
};
enum { STORE_PAGES_MAX = 0x1ffffff }; /* 137 GB of 4 KiB: why is in gaps.c */
/* From now on db writes pages to its file without what lies in their unused part. m lives as long
 * as db. */
bool store__zero_gaps(struct store__methods *m, sqlite3 *db);

/* --- conn.c: a connection, used by one thread at a time --- */
struct store__conn {
    sqlite3 *db;
    struct store__methods methods;
    struct store__prepared *prepared; /* what has been prepared on it so far */
    size_t n_prepared, room;
    struct store__conn *next; /* in the pool */
};
/* path is an existing file. writes: may change the database. ERR_NOMEM, ERR_IO, ERR_BUSY. */
NODISCARD enum err store__conn_open(struct store__conn **out, const char *path, bool writes,
                                    struct err_info *err);
void store__conn_close(struct store__conn *c); /* NULL allowed */
/* What SQLite has just refused on db, as ours: ERR_STORAGE_FULL, ERR_BUSY, ERR_NOMEM, ERR_CONFLICT
 * (something unique exists already), ERR_NOT_FOUND (what it belongs to is gone), ERR_INVALID (a
 * CHECK), else ERR_IO, saying what can be done. what: "cannot ..." */
enum err store__fail(sqlite3 *db, const char *what, struct err_info *err);

/* --- migrate.c --- */
struct migration;
/* Applies what is missing of the table, each migration in a transaction of its own. ERR_CONFLICT: a
 * newer database. */
NODISCARD enum err store__migrate(sqlite3 *db, const struct migration *table, struct err_info *err);

/* --- tx.c --- */
struct store_tx {
    struct store__conn *conn;
    int64_t now_ms;
    int64_t undo, undo_collection; /* the open undo record; 0: none */
    int undo_steps;
    bool undo_other; /* it takes back more than its steps */
};
int64_t store__now_ms(void);

/* --- writer.c --- */
struct store__writer;
/* conn becomes the writer's, also on an error. */
NODISCARD enum err store__writer_start(struct store__writer **out, struct store__conn *conn,
                                       struct err_info *err);
void store__writer_stop(struct store__writer *w);
/* Waits until the job's transaction is committed; job NULL: until the log is scrubbed
 * (store_scrub).
 */
NODISCARD enum err store__writer_run(struct store__writer *w, store_job *job, void *arg,
                                     struct err_info *err);

struct store {
    char path[STORE_PATH_BYTES];
    pthread_mutex_t lock;     /* of idle and n_idle */
    struct store__conn *idle; /* read connections that nobody uses now */
    int n_idle;
    pthread_mutex_t watch_lock;
    struct store__conn *watch; /* store_version's: never writes, so data_version counts all */
    struct store__writer *writer;
};

/* --- statement.c --- */
/* A value for a statement's ?1, ?2, ...; what it points to lives until store__end. */
struct store__arg {
    enum { ARG_END, ARG_NULL, ARG_INT, ARG_REAL, ARG_TEXT, ARG_BLOB } type;
    int64_t i;
    double d;
    const void *p; /* NULL binds NULL */
    size_t len;
};
#define ARGS(...) ((const struct store__arg[]){__VA_ARGS__, {.type = ARG_END}})
#define INT(x)                                                                                     \
    {                                                                                              \
        .type = ARG_INT, .i = (x)                                                                  \
    }
#define ROW(x)                                                                                     \
    {                                                                                              \
        .type = (x) ? ARG_INT : ARG_NULL, .i = (x)                                                 \
    } /* 0 binds NULL */
#define REAL(x)                                                                                    \
    {                                                                                              \
        .type = ARG_REAL, .d = (x)                                                                 \
    }
#define TEXT(x)                                                                                    \
    {                                                                                              \
        .type = ARG_TEXT, .p = (x)                                                                 \
    }
#define BLOB(x, n)                                                                                 \
    {                                                                                              \
        .type = ARG_BLOB, .p = (x), .len = (n)                                                     \
    }
#define NOTHING                                                                                    \
    {                                                                                              \
        .type = ARG_NULL                                                                           \
    }

/* A statement ready to step. sql: static; prepared once per connection (its address is the key), a
 * second time where it is in use already. Give it back with store__end. */
NODISCARD enum err store__query(sqlite3_stmt **out, struct store_tx *tx, const char *sql,
                                const struct store__arg *args, struct err_info *err);
/* *row: there is a (next) row. */
NODISCARD enum err store__step(bool *row, sqlite3_stmt *st, struct err_info *err);
/* Were all columns of the row read, or was there no memory for one? To be called after them. */
NODISCARD enum err store__columns_read(sqlite3_stmt *st, struct err_info *err);
void store__end(sqlite3_stmt *st); /* NULL allowed */
void store__statements_drop(struct store__conn *c);
/* Runs it to its end. *n, where not NULL: how many rows it changed. */
NODISCARD enum err store__run(int64_t *n, struct store_tx *tx, const char *sql,
                              const struct store__arg *args, struct err_info *err);
/* The first columns of its one row, as many as n, NULL as 0; *found, where not NULL, false: no row,
 * and out untouched (else no row is ERR_INTERNAL). */
NODISCARD enum err store__ints(int64_t *out, int n, bool *found, struct store_tx *tx,
                               const char *sql, const struct store__arg *args,
                               struct err_info *err);
static inline const char *store__text(sqlite3_stmt *st, int column)
{
    return (const char *)sqlite3_column_text(st, column);
}
/* Cut where it does not fit; "" for NULL. */
void store__copy_text(char *out, size_t size, sqlite3_stmt *st, int column);

/* Has s least..most characters? ERR_INVALID, naming what. */
NODISCARD enum err store__check_length(const char *what, const char *s, size_t least, size_t most,
                                       struct err_info *err);
/* ERR_TOO_LARGE: over STORE_METADATA_MAX_BYTES. */
NODISCARD enum err store__check_metadata(const char *json, struct err_info *err);

/* --- changes.c --- */
enum { CHANGES_KEPT = 65536 }; /* of a collection, once store_erase_expired has been there */
/* Writes down a change of an example, which is there still, for the search indexes. */
NODISCARD enum err store__changed(struct store_tx *tx, int64_t collection, enum store_change op,
                                  int64_t example, struct err_info *err);
/* No index can follow over this point: each reads everything again. */
NODISCARD enum err store__changes_forget(struct store_tx *tx, int64_t collection,
                                         struct err_info *err);
/* Drops rows over CHANGES_KEPT, about `most` of each collection; *more: there are more. */
NODISCARD enum err store__changes_trim(bool *more, struct store_tx *tx, int most,
                                       struct err_info *err);

/* --- identities.c --- */
/* Raises its version. ERR_NOT_FOUND: not (any more) in the collection. */
NODISCARD enum err store__identity_touch(struct store_tx *tx, int64_t collection, int64_t identity,
                                         struct err_info *err);

/* --- undo.c --- */
enum store__undo_op { UNDO_MOVED = 1, UNDO_MADE = 2, UNDO_RETIRED = 3 };
/* Adds a step where an undo record of the collection is open. */
NODISCARD enum err store__undo_step(struct store_tx *tx, int64_t collection, enum store__undo_op op,
                                    int64_t example, int64_t from, int64_t identity,
                                    struct err_info *err);
/* At the end of the job. */
NODISCARD enum err store__undo_complete(struct store_tx *tx, struct err_info *err);

/* --- reports.c --- */
/* Takes back the states that this undo record added. ERR_CONFLICT: later ones stay. */
NODISCARD enum err store__report_undo(struct store_tx *tx, int64_t undo, struct err_info *err);

#endif
