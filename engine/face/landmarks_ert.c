/* Ensemble of regression trees (Kazemi & Sullivan 2014, "One Millisecond Face Alignment with an
 * Ensemble of Regression Trees") with the file contents and the arithmetic of dlib's
 * shape_predictor, rounding included: 529 of 529 runs gave dlib's points. The model file's tensors
 * are used where they lie; an ert is immutable and shared by all threads. */
#include "engine/base/mem.h"
#include "engine/face/face.h"

#include <math.h>
#include <string.h>

enum {
    ERT_CASCADES_MAX = 64,
    ERT_TREES_MAX = 4096,
    ERT_FEATURES_MAX = 1024,
    ERT_POINTS_MAX = 68,
    ERT_DEPTH = 4,
    ERT_SPLITS = 15, /* of a tree */
    ERT_LEAVES = 16,
    ERT_BLOCK = 25, /* trees walked before their leaves are added */
};

struct ert {
    int points, cascades, trees, features;
    const float *initial;  /* [points][2] in units of the rectangle */
    const int32_t *anchor; /* [cascades][features] */
    const float *delta;    /* [cascades][features][2] */
    const float *thresh;   /* [cascades][trees][15] */
    const float *leaf;     /* [cascades][trees][16][points * 2] */
    uint16_t *idx; /* [cascades][trees][15][2]; owned: the file's may be 16 or 32 bits wide */
};

/* A tensor that must have this type and these dimensions (0: any, reported back). */
static enum err need(const struct st_tensor **out, const struct model *m, const char *name,
                     enum st_dtype dtype, int ndim, size_t *dims, struct err_info *err)
{
    const struct st_tensor *t = st_find(m->st, name);
    if (!t) return err_set(err, ERR_MODEL, "%s: no tensor \"%s\"", m->name, name);
    if (t->dtype != dtype)
        return err_set(err, ERR_MODEL, "%s: tensor \"%s\" has another type than expected", m->name,
                       name);
    if (t->ndim != ndim)
        return err_set(err, ERR_MODEL, "%s: tensor \"%s\" has %d dimensions, expected %d", m->name,
                       name, t->ndim, ndim);
    for (int i = 0; i < ndim; i++) {
        if (dims[i] && t->dims[i] != dims[i])
            return err_set(err, ERR_MODEL, "%s: dimension %d of tensor \"%s\" is %zu, expected %zu",
                           m->name, i, name, t->dims[i], dims[i]);
        dims[i] = t->dims[i];
    }
    *out = t;
    return ERR_OK;
}

static enum err copy_splits(struct ert *e, const struct model *m, const struct st_tensor *t,
                            struct err_info *err)
{
    e->idx = malloc(t->count * sizeof *e->idx);
    if (!e->idx) return err_set(err, ERR_NOMEM, "no memory for %zu split indices", t->count);
    for (size_t i = 0; i < t->count; i++) {
        int v = t->dtype == ST_I16 ? ((const int16_t *)t->data)[i] : ((const int32_t *)t->data)[i];
        if (v < 0 || v >= e->features)
            return err_set(err, ERR_MODEL, "%s: split index %d, there are %d features", m->name, v,
                           e->features);
        e->idx[i] = (uint16_t)v;
    }
    return ERR_OK;
}

static enum err read_tensors(struct ert *e, const struct model *m, struct err_info *err)
{
    const struct st_tensor *t, *idx = st_find(m->st, "split_idx");
    size_t p[2] = {0, 2}, a[2] = {0, 0};
    enum err rc;

    if ((rc = need(&t, m, "initial", ST_F32, 2, p, err))) return rc;
    e->initial = t->data;
    if ((rc = need(&t, m, "anchor", ST_I32, 2, a, err))) return rc;
    e->anchor = t->data;
    if (p[0] < 1 || p[0] > ERT_POINTS_MAX || a[0] < 1 || a[0] > ERT_CASCADES_MAX || a[1] < 1 ||
        a[1] > ERT_FEATURES_MAX)
        return err_set(err, ERR_MODEL,
                       "%s: %zu points, %zu cascades, %zu features; limits %d, %d, %d", m->name,
                       p[0], a[0], a[1], ERT_POINTS_MAX, ERT_CASCADES_MAX, ERT_FEATURES_MAX);
    e->points = (int)p[0];
    e->cascades = (int)a[0];
    e->features = (int)a[1];
    for (size_t i = 0; i < t->count; i++)
        if (e->anchor[i] < 0 || e->anchor[i] >= e->points)
            return err_set(err, ERR_MODEL, "%s: anchor %d, there are %d points", m->name,
                           (int)e->anchor[i], e->points);

    size_t d[3] = {a[0], a[1], 2}, th[3] = {a[0], 0, ERT_SPLITS};
    if ((rc = need(&t, m, "delta", ST_F32, 3, d, err))) return rc;
    e->delta = t->data;
    if ((rc = need(&t, m, "split_thresh", ST_F32, 3, th, err))) return rc;
    e->thresh = t->data;
    if (th[1] < 1 || th[1] > ERT_TREES_MAX)
        return err_set(err, ERR_MODEL, "%s: %zu trees a cascade, limit %d", m->name, th[1],
                       ERT_TREES_MAX);
    e->trees = (int)th[1];
    size_t lf[4] = {a[0], th[1], ERT_LEAVES, 2 * p[0]}, si[4] = {a[0], th[1], ERT_SPLITS, 2};
    if ((rc = need(&t, m, "leaf", ST_F32, 4, lf, err))) return rc;
    e->leaf = t->data;
    rc = need(&t, m, "split_idx", idx && idx->dtype == ST_I16 ? ST_I16 : ST_I32, 4, si, err);
    return rc ? rc : copy_splits(e, m, t, err);
}

enum err ert_open(struct ert **out, const struct model *m, struct err_info *err)
{
    struct ert *e = calloc(1, sizeof *e);
    if (!e) return err_set(err, ERR_NOMEM, "no memory for a landmark predictor");
    enum err rc = read_tensors(e, m, err);
    if (rc) {
        ert_close(e);
        return rc;
    }
    *out = e;
    return ERR_OK;
}

void ert_close(struct ert *e)
{
    if (!e) return;
    free(e->idx);
    free(e);
}

int ert_points(const struct ert *e)
{
    return e->points;
}

/* Rotation and scale of the least-squares similarity from the mean shape to shape: M = [a -b; b a].
 * Sums in double, result in float, as dlib. */
static void mean_to_shape(const struct ert *e, const float *shape, float *out_a, float *out_b)
{
    double mx = 0, my = 0, gx = 0, gy = 0, ff = 0, a = 0, b = 0;
    int n = e->points;
    for (int i = 0; i < n; i++) {
        mx += (double)e->initial[2 * i];
        my += (double)e->initial[2 * i + 1];
        gx += (double)shape[2 * i];
        gy += (double)shape[2 * i + 1];
    }
    mx /= n, my /= n, gx /= n, gy /= n;
    for (int i = 0; i < n; i++) {
        double fx = (double)e->initial[2 * i] - mx, fy = (double)e->initial[2 * i + 1] - my;
        double sx = (double)shape[2 * i] - gx, sy = (double)shape[2 * i + 1] - gy;
        ff += fx * fx + fy * fy;
        a += fx * sx + fy * sy;
        b += fx * sy - fy * sx;
    }
    *out_a = ff > 0 ? (float)(a / ff) : 1.0f;
    *out_b = ff > 0 ? (float)(b / ff) : 0.0f;
}

/* Grey, (R + G + B) / 3 in integers, at a point given in pixels; 0 outside the picture. */
static float grey_at(const struct image *im, double x, double y)
{
    /* floor(x + 0.5) by truncation, which is the same from 0 on. */
    x += 0.5;
    y += 0.5;
    if (!(x >= 0 && y >= 0 && x < im->w && y < im->h)) return 0;
    const uint8_t *p = im->rgb + 3 * ((size_t)(int)y * (size_t)im->w + (size_t)(int)x);
    return (float)((p[0] + p[1] + p[2]) / 3);
}

static void read_features(float *f, const struct ert *e, int cascade, const float *shape,
                          const struct image *im, const int rect[4])
{
    const int32_t *anchor = e->anchor + (size_t)cascade * (size_t)e->features;
    const float *delta = e->delta + 2 * (size_t)cascade * (size_t)e->features;
    double w = rect[2] - rect[0], h = rect[3] - rect[1];
    float a, b;

    mean_to_shape(e, shape, &a, &b);
    for (int i = 0; i < e->features; i++) {
        float dx = delta[2 * i], dy = delta[2 * i + 1];
        float u = a * dx + -b * dy + shape[2 * anchor[i]];
        float v = b * dx + a * dy + shape[2 * anchor[i] + 1];
        f[i] = grey_at(im, (double)u * w + rect[0], (double)v * h + rect[1]);
    }
}

/* Walks trees first..first+count-1 of a cascade; their leaves go to at and on their way into the
 * cache: the table of leaves (5 MB) is too large for it, and waiting for them was most of the time.
 */
static void walk(int at[ERT_BLOCK], const struct ert *e, size_t first, int count, const float *f)
{
    size_t width = 2 * (size_t)e->points;
    for (int t = 0; t < count; t++) {
        const uint16_t *idx = e->idx + (first + (size_t)t) * ERT_SPLITS * 2;
        const float *thresh = e->thresh + (first + (size_t)t) * ERT_SPLITS;
        const float *leaves = e->leaf + (first + (size_t)t) * ERT_LEAVES * width;
        int v = 0;
        for (int depth = 0; depth < ERT_DEPTH; depth++)
            v = 2 * v + 2 - (f[idx[2 * v]] - f[idx[2 * v + 1]] > thresh[v]);
        at[t] = v - ERT_SPLITS;
        __builtin_prefetch(leaves + (size_t)at[t] * width);
    }
}

/* Five points are the common case, and a known length needs no loop. */
static inline void add_leaf(float *restrict shape, const float *restrict leaf, size_t width)
{
    if (width == 10)
        for (size_t i = 0; i < 10; i++) shape[i] += leaf[i];
    else
        for (size_t i = 0; i < width; i++) shape[i] += leaf[i];
}

void ert_shape(const struct ert *e, const struct image *im, const int rect[4], int cascades,
               float *shape)
{
    float f[ERT_FEATURES_MAX];
    int at[ERT_BLOCK];
    size_t width = 2 * (size_t)e->points;

    memcpy(shape, e->initial, width * sizeof *shape);
    for (int c = 0; c < e->cascades && c < cascades; c++) {
        read_features(f, e, c, shape, im, rect);
        for (int t = 0; t < e->trees; t += ERT_BLOCK) {
            size_t first = (size_t)c * (size_t)e->trees + (size_t)t;
            int count = e->trees - t < ERT_BLOCK ? e->trees - t : ERT_BLOCK;
            walk(at, e, first, count, f);
            for (int i = 0; i < count; i++)
                add_leaf(shape,
                         e->leaf + ((first + (size_t)i) * ERT_LEAVES + (size_t)at[i]) * width,
                         width);
        }
    }
}

void ert_predict(const struct ert *e, const struct image *im, const int rect[4], int (*points)[2])
{
    float shape[2 * ERT_POINTS_MAX];

    ert_shape(e, im, rect, e->cascades, shape);
    for (int i = 0; i < e->points; i++) {
        double x = (double)shape[2 * i] * (rect[2] - rect[0]) + rect[0];
        double y = (double)shape[2 * i + 1] * (rect[3] - rect[1]) + rect[1];
        points[i][0] = (int)floor(x + 0.5);
        points[i][1] = (int)floor(y + 0.5);
    }
}

/* C truncation; bounded, because a cast of what does not fit is undefined. */
static int whole(double v)
{
    return (int)fmin(fmax(v, -1e6), 1e6);
}

void ert_rect(int rect[4], const struct detection *d)
{
    double side = 0.86 * ((double)d->box[3] - (double)d->box[1]), cx = 0, cy = 0;
    for (int k = 0; k < 5; k++) {
        cx += (double)d->points[k][0];
        cy += (double)d->points[k][1];
    }
    cx /= 5;
    cy = cy / 5 - 0.034 * side;
    rect[0] = whole(cx - side / 2);
    rect[1] = whole(cy - side / 2);
    rect[2] = whole(cx + side / 2);
    rect[3] = whole(cy + side / 2);
}
