/* The kernels of dots.h for whichever instruction set the including file is compiled. It defines
 * DOTS_AVX512 or DOTS_AVX2 or neither, DOTS_NAME and DOTS_TABLE. */
#if defined(DOTS_AVX512) || defined(DOTS_AVX2)
#include <immintrin.h>
#endif

#if defined(DOTS_AVX512)
enum { VL = 16, AT_ONCE = 12 };
#elif defined(DOTS_AVX2)
enum { VL = 8, AT_ONCE = 3 };
#else
enum { VL = 4, AT_ONCE = 1 };
#endif
enum { VECTORS = DOTS_WIDTH / VL };

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef float vf_mem __attribute__((vector_size(VL * 4), aligned(4), may_alias));

static inline __attribute__((always_inline)) vf v_fma(float x, vf b, vf c)
{
#if defined(DOTS_AVX512)
    return _mm512_fmadd_ps(_mm512_set1_ps(x), b, c);
#elif defined(DOTS_AVX2)
    return _mm256_fmadd_ps(_mm256_set1_ps(x), b, c);
#else
    return x * b + c;
#endif
}

static inline __attribute__((always_inline)) void block(float *s, const float *a, int lda, int rows,
                                                        const float *panel, int run, bool add)
{
    vf acc[AT_ONCE][VECTORS] = {{{0}}};

    for (int k = 0; k < run; k++) {
        const vf_mem *b = (const vf_mem *)(panel + (size_t)k * DOTS_WIDTH);
        vf column[VECTORS];
        _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; v++) column[v] = b[v];
        _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)
        {
            const float x = a[(size_t)r * (size_t)lda + (size_t)k];
            _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; v++) acc[r][v] =
                v_fma(x, column[v], acc[r][v]);
        }
    }
    _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)
    {
        vf_mem *out = (vf_mem *)(s + (size_t)r * DOTS_COLS);
        _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; v++)
        {
            if (add) acc[r][v] += (vf)out[v];
            out[v] = acc[r][v];
        }
    }
}

static void dots(float *s, const float *a, int lda, int rows, const float *panel, int run, bool add)
{
    int r = 0;

    for (; r + AT_ONCE <= rows; r += AT_ONCE)
        block(s + (size_t)r * DOTS_COLS, a + (size_t)r * (size_t)lda, lda, AT_ONCE, panel, run,
              add);
    for (; r < rows; r++)
        block(s + (size_t)r * DOTS_COLS, a + (size_t)r * (size_t)lda, lda, 1, panel, run, add);
}

static int at_least(const float *s, int from, int n, float least)
{
    int i = from;

    while (i < n && i % VL) {
        if (s[i] >= least) return i;
        i++;
    }
    for (; i + 2 * VL <= n; i += 2 * VL) {
        const vf a = *(const vf_mem *)(s + i), b = *(const vf_mem *)(s + i + VL);
#if defined(DOTS_AVX512)
        const vf t = _mm512_set1_ps(least);
        if (_mm512_cmp_ps_mask(a, t, _CMP_GE_OQ) | _mm512_cmp_ps_mask(b, t, _CMP_GE_OQ)) break;
#elif defined(DOTS_AVX2)
        const vf t = _mm256_set1_ps(least);
        if (_mm256_movemask_ps(
                _mm256_or_ps(_mm256_cmp_ps(a, t, _CMP_GE_OQ), _mm256_cmp_ps(b, t, _CMP_GE_OQ))))
            break;
#else
        const vi m = (a >= least) | (b >= least);
        if (m[0] | m[1] | m[2] | m[3]) break;
#endif
    }
    while (i < n && !(s[i] >= least)) i++;
    return i < n ? i : n;
}

const struct cluster__kernels DOTS_TABLE = {DOTS_NAME, dots, at_least};
