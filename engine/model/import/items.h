/* Arrays in the arena of one import: everything that an importer makes lives until its end, under
 * one cap, so that a hostile file can neither leak nor take more than its importer allows. Header
 * only. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ITEMS_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ITEMS_H

#include "engine/base/arena.h"
#include "engine/base/mem.h"

/* n items of size bytes each, zeroed. NULL: over the cap, or no memory. */
static inline void *items_alloc(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    return mul_ok(&bytes, n, size) ? arena_alloc(a, bytes) : NULL;
}

#endif
