#include "engine/model/import/vggface.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/import_internal.h"
#include "engine/model/import/items.h"

const char *const vgg_layer_names[VGG_LAYERS] = {
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1",
    "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6",     "fc7",     "fc8"};

enum { KERNEL = 3, BLOCK_FLOATS = 8 << 20, NOTE_BYTES = 256 };

/* Means of the training set, R, G, B (facts/models.md section 2). */
static const float MEAN[3] = {129.1863f, 104.7624f, 93.5940f};

static bool pool_follows(int layer)
{
    return layer == 1 || layer == 3 || layer == 6 || layer == 9 || layer == 12;
}

static size_t kernel_side(int layer)
{
    return layer < VGG_FC6 ? KERNEL : layer == VGG_FC6 ? VGG_POOL5_SIDE : 1;
}

void vgg_unfold(struct view *w, int layer)
{
    const size_t side = kernel_side(layer);
    if (w->ndim != 2 || !view_split(w, 1, side * side)) return;
    (void)view_split(w, 2, side); /* divides, and there is room: so does side * side */
}

/* Widths are the file's own; what comes into a layer is what the one before gives. */
static enum err check_layer(const struct vgg_net *net, int i, size_t *in, struct err_info *err)
{
    const struct vgg_layer *l = &net->layer[i];
    const size_t side = kernel_side(i), out = l->w.ndim ? l->w.dims[0] : 0,
                 dims[4] = {out, *in, side, side};
    enum err rc;

    if (!out || out > NN_MAX_CHANNELS)
        return err_set(err, ERR_MODEL, "%s: %s: %zu outputs, expected 1 to %d", vgg_layer_names[i],
                       l->w.name, out, NN_MAX_CHANNELS);
    if ((rc = view_expect(&l->w, 4, dims, err))) {
        err_prefix(err, "%s", vgg_layer_names[i]);
        return rc;
    }
    if ((rc = view_expect(&l->b, 1, &out, err))) {
        err_prefix(err, "%s", vgg_layer_names[i]);
        return rc;
    }
    *in = out;
    return ERR_OK;
}

static int add(struct nn_graph *g, enum nn_kind kind, const char *name, int in)
{
    struct nn_op op;
    nn_op_init(&op, kind, name);
    op.n_in = 1;
    op.in[0] = in;
    if (kind == NN_MAX_POOL) op.kernel[0] = op.kernel[1] = op.stride[0] = op.stride[1] = 2;
    return nn_graph_add(g, &op);
}

static int add_weighted(struct nn_graph *g, const struct vgg_layer *l, int layer, int in)
{
    struct nn_op op;
    nn_op_init(&op, layer < VGG_CONVS ? NN_CONV2D : NN_DENSE, vgg_layer_names[layer]);
    op.n_in = 1;
    op.in[0] = in;
    op.out = (int)l->w.dims[0];
    op.w_count = l->w.count;
    op.b_count = l->b.count;
    if (layer < VGG_CONVS) {
        op.kernel[0] = op.kernel[1] = KERNEL;
        for (int k = 0; k < 4; k++) op.pad[k] = 1;
    }
    return nn_graph_add(g, &op);
}

static void output(struct nn_graph *g, const char *name, int op)
{
    struct nn_output *o = &g->outputs[g->n_outputs++];
    snprintf(o->name, sizeof o->name, "%s", name);
    o->op = op;
}

/* op_of: of each weighted layer. */
static enum err build(struct nn_graph *g, int op_of[VGG_LAYERS], const struct vgg_net *net,
                      struct err_info *err)
{
    char name[NN_NAME_BYTES];
    int x = -1, pool = 0;

    g->in_c = 3;
    g->in_h = g->in_w = VGG_SIDE;
    for (int i = 0; i < net->n && x >= -1; i++) {
        op_of[i] = x = add_weighted(g, &net->layer[i], i, x);
        if (i + 1 == VGG_LAYERS) break;
        snprintf(name, sizeof name, "relu%s", vgg_layer_names[i] + (i < VGG_CONVS ? 4 : 2));
        x = add(g, NN_RELU, name, x);
        if (!pool_follows(i)) continue;
        snprintf(name, sizeof name, "pool%d", ++pool);
        x = add(g, NN_MAX_POOL, name, x);
    }
    int pool5 = -1;
    for (int i = 0; i < g->n_ops; i++)
        if (strcmp(g->ops[i].name, "pool5") == 0) pool5 = i;
    int average = add(g, NN_GLOBAL_AVG_POOL, "pool5_average", pool5);
    if (average < 0 || x < 0)
        return err_set(err, ERR_NOMEM, "no memory for a graph of %d layers", net->n);
    if (net->n == VGG_CONVS) {
        output(g, "embedding", average);
        return ERR_OK;
    }
    output(g, "embedding", op_of[VGG_FC6 + 1] + 1); /* relu7 */
    output(g, "fc7_linear", op_of[VGG_FC6 + 1]);
    if (net->n == VGG_LAYERS) output(g, "fc8", op_of[VGG_LAYERS - 1]);
    output(g, "pool5_average", average);
    return ERR_OK;
}

static bool in_file(const struct import_job *job, const struct view *v)
{
    return v->data >= job->data && v->data < job->data + job->len;
}

/* What a tensor that has been read takes need not stay in memory. In the arena, where a format had
 * to unpack it, it is gone then. */
static void settle_source(const struct import_job *job, const struct view *v)
{
    const size_t bytes = v->count * (v->type == VIEW_F64 ? sizeof(double) : sizeof(float));
    if (job->mapped || !in_file(job, v)) pages_drop(v->data, bytes);
}

/* A layer in blocks of outputs, so that neither side of fc6 (411 MB) is whole in memory where the
 * file has the outputs one after the other. */
static void fill_layer(const struct import_job *job, struct model_writer *w, const struct nn_op *op,
                       int at, const struct vgg_layer *l)
{
    const size_t rows = l->w.dims[0], row = l->w.count / rows;
    const size_t block = BLOCK_FLOATS / row ? BLOCK_FLOATS / row : 1;
    for (size_t r = 0; r < rows; r += block) {
        const size_t n = rows - r < block ? rows - r : block;
        view_read_rows((float *)(uintptr_t)op->w + r * row, &l->w, r, n);
        model_writer_settle(w, at);
        if (in_file(job, &l->w) && l->w.strides[0] == row) settle_source(job, &l->w);
    }
    view_read((float *)(uintptr_t)op->b, &l->b);
    model_writer_settle(w, at);
    settle_source(job, &l->w);
}

static void fill(const struct import_job *job, struct model_writer *w, struct nn_graph *g,
                 const int op_of[VGG_LAYERS], const struct vgg_net *net)
{
    size_t done = 0, total = 0;
    for (int i = 0; i < net->n; i++) total += net->layer[i].w.count;
    for (int i = 0; i < net->n; i++) {
        fill_layer(job, w, &g->ops[op_of[i]], op_of[i], &net->layer[i]);
        done += net->layer[i].w.count;
        import__progress(job, done, total);
    }
}

static void describe_input(struct model_input *in, const struct vgg_net *net, size_t dim)
{
    in->w = in->h = VGG_SIDE;
    in->bgr = net->bgr;
    for (int i = 0; i < 3; i++) {
        in->mean[i] = net->own_input ? net->mean[i] : MEAN[net->bgr ? 2 - i : i];
        in->scale[i] = net->own_input ? net->scale[i] : 1;
    }
    in->crop = CROP_BOX;
    in->padding = 0;
    snprintf(in->average, sizeof in->average, "none");
    in->dim = (int)dim;
}

/* Published files whose digest is known (facts/models.md section 3). */
static const struct {
    const char *sha256, *what;
} PUBLISHED[] = {
    {"759266b9614d0fd5d65b97bf716818b746cc77ab5944c7bffc937c6ba9455d8c",
     "deepface's vgg_face_weights.h5"},
};

/* What is known of the file, and what is only assumed. */
static void describe_source(char *note, size_t size, const struct import_job *job,
                            const struct vgg_net *net)
{
    const char *what = "a file that is not known by its sha256";
    for (size_t i = 0; i < ARRAY_LEN(PUBLISHED); i++)
        if (strcmp(PUBLISHED[i].sha256, job->sha256) == 0) what = PUBLISHED[i].what;
    size_t n = (size_t)snprintf(note, size, "from %s", what);
    if (net->order_assumed && n < size)
        snprintf(note + n, size - n,
                 MODEL_PLANES_ASSUMED ", %s is assumed (import it with "
                                      "--preset %s where the other is right)",
                 net->bgr ? "bgr" : "rgb", net->bgr ? "rgb" : "bgr");
}

enum err vggface_import(struct import_job *job, const struct vgg_net *net, struct err_info *err)
{
    struct model_draft draft = {
        .role = MODEL_EMBEDDER, .license = "CC-BY-NC-4.0", .restricted = true};
    char note[NOTE_BYTES];
    struct nn_graph g = {0};
    struct model_writer *w;
    int op_of[VGG_LAYERS];
    size_t width = 3;
    enum err rc;

    if (net->n != VGG_LAYERS && net->n != VGG_LAYERS - 1 && net->n != VGG_CONVS)
        return err_set(err, ERR_MODEL,
                       "%d weighted layers, VGG-Face has 16 (15 without its classifier, 13 without "
                       "dense layers)",
                       net->n);
    for (int i = 0; i < net->n; i++)
        if ((rc = check_layer(net, i, &width, err))) return rc;
    draft.graph = &g;
    describe_source(note, sizeof note, job, net);
    draft.note = note;
    const int last = net->n == VGG_CONVS ? VGG_CONVS - 1 : VGG_FC6 + 1;
    describe_input(&draft.input, net, net->layer[last].w.dims[0]);
    rc = build(&g, op_of, net, err);
    if (!rc) rc = import__begin(&w, job, &draft, &g, "vgg-face", err);
    if (!rc) {
        fill(job, w, &g, op_of, net);
        rc = import__end(w, job, err);
    }
    nn_graph_release(&g);
    return rc;
}
