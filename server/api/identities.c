/* The routes of identities: the people of a collection. */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/body.h"
#include "server/api/gallery_json.h"
#include "server/api/list_page.h"
#include "server/api/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const no_parameters[] = {NULL};

/* --- what a client decides --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Into tags [STORE_TAGS_MAX], sorted, each once; borrowed from the body. */
static enum err read_tags(const char **tags, int *n, const json_t *body, struct err_info *err)
{
    const json_t *list = json_object_get(body, "tags"), *one;
    size_t i;
    enum err rc;

    if (!list) return ERR_OK;
    if (!json_is_array(list)) return err_set(err, ERR_INVALID, "tags is not a list");
    if (json_array_size(list) > STORE_TAGS_MAX)
        return err_set(err, ERR_INVALID, "%zu tags, the limit is %d", json_array_size(list),
                       STORE_TAGS_MAX);
    *n = 0;
    json_array_foreach(list, i, one)
    {
        if (!json_is_string(one)) return err_set(err, ERR_INVALID, "tag %zu is not a string", i);
        if ((rc = body_check_text(json_string_value(one), json_string_length(one), "a tag",
                                  STORE_TAG_MAX, err)))
            return rc;
        tags[(*n)++] = json_string_value(one);
    }
    qsort(tags, (size_t)*n, sizeof *tags, by_text);
    int kept = 0;
    for (int k = 0; k < *n; k++)
        if (!kept || strcmp(tags[kept - 1], tags[k]) != 0) tags[kept++] = tags[k];
    *n = kept;
    return ERR_OK;
}

struct settings {
    struct store_identity is;
    const char *tags[STORE_TAGS_MAX];
    char *metadata; /* owned */
};

/* Those of the fields that the body has, into s->is. */
static enum err read_settings(struct settings *s, const json_t *body, struct err_info *err)
{
    struct store_identity *is = &s->is;
    const json_t *external = json_object_get(body, "external_id");
    enum err rc;

    if (json_is_null(external)) is->external_id = NULL; /* takes it away */
    if ((rc = body_text(&is->name, body, "name", STORE_NAME_MAX, err)) ||
        (rc = body_text(&is->external_id, body, "external_id", STORE_NAME_MAX, err)) ||
        (rc = body_object_text(&s->metadata, body, "metadata", STORE_METADATA_MAX_BYTES, err)))
        return rc;
    if (s->metadata) is->metadata = s->metadata;
    if (json_object_get(body, "tags")) {
        if ((rc = read_tags(s->tags, &is->n_tags, body, err))) return rc;
        is->tags = s->tags;
    }
    return ERR_OK;
}

static const char *const fields[] = {"name", "external_id", "metadata", "tags", NULL};

/* --- answers --- */

struct take {
    json_t *out;
    int64_t version;
};

static enum err take_json(void *self, const struct store_identity *i, struct err_info *err)
{
    struct take *t = self;
    t->version = i->version;
    t->out = identity_json(i);
    return t->out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an identity");
}

static enum err answer_with(struct write_answer *a, int status, struct store_tx *tx,
                            const struct gallery_collection *c, const char *id,
                            struct err_info *err)
{
    struct take t = {0};
    enum err rc = store_identity_get(tx, c->is.row, id, take_json, &t, err);
    if (rc) return rc;
    snprintf(a->etag, sizeof a->etag, "\"%lld\"", (long long)t.version);
    return write_answered(a, status, t.out, c->is.id, id, err);
}

/* The version that If-Match asks for; 0: any. */
static enum err read_if_match(int64_t *out, const struct request *rq, struct err_info *err)
{
    long long v;
    char end;

    *out = 0;
    if (!rq->if_match || !strcmp(rq->if_match, "*")) return ERR_OK;
    if (sscanf(rq->if_match, "\"%lld\"%c", &v, &end) != 1 || v < 1)
        return err_set(err, ERR_PRECONDITION, "If-Match is %.60s, which is no version of this",
                       rq->if_match);
    *out = v;
    return ERR_OK;
}

/* --- POST /v1/collections/{c}/identities --- */

struct create {
    const struct gallery_collection *collection;
    struct settings s;
    struct ulid id;
};

static enum err create_job(struct store_tx *tx, void *self, struct write_answer *a,
                           struct err_info *err)
{
    struct create *c = self;
    int64_t row;
    enum err rc = store_identity_add(&row, &c->id, tx, &c->s.is, err);
    return rc ? rc : answer_with(a, 201, tx, c->collection, c->id.s, err);
}

enum err api_identities_create(struct app *app, struct request *rq, struct reply *rp,
                               struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *collection = NULL;
    struct create c = {.s.is.metadata = "{}"};
    const struct write w = {"identity.create", create_job, &c};
    json_auto_t *body = NULL;
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if ((rc = gallery_hold(&collection, app->gallery, request_param(rq, "c"), err)) ||
        (rc = body_parse(&body, rq, fields, err)))
        return rc;
    if (!json_is_string(json_object_get(body, "name")))
        return err_set(err, ERR_INVALID, "name is missing");
    c.collection = collection;
    c.s.is.collection = collection->is.row;
    rc = read_settings(&c.s, body, err);
    if (!rc) rc = write_run(app, rq, rp, &w, err);
    if (!rc && *c.id.s)
        reply_header(rp, "Location",
                     arena_printf(&rq->arena, "/v1/collections/%s/identities/%s", collection->is.id,
                                  c.id.s));
    free(c.s.metadata);
    return rc;
}

/* --- GET /v1/collections/{c}/identities --- */

struct listing {
    struct store_identity_query q;
    struct list_page *page;
};

static enum err take_item(void *self, const struct store_identity *i, struct err_info *err)
{
    return list_page_add(self, i->row, identity_json(i), err);
}

static enum err list_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct listing *l = arg;
    return store_identity_list(tx, &l->q, take_item, l->page, err);
}

enum err api_identities_list(struct app *app, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    static const char *const parameters[] = {"limit", "cursor", "name", "tag", "external_id", NULL};
    AUTO_GALLERY struct gallery_collection *c = NULL;
    AUTO_LIST_PAGE struct list_page page = {0};
    struct listing l = {.page = &page};
    enum err rc = request_query_only(rq, parameters, err);

    if (rc || (rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err)) ||
        (rc = list_page_read(&page, app, rq, err)))
        return rc;
    l.q = (struct store_identity_query){.collection = c->is.row,
                                        .name = request_query(rq, "name"),
                                        .tag = request_query(rq, "tag"),
                                        .external_id = request_query(rq, "external_id"),
                                        .after = page.after,
                                        .limit = page.limit + 1};
    if ((rc = store_read(app->store, list_job, &l, err))) return rc;
    return list_page_reply(&page, app, rq, rp, err);
}

/* --- one identity --- */

struct one {
    const struct gallery_collection *collection;
    const char *id;
    int64_t version; /* that If-Match asks for; 0: any */
    struct take take;
    const json_t *body; /* PATCH */
    struct store_tx *tx;
    int64_t row;
};

static enum err one_begin(struct one *o, struct gallery_collection **c, struct app *app,
                          struct request *rq, struct err_info *err)
{
    enum err rc = request_query_only(rq, no_parameters, err);
    if (rc || (rc = gallery_hold(c, app->gallery, request_param(rq, "c"), err))) return rc;
    o->collection = *c;
    o->id = request_param(rq, "i");
    return read_if_match(&o->version, rq, err);
}

static enum err get_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct one *o = arg;
    return store_identity_get(tx, o->collection->is.row, o->id, take_json, &o->take, err);
}

enum err api_identities_get(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct one o = {0};
    enum err rc = one_begin(&o, &c, app, rq, err);

    if (rc || (rc = store_read(app->store, get_job, &o, err))) return rc;
    reply_header(rp, "ETag", arena_printf(&rq->arena, "\"%lld\"", (long long)o.take.version));
    return reply_json(rp, 200, o.take.out, err);
}

static enum err change_one(void *self, const struct store_identity *was, struct err_info *err)
{
    struct one *o = self;
    struct settings s = {.is = *was};
    enum err rc = read_settings(&s, o->body, err);
    if (!rc) rc = store_identity_set(o->tx, &s.is, o->version, err);
    free(s.metadata);
    return rc;
}

static enum err change_job(struct store_tx *tx, void *self, struct write_answer *a,
                           struct err_info *err)
{
    struct one *o = self;
    o->tx = tx;
    enum err rc = store_identity_get(tx, o->collection->is.row, o->id, change_one, o, err);
    return rc ? rc : answer_with(a, 200, tx, o->collection, o->id, err);
}

enum err api_identities_change(struct app *app, struct request *rq, struct reply *rp,
                               struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct one o = {0};
    const struct write w = {"identity.change", change_job, &o};
    json_auto_t *body = NULL;
    enum err rc = one_begin(&o, &c, app, rq, err);

    if (rc || (rc = body_parse(&body, rq, fields, err))) return rc;
    o.body = body;
    return write_run(app, rq, rp, &w, err);
}

static enum err note_row(void *self, const struct store_identity *i, struct err_info *err)
{
    struct one *o = self;
    o->row = i->row;
    if (!o->version || o->version == i->version) return ERR_OK;
    return err_set(err, ERR_PRECONDITION, "the identity is at version %lld, If-Match says %lld",
                   (long long)i->version, (long long)o->version);
}

static enum err erase_job(struct store_tx *tx, void *self, struct write_answer *a,
                          struct err_info *err)
{
    struct one *o = self;
    struct store_receipt r = {0};
    enum err rc = store_identity_get(tx, o->collection->is.row, o->id, note_row, o, err);

    if (rc || (rc = store_erase_identity(&r, tx, o->row, err))) return rc;
    return write_answered(a, 200, receipt_json(&r), o->collection->is.id, o->id, err);
}

enum err api_identities_erase(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct one o = {0};
    const struct write w = {"identity.erase", erase_job, &o};
    enum err rc = one_begin(&o, &c, app, rq, err);

    if (rc || (rc = write_run(app, rq, rp, &w, err))) return rc;
    app_scrub(app);
    return ERR_OK;
}
