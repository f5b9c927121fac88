/* Plans: what is common to the backends. A plan knows every shape, has a place for every value and
 * an order of steps, so that forward only runs them. */
#include "engine/nn/fast.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS_MAX = 64 };

typedef enum err lower_fn(struct nn_plan *p, struct err_info *err);
static lower_fn *const LOWER[NN_BACKEND_COUNT] = {nn__ref_lower, nn__blas_lower, nn__fast_lower};

struct nn_shape nn__shape(const struct nn_plan *p, int value)
{
    if (value == NN__INPUT || value >= p->net->graph->n_ops)
        return (struct nn_shape){p->net->graph->in_c, p->h, p->w};
    return p->shapes[value];
}

static size_t value_at(const struct nn_plan *p, int value)
{
    const struct nn__value *v = &p->values[value];
    return v->offset + (v->local ? 0 : (size_t)p->row * v->row_bytes);
}

const float *nn__read(const struct nn_plan *p, int value)
{
    if (value == NN__INPUT) return p->input + (size_t)p->row * p->net->graph->in_c * p->h * p->w;
    return (const float *)(p->memory + value_at(p, value));
}

float *nn__write(const struct nn_plan *p, int value)
{
    return (float *)(p->memory + value_at(p, value));
}

struct nn__step nn__step_of(const struct nn_plan *p, int op)
{
    const struct nn_op *o = &p->net->graph->ops[op];
    struct nn__step s = {.op = op, .out = op, .n_in = o->n_in, .macs = nn__macs(p, op)};
    memcpy(s.in, o->in, sizeof s.in);
    return s;
}

void nn__call_of(struct nn__call *c, const struct nn_plan *p, const struct nn__step *s)
{
    c->op = &p->net->graph->ops[s->op];
    c->n = p->rows;
    for (int i = 0; i < s->n_in; i++) {
        c->in_shape[i] = nn__shape(p, s->in[i]);
        c->in[i] = nn__read(p, s->in[i]);
    }
    c->out_shape = p->shapes[s->op];
    c->out = nn__write(p, s->out);
}

double nn__macs(const struct nn_plan *p, int op)
{
    const struct nn_op *o = &p->net->graph->ops[op];
    struct nn_shape s = p->shapes[op];
    if (o->kind == NN_CONV2D) return (double)p->n * s.h * s.w * (double)o->w_count;
    if (o->kind == NN_DENSE) return (double)p->n * (double)o->w_count;
    return 0;
}

enum err nn__plan_step(struct nn_plan *p, const struct nn__step *s, struct err_info *err)
{
    if (p->n_steps == p->room_steps) {
        int room = p->room_steps ? 2 * p->room_steps : 32;
        struct nn__step *steps = realloc(p->steps, (size_t)room * sizeof *steps);
        if (!steps) {
            if (s->free_data) s->free_data(s->data);
            return err_set(err, ERR_NOMEM, "no memory for %d steps", room);
        }
        p->steps = steps;
        p->room_steps = room;
    }
    p->steps[p->n_steps++] = *s;
    return ERR_OK;
}

static size_t round_up(size_t n)
{
    return (n + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
}

static void find_lifetimes(struct nn_plan *p)
{
    const struct nn_graph *g = p->net->graph;
    for (int i = 0; i < g->n_ops + NN__EXTRA_VALUES; i++)
        p->values[i].first = p->values[i].last = -1;
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn__step *s = &p->steps[i];
        struct nn__value *v = &p->values[s->out];
        if (v->first < 0) v->first = i;
        v->last = i;
        for (int k = 0; k < s->n_in; k++)
            if (s->in[k] >= 0) p->values[s->in[k]].last = i;
        if (s->scratch > p->scratch_bytes) p->scratch_bytes = s->scratch;
    }
    for (int i = 0; i < g->n_outputs; i++) p->values[g->outputs[i].op].last = p->n_steps;
    for (int i = 0; p->unfused && i < g->n_ops; i++) p->values[i].last = p->n_steps;
    for (int i = 0; i < g->n_ops + NN__EXTRA_VALUES; i++) {
        struct nn__value *v = &p->values[i];
        v->local = v->first >= 0 && v->last < p->n_head;
        /* The head comes round again: what goes on past it must not lie where the next rows are
         * computed. */
        if (v->first >= 0 && v->first < p->n_head && !v->local) v->first = 0;
    }
}

/* So that a run which does not want every output skips what only the others need. */
static enum err find_dependents(struct nn_plan *p, struct err_info *err)
{
    const struct nn_graph *g = p->net->graph;
    AUTO_FREE unsigned *of = calloc((size_t)g->n_ops + NN__EXTRA_VALUES, sizeof *of);
    if (!of) return err_set(err, ERR_NOMEM, "no memory for a plan of %d ops", g->n_ops);
    for (int i = 0; i < g->n_outputs; i++) of[g->outputs[i].op] |= 1u << i;
    for (int i = p->n_steps - 1; i >= 0; i--) {
        struct nn__step *s = &p->steps[i];
        s->outputs = of[s->out];
        for (int k = 0; k < s->n_in; k++)
            if (s->in[k] >= 0) of[s->in[k]] |= s->outputs;
    }
    return ERR_OK;
}

static size_t value_bytes(const struct nn_plan *p, const struct nn__value *v)
{
    size_t bytes = v->row_bytes * (size_t)(v->local ? p->head_rows : p->n);
    return (bytes + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
}

/* First fit. live: indices of the values that hold memory, by offset. */
static void place_value(struct nn_plan *p, int value, int *live, int *n_live)
{
    struct nn__value *v = &p->values[value];
    size_t bytes = value_bytes(p, v), at = 0;
    int k = 0;
    for (; k < *n_live; k++) {
        const struct nn__value *o = &p->values[live[k]];
        if (o->offset >= at + bytes) break;
        at = o->offset + value_bytes(p, o);
    }
    v->offset = at;
    memmove(live + k + 1, live + k, (size_t)(*n_live - k) * sizeof *live);
    live[k] = value;
    ++*n_live;
    if (at + bytes > p->memory_bytes) p->memory_bytes = at + bytes;
}

/* In the order the values are written; those that leave the head first, as if its first step wrote
 * them. */
static void place_values(struct nn_plan *p, int *live)
{
    int n_live = 0;
    for (int i = 0; i < p->n_head; i++) {
        const struct nn__value *v = &p->values[p->steps[i].out];
        if (!v->local && v->first == 0) place_value(p, p->steps[i].out, live, &n_live);
    }
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn__value *v = &p->values[p->steps[i].out];
        if (v->first != i || (i < p->n_head && !v->local)) continue;
        int kept = 0;
        for (int k = 0; k < n_live; k++) /* what the step still reads stays */
            if (p->values[live[k]].last >= i) live[kept++] = live[k];
        n_live = kept;
        place_value(p, p->steps[i].out, live, &n_live);
    }
}

static void emit_planes(const struct nn_plan *p, int op, float *dst)
{
    struct nn_shape s = p->shapes[op];
    memcpy(dst, nn__read(p, op), sizeof *dst * (size_t)p->rows * s.c * s.h * s.w);
}

enum err nn__plan_make(struct nn_plan **out, const struct nn_net *net, int n, int h, int w,
                       int threads, bool unfused, struct err_info *err)
{
    const struct nn_graph *g = net->graph;
    if (n < 1 || n > ROWS_MAX)
        return err_set(err, ERR_MODEL, "a plan for %d rows, the limit is 1 to %d", n,
                       (int)ROWS_MAX);
    if (h == 0 && w == 0) h = g->in_h, w = g->in_w;
    size_t n_values = (size_t)g->n_ops + NN__EXTRA_VALUES;
    AUTO_FREE int *live = calloc(n_values, sizeof *live);
    struct nn_plan *p = calloc(1, sizeof *p);
    enum err rc = ERR_NOMEM;
    if (!p || !live) goto fail;
    p->net = net;
    p->n = n, p->h = h, p->w = w;
    p->threads = threads;
    p->unfused = unfused;
    p->emit = emit_planes;
    p->head_rows = p->rows = n;
    p->shapes = calloc((size_t)g->n_ops, sizeof *p->shapes);
    p->values = calloc(n_values, sizeof *p->values);
    if (!p->shapes || !p->values) goto fail;
    if ((rc = nn_graph_shapes(g, h, w, p->shapes, err))) goto fail_said;
    for (size_t i = 0; i < n_values; i++) {
        struct nn_shape s = nn__shape(p, (int)i);
        p->values[i].row_bytes = sizeof(float) * (size_t)s.c * s.h * s.w;
    }
    if ((rc = LOWER[net->backend](p, err))) goto fail_said;
    if ((rc = find_dependents(p, err))) goto fail_said;
    find_lifetimes(p);
    place_values(p, live);
    *out = p;
    return ERR_OK;
fail:
    err_set(err, rc, "no memory for a plan of %d ops", g->n_ops);
fail_said:
    nn_plan_free(p);
    return rc;
}

size_t nn__plan_bytes(const struct nn_plan *p)
{
    return p->memory_bytes + round_up(p->scratch_bytes);
}

void nn__plan_bind(struct nn_plan *p, void *memory, struct pool *pool)
{
    p->memory = memory;
    p->scratch = p->memory + p->memory_bytes;
    p->bound = pool;
}

enum err nn_plan_new(struct nn_plan **out, const struct nn_net *net, int n, int h, int w,
                     struct err_info *err)
{
    struct nn_plan *p;
    enum err rc = nn__plan_make(&p, net, n, h, w, 1, false, err);
    if (rc) return rc;
    size_t bytes = nn__plan_bytes(p);
    if (!(p->own = mem_aligned(bytes, 1))) {
        nn_plan_free(p);
        return err_set(err, ERR_NOMEM, "no memory for a plan's %zu bytes", bytes);
    }
    nn__plan_bind(p, p->own, NULL);
    *out = p;
    return ERR_OK;
}

void nn_plan_free(struct nn_plan *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].free_data) p->steps[i].free_data(p->steps[i].data);
    free(p->steps);
    free(p->shapes);
    free(p->values);
    free(p->own);
    free(p);
}

struct nn_shape nn_plan_output_shape(const struct nn_plan *p, int i)
{
    return p->shapes[p->net->graph->outputs[i].op];
}

static void emit_outputs(const struct nn_plan *p, float *const *outs)
{
    const struct nn_graph *g = p->net->graph;
    for (int i = 0; i < g->n_outputs; i++)
        if (outs[i]) p->emit(p, g->outputs[i].op, outs[i]);
}

/* Multiply-adds, or bytes written, of about 15 us. */
static const double SHARE_MACS = 1e6, SHARE_BYTES = 128 * 1024;

static struct pool *pool_for(const struct nn_plan *p, const struct nn__step *s)
{
    double bytes = (double)p->values[s->out].row_bytes * p->rows;
    return s->macs / p->n * p->rows > SHARE_MACS || bytes > SHARE_BYTES ? p->bound : NULL;
}

enum { EVERYTHING = -1 };

/* wanted: bits of outputs, or EVERYTHING. */
static void run_steps(struct nn_plan *p, int first, int end, int wanted, bool timed)
{
    struct timespec a, b;
    for (int i = first; i < end; i++) {
        if (wanted != EVERYTHING && !(p->steps[i].outputs & (unsigned)wanted)) continue;
        if (timed) clock_gettime(CLOCK_MONOTONIC, &a);
        p->pool = pool_for(p, &p->steps[i]);
        p->steps[i].run(p, &p->steps[i]);
        if (!timed) continue;
        clock_gettime(CLOCK_MONOTONIC, &b);
        p->steps[i].seconds +=
            (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    }
}

static void run_rows(struct nn_plan *p, int n, const float *in, int wanted, bool timed)
{
    p->input = in;
    for (p->row = 0; p->n_head && p->row < n; p->row += p->rows) {
        p->rows = n - p->row < p->head_rows ? n - p->row : p->head_rows;
        run_steps(p, 0, p->n_head, wanted, timed);
    }
    p->row = 0;
    p->rows = n;
    run_steps(p, p->n_head, p->n_steps, wanted, timed);
}

static void run_wanted(struct nn_plan *p, int n, const float *in, float *const *outs, bool timed)
{
    int wanted = 0;
    for (int i = 0; i < p->net->graph->n_outputs; i++)
        if (outs[i]) wanted |= 1 << i;
    run_rows(p, n, in, wanted ? wanted : EVERYTHING, timed); /* no output: to be timed */
    emit_outputs(p, outs);
}

void nn__plan_run(struct nn_plan *p, int n, const float *in, float *const *outs)
{
    run_wanted(p, n, in, outs, false);
}

void nn__plan_run_timed(struct nn_plan *p, int n, const float *in, float *const *outs)
{
    for (int i = 0; i < p->n_steps; i++) p->steps[i].seconds = 0;
    run_wanted(p, n, in, outs, true);
}

void nn_plan_forward(struct nn_plan *p, const float *in, float *const *outs)
{
    nn__plan_run(p, p->n, in, outs);
}

enum err nn_plan_forward_tapped(struct nn_plan *p, const float *in, float *const *outs,
                                float *const *taps, struct err_info *err)
{
    struct nn_plan *u;
    enum err rc = nn__plan_make(&u, p->net, p->n, p->h, p->w, p->threads, true, err);
    if (rc) return rc;
    size_t bytes = nn__plan_bytes(u);
    if (!(u->own = mem_aligned(bytes, 1))) {
        nn_plan_free(u);
        return err_set(err, ERR_NOMEM, "no memory for a plan's %zu bytes", bytes);
    }
    nn__plan_bind(u, u->own, p->bound);
    run_rows(u, u->n, in, EVERYTHING, false);
    for (int i = 0; i < p->net->graph->n_ops; i++)
        if (taps[i]) u->emit(u, i, taps[i]);
    nn_plan_free(u);
    nn_plan_forward(p, in, outs);
    return ERR_OK;
}

int nn_plan_layers(const struct nn_plan *p, struct nn_layer_info *out, int max)
{
    int n = p->n_steps < max ? p->n_steps : max;
    for (int i = 0; i < n; i++) {
        const struct nn__step *s = &p->steps[i];
        out[i] = (struct nn_layer_info){s->op < 0 ? "input" : p->net->graph->ops[s->op].name,
                                        s->kernel,
                                        s->macs,
                                        (double)s->weights,
                                        s->bf16,
                                        s->seconds};
    }
    return n;
}
