/* The ladder's decisions, with networks that answer from a script: the n-th look at a picture finds
 * one face of a given score, upright or on its side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/face/face.h"

enum { LOOKS_MAX = 8 };

struct scripted {
    float score[LOOKS_MAX];
    bool sideways[LOOKS_MAX];
    enum err fail_at_look; /* not ERR_OK: the second look fails with it */
};

struct fake {
    struct nn_graph graph[3];
    struct nn_net *net[3];
    const struct scripted *script;
    int looks, planes; /* looks: O-Net was asked */
    float weights[3 * 16];
};

/* Three nets of one 1 x 1 convolution an output: only their outputs' names and shapes count. */
static void make_net(struct fake *f, int k, int side)
{
    static const char *const names[] = {"prob", "box", "points"};
    static const int channels[] = {2, 4, 10};
    struct nn_graph *g = &f->graph[k];
    struct err_info err = ERR_INFO_INIT;
    g->in_c = 3;
    g->in_h = g->in_w = side;
    for (int i = 0; i < (k == 2 ? 3 : 2); i++) {
        struct nn_op op;
        nn_op_init(&op, NN_CONV2D, names[i]);
        op.in[0] = -1;
        op.n_in = 1;
        op.out = channels[i];
        op.w = f->weights;
        op.w_count = 3 * (size_t)channels[i];
        g->outputs[i].op = nn_graph_add(g, &op);
        strcpy(g->outputs[i].name, names[i]);
        g->n_outputs = i + 1;
    }
    if (nn_net_new(&f->net[k], g, NN_REF, NN_F32, &err)) fail_msg("%s", err.message);
}

/* P-Net: one cell, the second of the second row of the first sheet, is a face. R-Net: yes. O-Net:
 * the script; the box grows to 84 x 105 pixels and the points are in a face's places, or turned by
 * 90 degrees. */
static enum err answer(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                       float *const *outs, struct err_info *err)
{
    static const float at[5][2] = {
        {1.2f, 1.6f}, {2.8f, 1.6f}, {2, 2.4f}, {1.3f, 3.4f}, {2.7f, 3.4f}};
    static const float grow[4] = {0, 0, 3, 4};
    struct fake *f = self;
    (void)in;

    if (net == f->net[0]) {
        size_t map_w = (size_t)(w - 1) / 2 - 4, plane = map_w * (size_t)((h - 1) / 2 - 4);
        memset(outs[0], 0, (size_t)n * 2 * plane * sizeof(float));
        memset(outs[1], 0, (size_t)n * 4 * plane * sizeof(float));
        if (h > 12 && w > 12) outs[0][plane + map_w + 1] = 0.99f;
        f->planes++;
        return ERR_OK;
    }
    if (net == f->net[1]) {
        for (int i = 0; i < n; i++) outs[0][2 * i + 1] = 0.99f;
        memset(outs[1], 0, (size_t)n * 4 * sizeof(float));
        return ERR_OK;
    }
    if (f->looks == 1 && f->script->fail_at_look)
        return err_set(err, f->script->fail_at_look, "scripted");
    assert_true(f->looks < LOOKS_MAX);
    for (int i = 0; i < n; i++) {
        outs[0][2 * i + 1] = f->script->score[f->looks];
        memcpy(outs[1] + 4 * i, grow, sizeof grow);
        for (int k = 0; k < 5; k++)
            for (int c = 0; c < 2; c++)
                outs[2][10 * i + 5 * c + k] = at[k][f->script->sideways[f->looks] ? 1 - c : c];
    }
    f->looks++;
    return ERR_OK;
}

static int setup(void **state)
{
    struct fake *f = calloc(1, sizeof *f);
    make_net(f, 0, 0);
    make_net(f, 1, 24);
    make_net(f, 2, 48);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    for (int k = 0; k < 3; k++) {
        nn_net_free(f->net[k]);
        nn_graph_release(&f->graph[k]);
    }
    free(f);
    return 0;
}

static enum err run(struct detection *first, int *n, enum detect_pass *pass, struct fake *f,
                    const struct scripted *s, int w, int h, const struct detect_options *o)
{
    struct image im = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct detection *d = NULL;
    const struct mtcnn nets = {f->net[0], f->net[1], f->net[2]};
    const struct detector mtcnn = {.mtcnn = &nets};
    const struct face_runner runner = {answer, f};
    assert_int_equal(image_new(&im, w, h, &err), ERR_OK);
    f->script = s;
    f->looks = f->planes = 0;
    *n = -1;
    enum err rc = detect_faces(&d, n, pass, &mtcnn, &runner, &im, o, &err);
    if (!rc && *n > 0) *first = d[0];
    if (!rc && *n == 0) assert_null(d);
    free(d);
    image_release(&im);
    return rc;
}

/* Looks in order: default, enlarged, padded, turned 180, 90, 270, low thresholds, these enlarged;
 * the middle ones only as far as needed. */
static void test_decisions(void **state)
{
    static const struct {
        const char *name;
        int side;
        bool retry;
        struct scripted s;
        enum detect_pass pass;
        int looks, faces;
    } cases[] = {
        {"sure", 200, true, {{.9999f}, {0}, 0}, PASS_DEFAULT, 1, 1},
        {"upside down is looked at", 200, true, {{.9985f, .5f}, {0}, 0}, PASS_DEFAULT, 2, 1},
        {"upside down wins", 200, true, {{.9985f, .9999f}, {0}, 0}, PASS_ROT180, 2, 1},
        {"not by a little", 200, true, {{.9985f, .9990f}, {0}, 0}, PASS_DEFAULT, 2, 1},
        {"all turns", 200, true, {{.993f, .5f, .9999f, .8f}, {0}, 0}, PASS_ROT90, 4, 1},
        {"the best turn", 200, true, {{.993f, .9985f, .9986f, .99995f}, {0}, 0}, PASS_ROT270, 4, 1},
        {"a turned one on its side",
         200,
         true,
         {{.993f, .5f, .9999f, .5f}, {[2] = true}, 0},
         PASS_DEFAULT,
         4,
         1},
        {"sideways in the default pass",
         200,
         true,
         {{.9999f, .5f, .5f, .5f, .9995f, .5f}, {true}, 0},
         PASS_ROT90,
         6,
         1},
        {"enlarged", 200, true, {{.5f, .9995f, .5f, .5f, .5f, .5f}, {0}, 0}, PASS_ENLARGED, 6, 1},
        {"padded beats enlarged",
         200,
         true,
         {{.5f, .9990f, .9995f, .5f, .5f, .5f}, {0}, 0},
         PASS_PADDED,
         6,
         1},
        {"big pictures are not enlarged",
         600,
         true,
         {{.5f, .9995f, .5f, .5f, .5f}, {0}, 0},
         PASS_PADDED,
         5,
         1},
        {"low thresholds",
         200,
         true,
         {{.5f, .5f, .5f, .5f, .5f, .5f, .995f}, {0}, 0},
         PASS_LOW,
         7,
         1},
        {"low thresholds, enlarged",
         200,
         true,
         {{.5f, .5f, .5f, .5f, .5f, .5f, .5f, .9996f}, {0}, 0},
         PASS_LOW_ENLARGED,
         8,
         1},
        {"low thresholds do not convince",
         200,
         true,
         {{.5f, .5f, .5f, .5f, .5f, .5f, .985f}, {0}, 0},
         PASS_DEFAULT,
         8,
         0},
        {"likely", 200, true, {{.98f, .5f, .5f, .5f, .5f, .5f, .5f}, {0}, 0}, PASS_DEFAULT, 8, 1},
        {"unlikely", 200, true, {{.95f, .5f, .5f, .5f, .5f, .5f, .5f}, {0}, 0}, PASS_DEFAULT, 8, 0},
        {"likely but sideways",
         200,
         true,
         {{.98f, .5f, .5f, .5f, .5f, .5f, .5f}, {true}, 0},
         PASS_DEFAULT,
         8,
         0},
        {"nothing", 200, true, {{0}, {0}, 0}, PASS_DEFAULT, 8, 0},
        {"no retry", 200, false, {{.8f}, {0}, 0}, PASS_DEFAULT, 1, 1},
    };
    struct fake *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct detect_options o = DETECT_OPTIONS_INIT;
        struct detection d;
        enum detect_pass pass;
        int n;
        o.retry = cases[i].retry;
        assert_int_equal(run(&d, &n, &pass, f, &cases[i].s, cases[i].side, cases[i].side, &o),
                         ERR_OK);
        if (pass != cases[i].pass || f->looks != cases[i].looks || n != cases[i].faces)
            fail_msg("%s: pass %s, %d looks, %d faces; expected %s, %d, %d", cases[i].name,
                     detect_pass_name(pass), f->looks, n, detect_pass_name(cases[i].pass),
                     cases[i].looks, cases[i].faces);
    }
}

/* Wherever a face was found, it is reported in the pixels of the picture that came in. */
static void test_coordinates(void **state)
{
    static const struct scripted plain = {{.9999f}, {0}, 0};
    static const struct {
        const char *name;
        struct scripted s;
        enum detect_pass pass;
        float least; /* face that the pass looks for: the fake's box is of that size */
    } cases[] = {
        {"enlarged", {{.5f, .9995f}, {0}, 0}, PASS_ENLARGED, 20},
        {"padded", {{.5f, .5f, .9995f}, {0}, 0}, PASS_PADDED, 50}, /* a quarter of 200 */
        {"180", {{.9985f, .9999f}, {0}, 0}, PASS_ROT180, 0}, /* a third of the default pass's */
        {"90", {{.993f, .5f, .9999f}, {0}, 0}, PASS_ROT90, 0},
        {"270", {{.993f, .5f, .5f, .9999f}, {0}, 0}, PASS_ROT270, 0},
    };
    struct fake *f = *state;
    struct detection seen; /* in the pass's own frame: the same there for every pass */
    enum detect_pass pass;
    int n;
    const int w = 300, h = 200;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct detect_options o = DETECT_OPTIONS_INIT;
        struct detection got, want;
        if (!cases[i].least) assert_int_equal(run(&seen, &n, &pass, f, &plain, w, h, &o), ERR_OK);
        o.min_size = cases[i].least ? cases[i].least : (seen.box[3] - seen.box[1]) / 3;
        assert_int_equal(run(&seen, &n, &pass, f, &plain, w, h, &o), ERR_OK);
        assert_int_equal(n, 1);
        want = seen;
        o = (struct detect_options)DETECT_OPTIONS_INIT;
        assert_int_equal(run(&got, &n, &pass, f, &cases[i].s, w, h, &o), ERR_OK);
        assert_int_equal(n, 1);
        if (pass != cases[i].pass) fail_msg("%s: pass %s", cases[i].name, detect_pass_name(pass));
        int q = detect_pass_quarter(pass);
        if (q) detection_turn(&want, &seen, q & 1 ? h : w, q & 1 ? w : h, 4 - q);
        for (int k = 0; k < 4; k++) {
            if (pass == PASS_ENLARGED) want.box[k] = (want.box[k] + 0.5f) / 2 - 0.5f;
            if (pass == PASS_PADDED) want.box[k] -= k & 1 ? (float)h / 2 : (float)w / 2;
            if (fabsf(got.box[k] - want.box[k]) > 0.01f)
                fail_msg("%s: side %d at %g, expected %g", cases[i].name, k, (double)got.box[k],
                         (double)want.box[k]);
        }
        if (q && (fabsf(got.points[0][0] - want.points[0][0]) > 0.01f ||
                  fabsf(got.points[4][1] - want.points[4][1]) > 0.01f))
            fail_msg("%s: the points did not travel with the box", cases[i].name);
    }
}

/* A big picture is looked at reduced: what is found there is larger here. */
static void test_reduced(void **state)
{
    static const struct scripted plain = {{.9999f}, {0}, 0};
    struct fake *f = *state;
    struct detect_options o = DETECT_OPTIONS_INIT;
    struct detection small, big;
    enum detect_pass pass;
    int n;
    o.max_side = 200;
    assert_int_equal(run(&small, &n, &pass, f, &plain, 200, 100, &o), ERR_OK);
    assert_int_equal(run(&big, &n, &pass, f, &plain, 800, 400, &o), ERR_OK);
    for (int k = 0; k < 4; k++)
        assert_float_equal(big.box[k], (small.box[k] + 0.5f) * 4 - 0.5f, 0.01);
    assert_float_equal(big.points[2][0], (small.points[2][0] + 0.5f) * 4 - 0.5f, 0.01);
    o.max_side = 0;
    assert_int_equal(run(&big, &n, &pass, f, &plain, 800, 400, &o), ERR_OK);
    assert_float_equal(big.box[2], small.box[2], 0.01);
}

static void test_errors(void **state)
{
    static const struct scripted broken = {{.5f}, {0}, ERR_NOMEM};
    struct fake *f = *state;
    struct detect_options o = DETECT_OPTIONS_INIT;
    struct detection d;
    enum detect_pass pass;
    int n;
    assert_int_equal(run(&d, &n, &pass, f, &broken, 200, 200, &o), ERR_NOMEM);
    assert_int_equal(n, -1); /* untouched */
    o.min_size = 3;
    assert_int_equal(run(&d, &n, &pass, f, &broken, 200, 200, &o), ERR_INVALID);
}

static void test_too_small(void **state)
{
    static const struct scripted plain = {{.9999f}, {0}, 0};
    struct fake *f = *state;
    struct detect_options o = DETECT_OPTIONS_INIT;
    struct detection d;
    enum detect_pass pass;
    int n;
    for (int side = 1; side < 10; side++) {
        assert_int_equal(run(&d, &n, &pass, f, &plain, side, side, &o), ERR_OK);
        assert_int_equal(n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decisions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coordinates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reduced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_small, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
