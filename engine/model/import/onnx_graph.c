/* The graph's inputs and outputs, its nodes one after the other, and how a node gets at its inputs
 * and attributes. */
#include "engine/model/import/onnx_graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

enum {
    FLOAT32 = 1,
    SIDE_MAX = 16384,
    OPEN_SIDE =
        256, /* taken where the file leaves it open: a multiple of every usual total stride */
    FIRST_NODES = 8, /* facts/models.md 6.3 */
    IMAGE_AXES = 4
};

static const char *name_of(const struct onnx_builder *b, int id)
{
    return id == ONNX_NO_NAME ? "(none)" : b->m->names[id].text;
}

/* "node conv1 (Conv)": where an error is. */
static enum err at_node(struct onnx_builder *b)
{
    const struct onnx_node *n = b->node;
    const char *name = n->name[0] ? n->name : n->n_out ? name_of(b, n->out[0]) : "(no name)";
    return err_prefix(b->err, "node %s (%s)", name, n->op);
}

enum err onnx_fail(struct onnx_builder *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const enum err rc = err_vset(b->err, ERR_MODEL, fmt, ap);
    va_end(ap);
    return rc;
}

/* --- inputs --- */

struct onnx_value *onnx_input(struct onnx_builder *b, int i)
{
    return i < b->node->n_in && b->node->in[i] != ONNX_NO_NAME ? b->values[b->node->in[i]] : NULL;
}

enum err onnx_tensor_in(struct onnx_builder *b, int i, struct onnx_value **out)
{
    *out = onnx_input(b, i);
    if (!*out) return onnx_fail(b, "input %d is missing", i);
    if ((*out)->kind == ONNX_TENSOR) return ERR_OK;
    return onnx_fail(b, "input %s is %s, not known here", name_of(b, b->node->in[i]),
                     (*out)->kind == ONNX_NORM ? "a norm" : "a constant");
}

enum err onnx_optional_constant(struct onnx_builder *b, int i, struct onnx_tensor **out)
{
    struct onnx_value *v = onnx_input(b, i);
    *out = NULL;
    if (!v) return ERR_OK;
    if (v->kind != ONNX_CONSTANT)
        return onnx_fail(b, "input %s is no constant", name_of(b, b->node->in[i]));
    if (v->constant.unusable)
        return onnx_fail(b, "%s: %s: not read", name_of(b, b->node->in[i]), v->constant.unusable);
    *out = &v->constant;
    return ERR_OK;
}

enum err onnx_constant_in(struct onnx_builder *b, int i, struct onnx_tensor **out)
{
    enum err rc = onnx_optional_constant(b, i, out);
    if (!rc && !*out) rc = onnx_fail(b, "input %d is missing", i);
    return rc;
}

/* --- attributes --- */

static enum err find(struct onnx_builder *b, const char *name, enum onnx_attr_type type,
                     const struct onnx_attr **out)
{
    *out = onnx_attr(b->node, name);
    if (!*out || (*out)->type == (int)type) return ERR_OK;
    return onnx_fail(b, "attribute %s is of type %d, expected %d", name, (*out)->type, (int)type);
}

enum err onnx_int(struct onnx_builder *b, const char *name, int64_t missing, int64_t *out)
{
    const struct onnx_attr *a;
    enum err rc = find(b, name, ONNX_ATTR_INT, &a);
    *out = a ? a->i : missing;
    return rc;
}

enum err onnx_float(struct onnx_builder *b, const char *name, float missing, float *out)
{
    const struct onnx_attr *a;
    enum err rc = find(b, name, ONNX_ATTR_FLOAT, &a);
    *out = a ? a->f : missing;
    return rc;
}

enum err onnx_string(struct onnx_builder *b, const char *name, const char *missing,
                     const char **out)
{
    const struct onnx_attr *a;
    enum err rc = find(b, name, ONNX_ATTR_STRING, &a);
    *out = a ? a->s : missing;
    return rc;
}

enum err onnx_ints(struct onnx_builder *b, const char *name, const int64_t **out, size_t *n)
{
    const struct onnx_attr *a;
    enum err rc = find(b, name, ONNX_ATTR_INTS, &a);
    *out = a ? a->ints : NULL;
    *n = a ? a->n : 0;
    return rc;
}

/* What a double is as an integer; the ends of the range for what is beyond it, 0 for NaN. */
static int64_t integer_of(double v)
{
    const double end = 4611686018427387904.0; /* 2^62: exact, and far beyond every size */
    return v >= end ? (int64_t)end : v <= -end ? -(int64_t)end : v == v ? (int64_t)v : 0;
}

enum err onnx_ints_or_input(struct onnx_builder *b, const char *name, int i, const int64_t **out,
                            size_t *n)
{
    struct onnx_tensor *t;
    double *values;
    enum err rc = onnx_ints(b, name, out, n);
    if (rc || *n) return rc;
    if ((rc = onnx_optional_constant(b, i, &t)) || !t) return rc;
    if ((rc = onnx_values(&values, t, b->a, b->err))) return rc;
    int64_t *list = items_alloc(b->a, t->v.count + 1, sizeof *list);
    if (!list) return err_set(b->err, ERR_NOMEM, "no memory for %zu integers", t->v.count);
    for (size_t k = 0; k < t->v.count; k++) list[k] = integer_of(values[k]);
    *out = list;
    *n = t->v.count;
    return ERR_OK;
}

enum err onnx_axis(struct onnx_builder *b, int64_t axis, int ndim, int *out)
{
    if (axis < -ndim || axis >= ndim)
        return onnx_fail(b, "axis %lld of a tensor of %d axes", (long long)axis, ndim);
    *out = (int)(axis < 0 ? axis + ndim : axis);
    return ERR_OK;
}

/* --- values --- */

static enum err define(struct onnx_builder *b, int id, const struct onnx_value *v)
{
    if (b->values[id]) return onnx_fail(b, "%s is there twice", name_of(b, id));
    struct onnx_value *made = items_alloc(b->a, 1, sizeof *made);
    if (!made) return err_set(b->err, ERR_NOMEM, "no memory for %s", name_of(b, id));
    *made = *v;
    made->id = id;
    b->values[id] = made;
    return ERR_OK;
}

enum err onnx_put(struct onnx_builder *b, const struct onnx_value *v)
{
    const struct onnx_node *n = b->node;
    return n->n_out && n->out[0] != ONNX_NO_NAME ? define(b, n->out[0], v) : ERR_OK;
}

enum err onnx_put_constant(struct onnx_builder *b, bool integer, int ndim, const size_t *dims,
                           const double *values)
{
    struct onnx_value v = {.kind = ONNX_CONSTANT};
    const struct onnx_node *n = b->node;
    onnx_tensor_of(&v.constant, n->n_out ? name_of(b, n->out[0]) : "", integer, ndim, dims, values);
    return onnx_put(b, &v);
}

enum err onnx_put_op(struct onnx_builder *b, int op, int ndim)
{
    const struct nn_shape s = onnx_shape(b, op);
    struct onnx_value v = {.kind = ONNX_TENSOR,
                           .op = op,
                           .ndim = ndim,
                           .dims = {1, (size_t)s.c, (size_t)s.h, (size_t)s.w},
                           .batch = true,
                           .sole = true};
    return onnx_put(b, &v);
}

enum err onnx_put_like(struct onnx_builder *b, const struct onnx_value *x, int op)
{
    struct onnx_value v = *x;
    v.op = op;
    v.sole = op != x->op || (x->sole && b->uses[x->id] == 1);
    return onnx_put(b, &v);
}

enum err onnx_put_alias(struct onnx_builder *b, const struct onnx_value *x, int ndim,
                        const size_t *dims)
{
    struct onnx_value v = *x;
    v.sole = x->sole && b->uses[x->id] == 1;
    v.ndim = ndim;
    memset(v.dims, 0, sizeof v.dims);
    if (ndim) memcpy(v.dims, dims, (size_t)ndim * sizeof *dims);
    v.batch = ndim > 0 && dims[0] == 1;
    return onnx_put(b, &v);
}

/* --- the graph --- */

static bool side_ok(int64_t side)
{
    return side == -1 || (side > 0 && side <= SIDE_MAX);
}

/* Pictures come in as planes; a file that wants rows of pixels (NHWC) says so by its last axis. */
static enum err take_input(struct onnx_builder *b, const struct onnx_info *in)
{
    const char *name = name_of(b, in->id);
    struct onnx_value v = {
        .kind = ONNX_TENSOR, .op = -1, .ndim = IMAGE_AXES, .batch = true, .sole = true};

    if (in->type != FLOAT32)
        return onnx_fail(b, "input %s is of type %d, float32 (1) is expected", name, in->type);
    if (in->ndim != IMAGE_AXES)
        return onnx_fail(b, "input %s has %d axes, an image of 4 is expected", name, in->ndim);
    const bool last = in->dims[1] != 3 && in->dims[1] != 1 && in->dims[3] == 3;
    const int64_t c = in->dims[last ? 3 : 1], h = in->dims[last ? 1 : 2],
                  w = in->dims[last ? 2 : 3];
    if (in->dims[0] > 1)
        return onnx_fail(b, "input %s is a batch of %lld, expected 1 or any", name,
                         (long long)in->dims[0]);
    if (c < 1 || c > NN_MAX_CHANNELS || !side_ok(h) || !side_ok(w))
        return onnx_fail(b, "input %s has %lld channels of %lld x %lld", name, (long long)c,
                         (long long)h, (long long)w);
    b->any_size = h == -1 || w == -1;
    b->g->in_c = (int)c;
    b->g->in_h = b->any_size ? OPEN_SIDE : (int)h;
    b->g->in_w = b->any_size ? OPEN_SIDE : (int)w;
    v.channels_last = last;
    const size_t dims[2][IMAGE_AXES] = {
        {1, (size_t)b->g->in_c, (size_t)b->g->in_h, (size_t)b->g->in_w},
        {1, (size_t)b->g->in_h, (size_t)b->g->in_w, (size_t)b->g->in_c}};
    memcpy(v.dims, dims[last], sizeof dims[last]);
    return define(b, in->id, &v);
}

/* Initializers first: IR 3 lists them among the inputs too. */
static enum err take_inputs(struct onnx_builder *b)
{
    int images = 0;
    enum err rc;
    for (int i = 0; i < b->m->n_tensors; i++) {
        const struct onnx_value v = {.kind = ONNX_CONSTANT, .constant = b->m->tensors[i]};
        if ((rc = define(b, b->m->tensors[i].id, &v))) return rc;
    }
    for (int i = 0; i < b->m->n_inputs; i++) {
        const struct onnx_info *in = &b->m->inputs[i];
        if (b->values[in->id] && b->values[in->id]->kind == ONNX_CONSTANT) continue;
        if (images++)
            return onnx_fail(b, "%s is a second input: one is expected", name_of(b, in->id));
        if ((rc = take_input(b, in))) return rc;
    }
    return images ? ERR_OK : onnx_fail(b, "the graph has no input");
}

static enum err check_node_inputs(struct onnx_builder *b, int at)
{
    for (int i = 0; i < b->node->n_in; i++) {
        const int id = b->node->in[i];
        if (id == ONNX_NO_NAME || b->values[id]) continue;
        if (b->maker[id] >= at)
            return onnx_fail(b, "it takes %s, which comes later: the graph is no DAG in order",
                             name_of(b, id));
        if (b->maker[id] >= 0)
            return onnx_fail(b, "it takes %s, an output that is not known here", name_of(b, id));
        return onnx_fail(b, "undefined tensor %s", name_of(b, id));
    }
    return ERR_OK;
}

static enum err convert(struct onnx_builder *b)
{
    const char *op = b->node->op, *domain = b->node->domain;
    bool done = false;
    enum err rc;

    if (domain[0] && strcmp(domain, "ai.onnx") != 0)
        return onnx_fail(b, "unknown operator %s of domain %s", op, domain);
    if ((rc = onnx_fold(b, &done)) || done) return rc;
    onnx_convert *f = onnx_layer(op);
    if (!f) f = onnx_reform(op);
    if (!f) f = onnx_arith(op);
    return f ? f(b) : onnx_fail(b, "unknown operator %s", op);
}

static enum err take_nodes(struct onnx_builder *b)
{
    for (int i = 0; i < b->m->n_nodes; i++) {
        b->node = &b->m->nodes[i];
        enum err rc = check_node_inputs(b, i);
        if (!rc) rc = convert(b);
        if (rc) return at_node(b);
        if (i >= FIRST_NODES) continue;
        b->begins_with_sub |= strcmp(b->node->op, "Sub") == 0;
        b->begins_with_mul |= strcmp(b->node->op, "Mul") == 0;
    }
    return ERR_OK;
}

/* Nodes that leave the graph's input as it is make no op; an output has to have one. */
static enum err keep_input(struct onnx_builder *b, struct onnx_value *v)
{
    enum err rc = onnx_planes(b, v);
    if (rc || v->op >= 0) return rc;
    struct nn_op op = onnx_op(b, NN_TRANSPOSE, v->op);
    for (int i = 0; i < 3; i++) op.perm[i] = i;
    return onnx_add(b, &op, NULL, &v->op);
}

static enum err take_outputs(struct onnx_builder *b)
{
    if (!b->m->n_outputs || b->m->n_outputs > NN_MAX_OUTPUTS)
        return onnx_fail(b, "%d outputs, expected 1 to %d", b->m->n_outputs, NN_MAX_OUTPUTS);
    for (int i = 0; i < b->m->n_outputs; i++) {
        const int id = b->m->outputs[i].id;
        struct onnx_value *v = b->values[id];
        struct nn_output *o = &b->g->outputs[i];
        if (!v) return onnx_fail(b, "undefined tensor %s: an output", name_of(b, id));
        if (v->kind != ONNX_TENSOR || b->maker[id] < 0)
            return onnx_fail(b, "output %s is not computed", name_of(b, id));
        enum err rc = v->op < 0 ? keep_input(b, v) : onnx_in_order(b, v);
        if (rc) return rc;
        snprintf(o->name, sizeof o->name, "%.*s", NN_NAME_BYTES - 1, name_of(b, id));
        o->op = v->op;
        b->g->n_outputs++;
    }
    return ERR_OK;
}

/* Who makes each name, and how often it is used. */
static enum err count_uses(struct onnx_builder *b)
{
    for (int id = 0; id < b->m->n_names; id++) b->maker[id] = -1;
    for (int i = 0; i < b->m->n_nodes; i++) {
        const struct onnx_node *n = &b->m->nodes[i];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != ONNX_NO_NAME) b->uses[n->in[k]]++;
        for (int k = 0; k < n->n_out; k++) {
            if (n->out[k] == ONNX_NO_NAME) continue;
            if (b->maker[n->out[k]] >= 0)
                return onnx_fail(b, "%s is made twice", name_of(b, n->out[k]));
            b->maker[n->out[k]] = i;
        }
    }
    for (int i = 0; i < b->m->n_outputs; i++) b->uses[b->m->outputs[i].id]++;
    return ERR_OK;
}

enum err onnx_build(struct onnx_builder *b)
{
    static const struct onnx_node OUTSIDE = {
        .op = "graph", .domain = "", .name = "input or output"};
    const size_t names = (size_t)b->m->n_names + 1;
    enum err rc;

    b->node = &OUTSIDE;
    b->values = items_alloc(b->a, names, sizeof *b->values);
    b->uses = items_alloc(b->a, names, sizeof *b->uses);
    b->maker = items_alloc(b->a, names, sizeof *b->maker);
    b->weights = items_alloc(b->a, NN_MAX_OPS, sizeof *b->weights);
    b->shapes = items_alloc(b->a, NN_MAX_OPS, sizeof *b->shapes);
    if (!b->values || !b->uses || !b->maker || !b->weights || !b->shapes)
        return err_set(b->err, ERR_NOMEM, "no memory for a graph of %zu names", names - 1);
    if ((rc = count_uses(b))) return rc;
    if ((rc = take_inputs(b))) return rc;
    if ((rc = take_nodes(b))) return rc;
    b->node = &OUTSIDE;
    return take_outputs(b);
}
