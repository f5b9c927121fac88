/* HDBSCAN (Campello, Moulavi & Sander 2013): from the spanning tree to clusters. The tree's edges,
 * from the most similar on, make a dendrogram; read from its root down, a split whose sides both
 * have min_cluster_size rows makes two clusters, else rows fall out of the one. A cluster's
 * stability is the sum over its rows of the density (1 / distance) at which they leave less the
 * density at which it began; clusters are chosen so that the sum of stabilities is greatest (their
 * section 5.4). The root is never chosen. */
#include "engine/cluster/density.h"

#include <stdlib.h>

#include "engine/base/mem.h"

/* Distances below the rounding of a product of floats are taken as that: else equal faces would
 * have infinite density. */
static const double DISTANCE_MIN = 1e-6;

struct split { /* node n + i of the dendrogram */
    uint32_t side[2], size;
    int32_t cluster; /* that it is in, at its top */
    bool fallen;     /* out of it: rows below left with the density `density` */
    double density;
};

struct region { /* a cluster of the condensed tree */
    int32_t parent;
    double birth, death; /* densities; death: of the last that leaves */
    double stability, below;
    bool chosen;
};

struct condensed {
    size_t n;
    int least;
    struct split *split;   /* [n - 1] */
    struct region *region; /* [regions] */
    int32_t regions;
    int32_t *cluster; /* [n] that the row fell out of */
    double *density;  /* [n] at which */
};

static double density_of(float similarity)
{
    const double distance = 1 - (double)similarity;
    return 1 / (distance > DISTANCE_MIN ? distance : DISTANCE_MIN);
}

/* Node of each component while edges are added; find with halving. */
static uint32_t root_of(uint32_t *up, uint32_t i)
{
    while (up[i] != i) i = up[i] = up[up[i]];
    return i;
}

static uint32_t size_of(const struct condensed *c, uint32_t node)
{
    return node < c->n ? 1 : c->split[node - c->n].size;
}

static enum err dendrogram(struct condensed *c, const struct cluster__link *tree,
                           struct err_info *err)
{
    uint32_t *up AUTO_FREE = calloc(2 * c->n, sizeof *up);

    if (!up) return err_set(err, ERR_NOMEM, "no memory for the tree of %zu rows", c->n);
    for (size_t i = 0; i < 2 * c->n; i++) up[i] = (uint32_t)i;
    for (size_t i = 0; i + 1 < c->n; i++) {
        struct split *s = c->split + i;
        s->side[0] = root_of(up, tree[i].a);
        s->side[1] = root_of(up, tree[i].b);
        s->size = size_of(c, s->side[0]) + size_of(c, s->side[1]);
        s->density = density_of(tree[i].similarity);
        up[s->side[0]] = up[s->side[1]] = (uint32_t)(c->n + i);
    }
    return ERR_OK;
}

static void leave(struct condensed *c, uint32_t node, int32_t cluster, double density)
{
    if (node < c->n) {
        c->cluster[node] = cluster;
        c->density[node] = density;
        return;
    }
    struct split *s = c->split + (node - c->n);
    s->cluster = cluster;
    s->fallen = true;
    s->density = density;
}

static void stay(struct condensed *c, uint32_t node, int32_t cluster)
{
    c->split[node - c->n].cluster = cluster;
}

static int32_t begin(struct condensed *c, int32_t parent, double density)
{
    c->region[c->regions] = (struct region){parent, density, density, 0, 0, false};
    return c->regions++;
}

/* Parents have greater numbers than what is below them. */
static void condense(struct condensed *c)
{
    const uint32_t least = (uint32_t)c->least;

    stay(c, (uint32_t)(2 * c->n - 2), begin(c, -1, 0));
    for (size_t i = c->n - 1; i-- > 0;) {
        const struct split s = c->split[i];
        bool big[2];
        if (s.fallen) {
            leave(c, s.side[0], s.cluster, s.density);
            leave(c, s.side[1], s.cluster, s.density);
            continue;
        }
        struct region *r = c->region + s.cluster;
        for (int k = 0; k < 2; k++) big[k] = size_of(c, s.side[k]) >= least;
        const bool two = big[0] && big[1];
        for (int k = 0; k < 2; k++) {
            if (big[k] && !two) {
                stay(c, s.side[k], s.cluster);
                continue;
            }
            r->stability += (s.density - r->birth) * size_of(c, s.side[k]);
            if (s.density > r->death) r->death = s.density;
            if (two)
                stay(c, s.side[k], begin(c, s.cluster, s.density));
            else
                leave(c, s.side[k], s.cluster, s.density);
        }
    }
}

/* From the leaves up: children have greater numbers than their parent. A chosen cluster inside a
 * chosen one is passed over when rows are labelled. */
static void choose(struct condensed *c)
{
    for (int32_t i = c->regions - 1; i > 0; i--) {
        struct region *r = c->region + i;
        r->chosen = !(r->below > r->stability);
        c->region[r->parent].below += r->chosen ? r->stability : r->below;
    }
}

static enum err label(const struct condensed *c, int32_t *labels, float *probability,
                      struct err_info *err)
{
    int32_t *top AUTO_FREE = calloc((size_t)c->regions, sizeof *top); /* chosen one it is in */
    int32_t *name AUTO_FREE = calloc((size_t)c->regions, sizeof *name);
    int32_t next = 0;

    if (!top || !name) return err_set(err, ERR_NOMEM, "no memory for %d clusters", c->regions);
    top[0] = CLUSTER_OUTLIER;
    for (int32_t i = 1; i < c->regions; i++) {
        top[i] = top[c->region[i].parent];
        if (top[i] != CLUSTER_OUTLIER || !c->region[i].chosen) continue;
        top[i] = i;
        name[i] = next++;
    }
    for (size_t i = 0; i < c->n; i++) {
        const int32_t t = top[c->cluster[i]];
        labels[i] = t == CLUSTER_OUTLIER ? CLUSTER_OUTLIER : name[t];
        const double death = t == CLUSTER_OUTLIER ? 0 : c->region[t].death;
        probability[i] = t == CLUSTER_OUTLIER    ? 0
                         : c->density[i] < death ? (float)(c->density[i] / death)
                                                 : 1;
    }
    return ERR_OK;
}

enum err cluster__excess_of_mass(int32_t *labels, float *probability,
                                 const struct cluster__link *tree, size_t n, int min_cluster_size,
                                 struct err_info *err)
{
    struct split *split AUTO_FREE = calloc(n, sizeof *split);
    struct region *region AUTO_FREE = calloc(n + 1, sizeof *region);
    int32_t *cluster AUTO_FREE = calloc(n, sizeof *cluster);
    double *density AUTO_FREE = calloc(n, sizeof *density);
    struct condensed c = {n, min_cluster_size, split, region, 0, cluster, density};
    enum err rc;

    if (!split || !region || !cluster || !density)
        return err_set(err, ERR_NOMEM, "no memory for the tree of %zu rows", n);
    if (n < 2) {
        for (size_t i = 0; i < n; i++) {
            labels[i] = CLUSTER_OUTLIER;
            probability[i] = 0;
        }
        return ERR_OK;
    }
    if ((rc = dendrogram(&c, tree, err))) return rc;
    condense(&c);
    choose(&c);
    return label(&c, labels, probability, err);
}

enum err cluster__hdbscan(int32_t *labels, float *probability, const float *x, size_t n, int d,
                          int min_cluster_size, int min_points, const struct cluster__job *job,
                          struct err_info *err)
{
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    struct cluster__link *tree AUTO_FREE = calloc(n, sizeof *tree);
    enum err rc;

    if (!tree) return err_set(err, ERR_NOMEM, "no memory for the tree of %zu rows", n);
    if ((rc = cluster__panels_fill(&p, x, n, d, true, err))) return rc;
    rc = cluster__spanning_tree(tree, &p, min_points, job, err);
    cluster__panels_release(&p);
    return rc ? rc : cluster__excess_of_mass(labels, probability, tree, n, min_cluster_size, err);
}
