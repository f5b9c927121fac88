/* The kernels of dots.h for any CPU. */
#include "engine/cluster/dots.h"

#define DOTS_NAME  "base"
#define DOTS_TABLE cluster__kernels_base
#include "engine/cluster/simd_impl_dots.h"
