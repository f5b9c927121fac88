/* Pickles and torch's containers: what is read, what is refused and why; nothing a file says is
 * ever executed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/model/import/import.h"
#include "engine/model/import/pickle.h"
#include "engine/model/import/torch_file.h"
#include "tests/support.h"

#define P(text) text, sizeof text - 1
static const struct {
    const char *name, *bytes;
    size_t len;
    const char *says; /* NULL: it is read, and gives kind */
    enum pickle_kind kind;
} PICKLES[] = {
    {"none", P("\x80\2N."), NULL, PICKLE_NONE},
    {"number", P("\x80\2M\xe9\3."), NULL, PICKLE_INT},
    {"negative number", P("\x80\2\x8a\1\xff."), NULL, PICKLE_INT},
    {"long of 0 bytes", P("\x80\2\x8a\0."), NULL, PICKLE_INT},
    {"big number",
     P("\x80\2\x8a\11"
       "123456789."),
     NULL, PICKLE_BIG},
    {"float", P("\x80\2G\0\0\0\0\0\0\0\0."), NULL, PICKLE_FLOAT},
    {"text", P("\x80\2X\2\0\0\0ab."), NULL, PICKLE_STRING},
    {"tuple", P("\x80\2K\1K\2\x86."), NULL, PICKLE_TUPLE},
    {"list by mark", P("\x80\2](K\1K\2e."), NULL, PICKLE_LIST},
    {"dict", P("\x80\2}(X\1\0\0\0aK\1u."), NULL, PICKLE_DICT},
    {"ordered dict",
     P("\x80\2"
       "ccollections\nOrderedDict\n)R."),
     NULL, PICKLE_DICT},
    {"ordered dict of pairs",
     P("\x80\2"
       "ccollections\nOrderedDict\n]]X\1\0\0\0aaK\1aa\x85R."),
     NULL, PICKLE_DICT},
    {"protocol 4 with a frame", P("\x80\4\x95\2\0\0\0\0\0\0\0K\1."), NULL, PICKLE_INT},
    {"stack global on the list", P("\x80\4\x8c\13collections\x8c\13OrderedDict\x93)R."), NULL,
     PICKLE_DICT},
    {"memo", P("\x80\2K\1q\7h\7\x86."), NULL, PICKLE_TUPLE},
    {"memoize", P("\x80\4K\1\x94h\0\x86."), NULL, PICKLE_TUPLE},

    {"empty", P(""), "it ends early", 0},
    {"no stop", P("\x80\2K\1"), "it ends early", 0},
    {"nothing left", P("\x80\2."), "nothing on the stack", 0},
    {"too much left", P("\x80\2K\1K\2."), "1 values are left", 0},
    {"protocol 0", P("I1\n."), "opcode 0x49", 0},
    {"protocol 9", P("\x80\11K\1."), "protocol 9", 0},
    {"os.system",
     P("\x80\2"
       "cos\nsystem\n(X\2\0\0\0lstR."),
     "os.system", 0},
    {"builtins.eval by stack", P("\x80\4\x8c\10builtins\x8c\4eval\x93."), "builtins.eval", 0},
    {"a name with control characters",
     P("\x80\2"
       "cos\033[2J\nx\n."),
     "os?[2J.x", 0},
    {"a name that only begins so",
     P("\x80\2"
       "ccollections\nOrderedDictX\n."),
     "collections.OrderedDictX", 0},
    {"INST", P("(ios\nsystem\n."), "opcode 0x69", 0},
    {"OBJ", P("\x80\2(K\1o."), "opcode 0x6f", 0},
    {"NEWOBJ", P("\x80\2K\1)\x81."), "opcode 0x81", 0},
    {"extension", P("\x80\2\x82\1."), "opcode 0x82", 0},
    {"call of a storage type",
     P("\x80\2"
       "ctorch\nFloatStorage\n)R."),
     "which is no function", 0},
    {"call of a number", P("\x80\2K\1)R."), "no function on the list", 0},
    {"persistent id that is no storage", P("\x80\2X\1\0\0\0aQ."), "no storage", 0},
    {"memo never put", P("\x80\2h\7."), "never put", 0},
    {"memo index of 4 G", P("\x80\2K\1r\xff\xff\xff\xff."), "memo index 4294967295", 0},
    {"a mark taken as a value", P("\x80\2(\x85."), "nothing on the stack", 0},
    {"a mark appended", P("\x80\2](a."), "nothing on the stack", 0},
    {"a mark in the memo", P("\x80\2(q\0."), "nothing on the stack", 0},
    {"no mark", P("\x80\2]K\1e."), "no mark", 0},
    {"append to a number", P("\x80\2K\1K\2a."), "another type", 0},
    {"key without a value", P("\x80\2}(K\1u."), "a key without", 0},
    {"text past the end", P("\x80\2X\xff\xff\xff\xffz."), "passes the end", 0},
    {"number cut", P("\x80\2J\1\2"), "it ends early", 0},
    {"global cut",
     P("\x80\2"
       "cos\nsystem"),
     "it ends early", 0},
    {"a list that holds itself",
     P("\x80\2]q\0h\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0a"
       "h\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0ah\0a."),
     "deep inside", 0},
};

static void pickles(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(PICKLES); i++) {
        struct arena a = ARENA_INIT(32 << 20);
        struct err_info err = ERR_INFO_INIT;
        struct pickle_value *v = NULL;
        size_t used = 0;
        uint8_t *exact = malloc(PICKLES[i].len ? PICKLES[i].len : 1);
        memcpy(exact, PICKLES[i].bytes, PICKLES[i].len);
        enum err rc = pickle_read(&v, &used, exact, PICKLES[i].len, &a, &err);
        bool ok = PICKLES[i].says
                      ? rc == ERR_MODEL && strstr(err.message, PICKLES[i].says)
                      : rc == ERR_OK && v->kind == PICKLES[i].kind && used == PICKLES[i].len;
        if (!ok) print_error("%s: %s, \"%s\"\n", PICKLES[i].name, err_name(rc), err.message);
        failed += !ok;
        arena_release(&a);
        free(exact);
    }
    assert_int_equal(failed, 0);
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int64_t want;
    } CASES[] = {
        {P("K\xff."), 255},
        {P("M\xff\xff."), 65535},
        {P("J\xff\xff\xff\xff."), -1},
        {P("J\0\0\0\x80."), INT32_MIN},
        {P("\x8a\0."), 0},
        {P("\x8a\1\x80."), -128},
        {P("\x8a\2\xff\0."), 255},
        {P("\x8a\10\0\0\0\0\0\0\0\x80."), INT64_MIN},
        {P("\x8a\7\xff\xff\xff\xff\xff\xff\x7f."), (1LL << 55) - 1},
        {P("\x88."), 1},
        {P("\x89."), 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct arena a = ARENA_INIT(1 << 20);
        struct pickle_value *v;
        size_t used;
        assert_int_equal(
            pickle_read(&v, &used, (const uint8_t *)CASES[i].bytes, CASES[i].len, &a, NULL),
            ERR_OK);
        if (v->number != CASES[i].want) fail_msg("case %zu: %lld", i, (long long)v->number);
        arena_release(&a);
    }
}

/* Many values, deep nesting, long memo: bounded, and quick to refuse. */
static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *name, *repeat, *says;
        int times;
    } CASES[] = {
        {"stack", "]", "values on its stack", 60000},
        {"depth", "\x85", "deep inside each other", 100},
        {"values", "N0", "more than 1048576 values", 1100000},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        size_t n = strlen(CASES[i].repeat), len = 3 + n * (size_t)CASES[i].times;
        uint8_t *bytes = malloc(len);
        struct arena a = ARENA_INIT(256 << 20);
        struct err_info err = ERR_INFO_INIT;
        struct pickle_value *v;
        size_t used;
        memcpy(bytes, "\x80\2N", 3);
        for (int k = 0; k < CASES[i].times; k++)
            memcpy(bytes + 3 + (size_t)k * n, CASES[i].repeat, n);
        if (pickle_read(&v, &used, bytes, len, &a, &err) != ERR_MODEL ||
            !strstr(err.message, CASES[i].says))
            fail_msg("%s: \"%s\"", CASES[i].name, err.message);
        arena_release(&a);
        free(bytes);
    }
}

/* Both containers hold a.weight 2 x 3 with strides (1, 2) over 0, .25, .5, .75, 1, 1.25; a.bias at
 * offset 1. */
static void containers(void **state)
{
    (void)state;
    static const char *const FILES[] = {"legacy", "zip", "pairs"};
    static const float WEIGHT[6] = {0, 0.5f, 1, 0.25f, 0.75f, 1.25f};
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        char path[128];
        struct arena a = ARENA_INIT(4 << 20);
        struct err_info err = ERR_INFO_INIT;
        struct torch_file f;
        snprintf(path, sizeof path, "tests/fuzz/corpus/pytorch/%s", FILES[i]);
        struct buf file = test_read(path);
        if (torch_read(&f, file.data, file.len, &a, &err)) fail_msg("%s: %s", path, err.message);
        assert_int_equal(f.n, 2);
        const struct view *t = torch_find(&f, "a.weight"), *bias = torch_find(&f, "a.bias");
        float values[6];
        assert_true(t && bias && bias->count <= ARRAY_LEN(values));
        assert_true(t->type == VIEW_F32 && t->ndim == 2 && t->dims[0] == 2 && t->dims[1] == 3);
        view_read(values, t);
        assert_memory_equal(values, WEIGHT, sizeof WEIGHT);
        view_read(values, bias);
        assert_true(values[0] == 0.25f);
        assert_null(torch_find(&f, "n")); /* integers */
        assert_null(torch_find(&f, "b"));
        arena_release(&a);
        for (size_t n = 0; n < file.len; n++) { /* cut at every byte */
            struct arena part = ARENA_INIT(4 << 20);
            uint8_t *exact = malloc(n ? n : 1);
            memcpy(exact, file.data, n);
            if (torch_read(&f, exact, n, &part, &err) != ERR_MODEL)
                fail_msg("%s: %zu of %zu bytes are taken", path, n, file.len);
            arena_release(&part);
            free(exact);
        }
        buf_release(&file);
    }
}

/* P-Net's thirteen tensors, all views of one small storage. */
static void recognised(void **state)
{
    (void)state;
    struct buf file = test_read("tests/fuzz/corpus/pytorch/pnet-one-storage");
    struct import_job job = {.data = file.data, .len = file.len, .file = "x"};
    struct err_info err = ERR_INFO_INIT;
    if (import_pytorch(&job, &err)) fail_msg("%s", err.message);
    assert_string_equal(job.name, "mtcnn-p");
    buf_release(&file);
    file = test_read("tests/fuzz/corpus/pytorch/zip");
    struct import_job other = {.data = file.data, .len = file.len, .file = "x"};
    assert_int_equal(import_pytorch(&other, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "2 tensors, the first are a.weight [2,3]"));
    buf_release(&file);
}

/* VGG-Face's 32 tensors, with one name changed (to one of the same length). */
static void vgg_face(void **state)
{
    (void)state;
    static const struct {
        const char *file, *from, *to, *says;
    } CASES[] = {
        {"vgg-zip", NULL, NULL, NULL},
        {"vgg-legacy", NULL, NULL, NULL},
        {"vgg-views", NULL, NULL, NULL},
        {"vgg-legacy", "conv4_2.weight", "conv4_X.weight", "conv4_2.weight is missing"},
        {"vgg-legacy", "fc6.bias", "fc6.Bias", "fc6.bias is missing"},
        {"vgg-legacy", "fc8.weight", "fc9.weight", "32 tensors, VGG-Face with 15 layers has 30"},
        {"vgg-legacy", "conv1_1.weight", "conv1_X.weight", "a network that is not known"},
        {"vgg-legacy", "conv2_1.bias", "conv2_2.bias", "conv2_2.bias is there twice"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        char path[128];
        struct err_info err = ERR_INFO_INIT;
        snprintf(path, sizeof path, "tests/fuzz/corpus/pytorch/%s", CASES[i].file);
        struct buf file = test_read(path);
        if (CASES[i].from) {
            const size_t n = strlen(CASES[i].from);
            uint8_t *at = memmem(file.data, file.len, CASES[i].from, n);
            assert_non_null(at);
            memcpy(at, CASES[i].to, n);
        }
        struct import_job job = {
            .data = file.data, .len = file.len, .file = "x", .options = {.accept_license = true}};
        enum err rc = import_pytorch(&job, &err);
        if (CASES[i].says ? rc != ERR_MODEL || !strstr(err.message, CASES[i].says) : rc != ERR_OK)
            fail_msg("case %zu: %s, \"%s\"", i, err_name(rc), err.message);
        job.options.accept_license = false;
        if (!rc) assert_int_equal(import_pytorch(&job, &err), ERR_LICENSE);
        buf_release(&file);
    }
}

/* The project's folder of malformed files: those of torch are refused, and the controls are read.
 */
static void malformed(void **state)
{
    (void)state;
    static const char FOLDER[] = SHARED "/goldens/vggface-mini/bad";
    char path[512];
    json_t *manifest, *entry;
    size_t i, seen = 0;
    int failed = 0;
    snprintf(path, sizeof path, "%s/manifest.json", FOLDER);
    manifest = json_load_file(path, 0, NULL);
    if (!manifest) {
        printf("SKIPPED: no %s\n", FOLDER);
        skip();
    }
    json_array_foreach(json_object_get(manifest, "files"), i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "file"));
        bool control = json_is_true(json_object_get(entry, "control"));
        if (strcmp(json_string_value(json_object_get(entry, "format")), "pth") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", FOLDER, name);
        struct buf file = test_read(path);
        struct err_info err = ERR_INFO_INIT;
        struct arena a = ARENA_INIT(64 << 20);
        struct torch_file f;
        enum err rc = torch_read(&f, file.data, file.len, &a, &err);
        /* this one is sound as a container; which shape fc8.weight must have, only its network
         * knows */
        bool sound = control || strcmp(name, "pth-shape.pth") == 0;
        bool ok = sound ? rc == ERR_OK && f.n == 32 : rc == ERR_MODEL && err.message[0];
        if (!ok) print_error("%s: %s, \"%s\"\n", name, err_name(rc), err.message);
        failed += !ok;
        seen++;
        arena_release(&a);
        buf_release(&file);
    }
    json_decref(manifest);
    assert_int_equal(failed, 0);
    assert_true(seen >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pickles),    cmocka_unit_test(numbers),    cmocka_unit_test(limits),
        cmocka_unit_test(containers), cmocka_unit_test(recognised), cmocka_unit_test(vgg_face),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
