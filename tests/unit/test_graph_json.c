/* Graphs as JSON: every kind of op comes back as it went; every wrong text is refused, naming the
 * op. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/model/model_internal.h"
#include "tests/support.h"

enum { WEIGHTS = 4096 };
static float weights[WEIGHTS];

/* Any tensor is there but "missing.weight". */
static const float *any(void *self, const char *tensor, const size_t *dims, int ndim,
                        struct err_info *err)
{
    size_t n = 1;
    (void)self;
    for (int i = 0; i < ndim; i++) n *= dims[i];
    if (n <= WEIGHTS && strcmp(tensor, "missing.weight") != 0) return weights;
    err_set(err, ERR_MODEL, "tensor %s is missing", tensor);
    return NULL;
}
static const struct weight_source SOURCE = {any, NULL};

static void every_op(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct buf file = test_read("tests/fuzz/corpus/graph_json/every-op");
    struct nn_graph g, again;
    char *text = NULL, *text2 = NULL;
    bool seen[NN_KIND_COUNT] = {false};

    assert_int_equal(model__graph_from_json(&g, (const char *)file.data, file.len, &SOURCE, &err),
                     ERR_OK);
    for (int i = 0; i < g.n_ops; i++) seen[g.ops[i].kind] = true;
    for (int k = 0; k < NN_KIND_COUNT; k++)
        if (!seen[k]) fail_msg("the file has no %s", nn_kind_name((enum nn_kind)k));
    assert_int_equal(model__graph_to_json(&text, &g, &err), ERR_OK);
    assert_int_equal(model__graph_from_json(&again, text, strlen(text), &SOURCE, &err), ERR_OK);
    assert_int_equal(model__graph_to_json(&text2, &again, &err), ERR_OK);
    assert_string_equal(text, text2);
    assert_int_equal(again.n_ops, g.n_ops);
    for (int i = 0; i < g.n_ops; i++)
        assert_memory_equal(&g.ops[i], &again.ops[i], sizeof g.ops[i]);
    assert_int_equal(g.n_outputs, 2);
    assert_string_equal(g.outputs[0].name, "embedding");
    assert_string_equal(g.ops[g.outputs[1].op].name, "x");
    free(text);
    free(text2);
    nn_graph_release(&g);
    nn_graph_release(&again);
    buf_release(&file);
}

#define HEAD "{\"input\":[2,4,4],\"ops\":["
#define TAIL "],\"outputs\":[{\"name\":\"y\",\"op\":\"a\"}]}"
#define RELU "{\"name\":\"a\",\"op\":\"relu\",\"in\":[\"input\"]}"
#define DENSE(out, weight, bias)                                                                   \
    "{\"name\":\"a\",\"op\":\"dense\",\"in\":[\"input\"],\"out\":" out ",\"weight\":" weight       \
    ",\"bias\":" bias "}"
#define CONV(name, k, weight)                                                                      \
    "{\"name\":\"" name "\",\"op\":\"conv2d\",\"in\":[\"input\"],\"out\":1,\"kernel\":" k          \
    ",\"stride\":[1,1],\"pad\":[0,0,0,0],\"groups\":1,\"dilation\":1,\"weight\":" weight           \
    ",\"bias\":false}"

static const struct {
    const char *name, *text, *says; /* says NULL: accepted */
} CASES[] = {
    {"good", HEAD RELU TAIL, NULL},
    {"good dense", HEAD DENSE("3", "[3,32]", "true") TAIL, NULL},
    {"good conv", HEAD CONV("a", "[3,3]", "[1,2,3,3]") TAIL, NULL},
    {"no JSON", HEAD RELU, "not JSON"},
    {"not an object", "[]", "input, ops and outputs"},
    {"another key",
     "{\"x\":1,\"input\":[2,4,4],\"ops\":[" RELU "],\"outputs\":[{\"name\":\"y\",\"op\":\"a\"}]}",
     "input, ops and outputs"},
    {"twice the same key", "{\"input\":[2,4,4],\"input\":[2,4,4],\"ops\":[" RELU TAIL, "not JSON"},
    {"input of two", "{\"input\":[2,4],\"ops\":[" RELU TAIL, "input must be"},
    {"input of words", "{\"input\":[2,4,\"4\"],\"ops\":[" RELU TAIL, "input must be"},
    {"input too big", "{\"input\":[2,40000,4],\"ops\":[" RELU TAIL, "the input is"},
    {"no ops", HEAD TAIL, "ops must be"},
    {"op is a number", HEAD "1" TAIL, "op 0: name"},
    {"op without a name", HEAD "{\"op\":\"relu\",\"in\":[\"input\"]}" TAIL, "op 0: name"},
    {"op of an empty name", HEAD "{\"name\":\"\",\"op\":\"relu\",\"in\":[\"input\"]}" TAIL,
     "op 0: name"},
    {"op called input", HEAD "{\"name\":\"input\",\"op\":\"relu\",\"in\":[\"input\"]}" TAIL,
     "op 0: name"},
    {"name of 64 bytes",
     HEAD "{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\",\"op\":"
          "\"relu\",\"in\":[\"input\"]}" TAIL,
     "op 0: name"},
    {"two of one name", HEAD RELU "," RELU TAIL, "a: there twice"},
    {"unknown op", HEAD "{\"name\":\"a\",\"op\":\"gelu\",\"in\":[\"input\"]}" TAIL,
     "a: unknown op gelu"},
    {"no op", HEAD "{\"name\":\"a\",\"in\":[\"input\"]}" TAIL, "a: unknown op"},
    {"no in", HEAD "{\"name\":\"a\",\"op\":\"relu\"}" TAIL, "a: in must be"},
    {"in is empty", HEAD "{\"name\":\"a\",\"op\":\"relu\",\"in\":[]}" TAIL, "a: in must be"},
    {"in is a number", HEAD "{\"name\":\"a\",\"op\":\"relu\",\"in\":[-1]}" TAIL, "a: in[0]"},
    {"in is later",
     HEAD "{\"name\":\"a\",\"op\":\"relu\",\"in\":[\"b\"]},{\"name\":\"b\",\"op\":\"relu\",\"in\":["
          "\"a\"]}" TAIL,
     "a: its input b"},
    {"in is itself", HEAD "{\"name\":\"a\",\"op\":\"relu\",\"in\":[\"a\"]}" TAIL, "a: its input a"},
    {"unknown key of an op",
     HEAD "{\"name\":\"a\",\"op\":\"relu\",\"in\":[\"input\"],\"alpha\":1}" TAIL,
     "a (relu): 4 keys"},
    {"missing attribute", HEAD "{\"name\":\"a\",\"op\":\"leaky_relu\",\"in\":[\"input\"]}" TAIL,
     "alpha is missing"},
    {"attribute of a wrong type",
     HEAD "{\"name\":\"a\",\"op\":\"leaky_relu\",\"in\":[\"input\"],\"alpha\":\"1\"}" TAIL,
     "alpha is of the wrong type"},
    {"kernel of one number", HEAD CONV("a", "[3]", "[1,2,3,3]") TAIL,
     "kernel is of the wrong type"},
    {"kernel beyond an int", HEAD CONV("a", "[3,4294967299]", "[1,2,3,3]") TAIL,
     "kernel is of the wrong type"},
    {"kernel too big", HEAD CONV("a", "[5,5]", "[1,2,5,5]") TAIL, "a (conv2d)"},
    {"negative kernel", HEAD CONV("a", "[-3,-3]", "[1,2,3,3]") TAIL, "a: the weight's shape"},
    {"weight of another kernel", HEAD CONV("a", "[3,3]", "[1,2,3,2]") TAIL,
     "a: the weight's shape"},
    {"weight of other channels", HEAD CONV("a", "[3,3]", "[1,3,3,3]") TAIL, "a (conv2d)"},
    {"weight of other values", HEAD DENSE("3", "[3,31]", "true") TAIL, "a (dense)"},
    {"weight of other outputs", HEAD DENSE("3", "[2,32]", "true") TAIL, "a: the weight's shape"},
    {"weight is missing", HEAD "{\"name\":\"a\",\"op\":\"prelu\",\"in\":[\"input\"]}" TAIL,
     "a: the weight's shape"},
    {"weight of zero",
     HEAD "{\"name\":\"a\",\"op\":\"prelu\",\"in\":[\"input\"],\"weight\":[0]}" TAIL,
     "a: weight[0]"},
    {"weight that overflows", HEAD DENSE("3", "[4294967296,4294967296]", "true") TAIL, "a: weight"},
    {"weight of a relu",
     HEAD "{\"name\":\"a\",\"op\":\"relu\",\"in\":[\"input\"],\"weight\":[2]}" TAIL,
     "a (relu): 4 keys"},
    {"tensor is missing", HEAD CONV("missing", "[3,3]", "[1,2,3,3]") TAIL,
     "tensor missing.weight is missing"},
    {"bias is a number", HEAD DENSE("3", "[3,32]", "1") TAIL, "a: bias"},
    {"no outputs", HEAD RELU "],\"outputs\":[]}", "outputs must be"},
    {"output of no op", HEAD RELU "],\"outputs\":[{\"name\":\"y\",\"op\":\"b\"}]}",
     "output y: there is no op b"},
    {"output is the input", HEAD RELU "],\"outputs\":[{\"name\":\"y\",\"op\":\"input\"}]}",
     "output y: there is no op input"},
    {"output with another key", HEAD RELU "],\"outputs\":[{\"name\":\"y\",\"op\":\"a\",\"x\":1}]}",
     "outputs[0]"},
    {"add of different shapes",
     HEAD CONV("b", "[3,3]",
               "[1,2,3,3]") ",{\"name\":\"a\",\"op\":\"add\",\"in\":[\"b\",\"input\"]}" TAIL,
     "a (add)"},
};

static void texts(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct nn_graph g = {0};
        enum err rc =
            model__graph_from_json(&g, CASES[i].text, strlen(CASES[i].text), &SOURCE, &err);
        bool ok =
            CASES[i].says ? rc == ERR_MODEL && strstr(err.message, CASES[i].says) : rc == ERR_OK;
        if (!ok) print_error("%s: %s, \"%s\"\n", CASES[i].name, err_name(rc), err.message);
        failed += !ok;
        nn_graph_release(&g);
    }
    assert_int_equal(failed, 0);
}

static void cut_short(void **state)
{
    (void)state;
    struct buf file = test_read("tests/fuzz/corpus/graph_json/every-op");
    assert_true(file.len > 0);
    for (size_t n = 0; n < file.len; n++) {
        struct nn_graph g;
        if (model__graph_from_json(&g, (const char *)file.data, n, &SOURCE, NULL) != ERR_MODEL)
            fail_msg("%zu of %zu bytes are taken", n, file.len);
    }
    buf_release(&file);
}

static void name_of_input(void **state)
{
    (void)state;
    struct nn_graph g = {.in_c = 1, .in_h = 2, .in_w = 2, .n_outputs = 1};
    struct err_info err = ERR_INFO_INIT;
    struct nn_op op;
    char *text = NULL;
    nn_op_init(&op, NN_RELU, "input");
    op.n_in = 1;
    strcpy(g.outputs[0].name, "y");
    assert_int_equal(nn_graph_add(&g, &op), 0);
    assert_int_equal(model__graph_to_json(&text, &g, &err),
                     ERR_MODEL); /* it could not be read back */
    nn_graph_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op),
        cmocka_unit_test(texts),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(name_of_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
