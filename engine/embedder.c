#include "engine/embedder.h"

#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/precision.h"

#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* To be raised with every change of code that moves embeddings by more than rounding: the ladder,
 * how crops are placed, how they are averaged. Then calibrations are measured again. 2: refined
 * detections. */
enum { PIPELINE_VERSION = 2 };

/* --- opening --- */

static enum err check_input(const struct embedder *e, struct err_info *err)
{
    const struct model_input *in = &e->input;
    if (e->model->role != MODEL_EMBEDDER)
        return err_set(err, ERR_INVALID, "model %.64s is a %s, not an embedder", e->model->name,
                       model_role_name(e->model->role));
    if (in->w != in->h || in->w < 1 || in->w > EMBEDDER_MAX_SIDE)
        return err_set(err, ERR_UNSUPPORTED,
                       "model %.64s takes %d x %d pixels, squares of up to %d can be made",
                       e->model->name, in->w, in->h, EMBEDDER_MAX_SIDE);
    if ((in->crop == CROP_NONE && !in->grey) || (in->crop == CROP_DLIB_CHIP && in->w != CHIP_SIDE))
        return err_set(err, ERR_UNSUPPORTED,
                       "model %.64s wants a %d x %d crop of a kind that this version cannot make",
                       e->model->name, in->w, in->h);
    return ERR_OK;
}

static enum err find_output(struct embedder *e, struct err_info *err)
{
    const struct nn_graph *g = &e->model->graph;
    const char *name = e->input.output[0] ? e->input.output : "embedding";
    AUTO_FREE struct nn_shape *shapes = malloc((size_t)g->n_ops * sizeof *shapes);
    enum err rc;

    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    e->output = nn_graph_output(g, name);
    if (e->output < 0)
        return err_set(err, ERR_INVALID, "model %.64s has no output named %.32s", e->model->name,
                       name);
    if ((rc = nn_graph_shapes(g, e->input.h, e->input.w, shapes, err))) return rc;
    struct nn_shape s = shapes[g->outputs[e->output].op];
    e->dim = s.c * s.h * s.w;
    e->classifier = nn_graph_output(g, "fc8");
    if (e->classifier < 0) return ERR_OK;
    s = shapes[g->outputs[e->classifier].op];
    e->n_classes = s.c * s.h * s.w;
    return ERR_OK;
}

static void add_text(struct sha256_ctx *sha, const char *key, const char *value)
{
    sha256_update(sha, strlen(key), (const uint8_t *)key);
    sha256_update(sha, strlen(value), (const uint8_t *)value);
    sha256_update(sha, 1, (const uint8_t *)"\n");
}

/* Everything that decides an embedding's numbers, beyond rounding: what finds and places the face,
 * the network with its preprocessing, which crops are averaged, the code between them, which output
 * is read. Where pictures come ready to be embedded, nothing is looked for. */
static void make_recipe(struct embedder *e, const struct embedder_options *o)
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char version[16];
    const bool found = e->input.crop != CROP_NONE;

    snprintf(version, sizeof version, "%d", PIPELINE_VERSION);
    sha256_init(&sha);
    add_text(&sha, "", found ? o->detection : "");
    add_text(&sha, "embedder=", e->model->sha256);
    add_text(&sha, "preset=", o->preset ? o->preset : "");
    add_text(&sha, "average=", e->crops->name);
    if (found) add_text(&sha, "pipeline=", version);
    add_text(&sha, "output=", "unit");
    /* Within the bound bf16 is rounding; past it, descriptors of their own. */
    if (nn_net_precision(e->net) == NN_BF16 && !(e->bf16_error <= PRECISION_BOUND))
        add_text(&sha, "precision=", "bf16");
    if (e->input.crop == CROP_SIMILARITY) add_text(&sha, "place=", "onto");
    sha256_digest(&sha, sizeof digest, digest);
    hex_text(e->recipe, digest, sizeof digest);
}

enum err embedder_open(struct embedder *out, const struct embedder_options *o, struct err_info *err)
{
    struct embedder e = {0};
    enum err rc = model_open(&e.model, o->models_dir, o->name, err);
    if (rc) return rc;
    const char *average = o->average ? o->average : e.model->input.average;
    e.input = e.model->input;
    e.bytes = e.model->bytes;
    if (o->preset && (rc = model_preset(&e.input, o->preset, err))) goto fail;
    if ((rc = check_input(&e, err))) goto fail;
    if ((rc = find_output(&e, err))) goto fail;
    e.crops = crops_by_name(*average ? average : "none");
    if (!e.crops) {
        rc = err_set(err, ERR_INVALID, "average '%.32s' is not a set of crops that we know",
                     average);
        goto fail;
    }
    const struct precision_ask ask = {.model = e.model,
                                      .input = &e.input,
                                      .output = e.output,
                                      .backend = o->backend,
                                      .wanted = o->precision,
                                      .threads = o->threads};
    if ((rc = precision_net(&e.net, &e.bf16_error, &ask, err))) goto fail;
    make_recipe(&e, o);
    *out = e;
    return ERR_OK;
fail:
    model_close(e.model);
    return rc;
}

void embedder_close(struct embedder *e)
{
    if (!e) return;
    nn_net_free(e->net);
    model_close(e->model);
    *e = (struct embedder){0};
}

enum err embedder_ready_recipe(char recipe[65], const char *models_dir, const char *name,
                               struct err_info *err)
{
    const struct embedder_options o = {.models_dir = models_dir,
                                       .name = name,
                                       .backend = NN_REF,
                                       .precision = NN_F32,
                                       .threads = 1,
                                       .detection = ""};
    struct embedder e;
    enum err rc = embedder_open(&e, &o, err);
    if (rc) return rc;
    if (e.input.crop == CROP_NONE)
        memcpy(recipe, e.recipe, sizeof e.recipe);
    else
        rc = err_set(err, ERR_INVALID, "what finds the faces is a part of model %.64s's recipe",
                     name);
    embedder_close(&e);
    return rc;
}

/* --- from a face to the network's input --- */

/* Floats of one crop. */
static size_t crop_floats(const struct model_input *in)
{
    return (in->grey ? 1 : 3) * (size_t)in->w * (size_t)in->h;
}

size_t embedder_row_floats(const struct embedder *e)
{
    return crop_floats(&e->input) * (size_t)e->crops->n;
}

/* The detector's box in a square, turned with the eyes where asked. */
static enum err place_box(struct chip_place *out, const struct detection *d, bool aligned,
                          double padding, struct err_info *err)
{
    const double w = (double)d->box[2] - (double)d->box[0],
                 h = (double)d->box[3] - (double)d->box[1],
                 cx = (double)(d->box[0] + d->box[2]) / 2, cy = (double)(d->box[1] + d->box[3]) / 2,
                 half = (w > h ? w : h) * (0.5 + padding);
    if (!(half >= 0.5)) return err_set(err, ERR_INVALID, "a face of %g x %g pixels", w, h);
    out->rect[0] = cx - half;
    out->rect[1] = cy - half;
    out->rect[2] = cx + half;
    out->rect[3] = cy + half;
    out->angle = aligned ? atan2((double)(d->points[1][1] - d->points[0][1]),
                                 (double)(d->points[1][0] - d->points[0][0]))
                         : 0;
    return ERR_OK;
}

/* Where the plain chip of each source lies. Only dlib's chip has two. */
static enum err find_places(struct chip_place place[CROP_SOURCE_COUNT], const struct embedder *e,
                            const struct embedder_face *f, struct err_info *err)
{
    const struct model_input *in = &e->input;
    struct chip_place *p = &place[CROP_FROM_DETECTOR];
    const float(*points)[2] = (const float(*)[2])f->steady->points;
    enum err rc;

    if (in->crop == CROP_DLIB_CHIP) {
        place[CROP_FROM_PREDICTOR] = *f->dlib;
        return chip_place_from_template(p, points, crop_template, CHIP_SIDE, err);
    }
    if (in->crop == CROP_SIMILARITY)
        rc = chip_place_onto_template(p, points, in->points, in->w, err);
    else
        rc = place_box(p, f->steady, in->crop == CROP_BOX_ALIGNED, (double)in->padding, err);
    place[CROP_FROM_PREDICTOR] = *p;
    return rc;
}

/* What of a chip lies beside the box becomes black. */
static void blacken(uint8_t *chip, int side, const struct chip_place *p, const float box[4])
{
    const double step = (p->rect[2] - p->rect[0]) / (side - 1);
    for (int y = 0; y < side; y++) {
        const double py = p->rect[1] + y * step;
        for (int x = 0; x < side; x++) {
            const double px = p->rect[0] + x * step;
            if (px < (double)box[0] || px > (double)box[2] || py < (double)box[1] ||
                py > (double)box[3])
                memset(chip + 3 * ((size_t)y * (size_t)side + (size_t)x), 0, 3);
        }
    }
}

static bool is_plain_dlib(const struct embedder *e, const struct crop *c)
{
    return e->input.crop == CROP_DLIB_CHIP && c->source == CROP_FROM_PREDICTOR && c->zoom == 1 &&
           c->dx == 0 && c->dy == 0 && c->degrees == 0;
}

static enum err cut(uint8_t *chip, const struct embedder *e, const struct embedder_face *f,
                    const struct chip_place *plain, const struct crop *c, struct err_info *err)
{
    const int side = e->input.w;
    struct chip_place place;
    enum err rc;

    if (is_plain_dlib(e, c)) {
        memcpy(chip, f->dlib_chip, 3 * CHIP_SIDE * CHIP_SIDE);
        return ERR_OK;
    }
    crop_place(&place, &plain[c->source], c, side);
    if ((rc = chip_extract(chip, side, f->im, &place, err))) return rc;
    if (e->input.crop == CROP_LETTERBOX) blacken(chip, side, &place, f->steady->box);
    return ERR_OK;
}

enum err embedder_rows(float *rows, uint8_t *chip, const struct embedder *e,
                       const struct embedder_face *f, struct err_info *err)
{
    const size_t pixels = (size_t)e->input.w * (size_t)e->input.h;
    AUTO_FREE uint8_t *cuts = malloc(3 * pixels);
    struct chip_place place[CROP_SOURCE_COUNT];
    enum err rc;

    if (e->input.crop == CROP_NONE)
        return err_set(err, ERR_INVALID,
                       "model %.64s is not for faces: its pictures are cut already (precropped)",
                       e->model->name);
    if (!cuts) return err_set(err, ERR_NOMEM, "no memory for a chip");
    if ((rc = find_places(place, e, f, err))) return rc;
    for (int i = 0; i < e->crops->n; i++) {
        const struct crop *c = &e->crops->crops[i], *before = i ? c - 1 : NULL;
        /* one that differs from the one before only by mirroring is not cut again */
        if (!before || before->source != c->source || before->zoom != c->zoom ||
            before->dx != c->dx || before->dy != c->dy || before->degrees != c->degrees)
            if ((rc = cut(cuts, e, f, place, c, err))) return rc;
        if (!i && chip) memcpy(chip, cuts, 3 * pixels);
        embed_input(rows + (size_t)i * crop_floats(&e->input), cuts, &e->input, c->mirror);
    }
    return ERR_OK;
}

enum err embedder_rows_precropped(float *rows, int *crops, const struct embedder *e,
                                  const struct image *im, struct err_info *err)
{
    const struct model_input *in = &e->input;
    AUTO_IMAGE struct image sized = IMAGE_INIT;
    const struct image *chip = im;
    enum err rc;

    if (im->w != in->w || im->h != in->h) {
        if ((rc = image_resize(&sized, im, in->w, in->h, err))) return rc;
        chip = &sized;
    }
    /* all that a chip without its surroundings allows: its mirror */
    *crops = e->crops->n > 1 ? 2 : 1;
    for (int i = 0; i < *crops; i++)
        embed_input(rows + (size_t)i * crop_floats(in), chip->rgb, in, i == 1);
    return ERR_OK;
}

/* --- the network --- */

/* Floats that run() leaves for a face, all its crops: [crops][size]. */
static const float *crops_of(const float *raw, int face, int crops, size_t size)
{
    return raw + (size_t)face * (size_t)crops * size;
}

static enum err sum_crops(float **out, const float *raw, int crops, size_t dim,
                          struct err_info *err)
{
    float *sum = *out = calloc(dim, sizeof *sum);
    if (!sum) return err_set(err, ERR_NOMEM, "no memory for an embedding");
    for (int c = 0; c < crops; c++, raw += dim)
        for (size_t k = 0; k < dim; k++) sum[k] += raw[k];
    if (match_normalize(sum, (int)dim)) return ERR_OK;
    return err_set(err, ERR_NO_EMBEDDING,
                   "the network has no embedding for this picture: what it gives is zero or not "
                   "finite");
}

/* The mean of the crops' softmax, in double. */
static enum err mean_softmax(float **out, const float *raw, int crops, size_t n,
                             struct err_info *err)
{
    float *mean = *out = calloc(n, sizeof *mean);
    if (!mean) return err_set(err, ERR_NOMEM, "no memory for %zu classes", n);
    for (int c = 0; c < crops; c++, raw += n) {
        double most = -INFINITY, sum = 0;
        for (size_t k = 0; k < n; k++) most = fmax(most, (double)raw[k]);
        for (size_t k = 0; k < n; k++) sum += exp((double)raw[k] - most);
        if (!(sum >= 1 && isfinite(sum)))
            return err_set(err, ERR_NO_EMBEDDING,
                           "the network has no classes for this picture: the values are not "
                           "finite");
        for (size_t k = 0; k < n; k++) mean[k] += (float)(exp((double)raw[k] - most) / sum / crops);
    }
    return ERR_OK;
}

enum err embedder_run(struct embedder_result *out, int n, int crops, const float *rows,
                      bool embedding, bool classes, const struct embedder *e, struct lanes *lanes,
                      struct err_info *err)
{
    const size_t dim = (size_t)e->dim, n_classes = (size_t)e->n_classes,
                 all = (size_t)n * (size_t)crops;
    AUTO_FREE float *raw = mem_aligned(all * (dim + n_classes), sizeof *raw);
    float *outs[NN_MAX_OUTPUTS] = {NULL}, *scores;
    enum err rc;

    if (!raw) return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", all);
    scores = raw + all * dim;
    if (classes) outs[e->classifier] = scores;
    if (embedding && !outs[e->output]) outs[e->output] = raw; /* fc8 may be the descriptor too */
    if ((rc = lanes_run(lanes, e->net, (int)all, e->input.h, e->input.w, rows, outs, err)))
        return rc;
    for (int i = 0; i < n; i++) {
        if (embedding &&
            (rc = sum_crops(&out[i].embedding, crops_of(outs[e->output], i, crops, dim), crops, dim,
                            err)))
            return rc;
        if (classes && (rc = mean_softmax(&out[i].classes, crops_of(scores, i, crops, n_classes),
                                          crops, n_classes, err)))
            return rc;
    }
    return ERR_OK;
}
