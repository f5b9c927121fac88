/* Who is who, put right: an example goes to another identity, two identities become one. Both can
 * be taken back (POST .../undo). */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/body.h"
#include "server/api/gallery_json.h"
#include "server/api/write.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000 /* examples that are read at once */ };
static const char *const no_parameters[] = {NULL};

/* --- POST /v1/collections/{c}/identities/{i}/merge --- */

struct merge {
    const struct gallery_collection *collection;
    const char *into, *from;
};

struct page {
    int64_t rows[PAGE];
    int n;
};

static enum err take_example(void *self, const struct store_example *e, struct err_info *err)
{
    struct page *p = self;
    (void)err;
    p->rows[p->n++] = e->row;
    return ERR_OK;
}

/* Every example of one identity to another. */
static enum err move_all(int64_t *moved, struct store_tx *tx, int64_t collection, int64_t from,
                         int64_t into, struct err_info *err)
{
    AUTO_FREE struct page *p = malloc(sizeof *p);
    enum err rc;

    if (!p) return err_set(err, ERR_NOMEM, "no memory to merge");
    do {
        p->n = 0;
        /* what has moved is no longer from's: the next page is again the first */
        if ((rc = store_example_list(tx, collection, from, 0, PAGE, take_example, p, err)))
            return rc;
        for (int i = 0; i < p->n; i++)
            if ((rc = store_example_move(tx, p->rows[i], into, err))) return rc;
        *moved += p->n;
    } while (p->n == PAGE);
    return ERR_OK;
}

static enum err take_identity(void *self, const struct store_identity *i, struct err_info *err)
{
    json_t **out = self;
    *out = identity_json(i);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an identity");
}

static enum err merge_job(struct store_tx *tx, void *self, struct write_answer *a,
                          struct err_info *err)
{
    const struct merge *m = self;
    const int64_t collection = m->collection->is.row;
    int64_t into = 0, from = 0, moved = 0;
    json_t *identity = NULL;
    struct ulid undo;
    enum err rc;

    if ((rc = store_identity_row(&into, tx, collection, m->into, err)) ||
        (rc = store_identity_row(&from, tx, collection, m->from, err)))
        return rc;
    if (into == from)
        return err_set(err, ERR_INVALID, "from is the identity itself: nothing to merge");
    if ((rc = store_undo_begin(&undo, tx, collection, "merge", err)) ||
        (rc = move_all(&moved, tx, collection, from, into, err)) ||
        (rc = store_identity_retire(tx, from, err)) ||
        (rc = store_identity_get(tx, collection, m->into, take_identity, &identity, err)))
        return rc;
    return write_answered(a, 200,
                          json_pack("{s:o, s:I, s:s}", "identity", identity, "moved",
                                    (json_int_t)moved, "undo", undo.s),
                          m->collection->is.id, m->into, err);
}

enum err api_identities_merge(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    static const char *const fields[] = {"from", NULL};
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct merge m = {.into = request_param(rq, "i")};
    const struct write w = {"identity.merge", merge_job, &m};
    json_auto_t *body = NULL;
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if ((rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err)) ||
        (rc = body_parse(&body, rq, fields, err)) ||
        (rc = body_text(&m.from, body, "from", STORE_NAME_MAX, err)))
        return rc;
    if (!m.from) return err_set(err, ERR_INVALID, "from is missing: the id of the other identity");
    m.collection = c;
    return write_run(app, rq, rp, &w, err);
}

/* --- POST /v1/collections/{c}/examples/{e}/move --- */

struct move {
    const struct gallery_collection *collection;
    const char *example, *identity; /* identity NULL: nobody's */
};

struct place {
    int64_t row, identity;
};

static enum err take_place(void *self, const struct store_example *e, struct err_info *err)
{
    struct place *p = self;
    (void)err;
    *p = (struct place){e->row, e->identity};
    return ERR_OK;
}

static enum err take_example_json(void *self, const struct store_example *e, struct err_info *err)
{
    json_t **out = self;
    *out = example_json(e);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an example");
}

static enum err move_job(struct store_tx *tx, void *self, struct write_answer *a,
                         struct err_info *err)
{
    const struct move *m = self;
    const int64_t collection = m->collection->is.row;
    struct place was = {0};
    int64_t identity = STORE_UNASSIGNED;
    json_t *example = NULL;
    struct ulid undo;
    enum err rc;

    if ((rc = store_example_get(tx, collection, m->example, take_place, &was, err)) ||
        (m->identity && (rc = store_identity_row(&identity, tx, collection, m->identity, err))) ||
        (rc = store_undo_begin(&undo, tx, collection, "move", err)) ||
        (rc = store_example_move(tx, was.row, identity, err)) ||
        (rc = store_example_get(tx, collection, m->example, take_example_json, &example, err)))
        return rc;
    /* where it was there already, there is nothing to take back */
    return write_answered(a, 200,
                          json_pack("{s:o, s:s?}", "example", example, "undo",
                                    was.identity == identity ? NULL : undo.s),
                          m->collection->is.id, m->example, err);
}

enum err api_examples_move(struct app *app, struct request *rq, struct reply *rp,
                           struct err_info *err)
{
    static const char *const fields[] = {"identity", NULL};
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct move m = {.example = request_param(rq, "e")};
    const struct write w = {"example.move", move_job, &m};
    json_auto_t *body = NULL;
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if ((rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err)) ||
        (rc = body_parse(&body, rq, fields, err)) ||
        (rc = body_text(&m.identity, body, "identity", STORE_NAME_MAX, err)))
        return rc;
    if (!json_object_get(body, "identity"))
        return err_set(err, ERR_INVALID,
                       "identity is missing: the id of an identity, or null for nobody's");
    m.collection = c;
    return write_run(app, rq, rp, &w, err);
}
