/* The kernels of simd.h for any CPU of the architecture (on x86-64: SSE2); and the choice among the
 * sets. */
#include "engine/nn/simd.h"

#include <stdbool.h>
#include <stdlib.h>

#define SIMD_NAME  "base"
#define SIMD_TABLE nn__simd_base
#include "engine/nn/simd_impl.h"

const struct nn__simd *nn__simd_at(int i)
{
    const struct nn__simd *have[4] = {NULL};
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        have[n++] = &nn__simd_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) have[n++] = &nn__simd_avx2;
#endif
    have[n++] = &nn__simd_base;
    return i >= 0 && i < n ? have[i] : NULL;
}

nn__conv_fn *nn__simd_bf16(const struct nn__simd *s)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (s == &nn__simd_avx512 && __builtin_cpu_supports("avx512bf16")) return nn__conv_bf16;
#endif
    (void)s;
    return NULL;
}

const struct nn__simd *nn__simd_pick(void)
{
    const char *want = getenv("VISAVIS_NN_SIMD");
    const struct nn__simd *s;
    for (int i = 0; want && (s = nn__simd_at(i)); i++)
        if (strcmp(s->name, want) == 0) return s;
    return nn__simd_at(0);
}
