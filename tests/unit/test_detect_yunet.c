/* YuNet's decoding: a network that answers with what the test puts into it, its cells worked out by
 * hand; and the ladder over it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/face/face.h"

enum { CELLS_MAX = 8, SCENES_MAX = 8, PROBE = 12 };

static const char *const HEADS[YUNET_HEADS] = {"cls", "obj", "bbox", "kps"};
static const int VALUES[YUNET_HEADS] = {1, 1, 4, 10};

/* One cell that says something; all others are zero. */
struct cell {
    int stride, row, col;
    float cls, obj, box[4], points[10];
};

struct scene {
    int n;
    struct cell cell[CELLS_MAX];
};

struct fake {
    struct nn_graph graph;
    struct nn_net *net;
    struct yunet yunet;
    float weights[3 * 10];
    const struct scene *scenes; /* one a look */
    int looks, w, h;            /* of the last look */
    float pixel[3][PROBE];      /* planes of the first row */
    enum err fail;
};

static int add(struct nn_graph *g, enum nn_kind kind, const char *name, int in)
{
    struct nn_op op;
    nn_op_init(&op, kind, name);
    op.n_in = 1;
    op.in[0] = in;
    return nn_graph_add(g, &op);
}

/* Each head: a 1 x 1 convolution of the strided picture, cells' values together as YuNet's file has
 * them. planes: as they come instead, for head `planes`. */
static void make_graph(struct fake *f, int planes)
{
    struct nn_graph *g = &f->graph;
    g->in_c = 3;
    for (int head = 0; head < YUNET_HEADS; head++) {
        for (int s = 8; s <= 32; s *= 2) {
            char name[NN_NAME_BYTES];
            snprintf(name, sizeof name, "conv_%s_%d", HEADS[head], s);
            struct nn_op op;
            nn_op_init(&op, NN_CONV2D, name);
            op.n_in = 1;
            op.in[0] = -1;
            op.out = VALUES[head];
            op.w = f->weights;
            op.w_count = 3 * (size_t)VALUES[head];
            op.stride[0] = op.stride[1] = s;
            int at = nn_graph_add(g, &op);
            snprintf(name, sizeof name, "%s_%d", HEADS[head], s);
            if (head != planes) {
                at = add(g, NN_TRANSPOSE, name, at);
                memcpy(g->ops[at].perm, (int[]){1, 2, 0}, sizeof g->ops[at].perm);
            }
            snprintf(g->outputs[g->n_outputs].name, NN_NAME_BYTES, "%s_%d", HEADS[head], s);
            g->outputs[g->n_outputs++].op = at;
        }
    }
}

static enum err answer(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                       float *const *outs, struct err_info *err)
{
    struct fake *f = self;
    const struct scene *scene = &f->scenes[f->looks++];
    assert_ptr_equal(net, f->net);
    assert_int_equal(n, 1);
    f->w = w;
    f->h = h;
    for (int c = 0; c < 3; c++)
        memcpy(f->pixel[c], in + (size_t)c * (size_t)(w * h), sizeof f->pixel[c]);
    if (f->fail) return err_set(err, f->fail, "scripted");
    for (int head = 0; head < YUNET_HEADS; head++)
        for (int k = 0; k < YUNET_STRIDES; k++) {
            const int s = 8 << k, cells = (h / s) * (w / s);
            float *to = outs[f->yunet.output[head][k]];
            memset(to, 0, (size_t)(cells * VALUES[head]) * sizeof *to);
            for (int i = 0; i < scene->n; i++) {
                const struct cell *c = &scene->cell[i];
                const float *from[] = {&c->cls, &c->obj, c->box, c->points};
                if (c->stride != s) continue;
                assert_true(c->row < h / s && c->col < w / s);
                memcpy(to + (c->row * (w / s) + c->col) * VALUES[head], from[head],
                       (size_t)VALUES[head] * sizeof *to);
            }
        }
    return ERR_OK;
}

static int setup(void **state)
{
    static const struct model_input INPUT = {.bgr = true, .scale = {1, 1, 1}};
    struct fake *f = calloc(1, sizeof *f);
    struct err_info err = ERR_INFO_INIT;
    make_graph(f, -1);
    if (nn_net_new(&f->net, &f->graph, NN_REF, NN_F32, &err) ||
        yunet_init(&f->yunet, f->net, &INPUT, &err))
        fail_msg("%s", err.message);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    nn_net_free(f->net);
    nn_graph_release(&f->graph);
    free(f);
    return 0;
}

static enum err detect(struct detection **out, int *n, struct fake *f, const struct scene *s, int w,
                       int h, const struct yunet_options *o)
{
    const struct face_runner runner = {answer, f};
    struct err_info err = ERR_INFO_INIT;
    AUTO_IMAGE struct image im = IMAGE_INIT;
    assert_int_equal(image_new(&im, w, h, &err), ERR_OK);
    for (size_t i = 0; i < 3 * (size_t)w * (size_t)h; i++) im.rgb[i] = (uint8_t)(10 + i % 3);
    f->scenes = s;
    f->looks = 0;
    *out = NULL;
    *n = 0;
    return yunet_detect(out, n, &f->yunet, &runner, &im, o, &err);
}

/* A face of 40 x 50 pixels around (64.8, 44) from the cell in row 3, column 5 of stride 8 (a cell's
 * corner is at column x stride), its logs of 5 and 6.25 strides. */
#define LOG5   1.6094379f
#define LOG625 1.8325815f
#define FACE(score)                                                                                \
    {                                                                                              \
        8, 3, 5, score, score, {3.1f, 2.5f, LOG5, LOG625},                                         \
        {                                                                                          \
            2.0f, 1.5f, 4.5f, 1.5f, 3.25f, 3, 2.25f, 4.5f, 4.25f, 4.5f                             \
        }                                                                                          \
    }

static void decodes(void **state)
{
    struct fake *f = *state;
    const struct yunet_options o = YUNET_OPTIONS_INIT;
    const struct scene s = {1,
                            {{8,
                              3,
                              5,
                              0.9f,
                              1.6f, /* clipped to 1 */
                              {3.1f, 2.5f, LOG5, LOG625},
                              {2.0f, 1.5f, 4.5f, 1.5f, 3.25f, 3, 2.25f, 4.5f, 4.25f, 4.5f}}}};
    static const float box[4] = {44.8f, 19, 84.8f, 69};
    static const float points[5][2] = {{56, 36}, {76, 36}, {66, 48}, {58, 60}, {74, 60}};
    struct detection *d;
    int n;
    assert_int_equal(detect(&d, &n, f, &s, 100, 65, &o), ERR_OK);
    assert_int_equal(f->w, 128); /* padded to multiples of 32, below and to the right */
    assert_int_equal(f->h, 96);
    assert_true(f->pixel[0][0] == 12 && f->pixel[1][0] == 11 && f->pixel[2][0] == 10); /* BGR */
    assert_int_equal(n, 1);
    assert_true(fabsf(d->score - 0.94868330f) < 1e-6f); /* sqrt(0.9) */
    for (int i = 0; i < 4; i++) assert_true(fabsf(d->box[i] - box[i]) < 1e-4f);
    for (int i = 0; i < 10; i++)
        assert_true(fabsf(d->points[i / 2][i % 2] - points[i / 2][i % 2]) < 1e-4f);
    free(d);
}

static void thresholds(void **state)
{
    static const struct {
        const char *name;
        struct scene s;
        float min_size;
        int faces;
    } CASES[] = {
        {"nothing", {0}, 20, 0},
        {"just below 0.6", {1, {FACE(0.5999f)}}, 20, 0},
        {"just above", {1, {FACE(0.6001f)}}, 20, 1},
        {"a score that is no number", {1, {{8, 0, 0, NAN, 1, {0}, {0}}}}, 20, 0},
        {"negative", {1, {{8, 0, 0, -1, -1, {0}, {0}}}}, 20, 0},
        {"smaller than asked for", {1, {FACE(0.9f)}}, 51, 0},
        {"as small as asked for", {1, {FACE(0.9f)}}, 49, 1},
        {"a box without end", {1, {{8, 0, 0, 1, 1, {0, 0, 200, 0}, {0}}}}, 20, 0},
        {"points nowhere", {1, {{32, 1, 1, 1, 1, {0}, {INFINITY}}}}, 20, 0},
        {"two cells of one face",
         {2, {FACE(0.9f), {16, 1, 2, .8f, .8f, {2, 1.75f, .92f, 1.14f}, {0}}}},
         20,
         1},
        {"two faces", {2, {FACE(0.9f), {32, 2, 0, .8f, .8f, {0}, {0}}}}, 20, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct yunet_options o = YUNET_OPTIONS_INIT;
        struct detection *d;
        int n;
        o.min_size = CASES[i].min_size;
        assert_int_equal(detect(&d, &n, *state, &CASES[i].s, 96, 96, &o), ERR_OK);
        if (n != CASES[i].faces || (n == 0) != (d == NULL))
            fail_msg("%s: %d faces, expected %d", CASES[i].name, n, CASES[i].faces);
        if (n == 2)
            assert_true(d[0].score > d[1].score && d[1].box[2] == 16); /* the larger first */
        free(d);
    }
}

static void errors_pass(void **state)
{
    struct fake *f = *state;
    const struct yunet_options o = YUNET_OPTIONS_INIT;
    const struct scene s = {0};
    struct detection *d;
    int n;
    f->fail = ERR_BUSY;
    assert_int_equal(detect(&d, &n, f, &s, 32, 32, &o), ERR_BUSY);
    assert_null(d);
}

/* Which graphs are no YuNet. */
static void refused(void **state)
{
    (void)state;
    static const struct model_input INPUT = {.bgr = true, .scale = {1, 1, 1}};
    static const char *const SAYS[] = {"output kps_8 is 10x8x12", "it has no output cls_8",
                                       "it takes 3 planes of 64 x 64"};
    for (int i = 0; i < 3; i++) {
        struct fake f = {.looks = 0};
        struct err_info err = ERR_INFO_INIT;
        make_graph(&f, i ? -1 : 3);
        if (i == 1) strcpy(f.graph.outputs[0].name, "clz_8");
        if (i == 2) f.graph.in_h = f.graph.in_w = 64;
        if (nn_net_new(&f.net, &f.graph, NN_REF, NN_F32, &err)) fail_msg("%s", err.message);
        assert_int_equal(yunet_init(&f.yunet, f.net, &INPUT, &err), ERR_MODEL);
        if (!strstr(err.message, SAYS[i]))
            fail_msg("\"%s\", expected \"%s\"", err.message, SAYS[i]);
        nn_net_free(f.net);
        nn_graph_release(&f.graph);
    }
}

/* The ladder's looks: default, turned by 180, 90 and 270 degrees where there is a convincing face;
 * enlarged, padded and turned where there is none. */
static void ladder(void **state)
{
    struct fake *f = *state;
    static const struct scene NONE = {0}, UNSURE = {1, {FACE(0.8f)}}, SURE = {1, {FACE(0.95f)}};
    const struct {
        const char *name;
        struct scene s[SCENES_MAX];
        int looks, faces;
        enum detect_pass pass;
    } CASES[] = {
        {"convincing", {SURE, NONE, NONE, NONE}, 4, 1, PASS_DEFAULT},
        {"as good upside down: stays", {SURE, SURE, SURE, SURE}, 4, 1, PASS_DEFAULT},
        {"much better upside down",
         {{1, {FACE(0.91f)}}, {1, {FACE(0.999f)}}, NONE, NONE},
         4,
         1,
         PASS_ROT180},
        {"only when it is enlarged", {UNSURE, SURE, NONE, NONE, NONE, NONE}, 6, 1, PASS_ENLARGED},
        {"likely, nowhere convincing",
         {UNSURE, UNSURE, UNSURE, UNSURE, UNSURE, UNSURE},
         6,
         1,
         PASS_DEFAULT},
        {"nothing", {NONE, NONE, NONE, NONE, NONE, NONE}, 6, 0, PASS_DEFAULT},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const struct detect_options o = DETECT_OPTIONS_INIT;
        const struct detector d = {.yunet = &f->yunet};
        const struct face_runner runner = {answer, f};
        struct err_info err = ERR_INFO_INIT;
        AUTO_IMAGE struct image im = IMAGE_INIT;
        struct detection *found = NULL;
        enum detect_pass pass;
        int n = 0;
        assert_int_equal(image_new(&im, 128, 128, &err), ERR_OK);
        f->scenes = CASES[i].s;
        f->looks = 0;
        assert_int_equal(detect_faces(&found, &n, &pass, &d, &runner, &im, &o, &err), ERR_OK);
        if (n != CASES[i].faces || pass != CASES[i].pass || f->looks != CASES[i].looks)
            fail_msg("%s: %d faces in pass %s after %d looks, expected %d, %s, %d", CASES[i].name,
                     n, detect_pass_name(pass), f->looks, CASES[i].faces,
                     detect_pass_name(CASES[i].pass), CASES[i].looks);
        free(found);
    }
}

int main(void)
{
#define WITH_NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {WITH_NET(decodes), WITH_NET(thresholds),
                                       WITH_NET(errors_pass), cmocka_unit_test(refused),
                                       WITH_NET(ladder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
