/* Shared inside server/http only. */
#ifndef VISAVIS_SERVER_HTTP_HTTP_INTERNAL_H
#define VISAVIS_SERVER_HTTP_HTTP_INTERNAL_H

#include "engine/base/queue.h"
#include "server/http/http.h"
#include "server/http/metrics.h"
#include "server/http/stream.h"
#include "server/http/watch.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    HTTP_WORKERS_MAX = 256,
    HTTP_REPLY_S = 120, /* for a client to take an answer, or one piece of a stream */
};

struct http {
    struct http_options o; /* every default filled in */
    struct MHD_Daemon *daemon;
    int listen_fd;
    struct queue *queue; /* of struct exchange, suspended */
    struct watch *watch;
    struct streams streams;
    struct metrics metrics;
    pthread_t worker[HTTP_WORKERS_MAX], keeper;
    int n_workers;
    bool has_keeper;
    atomic_bool stopping;
    atomic_int busy;         /* workers inside a handler */
    atomic_size_t in_flight; /* bytes of bodies held */
    pthread_mutex_t lock;    /* of the two below */
    pthread_cond_t changed;
    int exchanges; /* begun and not completed */
    bool keeper_must_end;
};

/* --- exchange.c: one request and its answer --- */
struct exchange;
enum MHD_Result exchange_access(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **con_cls);
void exchange_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                        enum MHD_RequestTerminationCode why);
void exchange_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                         enum MHD_ConnectionNotificationCode code);
/* On a worker: runs the handler and resumes the connection, after which the exchange is MHD's
 * thread's again. */
void exchange_work(struct exchange *x);

/* The deadlines of a connection; NULL: there was no memory for them. */
struct watched *exchange_watched(struct MHD_Connection *connection);

/* --- admit.c: may this request go on? --- */
/* What MHD told on its first call goes into rq; ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err admit_read(struct request *rq, struct MHD_Connection *connection,
                              struct err_info *err);
/* Bodies: length -1: chunked. Sets rq->body_kind and *cap (bytes). ERR_UNSUPPORTED, ERR_TOO_LARGE,
 * ERR_INVALID. */
NODISCARD enum err admit_body(struct request *rq, size_t *cap, struct MHD_Connection *connection,
                              const struct route *route, long long length, struct err_info *err);
/* Content-Length; -1: chunked, 0: no body. ERR_INVALID: both. */
NODISCARD enum err admit_length(long long *out, struct MHD_Connection *connection,
                                struct err_info *err);
bool admit_expects(struct MHD_Connection *connection); /* Expect: 100-continue */

/* --- respond.c --- */
/* Queues rp on the connection; rp's body is handed over. *sent: its bytes, which those of a stream
 * are added to as they go; it must live as long as the request. MHD_NO: it cannot be. */
enum MHD_Result respond(struct http *h, struct MHD_Connection *connection, struct reply *rp,
                        const struct request *rq, size_t *sent);
/* The same as text, for a client that must be told before its body has ended. malloc'd; NULL: no
 * memory. */
char *respond_text(const struct err_info *err, const struct request *rq);

#endif
