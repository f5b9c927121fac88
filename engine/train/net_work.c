/* One shard through the net, there and back. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/net.h"

static size_t value_row(const struct train_net *net, int value)
{
    if (!value) return net->in_row;
    const struct train_window *t = &net->layers[value - 1].t;
    return (size_t)t->oh * (size_t)t->ow * (size_t)t->oc;
}

/* Bytes, in whole cache lines. */
static size_t room(size_t elements, size_t size)
{
    return (elements * size + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
}

/* Gives each array its place in w->memory; returns how many bytes there must be (memory NULL: only
 * that). */
static size_t place(struct train_work *w, const struct train_net *net)
{
    const size_t size = net->ops->size, rows = (size_t)w->rows;
    size_t at = 0;
#define PLACE(what, elements, bytes)                                                               \
    do {                                                                                           \
        if (w->memory) (what) = (void *)(w->memory + at);                                          \
        at += room(elements, bytes);                                                               \
    } while (0)
    for (int i = 0; i <= net->n_layers; i++) PLACE(w->values[i], rows * value_row(net, i), size);
    for (int i = 0; i < net->n_layers; i++) {
        const struct train_layer *l = &net->layers[i];
        if (l->kind == TRAIN_POOL)
            PLACE(w->from[i], rows * value_row(net, i + 1), sizeof(uint16_t));
        if (l->kind == TRAIN_NORM) PLACE(w->mean[i], 2 * (size_t)l->t.oc, size);
        if (l->kind == TRAIN_L2) PLACE(w->mean[i], rows, size);
    }
    for (int i = 0; i < 2; i++) PLACE(w->back[i], rows * net->widest, size);
    PLACE(w->scratch, net->scratch, size);
    PLACE(w->gradient, net->parameters, size);
#undef PLACE
    return at;
}

enum err train_work_new(struct train_work **out, const struct train_net *net, int rows,
                        struct err_info *err)
{
    const size_t layers = (size_t)net->n_layers + 1;
    struct train_work *w = calloc(1, sizeof *w);

    if (w) {
        w->rows = rows;
        w->values = calloc(layers, sizeof *w->values);
        w->from = calloc(layers, sizeof *w->from);
        w->mean = calloc(layers, sizeof *w->mean);
    }
    if (w && w->values && w->from && w->mean) w->memory = mem_aligned(place(w, net), 1);
    if (!w || !w->memory) {
        train_work_free(w);
        return err_set(err, ERR_NOMEM, "no memory to train %d rows", rows);
    }
    place(w, net);
    *out = w;
    return ERR_OK;
}

void train_work_free(struct train_work *w)
{
    if (!w) return;
    free(w->memory);
    free(w->values);
    free(w->from);
    free(w->mean);
    free(w);
}

static const void *at(const struct train_net *net, const void *array, long element)
{
    return element == TRAIN_NONE ? NULL : (const char *)array + (size_t)element * net->ops->size;
}

static void *of(const struct train_net *net, void *array, long element)
{
    return element == TRAIN_NONE ? NULL : (char *)array + (size_t)element * net->ops->size;
}

static size_t pixels_of(const struct train_window *t)
{
    return (size_t)t->n * (size_t)t->oh * (size_t)t->ow;
}

static void forward(struct train_work *w, const struct train_net *net, const void *parameters,
                    int i)
{
    const struct train_ops *ops = net->ops;
    const struct train_layer *l = &net->layers[i];
    struct train_window t = l->t;
    const void *x = w->values[i], *p = at(net, parameters, l->w), *q = at(net, parameters, l->b);
    void *y = w->values[i + 1];
    t.n = w->n;
    switch (l->kind) {
    case TRAIN_PRODUCT:
        ops->conv(y, x, p, q, &t, w->scratch);
        break;
    case TRAIN_POOL:
        ops->max_pool(y, w->from[i], x, &t);
        break;
    case TRAIN_ACT:
        ops->act(y, x, p, pixels_of(&t), t.oc);
        break;
    case TRAIN_NORM:
        ops->norm(y, w->mean[i], of(net, w->mean[i], t.oc), x, p, q, TRAIN_EPSILON, l->relu,
                  pixels_of(&t), t.oc);
        break;
    case TRAIN_DROPOUT:
        ops->dropout(y, x, l->dropout, w->seed + (uint64_t)i, pixels_of(&t) * (size_t)t.oc);
        break;
    case TRAIN_L2:
        ops->l2_normalize(y, w->mean[i], x, (size_t)t.n, t.oh * t.ow * t.oc);
        break;
    }
}

/* dx may be dy where the layer leaves each element in its place. */
static void *backward(struct train_work *w, const struct train_net *net, const void *parameters,
                      const void *turned, int i, void *dy)
{
    const struct train_ops *ops = net->ops;
    const struct train_layer *l = &net->layers[i];
    struct train_window t = l->t;
    const void *x = w->values[i], *y = w->values[i + 1], *p = at(net, parameters, l->w);
    void *dp = of(net, w->gradient, l->w), *dq = of(net, w->gradient, l->b);
    void *dx = w->back[dy == w->back[0]];
    t.n = w->n;
    switch (l->kind) {
    case TRAIN_PRODUCT:
        ops->conv_weights(dp, dq, dy, x, &t, w->scratch);
        if (i) ops->conv_input(dx, dy, at(net, turned, l->w), &t, w->scratch);
        return dx;
    case TRAIN_POOL:
        ops->max_pool_input(dx, dy, w->from[i], &t);
        return dx;
    case TRAIN_ACT:
        ops->act_input(dy, dp, dy, x, p, pixels_of(&t), t.oc);
        return dy;
    case TRAIN_NORM:
        ops->norm_input(dy, dp, dq, dy, x, y, w->mean[i], of(net, w->mean[i], t.oc), p, l->relu,
                        pixels_of(&t), t.oc);
        return dy;
    case TRAIN_DROPOUT:
        ops->dropout(dy, dy, l->dropout, w->seed + (uint64_t)i, pixels_of(&t) * (size_t)t.oc);
        return dy;
    case TRAIN_L2:
        ops->l2_normalize_input(dy, dy, y, w->mean[i], (size_t)t.n, t.oh * t.ow * t.oc);
        return dy;
    }
    return dy;
}

void *train_work_forward(struct train_work *w, const struct train_net *net, const void *parameters,
                         int n, uint64_t seed)
{
    w->n = n;
    w->seed = seed;
    for (int i = 0; i < net->n_layers; i++) forward(w, net, parameters, i);
    return w->values[net->n_layers];
}

void train_work_backward(struct train_work *w, const struct train_net *net, const void *parameters,
                         const void *turned, void *dy)
{
    memset(w->gradient, 0, net->parameters * net->ops->size);
    for (int i = net->n_layers - 1; i >= 0; i--) dy = backward(w, net, parameters, turned, i, dy);
}

static double get(const struct train_net *net, const void *array, size_t i)
{
    return net->ops->size == sizeof(double) ? ((const double *)array)[i]
                                            : (double)((const float *)array)[i];
}

void train_work_statistics(double *statistics, const struct train_work *w,
                           const struct train_net *net, double rate)
{
    for (int i = 0; i < net->n_layers; i++) {
        const struct train_layer *l = &net->layers[i];
        const size_t c = (size_t)l->t.oc;
        if (l->kind != TRAIN_NORM) continue;
        double *mean = statistics + l->statistics, *variance = mean + c;
        for (size_t k = 0; k < c; k++) {
            const double inv = get(net, w->mean[i], c + k);
            mean[k] += rate * (get(net, w->mean[i], k) - mean[k]);
            variance[k] += rate * (1 / (inv * inv) - TRAIN_EPSILON - variance[k]);
        }
    }
}
