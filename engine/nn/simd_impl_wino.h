/* Winograd kernels; part of simd_impl.h. */
#include "engine/nn/simd_wino.h"

INLINE void at6_3(vf o[3], const vf m[6])
{
    vf s12 = m[1] + m[2], d12 = m[1] - m[2], s34 = m[3] + m[4], d34 = m[3] - m[4];
    o[0] = m[0] + s12 + s34;
    o[1] = v_fma(v_set(2), d34, d12);
    o[2] = v_fma(v_set(4), s34, s12) + m[5];
}

INLINE void at4(vf o[2], const vf m[4])
{
    o[0] = m[0] + m[1] + m[2];
    o[1] = m[1] - m[2] - m[3];
}

INLINE void tiles_in(const int side, const struct nn__wino *t, float *v, int tile, int tiles)
{
    struct pixel p = pixel_at(tile, t->tiles_y, t->tiles_x);
    for (int i = 0; i < tiles; i++, pixel_next(&p, t->tiles_y, t->tiles_x)) {
        const float *img = t->in + (size_t)p.n * t->ih * t->iw * t->ic;
        wino_tiles_in(side, v + (size_t)i * t->ic, t->v_point, img, t->ih, t->iw, (size_t)t->ic,
                      p.y * t->m - t->pt, p.x * t->m - t->pl);
    }
}

static void wino_in(const struct nn__wino *t, float *v, int tile, int tiles)
{
    if (t->m == 2)
        tiles_in(4, t, v, tile, tiles);
    else
        tiles_in(6, t, v, tile, tiles);
}

static void wino_mul(const struct nn__wino *t, float *m, const float *v, int tiles, int point,
                     int points)
{
    static const float zeros[PANEL_MAX * VL];
    static const struct nn__act none = {NN__ACT_NONE, NULL};
    struct block k = {.taps = 1, .run = t->run, .b = zeros, .act = &none};
    k.out_pixel = (size_t)t->oc;
    for (int q = point; q < point + points; q++)
        for (int ch = 0, wide; ch < t->oc; ch += wide) {
            wide = panel(t->oc - ch);
            int nv = wide / VL, blocks = (tiles + BLOCK[nv] - 1) / BLOCK[nv];
            k.w = t->w + ((size_t)q * t->oc + ch) * t->run;
            for (int i = 0, done = 0; i < blocks; i++) {
                int mr = (tiles - done + blocks - i - 1) / (blocks - i);
                for (int r = 0; r < mr; r++)
                    k.in[r] = v + q * t->v_point + (size_t)(done + r) * t->ic;
                k.out = m + q * t->m_point + (size_t)done * t->oc + ch;
                PRODUCTS[nv][mr](&k);
                done += mr;
            }
        }
}

/* One tile, one vector of channels: A^T M A, then bias, sum and activation for the pixels that
 * exist. */
INLINE void tile_out(const int out, const struct nn__wino *t, const float *m, struct pixel p,
                     size_t ch)
{
    const int side = out == 2 ? 4 : 6;
    vf mid[4][6];
    UNROLL for (int x = 0; x < side; x++)
    {
        vf d[6], o[4];
        UNROLL for (int y = 0; y < side; y++) d[y] =
            v_load(m + (size_t)(y * side + x) * t->m_point + ch);
        if (out == 4)
            at6(o, d);
        else if (out == 3)
            at6_3(o, d);
        else
            at4(o, d);
        UNROLL for (int y = 0; y < out; y++) mid[y][x] = o[y];
    }
    vf bias = v_load(t->b + ch);
    UNROLL for (int y = 0; y < out; y++)
    {
        vf o[4];
        if (out == 4)
            at6(o, mid[y]);
        else if (out == 3)
            at6_3(o, mid[y]);
        else
            at4(o, mid[y]);
        int oy = p.y * out + y;
        if (oy >= t->oh) return;
        UNROLL for (int x = 0; x < out; x++)
        {
            int ox = p.x * out + x;
            if (ox >= t->ow) break;
            struct pixel at = {p.n, oy, ox};
            vf s = o[x] + bias;
            const float *plus = plus_at(&t->plus, at);
            if (plus && ch < (size_t)t->plus.lanes) s += v_load(plus + ch);
            v_store(t->out + (((size_t)p.n * t->oh + oy) * t->ow + ox) * t->oc + ch,
                    act(&t->act, ch, s));
        }
    }
}

static void wino_out(const struct nn__wino *t, const float *m, int tile, int tiles)
{
    struct pixel p = pixel_at(tile, t->tiles_y, t->tiles_x);
    for (int i = 0; i < tiles; i++, pixel_next(&p, t->tiles_y, t->tiles_x)) {
        const float *from = m + (size_t)i * t->oc;
        for (size_t ch = 0; ch < (size_t)t->oc; ch += VL) {
            if (t->m == 4)
                tile_out(4, t, from, p, ch);
            else if (t->m == 3)
                tile_out(3, t, from, p, ch);
            else
                tile_out(2, t, from, p, ch);
        }
    }
}
