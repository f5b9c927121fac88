/* The routes that say what is in one picture: its faces, their embeddings, their classes. */
#include "server/api/api.h"

#include "server/api/face_json.h"
#include "server/api/faces_in.h"

const struct faces_spec faces_spec_one = {
    .image = {"image"},
    .option = {"face", "include", "min_size", "model", "retry"},
    .face = FACE_ALL,
};

const struct faces_spec faces_spec_embed = {
    .image = {"image"},
    .option = {"face", "include", "min_size", "model", "precropped", "retry"},
    .face = FACE_ALL,
};

const struct faces_spec faces_spec_classify = {
    .image = {"image"},
    .option = {"face", "min_size", "model", "precropped", "retry", "top"},
    .face = FACE_MAIN,
    .top = 5,
};

static enum err answer(struct app *app, struct request *rq, struct reply *rp,
                       const struct faces_spec *spec, bool embedding, struct err_info *err)
{
    struct faces_in in;
    struct analysis a = {0};
    enum err rc = faces_in_parse(&in, spec, rq, rp, err);

    if (rc) return rc;
    in.options.embedding = embedding;
    in.options.classes = in.top;
    rc = faces_in_analyse(&a, app->engine, &in, 0, rq, rp, err);
    if (!rc) {
        json_t *o = analysis_json(&a);
        if (o && (embedding || in.top)) {
            json_object_set_new(o, "model", json_string(a.model));
            json_object_set_new(o, "precision", json_string(a.precision));
            json_object_set_new(o, "recipe", json_string(a.recipe));
        }
        rc = reply_json(rp, 200, o, err);
    }
    analysis_release(&a);
    faces_in_release(&in);
    return rc;
}

/* POST /v1/detect: the faces of a picture. */
enum err api_detect(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    return answer(app, rq, rp, &faces_spec_one, false, err);
}

/* POST /v1/embed: the faces of a picture with their embeddings. */
enum err api_embed(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    return answer(app, rq, rp, &faces_spec_embed, true, err);
}

/* POST /v1/classify: whom the embedder's own classifier takes each face for. */
enum err api_classify(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    return answer(app, rq, rp, &faces_spec_classify, false, err);
}
