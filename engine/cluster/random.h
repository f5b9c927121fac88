/* Numbers that depend on a seed alone: SplitMix64 (Steele, Lea & Flood 2014). */
#ifndef VISAVIS_ENGINE_CLUSTER_RANDOM_H
#define VISAVIS_ENGINE_CLUSTER_RANDOM_H

#include <stdint.h>

static inline uint64_t cluster__random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double cluster__random_unit(uint64_t *state)
{
    return (double)(cluster__random(state) >> 11) * 0x1p-53;
}

/* In 0..n-1, n >= 1; the bias is below n / 2^64. */
static inline uint64_t cluster__random_below(uint64_t *state, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)cluster__random(state) * n) >> 64);
}

#endif
