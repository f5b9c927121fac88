/* .caffemodel files made by hand, of a VGG-Face of width 1: which layers make one, how blobs may be
 * spelt, and which files are taken for Caffe's at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/import.h"
#include "engine/model/import/vggface.h"
#include "tests/unit/proto_write.h"

enum { BLOB_DATA = 5, BLOB_DIFF = 6, BLOB_SHAPE = 7, FC6_IN = 49, PIECES_MAX = 49 };

/* How a blob is written. */
struct spelling {
    bool shape; /* BlobShape, not num .. width */
    int pieces; /* of its packed data; more than there are values: each alone */
    bool diff;
};

static void add_blob(struct buf *layer, unsigned field, const int64_t dims[4],
                     const struct spelling *s)
{
    static const float VALUES[PIECES_MAX] = {1, 2, 3};
    struct buf blob = PROTO_INIT, shape = PROTO_INIT;
    const size_t n = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
    for (unsigned i = 0; i < 4; i++) {
        if (s->shape)
            proto_varint(&shape, (uint64_t)dims[i]);
        else
            proto_int(&blob, i + 1, dims[i]);
    }
    if (s->diff) proto_bytes(&blob, BLOB_DIFF, VALUES, sizeof VALUES);
    for (size_t i = 0; s->pieces > PIECES_MAX && i < n; i++) proto_float(&blob, BLOB_DATA, 1);
    for (int i = 0; s->pieces <= PIECES_MAX && i < s->pieces; i++) {
        const size_t from = n * (size_t)i / (size_t)s->pieces,
                     to = n * (size_t)(i + 1) / (size_t)s->pieces;
        proto_bytes(&blob, BLOB_DATA, VALUES + from, (to - from) * sizeof *VALUES);
    }
    if (s->shape) {
        struct buf packed = PROTO_INIT;
        proto_message(&packed, 1, &shape);
        proto_message(&blob, BLOB_SHAPE, &packed);
    }
    proto_message(layer, field, &blob);
}

static void add_layer(struct buf *net, bool v2, const char *name, int layer, int blobs,
                      const struct spelling *s)
{
    const int64_t in = layer == 0 ? 3 : layer == VGG_FC6 ? FC6_IN : 1;
    const int64_t conv[4] = {1, in, 3, 3}, dense[4] = {1, 1, 1, in}, bias[4] = {1, 1, 1, 1};
    struct buf m = PROTO_INIT;
    proto_text(&m, v2 ? 1 : 4, name);
    if (!v2) proto_int(&m, 5, 4);
    for (int i = 0; i < blobs; i++)
        add_blob(&m, v2 ? 7 : 6, i ? bias : layer < VGG_FC6 ? conv : dense, s);
    proto_message(net, v2 ? 100 : 2, &m);
}

static enum err import(struct buf *net, struct err_info *err)
{
    struct import_job job = {
        .data = net->data, .len = net->len, .file = "made", .options = {.accept_license = true}};
    enum err rc = import_caffe(&job, err);
    buf_release(net);
    return rc;
}

static void spellings(void **state)
{
    (void)state;
    static const struct spelling CASES[] = {
        {false, 1, false}, {true, 1, false}, {false, PIECES_MAX + 1, true},
        {false, 3, true},  {true, 2, true},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf net = PROTO_INIT;
        proto_text(&net, 1, "net");
        for (int k = 0; k < VGG_LAYERS; k++)
            add_layer(&net, i % 2, vgg_layer_names[k], k, 2, &CASES[i / 2]);
        assert_true(caffe_recognise(net.data, net.len));
        if (import(&net, &err)) fail_msg("spelling %zu: %s", i, err.message);
    }
}

static void which_layers(void **state)
{
    (void)state;
    static const struct {
        unsigned without; /* bits of layers */
        const char *more; /* a layer added */
        int blobs;
        const char *says; /* NULL: imported */
    } CASES[] = {
        {0, NULL, 2, NULL},
        {1 << 15, NULL, 2, NULL},
        {7 << 13, NULL, 2, NULL},
        {0, "pool1", 0, NULL},
        {3 << 14, NULL, 2, "missing layer fc7"},
        {1 << 14, NULL, 2, "missing layer fc7"},
        {1 << 3, NULL, 2, "missing layer conv2_2"},
        {0, "fc6", 2, "layer fc6 is there twice"},
        {0, "fc9", 2, "1 layers with weights that VGG-Face has not: fc9"},
        {1 << 15, "fc8", 1, "layer fc8: 1 blobs, expected 2"},
        {1 << 15, "fc8", 3, "layer fc8: 3 blobs, expected 2"},
        {0xffff, NULL, 0, "not known: 0 layers with weights"},
        {0xffff, "ip1", 2, "not known: 1 layers with weights, the first are ip1"},
    };
    static const struct spelling PLAIN = {false, 1, false};
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct buf net = PROTO_INIT;
        for (int k = 0; k < VGG_LAYERS; k++)
            if (!(CASES[i].without >> k & 1))
                add_layer(&net, false, vgg_layer_names[k], k, 2, &PLAIN);
        if (CASES[i].more) add_layer(&net, false, CASES[i].more, 15, CASES[i].blobs, &PLAIN);
        if (!net.len) proto_text(&net, 1, "net");
        enum err rc = import(&net, &err);
        if (CASES[i].says ? rc != ERR_MODEL || !strstr(err.message, CASES[i].says) : rc != ERR_OK)
            fail_msg("case %zu: %s", i, err.message);
    }
}

static void recognised(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool want;
    } CASES[] = {
        {"\12\3net\22\2\42\0", true},
        {"\12\3net\32\4data\242\6\0", true},
        {"\22\177", false},    /* cut */
        {"\10\7\22\1", false}, /* the name is no number */
        {"\12\3net", false},
        {"\112\1x\22\1y", false}, /* field 9 */
        {"hello, this is text", false},
        {"\200\200", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        if (caffe_recognise((const uint8_t *)CASES[i].bytes,
                            strlen(CASES[i].bytes) + (i == 0 || i == 1)) != CASES[i].want)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings),
        cmocka_unit_test(which_layers),
        cmocka_unit_test(recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
