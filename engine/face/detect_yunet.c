/* YuNet (Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector") with the rules of
 * facts/models.md 6.1: one network over the whole picture, a face or none at every cell of three
 * grids of 8, 16 and 32 pixels. One pass of the runner a picture. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "engine/face/mtcnn_boxes.h"

enum {
    PADDED = 32,          /* sides of what the network sees are multiples of it */
    CANDIDATES_MAX = 5000 /* cells that suppression is given, the best ones */
};

static const int STRIDES[YUNET_STRIDES] = {8, 16, 32};
static const struct {
    const char *name;
    int values; /* of a cell */
} HEADS[YUNET_HEADS] = {{"cls", 1}, {"obj", 1}, {"bbox", 4}, {"kps", 10}};
enum { CLS, OBJ, BBOX, KPS };

/* Farther outside than any picture is wide: what is there, or is not a number, is no face. */
static const float FAR = 1e6f;

/* --- the network's outputs --- */

/* Values of a cell lie together, cells in rows: what the file's Transpose makes of planes. Looked
 * at in a size whose sides differ, so that planes are not taken for it. */
static enum err check_output(const struct nn_shape *s, int head, int stride, const char *name,
                             struct err_info *err)
{
    const int values = HEADS[head].values, h = YUNET_PROBE_H / stride, w = YUNET_PROBE_W / stride;
    const bool count = (long long)s->c * s->h * s->w == (long long)h * w * values;
    if (count && (values == 1 || (s->c == h && s->h == w && s->w == values))) return ERR_OK;
    return err_set(err, ERR_MODEL,
                   "output %s is %dx%dx%d for %d x %d pixels, expected %d rows of %d cells of %d",
                   name, s->c, s->h, s->w, YUNET_PROBE_W, YUNET_PROBE_H, h, w, values);
}

enum err yunet_init(struct yunet *out, const struct nn_net *net, const struct model_input *in,
                    struct err_info *err)
{
    const struct nn_graph *g = nn_net_graph(net);
    AUTO_FREE struct nn_shape *shapes = malloc(((size_t)g->n_ops + 1) * sizeof *shapes);
    struct yunet y = {.net = net, .input = *in};
    enum err rc;

    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    if (g->in_h || g->in_c != 3)
        return err_set(err, ERR_MODEL, "it takes %d planes of %d x %d pixels, expected 3 of any",
                       g->in_c, g->in_w, g->in_h);
    if ((rc = nn_graph_shapes(g, YUNET_PROBE_H, YUNET_PROBE_W, shapes, err))) return rc;
    for (int head = 0; head < YUNET_HEADS; head++) {
        for (int s = 0; s < YUNET_STRIDES; s++) {
            char name[NN_NAME_BYTES];
            snprintf(name, sizeof name, "%s_%d", HEADS[head].name, STRIDES[s]);
            const int o = y.output[head][s] = nn_graph_output(g, name);
            if (o < 0) return err_set(err, ERR_MODEL, "it has no output %s", name);
            rc = check_output(&shapes[g->outputs[o].op], head, STRIDES[s], name, err);
            if (rc) return rc;
        }
    }
    *out = y;
    return ERR_OK;
}

/* --- from cells to faces --- */

struct grids {
    int w[YUNET_STRIDES], h[YUNET_STRIDES];
    const float *value[YUNET_HEADS][YUNET_STRIDES];
    size_t cells; /* of all */
};

static float clip01(float v)
{
    return v > 1 ? 1 : v > 0 ? v : 0; /* NaN: 0 */
}

/* x1 y1 x2 y2 of a cell; false: it lies nowhere. */
static bool cell_box(float at[4], const float *b, int col, int row, int stride)
{
    const float s = (float)stride, cx = ((float)col + b[0]) * s, cy = ((float)row + b[1]) * s,
                w = expf(b[2]) * s, h = expf(b[3]) * s;
    at[0] = cx - w / 2;
    at[1] = cy - h / 2;
    at[2] = cx + w / 2;
    at[3] = cy + h / 2;
    for (int i = 0; i < 4; i++)
        if (!(fabsf(at[i]) < FAR)) return false;
    return true;
}

/* The persons' right eye, which is on the viewer's left, comes first: our own order. */
static bool cell_points(float p[5][2], const float *k, int col, int row, int stride)
{
    for (int i = 0; i < 5; i++) {
        p[i][0] = (k[2 * i] + (float)col) * (float)stride;
        p[i][1] = (k[2 * i + 1] + (float)row) * (float)stride;
        if (!(fabsf(p[i][0]) < FAR && fabsf(p[i][1]) < FAR)) return false;
    }
    return true;
}

/* Boxes over the threshold into list; row: which cell of all a box comes from. */
static int collect(struct mtcnn_box *list, const struct grids *g, const struct yunet_options *o)
{
    int n = 0, first = 0;
    for (int s = 0; s < YUNET_STRIDES; s++) {
        const int cells = g->w[s] * g->h[s];
        for (int i = 0; i < cells; i++) {
            struct mtcnn_box *b = &list[n];
            const float score = sqrtf(clip01(g->value[CLS][s][i]) * clip01(g->value[OBJ][s][i]));
            if (!(score > o->threshold)) continue;
            if (!cell_box(b->at, g->value[BBOX][s] + 4 * i, i % g->w[s], i / g->w[s], STRIDES[s]))
                continue;
            if (b->at[3] - b->at[1] < o->min_size) continue;
            b->score = score;
            b->order = n++;
            b->row = first + i;
        }
        first += cells;
    }
    return n;
}

static bool face_of(struct detection *d, const struct mtcnn_box *b, const struct grids *g)
{
    int s = 0, i = b->row;
    for (; i >= g->w[s] * g->h[s]; s++) i -= g->w[s] * g->h[s];
    memcpy(d->box, b->at, sizeof d->box);
    d->score = b->score;
    return cell_points(d->points, g->value[KPS][s] + 10 * i, i % g->w[s], i / g->w[s], STRIDES[s]);
}

static enum err decode(struct detection **out, int *n, const struct grids *g,
                       const struct yunet_options *o, struct err_info *err)
{
    AUTO_FREE struct mtcnn_box *list = malloc(g->cells * sizeof *list);
    if (!list) return err_set(err, ERR_NOMEM, "no memory for %zu cells", g->cells);
    int found = collect(list, g, o), kept = 0;
    mtcnn_sort(list, found);
    if (found > CANDIDATES_MAX) found = CANDIDATES_MAX;
    found = mtcnn_suppress_union(list, found, o->overlap);
    if (!found) return ERR_OK;
    AUTO_FREE struct detection *d = malloc((size_t)found * sizeof *d);
    if (!d) return err_set(err, ERR_NOMEM, "no memory for %d faces", found);
    for (int i = 0; i < found; i++) kept += face_of(&d[kept], &list[i], g);
    if (!kept) return ERR_OK;
    detections_sort(d, kept);
    *n = kept;
    *out = d;
    d = NULL;
    return ERR_OK;
}

/* --- one pass --- */

static int padded(int side)
{
    return (side + PADDED - 1) / PADDED * PADDED;
}

enum err yunet_detect(struct detection **out, int *n, const struct yunet *y,
                      const struct face_runner *runner, const struct image *im,
                      const struct yunet_options *o, struct err_info *err)
{
    const int w = padded(im->w), h = padded(im->h);
    const size_t pixels = (size_t)w * (size_t)h;
    AUTO_IMAGE struct image canvas = IMAGE_INIT;
    struct model_input in = y->input;
    struct grids g = {.cells = 0};
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    struct detection *found = NULL;
    int count = 0;
    enum err rc;

    if ((rc = image_pad(&canvas, im, 0, 0, w, h, err))) return rc;
    for (int s = 0; s < YUNET_STRIDES; s++) {
        g.w[s] = w / STRIDES[s];
        g.h[s] = h / STRIDES[s];
        g.cells += (size_t)g.w[s] * (size_t)g.h[s];
    }
    AUTO_FREE float *px = mem_aligned(3 * pixels, sizeof *px);
    AUTO_FREE float *values = mem_aligned(YUNET_CELL_VALUES * g.cells, sizeof *values);
    if (!px || !values)
        return err_set(err, ERR_NOMEM, "no memory to search %d x %d pixels", im->w, im->h);
    in.w = w;
    in.h = h;
    embed_input(px, canvas.rgb, &in, false);
    float *at = values;
    for (int head = 0; head < YUNET_HEADS; head++) {
        for (int s = 0; s < YUNET_STRIDES; s++) {
            g.value[head][s] = outs[y->output[head][s]] = at;
            at += (size_t)HEADS[head].values * (size_t)g.w[s] * (size_t)g.h[s];
        }
    }
    if ((rc = runner->run(runner->self, y->net, 1, h, w, px, outs, err))) return rc;
    if ((rc = decode(&found, &count, &g, o, err))) return rc;
    *out = found;
    *n = count;
    return ERR_OK;
}
