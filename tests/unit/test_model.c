/* Model files: written, opened, damaged in every way that the header promises to notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/model/model_internal.h"
#include "engine/model/st_internal.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

static const float W[3 * 12] = {0.5f, 1, 2, 3}, B[3] = {-1, 0, 1};
static const char SHA[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const float EXTRA[2] = {7, 8};
static const struct st_tensor TENSOR = {"extra", ST_F32, 1, {2}, 2, EXTRA};

/* 3 x 2 x 2 -> dense 3 */
static struct nn_graph dense(void)
{
    struct nn_graph g = {.in_c = 3, .in_h = 2, .in_w = 2, .n_outputs = 1};
    struct nn_op op;
    nn_op_init(&op, NN_DENSE, "fc");
    op.n_in = 1;
    op.out = 3;
    op.w = W;
    op.w_count = ARRAY_LEN(W);
    op.b = B;
    op.b_count = ARRAY_LEN(B);
    assert_int_equal(nn_graph_add(&g, &op), 0);
    strcpy(g.outputs[0].name, "embedding");
    return g;
}

static const struct model_input INPUT = {.w = 2,
                                         .h = 2,
                                         .bgr = true,
                                         .mean = {122.782f, 117.001f, 104.298f},
                                         .scale = {1.0f / 256, 0.1f, 1},
                                         .crop = CROP_SIMILARITY,
                                         .padding = 0.25f,
                                         .points = {{1, 2}, {3, 4}, {5.5f, 6}, {7, 8}, {9, 1e-7f}},
                                         .average = "mirror",
                                         .output = "other",
                                         .dim = 3};

static struct model_draft draft_of(const struct nn_graph *g, const char *name)
{
    return (struct model_draft){.name = name,
                                .role = MODEL_EMBEDDER,
                                .input = INPUT,
                                .graph = g,
                                .tensors = &TENSOR,
                                .n_tensors = 1,
                                .license = "MIT",
                                .source_file = "a \"quoted\" name.pt",
                                .source_sha256 = SHA};
}

static void write_one(const char *name, const char *calibration)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_graph g = dense();
    struct model_draft d = draft_of(&g, name);
    d.calibration = calibration;
    if (model_write(folder, &d, &err)) fail_msg("%s", err.message);
    nn_graph_release(&g);
}

static void write_open(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    write_one("net", "{\"a\":1}");
    if (model_open(&m, folder, "net", &err)) fail_msg("%s", err.message);
    assert_string_equal(m->name, "net");
    assert_int_equal(m->role, MODEL_EMBEDDER);
    const struct model_input *in = &m->input;
    assert_true(in->w == 2 && in->h == 2 && in->bgr && in->crop == CROP_SIMILARITY && in->dim == 3);
    assert_memory_equal(in->mean, INPUT.mean, sizeof in->mean); /* every float exactly */
    assert_memory_equal(in->scale, INPUT.scale, sizeof in->scale);
    assert_memory_equal(in->points, INPUT.points, sizeof in->points);
    assert_true(in->padding == INPUT.padding);
    assert_string_equal(in->average, INPUT.average);
    assert_string_equal(in->output, INPUT.output);
    assert_string_equal(m->license, "MIT");
    assert_string_equal(m->source_file, "a \"quoted\" name.pt");
    assert_string_equal(m->source_sha256, SHA);
    assert_string_equal(m->calibration, "{\"a\":1}");
    assert_false(m->restricted);
    assert_int_equal(strlen(m->sha256), 64);
    assert_int_equal(m->graph.n_ops, 1);
    assert_memory_equal(m->graph.ops[0].w, W, sizeof W);
    assert_memory_equal(m->graph.ops[0].b, B, sizeof B);
    assert_int_equal(nn_graph_output(&m->graph, "embedding"), 0);
    assert_memory_equal(st_find(m->st, "extra")->data, EXTRA, sizeof EXTRA);
    model_close(m);
    assert_int_equal(model_verify(folder, "net", &err), ERR_OK);
}

static void landmarks(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model_draft d = draft_of(NULL, "points");
    struct model *m;
    d.role = MODEL_LANDMARKS;
    d.restricted = true;
    if (model_write(folder, &d, &err) || model_open(&m, folder, "points", &err))
        fail_msg("%s", err.message);
    assert_int_equal(m->graph.n_ops, 0);
    assert_true(m->restricted);
    assert_null(m->calibration);
    assert_int_equal(st_count(m->st), 1);
    model_close(m);
}

static void calibration(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    char sha[65];
    write_one("net", NULL);
    assert_int_equal(model_open(&m, folder, "net", &err), ERR_OK);
    memcpy(sha, m->sha256, sizeof sha);
    assert_null(m->calibration);
    model_close(m);
    static const char *const TEXTS[] = {"{\"points\":[1,2]}", "{}", NULL};
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        if (model_set_calibration(folder, "net", TEXTS[i], &err)) fail_msg("%s", err.message);
        if (model_open(&m, folder, "net", &err)) fail_msg("%s", err.message);
        assert_string_equal(m->sha256, sha); /* answers stay the same */
        if (TEXTS[i])
            assert_string_equal(m->calibration, TEXTS[i]);
        else
            assert_null(m->calibration);
        assert_memory_equal(m->graph.ops[0].w, W, sizeof W);
        model_close(m);
    }
    assert_int_equal(model_set_calibration(folder, "net", "[1]", &err), ERR_INVALID);
    assert_int_equal(model_set_calibration(folder, "net", "{", &err), ERR_INVALID);
    assert_int_equal(model_set_calibration(folder, "none", "{}", &err), ERR_NOT_FOUND);
}

/* Another input: weights stay, the digest follows, the calibration of the old recipe goes. */
static void input_is_exchanged(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct nn_graph g = dense();
    struct model_draft d = draft_of(&g, "net");
    struct model *m = NULL;
    char sha[65];
    d.calibration = "{}";
    if (model_write(folder, &d, &err) || model_open(&m, folder, "net", &err))
        fail_msg("%s", err.message);
    struct model_input in = m->input;
    memcpy(sha, m->sha256, sizeof sha);
    model_close(m);
    in.bgr = !in.bgr;
    if (model_set_input(folder, "net", &in, "a note", &err) || model_open(&m, folder, "net", &err))
        fail_msg("%s", err.message);
    assert_int_equal(m->input.bgr, in.bgr);
    assert_string_not_equal(m->sha256, sha);
    assert_string_equal(m->note, "a note");
    assert_null(m->calibration);
    assert_memory_equal(m->graph.ops[0].w, W, sizeof W);
    model_close(m);
    assert_int_equal(model_verify(folder, "net", &err), ERR_OK);
    assert_int_equal(model_set_input(folder, "none", &in, "", &err), ERR_NOT_FOUND);
    nn_graph_release(&g);
}

/* The digest follows what answers depend on, and nothing else. */
static void digest(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    char sha[6][65];
    for (int i = 0; i < 6; i++) {
        struct nn_graph g = dense();
        struct model_draft d = draft_of(&g, "net");
        float w[ARRAY_LEN(W)];
        struct model *m;
        memcpy(w, W, sizeof w);
        if (i == 1) d.license = "other", d.source_file = "b", d.calibration = "{}";
        if (i == 2) w[35] = 1e-30f, g.ops[0].w = w;
        if (i == 3) d.input.padding = 0.5f;
        if (i == 4) strcpy(g.outputs[0].name, "other");
        if (i == 5) d.n_tensors = 0;
        if (model_write(folder, &d, &err) || model_open(&m, folder, "net", &err))
            fail_msg("%s", err.message);
        memcpy(sha[i], m->sha256, 65);
        model_close(m);
        nn_graph_release(&g);
    }
    assert_string_equal(sha[0], sha[1]);
    for (int i = 2; i < 6; i++)
        for (int k = 0; k < i; k++)
            if (k != 1 && !strcmp(sha[i], sha[k]))
                fail_msg("changes %d and %d have one digest", k, i);
}

static void write_bytes(const char *path, const uint8_t *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void cut_and_flipped(void **state)
{
    (void)state;
    char path[256];
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    write_one("net", NULL);
    file_in(path, "net.safetensors");
    struct buf file = test_read(path);
    uint64_t header;
    memcpy(&header, file.data, sizeof header);
    for (size_t n = 0; n < file.len; n += n < 16 || n > 8 + header ? 1 : 7) {
        write_bytes(path, file.data, n);
        if (model_open(&m, folder, "net", &err) != ERR_MODEL)
            fail_msg("%zu of %zu bytes are taken", n, file.len);
    }
    for (size_t at = 8 + header; at < file.len; at++) {
        file.data[at] ^= 1u << (at % 8);
        write_bytes(path, file.data, file.len);
        if (model_open(&m, folder, "net", &err) != ERR_MODEL || !strstr(err.message, "damaged"))
            fail_msg("bit flipped in byte %zu: \"%s\"", at, err.message);
        file.data[at] ^= 1u << (at % 8);
    }
    write_bytes(path, file.data, file.len);
    assert_int_equal(model_open(&m, folder, "net", &err), ERR_OK);
    model_close(m);
    buf_release(&file);
}

/* One metadata string exchanged, or taken away; the rest as model_write made it. */
static const struct {
    const char *name, *key, *value, *says;
} METADATA[] = {
    {"no format", "visavis.format", NULL, "no model of ours"},
    {"a newer format", "visavis.format", "2", "format version 2, this program reads version 1"},
    {"no role", "visavis.role", NULL, "visavis.role is missing"},
    {"unknown role", "visavis.role", "painter", "unknown role painter"},
    {"another role", "visavis.role", "detector", "damaged"},
    {"no input", "visavis.input", NULL, "visavis.input is missing"},
    {"input is no object", "visavis.input", "3", "not a JSON object"},
    {"input without keys", "visavis.input", "{}", "width"},
    {"no license", "visavis.license", NULL, "visavis.license is missing"},
    {"no digest", "visavis.sha256", NULL, "visavis.sha256 is missing"},
    {"wrong digest", "visavis.sha256", SHA, "damaged"},
    {"short digest", "visavis.sha256", "00", "damaged"},
    {"no source", "visavis.source", NULL, "visavis.source is missing"},
    {"source of a wrong kind", "visavis.source", "{\"file\":1}", "visavis.source"},
    {"no graph", "visavis.graph", NULL, "damaged"},
    {"another graph", "visavis.graph", "{}", "damaged"},
};

static void metadata(void **state)
{
    (void)state;
    char path[256];
    int failed = 0;
    file_in(path, "net.safetensors");
    for (size_t i = 0; i < ARRAY_LEN(METADATA); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct safetensors *st;
        struct st_pair pairs[16];
        struct model *m;
        const char *key;
        json_t *value;
        size_t n = 0;
        write_one("net", NULL);
        assert_int_equal(st_open(&st, path, &err), ERR_OK);
        json_object_foreach((json_t *)(uintptr_t)st__metadata(st), key, value)
        {
            bool this_one = !strcmp(key, METADATA[i].key);
            pairs[n++] =
                (struct st_pair){key, this_one ? METADATA[i].value : json_string_value(value)};
        }
        assert_int_equal(st_write(path, pairs, n, st_at(st, 0), st_count(st), &err), ERR_OK);
        st_close(st);
        enum err rc = model_open(&m, folder, "net", &err);
        bool ok = rc == ERR_MODEL && strstr(err.message, METADATA[i].says);
        if (!ok) print_error("%s: %s, \"%s\"\n", METADATA[i].name, err_name(rc), err.message);
        failed += !ok;
    }
    assert_int_equal(failed, 0);
}

#define GOOD_INPUT                                                                                 \
    "\"width\":2,\"height\":2,\"channels\":\"rgb\",\"mean\":[0,0,0],\"scale\":[1,1,1],\"crop\":"   \
    "\"none\","                                                                                    \
    "\"padding\":0,\"average\":\"none\",\"dim\":3"
static const struct {
    const char *name, *graph, *input, *says; /* graph NULL: the one that fits */
} FITS[] = {
    {"all fits", NULL, "{" GOOD_INPUT "}", NULL},
    {"tensor of another shape",
     "{\"input\":[3,2,3],\"ops\":[{\"name\":\"fc\",\"op\":\"dense\",\"in\":[\"input\"],\"out\":3,"
     "\"weight\":[3,18],\"bias\":true}],"
     "\"outputs\":[{\"name\":\"embedding\",\"op\":\"fc\"}]}",
     "{" GOOD_INPUT "}", "tensor fc.weight: expected F32 [3,18], found F32 [3,12]"},
    {"tensor of another type",
     "{\"input\":[3,1,1],\"ops\":[{\"name\":\"short\",\"op\":\"dense\",\"in\":[\"input\"],\"out\":"
     "1,\"weight\":[1,3],\"bias\":false}],"
     "\"outputs\":[{\"name\":\"embedding\",\"op\":\"short\"}]}",
     "{" GOOD_INPUT "}", "tensor short.weight: expected F32 [1,3], found I16 [1,3]"},
    {"tensor that is not there",
     "{\"input\":[3,2,2],\"ops\":[{\"name\":\"f\",\"op\":\"dense\",\"in\":[\"input\"],\"out\":3,"
     "\"weight\":[3,12],\"bias\":true}],"
     "\"outputs\":[{\"name\":\"embedding\",\"op\":\"f\"}]}",
     "{" GOOD_INPUT "}", "tensor f.weight is missing"},
    {"graph of another size",
     "{\"input\":[12,1,1],\"ops\":[{\"name\":\"fc\",\"op\":\"dense\",\"in\":[\"input\"],\"out\":3,"
     "\"weight\":[3,12],\"bias\":true}],"
     "\"outputs\":[{\"name\":\"embedding\",\"op\":\"fc\"}]}",
     "{" GOOD_INPUT "}", "the graph takes 1x1, visavis.input says 2x2"},
    {"unknown key of the input", NULL, "{" GOOD_INPUT ",\"x\":1}", "a key"},
};

static void fits(void **state)
{
    (void)state;
    static const int16_t SHORTS[3] = {1, 2, 3};
    static const char GRAPH[] = "{\"input\":[3,2,2],\"ops\":[{\"name\":\"fc\",\"op\":\"dense\","
                                "\"in\":[\"input\"],\"out\":3,\"weight\":[3,12],\"bias\":true}],"
                                "\"outputs\":[{\"name\":\"embedding\",\"op\":\"fc\"}]}";
    const struct st_tensor tensors[] = {{"fc.weight", ST_F32, 2, {3, 12}, 36, W},
                                        {"fc.bias", ST_F32, 1, {3}, 3, B},
                                        {"short.weight", ST_I16, 2, {1, 3}, 3, SHORTS}};
    char path[256], hex[65], source[160];
    int failed = 0;
    file_in(path, "net.safetensors");
    snprintf(source, sizeof source, "{\"file\":\"a\",\"sha256\":\"%s\"}", SHA);
    for (size_t i = 0; i < ARRAY_LEN(FITS); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct model *m = NULL;
        const char *graph = FITS[i].graph ? FITS[i].graph : GRAPH;
        model__digest(hex, MODEL_EMBEDDER, graph, FITS[i].input, tensors, ARRAY_LEN(tensors));
        const struct st_pair pairs[] = {
            {"visavis.format", "1"},    {"visavis.role", "embedder"},
            {"visavis.graph", graph},   {"visavis.input", FITS[i].input},
            {"visavis.license", "MIT"}, {"visavis.restricted", "false"},
            {"visavis.source", source}, {"visavis.sha256", hex}};
        assert_int_equal(st_write(path, pairs, ARRAY_LEN(pairs), tensors, ARRAY_LEN(tensors), &err),
                         ERR_OK);
        enum err rc = model_open(&m, folder, "net", &err);
        bool ok =
            FITS[i].says ? rc == ERR_MODEL && strstr(err.message, FITS[i].says) : rc == ERR_OK;
        if (!ok) print_error("%s: %s, \"%s\"\n", FITS[i].name, err_name(rc), err.message);
        failed += !ok;
        if (!rc) model_close(m);
    }
    assert_int_equal(failed, 0);
}

static void names(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    char **list, path[256];
    size_t n;
    write_one("net-b", NULL);
    write_one("net-a", NULL);
    write_one("Net.2_c", NULL);
    write_bytes(file_in(path, "notes.txt"), (const uint8_t *)"x", 1);
    write_bytes(file_in(path, ".hidden.safetensors"), (const uint8_t *)"x", 1);
    write_bytes(file_in(path, ".safetensors"), (const uint8_t *)"x", 1);
    write_bytes(file_in(path, "a b.safetensors"), (const uint8_t *)"x", 1);
    assert_int_equal(model_names(&list, &n, folder, &err), ERR_OK);
    assert_int_equal(n, 3);
    assert_string_equal(list[0], "Net.2_c");
    assert_string_equal(list[1], "net-a");
    assert_string_equal(list[2], "net-b");
    model_names_free(list, n);
    assert_int_equal(model_names(&list, &n, file_in(path, "nowhere"), &err), ERR_OK);
    assert_int_equal(n, 0);
    model_names_free(list, n);
    static const char *const BAD[] = {
        "",    ".",  "..",  "../net-a",
        "a/b", "-x", "a b", "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        if (model_open(&m, folder, BAD[i], &err) != ERR_INVALID)
            fail_msg("\"%s\" is taken for a name", BAD[i]);
    assert_int_equal(model_open(&m, folder, "none", &err), ERR_NOT_FOUND);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_delete)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(write_open), WITH_FOLDER(landmarks),       WITH_FOLDER(calibration),
        WITH_FOLDER(digest),     WITH_FOLDER(cut_and_flipped), WITH_FOLDER(metadata),
        WITH_FOLDER(fits),       WITH_FOLDER(names),           WITH_FOLDER(input_is_exchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
