/* GET /v1/jobs/{id}/events: server-sent events (WHATWG HTML, section 9.2). An event is the job as
 * it is at that moment, so a client that comes back needs no history: where Last-Event-ID names the
 * present state it waits for the next one, else it gets the present one. */
#include "server/api/api.h"
#include "server/api/jobs.h"

#include <stdlib.h>
#include <string.h>

enum { EVENT_MAX_BYTES = 64 * 1024, RETRY_MS = 2000 };
static const char EVENT_STREAM[] = "text/event-stream";

struct event_stream {
    struct jobs *jobs;
    struct job_listener listener;
    char last[sizeof((struct job_view *)NULL)->event]; /* what the client has */
    struct buf text;                                   /* going out */
    size_t sent;
    bool ended; /* nothing comes after text */
};

static enum err add_event(struct buf *out, const struct job_view *v, struct err_info *err)
{
    static const char *const names[STORE_JOB_STATES] = {
        [STORE_JOB_QUEUED] = "progress",     [STORE_JOB_RUNNING] = "progress",
        [STORE_JOB_DONE] = "done",           [STORE_JOB_FAILED] = "failed",
        [STORE_JOB_CANCELLED] = "cancelled", [STORE_JOB_INTERRUPTED] = "failed",
    };
    json_auto_t *job = job_json(v);
    char *text = json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(9));
    enum err rc = text ? buf_printf(out, err, "id: %s\nevent: %s\ndata: %s\n\n", v->event,
                                    names[v->row.state], text)
                       : err_set(err, ERR_NOMEM, "no memory for an event");
    free(text);
    return rc;
}

static void listen_to_job(void *self, void (*wake)(void *arg), void *arg)
{
    struct event_stream *s = self;
    job_listener_wake(&s->listener, s->jobs, wake, arg);
}

static size_t read_events(void *self, char *out, size_t max, bool *end)
{
    struct event_stream *s = self;
    struct job_view v;

    if (s->sent == s->text.len && !s->ended) {
        buf_release(&s->text);
        s->sent = 0;
        job_listener_view(&v, &s->listener, s->jobs);
        if (!strcmp(v.event, s->last)) return 0;
        memcpy(s->last, v.event, sizeof s->last);
        /* Without memory for one the stream ends; the client comes back for it. */
        s->ended = add_event(&s->text, &v, NULL) || store_job_final(v.row.state);
    }
    size_t n = s->text.len - s->sent;
    if (n > max) n = max;
    if (n) memcpy(out, s->text.data + s->sent, n);
    s->sent += n;
    *end = s->ended;
    return n;
}

static void close_events(void *self)
{
    struct event_stream *s = self;
    jobs_unlisten(&s->listener, s->jobs);
    buf_release(&s->text);
    free(s);
}

static enum err reply_ended(struct reply *rp, const struct job_view *v, const char *last,
                            struct err_info *err)
{
    struct buf b = BUF_INIT(EVENT_MAX_BYTES);

    if (last && !strcmp(last, v->event)) { /* 204 tells a browser not to come back */
        reply_static(rp, 204, NULL, "", 0);
        return ERR_OK;
    }
    enum err rc = add_event(&b, v, err);
    if (rc)
        buf_release(&b);
    else
        reply_bytes(rp, 200, EVENT_STREAM, &b);
    return rc;
}

static enum err reply_listening(struct reply *rp, struct jobs *jobs, const char *id,
                                const char *last, struct err_info *err)
{
    struct event_stream *s = calloc(1, sizeof *s);
    enum err rc;

    if (!s) return err_set(err, ERR_NOMEM, "no memory for events");
    s->jobs = jobs;
    s->text = BUF_INIT(EVENT_MAX_BYTES);
    if (last) strncpy(s->last, last, sizeof s->last - 1);
    /* Something goes out at once, also where the client has the present state. */
    if ((rc = buf_printf(&s->text, err, "retry: %d\n\n", RETRY_MS)) ||
        (rc = jobs_listen(&s->listener, jobs, id, err))) {
        buf_release(&s->text);
        free(s);
        return rc;
    }
    reply_stream(rp, 200, EVENT_STREAM,
                 &(struct reply_stream){.self = s,
                                        .listen = listen_to_job,
                                        .read = read_events,
                                        .close = close_events,
                                        .idle = ": still here\n\n"});
    return ERR_OK;
}

enum err api_job_events(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    static const char *const no_parameters[] = {NULL};
    struct job_view v;
    enum err rc = request_query_only(rq, no_parameters, err);

    /* A job that ends between the look and the listening has its end in the second look. */
    for (int i = 0; !rc && i < 2; i++) {
        if ((rc = job_of(&v, app, rq, err))) return rc;
        if (store_job_final(v.row.state)) return reply_ended(rp, &v, rq->last_event_id, err);
        rc = reply_listening(rp, app->jobs, v.row.id.s, rq->last_event_id, err);
        if (rc != ERR_NOT_FOUND) return rc;
        rc = ERR_OK;
    }
    return rc ? rc : err_set(err, ERR_INTERNAL, "a job is neither in work nor at its end");
}
