/* The kernels of index_simd.h for CPUs with AVX2 and FMA. Only called where match__simd_at found
 * them. Bytes are widened to 16 bits: the byte product of AVX2 would saturate. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "engine/match/index_simd.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Sums of the pairs of rows 8 i .. 8 i + 7, from the accumulators of four rows each. */
INLINE __m256i rows8(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
}

INLINE unsigned bounds8(float *out, __m256i sum, const struct match__tile *t, int row,
                        const struct match__lens *l)
{
    __m256 near = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, _mm256_set1_epi32(l->bias)));
    __m256 scale = _mm256_mul_ps(_mm256_set1_ps(l->t), _mm256_loadu_ps(t->scale + row));
    __m256 rest = _mm256_add_ps(_mm256_loadu_ps(t->offset + row), _mm256_set1_ps(l->base));
    rest = _mm256_fmadd_ps(_mm256_set1_ps(l->norm), _mm256_loadu_ps(t->residual + row), rest);
    __m256 bound = _mm256_fmadd_ps(near, scale, rest);
    _mm256_storeu_ps(out + row, bound);
    __m256 hit = _mm256_cmp_ps(bound, _mm256_set1_ps(l->cut), _CMP_GE_OQ);
    return (unsigned)_mm256_movemask_ps(hit);
}

/* n (1 or 2) queries over the tile. */
INLINE void queries(const int n, float *bounds, uint64_t *hits, const struct match__tile *t,
                    const struct match__lens *l)
{
    for (int q = 0; q < n; q++) hits[q] = 0;
    const uint8_t *codes = t->codes;
    for (int g = 0; g < t->groups; g++) {
        __m256i sum[2][4];
        for (int q = 0; q < n; q++)
            for (int i = 0; i < 4; i++) sum[q][i] = _mm256_setzero_si256();
        for (int s = 0; s < t->steps; s++, codes += 4 * MATCH__GROUP) {
            __m256i k[2];
            for (int q = 0; q < n; q++) {
                int32_t four;
                memcpy(&four, l[q].k + 4 * s, sizeof four);
                k[q] = _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
            }
            for (int i = 0; i < 4; i++) {
                __m256i c = _mm256_cvtepu8_epi16(
                    _mm_loadu_si128((const __m128i *)(const void *)(codes + 16 * i)));
                for (int q = 0; q < n; q++)
                    sum[q][i] = _mm256_add_epi32(sum[q][i], _mm256_madd_epi16(c, k[q]));
            }
        }
        for (int q = 0; q < n; q++) {
            float *out = bounds + (size_t)q * MATCH__TILE;
            int row = g * MATCH__GROUP;
            uint64_t lo = bounds8(out, rows8(sum[q][0], sum[q][1]), t, row, &l[q]);
            uint64_t hi = bounds8(out, rows8(sum[q][2], sum[q][3]), t, row + 8, &l[q]);
            hits[q] |= (lo | hi << 8) << row;
        }
    }
}

static void scan(float *bounds, uint64_t *hits, const struct match__tile *tile,
                 const struct match__lens *l, int n)
{
    int q = 0;
    for (; q + 2 <= n; q += 2) queries(2, bounds + (size_t)q * MATCH__TILE, hits + q, tile, l + q);
    if (q < n) queries(1, bounds + (size_t)q * MATCH__TILE, hits + q, tile, l + q);
}

static float dot(const float *a, const float *b, int d)
{
    __m256 sum[4];
    int i = 0;
    for (int j = 0; j < 4; j++) sum[j] = _mm256_setzero_ps();
    for (; i + 32 <= d; i += 32)
        for (int j = 0; j < 4; j++)
            sum[j] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8 * j), _mm256_loadu_ps(b + i + 8 * j),
                                     sum[j]);
    float part[32];
    for (int j = 0; j < 4; j++) _mm256_storeu_ps(part + 8 * j, sum[j]);
    for (int j = 0; i < d; i++, j++) part[j] += a[i] * b[i];
    for (int half = 16; half > 0; half /= 2)
        for (int j = 0; j < half; j++) part[j] += part[j + half];
    return part[0];
}

const struct match__simd match__simd_avx2 = {"avx2", scan, dot};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
