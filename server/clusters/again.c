/* The report of labels that people changed, and of faces that came later: what was clustered stays,
 * everything that is measured on the labels is measured again. */
#include "engine/base/mem.h"
#include "engine/match.h"
#include "server/clusters/run_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where the old face that it is most like lies. */
static void place(float out[2], const struct clusters_faces *f, size_t face, const float *layout,
                  size_t n_old)
{
    const size_t d = (size_t)f->dim;
    size_t best = 0;
    float most = -2;

    for (size_t i = 0; i < n_old; i++) {
        const float s = match_similarity(f->x + face * d, f->x + i * d, f->dim);
        if (s <= most) continue;
        most = s;
        best = i;
    }
    memcpy(out, layout + 2 * best, 2 * sizeof *out);
}

static enum err lay_out(struct cluster_report *r, const struct clusters_faces *f,
                        const float *layout, size_t n_old, const json_t *basis,
                        struct err_info *err)
{
    if (!layout || !n_old) return ERR_OK;
    if (!(r->layout = calloc(f->n + 1, 2 * sizeof *r->layout)))
        return err_set(err, ERR_NOMEM, "no memory for a report on %zu faces", f->n);
    memcpy(r->layout, layout, 2 * n_old * sizeof *layout);
    for (size_t i = n_old; i < f->n; i++) place(r->layout + 2 * i, f, i, layout, n_old);
    clusters__layout_of(r, basis);
    return ERR_OK;
}

enum err clusters_again(struct clusters_done *out, const struct clusters_faces *f,
                        const json_t *basis, const int32_t *labels, const float *layout,
                        size_t n_old, const char *id, size_t memory_max,
                        const struct clusters_work *work, struct err_info *err)
{
    struct clusters__reporting how;
    struct clusters_about about;
    struct clusters_done done = {0};
    struct cluster_result *result = NULL;
    struct cluster_report *report = NULL;
    enum err rc = clusters__result_of(&result, basis, f->n, n_old, err);

    if (rc) return rc;
    clusters__reporting_of(&how, &about, basis);
    how.memory_max = memory_max;
    about.id = id;
    memcpy(result->labels, labels, f->n * sizeof *labels);
    result->clusters = clusters_count(labels, f->n);
    for (size_t i = 0; i < f->n; i++) result->outliers += labels[i] < 0;
    if ((rc = clusters__report(&report, f, result, &how, work, err)) ||
        (rc = lay_out(report, f, layout, n_old, basis, err)))
        goto done;
    rc = clusters__document(&done, result, report, f, &about, how.calibration, err);
done:
    cluster_result_free(result);
    cluster_report_free(report);
    if (rc)
        clusters_done_release(&done);
    else
        *out = done;
    return rc;
}

enum err clusters_join(int32_t *labels, float *similarity, const struct clusters_faces *f,
                       size_t n_old, const json_t *basis, struct err_info *err)
{
    const json_t *cut = json_object_get(json_object_get(basis, "result"), "cut");
    const bool apart =
        json_is_true(json_object_get(json_object_get(basis, "report"), "cannot_link"));

    if (!json_is_number(cut))
        return err_set(err, ERR_CONFLICT,
                       "the report was made without a cut, so nothing says how alike a new face "
                       "must be to join a cluster: make a new report");
    return cluster_assign(labels + n_old, similarity, f->x + n_old * (size_t)f->dim, f->n - n_old,
                          f->x, n_old, f->dim, labels, (float)json_number_value(cut),
                          apart ? f->photo : NULL, err);
}
