/* The names of clusters, when those of their faces have changed. */
#include "server/report/report_internal.h"

#include "engine/base/mem.h"

#include <stdlib.h>

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the names of clusters");
}

static enum err relabel_one(json_t *cluster, const struct report_face *faces, size_t n,
                            struct err_info *err)
{
    const json_t *list = json_object_get(cluster, "members");
    const size_t size = json_array_size(list);
    AUTO_FREE uint32_t *members = calloc(size + 1, sizeof *members);

    if (!members) return no_memory(err);
    for (size_t i = 0; i < size; i++) {
        const json_int_t at = json_integer_value(json_array_get(list, i));
        if (at < 0 || (size_t)at >= n)
            return err_set(err, ERR_INVALID, "a cluster has face %lld, the report has %zu",
                           (long long)at, n);
        members[i] = (uint32_t)at;
    }
    return json_object_set_new(cluster, "label", report__text(report__label(members, size, faces)))
               ? no_memory(err)
               : ERR_OK;
}

enum err report_relabel(json_t *report, struct err_info *err)
{
    const json_t *list = json_object_get(report, "faces");
    const size_t n = json_array_size(list);
    AUTO_FREE struct report_face *faces = calloc(n + 1, sizeof *faces);
    json_t *cluster;
    size_t i;

    if (!faces) return no_memory(err);
    for (i = 0; i < n; i++) {
        const json_t *f = json_array_get(list, i);
        faces[i].name = json_string_value(json_object_get(f, "name"));
        faces[i].truth = json_string_value(json_object_get(f, "truth"));
    }
    json_array_foreach(json_object_get(report, "clusters"), i, cluster)
    {
        enum err rc = relabel_one(cluster, faces, n, err);
        if (rc) return rc;
    }
    return ERR_OK;
}
