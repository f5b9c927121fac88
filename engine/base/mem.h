/* Memory and cleanup helpers: checked multiplication, aligned blocks, cleanup attributes. Header
 * only. */
#ifndef VISAVIS_ENGINE_BASE_MEM_H
#define VISAVIS_ENGINE_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum { MEM_ALIGN_BYTES = 64 }; /* one cache line, one AVX-512 register */

/* *out = a * b; false when it does not fit (then *out is untouched). */
static inline bool mul_ok(size_t *out, size_t a, size_t b)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* 64-byte aligned, uninitialised, freed with free(). NULL when there is no memory or n * size
 * overflows. n * size == 0 gives a valid block. */
static inline void *mem_aligned(size_t n, size_t size)
{
    size_t bytes;
    if (!mul_ok(&bytes, n, size) || bytes > (size_t)-1 - MEM_ALIGN_BYTES) return NULL;
    bytes = (bytes + MEM_ALIGN_BYTES) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
    return aligned_alloc(MEM_ALIGN_BYTES, bytes);
}

static inline void mem__free_at(void *p)
{
    free(*(void **)p);
}
#define AUTO_FREE __attribute__((cleanup(mem__free_at)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
