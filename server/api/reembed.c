/* POST /v1/collections/{c}/reembed: the collection moves to another model. Vectors of two models
 * cannot be compared, so every example is made anew from its photograph, which the collection must
 * have kept; a job does it, and all of them change in one transaction at its end. */
#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/body.h"
#include "server/api/gallery_json.h"
#include "server/api/jobs.h"
#include "server/api/reembed.h"
#include "server/store/audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 500, ROUNDS_MAX = 5 };
static const size_t VECTORS_MAX_BYTES = (size_t)1 << 30;
static const double SAME_FACE = 0.5; /* of two boxes: intersection over union */
static const char *const no_parameters[] = {NULL};

struct work {
    struct job *job;
    struct app *app;
    char id[ULID_CHARS + 1]; /* of the collection */
    int64_t collection;
    struct model_info model; /* that it moves to */
    int64_t *rows;           /* examples that are done, ascending */
    float *vectors;          /* [n][model.dim] */
    size_t n, room;
    size_t total;
};

/* --- what is to be done --- */

struct todo {
    int64_t row;
    char id[ULID_CHARS + 1];
    float box[4];
    bool has_face, has_photo;
};

struct page {
    int64_t collection, after;
    struct todo todo[PAGE];
    int n;
};

static enum err take_todo(void *self, const struct store_example *e, struct err_info *err)
{
    struct page *p = self;
    struct todo *t = &p->todo[p->n++];
    (void)err;
    *t = (struct todo){.row = e->row, .has_face = e->has_face, .has_photo = e->has_photo};
    strcpy(t->id, e->id);
    memcpy(t->box, e->box, sizeof t->box);
    return ERR_OK;
}

static enum err page_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct page *p = arg;
    p->n = 0;
    return store_example_list(tx, p->collection, STORE_ANY, p->after, PAGE, take_todo, p, err);
}

/* --- one example --- */

struct photo {
    int64_t row;
    struct buf bytes;
};

static enum err photo_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct photo *p = arg;
    return store_example_picture(&p->bytes, tx, p->row, STORE_PHOTO, err);
}

static double overlap(const float a[4], const float b[4])
{
    const double w = fmin(a[0] + a[2], b[0] + b[2]) - fmax(a[0], b[0]),
                 h = fmin(a[1] + a[3], b[1] + b[3]) - fmax(a[1], b[1]);
    if (w <= 0 || h <= 0) return 0;
    return w * h / ((double)a[2] * a[3] + (double)b[2] * b[3] - w * h);
}

/* The face of the picture that the example was. */
static const struct face *find_face(const struct analysis *a, const float box[4])
{
    const struct face *best = NULL;
    double most = SAME_FACE;
    for (int i = 0; i < a->n; i++) {
        const double o = overlap(a->faces[i].box, box);
        if (o >= most) best = &a->faces[i], most = o;
    }
    return best;
}

static enum err keep_vector(struct work *w, int64_t row, const float *vector, struct err_info *err)
{
    const size_t d = (size_t)w->model.dim;
    if (w->n == w->room) {
        const size_t room = w->room ? 2 * w->room : 256;
        int64_t *rows = reallocarray(w->rows, room, sizeof *rows);
        if (rows) w->rows = rows;
        float *vectors = reallocarray(w->vectors, room, d * sizeof *vectors);
        if (vectors) w->vectors = vectors;
        if (!rows || !vectors) return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", room);
        w->room = room;
    }
    w->rows[w->n] = row;
    memcpy(w->vectors + w->n++ * d, vector, d * sizeof *vector);
    return ERR_OK;
}

static enum err embed_one(struct work *w, const struct todo *t, struct err_info *err)
{
    struct analyse_options o = {.model = w->model.name, .select = FACE_ALL, .embedding = true};
    struct photo p = {t->row, BUF_INIT(IMAGE_MAX_BYTES)};
    struct analysis a = {0};
    enum err rc = store_read(w->app->store, photo_job, &p, err);

    if (!rc) rc = engine_analyse(w->app->engine, p.bytes.data, p.bytes.len, &o, &a, err);
    const struct face *f = rc ? NULL : find_face(&a, t->box);
    /* enrolled as a face that was cut already: its box is the whole picture */
    if (!rc && !f && t->box[2] == (float)a.width && t->box[3] == (float)a.height) {
        analysis_release(&a);
        o.precropped = true;
        rc = engine_analyse(w->app->engine, p.bytes.data, p.bytes.len, &o, &a, err);
        f = !rc && a.n ? &a.faces[0] : NULL;
    }
    if (!rc && !f) rc = err_set(err, ERR_NO_FACE, "its face was not found again in its photograph");
    if (!rc) rc = keep_vector(w, t->row, f->embedding, err);
    analysis_release(&a);
    buf_release(&p.bytes);
    return rc ? err_prefix(err, "example %s", t->id) : ERR_OK;
}

/* Every example after the last that is done. */
static enum err embed_rest(struct work *w, struct err_info *err)
{
    AUTO_FREE struct page *p = malloc(sizeof *p);
    enum err rc;

    if (!p) return err_set(err, ERR_NOMEM, "no memory for a page of examples");
    p->collection = w->collection;
    do {
        p->after = w->n ? w->rows[w->n - 1] : 0;
        if ((rc = store_read(w->app->store, page_job, p, err))) return rc;
        for (int i = 0; i < p->n; i++) {
            if (job_cancelled(w->job)) return err_set(err, ERR_CANCELLED, "it was cancelled");
            if (!p->todo[i].has_photo || !p->todo[i].has_face)
                return err_set(err, ERR_CONFLICT, "example %s has no photograph to embed again",
                               p->todo[i].id);
            if ((rc = embed_one(w, &p->todo[i], err))) return rc;
            job_progress(w->job, (int64_t)w->n);
        }
    } while (p->n == PAGE);
    return ERR_OK;
}

/* --- all of them change --- */

struct change {
    struct work *w;
    struct store_tx *tx;
    bool more; /* examples came meanwhile: nothing was changed */
};

static enum err note_more(void *self, const struct store_example *e, struct err_info *err)
{
    struct change *c = self;
    (void)e, (void)err;
    c->more = true;
    return ERR_OK;
}

static enum err rebind(void *self, const struct store_collection *was, struct err_info *err)
{
    const struct change *c = self;
    struct store_collection now = *was;
    now.model = c->w->model.name;
    now.recipe = c->w->model.recipe;
    now.dim = c->w->model.dim;
    now.calibration = NULL; /* it was measured with the other model's vectors */
    return store_collection_set(c->tx, &now, err);
}

static enum err change_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct change *c = arg;
    struct work *w = c->w;
    const size_t d = (size_t)w->model.dim;
    const struct store_audit entry = {.who = "job",
                                      .action = "collection.reembed",
                                      .collection = w->id,
                                      .target = w->id,
                                      .request = ""};
    enum err rc;

    c->tx = tx;
    c->more = false;
    if ((rc = store_example_list(tx, w->collection, STORE_ANY, w->n ? w->rows[w->n - 1] : 0, 1,
                                 note_more, c, err)) ||
        c->more)
        return rc;
    if ((rc = store_collection_get(tx, w->id, rebind, c, err))) return rc;
    for (size_t i = 0; i < w->n; i++) {
        rc = store_example_set_embedding(tx, w->rows[i], w->vectors + i * d, (int)d,
                                         w->model.precision, err);
        if (rc && rc != ERR_NOT_FOUND) return rc; /* erased meanwhile: as it should be */
    }
    return store_audit_add(tx, &entry, err);
}

static enum err work(struct work *w, struct err_info *err)
{
    struct change c = {.w = w};
    enum err rc = ERR_OK;

    c.more = true;
    for (int i = 0; !rc && c.more && i < ROUNDS_MAX; i++) {
        rc = embed_rest(w, err);
        if (!rc) rc = store_write(w->app->store, change_job, &c, err);
    }
    if (rc || !c.more) return rc;
    return err_set(err, ERR_BUSY, "examples were added faster than they could be embedded");
}

static enum err finish(struct work *w, struct err_info *err)
{
    json_auto_t *o = json_pack("{s:s, s:s, s:s, s:i, s:I}", "collection", w->id, "model",
                               w->model.name, "recipe", w->model.recipe, "dimension", w->model.dim,
                               "examples", (json_int_t)w->n);
    char *text AUTO_FREE = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (!text) return err_set(err, ERR_NOMEM, "no memory for a result");
    return job_result(w->job, "application/json", text, strlen(text), err);
}

enum err reembed_run(struct job *job, void *self, struct err_info *err)
{
    struct work w = {.job = job, .app = self, .collection = job_collection(job)};
    json_auto_t *parameters = json_loads(job_parameters(job), 0, NULL);
    const char *model = json_string_value(json_object_get(parameters, "model")),
               *id = json_string_value(json_object_get(parameters, "collection"));
    enum err rc = engine_describe(&w.model, w.app->engine, model, err);

    if (rc) return rc;
    snprintf(w.id, sizeof w.id, "%s", id ? id : "");
    job_phase(job, "embedding",
              (int64_t)json_integer_value(json_object_get(parameters, "examples")));
    rc = work(&w, err);
    if (!rc) app_gallery_follow(w.app);
    if (!rc) rc = finish(&w, err);
    free(w.rows);
    free(w.vectors);
    return rc;
}

/* --- the route --- */

struct asking {
    const struct gallery_collection *collection;
    struct store_collection_counts counts;
};

static enum err count_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct asking *a = arg;
    return store_collection_counts(&a->counts, tx, a->collection->is.row, err);
}

enum err api_reembed(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    static const char *const fields[] = {"model", NULL};
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct asking a = {0};
    struct model_info m;
    const char *model = NULL;
    json_auto_t *body = NULL;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err)) ||
        (rc = body_parse(&body, rq, fields, err)) ||
        (rc = body_text(&model, body, "model", STORE_NAME_MAX, err)))
        return rc;
    if (!model) return err_set(err, ERR_INVALID, "model is missing: the embedder to move to");
    a.collection = c;
    if ((rc = engine_describe(&m, app->engine, model, err)) ||
        (rc = store_read(app->store, count_job, &a, err)))
        return rc;
    if (!strcmp(m.recipe, c->is.recipe))
        return err_set(err, ERR_CONFLICT, "the collection is bound to %.64s already", m.name);
    if (a.counts.photos < a.counts.examples)
        return err_set(err, ERR_CONFLICT,
                       "%lld of the %lld examples have no photograph to embed again: "
                       "keep_photos was off, or embeddings were sent",
                       (long long)(a.counts.examples - a.counts.photos),
                       (long long)a.counts.examples);
    if ((size_t)a.counts.examples > VECTORS_MAX_BYTES / ((size_t)m.dim * sizeof(float)))
        return err_set(err, ERR_TOO_LARGE, "%lld embeddings of %d numbers, the limit is %zu MiB",
                       (long long)a.counts.examples, m.dim, VECTORS_MAX_BYTES >> 20);
    struct job_order o = {.kind = "reembed", .collection = c->is.row};
    return job_submit(app, rq, rp, &o,
                      json_pack("{s:s, s:s, s:I}", "model", m.name, "collection", c->is.id,
                                "examples", (json_int_t)a.counts.examples),
                      err);
}
