#ifndef VISAVIS_ENGINE_CLUSTER_KMEANS_H
#define VISAVIS_ENGINE_CLUSTER_KMEANS_H

#include "engine/cluster/dots.h"

/* The rows as k-means sees them. Cosine: of unit length. Euclidean: less their mean, and with one
 * more dimension that is 1: a centre carries -|c|^2 / 2 there, so that in both cases the nearest
 * centre is the one with the greatest product. */
struct cluster__points {
    const float *x;
    size_t n;
    int d;
    enum cluster_metric metric;
    double *scale; /* [n] cosine: 1 / length; else NULL */
    double *mean;  /* [d] Euclidean: taken off; else NULL */
    struct cluster__panels panels;
};

NODISCARD enum err cluster__points_init(struct cluster__points *p, const float *x, size_t n, int d,
                                        enum cluster_metric metric, struct err_info *err);
void cluster__points_release(struct cluster__points *p);
/* Row i, [d], without what the panels add. */
void cluster__point(double *out, const struct cluster__points *p, size_t i);

struct cluster__kmeans { /* one run */
    int32_t *labels;     /* [n] caller's */
    float *centres;      /* [k][d] caller's; in: where to start; in p's frame */
    double inertia;
    int rounds;
};

size_t cluster__kmeans_bytes(size_t n, int d, int k, const struct cores *cores);
/* Lloyd until no row changes its cluster, at most `rounds`. A centre that loses all its rows takes
 * the row that is farthest from its own. */
NODISCARD enum err cluster__kmeans_run(struct cluster__kmeans *m, const struct cluster__points *p,
                                       int k, int rounds, const struct cluster__job *job,
                                       struct err_info *err);
/* centres [k][d] by k-means++ (greedy: the best of 2 + ln k candidates each time, as its authors
 * suggest). Fewer different rows than k: ERR_INVALID with their number. */
NODISCARD enum err cluster__kmeans_seed(float *centres, const struct cluster__points *p, int k,
                                        uint64_t *random, const struct cluster__job *job,
                                        struct err_info *err);
/* The best of `restarts` seeded runs. */
NODISCARD enum err cluster__kmeans_best(struct cluster__kmeans *m, const struct cluster__points *p,
                                        int k, int rounds, int restarts, uint64_t seed,
                                        const struct cluster__job *job, struct err_info *err);

#endif
