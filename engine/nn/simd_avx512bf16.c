/* simd.h's product of pairs of bf16, for CPUs with AVX512-BF16. Only called where nn__simd_bf16
 * found it. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma,avx512bf16"))),                  \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,fma,avx512bf16")
#endif

#include "engine/nn/simd.h"

#include <stdbool.h>

#define SIMD_AVX512
#define SIMD_BF16
#include "engine/nn/simd_impl.h"

void nn__conv_bf16(const struct nn__conv *c, int pixel, int pixels, int channel, int channels)
{
    conv(c, pixel, pixels, channel, channels);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
