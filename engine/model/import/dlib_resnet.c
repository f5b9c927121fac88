/* dlib_face_recognition_resnet_model_v1.dat -> a graph (facts/default-models.md section 3.2). The
 * file holds the layers from the input to the output; its shape (which layer follows which) is
 * compiled into dlib's program, so it is spelled out here too: NET, from the output to the input as
 * dlib writes its type. Each affine layer is folded into the convolution before it, in double. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/items.h"
#include "engine/model/import/dlib_reader.h"
#include "engine/model/import/import_internal.h"

/* c con, A affine, r relu, + add_prev, a avg_pool, m max_pool, f fc: layers with a record;
 * T tag, S skip (to the tag before the last): layers without. */
#define BLOCK    "AcrAc"
#define RESIDUAL "r+" BLOCK "T"
#define DOWN     "r+aST" BLOCK "T"
/* clang-format off */
static const char NET[] = "fa" DOWN RESIDUAL RESIDUAL DOWN RESIDUAL RESIDUAL DOWN RESIDUAL RESIDUAL RESIDUAL
                          DOWN RESIDUAL RESIDUAL RESIDUAL "mrAc";
/* clang-format on */

enum {
    LAYERS = sizeof NET - 1,
    SIDE = 150,
    TAGS_MAX = 32,
    BLOCKS = 14,
};

/* Residual blocks from the input on; their last op (after the addition's relu) has the name itself.
 */
static const char *const BLOCK_NAMES[BLOCKS] = {
    "conv32_1",     "conv32_2",  "conv32_3",     "conv64_down",     "conv64_1",
    "conv64_2",     "conv64_3",  "conv128_down", "conv128_1",       "conv128_2",
    "conv256_down", "conv256_1", "conv256_2",    "conv256_down_out"};

struct builder {
    struct dlib_reader *r;
    struct arena arena;
    struct nn_graph g;
    int x; /* the op whose output the next layer takes */
    int tags[TAGS_MAX], n_tags;
    int block;  /* -1: the stem */
    int convs;  /* in this block */
    bool added; /* the last layer was add_prev */
    float mean[3];
};

static float raw_float(const uint8_t *raw, size_t i)
{
    float v;
    memcpy(&v, raw + i * sizeof v, sizeof v); /* unaligned in the file */
    return v;
}

static float *floats(struct builder *b, size_t n)
{
    float *p = items_alloc(&b->arena, n, sizeof *p);
    if (!p && !b->r->rc) b->r->rc = err_set(b->r->err, ERR_NOMEM, "no memory for %zu weights", n);
    return p;
}

/* Name of an op inside the current block. */
static void name_op(const struct builder *b, char name[NN_NAME_BYTES], const char *what, int number)
{
    const char *block = b->block < 0 ? "stem" : BLOCK_NAMES[b->block];
    if (b->block < 0 && !strcmp(what, "conv"))
        snprintf(name, NN_NAME_BYTES, "stem_affine"); /* what it gives, with the affine folded in */
    else if (b->block < 0 || !number)
        snprintf(name, NN_NAME_BYTES, "%s_%s", block, what);
    else
        snprintf(name, NN_NAME_BYTES, "%s_%s%d", block, what, number);
}

static void push(struct builder *b, const struct nn_op *op)
{
    if (b->r->rc) return;
    b->x = nn_graph_add(&b->g, op);
    if (b->x < 0) b->r->rc = err_set(b->r->err, ERR_NOMEM, "no memory for op %s", op->name);
}

static struct nn_op one_input(const struct builder *b, enum nn_kind kind, const char *name)
{
    struct nn_op op;
    nn_op_init(&op, kind, name);
    op.n_in = 1;
    op.in[0] = b->x;
    return op;
}

static void read_con(struct builder *b)
{
    struct dlib_reader *r = b->r;
    char name[NN_NAME_BYTES];
    size_t all[4], f[4], bias[4];
    const uint8_t *raw;

    size_t count = dlib_tensor(r, all, &raw);
    b->convs++;
    name_op(b, name, "conv", b->convs);
    struct nn_op op = one_input(b, NN_CONV2D, name);
    op.out = dlib_int_in(r, 1, NN_MAX_CHANNELS, "filters");
    for (int i = 0; i < 2; i++) op.kernel[i] = dlib_int_in(r, 1, 64, "kernel");
    for (int i = 0; i < 2; i++) op.stride[i] = dlib_int_in(r, 1, 64, "stride");
    for (int i = 0; i < 2; i++) op.pad[i] = op.pad[i + 2] = dlib_int_in(r, 0, 64, "padding");
    op.w_count = dlib_alias(r, f);
    op.b_count = dlib_alias(r, bias);
    for (int i = 0; i < 4; i++) dlib_float(r); /* learning rates and decays */
    if (r->rc) return;
    if (f[0] != (size_t)op.out || f[2] != (size_t)op.kernel[0] || f[3] != (size_t)op.kernel[1] ||
        op.b_count != f[0] || op.w_count > count || op.b_count != count - op.w_count) {
        dlib_fail(r, "%s: %zu values do not make %zu filters of %zux%zux%zu and their biases", name,
                  count, f[0], f[1], f[2], f[3]);
        return;
    }
    float *w = floats(b, count);
    for (size_t i = 0; w && i < count; i++) w[i] = raw_float(raw, i);
    op.w = w;
    op.b = w ? w + op.w_count : NULL;
    push(b, &op);
}

/* y = gamma x + beta, into the convolution just read. */
static void read_affine(struct builder *b)
{
    struct dlib_reader *r = b->r;
    size_t all[4], dims[4];
    const uint8_t *raw;
    size_t count = dlib_tensor(r, all, &raw), k = dlib_alias(r, dims), k2 = dlib_alias(r, dims);

    dlib_int_in(r, 0, 0, "mode of an affine layer (0: after a convolution)");
    if (r->rc) return;
    struct nn_op *op = b->x >= 0 ? &b->g.ops[b->x] : NULL;
    if (!op || op->kind != NN_CONV2D || k != (size_t)op->out || k2 != k || count != 2 * k) {
        dlib_fail(
            r, "an affine layer of %zu channels that does not follow a convolution of as many", k);
        return;
    }
    float *w = (float *)(uintptr_t)op->w,
          *bias = (float *)(uintptr_t)op->b; /* ours, in the arena */
    size_t each = op->w_count / k;
    for (size_t o = 0; o < k; o++) {
        double gamma = (double)raw_float(raw, o), beta = (double)raw_float(raw, k + o);
        for (size_t i = 0; i < each; i++)
            w[o * each + i] = (float)(gamma * (double)w[o * each + i]);
        bias[o] = (float)(gamma * (double)bias[o] + beta);
    }
}

static void read_pool(struct builder *b, enum nn_kind kind)
{
    struct dlib_reader *r = b->r;
    int k[2], s[2];
    char name[NN_NAME_BYTES];

    for (int i = 0; i < 2; i++) k[i] = dlib_int_in(r, 0, 64, "pool");
    for (int i = 0; i < 2; i++) s[i] = dlib_int_in(r, 1, 64, "pool's stride");
    for (int i = 0; i < 2; i++) dlib_int_in(r, 0, 0, "pool's padding");
    if (!r->rc && !k[0] != !k[1]) dlib_fail(r, "a pool of %dx%d", k[0], k[1]);
    if (r->rc) return;
    if (!k[0]) { /* dlib: the whole plane */
        if (kind != NN_AVG_POOL || b->block < BLOCKS)
            dlib_fail(r, "a pool over the whole plane before the end");
        struct nn_op op = one_input(b, NN_GLOBAL_AVG_POOL, "mean");
        push(b, &op);
        return;
    }
    if (b->block >= BLOCKS) {
        dlib_fail(r, "the last pool is not over the whole plane");
        return;
    }
    name_op(b, name, "pool", 0);
    struct nn_op op = one_input(b, kind, name);
    memcpy(op.kernel, k, sizeof k);
    memcpy(op.stride, s, sizeof s);
    push(b, &op);
}

static void read_relu(struct builder *b)
{
    char name[NN_NAME_BYTES];
    if (b->added)
        snprintf(name, sizeof name, "%s", BLOCK_NAMES[b->block]);
    else
        name_op(b, name, "relu", b->convs);
    struct nn_op op = one_input(b, NN_RELU, name);
    push(b, &op);
}

/* op's output with zeros behind, where it has less than want in a dimension. Returns the op to use.
 */
static int pad_to(struct builder *b, int from, struct nn_shape have, struct nn_shape want,
                  const char *what)
{
    if (have.c == want.c && have.h == want.h && have.w == want.w) return from;
    char name[NN_NAME_BYTES];
    name_op(b, name, what, 0);
    b->x = from;
    struct nn_op op = one_input(b, NN_PAD, name);
    op.pad_c = want.c - have.c;
    op.pad[2] = want.h - have.h;
    op.pad[3] = want.w - have.w;
    push(b, &op);
    return b->x;
}

/* x + the last tag. Where they differ in size dlib takes the larger of each dimension and reads
 * what is missing as 0. */
static void add_prev(struct builder *b)
{
    AUTO_FREE struct nn_shape *shapes = calloc((size_t)b->g.n_ops + 1, sizeof *shapes);
    char name[NN_NAME_BYTES];
    if (!shapes) {
        b->r->rc = err_set(b->r->err, ERR_NOMEM, "no memory for shapes");
        return;
    }
    int x = b->x, y = b->n_tags ? b->tags[b->n_tags - 1] : -1;
    if (x < 0 || y < 0) {
        dlib_fail(b->r, "an addition of the input itself");
        return;
    }
    if ((b->r->rc = nn_graph_shapes(&b->g, SIDE, SIDE, shapes, b->r->err))) return;
    struct nn_shape sx = shapes[x], sy = shapes[y], want;
    want.c = sx.c > sy.c ? sx.c : sy.c;
    want.h = sx.h > sy.h ? sx.h : sy.h;
    want.w = sx.w > sy.w ? sx.w : sy.w;
    x = pad_to(b, x, sx, want, "pad_shortcut");
    y = pad_to(b, y, sy, want, "pad_branch");
    name_op(b, name, "add", 0);
    struct nn_op op = one_input(b, NN_ADD, name);
    op.n_in = 2;
    op.in[0] = x;
    op.in[1] = y;
    push(b, &op);
}

static void read_fc(struct builder *b)
{
    struct dlib_reader *r = b->r;
    size_t dims[4], alias[4], none[4];
    const uint8_t *raw;
    struct nn_op op = one_input(b, NN_DENSE, "embedding");
    op.out = dlib_int_in(r, 1, 65536, "outputs of fc");
    size_t out = (size_t)op.out, in = (size_t)dlib_int_in(r, 1, 65536, "inputs of fc");
    op.w_count = dlib_tensor(r, dims, &raw);
    dlib_alias(r, alias);
    dlib_alias(r, none);
    dlib_int_in(r, 1, 1, "bias mode of fc (1: none)");
    for (int i = 0; i < 4; i++) dlib_float(r);
    if (!r->rc && op.w_count != out * in)
        dlib_fail(r, "fc: %zu values, expected %zu x %zu", op.w_count, in, out);
    if (r->rc) return;
    float *w = floats(b, op.w_count);
    for (size_t i = 0; w && i < in; i++) /* the file has [in][out] */
        for (size_t o = 0; o < out; o++) w[o * in + i] = raw_float(raw, i * out + o);
    op.w = w;
    push(b, &op);
}

static const char *layer_tag(char kind)
{
    switch (kind) {
    case 'c':
        return "con_4";
    case 'A':
        return "affine_";
    case 'r':
        return "relu_";
    case '+':
        return "add_prev_";
    case 'm':
        return "max_pool_2";
    case 'a':
        return "avg_pool_2";
    default:
        return "fc_2";
    }
}

static void read_layer(struct builder *b, char kind)
{
    struct dlib_reader *r = b->r;
    char tag[40];

    dlib_string(r, tag, sizeof tag);
    if (!r->rc && strcmp(tag, layer_tag(kind)) != 0)
        dlib_fail(r, "layer %s, expected %s", tag, layer_tag(kind));
    if (r->rc) return;
    if (kind == 'c') read_con(b);
    if (kind == 'A') read_affine(b);
    if (kind == 'r') read_relu(b);
    if (kind == '+') add_prev(b);
    if (kind == 'm') read_pool(b, NN_MAX_POOL);
    if (kind == 'a') read_pool(b, NN_AVG_POOL);
    if (kind == 'f') read_fc(b);
    if (kind == 'm' || b->added) { /* the stem, or a block, ends here */
        b->block++;
        b->convs = 0;
    }
    b->added = kind == '+';
    for (int i = 0; i < 3; i++) dlib_bool(r);
    for (int i = 0; i < 3; i++) { /* gradients: empty in a file that was cleaned */
        size_t dims[4];
        const uint8_t *raw;
        dlib_tensor(r, dims, &raw);
    }
}

static void read_net(struct builder *b)
{
    struct dlib_reader *r = b->r;
    char tag[40];

    dlib_string(r, tag, sizeof tag);
    if (!r->rc && strcmp(tag, "loss_metric_2") != 0)
        dlib_fail(
            r, "a dlib network with %s: only the face recognition ResNet (loss_metric_2) is known",
            tag);
    dlib_float(r); /* margin and distance threshold of the training */
    dlib_float(r);
    for (int i = 0; i < LAYERS && !r->rc; i++) {
        int want = NET[i] == 'T' || NET[i] == 'S' ? 1 : i == LAYERS - 1 ? 3 : 2;
        dlib_int_in(r, want, want, "version of a layer (or another network)");
    }
    dlib_string(r, tag, sizeof tag);
    if (!r->rc && strcmp(tag, "input_rgb_image_sized") != 0)
        dlib_fail(r, "input %s, expected input_rgb_image_sized", tag);
    for (int i = 0; i < 3; i++) b->mean[i] = dlib_float(r);
    dlib_int_in(r, SIDE, SIDE, "input's height");
    dlib_int_in(r, SIDE, SIDE, "input's width");
    for (int i = LAYERS - 1; i >= 0 && !r->rc; i--) {
        if (NET[i] == 'T') {
            if (b->n_tags < TAGS_MAX) b->tags[b->n_tags++] = b->x;
        } else if (NET[i] == 'S') {
            b->x = b->tags[b->n_tags - 2];
        } else {
            read_layer(b, NET[i]);
        }
        if (i == LAYERS - 1) dlib_int_in(r, 1, 1, "version after the first convolution");
    }
    if (!r->rc && dlib_left(r)) dlib_fail(r, "%zu bytes after the end", dlib_left(r));
}

enum err import__dlib_resnet(struct import_job *job, struct dlib_reader *r, struct err_info *err)
{
    struct builder b = {.r = r, .arena = {.max = 2 * job->len + (1 << 20)}, .x = -1, .block = -1};
    b.g.in_c = 3;
    b.g.in_h = b.g.in_w = SIDE;
    read_net(&b);
    enum err rc = r->rc;
    if (!rc && b.g.ops[b.x].kind != NN_DENSE)
        rc = err_set(err, ERR_MODEL, "the network does not end with fc");
    if (!rc) {
        b.g.n_outputs = 1;
        snprintf(b.g.outputs[0].name, sizeof b.g.outputs[0].name, "embedding");
        b.g.outputs[0].op = b.x;
        struct model_draft draft = {.role = MODEL_EMBEDDER, .graph = &b.g, .license = "CC0-1.0"};
        struct model_input *in = &draft.input;
        in->w = in->h = SIDE;
        for (int i = 0; i < 3; i++) {
            in->mean[i] = b.mean[i];
            in->scale[i] = 1.0f / 256; /* exact */
        }
        in->crop = CROP_DLIB_CHIP;
        in->padding = 0.25f;
        snprintf(in->average, sizeof in->average, "mixed2");
        in->dim = b.g.ops[b.x].out;
        rc = import__finish(job, &draft, "dlib-resnet", err);
    }
    nn_graph_release(&b.g);
    arena_release(&b.arena);
    return rc;
}
