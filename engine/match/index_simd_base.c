/* The kernels of index_simd.h for any CPU; and the choice among the sets. */
#include "engine/match/index_simd.h"

#include <stdlib.h>
#include <string.h>

static void sums(int32_t out[MATCH__GROUP], const uint8_t *codes, const int8_t *k, int steps)
{
    memset(out, 0, MATCH__GROUP * sizeof *out);
    for (int i = 0; i < steps; i++, codes += 4 * MATCH__GROUP, k += 4)
        for (int row = 0; row < MATCH__GROUP; row++) {
            const uint8_t *c = codes + 4 * row;
            out[row] += c[0] * k[0] + c[1] * k[1] + c[2] * k[2] + c[3] * k[3];
        }
}

static void scan(float *bounds, uint64_t *hits, const struct match__tile *tile,
                 const struct match__lens *queries, int n)
{
    for (int q = 0; q < n; q++, bounds += MATCH__TILE) {
        const struct match__lens *l = &queries[q];
        hits[q] = 0;
        for (int g = 0; g < tile->groups; g++) {
            int32_t sum[MATCH__GROUP];
            sums(sum, tile->codes + (size_t)g * tile->steps * 4 * MATCH__GROUP, l->k, tile->steps);
            for (int i = 0; i < MATCH__GROUP; i++) {
                int row = g * MATCH__GROUP + i;
                float near = (float)(sum[i] - l->bias) * (l->t * tile->scale[row]);
                float bound = near + l->norm * tile->residual[row] + tile->offset[row] + l->base;
                bounds[row] = bound;
                hits[q] |= (uint64_t)(bound >= l->cut) << row;
            }
        }
    }
}

static float dot(const float *a, const float *b, int d)
{
    float sum[16] = {0};
    int i = 0;
    for (; i + 16 <= d; i += 16)
        for (int j = 0; j < 16; j++) sum[j] += a[i + j] * b[i + j];
    for (int j = 0; i < d; i++, j++) sum[j] += a[i] * b[i];
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

const struct match__simd match__simd_base = {"base", scan, dot};

const struct match__simd *match__simd_at(int i)
{
    const struct match__simd *have[3] = {NULL};
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        have[n++] = &match__simd_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        have[n++] = &match__simd_avx2;
#endif
    have[n++] = &match__simd_base;
    return i >= 0 && i < n ? have[i] : NULL;
}

const struct match__simd *match__simd_pick(void)
{
    const char *want = getenv("VISAVIS_MATCH_SIMD");
    const struct match__simd *s;
    for (int i = 0; want && (s = match__simd_at(i)); i++)
        if (strcmp(s->name, want) == 0) return s;
    return match__simd_at(0);
}
