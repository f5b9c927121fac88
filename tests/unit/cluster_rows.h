/* Rows for the tests of engine/cluster: groups around random directions, and noise. */
#ifndef VISAVIS_TESTS_UNIT_CLUSTER_ROWS_H
#define VISAVIS_TESTS_UNIT_CLUSTER_ROWS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/cluster/random.h"

/* About normal: the sum of twelve even numbers. */
static inline double rows_normal(uint64_t *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += cluster__random_unit(random);
    return sum;
}

static inline void rows_unit(float *v, int d)
{
    double square = 0;
    for (int k = 0; k < d; k++) square += (double)v[k] * (double)v[k];
    for (int k = 0; k < d; k++) v[k] = (float)((double)v[k] / sqrt(square));
}

/* malloc'd [n][d], unit length: row i belongs to group i % groups (truth[i], where not NULL),
 * spread is its length off the group's direction. groups 0: noise. */
static inline float *rows_new(size_t n, int d, int groups, double spread, uint32_t *truth,
                              uint64_t seed)
{
    uint64_t random = seed;
    float *x = malloc(n * (size_t)d * sizeof *x);
    float *centre = malloc(((size_t)groups + 1) * (size_t)d * sizeof *centre);

    if (!x || !centre) abort();
    for (int g = 0; g < groups; g++) {
        for (int k = 0; k < d; k++) centre[g * d + k] = (float)rows_normal(&random);
        rows_unit(centre + g * d, d);
    }
    for (size_t i = 0; i < n; i++) {
        float *v = x + i * (size_t)d;
        const int g = groups ? (int)(i % (size_t)groups) : 0;
        for (int k = 0; k < d; k++)
            v[k] = (float)((groups ? (double)centre[g * d + k] : 0) +
                           rows_normal(&random) * (groups ? spread / sqrt(d) : 1));
        rows_unit(v, d);
        if (truth) truth[i] = (uint32_t)g;
    }
    free(centre);
    return x;
}

#endif
