/* An ONNX file read into structures: nodes, initializers, inputs and outputs, names as numbers.
 * What the operators mean is not known here. Field numbers and types: onnx.proto of the ONNX
 * project. Values stay in the mapping where they lie there as they are; nothing outside it is ever
 * opened. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ONNX_READ_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ONNX_READ_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"
#include "engine/model/import/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ONNX_NODES_MAX = 4096,
    ONNX_TENSORS_MAX = 8192,
    ONNX_LIST_MAX = 64, /* inputs, outputs or attributes of a node */
    ONNX_NAMES_MAX = 65536,
    ONNX_SMALL = 4096,         /* integers in a list: shapes, axes and the like */
    ONNX_VALUES_MAX = 1 << 20, /* numbers to compute with: one a channel */
    ONNX_TEXT_BYTES = 96,
    ONNX_META_MAX = 256, /* pairs of metadata */
    ONNX_NO_NAME = -1,   /* an input or output that is left out */
};

/* A constant. Integers (int32, int64, bool) are held as doubles: they are shapes, axes and the
 * like. */
struct onnx_tensor {
    int id;        /* its name */
    struct view v; /* not to be used while unusable */
    bool integer;
    const char *unusable; /* NULL, or what it is that is not read: "float16" */
};

enum onnx_attr_type {
    ONNX_ATTR_NONE,
    ONNX_ATTR_FLOAT,
    ONNX_ATTR_INT,
    ONNX_ATTR_STRING,
    ONNX_ATTR_TENSOR,
    ONNX_ATTR_FLOATS = 6,
    ONNX_ATTR_INTS = 7,
};

struct onnx_attr {
    const char *name;
    int type; /* enum onnx_attr_type, or one of those that no operator here has */
    float f;
    int64_t i;
    const char *s;
    int64_t *ints;  /* n */
    double *floats; /* n */
    size_t n;
    struct onnx_tensor *t;
};

struct onnx_node {
    const char *op, *domain, *name; /* fit for messages */
    int *in, *out;                  /* names, ONNX_NO_NAME: left out */
    int n_in, n_out;
    struct onnx_attr *attrs;
    int n_attrs;
};

/* A graph's input or output. */
struct onnx_info {
    int id;
    int type;                    /* of an element; 1 is float32 */
    int ndim;                    /* -1: no shape is given */
    int64_t dims[VIEW_DIMS_MAX]; /* -1: any */
};

struct onnx_name {
    const uint8_t *raw;
    size_t len;
    const char *text; /* fit for messages, perhaps cut */
};

/* A pair of the file's metadata, borrowed. */
struct onnx_pair {
    const uint8_t *key, *value;
    size_t key_len, value_len;
};

struct onnx_model {
    int64_t opset; /* of the standard operators */
    struct onnx_node *nodes;
    int n_nodes;
    struct onnx_tensor *tensors; /* initializers */
    int n_tensors;
    struct onnx_info *inputs, *outputs;
    int n_inputs, n_outputs;
    struct onnx_name *names;
    int n_names;
    struct onnx_pair *meta;
    int n_meta;
};

/* Everything is in the arena; data is borrowed. ERR_MODEL: where and what; also external data,
 * sparse tensors, two initializers of one name. */
NODISCARD enum err onnx_read(struct onnx_model *out, const uint8_t *data, size_t len,
                             struct arena *a, struct err_info *err);

/* The text of a key of the metadata, in the arena; NULL: there is none (or no memory, or a zero
 * byte in it). */
const char *onnx_meta(const struct onnx_model *m, const char *key, struct arena *a);

/* NULL: the node has none of that name. */
const struct onnx_attr *onnx_attr(const struct onnx_node *n, const char *name);

/* The values, row-major, as doubles in the arena. ERR_MODEL: more than ONNX_VALUES_MAX, or
 * unusable. */
NODISCARD enum err onnx_values(double **out, const struct onnx_tensor *t, struct arena *a,
                               struct err_info *err);
/* A row-major tensor of n values that are in the arena already. */
void onnx_tensor_of(struct onnx_tensor *t, const char *name, bool integer, int ndim,
                    const size_t *dims, const double *values);

#endif
