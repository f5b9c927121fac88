/* Photographs into faces, several at once so that the engine's lanes find batches. */
#include "engine/base/mem.h"
#include "engine/base/ordered.h"
#include "server/clusters/archive.h"
#include "server/clusters/faces.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_PER_CORE = 3, FILE_MAX_BYTES = 256 << 20 };

struct embedding {
    struct clusters_faces *out;
    struct engine *engine;
    struct clusters_photos *photos;
    struct analyse_options analyse;
    atomic_bool thumbnails; /* goes out when there are enough */
    const struct cluster_progress *progress;
    json_t *truths; /* name -> number */
    size_t next;    /* the feeder's */
    struct err_info *err;
    enum err rc; /* what stopped it */
};

struct one {
    enum err rc; /* of this photograph */
    struct err_info err;
    struct analysis a;
};

static char *next_name(void *self)
{
    struct embedding *e = self;
    return e->next < e->photos->n ? strdup(e->photos->photo[e->next++].file) : NULL;
}

static void *embed_one(void *self, size_t index, const char *name)
{
    struct embedding *e = self;
    struct one *o = calloc(1, sizeof *o);
    AUTO_BUF struct buf bytes = BUF_INIT(FILE_MAX_BYTES);

    (void)name;
    if (!o) return NULL;
    struct analyse_options options = e->analyse;
    if (atomic_load(&e->thumbnails)) options.thumbnail = CLUSTERS_THUMBNAIL_SIDE;
    o->rc = clusters_photo_read(&bytes, &e->photos->photo[index], &o->err);
    if (!o->rc) o->rc = engine_analyse(e->engine, bytes.data, bytes.len, &options, &o->a, &o->err);
    return o;
}

static void drop_one(void *result)
{
    struct one *o = result;

    if (!o) return;
    analysis_release(&o->a);
    free(o);
}

/* Of this photograph alone: the rest goes on without it. */
static bool is_its_own(enum err rc)
{
    switch (rc) {
    case ERR_BAD_IMAGE:
    case ERR_UNSUPPORTED_IMAGE:
    case ERR_TOO_LARGE:
    case ERR_NO_FACE:
    case ERR_MANY_FACES:
    case ERR_NO_EMBEDDING:
    case ERR_NOT_FOUND: /* a file that went or cannot be read */
    case ERR_IO:
        return true;
    default:
        return false;
    }
}

static enum err take_face(struct embedding *e, const struct clusters_photo *photo, size_t index,
                          struct one *o, int i)
{
    struct clusters_faces *f = e->out;
    struct face *face = &o->a.faces[i];
    enum err rc = clusters__faces_add(f, face->embedding, e->err);

    if (rc) return rc;
    const size_t at = f->n - 1;
    struct report_face *r = &f->face[at];
    if ((rc = clusters__text(&r->file, f, photo->file, e->err)) ||
        (rc = clusters__text(&r->truth, f, photo->truth, e->err)))
        return rc;
    if (photo->truth && (rc = clusters__number(&f->truth[at], e->truths, photo->truth, e->err)))
        return rc;
    r->photo = (int)index;
    f->photo[at] = (uint32_t)index;
    r->has_box = !e->analyse.precropped;
    memcpy(r->box, face->box, sizeof r->box);
    r->quality = (double)face->quality;
    if (at < CLUSTERS_THUMBNAILS_MAX) { /* it changes hands */
        r->thumbnail = face->thumbnail_jpeg;
        face->thumbnail_jpeg = BUF_INIT(0);
    }
    return ERR_OK;
}

static enum err take_one(struct embedding *e, size_t index, struct one *o)
{
    const struct clusters_photo *photo = &e->photos->photo[index];
    enum err rc = o->rc;

    if (!rc && !o->a.n) rc = err_set(&o->err, ERR_NO_FACE, "no face was found");
    if (rc && is_its_own(rc)) return clusters_photos_skip(e->photos, photo->file, &o->err, e->err);
    if (rc) {
        *e->err = o->err;
        return rc;
    }
    for (int i = 0; !rc && i < o->a.n; i++) rc = take_face(e, photo, index, o, i);
    return rc;
}

static bool take_result(void *self, size_t index, const char *name, void *result)
{
    struct embedding *e = self;

    (void)name;
    e->rc = result ? take_one(e, index, result)
                   : err_set(e->err, ERR_NOMEM, "no memory for a photograph");
    drop_one(result);
    if (e->out->n >= CLUSTERS_THUMBNAILS_MAX) atomic_store(&e->thumbnails, false);
    if (!e->rc && e->progress->tell &&
        !e->progress->tell(e->progress->self, "embedding", index + 1, e->photos->n))
        e->rc = err_set(e->err, ERR_CANCELLED, "cancelled");
    return !e->rc;
}

static enum err about_model(struct clusters_faces *f, struct engine *e, const char *model,
                            struct err_info *err)
{
    struct model_info m;
    enum err rc = engine_describe(&m, e, model, err);

    if (rc || (rc = clusters__faces_init(f, m.dim, false, err)) ||
        (rc = clusters__copy(&f->model, m.name, err)) ||
        (rc = clusters__copy(&f->precision, m.precision, err)) ||
        (rc = clusters__copy(&f->recipe, m.recipe, err)))
        return rc;
    return clusters__copy(&f->calibration, m.calibration, err);
}

enum err clusters_embed(struct clusters_faces *out, struct engine *e, struct clusters_photos *p,
                        const struct clusters_options *o, bool thumbnails,
                        const struct clusters_work *work, struct err_info *err)
{
    const size_t workers = (size_t)cores_threads(work->cores) * WORKERS_PER_CORE;
    struct clusters_faces f = CLUSTERS_FACES_INIT;
    struct embedding run = {.out = &f,
                            .engine = e,
                            .photos = p,
                            .analyse = {.model = o->model,
                                        .select = o->face,
                                        .precropped = o->precropped,
                                        .embedding = true},
                            .progress = &work->progress,
                            .truths = json_object(),
                            .err = err};
    const struct ordered_work w = {next_name, embed_one, take_result,
                                   drop_one,  &run,      (int)(workers < p->n ? workers : p->n)};
    enum err rc = about_model(&f, e, o->model, err);

    atomic_init(&run.thumbnails, thumbnails);
    if (!rc && !run.truths) rc = err_set(err, ERR_NOMEM, "no memory for names");
    if (!rc && p->n) rc = ordered_run(&w, err);
    if (!rc) rc = run.rc;
    if (!rc && !f.n)
        rc = err_set(err, ERR_NO_FACE,
                     "no face was found on any of %zu photographs; %zu files were skipped", p->n,
                     json_array_size(p->skipped));
    json_decref(run.truths);
    f.photos = p->n;
    f.skipped = json_incref(p->skipped);
    if (rc)
        clusters_faces_release(&f);
    else
        *out = f;
    return rc;
}
