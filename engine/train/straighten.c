#include "engine/train/writing.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/mem.h"

enum {
    BOX = 20,            /* of the character in TRAIN_SIDE */
    SAMPLES_MAX = 8,     /* a side, of one pixel of the result */
    SLANTED_AT_LEAST = 3 /* characters of a line whose slant and tilt are taken away */
};
static const double SLANT_MAX = 0.7;

/* --- slant and tilt --- */

struct moments {
    double n, x, y, xx, xy, yy;
};

/* Of the ink of each character. */
static void measure(struct moments *m, const struct page *p)
{
    const struct ink *k = &p->ink;
    for (int pass = 0; pass < 2; pass++)
        for (int y = 0; y < k->h; y++)
            for (int x = 0; x < k->w; x++) {
                const int32_t s = k->stroke[(size_t)y * (size_t)k->w + (size_t)x];
                if (!s || !p->owner[s]) continue;
                struct moments *c = &m[p->owner[s] - 1];
                if (!pass) {
                    c->n++;
                    c->x += x;
                    c->y += y;
                } else {
                    const double dx = x - c->x / c->n, dy = y - c->y / c->n;
                    c->xx += dx * dx;
                    c->xy += dx * dy;
                    c->yy += dy * dy;
                }
            }
}

/* A line's tilt is the slope of its characters' middles. */
static double tilt_of(const struct page *p, int line, size_t *n)
{
    double count = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->characters[i].line != line) continue;
        const double x = (p->characters[i].box.x0 + p->characters[i].box.x1) / 2.0,
                     y = writing_middle(&p->characters[i]);
        count++;
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    *n = (size_t)count;
    const double spread = sxx - sx * sx / count;
    return spread > 0 ? atan((sxy - sx * sy / count) / spread) : 0;
}

/* What a character, turned by -tilt, has of x = slant y. */
static double slant_of(const struct moments *m, double tilt)
{
    const double c = cos(-tilt), s = sin(-tilt),
                 xy = c * s * (m->xx - m->yy) + (c * c - s * s) * m->xy,
                 yy = s * s * m->xx + 2 * s * c * m->xy + c * c * m->yy;
    return xy / (yy + m->n);
}

/* The slant is what a line's characters have in common (one alone may lean by its shape, as 7
 * does). */
static void straighten_line(struct page *p, const struct moments *m, int line)
{
    size_t n;
    double slant = 0;
    const double tilt = tilt_of(p, line, &n);
    if (n < SLANTED_AT_LEAST) return;
    for (size_t i = 0; i < p->n; i++)
        if (p->characters[i].line == line) slant += slant_of(&m[i], tilt) / (double)n;
    slant = fmin(SLANT_MAX, fmax(-SLANT_MAX, slant));
    for (size_t i = 0; i < p->n; i++) {
        if (p->characters[i].line != line) continue;
        p->characters[i].tilt = tilt;
        p->characters[i].slant = slant;
    }
}

enum err writing_straighten(struct page *p, struct err_info *err)
{
    AUTO_FREE struct moments *m = calloc(p->n + 1, sizeof *m);
    int lines = 0;
    if (!m) return err_set(err, ERR_NOMEM, "no memory for %zu characters", p->n);
    measure(m, p);
    for (size_t i = 0; i < p->n; i++)
        if (p->characters[i].line >= lines) lines = p->characters[i].line + 1;
    for (int i = 0; i < lines; i++) straighten_line(p, m, i);
    return ERR_OK;
}

/* --- drawing a character as MNIST's are --- */

struct view {
    double m[2][2], back[2][2]; /* picture -> straightened, and back */
    double x0, y0, x1, y1;      /* of the ink, straightened */
};

static struct view view_of(const struct character *c)
{
    const double cs = cos(-c->tilt), sn = sin(-c->tilt);
    struct view v = {{{cs, -sn}, {sn, cs}}, {{0}}, 1e9, 1e9, -1e9, -1e9};
    for (int k = 0; k < 2; k++) v.m[0][k] -= c->slant * v.m[1][k];
    const double det = v.m[0][0] * v.m[1][1] - v.m[0][1] * v.m[1][0];
    v.back[0][0] = v.m[1][1] / det;
    v.back[0][1] = -v.m[0][1] / det;
    v.back[1][0] = -v.m[1][0] / det;
    v.back[1][1] = v.m[0][0] / det;
    return v;
}

static bool is_of(const struct page *p, size_t number, int x, int y)
{
    const int32_t s = p->ink.stroke[(size_t)y * (size_t)p->ink.w + (size_t)x];
    return s && p->owner[s] == (int32_t)number + 1;
}

/* Its own ink, and the grey edge around it; not its neighbours'. */
static float ink_at(const struct page *p, size_t number, const struct ink_box *b, int x, int y)
{
    const struct ink *k = &p->ink;
    if (x < 0 || y < 0 || x >= k->w || y >= k->h || x < b->x0 - 1 || x > b->x1 + 1 ||
        y < b->y0 - 1 || y > b->y1 + 1)
        return 0;
    const size_t at = (size_t)y * (size_t)k->w + (size_t)x;
    return k->stroke[at] && p->owner[k->stroke[at]] != (int32_t)number + 1 ? 0 : k->value[at];
}

static float sample(const struct page *p, size_t number, const struct ink_box *b, double x,
                    double y)
{
    const int x0 = (int)floor(x), y0 = (int)floor(y);
    const float fx = (float)(x - x0), fy = (float)(y - y0);
    return (ink_at(p, number, b, x0, y0) * (1 - fx) + ink_at(p, number, b, x0 + 1, y0) * fx) *
               (1 - fy) +
           (ink_at(p, number, b, x0, y0 + 1) * (1 - fx) +
            ink_at(p, number, b, x0 + 1, y0 + 1) * fx) *
               fy;
}

/* out: the ink within the view, `scale` pixels of the picture to one of the result, whose pixel
 * (0, 0) has its middle at (left, top). */
static void draw(float *out, const struct page *p, size_t number, const struct view *v,
                 double scale, double left, double top)
{
    const struct ink_box *b = &p->characters[number].box;
    const int samples = scale < 1 ? 1 : scale > SAMPLES_MAX ? SAMPLES_MAX : (int)ceil(scale);
    for (int y = 0; y < TRAIN_SIDE; y++)
        for (int x = 0; x < TRAIN_SIDE; x++) {
            float sum = 0;
            for (int j = 0; j < samples; j++)
                for (int i = 0; i < samples; i++) {
                    const double u = left + scale * (x + (i + 0.5) / samples - 0.5),
                                 w = top + scale * (y + (j + 0.5) / samples - 0.5);
                    sum += sample(p, number, b, v->back[0][0] * u + v->back[0][1] * w,
                                  v->back[1][0] * u + v->back[1][1] * w);
                }
            out[y * TRAIN_SIDE + x] = sum / (float)(samples * samples);
        }
}

void writing_draw(uint8_t *pixels, const struct page *p, size_t number)
{
    const struct ink_box *b = &p->characters[number].box;
    struct view v = view_of(&p->characters[number]);
    float drawn[TRAIN_PIXELS], most = 0;
    double sum = 0, mx = 0, my = 0;
    for (int y = b->y0; y <= b->y1; y++)
        for (int x = b->x0; x <= b->x1; x++) {
            if (!is_of(p, number, x, y)) continue;
            const double u = v.m[0][0] * x + v.m[0][1] * y, w = v.m[1][0] * x + v.m[1][1] * y,
                         ink = (double)p->ink.value[(size_t)y * (size_t)p->ink.w + (size_t)x];
            v.x0 = fmin(v.x0, u);
            v.x1 = fmax(v.x1, u);
            v.y0 = fmin(v.y0, w);
            v.y1 = fmax(v.y1, w);
            sum += ink;
            mx += ink * u;
            my += ink * w;
        }
    const double side = fmax(v.x1 - v.x0, v.y1 - v.y0) + 1, scale = side / BOX,
                 middle_of = (TRAIN_SIDE - 1) / 2.0;
    draw(drawn, p, number, &v, scale, mx / sum - scale * middle_of, my / sum - scale * middle_of);
    for (int i = 0; i < TRAIN_PIXELS; i++) most = fmaxf(most, drawn[i]);
    for (int i = 0; i < TRAIN_PIXELS; i++)
        pixels[i] = most > 0 ? (uint8_t)(255 * drawn[i] / most + 0.5f) : 0;
}
