/* What a projection is trained with: a net of one dense layer and l2_normalize, run over the shards
 * of a batch, and the triplets' loss between. Apart from projection.c so that the gradient can be
 * checked in double. Module of engine/train only. */
#ifndef VISAVIS_ENGINE_TRAIN_PROJECTION_NET_H
#define VISAVIS_ENGINE_TRAIN_PROJECTION_NET_H

#include "engine/base/cores.h"
#include "engine/train/loss.h"
#include "engine/train/net.h"

enum { PROJECTION_SHARDS = 8, PROJECTION_BATCH = 256, PROJECTION_LABELS = 256 };

/* Arrays are of the element type of the net's ops. */
struct projection_net {
    struct train_net *net;
    struct train_work *work[PROJECTION_SHARDS];
    struct train_triplets triplets;
    void *z, *slopes; /* [PROJECTION_BATCH][dim]: the last batch's outputs, and their gradient */
    void *gradient;   /* [d][dim] */
};
NODISCARD enum err projection_net_new(struct projection_net **out, int d, int dim,
                                      const struct train_ops *ops, struct err_info *err);
void projection_net_free(struct projection_net *p);

struct projection_batch {
    const void *const *rows; /* [n]: of d elements each */
    const uint32_t *labels;  /* [n] */
    int n;                   /* up to PROJECTION_BATCH */
};
/* z = the batch through w [d][dim]. */
void projection_forward(struct projection_net *p, const void *w, const struct projection_batch *b,
                        const struct cores *cores);
/* gradient = the shards' gradients, from slopes, summed in their order. After a forward. */
void projection_backward(struct projection_net *p, const void *w, const struct projection_batch *b,
                         const struct cores *cores);

/* The directions q [d][dim] (dim <= d) in which x [n][d] has most of its squared length,
 * orthonormal, in no order within their span, by subspace iteration (Halko, Martinsson and Tropp
 * 2011, algorithm 4.4) from random directions. ERR_NOMEM. */
NODISCARD enum err projection_principal(float *q, const float *x, size_t n, int d, int dim,
                                        uint64_t seed, const struct cores *cores,
                                        struct err_info *err);

#endif
