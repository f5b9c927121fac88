/* VGG-Face in every format: each file of ../shared/goldens/vggface-mini gives the weights of its
 * truth, bit for bit, and each malformed one is refused in words. T=REGEX of the environment
 * variable VISAVIS_FILES picks files by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "engine/base/mem.h"
#include "engine/model/import/import.h"
#include "engine/model/model.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

#define MINI "../shared/goldens/vggface-mini/"

enum { CONVS = 13, LAYERS = 16, PLANES = 3 };

static const char *const LAYER[LAYERS] = {
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1",
    "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6",     "fc7",     "fc8"};

/* Planes of conv1_1 as the file has them. */
enum order { RGB, BGR };
static const struct {
    const char *file;
    int layers;
    enum order order;
} FILES[] = {
    {"keras-sefiks.h5", 16, RGB},
    {"keras-rcmalli.h5", 16, BGR},
    {"keras-rcmalli-notop.h5", 13, BGR},
    {"caffe-v1.caffemodel", 16, BGR},
    {"caffe-v2.caffemodel", 16, BGR},
    {"matconvnet.mat", 16, RGB},
    {"matconvnet-raw.mat", 16, RGB},
    {"torch7.t7", 16, BGR},
    {"vgg_face_dag.pth", 16, RGB},
    {"vgg_face_dag-legacy.pth", 16, RGB},
    {"vggface-mini.onnx", 16, RGB},
    {"variants/caffe-double.caffemodel", 16, BGR},
    {"variants/caffe-unpacked.caffemodel", 16, BGR},
    {"variants/cuda.t7", 16, BGR},
    {"variants/double.t7", 16, BGR},
    {"variants/flat-storage.t7", 16, BGR},
    {"variants/deepface-nhwc.onnx", 15, RGB},
    {"variants/view-opset9.onnx", 16, RGB},
    {"variants/deepface-torch.pth", 16, RGB},
    {"variants/extra-members.pth", 16, RGB},
    {"variants/views.pth", 16, RGB},
    {"variants/views-legacy.pth", 16, RGB},
    {"variants/keras-fullmodel.h5", 16, RGB},
    {"variants/keras-sefiks-numbers.h5", 16, RGB},
    {"variants/keras1-rcmalli.h5", 16, BGR},
    {"variants/keras216-sefiks.h5", 16, RGB},
    {"variants/mat-filters-biases.mat", 16, RGB},
    {"variants/mat-more-fields.mat", 16, RGB},
    {"variants/mat-octave-v6.mat", 16, RGB},
    {"variants/mat-octave-v7.mat", 16, RGB},
    {"variants/mat-vlfeat.mat", 16, RGB},
};

static bool picked(const char *file)
{
    const char *pattern = getenv("VISAVIS_FILES");
    regex_t re;
    if (!pattern) return true;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool yes = regexec(&re, file, 0, NULL, 0) == 0;
    regfree(&re);
    return yes;
}

static bool same(const float *got, size_t n, const struct st_tensor *want)
{
    return want && want->dtype == ST_F32 && want->count == n &&
           memcmp(got, want->data, n * sizeof *got) == 0;
}

/* conv1_1 with its planes the other way round. */
static bool same_reversed(const float *got, const struct st_tensor *want)
{
    const size_t plane = 9, outputs = want->count / (PLANES * plane);
    const float *w = want->data;
    for (size_t o = 0; o < outputs; o++)
        for (size_t c = 0; c < PLANES; c++)
            if (memcmp(got + (o * PLANES + c) * plane, w + (o * PLANES + PLANES - 1 - c) * plane,
                       plane * sizeof *w) != 0)
                return false;
    return true;
}

/* Weighted ops in their order against the truth; NULL, or what is wrong. */
static const char *differs(const struct model *m, const struct safetensors *truth, int layers,
                           enum order order)
{
    static char why[160];
    int k = 0;
    for (int i = 0; i < m->graph.n_ops; i++) {
        const struct nn_op *op = &m->graph.ops[i];
        char name[64];
        if (!op->w_count) continue;
        if (k == layers) return "there are more layers";
        snprintf(name, sizeof name, "%s.weight", LAYER[k]);
        const struct st_tensor *w = st_find(truth, name);
        snprintf(name, sizeof name, "%s.bias", LAYER[k]);
        bool ok = w && w->count == op->w_count && same(op->b, op->b_count, st_find(truth, name)) &&
                  (k == 0 && order == BGR ? same_reversed(op->w, w) : same(op->w, op->w_count, w));
        if (!ok) {
            snprintf(why, sizeof why, "%s (op %s) has other values", LAYER[k], op->name);
            return why;
        }
        k++;
    }
    return k == layers ? NULL : "there are fewer layers";
}

/* Imports a file and compares; false after printing what is wrong. */
static bool imports(const char *file, const char *truth_file, int layers, enum order order)
{
    struct import_options o = {.accept_license = true, .name = "vgg"};
    struct err_info err = ERR_INFO_INIT;
    struct safetensors *truth = NULL;
    struct model *m = NULL;
    const char *why = NULL;
    char path[256], name[64];

    snprintf(path, sizeof path, MINI "%s", file);
    if (import_file(name, path, folder, &o, &err) || model_open(&m, folder, name, &err)) {
        why = err.message;
    } else {
        snprintf(path, sizeof path, MINI "%s", truth_file);
        if (st_open(&truth, path, &err)) fail_msg("%s", err.message);
        why = differs(m, truth, layers, order);
        if (!why && !m->input.bgr != (order == RGB)) why = "its model says another channel order";
        st_close(truth);
    }
    if (why) print_error("%s: %s\n", file, why);
    model_close(m);
    folder_walk(1);
    return !why;
}

static void every_file_gives_the_truth(void **state)
{
    (void)state;
    int failed = 0;
    if (!test_have_shared()) skip();
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        bool variant = strncmp(FILES[i].file, "variants/", 9) == 0;
        if (!picked(FILES[i].file)) continue;
        failed +=
            !imports(FILES[i].file, variant ? "variants/truth.safetensors" : "truth.safetensors",
                     FILES[i].layers, FILES[i].order);
    }
    assert_int_equal(failed, 0);
}

static bool bgr_format(const char *file)
{
    return strstr(file, ".caffemodel") || strstr(file, ".t7");
}

static void malformed_files_are_refused(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    int failed = 0, refused = 0;
    size_t i;
    json_t *row;

    if (!test_have_shared()) skip();
    json_auto_t *manifest = json_load_file(MINI "bad/manifest.json", 0, NULL);
    assert_non_null(manifest);
    json_array_foreach(json_object_get(manifest, "files"), i, row)
    {
        const char *file = json_string_value(json_object_get(row, "file"));
        const char *expect = json_string_value(json_object_get(row, "expect"));
        struct import_options o = {.accept_license = true, .name = "vgg"};
        char path[256], name[64], in_bad[256];
        enum order order = bgr_format(file) ? BGR : RGB;
        if (strstr(file, ".safetensors") || !picked(file)) continue;
        snprintf(in_bad, sizeof in_bad, "bad/%s", file);
        if (json_is_true(json_object_get(row, "control"))) {
            failed += !imports(in_bad, "bad/ok.safetensors", LAYERS, order);
            continue;
        }
        snprintf(path, sizeof path, MINI "bad/%s", file);
        enum err rc = import_file(name, path, folder, &o, &err);
        bool may_import = strstr(expect, "import") || strstr(expect, "equals ok.safetensors");
        if (rc && strcmp(file, "caffe-varint.caffemodel") == 0 &&
            !strstr(err.message, "malformed varint")) {
            print_error("%s: %s\n", file, err.message);
            failed++;
        }
        if (rc) {
            printf("%s: %s\n    (expected: %s)\n", file, err.message, expect);
            refused++;
        } else if (!may_import || !imports(in_bad, "bad/ok.safetensors", LAYERS, order)) {
            print_error("%s: imported, expected: %s\n", file, expect);
            failed++;
        }
        if (rc && !err.message[0]) failed++;
        if (rc && files_in_folder()) {
            print_error("%s: refused, but files are left\n", file);
            failed++;
        }
        folder_walk(1);
    }
    printf("%d files refused\n", refused);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_file_gives_the_truth),
                                       cmocka_unit_test(malformed_files_are_refused)};
    return cmocka_run_group_tests(tests, folder_new, folder_delete);
}
