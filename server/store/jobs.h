/* Jobs: what is kept of work that takes long. The rows only; their files are job_files.h, and who
 * does the work is server/jobs. (A store_job, in store.h, is something else: a transaction.) */
#ifndef VISAVIS_SERVER_STORE_JOBS_H
#define VISAVIS_SERVER_STORE_JOBS_H

#include "server/store/undo.h"

enum {
    STORE_JOB_WORD_MAX = 64, /* bytes of a phase or a result's type */
    STORE_JOB_KIND_MAX = 32,
    STORE_JOB_PARAMETERS_MAX_BYTES = 65536,
};

enum store_job_state {
    STORE_JOB_QUEUED,
    STORE_JOB_RUNNING,
    STORE_JOB_DONE, /* the first of those that are final */
    STORE_JOB_FAILED,
    STORE_JOB_CANCELLED,
    STORE_JOB_INTERRUPTED, /* by the end of the server, and it cannot be begun again */
    STORE_JOB_STATES
};
const char *store_job_state_name(enum store_job_state s);
bool store_job_state_parse(enum store_job_state *out, const char *name);
static inline bool store_job_final(enum store_job_state s)
{
    return s >= STORE_JOB_DONE;
}

struct store_job_row { /* a value */
    struct ulid id;
    char kind[STORE_JOB_KIND_MAX + 1];
    enum store_job_state state;
    int attempts; /* how often it was started */
    bool cancel;  /* its end was asked for while it ran */
    char phase[STORE_JOB_WORD_MAX + 1];
    int64_t done, total;                                     /* of the phase; total 0: not known */
    char key[ULID_CHARS + 1];                                /* who asked for it; "": no key */
    int64_t collection;                                      /* its row; 0: none */
    char collection_id[ULID_CHARS + 1];                      /* "": none */
    int64_t created_ms, started_ms, finished_ms, expires_ms; /* 0: not yet */
    char result_type[STORE_JOB_WORD_MAX + 1];                /* "": no result */
    int64_t result_bytes;
    char error_code[STORE_JOB_WORD_MAX + 1]; /* "": none */
    char error_message[ERR_MESSAGE_BYTES];
    int64_t uploads;
};
typedef enum err store_job_each(void *self, const struct store_job_row *j, struct err_info *err);

struct store_job_upload {
    const char *name; /* the client's own word for it */
    int64_t bytes;
};
struct store_job_new {
    struct ulid id;
    const char *kind, *key; /* key NULL: none */
    const char *parameters; /* JSON object */
    int64_t collection;     /* row; 0: none */
    const struct store_job_upload *uploads;
    int n_uploads;
};
/* Queued. ERR_TOO_LARGE: parameters. ERR_NOT_FOUND: the collection is gone. */
NODISCARD enum err store_job_add(struct store_tx *tx, const struct store_job_new *n,
                                 struct err_info *err);
/* ERR_NOT_FOUND. */
NODISCARD enum err store_job_get(struct store_job_row *out, struct store_tx *tx, const char *id,
                                 struct err_info *err);
/* *out is the caller's (free()). ERR_NOT_FOUND. */
NODISCARD enum err store_job_parameters(char **out, struct store_tx *tx, const char *id,
                                        struct err_info *err);
/* In the order in which they were sent. */
typedef enum err store_job_upload_each(void *self, int n, const struct store_job_upload *u,
                                       struct err_info *err);
NODISCARD enum err store_job_uploads(struct store_tx *tx, const char *id,
                                     store_job_upload_each *each, void *self, struct err_info *err);

struct store_job_query {
    const char *key;    /* of this key only; NULL: of anybody */
    int state;          /* enum store_job_state; -1: any */
    const char *before; /* only ids smaller than this; NULL: all */
    int limit;          /* at most this many, 1..1000 */
};
/* The newest first. */
NODISCARD enum err store_job_list(struct store_tx *tx, const struct store_job_query *q,
                                  store_job_each *each, void *self, struct err_info *err);
/* Every one that is queued or running, oldest first. */
NODISCARD enum err store_job_unfinished(struct store_tx *tx, store_job_each *each, void *self,
                                        struct err_info *err);
/* Every job's id and state, by id. *ids is the caller's (free()); NULL where *n is 0. */
struct store_job_id {
    struct ulid id;
    enum store_job_state state;
};
NODISCARD enum err store_job_ids(struct store_job_id **ids, size_t *n, struct store_tx *tx,
                                 struct err_info *err);

/* --- its life --- */
/* queued -> running. ERR_NOT_FOUND: it is not queued (any more). */
NODISCARD enum err store_job_start(struct store_tx *tx, const char *id, struct err_info *err);
/* *cancel: somebody has asked for its end. ERR_NOT_FOUND: it is not running: it was erased. */
NODISCARD enum err store_job_progress(bool *cancel, struct store_tx *tx, const char *id,
                                      const char *phase, int64_t done, int64_t total,
                                      struct err_info *err);
/* running -> queued, to be begun again. ERR_NOT_FOUND. */
NODISCARD enum err store_job_requeue(struct store_tx *tx, const char *id, struct err_info *err);
struct store_job_end {
    enum store_job_state state; /* a final one */
    const char *result_type;    /* NULL: no result */
    int64_t result_bytes;
    const char *error_code, *error_message; /* NULL: none */
    int64_t ttl_ms;
};
/* queued or running -> final. ERR_NOT_FOUND: it was erased, or had ended. */
NODISCARD enum err store_job_finish(struct store_tx *tx, const char *id,
                                    const struct store_job_end *end, struct err_info *err);
/* What a client's DELETE means: a queued job is cancelled, a running one marked (cancel), a
 * finished one removed. *was: the state that it had. ERR_NOT_FOUND. */
NODISCARD enum err store_job_cancel(enum store_job_state *was, struct store_tx *tx, const char *id,
                                    int64_t ttl_ms, struct err_info *err);

/* --- their end: the caller then lets the files follow (jobs_files_follow) --- */
/* Removes those whose time was over at now_ms; *n: how many. */
NODISCARD enum err store_job_expire(int64_t *n, struct store_tx *tx, int64_t now_ms,
                                    struct err_info *err);
/* Removes every job of a collection, also one that runs: which identities are in its result or its
 * uploads is written nowhere, so erasing one of them erases them all. Adds to r->reports (results)
 * and r->uploads. */
NODISCARD enum err store_job_erase_collection(struct store_receipt *r, struct store_tx *tx,
                                              int64_t collection, struct err_info *err);

#endif
