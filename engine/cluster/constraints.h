/* What may not, and what must, be together, in a form that clusters can carry: each row has a
 * sorted list of numbers, and two clusters that share one may not be merged. */
#ifndef VISAVIS_ENGINE_CLUSTER_CONSTRAINTS_H
#define VISAVIS_ENGINE_CLUSTER_CONSTRAINTS_H

#include "engine/cluster/dots.h"

struct cluster__numbers { /* sorted, borrowed or owned by whoever keeps it */
    const uint32_t *at;
    size_t n;
};

struct cluster__constraints {
    size_t n;
    size_t *start; /* [n + 1] into number; NULL: nothing is apart */
    uint32_t *number;
    uint32_t
        *leader; /* [n] first row of the must group that it is in, itself if none; NULL: none */
    size_t apart_pairs, together, conflicts;
};
#define CLUSTER__CONSTRAINTS_INIT                                                                  \
    {                                                                                              \
        .start = NULL                                                                              \
    }

/* ERR_INVALID: a pair names a row that is not there, or one row twice. */
NODISCARD enum err cluster__constraints_init(struct cluster__constraints *c,
                                             const struct cluster_constraints *from, size_t n,
                                             struct err_info *err);
void cluster__constraints_release(struct cluster__constraints *c);
struct cluster__numbers cluster__numbers_of(const struct cluster__constraints *c, size_t row);
bool cluster__numbers_meet(struct cluster__numbers a, struct cluster__numbers b);

#endif
