/* What the parts of the report share. */
#ifndef VISAVIS_ENGINE_CLUSTER_REPORT_H
#define VISAVIS_ENGINE_CLUSTER_REPORT_H

#include "engine/cluster/silhouette.h"

struct cluster__view {
    struct cluster_report *report;
    const struct cluster_report_options *options;
    const struct cluster__points *points; /* unit rows */
    const struct cluster__means *means;
    const int32_t *labels;
    struct cluster__job job;
};

/* Product of two rows of the points, in double. */
double cluster__row_similarity(const struct cluster__points *p, size_t i, size_t j);

NODISCARD enum err cluster__report_pairs(struct cluster__view *v, struct err_info *err);
NODISCARD enum err cluster__report_bridges(struct cluster__view *v, float cut,
                                           struct err_info *err);

/* out [n][2]. start [n][2]: where rows begin (their principal components). */
NODISCARD enum err cluster__layout(float *out, double *perplexity, int *rounds, const float *start,
                                   const struct cluster__panels *p, uint64_t seed,
                                   const struct cluster__job *job, struct err_info *err);
size_t cluster__layout_bytes(size_t n);

#endif
