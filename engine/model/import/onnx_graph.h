/* Nodes of an ONNX graph become ops of a struct nn_graph. Every tensor of the file is, while its
 * node is looked at, either a constant or the output of an op together with the shape that ONNX
 * gives it; the batch is 1 in every shape.
 *
 * Invariant: the elements of a tensor, row-major in its ONNX shape, are those of its op's output in
 * the order c,h,w. Reshape, Flatten, Squeeze and the like therefore make no op; an op that needs c,
 * h, w to be the tensor's own axes asks for it (onnx_planes). Only a `channels_last` tensor is
 * another thing: its op's output is planes, its ONNX shape is [1][h][w][c], so that the transposes
 * between the two make no op either. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ONNX_GRAPH_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ONNX_GRAPH_H

#include "engine/model/import/onnx_read.h"
#include "engine/nn/graph.h"

/* An op's weights, in the axes of engine/nn/graph.h: out = (w x + b) scale + shift. */
struct onnx_weights {
    bool has_w, has_b; /* without w: ones (a depthwise op made for scale and shift) */
    struct view w, b;
    double *scale, *shift; /* of each output; both or none */
};

enum onnx_kind { ONNX_UNMADE, ONNX_CONSTANT, ONNX_TENSOR, ONNX_NORM /* the L2 norm of a tensor */ };

struct onnx_value {
    enum onnx_kind kind;
    int id; /* its name */
    struct onnx_tensor constant;
    int op;   /* ONNX_TENSOR: where it comes from; -1: the graph's input */
    int of;   /* ONNX_NORM: the name of what it is the norm of */
    int ndim; /* its shape in ONNX */
    size_t dims[VIEW_DIMS_MAX];
    bool batch;         /* axis 0 is the batch, and 1 */
    bool channels_last; /* see above; ndim is 4 */
    bool sole;          /* nothing else is made from op's output */
};

struct onnx_builder {
    const struct onnx_model *m;
    struct nn_graph *g;
    struct arena *a;
    struct err_info *err;
    struct onnx_value **values; /* by name; NULL: not made yet */
    int *uses, *maker; /* by name: how often it is an input; the node that makes it, or -1 */
    struct onnx_weights **weights; /* by op; NULL: none */
    struct nn_shape *shapes;       /* by op */
    const struct onnx_node *node;  /* at work */
    bool any_size;                 /* the file leaves height and width open; some were taken */
    bool begins_with_sub, begins_with_mul; /* among the first nodes (facts/models.md 6.3) */
};

/* Builds b->g from b->m; m, g (zeroed), a and err are the caller's. The graph's input and outputs
 * have ONNX's names and order; a channels_last input has become planes. ERR_MODEL names the node.
 */
NODISCARD enum err onnx_build(struct onnx_builder *b);

/* Puts an op's weights where op->w and op->b point (b: zeros so far); products in double. */
void onnx_fill(const struct onnx_weights *w, const struct nn_op *op);

/* --- for the files that know the operators --- */

NODISCARD enum err onnx_fail(struct onnx_builder *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Input i of the node; NULL: left out. */
struct onnx_value *onnx_input(struct onnx_builder *b, int i);
/* The same where it has to be the output of an op, or a constant; *out is the table's own. */
NODISCARD enum err onnx_tensor_in(struct onnx_builder *b, int i, struct onnx_value **out);
NODISCARD enum err onnx_constant_in(struct onnx_builder *b, int i, struct onnx_tensor **out);
/* *out = NULL: left out. */
NODISCARD enum err onnx_optional_constant(struct onnx_builder *b, int i, struct onnx_tensor **out);

/* Attributes, with what they are when they are left out; another type is ERR_MODEL. Lists: *n is 0
 * when left out. */
NODISCARD enum err onnx_int(struct onnx_builder *b, const char *name, int64_t missing,
                            int64_t *out);
NODISCARD enum err onnx_float(struct onnx_builder *b, const char *name, float missing, float *out);
NODISCARD enum err onnx_string(struct onnx_builder *b, const char *name, const char *missing,
                               const char **out);
NODISCARD enum err onnx_ints(struct onnx_builder *b, const char *name, const int64_t **out,
                             size_t *n);
/* Integers in an attribute, or (newer opsets) in input i. *n is 0: neither is there. */
NODISCARD enum err onnx_ints_or_input(struct onnx_builder *b, const char *name, int i,
                                      const int64_t **out, size_t *n);
/* An axis of ndim, counted from either end. */
NODISCARD enum err onnx_axis(struct onnx_builder *b, int64_t axis, int ndim, int *out);

/* A value made by the node's first output. */
NODISCARD enum err onnx_put(struct onnx_builder *b, const struct onnx_value *v);
NODISCARD enum err onnx_put_constant(struct onnx_builder *b, bool integer, int ndim,
                                     const size_t *dims, const double *values);
/* The output of op, a shape of its own: [1][c][h][w] cut to ndim axes. */
NODISCARD enum err onnx_put_op(struct onnx_builder *b, int op, int ndim);
/* x as it is, of another shape (of as many elements). */
NODISCARD enum err onnx_put_alias(struct onnx_builder *b, const struct onnx_value *x, int ndim,
                                  const size_t *dims);
/* The output of op in the place of x: the same shape. */
NODISCARD enum err onnx_put_like(struct onnx_builder *b, const struct onnx_value *x, int op);

/* Appends op: its shape is checked. weights may be NULL. *index out. */
NODISCARD enum err onnx_add(struct onnx_builder *b, struct nn_op *op, struct onnx_weights *weights,
                            int *index);
/* An op of one input. */
struct nn_op onnx_op(struct onnx_builder *b, enum nn_kind kind, int in);
struct onnx_weights *onnx_new_weights(struct onnx_builder *b);
struct nn_shape onnx_shape(const struct onnx_builder *b, int op);

/* Makes x's op one whose c, h, w are x's axes behind the batch; channels_last ends. */
NODISCARD enum err onnx_planes(struct onnx_builder *b, struct onnx_value *x);
/* The same where channels_last may stay: then c are the channels all the same. */
NODISCARD enum err onnx_channels(struct onnx_builder *b, struct onnx_value *x);
/* Ends channels_last with a transpose, if it is. */
NODISCARD enum err onnx_in_order(struct onnx_builder *b, struct onnx_value *x);

/* A constant that is one number, or one for each of x's channels (*n), by ONNX's broadcasting.
 * false: of another shape. */
bool onnx_per_channel(const struct onnx_value *x, const struct onnx_tensor *c, size_t *n);
/* Puts x * scale + shift, n values each (1, or x's channels; onnx_channels has been called): into
 * the weights that x comes from where nothing else sees them, else as a depthwise op. */
NODISCARD enum err onnx_affine(struct onnx_builder *b, struct onnx_value *x, size_t n,
                               const double *scale, const double *shift);

/* The same for x + c where c can become the bias of x's op as it is. *done: it has. */
NODISCARD enum err onnx_bias(struct onnx_builder *b, struct onnx_value *x,
                             const struct onnx_tensor *c, bool *done);
/* All axes but one are 1: that one alone. */
struct view onnx_one_axis(const struct view *v);

/* What Reshape to list (n numbers, 0: as it was, -1: what is left) makes of count elements. */
NODISCARD enum err onnx_reshaped(struct onnx_builder *b, int ndim, const size_t *dims, size_t count,
                                 const int64_t *list, size_t n, int *out_ndim, size_t *out);
/* The shape after the node's Squeeze (axes 1 go; none given: all) or Unsqueeze. */
NODISCARD enum err onnx_squeezed(struct onnx_builder *b, int ndim, const size_t *dims,
                                 int *out_ndim, size_t *out);
NODISCARD enum err onnx_unsqueezed(struct onnx_builder *b, int ndim, const size_t *dims,
                                   int *out_ndim, size_t *out);
/* The node's perm of ndim axes. */
NODISCARD enum err onnx_perm(struct onnx_builder *b, int ndim, int *perm);

/* What the node of that operator does. */
typedef enum err onnx_convert(struct onnx_builder *b);
/* NULL: unknown. Each file knows some. */
onnx_convert *onnx_layer(const char *op);  /* weights, activations, pools */
onnx_convert *onnx_reform(const char *op); /* shapes, order, concatenation, resizing */
onnx_convert *onnx_arith(const char *op);  /* arithmetic, norms */
/* Nodes of constants only are computed. *done: it was. */
NODISCARD enum err onnx_fold(struct onnx_builder *b, bool *done);

#endif
