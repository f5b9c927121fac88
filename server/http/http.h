/* The HTTP edge: the only folder that includes <microhttpd.h>. It moves bytes, keeps the limits
 * (sizes, deadlines, bytes in flight) and runs handlers; what the routes mean is server/api.
 *
 * Threads: 2 of MHD (epoll) move bytes and run the handlers marked ROUTE_INLINE; W workers run the
 * others; one housekeeper watches deadlines and calls tick() once a second.
 *
 * A request, one pass: exchange.c. */
#ifndef VISAVIS_SERVER_HTTP_HTTP_H
#define VISAVIS_SERVER_HTTP_HTTP_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "server/http/reply.h"
#include "server/http/request.h"

#include <stdbool.h>
#include <stddef.h>

struct app; /* server/api/app.h; only handed through */
struct http;

/* An error that it returns becomes the answer (rp's headers and details are kept). On ERR_OK rp is
 * complete. */
typedef enum err route_handler(struct app *app, struct request *rq, struct reply *rp,
                               struct err_info *err);

enum route_flags {
    ROUTE_INLINE = 1,    /* answered on the MHD thread: must not block */
    ROUTE_OPEN = 2,      /* no key, any Host: health and documentation */
    ROUTE_MULTIPART = 4, /* accepts multipart/form-data */
    ROUTE_JSON = 8,      /* accepts application/json */
    /* What authorize asks for; the edge itself only hands these through. */
    ROUTE_READ = 16,      /* a key of any right */
    ROUTE_WRITE = 32,     /* one that may write */
    ROUTE_STATELESS = 64, /* of no collection: also for keys that are limited to one */
};

struct route {
    const char *method, *path; /* "GET"; "/v1/things/{id}" */
    unsigned flags;
    size_t body_max; /* bytes of a multipart body; a JSON body may be 4/3 of it and 64 KiB more
                        (base64) */
    route_handler *handler;
};

struct http_options {
    const struct route *routes;
    size_t n_routes;
    struct app *app;
    /* On an MHD thread, before the body is read; must not block. Fills rq->principal and scope;
     * where it refuses, headers and details of rp are kept. NULL: everybody may. */
    enum err (*authorize)(struct app *app, struct request *rq, struct reply *rp,
                          const struct route *route, struct err_info *err);
    void (*tick)(struct app *app); /* once a second, on the housekeeper; NULL: nothing */
    const char *spool_dir;         /* where big bodies go while they are in flight */
    int workers;                   /* requests in work at once; 0: 16 */
    int queue_max;                 /* requests waiting for a worker; 0: 64 */
    int connections_max;           /* 0: 1000 */
    double header_timeout_s;       /* from connecting to the end of the headers; 0: 15 */
    double body_timeout_s;         /* from the headers to the end of the body; 0: 120 */
    double stall_timeout_s;        /* without one byte of the body; 0: 15 */
    size_t in_flight_max_bytes;    /* of bodies, all requests together; 0: 512 MiB */
    int streams_max;               /* replies that are streams; 0: half of connections_max */
    double stream_idle_s;          /* of silence, then a stream's idle bytes are sent; 0: 15 */
};

/* A bound TCP socket (not listening yet) for "HOST:PORT", "[::1]:PORT" or ":PORT" (every address).
 * Port 0 takes a free one. ERR_INVALID: not an address; ERR_CONFLICT: in use; ERR_IO. */
struct http_address {
    int fd;
    int port;
    char text[96]; /* "127.0.0.1:8080", "[::1]:8080" */
    bool loopback;
};
NODISCARD enum err http_bind(struct http_address *out, const char *listen, struct err_info *err);

/* Listens and serves on address->fd, which is taken on ERR_OK (and then -1 in *address). o is
 * copied; what it points to is borrowed. *out is set before the first request can arrive; NULL on
 * failure. */
NODISCARD enum err http_start(struct http **out, struct http_address *address,
                              const struct http_options *o, struct err_info *err);
/* Stops accepting, answers 503 to new requests, finishes those in work, ends the streams, then
 * closes every connection. Blocks until done. */
void http_stop(struct http *h);
bool http_stopping(const struct http *h);

/* Requests by route and status, stages, queue, bytes in flight: Prometheus text, appended. */
NODISCARD enum err http_metrics(struct http *h, struct buf *out, struct err_info *err);

/* --- router.c --- */
/* The route of a method and path; HEAD counts as GET. ERR_NOT_FOUND; ERR_METHOD (then *allow is the
 * Allow header, from the request's arena). Fills rq->param. */
NODISCARD enum err http_route(const struct route **out, const char **allow, struct request *rq,
                              const struct route *routes, size_t n, struct err_info *err);

#endif
