/* A server for tests/http/group_jobs.py: visavis' routes of jobs, and kinds of job that a test can
 * hold by the hand. No engine, no models. Started as `visavis serve` is: serve --data DIR.
 *
 * POST /test/jobs         {"kind":"steps"|"fragile"|"broken","steps":N,"result":BYTES} or a form
 * whose files are its uploads and whose query says the same: job_submit POST /test/gate {"to":N}:
 * every job may take steps up to N */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/api/api.h"
#include "server/api/jobs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int gate;

static int int_of(json_t *o, const char *name)
{
    return (int)json_integer_value(json_object_get(o, name));
}

static enum err steps(struct job *job, void *self, struct err_info *err)
{
    json_auto_t *o = json_loads(job_parameters(job), 0, NULL);
    struct buf b = BUF_INIT(64 << 20);
    int n = int_of(o, "steps");
    size_t uploaded = 0;
    enum err rc = ERR_OK;
    (void)self;

    for (int i = 0; !rc && i < job_n_uploads(job); i++) {
        const uint8_t *data;
        size_t len = 0;
        rc = job_upload_bytes(&data, &len, job, i, err);
        uploaded += len;
    }
    job_phase(job, "stepping", n);
    for (int i = 1; !rc && i <= n; i++) {
        while (atomic_load(&gate) < i && !job_cancelled(job)) usleep(200);
        if (job_cancelled(job)) return err_set(err, ERR_BUSY, "asked to end");
        job_progress(job, i);
    }
    if (!rc)
        rc = buf_printf(&b, err, "{\"steps\":%d,\"uploaded\":%zu,\"padding\":\"%*s\"}", n, uploaded,
                        int_of(o, "result"), "");
    if (!rc) rc = job_result(job, "application/json", b.data, b.len, err);
    buf_release(&b);
    return rc;
}

static enum err broken(struct job *job, void *self, struct err_info *err)
{
    (void)job, (void)self;
    return err_set(err, ERR_NO_FACE, "no picture has a face: \xff.jpg");
}

static const struct job_kind kinds[] = {
    {"steps", steps, true}, {"fragile", steps, false}, {"broken", broken, true}, {NULL, NULL, 0}};

static enum err submit(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct job_upload uploads[REQUEST_PARTS_MAX];
    struct job_order o = {.uploads = uploads};
    json_auto_t *body = rq->body_kind == BODY_JSON
                            ? json_loadb((const char *)rq->body, rq->body_len, 0, NULL)
                            : json_object();
    for (int i = 0; i < rq->n_query; i++)
        json_object_set_new(body, rq->query[i].key,
                            strcmp(rq->query[i].key, "kind") != 0
                                ? json_integer(atoi(rq->query[i].value))
                                : json_string(rq->query[i].value));
    for (int i = 0; i < rq->n_parts; i++)
        uploads[o.n_uploads++] =
            (struct job_upload){rq->part[i].name, rq->part[i].data, rq->part[i].len};
    o.kind = json_string_value(json_object_get(body, "kind"));
    if (!o.kind) return err_set(err, ERR_INVALID, "kind is missing");
    return job_submit(app, rq, rp, &o, json_incref(body), err);
}

static enum err set_gate(struct app *app, struct request *rq, struct reply *rp,
                         struct err_info *err)
{
    json_auto_t *body = json_loadb((const char *)rq->body, rq->body_len, 0, NULL);
    (void)app;
    atomic_store(&gate, int_of(body, "to"));
    return reply_json(rp, 200, json_object(), err);
}

static const struct route routes[] = {
    {"POST", "/test/jobs", ROUTE_JSON | ROUTE_MULTIPART, 16 << 20, submit},
    {"POST", "/test/gate", ROUTE_JSON, 1 << 20, set_gate},
    {"GET", "/v1/jobs", 0, 0, api_jobs},
    {"GET", "/v1/jobs/{id}", 0, 0, api_job},
    {"DELETE", "/v1/jobs/{id}", 0, 0, api_job_delete},
    {"GET", "/v1/jobs/{id}/result", 0, 0, api_job_result},
    {"GET", "/v1/jobs/{id}/events", 0, 0, api_job_events},
    {"GET", "/metrics", ROUTE_INLINE, 0, api_metrics},
};

/* X-API-Key is taken for the key's id: which jobs a key sees is tested, not keys. */
static enum err authorize(struct app *app, struct request *rq, struct reply *rp,
                          const struct route *route, struct err_info *err)
{
    (void)app, (void)rp, (void)route, (void)err;
    snprintf(rq->principal, sizeof rq->principal, "%.26s", rq->api_key ? rq->api_key : "local");
    return ERR_OK;
}

static int serve(const char *dir, const sigset_t *signals, struct err_info *err)
{
    struct http_address address = {.fd = -1};
    static struct app app;
    struct http_options o = {.routes = routes,
                             .n_routes = ARRAY_LEN(routes),
                             .app = &app,
                             .authorize = authorize,
                             .spool_dir = dir,
                             .workers = 2,
                             .stream_idle_s = 1};
    int number;

    if (http_bind(&address, "127.0.0.1:0", err) || store_open(&app.store, dir, err) ||
        app_start_jobs(&app, dir, kinds, err) || http_start(&app.http, &address, &o, err))
        return 1;
    log_line(LOG_INFO, "listening", "\"address\":\"%s\",\"port\":%d", address.text, address.port);
    while (sigwait(signals, &number)) continue;
    http_stop(app.http);
    jobs_close(app.jobs);
    store_close(app.store);
    return 0;
}

int main(int argc, char **argv)
{
    struct err_info err = ERR_INFO_INIT;
    sigset_t signals;
    if (argc != 4) return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int status = serve(argv[3], &signals, &err);
    if (err.code) fprintf(stderr, "%s\n", err.message);
    return status;
}
