/* A quadtree over points in the plane, for forces that fall off with the distance. */
#ifndef VISAVIS_ENGINE_CLUSTER_LAYOUT_TREE_H
#define VISAVIS_ENGINE_CLUSTER_LAYOUT_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct cluster__cell;

struct cluster__tree { /* {0} to begin with */
    const double *y;   /* [n][2], borrowed */
    size_t n, used, room;
    struct cluster__cell *cell;
    uint32_t *next; /* [n] rows of a leaf */
    size_t rows;    /* room of next */
};

size_t cluster__tree_bytes(void); /* a point, about */
NODISCARD enum err cluster__tree_build(struct cluster__tree *t, const double *y, size_t n,
                                       struct err_info *err);
void cluster__tree_release(struct cluster__tree *t);

/* out: sums over the other points j of q^2 (y_i - y_j), both coordinates, and of q = 1 / (1 + |y_i
 * - y_j|^2). A cell whose side is less than theta times its distance counts as its centre; theta 0:
 * exact. */
void cluster__tree_push(double out[3], const struct cluster__tree *t, uint32_t i, double theta);

#endif
