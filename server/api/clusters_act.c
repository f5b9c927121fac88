#include "server/api/clusters_act.h"

#include "engine/base/mem.h"
#include "server/api/body.h"

#include <stdlib.h>
#include <string.h>

static const char *const no_parameters[] = {NULL};

static void release(struct act *a)
{
    json_decref(a->body);
    json_decref(a->identity);
    gallery_release(a->collection);
    clusters_loaded_release(&a->report);
    clusters_done_release(&a->done);
    clusters_faces_release(&a->faces);
    free(a->document);
    free(a->summary);
    free(a->said);
    free(a->shown);
}

/* --- what all begin with --- */

static enum err begin(struct act *a, const char *const *fields, struct err_info *err)
{
    int state = -1;
    enum err rc;

    if ((rc = body_parse(&a->body, a->rq, fields, err)) ||
        (rc = clusters_load(&a->report, a->app, a->rq, request_param(a->rq, "id"), false, err)))
        return rc;
    if (!a->report.collection)
        return err_set(err, ERR_CONFLICT,
                       "the report is of photographs that were sent: its faces are no examples");
    if ((rc = body_int(&state, a->body, "state", 0, INT32_MAX, err))) return rc;
    if (state >= 0 && state != a->report.state)
        return err_set(err, ERR_PRECONDITION, "the report's state is %lld, not %d",
                       (long long)a->report.state, state);
    return gallery_hold(&a->collection, a->app->gallery, a->report.collection_id, err);
}

enum err act_read_cluster(struct act *a, struct err_info *err)
{
    const int count = clusters_count(a->report.labels, a->report.n);
    enum err rc;

    a->cluster = -1;
    if (!count) return err_set(err, ERR_INVALID, "the report has no cluster");
    if ((rc = body_int(&a->cluster, a->body, "cluster", 0, count - 1, err))) return rc;
    if (a->cluster < 0)
        return err_set(err, ERR_INVALID, "cluster is missing: its number in the report");
    return ERR_OK;
}

/* The act as the report tells of it later: what was asked, without names. */
static enum err say(struct act *a, struct err_info *err)
{
    static const char *const kept[] = {"cluster", "clusters", "faces", "identity"};
    json_auto_t *o = json_pack("{s:s}", "act", a->what);
    json_t *v;

    for (size_t i = 0; o && i < ARRAY_LEN(kept); i++)
        if ((v = json_object_get(a->body, kept[i]))) json_object_set(o, kept[i], v);
    return clusters_text(&a->said, o, err);
}

/* --- the transaction --- */

enum err act_add_state(struct act *a, struct store_tx *tx, struct err_info *err)
{
    const struct clusters_loaded *r = &a->report;
    const bool computed = a->done.labels != NULL;
    const struct store_report_state s = {
        .n = r->state + 1,
        .act = a->said,
        .labels = computed ? a->done.labels : r->labels,
        .examples = r->examples,
        .layout = r->layout,
        .faces = r->n,
        .document = a->document,
        .summary = a->summary ? a->summary : r->summary,
    };
    const struct store_report_ids shows = {a->shown, a->n_shown};
    return store_report_act(tx, r->row, &s, &shows, err);
}

enum err act_answer(const struct act *a, struct write_answer *out, const struct ulid *undo,
                    struct err_info *err)
{
    const int32_t *labels = a->done.labels ? a->done.labels : a->report.labels;
    size_t outliers = 0;

    for (size_t i = 0; i < a->report.n; i++) outliers += labels[i] < 0;
    out->status = 200;
    out->body =
        json_pack("{s:s, s:I, s:i, s:I, s:s}", "report", a->report.id, "state",
                  (json_int_t)a->report.state + 1, "clusters", clusters_count(labels, a->report.n),
                  "outliers", (json_int_t)outliers, "undo", undo->s);
    if (out->body && a->identity &&
        (json_object_set(out->body, "identity", a->identity) ||
         json_object_set_new(out->body, "moved", json_integer(a->moved))))
        return err_set(err, ERR_NOMEM, "no memory for an answer");
    strcpy(out->collection, a->report.collection_id);
    strcpy(out->target, a->report.id);
    return out->body ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an answer");
}

/* --- the route --- */

enum err act_on_report(const struct act_kind *k, struct app *app, struct request *rq,
                       struct reply *rp, struct err_info *err)
{
    struct act a = {.app = app, .rq = rq, .what = k->what};
    const struct write w = {k->action, k->run, &a};
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if (!(rc = begin(&a, k->fields, err)) && !(rc = k->prepare(&a, err)) && !(rc = say(&a, err)))
        rc = write_run(app, rq, rp, &w, err);
    release(&a);
    return rc;
}
