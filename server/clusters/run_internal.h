/* Shared inside server/clusters only: one clustering, and how it is kept. */
#ifndef VISAVIS_SERVER_CLUSTERS_RUN_INTERNAL_H
#define VISAVIS_SERVER_CLUSTERS_RUN_INTERNAL_H

#include "server/clusters/clusters.h"

/* --- run.c --- */
struct clusters__reporting { /* how the report is made */
    bool cannot_link;
    enum cluster_layout layout;
    double possible; /* pairs of clusters from this similarity on; NAN: the cut */
    uint64_t seed;
    size_t memory_max;
    const char *calibration; /* source of the cut, or NULL */
};
/* report_json of a result and its report. */
NODISCARD enum err clusters__document(struct clusters_done *out, const struct cluster_result *r,
                                      const struct cluster_report *report,
                                      const struct clusters_faces *f,
                                      const struct clusters_about *about, const char *calibration,
                                      struct err_info *err);
NODISCARD enum err clusters__report(struct cluster_report **out, const struct clusters_faces *f,
                                    const struct cluster_result *r,
                                    const struct clusters__reporting *how,
                                    const struct clusters_work *work, struct err_info *err);

/* --- basis.c --- */
/* {"result":{..},"report":{..},"about":{..},"asked":{..}}; new reference; NULL: no memory. */
json_t *clusters__basis(const struct cluster_result *r, const struct cluster_report *report,
                        const struct clusters__reporting *how, const struct clusters_about *about,
                        const json_t *asked);
/* The clustering as it was, but for labels (all outliers), of n faces, the first n_old of which it
 * knew. *out is the caller's (cluster_result_free) and borrows texts of basis. ERR_INTERNAL: it is
 * not one. */
NODISCARD enum err clusters__result_of(struct cluster_result **out, const json_t *basis, size_t n,
                                       size_t n_old, struct err_info *err);
/* Borrows texts of basis. layout is CLUSTER_LAYOUT_NONE. */
void clusters__reporting_of(struct clusters__reporting *how, struct clusters_about *about,
                            const json_t *basis);
/* Of the layout of a report that has one again. */
void clusters__layout_of(struct cluster_report *r, const json_t *basis);

#endif
