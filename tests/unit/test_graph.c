/* Each invariant of graph.h broken once: ERR_MODEL, and the message names the op. Shapes, and their
 * errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/nets.h"

/* A graph of every kind of op that can be broken: 0 conv, 1 prelu, 2 max_pool, 3 avg_pool, 4 conv,
 * 5 add, 6 concat, 7 pad, 8 transpose, 9 reshape, 10 resize_nearest, 11 leaky_relu, 12 dense. */
static void make(struct net_made *m)
{
    struct nn_op op;
    nets_start(m, 1, 4, 12, 10);
    int x = nets_conv(m, -1, 4, 6, 3, 1, 1);
    x = nets_prelu(m, x, 6);
    x = nets_pool(m, NN_MAX_POOL, x, 2, 2, false);
    int y = nets_pool(m, NN_AVG_POOL, x, 1, 1, false);
    int z = nets_conv(m, x, 6, 6, 1, 1, 0);
    x = nets_sum(m, y, z);
    nn_op_init(&op, NN_CONCAT, "");
    op.n_in = 2, op.in[1] = z;
    x = nets_add(m, &op, x);
    x = nets_pad(m, x, 1, 1, 4);
    nn_op_init(&op, NN_TRANSPOSE, "");
    op.perm[0] = 1, op.perm[1] = 2, op.perm[2] = 0;
    x = nets_add(m, &op, x);
    nn_op_init(&op, NN_RESHAPE, "");
    op.shape[0] = 7, op.shape[1] = 16, op.shape[2] = 6;
    x = nets_add(m, &op, x);
    nn_op_init(&op, NN_RESIZE_NEAREST, "");
    op.scale[0] = 2, op.scale[1] = 1;
    x = nets_add(m, &op, x);
    nn_op_init(&op, NN_LEAKY_RELU, "");
    op.alpha = 0.1f;
    x = nets_add(m, &op, x);
    nets_output(m, "out", nets_dense(m, x, 7 * 32 * 6, 5, true));
}

enum {
    CONV,
    PRELU,
    MAX_POOL,
    AVG_POOL,
    CONV2,
    ADD,
    CONCAT,
    PAD,
    TRANSPOSE,
    RESHAPE,
    RESIZE,
    LEAKY,
    DENSE
};

static float bad_weights[6 * 4 * 9]; /* as many as op CONV has, not all finite */

static void no_name(struct nn_graph *g)
{
    g->ops[PAD].name[0] = 0;
}
static void name_unended(struct nn_graph *g)
{
    memset(g->ops[PAD].name, 'x', NN_NAME_BYTES);
}
static void name_twice(struct nn_graph *g)
{
    memcpy(g->ops[ADD].name, g->ops[PRELU].name, NN_NAME_BYTES);
}
static void kind(struct nn_graph *g)
{
    g->ops[ADD].kind = NN_KIND_COUNT;
}
static void input_itself(struct nn_graph *g)
{
    g->ops[ADD].in[1] = ADD;
}
static void input_later(struct nn_graph *g)
{
    g->ops[PRELU].in[0] = LEAKY;
}
static void input_negative(struct nn_graph *g)
{
    g->ops[PRELU].in[0] = -2;
}
static void inputs_few(struct nn_graph *g)
{
    g->ops[ADD].n_in = 1;
}
static void inputs_many(struct nn_graph *g)
{
    g->ops[PRELU].n_in = 2;
}
static void inputs_concat(struct nn_graph *g)
{
    g->ops[CONCAT].n_in = NN_MAX_INPUTS + 1;
}
static void out_zero(struct nn_graph *g)
{
    g->ops[CONV].out = 0;
}
static void out_huge(struct nn_graph *g)
{
    g->ops[DENSE].out = NN_MAX_CHANNELS + 1;
}
static void kernel_zero(struct nn_graph *g)
{
    g->ops[CONV].kernel[1] = 0;
}
static void kernel_huge(struct nn_graph *g)
{
    g->ops[MAX_POOL].kernel[0] = 1 << 30;
}
static void stride_zero(struct nn_graph *g)
{
    g->ops[MAX_POOL].stride[0] = 0;
}
static void pad_negative(struct nn_graph *g)
{
    g->ops[CONV].pad[2] = -1;
}
static void pad_pool(struct nn_graph *g)
{
    g->ops[MAX_POOL].pad[1] = 2;
}
static void pad_op(struct nn_graph *g)
{
    g->ops[PAD].pad[3] = -1;
}
static void pad_c(struct nn_graph *g)
{
    g->ops[PAD].pad_c = -1;
}
static void groups_zero(struct nn_graph *g)
{
    g->ops[CONV].groups = 0;
}
static void groups_out(struct nn_graph *g)
{
    g->ops[CONV].groups = 4;
}
static void dilation(struct nn_graph *g)
{
    g->ops[CONV].dilation = 0;
}
static void alpha(struct nn_graph *g)
{
    g->ops[LEAKY].alpha = NAN;
}
static void perm(struct nn_graph *g)
{
    g->ops[TRANSPOSE].perm[0] = 0;
}
static void perm_far(struct nn_graph *g)
{
    g->ops[TRANSPOSE].perm[2] = 3;
}
static void scale(struct nn_graph *g)
{
    g->ops[RESIZE].scale[0] = 0;
}
static void reshape_zero(struct nn_graph *g)
{
    g->ops[RESHAPE].shape[1] = 0;
}
static void reshape_count(struct nn_graph *g)
{
    g->ops[RESHAPE].shape[1] = 17;
}
static void weights_none(struct nn_graph *g)
{
    g->ops[CONV].w = NULL;
}
static void weights_few(struct nn_graph *g)
{
    g->ops[CONV].w_count--;
}
static void weights_dense(struct nn_graph *g)
{
    g->ops[DENSE].w_count++;
}
static void weights_prelu(struct nn_graph *g)
{
    g->ops[PRELU].w_count = 5;
}
static void bias_few(struct nn_graph *g)
{
    g->ops[CONV].b_count--;
}
static void bias_null(struct nn_graph *g)
{
    g->ops[CONV].b = NULL;
}
static void bias_prelu(struct nn_graph *g)
{
    g->ops[PRELU].b = g->ops[PRELU].w, g->ops[PRELU].b_count = 6;
}
static void kernel_large(struct nn_graph *g)
{
    g->ops[MAX_POOL].kernel[0] = 13;
}
static void add_shapes(struct nn_graph *g)
{
    g->ops[ADD].in[1] = PRELU;
}
static void concat_shapes(struct nn_graph *g)
{
    g->ops[CONCAT].in[1] = PRELU;
}
static void weight_nan(struct nn_graph *g)
{
    bad_weights[100] = NAN;
    g->ops[CONV].w = bad_weights;
}
static void weight_inf(struct nn_graph *g)
{
    bad_weights[100] = -INFINITY;
    g->ops[CONV].w = bad_weights;
}
static void bias_nan(struct nn_graph *g)
{
    bad_weights[0] = NAN;
    g->ops[CONV].b = bad_weights;
}
static void too_large(struct nn_graph *g)
{
    g->ops[RESIZE].scale[0] = g->ops[RESIZE].scale[1] = 1024;
}
static void outputs_none(struct nn_graph *g)
{
    g->n_outputs = 0;
}
static void outputs_many(struct nn_graph *g)
{
    g->n_outputs = NN_MAX_OUTPUTS + 1;
}
static void output_op(struct nn_graph *g)
{
    g->outputs[0].op = g->n_ops;
}
static void output_name(struct nn_graph *g)
{
    g->outputs[0].name[0] = 0;
}
static void output_twice(struct nn_graph *g)
{
    g->outputs[g->n_outputs++] = g->outputs[0];
}
static void input_channels(struct nn_graph *g)
{
    g->in_c = 0;
}
static void input_half(struct nn_graph *g)
{
    g->in_h = 0;
}
static void input_far(struct nn_graph *g)
{
    g->in_h = 1 << 20;
}
static void no_ops(struct nn_graph *g)
{
    g->n_ops = 0;
}
static void many_ops(struct nn_graph *g)
{
    g->n_ops = NN_MAX_OPS + 1;
}

static const struct {
    const char *name;
    void (*spoil)(struct nn_graph *g);
    const char *says; /* must be in the message */
} BROKEN[] = {
    {"no name", no_name, "op 7"},
    {"name without end", name_unended, "op 7"},
    {"name twice", name_twice, "prelu1"},
    {"unknown kind", kind, "add5"},
    {"reads itself", input_itself, "add5"},
    {"reads a later op", input_later, "prelu1"},
    {"reads op -2", input_negative, "prelu1"},
    {"add of one", inputs_few, "add5"},
    {"prelu of two", inputs_many, "prelu1"},
    {"concat of nine", inputs_concat, "concat6"},
    {"no channels out", out_zero, "conv2d0 (conv2d): out"},
    {"too many channels out", out_huge, "dense12 (dense): out"},
    {"kernel 0", kernel_zero, "conv2d0 (conv2d): kernel"},
    {"kernel 2^30", kernel_huge, "max_pool2 (max_pool): kernel"},
    {"stride 0", stride_zero, "max_pool2 (max_pool): stride"},
    {"pad -1", pad_negative, "conv2d0 (conv2d): pad"},
    {"pool pad = kernel", pad_pool, "max_pool2 (max_pool): pad"},
    {"pad op -1", pad_op, "pad7 (pad): pad"},
    {"pad_c -1", pad_c, "pad7 (pad): pad_c"},
    {"groups 0", groups_zero, "conv2d0 (conv2d): groups"},
    {"groups do not divide out", groups_out, "conv2d0 (conv2d): groups"},
    {"dilation 0", dilation, "conv2d0 (conv2d): dilation"},
    {"alpha NaN", alpha, "leaky_relu11 (leaky_relu): alpha"},
    {"perm repeats", perm, "transpose8 (transpose): perm"},
    {"perm out of range", perm_far, "transpose8 (transpose): perm"},
    {"scale 0", scale, "resize_nearest10 (resize_nearest): scale"},
    {"reshape to 0", reshape_zero, "reshape9 (reshape): shape"},
    {"reshape to another count", reshape_count, "reshape9 (reshape)"},
    {"no weights", weights_none, "conv2d0"},
    {"a weight too few", weights_few,
     "conv2d0 (conv2d): input 4x12x10: expected 216 weights, found 215"},
    {"a weight too many", weights_dense, "dense12 (dense)"},
    {"a slope too few", weights_prelu, "prelu1 (prelu)"},
    {"a bias too few", bias_few, "conv2d0 (conv2d): expected 6 biases or none, found 5"},
    {"biases NULL", bias_null, "conv2d0"},
    {"prelu with a bias", bias_prelu, "prelu1"},
    {"kernel larger than its input", kernel_large, "max_pool2 (max_pool): input 6x12x10"},
    {"add of two shapes", add_shapes, "add5 (add): inputs 6x6x5 and 6x12x10"},
    {"concat of two sizes", concat_shapes, "concat6 (concat)"},
    {"weight NaN", weight_nan, "conv2d0 (conv2d): weight[100]"},
    {"weight infinite", weight_inf, "conv2d0 (conv2d): weight[100]"},
    {"bias NaN", bias_nan, "conv2d0 (conv2d): bias[0]"},
    {"tensor too large", too_large, "resize_nearest10"},
    {"no outputs", outputs_none, "0 outputs"},
    {"too many outputs", outputs_many, "outputs"},
    {"output of no op", output_op, "output out"},
    {"output without a name", output_name, "output 0"},
    {"output twice", output_twice, "output out"},
    {"no input channels", input_channels, "input is 0x12x10"},
    {"input of any height only", input_half, "input is 4x0x10"},
    {"input too high", input_far, "input is 4x1048576x10"},
    {"no ops", no_ops, "0 ops"},
    {"too many ops", many_ops, "ops"},
};

static void test_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BROKEN / sizeof *BROKEN; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct net_made m;
        make(&m);
        if (nn_graph_check(&m.g, true, &err)) fail_msg("unspoilt: %s", err.message);
        memset(bad_weights, 0, sizeof bad_weights);
        int n_ops = m.g.n_ops;
        BROKEN[i].spoil(&m.g);
        if (nn_graph_check(&m.g, true, &err) != ERR_MODEL) fail_msg("%s: accepted", BROKEN[i].name);
        if (!strstr(err.message, BROKEN[i].says))
            fail_msg("%s: says \"%s\", want \"%s\"", BROKEN[i].name, err.message, BROKEN[i].says);
        m.g.n_ops = n_ops;
        nets_release(&m);
    }
}

static void test_finite_only_when_asked(void **state)
{
    (void)state;
    struct net_made m;
    make(&m);
    weight_nan(&m.g);
    assert_int_equal(nn_graph_check(&m.g, false, NULL), ERR_OK);
    nets_release(&m);
}

/* Sizes that PyTorch 2.2 gives for max_pool2d(kernel, stride, pad, ceil_mode) of n elements. */
static const struct {
    int n, kernel, stride, pad, ceil_mode, want;
} POOLS[] = {
    {10, 2, 2, 0, 0, 5}, {10, 3, 2, 0, 0, 4}, {10, 3, 2, 0, 1, 5},   {11, 3, 2, 0, 1, 5},
    {9, 2, 2, 0, 1, 5},  {9, 2, 2, 0, 0, 4},  {5, 2, 2, 1, 1, 3},    {6, 2, 2, 1, 1, 4},
    {3, 2, 3, 1, 1, 2},  {1, 1, 1, 0, 1, 1},  {149, 2, 2, 0, 1, 75}, {22, 3, 2, 0, 1, 11},
    {4, 3, 3, 1, 1, 2},  {2, 2, 3, 1, 1, 1},
};

static void test_pool_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof POOLS / sizeof *POOLS; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct net_made m;
        struct nn_shape s;
        nets_start(&m, 1, 1, 0, 0);
        nets_output(
            &m, "o",
            nets_pool(&m, NN_MAX_POOL, -1, POOLS[i].kernel, POOLS[i].stride, POOLS[i].ceil_mode));
        for (int k = 0; k < 4; k++) m.g.ops[0].pad[k] = POOLS[i].pad;
        if (nn_graph_shapes(&m.g, POOLS[i].n, POOLS[i].n, &s, &err)) fail_msg("%s", err.message);
        if (s.h != POOLS[i].want || s.w != POOLS[i].want)
            fail_msg("pool %zu: %dx%d, want %d", i, s.h, s.w, POOLS[i].want);
        nets_release(&m);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct net_made m;
    struct nn_shape s[16];
    nets_pnet(&m, 1);
    assert_int_equal(nn_graph_check(&m.g, true, &err), ERR_OK);
    assert_int_equal(nn_graph_shapes(&m.g, 61, 97, s, &err), ERR_OK);
    struct nn_shape prob = s[m.g.outputs[0].op], box = s[m.g.outputs[1].op];
    assert_int_equal(prob.c, 2);
    assert_int_equal(box.c, 4);
    assert_int_equal(box.h, (61 - 2 + 1) / 2 - 4);
    assert_int_equal(box.w, (97 - 2 + 1) / 2 - 4);
    assert_int_equal(nn_graph_shapes(&m.g, 10, 97, s, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "conv2d5"));
    assert_int_equal(nn_graph_shapes(&m.g, 0, 97, s, &err), ERR_MODEL);
    assert_int_equal(nn_graph_shapes(&m.g, 97, 20000, s, &err), ERR_MODEL);
    nets_release(&m);
    make(&m);
    assert_int_equal(nn_graph_shapes(&m.g, 12, 11, s, &err), ERR_MODEL); /* the net takes 12x10 */
    nets_release(&m);
}

static void test_names(void **state)
{
    (void)state;
    for (int k = 0; k < NN_KIND_COUNT; k++)
        assert_int_equal(nn_kind_by_name(nn_kind_name((enum nn_kind)k)), k);
    assert_int_equal(nn_kind_by_name("conv3d"), -1);
    assert_null(nn_kind_name(NN_KIND_COUNT));
    struct net_made m;
    make(&m);
    assert_int_equal(nn_graph_output(&m.g, "out"), 0);
    assert_int_equal(nn_graph_output(&m.g, "in"), -1);
    nets_release(&m);
}

static void test_room(void **state)
{
    (void)state;
    struct nn_graph g = {0};
    struct nn_op op;
    nn_op_init(&op, NN_RELU,
               "a name that is much too long for the room an op has for its name, and cut");
    assert_int_equal(strlen(op.name), NN_NAME_BYTES - 1);
    for (int i = 0; i < NN_MAX_OPS; i++) assert_int_equal(nn_graph_add(&g, &op), i);
    assert_int_equal(nn_graph_add(&g, &op), -1);
    nn_graph_release(&g);
    nn_graph_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),      cmocka_unit_test(test_finite_only_when_asked),
        cmocka_unit_test(test_pool_shapes), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
