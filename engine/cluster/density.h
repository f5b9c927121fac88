/* Clusters as dense regions, and as what a graph's nodes whisper to each other. */
#ifndef VISAVIS_ENGINE_CLUSTER_DENSITY_H
#define VISAVIS_ENGINE_CLUSTER_DENSITY_H

#include "engine/cluster/dots.h"

/* Each gives labels[n], 0.. in any order, CLUSTER_OUTLIER for noise. */

size_t cluster__dbscan_bytes(size_t n, int d, const struct cores *cores);
NODISCARD enum err cluster__dbscan(int32_t *labels, const float *x, size_t n, int d, float cut,
                                   int min_points, const struct cluster__job *job,
                                   struct err_info *err);

/* min_points counts the row itself. probability [n]: 0 for noise. */
size_t cluster__hdbscan_bytes(size_t n, int d, int min_points, const struct cores *cores);
NODISCARD enum err cluster__hdbscan(int32_t *labels, float *probability, const float *x, size_t n,
                                    int d, int min_cluster_size, int min_points,
                                    const struct cluster__job *job, struct err_info *err);

/* memory_max as for cluster__graph_new. *took: rounds. */
NODISCARD enum err cluster__whispers(int32_t *labels, int *took, const float *x, size_t n, int d,
                                     float cut, int rounds, uint64_t seed, size_t memory_max,
                                     const struct cluster__job *job, struct err_info *err);

/* --- inside HDBSCAN --- */

struct cluster__link { /* an edge of a spanning tree */
    uint32_t a, b;
    float similarity;
};
/* The n - 1 edges of a maximum spanning tree of the mutual reachability similarity min(a.b, core a,
 * core b), most similar first; core: similarity to the (min_points - 1)-th nearest other row. */
NODISCARD enum err cluster__spanning_tree(struct cluster__link *out,
                                          const struct cluster__panels *p, int min_points,
                                          const struct cluster__job *job, struct err_info *err);
/* Labels and strengths from that tree. */
NODISCARD enum err cluster__excess_of_mass(int32_t *labels, float *probability,
                                           const struct cluster__link *tree, size_t n,
                                           int min_cluster_size, struct err_info *err);

#endif
