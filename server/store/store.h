/* What the server keeps: one SQLite database, DIR/visavis.db. The only folder that knows SQL; its
 * headers name no SQLite type, so that another database can stand behind them.
 *
 * A store is used by any number of threads, and by several processes at once: `visavis key` works
 * beside a running server. All access is by a job, a function that is given a transaction:
 *
 *   store_read   runs it at once, on the caller's thread and a connection of a pool: what it reads
 *                is one state of the database, however long it takes; writers do not wait for it.
 *   store_write  puts it on the queue of the one writer thread and waits. The writer runs all jobs
 *                that wait, each in a savepoint of its own, commits once for all of them
 *                (synchronous=FULL: on the disk), and only then do they return: ERR_OK means that
 *                the change survives a power cut. A job that returns an error is rolled back alone.
 *
 * A job does not block, compute or touch the network, and calls neither of the two again. It
 * returns the errors that it gets: what was done before one is rolled back with the job, and only
 * with it. The functions that take a struct store_tx are in the headers beside this one, a table
 * each: collections.h identities.h examples.h undo.h keys.h audit.h answers.h secrets.h jobs.h
 * reports.h. Rows that they read are handed to an each-function, whose strings and arrays live
 * until it returns; an error that it returns ends the reading. */
#ifndef VISAVIS_SERVER_STORE_STORE_H
#define VISAVIS_SERVER_STORE_STORE_H

#include "engine/base/err.h"
#include "engine/base/ulid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_tx;

/* Opens, or makes, the folder (mode 0700) and its database, and brings the schema to this binary's
 * version. ERR_CONFLICT: the database was written by a newer visavis; ERR_BUSY: another process
 * holds it locked; ERR_STORAGE_FULL; ERR_IO, saying what can be done where it is damaged;
 * ERR_NOMEM. */
NODISCARD enum err store_open(struct store **out, const char *dir, struct err_info *err);
/* Nobody may be inside store_read or store_write. */
void store_close(struct store *s);

typedef enum err store_job(struct store_tx *tx, void *arg, struct err_info *err);
/* The job's error; ERR_NOMEM, ERR_IO, ERR_BUSY of the store. */
NODISCARD enum err store_read(struct store *s, store_job *job, void *arg, struct err_info *err);
/* The same, and ERR_STORAGE_FULL. On any error nothing of the job has happened. */
NODISCARD enum err store_write(struct store *s, store_job *job, void *arg, struct err_info *err);
/* The transaction's time, one for the whole job: milliseconds since 1970, UTC. */
int64_t store_now_ms(const struct store_tx *tx);

/* Grows whenever anything, also another process, has changed the database since the last call. */
NODISCARD enum err store_version(uint64_t *out, struct store *s, struct err_info *err);

#endif
