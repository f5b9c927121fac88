/* Ops are appended: named, their shapes checked, tensors brought into planes where an op wants them
 * so. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/onnx_graph.h"

enum { PLANE_AXES = 3, BASE_BYTES = NN_NAME_BYTES - 16 };

/* --- names --- */

static bool taken(const struct nn_graph *g, const char *name)
{
    if (strcmp(name, "input") == 0) return true; /* the graph's own (engine/model/graph_json.c) */
    for (int i = 0; i < g->n_ops; i++)
        if (strcmp(g->ops[i].name, name) == 0) return true;
    return false;
}

/* The layer's name, of its weight's: "conv1_1" of conv1_1.weight. false: the weight has none such.
 */
static bool name_of_weight(const struct onnx_builder *b, char base[BASE_BYTES])
{
    static const char suffix[] = ".weight";
    const size_t n = sizeof suffix - 1;
    const struct onnx_node *node = b->node;
    if (node->n_in < 2 || node->in[1] == ONNX_NO_NAME) return false;
    const char *text = b->m->names[node->in[1]].text;
    const size_t len = strlen(text);
    if (len <= n || strcmp(text + len - n, suffix) != 0) return false;
    snprintf(base, BASE_BYTES, "%.*s", (int)(len - n), text);
    return true;
}

static void give_name(struct onnx_builder *b, struct nn_op *op, bool weighted)
{
    const struct onnx_node *n = b->node;
    const bool has_output = n->n_out && n->out[0] != ONNX_NO_NAME;
    const bool aside = op->kind == NN_RESHAPE || op->kind == NN_FLATTEN ||
                       (op->kind == NN_TRANSPOSE && strcmp(n->op, "Transpose") != 0);
    char base[BASE_BYTES];

    if (!weighted || !name_of_weight(b, base))
        snprintf(base, sizeof base, "%s%s",
                 n->name[0]   ? n->name
                 : has_output ? b->m->names[n->out[0]].text
                              : n->op,
                 aside ? "_in" : "");
    snprintf(op->name, sizeof op->name, "%s", base);
    for (int k = b->g->n_ops; taken(b->g, op->name); k++)
        snprintf(op->name, sizeof op->name, "%s_%d", base, k);
}

/* --- ops --- */

struct nn_op onnx_op(struct onnx_builder *b, enum nn_kind kind, int in)
{
    struct nn_op op;
    (void)b;
    nn_op_init(&op, kind, "");
    op.n_in = 1;
    op.in[0] = in;
    return op;
}

struct onnx_weights *onnx_new_weights(struct onnx_builder *b)
{
    return items_alloc(b->a, 1, sizeof(struct onnx_weights));
}

struct nn_shape onnx_shape(const struct onnx_builder *b, int op)
{
    const struct nn_shape input = {b->g->in_c, b->g->in_h, b->g->in_w};
    return op < 0 ? input : b->shapes[op];
}

enum err onnx_add(struct onnx_builder *b, struct nn_op *op, struct onnx_weights *weights,
                  int *index)
{
    if (weights) {
        op->w_count = weights->has_w ? weights->w.count : (size_t)op->out;
        op->b_count = weights->has_b || weights->shift ? (size_t)op->out : 0;
    }
    give_name(b, op, weights != NULL);
    if (b->g->n_ops == NN_MAX_OPS) return onnx_fail(b, "more than %d operations", NN_MAX_OPS);
    if ((*index = nn_graph_add(b->g, op)) < 0)
        return err_set(b->err, ERR_NOMEM, "no memory for %d operations", b->g->n_ops);
    b->weights[*index] = weights;
    return nn_graph_shapes(b->g, b->g->in_h, b->g->in_w, b->shapes, b->err);
}

/* --- tensors as planes --- */

enum err onnx_in_order(struct onnx_builder *b, struct onnx_value *x)
{
    if (!x->channels_last) return ERR_OK;
    struct nn_op op = onnx_op(b, NN_TRANSPOSE, x->op);
    op.perm[0] = 1;
    op.perm[1] = 2;
    op.perm[2] = 0;
    enum err rc = onnx_add(b, &op, NULL, &x->op);
    if (rc) return rc;
    x->channels_last = false;
    x->sole = true;
    return ERR_OK;
}

static bool same_shape(struct nn_shape a, struct nn_shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

enum err onnx_planes(struct onnx_builder *b, struct onnx_value *x)
{
    int want[PLANE_AXES] = {1, 1, 1}, axes = 0;
    enum err rc = onnx_in_order(b, x);

    for (int i = x->batch; i < x->ndim; i++) {
        if (axes == PLANE_AXES) return onnx_fail(b, "a tensor of %d axes, the limit is 4", x->ndim);
        want[axes++] = (int)x->dims[i];
    }
    if (rc || same_shape(onnx_shape(b, x->op), (struct nn_shape){want[0], want[1], want[2]}))
        return rc;
    struct nn_op op = onnx_op(b, want[1] * want[2] == 1 ? NN_FLATTEN : NN_RESHAPE, x->op);
    memcpy(op.shape, want, sizeof want);
    if (op.kind == NN_FLATTEN) memset(op.shape, 0, sizeof op.shape);
    if ((rc = onnx_add(b, &op, NULL, &x->op))) return rc;
    x->sole = true;
    return ERR_OK;
}

enum err onnx_channels(struct onnx_builder *b, struct onnx_value *x)
{
    return x->channels_last ? ERR_OK : onnx_planes(b, x);
}

/* --- scale and shift of channels --- */

bool onnx_per_channel(const struct onnx_value *x, const struct onnx_tensor *c, size_t *n)
{
    const int channels = x->channels_last ? x->ndim - 1 : x->batch;
    if (c->v.ndim > x->ndim || !c->v.count) return false;
    *n = c->v.count;
    if (*n == 1) return true;
    for (int i = 0; i < c->v.ndim; i++) { /* axes are matched from the last */
        const int axis = x->ndim - c->v.ndim + i;
        if (c->v.dims[i] != 1 && (axis != channels || c->v.dims[i] != x->dims[axis])) return false;
    }
    return true;
}

static enum err make_scale(struct onnx_builder *b, struct onnx_weights *w, size_t n)
{
    w->scale = items_alloc(b->a, n, sizeof *w->scale);
    w->shift = items_alloc(b->a, n, sizeof *w->shift);
    if (!w->scale || !w->shift) return err_set(b->err, ERR_NOMEM, "no memory for %zu values", n);
    for (size_t i = 0; i < n; i++) w->scale[i] = 1;
    return ERR_OK;
}

static bool can_take_scale(const struct onnx_builder *b, const struct onnx_value *x)
{
    if (x->op < 0 || !x->sole || b->uses[x->id] != 1) return false;
    const enum nn_kind kind = b->g->ops[x->op].kind;
    return kind == NN_CONV2D || kind == NN_DENSE;
}

struct view onnx_one_axis(const struct view *v)
{
    struct view one = *v;
    one.ndim = 1;
    one.dims[0] = v->count;
    one.strides[0] = 1;
    for (int i = 0; i < v->ndim; i++)
        if (v->dims[i] != 1) one.strides[0] = v->strides[i];
    return one;
}

enum err onnx_bias(struct onnx_builder *b, struct onnx_value *x, const struct onnx_tensor *c,
                   bool *done)
{
    *done = false;
    if (!can_take_scale(b, x)) return ERR_OK;
    struct onnx_weights *w = b->weights[x->op];
    struct nn_op *op = &b->g->ops[x->op];
    if (w->has_b || w->scale || c->v.count != (size_t)op->out) return ERR_OK;
    w->has_b = true;
    w->b = onnx_one_axis(&c->v);
    op->b_count = w->b.count;
    *done = true;
    return onnx_put_like(b, x, x->op);
}

enum err onnx_affine(struct onnx_builder *b, struct onnx_value *x, size_t n, const double *scale,
                     const double *shift)
{
    const size_t channels = (size_t)onnx_shape(b, x->op).c;
    const bool into = can_take_scale(b, x);
    struct onnx_weights *w = into ? b->weights[x->op] : onnx_new_weights(b);
    int op = x->op;
    enum err rc;

    if (!w) return err_set(b->err, ERR_NOMEM, "no memory for weights");
    if (!w->scale && (rc = make_scale(b, w, channels))) return rc;
    for (size_t i = 0; i < channels; i++) {
        const size_t k = n == 1 ? 0 : i;
        w->scale[i] *= scale[k];
        w->shift[i] = w->shift[i] * scale[k] + shift[k];
    }
    if (into) {
        b->g->ops[op].b_count = channels;
        return onnx_put_like(b, x, op);
    }
    struct nn_op depthwise = onnx_op(b, NN_CONV2D, x->op);
    depthwise.out = depthwise.groups = (int)channels;
    if ((rc = onnx_add(b, &depthwise, w, &op))) return rc;
    return onnx_put_like(b, x, op);
}

void onnx_fill(const struct onnx_weights *w, const struct nn_op *op)
{
    float *to = (float *)(uintptr_t)op->w, *bias = (float *)(uintptr_t)op->b;
    const size_t out = (size_t)op->out, row = w->scale ? op->w_count / out : 0;

    if (w->has_w) view_read(to, &w->w);
    for (size_t i = 0; !w->has_w && i < op->w_count; i++) to[i] = 1;
    if (w->has_b) view_read(bias, &w->b);
    for (size_t o = 0; w->scale && o < out; o++) {
        for (size_t i = 0; i < row; i++)
            to[o * row + i] = (float)((double)to[o * row + i] * w->scale[o]);
        if (bias) bias[o] = (float)((double)bias[o] * w->scale[o] + w->shift[o]);
    }
}
