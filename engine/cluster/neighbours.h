/* Who is near whom: the graph of all pairs at or above a similarity, and each row's nearest. */
#ifndef VISAVIS_ENGINE_CLUSTER_NEIGHBOURS_H
#define VISAVIS_ENGINE_CLUSTER_NEIGHBOURS_H

#include "engine/cluster/dots.h"

struct cluster__edge {
    uint32_t row;
    float similarity;
};

/* Each pair stands in both lists; a list is in rising order of rows; no row is its own neighbour.
 */
struct cluster__graph {
    size_t n, edges; /* edges: entries of all lists */
    struct cluster__edge **list;
    uint32_t *degree;
    struct cluster__edge **blocks; /* what list points into */
    size_t n_blocks;
};

size_t cluster__graph_bytes(size_t n, size_t edges);
/* All pairs of p's rows with at least cut. memory_max: of the graph, bytes, 0: no bound; beyond it
 * ERR_TOO_LARGE says how much it would be. */
NODISCARD enum err cluster__graph_new(struct cluster__graph **out, const struct cluster__panels *p,
                                      float cut, size_t memory_max, const struct cluster__job *job,
                                      struct err_info *err);
void cluster__graph_free(struct cluster__graph *g);

/* The k most similar other rows of each, most similar first; out [n][k]. k < n. */
NODISCARD enum err cluster__nearest(struct cluster__edge *out, const struct cluster__panels *p,
                                    int k, const struct cluster__job *job, struct err_info *err);

#endif
