/* Ops of a graph as ONNX nodes, opset 13. Semantics: the ONNX project's Operators.md.
 *
 * Names: the output of op "a" is "a.out", or the graph output that it is; its constants are
 * "a.weight" and the like. No suffix has a dot, so no two of these are equal. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/export_internal.h"

enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum { ATTR_NAME = 1, ATTR_F = 2, ATTR_I = 3, ATTR_S = 4, ATTR_INTS = 8, ATTR_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_STRING = 3, TYPE_INTS = 7 }; /* AttributeProto's */
enum { TENSOR_DIM = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { AXES = 4, CHANNELS = 1 /* axis */ };

/* --- names --- */

/* A graph output may be called anything: then the other name gives way. */
static void not_an_output(char name[EXPORT_NAME_BYTES], const struct export *x)
{
    while (nn_graph_output(x->g, name) >= 0) strcat(name, "_");
}

void export__input_name(char out[EXPORT_NAME_BYTES], const struct export *x)
{
    strcpy(out, "input");
    not_an_output(out, x);
}

static void name_of(char out[EXPORT_NAME_BYTES], const struct export *x, const struct nn_op *op,
                    const char *suffix)
{
    snprintf(out, EXPORT_NAME_BYTES, "%s.%s", op->name, suffix);
    not_an_output(out, x);
}

/* op -1: the graph's input. */
static void value_name(char out[EXPORT_NAME_BYTES], const struct export *x, int op)
{
    if (op < 0)
        export__input_name(out, x);
    else if (x->values[op].output >= 0)
        snprintf(out, EXPORT_NAME_BYTES, "%s", x->g->outputs[x->values[op].output].name);
    else
        name_of(out, x, &x->g->ops[op], "out");
}

/* --- nodes --- */

static struct proto node_new(struct export *x, const char *type)
{
    struct proto n = proto_new(x->graph.err);
    proto_text(&n, NODE_TYPE, type);
    return n;
}

static void node_end(struct export *x, struct proto *n)
{
    proto_message(&x->graph, GRAPH_NODE, n);
}

static struct proto attr_new(struct proto *n, const char *name, int type)
{
    struct proto a = proto_new(n->err);
    proto_text(&a, ATTR_NAME, name);
    proto_int(&a, ATTR_TYPE, type);
    return a;
}

static void attr_int(struct proto *n, const char *name, int v)
{
    struct proto a = attr_new(n, name, TYPE_INT);
    proto_int(&a, ATTR_I, v);
    proto_message(n, NODE_ATTRIBUTE, &a);
}

static void attr_float(struct proto *n, const char *name, float v)
{
    struct proto a = attr_new(n, name, TYPE_FLOAT);
    proto_float(&a, ATTR_F, v);
    proto_message(n, NODE_ATTRIBUTE, &a);
}

static void attr_text(struct proto *n, const char *name, const char *s)
{
    struct proto a = attr_new(n, name, TYPE_STRING);
    proto_text(&a, ATTR_S, s);
    proto_message(n, NODE_ATTRIBUTE, &a);
}

static void attr_ints(struct proto *n, const char *name, const int *v, size_t count)
{
    struct proto a = attr_new(n, name, TYPE_INTS);
    for (size_t i = 0; i < count; i++) proto_int(&a, ATTR_INTS, v[i]);
    proto_message(n, NODE_ATTRIBUTE, &a);
}

/* --- constants --- */

static struct proto tensor_new(struct export *x, const char *name, int type, const size_t *dims,
                               size_t ndim)
{
    struct proto t = proto_new(x->graph.err);
    for (size_t i = 0; i < ndim; i++) proto_int(&t, TENSOR_DIM, (int64_t)dims[i]);
    proto_int(&t, TENSOR_TYPE, type);
    proto_text(&t, TENSOR_NAME, name);
    return t;
}

/* Weights: borrowed. */
static void weights_in(struct export *x, struct proto *n, const struct nn_op *op,
                       const char *suffix, const float *v, const size_t *dims, size_t ndim)
{
    char name[EXPORT_NAME_BYTES];
    size_t bytes = sizeof *v;
    for (size_t i = 0; i < ndim; i++) bytes *= dims[i]; /* nn_graph_check has seen to the count */
    name_of(name, x, op, suffix);
    struct proto t = tensor_new(x, name, EXPORT_FLOAT, dims, ndim);
    proto_borrow(&t, TENSOR_RAW, v, bytes);
    proto_message(&x->graph, GRAPH_TENSOR, &t);
    proto_text(n, NODE_INPUT, name);
}

/* A few numbers, copied; ndim 0: one. */
static void constant_in(struct export *x, struct proto *n, const struct nn_op *op,
                        const char *suffix, int type, const void *v, size_t bytes, size_t count,
                        size_t ndim)
{
    char name[EXPORT_NAME_BYTES];
    name_of(name, x, op, suffix);
    struct proto t = tensor_new(x, name, type, &count, ndim);
    proto_bytes(&t, TENSOR_RAW, v, bytes);
    proto_message(&x->graph, GRAPH_TENSOR, &t);
    proto_text(n, NODE_INPUT, name);
}

static void float_in(struct export *x, struct proto *n, const struct nn_op *op, const char *suffix,
                     float v)
{
    constant_in(x, n, op, suffix, EXPORT_FLOAT, &v, sizeof v, 1, 0);
}

static void ints_in(struct export *x, struct proto *n, const struct nn_op *op, const char *suffix,
                    const int64_t *v, size_t count)
{
    constant_in(x, n, op, suffix, EXPORT_INT64, v, count * sizeof *v, count, 1);
}

/* --- values, flat or as planes --- */

static bool is_flat(const struct export *x, int op)
{
    return op >= 0 && x->values[op].flat;
}

static bool all_flat(const struct export *x, const struct nn_op *op)
{
    bool flat = true;
    for (int i = 0; i < op->n_in; i++) flat &= is_flat(x, op->in[i]);
    return flat;
}

/* A node that gives input k of op the other form, whose name becomes name. */
static void turn(struct export *x, char name[EXPORT_NAME_BYTES], const struct nn_op *op, int k,
                 bool flat)
{
    static const int64_t PLANES[AXES] = {0, -1, 1, 1}; /* as it is, what is left, 1, 1 */
    struct proto n = node_new(x, flat ? "Flatten" : "Reshape");
    char suffix[32];
    proto_text(&n, NODE_INPUT, name);
    if (flat) {
        attr_int(&n, "axis", CHANNELS);
    } else {
        snprintf(suffix, sizeof suffix, "in%d_shape", k);
        ints_in(x, &n, op, suffix, PLANES, AXES);
    }
    snprintf(suffix, sizeof suffix, "in%d", k);
    name_of(name, x, op, suffix);
    proto_text(&n, NODE_OUTPUT, name);
    proto_text(&n, NODE_NAME, name);
    node_end(x, &n);
}

static void input(struct export *x, struct proto *n, const struct nn_op *op, int k, bool flat)
{
    char name[EXPORT_NAME_BYTES];
    value_name(name, x, op->in[k]);
    if (is_flat(x, op->in[k]) != flat) turn(x, name, op, k, flat);
    proto_text(n, NODE_INPUT, name);
}

/* Op i's output has this form. What is a vector goes out flat. */
static void settle(struct export *x, int i, bool flat)
{
    struct export_value *v = &x->values[i];
    v->flat = flat;
    v->output = -1;
    for (int k = x->g->n_outputs - 1; k >= 0; k--)
        if (x->g->outputs[k].op == i && (flat || !v->vector)) v->output = k;
}

/* The last node of op i. */
static void finish(struct export *x, struct proto *n, int i)
{
    char name[EXPORT_NAME_BYTES];
    value_name(name, x, i);
    proto_text(n, NODE_OUTPUT, name);
    proto_text(n, NODE_NAME, x->g->ops[i].name);
    node_end(x, n);
}

/* A node of that type with op i's inputs, all of them in one form, which is its own too. */
static struct proto start(struct export *x, int i, const char *type, bool flat)
{
    const struct nn_op *op = &x->g->ops[i];
    struct proto n = node_new(x, type);
    for (int k = 0; k < op->n_in; k++) input(x, &n, op, k, flat);
    settle(x, i, flat);
    return n;
}

/* --- layers with weights --- */

static void conv(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    const size_t out = (size_t)op->out, kh = (size_t)op->kernel[0], kw = (size_t)op->kernel[1],
                 dims[AXES] = {out, op->w_count / (out * kh * kw), kh, kw};
    struct proto n = start(x, i, "Conv", false);
    weights_in(x, &n, op, "weight", op->w, dims, AXES);
    if (op->b) weights_in(x, &n, op, "bias", op->b, &out, 1);
    attr_ints(&n, "kernel_shape", op->kernel, 2);
    attr_ints(&n, "strides", op->stride, 2);
    attr_ints(&n, "pads", op->pad, 4);
    attr_ints(&n, "dilations", (int[]){op->dilation, op->dilation}, 2);
    attr_int(&n, "group", op->groups);
    finish(x, &n, i);
}

static void dense(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    const size_t out = (size_t)op->out, dims[2] = {out, op->w_count / out};
    struct proto n = start(x, i, "Gemm", true);
    weights_in(x, &n, op, "weight", op->w, dims, 2);
    if (op->b) weights_in(x, &n, op, "bias", op->b, &out, 1);
    attr_int(&n, "transB", 1);
    finish(x, &n, i);
}

static void prelu(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    const bool flat = all_flat(x, op);
    const size_t dims[3] = {op->w_count, 1, 1};
    struct proto n = start(x, i, "PRelu", flat);
    weights_in(x, &n, op, "weight", op->w, dims, flat ? 1 : 3);
    finish(x, &n, i);
}

/* --- element by element, or nearly --- */

static void plain(struct export *x, int i, const char *type)
{
    struct proto n = start(x, i, type, all_flat(x, &x->g->ops[i]));
    finish(x, &n, i);
}

static void leaky_relu(struct export *x, int i)
{
    struct proto n = start(x, i, "LeakyRelu", all_flat(x, &x->g->ops[i]));
    attr_float(&n, "alpha", x->g->ops[i].alpha);
    finish(x, &n, i);
}

static void relu6(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    struct proto n = start(x, i, "Clip", all_flat(x, op));
    float_in(x, &n, op, "min", 0);
    float_in(x, &n, op, "max", 6);
    finish(x, &n, i);
}

static void over_channels(struct export *x, int i, const char *type)
{
    struct proto n = start(x, i, type, all_flat(x, &x->g->ops[i]));
    attr_int(&n, "axis", CHANNELS);
    finish(x, &n, i);
}

/* x / max(|x|, 1e-12): ONNX's own LpNormalization has no such limit. */
static void l2_normalize(struct export *x, int i)
{
    static const int ALL[AXES - 1] = {1, 2, 3};
    const struct nn_op *op = &x->g->ops[i];
    const bool flat = all_flat(x, op);
    char norm[EXPORT_NAME_BYTES], length[EXPORT_NAME_BYTES];
    name_of(norm, x, op, "norm");
    name_of(length, x, op, "length");

    struct proto n = start(x, i, "ReduceL2", flat);
    attr_ints(&n, "axes", ALL, x->values[i].vector ? 1 : AXES - 1);
    attr_int(&n, "keepdims", 1);
    proto_text(&n, NODE_OUTPUT, norm);
    proto_text(&n, NODE_NAME, norm);
    node_end(x, &n);

    n = node_new(x, "Clip");
    proto_text(&n, NODE_INPUT, norm);
    float_in(x, &n, op, "least", 1e-12f);
    proto_text(&n, NODE_OUTPUT, length);
    proto_text(&n, NODE_NAME, length);
    node_end(x, &n);

    n = start(x, i, "Div", flat);
    proto_text(&n, NODE_INPUT, length);
    finish(x, &n, i);
}

/* --- pools --- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Padding at the end of an axis with which whole windows alone give what ceil_mode gives. There,
 * one more window may reach up to stride - 1 past the padding b, but must start before it: floor(n
 * + a + min(b + s, k) - 1 - k) / s) + 1 windows. ONNX's own ceil_mode lacks the second half, and
 * programs differ on it. */
static int end_padding(const struct nn_op *op, int axis)
{
    const int b = op->pad[axis + 2];
    return op->ceil_mode ? least(b + op->stride[axis], op->kernel[axis]) - 1 : b;
}

static void windows(struct proto *n, const struct nn_op *op, const int pads[4])
{
    attr_ints(n, "kernel_shape", op->kernel, 2);
    attr_ints(n, "strides", op->stride, 2);
    attr_ints(n, "pads", pads, 4);
}

static void max_pool(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    const int pads[4] = {op->pad[0], op->pad[1], end_padding(op, 0), end_padding(op, 1)};
    struct proto n = start(x, i, "MaxPool", false);
    windows(&n, op, pads);
    finish(x, &n, i);
}

/* Zeros: pads[] = top, left, bottom, right, and c channels at the end. */
static void zeros(struct export *x, struct proto *n, const struct nn_op *op, const int pads[4],
                  int c)
{
    const int64_t list[2 * AXES] = {0, 0, pads[0], pads[1], 0, c, pads[2], pads[3]};
    ints_in(x, n, op, "pads", list, 2 * AXES);
    attr_text(n, "mode", "constant");
}

/* Padding that counts is made of elements that are there (ONNX's count_include_pad would count what
 * ceil_mode lets a window reach past it too); what is past it is padding that does not count. */
static void avg_pool(struct export *x, int i)
{
    static const int NONE[4] = {0};
    const struct nn_op *op = &x->g->ops[i];
    const bool padded = op->count_pad && memcmp(op->pad, NONE, sizeof NONE) != 0;
    int pads[4] = {op->pad[0], op->pad[1], end_padding(op, 0), end_padding(op, 1)};
    char name[EXPORT_NAME_BYTES];
    struct proto n = start(x, i, padded ? "Pad" : "AveragePool", false);

    if (padded) {
        name_of(name, x, op, "padded");
        zeros(x, &n, op, op->pad, 0);
        proto_text(&n, NODE_OUTPUT, name);
        proto_text(&n, NODE_NAME, name);
        node_end(x, &n);
        n = node_new(x, "AveragePool");
        proto_text(&n, NODE_INPUT, name);
        for (int k = 0; k < 4; k++) pads[k] -= op->pad[k];
    }
    windows(&n, op, pads);
    attr_int(&n, "count_include_pad", 0);
    finish(x, &n, i);
}

/* --- shapes and places --- */

static void planes(struct export *x, int i, const char *type)
{
    struct proto n = start(x, i, type, false);
    finish(x, &n, i);
}

static void pad(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    struct proto n = start(x, i, "Pad", false);
    zeros(x, &n, op, op->pad, op->pad_c);
    finish(x, &n, i);
}

static void flatten(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    struct proto n = node_new(x, "Flatten");
    input(x, &n, op, 0, is_flat(x, op->in[0]));
    attr_int(&n, "axis", CHANNELS);
    settle(x, i, true);
    finish(x, &n, i);
}

static void reshape(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    const int64_t shape[AXES] = {0, op->shape[0], op->shape[1], op->shape[2]}; /* 0: as it is */
    struct proto n = node_new(x, "Reshape");
    input(x, &n, op, 0, is_flat(x, op->in[0]));
    ints_in(x, &n, op, "shape", shape, AXES);
    settle(x, i, false);
    finish(x, &n, i);
}

static void transpose(struct export *x, int i)
{
    const int *p = x->g->ops[i].perm, perm[AXES] = {0, p[0] + 1, p[1] + 1, p[2] + 1};
    struct proto n = start(x, i, "Transpose", false);
    attr_ints(&n, "perm", perm, AXES);
    finish(x, &n, i);
}

static void resize_nearest(struct export *x, int i)
{
    const struct nn_op *op = &x->g->ops[i];
    const float scales[AXES] = {1, 1, (float)op->scale[0], (float)op->scale[1]};
    struct proto n = start(x, i, "Resize", false);
    proto_text(&n, NODE_INPUT, ""); /* roi, which this mode does not have */
    constant_in(x, &n, op, "scales", EXPORT_FLOAT, scales, sizeof scales, AXES, 1);
    attr_text(&n, "mode", "nearest");
    attr_text(&n, "coordinate_transformation_mode", "asymmetric");
    attr_text(&n, "nearest_mode", "floor");
    finish(x, &n, i);
}

/* --- the graph --- */

static void export_op(struct export *x, int i)
{
    switch (x->g->ops[i].kind) {
    case NN_CONV2D:
        conv(x, i);
        break;
    case NN_DENSE:
        dense(x, i);
        break;
    case NN_RELU:
        plain(x, i, "Relu");
        break;
    case NN_LEAKY_RELU:
        leaky_relu(x, i);
        break;
    case NN_PRELU:
        prelu(x, i);
        break;
    case NN_RELU6:
        relu6(x, i);
        break;
    case NN_SIGMOID:
        plain(x, i, "Sigmoid");
        break;
    case NN_SOFTMAX:
        over_channels(x, i, "Softmax");
        break;
    case NN_MAX_POOL:
        max_pool(x, i);
        break;
    case NN_AVG_POOL:
        avg_pool(x, i);
        break;
    case NN_GLOBAL_AVG_POOL:
        planes(x, i, "GlobalAveragePool");
        break;
    case NN_ADD:
        plain(x, i, "Add");
        break;
    case NN_MUL:
        plain(x, i, "Mul");
        break;
    case NN_CONCAT:
        over_channels(x, i, "Concat");
        break;
    case NN_PAD:
        pad(x, i);
        break;
    case NN_FLATTEN:
        flatten(x, i);
        break;
    case NN_RESHAPE:
        reshape(x, i);
        break;
    case NN_TRANSPOSE:
        transpose(x, i);
        break;
    case NN_RESIZE_NEAREST:
        resize_nearest(x, i);
        break;
    case NN_L2_NORMALIZE:
        l2_normalize(x, i);
        break;
    case NN_KIND_COUNT:
        break;
    }
}

/* Graph output k where no op bears its name: a vector made flat, or an op that has another. */
static void export_output(struct export *x, int k)
{
    const struct nn_output *o = &x->g->outputs[k];
    const struct export_value *v = &x->values[o->op];
    char name[EXPORT_NAME_BYTES];
    if (v->output == k) return;
    const bool turned = v->vector && !v->flat;
    struct proto n = node_new(x, turned ? "Flatten" : "Identity");
    value_name(name, x, o->op);
    proto_text(&n, NODE_INPUT, name);
    if (turned) attr_int(&n, "axis", CHANNELS);
    proto_text(&n, NODE_OUTPUT, o->name);
    node_end(x, &n);
}

void export__nodes(struct export *x)
{
    for (int i = 0; i < x->g->n_ops; i++) export_op(x, i);
    for (int k = 0; k < x->g->n_outputs; k++) export_output(x, k);
}
