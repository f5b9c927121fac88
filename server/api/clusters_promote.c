/* A cluster is somebody: the examples in it that are nobody's get an identity, a new one or one
 * that is known. */
#include "server/api/api.h"
#include "server/api/body.h"
#include "server/api/clusters_act.h"
#include "server/api/gallery_json.h"

#include "engine/base/mem.h"

#include <stdlib.h>

struct unassigned {
    int64_t *rows;
    size_t n;
};

static enum err take_unassigned(void *self, const struct store_example *e, struct err_info *err)
{
    struct unassigned *u = self;
    (void)err;
    if (!e->identity) u->rows[u->n++] = e->row;
    return ERR_OK;
}

/* Those of the cluster that are nobody's now. */
static enum err move_unassigned(struct act *a, struct store_tx *tx, int64_t identity,
                                struct err_info *err)
{
    const struct clusters_loaded *r = &a->report;
    AUTO_FREE int64_t *all = calloc(r->n + 1, sizeof *all);
    AUTO_FREE int64_t *rows = calloc(r->n + 1, sizeof *rows);
    struct unassigned u = {.rows = rows};
    size_t n = 0;
    enum err rc;

    if (!all || !rows) return err_set(err, ERR_NOMEM, "no memory for %zu examples", r->n);
    for (size_t i = 0; i < r->n; i++)
        if (r->labels[i] == a->cluster) all[n++] = r->examples[i];
    if ((rc = store_example_get_rows(tx, all, n, take_unassigned, &u, err))) return rc;
    if (!u.n)
        return err_set(err, ERR_CONFLICT,
                       "all %zu faces of cluster %d have an identity already: none is left", n,
                       a->cluster);
    for (size_t i = 0; !rc && i < u.n; i++) rc = store_example_move(tx, rows[i], identity, err);
    a->moved = (int64_t)u.n;
    return rc;
}

struct found {
    int64_t row;
    json_t *json;
};

static enum err take_identity(void *self, const struct store_identity *i, struct err_info *err)
{
    struct found *f = self;
    f->row = i->row;
    json_decref(f->json);
    f->json = identity_json(i);
    return f->json ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an identity");
}

/* The identity, with its new examples, into the answer. */
static enum err note_identity(struct act *a, struct store_tx *tx, const char *id,
                              struct err_info *err)
{
    struct found f = {0};
    enum err rc = store_identity_get(tx, a->report.collection, id, take_identity, &f, err);
    json_decref(a->identity);
    a->identity = f.json;
    return rc;
}

static enum err promote_job(struct store_tx *tx, void *self, struct write_answer *out,
                            struct err_info *err)
{
    struct act *a = self;
    struct store_identity new = {.collection = a->report.collection, .metadata = "{}"};
    struct ulid id, undo;
    int64_t row = 0;
    enum err rc;

    if ((rc = body_text(&new.name, a->body, "name", STORE_NAME_MAX, err)) ||
        (rc = body_text(&new.external_id, a->body, "external_id", STORE_NAME_MAX, err)))
        return rc;
    if (!new.name) return err_set(err, ERR_INVALID, "name is missing: the new identity's");
    if ((rc = store_undo_begin(&undo, tx, a->report.collection, a->what, err)) ||
        (rc = store_identity_add(&row, &id, tx, &new, err)) ||
        (rc = move_unassigned(a, tx, row, err)))
        return rc;
    const char *shown = id.s;
    a->shown = &shown;
    a->n_shown = 1;
    rc = act_add_state(a, tx, err);
    a->shown = NULL;
    if (rc || (rc = note_identity(a, tx, id.s, err))) return rc;
    return act_answer(a, out, &undo, err);
}

static enum err assign_job(struct store_tx *tx, void *self, struct write_answer *out,
                           struct err_info *err)
{
    struct act *a = self;
    const char *id = NULL;
    struct found f = {0};
    struct ulid undo;
    enum err rc = body_text(&id, a->body, "identity", STORE_NAME_MAX, err);

    if (!rc && !id) rc = err_set(err, ERR_INVALID, "identity is missing: the id of one");
    if (!rc) rc = store_identity_get(tx, a->report.collection, id, take_identity, &f, err);
    json_decref(f.json);
    if (rc || (rc = store_undo_begin(&undo, tx, a->report.collection, a->what, err)) ||
        (rc = move_unassigned(a, tx, f.row, err)))
        return rc;
    a->shown = &id;
    a->n_shown = 1;
    rc = act_add_state(a, tx, err);
    a->shown = NULL;
    if (rc || (rc = note_identity(a, tx, id, err))) return rc;
    return act_answer(a, out, &undo, err);
}

enum err api_clusters_promote(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    static const struct act_kind k = {"promote",
                                      "report.promote",
                                      {"cluster", "name", "external_id", "state", NULL},
                                      act_read_cluster,
                                      promote_job};
    return act_on_report(&k, app, rq, rp, err);
}

enum err api_clusters_assign(struct app *app, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    static const struct act_kind k = {"assign",
                                      "report.assign",
                                      {"cluster", "identity", "state", NULL},
                                      act_read_cluster,
                                      assign_job};
    return act_on_report(&k, app, rq, rp, err);
}
