#include "engine/train/glyph_net.h"

#include <stdio.h>
#include <string.h>

#include "engine/train.h"

enum { STAGES = 3 };

struct builder {
    struct glyph_net *n;
    int c, side;
    bool ok;
};

static struct nn_op op_of(const struct builder *b, enum nn_kind kind, const char *what, int stage,
                          int number)
{
    struct nn_op op;
    char name[NN_NAME_BYTES];
    snprintf(name, sizeof name, "%s%d_%d", what, stage, number);
    nn_op_init(&op, kind, name);
    op.n_in = 1;
    op.in[0] = b->n->g.n_ops - 1;
    return op;
}

static void add(struct builder *b, const struct nn_op *op)
{
    b->ok = b->ok && b->n->g.n_ops < GLYPH_NET_MAX_OPS && nn_graph_add(&b->n->g, op) >= 0;
}

static void add_convolution(struct builder *b, int stage, int number, int channels)
{
    struct nn_op op = op_of(b, NN_CONV2D, "conv", stage, number);
    op.out = channels;
    op.w_count = (size_t)channels * (size_t)b->c * 9;
    for (int i = 0; i < 2; i++) op.kernel[i] = 3;
    for (int i = 0; i < 4; i++) op.pad[i] = 1;
    if (b->ok) b->n->notes[b->n->g.n_ops].norm = true;
    add(b, &op);
    op = op_of(b, NN_RELU, "relu", stage, number);
    add(b, &op);
    b->c = channels;
}

/* 2x2; the last one 3x3, so that none of its 7 rows is lost. */
static void add_pool(struct builder *b, int stage)
{
    struct nn_op op = op_of(b, NN_MAX_POOL, "pool", stage, 0);
    for (int i = 0; i < 2; i++) {
        op.kernel[i] = 2 + b->side % 2;
        op.stride[i] = 2;
    }
    add(b, &op);
    b->side /= 2;
}

static void add_dense(struct builder *b, const char *what, int inputs, int outputs)
{
    struct nn_op op = op_of(b, NN_DENSE, what, 0, 0);
    op.out = outputs;
    op.w_count = (size_t)inputs * (size_t)outputs;
    op.b_count = (size_t)outputs;
    add(b, &op);
}

enum err glyph_net_init(struct glyph_net *n, const struct glyph_net_shape *s, struct err_info *err)
{
    struct builder b = {n, 1, TRAIN_SIDE, true};
    memset(n, 0, sizeof *n);
    n->g.in_c = 1;
    n->g.in_h = n->g.in_w = TRAIN_SIDE;
    for (int stage = 0; stage < STAGES; stage++) {
        for (int i = 0; i < s->convolutions; i++)
            add_convolution(&b, stage + 1, i + 1, s->channels[stage]);
        add_pool(&b, stage + 1);
    }
    if (b.ok) n->notes[n->g.n_ops - 1].dropout = s->dropout;
    add_dense(&b, "dense", b.c * b.side * b.side, s->dim);
    n->embedding_ops = n->g.n_ops;
    if (s->classes) {
        add_dense(&b, "head", s->dim, s->classes);
    } else {
        struct nn_op op = op_of(&b, NN_L2_NORMALIZE, "unit", 0, 0);
        add(&b, &op);
        n->embedding_ops = n->g.n_ops;
    }
    if (b.ok) return ERR_OK;
    nn_graph_release(&n->g);
    return err_set(err, ERR_NOMEM, "no memory for a network");
}

void glyph_net_release(struct glyph_net *n)
{
    nn_graph_release(&n->g);
}
