#include "server/report/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum err no_report(struct err_info *err, const char *what)
{
    return err_set(err, ERR_INVALID, "this is no clustering report: %s", what);
}

/* false: there is no such number, or it is not below limit. */
static bool index_of(size_t *out, const json_t *v, size_t limit)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    *out = (size_t)json_integer_value(v);
    return *out < limit;
}

/* Nothing else goes into an attribute as it is. */
static bool is_base64(const char *s)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    return !s[strspn(s, digits)];
}

static enum err read_face(struct view *v, size_t i, const json_t *f, struct err_info *err)
{
    const json_t *place = json_object_get(f, v->layout ? "layout" : "pca");
    const json_t *cluster = json_object_get(f, "cluster");
    const json_t *thumbnail = json_object_get(f, "thumbnail");
    const char *file = json_string_value(json_object_get(f, "file"));
    struct view_face *out = v->faces + i;
    size_t c = 0;

    if (!json_is_object(f) || json_array_size(place) != 2) return no_report(err, "a face is bad");
    if (!json_is_null(cluster) && !index_of(&c, cluster, v->clusters))
        return no_report(err, "a face is in no cluster");
    if (!file) file = json_string_value(json_object_get(f, "example"));
    *out = (struct view_face){.x = json_number_value(json_array_get(place, 0)),
                              .y = json_number_value(json_array_get(place, 1)),
                              .cluster = json_is_null(cluster) ? -1 : (int)c,
                              .file = file ? file : "",
                              .thumbnail = json_string_value(thumbnail),
                              .thumbnail_len = json_string_length(thumbnail)};
    if (!(fabs(out->x) < 1e12) || !(fabs(out->y) < 1e12))
        return no_report(err, "a face is nowhere");
    if (out->thumbnail && !is_base64(out->thumbnail))
        return no_report(err, "a thumbnail is not base64");
    v->outliers += out->cluster < 0;
    return ERR_OK;
}

static enum err read_cluster(struct view *v, size_t i, const json_t *c, struct err_info *err)
{
    struct view_cluster *out = v->cluster + i;

    out->label = json_string_value(json_object_get(c, "label"));
    if (!index_of(&out->size, json_object_get(c, "size"), v->n + 1) ||
        !index_of(&out->medoid, json_object_get(c, "medoid"), v->n))
        return no_report(err, "a cluster is bad");
    return ERR_OK;
}

enum err view_init(struct view *out, const json_t *report, struct err_info *err)
{
    const json_t *faces = json_object_get(report, "faces");
    const json_t *clusters = json_object_get(report, "clusters"), *item;
    const json_t *layout = json_object_get(json_object_get(report, "coordinates"), "layout");
    struct view v = {.title = json_string_value(json_object_get(report, "title")),
                     .layout = json_is_object(layout),
                     .n = json_array_size(faces),
                     .clusters = json_array_size(clusters)};
    enum err rc = ERR_OK;
    size_t i;

    if (!json_is_array(faces) || !json_is_array(clusters) || !v.title)
        return no_report(err, "it has no title, faces or clusters");
    v.faces = calloc(v.n + 1, sizeof *v.faces);
    v.cluster = calloc(v.clusters + 1, sizeof *v.cluster);
    if (!v.faces || !v.cluster) rc = err_set(err, ERR_NOMEM, "no memory to draw %zu faces", v.n);
    json_array_foreach(faces, i, item)
    {
        if (!rc) rc = read_face(&v, i, item, err);
    }
    json_array_foreach(clusters, i, item)
    {
        if (!rc) rc = read_cluster(&v, i, item, err);
    }
    if (rc)
        view_release(&v);
    else
        *out = v;
    return rc;
}

void view_release(struct view *v)
{
    free(v->faces);
    free(v->cluster);
    *v = (struct view){0};
}
