#include "server/api/gallery_json.h"

#include "engine/base/hex.h"
#include "server/api/time_json.h"

#include <math.h>
#include <string.h>

json_t *similarity_json(double v)
{
    return json_real(round(v * 1e7) / 1e7);
}

/* JSON that the store keeps as text. */
static json_t *kept(const char *text)
{
    json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);
    return o ? o : json_object();
}

static json_t *calibration_source(const char *text)
{
    json_auto_t *c = text ? json_loads(text, 0, NULL) : NULL;
    const char *source = json_string_value(json_object_get(c, "source"));
    return source ? json_string(source) : json_null();
}

json_t *collection_json(const struct store_collection *c,
                        const struct store_collection_counts *counts)
{
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:f, s:b, s:b, s:i, s:o, s:o, s:o, s:o}", "id", c->id,
        "name", c->name, "model", c->model, "recipe", c->recipe, "dimension", c->dim, "rule",
        c->rule, "rule_top", c->rule_top, "min_quality", c->min_quality, "keep_thumbnails",
        c->thumbnails, "keep_photos", c->photos, "ttl_days", c->ttl_days, "calibration",
        calibration_source(c->calibration), "metadata", kept(c->metadata), "created",
        time_json(c->created_ms), "updated", time_json(c->updated_ms));
    if (!o || !counts) return o;
    json_t *n = json_pack("{s:I, s:I, s:I, s:I, s:I}", "identities", (json_int_t)counts->identities,
                          "examples", (json_int_t)counts->examples, "unassigned",
                          (json_int_t)counts->unassigned, "thumbnails",
                          (json_int_t)counts->thumbnails, "photos", (json_int_t)counts->photos);
    if (!json_object_set_new(o, "counts", n)) return o;
    json_decref(o);
    return NULL;
}

json_t *identity_json(const struct store_identity *i)
{
    json_t *tags = json_array();
    for (int k = 0; tags && k < i->n_tags; k++)
        json_array_append_new(tags, json_string(i->tags[k]));
    return json_pack("{s:s, s:s, s:s?, s:o, s:o, s:I, s:I, s:o, s:o}", "id", i->id, "name", i->name,
                     "external_id", i->external_id, "metadata", kept(i->metadata), "tags", tags,
                     "examples", (json_int_t)i->examples, "version", (json_int_t)i->version,
                     "created", time_json(i->created_ms), "updated", time_json(i->updated_ms));
}

json_t *identity_short_json(const struct store_identity *i)
{
    return json_pack("{s:s, s:s, s:s?}", "id", i->id, "name", i->name, "external_id",
                     i->external_id);
}

static json_t *rounded(double v)
{
    return json_real(isfinite(v) ? round(v * 1e3) / 1e3 : 0);
}

static json_t *numbers(const float *v, int n)
{
    json_t *list = json_array();
    for (int i = 0; list && i < n; i++) json_array_append_new(list, rounded(v[i]));
    return list;
}

static json_t *five_points(const float (*p)[2])
{
    json_t *list = json_array();
    for (int i = 0; list && i < 5; i++) json_array_append_new(list, numbers(p[i], 2));
    return list;
}

json_t *example_json(const struct store_example *e)
{
    char sha[2 * STORE_SHA256_BYTES + 1];
    hex_text(sha, e->source, STORE_SHA256_BYTES);
    return json_pack(
        "{s:s, s:s?, s:o, s:o, s:o, s:s, s:s?, s:b, s:b, s:o}", "id", e->id, "identity",
        e->identity_id, "box", e->has_face ? numbers(e->box, 4) : json_null(), "points",
        e->has_face ? five_points((const float(*)[2])e->points) : json_null(), "quality",
        e->has_face ? rounded(e->quality) : json_null(), "precision", e->precision, "source_sha256",
        e->has_source ? sha : NULL, "has_thumbnail", e->has_thumbnail, "has_photo", e->has_photo,
        "created", time_json(e->created_ms));
}

json_t *receipt_json(const struct store_receipt *r)
{
    return json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "erased", "collections",
                     (json_int_t)r->collections, "identities", (json_int_t)r->identities,
                     "examples", (json_int_t)r->examples, "thumbnails", (json_int_t)r->thumbnails,
                     "photos", (json_int_t)r->photos, "undo_records", (json_int_t)r->undo_records,
                     "answers", (json_int_t)r->answers, "reports", (json_int_t)r->reports,
                     "uploads", (json_int_t)r->uploads);
}
