/* Operators that move tensors: shape, order, concatenation, resizing, padding. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/onnx_graph.h"

enum { IMAGE_AXES = 4, ATTR_MAX = 1024, FLOAT32 = 1, PERM_GROUPS = 3 };

static size_t count_of(const struct onnx_value *x)
{
    size_t n = 1;
    for (int i = 0; i < x->ndim; i++) n *= x->dims[i];
    return n;
}

/* --- no op is made --- */

static enum err same(struct onnx_builder *b)
{
    const struct onnx_value *x = onnx_input(b, 0);
    return x ? onnx_put_like(b, x, x->op) : onnx_fail(b, "input 0 is missing");
}

static enum err cast(struct onnx_builder *b)
{
    int64_t to;
    enum err rc = onnx_int(b, "to", 0, &to);
    if (rc) return rc;
    return to == FLOAT32 ? same(b)
                         : onnx_fail(b, "a tensor as type %lld is not known here", (long long)to);
}

static enum err reshape(struct onnx_builder *b)
{
    struct onnx_value *x;
    const int64_t *list;
    size_t n, dims[VIEW_DIMS_MAX];
    int ndim;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_in_order(b, x);
    if (!rc) rc = onnx_ints_or_input(b, "shape", 1, &list, &n);
    if (!rc) rc = onnx_reshaped(b, x->ndim, x->dims, count_of(x), list, n, &ndim, dims);
    return rc ? rc : onnx_put_alias(b, x, ndim, dims);
}

static enum err flatten(struct onnx_builder *b)
{
    struct onnx_value *x;
    int64_t axis;
    size_t dims[2] = {1, 1};
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_in_order(b, x);
    if (!rc) rc = onnx_int(b, "axis", 1, &axis);
    if (rc) return rc;
    if (axis < 0) axis += x->ndim;
    if (axis < 0 || axis > x->ndim) return onnx_fail(b, "axis of %d axes", x->ndim);
    for (int i = 0; i < x->ndim; i++) dims[i >= axis] *= x->dims[i];
    return onnx_put_alias(b, x, 2, dims);
}

static enum err squeeze(struct onnx_builder *b)
{
    struct onnx_value *x;
    size_t dims[VIEW_DIMS_MAX];
    int ndim;
    enum err rc = onnx_tensor_in(b, 0, &x);
    if (!rc) rc = onnx_in_order(b, x);
    if (!rc) rc = onnx_squeezed(b, x->ndim, x->dims, &ndim, dims);
    return rc ? rc : onnx_put_alias(b, x, ndim, dims);
}

static enum err unsqueeze(struct onnx_builder *b)
{
    struct onnx_value *x;
    size_t dims[VIEW_DIMS_MAX];
    int ndim;
    enum err rc = onnx_tensor_in(b, 0, &x);
    if (!rc) rc = onnx_in_order(b, x);
    if (!rc) rc = onnx_unsqueezed(b, x->ndim, x->dims, &ndim, dims);
    return rc ? rc : onnx_put_alias(b, x, ndim, dims);
}

/* --- transpose --- */

/* Axes of more than one element that stay side by side are one. size: of each group, in the order
 * of the input; perm: which group comes where. *n > PERM_GROUPS: too many. */
static void group_axes(const struct onnx_value *x, const int *perm, int *n, size_t *size,
                       int *order)
{
    int group_of[VIEW_DIMS_MAX], first[VIEW_DIMS_MAX], last = -1, groups = 0;
    for (int i = 0; i < x->ndim; i++) {
        if (x->dims[perm[i]] == 1) continue;
        int between = last + 1;
        while (last >= 0 && between < perm[i] && x->dims[between] == 1) between++;
        if (last < 0 || between != perm[i]) first[groups++] = perm[i];
        group_of[perm[i]] = groups - 1;
        last = perm[i];
    }
    *n = groups;
    for (int g = 0; g < groups; g++) { /* its place in the input: how many begin before it */
        order[g] = 0;
        for (int k = 0; k < groups; k++) order[g] += first[k] < first[g];
    }
    for (int g = 0; g < groups; g++) size[g] = 1;
    for (int i = 0; i < x->ndim; i++)
        if (x->dims[i] != 1) size[order[group_of[i]]] *= x->dims[i];
}

static enum err transpose_groups(struct onnx_builder *b, const struct onnx_value *x, int n,
                                 const size_t *size, const int *order, int *index)
{
    struct onnx_value planes = *x; /* the same elements as up to 3 axes */
    planes.ndim = n + 1;
    planes.batch = true;
    planes.dims[0] = 1;
    memcpy(planes.dims + 1, size, (size_t)n * sizeof *size);
    enum err rc = onnx_planes(b, &planes);
    if (rc) return rc;
    struct nn_op op = onnx_op(b, NN_TRANSPOSE, planes.op);
    for (int i = 0; i < n; i++) op.perm[i] = order[i];
    return onnx_add(b, &op, NULL, index);
}

static enum err transpose(struct onnx_builder *b)
{
    static const int TO_PLANES[IMAGE_AXES] = {0, 3, 1, 2}, TO_PIXELS[IMAGE_AXES] = {0, 2, 3, 1};
    struct onnx_value *x, y;
    int perm[VIEW_DIMS_MAX], order[VIEW_DIMS_MAX], groups;
    size_t size[VIEW_DIMS_MAX], dims[VIEW_DIMS_MAX];
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_perm(b, x->ndim, perm);
    if (rc) return rc;
    const bool image = x->batch && x->ndim == IMAGE_AXES,
               to_planes = image && x->channels_last && !memcmp(perm, TO_PLANES, sizeof TO_PLANES),
               to_pixels = image && !x->channels_last && !memcmp(perm, TO_PIXELS, sizeof TO_PIXELS);
    if (to_pixels) rc = onnx_planes(b, x);
    if (!to_planes && !to_pixels) rc = onnx_in_order(b, x);
    if (rc) return rc;
    for (int i = 0; i < x->ndim; i++) dims[i] = x->dims[perm[i]];
    y = *x;
    memcpy(y.dims, dims, (size_t)x->ndim * sizeof *dims);
    y.sole = x->sole && b->uses[x->id] == 1;
    if (to_planes || to_pixels) {
        y.channels_last = to_pixels;
        return onnx_put(b, &y);
    }
    group_axes(x, perm, &groups, size, order);
    if (groups < 2) return onnx_put_alias(b, x, x->ndim, dims);
    if (groups > PERM_GROUPS)
        return onnx_fail(b, "a transpose of %d groups of axes, the limit is %d", groups,
                         PERM_GROUPS);
    if ((rc = transpose_groups(b, x, groups, size, order, &y.op))) return rc;
    y.batch = x->ndim && dims[0] == 1;
    y.sole = true;
    return onnx_put(b, &y);
}

/* --- concatenation --- */

/* Inputs from..to - 1 as planes (or channels_last, all of them) on one axis; their sizes summed. */
static enum err concat_inputs(struct onnx_builder *b, struct onnx_value **list,
                              struct onnx_value *y)
{
    int64_t axis;
    int at;
    bool last = true;
    enum err rc = onnx_int(b, "axis", 1, &axis);

    for (int i = 0; !rc && i < b->node->n_in; i++)
        if (!(rc = onnx_tensor_in(b, i, &list[i]))) last &= list[i]->channels_last;
    if (!rc) rc = onnx_axis(b, axis, list[0]->ndim, &at);
    if (rc) return rc;
    last &= at == IMAGE_AXES - 1;
    size_t sum = 0;
    for (int i = 0; i < b->node->n_in; i++) {
        if (!last && (rc = onnx_planes(b, list[i]))) return rc;
        if (list[i]->ndim != list[0]->ndim || list[i]->batch != list[0]->batch)
            return onnx_fail(b, "its inputs have %d and %d axes", list[0]->ndim, list[i]->ndim);
        if (at != (last ? IMAGE_AXES - 1 : list[0]->batch))
            return onnx_fail(b, "over other axes than the channels: not known here");
        sum += list[i]->dims[at];
    }
    *y = *list[0];
    y->dims[at] = sum;
    y->sole = true;
    return ERR_OK;
}

static enum err concat(struct onnx_builder *b)
{
    struct onnx_value *list[ONNX_LIST_MAX], y;
    const int n = b->node->n_in;

    if (!n) return onnx_fail(b, "it has no inputs");
    enum err rc = concat_inputs(b, list, &y);
    if (rc) return rc;
    if (n == 1) return onnx_put_like(b, list[0], list[0]->op);
    for (int at = 1;
         at < n;) { /* an op takes NN_MAX_INPUTS: what is joined already, and the next */
        struct nn_op op = onnx_op(b, NN_CONCAT, y.op);
        while (at < n && op.n_in < NN_MAX_INPUTS) op.in[op.n_in++] = list[at++]->op;
        if ((rc = onnx_add(b, &op, NULL, &y.op))) return rc;
    }
    return onnx_put(b, &y);
}

/* --- resizing --- */

/* With whole factors these take the element that our op takes: floor(y / factor). */
static enum err check_nearest(struct onnx_builder *b)
{
    const char *mode, *coordinates, *nearest;
    enum err rc = onnx_string(b, "mode", "nearest", &mode);
    if (!rc)
        rc = onnx_string(b, "coordinate_transformation_mode",
                         b->m->opset < 11 ? "asymmetric" : "half_pixel", &coordinates);
    if (!rc)
        rc = onnx_string(b, "nearest_mode", b->m->opset < 11 ? "floor" : "round_prefer_floor",
                         &nearest);
    if (rc) return rc;
    if (strcmp(mode, "nearest") != 0) return onnx_fail(b, "mode %s: only nearest is known", mode);
    const bool floors = strcmp(coordinates, "asymmetric") == 0 && strcmp(nearest, "floor") == 0,
               rounds = (strcmp(coordinates, "half_pixel") == 0 ||
                         strcmp(coordinates, "pytorch_half_pixel") == 0) &&
                        strncmp(nearest, "round_prefer_", 13) == 0;
    return floors || rounds ? ERR_OK
                            : onnx_fail(b, "%s with %s is not known here", coordinates, nearest);
}

/* Four factors, or four sizes; *given: there are some. */
static enum err factors(struct onnx_builder *b, int input, const struct onnx_value *x, bool sizes,
                        double *out, bool *given)
{
    struct onnx_tensor *t;
    double *values;
    enum err rc = onnx_optional_constant(b, input, &t);
    *given = !rc && t && t->v.count;
    if (!*given) return rc;
    if (t->v.count != IMAGE_AXES) return onnx_fail(b, "%zu factors, 4 are expected", t->v.count);
    if ((rc = onnx_values(&values, t, b->a, b->err))) return rc;
    for (int i = 0; i < IMAGE_AXES; i++)
        out[i] = sizes ? values[i] / (double)x->dims[i] : values[i];
    return ERR_OK;
}

/* Where the factors are has changed: Upsample's attribute, then an input, then another. */
static enum err find_factors(struct onnx_builder *b, const struct onnx_value *x, double *out)
{
    const struct onnx_attr *a = onnx_attr(b->node, "scales");
    const bool new = strcmp(b->node->op, "Resize") == 0 && b->m->opset >= 11;
    bool given = false;
    enum err rc;

    if (a && a->type == ONNX_ATTR_FLOATS && a->n == IMAGE_AXES) {
        memcpy(out, a->floats, IMAGE_AXES * sizeof *out);
        return ERR_OK;
    }
    if ((rc = factors(b, new ? 2 : 1, x, false, out, &given)) || given) return rc;
    if (new && ((rc = factors(b, 3, x, true, out, &given)) || given)) return rc;
    return onnx_fail(b, "scales are missing");
}

static enum err resize(struct onnx_builder *b)
{
    struct onnx_value *x;
    double f[IMAGE_AXES] = {0};
    int index;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = check_nearest(b);
    if (rc) return rc;
    if (x->ndim != IMAGE_AXES || !x->batch) return onnx_fail(b, "an image of 4 axes is expected");
    if ((rc = onnx_planes(b, x)) || (rc = find_factors(b, x, f))) return rc;
    struct nn_op op = onnx_op(b, NN_RESIZE_NEAREST, x->op);
    for (int i = 0; i < IMAGE_AXES; i++) {
        if (!(f[i] >= 1 && f[i] <= ATTR_MAX) || f[i] != floor(f[i]) || (i < 2 && f[i] != 1))
            return onnx_fail(b, "a factor of %g: only whole ones of height and width are known",
                             f[i]);
        if (i >= 2) op.scale[i - 2] = (int)f[i];
    }
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_op(b, index, IMAGE_AXES);
}

/* --- padding --- */

static enum err check_zeros(struct onnx_builder *b)
{
    const char *mode;
    struct onnx_tensor *t;
    double *values;
    float value;
    enum err rc = onnx_string(b, "mode", "constant", &mode);

    if (!rc) rc = onnx_float(b, "value", 0, &value);
    if (!rc) rc = onnx_optional_constant(b, 2, &t);
    if (!rc && t) rc = onnx_values(&values, t, b->a, b->err);
    if (rc) return rc;
    const bool zeros = value == 0 && (!t || !t->v.count || (t->v.count == 1 && values[0] == 0));
    return zeros && strcmp(mode, "constant") == 0 && !onnx_input(b, 3)
               ? ERR_OK
               : onnx_fail(b, "only padding with zeros, of all axes, is known here");
}

static enum err pad(struct onnx_builder *b)
{
    static const int WHERE[2 * IMAGE_AXES] = {-1, -1, 0, 1, -1, -1, 2, 3}; /* in nn_op.pad */
    struct onnx_value *x;
    const int64_t *list;
    size_t n;
    int index;
    enum err rc = onnx_tensor_in(b, 0, &x);

    if (!rc) rc = onnx_ints_or_input(b, "pads", 1, &list, &n);
    if (!rc) rc = check_zeros(b);
    if (rc) return rc;
    if (n != 2 * IMAGE_AXES || x->ndim != IMAGE_AXES || !x->batch)
        return onnx_fail(b, "8 numbers for an image of 4 axes are expected, found %zu", n);
    if ((rc = onnx_planes(b, x))) return rc;
    struct nn_op op = onnx_op(b, NN_PAD, x->op);
    for (int i = 0; i < 2 * IMAGE_AXES; i++) {
        const bool channel_end = i == IMAGE_AXES + 1;
        const int max = WHERE[i] >= 0 ? ATTR_MAX : channel_end ? NN_MAX_CHANNELS : 0;
        if (list[i] < 0 || list[i] > max)
            return onnx_fail(b, "pads[%d] is %lld, expected 0 to %d", i, (long long)list[i], max);
        if (WHERE[i] >= 0) op.pad[WHERE[i]] = (int)list[i];
        if (channel_end) op.pad_c = (int)list[i];
    }
    if ((rc = onnx_add(b, &op, NULL, &index))) return rc;
    return onnx_put_op(b, index, IMAGE_AXES);
}

onnx_convert *onnx_reform(const char *op)
{
    static const struct {
        const char *op;
        onnx_convert *convert;
    } KNOWN[] = {
        {"Identity", same},       {"Dropout", same},        {"Cast", cast},
        {"Reshape", reshape},     {"Flatten", flatten},     {"Squeeze", squeeze},
        {"Unsqueeze", unsqueeze}, {"Transpose", transpose}, {"Concat", concat},
        {"Resize", resize},       {"Upsample", resize},     {"Pad", pad},
    };
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strcmp(KNOWN[i].op, op) == 0) return KNOWN[i].convert;
    return NULL;
}
