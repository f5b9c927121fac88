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

static void take_faces(struct enrol *e, int image)
{
    const struct store_bytes photo = {e->in.image[image].data, e->in.image[image].len};
    const struct analysis *a = &e->analysis[image];
    uint8_t source[STORE_SHA256_BYTES];
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, photo.len, photo.data);
    sha256_digest(&sha, sizeof source, source);
    for (int i = 0; i < a->n; i++) {
        const struct face *f = &a->faces[i];
        struct enrol_item *item = &e->item[e->n++];
        *item = (struct enrol_item){.as = {e->in.image[image].name, f->embedding, f, item->source},
                                    .precision = a->precision,
                                    .thumbnail = {f->thumbnail_jpeg.data, f->thumbnail_jpeg.len}};
        memcpy(item->source, source, sizeof source);
        if (e->collection->is.photos) item->photo = photo;
    }
}

enum err enrol_photos_read(struct enrol *e, bool all, json_t *body, struct request *rq,
                           struct reply *rp, struct err_info *err)
{
    struct faces_spec this = spec;
    enum err rc;

    this.face = all ? FACE_ALL : FACE_MAIN;
    if ((rc = faces_in_parse_body(&e->in, &this, body, rq, rp, err))) return rc;
    if (!all && e->in.options.select == FACE_ALL)
        return err_set(err, ERR_INVALID,
                       "face is \"all\": the examples of one identity are of one person");
    if ((rc = bound_model(e->collection, e->in.options.model, err))) return rc;
    e->in.options.model = e->collection->is.model;
    e->in.options.embedding = true;
    if (e->collection->is.thumbnails) e->in.options.thumbnail = THUMBNAIL_SIDE;
    e->force = e->in.force;
    e->dry_run = e->in.dry_run;
    return ERR_OK;
}

enum err enrol_photos_analyse(struct enrol *e, struct app *app, struct request *rq,
                              struct reply *rp, struct err_info *err)
{
    size_t faces = 0;
    enum err rc;

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
    for (int i = 0; i < e->n_analyses; i++) take_faces(e, i);
    return ERR_OK;
}
