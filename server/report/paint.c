/* The picture of a clustering: where each face lies, which lie together, and what is what. The page
 * draws the same in the browser (server/web/report-plot.js), with the same colours. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/report/view.h"

enum {
    MARGIN = 40,
    TOP = 110,
    LEGEND_WIDTH = 300,
    LEGEND_ROW = 24,
    LEGEND_ROWS = 34,
    PLOT_LEFT = MARGIN,
    PLOT_WIDTH = VIEW_WIDTH - 2 * MARGIN - LEGEND_WIDTH,
    PLOT_HEIGHT = VIEW_HEIGHT - TOP - MARGIN,
    LABEL_CHARS = 22,
    TITLE_CHARS = 70,
    CORNERS = 12, /* of the ring round a face that its cluster's outline passes */
    TEXT_MAX_BYTES = 512,
    ROUNDS = 40,      /* of making room ... */
    APART_MAX = 600,  /* ... where there are not too many faces for it */
    NAMES_MAX = 24,   /* clusters whose names stand in the plot */
    MEDOIDS_MAX = 60, /* pictures among dots */
};
static const double MARKER_MAX = 50, MARKER_MIN = 5;
static const double PICTURE_MIN = 14; /* smaller faces are dots, and only medoids are pictures */
static const double MEDOID_SIDE = 26;
static const uint32_t INK = 0x1d2329, FAINT = 0x6b747d;

struct paint {
    const struct view *v;
    const struct painter *to;
    double side;        /* of a face, pixels */
    double (*place)[2]; /* [n] of its middle */
};

/* Hues by the golden angle: the next is always far from the ones before. */
static uint32_t colour_of(int cluster)
{
    static const double GOLDEN_ANGLE = 137.508, SATURATION = 0.62, LIGHTNESS = 0.43;
    uint32_t colour = 0;

    if (cluster < 0) return 0x8a9299;
    const double hue = fmod(210 + GOLDEN_ANGLE * cluster, 360) / 30;
    for (int k = 0; k < 3; k++) { /* HSL to RGB, CSS Color 4, section 7.1 */
        const double at = fmod((k == 0 ? 0 : k == 1 ? 8 : 4) + hue, 12);
        const double least = fmax(-1, fmin(fmin(at - 3, 9 - at), 1));
        const double a = SATURATION * fmin(LIGHTNESS, 1 - LIGHTNESS);
        colour = colour << 8 | (uint32_t)lround(255 * (LIGHTNESS - a * least));
    }
    return colour;
}

/* At most so many characters, without controls; an ellipsis where it was cut. */
static void shorten(char out[TEXT_MAX_BYTES], const char *s, int chars)
{
    size_t n = 0;

    for (; *s && n < TEXT_MAX_BYTES - 8; s++) {
        const bool begins = ((unsigned char)*s & 0xc0) != 0x80;
        if (begins && chars-- == 0) {
            n += (size_t)sprintf(out + n, "\xe2\x80\xa6");
            break;
        }
        out[n++] = (unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s;
    }
    out[n] = 0;
}

/* Where the faces go: the report's coordinates, as large as fits. */
static void fit(struct paint *p)
{
    const struct view *v = p->v;
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};

    for (size_t i = 0; i < v->n; i++) {
        low[0] = fmin(low[0], v->faces[i].x), high[0] = fmax(high[0], v->faces[i].x);
        low[1] = fmin(low[1], v->faces[i].y), high[1] = fmax(high[1], v->faces[i].y);
    }
    const double room = (double)PLOT_WIDTH * PLOT_HEIGHT / (4.0 * (double)(v->n ? v->n : 1));
    p->side = fmax(MARKER_MIN, fmin(MARKER_MAX, 0.9 * sqrt(room)));
    const double inside_x = PLOT_WIDTH - 2 * p->side, inside_y = PLOT_HEIGHT - 2 * p->side;
    double scale = fmin(inside_x / (high[0] - low[0]), inside_y / (high[1] - low[1]));
    if (!isfinite(scale)) scale = 0; /* one face, or all in one place */
    for (size_t i = 0; i < v->n; i++) {
        p->place[i][0] =
            PLOT_LEFT + PLOT_WIDTH / 2.0 + scale * (v->faces[i].x - (low[0] + high[0]) / 2);
        p->place[i][1] = TOP + PLOT_HEIGHT / 2.0 + scale * (v->faces[i].y - (low[1] + high[1]) / 2);
    }
}

/* Faces that cover each other step aside, along the axis that takes less; which face is where is
 * worth more than its exact coordinates. */
static void make_room(struct paint *p)
{
    const double apart = p->side + 3;

    for (int round = 0; round < ROUNDS && p->v->n <= APART_MAX; round++) {
        for (size_t i = 1; i < p->v->n; i++) {
            for (size_t j = 0; j < i; j++) {
                const double dx = p->place[i][0] - p->place[j][0];
                const double dy = p->place[i][1] - p->place[j][1];
                if (fabs(dx) >= apart || fabs(dy) >= apart) continue;
                const int axis = fabs(dx) < fabs(dy);
                const double d = axis ? dy : dx;
                const double step = copysign((apart - fabs(d)) / 4, d);
                p->place[i][axis] += step;
                p->place[j][axis] -= step;
            }
        }
    }
    for (size_t i = 0; i < p->v->n; i++) {
        const double margin = p->side / 2;
        p->place[i][0] =
            fmax(PLOT_LEFT + margin, fmin(PLOT_LEFT + PLOT_WIDTH - margin, p->place[i][0]));
        p->place[i][1] = fmax(TOP + margin, fmin(TOP + PLOT_HEIGHT - margin, p->place[i][1]));
    }
}

static int by_place(const void *pa, const void *pb)
{
    const double *a = pa, *b = pb;
    if (a[0] != b[0]) return a[0] < b[0] ? -1 : 1;
    return a[1] < b[1] ? -1 : a[1] > b[1];
}

static double turn(const double *o, const double *a, const double *b)
{
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
}

/* Convex hull (Andrew 1979) of points [n], n >= 3, which it sorts; hull has room for 2 n. */
static size_t convex_hull(double (*hull)[2], double (*points)[2], size_t n)
{
    size_t k = 0;

    qsort(points, n, sizeof *points, by_place);
    for (size_t i = 0; i < n; i++) { /* one side, from the first to the last */
        while (k >= 2 && turn(hull[k - 2], hull[k - 1], points[i]) <= 0) k--;
        memcpy(hull[k++], points[i], sizeof *hull);
    }
    const size_t one_side = k + 1;
    for (size_t i = n - 1; i-- > 0;) { /* and back */
        while (k >= one_side && turn(hull[k - 2], hull[k - 1], points[i]) <= 0) k--;
        memcpy(hull[k++], points[i], sizeof *hull);
    }
    return k - 1;
}

/* The outline of one cluster: the hull of rings round its faces. */
static enum err outline(const struct paint *p, const size_t *members, size_t n, int cluster,
                        struct err_info *err)
{
    double(*ring)[2] AUTO_FREE = calloc(n * CORNERS, sizeof *ring);
    double(*hull)[2] AUTO_FREE = calloc(2 * n * CORNERS, sizeof *hull);
    const double radius = p->side * 0.5 * 1.414 + 5;

    if (!ring || !hull) return err_set(err, ERR_NOMEM, "no memory for an outline");
    for (size_t i = 0; i < n * CORNERS; i++) {
        const double *at = p->place[members[i / CORNERS]];
        const double angle = 2 * M_PI * (double)(i % CORNERS) / CORNERS;
        ring[i][0] = at[0] + radius * cos(angle);
        ring[i][1] = at[1] + radius * sin(angle);
    }
    const size_t corners = convex_hull(hull, ring, n * CORNERS);
    return p->to->area(p->to->self, (const double(*)[2])hull, corners, colour_of(cluster), err);
}

static enum err outlines(const struct paint *p, struct err_info *err)
{
    const struct view *v = p->v;
    size_t *first AUTO_FREE = calloc(v->clusters + 1, sizeof *first);
    size_t *at AUTO_FREE = calloc(v->clusters + 1, sizeof *at);
    size_t *members AUTO_FREE = calloc(v->n + 1, sizeof *members);

    if (!first || !at || !members) return err_set(err, ERR_NOMEM, "no memory for outlines");
    for (size_t i = 0; i < v->n; i++) {
        if (v->faces[i].cluster >= 0) first[v->faces[i].cluster + 1]++;
    }
    for (size_t c = 0; c < v->clusters; c++) {
        first[c + 1] += first[c];
        at[c] = first[c];
    }
    for (size_t i = 0; i < v->n; i++) {
        if (v->faces[i].cluster >= 0) members[at[v->faces[i].cluster]++] = i;
    }
    for (size_t c = 0; c < v->clusters; c++) {
        const size_t n = first[c + 1] - first[c];
        if (n) TRY(outline(p, members + first[c], n, (int)c, err));
    }
    return ERR_OK;
}

static enum err face(const struct paint *p, size_t i, double side, struct err_info *err)
{
    const struct view_face *f = p->v->faces + i;
    const struct painter *to = p->to;
    const double *at = p->place[i];

    if (f->thumbnail && side >= PICTURE_MIN)
        return to->picture(to->self, at[0], at[1], side, f, colour_of(f->cluster), f->cluster < 0,
                           err);
    return to->dot(to->self, at[0], at[1], fmax(2, side / 3), colour_of(f->cluster), f->cluster < 0,
                   f->file, err);
}

static enum err faces(const struct paint *p, struct err_info *err)
{
    const struct view *v = p->v;

    for (size_t i = 0; i < v->n; i++) TRY(face(p, i, p->side, err));
    if (p->side >= PICTURE_MIN) return ERR_OK;
    for (size_t c = v->clusters < MEDOIDS_MAX ? v->clusters : MEDOIDS_MAX; c-- > 0;) {
        if (v->cluster[c].size > 2) TRY(face(p, v->cluster[c].medoid, MEDOID_SIDE, err));
    }
    return ERR_OK;
}

/* "3 · amy" */
static void cluster_name(char out[TEXT_MAX_BYTES], const struct view *v, size_t c)
{
    char label[TEXT_MAX_BYTES];

    shorten(label, v->cluster[c].label ? v->cluster[c].label : "", LABEL_CHARS);
    snprintf(out, TEXT_MAX_BYTES, *label ? "%zu \xc2\xb7 %s" : "Cluster %zu%s", c, label);
}

static enum err legend_row(const struct paint *p, int row, int cluster, const char *name, size_t n,
                           struct err_info *err)
{
    const struct painter *to = p->to;
    const double x = VIEW_WIDTH - MARGIN - LEGEND_WIDTH + 34, y = TOP + 14 + LEGEND_ROW * row;
    char text[TEXT_MAX_BYTES + 64];

    TRY(to->dot(to->self, x, y, 7, colour_of(cluster), cluster < 0, name, err));
    snprintf(text, sizeof text, "%s (%zu)", name, n);
    return to->text(to->self, x + 16, y + 5, 15, INK, VIEW_PLAIN, text, err);
}

static enum err legend(const struct paint *p, struct err_info *err)
{
    const struct view *v = p->v;
    const size_t shown = v->clusters > LEGEND_ROWS ? LEGEND_ROWS - 1 : v->clusters;
    char text[TEXT_MAX_BYTES];
    size_t rest = 0;
    int row = 0;

    for (size_t c = 0; c < shown; c++) {
        cluster_name(text, v, c);
        TRY(legend_row(p, row++, (int)c, text, v->cluster[c].size, err));
    }
    for (size_t c = shown; c < v->clusters; c++) rest += v->cluster[c].size;
    if (shown < v->clusters) {
        snprintf(text, sizeof text, "and %zu more (%zu faces)", v->clusters - shown, rest);
        TRY(p->to->text(p->to->self, VIEW_WIDTH - MARGIN - LEGEND_WIDTH + 50,
                        TOP + 19 + LEGEND_ROW * row++, 15, FAINT, VIEW_PLAIN, text, err));
    }
    return v->outliers ? legend_row(p, row, -1, "in no cluster", v->outliers, err) : ERR_OK;
}

static enum err heading(const struct paint *p, struct err_info *err)
{
    const struct view *v = p->v;
    char text[TEXT_MAX_BYTES];

    shorten(text, v->title, TITLE_CHARS);
    TRY(p->to->text(p->to->self, MARGIN, 52, 28, INK, VIEW_TITLE, text, err));
    snprintf(text, sizeof text, "%zu face%s in %zu cluster%s, %zu in none. %s", v->n,
             v->n == 1 ? "" : "s", v->clusters, v->clusters == 1 ? "" : "s", v->outliers,
             v->layout ? "Neighbours lie near each other (t-SNE)."
                       : "Drawn on the first two principal components.");
    return p->to->text(p->to->self, MARGIN, 82, 16, FAINT, VIEW_PLAIN, text, err);
}

/* The names of the clusters above them. */
static enum err names(const struct paint *p, struct err_info *err)
{
    const struct view *v = p->v;
    char text[TEXT_MAX_BYTES];

    for (size_t c = 0; c < v->clusters && v->clusters <= NAMES_MAX; c++) {
        double x = 0, top = INFINITY;
        for (size_t i = 0; i < v->n; i++) {
            if (v->faces[i].cluster != (int)c) continue;
            x += p->place[i][0] / (double)v->cluster[c].size;
            top = fmin(top, p->place[i][1]);
        }
        cluster_name(text, v, c);
        if (isfinite(top))
            TRY(p->to->text(p->to->self, x, top - 0.75 * p->side - 9, 15, colour_of((int)c),
                            VIEW_NAME, text, err));
    }
    return ERR_OK;
}

enum err report__view_paint(const struct view *v, const struct painter *to, struct err_info *err)
{
    double(*place)[2] AUTO_FREE = calloc(v->n + 1, sizeof *place);
    struct paint p = {v, to, 0, place};

    if (!place) return err_set(err, ERR_NOMEM, "no memory to draw %zu faces", v->n);
    fit(&p);
    make_room(&p);
    TRY(heading(&p, err));
    TRY(outlines(&p, err));
    TRY(faces(&p, err));
    TRY(names(&p, err));
    return legend(&p, err);
}
