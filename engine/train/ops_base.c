/* The layers in float for any CPU of the architecture; and the choice among the sets. */
#define OPS_VECTORS
#define REAL      float
#define OPS_NAME  "base"
#define OPS_TABLE train_ops_base
#include "engine/train/ops_impl.h"

const struct train_ops *train_ops_at(int i)
{
    const struct train_ops *have[3] = {NULL};
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        have[n++] = &train_ops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        have[n++] = &train_ops_avx2;
#endif
    have[n++] = &train_ops_base;
    return i >= 0 && i < n ? have[i] : NULL;
}
