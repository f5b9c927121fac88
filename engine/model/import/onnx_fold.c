/* Nodes whose inputs are constants are computed at import: what exporters make of x.view(n, -1), of
 * the sizes of a resize or of the margins of a padding. Shapes are known, the batch is 1. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/onnx_graph.h"

/* A constant to compute with. */
struct numbers {
    struct onnx_tensor *t;
    double *v; /* row-major */
    size_t n;
};

static enum err numbers_in(struct onnx_builder *b, int i, struct numbers *out)
{
    enum err rc = onnx_constant_in(b, i, &out->t);
    if (!rc) rc = onnx_values(&out->v, out->t, b->a, b->err);
    if (!rc) out->n = out->t->v.count;
    return rc;
}

static enum err list_of(struct onnx_builder *b, double **list, size_t n)
{
    *list = n <= ONNX_VALUES_MAX ? items_alloc(b->a, n + 1, sizeof **list) : NULL;
    return *list ? ERR_OK : onnx_fail(b, "no room for a constant of %zu values", n);
}

/* --- made of nothing, or of a shape --- */

static enum err constant(struct onnx_builder *b)
{
    struct onnx_value v = {.kind = ONNX_CONSTANT};
    double *list;
    enum err rc;

    for (int i = 0; i < b->node->n_attrs; i++) {
        const struct onnx_attr *a = &b->node->attrs[i];
        const size_t n = a->n;
        if (a->type == ONNX_ATTR_TENSOR) {
            v.constant = *a->t;
            return onnx_put(b, &v);
        }
        const bool one = a->type == ONNX_ATTR_INT || a->type == ONNX_ATTR_FLOAT,
                   integer = a->type == ONNX_ATTR_INT || a->type == ONNX_ATTR_INTS;
        if (!one && !integer && a->type != ONNX_ATTR_FLOATS) continue;
        if ((rc = list_of(b, &list, n))) return rc;
        list[0] = integer ? (double)a->i : (double)a->f;
        for (size_t k = 0; k < n; k++) list[k] = integer ? (double)a->ints[k] : a->floats[k];
        return onnx_put_constant(b, integer, !one, &n, list);
    }
    return onnx_fail(b, "its value is of a type that is not read");
}

static enum err shape(struct onnx_builder *b)
{
    const struct onnx_value *x = onnx_input(b, 0);
    double dims[VIEW_DIMS_MAX], *list;
    int64_t start, end;
    if (!x || x->kind == ONNX_NORM) return onnx_fail(b, "a tensor is expected");
    const bool tensor = x->kind == ONNX_TENSOR;
    const int ndim = tensor ? x->ndim : x->constant.v.ndim;
    enum err rc = onnx_int(b, "start", 0, &start);

    if (!rc) rc = onnx_int(b, "end", ndim, &end);
    if (rc) return rc;
    if (start < 0) start += ndim;
    if (end < 0) end += ndim;
    if (start < 0 || start > end || end > ndim)
        return onnx_fail(b, "axes %lld to %lld of %d", (long long)start, (long long)end, ndim);
    for (int i = 0; i < ndim; i++) dims[i] = (double)(tensor ? x->dims[i] : x->constant.v.dims[i]);
    const size_t n = (size_t)(end - start);
    if ((rc = list_of(b, &list, n))) return rc;
    memcpy(list, dims + start, n * sizeof *list);
    return onnx_put_constant(b, true, 1, &n, list);
}

static enum err constant_of_shape(struct onnx_builder *b)
{
    const struct onnx_attr *a = onnx_attr(b->node, "value");
    const int64_t *shape_list;
    double *list, *value;
    size_t n, count = 1, dims[VIEW_DIMS_MAX];
    enum err rc = onnx_ints_or_input(b, "", 0, &shape_list, &n);

    if (rc) return rc;
    if (n > VIEW_DIMS_MAX) return onnx_fail(b, "a shape of %zu axes", n);
    for (size_t i = 0; i < n; i++) {
        if (shape_list[i] < 0 || shape_list[i] > ONNX_SMALL || count > ONNX_SMALL)
            return onnx_fail(b, "axis %zu is %lld", i, (long long)shape_list[i]);
        count *= dims[i] = (size_t)shape_list[i];
    }
    if ((rc = list_of(b, &list, count))) return rc;
    if (a && a->type == ONNX_ATTR_TENSOR && a->t->v.count == 1) {
        if ((rc = onnx_values(&value, a->t, b->a, b->err))) return rc;
        for (size_t i = 0; i < count; i++) list[i] = value[0];
    }
    return onnx_put_constant(b, a && a->type == ONNX_ATTR_TENSOR && a->t->integer, (int)n, dims,
                             list);
}

/* --- of another shape: nothing is copied where the values lie in order --- */

static bool in_order(const struct view *v)
{
    size_t stride = 1;
    for (int i = v->ndim - 1; i >= 0; stride *= v->dims[i--])
        if (v->dims[i] > 1 && v->strides[i] != stride) return false;
    return true;
}

static enum err put_reshaped(struct onnx_builder *b, struct onnx_tensor *t, int ndim,
                             const size_t *dims)
{
    struct onnx_value v = {.kind = ONNX_CONSTANT, .constant = *t};
    const struct view *from = &t->v;
    double *values;
    if (!in_order(from)) {
        enum err rc = onnx_values(&values, t, b->a, b->err);
        return rc ? rc : onnx_put_constant(b, t->integer, ndim, dims, values);
    }
    const size_t bytes = from->type == VIEW_F64 ? sizeof(double) : sizeof(float);
    enum err rc = view_init(&v.constant.v, from->name, from->type, ndim, dims, from->data,
                            from->count * bytes, b->err);
    return rc ? rc : onnx_put(b, &v);
}

static enum err reshape(struct onnx_builder *b)
{
    struct onnx_tensor *t;
    const int64_t *list;
    size_t n, dims[VIEW_DIMS_MAX];
    int ndim;
    enum err rc = onnx_constant_in(b, 0, &t);
    if (!rc) rc = onnx_ints_or_input(b, "shape", 1, &list, &n);
    if (!rc) rc = onnx_reshaped(b, t->v.ndim, t->v.dims, t->v.count, list, n, &ndim, dims);
    return rc ? rc : put_reshaped(b, t, ndim, dims);
}

static enum err squeeze(struct onnx_builder *b)
{
    struct onnx_tensor *t;
    size_t dims[VIEW_DIMS_MAX];
    int ndim;
    enum err rc = onnx_constant_in(b, 0, &t);
    if (!rc) rc = onnx_squeezed(b, t->v.ndim, t->v.dims, &ndim, dims);
    return rc ? rc : put_reshaped(b, t, ndim, dims);
}

static enum err unsqueeze(struct onnx_builder *b)
{
    struct onnx_tensor *t;
    size_t dims[VIEW_DIMS_MAX];
    int ndim;
    enum err rc = onnx_constant_in(b, 0, &t);
    if (!rc) rc = onnx_unsqueezed(b, t->v.ndim, t->v.dims, &ndim, dims);
    return rc ? rc : put_reshaped(b, t, ndim, dims);
}

static enum err transpose(struct onnx_builder *b)
{
    struct onnx_value v = {.kind = ONNX_CONSTANT};
    struct onnx_tensor *t;
    int perm[VIEW_DIMS_MAX];
    enum err rc = onnx_constant_in(b, 0, &t);
    if (!rc) rc = onnx_perm(b, t->v.ndim, perm);
    if (rc) return rc;
    v.constant = *t;
    view_permute(&v.constant.v, perm);
    return onnx_put(b, &v);
}

static enum err same(struct onnx_builder *b)
{
    const struct onnx_value *x = onnx_input(b, 0);
    struct onnx_value v = {.kind = ONNX_CONSTANT};
    if (!x) return onnx_fail(b, "input 0 is missing");
    v.constant = x->constant;
    return onnx_put(b, &v);
}

/* --- picking and joining --- */

static enum err gather(struct onnx_builder *b)
{
    struct numbers data, at;
    double *list;
    int64_t axis;
    enum err rc = numbers_in(b, 0, &data);

    if (!rc) rc = numbers_in(b, 1, &at);
    if (!rc) rc = onnx_int(b, "axis", 0, &axis);
    if (!rc) rc = list_of(b, &list, at.n);
    if (rc) return rc;
    if (data.t->v.ndim != 1) return onnx_fail(b, "of %d axes, 1 is expected", data.t->v.ndim);
    for (size_t i = 0; i < at.n; i++) {
        const double k = at.v[i] < 0 ? at.v[i] + (double)data.n : at.v[i];
        if (!(k >= 0 && k < (double)data.n))
            return onnx_fail(b, "index %g of %zu values", at.v[i], data.n);
        list[i] = data.v[(size_t)k];
    }
    return onnx_put_constant(b, data.t->integer, at.t->v.ndim, at.t->v.dims, list);
}

/* Along an axis that has only axes of 1 before it: one after the other. */
static enum err concat(struct onnx_builder *b)
{
    struct numbers part;
    double *list = NULL;
    size_t total = 0, at = 0, dims[VIEW_DIMS_MAX], sum = 0;
    int64_t axis;
    int on = 0, ndim = 0;
    bool integer = true;
    enum err rc = onnx_int(b, "axis", 0, &axis);

    for (int i = 0; !rc && i < b->node->n_in; i++) {
        struct onnx_tensor *t;
        if ((rc = onnx_constant_in(b, i, &t))) break;
        if (i == 0) {
            ndim = t->v.ndim;
            memcpy(dims, t->v.dims, sizeof dims);
            if ((rc = onnx_axis(b, axis, ndim, &on))) break;
        }
        for (int k = 0; k < ndim; k++)
            if (t->v.ndim != ndim || (k != on && t->v.dims[k] != dims[k]) ||
                (k < on && dims[k] != 1))
                return onnx_fail(b, "shapes of constants that do not lie one after the other");
        total += t->v.count; /* no overflow: each lies in memory, and they are few */
        sum += t->v.dims[on];
        integer &= t->integer;
    }
    if (!rc) rc = list_of(b, &list, total);
    for (int i = 0; !rc && i < b->node->n_in; i++) {
        if ((rc = numbers_in(b, i, &part))) break;
        memcpy(list + at, part.v, part.n * sizeof *list);
        at += part.n;
    }
    if (rc) return rc;
    dims[on] = sum;
    return onnx_put_constant(b, integer, ndim, dims, list);
}

/* Where a slice of n elements begins, and how many it takes. */
static size_t slice_range(int64_t start, int64_t end, int64_t step, size_t n, size_t *from)
{
    const int64_t len = (int64_t)n, lo = step > 0 ? 0 : -1, hi = step > 0 ? len : len - 1;
    if (start < 0) start += len;
    if (end < 0) end += len;
    start = start < lo ? lo : start > hi ? hi : start;
    end = end < lo ? lo : end > hi ? hi : end;
    *from = (size_t)start;
    if (step > 0) return end > start ? (size_t)((end - start - 1) / step + 1) : 0;
    return start > end ? (size_t)((start - end - 1) / -step + 1) : 0;
}

/* Of axis 0, or of the one that `axes` names. */
static enum err slice(struct onnx_builder *b)
{
    const int64_t *starts, *ends, *axes, *steps;
    size_t n[4], dims[VIEW_DIMS_MAX], from, inner = 1, outer = 1;
    struct numbers x;
    double *list;
    int axis;
    enum err rc = numbers_in(b, 0, &x);

    if (!rc) rc = onnx_ints_or_input(b, "starts", 1, &starts, &n[0]);
    if (!rc) rc = onnx_ints_or_input(b, "ends", 2, &ends, &n[1]);
    if (!rc) rc = onnx_ints_or_input(b, "axes", 3, &axes, &n[2]);
    if (!rc) rc = onnx_ints_or_input(b, "steps", 4, &steps, &n[3]);
    if (!rc && (n[0] != 1 || n[1] != 1 || n[2] > 1 || n[3] > 1))
        rc = onnx_fail(b, "a slice of one axis is expected");
    if (!rc) rc = onnx_axis(b, n[2] ? axes[0] : 0, x.t->v.ndim, &axis);
    if (rc) return rc;
    const int64_t step = n[3] ? steps[0] : 1;
    if (!step || step > ONNX_VALUES_MAX || step < -ONNX_VALUES_MAX)
        return onnx_fail(b, "a step of %lld", (long long)step);
    memcpy(dims, x.t->v.dims, sizeof dims);
    for (int i = 0; i < axis; i++) outer *= dims[i];
    for (int i = axis + 1; i < x.t->v.ndim; i++) inner *= dims[i];
    const size_t whole = dims[axis];
    dims[axis] = slice_range(starts[0], ends[0], step, whole, &from);
    if ((rc = list_of(b, &list, outer * dims[axis] * inner))) return rc;
    double *to = list;
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < dims[axis]; k++, to += inner) {
            const size_t at = (size_t)((int64_t)from + (int64_t)k * step);
            memcpy(to, x.v + (o * whole + at) * inner, inner * sizeof *to);
        }
    return onnx_put_constant(b, x.t->integer, x.t->v.ndim, dims, list);
}

/* --- numbers --- */

static enum err cast(struct onnx_builder *b)
{
    enum { FLOAT = 1, INT32 = 6, INT64 = 7, DOUBLE = 11 };
    struct numbers x;
    int64_t to;
    enum err rc = onnx_int(b, "to", 0, &to);
    if (!rc) rc = numbers_in(b, 0, &x);
    if (rc) return rc;
    const bool integer = to == INT32 || to == INT64;
    if (!integer && to != FLOAT && to != DOUBLE)
        return onnx_fail(b, "to type %lld is not known here", (long long)to);
    for (size_t i = 0; integer && i < x.n; i++) x.v[i] = trunc(x.v[i]);
    return onnx_put_constant(b, integer, x.t->v.ndim, x.t->v.dims, x.v);
}

static enum err rounded(struct onnx_builder *b)
{
    const bool up = b->node->op[0] == 'C';
    struct numbers x;
    enum err rc = numbers_in(b, 0, &x);
    for (size_t i = 0; !rc && i < x.n; i++) x.v[i] = up ? ceil(x.v[i]) : floor(x.v[i]);
    return rc ? rc : onnx_put_constant(b, x.t->integer, x.t->v.ndim, x.t->v.dims, x.v);
}

static double computed(char op, double x, double y, bool integer)
{
    switch (op) {
    case 'A':
        return x + y;
    case 'S':
        return x - y;
    case 'M':
        return x * y;
    default:
        return integer ? trunc(x / y) : x / y;
    }
}

/* Add, Sub, Mul, Div, of equal shapes or with a single number. */
static enum err arithmetic(struct onnx_builder *b)
{
    struct numbers x, y;
    double *list;
    enum err rc = numbers_in(b, 0, &x);
    if (!rc) rc = numbers_in(b, 1, &y);
    if (rc) return rc;
    const struct numbers *like = y.n > x.n || (y.n == x.n && y.t->v.ndim > x.t->v.ndim) ? &y : &x;
    const bool same = x.t->v.ndim == y.t->v.ndim &&
                      memcmp(x.t->v.dims, y.t->v.dims, (size_t)x.t->v.ndim * sizeof(size_t)) == 0,
               integer = x.t->integer && y.t->integer;
    if (!same && x.n != 1 && y.n != 1) return onnx_fail(b, "constants of two shapes");
    if ((rc = list_of(b, &list, like->n))) return rc;
    for (size_t i = 0; i < like->n; i++)
        list[i] = computed(b->node->op[0], x.v[x.n == 1 ? 0 : i], y.v[y.n == 1 ? 0 : i], integer);
    return onnx_put_constant(b, integer, like->t->v.ndim, like->t->v.dims, list);
}

static onnx_convert *find(const char *op)
{
    static const struct {
        const char *op;
        onnx_convert *fold;
    } KNOWN[] = {
        {"Add", arithmetic},
        {"Cast", cast},
        {"Ceil", rounded},
        {"Concat", concat},
        {"ConstantOfShape", constant_of_shape},
        {"Div", arithmetic},
        {"Dropout", same},
        {"Floor", rounded},
        {"Gather", gather},
        {"Identity", same},
        {"Mul", arithmetic},
        {"Reshape", reshape},
        {"Slice", slice},
        {"Squeeze", squeeze},
        {"Sub", arithmetic},
        {"Transpose", transpose},
        {"Unsqueeze", unsqueeze},
    };
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strcmp(KNOWN[i].op, op) == 0) return KNOWN[i].fold;
    return NULL;
}

enum err onnx_fold(struct onnx_builder *b, bool *done)
{
    const char *op = b->node->op;
    int constants = 0;

    *done = true;
    if (strcmp(op, "Constant") == 0) return constant(b);
    if (strcmp(op, "Shape") == 0) return shape(b);
    for (int i = 0; i < b->node->n_in; i++) {
        const struct onnx_value *v = onnx_input(b, i);
        if (v && v->kind != ONNX_CONSTANT) constants = -ONNX_LIST_MAX;
        constants += v != NULL;
    }
    onnx_convert *fold = constants > 0 ? find(op) : NULL;
    *done = fold != NULL;
    return fold ? fold(b) : ERR_OK;
}
