/* Nets: a graph that was checked once, and its weights as kernels want them, packed when the first
 * plan asks for them. */
#include "engine/nn/fast.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

static const size_t LARGE_WEIGHTS = 64 * 1024 * 1024 / sizeof(float);

static const char *const BACKEND_NAMES[NN_BACKEND_COUNT] = {"ref", "blas", "fast"};

const char *nn_backend_name(enum nn_backend b)
{
    return (unsigned)b < NN_BACKEND_COUNT ? BACKEND_NAMES[b] : "?";
}

const char *nn_precision_name(enum nn_precision p)
{
    return p == NN_F32 ? "f32" : p == NN_BF16 ? "bf16" : "auto";
}

enum err nn_net_new(struct nn_net **out, const struct nn_graph *g, enum nn_backend backend,
                    enum nn_precision precision, struct err_info *err)
{
    if ((unsigned)backend >= NN_BACKEND_COUNT)
        return err_set(err, ERR_INVALID, "backend %d, there are %d", (int)backend,
                       (int)NN_BACKEND_COUNT);
    enum err rc = nn_graph_check(g, false, err);
    if (rc) return rc;
    struct nn_net *net = calloc(1, sizeof *net);
    if (!net) return err_set(err, ERR_NOMEM, "no memory for a net");
    net->graph = g;
    net->backend = backend;
    net->precision =
        backend == NN_FAST && precision == NN_BF16 && nn__onednn_has_bf16() ? NN_BF16 : NN_F32;
    net->simd = nn__simd_pick();
    size_t weights = 0;
    for (int i = 0; i < g->n_ops; i++) weights += g->ops[i].w_count;
    net->large = weights >= LARGE_WEIGHTS;
    pthread_mutex_init(&net->lock, NULL);
    *out = net;
    return ERR_OK;
}

void nn_net_free(struct nn_net *net)
{
    if (!net) return;
    for (int i = 0; i < net->graph->n_ops; i++) /* also what was read without being packed */
        nn__weights_done(net, net->graph->ops[i].w, net->graph->ops[i].w_count);
    for (struct nn__pack *k = net->packs, *next; k; k = next) {
        next = k->next;
        free(k->data);
        free(k);
    }
    pthread_mutex_destroy(&net->lock);
    free(net);
}

const struct nn_graph *nn_net_graph(const struct nn_net *net)
{
    return net->graph;
}

enum nn_precision nn_net_precision(const struct nn_net *net)
{
    return net->precision;
}

void nn_net_weights_are_mapped(struct nn_net *net)
{
    net->mapped = true;
}

bool nn_net_is_large(const struct nn_net *net)
{
    return net->large;
}

void nn__weights_done(const struct nn_net *net, const float *w, size_t count)
{
    /* The page that the next weights begin in is theirs; the one that these begin in goes. */
    const uintptr_t page = 4096, from = (uintptr_t)w / page * page,
                    to = (uintptr_t)(w + count) / page * page;
    if (net->mapped && w && from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

enum err nn__net_pack(const float **out, const struct nn_net *net, int op, int kind, int h, int w,
                      float *(*make)(const void *arg), const void *arg, struct err_info *err)
{
    struct nn_net *mine =
        (struct nn_net *)net; /* the list is the one part that changes, under the lock */
    enum err rc = ERR_OK;
    pthread_mutex_lock(&mine->lock);
    struct nn__pack *k = mine->packs;
    while (k && (k->op != op || k->kind != kind || k->h != h || k->w != w)) k = k->next;
    if (!k) {
        k = calloc(1, sizeof *k);
        if (k) k->data = make(arg);
        if (k && k->data) {
            k->op = op, k->kind = kind, k->h = h, k->w = w;
            k->next = mine->packs;
            mine->packs = k;
            nn__weights_done(net, net->graph->ops[op].w, net->graph->ops[op].w_count);
        } else {
            free(k);
            k = NULL;
            rc = err_set(err, ERR_NOMEM, "%s: no memory for its weights", net->graph->ops[op].name);
        }
    }
    if (k) *out = k->data;
    pthread_mutex_unlock(&mine->lock);
    return rc;
}
