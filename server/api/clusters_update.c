/* POST /v1/clusters/{id}/update: examples that came to the collection since join the clusters of
 * the report, or stay outside; nothing is clustered anew. With full=true it is also clustered anew,
 * and the answer says how many faces would then be somewhere else. */
#include "server/api/api.h"
#include "server/api/body.h"
#include "server/api/clusters.h"
#include "server/api/clusters_in.h"
#include "server/api/gallery_json.h"
#include "server/api/write.h"

#include "engine/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct update {
    struct app *app;
    struct gallery_collection *collection;
    struct clusters_loaded report;
    struct clusters_in in; /* what the report was asked for with */
    bool full;
    int64_t *rows; /* [n] those of the report, then the new ones */
    size_t n;
    struct clusters_faces faces;
    int32_t *labels;   /* [n] */
    float *similarity; /* [n - report.n] to the nearest cluster */
    size_t moved;      /* with full */
    struct clusters_done done;
    char *document, *summary;
    const char **shown;
    size_t n_shown;
};

static void release(struct update *u)
{
    gallery_release(u->collection);
    clusters_loaded_release(&u->report);
    clusters_faces_release(&u->faces);
    clusters_done_release(&u->done);
    free(u->rows);
    free(u->labels);
    free(u->similarity);
    free(u->document);
    free(u->summary);
    free(u->shown);
}

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory to bring a report up to date");
}

/* --- what is new --- */

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* rows: the report's, and all of the collection (as the report was asked for) that it has not. */
static enum err find_new(struct update *u, struct err_info *err)
{
    const struct clusters_loaded *r = &u->report;
    const struct clusters_choice choice = {.tag = u->in.tag, .unassigned = u->in.unassigned};
    struct clusters_faces all = CLUSTERS_FACES_INIT;
    AUTO_FREE int64_t *known = calloc(r->n + 1, sizeof *known);
    enum err rc =
        clusters_gather(&all, u->app->store, u->app->engine, u->collection, &choice, false, err);

    if (rc == ERR_NO_FACE) rc = ERR_OK; /* all that were unassigned have an identity by now */
    if (rc) return rc;
    u->rows = calloc(r->n + all.n + 1, sizeof *u->rows);
    if (!known || !u->rows) {
        clusters_faces_release(&all);
        return no_memory(err);
    }
    memcpy(known, r->examples, r->n * sizeof *known);
    memcpy(u->rows, r->examples, r->n * sizeof *known);
    qsort(known, r->n, sizeof *known, by_row);
    u->n = r->n;
    for (size_t i = 0; i < all.n; i++)
        if (!bsearch(&all.example[i], known, r->n, sizeof *known, by_row))
            u->rows[u->n++] = all.example[i];
    clusters_faces_release(&all);
    return ERR_OK;
}

/* --- where it goes --- */

static enum err count_moved(struct update *u, const struct clusters_work *work,
                            struct err_info *err)
{
    int32_t *anew = NULL;
    enum err rc = clusters_labels(&anew, &u->faces, &u->in.options, work, err);

    if (!rc) rc = cluster_moved(&u->moved, u->labels, anew, u->n, err);
    free(anew);
    return rc;
}

static enum err join(struct update *u, struct err_info *err)
{
    const struct clusters_loaded *r = &u->report;
    const struct clusters_choice choice = {.rows = u->rows, .n_rows = u->n};
    const struct clusters_work work = {.cores = engine_cores(u->app->engine)};
    enum err rc;

    u->labels = calloc(u->n + 1, sizeof *u->labels);
    u->similarity = calloc(u->n - r->n + 1, sizeof *u->similarity);
    if (!u->labels || !u->similarity) return no_memory(err);
    memcpy(u->labels, r->labels, r->n * sizeof *u->labels);
    if ((rc = clusters_gather(&u->faces, u->app->store, u->app->engine, u->collection, &choice,
                              true, err)) ||
        (rc = clusters_check_memory(u->n, u->faces.dim, &u->in.options, err)))
        return rc;
    if (u->n > r->n &&
        (rc = clusters_join(u->labels, u->similarity, &u->faces, r->n, r->basis, err)))
        return rc;
    if (u->full && (rc = count_moved(u, &work, err))) return rc;
    if (u->n == r->n) return ERR_OK;
    if ((rc = clusters_again(&u->done, &u->faces, r->basis, u->labels, r->layout, r->n, r->id,
                             u->app->cluster_memory_max, &work, err)) ||
        (rc = clusters_text(&u->document, u->done.report, err)) ||
        (rc = clusters_text(&u->summary, u->done.summary, err)))
        return rc;
    return clusters_shown(&u->shown, &u->n_shown, &u->faces, err);
}

/* --- keeping and answering --- */

/* [{"face","example","cluster","similarity"}] of the new ones. */
static json_t *joined_json(const struct update *u)
{
    const size_t n_old = u->report.n;
    json_t *list = json_array();

    for (size_t i = n_old; list && i < u->n; i++) {
        const float s = u->similarity[i - n_old];
        json_t *o = json_pack("{s:I, s:s, s:o, s:o}", "face", (json_int_t)i, "example",
                              u->faces.face[i].example, "cluster",
                              u->labels[i] < 0 ? json_null() : json_integer(u->labels[i]),
                              "similarity", isnan(s) ? json_null() : similarity_json((double)s));
        if (!json_array_append_new(list, o)) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static enum err answer(const struct update *u, struct write_answer *out, int64_t state,
                       const char *undo, struct err_info *err)
{
    size_t outliers = 0;

    for (size_t i = u->report.n; i < u->n; i++) outliers += u->labels[i] < 0;
    out->status = 200;
    out->body =
        json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:s?}", "report", u->report.id, "state",
                  (json_int_t)state, "added", (json_int_t)(u->n - u->report.n), "added_outliers",
                  (json_int_t)outliers, "joined", joined_json(u), "would_move",
                  u->full ? json_integer((json_int_t)u->moved) : json_null(), "undo", undo);
    strcpy(out->collection, u->report.collection_id);
    strcpy(out->target, u->report.id);
    return out->body ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an answer");
}

static enum err update_job(struct store_tx *tx, void *self, struct write_answer *out,
                           struct err_info *err)
{
    const struct update *u = self;
    struct ulid undo;
    enum err rc;

    if (u->n == u->report.n) return answer(u, out, u->report.state, NULL, err);
    const struct store_report_state s = {
        .n = u->report.state + 1,
        .act = "{\"act\":\"update\"}",
        .labels = u->labels,
        .examples = u->rows,
        .layout = u->done.layout,
        .faces = u->n,
        .document = u->document,
        .summary = u->summary,
    };
    const struct store_report_ids shows = {u->shown, u->n_shown};
    if ((rc = store_undo_begin(&undo, tx, u->report.collection, "update", err)) ||
        (rc = store_report_act(tx, u->report.row, &s, &shows, err)))
        return rc;
    return answer(u, out, s.n, undo.s, err);
}

static enum err begin(struct update *u, struct request *rq, struct err_info *err)
{
    static const char *const fields[] = {"full", "state", NULL};
    json_auto_t *body = NULL;
    int state = -1;
    enum err rc;

    if ((rc = body_parse(&body, rq, fields, err)) ||
        (rc = body_bool(&u->full, body, "full", err)) ||
        (rc = body_int(&state, body, "state", 0, INT32_MAX, err)) ||
        (rc = clusters_load(&u->report, u->app, rq, request_param(rq, "id"), false, err)))
        return rc;
    if (!u->report.collection)
        return err_set(err, ERR_CONFLICT,
                       "the report is of photographs that were sent: nothing is added to them");
    if (state >= 0 && state != u->report.state)
        return err_set(err, ERR_PRECONDITION, "the report's state is %lld, not %d",
                       (long long)u->report.state, state);
    if ((rc = clusters_in_parse(&u->in, clusters_asked(u->report.basis), err))) return rc;
    u->in.options.memory_max = u->app->cluster_memory_max;
    return gallery_hold(&u->collection, u->app->gallery, u->report.collection_id, err);
}

enum err api_clusters_update(struct app *app, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    static const char *const no_parameters[] = {NULL};
    struct update u = {.app = app};
    const struct write w = {"report.update", update_job, &u};
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if (!(rc = begin(&u, rq, err)) && !(rc = find_new(&u, err)) && !(rc = join(&u, err)))
        rc = write_run(app, rq, rp, &w, err);
    release(&u);
    return rc;
}
