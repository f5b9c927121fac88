#include "server/cli/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "server/api/access_json.h"
#include "server/cli/npy.h"
#include "server/store/examples.h"

enum { PATH_BYTES = 4096, PAGE = 1000, PICTURE_MAX_BYTES = 64 << 20 };
static const size_t DUMP = JSON_COMPACT | JSON_REAL_PRECISION(17); /* brings every double back */

struct export
{
    const char *name; /* of the collection, as it was asked for */
    char part[PATH_BYTES - 64];
    bool pictures;
    int64_t collection;
    int dim;
    struct store_tx *tx;
    FILE *lines, *vectors;
    int64_t after; /* the last row of the page */
    int on_page;
    int64_t identities, examples, n_pictures;
};

static enum err fail(struct err_info *err, const char *what, const char *path)
{
    const enum err code = errno == EEXIST ? ERR_CONFLICT : err_of_write(errno);
    return err_set(err, code, "cannot %s %.300s: %s", what, path, strerror(errno));
}

static enum err create(FILE **out, const struct export *x, const char *name, struct err_info *err)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", x->part, name);
    FILE *f = fopen(path, "wbx");
    if (!f) return fail(err, "make", path);
    *out = f;
    return ERR_OK;
}

/* On the disk, or an error. */
static enum err finish(FILE *f, const char *name, struct err_info *err)
{
    const bool ok = !ferror(f) && !fflush(f) && !fsync(fileno(f));
    enum err rc = ok ? ERR_OK : fail(err, "write", name);
    if (fclose(f) && !rc) rc = fail(err, "write", name);
    return rc;
}

/* One line; takes the reference. */
static enum err line(FILE *f, json_t *o, struct err_info *err)
{
    const bool no_memory = !o;
    const bool failed = no_memory || json_dumpf(o, f, DUMP) || putc('\n', f) == EOF;
    json_decref(o);
    if (no_memory) return err_set(err, ERR_NOMEM, "no memory for an exported line");
    return failed ? fail(err, "write", "the export") : ERR_OK;
}

/* A JSON text as the value that it is; NULL is null. */
static json_t *value(const char *text)
{
    return text ? json_loads(text, JSON_DECODE_ANY, NULL) : json_null();
}

static enum err collection_line(void *self, const struct store_collection *c, struct err_info *err)
{
    struct export *x = self;

    FILE *f = NULL;
    enum err rc = create(&f, x, "collection.json", err);

    x->collection = c->row;
    x->dim = c->dim;
    if (rc) return rc;
    rc =
        line(f,
             json_pack(
                 "{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:f, s:b, s:b, s:i, s:o, s:o, s:I, "
                 "s:I}",
                 "format", EXPORT_FORMAT, "id", c->id, "name", c->name, "model", c->model, "recipe",
                 c->recipe, "dim", c->dim, "rule", c->rule, "rule_top", c->rule_top, "min_quality",
                 c->min_quality, "thumbnails", c->thumbnails, "photos", c->photos, "ttl_days",
                 c->ttl_days, "calibration", value(c->calibration), "metadata", value(c->metadata),
                 "created_ms", (json_int_t)c->created_ms, "updated_ms", (json_int_t)c->updated_ms),
             err);
    enum err late = finish(f, "collection.json", rc ? NULL : err);
    return rc ? rc : late;
}

/* Appends, or makes the whole list NULL: json_pack then fails. Takes v. */
static void append(json_t **list, json_t *v)
{
    if (!json_array_append_new(*list, v)) return;
    json_decref(*list);
    *list = NULL;
}

static enum err identity_line(void *self, const struct store_identity *i, struct err_info *err)
{
    struct export *x = self;
    json_t *tags = json_array();

    for (int t = 0; t < i->n_tags; t++) append(&tags, json_string(i->tags[t]));
    x->after = i->row;
    x->on_page++;
    x->identities++;
    return line(x->lines,
                json_pack("{s:s, s:s, s:s?, s:o, s:o, s:I, s:I, s:I}", "id", i->id, "name", i->name,
                          "external_id", i->external_id, "metadata", value(i->metadata), "tags",
                          tags, "version", (json_int_t)i->version, "created_ms",
                          (json_int_t)i->created_ms, "updated_ms", (json_int_t)i->updated_ms),
                err);
}

static json_t *floats(const float *f, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) append(&a, json_real((double)f[i]));
    return a;
}

static enum err picture(struct export *x, const struct store_example *e, enum store_picture which,
                        struct err_info *err)
{
    struct buf b = BUF_INIT(PICTURE_MAX_BYTES);
    FILE *f = NULL;
    char name[80];

    snprintf(name, sizeof name, "pictures/%s.%s", e->id,
             which == STORE_PHOTO ? "photo" : "thumbnail");
    enum err rc = store_example_picture(&b, x->tx, e->row, which, err);
    if (!rc) rc = create(&f, x, name, err);
    if (f) {
        fwrite(b.data, 1, b.len, f);
        rc = finish(f, name, err);
        x->n_pictures++;
    }
    buf_release(&b);
    return rc;
}

static enum err example_line(void *self, const struct store_example *e, struct err_info *err)
{
    struct export *x = self;
    const bool thumbnail = x->pictures && e->has_thumbnail, photo = x->pictures && e->has_photo;
    json_t *box = e->has_face ? floats(e->box, 4) : json_null();
    json_t *points = e->has_face ? floats(e->points[0], 10) : json_null();
    json_t *quality = e->has_face ? json_real(e->quality) : json_null();
    json_t *source = e->has_source ? hex_json(e->source, sizeof e->source) : json_null();

    x->after = e->row;
    x->on_page++;
    x->examples++;
    enum err rc =
        line(x->lines,
             json_pack("{s:s, s:s?, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:I}", "id", e->id,
                       "identity", e->identity_id, "precision", e->precision, "box", box, "points",
                       points, "quality", quality, "source", source, "thumbnail", thumbnail,
                       "photo", photo, "created_ms", (json_int_t)e->created_ms),
             err);
    if (!rc && fwrite(e->embedding, sizeof(float), (size_t)x->dim, x->vectors) != (size_t)x->dim)
        rc = fail(err, "write", "embeddings.npy");
    if (!rc && thumbnail) rc = picture(x, e, STORE_THUMBNAIL, err);
    if (!rc && photo) rc = picture(x, e, STORE_PHOTO, err);
    return rc;
}

static enum err identities(struct export *x, struct err_info *err)
{
    struct store_identity_query q = {.collection = x->collection, .limit = PAGE};
    enum err rc = create(&x->lines, x, "identities.jsonl", err);

    if (rc) return rc;
    do {
        x->on_page = 0;
        rc = store_identity_list(x->tx, &q, identity_line, x, err);
        q.after = x->after;
    } while (!rc && x->on_page == PAGE);
    enum err late = finish(x->lines, "identities.jsonl", rc ? NULL : err);
    return rc ? rc : late;
}

static enum err examples(struct export *x, struct err_info *err)
{
    struct store_collection_counts counts;
    char header[NPY_HEADER_BYTES];
    enum err rc = store_collection_counts(&counts, x->tx, x->collection, err);

    if (rc) return rc;
    if ((rc = create(&x->lines, x, "examples.jsonl", err))) return rc;
    if ((rc = create(&x->vectors, x, "embeddings.npy", err))) {
        fclose(x->lines);
        return rc;
    }
    npy_header(header, (size_t)counts.examples, (size_t)x->dim);
    if (fwrite(header, 1, sizeof header, x->vectors) != sizeof header)
        rc = fail(err, "write", "embeddings.npy");
    x->after = 0;
    do {
        x->on_page = 0;
        if (!rc)
            rc = store_example_list(x->tx, x->collection, STORE_ANY, x->after, PAGE, example_line,
                                    x, err);
    } while (!rc && x->on_page == PAGE);
    enum err late = finish(x->lines, "examples.jsonl", rc ? NULL : err);
    if (!rc) rc = late;
    late = finish(x->vectors, "embeddings.npy", rc ? NULL : err);
    return rc ? rc : late;
}

static enum err export_all(struct store_tx *tx, void *self, struct err_info *err)
{
    struct export *x = self;
    enum err rc;

    x->tx = tx;
    if ((rc = store_collection_get(tx, x->name, collection_line, x, err)) ||
        (rc = identities(x, err)))
        return rc;
    return examples(x, err);
}

enum err db_export(json_t **summary, struct store *s, const char *collection, const char *dir,
                   bool pictures, struct err_info *err)
{
    struct export x = {.name = collection, .pictures = pictures};
    char path[PATH_BYTES];
    enum err rc;

    if ((size_t)snprintf(x.part, sizeof x.part, "%s.part", dir) >= sizeof x.part)
        return err_set(err, ERR_INVALID, "the folder's name is too long");
    if (!access(dir, F_OK)) return err_set(err, ERR_CONFLICT, "%s exists already", dir);
    snprintf(path, sizeof path, "%s/pictures", x.part);
    if (mkdir(x.part, 0700) || (pictures && mkdir(path, 0700))) return fail(err, "make", x.part);
    rc = store_read(s, export_all, &x, err);
    if (rc == ERR_NOT_FOUND && !x.collection) { /* nothing is in it yet */
        rmdir(path);
        rmdir(x.part);
    }
    if (!rc && rename(x.part, dir)) rc = fail(err, "name", dir);
    if (rc) return rc;
    *summary = json_pack("{s:s, s:s, s:I, s:I, s:I}", "collection", collection, "dir", dir,
                         "identities", (json_int_t)x.identities, "examples", (json_int_t)x.examples,
                         "pictures", (json_int_t)x.n_pictures);
    return ERR_OK;
}
