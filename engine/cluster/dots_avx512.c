/* The kernels of dots.h for CPUs with AVX-512 (F, VL, BW, DQ). Only called where
 * cluster__kernels_at found them. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma"))),    \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,fma")
#endif

#include "engine/cluster/dots.h"

#define DOTS_AVX512
#define DOTS_NAME  "avx512"
#define DOTS_TABLE cluster__kernels_avx512
#include "engine/cluster/simd_impl_dots.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
