/* Whether an embedder's network may run in bf16: by measuring what it does to its descriptors.
 *
 * A network's bf16 form runs over PRECISION_INPUTS pictures that are made here, the same on every
 * machine, and so does its float32 form; the error is the largest 1 - cosine between the two
 * descriptors of a picture. "auto" takes bf16 where that is at most PRECISION_BOUND, else float32.
 * It is done when the network is loaded, not when it is imported, because the error is that of this
 * CPU's kernels (AVX512-BF16 rounds other layers than AMX does) and because a file that came from
 * elsewhere then needs no measurement of its own. Errors are no times: the same file gets the same
 * answer on the same CPU every time.
 *
 * What the bound means: a descriptor turns by at most 0.8 degrees. Were all of that towards the
 * other face's, the distance of a pair of strangers (90 degrees apart) would move by 0.014 a side;
 * rounding has no direction, so that among d dimensions about 0.014 sqrt(2 / d) remains: 0.002 with
 * 128, 0.0003 with 4096. Thresholds are stated to 0.001. That is why embeddings within the bound
 * count as those of one recipe, and bf16 that was asked for by name and is over it makes its own
 * (engine/embedder.c).
 *
 * The float32 form is the portable backend's, which reads the weights where they lie: measuring
 * never holds a second packed copy, only pages of the file that leave again. */
#ifndef VISAVIS_ENGINE_PRECISION_H
#define VISAVIS_ENGINE_PRECISION_H

#include "engine/model/model.h"
#include "engine/nn/nn.h"

enum { PRECISION_INPUTS = 3 };
static const double PRECISION_BOUND = 1e-4;

struct precision_ask {
    const struct model *model; /* an embedder; its weights are a mapped file's */
    const struct model_input *input;
    int output; /* the graph's output that is the descriptor */
    enum nn_backend backend;
    enum nn_precision wanted;
    int threads; /* to measure with */
};

/* The network in the precision that is to be taken; *out is the caller's (nn_net_free). *error: the
 * largest 1 - cosine where the CPU has bf16 and it was not f32 that was wanted (INFINITY: it cannot
 * be measured here, then auto takes f32), else NAN. Errors of nn_net_new and nn_exec_run. */
NODISCARD enum err precision_net(struct nn_net **out, double *error, const struct precision_ask *a,
                                 struct err_info *err);

#endif
