/* Sets of blocks: every change works on blocks of its own, copied once. */
#include "engine/match/index_internal.h"

#include <string.h>

bool match__edits_add(struct match__edits *e, const struct match__edit *edit)
{
    if (e->n == e->room) {
        size_t room = e->room ? 2 * e->room : 64;
        struct match__edit *list = realloc(e->list, room * sizeof *list);
        if (!list) return false;
        e->list = list, e->room = room;
    }
    e->list[e->n++] = *edit;
    return true;
}

/* --- blocks --- */

static struct match__block *block_new(struct match__chunk *chunk, uint64_t change)
{
    const size_t rows = (size_t)chunk->capacity;
    struct match__block *b = malloc(sizeof *b + 2 * rows * sizeof *b->key);
    if (!b) return NULL;
    *b = (struct match__block){.chunk = chunk, .change = change};
    b->key = (int64_t *)(void *)(b + 1);
    b->identity = b->key + rows;
    atomic_init(&b->refs, 1);
    return b;
}

static void block_drop(struct match__block *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1) return;
    match__chunk_drop(b->chunk);
    free(b);
}

/* The block for writing in whose rows are. */
static struct match__block *own_block(struct match__set *s, const struct match__change *c,
                                      uint32_t i)
{
    struct match__block *b = s->block[i];
    if (b->change == c->number) return b;
    struct match__block *to = block_new(b->chunk, c->number);
    if (!to) return NULL;
    atomic_fetch_add(&b->chunk->refs, 1);
    to->used = b->used, to->live = b->live, to->code_max = b->code_max;
    memcpy(to->key, b->key, (size_t)b->used * sizeof *b->key);
    memcpy(to->identity, b->identity, (size_t)b->used * sizeof *b->identity);
    s->block[i] = to;
    block_drop(b);
    return to;
}

/* The same, for writing over rows that readers may be at. */
static struct match__block *own_rows(struct match__set *s, const struct match__change *c,
                                     uint32_t i)
{
    struct match__block *b = own_block(s, c, i);
    if (!b || b->chunk->change == c->number) return b;
    struct match__chunk *chunk = match__chunk_copy(b->chunk, b->used);
    if (!chunk) return NULL;
    chunk->change = c->number;
    match__chunk_drop(b->chunk);
    b->chunk = chunk;
    return b;
}

/* --- sets --- */

bool match__set_copy(struct match__set *out, const struct match__set *s)
{
    *out = *s;
    out->room = s->n + 8;
    out->block = malloc((size_t)out->room * sizeof(struct match__block *));
    if (!out->block) {
        *out = (struct match__set){.tail = -1};
        return false;
    }
    for (int i = 0; i < s->n; i++) {
        out->block[i] = s->block[i];
        if (s->block[i]) atomic_fetch_add(&s->block[i]->refs, 1);
    }
    return true;
}

void match__set_drop(struct match__set *s)
{
    for (int i = 0; i < s->n; i++) block_drop(s->block[i]);
    free(s->block);
}

static bool new_tail(struct match__set *s, const struct match__change *c)
{
    int i = 0;
    while (i < s->n && s->block[i]) i++;
    if (i == s->room) {
        int room = 2 * s->room;
        struct match__block **block = realloc(s->block, (size_t)room * sizeof(*block));
        if (!block) return false;
        s->block = block, s->room = room;
    }
    struct match__chunk *chunk = match__chunk_new(c->d, s->rows, c->centre);
    struct match__block *b = chunk ? block_new(chunk, c->number) : NULL;
    if (!b) {
        match__chunk_drop(chunk);
        return false;
    }
    chunk->change = c->number;
    s->block[i] = b;
    s->tail = i;
    if (i == s->n) s->n++;
    return true;
}

static bool append(struct match__set *s, const struct match__change *c, struct match__edits *e,
                   const struct match__edit *edit, const float *vector)
{
    if ((s->tail < 0 || s->block[s->tail]->used == s->rows) && !new_tail(s, c)) return false;
    struct match__block *b = own_block(s, c, (uint32_t)s->tail);
    struct match__edit done = *edit;
    done.at = (struct match__place){(uint32_t)s->tail, b ? (uint32_t)b->used : 0};
    if (!b || !match__edits_add(e, &done)) return false;
    float size = match__chunk_write(b->chunk, b->used, vector);
    if (size > b->code_max) b->code_max = size;
    b->key[b->used] = edit->key;
    b->identity[b->used] = edit->identity;
    b->used++, b->live++, s->live++;
    return true;
}

bool match__set_append(struct match__set *s, const struct match__change *c, struct match__edits *e,
                       int64_t key, int64_t identity, const float *vector)
{
    return append(s, c, e, &(struct match__edit){.key = key, .identity = identity}, vector);
}

/* Row b[slot] is another identity's now. */
static bool give(struct match__block *b, struct match__edits *e, struct match__place at,
                 int64_t identity)
{
    const int64_t key = b->key[at.slot], before = b->identity[at.slot];
    b->identity[at.slot] = identity;
    struct match__edit gone = {.identity = before, .key = key, .gone = true};
    struct match__edit is = {.identity = identity, .key = key, .at = at};
    return (before == identity || match__edits_add(e, &gone)) && match__edits_add(e, &is);
}

bool match__set_move(struct match__set *s, const struct match__change *c, struct match__edits *e,
                     struct match__place at, int64_t identity)
{
    struct match__block *b = own_block(s, c, at.block);
    return b && give(b, e, at, identity);
}

bool match__set_replace(struct match__set *s, const struct match__change *c, struct match__edits *e,
                        struct match__place at, int64_t identity, const float *vector)
{
    struct match__block *b = own_rows(s, c, at.block);
    if (!b || !give(b, e, at, identity)) return false;
    float size = match__chunk_write(b->chunk, (int)at.slot, vector);
    if (size > b->code_max) b->code_max = size;
    return true;
}

bool match__set_remove(struct match__set *s, const struct match__change *c, struct match__edits *e,
                       struct match__place at)
{
    struct match__block *b = own_rows(s, c, at.block);
    if (!b) return false;
    struct match__edit gone = {
        .identity = b->identity[at.slot], .key = b->key[at.slot], .gone = true};
    if (!match__edits_add(e, &gone)) return false;
    match__chunk_erase(b->chunk, (int)at.slot);
    b->key[at.slot] = MATCH__NONE;
    b->identity[at.slot] = 0;
    b->live--, s->live--;
    return true;
}

static bool empty(struct match__set *s, const struct match__change *c, struct match__edits *e,
                  int i)
{
    struct match__block *b = s->block[i];
    if (s->tail == i) s->tail = -1;
    for (int slot = 0; slot < b->used; slot++) {
        if (b->key[slot] == MATCH__NONE) continue;
        struct match__edit quiet = {
            .identity = b->identity[slot], .key = b->key[slot], .quiet = true};
        if (!append(s, c, e, &quiet, match__vector(b->chunk, slot))) return false;
        s->live--;
    }
    s->block[i] = NULL;
    block_drop(b);
    return true;
}

bool match__set_compact(struct match__set *s, const struct match__change *c, struct match__edits *e)
{
    const int n = s->n; /* blocks that are made here are full or the tail */
    for (int i = 0; i < n; i++) {
        const struct match__block *b = s->block[i];
        if (!b || b->change != c->number || b->used - b->live <= s->rows / 2) continue;
        if (!empty(s, c, e, i)) return false;
    }
    return true;
}
