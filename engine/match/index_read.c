/* What the search index holds, without a search. */
#include "engine/match/index_internal.h"

#include <string.h>

static size_t set_bytes(const struct match__set *s)
{
    size_t bytes = (size_t)s->room * sizeof(struct match__block *);
    for (int i = 0; i < s->n; i++)
        if (s->block[i])
            bytes += s->block[i]->chunk->bytes +
                     2 * (size_t)s->block[i]->chunk->capacity * sizeof(int64_t);
    return bytes;
}

void match_index_info(struct match_index *x, struct match_index_info *out)
{
    struct match__view *v = match__view_take(x);
    *out = (struct match_index_info){
        .d = x->d, .examples = v->examples.live, .identities = v->directory.identities};
    /* The table of places is the writer's, and may be growing: it has 2 to 4 slots for a key. */
    out->bytes = set_bytes(&v->examples) + set_bytes(&v->centroids) +
                 (v->examples.live + v->centroids.live) * 3 * sizeof(struct match__place_of) +
                 v->examples.live * sizeof(struct match__entry);
    match__view_drop(v);
}

static int by_similarity(const void *a, const void *b)
{
    const struct match_row *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity > y->similarity ? -1 : 1;
    return x->example < y->example ? -1 : x->example > y->example;
}

enum err match_index_scores(struct match_index *x, int64_t identity, const float *vector,
                            struct match_row **out, size_t *n, struct err_info *err)
{
    *out = NULL, *n = 0;
    if (!match__unit(vector, x->d))
        return err_set(err, ERR_INVALID, "the vector is not of unit length within 1 %%");
    struct match__view *v = match__view_take(x);
    size_t have;
    const struct match__entry *e = match__directory_find(&v->directory, identity, &have);
    struct match_row *rows = have ? malloc(have * sizeof *rows) : NULL;
    for (size_t i = 0; rows && i < have; i++)
        rows[i] = (struct match_row){e[i].example, identity,
                                     match__dot(vector, match__row(&v->examples, e[i].at), x->d)};
    match__view_drop(v);
    if (have && !rows)
        return err_set(err, ERR_NOMEM, "no memory for the scores of %zu examples", have);
    if (rows) qsort(rows, have, sizeof *rows, by_similarity);
    *out = rows, *n = have;
    return ERR_OK;
}

struct at {
    int64_t example;
    struct match__place at;
};

static int by_example(const void *a, const void *b)
{
    const struct at *x = a, *y = b;
    return x->example < y->example ? -1 : x->example > y->example;
}

/* The places of all rows, by example. */
static void list(struct at *out, const struct match__set *s)
{
    bool sorted = true;
    size_t n = 0;
    for (int i = 0; i < s->n; i++) {
        const struct match__block *b = s->block[i];
        for (int slot = 0; b && slot < b->used; slot++) {
            if (b->key[slot] == MATCH__NONE) continue;
            out[n] = (struct at){b->key[slot], {(uint32_t)i, (uint32_t)slot}};
            sorted = sorted && (n == 0 || out[n - 1].example < out[n].example);
            n++;
        }
    }
    if (!sorted) qsort(out, n, sizeof *out, by_example);
}

enum err match_index_rows(struct match_index *x, struct match_row **rows, float **vectors,
                          size_t *n, struct err_info *err)
{
    struct match__view *v = match__view_take(x);
    const struct match__set *s = &v->examples;
    const size_t d = (size_t)x->d, some = s->live ? s->live : 1;
    struct at *at = malloc(some * sizeof *at);
    *n = s->live;
    *rows = malloc(some * sizeof **rows);
    if (vectors) *vectors = mem_aligned(some, d * sizeof **vectors);
    const bool ok = at && *rows && (!vectors || *vectors);
    if (ok) list(at, s);
    for (size_t i = 0; ok && i < *n; i++) {
        const struct match__block *b = s->block[at[i].at.block];
        (*rows)[i] = (struct match_row){at[i].example, b->identity[at[i].at.slot], 0};
        if (vectors) memcpy(*vectors + i * d, match__row(s, at[i].at), d * sizeof **vectors);
    }
    match__view_drop(v);
    free(at);
    if (ok) return ERR_OK;
    free(*rows);
    *rows = NULL;
    if (vectors) {
        free(*vectors);
        *vectors = NULL;
    }
    *n = 0;
    return err_set(err, ERR_NOMEM, "no memory for all rows of the search index");
}
