/* The 3 x 3 convolutions of stride 1 by F(4 x 4, 3 x 3) (Lavin and Gray 2015): a quarter of the
 * multiplications. Included by ops_impl.h for floats. Tiles of 4 x 4 outputs, whichever image they
 * are of, are taken WINO_TILES at a time, so that their 36 points stay in the second cache.
 *
 * Forward: y = A^T [(G w G^T) (B^T x B)] A. The gradient of the weights is the same sum read the
 * other way: dw = G^T [sum over tiles of (B^T x B) (A dy A^T)] G. That of the input is a forward
 * convolution with turned weights. */
#include "engine/nn/simd_wino.h"

enum { WINO_OUT = 4, WINO_SIDE = 6, WINO_POINTS = 36, WINO_TILES = 28 };

static bool wino_fits(const struct train_window *t)
{
    return t->kh == 3 && t->kw == 3 && t->sh == 1 && t->sw == 1 && t->c % VL == 0 &&
           t->oc % VL == 0;
}

struct wino {
    const struct train_window *t;
    int tiles_y, tiles_x, tiles; /* tiles: of all images */
    size_t c, oc;
    float *u, *v, *m; /* weights [36][c][oc], input [36][WINO_TILES][c], output [..][..][oc] */
};

static size_t wino_scratch(const struct train_window *t)
{
    const size_t c = (size_t)t->c, oc = (size_t)t->oc;
    return WINO_POINTS * (c * oc + WINO_TILES * (c + oc));
}

static struct wino wino_of(const struct train_window *t, float *scratch)
{
    struct wino k = {t,
                     (t->oh + WINO_OUT - 1) / WINO_OUT,
                     (t->ow + WINO_OUT - 1) / WINO_OUT,
                     0,
                     (size_t)t->c,
                     (size_t)t->oc,
                     scratch,
                     NULL,
                     NULL};
    k.tiles = t->n * k.tiles_y * k.tiles_x;
    k.v = k.u + WINO_POINTS * k.c * k.oc;
    k.m = k.v + WINO_POINTS * WINO_TILES * k.c;
    return k;
}

/* Where a tile's outputs begin. */
struct wino_tile {
    int image, y, x;
};

static struct wino_tile wino_tile_at(const struct wino *k, int tile)
{
    const int in_row = tile / k->tiles_x;
    return (struct wino_tile){in_row / k->tiles_y, in_row % k->tiles_y * WINO_OUT,
                              tile % k->tiles_x * WINO_OUT};
}

/* G: three to six values. */
INLINE void g3(vf o[6], const vf w[3])
{
    const vf even = v_set(1 / 6.0f) * (w[0] + w[2]), odd = v_set(1 / 6.0f) * w[1];
    const vf even2 = v_fma(v_set(1 / 24.0f), w[0], v_set(1 / 6.0f) * w[2]),
             odd2 = v_set(1 / 12.0f) * w[1];
    o[0] = v_set(1 / 4.0f) * w[0];
    o[1] = -even - odd;
    o[2] = odd - even;
    o[3] = even2 + odd2;
    o[4] = even2 - odd2;
    o[5] = w[2];
}

/* G^T: six to three. */
INLINE void gt6(vf o[3], const vf m[6])
{
    const vf s12 = m[1] + m[2], s34 = m[3] + m[4];
    o[0] = v_fma(v_set(1 / 4.0f), m[0], v_fma(v_set(1 / 24.0f), s34, v_set(-1 / 6.0f) * s12));
    o[1] = v_fma(v_set(1 / 6.0f), m[2] - m[1], v_set(1 / 12.0f) * (m[3] - m[4]));
    o[2] = v_fma(v_set(1 / 6.0f), s34 - s12, m[5]);
}

/* A: four to six. */
INLINE void a4(vf o[6], const vf d[4])
{
    const vf even = d[0] + d[2], odd = d[1] + d[3];
    const vf even2 = v_fma(v_set(4), d[2], d[0]), odd2 = v_fma(v_set(8), d[3], v_set(2) * d[1]);
    o[0] = d[0];
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = even2 + odd2;
    o[4] = even2 - odd2;
    o[5] = d[3];
}

/* u = G w G^T */
static void wino_weights(const struct wino *k, const float *w)
{
    const size_t point = k->c * k->oc;
    for (size_t i = 0; i < point; i += VL) {
        vf mid[6][3];
        UNROLL for (int x = 0; x < 3; x++)
        {
            vf d[3], o[6];
            UNROLL for (int y = 0; y < 3; y++) d[y] = v_load(w + (size_t)(y * 3 + x) * point + i);
            g3(o, d);
            UNROLL for (int y = 0; y < 6; y++) mid[y][x] = o[y];
        }
        UNROLL for (int y = 0; y < 6; y++)
        {
            vf o[6];
            g3(o, mid[y]);
            UNROLL for (int x = 0; x < 6; x++)
                v_store(k->u + (size_t)(y * 6 + x) * point + i, o[x]);
        }
    }
}

/* dw += G^T u G */
static void wino_weights_back(const struct wino *k, float *dw)
{
    const size_t point = k->c * k->oc;
    for (size_t i = 0; i < point; i += VL) {
        vf mid[3][6];
        UNROLL for (int x = 0; x < 6; x++)
        {
            vf d[6], o[3];
            UNROLL for (int y = 0; y < 6; y++) d[y] =
                v_load(k->u + (size_t)(y * 6 + x) * point + i);
            gt6(o, d);
            UNROLL for (int y = 0; y < 3; y++) mid[y][x] = o[y];
        }
        UNROLL for (int y = 0; y < 3; y++)
        {
            vf o[3];
            gt6(o, mid[y]);
            UNROLL for (int x = 0; x < 3; x++)
            {
                float *to = dw + (size_t)(y * 3 + x) * point + i;
                v_store(to, v_load(to) + o[x]);
            }
        }
    }
}

/* Asks for the four rows of four pixels (the first vector of each) that the tile below, or of the
 * next image, needs beside what this one, which begins at `pixels`, has read: a layer of large
 * images, which have few channels, does not stay in the second cache. */
INLINE void wino_ask(const struct wino *k, const float *x, const float *pixels)
{
    const struct train_window *t = k->t;
    const size_t row = (size_t)t->w * k->c,
                 at = (size_t)(pixels - x) + (size_t)(WINO_SIDE - t->pt) * row;
    if (at + 3 * row + 3 * k->c >= (size_t)t->n * (size_t)t->h * row) return;
    UNROLL for (int y = 0; y < WINO_OUT; y++) UNROLL for (int i = 0; i < WINO_OUT; i++)
        __builtin_prefetch(x + at + (size_t)y * row + (size_t)i * k->c);
}

/* v = B^T x B of tiles first..first+n-1 */
static void wino_in(const struct wino *k, const float *x, int first, int n)
{
    const struct train_window *t = k->t;
    for (int i = 0; i < n; i++) {
        const struct wino_tile at = wino_tile_at(k, first + i);
        const float *img = x + (size_t)at.image * (size_t)t->h * (size_t)t->w * k->c;
        wino_ask(k, x, img + ((size_t)at.y * (size_t)t->w + (size_t)at.x) * k->c);
        wino_tiles_in(WINO_SIDE, k->v + (size_t)i * k->c, WINO_TILES * k->c, img, t->h, t->w, k->c,
                      at.y - t->pt, at.x - t->pl);
    }
}

/* y = A^T m A + b, where there are outputs */
static void wino_out(const struct wino *k, float *y, const float *b, int first, int n)
{
    const struct train_window *t = k->t;
    for (int i = 0; i < n; i++) {
        const struct wino_tile at = wino_tile_at(k, first + i);
        float *img = y + (size_t)at.image * (size_t)t->oh * (size_t)t->ow * k->oc;
        for (size_t ch = 0; ch < k->oc; ch += VL) {
            const float *m = k->m + (size_t)i * k->oc + ch;
            const vf bias = b ? v_load(b + ch) : v_set(0);
            vf mid[4][6];
            UNROLL for (int c = 0; c < 6; c++)
            {
                vf d[6], o[4];
                UNROLL for (int r = 0; r < 6; r++) d[r] =
                    v_load(m + (size_t)(r * 6 + c) * WINO_TILES * k->oc);
                at6(o, d);
                UNROLL for (int r = 0; r < 4; r++) mid[r][c] = o[r];
            }
            for (int r = 0; r < WINO_OUT && at.y + r < t->oh; r++) {
                vf o[4];
                at6(o, mid[r]);
                float *to = img + ((size_t)(at.y + r) * (size_t)t->ow + (size_t)at.x) * k->oc + ch;
                UNROLL for (int c = 0; c < WINO_OUT; c++) if (at.x + c < t->ow)
                    v_store(to + (size_t)c * k->oc, o[c] + bias);
            }
        }
    }
}

/* m = A dy A^T; outputs that are not there count as 0 */
static void wino_out_back(const struct wino *k, const float *dy, int first, int n)
{
    const struct train_window *t = k->t;
    for (int i = 0; i < n; i++) {
        const struct wino_tile at = wino_tile_at(k, first + i);
        const float *img = dy + (size_t)at.image * (size_t)t->oh * (size_t)t->ow * k->oc;
        for (size_t ch = 0; ch < k->oc; ch += VL) {
            float *m = k->m + (size_t)i * k->oc + ch;
            vf mid[6][4];
            UNROLL for (int c = 0; c < WINO_OUT; c++)
            {
                vf d[4], o[6];
                UNROLL for (int r = 0; r < WINO_OUT; r++)
                {
                    const bool there = at.y + r < t->oh && at.x + c < t->ow;
                    d[r] = there
                               ? v_load(img +
                                        ((size_t)(at.y + r) * (size_t)t->ow + (size_t)(at.x + c)) *
                                            k->oc +
                                        ch)
                               : v_set(0);
                }
                a4(o, d);
                UNROLL for (int r = 0; r < 6; r++) mid[r][c] = o[r];
            }
            UNROLL for (int r = 0; r < 6; r++)
            {
                vf o[6];
                a4(o, mid[r]);
                UNROLL for (int c = 0; c < 6; c++)
                    v_store(m + (size_t)(r * 6 + c) * WINO_TILES * k->oc, o[c]);
            }
        }
    }
}

static void wino_conv(float *y, const float *x, const float *w, const float *b,
                      const struct train_window *t, float *scratch)
{
    const struct wino k = wino_of(t, scratch);
    wino_weights(&k, w);
    for (int tile = 0; tile < k.tiles; tile += WINO_TILES) {
        const int n = k.tiles - tile < WINO_TILES ? k.tiles - tile : WINO_TILES;
        wino_in(&k, x, tile, n);
        for (size_t q = 0; q < WINO_POINTS; q++)
            multiply_rows(&(struct rows_product){k.v + q * WINO_TILES * k.c, k.c, 0, 1, t->c,
                                                 k.u + q * k.c * k.oc, NULL,
                                                 k.m + q * WINO_TILES * k.oc, n, t->oc});
        wino_out(&k, y, b, tile, n);
    }
}

static void wino_conv_weights(float *dw, const float *dy, const float *x,
                              const struct train_window *t, float *scratch)
{
    const struct wino k = wino_of(t, scratch);
    memset(k.u, 0, WINO_POINTS * k.c * k.oc * sizeof *k.u);
    for (int tile = 0; tile < k.tiles; tile += WINO_TILES) {
        const int n = k.tiles - tile < WINO_TILES ? k.tiles - tile : WINO_TILES;
        wino_in(&k, x, tile, n);
        wino_out_back(&k, dy, tile, n);
        for (size_t q = 0; q < WINO_POINTS; q++)
            multiply_weights(&(struct weights_product){k.v + q * WINO_TILES * k.c,
                                                       k.m + q * WINO_TILES * k.oc, 0, k.c, 0, 1,
                                                       t->c, 1, n, t->oc, k.u + q * k.c * k.oc});
    }
    wino_weights_back(&k, dw);
}
