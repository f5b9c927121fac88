/* Memory of one import: blocks that live until the end, under one cap, so that a hostile file can
 * neither leak nor take more than its importer allows. Header only. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ARENA_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ARENA_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct arena {
    struct arena_block *head;
    size_t taken, max; /* bytes */
};

/* n * size zeroed bytes, 16-byte aligned, until arena_release. NULL: over the cap, or no memory. */
static inline void *arena_alloc(struct arena *a, size_t n, size_t size)
{
    enum { BLOCK_BYTES = 64 << 10 };
    size_t bytes;
    if (!mul_ok(&bytes, n, size) || bytes > a->max || a->taken > a->max - bytes) return NULL;
    bytes = (bytes + 15) / 16 * 16;
    if (!a->head || a->head->size - a->head->used < bytes) {
        size_t room = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;
        struct arena_block *b = calloc(1, sizeof *b + room);
        if (!b) return NULL;
        b->size = room;
        if (a->head && room == bytes) { /* a big block of its own: go on filling the one in use */
            b->next = a->head->next;
            a->head->next = b;
            b->used = bytes;
            a->taken += bytes;
            return b->bytes;
        }
        b->next = a->head;
        a->head = b;
    }
    void *p = a->head->bytes + a->head->used;
    a->head->used += bytes;
    a->taken += bytes;
    return p;
}

static inline void arena_release(struct arena *a)
{
    while (a->head) {
        struct arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    a->taken = 0;
}

#endif
