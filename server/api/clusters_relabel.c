/* Faces that were put together wrongly: split, merge, outlier. The labels change, and the report of
 * the new ones is made before the transaction. */
#include "server/api/api.h"
#include "server/api/body.h"
#include "server/api/clusters_act.h"

#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { NAMED_MAX = 100000 /* faces or clusters in one act */ };

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

static enum err change_job(struct store_tx *tx, void *self, struct write_answer *out,
                           struct err_info *err)
{
    struct act *a = self;
    struct ulid undo;
    enum err rc;

    if ((rc = store_undo_begin(&undo, tx, a->report.collection, a->what, err)) ||
        (rc = act_add_state(a, tx, err)))
        return rc;
    return act_answer(a, out, &undo, err);
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
    if ((rc = act_read_cluster(a, err))) return rc;
    return clusters_split(labels, n, a->cluster, numbers, count, err);
}

static enum err prepare_labels(struct act *a, struct err_info *err)
{
    AUTO_FREE int32_t *labels = calloc(a->report.n + 1, sizeof *labels);
    enum err rc;

    if (!labels) return err_set(err, ERR_NOMEM, "no memory for %zu labels", a->report.n);
    memcpy(labels, a->report.labels, a->report.n * sizeof *labels);
    rc = change_labels(a, labels, err);
    return rc ? rc : compute(a, labels, err);
}

enum err api_clusters_split(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    static const struct act_kind k = {
        "split", "report.split", {"cluster", "faces", "state", NULL}, prepare_labels, change_job};
    return act_on_report(&k, app, rq, rp, err);
}

enum err api_clusters_merge(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    static const struct act_kind k = {
        "merge", "report.merge", {"clusters", "state", NULL}, prepare_labels, change_job};
    return act_on_report(&k, app, rq, rp, err);
}

enum err api_clusters_outlier(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    static const struct act_kind k = {
        "outlier", "report.outlier", {"faces", "state", NULL}, prepare_labels, change_job};
    return act_on_report(&k, app, rq, rp, err);
}
