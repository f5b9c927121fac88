/* Operators with weights, activations and pools. Semantics: the ONNX project's Operators.md. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/onnx_graph.h"

enum { IMAGE_AXES = 4, ATTR_MAX = 1024 /* as engine/nn/graph.c */ };

/* --- windows --- */

/* The numbers of a list attribute, each in [lo, hi]; as they are in out when it is left out. */
static enum err list_in_range(struct onnx_builder *b, const char *name, int *out, size_t want,
                              int lo)
{
    const int64_t *list;
    size_t n;
    enum err rc = onnx_ints(b, name, &list, &n);
    if (rc || !n) return rc;
    if (n != want) return onnx_fail(b, "%s has %zu numbers, %zu are expected", name, n, want);
    for (size_t i = 0; i < n; i++) {
        if (list[i] < lo || list[i] > ATTR_MAX)
            return onnx_fail(b, "%s is %lld, expected %d to %d", name, (long long)list[i], lo,
                             ATTR_MAX);
        out[i] = (int)list[i];
    }
    return ERR_OK;
}

/* Output size = input size / stride, rounded up; an odd element goes to the end, or the beginning.
 */
static void pad_same(struct nn_op *op, struct nn_shape in, bool lower)
{
    const int size[2] = {in.h, in.w};
    for (int i = 0; i < 2; i++) {
        const int out = (size[i] + op->stride[i] - 1) / op->stride[i];
        int total = (out - 1) * op->stride[i] + (op->kernel[i] - 1) * op->dilation + 1 - size[i];
        if (total < 0) total = 0;
        op->pad[i] = lower ? total - total / 2 : total / 2;
        op->pad[i + 2] = total - op->pad[i];
    }
}

static enum err read_padding(struct onnx_builder *b, struct nn_op *op, struct nn_shape in)
{
    const char *pad;
    enum err rc = onnx_string(b, "auto_pad", "NOTSET", &pad);
    if (rc) return rc;
    if (strcmp(pad, "NOTSET") == 0 || !pad[0]) return list_in_range(b, "pads", op->pad, 4, 0);
    if (strcmp(pad, "VALID") == 0) return ERR_OK;
    const bool lower = strcmp(pad, "SAME_LOWER") == 0;
    if (!lower && strcmp(pad, "SAME_UPPER") != 0)
        return onnx_fail(b, "auto_pad is %s, not known here", pad);
    pad_same(op, in, lower);
    return ERR_OK;
}

static enum err read_window(struct onnx_builder *b, struct nn_op *op)
{
    int dilations[2] = {1, 1};
    enum err rc = list_in_range(b, "strides", op->stride, 2, 1);
    if (!rc) rc = list_in_range(b, "dilations", dilations, 2, 1);
    if (rc) return rc;
    if (dilations[0] != dilations[1])
        return onnx_fail(b, "dilations are %d and %d: only equal ones are known", dilations[0],
                         dilations[1]);
    op->dilation = dilations[0];
    return read_padding(b, op, onnx_shape(b, op->in[0]));
}

/* Input 0, an image of planes. */
static enum err image_in(struct onnx_builder *b, struct onnx_value **x)
{
    enum err rc = onnx_tensor_in(b, 0, x);
    if (rc) return rc;
    if ((*x)->ndim != IMAGE_AXES || !(*x)->batch)
        return onnx_fail(b, "its input has %d axes, an image of 4 is expected", (*x)->ndim);
    return onnx_planes(b, *x);
}

/* --- convolution and dense layers --- */

static enum err check_kernel(struct onnx_builder *b, struct nn_op *op, const struct view *w)
{
    int kernel[2];
    if (w->ndim != IMAGE_AXES)
        return onnx_fail(b, "%s has %d axes, 4 are expected", w->name, w->ndim);
    for (int i = 0; i < IMAGE_AXES; i++)
        if (!w->dims[i] || w->dims[i] > (i < 2 ? (size_t)NN_MAX_CHANNELS : (size_t)ATTR_MAX))
            return onnx_fail(b, "%s: axis %d has %zu elements", w->name, i, w->dims[i]);
    op->out = (int)w->dims[0];
    kernel[0] = op->kernel[0] = (int)w->dims[2];
    kernel[1] = op->kernel[1] = (int)w->dims[3];
    enum err rc = list_in_range(b, "kernel_shape", kernel, 2, 1);
    if (!rc && memcmp(kernel, op->kernel, sizeof kernel) != 0)
        rc = onnx_fail(b, "kernel_shape is %dx%d, %s has %dx%d", kernel[0], kernel[1], w->name,
                       op->kernel[0], op->kernel[1]);
    return rc;
}

static enum err read_groups(struct onnx_builder *b, struct nn_op *op, const struct view *w,
                            int channels)
{
    int64_t groups;
    enum err rc = onnx_int(b, "group", 1, &groups);
    if (rc) return rc;
    if (groups < 1 || groups > op->out || op->out % groups || channels % groups)
        return onnx_fail(b, "%lld groups of %d channels to %d", (long long)groups, channels,
                         op->out);
    op->groups = (int)groups;
    const size_t want = (size_t)(channels / op->groups);
    return w->dims[1] == want ? ERR_OK
                              : onnx_fail(b, "%s: %zu channels a group, its input has %zu", w->name,
                                          w->dims[1], want);
}

static enum err new_weights(struct onnx_builder *b, struct onnx_weights **w,
                            const struct onnx_tensor *values)
{
    *w = onnx_new_weights(b);
    if (!*w) return err_set(b->err, ERR_NOMEM, "no memory for weights");
    (*w)->has_w = true;
    (*w)->w = values->v;
    return ERR_OK;
}

static enum err set_bias(struct onnx_builder *b, struct onnx_weights *w,
                         const struct onnx_tensor *bias, size_t out)
{
    if (!bias) return ERR_OK;
    w->has_b = true;
    w->b = bias->v;
    return view_expect(&w->b, 1, &out, b->err);
}

static enum err conv(struct onnx_builder *b)
{
    struct onnx_value *x;
    struct onnx_tensor *w, *bias;
    struct onnx_weights *weights;
    int index;
    enum err rc = image_in(b, &x);

    if (!rc) rc = onnx_constant_in(b, 1, &w);
    if (!rc) rc = onnx_optional_constant(b, 2, &bias);
    if (rc) return rc;
    struct nn_op op = onnx_op(b, NN_CONV2D, x->op);
    if ((rc = check_kernel(b, &op, &w->v))) return rc;
    if ((rc = read_groups(b, &op, &w->v, onnx_shape(b, x->op).c))) return rc;
    if ((rc = read_window(b, &op))) return rc;
    if ((rc = new_weights(b, &weights, w))) return rc;
    if ((rc = set_bias(b, weights, bias, w->v.dims[0]))) return rc;
    if ((rc = onnx_add(b, &op, weights, &index))) return rc;
    return onnx_put_op(b, index, IMAGE_AXES);
}

/* w: [out][in], for an input of in values. */
static enum err check_matrix(struct onnx_builder *b, const struct view *w, size_t in)
{
    return w->dims[1] == in && w->dims[0] && w->dims[0] <= NN_MAX_CHANNELS
               ? ERR_OK
               : onnx_fail(b, "shape of %s: it takes %zu values and gives %zu, its input has %zu",
                           w->name, w->dims[1], w->dims[0], in);
}

static enum err add_dense(struct onnx_builder *b, const struct onnx_value *x,
                          struct onnx_weights *weights, int *index)
{
    struct nn_op op = onnx_op(b, NN_DENSE, x->op);
    op.out = (int)weights->w.dims[0];
    return onnx_add(b, &op, weights, index);
}

/* Gemm's C, times beta: a number, or one for each output. */
static enum err gemm_bias(struct onnx_builder *b, struct onnx_weights *w,
                          const struct onnx_tensor *c, size_t out, float beta)
{
    double *values;
    const size_t n = c->v.count, last = c->v.ndim ? c->v.dims[c->v.ndim - 1] : 1;
    if (n != last || (n != 1 && n != out) || c->v.ndim > 2)
        return onnx_fail(b, "%s: one number or %zu are expected, found %zu", c->v.name, out, n);
    if (n == out && !w->scale) {
        w->has_b = true;
        w->b = onnx_one_axis(&c->v);
        return ERR_OK;
    }
    enum err rc = onnx_values(&values, c, b->a, b->err);
    for (size_t i = 0; !rc && i < out; i++) w->shift[i] = values[n == 1 ? 0 : i] * (double)beta;
    return rc;
}

static enum err scale_all(struct onnx_builder *b, struct onnx_weights *w, size_t out, float alpha)
{
    w->scale = items_alloc(b->a, out, sizeof *w->scale);
    w->shift = items_alloc(b->a, out, sizeof *w->shift);
    if (!w->scale || !w->shift) return err_set(b->err, ERR_NOMEM, "no memory for %zu values", out);
    for (size_t i = 0; i < out; i++) w->scale[i] = (double)alpha;
    return ERR_OK;
}

static enum err gemm(struct onnx_builder *b)
{
    static const int TURNED[2] = {1, 0};
    struct onnx_value *x;
    struct onnx_tensor *w, *c;
    struct onnx_weights *weights;
    int64_t trans_a, trans_b;
    float alpha, beta;
    int index;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_constant_in(b, 1, &w);
    if (!rc) rc = onnx_optional_constant(b, 2, &c);
    if (!rc) rc = onnx_int(b, "transA", 0, &trans_a);
    if (!rc) rc = onnx_int(b, "transB", 0, &trans_b);
    if (!rc) rc = onnx_float(b, "alpha", 1, &alpha);
    if (!rc) rc = onnx_float(b, "beta", 1, &beta);
    if (rc || (rc = onnx_in_order(b, x))) return rc;
    if (trans_a || x->ndim != 2 || !x->batch || w->v.ndim != 2)
        return onnx_fail(b, "a row for each picture times a constant matrix is expected");
    if ((rc = new_weights(b, &weights, w))) return rc;
    if (!trans_b) view_permute(&weights->w, TURNED);
    if ((rc = check_matrix(b, &weights->w, x->dims[1]))) return rc;
    const size_t out = weights->w.dims[0];
    const bool plain = alpha == 1 && beta == 1 && !(c && c->v.count != out);
    if (!plain && (rc = scale_all(b, weights, out, alpha))) return rc;
    if (c && (rc = gemm_bias(b, weights, c, out, beta))) return rc;
    if ((rc = add_dense(b, x, weights, &index))) return rc;
    return onnx_put_op(b, index, 2);
}

static enum err matmul(struct onnx_builder *b)
{
    static const int TURNED[2] = {1, 0};
    struct onnx_value *x, y;
    struct onnx_tensor *w;
    struct onnx_weights *weights;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_constant_in(b, 1, &w);
    if (rc || (rc = onnx_in_order(b, x))) return rc;
    size_t rows = 1;
    for (int i = 0; i + 1 < x->ndim; i++) rows *= x->dims[i];
    if (rows != 1 || !x->ndim || w->v.ndim != 2)
        return onnx_fail(b, "a row for each picture times a constant matrix is expected");
    if ((rc = new_weights(b, &weights, w))) return rc;
    view_permute(&weights->w, TURNED);
    if ((rc = check_matrix(b, &weights->w, x->dims[x->ndim - 1]))) return rc;
    y = *x;
    if ((rc = add_dense(b, x, weights, &y.op))) return rc;
    y.dims[y.ndim - 1] = weights->w.dims[0];
    y.batch = y.ndim > 1;
    y.sole = true;
    return onnx_put(b, &y);
}

static enum err batch_normalization(struct onnx_builder *b)
{
    struct onnx_value *x;
    struct onnx_tensor *t;
    double *p[4]; /* scale, bias, mean, variance */
    int64_t training, spatial;
    float epsilon;
    size_t n = 0;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_channels(b, x);
    if (!rc) rc = onnx_int(b, "training_mode", 0, &training);
    if (!rc) rc = onnx_int(b, "spatial", 1, &spatial);
    if (!rc) rc = onnx_float(b, "epsilon", 1e-5f, &epsilon);
    if (rc) return rc;
    if (training || !spatial) return onnx_fail(b, "training_mode, or not spatial: not known here");
    for (int i = 0; i < 4; i++) {
        n = (size_t)onnx_shape(b, x->op).c;
        if ((rc = onnx_constant_in(b, i + 1, &t))) return rc;
        if ((rc = view_expect(&t->v, 1, &n, b->err))) return rc;
        if ((rc = onnx_values(&p[i], t, b->a, b->err))) return rc;
    }
    for (size_t i = 0; i < n; i++) { /* now scale and shift are in p[0] and p[1] */
        p[0][i] /= sqrt(p[3][i] + (double)epsilon);
        p[1][i] -= p[2][i] * p[0][i];
    }
    return onnx_affine(b, x, n, p[0], p[1]);
}

/* --- activations --- */

static enum err unary(struct onnx_builder *b, enum nn_kind kind, float alpha)
{
    struct onnx_value *x;
    int index;
    enum err rc = onnx_tensor_in(b, 0, &x);
    if (rc) return rc;
    struct nn_op op = onnx_op(b, kind, x->op);
    op.alpha = alpha;
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_like(b, x, index);
}

static enum err relu(struct onnx_builder *b)
{
    return unary(b, NN_RELU, 0);
}

static enum err sigmoid(struct onnx_builder *b)
{
    return unary(b, NN_SIGMOID, 0);
}

static enum err leaky_relu(struct onnx_builder *b)
{
    float alpha;
    enum err rc = onnx_float(b, "alpha", 0.01f, &alpha);
    return rc ? rc : unary(b, NN_LEAKY_RELU, alpha);
}

/* Slopes are one, or one a channel; older files give [c] beside [1][c][h][w]. */
static enum err prelu(struct onnx_builder *b)
{
    struct onnx_value *x;
    struct onnx_tensor *slope;
    struct onnx_weights *weights;
    double *one;
    size_t n;
    int index;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_constant_in(b, 1, &slope);
    if (rc) return rc;
    if (slope->v.count == 1) {
        rc = onnx_values(&one, slope, b->a, b->err);
        return rc ? rc : unary(b, NN_LEAKY_RELU, (float)one[0]);
    }
    if ((rc = onnx_channels(b, x))) return rc;
    const bool old = slope->v.ndim == 1 && slope->v.count == (size_t)onnx_shape(b, x->op).c;
    if (!old && !onnx_per_channel(x, slope, &n))
        return onnx_fail(b, "%s: %zu slopes, one a channel is expected", slope->v.name,
                         slope->v.count);
    if ((rc = new_weights(b, &weights, slope))) return rc;
    weights->w = onnx_one_axis(&slope->v);
    struct nn_op op = onnx_op(b, NN_PRELU, x->op);
    if ((rc = onnx_add(b, &op, weights, &index))) return rc;
    return onnx_put_like(b, x, index);
}

/* Over channels. Before opset 13 everything from the axis on is one row. */
static enum err softmax(struct onnx_builder *b)
{
    struct onnx_value *x;
    int64_t axis;
    int at;
    size_t behind = 1;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_int(b, "axis", b->m->opset < 13 ? 1 : -1, &axis);
    if (!rc) rc = onnx_axis(b, axis, x->ndim, &at);
    if (!rc && at != x->ndim - 1) rc = onnx_in_order(b, x);
    if (rc || (rc = onnx_channels(b, x))) return rc;
    for (int i = at + 1; i < x->ndim; i++) behind *= x->dims[i];
    const int channels = x->channels_last ? x->ndim - 1 : x->batch;
    if (at != channels || (b->m->opset < 13 && behind != 1))
        return onnx_fail(b, "a softmax over other axes than the channels is not known here");
    return unary(b, NN_SOFTMAX, 0);
}

/* --- pools --- */

static enum err pool(struct onnx_builder *b, enum nn_kind kind)
{
    struct onnx_value *x;
    int64_t ceil_mode, count_pad;
    int index;
    enum err rc = image_in(b, &x);

    if (!rc) rc = onnx_int(b, "ceil_mode", 0, &ceil_mode);
    if (!rc) rc = onnx_int(b, "count_include_pad", 0, &count_pad);
    if (rc) return rc;
    struct nn_op op = onnx_op(b, kind, x->op);
    if (!onnx_attr(b->node, "kernel_shape")) return onnx_fail(b, "kernel_shape is missing");
    if ((rc = list_in_range(b, "kernel_shape", op.kernel, 2, 1))) return rc;
    if ((rc = read_window(b, &op))) return rc;
    if (op.dilation != 1) return onnx_fail(b, "a pool with dilations is not known here");
    op.ceil_mode = ceil_mode != 0;
    op.count_pad = kind == NN_AVG_POOL && count_pad != 0;
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_op(b, index, IMAGE_AXES);
}

static enum err max_pool(struct onnx_builder *b)
{
    return pool(b, NN_MAX_POOL);
}

static enum err average_pool(struct onnx_builder *b)
{
    return pool(b, NN_AVG_POOL);
}

static enum err global_average_pool(struct onnx_builder *b)
{
    struct onnx_value *x;
    int index;
    enum err rc = image_in(b, &x);
    if (rc) return rc;
    struct nn_op op = onnx_op(b, NN_GLOBAL_AVG_POOL, x->op);
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_op(b, index, IMAGE_AXES);
}

/* Over height and width: what a global pool is. */
static enum err reduce_mean(struct onnx_builder *b)
{
    struct onnx_value *x;
    const int64_t *axes;
    int64_t keep;
    size_t n;
    int at[2] = {0}, index;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_ints_or_input(b, "axes", 1, &axes, &n);
    if (!rc) rc = onnx_int(b, "keepdims", 1, &keep);
    for (size_t i = 0; !rc && i < 2 && i < n; i++) rc = onnx_axis(b, axes[i], x->ndim, &at[i]);
    if (rc) return rc;
    const int first = x->channels_last ? 1 : 2;
    if (n != 2 || x->ndim != IMAGE_AXES || !x->batch || at[0] + at[1] != 2 * first + 1 ||
        (at[0] != first && at[1] != first))
        return onnx_fail(b, "a mean over other axes than height and width is not known here");
    if ((rc = onnx_channels(b, x))) return rc;
    struct nn_op op = onnx_op(b, NN_GLOBAL_AVG_POOL, x->op);
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    if (!keep) return onnx_put_op(b, index, 2);
    struct onnx_value y = *x;
    y.op = index;
    y.dims[first] = y.dims[first + 1] = 1;
    y.sole = true;
    return onnx_put(b, &y);
}

onnx_convert *onnx_layer(const char *op)
{
    static const struct {
        const char *op;
        onnx_convert *convert;
    } KNOWN[] = {
        {"Conv", conv},
        {"Gemm", gemm},
        {"MatMul", matmul},
        {"BatchNormalization", batch_normalization},
        {"Relu", relu},
        {"PRelu", prelu},
        {"LeakyRelu", leaky_relu},
        {"Sigmoid", sigmoid},
        {"Softmax", softmax},
        {"MaxPool", max_pool},
        {"AveragePool", average_pool},
        {"GlobalAveragePool", global_average_pool},
        {"ReduceMean", reduce_mean},
    };
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strcmp(KNOWN[i].op, op) == 0) return KNOWN[i].convert;
    return NULL;
}
