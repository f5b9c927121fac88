/* The examples of a collection as faces, read in one transaction: vectors, boxes, photographs and
 * whose they are, all of one moment. */
#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "server/clusters/faces.h"
#include "server/store/identities.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000 };

struct gathering {
    struct clusters_faces *out;
    const struct gallery_collection *collection;
    const struct clusters_choice *choice;
    bool names;
    int64_t *tagged; /* identities that may be, ascending; NULL: all */
    size_t n_tagged;
    json_t *owners;      /* identity's id -> number, in the order of owner_rows */
    int64_t *owner_rows; /* [size of owners] */
    const char **owner_names;
    json_t *photos; /* "sha#copy" -> number */
    json_t *boxes;  /* "sha:box" -> how often it came */
    int64_t last;   /* row of the page's last example */
    int on_page;
};

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool wanted(const struct gathering *g, const struct store_example *e)
{
    if (!g->choice->tag) return true;
    return g->n_tagged && bsearch(&e->identity, g->tagged, g->n_tagged, sizeof *g->tagged, by_row);
}

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the examples of a collection");
}

/* --- whose they are --- */

static enum err take_owner(struct gathering *g, const struct store_example *e, size_t at,
                           struct err_info *err)
{
    const size_t known = json_object_size(g->owners);
    enum err rc;

    if (!e->identity) return ERR_OK;
    if ((rc = clusters__number(&g->out->identity[at], g->owners, e->identity_id, err))) return rc;
    g->out->truth[at] = g->out->identity[at];
    if (json_object_size(g->owners) == known) return ERR_OK;
    int64_t *more = reallocarray(g->owner_rows, known + 1, sizeof *more);
    if (!more) return no_memory(err);
    g->owner_rows = more;
    g->owner_rows[known] = e->identity;
    return ERR_OK;
}

static enum err take_name(void *self, const struct store_identity *i, struct err_info *err)
{
    struct gathering *g = self;
    const json_t *number = json_object_get(g->owners, i->id);
    return clusters__text(&g->owner_names[json_integer_value(number)], g->out, i->name, err);
}

static enum err name_owners(struct gathering *g, struct store_tx *tx, struct err_info *err)
{
    const size_t n = json_object_size(g->owners);
    struct clusters_faces *f = g->out;
    enum err rc;

    if (!(g->owner_names = calloc(n + 1, sizeof *g->owner_names))) return no_memory(err);
    if ((rc = store_identity_get_rows(tx, g->owner_rows, n, take_name, g, err))) return rc;
    for (size_t i = 0; i < f->n; i++)
        if (f->identity[i] != CLUSTER_NO_GROUP)
            f->face[i].name = f->face[i].truth = g->owner_names[f->identity[i]];
    return ERR_OK;
}

/* --- which photograph --- */

/* Faces of one photograph may not be put together; but the same face may have been taken in twice,
 * and its copies may. So the photograph is counted once for each copy of its faces. */
static enum err take_photo(struct gathering *g, const struct store_example *e, size_t at,
                           struct err_info *err)
{
    char key[2 * STORE_SHA256_BYTES + 80], sha[2 * STORE_SHA256_BYTES + 1];
    enum err rc;

    if (!e->has_source) return ERR_OK;
    hex_text(sha, e->source, STORE_SHA256_BYTES);
    snprintf(key, sizeof key, "%s:%a,%a,%a,%a", sha, (double)e->box[0], (double)e->box[1],
             (double)e->box[2], (double)e->box[3]);
    const json_int_t copy = json_integer_value(json_object_get(g->boxes, key));
    if (json_object_set_new(g->boxes, key, json_integer(copy + 1))) return no_memory(err);
    snprintf(key, sizeof key, "%s#%lld", sha, (long long)copy);
    if ((rc = clusters__number(&g->out->photo[at], g->photos, key, err))) return rc;
    g->out->face[at].photo = (int)g->out->photo[at];
    return ERR_OK;
}

/* --- the examples --- */

static enum err note_precision(struct clusters_faces *f, const char *precision,
                               struct err_info *err)
{
    if (!f->precision) return clusters__copy(&f->precision, precision, err);
    if (!strcmp(f->precision, precision) || !strcmp(f->precision, "mixed")) return ERR_OK;
    return clusters__copy(&f->precision, "mixed", err);
}

static enum err take_example(void *self, const struct store_example *e, struct err_info *err)
{
    struct gathering *g = self;
    struct clusters_faces *f = g->out;
    enum err rc;

    g->last = e->row;
    g->on_page++;
    if (!wanted(g, e)) return ERR_OK;
    if (e->dim != f->dim || e->collection != g->collection->is.row)
        return err_set(err, ERR_CONFLICT,
                       "example %s is of another model than its collection was: ask again", e->id);
    if ((rc = clusters__faces_add(f, e->embedding, err))) return rc;
    const size_t at = f->n - 1;
    struct report_face *r = &f->face[at];
    f->example[at] = e->row;
    if ((rc = clusters__text(&r->example, f, e->id, err)) ||
        (g->names && (rc = clusters__text(&r->identity, f, e->identity_id, err))) ||
        (rc = take_owner(g, e, at, err)) || (rc = take_photo(g, e, at, err)))
        return rc;
    r->has_box = e->has_face;
    memcpy(r->box, e->box, sizeof r->box);
    if (e->has_face) r->quality = e->quality;
    return note_precision(f, e->precision, err);
}

static enum err read_all(struct gathering *g, struct store_tx *tx, struct err_info *err)
{
    const struct clusters_choice *choice = g->choice;
    const int64_t collection = g->collection->is.row;
    enum err rc = ERR_OK;

    if (choice->rows)
        return store_example_get_rows(tx, choice->rows, choice->n_rows, take_example, g, err);
    if (choice->tag) {
        rc = store_identity_tagged(&g->tagged, &g->n_tagged, tx, collection, &choice->tag, 1, err);
    }
    do {
        g->on_page = 0;
        if (!rc)
            rc = store_example_list(tx, collection,
                                    choice->unassigned ? STORE_UNASSIGNED : STORE_ANY, g->last,
                                    PAGE, take_example, g, err);
    } while (!rc && g->on_page == PAGE);
    return rc;
}

static enum err gather_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct gathering *g = arg;
    enum err rc = read_all(g, tx, err);

    if (rc) return rc;
    if (g->choice->rows && g->out->n != g->choice->n_rows)
        return err_set(err, ERR_CONFLICT, "%zu of the %zu examples were erased meanwhile",
                       g->choice->n_rows - g->out->n, g->choice->n_rows);
    return g->names ? name_owners(g, tx, err) : ERR_OK;
}

/* The model may be gone, or another one by now: its calibration is then left out. */
static enum err take_calibration(struct clusters_faces *f, struct engine *e,
                                 const struct store_collection *is, struct err_info *err)
{
    struct model_info m;
    struct err_info ignored = ERR_INFO_INIT;

    if (is->calibration) return clusters__copy(&f->calibration, is->calibration, err);
    if (engine_describe(&m, e, is->model, &ignored)) return ERR_OK;
    return clusters__copy(&f->calibration, m.calibration, err);
}

enum err clusters_gather(struct clusters_faces *out, struct store *s, struct engine *e,
                         const struct gallery_collection *c, const struct clusters_choice *choice,
                         bool names, struct err_info *err)
{
    const struct store_collection *is = &c->is;
    struct clusters_faces f = CLUSTERS_FACES_INIT;
    struct gathering g = {.out = &f,
                          .collection = c,
                          .choice = choice,
                          .names = names,
                          .owners = json_object(),
                          .photos = json_object(),
                          .boxes = json_object()};
    enum err rc = clusters__faces_init(&f, is->dim, true, err);

    if (!rc && (!g.owners || !g.photos || !g.boxes)) rc = no_memory(err);
    if (rc || (rc = clusters__copy(&f.model, is->model, err)) ||
        (rc = clusters__copy(&f.recipe, is->recipe, err)) ||
        (rc = take_calibration(&f, e, is, err)) || (rc = store_read(s, gather_job, &g, err)))
        goto done;
    if (!f.n)
        rc = err_set(err, ERR_NO_FACE, "the collection has no example%s to cluster",
                     choice->unassigned ? " without an identity"
                     : choice->tag      ? " of an identity with that tag"
                                        : "");
done:
    free(g.tagged);
    free(g.owner_rows);
    free(g.owner_names);
    json_decref(g.owners);
    json_decref(g.photos);
    json_decref(g.boxes);
    if (rc)
        clusters_faces_release(&f);
    else
        *out = f;
    return rc;
}
