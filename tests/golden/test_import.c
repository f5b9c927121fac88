/* The default models as they lie in the models folder, against sums over the same weights that
 * other programs read: PyTorch 2.2.2 (torch.load) for MTCNN, and for dlib's files the reader in
 * ../shared/goldens/default/make.py, which folds each affine layer in double as the importer does.
 * Order is not seen by a sum: the layers' outputs are compared in test_mtcnn.c and test_embedder.c,
 * the predictors' in test_landmarks.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/model.h"
#include "tests/support.h"

static const struct {
    const char *model;
    enum model_role role;
    const char *source_sha256;
    const char *tensor; /* NULL: all float32 tensors together */
    size_t count;
    double sum, squares;
} CASES[] = {
    {"mtcnn-p", MODEL_DETECTOR, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
     NULL, 6632, -43.125317, 445.854849},
    {"mtcnn-r", MODEL_DETECTOR, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
     NULL, 100178, -178.50655, 224.671878},
    {"mtcnn-o", MODEL_DETECTOR, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
     NULL, 389040, -354.439496, 265.525172},
    /* 5,614,592 in the file; folding removes 2 x 3,552 of the affine layers */
    {"dlib-resnet", MODEL_EMBEDDER,
     "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", NULL, 5607488, -2745.72231,
     7161.73726},
    {"dlib-5point", MODEL_LANDMARKS,
     "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888", "leaf", 1200000,
     -7.38669405, 0.683480233},
    {"dlib-5point", MODEL_LANDMARKS, NULL, "split_thresh", 112500, 8157.44778, 114695619},
    {"dlib-5point", MODEL_LANDMARKS, NULL, "split_idx", 225000, 90411347, 48385193255},
    {"dlib-5point", MODEL_LANDMARKS, NULL, "anchor", 12000, 28251, -1},
    {"dlib-5point", MODEL_LANDMARKS, NULL, "delta", 24000, 412.307262, -1},
    {"dlib-5point", MODEL_LANDMARKS, NULL, "initial", 10, 4.563159, -1},
    {"dlib-68point", MODEL_LANDMARKS,
     "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f", "leaf", 16320000,
     63.9932428, 16.2677882},
    {"dlib-68point", MODEL_LANDMARKS, NULL, "split_thresh", 112500, -10457.7741, 115253416},
    {"dlib-68point", MODEL_LANDMARKS, NULL, "split_idx", 225000, 56203812, 18720790052},
    {"dlib-68point", MODEL_LANDMARKS, NULL, "anchor", 7500, 196874, -1},
    {"dlib-68point", MODEL_LANDMARKS, NULL, "initial", 136, 72.4884028, -1},
};

struct sums {
    size_t count;
    double sum, squares;
};

static void add(struct sums *s, const struct st_tensor *t)
{
    for (size_t i = 0; i < t->count; i++) {
        double v = t->dtype == ST_F32   ? (double)((const float *)t->data)[i]
                   : t->dtype == ST_I32 ? (double)((const int32_t *)t->data)[i]
                                        : (double)((const int16_t *)t->data)[i];
        s->sum += v;
        s->squares += v * v;
    }
    s->count += t->count;
}

/* The constants have 9 digits. */
static bool agrees(double got, double want)
{
    return want == -1 || fabs(got - want) <= 1e-8 * fabs(want) + 1e-8;
}

static void sums(void **state)
{
    (void)state;
    int failed = 0;
    if (!test_have_models()) skip();
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct sums s = {0};
        struct model *m = NULL;
        enum err rc = model_open(&m, test_models_dir(), CASES[i].model, &err);
        if (rc == ERR_NOT_FOUND && !strcmp(CASES[i].model, "dlib-68point")) {
            if (CASES[i].source_sha256) printf("dlib-68point is not installed: not compared\n");
            continue;
        }
        if (rc) fail_msg("%s", err.message);
        for (size_t k = 0; k < st_count(m->st); k++) {
            const struct st_tensor *t = st_at(m->st, k);
            if (CASES[i].tensor ? !strcmp(t->name, CASES[i].tensor) : t->dtype == ST_F32)
                add(&s, t);
        }
        bool ok = m->role == CASES[i].role && s.count == CASES[i].count &&
                  agrees(s.sum, CASES[i].sum) && agrees(s.squares, CASES[i].squares) &&
                  (!CASES[i].source_sha256 || !strcmp(m->source_sha256, CASES[i].source_sha256));
        if (!ok)
            print_error("%s %s: %zu values, sum %.9g, squares %.9g\n", CASES[i].model,
                        CASES[i].tensor ? CASES[i].tensor : "", s.count, s.sum, s.squares);
        failed += !ok;
        model_close(m);
    }
    assert_int_equal(failed, 0);
}

/* What the rest of the program relies on: inputs, outputs, how a crop is made. */
static void interfaces(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int side, dim;
        enum model_crop crop;
        const char *outputs[3];
    } WANT[] = {
        {"mtcnn-p", 0, 0, CROP_NONE, {"prob", "box", NULL}},
        {"mtcnn-r", 24, 0, CROP_NONE, {"prob", "box", NULL}},
        {"mtcnn-o", 48, 0, CROP_NONE, {"prob", "box", "points"}},
        {"dlib-resnet", 150, 128, CROP_DLIB_CHIP, {"embedding", NULL, NULL}},
    };
    if (!test_have_models()) skip();
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct model *m;
        if (model_open(&m, test_models_dir(), WANT[i].model, &err)) fail_msg("%s", err.message);
        const struct model_input *in = &m->input;
        bool chip = WANT[i].crop == CROP_DLIB_CHIP;
        if (in->w != WANT[i].side || in->h != WANT[i].side || in->bgr || in->dim != WANT[i].dim ||
            in->crop != WANT[i].crop || in->padding != (chip ? 0.25f : 0) ||
            in->scale[0] != (chip ? 1.0f / 256 : 0.0078125f) ||
            in->mean[0] != (chip ? 122.782f : 127.5f) ||
            in->mean[1] != (chip ? 117.001f : 127.5f) || in->mean[2] != (chip ? 104.298f : 127.5f))
            fail_msg("%s: its input is not as expected", WANT[i].model);
        int n = 0;
        while (n < 3 && WANT[i].outputs[n]) {
            if (nn_graph_output(&m->graph, WANT[i].outputs[n]) != n)
                fail_msg("%s: output %d", WANT[i].model, n);
            n++;
        }
        assert_int_equal(m->graph.n_outputs, n);
        assert_int_equal(nn_graph_check(&m->graph, true, &err), ERR_OK);
        model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums), cmocka_unit_test(interfaces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
