/* Winograd's transforms of vectors of channels, shared by the forward kernels (simd_impl_wino.h)
 * and by training (engine/train/ops_winograd.h). Names as in Lavin and Gray 2015: V = B^T d B, M =
 * V U, y = A^T M A. Six values: points 0, 1, -1, 2, -2 and infinity. */
#ifndef VISAVIS_ENGINE_NN_SIMD_WINO_H
#define VISAVIS_ENGINE_NN_SIMD_WINO_H

#include "engine/nn/simd_vec.h"

#include <stdbool.h>
#include <stddef.h>

INLINE void bt6(vf o[6], const vf d[6])
{
    const vf c4 = v_set(4), c2 = v_set(2), m5 = v_set(-5), m4 = v_set(-4);
    vf a = v_fma(m4, d[2], d[4]), b = v_fma(m4, d[1], d[3]);
    vf c = d[4] - d[2], e = c2 * (d[3] - d[1]);
    o[0] = v_fma(c4, d[0], v_fma(m5, d[2], d[4]));
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + e;
    o[4] = c - e;
    o[5] = v_fma(c4, d[1], v_fma(m5, d[3], d[5]));
}

INLINE void bt4(vf o[4], const vf d[4])
{
    o[0] = d[0] - d[2];
    o[1] = d[1] + d[2];
    o[2] = d[2] - d[1];
    o[3] = d[1] - d[3];
}

INLINE void at6(vf o[4], const vf m[6])
{
    vf s12 = m[1] + m[2], d12 = m[1] - m[2], s34 = m[3] + m[4], d34 = m[3] - m[4];
    o[0] = m[0] + s12 + s34;
    o[1] = v_fma(v_set(2), d34, d12);
    o[2] = v_fma(v_set(4), s34, s12);
    o[3] = v_fma(v_set(8), d34, d12) + m[5];
}

/* A tile of side x side pixels that are all there, one vector of channels: V's points, v_point
 * elements apart. Of the pixels, rows are `row` elements apart, columns `pixel`. */
INLINE void wino_tile_in(const int side, float *v, size_t v_point, const float *in, size_t row,
                         size_t pixel)
{
    vf mid[6][6];
    UNROLL for (int x = 0; x < side; x++)
    {
        vf d[6], o[6];
        UNROLL for (int y = 0; y < side; y++) d[y] =
            v_load(in + (size_t)y * row + (size_t)x * pixel);
        if (side == 6)
            bt6(o, d);
        else
            bt4(o, d);
        UNROLL for (int y = 0; y < side; y++) mid[y][x] = o[y];
    }
    UNROLL for (int y = 0; y < side; y++)
    {
        vf o[6];
        if (side == 6)
            bt6(o, mid[y]);
        else
            bt4(o, mid[y]);
        UNROLL for (int x = 0; x < side; x++) v_store(v + (size_t)(y * side + x) * v_point, o[x]);
    }
}

/* All channels of the tile whose first pixel is row y0, column x0 of img [ih][iw][c]; what lies
 * outside is 0: it is copied then, without a branch for each pixel. */
INLINE void wino_tiles_in(const int side, float *v, size_t v_point, const float *img, int ih,
                          int iw, size_t c, int y0, int x0)
{
    static const float zeros[VL];
    const size_t row = (size_t)iw * c;
    if (y0 >= 0 && x0 >= 0 && y0 + side <= ih && x0 + side <= iw) {
        const float *in = img + (size_t)y0 * row + (size_t)x0 * c;
        for (size_t ch = 0; ch < c; ch += VL) wino_tile_in(side, v + ch, v_point, in + ch, row, c);
        return;
    }
    const float *from[6 * 6];
    size_t there[6 * 6]; /* all bits or none: of the channel's offset */
    float edge[6 * 6 * VL];
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const bool in = y0 + y >= 0 && y0 + y < ih && x0 + x >= 0 && x0 + x < iw;
            from[y * side + x] = in ? img + (size_t)(y0 + y) * row + (size_t)(x0 + x) * c : zeros;
            there[y * side + x] = in ? ~(size_t)0 : 0;
        }
    for (size_t ch = 0; ch < c; ch += VL) {
        for (int i = 0; i < side * side; i++)
            v_store(edge + i * VL, v_load(from[i] + (ch & there[i])));
        wino_tile_in(side, v + ch, v_point, edge, (size_t)side * VL, VL);
    }
}

#endif
