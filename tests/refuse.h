/* For tests that refuse one allocation: malloc and its relatives, for a program that is linked with
 * --wrap of each, so that only our own code's calls are counted. Header only, once a program. */
#ifndef VISAVIS_TESTS_REFUSE_H
#define VISAVIS_TESTS_REFUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* How many allocations until the one that fails; negative: none does. */
static atomic_long left = -1;
static atomic_long made;

static bool refused(void)
{
    atomic_fetch_add(&made, 1);
    return atomic_load(&left) >= 0 && atomic_fetch_sub(&left, 1) == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

void *__wrap_malloc(size_t n)
{
    return refused() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return refused() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return refused() ? NULL : __real_aligned_alloc(align, n);
}

#endif
