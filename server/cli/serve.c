/* visavis serve: opens store and engine, serves until SIGTERM or SIGINT, closes in reverse. */
#include "server/cli/cli.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/api/api.h"
#include "server/api/jobs.h"

/* glibc raises both by itself with every big block that is freed, and then keeps whole pictures in
 * the arena of each worker: measured with 16 pictures of 10 megapixels at once, 695 MB stayed; with
 * fixed values 227 MB, of which 161 MB are there from the start. */
enum { MMAP_THRESHOLD_BYTES = 4 << 20, TRIM_THRESHOLD_BYTES = 16 << 20 };
/* Each of 16 workers with an arena of its own keeps 3 to 6 MB of it; they meet in malloc too rarely
 * to need more than these: under 16 clients VGG-Face's server holds 495 MB in place of 522. */
enum { ARENAS = 4 };

static const char usage[] =
    "usage: visavis serve [OPTIONS]\n\n"
    "  --listen ADDRESS   HOST:PORT, [IPV6]:PORT or :PORT for every address (default\n"
    "                     $VISAVIS_LISTEN or 127.0.0.1:8080); port 0 takes a free one\n"
    "  --data DIR         where visavis keeps its database (default $VISAVIS_DATA or the\n"
    "                     user's data folder)\n"
    "  --workers N        requests in work at once (default 16)\n"
    "  --queue N          requests that may wait for a worker (default 64)\n"
    "  --in-flight MIB    bodies held at once, all requests together (default 512)\n"
    "  --header-timeout S, --body-timeout S, --stall-timeout S\n"
    "                     seconds for a request's headers (15), for its body (120), and\n"
    "                     without a byte of it (15)\n"
    "  --require-key      want a key from loopback clients too\n"
    "  --model-memory MB  embedders (by the size of their files) that stay loaded (default: all\n"
    "                     that were asked for)\n"
    "  --cluster-memory MB  what one clustering may take (default 1536); more is refused\n"
    "  --routes           print the routes and stop\n" CLI_ENGINE_HELP;

struct serve {
    const char *listen, *data;
    struct cli_engine engine;
    struct http_options http;
    bool require_key, routes;
    int cluster_memory_mb; /* 0: the default */
};

static void say(enum log_level level, const char *msg, const struct err_info *err)
{
    char escaped[2 * ERR_MESSAGE_BYTES];
    log_line(level, msg, "\"code\":\"%s\",\"detail\":\"%s\"", err_name(err->code),
             log_escape(escaped, sizeof escaped, err->message));
}

/* Waits for SIGTERM or SIGINT; a second one then ends the process at once. */
static void wait_for_signal(const sigset_t *set)
{
    int number = 0;
    while (sigwait(set, &number)) continue;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
    log_line(LOG_INFO, "stopping", "\"signal\":\"%s\"", number == SIGINT ? "SIGINT" : "SIGTERM");
}

/* 1,000 connections and their temporary files want more than the usual soft limit of 1,024. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static enum err run(struct serve *s, const char *data_dir, struct err_info *err)
{
    struct http_address address = {.fd = -1};
    struct app app;
    sigset_t signals;
    enum err rc;
    double started = clock_seconds();

    raise_file_limit();
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    mallopt(M_ARENA_MAX, ARENAS);
    /* Before any thread: all of them inherit the mask, and only sigwait takes these two. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an answer (507), not the end */

    /* Bound first, so that a taken port is said before seconds of loading; nobody can connect until
     * http_start listens. */
    if ((rc = http_bind(&address, s->listen, err))) return rc;
    cli_models_dir(s->engine.models_dir, s->engine.options.models_dir);
    s->engine.options.models_dir = s->engine.models_dir;
    if ((rc = app_open(&app, data_dir, &s->engine.options, err))) {
        close(address.fd);
        return rc;
    }
    app.loopback = address.loopback;
    app.require_key = s->require_key;
    if (s->cluster_memory_mb) app.cluster_memory_max = (size_t)s->cluster_memory_mb << 20;
    if ((!app.loopback || app.require_key) && !app_valid_keys(&app)) {
        rc = err_set(err, ERR_UNAUTHORIZED,
                     "%s is reachable from outside and there is no key: make one with "
                     "visavis key create --data %.200s",
                     address.text, data_dir);
        goto done;
    }
    if ((rc = app_start_jobs(&app, data_dir, api_job_kinds, err))) goto done;
    s->http.routes = api_routes;
    s->http.n_routes = api_n_routes;
    s->http.app = &app;
    s->http.authorize = app_authorize;
    s->http.tick = app_tick;
    s->http.spool_dir = data_dir;
    int port = address.port;
    if ((rc = http_start(&app.http, &address, &s->http, err))) goto done;
    log_line(LOG_INFO, "listening",
             "\"address\":\"%s\",\"port\":%d,\"pid\":%d,\"model\":\"%s\",\"start_ms\":%.0f",
             address.text, port, (int)getpid(), engine_embedder(app.engine)->name,
             (clock_seconds() - started) * 1000);
    wait_for_signal(&signals);
    http_stop(app.http);
    app.http = NULL;
    log_line(LOG_INFO, "stopped", "\"uptime_s\":%.1f", clock_seconds() - started);
done:
    if (address.fd >= 0) close(address.fd);
    app_close(&app);
    return rc;
}

int cli_serve(int argc, char **argv)
{
    const char *env = getenv("VISAVIS_LISTEN");
    struct serve s = {.listen = env && *env ? env : "127.0.0.1:8080"};
    struct err_info err = ERR_INFO_INIT;
    char data_dir[CLI_DIR_BYTES];
    int in_flight_mib = 0;
    struct cli_words w;
    const struct cli_option options[] = {
        {"listen", .text = &s.listen},
        {"data", .text = &s.data},
        {"workers", .whole = &s.http.workers, .least = 1, .most = 256},
        {"queue", .whole = &s.http.queue_max, .least = 1, .most = 100000},
        {"in-flight", .whole = &in_flight_mib, .least = 1, .most = 1 << 20},
        {"header-timeout", .number = &s.http.header_timeout_s, .least = 0.1, .most = 3600},
        {"body-timeout", .number = &s.http.body_timeout_s, .least = 0.1, .most = 3600},
        {"stall-timeout", .number = &s.http.stall_timeout_s, .least = 0.1, .most = 3600},
        {"require-key", .flag = &s.require_key},
        {"model-memory", .whole = &s.engine.options.model_memory_mb, .least = 1, .most = 1 << 20},
        {"cluster-memory", .whole = &s.cluster_memory_mb, .least = 1, .most = 1 << 20},
        {"routes", .flag = &s.routes},
        CLI_ENGINE_OPTIONS(&s.engine),
        {0}};

    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    if (w.n) return cli_fail("serve takes no \"%s\"", w.word[0]);
    s.http.in_flight_max_bytes = (size_t)in_flight_mib << 20;
    if (s.routes) {
        for (size_t i = 0; i < api_n_routes; i++)
            printf("%s %s\n", api_routes[i].method, api_routes[i].path);
        return CLI_OK;
    }
    if (!run(&s, cli_data_dir(data_dir, s.data), &err)) return CLI_OK;
    say(LOG_ERROR, "cannot serve", &err);
    return CLI_ERROR;
}
