/* The layers in float for CPUs with AVX2 and FMA. Only called where train_ops_at found them. */
#if defined(__x86_64__)

/* Before any header: inline functions of the headers must be compiled for the same set. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define SIMD_AVX2
#define OPS_VECTORS
#define REAL      float
#define OPS_NAME  "avx2"
#define OPS_TABLE train_ops_avx2
#include "engine/train/ops_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
