/* A detection made steady: O-Net looks again at squares around a face that is already found. The
 * squares are shifted to the four corners and a little larger or smaller in pairs, so that a
 * mirrored or turned picture gives the mirrored or turned answer. */
#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "engine/face/mtcnn_boxes.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 48, LOOKS = 4 };

/* Shift to the right and down in sides of the square, and its size. */
static const float looks[LOOKS][3] = {
    {0.05f, 0.05f, 1.05f}, {-0.05f, 0.05f, 0.95f}, {0.05f, -0.05f, 0.95f}, {-0.05f, -0.05f, 1.05f}};
/* Of the probabilities of the looks; below it the face is left as it was found. */
static const double LEAST_MEAN = 0.5;

struct crop_of { /* pixels of the picture that a look takes; w = 0: none of it is inside */
    int x, y, w, h;
};

static void look_at(struct crop_of *c, float *in, const struct detection *d, const float look[3],
                    const struct image *im)
{
    float at[4];
    memcpy(at, d->box, sizeof at);
    mtcnn_square(at);
    float side = at[2] - at[0], half = side * look[2] / 2;
    float cx = (at[0] + at[2]) / 2 + look[0] * side, cy = (at[1] + at[3]) / 2 + look[1] * side;
    const float square[4] = {cx - half, cy - half, cx + half, cy + half};
    if (!mtcnn_crop(square, im->w, im->h, &c->x, &c->y, &c->w, &c->h)) {
        *c = (struct crop_of){0};
        memset(in, 0, 3 * SIDE * SIDE * sizeof *in);
        return;
    }
    image_area_resample(in, SIDE, SIDE, im, c->x, c->y, c->w, c->h, -127.5f, 0.0078125f);
}

/* The mean of the looks, weighted by probability. Positions are relative to what the network saw:
 * at the border of the picture that is less than the square. Boxes count pixels from 1, points from
 * 0, as the detector's (facts/default-models.md section 2). */
static void average(struct detection *d, const struct crop_of *c, const float *prob,
                    const float *move, const float *points)
{
    double weight = 0, box[4] = {0}, p[5][2] = {{0}};
    for (int i = 0; i < LOOKS; i++, move += 4, points += 10) {
        const double v = c[i].w ? (double)prob[2 * i + 1] : 0;
        const double at[2] = {c[i].x, c[i].y}, size[2] = {c[i].w, c[i].h};
        weight += v;
        for (int a = 0; a < 2; a++) {
            box[a] += v * (at[a] + 1 + (double)move[a] * size[a]);
            box[2 + a] += v * (at[a] + size[a] + (double)move[2 + a] * size[a]);
            for (int k = 0; k < 5; k++)
                p[k][a] += v * (at[a] + (double)points[5 * a + k] * size[a]);
        }
    }
    if (!(weight >= LEAST_MEAN * LOOKS)) return;
    for (int i = 0; i < 4; i++) d->box[i] = (float)(box[i] / weight);
    for (int k = 0; k < 5; k++)
        for (int a = 0; a < 2; a++) d->points[k][a] = (float)(p[k][a] / weight);
}

enum err mtcnn_refine(struct detection *faces, int n, const struct mtcnn *d,
                      const struct face_runner *runner, const struct image *im,
                      struct err_info *err)
{
    const struct nn_graph *g = nn_net_graph(d->o);
    const int prob = nn_graph_output(g, "prob"), box = nn_graph_output(g, "box"),
              points = nn_graph_output(g, "points");
    const size_t rows = (size_t)n * LOOKS, floats = 3 * SIDE * SIDE;
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    enum err rc;

    if (!n) return ERR_OK;
    if (prob < 0 || box < 0 || points < 0)
        return err_set(err, ERR_MODEL, "the network that refines faces is no O-Net");
    AUTO_FREE float *in = mem_aligned(rows * (floats + 16), sizeof *in);
    AUTO_FREE struct crop_of *crops = malloc(rows * sizeof *crops);
    if (!in || !crops) return err_set(err, ERR_NOMEM, "no memory to refine %d faces", n);
    for (size_t r = 0; r < rows; r++)
        look_at(&crops[r], in + r * floats, &faces[r / LOOKS], looks[r % LOOKS], im);
    outs[prob] = in + rows * floats;
    outs[box] = outs[prob] + 2 * rows;
    outs[points] = outs[box] + 4 * rows;
    if ((rc = runner->run(runner->self, d->o, (int)rows, SIDE, SIDE, in, outs, err))) return rc;
    for (size_t i = 0; i < (size_t)n; i++)
        average(&faces[i], crops + i * LOOKS, outs[prob] + 2 * i * LOOKS, outs[box] + 4 * i * LOOKS,
                outs[points] + 10 * i * LOOKS);
    return ERR_OK;
}
