/* The face's outline as a polygon, and the polygon as a picture. */
#include "engine/face/face.h"

#include <math.h>
#include <string.h>

enum {
    JAW = 17, /* of the 68 points: 0..16, from the viewer's left temple over the chin to the right
                 one */
    FOREHEAD = 15, /* points over the forehead */
    OUTLINE = JAW + FOREHEAD,
    LINES = 16,  /* lines a pixel row is sampled with; along a line coverage is exact */
    CHUNK = 512, /* columns handled at a time */
};

static const double PI = 3.14159265358979323846;

static void put(struct face_mask *m, double x, double y)
{
    m->polygon[m->n][0] = (float)x;
    m->polygon[m->n][1] = (float)y;
    m->n++;
}

/* The 68 points end at the brows. The forehead is half an ellipse from temple to temple whose top
 * lies as far above the brows as these are above the base of the nose (the rule of thirds, less a
 * tenth: the hair line rather than the skull). */
static void from_68(struct face_mask *m, const int (*p)[2])
{
    double brow_x = 0, brow_y = 0;
    double cx = (p[0][0] + p[16][0]) / 2.0, cy = (p[0][1] + p[16][1]) / 2.0;
    double ax = (p[16][0] - p[0][0]) / 2.0, ay = (p[16][1] - p[0][1]) / 2.0;

    for (int i = 17; i < 27; i++) {
        brow_x += p[i][0] / 10.0;
        brow_y += p[i][1] / 10.0;
    }
    double top_x = brow_x + 0.9 * (brow_x - p[33][0]) - cx;
    double top_y = brow_y + 0.9 * (brow_y - p[33][1]) - cy;
    put(m, p[0][0], p[0][1]);
    for (int i = 1; i <= FOREHEAD; i++) {
        double t = PI * i / (FOREHEAD + 1), c = -cos(t), s = sin(t);
        put(m, cx + c * ax + s * top_x, cy + c * ay + s * top_y);
    }
    for (int i = JAW - 1; i > 0; i--) put(m, p[i][0], p[i][1]);
    m->from_68 = true;
}

/* MTCNN's five points, and the outline that from_68 gives, averaged over 185 of LFW View 1's
 * photographs (every 25th file by name; the largest face where it scored over 0.999), each moved by
 * a similarity onto one frame of 150 x 150. Numbers of our own making: no landmark model is needed
 * to use them. */
static const double mean_points[5][2] = {
    {48.25, 46.76}, {101.83, 46.73}, {74.62, 78.28}, {50.98, 104.84}, {98.82, 104.90}};
static const double mean_outline[OUTLINE][2] = {
    {12.40, 49.24},   {13.48, 36.02},   {16.87, 23.31},   {22.43, 11.59},  {29.97, 1.31},
    {39.18, -7.13},   {49.71, -13.40},  {61.16, -17.28},  {73.09, -18.60}, {85.05, -17.31},
    {96.56, -13.48},  {107.19, -7.23},  {116.53, 1.18},   {124.22, 11.43}, {129.96, 23.13},
    {133.54, 35.83},  {134.82, 49.05},  {134.42, 65.27},  {133.02, 81.45}, {130.18, 97.49},
    {124.40, 112.54}, {115.11, 125.76}, {103.17, 136.61}, {89.35, 145.23}, {73.79, 147.78},
    {58.14, 145.19},  {44.52, 136.35},  {32.58, 125.28},  {23.35, 112.15}, {17.54, 97.17},
    {14.53, 81.36},   {13.01, 65.30}};

/* The mean outline, moved by the least-squares similarity from the mean points to these. */
static void from_5(struct face_mask *m, const struct detection *d)
{
    double fx = 0, fy = 0, tx = 0, ty = 0, ff = 0, a = 0, b = 0;
    for (int i = 0; i < 5; i++) {
        fx += mean_points[i][0] / 5, fy += mean_points[i][1] / 5;
        tx += (double)d->points[i][0] / 5, ty += (double)d->points[i][1] / 5;
    }
    for (int i = 0; i < 5; i++) {
        double px = mean_points[i][0] - fx, py = mean_points[i][1] - fy;
        double qx = (double)d->points[i][0] - tx, qy = (double)d->points[i][1] - ty;
        ff += px * px + py * py;
        a += px * qx + py * qy;
        b += px * qy - py * qx;
    }
    a /= ff;
    b /= ff;
    for (int i = 0; i < OUTLINE; i++) {
        double x = mean_outline[i][0] - fx, y = mean_outline[i][1] - fy;
        put(m, a * x - b * y + tx, b * x + a * y + ty);
    }
}

void mask_from_points(struct face_mask *out, const struct detection *d, const int (*p68)[2])
{
    memset(out, 0, sizeof *out);
    if (p68)
        from_68(out, p68);
    else
        from_5(out, d);
}

/* Where the polygon's sides cross the horizontal line at y, ascending. */
static int crossings(double *at, const struct face_mask *m, double y)
{
    int n = 0;
    for (int i = 0; i < m->n; i++) {
        const float *p = m->polygon[i], *q = m->polygon[(i + 1) % m->n];
        double y0 = (double)p[1], y1 = (double)q[1];
        if ((y0 <= y) == (y1 <= y)) continue;
        double x = (double)p[0] + (y - y0) / (y1 - y0) * ((double)q[0] - (double)p[0]);
        int k = n++;
        for (; k > 0 && at[k - 1] > x; k--) at[k] = at[k - 1];
        at[k] = x;
    }
    return n;
}

/* Adds the span from..to (columns of the chunk, clipped to 0..w) to the coverage of each pixel. */
static void cover(float *acc, double from, double to, int w)
{
    from = fmax(from, 0);
    to = fmin(to, w);
    if (!(from < to)) return;
    int first = (int)from, last = (int)to;
    if (first == last) {
        acc[first] += (float)(to - from);
        return;
    }
    acc[first] += (float)(first + 1 - from);
    for (int x = first + 1; x < last; x++) acc[x] += 1;
    if (last < w) acc[last] += (float)(to - last);
}

void mask_raster(uint8_t *out, int x, int y, int w, int h, const struct face_mask *m)
{
    for (int row = 0; row < h; row++) {
        double at[LINES][MASK_MAX_POINTS];
        int n[LINES];
        /* Pixel (x, y) covers x - 0.5 .. x + 0.5: points are where pixel centres are whole. */
        for (int k = 0; k < LINES; k++)
            n[k] = crossings(at[k], m, y + row - 0.5 + (k + 0.5) / LINES);
        for (int first = 0; first < w; first += CHUNK) {
            float acc[CHUNK] = {0};
            int count = w - first < CHUNK ? w - first : CHUNK;
            double origin = x + first - 0.5;
            for (int k = 0; k < LINES; k++)
                for (int i = 0; i + 1 < n[k]; i += 2)
                    cover(acc, at[k][i] - origin, at[k][i + 1] - origin, count);
            for (int i = 0; i < count; i++)
                out[(size_t)row * (size_t)w + (size_t)(first + i)] =
                    (uint8_t)(acc[i] * (255.0f / LINES) + 0.5f);
        }
    }
}
