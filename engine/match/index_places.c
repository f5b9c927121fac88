/* A table of keys and where their rows are: open addressing, linear probing, and removal that
 * shifts back what came after (Knuth, TAOCP 3, 6.4, algorithm R). */
#include "engine/match/index_internal.h"

static size_t home_of(const struct match__places *p, int64_t key)
{
    uint64_t h = (uint64_t)key * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 20) & (p->room - 1);
}

static size_t slot_of(const struct match__places *p, int64_t key)
{
    size_t i = home_of(p, key);
    while (p->slot[i].key != key && p->slot[i].key != MATCH__NONE) i = (i + 1) & (p->room - 1);
    return i;
}

bool match__places_reserve(struct match__places *p, size_t more)
{
    size_t room = p->room ? p->room : 64;
    while (room / 2 < p->n + more) room *= 2;
    if (room == p->room) return true;
    struct match__places to = {mem_aligned(room, sizeof *to.slot), p->n, room};
    if (!to.slot) return false;
    for (size_t i = 0; i < room; i++) to.slot[i].key = MATCH__NONE;
    for (size_t i = 0; i < p->room; i++)
        if (p->slot[i].key != MATCH__NONE) to.slot[slot_of(&to, p->slot[i].key)] = p->slot[i];
    free(p->slot);
    *p = to;
    return true;
}

static void forget(struct match__places *p, int64_t key)
{
    const size_t mask = p->room - 1;
    size_t hole = slot_of(p, key);
    if (p->slot[hole].key == MATCH__NONE) return;
    p->n--;
    for (size_t i = (hole + 1) & mask; p->slot[i].key != MATCH__NONE; i = (i + 1) & mask) {
        size_t home = home_of(p, p->slot[i].key);
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        p->slot[hole] = p->slot[i];
        hole = i;
    }
    p->slot[hole].key = MATCH__NONE;
}

void match__places_follow(struct match__places *p, const struct match__edits *e)
{
    for (size_t i = 0; i < e->n; i++) {
        if (e->list[i].gone) {
            forget(p, e->list[i].key);
            continue;
        }
        struct match__place_of *s = &p->slot[slot_of(p, e->list[i].key)];
        p->n += s->key == MATCH__NONE;
        *s = (struct match__place_of){e->list[i].key, e->list[i].at};
    }
}

bool match__places_find(const struct match__places *p, int64_t key, struct match__place *at)
{
    if (p->n == 0) return false;
    const struct match__place_of *s = &p->slot[slot_of(p, key)];
    if (s->key == MATCH__NONE) return false;
    *at = s->at;
    return true;
}
