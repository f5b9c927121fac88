/* What `model export` writes can be imported again: every exportable model, through an ONNX file
 * and back, has the same tensors bit for bit, the same input, licence and classes, and gives the
 * same numbers. (Random graphs of every kind of op: tests/peers/export_check.py.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/model/export_onnx.h"
#include "engine/model/import/import.h"
#include "tests/golden/golden.h"
#include "tests/unit/model_files.h"

#define MINI   "../shared/goldens/vggface-mini/"
#define CORPUS "tests/fuzz/corpus/onnx/"

enum { ANY_SIDE = 64 /* of a net that takes any size */ };

static void export_and_import(struct model **again, const struct model *m, bool accept_license)
{
    const struct import_options o = {.accept_license = accept_license};
    struct err_info err = ERR_INFO_INIT;
    char path[256], file[128], name[64];
    snprintf(file, sizeof file, "%s-again.onnx", m->name);
    if (model_export_onnx(m, file_in(path, file), &err)) fail_msg("%s: %s", m->name, err.message);
    if (m->restricted && accept_license) {
        const struct import_options refused = {.accept_license = false};
        assert_int_equal(import_file(name, path, folder, &refused, &err), ERR_LICENSE);
    }
    if (import_file(name, path, folder, &o, &err) || model_open(again, folder, name, &err))
        fail_msg("%s: %s", m->name, err.message);
    snprintf(file, sizeof file, "%s-again", m->name);
    assert_string_equal(name, file);
}

static void same_tensors(const struct model *m, const struct model *again)
{
    assert_int_equal(st_count(m->st), st_count(again->st));
    for (size_t i = 0; i < st_count(m->st); i++) {
        const struct st_tensor *t = &st_at(m->st, 0)[i], *u = st_find(again->st, t->name);
        if (!u || u->dtype != t->dtype || u->ndim != t->ndim || u->count != t->count ||
            memcmp(u->dims, t->dims, (size_t)t->ndim * sizeof *t->dims) != 0 ||
            memcmp(u->data, t->data, t->count * sizeof(float)) != 0)
            fail_msg("%s: tensor %s is another one", m->name, t->name);
    }
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* All outputs of both, in one allocation each. */
static float *run(size_t *count, const struct model *m, const float *in, int h, int w)
{
    struct nn_shape shapes[NN_MAX_OPS];
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net = NULL;
    struct nn_exec *exec = NULL;
    float *outs[NN_MAX_OUTPUTS];
    *count = 0;
    assert_int_equal(nn_graph_shapes(&m->graph, h, w, shapes, &err), ERR_OK);
    size_t at[NN_MAX_OUTPUTS];
    for (int i = 0; i < m->graph.n_outputs; i++) {
        const struct nn_shape s = shapes[m->graph.outputs[i].op];
        at[i] = *count;
        *count += (size_t)s.c * (size_t)s.h * (size_t)s.w;
    }
    float *all = malloc(*count * sizeof *all);
    for (int i = 0; i < m->graph.n_outputs; i++) outs[i] = all + at[i];
    if (nn_net_new(&net, &m->graph, NN_FAST, NN_F32, &err) || nn_exec_new(&exec, 1, 0, &err) ||
        nn_exec_run(exec, net, 1, h, w, in, outs, &err))
        fail_msg("%s: %s", m->name, err.message);
    nn_exec_free(exec);
    nn_net_free(net);
    return all;
}

static void same_numbers(const struct model *m, const struct model *again)
{
    const struct nn_graph *g = &m->graph;
    const int h = g->in_h ? g->in_h : ANY_SIDE, w = g->in_w ? g->in_w : ANY_SIDE;
    const size_t floats = (size_t)(g->in_c * h * w);
    size_t n, n_again;
    assert_int_equal(g->n_outputs, again->graph.n_outputs);
    for (int i = 0; i < g->n_outputs; i++)
        assert_string_equal(g->outputs[i].name, again->graph.outputs[i].name);
    float *in = malloc(floats * sizeof *in);
    for (size_t i = 0; i < floats; i++) in[i] = (float)((i * 7919 + i / 3) % 251) - 120;
    float *a = run(&n, m, in, h, w), *b = run(&n_again, again, in, h, w);
    assert_int_equal(n, n_again);
    if (memcmp(a, b, n * sizeof *a) != 0) fail_msg("%s: other numbers", m->name);
    free(in);
    free(a);
    free(b);
}

static void same_model(const struct model *m)
{
    struct model *again;
    export_and_import(&again, m, true);
    same_tensors(m, again);
    assert_int_equal(m->role, again->role);
    if (!same_text(st_meta(m->st, "visavis.input"), st_meta(again->st, "visavis.input")))
        fail_msg("%s: another input", m->name);
    assert_string_equal(m->license, again->license);
    assert_int_equal(m->restricted, again->restricted);
    assert_true(
        same_text(st_meta(m->st, "visavis.classes"), st_meta(again->st, "visavis.classes")));
    if (!again->note || !strstr(again->note, m->source_sha256))
        fail_msg("%s: its note does not say what it came from", m->name);
    same_numbers(m, again);
    model_close(again);
}

static void default_models(void **state)
{
    static const char *const NAMES[] = {"mtcnn-p", "mtcnn-r", "mtcnn-o", "dlib-resnet"};
    (void)state;
    if (!test_have_models()) skip();
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        struct model *m = golden_model(NAMES[i]);
        same_model(m);
        model_close(m);
    }
}

static void imported(const char *file, const char *name, const char *preset, const char *names)
{
    const struct import_options o = {
        .accept_license = true, .name = name, .preset = preset, .names = names};
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    char got[64];
    if (import_file(got, file, folder, &o, &err) || model_open(&m, folder, got, &err))
        fail_msg("%s: %s", file, err.message);
    same_model(m);
    model_close(m);
}

static void small_networks(void **state)
{
    static const char *const NAMES[] = {"chip", "yunet", "vgg", "vgg-opset9"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        char file[128];
        snprintf(file, sizeof file, CORPUS "%s", NAMES[i]);
        imported(file, NAMES[i], NULL, NULL);
    }
}

/* Four outputs, each of which a preset can make the descriptor; names of classes. */
static void vgg_face(void **state)
{
    static const char *const PRESETS[] = {NULL, "fc8+deepface-base", "pool5+aligned", "fc7-linear"};
    char path[256];
    (void)state;
    if (!test_have_shared()) skip();
    FILE *f = fopen(file_in(path, "names.txt"), "w");
    for (int i = 0; i < 41; i++) fprintf(f, "Person \"%d\" \xc3\xa9\n", i);
    fclose(f);
    for (size_t i = 0; i < ARRAY_LEN(PRESETS); i++) {
        char name[32];
        snprintf(name, sizeof name, "vgg-%zu", i);
        imported(MINI "caffe-v1.caffemodel", name, PRESETS[i], path);
    }
    imported(MINI "keras-rcmalli-notop.h5", "vgg-notop", NULL, NULL);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {WITH_FOLDER(default_models), WITH_FOLDER(small_networks),
                                       WITH_FOLDER(vgg_face)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
