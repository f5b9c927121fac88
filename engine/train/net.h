/* A network that can be trained: a chain of layers made of a graph (engine/nn/graph.h) and what the
 * graph cannot say, as it is there only while training: batch normalisation, which is folded into
 * the layer before it when the network is exported, and dropout.
 *
 * A net is immutable and shared. Its numbers are the caller's: parameters (one array), running
 * statistics, and for each shard of the batch a work, in which one thread at a time runs that
 * shard forward and backward. All are of the element type of the net's ops. */
#ifndef VISAVIS_ENGINE_TRAIN_NET_H
#define VISAVIS_ENGINE_TRAIN_NET_H

#include "engine/base/err.h"
#include "engine/nn/graph.h"
#include "engine/train/ops.h"

static const double TRAIN_EPSILON = 1e-5; /* of the norms: added to the variance */
enum { TRAIN_MAX_CHANNELS = 1024 /* of a layer with batch normalisation */ };

/* What follows an op of the graph while training. */
struct train_note {
    bool norm;      /* conv2d, dense: batch normalisation, before the activation */
    double dropout; /* any: share of elements that are zeroed; 0: none */
};

enum train_kind { TRAIN_PRODUCT, TRAIN_POOL, TRAIN_ACT, TRAIN_NORM, TRAIN_DROPOUT, TRAIN_L2 };
enum { TRAIN_NONE = -1 };

struct train_layer {
    enum train_kind kind;
    int op;                /* of the graph: what it was made of */
    struct train_window t; /* n is 0; for other kinds than product and pool: h, w, c = oh, ow, oc */
    struct nn_shape flat;  /* a dense layer: the input's shape before it was flattened */
    bool relu;             /* norm: then relu */
    double dropout;
    /* Where its parameters begin, elements; TRAIN_NONE: it has none. product: w, b; norm: w is
     * gamma, b is beta; act: w is prelu's slope. */
    long w, b;
    long statistics; /* norm: in the running statistics: mean[c], variance[c] */
};

struct train_net {
    const struct train_ops *ops;
    int n_layers;
    struct train_layer *layers;
    size_t in_row, out_row; /* elements of a row */
    size_t widest;          /* of a layer's value, elements a row */
    size_t parameters, statistics;
    size_t scratch; /* elements */
};

/* g: conv2d (groups and dilation 1), max_pool, dense, relu, prelu, flatten, l2_normalize, each
 * reading the one before it; its weights may be NULL, their counts must be right. notes [n_ops].
 * ERR_INVALID names the op that cannot be trained. */
NODISCARD enum err train_net_new(struct train_net **out, const struct nn_graph *g,
                                 const struct train_note *notes, const struct train_ops *ops,
                                 struct err_info *err);
void train_net_free(struct train_net *net);

/* Random weights (He et al. 2015: normal, variance 2 / inputs; the last product: 1 / inputs), zero
 * biases; gamma 1, beta 0, slope 0.25; statistics 0 and 1. */
void train_net_init(const struct train_net *net, void *parameters, double *statistics,
                    uint64_t seed);
/* Which parameters weight decay is for: those of products, not biases nor norms. */
bool train_net_decays(const struct train_net *net, size_t parameter);
/* The weights as the way back wants them: turned [parameters], to be made anew after each step. */
void train_net_turn(const struct train_net *net, void *turned, const void *parameters);

/* --- a shard's run --- */
struct train_work {
    int rows; /* that there is room for */
    int n;    /* of the last forward */
    uint64_t seed;
    char *memory;
    char **values;   /* [n_layers + 1]; value 0 is the input, to be filled by the caller */
    uint16_t **from; /* pools */
    char **mean;     /* norms: mean and inv [2][c]; l2: lengths [rows] */
    char *back[2];   /* gradients of values, in turn */
    char *scratch;
    char *gradient; /* [parameters] */
};
NODISCARD enum err train_work_new(struct train_work **out, const struct train_net *net, int rows,
                                  struct err_info *err);
void train_work_free(struct train_work *w);
/* The first n rows of value 0 through the net; seed: of the dropout. Returns the last value. */
void *train_work_forward(struct train_work *w, const struct train_net *net, const void *parameters,
                         int n, uint64_t seed);
/* dy: the gradient of the last value [n][out_row]; overwritten. w->gradient is set. */
void train_work_backward(struct train_work *w, const struct train_net *net, const void *parameters,
                         const void *turned, void *dy);
/* Moves the running statistics towards those of this shard's last forward, by `rate`. */
void train_work_statistics(double *statistics, const struct train_work *w,
                           const struct train_net *net, double rate);

/* --- back to a graph (net_export.c) --- */
/* g's graph with this net's weights, norms folded with the running statistics; layers: how many of
 * the net's are taken (a classifier's head may be left away: then an l2_normalize ends it). *out's
 * weights lie in *weights, one block, the caller's (free); so is *out (nn_graph_release). The
 * output is called "embedding". */
NODISCARD enum err train_net_export(struct nn_graph *out, float **weights,
                                    const struct train_net *net, const struct nn_graph *g, int ops,
                                    const void *parameters, const double *statistics,
                                    struct err_info *err);

#endif
