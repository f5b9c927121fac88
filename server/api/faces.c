/* The two routes that say what is in one picture: its faces, and their embeddings. */
#include "server/api/api.h"

#include "server/api/face_json.h"
#include "server/api/faces_in.h"

const struct faces_spec faces_spec_one = {
    .image = {"image"},
    .option = {"face", "include", "min_size", "model", "retry"},
    .face = FACE_ALL,
    .json = "{s?s%,s?s,s?s,s?F,s?s,s?b}",
};

static enum err answer(struct app *app, struct request *rq, struct reply *rp, bool embedding,
                       struct err_info *err)
{
    struct faces_in in;
    struct analysis a = {0};
    enum err rc = faces_in_parse(&in, &faces_spec_one, rq, rp, err);

    if (rc) return rc;
    in.options.embedding = embedding;
    rc = engine_analyse(app->engine, in.image[0].data, in.image[0].len, &in.options, &a, err);
    if (rc == ERR_NOT_FOUND) /* of the optional landmarks model: not of the route, so not 404 */
        rc = err_set(
            err, ERR_CONFLICT,
            "landmarks68 needs the optional model dlib-68point, which is not installed here");
    if (rc == ERR_NO_FACE || rc == ERR_MANY_FACES || rc == ERR_BAD_IMAGE ||
        rc == ERR_UNSUPPORTED_IMAGE || rc == ERR_TOO_LARGE) {
        reply_detail(rp, "image", faces_spec_one.image[0]);
        err_prefix(err, "%s", faces_spec_one.image[0]);
    }
    if (!rc) {
        faces_in_took(rq, &a.took);
        json_t *o = analysis_json(&a);
        if (o && embedding) {
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
    return answer(app, rq, rp, false, err);
}

/* POST /v1/embed: the faces of a picture with their embeddings. */
enum err api_embed(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    return answer(app, rq, rp, true, err);
}
