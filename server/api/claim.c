/* POST /v1/collections/{c}/verify?identity=ID: is this photograph of the person that it is said to
 * be? One to one: the other identities of the collection do not matter. */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/bound.h"
#include "server/api/compare.h"
#include "server/api/face_json.h"
#include "server/api/faces_in.h"
#include "server/api/gallery_json.h"
#include "server/api/names.h"

#include <stdlib.h>
#include <string.h>

static const struct faces_spec spec = {
    .image = {"image"},
    .option = {"explain", "face", "fmr", "identity", "min_size", "model", "precropped", "retry"},
    .face = FACE_MAIN,
};

struct claim {
    struct gallery_collection *collection;
    struct faces_in in;
    struct analysis a;
    int64_t identity;
    json_t *who;
    struct match_candidate found;
    struct match_row *scores; /* with explain: of every example of the identity, best first */
    size_t n_scores;
    struct calibration *calibration;
    struct decide_cuts cuts;
    struct names names;
};

static void release(struct claim *q)
{
    analysis_release(&q->a);
    faces_in_release(&q->in);
    gallery_release(q->collection);
    calibration_free(q->calibration);
    names_release(&q->names);
    json_decref(q->who);
    free(q->scores);
}

static enum err take_identity(void *self, const struct store_identity *i, struct err_info *err)
{
    struct claim *q = self;
    q->identity = i->row;
    q->who = identity_short_json(i);
    return q->who ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for an identity");
}

static enum err who_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct claim *q = arg;
    return store_identity_get(tx, q->collection->is.row, q->in.identity, take_identity, q, err);
}

static enum err compare(struct claim *q, struct app *app, struct err_info *err)
{
    struct match_index *rows = q->collection->index->rows;
    const float *vector = q->a.faces[0].embedding;
    const struct match_query query = {.vectors = vector,
                                      .n = 1,
                                      .top = 1,
                                      .rule = q->collection->rule,
                                      .m = q->collection->is.rule_top,
                                      .allowed = &q->identity,
                                      .n_allowed = 1};
    int count = 0;
    enum err rc =
        match_index_search(rows, &query, &q->found, &count, NULL, engine_cores(app->engine), err);

    if (rc) return rc;
    if (!count)
        return err_set(err, ERR_CONFLICT, "identity %.30s has no examples to compare with",
                       q->in.identity);
    if ((q->in.explain &&
         (rc = match_index_scores(rows, q->identity, vector, &q->scores, &q->n_scores, err))) ||
        (rc = names_init(&q->names, err)) ||
        (rc = names_want(&q->names, q->identity, q->found.example, err)))
        return rc;
    for (size_t i = 0; !rc && i < q->n_scores; i++)
        rc = names_want(&q->names, q->identity, q->scores[i].example, err);
    return rc ? rc : names_read(&q->names, app->store, err);
}

static json_t *answer(const struct claim *q)
{
    const double similarity = q->found.similarity;
    const bool match = decide(&q->cuts, similarity) == DECISION_MATCH;
    struct face bare = q->a.faces[0];
    bare.embedding = NULL;
    json_t *o = json_pack(
        "{s:b, s:s, s:o, s:o, s:s, s:f, s:f, s:{s:f, s:f, s:s, s:b}, s:O, s:O?, s:I, s:o, s:s, "
        "s:s, s:s, s:s, s:o}",
        "verified", match, "decision", match ? "match" : "no_match", "similarity",
        similarity_json(similarity), "distance", similarity_json(1 - similarity), "metric",
        "cosine", "probability", calibration_probability(q->calibration, (float)similarity), "fmr",
        calibration_fmr(q->calibration, (float)similarity), "threshold", "value", q->cuts.match,
        "fmr", q->cuts.fpir, "source", q->cuts.source, "guaranteed", q->cuts.guaranteed, "identity",
        q->who, "example", names_example(&q->names, q->found.example), "examples",
        (json_int_t)q->found.examples, "face", face_json(&bare, q->a.width, q->a.height), "rule",
        q->collection->is.rule, "model", q->a.model, "precision", q->a.precision, "recipe",
        q->a.recipe, "took_ms", timings_json(&q->a.took));
    if (o && q->in.explain)
        json_object_set_new(o, "scores", names_scores_json(&q->names, q->scores, q->n_scores));
    return o;
}

static enum err claim(struct claim *q, struct app *app, struct request *rq, struct reply *rp,
                      struct err_info *err)
{
    enum err rc;

    if ((rc = gallery_hold(&q->collection, app->gallery, request_param(rq, "c"), err)) ||
        (rc = faces_in_parse(&q->in, &spec, rq, rp, err)))
        return rc;
    const struct store_collection *is = &q->collection->is;
    if (!q->in.identity)
        return err_set(err, ERR_INVALID, "identity is missing: the id of who it is said to be");
    if (q->in.options.select == FACE_ALL)
        return err_set(err, ERR_INVALID, "face is \"all\"; a claim is about one face");
    if ((rc = bound_model(q->collection, q->in.options.model, err))) return rc;
    q->in.options.model = is->model;
    q->in.options.embedding = true;
    if ((rc = store_read(app->store, who_job, q, err)) ||
        (rc = faces_in_analyse(&q->a, app->engine, &q->in, 0, rq, rp, err)) ||
        (rc = bound_recipe(q->collection, q->a.recipe, err)) || (rc = compare(q, app, err)))
        return rc;
    const struct decide_model model = {q->a.model, q->a.precision, is->recipe, q->a.detector};
    const double fmr = q->in.fmr ? q->in.fmr : COMPARE_DEFAULT_FMR;
    if ((rc = decide_calibration(
             &q->calibration, is->calibration ? is->calibration : q->a.calibration, &model, err)) ||
        (rc = decide_cuts(&q->cuts, q->calibration, fmr, q->found.examples,
                          q->collection->rule != MATCH_CENTROID, err)))
        return rc;
    return reply_json(rp, 200, answer(q), err);
}

enum err api_claim(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct claim q = {0};
    enum err rc = claim(&q, app, rq, rp, err);
    release(&q);
    return rc;
}
