/* The kernels of dots.h for CPUs with AVX2 and FMA. Only called where cluster__kernels_at found
 * them. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "engine/cluster/dots.h"

#define DOTS_AVX2
#define DOTS_NAME  "avx2"
#define DOTS_TABLE cluster__kernels_avx2
#include "engine/cluster/simd_impl_dots.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
