/* One thread's executor: a cache of plans over shared nets. A lane owns one. Not thread-safe. */
#ifndef VISAVIS_ENGINE_NN_EXEC_H
#define VISAVIS_ENGINE_NN_EXEC_H

#include "engine/nn/nn.h"

struct nn_exec;

/* threads: how many OpenMP threads a forward may use, >= 1. max_plans: least recently used plans
 * are dropped beyond it (0: 64). */
NODISCARD enum err nn_exec_new(struct nn_exec **out, int threads, int max_plans,
                               struct err_info *err);
void nn_exec_free(struct nn_exec *x);
/* Drops the plans of a net; to be called before nn_net_free where the executor lives on. */
void nn_exec_forget(struct nn_exec *x, const struct nn_net *net);

/* Runs n rows (any n >= 1), split into the batch sizes that plans are kept for (so that few kernels
 * are made: see exec.c). in and outs as nn_plan_forward, for all n rows. ERR_NOMEM, ERR_MODEL (size
 * does not fit). */
NODISCARD enum err nn_exec_run(struct nn_exec *x, const struct nn_net *net, int n, int h, int w,
                               const float *in, float *const *outs, struct err_info *err);
/* The same for n <= 32 rows, timed: layers[0..*count) (at most max) of the one plan that ran; what
 * the wanted outputs do not need is not among them. Their strings live as long as the executor. */
NODISCARD enum err nn_exec_run_timed(struct nn_exec *x, const struct nn_net *net, int n, int h,
                                     int w, const float *in, float *const *outs,
                                     struct nn_layer_info *layers, int max, int *count,
                                     struct err_info *err);

/* What the executor's threads reach together, measured in a tenth of a second: the product kernel
 * on matrices that lie in the second cache, and reading memory that no cache holds (256 MB of it).
 * gflops_bf16 0: no such kernel. */
struct nn_peak {
    double gflops, gflops_bf16, read_gb_s;
};
NODISCARD enum err nn_exec_peak(struct nn_exec *x, struct nn_peak *out, struct err_info *err);

#endif
