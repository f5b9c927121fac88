/* Small random nets for the tests of engine/nn: blocks of the kinds that are fused. */
#ifndef VISAVIS_TESTS_UNIT_NN_RANDOM_H
#define VISAVIS_TESTS_UNIT_NN_RANDOM_H

#include "tests/unit/nets.h"
#include "tests/unit/nn_ways.h"

static inline int maybe_act(struct net_made *m, int x, int c, uint64_t *s)
{
    struct nn_op op;
    switch (nets_int(s, 0, 4)) {
    case 0:
        return nets_op(m, NN_RELU, x);
    case 1:
        return nets_prelu(m, x, c);
    case 2:
        return nets_op(m, NN_RELU6, x);
    case 3:
        nn_op_init(&op, NN_LEAKY_RELU, "");
        op.alpha = 0.2f;
        return nets_add(m, &op, x);
    default:
        return x;
    }
}

static inline void output_once(struct net_made *m, const char *what, int block, int op)
{
    char name[16];
    snprintf(name, sizeof name, "%s%d", what, block);
    if (m->g.n_outputs < OUTS - 1) nets_output(m, name, op);
}

/* Blocks of the kinds that are fused, cut short in every way: sums of padded branches, branches
 * read twice, outputs in the middle, ops nobody reads. */
static inline void random_net(struct net_made *m, uint64_t seed)
{
    uint64_t *s = &m->seed;
    int c = nets_int(&seed, 1, 20), side = nets_int(&seed, 6, 20);
    nets_start(m, seed, c, side, side);
    int x = -1;
    for (int i = 0, k = nets_int(s, 1, 5); i < k; i++) {
        int oc = nets_int(s, 1, 3) == 1 ? nets_int(s, 1, 80) : 16 * nets_int(s, 1, 5);
        int from = x, y;
        switch (nets_int(s, 0, 5)) {
        case 0: /* residual, same size */
            y = maybe_act(m, nets_conv(m, x, c, c, 3, 1, 1), c, s);
            y = nets_conv(m, y, c, c, nets_int(s, 0, 1) ? 3 : 1, 1, 0);
            if (m->g.ops[y].kernel[0] == 3)
                for (int b = 0; b < 4; b++) m->g.ops[y].pad[b] = 1;
            x = maybe_act(m, nets_int(s, 0, 1) ? nets_sum(m, y, x) : nets_sum(m, x, y), c, s);
            break;
        case 1: /* dlib's down block: a branch that lacks a row and a column, one that lacks
                   channels */
            if (side < 7) break;
            oc = c + nets_int(s, 0, 1) * nets_int(s, 1, 20);
            y = nets_conv(m, nets_op(m, NN_RELU, nets_conv(m, x, c, oc, 3, 2, 0)), oc, oc, 3, 1, 1);
            int half = side / 2, conv = (side - 3) / 2 + 1;
            if (half > conv) y = nets_pad(m, y, half - conv, half - conv, 0);
            int z = nets_pool(m, NN_AVG_POOL, x, 2, 2, false);
            if (oc > c) z = nets_pad(m, z, 0, 0, oc - c);
            x = maybe_act(m, nets_int(s, 0, 1) ? nets_sum(m, y, z) : nets_sum(m, z, y), oc, s);
            if (nets_int(s, 0, 3) == 0) output_once(m, "pad", i, z);
            c = oc, side = half;
            break;
        case 2: /* two convolutions added, one of them read twice */
            y = nets_conv(m, x, c, oc, 3, 1, 1);
            x = nets_sum(m, nets_conv(m, x, c, oc, 1, 1, 0), y);
            x = maybe_act(m, nets_int(s, 0, 1) ? nets_sum(m, x, y) : x, oc, s);
            c = oc;
            break;
        case 3:
            if (side < 6) break;
            x = nets_pool(m, nets_int(s, 0, 1) ? NN_MAX_POOL : NN_AVG_POOL, x, 3, 2, true);
            side = (side - 3 + 1) / 2 + 1;
            break;
        case 4: /* doubled by adding to itself; and a dead end */
            x = nets_sum(m, x, x);
            nets_op(m, NN_SIGMOID, nets_conv(m, x, c, 7, 1, 1, 0));
            break;
        default:
            x = maybe_act(m, nets_conv(m, x, c, oc, 3, 1, 1), oc, s);
            c = oc;
            break;
        }
        if (from >= 0 && nets_int(s, 0, 4) == 0) output_once(m, "mid", i, from);
    }
    if (nets_int(s, 0, 1))
        x = nets_op(m, NN_FLATTEN, x);
    else if (nets_int(s, 0, 1))
        x = nets_op(m, NN_GLOBAL_AVG_POOL, x), side = 1;
    x = nets_dense(m, x, c * side * side, nets_int(s, 1, 40), true);
    nets_output(m, "last", nets_op(m, NN_L2_NORMALIZE, x));
}

/* The nets we ship. */
static const struct {
    const char *name;
    void (*make)(struct net_made *m, uint64_t seed);
    int n, h, w;
} NETS[] = {
    {"pnet", nets_pnet, 2, 61, 97},       {"pnet of 12", nets_pnet, 1, 12, 12},
    {"rnet", nets_rnet, 5, 24, 24},       {"onet", nets_onet, 3, 48, 48},
    {"resnet", nets_resnet, 1, 150, 150},
};

#endif
