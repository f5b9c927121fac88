/* Torch7's serialisation on bytes made by hand, and the importer on small nets
 * (tests/fuzz/corpus/torch7: every layer one channel wide, all weights views of one storage of 64
 * values). */
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
#include "engine/model/import/import.h"
#include "engine/model/import/t7.h"
#include "engine/model/model.h"
#include "tests/support.h"
#include "tests/unit/model_files.h"

#define P(text) text, sizeof text - 1
/* Little-endian numbers of the format, n one octal escape. */
#define INT(n)            n "\0\0\0"
#define LONG(n)           n "\0\0\0\0\0\0\0"
#define MINUS_1           "\xff\xff\xff\xff"
#define NIL               INT("\0")
#define ONE               INT("\1") "\0\0\0\0\0\0\xf0\x3f"
#define TEXT(n, text)     INT("\2") INT(n) text
#define TABLE(i, n)       INT("\3") INT(i) INT(n)
#define OBJECT(i, n, cls) INT("\4") INT(i) INT("\3") "V 1" INT(n) cls
#define FLOATS(i)         OBJECT(i, "\21", "torch.FloatTensor")
#define STORAGE(i)        OBJECT(i, "\22", "torch.FloatStorage")
#define TWO_FLOATS        "\0\0\x80\x3f\0\0\0\xc0" /* 1, -2 */

static const struct {
    const char *name, *bytes;
    size_t len;
    const char *says; /* NULL: it is read, and gives kind */
    enum t7_kind kind;
} FILES[] = {
    {"nil", P(NIL), NULL, T7_NIL},
    {"number", P(ONE), NULL, T7_NUMBER},
    {"boolean", P(INT("\5") INT("\1")), NULL, T7_BOOLEAN},
    {"string", P(TEXT("\2", "ab")), NULL, T7_STRING},
    {"empty string", P(TEXT("\0", "")), NULL, T7_STRING},
    {"table", P(TABLE("\1", "\1") TEXT("\1", "a") ONE), NULL, T7_TABLE},
    {"empty table", P(TABLE("\1", "\0")), NULL, T7_TABLE},
    {"a table twice", P(TABLE("\1", "\2") ONE TABLE("\2", "\0") NIL INT("\3") INT("\2")), NULL,
     T7_TABLE},
    {"a table in itself", P(TABLE("\1", "\1") ONE INT("\3") INT("\1")), NULL, T7_TABLE},
    {"numbers with gaps", P(TABLE("\1", "\1") ONE TABLE("\101", "\0")), NULL, T7_TABLE},
    {"object", P(OBJECT("\1", "\4", "nn.A") TABLE("\2", "\0")), NULL, T7_OBJECT},
    {"object without a version", P(INT("\4") INT("\1") INT("\4") "nn.A" TABLE("\2", "\0")), NULL,
     T7_OBJECT},
    {"tensor",
     P(FLOATS("\1") INT("\1") LONG("\2") LONG("\1") LONG("\1") STORAGE("\2") LONG("\2") TWO_FLOATS),
     NULL, T7_TENSOR},
    {"empty tensor", P(FLOATS("\1") INT("\0") LONG("\1") NIL), NULL, T7_TENSOR},
    {"storage", P(STORAGE("\1") LONG("\2") TWO_FLOATS), NULL, T7_STORAGE},

    {"nothing", P(""), "cut short: 4 bytes are expected, 0 are left", 0},
    {"half a number", P(INT("\1") "\0\0\0\0"), "cut short: 8 bytes are expected, 4 are left", 0},
    {"text behind", P(NIL "x"), "1 bytes after the end", 0},
    {"type 9", P(INT("\11")), "byte 0: an object of type 9", 0},
    {"type -1", P(MINUS_1), "an object of type -1", 0},
    {"function", P(INT("\6") INT("\0")), "functions are not read", 0},
    {"function in a table", P(TABLE("\1", "\1") ONE INT("\10") INT("\2")),
     "byte 24: a Lua function", 0},
    {"string cut", P(TEXT("\3", "ab")), "cut short: 3 bytes are expected, 2 are left", 0},
    {"string of -1", P(INT("\2") MINUS_1), "a string of -1 bytes: the length is negative", 0},
    {"table of -1", P(INT("\3") INT("\1") MINUS_1), "a table of -1 pairs: the count is negative",
     0},
    {"table cut", P(TABLE("\1", "\3") ONE NIL), "a table of 3 pairs, 16 bytes are left", 0},
    {"table of 2^31 - 1", P(INT("\3") INT("\1") "\xff\xff\xff\x7f"),
     "cut short: a table of 2147483647 pairs", 0},
    {"number of an object -1", P(INT("\3") MINUS_1 INT("\0")), "has number -1", 0},
    {"number of an object 2^30", P(INT("\3") "\0\0\0\x40" INT("\0")), "the limit is 262144", 0},
    {"object without fields", P(OBJECT("\1", "\4", "nn.A") NIL), "its class is not known", 0},
    {"object that is its fields", P(OBJECT("\1", "\4", "nn.A") INT("\4") INT("\1")),
     "its class is not known", 0},
    {"tensor of -1 dimensions", P(FLOATS("\1") MINUS_1), "a tensor of -1 dimensions", 0},
    {"tensor of 9 dimensions", P(FLOATS("\1") INT("\11")), "9 dimensions, the limit is 8", 0},
    {"negative size", P(FLOATS("\1") INT("\1") MINUS_1 MINUS_1), "size or stride is -1", 0},
    {"negative stride", P(FLOATS("\1") INT("\1") LONG("\1") MINUS_1 MINUS_1),
     "size or stride is -1", 0},
    {"offset 0", P(FLOATS("\1") INT("\1") LONG("\1") LONG("\1") LONG("\0") NIL),
     "offset is 0, they begin at 1", 0},
    {"storage of another type",
     P(FLOATS("\1") INT("\0") LONG("\1") OBJECT("\2", "\23", "torch.DoubleStorage") LONG("\0")),
     "storage is no torch.FloatStorage", 0},
    {"storage that is a table", P(FLOATS("\1") INT("\0") LONG("\1") TABLE("\2", "\0")),
     "storage is no torch.FloatStorage", 0},
    {"storage that is the tensor", P(FLOATS("\1") INT("\0") LONG("\1") INT("\4") INT("\1")),
     "storage is no torch.FloatStorage", 0},
    {"storage of -1", P(STORAGE("\1") MINUS_1 MINUS_1), "a storage of -1 values, 0 bytes are left",
     0},
    {"storage cut", P(STORAGE("\1") LONG("\2") "\0\0\0\0\0\0\0"), "2 values, 7 bytes are left", 0},
    {"storage of 2^62", P(STORAGE("\1") "\0\0\0\0\0\0\0\x40"), "cut short: a storage of 4611", 0},
};

/* A copy of exactly n bytes, so that asan sees a read behind them. */
static enum err read_exact(const struct t7_value **v, uint8_t **copy, const void *bytes, size_t n,
                           struct arena *a, struct err_info *err)
{
    *copy = malloc(n ? n : 1);
    assert_non_null(*copy);
    if (n) memcpy(*copy, bytes, n);
    return t7_read(v, *copy, n, a, err);
}

static void files(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct arena a = ARENA_INIT(32 << 20);
        struct err_info err = ERR_INFO_INIT;
        const struct t7_value *v = NULL;
        uint8_t *copy;
        enum err rc = read_exact(&v, &copy, FILES[i].bytes, FILES[i].len, &a, &err);
        bool ok = FILES[i].says ? rc == ERR_MODEL && strstr(err.message, FILES[i].says)
                                : rc == ERR_OK && v->kind == FILES[i].kind;
        if (!ok) print_error("%s: %s, \"%s\"\n", FILES[i].name, err_name(rc), err.message);
        failed += !ok;
        arena_release(&a);
        free(copy);
    }
    assert_int_equal(failed, 0);
}

static void lookups(void **state)
{
    (void)state;
    static const char BYTES[] = OBJECT("\1", "\4", "nn.A") TABLE("\2", "\3") TEXT("\1", "a")
        INT("\5") INT("\1") ONE TEXT("\1", "b") INT("\3") INT("\2") NIL;
    struct arena a = ARENA_INIT(1 << 20);
    struct err_info err = ERR_INFO_INIT;
    const struct t7_value *v;
    if (t7_read(&v, (const uint8_t *)P(BYTES), &a, &err)) fail_msg("%s", err.message);
    assert_int_equal(v->text_len, 4);
    assert_memory_equal(v->text, "nn.A", 4);
    assert_int_equal(t7_get(v, "a")->kind, T7_BOOLEAN);
    assert_true(t7_get(v, "a")->number == 1);
    assert_ptr_equal(t7_get(v, "a"), t7_get(v->body, "a")); /* an object, or its table */
    assert_memory_equal(t7_at(v, 1)->text, "b", 1);
    assert_null(t7_get(v, "b"));
    assert_null(t7_get(v, ""));
    assert_null(t7_at(v, 2));
    assert_null(t7_get(t7_at(v, 1), "a"));
    assert_null(t7_get(NULL, "a"));
    assert_null(t7_at(NULL, 1));
    arena_release(&a);
}

#define ONE_DIM(size, stride, offset) INT("\1") LONG(size) LONG(stride) LONG(offset)
static const struct {
    const char *name, *bytes;
    size_t len;
    const char *says; /* NULL: a view of count values, the last of them last */
    size_t count;
    float last;
} VIEWS[] = {
    {"whole", P(FLOATS("\1") ONE_DIM("\2", "\1", "\1") STORAGE("\2") LONG("\2") TWO_FLOATS), NULL,
     2, -2},
    {"from the second",
     P(FLOATS("\1") ONE_DIM("\1", "\1", "\2") STORAGE("\2") LONG("\2") TWO_FLOATS), NULL, 1, -2},
    {"repeated", P(FLOATS("\1") ONE_DIM("\2", "\0", "\1") STORAGE("\2") LONG("\2") TWO_FLOATS),
     NULL, 2, 1},
    {"doubles",
     P(OBJECT("\1", "\22", "torch.DoubleTensor") ONE_DIM("\1", "\1", "\1")
           OBJECT("\2", "\23", "torch.DoubleStorage") LONG("\1") "\0\0\0\0\0\0\xf0\x3f"),
     NULL, 1, 1},
    {"CUDA",
     P(OBJECT("\1", "\20", "torch.CudaTensor") ONE_DIM("\2", "\1", "\1")
           OBJECT("\2", "\21", "torch.CudaStorage") LONG("\2") TWO_FLOATS),
     NULL, 2, -2},
    {"empty", P(FLOATS("\1") INT("\0") LONG("\1") NIL), NULL, 0, 0},
    {"nothing of nil", P(FLOATS("\1") ONE_DIM("\0", "\1", "\1") NIL), NULL, 0, 0},
    {"a value of nil", P(FLOATS("\1") ONE_DIM("\1", "\1", "\1") NIL),
     "x: the view leaves its storage: element 0 of 0", 0, 0},
    {"past the end", P(FLOATS("\1") ONE_DIM("\2", "\1", "\2") STORAGE("\2") LONG("\2") TWO_FLOATS),
     "x: the view leaves its storage: element 2 of 2", 0, 0},
    {"repeated too often",
     P(FLOATS("\1") ONE_DIM("\3", "\0", "\1") STORAGE("\2") LONG("\2") TWO_FLOATS),
     "x: the view leaves its storage", 0, 0},
    {"integers", P(OBJECT("\1", "\20", "torch.LongTensor") INT("\0") LONG("\1") NIL),
     "x: a tensor of floats or doubles is expected, found torch.LongTensor", 0, 0},
    {"a number", P(ONE), "x: a tensor of floats or doubles is expected, found another type", 0, 0},
    {"nil", P(NIL), "x is missing", 0, 0},
};

static void views(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(VIEWS); i++) {
        struct arena a = ARENA_INIT(1 << 20);
        struct err_info err = ERR_INFO_INIT;
        const struct t7_value *v = NULL;
        struct view view = {0};
        float values[4] = {0};
        uint8_t *copy;
        if (read_exact(&v, &copy, VIEWS[i].bytes, VIEWS[i].len, &a, &err))
            fail_msg("%s: %s", VIEWS[i].name, err.message);
        enum err rc = t7_view(&view, v, "x", &err);
        bool ok = VIEWS[i].says ? rc == ERR_MODEL && strstr(err.message, VIEWS[i].says)
                                : rc == ERR_OK && view.count == VIEWS[i].count && view.count <= 4;
        if (ok && !rc) view_read(values, &view);
        if (ok && view.count && !rc) ok = values[view.count - 1] == VIEWS[i].last;
        if (!ok) print_error("%s: %s, \"%s\"\n", VIEWS[i].name, err_name(rc), err.message);
        failed += !ok;
        arena_release(&a);
        free(copy);
    }
    assert_int_equal(failed, 0);
}

static void refused(const uint8_t *bytes, size_t len, const char *says)
{
    struct arena a = ARENA_INIT(64 << 20);
    struct err_info err = ERR_INFO_INIT;
    const struct t7_value *v;
    if (t7_read(&v, bytes, len, &a, &err) != ERR_MODEL || !strstr(err.message, says))
        fail_msg("\"%s\", expected \"%s\"", err.message, says);
    assert_true(a.used < 32 << 20);
    arena_release(&a);
}

static void limits(void **state)
{
    (void)state;
    enum { DEEP = 10000, MANY = 1 << 17 /* pairs */ };
    static const char LEVEL[] = TABLE("\0", "\1") ONE, HEAD[] = INT("\3") INT("\1") "\0\0\2\0";
    uint8_t *deep = calloc(DEEP, sizeof LEVEL - 1), *many = calloc(MANY * 2 + 3, sizeof(int32_t));
    assert_true(deep && many);
    for (int i = 0; i < DEEP; i++) {
        uint8_t *at = deep + (size_t)i * (sizeof LEVEL - 1);
        memcpy(at, LEVEL, sizeof LEVEL - 1);
        memcpy(at + 4, &(int32_t){i + 1}, sizeof(int32_t));
    }
    refused(deep, DEEP * (sizeof LEVEL - 1), "more than 32 tables inside each other");
    memcpy(many, HEAD, sizeof HEAD - 1);
    refused(many, (MANY * 2 + 3) * sizeof(int32_t), "more than 131072 values");
    free(deep);
    free(many);
}

static enum err import_corpus(const char *name, struct err_info *err)
{
    const struct import_options o = {.accept_license = true, .name = name};
    char path[128], known[64];
    snprintf(path, sizeof path, "tests/fuzz/corpus/torch7/%s", name);
    return import_file(known, path, folder, &o, err);
}

static void nets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int weighted;
        const char *says;
    } CASES[] = {
        {"float", 16, NULL},
        {"double-no-version", 16, NULL}, /* and classes without "V 1" */
        {"cuda-no-classifier", 15, NULL},
        {"convolutions", 13, NULL},
        {"all-fields", 16, NULL},
        {"cycle", 0, "41 modules, VGG-Face has 40"},
        {"table", 0, "a nn.Sequential of modules is expected"},
        {"function", 0, "functions are not read"},
        {"deep", 0, "more than 32 tables inside each other"},
    };
    char sha[2][65];
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct model *m;
        int weighted = 0;
        enum err rc = import_corpus(CASES[i].name, &err);
        if (CASES[i].says) {
            if (rc != ERR_MODEL || !strstr(err.message, CASES[i].says))
                fail_msg("%s: %s, \"%s\"", CASES[i].name, err_name(rc), err.message);
            continue;
        }
        if (rc || model_open(&m, folder, CASES[i].name, &err))
            fail_msg("%s: %s", CASES[i].name, err.message);
        for (int k = 0; k < m->graph.n_ops; k++) weighted += m->graph.ops[k].w_count > 0;
        assert_int_equal(weighted, CASES[i].weighted);
        assert_true(m->input.bgr && m->restricted);
        assert_true(m->input.mean[0] == 93.5940f && m->input.mean[2] == 129.1863f);
        if (i < 2) memcpy(sha[i], m->sha256, sizeof sha[i]);
        model_close(m);
    }
    assert_string_equal(sha[0], sha[1]); /* the same values */
    assert_int_equal(files_in_folder(), 5);
}

static const struct {
    const char *name, *from, *to; /* of equal length, in the file "float" */
    const char *says;
} EDITS[] = {
    {"another class at the end", "nn.SoftMax", "nn.SoftMin",
     "module 40: expected nn.SoftMax, found nn.SoftMin"},
    {"a class with control characters", "nn.View", "nn.\033[2J",
     "module 32: expected nn.View, found nn.?[2J"},
    {"another container", "nn.Sequential", "nn.SequentiaL", "the file holds nn.SequentiaL"},
    {"no modules", "modules", "Modules", "a nn.Sequential of modules is expected"},
    {"no weight", "weight", "Weight", "weight of module 1 (nn.SpatialConvolutionMM) is missing"},
    {"no bias", "bias", "Bias", "bias of module 1 (nn.SpatialConvolutionMM) is missing"},
    {"a convolution that is none", "nn.ReLU", "nn.Tanh",
     "module 2: expected nn.ReLU, found nn.Tanh"},
};

static void edits(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(EDITS); i++) {
        struct buf file = test_read("tests/fuzz/corpus/torch7/float");
        struct err_info err = ERR_INFO_INIT;
        const size_t n = strlen(EDITS[i].from);
        uint8_t *at = memmem(file.data, file.len, EDITS[i].from, n);
        assert_true(at && strlen(EDITS[i].to) == n);
        memcpy(at, EDITS[i].to, n);
        struct import_job job = {
            .data = file.data, .len = file.len, .file = "x", .options = {.accept_license = true}};
        enum err rc = import_torch7(&job, &err);
        bool ok = rc == ERR_MODEL && strstr(err.message, EDITS[i].says);
        if (!ok) print_error("%s: %s, \"%s\"\n", EDITS[i].name, err_name(rc), err.message);
        failed += !ok;
        buf_release(&file);
    }
    assert_int_equal(failed, 0);
}

static void cut_and_flipped(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct buf file = test_read("tests/fuzz/corpus/torch7/float");
    for (size_t n = 0; n < file.len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        if (n) memcpy(exact, file.data, n);
        struct import_job job = {
            .data = exact, .len = n, .file = "x", .options = {.accept_license = true}};
        if (import_torch7(&job, &err) != ERR_MODEL)
            fail_msg("%zu of %zu bytes are taken", n, file.len);
        free(exact);
    }
    for (size_t at = 0; at < file.len; at++) { /* taken or refused; never worse */
        struct import_job job = {
            .data = file.data, .len = file.len, .file = "x", .options = {.accept_license = true}};
        file.data[at] ^= 0x55;
        enum err rc = import_torch7(&job, &err);
        if (rc != ERR_OK && rc != ERR_MODEL) fail_msg("byte %zu changed: %s", at, err_name(rc));
        file.data[at] ^= 0x55;
    }
    buf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(lookups),
        cmocka_unit_test(views),
        cmocka_unit_test(limits),
        cmocka_unit_test_setup_teardown(nets, folder_new, folder_delete),
        cmocka_unit_test(edits),
        cmocka_unit_test(cut_and_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
