/* A report on its way out of the store: what was kept, and what is looked up when it is read. */
#include "server/api/clusters.h"

#include "engine/base/mem.h"
#include "server/api/time_json.h"

#include <stdlib.h>
#include <string.h>

enum { DRAWN_MAX_BYTES = 512 << 20, PICTURE_MAX_BYTES = 1 << 20 };

const char *clusters_owner(const struct request *rq)
{
    return ulid_valid(rq->principal) ? rq->principal : NULL;
}

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a report");
}

/* --- what was kept --- */

struct loading {
    struct clusters_loaded *out;
    struct store_tx *tx;
    const char *id, *key;
    bool thumbnails;
};

/* false: no memory. NULL stays NULL. */
static bool copy(void *out, const void *from, size_t bytes)
{
    void **at = out;
    if (!from) return true;
    if (!(*at = malloc(bytes ? bytes : 1))) return false;
    memcpy(*at, from, bytes);
    return true;
}

static enum err take_report(void *self, const struct store_report *r,
                            const struct store_report_state *s, struct err_info *err)
{
    struct loading *l = self;
    struct clusters_loaded *out = l->out;

    out->row = r->row;
    out->collection = r->collection;
    out->state = s->n;
    out->created_ms = r->created_ms;
    out->expires_ms = r->expires_ms;
    strcpy(out->id, r->id);
    strcpy(out->collection_id, r->collection_id);
    out->n = s->faces;
    out->basis = json_loads(r->basis, 0, NULL);
    if (!out->basis || !copy(&out->document, s->document, strlen(s->document) + 1) ||
        !copy(&out->summary, s->summary, strlen(s->summary) + 1) ||
        !copy(&out->labels, s->labels, s->faces * sizeof *s->labels) ||
        !copy(&out->examples, s->examples, s->faces * sizeof *s->examples) ||
        !copy(&out->layout, s->layout, 2 * s->faces * sizeof *s->layout))
        return no_memory(err);
    return ERR_OK;
}

static enum err take_act(void *self, int64_t n, const char *act, int64_t at_ms, bool can_undo,
                         struct err_info *err)
{
    struct loading *l = self;
    json_t *o = json_loads(act, 0, NULL);
    json_t *more = json_pack("{s:I, s:o, s:b}", "state", (json_int_t)n, "at", time_json(at_ms),
                             "can_undo", can_undo);
    const bool ok = o && more && !json_object_update(o, more);

    json_decref(more);
    if (ok && !json_array_append_new(l->out->acts, o)) return ERR_OK;
    if (!ok) json_decref(o);
    return no_memory(err);
}

static enum err load_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct loading *l = arg;
    AUTO_BUF struct buf text = BUF_INIT(DRAWN_MAX_BYTES);
    bool found = false;
    enum err rc;

    l->tx = tx;
    if (!(l->out->acts = json_array())) return no_memory(err);
    if ((rc = store_report_get(tx, l->id, l->key, take_report, l, err)) ||
        (rc = store_report_acts(tx, l->out->row, take_act, l, err)) || !l->thumbnails ||
        (rc = store_report_thumbnails(&found, &text, tx, l->out->row, err)))
        return rc;
    l->out->thumbnails = found ? (char *)buf_take(&text) : NULL;
    return ERR_OK;
}

enum err clusters_load(struct clusters_loaded *out, struct app *app, const struct request *rq,
                       const char *id, bool thumbnails, struct err_info *err)
{
    struct clusters_loaded loaded = {0};
    struct loading l = {
        .out = &loaded, .id = id, .key = clusters_owner(rq), .thumbnails = thumbnails};
    enum err rc = store_read(app->store, load_job, &l, err);

    if (!rc && loaded.collection) rc = app_in_scope(rq, loaded.collection_id, err);
    if (rc)
        clusters_loaded_release(&loaded);
    else
        *out = loaded;
    return rc;
}

void clusters_loaded_release(struct clusters_loaded *l)
{
    json_decref(l->basis);
    json_decref(l->acts);
    free(l->document);
    free(l->summary);
    free(l->labels);
    free(l->examples);
    free(l->layout);
    free(l->thumbnails);
    *l = (struct clusters_loaded){0};
}

/* --- what is looked up --- */

/* The thumbnails of a collection's examples, one after the other in the faces' order. */
struct pictures {
    const struct clusters_loaded *report;
    json_t *faces;
};

static enum err pictures_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct pictures *p = arg;
    enum err rc = ERR_OK;

    for (size_t i = 0; !rc && i < p->report->n && i < CLUSTERS_THUMBNAILS_MAX; i++) {
        AUTO_BUF struct buf picture = BUF_INIT(PICTURE_MAX_BYTES);
        AUTO_BUF struct buf text = BUF_INIT(2 * PICTURE_MAX_BYTES);
        struct err_info ignored = ERR_INFO_INIT;
        rc = store_example_picture(&picture, tx, p->report->examples[i], STORE_THUMBNAIL, &ignored);
        if (rc == ERR_NOT_FOUND || rc == ERR_TOO_LARGE) { /* this collection keeps none */
            rc = ERR_OK;
            continue;
        }
        if (rc) return err_set(err, rc, "%s", ignored.message);
        rc = buf_add_base64(&text, picture.data, picture.len, err);
        if (!rc && json_object_set_new(json_array_get(p->faces, i), "thumbnail",
                                       json_stringn((const char *)text.data, text.len)))
            rc = no_memory(err);
    }
    return rc;
}

static enum err name_faces(json_t *faces, const struct clusters_faces *f, struct err_info *err)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct report_face *r = &f->face[i];
        json_t *face = json_array_get(faces, i);
        json_t *now = json_pack("{s:s?, s:s?}", "identity", r->identity, "name", r->name);
        const bool ok = now && !json_object_update(face, now);
        json_decref(now);
        if (!ok) return no_memory(err);
    }
    return ERR_OK;
}

/* Of a report of a collection: whose the examples are now, and their pictures. */
static enum err look_up(json_t *report, struct app *app, const struct clusters_loaded *l,
                        bool thumbnails, struct err_info *err)
{
    AUTO_GALLERY struct gallery_collection *c = NULL;
    const struct clusters_choice choice = {.rows = l->examples, .n_rows = l->n};
    struct clusters_faces f = CLUSTERS_FACES_INIT;
    struct pictures p = {l, json_object_get(report, "faces")};
    enum err rc;

    if ((rc = gallery_hold(&c, app->gallery, l->collection_id, err)) ||
        (rc = clusters_gather(&f, app->store, app->engine, c, &choice, true, err)))
        return rc;
    rc = name_faces(p.faces, &f, err);
    if (!rc) rc = report_relabel(report, err);
    if (!rc && thumbnails) rc = store_read(app->store, pictures_job, &p, err);
    clusters_faces_release(&f);
    return rc;
}

static enum err put_thumbnails(json_t *report, const char *text, struct err_info *err)
{
    json_auto_t *list = json_loads(text, 0, NULL);
    json_t *faces = json_object_get(report, "faces"), *one;
    size_t i;

    if (!list) return no_memory(err);
    json_array_foreach(list, i, one)
    {
        if (json_is_string(one) && json_object_set(json_array_get(faces, i), "thumbnail", one))
            return no_memory(err);
    }
    return ERR_OK;
}

enum err clusters_whole(json_t **out, struct app *app, const struct clusters_loaded *l,
                        bool thumbnails, struct err_info *err)
{
    json_auto_t *report = json_loads(l->document, 0, NULL);
    enum err rc = ERR_OK;

    if (!report) return no_memory(err);
    if (l->examples)
        rc = look_up(report, app, l, thumbnails, err);
    else if (thumbnails && l->thumbnails)
        rc = put_thumbnails(report, l->thumbnails, err);
    if (rc) return rc;
    if (json_object_set_new(report, "expires", time_json(l->expires_ms)) ||
        json_object_set_new(report, "state", json_integer(l->state)) ||
        json_object_set(report, "acts", l->acts))
        return no_memory(err);
    *out = json_incref(report);
    return ERR_OK;
}

/* --- the answer --- */

typedef enum err draw(struct buf *out, const json_t *report, struct err_info *err);

static enum err draw_json(struct buf *out, const json_t *report, struct err_info *err)
{
    AUTO_FREE char *text = NULL;
    enum err rc = clusters_text(&text, report, err);
    return rc ? rc : buf_puts(out, text, err);
}

static const struct {
    const char *name, *type;
    draw *draw;
} formats[] = {
    {"json", "application/json", draw_json},
    {"html", "text/html; charset=utf-8", report_html},
    {"svg", "image/svg+xml", report_svg},
    {"png", "image/png", report_png},
};

/* Of an Accept header: the first of the types, in the client's order, that we have. Weights are not
 * weighed: who cares for them says format. -1: none. */
static int accepted(const char *accept)
{
    for (const char *p = accept; *p; p += *p != 0) {
        p += strspn(p, " \t");
        const size_t n = strcspn(p, ",; \t");
        for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
            const size_t m = strcspn(formats[i].type, ";");
            if (n == m && !strncasecmp(p, formats[i].type, m)) return (int)i;
        }
        p += strcspn(p, ",");
    }
    return -1;
}

static enum err choose(size_t *out, bool *thumbnails, const struct request *rq,
                       struct err_info *err)
{
    const char *format = request_query(rq, "format");
    const int wanted = rq->accept ? accepted(rq->accept) : -1;
    size_t i = wanted < 0 ? 0 : (size_t)wanted;
    bool pictures = false;

    enum err rc = request_query_bool(&pictures, rq, "thumbnails", err);
    if (rc) return rc;
    if (format)
        for (i = 0; i < ARRAY_LEN(formats) && strcmp(formats[i].name, format) != 0;) i++;
    if (i == ARRAY_LEN(formats))
        return err_set(err, ERR_INVALID, "format is \"%.40s\"; it takes json, html, svg or png",
                       format);
    *out = i;
    *thumbnails = i > 0 || pictures;
    return ERR_OK;
}

enum err clusters_answer(struct app *app, struct request *rq, struct reply *rp, int status,
                         const char *id, struct err_info *err)
{
    AUTO_BUF struct buf bytes = BUF_INIT(DRAWN_MAX_BYTES);
    struct clusters_loaded l = {0};
    json_auto_t *report = NULL;
    bool thumbnails = false;
    size_t format = 0;
    enum err rc;

    if ((rc = choose(&format, &thumbnails, rq, err)) ||
        (rc = clusters_load(&l, app, rq, id, thumbnails, err)))
        return rc;
    rc = clusters_whole(&report, app, &l, thumbnails, err);
    clusters_loaded_release(&l);
    if (rc || (rc = formats[format].draw(&bytes, report, err))) return rc;
    reply_header(rp, "Vary", "Accept");
    reply_bytes(rp, status, formats[format].type, &bytes);
    return ERR_OK;
}
