/* Every allocation that an engine makes, refused once: each call says that there is no memory, or
 * does without it, leaks nothing (asan), and the engine answers as before. Linked with --wrap for
 * malloc, calloc, realloc and aligned_alloc, so that only our own code's calls are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/cluster.h"
#include "engine/engine.h"
#include "engine/face/face.h"
#include "engine/model/import/import.h"
#include "engine/nn/exec.h"
#include "tests/refuse.h"
#include "tests/support.h"
#include "tests/unit/cluster_rows.h"
#include "tests/unit/model_files.h"

#include <string.h>

static enum err open_it(struct engine **e, struct err_info *err)
{
    const struct engine_options o = {.models_dir = test_models_dir(), .threads = 1};
    return engine_open(e, &o, err);
}

static void opening(void **state)
{
    (void)state;
    struct engine *e = NULL;
    struct err_info err = ERR_INFO_INIT;
    if (!test_have_models()) skip();
    atomic_store(&made, 0);
    assert_int_equal(open_it(&e, &err), ERR_OK);
    engine_close(e);
    const long n = atomic_load(&made);
    /* opening reads 32 MB of models, so that not every one can be tried */
    const long step = n / 60 + 1;
    int said = 0;
    for (long i = 0; i < n; i += step) {
        e = NULL;
        atomic_store(&left, i);
        enum err rc = open_it(&e, &err);
        atomic_store(&left, -1);
        if (rc && rc != ERR_NOMEM) fail_msg("allocation %ld of %ld: %s", i, n, err.message);
        if ((rc == ERR_OK) != (e != NULL)) fail_msg("allocation %ld of %ld: half opened", i, n);
        said += rc == ERR_NOMEM;
        engine_close(e);
    }
    printf("opening: %ld allocations, one of %ld refused: %d times no memory\n", n, step, said);
    assert_true(said > 0);
}

static void analysing(void **state)
{
    (void)state;
    struct engine *e = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct analysis want = {0}, a = {0};
    const struct analyse_options o = {.select = FACE_ALL,
                                      .embedding = true,
                                      .mask_png = true,
                                      .mask = true,
                                      .chip_png = true,
                                      .thumbnail = 96};
    if (!test_have_models() || !test_have_shared()) skip();
    struct buf b = test_read(FACES "/lfw-view1/AJ_Cook/AJ_Cook_0001.jpg");
    assert_int_equal(open_it(&e, &err), ERR_OK);
    assert_int_equal(engine_analyse(e, b.data, b.len, &o, &want, &err), ERR_OK); /* plans made */
    atomic_store(&made, 0);
    assert_int_equal(engine_analyse(e, b.data, b.len, &o, &a, &err), ERR_OK);
    analysis_release(&a);
    const long n = atomic_load(&made);
    int said = 0;
    for (long i = 0; i < n; i++) {
        atomic_store(&left, i);
        enum err rc = engine_analyse(e, b.data, b.len, &o, &a, &err);
        atomic_store(&left, -1);
        if (rc && rc != ERR_NOMEM) fail_msg("allocation %ld of %ld: %s", i, n, err.message);
        said += rc == ERR_NOMEM;
        if (rc) assert_true(err.message[0]);
        if (!rc) analysis_release(&a);
    }
    printf("analysing: %ld allocations, %d times no memory\n", n, said);
    assert_true(said > n / 2);
    assert_int_equal(engine_analyse(e, b.data, b.len, &o, &a, &err), ERR_OK);
    assert_int_equal(a.n, want.n);
    assert_memory_equal(a.faces[0].embedding, want.faces[0].embedding,
                        (size_t)want.faces[0].dim * sizeof(float));
    analysis_release(&a);
    analysis_release(&want);
    engine_close(e);
    buf_release(&b);
}

static void exporting(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    char path[256];
    if (!test_have_models()) skip();
    file_in(path, "p.onnx");
    atomic_store(&made, 0);
    assert_int_equal(engine_model_export_onnx(test_models_dir(), "mtcnn-p", path, &err), ERR_OK);
    const long n = atomic_load(&made);
    struct buf want = test_read(path);
    for (long i = 0; i < n; i++) {
        unlink(path);
        atomic_store(&left, i);
        enum err rc = engine_model_export_onnx(test_models_dir(), "mtcnn-p", path, &err);
        atomic_store(&left, -1);
        if (rc != ERR_NOMEM) fail_msg("allocation %ld of %ld: %s", i, n, err.message);
        assert_int_equal(files_in_folder(), 0);
    }
    printf("exporting: %ld allocations\n", n);
    assert_int_equal(engine_model_export_onnx(test_models_dir(), "mtcnn-p", path, &err), ERR_OK);
    struct buf again = test_read(path);
    assert_int_equal(again.len, want.len);
    assert_memory_equal(again.data, want.data, want.len);
    buf_release(&again);
    buf_release(&want);
}

/* What was exported, imported again: no half of a model is left. */
static void importing(void **state)
{
    (void)state;
    const struct import_options o = {.accept_license = true, .name = "again"};
    struct err_info err = ERR_INFO_INIT;
    char path[256], name[64];
    if (!test_have_models()) skip();
    assert_int_equal(
        engine_model_export_onnx(test_models_dir(), "mtcnn-p", file_in(path, "p.onnx"), &err),
        ERR_OK);
    atomic_store(&made, 0);
    assert_int_equal(import_file(name, path, folder, &o, &err), ERR_OK);
    const long n = atomic_load(&made);
    char model[256];
    for (long i = 0; i < n; i++) {
        unlink(file_in(model, "again.safetensors"));
        atomic_store(&left, i);
        enum err rc = import_file(name, path, folder, &o, &err);
        atomic_store(&left, -1);
        if (rc != ERR_NOMEM && rc != ERR_OK)
            fail_msg("allocation %ld of %ld: %s", i, n, err.message);
        /* the export alone, or beside it a model that is whole (the last step reads it again) */
        if (files_in_folder() > 1)
            assert_int_equal(engine_model_verify(folder, "again", &err), ERR_OK);
    }
    printf("importing: %ld allocations\n", n);
    assert_int_equal(import_file(name, path, folder, &o, &err), ERR_OK);
}

static enum err run_net(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                        float *const *outs, struct err_info *err)
{
    return nn_exec_run(self, net, n, h, w, in, outs, err);
}

static void finding(void **state)
{
    (void)state;
    const struct import_options io = {.accept_license = true};
    const struct yunet_options o = YUNET_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    struct nn_net *net = NULL;
    struct nn_exec *exec = NULL;
    struct yunet y;
    AUTO_IMAGE struct image im = IMAGE_INIT;
    struct detection *d = NULL;
    char name[64];
    int faces = 0;
    if (import_file(name, "tests/fuzz/corpus/onnx/yunet-grid", folder, &io, &err) ||
        model_open(&m, folder, name, &err) || nn_net_new(&net, &m->graph, NN_FAST, NN_F32, &err) ||
        nn_exec_new(&exec, 1, 0, &err) || yunet_init(&y, net, &m->input, &err) ||
        image_new(&im, 60, 40, &err))
        fail_msg("%s", err.message);
    const struct face_runner runner = {run_net, exec};
    assert_int_equal(yunet_detect(&d, &faces, &y, &runner, &im, &o, &err), ERR_OK); /* plans made */
    assert_int_equal(faces, 4);
    free(d);
    atomic_store(&made, 0);
    assert_int_equal(yunet_detect(&d, &faces, &y, &runner, &im, &o, &err), ERR_OK);
    free(d);
    const long n = atomic_load(&made);
    for (long i = 0; i < n; i++) {
        d = NULL;
        atomic_store(&left, i);
        enum err rc = yunet_detect(&d, &faces, &y, &runner, &im, &o, &err);
        atomic_store(&left, -1);
        if (rc != ERR_NOMEM || d) fail_msg("allocation %ld of %ld: %s", i, n, err_name(rc));
    }
    printf("finding: %ld allocations\n", n);
    assert_true(n >= 5);
    nn_exec_free(exec);
    nn_net_free(net);
    model_close(m);
}

static void checking(void **state)
{
    (void)state;
    const struct import_options io = {.accept_license = true, .name = "vgg"};
    const struct order_check c = {.class = 8, .probability = 0.5};
    struct err_info err = ERR_INFO_INIT;
    struct order_result r;
    char name[64];
    if (!test_have_shared()) skip();
    struct buf b = test_read(SHARED "/goldens/vggface/ajb.jpg");
    if (import_file(name, SHARED "/goldens/vggface-mini/variants/keras216-sefiks.h5", folder, &io,
                    &err))
        fail_msg("%s", err.message);
    atomic_store(&made, 0);
    assert_int_equal(engine_check_order(&r, folder, "vgg", "ajb.jpg", b.data, b.len, &c, &err),
                     ERR_OK);
    const long n = atomic_load(&made), step = n / 60 + 1;
    int said = 0;
    for (long i = 0; i < n; i += step) {
        atomic_store(&left, i);
        enum err rc = engine_check_order(&r, folder, "vgg", "ajb.jpg", b.data, b.len, &c, &err);
        atomic_store(&left, -1);
        if (rc && rc != ERR_NOMEM) fail_msg("allocation %ld of %ld: %s", i, n, err.message);
        said += rc == ERR_NOMEM;
        assert_int_equal(files_in_folder(), 1);
    }
    printf("checking: %ld allocations, one of %ld refused: %d times no memory\n", n, step, said);
    assert_true(said > 0);
    assert_int_equal(engine_model_verify(folder, "vgg", &err), ERR_OK);
    buf_release(&b);
}

enum { ROWS = 300, DIMENSIONS = 8 };

/* Clusters, and reports on it. */
static enum err cluster_and_report(const float *x, enum cluster_algorithm algorithm,
                                   struct err_info *err)
{
    static const uint32_t cannot[][2] = {{0, 8}, {1, 9}};
    uint32_t group[ROWS];
    struct cluster_options o = CLUSTER_OPTIONS_INIT;
    struct cluster_report_options ro = CLUSTER_REPORT_OPTIONS_INIT;
    struct cluster_result *r = NULL;
    struct cluster_report *report = NULL;
    enum err rc;

    for (uint32_t i = 0; i < ROWS; i++) group[i] = i / 3;
    o.algorithm = algorithm;
    o.cut = 0.7f;
    o.k = algorithm == CLUSTER_KMEANS ? 4 : 0;
    o.restarts = 1;
    o.full_tree = true;
    o.constraints = (struct cluster_constraints){group, NULL, cannot, 2};
    ro.truth = ro.apart = group;
    ro.cut = 0.7f;
    ro.possible = 0;
    ro.layout = algorithm == CLUSTER_AUTO ? CLUSTER_LAYOUT_TSNE : CLUSTER_LAYOUT_NONE;
    if ((rc = cluster_run(&r, x, ROWS, DIMENSIONS, &o, err))) return rc;
    rc = cluster_report_new(&report, x, ROWS, DIMENSIONS, r->labels, &ro, err);
    cluster_report_free(report);
    cluster_result_free(r);
    return rc;
}

static void clustering(void **state)
{
    (void)state;
    float *x = rows_new(ROWS, DIMENSIONS, 8, 0.5, NULL, 1);

    for (int a = 0; a < CLUSTER_ALGORITHMS; a++) {
        struct err_info err = ERR_INFO_INIT;
        atomic_store(&made, 0);
        assert_int_equal(cluster_and_report(x, (enum cluster_algorithm)a, &err), ERR_OK);
        const long n = atomic_load(&made), step = n / 200 + 1;
        for (long i = 0; i < n; i += step) {
            atomic_store(&left, i);
            const enum err rc = cluster_and_report(x, (enum cluster_algorithm)a, &err);
            atomic_store(&left, -1);
            if (rc != ERR_NOMEM)
                fail_msg("%s, allocation %ld of %ld: %s",
                         cluster_algorithm_name((enum cluster_algorithm)a), i, n, err_name(rc));
        }
        printf("%s: %ld allocations\n", cluster_algorithm_name((enum cluster_algorithm)a), n);
    }
    free(x);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening),    cmocka_unit_test(analysing),
                                       cmocka_unit_test(clustering), WITH_FOLDER(exporting),
                                       WITH_FOLDER(importing),       WITH_FOLDER(finding),
                                       WITH_FOLDER(checking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
