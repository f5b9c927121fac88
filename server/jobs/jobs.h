/* Jobs: work that takes long, one at a time, on a thread of its own. A client asks for one, follows
 * its progress and fetches the result later.
 *
 * A job is a row (server/store/jobs.h) and files (server/store/job_files.h), both on the disk
 * before jobs_submit returns. What is queued or runs is in memory too: its progress, who listens to
 * it. A kind of job is a function, run(), in a table.
 *
 * When the server stops or dies with a job in work, the next start begins it again where its kind
 * is restartable (three times at most: it may be what killed the server), else it is `interrupted`.
 *
 * Threads: one runner; every function but those of run() may be called from any thread.
 * Locks, in this order: files, then the table's, then whatever a wake function takes. No lock of
 * the table is held across a transaction or a file. Invariants: a row is final exactly once; a job
 * is in the table from its row being queued until it is final; files of a job without a row, and
 * uploads of one that is final, are removed. */
#ifndef VISAVIS_SERVER_JOBS_JOBS_H
#define VISAVIS_SERVER_JOBS_JOBS_H

#include "server/store/jobs.h"

enum { JOBS_UPLOADS_MAX = 256, JOBS_ATTEMPTS_MAX = 3 };

struct jobs; /* the table */
struct job;  /* the one that runs, for run() */

struct job_kind {
    const char *name; /* "cluster" */
    /* On the runner. Looks at job_cancelled often (it also says that the server is stopping) and
     * then returns any error. On ERR_OK the job is done, with the result that was given, if any; a
     * result is not kept on an error, whose message is for the client. self: of jobs_options. */
    enum err (*run)(struct job *job, void *self, struct err_info *err);
    bool restartable; /* run() may be begun again from nothing */
};

struct jobs_options {
    struct store *store;
    const char *dir;              /* the data folder */
    const struct job_kind *kinds; /* a NULL name ends it */
    void *self;
    int queue_max; /* jobs that may wait; 0: 16 */
    int64_t ttl_s; /* how long a finished job is kept; 0: a day */
};
/* Takes up what an earlier process left, and starts the runner. What o points to is borrowed.
 * Errors of store and files. */
NODISCARD enum err jobs_open(struct jobs **out, const struct jobs_options *o, struct err_info *err);
/* Asks the job that runs to end, and waits for it. Nobody may listen any more. */
void jobs_close(struct jobs *j);

/* A job as it is now. */
struct job_view {
    struct store_job_row row;
    double eta_s;   /* of this phase, guessed from its pace; < 0: not known */
    char event[32]; /* names this very state; another state has another name */
};

struct job_upload {
    const char *name; /* the client's word for it; need not be UTF-8, or a name of a file */
    const void *data;
    size_t len;
};
struct job_order {
    const char *kind;
    const char *key;        /* the id of the key that asks; NULL: none */
    const char *parameters; /* JSON object */
    int64_t collection;     /* row; 0: none */
    const struct job_upload *uploads;
    int n_uploads;
};
/* ERR_BUSY: too many wait; ERR_INVALID: over JOBS_UPLOADS_MAX; ERR_TOO_LARGE: parameters;
 * ERR_NOT_FOUND: the collection is gone; ERR_INTERNAL: no such kind; errors of store and files. */
NODISCARD enum err jobs_submit(struct job_view *out, struct jobs *j, const struct job_order *o,
                               struct err_info *err);
/* ERR_NOT_FOUND. */
NODISCARD enum err jobs_view(struct job_view *out, struct jobs *j, const char *id,
                             struct err_info *err);
typedef enum err jobs_each(void *self, const struct job_view *v, struct err_info *err);
/* The newest first; each is called under no lock. */
NODISCARD enum err jobs_list(struct jobs *j, const struct store_job_query *q, jobs_each *each,
                             void *self, struct err_info *err);
/* A queued job is cancelled, a running one told to end, a finished one removed (*removed, and *out
 * is what it was). ERR_NOT_FOUND. */
NODISCARD enum err jobs_cancel(struct job_view *out, bool *removed, struct jobs *j, const char *id,
                               struct err_info *err);
/* *fd: the caller's. ERR_NOT_FOUND. */
NODISCARD enum err jobs_open_result(int *fd, struct jobs *j, const char *id, struct err_info *err);
/* After rows of jobs were erased (store_job_erase_collection, a collection that went): a job that
 * is gone is told to end, and no file of it is left. */
NODISCARD enum err jobs_files_follow(struct jobs *j, struct err_info *err);
/* How many wait or run. */
int jobs_waiting(struct jobs *j);
/* Removes finished jobs whose time was over at now_ms (since 1970). */
NODISCARD enum err jobs_expire(struct jobs *j, int64_t now_ms, struct err_info *err);

/* --- listening --- */
struct live;
struct job_listener { /* the caller's memory */
    struct live *live;
    struct job_listener *prev, *next;
    void (*wake)(void *arg); /* something changed: job_listener_view says what */
    void *arg;
};
/* ERR_NOT_FOUND: the job is not, or no longer, queued or running: jobs_view knows its end. */
NODISCARD enum err jobs_listen(struct job_listener *l, struct jobs *j, const char *id,
                               struct err_info *err);
/* wake is called under a lock of the table: it must not call back. */
void job_listener_wake(struct job_listener *l, struct jobs *j, void (*wake)(void *arg), void *arg);
void job_listener_view(struct job_view *out, struct job_listener *l, struct jobs *j);
void jobs_unlisten(struct job_listener *l, struct jobs *j);

/* --- for run(), on the runner --- */
const char *job_id(const struct job *job);
const char *job_parameters(const struct job *job); /* JSON */
int64_t job_collection(const struct job *job);     /* row; 0: none */
int job_n_uploads(const struct job *job);
const char *job_upload_name(const struct job *job, int n);
/* Mapped until run() returns. ERR_NOT_FOUND: erased meanwhile; ERR_IO; ERR_NOMEM. */
NODISCARD enum err job_upload_bytes(const uint8_t **data, size_t *len, struct job *job, int n,
                                    struct err_info *err);
/* A new phase, of total steps (0: not known). word: at most STORE_JOB_WORD_MAX bytes. */
void job_phase(struct job *job, const char *word, int64_t total);
/* Cheap enough for every step. */
void job_progress(struct job *job, int64_t done);
bool job_cancelled(struct job *job);
/* Once. type: of its content, static. ERR_INTERNAL: a second time; ERR_STORAGE_FULL, ERR_IO. */
NODISCARD enum err job_result(struct job *job, const char *type, const void *bytes, size_t len,
                              struct err_info *err);

#endif
