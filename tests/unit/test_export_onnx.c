/* Networks exported as ONNX files, read back by our own importer: the same outputs, bit for bit,
 * from the plain loops. Every kind of op is there. What others make of the files is seen by
 * tests/peers/export_check.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "engine/base/mem.h"
#include "engine/model/export_onnx.h"
#include "engine/model/import/onnx_graph.h"
#include "engine/nn/nn.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"
#include "tests/unit/nets.h"

enum { ROWS = 2, ARENA_BYTES = 256 << 20 };

/* --- graphs --- */

static int windowed(struct net_made *m, struct nn_op op, int in)
{
    return nets_add(m, &op, in);
}

static struct nn_op window(enum nn_kind kind, int kh, int kw, int sh, int sw)
{
    struct nn_op op;
    nn_op_init(&op, kind, "");
    op.kernel[0] = kh, op.kernel[1] = kw;
    op.stride[0] = sh, op.stride[1] = sw;
    return op;
}

static struct nn_op padded(struct nn_op op, int top, int left, int bottom, int right)
{
    op.pad[0] = top, op.pad[1] = left, op.pad[2] = bottom, op.pad[3] = right;
    return op;
}

static int two(struct net_made *m, enum nn_kind kind, int a, int b)
{
    struct nn_op op;
    nn_op_init(&op, kind, "");
    op.n_in = 2;
    op.in[1] = b;
    return nets_add(m, &op, a);
}

/* Convolutions with groups, dilation, uneven padding and no bias; one that reads a vector. */
static void convolutions(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 11, 13);
    int x = nets_conv(m, -1, 3, 8, 3, 1, 1);
    struct nn_op op = padded(window(NN_CONV2D, 3, 2, 2, 1), 0, 1, 2, 3);
    op.out = 12, op.groups = 4, op.dilation = 2;
    op.w_count = 12 * 2 * 3 * 2;
    op.w = nets_weights(m, op.w_count, 0.4f);
    x = windowed(m, op, x);
    nets_output(m, "planes", x);
    x = nets_dense(m, x, 12 * 5 * 15, 6, true);
    nets_output(m, "vector", nets_conv(m, x, 6, 4, 1, 1, 0));
}

static void activations(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 6, 5);
    struct nn_op leaky;
    nn_op_init(&leaky, NN_LEAKY_RELU, "");
    leaky.alpha = 0.1f;
    int x = nets_prelu(m, nets_add(m, &leaky, -1), 3);
    x = nets_op(m, NN_RELU6, nets_conv(m, x, 3, 7, 3, 1, 0));
    nets_output(m, "softmax", nets_op(m, NN_SOFTMAX, x));
    nets_output(m, "sigmoid", nets_op(m, NN_SIGMOID, x));
    x = nets_dense(m, x, 7 * 4 * 3, 9, false); /* planes in, without a flatten before */
    leaky.n_in = 0;
    x = nets_prelu(m, nets_op(m, NN_RELU6, nets_add(m, &leaky, x)), 9);
    nets_output(m, "probability", nets_op(m, NN_SOFTMAX, nets_op(m, NN_RELU, x)));
    nets_output(m, "unit", nets_op(m, NN_L2_NORMALIZE, x));
}

/* Where ONNX's pools are not PyTorch's: ceil_mode with padding, strides over the kernel, padding
 * that counts. */
static void pools(struct net_made *m, uint64_t seed)
{
    static const struct {
        int k[2], s[2], pad[4];
        bool ceiled, count;
    } CASES[] = {
        {{2, 2}, {2, 2}, {0, 0, 0, 0}, true, false}, {{3, 3}, {2, 2}, {0, 0, 0, 0}, true, false},
        {{3, 2}, {2, 3}, {1, 0, 1, 1}, true, false}, {{2, 2}, {2, 2}, {1, 1, 1, 1}, true, true},
        {{3, 3}, {3, 3}, {2, 1, 2, 2}, true, true},  {{1, 2}, {4, 5}, {0, 1, 0, 0}, true, true},
        {{3, 3}, {2, 2}, {0, 1, 2, 0}, false, true}, {{3, 3}, {2, 2}, {1, 1, 1, 1}, false, false},
        {{4, 5}, {3, 3}, {3, 4, 3, 4}, true, true},  {{2, 2}, {3, 3}, {0, 0, 0, 0}, true, true},
    };
    nets_start(m, seed, 3, 10, 12);
    for (size_t i = 0; i < 2 * ARRAY_LEN(CASES) - 4; i++) { /* there may be 16 outputs */
        const size_t k = i / 2;
        struct nn_op op = window(i % 2 ? NN_AVG_POOL : NN_MAX_POOL, CASES[k].k[0], CASES[k].k[1],
                                 CASES[k].s[0], CASES[k].s[1]);
        memcpy(op.pad, CASES[k].pad, sizeof op.pad);
        op.ceil_mode = CASES[k].ceiled;
        op.count_pad = i % 2 && CASES[k].count;
        char name[16];
        snprintf(name, sizeof name, "pool%zu", i);
        nets_output(m, name, windowed(m, op, -1));
    }
    assert_int_equal(m->g.n_outputs, NN_MAX_OUTPUTS);
}

static void more_pools(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 7, 9);
    struct nn_op op = padded(window(NN_AVG_POOL, 4, 5, 3, 3), 3, 4, 3, 4);
    op.ceil_mode = op.count_pad = true;
    nets_output(m, "wide", windowed(m, op, -1));
    op = window(NN_MAX_POOL, 2, 2, 3, 3);
    op.ceil_mode = true;
    nets_output(m, "apart", windowed(m, op, -1));
    nets_output(m, "mean", nets_op(m, NN_GLOBAL_AVG_POOL, -1)); /* goes out as [N][3] */
}

/* Sums, products with broadcasting, concatenation; vectors beside planes of one element. */
static void joints(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 6, 6);
    int a = nets_conv(m, -1, 3, 4, 3, 1, 1), b = nets_conv(m, -1, 3, 4, 3, 1, 1);
    int squeezed = nets_op(m, NN_GLOBAL_AVG_POOL, a);
    int gate = nets_op(m, NN_SIGMOID, nets_dense(m, squeezed, 4, 4, true));
    int x = two(m, NN_MUL, two(m, NN_ADD, a, b), gate);
    x = two(m, NN_ADD, x, squeezed);
    struct nn_op cat;
    nn_op_init(&cat, NN_CONCAT, "");
    cat.n_in = 3;
    cat.in[1] = x, cat.in[2] = -1;
    nets_output(m, "joined", nets_add(m, &cat, b));
    nets_output(m, "both", two(m, NN_CONCAT, gate, squeezed));
    nets_output(m, "twice", two(m, NN_ADD, gate, gate));
    nets_output(m, "mixed", two(m, NN_MUL, squeezed, gate));
    nets_output(m, "vectors", two(m, NN_CONCAT, gate, nets_op(m, NN_FLATTEN, squeezed)));
}

static void places(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 4, 5);
    struct nn_op op;
    nn_op_init(&op, NN_PAD, "");
    op.pad[0] = 1, op.pad[1] = 2, op.pad[3] = 3, op.pad_c = 2;
    int x = nets_add(m, &op, -1); /* 5 x 5 x 10 */
    nets_output(m, "padded", x);
    static const int PERM[][3] = {{1, 2, 0}, {2, 0, 1}, {0, 2, 1}, {2, 1, 0}, {1, 0, 2}};
    for (size_t i = 0; i < ARRAY_LEN(PERM); i++) {
        char name[16];
        nn_op_init(&op, NN_TRANSPOSE, "");
        memcpy(op.perm, PERM[i], sizeof op.perm);
        snprintf(name, sizeof name, "turned%zu", i);
        nets_output(m, name, nets_add(m, &op, x));
    }
    nn_op_init(&op, NN_RESIZE_NEAREST, "");
    op.scale[0] = 3, op.scale[1] = 2;
    nets_output(m, "resized", nets_add(m, &op, x));
    nn_op_init(&op, NN_RESHAPE, "");
    op.shape[0] = 10, op.shape[1] = 1, op.shape[2] = 25;
    nets_output(m, "reshaped", nets_add(m, &op, x));
    op.n_in = 0;
    op.shape[0] = 2, op.shape[1] = 25, op.shape[2] = 5;
    x = nets_add(m, &op, nets_op(m, NN_FLATTEN, x)); /* from a vector */
    nets_output(m, "back", x);
    nets_output(m, "flat", nets_op(m, NN_FLATTEN, x));
    nets_output(m, "unit", nets_op(m, NN_L2_NORMALIZE, nets_op(m, NN_GLOBAL_AVG_POOL, x)));
}

/* Outputs with the names that the file has for other things, and two names for one op. */
static void names(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 5, 5);
    int x = nets_conv(m, -1, 3, 4, 3, 1, 1);
    nets_output(m, "relu1", x);
    nets_output(m, "conv2d0.weight", x);
    int y = nets_op(m, NN_RELU, x);
    y = nets_op(m, NN_RELU6, y);
    nets_output(m, "relu61.out", y);
    nets_output(m, "relu1.out", nets_op(m, NN_SIGMOID, y));
    nets_output(m, "relu1.out_", nets_conv(m, y, 4, 2, 1, 1, 0));
    nets_output(m, "input", nets_op(m, NN_GLOBAL_AVG_POOL, y));
    nets_output(m, "input_", m->g.outputs[m->g.n_outputs - 1].op);
}

/* Any size: strides, resizing, and a vector at the end. */
static void any_size(struct net_made *m, uint64_t seed)
{
    nets_start(m, seed, 3, 0, 0);
    int a = nets_op(m, NN_RELU, nets_conv(m, -1, 3, 4, 3, 1, 1));
    struct nn_op op = padded(window(NN_MAX_POOL, 3, 3, 2, 2), 1, 1, 1, 1);
    op.ceil_mode = true;
    int b = windowed(m, op, a);
    op.kind = NN_AVG_POOL;
    op.count_pad = true;
    nets_output(m, "means", windowed(m, op, a));
    nets_output(m, "pooled", b);
    nn_op_init(&op, NN_TRANSPOSE, "");
    op.perm[0] = 1, op.perm[1] = 2, op.perm[2] = 0;
    nets_output(m, "rows", nets_add(m, &op, b));
    nn_op_init(&op, NN_RESIZE_NEAREST, "");
    op.scale[0] = op.scale[1] = 2;
    nets_output(m, "larger", nets_add(m, &op, b));
    nets_output(m, "mean", nets_op(m, NN_GLOBAL_AVG_POOL, b));
}

/* --- there --- */

/* An opened model file of the graph, in the test's folder. */
static struct model *model_of(const struct nn_graph *g)
{
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    const struct model_draft d = {
        .name = "net",
        .role = MODEL_DETECTOR,
        .input = {.w = g->in_w, .h = g->in_h, .scale = {1, 1, 1}},
        .graph = g,
        .license = "MIT \"quoted\"",
        .source_file = "a.pt",
        .source_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    if (model_write(folder, &d, &err) || model_open(&m, folder, "net", &err))
        fail_msg("%s", err.message);
    return m;
}

static struct buf exported(const struct nn_graph *g)
{
    struct err_info err = ERR_INFO_INIT;
    char path[256];
    struct model *m = model_of(g);
    if (model_export_onnx(m, file_in(path, "net.onnx"), &err)) fail_msg("%s", err.message);
    model_close(m);
    assert_int_equal(files_in_folder(), 2);
    return test_read(path);
}

/* --- and back --- */

struct read_back {
    struct buf file;
    struct arena a;
    struct onnx_model m;
    struct nn_graph g;
};

static void release(struct read_back *r)
{
    nn_graph_release(&r->g);
    arena_release(&r->a);
    buf_release(&r->file);
}

static const float *values_of(struct read_back *r, const struct view *v)
{
    float *out = arena_alloc(&r->a, v->count * sizeof *out);
    assert_non_null(out);
    view_read(out, v);
    return out;
}

static void read_back(struct read_back *r, const struct nn_graph *from)
{
    struct err_info err = ERR_INFO_INIT;
    *r = (struct read_back){.file = exported(from), .a = ARENA_INIT(ARENA_BYTES)};
    struct onnx_builder b = {.m = &r->m, .g = &r->g, .a = &r->a, .err = &err};
    if (onnx_read(&r->m, r->file.data, r->file.len, &r->a, &err) || onnx_build(&b))
        fail_msg("%s", err.message);
    for (int i = 0; i < r->g.n_ops; i++) {
        const struct onnx_weights *w = b.weights[i];
        if (!w) continue;
        assert_null(w->scale); /* nothing that we write becomes one */
        r->g.ops[i].w = values_of(r, &w->w);
        if (w->has_b) r->g.ops[i].b = values_of(r, &w->b);
    }
    assert_int_equal(b.any_size, from->in_h == 0);
    if (b.any_size) r->g.in_h = r->g.in_w = 0;
    if (nn_graph_check(&r->g, true, &err)) fail_msg("%s", err.message);
}

/* All outputs of g, one after the other; *n floats, the caller's. */
static float *run(const struct nn_graph *g, int h, int w, const float *in, size_t *n)
{
    struct err_info err = ERR_INFO_INIT;
    float *outs[NN_MAX_OUTPUTS], *all;
    size_t count[NN_MAX_OUTPUTS];
    struct nn_net *net;
    struct nn_plan *plan;

    if (nn_net_new(&net, g, NN_REF, NN_F32, &err) || nn_plan_new(&plan, net, ROWS, h, w, &err))
        fail_msg("%s", err.message);
    *n = 0;
    for (int i = 0; i < g->n_outputs; i++) {
        const struct nn_shape s = nn_plan_output_shape(plan, i);
        count[i] = (size_t)ROWS * (size_t)s.c * (size_t)s.h * (size_t)s.w;
        *n += count[i];
    }
    assert_non_null(all = malloc(*n * sizeof *all));
    outs[0] = all;
    for (int i = 1; i < g->n_outputs; i++) outs[i] = outs[i - 1] + count[i - 1];
    nn_plan_forward(plan, in, outs);
    nn_plan_free(plan);
    nn_net_free(net);
    return all;
}

static void same_outputs(const char *name, const struct nn_graph *a, const struct nn_graph *b,
                         int h, int w)
{
    uint64_t seed = 5;
    size_t n = (size_t)ROWS * (size_t)a->in_c * (size_t)h * (size_t)w, na, nb;
    float *in = malloc(n * sizeof *in);
    assert_non_null(in);
    nets_fill(in, n, 4, &seed);
    float *x = run(a, h, w, in, &na), *y = run(b, h, w, in, &nb);
    if (na != nb) fail_msg("%s: %zu values, %zu after reading back", name, na, nb);
    for (size_t i = 0; i < na; i++)
        if (memcmp(&x[i], &y[i], sizeof *x) != 0)
            fail_msg("%s %dx%d: value %zu is %.9g, %.9g after reading back", name, h, w, i,
                     (double)x[i], (double)y[i]);
    free(in);
    free(x);
    free(y);
}

static const struct {
    const char *name;
    void (*make)(struct net_made *m, uint64_t seed);
} NETS[] = {
    {"pnet", nets_pnet},
    {"rnet", nets_rnet},
    {"onet", nets_onet},
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    {"resnet", nets_resnet}, /* seconds of plain loops: some ten times that otherwise */
#endif
    {"convolutions", convolutions},
    {"activations", activations},
    {"pools", pools},
    {"more_pools", more_pools},
    {"joints", joints},
    {"places", places},
    {"names", names},
    {"any_size", any_size},
};

static void come_back_the_same(void **state)
{
    (void)state;
    static const int SIDES[][2] = {{12, 12}, {25, 38}, {37, 23}};
    unsigned kinds = 0;
    for (size_t i = 0; i < ARRAY_LEN(NETS); i++) {
        struct net_made made;
        struct read_back back;
        NETS[i].make(&made, 77 + i);
        read_back(&back, &made.g);
        assert_int_equal(back.g.n_outputs, made.g.n_outputs);
        for (int k = 0; k < made.g.n_outputs; k++)
            assert_string_equal(back.g.outputs[k].name, made.g.outputs[k].name);
        for (int k = 0; k < made.g.n_ops; k++) kinds |= 1u << made.g.ops[k].kind;
        if (made.g.in_h) same_outputs(NETS[i].name, &made.g, &back.g, made.g.in_h, made.g.in_w);
        for (size_t k = 0; !made.g.in_h && k < ARRAY_LEN(SIDES); k++)
            same_outputs(NETS[i].name, &made.g, &back.g, SIDES[k][0], SIDES[k][1]);
        release(&back);
        nets_release(&made);
        folder_walk(1);
    }
    assert_int_equal(kinds, (1u << NN_KIND_COUNT) - 1); /* every kind was there */
}

/* --- what is around the graph --- */

static bool holds(const struct buf *b, const char *text)
{
    return memmem(b->data, b->len, text, strlen(text)) != NULL;
}

static void says_what_it_is(void **state)
{
    (void)state;
    static const uint8_t BEGINS[] = {0x08, 8, 0x12, 7, 'v', 'i', 's', 'a', 'v', 'i', 's'};
    struct net_made made;
    nets_pnet(&made, 1);
    struct buf b = exported(&made.g);
    assert_memory_equal(b.data, BEGINS, sizeof BEGINS); /* IR 8, producer */
    assert_true(holds(&b, "face verification: detector"));
    assert_true(holds(&b, "visavis.input"));
    assert_true(holds(&b, "\"channels\":\"rgb\",\"mean\":[0.0,0.0,0.0],\"scale\":[1.0,1.0,1.0]"));
    assert_true(holds(&b, "visavis.license"));
    assert_true(holds(&b, "MIT \"quoted\""));
    assert_true(holds(&b, "{\"file\":\"a.pt\",\"sha256\":\"0123456789abcdef"));
    buf_release(&b);
    nets_release(&made);
}

/* --- errors: nothing is left, what was there stays --- */

static void refused(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct net_made made;
    char path[256], link[256];
    struct stat info;

    nets_start(&made, 3, 3, 2, 2);
    nets_output(&made, "y", nets_dense(&made, -1, 12, 4, false));
    struct model *m = model_of(&made.g);
    file_in(path, "net.onnx");
    assert_int_equal(model_export_onnx(m, "/no/such/folder/net.onnx", &err), ERR_IO);
    assert_non_null(strstr(err.message, "/no/such/folder/net.onnx"));
    assert_int_equal(model_export_onnx(m, folder, &err), ERR_IO);
    assert_non_null(strstr(err.message, "it is a folder"));
    assert_int_equal(symlink("/dev/null", file_in(link, "null")), 0);
    assert_int_equal(model_export_onnx(m, link, &err), ERR_IO); /* must not become a file */
    assert_non_null(strstr(err.message, "no regular file"));
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));

    struct nn_op *op = &m->graph.ops[0], was = *op; /* 4 GB of weights, which nobody reads */
    m->graph.in_c = 1 << 12;
    op->out = 1 << 16;
    op->w_count = (size_t)op->out * 4 * (size_t)m->graph.in_c;
    assert_int_equal(model_export_onnx(m, path, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.message, "the limit of its format is 2147483647"));
    m->graph.in_c = 3;
    *op = was;
    const int n_ops = m->graph.n_ops;
    m->graph.n_ops = 0;
    m->role = MODEL_LANDMARKS;
    assert_int_equal(model_export_onnx(m, path, &err), ERR_INVALID);
    assert_string_equal(err.message, "model net has no network to export (landmarks)");
    m->graph.n_ops = n_ops;
    assert_int_equal(files_in_folder(), 2); /* the model, the link */
    model_close(m);
    nets_release(&made);
}

/* A disk that is full, played by a limit on the sizes of files. */
static void no_room(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct rlimit was, small;
    struct net_made made;
    char path[256];

    nets_rnet(&made, 2);
    struct buf old = exported(&made.g);
    struct model *m = model_of(&made.g);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 4096;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err rc = model_export_onnx(m, file_in(path, "net.onnx"), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(rc, ERR_STORAGE_FULL);
    assert_non_null(strstr(err.message, "no room for"));
    assert_int_equal(files_in_folder(), 2);
    struct buf now = test_read(path);
    assert_int_equal(now.len, old.len);
    assert_memory_equal(now.data, old.data, now.len);
    buf_release(&now);
    buf_release(&old);
    model_close(m);
    nets_release(&made);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(come_back_the_same),
        WITH_FOLDER(says_what_it_is),
        WITH_FOLDER(refused),
        WITH_FOLDER(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
