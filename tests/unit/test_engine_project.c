/* A model that wraps another with a matrix: its network gives the matrix times what the base gives,
 * and the rest of the file is the base's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/engine.h"
#include "engine/model/model.h"
#include "engine/nn/nn.h"
#include "tests/unit/model_files.h"

enum { SIDE = 2, IN = 3 * SIDE * SIDE, D = 6, CLASSES = 4, DIM = 3 };

static float first[D * IN], bias[D], classes[CLASSES * D], w[DIM * D];

static void fill(float *v, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) v[i] = (float)sin((double)(i + 1) * (seed + 1.7));
}

/* 3 x 2 x 2 -> dense (the descriptor) -> relu -> dense (a classifier). */
static void write_base(const char *name, enum model_role role)
{
    struct nn_graph g = {.in_c = 3, .in_h = SIDE, .in_w = SIDE, .n_outputs = 2};
    struct nn_op ops[3];
    struct err_info err = ERR_INFO_INIT;
    fill(first, ARRAY_LEN(first), 1);
    fill(bias, ARRAY_LEN(bias), 2);
    fill(classes, ARRAY_LEN(classes), 3);
    fill(w, ARRAY_LEN(w), 4);
    nn_op_init(&ops[0], NN_DENSE, "fc7");
    ops[0].out = D;
    ops[0].w = first;
    ops[0].b = bias;
    ops[0].w_count = ARRAY_LEN(first);
    ops[0].b_count = ARRAY_LEN(bias);
    nn_op_init(&ops[1], NN_RELU, "relu7");
    nn_op_init(&ops[2], NN_DENSE, "fc8");
    ops[2].out = CLASSES;
    ops[2].w = classes;
    ops[2].w_count = ARRAY_LEN(classes);
    for (int i = 0; i < 3; i++) {
        ops[i].n_in = 1;
        ops[i].in[0] = i - 1;
        assert_int_equal(nn_graph_add(&g, &ops[i]), i);
    }
    g.outputs[0] = (struct nn_output){"fc7-linear", 0};
    g.outputs[1] = (struct nn_output){"fc8", 2};
    const struct model_draft d = {
        .name = name,
        .role = role,
        .input = {.w = SIDE,
                  .h = SIDE,
                  .scale = {1, 1, 1},
                  .crop = CROP_BOX,
                  .average = "mirror",
                  .output = "fc7-linear",
                  .dim = D},
        .graph = &g,
        .license = "CC BY-NC 4.0",
        .restricted = true,
        .source_file = "source.bin",
        .source_sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        .calibration = "{}"};
    if (model_write(folder, &d, &err)) fail_msg("%s", err.message);
    nn_graph_release(&g);
}

static void output(float *out, const struct model *m, const char *name, const float *x)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net;
    struct nn_plan *plan;
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    const int at = nn_graph_output(&m->graph, name);
    assert_true(at >= 0);
    outs[at] = out;
    assert_int_equal(nn_net_new(&net, &m->graph, NN_REF, NN_F32, &err), ERR_OK);
    assert_int_equal(nn_plan_new(&plan, net, 1, SIDE, SIDE, &err), ERR_OK);
    nn_plan_forward(plan, x, outs);
    nn_plan_free(plan);
    nn_net_free(net);
}

static struct model *opened(const char *name)
{
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    if (model_open(&m, folder, name, &err)) fail_msg("%s", err.message);
    return m;
}

/* from's embedding, and to's, which is `matrix` times it. */
static void check_product(const char *from, const char *from_output, const char *to,
                          const float *matrix, int d, int dim)
{
    float x[IN], base[D], got[D];
    struct model *m = opened(from), *n = opened(to);
    fill(x, IN, 9);
    output(base, m, from_output, x);
    output(got, n, "embedding", x);
    for (int k = 0; k < dim; k++) {
        double want = 0;
        for (int i = 0; i < d; i++) want += (double)matrix[k * d + i] * (double)base[i];
        if (!(fabs(want - (double)got[k]) < 1e-5))
            fail_msg("%d: %g, not %g", k, (double)got[k], want);
    }
    model_close(m);
    model_close(n);
}

static void wraps(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct model_projection p = {"base", "new", w, D, DIM, "a note", "{\"seed\":1}"};
    (void)state;
    write_base("base", MODEL_EMBEDDER);
    if (engine_model_project(folder, &p, &err)) fail_msg("%s", err.message);
    check_product("base", "fc7-linear", "new", w, D, DIM);
    struct model *m = opened("new");
    assert_int_equal(m->input.dim, DIM);
    assert_int_equal(m->graph.n_ops, 2); /* the classifier stays behind */
    assert_int_equal(m->input.crop, CROP_BOX);
    assert_string_equal(m->input.average, "mirror");
    assert_string_equal(m->license, "CC BY-NC 4.0");
    assert_true(m->restricted);
    assert_string_equal(m->source_file, "source.bin");
    assert_string_equal(m->note, "a note");
    assert_string_equal(m->training, "{\"seed\":1}");
    assert_null(m->calibration); /* the base's says nothing of it */
    model_close(m);
    /* a projection of the projection */
    p = (struct model_projection){"new", "again", w, DIM, 2, "", "{}"};
    if (engine_model_project(folder, &p, &err)) fail_msg("%s", err.message);
    check_product("new", "embedding", "again", w, DIM, 2);
}

static void refuses(void **state)
{
    static const struct {
        struct model_projection p;
        enum err want;
        const char *says;
    } CASES[] = {
        {{"base", "base", w, D, DIM, "", "{}"}, ERR_CONFLICT, "already"},
        {{"base", "x", w, D + 1, DIM, "", "{}"}, ERR_INVALID, "has 6"},
        {{"base", "x", w, D, 0, "", "{}"}, ERR_INVALID, "to 0"},
        {{"detector", "x", w, D, DIM, "", "{}"}, ERR_INVALID, "not an embedder"},
        {{"none", "x", w, D, DIM, "", "{}"}, ERR_NOT_FOUND, "none"},
        {{"base", "../x", w, D, DIM, "", "{}"}, ERR_INVALID, ""},
    };
    (void)state;
    write_base("base", MODEL_EMBEDDER);
    write_base("detector", MODEL_DETECTOR);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        const enum err rc = engine_model_project(folder, &CASES[i].p, &err);
        if (rc != CASES[i].want || !strstr(err.message, CASES[i].says))
            fail_msg("case %zu: %d %s", i, (int)rc, err.message);
    }
    assert_int_equal(files_in_folder(), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wraps, folder_new, folder_delete),
        cmocka_unit_test_setup_teardown(refuses, folder_new, folder_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
