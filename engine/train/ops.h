/* Forward and backward of the layers, one table an element type and instruction set: double (plain
 * loops, what gradients are checked in) and float for each set of engine/nn/simd_vec.h. The same
 * code makes all of them (ops_impl.h); only the products differ (ops_products.h).
 *
 * Values are [n][h][w][c], channels of a pixel together; a vector is h = w = 1. Pointers are to
 * elements of the table's type (`size` bytes). Every result is a chain of sums in an order that the
 * shapes alone give: the same on any thread. Gradients of weights are added to, those of values are
 * written. */
#ifndef VISAVIS_ENGINE_TRAIN_OPS_H
#define VISAVIS_ENGINE_TRAIN_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A convolution, max_pool or dense layer (kernel 1, image 1 x 1) over n images. Weights are [kernel
 * h][kernel w][c][oc]. */
struct train_window {
    int n, h, w, c; /* input */
    int kh, kw, sh, sw, pt, pl;
    int oh, ow, oc; /* output */
};

struct train_ops {
    const char *name;
    size_t size; /* bytes of an element */

    /* Elements of scratch that the convolutions need. */
    size_t (*conv_scratch)(const struct train_window *t);
    /* y = x * w + b; b NULL: none. */
    void (*conv)(void *y, const void *x, const void *w, const void *b, const struct train_window *t,
                 void *scratch);
    /* dw += the gradient of w; db likewise (NULL: none). */
    void (*conv_weights)(void *dw, void *db, const void *dy, const void *x,
                         const struct train_window *t, void *scratch);
    /* dx = the gradient of x. turned: the weights as turn_weights leaves them. */
    void (*conv_input)(void *dx, const void *dy, const void *turned, const struct train_window *t,
                       void *scratch);
    /* [kh][kw][c][oc] -> [kh][kw][oc][c], the kernel's positions in reverse order. */
    void (*turn_weights)(void *turned, const void *w, const struct train_window *t);

    /* from [output]: which of its window's positions won; the first of equals. */
    void (*max_pool)(void *y, uint16_t *from, const void *x, const struct train_window *t);
    void (*max_pool_input)(void *dx, const void *dy, const uint16_t *from,
                           const struct train_window *t);

    /* y = max(x, 0), or x > 0 ? x : slope[c] x (slope NULL: relu). y may be x for relu. */
    void (*act)(void *y, const void *x, const void *slope, size_t pixels, int c);
    /* x: the input, or relu's output. dslope += (NULL for relu). dx may be dy. */
    void (*act_input)(void *dx, void *dslope, const void *dy, const void *x, const void *slope,
                      size_t pixels, int c);

    /* Batch normalisation (Ioffe and Szegedy 2015) over all pixels of this shard: y = gamma xhat +
     * beta, then relu where asked. mean, inv [c]: the batch's mean and 1 / sqrt(variance +
     * epsilon).
     */
    void (*norm)(void *y, void *mean, void *inv, const void *x, const void *gamma, const void *beta,
                 double epsilon, bool relu, size_t pixels, int c);
    /* y: the output, read where relu. dx may be dy. */
    void (*norm_input)(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                       const void *y, const void *mean, const void *inv, const void *gamma,
                       bool relu, size_t pixels, int c);

    /* Inverted dropout: an element is kept, times 1 / (1 - p), or zero, as a generator of that seed
     * says; backward is the same call on the gradient. out may be in. */
    void (*dropout)(void *out, const void *in, double p, uint64_t seed, size_t count);

    /* y = x / max(|x|, 1e-12) for each of n rows of d; length [n]. */
    void (*l2_normalize)(void *y, void *length, const void *x, size_t n, int d);
    void (*l2_normalize_input)(void *dx, const void *dy, const void *y, const void *length,
                               size_t n, int d);

    /* The mean cross-entropy of softmax over n rows of d; returns the sum of the rows' losses times
     * `weight`, and writes dx. */
    double (*softmax_loss)(void *dx, const void *x, const uint32_t *labels, double weight, size_t n,
                           int d);
    /* out[i][j] = a row i . a row j, of n rows of d. */
    void (*gram)(void *out, const void *a, size_t n, int d);
    /* dx[i] += scale * (a[j] - a[k]), rows of d. */
    void (*add_difference)(void *dx, const void *a, double scale, size_t i, size_t j, size_t k,
                           int d);
};

extern const struct train_ops train_ops_f64, train_ops_base;
#if defined(__x86_64__)
extern const struct train_ops train_ops_avx2, train_ops_avx512;
#endif

/* The i-th table of floats that this CPU can run, best first; NULL past the last. */
const struct train_ops *train_ops_at(int i);

#endif
