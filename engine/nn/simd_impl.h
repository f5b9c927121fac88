/* The kernels of simd.h. Included once by each simd_<set>.c, which names the set and switches the
 * compiler to it. The arrays of vectors below live in registers: every loop over them has a
 * constant count and is unrolled. With SIMD_BF16 it is the product and conv alone, on pairs of
 * bf16. */
#include <math.h>
#include <string.h>

#include "engine/nn/simd.h"
#include "engine/nn/simd_vec.h"

INLINE vf act(const struct nn__act *a, size_t channel, vf x)
{
    const vf zero = v_set(0);
    switch (a->kind) {
    case NN__ACT_RELU:
        return v_max(x, zero);
    case NN__ACT_SLOPE:
        return v_max(x, zero) + v_load(a->slope + channel) * v_min(x, zero);
    case NN__ACT_RELU6:
        return v_min(v_max(x, zero), v_set(6));
    default:
        return x;
    }
}

/* ---- The one product kernel: mr pixels times nv vectors of output channels ---- */

struct block {
    const float *in[NN__TAPS_MAX * BLOCK_MAX]; /* [tap][mr] */
    int taps, run;
    const float *w; /* [tap][run][nv vectors] */
    const float *b;
    const float *plus[BLOCK_MAX]; /* NULL: nothing to add */
    int plus_vectors;             /* that may be added */
    const struct nn__act *act;
    size_t channel; /* the first of the panel, for act */
    float *out;
    size_t out_pixel;
};

/* sum + x w; of pairs, sum + x0 w0 + x1 w1. */
INLINE vf v_mac(vf x, vf w, vf sum)
{
#if defined(SIMD_BF16)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
#else
    return v_fma(x, w, sum);
#endif
}

/* pool: the pixels are two rows of mr / 2, and the greatest of each 2 x 2 is stored, mr / 4 of
 * them. */
INLINE void product(const int mr, const int nv, const int pool, const struct block *k)
{
    vf sum[BLOCK_MAX][PANEL_MAX];
    const float *w = k->w;
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] =
        v_load(k->b + j * VL);
    for (int t = 0; t < k->taps; t++) {
        const float *a[BLOCK_MAX];
        UNROLL for (int i = 0; i < mr; i++) a[i] = k->in[t * mr + i];
        for (long r = 0; r < k->run; r++) {
            vf b[PANEL_MAX];
            UNROLL for (int j = 0; j < nv; j++) b[j] = v_load(w + j * VL);
            w += nv * VL;
            UNROLL for (int i = 0; i < mr; i++)
            {
                vf x = v_set(a[i][r]);
                UNROLL for (int j = 0; j < nv; j++) sum[i][j] = v_mac(x, b[j], sum[i][j]);
            }
        }
    }
    if (k->plus_vectors > 0)
        UNROLL for (int i = 0; i < mr; i++) if (k->plus[i])
            UNROLL for (int j = 0; j < nv; j++) if (j < k->plus_vectors) sum[i][j] +=
            v_load(k->plus[i] + j * VL);
    if (k->act->kind == NN__ACT_RELU) {
        UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] =
            v_max(sum[i][j], v_set(0));
    } else if (k->act->kind != NN__ACT_NONE) {
        UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] =
            act(k->act, k->channel + (size_t)j * VL, sum[i][j]);
    }
    if (pool) {
        UNROLL for (int i = 0; i < mr / 4; i++) UNROLL for (int j = 0; j < nv; j++)
            v_store(k->out + i * k->out_pixel + j * VL,
                    v_max(v_max(sum[2 * i][j], sum[2 * i + 1][j]),
                          v_max(sum[mr / 2 + 2 * i][j], sum[mr / 2 + 2 * i + 1][j])));
        return;
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++)
        v_store(k->out + i * k->out_pixel + j * VL, sum[i][j]);
}

#define PRODUCT(mr, nv)                                                                            \
    static void product_##mr##_##nv(const struct block *k)                                         \
    {                                                                                              \
        product(mr, nv, 0, k);                                                                     \
    }
#define PRODUCT_MAX2(mr, nv)                                                                       \
    static void product_max2_##mr##_##nv(const struct block *k)                                    \
    {                                                                                              \
        product(mr, nv, 1, k);                                                                     \
    }
typedef void product_fn(const struct block *k);

#if defined(SIMD_AVX512)
/* 32 registers: mr * nv sums, nv weights and one input. Measured on Zen 4: all of these within 5 %
 * of the peak, but ten rows are the most whose pointers stay in registers. */
#define ROW(F, nv) F(1, nv) F(2, nv) F(3, nv) F(4, nv) F(5, nv) F(6, nv)
ROW(PRODUCT, 1)
PRODUCT(7, 1)
PRODUCT(8, 1)
PRODUCT(9, 1)
PRODUCT(10, 1)
PRODUCT(11, 1)
PRODUCT(12, 1)
ROW(PRODUCT, 2)
PRODUCT(7, 2)
PRODUCT(8, 2)
PRODUCT(9, 2)
PRODUCT(10, 2)
ROW(PRODUCT, 3)
PRODUCT(7, 3)
PRODUCT(8, 3)
ROW(PRODUCT, 4)
#define P(mr, nv) [mr] = product_##mr##_##nv,
static product_fn *const PRODUCTS[PANEL_MAX + 1][BLOCK_MAX + 1] = {
    [1] = {ROW(P, 1) P(7, 1) P(8, 1) P(9, 1) P(10, 1) P(11, 1) P(12, 1)},
    [2] = {ROW(P, 2) P(7, 2) P(8, 2) P(9, 2) P(10, 2)},
    [3] = {ROW(P, 3) P(7, 3) P(8, 3)},
    [4] = {ROW(P, 4)},
};
static const int BLOCK[PANEL_MAX + 1] = {0, 12, 10, 8, 6};
#if defined(SIMD_BF16)
#define PRODUCTS_HALF PRODUCTS[panel(NN__LANES) / VL] /* no narrower one here */
#else
/* At most eight channels: half a vector does, and a CPU whose 512-bit units are two of 256 (Zen 4)
 * is twice as fast at it. Nothing is added, no activation. */
INLINE void product_half(const int mr, const struct block *k)
{
    __m256 sum[BLOCK_MAX];
    const float *w = k->w;
    UNROLL for (int i = 0; i < mr; i++) sum[i] = _mm256_loadu_ps(k->b);
    for (int t = 0; t < k->taps; t++) {
        const float *a[BLOCK_MAX];
        UNROLL for (int i = 0; i < mr; i++) a[i] = k->in[t * mr + i];
        for (long r = 0; r < k->run; r++, w += VL) {
            const __m256 b = _mm256_loadu_ps(w);
            UNROLL for (int i = 0; i < mr; i++) sum[i] =
                _mm256_fmadd_ps(_mm256_set1_ps(a[i][r]), b, sum[i]);
        }
    }
    UNROLL for (int i = 0; i < mr; i++)
    {
        _mm256_storeu_ps(k->out + i * k->out_pixel, sum[i]);
        _mm256_storeu_ps(k->out + i * k->out_pixel + VL / 2, _mm256_setzero_ps());
    }
}

#define HALF(mr)                                                                                   \
    static void product_half_##mr(const struct block *k)                                           \
    {                                                                                              \
        product_half(mr, k);                                                                       \
    }
HALF(1)
HALF(2)
HALF(3)
HALF(4)
HALF(5)
HALF(6)
HALF(7)
HALF(8)
HALF(9)
HALF(10)
HALF(11)
HALF(12)
#define H(mr) [mr] = product_half_##mr,
static product_fn *const PRODUCTS_HALF[BLOCK_MAX + 1] = {H(1) H(2) H(3) H(4) H(5) H(6) H(7) H(8)
                                                             H(9) H(10) H(11) H(12)};
PRODUCT_MAX2(4, 1)
PRODUCT_MAX2(8, 1)
PRODUCT_MAX2(12, 1)
PRODUCT_MAX2(4, 2)
PRODUCT_MAX2(8, 2)
/* [vectors of channels][pooled pixels] */
static product_fn *const PRODUCTS_MAX2[PANEL_MAX + 1][4] = {
    [1] = {NULL, product_max2_4_1, product_max2_8_1, product_max2_12_1},
    [2] = {NULL, product_max2_4_2, product_max2_8_2},
};
#endif

static int panel(int rest)
{
    static const int few[] = {0, 16, 32, 48, 64, 48, 48, 64};
    return rest >= 128 ? 64 : few[rest / 16];
}
#elif defined(SIMD_AVX2)
/* 16 registers: 6 x 2 sums, 2 weights, one input. */
PRODUCT(1, 2)
PRODUCT(2, 2)
PRODUCT(3, 2)
PRODUCT(4, 2)
PRODUCT(5, 2)
PRODUCT(6, 2)
static product_fn *const PRODUCTS[PANEL_MAX + 1][BLOCK_MAX + 1] = {
    [2] = {NULL, product_1_2, product_2_2, product_3_2, product_4_2, product_5_2, product_6_2},
};
static const int BLOCK[PANEL_MAX + 1] = {0, 0, 6};
#define PRODUCTS_HALF PRODUCTS[panel(NN__LANES) / VL] /* no narrower one here */
PRODUCT_MAX2(4, 2)
static product_fn *const PRODUCTS_MAX2[PANEL_MAX + 1][4] = {[2] = {NULL, product_max2_4_2}};

static int panel(int rest)
{
    (void)rest;
    return 16;
}
#else
/* 16 registers of 4 and no fused multiply-add: 2 x 4 sums, 4 weights, an input and a product. */
PRODUCT(1, 4)
PRODUCT(2, 4)
static product_fn *const PRODUCTS[PANEL_MAX + 1][BLOCK_MAX + 1] = {
    [4] = {NULL, product_1_4, product_2_4},
};
static const int BLOCK[PANEL_MAX + 1] = {0, 0, 0, 0, 2};
#define PRODUCTS_HALF PRODUCTS[panel(NN__LANES) / VL] /* no narrower one here */
static product_fn *const PRODUCTS_MAX2[PANEL_MAX + 1][4] = {{NULL}};

static int panel(int rest)
{
    (void)rest;
    return 16;
}
#endif

struct pixel {
    int n, y, x; /* image, output row, output column */
};

INLINE struct pixel pixel_at(int index, int h, int w)
{
    struct pixel p = {index / (h * w), index / w % h, index % w};
    return p;
}

INLINE void pixel_next(struct pixel *p, int h, int w)
{
    if (++p->x < w) return;
    p->x = 0;
    if (++p->y < h) return;
    p->y = 0;
    p->n++;
}

struct taps {
    int count;
    ptrdiff_t off[NN__TAPS_MAX]; /* of each from the first, in floats */
    ptrdiff_t step;              /* from one output pixel of a row to the next */
};

static void find_taps(struct taps *t, const struct nn__conv *c)
{
    t->count = c->kh * c->kx;
    t->step = (ptrdiff_t)c->sw * (ptrdiff_t)c->pixel;
    for (int y = 0, i = 0; y < c->kh; y++)
        for (int x = 0; x < c->kx; x++, i++)
            t->off[i] = (ptrdiff_t)y * c->dilation * (ptrdiff_t)c->row +
                        (ptrdiff_t)x * c->dilation * (ptrdiff_t)c->pixel;
}

/* Where the taps of pixel p start, into column i of in[taps][mr]. */
static void point_one(const struct nn__conv *c, const struct taps *k, struct pixel p, int mr,
                      const float **in)
{
    int y0 = p.y * c->sh - c->pt, x0 = p.x * c->sw - c->pl;
    ptrdiff_t at = (ptrdiff_t)(p.n * c->image) + (ptrdiff_t)y0 * (ptrdiff_t)c->row +
                   (ptrdiff_t)x0 * (ptrdiff_t)c->pixel;
    for (int t = 0; t < k->count; t++) {
        int y = y0 + t / c->kx * c->dilation, x = x0 + t % c->kx * c->dilation;
        bool there = y >= 0 && y < c->ih && x >= 0 && x < c->iw;
        in[t * mr] = there ? c->in + (at + k->off[t]) : c->zeros;
    }
}

/* The same for mr pixels from *p on, which is moved past them. */
INLINE void point_all(const struct nn__conv *c, const struct taps *k, struct pixel *p, int mr,
                      const float **in)
{
    int y0 = p->y * c->sh - c->pt, x0 = p->x * c->sw - c->pl;
    if (p->x + mr <= c->ow && y0 >= 0 && x0 >= 0 && y0 + (c->kh - 1) * c->dilation < c->ih &&
        x0 + (mr - 1) * c->sw + (c->kx - 1) * c->dilation < c->iw) { /* one row, nothing outside */
        const float *first = c->in + p->n * c->image + (size_t)y0 * c->row + (size_t)x0 * c->pixel;
        for (int t = 0; t < k->count; t++, in += mr)
            for (int i = 0; i < mr; i++) in[i] = first + (k->off[t] + i * k->step);
        p->x += mr - 1;
        pixel_next(p, c->oh, c->ow);
        return;
    }
    for (int i = 0; i < mr; i++, pixel_next(p, c->oh, c->ow)) point_one(c, k, *p, mr, in + i);
}

INLINE const float *plus_at(const struct nn__plus *p, struct pixel at)
{
    if (!p->data || at.y >= p->h || at.x >= p->w) return NULL;
    return p->data + at.n * p->image + ((size_t)at.y * p->w + at.x) * p->pixel;
}

static void conv(const struct nn__conv *c, int pixel, int pixels, int channel, int channels)
{
    struct block k;
    struct taps taps;
    find_taps(&taps, c);
    k.taps = taps.count;
    k.run = c->run;
    k.act = &c->act;
    k.out_pixel = (size_t)c->oc;
    for (int ch = channel, wide; ch < channel + channels; ch += wide) {
        wide = panel(c->oc - ch);
        int nv = wide / VL, blocks = (pixels + BLOCK[nv] - 1) / BLOCK[nv];
        k.w = c->w + (size_t)ch * k.taps * k.run;
        k.b = c->b + ch;
        k.channel = (size_t)ch;
        k.plus_vectors = c->plus.data ? (c->plus.lanes - ch + VL - 1) / VL : 0;
        struct pixel p = pixel_at(pixel, c->oh, c->ow);
        float *out = c->out + (size_t)(pixel - c->out_first) * c->oc + ch;
        for (int i = 0, done = 0; i < blocks; i++) { /* blocks of nearly one size */
            int mr = (pixels - done + blocks - i - 1) / (blocks - i);
            if (k.plus_vectors > 0) {
                struct pixel q = p;
                for (int r = 0; r < mr; r++, pixel_next(&q, c->oh, c->ow)) {
                    const float *plus = plus_at(&c->plus, q);
                    k.plus[r] = plus ? plus + ch : NULL;
                }
            }
            point_all(c, &taps, &p, mr, k.in);
            k.out = out + (size_t)done * c->oc;
            (c->half ? PRODUCTS_HALF : PRODUCTS[nv])[mr](&k);
            done += mr;
        }
    }
}

#if !defined(SIMD_BF16)
#include "engine/nn/simd_impl_max2.h"
#include "engine/nn/simd_impl_wino.h"
#include "engine/nn/simd_impl_ops.h"
#endif
