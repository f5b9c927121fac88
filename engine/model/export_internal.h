/* What the two halves of the ONNX export share: export_onnx.c makes the file around the graph,
 * export_nodes.c turns ops into nodes. */
#ifndef VISAVIS_ENGINE_MODEL_EXPORT_INTERNAL_H
#define VISAVIS_ENGINE_MODEL_EXPORT_INTERNAL_H

#include "engine/model/proto_write.h"
#include "engine/nn/graph.h"

#include <stdbool.h>

enum {
    EXPORT_NAME_BYTES = NN_NAME_BYTES + 64, /* an op's name, a suffix, an underscore an output */
    EXPORT_FLOAT = 1,                       /* TensorProto.DataType */
    EXPORT_INT64 = 7
};

/* Fields of GraphProto. */
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

/* What an op's output is in the ONNX graph. */
struct export_value {
    bool vector; /* c x 1 x 1 whatever the input's size */
    bool flat;   /* it is there as [N][c], not as [N][c][h][w] */
    int output;  /* the graph output whose name it bears; -1: a name of its own */
};

struct export
{
    const struct nn_graph *g;
    struct export_value *values; /* by op; vector is filled by the caller */
    struct proto graph;          /* a GraphProto's nodes and tensors */
};

/* Appends the nodes of all ops and outputs to x->graph, whose rc says how that went. */
void export__nodes(struct export *x);

/* The name of the graph's input in ONNX. */
void export__input_name(char out[EXPORT_NAME_BYTES], const struct export *x);

#endif
