/* Every allocation that an engine makes, refused once: each call says that there is no memory, or
 * does without it, leaks nothing (asan), and the engine answers as before. Linked with --wrap for
 * malloc, calloc, realloc and aligned_alloc, so that only our own code's calls are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/engine.h"
#include "tests/refuse.h"
#include "tests/support.h"
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
    const struct analyse_options o = {
        .select = FACE_ALL, .embedding = true, .mask_png = true, .mask = true, .chip_png = true};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening), cmocka_unit_test(analysing),
        cmocka_unit_test_setup_teardown(exporting, folder_new, folder_delete)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
