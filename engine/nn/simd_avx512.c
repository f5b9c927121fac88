/* The kernels of simd.h for CPUs with AVX-512 (F, VL, BW, DQ). Only called where nn__simd_at found
 * them. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma"))),    \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,fma")
#endif

#include "engine/nn/simd.h"

#include <stdbool.h>

#define SIMD_AVX512
#define SIMD_NAME  "avx512"
#define SIMD_TABLE nn__simd_avx512
#include "engine/nn/simd_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
