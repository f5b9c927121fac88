/* Graphs for tests and benchmarks, with random weights: MTCNN's three nets, dlib's ResNet, and a
 * small builder. The topologies are those that the importers make; no golden file is needed to time
 * or compare kernels. */
#ifndef VISAVIS_TESTS_UNIT_NETS_H
#define VISAVIS_TESTS_UNIT_NETS_H

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/nn/graph.h"

enum { NETS_BLOCKS = 2 * 256 };

struct net_made {
    struct nn_graph g;
    float *blocks[NETS_BLOCKS]; /* the weights */
    int n_blocks;
    uint64_t seed;
};

/* splitmix64 (Vigna 2015, public domain algorithm). */
static inline uint64_t nets_next(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in [-1, 1). */
static inline float nets_uniform(uint64_t *seed)
{
    return (float)(int64_t)(nets_next(seed) >> 40) / (float)(1 << 23) - 1.0f;
}

static inline int nets_int(uint64_t *seed, int lo, int hi) /* both included */
{
    return lo + (int)(nets_next(seed) % (uint64_t)(hi - lo + 1));
}

static inline void nets_fill(float *v, size_t n, float scale, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) v[i] = scale * nets_uniform(seed);
}

static inline const float *nets_weights(struct net_made *m, size_t n, float scale)
{
    assert(m->n_blocks < NETS_BLOCKS);
    float *v = malloc((n ? n : 1) * sizeof *v);
    assert(v);
    nets_fill(v, n, scale, &m->seed);
    m->blocks[m->n_blocks++] = v;
    return v;
}

static inline void nets_release(struct net_made *m)
{
    nn_graph_release(&m->g);
    for (int i = 0; i < m->n_blocks; i++) free(m->blocks[i]);
    memset(m, 0, sizeof *m);
}

static inline int nets_add(struct net_made *m, struct nn_op *op, int in)
{
    op->n_in = op->n_in ? op->n_in : 1;
    op->in[0] = in;
    snprintf(op->name, sizeof op->name, "%s%d", nn_kind_name(op->kind), m->g.n_ops);
    int i = nn_graph_add(&m->g, op);
    assert(i >= 0);
    return i;
}

/* Weights keep the size of what passes through: uniform with variance 2 / inputs. */
static inline int nets_conv(struct net_made *m, int in, int ic, int oc, int k, int s, int pad)
{
    struct nn_op op;
    nn_op_init(&op, NN_CONV2D, "");
    op.out = oc;
    op.kernel[0] = op.kernel[1] = k;
    op.stride[0] = op.stride[1] = s;
    for (int i = 0; i < 4; i++) op.pad[i] = pad;
    op.w_count = (size_t)oc * ic * k * k;
    op.w = nets_weights(m, op.w_count, sqrtf(6.0f / (float)(ic * k * k)));
    op.b_count = (size_t)oc;
    op.b = nets_weights(m, op.b_count, 0.1f);
    return nets_add(m, &op, in);
}

static inline int nets_dense(struct net_made *m, int in, int ic, int oc, bool bias)
{
    struct nn_op op;
    nn_op_init(&op, NN_DENSE, "");
    op.out = oc;
    op.w_count = (size_t)oc * ic;
    op.w = nets_weights(m, op.w_count, sqrtf(3.0f / (float)ic));
    if (bias) {
        op.b_count = (size_t)oc;
        op.b = nets_weights(m, op.b_count, 0.1f);
    }
    return nets_add(m, &op, in);
}

static inline int nets_op(struct net_made *m, enum nn_kind kind, int in)
{
    struct nn_op op;
    nn_op_init(&op, kind, "");
    return nets_add(m, &op, in);
}

static inline int nets_prelu(struct net_made *m, int in, int c)
{
    struct nn_op op;
    nn_op_init(&op, NN_PRELU, "");
    op.w_count = (size_t)c;
    op.w = nets_weights(m, op.w_count, 0.5f);
    return nets_add(m, &op, in);
}

static inline int nets_pool(struct net_made *m, enum nn_kind kind, int in, int k, int s,
                            bool ceiled)
{
    struct nn_op op;
    nn_op_init(&op, kind, "");
    op.kernel[0] = op.kernel[1] = k;
    op.stride[0] = op.stride[1] = s;
    op.ceil_mode = ceiled;
    return nets_add(m, &op, in);
}

static inline int nets_sum(struct net_made *m, int a, int b)
{
    struct nn_op op;
    nn_op_init(&op, NN_ADD, "");
    op.n_in = 2;
    op.in[1] = b;
    return nets_add(m, &op, a);
}

static inline int nets_pad(struct net_made *m, int in, int bottom, int right, int c)
{
    struct nn_op op;
    nn_op_init(&op, NN_PAD, "");
    op.pad[2] = bottom, op.pad[3] = right;
    op.pad_c = c;
    return nets_add(m, &op, in);
}

static inline void nets_output(struct net_made *m, const char *name, int op)
{
    struct nn_output *o = &m->g.outputs[m->g.n_outputs++];
    snprintf(o->name, sizeof o->name, "%s", name);
    o->op = op;
}

static inline void nets_start(struct net_made *m, uint64_t seed, int c, int h, int w)
{
    memset(m, 0, sizeof *m);
    m->seed = seed;
    m->g.in_c = c, m->g.in_h = h, m->g.in_w = w;
}

static inline int nets__cp(struct net_made *m, int in, int ic, int oc, int k)
{
    return nets_prelu(m, nets_conv(m, in, ic, oc, k, 1, 0), oc);
}

static inline void nets_pnet(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 0, 0);
    int x = nets_pool(m, NN_MAX_POOL, nets__cp(m, -1, 3, 10, 3), 2, 2, true);
    x = nets__cp(m, nets__cp(m, x, 10, 16, 3), 16, 32, 3);
    nets_output(m, "prob", nets_op(m, NN_SOFTMAX, nets_conv(m, x, 32, 2, 1, 1, 0)));
    nets_output(m, "box", nets_conv(m, x, 32, 4, 1, 1, 0));
}

static inline void nets_rnet(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 24, 24);
    int x = nets_pool(m, NN_MAX_POOL, nets__cp(m, -1, 3, 28, 3), 3, 2, true);
    x = nets_pool(m, NN_MAX_POOL, nets__cp(m, x, 28, 48, 3), 3, 2, true);
    x = nets_op(m, NN_FLATTEN, nets__cp(m, x, 48, 64, 2));
    x = nets_prelu(m, nets_dense(m, x, 576, 128, true), 128);
    nets_output(m, "prob", nets_op(m, NN_SOFTMAX, nets_dense(m, x, 128, 2, true)));
    nets_output(m, "box", nets_dense(m, x, 128, 4, true));
}

static inline void nets_onet(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 48, 48);
    int x = nets_pool(m, NN_MAX_POOL, nets__cp(m, -1, 3, 32, 3), 3, 2, true);
    x = nets_pool(m, NN_MAX_POOL, nets__cp(m, x, 32, 64, 3), 3, 2, true);
    x = nets_pool(m, NN_MAX_POOL, nets__cp(m, x, 64, 64, 3), 2, 2, true);
    x = nets_op(m, NN_FLATTEN, nets__cp(m, x, 64, 128, 2));
    x = nets_prelu(m, nets_dense(m, x, 1152, 256, true), 256);
    nets_output(m, "prob", nets_op(m, NN_SOFTMAX, nets_dense(m, x, 256, 2, true)));
    nets_output(m, "box", nets_dense(m, x, 256, 4, true));
    nets_output(m, "points", nets_dense(m, x, 256, 10, true));
}

static inline int nets__same(struct net_made *m, int x, int c)
{
    int y = nets_op(m, NN_RELU, nets_conv(m, x, c, c, 3, 1, 1));
    return nets_op(m, NN_RELU, nets_sum(m, nets_conv(m, y, c, c, 3, 1, 1), x));
}

/* pad: columns and rows that the convolutions' branch lacks. */
static inline int nets__down(struct net_made *m, int x, int ic, int oc, int pad)
{
    int y = nets_conv(m, nets_op(m, NN_RELU, nets_conv(m, x, ic, oc, 3, 2, 0)), oc, oc, 3, 1, 1);
    if (pad) y = nets_pad(m, y, pad, pad, 0);
    int z = nets_pool(m, NN_AVG_POOL, x, 2, 2, false);
    if (oc > ic) z = nets_pad(m, z, 0, 0, oc - ic);
    return nets_op(m, NN_RELU, nets_sum(m, y, z));
}

static inline void nets_resnet(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 150, 150);
    int x = nets_op(m, NN_RELU, nets_conv(m, -1, 3, 32, 7, 2, 0));
    x = nets_pool(m, NN_MAX_POOL, x, 3, 2, false);
    for (int i = 0; i < 3; i++) x = nets__same(m, x, 32);
    x = nets__down(m, x, 32, 64, 0);
    for (int i = 0; i < 3; i++) x = nets__same(m, x, 64);
    x = nets__down(m, x, 64, 128, 0);
    for (int i = 0; i < 2; i++) x = nets__same(m, x, 128);
    x = nets__down(m, x, 128, 256, 1);
    for (int i = 0; i < 2; i++) x = nets__same(m, x, 256);
    x = nets__down(m, x, 256, 256, 1);
    x = nets_op(m, NN_GLOBAL_AVG_POOL, x);
    nets_output(m, "embedding", nets_dense(m, x, 256, 128, false));
}

#endif
