/* What every algorithm is called with, and gives back, inside cluster_run. */
#ifndef VISAVIS_ENGINE_CLUSTER_METHOD_H
#define VISAVIS_ENGINE_CLUSTER_METHOD_H

#include "engine/cluster/constraints.h"
#include "engine/cluster/kmeans.h"
#include "engine/cluster/linkage.h"

struct cluster__task {
    const float *x;
    size_t n;
    int d;
    const struct cluster_options *options;
    struct cluster__constraints constraints;
    struct cluster__job job;
    struct cluster_result *result; /* labels in any order; the rest as the algorithm has it */
};

/* Notes a parameter, and why as printf would. */
void cluster__note(struct cluster_result *r, const char *name, const char *value, const char *why,
                   ...) __attribute__((format(printf, 4, 5)));
void cluster__note_number(struct cluster_result *r, const char *name, double value, int decimals,
                          const char *why, ...) __attribute__((format(printf, 5, 6)));

/* Average linkage to the cut that the rates give; fills result's cut. */
NODISCARD enum err cluster__auto_cut(struct cluster__average *a, struct cluster__task *t,
                                     struct err_info *err);
/* Both linkages, and auto. */
NODISCARD enum err cluster__linkage(struct cluster__task *t, struct err_info *err);
NODISCARD enum err cluster__kmeans(struct cluster__task *t, struct err_info *err);

/* A clustering for each k, cheaply one after the other. */
struct cluster__by_k {
    void *self;
    enum err (*labels)(void *self, int32_t *labels, int *clusters, int k, struct err_info *err);
};
/* The k in k_min..k_max of greatest mean silhouette (the least such k); notes what was tried. */
NODISCARD enum err cluster__search_silhouette(int *k, struct cluster__task *t,
                                              const struct cluster__points *p,
                                              const struct cluster__by_k *by_k,
                                              struct err_info *err);
/* The least k whose gap is at least that of k + 1 less its spread; k-means only. */
NODISCARD enum err cluster__search_gap(int *k, struct cluster__task *t,
                                       const struct cluster__points *p, struct err_info *err);
/* k_min..k_max as far as n rows allow. */
void cluster__k_range(int *from, int *to, const struct cluster__task *t);

#endif
