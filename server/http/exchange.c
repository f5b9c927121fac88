/* One request, one pass.
 *
 * 1. MHD thread, first call: everything that can be known before the body (admit.c). A refusal is
 * answered at once when there is no body or the client asked (Expect: 100-continue); otherwise MHD
 * can only answer after the body, so the body is thrown away, up to a size and a time, and then the
 * refusal is sent.
 * 2. MHD thread, body calls: bytes go to the multipart parser or the spool, counted against the
 * route's cap and against the bytes that all requests may hold together. Nothing is decoded.
 * 3. Body complete: the connection is suspended, THEN pushed: a worker may resume it before push
 * returns.
 * 4. A worker runs the handler and resumes the connection, its last touch.
 * 5. MHD thread: queues the finished reply; when it is sent, or the client is gone,
 * exchange_completed logs the one line.
 *
 * Invariant: an exchange has one owner at a time - the MHD thread, or from push to resume the
 * worker. */
#include "server/http/http_internal.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/http/multipart.h"
#include "server/http/spool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    DISCARD_MAX_BYTES = 64 * 1024 * 1024,
    DISCARD_S = 10,
    IDLE_S = 75, /* between requests of a kept connection, to the end of the next one's headers */
};

enum state {
    X_RECEIVING,  /* the body comes in */
    X_DISCARDING, /* refused (error is set); the rest of the body is thrown away */
    X_TOLD,    /* the refusal was written past MHD; what still comes in is dropped until the end */
    X_WORKING, /* suspended: in the queue or with a worker */
    X_DONE,    /* rp is complete */
    X_SENT,    /* MHD has it */
};

struct exchange {
    struct http *http;
    struct MHD_Connection *connection;
    struct watched *watched;
    enum state state;
    struct request rq;
    struct reply rp;
    struct err_info error;
    const struct route *route; /* NULL: none */
    struct multipart *multipart;
    struct spool spool; /* a JSON body */
    size_t memory_left; /* of the spool's share of memory */
    size_t received, cap;
    size_t counted;       /* of http->in_flight */
    double begun, pushed; /* clock_seconds() */
    int status;           /* for the log */
    size_t sent;
    double answered_ms; /* from its beginning until the answer was ready */
    bool streaming;
};

static double since(double t)
{
    return (clock_seconds() - t) * 1000;
}

struct watched *exchange_watched(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

void exchange_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                         enum MHD_ConnectionNotificationCode code)
{
    struct http *h = cls;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        watch_remove(h->watch, *socket_context);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *socket_context = i ? watch_add(h->watch, i->connect_fd, h->o.header_timeout_s) : NULL;
}

/* The bytes of the body are no longer needed. */
static void drop_body(struct exchange *x)
{
    multipart_free(x->multipart);
    x->multipart = NULL;
    spool_release(&x->spool);
    atomic_fetch_sub(&x->http->in_flight, x->counted);
    x->counted = 0;
}

/* Counts n more bytes of bodies; ERR_BUSY over the budget. */
static enum err count_bytes(struct exchange *x, size_t n)
{
    struct http *h = x->http;
    size_t before = atomic_fetch_add(&h->in_flight, n);
    if (before + n > h->o.in_flight_max_bytes) {
        atomic_fetch_sub(&h->in_flight, n);
        return err_set(&x->error, ERR_BUSY,
                       "%zu bytes of requests are being received, the limit is %zu; try again",
                       before, h->o.in_flight_max_bytes);
    }
    x->counted += n;
    return ERR_OK;
}

/* error is set: nothing more of the body is kept. */
static void refuse(struct exchange *x)
{
    x->state = X_DISCARDING;
    drop_body(x);
    watch_enter(x->http->watch, x->watched, WATCH_READING, DISCARD_S, 0,
                respond_text(&x->error, &x->rq));
}

static enum MHD_Result send_reply(struct exchange *x)
{
    struct http *h = x->http;

    if (!watch_enter(h->watch, x->watched, WATCH_ANSWERING, HTTP_REPLY_S, 0, NULL)) return MHD_NO;
    if (x->rp.kind == REPLY_STREAM && streams_full(h)) {
        err_set(&x->error, ERR_BUSY, "%d clients listen to events, which is the limit; try again",
                h->o.streams_max);
        reply_error(&x->rp, &x->error, x->rq.id.s);
    }
    x->status = x->rp.status;
    x->state = X_SENT;
    x->answered_ms = since(x->begun);
    x->streaming = x->rp.kind == REPLY_STREAM;
    return respond(h, x->connection, &x->rp, &x->rq, &x->sent);
}

static enum MHD_Result send_error(struct exchange *x)
{
    reply_error(&x->rp, &x->error, x->rq.id.s);
    return send_reply(x);
}

static enum err admit(struct exchange *x, long long length)
{
    struct http *h = x->http;
    struct err_info *err = &x->error;
    const char *allow = NULL;
    enum err rc;

    if (atomic_load(&h->stopping)) return err_set(err, ERR_BUSY, "the server is shutting down");
    if ((rc = http_route(&x->route, &allow, &x->rq, h->o.routes, h->o.n_routes, err))) {
        reply_header(&x->rp, "Allow", allow);
        return rc;
    }
    if ((rc = admit_read(&x->rq, x->connection, err))) return rc;
    if (h->o.authorize && (rc = h->o.authorize(h->o.app, &x->rq, &x->rp, x->route, err))) return rc;
    if ((rc = admit_body(&x->rq, &x->cap, x->connection, x->route, length, err))) return rc;
    size_t held = atomic_load(&h->in_flight);
    if (length > 0 && held + (size_t)length > h->o.in_flight_max_bytes)
        return err_set(err, ERR_BUSY,
                       "%zu bytes of requests are being received, the limit is %zu; try again",
                       held, h->o.in_flight_max_bytes);
    if (x->rq.body_kind == BODY_MULTIPART)
        return multipart_new(&x->multipart, x->connection, &x->rq, h->o.spool_dir, err);
    return ERR_OK;
}

static struct exchange *begin(struct http *h, struct MHD_Connection *connection, const char *url,
                              const char *method)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->http = h;
    x->connection = connection;
    x->watched = exchange_watched(connection);
    x->rp = (struct reply)REPLY_INIT;
    x->spool = (struct spool)SPOOL_INIT;
    x->memory_left = SPOOL_MEMORY_MAX_BYTES;
    x->begun = clock_seconds();
    x->rq.arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES);
    ulid_make(&x->rq.id);
    x->rq.path = arena_copy(&x->rq.arena, url, strlen(url));
    x->rq.method = arena_copy(&x->rq.arena, method, strlen(method));
    if (!x->watched || !x->rq.path || !x->rq.method) {
        arena_release(&x->rq.arena);
        free(x);
        return NULL;
    }
    pthread_mutex_lock(&h->lock);
    h->exchanges++;
    pthread_mutex_unlock(&h->lock);
    return x;
}

static enum MHD_Result first_call(struct exchange *x)
{
    struct http *h = x->http;
    long long length;
    enum err rc = admit_length(&length, x->connection, &x->error);

    if (!rc) rc = admit(x, length);
    if (rc && length && admit_expects(x->connection)) {
        x->state = X_DONE;
        return send_error(x);
    }
    if (rc) {
        refuse(x);
        return MHD_YES;
    }
    struct err_info late = ERR_INFO_INIT;
    err_set(&late, ERR_TIMEOUT, "the body did not arrive within %g s, or stood still for %g s",
            h->o.body_timeout_s, h->o.stall_timeout_s);
    return watch_enter(h->watch, x->watched, WATCH_READING, h->o.body_timeout_s,
                       h->o.stall_timeout_s, length ? respond_text(&late, &x->rq) : NULL)
               ? MHD_YES
               : MHD_NO;
}

static enum MHD_Result body_call(struct exchange *x, const char *data, size_t n)
{
    struct http *h = x->http;
    enum err rc;

    x->received += n;
    if (x->state == X_DISCARDING && x->received > DISCARD_MAX_BYTES) {
        watch_end_now(h->watch, x->watched);
        x->state = X_TOLD;
    }
    if (x->state != X_RECEIVING) return MHD_YES;
    watch_alive(x->watched);
    if (x->received > x->cap)
        rc = err_set(&x->error, ERR_TOO_LARGE, "the body has more than the %zu bytes allowed",
                     x->cap);
    else if (!(rc = count_bytes(x, n)))
        rc = x->multipart
                 ? multipart_feed(x->multipart, data, n, &x->error)
                 : spool_add(&x->spool, data, n, &x->memory_left, h->o.spool_dir, &x->error);
    if (rc) refuse(x);
    return MHD_YES;
}

static void run_handler(struct exchange *x)
{
    struct http *h = x->http;
    if (x->route->handler(h->o.app, &x->rq, &x->rp, &x->error))
        reply_error(&x->rp, &x->error, x->rq.id.s);
    drop_body(x);
    x->state = X_DONE;
}

void exchange_work(struct exchange *x)
{
    struct http *h = x->http;
    struct MHD_Connection *connection = x->connection;

    x->rq.ms[STAGE_QUEUE] = since(x->pushed);
    atomic_fetch_add(&h->busy, 1);
    run_handler(x);
    atomic_fetch_sub(&h->busy, 1);
    MHD_resume_connection(connection); /* x is no longer ours */
}

/* The whole request is here. */
static enum MHD_Result last_call(struct exchange *x)
{
    struct http *h = x->http;
    enum err rc = ERR_OK;

    if (x->state == X_TOLD) return MHD_NO;
    if (x->state == X_DISCARDING) return send_error(x);
    x->rq.ms[STAGE_RECV] = since(x->begun);
    if (x->rq.body_kind != BODY_NONE && !x->received)
        rc = err_set(&x->error, ERR_INVALID, "the body is empty");
    else if (x->multipart)
        rc = multipart_finish(x->multipart, &x->error);
    else if (x->rq.body_kind == BODY_JSON)
        rc = spool_seal(&x->spool, &x->rq.body, &x->rq.body_len, &x->error);
    if (rc) return send_error(x);
    if (x->route->flags & ROUTE_INLINE) {
        run_handler(x);
        return send_reply(x);
    }
    if (!watch_enter(h->watch, x->watched, WATCH_ANSWERING, 0, 0, NULL)) return MHD_NO;
    x->state = X_WORKING;
    x->pushed = clock_seconds();
    struct MHD_Connection *connection = x->connection;
    MHD_suspend_connection(connection);
    if (queue_push(h->queue, x)) return MHD_YES; /* x is the worker's */
    if (atomic_load(&h->stopping))
        err_set(&x->error, ERR_BUSY, "the server is shutting down");
    else
        err_set(&x->error, ERR_BUSY, "%d requests are waiting, which is the limit; try again",
                h->o.queue_max);
    reply_error(&x->rp, &x->error, x->rq.id.s);
    drop_body(x);
    x->state = X_DONE;
    MHD_resume_connection(connection);
    return MHD_YES;
}

enum MHD_Result exchange_access(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *size, void **con_cls)
{
    struct exchange *x = *con_cls;
    (void)version;

    if (!x) {
        if (!(x = begin(cls, connection, url, method))) return MHD_NO;
        *con_cls = x;
        return first_call(x);
    }
    if (*size) {
        size_t n = *size;
        *size = 0;
        return body_call(x, data, n);
    }
    if (x->state == X_DONE) return send_reply(x);
    assert(x->state != X_WORKING);
    return x->state == X_SENT ? MHD_YES : last_call(x);
}

static void log_access(const struct exchange *x, double total_ms)
{
    const struct request *rq = &x->rq;
    char stages[256], detail[512] = "", escaped[400];
    size_t n = 0;

    for (int i = 0; i < STAGE_COUNT; i++)
        n += (size_t)snprintf(stages + n, sizeof stages - n, "\"%s\":%.1f,",
                              request_stage_name((enum stage)i), rq->ms[i]);
    /* What a client may not see of a 500 must be found here; the others it was told itself. */
    if (x->error.code && x->status == 500)
        snprintf(detail, sizeof detail, ",\"detail\":\"%s\"",
                 log_escape(escaped, sizeof escaped, x->error.message));
    char method[24];
    log_line(
        x->status >= 500 ? LOG_ERROR : LOG_INFO, "request",
        "\"request_id\":\"%s\",\"method\":\"%s\",\"route\":\"%s\",\"status\":%d,\"bytes_in\":%zu,"
        "\"bytes_out\":%zu,\"ms\":{%s\"total\":%.1f}%s%s%s%s",
        rq->id.s, log_escape(method, sizeof method, rq->method), x->route ? x->route->path : "none",
        x->status, x->received, x->sent, stages, total_ms, x->error.code ? ",\"error\":\"" : "",
        x->error.code ? err_name(x->error.code) : "", x->error.code ? "\"" : "", detail);
}

void exchange_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                        enum MHD_RequestTerminationCode why)
{
    struct http *h = cls;
    struct exchange *x = *con_cls;
    (void)connection;

    if (!x) return;
    *con_cls = NULL;
    bool late = watch_ended(h->watch, x->watched);
    if (x->state != X_SENT && late) { /* the housekeeper spoke its last words */
        if (x->state == X_RECEIVING) x->error.code = ERR_TIMEOUT;
        x->status = reply_status(x->error.code);
    } else if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        x->status = 499; /* the client went away, as nginx counts it */
        x->sent = 0;
    }
    double total = since(x->begun);
    /* How long somebody listened is not how long an answer took. */
    metrics_request(&h->metrics, x->route, x->status, x->streaming ? x->answered_ms : total,
                    x->rq.ms);
    log_access(x, total);
    watch_enter(h->watch, x->watched, WATCH_READING, IDLE_S, 0, NULL);
    drop_body(x);
    reply_release(&x->rp);
    arena_release(&x->rq.arena);
    free(x);
    pthread_mutex_lock(&h->lock);
    h->exchanges--;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}
