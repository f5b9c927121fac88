/* Folds a list of changes: for each example that they name, what it is before and after. */
#include "engine/match/index_internal.h"

#include <math.h>
#include <string.h>

static enum err check(const struct match_index *x, const struct match_change *c, size_t i,
                      struct err_info *err)
{
    if (c->kind != MATCH_PUT && c->kind != MATCH_MOVE && c->kind != MATCH_REMOVE)
        return err_set(err, ERR_INVALID, "change %zu is of kind %d; there are 0 to 2", i,
                       (int)c->kind);
    if (c->example == MATCH__NONE)
        return err_set(err, ERR_INVALID, "change %zu: an example must not have the number %lld", i,
                       (long long)c->example);
    if (c->kind != MATCH_REMOVE && c->identity < 0)
        return err_set(err, ERR_INVALID, "change %zu: identity %lld; it must be 0 or more", i,
                       (long long)c->identity);
    if (c->kind == MATCH_PUT && !match__unit(c->vector, x->d))
        return err_set(err, ERR_INVALID,
                       "change %zu: the vector of example %lld is not of unit length within 1 %%",
                       i, (long long)c->example);
    return ERR_OK;
}

struct turn { /* one change, and which it was */
    int64_t example;
    size_t i;
};

static int by_example(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->example != y->example) return x->example < y->example ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

static void take(struct match__step *s, const struct match_change *c)
{
    switch (c->kind) {
    case MATCH_PUT:
        s->stays = true;
        s->identity = c->identity;
        s->vector = c->vector;
        break;
    case MATCH_MOVE:
        if (s->stays) s->identity = c->identity;
        break;
    case MATCH_REMOVE:
        s->stays = false;
        s->vector = NULL;
        break;
    }
}

static struct match__step before(const struct match_index *x, int64_t example)
{
    struct match__step s = {.example = example};
    s.there = s.stays = match__places_find(&x->examples_at, example, &s.at);
    if (s.there) s.identity = x->view->examples.block[s.at.block]->identity[s.at.slot];
    return s;
}

enum err match__plan(struct match__step **out, size_t *n, const struct match_index *x,
                     const struct match_change *changes, size_t n_changes, struct err_info *err)
{
    bool sorted = true;
    *out = NULL, *n = 0;
    for (size_t i = 0; i < n_changes; i++) {
        enum err rc = check(x, &changes[i], i, err);
        if (rc) return rc;
        sorted = sorted && (i == 0 || changes[i - 1].example <= changes[i].example);
    }
    if (n_changes == 0) return ERR_OK;
    struct match__step *steps = calloc(n_changes, sizeof *steps);
    struct turn *turns = calloc(n_changes, sizeof *turns);
    if (!steps || !turns) {
        free(steps);
        free(turns);
        return err_set(err, ERR_NOMEM, "no memory for %zu changes of the search index", n_changes);
    }
    for (size_t i = 0; i < n_changes; i++) turns[i] = (struct turn){changes[i].example, i};
    if (!sorted) qsort(turns, n_changes, sizeof *turns, by_example);
    for (size_t i = 0; i < n_changes; i++) {
        if (i == 0 || turns[i].example != turns[i - 1].example)
            steps[(*n)++] = before(x, turns[i].example);
        take(&steps[*n - 1], &changes[turns[i].i]);
    }
    free(turns);
    *out = steps;
    return ERR_OK;
}
