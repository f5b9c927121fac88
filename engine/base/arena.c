#include "engine/base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 4096, ALIGN_BYTES = _Alignof(max_align_t) };

struct arena__block {
    struct arena__block *next;
    size_t used, size; /* of data */
    _Alignas(max_align_t) unsigned char data[];
};

void *arena_alloc(struct arena *a, size_t n)
{
    struct arena__block *b = a->head;

    if (n > a->max || n > (size_t)-1 / 2) return NULL;
    size_t rounded = (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    if (rounded > a->max || a->used > a->max - rounded) return NULL;
    if (!b || b->size - b->used < rounded) {
        size_t size = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
        b = malloc(sizeof *b + size);
        if (!b) return NULL;
        b->size = size;
        b->used = 0;
        b->next = a->head;
        a->head = b;
    }
    void *p = b->data + b->used;
    b->used += rounded;
    a->used += rounded;
    return memset(p, 0, rounded);
}

char *arena_copy(struct arena *a, const char *s, size_t len)
{
    char *p = len < (size_t)-1 ? arena_alloc(a, len + 1) : NULL;
    if (p && len) memcpy(p, s, len);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *p = NULL;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && (p = arena_alloc(a, (size_t)n + 1))) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void arena_release(struct arena *a)
{
    if (!a) return;
    while (a->head) {
        struct arena__block *b = a->head;
        a->head = b->next;
        free(b);
    }
    a->used = 0;
}
