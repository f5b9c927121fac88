/* A clustering as JSON: what is kept, sent and drawn. Keys in a fixed order, numbers rounded to
 * what is meaningful, so that the same clustering gives the same bytes. */
#include "server/report/report_internal.h"

#include <math.h>

#include "server/api/time_json.h"

static const double MILLIONTHS = 1e6;
static const double THOUSANDTHS = 1e3; /* of a pixel, or of a unit of the neighbour layout */

struct parts {
    const struct cluster_result *result;
    const struct cluster_report *report;
    const struct report_face *faces;
    size_t n;
    const struct report_about *about;
};

/* Takes item; false: no memory. */
static bool add(json_t *list, json_t *item)
{
    return list && item && !json_array_append_new(list, item);
}

/* What a loop made, or NULL where it broke off. */
static json_t *whole(json_t *list, bool ok)
{
    if (ok) return list;
    json_decref(list);
    return NULL;
}

static json_t *number(double v)
{
    return report__number(v, MILLIONTHS);
}

/* A false-match rate may be far below a millionth. */
static json_t *rate(double v)
{
    if (!(v > 0)) return json_null();
    return report__number(v, pow(10, 3 - floor(log10(v))));
}

static json_t *index_or_null(int i)
{
    return i < 0 ? json_null() : json_integer(i);
}

static json_t *point(const float *xy, double steps)
{
    return xy ? json_pack("[o, o]", report__number((double)xy[0], steps),
                          report__number((double)xy[1], steps))
              : json_null();
}

static json_t *box(const struct report_face *f)
{
    json_t *list = f->has_box ? json_array() : json_null();
    bool ok = list;

    for (int i = 0; f->has_box && ok && i < 4; i++)
        ok = add(list, report__number((double)f->box[i], THOUSANDTHS));
    return whole(list, ok);
}

static json_t *base64(const struct buf *b)
{
    AUTO_BUF struct buf text = BUF_INIT(b->len / 3 * 4 + 8);

    if (buf_add_base64(&text, b->data, b->len, NULL)) return NULL;
    return json_stringn((const char *)text.data, text.len);
}

static json_t *face(const struct parts *p, size_t i)
{
    const struct report_face *f = p->faces + i;
    const struct cluster_report *r = p->report;
    const int cluster = p->result->labels[i];
    const float *strength = p->result->probability;
    json_t *o = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "example",
        report__text(f->example), "file", report__text(f->file), "photo", index_or_null(f->photo),
        "box", box(f), "quality", number(f->quality), "identity", report__text(f->identity), "name",
        report__text(f->name), "truth", report__text(f->truth), "cluster", index_or_null(cluster),
        "silhouette", cluster < 0 ? json_null() : number((double)r->silhouette[i]), "probability",
        strength ? number((double)strength[i]) : json_null(), "pca",
        point(r->pca + 2 * i, MILLIONTHS), "layout",
        point(r->layout ? r->layout + 2 * i : NULL, THOUSANDTHS));

    if (o && f->thumbnail.len && json_object_set_new(o, "thumbnail", base64(&f->thumbnail))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *faces(const struct parts *p)
{
    json_t *list = json_array();
    bool ok = list;

    for (size_t i = 0; ok && i < p->n; i++) ok = add(list, face(p, i));
    return whole(list, ok);
}

static json_t *cluster(const struct parts *p, int c)
{
    const struct cluster_report *r = p->report;
    const struct cluster_summary *s = r->clusters + c;
    const uint32_t *members = r->members + r->first[c];
    const size_t size = r->first[c + 1] - r->first[c];
    json_t *list = json_array();
    bool ok = list;

    for (size_t i = 0; ok && i < size; i++) ok = add(list, json_integer(members[i]));
    return json_pack("{s:i, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "cluster", c, "label",
                     report__text(report__label(members, size, p->faces)), "size", (json_int_t)size,
                     "medoid", (json_int_t)s->medoid, "cohesion", number(s->cohesion), "least",
                     number(s->least), "separation", number(s->separation), "nearest",
                     index_or_null(s->nearest), "silhouette", number(s->silhouette), "members",
                     whole(list, ok));
}

static json_t *clusters(const struct parts *p)
{
    json_t *list = json_array();
    bool ok = list;

    for (int c = 0; ok && c < p->report->n_clusters; c++) ok = add(list, cluster(p, c));
    return whole(list, ok);
}

static json_t *outliers(const struct cluster_report *r)
{
    json_t *list = json_array();
    bool ok = list;

    for (size_t i = 0; ok && i < r->n_outliers; i++) {
        const struct cluster_outlier *o = r->outliers + i;
        const bool near = o->nearest >= 0;
        ok = add(list, json_pack("{s:I, s:o, s:o, s:o, s:o}", "face", (json_int_t)o->row, "nearest",
                                 index_or_null(o->nearest), "similarity", number(o->similarity),
                                 "nearest_face", near ? json_integer(o->face) : json_null(),
                                 "face_similarity", number(near ? o->face_similarity : NAN)));
    }
    return whole(list, ok);
}

static json_t *pairs(const struct cluster_report *r)
{
    json_t *list = json_array();
    bool ok = list;

    for (size_t i = 0; ok && i < r->n_pairs; i++) {
        const struct cluster_pair *q = r->pairs + i;
        ok = add(list, json_pack("{s:i, s:i, s:o, s:o, s:I, s:I, s:b}", "a", q->a, "b", q->b,
                                 "similarity", number(q->similarity), "greatest",
                                 number(q->greatest), "face_a", (json_int_t)q->face_a, "face_b",
                                 (json_int_t)q->face_b, "apart", q->apart));
    }
    return whole(list, ok);
}

static json_t *bridges(const struct cluster_report *r)
{
    json_t *list = json_array();
    bool ok = list;

    for (size_t i = 0; ok && i < r->n_bridges; i++) {
        const struct cluster_bridge *b = r->bridges + i;
        ok = add(list, json_pack("{s:I, s:i, s:[I, I], s:o}", "face", (json_int_t)b->row, "cluster",
                                 b->cluster, "parts", (json_int_t)b->sizes[0],
                                 (json_int_t)b->sizes[1], "similarity", number(b->similarity)));
    }
    return whole(list, ok);
}

static json_t *dendrogram(const struct cluster_result *r)
{
    json_t *list = r->merges ? json_array() : json_null();
    bool ok = list;

    for (size_t i = 0; r->merges && ok && i < r->n_merges; i++) {
        const struct cluster_merge *m = r->merges + i;
        ok = add(list, json_pack("[I, I, o, I]", (json_int_t)m->a, (json_int_t)m->b,
                                 number((double)m->distance), (json_int_t)m->size));
    }
    return whole(list, ok);
}

static json_t *parameters(const struct cluster_result *r)
{
    json_t *list = json_array();
    bool ok = list;

    for (int i = 0; ok && i < r->n_parameters; i++) {
        const struct cluster_parameter *q = r->parameters + i;
        ok = add(list, json_pack("{s:o, s:o, s:o}", "name", report__text(q->name), "value",
                                 report__text(q->value), "why", report__text(q->why)));
    }
    return whole(list, ok);
}

static json_t *tried(const struct cluster_result *r)
{
    json_t *list = json_array();
    bool ok = list;

    for (int i = 0; ok && i < r->n_tried; i++) {
        const struct cluster_tried *t = r->tried + i;
        ok = add(list, json_pack("{s:i, s:o, s:o}", "k", t->k, "score", number(t->score), "spread",
                                 number(t->spread)));
    }
    return whole(list, ok);
}

static json_t *coordinates(const struct cluster_report *r)
{
    json_t *layout = r->layout ? json_pack("{s:s, s:o, s:i}", "method", "tsne", "perplexity",
                                           number(r->layout_perplexity), "rounds", r->layout_rounds)
                               : json_null();

    return json_pack("{s:{s:[o, o]}, s:o}", "pca", "explained", number(r->explained[0]),
                     number(r->explained[1]), "layout", layout);
}

static json_t *truth(const struct cluster_report *r)
{
    const struct cluster_truth *t = &r->truth;

    if (!r->has_truth) return json_null();
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "faces", (json_int_t)t->rows,
                     "people", (json_int_t)t->people, "purity", number(t->purity),
                     "bcubed_precision", number(t->bcubed_precision), "bcubed_recall",
                     number(t->bcubed_recall), "bcubed_f", number(t->bcubed_f), "ari",
                     number(t->ari), "nmi", number(t->nmi));
}

static json_t *constraints(const struct cluster_result *r)
{
    return json_pack("{s:b, s:I, s:I, s:I}", "ignored", r->constraints.ignored, "apart_pairs",
                     (json_int_t)r->constraints.apart_pairs, "together",
                     (json_int_t)r->constraints.together, "conflicts",
                     (json_int_t)r->constraints.conflicts);
}

static json_t *summary(const struct parts *p)
{
    const struct cluster_report *r = p->report;
    const struct cluster_truth *t = &r->truth;

    return json_pack(
        "{s:I, s:I, s:I, s:i, s:I, s:o, s:o, s:o}", "photos", (json_int_t)p->about->photos, "faces",
        (json_int_t)p->n, "skipped", (json_int_t)json_array_size(p->about->skipped), "clusters",
        r->n_clusters, "outliers", (json_int_t)r->n_outliers, "silhouette",
        number(r->silhouette_mean), "bcubed_f", number(r->has_truth ? t->bcubed_f : NAN), "ari",
        number(r->has_truth ? t->ari : NAN));
}

static json_t *head(const struct parts *p)
{
    const struct report_about *a = p->about;
    json_t *o = json_pack("{s:o, s:o, s:o}", "id", report__text(a->id), "title",
                          report__text(a->title ? a->title : ""), "collection",
                          report__text(a->collection));

    if (o && a->created_ms && json_object_set_new(o, "created", time_json(a->created_ms))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* Takes value. */
static void set(json_t **o, const char *key, json_t *value)
{
    if (*o && !json_object_set_new(*o, key, value)) return;
    if (!*o) json_decref(value); /* json_object_set_new takes it where there is an object */
    json_decref(*o);
    *o = NULL;
}

enum err report_json(json_t **out, const struct cluster_result *result,
                     const struct cluster_report *report, const struct report_face *rows, size_t n,
                     const struct report_about *about, struct err_info *err)
{
    const struct parts p = {result, report, rows, n, about};
    json_t *o = head(&p);

    set(&o, "summary", summary(&p));
    set(&o, "model", report__text(about->model));
    set(&o, "precision", report__text(about->precision));
    set(&o, "recipe", report__text(about->recipe));
    set(&o, "calibration", report__text(about->calibration));
    set(&o, "algorithm", report__text(cluster_algorithm_name(result->algorithm)));
    set(&o, "cut", number((double)result->cut));
    set(&o, "cut_fmr", rate(result->cut_fmr));
    set(&o, "parameters", parameters(result));
    set(&o, "tried", tried(result));
    set(&o, "constraints", constraints(result));
    set(&o, "truth", truth(report));
    set(&o, "clusters", clusters(&p));
    set(&o, "outliers", outliers(report));
    set(&o, "pairs", pairs(report));
    set(&o, "pairs_found", json_integer((json_int_t)report->pairs_found));
    set(&o, "bridges", bridges(report));
    set(&o, "bridges_found", json_integer((json_int_t)report->bridges_found));
    set(&o, "bridges_skipped", json_integer(report->bridges_skipped));
    set(&o, "coordinates", coordinates(report));
    set(&o, "dendrogram", dendrogram(result));
    set(&o, "faces", faces(&p));
    set(&o, "skipped", about->skipped ? json_deep_copy(about->skipped) : json_array());
    if (!o) return err_set(err, ERR_NOMEM, "no memory for a report on %zu faces", n);
    *out = o;
    return ERR_OK;
}

void report_drop_thumbnails(json_t *report)
{
    json_t *f;
    size_t i;

    json_array_foreach(json_object_get(report, "faces"), i, f) json_object_del(f, "thumbnail");
}

json_t *report_summary(const json_t *report)
{
    static const char *const from_head[] = {"id", "title", "algorithm", "cut"};
    json_t *o = json_object();

    for (size_t i = 0; i < sizeof from_head / sizeof *from_head; i++)
        set(&o, from_head[i], json_incref(json_object_get(report, from_head[i])));
    if (o && json_object_update(o, json_object_get(report, "summary"))) {
        json_decref(o);
        return NULL;
    }
    return o;
}
