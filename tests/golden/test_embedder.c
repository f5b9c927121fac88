/* dlib's ResNet against golden.json: the descriptor of the pattern, of three chips and of 84 faces,
 * before unit length, and the levels between; on each backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/golden.h"

enum { DIM = 128, CHIP_FLOATS = 3 * CHIP_SIDE * CHIP_SIDE };

struct embedder {
    struct golden_net net;
    struct nn_plan *plan;
    int output;
};

static void embedder_open(struct embedder *e, void **state)
{
    struct err_info err = ERR_INFO_INIT;
    golden_net_open(&e->net, "dlib-resnet", *(const enum nn_backend *)*state);
    if (nn_plan_new(&e->plan, e->net.net, 1, CHIP_SIDE, CHIP_SIDE, &err))
        fail_msg("%s", err.message);
    e->output = nn_graph_output(nn_net_graph(e->net.net), "embedding");
    assert_true(e->output >= 0);
}

static void embedder_close(struct embedder *e)
{
    nn_plan_free(e->plan);
    golden_net_close(&e->net);
}

/* Levels that the graph has not: the input (compared by itself), and the first convolution before
 * its affine layer, which the importer folds into it (stem_pool, two steps on, is compared). */
static bool not_an_op(const char *level)
{
    return !strcmp(level, "input") || !strcmp(level, "stem_conv");
}

/* The last op of a graph whose name is name or begins with "name."; -1: none. */
static int level_op(const struct nn_graph *g, const char *name)
{
    int found = -1;
    size_t n = strlen(name);
    for (int i = 0; i < g->n_ops; i++)
        if (!strncmp(g->ops[i].name, name, n) && (!g->ops[i].name[n] || g->ops[i].name[n] == '.'))
            found = i;
    return found;
}

static bool check_levels(const struct embedder *e, const float *in, const json_t *levels,
                         double tol, float *descriptor)
{
    const struct nn_graph *g = nn_net_graph(e->net.net);
    struct nn_shape *shapes = calloc((size_t)g->n_ops, sizeof *shapes);
    float **taps = calloc((size_t)g->n_ops, sizeof *taps), *outs[NN_MAX_OUTPUTS] = {NULL};
    struct err_info err = ERR_INFO_INIT;
    const char *key;
    json_t *stat;
    bool ok = true;

    assert_int_equal(nn_graph_shapes(g, CHIP_SIDE, CHIP_SIDE, shapes, &err), ERR_OK);
    json_object_foreach((json_t *)levels, key, stat)
    {
        int op = level_op(g, key);
        if (!strcmp(key, "input") || !strcmp(key, "stem_conv")) /* its affine is folded into it */
            continue;
        if (op < 0) {
            printf("no op of level %s\n", key);
            ok = false;
        } else if (!taps[op]) {
            taps[op] = calloc((size_t)shapes[op].c * (size_t)shapes[op].h * (size_t)shapes[op].w,
                              sizeof(float));
        }
    }
    outs[e->output] = descriptor;
    if (nn_plan_forward_tapped(e->plan, in, outs, taps, &err)) fail_msg("%s", err.message);
    json_object_foreach((json_t *)levels, key, stat)
    {
        int op = level_op(g, key);
        if (!strcmp(key, "input"))
            ok &= stat_agrees(key, stat, in, CHIP_FLOATS, 1e-5, 1e-9);
        else if (!not_an_op(key) && op >= 0)
            ok &= stat_agrees(key, stat, taps[op],
                              (size_t)shapes[op].c * (size_t)shapes[op].h * (size_t)shapes[op].w,
                              tol, 1e-9);
    }
    for (int i = 0; i < g->n_ops; i++) free(taps[i]);
    free(taps);
    free(shapes);
    return ok;
}

static bool check_descriptor(const char *name, const json_t *want, const float *got)
{
    double worst = largest_difference(want, got);
    if (json_array_size(want) == DIM && worst <= 1e-4) return true;
    printf("%s: a value of the descriptor is off by %.3g\n", name, worst);
    return false;
}

static void test_pattern(void **state)
{
    json_t *g = golden_load();
    const json_t *want = json_object_get(json_object_get(g, "embedder"), "pattern");
    struct embedder e;
    struct image pattern = IMAGE_INIT;
    static float in[CHIP_FLOATS];
    float got[DIM];

    embedder_open(&e, state);
    golden_pattern(&pattern, CHIP_SIDE, CHIP_SIDE);
    embed_input(in, pattern.rgb, &e.net.model->input, false);
    bool ok = check_levels(&e, in, json_object_get(want, "levels"), 1e-5, got);
    ok &= check_descriptor("pattern, tapped", json_object_get(want, "descriptor"), got);
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    outs[e.output] = got;
    nn_plan_forward(e.plan, in, outs);
    ok &= check_descriptor("pattern", json_object_get(want, "descriptor"), got);
    image_release(&pattern);
    embedder_close(&e);
    json_decref(g);
    assert_true(ok);
}

static void test_chips(void **state)
{
    json_t *g = golden_load(), *chip;
    struct embedder e;
    static float in[CHIP_FLOATS];
    bool ok = true;
    size_t i;

    embedder_open(&e, state);
    json_array_foreach(json_object_get(json_object_get(g, "embedder"), "chips"), i, chip)
    {
        struct image im = IMAGE_INIT;
        float got[DIM];
        char path[512];
        snprintf(path, sizeof path, "%s/%s", GOLDENS,
                 json_string_value(json_object_get(chip, "png")));
        assert_true(read_picture(&im, path));
        assert_int_equal(im.w, CHIP_SIDE);
        assert_int_equal(im.h, CHIP_SIDE);
        embed_input(in, im.rgb, &e.net.model->input, false);
        ok &= check_levels(&e, in, json_object_get(chip, "levels"), 1e-4, got);
        ok &= check_descriptor(path, json_object_get(chip, "descriptor"), got);
        image_release(&im);
    }
    assert_int_equal(i, 3);
    embedder_close(&e);
    json_decref(g);
    assert_true(ok);
}

/* From golden points to descriptor: chip, input and network together. */
static void test_faces(void **state)
{
    json_t *g = golden_load(), *picture, *face;
    struct embedder e;
    static float in[CHIP_FLOATS];
    int faces = 0, wrong = 0;
    size_t i, k;

    embedder_open(&e, state);
    json_array_foreach(json_object_get(g, "pictures"), i, picture)
    {
        struct image im = IMAGE_INIT;
        if (!golden_picture(&im, picture)) continue;
        json_array_foreach(json_object_get(picture, "faces"), k, face)
        {
            static uint8_t chip[CHIP_SIDE * CHIP_SIDE * 3];
            struct chip_place place;
            struct err_info err;
            int p5[5][2];
            float got[DIM], *outs[NN_MAX_OUTPUTS] = {NULL};
            char name[256];
            if (!THOROUGH && k > 0) break;
            int_points(p5, json_object_get(face, "p5"));
            assert_int_equal(chip_place_from_points(&place, p5, 0.25, CHIP_SIDE, &err), ERR_OK);
            assert_int_equal(chip_extract(chip, CHIP_SIDE, &im, &place, &err), ERR_OK);
            embed_input(in, chip, &e.net.model->input, false);
            outs[e.output] = got;
            nn_plan_forward(e.plan, in, outs);
            snprintf(name, sizeof name, "%s face %zu",
                     json_string_value(json_object_get(picture, "path")), k);
            wrong += !check_descriptor(name, json_object_get(face, "descriptor"), got);
            faces++;
        }
        image_release(&im);
    }
    embedder_close(&e);
    json_decref(g);
    printf("%d descriptors, %d differ\n", faces, wrong);
    assert_true(faces > 0);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    static enum nn_backend backends[] = {NN_REF, NN_BLAS, NN_FAST};
    const struct CMUnitTest tests[] = {
        {"pattern, plain loops", test_pattern, NULL, NULL, &backends[0]},
        {"pattern, blas", test_pattern, NULL, NULL, &backends[1]},
        {"pattern, onednn", test_pattern, NULL, NULL, &backends[2]},
        {"chips, plain loops", test_chips, NULL, NULL, &backends[0]},
        {"chips, blas", test_chips, NULL, NULL, &backends[1]},
        {"chips, onednn", test_chips, NULL, NULL, &backends[2]},
        {"faces, plain loops", test_faces, NULL, NULL, &backends[0]},
        {"faces, blas", test_faces, NULL, NULL, &backends[1]},
        {"faces, onednn", test_faces, NULL, NULL, &backends[2]},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
