/* POST /v1/collections/{c}/identify: who is on these pictures? Every face of every picture is
 * looked for in one pass over the collection; whoever is not enrolled comes back unknown, at the
 * rate that the answer states (decide.h). */
#include "server/api/api.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/api/bound.h"
#include "server/api/decide.h"
#include "server/api/face_json.h"
#include "server/api/faces_in.h"
#include "server/api/gallery_json.h"
#include "server/api/names.h"

#include <stdlib.h>
#include <string.h>

static const struct faces_spec spec = {
    .image = {"image"},
    .several = true,
    .option = {"explain", "face", "fpir", "min_size", "model", "precropped", "retry", "tag", "top"},
    .face = FACE_ALL,
    .top = 5,
};

struct identify {
    struct gallery_collection *collection;
    struct faces_in in;
    struct analysis *analysis; /* of each picture */
    int n_analyses;
    size_t n;        /* faces on all of them */
    float *vectors;  /* [n][dim] */
    int64_t *tagged; /* identities that may be candidates; NULL: all */
    size_t n_tagged;
    int top;                      /* searched for: at least two, for the margin */
    struct match_candidate *best; /* [n][top] */
    int *counts;                  /* [n] */
    struct match_row **scores;    /* [n][top], with explain; each its own */
    size_t *n_scores;
    struct match_cost cost;
    double search_ms;
    struct calibration *calibration;
    struct decide_cuts cuts;
    struct names names;
};

static void release(struct identify *q)
{
    const size_t all = q->n * (size_t)q->top;
    for (size_t i = 0; q->scores && i < all; i++) free(q->scores[i]);
    for (int i = 0; i < q->n_analyses; i++) analysis_release(&q->analysis[i]);
    faces_in_release(&q->in);
    gallery_release(q->collection);
    calibration_free(q->calibration);
    names_release(&q->names);
    free(q->analysis);
    free(q->vectors);
    free(q->tagged);
    free(q->best);
    free(q->counts);
    free(q->scores);
    free(q->n_scores);
}

/* --- the pictures' faces --- */

static enum err analyse(struct identify *q, struct app *app, struct request *rq, struct reply *rp,
                        struct err_info *err)
{
    const struct store_collection *is = &q->collection->is;
    const size_t d = (size_t)is->dim;
    float *at;
    enum err rc;

    if ((rc = bound_model(q->collection, q->in.options.model, err))) return rc;
    q->in.options.model = is->model;
    q->in.options.embedding = true;
    if (!(q->analysis = calloc((size_t)q->in.n_images, sizeof *q->analysis)))
        return err_set(err, ERR_NOMEM, "no memory for %d pictures", q->in.n_images);
    while (q->n_analyses < q->in.n_images) {
        struct analysis *a = &q->analysis[q->n_analyses];
        rc = faces_in_analyse(a, app->engine, &q->in, q->n_analyses, rq, rp, err);
        if (rc) return rc;
        q->n_analyses++; /* from here on it is to be released */
        if ((rc = bound_recipe(q->collection, a->recipe, err))) return rc;
        q->n += (size_t)a->n;
    }
    if (!(at = q->vectors = calloc(q->n * d + 1, sizeof *at)))
        return err_set(err, ERR_NOMEM, "no memory for %zu faces", q->n);
    for (int i = 0; i < q->n_analyses; i++)
        for (int k = 0; k < q->analysis[i].n; k++, at += d)
            memcpy(at, q->analysis[i].faces[k].embedding, d * sizeof *at);
    return ERR_OK;
}

/* --- the search --- */

static enum err tagged_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct identify *q = arg;
    return store_identity_tagged(&q->tagged, &q->n_tagged, tx, q->collection->is.row, &q->in.tag, 1,
                                 err);
}

static enum err search(struct identify *q, struct app *app, struct err_info *err)
{
    const struct gallery_collection *c = q->collection;
    q->top = q->in.top < 2 ? 2 : q->in.top;
    const size_t all = q->n * (size_t)q->top;
    enum err rc;

    if (q->in.tag && (rc = store_read(app->store, tagged_job, q, err))) return rc;
    static const int64_t none[1] = {0};
    const struct match_query query = {
        .vectors = q->vectors,
        .n = q->n,
        .top = q->top,
        .rule = c->rule,
        .m = c->is.rule_top,
        .allowed = !q->in.tag  ? NULL
                   : q->tagged ? q->tagged
                               : none,
        .n_allowed = q->n_tagged,
    };
    q->best = calloc(all + 1, sizeof *q->best);
    q->counts = calloc(q->n + 1, sizeof *q->counts);
    q->scores = calloc(all + 1, sizeof *q->scores);
    q->n_scores = calloc(all + 1, sizeof *q->n_scores);
    if (!q->best || !q->counts || !q->scores || !q->n_scores)
        return err_set(err, ERR_NOMEM, "no memory for %zu candidates", all);
    const double start = clock_seconds();
    if (q->n && (rc = match_index_search(c->index->rows, &query, q->best, q->counts, &q->cost,
                                         engine_cores(app->engine), err)))
        return rc;
    q->search_ms = (clock_seconds() - start) * 1e3;
    return ERR_OK;
}

/* Ids and names of all that was found and, with explain, of every example of it. */
static enum err look_up(struct identify *q, struct app *app, struct err_info *err)
{
    const size_t top = (size_t)q->top, d = (size_t)q->collection->is.dim;
    enum err rc = names_init(&q->names, err);

    for (size_t i = 0; !rc && i < q->n; i++) {
        for (size_t k = 0; !rc && k < (size_t)q->counts[i]; k++) {
            const struct match_candidate *b = &q->best[i * top + k];
            rc = names_want(&q->names, b->identity, b->example, err);
            if (rc || !q->in.explain) continue;
            struct match_row **rows = &q->scores[i * top + k];
            size_t *n = &q->n_scores[i * top + k];
            rc = match_index_scores(q->collection->index->rows, b->identity, q->vectors + i * d,
                                    rows, n, err);
            for (size_t r = 0; !rc && r < *n; r++)
                rc = names_want(&q->names, b->identity, (*rows)[r].example, err);
        }
    }
    return rc ? rc : names_read(&q->names, app->store, err);
}

/* --- the answer --- */

static json_t *candidate_json(const struct identify *q, size_t at, json_t *identity,
                              json_t *example)
{
    const struct match_candidate *b = &q->best[at];
    const float s = (float)b->similarity;
    json_t *o = json_pack(
        "{s:O, s:s, s:o, s:f, s:f, s:O, s:o, s:I}", "identity", identity, "decision",
        decision_name(decide(&q->cuts, b->similarity)), "similarity",
        similarity_json(b->similarity), "probability", calibration_probability(q->calibration, s),
        "fmr", calibration_fmr(q->calibration, s), "example", example, "example_similarity",
        similarity_json(b->example_similarity), "examples", (json_int_t)b->examples);
    if (o && q->in.explain)
        json_object_set_new(o, "scores",
                            names_scores_json(&q->names, q->scores[at], q->n_scores[at]));
    return o;
}

/* Adds "decision", "margin" and "candidates" to face i. */
static bool add_verdict(json_t *face, const struct identify *q, size_t i)
{
    const size_t top = (size_t)q->top;
    const struct match_candidate *first = NULL, *second = NULL;
    json_t *list = json_array();

    for (size_t k = 0; list && k < (size_t)q->counts[i]; k++) {
        const struct match_candidate *b = &q->best[i * top + k];
        json_t *identity = names_identity(&q->names, b->identity),
               *example = names_example(&q->names, b->example);
        if (!identity || !example) continue; /* erased meanwhile */
        if (!first)
            first = b;
        else if (!second)
            second = b;
        if (json_array_size(list) < (size_t)q->in.top)
            json_array_append_new(list, candidate_json(q, i * top + k, identity, example));
    }
    const enum decision d = first ? decide(&q->cuts, first->similarity) : DECISION_UNKNOWN;
    json_t *margin = second ? similarity_json(first->similarity - second->similarity) : json_null();
    json_t *more = json_pack("{s:s, s:o, s:o}", "decision", decision_name(d), "margin", margin,
                             "candidates", list);
    const bool ok = more && !json_object_update(face, more);
    json_decref(more);
    return ok;
}

static json_t *image_json(const struct identify *q, int image, size_t *at)
{
    const struct analysis *a = &q->analysis[image];
    json_t *faces = json_array();
    bool ok = faces != NULL;

    for (int k = 0; ok && k < a->n; k++, (*at)++) {
        struct face bare = a->faces[k];
        bare.embedding = NULL; /* an answer about people does not repeat what /v1/embed gives */
        json_t *face = face_json(&bare, a->width, a->height);
        ok = face && add_verdict(face, q, *at) && !json_array_append(faces, face);
        json_decref(face);
    }
    if (!ok) {
        json_decref(faces);
        return NULL;
    }
    return json_pack("{s:s, s:i, s:i, s:o}", "image", q->in.image[image].name, "width", a->width,
                     "height", a->height, "faces", faces);
}

static json_t *took_json(const struct identify *q)
{
    struct timings sum = {0};
    for (int i = 0; i < q->n_analyses; i++) {
        const struct timings *t = &q->analysis[i].took;
        sum.decode += t->decode, sum.detect += t->detect, sum.align += t->align;
        sum.embed += t->embed, sum.total += t->total;
    }
    sum.total += q->search_ms;
    json_t *o = timings_json(&sum);
    if (o) json_object_set_new(o, "search", similarity_json(q->search_ms));
    return o;
}

static enum err answer(const struct identify *q, struct reply *rp, const char *precision,
                       struct err_info *err)
{
    const struct store_collection *is = &q->collection->is;
    struct match_index_info info;
    json_t *images = json_array();
    size_t at = 0;

    for (int i = 0; images && i < q->n_analyses; i++) {
        if (json_array_append_new(images, image_json(q, i, &at))) {
            json_decref(images);
            images = NULL;
        }
    }
    match_index_info(q->collection->index->rows, &info);
    return reply_json(
        rp, 200,
        json_pack("{s:o, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:f, s:b, s:o, s:{s:I, s:I}, s:I, s:o}",
                  "images", images, "collection", "id", is->id, "name", is->name, "model",
                  is->model, "precision", precision, "recipe", is->recipe, "rule", is->rule, "fpir",
                  q->cuts.fpir, "fpir_guaranteed", q->cuts.guaranteed, "threshold",
                  decide_threshold_json(&q->cuts), "gallery", "identities",
                  (json_int_t)info.identities, "examples", (json_int_t)info.examples, "scanned",
                  (json_int_t)q->cost.scanned, "took_ms", took_json(q)),
        err);
}

static enum err identify(struct identify *q, struct app *app, struct request *rq, struct reply *rp,
                         struct err_info *err)
{
    struct model_info m;
    enum err rc;

    if ((rc = gallery_hold(&q->collection, app->gallery, request_param(rq, "c"), err)) ||
        (rc = faces_in_parse(&q->in, &spec, rq, rp, err)) ||
        (rc = engine_describe(&m, app->engine, q->collection->is.model, err)))
        return rc;
    const struct store_collection *is = &q->collection->is;
    const struct decide_model model = {m.name, m.precision, is->recipe,
                                       engine_detector(app->engine)};
    if ((rc = decide_calibration(&q->calibration, is->calibration ? is->calibration : m.calibration,
                                 &model, err)) ||
        (rc = analyse(q, app, rq, rp, err)) || (rc = search(q, app, err)) ||
        (rc = decide_cuts(&q->cuts, q->calibration, q->in.fpir ? q->in.fpir : DECIDE_FPIR,
                          q->cost.scanned, q->collection->rule != MATCH_CENTROID, err)) ||
        (rc = look_up(q, app, err)))
        return rc;
    return answer(q, rp, m.precision, err);
}

enum err api_identify(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct identify q = {0};
    enum err rc = identify(&q, app, rq, rp, err);
    release(&q);
    return rc;
}
