/* Agglomerative clustering: a list of merges that both linkages write, and what is read from it. */
#ifndef VISAVIS_ENGINE_CLUSTER_LINKAGE_H
#define VISAVIS_ENGINE_CLUSTER_LINKAGE_H

#include "engine/cluster/constraints.h"

/* Merges as they are made: a and b name a row, or n + index of an earlier merge. */
struct cluster__merges {
    struct cluster_merge *at; /* room for n - 1 */
    size_t n;
};

/* Average linkage that can be continued at a lower cut. Merging while some two clusters have a mean
 * similarity of at least cut. Exact: rows have unit length, so the mean similarity of two clusters
 * is the product of their means. */
struct cluster__average;
size_t cluster__average_bytes(size_t n, int d, const struct cores *cores);
NODISCARD enum err cluster__average_new(struct cluster__average **out, const float *x, size_t n,
                                        int d, const struct cluster__constraints *c,
                                        struct err_info *err);
/* Rows that must be together are merged at first. */
NODISCARD enum err cluster__average_to(struct cluster__average *a, float cut,
                                       const struct cluster__job *job, struct err_info *err);
const struct cluster__merges *cluster__average_merges(const struct cluster__average *a);
void cluster__average_free(struct cluster__average *a);

/* Complete linkage: the same of the least similarity, on the graph of pairs with at least cut. */
NODISCARD enum err cluster__complete(struct cluster__merges *out, const float *x, size_t n, int d,
                                     const struct cluster__constraints *c, float cut,
                                     size_t memory_max, const struct cluster__job *job,
                                     struct err_info *err);

/* out: the merges sorted by distance (a child never after its parent), numbered anew; b.n of them.
 */
NODISCARD enum err cluster__merges_sorted(struct cluster_merge *out,
                                          const struct cluster__merges *merges, size_t n,
                                          struct err_info *err);
/* Labels after the first `count` sorted merges: the root of each row, 0.. by first member. */
NODISCARD enum err cluster__merges_labels(int32_t *labels, int *clusters,
                                          const struct cluster_merge *sorted, size_t count,
                                          size_t n, struct err_info *err);

#endif
