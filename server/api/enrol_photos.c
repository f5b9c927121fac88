#include "server/api/enrol.h"

#include "server/api/bound.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

enum { THUMBNAIL_SIDE = 112 /* pixels */ };

static const struct faces_spec spec = {
    .image = {"image"},
    .several = true,
    .option = {"dry_run", "face", "force", "min_size", "model", "precropped", "retry"},
};

static enum err take_face(struct enrol *e, struct app *app, int image, const struct face *f,
                          struct err_info *err)
{
    const struct store_collection *is = &e->collection->is;
    struct enrol_item *item = &e->item[e->n++];
    const uint8_t *bytes = e->in.image[image].data;
    const size_t len = e->in.image[image].len;
    struct sha256_ctx sha;

    *item = (struct enrol_item){.as = {e->in.image[image].name, f->embedding, f, item->source},
                                .precision = e->analysis[image].precision,
                                .thumbnail = BUF_INIT(1 << 20)};
    sha256_init(&sha);
    sha256_update(&sha, len, bytes);
    sha256_digest(&sha, sizeof item->source, item->source);
    if (is->photos) item->photo = (struct store_bytes){bytes, len};
    if (!is->thumbnails) return ERR_OK;
    return engine_thumbnail(app->engine, bytes, len, f->box, THUMBNAIL_SIDE, &item->thumbnail, err);
}

enum err enrol_photos(struct enrol *e, bool all, struct app *app, struct request *rq,
                      struct reply *rp, struct err_info *err)
{
    struct faces_spec this = spec;
    size_t faces = 0;
    enum err rc;

    this.face = all ? FACE_ALL : FACE_MAIN;
    if ((rc = faces_in_parse(&e->in, &this, rq, rp, err))) return rc;
    if (!all && e->in.options.select == FACE_ALL)
        return err_set(err, ERR_INVALID,
                       "face is \"all\": the examples of one identity are of one person");
    if ((rc = bound_model(e->collection, e->in.options.model, err))) return rc;
    e->in.options.model = e->collection->is.model;
    e->in.options.embedding = true;
    e->force = e->in.force;
    e->dry_run = e->in.dry_run;
    if (!(e->analysis = calloc((size_t)e->in.n_images, sizeof *e->analysis)))
        return err_set(err, ERR_NOMEM, "no memory for %d pictures", e->in.n_images);
    while (e->n_analyses < e->in.n_images) {
        struct analysis *a = &e->analysis[e->n_analyses];
        rc = faces_in_analyse(a, app->engine, &e->in, e->n_analyses, rq, rp, err);
        if (rc) return rc;
        e->n_analyses++; /* from here on it is to be released */
        if ((rc = bound_recipe(e->collection, a->recipe, err))) return rc;
        faces += (size_t)a->n;
    }
    if (faces > ENROL_MAX)
        return err_set(err, ERR_TOO_LARGE, "%zu faces, the limit is %d in one call", faces,
                       ENROL_MAX);
    if (!(e->item = calloc(faces + 1, sizeof *e->item)))
        return err_set(err, ERR_NOMEM, "no memory for %zu faces", faces);
    for (int i = 0; i < e->n_analyses; i++)
        for (int k = 0; k < e->analysis[i].n; k++)
            if ((rc = take_face(e, app, i, &e->analysis[i].faces[k], err))) return rc;
    return ERR_OK;
}
