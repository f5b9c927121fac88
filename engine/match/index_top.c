/* The best k of what has been offered, with a table to find them by key. */
#include "engine/match/index_internal.h"

#include <math.h>
#include <string.h>

static unsigned home_of(int64_t key)
{
    return (unsigned)((uint64_t)key * 0x9e3779b97f4a7c15u >> 56);
}

void match__top_start(struct match__top *t, int k)
{
    t->k = k;
    t->n = t->worst = 0;
    memset(t->slot, 0, sizeof t->slot);
}

struct match__found *match__top_find(struct match__top *t, int64_t key)
{
    for (unsigned i = home_of(key); t->slot[i]; i = (i + 1) % ARRAY_LEN(t->slot))
        if (t->found[t->slot[i] - 1].key == key) return &t->found[t->slot[i] - 1];
    return NULL;
}

static void enter(struct match__top *t, int i)
{
    unsigned slot = home_of(t->found[i].key);
    while (t->slot[slot]) slot = (slot + 1) % ARRAY_LEN(t->slot);
    t->slot[slot] = (uint8_t)(i + 1);
}

static bool better(double score, int64_t key, double than, int64_t than_key)
{
    return score > than || (score == than && key < than_key);
}

static bool found_better(const struct match__found *a, const struct match__found *b)
{
    return better(a->score, a->key, b->score, b->key);
}

static void find_worst(struct match__top *t)
{
    t->worst = 0;
    for (int i = 1; i < t->n; i++)
        if (found_better(&t->found[t->worst], &t->found[i])) t->worst = i;
}

void match__top_offer(struct match__top *t, const struct match__found *f)
{
    struct match__found *have = match__top_find(t, f->key);
    if (have) {
        if (!better(f->score, f->other, have->score, have->other)) return;
        *have = *f;
    } else if (t->n < t->k) {
        t->found[t->n] = *f;
        enter(t, t->n++);
    } else {
        if (!found_better(f, &t->found[t->worst])) return;
        t->found[t->worst] = *f;
        memset(t->slot, 0, sizeof t->slot);
        for (int i = 0; i < t->n; i++) enter(t, i);
    }
    if (t->n == t->k) find_worst(t);
}

static int by_rank(const void *a, const void *b)
{
    return found_better(a, b) ? -1 : found_better(b, a);
}

void match__top_sort(struct match__top *t)
{
    qsort(t->found, (size_t)t->n, sizeof t->found[0], by_rank);
}

double match__top_cut(const struct match__top *t)
{
    return t->n < t->k ? -INFINITY : t->found[t->worst].score;
}
