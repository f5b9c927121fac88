/* Starting and stopping the edge, its workers and its housekeeper. */
#include "server/http/http_internal.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MHD_THREADS = 2,
    BACKLOG = 1024,
    CONNECTION_BYTES =
        64 * 1024, /* MHD's buffer for a connection: headers, and a body's bytes as they come */
    SWEEP_MS = 200,
    GRACE_S = 10, /* for bodies still arriving and answers still leaving when we stop */
};

static void mhd_says(void *cls, const char *fmt, va_list ap)
{
    char text[400], escaped[500];
    (void)cls;

    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = 0;
    log_line(LOG_DEBUG, "microhttpd", "\"text\":\"%s\"", log_escape(escaped, sizeof escaped, text));
}

static void *work(void *arg)
{
    struct http *h = arg;
    struct exchange *x;
    while ((x = queue_pop(h->queue))) exchange_work(x);
    return NULL;
}

static void wait_ms(struct http *h, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&h->changed, &h->lock, &until);
}

static void *keep_house(void *arg)
{
    struct http *h = arg;
    double last_sweep = 0, last_tick = clock_seconds();

    pthread_mutex_lock(&h->lock);
    while (!h->keeper_must_end) {
        wait_ms(h, SWEEP_MS);
        double now = clock_seconds();
        if (now - last_sweep < SWEEP_MS / 2000.0) continue; /* woken by a finished request */
        last_sweep = now;
        pthread_mutex_unlock(&h->lock);
        watch_sweep(h->watch);
        streams_sweep(h);
        if (h->o.tick && now - last_tick >= 1) {
            h->o.tick(h->o.app);
            last_tick = now;
        }
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static void fill_defaults(struct http_options *o)
{
    if (!o->workers) o->workers = 16;
    if (o->workers > HTTP_WORKERS_MAX) o->workers = HTTP_WORKERS_MAX;
    if (!o->queue_max) o->queue_max = 64;
    if (!o->connections_max) o->connections_max = 1000;
    if (o->header_timeout_s <= 0) o->header_timeout_s = 15;
    if (o->body_timeout_s <= 0) o->body_timeout_s = 120;
    if (o->stall_timeout_s <= 0) o->stall_timeout_s = 15;
    if (!o->streams_max) o->streams_max = o->connections_max / 2;
    if (o->stream_idle_s <= 0) o->stream_idle_s = 15;
    if (!o->in_flight_max_bytes) o->in_flight_max_bytes = (size_t)512 * 1024 * 1024;
}

/* Workers and housekeeper end; nobody pushes any more. */
static void join_threads(struct http *h)
{
    if (h->queue) queue_close(h->queue);
    for (int i = 0; i < h->n_workers; i++) pthread_join(h->worker[i], NULL);
    h->n_workers = 0;
}

static void destroy(struct http *h)
{
    join_threads(h);
    if (h->has_keeper) {
        pthread_mutex_lock(&h->lock);
        h->keeper_must_end = true;
        pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->keeper, NULL);
    }
    queue_free(h->queue);
    watch_free(h->watch);
    metrics_release(&h->metrics);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->streams.lock);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static enum err start_threads(struct http *h, struct err_info *err)
{
    for (int i = 0; i < h->o.workers; i++) {
        if (pthread_create(&h->worker[i], NULL, work, h))
            return err_set(err, ERR_NOMEM, "cannot start worker %d of %d", i + 1, h->o.workers);
        h->n_workers++;
        pthread_setname_np(h->worker[i], "visavis-worker");
    }
    if (pthread_create(&h->keeper, NULL, keep_house, h))
        return err_set(err, ERR_NOMEM, "cannot start the housekeeper");
    h->has_keeper = true;
    pthread_setname_np(h->keeper, "visavis-keeper");
    return ERR_OK;
}

enum err http_start(struct http **out, struct http_address *address, const struct http_options *o,
                    struct err_info *err)
{
    pthread_condattr_t monotonic;
    enum err rc;
    struct http *h = calloc(1, sizeof *h);

    if (!h) return err_set(err, ERR_NOMEM, "no memory for the server");
    h->o = *o;
    fill_defaults(&h->o);
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->streams.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if ((rc = queue_new(&h->queue, (size_t)h->o.queue_max, err)) ||
        (rc = watch_new(&h->watch, err)) ||
        (rc = metrics_init(&h->metrics, h->o.routes, h->o.n_routes, err)) ||
        (rc = start_threads(h, err)))
        goto fail;
    if (listen(address->fd, BACKLOG)) {
        rc = err_set(err, ERR_IO, "cannot listen on %s", address->text);
        goto fail;
    }
    h->listen_fd = address->fd;
    *out = h; /* before the first request can come: handlers may use it */
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, exchange_access, h, MHD_OPTION_EXTERNAL_LOGGER, mhd_says, NULL,
        MHD_OPTION_LISTEN_SOCKET, address->fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)MHD_THREADS,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)h->o.connections_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_completed, h, MHD_OPTION_NOTIFY_CONNECTION, exchange_connection, h,
        MHD_OPTION_END);
    if (!h->daemon) {
        *out = NULL;
        rc = err_set(err, ERR_INTERNAL, "libmicrohttpd does not start on %s", address->text);
        goto fail;
    }
    address->fd = -1;
    return ERR_OK;
fail:
    destroy(h);
    return rc;
}

bool http_stopping(const struct http *h)
{
    return atomic_load(&h->stopping);
}

void http_stop(struct http *h)
{
    if (!h) return;
    /* MHD's thread may still look at the socket: it is closed after the daemon is gone. */
    MHD_socket fd = MHD_quiesce_daemon(h->daemon);
    atomic_store(&h->stopping, true);
    join_threads(h); /* drains: each worker resumes its connection */
    streams_end(h);
    double until = clock_seconds() + GRACE_S;
    pthread_mutex_lock(&h->lock);
    while (h->exchanges && clock_seconds() < until) wait_ms(h, SWEEP_MS);
    pthread_mutex_unlock(&h->lock);
    MHD_stop_daemon(h->daemon);
    close(fd != MHD_INVALID_SOCKET ? fd : h->listen_fd);
    assert(!h->exchanges);
    destroy(h);
}

enum err http_metrics(struct http *h, struct buf *out, struct err_info *err)
{
    enum err rc = metrics_write(&h->metrics, out, err);
    if (rc) return rc;
    return buf_printf(
        out, err,
        "# HELP visavis_queue_depth Requests that wait for a worker.\n"
        "# TYPE visavis_queue_depth gauge\nvisavis_queue_depth %zu\n"
        "# HELP visavis_queue_capacity Requests that may wait for a worker.\n"
        "# TYPE visavis_queue_capacity gauge\nvisavis_queue_capacity %d\n"
        "# HELP visavis_workers Workers.\n"
        "# TYPE visavis_workers gauge\nvisavis_workers %d\n"
        "# HELP visavis_workers_busy Workers inside a request.\n"
        "# TYPE visavis_workers_busy gauge\nvisavis_workers_busy %d\n"
        "# HELP visavis_streams Clients that listen to events.\n"
        "# TYPE visavis_streams gauge\nvisavis_streams %d\n"
        "# HELP visavis_bytes_in_flight Bytes of request bodies held.\n"
        "# TYPE visavis_bytes_in_flight gauge\nvisavis_bytes_in_flight %zu\n"
        "# HELP visavis_bytes_in_flight_limit Over it requests get 503.\n"
        "# TYPE visavis_bytes_in_flight_limit gauge\nvisavis_bytes_in_flight_limit %zu\n"
        "# HELP visavis_http_connections Open connections.\n"
        "# TYPE visavis_http_connections gauge\nvisavis_http_connections %zu\n",
        queue_depth(h->queue), h->o.queue_max, h->o.workers, atomic_load(&h->busy),
        streams_count(h), atomic_load(&h->in_flight), h->o.in_flight_max_bytes,
        watch_count(h->watch));
}
