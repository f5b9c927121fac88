#include "engine/base/mem.h"
#include "server/clusters/clusters.h"

#include <stdlib.h>

int clusters_count(const int32_t *labels, size_t n)
{
    int32_t most = -1;
    for (size_t i = 0; i < n; i++) most = labels[i] > most ? labels[i] : most;
    return most + 1;
}

static enum err check_cluster(int cluster, int clusters, struct err_info *err)
{
    if (cluster >= 0 && cluster < clusters) return ERR_OK;
    if (!clusters) return err_set(err, ERR_INVALID, "cluster %d: the report has none", cluster);
    return err_set(err, ERR_INVALID, "cluster %d: the report's are 0 to %d", cluster, clusters - 1);
}

static enum err check_faces(const size_t *faces, size_t n_faces, size_t n, struct err_info *err)
{
    if (!n_faces) return err_set(err, ERR_INVALID, "faces is empty");
    for (size_t i = 0; i < n_faces; i++)
        if (faces[i] >= n)
            return err_set(err, ERR_INVALID, "face %zu: the report's are 0 to %zu", faces[i],
                           n - 1);
    return ERR_OK;
}

/* Numbers the clusters again where one has no face any more, in their order. */
static enum err close_gaps(int32_t *labels, size_t n, struct err_info *err)
{
    const size_t clusters = (size_t)clusters_count(labels, n);
    AUTO_FREE int32_t *name = calloc(clusters + 1, sizeof *name);

    if (!name) return err_set(err, ERR_NOMEM, "no memory for %zu clusters", clusters);
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= 0) name[labels[i]] = 1;
    int32_t next = 0;
    for (size_t c = 0; c < clusters; c++) name[c] = name[c] ? next++ : CLUSTER_OUTLIER;
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= 0) labels[i] = name[labels[i]];
    return ERR_OK;
}

enum err clusters_split(int32_t *labels, size_t n, int cluster, const size_t *faces, size_t n_faces,
                        struct err_info *err)
{
    const int clusters = clusters_count(labels, n);
    size_t size = 0, left = 0;
    enum err rc;

    if ((rc = check_cluster(cluster, clusters, err)) || (rc = check_faces(faces, n_faces, n, err)))
        return rc;
    for (size_t i = 0; i < n_faces; i++)
        if (labels[faces[i]] != cluster)
            return err_set(err, ERR_INVALID, "face %zu is not in cluster %d", faces[i], cluster);
    for (size_t i = 0; i < n; i++) size += labels[i] == cluster;
    for (size_t i = 0; i < n_faces; i++) labels[faces[i]] = clusters;
    for (size_t i = 0; i < n; i++) left += labels[i] == cluster;
    if (left) return ERR_OK;
    for (size_t i = 0; i < n_faces; i++) labels[faces[i]] = cluster;
    return err_set(err, ERR_INVALID, "all %zu faces of cluster %d are to be split off: none stays",
                   size, cluster);
}

enum err clusters_merge(int32_t *labels, size_t n, const int *clusters, size_t n_clusters,
                        struct err_info *err)
{
    const int count = clusters_count(labels, n);
    int least = count;
    enum err rc;

    for (size_t i = 0; i < n_clusters; i++) {
        if ((rc = check_cluster(clusters[i], count, err))) return rc;
        for (size_t k = 0; k < i; k++)
            if (clusters[k] == clusters[i])
                return err_set(err, ERR_INVALID, "cluster %d is named twice", clusters[i]);
        least = clusters[i] < least ? clusters[i] : least;
    }
    if (n_clusters < 2)
        return err_set(err, ERR_INVALID, "%zu clusters are named, merging takes two or more",
                       n_clusters);
    for (size_t f = 0; f < n; f++)
        for (size_t i = 0; i < n_clusters; i++)
            if (labels[f] == clusters[i]) labels[f] = least;
    return close_gaps(labels, n, err);
}

enum err clusters_outlier(int32_t *labels, size_t n, const size_t *faces, size_t n_faces,
                          struct err_info *err)
{
    enum err rc = check_faces(faces, n_faces, n, err);

    for (size_t i = 0; !rc && i < n_faces; i++)
        if (labels[faces[i]] < 0)
            rc = err_set(err, ERR_INVALID, "face %zu is in no cluster already", faces[i]);
    if (rc) return rc;
    for (size_t i = 0; i < n_faces; i++) labels[faces[i]] = CLUSTER_OUTLIER;
    return close_gaps(labels, n, err);
}
