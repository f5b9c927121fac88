/* Lowers a graph to fused steps over the kernels of simd.h. See fast.h for what is fused. */
#include "engine/nn/fast.h"

#include <stdlib.h>
#include <string.h>

/* See choose_head. */
enum {
    HEAD_BYTES = 512 * 1024,
    HEAD_ROW_BYTES = 64 * 1024,
    HEAD_LAYER_BYTES = 256 * 1024,
    HEAD_WEIGHT_BYTES = 2 * 1024 * 1024,
    /* Past this a plan takes one row at a time up to its dense layers: reading the convolutions'
     * weights again for each costs VGG-16 a tenth, its values for a batch of eight would take 200
     * MB. */
    PLAN_BYTES = 64 * 1024 * 1024,
};

struct uses {
    int count; /* live ops that read it, and outputs */
    int by;    /* the last of them; -1: an output */
};

struct fuse {
    struct nn_plan *p;
    const struct nn_graph *g;
    struct uses *uses;    /* of each op's value */
    bool *absorbed;       /* part of another step, or dead */
    struct nn__fused *at; /* the step to make when op i is reached; op -1: none */
    struct uses input_uses;
};

int nn__input_value(const struct nn_plan *p)
{
    return p->net->graph->n_ops;
}

struct nn_shape nn__fast_shape(const struct nn__lowering *l, int value)
{
    struct nn_shape s = nn__shape(l->p, value);
    if (value == nn__input_value(l->p)) {
        s.h += l->border.top + l->border.bottom;
        s.w += l->border.left + l->border.right;
        if (l->border.folded) s.h = (s.h + 1) / 2, s.w = (s.w + 1) / 2;
    }
    return s;
}

size_t nn__fast_pixel(const struct nn__lowering *l, int value)
{
    if (value == nn__input_value(l->p)) return l->border.pixel;
    return nn__pitch(nn__shape(l->p, value).c);
}

struct row_loop {
    void (*fn)(const void *arg, int row, int rows);
    const void *arg;
    int rows, each;
};

static void row_chunk(void *arg, int chunk, int thread)
{
    const struct row_loop *r = arg;
    int from = chunk * r->each, left = r->rows - from;
    (void)thread;
    r->fn(r->arg, from, left < r->each ? left : r->each);
}

void nn__fast_rows(const struct nn_plan *p, int rows, int unit,
                   void (*fn)(const void *arg, int row, int rows), const void *arg)
{
    int threads = pool_threads(p->pool);
    if (threads == 1) {
        fn(arg, 0, rows);
        return;
    }
    int each = (rows + 4 * threads - 1) / (4 * threads);
    each = (each + unit - 1) / unit * unit;
    struct row_loop r = {fn, arg, rows, each};
    pool_run(p->pool, row_chunk, &r, (rows + each - 1) / each);
}

/* A dense layer reads c,h,w in order, so it reads through ops that keep that order. */
static int source(const struct nn_graph *g, int op, int k)
{
    int v = g->ops[op].in[k];
    if (g->ops[op].kind == NN_DENSE)
        while (v >= 0 && (g->ops[v].kind == NN_FLATTEN || g->ops[v].kind == NN_RESHAPE))
            v = g->ops[v].in[0];
    return v;
}

static void count_uses(struct fuse *f)
{
    for (int i = 0; i < f->g->n_outputs; i++)
        f->uses[f->g->outputs[i].op] = (struct uses){f->uses[f->g->outputs[i].op].count + 1, -1};
    for (int i = f->g->n_ops - 1; i >= 0; i--) {
        if (!f->uses[i].count && !f->p->unfused) {
            f->absorbed[i] = true;
            continue;
        }
        for (int k = 0; k < f->g->ops[i].n_in; k++) {
            int v = source(f->g, i, k);
            struct uses *u = v < 0 ? &f->input_uses : &f->uses[v];
            u->count++;
            if (u->count == 1) u->by = i;
        }
    }
}

/* The one op that reads op's value, when there is only one and nobody else wants it; else -1. */
static int sole_reader(const struct fuse *f, int op)
{
    if (f->p->unfused || f->uses[op].count != 1) return -1;
    int by = f->uses[op].by;
    return by >= 0 && !f->absorbed[by] ? by : -1;
}

static bool is_act(const struct nn_op *op)
{
    return op->kind == NN_RELU || op->kind == NN_LEAKY_RELU || op->kind == NN_PRELU ||
           op->kind == NN_RELU6;
}

static void absorb_act(struct fuse *f, struct nn__fused *s)
{
    int by = sole_reader(f, s->out);
    if (by < 0 || !is_act(&f->g->ops[by])) return;
    s->act = s->out = by;
    f->absorbed[by] = true;
}

static void absorb_pool(struct fuse *f, struct nn__fused *s)
{
    int by = sole_reader(f, s->out);
    if (by < 0 || !nn__conv_takes_pool(f->p, s->op, &f->g->ops[by])) return;
    s->pool = s->out = by;
    f->absorbed[by] = true;
}

/* The value that an operand of a sum can be read from: through a pad of zeros after it. */
static int unpadded(struct fuse *f, int v, int reader)
{
    if (v < 0 || f->g->ops[v].kind != NN_PAD || sole_reader(f, v) != reader) return v;
    const struct nn_op *pad = &f->g->ops[v];
    if (pad->pad[0] || pad->pad[1]) return v;
    f->absorbed[v] = true;
    f->at[v].op = -1;
    return pad->in[0];
}

static bool same_shape(const struct nn_plan *p, int a, int b)
{
    struct nn_shape x = nn__shape(p, a), y = nn__shape(p, b);
    return x.c == y.c && x.h == y.h && x.w == y.w;
}

static void absorb_sum(struct fuse *f, struct nn__fused *s)
{
    int by = sole_reader(f, s->out);
    if (by < 0 || f->g->ops[by].kind != NN_ADD) return;
    const struct nn_op *add = &f->g->ops[by];
    int other = add->in[0] == s->out ? add->in[1] : add->in[0];
    if (other == s->out || !same_shape(f->p, other, s->out)) return;
    s->plus = unpadded(f, other, by);
    s->out = by;
    f->absorbed[by] = true;
}

static void decide(struct fuse *f, int i)
{
    const struct nn_op *op = &f->g->ops[i];
    struct nn__fused s = {i, source(f->g, i, 0), NN__NONE, NN__NONE, NN__NONE, i};
    if (op->kind == NN_CONV2D || op->kind == NN_DENSE) {
        if (op->kind == NN_DENSE || nn__conv_is_product(op)) absorb_sum(f, &s);
        absorb_act(f, &s);
        absorb_pool(f, &s);
    } else if (op->kind == NN_ADD || op->kind == NN_MUL) {
        s.plus = op->in[1];
        if (op->kind == NN_ADD && same_shape(f->p, op->in[0], op->in[1])) {
            s.in = unpadded(f, op->in[0], i);
            s.plus = unpadded(f, op->in[1], i);
        }
        absorb_act(f, &s);
    } else if (is_act(op)) {
        s.act = i;
    }
    f->at[s.out] = s;
}

/* The graph's input stays as dense as it came where every reader is a convolution that can take it
 * so; the one reader's padding is then part of it. */
static struct nn__border input_border(const struct fuse *f)
{
    struct nn__border b = {.pixel = nn__pitch(f->g->in_c)};
    int readers = 0;
    const struct nn_op *conv = NULL;
    for (int i = 0; i < f->g->n_ops; i++) {
        const struct nn_op *op = &f->g->ops[i];
        if (f->absorbed[i] && !f->uses[i].count) continue;
        for (int k = 0; k < op->n_in; k++) {
            if (source(f->g, i, k) != NN__INPUT) continue;
            if (op->kind != NN_CONV2D || !nn__conv_is_product(op)) return b;
            readers++;
            conv = op;
        }
    }
    if (!readers || f->g->in_c >= NN__LANES) return b;
    b.pixel = (size_t)f->g->in_c;
    if (readers == 1) {
        b.top = conv->pad[0], b.left = conv->pad[1];
        b.bottom = conv->pad[2], b.right = conv->pad[3];
        b.folded = nn__conv_folds(conv, f->g->in_c);
        if (b.folded) b.pixel = NN__LANES;
    }
    return b;
}

static enum err make_step(struct nn__lowering *l, struct nn__fused *s, struct err_info *err)
{
    const struct nn_op *op = &l->p->net->graph->ops[s->op];
    if (s->in == NN__INPUT) s->in = nn__input_value(l->p);
    if (s->plus == NN__INPUT) s->plus = nn__input_value(l->p);
    switch (op->kind) {
    case NN_CONV2D:
        if (nn__conv_is_product(op)) return nn__fast_conv(l, s, err);
        if (op->groups == op->out && nn__shape(l->p, op->in[0]).c == op->out &&
            op->kernel[0] * op->kernel[1] <= NN__TAPS_MAX)
            return nn__fast_depthwise(l, s, err);
        return nn__fast_other(l, s, err);
    case NN_DENSE:
        return nn__fast_conv(l, s, err);
    case NN_RELU:
    case NN_LEAKY_RELU:
    case NN_PRELU:
    case NN_RELU6:
    case NN_SIGMOID:
    case NN_ADD:
    case NN_MUL:
        return nn__fast_pixels(l, s, err);
    case NN_MAX_POOL:
    case NN_AVG_POOL:
    case NN_GLOBAL_AVG_POOL:
        return nn__fast_pool(l, s, err);
    default:
        return nn__fast_other(l, s, err);
    }
}

/* What the largest step before the first dense layer reads and writes for a row; *dense: that
 * layer's step. 0: there is none. */
static size_t largest_before_dense(const struct nn_plan *p, int *dense)
{
    size_t largest = 0;
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn__step *s = &p->steps[i];
        if (s->op >= 0 && p->net->graph->ops[s->op].kind == NN_DENSE) {
            *dense = i;
            return largest;
        }
        size_t row = p->values[s->out].row_bytes;
        for (int k = 0; k < s->n_in; k++)
            if (s->in[k] >= 0) row += p->values[s->in[k]].row_bytes;
        if (row > largest) largest = row;
    }
    return 0;
}

/* Steps from the start whose weights stay in the second cache, as long as a row's values are large
 * beside it. The rows at a time are what fits with them. */
static void choose_head(struct nn_plan *p)
{
    size_t largest = 1, weights = 0;
    int dense = 0;
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn__step *s = &p->steps[i];
        size_t row = p->values[s->out].row_bytes;
        for (int k = 0; k < s->n_in; k++)
            if (s->in[k] >= 0) row += p->values[s->in[k]].row_bytes;
        weights += s->weights;
        if (s->weights > HEAD_LAYER_BYTES || weights > HEAD_WEIGHT_BYTES) break;
        if (row < HEAD_ROW_BYTES) continue;
        p->n_head = i + 1;
        if (row > largest) largest = row;
    }
    if (largest_before_dense(p, &dense) * (size_t)p->n > PLAN_BYTES && dense > p->n_head) {
        p->n_head =
            dense; /* a large picture after the other; what is read once for all comes after */
        p->head_rows = 1;
        return;
    }
    size_t rows = HEAD_BYTES / largest;
    p->head_rows = rows < 1 ? 1 : rows < (size_t)p->n ? (int)rows : p->n;
    if (p->head_rows == p->n) p->n_head = 0;
}

enum err nn__fast_lower(struct nn_plan *p, struct err_info *err)
{
    const struct nn_graph *g = p->net->graph;
    size_t n = (size_t)g->n_ops;
    AUTO_FREE struct uses *uses = calloc(n, sizeof *uses);
    AUTO_FREE bool *absorbed = calloc(n, sizeof *absorbed);
    AUTO_FREE struct nn__fused *at = calloc(n, sizeof *at);
    if (!uses || !absorbed || !at)
        return err_set(err, ERR_NOMEM, "no memory for a plan of %d ops", g->n_ops);
    struct fuse f = {p, g, uses, absorbed, at, {0, -1}};
    count_uses(&f);
    for (int i = 0; i < g->n_ops; i++) at[i].op = -1;
    for (int i = 0; i < g->n_ops; i++)
        if (!absorbed[i]) decide(&f, i);
    struct nn__lowering l = {p, input_border(&f)};
    for (int i = 0; i < g->n_ops; i++) {
        struct nn_shape s = p->shapes[i];
        p->values[i].row_bytes = sizeof(float) * (size_t)s.h * s.w * nn__pitch(s.c);
    }
    p->emit = nn__fast_emit;
    enum err rc = f.input_uses.count ? nn__fast_pack_input(&l, err) : ERR_OK;
    for (int i = 0; !rc && i < g->n_ops; i++)
        if (at[i].op >= 0) rc = make_step(&l, &at[i], err);
    if (!rc && !p->unfused) choose_head(p);
    return rc;
}
