/* The chip: where it lies (least-squares similarity) and its pixels, as dlib's
 * get_face_chip_details and extract_image_chip do it, rounding included (facts/default-models.md
 * section 4): dlib's network was trained on such chips, and one pixel of shift moves a descriptor
 * by 0.05. */
#include "engine/base/mem.h"
#include "engine/face/face.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <string.h>

/* dlib's mean positions of its five points in the unit square: viewer's right eye outer and inner
 * corner, left eye outer and inner corner, under the nose. */
static const double mean5[5][2] = {{0.8595674595992, 0.2134981538014},
                                   {0.6460604764104, 0.2289674387677},
                                   {0.1205750620789, 0.2137274526848},
                                   {0.3340850613712, 0.2290642403242},
                                   {0.4901123135679, 0.6277975316475}};

/* Turns, scales and moves: around the points' mean `from` by the complex number a + ib, to the mean
 * `to`. */
struct similarity {
    double from[2], to[2], a, b;
};

/* Least squares over what is left of `to`. */
static struct similarity fit(const double from[5][2], const double to[5][2])
{
    struct similarity s = {.a = 0};
    double ff = 0;
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 2; k++) {
            s.from[k] += from[i][k] / 5;
            s.to[k] += to[i][k] / 5;
        }
    }
    for (int i = 0; i < 5; i++) {
        double px = from[i][0] - s.from[0], py = from[i][1] - s.from[1];
        double qx = to[i][0] - s.to[0], qy = to[i][1] - s.to[1];
        ff += px * px + py * py;
        s.a += px * qx + py * qy;
        s.b += px * qy - py * qx;
    }
    s.a /= ff;
    s.b /= ff;
    return s;
}

static struct similarity inverse(const struct similarity *s)
{
    const double n = s->a * s->a + s->b * s->b;
    return (struct similarity){{s->to[0], s->to[1]}, {s->from[0], s->from[1]}, s->a / n, -s->b / n};
}

/* Where s puts the square of `side` chip pixels around (side / 2, side / 2). dlib counts the last
 * pixel of the picture as inside, so that its chips are a little smaller than s says. */
static enum err place(struct chip_place *out, const struct similarity *s, double side, bool dlib,
                      struct err_info *err)
{
    double scale = hypot(s->a, s->b);
    if (!(scale > 1e-9 && scale < 1e9))
        return err_set(err, ERR_INVALID, "the five points of a face give no place for it");
    double dx = side / 2 - s->from[0], dy = side / 2 - s->from[1];
    double half = dlib ? (side * scale - 1) / 2 : (side - 1) * scale / 2;
    double cx = s->a * dx - s->b * dy + s->to[0], cy = s->b * dx + s->a * dy + s->to[1];
    out->rect[0] = cx - half;
    out->rect[1] = cy - half;
    out->rect[2] = cx + half;
    out->rect[3] = cy + half;
    out->angle = atan2(s->b, s->a);
    return ERR_OK;
}

enum err chip_place_from_points(struct chip_place *out, const int (*p5)[2], double padding,
                                int side, struct err_info *err)
{
    double from[5][2], to[5][2];
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 2; k++) {
            from[i][k] = (padding + mean5[i][k]) / (2 * padding + 1) * side;
            to[i][k] = p5[i][k];
        }
    }
    const struct similarity s = fit(from, to);
    return place(out, &s, side, true, err);
}

/* The template is in pixels of the chip, whose middle is (side - 1) / 2; place() wants side / 2
 * (dlib's convention). */
static void in_doubles(double chip[5][2], double picture[5][2], const float points[5][2],
                       const float (*template5)[2])
{
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 2; k++) {
            chip[i][k] = (double)template5[i][k] + 0.5;
            picture[i][k] = (double)points[i][k];
        }
    }
}

enum err chip_place_from_template(struct chip_place *out, const float points[5][2],
                                  const float (*template5)[2], int side, struct err_info *err)
{
    double chip[5][2], picture[5][2];
    in_doubles(chip, picture, points, template5);
    const struct similarity s = fit(chip, picture);
    return place(out, &s, side, true, err);
}

enum err chip_place_onto_template(struct chip_place *out, const float points[5][2],
                                  const float (*template5)[2], int side, struct err_info *err)
{
    double chip[5][2], picture[5][2];
    in_doubles(chip, picture, points, template5);
    const struct similarity onto = fit(picture, chip), s = inverse(&onto);
    return place(out, &s, side, false, err);
}

/* --- pixels --- */

/* Part of a picture, or a level of its pyramid. */
struct view {
    const uint8_t *rgb;
    size_t stride; /* bytes */
    int w, h;
};

/* dlib's pyramid_down<2>: where a rectangle lies in the picture half the size. */
static void rect_down(double r[4])
{
    r[0] = r[0] / 2 - 1.25;
    r[1] = r[1] / 2 - 0.75;
    r[2] = r[2] / 2 - 1.25;
    r[3] = r[3] / 2 - 0.75;
}

static double rect_area(const double r[4])
{
    return (r[2] - r[0] + 1) * (r[3] - r[1] + 1);
}

/* Every second pixel of the 5 x 5 binomial filter, first centre (2, 2); sum / 256 truncated. out:
 * malloc'd, size in *w, *h. */
static uint8_t *halve(const struct view *v, int *w, int *h)
{
    static const int tap[5] = {1, 4, 6, 4, 1};
    int ow = v->w > 3 ? (v->w - 3) / 2 : 0, oh = v->h > 3 ? (v->h - 3) / 2 : 0;
    AUTO_FREE int *rows = malloc(((size_t)ow * 3 + 1) * (size_t)(v->h ? v->h : 1) * sizeof *rows);
    uint8_t *out = malloc((size_t)ow * (size_t)oh * 3 + 1);
    if (!rows || !out) {
        free(out);
        return NULL;
    }
    size_t width = (size_t)ow * 3;
    for (int y = 0; y < v->h; y++) {
        const uint8_t *p = v->rgb + (size_t)y * v->stride;
        int *to = rows + (size_t)y * width;
        for (int x = 0; x < ow; x++)
            for (int c = 0; c < 3; c++) {
                const uint8_t *q = p + 6 * (size_t)x + c;
                *to++ = q[0] + 4 * q[3] + 6 * q[6] + 4 * q[9] + q[12];
            }
    }
    for (int y = 0; y < oh; y++)
        for (size_t i = 0; i < width; i++) {
            int sum = 0;
            for (int k = 0; k < 5; k++) sum += tap[k] * rows[(size_t)(2 * y + k) * width + i];
            out[(size_t)y * width + i] = (uint8_t)(sum >> 8);
        }
    *w = ow;
    *h = oh;
    return out;
}

enum { ROW_MAX = 256 /* pixels: the largest side of a chip */ };

/* A row of the chip: how far each of its pixels lies beyond its upper left neighbour, and the four
 * neighbours: bytes 0 to 3 and 2 to 5 of the six that the left and the right one are, above and
 * below. */
struct row {
    double fx[ROW_MAX], fy[ROW_MAX];
    uint32_t head[2][ROW_MAX], tail[2][ROW_MAX];
};

/* Between four neighbours, in double and truncated, as dlib's interpolate_bilinear. */
static inline __attribute__((always_inline)) void between_channel(uint8_t *restrict out,
                                                                  const struct row *r, const int c,
                                                                  int n)
{
    for (int i = 0; i < n; i++) {
        double at[2];
        for (int k = 0; k < 2; k++) {
            int left = (int)(r->head[k][i] >> 8 * c & 255);
            int right = (int)(c ? r->tail[k][i] >> 8 * (c + 1) & 255 : r->head[k][i] >> 24);
            at[k] = (1 - r->fx[i]) * left + r->fx[i] * right;
        }
        out[i] = (uint8_t)(int)((1 - r->fy[i]) * at[0] + r->fy[i] * at[1]);
    }
}

static inline __attribute__((always_inline)) void between_body(uint8_t (*plane)[ROW_MAX],
                                                               const struct row *r, int n)
{
    between_channel(plane[0], r, 0, n);
    between_channel(plane[1], r, 1, n);
    between_channel(plane[2], r, 2, n);
}

#if defined(__x86_64__)
/* Without fused multiply-add, so that the results are the same bits on every CPU. */
__attribute__((target("avx2"))) static void between_avx2(uint8_t (*plane)[ROW_MAX],
                                                         const struct row *r, int n)
{
    between_body(plane, r, n);
}
#endif

static void between(uint8_t (*plane)[ROW_MAX], const struct row *r, int n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        between_avx2(plane, r, n);
        return;
    }
#endif
    between_body(plane, r, n);
}

static inline uint32_t four_bytes(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

/* The neighbours of the point (x, y); false: not all of them are inside. */
static inline bool gather(struct row *r, int i, const struct view *v, double x, double y)
{
    /* Truncation is floor where it matters: below 0 there is no neighbour. (floor() is a call.) */
    if (!(x >= 0 && y >= 0 && x < v->w - 1 && y < v->h - 1)) {
        r->fx[i] = r->fy[i] = 0;
        r->head[0][i] = r->head[1][i] = r->tail[0][i] = r->tail[1][i] = 0;
        return false;
    }
    const int left = (int)x, top = (int)y;
    const uint8_t *p = v->rgb + (size_t)top * v->stride + 3 * (size_t)left, *q = p + v->stride;
    r->fx[i] = x - left;
    r->fy[i] = y - top;
    r->head[0][i] = four_bytes(p);
    r->tail[0][i] = four_bytes(p + 2);
    r->head[1][i] = four_bytes(q);
    r->tail[1][i] = four_bytes(q + 2);
    return true;
}

static void sample(uint8_t *chip, int side, const struct view *v, const double r[4], double angle)
{
    double cx = (r[0] + r[2]) / 2, cy = (r[1] + r[3]) / 2, mid = (side - 1) / 2.0;
    double step = (r[2] - r[0]) / (side - 1), a = cos(angle) * step, b = sin(angle) * step;
    struct row row;
    uint8_t plane[3][ROW_MAX];

    for (int j = 0; j < side; j++, chip += 3 * (size_t)side) {
        bool any = false;
        for (int i = 0; i < side; i++) {
            double x = cx + a * (i - mid) - b * (j - mid), y = cy + b * (i - mid) + a * (j - mid);
            any |= gather(&row, i, v, x, y);
        }
        if (!any) continue; /* black already */
        between(plane, &row, side);
        for (int i = 0; i < side; i++)
            for (int c = 0; c < 3; c++) chip[3 * i + c] = plane[c][i];
    }
}

/* The part of the picture that the chip is cut from: the turned rectangle's bounding box, grown.
 * false: all outside. */
static bool cut_box(int box[4], const struct image *im, const struct chip_place *p, double grow)
{
    double cx = (p->rect[0] + p->rect[2]) / 2, cy = (p->rect[1] + p->rect[3]) / 2;
    double w = p->rect[2] - cx, h = p->rect[3] - cy;
    double ex = fabs(cos(p->angle) * w) + fabs(sin(p->angle) * h) + grow;
    double ey = fabs(sin(p->angle) * w) + fabs(cos(p->angle) * h) + grow;
    double l = fmax(cx - ex, 0), t = fmax(cy - ey, 0);
    double r = fmin(cx + ex, im->w - 1), b = fmin(cy + ey, im->h - 1);
    if (!(l <= r && t <= b)) return false;
    box[0] = (int)floor(l + 0.5);
    box[1] = (int)floor(t + 0.5);
    box[2] = (int)floor(r + 0.5);
    box[3] = (int)floor(b + 0.5);
    return true;
}

enum err chip_extract(uint8_t *chip, int side, const struct image *im, const struct chip_place *p,
                      struct err_info *err)
{
    double r[4], grow = 2, most = (double)side * side;
    int box[4], halvings = 0;

    assert(side >= 1 && side <= ROW_MAX);
    memcpy(r, p->rect, sizeof r);
    for (int i = 0; i < 4; i++)
        if (!(fabs(r[i]) < 1 << 20) || !isfinite(p->angle) || r[2] <= r[0] || r[3] <= r[1])
            return err_set(err, ERR_INVALID, "a face's chip would lie at %g, %g, %g, %g", r[0],
                           r[1], r[2], r[3]);
    for (rect_down(r); rect_area(r) > most; rect_down(r)) {
        halvings++;
        grow = 2 * grow + 2;
    }
    memset(chip, 0, (size_t)side * (size_t)side * 3);
    if (!cut_box(box, im, p, grow)) return ERR_OK;

    memcpy(r, p->rect, sizeof r);
    for (int i = 0; i < 4; i++) r[i] -= box[i % 2];
    struct view v = {im->rgb + 3 * ((size_t)box[1] * (size_t)im->w + (size_t)box[0]),
                     3 * (size_t)im->w, box[2] - box[0] + 1, box[3] - box[1] + 1};
    uint8_t *level = NULL;
    for (int i = 0; i < halvings; i++) {
        int w, h;
        uint8_t *next = halve(&v, &w, &h);
        free(level);
        level = next;
        if (!level)
            return err_set(err, ERR_NOMEM, "no memory for a face of %g pixels", r[2] - r[0]);
        v = (struct view){level, 3 * (size_t)w, w, h};
        rect_down(r);
    }
    sample(chip, side, &v, r, p->angle);
    free(level);
    return ERR_OK;
}
