/* Handwriting into characters: strokes are grouped into characters and lines, each character is
 * drawn as MNIST's are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/set.h"
#include "engine/train/writing.h"

enum { SMALL_SIDE = 32 /* pixels: a picture up to this is one character */ };
static const double NOISE_SHARE = 0.08, /* of the usual height: smaller strokes are dirt */
    DOT_SHARE = 0.5,                    /* of the larger's height: what may be a dot */
    DOT_GAP = 0.6,                      /* of the larger's height, above or below it */
    OVERLAP = 0.5;                      /* of the narrower's width, to be one character */

/* --- strokes into characters --- */

static void page_release(struct page *p)
{
    ink_release(&p->ink);
    free(p->strokes);
    free(p->owner);
    free(p->characters);
}

static int height(const struct ink_box *b)
{
    return b->y1 - b->y0 + 1;
}

static int width(const struct ink_box *b)
{
    return b->x1 - b->x0 + 1;
}

static int by_int(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The upper quartile: dots and dirt are many. */
static int usual_height(const struct page *p, int *scratch)
{
    const int n = p->ink.n_strokes;
    for (int i = 0; i < n; i++) scratch[i] = height(&p->strokes[i + 1]);
    qsort(scratch, (size_t)n, sizeof *scratch, by_int);
    return scratch[n / 2 + (n - n / 2) / 2];
}

static bool is_dirt(const struct ink_box *b, int usual)
{
    return height(b) < NOISE_SHARE * usual && width(b) < NOISE_SHARE * usual;
}

/* Two strokes, one above the other, that are one character: a dot and its stem, a broken stroke,
 * the bars of =. */
static bool belong(const struct ink_box *a, const struct ink_box *b)
{
    const int narrow = width(a) < width(b) ? width(a) : width(b),
              overlap = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0) + 1,
              gap = a->y0 > b->y1   ? a->y0 - b->y1
                    : b->y0 > a->y1 ? b->y0 - a->y1
                                    : 0,
              tall = height(a) > height(b) ? height(a) : height(b),
              low = height(a) < height(b) ? height(a) : height(b),
              wide = width(a) > width(b) ? width(a) : width(b);
    if (overlap < OVERLAP * narrow) return false;
    if (gap == 0) return true;
    return gap <= DOT_GAP * (tall > wide ? tall : wide) &&
           (low <= DOT_SHARE * tall || (wide > 2 * tall && gap < wide));
}

static int32_t root(int32_t *owner, int32_t i)
{
    while (owner[i] != i) i = owner[i] = owner[owner[i]];
    return i;
}

static int by_left(const void *a, const void *b)
{
    const struct ink_box *x = a, *y = b;
    return x->x0 - y->x0;
}

struct placed {
    struct ink_box box; /* first, for by_left */
    int32_t stroke;
};

/* Joins strokes that belong together; they are looked at from left to right, and only those that
 * can still overlap. */
static enum err join(struct page *p, int usual, struct err_info *err)
{
    const int n = p->ink.n_strokes;
    AUTO_FREE struct placed *list = malloc((size_t)n * sizeof *list);
    int kept = 0;
    if (!list) return err_set(err, ERR_NOMEM, "no memory for %d strokes", n);
    for (int32_t i = 1; i <= n; i++)
        if (is_dirt(&p->strokes[i], usual))
            p->owner[i] = 0;
        else
            list[kept++] = (struct placed){p->strokes[i], p->owner[i] = i};
    if (kept > TRAIN_MAX_CHARACTERS)
        return err_set(err, ERR_TOO_LARGE, "%d strokes in the picture, the limit is %d", kept,
                       (int)TRAIN_MAX_CHARACTERS);
    qsort(list, (size_t)kept, sizeof *list, by_left);
    for (int i = 0; i < kept; i++)
        for (int k = i + 1; k < kept && list[k].box.x0 <= list[i].box.x1; k++)
            if (belong(&list[i].box, &list[k].box))
                p->owner[root(p->owner, list[k].stroke)] = root(p->owner, list[i].stroke);
    return ERR_OK;
}

static void widen(struct ink_box *b, const struct ink_box *with)
{
    if (with->x0 < b->x0) b->x0 = with->x0;
    if (with->y0 < b->y0) b->y0 = with->y0;
    if (with->x1 > b->x1) b->x1 = with->x1;
    if (with->y1 > b->y1) b->y1 = with->y1;
    b->pixels += with->pixels;
}

/* One character a group of strokes; owner becomes the character's number + 1. */
static enum err make_characters(struct page *p, bool one, struct err_info *err)
{
    const int n = p->ink.n_strokes;
    AUTO_FREE int32_t *number = calloc((size_t)n + 1, sizeof *number);
    p->characters = calloc((size_t)n + 1, sizeof *p->characters);
    if (!number || !p->characters) return err_set(err, ERR_NOMEM, "no memory for %d characters", n);
    for (int32_t i = 1; i <= n; i++) {
        if (!p->owner[i]) continue;
        const int32_t group = one ? 0 : root(p->owner, i);
        if (!number[group]) {
            p->characters[p->n].box = p->strokes[i];
            number[group] = (int32_t)++p->n;
        } else {
            widen(&p->characters[number[group] - 1].box, &p->strokes[i]);
        }
    }
    for (int32_t i = 1; i <= n; i++) /* roots are read until here */
        p->strokes[i].pixels = p->owner[i] ? (size_t)number[one ? 0 : root(p->owner, i)] : 0;
    for (int32_t i = 1; i <= n; i++) p->owner[i] = (int32_t)p->strokes[i].pixels;
    return ERR_OK;
}

/* --- lines --- */

/* From left to right, a character goes on the line whose last one it stands beside, so that a line
 * may climb; else it begins a line. */
static int line_of(const struct page *p, size_t i, int lines)
{
    const struct character *c = &p->characters[i];
    int best = lines;
    double least = 1e9;
    for (size_t k = 0; k < i; k++) { /* later ones of a line overwrite earlier ones */
        const struct character *before = &p->characters[k];
        const int tall =
            height(&c->box) > height(&before->box) ? height(&c->box) : height(&before->box);
        const double off = fabs(writing_middle(c) - writing_middle(before));
        if (off > 0.6 * tall) continue;
        const double cost = off + 0.1 * fmax(0, c->box.x0 - before->box.x1);
        if (cost < least) {
            least = cost;
            best = before->line;
        }
    }
    return best;
}

static int by_place(const void *a, const void *b)
{
    return ((const struct character *)a)->box.x0 - ((const struct character *)b)->box.x0;
}

/* Mean of y of each line, for the order of lines. */
struct line {
    double y;
    int n, number;
};

static int by_height(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->y / x->n < y->y / y->n ? -1 : x->y / x->n > y->y / y->n;
}

static enum err order(struct page *p, struct err_info *err)
{
    AUTO_FREE struct line *lines = calloc(p->n + 1, sizeof *lines);
    AUTO_FREE int *rank = calloc(p->n + 1, sizeof *rank);
    int n = 0;
    if (!lines || !rank) return err_set(err, ERR_NOMEM, "no memory for %zu characters", p->n);
    for (size_t i = 0; i < p->n; i++) {
        const int line = line_of(p, i, n);
        if (line == n) lines[n] = (struct line){0, 0, n}, n++;
        p->characters[i].line = line;
        lines[line].y += writing_middle(&p->characters[i]);
        lines[line].n++;
    }
    qsort(lines, (size_t)n, sizeof *lines, by_height);
    for (int i = 0; i < n; i++) rank[lines[i].number] = i;
    for (size_t i = 0; i < p->n; i++) p->characters[i].line = rank[p->characters[i].line];
    return ERR_OK;
}

/* --- all of it --- */

/* Characters sorted by their left edge, owners with them. */
static enum err sort_characters(struct page *p, struct err_info *err)
{
    struct indexed {
        struct character c; /* first, for by_place */
        int32_t was;
    };
    AUTO_FREE struct indexed *list = calloc(p->n + 1, sizeof *list);
    AUTO_FREE int32_t *now = calloc(p->n + 1, sizeof *now);
    if (!list || !now) return err_set(err, ERR_NOMEM, "no memory for %zu characters", p->n);
    for (size_t i = 0; i < p->n; i++) list[i] = (struct indexed){p->characters[i], (int32_t)i};
    qsort(list, p->n, sizeof *list, by_place);
    for (size_t i = 0; i < p->n; i++) {
        p->characters[i] = list[i].c;
        now[list[i].was] = (int32_t)i;
    }
    for (int i = 1; i <= p->ink.n_strokes; i++)
        if (p->owner[i]) p->owner[i] = now[p->owner[i] - 1] + 1;
    return ERR_OK;
}

static enum err group(struct page *p, bool one, struct err_info *err)
{
    const size_t n = (size_t)p->ink.n_strokes;
    AUTO_FREE int *scratch = calloc(n + 1, sizeof *scratch);
    enum err rc;
    p->strokes = calloc(n + 1, sizeof *p->strokes);
    p->owner = calloc(n + 1, sizeof *p->owner);
    if (!scratch || !p->strokes || !p->owner)
        return err_set(err, ERR_NOMEM, "no memory for %zu strokes", n);
    ink_boxes(p->strokes, &p->ink);
    if ((rc = join(p, one ? 0 : usual_height(p, scratch), err))) return rc;
    if ((rc = make_characters(p, one, err))) return rc;
    if ((rc = sort_characters(p, err)) || (rc = order(p, err))) return rc;
    return writing_straighten(p, err);
}

static int by_line(const void *a, const void *b)
{
    const struct train_glyph *x = a, *y = b;
    return x->line != y->line ? x->line - y->line : x->box[0] - y->box[0];
}

static enum err draw_all(struct train_glyph **out, const struct page *p, struct err_info *err)
{
    struct train_glyph *list = calloc(p->n, sizeof *list);
    if (!list) return err_set(err, ERR_NOMEM, "no memory for %zu glyphs", p->n);
    for (size_t i = 0; i < p->n; i++) {
        const struct ink_box *b = &p->characters[i].box;
        writing_draw(list[i].pixels, p, i);
        list[i].line = p->characters[i].line;
        const int box[4] = {b->x0, b->y0, width(b), height(b)};
        memcpy(list[i].box, box, sizeof box);
    }
    qsort(list, p->n, sizeof *list, by_line);
    *out = list;
    return ERR_OK;
}

enum err train_split(struct train_glyph **out, size_t *n, const uint8_t *bytes, size_t len,
                     enum train_orientation orientation, const char *name, struct err_info *err)
{
    AUTO_IMAGE struct image im = IMAGE_INIT;
    struct page p = {0};
    enum err rc = image_decode(&im, bytes, len, err);
    if (rc) return rc;
    const bool one = im.w <= SMALL_SIDE && im.h <= SMALL_SIDE;
    if (orientation == TRAIN_TRANSPOSED || (one && train_is_transposed(orientation, name)))
        rc = image_orient(&im, 5, err); /* EXIF's 5: transposed */
    if (!rc) rc = ink_find(&p.ink, &im, one, err);
    if (!rc) {
        *out = NULL;
        *n = 0;
    }
    if (!rc && p.ink.n_strokes) rc = group(&p, one, err);
    if (!rc && p.n) rc = draw_all(out, &p, err);
    if (!rc) *n = p.n;
    page_release(&p);
    return rc;
}

enum err train_png(struct buf *out, const uint8_t *grey, int w, int h, struct err_info *err)
{
    return image_encode_png(out, grey, w, h, 1, err);
}
