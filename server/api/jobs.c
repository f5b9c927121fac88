/* /v1/jobs: what became of work that takes long. The events are job_events.c. */
#include "server/api/jobs.h"

#include "server/api/api.h"
#include "server/api/clusters.h"
#include "server/api/reembed.h"

#include <stdlib.h>
#include <string.h>

enum { LIMIT = 50, LIMIT_MAX = 200 };
static const char *const no_parameters[] = {NULL};

const struct job_kind api_job_kinds[] = {
    {"reembed", reembed_run, true},
    {"cluster", clusters_job, true},
    {NULL, NULL, false},
};

/* The id of the request's key; NULL: it came without one, which may see everything. */
static const char *owner(const struct request *rq)
{
    return ulid_valid(rq->principal) ? rq->principal : NULL;
}

enum err job_of(struct job_view *out, struct app *app, const struct request *rq,
                struct err_info *err)
{
    const char *id = request_param(rq, "id"), *key = owner(rq);
    enum err rc = jobs_view(out, app->jobs, id, err);
    if (!rc && key && strcmp(key, out->row.key) != 0) /* the same answer as where there is none */
        rc = err_set(err, ERR_NOT_FOUND, "there is no job with the id %.40s", id);
    return rc;
}

enum err job_submit(struct app *app, struct request *rq, struct reply *rp, struct job_order *o,
                    json_t *parameters, struct err_info *err)
{
    struct job_view v;
    char *text = json_dumps(parameters, JSON_COMPACT | JSON_REAL_PRECISION(17));
    enum err rc = ERR_OK;

    json_decref(parameters);
    if (!text) return err_set(err, ERR_NOMEM, "no memory for a job's parameters");
    o->key = owner(rq);
    o->parameters = text;
    rc = jobs_submit(&v, app->jobs, o, err);
    o->parameters = NULL;
    free(text);
    if (rc) return rc;
    reply_header(rp, "Location", arena_printf(&rq->arena, "/v1/jobs/%s", v.row.id.s));
    return reply_json(rp, 202, job_json(&v), err);
}

static enum err read_query(struct store_job_query *q, const struct request *rq,
                           struct err_info *err)
{
    static const char *const names[] = {"cursor", "limit", "state", NULL};
    const char *limit = request_query(rq, "limit"), *state = request_query(rq, "state");
    enum store_job_state s;
    enum err rc = request_query_only(rq, names, err);

    if (rc) return rc;
    *q = (struct store_job_query){
        .key = owner(rq), .state = -1, .before = request_query(rq, "cursor"), .limit = LIMIT};
    if (q->before && !ulid_valid(q->before))
        return err_set(err, ERR_INVALID, "cursor is not one that this list gave");
    if (state && !store_job_state_parse(&s, state))
        return err_set(err, ERR_INVALID,
                       "state is \"%.40s\"; it can be queued, running, done, failed, cancelled or "
                       "interrupted",
                       state);
    if (state) q->state = (int)s;
    if (limit) {
        char *end;
        long n = strtol(limit, &end, 10);
        if (end == limit || *end || n < 1 || n > LIMIT_MAX)
            return err_set(err, ERR_INVALID, "limit is \"%.40s\"; it is a number from 1 to %d",
                           limit, LIMIT_MAX);
        q->limit = (int)n;
    }
    q->limit++; /* one more says whether there is a next page */
    return ERR_OK;
}

struct page {
    json_t *items;
    int room;
    bool more;
    char last[ULID_CHARS + 1];
};

static enum err add_item(void *self, const struct job_view *v, struct err_info *err)
{
    struct page *p = self;
    if (!p->room--) {
        p->more = true;
        return ERR_OK;
    }
    memcpy(p->last, v->row.id.s, sizeof p->last);
    return json_array_append_new(p->items, job_json(v))
               ? err_set(err, ERR_NOMEM, "no memory for a list of jobs")
               : ERR_OK;
}

/* GET /v1/jobs: those of the request's key, the newest first. */
enum err api_jobs(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct store_job_query q;
    enum err rc = read_query(&q, rq, err);

    if (rc) return rc;
    struct page p = {.items = json_array(), .room = q.limit - 1};
    if (!p.items) return err_set(err, ERR_NOMEM, "no memory for a list of jobs");
    if ((rc = jobs_list(app->jobs, &q, add_item, &p, err))) {
        json_decref(p.items);
        return rc;
    }
    return reply_json(
        rp, 200, json_pack("{s:o, s:s?}", "items", p.items, "next_cursor", p.more ? p.last : NULL),
        err);
}

/* GET /v1/jobs/{id} */
enum err api_job(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct job_view v;
    enum err rc = request_query_only(rq, no_parameters, err);
    if (rc || (rc = job_of(&v, app, rq, err))) return rc;
    return reply_json(rp, 200, job_json(&v), err);
}

/* DELETE /v1/jobs/{id}: cancels it, or removes it where it has ended. */
enum err api_job_delete(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct job_view v;
    bool removed;
    enum err rc = request_query_only(rq, no_parameters, err);
    if (rc || (rc = job_of(&v, app, rq, err)) ||
        (rc = jobs_cancel(&v, &removed, app->jobs, v.row.id.s, err)))
        return rc;
    if (!removed) return reply_json(rp, 200, job_json(&v), err);
    reply_static(rp, 204, NULL, "", 0);
    return ERR_OK;
}

/* GET /v1/jobs/{id}/result: the bytes that the job made. */
enum err api_job_result(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct job_view v;
    int fd;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = job_of(&v, app, rq, err))) return rc;
    if (v.row.state != STORE_JOB_DONE) {
        reply_detail(rp, "state", store_job_state_name(v.row.state));
        return err_set(err, ERR_CONFLICT, "the job has no result%s: its state is %s",
                       store_job_final(v.row.state) ? "" : " yet",
                       store_job_state_name(v.row.state));
    }
    if (!v.row.result_type[0])
        return err_set(err, ERR_NOT_FOUND, "the job is done; its kind gives no result");
    const char *type = arena_printf(&rq->arena, "%s", v.row.result_type);
    if (!type) return err_set(err, ERR_NOMEM, "no memory for an answer");
    if ((rc = jobs_open_result(&fd, app->jobs, v.row.id.s, err))) return rc;
    return reply_file(rp, 200, type, fd, err);
}
