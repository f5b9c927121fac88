/* A trained net as a graph that engine/nn runs: batch norms become part of the layer before them,
 * weights go back into the graph's layouts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/net.h"

static double get(const struct train_net *net, const void *array, long i)
{
    return net->ops->size == sizeof(double) ? ((const double *)array)[i]
                                            : (double)((const float *)array)[i];
}

/* y = scale x + shift: what a norm does with fixed statistics; 1 and 0 without one. */
static void fold_of(double *scale, double *shift, const struct train_net *net,
                    const struct train_layer *norm, int channel, const void *parameters,
                    const double *statistics)
{
    *scale = 1;
    *shift = 0;
    if (!norm) return;
    const double mean = statistics[norm->statistics + channel],
                 variance = statistics[norm->statistics + norm->t.oc + channel];
    *scale = get(net, parameters, norm->w + channel) / sqrt(fmax(variance, 0) + TRAIN_EPSILON);
    *shift = get(net, parameters, norm->b + channel) - mean * *scale;
}

/* [kh][kw][c][oc] -> [oc][c][kh][kw]; a dense layer's c is [h][w][c] -> [c][h][w]. */
static void export_product(float *w, float *b, const struct train_net *net,
                           const struct train_layer *l, const struct train_layer *norm,
                           const void *parameters, const double *statistics)
{
    const struct train_window *t = &l->t;
    const bool dense = l->flat.c > 0;
    const int kh = dense ? l->flat.h : t->kh, kw = dense ? l->flat.w : t->kw,
              c = dense ? l->flat.c : t->c;
    for (int o = 0; o < t->oc; o++) {
        double scale, shift;
        fold_of(&scale, &shift, net, norm, o, parameters, statistics);
        for (int i = 0; i < c; i++)
            for (int y = 0; y < kh; y++)
                for (int x = 0; x < kw; x++)
                    *w++ = (float)(scale * get(net, parameters,
                                               l->w + (((long)y * kw + x) * c + i) * t->oc + o));
        if (b)
            b[o] =
                (float)(shift + scale * (l->b == TRAIN_NONE ? 0 : get(net, parameters, l->b + o)));
    }
}

/* The layer of that kind that op was made into, or NULL. */
static const struct train_layer *layer_of(const struct train_net *net, int op, enum train_kind kind)
{
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].op == op && net->layers[i].kind == kind) return &net->layers[i];
    return NULL;
}

static void export_op(struct nn_op *op, float **room, const struct train_net *net, int index,
                      const void *parameters, const double *statistics)
{
    const struct train_layer *l = layer_of(net, index, TRAIN_PRODUCT),
                             *norm = layer_of(net, index, TRAIN_NORM),
                             *act = layer_of(net, index, TRAIN_ACT);
    if (!op->w_count) return;
    float *w = *room, *b = w + op->w_count;
    if (norm && !op->b_count) op->b_count = (size_t)op->out;
    if (!op->b_count) b = NULL;
    *room += op->w_count + op->b_count;
    if (l)
        export_product(w, b, net, l, norm, parameters, statistics);
    else
        for (size_t i = 0; i < op->w_count; i++)
            w[i] = (float)get(net, parameters, act->w + (long)i);
    op->w = w;
    op->b = b;
}

enum err train_net_export(struct nn_graph *out, float **weights, const struct train_net *net,
                          const struct nn_graph *g, int ops, const void *parameters,
                          const double *statistics, struct err_info *err)
{
    struct nn_graph made = {.in_c = g->in_c, .in_h = g->in_h, .in_w = g->in_w};
    float *block = calloc(net->parameters + 1, sizeof *block), *room = block;
    bool ok = block != NULL;

    for (int i = 0; ok && i < ops; i++) {
        struct nn_op op = g->ops[i];
        export_op(&op, &room, net, i, parameters, statistics);
        ok = nn_graph_add(&made, &op) >= 0;
    }
    if (ok && made.ops[ops - 1].kind != NN_L2_NORMALIZE) {
        struct nn_op unit;
        nn_op_init(&unit, NN_L2_NORMALIZE, "unit");
        unit.n_in = 1;
        unit.in[0] = ops - 1;
        ok = nn_graph_add(&made, &unit) >= 0;
    }
    if (!ok) {
        nn_graph_release(&made);
        free(block);
        return err_set(err, ERR_NOMEM, "no memory for the trained network");
    }
    made.n_outputs = 1;
    made.outputs[0] = (struct nn_output){"embedding", made.n_ops - 1};
    const enum err rc = nn_graph_check(&made, true, err);
    if (rc) {
        nn_graph_release(&made);
        free(block);
        return rc;
    }
    *out = made;
    *weights = block;
    return ERR_OK;
}
