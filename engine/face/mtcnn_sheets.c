/* The pyramid on sheets: see mtcnn_sheets.h. Placing is a guillotine: a list of free rectangles,
 * each piece goes leftmost (then topmost) and what is left of its rectangle is cut in two. */
#include "engine/face/mtcnn_sheets.h"

#include "engine/base/mem.h"

#include <assert.h>
#include <string.h>

enum {
    /* Pixels. A new size costs the network a plan (some 10 us), a sheet that is too large its share
     * of every pass; and equal sizes share a batch. */
    SHEET_MAX_W = 1008,
    SHEET_STEP_W = 16,
    SHEET_MAX_H = 256,
    SHEET_STEP_H = 8,
    FREE_MAX = 512,
};

struct spot {
    int sheet, x, y, w, h;
};

struct packer {
    int n_free, n_sheets;
    struct spot free[FREE_MAX];
};

static int map_side(int pixels)
{
    return (pixels - 1) / 2 - 4; /* ceil((pixels - 2) / 2) - 4 */
}

static int piece_side(int cells)
{
    return 2 * cells + MTCNN_CELL - 2;
}

/* Levels as the reference: everything in double. */
static void find_levels(struct mtcnn_sheets *s, int w, int h, const struct mtcnn_options *o)
{
    double scale = MTCNN_CELL / (double)o->min_size, side = (w < h ? w : h) * scale;

    while (side >= MTCNN_CELL && s->n_levels < MTCNN_MAX_LEVELS) {
        struct mtcnn_level *l = &s->level[s->n_levels++];
        l->scale = scale;
        l->w = (int)(w * scale + 1);
        l->h = (int)(h * scale + 1);
        l->map_w = map_side(l->w);
        l->map_h = map_side(l->h);
        size_t floats = 3 * (size_t)l->w * (size_t)l->h;
        if (floats > s->level_floats) s->level_floats = floats;
        scale *= o->factor;
        side *= o->factor;
    }
}

static void spot_add(struct packer *p, int sheet, int x, int y, int w, int h)
{
    if (w < MTCNN_CELL || h < MTCNN_CELL || p->n_free == FREE_MAX) return;
    p->free[p->n_free++] = (struct spot){sheet, x, y, w, h};
}

/* Finds a place for w x h among the sheets of the open group, or -1. */
static int spot_find(const struct packer *p, int w, int h)
{
    int best = -1;
    for (int i = 0; i < p->n_free; i++) {
        const struct spot *f = &p->free[i], *b = &p->free[best < 0 ? 0 : best];
        if (f->w < w || f->h < h) continue;
        if (best < 0 || f->sheet < b->sheet ||
            (f->sheet == b->sheet && (f->x < b->x || (f->x == b->x && f->y < b->y))))
            best = i;
    }
    return best;
}

static void place(struct packer *p, struct mtcnn_piece *piece, int sheet_w, int sheet_h)
{
    int w = piece_side(piece->cw), h = piece_side(piece->ch), at = spot_find(p, w, h);

    if (at < 0) {
        if (p->n_sheets % SHEETS_GROUP == 0)
            p->n_free = 0; /* the group is full: a new one begins */
        if (p->n_free == FREE_MAX) p->n_free--;
        at = p->n_free++;
        p->free[at] = (struct spot){p->n_sheets++, 0, 0, sheet_w, sheet_h};
    }
    struct spot f = p->free[at];
    p->free[at] = p->free[--p->n_free];
    piece->sheet = f.sheet;
    piece->x = f.x;
    piece->y = f.y;
    /* Levels come largest first, so columns are filled downwards: below the piece in its own width,
     * right of it in full height. */
    spot_add(p, f.sheet, f.x, f.y + h, w, f.h - h);
    spot_add(p, f.sheet, f.x + w, f.y, f.w - w, f.h);
}

/* How many pieces a side of so many cells is cut into, and the cells of the i-th. */
static int cuts(int cells, int most)
{
    return (cells + most - 1) / most;
}

static enum err cut_levels(struct mtcnn_sheets *s, int most_w, int most_h, struct err_info *err)
{
    size_t n = 0;
    for (int i = 0; i < s->n_levels; i++)
        n += (size_t)cuts(s->level[i].map_w, most_w) * (size_t)cuts(s->level[i].map_h, most_h);
    s->piece = calloc(n ? n : 1, sizeof *s->piece);
    if (!s->piece) return err_set(err, ERR_NOMEM, "no memory for %zu parts of a picture", n);
    for (int i = 0; i < s->n_levels; i++) {
        const struct mtcnn_level *l = &s->level[i];
        for (int cy = 0; cy < l->map_h; cy += most_h) {
            for (int cx = 0; cx < l->map_w; cx += most_w) {
                struct mtcnn_piece *p = &s->piece[s->n_pieces++];
                p->level = i;
                p->cx = cx;
                p->cy = cy;
                p->cw = l->map_w - cx < most_w ? l->map_w - cx : most_w;
                p->ch = l->map_h - cy < most_h ? l->map_h - cy : most_h;
            }
        }
    }
    assert((size_t)s->n_pieces == n);
    return ERR_OK;
}

enum err sheets_plan(struct mtcnn_sheets *s, int w, int h, const struct mtcnn_options *o,
                     struct err_info *err)
{
    struct packer p;
    enum err rc;
    int extent = 0;

    memset(s, 0, sizeof *s);
    find_levels(s, w, h, o);
    if (!s->n_levels) return ERR_OK;
    const int need = piece_side(s->level[0].map_h);
    s->h = (need + SHEET_STEP_H - 1) / SHEET_STEP_H * SHEET_STEP_H;
    if (s->h > SHEET_MAX_H) s->h = SHEET_MAX_H;
    rc = cut_levels(s, (SHEET_MAX_W - MTCNN_CELL + 2) / 2, (s->h - MTCNN_CELL + 2) / 2, err);
    if (rc) return rc;

    p.n_free = p.n_sheets = 0;
    for (int k = 0; k < s->n_pieces; k++) {
        place(&p, &s->piece[k], SHEET_MAX_W, s->h);
        int right = s->piece[k].x + piece_side(s->piece[k].cw);
        if (right > extent) extent = right;
    }
    s->n = p.n_sheets;
    s->w = (extent + SHEET_STEP_W - 1) / SHEET_STEP_W * SHEET_STEP_W;
    return ERR_OK;
}

void sheets_release(struct mtcnn_sheets *s)
{
    free(s->piece);
    s->piece = NULL;
}

/* One plane of a piece; columns and rows past the level's edge (odd sides) repeat the last. */
static void draw(float *to, int stride, const float *from, const struct mtcnn_level *l,
                 const struct mtcnn_piece *p)
{
    int w = piece_side(p->cw), h = piece_side(p->ch), x0 = 2 * p->cx, y0 = 2 * p->cy;
    int inside = l->w - x0 < w ? l->w - x0 : w;

    for (int y = 0; y < h; y++, to += stride) {
        int row = y0 + y < l->h ? y0 + y : l->h - 1;
        memcpy(to, from + (size_t)row * (size_t)l->w + x0, (size_t)inside * sizeof *to);
        if (inside < w) to[inside] = to[inside - 1];
    }
}

void sheets_fill(float *px, const struct mtcnn_sheets *s, int g, const struct image *im,
                 float *scratch, int *drawn)
{
    size_t plane = (size_t)s->w * (size_t)s->h;
    int first = g * SHEETS_GROUP, n = s->n - first < SHEETS_GROUP ? s->n - first : SHEETS_GROUP;

    memset(px, 0, (size_t)n * 3 * plane * sizeof *px);
    for (int i = 0; i < s->n_pieces; i++) {
        const struct mtcnn_piece *p = &s->piece[i];
        const struct mtcnn_level *l = &s->level[p->level];
        if (p->sheet < first || p->sheet >= first + n) continue;
        if (*drawn != p->level) {
            image_area_resample(scratch, l->w, l->h, im, 0, 0, im->w, im->h, -127.5f, 0.0078125f);
            *drawn = p->level;
        }
        for (int c = 0; c < 3; c++)
            draw(px + ((size_t)(p->sheet - first) * 3 + (size_t)c) * plane +
                     (size_t)p->y * (size_t)s->w + p->x,
                 s->w, scratch + (size_t)c * (size_t)l->w * (size_t)l->h, l, p);
    }
}
