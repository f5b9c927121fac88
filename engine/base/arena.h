/* Scratch memory that is dropped whole: a request's strings and small arrays. Not thread-safe: it
 * belongs to whoever owns the request at the moment. Pictures and tensors never go here. */
#ifndef VISAVIS_ENGINE_BASE_ARENA_H
#define VISAVIS_ENGINE_BASE_ARENA_H

#include <stddef.h>

struct arena__block;

struct arena {
    struct arena__block *head; /* newest first */
    size_t used, max;          /* bytes handed out; the most there may be */
};
#define ARENA_INIT(max_bytes) ((struct arena){NULL, 0, (max_bytes)})

/* n zeroed bytes, aligned for any type; they live until arena_release. NULL: no memory, or over the
 * arena's limit. */
void *arena_alloc(struct arena *a, size_t n);
/* A copy of len bytes of s, terminated. NULL as above. */
char *arena_copy(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_release(struct arena *a);

#endif
