/* Shared inside engine/nn only: what a net and a plan are made of, and the doors of the three
 * backends.
 *
 * A backend lowers a graph to steps, once per plan. A step reads values and leaves one value; a
 * value is the result of an op, numbered as the op is, or one of the extra ones that a backend
 * makes for itself. plan.c gives every value that some step writes a place in one block of memory,
 * reusing places whose value nobody will read again. */
#ifndef VISAVIS_ENGINE_NN_NN_INTERNAL_H
#define VISAVIS_ENGINE_NN_NN_INTERNAL_H

#include <pthread.h>

#include "engine/base/mem.h"
#include "engine/nn/exec.h"
#include "engine/nn/nn.h"
#include "engine/base/pool.h"
#include "engine/nn/simd.h"

enum { NN__EXTRA_VALUES = 1, NN__INPUT = -1 };

/* Weights as a backend wants them: made once per net, on first use, kept in a list that only grows.
 */
struct nn__pack {
    struct nn__pack *next;
    int op, kind, h,
        w; /* what it was made for: kind is the backend's own number, h x w the op's input or 0 */
    float *data; /* free() */
};

struct nn_net {
    const struct nn_graph *graph;
    enum nn_backend backend;
    enum nn_precision precision;
    const struct nn__simd *simd;
    bool mapped;          /* weights are a file's pages */
    bool large;           /* nn_net_is_large */
    pthread_mutex_t lock; /* guards packs */
    struct nn__pack *packs;
};

struct nn__value {
    size_t row_bytes; /* set by the backend; starts as those of float planes */
    size_t offset;    /* in the plan's memory */
    int first, last;  /* steps; first < 0: nobody writes it */
    bool local;       /* lives inside the head alone: room for head_rows rows */
};

struct nn__step {
    void (*run)(struct nn_plan *p, const struct nn__step *s);
    int op; /* its result (or, fused, that of the op it starts with) names the step */
    int out;
    int n_in;
    int in[NN_MAX_INPUTS]; /* values, or NN__INPUT */
    unsigned outputs;      /* bits: the graph's outputs that depend on it; found by plan.c */
    size_t weights;        /* bytes it reads of the net's */
    bool bf16;             /* products of bf16 */
    size_t scratch;        /* bytes of the plan's scratch memory it uses while it runs */
    const char *kernel;
    double macs, seconds;
    void *data; /* the backend's own */
    void (*free_data)(void *data);
};

/* The first n_head steps run on head_rows rows at a time, so that large pictures stay in the cache;
 * the others on all rows. No answer depends on it. Steps therefore take the number of rows from
 * p->rows when they run, not when they are made. */
struct nn_plan {
    const struct nn_net *net;
    int n, h, w;  /* n: rows at most */
    int threads;  /* that the pool it is bound to may have */
    bool unfused; /* every op is a step and every value is kept: for taps */
    struct nn_shape *shapes;
    struct nn__value *values; /* n_ops + NN__EXTRA_VALUES */
    struct nn__step *steps;
    int n_steps, room_steps;
    int n_head, head_rows;
    size_t memory_bytes, scratch_bytes;
    char *memory, *scratch; /* where values and scratch are; set by bind */
    char *own;              /* memory that this plan frees */
    struct pool *bound;     /* borrowed; NULL: the calling thread alone */
    struct pool *pool;      /* the same, or NULL where the step that runs is too small to share */
    const float *input;     /* of the forward that runs */
    int row, rows;          /* that the steps work on now: first, count */
    /* Copies value `op`, all rows, to dst as float [n][c][h][w]; the backend's. */
    void (*emit)(const struct nn_plan *p, int op, float *dst);
};

/* One op on float planes. */
struct nn__call {
    const struct nn_op *op;
    int n;
    struct nn_shape in_shape[NN_MAX_INPUTS], out_shape;
    const float *in[NN_MAX_INPUTS];
    float *out;
};

/* plan.c. A plan without memory; the caller binds it to a block of nn__plan_bytes before each
 * forward. */
NODISCARD enum err nn__plan_make(struct nn_plan **out, const struct nn_net *net, int n, int h,
                                 int w, int threads, bool unfused, struct err_info *err);
size_t nn__plan_bytes(const struct nn_plan *p);
void nn__plan_bind(struct nn_plan *p, void *memory, struct pool *pool);
/* nn_plan_forward for n rows, at most the plan's own. */
void nn__plan_run(struct nn_plan *p, int n, const float *in, float *const *outs);

/* The same, timing each step into its `seconds`. */
void nn__plan_run_timed(struct nn_plan *p, int n, const float *in, float *const *outs);

/* For backends while they lower. */
NODISCARD enum err nn__plan_step(struct nn_plan *p, const struct nn__step *s, struct err_info *err);
struct nn__step nn__step_of(const struct nn_plan *p, int op);
struct nn_shape nn__shape(const struct nn_plan *p, int value);
const float *nn__read(const struct nn_plan *p, int value);
float *nn__write(const struct nn_plan *p, int value);
void nn__call_of(struct nn__call *c, const struct nn_plan *p, const struct nn__step *s);
double nn__macs(const struct nn_plan *p, int op);

/* The packed weights for (op, kind, h, w): made by `make` under the net's lock when they are not
 * there yet. make returns a free()able block, or NULL when there is no memory (then ERR_NOMEM). */
NODISCARD enum err nn__net_pack(const float **out, const struct nn_net *net, int op, int kind,
                                int h, int w, float *(*make)(const void *arg), const void *arg,
                                struct err_info *err);

/* count weights at w have been read: where they are a file's pages they leave the memory (and are
 * read again when they are touched), so that packing never holds a layer twice. */
void nn__weights_done(const struct nn_net *net, const float *w, size_t count);

/* peak.c */
NODISCARD enum err nn__peak(struct nn_peak *out, struct pool *pool, struct err_info *err);

/* ref.c */
void nn__ref_run(const struct nn__call *c);
NODISCARD enum err nn__ref_lower(struct nn_plan *p, struct err_info *err);

/* blas.c */
NODISCARD enum err nn__blas_lower(struct nn_plan *p, struct err_info *err);

/* fast.c */
NODISCARD enum err nn__fast_lower(struct nn_plan *p, struct err_info *err);

#endif
