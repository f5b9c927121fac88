/* MTCNN (Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment using Multitask Cascaded
 * Convolutional Networks") with the rules of facenet-pytorch 2.6.0, to the rounding
 * (facts/default-models.md section 2): P-Net proposes on a pyramid, R-Net refines 24 x 24 crops,
 * O-Net 48 x 48 crops and gives the five points.
 *
 * Three passes of the runner a picture (a big picture: one more for each 8 sheets), however many
 * candidates. Bounds for pictures that are nothing but candidates, far above what photographs have
 * (the most in the golden pictures, a crowd of 24 at 1986 x 1545: 636 of one level, 1,492 of all,
 * 155 into O-Net): the best LEVEL_MAX of a level, ALL_MAX of all levels, RNET_MAX and ONET_MAX
 * crops. */
#include "engine/face/detect_mtcnn.h"

#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "engine/face/mtcnn_sheets.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    LEVEL_MAX = 2000,
    ALL_MAX = 6000,
    RNET_MAX = 3000,
    ONET_MAX = 600,
    RNET_SIDE = 24,
    ONET_SIDE = 48,
    EDGE_KINDS = 3,
};

/* Cells at an odd level's edge are computed again, cut exactly, when the sheet gives them at least
 * this share of the threshold (0.03 of 0.6). In 225 pictures 63,632 cells lie there; 413 reach 0.6
 * when cut exactly, and of these the least has 0.11 on the sheet. 15 % are computed again. */
static const float EDGE_SHARE = 0.05f;

/* An exact edge cell sees one pixel less across (0), down (1) or both (2). */
static const int edge_w[EDGE_KINDS] = {MTCNN_CELL - 1, MTCNN_CELL, MTCNN_CELL - 1};
static const int edge_h[EDGE_KINDS] = {MTCNN_CELL, MTCNN_CELL - 1, MTCNN_CELL - 1};

struct list {
    struct mtcnn_box *b;
    int n, cap;
};

struct edge_cell {
    int sheet, x, y; /* pixels in the group's sheets */
    int level, cx, cy;
};

struct edges {
    struct edge_cell *cell;
    int n, cap;
};

struct search {
    const struct mtcnn *nets;
    const struct face_runner *runner;
    const struct image *im;
    const struct mtcnn_options *o;
    struct mtcnn_trace *trace;
    struct mtcnn_sheets sheets;
    struct list level[MTCNN_MAX_LEVELS];
    struct edges edges[EDGE_KINDS];
    struct list all;
};

struct outputs {
    int prob, box, points; /* indices of the graph's outputs */
};

static enum err find_outputs(struct outputs *o, const struct nn_net *net, bool points,
                             struct err_info *err)
{
    const struct nn_graph *g = nn_net_graph(net);
    o->prob = nn_graph_output(g, "prob");
    o->box = nn_graph_output(g, "box");
    o->points = points ? nn_graph_output(g, "points") : 0;
    if (o->prob < 0 || o->box < 0 || o->points < 0)
        return err_set(err, ERR_MODEL, "a network of the detector has no output \"%s\"",
                       o->prob < 0  ? "prob"
                       : o->box < 0 ? "box"
                                    : "points");
    return ERR_OK;
}

/* --- stage 1 --- */

static enum err list_room(struct list *l, int more, struct err_info *err)
{
    if (l->n + more <= l->cap) return ERR_OK;
    int cap = l->cap ? l->cap * 2 : 256;
    while (cap < l->n + more) cap *= 2;
    struct mtcnn_box *b = realloc(l->b, (size_t)cap * sizeof *b);
    if (!b) return err_set(err, ERR_NOMEM, "no memory for %d candidates", cap);
    l->b = b;
    l->cap = cap;
    return ERR_OK;
}

static enum err edge_add(struct edges *e, struct edge_cell c, struct err_info *err)
{
    if (e->n == e->cap) {
        int cap = e->cap ? e->cap * 2 : 64;
        struct edge_cell *p = realloc(e->cell, (size_t)cap * sizeof *p);
        if (!p) return err_set(err, ERR_NOMEM, "no memory for %d cells", cap);
        e->cell = p;
        e->cap = cap;
    }
    e->cell[e->n++] = c;
    return ERR_OK;
}

/* The box of a cell: floor((2 x + 1) / s) and floor((2 x + 12) / s), in float32 with s rounded to
 * it. */
static enum err cell_add(struct search *s, int level, int cx, int cy, float prob, const float *move,
                         size_t move_stride, struct err_info *err)
{
    struct list *l = &s->level[level];
    enum err rc = list_room(l, 1, err);
    if (rc) return rc;
    struct mtcnn_box *b = &l->b[l->n++];
    float scale = (float)s->sheets.level[level].scale;
    b->at[0] = floorf((float)(2 * cx + 1) / scale);
    b->at[1] = floorf((float)(2 * cy + 1) / scale);
    b->at[2] = floorf((float)(2 * cx + MTCNN_CELL) / scale);
    b->at[3] = floorf((float)(2 * cy + MTCNN_CELL) / scale);
    b->score = prob;
    for (int k = 0; k < 4; k++) b->move[k] = move[(size_t)k * move_stride];
    b->order = cy * s->sheets.level[level].map_w + cx;
    b->row = 0;
    return ERR_OK;
}

/* Cells of one piece: prob points at its first cell in the face plane, move in the first of four
 * planes. */
static enum err scan_piece(struct search *s, const struct mtcnn_piece *p, int sheet,
                           const float *prob, const float *move, int map_w, size_t plane,
                           struct err_info *err)
{
    const struct mtcnn_level *l = &s->sheets.level[p->level];
    const float limit = s->o->thresholds[0], near = EDGE_SHARE * limit;
    enum err rc;

    for (int y = 0; y < p->ch; y++) {
        bool last_row = (l->h & 1) && p->cy + y == l->map_h - 1;
        for (int x = 0; x < p->cw; x++) {
            size_t at = (size_t)y * (size_t)map_w + (size_t)x;
            if (prob[at] < near) continue;
            bool last_col = (l->w & 1) && p->cx + x == l->map_w - 1;
            if (last_row || last_col) {
                struct edge_cell c = {sheet,    p->x + 2 * x, p->y + 2 * y,
                                      p->level, p->cx + x,    p->cy + y};
                int kind = last_row && last_col ? 2 : last_row ? 1 : 0;
                if ((rc = edge_add(&s->edges[kind], c, err))) return rc;
            } else if (prob[at] >= limit) {
                if ((rc = cell_add(s, p->level, p->cx + x, p->cy + y, prob[at], move + at, plane,
                                   err)))
                    return rc;
            }
        }
    }
    return ERR_OK;
}

/* Edge cells of one kind, cut from the sheets they lie on and run as pictures of their own. */
static enum err run_edges(struct search *s, int kind, const float *px, const struct outputs *o,
                          struct err_info *err)
{
    struct edges *e = &s->edges[kind];
    int w = edge_w[kind], h = edge_h[kind], n = e->n;
    size_t floats = 3 * (size_t)w * (size_t)h, plane = (size_t)s->sheets.w * (size_t)s->sheets.h;
    enum err rc;

    if (!n) return ERR_OK;
    AUTO_FREE float *in = mem_aligned((size_t)n * (floats + 6), sizeof *in);
    if (!in) return err_set(err, ERR_NOMEM, "no memory for %d cells", n);
    float *prob = in + (size_t)n * floats, *move = prob + 2 * (size_t)n,
          *outs[NN_MAX_OUTPUTS] = {NULL};
    float *to = in;
    for (int i = 0; i < n; i++) {
        const struct edge_cell *c = &e->cell[i];
        for (int k = 0; k < 3; k++) {
            const float *from = px + ((size_t)c->sheet * 3 + (size_t)k) * plane +
                                (size_t)c->y * (size_t)s->sheets.w + c->x;
            for (int y = 0; y < h; y++, to += w, from += s->sheets.w)
                memcpy(to, from, (size_t)w * sizeof *to);
        }
    }
    outs[o->prob] = prob;
    outs[o->box] = move;
    if ((rc = s->runner->run(s->runner->self, s->nets->p, n, h, w, in, outs, err))) return rc;
    for (int i = 0; i < n; i++) {
        const struct edge_cell *c = &e->cell[i];
        float p = prob[2 * i + 1];
        if (p < s->o->thresholds[0]) continue;
        if ((rc = cell_add(s, c->level, c->cx, c->cy, p, move + 4 * (size_t)i, 1, err))) return rc;
    }
    e->n = 0;
    return ERR_OK;
}

static enum err run_group(struct search *s, int g, const float *px, float *prob, float *move,
                          const struct outputs *o, struct err_info *err)
{
    const struct mtcnn_sheets *t = &s->sheets;
    int first = g * SHEETS_GROUP, n = t->n - first < SHEETS_GROUP ? t->n - first : SHEETS_GROUP;
    int map_w = (t->w - 1) / 2 - 4, map_h = (t->h - 1) / 2 - 4;
    size_t plane = (size_t)map_w * (size_t)map_h;
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    enum err rc;

    outs[o->prob] = prob;
    outs[o->box] = move;
    if ((rc = s->runner->run(s->runner->self, s->nets->p, n, t->h, t->w, px, outs, err))) return rc;
    for (int i = 0; i < t->n_pieces; i++) {
        const struct mtcnn_piece *p = &t->piece[i];
        int sheet = p->sheet - first;
        if (sheet < 0 || sheet >= n) continue;
        size_t at = (size_t)(p->y / 2) * (size_t)map_w + (size_t)(p->x / 2);
        rc = scan_piece(s, p, sheet, prob + (2 * (size_t)sheet + 1) * plane + at,
                        move + 4 * (size_t)sheet * plane + at, map_w, plane, err);
        if (rc) return rc;
    }
    for (int k = 0; k < EDGE_KINDS; k++)
        if ((rc = run_edges(s, k, px, o, err))) return rc;
    return ERR_OK;
}

static enum err run_pyramid(struct search *s, struct err_info *err)
{
    struct mtcnn_sheets *t = &s->sheets;
    struct outputs o;
    int drawn = -1, n = t->n < SHEETS_GROUP ? t->n : SHEETS_GROUP;
    size_t plane = (size_t)t->w * (size_t)t->h, map = plane / 4; /* a map is a little less */
    enum err rc;

    if ((rc = find_outputs(&o, s->nets->p, false, err))) return rc;
    AUTO_FREE float *scratch = mem_aligned(t->level_floats, sizeof *scratch);
    AUTO_FREE float *px = mem_aligned((size_t)n * 3 * plane, sizeof *px);
    AUTO_FREE float *maps = mem_aligned((size_t)n * 6 * map, sizeof *maps);
    if (!scratch || !px || !maps)
        return err_set(err, ERR_NOMEM, "no memory to search %d x %d pixels", s->im->w, s->im->h);
    for (int g = 0; g * SHEETS_GROUP < t->n; g++) {
        sheets_fill(px, t, g, s->im, scratch, &drawn);
        if ((rc = run_group(s, g, px, maps, maps + 2 * (size_t)n * map, &o, err))) return rc;
    }
    return ERR_OK;
}

static void trace_levels(struct search *s)
{
    struct mtcnn_trace *t = s->trace;
    t->n_levels = s->sheets.n_levels;
    for (int i = 0; i < t->n_levels; i++) {
        const struct mtcnn_level *l = &s->sheets.level[i];
        t->level[i] =
            (struct mtcnn_trace_level){l->scale, l->w, l->h, l->map_w, l->map_h, s->level[i].n, 0};
    }
}

/* Suppression in each level, then over all; what remains is regressed and squared. */
static enum err merge_levels(struct search *s, struct err_info *err)
{
    struct list *all = &s->all;
    enum err rc;

    if (s->trace) trace_levels(s);
    for (int i = 0; i < s->sheets.n_levels; i++) {
        struct list *l = &s->level[i];
        if (!l->n) continue;
        mtcnn_sort(l->b, l->n);
        l->n = mtcnn_suppress_union(l->b, l->n < LEVEL_MAX ? l->n : LEVEL_MAX, 0.5);
        if (s->trace) s->trace->level[i].after_nms = l->n;
        if ((rc = list_room(all, l->n, err))) return rc;
        memcpy(all->b + all->n, l->b, (size_t)l->n * sizeof *l->b);
        all->n += l->n;
    }
    for (int i = 0; i < all->n; i++) all->b[i].order = i;
    if (all->n > ALL_MAX) {
        mtcnn_sort(all->b, all->n);
        all->n = ALL_MAX;
    }
    all->n = mtcnn_suppress_union(all->b, all->n, 0.7);
    if (s->trace) s->trace->pnet_after_nms_all = all->n;
    if (all->n > RNET_MAX) all->n = RNET_MAX;
    for (int i = 0; i < all->n; i++) {
        mtcnn_regress(&all->b[i], false);
        mtcnn_square(all->b[i].at);
    }
    return ERR_OK;
}

static int trace_boxes(struct mtcnn_box *to, const struct list *l)
{
    int n = l->n < MTCNN_TRACE_BOXES ? l->n : MTCNN_TRACE_BOXES;
    if (n) memcpy(to, l->b, (size_t)n * sizeof *to);
    return n;
}

/* --- stages 2 and 3 --- */

/* Cuts every box out of the picture into crops [n][3][side][side]; boxes without a pixel inside are
 * dropped. */
static void cut_crops(float *crops, struct search *s, int side)
{
    size_t floats = 3 * (size_t)side * (size_t)side;
    int kept = 0;
    for (int i = 0; i < s->all.n; i++) {
        struct mtcnn_box *b = &s->all.b[i];
        int x, y, w, h;
        if (!mtcnn_crop(b->at, s->im->w, s->im->h, &x, &y, &w, &h)) continue;
        image_area_resample(crops + (size_t)kept * floats, side, side, s->im, x, y, w, h, -127.5f,
                            0.0078125f);
        b->row = kept;
        s->all.b[kept++] = *b;
    }
    s->all.n = kept;
}

/* Scores all boxes with a network; those over the limit stay, in their order, with score,
 * regression and row. *points (where asked for): the caller's block, [rows][10]. */
static enum err score_crops(struct search *s, const struct nn_net *net, int side, float limit,
                            float **points, struct err_info *err)
{
    struct outputs o;
    size_t floats = 3 * (size_t)side * (size_t)side, n = (size_t)s->all.n;
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    int kept = 0;
    enum err rc;

    if ((rc = find_outputs(&o, net, points != NULL, err))) return rc;
    AUTO_FREE float *in = mem_aligned(n * (floats + 6), sizeof *in);
    AUTO_FREE float *at = points ? mem_aligned(n * 10, sizeof *at) : NULL;
    if (!in || (points && !at)) return err_set(err, ERR_NOMEM, "no memory for %zu crops", n);
    cut_crops(in, s, side);
    if (!s->all.n) return ERR_OK;
    float *prob = in + n * floats, *move = prob + 2 * n;
    outs[o.prob] = prob;
    outs[o.box] = move;
    if (points) outs[o.points] = at;
    if ((rc = s->runner->run(s->runner->self, net, s->all.n, side, side, in, outs, err))) return rc;
    for (int i = 0; i < s->all.n; i++) {
        struct mtcnn_box *b = &s->all.b[i];
        if (!(prob[2 * i + 1] > limit)) continue;
        b->score = prob[2 * i + 1];
        memcpy(b->move, move + 4 * (size_t)i, sizeof b->move);
        b->order = kept;
        s->all.b[kept++] = *b;
    }
    s->all.n = kept;
    if (points) {
        *points = at;
        at = NULL;
    }
    return ERR_OK;
}

static enum err refine(struct search *s, struct err_info *err)
{
    struct list *all = &s->all;
    enum err rc = score_crops(s, s->nets->r, RNET_SIDE, s->o->thresholds[1], NULL, err);
    if (rc) return rc;
    if (s->trace) s->trace->rnet_over_threshold = all->n;
    all->n = mtcnn_suppress_union(all->b, all->n, 0.7);
    if (s->trace) s->trace->rnet_after_nms = all->n;
    if (all->n > ONET_MAX) all->n = ONET_MAX;
    for (int i = 0; i < all->n; i++) {
        mtcnn_regress(&all->b[i], true);
        mtcnn_square(all->b[i].at);
    }
    return ERR_OK;
}

/* O-Net's points are relative to the square before it is regressed: out[k] of box k, in order of
 * rows. */
static void place_points(struct detection *d, const struct mtcnn_box *b, const float *points)
{
    float w = b->at[2] - b->at[0] + 1.0f, h = b->at[3] - b->at[1] + 1.0f;
    for (int k = 0; k < 5; k++) {
        d->points[k][0] = w * points[k] + b->at[0] - 1.0f;
        d->points[k][1] = h * points[5 + k] + b->at[1] - 1.0f;
    }
}

static enum err finish(struct detection **out, int *n, struct search *s, struct err_info *err)
{
    struct list *all = &s->all;
    AUTO_FREE float *points = NULL;
    enum err rc = score_crops(s, s->nets->o, ONET_SIDE, s->o->thresholds[2], &points, err);
    if (rc) return rc;
    if (s->trace) s->trace->onet_over_threshold = all->n;
    if (!all->n) return ERR_OK;

    AUTO_FREE struct detection *found = malloc((size_t)all->n * sizeof *found);
    AUTO_FREE struct detection *kept = malloc((size_t)all->n * sizeof *kept);
    if (!found || !kept) return err_set(err, ERR_NOMEM, "no memory for %d faces", all->n);
    for (int i = 0; i < all->n; i++) {
        struct mtcnn_box *b = &all->b[i];
        place_points(&found[i], b, points + 10 * (size_t)b->row);
        mtcnn_regress(b, true);
        b->row = i;
    }
    all->n = mtcnn_suppress_least(all->b, all->n, 0.7f);
    for (int i = 0; i < all->n; i++) {
        const struct mtcnn_box *b = &all->b[i];
        kept[i] = found[b->row];
        memcpy(kept[i].box, b->at, sizeof kept[i].box);
        kept[i].score = b->score;
    }
    detections_sort(kept, all->n);
    if (s->trace) s->trace->faces = all->n;
    *n = all->n;
    *out = kept;
    kept = NULL;
    return ERR_OK;
}

static enum err search(struct detection **out, int *n, struct search *s, struct err_info *err)
{
    enum err rc = sheets_plan(&s->sheets, s->im->w, s->im->h, s->o, err);
    if (rc || !s->sheets.n) return rc;
    if ((rc = run_pyramid(s, err))) return rc;
    if ((rc = merge_levels(s, err))) return rc;
    if (s->trace) s->trace->n_after_pnet = trace_boxes(s->trace->after_pnet, &s->all);
    if (!s->all.n) return ERR_OK;
    if ((rc = refine(s, err))) return rc;
    if (s->trace) s->trace->n_after_rnet = trace_boxes(s->trace->after_rnet, &s->all);
    if (!s->all.n) return ERR_OK;
    return finish(out, n, s, err);
}

enum err mtcnn_detect(struct detection **out, int *n, const struct mtcnn *d,
                      const struct face_runner *runner, const struct image *im,
                      const struct mtcnn_options *o, struct mtcnn_trace *trace,
                      struct err_info *err)
{
    struct detection *found = NULL;
    int count = 0;
    enum err rc;

    if (!(o->min_size >= MTCNN_CELL && o->min_size <= IMAGE_MAX_SIDE))
        return err_set(err, ERR_INVALID, "least face is %g pixels, the limits are %d and %d",
                       (double)o->min_size, MTCNN_CELL, IMAGE_MAX_SIDE);
    if (!(o->factor >= 0.1 && o->factor <= 0.9))
        return err_set(err, ERR_INVALID, "the pyramid's factor is %g, the limits are 0.1 and 0.9",
                       o->factor);
    struct search *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, ERR_NOMEM, "no memory for a detection");
    *s = (struct search){.nets = d, .runner = runner, .im = im, .o = o, .trace = trace};
    if (trace) memset(trace, 0, sizeof *trace);
    rc = search(&found, &count, s, err);
    sheets_release(&s->sheets);
    for (int i = 0; i < MTCNN_MAX_LEVELS; i++) free(s->level[i].b);
    for (int i = 0; i < EDGE_KINDS; i++) free(s->edges[i].cell);
    free(s->all.b);
    free(s);
    if (rc) return rc;
    *out = found;
    *n = count;
    return ERR_OK;
}
