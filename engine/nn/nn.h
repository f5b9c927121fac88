/* Running a graph. nn_net is a graph made ready for one backend: immutable after nn_net_new, shared
 * by all threads, owns the repacked weights. nn_plan is a net for one batch size and input size:
 * shapes, memory, chosen kernels; it belongs to one thread at a time. nn_plan_forward allocates
 * nothing.
 *
 * Backends agree within the tolerances of tests/unit/test_nn.c: ref (plain loops, double sums: the
 * oracle), blas (im2col + sgemm on OpenBLAS, portable), fast (our own kernels in float32, which
 * are twice PyTorch's speed on the ResNet and need no code made for a new size; in bf16 with
 * AVX512-BF16 our own too, with AMX oneDNN's).
 * Answers of one backend depend neither on the batch size nor on the number of threads, bit for
 * bit: a row's value is the same alone or beside others, on 1 thread or many. Kernels of a layer
 * follow a committed rule (shape and CPU features), never a clock. */
#ifndef VISAVIS_ENGINE_NN_NN_H
#define VISAVIS_ENGINE_NN_NN_H

#include "engine/base/err.h"
#include "engine/nn/graph.h"

enum nn_backend { NN_REF, NN_BLAS, NN_FAST, NN_BACKEND_COUNT };
enum nn_precision { NN_F32, NN_BF16, NN_AUTO };

struct nn_net;
struct nn_plan;

/* *out borrows g (and its weights) for its whole life. precision: NN_BF16 where the CPU has the
 * instructions (AMX or AVX512-BF16) and the backend is fast, else f32; NN_AUTO is for those who
 * measure (engine/precision.h), here it is f32. ERR_MODEL from nn_graph_check, ERR_NOMEM. */
NODISCARD enum err nn_net_new(struct nn_net **out, const struct nn_graph *g,
                              enum nn_backend backend, enum nn_precision precision,
                              struct err_info *err);
void nn_net_free(struct nn_net *net);
/* The graph's weights lie in a mapped file that does not change: what has been repacked may leave
 * the memory (it is read again when another plan wants it in another form). Before the first plan.
 */
void nn_net_weights_are_mapped(struct nn_net *net);
const struct nn_graph *nn_net_graph(const struct nn_net *net);
/* Whether its weights are 64 MiB or more in float32: more than the caches hold, so that each pass
 * reads them from the memory. Such a net is best run by one thread at a time with all cores. */
bool nn_net_is_large(const struct nn_net *net);
/* What nn_net_new settled on: NN_F32 or NN_BF16. */
enum nn_precision nn_net_precision(const struct nn_net *net);

/* A plan for n rows of in_c x h x w (h = w = 0 allowed where the graph has a fixed size). Making
 * one may take milliseconds (kernels are generated); weights are packed once per net, on first use,
 * under a lock. n 1..64. */
NODISCARD enum err nn_plan_new(struct nn_plan **out, const struct nn_net *net, int n, int h, int w,
                               struct err_info *err);
void nn_plan_free(struct nn_plan *plan);

/* in: float [n][in_c][h][w] planes. outs[i]: float for graph output i, [n][c][h][w], caller's, or
 * NULL when not wanted: what only such outputs need is not computed. Called on the thread that uses
 * OpenMP; uses omp_get_max_threads() of that thread. Cannot fail. */
void nn_plan_forward(struct nn_plan *plan, const float *in, float *const *outs);

/* Shape of graph output i for this plan. */
struct nn_shape nn_plan_output_shape(const struct nn_plan *plan, int i);

/* For tests and `model bench`: forward that also copies op's result, as float [n][c][h][w], to
 * taps[op] where that is not NULL (taps: one pointer an op). Fused ops may have no result of their
 * own: then the tap of an op fused into a later one is computed unfused, so every op can be tapped.
 * Slow; may allocate. */
NODISCARD enum err nn_plan_forward_tapped(struct nn_plan *plan, const float *in, float *const *outs,
                                          float *const *taps, struct err_info *err);

/* One line a layer for `model bench`: op name, kernel chosen, multiply-adds. Borrowed strings, live
 * as long as the plan. */
struct nn_layer_info {
    const char *name, *kernel;
    double macs;         /* for the plan's batch */
    double weight_bytes; /* in the form that the kernel reads */
    bool bf16;
    double seconds; /* of the last timed run (engine/nn/exec.h), else 0; 0 where it was left out */
};
int nn_plan_layers(const struct nn_plan *plan, struct nn_layer_info *out, int max);

const char *nn_backend_name(enum nn_backend b);
const char *nn_precision_name(enum nn_precision p);

#endif
