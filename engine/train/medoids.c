/* Which glyphs of a class stand for it: the members nearest to the centres of k-means. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/train/measure.h"

enum { ROUNDS = 20 };

struct medoids {
    const float *x;
    size_t n;
    int d, count;
    float *centres; /* [count][d] */
    uint32_t *owner, *chosen;
};

static const float *row(const struct medoids *m, size_t i)
{
    return m->x + i * (size_t)m->d;
}

static const float *centre(const struct medoids *m, int c)
{
    return m->centres + (size_t)c * (size_t)m->d;
}

/* The row nearest to the mean, then each time the one least like all that are there. */
static void begin(struct medoids *m, float *like)
{
    const uint8_t *one_class = memset(m->owner, 0, m->n * sizeof *m->owner);
    uint8_t label;
    train_add_means(&(struct train_refs){m->centres, &label, 0}, m->x, one_class, m->n, m->d);
    size_t next = 0;
    for (size_t i = 1; i < m->n; i++)
        if (match_similarity(row(m, i), m->centres, m->d) >
            match_similarity(row(m, next), m->centres, m->d))
            next = i;
    for (size_t i = 0; i < m->n; i++) like[i] = -2;
    for (int c = 0; c < m->count; c++) {
        memcpy(m->centres + (size_t)c * (size_t)m->d, row(m, next), (size_t)m->d * sizeof(float));
        next = 0;
        for (size_t i = 0; i < m->n; i++) {
            const float s = match_similarity(row(m, i), centre(m, c), m->d);
            if (s > like[i]) like[i] = s;
            if (like[i] < like[next]) next = i;
        }
    }
}

static bool assign(struct medoids *m)
{
    bool moved = false;
    for (size_t i = 0; i < m->n; i++) {
        uint32_t best = 0;
        for (int c = 1; c < m->count; c++)
            if (match_similarity(row(m, i), centre(m, c), m->d) >
                match_similarity(row(m, i), centre(m, (int)best), m->d))
                best = (uint32_t)c;
        moved |= m->owner[i] != best;
        m->owner[i] = best;
    }
    return moved;
}

/* A centre that nobody is nearest to stays where it is. */
static void move(struct medoids *m, float *sum)
{
    for (int c = 0; c < m->count; c++) {
        memset(sum, 0, (size_t)m->d * sizeof *sum);
        for (size_t i = 0; i < m->n; i++)
            for (int k = 0; m->owner[i] == (uint32_t)c && k < m->d; k++) sum[k] += row(m, i)[k];
        if (match_normalize(sum, m->d))
            memcpy(m->centres + (size_t)c * (size_t)m->d, sum, (size_t)m->d * sizeof *sum);
    }
}

/* Each centre's nearest row that no other has taken. */
static void choose(struct medoids *m, float *taken)
{
    memset(taken, 0, m->n * sizeof *taken);
    for (int c = 0; c < m->count; c++) {
        size_t best = m->n;
        for (size_t i = 0; i < m->n; i++)
            if (taken[i] == 0 &&
                (best == m->n || match_similarity(row(m, i), centre(m, c), m->d) >
                                     match_similarity(row(m, best), centre(m, c), m->d)))
                best = i;
        taken[best] = 1;
        m->chosen[c] = (uint32_t)best;
    }
}

enum err train_medoids(uint32_t *chosen, int count, const float *x, size_t n, int d,
                       struct err_info *err)
{
    AUTO_FREE float *centres = mem_aligned((size_t)count * (size_t)d, sizeof *centres);
    AUTO_FREE float *scratch = mem_aligned(n + (size_t)d, sizeof *scratch);
    AUTO_FREE uint32_t *owner = calloc(n + 1, sizeof *owner);
    if (count < 1 || (size_t)count > n)
        return err_set(err, ERR_INVALID, "%d examples of a class of %zu", count, n);
    if (!centres || !scratch || !owner)
        return err_set(err, ERR_NOMEM, "no memory to choose among %zu glyphs", n);
    struct medoids m = {x, n, d, count, centres, owner, chosen};
    begin(&m, scratch);
    for (int i = 0; i < ROUNDS && (assign(&m) || !i); i++) move(&m, scratch);
    choose(&m, scratch);
    return ERR_OK;
}
