/* Requests that change something: one job in the store, together with what every such request has.
 * In the transaction of the change itself, so that none is without the others: the entry in the
 * audit log, and the answer, kept for 24 hours under the client's Idempotency-Key, so that the same
 * request sent again gets the same answer and changes nothing. */
#ifndef VISAVIS_SERVER_API_WRITE_H
#define VISAVIS_SERVER_API_WRITE_H

#include "server/api/app.h"
#include "server/store/store.h"

#include <jansson.h>

struct write_answer {
    int status;   /* 200, 201, 204 */
    json_t *body; /* new reference; NULL with 204 */
    json_t *kept; /* new reference: kept under Idempotency-Key instead of body, where that holds a
                     secret; NULL: body is kept */
    char collection[27]; /* ULID of the collection, for the audit log; "": none */
    char target[27];     /* of what was changed; "": none */
    char etag[32];       /* with its quotes; "": none */
};

struct write {
    const char *action; /* static, for the audit log: "identity.create" */
    /* In the transaction, on the writer's thread; fills *a (zeroed). An error undoes everything. */
    enum err (*run)(struct store_tx *tx, void *self, struct write_answer *a, struct err_info *err);
    void *self;
};

/* Fills *a; the body's reference is taken in every case, NULL is ERR_NOMEM (json_pack failed).
 * collection, target: ids; target NULL: none. */
NODISCARD enum err write_answered(struct write_answer *a, int status, json_t *body,
                                  const char *collection, const char *target, struct err_info *err);

/* Before any work is done for it: has this request been answered already? *done: rp is that answer.
 * ERR_INVALID: the key is longer than 200 characters or not printable ASCII; ERR_CONFLICT: the key
 * was used for another request. Without the header: ERR_OK and not done. */
NODISCARD enum err write_replay(bool *done, struct app *app, struct request *rq, struct reply *rp,
                                struct err_info *err);
/* Runs w and makes rp its answer; on ERR_OK the change is on the disk, and the search indexes of
 * this process have followed. A second request with the same Idempotency-Key that came meanwhile
 * gets the first one's answer. Errors of w->run, of store_write, of write_replay; ERR_FORBIDDEN:
 * the request's key is for another collection than the one that w->run named. */
NODISCARD enum err write_run(struct app *app, struct request *rq, struct reply *rp,
                             const struct write *w, struct err_info *err);

#endif
