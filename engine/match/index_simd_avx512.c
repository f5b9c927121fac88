/* The kernels of index_simd.h for CPUs with AVX-512 (F, VL, BW, DQ) and its byte products (VNNI).
 * Only called where match__simd_at found them. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,fma"))),                  \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,fma")
#endif

#include "engine/match/index_simd.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE __m512i four(const int8_t *k)
{
    int32_t bytes;
    memcpy(&bytes, k, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

INLINE unsigned bounds16(float *out, __m512i sum, const struct match__tile *t, int row,
                         const struct match__lens *l)
{
    __m512 near = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(l->bias)));
    __m512 scale = _mm512_mul_ps(_mm512_set1_ps(l->t), _mm512_loadu_ps(t->scale + row));
    __m512 rest = _mm512_add_ps(_mm512_loadu_ps(t->offset + row), _mm512_set1_ps(l->base));
    rest = _mm512_fmadd_ps(_mm512_set1_ps(l->norm), _mm512_loadu_ps(t->residual + row), rest);
    __m512 bound = _mm512_fmadd_ps(near, scale, rest);
    _mm512_storeu_ps(out + row, bound);
    return _mm512_cmp_ps_mask(bound, _mm512_set1_ps(l->cut), _CMP_GE_OQ);
}

/* n queries (1..8) over ng groups (1 or 2) from the g-th on. */
INLINE void part(const int n, const int ng, int g, float *bounds, uint64_t *hits,
                 const struct match__tile *t, const struct match__lens *l)
{
    const size_t group = (size_t)t->steps * 4 * MATCH__GROUP;
    const uint8_t *codes = t->codes + (size_t)g * group;
    __m512i sum[8][2];
    for (int q = 0; q < n; q++)
        for (int i = 0; i < ng; i++) sum[q][i] = _mm512_setzero_si512();
    for (int s = 0; s < t->steps; s++) {
        __m512i c[2];
        for (int i = 0; i < ng; i++)
            c[i] = _mm512_loadu_si512(codes + (size_t)i * group + (size_t)s * 4 * MATCH__GROUP);
        for (int q = 0; q < n; q++) {
            __m512i k = four(l[q].k + 4 * s);
            for (int i = 0; i < ng; i++) sum[q][i] = _mm512_dpbusd_epi32(sum[q][i], c[i], k);
        }
    }
    for (int q = 0; q < n; q++)
        for (int i = 0; i < ng; i++) {
            int row = (g + i) * MATCH__GROUP;
            uint64_t hit = bounds16(bounds + (size_t)q * MATCH__TILE, sum[q][i], t, row, &l[q]);
            hits[q] |= hit << row;
        }
}

/* One query is bound by memory: it reads straight on, a group at a time. */
INLINE void queries(const int n, float *bounds, uint64_t *hits, const struct match__tile *t,
                    const struct match__lens *l)
{
    int g = 0;
    for (int q = 0; q < n; q++) hits[q] = 0;
    for (; n > 1 && g + 2 <= t->groups; g += 2) part(n, 2, g, bounds, hits, t, l);
    for (; g < t->groups; g++) part(n, 1, g, bounds, hits, t, l);
}

static void scan(float *bounds, uint64_t *hits, const struct match__tile *tile,
                 const struct match__lens *l, int n)
{
    int q = 0;
    for (; q + 8 <= n; q += 8) queries(8, bounds + (size_t)q * MATCH__TILE, hits + q, tile, l + q);
    for (; q + 2 <= n; q += 2) queries(2, bounds + (size_t)q * MATCH__TILE, hits + q, tile, l + q);
    if (q < n) queries(1, bounds + (size_t)q * MATCH__TILE, hits + q, tile, l + q);
}

static float dot(const float *a, const float *b, int d)
{
    __m512 sum[4];
    int i = 0;
    for (int j = 0; j < 4; j++) sum[j] = _mm512_setzero_ps();
    for (; i + 64 <= d; i += 64)
        for (int j = 0; j < 4; j++)
            sum[j] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16 * j),
                                     _mm512_loadu_ps(b + i + 16 * j), sum[j]);
    for (int j = 0; i < d; i += 16, j++) {
        __mmask16 rest = d - i >= 16 ? 0xffff : (__mmask16)((1u << (d - i)) - 1);
        sum[j] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, a + i),
                                 _mm512_maskz_loadu_ps(rest, b + i), sum[j]);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

const struct match__simd match__simd_avx512 = {"avx512", scan, dot};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
