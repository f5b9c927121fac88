/* /v1/collections/{c}/calibration: what similarities mean, measured on the collection's own
 * examples. The model's calibration comes from other people's photographs; where a collection has
 * enough people with several examples each, its own fits its cameras and its people better. */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/gallery_json.h"
#include "server/api/write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GENUINE_LEAST = 30,
    IMPOSTOR_LEAST = 1000, /* supports a false-match rate of 1 % */
    TAIL_PAIRS = 100000,
};
/* Of all pairs, for each number of an embedding: some seconds of one core. 50,000 examples of 128
 * numbers, 8,800 of 4,096. */
static const double PRODUCTS_MAX = 1.6e11;
static const char *const no_parameters[] = {NULL};
static const double told_rates[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5};

struct measuring {
    const struct gallery_collection *collection;
    struct match_row *rows;
    float *vectors; /* [n][dim] of examples that somebody owns */
    uint32_t *person;
    size_t n, people;
    struct match_pairs *pairs;
    struct roc *roc;
    char *json;   /* the calibration; NULL: the model's again */
    json_t *told; /* the answer */
};

static void release(struct measuring *m)
{
    free(m->rows);
    free(m->vectors);
    free(m->person);
    match_pairs_free(m->pairs);
    roc_free(m->roc);
    free(m->json);
    json_decref(m->told);
}

static int by_identity(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Numbers the identities from 0, and drops the examples of nobody. */
static enum err take_owned(struct measuring *m, struct err_info *err)
{
    const size_t d = (size_t)m->collection->is.dim;
    size_t all = 0;
    enum err rc = match_index_rows(m->collection->index->rows, &m->rows, &m->vectors, &all, err);

    if (rc) return rc;
    AUTO_FREE int64_t *who = calloc(all + 1, sizeof *who);
    m->person = calloc(all + 1, sizeof *m->person);
    if (!who || !m->person) return err_set(err, ERR_NOMEM, "no memory for %zu examples", all);
    for (size_t i = 0; i < all; i++) {
        if (!m->rows[i].identity) continue;
        memmove(m->vectors + m->n * d, m->vectors + i * d, d * sizeof *m->vectors);
        m->rows[m->n] = m->rows[i];
        who[m->n++] = m->rows[i].identity;
    }
    const double most = floor(sqrt(2 * PRODUCTS_MAX / (double)d));
    if ((double)m->n > most)
        return err_set(err, ERR_TOO_LARGE,
                       "the collection has %zu examples, %.0f of %zu numbers can be compared", m->n,
                       most, d);
    qsort(who, m->n, sizeof *who, by_identity);
    for (size_t i = 0; i < m->n; i++)
        if (!i || who[i] != who[m->people - 1]) who[m->people++] = who[i];
    for (size_t i = 0; i < m->n; i++) {
        const int64_t *at = bsearch(&m->rows[i].identity, who, m->people, sizeof *who, by_identity);
        m->person[i] = (uint32_t)(at - who);
    }
    return ERR_OK;
}

static enum err measure(struct measuring *m, struct err_info *err)
{
    const struct store_collection *is = &m->collection->is;
    char source[STORE_NAME_MAX * 4 + 16];
    enum err rc = take_owned(m, err);

    if (rc) return rc;
    if (m->n >= 2)
        rc = match_pairs_new(&m->pairs, m->vectors, m->n, is->dim, m->person, NULL, TAIL_PAIRS, 1,
                             err);
    if (rc) return rc;
    const size_t genuine = m->pairs ? m->pairs->n_genuine : 0;
    const unsigned long long impostor = m->pairs ? m->pairs->n_impostor : 0;
    if (genuine < GENUINE_LEAST || impostor < IMPOSTOR_LEAST)
        return err_set(err, ERR_FMR_UNSUPPORTED,
                       "the examples make %zu pairs of one person and %llu of two; a calibration "
                       "needs %d and %d",
                       genuine, impostor, GENUINE_LEAST, IMPOSTOR_LEAST);
    snprintf(source, sizeof source, "collection:%s", is->name);
    const struct calibration_origin origin = {.source = source,
                                              .recipe = is->recipe,
                                              .model = is->model,
                                              .command = "POST /v1/collections/{c}/calibration",
                                              .people = m->people,
                                              .images = m->n};
    if ((rc = roc_new_pairs(&m->roc, m->pairs, err))) return rc;
    return roc_calibration_json(&m->json, m->roc, &origin, err);
}

/* {"source","people","examples","genuine_pairs","impostor_pairs","min_fmr"} of a calibration. */
static json_t *summary(const char *text)
{
    json_auto_t *c = json_loads(text, 0, NULL);
    const double impostor = json_number_value(json_object_get(c, "impostor_pairs"));
    return json_pack(
        "{s:O?, s:O?, s:O?, s:O?, s:O?, s:f}", "source", json_object_get(c, "source"), "people",
        json_object_get(c, "people"), "examples", json_object_get(c, "images"), "genuine_pairs",
        json_object_get(c, "genuine_pairs"), "impostor_pairs", json_object_get(c, "impostor_pairs"),
        "min_fmr", impostor > 0 ? 10 / impostor : 1);
}

static json_t *told(const struct measuring *m)
{
    json_t *o = summary(m->json), *rates = json_array();

    for (size_t i = 0; rates && i < ARRAY_LEN(told_rates); i++) {
        struct roc_point p;
        roc_at_fmr(m->roc, told_rates[i], &p);
        if (p.supported)
            json_array_append_new(rates,
                                  json_pack("{s:f, s:f, s:[f, f], s:f}", "fmr", told_rates[i],
                                            "tar", p.tar, "tar_interval", p.ci[0], p.ci[1],
                                            "threshold", (double)p.threshold));
    }
    if (!o) {
        json_decref(rates);
        return NULL;
    }
    json_object_set_new(o, "eer", json_real(roc_eer(m->roc)));
    json_object_set_new(o, "rates", rates);
    return o;
}

/* --- keeping it --- */

struct keeping {
    struct measuring *m;
    struct store_tx *tx;
};

static enum err keep_one(void *self, const struct store_collection *was, struct err_info *err)
{
    const struct keeping *k = self;
    struct store_collection now = *was;

    if (strcmp(was->recipe, k->m->collection->is.recipe) != 0)
        return err_set(err, ERR_CONFLICT, "the collection has moved to another model meanwhile");
    now.calibration = k->m->json;
    return store_collection_set(k->tx, &now, err);
}

static enum err keep_job(struct store_tx *tx, void *self, struct write_answer *a,
                         struct err_info *err)
{
    struct measuring *m = self;
    struct keeping k = {m, tx};
    const char *id = m->collection->is.id;
    enum err rc = store_collection_get(tx, id, keep_one, &k, err);

    return rc ? rc : write_answered(a, 200, json_incref(m->told), id, id, err);
}

enum err api_calibration_measure(struct app *app, struct request *rq, struct reply *rp,
                                 struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct measuring m = {0};
    const struct write w = {"collection.calibrate", keep_job, &m};
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = write_replay(&done, app, rq, rp, err)) || done) return rc;
    if ((rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err))) return rc;
    m.collection = c;
    rc = measure(&m, err);
    if (!rc && !(m.told = told(&m))) rc = err_set(err, ERR_NOMEM, "no memory for an answer");
    if (!rc) rc = write_run(app, rq, rp, &w, err);
    release(&m);
    return rc;
}

/* The model's own, where the collection has none; neither: null. */
enum err api_calibration_get(struct app *app, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct model_info model;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err))) return rc;
    if (c->is.calibration) return reply_json(rp, 200, summary(c->is.calibration), err);
    if ((rc = engine_describe(&model, app->engine, c->is.model, err))) return rc;
    if (!model.calibration)
        return err_set(err, ERR_NOT_FOUND, "neither the collection nor model %.64s has one",
                       model.name);
    return reply_json(rp, 200, summary(model.calibration), err);
}

enum err api_calibration_drop(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct measuring m = {0};
    const struct write w = {"collection.uncalibrate", keep_job, &m};
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err))) return rc;
    m.collection = c;
    if (!(m.told = json_pack("{s:n}", "calibration")))
        return err_set(err, ERR_NOMEM, "no memory for an answer");
    rc = write_run(app, rq, rp, &w, err);
    release(&m);
    return rc;
}
