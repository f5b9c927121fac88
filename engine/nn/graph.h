/* A network as data: named ops in the order they run, each with its inputs, attributes and weights.
 * This is what importers build, what the model file stores (engine/model) and what a plan executes.
 * No format, no kernel here.
 *
 * Tensors between ops are float32, logical shape [n][c][h][w] (a vector is [n][c][1][1]). Weights
 * are plain float32 in the layouts below and belong to whoever owns the graph's storage (a mapped
 * file or an importer's arena): the graph borrows.
 *
 * Invariants, checked by nn_graph_check: an op's inputs are the graph's input (-1) or earlier ops;
 * names are unique; attributes are in range; weights are there, of the right count, and finite; at
 * least one output. */
#ifndef VISAVIS_ENGINE_NN_GRAPH_H
#define VISAVIS_ENGINE_NN_GRAPH_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum nn_kind {
    NN_CONV2D, /* w [out][in/groups][kh][kw], b [out] or NULL; cross-correlation, zero padding */
    NN_DENSE,  /* y = x W^T + b, over the flattened c,h,w of each row. w [out][in], b [out] or NULL
                */
    NN_RELU,   /* max(x, 0) */
    NN_LEAKY_RELU, /* x > 0 ? x : alpha x */
    NN_PRELU,      /* x > 0 ? x : w[c] x; w [c] */
    NN_RELU6,      /* min(max(x, 0), 6) */
    NN_SIGMOID,    /* 1 / (1 + exp(-x)) */
    NN_SOFTMAX,    /* over c, for each n, h, w */
    NN_MAX_POOL,   /* padding never wins; ceil_mode as PyTorch's: the last window is cut at the edge
                    */
    NN_AVG_POOL,   /* mean over the window's elements inside the padded input; padding counts iff
                      count_pad */
    NN_GLOBAL_AVG_POOL, /* [c][h][w] -> [c][1][1] */
    NN_ADD,             /* two inputs of one shape; or the second [c][1][1] (broadcast) */
    NN_MUL,             /* likewise */
    NN_CONCAT,          /* along c; 2..NN_MAX_INPUTS inputs */
    NN_PAD,             /* zeros: pad_c after the last channel, pad[] = top, left, bottom, right */
    NN_FLATTEN,         /* [c][h][w] -> [chw][1][1], order c,h,w */
    NN_RESHAPE,         /* to shape[3] = c,h,w of the same count (order c,h,w) */
    NN_TRANSPOSE,       /* c,h,w permuted: output axis i is input axis perm[i] (0 c, 1 h, 2 w) */
    NN_RESIZE_NEAREST,  /* h and w times the integer scale[2], asymmetric, floor */
    NN_L2_NORMALIZE,    /* each row divided by max(sqrt(sum of squares), 1e-12), over c,h,w */
    NN_KIND_COUNT
};

enum {
    NN_MAX_INPUTS = 8,
    NN_MAX_OPS = 2048,
    NN_MAX_OUTPUTS = 16,
    NN_NAME_BYTES = 64,
    NN_MAX_CHANNELS = 1 << 20,
};

struct nn_op {
    char name[NN_NAME_BYTES];
    enum nn_kind kind;
    int in[NN_MAX_INPUTS]; /* index of an earlier op, or -1: the graph's input */
    int n_in;
    int out;            /* conv2d, dense: output channels */
    int kernel[2];      /* h, w */
    int stride[2];      /* h, w */
    int pad[4];         /* top, left, bottom, right */
    int groups;         /* conv2d; 1 unless said otherwise */
    int dilation;       /* conv2d; 1 is none */
    bool ceil_mode;     /* pools */
    bool count_pad;     /* avg_pool */
    float alpha;        /* leaky_relu */
    int pad_c;          /* pad */
    int shape[3];       /* reshape */
    int perm[3];        /* transpose */
    int scale[2];       /* resize_nearest: h, w */
    const float *w, *b; /* borrowed; NULL where the op has none */
    size_t w_count, b_count;
};

struct nn_output {
    char name[NN_NAME_BYTES]; /* what the graph calls it: "embedding", "prob", "box", ... */
    int op;
};

struct nn_graph {
    int in_c, in_h, in_w; /* the input; in_h = in_w = 0: any size (fully convolutional) */
    int n_ops;
    struct nn_op *ops; /* n_ops; owned (free) */
    int n_outputs;
    struct nn_output outputs[NN_MAX_OUTPUTS];
};

struct nn_shape {
    int c, h, w;
};

/* The op's fixed fields set to their neutral values (kernel 1, stride 1, groups 1, no padding,
 * inputs none). */
void nn_op_init(struct nn_op *op, enum nn_kind kind, const char *name);

/* Appends *op (copied); returns its index, or -1 when there is no memory or no room. For importers.
 */
int nn_graph_add(struct nn_graph *g, const struct nn_op *op);
/* Frees what the graph owns (not the weights); safe on a zeroed graph. */
void nn_graph_release(struct nn_graph *g);

/* The invariants above; finite: also reads every weight (importers and tests; costs a pass over the
 * file). ERR_MODEL naming the op, what was expected and what was found. */
NODISCARD enum err nn_graph_check(const struct nn_graph *g, bool finite, struct err_info *err);

/* Shape of every op's output for an input of h x w: shapes[n_ops], caller's. ERR_MODEL: an op does
 * not fit its input (named, with both shapes), or a tensor would have more than 2^28 elements a
 * row. */
NODISCARD enum err nn_graph_shapes(const struct nn_graph *g, int h, int w, struct nn_shape *shapes,
                                   struct err_info *err);

/* "conv2d" <-> NN_CONV2D; NULL / -1 for what is not one. */
const char *nn_kind_name(enum nn_kind kind);
int nn_kind_by_name(const char *name);

/* Index of the output of that name, or -1. */
int nn_graph_output(const struct nn_graph *g, const char *name);

#endif
