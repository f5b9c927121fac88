/* Which order of colour planes a classifier of people expects, where its file does not say: both
 * are tried on a picture for whose class the right one is known to give a certain probability.
 *
 * That one order makes the class likelier than the other proves nothing: a network that was given
 * the wrong one may be surer of the same person (the mini VGG-Face of the tests is, 0.61 against
 * 0.52). So the published probability itself has to come out, and in one of the two orders only. */
#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "engine/embedder.h"
#include "engine/engine.h"

#include <math.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What decoding and scaling may differ by, in the probability; and how many times farther off the
 * other order has to be. */
static const double NEAR = 0.02, TIMES = 3;

/* Pictures that came with the weights or with programs that run them (facts/models.md 2.1). */
enum { VGG_FACE_CLASSES = 2622 };
static const struct {
    const char *sha256;
    struct order_check check;
} KNOWN[] = {
    {"2eae242ca3d16ad1b0e4a5a8e862c2403a93c6270df14860235029b0d462e77c", /* ajb.jpg */
     {0, 0.9790116, VGG_FACE_CLASSES, "caffe"}},
    {"ed4e6ee01ed1eaaf41b89005af8f1c02c993e50162e278bfd0c2f1fcc6a0cfbb", /* rm.jpg */
     {2122, 0.984787964730149, VGG_FACE_CLASSES, "demo-swapped-mean"}},
};

bool engine_order_known(struct order_check *out, const uint8_t *bytes, size_t len)
{
    char hex[65];
    hex_sha256(hex, bytes, len);
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++) {
        if (strcmp(KNOWN[i].sha256, hex) != 0) continue;
        *out = KNOWN[i].check;
        return true;
    }
    return false;
}

static enum err check_classes(const struct embedder *m, const struct order_check *c,
                              struct err_info *err)
{
    if (m->classifier < 0)
        return err_set(
            err, ERR_INVALID,
            "model %.64s has no classifier, so that no picture can tell the order of its "
            "planes",
            m->model->name);
    if (c->classes && c->classes != m->n_classes)
        return err_set(err, ERR_INVALID,
                       "the picture's class is known for a network of %d classes, model %.64s has "
                       "%d",
                       c->classes, m->model->name, m->n_classes);
    if (c->class < 0 || c->class >= m->n_classes)
        return err_set(err, ERR_INVALID, "class %d: model %.64s has %d, counted from 0", c->class,
                       m->model->name, m->n_classes);
    return ERR_OK;
}

/* The class's probability with the planes in this order. */
static enum err probability(double *out, struct embedder *m, bool bgr, const struct image *im,
                            const struct order_check *c, struct lanes *lanes, struct err_info *err)
{
    AUTO_FREE float *rows = mem_aligned(embedder_row_floats(m), sizeof *rows);
    struct embedder_result result = {NULL, NULL};
    int crops;
    enum err rc;

    if (!rows) return err_set(err, ERR_NOMEM, "no memory for a picture");
    if ((rc = model_preset(&m->input, bgr ? "bgr" : "rgb", err))) return rc;
    if ((rc = embedder_rows_precropped(rows, &crops, m, im, err))) return rc;
    rc = embedder_run(&result, 1, crops, rows, false, true, m, lanes, err);
    if (!rc) *out = (double)result.classes[c->class];
    free(result.classes);
    return rc;
}

static void decide(struct order_result *r, const struct order_check *c)
{
    const double rgb = fabs(r->rgb - c->probability), bgr = fabs(r->bgr - c->probability);
    r->bgr_is_right = bgr < rgb;
    r->decided =
        fmin(rgb, bgr) <= NEAR && fmax(rgb, bgr) > NEAR && fmax(rgb, bgr) > TIMES * fmin(rgb, bgr);
}

/* What the model's file says from now on. */
static enum err record(const struct order_result *r, const struct order_check *c,
                       const char *picture, const char *models_dir, const struct model *m,
                       struct err_info *err)
{
    struct model_input input = m->input;
    const char *was = m->note ? m->note : "", *assumed = strstr(was, MODEL_PLANES_ASSUMED);
    const char *order = r->bgr_is_right ? "bgr" : "rgb";
    char note[1024];
    enum err rc;

    if (r->decided && (rc = model_preset(&input, order, err))) return rc;
    /* what is decided is assumed no longer */
    const int kept = r->decided && assumed ? (int)(assumed - was) : (int)strlen(was);
    int n = snprintf(note, sizeof note, "%.*s%s", kept < 500 ? kept : 500, was, kept ? "; " : "");
    snprintf(note + n, sizeof note - (size_t)n,
             "%.80s %s%s (class %d should have %.4f; it has %.4f as rgb, %.4f as bgr)", picture,
             r->decided ? "decides that its colour planes are "
                        : "does not decide the order of its colour planes",
             r->decided ? order : "", c->class, c->probability, r->rgb, r->bgr);
    return model_set_input(models_dir, m->name, &input, note, err);
}

enum err engine_check_order(struct order_result *out, const char *models_dir, const char *name,
                            const char *picture, const uint8_t *bytes, size_t len,
                            const struct order_check *c, struct err_info *err)
{
    const struct embedder_options o = {.models_dir = models_dir,
                                       .name = name,
                                       .preset = c->preset,
                                       .average = "none",
                                       .backend = NN_FAST,
                                       .precision = NN_F32,
                                       .detection = ""};
    AUTO_IMAGE struct image im = IMAGE_INIT;
    struct order_result r = {.decided = false};
    struct embedder m = {0};
    struct lanes *lanes = NULL;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum err rc;

    if ((rc = image_decode(&im, bytes, len, err))) return rc;
    if ((rc = embedder_open(&m, &o, err))) return rc;
    rc = check_classes(&m, c, err);
    if (!rc) rc = lanes_new(&lanes, 1, cores < 1 ? 1 : (int)cores, err);
    if (!rc) rc = probability(&r.rgb, &m, false, &im, c, lanes, err);
    if (!rc) rc = probability(&r.bgr, &m, true, &im, c, lanes, err);
    lanes_free(lanes);
    if (!rc) {
        decide(&r, c);
        rc = record(&r, c, picture, models_dir, m.model, err);
    }
    embedder_close(&m);
    if (!rc) *out = r;
    return rc;
}
