/* Putting a report into the store. */
#include "server/api/clusters.h"

#include "engine/base/mem.h"
#include "server/store/jobs.h"

#include <stdlib.h>
#include <string.h>

enum err clusters_text(char **out, const json_t *o, struct err_info *err)
{
    *out = json_dumps(o, REPORT_JSON_DUMP);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a report");
}

enum err clusters_shown(const char ***ids, size_t *n, const struct clusters_faces *f,
                        struct err_info *err)
{
    const char *last = NULL;

    *n = 0;
    if (!(*ids = calloc(2 * f->n + 2, sizeof **ids)))
        return err_set(err, ERR_NOMEM, "no memory for a report");
    for (size_t i = 0; i < f->n; i++) {
        const char *identity = f->face[i].identity;
        if (f->face[i].example) (*ids)[(*n)++] = f->face[i].example;
        if (identity && (!last || strcmp(last, identity) != 0)) (*ids)[(*n)++] = identity;
        last = identity;
    }
    return ERR_OK;
}

/* [base64 or null of each face]; *out NULL: none has one. */
static enum err thumbnails_text(char **out, const json_t *report, struct err_info *err)
{
    const json_t *faces = json_object_get(report, "faces");
    json_auto_t *list = json_array();
    bool any = false, ok = list != NULL;

    for (size_t i = 0; ok && i < json_array_size(faces); i++) {
        json_t *t = json_object_get(json_array_get(faces, i), "thumbnail");
        any = any || t;
        ok = !json_array_append_new(list, t ? json_incref(t) : json_null());
    }
    if (!ok) return err_set(err, ERR_NOMEM, "no memory for thumbnails");
    return any ? clusters_text(out, list, err) : ERR_OK;
}

struct keeping {
    const struct clusters_keep *what;
    char *basis, *document, *summary, *thumbnails;
    struct store_report_ids shows;
};

static enum err keep_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct keeping *k = arg;
    const struct clusters_keep *w = k->what;
    struct store_job_row job;
    const char *key = w->key;
    enum err rc;

    if (w->job) {
        if ((rc = store_job_get(&job, tx, w->id, err))) return rc;
        key = job.key;
    }
    const struct store_report r = {
        .id = w->id, .key = key, .collection = w->collection, .basis = k->basis};
    const struct store_report_state s = {.labels = w->done->labels,
                                         .examples = w->faces->example,
                                         .layout = w->done->layout,
                                         .faces = w->faces->n,
                                         .document = k->document,
                                         .summary = k->summary};
    return store_report_add(tx, &r, &s, k->thumbnails, &k->shows, err);
}

enum err clusters_keep(struct app *app, const struct clusters_keep *what, struct err_info *err)
{
    const struct clusters_done *d = what->done;
    struct keeping k = {.what = what};
    const char **ids = NULL;
    enum err rc = clusters_shown(&ids, &k.shows.n, what->faces, err);

    k.shows.ids = ids;
    if (!rc) rc = thumbnails_text(&k.thumbnails, d->report, err);
    if (!rc) report_drop_thumbnails(d->report);
    if (rc || (rc = clusters_text(&k.basis, d->basis, err)) ||
        (rc = clusters_text(&k.document, d->report, err)) ||
        (rc = clusters_text(&k.summary, d->summary, err)))
        goto done;
    rc = store_write(app->store, keep_job, &k, err);
done:
    free(ids);
    free(k.basis);
    free(k.document);
    free(k.summary);
    free(k.thumbnails);
    return rc;
}
