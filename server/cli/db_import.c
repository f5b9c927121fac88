#include "server/cli/db.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/match.h"
#include "server/cli/npy.h"
#include "server/store/audit.h"
#include "server/store/examples.h"
#include "server/store/put_back.h"

enum { PATH_BYTES = 4096, LINE_MAX_BYTES = 256 * 1024, PICTURE_MAX_BYTES = 64 << 20 };
static const double NORM_TOLERANCE = 1e-3;

struct import {
    const char *dir, *name;
    struct store_tx *tx;
    struct npy vectors;
    int64_t collection;
    struct ulid collection_id;
    json_t *rows; /* an identity's id in the file -> its row here */
    int64_t identities, examples, pictures, new_ids;
};

/* One line of a file on its way. */
struct line {
    struct import *in;
    long long n; /* from 1 */
    json_t *o;
};

static enum err unpack_failed(const json_error_t *why, struct err_info *err)
{
    return err_set(err, ERR_INVALID, "not what db export writes: %s", why->text);
}

/* A value as JSON text; malloc'd, NULL of null. */
static char *text_of(const json_t *v)
{
    return json_is_null(v)
               ? NULL
               : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

/* false: neither. */
static bool text_or_null(const char **out, const json_t *v)
{
    *out = json_string_value(v);
    return *out || json_is_null(v);
}

static enum err put_back(struct import *in, enum store_table table, int64_t row,
                         const struct store_was *was, struct err_info *err)
{
    bool kept = true;
    if (!ulid_valid(was->id)) return err_set(err, ERR_INVALID, "\"%.40s\" is no id", was->id);
    enum err rc = store_put_back(&kept, in->tx, table, row, was, err);
    in->new_ids += !kept;
    return rc;
}

/* What a gallery that loads the collection would stumble over. */
static enum err check_loadable(const struct store_collection *c, struct err_info *err)
{
    struct calibration *parsed = NULL;
    struct err_info why = ERR_INFO_INIT;

    if (c->dim < 1 || c->dim > MATCH_DIM_MAX)
        return err_set(err, ERR_INVALID, "dim is %d, the limit is %d", c->dim, MATCH_DIM_MAX);
    enum err rc = c->calibration ? calibration_parse(&parsed, c->calibration, &why) : ERR_OK;
    calibration_free(parsed);
    if (!rc) return ERR_OK;
    return err_set(err, rc == ERR_NOMEM ? rc : ERR_INVALID, "%s", why.message);
}

static enum err add_collection(struct line *l, struct err_info *err)
{
    struct import *in = l->in;
    struct store_collection c = {0};
    struct store_was was = {0};
    const char *format;
    json_t *calibration, *metadata;
    int thumbnails, photos;
    json_int_t created, updated;
    json_error_t why;
    const int64_t new_ids = in->new_ids;

    if (in->collection) return err_set(err, ERR_INVALID, "a second collection");
    if (json_unpack_ex(l->o, &why, JSON_STRICT,
                       "{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:F, s:b, s:b, s:i, s:o, s:o, "
                       "s:I, s:I}",
                       "format", &format, "id", &was.id, "name", &c.name, "model", &c.model,
                       "recipe", &c.recipe, "dim", &c.dim, "rule", &c.rule, "rule_top", &c.rule_top,
                       "min_quality", &c.min_quality, "thumbnails", &thumbnails, "photos", &photos,
                       "ttl_days", &c.ttl_days, "calibration", &calibration, "metadata", &metadata,
                       "created_ms", &created, "updated_ms", &updated))
        return unpack_failed(&why, err);
    if (strcmp(format, EXPORT_FORMAT) != 0)
        return err_set(err, ERR_INVALID, "the format is \"%.60s\", this reads %s", format,
                       EXPORT_FORMAT);
    if ((size_t)c.dim != in->vectors.dim)
        return err_set(err, ERR_INVALID, "dim is %d, embeddings.npy has %zu", c.dim,
                       in->vectors.dim);
    if (in->name) c.name = in->name;
    c.thumbnails = thumbnails;
    c.photos = photos;
    char *calibration_text = text_of(calibration), *metadata_text = text_of(metadata);
    c.calibration = calibration_text;
    c.metadata = metadata_text ? metadata_text : "{}";
    enum err rc = check_loadable(&c, err);
    if (!rc) rc = store_collection_add(&in->collection, &in->collection_id, in->tx, &c, err);
    was.created_ms = created;
    was.updated_ms = updated;
    if (!rc) rc = put_back(in, STORE_COLLECTIONS, in->collection, &was, err);
    if (!rc && in->new_ids == new_ids)
        memcpy(in->collection_id.s, was.id,
               sizeof in->collection_id.s); /* valid: its length fits */
    free(calibration_text);
    free(metadata_text);
    return rc;
}

static enum err add_identity(struct line *l, struct err_info *err)
{
    struct import *in = l->in;
    const char *tags[STORE_TAGS_MAX];
    struct store_identity i = {.collection = in->collection, .tags = tags};
    json_t *metadata, *list, *external_id;
    const char *id;
    struct ulid made;
    int64_t row;
    json_int_t version, created, updated;
    json_error_t why;

    if (json_unpack_ex(l->o, &why, JSON_STRICT, "{s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "id",
                       &id, "name", &i.name, "external_id", &external_id, "metadata", &metadata,
                       "tags", &list, "version", &version, "created_ms", &created, "updated_ms",
                       &updated))
        return unpack_failed(&why, err);
    if (!ulid_valid(id)) return err_set(err, ERR_INVALID, "\"%.40s\" is no id", id);
    if (!text_or_null(&i.external_id, external_id))
        return err_set(err, ERR_INVALID, "external_id is neither a string nor null");
    if (!json_is_array(list) || json_array_size(list) > STORE_TAGS_MAX)
        return err_set(err, ERR_INVALID, "tags is no list of at most %d", STORE_TAGS_MAX);
    for (; i.n_tags < (int)json_array_size(list); i.n_tags++)
        if (!(tags[i.n_tags] = json_string_value(json_array_get(list, (size_t)i.n_tags))))
            return err_set(err, ERR_INVALID, "a tag is not a string");
    char *metadata_text = text_of(metadata);
    i.metadata = metadata_text ? metadata_text : "{}";
    enum err rc = store_identity_add(&row, &made, in->tx, &i, err);
    free(metadata_text);
    if (rc) return rc;
    if (json_object_get(in->rows, id))
        return err_set(err, ERR_INVALID, "the id %.40s comes twice", id);
    in->identities++;
    /* with what is to be put back once the examples, which raise the version, are there */
    json_t *was = json_pack("{s:I, s:I, s:I, s:I}", "row", (json_int_t)row, "version", version,
                            "created_ms", created, "updated_ms", updated);
    if (json_object_set_new(in->rows, id, was))
        return err_set(err, ERR_NOMEM, "no memory for an identity");
    return ERR_OK;
}

static enum err identities_as_they_were(struct import *in, struct err_info *err)
{
    const char *id;
    json_t *o;
    enum err rc = ERR_OK;

    json_object_foreach(in->rows, id, o)
    {
        const struct store_was was = {
            .id = id,
            .version = json_integer_value(json_object_get(o, "version")),
            .created_ms = json_integer_value(json_object_get(o, "created_ms")),
            .updated_ms = json_integer_value(json_object_get(o, "updated_ms")),
        };
        rc = put_back(in, STORE_IDENTITIES, json_integer_value(json_object_get(o, "row")), &was,
                      err);
        if (rc) return rc;
    }
    return rc;
}

static bool read_floats(float *out, size_t n, const json_t *a)
{
    if (!json_is_array(a) || json_array_size(a) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(a, i);
        if (!json_is_number(v)) return false;
        out[i] = (float)json_number_value(v);
    }
    return true;
}

static bool read_hex(uint8_t *out, size_t n, const char *text)
{
    if (!text || strlen(text) != 2 * n || strspn(text, "0123456789abcdef") != 2 * n) return false;
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        sscanf(text + 2 * i, "%2x", &v);
        out[i] = (uint8_t)v;
    }
    return true;
}

static enum err read_picture(struct buf *b, struct import *in, const char *id, const char *kind,
                             struct err_info *err)
{
    char path[PATH_BYTES];

    if ((size_t)snprintf(path, sizeof path, "%s/pictures/%s.%s", in->dir, id, kind) >= sizeof path)
        return err_set(err, ERR_INVALID, "the folder's name is too long");
    in->pictures++;
    return buf_read_file(b, path, err);
}

/* The pictures of *e, where the line says that it has them, go in with it. */
static enum err add_with_pictures(int64_t *row, struct import *in, const struct store_example *e,
                                  struct err_info *err)
{
    struct buf thumbnail = BUF_INIT(PICTURE_MAX_BYTES), photo = BUF_INIT(PICTURE_MAX_BYTES);
    struct ulid made;
    enum err rc = ERR_OK;

    if (e->has_thumbnail) rc = read_picture(&thumbnail, in, e->id, "thumbnail", err);
    if (!rc && e->has_photo) rc = read_picture(&photo, in, e->id, "photo", err);
    if (!rc)
        rc = store_example_add(row, &made, in->tx, e,
                               (struct store_bytes){thumbnail.data, thumbnail.len},
                               (struct store_bytes){photo.data, photo.len}, err);
    buf_release(&thumbnail);
    buf_release(&photo);
    return rc;
}

static enum err check_embedding(const float *v, size_t n, struct err_info *err)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    if (fabs(sqrt(sum) - 1) <= NORM_TOLERANCE) return ERR_OK;
    return err_set(err, ERR_BAD_EMBEDDING, "its embedding has the length %g, not 1", sqrt(sum));
}

static enum err add_example(struct line *l, struct err_info *err)
{
    struct import *in = l->in;
    struct store_example e = {.collection = in->collection, .dim = (int)in->vectors.dim};
    struct store_was was = {0};
    json_t *box, *points, *quality, *source, *identity_value;
    const char *identity = NULL;
    int thumbnail, photo;
    int64_t row;
    json_int_t created;
    json_error_t why;
    enum err rc;

    if (json_unpack_ex(l->o, &why, JSON_STRICT,
                       "{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:I}", "id", &e.id,
                       "identity", &identity_value, "precision", &e.precision, "box", &box,
                       "points", &points, "quality", &quality, "source", &source, "thumbnail",
                       &thumbnail, "photo", &photo, "created_ms", &created))
        return unpack_failed(&why, err);
    if (!text_or_null(&identity, identity_value))
        return err_set(err, ERR_INVALID, "identity is neither a string nor null");
    if ((size_t)in->examples >= in->vectors.n)
        return err_set(err, ERR_INVALID, "embeddings.npy has %zu rows alone", in->vectors.n);
    if (!ulid_valid(e.id)) return err_set(err, ERR_INVALID, "\"%.40s\" is no id", e.id);
    const json_t *owner = identity ? json_object_get(in->rows, identity) : NULL;
    if (identity && !owner)
        return err_set(err, ERR_INVALID, "the identity %.40s is not in identities.jsonl", identity);
    e.identity = json_integer_value(json_object_get(owner, "row"));
    e.has_face = !json_is_null(box);
    if (e.has_face && (!read_floats(e.box, 4, box) || !read_floats(e.points[0], 10, points) ||
                       !json_is_number(quality)))
        return err_set(err, ERR_INVALID, "box, points and quality are not 4, 10 and 1 numbers");
    e.quality = json_number_value(quality);
    e.has_source = !json_is_null(source);
    if (e.has_source && !read_hex(e.source, sizeof e.source, json_string_value(source)))
        return err_set(err, ERR_INVALID, "source is not %d hex digits", 2 * STORE_SHA256_BYTES);
    e.has_thumbnail = thumbnail;
    e.has_photo = photo;
    e.embedding = in->vectors.rows + (size_t)in->examples * in->vectors.dim;
    if ((rc = check_embedding(e.embedding, in->vectors.dim, err)) ||
        (rc = add_with_pictures(&row, in, &e, err)))
        return rc;
    was.id = e.id;
    was.created_ms = created;
    in->examples++;
    return put_back(in, STORE_EXAMPLES, row, &was, err);
}

/* Hands each line of a file to add. */
static enum err each_line(struct import *in, const char *file,
                          enum err (*add)(struct line *l, struct err_info *err),
                          struct err_info *err)
{
    char path[PATH_BYTES];
    struct line l = {.in = in};
    json_error_t why;
    enum err rc = ERR_OK;

    if ((size_t)snprintf(path, sizeof path, "%s/%s", in->dir, file) >= sizeof path)
        return err_set(err, ERR_INVALID, "the folder's name is too long");
    FILE *f = fopen(path, "rb");
    char *text = malloc(LINE_MAX_BYTES);
    if (!f || !text) {
        rc = f ? err_set(err, ERR_NOMEM, "no memory for a line")
               : err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %s: %s", path,
                         strerror(errno));
        goto done;
    }
    while (!rc && fgets(text, LINE_MAX_BYTES, f)) {
        l.n++;
        if (!strchr(text, '\n') && !feof(f))
            rc = err_set(err, ERR_TOO_LARGE, "it has more than the %d bytes allowed",
                         LINE_MAX_BYTES - 2);
        else if (!(l.o = json_loads(text, JSON_REJECT_DUPLICATES, &why)))
            rc = err_set(err, ERR_BAD_JSON, "it is not JSON: %s", why.text);
        else
            rc = add(&l, err);
        json_decref(l.o);
        l.o = NULL;
        if (rc) err_prefix(err, "%s, line %lld", file, l.n);
    }
    if (!rc && ferror(f)) rc = err_set(err, ERR_IO, "cannot read %s", path);
done:
    free(text);
    if (f) fclose(f);
    return rc;
}

static enum err import_all(struct store_tx *tx, void *self, struct err_info *err)
{
    struct import *in = self;
    enum err rc;

    in->tx = tx;
    if ((rc = each_line(in, "collection.json", add_collection, err))) return rc;
    if (!in->collection) return err_set(err, ERR_INVALID, "collection.json is empty");
    if ((rc = each_line(in, "identities.jsonl", add_identity, err)) ||
        (rc = each_line(in, "examples.jsonl", add_example, err)))
        return rc;
    if ((size_t)in->examples != in->vectors.n)
        return err_set(err, ERR_INVALID, "examples.jsonl has %lld lines, embeddings.npy %zu rows",
                       (long long)in->examples, in->vectors.n);
    if ((rc = identities_as_they_were(in, err))) return rc;
    const struct store_audit entry = {.who = AUDIT_LOCAL,
                                      .action = "collection.import",
                                      .collection = in->collection_id.s,
                                      .target = "",
                                      .request = ""};
    return store_audit_add(tx, &entry, err);
}

enum err db_import(json_t **summary, struct store *s, const char *dir, const char *name,
                   struct err_info *err)
{
    struct import in = {.dir = dir, .name = name, .rows = json_object()};
    char path[PATH_BYTES];
    enum err rc;

    if (!in.rows) return err_set(err, ERR_NOMEM, "no memory for an import");
    if ((size_t)snprintf(path, sizeof path, "%s/embeddings.npy", dir) >= sizeof path)
        rc = err_set(err, ERR_INVALID, "the folder's name is too long");
    else
        rc = npy_open(&in.vectors, path, err);
    if (!rc) rc = store_write(s, import_all, &in, err);
    if (!rc)
        *summary =
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "id", in.collection_id.s, "identities",
                      (json_int_t)in.identities, "examples", (json_int_t)in.examples, "pictures",
                      (json_int_t)in.pictures, "new_ids", (json_int_t)in.new_ids);
    npy_close(&in.vectors);
    json_decref(in.rows);
    return rc;
}
