/* Arithmetic, and the norms that are made of it. */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/onnx_graph.h"

static const double LENGTH_LEAST = 1e-6; /* a limit below it is there to avoid a division by 0 */
static const double NO_LIMIT = 1e30;

/* --- two tensors --- */

static bool same_dims(const struct onnx_value *a, const struct onnx_value *c)
{
    return a->ndim == c->ndim && a->channels_last == c->channels_last &&
           memcmp(a->dims, c->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

static bool same_planes(const struct onnx_builder *b, int op, int other)
{
    const struct nn_shape s = onnx_shape(b, op), t = onnx_shape(b, other);
    return s.c == t.c && s.h == t.h && s.w == t.w;
}

static enum err two_tensors(struct onnx_builder *b, enum nn_kind kind)
{
    struct onnx_value *x, *y;
    int index;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_tensor_in(b, 1, &y);
    if (rc) return rc;
    if (!same_dims(x, y) || !same_planes(b, x->op, y->op)) {
        const bool last = x->channels_last && y->channels_last;
        if (!last && ((rc = onnx_planes(b, x)) || (rc = onnx_planes(b, y)))) return rc;
        if (x->ndim != y->ndim || x->batch != y->batch)
            return onnx_fail(b, "its inputs have %d and %d axes", x->ndim, y->ndim);
        const struct nn_shape s = onnx_shape(b, x->op);
        if (s.h == 1 && s.w == 1) { /* the smaller one comes second */
            struct onnx_value *const swap = x;
            x = y;
            y = swap;
        }
    }
    struct nn_op op = onnx_op(b, kind, x->op);
    op.in[op.n_in++] = y->op;
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_like(b, x, index);
}

/* --- a tensor and a constant --- */

enum arith { ARITH_ADD, ARITH_SUB, ARITH_MUL, ARITH_DIV };

/* x op c, or c op x when the constant comes first, as scale and shift. */
static bool as_affine(enum arith what, bool first, double c, double *scale, double *shift)
{
    *scale = what == ARITH_MUL ? c : what == ARITH_DIV ? 1 / c : 1;
    *shift = what == ARITH_ADD ? c : what == ARITH_SUB ? -c : 0;
    if (first && what == ARITH_SUB) {
        *scale = -1;
        *shift = c;
    }
    return !(first && what == ARITH_DIV);
}

static enum err with_constant(struct onnx_builder *b, enum arith what)
{
    const bool first = onnx_input(b, 0)->kind == ONNX_CONSTANT;
    struct onnx_value *x;
    struct onnx_tensor *c;
    double *values, *shift;
    size_t n;
    bool done = false;
    enum err rc = onnx_tensor_in(b, first, &x);

    if (!rc) rc = onnx_constant_in(b, !first, &c);
    if (rc) return rc;
    if (!onnx_per_channel(x, c, &n))
        return onnx_fail(b, "%s: a number, or one for each channel, is expected", c->v.name);
    if (n > 1 && (rc = onnx_channels(b, x))) return rc;
    if (what == ARITH_ADD && n > 1 && ((rc = onnx_bias(b, x, c, &done)) || done)) return rc;
    if ((rc = onnx_values(&values, c, b->a, b->err))) return rc;
    if (!(shift = items_alloc(b->a, n, sizeof *shift)))
        return err_set(b->err, ERR_NOMEM, "no memory for %zu values", n);
    for (size_t i = 0; i < n; i++)
        if (!as_affine(what, first, values[i], &values[i], &shift[i]))
            return onnx_fail(b, "a constant divided by a tensor is not known here");
    return onnx_affine(b, x, n, values, shift);
}

/* --- norms --- */

/* The axes are all there is in a row. */
static enum err check_row(struct onnx_builder *b, const struct onnx_value *x, const int64_t *axes,
                          size_t n)
{
    bool normed[VIEW_DIMS_MAX] = {false};
    for (size_t i = 0; i < n; i++) {
        int at;
        enum err rc = onnx_axis(b, axes[i], x->ndim, &at);
        if (rc) return rc;
        normed[at] = true;
    }
    for (int i = 0; i < x->ndim; i++)
        if (!normed[i] && x->dims[i] != 1)
            return onnx_fail(b, "a norm of anything but the whole row is not known here");
    return ERR_OK;
}

static enum err l2_normalize(struct onnx_builder *b, struct onnx_value *x)
{
    struct nn_op op = onnx_op(b, NN_L2_NORMALIZE, x->op);
    int index;
    enum err rc = onnx_add(b, &op, NULL, &index);
    return rc ? rc : onnx_put_like(b, x, index);
}

static enum err lp_normalization(struct onnx_builder *b)
{
    struct onnx_value *x;
    int64_t axis, p;
    enum err rc = onnx_tensor_in(b, 0, &x);
    if (!rc) rc = onnx_int(b, "axis", -1, &axis);
    if (!rc) rc = onnx_int(b, "p", 2, &p);
    if (rc) return rc;
    if (p != 2) return onnx_fail(b, "p is %lld, only 2 is known", (long long)p);
    rc = check_row(b, x, &axis, 1);
    return rc ? rc : l2_normalize(b, x);
}

/* Remembered until the division by it. */
static enum err reduce_l2(struct onnx_builder *b)
{
    struct onnx_value *x;
    const int64_t *axes;
    size_t n;
    enum err rc = onnx_tensor_in(b, 0, &x);
    if (!rc) rc = onnx_ints_or_input(b, "axes", 1, &axes, &n);
    if (rc) return rc;
    if ((rc = check_row(b, x, axes, n))) return rc;
    const struct onnx_value norm = {.kind = ONNX_NORM, .of = x->id, .ndim = 1, .dims = {1}};
    return onnx_put(b, &norm);
}

/* Limits in attributes (before opset 11) or in inputs 1 and 2. */
static enum err limits(struct onnx_builder *b, double out[2])
{
    static const char *const NAME[2] = {"min", "max"};
    const float open[2] = {-3.4e38f, 3.4e38f};
    enum err rc = ERR_OK;
    for (int i = 0; !rc && i < 2; i++) {
        struct onnx_tensor *t;
        double *values;
        float v;
        if ((rc = onnx_float(b, NAME[i], open[i], &v))) break;
        out[i] = (double)v;
        if ((rc = onnx_optional_constant(b, i + 1, &t)) || !t) continue;
        if (t->v.count != 1) return onnx_fail(b, "%s has %zu values", NAME[i], t->v.count);
        if (!(rc = onnx_values(&values, t, b->a, b->err))) out[i] = values[0];
    }
    return rc;
}

static enum err clip(struct onnx_builder *b)
{
    struct onnx_value *x = onnx_input(b, 0);
    double limit[2];
    int index;
    enum err rc = limits(b, limit);

    if (rc) return rc;
    if (x && x->kind == ONNX_NORM && limit[0] <= LENGTH_LEAST && limit[1] > NO_LIMIT)
        return onnx_put(b, x);
    if ((rc = onnx_tensor_in(b, 0, &x))) return rc;
    if (limit[0] != 0 || (limit[1] != 6 && limit[1] < NO_LIMIT))
        return onnx_fail(b, "to %g .. %g: only 0 .. 6 is known", limit[0], limit[1]);
    struct nn_op op = onnx_op(b, limit[1] == 6 ? NN_RELU6 : NN_RELU, x->op);
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_like(b, x, index);
}

/* A norm made as wide as what it divides. */
static enum err expand(struct onnx_builder *b)
{
    const struct onnx_value *x = onnx_input(b, 0);
    return x && x->kind == ONNX_NORM ? onnx_put(b, x)
                                     : onnx_fail(b, "only a norm's Expand is known here");
}

/* --- which --- */

static enum err binary(struct onnx_builder *b, enum arith what)
{
    const struct onnx_value *x = onnx_input(b, 0), *y = onnx_input(b, 1);
    if (!x || !y) return onnx_fail(b, "two inputs are expected");
    if (x->kind == ONNX_CONSTANT || y->kind == ONNX_CONSTANT) return with_constant(b, what);
    if (what == ARITH_ADD) return two_tensors(b, NN_ADD);
    if (what == ARITH_MUL) return two_tensors(b, NN_MUL);
    if (what == ARITH_DIV && x->kind == ONNX_TENSOR && y->kind == ONNX_NORM && y->of == x->id)
        return l2_normalize(b, b->values[x->id]);
    return onnx_fail(b, "of two tensors is not known here");
}

static enum err add(struct onnx_builder *b)
{
    return binary(b, ARITH_ADD);
}

static enum err sub(struct onnx_builder *b)
{
    return binary(b, ARITH_SUB);
}

static enum err mul(struct onnx_builder *b)
{
    return binary(b, ARITH_MUL);
}

static enum err divide(struct onnx_builder *b)
{
    return binary(b, ARITH_DIV);
}

onnx_convert *onnx_arith(const char *op)
{
    static const struct {
        const char *op;
        onnx_convert *convert;
    } KNOWN[] = {
        {"Add", add},
        {"Sub", sub},
        {"Mul", mul},
        {"Div", divide},
        {"Clip", clip},
        {"Expand", expand},
        {"ReduceL2", reduce_l2},
        {"LpNormalization", lp_normalization},
    };
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strcmp(KNOWN[i].op, op) == 0) return KNOWN[i].convert;
    return NULL;
}
