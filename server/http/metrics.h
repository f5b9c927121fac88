/* Counters of the edge, in Prometheus' text format. Lock-free; any thread. */
#ifndef VISAVIS_SERVER_HTTP_METRICS_H
#define VISAVIS_SERVER_HTTP_METRICS_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "server/http/http.h"

enum {
    METRICS_STATUSES = 20, /* known ones (metrics.c), then "other" */
    METRICS_BUCKETS = 14,  /* of a histogram, the last is +Inf */
};

struct histogram {
    _Atomic unsigned long long bucket[METRICS_BUCKETS]; /* not cumulative */
    _Atomic unsigned long long sum_us;
};

struct metrics {
    const struct route *routes;
    size_t n_routes;
    /* [n_routes + 1]; the last is for requests that fit no route. */
    _Atomic unsigned long long (*requests)[METRICS_STATUSES];
    struct histogram total;
    struct histogram stage[STAGE_COUNT];
};

NODISCARD enum err metrics_init(struct metrics *m, const struct route *routes, size_t n_routes,
                                struct err_info *err);
void metrics_release(struct metrics *m);

/* One finished request. route NULL: none fitted. stage_ms: 0 where the request did not go. */
void metrics_request(struct metrics *m, const struct route *route, int status, double total_ms,
                     const double stage_ms[STAGE_COUNT]);
NODISCARD enum err metrics_write(const struct metrics *m, struct buf *out, struct err_info *err);

#endif
