#include "engine/train/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/random.h"

static const double SLOPE = 0.25;

static size_t row_of(struct nn_shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static struct train_layer *add_layer(struct train_net *net, enum train_kind kind, int op,
                                     struct nn_shape s)
{
    struct train_layer *l = &net->layers[net->n_layers++];
    *l = (struct train_layer){.kind = kind, .op = op, .w = TRAIN_NONE, .b = TRAIN_NONE};
    l->t = (struct train_window){0, s.h, s.w, s.c, 1, 1, 1, 1, 0, 0, s.h, s.w, s.c};
    l->statistics = TRAIN_NONE;
    return l;
}

static long take(struct train_net *net, size_t count)
{
    const long at = (long)net->parameters;
    net->parameters += count;
    return at;
}

static void add_product(struct train_net *net, const struct nn_op *op, int index,
                        struct nn_shape in, struct nn_shape out)
{
    struct train_layer *l = add_layer(net, TRAIN_PRODUCT, index, in);
    if (op->kind == NN_DENSE) {
        l->flat = in;
        l->t.c = (int)row_of(in);
        l->t.h = l->t.w = 1;
    } else {
        l->t.kh = op->kernel[0];
        l->t.kw = op->kernel[1];
        l->t.sh = op->stride[0];
        l->t.sw = op->stride[1];
        l->t.pt = op->pad[0];
        l->t.pl = op->pad[1];
    }
    l->t.oh = out.h;
    l->t.ow = out.w;
    l->t.oc = out.c;
    l->w = take(net, op->w_count);
    if (op->b_count) l->b = take(net, op->b_count);
    const size_t scratch = net->ops->conv_scratch(&l->t);
    if (scratch > net->scratch) net->scratch = scratch;
}

static void add_norm(struct train_net *net, int index, struct nn_shape s, bool relu)
{
    struct train_layer *l = add_layer(net, TRAIN_NORM, index, s);
    l->relu = relu;
    l->w = take(net, (size_t)s.c);
    l->b = take(net, (size_t)s.c);
    l->statistics = (long)net->statistics;
    net->statistics += 2 * (size_t)s.c;
}

static enum err refuse(const struct nn_op *op, const char *why, struct err_info *err)
{
    return err_set(err, ERR_INVALID, "%s (%s) cannot be trained: %s", op->name,
                   nn_kind_name(op->kind), why);
}

static enum err check_op(const struct nn_graph *g, int i, const struct train_note *note,
                         struct nn_shape out, struct err_info *err)
{
    const struct nn_op *op = &g->ops[i];
    const bool product = op->kind == NN_CONV2D || op->kind == NN_DENSE;
    if (op->n_in != 1 || op->in[0] != i - 1)
        return refuse(op, "it does not read the op before it", err);
    if (op->kind == NN_CONV2D && (op->groups != 1 || op->dilation != 1))
        return refuse(op, "groups and dilation must be 1", err);
    if (op->kind == NN_MAX_POOL && op->kernel[0] * op->kernel[1] > UINT16_MAX)
        return refuse(op, "its window is larger than 65535 pixels", err);
    if (note->norm && (!product || out.c > TRAIN_MAX_CHANNELS))
        return refuse(op, "batch normalisation follows conv2d or dense of at most 1024 channels",
                      err);
    if (!(note->dropout >= 0 && note->dropout < 1))
        return refuse(op, "dropout is a share of elements below 1", err);
    if (op->kind == NN_PRELU && op->w_count != (size_t)out.c)
        return refuse(op, "its slopes are of a flattened picture", err);
    if (!product && op->kind != NN_MAX_POOL && op->kind != NN_RELU && op->kind != NN_PRELU &&
        op->kind != NN_FLATTEN && op->kind != NN_L2_NORMALIZE)
        return refuse(op, "this kind has no gradient here", err);
    return ERR_OK;
}

static void add_op(struct train_net *net, const struct nn_graph *g, const struct train_note *notes,
                   int i, struct nn_shape in, struct nn_shape out)
{
    const struct nn_op *op = &g->ops[i];
    /* relu after a norm is a part of it */
    const bool joined = op->kind == NN_RELU && i && notes[i - 1].norm && !notes[i - 1].dropout;
    if (op->kind == NN_CONV2D || op->kind == NN_DENSE) {
        const bool relu = i + 1 < g->n_ops && g->ops[i + 1].kind == NN_RELU && !notes[i].dropout;
        add_product(net, op, i, in, out);
        if (notes[i].norm) add_norm(net, i, out, relu);
    } else if (op->kind == NN_MAX_POOL) {
        struct train_layer *l = add_layer(net, TRAIN_POOL, i, in);
        l->t = (struct train_window){0,
                                     in.h,
                                     in.w,
                                     in.c,
                                     op->kernel[0],
                                     op->kernel[1],
                                     op->stride[0],
                                     op->stride[1],
                                     op->pad[0],
                                     op->pad[1],
                                     out.h,
                                     out.w,
                                     out.c};
    } else if (op->kind == NN_PRELU) {
        add_layer(net, TRAIN_ACT, i, out)->w = take(net, op->w_count);
    } else if (op->kind == NN_RELU && !joined) {
        add_layer(net, TRAIN_ACT, i, out);
    } else if (op->kind == NN_L2_NORMALIZE) {
        add_layer(net, TRAIN_L2, i, out);
    }
    if (notes[i].dropout) add_layer(net, TRAIN_DROPOUT, i, out)->dropout = notes[i].dropout;
}

static void measure(struct train_net *net)
{
    net->widest = net->in_row;
    for (int i = 0; i < net->n_layers; i++) {
        const struct train_window *t = &net->layers[i].t;
        net->out_row = (size_t)t->oh * (size_t)t->ow * (size_t)t->oc;
        if (net->out_row > net->widest) net->widest = net->out_row;
    }
}

enum err train_net_new(struct train_net **out, const struct nn_graph *g,
                       const struct train_note *notes, const struct train_ops *ops,
                       struct err_info *err)
{
    AUTO_FREE struct nn_shape *shapes = calloc((size_t)g->n_ops + 1, sizeof *shapes);
    struct train_net *net = calloc(1, sizeof *net);
    enum err rc = ERR_OK;

    if (net) net->layers = calloc(3 * (size_t)g->n_ops + 1, sizeof *net->layers);
    if (!shapes || !net || !net->layers) {
        rc = err_set(err, ERR_NOMEM, "no memory for a net of %d layers", g->n_ops);
        goto fail;
    }
    net->ops = ops;
    shapes[0] = (struct nn_shape){g->in_c, g->in_h, g->in_w};
    if ((rc = nn_graph_shapes(g, g->in_h, g->in_w, shapes + 1, err))) goto fail;
    net->in_row = row_of(shapes[0]);
    for (int i = 0; i < g->n_ops; i++) {
        /* a flat value is its picture in another order here: a dense layer wants to know which */
        if (g->ops[i].kind == NN_FLATTEN) shapes[i + 1] = shapes[i];
        if ((rc = check_op(g, i, &notes[i], shapes[i + 1], err))) goto fail;
        add_op(net, g, notes, i, shapes[i], shapes[i + 1]);
    }
    measure(net);
    *out = net;
    return ERR_OK;
fail:
    train_net_free(net);
    return rc;
}

void train_net_free(struct train_net *net)
{
    if (!net) return;
    free(net->layers);
    free(net);
}

static void put(const struct train_ops *ops, void *array, size_t i, double value)
{
    if (ops->size == sizeof(double))
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = (float)value;
}

/* Elements of a layer's w and of its b. */
static size_t weights_of(const struct train_layer *l)
{
    const struct train_window *t = &l->t;
    if (l->w == TRAIN_NONE) return 0;
    return l->kind == TRAIN_PRODUCT ? (size_t)t->kh * (size_t)t->kw * (size_t)t->c * (size_t)t->oc
                                    : (size_t)t->oc;
}

void train_net_init(const struct train_net *net, void *parameters, double *statistics,
                    uint64_t seed)
{
    struct train_random random = train_random_of(seed, 0, 0);
    for (int i = 0; i < net->n_layers; i++) {
        const struct train_layer *l = &net->layers[i];
        const size_t n = weights_of(l), inputs = n / (size_t)l->t.oc;
        bool last = true; /* of the products: no relu halves its output */
        for (int k = i + 1; k < net->n_layers; k++) last &= net->layers[k].kind != TRAIN_PRODUCT;
        for (size_t k = 0; k < n; k++)
            put(net->ops, parameters, (size_t)l->w + k,
                l->kind == TRAIN_PRODUCT
                    ? train_normal(&random) * sqrt((last ? 1 : 2) / (double)inputs)
                : l->kind == TRAIN_NORM ? 1
                                        : SLOPE);
        for (int k = 0; l->b != TRAIN_NONE && k < l->t.oc; k++)
            put(net->ops, parameters, (size_t)l->b + (size_t)k, 0);
        for (int k = 0; l->statistics != TRAIN_NONE && k < l->t.oc; k++) {
            statistics[l->statistics + k] = 0;
            statistics[l->statistics + l->t.oc + k] = 1;
        }
    }
}

bool train_net_decays(const struct train_net *net, size_t parameter)
{
    for (int i = 0; i < net->n_layers; i++) {
        const struct train_layer *l = &net->layers[i];
        if (l->kind == TRAIN_PRODUCT && parameter >= (size_t)l->w &&
            parameter < (size_t)l->w + weights_of(l))
            return true;
    }
    return false;
}

void train_net_turn(const struct train_net *net, void *turned, const void *parameters)
{
    for (int i = 1; i < net->n_layers; i++) { /* nothing is wanted before the first */
        const struct train_layer *l = &net->layers[i];
        const size_t at = (size_t)(l->kind == TRAIN_PRODUCT ? l->w : 0) * net->ops->size;
        if (l->kind == TRAIN_PRODUCT)
            net->ops->turn_weights((char *)turned + at, (const char *)parameters + at, &l->t);
    }
}
