/* Which precision "auto" takes: by the measured error, on a net that bf16 hardly moves and on one
 * that it ruins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/embedder.h"
#include "engine/nn/fast.h"
#include "engine/precision.h"
#include "tests/unit/model_files.h"
#include "tests/unit/nets.h"

enum { SIDE = 16, CHANNELS = 32, DIM = 24 };

/* offset: added to every value before the last layer, whose weights sum to zero. Where it is large
 * beside the values, bf16's 8 bits leave nothing of them, and float32's 24 enough. */
static struct model *make(const char *name, float offset)
{
    struct net_made m;
    struct err_info err = ERR_INFO_INIT;
    struct model *out = NULL;
    const struct model_draft d = {.name = name,
                                  .role = MODEL_EMBEDDER,
                                  .input = {.w = SIDE,
                                            .h = SIDE,
                                            .scale = {1 / 255.0f, 1 / 255.0f, 1 / 255.0f},
                                            .crop = CROP_BOX,
                                            .average = "none",
                                            .dim = DIM},
                                  .graph = &m.g,
                                  .license = "CC0-1.0",
                                  .source_file = name,
                                  .source_sha256 = "0000000000000000000000000000000000000000000000"
                                                   "000000000000000000"};
    nets_start(&m, 5, 3, SIDE, SIDE);
    const int conv = nets_op(&m, NN_RELU, nets_conv(&m, -1, 3, CHANNELS, 3, 1, 1));
    const int fc = nets_dense(&m, conv, CHANNELS * SIDE * SIDE, DIM, false);
    nets_output(&m, "embedding", fc);
    for (int i = 0; i < CHANNELS; i++) m.blocks[1][i] += offset;
    const size_t each = CHANNELS * SIDE * SIDE;
    for (int o = 0; o < DIM; o++) {
        double mean = 0;
        for (size_t i = 0; i < each; i++) mean += (double)m.blocks[2][o * each + i] / (double)each;
        for (size_t i = 0; i < each; i++) m.blocks[2][o * each + i] -= (float)mean;
    }
    if (model_write(folder, &d, &err) || model_open(&out, folder, name, &err))
        fail_msg("%s: %s", name, err.message);
    nets_release(&m);
    return out;
}

static enum nn_precision ask(double *error, const struct model *m, enum nn_backend backend,
                             enum nn_precision wanted)
{
    const struct precision_ask a = {.model = m,
                                    .input = &m->input,
                                    .output = 0,
                                    .backend = backend,
                                    .wanted = wanted,
                                    .threads = 1};
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net;
    if (precision_net(&net, error, &a, &err)) fail_msg("%s", err.message);
    const enum nn_precision got = nn_net_precision(net);
    nn_net_free(net);
    return got;
}

static void auto_goes_by_the_error(void **state)
{
    (void)state;
    struct model *tame = make("tame", 0), *fragile = make("fragile", 1000);
    double error, again;

    assert_int_equal(ask(&error, tame, NN_FAST, NN_F32), NN_F32);
    assert_true(isnan(error)); /* nothing to measure */
    assert_int_equal(ask(&error, tame, NN_BLAS, NN_AUTO), NN_F32);
    assert_true(isnan(error)); /* no such backend */
    if (nn__onednn_has_bf16()) {
        assert_int_equal(ask(&error, tame, NN_FAST, NN_AUTO), NN_BF16);
        assert_true(error > 0 && error <= PRECISION_BOUND);
        assert_int_equal(ask(&again, tame, NN_FAST, NN_AUTO), NN_BF16);
        assert_true(again == error); /* the same every time */
        assert_int_equal(ask(&error, fragile, NN_FAST, NN_AUTO), NN_F32);
        assert_true(error > 100 * PRECISION_BOUND);
        assert_int_equal(ask(&again, fragile, NN_FAST, NN_BF16), NN_BF16); /* asked for by name */
        assert_true(again == error);
    } else {
        printf("no bf16 instructions here: auto is f32\n");
        assert_int_equal(ask(&error, tame, NN_FAST, NN_AUTO), NN_F32);
        assert_true(isnan(error));
    }
    model_close(tame);
    model_close(fragile);
}

static void recipe(char out[65], const char *name, enum nn_precision wanted)
{
    const struct embedder_options o = {.models_dir = folder,
                                       .name = name,
                                       .backend = NN_FAST,
                                       .precision = wanted,
                                       .threads = 1,
                                       .detection = ""};
    struct err_info err = ERR_INFO_INIT;
    struct embedder e;
    if (embedder_open(&e, &o, &err)) fail_msg("%s", err.message);
    snprintf(out, 65, "%s", e.recipe);
    embedder_close(&e);
}

/* Within the bound bf16 is rounding; past it, and asked for by name, it has a recipe of its own. */
static void recipes_tell_ruined_embeddings(void **state)
{
    (void)state;
    char f32[65], automatic[65], bf16[65];
    model_close(make("tame", 0));
    model_close(make("fragile", 1000));
    recipe(f32, "tame", NN_F32);
    recipe(bf16, "tame", NN_BF16);
    assert_string_equal(f32, bf16);
    recipe(f32, "fragile", NN_F32);
    recipe(automatic, "fragile", NN_AUTO);
    recipe(bf16, "fragile", NN_BF16);
    assert_string_equal(f32, automatic);
    if (nn__onednn_has_bf16())
        assert_string_not_equal(f32, bf16);
    else
        assert_string_equal(f32, bf16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(auto_goes_by_the_error),
                                       cmocka_unit_test(recipes_tell_ruined_embeddings)};
    return cmocka_run_group_tests(tests, folder_new, folder_delete);
}
