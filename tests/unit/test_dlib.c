/* dlib's serialization, and the two kinds of files on small ones made by hand
 * (tests/fuzz/corpus/dlib): a shape predictor of 2 cascades of 2 trees of 3 splits, and the whole
 * ResNet with one channel in each layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/model/import/dlib_reader.h"
#include "engine/model/import/import.h"
#include "engine/model/model.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

#define P(text) text, sizeof text - 1

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int64_t want;
        const char *says;
    } CASES[] = {
        {P("\1\0"), 0, NULL},
        {P("\1\7"), 7, NULL},
        {P("\x81\7"), -7, NULL},
        {P("\2\0\1"), 256, NULL},
        {P("\x82\x88\0"), -136, NULL},
        {P("\10\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX, NULL},
        {P(""), 0, "ends inside a number"},
        {P("\1"), 0, "ends inside a number"},
        {P("\2\1"), 0, "ends inside a number"},
        {P("\0\1"), 0, "control byte 0x00"},
        {P("\11\1\1\1\1\1\1\1\1\1"), 0, "control byte 0x09"},
        {P("\21\1"), 0, "control byte 0x11"},
        {P("\10\0\0\0\0\0\0\0\x80"), 0, "more than 63 bits"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct dlib_reader r = {
            .data = (const uint8_t *)CASES[i].bytes, .len = CASES[i].len, .err = &err};
        int64_t v = dlib_int(&r);
        bool ok = CASES[i].says ? r.rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : !r.rc && v == CASES[i].want && !dlib_left(&r);
        if (!ok) fail_msg("case %zu: %lld, \"%s\"", i, (long long)v, err.message);
    }
}

static void floats(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        float want;
        const char *says;
    } CASES[] = {
        {P("\1\0\1\0"), 0, NULL},
        {P("\1\3\x81\1"), 1.5f, NULL},
        {P("\x81\1\1\12"), -1024, NULL},
        {P("\3\1\0\x80\x81\27"), 8388609.0f / 8388608, NULL}, /* 2^23 + 1, 2^-23: all 24 bits */
        {P("\1\1\1\x80"), 0, "not a finite"},                 /* 2^128 is none in float32 */
        {P("\1\0\2\0\175"), 0, "not a finite"},               /* 32000: dlib's infinity */
        {P("\1\0\2\2\175"), 0, "not a finite"},               /* 32002: NaN */
        {P("\1\1"), 0, "ends inside a number"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct dlib_reader r = {
            .data = (const uint8_t *)CASES[i].bytes, .len = CASES[i].len, .err = &err};
        float v = dlib_float(&r);
        bool ok = CASES[i].says ? r.rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : !r.rc && v == CASES[i].want;
        if (!ok) fail_msg("case %zu: %g, \"%s\"", i, (double)v, err.message);
    }
}

static void others(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    char text[4];
    size_t dims[4];
    const uint8_t *raw;
#define READER(name, bytes)                                                                        \
    struct dlib_reader name = {.data = (const uint8_t *)bytes, .len = sizeof bytes - 1, .err = &err}
    READER(good, "\1\3a\033b1\1\2\1\1\1\2\1\1\1\1abcdefgh");
    dlib_string(&good, text, sizeof text);
    assert_string_equal(text, "a?b"); /* fit for a message */
    assert_true(dlib_bool(&good));
    assert_int_equal(dlib_tensor(&good, dims, &raw), 2);
    assert_memory_equal(raw, "abcdefgh", 8);
    assert_true(!good.rc && !dlib_left(&good));
    READER(long_text, "\1\4abcd");
    dlib_string(&long_text, text, sizeof text);
    assert_int_equal(long_text.rc, ERR_MODEL);
    READER(no_bool, "2");
    assert_false(dlib_bool(&no_bool));
    assert_int_equal(no_bool.rc, ERR_MODEL);
    READER(cut, "\1\2\1\1\1\2\1\1\1\1abcdefg");
    assert_int_equal(dlib_tensor(&cut, dims, &raw), 0);
    assert_int_equal(cut.rc, ERR_MODEL);
    READER(overflow, "\1\2\10\0\0\0\0\0\0\0\1\10\0\0\0\0\0\0\0\1\1\1\1\1");
    assert_int_equal(dlib_tensor(&overflow, dims, &raw), 0);
    assert_non_null(strstr(err.message, "overflow"));
}

static struct model *import_small(const char *file, const char *name)
{
    struct err_info err = ERR_INFO_INIT;
    const struct import_options o = {.accept_license = true};
    struct model *m;
    char path[128], got[64];
    snprintf(path, sizeof path, "tests/fuzz/corpus/dlib/%s", file);
    if (import_file(got, path, folder, &o, &err)) fail_msg("%s", err.message);
    assert_string_equal(got, name);
    if (model_open(&m, folder, name, &err)) fail_msg("%s", err.message);
    return m;
}

static void check_tensor(const struct model *m, const char *name, enum st_dtype dtype, int ndim,
                         const size_t *dims)
{
    const struct st_tensor *t = st_find(m->st, name);
    if (!t || t->dtype != dtype || t->ndim != ndim ||
        memcmp(t->dims, dims, (size_t)ndim * sizeof *dims) != 0)
        fail_msg("tensor %s is not as expected", name);
}

static void shape(void **state)
{
    (void)state;
    struct model *m = import_small("shape5", "dlib-5point");
    assert_int_equal(m->role, MODEL_LANDMARKS);
    assert_false(m->restricted);
    check_tensor(m, "initial", ST_F32, 2, (const size_t[]){5, 2});
    check_tensor(m, "anchor", ST_I32, 2, (const size_t[]){2, 4});
    check_tensor(m, "delta", ST_F32, 3, (const size_t[]){2, 4, 2});
    check_tensor(m, "split_idx", ST_I16, 4, (const size_t[]){2, 2, 3, 2});
    check_tensor(m, "split_thresh", ST_F32, 3, (const size_t[]){2, 2, 3});
    check_tensor(m, "leaf", ST_F32, 4, (const size_t[]){2, 2, 4, 10});
    const float *initial = st_find(m->st, "initial")->data, *leaf = st_find(m->st, "leaf")->data,
                *thresh = st_find(m->st, "split_thresh")->data;
    const int16_t *idx = st_find(m->st, "split_idx")->data;
    const int32_t *anchor = st_find(m->st, "anchor")->data;
    for (int i = 0; i < 10; i++) assert_true(initial[i] == 0.125f * (float)i);
    for (int i = 0; i < 160; i++) assert_true(leaf[i] == 0.125f * (float)(i % 10));
    for (int i = 0; i < 12; i++)
        assert_true(thresh[i] == 1.5f && idx[2 * i] == i % 3 && idx[2 * i + 1] == i % 3 + 1);
    for (int i = 0; i < 8; i++) assert_int_equal(anchor[i], i % 4);
    model_close(m);
}

static void shape_68_needs_the_licence(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    const struct import_options o = {0};
    char name[64];
    assert_int_equal(import_file(name, "tests/fuzz/corpus/dlib/shape68", folder, &o, &err),
                     ERR_LICENSE);
    assert_int_equal(files_in_folder(), 0);
    struct model *m = import_small("shape68", "dlib-68point");
    assert_true(m->restricted);
    check_tensor(m, "initial", ST_F32, 2, (const size_t[]){68, 2});
    model_close(m);
}

/* Every weight, bias, gamma and beta in that file is 0.5, so a folded convolution has 0.25 and 0.5
 * * 0.5 + 0.5. */
static void resnet(void **state)
{
    (void)state;
    struct model *m = import_small("resnet-1-channel", "dlib-resnet");
    const struct nn_graph *g = &m->graph;
    int count[NN_KIND_COUNT] = {0};
    assert_int_equal(m->role, MODEL_EMBEDDER);
    assert_int_equal(m->input.dim, 2);
    assert_true(m->input.mean[0] == 122.782f && m->input.mean[2] == 104.298f &&
                m->input.scale[1] == 1.0f / 256);
    for (int i = 0; i < g->n_ops; i++) {
        const struct nn_op *op = &g->ops[i];
        count[op->kind]++;
        if (op->kind != NN_CONV2D) continue;
        for (size_t k = 0; k < op->w_count; k++) assert_true(op->w[k] == 0.25f);
        assert_true(op->b_count == 1 && op->b[0] == 0.75f);
    }
    assert_int_equal(count[NN_CONV2D], 29);
    assert_int_equal(count[NN_ADD], 14);
    assert_int_equal(count[NN_RELU], 29);
    assert_int_equal(count[NN_AVG_POOL], 4);
    assert_int_equal(count[NN_DENSE], 1);
    assert_int_equal(count[NN_GLOBAL_AVG_POOL], 1);
    assert_true(count[NN_PAD] >= 1); /* the branches that are smaller than their shortcut */
    assert_int_equal(nn_graph_output(g, "embedding"), 0);
    model_close(m);
}

static void cut_and_flipped(void **state)
{
    (void)state;
    static const char *const FILES[] = {"shape5", "shape68", "resnet-1-channel"};
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        char path[128];
        struct err_info err = ERR_INFO_INIT;
        snprintf(path, sizeof path, "tests/fuzz/corpus/dlib/%s", FILES[i]);
        struct buf file = test_read(path);
        assert_true(file.len > 0);
        for (size_t n = 0; n < file.len; n++) {
            uint8_t *exact = malloc(n ? n : 1);
            memcpy(exact, file.data, n);
            struct import_job job = {
                .data = exact, .len = n, .file = path, .options = {.accept_license = true}};
            if (import_dlib(&job, &err) != ERR_MODEL)
                fail_msg("%s: %zu of %zu bytes are taken", path, n, file.len);
            free(exact);
        }
        for (size_t at = 0; at < file.len; at++) { /* taken or refused; never worse */
            struct import_job job = {.data = file.data,
                                     .len = file.len,
                                     .file = path,
                                     .options = {.accept_license = true}};
            file.data[at] ^= 0x55;
            enum err rc = import_dlib(&job, &err);
            if (rc != ERR_OK && rc != ERR_MODEL)
                fail_msg("%s: byte %zu changed: %s", path, at, err_name(rc));
            file.data[at] ^= 0x55;
        }
        buf_release(&file);
    }
}

static void not_ours(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    char name[64], path[256];
    const struct import_options plain = {0}, sha = {.sha256 = "00"}, bad_name = {.name = "../x"};
    static const char FILE5[] = "tests/fuzz/corpus/dlib/shape5";
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } CASES[] = {
        {P("hello, this is no model file"), "not a model file"},
        {P("\x89HDF\r\n\x1a\n        "), "HDF5"},
        {P("MATLAB 5.0 MAT-file      "), "MATLAB"},
        {P("\1\1\1\12loss_mmod_       "), "dlib detector"},
        {P("\1\1\1\15loss_metric_3    "), "loss_metric_3"},
        {P("short"), "no model file is that small"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        FILE *f = fopen(file_in(path, "x"), "wb");
        assert_int_equal(fwrite(CASES[i].bytes, 1, CASES[i].len, f), CASES[i].len);
        fclose(f);
        if (import_file(name, path, folder, &plain, &err) != ERR_MODEL ||
            !strstr(err.message, CASES[i].says))
            fail_msg("case %zu: \"%s\"", i, err.message);
    }
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(import_file(name, file_in(path, "none"), folder, &plain, &err), ERR_NOT_FOUND);
    assert_int_equal(import_file(name, folder, folder, &plain, &err), ERR_IO);
    assert_int_equal(import_file(name, FILE5, folder, &sha, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "expected 00"));
    assert_int_equal(import_file(name, FILE5, folder, &bad_name, &err), ERR_INVALID);
    assert_int_equal(import_file(name, FILE5, "/nowhere/at/all", &plain, &err), ERR_IO);
    assert_int_equal(files_in_folder(), 1);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(floats),
        cmocka_unit_test(others),
        WITH_FOLDER(shape),
        WITH_FOLDER(shape_68_needs_the_licence),
        WITH_FOLDER(resnet),
        cmocka_unit_test(cut_and_flipped),
        WITH_FOLDER(not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
