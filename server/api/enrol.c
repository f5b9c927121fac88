/* Enrolment: faces of photographs, or embeddings, become examples of an identity, or of nobody yet.
 * Parse and embed, ask the gate (gate.h), write all of them in one transaction. */
#include "server/api/enrol.h"

#include "engine/base/mem.h"
#include "server/api/api.h"
#include "server/api/body.h"
#include "server/api/bound.h"
#include "server/api/decide.h"
#include "server/api/gallery_json.h"
#include "server/api/write.h"

#include <stdlib.h>
#include <string.h>

void enrol_release(struct enrol *e)
{
    for (int i = 0; i < e->n_analyses; i++) analysis_release(&e->analysis[i]);
    faces_in_release(&e->in);
    calibration_free(e->calibration);
    free(e->analysis);
    free(e->sent);
    free(e->item);
}

/* --- whose they are to be --- */

struct owner {
    struct enrol *e;
    const char *id;
};

static enum err owner_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct owner *o = arg;
    return store_identity_row(&o->e->identity, tx, o->e->collection->is.row, o->id, err);
}

/* --- writing --- */

struct writing {
    struct enrol *e;
    const char *identity; /* id; NULL: nobody's */
};

static enum err take_json(void *self, const struct store_example *x, struct err_info *err)
{
    return json_array_append_new(self, example_json(x))
               ? err_set(err, ERR_NOMEM, "no memory for an example")
               : ERR_OK;
}

static enum err write_one(struct store_tx *tx, const struct enrol *e, const struct enrol_item *item,
                          json_t *examples, struct err_info *err)
{
    const struct face *f = item->as.face;
    struct store_example x = {.collection = e->collection->is.row,
                              .identity = e->identity,
                              .embedding = item->as.embedding,
                              .dim = e->collection->is.dim,
                              .precision = item->precision,
                              .has_face = f != NULL,
                              .has_source = f != NULL};
    struct ulid id;
    int64_t row;

    if (f) {
        memcpy(x.box, f->box, sizeof x.box);
        memcpy(x.points, f->points, sizeof x.points);
        x.quality = (double)f->quality;
        memcpy(x.source, item->source, sizeof x.source);
    }
    enum err rc = store_example_add(&row, &id, tx, &x, item->thumbnail, item->photo, err);
    return rc ? rc : store_example_get_rows(tx, &row, 1, take_json, examples, err);
}

/* The same photograph sent twice at the same moment: both passed the gate, one comes second. */
static enum err refuse(void *self, const struct store_example *x, struct err_info *err)
{
    const struct enrol_item *item = self;
    return err_set(err, ERR_CONFLICT, "%s: this photograph is in the collection already, as %s",
                   item->as.image, x->id);
}

/* It may have moved to another model since the faces were embedded. */
static enum err check_recipe(void *self, const struct store_collection *now, struct err_info *err)
{
    const struct gallery_collection *c = self;
    return bound_recipe(c, now->recipe, err);
}

static enum err write_job(struct store_tx *tx, void *self, struct write_answer *a,
                          struct err_info *err)
{
    const struct writing *w = self;
    const struct enrol *e = w->e;
    enum err rc = store_collection_get(tx, e->collection->is.id, check_recipe,
                                       (void *)(uintptr_t)e->collection, err);
    if (rc) return rc;
    json_t *examples = json_array();
    if (!examples) return err_set(err, ERR_NOMEM, "no memory for an answer");

    for (size_t i = 0; !rc && i < e->n && !e->force; i++)
        if (e->item[i].as.source)
            rc = store_example_by_source(tx, e->collection->is.row, e->item[i].as.source, refuse,
                                         &e->item[i], err);
    for (size_t i = 0; !rc && i < e->n; i++) rc = write_one(tx, e, &e->item[i], examples, err);
    if (rc) {
        json_decref(examples);
        return rc;
    }
    return write_answered(a, 201,
                          json_pack("{s:s?, s:o}", "identity", w->identity, "examples", examples),
                          e->collection->is.id, w->identity, err);
}

/* --- the routes --- */

/* The calibration that tells who looks like whom; none is no error here. */
static void find_calibration(struct enrol *e, struct app *app)
{
    struct model_info m;
    struct err_info ignored = ERR_INFO_INIT;
    const struct gallery_collection *c = e->collection;

    if (!e->identity || engine_describe(&m, app->engine, c->is.model, &ignored)) return;
    const struct decide_model model = {m.name, m.precision, c->is.recipe,
                                       engine_detector(app->engine)};
    const char *json = c->is.calibration ? c->is.calibration : m.calibration;
    if (decide_calibration(&e->calibration, json, &model, &ignored)) e->calibration = NULL;
}

static json_t *item_json(const struct enrol_item *item)
{
    const struct face *f = item->as.face;
    json_t *o = json_pack("{s:s}", "image", item->as.image);
    if (!o || !f) return o;
    json_object_set_new(o, "box",
                        json_pack("[f, f, f, f]", (double)f->box[0], (double)f->box[1],
                                  (double)f->box[2], (double)f->box[3]));
    json_object_set_new(o, "quality", similarity_json((double)f->quality));
    return o;
}

static enum err answer_dry(struct reply *rp, const struct enrol *e, json_t *problems,
                           struct err_info *err)
{
    json_t *faces = json_array();
    for (size_t i = 0; faces && i < e->n; i++) json_array_append_new(faces, item_json(&e->item[i]));
    return reply_json(
        rp, 200, json_pack("{s:b, s:o, s:O}", "dry_run", 1, "faces", faces, "problems", problems),
        err);
}

static enum err ask_gate(json_t **problems, struct enrol *e, struct app *app, struct err_info *err)
{
    AUTO_FREE struct gate_face *faces = calloc(e->n, sizeof *faces);

    if (!faces) return err_set(err, ERR_NOMEM, "no memory for %zu faces", e->n);
    find_calibration(e, app);
    for (size_t i = 0; i < e->n; i++) faces[i] = e->item[i].as;
    return gate_check(problems, app, e->collection, e->calibration, e->identity, faces, e->n, err);
}

/* What was sent: photographs, into e->in, or embeddings, as items. The JSON body is parsed here,
 * once for either; what is no JSON object is left to enrol_photos_read, which looks at the query
 * first and then says what is wrong with the body. */
static enum err read_request(struct enrol *e, bool all, struct request *rq, struct reply *rp,
                             struct err_info *err)
{
    struct err_info ignored = ERR_INFO_INIT;
    json_auto_t *body = NULL;

    if (rq->body_kind == BODY_JSON && body_load(&body, rq, &ignored)) body = NULL;
    return enrol_has_vectors(body) ? enrol_vectors(e, body, rq, err)
                                   : enrol_photos_read(e, all, body, rq, rp, err);
}

static enum err enrol(struct enrol *e, const char *identity, struct app *app, struct request *rq,
                      struct reply *rp, struct err_info *err)
{
    struct owner o = {e, identity};
    struct writing writing = {e, identity};
    const struct write w = {"example.add", write_job, &writing};
    json_auto_t *problems = NULL;
    enum err rc;

    if (identity && (rc = store_read(app->store, owner_job, &o, err))) return rc;
    if ((rc = read_request(e, !identity, rq, rp, err))) return rc;
    if (!e->sent && (rc = enrol_photos_analyse(e, app, rq, rp, err))) return rc;
    if (!e->n) return err_set(err, ERR_NO_FACE, "no face was found in any of the pictures");
    /* by force they come in whatever it says */
    if ((e->dry_run || !e->force) && (rc = ask_gate(&problems, e, app, err))) return rc;
    if (e->dry_run) return answer_dry(rp, e, problems, err);
    if (json_array_size(problems)) {
        reply_details(rp, json_pack("{s:O}", "problems", problems));
        return err_set(err, ERR_CONFLICT,
                       "nothing was enrolled: details.problems says what speaks against it (%zu); "
                       "force=true enrols nevertheless",
                       json_array_size(problems));
    }
    return write_run(app, rq, rp, &w, err);
}

static enum err begin(struct app *app, struct request *rq, struct reply *rp, const char *identity,
                      struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    struct enrol e = {0};
    bool done = false;
    enum err rc = write_replay(&done, app, rq, rp, err);

    if (rc || done) return rc;
    if ((rc = gallery_hold(&c, app->gallery, request_param(rq, "c"), err))) return rc;
    e.collection = c;
    rc = enrol(&e, identity, app, rq, rp, err);
    enrol_release(&e);
    return rc;
}

/* POST /v1/collections/{c}/identities/{i}/examples */
enum err api_enrol(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    return begin(app, rq, rp, request_param(rq, "i"), err);
}

/* POST /v1/collections/{c}/examples: faces of nobody yet, to be clustered. */
enum err api_enrol_unassigned(struct app *app, struct request *rq, struct reply *rp,
                              struct err_info *err)
{
    return begin(app, rq, rp, NULL, err);
}
