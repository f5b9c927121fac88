/* The routes of collections themselves: making, listing, changing and erasing them. */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/body.h"
#include "server/api/gallery_json.h"
#include "server/api/write.h"

#include <stdlib.h>
#include <string.h>

static const char *const no_parameters[] = {NULL};

/* --- what a client decides --- */

static enum err check_name(const char *name, struct err_info *err)
{
    /* a path names a collection by either, so no name may look like an id */
    return ulid_valid(name) ? err_set(err, ERR_INVALID, "name has the form of an id") : ERR_OK;
}

/* Those of the fields that the body has, into *c; *metadata is malloc'd, the caller's. */
static enum err read_settings(struct store_collection *c, char **metadata, const json_t *body,
                              struct err_info *err)
{
    enum match_rule rule;
    enum err rc;

    if ((rc = body_text(&c->name, body, "name", STORE_NAME_MAX, err)) ||
        (rc = body_text(&c->rule, body, "rule", 20, err)) ||
        (rc = body_int(&c->rule_top, body, "rule_top", 1, MATCH_TOP_MAX, err)) ||
        (rc = body_double(&c->min_quality, body, "min_quality", 0, 1, err)) ||
        (rc = body_bool(&c->thumbnails, body, "keep_thumbnails", err)) ||
        (rc = body_bool(&c->photos, body, "keep_photos", err)) ||
        (rc = body_int(&c->ttl_days, body, "ttl_days", 0, 36500, err)) ||
        (rc = body_object_text(metadata, body, "metadata", STORE_METADATA_MAX_BYTES, err)))
        return rc;
    if (!gallery_rule_parse(&rule, c->rule))
        return err_set(err, ERR_INVALID, "rule is \"%.20s\"; it takes max, mean_top or centroid",
                       c->rule);
    if (*metadata) c->metadata = *metadata;
    return check_name(c->name, err);
}

static enum err take_json(void *self, const struct store_collection *c, struct err_info *err)
{
    json_t **out = self;
    *out = collection_json(c, NULL);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a collection");
}

static enum err answer_with(struct write_answer *a, int status, struct store_tx *tx, const char *id,
                            struct err_info *err)
{
    json_t *body = NULL;
    enum err rc = store_collection_get(tx, id, take_json, &body, err);
    return rc ? rc : write_answered(a, status, body, id, id, err);
}

/* --- POST /v1/collections --- */

struct create {
    struct store_collection is;
    struct ulid id;
};

static enum err create_job(struct store_tx *tx, void *self, struct write_answer *a,
                           struct err_info *err)
{
    struct create *c = self;
    int64_t row;
    enum err rc = store_collection_add(&row, &c->id, tx, &c->is, err);
    return rc ? rc : answer_with(a, 201, tx, c->id.s, err);
}

/* A collection is bound to what its embedder is now: recipe and dimension. */
static enum err bind_model(struct store_collection *c, struct app *app, const json_t *body,
                           struct err_info *err)
{
    struct model_info m;
    const char *model = NULL;
    enum err rc = body_text(&model, body, "model", STORE_NAME_MAX, err);

    if (rc || (rc = engine_describe(&m, app->engine, model, err))) return rc;
    c->model = m.name;
    c->recipe = m.recipe;
    c->dim = m.dim;
    return ERR_OK;
}

enum err api_collections_create(struct app *app, struct request *rq, struct reply *rp,
                                struct err_info *err)
{
    static const char *const fields[] = {
        "name",        "model",    "rule",     "rule_top", "min_quality", "keep_thumbnails",
        "keep_photos", "ttl_days", "metadata", NULL};
    struct create c = {.is = {.rule = "max", .rule_top = 3, .metadata = "{}"}};
    const struct write w = {"collection.create", create_job, &c};
    AUTO_FREE char *metadata = NULL;
    json_auto_t *body = NULL;
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if ((rc = body_parse(&body, rq, fields, err))) return rc;
    if (!json_is_string(json_object_get(body, "name")))
        return err_set(err, ERR_INVALID, "name is missing");
    if ((rc = read_settings(&c.is, &metadata, body, err)) ||
        (rc = bind_model(&c.is, app, body, err)) || (rc = write_run(app, rq, rp, &w, err)))
        return rc;
    if (*c.id.s)
        reply_header(rp, "Location", arena_printf(&rq->arena, "/v1/collections/%s", c.id.s));
    return ERR_OK;
}

/* --- GET /v1/collections and /v1/collections/{c} --- */

struct reading {
    struct store_tx *tx;
    const char *which; /* id or name; NULL: all */
    json_t *out;       /* the collection, or the list of all */
};

static enum err take_counted(void *self, const struct store_collection *c, struct err_info *err)
{
    struct reading *r = self;
    struct store_collection_counts counts;
    enum err rc = store_collection_counts(&counts, r->tx, c->row, err);
    if (rc) return rc;
    json_t *o = collection_json(c, &counts);
    if (r->which)
        r->out = o;
    else
        json_array_append_new(r->out, o);
    return o ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a collection");
}

static enum err read_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct reading *r = arg;
    r->tx = tx;
    return r->which ? store_collection_get(tx, r->which, take_counted, r, err)
                    : store_collection_list(tx, take_counted, r, err);
}

enum err api_collections_list(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    struct reading r = {.out = NULL};
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc) return rc;
    if (!(r.out = json_array())) return err_set(err, ERR_NOMEM, "no memory for a list");
    if ((rc = store_read(app->store, read_job, &r, err))) {
        json_decref(r.out);
        return rc;
    }
    return reply_json(rp, 200, json_pack("{s:o}", "items", r.out), err);
}

enum err api_collections_get(struct app *app, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    struct reading r = {.which = request_param(rq, "c")};
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = store_read(app->store, read_job, &r, err))) return rc;
    return reply_json(rp, 200, r.out, err);
}

/* --- PATCH /v1/collections/{c} --- */

struct change {
    const char *which;
    const json_t *body;
    struct store_tx *tx;
    struct write_answer *answer;
};

static enum err change_one(void *self, const struct store_collection *was, struct err_info *err)
{
    struct change *c = self;
    struct store_collection now = *was;
    AUTO_FREE char *metadata = NULL;
    char id[ULID_CHARS + 1];
    enum err rc;

    strcpy(id, was->id);
    if ((rc = read_settings(&now, &metadata, c->body, err)) ||
        (rc = store_collection_set(c->tx, &now, err)))
        return rc;
    return answer_with(c->answer, 200, c->tx, id, err);
}

static enum err change_job(struct store_tx *tx, void *self, struct write_answer *a,
                           struct err_info *err)
{
    struct change *c = self;
    c->tx = tx;
    c->answer = a;
    return store_collection_get(tx, c->which, change_one, c, err);
}

enum err api_collections_change(struct app *app, struct request *rq, struct reply *rp,
                                struct err_info *err)
{
    static const char *const fields[] = {
        "name",        "rule",     "rule_top", "min_quality", "keep_thumbnails",
        "keep_photos", "ttl_days", "metadata", NULL};
    struct change c = {.which = request_param(rq, "c")};
    const struct write w = {"collection.change", change_job, &c};
    json_auto_t *body = NULL;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = body_parse(&body, rq, fields, err))) return rc;
    c.body = body;
    return write_run(app, rq, rp, &w, err);
}

/* --- DELETE /v1/collections/{c} --- */

struct erasure {
    const char *which;
    int64_t row;
    char id[ULID_CHARS + 1];
};

static enum err note_row(void *self, const struct store_collection *c, struct err_info *err)
{
    struct erasure *e = self;
    (void)err;
    e->row = c->row;
    strcpy(e->id, c->id);
    return ERR_OK;
}

static enum err erase_job(struct store_tx *tx, void *self, struct write_answer *a,
                          struct err_info *err)
{
    struct erasure *e = self;
    struct store_receipt r = {0};
    enum err rc = store_collection_get(tx, e->which, note_row, e, err);

    if (rc || (rc = store_erase_collection(&r, tx, e->row, err))) return rc;
    return write_answered(a, 200, receipt_json(&r), e->id, e->id, err);
}

enum err api_collections_erase(struct app *app, struct request *rq, struct reply *rp,
                               struct err_info *err)
{
    struct erasure e = {.which = request_param(rq, "c")};
    const struct write w = {"collection.erase", erase_job, &e};
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_run(app, rq, rp, &w, err))) return rc;
    app_scrub(app);
    return ERR_OK;
}

/* --- POST /v1/collections/{c}/undo --- */

static enum err undo_job(struct store_tx *tx, void *self, struct write_answer *a,
                         struct err_info *err)
{
    const struct gallery_collection *c = self;
    struct store_undone u;
    enum err rc = store_undo_last(&u, tx, c->is.row, err);

    if (rc) return rc;
    return write_answered(a, 200,
                          json_pack("{s:s, s:s, s:I, s:I}", "id", u.id.s, "undone", u.what,
                                    "examples", (json_int_t)u.examples, "identities",
                                    (json_int_t)u.identities),
                          c->is.id, u.id.s, err);
}

enum err api_collections_undo(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if ((rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err))) return rc;
    const struct write w = {"collection.undo", undo_job, c};
    return write_run(app, rq, rp, &w, err);
}
