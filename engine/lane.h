/* Lanes: the threads that run networks, and the queue in front of them that batches across
 * requests.
 *
 * A caller puts an item that lives on its own stack on the queue and sleeps until a lane has run
 * it. A lane takes the oldest item and everything behind it that wants the same network at the same
 * size, up to LANE_MAX_ROWS, runs them as one batch and wakes their owners. It never waits for a
 * batch to fill: under load the queue fills by itself while the lanes compute, and without load
 * waiting would only cost time.
 *
 * Each lane has its own executor (plans, scratch memory) over the shared nets, and its own cores:
 * `threads_each` OpenMP threads. Small nets want many lanes of one thread (no barriers); one huge
 * net wants one lane with all cores. Because an answer depends neither on batch nor on thread count
 * (nn.h), neither choice changes any answer. */
#ifndef VISAVIS_ENGINE_LANE_H
#define VISAVIS_ENGINE_LANE_H

#include "engine/base/err.h"
#include "engine/nn/nn.h"

enum {
    /* Of one batch put together from several callers; one caller's own rows may be more. Rows, and
     * floats of input: eight pictures of 224 x 224, from where on a larger batch costs memory and
     * wins nothing. */
    LANE_MAX_ROWS = 64,
    LANE_MAX_FLOATS = 8 * 3 * 224 * 224,
    LANE_HISTOGRAM = 8, /* batches with at most 1, 2, 4, 8, 16, 32, 64 rows, and more */
};

struct lanes;

/* Starts n_lanes threads named "lane-0".... ERR_NOMEM, ERR_INTERNAL when a thread cannot be
 * started. */
NODISCARD enum err lanes_new(struct lanes **out, int n_lanes, int threads_each,
                             struct err_info *err);
/* Nobody may be inside lanes_run. */
void lanes_free(struct lanes *l);

/* Contract of nn_exec_run (engine/nn/exec.h) with self = struct lanes *; any thread; blocks until
 * done. */
NODISCARD enum err lanes_run(void *self, const struct nn_net *net, int n, int h, int w,
                             const float *in, float *const *outs, struct err_info *err);

/* Drops what the lanes keep for a net, before nn_net_free; blocks until every lane has. Nobody may
 * be running it. */
void lanes_forget(struct lanes *l, const struct nn_net *net);

struct lane_stats {
    int lanes, waiting;
    unsigned long long batches, rows, histogram[LANE_HISTOGRAM];
};
void lanes_stats(struct lanes *l, struct lane_stats *out);

#endif
