/* dlib's .dat files: which of them it is, and the shape predictors (facts/default-models.md
 * section 3.1). The ResNet is in dlib_resnet.c. */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/items.h"
#include "engine/model/import/dlib_reader.h"
#include "engine/model/import/import_internal.h"

enum {
    CASCADES_MAX = 100, /* dlib's trainer makes 15 */
    TREES_MAX = 10000,  /* a cascade; 500 */
    SPLITS_MAX = 1023,  /* a tree; 15 */
    PIXELS_MAX = 32767, /* a cascade; 500 or 800. split_idx is int16 */
};

struct shape_predictor {
    int points, cascades, trees, splits, pixels;
    float *initial;      /* [points][2] */
    int32_t *anchor;     /* [cascades][pixels] */
    float *delta;        /* [cascades][pixels][2] */
    int16_t *split_idx;  /* [cascades][trees][splits][2] */
    float *split_thresh; /* [cascades][trees][splits] */
    float *leaf;         /* [cascades][trees][splits + 1][2 * points] */
};

/* A column of n floats. dlib writes a matrix's sizes negative. */
static void read_column(struct dlib_reader *r, float *out, int n)
{
    dlib_int_in(r, -n, -n, "rows of a shape (negative)");
    dlib_int_in(r, -1, -1, "columns of a shape (negative)");
    for (int i = 0; i < n && !r->rc; i++) out[i] = dlib_float(r);
}

/* Memory for n values that the file still has to hold, each in at least least_bytes. */
static void *take(struct dlib_reader *r, struct arena *a, size_t n, size_t size, size_t least_bytes)
{
    if (r->rc) return NULL;
    if (n > dlib_left(r) / least_bytes) {
        dlib_fail(r, "%zu values to come, %zu bytes are left: cut short?", n, dlib_left(r));
        return NULL;
    }
    void *p = items_alloc(a, n, size);
    if (!p) r->rc = err_set(r->err, ERR_NOMEM, "no memory for %zu values of %zu bytes", n, size);
    return p;
}

/* The first tree says how many splits the others have too; the arrays are made then. */
static void make_trees(struct shape_predictor *s, struct dlib_reader *r, struct arena *a)
{
    s->splits = dlib_int_in(r, 1, SPLITS_MAX, "splits in a tree");
    if (s->splits & (s->splits + 1)) dlib_fail(r, "%d splits: the tree is not full", s->splits);
    size_t trees = (size_t)s->cascades * (size_t)s->trees, splits = trees * (size_t)s->splits;
    /* a split is 4 ints of 2 bytes, a float 2 ints: the least that an int takes is 2 bytes */
    s->split_thresh = take(r, a, splits, sizeof *s->split_thresh, 8);
    s->split_idx = take(r, a, splits, 2 * sizeof *s->split_idx, 8);
    s->leaf = take(r, a, (splits + trees) * 2 * (size_t)s->points, sizeof *s->leaf, 4);
}

static void read_tree(struct shape_predictor *s, struct dlib_reader *r, struct arena *a,
                      size_t tree)
{
    if (tree == 0)
        make_trees(s, r, a);
    else
        dlib_int_in(r, s->splits, s->splits, "splits in a tree");
    for (size_t i = 0; i < (size_t)s->splits && !r->rc; i++) {
        size_t at = tree * (size_t)s->splits + i;
        s->split_idx[2 * at] = (int16_t)dlib_int_in(r, 0, PIXELS_MAX - 1, "pixel of a split");
        s->split_idx[2 * at + 1] = (int16_t)dlib_int_in(r, 0, PIXELS_MAX - 1, "pixel of a split");
        s->split_thresh[at] = dlib_float(r);
    }
    dlib_int_in(r, s->splits + 1, s->splits + 1, "leaves of a tree");
    for (size_t i = 0; i <= (size_t)s->splits && !r->rc; i++) {
        size_t at = tree * (size_t)(s->splits + 1) + i;
        read_column(r, s->leaf + at * 2 * (size_t)s->points, 2 * s->points);
    }
}

static void read_forests(struct shape_predictor *s, struct dlib_reader *r, struct arena *a)
{
    s->cascades = dlib_int_in(r, 1, CASCADES_MAX, "cascades");
    for (int c = 0; c < s->cascades && !r->rc; c++) {
        if (c == 0)
            s->trees = dlib_int_in(r, 1, TREES_MAX, "trees in a cascade");
        else
            dlib_int_in(r, s->trees, s->trees, "trees in a cascade");
        for (int t = 0; t < s->trees && !r->rc; t++)
            read_tree(s, r, a, (size_t)c * (size_t)s->trees + (size_t)t);
    }
}

static void read_pixels(struct shape_predictor *s, struct dlib_reader *r, struct arena *a)
{
    dlib_int_in(r, s->cascades, s->cascades, "cascades with anchors");
    for (int c = 0; c < s->cascades && !r->rc; c++) {
        int n =
            dlib_int_in(r, c ? s->pixels : 1, c ? s->pixels : PIXELS_MAX, "pixels of a cascade");
        if (c == 0) {
            s->pixels = n;
            s->anchor = take(r, a, (size_t)s->cascades * (size_t)n, sizeof *s->anchor, 2);
            s->delta = take(r, a, (size_t)s->cascades * (size_t)n, 2 * sizeof *s->delta, 8);
        }
        for (int i = 0; i < n && !r->rc; i++)
            s->anchor[c * n + i] = dlib_int_in(r, 0, s->points - 1, "anchor point of a pixel");
    }
    dlib_int_in(r, s->cascades, s->cascades, "cascades with offsets");
    for (int c = 0; c < s->cascades && !r->rc; c++) {
        dlib_int_in(r, s->pixels, s->pixels, "offsets of a cascade");
        for (int i = 0; i < 2 * s->pixels && !r->rc; i++)
            s->delta[2 * c * s->pixels + i] = dlib_float(r);
    }
    size_t n = (size_t)s->cascades * (size_t)s->trees * (size_t)s->splits * 2;
    for (size_t i = 0; i < n && !r->rc; i++)
        if (s->split_idx[i] >= s->pixels)
            dlib_fail(r, "a split looks at pixel %d of %d", s->split_idx[i], s->pixels);
}

enum err import__dlib_shape(struct import_job *job, struct dlib_reader *r, struct err_info *err)
{
    struct arena a = {.max = 4 * job->len + (1 << 20)};
    struct shape_predictor s = {0};
    size_t start = r->at;
    int rows = -dlib_int_in(r, -1024, -2, "rows of the initial shape (negative)");

    r->at = start; /* read_column reads it again */
    s.points = rows / 2;
    if (!r->rc && rows != 2 * 5 && rows != 2 * 68)
        dlib_fail(r, "a shape predictor of %d points: 5 and 68 are known", s.points);
    s.initial = take(r, &a, 2 * (size_t)s.points, sizeof *s.initial, 4);
    if (!r->rc) read_column(r, s.initial, 2 * s.points);
    if (!r->rc) read_forests(&s, r, &a);
    if (!r->rc) read_pixels(&s, r, &a);
    if (!r->rc && dlib_left(r)) dlib_fail(r, "%zu bytes after the end", dlib_left(r));

    enum err rc = r->rc;
    if (!rc) {
        const size_t c = (size_t)s.cascades, t = (size_t)s.trees, n = (size_t)s.splits,
                     k = (size_t)s.pixels, p = (size_t)s.points;
        /* float32 and int32 first: what follows stays aligned */
        const struct st_tensor tensors[] = {
            {"initial", ST_F32, 2, {p, 2}, 2 * p, s.initial},
            {"anchor", ST_I32, 2, {c, k}, c * k, s.anchor},
            {"delta", ST_F32, 3, {c, k, 2}, 2 * c * k, s.delta},
            {"split_thresh", ST_F32, 3, {c, t, n}, c * t * n, s.split_thresh},
            {"leaf", ST_F32, 4, {c, t, n + 1, 2 * p}, c * t * (n + 1) * 2 * p, s.leaf},
            {"split_idx", ST_I16, 4, {c, t, n, 2}, c * t * n * 2, s.split_idx},
        };
        bool many = s.points == 68;
        struct model_draft draft = {
            .role = MODEL_LANDMARKS,
            .tensors = tensors,
            .n_tensors = ARRAY_LEN(tensors),
            .license = many ? "CC0-1.0 by its package; trained on iBUG 300-W, whose licence "
                              "excludes commercial use"
                            : "CC0-1.0",
            .restricted = many,
        };
        rc = import__finish(job, &draft, many ? "dlib-68point" : "dlib-5point", err);
    }
    arena_release(&a);
    return rc;
}

enum err import_dlib(struct import_job *job, struct err_info *err)
{
    struct dlib_reader r = {.data = job->data, .len = job->len, .err = err};
    dlib_int_in(&r, 1, 1, "version of a dlib file");
    if (r.rc) return r.rc;
    if (dlib_left(&r) &&
        (r.data[r.at] &
         0x80)) /* a matrix begins with a negative size, a network with a name's length */
        return import__dlib_shape(job, &r, err);
    return import__dlib_resnet(job, &r, err);
}
