#include "engine/cluster/linkage.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

struct placed {
    float distance;
    uint32_t index;
};

static int by_distance(const void *pa, const void *pb)
{
    const struct placed *a = pa, *b = pb;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* A merge is never nearer than what it merges (both linkages are reducible); where rounding says
 * otherwise it is lifted, so that a tree can be drawn. */
enum err cluster__merges_sorted(struct cluster_merge *out, const struct cluster__merges *merges,
                                size_t n, struct err_info *err)
{
    const size_t m = merges->n;
    struct placed *order AUTO_FREE = calloc(m + 1, sizeof *order);
    uint32_t *place AUTO_FREE = calloc(m + 1, sizeof *place);

    if (!order || !place) return err_set(err, ERR_NOMEM, "no memory for %zu merges", m);
    for (size_t i = 0; i < m; i++) {
        const struct cluster_merge *g = merges->at + i;
        const uint32_t child[2] = {g->a, g->b};
        float distance = g->distance;
        for (int k = 0; k < 2; k++) {
            if (child[k] >= n && order[child[k] - n].distance > distance)
                distance = order[child[k] - n].distance;
        }
        order[i] = (struct placed){distance, (uint32_t)i};
    }
    qsort(order, m, sizeof *order, by_distance);
    for (size_t i = 0; i < m; i++) place[order[i].index] = (uint32_t)(n + i);
    for (size_t i = 0; i < m; i++) {
        struct cluster_merge g = merges->at[order[i].index];
        if (g.a >= n) g.a = place[g.a - n];
        if (g.b >= n) g.b = place[g.b - n];
        if (g.a > g.b) {
            const uint32_t swap = g.a;
            g.a = g.b;
            g.b = swap;
        }
        g.distance = order[i].distance;
        out[i] = g;
    }
    return ERR_OK;
}

enum err cluster__merges_labels(int32_t *labels, int *clusters, const struct cluster_merge *sorted,
                                size_t count, size_t n, struct err_info *err)
{
    uint32_t *up AUTO_FREE = calloc(n + count, sizeof *up); /* parent; itself: a root */
    int32_t *name AUTO_FREE = calloc(n + count, sizeof *name);
    int32_t next = 0;

    if (!up || !name) return err_set(err, ERR_NOMEM, "no memory for the labels of %zu rows", n);
    for (size_t i = 0; i < n + count; i++) {
        up[i] = (uint32_t)i;
        name[i] = -1;
    }
    for (size_t i = 0; i < count; i++) up[sorted[i].a] = up[sorted[i].b] = (uint32_t)(n + i);
    /* Parents have greater numbers: from the top down each node's root is known before it. */
    for (size_t i = n + count; i-- > 0;) up[i] = up[up[i]];
    for (size_t i = 0; i < n; i++) {
        if (name[up[i]] < 0) name[up[i]] = next++;
        labels[i] = name[up[i]];
    }
    *clusters = next;
    return ERR_OK;
}
