/* Disjoint sets over 0..n-1 whose root is the least member. Sets may be united from several threads
 * at once: the result does not depend on the order. */
#ifndef VISAVIS_ENGINE_CLUSTER_UNION_FIND_H
#define VISAVIS_ENGINE_CLUSTER_UNION_FIND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

static inline uint32_t cluster__find(_Atomic uint32_t *up, uint32_t i)
{
    uint32_t p;
    while ((p = atomic_load_explicit(up + i, memory_order_relaxed)) != i) {
        uint32_t q = atomic_load_explicit(up + p, memory_order_relaxed);
        /* Halving: i may skip its parent. Lost races only leave a longer path. */
        atomic_compare_exchange_weak_explicit(up + i, &p, q, memory_order_relaxed,
                                              memory_order_relaxed);
        i = q;
    }
    return i;
}

/* false: they were one set already. */
static inline bool cluster__unite(_Atomic uint32_t *up, uint32_t a, uint32_t b)
{
    for (;;) {
        a = cluster__find(up, a);
        b = cluster__find(up, b);
        if (a == b) return false;
        if (a > b) {
            const uint32_t swap = a;
            a = b;
            b = swap;
        }
        uint32_t root = b;
        if (atomic_compare_exchange_strong_explicit(up + b, &root, a, memory_order_relaxed,
                                                    memory_order_relaxed))
            return true;
    }
}

#endif
