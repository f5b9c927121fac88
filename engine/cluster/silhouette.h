#ifndef VISAVIS_ENGINE_CLUSTER_SILHOUETTE_H
#define VISAVIS_ENGINE_CLUSTER_SILHOUETTE_H

#include "engine/cluster/kmeans.h"

/* What clusters are to every row: means in the points' frame. */
struct cluster__means {
    int clusters, d;
    double *mean;   /* [clusters][d] */
    double *square; /* [clusters] mean squared length of the members */
    size_t *size;   /* [clusters] */
};

/* labels 0..clusters-1 or negative (left out). An empty cluster is the caller's error. */
NODISCARD enum err cluster__means_init(struct cluster__means *m, const struct cluster__points *p,
                                       const int32_t *labels, int clusters, struct err_info *err);
void cluster__means_release(struct cluster__means *m);

/* Mean squared distance of v to the members of cluster c; to the others of it when v is one. */
double cluster__mean_square(const struct cluster__means *m, int c, const double *v, bool member);

/* For each row the cluster, not its own, of least mean squared distance, and that distance: other
 * [n] (-1: there is none), distance [n]. */
NODISCARD enum err cluster__nearest_other(int32_t *other, double *distance,
                                          const struct cluster__points *p,
                                          const struct cluster__means *m, const int32_t *labels,
                                          const struct cluster__job *job, struct err_info *err);

/* Silhouettes with squared distances; of unit rows these are 2 (1 - cosine), and a silhouette does
 * not change with the scale. other, distance: from cluster__nearest_other. */
void cluster__silhouettes(double *out, const struct cluster__points *p,
                          const struct cluster__means *m, const int32_t *labels,
                          const double *distance, double *row);

/* The mean over the rows in clusters; NAN with fewer than two. */
NODISCARD enum err cluster__silhouette_mean(double *out, const struct cluster__points *p,
                                            const int32_t *labels, int clusters,
                                            const struct cluster__job *job, struct err_info *err);

#endif
