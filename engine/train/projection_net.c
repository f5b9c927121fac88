#include "engine/train/projection_net.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

static enum err make_net(struct train_net **out, int d, int dim, const struct train_ops *ops,
                         struct err_info *err)
{
    static const struct train_note NOTES[2] = {{0}};
    struct nn_graph g = {.in_c = d, .in_h = 1, .in_w = 1};
    struct nn_op dense, unit;

    nn_op_init(&dense, NN_DENSE, "projection");
    dense.n_in = 1;
    dense.in[0] = -1;
    dense.out = dim;
    dense.w_count = (size_t)d * (size_t)dim;
    nn_op_init(&unit, NN_L2_NORMALIZE, "unit");
    unit.n_in = 1;
    unit.in[0] = 0;
    enum err rc = nn_graph_add(&g, &dense) < 0 || nn_graph_add(&g, &unit) < 0
                      ? err_set(err, ERR_NOMEM, "no memory for a projection")
                      : train_net_new(out, &g, NOTES, ops, err);
    nn_graph_release(&g);
    return rc;
}

enum err projection_net_new(struct projection_net **out, int d, int dim,
                            const struct train_ops *ops, struct err_info *err)
{
    const size_t values = (size_t)PROJECTION_BATCH * (size_t)dim;
    struct projection_net *p = calloc(1, sizeof *p);
    enum err rc;

    if (!p) return err_set(err, ERR_NOMEM, "no memory for a projection");
    if ((rc = make_net(&p->net, d, dim, ops, err))) goto fail;
    p->z = mem_aligned(values, ops->size);
    p->slopes = mem_aligned(values, ops->size);
    p->gradient = mem_aligned(p->net->parameters, ops->size);
    if (!p->z || !p->slopes || !p->gradient) {
        rc = err_set(err, ERR_NOMEM, "no memory for a projection of %d x %d", d, dim);
        goto fail;
    }
    for (int i = 0; i < PROJECTION_SHARDS; i++)
        if ((rc = train_work_new(&p->work[i], p->net, PROJECTION_BATCH / PROJECTION_SHARDS, err)))
            goto fail;
    if ((rc = train_triplets_init(&p->triplets, PROJECTION_BATCH, ops, err))) goto fail;
    *out = p;
    return ERR_OK;
fail:
    projection_net_free(p);
    return rc;
}

void projection_net_free(struct projection_net *p)
{
    if (!p) return;
    for (int i = 0; i < PROJECTION_SHARDS; i++) train_work_free(p->work[i]);
    train_triplets_release(&p->triplets);
    train_net_free(p->net);
    free(p->z);
    free(p->slopes);
    free(p->gradient);
    free(p);
}

struct shard_run {
    struct projection_net *p;
    const void *w;
    const struct projection_batch *b;
};

/* Row i of the batch belongs to shard i % PROJECTION_SHARDS. */
static int rows_of(const struct projection_batch *b, int shard)
{
    return (b->n - shard + PROJECTION_SHARDS - 1) / PROJECTION_SHARDS;
}

static void shard_forward(void *arg, int shard, int thread)
{
    const struct shard_run *r = arg;
    struct train_work *w = r->p->work[shard];
    const size_t in = r->p->net->in_row * r->p->net->ops->size,
                 out = r->p->net->out_row * r->p->net->ops->size;
    const int n = rows_of(r->b, shard);

    (void)thread;
    for (int i = 0; i < n; i++)
        memcpy(w->values[0] + (size_t)i * in, r->b->rows[i * PROJECTION_SHARDS + shard], in);
    const char *z = train_work_forward(w, r->p->net, r->w, n, 0);
    for (int i = 0; i < n; i++)
        memcpy((char *)r->p->z + (size_t)(i * PROJECTION_SHARDS + shard) * out, z + (size_t)i * out,
               out);
}

static void shard_backward(void *arg, int shard, int thread)
{
    const struct shard_run *r = arg;
    struct train_work *w = r->p->work[shard];
    const size_t out = r->p->net->out_row * r->p->net->ops->size;
    const int n = rows_of(r->b, shard);

    (void)thread;
    for (int i = 0; i < n; i++)
        memcpy(w->back[0] + (size_t)i * out,
               (char *)r->p->slopes + (size_t)(i * PROJECTION_SHARDS + shard) * out, out);
    /* weights turned are for the gradient of the input, which nothing is before */
    train_work_backward(w, r->p->net, r->w, NULL, w->back[0]);
}

static void sum_slice(void *arg, int slice, int thread)
{
    const struct shard_run *r = arg;
    const struct projection_net *p = r->p;
    const size_t all = p->net->parameters, first = all * (size_t)slice / PROJECTION_SHARDS,
                 end = all * ((size_t)slice + 1) / PROJECTION_SHARDS;

    (void)thread;
    for (int k = 0; k < PROJECTION_SHARDS; k++) {
        const void *from = p->work[k]->gradient;
        if (p->net->ops->size == sizeof(double)) {
            double *to = p->gradient;
            for (size_t i = first; i < end; i++)
                to[i] = (k ? to[i] : 0) + ((const double *)from)[i];
        } else {
            float *to = p->gradient;
            for (size_t i = first; i < end; i++) to[i] = (k ? to[i] : 0) + ((const float *)from)[i];
        }
    }
}

void projection_forward(struct projection_net *p, const void *w, const struct projection_batch *b,
                        const struct cores *cores)
{
    struct shard_run r = {p, w, b};
    cores_run(cores, shard_forward, &r, PROJECTION_SHARDS);
}

void projection_backward(struct projection_net *p, const void *w, const struct projection_batch *b,
                         const struct cores *cores)
{
    struct shard_run r = {p, w, b};
    cores_run(cores, shard_backward, &r, PROJECTION_SHARDS);
    cores_run(cores, sum_slice, &r, PROJECTION_SHARDS);
}
