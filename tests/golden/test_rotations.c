/* Photographs turned by 90, 180 and 270 degrees without a mark: found, in the right pass, with the
 * descriptor that the upright photograph gives; and no face of View 1 is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "tests/golden/pictures.h"

enum { DIM = 128, LFW_STEP = THOROUGH ? 25 : 500, LOST_STEP = THOROUGH ? 5 : 250 };

struct embedder {
    struct golden_net net;
    struct nn_exec *exec;
    struct model *points;
    struct ert *ert;
    int output;
};

static void embedder_open(struct embedder *e)
{
    struct err_info err = ERR_INFO_INIT;
    golden_net_open(&e->net, "dlib-resnet", NN_FAST);
    e->points = golden_model("dlib-5point");
    assert_int_equal(ert_open(&e->ert, e->points, &err), ERR_OK);
    assert_int_equal(nn_exec_new(&e->exec, 1, 0, &err), ERR_OK);
    e->output = nn_graph_output(nn_net_graph(e->net.net), "embedding");
    assert_true(e->output >= 0);
}

static void embedder_close(struct embedder *e)
{
    nn_exec_free(e->exec);
    ert_close(e->ert);
    model_close(e->points);
    golden_net_close(&e->net);
}

/* The face nearest to the centre weighted by size: the main face (ARCHITECTURE). */
static int main_face(const struct detection *f, int n, int w, int h)
{
    int best = 0;
    double most = -1;
    for (int i = 0; i < n; i++) {
        double dx = ((double)f[i].box[0] + (double)f[i].box[2] - w) / 2;
        double dy = ((double)f[i].box[1] + (double)f[i].box[3] - h) / 2, r = 0.25 * w;
        double area = (double)(f[i].box[2] - f[i].box[0]) * (double)(f[i].box[3] - f[i].box[1]);
        double v = area * exp(-(dx * dx + dy * dy) / (r * r) / 2);
        if (v > most) most = v, best = i;
    }
    return best;
}

/* Unit-length descriptor of the main face of a picture; false: no face. *pass, *score: what found
 * it. */
static bool describe(float *out, enum detect_pass *pass, float *score,
                     const struct golden_detector *d, const struct embedder *e,
                     const struct image *im)
{
    static float in[3 * CHIP_SIDE * CHIP_SIDE];
    static uint8_t chip[3 * CHIP_SIDE * CHIP_SIDE];
    struct detection *f;
    struct image t = IMAGE_INIT;
    struct chip_place place;
    struct err_info err = ERR_INFO_INIT;
    int rect[4], p5[5][2];
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    double squares = 0;

    int n = ladder(&f, pass, d, im), quarter = detect_pass_quarter(*pass);
    if (!n) return false;
    struct detection face = f[main_face(f, n, im->w, im->h)];
    free(f);
    *score = face.score;
    turned(&t, im, quarter);
    detection_turn(&face, &face, im->w, im->h, quarter);
    ert_rect(rect, &face);
    ert_predict(e->ert, &t, rect, p5);
    assert_int_equal(chip_place_from_points(&place, p5, 0.25, CHIP_SIDE, &err), ERR_OK);
    assert_int_equal(chip_extract(chip, CHIP_SIDE, &t, &place, &err), ERR_OK);
    image_release(&t);
    embed_input(in, chip, &e->net.model->input, false);
    outs[e->output] = out;
    assert_int_equal(nn_exec_run(e->exec, e->net.net, 1, CHIP_SIDE, CHIP_SIDE, in, outs, &err),
                     ERR_OK);
    for (int i = 0; i < DIM; i++) squares += (double)out[i] * (double)out[i];
    for (int i = 0; i < DIM; i++) out[i] = (float)((double)out[i] / sqrt(squares));
    return true;
}

static double cosine(const float *a, const float *b)
{
    double s = 0;
    for (int i = 0; i < DIM; i++) s += (double)a[i] * (double)b[i];
    return s;
}

struct tally {
    int pictures, found, same;
};

static void try_turned(struct tally *t, const struct golden_detector *d, const struct embedder *e,
                       const char *path)
{
    struct image im = IMAGE_INIT;
    float want[DIM], got[DIM], score = 0, upright_score = 0;
    enum detect_pass pass, upright_pass;

    if (!read_picture(&im, path)) return;
    if (!describe(want, &upright_pass, &upright_score, d, e, &im)) {
        printf("%s: no face upright\n", path);
        image_release(&im);
        return;
    }
    if (upright_pass != PASS_DEFAULT)
        printf("%s: upright found in pass %s, score %.4f\n", strrchr(path, '/') + 1,
               detect_pass_name(upright_pass), (double)upright_score);
    for (int q = 1; q < 4; q++) {
        struct image r = IMAGE_INIT;
        turned(&r, &im, q);
        bool found = describe(got, &pass, &score, d, e, &r);
        double c = found ? cosine(want, got) : 0;
        t->pictures++;
        t->found += found;
        t->same += c >= 0.97;
        if (c < 0.97)
            printf("%s turned %d times: %s, score %.4f, cosine %.3f (upright %.4f)\n",
                   strrchr(path, '/') + 1, q, found ? detect_pass_name(pass) : "no face",
                   (double)score, c, (double)upright_score);
        image_release(&r);
    }
    image_release(&im);
}

static void test_lfw(void **state)
{
    (void)state;
    struct golden_detector d;
    struct embedder e;
    struct tally t = {0};
    glob_t g;
    size_t n = lfw_pictures(&g);
    double began = clock_seconds();

    golden_detector_open(&d, NN_FAST);
    embedder_open(&e);
    for (size_t i = 7; i < n; i += LFW_STEP) try_turned(&t, &d, &e, g.gl_pathv[i]);
    globfree(&g);
    embedder_close(&e);
    golden_detector_close(&d);
    printf("%d turned photographs: found %d (%.1f %%), cosine to upright >= 0.97 in %d (%.1f %%); "
           "%.0f s\n",
           t.pictures, t.found, 100.0 * t.found / t.pictures, t.same, 100.0 * t.same / t.pictures,
           clock_seconds() - began);
    assert_true(t.pictures >= (THOROUGH ? 590 : 25));
    assert_true(t.same >= 0.95 * t.pictures);
}

static void test_exif_photographs(void **state)
{
    (void)state;
    static const char *const paths[] = {FACES "/exif/obama_orient1.jpg",
                                        FACES "/exif/couple_orient1.jpg",
                                        FACES "/exif/group_bbt_orient1.jpg"};
    struct golden_detector d;
    struct embedder e;
    struct tally t = {0};

    if (!test_have_shared()) skip();
    golden_detector_open(&d, NN_FAST);
    embedder_open(&e);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) try_turned(&t, &d, &e, paths[i]);
    embedder_close(&e);
    golden_detector_close(&d);
    printf("%d turned photographs: found %d, cosine >= 0.97 in %d\n", t.pictures, t.found, t.same);
    assert_int_equal(t.pictures, 9);
    assert_int_equal(t.same, 9);
}

/* View 1 upright: a face in every photograph. A fifth of them here; all 4,992 were counted once. */
static void test_none_lost(void **state)
{
    (void)state;
    struct golden_detector d;
    glob_t g;
    size_t n = lfw_pictures(&g);
    int tried = 0, lost = 0, passes[PASS_COUNT] = {0};
    double began = clock_seconds();
    const char *every = getenv("VISAVIS_TEST_ALL");

    golden_detector_open(&d, NN_FAST);
    for (size_t i = 0; i < n; i += every ? 1 : LOST_STEP) {
        struct image im = IMAGE_INIT;
        struct detection *f;
        enum detect_pass pass;
        if (!read_picture(&im, g.gl_pathv[i])) continue;
        int faces = ladder(&f, &pass, &d, &im);
        tried++;
        passes[pass]++;
        if (!faces) {
            printf("%s: no face\n", g.gl_pathv[i]);
            lost++;
        } else if (pass != PASS_DEFAULT) {
            printf("%s: pass %s, score %.4f\n", strrchr(g.gl_pathv[i], '/') + 1,
                   detect_pass_name(pass), (double)f[0].score);
        }
        free(f);
        image_release(&im);
    }
    golden_detector_close(&d);
    globfree(&g);
    printf("%d photographs, %d lost; %.0f s\n", tried, lost, clock_seconds() - began);
    for (int p = 0; p < PASS_COUNT; p++)
        if (passes[p]) printf("  %s: %d\n", detect_pass_name((enum detect_pass)p), passes[p]);
    assert_true(tried >= (THOROUGH ? 990 : 15));
    assert_int_equal(lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lfw),
        cmocka_unit_test(test_exif_photographs),
        cmocka_unit_test(test_none_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
