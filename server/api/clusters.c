/* POST /v1/clusters, and the reports that are kept: listing, reading, erasing. */
#include "server/api/api.h"
#include "server/api/bound.h"
#include "server/api/body.h"
#include "server/api/clusters.h"
#include "server/api/clusters_in.h"
#include "server/api/jobs.h"
#include "server/api/time_json.h"
#include "server/api/write.h"

#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIMIT = 50, LIMIT_MAX = 200, OPTION_MAX_BYTES = 400 };

/* --- POST /v1/clusters --- */

struct asking {
    struct app *app;
    struct request *rq;
    struct reply *rp;
    json_t *asked; /* the options */
    struct clusters_in in;
    struct gallery_collection *collection; /* NULL: photographs */
    struct clusters_photos photos;
    struct clusters_faces faces;
    struct clusters_done done;
};

static void release(struct asking *a)
{
    json_decref(a->asked);
    gallery_release(a->collection);
    clusters_photos_release(&a->photos);
    clusters_faces_release(&a->faces);
    clusters_done_release(&a->done);
}

static bool is_file(const char *name)
{
    return !strcmp(name, "image") || !strcmp(name, "zip");
}

static enum err read_query(struct asking *a, struct err_info *err)
{
    enum err rc = ERR_OK;
    for (int i = 0; !rc && i < a->rq->n_query; i++) {
        const struct pair *p = &a->rq->query[i];
        if (!strcmp(p->key, "format") || !strcmp(p->key, "thumbnails")) continue;
        rc = clusters_in_set(a->asked, p->key, p->value, err);
    }
    return rc;
}

static enum err read_form(struct asking *a, struct err_info *err)
{
    enum err rc = ERR_OK;
    for (int i = 0; !rc && i < a->rq->n_parts; i++) {
        const struct part *p = &a->rq->part[i];
        if (is_file(p->name)) continue;
        if (p->len > OPTION_MAX_BYTES)
            return err_set(err, ERR_INVALID, "form field \"%s\" has %zu bytes, the limit is %d",
                           p->name, p->len, OPTION_MAX_BYTES);
        const char *text = arena_copy(&a->rq->arena, (const char *)p->data, p->len);
        if (!text) return err_set(err, ERR_NOMEM, "no memory for a form field");
        if (strlen(text) != p->len)
            return err_set(err, ERR_INVALID, "form field \"%s\" has a NUL byte in it", p->name);
        rc = clusters_in_set(a->asked, p->name, text, err);
    }
    return rc;
}

static enum err read_json(struct asking *a, struct err_info *err)
{
    const char *key;
    json_t *value, *body = NULL;
    enum err rc = body_parse(&body, a->rq, clusters_in_names, err);

    if (rc) return rc;
    json_object_foreach(body, key, value)
    {
        if (!rc && json_object_get(a->asked, key))
            rc = err_set(err, ERR_INVALID, "%s is given in the query and in the body", key);
        if (!rc && json_object_set(a->asked, key, value))
            rc = err_set(err, ERR_NOMEM, "no memory for options");
    }
    json_decref(body);
    return rc;
}

static enum err read_options(struct asking *a, struct err_info *err)
{
    enum err rc;

    if (!(a->asked = json_object())) return err_set(err, ERR_NOMEM, "no memory for options");
    if ((rc = read_query(a, err)) ||
        (rc = a->rq->body_kind == BODY_JSON ? read_json(a, err) : read_form(a, err)) ||
        (rc = clusters_in_parse(&a->in, a->asked, err)))
        return rc;
    a->in.options.memory_max = a->app->cluster_memory_max;
    if (a->rq->body_kind == BODY_JSON && !a->in.collection)
        return err_set(err, ERR_INVALID,
                       "collection is missing: its id or name; photographs come as a form");
    return ERR_OK;
}

/* A job under the report's id to be: o's uploads are set. */
static enum err submit(struct asking *a, struct job_order *o, struct err_info *err)
{
    o->kind = "cluster";
    o->collection = a->collection ? a->collection->is.row : 0;
    return job_submit(a->app, a->rq, a->rp, o, json_incref(a->asked), err);
}

/* --- of a collection --- */

/* The collection by its id, whatever it is called when a job comes to it. */
static enum err hold_collection(struct asking *a, struct err_info *err)
{
    enum err rc = gallery_hold(&a->collection, a->app->gallery, a->in.collection, err);

    if (rc || (rc = app_in_scope(a->rq, a->collection->is.id, err))) return rc;
    if ((rc = bound_model(a->collection, a->in.options.model, err))) return rc;
    if (json_object_set_new(a->asked, "collection", json_string(a->collection->is.id)))
        return err_set(err, ERR_NOMEM, "no memory for options");
    a->in.collection = a->collection->is.id;
    return ERR_OK;
}

static enum err check_faces(const struct asking *a, size_t n, struct err_info *err)
{
    if ((size_t)a->in.options.run.k > n)
        return err_set(err, ERR_INVALID, "k is %d, there are %zu faces", a->in.options.run.k, n);
    return clusters_check_memory(n, a->collection->is.dim, &a->in.options, err);
}

/* *at_once: it is small, and has been gathered. Everything that can be refused is, here. */
static enum err gather(struct asking *a, bool *at_once, struct err_info *err)
{
    const struct clusters_choice choice = {.tag = a->in.tag, .unassigned = a->in.unassigned};
    struct match_index_info all;
    enum err rc;

    match_index_info(a->collection->index->rows, &all);
    if (all.examples && !choice.tag && !choice.unassigned) { /* known before they are read */
        *at_once = !a->in.job && all.examples <= CLUSTERS_AT_ONCE_FACES;
        if ((rc = check_faces(a, all.examples, err)) || !*at_once) return rc;
    }
    rc = clusters_gather(&a->faces, a->app->store, a->app->engine, a->collection, &choice, true,
                         err);
    if (rc || (rc = check_faces(a, a->faces.n, err))) return rc;
    *at_once = !a->in.job && a->faces.n <= CLUSTERS_AT_ONCE_FACES;
    return ERR_OK;
}

/* --- of photographs --- */

static enum err take_photos(struct asking *a, struct err_info *err)
{
    enum err rc = clusters_photos_init(&a->photos, err);

    for (int i = 0; !rc && i < a->rq->n_parts; i++) {
        const struct part *p = &a->rq->part[i];
        if (!is_file(p->name)) continue;
        rc = p->len ? clusters_add_upload(&a->photos, !strcmp(p->name, "zip"), p->filename, p->data,
                                          p->len, err)
                    : err_set(err, ERR_INVALID, "%s[%d] is empty", p->name, i);
    }
    if (rc) return rc;
    if (!a->photos.n && !json_array_size(a->photos.skipped))
        return err_set(err, ERR_INVALID,
                       "image is missing: send photographs as form fields image, or archives of "
                       "them as zip, or name a collection");
    return ERR_OK;
}

static enum err check_photos(struct asking *a, struct err_info *err)
{
    struct model_info m;
    enum err rc = engine_describe(&m, a->app->engine, a->in.options.model, err);

    if (rc) return rc;
    if (a->in.options.face != FACE_ALL && (size_t)a->in.options.run.k > a->photos.n)
        return err_set(err, ERR_INVALID, "k is %d, there are %zu photographs", a->in.options.run.k,
                       a->photos.n);
    return clusters_check_memory(a->photos.n, m.dim, &a->in.options, err);
}

static enum err submit_photos(struct asking *a, struct err_info *err)
{
    struct job_upload uploads[REQUEST_PARTS_MAX];
    struct job_order o = {.uploads = uploads};

    for (int i = 0; i < a->rq->n_parts; i++) {
        const struct part *p = &a->rq->part[i];
        if (!is_file(p->name)) continue;
        const char *name = arena_printf(&a->rq->arena, "%s%s",
                                        !strcmp(p->name, "zip") ? CLUSTERS_ZIP : CLUSTERS_IMAGE,
                                        p->filename ? p->filename : "");
        if (!name) return err_set(err, ERR_NOMEM, "no memory for a job's uploads");
        uploads[o.n_uploads++] = (struct job_upload){name, p->data, p->len};
    }
    return submit(a, &o, err);
}

/* The files that could not be used are told with the refusal, too. */
static enum err embed(struct asking *a, const struct clusters_work *work, struct err_info *err)
{
    enum err rc =
        clusters_embed(&a->faces, a->app->engine, &a->photos, &a->in.options, true, work, err);
    if (rc == ERR_NO_FACE) reply_details(a->rp, json_pack("{s:O}", "skipped", a->photos.skipped));
    return rc;
}

/* --- both --- */

static enum err run_at_once(struct asking *a, const struct clusters_work *work,
                            struct err_info *err)
{
    const struct gallery_collection *c = a->collection;
    struct ulid id;
    enum err rc;

    ulid_make(&id);
    const struct clusters_about about = {.id = id.s,
                                         .title = a->in.title ? a->in.title
                                                  : c         ? c->is.name
                                                              : "photographs",
                                         .collection = c ? c->is.id : NULL,
                                         .created_ms = (int64_t)time(NULL) * 1000};
    const char *key = clusters_owner(a->rq);
    const struct clusters_keep keep = {.id = id.s,
                                       .key = key ? key : "",
                                       .collection = c ? c->is.row : 0,
                                       .done = &a->done,
                                       .faces = &a->faces};
    if ((rc = clusters_run(&a->done, &a->faces, &a->in.options, &about, work, err)) ||
        (rc = clusters_keep(a->app, &keep, err)))
        return rc;
    reply_header(a->rp, "Location", arena_printf(&a->rq->arena, "/v1/clusters/%s", id.s));
    return clusters_answer(a->app, a->rq, a->rp, 200, id.s, err);
}

static enum err ask(struct asking *a, struct err_info *err)
{
    const struct clusters_work work = {.cores = engine_cores(a->app->engine)};
    struct job_order order = {.n_uploads = 0};
    bool at_once = false;
    enum err rc = read_options(a, err);

    if (rc) return rc;
    if (a->in.collection) {
        if ((rc = hold_collection(a, err)) || (rc = gather(a, &at_once, err))) return rc;
        return at_once ? run_at_once(a, &work, err) : submit(a, &order, err);
    }
    if ((rc = take_photos(a, err)) || (rc = check_photos(a, err))) return rc;
    if (a->in.job || a->photos.n > CLUSTERS_AT_ONCE_PHOTOS) return submit_photos(a, err);
    if ((rc = embed(a, &work, err))) return rc;
    return run_at_once(a, &work, err);
}

enum err api_clusters(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct asking a = {.app = app, .rq = rq, .rp = rp};
    enum err rc = ask(&a, err);
    release(&a);
    return rc;
}

/* --- GET /v1/clusters --- */

struct page {
    struct store_report_query q;
    json_t *items;
    int room;
    bool more;
    char last[ULID_CHARS + 1];
};

/* {"id","collection","created","expires","state","summary":{..}} */
static enum err add_item(void *self, const struct store_report *r,
                         const struct store_report_state *s, struct err_info *err)
{
    struct page *p = self;
    if (!p->room--) {
        p->more = true;
        return ERR_OK;
    }
    strcpy(p->last, r->id);
    json_t *summary = json_loads(s->summary, 0, NULL);
    return json_array_append_new(
               p->items, json_pack("{s:s, s:s?, s:o, s:o, s:I, s:o}", "id", r->id, "collection",
                                   *r->collection_id ? r->collection_id : NULL, "created",
                                   time_json(r->created_ms), "expires", time_json(r->expires_ms),
                                   "state", (json_int_t)s->n, "summary", summary))
               ? err_set(err, ERR_NOMEM, "no memory for a list of reports")
               : ERR_OK;
}

static enum err list_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct page *p = arg;
    return store_report_list(tx, &p->q, add_item, p, err);
}

enum err api_clusters_list(struct app *app, struct request *rq, struct reply *rp,
                           struct err_info *err)
{
    static const char *const names[] = {"cursor", "limit", NULL};
    struct page p = {.q = {.key = clusters_owner(rq), .before = request_query(rq, "cursor")},
                     .room = LIMIT};
    enum err rc;

    if ((rc = request_query_only(rq, names, err)) ||
        (rc = request_query_int(&p.room, rq, "limit", 1, LIMIT_MAX, err)))
        return rc;
    if (p.q.before && !ulid_valid(p.q.before))
        return err_set(err, ERR_INVALID, "cursor is not one that this list gave");
    p.q.limit = p.room + 1; /* one more says whether there is a next page */
    if (!(p.items = json_array())) return err_set(err, ERR_NOMEM, "no memory for a list");
    if ((rc = store_read(app->store, list_job, &p, err))) {
        json_decref(p.items);
        return rc;
    }
    return reply_json(
        rp, 200, json_pack("{s:o, s:s?}", "items", p.items, "next_cursor", p.more ? p.last : NULL),
        err);
}

/* --- GET and DELETE /v1/clusters/{id} --- */

enum err api_clusters_get(struct app *app, struct request *rq, struct reply *rp,
                          struct err_info *err)
{
    static const char *const names[] = {"format", "thumbnails", NULL};
    enum err rc = request_query_only(rq, names, err);
    return rc ? rc : clusters_answer(app, rq, rp, 200, request_param(rq, "id"), err);
}

struct erasure {
    struct clusters_loaded report;
    const struct request *rq;
};

static enum err erase_job(struct store_tx *tx, void *self, struct write_answer *a,
                          struct err_info *err)
{
    const struct erasure *e = self;
    const char *collection = e->report.collection_id;
    a->status = 204;
    /* Photographs that were sent are of none; where the key is for one alone, it stands for that.
     */
    strcpy(a->collection, *collection ? collection : e->rq->scope);
    strcpy(a->target, e->report.id);
    return store_report_erase(tx, e->report.row, err);
}

enum err api_clusters_erase(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    static const char *const names[] = {NULL};
    struct erasure e = {.rq = rq};
    const struct write w = {"report.erase", erase_job, &e};
    enum err rc = request_query_only(rq, names, err);

    if (rc || (rc = clusters_load(&e.report, app, rq, request_param(rq, "id"), false, err)))
        return rc;
    rc = write_run(app, rq, rp, &w, err);
    clusters_loaded_release(&e.report);
    if (!rc) app_scrub(app);
    return rc;
}
