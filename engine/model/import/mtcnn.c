/* Each network is a table of layers; sizes and the two quirks (pools in ceil mode, a flatten that
 * runs W,H,C) are from facts/default-models.md section 2. Ops have the names of the package's
 * modules, so that goldens can be compared layer by layer. */
#include "engine/model/import/mtcnn.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

struct layer {
    const char *name;
    enum nn_kind kind;
    int in, out;      /* channels (dense: values); prelu: in */
    int k, s;         /* kernel and stride of convolutions and pools */
    const char *from; /* the layer it follows, where that is not the one above */
};

struct net {
    const char *name; /* of the model */
    const char *key;  /* a tensor that only this network has */
    int side;         /* of the input; 0: any */
    const struct layer *layers;
    size_t n;
    struct {
        const char *name, *layer;
    } outputs[4];
};

static const struct layer P_LAYERS[] = {
    {"conv1", NN_CONV2D, 3, 10, 3, 1, NULL},      {"prelu1", NN_PRELU, 10, 0, 0, 0, NULL},
    {"pool1", NN_MAX_POOL, 0, 0, 2, 2, NULL},     {"conv2", NN_CONV2D, 10, 16, 3, 1, NULL},
    {"prelu2", NN_PRELU, 16, 0, 0, 0, NULL},      {"conv3", NN_CONV2D, 16, 32, 3, 1, NULL},
    {"prelu3", NN_PRELU, 32, 0, 0, 0, NULL},      {"conv4_1", NN_CONV2D, 32, 2, 1, 1, NULL},
    {"softmax4_1", NN_SOFTMAX, 0, 0, 0, 0, NULL}, {"conv4_2", NN_CONV2D, 32, 4, 1, 1, "prelu3"},
};
static const struct layer R_LAYERS[] = {
    {"conv1", NN_CONV2D, 3, 28, 3, 1, NULL},        {"prelu1", NN_PRELU, 28, 0, 0, 0, NULL},
    {"pool1", NN_MAX_POOL, 0, 0, 3, 2, NULL},       {"conv2", NN_CONV2D, 28, 48, 3, 1, NULL},
    {"prelu2", NN_PRELU, 48, 0, 0, 0, NULL},        {"pool2", NN_MAX_POOL, 0, 0, 3, 2, NULL},
    {"conv3", NN_CONV2D, 48, 64, 2, 1, NULL},       {"prelu3", NN_PRELU, 64, 0, 0, 0, NULL},
    {"dense4", NN_DENSE, 576, 128, 0, 0, NULL},     {"prelu4", NN_PRELU, 128, 0, 0, 0, NULL},
    {"dense5_1", NN_DENSE, 128, 2, 0, 0, NULL},     {"softmax5_1", NN_SOFTMAX, 0, 0, 0, 0, NULL},
    {"dense5_2", NN_DENSE, 128, 4, 0, 0, "prelu4"},
};
static const struct layer O_LAYERS[] = {
    {"conv1", NN_CONV2D, 3, 32, 3, 1, NULL},         {"prelu1", NN_PRELU, 32, 0, 0, 0, NULL},
    {"pool1", NN_MAX_POOL, 0, 0, 3, 2, NULL},        {"conv2", NN_CONV2D, 32, 64, 3, 1, NULL},
    {"prelu2", NN_PRELU, 64, 0, 0, 0, NULL},         {"pool2", NN_MAX_POOL, 0, 0, 3, 2, NULL},
    {"conv3", NN_CONV2D, 64, 64, 3, 1, NULL},        {"prelu3", NN_PRELU, 64, 0, 0, 0, NULL},
    {"pool3", NN_MAX_POOL, 0, 0, 2, 2, NULL},        {"conv4", NN_CONV2D, 64, 128, 2, 1, NULL},
    {"prelu4", NN_PRELU, 128, 0, 0, 0, NULL},        {"dense5", NN_DENSE, 1152, 256, 0, 0, NULL},
    {"prelu5", NN_PRELU, 256, 0, 0, 0, NULL},        {"dense6_1", NN_DENSE, 256, 2, 0, 0, NULL},
    {"softmax6_1", NN_SOFTMAX, 0, 0, 0, 0, NULL},    {"dense6_2", NN_DENSE, 256, 4, 0, 0, "prelu5"},
    {"dense6_3", NN_DENSE, 256, 10, 0, 0, "prelu5"},
};
static const struct net NETS[] = {
    {"mtcnn-p",
     "conv4_1.weight",
     0,
     P_LAYERS,
     ARRAY_LEN(P_LAYERS),
     {{"prob", "softmax4_1"}, {"box", "conv4_2"}}},
    {"mtcnn-r",
     "dense5_1.weight",
     24,
     R_LAYERS,
     ARRAY_LEN(R_LAYERS),
     {{"prob", "softmax5_1"}, {"box", "dense5_2"}}},
    {"mtcnn-o",
     "dense6_3.weight",
     48,
     O_LAYERS,
     ARRAY_LEN(O_LAYERS),
     {{"prob", "softmax6_1"}, {"box", "dense6_2"}, {"points", "dense6_3"}}},
};

enum { FLATTEN_SIDE = 3 }; /* of the map before the first dense layer, in R-Net and O-Net */

static const struct net *recognise(const struct torch_file *f)
{
    for (size_t i = 0; i < ARRAY_LEN(NETS); i++)
        if (torch_find(f, NETS[i].key) && torch_find(f, "prelu1.weight")) return &NETS[i];
    return NULL;
}

bool mtcnn_recognise(const struct torch_file *f)
{
    return recognise(f) != NULL;
}

/* The tensor LAYER.what, of exactly these dimensions. used: counts the tensors that were asked for.
 */
static enum err weights(float **out, const struct torch_file *f, const struct layer *l,
                        const char *what, const size_t *dims, int ndim, size_t *used,
                        struct arena *a, struct err_info *err)
{
    char name[NN_NAME_BYTES], want[64] = "", found[128] = "";
    snprintf(name, sizeof name, "%s.%s", l->name, what);
    const struct torch_tensor *t = torch_find(f, name);
    if (!t) return err_set(err, ERR_MODEL, "%s is missing", name);
    if (!t->is_float32 || t->ndim != ndim ||
        memcmp(t->dims, dims, (size_t)ndim * sizeof *dims) != 0) {
        for (int i = 0; i < ndim; i++)
            snprintf(want + strlen(want), sizeof want - strlen(want), "%s%zu", i ? "," : "",
                     dims[i]);
        for (int i = 0; i < t->ndim; i++)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%zu", i ? "," : "",
                     t->dims[i]);
        return err_set(err, ERR_MODEL, "%s: expected float32 [%s], found %s [%s]", name, want,
                       t->is_float32 ? "float32" : "an integer type", found);
    }
    ++*used;
    *out = torch_values(t, a);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "%s: no memory for %zu values", name, t->count);
}

/* The package flattens its 3x3 map as W,H,C: feature (c,y,x) has index (3x + y)C + c. Ours is
 * c,h,w. */
static void permute_flatten(float *w, const struct layer *l, float *row)
{
    const int side = FLATTEN_SIDE, channels = l->in / (side * side);
    for (int o = 0; o < l->out; o++, w += l->in) {
        memcpy(row, w, (size_t)l->in * sizeof *row);
        for (int c = 0; c < channels; c++)
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side; x++)
                    w[(c * side + y) * side + x] = row[(side * x + y) * channels + c];
    }
}

static enum err layer_weights(struct nn_op *op, const struct torch_file *f, const struct layer *l,
                              bool after_map, size_t *used, struct arena *a, struct err_info *err)
{
    const size_t in = (size_t)l->in, out = (size_t)l->out, k = (size_t)l->k;
    const size_t conv[4] = {out, in, k, k}, dense[2] = {out, in}, slopes[1] = {in}, bias[1] = {out};
    float *w = NULL, *b = NULL;
    enum err rc;

    if (l->kind == NN_PRELU) {
        if ((rc = weights(&w, f, l, "weight", slopes, 1, used, a, err))) return rc;
        op->w = w;
        op->w_count = in;
        return ERR_OK;
    }
    bool is_conv = l->kind == NN_CONV2D;
    rc = weights(&w, f, l, "weight", is_conv ? conv : dense, is_conv ? 4 : 2, used, a, err);
    if (!rc) rc = weights(&b, f, l, "bias", bias, 1, used, a, err);
    if (rc) return rc;
    if (after_map) {
        float *row = items_alloc(a, in, sizeof *row);
        if (!row) return err_set(err, ERR_NOMEM, "%s: no memory for a row", l->name);
        permute_flatten(w, l, row);
    }
    op->w = w;
    op->w_count = is_conv ? out * in * k * k : out * in;
    op->b = b;
    op->b_count = out;
    op->out = l->out;
    return ERR_OK;
}

static int op_by_name(const struct nn_graph *g, const char *name)
{
    for (int i = 0; i < g->n_ops; i++)
        if (strcmp(g->ops[i].name, name) == 0) return i;
    return -1;
}

static enum err build(struct nn_graph *g, const struct net *net, const struct torch_file *f,
                      struct arena *a, struct err_info *err)
{
    size_t used = 0;
    bool map = true; /* no dense layer yet */
    enum err rc;

    g->in_c = 3;
    g->in_h = g->in_w = net->side;
    for (size_t i = 0; i < net->n; i++) {
        const struct layer *l = &net->layers[i];
        struct nn_op op;
        nn_op_init(&op, l->kind, l->name);
        op.n_in = 1;
        op.in[0] = l->from ? op_by_name(g, l->from) : g->n_ops - 1;
        if (l->k) op.kernel[0] = op.kernel[1] = l->k;
        if (l->s) op.stride[0] = op.stride[1] = l->s;
        op.ceil_mode = l->kind == NN_MAX_POOL;
        if (l->kind == NN_CONV2D || l->kind == NN_DENSE || l->kind == NN_PRELU) {
            if ((rc = layer_weights(&op, f, l, map && l->kind == NN_DENSE, &used, a, err)))
                return rc;
            map = map && l->kind != NN_DENSE;
        }
        if (nn_graph_add(g, &op) < 0)
            return err_set(err, ERR_NOMEM, "no memory for op %s", l->name);
    }
    if (used != f->n)
        return err_set(err, ERR_MODEL, "%zu tensors, %s has %zu: it is another network", f->n,
                       net->name, used);
    for (int i = 0; net->outputs[i].name; i++) {
        struct nn_output *o = &g->outputs[g->n_outputs++];
        snprintf(o->name, sizeof o->name, "%s", net->outputs[i].name);
        o->op = op_by_name(g, net->outputs[i].layer);
    }
    return ERR_OK;
}

enum err mtcnn_import(struct import_job *job, const struct torch_file *f, struct arena *a,
                      struct err_info *err)
{
    const struct net *net = recognise(f);
    struct nn_graph g = {0};
    enum err rc = build(&g, net, f, a, err);
    if (!rc) {
        struct model_draft draft = {.role = MODEL_DETECTOR, .graph = &g, .license = "MIT"};
        struct model_input *in = &draft.input;
        in->w = in->h = net->side;
        for (int i = 0; i < 3; i++) {
            in->mean[i] = 127.5f;
            in->scale[i] = 0.0078125f; /* 1/128, exact */
        }
        snprintf(in->average, sizeof in->average, "none");
        rc = import__finish(job, &draft, net->name, err);
    }
    nn_graph_release(&g);
    return rc;
}
