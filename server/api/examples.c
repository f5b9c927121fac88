/* The routes of examples: what a collection knows people by. Adding them is enrol.c. */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/gallery_json.h"
#include "server/api/list_page.h"
#include "server/api/write.h"

#include <string.h>

enum { PICTURE_MAX_BYTES = 64 << 20 };
static const char *const no_parameters[] = {NULL};

/* --- GET .../examples, of one identity or of the whole collection --- */

struct listing {
    const struct gallery_collection *collection;
    const char *identity; /* NULL: of any, or, where unassigned, of nobody */
    bool unassigned;
    struct list_page *page;
};

static enum err take_item(void *self, const struct store_example *e, struct err_info *err)
{
    return list_page_add(self, e->row, example_json(e), err);
}

static enum err list_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct listing *l = arg;
    int64_t identity = l->unassigned ? STORE_UNASSIGNED : STORE_ANY;
    enum err rc;

    if (l->identity &&
        (rc = store_identity_row(&identity, tx, l->collection->is.row, l->identity, err)))
        return rc;
    return store_example_list(tx, l->collection->is.row, identity, l->page->after,
                              l->page->limit + 1, take_item, l->page, err);
}

enum err api_examples_list(struct app *app, struct request *rq, struct reply *rp,
                           struct err_info *err)
{
    static const char *const parameters[] = {"limit", "cursor", "unassigned", NULL};
    AUTO_GALLERY struct gallery_collection *c = NULL;
    AUTO_LIST_PAGE struct list_page page = {0};
    struct listing l = {.identity = request_param(rq, "i"), .page = &page};
    enum err rc = request_query_only(rq, parameters, err);

    if (rc || (rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err)) ||
        (rc = list_page_read(&page, app, rq, err)) ||
        (rc = request_query_bool(&l.unassigned, rq, "unassigned", err)))
        return rc;
    l.collection = c;
    if ((rc = store_read(app->store, list_job, &l, err))) return rc;
    return list_page_reply(&page, app, rq, rp, err);
}

/* --- one example: .../examples/{e}, also below an identity --- */

struct one {
    const struct gallery_collection *collection;
    const char *id, *identity; /* identity NULL: whoever's */
    enum store_picture which;
    struct buf *picture;
    json_t *out;
    int64_t row;
};

static enum err one_begin(struct one *o, struct gallery_collection **c, struct app *app,
                          struct request *rq, struct err_info *err)
{
    enum err rc = request_query_only(rq, no_parameters, err);
    if (rc || (rc = gallery_hold(c, app->gallery, request_param(rq, "c"), err))) return rc;
    o->collection = *c;
    o->id = request_param(rq, "e");
    o->identity = request_param(rq, "i");
    return ERR_OK;
}

static enum err take_one(void *self, const struct store_example *e, struct err_info *err)
{
    struct one *o = self;
    if (o->identity && (!e->identity_id || strcmp(e->identity_id, o->identity) != 0))
        return err_set(err, ERR_NOT_FOUND, "example %s is not one of identity %.30s", e->id,
                       o->identity);
    o->row = e->row;
    o->out = example_json(e);
    return o->out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an example");
}

static enum err get_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct one *o = arg;
    return store_example_get(tx, o->collection->is.row, o->id, take_one, o, err);
}

enum err api_examples_get(struct app *app, struct request *rq, struct reply *rp,
                          struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct one o = {0};
    enum err rc = one_begin(&o, &c, app, rq, err);

    if (rc || (rc = store_read(app->store, get_job, &o, err))) return rc;
    return reply_json(rp, 200, o.out, err);
}

static enum err erase_job(struct store_tx *tx, void *self, struct write_answer *a,
                          struct err_info *err)
{
    struct one *o = self;
    struct store_receipt r = {0};
    enum err rc = get_job(tx, o, err);

    json_decref(o->out);
    o->out = NULL;
    if (rc || (rc = store_erase_example(&r, tx, o->row, err))) return rc;
    return write_answered(a, 200, receipt_json(&r), o->collection->is.id, o->id, err);
}

enum err api_examples_erase(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct one o = {0};
    const struct write w = {"example.erase", erase_job, &o};
    enum err rc = one_begin(&o, &c, app, rq, err);

    if (rc || (rc = write_run(app, rq, rp, &w, err))) return rc;
    app_scrub(app);
    return ERR_OK;
}

/* --- the pictures that are kept --- */

static enum err picture_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct one *o = arg;
    enum err rc = get_job(tx, o, err);
    return rc ? rc : store_example_picture(o->picture, tx, o->row, o->which, err);
}

/* By its first bytes: it was one of these when it was taken in. */
static const char *picture_type(const struct buf *b)
{
    return b->len > 1 && b->data[0] == 0xff   ? "image/jpeg"
           : b->len > 1 && b->data[0] == 0x89 ? "image/png"
                                              : "image/webp";
}

static enum err send_picture(struct app *app, struct request *rq, struct reply *rp,
                             enum store_picture which, struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    AUTO_BUF struct buf picture = BUF_INIT(PICTURE_MAX_BYTES);
    struct one o = {.which = which, .picture = &picture};
    enum err rc = one_begin(&o, &c, app, rq, err);

    if (rc) return rc;
    rc = store_read(app->store, picture_job, &o, err);
    json_decref(o.out);
    if (!rc) reply_bytes(rp, 200, picture_type(&picture), &picture);
    return rc;
}

enum err api_examples_thumbnail(struct app *app, struct request *rq, struct reply *rp,
                                struct err_info *err)
{
    return send_picture(app, rq, rp, STORE_THUMBNAIL, err);
}

enum err api_examples_photo(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    return send_picture(app, rq, rp, STORE_PHOTO, err);
}
