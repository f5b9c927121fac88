/* The chain of ops is spelt with a letter for each and compared with VGG-Face's (facts/models.md
 * section 1). Files order the planes of the first layer as they like, without saying so; RGB is
 * what all that were seen do. */
#include "engine/model/import/onnx_vgg.h"

#include <math.h>
#include <string.h>

enum { CHAIN_MAX = 64, KERNEL = 3 };

static const char TRUNK[] = "crcrpcrcrpcrcrcrpcrcrcrpcrcrcrp";
/* What follows pool5: with a classifier, without, without dense layers. t: height, width, channel
 * become the order of what the first dense layer takes. */
static const struct {
    const char *letters;
    int layers;
} TAILS[] = {{"drdrd", VGG_LAYERS},   {"drdrds", VGG_LAYERS},   {"tdrdrd", VGG_LAYERS},
             {"tdrdrds", VGG_LAYERS}, {"drdr", VGG_LAYERS - 1}, {"tdrdr", VGG_LAYERS - 1},
             {"g", VGG_CONVS},        {"", VGG_CONVS}};

static bool square(const int *v, int side)
{
    return v[0] == side && v[1] == side;
}

static bool padded(const struct nn_op *op, int pad)
{
    return square(op->pad, pad) && square(op->pad + 2, pad);
}

/* c: a 3x3 convolution; d: a dense layer, or a convolution that is one; 0: nothing of VGG's. */
static char weighted(const struct nn_op *op)
{
    if (op->kind == NN_DENSE) return 'd';
    if (op->groups != 1 || op->dilation != 1 || !square(op->stride, 1)) return 0;
    if (square(op->kernel, KERNEL) && padded(op, 1)) return 'c';
    return padded(op, 0) && (square(op->kernel, VGG_POOL5_SIDE) || square(op->kernel, 1)) ? 'd' : 0;
}

static char letter(const struct nn_op *op)
{
    switch (op->kind) {
    case NN_CONV2D:
    case NN_DENSE:
        return weighted(op);
    case NN_RELU:
        return 'r';
    case NN_MAX_POOL:
        return square(op->kernel, 2) && square(op->stride, 2) && padded(op, 0) ? 'p' : 0;
    case NN_SOFTMAX:
        return 's';
    case NN_GLOBAL_AVG_POOL:
        return 'g';
    case NN_TRANSPOSE:
        return op->perm[0] == 1 && op->perm[1] == 2 ? 't' : 0;
    default:
        return 0;
    }
}

/* A graph that begins with a scale and a shift of each plane says how its input is made. false: not
 * in a way that can be told. */
static bool own_input(struct vgg_net *net, const struct onnx_builder *b)
{
    const struct onnx_weights *w = b->g->n_ops ? b->weights[0] : NULL;
    net->own_input = w && !w->has_w;
    for (int i = 0; i < 3 && net->own_input; i++) {
        if (w->scale[i] == 0 || !isfinite(w->shift[i] / w->scale[i])) return false;
        net->scale[i] = (float)w->scale[i];
        net->mean[i] = (float)(-w->shift[i] / w->scale[i]);
    }
    return true;
}

/* Each op from the first takes the one before; reshapes change nothing. false: it is another graph.
 */
static bool spell(char *out, int *layers, const struct onnx_builder *b, int first)
{
    int n = 0, k = 0;
    for (int i = first; i < b->g->n_ops; i++) {
        const struct nn_op *op = &b->g->ops[i];
        if (op->n_in != 1 || op->in[0] != i - 1) return false;
        if (op->kind == NN_FLATTEN || op->kind == NN_RESHAPE) continue;
        const char c = letter(op);
        if (!c || n == CHAIN_MAX - 1) return false;
        if (c == 'c' || c == 'd') {
            const struct onnx_weights *w = b->weights[i];
            if (k == VGG_LAYERS || !w->has_w || !w->has_b || w->scale) return false;
            layers[k++] = i;
        }
        out[n++] = c;
    }
    out[n] = 0;
    return true;
}

/* A dense fc6 behind "t" counts its inputs in the order h, w, c. */
static void to_planes(struct view *w)
{
    static const int ORDER[4] = {0, 3, 1, 2};
    const size_t side = VGG_POOL5_SIDE;
    if (w->ndim != 2 || w->dims[1] % (side * side)) return;
    const size_t c = w->dims[1] / (side * side);
    if (c && view_split(w, 1, c) && view_split(w, 1, side)) view_permute(w, ORDER);
}

bool onnx_vgg(struct vgg_net *net, const struct onnx_builder *b)
{
    char chain[CHAIN_MAX];
    int layers[VGG_LAYERS], n = 0;
    const size_t trunk = sizeof TRUNK - 1;

    if (b->any_size || b->g->in_c != 3 || b->g->in_h != VGG_SIDE || b->g->in_w != VGG_SIDE ||
        b->g->n_outputs != 1)
        return false;
    *net = (struct vgg_net){.order_assumed = true};
    if (!own_input(net, b) || !spell(chain, layers, b, net->own_input) ||
        strncmp(chain, TRUNK, trunk) != 0)
        return false;
    for (size_t i = 0; i < sizeof TAILS / sizeof TAILS[0]; i++)
        if (strcmp(chain + trunk, TAILS[i].letters) == 0) n = TAILS[i].layers;
    if (!n || b->g->outputs[0].op != b->g->n_ops - 1) return false;
    net->n = n;
    for (int i = 0; i < n; i++) {
        struct vgg_layer *l = &net->layer[i];
        l->w = b->weights[layers[i]]->w;
        l->b = b->weights[layers[i]]->b;
        if (i == VGG_FC6 && chain[trunk] == 't') to_planes(&l->w);
        if (i >= VGG_FC6) vgg_unfold(&l->w, i);
    }
    return true;
}
