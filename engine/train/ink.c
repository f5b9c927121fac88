#include "engine/train/ink.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum { BINS = 256, SURROUNDINGS = 8 /* of the shorter side: how wide they are */ };
static const float LEAST_CONTRAST = 0.08f; /* of the whole range: below it there is only paper */

static void grey_of(float *out, const struct image *im)
{
    const size_t n = (size_t)im->w * (size_t)im->h;
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(im->rgb[3 * i] + im->rgb[3 * i + 1] + im->rgb[3 * i + 2]) / 765.0f;
}

/* Each pixel minus the mean of the square of side 2 r + 1 around it, by sums from the corner. */
static enum err flatten(float *v, int w, int h, int r, struct err_info *err)
{
    const size_t pitch = (size_t)w + 1;
    AUTO_FREE double *sum = calloc(pitch * ((size_t)h + 1), sizeof *sum);
    if (!sum) return err_set(err, ERR_NOMEM, "no memory for %d x %d sums", w, h);
    for (int y = 0; y < h; y++) {
        double row = 0;
        for (int x = 0; x < w; x++) {
            row += (double)v[(size_t)y * (size_t)w + (size_t)x];
            sum[((size_t)y + 1) * pitch + (size_t)x + 1] =
                sum[(size_t)y * pitch + (size_t)x + 1] + row;
        }
    }
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const size_t x0 = x > r ? (size_t)(x - r) : 0, y0 = y > r ? (size_t)(y - r) : 0,
                         x1 = (size_t)(x + r + 1 < w ? x + r + 1 : w),
                         y1 = (size_t)(y + r + 1 < h ? y + r + 1 : h);
            const double all = sum[y1 * pitch + x1] - sum[y0 * pitch + x1] - sum[y1 * pitch + x0] +
                               sum[y0 * pitch + x0];
            v[(size_t)y * (size_t)w + (size_t)x] -= (float)(all / (double)((x1 - x0) * (y1 - y0)));
        }
    return ERR_OK;
}

/* The threshold that divides the values into the two groups that differ most (Otsu 1979). */
static float otsu(const float *v, size_t n, float low, float high)
{
    size_t count[BINS] = {0}, below = 0;
    double all = 0, sum = 0, best = -1;
    int cut = 0;
    for (size_t i = 0; i < n; i++) {
        const int bin = (int)((v[i] - low) / (high - low) * (BINS - 1));
        count[bin]++;
        all += bin;
    }
    for (int b = 0; b < BINS - 1; b++) {
        below += count[b];
        sum += (double)b * (double)count[b];
        if (!below || below == n) continue;
        const double a = sum / (double)below, c = (all - sum) / (double)(n - below),
                     between = (double)below * (double)(n - below) * (a - c) * (a - c);
        if (between > best) best = between, cut = b;
    }
    return low + (high - low) * ((float)cut + 1) / (BINS - 1);
}

/* Whether most of the border is above the threshold. */
static bool border_is_above(const float *v, int w, int h, float threshold)
{
    long above = 0, all = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x += y == 0 || y == h - 1 || w == 1 ? 1 : w - 1, all++)
            above += v[(size_t)y * (size_t)w + (size_t)x] > threshold;
    return 2 * above > all;
}

/* v becomes 0 for paper .. 1 for ink; false: there is no ink. */
static bool make_ink(float *v, int w, int h)
{
    const size_t n = (size_t)w * (size_t)h;
    float low = v[0], high = v[0], paper = 0, ink = 0;
    size_t n_paper = 0, n_ink = 0;
    for (size_t i = 1; i < n; i++) {
        low = fminf(low, v[i]);
        high = fmaxf(high, v[i]);
    }
    if (high - low < LEAST_CONTRAST) return false;
    const float threshold = otsu(v, n, low, high);
    const bool dark = border_is_above(v, w, h, threshold);
    for (size_t i = 0; i < n; i++) {
        if ((v[i] > threshold) == dark) {
            paper += (v[i] - paper) / (float)++n_paper;
        } else {
            ink += (v[i] - ink) / (float)++n_ink;
        }
    }
    if (!n_ink || !n_paper || fabsf(ink - paper) < LEAST_CONTRAST) return false;
    /* half way to the threshold is still paper: it is noise, in a photograph */
    const float from = (paper + threshold) / 2;
    for (size_t i = 0; i < n; i++) v[i] = fminf(1, fmaxf(0, (v[i] - from) / (ink - from)));
    return true;
}

/* Fills the stroke that begins at pixel `first`; stack: room for every pixel. */
static void fill(struct ink *k, int32_t number, size_t first, uint32_t *stack)
{
    size_t n = 0;
    stack[n++] = (uint32_t)first;
    k->stroke[first] = number;
    while (n) {
        const int at = (int)stack[--n], y = at / k->w, x = at % k->w;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                const int px = x + dx, py = y + dy;
                if (px < 0 || py < 0 || px >= k->w || py >= k->h) continue;
                const size_t to = (size_t)py * (size_t)k->w + (size_t)px;
                if (k->stroke[to] || k->value[to] < 0.5f) continue;
                k->stroke[to] = number;
                stack[n++] = (uint32_t)to;
            }
    }
}

enum err ink_find(struct ink *out, const struct image *im, bool flat, struct err_info *err)
{
    const size_t n = (size_t)im->w * (size_t)im->h;
    const int shorter = im->w < im->h ? im->w : im->h;
    struct ink k = {.w = im->w, .h = im->h};
    AUTO_FREE uint32_t *stack = malloc(n * sizeof *stack);
    enum err rc = ERR_OK;

    k.value = mem_aligned(n, sizeof *k.value);
    k.stroke = calloc(n, sizeof *k.stroke);
    if (!stack || !k.value || !k.stroke) {
        ink_release(&k);
        return err_set(err, ERR_NOMEM, "no memory for %d x %d pixels", im->w, im->h);
    }
    grey_of(k.value, im);
    if (!flat) rc = flatten(k.value, k.w, k.h, shorter / SURROUNDINGS + 8, err);
    if (rc) {
        ink_release(&k);
        return rc;
    }
    if (make_ink(k.value, k.w, k.h))
        for (size_t i = 0; i < n; i++)
            if (!k.stroke[i] && k.value[i] >= 0.5f) fill(&k, ++k.n_strokes, i, stack);
    *out = k;
    return ERR_OK;
}

void ink_release(struct ink *k)
{
    free(k->value);
    free(k->stroke);
    *k = (struct ink){0};
}

void ink_boxes(struct ink_box *boxes, const struct ink *k)
{
    for (int i = 1; i <= k->n_strokes; i++) boxes[i] = (struct ink_box){k->w, k->h, -1, -1, 0};
    for (int y = 0; y < k->h; y++)
        for (int x = 0; x < k->w; x++) {
            const int32_t s = k->stroke[(size_t)y * (size_t)k->w + (size_t)x];
            if (!s) continue;
            struct ink_box *b = &boxes[s];
            if (x < b->x0) b->x0 = x;
            if (x > b->x1) b->x1 = x;
            if (y < b->y0) b->y0 = y;
            if (y > b->y1) b->y1 = y;
            b->pixels++;
        }
}
