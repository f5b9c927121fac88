/* ONNX's operators, one small graph each, run by the plain backend against numbers worked out by
 * hand; what is refused, in which words; and which model a graph is taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "engine/model/import/import.h"
#include "engine/model/import/onnx_graph.h"
#include "engine/model/model.h"
#include "engine/nn/nn.h"
#include "tests/unit/model_files.h"
#include "tests/unit/onnx_text.h"

enum { VALUES_MAX = 64 };

/* A file, read and built; weights in place. */
struct made {
    struct buf file;
    struct arena arena;
    struct nn_graph graph;
    struct onnx_model model;
    struct onnx_builder builder;
    struct err_info err;
};

static enum err make(struct made *m, const char *text)
{
    *m = (struct made){.file = onnx_text(text), .arena = ARENA_INIT(8 << 20)};
    m->builder =
        (struct onnx_builder){.m = &m->model, .g = &m->graph, .a = &m->arena, .err = &m->err};
    enum err rc = onnx_read(&m->model, m->file.data, m->file.len, &m->arena, &m->err);
    if (!rc) rc = onnx_build(&m->builder);
    for (int i = 0; !rc && i < m->graph.n_ops; i++) {
        struct nn_op *op = &m->graph.ops[i];
        if (op->w_count) op->w = items_alloc(&m->arena, op->w_count, sizeof *op->w);
        if (op->b_count) op->b = items_alloc(&m->arena, op->b_count, sizeof *op->b);
        if (op->w_count) onnx_fill(m->builder.weights[i], op);
    }
    return rc ? rc : nn_graph_check(&m->graph, true, &m->err);
}

static void release(struct made *m)
{
    nn_graph_release(&m->graph);
    arena_release(&m->arena);
    buf_release(&m->file);
}

/* Runs the graph; the count of its first output's values. */
static size_t run(const struct made *m, const float *in, float out[VALUES_MAX])
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net;
    struct nn_plan *plan = NULL;
    float *outs[NN_MAX_OUTPUTS] = {out};
    if (nn_net_new(&net, &m->graph, NN_REF, NN_F32, &err) ||
        nn_plan_new(&plan, net, 1, m->graph.in_h, m->graph.in_w, &err))
        fail_msg("%s", err.message);
    struct nn_shape s = nn_plan_output_shape(plan, 0);
    const size_t n = (size_t)s.c * (size_t)s.h * (size_t)s.w;
    assert_true(n <= VALUES_MAX);
    nn_plan_forward(plan, in, outs);
    nn_plan_free(plan);
    nn_net_free(net);
    return n;
}

/* Numbers in a text, separated by spaces. */
static size_t numbers(float out[VALUES_MAX], const char *text)
{
    size_t n = 0;
    for (char *end; n < VALUES_MAX; text = end) {
        const float v = strtof(text, &end);
        if (end == text) break;
        out[n++] = v;
    }
    return n;
}

/* Graphs from x to y. in: planes, as ours are. ops: how many the graph is to have. */
struct row {
    const char *name, *text, *in, *want;
    int ops;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float in[VALUES_MAX], want[VALUES_MAX], got[VALUES_MAX];
        struct made m;
        if (make(&m, rows[i].text)) fail_msg("%s: %s", rows[i].name, m.err.message);
        const size_t n_in = numbers(in, rows[i].in), n_want = numbers(want, rows[i].want);
        assert_int_equal(n_in, m.graph.in_c * m.graph.in_h * m.graph.in_w);
        const size_t n_got = run(&m, in, got);
        if (n_got != n_want) fail_msg("%s: %zu values, expected %zu", rows[i].name, n_got, n_want);
        for (size_t k = 0; k < n_got; k++)
            if (!(fabsf(got[k] - want[k]) <= 2e-6f * fmaxf(1, fabsf(want[k])))) /* float32 sums */
                fail_msg("%s: value %zu is %g, expected %g", rows[i].name, k, (double)got[k],
                         (double)want[k]);
        if (m.graph.n_ops != rows[i].ops)
            fail_msg("%s: %d ops, expected %d", rows[i].name, m.graph.n_ops, rows[i].ops);
        release(&m);
    }
}

#define X22  "in x 1,1,2,2\nout y\n"
#define X33  "in x 1,1,3,3\nout y\n"
#define X222 "in x 1,2,2,2\nout y\n"
#define UP9  "1 2 3 4 5 6 7 8 9"
#define UP8  "1 2 3 4 5 6 7 8"

static void layers(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {"Conv", X33 "f w 1,1,2,2 = 1 0 0 -1\nf b 1 = 0.5\nConv x,w,b > y", UP9,
         "-3.5 -3.5 -3.5 -3.5", 1},
        {"Conv, pads and strides",
         X33 "f w 1,1,2,2 = 1 2 3 4\nConv x,w > y pads=1,0,0,1 strides=1,2 kernel_shape=2,2", UP9,
         "11 9 37 21 67 33", 1},
        {"Conv, groups", X222 "f w 2,1,1,1 = 2 3\nConv x,w > y group=2", UP8, "2 4 6 8 15 18 21 24",
         1},
        {"Conv, dilations", X33 "f w 1,1,2,2 = 1 1 1 1\nConv x,w > y dilations=2,2", UP9, "20", 1},
        {"Conv, SAME_UPPER", X22 "f w 1,1,2,2 = 1 1 1 1\nConv x,w > y auto_pad=SAME_UPPER",
         "1 2 3 4", "10 6 7 4", 1},
        {"Conv, SAME_LOWER", X22 "f w 1,1,2,2 = 1 1 1 1\nConv x,w > y auto_pad=SAME_LOWER",
         "1 2 3 4", "1 3 4 10", 1},
        {"Conv, VALID", X22 "f w 1,1,2,2 = 1 1 1 1\nConv x,w > y auto_pad=VALID", "1 2 3 4", "10",
         1},
        {"Gemm, transB",
         X22 "f w 2,4 = 1 2 3 4 0 0 0 1\nf b 2 = 1 2\nFlatten x > a\nGemm a,w,b > y transB=1",
         "1 2 3 4", "31 6", 1},
        {"Gemm", X22 "f w 4,2 = 1 0 2 0 3 0 4 1\nf b 1,2 = 1 2\nFlatten x > a\nGemm a,w,b > y",
         "1 2 3 4", "31 6", 1},
        {"Gemm, alpha and beta",
         X22
         "f w 1,4 = 1 2 3 4\nf b 1 = 3\nFlatten x > a\nGemm a,w,b > y transB=1 alpha=0.5 beta=2.0",
         "1 2 3 4", "21", 1},
        {"MatMul and Add",
         X22
         "i s 2 = -1 4\nf w 4,2 = 1 0 2 0 3 0 4 1\nf b 2 = 1 2\nReshape x,s > a\nMatMul a,w > m\n"
         "Add b,m > y",
         "1 2 3 4", "31 6", 1},
        {"BatchNormalization, folded",
         X22 "f w 2,1,1,1 = 1 2\nf g 2 = 2 1\nf s 2 = 0.5 1\nf m 2 = 1 2\nf v 2 = 3 0.25\n"
             "Conv x,w > c\nBatchNormalization c,g,s,m,v > y epsilon=1.0",
         "1 2 3 4", "0.5 1.5 2.5 3.5 1 2.788854382 4.577708764 6.366563146", 1},
        {"BatchNormalization of what is used twice",
         X22 "f w 1,1,1,1 = 2\nf g 1 = 3\nf s 1 = 1\nf m 1 = 0\nf v 1 = 3\nConv x,w > c\n"
             "BatchNormalization c,g,s,m,v > d epsilon=1.0\nAdd c,d > y",
         "1 2 3 4", "6 11 16 21", 3},
        {"Relu", X22 "Relu x > y", "-1 2 -3 4", "0 2 0 4", 1},
        {"LeakyRelu", X22 "LeakyRelu x > y alpha=0.5", "-1 2 -3 4", "-0.5 2 -1.5 4", 1},
        {"PRelu", X222 "f s 2,1,1 = 0.5 2\nPRelu x,s > y", "-1 2 -3 4 -1 2 -3 4",
         "-0.5 2 -1.5 4 -2 2 -6 4", 1},
        {"PRelu, one slope", X22 "f s 1 = 2\nPRelu x,s > y", "-1 2 -3 4", "-2 2 -6 4", 1},
        {"PRelu, older than broadcasting", "opset 6\n" X222 "f s 2 = 0.5 2\nPRelu x,s > y",
         "-1 2 -3 4 -1 2 -3 4", "-0.5 2 -1.5 4 -2 2 -6 4", 1},
        {"Clip", X22 "f a - = 0\nf b - = 6\nClip x,a,b > y", "-1 2 7 6", "0 2 6 6", 1},
        {"Clip before opset 11", "opset 10\n" X22 "Clip x > y min=0.0 max=6.0", "-1 2 7 6",
         "0 2 6 6", 1},
        {"Clip from below", X22 "f a - = 0\nClip x,a > y", "-1 2 7 6", "0 2 7 6", 1},
        {"Sigmoid", X22 "Sigmoid x > y", "0 1 -1 100", "0.5 0.73105858 0.26894142 1", 1},
        {"Softmax", "opset 13\n" X222 "Softmax x > y axis=1", "0 0 1 100 0 1 0 0",
         "0.5 0.26894142 0.73105858 1 0.5 0.73105858 0.26894142 0", 1},
        {"Softmax of turned axes",
         "opset 13\n" X222 "Transpose x > t perm=0,2,3,1\nSoftmax t > y axis=1", "0 0 1 0 0 0 0 0",
         "0.26894142 0.5 0.5 0.5 0.73105858 0.5 0.5 0.5", 2},
        {"Softmax of a row", X22 "Flatten x > a\nSoftmax a > y", "0 0 0 0", "0.25 0.25 0.25 0.25",
         2},
        {"MaxPool", X33 "MaxPool x > y kernel_shape=2,2 strides=1,2 pads=1,0,0,1",
         "-1 -2 -3 -4 -5 -6 -7 -8 -9", "-1 -3 -1 -3 -4 -6", 1},
        {"MaxPool, ceil_mode", X33 "MaxPool x > y kernel_shape=2,2 strides=2,2 ceil_mode=1", UP9,
         "5 6 8 9", 1},
        {"AveragePool", X22 "AveragePool x > y kernel_shape=2,2 pads=1,1,0,0", "1 2 3 4",
         "1 1.5 2 2.5", 1},
        {"AveragePool, count_include_pad",
         X22 "AveragePool x > y kernel_shape=2,2 pads=1,1,0,0 count_include_pad=1", "1 2 3 4",
         "0.25 0.75 1 2.5", 1},
        {"GlobalAveragePool", X222 "GlobalAveragePool x > y", UP8, "2.5 6.5", 1},
        {"ReduceMean", X222 "ReduceMean x > y axes=2,-1 keepdims=0", UP8, "2.5 6.5", 1},
    };
    check_rows(ROWS, ARRAY_LEN(ROWS));
}

static void arithmetic(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {"Sub and Mul", X22 "f a - = 2\nf b 1 = 0.5\nSub x,a > p\nMul p,b > y", "1 2 3 4",
         "-0.5 0 0.5 1", 1},
        {"a channel each", X222 "f a 2,1,1 = 1 2\nf b 1,2,1,1 = 2 4\nAdd x,a > p\nDiv p,b > y", UP8,
         "1 1.5 2 2.5 1.75 2 2.25 2.5", 1},
        {"a constant less x", X22 "f a 1 = 10\nSub a,x > y", "1 2 3 4", "9 8 7 6", 1},
        {"into a convolution",
         X22 "f w 1,1,1,1 = 2\nf b 1 = 1\nf k 1 = 3\nConv x,w,b > c\nMul c,k > d\nSub d,b > y",
         "1 2 3 4", "8 14 20 26", 1},
        {"Add of two", X22 "Relu x > r\nAdd r,x > y", "-1 2 -3 4", "-1 4 -3 8", 2},
        {"Mul by a plane's value, either side", X222 "GlobalAveragePool x > a\nMul a,x > y", UP8,
         "2.5 5 7.5 10 32.5 39 45.5 52", 2},
        {"ReduceL2 and Div", X22 "Flatten x > a\nReduceL2 a > n axes=1, keepdims=1\nDiv a,n > y",
         "1 5 5 7", "0.1 0.5 0.5 0.7", 1},
        {"ReduceL2 over all axes", X222 "ReduceL2 x > n axes=1,2,3\nDiv x,n > y", "2 0 0 0 0 0 2 1",
         "0.66666667 0 0 0 0 0 0.66666667 0.33333333", 1},
        {"as torch exports normalize",
         X22 "f e - = 1e-12\nFlatten x > a\nReduceL2 a > n axes=-1,\nClip n,e > m\nShape a > s\n"
             "Expand m,s > o\nDiv a,o > y",
         "1 5 5 7", "0.1 0.5 0.5 0.7", 1},
        {"LpNormalization", X22 "Flatten x > a\nLpNormalization a > y axis=1 p=2", "1 5 5 7",
         "0.1 0.5 0.5 0.7", 1},
    };
    check_rows(ROWS, ARRAY_LEN(ROWS));
}

static void shapes(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {"x.view(n, -1) of opset 9",
         "opset 9\n" X222 "il z - = 0\ni m 1 = -1\nf w 1,8 = 1 1 1 1 2 2 2 2\nShape x > s\n"
         "Gather s,z > g axis=0\nUnsqueeze g > u axes=0,\nConcat u,m > c axis=0\n"
         "Reshape x,c > a\nGemm a,w > y transB=1",
         UP8, "62", 1},
        {"sizes computed",
         X22 "f k - = 2\nShape x > s\ni a 1 = 2\ni b 1 = 9\nSlice s,a,b > h\n"
             "Cast h > hf to=1\nMul hf,k > h2\nFloor h2 > h3\nCast h3 > h4 to=7\n"
             "i one 2 = 1 1\nConcat one,h4 > t axis=0\n"
             "Resize x,_,_,t > y coordinate_transformation_mode=asymmetric "
             "nearest_mode=floor",
         "1 2 3 4", "1 1 2 2 1 1 2 2 3 3 4 4 3 3 4 4", 1},
        {"margins computed",
         X22 "i p 4 = 1 0 0 2\ni n 1 = 4\ni m 2 = -1 2\ni e 1 = -1\ni l 1 = -99\ni z 1 = 0\n"
             "ConstantOfShape n > o\nConcat p,o > c axis=0\nReshape c,m > r\nSlice r,e,l,z,e > v\n"
             "Transpose v > t\nReshape t,e > q\nPad x,q > y",
         "1 2 3 4", "0 1 2 0 3 4 0 0 0 0 0 0", 1},
        {"Transpose of the output", X222 "Relu x > r\nTranspose r > y perm=0,2,3,1", UP8,
         "1 5 2 6 3 7 4 8", 2},
        {"there and back",
         X222 "Relu x > r\nTranspose r > t perm=0,2,3,1\nSigmoid t > u\n"
              "Transpose u > v perm=0,3,1,2\nGlobalAveragePool v > y",
         "0 0 0 0 100 100 100 100", "0.5 1", 3},
        {"YuNet's heads",
         X222
         "i s 3 = 1 -1 2\nRelu x > r\nTranspose r > t perm=0,2,3,1\nReshape t,s > u\nRelu u > y",
         UP8, "1 5 2 6 3 7 4 8", 3},
        {"rows and columns", X222 "Relu x > r\nTranspose r > y perm=0,1,3,2", UP8,
         "1 3 2 4 5 7 6 8", 2},
        {"channels shuffled",
         "in x 1,4,1,2\nout y\ni s 5 = 1 2 2 1 2\ni t 4 = 1 4 1 2\nRelu x > r\nReshape r,s > a\n"
         "Transpose a > b perm=0,2,1,3,4\nReshape b,t > y",
         UP8, "1 2 5 6 3 4 7 8", 3},
        {"NHWC input",
         "in x 1,2,1,3\nout y\nf w 1,3,1,1 = 1 10 100\nTranspose x > t perm=0,3,1,2\nConv t,w > y",
         "1 2 3 4 5 6", "531 642", 1},
        {"NHWC input, scaled as it is",
         "in x 1,2,1,3\nout y\nf m 3 = 1 2 3\nf w 1,3,1,1 = 1 10 100\nSub x,m > s\n"
         "Transpose s > t perm=0,3,1,2\nConv t,w > y",
         "1 2 3 4 5 6", "210 321", 2},
        {"NHWC flattened",
         "in x 1,2,1,3\nout y\ni s 2 = -1 6\nf w 6,1 = 1 2 3 4 5 6\nReshape x,s > a\nMatMul a,w > "
         "y",
         "1 2 3 4 5 6", "86", 2}, /* in the order 1 3 5 2 4 6 */
        {"Concat", X22 "Relu x > r\nConcat r,x,r > y axis=1", "-1 2 -3 4",
         "0 2 0 4 -1 2 -3 4 0 2 0 4", 2},
        {"Concat of ten", X22 "Relu x > r\nConcat r,r,r,r,r,r,r,r,r,x > y axis=-3", "-1 -1 -1 -1",
         "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 -1 -1 -1 -1", 3},
        {"Squeeze, Unsqueeze, Flatten",
         X222 "GlobalAveragePool x > a\nSqueeze a > b axes=2,3\nUnsqueeze b > c axes=2,3\n"
              "Flatten c > d\nRelu d > y",
         UP8, "2.5 6.5", 2},
        {"Resize", X22 "f r 0 =\nf s 4 = 1 1 2 1\nResize x,r,s > y mode=nearest", "1 2 3 4",
         "1 2 1 2 3 4 3 4", 1},
        {"Upsample of opset 9", "opset 9\n" X22 "f s 4 = 1 1 1 2\nUpsample x,s > y mode=nearest",
         "1 2 3 4", "1 1 2 2 3 3 4 4", 1},
        {"Upsample of opset 7", "opset 7\n" X22 "Upsample x > y scales=1.0,1.0,1.0,2.0", "1 2 3 4",
         "1 1 2 2 3 3 4 4", 1},
        {"Pad", X22 "i p 8 = 0 0 0 1 0 1 0 0\nPad x,p > y", "1 2 3 4", "0 1 2 0 3 4 0 0 0 0 0 0",
         1},
        {"Pad before opset 11", "opset 10\n" X22 "Pad x > y pads=0,0,1,0,0,0,0,0", "1 2 3 4",
         "0 0 1 2 3 4", 1},
        {"nothing but Identity", X22 "Identity x > y", "1 2 3 4", "1 2 3 4", 1},
        {"Dropout and Identity", X22 "Dropout x > d,mask ratio=0.5\nIdentity d > i\nRelu i > y",
         "-1 2 -3 4", "0 2 0 4", 1},
        {"IR 3: initializers are inputs too",
         "ir 3\nopset 8\n" X22 "in w 1,1,1,1\nfu w 1,1,1,1 = 2\nConv x,w > y", "1 2 3 4", "2 4 6 8",
         1},
        {"float_data", X22 "fl w 1,4 = 1 2 3 4\nfu b 1 = 1\nFlatten x > a\nGemm a,w,b > y transB=1",
         "1 2 3 4", "31", 1},
        {"a weight turned before its use",
         X22 "f w 1,4 = 1 2 3 4\nTranspose w > t\nFlatten x > a\nMatMul a,t > y", "1 2 3 4", "30",
         1},
        {"Constant of a float", "opset 12\n" X22 "Constant > k value_float=2.5\nMul x,k > y",
         "1 2 3 4", "2.5 5 7.5 10", 1},
    };
    check_rows(ROWS, ARRAY_LEN(ROWS));
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } CASES[] = {
        {X22 "Exp x > y", "node n_y (Exp): unknown operator Exp"},
        {X22 "Relu x > y :com.example", "unknown operator Relu of domain com.example"},
        {X22 "Relu z > y", "node n_y (Relu): undefined tensor z"},
        {X22 "Relu a > y\nRelu x > a", "it takes a, which comes later: the graph is no DAG"},
        {X22 "Relu y > y", "no DAG in order"},
        {X22 "Relu x > y\nRelu x > y", "y is made twice"},
        {X22 "Relu x > x", "x is there twice"},
        {X22 "MaxPool x > a,i kernel_shape=2,2\nRelu i > y",
         "takes i, an output that is not known"},
        {"in x 1,1,2,2\nout z\nRelu x > y", "undefined tensor z: an output"},
        {"in x 1,1,2,2\nout x\nRelu x > y", "output x is not computed"},
        {"in x 1,1,2,2\nRelu x > y", "0 outputs"},
        {"out y\nRelu x > y", "the graph has no input"},
        {"in z 1,1,2,2\n" X22 "Relu x > y", "x is a second input"},
        {"in x 2,1,2,2\nout y\nRelu x > y", "input x is a batch of 2"},
        {"in x 1,4\nout y\nRelu x > y", "input x has 2 axes"},
        {"in x 1,N,2,2\nout y\nRelu x > y", "input x has -1 channels"},
        {"in x 1,3,99999,2\nout y\nRelu x > y", "99999 x 2"},
        {X22 "f w 1,2,1,1 = 1 2\nConv x,w > y", "w: 2 channels a group, its input has 1"},
        {X22 "f w 1,1,1 = 1\nConv x,w > y", "w has 3 axes, 4 are expected"},
        {X22 "f w 1,1,1,1 = 1\nConv x,w > y kernel_shape=2,2", "kernel_shape is 2x2, w has 1x1"},
        {X22 "f w 1,1,1,1 = 1\nConv x,w > y strides=0,1", "strides is 0"},
        {X22 "f w 1,1,1,1 = 1\nConv x,w > y group=0", "0 groups"},
        {X22 "f w 1,1,1,1 = 1\nConv x,w > y dilations=1,2", "dilations are 1 and 2"},
        {X22 "f w 1,1,1,1 = 1\nConv x,w > y auto_pad=SAME", "auto_pad is SAME"},
        {X22 "f w 1,1,1,1 = 1\nConv x,w > y group=1.0", "attribute group is of type 1, expected 2"},
        {X22 "f w 1,1,3,3 = 1 2 3 4 5 6 7 8 9\nConv x,w > y", "is smaller than the 3x3 kernel"},
        {X22 "f w 1,1,1,1 = 1\nf b 2 = 1 2\nConv x,w,b > y", "b: expected [1], found [2]"},
        {X22 "h w 1,1,1,1\nConv x,w > y", "w: float16: not read"},
        {X22 "f w 1,1,1,1 = nan\nConv x,w > y", "weight[0] is not a finite number"},
        {X22 "Conv x,x > y", "input x is no constant"},
        {X22 "f w 2,5 = 1 2 3 4 5 6 7 8 9 0\nFlatten x > a\nGemm a,w > y transB=1",
         "shape of w: it takes 5 values and gives 2, its input has 4"},
        {X22 "f w 1,4 = 1 2 3 4\nFlatten x > a\nGemm a,w > y transA=1 transB=1", "is expected"},
        {X22 "f w 4,1 = 1 2 3 4\nf b 3 = 1 2 3\nFlatten x > a\nGemm a,w,b > y", "found 3"},
        {X22 "f w 2,2 = 1 2 3 4\nMatMul x,w > y", "a row for each picture"},
        {X22 "f k 1,1,2,2 = 1 2 3 4\nAdd x,k > y", "k: a number, or one for each channel"},
        {X22 "f k 1 = 1\nDiv k,x > y", "a constant divided by a tensor"},
        {X22 "Relu x > r\nDiv x,r > y", "of two tensors is not known here"},
        {X22 "f k 1 = 0\nDiv x,k > y", "weight[0] is not a finite number"},
        {"opset 13\n" X22 "Softmax x > y", "a softmax over other axes than the channels"},
        {X22 "f a - = -1\nf b - = 6\nClip x,a,b > y", "to -1 .. 6: only 0 .. 6"},
        {X22 "AveragePool x > y kernel_shape=2,2 pads=2,0,0,0", "pad (as large as the kernel)"},
        {X22 "MaxPool x > y", "kernel_shape is missing"},
        {X22 "i s 2 = 1 5\nReshape x,s > y", "4 elements do not make the new shape"},
        {X22 "i s 2 = -1 -1\nReshape x,s > y", "axis 1 of the new shape is -1"},
        {X22 "i s 3 = 1 0 -2\nReshape x,s > y", "axis 2 of the new shape is -2"},
        {X22 "i s 2 = 4611686018427387904 8\nReshape x,s > y", "overflows"},
        {X22 "Transpose x > y perm=0,1,1,2", "perm is no permutation"},
        {X22 "Squeeze x > y axes=2,", "axis 2 has 2 elements"},
        {X22 "Concat x,x > y axis=2", "over other axes than the channels"},
        {X22 "f s 4 = 1 1 1.5 1\nResize x,_,s > y", "a factor of 1.5"},
        {X22 "f s 4 = 1 1 2 2\nResize x,_,s > y mode=linear", "mode linear"},
        {X22 "f s 4 = 1 1 2 2\nResize x,_,s > y nearest_mode=ceil", "half_pixel with ceil"},
        {X22 "i p 8 = 0 1 0 0 0 0 0 0\nPad x,p > y", "pads[1] is 1, expected 0 to 0"},
        {X22 "i p 8 = 0 0 0 1 0 0 0 0\nPad x,p > y mode=reflect", "only padding with zeros"},
        {X22 "ReduceMean x > y axes=1,2", "height and width"},
        {X222 "ReduceL2 x > y axes=2,3", "a norm of anything but the whole row"},
        {X22 "LpNormalization x > y axis=1", "a norm of anything but the whole row"},
        {X22 "i a 1 = 5\nShape x > s\nGather s,a > y", "index 5 of 4 values"},
        {X22 "f w 1,1,1,1 = 1\nf w 1,1,1,1 = 1\nConv x,w > y", "w is there twice"},
        {X22 "f w 1,1,1,2 = 1\nConv x,w > y", "w: dims do not match the data"},
        {X22 "f w 1,-1 = 1\nRelu x > y", "w: negative dimension -1"},
        {X22 "f w 4294967296,4294967296 = 1\nRelu x > y", "w: its size overflows"},
        {X22 "i w 2 = 1\nRelu x > y", "w: dims do not match the data: 2 integers"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct made m;
        enum err rc = make(&m, CASES[i].text);
        if (rc != ERR_MODEL || !strstr(m.err.message, CASES[i].says))
            fail_msg("%s\n%s: \"%s\", expected \"%s\"", CASES[i].text, err_name(rc), m.err.message,
                     CASES[i].says);
        release(&m);
    }
}

static void names(void **state)
{
    (void)state;
    struct made m;
    assert_int_equal(make(&m,
                          X22 "f stem.weight 1,1,1,1 = 2\nf w 1,1,1,1 = 2\n"
                              "Conv x,stem.weight > a\nConv a,w > b\nConv b,stem.weight > input\n"
                              "Relu input > y"),
                     ERR_OK);
    assert_string_equal(m.graph.ops[0].name, "stem");
    assert_string_equal(m.graph.ops[1].name, "n_b");
    assert_string_equal(m.graph.ops[2].name, "stem_2");
    assert_string_equal(m.graph.ops[3].name, "n_y");
    assert_string_equal(m.graph.outputs[0].name, "y");
    release(&m);
}

/* --- which model --- */

static enum err import_as(char name[64], const char *file_name, const char *text,
                          const struct import_options *o, struct err_info *err)
{
    struct buf file = onnx_text(text);
    char path[256];
    FILE *f = fopen(file_in(path, file_name), "wb");
    assert_int_equal(fwrite(file.data, 1, file.len, f), file.len);
    fclose(f);
    buf_release(&file);
    enum err rc = import_file(name, path, folder, o, err);
    unlink(path);
    return rc;
}

static enum err import_text(char name[64], const char *text, bool licence, struct err_info *err)
{
    const struct import_options o = {.accept_license = licence};
    return import_as(name, "some.onnx", text, &o, err);
}

#define CHIP "in x N,3,112,112\nout v\nf w 2,3,1,1 = 1 2 3 4 5 6\n"

static void embedder(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    char name[64];
    static const char PLAIN[] = CHIP "Conv x,w > c\nGlobalAveragePool c > g\nFlatten g > v",
                      INSIDE[] = CHIP "f a - = 127.5\nf b - = 0.0078125\nSub x,a > p\nMul p,b > q\n"
                                      "Conv q,w > c\nGlobalAveragePool c > g\nSqueeze g > v";
    const struct import_options accepted = {.accept_license = true};
    assert_int_equal(import_text(name, PLAIN, false, &err), ERR_LICENSE);
    assert_non_null(strstr(err.message, "licence is not known"));
    for (int inside = 0; inside < 2; inside++) {
        if (import_as(name, inside ? "inside.onnx" : "plain.onnx", inside ? INSIDE : PLAIN,
                      &accepted, &err) ||
            model_open(&m, folder, name, &err))
            fail_msg("%s", err.message);
        assert_int_equal(m->role, MODEL_EMBEDDER);
        assert_true(m->restricted && !m->input.bgr && m->input.w == 112 && m->input.dim == 2);
        assert_int_equal(m->input.crop, CROP_SIMILARITY);
        assert_true(m->input.points[0][0] == 38.2946f && m->input.points[4][1] == 92.2041f);
        assert_true(m->input.mean[0] == (inside ? 0 : 127.5f));
        assert_true(m->input.scale[2] == (inside ? 1 : 1 / 127.5f));
        assert_int_equal(nn_graph_output(&m->graph, "embedding"), 0);
        model_close(m);
    }
    assert_int_equal(import_text(name, CHIP "Conv x,w > v", true, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "a network that is not known"));
}

/* A network that is not known by a name of its own is called as its file is, and takes no other
 * model's place. */
static void names_of_files(void **state)
{
    (void)state;
    static const char ONE[] = CHIP "Conv x,w > c\nGlobalAveragePool c > g\nFlatten g > v",
                      TWO[] = CHIP "Conv x,w > d\nGlobalAveragePool d > g\nFlatten g > v";
    static const struct {
        const char *file, *name;
    } NAMES[] = {{"w600k_r50.onnx", "w600k_r50"},
                 {"my net (2).v1.onnx", "my-net--2-.v1"},
                 {".-hidden.onnx", "hidden"},
                 {"noending", "noending"},
                 {"...", "model"}};
    struct import_options o = {.accept_license = true};
    struct err_info err = ERR_INFO_INIT;
    char name[64], longest[100];
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (import_as(name, NAMES[i].file, ONE, &o, &err)) fail_msg("%s", err.message);
        assert_string_equal(name, NAMES[i].name);
    }
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    if (import_as(name, longest, ONE, &o, &err)) fail_msg("%s", err.message);
    assert_int_equal(strlen(name), 63);

    assert_int_equal(import_as(name, "w600k_r50.onnx", ONE, &o, &err),
                     ERR_OK); /* again: the same */
    assert_int_equal(import_as(name, "w600k_r50.onnx", TWO, &o, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.message, "w600k_r50 is here already"));
    assert_non_null(strstr(err.message, "--name"));
    o.name = "other";
    assert_int_equal(import_as(name, "w600k_r50.onnx", TWO, &o, &err), ERR_OK);
    assert_string_equal(name, "other");
}

#define OWN                                                                                        \
    "in x N,3,8,8\nout embedding\nf w 2,3,1,1 = 1 2 3 4 5 6\nConv x,w > c\n"                       \
    "GlobalAveragePool c > g\nFlatten g > embedding\nmeta visavis.license MIT\n"
#define OWN_INPUT(side, dim)                                                                       \
    "meta visavis.input {\"width\":" side ",\"height\":" side ",\"channels\":\"bgr\","             \
    "\"mean\":[1,2,3],\"scale\":[1,1,1],\"crop\":\"letterbox\",\"padding\":0.0,"                   \
    "\"average\":\"mirror\",\"dim\":" dim "}\n"
#define OWN_SOURCE "meta visavis.source {\"file\":\"a.pt\",\"sha256\":\"12ab\"}\n"

/* Files that visavis exported: the metadata says what it is, and has to go with the graph. */
static void exported(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    char name[64];
    static const struct {
        const char *text, *says;
    } REFUSED[] = {
        {OWN OWN_INPUT("9", "2"), "the graph takes 8x8, visavis.input says 9x9"},
        {OWN OWN_INPUT("0", "2"), "the graph takes 8x8, visavis.input says 0x0"},
        {OWN OWN_INPUT("8", "3"), "output embedding is 2x1x1, visavis.input says 3 values"},
        {OWN OWN_INPUT("8", "2") "meta visavis.role detector\n", "visavis.role is detector"},
        {OWN OWN_INPUT("8", "2") "meta visavis.source [1]\n", "visavis.source must be"},
        {OWN OWN_INPUT("8", "2") "meta visavis.classes [1]\n", "visavis.classes: 0 is no string"},
        {OWN "meta visavis.input {}\n", "visavis.input: width is missing or wrong"},
        {OWN "meta visavis.input\n", "visavis.input is not a JSON object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
        const enum err rc = import_text(name, REFUSED[i].text, true, &err);
        if (rc != ERR_MODEL || !strstr(err.message, REFUSED[i].says))
            fail_msg("%zu: %s: \"%s\", expected \"%s\"", i, err_name(rc), err.message,
                     REFUSED[i].says);
    }
    assert_int_equal(files_in_folder(), 0);
    /* what a file does not say is not taken for allowed */
    assert_int_equal(import_text(name, OWN OWN_INPUT("8", "2"), false, &err), ERR_LICENSE);
    if (import_text(name, OWN OWN_INPUT("8", "2") OWN_SOURCE "meta visavis.restricted false\n",
                    false, &err) ||
        model_open(&m, folder, name, &err))
        fail_msg("%s", err.message);
    assert_true(m->role == MODEL_EMBEDDER && !m->restricted && m->input.bgr && m->input.w == 8);
    assert_int_equal(m->input.crop, CROP_LETTERBOX);
    assert_string_equal(m->input.average, "mirror");
    assert_string_equal(m->license, "MIT");
    assert_non_null(strstr(m->note, "a.pt, 12ab"));
    model_close(m);
}

static void yunet(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    struct buf text = BUF_INIT(1 << 16);
    char name[64];
    /* A face of 32 x 32 pixels with score 0.98 in each cell of stride 32; tests/fuzz/corpus/onnx/
     * yunet-grid is this file. */
    static const struct {
        const char *name;
        int values;
        bool sigmoid;
        const char *bias;
    } HEADS[] = {{"cls", 1, true, "4"},
                 {"obj", 1, true, "4"},
                 {"bbox", 4, false, "0.5 0.5 0 0"},
                 {"kps", 10, false, "0.3 0.35 0.7 0.35 0.5 0.55 0.35 0.75 0.65 0.75"}};
    assert_int_equal(buf_puts(&text, "in x 1,3,640,640\n", &err), ERR_OK);
    for (int i = 0; i < 12; i++) {
        const int s = 8 << i % 3, v = HEADS[i / 3].values;
        const bool sigmoid = HEADS[i / 3].sigmoid;
        char n[16];
        snprintf(n, sizeof n, "%s_%d", HEADS[i / 3].name, s);
        enum err rc = buf_printf(&text, &err, "out %s\nf %s.w %d,3,1,1 =", n, n, v);
        for (int k = 0; !rc && k < 3 * v; k++) rc = buf_puts(&text, " 0", &err);
        if (!rc)
            rc = buf_printf(&text, &err, "\nf %s.b %d = %s\ni %s.s 3 = 1 -1 %d\n", n, v,
                            sigmoid && s < 32 ? "-4" : HEADS[i / 3].bias, n, v);
        if (!rc)
            rc = buf_printf(&text, &err,
                            "Conv x,%s.w,%s.b > %s.c strides=%d,%d\n"
                            "Transpose %s.c > %s.t perm=0,2,3,1\nReshape %s.t,%s.s > %s%s\n",
                            n, n, n, s, s, n, n, n, n, n, sigmoid ? ".r" : "");
        if (!rc && sigmoid) rc = buf_printf(&text, &err, "Sigmoid %s.r > %s\n", n, n);
        assert_int_equal(rc, ERR_OK);
    }
    if (import_text(name, (const char *)text.data, true, &err) ||
        model_open(&m, folder, name, &err))
        fail_msg("%s", err.message);
    assert_string_equal(name, "yunet");
    assert_int_equal(m->role, MODEL_DETECTOR);
    assert_true(m->input.bgr && m->input.w == 0 && m->input.mean[0] == 0 && m->input.scale[0] == 1);
    assert_int_equal(m->graph.in_h, 0);
    assert_int_equal(m->graph.n_outputs, 12);
    assert_string_equal(m->graph.outputs[2].name, "cls_32");
    struct nn_net *net;
    struct yunet detector;
    if (nn_net_new(&net, &m->graph, NN_REF, NN_F32, &err) ||
        yunet_init(&detector, net, &m->input, &err))
        fail_msg("%s", err.message);
    nn_net_free(net);
    model_close(m);
    buf_release(&text);
}

/* "CONV x,c.weight,c.bias > c" and its initializers, all values the index in steps of 0.01. */
static void add_layer(struct buf *t, const char *op, const char *from, const char *to,
                      const char *dims, int count)
{
    assert_int_equal(buf_printf(t, NULL, "f %s.weight %s =", to, dims), ERR_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(buf_printf(t, NULL, " %.2f", i / 100.0), ERR_OK);
    assert_int_equal(
        buf_printf(t, NULL, "\nf %s.bias 1 = 0\n%s %s,%s.weight,%s.bias > %s%s\nRelu %s > r%s\n",
                   to, op, from, to, to, to, strcmp(op, "Conv") ? " transB=1" : " pads=1,1,1,1", to,
                   to),
        ERR_OK);
}

/* 13 convolutions of 1 channel, but the last, of 2; a dense layer behind a transpose, as Keras
 * counts; fc7. */
static void vgg(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct buf t = BUF_INIT(1 << 16);
    struct model *m = NULL;
    char name[64], from[64] = "q", to[64];
    assert_int_equal(buf_puts(&t,
                              "in x N,224,224,3\nout rfc7\nf a 3 = 10 20 30\nf b 1 = 0.5\n"
                              "Sub x,a > p0\nMul p0,b > p1\nTranspose p1 > q perm=0,3,1,2\n",
                              &err),
                     ERR_OK);
    for (int i = 0; i < 12; i++) {
        snprintf(to, sizeof to, "l%d", i);
        add_layer(&t, "Conv", from, to, i ? "1,1,3,3" : "1,3,3,3", i ? 9 : 27);
        snprintf(from, sizeof from, "rl%d", i);
        if (i != 1 && i != 3 && i != 6 && i != 9) continue;
        assert_int_equal(
            buf_printf(&t, &err, "MaxPool %s > p_%s kernel_shape=2,2 strides=2,2\n", from, to),
            ERR_OK);
        snprintf(from, sizeof from, "p_l%d", i);
    }
    assert_int_equal(buf_printf(&t, &err,
                                "f k.weight 2,1,3,3 = 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9\n"
                                "f k.bias 2 = 0 0\nConv %s,k.weight,k.bias > k pads=1,1,1,1\n"
                                "Relu k > kr\nMaxPool kr > kp kernel_shape=2,2 strides=2,2\n"
                                "Transpose kp > kt perm=0,2,3,1\nFlatten kt > kf\n",
                                from),
                     ERR_OK);
    add_layer(&t, "Gemm", "kf", "fc6", "1,98", 98);
    add_layer(&t, "Gemm", "rfc6", "fc7", "1,1", 1);
    if (import_text(name, (const char *)t.data, true, &err) || model_open(&m, folder, name, &err))
        fail_msg("%s", err.message);
    assert_string_equal(name, "vgg-face");
    assert_true(m->input.mean[0] == 10 && m->input.mean[2] == 30 && m->input.scale[1] == 0.5f);
    assert_true(nn_graph_output(&m->graph, "fc8") < 0 &&
                nn_graph_output(&m->graph, "embedding") == 0);
    const float *w = NULL;
    for (int i = 0; i < m->graph.n_ops; i++)
        if (strcmp(m->graph.ops[i].name, "fc6") == 0) w = m->graph.ops[i].w;
    assert_non_null(w);
    for (int c = 0; c < 2; c++)
        for (int yx = 0; yx < 49; yx++)
            assert_true(fabsf(w[c * 49 + yx] - (float)(2 * yx + c) / 100) < 1e-6f);
    model_close(m);
    buf_release(&t);
}

static void cut_and_flipped(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct buf file = onnx_text(CHIP "i k 4 = 1 1 2 2\nfu u 1 = 2\nMul x,u > a\nConv a,w > c\n"
                                     "GlobalAveragePool c > g\nFlatten g > v");
    for (size_t n = 0; n < file.len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, file.data, n);
        struct import_job job = {
            .data = exact, .len = n, .file = "cut", .options = {.accept_license = true}};
        enum err rc = import_onnx(&job, &err); /* only the opset, which is last, may be missing */
        if (rc != ERR_MODEL && n + 8 < file.len)
            fail_msg("%zu of %zu bytes are taken", n, file.len);
        free(exact);
    }
    for (size_t at = 0; at < file.len; at++) { /* taken or refused; never worse */
        struct import_job job = {.data = file.data,
                                 .len = file.len,
                                 .file = "flipped",
                                 .options = {.accept_license = true}};
        file.data[at] ^= 0x55;
        enum err rc = import_onnx(&job, &err);
        if (rc != ERR_OK && rc != ERR_MODEL) fail_msg("byte %zu: %s", at, err_name(rc));
        file.data[at] ^= 0x55;
    }
    buf_release(&file);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers),
        cmocka_unit_test(arithmetic),
        cmocka_unit_test(shapes),
        cmocka_unit_test(refusals),
        cmocka_unit_test(names),
        WITH_FOLDER(embedder),
        WITH_FOLDER(names_of_files),
        WITH_FOLDER(exported),
        WITH_FOLDER(yunet),
        WITH_FOLDER(vgg),
        cmocka_unit_test(cut_and_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
