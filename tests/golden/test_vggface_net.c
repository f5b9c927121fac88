/* VGG-Face's numbers: the mini network, imported, on every backend, with every preprocessing,
 * against the float64 outputs of ../shared/goldens/vggface-mini/golden.json: descriptors and each
 * layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/model/import/import.h"
#include "engine/model/model.h"
#include "engine/nn/fast.h"
#include "tests/golden/golden.h"
#include "tests/unit/model_files.h"

#define MINI "../shared/goldens/vggface-mini/"

enum { SIDE = 224, PIXELS = SIDE * SIDE, OPS_MAX = 64 };

/* Engines agree to 4e-6 of a vector's largest value, the smallest mistake moves it by 6e-4. */
static const double TOLERANCE = 2e-5;

/* Which file stands for a row of golden.json: the planes' order is the file's own, or what deepface
 * takes it for. */
static const struct {
    const char *preproc, *order, *file, *preset;
} WAYS[] = {
    {"caffe", "bgr", "caffe-v2.caffemodel", "caffe"},
    {"matconvnet", "rgb", "matconvnet.mat", "matconvnet"},
    {"deepface_base", "rgb", "keras-sefiks.h5", "deepface-base+rgb"},
    {"deepface_base", "bgr", "keras-sefiks.h5", "deepface-base+bgr"},
};

static void picture(uint8_t *rgb, const char *input)
{
    if (strcmp(input, "ajb") == 0) {
        struct buf b = test_read(MINI "ajb.rgb");
        assert_int_equal(b.len, 3 * PIXELS);
        memcpy(rgb, b.data, b.len);
        buf_release(&b);
        return;
    }
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++)
                rgb[3 * (y * SIDE + x) + c] =
                    (uint8_t)((x * 7 + y * 13 + c * 29 + x * y % 17 * 5) % 256);
}

static struct model *import_and_open(const char *file)
{
    const struct import_options o = {.accept_license = true, .name = "vgg"};
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    char path[256], name[64];
    snprintf(path, sizeof path, MINI "%s", file);
    if (import_file(name, path, folder, &o, &err) || model_open(&m, folder, name, &err))
        fail_msg("%s", err.message);
    return m;
}

static int compare(const char *what, const json_t *want, const float *got)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < json_array_size(want); i++) {
        double w = json_number_value(json_array_get(want, i));
        largest = fmax(largest, fabs(w));
        worst = fmax(worst, fabs(w - (double)got[i]));
    }
    if (worst <= TOLERANCE * largest) return 0;
    print_error("%s: off by %.3g of %.3g\n", what, worst, largest);
    return 1;
}

/* In bf16: the cosine to the golden descriptor; the bound of the mini net, whose sums are short. */
static const double BF16_COSINE = 0.9995;

static int compare_direction(const char *what, const json_t *want, const float *got)
{
    double dot = 0, a = 0, b = 0;
    for (size_t i = 0; i < json_array_size(want); i++) {
        const double w = json_number_value(json_array_get(want, i)), g = (double)got[i];
        dot += w * g, a += w * w, b += g * g;
    }
    const double cosine = dot / sqrt(a * b);
    if (cosine >= BF16_COSINE) return 0;
    print_error("%s: cosine %.6f\n", what, cosine);
    return 1;
}

static int run_row(const json_t *row, const struct model *m, const char *preset,
                   enum nn_backend backend, enum nn_precision precision)
{
    static float in[3 * PIXELS];
    static uint8_t rgb[3 * PIXELS];
    static const struct {
        const char *key, *output;
    } OUT[] = {{"fc7", "embedding"}, {"pool5_avg", "pool5_average"}, {"fc8", "fc8"}};
    struct model_input input = m->input;
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net;
    struct nn_exec *x;
    float out[ARRAY_LEN(OUT)][512], *outs[NN_MAX_OUTPUTS] = {NULL};
    int failed = 0;

    picture(rgb, json_string_value(json_object_get(row, "input")));
    assert_int_equal(model_preset(&input, preset, &err), ERR_OK);
    embed_input(in, rgb, &input, false);
    assert_int_equal(nn_net_new(&net, &m->graph, backend, precision, &err), ERR_OK);
    assert_int_equal(nn_net_precision(net), precision);
    assert_int_equal(nn_exec_new(&x, 1, 0, &err), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(OUT); i++) {
        int o = nn_graph_output(&m->graph, OUT[i].output);
        assert_true(o >= 0);
        outs[o] = out[i];
    }
    assert_int_equal(nn_exec_run(x, net, 1, SIDE, SIDE, in, outs, &err), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(OUT); i++) {
        char what[160];
        snprintf(what, sizeof what, "%s %s, %s, %s: %s", nn_backend_name(backend),
                 nn_precision_name(precision), preset,
                 json_string_value(json_object_get(row, "input")), OUT[i].key);
        failed += (precision == NN_F32 ? compare : compare_direction)(
            what, json_object_get(row, OUT[i].key), out[i]);
    }
    nn_exec_free(x);
    nn_net_free(net);
    return failed;
}

static json_t *load(void)
{
    if (!test_have_shared()) skip();
    json_t *g = json_load_file(MINI "golden.json", 0, NULL);
    assert_non_null(g);
    return g;
}

/* Every input and every way to feed it. Returns how many were wrong. */
static int each_row(int *compared, enum nn_backend first, enum nn_precision precision)
{
    json_auto_t *g = load();
    int failed = 0;
    *compared = 0;
    for (size_t w = 0; w < ARRAY_LEN(WAYS); w++) {
        struct model *m = import_and_open(WAYS[w].file);
        size_t i;
        json_t *row;
        json_array_foreach(json_object_get(g, "results"), i, row)
        {
            if (strcmp(json_string_value(json_object_get(row, "preproc")), WAYS[w].preproc) != 0 ||
                strcmp(json_string_value(json_object_get(row, "file_order")), WAYS[w].order) != 0)
                continue;
            for (int b = (int)first; b < NN_BACKEND_COUNT; b++, ++*compared)
                failed += run_row(row, m, WAYS[w].preset, (enum nn_backend)b, precision);
        }
        model_close(m);
        folder_walk(1);
    }
    printf("%d times three descriptors compared\n", *compared);
    return failed;
}

static void descriptors(void **state)
{
    int compared;
    (void)state;
    assert_int_equal(each_row(&compared, THOROUGH ? NN_REF : NN_FAST, NN_F32), 0);
    assert_true(compared >= 8);
}

static void descriptors_in_bf16(void **state)
{
    int compared;
    (void)state;
    if (!nn__onednn_has_bf16()) {
        printf("SKIPPED: this CPU has no bf16 instructions\n");
        skip();
    }
    assert_int_equal(each_row(&compared, NN_FAST, NN_BF16), 0);
    assert_true(compared >= 8);
}

/* Sum, L2 and the first four values of each layer after its ReLU, and of each pool. */
static int compare_layer(const json_t *layer, const struct nn_graph *g, float *const *taps,
                         const struct nn_shape *shapes)
{
    const char *name = json_string_value(json_object_get(layer, "name"));
    char relu[NN_NAME_BYTES];
    double sum = 0, squares = 0, l2 = json_number_value(json_object_get(layer, "l2"));
    int op = -1;
    snprintf(relu, sizeof relu, "relu%s", name + (strncmp(name, "conv", 4) == 0 ? 4 : 2));
    for (int i = 0; i < g->n_ops; i++)
        if (strcmp(g->ops[i].name, strncmp(name, "pool", 4) && strcmp(name, "fc8") ? relu : name) ==
            0)
            op = i;
    if (op < 0) return 0; /* prob: not an op of ours */
    size_t n = (size_t)shapes[op].c * (size_t)shapes[op].h * (size_t)shapes[op].w;
    for (size_t i = 0; i < n; i++) {
        sum += (double)taps[op][i];
        squares += (double)taps[op][i] * (double)taps[op][i];
    }
    bool ok = fabs(sqrt(squares) - l2) <= TOLERANCE * l2 &&
              fabs(sum - json_number_value(json_object_get(layer, "sum"))) <=
                  TOLERANCE * l2 * sqrt((double)n);
    for (size_t i = 0; i < 4; i++)
        ok &= fabs((double)taps[op][i] -
                   json_number_value(json_array_get(json_object_get(layer, "first"), i))) <=
              TOLERANCE * l2;
    if (!ok) print_error("%s: sum %.9g, L2 %.9g\n", name, sum, sqrt(squares));
    return !ok;
}

static void layers(void **state)
{
    (void)state;
    static float in[3 * PIXELS];
    static uint8_t rgb[3 * PIXELS];
    json_auto_t *golden = load();
    struct model *m = import_and_open("matconvnet.mat");
    const struct nn_graph *g = &m->graph;
    struct nn_shape shapes[OPS_MAX];
    float *taps[OPS_MAX], *outs[NN_MAX_OUTPUTS] = {NULL};
    struct err_info err = ERR_INFO_INIT;
    int failed = 0;
    size_t i, k;
    json_t *set, *layer;

    assert_true(g->n_ops <= OPS_MAX);
    assert_int_equal(nn_graph_shapes(g, SIDE, SIDE, shapes, &err), ERR_OK);
    for (int o = 0; o < g->n_ops; o++)
        taps[o] =
            calloc((size_t)shapes[o].c * (size_t)shapes[o].h * (size_t)shapes[o].w, sizeof(float));
    json_array_foreach(json_object_get(golden, "layers"), i, set)
    {
        const char *feed = json_string_value(json_object_get(set, "feed"));
        struct model_input input = m->input;
        struct nn_net *net;
        struct nn_plan *plan;
        if (strcmp(feed, "base_bgr") == 0) continue; /* planes exchanged: the descriptors have it */
        picture(rgb, json_string_value(json_object_get(set, "input")));
        assert_int_equal(
            model_preset(&input, strcmp(feed, "mean_rgb") ? "deepface-base" : "matconvnet", &err),
            ERR_OK);
        embed_input(in, rgb, &input, false);
        assert_int_equal(nn_net_new(&net, g, NN_FAST, NN_F32, &err), ERR_OK);
        assert_int_equal(nn_plan_new(&plan, net, 1, SIDE, SIDE, &err), ERR_OK);
        assert_int_equal(nn_plan_forward_tapped(plan, in, outs, taps, &err), ERR_OK);
        json_array_foreach(json_object_get(set, "layers"), k, layer) failed +=
            compare_layer(layer, g, taps, shapes);
        nn_plan_free(plan);
        nn_net_free(net);
    }
    for (int o = 0; o < g->n_ops; o++) free(taps[o]);
    model_close(m);
    folder_walk(1);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(descriptors),
                                       cmocka_unit_test(descriptors_in_bf16),
                                       cmocka_unit_test(layers)};
    return cmocka_run_group_tests(tests, folder_new, folder_delete);
}
