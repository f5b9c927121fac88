/* Lanes: the threads that run networks, and the queues in front of them that batch across requests.
 *
 * A caller puts an item that lives on its own stack on a queue and sleeps until a lane has run it.
 * A lane takes the oldest item and everything behind it that wants the same network at the same
 * size, up to LANE_MAX_ROWS, runs them as one batch and wakes their owners. It never waits for a
 * batch to fill: under load the queue fills by itself while the lanes compute, and without load
 * waiting would only cost time.
 *
 * There are two kinds. Small nets run on n lanes of `threads_each` threads: their layers are short,
 * so that cores are better spent on different pictures than on barriers. Large nets
 * (nn_net_is_large: 64 MiB of weights or more) run on one wide lane with all the cores together,
 * which has a queue of its own. Each lane has its own executor over the shared nets, so a large
 * net's plans and scratch memory are there once, not once a core, and its weights, which no cache
 * holds, are read once for the batch that gathers in the one queue (a VGG-Face on two lanes reads
 * 756 MB twice at a time). One lane has nothing to divide: it serves both.
 *
 * Neither kind waits for the other: a small net's item is taken by a lane of its own at once, also
 * while a large batch (up to half a second) runs. The two then share the cores as the kernel's
 * scheduler divides them, n threads each, so that a small net takes at most twice its time and a
 * large one too. Between large nets the oldest item goes first: it waits for one batch at most for
 * each net that was asked for before it.
 *
 * Because an answer depends neither on batch nor on thread count (nn.h), no choice here changes any
 * answer. */
#ifndef VISAVIS_ENGINE_LANE_H
#define VISAVIS_ENGINE_LANE_H

#include "engine/base/cores.h"
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

/* Starts n_lanes threads named "lane-0"..., and where there is more than one "lane-wide",
 * of n_lanes x threads_each threads. ERR_NOMEM, ERR_INTERNAL when a thread cannot be started. */
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

/* The lanes of small nets for heavy work that is none: the parts of a loop take turns with batches,
 * so that neither waits for more than one of the other; they should take at most some 20 ms. Any
 * thread, several loops at once (the oldest first). Lives as long as the lanes. */
const struct cores *lanes_cores(const struct lanes *l);

struct lane_stats {
    int lanes; /* for small nets */
    int waiting;
    unsigned long long batches, rows, histogram[LANE_HISTOGRAM];
};
void lanes_stats(struct lanes *l, struct lane_stats *out);

#endif
