/* The net as data: building it, checking it, and the shape of every op's output. Pure functions, no
 * threads. */
#include "engine/nn/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum {
    SIDE_MAX = 16384, /* pixels a side of the input */
    ATTR_MAX = 1024,  /* kernel, stride, padding, dilation, scale */
    NOMINAL_SIDE =
        256, /* a net for any size is checked at this one: a multiple of every usual total stride */
    ROW_ELEMENTS = 1 << 28 /* of one tensor, one row */
};

static const char *const KIND_NAMES[NN_KIND_COUNT] = {
    [NN_CONV2D] = "conv2d",
    [NN_DENSE] = "dense",
    [NN_RELU] = "relu",
    [NN_LEAKY_RELU] = "leaky_relu",
    [NN_PRELU] = "prelu",
    [NN_RELU6] = "relu6",
    [NN_SIGMOID] = "sigmoid",
    [NN_SOFTMAX] = "softmax",
    [NN_MAX_POOL] = "max_pool",
    [NN_AVG_POOL] = "avg_pool",
    [NN_GLOBAL_AVG_POOL] = "global_avg_pool",
    [NN_ADD] = "add",
    [NN_MUL] = "mul",
    [NN_CONCAT] = "concat",
    [NN_PAD] = "pad",
    [NN_FLATTEN] = "flatten",
    [NN_RESHAPE] = "reshape",
    [NN_TRANSPOSE] = "transpose",
    [NN_RESIZE_NEAREST] = "resize_nearest",
    [NN_L2_NORMALIZE] = "l2_normalize",
};

const char *nn_kind_name(enum nn_kind kind)
{
    return (unsigned)kind < NN_KIND_COUNT ? KIND_NAMES[kind] : NULL;
}

int nn_kind_by_name(const char *name)
{
    for (int i = 0; i < NN_KIND_COUNT; i++)
        if (strcmp(KIND_NAMES[i], name) == 0) return i;
    return -1;
}

void nn_op_init(struct nn_op *op, enum nn_kind kind, const char *name)
{
    memset(op, 0, sizeof *op);
    strncpy(op->name, name, sizeof op->name - 1);
    op->kind = kind;
    for (int i = 0; i < NN_MAX_INPUTS; i++) op->in[i] = -1;
    for (int i = 0; i < 2; i++) op->kernel[i] = op->stride[i] = op->scale[i] = 1;
    op->groups = op->dilation = 1;
    for (int i = 0; i < 3; i++) op->perm[i] = i;
}

int nn_graph_add(struct nn_graph *g, const struct nn_op *op)
{
    if (g->n_ops >= NN_MAX_OPS) return -1;
    if ((g->n_ops & (g->n_ops - 1)) == 0) { /* the room doubles at each power of two */
        size_t room = g->n_ops ? 2 * (size_t)g->n_ops : 1;
        struct nn_op *ops = realloc(g->ops, room * sizeof *ops);
        if (!ops) return -1;
        g->ops = ops;
    }
    g->ops[g->n_ops] = *op;
    return g->n_ops++;
}

void nn_graph_release(struct nn_graph *g)
{
    free(g->ops);
    memset(g, 0, sizeof *g);
}

int nn_graph_output(const struct nn_graph *g, const char *name)
{
    for (int i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i].name, name) == 0) return i;
    return -1;
}

static bool in_range(const int *v, int count, int lo, int hi)
{
    for (int i = 0; i < count; i++)
        if (v[i] < lo || v[i] > hi) return false;
    return true;
}

static bool has_window(enum nn_kind k)
{
    return k == NN_CONV2D || k == NN_MAX_POOL || k == NN_AVG_POOL;
}

static enum err check_attributes(const struct nn_op *op, struct err_info *err)
{
    const char *what = NULL;
    if (has_window(op->kind)) {
        if (!in_range(op->kernel, 2, 1, ATTR_MAX))
            what = "kernel";
        else if (!in_range(op->stride, 2, 1, ATTR_MAX))
            what = "stride";
        else if (!in_range(op->pad, 4, 0, ATTR_MAX))
            what = "pad";
    }
    if (op->kind == NN_CONV2D || op->kind == NN_DENSE) {
        if (op->out < 1 || op->out > NN_MAX_CHANNELS) what = "out";
    }
    if (op->kind == NN_CONV2D) {
        if (op->groups < 1 || op->out % op->groups)
            what = "groups";
        else if (op->dilation < 1 || op->dilation > ATTR_MAX)
            what = "dilation";
    }
    if (op->kind == NN_MAX_POOL || op->kind == NN_AVG_POOL) {
        for (int i = 0; i < 4; i++) /* a window must touch the input */
            if (op->pad[i] >= op->kernel[i & 1 ? 1 : 0]) what = "pad (as large as the kernel)";
    }
    if (op->kind == NN_PAD) {
        if (!in_range(op->pad, 4, 0, ATTR_MAX))
            what = "pad";
        else if (op->pad_c < 0 || op->pad_c > NN_MAX_CHANNELS)
            what = "pad_c";
    }
    if (op->kind == NN_LEAKY_RELU && !isfinite(op->alpha)) what = "alpha";
    if (op->kind == NN_RESIZE_NEAREST && !in_range(op->scale, 2, 1, ATTR_MAX)) what = "scale";
    if (op->kind == NN_RESHAPE && !in_range(op->shape, 3, 1, ROW_ELEMENTS)) what = "shape";
    if (op->kind == NN_TRANSPOSE) {
        bool seen[3] = {false, false, false};
        for (int i = 0; i < 3; i++)
            if (op->perm[i] >= 0 && op->perm[i] < 3) seen[op->perm[i]] = true;
        if (!seen[0] || !seen[1] || !seen[2]) what = "perm";
    }
    if (!what) return ERR_OK;
    return err_set(err, ERR_MODEL, "%s (%s): %s is out of range", op->name, KIND_NAMES[op->kind],
                   what);
}

static enum err check_inputs(const struct nn_op *op, int index, struct err_info *err)
{
    int lo = 1, hi = 1;
    if (op->kind == NN_ADD || op->kind == NN_MUL) lo = hi = 2;
    if (op->kind == NN_CONCAT) lo = 2, hi = NN_MAX_INPUTS;
    if (op->n_in < lo || op->n_in > hi)
        return err_set(err, ERR_MODEL, "%s (%s): expected %d to %d inputs, found %d", op->name,
                       KIND_NAMES[op->kind], lo, hi, op->n_in);
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i] < -1 || op->in[i] >= index)
            return err_set(err, ERR_MODEL,
                           "%s (%s): input %d is op %d, expected -1 or an earlier op than %d",
                           op->name, KIND_NAMES[op->kind], i, op->in[i], index);
    return ERR_OK;
}

static enum err check_finite(const struct nn_op *op, const float *v, size_t n, const char *what,
                             struct err_info *err)
{
    for (size_t i = 0; v && i < n; i++)
        if (!isfinite(v[i]))
            return err_set(err, ERR_MODEL, "%s (%s): %s[%zu] is not a finite number", op->name,
                           KIND_NAMES[op->kind], what, i);
    return ERR_OK;
}

static enum err check_weights(const struct nn_op *op, struct err_info *err)
{
    bool wants = op->kind == NN_CONV2D || op->kind == NN_DENSE || op->kind == NN_PRELU;
    if (wants && (!op->w || !op->w_count))
        return err_set(err, ERR_MODEL, "%s (%s): its weights are missing", op->name,
                       KIND_NAMES[op->kind]);
    if (!wants) return ERR_OK;
    if ((op->b != NULL) != (op->b_count != 0) ||
        (op->b && (op->kind == NN_PRELU || op->b_count != (size_t)op->out)))
        return err_set(err, ERR_MODEL, "%s (%s): expected %d biases or none, found %zu", op->name,
                       KIND_NAMES[op->kind], op->kind == NN_PRELU ? 0 : op->out, op->b_count);
    return ERR_OK;
}

static bool name_ok(const char name[NN_NAME_BYTES])
{
    return name[0] && memchr(name, 0, NN_NAME_BYTES);
}

static enum err check_outputs(const struct nn_graph *g, struct err_info *err)
{
    if (g->n_outputs < 1 || g->n_outputs > NN_MAX_OUTPUTS)
        return err_set(err, ERR_MODEL, "the graph has %d outputs, expected 1 to %d", g->n_outputs,
                       NN_MAX_OUTPUTS);
    for (int i = 0; i < g->n_outputs; i++) {
        const struct nn_output *o = &g->outputs[i];
        if (!name_ok(o->name))
            return err_set(err, ERR_MODEL, "output %d has no name of 1 to %d bytes", i,
                           NN_NAME_BYTES - 1);
        if (nn_graph_output(g, o->name) != i)
            return err_set(err, ERR_MODEL, "output %s is there twice", o->name);
        if (o->op < 0 || o->op >= g->n_ops)
            return err_set(err, ERR_MODEL, "output %s is op %d, the graph has %d", o->name, o->op,
                           g->n_ops);
    }
    return ERR_OK;
}

enum err nn_graph_check(const struct nn_graph *g, bool finite, struct err_info *err)
{
    enum err rc;
    if (g->in_c < 1 || g->in_c > NN_MAX_CHANNELS || g->in_h < 0 || g->in_w < 0 ||
        g->in_h > SIDE_MAX || g->in_w > SIDE_MAX || (g->in_h == 0) != (g->in_w == 0))
        return err_set(err, ERR_MODEL, "the input is %dx%dx%d, the limit is %dx%dx%d", g->in_c,
                       g->in_h, g->in_w, NN_MAX_CHANNELS, SIDE_MAX, SIDE_MAX);
    if (g->n_ops < 1 || g->n_ops > NN_MAX_OPS || !g->ops)
        return err_set(err, ERR_MODEL, "the graph has %d ops, expected 1 to %d", g->n_ops,
                       NN_MAX_OPS);
    for (int i = 0; i < g->n_ops; i++) {
        const struct nn_op *op = &g->ops[i];
        if (!name_ok(op->name))
            return err_set(err, ERR_MODEL, "op %d has no name of 1 to %d bytes", i,
                           NN_NAME_BYTES - 1);
        for (int k = 0; k < i; k++)
            if (strcmp(g->ops[k].name, op->name) == 0)
                return err_set(err, ERR_MODEL, "%s: ops %d and %d have this name", op->name, k, i);
        if ((unsigned)op->kind >= NN_KIND_COUNT)
            return err_set(err, ERR_MODEL, "%s: unknown kind %d", op->name, (int)op->kind);
        if ((rc = check_inputs(op, i, err))) return rc;
        if ((rc = check_attributes(op, err))) return rc;
        if ((rc = check_weights(op, err))) return rc;
    }
    if ((rc = check_outputs(g, err))) return rc;
    AUTO_FREE struct nn_shape *shapes = calloc((size_t)g->n_ops, sizeof *shapes);
    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    int side = g->in_h ? 0 : NOMINAL_SIDE;
    if ((rc = nn_graph_shapes(g, g->in_h + side, g->in_w + side, shapes, err))) return rc;
    for (int i = 0; finite && i < g->n_ops; i++) { /* last: now the counts are known to be right */
        const struct nn_op *op = &g->ops[i];
        if ((rc = check_finite(op, op->w, op->w_count, "weight", err))) return rc;
        if ((rc = check_finite(op, op->b, op->b_count, "bias", err))) return rc;
    }
    return ERR_OK;
}

static enum err shape_err(const struct nn_op *op, struct nn_shape in, const char *what, size_t want,
                          size_t found, struct err_info *err)
{
    return err_set(err, ERR_MODEL, "%s (%s): input %dx%dx%d: expected %zu %s, found %zu", op->name,
                   KIND_NAMES[op->kind], in.c, in.h, in.w, want, what, found);
}

/* Windows of k (dilated) that fit n elements with padding a before and b after. PyTorch's rule: in
 * ceil mode the last one must start inside the input or the padding before it. 0: none fits. */
static int windows(int n, int k, int dilation, int s, int a, int b, bool ceil_mode)
{
    long span = (long)dilation * (k - 1) + 1, room = (long)n + a + b - span;
    if (room < 0) return 0;
    long out = (ceil_mode ? room + s - 1 : room) / s + 1;
    if (ceil_mode && (out - 1) * s >= (long)n + a) out--;
    return (int)out;
}

static enum err window_shape(const struct nn_op *op, struct nn_shape in, struct nn_shape *out,
                             struct err_info *err)
{
    bool ceil_mode = op->kind != NN_CONV2D && op->ceil_mode;
    int d = op->kind == NN_CONV2D ? op->dilation : 1;
    out->h = windows(in.h, op->kernel[0], d, op->stride[0], op->pad[0], op->pad[2], ceil_mode);
    out->w = windows(in.w, op->kernel[1], d, op->stride[1], op->pad[1], op->pad[3], ceil_mode);
    if (out->h > 0 && out->w > 0) return ERR_OK;
    return err_set(err, ERR_MODEL, "%s (%s): input %dx%dx%d is smaller than the %dx%d kernel",
                   op->name, KIND_NAMES[op->kind], in.c, in.h, in.w, op->kernel[0], op->kernel[1]);
}

static enum err op_shape(const struct nn_op *op, const struct nn_shape *in, struct nn_shape *out,
                         struct err_info *err)
{
    struct nn_shape a = in[0];
    size_t count = (size_t)a.c * (size_t)a.h * (size_t)a.w, want;
    enum err rc;
    *out = a;
    switch (op->kind) {
    case NN_CONV2D:
        if (a.c % op->groups)
            return shape_err(op, a, "channels a group, remainder", 0, (size_t)(a.c % op->groups),
                             err);
        want = (size_t)op->out * (size_t)(a.c / op->groups) * (size_t)op->kernel[0];
        if (!mul_ok(&want, want, (size_t)op->kernel[1]) || op->w_count != want)
            return shape_err(op, a, "weights", want, op->w_count, err);
        if ((rc = window_shape(op, a, out, err))) return rc;
        out->c = op->out;
        break;
    case NN_DENSE:
        if (!mul_ok(&want, (size_t)op->out, count) || op->w_count != want)
            return shape_err(op, a, "weights", (size_t)op->out * count, op->w_count, err);
        *out = (struct nn_shape){op->out, 1, 1};
        break;
    case NN_PRELU:
        if (op->w_count != (size_t)a.c)
            return shape_err(op, a, "slopes", (size_t)a.c, op->w_count, err);
        break;
    case NN_MAX_POOL:
    case NN_AVG_POOL:
        return window_shape(op, a, out, err);
    case NN_GLOBAL_AVG_POOL:
        out->h = out->w = 1;
        break;
    case NN_ADD:
    case NN_MUL:
        if (in[1].c != a.c ||
            ((in[1].h != a.h || in[1].w != a.w) && (in[1].h != 1 || in[1].w != 1)))
            return err_set(err, ERR_MODEL, "%s (%s): inputs %dx%dx%d and %dx%dx%d do not match",
                           op->name, KIND_NAMES[op->kind], a.c, a.h, a.w, in[1].c, in[1].h,
                           in[1].w);
        break;
    case NN_CONCAT:
        for (int i = 1; i < op->n_in; i++) {
            if (in[i].h != a.h || in[i].w != a.w)
                return err_set(err, ERR_MODEL,
                               "%s (concat): inputs %dx%dx%d and %dx%dx%d do not match", op->name,
                               a.c, a.h, a.w, in[i].c, in[i].h, in[i].w);
            out->c += in[i].c; /* no overflow: each is at most 2^28 */
            if (out->c > ROW_ELEMENTS) break;
        }
        break;
    case NN_PAD:
        out->c += op->pad_c;
        out->h += op->pad[0] + op->pad[2];
        out->w += op->pad[1] + op->pad[3];
        break;
    case NN_FLATTEN:
        *out = (struct nn_shape){(int)count, 1, 1};
        break;
    case NN_RESHAPE:
        *out = (struct nn_shape){op->shape[0], op->shape[1], op->shape[2]};
        want = (size_t)out->c * (size_t)out->h;
        if (!mul_ok(&want, want, (size_t)out->w) || want != count)
            return shape_err(op, a, "elements", want, count, err);
        break;
    case NN_TRANSPOSE: {
        const int dim[3] = {a.c, a.h, a.w};
        *out = (struct nn_shape){dim[op->perm[0]], dim[op->perm[1]], dim[op->perm[2]]};
        break;
    }
    case NN_RESIZE_NEAREST:
        if ((long)a.h * op->scale[0] > ROW_ELEMENTS || (long)a.w * op->scale[1] > ROW_ELEMENTS)
            return shape_err(op, a, "elements at most", ROW_ELEMENTS, count, err);
        out->h *= op->scale[0];
        out->w *= op->scale[1];
        break;
    default: /* element by element */
        break;
    }
    return ERR_OK;
}

enum err nn_graph_shapes(const struct nn_graph *g, int h, int w, struct nn_shape *shapes,
                         struct err_info *err)
{
    if (h < 1 || w < 1 || h > SIDE_MAX || w > SIDE_MAX)
        return err_set(err, ERR_MODEL, "the input is %dx%d, the limit is 1x1 to %dx%d", h, w,
                       SIDE_MAX, SIDE_MAX);
    if (g->in_h && (h != g->in_h || w != g->in_w))
        return err_set(err, ERR_MODEL, "the input is %dx%d, the net takes %dx%d", h, w, g->in_h,
                       g->in_w);
    const struct nn_shape input = {g->in_c, h, w};
    size_t row = (size_t)g->in_c * (size_t)h * (size_t)w;
    if (row > ROW_ELEMENTS)
        return err_set(err, ERR_MODEL, "the input has %zu elements a row, the limit is %d", row,
                       (int)ROW_ELEMENTS);
    for (int i = 0; i < g->n_ops; i++) {
        const struct nn_op *op = &g->ops[i];
        struct nn_shape in[NN_MAX_INPUTS];
        for (int k = 0; k < op->n_in; k++) in[k] = op->in[k] < 0 ? input : shapes[op->in[k]];
        enum err rc = op_shape(op, in, &shapes[i], err);
        if (rc) return rc;
        row = (size_t)shapes[i].c * (size_t)shapes[i].h;
        if (!mul_ok(&row, row, (size_t)shapes[i].w) || row > ROW_ELEMENTS)
            return err_set(err, ERR_MODEL, "%s (%s): %dx%dx%d elements a row, the limit is %d",
                           op->name, KIND_NAMES[op->kind], shapes[i].c, shapes[i].h, shapes[i].w,
                           (int)ROW_ELEMENTS);
    }
    return ERR_OK;
}
