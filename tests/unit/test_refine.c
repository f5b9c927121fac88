/* A detection made steady: what is asked of O-Net, and what becomes of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "tests/unit/nets.h"

#include <math.h>
#include <string.h>

enum { LOOKS = 4, W = 300, H = 200 };

/* A network that says the same of every look: the box as it is, the points in their places. */
struct fake {
    float prob[LOOKS]; /* of the four looks */
    enum err fail;
    int rows, calls;
};

static const float at[5][2] = {{.3f, .35f}, {.7f, .35f}, {.5f, .55f}, {.35f, .75f}, {.65f, .75f}};

static enum err answer(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                       float *const *outs, struct err_info *err)
{
    struct fake *f = self;
    const struct nn_graph *g = nn_net_graph(net);
    (void)in;
    assert_int_equal(h, 48);
    assert_int_equal(w, 48);
    f->rows = n;
    f->calls++;
    if (f->fail) return err_set(err, f->fail, "scripted");
    for (int i = 0; i < n; i++) {
        outs[nn_graph_output(g, "prob")][2 * i + 1] = f->prob[i % LOOKS];
        memset(outs[nn_graph_output(g, "box")] + 4 * i, 0, 4 * sizeof(float));
        for (int k = 0; k < 5; k++)
            for (int a = 0; a < 2; a++)
                outs[nn_graph_output(g, "points")][10 * i + 5 * a + k] = at[k][a];
    }
    return ERR_OK;
}

struct bench {
    struct net_made made;
    struct nn_net *net;
    struct image im;
};

static int setup(void **state)
{
    static uint8_t rgb[3 * W * H];
    struct bench *b = calloc(1, sizeof *b);
    struct err_info err = ERR_INFO_INIT;
    nets_onet(&b->made, 1);
    if (nn_net_new(&b->net, &b->made.g, NN_REF, NN_F32, &err)) return -1;
    b->im = (struct image){.w = W, .h = H, .rgb = rgb};
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    nn_net_free(b->net);
    nets_release(&b->made);
    free(b);
    return 0;
}

static enum err refine(struct detection *d, int n, struct bench *b, struct fake *f)
{
    const struct mtcnn nets = {.o = b->net};
    const struct face_runner runner = {answer, f};
    struct err_info err = ERR_INFO_INIT;
    return mtcnn_refine(d, n, &nets, &runner, &b->im, &err);
}

/* Looks are symmetric about the square around the face, so that what they agree on is that square.
 */
static void the_mean_of_four_looks(void **state)
{
    struct bench *b = *state;
    struct fake f = {.prob = {1, 1, 1, 1}};
    struct detection d[2] = {{.box = {101, 51, 181, 131}, .score = 0.9f},
                             {.box = {60.4f, 40.2f, 120.4f, 140.2f}, .score = 0.8f}};
    assert_int_equal(refine(d, 2, b, &f), ERR_OK);
    assert_int_equal(f.rows, 2 * LOOKS);
    assert_int_equal(f.calls, 1);
    static const float want[2][4] = {{101, 51, 181, 131}, {40.4f, 40.2f, 140.4f, 140.2f}};
    for (int i = 0; i < 2; i++) {
        const float side = want[i][2] - want[i][0];
        for (int k = 0; k < 4; k++)
            if (fabsf(d[i].box[k] - want[i][k]) > 1) /* squares are cut at whole pixels */
                fail_msg("face %d: side %d at %g, expected %g", i, k, (double)d[i].box[k],
                         (double)want[i][k]);
        for (int k = 0; k < 5; k++)
            for (int a = 0; a < 2; a++)
                if (fabsf(d[i].points[k][a] - (want[i][a] - 1 + at[k][a] * side)) > 1)
                    fail_msg("face %d: point %d,%d at %g", i, k, a, (double)d[i].points[k][a]);
    }
    assert_float_equal(d[0].score, 0.9f, 0); /* not ours to change */
}

/* A look that O-Net does not believe counts for nothing. */
static void looks_weigh_by_probability(void **state)
{
    struct bench *b = *state;
    struct fake one = {.prob = {1, 1, 1, 0}}, all = {.prob = {1, 1, 1, 1}};
    struct detection d = {.box = {101, 51, 181, 131}}, e = d;
    assert_int_equal(refine(&d, 1, b, &one), ERR_OK);
    assert_int_equal(refine(&e, 1, b, &all), ERR_OK);
    /* the fourth looks up and to the left: without it the mean lies to the lower right */
    assert_true(d.box[0] > e.box[0] && d.box[1] > e.box[1]);
}

static void doubted_faces_stay(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *name;
        float prob, box[4];
    } rows[] = {{"not a face", 0.4f, {101, 51, 181, 131}},
                {"outside", 1, {400, 300, 480, 380}},
                {"far outside", 1, {-9e5f, -9e5f, -8e5f, -8e5f}}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const float p = rows[i].prob;
        struct fake f = {.prob = {p, p, p, p}};
        struct detection d = {.points = {{1, 2}}, .score = 0.7f}, before;
        memcpy(d.box, rows[i].box, sizeof d.box);
        before = d;
        assert_int_equal(refine(&d, 1, b, &f), ERR_OK);
        if (memcmp(&d, &before, sizeof d) != 0) fail_msg("%s: it was moved", rows[i].name);
    }
}

/* Over the border of the picture positions are relative to what is there. */
static void faces_at_the_border(void **state)
{
    struct bench *b = *state;
    struct fake f = {.prob = {1, 1, 1, 1}};
    struct detection d = {.box = {-39, 51, 41, 131}};
    assert_int_equal(refine(&d, 1, b, &f), ERR_OK);
    assert_true(d.box[0] >= 0 && d.box[0] <= 2);
    for (int k = 0; k < 5; k++) assert_true(d.points[k][0] >= 0 && d.points[k][0] <= 45);
}

static void none_and_errors(void **state)
{
    struct bench *b = *state;
    struct fake f = {.fail = ERR_NOMEM};
    struct detection d = {.box = {101, 51, 181, 131}}, before = d;
    assert_int_equal(refine(NULL, 0, b, &f), ERR_OK);
    assert_int_equal(f.calls, 0);
    assert_int_equal(refine(&d, 1, b, &f), ERR_NOMEM);
    assert_memory_equal(&d, &before, sizeof d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_mean_of_four_looks, setup, teardown),
        cmocka_unit_test_setup_teardown(looks_weigh_by_probability, setup, teardown),
        cmocka_unit_test_setup_teardown(doubted_faces_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(faces_at_the_border, setup, teardown),
        cmocka_unit_test_setup_teardown(none_and_errors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
