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

#endif
