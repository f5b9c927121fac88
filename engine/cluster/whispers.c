/* Chinese Whispers (Biemann 2006): every row starts as its own class; in rounds, in random order,
 * each takes the class that most of its neighbours have. Edges are the pairs at or above the cut,
 * all of weight 1, as in dlib's use of it for faces. Equally many: the class it has, else the
 * lowest. Ends when a round changes nothing. */
#include "engine/cluster/density.h"

#include <stdlib.h>

#include "engine/base/mem.h"
#include "engine/cluster/neighbours.h"
#include "engine/cluster/random.h"

struct whisper {
    const struct cluster__graph *g;
    int32_t *labels;
    uint32_t *votes; /* [n] by class, all zero between two rows */
};

static int32_t loudest(const struct whisper *w, uint32_t row)
{
    const struct cluster__edge *e = w->g->list[row];
    const uint32_t degree = w->g->degree[row];
    int32_t best = w->labels[row];

    for (uint32_t i = 0; i < degree; i++) w->votes[w->labels[e[i].row]]++;
    for (uint32_t i = 0; i < degree; i++) {
        const int32_t class = w->labels[e[i].row];
        const uint32_t more = w->votes[class], most = w->votes[best];
        if (more > most || (more == most && best != w->labels[row] && class < best)) best = class;
    }
    for (uint32_t i = 0; i < degree; i++) w->votes[w->labels[e[i].row]] = 0;
    return best;
}

static void shuffle(uint32_t *order, size_t n, uint64_t *random)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = cluster__random_below(random, i);
        const uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

static enum err whisper(struct whisper *w, int *took, uint32_t *order, int rounds, uint64_t seed,
                        const struct cluster__job *job, struct err_info *err)
{
    const size_t n = w->g->n;
    uint64_t random = seed;
    bool changed = true;
    enum err rc;

    for (size_t i = 0; i < n; i++) {
        w->labels[i] = (int32_t)i;
        order[i] = (uint32_t)i;
    }
    for (*took = 0; *took < rounds && changed; ++*took) {
        changed = false;
        shuffle(order, n, &random);
        for (size_t i = 0; i < n; i++) {
            const int32_t class = loudest(w, order[i]);
            if (class == w->labels[order[i]]) continue;
            w->labels[order[i]] = class;
            changed = true;
        }
        if ((rc = cluster__tell(job, "whispering", (size_t)*took + 1, (size_t)rounds, err)))
            return rc;
    }
    return ERR_OK;
}

/* Classes are named by a row; here 0.. without a gap. */
static void renumber(int32_t *labels, uint32_t *name, size_t n)
{
    uint32_t next = 0;

    for (size_t i = 0; i < n; i++) name[i] = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        if (name[labels[i]] == UINT32_MAX) name[labels[i]] = next++;
        labels[i] = (int32_t)name[labels[i]];
    }
}

enum err cluster__whispers(int32_t *labels, int *took, const float *x, size_t n, int d, float cut,
                           int rounds, uint64_t seed, size_t memory_max,
                           const struct cluster__job *job, struct err_info *err)
{
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    struct cluster__graph *g = NULL;
    uint32_t *votes AUTO_FREE = calloc(n, sizeof *votes);
    uint32_t *order AUTO_FREE = calloc(n, sizeof *order);
    enum err rc;

    if (!votes || !order)
        return err_set(err, ERR_NOMEM, "no memory for the classes of %zu rows", n);
    if ((rc = cluster__panels_fill(&p, x, n, d, true, err))) return rc;
    rc = cluster__graph_new(&g, &p, cut, memory_max, job, err);
    cluster__panels_release(&p);
    if (rc) return rc;
    rc = whisper(&(struct whisper){g, labels, votes}, took, order, rounds, seed, job, err);
    if (!rc) renumber(labels, order, n);
    cluster__graph_free(g);
    return rc;
}
