/* The layers in float for CPUs with AVX-512 (F, VL, BW, DQ). Only called where train_ops_at found
 * them. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma"))),    \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,fma")
#endif

#define SIMD_AVX512
#define OPS_VECTORS
#define REAL      float
#define OPS_NAME  "avx512"
#define OPS_TABLE train_ops_avx512
#include "engine/train/ops_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
