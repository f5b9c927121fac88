/* What people do with a report of a collection: POST /v1/clusters/{id}/promote, /assign, /split,
 * /merge and /outlier. Each is one transaction of gallery and report, audited, and taken back by
 * POST /v1/collections/{c}/undo (server/store/reports.h). The report of new labels is made before
 * the transaction; a state that came meanwhile refuses it. */
#include "server/api/api.h"
#include "server/api/body.h"
#include "server/api/clusters.h"
#include "server/api/gallery_json.h"
#include "server/api/write.h"

#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { NAMED_MAX = 100000 /* faces or clusters in one act */ };
static const char *const no_parameters[] = {NULL};

struct act {
    struct app *app;
    struct request *rq;
    const char *what; /* "promote" */
    json_t *body;
    struct gallery_collection *collection;
    struct clusters_loaded report;
    int cluster;
    struct clusters_done done; /* of new labels; else empty */
    char *document, *summary, *said;
    const char **shown; /* ids that the new state shows besides */
    size_t n_shown;
    struct clusters_faces faces;
    int64_t moved;    /* in the transaction */
    json_t *identity; /* the same: new reference */
};

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

static enum err read_cluster(struct act *a, struct err_info *err)
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

/* A list of whole numbers from 0 on; *out is the caller's (free()). */
static enum err read_numbers(size_t **out, size_t *n, const struct act *a, const char *field,
                             struct err_info *err)
{
    const json_t *list = json_object_get(a->body, field);

    *n = json_array_size(list);
    if (!json_is_array(list))
        return err_set(err, ERR_INVALID, "%s is missing: a list of numbers", field);
    if (*n > NAMED_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s has %zu numbers, the limit is %d", field, *n,
                       NAMED_MAX);
    size_t *numbers = calloc(*n + 1, sizeof *numbers);
    if (!numbers) return err_set(err, ERR_NOMEM, "no memory for %zu numbers", *n);
    for (size_t i = 0; i < *n; i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t x = json_integer_value(v);
        if (!json_is_integer(v) || x < 0 || x > INT32_MAX) {
            free(numbers);
            return err_set(err, ERR_INVALID, "%s[%zu] is not a whole number from 0 on", field, i);
        }
        numbers[i] = (size_t)x;
    }
    *out = numbers;
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

static enum err add_state(struct act *a, struct store_tx *tx, struct err_info *err)
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

/* Takes identity, moved and undo into the answer. */
static enum err answer(const struct act *a, struct write_answer *out, const struct ulid *undo,
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

/* --- promote and assign: the examples of a cluster get an identity --- */

struct unassigned {
    struct act *act;
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
    struct unassigned u = {.act = a, .rows = rows};
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
    rc = add_state(a, tx, err);
    a->shown = NULL;
    if (rc || (rc = note_identity(a, tx, id.s, err))) return rc;
    return answer(a, out, &undo, err);
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
    rc = add_state(a, tx, err);
    a->shown = NULL;
    if (rc || (rc = note_identity(a, tx, id, err))) return rc;
    return answer(a, out, &undo, err);
}

/* --- split, merge, outlier: other labels --- */

static enum err change_job(struct store_tx *tx, void *self, struct write_answer *out,
                           struct err_info *err)
{
    struct act *a = self;
    struct ulid undo;
    enum err rc;

    if ((rc = store_undo_begin(&undo, tx, a->report.collection, a->what, err)) ||
        (rc = add_state(a, tx, err)))
        return rc;
    return answer(a, out, &undo, err);
}

/* The report of the changed labels. */
static enum err compute(struct act *a, const int32_t *labels, struct err_info *err)
{
    const struct clusters_loaded *r = &a->report;
    const struct clusters_choice choice = {.rows = r->examples, .n_rows = r->n};
    const struct clusters_work work = {.cores = engine_cores(a->app->engine)};
    enum err rc;

    if ((rc = clusters_gather(&a->faces, a->app->store, a->app->engine, a->collection, &choice,
                              true, err)) ||
        (rc = clusters_again(&a->done, &a->faces, r->basis, labels, r->layout, r->n, r->id,
                             a->app->cluster_memory_max, &work, err)) ||
        (rc = clusters_text(&a->document, a->done.report, err)) ||
        (rc = clusters_text(&a->summary, a->done.summary, err)))
        return rc;
    return clusters_shown(&a->shown, &a->n_shown, &a->faces, err);
}

static enum err change_labels(struct act *a, int32_t *labels, struct err_info *err)
{
    const size_t n = a->report.n;
    AUTO_FREE size_t *numbers = NULL;
    size_t count = 0;
    enum err rc;

    if (!strcmp(a->what, "merge")) {
        if ((rc = read_numbers(&numbers, &count, a, "clusters", err))) return rc;
        AUTO_FREE int *clusters = calloc(count + 1, sizeof *clusters);
        if (!clusters) return err_set(err, ERR_NOMEM, "no memory for %zu clusters", count);
        for (size_t i = 0; i < count; i++) clusters[i] = (int)numbers[i];
        return clusters_merge(labels, n, clusters, count, err);
    }
    if ((rc = read_numbers(&numbers, &count, a, "faces", err))) return rc;
    if (!strcmp(a->what, "outlier")) return clusters_outlier(labels, n, numbers, count, err);
    if ((rc = read_cluster(a, err))) return rc;
    return clusters_split(labels, n, a->cluster, numbers, count, err);
}

/* --- the routes --- */

typedef enum err prepare(struct act *a, struct err_info *err);

static enum err prepare_labels(struct act *a, struct err_info *err)
{
    AUTO_FREE int32_t *labels = calloc(a->report.n + 1, sizeof *labels);
    enum err rc;

    if (!labels) return err_set(err, ERR_NOMEM, "no memory for %zu labels", a->report.n);
    memcpy(labels, a->report.labels, a->report.n * sizeof *labels);
    rc = change_labels(a, labels, err);
    return rc ? rc : compute(a, labels, err);
}

struct kind {
    const char *what, *action; /* action: for the audit log */
    const char *fields[6];
    prepare *prepare;
    enum err (*run)(struct store_tx *tx, void *self, struct write_answer *a, struct err_info *err);
};

static enum err act(const struct kind *k, struct app *app, struct request *rq, struct reply *rp,
                    struct err_info *err)
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

enum err api_clusters_promote(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    static const struct kind k = {"promote",
                                  "report.promote",
                                  {"cluster", "name", "external_id", "state", NULL},
                                  read_cluster,
                                  promote_job};
    return act(&k, app, rq, rp, err);
}

enum err api_clusters_assign(struct app *app, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    static const struct kind k = {"assign",
                                  "report.assign",
                                  {"cluster", "identity", "state", NULL},
                                  read_cluster,
                                  assign_job};
    return act(&k, app, rq, rp, err);
}

enum err api_clusters_split(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    static const struct kind k = {
        "split", "report.split", {"cluster", "faces", "state", NULL}, prepare_labels, change_job};
    return act(&k, app, rq, rp, err);
}

enum err api_clusters_merge(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    static const struct kind k = {
        "merge", "report.merge", {"clusters", "state", NULL}, prepare_labels, change_job};
    return act(&k, app, rq, rp, err);
}

enum err api_clusters_outlier(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    static const struct kind k = {
        "outlier", "report.outlier", {"faces", "state", NULL}, prepare_labels, change_job};
    return act(&k, app, rq, rp, err);
}
