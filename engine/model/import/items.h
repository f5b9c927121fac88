/* Arrays in the arena of one import: everything that an importer makes lives until its end, under
 * one cap, so that a hostile file can neither leak nor take more than its importer allows. Header
 * only. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ITEMS_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ITEMS_H

#include <stdint.h>
#include <sys/mman.h>

#include "engine/base/arena.h"
#include "engine/base/mem.h"

/* n items of size bytes each, zeroed. NULL: over the cap, or no memory. */
static inline void *items_alloc(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    return mul_ok(&bytes, n, size) ? arena_alloc(a, bytes) : NULL;
}

/* The whole pages inside of n bytes at p leave the memory: those of a file's mapping are read again
 * when they are touched, others are zero from then on. */
static inline void pages_drop(const void *p, size_t n)
{
    enum { PAGE_BYTES = 4096 };
    const uintptr_t from = ((uintptr_t)p + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES,
                    to = ((uintptr_t)p + n) / PAGE_BYTES * PAGE_BYTES;
    if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

#endif
