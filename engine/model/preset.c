/* Presets: words that say how a face becomes an embedder's input, and which output is read. What
 * the words of preprocessing subtract goes with its colour, whatever the order of the network's
 * planes; means and scales are from facts/models.md section 2. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/model.h"

/* Red, green, blue. */
static const struct preprocessing {
    const char *word;
    float mean[3], scale;
} PREPROCESSING[] = {
    {"caffe", {129.1863f, 104.7624f, 93.5940f}, 1}, /* Parkhi et al.'s means */
    {"matconvnet", {129.1863f, 104.7624f, 93.5940f}, 1},
    /* The demo that came with the Caffe and Torch weights takes red's mean from blue. */
    {"demo-swapped-mean", {93.5940f, 104.7624f, 129.1863f}, 1},
    {"vggface2", {131.0912f, 103.8827f, 91.4953f}, 1},
    {"imagenet", {123.68f, 116.779f, 103.939f}, 1},
    {"deepface-base", {0, 0, 0}, 1.0f / 255},
    {"raw", {0, 0, 0}, 1},
    {"centered", {127.5f, 127.5f, 127.5f}, 1 / 127.5f},     /* InsightFace's ArcFace */
    {"centered-128", {127.5f, 127.5f, 127.5f}, 1 / 128.0f}, /* deepface's */
};

static const struct {
    const char *word;
    enum model_crop crop;
    float padding;
} CROPS[] = {
    {"box", CROP_BOX, 0},
    {"box-margin", CROP_BOX, 0.15f},
    {"letterbox", CROP_LETTERBOX, 0},
    {"aligned", CROP_BOX_ALIGNED, 0},
    {"aligned-margin", CROP_BOX_ALIGNED, 0.15f},
    {"five-points", CROP_SIMILARITY, 0},
};

/* Where ArcFace's and SFace's 112 x 112 chips have the five points (facts/models.md 6.2). */
static const float POINTS[5][2] = {{38.2946f, 51.6963f},
                                   {73.5318f, 51.5014f},
                                   {56.0252f, 71.7366f},
                                   {41.5493f, 92.3655f},
                                   {70.7299f, 92.2041f}};
enum { POINTS_SIDE = 112 };

static const struct {
    const char *word, *output;
} OUTPUTS[] = {
    {"fc7", "embedding"}, {"fc7-linear", "fc7_linear"}, {"fc8", "fc8"}, {"pool5", "pool5_average"}};

void model_five_points(struct model_input *in)
{
    in->crop = CROP_SIMILARITY;
    in->padding = 0;
    for (int i = 0; i < 5; i++) {
        in->points[i][0] = POINTS[i][0] * ((float)in->w / POINTS_SIDE);
        in->points[i][1] = POINTS[i][1] * ((float)in->h / POINTS_SIDE);
    }
}

static void set_order(struct model_input *in, bool bgr)
{
    if (in->bgr == bgr) return;
    const float mean = in->mean[0],
                scale = in->scale[0]; /* what belongs to a colour goes with it */
    in->mean[0] = in->mean[2], in->mean[2] = mean;
    in->scale[0] = in->scale[2], in->scale[2] = scale;
    in->bgr = bgr;
}

static bool word_is(const char *word, size_t len, const char *known)
{
    return strlen(known) == len && memcmp(word, known, len) == 0;
}

static bool apply(struct model_input *in, const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(PREPROCESSING); i++) {
        const struct preprocessing *p = &PREPROCESSING[i];
        if (!word_is(word, len, p->word)) continue;
        for (int c = 0; c < 3; c++) {
            in->mean[c] = p->mean[in->bgr ? 2 - c : c];
            in->scale[c] = p->scale;
        }
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(CROPS); i++) {
        if (!word_is(word, len, CROPS[i].word)) continue;
        in->crop = CROPS[i].crop;
        in->padding = CROPS[i].padding;
        if (in->crop == CROP_SIMILARITY) model_five_points(in);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(OUTPUTS); i++) {
        if (!word_is(word, len, OUTPUTS[i].word)) continue;
        snprintf(in->output, sizeof in->output, "%s", OUTPUTS[i].output);
        return true;
    }
    if (!word_is(word, len, "rgb") && !word_is(word, len, "bgr")) return false;
    set_order(in, word_is(word, len, "bgr"));
    return true;
}

enum err model_preset(struct model_input *in, const char *preset, struct err_info *err)
{
    struct model_input made = *in;
    for (const char *word = preset; word && *preset;) {
        const size_t len = strcspn(word, "+");
        if (!apply(&made, word, len))
            return err_set(err, ERR_INVALID,
                           "preset '%.*s' is not known: caffe, matconvnet, demo-swapped-mean, "
                           "vggface2, imagenet, deepface-base, raw, centered, centered-128; box, "
                           "box-margin, letterbox, aligned, aligned-margin, five-points; fc7, "
                           "fc7-linear, fc8, pool5; rgb, bgr "
                           "(several: joined by +)",
                           len > 40 ? 40 : (int)len, word);
        word = word[len] ? word + len + 1 : NULL;
    }
    *in = made;
    return ERR_OK;
}
