/* One thread's executor. Answers do not depend on the batch, and a plan runs any number of rows up
 * to its own, so plans for 1, 2, 4, ... 32 rows serve every n; larger batches are cut. Plans share
 * one block of memory, as large as the largest wants, because only one runs at a time. */
#include "engine/nn/exec.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/nn/nn_internal.h"

enum { PLANS_DEFAULT = 64, PLANS_LIMIT = 4096, ROWS_AT_ONCE = 32 };

struct slot {
    struct nn_plan *plan; /* NULL: free */
    unsigned long used;   /* the time it was used last */
};

struct nn_exec {
    int threads, max_plans;
    struct slot *slots; /* max_plans */
    unsigned long now;
    struct pool *pool;
    char *memory;
    size_t memory_bytes;
};

enum err nn_exec_new(struct nn_exec **out, int threads, int max_plans, struct err_info *err)
{
    if (max_plans < 0 || max_plans > PLANS_LIMIT)
        return err_set(err, ERR_INVALID, "%d plans to keep, the limit is %d", max_plans,
                       (int)PLANS_LIMIT);
    struct nn_exec *x = calloc(1, sizeof *x);
    if (!x) return err_set(err, ERR_NOMEM, "no memory for an executor");
    x->threads = threads;
    x->max_plans = max_plans ? max_plans : PLANS_DEFAULT;
    enum err rc = pool_new(&x->pool, threads, err);
    if (rc) goto fail;
    x->slots = calloc((size_t)x->max_plans, sizeof *x->slots);
    if (!x->slots) {
        rc = err_set(err, ERR_NOMEM, "no memory for %d plans", x->max_plans);
        goto fail;
    }
    *out = x;
    return ERR_OK;
fail:
    nn_exec_free(x);
    return rc;
}

void nn_exec_free(struct nn_exec *x)
{
    if (!x) return;
    for (int i = 0; x->slots && i < x->max_plans; i++) nn_plan_free(x->slots[i].plan);
    pool_free(x->pool);
    free(x->slots);
    free(x->memory);
    free(x);
}

void nn_exec_forget(struct nn_exec *x, const struct nn_net *net)
{
    for (struct slot *s = x->slots; s < x->slots + x->max_plans; s++)
        if (s->plan && s->plan->net == net) {
            nn_plan_free(s->plan);
            *s = (struct slot){NULL, 0};
        }
}

static enum err reserve(struct nn_exec *x, size_t bytes, struct err_info *err)
{
    if (bytes <= x->memory_bytes) return ERR_OK;
    char *memory = mem_aligned(bytes, 1);
    if (!memory) return err_set(err, ERR_NOMEM, "no memory for a plan's %zu bytes", bytes);
    free(x->memory);
    x->memory = memory;
    x->memory_bytes = bytes;
    return ERR_OK;
}

static enum err get_plan(struct nn_exec *x, struct nn_plan **out, const struct nn_net *net, int n,
                         int h, int w, struct err_info *err)
{
    struct slot *oldest = x->slots;
    x->now++;
    for (struct slot *s = x->slots; s < x->slots + x->max_plans; s++) {
        struct nn_plan *p = s->plan;
        if (p && p->net == net && p->n == n && p->h == h && p->w == w) {
            s->used = x->now;
            *out = p;
            return ERR_OK;
        }
        if (s->used < oldest->used) oldest = s;
    }
    struct nn_plan *p;
    enum err rc = nn__plan_make(&p, net, n, h, w, x->threads, false, err);
    if (rc) return rc;
    if ((rc = reserve(x, nn__plan_bytes(p), err))) {
        nn_plan_free(p);
        return rc;
    }
    nn_plan_free(oldest->plan);
    *oldest = (struct slot){p, x->now};
    *out = p;
    return ERR_OK;
}

enum err nn_exec_run(struct nn_exec *x, const struct nn_net *net, int n, int h, int w,
                     const float *in, float *const *outs, struct err_info *err)
{
    const struct nn_graph *g = net->graph;
    if (h == 0 && w == 0) h = g->in_h, w = g->in_w;
    if (n < 1) return err_set(err, ERR_INVALID, "%d rows to run, expected 1 or more", n);
    omp_set_num_threads(x->threads); /* a setting of the calling thread */
    float *at[NN_MAX_OUTPUTS];
    memcpy(at, outs, sizeof *at * (size_t)g->n_outputs);
    while (n > 0) {
        struct nn_plan *p;
        int rows = n < ROWS_AT_ONCE ? n : ROWS_AT_ONCE, room = 1;
        while (room < rows) room *= 2;
        enum err rc = get_plan(x, &p, net, room, h, w, err);
        if (rc) return rc;
        nn__plan_bind(p, x->memory, x->pool);
        nn__plan_run(p, rows, in, at);
        in += (size_t)rows * g->in_c * h * w;
        for (int i = 0; i < g->n_outputs; i++) {
            struct nn_shape s = nn_plan_output_shape(p, i);
            if (at[i]) at[i] += (size_t)rows * s.c * s.h * s.w;
        }
        n -= rows;
    }
    return ERR_OK;
}

enum err nn_exec_run_timed(struct nn_exec *x, const struct nn_net *net, int n, int h, int w,
                           const float *in, float *const *outs, struct nn_layer_info *layers,
                           int max, int *count, struct err_info *err)
{
    struct nn_plan *p;
    if (n < 1 || n > ROWS_AT_ONCE)
        return err_set(err, ERR_INVALID, "%d rows to time, the limit is %d", n, (int)ROWS_AT_ONCE);
    omp_set_num_threads(x->threads);
    enum err rc = get_plan(x, &p, net, n, h, w, err);
    if (rc) return rc;
    nn__plan_bind(p, x->memory, x->pool);
    nn__plan_run_timed(p, n, in, outs);
    const int all = nn_plan_layers(p, layers, max);
    *count = 0;
    for (int i = 0; i < all; i++)
        if (layers[i].seconds > 0) layers[(*count)++] = layers[i];
    return ERR_OK;
}

enum err nn_exec_peak(struct nn_exec *x, struct nn_peak *out, struct err_info *err)
{
    return nn__peak(out, x->pool, err);
}
