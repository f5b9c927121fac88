#include "server/api/gate.h"

#include "engine/base/mem.h"
#include "server/api/decide.h"
#include "server/api/gallery_json.h"

#include <stdlib.h>
#include <string.h>

struct twin {
    const struct gate_face *of; /* NULL: none */
    double similarity;
};

struct gate {
    const struct gallery_collection *collection;
    const struct gate_face *faces;
    size_t n;
    const struct match_row *nearest; /* of each */
    const struct twin *twin;         /* of each */
    const int64_t *looks_like;       /* identity of each; 0: none */
    const double *similarity;        /* to it */
    struct store_tx *tx;
    json_t *problems;
    const struct gate_face *at; /* whose problem is being written */
    double at_similarity;
    bool same_file, found;
};

static bool add(struct gate *g, json_t *problem)
{
    return json_array_append_new(g->problems, problem) == 0;
}

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory to check an enrolment");
}

static enum err check_quality(struct gate *g, const struct gate_face *f, struct err_info *err)
{
    const double least = g->collection->is.min_quality;
    char message[160];

    if (!f->face || (double)f->face->quality >= least) return ERR_OK;
    snprintf(message, sizeof message, "its quality is %.3f, this collection asks for %.3f",
             (double)f->face->quality, least);
    json_t *reasons = json_array();
    for (int i = 0; reasons && i < f->face->n_reasons; i++)
        json_array_append_new(reasons, json_pack("{s:s, s:s}", "code", f->face->reason_code[i],
                                                 "message", f->face->reason[i]));
    return add(g, json_pack("{s:s, s:s, s:s, s:o, s:o}", "image", f->image, "code", "low_quality",
                            "message", message, "quality",
                            similarity_json((double)f->face->quality), "reasons", reasons))
               ? ERR_OK
               : no_memory(err);
}

/* --- the same picture --- */

static enum err take_duplicate(void *self, const struct store_example *e, struct err_info *err)
{
    struct gate *g = self;

    if (g->found) return ERR_OK; /* one is enough */
    g->found = true;
    return add(g, json_pack("{s:s, s:s, s:s, s:s, s:o}", "image", g->at->image, "code", "duplicate",
                            "message",
                            g->same_file ? "this photograph is in the collection already"
                                         : "an example in the collection is of the same picture",
                            "example", e->id, "similarity",
                            g->same_file ? json_null() : similarity_json(g->at_similarity)))
               ? ERR_OK
               : no_memory(err);
}

static enum err check_duplicate(struct gate *g, size_t i, struct err_info *err)
{
    const struct gate_face *f = &g->faces[i];
    const struct match_row *near = g->nearest;
    enum err rc;

    g->at = f;
    g->found = false;
    g->same_file = true;
    if (f->source && (rc = store_example_by_source(g->tx, g->collection->is.row, f->source,
                                                   take_duplicate, g, err)))
        return rc;
    if (g->found || near[i].similarity < GATE_SAME_PICTURE) return ERR_OK;
    g->same_file = false;
    g->at_similarity = near[i].similarity;
    return store_example_get_rows(g->tx, &near[i].example, 1, take_duplicate, g, err);
}

/* Of each face: the first one before it, of the same call, that is the same picture. */
static void find_twins(struct twin *out, const struct gate_face *faces, size_t n, int dim)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i && !out[i].of; k++) {
            const double s = (double)match_similarity(faces[i].embedding, faces[k].embedding, dim);
            if (s >= GATE_SAME_PICTURE) out[i] = (struct twin){&faces[k], s};
        }
    }
}

static enum err check_twin(struct gate *g, size_t i, struct err_info *err)
{
    const struct twin *t = &g->twin[i];
    char message[120];

    if (!t->of) return ERR_OK;
    snprintf(message, sizeof message, "it is the same picture as %s", t->of->image);
    return add(g, json_pack("{s:s, s:s, s:s, s:n, s:o}", "image", g->faces[i].image, "code",
                            "duplicate", "message", message, "example", "similarity",
                            similarity_json(t->similarity)))
               ? ERR_OK
               : no_memory(err);
}

/* --- somebody else --- */

static enum err take_other(void *self, const struct store_identity *i, struct err_info *err)
{
    struct gate *g = self;
    return add(g,
               json_pack("{s:s, s:s, s:s, s:o, s:o}", "image", g->at->image, "code", "looks_like",
                         "message", "it looks like another identity of the collection", "identity",
                         identity_short_json(i), "similarity", similarity_json(g->at_similarity)))
               ? ERR_OK
               : no_memory(err);
}

static enum err check_other(struct gate *g, size_t i, struct err_info *err)
{
    if (!g->looks_like[i]) return ERR_OK;
    g->at = &g->faces[i];
    g->at_similarity = g->similarity[i];
    return store_identity_get_rows(g->tx, &g->looks_like[i], 1, take_other, g, err);
}

/* Of each face: the identity that it is a match for and is not the one it is meant for. */
static enum err find_others(int64_t *other, double *similarity, struct app *app,
                            const struct gallery_collection *c, const struct calibration *cal,
                            int64_t identity, const float *vectors, size_t n, struct err_info *err)
{
    const struct match_query q = {.vectors = vectors, .n = n, .top = 1, .rule = MATCH_MAX, .m = 1};
    AUTO_FREE struct match_candidate *best = calloc(n, sizeof *best);
    AUTO_FREE int *counts = calloc(n, sizeof *counts);
    struct match_index_info info;
    struct decide_cuts cuts;
    enum err rc;

    if (!best || !counts) return no_memory(err);
    match_index_info(c->index->rows, &info);
    if ((rc = match_index_search(c->index->rows, &q, best, counts, NULL, engine_cores(app->engine),
                                 err)) ||
        (rc = decide_cuts(&cuts, cal, DECIDE_FPIR, info.examples, true, err)))
        return rc;
    for (size_t i = 0; i < n; i++) {
        const struct match_candidate *b = &best[i];
        if (!counts[i] || b->identity == identity || b->similarity < cuts.match) continue;
        other[i] = b->identity;
        similarity[i] = b->similarity;
    }
    return ERR_OK;
}

static enum err check_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct gate *g = arg;
    enum err rc;

    g->tx = tx;
    for (size_t i = 0; i < g->n; i++)
        if ((rc = check_quality(g, &g->faces[i], err)) || (rc = check_twin(g, i, err)) ||
            (rc = check_duplicate(g, i, err)) || (rc = check_other(g, i, err)))
            return rc;
    return ERR_OK;
}

enum err gate_check(json_t **problems, struct app *app, const struct gallery_collection *c,
                    const struct calibration *cal, int64_t identity, const struct gate_face *faces,
                    size_t n, struct err_info *err)
{
    const size_t d = (size_t)c->is.dim;
    AUTO_FREE float *vectors = calloc(n * d, sizeof *vectors);
    AUTO_FREE struct match_row *nearest = calloc(n, sizeof *nearest);
    AUTO_FREE int64_t *other = calloc(n, sizeof *other);
    AUTO_FREE double *similarity = calloc(n, sizeof *similarity);
    AUTO_FREE int *counts = calloc(n, sizeof *counts);
    AUTO_FREE struct twin *twin = calloc(n, sizeof *twin);
    struct gate g = {.collection = c,
                     .faces = faces,
                     .n = n,
                     .nearest = nearest,
                     .twin = twin,
                     .looks_like = other,
                     .similarity = similarity};
    enum err rc;

    if (!vectors || !nearest || !other || !similarity || !counts || !twin) return no_memory(err);
    for (size_t i = 0; i < n; i++) memcpy(vectors + i * d, faces[i].embedding, d * sizeof *vectors);
    rc = match_index_nearest(c->index->rows, vectors, n, 1, nearest, counts, NULL,
                             engine_cores(app->engine), err);
    if (!rc && identity && cal)
        rc = find_others(other, similarity, app, c, cal, identity, vectors, n, err);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++)
        if (!counts[i]) nearest[i].similarity = -1;
    find_twins(twin, faces, n, c->is.dim); /* here: a job in the store does not compute */
    if (!(g.problems = json_array())) return no_memory(err);
    if ((rc = store_read(app->store, check_job, &g, err))) {
        json_decref(g.problems);
        return rc;
    }
    *problems = g.problems;
    return ERR_OK;
}
