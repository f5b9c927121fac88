/* A graph as JSON, the visavis.graph of a model file:
 *
 *   {"input":[3,24,24],
 *    "ops":[{"name":"conv1","op":"conv2d","in":["input"],"out":28,"kernel":[3,3],"stride":[1,1],"pad":[0,0,0,0],
 *            "groups":1,"dilation":1,"weight":[28,3,3,3],"bias":true}, ...],
 *    "outputs":[{"name":"prob","op":"softmax5_1"}]}
 *
 * in names earlier ops; "input" is the graph's own input. Weights are the tensors "<op>.weight", of
 * the shape that weight says, and "<op>.bias". Every kind of op has its own list of attributes
 * (ATTRIBUTES): all are always written, and a key that is not on the list is an error, so that
 * nothing a file says is ever silently ignored. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/model_internal.h"

static const char INPUT[] = "input";

enum attribute_type { A_INT, A_INTS, A_BOOL, A_FLOAT };

#define K(kind)  (1u << (kind))
#define WINDOWED (K(NN_CONV2D) | K(NN_MAX_POOL) | K(NN_AVG_POOL))
static const struct attribute {
    const char *name;
    enum attribute_type type;
    size_t offset;
    size_t n;
    unsigned kinds; /* which kinds have it */
} ATTRIBUTES[] = {
    {"out", A_INT, offsetof(struct nn_op, out), 1, K(NN_CONV2D) | K(NN_DENSE)},
    {"kernel", A_INTS, offsetof(struct nn_op, kernel), 2, WINDOWED},
    {"stride", A_INTS, offsetof(struct nn_op, stride), 2, WINDOWED},
    {"pad", A_INTS, offsetof(struct nn_op, pad), 4, WINDOWED | K(NN_PAD)},
    {"groups", A_INT, offsetof(struct nn_op, groups), 1, K(NN_CONV2D)},
    {"dilation", A_INT, offsetof(struct nn_op, dilation), 1, K(NN_CONV2D)},
    {"ceil_mode", A_BOOL, offsetof(struct nn_op, ceil_mode), 1, K(NN_MAX_POOL) | K(NN_AVG_POOL)},
    {"count_pad", A_BOOL, offsetof(struct nn_op, count_pad), 1, K(NN_AVG_POOL)},
    {"alpha", A_FLOAT, offsetof(struct nn_op, alpha), 1, K(NN_LEAKY_RELU)},
    {"pad_c", A_INT, offsetof(struct nn_op, pad_c), 1, K(NN_PAD)},
    {"shape", A_INTS, offsetof(struct nn_op, shape), 3, K(NN_RESHAPE)},
    {"perm", A_INTS, offsetof(struct nn_op, perm), 3, K(NN_TRANSPOSE)},
    {"scale", A_INTS, offsetof(struct nn_op, scale), 2, K(NN_RESIZE_NEAREST)},
};
_Static_assert(NN_KIND_COUNT <= 32, "kinds fit a mask");

static bool has_bias_key(enum nn_kind k)
{
    return k == NN_CONV2D || k == NN_DENSE;
}

int model__weight_dims(size_t dims[4], const struct nn_op *op)
{
    size_t out = (size_t)op->out, window = (size_t)op->kernel[0] * (size_t)op->kernel[1];
    switch (op->kind) {
    case NN_CONV2D:
        dims[0] = out;
        dims[1] = out && window ? op->w_count / out / window : 0;
        dims[2] = (size_t)op->kernel[0];
        dims[3] = (size_t)op->kernel[1];
        return 4;
    case NN_DENSE:
        dims[0] = out;
        dims[1] = out ? op->w_count / out : 0;
        return 2;
    case NN_PRELU:
        dims[0] = op->w_count;
        return 1;
    default:
        return 0;
    }
}

/* --- writing --- */

static json_t *attribute_json(const struct attribute *a, const struct nn_op *op)
{
    const char *at = (const char *)op + a->offset;
    switch (a->type) {
    case A_INT:
        return json_integer(*(const int *)at);
    case A_BOOL:
        return json_boolean(*(const bool *)at);
    case A_FLOAT:
        return json_real((double)*(const float *)at);
    case A_INTS:
        break;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < a->n; i++)
        json_array_append_new(list, json_integer(((const int *)at)[i]));
    return list;
}

static json_t *op_json(const struct nn_graph *g, const struct nn_op *op)
{
    json_t *j = json_pack("{s:s, s:s}", "name", op->name, "op", nn_kind_name(op->kind)),
           *in = json_array();
    for (int i = 0; i < op->n_in; i++)
        json_array_append_new(in, json_string(op->in[i] < 0 ? INPUT : g->ops[op->in[i]].name));
    json_object_set_new(j, "in", in);
    for (size_t i = 0; i < ARRAY_LEN(ATTRIBUTES); i++)
        if (ATTRIBUTES[i].kinds & K(op->kind))
            json_object_set_new(j, ATTRIBUTES[i].name, attribute_json(&ATTRIBUTES[i], op));
    size_t dims[4];
    int ndim = model__weight_dims(dims, op);
    if (ndim) {
        json_t *shape = json_array();
        for (int i = 0; i < ndim; i++)
            json_array_append_new(shape, json_integer((json_int_t)dims[i]));
        json_object_set_new(j, "weight", shape);
    }
    if (has_bias_key(op->kind)) json_object_set_new(j, "bias", json_boolean(op->b != NULL));
    return j;
}

enum err model__graph_to_json(char **text, const struct nn_graph *g, struct err_info *err)
{
    enum err rc = nn_graph_check(g, false, err);
    if (rc) return rc;
    json_auto_t *root = json_pack("{s:[i,i,i]}", "input", g->in_c, g->in_h, g->in_w);
    json_t *ops = json_array(), *outputs = json_array();
    for (int i = 0; i < g->n_ops; i++) {
        if (strcmp(g->ops[i].name, INPUT) == 0) rc = ERR_MODEL;
        json_array_append_new(ops, op_json(g, &g->ops[i]));
    }
    for (int i = 0; i < g->n_outputs; i++)
        json_array_append_new(outputs, json_pack("{s:s, s:s}", "name", g->outputs[i].name, "op",
                                                 g->ops[g->outputs[i].op].name));
    json_object_set_new(root, "ops", ops);
    json_object_set_new(root, "outputs", outputs);
    if (rc) return err_set(err, rc, "%s: no op may have the name of the graph's input", INPUT);
    *text =
        json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)); /* 9 digits: exact for float32 */
    return *text ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the graph's JSON");
}

/* --- reading --- */

bool model__int_list(int *out, size_t n, const json_t *j)
{
    if (!json_is_array(j) || json_array_size(j) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(j, i);
        if (!json_is_integer(v) || json_integer_value(v) < INT_MIN ||
            json_integer_value(v) > INT_MAX)
            return false;
        out[i] = (int)json_integer_value(v);
    }
    return true;
}

bool model__float_list(float *out, size_t n, const json_t *j)
{
    if (!json_is_array(j) || json_array_size(j) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(j, i);
        if (!json_is_number(v)) return false;
        out[i] = (float)json_number_value(v);
    }
    return true;
}

static bool read_attribute(const struct attribute *a, struct nn_op *op, const json_t *v)
{
    char *at = (char *)op + a->offset;
    switch (a->type) {
    case A_INT:
        if (!json_is_integer(v) || json_integer_value(v) < INT_MIN ||
            json_integer_value(v) > INT_MAX)
            return false;
        *(int *)at = (int)json_integer_value(v);
        return true;
    case A_BOOL:
        if (!json_is_boolean(v)) return false;
        *(bool *)at = json_is_true(v);
        return true;
    case A_FLOAT:
        if (!json_is_number(v)) return false;
        *(float *)at = (float)json_number_value(v);
        return true;
    case A_INTS:
        return model__int_list((int *)at, a->n, v);
    }
    return false;
}

/* Index of the op of that name among the first n; -1: the graph's input; -2: none. From the end:
 * nearly always one of the last few. */
static int find_op(const struct nn_graph *g, const char *name)
{
    if (strcmp(name, INPUT) == 0) return -1;
    for (int i = g->n_ops - 1; i >= 0; i--)
        if (strcmp(g->ops[i].name, name) == 0) return i;
    return -2;
}

/* Copies a name of 1 to NN_NAME_BYTES - 1 bytes. */
static bool read_name(char out[NN_NAME_BYTES], const json_t *v)
{
    size_t n = json_string_length(v);
    if (!json_is_string(v) || n < 1 || n >= NN_NAME_BYTES) return false;
    memcpy(out, json_string_value(v), n + 1);
    return true;
}

static enum err read_inputs(struct nn_op *op, const struct nn_graph *g, const json_t *in,
                            struct err_info *err)
{
    size_t n = json_array_size(in);
    if (!json_is_array(in) || n < 1 || n > NN_MAX_INPUTS)
        return err_set(err, ERR_MODEL, "%s: in must be a list of 1 to %d names", op->name,
                       NN_MAX_INPUTS);
    op->n_in = (int)n;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(in, i));
        if (!name) return err_set(err, ERR_MODEL, "%s: in[%zu] is not a string", op->name, i);
        op->in[i] = find_op(g, name);
        if (op->in[i] < -1)
            return err_set(err, ERR_MODEL, "%s: its input %.63s is no earlier op", op->name, name);
    }
    return ERR_OK;
}

static enum err bind_weights(struct nn_op *op, const json_t *j, const struct weight_source *source,
                             struct err_info *err)
{
    const json_t *shape = json_object_get(j, "weight"), *bias = json_object_get(j, "bias");
    char name[NN_NAME_BYTES + 8];
    size_t dims[4] = {0}, want[4], n = json_array_size(shape), count = 1;
    for (size_t i = 0; i < n && i < 4; i++) {
        const json_t *v = json_array_get(shape, i);
        if (!json_is_integer(v) || json_integer_value(v) < 1 ||
            !mul_ok(&count, count, (size_t)json_integer_value(v)))
            return err_set(err, ERR_MODEL, "%s: weight[%zu] is not a number >= 1", op->name, i);
        dims[i] = (size_t)json_integer_value(v);
    }
    op->w_count = count;
    int ndim = model__weight_dims(want, op);
    if (n != (size_t)ndim || memcmp(dims, want, n * sizeof *dims) != 0)
        return err_set(err, ERR_MODEL,
                       "%s: the weight's shape does not fit the op's out and kernel", op->name);
    snprintf(name, sizeof name, "%s.weight", op->name);
    if (!(op->w = source->get(source->self, name, dims, ndim, err))) return ERR_MODEL;
    if (!has_bias_key(op->kind)) return ERR_OK;
    if (!json_is_boolean(bias))
        return err_set(err, ERR_MODEL, "%s: bias must be true or false", op->name);
    if (!json_is_true(bias)) return ERR_OK;
    snprintf(name, sizeof name, "%s.bias", op->name);
    op->b_count = dims[0];
    return (op->b = source->get(source->self, name, dims, 1, err)) ? ERR_OK : ERR_MODEL;
}

static enum err read_op(struct nn_graph *g, const json_t *j, size_t index,
                        const struct weight_source *source, struct err_info *err)
{
    char name[NN_NAME_BYTES];
    struct nn_op op;
    const char *kind_name = json_string_value(json_object_get(j, "op"));
    size_t keys = 3; /* name, op, in */
    enum err rc;

    if (!read_name(name, json_object_get(j, "name")) || strcmp(name, INPUT) == 0)
        return err_set(err, ERR_MODEL,
                       "op %zu: name must be a string of 1 to %d bytes and not \"%s\"", index,
                       NN_NAME_BYTES - 1, INPUT);
    if (find_op(g, name) >= 0) return err_set(err, ERR_MODEL, "%s: there twice", name);
    int kind = kind_name ? nn_kind_by_name(kind_name) : -1;
    if (kind < 0)
        return err_set(err, ERR_MODEL, "%s: unknown op %.40s", name,
                       kind_name ? kind_name : "(none)");
    nn_op_init(&op, (enum nn_kind)kind, name);
    if ((rc = read_inputs(&op, g, json_object_get(j, "in"), err))) return rc;
    for (size_t i = 0; i < ARRAY_LEN(ATTRIBUTES); i++) {
        const struct attribute *a = &ATTRIBUTES[i];
        if (!(a->kinds & K(kind))) continue;
        keys++;
        const json_t *v = json_object_get(j, a->name);
        if (!v || !read_attribute(a, &op, v))
            return err_set(err, ERR_MODEL, "%s (%s): %s is %s", name, kind_name, a->name,
                           v ? "of the wrong type" : "missing");
    }
    bool weights = kind == NN_CONV2D || kind == NN_DENSE || kind == NN_PRELU;
    keys += weights + has_bias_key((enum nn_kind)kind);
    if (weights && (rc = bind_weights(&op, j, source, err))) return rc;
    if (json_object_size(j) != keys)
        return err_set(err, ERR_MODEL, "%s (%s): %zu keys, expected %zu: one is unknown", name,
                       kind_name, json_object_size(j), keys);
    return nn_graph_add(g, &op) < 0 ? err_set(err, ERR_NOMEM, "no memory for op %zu", index)
                                    : ERR_OK;
}

static enum err read_outputs(struct nn_graph *g, const json_t *list, struct err_info *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < 1 || n > NN_MAX_OUTPUTS)
        return err_set(err, ERR_MODEL, "outputs must be a list of 1 to %d", NN_MAX_OUTPUTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *j = json_array_get(list, i);
        const char *op = json_string_value(json_object_get(j, "op"));
        struct nn_output *o = &g->outputs[i];
        if (!json_is_object(j) || json_object_size(j) != 2 || !op ||
            !read_name(o->name, json_object_get(j, "name")))
            return err_set(err, ERR_MODEL, "outputs[%zu] must have name and op", i);
        o->op = find_op(g, op);
        if (o->op < 0)
            return err_set(err, ERR_MODEL, "output %s: there is no op %.63s", o->name, op);
        g->n_outputs++;
    }
    return ERR_OK;
}

static enum err read_graph(struct nn_graph *g, const json_t *root,
                           const struct weight_source *source, struct err_info *err)
{
    const json_t *ops = json_object_get(root, "ops");
    int input[3];
    enum err rc;

    if (!json_is_object(root) || json_object_size(root) != 3)
        return err_set(err, ERR_MODEL, "expected an object of input, ops and outputs");
    if (!model__int_list(input, 3, json_object_get(root, "input")))
        return err_set(err, ERR_MODEL, "input must be [channels, height, width]");
    g->in_c = input[0];
    g->in_h = input[1];
    g->in_w = input[2];
    if (!json_is_array(ops) || json_array_size(ops) < 1 || json_array_size(ops) > NN_MAX_OPS)
        return err_set(err, ERR_MODEL, "ops must be a list of 1 to %d", NN_MAX_OPS);
    for (size_t i = 0; i < json_array_size(ops); i++)
        if ((rc = read_op(g, json_array_get(ops, i), i, source, err))) return rc;
    if ((rc = read_outputs(g, json_object_get(root, "outputs"), err))) return rc;
    return nn_graph_check(g, false, err);
}

enum err model__graph_from_json(struct nn_graph *g, const char *text, size_t len,
                                const struct weight_source *source, struct err_info *err)
{
    struct nn_graph made = {0};
    json_error_t why;
    json_auto_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(err, ERR_MODEL, "graph is not JSON: %s at byte %d", why.text, why.position);
    enum err rc = read_graph(&made, root, source, err);
    if (rc) {
        nn_graph_release(&made);
        err_prefix(err, "graph");
        return rc;
    }
    *g = made;
    return ERR_OK;
}
