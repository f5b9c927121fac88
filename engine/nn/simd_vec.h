/* One vector of floats, for whichever instruction set the including file was compiled. The
 * including file defines SIMD_AVX512 or SIMD_AVX2 or neither. */
#ifndef VISAVIS_ENGINE_NN_SIMD_VEC_H
#define VISAVIS_ENGINE_NN_SIMD_VEC_H

#include <stdint.h>

#if defined(SIMD_AVX512) || defined(SIMD_AVX2) || defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(SIMD_AVX512)
enum { VL = 16, PANEL_MAX = 4, BLOCK_MAX = 12 };
#elif defined(SIMD_AVX2)
enum { VL = 8, PANEL_MAX = 2, BLOCK_MAX = 6 };
#else
enum { VL = 4, PANEL_MAX = 4, BLOCK_MAX = 2 };
#endif

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef float vf_mem __attribute__((vector_size(VL * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vf v_load(const float *p)
{
    return *(const vf_mem *)p;
}

INLINE void v_store(float *p, vf v)
{
    *(vf_mem *)p = v;
}

#if defined(SIMD_AVX512)
INLINE vf v_set(float x)
{
    return _mm512_set1_ps(x);
}
INLINE vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
INLINE vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
#elif defined(SIMD_AVX2)
INLINE vf v_set(float x)
{
    return _mm256_set1_ps(x);
}
INLINE vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
INLINE vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
#else
INLINE vf v_set(float x)
{
    return (vf){x, x, x, x};
}
INLINE vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
#if defined(__SSE2__)
INLINE vf v_max(vf a, vf b)
{
    return _mm_max_ps(a, b);
}
INLINE vf v_min(vf a, vf b)
{
    return _mm_min_ps(a, b);
}
#else
INLINE vf v_max(vf a, vf b)
{
    vi m = a > b;
    return (vf)((m & (vi)a) | (~m & (vi)b));
}
INLINE vf v_min(vf a, vf b)
{
    vi m = a < b;
    return (vf)((m & (vi)a) | (~m & (vi)b));
}
#endif
#endif

/* e^x within 2 units in the last place on [-87, 88], clamped outside: x = n ln 2 + r, a polynomial
 * for e^r on
 * [-0.35, 0.35] (the Taylor terms to r^7: the first one left out is below 1e-8), 2^n put into the
 * exponent. */
INLINE vf v_exp(vf x)
{
    x = v_min(v_max(x, v_set(-87.0f)), v_set(88.0f));
    const vf to_int = v_set(12582912.0f); /* 1.5 2^23: adding it rounds to an integer */
    vf n = v_fma(x, v_set(1.44269504f), to_int) - to_int;
    vf r = v_fma(n, v_set(-0.693145752f), x); /* ln 2, first 16 bits: n times it is exact */
    r = v_fma(n, v_set(-1.42860677e-6f), r);  /* the rest of ln 2 */
    vf p = v_set(1.0f / 5040);
    p = v_fma(p, r, v_set(1.0f / 720));
    p = v_fma(p, r, v_set(1.0f / 120));
    p = v_fma(p, r, v_set(1.0f / 24));
    p = v_fma(p, r, v_set(1.0f / 6));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(p, r, v_set(1.0f));
    p = v_fma(p, r, v_set(1.0f));
    vi e = (__builtin_convertvector(n, vi) + 127) << 23;
    return p * (vf)e;
}

#endif
