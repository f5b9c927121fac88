#include "server/api/face_json.h"

#include <math.h>
#include <string.h>

/* Rounded to what is meaningful, so that answers stay short: thousandths of a pixel, millionths of
 * everything else. The dump must limit the digits too (FACE_JSON_DUMP), or 0.1 is printed with 17.
 */
static json_t *rounded(double v, double steps)
{
    const double r = round(v * steps) / steps;
    return json_real(isfinite(r) ? r : 0); /* JSON has no NaN */
}

static json_t *pixels(double v)
{
    return rounded(v, 1e3);
}

static json_t *fraction(double v)
{
    return rounded(v, 1e6);
}

static json_t *point_list(const float (*p)[2], int n)
{
    json_t *list = json_array();

    for (int i = 0; list && i < n; i++) {
        if (json_array_append_new(list, json_pack("[o, o]", pixels(p[i][0]), pixels(p[i][1])))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *base64(const struct buf *b)
{
    AUTO_BUF struct buf text = BUF_INIT(b->len / 3 * 4 + 8);

    if (buf_add_base64(&text, b->data, b->len, NULL)) return NULL;
    return json_stringn(text.data ? (const char *)text.data : "", text.len);
}

static json_t *quality_json(const struct face *f)
{
    json_t *reasons = json_array();
    json_t *q = json_pack("{s:o}", "unified", fraction(f->quality));
    bool ok = reasons && q;

    for (int i = 0; ok && i < f->n_quality; i++)
        ok = !json_object_set_new(q, f->quality_name[i], fraction(f->quality_value[i]));
    for (int i = 0; ok && i < f->n_reasons; i++)
        ok = !json_array_append_new(
            reasons, json_pack("{s:s, s:s}", "code", f->reason_code[i], "message", f->reason[i]));
    if (ok && !json_object_set_new(q, "reasons", reasons)) return q;
    if (!ok) json_decref(reasons);
    json_decref(q);
    return NULL;
}

static json_t *mask_json(const struct face *f)
{
    json_t *m = json_pack("{s:s, s:o}", "source", f->mask_source ? f->mask_source : "mean_outline",
                          "polygon", point_list((const float(*)[2])f->polygon, f->n_polygon));

    if (!m || !f->mask_png.len) return m;
    if (json_object_set_new(m, "box",
                            json_pack("[i, i, i, i]", f->mask_box[0], f->mask_box[1],
                                      f->mask_box[2], f->mask_box[3])) ||
        json_object_set_new(m, "png", base64(&f->mask_png))) {
        json_decref(m);
        return NULL;
    }
    return m;
}

static json_t *embedding_json(const struct face *f)
{
    json_t *list = json_array();

    for (int i = 0; list && i < f->dim; i++) {
        if (json_array_append_new(list,
                                  json_real(isfinite(f->embedding[i]) ? f->embedding[i] : 0))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *classes_json(const struct face *f)
{
    json_t *list = json_array();

    for (int i = 0; list && i < f->n_classes; i++) {
        const struct face_class *c = &f->classes[i];
        if (json_array_append_new(list,
                                  json_pack("{s:i, s:s?, s:f}", "index", c->index, "name", c->name,
                                            "probability", (double)c->probability))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *face_json(const struct face *f, int width, int height)
{
    const double w = width > 0 ? width : 1, h = height > 0 ? height : 1;
    json_t *o = json_pack(
        "{s:[o, o, o, o], s:[o, o, o, o], s:o, s:o, s:s, s:o, s:{s:o, s:o, s:o}}", "box",
        pixels(f->box[0]), pixels(f->box[1]), pixels(f->box[2]), pixels(f->box[3]),
        "box_normalized", fraction(f->box[0] / w), fraction(f->box[1] / h), fraction(f->box[2] / w),
        fraction(f->box[3] / h), "points", point_list(f->points, 5), "score", fraction(f->score),
        "pass", f->pass ? f->pass : "default", "quality", quality_json(f), "pose", "yaw",
        rounded(f->yaw, 10), "pitch", rounded(f->pitch, 10), "roll", rounded(f->roll, 10));

    if (!o) return NULL;
    if ((f->n_landmarks &&
         json_object_set_new(o, "landmarks68",
                             point_list((const float(*)[2])f->landmarks, f->n_landmarks))) ||
        (f->n_polygon && json_object_set_new(o, "mask", mask_json(f))) ||
        (f->chip_png.len && json_object_set_new(o, "chip", base64(&f->chip_png))) ||
        (f->embedding && json_object_set_new(o, "embedding", embedding_json(f))) ||
        (f->n_classes && json_object_set_new(o, "classes", classes_json(f)))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *timings_json(const struct timings *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "decode", rounded(t->decode, 1e2), "detect",
                     rounded(t->detect, 1e2), "align", rounded(t->align, 1e2), "embed",
                     rounded(t->embed, 1e2), "total", rounded(t->total, 1e2));
}

json_t *analysis_json(const struct analysis *a)
{
    json_t *faces = json_array();

    for (int i = 0; faces && i < a->n; i++) {
        if (json_array_append_new(faces, face_json(&a->faces[i], a->width, a->height))) {
            json_decref(faces);
            faces = NULL;
        }
    }
    return json_pack("{s:i, s:i, s:o, s:o}", "width", a->width, "height", a->height, "faces", faces,
                     "took_ms", timings_json(&a->took));
}

json_t *error_json(const struct err_info *err)
{
    json_t *o = json_pack("{s:s, s:s}", "code", err_name(err->code), "message", err->message);

    /* a message that quotes a file name may not be UTF-8 */
    return o ? o
             : json_pack("{s:s, s:s}", "code", err_name(err->code), "message",
                         "the message is not valid UTF-8");
}

/* The calibration in a few words; the whole table is in the model file. */
static json_t *calibration_json(const char *text)
{
    json_t *c = text ? json_loads(text, 0, NULL) : NULL;

    if (!c) return json_null();
    json_object_del(c, "impostor");
    json_object_del(c, "genuine");
    json_object_del(c, "probability");
    const double pairs = json_number_value(json_object_get(c, "impostor_pairs"));
    if (pairs > 0) json_object_set_new(c, "min_fmr", json_real(10 / pairs));
    return c;
}

json_t *model_json(const struct model_info *m)
{
    json_t *o = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:b, s:b}", "name", m->name, "role",
                          m->role, "license", m->license, "source_file", m->source_file,
                          "source_sha256", m->source_sha256, "sha256", m->sha256, "loaded",
                          m->loaded, "restricted", m->restricted);

    if (o && m->note) json_object_set_new(o, "note", json_string(m->note));
    if (!o || m->dim <= 0) return o;
    json_object_set_new(o, "dimension", json_integer(m->dim));
    if (m->average) json_object_set_new(o, "average", json_string(m->average));
    if (m->precision) json_object_set_new(o, "precision", json_string(m->precision));
    if (m->recipe) json_object_set_new(o, "recipe", json_string(m->recipe));
    if (m->backend) json_object_set_new(o, "backend", json_string(m->backend));
    json_object_set_new(o, "calibration", calibration_json(m->calibration));
    return o;
}
