/* The chip: where it lies (least-squares similarity) and its pixels, as dlib's
 * get_face_chip_details and extract_image_chip do it, rounding included (facts/default-models.md
 * section 4): dlib's network was trained on such chips, and one pixel of shift moves a descriptor
 * by 0.05. */
#include "engine/base/mem.h"
#include "engine/face/face.h"

#include <math.h>
#include <string.h>

/* dlib's mean positions of its five points in the unit square: viewer's right eye outer and inner
 * corner, left eye outer and inner corner, under the nose. */
static const double mean5[5][2] = {{0.8595674595992, 0.2134981538014},
                                   {0.6460604764104, 0.2289674387677},
                                   {0.1205750620789, 0.2137274526848},
                                   {0.3340850613712, 0.2290642403242},
                                   {0.4901123135679, 0.6277975316475}};

/* The similarity from -> to, and from it the square of `side` chip pixels around (side / 2, side /
 * 2). */
static enum err place(struct chip_place *out, const double from[5][2], const double to[5][2],
                      double side, struct err_info *err)
{
    double fx = 0, fy = 0, tx = 0, ty = 0, ff = 0, a = 0, b = 0;
    for (int i = 0; i < 5; i++) {
        fx += from[i][0] / 5, fy += from[i][1] / 5;
        tx += to[i][0] / 5, ty += to[i][1] / 5;
    }
    for (int i = 0; i < 5; i++) {
        double px = from[i][0] - fx, py = from[i][1] - fy, qx = to[i][0] - tx, qy = to[i][1] - ty;
        ff += px * px + py * py;
        a += px * qx + py * qy;
        b += px * qy - py * qx;
    }
    a /= ff;
    b /= ff;
    double scale = hypot(a, b);
    if (!(scale > 1e-9 && scale < 1e9))
        return err_set(err, ERR_INVALID, "the five points of a face give no place for it");
    double dx = side / 2 - fx, dy = side / 2 - fy, half = (side * scale - 1) / 2;
    double cx = a * dx - b * dy + tx, cy = b * dx + a * dy + ty;
    out->rect[0] = cx - half;
    out->rect[1] = cy - half;
    out->rect[2] = cx + half;
    out->rect[3] = cy + half;
    out->angle = atan2(b, a);
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
    return place(out, from, to, side, err);
}

enum err chip_place_from_template(struct chip_place *out, const float points[5][2],
                                  const float (*template5)[2], int side, struct err_info *err)
{
    double from[5][2], to[5][2];
    /* The template is in pixels of the chip, whose middle is (side - 1) / 2; place() wants side / 2
     * (dlib's convention). */
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 2; k++) {
            from[i][k] = (double)template5[i][k] + 0.5;
            to[i][k] = (double)points[i][k];
        }
    }
    return place(out, from, to, side, err);
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

/* One channel between four neighbours, in double and truncated, as dlib's interpolate_bilinear. */
static uint8_t between(const uint8_t *p, size_t stride, double fx, double fy)
{
    double top = (1 - fx) * p[0] + fx * p[3], bottom = (1 - fx) * p[stride] + fx * p[stride + 3];
    return (uint8_t)((1 - fy) * top + fy * bottom);
}

static void sample(uint8_t *chip, int side, const struct view *v, const double r[4], double angle)
{
    double cx = (r[0] + r[2]) / 2, cy = (r[1] + r[3]) / 2, mid = (side - 1) / 2.0;
    double step = (r[2] - r[0]) / (side - 1), a = cos(angle) * step, b = sin(angle) * step;
    const double right = v->w - 1, bottom = v->h - 1; /* first column and row without a next one */

    for (int j = 0; j < side; j++) {
        for (int i = 0; i < side; i++, chip += 3) {
            double x = cx + a * (i - mid) - b * (j - mid), y = cy + b * (i - mid) + a * (j - mid);
            /* Truncation is floor where it matters: below 0 there is no neighbour. (floor() is a
             * call.) */
            if (!(x >= 0 && y >= 0 && x < right && y < bottom)) {
                chip[0] = chip[1] = chip[2] = 0;
                continue;
            }
            int left = (int)x, top = (int)y;
            const uint8_t *p = v->rgb + (size_t)top * v->stride + 3 * (size_t)left;
            double fx = x - left, fy = y - top;
            for (int c = 0; c < 3; c++) chip[c] = between(p + c, v->stride, fx, fy);
        }
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
