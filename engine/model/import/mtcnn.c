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

struct source {
    const struct torch_file *file;
    struct arena *arena; /* for the weights */
    size_t used;         /* tensors */
};

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

/* The package flattens its 3x3 map as W,H,C: feature (c,y,x) has index (3x + y)C + c. Ours is
 * c,h,w. */
static bool permute_flatten(struct view *w)
{
    static const int ORDER[4] = {0, 3, 2, 1}; /* of out,x,y,c */
    const size_t channels = w->dims[1] / (FLATTEN_SIDE * FLATTEN_SIDE);
    if (!view_split(w, 1, channels) || !view_split(w, 1, FLATTEN_SIDE)) return false;
    view_permute(w, ORDER);
    return true;
}

/* The values of tensor LAYER.what, of exactly these dimensions. used: counts the tensors that were
 * asked for. */
static enum err weights(const float **out, size_t *count, struct source *from,
                        const struct layer *l, const char *what, int ndim, const size_t *dims,
                        bool after_map, struct err_info *err)
{
    char name[NN_NAME_BYTES];
    enum err rc;

    snprintf(name, sizeof name, "%s.%s", l->name, what);
    const struct view *t = torch_find(from->file, name);
    if (!t) return err_set(err, ERR_MODEL, "%s is missing, or holds integers", name);
    if ((rc = view_expect(t, ndim, dims, err))) return rc;
    struct view w = *t;
    if (after_map && !permute_flatten(&w))
        return err_set(err, ERR_INTERNAL, "%s: %zu inputs are no map", name, dims[1]);
    float *values = items_alloc(from->arena, w.count, sizeof *values);
    if (!values) return err_set(err, ERR_NOMEM, "%s: no memory for %zu values", name, w.count);
    view_read(values, &w);
    from->used++;
    *out = values;
    *count = w.count;
    return ERR_OK;
}

static enum err layer_weights(struct nn_op *op, struct source *from, const struct layer *l,
                              bool after_map, struct err_info *err)
{
    const size_t in = (size_t)l->in, out = (size_t)l->out, k = (size_t)l->k;
    const size_t conv[4] = {out, in, k, k};
    const int ndim = l->kind == NN_CONV2D ? 4 : 2;
    enum err rc;

    if (l->kind == NN_PRELU)
        return weights(&op->w, &op->w_count, from, l, "weight", 1, &in, false, err);
    op->out = l->out;
    rc = weights(&op->w, &op->w_count, from, l, "weight", ndim, conv, after_map, err);
    if (!rc) rc = weights(&op->b, &op->b_count, from, l, "bias", 1, &out, false, err);
    return rc;
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
    struct source from = {f, a, 0};
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
            if ((rc = layer_weights(&op, &from, l, map && l->kind == NN_DENSE, err))) return rc;
            map = map && l->kind != NN_DENSE;
        }
        if (nn_graph_add(g, &op) < 0)
            return err_set(err, ERR_NOMEM, "no memory for op %s", l->name);
    }
    if (from.used != f->n)
        return err_set(err, ERR_MODEL, "%zu tensors, %s has %zu: it is another network", f->n,
                       net->name, from.used);
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
